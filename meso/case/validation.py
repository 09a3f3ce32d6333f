"""Checking the tables of a case file against the schema."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from meso.case.schema import Tables
from meso.errors import CaseError
from meso.units import factor
from meso.validation import checked

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


def validate(
    tables: Mapping[str, Any], ready: Mapping[str, Any] | None = None, *, base_directory: Path
) -> Tables:
    """Check the tables of a case and convert them to SI.

    Args:
        tables: The tables.
        ready: Those that have been checked, to be taken in their place.
        base_directory: What paths are relative to.
    """
    materials, found = tables.get("materials"), set()
    if isinstance(materials, Mapping):
        found = {str(m.get("carriers")) for m in materials.values() if isinstance(m, Mapping)}
    context = {
        "base_directory": base_directory,
        "length_unit": _length_unit(tables),
        # Whether the carriers are 2d, for units; None where that is not known or mixed.
        "sheet": {"2d": True, "3d": False}.get(found.pop()) if len(found) == 1 else None,
    }
    return checked(Tables, {**tables, **(ready or {})}, context, _EXAMPLES)


def _length_unit(tables: Mapping[str, Any]) -> float:
    """Metres in one unit of the drawing, for profiles; whether it is right is checked elsewhere."""
    try:
        return factor(tables["geometry"]["length_unit"], "m")
    except (CaseError, KeyError, TypeError):
        return 1.0
