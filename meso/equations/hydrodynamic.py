"""Generalised electron hydrodynamics (T. Valet et al. 2025, eq. 8).

    (1/sigma) J - div( (l^2/sigma) strain(J) ) + grad phi = 0,     div J = 0

with strain(J) = grad J + grad J^T - (2/d) div J, in the form that holds where sigma and l vary.
With div J = 0 and constant coefficients it is eq. 8 itself, J - l^2 lap J = -sigma grad phi. Tested
with w and integrated by parts it leaves the traction (l^2/sigma) strain(J) n - phi n on the
boundary, where walls (:mod:`meso.equations.walls`) and contacts (:mod:`meso.equations.contacts`)
have their say.

J and w are the current density and its test function, phi and psi the electrochemical potential and
its test function.
"""

from __future__ import annotations

from typing import Any

from ufl import Identity, as_matrix, div, dot, grad, inner

Expr = Any


def strain(J: Expr) -> Expr:
    """grad J + grad J^T without its trace, which belongs to the electrochemical potential."""
    d = J.ufl_shape[0]
    return grad(J) + grad(J).T - 2 / d * div(J) * Identity(d)


def viscosity(J: Expr, w: Expr, stress: Expr) -> Expr:
    """Diffusion of the vorticity, stress strain(J) : grad w with stress = l^2/sigma."""
    return stress * inner(strain(J), grad(w))


def relaxation(J: Expr, w: Expr, resistivity: Expr) -> Expr:
    """Loss of momentum in the conductor, J.w/sigma."""
    return resistivity * dot(J, w)


def augmentation(J: Expr, w: Expr, bulk: Expr) -> Expr:
    """(h^2/sigma) div J div w with bulk = h^2/sigma, which vanishes with div J.

    Where l << h it keeps the order of J, which Taylor-Hood elements lose in Darcy flow
    (docs/verification.md).
    """
    return bulk * div(J) * div(w)


def continuity(J: Expr, psi: Expr) -> Expr:
    """Conservation of charge, -psi div J; with test and trial changed, the force grad phi."""
    return -psi * div(J)


def hall_viscosity(J: Expr, w: Expr, stress: Expr) -> Expr:
    """Antisymmetric stress of a fluid in a magnetic field, in the plane.

    It turns the strain by 45 degrees: (l_H^2/sigma) (z x strain(J)) : grad w, where z x acts on
    each column. It does no work. It follows from the second harmonic of the Boltzmann equation,
    which rotates at twice the cyclotron frequency. ``stress`` is l_H^2/sigma, positive where the
    carriers turn counter-clockwise.
    """
    return stress * inner(turned(strain(J)), grad(w))


def turned(tensor: Expr) -> Expr:
    """z x acting on each column of a tensor in the plane."""
    return as_matrix(((-tensor[1, 0], -tensor[1, 1]), (tensor[0, 0], tensor[0, 1])))


def lorentz(J: Expr, w: Expr, resistivity: Expr) -> Expr:
    """Lorentz force in a perpendicular field, (omega_c tau/sigma) (J x z).w, which does no work.

    ``resistivity`` is omega_c tau/sigma = lambda/(R_c sigma), positive where the carriers turn
    counter-clockwise.
    """
    return resistivity * (J[1] * w[0] - J[0] * w[1])
