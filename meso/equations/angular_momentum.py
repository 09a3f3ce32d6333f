"""Diffusion of spin and orbital angular momentum (T. Valet et al. 2025, eq. 1 and 3).

    d_i J^{ia} = -T^a_b X^b,     J^{ia} = Theta^{ia}_k E_k - D^{ia}_{kb} d_k X^b
    n_i J^{ia} = V^a_b X^b       at walls

for the potential omega = chi^-1 X, which is continuous between metals. Tensors are arrays of
numbers or of coefficients; omega and v are vectors of components and their test functions.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np

Expr = Any


def diffusion(omega: Expr, v: Expr, D: Any) -> Expr:
    """d_i v_a (D chi)^{ia}_{kb} d_k omega_b, with D chi of shape (d, n, d, n)."""
    d, n = np.shape(D)[:2]
    return sum(
        D[i][a][k][b] * v[a].dx(i) * omega[b].dx(k)
        for i, a, k, b in product(range(d), range(n), range(d), range(n))
    )


def relaxation(omega: Expr, v: Expr, T: Any) -> Expr:
    """v_a (T chi)_ab omega_b; at a wall with V chi, at an interface with its conductance g."""
    n = len(T)
    return sum(T[a][b] * v[a] * omega[b] for a, b in product(range(n), range(n)))


def hall_current(v: Expr, E: Expr, theta: Any) -> Expr:
    """Source of the Hall currents, d_i v_a Theta^{ia}_k E_k, with Theta of shape (d, n, d)."""
    d, n = np.shape(theta)[:2]
    return sum(
        theta[i][a][k] * v[a].dx(i) * E[k] for i, a, k in product(range(d), range(n), range(len(E)))
    )
