"""How many cells a mesh will have, from the sizes that are asked for, before it is made.

Works on the drawing that is open in Gmsh, in the unit of the file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import factorial, log
from pathlib import Path

import gmsh
import numpy as np
from scipy.spatial import Delaunay, QhullError

from meso.geometry.drawing import generate
from meso.geometry.grading import curve_length
from meso.geometry.layers import Layer
from meso.geometry.planar import measures

# Gmsh's simplices of size h: so many in an area h^2, in a volume h^3.
_PER_POWER = {2: 2.6, 3: 5.0}
# Edges on the curves of a drawing from which on its coarse mesh is no longer a matter of course.
_MANY_EDGES = 300_000
_TRIANGULATED = 1000


def cells_of_field(points: np.ndarray, simplices: np.ndarray, sizes: np.ndarray) -> float:
    """Number of cells whose size is linear in simplices.

    Args:
        points: Vertices, shape (n, d).
        simplices: Their corners, shape (c, d + 1).
        sizes: Size at each vertex, shape (n,).
    """
    d = points.shape[1]
    volume = np.abs(measures(points, simplices)) / factorial(d)
    return _PER_POWER[d] * float(volume @ mean_density(sizes[simplices]))


def mean_density(sizes: np.ndarray) -> np.ndarray:
    """Mean of 1/h^d over simplices in which h is linear, however much it varies there.

    It is d times a divided difference of the logarithm (Hermite and Genocchi).

    Args:
        sizes: The values of h at the corners, shape (c, d + 1).
    """
    d = sizes.shape[1] - 1
    # Values that are alike would cancel: 2 % apart the mean is known to that accuracy.
    h = np.maximum.accumulate(np.sort(sizes, axis=1) * 1.02 ** -np.arange(d + 1.0), axis=1)
    h *= 1.02 ** np.arange(d + 1.0)
    table = np.log(h)
    for k in range(1, d + 1):
        table = np.diff(table, axis=1) / (h[:, k:] - h[:, :-k])
    return d * (-1.0) ** (d - 1) * table[:, 0]


def check_coarse(
    path: Path,
    along: Mapping[int, list[float]],
    announce: Callable[[float], None],
    dimension: int = 2,
) -> None:
    """Tell of a coarse mesh that would be large, by the sizes that the drawing itself asks for.

    Args:
        path: The drawing, for messages.
        along: Sizes at the start, in the middle and at the end of each curve.
        announce: Called with the number of cells, if they are many.
        dimension: 2 or 3.
    """
    edges = sum(_edges(curve, sizes) for curve, sizes in along.items())
    if edges > _MANY_EDGES:
        # As many cells as if all edges bounded one square or cube.
        announce(_PER_POWER[dimension] * (edges / 4) ** dimension)
        return
    if edges < 1000:
        return
    generate(path, 1)
    points = gmsh.model.mesh.getNodes()[1].reshape(-1, 3)[:, :dimension]
    ends = _lines(-1)
    gmsh.model.mesh.clear()
    sizes = np.full(len(points), np.inf)
    length = np.linalg.norm(points[ends[:, 1]] - points[ends[:, 0]], axis=1)
    np.minimum.at(sizes, ends.ravel(), np.repeat(length, 2))
    used = np.flatnonzero(np.isfinite(sizes) & (sizes > 0))
    # Points on a line take the square of their number in time; sizes are known to all of them.
    used = used[:: 1 + len(used) // _TRIANGULATED]
    points, sizes = points[used], sizes[used]
    try:
        simplices = Delaunay(points).simplices
    except (QhullError, ValueError):
        return  # too few points, or all in one plane
    # Gmsh interpolates in such a triangulation of the boundary.
    cells = cells_of_field(points, simplices, sizes)
    if cells > _MANY_EDGES:
        announce(cells)


def _edges(curve: int, sizes: list[float]) -> float:
    """Edges that sizes at start, middle and end of a curve make on it."""
    largest = gmsh.option.getNumber("Mesh.MeshSizeMax")
    halves = np.minimum([sizes[:2], sizes[1:]], largest)
    factor = gmsh.option.getNumber("Mesh.MeshSizeFactor")
    return curve_length(curve) * float(mean_density(halves).mean()) / factor


def flat_cells(wanted: np.ndarray) -> float:
    """Number of cells in the layers of flat cells that are set up.

    Args:
        wanted: Size along the walls at each node of the coarse mesh.
    """
    field = gmsh.model.mesh.field
    tag = next(t for t in field.list() if field.getType(t) == "BoundaryLayer")
    size, ratio, thickness = (field.getNumber(tag, k) for k in ("Size", "Ratio", "Thickness"))
    layers = log(1 + thickness * (ratio - 1) / size) / log(ratio)
    points = gmsh.model.mesh.getNodes()[1].reshape(-1, 3)
    ends = np.concatenate([_lines(int(c)) for c in field.getNumbers(tag, "CurvesList")])
    length = np.linalg.norm(points[ends[:, 1]] - points[ends[:, 0]], axis=1)
    return 2 * layers * float(length @ mean_density(wanted[ends]))


def layer_cells(
    curves: list[int], layer: Layer, wanted: np.ndarray, coarser: float, across: float
) -> float:
    """Number of isotropic cells in a layer, more than there would be without it.

    Args:
        curves: Where it begins.
        layer: The layer.
        wanted: Size without the layer at each node of the coarse mesh.
        coarser: Factor on the sizes of the layer.
        across: Cells over the local width, without the layer.
    """
    size, reach = layer.lengths
    points = gmsh.model.mesh.getNodes()[1].reshape(-1, 3)
    ends = np.concatenate([_lines(curve) for curve in curves])
    length = np.linalg.norm(points[ends[:, 1]] - points[ends[:, 0]], axis=1)
    bulk = np.maximum(1 / mean_density(wanted[ends]), coarser * size)
    # The layer ends where its cells are as large as the others, or in the middle of the conductor.
    end = np.minimum((bulk / (coarser * size)) ** (1 / 3), 1 + across * bulk / 2 / (3 * reach))
    depth = 3 * reach * (end - 1)
    own = 3 * reach / 5 * (1 - end**-5) / (coarser * size) ** 2
    return _PER_POWER[2] * float(length @ np.maximum(own - depth / bulk**2, 0))


def layered_cells() -> float:
    """Number of tetrahedra in volumes that are cut in layers, once their surfaces are meshed."""
    cells = 0.0
    for _, volume in gmsh.model.getEntities(3):
        surfaces = [t for _, t in gmsh.model.getBoundary([(3, volume)], oriented=False)]
        triangles = {s: len(gmsh.model.mesh.getElementsByType(2, s)[0]) for s in surfaces}
        base = max(surfaces, key=triangles.__getitem__)
        corners = set(gmsh.model.getBoundary([(2, base)], oriented=False, recursive=True))
        around = gmsh.model.getBoundary([(2, s) for s in surfaces], False, False)
        # Curves that leave the base have as many edges as there are layers above it.
        leaving = [
            len(_lines(abs(curve)))
            for _, curve in around
            if len(corners & set(gmsh.model.getBoundary([(1, abs(curve))], oriented=False))) == 1
        ]
        cells += 3 * triangles[base] * max(leaving, default=1)
    return cells


def size_factor(dimension: int) -> float:
    """Number of cells over that without the factor on all sizes that a drawing may have."""
    return gmsh.option.getNumber("Mesh.MeshSizeFactor") ** -dimension


def _lines(curve: int) -> np.ndarray:
    """Ends of the edges on a curve (-1: on all), as positions in the list of all nodes."""
    tags = gmsh.model.mesh.getNodes()[0].astype(np.int64)
    number = np.zeros(int(tags.max(initial=0)) + 1, dtype=np.int64)
    number[tags] = np.arange(len(tags))
    return number[gmsh.model.mesh.getElementsByType(1, curve)[1].astype(np.int64)].reshape(-1, 2)
