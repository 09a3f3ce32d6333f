"""How many cells a mesh will have, from the sizes that are asked for, before it is made."""

from __future__ import annotations

from math import factorial
from typing import Any

import gmsh
import numpy as np

from meso.geometry.drawing import elements, entities, nodes
from meso.geometry.layers import Layer
from meso.geometry.simplices import mean_density, measures

#: Gmsh's simplices of size h: so many in an area h^2, in a volume h^3.
PER_POWER = {2: 2.6, 3: 5.0}


def cells_of_field(points: np.ndarray, simplices: np.ndarray, sizes: np.ndarray) -> float:
    """Number of cells whose size, given at the points (n, 3), is linear in simplices."""
    d = simplices.shape[1] - 1
    volume = np.abs(measures(points[:, :d], simplices)) / factorial(d)
    return PER_POWER[d] * float(volume @ mean_density(sizes[simplices]))


def cells_of_layer(
    layer: Layer, measure: Any, dimension: int, *, bulk: Any = np.inf, depth: Any = np.inf
) -> float:
    """Number of isotropic cells in a layer, more than there would be without it.

    Args:
        layer: The layer.
        measure: Length (3D: area) of the parts of its wall.
        dimension: 2 or 3.
        bulk: Size without the layer at each part.
        depth: Distance to where the layer ends at the latest.
    """
    size, reach = layer.lengths
    d, power = dimension, 3 * dimension - 1
    bulk = np.maximum(bulk, size)
    # The integral of 1/size^d - 1/bulk^d up to where the size is that of the bulk.
    end = np.minimum((bulk / size) ** (1 / 3), 1 + depth / (3 * reach))
    grown = 3 * reach / power * (1 - end**-power) / size**d
    instead = np.where(np.isinf(bulk), 0.0, 3 * reach * (np.minimum(end, 1e9) - 1) / bulk**d)
    return PER_POWER[d] * float((measure * np.maximum(grown - instead, 0)).sum())


def layered_cells() -> float:
    """Number of tetrahedra in volumes that are cut in layers, once their surfaces are meshed."""
    cells = 0.0
    _, number = nodes()
    for volume in entities(3):
        surfaces = [t for _, t in gmsh.model.getBoundary([(3, volume)], oriented=False)]
        triangles = {s: len(gmsh.model.mesh.getElementsByType(2, s)[0]) for s in surfaces}
        base = max(surfaces, key=triangles.__getitem__)
        corners = set(gmsh.model.getBoundary([(2, base)], oriented=False, recursive=True))
        around = gmsh.model.getBoundary([(2, s) for s in surfaces], False, False)
        # Curves that leave the base have as many edges as there are layers above it.
        leaving = [
            len(elements(1, [abs(curve)], number))
            for _, curve in around
            if len(corners & set(gmsh.model.getBoundary([(1, abs(curve))], oriented=False))) == 1
        ]
        cells += 3 * triangles[base] * max(leaving, default=1)
    return cells


def size_factor(dimension: int) -> float:
    """Number of cells over that without the factor on all sizes that a drawing may have."""
    return gmsh.option.getNumber("Mesh.MeshSizeFactor") ** -dimension
