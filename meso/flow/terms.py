"""The terms of the weak form of the moment family, one function each, for batches of cells.

Find moments u (current density J = flux u), potential phi and wall multipliers h with

    relaxation(w, u) + stress(w, u) + (div flux w, (h^2/sigma) div J)
      - (div flux w, phi) - (psi, div J)                                        in the conductor
      + wall(w, u) + <flux_n w, h> + <eta, J_n>                                 on walls
      + contact terms = - sum_c V_c <flux_n w>_c                    on contacts, periodic pairs

The third term vanishes with div J. Where l << h it keeps the order of J, which Taylor-Hood
elements lose in Darcy flow (docs/verification.md).

Element matrices act on (moment, node) pairs, moment-major. Scaled variables throughout.
"""

from __future__ import annotations

import numpy as np

from meso.cells import Cells, FacetGeometry, Lagrange
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
) -> tuple[np.ndarray, np.ndarray]:
    """Stress and relaxation of the moments, and their divergence.

    Args:
        cells: Geometry.
        batch: Cell numbers, shape (c,).
        simple: True if all of them are straight and their coefficients constant.
        vector: Space of the moments.
        scalar: Space of the potential.
        moments: Angular matrices.
        stress: l^2/sigma of each cell, shape (c,), or at the points of :func:`points_of`, (c, q).
        relaxation: 1/sigma, likewise.

    Returns:
        Matrices of the moments, shape (c, n, p, n, p), and of -(psi, div flux u), shape
        (c, q, n, p), for n moments, p vector nodes and q scalar nodes of a cell.
    """
    if simple:
        return _simple_terms(cells, batch, vector, scalar, moments, stress, relaxation)
    points, weights = points_of(cells, vector)
    value, psi = vector.values(points), scalar.values(points)
    gradient, determinant = cells.gradients(batch, points, vector.gradients(points))
    weight = weights * determinant
    count, n, (q, p), d = len(batch), moments.count, value.shape, cells.dimension
    stress, relaxation = (
        np.broadcast_to(x.reshape(count, -1), weight.shape) for x in (stress, relaxation)
    )
    # All products d_i w d_j u at once: rows (q), columns (i, node).
    flat = gradient.reshape(count, q, d * p)
    turned = flat.transpose(0, 2, 1)
    products = turned @ (flat * (weight * stress)[:, :, None])
    products = products.reshape(count, d, p, d, p)
    square = (value[:, :, None] * value[:, None, :]).reshape(q, p * p)
    mass = ((weight * relaxation) @ square).reshape(count, p, p)
    matrix = np.zeros((count, n, p, n, p))
    for i, j, a, b in np.argwhere(moments.stress != 0):
        matrix[:, a, :, b, :] += moments.stress[i, j, a, b] * products[:, i, :, j, :]
    squared = np.einsum("ia,jb->ijab", moments.flux, moments.flux)
    augmented = augmentation(weight.sum(axis=1), d)[:, None] * weight * relaxation
    products = (turned @ (flat * augmented[:, :, None])).reshape(count, d, p, d, p)
    for i, j, a, b in np.argwhere(squared != 0):
        matrix[:, a, :, b, :] += squared[i, j, a, b] * products[:, i, :, j, :]
    for a, b in np.argwhere(moments.relaxation):
        matrix[:, a, :, b, :] += moments.relaxation[a, b] * mass
    tested = ((psi.T * weight[:, None, :]) @ flat).reshape(count, -1, d, p)
    divergence = np.zeros((count, psi.shape[1], n, p))
    for i, a in np.argwhere(moments.flux):
        divergence[:, :, a] -= moments.flux[i, a] * tested[:, :, i]
    return matrix, divergence


def points_of(cells: Cells, vector: Lagrange) -> tuple[np.ndarray, np.ndarray]:
    """Quadrature of the cell terms.

    Twice the degree of the field is enough on curved cells: the divergence is still exact.
    """
    return cells.quadrature(2 * vector.degree)


def augmentation(measure: np.ndarray, dimension: int) -> np.ndarray:
    """h^2 in the coefficient h^2/sigma of the squared divergence.

    Half the area of a cell; in 3D 0.15 of its volume to the power 2/3. Measured: more costs
    accuracy where l is about h (and iterations in 3D), less gains less where l << h.

    Args:
        measure: Scaled area or volume of each cell, shape (c,).
        dimension: 2 or 3.
    """
    return 0.5 * measure if dimension == 2 else 0.15 * measure ** (2 / 3)


def _simple_terms(
    cells: Cells,
    batch: np.ndarray,
    vector: Lagrange,
    scalar: Lagrange,
    moments: Moments,
    stress: np.ndarray,
    relaxation: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """The same on straight cells with constant coefficients, from reference tensors."""
    points, weights = points_of(cells, vector)
    value, psi, gradient = vector.values(points), scalar.values(points), vector.gradients(points)
    count, n, p, q, d = len(batch), moments.count, value.shape[1], psi.shape[1], cells.dimension
    along = gradient.transpose(2, 1, 0)  # (direction, node, point)
    stiffness = (along[:, None] * weights @ along[None].transpose(0, 1, 3, 2)).reshape(-1, p * p)
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
    size = augmentation(determinant * weights.sum(), d) * relaxation * determinant
    size = size[:, None, None, None, None]
    metric += size * outflow[:, :, None, :, None] * outflow[:, None, :, None, :]
    metric = metric.reshape(count * n * n, d * d)
    weight = np.einsum("c,mn->cmn", relaxation * determinant, moments.relaxation)
    matrix = (np.hstack([metric, weight.reshape(-1, 1)]) @ np.vstack([stiffness, mass])).reshape(
        count, n, n, p, p
    )
    tested = ((psi.T * weights) @ gradient.transpose(2, 0, 1)).reshape(d, q * p)
    flow = np.einsum("c,cai,im->cma", -determinant, inverses, moments.flux).reshape(-1, d)
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


def contact_terms(
    cells: Cells, facets: FacetGeometry, vector: Lagrange, stress: np.ndarray
) -> np.ndarray:
    """Nitsche's terms for J_t = 0 at an ideal contact (J. Nitsche 1971), two harmonics.

    -<P T(J) n, w> - <P T(w) n, J> + 4 k(k+1)/h <mu P J, w>, with the stress
    T = mu (grad J + grad J^T), the tangential projection P and the height h of the cell over the
    facet; the factor is twice the constant of the discrete trace inequality of degree k - 1.

    Args:
        cells: Geometry.
        facets: Boundary facets.
        vector: Space of J.
        stress: mu = l^2/sigma at the quadrature points, shape (f, q).

    Returns:
        Matrices on all nodes of the facets' cells, shape (f, d, p, d, p).
    """
    k = vector.degree
    penalty = stress * (4 * k * (k + 1) / facets.height)[:, None]
    return _nitsche(cells, facets, vector, stress, penalty, facets.tangential)


def wall_terms(
    cells: Cells, facets: FacetGeometry, vector: Lagrange, stress: np.ndarray, penalty: np.ndarray
) -> np.ndarray:
    """Nitsche's terms for J.n = 0, two harmonics, for walls that have no multiplier.

    -<n.T(J) n, w_n> - <n.T(w) n, J_n> + <penalty J_n, w_n>; the part with the potential is in
    :func:`wall_flux`.

    Args:
        cells: Geometry.
        facets: Boundary facets.
        vector: Space of J.
        stress: mu = l^2/sigma at the quadrature points, shape (f, q).
        penalty: Penalty there, shape (f, q).

    Returns:
        Matrices on all nodes of the facets' cells, shape (f, d, p, d, p).
    """
    along = facets.normal[..., :, None] * facets.normal[..., None, :]
    return _nitsche(cells, facets, vector, stress, penalty, along)


def wall_flux(
    facets: FacetGeometry, vector: Lagrange, scalar: Lagrange, moments: Moments
) -> np.ndarray:
    """<psi, J_n> on walls, on all nodes of the facets' cells, shape (f, q, n, p)."""
    value = facets.table(lambda points, _: vector.values(points))
    test = facets.table(lambda points, _: scalar.values(points))
    flux = facets.normal @ moments.flux
    return np.einsum("fx,fxs,fxm,fxp->fsmp", facets.weight, test, flux, value, optimize=True)


def _nitsche(
    cells: Cells,
    facets: FacetGeometry,
    vector: Lagrange,
    stress: np.ndarray,
    penalty: np.ndarray,
    projection: np.ndarray,
) -> np.ndarray:
    """-<Q T(J) n, w> - <Q T(w) n, J> + <penalty Q J, w> for a projection Q, (f, q, d, d)."""
    value = facets.table(lambda points, _: vector.values(points))
    gradient = np.empty((*value.shape[:2], cells.dimension, value.shape[2]))
    for i, points in enumerate(facets.points):
        here = facets.local == i
        reference = vector.gradients(points)
        gradient[here], _ = cells.gradients(facets.cell[here], points, reference)
    along = projection @ gradient
    across = np.einsum("fqi,fqip->fqp", facets.normal, gradient)
    # Q (grad w + grad w^T) n for w = phi e_b, component a: (f, q, a, b, p)
    traction = (
        projection[..., None] * across[:, :, None, None, :]
        + along[:, :, :, None, :] * facets.normal[:, :, None, :, None]
    )
    count, q, d, _, p = traction.shape
    # <w, Q T(u) n>: rows (a, m) of w = phi_m e_a, columns (b, p).
    weight = facets.weight * stress
    rows = (value * weight[..., None]).transpose(0, 2, 1)
    mixed = (rows @ traction.reshape(count, q, -1)).reshape(count, p, d, d, p)
    mixed = mixed.transpose(0, 2, 1, 3, 4)
    square = (value[:, :, :, None] * value[:, :, None, :]).reshape(count, q, p * p)
    weighted = ((facets.weight * penalty)[..., None, None] * projection).reshape(count, q, d * d)
    full = (weighted.transpose(0, 2, 1) @ square).reshape(count, d, d, p, p)
    return full.transpose(0, 1, 3, 2, 4) - mixed - mixed.transpose(0, 3, 4, 1, 2)


def trace(facets: FacetGeometry, space: Lagrange) -> np.ndarray:
    """Basis functions of the nodes of each facet at its quadrature points, (f, q, p)."""
    return facets.table(lambda points, i: space.values(points)[:, space.on_facet[i]])
