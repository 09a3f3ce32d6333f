"""Vorticity of the current, and the orbital angular momentum that it makes (Valet et al., eq. 7).

Omega = (curl J)/e,     L = kappa curl J,     kappa = hbar^2/(2 eps_F e),     e < 0

In a crystal L^j = kappa^j_ik d_i J_k: shear counts as well (eq. 6). The spin has its own kappa.
"""

from __future__ import annotations

from typing import Any

from ufl import as_vector, dot, sqrt
from ufl import curl as _curl

Expr = Any


def curl(J: Expr) -> Expr:
    """curl J: in the plane d_x J_y - d_y J_x, a scalar; else a vector."""
    return J[1].dx(0) - J[0].dx(1) if J.ufl_shape == (2,) else _curl(J)


def size(J: Expr) -> Expr:
    """|curl J|."""
    found = curl(J)
    return sqrt(dot(found, found)) if found.ufl_shape else abs(found)


def vorticity(J: Expr, charge: float) -> Expr:
    """Omega = (curl J)/e of the flow of particles with charge e."""
    return curl(J) / charge


def contraction(J: Expr, coupling: Expr) -> Expr:
    """kappa^j_ik d_i J_k, kappa of shape (m, d, d): a vector of m components."""
    m, d, _ = coupling.ufl_shape
    return as_vector(
        [sum(coupling[j, i, k] * J[k].dx(i) for i in range(d) for k in range(d)) for j in range(m)]
    )


def orbital_density(J: Expr, coupling: Expr) -> Expr:
    """L = kappa curl J, or of a tensor kappa^j_ik d_i J_k, in J s/m^3 (J s/m^2 in a sheet).

    kappa is in J s/A.
    """
    tensor = getattr(coupling, "ufl_shape", ())
    return contraction(J, coupling) if tensor else coupling * curl(J)
