"""Cell sizes that the shape of a device wants: its width, curved boundaries, sharp corners."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import gmsh
import numpy as np

from meso.geometry import drawing
from meso.geometry.coarse import Coarse
from meso.geometry.layers import Sizes
from meso.geometry.simplices import FACETS, cross, distances, facet_measures, row_keys, shared_edges

#: Largest increase of the cell size with distance.
GROWTH = {2: 0.25, 3: 0.4}
# The same between two walls of a solid that face each other: the middle has small cells too.
_GROWTH_ACROSS = {2: 0.25, 3: 0.1}
_ANGLE_PER_CELL = {2: 0.3, 3: 0.5}  # radians of a curved boundary per cell; in 3D of degree 2
# Smallest cell at a sharp re-entrant edge over the size around it. Isotropic cells along an edge
# cost the inverse of their size: what 2D affords, a millionth of the width, is out of reach.
_EDGE_SIZE = 0.25
# Cells of the first mesh of an adaptive refinement of a solid over those without one.
_FIRST_3D = 2.0
_SAMPLES = {2: 1000, 3: 1500}
_BATCH = 512
#: Of so many points at a time distances to all others stay in the processor's cache.
_ROWS = 64

# Inner angle, degrees, below which the walls of a corner face each other; and what part of the
# width of such a wedge says that a place is narrow because of it.
_ACUTE, _OF_WEDGE = 60.0, 0.8

# Curves that meet in a point of the drawing, with their unit tangents away from it.
Junctions = dict[int, list[tuple[int, np.ndarray]]]


def shape_sizes(
    path: Path, coarse: Coarse, nodes: np.ndarray, sizes: Sizes
) -> tuple[np.ndarray, float, float]:
    """Size at each node (n, 3) that the shape wants, and the width of the narrowest place.

    The last number is that width away from acute corners, in which every conductor is narrow.
    """
    d = coarse.dimension
    points, normals = _samples(coarse)
    if d == 2:
        width = 2 * inscribed_radius(points, normals)
    else:
        width = thickness(points, normals, coarse.nodes[coarse.facets], coarse.normals)
    across = width / sizes.across(d)
    if d == 3 and sizes.wanted:  # the first of several meshes; edges tell by themselves
        across *= _FIRST_3D
    wanted = graded(nodes, points, across, _GROWTH_ACROSS[d])
    for at, curvature in _curved(d):
        with np.errstate(divide="ignore"):
            bend = np.where(curvature > 0, _ANGLE_PER_CELL[d] / curvature, np.inf)
        wanted = np.minimum(wanted, graded(nodes, at, bend, GROWTH[d]))
    if d == 2:
        sharp = _sharp_corners(path, coarse, sizes)
        smallest = (sizes.first_corner if sizes.wanted else sizes.corner) * width
    else:
        sharp, smallest = np.unique(_reentrant_edges(coarse)), _EDGE_SIZE * across
        sharp = sharp[: 0 if sizes.wanted else None]
    known = np.isfinite(across)
    if len(sharp) and known.any():
        from scipy.spatial import cKDTree  # takes long to load

        at = coarse.nodes[sharp]
        _, near = cKDTree(points[known]).query(at)
        wanted = np.minimum(wanted, graded(nodes, at, smallest[known][near], GROWTH[d]))
    between = width[width < _OF_WEDGE * _wedges(coarse, points)] if d == 2 else width
    return wanted, float(width.min()), float(between.min(initial=np.inf))


def graded(nodes: np.ndarray, points: np.ndarray, sizes: np.ndarray, growth: float) -> np.ndarray:
    """Smallest of size + growth * distance over the points, at each node."""
    out = np.full(len(nodes), np.inf)
    keep = np.isfinite(sizes)
    points, sizes = points[keep], sizes[keep]
    for start in range(0, len(nodes) if len(points) else 0, _BATCH):
        distance = distances(nodes[start : start + _BATCH], points)
        out[start : start + _BATCH] = (sizes + growth * distance).min(axis=1)
    return out


# -- widths ----------------------------------------------------------------------------------------


def _samples(coarse: Coarse) -> tuple[np.ndarray, np.ndarray]:
    """Points spread over the boundary, about as many as ``_SAMPLES``, and inward normals there."""
    count, facets = _SAMPLES[coarse.dimension], coarse.facets
    if coarse.dimension == 3:
        step = -(-len(facets) // count)
        return coarse.centres[::step], coarse.normals[::step]
    length = facet_measures(coarse.nodes, facets)
    pieces = np.maximum(1, np.ceil(length / (length.sum() / count)).astype(int))
    which = np.repeat(np.arange(len(facets)), pieces)
    first = np.repeat(np.cumsum(pieces) - pieces, pieces)
    s = ((np.arange(len(which)) - first + 0.5) / pieces[which])[:, None]
    start, end = coarse.nodes[facets[which]].transpose(1, 0, 2)
    return start * (1 - s) + end * s, coarse.normals[which]


def inscribed_radius(points: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Radius of the largest disc inside the boundary that touches it at each of its points, in 2D.

    A disc of radius R that touches at p with inward normal n has another boundary point q on its
    rim where R = |q - p|^2 / (2 n.(q - p)); the smallest of these is the local half width.
    """
    radius = np.empty(len(points))
    (x, y), (across, up) = points.T[:2].copy(), normals.T[:2].copy()
    with np.errstate(divide="ignore", invalid="ignore"):
        for start in range(0, len(points), _ROWS):
            here = slice(start, start + _ROWS)
            right, above = x - x[here, None], y - y[here, None]
            n, m = across[here, None], up[here, None]
            square, depth = right**2 + above**2, right * n + above * m
            # Only a wall that faces this one says how wide the channel is: no neighbours, no
            # corners.
            facing = (depth > 0.1 * np.sqrt(square)) & (n * across + m * up < -0.5)
            radius[here] = np.where(facing, square / depth, np.inf).min(axis=1) / 2
    return radius


def thickness(
    points: np.ndarray, normals: np.ndarray, triangles: np.ndarray, facing: np.ndarray
) -> np.ndarray:
    """Distance from points of the boundary, along the inward normal, to the opposite wall.

    The boundary consists of triangles (m, 3, 3) with inward normals; the distance is infinite where
    the opposite wall does not face the point.
    """
    a = triangles[:, 0]
    u, v = triangles[:, 1] - a, triangles[:, 2] - a
    perpendicular = np.cross(u, v)
    square = (perpendicular**2).sum(axis=1)
    # Barycentric coordinates are linear in the position within the plane of a triangle.
    first = np.cross(v, perpendicular) / square[:, None]
    second = -np.cross(u, perpendicular) / square[:, None]
    plane = (facing * a).sum(axis=1)
    scale = np.ptp(points, axis=0).max()
    out = np.full(len(points), np.inf)
    for start in range(0, len(points), 128):
        x, n = points[start : start + 128], normals[start : start + 128]
        slope = n @ facing.T
        opposite = slope < -0.5
        along = np.full(slope.shape, np.inf)
        np.divide(plane - x @ facing.T, slope, out=along, where=opposite)
        along[along <= 1e-9 * scale] = np.inf
        # One wall at a time, nearest plane first, would be serial: test all candidates.
        i, j = np.nonzero(np.isfinite(along))
        hit = x[i] + along[i, j][:, None] * n[i] - a[j]
        s, t = (hit * first[j]).sum(axis=1), (hit * second[j]).sum(axis=1)
        inside = (s > -1e-6) & (t > -1e-6) & (s + t < 1 + 1e-6)
        np.minimum.at(out, start + i[inside], along[i[inside], j[inside]])
    return out


# -- curved boundaries -----------------------------------------------------------------------------


def _curved(dimension: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Points on each curve (3D: surface) that is not straight, and the largest curvature there."""
    if dimension == 2:
        for curve in drawing.entities(1):
            if not drawing.is_straight(curve):
                yield curvatures(curve)
        return
    for surface in drawing.entities(2):
        if gmsh.model.getType(2, surface) not in ("Plane", "Discrete surface"):
            _, xyz, parameters = gmsh.model.mesh.getNodes(2, surface, True, True)
            largest, smallest, _, _ = gmsh.model.getPrincipalCurvatures(surface, parameters)
            curvature = np.maximum(np.abs(largest), np.abs(smallest))
            # Poles of a sphere, say, have no curvature in the parameters of the drawing.
            yield xyz.reshape(-1, 3), np.where(np.isfinite(curvature), curvature, 0.0)


def curvatures(curve: int) -> tuple[np.ndarray, np.ndarray]:
    """Points along a curve and its curvature there: of the circle through each and its neighbours.

    Gmsh's own are differences over a fixed step for some curves: on short arcs nothing but noise.
    """
    points = drawing.curve_points(curve, 65)
    back, forth = points[1:-1] - points[:-2], points[2:] - points[1:-1]
    sides = [np.linalg.norm(v, axis=1) for v in (back, forth, back + forth)]
    twice_area = np.linalg.norm(np.cross(back, forth), axis=1)
    product = np.prod(sides, axis=0)
    inside = np.divide(2 * twice_area, product, out=np.zeros(len(product)), where=product > 0)
    return points, np.pad(inside, 1, mode="edge")


# -- corners ---------------------------------------------------------------------------------------


def junctions() -> Junctions:
    """Curves that meet in each point of the drawing."""
    meeting: Junctions = {}
    for curve in drawing.entities(1):
        points = drawing.curve_points(curve, 129)
        for _, end in gmsh.model.getBoundary([(1, curve)], oriented=False):
            at = np.array(gmsh.model.getValue(0, end, []))
            for here, there in ((points[0], points[1]), (points[-1], points[-2])):
                if np.allclose(here, at, rtol=0, atol=1e-9 * np.ptp(points)):
                    step = there - here
                    meeting.setdefault(end, []).append((curve, step / np.linalg.norm(step)))
    return meeting


def turns(meeting: list[tuple[int, np.ndarray]]) -> bool:
    """True if two curves meet at an angle."""
    (_, first), (_, second) = meeting
    return bool(first @ second > -np.cos(np.deg2rad(10.0)))


def _sharp_corners(path: Path, coarse: Coarse, sizes: Sizes) -> np.ndarray:
    """Nodes at re-entrant kinks of the drawing, and at wide ends of contacts."""
    meeting = junctions()
    kinks = [point for point, curves in meeting.items() if len(curves) == 2 and turns(curves)]
    ends = _contact_ends(path, sizes, meeting)
    sharp, wide = (
        np.intersect1d(
            _corners(coarse, angle), drawing.elements(drawing.simplex(0), points, coarse.number)
        )
        for angle, points in ((200.0, kinks), (100.0, ends))
    )
    return np.union1d(sharp, wide)


def _contact_ends(path: Path, sizes: Sizes, meeting: Junctions) -> list[int]:
    """Points where a contact meets a wall (where any two boundaries do, if walls are unknown)."""
    name = {curve: group for group, tags in drawing.groups(path, 1).items() for curve in tags}
    # Where a conductor goes on periodically no boundary ends, and no flow is singular.
    for curve in list(name):
        master = int(gmsh.model.mesh.getPeriodic(1, [curve])[0])
        for twin in {curve, master} if master != curve else ():
            name.pop(twin, None)
    ends = []
    for point, curves in meeting.items():
        found = [name[curve] for curve, _ in curves if curve in name]
        walls = [group in sizes.layers for group in found]
        if len(set(found)) == 2 and (not sizes.layers or any(walls) != all(walls)):
            ends.append(point)
    return ends


def _corners(coarse: Coarse, angle: float) -> np.ndarray:
    """Nodes of the boundary in the plane with an inner angle above one in degrees."""
    return coarse.facets[_turns(coarse) < np.deg2rad(180.0 - angle), 0]


def _turns(coarse: Coarse) -> np.ndarray:
    """Angle by which the boundary in the plane turns at the first node of each facet."""
    edges = coarse.facets
    arriving = np.full(len(coarse.nodes), -1)
    arriving[edges[:, 1]] = np.arange(len(edges))
    direction = coarse.nodes[edges[:, 1]] - coarse.nodes[edges[:, 0]]
    before = direction[arriving[edges[:, 0]]]
    return np.arctan2(cross(before, direction), (before * direction).sum(axis=1))


def _wedges(coarse: Coarse, points: np.ndarray) -> np.ndarray:
    """Width at points of the walls of an acute corner, as if there were nothing else."""
    turn = _turns(coarse)
    acute = turn > np.deg2rad(180.0 - _ACUTE)
    away = distances(points, coarse.nodes[coarse.facets[acute, 0]])
    width = 2 * away * np.tan((np.pi - turn[acute]) / 2)
    return np.asarray(width.min(axis=1, initial=np.inf))


def _reentrant_edges(coarse: Coarse) -> np.ndarray:
    """Coarse edges on curves of a solid where the inner angle exceeds 200 degrees, shape (e, 2)."""
    count = len(coarse.nodes)
    curves = [curve for curve in drawing.entities(1) if not drawing.is_seam(curve)]
    drawn = drawing.elements(drawing.simplex(1), curves, coarse.number)
    edge, first, second = shared_edges(coarse.facets, count)
    one, other = first // 3, second // 3
    apart = coarse.centres[other] - coarse.centres[one]
    away = -(coarse.normals[one] * apart).sum(axis=1) > 0
    turned = (coarse.normals[one] * coarse.normals[other]).sum(axis=1) < np.cos(np.deg2rad(20.0))
    found = away & turned & np.isin(edge, row_keys(drawn, count))
    return coarse.facets[:, FACETS[2]].reshape(-1, 2)[first[found]]
