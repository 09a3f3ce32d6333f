"""Values of Lagrange cells at the points of regular grids, and the outline of the cells.

The fields are evaluated as the polynomials that they are, on cells as curved as they are: a
picture shows the solution, not an interpolation of its nodes. A grid lies in the plane of the
triangles, or in a plane that cuts tetrahedra.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from meso.files.vtu import degree_of, vtk_lattice

__all__ = ["CellSet", "Extent", "Grid", "Plane", "vertex_numbers", "vtk_lattice"]

Extent = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plane:
    """A plane at right angles to an axis.

    Attributes:
        across: Number of that axis.
        axes: Axes of the picture, horizontal and vertical.
        position: Coordinate along ``across``, m.
    """

    across: int
    axes: tuple[int, int]
    position: float


def _monomials(at: np.ndarray, degree: int) -> list[np.ndarray]:
    """Products of powers of the coordinates, shape (d, n), up to a total degree."""
    powers = [[np.ones_like(x)] for x in at]
    for x, power in zip(at, powers, strict=True):
        for _ in range(degree):
            power.append(power[-1] * x)
    out = []
    for exponents in product(range(degree + 1), repeat=len(at)):
        if sum(exponents) <= degree:
            term = powers[0][exponents[0]]
            for power, exponent in zip(powers[1:], exponents[1:], strict=True):
                term = term * power[exponent] if exponent else term
            out.append(term)
    return out


@dataclass(frozen=True, kw_only=True, eq=False)
class CellSet:
    """Lagrange triangles or tetrahedra, each with its own nodes.

    Attributes:
        points: Nodes of each cell in the order of VTK, m, shape (c, n, d).
    """

    points: np.ndarray

    @property
    def dimension(self) -> int:
        """2 for triangles, 3 for tetrahedra."""
        return self.points.shape[2]

    @property
    def degree(self) -> int:
        """Polynomial degree, from the number of nodes."""
        return degree_of(self.points.shape[1], self.dimension)

    def coefficients(self, values: np.ndarray) -> np.ndarray:
        """Coefficients of the monomials about the centre of the reference cell.

        Args:
            values: At the nodes, shape (c, n).

        Returns:
            Monomial by monomial, shape (n, c).
        """
        at = vtk_lattice(self.degree, self.dimension) / self.degree - 1 / (self.dimension + 1)
        table = np.column_stack(_monomials(at.T, self.degree))
        return np.linalg.inv(table) @ values.T

    def grid(self, extent: Extent, columns: int, rows: int, plane: Plane | None = None) -> Grid:
        """Find the points of a regular grid in the cells.

        Args:
            extent: Left, right, bottom, top of the picture, m.
            columns: Number of pixels, side by side.
            rows: Number of pixels, one above the other.
            plane: Where the grid lies, for tetrahedra.

        Returns:
            The grid of the centres of the pixels.
        """
        x0, x1, y0, y1 = extent
        step = np.array([(x1 - x0) / columns, (y1 - y0) / rows])
        chosen: np.ndarray = np.arange(len(self.points))
        if plane is None:
            nodes = (self.points - (x0, y0)) / step - 0.5
        else:
            # The third coordinate is the distance from the plane, in pixels.
            off = self.points[..., plane.across] - plane.position
            chosen = np.flatnonzero((off.min(axis=1) <= 0) & (off.max(axis=1) >= 0))
            flat = self.points[chosen][..., list(plane.axes)]
            nodes = np.concatenate(
                [(flat - (x0, y0)) / step - 0.5, off[chosen, :, None] / step.max()], axis=2
            )
        low = np.maximum(np.ceil(nodes[..., :2].min(axis=1)), 0).astype(int)
        high = np.minimum(np.floor(nodes[..., :2].max(axis=1)), (columns - 1, rows - 1)).astype(int)
        size = np.maximum(high - low + 1, 0)
        count = size[:, 0] * size[:, 1]
        cell = np.repeat(np.arange(len(nodes)), count)
        rank = np.arange(len(cell)) - np.repeat(np.cumsum(count) - count, count)
        down, right = np.divmod(rank, size[cell, 0])
        column, row = low[cell, 0] + right, low[cell, 1] + down
        at = self._reference(nodes, cell, column, row)
        inside = (at > -1e-6).all(axis=0) & (at.sum(axis=0) < 1 + 1e-6)
        cell, column, row, at = cell[inside], column[inside], row[inside], at[:, inside]
        return Grid(
            cells=self,
            shape=(rows, columns),
            x=x0 + (np.arange(columns) + 0.5) * step[0],
            y=y0 + (np.arange(rows) + 0.5) * step[1],
            cell=chosen[cell],
            pixel=row * columns + column,
            table=_monomials(at - 1 / (self.dimension + 1), self.degree),
        )

    def _reference(
        self, nodes: np.ndarray, cell: np.ndarray, column: np.ndarray, row: np.ndarray
    ) -> np.ndarray:
        """Reference coordinates of pixels in their cells, (d, pixels): affine, then Newton."""
        d = self.dimension
        origin, sides = nodes[:, 0], nodes[:, 1 : d + 1] - nodes[:, :1]
        # x - x_0 = sum_a X_a sides_a; flat cells give what no pixel lies in.
        flat = np.abs(np.linalg.det(sides)) < 1e-12
        inverse = np.linalg.inv(np.where(flat[:, None, None], 1e30 * np.eye(d), sides))
        place = (column, row, 0.0)[:d]
        off = [p - origin[cell, i] for i, p in enumerate(place)]
        at = np.stack([sum(o * inverse[cell, i, a] for i, o in enumerate(off)) for a in range(d)])
        at[:, flat[cell]] = -1.0
        lattice = vtk_lattice(self.degree, d) / self.degree
        straight = origin[:, None] + np.einsum("nk,ckd->cnd", lattice, sides)
        curved = np.abs(nodes - straight).max(axis=(1, 2)) > 1e-3  # of a pixel
        chosen = np.flatnonzero(curved[cell])
        if len(chosen):
            c = cell[chosen]
            shape = [self.coefficients(nodes[:, :, k])[:, c] for k in range(d)]
            wanted = [column[chosen], row[chosen], 0.0][:d]
            for _ in range(3):
                table = _monomials(at[:, chosen] - 1 / (d + 1), self.degree)
                off = [
                    w - sum(s * t for s, t in zip(part, table, strict=True))
                    for w, part in zip(wanted, shape, strict=True)
                ]
                # Simplified Newton: cells are bent by little of their size.
                for a in range(d):
                    move = sum(o * inverse[c, i, a] for i, o in enumerate(off))
                    at[a, chosen] += np.clip(move, -0.3, 0.3)
        return at

    def outline(self) -> np.ndarray:
        """Edges of one triangle only, which lies on the left, shape (e, degree + 1, 2)."""
        p = self.degree
        inner = [[3 + side * (p - 1) + k for k in range(p - 1)] for side in range(3)]
        sides = [[a, *inner[a], (a + 1) % 3] for a in range(3)]
        edges = np.stack([self.points[:, side] for side in sides], axis=1).reshape(-1, p + 1, 2)
        key = vertex_numbers(edges[:, [0, -1]].reshape(-1, 2)).reshape(-1, 2)
        key.sort(axis=1)
        _, first, times = np.unique(key, axis=0, return_index=True, return_counts=True)
        alone = edges[first[times == 1]]
        a, b, c = (self.points[0, i] for i in range(3))
        clockwise = (b - a)[0] * (c - a)[1] - (b - a)[1] * (c - a)[0] < 0
        return alone[:, ::-1] if clockwise else alone

    def faces(self) -> np.ndarray:
        """Faces of tetrahedra that belong to one cell only, vertices only, shape (f, 3, 3)."""
        corners = self.points[:, :4]
        numbers = vertex_numbers(corners.reshape(-1, 3)).reshape(-1, 4)
        sides = np.array([[1, 2, 3], [0, 3, 2], [0, 1, 3], [0, 2, 1]])
        key = np.sort(numbers[:, sides].reshape(-1, 3), axis=1)
        count = int(numbers.max()) + 1
        single = (key[:, 0] * count + key[:, 1]) * count + key[:, 2]
        _, first, times = np.unique(single, return_index=True, return_counts=True)
        return corners[:, sides].reshape(-1, 3, 3)[first[times == 1]]


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


@dataclass(frozen=True, kw_only=True, eq=False)
class Grid:
    """A regular grid of points, found in the cells.

    Attributes:
        cells: The cells.
        shape: Rows and columns.
        x: Of the columns, m.
        y: Of the rows, m.
        cell: Cell of each point that lies in one.
        pixel: Its place in the flattened grid.
        table: Monomials there.
    """

    cells: CellSet
    shape: tuple[int, int]
    x: np.ndarray
    y: np.ndarray
    cell: np.ndarray
    pixel: np.ndarray
    table: list[np.ndarray]

    def values(self, nodal: np.ndarray) -> np.ndarray:
        """A field on the grid.

        Args:
            nodal: Values at the nodes of the cells, shape (c, n).

        Returns:
            Shape (rows, columns), NaN outside the cells.
        """
        used, cell = np.unique(self.cell, return_inverse=True)
        coefficients = self.cells.coefficients(nodal[used])
        out = np.full(self.shape[0] * self.shape[1], np.nan)
        out[self.pixel] = sum(c[cell] * t for c, t in zip(coefficients, self.table, strict=True))
        return out.reshape(self.shape)
