"""The terms of the weak form of the moment family, one function each, for batches of cells.

Find moments u (current density J = flux u), potential phi and wall multipliers h with

    relaxation(w, u) + stress(w, u) + (div flux w, (h^2/sigma) div J)
      - (div flux w, phi) - (psi, div J)                                        in the conductor
      + wall(w, u) + <flux_n w, h> + <eta, J_n>                                 on walls
      + contact terms = - sum_c V_c <flux_n w>_c                                on contacts

The third term vanishes with div J. Where l << h it keeps the order of J, which Taylor-Hood
elements lose in Darcy flow (docs/verification.md).

Element matrices act on (moment, node) pairs, moment-major. Scaled variables throughout.
"""

from __future__ import annotations

import numpy as np

from meso.cells import Cells, FacetGeometry, Lagrange, by_facet, quadrature
from meso.flow.angular import Moments


def cell_terms(
    cells: Cells,
    batch: np.ndarray,
    straight: bool,
    vector: Lagrange,
    scalar: Lagrange,
    moments: Moments,
    stress: np.ndarray,
    relaxation: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Stress and relaxation of the moments, and their divergence.

    Args:
        cells: Geometry.
        batch: Cell numbers, shape (c,).
        straight: True if all of them are.
        vector: Space of the moments.
        scalar: Space of the potential.
        moments: Angular matrices.
        stress: l^2/sigma of each cell, shape (c,).
        relaxation: 1/sigma of each cell, shape (c,).

    Returns:
        Matrices of the moments, shape (c, n, p, n, p), and of -(psi, div flux u), shape
        (c, q, n, p), for n moments, p vector nodes and q scalar nodes of a cell.
    """
    if straight:
        return _straight_terms(cells, batch, vector, scalar, moments, stress, relaxation)
    # Twice the degree of the field is enough on curved cells: the divergence is still exact.
    points, weights = quadrature(2 * vector.degree)
    value, psi = vector.values(points), scalar.values(points)
    gradient, determinant = cells.gradients(batch, points, vector.gradients(points))
    weight = weights * determinant
    count, n, (q, p) = len(batch), moments.count, value.shape
    # All products d_i w d_j u at once: rows (q), columns (i, node).
    flat = gradient.reshape(count, q, 2 * p)
    products = flat.transpose(0, 2, 1) @ (flat * (weight * stress[:, None])[:, :, None])
    products = products.reshape(count, 2, p, 2, p)
    square = (value[:, :, None] * value[:, None, :]).reshape(q, p * p)
    mass = ((weight * relaxation[:, None]) @ square).reshape(count, p, p)
    matrix = np.zeros((count, n, p, n, p))
    squared = np.einsum("ia,jb->ijab", moments.flux, moments.flux)
    augmented = augmentation(determinant @ weights, relaxation) / stress
    for i, j, a, b in np.argwhere((moments.stress != 0) | (squared != 0)):
        factor = moments.stress[i, j, a, b] + augmented * squared[i, j, a, b]
        matrix[:, a, :, b, :] += factor[:, None, None] * products[:, i, :, j, :]
    for a, b in np.argwhere(moments.relaxation):
        matrix[:, a, :, b, :] += moments.relaxation[a, b] * mass
    tested = ((psi.T * weight[:, None, :]) @ flat).reshape(count, -1, 2, p)
    divergence = np.zeros((count, psi.shape[1], n, p))
    for i, a in np.argwhere(moments.flux):
        divergence[:, :, a] -= moments.flux[i, a] * tested[:, :, i]
    return matrix, divergence


def augmentation(area: np.ndarray, relaxation: np.ndarray) -> np.ndarray:
    """Coefficient h^2/sigma of the squared divergence, h^2 being half the area of a cell.

    Measured: more costs accuracy where l is about h, less gains less where l << h.

    Args:
        area: Area of each cell, shape (c,).
        relaxation: 1/sigma of each cell, shape (c,).
    """
    return area / 2 * relaxation


def _straight_terms(
    cells: Cells,
    batch: np.ndarray,
    vector: Lagrange,
    scalar: Lagrange,
    moments: Moments,
    stress: np.ndarray,
    relaxation: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """The same on straight cells, from the tensors of the reference cell."""
    points, weights = quadrature(2 * vector.degree)
    value, psi, gradient = vector.values(points), scalar.values(points), vector.gradients(points)
    count, n, p, q = len(batch), moments.count, value.shape[1], psi.shape[1]
    along = gradient.transpose(2, 1, 0)  # (direction, node, point)
    stiffness = (along[:, None] * weights @ along[None].transpose(0, 1, 3, 2)).reshape(4, p * p)
    mass = ((value.T * weights) @ value).reshape(1, p * p)
    inverses, determinant = cells.derivatives(batch)
    metric = np.einsum(
        "c,ijmn,cai,cbj->cmnab",
        stress * determinant,
        moments.stress,
        inverses,
        inverses,
        optimize=True,
    )
    outflow = np.einsum("im,cai->cma", moments.flux, inverses)
    augmented = augmentation(determinant / 2, relaxation) * determinant
    size = augmented[:, None, None, None, None]
    metric += size * outflow[:, :, None, :, None] * outflow[:, None, :, None, :]
    metric = metric.reshape(count * n * n, 4)
    weight = np.einsum("c,mn->cmn", relaxation * determinant, moments.relaxation)
    matrix = (np.hstack([metric, weight.reshape(-1, 1)]) @ np.vstack([stiffness, mass])).reshape(
        count, n, n, p, p
    )
    tested = ((psi.T * weights) @ gradient.transpose(2, 0, 1)).reshape(2, q * p)
    flow = np.einsum("c,cai,im->cma", -determinant, inverses, moments.flux).reshape(-1, 2)
    divergence = (flow @ tested).reshape(count, n, q, p)
    return matrix.transpose(0, 1, 3, 2, 4), divergence.transpose(0, 2, 1, 3)


def boundary_matrix(facets: FacetGeometry, vector: Lagrange, angular: np.ndarray) -> np.ndarray:
    """A boundary term w_a angular[a, b] u_b.

    Args:
        facets: Boundary facets.
        vector: Space of the moments.
        angular: Angular matrix at each quadrature point, shape (f, q, n, n).

    Returns:
        Matrices on the nodes of each facet, shape (f, n, p, n, p).
    """
    value = trace(facets, vector)
    count, q, p = value.shape
    n = angular.shape[2]
    square = (value[:, :, :, None] * value[:, :, None, :]).reshape(count, q, p * p)
    weighted = (facets.weight[:, :, None, None] * angular).reshape(count, q, n * n)
    matrix = (weighted.transpose(0, 2, 1) @ square).reshape(count, n, n, p, p)
    return matrix.transpose(0, 1, 3, 2, 4)


def normal_flux(
    facets: FacetGeometry, vector: Lagrange, moments: Moments, test: np.ndarray
) -> np.ndarray:
    """Boundary integrals of a test function times the normal current of each moment.

    Args:
        facets: Boundary facets.
        vector: Space of the moments.
        moments: Angular matrices.
        test: Test functions at the quadrature points, shape (f, q, m).

    Returns:
        Shape (f, m, n, p).
    """
    value = trace(facets, vector)
    flux = facets.normal @ moments.flux
    tested = flux[:, :, :, None] * value[:, :, None, :]
    count, q, n, p = tested.shape
    weighted = (facets.weight[:, :, None] * test).transpose(0, 2, 1)
    return (weighted @ tested.reshape(count, q, n * p)).reshape(count, test.shape[2], n, p)


def tangential_consistency(
    cells: Cells, facets: FacetGeometry, vector: Lagrange, stress: np.ndarray
) -> np.ndarray:
    """Nitsche's terms for J_t = 0 at an ideal contact (J. Nitsche 1971), two harmonics.

    -<t.T(J)n, w_t> - <t.T(w)n, J_t> + 4 k(k+1)/h <mu J_t, w_t>, with the stress
    T = mu (grad J + grad J^T) and the height h of the cell over the facet; the factor is twice
    the constant of the discrete trace inequality of degree k - 1.

    Args:
        cells: Geometry.
        facets: Boundary facets.
        vector: Space of J.
        stress: mu = l^2/sigma of each facet's cell, shape (f,).

    Returns:
        Matrices on all nodes of the facets' cells, shape (f, 2, p, 2, p).
    """
    value = by_facet(facets.local, lambda i: vector.values(facets.points[i]))
    gradient = np.empty((*value.shape[:2], 2, value.shape[2]))
    for i in range(3):
        here = facets.local == i
        reference = vector.gradients(facets.points[i])
        gradient[here], _ = cells.gradients(facets.cell[here], facets.points[i], reference)
    along = np.einsum("fqi,fqin->fqn", facets.tangent, gradient)
    across = np.einsum("fqi,fqin->fqn", facets.normal, gradient)
    # t.(grad w + grad w^T).n for w = phi e_a
    traction = (
        facets.tangent[:, :, :, None] * across[:, :, None]
        + facets.normal[:, :, :, None] * along[:, :, None]
    )
    tangential = facets.tangent[:, :, :, None] * value[:, :, None]
    weight = facets.weight * stress[:, None]
    mixed = np.einsum("fq,fqam,fqbn->fambn", weight, tangential, traction, optimize=True)
    k = vector.degree
    penalty = weight * (4 * k * (k + 1) / facets.height)[:, None]
    square = np.einsum("fq,fqam,fqbn->fambn", penalty, tangential, tangential, optimize=True)
    return square - mixed - mixed.transpose(0, 3, 4, 1, 2)


def trace(facets: FacetGeometry, space: Lagrange) -> np.ndarray:
    """Basis functions of the nodes of each facet at its quadrature points, (f, q, p)."""
    return by_facet(facets.local, lambda i: space.values(facets.points[i])[:, space.on_facet[i]])
