"""Ohm's law, -div(sigma grad phi) = 0: the limit l -> 0 of hydrodynamic flow."""

from __future__ import annotations

from typing import Any

from ufl import dot, grad

Expr = Any


def conduction(phi: Expr, psi: Expr, conductivity: Expr) -> Expr:
    """sigma grad phi . grad psi."""
    return conductivity * dot(grad(phi), grad(psi))


def current_density(phi: Expr, conductivity: Expr) -> Expr:
    """J = -sigma grad phi."""
    return -conductivity * grad(phi)
