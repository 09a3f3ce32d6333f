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

import numpy as np

from meso import _compat
from meso.geometry.planar import determinant, measures
from meso.geometry.simplices import Drawing

# Vertices of the edges of the Basix reference triangle and tetrahedron.
EDGES = ((1, 2), (0, 2), (0, 1))
EDGES_3D = ((2, 3), (1, 3), (1, 2), (0, 3), (0, 2), (0, 1))
# Curved tetrahedra keep at least this part of the Jacobian determinant everywhere.
_LEAST = 0.1
_BATCH = 20_000


def curved_cells(drawing: Drawing) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and connectivity of the drawing's cells at its degree.

    Args:
        drawing: Triangulated drawing; its curved edges have ``drawing.degree - 1`` nodes each.

    Returns:
        Node coordinates, shape (n, 2), the vertices of the drawing first; and the nodes of each
        cell in Basix order (vertices, edges, interior), one row a cell.
    """
    g, cells = drawing.degree, drawing.cells
    if g == 1:
        return drawing.points, cells
    if drawing.dimension == 3:
        return _tetrahedra(drawing)
    reference = _compat.scalar_element("triangle", g).points
    barycentric = np.column_stack([1 - reference.sum(axis=1), reference])
    x = np.einsum("nv,cvd->cnd", barycentric, drawing.points[cells])

    count = len(drawing.points)
    pairs = np.concatenate([cells[:, list(e)] for e in EDGES])
    keys = _key(pairs, count)
    edges, edge_of = np.unique(keys, return_inverse=True)
    for i, (first, second) in enumerate(EDGES):
        here = keys[i * len(cells) : (i + 1) * len(cells)]
        cell, amplitude = _amplitudes(drawing, here, cells[:, first], count)
        a, b = barycentric[:, first], barycentric[:, second]
        shape = 4 * a * b * (b - a)[None, :] ** np.arange(g - 1)[:, None]
        x[cell] += np.einsum("mn,cmd->cnd", shape, amplitude)

    inner = g - 1
    bubble = len(reference) - 3 - 3 * inner
    nodes = np.empty((len(cells), len(reference)), dtype=np.int64)
    nodes[:, :3] = cells
    for i, (first, second) in enumerate(EDGES):
        start = count + inner * edge_of[i * len(cells) : (i + 1) * len(cells)]
        forward = cells[:, first] < cells[:, second]
        step = np.where(forward[:, None], np.arange(inner), np.arange(inner)[::-1])
        nodes[:, 3 + i * inner : 3 + (i + 1) * inner] = start[:, None] + step
    base = count + inner * len(edges)
    inside = np.arange(len(cells) * bubble).reshape(len(cells), bubble)
    nodes[:, 3 + 3 * inner :] = base + inside
    points = np.empty((base + len(cells) * bubble, 2))
    points[nodes] = x
    points[:count] = drawing.points
    return points, nodes


def _tetrahedra(drawing: Drawing) -> tuple[np.ndarray, np.ndarray]:
    """Quadratic tetrahedra: a node on the middle of each edge, moved where the edge is curved."""
    if drawing.degree != 2:
        raise ValueError("curved tetrahedra are of degree 2")
    cells, count = drawing.cells, len(drawing.points)
    pairs = np.stack([cells[:, list(e)] for e in EDGES_3D], axis=1).reshape(-1, 2)
    edges, edge_of = np.unique(_key(pairs, count), return_inverse=True)
    middle = drawing.points[np.column_stack([edges // count, edges % count])].mean(axis=1)
    at = np.searchsorted(edges, _key(drawing.curved_edges, count)).clip(max=len(edges) - 1)
    # Edges of the drawing that belong to no cell are nobody's.
    known = edges[at] == _key(drawing.curved_edges, count)
    middle[at[known]] = drawing.curved_nodes[known, 0]
    nodes = np.concatenate([cells, count + edge_of.reshape(len(cells), 6)], axis=1)
    return np.concatenate([drawing.points, middle]), nodes


def straightened(drawing: Drawing) -> Drawing:
    """The drawing without the curved edges of tetrahedra that they would fold over.

    Mesh generators leave a few flat tetrahedra with all their vertices on a curved surface. With
    straight edges they, and only they, miss the surface by as much as straight cells do.

    Args:
        drawing: A drawing in three dimensions.
    """
    while drawing.degree > 1:
        points, nodes = curved_cells(drawing)
        bad = drawing.cells[smallest_determinant(drawing, points, nodes) < _LEAST]
        pairs = np.concatenate([bad[:, list(e)] for e in EDGES_3D])
        count = len(drawing.points)
        keep = ~np.isin(_key(drawing.curved_edges, count), _key(pairs, count))
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
    """Smallest Jacobian determinant in each cell over that of the straight cell.

    Args:
        drawing: The drawing.
        points: Nodes of its curved cells.
        nodes: Nodes of each cell, as of :func:`curved_cells`.

    Returns:
        One number for each cell, 1 for straight ones.
    """
    cell = {2: "triangle", 3: "tetrahedron"}[drawing.dimension]
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


def _key(pairs: np.ndarray, count: int) -> np.ndarray:
    return pairs.min(axis=1) * count + pairs.max(axis=1)


def _amplitudes(
    drawing: Drawing, keys: np.ndarray, first: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Monomial coefficients of q(t) for the cells whose edge is curved."""
    ends = drawing.curved_edges
    curved = _key(ends, count)
    order = np.argsort(curved)
    at = np.searchsorted(curved[order], keys).clip(max=len(curved) - 1)
    edge = order[at]
    cell = np.flatnonzero(curved[edge] == keys)
    edge = edge[cell]
    g = drawing.degree
    s = np.arange(1, g) / g
    start, end = (drawing.points[ends[edge, i]] for i in range(2))
    straight = start[:, None] * (1 - s)[:, None] + end[:, None] * s[:, None]
    bend = drawing.curved_nodes[edge] - straight
    backward = ends[edge, 0] != first[cell]
    bend[backward] = bend[backward][:, ::-1]
    t = 2 * s - 1
    monomials = (1 - t**2)[:, None] * t[:, None] ** np.arange(g - 1)
    return cell, np.einsum("ms,csd->cmd", np.linalg.inv(monomials), bend)
