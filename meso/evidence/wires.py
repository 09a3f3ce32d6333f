"""Currents and moments of wires: extrapolated in the harmonics, with errors.

With N harmonics the conductance lies between two bounds that converge alike. With lower bounds
a, a' of N and N/2 and gaps d, d' between both bounds, the limit is about

    G = a + d (a - a')/(d' - d),

where the gap would be closed; it cannot leave the bounds. Moments converge as the lower bound does,
and are continued by the same part of their last step. Errors are a part of the change of these
values from N/2 to N (measured, docs/bounds.md), and of what one degree less makes of N harmonics.

Where free flights give J_z (:mod:`meso.flow.flights`), the current and the moments are theirs, and
harmonics are for the bounds. What is left is the degree of J_z between the nodes, and of points on
walls: errors are what the last degrees, or twice as many points, change.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from meso.flow.flights import LEFT, Flights
from meso.flow.wire import WireFlow
from meso.observables.accumulation import EdgeMoment, couplings
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
FIRST, LAST = 4, 64
#: Harmonics that bounds are from where "auto" has free flights.
BOUNDING = 8
#: What an error of moments is of what the last degree of J_z by free flights changes, for each
#: length of wall, and of what the one before changes: two degrees may err by the same.
DEGREE, BEFORE = 3.0, 0.5
#: Highest degree of J_z by free flights, and points on a facet at most.
HIGHEST, POINTS = 7, 40

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
class Flown:
    """What free flights give: I/E, S m, moments of the pieces over the field, and their errors."""

    conductance: float
    conductance_error: float
    moments: np.ndarray
    moment_errors: np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class WireConvergence:
    """Values with their errors.

    Attributes:
        flow: That of most harmonics.
        levels: From few harmonics to many.
        coarse: The last one with one degree less.
        pieces: The moments of the last level, as they are.
        tolerance: Relative error that is wanted, None if nobody asks.
        flown: What free flights give, if they are known.
    """

    flow: WireFlow
    levels: tuple[Level, ...]
    coarse: Level
    pieces: tuple[EdgeMoment, ...]
    tolerance: float | None
    flown: Flown | None = None

    @property
    def conductance(self) -> tuple[float, float]:
        """I/E and its error, S m."""
        if self.flown is not None:
            return self.flown.conductance, self.flown.conductance_error
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
        if self.flown is not None:
            return self.flown.moments, self.flown.moment_errors
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
            more = "" if self.flown else "more flow.harmonics, or "
            out.append(
                f"the largest estimated error is {self.error:.1e}, more than {wanted:g}: {more}"
                "smaller cells (mesh.size, mesh.wall_size), make it smaller"
            )
        last, (value, error) = self.levels[-1], self.conductance
        if self.flown and not last.lower - error < value < last.upper + error:
            out.append(
                f"I/E is {value:.6g} S m by free flights, and between {last.lower:.6g} and"
                f" {last.upper:.6g} by harmonics: please report this"
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
    solve: Solve,
    order: int,
    harmonics: int | str | None,
    tolerance: float,
    flights: Flights | None = None,
) -> WireConvergence:
    """Solve with more and more harmonics, or by free flights.

    Args:
        solve: The flow with some harmonics, of some degree, with an upper bound or without.
        order: Degree.
        harmonics: N, of which a half and a quarter are looked at too; "auto" for as many as the
            tolerance needs; None for the hydrodynamic model.
        tolerance: Relative error at which "auto" stops.
        flights: If they are known; then harmonics are for the bounds only.

    Returns:
        The last flow, and values.
    """
    if flights is not None and harmonics is not None:
        return _flown(solve, order, harmonics, tolerance, flights)
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


def _flown(
    solve: Solve, order: int, harmonics: int | str, tolerance: float, flights: Flights
) -> WireConvergence:
    """J_z by free flights, of higher and higher degree, until the tolerance is met."""
    auto = harmonics == "auto"
    flow = solve(BOUNDING if auto else int(harmonics), order, True)
    bounds = flow.conductance, flow.conductance if flow.upper is None else flow.upper
    points, share, doubt = 5, flights.conductance(5), np.inf
    while points < POINTS and doubt > tolerance * share / 4:
        points, before = 2 * points, share
        share = flights.conductance(points)
        doubt = 2 * abs(share - before) + flights.doubt
    levels: list[Level] = []
    for degree in range(max(2, order - 1), HIGHEST + 1):
        flown = flow.flying(flights, degree)
        pieces = tuple(wire_moments(flown))
        levels.append(Level(flow.harmonics, *bounds, _moments(flown, pieces)))
        if len(levels) < 3:
            continue
        errors = _left(levels, pieces) + _blurred(flown, flights)
        size = np.abs(levels[-1].moments).max(initial=0.0)
        if errors.max(initial=0.0) <= tolerance * size:
            break
    return WireConvergence(
        flow=flown,
        levels=tuple(levels[-1:]),
        coarse=levels[-2],
        pieces=pieces,
        tolerance=tolerance if auto else None,
        flown=Flown(
            conductance=share * flow.bulk,
            conductance_error=doubt * flow.bulk,
            moments=levels[-1].moments,
            moment_errors=errors,
        ),
    )


def _left(levels: list[Level], pieces: tuple[EdgeMoment, ...]) -> np.ndarray:
    """Errors of moments over the field that the degree leaves, from the last two changes."""
    lengths = np.array([piece.measure for piece in pieces])
    one, two, three = (level.moments for level in levels[-3:])
    change = np.maximum(np.abs(three - two), BEFORE * np.abs(two - one))
    # Which piece has the larger error is chance.
    return np.asarray(DEGREE * (change / lengths).max(initial=0.0) * lengths)


def _blurred(flow: WireFlow, flights: Flights) -> np.ndarray:
    """Errors of moments over the field that integrals over angles leave."""
    kappa = couplings(flow)  # type: ignore[arg-type]
    if kappa is None or kappa.ndim > 1:
        return np.zeros(0)
    drude, lengths = flow.bulk / flow.device.measure, [p.measure for p in flow.device.pieces]
    return np.abs(kappa).max() * drude * LEFT * flights.tolerance * np.array(lengths)


def _level(flow: WireFlow, pieces: Any) -> Level:
    upper = flow.conductance if flow.upper is None else flow.upper
    return Level(flow.harmonics, flow.conductance, upper, _moments(flow, pieces))


def _moments(flow: WireFlow, pieces: Any) -> np.ndarray:
    return np.array([piece.moment for piece in pieces]) / flow.field
