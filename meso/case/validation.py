"""Checking the tables of a case file against the schema, with errors that name the key."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

from pydantic import TypeAdapter, ValidationError

from meso.case.schema import KEYS, KINDS, Tables
from meso.errors import CaseError, known
from meso.units import factor

#: Required keys and what they may look like.
_EXAMPLES = {
    "geometry": '[geometry] with file = "ribbon.geo" and length_unit = "nm"',
    "file": '"ribbon.geo"',
    "length_unit": '"nm"',
    "materials": "a table [materials.NAME] for each material",
    "carriers": '"2d" or "3d"',
    "conductivity": '"2.4e6 S/m" (3d) or "0.05 S" (2d)',
    "regions": '[regions] with metal = "Ti"',
    "boundaries": '[boundaries] with source = { contact = { potential = "1 mV" } }',
    "flow": '[flow] with model = "hydrodynamic"',
    "model": '"hydrodynamic"',
    "from": '["0 nm", "-50 nm"]',
    "to": '["0 nm", "50 nm"]',
    "periodic.to": 'the name of the boundary that it continues in, e.g. "right"',
    "target": 'what is to be accurate, e.g. "conductance"',
}


_adapter = cache(TypeAdapter)


def validate(tables: Mapping[str, Any], *, base_directory: Path) -> Tables:
    """Check the tables of a case and convert them to SI; paths are relative to a directory."""
    materials, found = tables.get("materials"), set()
    if isinstance(materials, Mapping):
        found = {str(m.get("carriers")) for m in materials.values() if isinstance(m, Mapping)}
    context = {
        "base_directory": base_directory,
        "length_unit": _length_unit(tables),
        # Whether the carriers are 2d, for units; None where that is not known or mixed.
        "sheet": {"2d": True, "3d": False}.get(found.pop()) if len(found) == 1 else None,
    }
    return checked(Tables, tables, context, _EXAMPLES)


def checked(
    kind: Any,
    tables: Mapping[str, Any],
    context: Mapping[str, Any],
    examples: Mapping[str, str],
) -> Any:
    """The dataclass of tables of a file; ``examples`` are those of required keys.

    Raises:
        CaseError: All that is wrong, each with its key.
    """
    try:
        return _adapter(kind).validate_python(tables, context=dict(context))
    except ValidationError as error:
        found = error.errors(include_url=False)
        raise CaseError(*(p for e in found for p in _problems(e, kind, examples))) from None


def _length_unit(tables: Mapping[str, Any]) -> float:
    """Metres in one unit of the drawing, for profiles; whether it is right is checked elsewhere."""
    try:
        return factor(tables["geometry"]["length_unit"], "m")
    except (CaseError, KeyError, TypeError):
        return 1.0


def _problems(
    error: Mapping[str, Any], kind: Any, examples: Mapping[str, str]
) -> Iterable[tuple[str, str]]:
    """Translate one error of pydantic into pairs (key, text)."""
    *table, key = location = [str(part) for part in error["loc"]] or [""]
    context = error.get("ctx", {})
    found, text = error["input"], error["msg"].replace("Input should", "should")
    match error["type"]:
        case "value_error":
            cause = context["error"]
            inner = cause.problems if isinstance(cause, CaseError) else [("", str(cause))]
            return [(".".join(filter(None, [*location, k])), t) for k, t in inner]
        case "missing":
            inside = ".".join([*table[-1:], key])
            text = f"missing; give {examples.get(inside) or examples.get(key, 'a value')}"
        case "unexpected_keyword_argument":
            text = f"unknown key; {known(key, _known_keys(kind, table))}"
        case "literal_error":
            expected = re.findall(r"'([^']+)'", context["expected"])
            text = f"found {found!r}; {known(str(found), expected)}"
        case "union_tag_invalid":
            text = f'unknown kind of boundary "{context["tag"]}"; {known(context["tag"], KINDS)}'
        case "union_tag_not_found":
            kinds = " or ".join(f"{{ {kind} = {{ … }} }}" for kind in KINDS)
            text = f"found {found!r}; must be {kinds}"
        case "dataclass_type" | "dict_type":
            text = f"found {found!r}; must be a table"
        case "path_type":
            text = f'found {found!r}; must be a path, e.g. "results"'
        case _:
            text = f"found {found!r}; {text}"
    return [(".".join(location), text)]


def _known_keys(kind: Any, location: list[str]) -> list[str]:
    """Keys of the table at a location."""
    hint = kind
    for part in location:
        if is_dataclass(hint):
            hint = {KEYS.get(name, name): of for name, of in get_type_hints(hint).items()}[part]
        elif get_origin(hint) is dict:
            hint = get_args(hint)[1]
        elif get_origin(hint) is tuple:
            hint = get_args(hint)[0]
        else:  # a boundary, one of several tables
            hint = KINDS[part]
        if NoneType in get_args(hint):
            hint = get_args(hint)[0]
    return [KEYS.get(f.name, f.name) for f in fields(hint)]
