"""Least squares: chi^2 from several starts, then once more on meshes made for the best values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.optimize import least_squares
from scipy.stats import qmc

from meso.errors import ConvergenceError
from meso.fitting.evaluating import Evaluator, Task
from meso.fitting.observed import Observed
from meso.fitting.parameters import Parameter, Theta
from meso.fitting.problem import Problem

#: Relative change of chi^2 at which a minimum is found, some 0.001 standard errors from it, and
#: relative step and gradient for data that are exact.
_TOLERANCE, _EXACT = 1e-6, 1e-8
_HOW = {"x_scale": "jac", "xtol": _EXACT, "gtol": _EXACT}
#: Meshes that are made for the best values, at most, and the shift over its error that ends this.
_MESHES, _SHIFT = 3, 0.05
#: A parameter this near to a bound, over the distance of both in the variables, is at it.
_AT_BOUND, _THERE = 1e-3, 1e-5
#: Such a one is held there if chi^2 would fall by more than this beyond.
_HELD = 4.0

Progress = Callable[[str], None]


@dataclass(frozen=True, kw_only=True, eq=False)
class Space:
    """The variables of the fit: parameters over their widths, or logarithms.

    They are 1 at the start, which is the size of a first step, too.
    """

    parameters: tuple[Parameter, ...]

    def variables(self, theta: Sequence[float]) -> np.ndarray:
        """Variables of values."""
        pairs = zip(theta, self.parameters, strict=True)
        return np.array(
            [1 + (np.log(x / p.start) if p.log else (x - p.start) / p.width) for x, p in pairs]
        )

    def theta(self, u: np.ndarray) -> Theta:
        """Values of variables, within the bounds to rounding."""
        pairs = zip(u, self.parameters, strict=True)
        found = [
            p.start * np.exp(x - 1) if p.log else p.start + (x - 1) * p.width for x, p in pairs
        ]
        limits = zip(found, self.parameters, strict=True)
        return tuple(float(min(max(x, p.low), p.high)) for x, p in limits)

    def slopes(self, theta: Sequence[float]) -> np.ndarray:
        """Derivatives of values in variables."""
        pairs = zip(theta, self.parameters, strict=True)
        return np.array([x if p.log else p.width for x, p in pairs])

    @property
    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Of the variables."""
        low, high = ([getattr(p, end) for p in self.parameters] for end in ("low", "high"))
        return self.variables(low), self.variables(high)

    def places(self, theta: Sequence[float]) -> np.ndarray:
        """Where values are between their bounds: 0 at the lower ones, 1 at the upper ones."""
        low, high = self.bounds
        return (self.variables(theta) - low) / (high - low)

    def starts(self, count: int, seed: int) -> list[Theta]:
        """The start of the file, and others spread evenly between the bounds."""
        first = tuple(p.start for p in self.parameters)
        low, high = self.bounds
        spread = qmc.LatinHypercube(len(self.parameters), rng=seed).random(max(count - 1, 0))
        others = (self.theta(low + x * (high - low)) for x in spread)
        # Of scales the best one follows at once: results are linear in them.
        keep = [bool(p.columns) for p in self.parameters]
        return [first, *(tuple(np.where(keep, first, other).tolist()) for other in others)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What became of a start; ``chi2`` is infinite where it failed."""

    theta: Theta
    best: Theta
    chi2: float
    converged: bool
    evaluations: int
    message: str = ""


@dataclass(kw_only=True, eq=False)
class Fitter:
    """The residuals of a fit as functions of its variables.

    Residuals are (result - measured)/uncertainty. Where a solution fails they are NaN, from which
    the step is made shorter.
    """

    problem: Problem
    evaluator: Evaluator
    observed: Observed
    progress: Progress
    space: Space = field(init=False)
    failure: str = ""  # of the last point that could not be solved

    def __post_init__(self) -> None:
        self.space = Space(parameters=self.problem.parameters)

    def predictions(self, theta: Theta, anchor: Theta) -> np.ndarray:
        """Results at the data, shape (n,), SI; NaN where a solution failed."""
        return self.outputs(theta, anchor) * self.observed.multipliers(theta)

    def outputs(self, theta: Theta, anchor: Theta) -> np.ndarray:
        """The same before scales."""
        records = self.evaluator(self.tasks(theta, anchor))
        failed = [record["error"] for record in records if "error" in record]
        self.failure = failed[0] if failed else self.failure
        return self.observed.picked(records)

    def tasks(self, theta: Theta, anchor: Theta) -> list[Task]:
        """What is to be solved for values of the parameters: scales change nothing there."""
        x, made_for = (self.problem.inputs(each) for each in (theta, anchor))
        return [Task(point=p.index, theta=x, anchor=made_for) for p in self.problem.points]

    def residuals(self, theta: Theta, anchor: Theta) -> np.ndarray:
        """(result - measured)/uncertainty, shape (n,)."""
        found = self.predictions(theta, anchor)
        return (found - self.observed.values) / self.observed.uncertainties

    def derivatives(self, theta: Theta, anchor: Theta) -> np.ndarray:
        """Of the results in the parameters, shape (n, parameters), SI.

        Raises:
            ConvergenceError: There are none.
        """
        seen, count = self.observed, len(self.problem.inputs(theta))
        out = np.zeros((len(seen), len(theta)))
        tasks = [
            replace(task, derivatives=seen.wanted(task.point))
            for task in (self.tasks(theta, anchor) if count else ())
        ]
        for i, record in enumerate(self.evaluator(tasks)):
            if "error" in record:
                raise ConvergenceError(record["error"])
            out[seen.points == i, :count] = record["derivatives"]
        out *= seen.multipliers(theta)[:, None]
        if (rows := np.flatnonzero(seen.factors >= 0)).size:
            out[rows, seen.factors[rows]] = self.outputs(theta, anchor)[rows]
        return out

    def minimise(
        self,
        start: Theta,
        anchor: Theta,
        *,
        fixed: Sequence[int] = (),
        tolerance: float = _TOLERANCE,
        what: str = "",
    ) -> Start:
        """The minimum of chi^2 that a start leads to; parameters in ``fixed`` stay."""
        free = np.array([i not in fixed for i in range(len(start))])
        if not free.any():
            chi2 = float((self.residuals(start, anchor) ** 2).sum())
            return Start(theta=start, best=start, chi2=chi2, converged=True, evaluations=1)
        low, high = (end[free] for end in self.space.bounds)
        origin, count = self.space.variables(start), 0

        def theta(u: np.ndarray) -> Theta:
            all_ = origin.copy()
            all_[free] = u
            found = self.space.theta(all_)
            return tuple(start[i] if i in fixed else x for i, x in enumerate(found))

        def residuals(u: np.ndarray) -> np.ndarray:
            nonlocal count
            count += 1
            found = self.residuals(theta(u), anchor)
            values = ", ".join(
                shown(p, x) for p, x in zip(self.problem.parameters, theta(u), strict=True)
            )
            self.progress(f"{what}evaluation {count}: chi^2 {(found**2).sum():.6g} at {values}")
            if count == 1 and not np.isfinite(found).all():
                raise ConvergenceError(self.failure)
            return found

        def jacobian(u: np.ndarray) -> np.ndarray:
            slopes = self.derivatives(theta(u), anchor) * self.space.slopes(theta(u))
            return slopes[:, free] / self.observed.uncertainties[:, None]

        try:
            found = least_squares(
                residuals,
                np.clip(origin[free], low, high),
                jacobian,
                bounds=(low, high),
                ftol=tolerance,
                **_HOW,
                max_nfev=self.problem.options.iterations,
            )
        except ConvergenceError as error:
            return _failed(start, count, str(error))
        return Start(
            theta=start,
            best=theta(found.x),
            chi2=2 * float(found.cost),
            converged=found.status > 0,
            evaluations=count,
            message="" if found.status > 0 else f"not at a minimum after {count} evaluations",
        )

    def best(self) -> tuple[list[Start], Start, Theta]:
        """All starts, the best one, on meshes of its own, and what these were made for.

        Raises:
            ConvergenceError: No start has led to a minimum.
        """
        options = self.problem.options
        starts = []
        for i, theta in enumerate(self.space.starts(options.starts, options.seed)):
            what = f"start {i + 1} of {options.starts}, " if options.starts > 1 else ""
            starts.append(self.minimise(theta, self.problem.start, what=what))
        best = min(starts, key=lambda s: (not s.converged, s.chi2))
        if not best.converged:
            advice = _advice(best, self.problem.parameters)
            raise ConvergenceError(f"{self.problem.file}: {best.message}{advice}")
        anchor = self.problem.start
        for _ in range(_MESHES):
            anchor = best.best
            again = self.minimise(anchor, anchor, what="mesh of the best values, ")
            if not again.converged:
                raise ConvergenceError(f"{self.problem.file}: {again.message}")
            shift = self.space.variables(again.best) - self.space.variables(best.best)
            best = replace(again, theta=best.theta)
            slopes = self.derivatives(best.best, anchor) * self.space.slopes(best.best)
            slopes /= self.observed.uncertainties[:, None]
            if np.linalg.norm(slopes @ shift) < _SHIFT:
                break
        return starts, self._snapped(best, anchor), anchor

    def _snapped(self, best: Start, anchor: Theta) -> Start:
        """A minimum at a bound, which steps inside never reach, is put there."""
        places = zip(self.problem.parameters, best.best, self.space.places(best.best), strict=True)
        theta = tuple(
            p.low if part < _THERE else p.high if 1 - part < _THERE else x for p, x, part in places
        )
        chi2 = float((self.residuals(theta, anchor) ** 2).sum())
        return replace(best, best=theta, chi2=chi2) if np.isfinite(chi2) else best


def _failed(start: Theta, evaluations: int, message: str) -> Start:
    """A start that leads nowhere."""
    return Start(
        theta=start,
        best=start,
        chi2=np.inf,
        converged=False,
        evaluations=evaluations,
        message=message,
    )


def _advice(start: Start, parameters: Sequence[Parameter]) -> str:
    """What to do where a start has failed, and how far it has come."""
    if np.isfinite(start.chi2):
        values = ", ".join(shown(p, x) for p, x in zip(parameters, start.best, strict=True))
        advice = "give more (fit.iterations), another start or closer bounds"
        return f", with chi^2 {start.chi2:.4g} at {values}; {advice}"
    return " (at the start)"


def shown(parameter: Parameter, value: float) -> str:
    """A parameter and its value for messages, in the unit of the file."""
    return f"{parameter.name} = {value / parameter.size:.6g} {parameter.shown}".rstrip()


def at_bounds(parameters: Sequence[Parameter], theta: Theta) -> np.ndarray:
    """Which parameters have run to one of their bounds."""
    part = Space(parameters=tuple(parameters)).places(theta)
    return np.asarray(np.minimum(part, 1 - part) < _AT_BOUND)


def held(fitter: Fitter, theta: Theta, residuals: np.ndarray, scaled: np.ndarray) -> np.ndarray:
    """Which parameters are at a bound that keeps them from a clearly better fit.

    A valley of chi^2 may as well happen to end at a bound: such parameters are as free as others.

    Args:
        fitter: The fit.
        theta: Best values.
        residuals: There.
        scaled: Their derivatives in the variables of the fit.
    """
    at = at_bounds(fitter.problem.parameters, theta)
    for i in np.flatnonzero(at):
        others = np.delete(scaled, i, axis=1)
        own = scaled[:, i]
        if others.shape[1]:  # what the others cannot undo
            own = own - others @ np.linalg.lstsq(others, own, rcond=None)[0]
        size = float(own @ own)
        at[i] = (
            size > 1e-9 * float(scaled[:, i] @ scaled[:, i])
            and (own @ residuals) ** 2 / size > _HELD
        )
    return at
