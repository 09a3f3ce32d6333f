"""A minimum within limits, by steps that each make the function smaller.

Each step solves a quadratic model within the limits, taken as linear, exactly; it is shortened
until the function falls and the limits hold. Where they do not hold at the beginning, the first
steps approach them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from scipy.linalg import cholesky, solve_triangular
from scipy.optimize import nnls

from meso.errors import ConvergenceError, GeometryError

#: By which limits may be exceeded, relative to the size of the number.
TOLERANCE = 1e-6
#: Part of the expected decrease that a step must have.
_ENOUGH = 1e-4
#: Times that a step is tried, each time shorter.
_HALVINGS = 12
#: Parts of the way to limits that do not hold, from which on one is possible.
_PARTS = (1.0, 0.5, 0.25, 0.1, 0.03, 0.0)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Limits:
    """Numbers, relative to a natural size, that have to stay between others.

    The first ``lasting`` ones are the same at every place; others, such as the distances of the
    points that are nearest, come and go.
    """

    values: np.ndarray
    low: np.ndarray
    high: np.ndarray
    slopes: np.ndarray  # (values, variables)
    lasting: int = 0

    @property
    def violation(self) -> float:
        """The largest distance to what is permitted; zero within :data:`TOLERANCE`."""
        excess = np.maximum(self.low - self.values, self.values - self.high)
        return max(float(excess.max(initial=0.0)) - TOLERANCE, 0.0)

    def first(self, values: np.ndarray) -> Limits:
        """The lasting ones, with other values."""
        n = self.lasting
        return Limits(
            values=values, low=self.low[:n], high=self.high[:n], slopes=self.slopes[:n], lasting=n
        )

    def __add__(self, other: Limits) -> Limits:
        """Both; lasting ones first."""
        n, m = self.lasting, other.lasting
        return Limits(
            lasting=n + m,
            **{
                name: np.concatenate([a[:n], b[:m], a[n:], b[m:]])
                for name in ("values", "low", "high", "slopes")
                for a, b in [(getattr(self, name), getattr(other, name))]
            },
        )


class Place(Protocol):
    """A place at which function and limits are known, and their derivatives are not."""

    x: np.ndarray
    value: float
    violation: float
    lasting: np.ndarray  # values of the lasting limits


class Problem(Protocol):
    """What is to be made small."""

    def at(self, x: np.ndarray) -> Any:
        """The place; a GeometryError if there is none."""

    def derived(self, place: Any) -> tuple[np.ndarray, Limits]:
        """Derivative of the function, and the limits with theirs."""

    def mended(self, x: np.ndarray) -> np.ndarray:
        """A place near by within those limits that are known without the function."""

    def length(self, step: np.ndarray) -> float:
        """Length of a step over the longest one that is sensible."""

    def metric(self) -> np.ndarray:
        """Positive matrix by which small steps are compared."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Step:
    """One accepted step."""

    place: Any
    part: float  # of the one that the model wanted
    tries: int


def descend(problem: Problem, place: Any, *, tolerance: float) -> Iterator[Step]:
    """Steps of decreasing function, until no step lowers it by more than a part of itself.

    Args:
        problem: What is to be made small.
        place: Where to begin.
        tolerance: Decrease, relative to the function, that does not matter; and the function,
            which is of the order of 1 at the start, that is as good as zero.

    Yields:
        The steps. The last place is a minimum if the iteration ends by itself.

    Raises:
        ConvergenceError: No part of a step that should lower the function does.
    """
    slope, limits = problem.derived(place)
    metric = problem.metric()
    matrix, fresh, longest, small = _scaled(problem, metric, slope), True, 1.0, 0
    while True:
        step, forces = quadratic(matrix, slope, limits)
        far, enough = place.violation > 0, tolerance * max(abs(place.value), tolerance)
        if not far and (small > 1 or -float(slope @ step) <= enough):
            if fresh or small > 1:
                return
            # The matrix may be wrong: once more with the plain one.
            matrix, fresh = _scaled(problem, metric, slope), True
            continue
        try:
            found = search(problem, place, step, slope, limits, longest)
        except ConvergenceError:
            if fresh:
                raise
            matrix, fresh = _scaled(problem, metric, slope), True
            continue
        yield found
        whole = found.tries == 1
        longest = 2 * longest if whole else max(problem.length(found.part * step), 1e-3)
        small = small + 1 if not far and place.value - found.place.value <= enough else 0
        before, place = place, found.place
        new, there = problem.derived(place)
        n = min(limits.lasting, there.lasting)
        change = new - slope - forces[:n] @ (there.slopes[:n] - limits.slopes[:n])
        matrix = updated(matrix, place.x - before.x, change, rescale=fresh)
        slope, limits, fresh = new, there, False


def search(
    problem: Problem,
    place: Any,
    step: np.ndarray,
    slope: np.ndarray,
    limits: Limits,
    longest: float,
) -> Step:
    """The longest part of a step that makes the function smaller and keeps the limits.

    Raises:
        ConvergenceError: There is none.
    """
    size = problem.length(step)
    part = min(1.0, longest / size) if size > 0 else 1.0
    along, reason = float(slope @ step), ""
    for tries in range(1, _HALVINGS + 1):
        try:
            found = problem.at(problem.mended(place.x + part * step))
            if found.violation > 0 >= place.violation:
                # By the slopes that are known back to the limits.
                back = quadratic(problem.metric(), 0 * slope, limits.first(found.lasting))[0]
                found = problem.at(problem.mended(found.x + back))
        except GeometryError as error:
            part, reason = part / 2, str(error)
            continue
        less = (1 - 0.1 * part) * place.violation
        nearer = place.violation > 0 and found.violation < less
        if nearer or (
            found.violation <= 0 and found.value < place.value + _ENOUGH * part * min(along, 0.0)
        ):
            return Step(place=found, part=part, tries=tries)
        reason = "limits are exceeded" if found.violation > 0 else "the target does not improve"
        bend = found.value - place.value - along * part
        least = -along * part**2 / (2 * bend) if bend > 0 > along else part / 2
        part = float(np.clip(least, 0.1 * part, 0.5 * part))
    raise ConvergenceError(reason)


def quadratic(matrix: np.ndarray, slope: np.ndarray, limits: Limits) -> tuple[np.ndarray, Any]:
    """The step that makes a quadratic model smallest within linear limits.

    Limits that do not hold, and cannot all be reached, are approached.

    Returns:
        The step, and the force with which each limit holds it: positive from the lower one.
    """
    lower = cholesky(matrix, lower=True)
    rows = np.concatenate([limits.slopes, -limits.slopes])
    needed = np.concatenate([limits.low - limits.values, limits.values - limits.high])
    kept = np.isfinite(needed)
    best = -solve_triangular(lower, slope, lower=True)
    turned = solve_triangular(lower, rows[kept].T, lower=True).T
    for part in _PARTS:
        wanted = np.where(needed[kept] > 0, part * needed[kept], needed[kept])
        found = least_distance(turned, wanted - turned @ best)
        if found is not None:
            break
    else:  # rounding; nothing is wanted that staying here does not have
        found = np.zeros_like(best), np.zeros(kept.sum())
    step = solve_triangular(lower, best + found[0], lower=True, trans="T")
    forces = np.zeros(len(needed))
    forces[kept] = found[1]
    count = len(limits.values)
    return step, forces[:count] - forces[count:]


def least_distance(rows: np.ndarray, needed: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """The shortest vector z with rows z >= needed, and the force of each row; None if none is.

    C. L. Lawson and R. J. Hanson, Solving Least Squares Problems, chapter 23.
    """
    if not len(rows) or (needed <= 0).all():
        return np.zeros(rows.shape[1]), np.zeros(len(rows))
    size = np.linalg.norm(rows, axis=1)
    size[size == 0] = 1.0
    system = np.vstack([(rows / size[:, None]).T, needed / size])
    right = np.zeros(len(system))
    right[-1] = 1.0
    try:
        forces, rest = nnls(system, right, maxiter=50 * system.shape[1])
    except RuntimeError:
        return None
    if rest < 1e-8:
        return None
    residual = right - system @ forces
    return -residual[:-1] / residual[-1], forces / residual[-1] / size


def updated(
    matrix: np.ndarray, step: np.ndarray, change: np.ndarray, *, rescale: bool
) -> np.ndarray:
    """The matrix after a step along which the slope has changed: BFGS, damped by M. Powell."""
    along = float(change @ step)
    if rescale and along > 0:
        matrix = matrix * float(np.clip(along / (step @ matrix @ step), 1e-3, 1e3))
    image = matrix @ step
    size = float(step @ image)
    if size <= 0:
        return matrix
    if along < 0.2 * size:
        mix = 0.8 * size / (size - along)
        change = mix * change + (1 - mix) * image
        along = float(change @ step)
    matrix = matrix - np.outer(image, image) / size + np.outer(change, change) / along
    return np.asarray((matrix + matrix.T) / 2)


def _scaled(problem: Problem, metric: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """The metric such that the first step is as long as is sensible."""
    size = problem.length(np.linalg.solve(metric, slope))
    return metric * max(size, 1e-12)
