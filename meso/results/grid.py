"""The grid of a sweep: keys and their values, and the cases that they make."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import isfinite, isinf
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from meso.case import Case, parse_overrides, writing
from meso.errors import CaseError, GeometryError
from meso.files.readable import suffix
from meso.geometry import gmsh_process
from meso.geometry.gmsh_process import Source
from meso.geometry.layers import Sizes
from meso.units import quantity

#: What a swept text may be measured in; anything else is a name.
_UNITS = (
    *("m", "V", "A", "A/m", "S", "S/m", "ohm", "ohm*m", "J", "J*s/A"),
    *("T", "s", "m^2/s", "m/s", "1/m"),
)

_END = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*(.*?)\s*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """One swept key, and its values as the case file would have them: numbers, or texts."""

    key: str
    values: tuple[Any, ...]
    scale: str = "list"  # or "linear", "log"

    @property
    def numbers(self) -> tuple[Any, ...]:
        """The values in SI units; texts and truth values stay what they are."""
        return tuple(plain(value)[0] for value in self.values)

    @property
    def unit(self) -> str:
        """SI unit of the values; empty where they have none (a drawing's own lengths)."""
        return next((unit for unit in (plain(value)[1] for value in self.values) if unit), "")

    @property
    def column(self) -> str:
        """Header in the table: the key and the unit."""
        return self.key + ("_" + suffix(self.unit) if self.unit else "")


def si_value(text: str) -> tuple[float, str] | None:
    """A text with a unit as a number in SI units, and that unit; None for other texts."""
    for unit in _UNITS if _END.fullmatch(text) else ():
        try:
            return quantity(text, unit), unit
        except CaseError:
            continue
    return None


def plain(value: Any) -> tuple[Any, str]:
    """A value in SI units as a table has it, and that unit."""
    if isinstance(value, str):
        return si_value(value) or (value, "")
    if isinstance(value, float) and isinf(value):
        return str(value), ""  # JSON has no infinity
    return (json.dumps(value) if isinstance(value, dict | list) else value), ""


def parse_axis(text: str) -> Axis:
    """Read "key=start:stop:n", "key=start:stop:n:log" or "key=a,b,c".

    Start and stop may carry a unit, "1nm:100nm:9:log"; the entries of a list are those of
    ``--set``, and a TOML array is a list too.
    """
    key, separator, spec = (part.strip() for part in text.partition("="))
    if not separator or not spec or not all(key.split(".")):
        raise CaseError(("--over", f'found "{text}"; expected key=start:stop:n[:log] or key=a,b,c'))
    try:
        if ":" in spec and not spec.startswith("["):
            values, scale = _range(spec)
        else:
            values, scale = _entries(spec), "list"
        axis = Axis(key=key, values=tuple(values), scale=scale)
        for i, number in enumerate(axis.numbers):
            if number in axis.numbers[:i]:
                raise CaseError(f"the value {values[i]} comes twice")
    except CaseError as error:
        raise CaseError(*((f"--over {key}", problem) for _, problem in error.problems)) from None
    return axis


def _entries(spec: str) -> list[Any]:
    if not spec.startswith("["):
        texts = spec.split(",")
        if not all(text.strip() for text in texts):
            raise CaseError(f'an entry of the list "{spec}" is empty')
        return [parse_overrides([f"v={text}"])["v"] for text in texts]
    values = parse_overrides([f"v={spec}"])["v"]
    if not isinstance(values, list):
        raise CaseError(f'"{spec}" is not a TOML array')
    if not values:
        raise CaseError("the list is empty")
    return values


def _range(spec: str) -> tuple[list[Any], str]:
    """Values between two ends, with twelve digits, in the unit of the first; and their scale."""
    parts = [part.strip() for part in spec.split(":")]
    if len(parts) not in (3, 4) or (len(parts) == 4 and parts[3] not in ("log", "linear")):
        raise CaseError(f'found "{spec}"; expected start:stop:n or start:stop:n:log')
    if not re.fullmatch(r"\d+", parts[2]) or int(parts[2]) < 2:
        raise CaseError(f'found "{parts[2]}" points; must be an integer of at least 2')
    pair = f'"{parts[0]}" and "{parts[1]}"'
    ends = []
    for part in parts[:2]:
        if not (end := _END.fullmatch(part)):
            raise CaseError(f'found "{part}"; must be a number, or a number with its unit')
        ends.append(end.groups())
    (first, unit), (last, other) = ends
    if bool(unit) != bool(other):
        raise CaseError(f"found {pair}; give both ends their unit, or none")
    low, high = float(first), float(last)
    if unit:
        one, start, stop = (si_value(text) for text in (f"1 {unit}", *parts[:2]))
        for part, found in zip(parts, (start, stop), strict=False):
            if not found:
                raise CaseError(f'found "{part}"; its unit is unknown')
        assert one and start and stop
        if start[1] != stop[1]:
            raise CaseError(f"{pair} have different dimensions")
        high = stop[0] / one[0]
    if low == high or not (isfinite(low) and isfinite(high)):
        raise CaseError(f"found {pair}; must be two different numbers")
    log = parts[3:] == ["log"]
    if log and not (low > 0 and high > 0):
        raise CaseError(f"found {pair}; must be positive for log")
    inside = (np.geomspace if log else np.linspace)(low, high, int(parts[2]))[1:-1]
    # The ends are what was asked for; rounding hides that 0.1 + 0.2 is not 0.3.
    numbers = [low, *(float(f"{x:.12g}") for x in (*inside, high))]
    values: list[Any] = numbers
    if unit:
        values = [f"{x:.12g} {unit}" for x in numbers]
    elif re.fullmatch(r"([+-]?\d+ ?){2}", f"{first} {last}") and all(x == int(x) for x in numbers):
        values = [int(x) for x in numbers]  # a polynomial degree is an integer
    return values, "log" if log else "linear"


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One case of the grid: its number, and the swept values by column, in SI units."""

    index: int
    swept: Mapping[str, Any]
    case: Case
    case_hash: str

    @property
    def name(self) -> str:
        """The swept values, for messages."""
        return named(self.swept)


def named(swept: Mapping[str, Any]) -> str:
    """Swept values for messages: the last word of each column and its value."""
    return ", ".join(f"{key.split('.')[-1]} = {short(v)}" for key, v in swept.items())


def short(value: Any) -> str:
    """A value of the table as messages show it."""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def grid(path: Path, axes: Sequence[Axis], settings: Mapping[str, Any]) -> list[Point]:
    """All points of a sweep, checked; the last key runs fastest.

    ``settings`` (dotted key -> value) are the same in every point. The error of a case that is not
    valid names the point.
    """
    keys = [axis.key for axis in axes]
    for i, key in enumerate(keys):
        if key in keys[:i] or key in settings:
            raise CaseError((f"--over {key}", "this key is set twice"))
        if key == "title" or key.startswith("output.directory"):
            raise CaseError((f"--over {key}", "does not change any result"))
    if not axes:
        raise CaseError(("--over", "nothing to sweep; e.g. --over flow.order=2:5:4"))
    points: dict[str, Point] = {}
    for pairs in product(*(zip(a.values, a.numbers, strict=True) for a in axes)):
        chosen = {key: value for key, (value, _) in zip(keys, pairs, strict=True)}
        try:
            case = Case.load(path, {**settings, **chosen})
        except CaseError as error:
            where = ", ".join(f"{key} = {value}" for key, value in chosen.items())
            problems = [(key, f"{text} (at {where})") for key, text in error.problems]
            raise CaseError(*problems, file=error.file) from None
        index, case_hash = len(points), case.hash
        if case_hash in points:
            twins = f"points {points[case_hash].index} and {index} are the same case"
            text = f"{twins}: {', '.join(keys)} does not change any result there"
            raise CaseError(("--over", text))
        swept = {axis.column: number for axis, (_, number) in zip(axes, pairs, strict=True)}
        points[case_hash] = Point(index=index, swept=swept, case=case, case_hash=case_hash)
    return list(points.values())


def fingerprint(case: Case, axes: Sequence[Axis]) -> str:
    """Hash of what all points of a sweep share: the case without the swept keys."""
    tables = json.loads(json.dumps(writing.plain(case.given), default=str))
    for dotted in (
        *(axis.key for axis in axes),
        "title",
        "figures",
        "geometry.file",
        "output.directory",
    ):
        *folders, last = dotted.split(".")
        table = tables
        for name in folders:
            table = table.get(name, {}) if isinstance(table, dict) else {}
        if isinstance(table, dict):
            table.pop(last, None)
    keys = sorted(axis.column for axis in axes)
    digest = hashlib.sha256(json.dumps([keys, tables], sort_keys=True).encode())
    if "geometry.file" not in {axis.key for axis in axes}:
        for content in writing.contents(case.geometry.file):
            digest.update(content)
    return digest.hexdigest()


class Named(Protocol):
    """A case with a name for messages."""

    @property
    def case(self) -> Case:
        """The case."""

    @property
    def name(self) -> str:
        """What tells it from others."""


def check_drawings(points: Sequence[Named], trusted: bool = False) -> None:
    """Open the drawing with the parameters of each point, which may be out of range."""
    seen = set()
    for point in points:
        geometry = point.case.geometry
        key = (geometry.file, *sorted(geometry.parameters.items()))
        if geometry.file.suffix != ".geo" or key in seen:
            continue
        seen.add(key)
        source = Source(
            path=geometry.file,
            unit=geometry.length_unit,
            parameters=dict(geometry.parameters),
            sizes=Sizes(order=None),
            trusted=trusted,
        )
        try:
            gmsh_process.call("geometry.meshing.bounding_box", source)
        except GeometryError as error:
            raise GeometryError(f"{error} (at {point.name})") from None
