"""Lines in 2D where two walls are equally near, bent from straight ones in parts of cells.

Neighbouring cells agree about where lines pass the sides between them, so that what lines divide
follows the shape without jumps.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np

from meso.discrete.cells import Lagrange
from meso.observables.cutting import Simplices
from meso.observables.reentrant import EQUAL

# Places on a line at which it is bent, from 0 to 1, and steps of Newton's method there.
_LOBATTO, _NEWTON = (1 + np.array([-1, -(0.2**0.5), 0.2**0.5, 1])) / 2, 4
# The last of these steps is less, in reference cells.
_EXACT = 1e-12
# How close places are to a side of the reference cell that are on it, and directions of its sides.
_ON, _SIDES = 1e-12, np.array([[-1.0, 1.0], [0.0, 1.0], [1.0, 0.0]])
# Sine of the angle at which lines cross at least that meet in a point.
_WEAK = 0.05


class Line(NamedTuple):
    """Where two walls are equally near: lines, in 3D triangles, in cells.

    Attributes:
        cell: Place of their cells in the batch, (m,).
        owner: The wall that has one side, by candidate, (m,).
        other: The other one, (m,).
        points: Reference points on them, (m, r, d).
        weights: Of what the owner loses where its distance less the other grows, (m, r).
        table: How that distance follows those at the nodes, (m, r, n).
    """

    cell: np.ndarray
    owner: np.ndarray
    other: np.ndarray
    points: np.ndarray
    weights: np.ndarray
    table: np.ndarray


def bent(
    space: Lagrange,
    distance: np.ndarray,
    parts: np.ndarray,
    between: Simplices,
    degree: int,
    cuts: int,
    *,
    lines: bool,
) -> tuple[Line | None, np.ndarray, np.ndarray, np.ndarray]:
    """Lines to which straight ones between two walls are bent, and what the owner gains by it.

    Args:
        space: Of the distances.
        distance: At its nodes, of the cell of each line, (m, n, walls).
        parts: Corners of the part of that cell, and distances there, (m, 3, 2 + walls ...).
        between: The straight lines.
        degree: Of the polynomials to be integrated.
        cuts: Parts along a side of the cell.
        lines: Whether the lines are wanted, or only what they change.

    Returns:
        The lines, if they are wanted; which of them are bent (without lines, else all), and points
        (b, q, 2) and weights (b, q) of what is between these and the straight ones.
    """
    each = np.arange(len(parts))
    nodal = distance[each, :, between.owner] - distance[each, :, between.other]
    level = parts[each, :, 2 + between.owner] - parts[each, :, 2 + between.other]
    sides = parts[:, 1:, :2] - parts[:, :1, :2]
    slope = np.linalg.solve(sides, (level[:, 1:] - level[:, :1])[..., None])[..., 0]
    ends = between.corners[..., :2]
    start, tangent = ends[:, :1], ends[:, 1:] - ends[:, :1]
    length = np.linalg.norm(tangent[:, 0], axis=1)
    share = between.size * np.linalg.norm(slope, axis=1)
    share = np.divide(share, length, out=np.zeros_like(length), where=length > 0)
    share *= np.sign(_cross(tangent[:, 0], slope))
    straight = start + _LOBATTO[:, None] * tangent
    curve = straight + _shifts(space, distance, nodal, slope, between, cuts)
    if not lines:
        some = np.flatnonzero(np.abs(curve - straight).max(axis=(1, 2)) > _EXACT)
        each, curve, start, tangent, share = (
            part[some] for part in (each, curve, start, tangent, share)
        )
    # How a polynomial of this degree in the place along a line follows from some of its places.
    x, w = _unit_gauss(degree // 2 + 2)
    many = np.arange(len(_LOBATTO))
    powers = np.linalg.inv(_LOBATTO[:, None] ** many)
    value, change = x[:, None] ** many, many * x[:, None] ** np.maximum(many - 1, 0)
    places, slopes = value @ powers @ curve, change @ powers @ curve
    shift = (places - (start + x[:, None] * tangent))[:, :, None]
    t, v = _unit_gauss(2)
    swept = slopes[:, :, None] * t[:, None] + (1 - t)[:, None] * tangent[:, None]
    points = places[:, :, None] - (1 - t)[:, None] * shift
    weights = share[:, None, None] * _cross(swept, shift) * w[:, None] * v
    points, weights = (a.reshape(len(a), 2 * len(x), *a.shape[3:]) for a in (points, weights))
    if not lines:
        return None, each, points, weights
    slope = _values(space, nodal, places)[1]
    rates = share[:, None] * w * _over(_cross(slopes, slope), (slope**2).sum(axis=2))
    table = space.values(places.reshape(-1, 2)).reshape(*places.shape[:2], nodal.shape[1])
    line = Line(each, between.owner, between.other, places, rates, table)
    return line, each, points, weights


def _shifts(
    space: Lagrange,
    distance: np.ndarray,
    nodal: np.ndarray,
    linear: np.ndarray,
    between: Simplices,
    cuts: int,
) -> np.ndarray:
    """How far places on straight lines are moved, (m, r, 2), to where a function is zero."""
    ends = between.corners[..., :2]
    shift = _end_shifts(space, distance, nodal, linear, between, cuts)
    shift = shift[:, :1] + _LOBATTO[:, None] * (shift[:, 1:] - shift[:, :1])
    straight = ends[:, :1] + _LOBATTO[:, None] * (ends[:, 1:] - ends[:, :1])
    for _ in range(_NEWTON):
        f, slope = _values(space, nodal, (straight + shift)[:, 1:-1])
        step = _over(f, (slope**2).sum(axis=2))[..., None] * slope
        shift[:, 1:-1] -= step
        if np.abs(step).max(initial=0.0) < _EXACT:
            break
    return np.asarray(shift)


def _end_shifts(
    space: Lagrange,
    distance: np.ndarray,
    nodal: np.ndarray,
    linear: np.ndarray,
    between: Simplices,
    cuts: int,
) -> np.ndarray:
    """How far the ends of straight lines are moved, (m, 2, 2), by Newton's method.

    Along the side of a cell that they are on, which its neighbour agrees about; to where a third
    wall is as near, if one is; else along the gradient of the difference, as other parts of the
    cell do.
    """
    ends, each = between.corners[..., :2], np.arange(len(nodal))
    barycentric = np.concatenate([1 - ends.sum(axis=2, keepdims=True), ends], axis=2)
    on_side = np.abs(barycentric).min(axis=2) < _ON
    side = _SIDES[np.abs(barycentric).argmin(axis=2)]
    at = between.corners[..., 2 : 2 + distance.shape[2]].copy()
    own = at[each, :, between.owner]
    at[each, :, between.owner] = at[each, :, between.other] = np.inf
    third = at.argmin(axis=2)
    met = at.min(axis=2) <= own + EQUAL
    others = distance[each[:, None], :, between.owner[:, None]] - distance[each[:, None], :, third]
    # On a side there is one zero between the corners of a part, towards which it rises as there.
    three = np.concatenate([ends, ends + side / cuts, ends - side / cuts], axis=1)
    f, slope = _values(space, nodal, three)
    f, ahead, behind = np.split(f, 3, axis=1)
    rate, rise = (slope[:, :2] * side).sum(axis=2), (linear[:, None] * side).sum(axis=2)
    rise = np.where(np.abs(rise) > EQUAL * cuts, np.sign(rise), 0.0)  # else all of it is zero
    root = rise * np.sqrt(np.maximum(rate**2 - 2 * f * (ahead + behind - 2 * f) * cuts**2, 0.0))
    step = np.clip(_over(-2 * f, rate + root), -1 / cuts, 1 / cuts) * (rise != 0)
    out = np.where(on_side[..., None], ends + step[..., None] * side, ends)
    others = distance[each[:, None], :, between.owner[:, None]] - distance[each[:, None], :, third]
    for _ in range(_NEWTON):
        f, slope = _values(space, nodal, out)
        step = -_over(f, (slope**2).sum(axis=2))[..., None] * slope
        if met.any():
            step = np.where(met[..., None], _to_third(space, others, out, f, slope, step), step)
        out += np.where(on_side[..., None], 0.0, step)
        if np.abs(step[~on_side]).max(initial=0.0) < _EXACT:
            break
    return np.asarray(out - ends)


def _to_third(
    space: Lagrange,
    others: np.ndarray,
    points: np.ndarray,
    f: np.ndarray,
    slope: np.ndarray,
    step: np.ndarray,
) -> np.ndarray:
    """Newton's steps to where another function is zero too; as given where lines hardly cross."""
    g, turn = _values(space, others.reshape(-1, others.shape[2]), points.reshape(-1, 1, 2))
    g, turn = g.reshape(f.shape), turn.reshape(slope.shape)
    there = -_over(g, (turn**2).sum(axis=2))[..., None] * turn
    across = np.stack([-turn[..., 1], turn[..., 0]], axis=2)
    rate, rest = (slope * across).sum(axis=2), f + (slope * there).sum(axis=2)
    size = np.sqrt((slope**2).sum(axis=2) * (turn**2).sum(axis=2))
    both = there - _over(rest, rate)[..., None] * across
    return np.where((np.abs(rate) < _WEAK * size)[..., None], step, both)


def _values(
    space: Lagrange, nodal: np.ndarray, points: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Of functions (m, n) at points (m, q, 2): values (m, q) and gradients (m, q, 2)."""
    table = space.element.tabulate(1, points.reshape(-1, 2))
    found = (table.reshape(3, *points.shape[:2], nodal.shape[1]) @ nodal[..., None])[..., 0]
    return found[0], np.moveaxis(found[1:], 0, 2)


def _over(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.divide(a, b, out=np.zeros_like(a), where=b != 0)


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.asarray(a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0])


@cache
def _unit_gauss(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Quadrature from 0 to 1."""
    x, w = np.polynomial.legendre.leggauss(count)
    return (x + 1) / 2, w / 2
