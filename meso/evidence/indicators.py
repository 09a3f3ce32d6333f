"""Where two solutions of different degree on one mesh differ, cell by cell."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import basix
import numpy as np

from meso.discrete.cells import cells_of, lagrange
from meso.discrete.fields import Field
from meso.discrete.functionals import cell_integrals
from meso.equations import dissipation, vorticity
from meso.flow.hydrodynamic import Hydrodynamic


def energy(model: Any, density: Field, voltage: Field | None = None) -> np.ndarray:
    """Energy in each cell of this rank, in scaled variables: for the relaxation and the stress.

    Args:
        model: Flow model, for its coefficients.
        density: Scaled current density.
        voltage: Potential; with it the coupling 2 |int phi div J| is added, which vanishes for an
            exact flow.
    """
    cells, degree = cells_of(model.device), 2 * density.degree
    everything = np.arange(cells.count)
    at = cells.positions(everything, cells.quadrature(degree)[0])
    relaxation = model.coefficients.relaxation(everything, at)
    if not isinstance(model, Hydrodynamic):
        return cell_integrals(dissipation.ohmic, [density], [relaxation], degree=degree)
    stress = model.coefficients.stress(everything, at)
    out = cell_integrals(dissipation.in_conductor, [density], [relaxation, stress], degree=degree)
    if voltage is not None:
        coupling = cell_integrals(dissipation.coupling, [density, voltage], degree=degree)
        out += 2 * np.abs(coupling)
    return out


def absolute_curl(density: Field) -> np.ndarray:
    """Integral of |curl J| over each cell of this rank, in scaled variables."""
    return cell_integrals(vorticity.size, [density], degree=2 * density.degree)


def last_degrees(density: Field) -> np.ndarray:
    """Squares of the parts of the last but one and of the last degree, shape (c, 2).

    The parts are those of an orthogonal basis in each cell.

    Args:
        density: A field of degree k; without a part of degree k - 1 both are 0.
    """
    k = density.degree
    if k < 1:
        return np.zeros((len(density.values), 2))
    points = lagrange(density.device, k).points
    basis = basix.tabulate_polynomials(
        basix.PolynomialType.legendre, basix.CellType.triangle, k, points
    )
    modes = np.einsum("mn,cnk->cmk", np.linalg.inv(basis.T), density.values)
    starts = [k * (k - 1) // 2, k * (k + 1) // 2, (k + 1) * (k + 2) // 2]
    squares = (modes**2).sum(axis=2)
    return np.stack([squares[:, a:b].sum(axis=1) for a, b in pairwise(starts)], axis=1)
