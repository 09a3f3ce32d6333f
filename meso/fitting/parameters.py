"""What may vary: numbers of cases with their bounds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

from meso.case import Case
from meso.errors import CaseError, known
from meso.fitting import schema
from meso.gradients.inputs import Input, inputs_of, moved
from meso.units import factor, number, quantity

_UNIT = re.compile(r"\s*[-+]?[\d.]+(?:[eE][-+]?\d+)?\s*(.*?)\s*")
_DRAWING = "geometry.parameters."

Theta = tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A number that may vary, in SI units; lengths of a drawing in metres, too.

    Attributes:
        name: What the file calls it.
        keys: Keys of the case that have its value, for each set of data.
        multiples: By what it is multiplied there: lengths of a drawing have the unit of that.
        unit: The SI unit.
        shown: The unit of reports, as the file has it.
        size: SI units in that one.
        start: First value.
        low: Lower bound.
        high: Upper bound.
        width: What counts as a large change, unless the fit varies the logarithm.
        columns: Headers of the columns that it multiplies, for each set of data, if it is a scale.
    """

    name: str
    keys: Mapping[str, tuple[str, ...]]
    multiples: Mapping[str, float]
    unit: str
    shown: str
    size: float
    start: float
    low: float
    high: float
    width: float
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def log(self) -> bool:
        """Whether the fit varies its logarithm."""
        return self.low > 0

    @property
    def drawn(self) -> bool:
        """Whether it moves the drawing."""
        return any(key.startswith(_DRAWING) for keys in self.keys.values() for key in keys)

    @property
    def kind(self) -> str:
        """What it is: the last word of its keys, or a scale."""
        return next(iter(self.keys.values()))[0].split(".")[-1] if self.keys else "scale"

    @property
    def place(self) -> str:
        """For reports: its keys, or the columns that it multiplies."""
        names = dict.fromkeys(x for of in (self.keys or self.columns).values() for x in of)
        return ("" if self.keys else "scale of ") + ", ".join(names)


def parameters(file: schema.FitFile, cases: Mapping[str, Case]) -> tuple[Parameter, ...]:
    """The numbers of cases that may vary.

    Raises:
        CaseError: What is wrong with any of them.
    """
    out, problems, taken = [], [], dict[tuple[str, str], str]()
    for name, table in file.parameters.items():
        if table.key is None:
            continue
        try:
            one = _parameter(name, table, cases)
            _check(one, cases)
            out.append(one)
            for place in ((data, key) for data, keys in one.keys.items() for key in keys):
                if place in taken:
                    raise CaseError(("key", f"{place[1]} varies with {taken[place]} already"))
                taken[place] = name
        except CaseError as error:
            problems += [
                (f"parameters.{name}.{key}" if key else f"parameters.{name}", text)
                for key, text in error.problems
            ]
    wanted = file.fit.profile if isinstance(file.fit.profile, tuple) else ()
    for name in wanted:
        if name not in file.parameters:
            problems.append(
                ("fit.profile", f'no parameter "{name}"; {known(name, file.parameters)}')
            )
    if problems:
        raise CaseError(*problems)
    return tuple(out)


def _parameter(name: str, table: schema.Parameter, cases: Mapping[str, Case]) -> Parameter:
    """A parameter in SI units, with the keys that each case has."""
    found = _found(table.key, cases)
    first = next(iter(found.values()))[0]
    unlike = [one.key for many in found.values() for one in many if one.unit != first.unit]
    if unlike:
        raise CaseError(("key", f"{first.key} and {unlike[0]} have different units"))
    drawn = any(one.parameter for many in found.values() for one in many)
    # Lengths of drawings are metres here, numbers are as the drawing has them.
    values = {"start": table.start, "bounds": table.bounds[0], "bounds ": table.bounds[1]}
    unit = first.unit
    if drawn and all(isinstance(value, str) for value in values.values()):
        unit = "m"
    read = {key: _read(value, unit, key.strip()) for key, value in values.items()}
    start, low, high = read.values()
    match = _UNIT.fullmatch(table.start) if isinstance(table.start, str) else None
    shown = match[1] if match else unit
    check_limits(start, low, high, table.start, table.bounds)
    lengths = {data: cases[data].geometry.length_unit for data in found}
    return Parameter(
        name=name,
        keys={data: tuple(one.key for one in many) for data, many in found.items()},
        multiples={data: 1 / lengths[data] if drawn and unit else 1.0 for data in found},
        unit=unit,
        shown=shown,
        size=factor(shown, unit) if shown else 1.0,
        start=start,
        low=low,
        high=high,
        width=high - low,
    )


def check_limits(start: float, low: float, high: float, given: Any, bounds: Any) -> None:
    """Raise a CaseError unless a start lies within bounds; both also as the file has them."""
    if not low < high:
        raise CaseError(("bounds", f"found {list(bounds)}; the first must be the lower one"))
    if not low <= start <= high:
        text = f"found {given!r}; must lie within the bounds {list(bounds)}"
        raise CaseError(("start", text))


def _found(key: Any, cases: Mapping[str, Case]) -> dict[str, list[Input]]:
    """The inputs that keys name, for each set of data that has them."""
    wanted = key if isinstance(key, dict) else dict.fromkeys(cases, key)
    for name in wanted:
        if name not in cases:
            raise CaseError(("key", f'no data "{name}"; {known(name, cases)}'))
    out: dict[str, list[Input]] = {}
    failed: dict[str, str] = {}
    for name, keys in wanted.items():
        for one in keys:
            try:
                out.setdefault(name, []).extend(inputs_of(cases[name], [one]))
            except CaseError as error:
                if isinstance(key, dict):
                    raise CaseError(("key", f"{one}: {error.problems[0][1]}")) from None
                failed.setdefault(one, error.problems[0][1])
    there = {one.key for many in out.values() for one in many}
    for one, text in failed.items():
        if one not in there:
            raise CaseError(("key", f"{one}: {text}"))
    return out


def _read(value: float | str, unit: str, where: str) -> float:
    try:
        found = quantity(value, unit) if unit else number(value)
    except CaseError as error:
        raise CaseError((where, str(error))) from None
    if not isfinite(found):
        raise CaseError((where, f"found {value!r}; must be finite"))
    return found


def _check(parameter: Parameter, cases: Mapping[str, Case]) -> None:
    """Whether the cases take the bounds, and depend on the parameter."""
    changes = False
    for data, keys in parameter.keys.items():
        hashes = set()
        for value in (parameter.low, parameter.high):
            try:
                settings = dict.fromkeys(keys, value * parameter.multiples[data])
                hashes.add(moved(cases[data], settings).hash)
            except CaseError as error:
                texts = dict.fromkeys(text for _, text in error.problems)
                raise CaseError(*(("bounds", text) for text in texts)) from None
        changes |= len(hashes) > 1
    if not changes:
        raise CaseError(("key", "does not change any result"))
