"""UFL expressions in cells: coefficients that they are made of, their values and integrals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dolfinx
import numpy as np
import ufl

from meso import _compat
from meso.compiled import expression, functional
from meso.device import Device
from meso.discrete.cells import cells_of, space
from meso.discrete.fields import Field, cellwise

#: From cells (c,) and positions over ``Device.extent`` (c, p, d) to values (c,) or (c, p).
Sample = Callable[[np.ndarray, np.ndarray], np.ndarray]


def coefficient(device: Device, degree: int, sample: Sample) -> Any:
    """A DOLFINx function in DG_k that interpolates a quantity in each cell of this rank."""
    cells = cells_of(device)
    everything = np.arange(cells.count)
    nodes = space(device, "DG", degree, 1).element.basix_element.points
    values = sample(everything, cells.positions(everything, nodes))
    values = values if values.ndim == 2 else values[:, None]
    values = np.broadcast_to(values, (len(values), len(nodes)))
    return cellwise("coefficient", "", device, degree, values).function()


def interpolated(name: str, unit: str, device: Device, degree: int, value: Any) -> Field:
    """A UFL expression, scalar or vector, of functions on a device, as a field in DG_k."""
    components = value.ufl_shape[0] if value.ufl_shape else 1
    function = dolfinx.fem.Function(space(device, "DG", degree, components))
    points = _compat.interpolation_points(function.function_space.element)
    function.interpolate(expression(value, points))
    function.x.scatter_forward()
    return Field(name=name, unit=unit, device=device, data=function)


def cell_integrals(device: Device, value: Any, *, degree: int) -> np.ndarray:
    """Integrals of a UFL expression over each cell of this rank, shape (c[, components]).

    Args:
        device: The device.
        value: A scalar or a vector, of functions on its mesh.
        degree: Degree of the quadrature.
    """
    components = value.ufl_shape[0] if value.ufl_shape else 1
    constants = space(device, "DG", 0, components)
    test = ufl.TestFunction(constants)
    form = functional(ufl.inner(value, test) * ufl.dx(domain=device.mesh, degree=degree))
    found = dolfinx.fem.assemble_vector(form).array.reshape(-1, components)
    found = found[constants.dofmap.list[: len(device.cell_region), 0]]
    return found if value.ufl_shape else found[:, 0]
