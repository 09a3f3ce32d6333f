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
from ufl import as_matrix, div, dot, inner

Expr = Any


def stiffness(u: Expr, v: Expr, stress: Expr) -> Expr:
    """stress div v div u: its block (i, j) is stress d_i v d_j u of one scalar field.

    u and v have one such field for each direction; stress is lambda^2/sigma.
    """
    return stress * div(v) * div(u)


def mass(u: Expr, v: Expr, resistivity: Expr) -> Expr:
    """resistivity v u of one scalar field; resistivity is 1/sigma."""
    return resistivity * v * u


def blocked(u: Expr, v: Expr, stress: Expr, resistivity: Expr, moments: Any) -> Expr:
    """The conductor's terms of all moments, a vector, in one form.

    stress is lambda^2/sigma (l^2/sigma for two harmonics), resistivity 1/sigma; moments has the
    angular matrices ``stress`` (d, d, n, n) and ``relaxation`` (n, n).
    """
    total = resistivity * inner(as_matrix(moments.relaxation.tolist()) * u, v)
    for i, rows in enumerate(np.asarray(moments.stress)):
        for j, angular in enumerate(rows):
            if angular.any():
                total += stress * dot(as_matrix(angular.tolist()) * u.dx(j), v.dx(i))
    return total
