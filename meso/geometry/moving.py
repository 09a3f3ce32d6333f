"""Meshes whose nodes move: whether cells fold over, and sizes of what has moved."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from meso import _compat
from meso.geometry.pieces import Facets, Piece
from meso.geometry.simplices import CELL, determinant

#: Least part of its Jacobian determinant that a cell keeps everywhere: it must stay a cell.
LEAST = 1e-2
_BATCH = 20_000


def least_determinants(
    points: np.ndarray, moved: np.ndarray, nodes: np.ndarray, degree: int
) -> np.ndarray:
    """Smallest Jacobian determinant of each cell over the determinant before it moved.

    Args:
        points: Nodes before, shape (n, d).
        moved: Nodes after, shape (n, d).
        nodes: Nodes of each cell in Basix order, shape (c, nodes).
        degree: Polynomial degree of the cells.
    """
    cell = CELL[points.shape[1]]
    at = [_compat.scalar_element(cell, degree + i).points for i in range(2)]
    table = _compat.scalar_element(cell, degree).tabulate(1, np.concatenate(at))[1:, :, :, 0]
    out = np.ones(len(nodes))
    for start in range(0, len(nodes), _BATCH):
        here = nodes[start : start + _BATCH]
        before, after = (determinant(*(t @ x[here] for t in table)) for x in (points, moved))
        out[start : start + _BATCH] = (after / before).min(axis=1)
    return out


def largest_step(fits: Callable[[float], bool]) -> float:
    """About the largest part of a step, below 1, that fits; the whole of it does not."""
    low, high = 0.0, 1.0
    for _ in range(12):
        middle = (low + high) / 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def measured(
    facets: Facets, pieces: Sequence[Piece], sizes: np.ndarray, places: np.ndarray, planar: bool
) -> tuple[Facets, tuple[Piece, ...]]:
    """Facets of this rank and all pieces, with the sizes that they have now.

    Args:
        facets: The facets of this rank.
        pieces: The pieces.
        sizes: Length (3D: area) of the facets of all ranks.
        places: Piece and order of these, shape (f, 2).
        planar: Whether pieces are curves, along which facets have a place.
    """
    piece, order = places.T
    sorted_ = np.lexsort([order, piece])
    total = np.bincount(piece, weights=sizes, minlength=len(pieces))
    first = np.searchsorted(piece[sorted_], np.arange(len(pieces)))
    if planar:
        before = np.concatenate([[0.0], np.cumsum(sizes[sorted_])])
        at = first[facets.piece] + facets.order
        facets = replace(facets, start=before[at] - before[first[facets.piece]])
    return facets, tuple(
        replace(one, measure=float(size)) for one, size in zip(pieces, total, strict=True)
    )
