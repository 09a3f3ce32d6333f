"""The terms of the weak form in omega = chi^-1 X, one function each.

    (d_i v_a, (D chi)^{ia}_{kb} d_k omega^b) + (v_a, (T chi)_ab omega^b)
        + <v_a, (V chi)_ab omega^b>_walls + <[v]_a, g_ab [omega]^b>_interfaces
        = (d_i v_a, Theta^{ia}_k E_k) + <v_a, j_a>_boundaries + (v_a, f_a)

Element matrices have the shape (cells, nodes, components, nodes, components). Lengths are scaled.
"""

from __future__ import annotations

import numpy as np

from meso.discrete.cells import Cells, FacetGeometry, Lagrange


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
