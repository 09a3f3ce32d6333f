"""Angular momentum in the report of a run: moments at walls, decay lengths, the inverse effect."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from meso.constants import HBAR
from meso.files.readable import Scale, handy
from meso.reports.markup import Errors, Node, folded, grid, headed, number, quantities, record, tag

#: Moments by the beginning of their keys, which end with a unit.
_MOMENTS = {
    "diffusive": "diffusive_moment_J_s",
    "from vorticity": "vorticity_moment_J_s",
    "total": "total_moment_J_s",
}
_FITTED = "fitted_decay_length_m"
#: What has a table of its own.
_TOLD = ("components", "coupling", "walls", "decay_lengths_m", "inverse")


def tables(found: Mapping[str, Any], errors: Mapping[str, Errors], zero: float) -> Iterator[Node]:
    """What the table "angular_momentum" of summary.json says; nothing where there is none.

    Args:
        found: The summary.
        errors: Of numbers by their column of a sweep.
        zero: Current of a contact below which there is but rounding.
    """
    own = found.get("angular_momentum")
    if own is None:
        return
    names = ", ".join(name.replace("_", " ") for name in own["components"])
    yield tag("p", f"Components: {names}. Coupling to the current: {own['coupling']}.")
    yield _walls(own["walls"], errors)
    lengths = {
        f"{region}, {i + 1}" if len(rows) > 1 else region: {f"{k}_m": x for k, x in row.items()}
        for region, rows in own["decay_lengths_m"].items()
        for i, row in enumerate(rows)
    }
    yield quantities(lengths, "region", "Decay lengths of an infinite conductor")
    if inverse := own.get("inverse"):
        contacts = {
            name: {k: 0.0 if "_A" in k and abs(x) <= zero else x for k, x in row.items()}
            for name, row in inverse["contacts"].items()
        }
        text = "Inverse effect: what the densities change at contacts"
        yield quantities(contacts, "contact", text)
    rest = {key: value for key, value in own.items() if key not in _TOLD}
    yield folded("Flow through boundaries, balance and solver", *record(rest))


def _walls(walls: Mapping[str, Any], errors: Mapping[str, Errors]) -> Node:
    """Moments of each component at each piece of a wall, and the decay lengths fitted there."""
    rows = [
        (name, i + 1 if len(pieces) > 1 else 0, component, entry)
        for name, pieces in walls.items()
        for i, piece in enumerate(pieces)
        for component, entry in piece.items()
        if component != "center_m"
    ]
    kinds = {
        kind: key
        for kind, start in _MOMENTS.items()
        for _, _, _, entry in rows
        for key in entry
        if key.startswith(start)
    }
    largest = max((abs(e[k]) for *_, e in rows for k in kinds.values() if k in e), default=0.0)
    some = next(iter(kinds.values()), "")
    unit = handy(largest / HBAR, some.replace("J_s", "hbar").partition("moment_")[2])
    moment = Scale(unit.factor * HBAR, unit.name)
    lengths = [entry[_FITTED] for *_, entry in rows if _FITTED in entry]
    length = handy(max(lengths, default=0.0), "m")
    header = ["wall", "component", *(headed(kind, unit.name) for kind in kinds)]
    header += [headed("fitted decay length", length.name)] if lengths else []
    lines: list[list[Any]] = []
    for name, i, component, entry in rows:
        place = f"{name}.{i}.{component}" if i else f"{name}.{component}"
        line: list[Any] = [f"{name} {i}" if i else name, component.replace("_", " ")]
        for key in kinds.values():
            column = f"{place}.{key.replace('J_s', 'hbar')}"
            own = {what: error * HBAR for what, error in errors.get(column, {}).items()}
            line.append(number(entry[key], moment, own) if key in entry else "")
        if lengths:
            fit = {"fit": entry[f"{_FITTED[:-2]}_uncertainty_m"]} if _FITTED in entry else {}
            line.append(number(entry[_FITTED], length, fit) if fit else "")
        lines.append(line)
    return grid(header, lines, "Moments at walls", heads=2) if lines else None
