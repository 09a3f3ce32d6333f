"""Where the power goes: sum_c V_c I_c = what the conductor, its walls and reservoirs dissipate."""

from __future__ import annotations

from typing import Any

from ufl import div, dot, inner

from meso.equations.hydrodynamic import strain
from meso.equations.walls import along

Expr = Any


def divergence(J: Expr) -> Expr:
    """(div J)^2, which an exact flow does not have."""
    return div(J) ** 2


def ohmic(J: Expr, resistivity: Expr) -> Expr:
    """Relaxation alone, J^2/sigma."""
    return resistivity * dot(J, J)


def coupling(J: Expr, phi: Expr) -> Expr:
    """phi div J, which vanishes for an exact flow."""
    return phi * div(J)


def in_conductor(J: Expr, resistivity: Expr, stress: Expr) -> Expr:
    """Relaxation and viscosity, J^2/sigma + (l^2/2 sigma) strain(J) : strain(J)."""
    return resistivity * dot(J, J) + stress / 2 * inner(strain(J), strain(J))


def at_wall(J: Expr, n: Expr, stress: Expr, slip_rate: Expr) -> Expr:
    """Friction, (l^2/sigma) s J_t^2."""
    return stress * slip_rate * dot(along(J, n), along(J, n))


def at_reservoir(J: Expr, n: Expr, stress: Expr, slip_rate: Expr, step: Expr) -> Expr:
    """Friction, and the step of the potential, (a/sigma) J_n^2."""
    return at_wall(J, n, stress, slip_rate) + step * dot(J, n) ** 2
