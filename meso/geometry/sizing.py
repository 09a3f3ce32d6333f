"""Cell sizes that follow the physics: layers at walls, channel widths, re-entrant corners.

Works on the drawing that is open in Gmsh, on one rank, in the unit of the file. A coarse mesh
carries the wanted sizes as a background field for the final one. Cells are isotropic, but for flat
ones in thin layers of the plane. In solids their number grows like the third power of the
resolution, so that what the program chooses itself stays within a budget; thin films are better
drawn with layers (``geometries/film.geo``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import gmsh
import numpy as np

from meso.errors import GeometryError
from meso.geometry.coarse import Coarse, coarse_mesh, forget_coarse_sizes
from meso.geometry.coincident import check_coincident
from meso.geometry.drawing import (
    bounding_box,
    curve_length,
    entities,
    generate,
    groups,
    is_straight,
    without_comments,
)
from meso.geometry.estimating import (
    PER_POWER,
    cells_of_field,
    cells_of_layer,
    layered_cells,
    size_factor,
)
from meso.geometry.layers import Layer, Sizes
from meso.geometry.shape import GROWTH, curvatures, graded, junctions, shape_sizes, turns
from meso.geometry.simplices import CELLS, facet_measures, mean_density, measures

MAX_CELLS = 130_000  # in wall layers in the plane, unless the user asks for a size
MANY_CELLS = 7_800  # in isotropic wall layers: above that flat cells are used where possible
_THICKNESS = 15.0  # of a layer of flat cells, in its decay length: the vorticity falls to 3e-7
_IMPOSSIBLE = {2: 2e7, 3: 1e7}  # cells
_LAYER_SHARE = 0.5  # of the budget of a solid that layers at walls may always take
_INTERFACE = "\0interface"  # no name that a drawing could have

Walls = Mapping[str, list[int]]
Layers = Mapping[str, Layer]


def mesh_drawing(
    path: Path, sizes: Sizes, dimension: int, announce: Callable[[float], None] = lambda cells: None
) -> bool:
    """Mesh the open drawing with the wanted sizes, resolved.

    Args:
        path: The drawing, for messages.
        sizes: Wanted cell sizes.
        dimension: 2 or 3.
        announce: Called with the expected number of cells before it takes time to make them.

    Returns:
        True if there are layers of flat cells.

    Raises:
        GeometryError: Gmsh's own message, if it fails; sizes that lead to too many cells.
    """
    low, high = bounding_box()
    extent = float((high - low).max())
    bulk = min(sizes.bulk or np.inf, extent / 4)
    if sizes.bulk:
        volume = float(np.prod((high - low)[:dimension]))
        _refuse_many(path, dimension, PER_POWER[dimension] * volume / sizes.bulk**dimension)
    if dimension == 2:
        check_coincident(path)
    elif is_structured(path, 3):
        # Its own layers and points say what they want; fields would not act on the layers.
        gmsh.option.setNumber("Mesh.MeshSizeMax", bulk)
        generate(path, 2)
        announce(layered_cells())
        generate(path, 3)
        return False
    largest = min(sizes.bulk or np.inf, extent / 12) if dimension == 2 else extent / 12
    coarse = coarse_mesh(path, dimension, largest, announce)
    if coarse is None:
        return False
    walls = {n: tags for n, tags in groups(path, dimension - 1).items() if n in sizes.layers}
    layers = {name: sizes.layers[name] for name in walls}
    if sizes.interface and (between := _interfaces(path, dimension)):
        walls[_INTERFACE], layers[_INTERFACE] = between, sizes.interface
    if not sizes.coarsen:
        _refuse_many(path, dimension, sum(_cells_in(coarse, walls, layers).values()))
    make = _plane_fields if dimension == 2 else _solid_fields
    fields, cells, flat = make(path, coarse, sizes, walls, layers, bulk)
    announce(cells * size_factor(dimension))
    if fields:
        smallest = gmsh.model.mesh.field.add("Min")
        gmsh.model.mesh.field.setNumbers(smallest, "FieldsList", fields)
        gmsh.model.mesh.field.setAsBackgroundMesh(smallest)
    gmsh.option.setNumber("Mesh.MeshSizeMax", bulk)
    # The background field says it all: sizes of the boundary must not spread inwards.
    gmsh.option.setNumber("Mesh.MeshSizeExtendFromBoundary", 0)
    forget_coarse_sizes()
    gmsh.model.mesh.clear()
    generate(path, dimension)
    return flat


def is_structured(path: Path, dimension: int) -> bool:
    """True if a ``.geo`` script asks for transfinite surfaces (volumes) or, in 3D, for layers."""
    if path.suffix != ".geo":
        return False
    text = without_comments(path.read_text(errors="replace"))
    words = {2: r"\bTransfinite\s+Surface\b", 3: r"\bLayers\s*\{|\bTransfinite\s+Volume\b"}
    return bool(re.search(words[dimension], text))


def _refuse_many(path: Path, dimension: int, cells: float) -> None:
    """Raise a GeometryError before a mesh that no machine could hold (a forgotten unit)."""
    if cells > _IMPOSSIBLE[dimension]:
        low, high = bounding_box()
        size = " by ".join(f"{x:.4g}" for x in (high - low)[:dimension])
        thin = (
            ". Thin layers are affordable where the drawing has them, like geometries/film.geo"
            if dimension == 3
            else ""
        )
        raise GeometryError(
            f"{path}: mesh.size and mesh.wall_size lead to about {cells:.0e}"
            f" {CELLS[3] if dimension == 3 else 'cells'}; is geometry.length_unit right? In that"
            f" unit the drawing is {size}{thin}"
        )


def _interfaces(path: Path, dimension: int) -> list[int]:
    """Curves (surfaces) between surfaces (volumes) of different regions."""
    region = {tag: name for name, tags in groups(path, dimension).items() for tag in tags}
    out = []
    for tag in entities(dimension - 1):
        beside = gmsh.model.getAdjacencies(dimension - 1, tag)[0]
        if len({region.get(int(part)) for part in beside}) > 1:
            out.append(tag)
    return out


def _cells_in(coarse: Coarse, walls: Walls, layers: Layers) -> dict[str, float]:
    """Number of isotropic cells in each layer."""
    d = coarse.dimension
    return {n: cells_of_layer(layers[n], coarse.measure(walls[n]), d) for n in walls}


# -- the plane -------------------------------------------------------------------------------------

Fields = tuple[list[int], float, bool]  # of Gmsh; the number of cells; whether some are flat


def _plane_fields(
    path: Path, coarse: Coarse, sizes: Sizes, walls: Walls, layers: Layers, bulk: float
) -> Fields:
    nodes, cells = coarse.with_rim()
    shape, narrowest = shape_sizes(path, coarse, nodes, sizes)
    wanted = np.minimum(bulk, shape)
    flat = _flat_layer(coarse, sizes, walls, layers, narrowest) if sizes.stretched else None
    if flat is not None:
        wanted = np.minimum(wanted, _flat_enough(walls, layers, nodes))
    fields = [_background(nodes, cells, wanted)]
    count = cells_of_field(coarse.nodes, coarse.cells, wanted)
    if sizes.wanted and len(sizes.wanted.triangles):
        height = np.full(len(sizes.wanted.points), nodes[0, 2])
        own = (np.column_stack([sizes.wanted.points, height]), sizes.wanted.triangles)
        fields.append(_background(*own, sizes.wanted.sizes))
        count += cells_of_field(*own, sizes.wanted.sizes)
    if flat is not None:
        ends = coarse.on(sorted({curve for tags in walls.values() for curve in tags}))
        count += 2 * flat * float(facet_measures(nodes, ends) @ mean_density(wanted[ends]))
    else:
        many = sum(_cells_in(coarse, walls, layers).values()) if sizes.coarsen else 0.0
        coarser = max(1.0, float(np.sqrt(many / MAX_CELLS)))
        layers = {n: replace(x, size=coarser * x.lengths[0]) for n, x in layers.items()}
        fields += _layer_fields(coarse, walls, layers)
        for name, tags in walls.items():
            ends = coarse.on(tags)
            local = 1 / mean_density(wanted[ends])
            # The layer ends in the middle of the conductor at the latest.
            depth = sizes.across(2) * np.maximum(local, layers[name].lengths[0]) / 2
            length = facet_measures(nodes, ends)
            count += cells_of_layer(layers[name], length, 2, bulk=local, depth=depth)
    if is_structured(path, 2):
        count = len(coarse.cells)  # they stay what they are
    return fields, count, flat is not None


def _flat_layer(
    coarse: Coarse, sizes: Sizes, walls: Walls, layers: Layers, narrowest: float
) -> float | None:
    """Set up layers of flat cells, if isotropic ones would be many and the walls allow it.

    They need room, and walls that are smooth from contact to contact. Returns their number.
    """
    curves = {curve for tags in walls.values() for curve in tags}
    many = sum(_cells_in(coarse, walls, layers).values()) > MANY_CELLS
    thickness = max((_THICKNESS * layer.decay for layer in sizes.layers.values()), default=0.0)
    alike = len(set(sizes.layers.values())) == 1  # Gmsh's layers must not touch each other
    roomy = 0 < thickness < 0.4 * narrowest
    if not many or not alike or _INTERFACE in walls or not roomy:
        return None
    ends = []
    for point, meeting in junctions().items():
        on_walls = [curve for curve, _ in meeting if curve in curves]
        if len(meeting) > 2 or (len(on_walls) == 2 and turns(meeting)):
            return None
        if len(on_walls) == 1 and len(meeting) == 2:
            ends.append(point)
    layer = next(iter(sizes.layers.values()))
    # Cells that grow by a fixed ratio resolve every longer length as well.
    thickness = max(thickness, min(_THICKNESS * layer.longest, 0.39 * narrowest))
    size, ratio = layer.lengths[0], 1 + 0.035 * min(sizes.degree, 6)
    field = gmsh.model.mesh.field
    boundary = field.add("BoundaryLayer")
    field.setNumbers(boundary, "CurvesList", sorted(curves))
    field.setNumbers(boundary, "PointsList", ends)
    field.setNumber(boundary, "Size", size)
    field.setNumber(boundary, "Ratio", ratio)
    field.setNumber(boundary, "Thickness", thickness)
    field.setAsBoundaryLayer(boundary)
    return float(np.log(1 + thickness * (ratio - 1) / size) / np.log(ratio))


def _flat_enough(walls: Walls, layers: Layers, nodes: np.ndarray) -> np.ndarray:
    """Sizes along curved walls that keep the bend of a cell below a sixteenth of its height."""
    out = np.full(len(nodes), np.inf)
    for name, tags in walls.items():
        for curve in tags:
            if not is_straight(curve):
                at, curvature = curvatures(curve)
                with np.errstate(divide="ignore"):
                    size = np.sqrt(0.5 * layers[name].lengths[0] / curvature)
                out = np.minimum(out, graded(nodes, at, size, GROWTH[2]))
    return out


# -- solids ----------------------------------------------------------------------------------------


def _solid_fields(
    path: Path, coarse: Coarse, sizes: Sizes, walls: Walls, layers: Layers, bulk: float
) -> Fields:
    wanted, _ = shape_sizes(path, coarse, coarse.nodes, sizes)
    wanted, layers, cells = _affordable(coarse, wanted, bulk, sizes, walls, layers)
    fields = _layer_fields(coarse, walls, layers)
    if (wanted < bulk).any():  # half the time of Gmsh goes into looking it up
        fields.append(_background(coarse.nodes, coarse.cells, wanted))
    # Curves are divided by integrals of 1/size; Gmsh's 1e-9 takes as long as all the tetrahedra.
    gmsh.option.setNumber("Mesh.LcIntegrationPrecision", 1e-4)
    return fields, cells, False


def _affordable(
    coarse: Coarse, wanted: np.ndarray, bulk: float, sizes: Sizes, walls: Walls, layers: Layers
) -> tuple[np.ndarray, Layers, float]:
    """Coarser sizes and layers, where they would take more cells than there may be.

    Returns:
        Sizes, layers and the number of cells.
    """
    volume = float(measures(coarse.nodes, coarse.cells).sum() / 6)
    areas = {name: coarse.measure(tags) for name, tags in walls.items()}

    def count(size: np.ndarray, layers: Layers) -> tuple[float, float]:
        inside = cells_of_field(coarse.nodes, coarse.cells, size)
        mean = (PER_POWER[3] * volume / inside) ** (1 / 3)
        return inside, sum(cells_of_layer(layers[n], areas[n], 3, bulk=mean) for n in walls)

    size, factor = np.minimum(bulk, wanted), 1.0
    inside, thin = count(size, layers)
    # Sizes that the user gives are kept, whatever they cost.
    while inside > (1 - _LAYER_SHARE) * sizes.budget and (factor * wanted < bulk).any():
        if inside + thin <= sizes.budget:
            break
        factor *= 1.05
        size = np.minimum(bulk, factor * wanted)
        inside, thin = count(size, layers)
    room = max(_LAYER_SHARE * sizes.budget, sizes.budget - inside)
    trial, factor = layers, 1.0
    while sizes.coarsen and thin > room:
        factor *= 1.05
        trial = {name: _coarser(layer, factor) for name, layer in layers.items()}
        thin = count(size, trial)[1]
    return size, trial, inside + thin


def _coarser(layer: Layer, factor: float) -> Layer:
    """With coarser cells the reach grows too, so that neighbours differ moderately."""
    smallest, reach = layer.lengths
    return replace(layer, size=factor * smallest, reach=max(reach, factor * smallest / GROWTH[3]))


# -- Gmsh's fields ---------------------------------------------------------------------------------


def _background(nodes: np.ndarray, cells: np.ndarray, wanted: np.ndarray) -> int:
    """Field of sizes at the nodes (n, 3), linear in the cells."""
    view = gmsh.view.add("size")
    corners = nodes[cells].transpose(0, 2, 1).reshape(len(cells), -1)
    data = np.concatenate([corners, wanted[cells]], axis=1)
    gmsh.view.addListData(view, {3: "ST", 4: "SS"}[cells.shape[1]], len(cells), data.ravel())
    background = gmsh.model.mesh.field.add("PostView")
    gmsh.model.mesh.field.setNumber(background, "ViewTag", view)
    return background


def _layer_fields(coarse: Coarse, walls: Walls, layers: Layers) -> list[int]:
    """Fields of layers of isotropic cells."""
    field, out = gmsh.model.mesh.field, []
    for name, tags in walls.items():
        size, reach = layers[name].lengths
        if coarse.dimension == 2:  # each curve with points of its own
            samples = [np.clip(2 * curve_length(tag) / size, 20, 50_000) for tag in tags]
            parts = list(zip([[tag] for tag in tags], samples, strict=True))
        else:
            parts = [(tags, np.clip(2 * np.sqrt(coarse.measure(tags)) / size, 20, 150))]
        for part, points in parts:
            distance, law = field.add("Distance"), field.add("MathEval")
            key = "CurvesList" if coarse.dimension == 2 else "SurfacesList"
            field.setNumbers(distance, key, part)
            field.setNumber(distance, "Sampling", int(points))
            field.setString(law, "F", f"{size:.12g}*(1+F{distance}/{3 * reach:.12g})^3")
            out.append(law)
    return out
