"""Cell sizes that follow the physics: boundary layers, channel widths, re-entrant corners.

Works on the drawing that is open in Gmsh, on one rank, in the unit of the file. A coarse mesh
carries the wanted sizes as a background field for the final one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import gmsh
import numpy as np
from scipy.spatial import cKDTree

from meso.errors import GeometryError
from meso.geometry import sizing_3d
from meso.geometry.coincident import check_coincident
from meso.geometry.drawing import generate, groups
from meso.geometry.estimating import (
    cells_of_field,
    check_coarse,
    flat_cells,
    layer_cells,
    size_factor,
)
from meso.geometry.grading import (
    curvatures,
    curve_length,
    curve_points,
    forget_coarse_sizes,
    graded,
    resolve_short_curves,
)
from meso.geometry.layers import CELLS_PER_WIDTH, Layer, SizeField, Sizes, vorticity_layer
from meso.geometry.planar import cross, row_keys

__all__ = ["Layer", "SizeField", "Sizes", "mesh_drawing", "vorticity_layer"]

ANGLE_PER_CELL = 0.3  # radians of a curved boundary per cell
MAX_CELLS = 250_000  # in wall layers, unless the user asks for a size
MANY_CELLS = 15_000  # in isotropic wall layers: above that flat cells are used where possible
_THICKNESS = 15.0  # of a layer of flat cells, in its decay length: the vorticity falls to 3e-7
IMPOSSIBLE = 2e7  # cells
_SAMPLES = 1000
_INTERFACE = "\0interface"  # no name that a drawing could have


def mesh_drawing(
    path: Path, sizes: Sizes, dimension: int, announce: Callable[[float], None] = lambda cells: None
) -> bool:
    """Mesh the open drawing with the wanted sizes.

    Args:
        path: The drawing, for messages.
        sizes: Wanted cell sizes, resolved.
        dimension: 2 or 3.
        announce: Called with the expected number of cells before it takes time to make them.

    Returns:
        True if there are layers of flat cells.

    Raises:
        GeometryError: Gmsh's own message, if it fails.
    """
    if dimension == 3:
        sizing_3d.mesh_solid(path, sizes, announce)
        return False
    low, high = np.array(gmsh.model.getBoundingBox(-1, -1)).reshape(2, 3)
    extent = float((high - low).max())
    _check_count(path, sizes, low, high)
    check_coincident(path)
    along = resolve_short_curves(4)
    gmsh.option.setNumber("Mesh.MeshSizeMax", min(sizes.bulk or np.inf, extent / 12))
    check_coarse(path, along, announce)
    generate(path)
    if not _is_plane():
        return False  # the reader of the mesh says what is wrong
    nodes, triangles, wanted, narrowest = _field(path, sizes, extent)
    curves = {name: tags for name, tags in groups(path, 1).items() if name in sizes.layers}
    if sizes.interface and (between := _interfaces(path)):
        curves[_INTERFACE] = between
        sizes = replace(sizes, layers={**sizes.layers, _INTERFACE: sizes.interface})
    stretched = sizes.stretched and _stretched_layers(curves, sizes, narrowest)
    if stretched:
        wanted = np.minimum(wanted, _flat_enough(curves, sizes, nodes[:, :2]))
    fields = [(nodes, triangles, wanted)]
    if sizes.wanted and len(sizes.wanted.triangles):
        height = np.full(len(sizes.wanted.points), nodes[0, 2])
        points = np.column_stack([sizes.wanted.points, height])
        fields.append((points, sizes.wanted.triangles, sizes.wanted.sizes))
    parts = [_background(*each) for each in fields]
    # The rim beyond convex arcs is not in the conductor.
    inside = triangles[: len(gmsh.model.mesh.getElementsByType(2)[0])]
    fields[0] = (nodes, inside, wanted)
    cells = sum(cells_of_field(p[:, :2], t, h) for p, t, h in fields)
    if stretched:
        cells += flat_cells(wanted)
    else:
        parts += _layers(curves, sizes)
        coarser, across = _coarsening(curves, sizes), CELLS_PER_WIDTH.get(sizes.degree, 5.0)
        for name, tags in curves.items():
            cells += layer_cells(tags, sizes.layers[name], wanted, coarser, across)
    if sizing_3d.is_structured(path, 2):
        cells = len(inside)  # they stay what they are
    announce(cells * size_factor(2))
    smallest = gmsh.model.mesh.field.add("Min")
    gmsh.model.mesh.field.setNumbers(smallest, "FieldsList", parts)
    gmsh.model.mesh.field.setAsBackgroundMesh(smallest)
    gmsh.option.setNumber("Mesh.MeshSizeMax", min(sizes.bulk or np.inf, extent / 4))
    # The background field says it all: sizes of the boundary must not spread inwards.
    gmsh.option.setNumber("Mesh.MeshSizeExtendFromBoundary", 0)
    forget_coarse_sizes()
    gmsh.model.mesh.clear()
    generate(path)
    return stretched


def _background(nodes: np.ndarray, triangles: np.ndarray, wanted: np.ndarray) -> int:
    """A Gmsh field that is linear in triangles."""
    view = gmsh.view.add("size")
    corners = nodes[triangles]  # (t, 3, 3)
    data = np.concatenate([corners.transpose(0, 2, 1).reshape(-1, 9), wanted[triangles]], axis=1)
    gmsh.view.addListData(view, "ST", len(triangles), data.ravel())
    background = gmsh.model.mesh.field.add("PostView")
    gmsh.model.mesh.field.setNumber(background, "ViewTag", view)
    return background


def _is_plane() -> bool:
    """True if there are triangles, all at one z."""
    tags, xyz, _ = gmsh.model.mesh.getNodes()
    used = np.isin(tags, gmsh.model.mesh.getElementsByType(2)[1])
    points = xyz.reshape(-1, 3)[used]
    return len(points) > 0 and bool(np.ptp(points[:, 2]) <= 1e-9 * np.ptp(points, axis=0).max())


def _check_count(path: Path, sizes: Sizes, low: np.ndarray, high: np.ndarray) -> None:
    """Raise a GeometryError before a mesh that no machine could hold (a forgotten unit)."""
    width, height, _ = np.maximum(high - low, 1e-3 * (high - low).max())
    cells = 2.3 * width * height / sizes.bulk**2 if sizes.bulk else 0.0
    if not sizes.coarsen:
        curves = {name: tags for name, tags in groups(path, 1).items() if name in sizes.layers}
        cells += _cells_in_layers(curves, sizes)
    if cells > IMPOSSIBLE:
        raise GeometryError(
            f"{path}: mesh.size and mesh.wall_size lead to about {cells:.0e} cells; is"
            f" geometry.length_unit right? In that unit the drawing is {width:.4g} by {height:.4g}"
        )


def _interfaces(path: Path) -> list[int]:
    """Curves between surfaces of different regions."""
    region = {surface: name for name, tags in groups(path, 2).items() for surface in tags}
    out = []
    for _, curve in gmsh.model.getEntities(1):
        sides = {region.get(int(s)) for s in gmsh.model.getAdjacencies(1, curve)[0]}
        if len(sides) > 1:
            out.append(curve)
    return out


def _cells_in_layers(curves: Mapping[str, list[int]], sizes: Sizes) -> float:
    """Number of isotropic cells: a layer holds about 3 reach/size^2 of them per length."""
    cells = 0.0
    for name, tags in curves.items():
        size, reach = sizes.layers[name].lengths
        cells += sum(map(curve_length, tags)) * 3 * reach / size**2
    return cells


def _stretched_layers(curves: Mapping[str, list[int]], sizes: Sizes, narrowest: float) -> bool:
    """Set up layers of flat cells, if isotropic ones would be many and the walls allow it.

    They need room, and walls that are smooth from contact to contact.
    """
    walls = {curve for tags in curves.values() for curve in tags}
    many = _cells_in_layers(curves, sizes) > MANY_CELLS
    thickness = max((_THICKNESS * layer.decay for layer in sizes.layers.values()), default=0.0)
    alike = len(set(sizes.layers.values())) == 1  # Gmsh's layers must not touch each other
    roomy = 0 < thickness < 0.4 * narrowest
    if not many or not alike or _INTERFACE in curves or not roomy:
        return False
    ends = []
    for point, meeting in _junctions().items():
        on_walls = [curve for curve, _ in meeting if curve in walls]
        if len(meeting) > 2 or (len(on_walls) == 2 and _turns(meeting)):
            return False
        if len(on_walls) == 1 and len(meeting) == 2:
            ends.append(point)
    layer = next(iter(sizes.layers.values()))
    # Cells that grow by a fixed ratio resolve every longer length as well.
    thickness = max(thickness, min(_THICKNESS * layer.longest, 0.39 * narrowest))
    field = gmsh.model.mesh.field
    boundary = field.add("BoundaryLayer")
    field.setNumbers(boundary, "CurvesList", sorted(walls))
    field.setNumbers(boundary, "PointsList", ends)
    field.setNumber(boundary, "Size", layer.lengths[0])
    field.setNumber(boundary, "Ratio", 1 + 0.035 * min(sizes.degree, 6))
    field.setNumber(boundary, "Thickness", thickness)
    field.setAsBoundaryLayer(boundary)
    return True


def _flat_enough(curves: Mapping[str, list[int]], sizes: Sizes, nodes: np.ndarray) -> np.ndarray:
    """Sizes along curved walls that keep the bend of a cell below a sixteenth of its height."""
    out = np.full(len(nodes), np.inf)
    for name, tags in curves.items():
        for curve in tags:
            if gmsh.model.getType(1, curve) != "Line":
                at = curve_points(curve, 65)
                with np.errstate(divide="ignore"):
                    size = np.sqrt(0.5 * sizes.layers[name].lengths[0] / curvatures(at))
                out = np.minimum(out, graded(nodes, at[:, :2], size))
    return out


def _coarsening(curves: Mapping[str, list[int]], sizes: Sizes) -> float:
    """Factor on the sizes of layers of isotropic cells, so that they are not too many."""
    cells = _cells_in_layers(curves, sizes)
    return max(1.0, float(np.sqrt(cells / MAX_CELLS))) if sizes.coarsen else 1.0


def _layers(curves: Mapping[str, list[int]], sizes: Sizes) -> list[int]:
    """Gmsh fields of layers of isotropic cells."""
    coarser = _coarsening(curves, sizes)
    out = []
    field = gmsh.model.mesh.field
    for name, tags in curves.items():
        smallest, reach = sizes.layers[name].lengths
        size = coarser * smallest
        for curve in tags:
            distance = field.add("Distance")
            samples = int(np.clip(2 * curve_length(curve) / size, 20, 50_000))
            field.setNumbers(distance, "CurvesList", [curve])
            field.setNumber(distance, "Sampling", samples)
            law = field.add("MathEval")
            field.setString(law, "F", f"{size:.12g}*(1+F{distance}/{3 * reach:.12g})^3")
            out.append(law)
    return out


def _field(
    path: Path, sizes: Sizes, extent: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Coarse nodes, triangles, the size at each node that the shape of the device wants.

    Last comes the width of the narrowest place.

    Raises:
        GeometryError: The conductor has no edge.
    """
    tags, xyz, _ = gmsh.model.mesh.getNodes()
    nodes = xyz.reshape(-1, 3)
    number = np.zeros(int(tags.max()) + 1, dtype=np.int64)
    number[tags.astype(np.int64)] = np.arange(len(tags))
    triangles = number[gmsh.model.mesh.getElementsByType(2)[1].astype(np.int64)].reshape(-1, 3)
    boundary = _boundary_edges(nodes, triangles)
    if not len(boundary):
        text = "surfaces lie on top of each other, so that no edge is one of the conductor"
        raise GeometryError(f"{path}: {text}; draw each part once")
    nodes, triangles = _with_rim(nodes, triangles, _curved_edges(number, boundary))
    plane = nodes[:, :2]

    points, normals = _spread(plane, boundary, _SAMPLES)
    width = 2 * inscribed_radius(points, normals)
    across = width / CELLS_PER_WIDTH.get(sizes.degree, 5.0)
    wanted = np.minimum(min(sizes.bulk or np.inf, extent / 4), graded(plane, points, across))
    for _, curve in gmsh.model.getEntities(1):
        if gmsh.model.getType(1, curve) != "Line":
            at = curve_points(curve, 65)
            with np.errstate(divide="ignore"):
                round_ = ANGLE_PER_CELL / curvatures(at)
            wanted = np.minimum(wanted, graded(plane, at[:, :2], round_))
    sharp = np.intersect1d(_wide_corners(plane, boundary, 200.0), _kinks(number))
    ends = np.intersect1d(_wide_corners(plane, boundary, 100.0), _contact_ends(path, sizes, number))
    sharp = np.union1d(sharp, ends)
    if len(sharp):
        _, near = cKDTree(points).query(plane[sharp])
        smallest = (sizes.first_corner if sizes.wanted else sizes.corner) * width[near]
        wanted = np.minimum(wanted, graded(plane, plane[sharp], smallest))
    return nodes, triangles, wanted, float(width.min())


def _boundary_edges(nodes: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Edges with one triangle, the conductor on their left, shape (m, 2)."""
    a, b, c = (nodes[triangles[:, i], :2] for i in range(3))
    flip = cross(b - a, c - a) < 0
    triangles = np.where(flip[:, None], triangles[:, [0, 2, 1]], triangles)
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    key = np.sort(edges, axis=1)
    _, first, count = np.unique(key, axis=0, return_index=True, return_counts=True)
    return edges[first[count == 1]]


def _curved_edges(number: np.ndarray, boundary: np.ndarray) -> np.ndarray:
    """The edges of the boundary that are chords of curves, shape (k, 2)."""
    parts = [
        gmsh.model.mesh.getElementsByType(1, curve)[1].astype(np.int64)
        for _, curve in gmsh.model.getEntities(1)
        if gmsh.model.getType(1, curve) != "Line"
    ]
    if not parts:
        return boundary[:0]
    chords = number[np.concatenate(parts)].reshape(-1, 2)
    count = len(number)
    return boundary[np.isin(row_keys(boundary, count), row_keys(chords, count))]


def _with_rim(
    nodes: np.ndarray, triangles: np.ndarray, chords: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The coarse mesh and a triangle on the outer side of each chord.

    Gmsh gives places outside the triangles of a field the size of the nearest node, however far
    it is. A convex arc is outside its chords: near a corner all of it would be as fine as that.
    """
    start, end = nodes[chords[:, 0]], nodes[chords[:, 1]]
    outwards = (end - start)[:, [1, 0, 2]] * [1, -1, 0]
    # As high as half the chord: it holds arcs of up to 90 degrees.
    tips = (start + end + outwards) / 2
    number = len(nodes) + np.arange(len(chords))
    rim = np.column_stack([chords[:, 1], chords[:, 0], number])
    return np.concatenate([nodes, tips]), np.concatenate([triangles, rim])


def _spread(nodes: np.ndarray, edges: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Points along edges, about ``count`` in all, and the inward normals there."""
    start, end = nodes[edges[:, 0]], nodes[edges[:, 1]]
    length = np.linalg.norm(end - start, axis=1)
    pieces = np.maximum(1, np.ceil(length / (length.sum() / count)).astype(int))
    which = np.repeat(np.arange(len(edges)), pieces)
    first = np.repeat(np.cumsum(pieces) - pieces, pieces)
    s = (np.arange(len(which)) - first + 0.5) / pieces[which]
    points = start[which] * (1 - s)[:, None] + end[which] * s[:, None]
    tangent = (end - start)[which] / length[which][:, None]
    return points, np.column_stack([-tangent[:, 1], tangent[:, 0]])


def inscribed_radius(points: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Radius of the largest disc inside the boundary that touches it at each of its points.

    A disc of radius R that touches at p with inward normal n has another boundary point q on its
    rim where R = |q - p|^2 / (2 n.(q - p)); the smallest of these is the local half width.

    Args:
        points: Points of the boundary, shape (n, 2).
        normals: Inward unit normals there, shape (n, 2).

    Returns:
        Radii, shape (n,), in the unit of ``points``.
    """
    radius = np.empty(len(points))
    for start in range(0, len(points), 256):
        here = slice(start, start + 256)
        apart = points[None, :] - points[here, None]
        square = (apart**2).sum(axis=2)
        depth = 2 * np.einsum("ijk,ik->ij", apart, normals[here])
        # Only a wall that faces this one says how wide the channel is: no neighbours, no corners.
        facing = (depth > 0.2 * np.sqrt(square)) & (square > 0)
        facing &= normals[here] @ normals.T < -0.5
        ratio = np.full(square.shape, np.inf)
        np.divide(square, depth, out=ratio, where=facing)
        radius[here] = ratio.min(axis=1)
    return radius


def _junctions() -> dict[int, list[tuple[int, np.ndarray]]]:
    """Curves that meet in each point of the drawing, with their unit tangents away from it."""
    meeting: dict[int, list[tuple[int, np.ndarray]]] = {}
    for _, curve in gmsh.model.getEntities(1):
        points = curve_points(curve, 129)
        for _, end in gmsh.model.getBoundary([(1, curve)], oriented=False):
            at = np.array(gmsh.model.getValue(0, end, []))
            for here, there in ((points[0], points[1]), (points[-1], points[-2])):
                if np.allclose(here, at, rtol=0, atol=1e-9 * np.ptp(points)):
                    step = there - here
                    meeting.setdefault(end, []).append((curve, step / np.linalg.norm(step)))
    return meeting


def _turns(meeting: list[tuple[int, np.ndarray]]) -> bool:
    """True if two curves meet at an angle."""
    (_, first), (_, second) = meeting
    return bool(first @ second > -np.cos(np.deg2rad(10.0)))


def _kinks(number: np.ndarray) -> np.ndarray:
    """Vertices at points of the drawing where two of its curves meet at an angle."""
    sharp = [p for p, meeting in _junctions().items() if len(meeting) == 2 and _turns(meeting)]
    tags = [gmsh.model.mesh.getElementsByType(15, point)[1] for point in sharp]
    return number[np.concatenate(tags).astype(np.int64)] if tags else np.empty(0, np.int64)


def _contact_ends(path: Path, sizes: Sizes, number: np.ndarray) -> np.ndarray:
    """Vertices where a contact meets a wall (where any two boundaries do, if walls are unknown)."""
    name = {curve: group for group, tags in groups(path, 1).items() for curve in tags}
    # Where a conductor goes on periodically no boundary ends, and no flow is singular.
    for curve in list(name):
        master = gmsh.model.mesh.getPeriodic(1, [curve])[0]
        for twin in {curve, int(master)} if master != curve else ():
            name.pop(twin, None)
    ends = []
    for point, meeting in _junctions().items():
        found = [name[curve] for curve, _ in meeting if curve in name]
        walls = [group in sizes.layers for group in found]
        if len(set(found)) == 2 and (not sizes.layers or any(walls) != all(walls)):
            ends.append(point)
    tags = [gmsh.model.mesh.getElementsByType(15, point)[1] for point in ends]
    return number[np.concatenate(tags).astype(np.int64)] if tags else np.empty(0, np.int64)


def _wide_corners(nodes: np.ndarray, edges: np.ndarray, angle: float) -> np.ndarray:
    """Vertices of the boundary with an inner angle above one in degrees."""
    arriving = np.full(len(nodes), -1)
    arriving[edges[:, 1]] = np.arange(len(edges))
    follows = arriving[edges[:, 0]]
    direction = nodes[edges[:, 1]] - nodes[edges[:, 0]]
    before = direction[follows]
    turn = np.arctan2(cross(before, direction), (before * direction).sum(axis=1))
    return edges[turn < np.deg2rad(180.0 - angle), 0]
