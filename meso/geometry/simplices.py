"""What a meshed drawing consists of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from meso.errors import GeometryError
from meso.geometry.planar import positive

# Ends of the edges of Gmsh's triangle and tetrahedron, in the order of their nodes.
_EDGES = {
    2: ((0, 1), (1, 2), (2, 0)),
    3: ((0, 1), (1, 2), (2, 0), (3, 0), (3, 2), (3, 1)),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """A drawing cut into d-dimensional simplices, d = 2 or 3, in the unit of its file.

    Attributes:
        points: Vertex coordinates, shape (n, d).
        cells: Vertices of each triangle or tetrahedron, positively oriented, shape (c, d + 1).
        cell_region: Index into ``regions`` of each cell, shape (c,).
        regions: Names of the physical surfaces (3D: volumes).
        facets: Vertices of each line (3D: triangle) in a physical curve (surface), shape (m, d).
        facet_boundary: Index into ``boundaries`` of each of them, shape (m,).
        boundaries: Names of the physical curves (surfaces).
        corners: Where smooth pieces of a boundary may meet: vertices that are points of the
            drawing, shape (k,); in 3D edges that lie on its curves, shape (k, 2).
        degree: Polynomial degree of the curved edges below, at most 2 in 3D.
        curved_edges: Vertices of the edges that follow a curved line or surface, shape (e, 2).
        curved_nodes: Their interior nodes, equally spaced in the reference edge, from the first
            to the second vertex, shape (e, degree - 1, d).
        cell_data: Values in the cells by name, each of shape (c, ...).
    """

    points: np.ndarray
    cells: np.ndarray
    cell_region: np.ndarray
    regions: tuple[str, ...]
    facets: np.ndarray
    facet_boundary: np.ndarray
    boundaries: tuple[str, ...]
    corners: np.ndarray
    degree: int
    curved_edges: np.ndarray
    curved_nodes: np.ndarray
    cell_data: Mapping[str, np.ndarray] = field(default_factory=dict)

    @property
    def dimension(self) -> int:
        """2 or 3."""
        return self.points.shape[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Elements:
    """Cells of one degree and the named facets, as a file has them.

    Attributes:
        points: Coordinates of all nodes, shape (n, 3).
        cells: Nodes of each cell in Gmsh's order, vertices first, shape (c, nodes).
        cell_region: Index into ``regions`` of each cell.
        regions: Names of the regions.
        facets: Vertices of the named facets, shape (m, d).
        facet_boundary: Index into ``boundaries`` of each.
        boundaries: Names of the boundaries.
        corners: Vertices (3D: edges, shape (k, 2)) where smooth pieces may meet.
        degree: Polynomial degree of the cells.
    """

    points: np.ndarray
    cells: np.ndarray
    cell_region: np.ndarray
    regions: Sequence[str]
    facets: np.ndarray
    facet_boundary: np.ndarray
    boundaries: Sequence[str]
    corners: np.ndarray
    degree: int


def drawing_of(elements: Elements, path: Path, dimension: int, curves: Any = None) -> Drawing:
    """The drawing that elements of a file make.

    Args:
        elements: Nodes, cells and facets.
        path: The file, for messages.
        dimension: 2 or 3.
        curves: Degree, ends (numbers of nodes) and inner nodes of the curved edges, instead of
            those of the cells.

    Returns:
        The drawing, its cells positively oriented, with no other points than their vertices.

    Raises:
        GeometryError: A plane drawing that is not in a plane z = const.
    """
    points, full = elements.points, elements.cells
    if dimension == 2:
        _check_plane(points[np.unique(full)], path)
        points = points[:, :2]
    degree, ends, inner = curves or (
        elements.degree,
        *_edges_of_cells(full, points, elements.degree, dimension),
    )
    cells = positive(points, full[:, : dimension + 1])
    vertices = np.unique(cells)
    compact = np.full(len(points), -1, dtype=np.int64)
    compact[vertices] = np.arange(len(vertices))
    # Facets and points of the drawing that no cell has, like construction lines, are left out.
    facets, corners = compact[elements.facets], compact[elements.corners]
    kept = (facets >= 0).all(axis=1)
    return Drawing(
        points=points[vertices],
        cells=compact[cells],
        cell_region=np.asarray(elements.cell_region),
        regions=tuple(elements.regions),
        facets=facets[kept].reshape(-1, dimension),
        facet_boundary=np.asarray(elements.facet_boundary)[kept],
        boundaries=tuple(elements.boundaries),
        corners=corners[(corners >= 0).reshape(len(corners), dimension - 1).all(axis=1)],
        degree=degree if len(ends) else 1,
        curved_edges=compact[ends],
        curved_nodes=inner,
    )


def _check_plane(points: np.ndarray, path: Path) -> None:
    z = points[:, 2]
    if np.ptp(z) > 1e-9 * np.ptp(points[:, :2], axis=0).max():
        raise GeometryError(
            f"{path}: the surfaces do not lie in one plane z = const (z from {z.min():g} to"
            f" {z.max():g}); draw 2D conductors in the xy plane, and name those of 3D conductors"
            ' by Physical Volume("metal") = {1};'
        )


def _edges_of_cells(
    full: np.ndarray, points: np.ndarray, degree: int, dimension: int
) -> tuple[np.ndarray, np.ndarray]:
    """The bent edges of high-order cells, and their inner nodes."""
    n = degree - 1
    if not n:
        return np.empty((0, 2), np.int64), np.empty((0, 0, dimension))
    edges = _EDGES[dimension]
    ends = np.concatenate([full[:, list(e)] for e in edges])
    start = dimension + 1
    inner = np.concatenate(
        [full[:, start + i * n : start + (i + 1) * n] for i in range(len(edges))]
    )
    low, high = ends.min(axis=1), ends.max(axis=1)
    _, first = np.unique(low * len(points) + high, return_index=True)
    ends, nodes = ends[first], points[inner[first]]
    s = np.arange(1, degree) / degree
    straight = points[ends[:, 0], None] * (1 - s)[:, None] + points[ends[:, 1], None] * s[:, None]
    length = np.linalg.norm(points[ends[:, 1]] - points[ends[:, 0]], axis=1)
    bent = np.abs(nodes - straight).max(axis=(1, 2)) > 1e-10 * length
    return ends[bent], nodes[bent]
