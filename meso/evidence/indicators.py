"""Where two solutions of different degree on one mesh differ, cell by cell."""

from __future__ import annotations

from itertools import pairwise

import basix
import numpy as np

from meso.discrete.cells import lagrange
from meso.discrete.expressions import cell_integrals
from meso.discrete.fields import Field
from meso.equations import dissipation, vorticity
from meso.equations.derived import TABLE
from meso.flow.result import Flow
from meso.observables.derived import symbols


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
