"""A solution of a degree more in 3D, as exact as estimates of errors need it.

What the iterations leave is far below what a degree more changes; walls divide all densities at
once. Fields are not made.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from meso.angular_momentum import report
from meso.angular_momentum.problem import problem
from meso.flow import Hydrodynamic, Ohmic
from meso.gradients.adjoint import Terminals
from meso.gradients.differences import settled
from meso.gradients.inputs import moved
from meso.mpi import total
from meso.observables.accumulation import EdgeMoment
from meso.observables.nearest import division, walls_of
from meso.orbital import orbital_density, spin_density, vorticity
from meso.results.result import Result

#: Relative residual of the iterations.
_TOLERANCE = 1e-7


@dataclass(frozen=True, slots=True)
class _Mix:
    """A number that changes by left^T dG right."""

    left: np.ndarray
    right: np.ndarray
    given: Mapping[str, float] = field(default_factory=dict)


class Mixes(Terminals):
    """Numbers of the contacts by the potentials that they are between."""

    def _of_matrix(self, left: np.ndarray, right: np.ndarray) -> Any:
        return _Mix(left, right), 0.0

    def _of_currents(self, left: np.ndarray) -> Any:
        return _Mix(left, self.V)


def better(result: Result) -> Result:
    """The result with flow, densities of angular momentum and moments of a degree more.

    Extrema, decay lengths and fields are those that it had. All ranks call this.
    """
    case, device = moved(settled(result), {"flow.order": result.flow.order + 1}), result.device
    model = Hydrodynamic if case.flow.viscous else Ohmic
    flow = model(
        device,
        materials=case.region_materials,
        boundaries=case.boundaries,
        order=case.flow.order,
        thickness=case.geometry.thickness,
        solver=case.flow.solver,
        tolerance=_TOLERANCE,
    ).solve()
    diffusion = problem(case, device, tolerance=_TOLERANCE)
    coupling, part = case.angular_momentum.coupling, result.angular_momentum
    assert part is not None
    flow, found, response = report.coupled(diffusion, flow, coupling)
    result = replace(
        result, flow=flow, angular_momentum=replace(part, densities=found, response=response)
    )
    return _with_moments(result)


def _with_moments(result: Result) -> Result:
    """With the moments of its flow and densities, for those that it has."""
    flow, part = result.flow, result.angular_momentum
    assert part is not None
    local = [result.edge_moments, result.spin_moments]
    makers = zip(local, (orbital_density, spin_density), strict=True)
    fields = [density(flow, vorticity(flow)) for rows, density in makers if rows]
    fields.append(part.densities.together)
    whole = np.asarray(total(flow.device.comm, division(flow).moments(*fields)))[walls_of(flow)]
    ends = np.cumsum([field.components for field in fields])[:-1]
    *parts, own = np.split(whole * (flow.thickness or 1.0), ends, axis=1)
    edges, spins = (_rows(rows, parts.pop(0)) if rows else rows for rows in local)
    rows = {
        name: _rows(part.moments[name], column[:, None])
        for name, column in zip(part.moments, own.T, strict=True)
    }
    return replace(
        result,
        angular_momentum=replace(part, moments=rows),
        edge_moments=edges,
        spin_moments=spins,
    )


def _rows(rows: tuple[EdgeMoment, ...], moments: np.ndarray) -> tuple[EdgeMoment, ...]:
    """Moments (walls, k) in place of those that are there."""
    return tuple(
        replace(row, moment=float(x[0]) if len(x) == 1 else tuple(map(float, x)))
        for row, x in zip(rows, moments, strict=True)
    )
