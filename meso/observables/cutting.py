"""Triangles and tetrahedra that are cut where functions are equal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from meso.discrete.cells import Lagrange

# How far along a ray the zero may lie from where it is for a linear function.
_BEND = (0.5, 1.5)


class Corners(NamedTuple):
    """Quadrature of the parts of triangles that are cut off, and of the lines that end them.

    Attributes:
        points: Shape (m, q, 2).
        weights: Shape (m, q).
        ends: Points on the line where the function is zero, (m, r, 2).
        lines: Weights there of what the integral loses where the function grows, (m, r).
    """

    points: np.ndarray
    weights: np.ndarray
    ends: np.ndarray
    lines: np.ndarray


def corner_quadrature(
    space: Lagrange, corners: np.ndarray, nodal: np.ndarray, degree: int
) -> Corners:
    """Quadrature of the parts of triangles at their first corner, up to where a function is zero.

    The part is swept by rays from the corner, along which the function is quadratic; exact where
    its zeros lie on a straight line.

    Args:
        space: Space of the function, of degree 2.
        corners: Corners in the coordinates of the reference cell, shape (m, 3, 2).
        nodal: The function at the nodes of the cell, shape (m, n). It has one sign in the first
            corner, the other in the two others.
        degree: Of the polynomials to be integrated.
    """

    def value(points: np.ndarray) -> np.ndarray:
        table = space.values(points.reshape(-1, 2)).reshape(*points.shape[:2], -1)
        return np.asarray((table * nodal[:, None]).sum(axis=-1))

    corner, sides = corners[:, :1], corners[:, 1:] - corners[:, :1]
    level = value(corners)
    first, drop = level[:, :1], level[:, :1] - level[:, 1:]
    none = drop == 0  # it is zero along a side
    ends = np.where(none, 1.0, first / np.where(none, 1.0, drop))[..., None] * sides
    x, w = np.polynomial.legendre.leggauss(degree // 2 + 2)
    x, w = (x + 1) / 2, w / 2
    chord = ends[:, :1] + x[:, None] * (ends[:, 1:] - ends[:, :1])
    there, halfway = value(corner + chord), value(corner + chord / 2)
    bend = 2 * (first + there - 2 * halfway)
    slope = there - first - bend
    reach = np.ones_like(there)
    for _ in range(4):  # Newton, from where a linear function is zero
        change, along = first + reach * (slope + reach * bend), slope + 2 * reach * bend
        reach -= np.divide(change, along, out=np.zeros_like(change), where=along != 0)
        reach = np.clip(reach, *_BEND)
    ray = reach[..., None] * chord
    points = corner[:, None] + x[:, None] * ray[:, :, None]
    area = np.abs(ends[:, 0, 0] * ends[:, 1, 1] - ends[:, 0, 1] * ends[:, 1, 0])
    weights = (area[:, None] * w * reach**2)[..., None] * (x * w)
    along = slope + 2 * reach * bend
    lines = np.divide(area[:, None] * w * reach, along, out=np.zeros_like(along), where=along != 0)
    count = len(corners)
    return Corners(
        points.reshape(count, points.shape[1] * points.shape[2], 2),
        weights.reshape(count, weights.shape[1] * weights.shape[2]),
        corner + ray,
        lines,
    )


#: Parts of a tetrahedron whose first corners, so many, are on one side: numbers 0 to 3 are corners,
#: (a, b) the point between two of them. Parts of that side, of the other, and triangles between.
_Point = int | tuple[int, int]
_Parts = tuple[list[list[_Point]], list[list[_Point]], list[list[_Point]]]
_SPLIT: dict[int, _Parts] = {
    1: (
        [[0, (0, 1), (0, 2), (0, 3)]],
        [[(0, 1), (0, 2), (0, 3), 1], [(0, 2), (0, 3), 1, 2], [(0, 3), 1, 2, 3]],
        [[(0, 1), (0, 2), (0, 3)]],
    ),
    2: (
        [[0, (0, 2), (0, 3), 1], [(0, 2), (0, 3), 1, (1, 2)], [(0, 3), 1, (1, 2), (1, 3)]],
        [[2, (0, 2), (1, 2), 3], [(0, 2), (1, 2), 3, (0, 3)], [(1, 2), 3, (0, 3), (1, 3)]],
        [[(0, 2), (0, 3), (1, 3)], [(0, 2), (1, 3), (1, 2)]],
    ),
    3: (
        [[0, (0, 3), (1, 3), (2, 3)], [0, 1, (1, 3), (2, 3)], [0, 1, 2, (2, 3)]],
        [[3, (0, 3), (1, 3), (2, 3)]],
        [[(0, 3), (1, 3), (2, 3)]],
    ),
}
#: The same of triangles: what is left of them on the side of their first corners.
_KEPT: dict[int, list[list[_Point]]] = {
    1: [[0, (0, 1), (0, 2)]],
    2: [[0, 1, (1, 2)], [0, (1, 2), (0, 2)]],
    3: [[0, 1, 2]],
}


class Simplices(NamedTuple):
    """Tetrahedra, or triangles that divide them.

    Attributes:
        corners: Coordinates and whatever else is linear in them, shape (m, d + 1, k).
        of: Which tetrahedra they are parts of, shape (m,).
        owner: Which function is the least, shape (m,).
        other: On triangles the one that equals it, shape (m,).
        size: Of tetrahedra the share that the owner has; of triangles their area over the
            gradient of the difference of the two functions. Shape (m,).
    """

    corners: np.ndarray
    of: np.ndarray
    owner: np.ndarray
    other: np.ndarray
    size: np.ndarray

    def at(self, some: np.ndarray) -> Simplices:
        """Some of them."""
        return Simplices(*(part[some] for part in self))


def least_of(
    corners: np.ndarray, functions: slice, equal: float, *, lines: bool = True
) -> tuple[Simplices, Simplices]:
    """Divide tetrahedra into parts where one of several linear functions is the least.

    Where two are the least they share what they have. The integral over the part of ``owner``
    changes by minus that over its triangles of the change of (owner - other) times their ``size``
    over their area; where a triangle is a side of tetrahedra, each of the two has half of it.

    Args:
        corners: Coordinates, and other columns that are linear, shape (m, 4, k).
        functions: Columns of the functions.
        equal: Values that differ by less are equal.
        lines: Whether the triangles are wanted, which take half of the time.

    Returns:
        The tetrahedra, and the triangles between them; none of these if they are not wanted.
    """
    every = np.arange(len(corners))
    first = np.zeros_like(every)
    parts = Simplices(corners, every, first, first, np.ones(len(corners)))
    none = Simplices(*(part[:0] for part in (corners[:, :3], every, first, first, parts.size)))
    between = [none]
    for wall in range(1, corners[..., functions].shape[2]):
        level = _level(parts, functions, wall, equal)
        zeros, high, low = (level == 0).sum(axis=1), level.max(axis=1), level.min(axis=1)
        cut, tied, faces = (high > 0) & (low < 0), zeros == 4, np.flatnonzero(zeros == 3)
        between = [_kept(part, functions, wall, equal) for part in between]
        if lines:
            between.append(_faces(parts.at(faces), level[faces], wall))
        owner = np.where((low >= 0) & (high > 0), wall, parts.owner)
        still = parts._replace(owner=owner, size=np.where(tied, parts.size / 2, parts.size))
        twice = still.at(tied)
        new = [still.at(~cut), twice._replace(owner=np.full(len(twice.owner), wall))]
        for count in _SPLIT:
            here = np.flatnonzero(cut & ((level < 0).sum(axis=1) == count))
            own, lost, *line = _split(parts.at(here), level[here], wall, count, lines=lines)
            new, between = [*new, own, lost], [*between, *line]
        parts = _joined(new)
    return parts, _joined(between)


def _joined(parts: Sequence[Simplices]) -> Simplices:
    return Simplices(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def _level(parts: Simplices, functions: slice, wall: int, equal: float) -> np.ndarray:
    """The function of the owners minus another one, at the corners."""
    values = parts.corners[..., functions]
    own = np.take_along_axis(values, parts.owner[:, None, None], 2)[..., 0]
    level = own - values[..., wall]
    return np.where(np.abs(level) <= equal, 0.0, level)


def _ordered(parts: Simplices, level: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Corners and levels, those below zero first."""
    order = np.argsort(level >= 0, axis=1, kind="stable")
    corners = np.take_along_axis(parts.corners, order[..., None], 1)
    return corners, np.take_along_axis(level, order, 1)


def _pieces(corners: np.ndarray, level: np.ndarray, pieces: list[list[_Point]]) -> np.ndarray:
    """Corners of the pieces of simplices, shape (pieces, m, corners, k)."""

    def point(at: _Point) -> np.ndarray:
        if isinstance(at, int):
            return corners[:, at]
        one, two = (level[:, i, None] for i in at)
        return (two * corners[:, at[0]] - one * corners[:, at[1]]) / (two - one)

    return np.array([np.stack([point(at) for at in piece], axis=1) for piece in pieces])


def _split(
    parts: Simplices, level: np.ndarray, wall: int, count: int, *, lines: bool
) -> list[Simplices]:
    """Cut tetrahedra with so many corners on the owner's side: its parts, the others, between."""
    corners, level = _ordered(parts, level)
    out = []
    for pieces in _SPLIT[count][: 3 if lines else 2]:
        found, times = _pieces(corners, level, pieces), len(pieces)
        every = Simplices(*(np.concatenate([part] * times) for part in parts))
        out.append(every._replace(corners=found.reshape(-1, *found.shape[2:])))
    own, lost, *rest = out
    lost = lost._replace(owner=np.full(len(lost.owner), wall))
    if not rest:
        return [own, lost]
    [line] = rest
    apex = np.abs(level).argmax(axis=1)
    size = _over_gradient(
        line.corners,
        np.concatenate([corners[np.arange(len(apex)), apex]] * len(_SPLIT[count][2])),
        np.concatenate([level[np.arange(len(apex)), apex]] * len(_SPLIT[count][2])),
    )
    line = line._replace(size=line.size * size, other=np.full(len(size), wall))
    return [own, lost, line]


def _faces(parts: Simplices, level: np.ndarray, wall: int) -> Simplices:
    """Sides of tetrahedra on which two functions are equal: half of them."""
    order = np.argsort(level != 0, axis=1, kind="stable")
    corners = np.take_along_axis(parts.corners, order[..., None], 1)
    apex = np.take_along_axis(level, order, 1)[:, 3]
    size = _over_gradient(corners[:, :3], corners[:, 3], apex) / 2
    other = np.full(len(size), wall)
    return parts._replace(corners=corners[:, :3], other=other, size=parts.size * size)


def _over_gradient(triangle: np.ndarray, apex: np.ndarray, level: np.ndarray) -> np.ndarray:
    """Area of triangles where a function is zero, over its gradient: it has a level at an apex."""
    sides = np.concatenate([triangle[:, 1:], apex[:, None]], axis=1) - triangle[:, :1]
    return np.abs(np.linalg.det(sides[..., :3]) / (2 * level))


def _kept(parts: Simplices, functions: slice, wall: int, equal: float) -> Simplices:
    """What is left of triangles where another function is less."""
    level = _level(parts, functions, wall, equal)
    area = _area(parts.corners)
    out = [parts.at(np.empty(0, np.int64))]
    for count, pieces in _KEPT.items():
        here = parts.at(chosen := np.flatnonzero((level <= 0).sum(axis=1) == count))
        order = np.argsort(level[chosen] > 0, axis=1, kind="stable")
        corners = np.take_along_axis(here.corners, order[..., None], 1)
        for found in _pieces(corners, np.take_along_axis(level[chosen], order, 1), pieces):
            part = _area(found) / np.where(area[chosen] > 0, area[chosen], 1.0)
            out.append(here._replace(corners=found, size=here.size * part))
    return _joined(out)


def _area(triangle: np.ndarray) -> np.ndarray:
    sides = triangle[:, 1:, :3] - triangle[:, :1, :3]
    return np.asarray(np.linalg.norm(np.cross(sides[:, 0], sides[:, 1]), axis=-1))
