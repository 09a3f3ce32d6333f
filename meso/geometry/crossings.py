"""Curves of a drawing that cross without a common point: Gmsh would divide their edges for ever."""

from __future__ import annotations

import gmsh
import numpy as np

from meso.geometry.grading import curve_points
from meso.geometry.planar import cross

# Points of a curve: first a few, and many of those whose first ones cross, because chords may.
_POINTS = (33, 1001)


def crossing(one: int, two: int) -> np.ndarray | None:
    """A point where two plane curves cross between their ends, shape (2,), if there is one.

    Args:
        one: Tag of a curve of the drawing that is open in Gmsh.
        two: Tag of another.
    """
    place = None
    for count in _POINTS:
        place = _of_polygons(_polygon(one, count), _polygon(two, count))
        if place is None:
            return None
    return place


def _of_polygons(one: np.ndarray, two: np.ndarray) -> np.ndarray | None:
    """A point inside an edge of one polygon and inside an edge of another."""
    a, b, c, d = one[:-1, None], one[1:, None], two[None, :-1], two[None, 1:]
    first, second = cross(b - a, c - a), cross(b - a, d - a)
    third, fourth = cross(d - c, a - c), cross(d - c, b - c)
    # Edges that meet in a vertex only touch, whatever the rounding.
    small = 1e-9 * np.linalg.norm(b - a, axis=-1) * np.linalg.norm(d - c, axis=-1)
    apart = np.min(np.abs([first, second, third, fourth]), axis=0) > small
    found = np.argwhere(apart & (first * second < 0) & (third * fourth < 0))
    if not len(found):
        return None
    i, j = found[0]
    return one[i] + third[i, j] / (third[i, j] - fourth[i, j]) * (one[i + 1] - one[i])


def _polygon(curve: int, count: int) -> np.ndarray:
    """Points of a curve in the plane; the ends are enough for a straight one."""
    straight = gmsh.model.getType(1, curve) == "Line"
    return curve_points(curve, 2 if straight else count)[:, :2]
