"""What is fitted to what: parameters, the cases of the data, and their numbers."""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import isfinite
from pathlib import Path
from typing import Any

from meso.case import Case, Figures
from meso.case.tables import override, shared
from meso.errors import CaseError, known
from meso.fitting import schema
from meso.fitting.table import Measurement, measurements
from meso.gradients.inputs import Input, inputs_of, moved
from meso.results.grid import Axis, fingerprint, named
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
        scales: By what it is multiplied there: lengths of a drawing have the unit of that.
        unit: The SI unit.
        shown: The unit of reports, as the file has it.
        start: First value.
        low: Lower bound.
        high: Upper bound.
    """

    name: str
    keys: Mapping[str, tuple[str, ...]]
    scales: Mapping[str, float]
    unit: str
    shown: str
    start: float
    low: float
    high: float

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
        """What it is: the last word of its keys."""
        return next(iter(self.keys.values()))[0].split(".")[-1]

    @property
    def size(self) -> float:
        """SI units in the unit of reports."""
        return factor(self.shown, self.unit) if self.shown else 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Where fields are wanted along a probe: distances from its start, m."""

    probe: str
    positions: tuple[float, ...]
    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A case that is solved: one set of the inputs that a table has."""

    index: int
    data: str
    case: Case
    settings: Mapping[str, float]
    keys: tuple[tuple[str, ...], ...]  # of each parameter
    scales: tuple[float, ...]
    profile: Profile | None = None

    @property
    def name(self) -> str:
        """For messages."""
        inside = named({key: value for key, value in self.settings.items()})
        return f"{self.data}: {inside}" if inside else self.data

    def at(self, theta: Sequence[float]) -> Case:
        """The case with values of the parameters."""
        pairs = zip(self.keys, self.scales, theta, strict=True)
        return moved(self.case, {key: x * scale for keys, scale, x in pairs for key in keys})

    @property
    def identity(self) -> str:
        """Hash of all that decides about its results, but the parameters."""
        profile = self.profile and (self.profile.probe, self.profile.positions, self.profile.fields)
        text = json.dumps([self.case.hash, self.keys, self.scales, profile])
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, kw_only=True, eq=False)
class Problem:
    """A checked file of a fit.

    Attributes:
        file: The file.
        title: Of the fit.
        parameters: What may vary.
        cases: The case of each set of data, as it is without the parameters.
        tables: Where the data of each set come from.
        points: What is solved.
        measured: The data, each with the number of its point.
        options: How the fit is done.
        directory: Where the result goes, if the file says so.
    """

    file: Path
    title: str
    parameters: tuple[Parameter, ...]
    cases: Mapping[str, Case]
    tables: Mapping[str, Path]
    points: tuple[Point, ...]
    measured: tuple[tuple[int, Measurement], ...]
    options: schema.Options
    directory: Path | None

    @classmethod
    def load(
        cls,
        path: str | Path,
        overrides: Mapping[str, Any] | None = None,
    ) -> Problem:
        """Read a file, the cases and the tables that it names.

        Args:
            path: The file.
            overrides: Dotted key -> value, in place of what the file says, or all of its cases if
                a file has no such key.

        Raises:
            CaseError: What is wrong in any of them.
        """
        path = Path(path)
        own, of_cases = shared(overrides or {}, schema.OWN)
        try:
            tables = tomllib.loads(path.read_text(encoding="utf-8"))
            found = schema.read(override(tables, own), path.parent)
        except OSError as error:
            raise CaseError(f"cannot read: {error.strerror}", file=str(path)) from None
        except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise CaseError(f"not valid TOML: {error}", file=str(path)) from None
        except CaseError as error:
            raise CaseError(*error.problems, file=str(path)) from None
        cases = {name: _case(data, of_cases) for name, data in found.data.items()}
        try:
            parameters = _parameters(found, cases)
        except CaseError as error:
            raise CaseError(*error.problems, file=str(path)) from None
        points, measured = _points(found, cases, parameters)
        if len(parameters) > len(measured):
            text = f"found {len(parameters)} parameters, but only {len(measured)} numbers in the"
            raise CaseError(("parameters", f"{text} data"), file=str(path))
        return cls(
            file=path,
            title=found.title or path.stem,
            parameters=parameters,
            cases=cases,
            tables={name: data.file for name, data in found.data.items()},
            points=points,
            measured=measured,
            options=found.fit,
            directory=found.output.directory,
        )

    @property
    def start(self) -> Theta:
        """The first values of the parameters."""
        return tuple(p.start for p in self.parameters)

    @property
    def figures(self) -> Figures:
        """How pictures look: as the first case says."""
        return next(iter(self.cases.values())).figures

    @cached_property
    def fingerprint(self) -> str:
        """Hash of what belongs to one fit: cases without their parameters, and which these are."""
        parts: list[Any] = []
        for name, case in self.cases.items():
            keys = sorted({key for p in self.parameters for key in p.keys.get(name, ())})
            parts.append([name, keys, fingerprint(case, [Axis(key=k, values=()) for k in keys])])
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _case(data: schema.Data, settings: Mapping[str, Any]) -> Case:
    """The case of a set of data, which a fit can use."""
    case = Case.load(data.case, {**data.set, **settings})
    problems = []
    if case.mesh.adapt is not None:
        problems.append(("mesh.adapt", "is not for fits, which keep a mesh; leave it out"))
    if data.probe is not None and data.probe not in case.output.probes:
        text = f'no probe "{data.probe}"; {known(data.probe, case.output.probes)}'
        problems.append(("output.probes", text))
    if problems:
        raise CaseError(*problems, file=str(data.case))
    return case


# --- parameters


def _parameters(file: schema.FitFile, cases: Mapping[str, Case]) -> tuple[Parameter, ...]:
    out, problems, taken = [], [], dict[tuple[str, str], str]()
    for name, table in file.parameters.items():
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
    shown = _UNIT.fullmatch(table.start) if isinstance(table.start, str) else None
    if not low < high:
        raise CaseError(("bounds", f"found {list(table.bounds)}; the first must be the lower one"))
    if not low <= start <= high:
        text = f"found {table.start!r}; must lie within the bounds {list(table.bounds)}"
        raise CaseError(("start", text))
    lengths = {data: cases[data].geometry.length_unit for data in found}
    return Parameter(
        name=name,
        keys={data: tuple(one.key for one in many) for data, many in found.items()},
        scales={data: 1 / lengths[data] if drawn and unit else 1.0 for data in found},
        unit=unit,
        shown=shown[1] if shown else unit,
        start=start,
        low=low,
        high=high,
    )


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
    hashes = []
    for data, keys in parameter.keys.items():
        for value in (parameter.low, parameter.high):
            try:
                settings = dict.fromkeys(keys, value * parameter.scales[data])
                hashes.append(moved(cases[data], settings).hash)
            except CaseError as error:
                texts = dict.fromkeys(text for _, text in error.problems)
                raise CaseError(*(("bounds", text) for text in texts)) from None
    if len(set(hashes)) == len(parameter.keys):
        raise CaseError(("key", "does not change any result"))


# --- points


def _points(
    file: schema.FitFile, cases: Mapping[str, Case], parameters: Sequence[Parameter]
) -> tuple[tuple[Point, ...], tuple[tuple[int, Measurement], ...]]:
    points: list[Point] = []
    measured: list[tuple[int, Measurement]] = []
    for name, data in file.data.items():
        found = measurements(data, cases[name])
        groups: dict[tuple[float, ...], list[Measurement]] = {}
        for one in found:
            groups.setdefault(tuple(one.settings.values()), []).append(one)
        for group in groups.values():
            points.append(_point(len(points), name, data, cases[name], group, parameters))
            measured += [(len(points) - 1, one) for one in group]
    return tuple(points), tuple(measured)


def _point(
    index: int,
    name: str,
    data: schema.Data,
    case: Case,
    group: Sequence[Measurement],
    parameters: Sequence[Parameter],
) -> Point:
    """The point of measurements under equal circumstances."""
    settings, line = group[0].settings, f"line {group[0].line}"
    keys = tuple(p.keys.get(name, ()) for p in parameters)
    twice = [key for of in keys for key in of if key in settings]
    if twice:
        text = "is a column of the data and a parameter; it can be one of the two"
        raise CaseError((twice[0], text), file=str(data.file))
    profile = None
    if data.probe is not None:
        profile = Profile(
            probe=data.probe,
            positions=tuple(dict.fromkeys(one.position or 0.0 for one in group)),
            fields=_fields(case, group, data),
        )
    point = Point(
        index=index,
        data=name,
        case=case,
        settings=settings,
        keys=keys,
        scales=tuple(p.scales.get(name, 1.0) for p in parameters),
        profile=profile,
    )
    try:
        point = replace(point, case=moved(case, settings))
        point.at([p.start for p in parameters])
    except CaseError as error:
        problems = [(line, f"{key}: {text}" if key else text) for key, text in error.problems]
        raise CaseError(*problems, file=str(data.file)) from None
    return point


def _fields(case: Case, group: Sequence[Measurement], data: schema.Data) -> tuple[str, ...]:
    """The fields that the columns of a profile name."""
    names = case.output.fields or ()
    out = []
    for header in dict.fromkeys(one.header for one in group):
        found = [n.split(".")[0] for n, _ in header.splits() if n.split(".")[0] in names]
        if not found:
            text = f"no such field; {known(header.text, names)}"
            raise CaseError((header.where, text), file=str(data.file))
        out.append(found[-1])
    return tuple(dict.fromkeys(out))
