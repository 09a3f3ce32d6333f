"""Currents and moments of wires: extrapolated in the harmonics, with errors.

With N harmonics the conductance lies between two bounds that converge alike. With lower bounds
a, a' of N and N/2 and gaps d, d' between both bounds, the limit is about

    G = a + d (a - a')/(d' - d),

where the gap would be closed; it cannot leave the bounds. Moments converge as the lower bound does,
and are continued by the same part of their last step. Errors are a part of the change of these
values from N/2 to N (measured, docs/bounds.md), and of what one degree less makes of N harmonics.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from meso.flow.wire import WireFlow
from meso.observables.accumulation import EdgeMoment
from meso.observables.wires import wire_moments

#: What an error is of the last change of a value, and of the gap between the bounds.
CHANGE, GAP = 0.5, 0.03
#: The same of what one degree less changes of currents, and of moments, whose layers at walls
#: converge slowly on coarse cells.
MESH, MESH_MOMENT = 0.5, 1.0
#: Part of the moment of two harmonics that is wrong even where the mean free path is short: 0.088.
UNCORRECTED = 0.1
#: Where in the gap the limit may be, and where it is if nobody knows.
WITHIN, MIDDLE = (0.1, 0.5), 0.3
#: Harmonics that "auto" begins and ends with.
FIRST, LAST = 4, 32

#: Flow with so many harmonics (None: hydrodynamic) of some degree; with an upper bound.
Solve = Callable[[int | None, int, bool], WireFlow]


@dataclass(frozen=True, slots=True)
class Level:
    """What N harmonics give: bounds, and moments of the pieces of walls."""

    harmonics: int | None
    lower: float
    upper: float
    moments: np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class WireConvergence:
    """Values with their errors.

    Attributes:
        flow: That of most harmonics.
        levels: From few harmonics to many.
        coarse: The last one with one degree less.
        pieces: The moments of the last level, as they are.
        tolerance: Relative error that is wanted, None if nobody asks.
    """

    flow: WireFlow
    levels: tuple[Level, ...]
    coarse: Level
    pieces: tuple[EdgeMoment, ...]
    tolerance: float | None

    @property
    def conductance(self) -> tuple[float, float]:
        """I/E and its error, S m."""
        last = self.levels[-1]
        value = _limit(self.levels)
        mesh = MESH * abs(last.lower - self.coarse.lower)
        if last.harmonics is None:
            return value, mesh
        gap = last.upper - last.lower
        error = GAP * gap + mesh
        if len(self.levels) < 3:
            error += gap / 2
        else:
            change = abs(value - _limit(self.levels[:-1]))
            # What two harmonics say of four tells little.
            few = self.levels[-3].harmonics == 2
            error += change + GAP * gap if few else CHANGE * change
        return value, min(error, max(last.upper - value, value - last.lower))

    @property
    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Moments of the pieces over the field, and their errors, J s/V."""
        value, last = _continued(self.levels), self.levels[-1]
        error = MESH_MOMENT * np.abs(last.moments - self.coarse.moments)
        if last.harmonics is None:
            return value, error
        step, gap = np.abs(value - last.moments), (last.upper - last.lower) / last.lower
        if last.harmonics == 2:  # whose current at walls nothing corrects
            return value, error + np.abs(value) * (UNCORRECTED + 2 * gap)
        if len(self.levels) < 3:
            return value, error + np.abs(value) * 2 * gap
        if self.levels[-3].harmonics == 2:
            return value, error + step + GAP * gap * np.abs(value)
        return value, error + CHANGE * np.abs(value - _continued(self.levels[:-1])) + GAP * step

    @property
    def error(self) -> float:
        """The largest relative error."""
        (value, error), (moments, errors) = self.conductance, self.moments
        size = np.abs(moments).max(initial=0.0)
        return max(error / value, errors.max(initial=0.0) / size if size else 0.0)

    @property
    def warnings(self) -> list[str]:
        """Errors larger than is wanted, or than is of use."""
        out, wanted = [], 0.1 if self.tolerance is None else self.tolerance
        if self.error > wanted:
            out.append(
                f"the largest estimated error is {self.error:.1e}, more than {wanted:g}: more"
                " flow.harmonics, or smaller cells (mesh.size, mesh.wall_size), make it smaller"
            )
        return out


def _limit(levels: tuple[Level, ...]) -> float:
    last = levels[-1]
    if last.harmonics is None:
        return last.lower
    return last.lower + _place(levels) * (last.upper - last.lower)


def _place(levels: tuple[Level, ...]) -> float:
    """Part of the gap below the limit."""
    if len(levels) < 2:
        return MIDDLE
    first, last = levels[-2:]
    closed = (first.upper - first.lower) - (last.upper - last.lower)
    if closed <= 0:
        return MIDDLE
    return float(np.clip((last.lower - first.lower) / closed, *WITHIN))


def _continued(levels: tuple[Level, ...]) -> np.ndarray:
    """Moments in the limit."""
    # Two harmonics have no correction at walls: they tell nothing of the others.
    if len(levels) < 2 or levels[-2].harmonics == 2:
        return levels[-1].moments
    first, last = levels[-2:]
    step = last.lower - first.lower
    left = (_limit(levels) - last.lower) / step if step > 0 else 0.0
    # No more than the step itself: then it is the mesh that limits the bounds.
    return last.moments + min(left, 0.5) * (last.moments - first.moments)


def converge_wire(
    solve: Solve, order: int, harmonics: int | str | None, tolerance: float
) -> WireConvergence:
    """Solve with more and more harmonics.

    Args:
        solve: The flow with some harmonics, of some degree, with an upper bound or without.
        order: Degree.
        harmonics: N, of which a half and a quarter are looked at too; "auto" for as many as the
            tolerance needs; None for the hydrodynamic model.
        tolerance: Relative error at which "auto" stops.

    Returns:
        The last flow, and values.
    """
    numbers: list[Any] = [harmonics]
    if harmonics == "auto":
        numbers = [n for n in (FIRST << i for i in range(10)) if n <= LAST]
    elif harmonics is not None:
        most = int(harmonics)  # type: ignore[arg-type]
        numbers = sorted({max(2, most // k // 2 * 2) for k in (1, 2, 4)})
    levels: list[Level] = []
    for i, number in enumerate(numbers):
        flow = solve(number, order, True)
        pieces = tuple(wire_moments(flow))
        levels.append(_level(flow, pieces))
        if i < min(2, len(numbers) - 1) or (harmonics != "auto" and number != numbers[-1]):
            continue
        lower = solve(number, order - 1, False)
        found = WireConvergence(
            flow=flow,
            levels=tuple(levels),
            coarse=_level(lower, wire_moments(lower)),
            pieces=pieces,
            tolerance=tolerance if harmonics == "auto" else None,
        )
        if harmonics == "auto" and found.error <= tolerance:
            break
    return found


def _level(flow: WireFlow, pieces: Any) -> Level:
    upper = flow.conductance if flow.upper is None else flow.upper
    moments = np.array([piece.moment for piece in pieces]) / flow.field
    return Level(flow.harmonics, flow.conductance, upper, moments)
