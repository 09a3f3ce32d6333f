"""Inputs of a case as variables; parameters of the drawing move the nodes of one mesh."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any

import numpy as np

from meso.case import Case
from meso.designing.descent import Limits
from meso.designing.outline import NOTHING, Outline, outline_of
from meso.designing.problem import Designing, Trial
from meso.designing.schema import Bounds
from meso.designing.walls import TORN, WORN, quality
from meso.device import Device
from meso.discrete.extension import extended
from meso.errors import CaseError, GeometryError
from meso.geometry import gmsh_process
from meso.geometry.gmsh_process import Source
from meso.geometry.trace import Places, Signature, Trace
from meso.gradients import gradient
from meso.gradients.inputs import inputs_of, moved
from meso.gradients.motion import moving_nodes
from meso.mpi import concatenated, on_root
from meso.results.grid import plain
from meso.results.mesh import source

#: Of the differences by which motions of the outline are found, over the ranges.
_STEP = 1e-3
#: Devices that are kept: where one is, and where directions are looked for.
_KEPT = 8
_START = "geometry.parameters."


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """An input with its bounds, SI; parameters of a drawing in its unit."""

    key: str
    low: float
    high: float
    start: float

    @property
    def parameter(self) -> str:
        """The name of a parameter of the drawing; empty for all others."""
        return self.key.removeprefix(_START) if self.key.startswith(_START) else ""


def variables(case: Case, wanted: Mapping[str, Bounds]) -> tuple[Case, tuple[Variable, ...]]:
    """The inputs that vary, and the case at their start.

    Raises:
        CaseError: An input that is unknown or discrete, bounds that are none.
    """
    given = {k: bounds.start for k, bounds in wanted.items() if bounds.start is not None}
    case = moved(case, given)
    out, problems = [], []
    for key, bounds in wanted.items():
        try:
            (one,) = inputs_of(case, [key])
            low, high = (_in_si(value, one.unit) for value in (bounds.min, bounds.max))
            if not low < high:
                raise CaseError(
                    f"found min = {bounds.min} and max = {bounds.max}; min < max needed"
                )
            if not low <= one.value <= high:
                text = f"found the start {one.value:g} outside of {low:g} … {high:g}"
                raise CaseError(f"{text}; give another as start")
            out.append(Variable(key=key, low=low, high=high, start=one.value))
        except CaseError as error:
            problems += [(f"parameters.{key}", text) for _, text in error.problems]
    if problems:
        raise CaseError(*problems)
    return case, tuple(out)


def _in_si(value: Any, unit: str) -> float:
    number, found = plain(value)
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise CaseError(f"found {value!r}; must be a number" + (f" in {unit}" if unit else ""))
    if found and found != unit:
        raise CaseError(f"found {value!r}; must be in {unit or 'the unit of the drawing'}")
    return float(number)


@dataclass(frozen=True, kw_only=True, eq=False)
class Moving:
    """A device that follows the parameters of its drawing.

    The nodes of its boundaries stay at the same places of the same curves.

    Attributes:
        device: The device as it was made.
        source: Its drawing with the parameters it was made with.
        nodes: Geometry nodes of this rank that lie on curves.
        first: Where those of this rank begin among all.
        points: These nodes of all ranks, in the unit of the drawing.
        signature: What the drawing has.
        places: Where the nodes are on its curves.
    """

    device: Device
    source: Source
    nodes: np.ndarray
    first: int
    points: np.ndarray
    signature: Signature
    places: Places

    @classmethod
    def of(cls, case: Case, device: Device, *, trusted: bool) -> Moving:
        """Find the places; all ranks call this."""
        wish = source(case, trusted=trusted, comm=device.comm)
        nodes, d = np.flatnonzero(moving_nodes(device)), device.dimension
        points = concatenated(device.comm, device.mesh.geometry.x[nodes, :d]) / device.length_unit
        counts = device.comm.allgather(len(nodes))
        found = on_root(device.comm, lambda: _call("locate", wish, points=points))
        signature, places = found
        if (places.dimension == 0).any():
            raise GeometryError(f"{wish.path}: nodes of the mesh lie on no curve of the drawing")
        return cls(
            device=device,
            source=wish,
            nodes=nodes,
            first=sum(counts[: device.comm.rank]),
            points=points,
            signature=signature,
            places=places,
        )

    def displacement(self, parameters: Mapping[str, float]) -> np.ndarray:
        """How far this rank's geometry nodes move to other parameters, m.

        Raises:
            GeometryError: The drawing has other curves there, or none.
        """
        device = self.device

        def there() -> np.ndarray:
            signature, found = _call("evaluate", self.source, places=self.places, values=parameters)
            if signature != self.signature:
                raise GeometryError(f"{self.source.path}: has other curves at {dict(parameters)}")
            return np.asarray(found - self.points) * device.length_unit

        step = on_root(device.comm, there)[self.first : self.first + len(self.nodes)]
        known = np.full((len(device.mesh.geometry.x), device.dimension), np.nan)
        known[self.nodes] = step
        return extended(device, known)


def _call(
    what: str,
    wish: Source,
    *,
    points: np.ndarray | None = None,
    places: Places | None = None,
    values: Mapping[str, float] | None = None,
) -> tuple[Signature, Any]:
    parts = {f.name: getattr(wish, f.name) for f in fields(Source)}
    parts["parameters"] = wish.parameters | dict(values or {})
    trace = Trace(**parts, points=points, places=places)
    found: tuple[Signature, Any] = gmsh_process.call(f"geometry.motion.{what}", trace)
    return found


@dataclass(kw_only=True, eq=False)
class ParameterDesign(Designing):
    """Inputs within bounds; each variable goes from 0 to 1.

    Attributes:
        case: The case at which the mesh was made.
        device: That mesh.
        variables: The inputs.
        trusted: True if the drawing may run commands and write files.
    """

    case: Case
    device: Device
    variables: tuple[Variable, ...]
    trusted: bool = False
    _known: dict[tuple[float, ...], Device] = field(default_factory=dict)

    @cached_property
    def moving(self) -> Moving | None:
        """The device as it follows the drawing; None if no variable moves it."""
        if not any(v.parameter for v in self.variables):
            return None
        return Moving.of(self.case, self.device, trusted=self.trusted)

    def values(self, x: np.ndarray) -> dict[str, float]:
        """The inputs, by key."""
        inside = np.clip(x, 0.0, 1.0).tolist()
        pairs = zip(self.variables, inside, strict=True)
        return {v.key: v.low + t * (v.high - v.low) for v, t in pairs}

    def start(self) -> np.ndarray:
        """Variables before the mesh has moved."""
        now = {one.key: one.value for one in inputs_of(self.case, [v.key for v in self.variables])}
        return np.array([(now[v.key] - v.low) / (v.high - v.low) for v in self.variables])

    def placed(self, x: np.ndarray) -> tuple[Case, Device]:
        """Case and device at a place; a GeometryError if the mesh cannot follow."""
        values = self.values(x)
        try:
            case = moved(self.case, values)
        except CaseError as error:
            raise GeometryError(str(error)) from None
        return case, self._device(values)

    def _device(self, values: Mapping[str, float]) -> Device:
        """The mesh moved to these inputs; the last ones are kept."""
        if self.moving is None:
            return self.device
        given = {v.parameter: values[v.key] for v in self.variables if v.parameter}
        key = tuple(given.values())
        if key not in self._known:
            device = self.device.moved(self.moving.displacement(given))
            if device.dimension == 2 and quality(self.device, device) < TORN:
                raise GeometryError(f"{device.source}: cells would become too flat")
            if len(self._known) >= _KEPT:
                del self._known[next(iter(self._known))]
            self._known[key] = device
        return self._known[key]

    def outline(self, x: np.ndarray) -> Outline:
        """The outline at a place; none if nothing is asked of it."""
        return NOTHING if self.shape.is_free else outline_of(self._device(self.values(x)))

    def directions(self, x: np.ndarray) -> np.ndarray:
        """Motion of the outline's nodes with each variable."""
        here = self.outline(x).points
        out = np.zeros((len(x), *here.shape))
        for k, variable in enumerate(self.variables):
            if variable.parameter and here.size:
                step = _STEP if x[k] < 0.5 else -_STEP
                there = self.outline(x + step * np.eye(len(x))[k]).points
                out[k] = (there - here) / step
        return out

    def slopes(self, trial: Trial) -> dict[str, np.ndarray]:
        """Derivatives of the outputs in the variables."""
        columns = self.goal.columns(trial.result)
        found = gradient(
            trial.result,
            list(columns.values()),
            of=[v.key for v in self.variables],
            trusted=self.trusted,
        )
        wide = np.array([v.high - v.low for v in self.variables])
        return {
            name: wide * found.derivatives[found.outputs.index(column)]
            for name, column in columns.items()
        }

    def metric(self) -> np.ndarray:
        """Positive matrix by which small steps are compared."""
        return np.eye(len(self.variables))

    def length(self, step: np.ndarray) -> float:
        """Length of a step over the longest one that is sensible."""
        return float(np.abs(step).max()) / self.longest

    def worn(self, trial: Trial) -> bool:
        """Whether the mesh is deformed so much that it should be made anew."""
        flat = trial.result.device.dimension == 2 and self.moving is not None
        return flat and quality(self.device, trial.result.device) < WORN

    def bounds(self, x: np.ndarray) -> Limits:
        """Limits of the variables themselves."""
        n = len(x)
        return Limits(values=x, low=np.zeros(n), high=np.ones(n), slopes=np.eye(n), lasting=n)
