"""Cell sizes for the next mesh from the errors of the cells of this one: plain arrays, one rank."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_matrix

from meso.layers import SizeField

#: Largest increase of the cell size with distance. Steeper than without adaption (0.25): what is
#: too coarse between corner and bulk shows in the indicator.
GROWTH = 0.5
#: Cells on the way from a corner to the bulk, per cell at the corner and factor e of the size.
_CELLS_PER_FACTOR = 15.0
#: Smallest and largest new size over the present one; at corners the size may fall at once.
_RATIO = (1 / 3, 2.0)
_CORNER_RATIO = 1e-2
#: Smallest cell over the extent of the device: drawings are no more precise than that.
_SMALLEST = 1e-8
#: Cells of the next mesh over those of this one, at most.
_MORE_CELLS = 4.0
#: Ratios are rounded to powers of 2^(1/4): rounding errors do not reach the mesh.
_STEPS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class CellErrors:
    """What the cells of a mesh contribute to an error.

    Attributes:
        corners: Vertices of the cells, shape (c, 3, 2).
        share: Share of each cell in the error, not negative, shape (c,).
        rough: True for cells in which a higher degree does not help, shape (c,).
        power: Power of the size by which the share of a smooth cell falls.
        corner_power: The same for a rough one, which is at a corner.
    """

    corners: np.ndarray
    share: np.ndarray
    rough: np.ndarray
    power: float
    corner_power: float


def next_sizes(errors: CellErrors, goal: float) -> SizeField:
    """Sizes that reach an error with about the fewest cells.

    Refining a smooth cell to r times its size costs r^-2 cells and leaves r^power of its share;
    at a corner it costs log(1/r) cells. Both stand in the same ratio in the optimum.

    Args:
        errors: Cells and their errors.
        goal: Error to be reached.

    Returns:
        The sizes, graded, in the unit of the corners.
    """
    count = len(errors.share)
    corners = errors.corners.reshape(-1, 2)
    points, triangles = np.unique(corners, axis=0, return_inverse=True)
    triangles = triangles.reshape(count, 3)
    side = errors.corners[:, 1:] - errors.corners[:, :1]
    area = np.abs(side[:, 0, 0] * side[:, 1, 1] - side[:, 0, 1] * side[:, 1, 0]) / 2
    size = np.sqrt(4 / np.sqrt(3) * area)
    # A vertex with rough cells all round is a corner; other cells near it are to be graded.
    around = np.ones(len(points), dtype=bool)
    around[triangles[~errors.rough].ravel()] = False
    at_corner = around[triangles].any(axis=1)
    powers = np.where(at_corner, errors.corner_power, errors.power)

    total = float(errors.share.sum())
    # What the limit of the ratio leaves at corners is for the mesh after the next.
    left = float(errors.share[at_corner].sum()) * _CORNER_RATIO**errors.corner_power
    goal = max(goal, 2 * left)
    low, high = -60.0, 10.0  # powers of e of the level over the whole error
    for _ in range(60):
        middle = (low + high) / 2
        ratio = _ratios(errors, at_corner, np.exp(middle) * total)
        found = (errors.share * ratio**powers).sum()
        low, high = (middle, high) if found < goal else (low, middle)
    smallest = _SMALLEST * np.ptp(points, axis=0).max()
    edges = _edges(triangles)
    while True:
        new = _ratios(errors, at_corner, np.exp(low) * total) * size
        wanted = np.full(len(points), np.inf)
        for vertex in triangles.T:
            here = ~at_corner | around[vertex]
            np.minimum.at(wanted, vertex[here], new[here])
        wanted = _graded(points, edges, np.maximum(wanted, smallest))
        if low > high + 20 or _cells(wanted[triangles], area) < _MORE_CELLS * count:
            return SizeField(points=points, triangles=triangles, sizes=wanted)
        low += 0.5


def _ratios(errors: CellErrors, at_corner: np.ndarray, level: float) -> np.ndarray:
    """New over present size of each cell, for a Lagrange multiplier."""
    with np.errstate(divide="ignore", over="ignore"):
        over = level / errors.share
        smooth = (2 / errors.power * over) ** (1 / (errors.power + 2))
        corner = (_CELLS_PER_FACTOR / errors.corner_power * over) ** (1 / errors.corner_power)
    ratio = np.where(at_corner, np.clip(corner, _CORNER_RATIO, 1.0), np.clip(smooth, *_RATIO))
    return 2.0 ** (np.round(_STEPS * np.log2(ratio)) / _STEPS)


def _edges(triangles: np.ndarray) -> np.ndarray:
    pairs = triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)
    graph = coo_matrix((np.ones(len(pairs)), pairs.T)).tocsr().tocoo()
    return np.column_stack([graph.row, graph.col])


def _graded(points: np.ndarray, edges: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Sizes that grow by no more than GROWTH times the distance along edges."""
    first, second = np.concatenate([edges, edges[:, ::-1]]).T
    step = GROWTH * np.linalg.norm(points[first] - points[second], axis=1)
    while True:
        out = sizes.copy()
        np.minimum.at(out, second, sizes[first] + step)
        if (out >= sizes * (1 - 1e-12)).all():
            return out
        sizes = out


def _cells(sizes: np.ndarray, area: np.ndarray) -> float:
    """Number of cells that sizes at the vertices of cells (c, 3) lead to.

    The size is taken as linear from the smallest vertex to the mean of the others.
    """
    ordered = np.sort(sizes, axis=1)
    a, b = ordered[:, 0], np.maximum(ordered[:, 1:].mean(axis=1), 1.001 * ordered[:, 0])
    density = 2 / (b - a) ** 2 * (np.log(b / a) + a / b - 1)
    return float((4 / np.sqrt(3) * density * area).sum())
