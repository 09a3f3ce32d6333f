"""Triangles and tetrahedra that are cut where linear functions are equal."""

from __future__ import annotations

from collections.abc import Sequence
from math import factorial
from typing import NamedTuple

import numpy as np

#: Parts of a simplex whose first corners, so many, are on one side: numbers are corners, (a, b) the
#: point between two of them. Parts of that side, of the other, and facets between. By dimension.
_Point = int | tuple[int, int]
_Parts = tuple[list[list[_Point]], list[list[_Point]], list[list[_Point]]]
_SPLIT: dict[int, dict[int, _Parts]] = {
    2: {
        1: ([[0, (0, 1), (0, 2)]], [[(0, 1), (0, 2), 1], [(0, 2), 1, 2]], [[(0, 1), (0, 2)]]),
        2: ([[0, 1, (1, 2)], [0, (1, 2), (0, 2)]], [[2, (0, 2), (1, 2)]], [[(0, 2), (1, 2)]]),
    },
    3: {
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
    },
}
#: The same of their facets: what is left of them on the side of their first corners.
_KEPT: dict[int, dict[int, list[list[_Point]]]] = {
    2: {1: [[0, (0, 1)]], 2: [[0, 1]]},
    3: {1: [[0, (0, 1), (0, 2)]], 2: [[0, 1, (1, 2)], [0, (1, 2), (0, 2)]], 3: [[0, 1, 2]]},
}


class Simplices(NamedTuple):
    """Tetrahedra, or triangles that divide them; in 2D triangles and lines.

    Attributes:
        corners: Coordinates and whatever else is linear in them, shape (m, d + 1, k).
        of: Which simplices they are parts of, shape (m,).
        owner: Which function is the least, shape (m,).
        other: On facets the one that equals it, shape (m,).
        size: Of simplices the share that the owner has; of facets their area, or length, over the
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
    """Divide simplices into parts where one of several linear functions is the least.

    Where two are the least they share what they have. The integral over the part of ``owner``
    changes by minus that over its facets of the change of (owner - other) times their ``size``
    over their area; where a facet is a side of simplices, each of the two has half of it.

    Args:
        corners: Coordinates, and other columns that are linear, shape (m, d + 1, k).
        functions: Columns of the functions.
        equal: Values that differ by less are equal.
        lines: Whether the triangles are wanted, which take half of the time.

    Returns:
        The simplices, and the facets between them; none of these if they are not wanted.
    """
    every, d = np.arange(len(corners)), corners.shape[1] - 1
    first = np.zeros_like(every)
    parts = Simplices(corners, every, first, first, np.ones(len(corners)))
    none = Simplices(*(part[:0] for part in (corners[:, :d], every, first, first, parts.size)))
    between = [none]
    for wall in range(1, corners[..., functions].shape[2]):
        level = _level(parts, functions, wall, equal)
        zeros, high, low = (level == 0).sum(axis=1), level.max(axis=1), level.min(axis=1)
        cut, tied, faces = (high > 0) & (low < 0), zeros == d + 1, np.flatnonzero(zeros == d)
        between = [_kept(part, functions, wall, equal) for part in between]
        if lines:
            between.append(_faces(parts.at(faces), level[faces], wall))
        owner = np.where((low >= 0) & (high > 0), wall, parts.owner)
        still = parts._replace(owner=owner, size=np.where(tied, parts.size / 2, parts.size))
        twice = still.at(tied)
        new = [still.at(~cut), twice._replace(owner=np.full(len(twice.owner), wall))]
        for count in _SPLIT[d]:
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
    """Cut simplices with so many corners on the owner's side: its parts, the others, between."""
    corners, level = _ordered(parts, level)
    out, split = [], _SPLIT[corners.shape[1] - 1][count]
    for pieces in split[: 3 if lines else 2]:
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
        np.concatenate([corners[np.arange(len(apex)), apex]] * len(split[2])),
        np.concatenate([level[np.arange(len(apex)), apex]] * len(split[2])),
    )
    line = line._replace(size=line.size * size, other=np.full(len(size), wall))
    return [own, lost, line]


def _faces(parts: Simplices, level: np.ndarray, wall: int) -> Simplices:
    """Sides of simplices on which two functions are equal: half of them."""
    order = np.argsort(level != 0, axis=1, kind="stable")
    corners = np.take_along_axis(parts.corners, order[..., None], 1)
    apex = np.take_along_axis(level, order, 1)[:, -1]
    size = _over_gradient(corners[:, :-1], corners[:, -1], apex) / 2
    other = np.full(len(size), wall)
    return parts._replace(corners=corners[:, :-1], other=other, size=parts.size * size)


def _over_gradient(facet: np.ndarray, apex: np.ndarray, level: np.ndarray) -> np.ndarray:
    """Area of facets where a function is zero, over its gradient: it has a level at an apex."""
    d = facet.shape[1]
    sides = np.concatenate([facet[:, 1:], apex[:, None]], axis=1) - facet[:, :1]
    return np.abs(np.linalg.det(sides[..., :d]) / (factorial(d - 1) * level))


def _kept(parts: Simplices, functions: slice, wall: int, equal: float) -> Simplices:
    """What is left of facets where another function is less."""
    if not len(parts.of):
        return parts
    level = _level(parts, functions, wall, equal)
    area = _area(parts.corners)
    out = [parts.at(np.empty(0, np.int64))]
    for count, pieces in _KEPT[parts.corners.shape[1]].items():
        here = parts.at(chosen := np.flatnonzero((level <= 0).sum(axis=1) == count))
        order = np.argsort(level[chosen] > 0, axis=1, kind="stable")
        corners = np.take_along_axis(here.corners, order[..., None], 1)
        for found in _pieces(corners, np.take_along_axis(level[chosen], order, 1), pieces):
            part = _area(found) / np.where(area[chosen] > 0, area[chosen], 1.0)
            out.append(here._replace(corners=found, size=here.size * part))
    return _joined(out)


def _area(facet: np.ndarray) -> np.ndarray:
    """Area or length of facets, times a constant."""
    sides = facet[:, 1:, : facet.shape[1]] - facet[:, :1, : facet.shape[1]]
    return np.asarray(np.sqrt(np.maximum(np.linalg.det(sides @ sides.swapaxes(1, 2)), 0.0)))
