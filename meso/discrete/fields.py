"""Fields: DOLFINx functions with a name and a unit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import dolfinx
import numpy as np

from meso.device import Device
from meso.discrete.cells import FacetGeometry, cells_of, inverse, lagrange, slopes, space
from meso.mpi import largest, smallest


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Field:
    """A field on a device.

    Attributes:
        name: Name in the output.
        unit: SI unit as in column names, for instance "A_per_m2".
        device: The device.
        data: A function of a Lagrange space on its mesh, continuous or not.
    """

    name: str
    unit: str
    device: Device
    data: Any

    def __post_init__(self) -> None:
        self.data.name = self.name

    def function(self) -> Any:
        """The field as a DOLFINx function, continuous where the field is, else DG."""
        return self.data

    @property
    def degree(self) -> int:
        """Degree up to which it has all polynomials."""
        return int(self.data.function_space.element.basix_element.embedded_subdegree)

    @property
    def highest(self) -> int:
        """Degree of its polynomials, in which it may be enriched."""
        return int(self.data.function_space.element.basix_element.degree)

    @property
    def components(self) -> int:
        """Number of components."""
        return int(self.data.function_space.dofmap.index_map_bs)

    @property
    def values(self) -> np.ndarray:
        """Values at the Lagrange nodes of each cell of this rank, shape (c, n, components)."""
        return nodal_values(self.data, slice(len(self.device.cell_region)))

    def at(self, cells: np.ndarray, points: np.ndarray) -> np.ndarray:
        """Values in cells at one reference point each, shape (m, components)."""
        return values_at(self.data, cells, points)

    def everywhere(self, points: np.ndarray) -> np.ndarray:
        """Values in all cells at the same reference points (q, d), shape (c, q, components)."""
        return self.table(points) @ self.values

    def table(self, points: np.ndarray) -> np.ndarray:
        """Basis functions at reference points, shape (q, n)."""
        basis = self.data.function_space.element.basix_element
        return np.asarray(basis.tabulate(0, np.ascontiguousarray(points))[0, :, :, 0])

    def slopes(self, points: np.ndarray) -> np.ndarray:
        """Derivatives of these along the axes of the reference cell, shape (d, q, n)."""
        return slopes(self.data.function_space, points)

    def extrema(self) -> tuple[float, float]:
        """Smallest and largest value (of the magnitude, for a vector) over all ranks."""
        sizes, comm = magnitudes(self.values), self.device.comm
        low, high = sizes.min(initial=np.inf), sizes.max(initial=-np.inf)
        return smallest(comm, low), largest(comm, high)


def magnitudes(values: np.ndarray) -> np.ndarray:
    """Values of a scalar, lengths of a vector: from (..., components) to (...)."""
    if values.shape[-1] == 1:
        return values[..., 0]
    # Half of the time of np.linalg.norm, which is made for long vectors.
    return np.sqrt(sum(part**2 for part in np.moveaxis(values, -1, 0)))


def nodal_values(function: Any, cells: Any) -> np.ndarray:
    """Values of a function at the nodes of cells, shape (c, n, components)."""
    dofmap = function.function_space.dofmap
    return np.asarray(function.x.array.reshape(-1, dofmap.index_map_bs)[dofmap.list[cells]])


def values_at(function: Any, cells: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Values of a function in cells at one reference point each, shape (m, components)."""
    basis = function.function_space.element.basix_element
    table = basis.tabulate(0, np.ascontiguousarray(points))[0, :, :, 0]
    return np.asarray((table[:, None] @ nodal_values(function, cells))[:, 0])


def on_facets(field: Field, geometry: FacetGeometry) -> np.ndarray:
    """Values at points of boundary facets, shape (f, q, components)."""
    table = geometry.table(lambda points, _: field.table(points))
    return np.asarray(table @ nodal_values(field.data, geometry.cell))


def continuous(
    name: str,
    unit: str,
    device: Device,
    degree: int,
    nodal: np.ndarray,
    family: str = "Lagrange",
) -> Field:
    """A field from the nodal values of a continuous space, shape (nodes[, k])."""
    nodal = nodal if nodal.ndim == 2 else nodal[:, None]
    function = dolfinx.fem.Function(space(device, family, degree, nodal.shape[1]))
    # Spaces of one degree share the order of their nodes, cell by cell.
    dofs = lagrange(device, degree, family).dofs
    own = function.function_space.dofmap.list[: len(dofs)]
    function.x.array.reshape(nodal.shape)[own] = nodal[dofs]
    function.x.scatter_forward()
    return Field(name=name, unit=unit, device=device, data=function)


def cellwise(
    name: str,
    unit: str,
    device: Device,
    degree: int,
    values: np.ndarray,
    *,
    joined: bool = False,
) -> Field:
    """A field from values at the nodes of each cell, shape (c, n[, components]).

    It is continuous if it is ``joined``: where cells agree about the nodes that they share.
    """
    values = values if values.ndim == 3 else values[..., None]
    if joined:
        nodes = lagrange(device, degree)
        nodal = np.zeros((nodes.nodes, values.shape[2]))
        nodal[nodes.dofs] = values
        return continuous(name, unit, device, degree, nodal)
    function = dolfinx.fem.Function(space(device, "DG", degree, values.shape[2]))
    own = function.function_space.dofmap.list[: len(values)]
    function.x.array.reshape(-1, values.shape[2])[own] = values
    function.x.scatter_forward()
    return Field(name=name, unit=unit, device=device, data=function)


def difference(fine: Field, coarse: Field) -> Field:
    """Fine minus coarse field, of a degree that is not higher, on the same mesh."""
    points = lagrange(fine.device, fine.highest).points
    values = fine.everywhere(points) - coarse.everywhere(points)
    return cellwise(fine.name, fine.unit, fine.device, fine.highest, values)


def gradient(field: Field, points: np.ndarray, cells: np.ndarray | None = None) -> np.ndarray:
    """Gradients, d_i of each component, in SI, shape (c, q, i, components).

    At the same reference points (q, d) of cells, by default of all of them.
    """
    device, geometry = field.device, cells_of(field.device)
    if cells is None:
        cells = np.arange(geometry.count)
    table = slopes(field.data.function_space, points)
    # One matrix product per reference direction: (q, n) @ (c, n, k).
    nodal = nodal_values(field.data, cells)
    reference = np.stack([part @ nodal for part in table], axis=2)
    inverses, _ = inverse(geometry.jacobians(cells, points))
    return inverses.swapaxes(-1, -2) @ reference / device.extent
