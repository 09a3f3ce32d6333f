"""Curves on top of or across each other: they divide a drawing that was not meant to be divided."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import gmsh
import numpy as np

from meso.errors import GeometryError
from meso.geometry.crossings import crossing
from meso.geometry.drawing import groups
from meso.geometry.grading import curve_points

_TOLERANCE = 1e-7  # of the extent of the drawing; Gmsh's own projections have 1e-9
_BETWEEN = (0.31, 0.5, 0.73)  # where curves between common points are compared


def check_coincident(path: Path) -> None:
    """Refuse a 2D drawing of which two curves coincide along a part of their length, or cross.

    Gmsh finds no mesh between them, or does not end; the parts that they bound would not be
    joined.

    Args:
        path: The drawing that is open in Gmsh, for messages.

    Raises:
        GeometryError: With the curves, their groups and a place.
    """
    curves = [c for _, c in gmsh.model.getEntities(1) if len(gmsh.model.getAdjacencies(1, c)[0])]
    embedded = [
        curve
        for _, surface in gmsh.model.getEntities(2)
        for dimension, curve in gmsh.model.mesh.getEmbedded(2, surface)
        if dimension == 1
    ]
    curves = list(dict.fromkeys([*curves, *embedded]))
    if not curves:
        return
    points = np.array([curve_points(curve, 33) for curve in curves])
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
                raise GeometryError(_message(path, curve, curves[j], place))
            if is_plane and (place := crossing(curve, curves[j])) is not None:
                raise GeometryError(_message(path, curve, curves[j], place, crosses=True))


def _common(curve: int, other: int, ends: np.ndarray, tolerance: float) -> np.ndarray | None:
    """A point inside a common stretch of two curves, if there is one.

    Args:
        curve: One of them.
        other: The other.
        ends: The ends of both: a common stretch begins and ends at two of them.
        tolerance: Largest distance.
    """
    ends = ends[_on(curve, ends, tolerance)]
    ends = ends[_on(other, ends, tolerance)] if len(ends) else ends
    if not len(ends):
        return None
    low, high = (float(v[0]) for v in gmsh.model.getParametrizationBounds(1, curve))
    at = np.array(gmsh.model.getParametrization(1, curve, ends.ravel().tolist()))
    first, last = curve_points(curve, 2)
    if np.linalg.norm(last - first) <= tolerance:
        at = np.append(at, [low, high])  # a closed one
    for start, end in pairwise(np.unique(at)):
        if end - start > 1e-6 * (high - low):
            inside = [start + s * (end - start) for s in _BETWEEN]
            between = np.array(gmsh.model.getValue(1, curve, inside)).reshape(-1, 3)
            if _on(other, between, tolerance).all():
                return between[1]
    return None


def _on(curve: int, points: np.ndarray, tolerance: float) -> np.ndarray:
    """True for points that are on a curve."""
    nearest, _ = gmsh.model.getClosestPoint(1, curve, points.ravel().tolist())
    return np.linalg.norm(np.reshape(nearest, (-1, 3)) - points, axis=1) <= tolerance


def _message(
    path: Path, curve: int, other: int, place: np.ndarray, *, crosses: bool = False
) -> str:
    name = {tag: name for name, tags in groups(path, 1).items() for tag in tags}
    one, two = (f"{c} ('{name[c]}')" if c in name else f"{c} (no group)" for c in (curve, other))
    at = f"({place[0]:.6g}, {place[1]:.6g})"
    if crosses:
        return (
            f"{path}: curves {one} and {two} cross without a common point, at {at}; move them"
            " apart, or divide them there with BooleanFragments"
        )
    return (
        f"{path}: curves {one} and {two} lie on top of each other, near {at}; draw a common side"
        " once and use it in the loops of both surfaces, or join them with BooleanFragments; an"
        " insulating cut needs a width"
    )
