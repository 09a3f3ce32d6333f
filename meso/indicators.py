"""Where two solutions of different degree on one mesh differ, cell by cell."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import basix
import numpy as np

from meso.cells import cells_of, inverse, lagrange
from meso.fields import Field, gradient
from meso.flow.hydrodynamic import Hydrodynamic

_BATCH = 2000  # cells


def difference(fine: Field, coarse: Field) -> Field:
    """Fine minus coarse field.

    Args:
        fine: Field of some degree.
        coarse: Field of a lower degree on the same mesh, or of degree 0 too.
    """
    if fine.degree == 0:
        return replace(fine, values=fine.values - coarse.values)
    points = lagrange(fine.device, fine.degree).points
    return replace(fine, values=fine.values - coarse.everywhere(points))


def energy(model: Any, density: Field, voltage: Field | None = None) -> np.ndarray:
    """Energy in each cell of this rank, in scaled variables: for the relaxation and the stress.

    Args:
        model: Flow model, for its coefficients.
        density: Scaled current density.
        voltage: Potential; with it the coupling 2 |int phi div J| is added, which vanishes for an
            exact flow.
    """
    device, cells = model.device, cells_of(model.device)
    points, weights = cells.quadrature(2 * density.degree)
    value = density.table(points)
    viscous = isinstance(model, Hydrodynamic)
    slopes = lagrange(device, density.degree).gradients(points) if viscous else None
    out = np.zeros(cells.count)
    for start in range(0, cells.count, _BATCH):
        batch = np.arange(start, min(start + _BATCH, cells.count))
        at = cells.positions(batch, points)
        inverses, determinant = inverse(cells.jacobians(batch, points))
        weight = weights * determinant

        def integral(values: np.ndarray, coefficient: Any, w: np.ndarray = weight) -> np.ndarray:
            return (w * coefficient.reshape(len(w), -1) * values).sum(axis=1)

        here = np.einsum("qn,cnk->cqk", value, density.values[batch], optimize=True)
        out[batch] = integral((here**2).sum(axis=2), model.coefficients.relaxation(batch, at))
        if slopes is None:
            continue
        reference = np.einsum("qna,cnk->cqak", slopes, density.values[batch], optimize=True)
        slope = np.einsum("cqai,cqak->cqik", inverses, reference, optimize=True)
        divergence = np.trace(slope, axis1=2, axis2=3)
        shear = slope + slope.swapaxes(2, 3) - divergence[..., None, None] * np.eye(2)
        stress = model.coefficients.stress(batch, at)
        out[batch] += integral((shear**2).sum(axis=(2, 3)) / 2, stress)
        if voltage is not None:
            phi = voltage.table(points) @ voltage.values[batch, :, 0].T
            out[batch] += 2 * np.abs((weight * phi.T * divergence).sum(axis=1))
    return out


def absolute_curl(density: Field) -> np.ndarray:
    """Integral of |curl J| over each cell of this rank, in scaled variables."""
    cells = cells_of(density.device)
    points, weights = cells.quadrature(2 * density.degree)
    out = np.zeros(cells.count)
    for start in range(0, cells.count, _BATCH):
        batch = np.arange(start, min(start + _BATCH, cells.count))
        slope = gradient(density, points, batch)
        weight = weights * cells.determinants(batch, points)
        out[batch] = (weight * np.abs(slope[:, :, 0, 1] - slope[:, :, 1, 0])).sum(axis=1)
    return out


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
