"""Sizes that grow with distance, and curves of the drawing that is open in Gmsh."""

from __future__ import annotations

import gmsh
import numpy as np
from scipy.spatial.distance import cdist

GROWTH = 0.25  # largest increase of the cell size with distance
_BATCH = 512
#: Coarse edges in the middle of a long line over those at its ends: more, and a long strip would
#: have no coarse node near most of its width.
_COARSER = 20.0
_MANY_EDGES = 100  # of the coarse mesh on one curve


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


def resolve_short_curves(edges: int) -> dict[int, list[float]]:
    """At least so many coarse edges on each curve: sizes at its ends, spread from there.

    A long curve between short ones would be as fine as they are all along, where their sizes
    need not reach its middle. Only such curves are graded, so that other meshes stay as they are,
    and only where the drawing gives no sizes of its own.

    Args:
        edges: Least number of edges.

    Returns:
        Sizes at the start, in the middle and at the end of each curve.
    """
    points = [tag for _, tag in gmsh.model.getEntities(0)]
    given = {tag for tag in points if gmsh.model.mesh.getSizes([(0, tag)])[0] > 0}
    for _, curve in gmsh.model.getEntities(1):
        length = curve_length(curve)
        for _, point in gmsh.model.getBoundary([(1, curve)], oriented=False):
            known = gmsh.model.mesh.getSizes([(0, point)])[0]
            size = min(length / edges, known if known > 0 else np.inf)
            gmsh.model.mesh.setSize([(0, point)], size)
    sizes = {curve: _sizes_along(curve, edges, given) for _, curve in gmsh.model.getEntities(1)}
    if any(middle > max(start, end) for start, middle, end in sizes.values()):
        # Sizes at points would win.
        gmsh.option.setNumber("Mesh.MeshSizeFromPoints", 0)
        for curve, along in sizes.items():
            low, high = (float(v[0]) for v in gmsh.model.getParametrizationBounds(1, curve))
            at = [low, (low + high) / 2, high]
            gmsh.model.mesh.setSizeAtParametricPoints(1, curve, at, along)
    return sizes


def _sizes_along(curve: int, edges: int, given: set[int]) -> list[float]:
    """Coarse sizes at start, middle and end of a curve of the drawing."""
    tags = [tag for _, tag in gmsh.model.getBoundary([(1, curve)], combined=False)]
    wanted = curve_length(curve) / edges
    # The start has a minus sign.
    ends = [gmsh.model.mesh.getSizes([(0, abs(tag))])[0] or wanted for tag in sorted(tags)]
    start, end = ends if len(ends) == 2 else (wanted, wanted)
    middle = (start + end) / 2
    long = wanted * edges > _MANY_EDGES * middle and given.isdisjoint(map(abs, tags))
    if long and gmsh.model.getType(1, curve) == "Line":  # a side of a strip, perhaps
        wanted = min(wanted, _COARSER * middle)
    return [start, wanted if long else middle, end]


def forget_coarse_sizes() -> None:
    """What :func:`resolve_short_curves` asked for along curves no longer holds."""
    gmsh.option.setNumber("Mesh.MeshSizeFromPoints", 0)
    for _, curve in gmsh.model.getEntities(1):
        gmsh.model.mesh.setSizeAtParametricPoints(1, curve, [], [])


def curve_points(curve: int, count: int) -> np.ndarray:
    """Points along a curve of the drawing, shape (count, 3)."""
    low, high = (float(v[0]) for v in gmsh.model.getParametrizationBounds(1, curve))
    at = np.linspace(low, high, count).tolist()
    return np.array(gmsh.model.getValue(1, curve, at)).reshape(-1, 3)


def curvatures(points: np.ndarray) -> np.ndarray:
    """Curvature at points along a curve, shape (n,): of the circle through each and its neighbours.

    Gmsh's own are differences over a fixed step for some curves: on short arcs nothing but noise.
    """
    back, forth = points[1:-1] - points[:-2], points[2:] - points[1:-1]
    sides = [np.linalg.norm(v, axis=1) for v in (back, forth, back + forth)]
    twice_area = np.linalg.norm(np.cross(back, forth), axis=1)
    product = np.prod(sides, axis=0)
    inside = np.divide(2 * twice_area, product, out=np.zeros(len(product)), where=product > 0)
    return np.pad(inside, 1, mode="edge")


def curve_length(curve: int) -> float:
    """Length of a curve of the drawing."""
    return float(np.linalg.norm(np.diff(curve_points(curve, 33), axis=0), axis=1).sum())
