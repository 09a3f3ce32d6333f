"""Sizes that grow with distance, and curves of the drawing that is open in Gmsh."""

from __future__ import annotations

import gmsh
import numpy as np
from scipy.spatial.distance import cdist

GROWTH = 0.25  # largest increase of the cell size with distance
_BATCH = 512


def graded(
    nodes: np.ndarray, points: np.ndarray, sizes: np.ndarray, growth: float = GROWTH
) -> np.ndarray:
    """Smallest of size + growth * distance over the points, at each node."""
    out = np.full(len(nodes), np.inf)
    keep = np.isfinite(sizes)
    points, sizes = points[keep], sizes[keep]
    if len(points):
        for start in range(0, len(nodes), _BATCH):
            distance = cdist(nodes[start : start + _BATCH], points)
            out[start : start + _BATCH] = (sizes + growth * distance).min(axis=1)
    return out


def resolve_short_curves(edges: int) -> None:
    """At least so many coarse edges on each curve: sizes at its ends, spread from there."""
    for _, curve in gmsh.model.getEntities(1):
        length = curve_length(curve)
        for _, point in gmsh.model.getBoundary([(1, curve)], oriented=False):
            known = gmsh.model.mesh.getSizes([(0, point)])[0]
            size = min(length / edges, known if known > 0 else np.inf)
            gmsh.model.mesh.setSize([(0, point)], size)


def curve_points(curve: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Points along a curve of the drawing, shape (count, 3), and the curvature there."""
    low, high = (float(v[0]) for v in gmsh.model.getParametrizationBounds(1, curve))
    at = np.linspace(low, high, count).tolist()
    points = np.array(gmsh.model.getValue(1, curve, at)).reshape(-1, 3)
    return points, np.abs(gmsh.model.getCurvature(1, curve, at))


def curve_length(curve: int) -> float:
    """Length of a curve of the drawing."""
    points, _ = curve_points(curve, 33)
    return float(np.linalg.norm(np.diff(points, axis=0), axis=1).sum())
