"""The data as arrays in SI units, each with the output that it measures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from meso.errors import CaseError, known
from meso.fitting.evaluating import Record, picked
from meso.fitting.parameters import Theta
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
        factors: Number of the parameter that multiplies the output, where data are in a unit of
            their own, which is that of values and uncertainties then; -1 for none.
    """

    points: np.ndarray
    names: tuple[str, ...]
    labels: tuple[str, ...]
    units: tuple[str, ...]
    lines: tuple[int, ...]
    positions: np.ndarray
    values: np.ndarray
    uncertainties: np.ndarray
    factors: np.ndarray

    @classmethod
    def resolve(cls, problem: Problem, records: Sequence[Record]) -> Observed:
        """Find the outputs of all measurements in the first results.

        Raises:
            CaseError: A column that is no output, or has another unit.
        """
        rows: list[tuple[Any, ...]] = []
        problems: dict[str, dict[tuple[str, str], None]] = {}
        seen: dict[tuple[str, int, str, int], Header] = {}
        for number, one in problem.measured:
            point = problem.points[number]
            try:
                of = problem.scale_of(point.data, one.header.text)
                row = _row(point, one, records[number], of >= 0)
                other = seen.setdefault((point.data, one.line, row[0], of), one.header)
                if other != one.header:
                    text = f"is the same result as column {other.column} ({other.text})"
                    raise CaseError((one.header.where, text))
                rows.append((number, *row, of))
            except CaseError as error:
                table = str(problem.tables[point.data])
                problems.setdefault(table, {}).update(dict.fromkeys(error.problems))
        for table, found in problems.items():
            raise CaseError(*found, file=table)
        points, names, labels, units, lines, positions, values, errors, factors = zip(
            *rows, strict=True
        )
        return cls(
            points=np.array(points),
            names=names,
            labels=labels,
            units=units,
            lines=lines,
            positions=np.array(positions, dtype=float),
            values=np.array(values, dtype=float),
            uncertainties=np.array(errors, dtype=float),
            factors=np.array(factors),
        )

    def scaled(self, problem: Problem, records: Sequence[Record]) -> Problem:
        """The fit with its scales among the parameters, from the first results.

        Raises:
            CaseError: A start or bounds that are none, or are needed.
        """
        T, u, found = self.picked(records), self.uncertainties, []
        for i, scale in enumerate(problem.scales, len(problem.parameters)):
            rows = np.flatnonzero(self.factors == i)
            pairs = [
                (self.units[k], records[self.points[k]]["units"][self.labels[k]]) for k in rows
            ]
            try:
                found.append(scale.parameter(pairs, T[rows] / u[rows], self.values[rows] / u[rows]))
            except CaseError as error:
                at = f"parameters.{scale.name}"
                problems = [(f"{at}.{key}" if key else at, text) for key, text in error.problems]
                raise CaseError(*problems, file=str(problem.file)) from None
        return replace(problem, parameters=(*problem.parameters, *found))

    def multipliers(self, theta: Theta) -> np.ndarray:
        """What the outputs are multiplied by, 1 or a scale, shape (n,)."""
        return np.append(theta, 1.0)[self.factors]

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


def _row(point: Point, one: Measurement, record: Record, scaled: bool) -> tuple[Any, ...]:
    """Name, label, unit, line, position, value and uncertainty of a measurement.

    One that is ``scaled`` stays in its unit.
    """
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
    if scaled:
        if one.uncertainty_unit not in ("", unit):
            text = f'found uncertainties in "{one.uncertainty_unit}"; must be in "{unit}" or in %'
            raise CaseError((header.where, text))
        return _placed(point, one, record, label, unit, one.value, one.uncertainty)
    if bool(unit) != bool(si):
        is_number = f'found the unit "{unit}", but {label} is a number without'
        text = is_number if unit else f"no unit; {label} is in {si}"
        raise CaseError((header.where, text))
    try:
        size = factor(unit, si) if si else 1.0
        error = factor(one.uncertainty_unit, si) if one.uncertainty_unit else size
    except CaseError as problem:
        raise CaseError((header.where, str(problem))) from None
    return _placed(point, one, record, label, si, one.value * size, one.uncertainty * error)


def _placed(
    point: Point,
    one: Measurement,
    record: Record,
    label: str,
    unit: str,
    value: float,
    uncertainty: float,
) -> tuple[Any, ...]:
    """The same from an output, unit, value and uncertainty; raises if there is no such result."""
    name, position = label, np.nan
    if point.profile is not None and one.position is not None:
        position = one.position
        name = f"{label}@{point.profile.positions.index(position)}"
    if not np.isfinite(_value(record, name)):
        where = f"line {one.line}"
        raise CaseError((where, f"{one.header.text}: this point lies outside the conductor"))
    return name, label, unit, one.line, position, value, uncertainty
