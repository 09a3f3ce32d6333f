"""Corners of triangles that are cut off where a function is zero."""

from __future__ import annotations

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
