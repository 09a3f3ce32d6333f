"""Curves on top of or across each other: they divide a drawing that was not meant to be divided."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import gmsh
import numpy as np

from meso.errors import GeometryError
from meso.geometry import drawing
from meso.geometry.simplices import cross

_TOLERANCE = 1e-7  # of the extent of the drawing; Gmsh's own projections have 1e-9
_BETWEEN = np.array([0.31, 0.5, 0.73])  # where curves between common points are compared
# Points of a curve: first a few, and many of those whose first ones cross, because chords may.
_POINTS = (33, 1001)


def check_coincident(path: Path) -> None:
    """Refuse a 2D drawing of which two curves coincide along a part of their length, or cross.

    Gmsh finds no mesh between them, or does not end; the parts that they bound would not be
    joined. The GeometryError has the curves, their groups and a place.
    """
    curves = [c for c in drawing.entities(1) if len(gmsh.model.getAdjacencies(1, c)[0])]
    for surface in drawing.entities(2):
        curves += [c for d, c in gmsh.model.mesh.getEmbedded(2, surface) if d == 1]
    curves = list(dict.fromkeys(curves))
    if not curves:
        return
    points = np.array([drawing.curve_points(curve, 33) for curve in curves])
    low, high = points.min(axis=1), points.max(axis=1)
    tolerance = _TOLERANCE * (high.max(axis=0) - low.min(axis=0)).max()
    is_plane = np.ptp(points[..., 2]) <= tolerance
    # Between its points a curve may leave their box by a little.
    margin = 0.01 * (high - low).max(axis=1, keepdims=True) + tolerance
    low, high = low - margin, high + margin
    for i, curve in enumerate(curves):
        near = (low[i + 1 :] <= high[i]).all(axis=1) & (high[i + 1 :] >= low[i]).all(axis=1)
        for j in i + 1 + np.flatnonzero(near):
            ends = np.concatenate([points[i, [0, -1]], points[j, [0, -1]]])
            place = _common(curve, curves[j], ends, tolerance)
            if place is not None:
                how = (
                    "lie on top of each other, near {}; draw a common side once and use it in the"
                    " loops of both surfaces, or join them with BooleanFragments; an insulating"
                    " cut needs a width"
                )
                raise _error(path, curve, curves[j], how, place)
            if is_plane and (place := _crossing(curve, curves[j])) is not None:
                how = (
                    "cross without a common point, at {}; move them apart, or divide them there"
                    " with BooleanFragments"
                )
                raise _error(path, curve, curves[j], how, place)


def _error(path: Path, curve: int, other: int, how: str, place: np.ndarray) -> GeometryError:
    name = {tag: name for name, tags in drawing.groups(path, 1).items() for tag in tags}
    one, two = (f"{c} ('{name[c]}')" if c in name else f"{c} (no group)" for c in (curve, other))
    at = f"({place[0]:.6g}, {place[1]:.6g})"
    return GeometryError(f"{path}: curves {one} and {two} {how.format(at)}")


def _common(curve: int, other: int, ends: np.ndarray, tolerance: float) -> np.ndarray | None:
    """A point inside a common stretch of two curves, which begins and ends at two of the ends."""
    ends = ends[_on(curve, ends, tolerance)]
    ends = ends[_on(other, ends, tolerance)] if len(ends) else ends
    if not len(ends):
        return None
    low, high = drawing.bounds(curve)
    at = np.array(gmsh.model.getParametrization(1, curve, ends.ravel().tolist()))
    first, last = drawing.curve_points(curve, 2)
    if np.linalg.norm(last - first) <= tolerance:
        at = np.append(at, [low, high])  # a closed one
    for start, end in pairwise(np.unique(at)):
        if end - start > 1e-6 * (high - low):
            between = drawing.curve_values(curve, start + _BETWEEN * (end - start))
            if _on(other, between, tolerance).all():
                return between[1]
    return None


def _on(curve: int, points: np.ndarray, tolerance: float) -> np.ndarray:
    """True for points that are on a curve."""
    nearest, _ = gmsh.model.getClosestPoint(1, curve, points.ravel().tolist())
    return np.linalg.norm(np.reshape(nearest, (-1, 3)) - points, axis=1) <= tolerance


def _crossing(curve: int, other: int) -> np.ndarray | None:
    """A point where two plane curves cross between their ends, if there is one."""
    place = None
    for count in _POINTS:
        one, two = (
            drawing.curve_points(c, 2 if drawing.is_straight(c) else count)[:, :2]
            for c in (curve, other)
        )
        place = _of_polygons(one, two)
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
