"""Cell sizes of solids: thickness, curvature, re-entrant edges, layers at walls, and a budget.

Works on the drawing that is open in Gmsh, on one rank, in the unit of the file. As in the plane, a
coarse mesh carries the wanted sizes as a background field for the final one. Cells are isotropic
and their number grows like the third power of the resolution, so that what the program chooses
itself stays within a budget; thin films are better drawn with layers (``geometries/film.geo``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import basix
import gmsh
import numpy as np
from scipy.spatial import cKDTree

from meso.errors import GeometryError
from meso.geometry.drawing import generate, groups
from meso.geometry.estimating import check_coarse, layered_cells, size_factor
from meso.geometry.extraction import is_seam
from meso.geometry.grading import forget_coarse_sizes, graded, resolve_short_curves
from meso.geometry.layers import Layer, Sizes
from meso.geometry.planar import measures, positive, row_keys

IMPOSSIBLE = 1e7  # cells
GROWTH = 0.4  # largest increase of the cell size with distance
# The same between two walls that face each other, so that the middle has small cells too.
_GROWTH_ACROSS = 0.1
# Gmsh's tetrahedra of size h: so many in a volume h^3.
CELLS_PER_CUBE = 5.0
ANGLE_PER_CELL = 0.5  # radians of a curved surface per cell, of degree 2
# Smallest cell at a sharp re-entrant edge over the size around it. Isotropic cells along an edge
# cost the inverse of their size: what 2D affords, a millionth of the width, is out of reach.
EDGE_SIZE = 0.25
_CELLS_PER_WIDTH = {1: 10.0, 2: 6.0}
_LAYER_SHARE = 0.5  # of the budget that layers at walls may always take
_SAMPLES = 1500
_INTERFACE = "\0interface"  # no name that a drawing could have


@dataclass(frozen=True, slots=True, kw_only=True)
class _Coarse:
    """The coarse mesh: nodes, cells, boundary triangles with their inward normals."""

    nodes: np.ndarray
    cells: np.ndarray
    triangles: np.ndarray
    normals: np.ndarray
    number: np.ndarray  # of a node by its tag

    @property
    def centres(self) -> np.ndarray:
        return self.nodes[self.triangles].mean(axis=1)


def mesh_solid(
    path: Path, sizes: Sizes, announce: Callable[[float], None] = lambda cells: None
) -> None:
    """Cut the open drawing into tetrahedra of the wanted sizes.

    Args:
        path: The drawing, for messages.
        sizes: Wanted cell sizes, resolved.
        announce: Called with the expected number of cells before it takes time to make them.

    Raises:
        GeometryError: Gmsh's own message, if it fails; sizes that lead to too many cells.
    """
    low, high = np.array(gmsh.model.getBoundingBox(-1, -1)).reshape(2, 3)
    extent = float((high - low).max())
    surfaces = {name: tags for name, tags in groups(path, 2).items() if name in sizes.layers}
    if sizes.interface and (between := _interfaces(path)):
        surfaces[_INTERFACE] = between
        sizes = replace(sizes, layers={**sizes.layers, _INTERFACE: sizes.interface})
    _check_bulk(path, sizes, high - low)
    if is_structured(path):
        # Its own layers and points say what they want; fields would not act on the layers.
        gmsh.option.setNumber("Mesh.MeshSizeMax", min(sizes.bulk or np.inf, extent / 4))
        generate(path, 2)
        announce(layered_cells())
        generate(path, 3)
        return
    along = resolve_short_curves(2)
    gmsh.option.setNumber("Mesh.MeshSizeMax", extent / 12)
    check_coarse(path, along, announce, 3)
    generate(path, 3)
    if not len(gmsh.model.mesh.getElementsByType(4)[0]):
        return  # a drawing without tetrahedra: its reader says what is wrong
    coarse = _coarse_mesh()
    areas = {name: _area(coarse, tags) for name, tags in surfaces.items()}
    bulk = min(sizes.bulk or np.inf, extent / 4)
    wanted = _wanted(coarse, sizes)
    layers = {name: sizes.layers[name] for name in surfaces}
    _check_layers(path, sizes, layers, areas)
    wanted, layers, cells = _affordable(coarse, wanted, bulk, sizes, layers, areas)
    announce(cells * size_factor(3))
    fields = _layer_fields(surfaces, layers, areas)
    if (wanted < bulk).any():  # half the time of Gmsh goes into looking it up
        fields.append(_background(coarse, wanted))
    if fields:
        field = gmsh.model.mesh.field
        smallest = field.add("Min")
        field.setNumbers(smallest, "FieldsList", fields)
        field.setAsBackgroundMesh(smallest)
    gmsh.option.setNumber("Mesh.MeshSizeMax", bulk)
    # The background field says it all: sizes of the boundary must not spread inwards.
    gmsh.option.setNumber("Mesh.MeshSizeExtendFromBoundary", 0)
    forget_coarse_sizes()
    # Curves are divided by integrals of 1/size; Gmsh's 1e-9 takes as long as all the tetrahedra.
    gmsh.option.setNumber("Mesh.LcIntegrationPrecision", 1e-4)
    gmsh.model.mesh.clear()
    generate(path, 3)


def is_structured(path: Path, dimension: int = 3) -> bool:
    """True if a ``.geo`` script asks for transfinite surfaces (volumes) or, in 3D, for layers."""
    if path.suffix != ".geo":
        return False
    text = re.sub(r"//.*|(?s:/\*.*?\*/)", "", path.read_text(errors="replace"))
    words = {2: r"\bTransfinite\s+Surface\b", 3: r"\bLayers\s*\{|\bTransfinite\s+Volume\b"}
    return bool(re.search(words[dimension], text))


def _check_bulk(path: Path, sizes: Sizes, sides: np.ndarray) -> None:
    """Raise a GeometryError before a mesh that no machine could hold (a forgotten unit)."""
    if sizes.bulk:
        _refuse_many(path, CELLS_PER_CUBE * float(np.prod(sides)) / sizes.bulk**3)


def _check_layers(
    path: Path, sizes: Sizes, layers: Mapping[str, Layer], areas: Mapping[str, float]
) -> None:
    if not sizes.coarsen:
        _refuse_many(path, sum(_cells_in_layer(layers[n], areas[n]) for n in layers))


def _refuse_many(path: Path, cells: float) -> None:
    if cells > IMPOSSIBLE:
        sides = np.ptp(np.array(gmsh.model.getBoundingBox(-1, -1)).reshape(2, 3), axis=0)
        size = " by ".join(f"{x:.4g}" for x in sides)
        raise GeometryError(
            f"{path}: mesh.size and mesh.wall_size lead to about {cells:.0e} tetrahedra; is"
            f" geometry.length_unit right? In that unit the drawing is {size}. Thin layers are"
            " affordable where the drawing has them, like geometries/film.geo"
        )


def _interfaces(path: Path) -> list[int]:
    """Surfaces between volumes of different regions."""
    region = {volume: name for name, tags in groups(path, 3).items() for volume in tags}
    out = []
    for _, surface in gmsh.model.getEntities(2):
        sides = {region.get(int(v)) for v in gmsh.model.getAdjacencies(2, surface)[0]}
        if len(sides) > 1:
            out.append(surface)
    return out


# -- the coarse mesh -------------------------------------------------------------------------------


def _coarse_mesh() -> _Coarse:
    tags, xyz, _ = gmsh.model.mesh.getNodes()
    nodes = xyz.reshape(-1, 3)
    number = np.zeros(int(tags.max()) + 1, dtype=np.int64)
    number[tags.astype(np.int64)] = np.arange(len(tags))
    cells = number[gmsh.model.mesh.getElementsByType(4)[1].astype(np.int64)].reshape(-1, 4)
    cells = positive(nodes, cells)
    # Faces of a positive tetrahedron whose normal, by the right-hand rule, points inwards.
    faces = cells[:, [[1, 2, 3], [0, 3, 2], [0, 1, 3], [0, 2, 1]]].reshape(-1, 3)
    _, first, times = np.unique(row_keys(faces, len(nodes)), return_index=True, return_counts=True)
    triangles = faces[np.sort(first[times == 1])]
    a, b, c = (nodes[triangles[:, i]] for i in range(3))
    normals = np.cross(b - a, c - a)
    inside = nodes[cells].mean(axis=1)[np.sort(first[times == 1]) // 4] - a
    normals *= np.sign((normals * inside).sum(axis=1))[:, None]
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    return _Coarse(nodes=nodes, cells=cells, triangles=triangles, normals=normals, number=number)


def _area(coarse: _Coarse, surfaces: list[int]) -> float:
    parts = [gmsh.model.mesh.getElementsByType(2, s)[1].astype(np.int64) for s in surfaces]
    x = coarse.nodes[coarse.number[np.concatenate(parts)].reshape(-1, 3)]
    normal = np.cross(x[:, 1] - x[:, 0], x[:, 2] - x[:, 0])
    return float(np.linalg.norm(normal, axis=1).sum() / 2)


# -- what the shape wants --------------------------------------------------------------------------


def _wanted(coarse: _Coarse, sizes: Sizes) -> np.ndarray:
    """Size at each coarse node that the shape of the device wants."""
    step = -(-len(coarse.triangles) // _SAMPLES)
    points, normals = coarse.centres[::step], coarse.normals[::step]
    width = thickness(points, normals, coarse.nodes[coarse.triangles], coarse.normals)
    across = width / _CELLS_PER_WIDTH.get(sizes.degree, 4.0)
    wanted = graded(coarse.nodes, points, across, _GROWTH_ACROSS)
    for surface in (t for _, t in gmsh.model.getEntities(2)):
        at, curvature = _curvature(surface)
        with np.errstate(divide="ignore"):
            size = np.where(curvature > 0, ANGLE_PER_CELL / curvature, np.inf)
        wanted = np.minimum(wanted, graded(coarse.nodes, at, size, GROWTH))
    sharp = _reentrant_edges(coarse)
    known = np.isfinite(across)
    if len(sharp) and known.any():
        at = coarse.nodes[np.unique(sharp)]
        _, near = cKDTree(points[known]).query(at)
        size = EDGE_SIZE * across[known][near]
        wanted = np.minimum(wanted, graded(coarse.nodes, at, size, GROWTH))
    return wanted


def thickness(
    points: np.ndarray, normals: np.ndarray, triangles: np.ndarray, facing: np.ndarray
) -> np.ndarray:
    """Distance from points of the boundary, along the inward normal, to the opposite wall.

    Args:
        points: Points of the boundary, shape (n, 3).
        normals: Inward unit normals there, shape (n, 3).
        triangles: Corners of triangles that make up the boundary, shape (m, 3, 3).
        facing: Their inward unit normals, shape (m, 3).

    Returns:
        Distances, shape (n,); infinite where the opposite wall does not face the point.
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


def _curvature(surface: int) -> tuple[np.ndarray, np.ndarray]:
    """Coarse nodes on a surface and the larger of its principal curvatures there."""
    if gmsh.model.getType(2, surface) in ("Plane", "Discrete surface"):
        return np.empty((0, 3)), np.empty(0)
    _, xyz, parameters = gmsh.model.mesh.getNodes(2, surface, True, True)
    largest, smallest, _, _ = gmsh.model.getPrincipalCurvatures(surface, parameters)
    curvature = np.maximum(np.abs(largest), np.abs(smallest))
    # Poles of a sphere, say, have no curvature in the parameters of the drawing.
    return xyz.reshape(-1, 3), np.where(np.isfinite(curvature), curvature, 0.0)


def _reentrant_edges(coarse: _Coarse) -> np.ndarray:
    """Coarse edges on curves of the drawing where the inner angle exceeds 200 degrees."""
    parts = [
        gmsh.model.mesh.getElementsByType(1, curve)[1].astype(np.int64)
        for _, curve in gmsh.model.getEntities(1)
        if not is_seam(curve)
    ]
    if not parts:
        return np.empty((0, 2), np.int64)
    count = len(coarse.nodes)
    drawn = coarse.number[np.concatenate(parts)].reshape(-1, 2)
    sides = coarse.triangles[:, [[1, 2], [0, 2], [0, 1]]].reshape(-1, 2)
    keys = row_keys(sides, count)
    order = np.argsort(keys, kind="stable")
    unique, first, times = np.unique(keys[order], return_index=True, return_counts=True)
    two = times == 2
    one, other = order[first[two]] // 3, order[first[two] + 1] // 3
    apart = coarse.centres[other] - coarse.centres[one]
    away = -(coarse.normals[one] * apart).sum(axis=1) > 0
    turned = (coarse.normals[one] * coarse.normals[other]).sum(axis=1) < np.cos(np.deg2rad(20.0))
    found = away & turned & np.isin(unique[two], row_keys(drawn, count))
    return sides[order[first[two]][found]]


# -- what is affordable ----------------------------------------------------------------------------


def _cells_in_layer(layer: Layer, area: float, bulk: float = np.inf) -> float:
    """Cells of size(z) = s (1 + z/(3 r))^3 over a wall, more than those of the size ``bulk``."""
    size, reach = layer.lengths
    ratio = bulk / size
    if ratio <= 1:
        return 0.0
    # The integral of A/size^3 - A/bulk^3 up to where the size is that of the bulk.
    grown = 3 * reach * (1 - ratio ** (-8 / 3)) / (8 * size**3)
    instead = 3 * reach * (ratio ** (1 / 3) - 1) / bulk**3 if np.isfinite(ratio) else 0.0
    return CELLS_PER_CUBE * area * (grown - instead)


def _count(coarse: _Coarse, size: np.ndarray) -> float:
    """Cells that a field of sizes at the coarse nodes makes."""
    points, weights = basix.make_quadrature(basix.CellType.tetrahedron, 5)
    shape = np.column_stack([1 - points.sum(axis=1), points])
    at = size[coarse.cells] @ shape.T
    density = (at**-3) @ weights
    return CELLS_PER_CUBE * float(measures(coarse.nodes, coarse.cells) @ density)


def _affordable(
    coarse: _Coarse,
    wanted: np.ndarray,
    bulk: float,
    sizes: Sizes,
    layers: dict[str, Layer],
    areas: dict[str, float],
) -> tuple[np.ndarray, dict[str, Layer], float]:
    """Coarser sizes and layers, where they would take more cells than there may be.

    Returns:
        Sizes, layers and the number of cells.
    """

    def total(layers: Mapping[str, Layer], size: np.ndarray) -> tuple[float, float]:
        here = _count(coarse, size)
        mean = (CELLS_PER_CUBE * volume / here) ** (1 / 3)
        return here, sum(_cells_in_layer(layers[n], areas[n], mean) for n in layers)

    volume = float(measures(coarse.nodes, coarse.cells).sum() / 6)
    size, factor = np.minimum(bulk, wanted), 1.0
    # Sizes that the user gives are kept, whatever they cost.
    while total({}, size)[0] > (1 - _LAYER_SHARE) * sizes.budget and (factor * wanted < bulk).any():
        if sum(total(layers, size)) <= sizes.budget:
            break
        factor *= 1.05
        size = np.minimum(bulk, factor * wanted)
    if not sizes.coarsen:
        return size, layers, sum(total(layers, size))
    in_bulk, _ = total({}, size)
    room = max(_LAYER_SHARE * sizes.budget, sizes.budget - in_bulk)
    trial, factor = layers, 1.0
    while total(trial, size)[1] > room:
        factor *= 1.05
        # With coarser cells the reach grows too, so that neighbours differ moderately.
        trial = {name: _coarser(layer, factor) for name, layer in layers.items()}
    return size, trial, sum(total(trial, size))


def _coarser(layer: Layer, factor: float) -> Layer:
    smallest, reach = layer.lengths
    size = factor * smallest
    return replace(layer, size=size, reach=max(reach, size / GROWTH))


# -- Gmsh's fields ---------------------------------------------------------------------------------


def _background(coarse: _Coarse, wanted: np.ndarray) -> int:
    """Field of the sizes at the coarse nodes."""
    view = gmsh.view.add("size")
    corners = coarse.nodes[coarse.cells].transpose(0, 2, 1).reshape(-1, 12)
    data = np.concatenate([corners, wanted[coarse.cells]], axis=1)
    gmsh.view.addListData(view, "SS", len(coarse.cells), data.ravel())
    field = gmsh.model.mesh.field
    background = field.add("PostView")
    field.setNumber(background, "ViewTag", view)
    return background


def _layer_fields(
    surfaces: Mapping[str, list[int]], layers: Mapping[str, Layer], areas: Mapping[str, float]
) -> list[int]:
    out = []
    field = gmsh.model.mesh.field
    for name, tags in surfaces.items():
        size, reach = layers[name].lengths
        distance = field.add("Distance")
        field.setNumbers(distance, "SurfacesList", tags)
        samples = np.clip(2 * np.sqrt(areas[name]) / size, 20, 150)
        field.setNumber(distance, "Sampling", int(samples))
        law = field.add("MathEval")
        field.setString(law, "F", f"{size:.12g}*(1+F{distance}/{3 * reach:.12g})^3")
        out.append(law)
    return out
