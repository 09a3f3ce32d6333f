"""From a checked case back to tables, text, and a hash."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from meso.boundary import Contact, Wall
from meso.case.schema import KEYS, Tables


def plain(value: Any) -> Any:
    """Dataclasses as the tables of a case file: without None, paths and tuples."""
    if isinstance(value, Contact | Wall):
        return {type(value).__name__.lower(): _fields(value)}
    if is_dataclass(value):
        return _fields(value)
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value.as_posix() if isinstance(value, Path) else value


def resolved(case: Tables, given: Mapping[str, Any]) -> dict[str, Any]:
    """The tables of a case with the defaults filled in.

    What the user gave is kept as it was written; what is derived from it is left out.

    Args:
        case: the checked tables.
        given: the same as the user wrote them.
    """
    tables = {f.name: plain(getattr(case, f.name)) for f in fields(Tables)}
    for table in tables["materials"].values():
        sources = table["provenance"]
        for key in [key for key, source in sources.items() if source.startswith("derived")]:
            del table[key], sources[key]
        table["provenance"] = {k: source for k, source in sources.items() if source != "case file"}
        del table["name"]
    return overlay({key: value for key, value in tables.items() if value != {}}, plain(given))


def overlay(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Tables merged key by key; the second wins."""
    result = {**under, **over}
    for key in under.keys() & over.keys():
        if isinstance(under[key], dict) and isinstance(over[key], dict):
            result[key] = overlay(under[key], over[key])
    return result


def contents(file: Path, seen: frozenset[Path] = frozenset()) -> Iterator[bytes]:
    """Bytes of a geometry file and, for a .geo file, of the files that it includes."""
    content = file.read_bytes()
    yield content
    if file.suffix == ".geo":
        for name in re.findall(rb'^\s*(?:Include|Merge)\s*"([^"]+)"', content, re.MULTILINE):
            included = (file.parent / name.decode()).resolve()
            if included.is_file() and included not in seen:
                yield from contents(included, seen | {file, included})


def _fields(value: Any) -> dict[str, Any]:
    result: dict[str, Any] = plain(
        {KEYS.get(f.name, f.name): getattr(value, f.name) for f in fields(value)}
    )
    return result
