"""Conjugate gradients and GMRES for nodal arrays of several columns."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.linalg.blas import daxpy

from meso.errors import ConvergenceError
from meso.flow.layout import Layout

#: A linear map of arrays of shape (owned, N).
Map = Callable[[np.ndarray], np.ndarray]
#: Iterations at most.
MOST = 2000


def conjugate_gradients(
    layout: Layout,
    apply: Map,
    precondition: Map,
    residual: np.ndarray,
    direction: np.ndarray,
    x: np.ndarray,
    *,
    error: Callable[[float, float], float],
    tolerance: float,
) -> tuple[np.ndarray, int, float]:
    """Solve A x = b.

    Args:
        layout: Rows over all ranks.
        apply: A, symmetric and positive where it is applied to.
        precondition: The preconditioner.
        residual: b - A x at the start; changed.
        direction: The preconditioner applied to it; changed.
        x: The start; changed.
        error: The relative error from r.P r and from how much the energy x.A x/2 - b.x has fallen
            so far, times two.
        tolerance: Where to stop.

    Returns:
        The solution, the number of iterations, the error.

    Raises:
        ConvergenceError: Too many iterations, or not finite.
    """
    r, p = residual, direction
    rz = layout.dot(r, p)
    gained, left = 0.0, np.inf
    for iteration in range(MOST):
        left = error(rz, gained)
        if not np.isfinite(left):
            raise ConvergenceError("conjugate gradients: the residual is not finite")
        if left < tolerance:
            return x, iteration, float(left)
        q = apply(p)
        step = rz / layout.dot(p, q)
        gained += step * rz
        _add(step, p, x)
        _add(-step, q, r)
        z = precondition(r)
        before, rz = rz, layout.dot(r, z)
        p *= rz / before
        _add(1.0, z, p)
    raise ConvergenceError(
        f"conjugate gradients stopped after {MOST} iterations with a relative residual of"
        f" {left:.1e} (limit {tolerance:.0e})"
    )


def gmres(
    layout: Layout,
    apply: Map,
    precondition: Map,
    residual: Map,
    x: np.ndarray,
    *,
    norm: float,
    tolerance: float,
) -> tuple[np.ndarray, int, float]:
    """Solve A x = b with a matrix that is not symmetric.

    Args:
        layout: Rows over all ranks.
        apply: A.
        precondition: The preconditioner P.
        residual: b - A x of x.
        x: The start.
        norm: Norm of P b.
        tolerance: Of the norm of P (b - A x), relative to it.

    Returns:
        The solution, the number of iterations, the relative residual.

    Raises:
        ConvergenceError: Too many iterations.
    """
    most, done = 60, 0
    error = np.inf
    while done < MOST // 4:
        z = precondition(residual(x))
        beta = np.sqrt(layout.dot(z, z))
        error = beta / (norm or 1.0)
        if error < tolerance or norm == 0:
            break
        basis, hessenberg = [z / beta], np.zeros((most + 1, most))
        for k in range(most):
            w = precondition(apply(basis[k]))
            for i, v in enumerate(basis):
                hessenberg[i, k] = layout.dot(v, w)
                _add(-hessenberg[i, k], v, w)
            hessenberg[k + 1, k] = np.sqrt(layout.dot(w, w))
            right = np.zeros(k + 2)
            right[0] = beta
            small = hessenberg[: k + 2, : k + 1]
            weights = np.linalg.lstsq(small, right, rcond=None)[0]
            left = np.linalg.norm(small @ weights - right) / norm
            done += 1
            if left < tolerance / 2 or hessenberg[k + 1, k] == 0:
                break
            basis.append(w / hessenberg[k + 1, k])
        x = x + sum(a * v for a, v in zip(weights, basis, strict=False))
    if not error < tolerance:
        raise ConvergenceError(
            f"GMRES stopped after {done} iterations with a relative residual of {error:.1e}"
            f' (limit {tolerance:.0e}): use solver = "direct" in a strong magnetic field'
        )
    return x, done, float(error)


def _add(factor: float, x: np.ndarray, y: np.ndarray) -> None:
    """Add a multiple of x to y in place; BLAS refuses the arrays of a rank without rows."""
    if x.size:
        daxpy(x.reshape(-1), y.reshape(-1), a=factor)
