"""Walls: nothing passes, and the current slips (T. Valet et al. 2025, eq. 8, below).

    J.n = 0,     n.(grad J + grad J^T).t = -s J_t          s = (1 - p)/(1 + p) times a kinetic rate

The literal law of the paper, d_n J_t = -s J_t, differs by the curvature of the wall:
n.(grad J + grad J^T).t = d_n J_t - kappa_w J_t. J and w are the current density and its test
function, n the outward normal.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ufl import Identity, Mesh, SpatialCoordinate, dot, grad, inv, outer, sqrt
from ufl.classes import ReferenceGrad
from ufl.geometry import ReferenceNormal

Expr = Any


def along(J: Expr, n: Expr) -> Expr:
    """The part of a vector along the wall."""
    return J - dot(J, n) * n


def normal(domain: Mesh) -> Expr:
    """Outward unit normal by the map of the cell, so that it has a gradient on curved cells."""
    # Spelt so, its gradient can be differentiated in the shape, which that of a Jacobian can not.
    map_ = ReferenceGrad(SpatialCoordinate(domain))
    N = dot(inv(map_).T, ReferenceNormal(domain))
    return N / sqrt(dot(N, N))


def shape_operator(n: Expr) -> Expr:
    """Derivative of the normal along the wall: kappa_w in 2D, positive where a wall is convex."""
    along_wall = Identity(n.ufl_shape[0]) - outer(n, n)
    return along_wall * grad(n) * along_wall


def friction(J: Expr, w: Expr, n: Expr, stress: Expr, slip_rate: Expr) -> Expr:
    """Slip in the form of the traction, (l^2/sigma) s J_t.w_t, with stress = l^2/sigma."""
    return stress * slip_rate * dot(along(J, n), along(w, n))


def curvature(J: Expr, w: Expr, n: Expr, stress: Expr) -> Expr:
    """What the literal law adds, (l^2/sigma) w.S J with the shape operator S; n from `normal`."""
    return stress * dot(w, shape_operator(n) * J)


def literal(J: Expr, w: Expr, n: Expr, stress: Expr, slip_rate: Expr) -> Expr:
    """The literal law."""
    return friction(J, w, n, stress, slip_rate) + curvature(J, w, n, stress)


#: What a wall asks of the current along it, by the name of its law. Solvers give coefficients by
#: their names: ``stress``, ``slip_rate``.
LAWS: dict[str, Callable[..., Expr]] = {"traction": friction, "literal": literal}
#: With J.n = 0 a law gives the vorticity at the wall, n x curl J = s J_t - BEND S J.
BEND = {"traction": 2.0, "literal": 1.0}


def impenetrable(J: Expr, level: Expr, n: Expr) -> Expr:
    """J.n = 0 by a multiplier, the level h_w of the wall: level J.n."""
    return level * dot(J, n)


def penalty(J: Expr, w: Expr, n: Expr, factor: Expr) -> Expr:
    """Factor J.n w.n, which vanishes with J.n."""
    return factor * dot(J, n) * dot(w, n)


def traction(J: Expr, n: Expr, stress: Expr) -> Expr:
    """(l^2/sigma) (grad J + grad J^T) n."""
    return stress * (grad(J) + grad(J).T) * n
