"""Contacts: reservoirs that hold the electrochemical potential.

Ideal: J_t = 0 and the normal traction phi - (l^2/sigma) n.strain(J).n = V. A kinetic reservoir
absorbs whatever comes out and has a contact resistance and a tangential law of its own (half-range
moments of the Boltzmann equation with two harmonics):

    phi - V = a J_n/sigma + (l^2/sigma) n.strain(J).n,     n.(grad J + grad J^T).t = -s J_t

with s of a diffuse wall and a = (8/3 pi) lambda on a Fermi line, (3/4) lambda on a Fermi sphere.
J and w are the current density and its test function, n the outward normal, stress = l^2/sigma.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ufl import dot

from meso.equations.walls import along, friction, penalty, traction

Expr = Any


def potential(w: Expr, n: Expr) -> Expr:
    """Force of a unit potential of the contact, w.n; also the current that leaves through it."""
    return dot(w, n)


def ideal(J: Expr, w: Expr, n: Expr, stress: Expr, coercive: Expr) -> Expr:
    """J_t = 0 by Nitsche's method (J. Nitsche 1971).

    The penalty over the stress, ``coercive``, is 4 k (k + 1)/h: twice the constant of the discrete
    trace inequality of degree k - 1, with the height h of the cell over the facet.
    """
    J_t, w_t = along(J, n), along(w, n)
    return (
        coercive * stress * dot(J_t, w_t)
        - dot(traction(J, n, stress), w_t)
        - dot(traction(w, n, stress), J_t)
    )


def impenetrable(J: Expr, w: Expr, n: Expr, stress: Expr, factor: Expr) -> Expr:
    """J.n = 0 by Nitsche's method, for walls without a multiplier; see :func:`ideal`."""
    J_n, w_n = dot(J, n), dot(w, n)
    return (
        factor * J_n * w_n
        - dot(traction(J, n, stress), n) * w_n
        - dot(traction(w, n, stress), n) * J_n
    )


def reservoir(J: Expr, w: Expr, n: Expr, stress: Expr, slip_rate: Expr, step: Expr) -> Expr:
    """A kinetic reservoir: contact resistance, step = a/sigma, and friction of a diffuse wall."""
    return penalty(J, w, n, step) + friction(J, w, n, stress, slip_rate)


#: What a contact does beside its potential, by the name of its law. Solvers give coefficients by
#: their names: ``stress``, ``coercive``, ``slip_rate``, ``step``.
LAWS: dict[str, Callable[..., Expr]] = {"ideal": ideal, "reservoir": reservoir}
