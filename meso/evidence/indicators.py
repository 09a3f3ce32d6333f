"""Where the error of a target comes from, cell by cell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import basix
import numpy as np

from meso.case import Case
from meso.device import Device
from meso.discrete.cells import lagrange
from meso.discrete.expressions import cell_integrals
from meso.discrete.fields import Field
from meso.equations import dissipation, vorticity
from meso.equations.derived import TABLE
from meso.flow.result import Flow
from meso.geometry.refinement import CellErrors
from meso.observables.derived import symbols


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Indicated:
    """What a solution on a mesh tells of the target that the mesh is adapted to.

    Attributes:
        flow: The flow that the result would be of.
        value: The target; of several numbers the largest.
        unit: Its unit.
        errors: What each cell of all ranks contributes to the estimated relative error.
    """

    flow: Flow
    value: float
    unit: str
    errors: CellErrors

    @property
    def estimate(self) -> float:
        """Estimated relative error of the target."""
        return float(self.errors.share.sum())


#: What solves a case on a mesh and estimates the error of its ``mesh.adapt.target`` there, one for
#: each model. It may say on the way what it does.
Indicator = Callable[[Case, Device, Callable[[str], None]], Indicated]


def energy(flow: Flow, density: Field, voltage: Field | None = None) -> np.ndarray:
    """Power that a current density dissipates in each cell of this rank, W (W/m), shape (c,).

    Args:
        flow: A flow, for its model and coefficients.
        density: Current density.
        voltage: Potential; with it the coupling 2 |int phi div J| is added, which vanishes for an
            exact flow.
    """
    J, degree = density.function(), 2 * density.highest
    heat = TABLE["heat"].expression
    assert heat is not None
    out = cell_integrals(flow.device, heat(symbols(flow, J)), degree=degree)
    if voltage is not None and flow.viscous:
        coupling = dissipation.coupling(J, voltage.function())
        out += 2 * np.abs(cell_integrals(flow.device, coupling, degree=degree))
    return out


def absolute_curl(density: Field) -> np.ndarray:
    """Integral of |curl J| over each cell of this rank."""
    size = vorticity.size(density.function())
    return cell_integrals(density.device, size, degree=2 * density.highest)


def last_degrees(density: Field) -> np.ndarray:
    """Squares of the parts of the last but one and of the last degree, shape (c, 2).

    The parts are those of an orthogonal basis in each cell; without a part of degree k - 1 both
    are 0.
    """
    k, highest = density.degree, density.highest
    if k < 1:
        return np.zeros((len(density.values), 2))
    points = lagrange(density.device, highest).points
    basis = basix.tabulate_polynomials(
        basix.PolynomialType.legendre, basix.CellType.triangle, highest, points
    )
    modes = np.linalg.inv(basis.T) @ density.everywhere(points)
    starts = [k * (k - 1) // 2, k * (k + 1) // 2, (k + 1) * (k + 2) // 2]
    squares = (modes**2).sum(axis=2)
    return np.stack([squares[:, a:b].sum(axis=1) for a, b in pairwise(starts)], axis=1)
