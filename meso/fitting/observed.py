"""The data as arrays in SI units, each with the output that it measures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from meso.errors import CaseError, known
from meso.fitting.evaluating import Record, picked
from meso.fitting.problem import Point, Problem
from meso.fitting.table import Header, Measurement
from meso.units import factor


@dataclass(frozen=True, kw_only=True, eq=False)
class Observed:
    """Data: shape (n,) each.

    Attributes:
        points: Number of the point that each belongs to.
        names: The output, of a profile with the number of its position.
        labels: The same for people, without number.
        units: SI units.
        lines: Lines of the tables.
        positions: Along the probe, m; NaN for other outputs.
        values: What was measured.
        uncertainties: Its standard deviation.
    """

    points: np.ndarray
    names: tuple[str, ...]
    labels: tuple[str, ...]
    units: tuple[str, ...]
    lines: tuple[int, ...]
    positions: np.ndarray
    values: np.ndarray
    uncertainties: np.ndarray

    @classmethod
    def resolve(cls, problem: Problem, records: Sequence[Record]) -> Observed:
        """Find the outputs of all measurements in the first results.

        Raises:
            CaseError: A column that is no output, or has another unit.
        """
        rows: list[tuple[Any, ...]] = []
        problems: dict[str, dict[tuple[str, str], None]] = {}
        seen: dict[tuple[str, int, str], Header] = {}
        for number, one in problem.measured:
            point = problem.points[number]
            try:
                row = _row(point, one, records[number])
                other = seen.setdefault((point.data, one.line, row[0]), one.header)
                if other != one.header:
                    text = f"is the same result as column {other.column} ({other.text})"
                    raise CaseError((one.header.where, text))
                rows.append((number, *row))
            except CaseError as error:
                table = str(problem.tables[point.data])
                problems.setdefault(table, {}).update(dict.fromkeys(error.problems))
        for table, found in problems.items():
            raise CaseError(*found, file=table)
        points, names, labels, units, lines, positions, values, errors = zip(*rows, strict=True)
        return cls(
            points=np.array(points),
            names=names,
            labels=labels,
            units=units,
            lines=lines,
            positions=np.array(positions, dtype=float),
            values=np.array(values, dtype=float),
            uncertainties=np.array(errors, dtype=float),
        )

    def __len__(self) -> int:
        return len(self.values)

    def wanted(self, point: int) -> tuple[str, ...]:
        """The outputs of a point, in the order of its data."""
        return tuple(self.names[i] for i in np.flatnonzero(self.points == point))

    def picked(self, records: Sequence[Record]) -> np.ndarray:
        """What the results of all points say about the data, shape (n,)."""
        return np.array(
            [
                _value(records[point], name)
                for point, name in zip(self.points, self.names, strict=True)
            ]
        )


def _value(record: Record, name: str) -> float:
    return np.nan if "error" in record else picked(record["outputs"], name)


def _row(point: Point, one: Measurement, record: Record) -> tuple[Any, ...]:
    """Name, label, unit, line, position, value and uncertainty of a measurement."""
    units, header = record["units"], one.header
    found = [
        (own, unit)
        for name, unit in header.splits()
        for own in (name, ".".join([*name.split(".")[1:], name.split(".")[0]]))
        if own in units
    ]
    if not found:
        text = f"no such output; {known(header.text, units)}"
        raise CaseError((header.where, text))
    label, unit = found[-1]
    si = units[label]
    if bool(unit) != bool(si):
        is_number = f'found the unit "{unit}", but {label} is a number without'
        text = is_number if unit else f"no unit; {label} is in {si}"
        raise CaseError((header.where, text))
    try:
        size = factor(unit, si) if si else 1.0
        error = factor(one.uncertainty_unit, si) if one.uncertainty_unit else size
    except CaseError as problem:
        raise CaseError((header.where, str(problem))) from None
    name, position = label, np.nan
    if point.profile is not None and one.position is not None:
        position = one.position
        name = f"{label}@{point.profile.positions.index(position)}"
    values = one.value * size, one.uncertainty * error
    if not np.isfinite(_value(record, name)):
        where = f"line {one.line}"
        raise CaseError((where, f"{header.text}: this point lies outside the conductor"))
    return name, label, si, one.line, position, *values
