"""Cell sizes that follow the physics: layers at walls, channel widths, re-entrant corners.

Works on the drawing that is open in Gmsh, on one rank, in the unit of the file. A coarse mesh
carries the wanted sizes as a background field for the final one. Cells are isotropic, but for flat
ones in thin layers of the plane: Gmsh's along walls that are smooth from contact to contact, else
columns (:mod:`meso.geometry.columns`). In solids their number grows like the third power of the
resolution, so that what the program chooses itself stays within a budget; thin films are better
drawn with layers (``geometries/film.geo``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import gmsh
import numpy as np

from meso.errors import CaseError, GeometryError
from meso.geometry import drawing
from meso.geometry.coarse import Coarse, coarse_mesh, forget_coarse_sizes
from meso.geometry.coincident import check_coincident
from meso.geometry.columns import ALONG, THICKNESS, Columns, background, columns_of, fill
from meso.geometry.layers import PER_POWER, Layer, SizeField, Sizes, cells_of_field, cells_of_layer
from meso.geometry.scripts import blanked, read_text
from meso.geometry.shape import GROWTH, curvatures, graded, junctions, shape_sizes, turns
from meso.geometry.simplices import facet_measures, mean_density, measures

MAX_CELLS = 130_000  # in wall layers in the plane, unless the user asks for a size
MANY_CELLS = 7_800  # in isotropic wall layers: above that flat cells are used where possible
_IMPOSSIBLE = {2: 2e7, 3: 1e7}  # cells
_LAYER_SHARE = 0.5  # of the budget of a solid that layers at walls may always take
_CELLS = {2: "cells", 3: "tetrahedra"}
# Largest increase of the cell size with distance where a field varies over a radius of curvature.
_ROUND_GROWTH = 0.15
_FILM = ". Thin layers are affordable where the drawing has them, like geometries/film.geo"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wall:
    """Curves (3D: surfaces) with a layer, and how long (large) they are in the coarse mesh."""

    tags: list[int]
    layer: Layer
    measure: float

    def coarser(self, factor: float, *, wider: float = 0.0) -> _Wall:
        """With larger cells, and a reach that is at least so many of them."""
        size, reach = self.layer.lengths
        reach = max(reach, wider * factor * size)
        return replace(self, layer=replace(self.layer, size=factor * size, reach=reach))


def mesh_drawing(
    path: Path, sizes: Sizes, dimension: int, announce: Callable[[float], None]
) -> bool:
    """Mesh the open drawing with the wanted sizes, resolved.

    ``announce`` is called with the expected number of cells before it takes time to make them.
    Raises a GeometryError with Gmsh's own message, if it fails, and for sizes that lead to too many
    cells. Returns True if there are layers of flat cells.
    """
    sides = np.subtract(*drawing.bounding_box()[::-1])
    bulk = min(sizes.bulk or np.inf, sides.max() / 4)
    if sizes.bulk:
        volume = float(np.prod(sides[:dimension]))
        _refuse_many(path, sides, dimension, PER_POWER[dimension] * volume / bulk**dimension)
    if dimension == 2:
        check_coincident(path)
    elif _is_structured(path, 3):
        _mesh_layers(path, sizes.wanted, bulk, announce)
        return False
    largest = sides.max() / 12 if dimension == 3 else min(bulk, sides.max() / 12)
    coarse = coarse_mesh(path, dimension, largest, announce)
    if coarse is None:
        return False
    walls, interfaces = _walls(path, coarse, sizes)
    if not sizes.coarsen:
        _refuse_many(path, sides, dimension, _cells_in(walls, dimension))
    nodes, cells = coarse.with_rim()
    wanted, narrowest, between = shape_sizes(path, coarse, nodes, sizes)
    flat, columns, structured = None, None, dimension == 2 and _is_structured(path, 2)
    if dimension == 2:
        wanted = _round_enough(walls, nodes, wanted)
        # Layers of flat cells would cut those of structured surfaces; sizes leave them alone.
        if sizes.stretched and not interfaces and not structured:
            flat = _flat_layer(walls, sizes.degree, narrowest)
            columns = _columns(walls, sizes.degree, between) if flat is None else None
        if flat is not None or columns:
            wanted = _flat_enough(_by_curve(walls), nodes, wanted)
        if columns:
            at_corners = graded(nodes, columns.corners, columns.sizes, ALONG)
            wanted = np.minimum(wanted, at_corners)
        wanted = np.minimum(bulk, wanted)
    else:
        walls, wanted = _affordable(coarse, walls, wanted, bulk, sizes)
        # Curves are divided by integrals of 1/size; Gmsh's 1e-9 takes as long as all tetrahedra.
        gmsh.option.setNumber("Mesh.LcIntegrationPrecision", 1e-4)
    if columns:
        _mesh_columns(path, columns, coarse, (nodes, cells, wanted), bulk, announce)
        return True
    if flat is None and dimension == 2 and sizes.coarsen:
        factor = np.sqrt(_cells_in(walls, 2) / MAX_CELLS)
        walls = [wall.coarser(max(1.0, factor)) for wall in walls]
    fields = [] if flat is not None else _layer_fields(walls, dimension)
    if dimension == 2 or (wanted < bulk).any():  # half the time of Gmsh goes into looking it up
        fields.append(background(_view(nodes, cells, wanted)))
    count = _count(coarse, walls, wanted, sizes, flat)
    if sizes.wanted and len(sizes.wanted.triangles):
        height = np.full((len(sizes.wanted.points), 3 - dimension), nodes[0, 2])
        own = (np.hstack([sizes.wanted.points, height]), sizes.wanted.triangles)
        fields.append(background(_view(*own, sizes.wanted.sizes)))
        count += cells_of_field(*own, sizes.wanted.sizes)
    count = len(coarse.cells) if structured else count
    announce(count / gmsh.option.getNumber("Mesh.MeshSizeFactor") ** dimension)
    _mesh_with(path, fields, bulk, dimension)
    return flat is not None


def _mesh_layers(
    path: Path, wanted: SizeField | None, bulk: float, announce: Callable[[float], None]
) -> None:
    """Mesh volumes with cells as they are drawn; sizes only act on surfaces that are extruded."""
    if wanted and not _has_layers(path):
        text = (
            f"{path.name} has transfinite volumes, which Gmsh makes as they are drawn, whatever"
            " sizes a solution asks for; refine them by the parameters of the drawing (meso"
            " sweep), or draw it with Layers or free tetrahedra"
        )
        raise CaseError(("mesh.adapt", text))
    gmsh.option.setNumber("Mesh.MeshSizeMax", bulk)
    if wanted and len(wanted.triangles):
        field = background(_view(wanted.points, wanted.triangles, wanted.sizes))
        gmsh.model.mesh.field.setAsBackgroundMesh(field)
        gmsh.option.setNumber("Mesh.MeshSizeExtendFromBoundary", 0)
    drawing.generate(path, 2)
    announce(_layered_cells())
    drawing.generate(path, 3)


def _mesh_columns(
    path: Path,
    columns: Columns,
    coarse: Coarse,
    wanted: tuple[np.ndarray, np.ndarray, np.ndarray],
    bulk: float,
    announce: Callable[[float], None],
) -> None:
    """Mesh the curves, columns of flat cells on them, and what is between."""
    from scipy.spatial import cKDTree  # takes long to load

    inside = cells_of_field(coarse.nodes, coarse.cells, wanted[2])
    factor = gmsh.option.getNumber("Mesh.MeshSizeFactor")
    view, bends = _view(*wanted), _bends(columns.layers)
    nearest = {curve: (cKDTree(at), sizes) for curve, (at, sizes) in bends.items()}

    def size(d: int, curve: int, x: float, y: float, z: float, size: float) -> float:
        """Coarse cells have but few nodes on a curve, and sizes are linear between these."""
        if d != 1 or curve not in columns.layers:
            return size
        at = np.array([x, y, z])
        size = min(size, columns.along(curve, at))
        if curve in nearest:
            tree, sizes = nearest[curve]
            size = min(size, float(sizes[tree.query(at)[1]]))
        return size

    precision = gmsh.option.getNumber("Mesh.LcIntegrationPrecision")
    gmsh.option.setNumber("Mesh.LcIntegrationPrecision", 1e-4)  # it is asked for sizes less often
    gmsh.model.mesh.setSizeCallback(size)
    _mesh_with(path, [background(view)], bulk, 1)
    gmsh.model.mesh.removeSizeCallback()
    gmsh.option.setNumber("Mesh.LcIntegrationPrecision", precision)
    surfaces = [tag for tags in drawing.groups(path, 2).values() for tag in tags]
    fill(path, columns, surfaces, view, lambda flat: announce(flat + inside / factor**2))


def _mesh_with(path: Path, fields: list[int], bulk: float, dimension: int) -> None:
    """Mesh anew with the smallest of some fields, and of the size ``bulk``."""
    if fields:
        smallest = gmsh.model.mesh.field.add("Min")
        gmsh.model.mesh.field.setNumbers(smallest, "FieldsList", fields)
        gmsh.model.mesh.field.setAsBackgroundMesh(smallest)
    gmsh.option.setNumber("Mesh.MeshSizeMax", bulk)
    # The background field says it all: sizes of the boundary must not spread inwards.
    gmsh.option.setNumber("Mesh.MeshSizeExtendFromBoundary", 0)
    forget_coarse_sizes()
    gmsh.model.mesh.clear()
    drawing.generate(path, dimension)


def _is_structured(path: Path, dimension: int) -> bool:
    """True if a ``.geo`` script asks for transfinite surfaces (volumes) or, in 3D, for layers."""
    if path.suffix != ".geo":
        return False
    words = {2: r"\bTransfinite\s+Surface\b", 3: r"\bLayers\s*\{|\bTransfinite\s+Volume\b"}
    return bool(re.search(words[dimension], blanked(read_text(path))))


def _has_layers(path: Path) -> bool:
    return bool(re.search(r"\bLayers\s*\{", blanked(read_text(path))))


def _refuse_many(path: Path, sides: np.ndarray, dimension: int, cells: float) -> None:
    """Raise a GeometryError before a mesh that no machine could hold (a forgotten unit)."""
    if cells > _IMPOSSIBLE[dimension]:
        size = " by ".join(f"{x:.4g}" for x in sides[:dimension])
        raise GeometryError(
            f"{path}: mesh.size and mesh.wall_size lead to about {cells:.0e} {_CELLS[dimension]};"
            f" is geometry.length_unit right? In that unit the drawing is {size}"
            f"{_FILM if dimension == 3 else ''}"
        )


# -- walls -----------------------------------------------------------------------------------------


def _walls(path: Path, coarse: Coarse, sizes: Sizes) -> tuple[list[_Wall], bool]:
    """Where the layers are, and whether some lie between regions."""
    d = coarse.dimension
    found = [
        (tags, sizes.layers[name])
        for name, tags in drawing.groups(path, d - 1).items()
        if name in sizes.layers
    ]
    region = {tag: name for name, tags in drawing.groups(path, d).items() for tag in tags}
    beside = {t: gmsh.model.getAdjacencies(d - 1, t)[0] for t in drawing.entities(d - 1)}
    between = [t for t, parts in beside.items() if len({region.get(int(p)) for p in parts}) > 1]
    if sizes.interface and between:
        found.append((between, sizes.interface))
    walls = [_Wall(tags=tags, layer=x, measure=coarse.measure(tags)) for tags, x in found]
    return walls, bool(sizes.interface and between)


def _by_curve(walls: list[_Wall]) -> dict[int, Layer]:
    return {tag: wall.layer for wall in walls for tag in wall.tags}


def _cells_in(walls: list[_Wall], dimension: int, bulk: float = np.inf) -> float:
    """Number of isotropic cells in the layers, more than those of the size ``bulk``."""
    return sum(cells_of_layer(wall.layer, wall.measure, dimension, bulk=bulk) for wall in walls)


def _count(
    coarse: Coarse, walls: list[_Wall], wanted: np.ndarray, sizes: Sizes, flat: float | None
) -> float:
    """Expected number of cells, with so many layers of flat ones, if any."""
    inside = cells_of_field(coarse.nodes, coarse.cells, wanted)
    if coarse.dimension == 3:
        return inside + _cells_in(walls, 3, _mean_size(coarse, inside))
    for wall in walls:
        ends = coarse.on(wall.tags)
        length, local = facet_measures(coarse.nodes, ends), 1 / mean_density(wanted[ends])
        if flat is not None:
            inside += 2 * flat * float((length / local).sum())
            continue
        # The layer ends in the middle of the conductor at the latest.
        depth = sizes.across(2) * np.maximum(local, wall.layer.lengths[0]) / 2
        inside += cells_of_layer(wall.layer, length, 2, bulk=local, depth=depth)
    return inside


def _flat_layer(walls: list[_Wall], degree: int, narrowest: float) -> float | None:
    """Set up layers of flat cells, if isotropic ones would be many and the walls allow it.

    They need room, and walls that are smooth from contact to contact. Returns their number.
    """
    if _cells_in(walls, 2) <= MANY_CELLS or len({wall.layer for wall in walls}) != 1:
        return None  # Gmsh's layers must not touch each other
    layer, curves = walls[0].layer, {curve for wall in walls for curve in wall.tags}
    thickness = THICKNESS * layer.decay
    if not 0 < thickness < 0.4 * narrowest:
        return None
    ends = []
    for point, meeting in junctions().items():
        on_walls = [curve for curve, _ in meeting if curve in curves]
        if len(meeting) > 2 or (len(on_walls) == 2 and turns(meeting)):
            return None
        if len(on_walls) == 1 and len(meeting) == 2:
            if not all(drawing.is_straight(curve) for curve, _ in meeting if curve not in curves):
                return None  # Gmsh ends layers on straight lines alone
            ends.append(point)
    # Cells that grow by a fixed ratio resolve every longer length as well.
    thickness = max(thickness, min(THICKNESS * layer.longest, 0.39 * narrowest))
    size, ratio = layer.lengths[0], 1 + 0.035 * min(degree, 6)
    field = gmsh.model.mesh.field
    boundary = field.add("BoundaryLayer")
    field.setNumbers(boundary, "CurvesList", sorted(curves))
    field.setNumbers(boundary, "PointsList", ends)
    for key, value in (("Size", size), ("Ratio", ratio), ("Thickness", thickness)):
        field.setNumber(boundary, key, value)
    field.setAsBoundaryLayer(boundary)
    return float(np.log(1 + thickness * (ratio - 1) / size) / np.log(ratio))


def _columns(walls: list[_Wall], degree: int, narrowest: float) -> Columns | None:
    """Columns of flat cells between corners, if isotropic ones would be many and there is room."""
    thickest = max((wall.layer.decay for wall in walls), default=0.0)
    if _cells_in(walls, 2) <= MANY_CELLS or THICKNESS * thickest > 0.4 * narrowest:
        return None
    return columns_of(_by_curve(walls), degree)


def _round_enough(walls: list[_Wall], nodes: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Sizes near curved walls for what varies over the radius of curvature."""
    for wall in walls:
        for curve in wall.tags:
            if np.isfinite(wall.layer.turn) and not drawing.is_straight(curve):
                at, curvature = curvatures(curve)
                with np.errstate(divide="ignore"):
                    size = wall.layer.turn / curvature
                wanted = np.minimum(wanted, graded(nodes, at, size, _ROUND_GROWTH))
    return wanted


def _flat_enough(layers: Mapping[int, Layer], nodes: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Sizes along curves that keep the bend of flat cells small."""
    for at, size in _bends(layers).values():
        wanted = np.minimum(wanted, graded(nodes, at, size, GROWTH[2]))
    return wanted


def _bends(layers: Mapping[int, Layer]) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """Points of curved walls, and lengths of cells that bend by a sixteenth of their height."""
    out = {}
    for curve, layer in layers.items():
        if not drawing.is_straight(curve):
            at, curvature = curvatures(curve)
            with np.errstate(divide="ignore"):
                out[curve] = at, np.sqrt(0.5 * layer.lengths[0] / curvature)
    return out


# -- solids ----------------------------------------------------------------------------------------


def _mean_size(coarse: Coarse, cells: float) -> float:
    volume = float(measures(coarse.nodes, coarse.cells).sum() / 6)
    return (PER_POWER[3] * volume / cells) ** (1 / 3)


def _affordable(
    coarse: Coarse, walls: list[_Wall], wanted: np.ndarray, bulk: float, sizes: Sizes
) -> tuple[list[_Wall], np.ndarray]:
    """Coarser walls and sizes, where they would take more cells than there may be."""
    factor = 1.0
    while True:
        size = np.minimum(bulk, factor * wanted)
        inside = cells_of_field(coarse.nodes, coarse.cells, size)
        mean = _mean_size(coarse, inside)
        # Sizes that the user gives are kept, whatever they cost.
        few = inside <= (1 - _LAYER_SHARE) * sizes.budget or not (factor * wanted < bulk).any()
        if few or inside + _cells_in(walls, 3, mean) <= sizes.budget:
            break
        factor *= 1.05
    room = max(_LAYER_SHARE * sizes.budget, sizes.budget - inside)
    trial, factor = walls, 1.0
    while sizes.coarsen and _cells_in(trial, 3, mean) > room:
        factor *= 1.05
        # With coarser cells the reach grows too, so that neighbours differ moderately.
        trial = [wall.coarser(factor, wider=1 / GROWTH[3]) for wall in walls]
    return trial, size


def _layered_cells() -> float:
    """Number of tetrahedra in volumes that are cut in layers, once their surfaces are meshed."""
    cells = 0.0
    for volume in drawing.entities(3):
        surfaces = [t for _, t in gmsh.model.getBoundary([(3, volume)], oriented=False)]
        triangles = {s: len(gmsh.model.mesh.getElementsByType(2, s)[0]) for s in surfaces}
        base = max(surfaces, key=triangles.__getitem__)
        corners = set(gmsh.model.getBoundary([(2, base)], oriented=False, recursive=True))
        around = gmsh.model.getBoundary([(2, s) for s in surfaces], False, False)
        # Curves that leave the base have as many edges as there are layers above it.
        leaving = [
            len(gmsh.model.mesh.getElementsByType(1, curve)[0])
            for _, curve in around
            if len(corners & set(gmsh.model.getBoundary([(1, curve)], oriented=False))) == 1
        ]
        cells += 3 * triangles[base] * max(leaving, default=1)
    return cells


# -- Gmsh's fields ---------------------------------------------------------------------------------


def _view(nodes: np.ndarray, cells: np.ndarray, wanted: np.ndarray) -> int:
    """View of sizes at the nodes (n, 3), linear in the cells."""
    view = gmsh.view.add("size")
    corners = nodes[cells].transpose(0, 2, 1).reshape(len(cells), -1)
    data = np.concatenate([corners, wanted[cells]], axis=1)
    gmsh.view.addListData(view, {3: "ST", 4: "SS"}[cells.shape[1]], len(cells), data.ravel())
    return int(view)


def _layer_fields(walls: list[_Wall], dimension: int) -> list[int]:
    """Fields of layers of isotropic cells."""
    field, out = gmsh.model.mesh.field, []
    for wall in walls:
        size, reach = wall.layer.lengths
        if dimension == 2:  # each curve with points of its own
            parts = [([tag], 2 * drawing.curve_length(tag) / size) for tag in wall.tags]
        else:
            parts = [(wall.tags, 2 * np.sqrt(wall.measure) / size)]
        for tags, points in parts:
            distance, law = field.add("Distance"), field.add("MathEval")
            key, most = {2: ("CurvesList", 50_000), 3: ("SurfacesList", 150)}[dimension]
            field.setNumbers(distance, key, tags)
            field.setNumber(distance, "Sampling", int(np.clip(points, 20, most)))
            field.setString(law, "F", f"{size:.12g}*(1+F{distance}/{3 * reach:.12g})^3")
            out.append(law)
    return out
