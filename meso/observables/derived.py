"""Fields that are made of a flow by a UFL expression."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ufl

from meso.discrete.coefficients import material_values
from meso.discrete.expressions import coefficient, interpolated
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
        viscous: Whether vorticity diffuses: in all models but Ohm's law.
        anisotropic: Whether the conductivity is a tensor somewhere.
        magnetic_field: Along z, T.
        material: From a function of the material to a coefficient.
    """

    J: Any
    phi: Any
    x: Any
    viscous: bool
    anisotropic: bool
    magnetic_field: float
    material: Callable[[Callable[[Any], Any]], Any]


def symbols(flow: Flow, current_density: Any) -> FlowFields:
    """The symbols of a flow, or of another current density in its materials."""
    device, materials = flow.device, flow.materials
    degree = flow.order if any(m.varies_in_cells for m in materials.values()) else 0

    def material(quantity: Callable[[Any], Any]) -> Any:
        return coefficient(
            device, degree, lambda c, x: material_values(device, materials, quantity, c, x)
        )

    return FlowFields(
        J=current_density,
        phi=flow.potential,
        x=ufl.SpatialCoordinate(device.mesh),
        viscous=flow.viscous,
        anisotropic=any(m.conductivity_tensor is not None for m in materials.values()),
        magnetic_field=flow.magnetic_field,
        material=material,
    )


def derive(flow: Flow, name: str, of: Derived) -> Field:
    """A field that follows from a flow, interpolated in each cell; all ranks call this.

    Raises:
        CaseError: The expression is neither a scalar nor a vector of the device's dimension.
    """
    assert of.expression is not None
    device = flow.device
    value = ufl.as_ufl(of.expression(symbols(flow, flow.current_density)))
    if value.ufl_shape not in ((), (device.dimension,)):
        raise CaseError(
            f"derived field {name}: found shape {value.ufl_shape}; must be a scalar or a vector of"
            f" {device.dimension} components"
        )
    return interpolated(name, of.unit_in(flow.sheet), device, flow.order, value)
