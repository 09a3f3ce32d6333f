"""The coarse mesh of the open drawing, whose nodes carry the wanted sizes of the final one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import gmsh
import numpy as np

from meso.errors import GeometryError
from meso.geometry import drawing
from meso.geometry.layers import PER_POWER, cells_of_field
from meso.geometry.simplices import (
    FACETS,
    TURNED,
    facet_measures,
    mean_density,
    outer_facets,
    positive,
    row_keys,
)

_LEAST_EDGES = {2: 4, 3: 2}  # on each curve
#: Coarse edges in the middle of a long line over those at its ends: more, and a long strip would
#: have no coarse node near most of its width.
_COARSER = 20.0
_MANY_ON_CURVE = 100
# Edges, or cells, from which on the coarse mesh is no longer a matter of course.
_MANY = 300_000
_FEW_EDGES = 1000  # from which on it is looked at
_TRIANGULATED = 1000  # of all points on curves, about


@dataclass(frozen=True, slots=True, kw_only=True)
class Coarse:
    """A mesh of straight simplices."""

    nodes: np.ndarray  # shape (n, 3)
    number: np.ndarray  # of a node by its tag in Gmsh
    cells: np.ndarray  # vertices, positively oriented, shape (c, d + 1)
    facets: np.ndarray  # of the boundary, the conductor on the left (3D: normals outwards)
    normals: np.ndarray  # inward unit normals of the facets, shape (m, 3)

    @property
    def dimension(self) -> int:
        """2 or 3."""
        return self.cells.shape[1] - 1

    @property
    def centres(self) -> np.ndarray:
        """Centres of the facets."""
        return self.nodes[self.facets].mean(axis=1)

    def on(self, tags: list[int]) -> np.ndarray:
        """Facets on some curves (3D: surfaces) of the drawing."""
        return drawing.elements(drawing.simplex(self.dimension - 1), tags, self.number)

    def measure(self, tags: list[int]) -> float:
        """Length (3D: area) of some curves (surfaces)."""
        return float(facet_measures(self.nodes, self.on(tags)).sum())

    def with_rim(self) -> tuple[np.ndarray, np.ndarray]:
        """Nodes and cells, in the plane with a triangle on the outer side of each chord.

        Gmsh gives places outside the triangles of a field the size of the nearest node, however
        far it is. A convex arc is outside its chords: near a corner all of it would be as fine as
        that.
        """
        if self.dimension == 3:
            return self.nodes, self.cells
        count = len(self.nodes)
        curved = [curve for curve in drawing.entities(1) if not drawing.is_straight(curve)]
        on_arc = np.isin(row_keys(self.facets, count), row_keys(self.on(curved), count))
        chords = self.facets[on_arc]
        start, end = self.nodes[chords[:, 0]], self.nodes[chords[:, 1]]
        outwards = (end - start)[:, [1, 0, 2]] * [1, -1, 0]
        # As high as half the chord: it holds arcs of up to 90 degrees.
        tips = (start + end + outwards) / 2
        rim = np.column_stack([chords[:, ::-1], count + np.arange(len(chords))])
        return np.concatenate([self.nodes, tips]), np.concatenate([self.cells, rim])


def coarse_mesh(
    path: Path, dimension: int, largest: float, announce: Callable[[float], None]
) -> Coarse | None:
    """Mesh the open drawing coarsely; None if that is not possible: its reader says why.

    ``announce`` is called with the number of cells, if they are many by the drawing's own sizes.
    """
    along = _resolve_short_curves(_LEAST_EDGES[dimension])
    gmsh.option.setNumber("Mesh.MeshSizeMax", largest)
    _check(path, along, announce, dimension)
    drawing.generate(path, dimension)
    points, number = drawing.nodes()
    cells = drawing.elements(drawing.simplex(dimension), [-1], number)
    sides = np.ptp(points[np.unique(cells)], axis=0) if len(cells) else np.zeros(3)
    if not len(cells) or (dimension == 2 and sides[2] > 1e-9 * sides.max()):
        return None
    cells = positive(points, cells)
    if dimension == 2:
        corners = drawing.elements(drawing.simplex(0), drawing.entities(0), number).ravel()
        points, cells = _with_middles(points, cells, corners)
    # Facets in the order of their cells.
    cell, local = np.divmod(np.sort(outer_facets(cells, len(points))), dimension + 1)
    facets = np.take_along_axis(cells[cell], TURNED[dimension][local], axis=1)
    if not len(facets):
        text = "surfaces lie on top of each other, so that no edge is one of the conductor"
        raise GeometryError(f"{path}: {text}; draw each part once")
    first, *others = points[facets].transpose(1, 0, 2)
    u, v = others[0] - first, np.array([0.0, 0.0, 1.0]) if dimension == 2 else others[1] - first
    inward = -np.cross(u, v)
    normals = inward / np.linalg.norm(inward, axis=1, keepdims=True)
    return Coarse(nodes=points, number=number, cells=cells, facets=facets, normals=normals)


def _with_middles(
    points: np.ndarray, cells: np.ndarray, corners: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and triangles with a node in the middle of edges inside that join two corners.

    Sizes are linear on edges: across a mouth all would be as fine as at its corners.
    """
    pairs = np.sort(cells[:, FACETS[2]].reshape(-1, 2), axis=1)
    pairs = pairs[np.isin(pairs, corners).all(axis=1)]
    inside, count = np.unique(pairs, axis=0, return_counts=True)
    for a, b in inside[count == 2]:
        halved = (cells == a).any(axis=1) & (cells == b).any(axis=1)
        first, second = cells[halved].copy(), cells[halved].copy()
        first[first == a] = second[second == b] = len(points)
        points = np.concatenate([points, [(points[a] + points[b]) / 2]])
        cells = np.concatenate([cells[~halved], first, second])
    return points, cells


def _resolve_short_curves(edges: int) -> dict[int, list[float]]:
    """At least so many coarse edges on each curve: sizes at its ends, spread from there.

    A long curve between short ones would be as fine as they are all along, where their sizes
    need not reach its middle. Only such curves are graded, so that other meshes stay as they are,
    and only where the drawing gives no sizes of its own. Returns the sizes at the start, in the
    middle and at the end of each curve.
    """
    given = {p for p in drawing.entities(0) if gmsh.model.mesh.getSizes([(0, p)])[0] > 0}
    for curve in drawing.entities(1):
        length = drawing.curve_length(curve)
        for point in gmsh.model.getBoundary([(1, curve)], oriented=False):
            known = gmsh.model.mesh.getSizes([point])[0]
            size = min(length / edges, known if known > 0 else np.inf)
            gmsh.model.mesh.setSize([point], size)
    sizes = {curve: _sizes_along(curve, edges, given) for curve in drawing.entities(1)}
    if any(middle > max(start, end) for start, middle, end in sizes.values()):
        # Sizes at points would win.
        gmsh.option.setNumber("Mesh.MeshSizeFromPoints", 0)
        for curve, along in sizes.items():
            low, high = drawing.bounds(curve)
            at = [low, (low + high) / 2, high]
            gmsh.model.mesh.setSizeAtParametricPoints(1, curve, at, along)
    return sizes


def _sizes_along(curve: int, edges: int, given: set[int]) -> list[float]:
    """Coarse sizes at start, middle and end of a curve of the drawing."""
    tags = [tag for _, tag in gmsh.model.getBoundary([(1, curve)], combined=False)]
    wanted = drawing.curve_length(curve) / edges
    # The start has a minus sign.
    ends = [gmsh.model.mesh.getSizes([(0, abs(tag))])[0] or wanted for tag in sorted(tags)]
    start, end = ends if len(ends) == 2 else (wanted, wanted)
    middle = (start + end) / 2
    long = wanted * edges > _MANY_ON_CURVE * middle and given.isdisjoint(map(abs, tags))
    if long and drawing.is_straight(curve):  # a side of a strip, perhaps
        wanted = min(wanted, _COARSER * middle)
    return [start, wanted if long else middle, end]


def forget_coarse_sizes() -> None:
    """What was asked for along curves no longer holds."""
    gmsh.option.setNumber("Mesh.MeshSizeFromPoints", 0)
    for curve in drawing.entities(1):
        gmsh.model.mesh.setSizeAtParametricPoints(1, curve, [], [])


def _check(
    path: Path, along: Mapping[int, list[float]], announce: Callable[[float], None], dimension: int
) -> None:
    """Tell of a coarse mesh that would be large, by the sizes that the drawing itself asks for."""
    edges = sum(_edges(curve, sizes) for curve, sizes in along.items())
    if edges < _FEW_EDGES:
        return
    if edges > _MANY:
        # As many cells as if all edges bounded one square or cube.
        announce(PER_POWER[dimension] * (edges / 4) ** dimension)
        return
    drawing.generate(path, 1)
    points, number = drawing.nodes()
    ends = drawing.elements(drawing.simplex(1), [-1], number)
    gmsh.model.mesh.clear()
    length = np.linalg.norm(points[ends[:, 1]] - points[ends[:, 0]], axis=1)
    sizes = np.full(len(points), np.inf)
    np.minimum.at(sizes, ends.ravel(), np.repeat(length, 2))
    used = np.flatnonzero(np.isfinite(sizes) & (sizes > 0))
    # Points on a line take the square of their number in time; sizes are known to all of them.
    used = used[:: 1 + len(used) // _TRIANGULATED]
    from scipy.spatial import Delaunay, QhullError  # takes long to load

    try:
        simplices = Delaunay(points[used, :dimension]).simplices
    except (QhullError, ValueError):
        return  # too few points, or all in one plane
    # Gmsh interpolates in such a triangulation of the boundary.
    cells = cells_of_field(points[used], simplices, sizes[used])
    if cells > _MANY:
        announce(cells)


def _edges(curve: int, sizes: list[float]) -> float:
    """Edges that sizes at start, middle and end of a curve make on it."""
    largest, factor = (gmsh.option.getNumber(f"Mesh.MeshSize{k}") for k in ("Max", "Factor"))
    halves = np.minimum([sizes[:2], sizes[1:]], largest)
    return drawing.curve_length(curve) * float(mean_density(halves).mean()) / factor
