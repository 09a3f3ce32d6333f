"""From a checked case back to tables, text, and a hash."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from meso.case.schema import KINDS, Tables
from meso.validation import KEYS

_KIND = {kind: name for name, kind in KINDS.items()}

# How files include others.
_INCLUDES = {
    ".geo": re.compile(rb'^\s*(?:Include|Merge)\s*"([^"]+)"', re.MULTILINE),
    ".inp": re.compile(rb"(?i)^\s*\*INCLUDE\s*,\s*INPUT\s*=\s*\"?([^\s\",]+)", re.MULTILINE),
}


def plain(value: Any) -> Any:
    """Dataclasses as the tables of a case file: without None, paths and tuples."""
    if is_dataclass(value):
        table = plain({KEYS.get(f.name, f.name): getattr(value, f.name) for f in fields(value)})
        return {_KIND[type(value)]: table} if type(value) in _KIND else table
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value.as_posix() if isinstance(value, Path) else value


def resolved(case: Tables, given: Mapping[str, Any]) -> dict[str, Any]:
    """The tables of a case with the defaults filled in.

    What the user gave is kept as it was written; what is derived from it is left out.
    """
    tables = {f.name: plain(getattr(case, f.name)) for f in fields(Tables)}
    for name, table in tables["materials"].items():
        for key in case.materials[name].profiles:
            del table[key]  # as the user wrote it: there is no default in it
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
    """Bytes of a geometry file and, for .geo and .inp files, of the files that they include."""
    content = file.read_bytes()
    yield content
    pattern = _INCLUDES.get(file.suffix.lower())
    for name in pattern.findall(content) if pattern else ():
        included = (file.parent / name.decode().strip()).resolve()
        if included.is_file() and included not in seen:
            yield from contents(included, seen | {file, included})
