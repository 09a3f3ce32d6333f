"""The terms of the weak form in omega = chi^-1 X, one function each.

    (d_i v_a, (D chi)^{ia}_{kb} d_k omega^b) + (v_a, (T chi)_ab omega^b)
        + <v_a, (V chi)_ab omega^b>_walls + <[v]_a, g_ab [omega]^b>_interfaces
        = (d_i v_a, Theta^{ia}_k E_k) + <v_a, j_a>_boundaries + (v_a, f_a)

Element matrices have the shape (cells, nodes, components, nodes, components). Lengths are scaled.
"""

from __future__ import annotations

import numpy as np

from meso.cells import Cells, FacetGeometry, Lagrange


def gradients(
    cells: Cells, space: Lagrange, batch: np.ndarray, straight: bool, tensor: np.ndarray
) -> np.ndarray:
    """(d_i v_a, D_iakb d_k u_b).

    Args:
        cells: Geometry.
        space: Space of v and u.
        batch: Cells, straight all or none.
        straight: Whether they are.
        tensor: D in each of them, shape (c, d, n, d, n).
    """
    c, d, n = tensor.shape[:3]
    nodes = space.dofs.shape[1]
    if straight:
        points, weights = cells.quadrature(2 * space.degree)
        table = space.gradients(points)
        reference = np.einsum("q,qma,qlb->abml", weights, table, table).reshape(d * d, -1)
        inverses, determinant = cells.derivatives(batch)
        metric = np.einsum(
            "cpi,ciakb,crk,c->cabpr", inverses, tensor, inverses, determinant, optimize=True
        )
        matrix = metric.reshape(-1, d * d) @ reference
        matrix = matrix.reshape(c, n, n, nodes, nodes).transpose(0, 3, 1, 4, 2)
        return np.ascontiguousarray(matrix)
    points, weights = cells.quadrature(2 * space.degree + 2 * (cells.degree - 1))
    slope, determinant = cells.gradients(batch, points, space.gradients(points))
    weighted = slope * (weights * determinant)[:, :, None, None]
    out = np.empty((c, nodes, n, nodes, n))
    for a in range(n):
        for b in range(n):
            flux = tensor[:, None, :, a, :, b] @ slope
            left = weighted.reshape(c, -1, nodes).transpose(0, 2, 1)
            out[:, :, a, :, b] = left @ flux.reshape(c, -1, nodes)
    return out


def mass(
    cells: Cells, space: Lagrange, batch: np.ndarray, straight: bool, tensor: np.ndarray
) -> np.ndarray:
    """(v_a, R_ab u_b) with R in each cell, shape (c, n, n)."""
    degree = 2 * space.degree
    if straight:
        points, weights = cells.quadrature(degree)
        value = space.values(points)
        scalar = np.broadcast_to(
            (weights[:, None] * value).T @ value, (len(batch), 1, 1)[:1] + (value.shape[1],) * 2
        )
        scalar = scalar * cells.derivatives(batch)[1][:, None, None]
    else:
        points, weights = cells.quadrature(degree + cells.dimension * (cells.degree - 1))
        value = space.values(points)
        weight = weights * cells.determinants(batch, points)
        scalar = (weight[:, None, :] * value.T) @ value
    return np.asarray(scalar[:, :, None, :, None] * tensor[:, None, :, None, :])


def facet_mass(geometry: FacetGeometry, table: np.ndarray, tensor: np.ndarray) -> np.ndarray:
    """<v_a, V_ab u_b> with V on each facet, shape (f, n, n); nodes of the facets only."""
    weighted = table * geometry.weight[:, :, None]
    scalar = weighted.transpose(0, 2, 1) @ table
    return np.asarray(scalar[:, :, None, :, None] * tensor[:, None, :, None, :])


def current_load(
    cells: Cells,
    space: Lagrange,
    batch: np.ndarray,
    points: np.ndarray,
    weights: np.ndarray,
    current: np.ndarray,
) -> np.ndarray:
    """(d_i v_a, J_ia) with J at quadrature points, shape (c, q, d, n, ...).

    Returns:
        Shape (c, nodes, n, ...).
    """
    slope, determinant = cells.gradients(batch, points, space.gradients(points))
    weighted = slope * (weights * determinant)[:, :, None, None]
    c, nodes = len(batch), slope.shape[3]
    left = weighted.reshape(c, -1, nodes).transpose(0, 2, 1)
    flat = current.reshape(c, left.shape[2], -1)
    return np.asarray((left @ flat).reshape(c, nodes, *current.shape[3:]))


def volume_load(
    cells: Cells,
    space: Lagrange,
    batch: np.ndarray,
    points: np.ndarray,
    weights: np.ndarray,
    source: np.ndarray,
) -> np.ndarray:
    """(v_a, f_a) with f at quadrature points, shape (c, q, n)."""
    weight = weights * cells.determinants(batch, points)
    return np.asarray(space.values(points).T @ (weight[:, :, None] * source))


def facet_load(geometry: FacetGeometry, table: np.ndarray, current: np.ndarray) -> np.ndarray:
    """<v_a, j_a> with j at quadrature points, shape (f, q, n); nodes of the facets only."""
    return np.asarray((table * geometry.weight[:, :, None]).transpose(0, 2, 1) @ current)
