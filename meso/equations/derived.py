"""Fields that are made of a flow: one table of names, labels, units and expressions.

Case files, output and figures read it. A field of your own is one more row:
``meso.run(case, derived={"name": Derived(...)})``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

Expr = Any
#: Models whose fields have derivatives, and all of them.
_SMOOTH = ("ohmic", "hydrodynamic", "kinetic")
_ALL = (*_SMOOTH, "particles")
#: Components of a symmetric tensor in 2D.
_SYMMETRIC = ((0, 0), (0, 1), (1, 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Derived:
    """A field that follows from a flow, point by point.

    Attributes:
        label: What figures write at it.
        unit: In a 3D metal, SI, as in the headers of tables: "W_per_m3".
        sheet_unit: In a 2D electron gas; by default the same.
        expression: From the symbols of a flow to UFL: ``of.J`` (A/m^2, in a sheet A/m), ``of.phi``
            (V), ``of.material(lambda m: m.conductivity)`` (SI), ``of.x`` (m), ``of.magnetic_field``
            (T), ``of.viscous`` (False for Ohm's law), ``of.anisotropic`` (conductivity a tensor).
            A scalar, or a vector with as many components as the device has dimensions. None for
            fields that are found in another way.
        models: The models of flow that have it.
        signed: Whether figures show zero in the middle of their colours.
        stem: What the names of its components begin with in tables; by default its own.
    """

    label: str
    unit: str
    sheet_unit: str = ""
    expression: Callable[[Any], Expr] | None = None
    models: tuple[str, ...] = _SMOOTH
    signed: bool = False
    stem: str = ""

    def unit_in(self, sheet: bool) -> str:
        """Unit in a 2D electron gas, or in a metal."""
        return self.sheet_unit if sheet and self.sheet_unit else self.unit


def component(name: str, axis: str) -> str:
    """How tables call a component of a field: without an axis the field itself."""
    stem = TABLE[name].stem if name in TABLE else ""
    return f"{stem or name}_{axis}" if axis else name


def _stress(of: Any) -> Expr:
    """l^2/sigma, less in a magnetic field; Hall viscosity and Lorentz force do no work."""
    sigma = of.material(lambda m: m.conductivity)
    stress = of.material(lambda m: m.vorticity_diffusion_length) ** 2 / sigma
    if of.magnetic_field == 0:
        return stress
    t = of.material(lambda m: m.turning(of.magnetic_field))
    gamma = of.material(lambda m: m.gamma2)
    return stress * gamma**2 / (gamma**2 + 4 * t**2)


def _resistivity(i: int, j: int, material: Any) -> Any:
    return material.resistivity(i, j)


def _heat(of: Any) -> Expr:
    from ufl import as_matrix  # not above: UFL takes long to load

    from meso.equations import dissipation

    if of.anisotropic and not of.viscous:
        xx, xy, yy = (of.material(partial(_resistivity, i, j)) for i, j in _SYMMETRIC)
        return dissipation.ohmic(of.J, as_matrix([[xx, xy], [xy, yy]]))
    resistivity = 1 / of.material(lambda m: m.conductivity)
    if of.viscous:
        return dissipation.in_conductor(of.J, resistivity, _stress(of))
    return dissipation.ohmic(of.J, resistivity)


def _viscous_heat(of: Any) -> Expr:
    from meso.equations import dissipation

    return dissipation.in_conductor(of.J, 0.0, _stress(of))


def _density(label: str, stem: str = "") -> Derived:
    return Derived(label=label, unit="J_s_per_m3", sheet_unit="J_s_per_m2", signed=True, stem=stem)


def _angular_momentum(label: str, symbol: str) -> dict[str, Derived]:
    return {axis: _density(f"{label} ${symbol}_{axis}$") for axis in "xyz"}


def _current(label: str, models: tuple[str, ...] = _SMOOTH) -> Derived:
    return Derived(label=label, unit="A_per_m2", sheet_unit="A_per_m", models=models)


def _power(label: str, expression: Callable[[Any], Expr], *models: str) -> Derived:
    return Derived(
        label=label,
        unit="W_per_m3",
        sheet_unit="W_per_m2",
        expression=expression,
        models=models,
    )


#: The fields that ``output.fields`` may name. Those with an expression are computed when it does.
TABLE: dict[str, Derived] = {
    "current_density": _current("current density", _ALL),
    "potential": Derived(label="electrochemical potential φ", unit="V", models=_ALL),
    "vorticity": Derived(label="vorticity Ω", unit="per_m3_s", sheet_unit="per_m2_s", signed=True),
    # What gradients of the current make; of a tensor kappa all three components, in 2D too.
    "orbital_density": _density("orbital density $L_z$"),
    # "spin_density_z" is what diffuses.
    "spin_density": _density("spin density $S_z$ of the current", "spin_density_local"),
    "heat": _power("dissipated power", _heat, "ohmic", "hydrodynamic"),
    "viscous_heat": _power("power dissipated by viscosity", _viscous_heat, "hydrodynamic"),
    **{
        f"{name}_{axis}": row
        for name, label, symbol in (
            ("spin_density", "diffusive spin density", "S"),
            ("spin_total_density", "whole spin density", "S"),
            ("orbital_diffusive_density", "diffusive orbital density", "L"),
            ("orbital_total_density", "whole orbital density", "L"),
        )
        for axis, row in _angular_momentum(label, symbol).items()
    },
    # Vectors in space, of one component each.
    **{
        f"{name}_flux_{axis}": Derived(
            label=f"flux of ${symbol}_{axis}$", unit="J_per_m2", sheet_unit="J_per_m"
        )
        for name, symbol in (("spin", "S"), ("orbital", "L"))
        for axis in "xyz"
    },
    "inverse_current_density": _current("current density of the inverse effect"),
    "inverse_potential": Derived(label="potential of the inverse effect", unit="V"),
}
