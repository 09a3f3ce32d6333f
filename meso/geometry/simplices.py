"""Triangles and tetrahedra as arrays, and what a meshed drawing consists of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from meso.errors import GeometryError

CELL = {2: "triangle", 3: "tetrahedron"}
CELLS = {2: "triangles", 3: "tetrahedra"}
#: Facets of the reference cells: vertices in ascending order; facet i is opposite to vertex i.
FACETS = {
    2: np.array([(1, 2), (0, 2), (0, 1)]),
    3: np.array([(1, 2, 3), (0, 2, 3), (0, 1, 3), (0, 1, 2)]),
}
#: The same with the cell on their left, and with the outward normal by the right-hand rule.
TURNED = {
    2: np.array([(1, 2), (2, 0), (0, 1)]),
    3: np.array([(1, 2, 3), (0, 3, 2), (0, 1, 3), (0, 2, 1)]),
}
# Ends of the edges of Gmsh's triangle and tetrahedron, in the order of their nodes.
_GMSH_EDGES = {
    2: ((0, 1), (1, 2), (2, 0)),
    3: ((0, 1), (1, 2), (2, 0), (3, 0), (3, 2), (3, 1)),
}


# -- arrays ----------------------------------------------------------------------------------------


def cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Component z of a x b, for vectors in the last axis of length 2."""
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]


def determinant(*columns: np.ndarray) -> np.ndarray:
    """Determinant of d vectors in the last axis of length d, d = 2 or 3."""
    if len(columns) == 2:
        return cross(*columns)
    a, b, c = columns
    return (a * np.cross(b, c)).sum(axis=-1)


def measures(points: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Signed area or volume of simplices, times d!."""
    first = points[cells[:, 0]]
    return determinant(*(points[cells[:, i]] - first for i in range(1, cells.shape[1])))


def distances(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """From each of some points (m, d) to each of others (n, d), shape (m, n)."""
    apart = one.T[:, :, None] - two.T[:, None]
    return np.asarray(np.sqrt(sum(x * x for x in apart)))


def components(count: int, pairs: np.ndarray) -> np.ndarray:
    """What hangs together by pairs (m, 2) has the same number, 0, 1, …; of all, shape (count,).

    Each has the smallest number that its neighbours know, over and over; SciPy takes longer to
    load than the cells of a drawing in the plane take here.
    """
    least = np.arange(count)
    while len(pairs):
        ends = least[pairs]
        pairs = pairs[ends[:, 0] != ends[:, 1]]
        ends = least[pairs]
        np.minimum.at(least, ends.ravel(), np.repeat(ends.min(axis=1), 2))
        while not np.array_equal(least, further := least[least]):
            least = further
    return np.unique(least, return_inverse=True)[1]


def positive(points: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """The same simplices, their vertices in an order with positive determinant."""
    out = np.array(cells)
    negative = measures(points, out) < 0
    out[negative, -2:] = out[negative][:, :-3:-1]
    return out


def row_keys(rows: np.ndarray, count: int) -> np.ndarray:
    """One number for each row of vertices (below ``count``), whatever their order in it."""
    first, *others = np.sort(rows, axis=1).astype(np.int64).T
    if len(others) == 2 and count**3 >= 2**63:
        # Too many points for one integer: number the pairs first.
        _, first = np.unique(first * count + others.pop(0), return_inverse=True)
    for other in others:
        first = first * count + other
    return first


def positions(numbers: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Index in ``numbers`` of each wanted number; -1 where it is not there."""
    if not len(numbers):
        return np.full(np.shape(wanted), -1)
    order = np.argsort(numbers, kind="stable")
    at = np.searchsorted(numbers[order], wanted).clip(max=len(numbers) - 1)
    return np.where(numbers[order][at] == wanted, order[at], -1)


def facet_measures(points: np.ndarray, facets: np.ndarray) -> np.ndarray:
    """Length (3D: area) of lines (triangles)."""
    first, *others = points[facets].transpose(1, 0, 2)
    if len(others) == 1:
        return np.linalg.norm(others[0] - first, axis=1)
    return np.linalg.norm(np.cross(others[0] - first, others[1] - first), axis=1) / 2


def outer_facets(cells: np.ndarray, count: int) -> np.ndarray:
    """Facets (cell * (d + 1) + number) that belong to one cell, in the order of ``row_keys``."""
    width = cells.shape[1]
    keys = row_keys(cells[:, FACETS[width - 1]].reshape(-1, width - 1), count)
    _, first, times = np.unique(keys, return_index=True, return_counts=True)
    return first[times == 1]


def shared_edges(triangles: np.ndarray, count: int) -> tuple[np.ndarray, ...]:
    """Keys of the edges that two triangles share, and both of their places (3 triangle + edge)."""
    keys = row_keys(triangles[:, FACETS[2]].reshape(-1, 2), count)
    order = np.argsort(keys, kind="stable")
    unique, first, times = np.unique(keys[order], return_index=True, return_counts=True)
    first = first[times == 2]
    return unique[times == 2], order[first], order[first + 1]


def mean_density(sizes: np.ndarray) -> np.ndarray:
    """Mean of 1/h^d over simplices in which h is linear, however much it varies there.

    It is d times a divided difference of the logarithm (Hermite and Genocchi); ``sizes`` has h at
    the corners, shape (c, d + 1).
    """
    d = sizes.shape[1] - 1
    # Values that are alike would cancel: 2 % apart the mean is known to that accuracy.
    h = np.maximum.accumulate(np.sort(sizes, axis=1) * 1.02 ** -np.arange(d + 1.0), axis=1)
    h *= 1.02 ** np.arange(d + 1.0)
    table = np.log(h)
    for k in range(1, d + 1):
        table = np.diff(table, axis=1) / (h[:, k:] - h[:, :-k])
    return d * (-1.0) ** (d - 1) * table[:, 0]


# -- drawings --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """A drawing cut into d-dimensional simplices, d = 2 or 3, in the unit of its file."""

    points: np.ndarray  # vertices, shape (n, d)
    cells: np.ndarray  # vertices of each, positively oriented, shape (c, d + 1)
    cell_region: np.ndarray  # index into the regions
    regions: tuple[str, ...]  # names of the physical surfaces (3D: volumes)
    facets: np.ndarray  # vertices of each line (3D: triangle) in a physical curve (surface)
    facet_boundary: np.ndarray  # index into the boundaries
    boundaries: tuple[str, ...]  # names of the physical curves (3D: surfaces)
    # Where smooth pieces of a boundary may meet: vertices that are points of the drawing, in 3D
    # edges that lie on its curves, shape (k, 2).
    corners: np.ndarray
    degree: int  # of the edges that follow a curved line or surface, at most 2 in 3D
    # Their vertices, shape (e, 2), and inner nodes, equally spaced in the reference edge, from the
    # first to the second vertex, shape (e, degree - 1, d).
    curved_edges: np.ndarray = field(default_factory=lambda: np.empty((0, 2), np.int64))
    curved_nodes: np.ndarray = field(default_factory=lambda: np.empty((0, 0, 3)))
    cell_data: Mapping[str, np.ndarray] = field(default_factory=dict)  # by name, (c, ...)

    @property
    def dimension(self) -> int:
        """2 or 3."""
        return self.points.shape[1]


def drawing_of(raw: Drawing, path: Path, dimension: int, *, curved: bool = True) -> Drawing:
    """The drawing that the elements of a file make, without points that are no vertices.

    What the file has are points with three coordinates, which must be in a plane z = const in 2D,
    and all nodes of its cells in Gmsh's order. Curved edges are those of the cells, or given.
    """
    points = raw.points[:, :dimension]
    z = raw.points[np.unique(raw.cells), 2]
    if dimension == 2 and np.ptp(z) > 1e-9 * np.ptp(points[np.unique(raw.cells)], axis=0).max():
        raise GeometryError(
            f"{path}: the surfaces do not lie in one plane z = const (z from {z.min():g} to"
            f" {z.max():g}); draw 2D conductors in the xy plane, and name those of 3D conductors"
            ' by Physical Volume("metal") = {1};'
        )
    ends, inner = _bent_edges(raw, points) if curved else (raw.curved_edges, raw.curved_nodes)
    cells = positive(points, raw.cells[:, : dimension + 1])
    vertices = np.unique(cells)
    compact = np.full(len(points), -1, dtype=np.int64)
    compact[vertices] = np.arange(len(vertices))
    # Facets and points of the drawing that no cell has, like construction lines, are left out.
    facets, corners = compact[raw.facets], compact[raw.corners]
    kept = (facets >= 0).all(axis=1)
    return replace(
        raw,
        points=points[vertices],
        cells=compact[cells],
        facets=facets[kept].reshape(-1, dimension),
        facet_boundary=raw.facet_boundary[kept],
        corners=corners[(corners >= 0).reshape(len(corners), dimension - 1).all(axis=1)],
        degree=raw.degree if len(ends) else 1,
        curved_edges=compact[ends],
        curved_nodes=inner[..., :dimension],
    )


def _bent_edges(raw: Drawing, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The bent edges of high-order cells, and their inner nodes."""
    inner = raw.degree - 1
    if not inner:
        return raw.curved_edges, raw.curved_nodes
    edges = np.array(_GMSH_EDGES[points.shape[1]])
    ends = raw.cells[:, edges].reshape(-1, 2)
    start = points.shape[1] + 1
    nodes = raw.cells[:, start : start + inner * len(edges)].reshape(-1, inner)
    _, first = np.unique(row_keys(ends, len(points)), return_index=True)
    ends, at = ends[first], points[nodes[first]]
    s = np.arange(1, raw.degree) / raw.degree
    straight = points[ends[:, 0], None] * (1 - s)[:, None] + points[ends[:, 1], None] * s[:, None]
    length = np.linalg.norm(points[ends[:, 1]] - points[ends[:, 0]], axis=1)
    bent = np.abs(at - straight).max(axis=(1, 2)) > 1e-10 * length
    return ends[bent], at[bent]
