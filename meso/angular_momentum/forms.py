"""Weak forms on a device, tested cell by cell: their coefficients, and vectors of cells."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import basix.ufl
import dolfinx
import numpy as np
import ufl

from meso.compiled import functional
from meso.device import Device
from meso.discrete.cells import cells_of


def by_region(device: Device, values: np.ndarray) -> Any:
    """A tensor with one value in each region, shape (r, ...), as a function."""
    return broken(device, 0, values[device.cell_region, None])


def at_points(device: Device, degree: int, values: Callable[[np.ndarray], np.ndarray]) -> Any:
    """A vector with values (c, q, n) at the points of a quadrature, from positions (c, q, d), m."""
    cells = cells_of(device)
    points, _ = cells.quadrature(degree)
    found = values(cells.positions(np.arange(cells.count), points) * device.extent)
    kind = device.mesh.basix_cell()
    element = basix.ufl.quadrature_element(kind, value_shape=found.shape[2:], degree=degree)
    space = dolfinx.fem.functionspace(device.mesh, element)
    function = dolfinx.fem.Function(space)
    assign(function, found)
    return function


def broken(device: Device, degree: int, values: np.ndarray) -> Any:
    """A vector with values at the nodes of each cell, (c, nodes, n), as a function."""
    space = dolfinx.fem.functionspace(device.mesh, ("DG", degree, values.shape[2:]))
    function = dolfinx.fem.Function(space)
    assign(function, values)
    return function


def assign(function: Any, values: np.ndarray) -> None:
    """Give a function of a discontinuous space values at the nodes of each cell."""
    dofs = function.function_space.dofmap
    at = dofs.list[: len(values)]
    function.x.array.reshape(-1, dofs.bs)[at] = values.reshape(*at.shape, dofs.bs)


def tested(
    device: Device, degree: int, components: int, form: Callable[[Any], ufl.Form]
) -> Callable[[], np.ndarray]:
    """A linear form of test functions in DG_k^n at the nodes of each cell, (c, nodes, n), SI.

    The function that is returned assembles it with the values that its coefficients have then.
    """
    space = dolfinx.fem.functionspace(device.mesh, ("DG", degree, (components,)))
    ready = functional(form(ufl.TestFunction(space)))
    nodes = space.dofmap.list[: len(device.cell_region)]

    def assembled() -> np.ndarray:
        return np.asarray(dolfinx.fem.assemble_vector(ready).array.reshape(-1, components)[nodes])

    return assembled
