"""The continuous inputs of a case: their values, and the case with one of them moved."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import reduce
from math import isfinite
from typing import Any

from meso.case import Case
from meso.case.numbers import unit_of
from meso.case.schema import KINDS
from meso.errors import CaseError, known
from meso.materials.material import SCATTERING
from meso.units import is_number, split
from meso.validation import KEYS

#: What the other tables of a case are for.
_REASONS = {
    "mesh": "is about the mesh: results do not depend on it but for their errors",
    "flow": "is a choice of the model or its discretisation",
    "output": "says what is written, not what is solved",
    "title": "does not change any result",
    "regions": "is a name",
    "geometry": "is no number that may vary",
}
_FIRST = re.compile(r"[+-]?[\d.]+(?:[eE][+-]?\d+)?")
_KINDS = {name: kind for kind, name in KINDS.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """A continuous number of a case.

    Attributes:
        key: Dotted key, as ``meso sweep --over`` has it.
        value: In SI units; parameters of a drawing in the unit of that.
        unit: The SI unit; empty for numbers, and parameters of a drawing.
        uncertainty: One standard deviation in the same unit; 0 if the case states none.
    """

    key: str
    value: float
    unit: str = ""
    uncertainty: float = 0.0

    @property
    def parameter(self) -> str:
        """The name of a parameter of the drawing; empty for all others."""
        start = "geometry.parameters."
        return self.key.removeprefix(start) if self.key.startswith(start) else ""


def inputs_of(case: Case, keys: Sequence[str] | None = None) -> tuple[Input, ...]:
    """Continuous inputs of a case.

    Args:
        case: The case.
        keys: Those that are wanted; all that the case gives by default.

    Raises:
        CaseError: A key that the case does not have, or one of something discrete.
    """
    found = {one.key: one for one in _all(case)}
    if keys is None:
        return tuple(found.values())
    out, problems = [], []
    for key in keys:
        if key not in found and (extra := _input(case, key)):
            found[key] = extra
        if key in found:
            out.append(found[key])
        else:
            problems.append((key, _why_not(case, key, found)))
    if problems:
        raise CaseError(*problems, file=None if case.file is None else str(case.file))
    return tuple(out)


def is_uncertain(case: Case) -> bool:
    """Whether some number of a case has an uncertainty."""
    return any(split(value) for _, value in _leaves(case.given))


def moved(case: Case, values: Mapping[str, Any]) -> Case:
    """The case with other values of some keys, in SI units.

    Raises:
        CaseError: A value that the case does not permit.
    """
    changes: dict[str, Any] = {}
    for key, value in values.items():
        head, _, rate = key.rpartition(".scattering.")
        if head and isinstance(name := case.materials[head.split(".")[1]].scattering, str):
            rates = {f"gamma{m}": x for m, x in SCATTERING[name].items()}
            changes[f"{head}.scattering"] = rates | {rate: value}
        else:
            changes[key] = value
    return case.changed(changes)


def unadapted(case: Case) -> Case:
    """The case on one mesh."""
    mesh = {key: value for key, value in case.given.get("mesh", {}).items() if key != "adapt"}
    given = {**case.given, "mesh": mesh}
    # What is checked already goes with it.
    return replace(case, given=given, mesh=replace(case.mesh, adapt=None))


def _all(case: Case) -> Iterator[Input]:
    keys = [key for key, _ in _leaves(case.given)]
    for name, material in case.used_materials.items():
        # A law by its name stands for numbers, too.
        named = isinstance(material.scattering, str) and material.fermi_line is None
        if named and case.flow.viscous:
            keys.append(f"materials.{name}.scattering.gamma2")
    for key in keys:
        if one := _input(case, key):
            yield one


def _leaves(table: Mapping[str, Any], head: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{head}{key}.")
        else:
            yield f"{head}{key}", value


def _input(case: Case, key: str) -> Input | None:
    """The input of a key, None if it is none."""
    path = key.split(".")
    unit = unit_of(case, path)
    value = None if unit is None else _value(case, path)
    if value is None or not is_number(value) or not isfinite(value):
        return None
    if path[0] == "materials" and path[1] not in case.used_materials:
        return None
    spread = _uncertainty(case, key, float(value))
    return Input(key=key, value=float(value), unit=str(unit), uncertainty=spread)


def _uncertainty(case: Case, key: str, value: float) -> float:
    """One standard deviation of an input, SI, as the case states it."""
    parts = split(dict(_leaves(case.given)).get(key))
    if parts is None:
        return 0.0
    number, deviation = (float(_FIRST.match(part)[0]) for part in parts)  # type: ignore[index]
    if number:
        return abs(value / number) * deviation
    if _FIRST.fullmatch(parts[1]):
        return deviation
    found = _value(moved(case, {key: parts[1]}), key.split("."))
    return abs(float(found))


def _value(case: Case, path: list[str]) -> Any:
    """What a checked case has at a key, None for nothing."""
    if path[-2:-1] == ["scattering"] and len(path) == 4 and path[1] in case.materials:
        return _rate(case.materials[path[1]].scattering, path[3])
    names = {key: name for name, key in KEYS.items()}

    def inside(thing: Any, name: str) -> Any:
        if isinstance(thing, Mapping):
            return thing.get(name)
        if name in _KINDS.values() and type(thing) in _KINDS:
            return thing if _KINDS[type(thing)] == name else None
        return getattr(thing, names.get(name, name), None) if is_dataclass(thing) else None

    return reduce(inside, path, case)


def _rate(scattering: str | Mapping[str, float], name: str) -> float | None:
    """A relaxation rate, also of a law that has a name."""
    if not isinstance(scattering, str):
        return scattering.get(name)
    order = name.removeprefix("gamma")
    return SCATTERING[scattering].get(int(order), 1.0) if order.isdigit() else None


def _why_not(case: Case, key: str, found: Mapping[str, Input]) -> str:
    """Why there is no derivative in a key."""
    path = key.split(".")
    given: Any = dict(_leaves(case.given)).get(key, _value(case, path))
    table = getattr(case, path[0], None)
    names = {field.name for field in fields(table)} if is_dataclass(table) else set()
    if given is None and path[1:] and path[1] in names and unit_of(case, path) is None:
        why = _REASONS.get(path[0], "is no continuous number")
        return f"not given; {why}: there is no derivative in it (meso sweep varies it)"
    if given is None or unit_of(case, path) is None and path[0] not in case.given:
        also = "; if the drawing has it, give its value in geometry.parameters"
        drawn = path[:2] == ["geometry", "parameters"]
        return f"no such input; {known(key, found)}" + also * drawn
    if is_dataclass(given) or isinstance(given, Mapping | list | tuple):
        return f"found {'a profile or tensor' if unit_of(case, path) is not None else 'a table'}"
    if unit_of(case, path) is None:
        why = _REASONS.get(path[0], "is no continuous number")
        return f"found {given!r}; {why}: there is no derivative in it (meso sweep varies it)"
    if isinstance(given, str | float):
        return f"found {given!r}; is not finite, or belongs to a material that no region has"
    return f"found {given!r}; there is no derivative in it"
