"""Fields that are made of a flow by a UFL expression."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import dolfinx
import numpy as np
import ufl

from meso import _compat
from meso.compiled import expression
from meso.discrete.cells import cells_of, lagrange
from meso.discrete.coefficients import material_values
from meso.discrete.fields import Field
from meso.equations.derived import Derived
from meso.errors import CaseError
from meso.flow.result import Flow


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowFields:
    """What an expression may be made of; lengths in metres, SI units.

    Attributes:
        J: Current density.
        phi: Electrochemical potential.
        x: Position.
        model: "ohmic", "hydrodynamic" or "kinetic".
        material: From a function of the material to a coefficient.
    """

    J: Any
    phi: Any
    x: Any
    model: str
    material: Callable[[Callable[[Any], Any]], Any]


def derive(flow: Flow, name: str, of: Derived) -> Field:
    """A field that follows from a flow, interpolated in each cell; all ranks call this.

    Args:
        flow: The flow.
        name: Its name.
        of: What it is; with an expression.

    Returns:
        The field, of the degree of the flow.

    Raises:
        CaseError: The expression is neither a scalar nor a vector of the device's dimension.
    """
    assert of.expression is not None
    device, degree = flow.device, flow.order
    symbols = FlowFields(
        J=flow.current_density,
        phi=flow.potential,
        x=ufl.SpatialCoordinate(device.mesh),
        model=flow.model,
        material=lambda quantity: _coefficient(flow, quantity, degree),
    )
    value = ufl.as_ufl(of.expression(symbols))
    if value.ufl_shape not in ((), (device.dimension,)):
        raise CaseError(
            f"derived field {name}: found shape {value.ufl_shape}; must be a scalar or a vector of"
            f" {device.dimension} components"
        )
    space = dolfinx.fem.functionspace(device.mesh, ("DG", degree, value.ufl_shape))
    function = dolfinx.fem.Function(space)
    function.interpolate(expression(value, _compat.interpolation_points(space.element)))
    components = value.ufl_shape[0] if value.ufl_shape else 1
    nodes = space.dofmap.list[: len(device.cell_region)]
    sheet = any(m.carriers == "2d" for m in flow.materials.values())
    return Field(
        name=name,
        unit=of.unit_in(sheet),
        device=device,
        degree=degree,
        values=function.x.array.reshape(-1, components)[nodes],
    )


def _coefficient(flow: Flow, quantity: Callable[[Any], Any], degree: int) -> Any:
    """A quantity of the materials as a function, in each cell."""
    device = flow.device
    space = dolfinx.fem.functionspace(device.mesh, ("DG", degree))
    cells, everything = cells_of(device), np.arange(len(device.cell_region))
    at = cells.positions(everything, lagrange(device, degree).points)
    values = material_values(device, flow.materials, quantity, everything, at)
    function = dolfinx.fem.Function(space)
    nodes = space.dofmap.list[: len(values)]
    function.x.array[nodes] = values if values.ndim == 2 else values[:, None]
    return function
