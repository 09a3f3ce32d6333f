"""Lagrange cells as straight simplices: refined, cut by planes, found on regular grids.

Nodes carry their coordinates and, behind them, the values of fields: what is done to a cell is done
to both, whatever the degree and however curved.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial import Delaunay

from meso import _compat
from meso.files.vtu import degree_of, vtk_lattice, vtk_order

Extent = tuple[float, float, float, float]
#: Facets opposite to each vertex of a simplex: the cell is on the left of an edge, behind a face.
FACETS = {2: ((1, 2), (2, 0), (0, 1)), 3: ((1, 2, 3), (0, 3, 2), (0, 1, 3), (0, 2, 1))}
# Cells whose nodes are off a straight cell by more than this part of a pixel are divided.
_BENT = 0.02
# How far a triangle reaches over its sides, of its size: cells beside it may be divided otherwise.
_OVERLAP = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class Plane:
    """A plane at right angles to the axis ``across``, at a coordinate along it, m.

    Its picture has the other two ``axes``, horizontal and vertical.
    """

    across: int
    axes: tuple[int, int]
    position: float


def basis(nodes: int, at: np.ndarray, *, vtk: bool = True) -> np.ndarray:
    """Lagrange polynomials of nodes in the order of VTK, or of Basix, at points (r, d), (r, n)."""
    d = at.shape[1]
    cell = "triangle" if d == 2 else "tetrahedron"
    table = _compat.scalar_element(cell, degree_of(nodes, d)).tabulate(0, at)[0, :, :, 0]
    return table[:, vtk_order(nodes, d)] if vtk else table


def straight(nodes: np.ndarray, d: int, parts: int | np.ndarray) -> np.ndarray:
    """Straight simplices (q, d + 1, w) in the place of cells, each with parts along a side."""
    count = np.broadcast_to(parts, len(nodes))
    found = [nodes[count == 1, : d + 1]]
    for m in np.unique(count[count > 1]):
        at = vtk_lattice(int(m), d) / m
        refined = (basis(nodes.shape[1], at) @ nodes[count == m])[:, Delaunay(at).simplices]
        found.append(refined.reshape(-1, d + 1, nodes.shape[2]))
    return np.concatenate(found)


def facet_points(d: int, degree: int) -> np.ndarray:
    """Nodes of a facet of some degree, on each facet of the reference simplex, (d + 1, r, d)."""
    at = np.arange(degree + 1)[:, None] if d == 2 else vtk_lattice(degree)
    weights = np.column_stack([degree - at.sum(axis=1), at]) / degree
    corners = np.vstack([np.zeros(d), np.eye(d)])[np.array(FACETS[d])]
    return weights @ corners


def boundary(nodes: np.ndarray, d: int) -> np.ndarray:
    """Facets of one cell only, their nodes in the order of VTK, in 2D along them, (f, r, w).

    The conductor is on the left of an edge, behind a face.
    """
    corners = nodes[:, : d + 1, :d]
    middles = corners[:, np.array(FACETS[d])].mean(axis=2)
    numbers = vertex_numbers(middles.reshape(-1, d))
    cell, local = np.divmod(np.flatnonzero(np.bincount(numbers)[numbers] == 1), d + 1)
    degree = degree_of(nodes.shape[1], d)
    points = facet_points(d, degree)
    facets = np.concatenate(
        [basis(nodes.shape[1], points[k]) @ nodes[cell[local == k]] for k in range(d + 1)]
    )
    inside = np.concatenate([corners[cell[local == k]].mean(axis=1) for k in range(d + 1)])
    if d == 2:
        along, toward = facets[:, -1, :2] - facets[:, 0, :2], inside - facets[:, 0, :2]
        wrong = along[:, 0] * toward[:, 1] < along[:, 1] * toward[:, 0]
        turned = np.arange(degree + 1)[::-1]
    else:
        first, second, third = (facets[:, k, :3] for k in range(3))
        normal = np.cross(second - first, third - first)
        wrong = (normal * (inside - first)).sum(axis=1) > 0
        lattice = vtk_lattice(degree).tolist()
        turned = np.array([lattice.index([b, a]) for a, b in lattice])
    facets[wrong] = facets[wrong][:, turned]
    return facets


def cut(triangles: np.ndarray, plane: Plane) -> tuple[np.ndarray, np.ndarray]:
    """Edges (e, 2, 2 + v) in which a plane cuts triangles (t, 3, 3 + v), and the triangle of each.

    They are directed alike for triangles that are oriented alike.
    """
    kept = [*plane.axes, *range(3, triangles.shape[2])]
    off = triangles[..., plane.across] - plane.position
    above = off > 0
    chosen = np.flatnonzero((above != above[:, :1]).any(axis=1))
    full, off, above = triangles[chosen][..., kept], off[chosen], above[chosen]
    edges = np.empty((len(chosen), 2, len(kept)))
    for a, b in FACETS[2]:
        crossing = above[:, a] != above[:, b]
        t = off[:, a] / np.where(crossing, off[:, a] - off[:, b], 1.0)
        point = full[:, a] + t[:, None] * (full[:, b] - full[:, a])
        # A line begins where it comes up, and ends where it goes down.
        for end in (0, 1):
            mask = crossing & (above[:, a] == bool(end))
            edges[mask, end] = point[mask]
    return edges, chosen


def section(tetrahedra: np.ndarray, plane: Plane) -> np.ndarray:
    """Triangles (t, 3, 2 + v) in which a plane cuts straight tetrahedra (q, 4, 3 + v)."""
    faces = tetrahedra[:, np.array(FACETS[3])].reshape(-1, 3, tetrahedra.shape[2])
    sides, face = cut(faces, plane)
    _, first, which = np.unique(face // 4, return_index=True, return_inverse=True)
    # All sides of a cell with the beginning of its first: three or four, of which two are flat.
    return np.concatenate([sides[first[which], :1], sides], axis=1)


class Grid:
    """Fields on a regular grid of points, the centres of pixels, as the polynomials that they are.

    ``grid["potential"]`` is a scalar (rows, columns) or a vector (components, rows, columns), NaN
    outside the cells; ``x`` and ``y`` are the coordinates of columns and rows, m.

    Args:
        nodes: Of the cells in the order of VTK, m, and fields behind, shape (c, n, d + v).
        fields: Where which field is behind the coordinates.
        extent: Left, right, bottom, top of the picture, m.
        size: Number of columns and rows.
        plane: Where the picture lies, for tetrahedra.
    """

    def __init__(
        self,
        nodes: np.ndarray,
        fields: dict[str, slice],
        extent: Extent,
        size: tuple[int, int],
        plane: Plane | None = None,
    ) -> None:
        self._d = d = 2 if plane is None else 3
        self._nodes, self._fields, self.extent, self.size = nodes, fields, extent, size
        low, span = np.array(extent[::2]), np.subtract(extent[1::2], extent[::2])
        self.x, self.y = (low[i] + (np.arange(n) + 0.5) * span[i] / n for i, n in enumerate(size))
        corners = _corners(nodes[..., :d], float((span / size).min()), plane)
        corners[..., :2] = (corners[..., :2] - low) / span * size - 0.5
        of, column, row, weights = _pixels(corners[..., :2], size)
        self._pixel = row * size[0] + column
        self._cell = np.rint(corners[:, 0, -1]).astype(int)[of]
        at = [sum(w * corners[:, k, 2 + i][of] for k, w in enumerate(weights)) for i in range(d)]
        self._powers = vtk_lattice(degree_of(nodes.shape[1], d), d)
        self._table = _monomials(at, self._powers)

    def __getitem__(self, field: str) -> np.ndarray:
        values = self._nodes[..., self._d :][..., self._fields[field]]
        at_nodes = _monomials(self._powers.T / max(1, self._powers.max()), self._powers)
        out = np.full((values.shape[2], self.size[1] * self.size[0]), np.nan)
        for i, row in enumerate(out):
            factors = np.linalg.solve(at_nodes.T, values[..., i].T)
            terms = zip(self._table, factors, strict=True)
            row[self._pixel] = sum(product * factor[self._cell] for product, factor in terms)
        found = out.reshape(-1, self.size[1], self.size[0])
        return found[0] if len(found) == 1 else found


def _monomials(at: Sequence[np.ndarray], powers: np.ndarray) -> np.ndarray:
    """Products of powers (n, d) of the coordinates (d, r) in reference cells, shape (n, r).

    They take an eighth of the time of shape functions. About the middle of [0, 1] they are told
    apart best.
    """
    out = np.ones((len(powers), len(at[0])))
    for x, exponents in zip(at, powers.T, strict=True):
        power = np.ones(len(x))
        for k in range(1, powers.max() + 1):
            power *= 2 * x - 1
            out[exponents == k] *= power
    return out


def _corners(points: np.ndarray, pixel: float, plane: Plane | None) -> np.ndarray:
    """Straight triangles: place in the picture, reference coordinates and number of their cell."""
    d = points.shape[2]
    chosen = np.arange(len(points))
    if plane is not None:
        off = points[..., plane.across] - plane.position
        chosen = np.flatnonzero((off.min(axis=1) <= 0) & (off.max(axis=1) >= 0))
        points = points[chosen]
    lattice = vtk_lattice(degree_of(points.shape[1], d), d)
    at = lattice / lattice.max()
    bend = np.abs(points - points[:, :1] - at @ (points[:, 1 : d + 1] - points[:, :1]))
    parts = np.ceil(np.sqrt(bend.max(axis=(1, 2)) / (_BENT * pixel)))
    known = [
        np.broadcast_to(at, points.shape),
        np.broadcast_to(chosen[:, None, None], (*points.shape[:2], 1)),
    ]
    simplices = straight(
        np.concatenate([points, *known], axis=2), d, np.clip(parts, 1, 8).astype(int)
    )
    return simplices if plane is None else section(simplices, plane)


def _pixels(
    nodes: np.ndarray, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[np.ndarray, ...]]:
    """Points of a grid in triangles (t, 3, 2): triangle, column, row, weights of its corners."""
    sides = nodes[:, 1:] - nodes[:, :1]
    area = np.linalg.det(sides)
    first = np.maximum(np.ceil(nodes.min(axis=1)), 0).astype(int)
    last = np.minimum(np.floor(nodes.max(axis=1)), np.array(size) - 1).astype(int)
    box = np.where(np.abs(area)[:, None] > 1e-9, np.maximum(last - first + 1, 0), 0)
    count = box[:, 0] * box[:, 1]
    # All pixels of the boxes around the triangles, then those that lie inside.
    of = np.repeat(np.arange(len(nodes)), count)
    rank = np.arange(len(of)) - np.repeat(np.cumsum(count) - count, count)
    up, right = np.divmod(rank, np.repeat(box[:, 0], count))
    column, row = right + first[:, 0][of], up + first[:, 1][of]
    slope = sides[:, ::-1, ::-1] * [[1, -1], [-1, 1]] / np.where(count, area, 1.0)[:, None, None]
    start = -(slope * nodes[:, :1]).sum(axis=2)
    # The barycentric coordinates of the second and of the third corner are linear.
    b, c = (
        start[:, k][of] + column * slope[:, k, 0][of] + row * slope[:, k, 1][of] for k in (0, 1)
    )
    here = (b > -_OVERLAP) & (c > -_OVERLAP) & (b + c < 1 + _OVERLAP)
    b, c = b[here], c[here]
    return of[here], column[here], row[here], (1 - b - c, b, c)


def vertex_numbers(points: np.ndarray) -> np.ndarray:
    """Number points so that equal ones, up to rounding, get the same number, shape (n,)."""
    size = max(np.ptp(points, axis=0).max(), 1e-300)
    scaled = (points - points.min(axis=0)) / size
    numbers = np.zeros(len(points), dtype=np.int64)
    for axis in range(points.shape[1]):
        # Coordinates closer than the tolerance are one: cutting at gaps, unlike rounding to a
        # lattice, never separates neighbours.
        order = np.argsort(scaled[:, axis], kind="stable")
        level = np.empty(len(points), dtype=np.int64)
        level[order] = np.cumsum(np.diff(scaled[order, axis], prepend=0.0) > 1e-9)
        numbers = numbers * (level.max() + 1) + level
    return np.unique(numbers, return_inverse=True)[1].ravel()


def chains(edges: np.ndarray) -> list[np.ndarray]:
    """Join directed edges (e, k, 2 + v) to lines (k, 2 + v); closed ones end where they begin."""
    if not len(edges):
        return []
    numbers = vertex_numbers(edges[:, [0, -1], :2].reshape(-1, 2)).reshape(-1, 2).tolist()
    following = {a: i for i, (a, _) in enumerate(numbers)}
    ends = {b for _, b in numbers}
    left = dict.fromkeys(range(len(edges)))
    lines = []
    for head in [*(i for i, (a, _) in enumerate(numbers) if a not in ends), *left]:
        line, at = [], head
        while at in left:
            del left[at]
            line.append(edges[at, :-1])
            last, at = edges[at, -1:], following.get(numbers[at][1], -1)
        if line:
            lines.append(np.concatenate([*line, last]))
    return lines
