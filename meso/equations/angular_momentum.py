"""Diffusion of spin and orbital angular momentum (T. Valet et al. 2025, eq. 1 and 3).

    d_i J^{ia} = -T^a_b X^b,     J^{ia} = Theta^{ia}_k E_k - D^{ia}_{kb} d_k X^b
    n_i J^{ia} = V^a_b X^b       at walls

for the potential omega = chi^-1 X, which is continuous between metals. Its weak form is

    (d_i v_a, (D chi)^{ia}_{kb} d_k omega^b) + (v_a, (T chi)_ab omega^b)
        + <v_a, (V chi)_ab omega^b>_walls + <[v]_a, g_ab [omega]^b>_interfaces
        = (d_i v_a, Theta^{ia}_k E_k) + (v_a, f_a) + <v_a, j_a>_boundaries

Tensors are arrays of numbers or of coefficients, or UFL tensors; omega and v are vectors of
components and their test functions.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import ufl

Expr = Any


def diffusion(omega: Expr, v: Expr, D: Any) -> Expr:
    """d_i v_a (D chi)^{ia}_{kb} d_k omega_b, with D chi of shape (d, n, d, n)."""
    return sum(D[i, a, k, b] * v[a].dx(i) * omega[b].dx(k) for i, a, k, b in product(*_ranges(D)))


def relaxation(omega: Expr, v: Expr, T: Any) -> Expr:
    """v_a (T chi)_ab omega_b; at a wall with V chi, at an interface with its conductance g."""
    return sum(T[a, b] * v[a] * omega[b] for a, b in product(*_ranges(T)))


def hall_current(v: Expr, E: Expr, theta: Any) -> Expr:
    """Source of the Hall currents, d_i v_a Theta^{ia}_k E_k, with Theta of shape (d, n, 3).

    A field E with less than three components has no others.
    """
    along, components, _ = _ranges(theta)
    return sum(
        theta[i, a, k] * v[a].dx(i) * E[k] for i, a, k in product(along, components, range(len(E)))
    )


def flux(E: Expr, omega: Expr, D: Any, theta: Any, component: int) -> Expr:
    """J^{ia} = Theta^{ia}_k E_k - (D chi)^{ia}_{kb} d_k omega_b of one component, a vector."""
    (along, _, fields), a = _ranges(theta), component
    _, _, _, others = _ranges(D)
    return ufl.as_vector(
        [
            sum(theta[i, a, k] * E[k] for k in fields[: len(E)])
            - sum(D[i, a, k, b] * omega[b].dx(k) for k, b in product(along, others))
            for i in along
        ]
    )


def inverse_current(omega: Expr, theta: Any) -> Expr:
    """The charge current Theta^{ia}_k d_i omega_a that a gradient drives, a vector in space."""
    along, components, _ = _ranges(theta)
    return ufl.as_vector(
        [sum(theta[i, a, k] * omega[a].dx(i) for i, a in product(along, components)) for k in along]
    )


def coupled(u: Expr, v: Expr, *values: Expr) -> Expr:
    """What two components have with each other: D_ik row by row, and then T."""
    d = round(np.sqrt(len(values) - 1))
    D = np.array(values[:-1], dtype=object).reshape(d, 1, d, 1)
    return diffusion([u], [v], D) + relaxation([u], [v], np.array([[values[-1]]], dtype=object))


def _ranges(tensor: Any) -> list[range]:
    """Of the indices of a tensor."""
    shape = tensor.ufl_shape if isinstance(tensor, ufl.core.expr.Expr) else np.shape(tensor)
    return [range(n) for n in shape]
