"""UFL expressions in cells: coefficients that they are made of, and their values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dolfinx
import numpy as np

from meso import _compat
from meso.compiled import expression
from meso.device import Device
from meso.discrete.cells import cells_of, lagrange

#: From cells (c,) and positions over ``Device.extent`` (c, p, d) to values (c,) or (c, p).
Sample = Callable[[np.ndarray, np.ndarray], np.ndarray]


def coefficient(device: Device, degree: int, sample: Sample) -> Any:
    """A DOLFINx function in DG_k that interpolates a quantity in each cell of this rank."""
    space = dolfinx.fem.functionspace(device.mesh, ("DG", degree))
    cells = cells_of(device)
    everything = np.arange(cells.count)
    at = cells.positions(everything, lagrange(device, degree).points if degree else _centre(device))
    values = sample(everything, at)
    function = dolfinx.fem.Function(space)
    nodes = space.dofmap.list[: len(values)]
    function.x.array[nodes] = values if values.ndim == 2 else values[:, None]
    function.x.scatter_forward()
    return function


def interpolated(device: Device, value: Any, degree: int) -> np.ndarray:
    """Values of a UFL expression at the nodes of DG_k, (c, nodes, components).

    Args:
        device: The device.
        value: A scalar or a vector, of functions on the mesh of the device.
        degree: Degree k.
    """
    space = dolfinx.fem.functionspace(device.mesh, ("DG", degree, value.ufl_shape))
    function = dolfinx.fem.Function(space)
    function.interpolate(expression(value, _compat.interpolation_points(space.element)))
    components = value.ufl_shape[0] if value.ufl_shape else 1
    nodes = space.dofmap.list[: len(device.cell_region)]
    return np.asarray(function.x.array.reshape(-1, components)[nodes])


def _centre(device: Device) -> np.ndarray:
    d = device.dimension
    return np.full((1, d), 1 / (d + 1))
