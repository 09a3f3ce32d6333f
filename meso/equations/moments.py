"""The Boltzmann equation by angular moments on a Fermi line (T. Valet et al. 2025, eq. 5).

    p.grad h + sum_m g_m h_m + (1/R_c) d_theta h = F.p

Odd moments u are unknowns, even ones with m >= 2 are eliminated where they are. What is left is

    ( (lambda^2/sigma) S_ij d_j u, d_i v ) + ( (1/sigma) C u, v )

with small angular matrices S_ij, C (:mod:`meso.flow.angular`). As angles and places separate, the
operator is made of scalar forms, one for each pair of directions, Kronecker angular matrices;
:func:`blocked` is the same equation as one form.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from ufl import as_matrix, atan2, cos, div, dot, inner, sin

Expr = Any


def stiffness(u: Expr, v: Expr, stress: Expr) -> Expr:
    """stress div v div u: its block (i, j) is stress d_i v d_j u of one scalar field.

    Args:
        u: One scalar trial function for each direction.
        v: The test functions.
        stress: lambda^2/sigma.
    """
    return stress * div(v) * div(u)


def mass(u: Expr, v: Expr, resistivity: Expr) -> Expr:
    """resistivity v u of one scalar field; resistivity is 1/sigma."""
    return resistivity * v * u


def half_range(u: Expr, v: Expr, n: Expr, weight: Expr, order: Expr, *, odd: bool) -> Expr:
    """weight v u cos(order alpha), or with the sine if ``odd``; alpha is the angle of the normal.

    Half-range integrals about any normal are sums of these, order = 0, 2, ... 2N - 2, Kronecker
    angular matrices.
    """
    alpha = atan2(n[1], n[0])
    wave = sin(order * alpha) if odd else cos(order * alpha)
    return weight * wave * v * u


def blocked(u: Expr, v: Expr, stress: Expr, resistivity: Expr, moments: Any) -> Expr:
    """The conductor's terms of all moments in one form.

    Args:
        u: Moments, a vector.
        v: Their test function.
        stress: lambda^2/sigma (l^2/sigma for two harmonics).
        resistivity: 1/sigma.
        moments: Angular matrices ``stress`` (d, d, n, n) and ``relaxation`` (n, n).
    """
    d = len(moments.stress)
    angular = np.asarray(moments.stress)
    total = resistivity * inner(as_matrix(moments.relaxation.tolist()) * u, v)
    for i in range(d):
        for j in range(d):
            if angular[i, j].any():
                flux = as_matrix(angular[i, j].tolist()) * u.dx(j)
                total += stress * dot(flux, v.dx(i))
    return total
