"""How far a kinetic solution is from many harmonics and from fine cells.

Currents and edge moments Q converge as N^-2 (measured), so that two numbers of harmonics give

    Q* = Q_N + (Q_N - Q_N/2)/3,    error of Q_N about |Q* - Q_N|,

and three of them the error of Q* itself, as the change of Q*. The error of the mesh is the change
with the polynomial degree at few harmonics: from k to k + 1, on large meshes from k - 1 to k, which
is pessimistic. These are estimates, not bounds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from meso.accumulation import edge_moments
from meso.flow.result import Flow
from meso.orbital import couplings, orbital_density, vorticity

#: Harmonics with which "auto" begins, and at most.
FIRST, MOST = 4, 128
#: Harmonics that the error of the mesh is estimated with.
FEW = 4

#: Cells up to which one degree more is cheap.
SMALL = 3000

Solve = Callable[[int, int, Flow | None], Flow]


@dataclass(frozen=True, slots=True, kw_only=True)
class Convergence:
    """Currents and edge moments by the number of harmonics.

    Attributes:
        harmonics: The numbers N, each twice the one before.
        names: Names of the quantities: contacts and periodic pairs twice, then pieces of walls.
        units: "A", "V" or "J s" for each.
        values: Shape (levels, quantities).
        mesh: Relative error of the mesh of currents (or potentials) and of moments; NaN where it is
            unknown.
        tolerance: Of "auto", or None.
    """

    harmonics: tuple[int, ...]
    names: tuple[str, ...]
    units: tuple[str, ...]
    values: np.ndarray
    mesh: tuple[float, float]
    tolerance: float | None

    def _relative(self, change: np.ndarray) -> tuple[float, float]:
        """Largest change of currents or potentials, and of moments, over the largest of each."""
        out = []
        for unit in ("A", "V", "J s"):
            here = np.array([u == unit for u in self.units], dtype=bool)
            size = np.abs(self.values[-1][here]).max(initial=0.0)
            out.append(float(np.abs(change[here]).max(initial=0.0) / size) if size else 0.0)
        return max(out[:2]), out[2]

    @property
    def extrapolated(self) -> np.ndarray:
        """Values for N to infinity, shape (quantities,)."""
        return self._extrapolated(len(self.harmonics) - 1)

    def _extrapolated(self, level: int) -> np.ndarray:
        if level == 0:
            return self.values[0]
        return self.values[level] + (self.values[level] - self.values[level - 1]) / 3

    @property
    def error(self) -> tuple[float, float]:
        """Estimated relative error in N of currents and of moments, as they are in the fields."""
        if len(self.harmonics) < 2:
            return (float("nan"), float("nan"))
        return self._relative(self.extrapolated - self.values[-1])

    @property
    def error_extrapolated(self) -> tuple[float, float]:
        """Estimated relative error in N of the extrapolated values."""
        if len(self.harmonics) < 3:
            return self.error
        last = len(self.harmonics) - 1
        return self._relative(self._extrapolated(last) - self._extrapolated(last - 1))

    @property
    def converged(self) -> bool:
        """Whether the extrapolated values are within the tolerance."""
        return self.tolerance is None or max(self.error_extrapolated) <= self.tolerance

    def table(self) -> dict[str, Any]:
        """What summary.json says of it."""
        return {
            "harmonics": list(self.harmonics),
            "quantities": [f"{n} ({u})" for n, u in zip(self.names, self.units, strict=True)],
            "values": self.values.tolist(),
            "extrapolated": self.extrapolated.tolist(),
            **{
                f"estimated_error_{what}": dict(
                    zip(("currents", "edge_moments"), map(_number, error), strict=True)
                )
                for what, error in (
                    ("harmonics", self.error),
                    ("extrapolated", self.error_extrapolated),
                    ("mesh", self.mesh),
                )
            },
        }


def _number(value: float) -> float | None:
    return None if np.isnan(value) else value


def converge(
    solve: Solve, *, order: int, harmonics: int | str, tolerance: float, estimate: bool
) -> tuple[Flow, Convergence]:
    """Solve with more and more harmonics.

    Args:
        solve: Flow for a number of harmonics and a degree, from an earlier flow.
        order: Polynomial degree.
        harmonics: N, or "auto" to double it until the extrapolated values are converged.
        tolerance: For "auto".
        estimate: False to solve for N alone.

    Returns:
        The flow with most harmonics, and how it converges.
    """
    auto = harmonics == "auto"
    if auto:
        levels = [FIRST]
        while 2 * levels[-1] <= MOST:
            levels.append(2 * levels[-1])
    else:
        number = int(harmonics)
        halves = [number // 4, number // 2, number] if estimate else [number]
        levels = [n for n in halves if n >= 2 and n % 2 == 0 and number % n == 0]
    flow: Flow | None = None
    done: list[int] = []
    values: list[np.ndarray] = []
    result = None
    for number in levels:
        flow = solve(number, order, flow)
        names, units, found = quantities(flow)
        done.append(number)
        values.append(found)
        result = Convergence(
            harmonics=tuple(done),
            names=names,
            units=units,
            values=np.array(values),
            mesh=(float("nan"), float("nan")),
            tolerance=tolerance if auto else None,
        )
        if auto and len(done) >= 3 and result.converged:
            break
    assert flow is not None and result is not None
    if estimate:
        few = min(FEW, done[-1])
        lower = values[done.index(few)] if few in done else quantities(solve(few, order, None))[2]
        small = flow.device.cells < SMALL
        other = order + 1 if small or order == 2 else order - 1
        change = quantities(solve(few, other, None))[2] - lower
        result = Convergence(
            harmonics=result.harmonics,
            names=result.names,
            units=result.units,
            values=result.values,
            mesh=result._relative(change),
            tolerance=result.tolerance,
        )
    return flow, result


def quantities(flow: Flow) -> tuple[tuple[str, ...], tuple[str, ...], np.ndarray]:
    """Names, units and values of the currents and edge moments of a flow."""
    terminals = {**flow.contacts, **flow.periodic}
    names, units = 2 * list(terminals), ["A"] * len(terminals) + ["V"] * len(terminals)
    values = [t.current for t in terminals.values()] + [t.potential for t in terminals.values()]
    if couplings(flow) is not None:
        for moment in edge_moments(flow, orbital_density(flow, vorticity(flow))):
            names.append(moment.wall)
            units.append("J s")
            values.append(float(moment.moment))  # type: ignore[arg-type]
    return tuple(names), tuple(units), np.array(values)
