"""UFL expressions in cells: coefficients that they are made of, and their values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dolfinx
import numpy as np

from meso import _compat
from meso.compiled import expression
from meso.device import Device
from meso.discrete.cells import cells_of
from meso.discrete.fields import Field, cellwise, space

#: From cells (c,) and positions over ``Device.extent`` (c, p, d) to values (c,) or (c, p).
Sample = Callable[[np.ndarray, np.ndarray], np.ndarray]


def coefficient(device: Device, degree: int, sample: Sample) -> Any:
    """A DOLFINx function in DG_k that interpolates a quantity in each cell of this rank."""
    cells = cells_of(device)
    everything = np.arange(cells.count)
    nodes = space(device, "DG", degree, 1).element.basix_element.points
    values = sample(everything, cells.positions(everything, nodes))
    values = np.broadcast_to(values.reshape(len(values), -1), (len(values), len(nodes)))
    return cellwise("coefficient", "", device, degree, values).function()


def interpolated(name: str, unit: str, device: Device, degree: int, value: Any) -> Field:
    """A UFL expression, scalar or vector, of functions on a device, as a field in DG_k."""
    components = value.ufl_shape[0] if value.ufl_shape else 1
    function = dolfinx.fem.Function(space(device, "DG", degree, components))
    points = _compat.interpolation_points(function.function_space.element)
    function.interpolate(expression(value, points))
    function.x.scatter_forward()
    return Field(name=name, unit=unit, device=device, data=function)
