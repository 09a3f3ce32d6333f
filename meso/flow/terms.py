"""The terms of the weak form of the moment family, one function each, for batches of cells.

Find moments u (current density J = flux u), potential phi and wall multipliers h with

    relaxation(w, u) + stress(w, u) + (div flux w, (h^2/sigma) div J)
      - (div flux w, phi) - (psi, div J)                                        in the conductor
      + wall(w, u) + <flux_n w, h> + <eta, J_n>                                 on walls
      + contact terms = - sum_c V_c <flux_n w>_c                    on contacts, periodic pairs

The third term vanishes with div J. Where l << h it keeps the order of J, which Taylor-Hood
elements lose in Darcy flow (docs/verification.md).

Element matrices act on (node, moment) pairs, node by node. Scaled variables throughout.
"""

from __future__ import annotations

import numpy as np

from meso.discrete.cells import Cells, FacetGeometry, Lagrange
from meso.discrete.flow import FlowForms
from meso.discrete.scalar import ScalarForms
from meso.flow.angular import Moments


def cell_terms(
    cells: Cells,
    batch: np.ndarray,
    simple: bool,
    vector: Lagrange,
    scalar: Lagrange,
    moments: Moments,
    stress: np.ndarray,
    relaxation: np.ndarray,
) -> np.ndarray:
    """Stress and relaxation of the moments, and their divergence, of cells (c,).

    The coefficients l^2/sigma and 1/sigma are those of each cell, (c,), or at the points of
    :func:`points_of`, (c, q); ``simple`` says that all cells are straight and have the former.

    Returns:
        Matrices on the moments, node by node, and then the potential, shape (c, m, m) with
        m = p n + q for n moments, p vector nodes and q scalar nodes of a cell.
    """
    n, p, q = moments.count, vector.dofs.shape[1], scalar.dofs.shape[1]
    forms = FlowForms(cells, vector.degree)
    square = augmentation(cells.measures(batch), cells.dimension)
    if moments.hydrodynamic:
        return forms.conductor(batch, simple, stress, relaxation, square)
    whole = np.zeros((len(batch), p * n + q, p * n + q))
    matrix, divergence = np.zeros((len(batch), p, n, p, n)), np.zeros((len(batch), q, p, n))
    scalars, along = ScalarForms(cells, vector), forms.divergence(batch, simple)
    flux = np.multiply.outer(moments.flux, moments.flux).swapaxes(1, 2)
    bulk = (square * relaxation.T).T
    for coefficient, angular in ((stress, moments.stress), (bulk, flux)):
        slopes = scalars.stiffness(batch, simple, coefficient)
        for i, j, a, b in np.argwhere(angular):
            matrix[:, :, a, :, b] += angular[i, j, a, b] * slopes[:, i, :, j]
    mass = scalars.mass(batch, simple, relaxation)
    for a, b in np.argwhere(moments.relaxation):
        matrix[:, :, a, :, b] += moments.relaxation[a, b] * mass
    for i, a in np.argwhere(moments.flux):
        divergence[..., a] += moments.flux[i, a] * along[:, :, i]
    whole[:, : p * n, : p * n] = matrix.reshape(len(batch), p * n, p * n)
    whole[:, p * n :, : p * n] = divergence.reshape(len(batch), q, p * n)
    whole[:, : p * n, p * n :] = whole[:, p * n :, : p * n].swapaxes(1, 2)
    return whole


def points_of(cells: Cells, vector: Lagrange) -> tuple[np.ndarray, np.ndarray]:
    """Quadrature of the cell terms.

    Twice the degree of the field is enough on curved cells: the divergence is still exact.
    """
    return cells.quadrature(2 * vector.degree)


def augmentation(measure: np.ndarray, dimension: int) -> np.ndarray:
    """h^2 in the coefficient h^2/sigma of the squared divergence, from areas or volumes of cells.

    Half the area of a cell; in 3D 0.15 of its volume to the power 2/3. Measured: more costs
    accuracy where l is about h (and iterations in 3D), less gains less where l << h.
    """
    return 0.5 * measure if dimension == 2 else 0.15 * measure ** (2 / 3)


def boundary_matrix(facets: FacetGeometry, vector: Lagrange, angular: np.ndarray) -> np.ndarray:
    """A boundary term w_a angular[a, b] u_b, on the nodes of each facet, shape (f, p, n, p, n).

    The angular matrix is given at each quadrature point, shape (f, q, n, n).
    """
    value = trace(facets, vector)
    count, q, p = value.shape
    n = angular.shape[2]
    square = (value[:, :, :, None] * value[:, :, None, :]).reshape(count, q, p * p)
    weighted = (facets.weight[:, :, None, None] * angular).reshape(count, q, n * n)
    matrix = (weighted.transpose(0, 2, 1) @ square).reshape(count, n, n, p, p)
    return matrix.transpose(0, 3, 1, 4, 2)


def trace(facets: FacetGeometry, space: Lagrange) -> np.ndarray:
    """Basis functions of the nodes of each facet at its quadrature points, (f, q, p)."""
    return facets.table(lambda points, i: space.values(points)[:, space.on_facet[i]])
