"""Where the power goes: sum_c V_c I_c = what the conductor, its walls and reservoirs dissipate.

At walls and reservoirs it is their law with w = J.
"""

from __future__ import annotations

from typing import Any

from ufl import div, dot, inner

from meso.equations.hydrodynamic import strain

Expr = Any


def divergence(J: Expr) -> Expr:
    """(div J)^2, which an exact flow does not have."""
    return div(J) ** 2


def ohmic(J: Expr, resistivity: Expr) -> Expr:
    """Relaxation alone, J^2/sigma; the resistivity may be a tensor."""
    return dot(J, resistivity * J)


def coupling(J: Expr, phi: Expr) -> Expr:
    """phi div J, which vanishes for an exact flow."""
    return phi * div(J)


def in_conductor(J: Expr, resistivity: Expr, stress: Expr) -> Expr:
    """Relaxation and viscosity, J^2/sigma + (l^2/2 sigma) strain(J) : strain(J)."""
    return resistivity * dot(J, J) + stress / 2 * inner(strain(J), strain(J))
