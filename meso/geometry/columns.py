"""Flat cells along walls with corners: columns of cells that end where they are isotropic.

The flow at a wall varies over its decay length across the wall, but along it only over the distance
to the next corner, contact or interface. Cells in the layer may be as long as that; the number of
isotropic ones is that of the decay lengths along all walls. Gmsh's own layers of flat cells do not
meet at corners. Here the curves are meshed with the sizes along them, columns of cells stand on
their edges, lower and lower towards corners, and Gmsh fills what is left with isotropic triangles,
in a model of its own.

Works on the drawing that is open in Gmsh, in the unit of the file.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import gmsh
import numpy as np

from meso.errors import GeometryError
from meso.geometry import drawing
from meso.geometry.layers import Layer
from meso.geometry.shape import junctions, turns
from meso.geometry.simplices import cross

#: Increase of the size of cells with the distance from the next corner.
ALONG = 0.2
# The same along walls up to where columns are as thick as the layer: so flat do they end there
# that the next cells are not too large for what the layer still has.
_ALONG_FIRST = 0.1
# Height of a column at most: a part of the distance to the corner, and of the radius of the largest
# empty disc that touches the wall there. Columns lower than that radius never meet.
_ROOM = 0.6
# Rows end where they would be higher than this part of their length.
_ROUND = 0.8
# Rows between one column and the next differ by this number at most.
_STEP = 2
#: Thickness of a layer, in its decay length: the vorticity falls to 3e-7.
THICKNESS = 15.0
# Sine of the angle to the wall below which another boundary point is of the same smooth wall.
_GRAZING = 1e-2
_BATCH = 256


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Curves with layers of flat cells, and what their rows look like."""

    layers: dict[int, Layer]  # of each curve
    corners: np.ndarray  # where walls end or bend sharply, shape (n, 3)
    sizes: np.ndarray  # of the cells there, shape (n,)
    ratio: float  # height of a row over that of the row below

    def heights(self, layer: Layer) -> np.ndarray:
        """Heights above the wall at which rows end, from 0 on."""
        size, thickness = layer.lengths[0], THICKNESS * max(layer.decay, layer.longest)
        rows = np.log1p(thickness * (self.ratio - 1) / size) / np.log(self.ratio)
        return (
            size
            * np.expm1(np.arange(int(np.ceil(rows)) + 1) * np.log(self.ratio))
            / (self.ratio - 1)
        )

    def along(self, curve: int, at: np.ndarray) -> float:
        """Longest cell on a curve at a point, which grows with the distance to the next corner."""
        if not len(self.corners):
            return np.inf
        layer, away = self.layers[curve], float(self.to_corner(at))
        first = min(away, THICKNESS / _ROOM * layer.decay)
        return layer.lengths[0] + _ALONG_FIRST * first + ALONG * (away - first)

    def to_corner(self, at: np.ndarray) -> np.ndarray:
        """Distance of points to the next corner."""
        return np.asarray(self._tree.query(at)[0])

    @cached_property
    def _tree(self) -> Any:
        from scipy.spatial import cKDTree  # takes long to load

        return cKDTree(self.corners)


def columns_of(layers: dict[int, Layer], degree: int) -> Columns | None:
    """Columns on curves with layers, or None where a drawing does not allow them."""
    if not all(layer.decay > 0 for layer in layers.values()):
        return None
    beside = {curve: len(gmsh.model.getAdjacencies(1, curve)[0]) for curve in layers}
    surfaces = drawing.entities(2)
    if max(beside.values()) > 1 or any(gmsh.model.mesh.getEmbedded(2, s) for s in surfaces):
        return None
    corners, sizes = [], []
    for point, meeting in junctions().items():
        walls = [layers[curve] for curve, _ in meeting if curve in layers]
        smooth = len(meeting) == len(walls) == 2 and walls[0] == walls[1] and not turns(meeting)
        if walls and not smooth:
            corners.append(gmsh.model.getValue(0, point, []))
            sizes.append(min(wall.lengths[0] for wall in walls))
    return Columns(
        layers=layers,
        corners=np.reshape(corners, (-1, 3)),
        sizes=np.array(sizes),
        ratio=1 + 0.035 * min(degree, 6),
    )


# -- the mesh --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rim:
    """The meshed boundary of a surface."""

    loops: list[np.ndarray]  # tags of nodes, the outer one first, the surface on the left
    layers: dict[tuple[int, int], Layer]  # of edges with one, by their nodes


def fill(
    path: Path, columns: Columns, surfaces: list[int], sizes: int, announce: Callable[[int], None]
) -> None:
    """Mesh surfaces whose curves are meshed: columns at walls, isotropic triangles between.

    ``sizes`` is the view of the wanted sizes; ``announce`` is told how many flat cells there are.
    Raises a GeometryError if the columns do not fit.
    """
    points = _points()
    rims = [_rim(surface, columns, points) for surface in surfaces]
    strips, first = [], len(points)
    for rim in rims:
        strips.append(_strip(rim, columns, points, first))
        first += len(strips[-1].nodes)
    announce(sum(len(strip.triangles) for strip in strips))
    points = np.concatenate([points, *(strip.nodes for strip in strips)])
    for surface, strip in zip(surfaces, strips, strict=True):
        start = len(points)
        added, inside = _inside(path, points, strip.fronts, sizes)
        points = np.concatenate([points, added])
        tags = np.concatenate([strip.tags, np.arange(start, len(points))])
        gmsh.model.mesh.addNodes(2, surface, tags, points[tags].ravel())
        cells = np.concatenate([strip.triangles, inside])
        gmsh.model.mesh.addElementsByType(surface, drawing.simplex(2), [], cells.ravel())


def _points() -> np.ndarray:
    """Coordinates of the nodes by tag, shape (n, 3)."""
    tags, xyz, _ = gmsh.model.mesh.getNodes()
    points = np.full((int(tags.max()) + 1, 3), np.nan)
    points[tags.astype(np.int64)] = xyz.reshape(-1, 3)
    return points


def _rim(surface: int, columns: Columns, points: np.ndarray) -> _Rim:
    """The boundary of a surface."""
    beside: dict[int, list[int]] = {}
    layers: dict[tuple[int, int], Layer] = {}
    for _, curve in gmsh.model.getBoundary([(2, surface)], oriented=False):
        ends = gmsh.model.mesh.getElementsByType(drawing.simplex(1), curve)[1]
        for a, b in ends.astype(np.int64).reshape(-1, 2).tolist():
            beside.setdefault(a, []).append(b)
            beside.setdefault(b, []).append(a)
            if curve in columns.layers:
                layers[a, b] = layers[b, a] = columns.layers[curve]
    if any(len(others) != 2 for others in beside.values()):
        raise GeometryError("a surface that touches itself has no columns of flat cells")
    loops = []
    while beside:
        start = previous = min(beside)
        loop, here = [start], beside[start][0]
        while here != start:
            loop.append(here)
            one, other = beside[here]
            previous, here = here, other if one == previous else one
        for node in loop:
            del beside[node]
        loops.append(np.array(loop))
    loops.sort(key=lambda loop: -abs(_area(points[loop])))  # the outer one first, as Gmsh wants it
    left = [(_area(points[loop]) > 0) == (i == 0) for i, loop in enumerate(loops)]
    turned = [loop if on else loop[::-1] for loop, on in zip(loops, left, strict=True)]
    return _Rim(loops=turned, layers=layers)


def _area(x: np.ndarray) -> float:
    """Of a polygon (n, 3) in the plane, positive if it is on the left."""
    return float(cross(x, np.roll(x, -1, axis=0)).sum() / 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Strip:
    """The columns in a surface, and what they leave."""

    nodes: np.ndarray  # above the walls, shape (n, 3)
    tags: np.ndarray  # of these
    triangles: np.ndarray  # tags, shape (c, 3)
    fronts: list[list[int]]  # loops of tags


def _strip(rim: _Rim, columns: Columns, points: np.ndarray, first: int) -> _Strip:
    """Columns on the edges of a rim; tags of nodes count from ``first``."""
    room = _room(rim, columns, points)
    nodes, triangles, fronts = [np.empty((0, 3))], [], []
    for loop, free in zip(rim.loops, room, strict=True):
        x = points[loop]
        edges = list(zip(loop.tolist(), np.roll(loop, -1).tolist(), strict=True))
        layers = [rim.layers.get(edge) for edge in edges]
        step = np.roll(x, -1, axis=0) - x
        length = np.linalg.norm(step, axis=1)
        inward = np.stack([-step[:, 1], step[:, 0], 0 * length], axis=1) / length[:, None]
        normal = inward + np.roll(inward, 1, axis=0)
        normal /= (normal * inward).sum(axis=1, keepdims=True)
        rows = _rows(layers, length, free, columns)
        # Of the column at each node: as high as the higher of the edges that it is between.
        high = np.maximum(rows, np.roll(rows, 1))
        column = []
        for i, node in enumerate(loop.tolist()):
            layer = layers[i] or layers[i - 1]
            if high[i] and layer:
                above = columns.heights(layer)[1 : high[i] + 1]
                nodes.append(x[i] + above[:, None] * normal[i])
            column.append([node, *range(first, first + high[i])])
            first += int(high[i])
        front: list[int] = []
        for i, count in enumerate(rows.tolist()):
            here, there = column[i], column[(i + 1) % len(loop)]
            for j in range(count):
                a, b, c, d = here[j], there[j], there[j + 1], here[j + 1]
                triangles += [(a, b, c), (a, c, d)] if (i + j) % 2 else [(a, b, d), (b, c, d)]
            # Along the top of this edge, then up or down to that of the next one.
            following = int(rows[(i + 1) % len(loop)])
            way = 1 if following > count else -1
            front += [there[j] for j in range(count, following + way, way)]
        fronts.append(front)
    joined = np.concatenate(nodes)
    return _Strip(
        nodes=joined,
        tags=np.arange(first - len(joined), first),
        triangles=np.array(triangles, dtype=np.int64).reshape(-1, 3),
        fronts=fronts,
    )


def _rows(
    layers: list[Layer | None], length: np.ndarray, free: np.ndarray, columns: Columns
) -> np.ndarray:
    """Rows of cells on each edge of a loop, of some length, and with room above its ends."""
    room = np.minimum(free, np.roll(free, -1))
    rows = np.zeros(len(length), dtype=np.int64)
    for i, layer in enumerate(layers):
        if layer:
            top = columns.heights(layer)[1:]
            thin = np.diff(top, prepend=0.0) < _ROUND * length[i]
            rows[i] = np.count_nonzero(thin & (top < room[i]))
    while True:
        even = np.minimum(rows, np.minimum(np.roll(rows, 1), np.roll(rows, -1)) + _STEP)
        if (even == rows).all():
            return rows
        rows = even


def _room(rim: _Rim, columns: Columns, points: np.ndarray) -> list[np.ndarray]:
    """How high a column may be at each node of the loops.

    Empty discs that touch a boundary at two points have the radius R = |q - p|^2 / (2 n.(q - p)).
    """
    ends = [np.stack([loop, np.roll(loop, -1)], axis=1) for loop in rim.loops]
    middles = [points[pair].mean(axis=1) for pair in ends]
    samples = np.concatenate([*middles, *(points[loop] for loop in rim.loops)])
    out = []
    for loop, pair in zip(rim.loops, ends, strict=True):
        x, step = points[loop], points[pair[:, 1]] - points[pair[:, 0]]
        inward = np.stack([-step[:, 1], step[:, 0]], axis=1)
        inward /= np.linalg.norm(inward, axis=1, keepdims=True)
        normal = inward + np.roll(inward, 1, axis=0)
        normal /= np.linalg.norm(normal, axis=1, keepdims=True)
        room = np.full(len(loop), np.inf)
        for start in range(0, len(loop), _BATCH):
            here = slice(start, start + _BATCH)
            apart = samples[None, :, :2] - x[here, None, :2]
            square = (apart**2).sum(axis=2)
            depth = (apart * normal[here, None]).sum(axis=2)
            facing = depth > _GRAZING * np.sqrt(square)
            radius = np.full(square.shape, np.inf)
            np.divide(square, 2 * depth, out=radius, where=facing)
            room[here] = radius.min(axis=1)
        if len(columns.corners):
            room = np.minimum(room, columns.to_corner(x))
        out.append(_ROOM * room)
    return out


def _inside(
    path: Path, points: np.ndarray, fronts: list[list[int]], sizes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Nodes (n, 3) and triangles that fill what is between fronts, in a model of its own.

    The nodes of the fronts keep their tags, new ones follow.
    """
    device = gmsh.model.getCurrent()
    gmsh.model.add("between columns")
    try:
        used = sorted({tag for front in fronts for tag in front})
        for tag in used:
            gmsh.model.geo.addPoint(*points[tag], tag=tag)
        loops = []
        for front in fronts:
            lines = [
                gmsh.model.geo.addLine(a, b)
                for a, b in zip(front, [*front[1:], front[0]], strict=True)
            ]
            for line in lines:
                gmsh.model.geo.mesh.setTransfiniteCurve(line, 2)
            loops.append(gmsh.model.geo.addCurveLoop(lines))
        surface = gmsh.model.geo.addPlaneSurface(loops)
        gmsh.model.geo.synchronize()
        gmsh.model.mesh.field.setAsBackgroundMesh(background(sizes))
        drawing.generate(path, 2)
        known = {}
        for tag in used:
            (node,), _, _ = gmsh.model.mesh.getNodes(0, tag)
            known[int(node)] = tag
        tags, xyz, _ = gmsh.model.mesh.getNodes(2, surface)
        known |= {int(t): len(points) + i for i, t in enumerate(tags)}
        triangles = gmsh.model.mesh.getElementsByType(drawing.simplex(2), surface)[1]
        cells = [known[int(t)] for t in triangles]
        return xyz.reshape(-1, 3), np.array(cells, dtype=np.int64).reshape(-1, 3)
    except KeyError:
        raise GeometryError("the fronts of columns of flat cells cross") from None
    finally:
        gmsh.model.remove()
        gmsh.model.setCurrent(device)


def background(view: int) -> int:
    """Field of the sizes of a view, in the model that is current."""
    field = gmsh.model.mesh.field.add("PostView")
    gmsh.model.mesh.field.setNumber(field, "ViewTag", view)
    return int(field)
