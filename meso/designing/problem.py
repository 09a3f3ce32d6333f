"""A design as a problem of optimisation: the target and its limits as functions of numbers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from meso.case import Case
from meso.designing.descent import TOLERANCE, Limits, quadratic
from meso.designing.limits import Shape
from meso.designing.outline import Outline, crosses_itself
from meso.designing.schema import Between
from meso.designing.target import Target
from meso.designing.walls import WORN, FreeWalls, quality
from meso.device import Device
from meso.errors import CaseError, GeometryError
from meso.gradients import adjoint, outputs
from meso.gradients.adjoint import kept
from meso.results.result import Result

#: Times that a shape is moved towards its limits.
_MENDINGS = 8

Numbers = Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """What is asked of the outputs.

    Attributes:
        target: What is to be large or small.
        sign: -1 if large, 1 if small.
        between: Limits of outputs.
        size: Of the target, by which it is divided.
    """

    target: Target
    sign: float
    between: Mapping[str, Between]
    size: float = 1.0

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs that matter."""
        return tuple(dict.fromkeys((*self.target.outputs, *self.between)))

    def columns(self, result: Result) -> dict[str, str]:
        """The columns of a sweep's table that the outputs are.

        Raises:
            CaseError: There is none for one of them; it says where the output is asked for.
        """
        target = "maximise" if self.sign < 0 else "minimise"
        out, problems = {}, []
        for name in self.outputs:
            try:
                (out[name],) = outputs.chosen(result, [name])
            except CaseError as error:
                key = target if name in self.target.outputs else f"constraints.outputs.{name}"
                problems += [(key, text) for _, text in error.problems]
        if problems:
            raise CaseError(*problems)
        return out

    def read(self, result: Result) -> dict[str, float]:
        """These outputs of a result."""
        columns = self.columns(result)
        found = outputs.values(result, columns.values())
        return {name: found[column] for name, column in columns.items()}

    def value(self, found: Numbers) -> float:
        """What is to be small."""
        return self.sign * self.target.value(found) / self.size

    def slope(self, found: Numbers, slopes: Mapping[str, np.ndarray]) -> np.ndarray:
        """Its derivative, from those of the outputs."""
        own = self.target.slopes(found)
        total = sum(own[name] * slopes[name] for name in self.target.outputs)
        return np.asarray(self.sign * total / self.size)

    def limits(self, found: Numbers, slopes: Mapping[str, np.ndarray], count: int) -> Limits:
        """Limits of outputs over their sizes, for a number of variables."""
        names = list(self.between)
        ends = np.array([(b.min, b.max) for b in self.between.values()]).reshape(-1, 2)
        size = np.where(np.isfinite(ends), np.abs(ends), 0.0).max(axis=1)
        size[size == 0] = 1.0
        rows = np.array([slopes.get(name, np.zeros(count)) for name in names])
        return Limits(
            values=np.array([found[name] for name in names]) / size,
            low=ends[:, 0] / size,
            high=ends[:, 1] / size,
            slopes=rows.reshape(-1, count) / size[:, None],
            lasting=len(names),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Trial:
    """A place with its solution."""

    x: np.ndarray
    value: float
    violation: float
    lasting: np.ndarray
    outputs: dict[str, float]
    result: Result
    outline: Outline


@dataclass(kw_only=True, eq=False)
class Designing(ABC):
    """What parameters and free walls have in common, on one mesh that moves.

    Attributes:
        goal: What is asked of the outputs.
        shape: What is asked of the shape.
        solve: Solves a case on a device.
        longest: Longest step that is sensible: of walls in m, of parameters over their ranges.
    """

    goal: Goal
    shape: Shape
    solve: Callable[[Case, Device], Result]
    longest: float

    @abstractmethod
    def start(self) -> np.ndarray:
        """Variables before the mesh has moved."""

    @abstractmethod
    def placed(self, x: np.ndarray) -> tuple[Case, Device]:
        """Case and device at a place; a GeometryError if the mesh cannot follow."""

    @abstractmethod
    def outline(self, x: np.ndarray) -> Outline:
        """The outline at a place."""

    @abstractmethod
    def directions(self, x: np.ndarray) -> np.ndarray:
        """Motion of the outline's nodes with each variable."""

    @abstractmethod
    def slopes(self, trial: Trial) -> dict[str, np.ndarray]:
        """Derivatives of the outputs in the variables."""

    @abstractmethod
    def metric(self) -> np.ndarray:
        """Positive matrix by which small steps are compared."""

    @abstractmethod
    def length(self, step: np.ndarray) -> float:
        """Length of a step over the longest one that is sensible."""

    @abstractmethod
    def worn(self, trial: Trial) -> bool:
        """Whether the mesh is deformed so much that it should be made anew."""

    def values(self, x: np.ndarray) -> dict[str, float]:
        """Inputs of the case that vary, by key."""
        return {}

    def bounds(self, x: np.ndarray) -> Limits:
        """Limits of the variables themselves."""
        empty = np.empty(0)
        return Limits(values=empty, low=empty, high=empty, slopes=np.empty((0, len(x))))

    def at(self, x: np.ndarray) -> Trial:
        """A place with its solution."""
        case, device = self.placed(x)
        result = self.solve(case, device)
        found = self.goal.read(result)
        outline = self.outline(x)
        limits = self._limits(x, outline, found, {}, np.zeros((len(x), *outline.points.shape)))
        return Trial(
            x=x,
            value=self.goal.value(found),
            violation=limits.violation,
            lasting=limits.values[: limits.lasting],
            outputs=found,
            result=result,
            outline=outline,
        )

    def derived(self, trial: Trial) -> tuple[np.ndarray, Limits]:
        """Derivative of what is to be small, and all limits with theirs."""
        # The same to the last digit on all ranks, which then take the same steps.
        slopes = trial.result.device.comm.bcast(self.slopes(trial))
        directions = self.directions(trial.x)
        limits = self._limits(trial.x, trial.outline, trial.outputs, slopes, directions)
        return self.goal.slope(trial.outputs, slopes), limits

    def mended(self, x: np.ndarray) -> np.ndarray:
        """The nearest place whose shape keeps its limits, if there is one near by."""
        metric = self.metric()
        for _ in range(_MENDINGS):
            limits = self.shape.limits(self.outline(x), self.directions(x)) + self.bounds(x)
            excess = np.maximum(limits.low - limits.values, limits.values - limits.high)
            if excess.max(initial=0.0) < TOLERANCE / 10:
                break
            x = x + quadratic(metric, np.zeros(len(x)), limits)[0]
        return x

    def _limits(
        self,
        x: np.ndarray,
        outline: Outline,
        found: Numbers,
        slopes: Mapping[str, np.ndarray],
        directions: np.ndarray,
    ) -> Limits:
        return (
            self.shape.limits(outline, directions)
            + self.goal.limits(found, slopes, len(x))
            + self.bounds(x)
        )

    def _differences(
        self, trial: Trial, names: Sequence[str], step: float
    ) -> dict[str, np.ndarray]:
        """Derivatives of outputs by central differences on the same mesh."""
        out = {name: np.zeros(len(trial.x)) for name in names}
        for k, move in enumerate(step * np.eye(len(trial.x)) if out else ()):
            high, low = (
                self.goal.read(self.solve(*self.placed(trial.x + sign * move))) for sign in (1, -1)
            )
            for name, slopes in out.items():
                slopes[k] = (high[name] - low[name]) / (2 * step)
        return out


@dataclass(kw_only=True, eq=False)
class WallDesign(Designing):
    """Free walls."""

    case: Case
    walls: FreeWalls

    def start(self) -> np.ndarray:
        """Variables before the mesh has moved."""
        return np.zeros(self.walls.count)

    def placed(self, x: np.ndarray) -> tuple[Case, Device]:
        """Case and device at a place; a GeometryError if the mesh cannot follow."""
        if crosses_itself(self.outline(x)):
            raise GeometryError(f"{self.walls.device.source}: the walls would cross")
        return self.case, self.walls.moved(x)

    def outline(self, x: np.ndarray) -> Outline:
        """The outline at a place."""
        return self.walls.moved_outline(x)

    def directions(self, x: np.ndarray) -> np.ndarray:
        """Motion of the outline's nodes with each variable."""
        return self.walls.directions

    def slopes(self, trial: Trial) -> dict[str, np.ndarray]:
        """Derivatives of the outputs in the variables: by adjoints, or else by differences."""
        found = {}
        with kept(trial.result) as again:
            for name, column in self.goal.columns(trial.result).items():
                sensitivity = adjoint.sensitivity(again, column)
                if sensitivity is not None and sensitivity.nodes is not None:
                    found[name] = self.walls.gradient(sensitivity.nodes)
        others = [name for name in self.goal.outputs if name not in found]
        return found | self._differences(trial, others, 1e-3 * self.walls.spacing)

    def metric(self) -> np.ndarray:
        """That of Sobolev's H1 along the walls."""
        return self.walls.metric()

    def length(self, step: np.ndarray) -> float:
        """Length of a step over the longest one that is sensible."""
        return self.walls.length(step) / self.longest

    def worn(self, trial: Trial) -> bool:
        """Whether the mesh is deformed so much that it should be made anew."""
        return quality(self.walls.device, trial.result.device) < WORN
