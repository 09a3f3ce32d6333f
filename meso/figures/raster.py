"""Values of Lagrange cells at the points of regular grids, and the outline of the cells.

The fields are evaluated as the polynomials that they are, on cells as curved as they are: a
picture shows the solution, not an interpolation of its nodes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import isqrt

import numpy as np

Extent = tuple[float, float, float, float]


@lru_cache
def vtk_lattice(degree: int) -> np.ndarray:
    """Nodes of the Lagrange triangle in the order of VTK, times the degree, shape (n, 2)."""
    if degree == 0:
        return np.array([[0, 0]])
    if degree < 0:
        return np.empty((0, 2), dtype=int)
    k = np.arange(1, degree)
    zero = np.zeros_like(k)
    corners = np.array([[0, 0], [degree, 0], [0, degree]])
    edges = [np.column_stack(e) for e in ((k, zero), (degree - k, k), (zero, degree - k))]
    return np.concatenate([corners, *edges, vtk_lattice(degree - 3) + 1])


def _monomials(x: np.ndarray, y: np.ndarray, degree: int) -> list[np.ndarray]:
    """x^i y^j with i + j <= degree."""
    powers_x, powers_y = [np.ones_like(x)], [np.ones_like(y)]
    for _ in range(degree):
        powers_x.append(powers_x[-1] * x)
        powers_y.append(powers_y[-1] * y)
    return [powers_x[i] * powers_y[k - i] for k in range(degree + 1) for i in range(k + 1)]


@dataclass(frozen=True, kw_only=True, eq=False)
class CellSet:
    """Triangular Lagrange cells, each with its own nodes.

    Attributes:
        points: Nodes of each cell in the order of VTK, m, shape (c, n, 2).
    """

    points: np.ndarray

    @property
    def degree(self) -> int:
        """Polynomial degree, from the number of nodes."""
        return (isqrt(8 * self.points.shape[1] + 1) - 3) // 2

    def coefficients(self, values: np.ndarray) -> np.ndarray:
        """Coefficients of the monomials about the centre of the reference cell.

        Args:
            values: At the nodes, shape (c, n).

        Returns:
            Monomial by monomial, shape (n, c).
        """
        at = vtk_lattice(self.degree) / self.degree - 1 / 3
        table = np.column_stack(_monomials(at[:, 0], at[:, 1], self.degree))
        return np.linalg.inv(table) @ values.T

    def grid(self, extent: Extent, columns: int, rows: int) -> Grid:
        """Find the points of a regular grid in the cells.

        Args:
            extent: Left, right, bottom, top of the picture, m.
            columns: Number of pixels, side by side.
            rows: Number of pixels, one above the other.

        Returns:
            The grid of the centres of the pixels.
        """
        x0, x1, y0, y1 = extent
        step = np.array([(x1 - x0) / columns, (y1 - y0) / rows])
        nodes = (self.points - (x0, y0)) / step - 0.5
        low = np.maximum(np.ceil(nodes.min(axis=1)), 0).astype(int)
        high = np.minimum(np.floor(nodes.max(axis=1)), (columns - 1, rows - 1)).astype(int)
        size = np.maximum(high - low + 1, 0)
        count = size[:, 0] * size[:, 1]
        cell = np.repeat(np.arange(len(nodes)), count)
        rank = np.arange(len(cell)) - np.repeat(np.cumsum(count) - count, count)
        down, right = np.divmod(rank, size[cell, 0])
        column, row = low[cell, 0] + right, low[cell, 1] + down
        x, y = self._reference(nodes, cell, column, row)
        inside = (x > -1e-6) & (y > -1e-6) & (x + y < 1 + 1e-6)
        cell, column, row, x, y = (a[inside] for a in (cell, column, row, x, y))
        return Grid(
            cells=self,
            shape=(rows, columns),
            x=x0 + (np.arange(columns) + 0.5) * step[0],
            y=y0 + (np.arange(rows) + 0.5) * step[1],
            cell=cell,
            pixel=row * columns + column,
            table=_monomials(x - 1 / 3, y - 1 / 3, self.degree),
        )

    def _reference(
        self, nodes: np.ndarray, cell: np.ndarray, column: np.ndarray, row: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Reference coordinates of pixels in their cells: affine, then Newton where curved."""
        origin, sides = nodes[:, 0], nodes[:, 1:3] - nodes[:, :1]
        determinant = sides[:, 0, 0] * sides[:, 1, 1] - sides[:, 0, 1] * sides[:, 1, 0]
        inverse = (
            np.stack([sides[:, 1, 1], -sides[:, 1, 0], -sides[:, 0, 1], sides[:, 0, 0]], axis=1)
            / determinant[:, None]
        )
        dx, dy = column - origin[cell, 0], row - origin[cell, 1]
        x = inverse[cell, 0] * dx + inverse[cell, 1] * dy
        y = inverse[cell, 2] * dx + inverse[cell, 3] * dy
        lattice = vtk_lattice(self.degree) / self.degree
        straight = origin[:, None] + np.einsum("nk,ckd->cnd", lattice, sides)
        bend = np.abs(nodes - straight).max(axis=(1, 2))
        curved = bend > 1e-3  # of a pixel
        chosen = np.flatnonzero(curved[cell])
        if len(chosen):
            c = cell[chosen]
            shape = [self.coefficients(nodes[:, :, k])[:, c] for k in (0, 1)]
            for _ in range(3):
                table = _monomials(x[chosen] - 1 / 3, y[chosen] - 1 / 3, self.degree)
                off_x = column[chosen] - sum(s * t for s, t in zip(shape[0], table, strict=True))
                off_y = row[chosen] - sum(s * t for s, t in zip(shape[1], table, strict=True))
                # Simplified Newton: cells are bent by little of their size.
                x[chosen] += np.clip(inverse[c, 0] * off_x + inverse[c, 1] * off_y, -0.3, 0.3)
                y[chosen] += np.clip(inverse[c, 2] * off_x + inverse[c, 3] * off_y, -0.3, 0.3)
        return x, y

    def outline(self) -> np.ndarray:
        """Edges that belong to one cell only, cell on the left, shape (e, degree + 1, 2)."""
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


def vertex_numbers(points: np.ndarray) -> np.ndarray:
    """Number points so that equal ones, up to rounding, get the same number, shape (n,)."""
    size = max(np.ptp(points, axis=0).max(), 1e-300)
    scaled = (points - points.min(axis=0)) / size
    numbers = np.zeros(len(points), dtype=np.int64)
    for axis in (0, 1):
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
        coefficients = self.cells.coefficients(nodal)
        out = np.full(self.shape[0] * self.shape[1], np.nan)
        out[self.pixel] = sum(
            c[self.cell] * t for c, t in zip(coefficients, self.table, strict=True)
        )
        return out.reshape(self.shape)
