"""Hydrodynamic flow in a perpendicular magnetic field, as a term that is added to it.

The second harmonic of the Boltzmann equation relaxes at gamma_2 and rotates at twice the cyclotron
frequency. With t = lambda/R_c and gamma = gamma_2/gamma_1 the stress becomes

    l^2 gamma^2/(gamma^2 + 4 t^2) strain(J) + 2 l^2 t gamma/(gamma^2 + 4 t^2) z x strain(J)

and the Lorentz force (t/sigma) J x z joins the relaxation. What walls and reservoirs take,
l^2 s/sigma, is an integral over half of the directions and knows nothing of the field.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import ufl

from meso.boundary import Boundary, Contact
from meso.discrete.own_terms import Term
from meso.equations.hydrodynamic import hall_viscosity, lorentz, strain, turned, viscosity
from meso.equations.walls import along
from meso.materials.material import Material


@dataclass(frozen=True, slots=True)
class InField:
    """A coefficient of a material in a field along z, T.

    Attributes:
        field: The field.
        of: From l^2/sigma, 1/sigma, t and gamma to the coefficient.
    """

    field: float
    of: Callable[[Any, Any, Any, Any], Any]

    def __call__(self, material: Material) -> Any:
        """Of a material."""
        length: Any = material.vorticity_diffusion_length
        sigma: Any = material.conductivity
        return self.of(length**2 / sigma, 1 / sigma, material.turning(self.field), material.gamma2)


def _less(stress: Any, _: Any, t: Any, gamma: Any) -> Any:
    """What the stress loses."""
    return -4 * t**2 / (gamma**2 + 4 * t**2) * stress


def _hall(stress: Any, _: Any, t: Any, gamma: Any) -> Any:
    """The stress across."""
    return 2 * t * gamma / (gamma**2 + 4 * t**2) * stress


def _force(_: Any, resistivity: Any, t: Any, __: Any) -> Any:
    """That of Lorentz."""
    return t * resistivity


def magnetic_term(boundaries: Mapping[str, Boundary], field: float) -> Term:
    """What a magnetic field changes in the weak form without it.

    Args:
        boundaries: Boundary conditions by name.
        field: Along z, T.
    """
    ideal = [n for n, law in boundaries.items() if isinstance(law, Contact) and law.law == "ideal"]

    def magnetic(of: Any) -> ufl.Form:
        # Each a function by itself: UFL has then little to take apart.
        less, hall, force = (of.material(InField(field, each)) for each in (_less, _hall, _force))
        J, w = of.J, of.w
        form = viscosity(J, w, less) + hall_viscosity(J, w, hall) + lorentz(J, w, force)
        out = form * of.dx
        if ideal:
            # Nitsche's terms take the tangential traction; that of w is of the opposite field.
            J_t, w_t = along(J, of.n), along(w, of.n)
            pull = (less * strain(J) + hall * turned(strain(J))) * of.n
            back = (less * strain(w) - hall * turned(strain(w))) * of.n
            out -= (ufl.dot(pull, w_t) + ufl.dot(back, J_t)) * of.ds(*ideal)
        return out

    return magnetic
