"""Geometry of cells and boundary facets, and tables of Lagrange elements, in batches.

Arrays are ordered (cell, quadrature point, ...). Lengths are divided by ``Device.extent``, so
that nanometres cost no digits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import basix
import dolfinx
import numpy as np

from meso import _compat
from meso.device import Device

_VERTICES = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
# Ends of the facets of the reference triangle, counter-clockwise.
_BEGIN, _END = np.array([1, 2, 0]), np.array([2, 0, 1])
# Numbers that one batch of element arrays may hold.
_BATCH = 3_000_000


@lru_cache(maxsize=64)
def quadrature(degree: int) -> tuple[np.ndarray, np.ndarray]:
    """Points (q, 2) and weights (q,) on the reference triangle, exact up to ``degree``."""
    return basix.make_quadrature(basix.CellType.triangle, degree)


@lru_cache(maxsize=64)
def facet_quadrature(degree: int) -> tuple[np.ndarray, np.ndarray]:
    """Points (q,) and weights (q,) on the unit interval, exact up to ``degree``."""
    s, weight = np.polynomial.legendre.leggauss(degree // 2 + 1)
    return (s + 1) / 2, weight / 2


def facet_points(s: np.ndarray) -> np.ndarray:
    """Points s in [0, 1] along the three facets of the reference triangle, shape (3, q, 2)."""
    begin, end = _VERTICES[_BEGIN], _VERTICES[_END]
    return begin[:, None] * (1 - s)[None, :, None] + end[:, None] * s[None, :, None]


class Lagrange:
    """Scalar continuous Lagrange space with its tables.

    Attributes:
        space: DOLFINx function space.
        degree: Polynomial degree.
        dofs: Nodes of each cell of this rank, shape (c, n).
        outer: Positions in a cell of the nodes on its boundary.
        interior: Positions of the nodes inside it.
        on_facet: Positions of the nodes of each facet, shape (3, degree + 1).
    """

    def __init__(self, device: Device, degree: int) -> None:
        self.space = dolfinx.fem.functionspace(device.mesh, ("Lagrange", degree))
        self.degree = degree
        local = len(device.cell_region)
        self.dofs = np.asarray(self.space.dofmap.list)[:local]
        layout = self.space.dofmap.dof_layout
        # Basix puts the nodes inside a triangle last.
        inside = len(layout.entity_dofs(2, 0))
        self.outer = slice(0, self.dofs.shape[1] - inside)
        self.interior = slice(self.dofs.shape[1] - inside, self.dofs.shape[1])
        self.on_facet = np.array([sorted(layout.entity_closure_dofs(1, i)) for i in range(3)])
        self.index_map = self.space.dofmap.index_map
        self.nodes = self.index_map.size_local + self.index_map.num_ghosts

    @property
    def points(self) -> np.ndarray:
        """Nodes of the reference cell, shape (n, 2)."""
        return self.space.element.basix_element.points

    def values(self, points: np.ndarray) -> np.ndarray:
        """Basis functions at reference points, shape (q, n)."""
        return self.space.element.basix_element.tabulate(0, points)[0, :, :, 0]

    def gradients(self, points: np.ndarray) -> np.ndarray:
        """Reference gradients at reference points, shape (q, n, 2)."""
        table = self.space.element.basix_element.tabulate(1, points)[1:, :, :, 0].transpose(1, 2, 0)
        # Basis functions sum to one: what rounding leaves of it would add up over all cells.
        return table - table.mean(axis=1, keepdims=True)

    def shared_sum(self, nodal: np.ndarray) -> np.ndarray:
        """Sum of the contributions of all ranks at each node, shape (nodes,)."""
        vector = dolfinx.la.vector(self.index_map, 1)
        vector.array[:] = nodal
        vector.scatter_reverse(dolfinx.la.InsertMode.add)
        vector.scatter_forward()
        return np.array(vector.array)

    def nodes_on(self, device: Device, boundary: str) -> np.ndarray:
        """Nodes on a named boundary, known to every rank that touches them."""
        chosen = device.facets.boundary == device.boundaries.index(boundary)
        facets = device.facets.of(chosen)
        device.mesh.topology.create_connectivity(2, 1)
        device.mesh.topology.create_connectivity(1, 2)
        of_cell = device.mesh.topology.connectivity(2, 1).array.reshape(-1, 3)
        entities = of_cell[facets.cell, facets.local]
        return dolfinx.fem.locate_dofs_topological(self.space, 1, entities)


def lagrange(device: Device, degree: int) -> Lagrange:
    """The Lagrange space of a device, made once."""
    key = ("lagrange", degree)
    if key not in device.cache:
        device.cache[key] = Lagrange(device, degree)
    return device.cache[key]


class Cells:
    """Geometry of this rank's cells, lengths over ``Device.extent``.

    Attributes:
        degree: Polynomial degree of the geometry.
        nodes: Geometry nodes, shape (c, g, 2).
        affine: True for straight cells, shape (c,).
    """

    def __init__(self, device: Device) -> None:
        x, dofmap, self.degree = _compat.geometry(device.mesh)
        self.count = len(device.cell_region)
        self.nodes = x[dofmap[: self.count]][:, :, :2] / device.extent
        self.element = _compat.scalar_element("triangle", self.degree)
        if self.degree == 1:
            self.affine = np.ones(self.count, dtype=bool)
        else:
            straight = self._straight() @ self.nodes[:, :3]
            bend = np.abs(self.nodes - straight).max(axis=(1, 2))
            size = np.ptp(self.nodes[:, :3], axis=1).max(axis=1)
            self.affine = bend < 1e-11 * size

    def _straight(self) -> np.ndarray:
        points = self.element.points
        return np.column_stack([1 - points.sum(axis=1), points])

    def batches(self, numbers_per_cell: int) -> Iterator[tuple[np.ndarray, bool]]:
        """Cell numbers in batches of equal kind; the flag is True for straight cells."""
        step = max(1, _BATCH // max(1, numbers_per_cell))
        for kind in (True, False):
            chosen = np.flatnonzero(self.affine == kind)
            for start in range(0, len(chosen), step):
                yield chosen[start : start + step], kind

    def positions(self, cells: np.ndarray, points: np.ndarray) -> np.ndarray:
        """Scaled coordinates of reference points, shape (c, q, 2)."""
        return self.element.tabulate(0, points)[0, :, :, 0] @ self.nodes[cells]

    def jacobians(self, cells: np.ndarray, points: np.ndarray) -> np.ndarray:
        """dx_i/dX_a at reference points, shape (c, q, i, a)."""
        table = self.element.tabulate(1, points)[1:, :, :, 0]
        # One matrix product per reference direction: (q, g) @ (c, g, 2).
        return np.stack([table[a] @ self.nodes[cells] for a in range(2)], axis=3)

    def derivatives(self, cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """For straight cells: inverse Jacobians dX_a/dx_i, (c, a, i), and determinants (c,)."""
        corner = self.nodes[cells, :3]
        jacobian = np.stack([corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]], axis=2)
        return inverse(jacobian)

    def gradients(
        self, cells: np.ndarray, points: np.ndarray, reference: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Gradients of basis functions, (c, q, i, n), and determinants (c, q).

        Args:
            cells: Cell numbers, shape (c,).
            points: Reference points, shape (q, 2).
            reference: Reference gradients there, shape (q, n, 2).
        """
        inverses, determinant = inverse(self.jacobians(cells, points))
        along = np.ascontiguousarray(reference.transpose(2, 0, 1))
        gradient = along[0][None, :, None] * inverses[:, :, 0, :, None]
        gradient += along[1][None, :, None] * inverses[:, :, 1, :, None]
        return gradient, determinant


def inverse(jacobian: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Inverses and determinants of 2 by 2 matrices, shape (..., 2, 2) and (...)."""
    (a, b), (c, d) = (
        (jacobian[..., 0, 0], jacobian[..., 0, 1]),
        (
            jacobian[..., 1, 0],
            jacobian[..., 1, 1],
        ),
    )
    determinant = a * d - b * c
    adjugate = np.stack([np.stack([d, -b], axis=-1), np.stack([-c, a], axis=-1)], axis=-2)
    return adjugate / determinant[..., None, None], determinant


def cells_of(device: Device) -> Cells:
    """The cell geometry of a device, made once."""
    if "cells" not in device.cache:
        device.cache["cells"] = Cells(device)
    return device.cache["cells"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FacetGeometry:
    """Boundary facets of one kind at quadrature points.

    Attributes:
        cell: Cells, shape (f,).
        local: Facet numbers in the cells, shape (f,).
        points: Reference points in the cell, shape (3, q, 2), by facet number.
        position: Scaled coordinates, shape (f, q, 2).
        normal: Outward unit normals, shape (f, q, 2).
        tangent: Unit tangents z x n (conductor on the left), shape (f, q, 2).
        weight: Quadrature weight times line element, shape (f, q).
        curvature: Wall curvature, positive where the conductor is convex, shape (f, q).
        height: Height of the cell over the facet, shape (f,).
    """

    cell: np.ndarray
    local: np.ndarray
    points: np.ndarray
    position: np.ndarray
    normal: np.ndarray
    tangent: np.ndarray
    weight: np.ndarray
    curvature: np.ndarray
    height: np.ndarray


def facet_geometry(
    cells: Cells, cell: np.ndarray, local: np.ndarray, s: np.ndarray, weight: np.ndarray
) -> FacetGeometry:
    """Geometry of boundary facets at the points s in [0, 1] along them."""
    points = facet_points(s)
    shape = (len(cell), len(s), 2)
    position, first, second = np.empty(shape), np.empty(shape), np.zeros(shape)
    along = _VERTICES[_END] - _VERTICES[_BEGIN]
    for i in range(3):
        here = local == i
        table = cells.element.tabulate(2, points[i])[:, :, :, 0]
        nodes = cells.nodes[cell[here]]
        a, b = along[i]
        position[here] = table[0] @ nodes
        first[here] = (a * table[1] + b * table[2]) @ nodes
        second[here] = (a * a * table[3] + 2 * a * b * table[4] + b * b * table[5]) @ nodes
    speed = np.linalg.norm(first, axis=2)
    tangent = first / speed[..., None]
    normal = np.stack([tangent[..., 1], -tangent[..., 0]], axis=2)
    curvature = (first[..., 0] * second[..., 1] - first[..., 1] * second[..., 0]) / speed**3
    corner = cells.nodes[cell, :3]
    u, v = corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]
    area = np.abs(u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]) / 2
    ends = corner[np.arange(len(cell)), _END[local]] - corner[np.arange(len(cell)), _BEGIN[local]]
    return FacetGeometry(
        cell=cell,
        local=local,
        points=points,
        position=position,
        normal=normal,
        tangent=tangent,
        weight=speed * weight,
        curvature=curvature,
        height=2 * area / np.linalg.norm(ends, axis=1),
    )


def by_facet(local: np.ndarray, table: Callable[[int], Any]) -> np.ndarray:
    """Stack a table that depends on the facet number, one entry per facet."""
    tables = np.stack([table(i) for i in range(3)])
    return tables[local]
