"""How far a kinetic solution is from many harmonics and from fine cells.

Currents Q converge as N^-2 (measured), so that two numbers of harmonics, N and M = N/2, give

    Q* = Q_N + c,    c = (Q_N - Q_M)/((N/M)^2 - 1),

with an estimated error max(|Q* - Q*_N/2|, |c|/2), and |c| more for Q_N itself; twice that from
eight harmonics, Q_N - Q_M from four. At curved walls and
in a magnetic field they converge more slowly; where the last two steps are in a ratio below 3, the
change of Q* counts 1.5 times. Edge moments, which :mod:`meso.observables.grazing` frees of an error
1/N at walls, converge as N^-2 or faster, but late where the mean free path is longer than the
device is wide: they are not extrapolated, and their error is

    max(|Q_N - Q_N/2|, |Q_N/2 - Q_N/4|/5) + what is in doubt at walls.

The first alone is too small where Q_N/2 and Q_N happen to err by the same amount; the second is
what a convergence as N^-3/2 would leave. From 64 harmonics on it is a twelfth, what N^-2 leaves: in
exact ribbons, a tenth of a mean free path wide or more, moments then converge so, or faster. Of the
step from two harmonics, the hydrodynamic model, to four only what exceeds a tenth of the moment
counts: that model is 8 per cent low even in wide devices.

The factors make the estimates cover the error in nearly all of a broad set, and of others drawn at
random (docs/bounds.md). The error of the mesh is 1.5 times the change with the polynomial degree,
from k to k + 1: where it matters the next degrees leave up to a third of it, each. At re-entrant
corners of walls, where cells are as large as elsewhere, errors of degrees go as k^-a, so that 1/(1
- (k/(k + 1))^a) times the change is left: with a = 4 (1 - pi/angle), as J goes there as r^(1 -
pi/angle) where walls slip (closer to a corner than a mean free path all do), 2.4 and 3.1 times for
k = 2 and 3 at 270 degrees. On large meshes it is that from k to k - 1, which is pessimistic without
such corners, and in 3D, where k = 2 is the least, there is none. It is taken with all harmonics:
beams through an opening, and what comes in flat along a wall, need finer cells than few harmonics
show. "auto" raises what the larger error is of, the harmonics or the degree. In a small device it
doubles even its most harmonics, if they leave so little that this should be enough (moments of
ribbons a fifth of a mean free path wide need 256). These are estimates, not bounds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from meso.boundary import Wall, law_of
from meso.device import Device
from meso.flow.result import Flow
from meso.observables.accumulation import edge_moments
from meso.observables.corners import rims
from meso.observables.grazing import wall_moments
from meso.orbital import couplings, orbital_density, vorticity

#: Harmonics with which "auto" begins, and at most in 2D and 3D; its highest degrees.
FIRST, MOST, HIGHEST = 4, {2: 128, 3: 32}, {2: 8, 3: 3}
#: Twice as many harmonics where MOST leave up to so many tolerances: there the estimate is of the
#: step before, and falls to a twelfth. Largest device for that, cells.
_NEAR, _FEW = 10.0, {2: 1000, 3: 0}
#: Part of kappa times the current along a wall that is no moment: at specular walls there is none;
#: and in 3D, where the moments around a wire cancel.
NOTHING, CANCELLED = 1e-3, 1e-2

#: Part of a moment that the hydrodynamic model may lack in any device.
_FLUID = 0.1
#: Harmonics from which on moments converge as N^-2 at least.
_MANY = 64
#: Error of degree k over its change from k to k + 1.
_SLOWLY = 1.5
#: Facets at re-entrant corners are that high at most, over the mean size of cells, where a mesh is
#: graded to these; corners of less than this many degrees are none.
_GRADED, _REENTRANT = 0.2, 185.0
#: Cells up to which one degree more is cheap.
SMALL = 3000
#: Estimated error above which a result comes with a warning, and of what these are.
LARGE, _WHAT = 0.1, ("currents and potentials", "edge moments")
#: What does without harmonics.
PARTICLES = '; flow.model = "particles" needs neither'
#: Errors that nobody has estimated.
UNKNOWN = (float("nan"), float("nan"))

Solve = Callable[[int, int, Flow | None], Flow]


@dataclass(frozen=True, slots=True, kw_only=True)
class Convergence:
    """Currents and edge moments by the number of harmonics.

    Attributes:
        harmonics: The numbers N, each about twice the one before.
        names: Names of the quantities: contacts and periodic pairs twice, then pieces of walls.
        units: "A", "V" or "J s" for each.
        values: Shape (levels, quantities).
        doubt: What an error is at least, shape (quantities,).
        least: Smallest size of a moment that errors are relative to, J s.
        tolerance: Of "auto", or None.
        particles: Whether these could be followed instead: in 2D.
        refined: Change of the values with the degree, shape (quantities,); None if unknown.
    """

    harmonics: tuple[int, ...]
    names: tuple[str, ...]
    units: tuple[str, ...]
    values: np.ndarray
    doubt: np.ndarray
    least: float
    tolerance: float | None
    particles: bool = True
    refined: np.ndarray | None = None

    def relative(self, change: np.ndarray) -> tuple[float, float]:
        """Largest change of currents or potentials, and of moments, over the largest of each."""
        out = []
        for unit in ("A", "V", "J s"):
            here = np.array([u == unit for u in self.units], dtype=bool)
            least = self.least if unit == "J s" else 0.0
            size = np.abs(self.values[-1][here]).max(initial=least)
            out.append(float(np.abs(change[here]).max(initial=0.0) / size) if size else 0.0)
        return max(out[:2]), out[2]

    @property
    def _moments(self) -> np.ndarray:
        return np.array([unit == "J s" for unit in self.units], dtype=bool)

    @property
    def extrapolated(self) -> np.ndarray:
        """Currents and potentials for N to infinity; moments as they are. Shape (quantities,)."""
        return self._extrapolated(len(self.harmonics) - 1)

    def _extrapolated(self, level: int) -> np.ndarray:
        if level == 0:
            return self.values[0]
        step = self.values[level] - self.values[level - 1]
        return self.values[level] + np.where(self._moments, 0.0, step / self._rest(level))

    def _rest(self, level: int) -> float:
        """What a step to a level is, over what is left after it: 3 where N has been doubled."""
        return (self.harmonics[level] / self.harmonics[level - 1]) ** 2 - 1

    @property
    def error(self) -> tuple[float, float]:
        """Estimated relative error in N of currents and of moments for N harmonics."""
        if len(self.harmonics) < 2:
            return UNKNOWN
        return self.relative(np.abs(self.extrapolated - self.values[-1]) + self._left())

    @property
    def mesh(self) -> tuple[float, float]:
        """Estimated relative error of the mesh of currents (or potentials) and of moments."""
        return UNKNOWN if self.refined is None else self.relative(self.refined)

    @property
    def uncertainty(self) -> np.ndarray:
        """Estimated error of each extrapolated value, with the mesh's, shape (quantities,)."""
        left = self._left() if len(self.harmonics) > 1 else np.full(len(self.names), np.nan)
        return left + (0.0 if self.refined is None else np.abs(self.refined))

    @property
    def error_extrapolated(self) -> tuple[float, float]:
        """Estimated relative error in N of the extrapolated values."""
        return self.relative(self._left()) if len(self.harmonics) > 1 else UNKNOWN

    def _left(self) -> np.ndarray:
        """Estimated error of the extrapolated values, shape (quantities,)."""
        last = len(self.harmonics) - 1
        steps = np.abs(np.diff(self.values[-3:], axis=0))
        currents, moments = steps[-1] / self._rest(last) / 2, steps[-1]
        before = np.zeros(len(self.names))
        if last > 1:
            change = np.abs(self.extrapolated - self._extrapolated(last - 1))
            change *= np.where(steps[-2] < 3 * steps[-1], 1.5, 1.0)
            currents, before = np.maximum(currents, change), steps[-2]
        # Few harmonics, and two, the hydrodynamic model, tell little of how fast they converge.
        if last < 2 or self.harmonics[-3] == 2:
            moments = 2 * moments
            currents = steps[-1] if last < 2 else 2 * currents
            before = np.maximum(before - _FLUID * np.abs(self.values[-1]), 0.0)
        moments = np.maximum(moments, before / (12 if self.harmonics[-1] >= _MANY else 5))
        return np.where(self._moments, moments, currents) + self.doubt

    @property
    def converged(self) -> bool:
        """Whether the extrapolated values are within the tolerance, as far as errors are known."""
        worst = np.nanmax([*self.error_extrapolated, *self.mesh, 0.0])
        return self.tolerance is None or bool(worst <= self.tolerance)

    @property
    def warnings(self) -> list[str]:
        """What is too uncertain to be used, or not as certain as was asked for."""
        out = []
        number, mesh = self.harmonics[-1], self.mesh
        better = PARTICLES if self.particles else ""
        if not self.converged:
            left, coarse = max(self.error_extrapolated), np.nanmax([*mesh, 0.0])
            out.append(
                f"{number} harmonics leave an estimated error of {left:.1e}, the mesh one of"
                f" {coarse:.1e}: more than flow.tolerance = {self.tolerance:g}"
                + (better if left > coarse else "")
            )
        for what, parts in zip(_WHAT, zip(self.error, mesh, strict=True), strict=True):
            if np.nansum(parts) > LARGE:
                out.append(
                    f"the estimated error of {what} is {np.nansum(parts):.0%}: {parts[0]:.1%} from"
                    f" {number} harmonics, {parts[1]:.1%} from the mesh; more flow.harmonics, or"
                    " smaller cells (mesh.size, mesh.wall_size), would tell"
                    + (better if parts[0] > LARGE else "")
                )
        return out

    def table(self) -> dict[str, Any]:
        """What summary.json says of it."""
        errors = {
            "harmonics": self.error,
            "extrapolated": self.error_extrapolated,
            "mesh": self.mesh,
        }
        return {
            "harmonics": list(self.harmonics),
            "quantities": [f"{n} ({u})" for n, u in zip(self.names, self.units, strict=True)],
            "values": self.values.tolist(),
            "extrapolated": self.extrapolated.tolist(),
            "estimated_errors": [None if np.isnan(x) else x for x in self.uncertainty.tolist()],
            **{
                f"estimated_error_{what}": {
                    "currents": None if np.isnan(currents) else currents,
                    "edge_moments": None if np.isnan(moments) else moments,
                }
                for what, (currents, moments) in errors.items()
            },
        }


def converge(
    solve: Solve, *, order: int, harmonics: int | str, tolerance: float, estimate: bool
) -> tuple[Flow, Convergence]:
    """The flow with most harmonics, and how it converges with more and more of them.

    Args:
        solve: Flow for a number of harmonics and a degree, from an earlier flow.
        order: Polynomial degree.
        harmonics: N, or "auto" to double it, or to raise the degree, until the extrapolated values
            are converged.
        tolerance: For "auto".
        estimate: False to solve for N alone, and for "auto" not to look at the mesh.
    """
    auto = harmonics == "auto"
    levels = [FIRST, 2 * FIRST, 4 * FIRST] if auto else [int(harmonics)]
    while not auto and estimate and len(levels) < 3 and levels[0] >= 4:
        levels.insert(0, max(2, levels[0] // 4 * 2))
    found: dict[tuple[int, int], np.ndarray] = {}
    named: list[tuple[str, ...]] = []

    def solved(number: int, degree: int, start: Flow | None = None) -> Flow:
        out = solve(number, degree, start)
        *named[:], found[number, degree] = quantities(out)
        return out

    flow: Flow | None = None
    for number in levels:
        flow = solved(number, order, flow)
    while True:
        assert flow is not None
        most = levels[-1]
        values = np.array([found[n, order] for n in levels])
        doubt, least = _doubt(flow)
        result = Convergence(
            harmonics=tuple(levels),
            names=named[0],
            units=named[1],
            values=values,
            doubt=np.concatenate([np.zeros(len(named[0]) - len(doubt)), doubt]),
            least=least,
            tolerance=tolerance if auto else None,
            particles=flow.device.dimension == 2,
        )
        other, beside = order, None
        if estimate:
            other = _other(flow.device, order)
            beside = None if (most, other) in found else solved(most, other)
            change = found[most, other] - found[most, order]
            if other != order:
                result = replace(result, refined=_left_by(flow, order, other) * change)
        if not auto or result.converged:
            return flow, result
        d = flow.device.dimension
        coarse = estimate and order < HIGHEST[d] and max(result.mesh) > tolerance
        left = max(result.error_extrapolated)
        near = left <= _NEAR * tolerance and flow.device.cells <= _FEW[d]
        more = left > tolerance and (most < MOST[d] or (most == MOST[d] and near))
        if more and not (coarse and max(result.mesh) > left):
            levels.append(2 * most)
            flow = solved(levels[-1], order, flow)
        elif coarse:
            order, levels = order + 1, levels[-3:]
            flow = beside if beside is not None and other == order else solved(most, order)
            for number in levels[:-1]:
                solved(number, order)
        else:
            return flow, result


def _other(device: Device, order: int) -> int:
    """The degree that tells what the mesh leaves of another one; the same where none can."""
    if device.cells < SMALL or (order == 2 and device.dimension == 2):
        return order + 1
    return max(order - 1, 2)


def _left_by(flow: Flow, order: int, other: int) -> float:
    """Error of a degree over its change to another one."""
    smooth = _SLOWLY if other > order else 1.0
    rest = (min(order, other) / max(order, other)) ** _slowest(flow)
    return max(smooth, (1.0 if other > order else rest) / (1 - rest))


def _slowest(flow: Flow) -> float:
    """Smallest power of the degree as which errors fall at corners; infinite if there are none."""
    device = flow.device
    walls = [isinstance(law_of(flow.boundaries, p.boundary), Wall) for p in device.pieces]
    found, size = rims(device), (device.measure / device.cells) ** (1 / device.dimension)
    coarse = found.height * device.extent > _GRADED * size
    corners = coarse & np.array(walls, dtype=bool)[found.piece].all(axis=1)
    angle = found.angle[corners & (found.angle > _REENTRANT)]
    return float((4 * (1 - 180 / angle)).min(initial=np.inf))


def quantities(flow: Flow) -> tuple[tuple[str, ...], tuple[str, ...], np.ndarray]:
    """Names, units and values of the currents and edge moments of a flow."""
    terminals = {**flow.contacts, **flow.periodic}
    names, units = 2 * list(terminals), ["A"] * len(terminals) + ["V"] * len(terminals)
    values = [t.current for t in terminals.values()] + [t.potential for t in terminals.values()]
    if couplings(flow) is not None:
        for moment in edge_moments(flow, orbital_density(flow, vorticity(flow))):
            found = np.ravel(moment.moment).tolist()
            axes = ("",) if len(found) == 1 else ("_x", "_y", "_z")
            names += [moment.wall + axis for axis in axes]
            units += ["J s"] * len(found)
            values += found
    return tuple(names), tuple(units), np.array(values)


def _doubt(flow: Flow) -> tuple[np.ndarray, float]:
    """What is in doubt of each edge moment, as in :func:`quantities`, and the least size."""
    pieces = flow.device.pieces
    if (kappa := couplings(flow)) is None:
        return np.empty(0), 0.0
    walls = [isinstance(law_of(flow.boundaries, piece.boundary), Wall) for piece in pieces]
    _, doubt, size = wall_moments(flow, kappa)
    least = CANCELLED if flow.device.dimension == 3 else NOTHING
    return doubt[walls].ravel(), least * float(size.max(initial=0.0))
