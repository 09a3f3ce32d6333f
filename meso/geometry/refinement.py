"""Cell sizes for the next mesh from the errors of the cells of this one: plain arrays, one rank."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations
from math import factorial

import numpy as np
from scipy.sparse import coo_matrix

from meso.geometry.layers import PER_POWER, SizeField
from meso.geometry.simplices import mean_density, measures

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
#: Cells that a mesh may have, by dimension.
_MAX_CELLS = {2: 400_000, 3: 150_000}
#: Ratios are rounded to powers of 2^(1/4): rounding errors do not reach the mesh.
_STEPS = 4
#: Last over last but one degree of the solution around a vertex (root of the sums of squares)
#: above which it does not converge by its degree: a corner, or a layer that is not resolved.
_ROUGH = 0.6
#: Area of an equilateral triangle of side 1; volume of Gmsh's tetrahedra of size 1.
_EQUILATERAL = {2: np.sqrt(3) / 4, 3: 1 / PER_POWER[3]}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CellErrors:
    """What the cells of a mesh contribute to an error."""

    points: np.ndarray  # vertices, shape (n, d)
    triangles: np.ndarray  # vertices of the cells, in space tetrahedra, shape (c, d + 1)
    parts: np.ndarray  # measures of the error of each cell, not negative, shape (c, m)
    share: np.ndarray  # of each cell in the error, shape (c,)
    decay: np.ndarray  # square of last over last but one degree around each cell, shape (c,)
    corner: np.ndarray  # vertices around which a higher degree does not help, shape (n,)
    power: float  # of the size by which the share of a cell falls
    corner_power: float  # the same at a corner
    along: np.ndarray | None = None  # in space, the share by the axes that it varies along, (c, d)

    @property
    def at_corner(self) -> np.ndarray:
        """True for cells at a corner, shape (c,)."""
        return self.corner[self.triangles].any(axis=1)

    def ratios(self, level: float) -> np.ndarray:
        """New over present size of each cell, for a Lagrange multiplier."""
        d = self.points.shape[1]
        with np.errstate(divide="ignore", over="ignore"):
            over = level / self.share
            smooth = (d / self.power * over) ** (1 / (self.power + d))
            corner = (_CELLS_PER_FACTOR / self.corner_power * over) ** (1 / self.corner_power)
        clipped = np.clip(corner, _CORNER_RATIO, 1.0), np.clip(smooth, *_RATIO)
        return 2.0 ** (np.round(_STEPS * np.log2(np.where(self.at_corner, *clipped))) / _STEPS)


def cell_errors(
    corners: np.ndarray, parts: np.ndarray, degrees: np.ndarray, power: float, corner_power: float
) -> CellErrors:
    """Find vertices and corners; the shares are not known yet.

    For vertices of the cells (c, d + 1, d), their errors, and squares of the solution's parts of
    the last but one and of the last degree in each cell (c, 2).
    """
    order = np.lexsort(corners.mean(axis=1).T)
    d = corners.shape[2]
    points, triangles = np.unique(corners[order].reshape(-1, d), axis=0, return_inverse=True)
    triangles = triangles.reshape(-1, d + 1)
    around = np.zeros((len(points), 2))
    np.add.at(around, triangles, degrees[order][:, None])
    # The neighbours of a corner have some of its cells, but less of the error.
    strongest = around[:, 1].copy()
    first, second = _edges(triangles).T
    np.maximum.at(strongest, first, around[second, 1])
    decay = around[:, 1] / np.maximum(around[:, 0], np.finfo(float).tiny)
    return CellErrors(
        points=points,
        triangles=triangles,
        parts=parts[order],
        share=np.zeros(len(order)),
        decay=decay[triangles].mean(axis=1),
        corner=(decay > _ROUGH**2) & (around[:, 1] > (1 - 1e-6) * strongest),
        power=power,
        corner_power=corner_power,
    )


def next_sizes(errors: CellErrors, goal: float, more: float = _MORE_CELLS) -> SizeField:
    """Sizes, graded, that reach an error with about the fewest cells.

    Refining a smooth cell to r times its size costs r^-d cells and leaves r^power of its share;
    at a corner it costs log(1/r) cells. Both stand in the same ratio in the optimum. There are at
    most ``more`` times as many cells.
    """
    points, triangles, at_corner = errors.points, errors.triangles, errors.at_corner
    d = points.shape[1]
    area = np.abs(measures(points, triangles)) / factorial(d)
    size = (area / _EQUILATERAL[d]) ** (1 / d)
    powers = np.where(at_corner, errors.corner_power, errors.power)
    total = float(errors.share.sum())
    # What the limit of the ratio leaves at corners is for the mesh after the next.
    left = float(errors.share[at_corner].sum()) * _CORNER_RATIO**errors.corner_power
    goal = max(goal, 2 * left)
    # Powers of e of the level over the whole error. In space the number of cells comes from below
    # the limit for any goal.
    low, high = (-60.0 if d == 2 else -20.0), 10.0
    for _ in range(60):
        middle = (low + high) / 2
        found = (errors.share * errors.ratios(np.exp(middle) * total) ** powers).sum()
        low, high = (middle, high) if found < goal else (low, middle)
    smallest = _SMALLEST * np.ptp(points, axis=0).max()
    edges, most = _edges(triangles), min(more * len(triangles), _MAX_CELLS[d])
    while True:
        new = errors.ratios(np.exp(low) * total) * size
        wanted = np.full(len(points), np.inf)
        for vertex in triangles.T:
            # At a corner only the corner itself is refined; from there sizes grow.
            here = ~at_corner | errors.corner[vertex]
            np.minimum.at(wanted, vertex[here], new[here])
        wanted = _graded(points, edges, np.maximum(wanted, smallest))
        cells = float(area @ mean_density(wanted[triangles])) / _EQUILATERAL[d]
        if low > high + 20 or cells < most:
            return SizeField(points=points, triangles=triangles, sizes=wanted)
        low += 0.5


def _edges(triangles: np.ndarray) -> np.ndarray:
    """Vertices at the ends of each edge, in both directions, shape (e, 2)."""
    ends = list(permutations(range(triangles.shape[1]), 2))
    pairs = triangles[:, ends].reshape(-1, 2)
    graph = coo_matrix((np.ones(len(pairs)), pairs.T)).tocsr().tocoo()
    return np.column_stack([graph.row, graph.col])


def _graded(points: np.ndarray, edges: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Sizes that grow by no more than GROWTH times the distance along edges.

    They are the shortest ways from one more vertex, which is as far from each as its size.
    """
    first, second = edges.T
    step = GROWTH * np.linalg.norm(points[first] - points[second], axis=1)
    known = np.flatnonzero(np.isfinite(sizes))
    source = np.full(len(known), len(points))
    rows, columns = np.concatenate([first, source]), np.concatenate([second, known])
    weights = np.concatenate([step, sizes[known]])
    graph = coo_matrix((weights, (rows, columns)), shape=2 * (len(points) + 1,))
    from scipy.sparse.csgraph import dijkstra  # takes long to load

    return dijkstra(graph.tocsr(), indices=len(points))[:-1]
