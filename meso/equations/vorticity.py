"""Vorticity of the current, and the orbital angular momentum that it makes (Valet et al., eq. 7).

Omega = (curl J)/e,     L = kappa curl J,     kappa = hbar^2/(2 eps_F e),     e < 0
"""

from __future__ import annotations

from typing import Any

from ufl import curl as _curl

Expr = Any


def curl(J: Expr) -> Expr:
    """curl J: in the plane d_x J_y - d_y J_x, a scalar; else a vector."""
    return J[1].dx(0) - J[0].dx(1) if J.ufl_shape == (2,) else _curl(J)


def size(J: Expr) -> Expr:
    """|curl J| in the plane."""
    return abs(curl(J))


def vorticity(J: Expr, charge: float) -> Expr:
    """Omega = (curl J)/e of the flow of particles with charge e."""
    return curl(J) / charge


def orbital_density(J: Expr, coupling: Expr) -> Expr:
    """L = kappa curl J, in J s/m^3 (J s/m^2 in a sheet); kappa in J s/A."""
    return coupling * curl(J)
