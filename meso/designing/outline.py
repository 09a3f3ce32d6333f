"""The boundary of a planar device as curves, and what constraints measure on it.

Measures are written without absolute values, so that they can be derived by complex steps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from meso import _compat
from meso.device import Device
from meso.geometry.simplices import TURNED, cross
from meso.mpi import concatenated

#: Of derivatives: h in imag(f(x + i h)) / h, which is exact for any that is small.
_STEP = 1e-30
#: Walls face one another where both look at the other within 18 degrees: at the narrowest place it
#: is straight in front.
_FACING = 0.95
#: Edges that meet within this part of their ends are neighbours.
_END = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outline:
    """Closed loops of curved edges, the conductor on the left; the same on every rank.

    Attributes:
        points: Nodes, m, shape (m, 2).
        nodes: Their numbers among the geometry nodes of all ranks, shape (m,).
        edges: Nodes of each edge, equally spaced in its parameter, from its start to its end,
            loop after loop in their order, shape (f, degree + 1).
        loop: Number of the loop of each edge.
        boundary: Index into ``names``.
        piece: Smooth piece of each edge.
        names: Of the boundaries.
    """

    points: np.ndarray
    nodes: np.ndarray
    edges: np.ndarray
    loop: np.ndarray
    boundary: np.ndarray
    piece: np.ndarray
    names: tuple[str, ...]

    def at(self, points: np.ndarray) -> Outline:
        """The outline with its nodes elsewhere."""
        return replace(self, points=points)

    def on(self, names: tuple[str, ...]) -> np.ndarray:
        """Which edges belong to boundaries."""
        return np.isin(self.boundary, [self.names.index(name) for name in names])


#: The outline of nothing.
NOTHING = Outline(
    points=np.empty((0, 2)),
    nodes=np.empty(0, np.int64),
    edges=np.empty((0, 2), np.int64),
    loop=np.empty(0, np.int64),
    boundary=np.empty(0, np.int64),
    piece=np.empty(0, np.int64),
    names=(),
)


def outline_of(device: Device) -> Outline:
    """The outline of a 2D device; all ranks call this."""
    x, nodes, degree = _compat.geometry(device.mesh)
    facets, index_map = device.facets, device.mesh.geometry.index_map()
    own = np.take_along_axis(nodes[facets.cell], _along(degree)[facets.local], axis=1)
    every = index_map.local_to_global(np.arange(len(x), dtype=np.int32))
    marks = np.column_stack([facets.piece, facets.order, facets.boundary, every[own]])
    marks = concatenated(device.comm, marks)
    places = concatenated(device.comm, x[own][:, :, :2])
    order = np.lexsort([marks[:, 1], marks[:, 0]])
    marks, places = marks[order], places[order]
    order, loop = _loops(marks[:, 3], marks[:, 3 + degree])
    marks, places = marks[order], places[order]
    number, first, edges = np.unique(marks[:, 3:], return_index=True, return_inverse=True)
    return Outline(
        points=places.reshape(-1, 2)[first],
        nodes=number,
        edges=edges.reshape(-1, degree + 1),
        loop=loop,
        boundary=marks[:, 2],
        piece=marks[:, 0],
        names=device.boundaries,
    )


@lru_cache
def _along(degree: int) -> np.ndarray:
    """Nodes of a triangle along each of its edges, the triangle on the left, (3, degree + 1)."""
    inner = 3 + np.arange(3 * (degree - 1)).reshape(3, degree - 1)
    inner[1] = inner[1][::-1]  # TURNED goes from vertex 2 to vertex 0
    return np.column_stack([TURNED[2][:, :1], inner, TURNED[2][:, 1:]])


def _loops(start: np.ndarray, end: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Edges one after the other along closed loops, and the number of the loop of each."""
    following: dict[int, list[int]] = {}
    for i in range(len(start))[::-1]:
        following.setdefault(int(start[i]), []).append(i)
    order, loop, number = [], [], 0
    for first in range(len(start)):
        i, found = first, following.get(int(start[first]), [])
        if i not in found:
            continue
        while found:
            i = i if i in found else found[-1]
            found.remove(i)
            order.append(i)
            loop.append(number)
            i, found = -1, following.get(int(end[i]), [])
        number += 1
    return np.array(order), np.array(loop)


# -- what constraints measure ----------------------------------------------------------------------


@lru_cache
def _moments(degree: int) -> np.ndarray:
    """Integrals of N_i N_j' over an edge of a degree."""
    t = np.linspace(0.0, 1.0, degree + 1)
    coefficients = np.linalg.inv(np.vander(t, increasing=True))
    a, b = np.indices((degree + 1, degree + 1))
    powers = np.where(b > 0, b / np.maximum(a + b, 1), 0.0)
    return np.asarray(coefficients.T @ powers @ coefficients)


def area(outline: Outline) -> np.ndarray:
    """Area inside, m^2, shape (1,), by Green."""
    x, y = np.moveaxis(outline.points[outline.edges], 2, 0)
    matrix = _moments(x.shape[1] - 1)
    return (((x @ matrix) * y).sum() - ((y @ matrix) * x).sum())[None] / 2


def distances(outline: Outline, pairs: np.ndarray) -> np.ndarray:
    """Distances of pairs of nodes, m."""
    one, two = outline.points[pairs.T]
    return length(two - one)


def length(vectors: np.ndarray) -> np.ndarray:
    """Lengths of vectors in the last axis, also of complex ones."""
    return np.sqrt((vectors**2).sum(axis=-1))


def curvatures(outline: Outline, triples: np.ndarray) -> np.ndarray:
    """Curvature of the circles through three nodes, 1/m, positive where the conductor is convex."""
    a, b, c = outline.points[triples.T]
    return 2 * cross(b - a, c - b) / (length(b - a) * length(c - b) * length(c - a))


def slopes(
    measure: Callable[..., np.ndarray],
    outline: Outline,
    directions: np.ndarray,
    *arguments: np.ndarray,
) -> np.ndarray:
    """Derivatives of a measure along motions of the nodes, shape (values, directions).

    Args:
        measure: A function of an outline and of the other arguments.
        outline: Where.
        directions: Velocities of its nodes, shape (directions, m, 2).
        arguments: The other arguments.
    """
    out = np.zeros((len(measure(outline, *arguments)), len(directions)))
    for k, velocity in enumerate(directions):
        there = outline.at(outline.points + 1j * _STEP * velocity)
        out[:, k] = measure(there, *arguments).imag / _STEP
    return out


# -- where they measure ----------------------------------------------------------------------------


def facing_pairs(
    outline: Outline, edges: np.ndarray, walls: np.ndarray, least: float
) -> np.ndarray:
    """Pairs of nodes of walls that face one another, across the conductor or outside of it.

    Args:
        outline: The outline.
        edges: Which edges are looked from.
        walls: Which edges are looked at.
        least: A distance, m; of nodes on the first ones that are nearer to one another some are
            left out.

    Returns:
        For each node the ones that are nearest among those that it faces, shape (k, 2).
    """
    inward = _inward(outline)
    seen = np.unique(outline.edges[walls])
    out = []
    for i in _thinned(outline, edges, least / 8):
        away = outline.points[seen] - outline.points[i]
        far = np.maximum(length(away), 1e-300)
        ahead, back = away @ inward[i], -(away * inward[seen]).sum(axis=1)
        for side in (1, -1):
            facing = (side * ahead > _FACING * far) & (side * back > _FACING * far)
            if facing.any():
                out.append((i, seen[np.where(facing, far, np.inf).argmin()]))
    return np.array(out, dtype=np.int64).reshape(-1, 2)


def crosses_itself(outline: Outline) -> bool:
    """Whether two parts of an outline cross, as they may without any cell that folds."""
    along = outline.edges
    start, end = (outline.points[part.ravel()] for part in (along[:, :-1], along[:, 1:]))
    step = end - start
    between = start[None] - start[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        both = cross(step[:, None], step[None])
        one = cross(between, step[None]) / both
        two = cross(between, step[:, None]) / both
    # Neighbours meet in their ends.
    inside = (one > _END) & (one < 1 - _END) & (two > _END) & (two < 1 - _END)
    return bool(inside.any())


def triples(outline: Outline, edges: np.ndarray, spacing: float) -> np.ndarray:
    """Nodes at distances of about ``spacing`` along smooth pieces of the chosen edges, (k, 3)."""
    out = [np.empty((0, 3), np.int64)]
    for piece in np.unique(outline.piece[edges]):
        chain = _chain(outline.edges[outline.piece == piece])
        s = arc_length(outline.points[chain])
        places = np.searchsorted(s, np.linspace(0.0, s[-1], max(3, round(s[-1] / spacing) + 1)))
        kept = chain[np.unique(places.clip(max=len(chain) - 1))]
        if chain[0] == chain[-1]:
            kept = np.append(kept, kept[1])
        out.append(np.column_stack([kept[:-2], kept[1:-1], kept[2:]]))
    return np.concatenate(out)


def arc_length(points: np.ndarray) -> np.ndarray:
    """Distance from the first point along a polygon, shape (k,)."""
    return np.concatenate([[0.0], np.cumsum(length(np.diff(points, axis=0)))])


def _chain(edges: np.ndarray) -> np.ndarray:
    """Nodes of consecutive edges."""
    return np.append(edges[:, :-1].ravel(), edges[-1, -1])


def _thinned(outline: Outline, edges: np.ndarray, spacing: float) -> list[int]:
    """Nodes of edges, with some distance between those that follow one another."""
    out: list[int] = []
    for i in dict.fromkeys(outline.edges[edges].ravel().tolist()):
        if not out or length(outline.points[i] - outline.points[out[-1]]) >= spacing:
            out.append(i)
    return out


def _inward(outline: Outline) -> np.ndarray:
    """Unit normals into the conductor at the nodes, shape (m, 2)."""
    points, edges = outline.points, outline.edges
    along = np.zeros_like(points)
    for one, two in zip(edges.T[:-1], edges.T[1:], strict=True):
        step = points[two] - points[one]
        step /= length(step)[:, None]
        np.add.at(along, one, step)
        np.add.at(along, two, step)
    along /= np.maximum(length(along), 1e-300)[:, None]
    return np.column_stack([-along[:, 1], along[:, 0]])
