"""The grid of a sweep: keys and their values, and the cases that they make."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import isfinite, isinf, log10
from pathlib import Path
from typing import Any

from meso.case import Case, parse_overrides, writing
from meso.errors import CaseError, GeometryError
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
    """One swept key and its values.

    Attributes:
        key: Dotted key of the case.
        values: As the case file would have them: numbers, or texts with a unit.
        scale: "linear", "log" or "list".
    """

    key: str
    values: tuple[Any, ...]
    scale: str = "list"

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


def suffix(unit: str) -> str:
    """A unit as the headers of tables spell it: "S/m" is S_per_m."""
    text = unit.replace("^", "").replace("*", "_").replace("/", "_per_")
    return text.removeprefix("1_") if text.startswith("1_per") else text


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

    Args:
        text: Start and stop may carry a unit, "1nm:100nm:9:log"; the entries of a list are those
            of ``--set``, and a TOML array is a list too.

    Raises:
        CaseError: What cannot be read, and what would be right.
    """
    key, separator, spec = (part.strip() for part in text.partition("="))
    if not separator or not spec or not all(key.split(".")):
        raise CaseError(("--over", f'found "{text}"; expected key=start:stop:n[:log] or key=a,b,c'))
    try:
        if spec.startswith("["):
            values = parse_overrides([f"v={spec}"])["v"]
            if not isinstance(values, list):
                raise CaseError(f'"{spec}" is not a TOML array')
            return _axis(key, values, "list")
        if ":" in spec:
            return _range(key, spec)
        entries = spec.split(",")
        if not all(entry.strip() for entry in entries):
            raise CaseError(f'an entry of the list "{spec}" is empty')
        return _axis(key, [parse_overrides([f"v={entry}"])["v"] for entry in entries], "list")
    except CaseError as error:
        raise CaseError(*((f"--over {key}", problem) for _, problem in error.problems)) from None


def _axis(key: str, values: Sequence[Any], scale: str) -> Axis:
    if not values:
        raise CaseError("the list is empty")
    axis = Axis(key=key, values=tuple(values), scale=scale)
    numbers = axis.numbers
    twice = [v for i, v in enumerate(values) if numbers[i] in numbers[:i]]
    if twice:
        raise CaseError(f"the value {twice[0]} comes twice")
    return axis


def _range(key: str, spec: str) -> Axis:
    """Values between two ends, with twelve digits, in the unit of the first."""
    parts = [part.strip() for part in spec.split(":")]
    if len(parts) not in (3, 4) or (len(parts) == 4 and parts[3] not in ("log", "linear")):
        raise CaseError(f'found "{spec}"; expected start:stop:n or start:stop:n:log')
    if not re.fullmatch(r"\d+", parts[2]) or int(parts[2]) < 2:
        raise CaseError(f'found "{parts[2]}" points; must be an integer of at least 2')
    count, log = int(parts[2]), parts[3:] == ["log"]
    found = [_END.fullmatch(part) for part in parts[:2]]
    if not (found[0] and found[1]):
        bad = parts[0] if not found[0] else parts[1]
        raise CaseError(f'found "{bad}"; must be a number, or a number with its unit')
    (first, unit), (last, other) = ((m[1], m[2]) for m in found if m)
    if bool(unit) != bool(other):
        raise CaseError(f'found "{parts[0]}" and "{parts[1]}"; give both ends their unit, or none')
    low, high = float(first), float(last)
    if unit:
        start, stop = si_value(f"{first} {unit}"), si_value(f"{last} {other}")
        if not start or not stop:
            bad = parts[0] if not start else parts[1]
            raise CaseError(f'found "{bad}"; its unit is unknown')
        if start[1] != stop[1]:
            raise CaseError(f'"{parts[0]}" and "{parts[1]}" have different dimensions')
        one = si_value(f"1 {unit}")
        assert one is not None
        high = stop[0] / one[0]
    if low == high or not (isfinite(low) and isfinite(high)):
        raise CaseError(f'found "{parts[0]}" and "{parts[1]}"; must be two different numbers')
    if log and not (low > 0 and high > 0):
        raise CaseError(f'found "{parts[0]}" and "{parts[1]}"; must be positive for log')
    steps = [i / (count - 1) for i in range(count)]
    if log:
        numbers = [10 ** (log10(low) * (1 - s) + log10(high) * s) for s in steps]
    else:
        numbers = [low * (1 - s) + high * s for s in steps]
    # The ends are what was asked for; rounding hides that 0.1 + 0.2 is not 0.3.
    numbers = [low, *(float(f"{x:.12g}") for x in numbers[1:-1]), float(f"{high:.12g}")]
    whole = re.fullmatch(r"[+-]?\d+", first) and re.fullmatch(r"[+-]?\d+", last)
    values: list[Any] = list(numbers)
    if unit:
        values = [f"{x:.12g} {unit}" for x in numbers]
    elif whole and all(x == int(x) for x in numbers):
        values = [int(x) for x in numbers]  # a polynomial degree is an integer
    return _axis(key, values, "log" if log else "linear")


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One case of the grid.

    Attributes:
        index: Its number in the grid, from 0.
        settings: Dotted key -> value, the swept ones and those of ``--set``.
        swept: Column -> value in SI units.
        case_hash: Of the case.
    """

    index: int
    settings: Mapping[str, Any]
    swept: Mapping[str, Any]
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
    """All points of a sweep; the last key runs fastest. Every case is checked.

    Args:
        path: The case file.
        axes: What is swept.
        settings: Dotted key -> value, the same in every point.

    Raises:
        CaseError: No key, a key twice, or a case that is not valid; then the message names the
            point.
    """
    keys = [axis.key for axis in axes]
    for i, key in enumerate(keys):
        if key in keys[:i] or key in settings:
            raise CaseError((f"--over {key}", "this key is set twice"))
        if key == "title" or key.startswith("output.directory"):
            raise CaseError((f"--over {key}", "does not change any result"))
    if not axes:
        raise CaseError(("--over", "nothing to sweep; e.g. --over flow.order=2:5:4"))
    points: list[Point] = []
    known: dict[str, int] = {}
    for values in product(*(range(len(axis.values)) for axis in axes)):
        chosen = {axis.key: axis.values[i] for axis, i in zip(axes, values, strict=True)}
        swept = {axis.column: axis.numbers[i] for axis, i in zip(axes, values, strict=True)}
        try:
            case = Case.load(path, {**settings, **chosen})
        except CaseError as error:
            where = ", ".join(f"{key} = {value}" for key, value in chosen.items())
            problems = [(key, f"{text} (at {where})") for key, text in error.problems]
            raise CaseError(*problems, file=error.file) from None
        index = len(points)
        if case.hash in known:
            raise CaseError(
                (
                    "--over",
                    f"points {known[case.hash]} and {index} are the same case:"
                    f" {', '.join(keys)} does not change any result there",
                )
            )
        known[case.hash] = index
        points.append(
            Point(
                index=index,
                settings={**settings, **chosen},
                swept=swept,
                case_hash=case.hash,
            )
        )
    return points


def fingerprint(case: Case, axes: Sequence[Axis]) -> str:
    """Hash of what all points of a sweep share: the case without the swept keys."""
    tables = json.loads(json.dumps(writing.plain(case.given), default=str))
    for dotted in (*(axis.key for axis in axes), "title", "geometry.file", "output.directory"):
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


def check_drawings(path: Path, points: Sequence[Point], trusted: bool = False) -> None:
    """Open the drawing with the parameters of each point, which may be out of range.

    Args:
        path: The case file.
        points: All points.
        trusted: True if drawings may run commands and write files.

    Raises:
        GeometryError: A drawing refuses its parameters; the message names the point.
    """
    seen = set()
    for point in points:
        geometry = Case.load(path, point.settings).geometry
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
            gmsh_process.call("check", source)
        except GeometryError as error:
            raise GeometryError(f"{error} (at {point.name})") from None
