"""What is fitted to what: parameters, the cases of the data, and their numbers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from meso.case import Case, Figures
from meso.case.tables import from_file, override, shared
from meso.errors import CaseError, known
from meso.fitting import schema
from meso.fitting.parameters import Parameter, Theta, parameters
from meso.fitting.scales import Scale, scales
from meso.fitting.table import Header, Measurement, measurements
from meso.gradients.inputs import moved
from meso.results.grid import Axis, fingerprint, named


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
    multiples: tuple[float, ...]
    profile: Profile | None = None

    @property
    def name(self) -> str:
        """For messages."""
        inside = named({key: value for key, value in self.settings.items()})
        return f"{self.data}: {inside}" if inside else self.data

    def at(self, theta: Sequence[float]) -> Case:
        """The case with values of the parameters."""
        pairs = zip(self.keys, self.multiples, theta, strict=True)
        return moved(self.case, {key: x * multiple for keys, multiple, x in pairs for key in keys})

    @property
    def identity(self) -> str:
        """Hash of all that decides about its results, but the parameters."""
        profile = self.profile and (self.profile.probe, self.profile.positions, self.profile.fields)
        text = json.dumps([self.case.hash, self.keys, self.multiples, profile])
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, kw_only=True, eq=False)
class Problem:
    """A checked file of a fit.

    Attributes:
        file: The file.
        title: Of the fit.
        parameters: What may vary; scales come last, once the first results have told their units.
        scales: Of data in units of their own.
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
    scales: tuple[Scale, ...]
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
        found = from_file(path, lambda tables: schema.read(override(tables, own), path.parent))
        cases = {name: _case(data, of_cases) for name, data in found.data.items()}
        try:
            varied = parameters(found, cases)
        except CaseError as error:
            raise CaseError(*error.problems, file=str(path)) from None
        points, measured = _points(found, cases, varied)
        try:
            factors = scales(found, _headers(found, points, measured))
            if (count := len(found.parameters)) > len(measured):
                text = f"found {count} parameters, but only {len(measured)} numbers in the data"
                raise CaseError(("parameters", text))
        except CaseError as error:
            raise CaseError(*error.problems, file=str(path)) from None
        return cls(
            file=path,
            title=found.title or path.stem,
            parameters=varied,
            scales=factors,
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

    def inputs(self, theta: Theta) -> Theta:
        """Of the values of all parameters those that cases have: all but scales."""
        return theta[: sum(bool(p.keys) for p in self.parameters)]

    def scale_of(self, data: str, column: str) -> int:
        """Number of the parameter that multiplies what a column of a set of data measures, or -1.

        Before the first results, too, from which scales become parameters.
        """
        first = len(self.inputs(self.start))
        found = (i for i, s in enumerate(self.scales, first) if column in s.columns.get(data, ()))
        return next(found, -1)

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


def _headers(
    file: schema.FitFile,
    points: Sequence[Point],
    measured: Sequence[tuple[int, Measurement]],
) -> dict[str, list[Header]]:
    """Headers of the data, for each set."""
    out: dict[str, dict[Header, None]] = {name: {} for name in file.data}
    for number, one in measured:
        out[points[number].data][one.header] = None
    return {name: list(found) for name, found in out.items()}


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
        multiples=tuple(p.multiples.get(name, 1.0) for p in parameters),
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
