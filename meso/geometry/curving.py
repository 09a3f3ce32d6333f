"""Curved triangles of any degree, and tetrahedra of degree 2, from curved edges.

A straight triangle with barycentric coordinates (a, b, c) is bent along its edge ab, whose
displacement is d(t) with t = b - a in [-1, 1], by the blending of Szabó and Babuška,

    x = x_straight + 4 a b q(b - a),      d(t) = (1 - t^2) q(t),

a polynomial of the degree of the edge with derivatives that decrease with the cell size as the
isoparametric theory demands (M. Lenoir, SIAM J. Numer. Anal. 23, 562 (1986)). Interior nodes put
anywhere else, as mesh generators do from degree 3 on, cost orders of convergence at the wall.
Quadratic cells have no nodes but those on their edges: nothing remains to be blended.
"""

from __future__ import annotations

from dataclasses import replace
from math import comb

import numpy as np

from meso import _compat
from meso.geometry.simplices import CELL, Drawing, determinant, measures, positions, row_keys

#: Vertices of the edges of the Basix reference triangle and tetrahedron.
EDGES = {
    2: np.array([(1, 2), (0, 2), (0, 1)]),
    3: np.array([(2, 3), (1, 3), (1, 2), (0, 3), (0, 2), (0, 1)]),
}
# Curved tetrahedra keep at least this part of the Jacobian determinant everywhere.
_LEAST = 0.1
_BATCH = 20_000


def curved_cells(drawing: Drawing) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and connectivity of the drawing's cells at its degree, in 3D at most 2.

    Returns:
        Node coordinates, shape (n, d), the vertices of the drawing first; and the nodes of each
        cell in Basix order (vertices, edges, interior), one row a cell.
    """
    g, cells, count, d = drawing.degree, drawing.cells, len(drawing.points), drawing.dimension
    if g == 1:
        return drawing.points, cells
    if d == 3 and g > 2:
        raise ValueError("curved tetrahedra are of degree 2")
    reference = _compat.scalar_element(CELL[d], g).points
    barycentric = np.column_stack([1 - reference.sum(axis=1), reference])
    x = barycentric @ drawing.points[cells]
    pairs = cells[:, EDGES[d]]
    edges, edge_of = np.unique(row_keys(pairs.reshape(-1, 2), count), return_inverse=True)
    for i, (first, second) in enumerate(EDGES[d]):
        cell, amplitude = _amplitudes(drawing, pairs[:, i])
        a, b = barycentric[:, first], barycentric[:, second]
        shape = 4 * a * b * (b - a)[None, :] ** np.arange(g - 1)[:, None]
        x[cell] += shape.T @ amplitude

    # Nodes inside edges are numbered from the smaller vertex.
    start = count + (g - 1) * edge_of.reshape(len(cells), -1, 1)
    forward = (pairs[:, :, 0] < pairs[:, :, 1])[:, :, None]
    on_edges = start + np.where(forward, np.arange(g - 1), np.arange(g - 1)[::-1])
    base = count + (g - 1) * len(edges)
    bubbles = comb(g - 1, d)
    inside = base + np.arange(len(cells) * bubbles).reshape(len(cells), bubbles)
    nodes = np.concatenate([cells, on_edges.reshape(len(cells), -1), inside], axis=1)
    points = np.empty((base + inside.size, d))
    points[nodes] = x
    points[:count] = drawing.points
    return points, nodes


def _amplitudes(drawing: Drawing, pairs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The cells of which an edge (c, 2) is curved, and the monomial coefficients of q(t) there."""
    count, ends = len(drawing.points), drawing.curved_edges
    edge = positions(row_keys(ends, count), row_keys(pairs, count))
    cell = np.flatnonzero(edge >= 0)
    edge = edge[cell]
    g = drawing.degree
    s = np.arange(1, g) / g
    start, end = (drawing.points[ends[edge, i]] for i in range(2))
    straight = start[:, None] * (1 - s)[:, None] + end[:, None] * s[:, None]
    bend = drawing.curved_nodes[edge] - straight
    backward = ends[edge, 0] != pairs[cell, 0]
    bend[backward] = bend[backward][:, ::-1]
    t = 2 * s - 1
    monomials = (1 - t**2)[:, None] * t[:, None] ** np.arange(g - 1)
    return cell, np.linalg.inv(monomials) @ bend


def straightened(drawing: Drawing) -> Drawing:
    """The drawing without the curved edges of tetrahedra that they would fold over.

    Mesh generators leave a few flat tetrahedra with all their vertices on a curved surface. With
    straight edges they, and only they, miss the surface by as much as straight cells do.
    """
    count = len(drawing.points)
    while drawing.degree > 1:
        bad = drawing.cells[smallest_determinant(drawing, *curved_cells(drawing)) < _LEAST]
        edges = row_keys(bad[:, EDGES[3]].reshape(-1, 2), count)
        keep = ~np.isin(row_keys(drawing.curved_edges, count), edges)
        if keep.all():
            break
        drawing = replace(
            drawing,
            degree=drawing.degree if keep.any() else 1,
            curved_edges=drawing.curved_edges[keep],
            curved_nodes=drawing.curved_nodes[keep],
        )
    return drawing


def smallest_determinant(drawing: Drawing, points: np.ndarray, nodes: np.ndarray) -> np.ndarray:
    """Smallest Jacobian determinant in each of the :func:`curved_cells` over the straight one's."""
    cell = CELL[drawing.dimension]
    element = _compat.scalar_element(cell, drawing.degree)
    # The determinant is a polynomial of degree d (g - 1): look at more points than the nodes.
    at = _compat.scalar_element(cell, drawing.degree + 1).points
    table = element.tabulate(1, np.concatenate([element.points, at]))[1:, :, :, 0]
    bent = np.zeros(len(drawing.points), bool)
    bent[drawing.curved_edges] = True
    chosen = np.flatnonzero(bent[drawing.cells].sum(axis=1) > 1)
    out = np.ones(len(drawing.cells))
    for start in range(0, len(chosen), _BATCH):
        here = chosen[start : start + _BATCH]
        x = points[nodes[here]]
        smallest = determinant(*(t @ x for t in table)).min(axis=1)
        out[here] = smallest / measures(drawing.points, drawing.cells[here])
    return out
