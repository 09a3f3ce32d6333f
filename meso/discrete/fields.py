"""Fields as nodal values on every cell: evaluation, integration, DOLFINx functions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import dolfinx
import numpy as np

from meso.device import Device
from meso.discrete.cells import cells_of, inverse, lagrange
from meso.mpi import largest, smallest


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Field:
    """A polynomial field on each cell of this rank, possibly discontinuous.

    Attributes:
        name: Name in the output.
        unit: SI unit as in column names, for instance "A_per_m2".
        device: The device.
        degree: Polynomial degree.
        values: Values at the Lagrange nodes of each cell, shape (c, n, components).
    """

    name: str
    unit: str
    device: Device
    degree: int
    values: np.ndarray

    @property
    def components(self) -> int:
        """Number of components."""
        return self.values.shape[2]

    def at(self, cells: np.ndarray, points: np.ndarray) -> np.ndarray:
        """Values in cells at one reference point each.

        Args:
            cells: Cell numbers, shape (m,).
            points: Reference points, shape (m, d).

        Returns:
            Shape (m, components).
        """
        table = self.table(points)
        return np.einsum("mn,mnk->mk", table, self.values[cells])

    def everywhere(self, points: np.ndarray) -> np.ndarray:
        """Values in all cells at the same reference points (q, d), shape (c, q, components)."""
        return np.einsum("qn,cnk->cqk", self.table(points), self.values)

    def table(self, points: np.ndarray) -> np.ndarray:
        """Basis functions at reference points, shape (q, n)."""
        if self.degree == 0:
            return np.ones((len(points), 1))
        return lagrange(self.device, self.degree).values(points)

    def function(self) -> Any:
        """The field as a DOLFINx function (continuous where the field is, else DG)."""
        device = self.device
        shape = (self.components,) if self.components > 1 else ()
        space = dolfinx.fem.functionspace(device.mesh, ("DG", self.degree, shape))
        function = dolfinx.fem.Function(space, name=self.name)
        block = space.dofmap.list[: len(self.values)]
        function.x.array.reshape(-1, self.components)[block] = self.values
        return function

    def extrema(self) -> tuple[float, float]:
        """Smallest and largest value (of the magnitude, for a vector) over all ranks."""
        values = self.values[..., 0]
        if self.components > 1:
            values = np.linalg.norm(self.values, axis=2)
        comm = self.device.comm
        low = values.min() if values.size else np.inf
        high = values.max() if values.size else -np.inf
        return smallest(comm, low), largest(comm, high)


def continuous(name: str, unit: str, device: Device, degree: int, nodal: np.ndarray) -> Field:
    """A field from the nodal values of a continuous Lagrange space, shape (nodes[, k])."""
    values = (nodal if nodal.ndim > 1 else nodal[:, None])[lagrange(device, degree).dofs]
    return Field(name=name, unit=unit, device=device, degree=degree, values=values)


def continuous_function(name: str, device: Device, degree: int, nodal: np.ndarray) -> Any:
    """Nodal values of a continuous Lagrange space as a DOLFINx function."""
    components = 1 if nodal.ndim == 1 else nodal.shape[1]
    shape = (components,) if nodal.ndim > 1 else ()
    space = dolfinx.fem.functionspace(device.mesh, ("Lagrange", degree, shape))
    function = dolfinx.fem.Function(space, name=name)
    # Spaces of one degree share the order of their nodes, cell by cell.
    dofs = lagrange(device, degree).dofs
    own = space.dofmap.list[: len(dofs)]
    function.x.array.reshape(-1, components)[own] = nodal.reshape(-1, components)[dofs]
    return function


def function_of(field: Field, *, continuous: bool) -> Any:
    """A field as a DOLFINx function: of a continuous space, or as it is, cell by cell."""
    if not continuous:
        return field.function()
    space = lagrange(field.device, field.degree)
    nodal = np.zeros((space.nodes, field.components))
    nodal[space.dofs] = field.values
    flat = nodal[:, 0] if field.components == 1 else nodal
    function = continuous_function(field.name, field.device, field.degree, flat)
    function.x.scatter_forward()
    return function


def gradient(field: Field, points: np.ndarray, cells: np.ndarray | None = None) -> np.ndarray:
    """Physical gradients in SI at the same reference points of cells.

    Args:
        field: The field.
        points: Reference points, shape (q, d).
        cells: Cell numbers, shape (c,); all cells by default.

    Returns:
        Derivatives d_i of each component, shape (c, q, i, components).
    """
    device = field.device
    geometry = cells_of(device)
    if cells is None:
        cells = np.arange(geometry.count)
    if field.degree == 0:
        return np.zeros((len(cells), len(points), geometry.dimension, field.components))
    table = lagrange(device, field.degree).gradients(points)
    reference = np.einsum("qna,cnk->cqak", table, field.values[cells], optimize=True)
    inverses, _ = inverse(geometry.jacobians(cells, points))
    return np.einsum("cqai,cqak->cqik", inverses, reference) / device.extent
