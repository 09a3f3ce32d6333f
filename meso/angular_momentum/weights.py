"""A weight of the components for which diffusion, relaxation and walls all dissipate.

sym(M D) > 0 and sym(M T), sym(M V) >= 0 for a symmetric positive M. The set of such M is convex;
units of spin against orbital angular momentum do not matter to it, and not to the search: forms are
compared after scaling their diagonals to one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.linalg import solve_continuous_lyapunov

# A form counts as positive above the first, as not negative above minus the second (rounding).
_STRICT, _SEMI = 1e-12, 1e-10


def find_weight(
    D: np.ndarray, others: Sequence[np.ndarray] = (), *, given: np.ndarray | None = None
) -> np.ndarray | None:
    """M with sym(M D) > 0 for D (d, n, d, n) and sym(M T) >= 0 for all others (n, n), or None.

    Tried are ``given`` (chi^-1) and nothing else, or the weights of :func:`likely`, ratios between
    the first and second half of the components (spin and orbital), and what an uphill search from
    the best of these finds.
    """
    if given is not None:
        return given if _slack(given, D, others) >= 0 else None
    n = D.shape[1]
    start, best = _best(likely(D, others), D, others)
    if best < 0 and n % 2 == 0:
        second = np.arange(n) >= n // 2
        scan = [np.diag(np.where(second, r, 1.0)) for r in np.geomspace(1e-8, 1e8, 321)]
        start, best = _best([start, *scan], D, others)
    if best >= 0 or n == 1:
        return start if best >= 0 else None
    from scipy.optimize import minimize  # takes long to load, and is rarely needed

    # Uphill, in units in which the start is the unit matrix.
    root = np.linalg.cholesky(start)
    lower = np.tril_indices(n)

    def weight(x: np.ndarray) -> np.ndarray:
        factor = np.zeros((n, n))
        factor[lower] = x
        factor = root @ factor
        # Bounded away from singular matrices, which would satisfy everything.
        return np.asarray(factor @ factor.T + 1e-9 * start)

    count = 150 * len(lower[0])
    found = minimize(
        lambda x: -_slack(weight(x), D, others),
        np.eye(n)[lower],
        method="Nelder-Mead",
        options={"maxiter": count, "maxfev": count, "adaptive": True},
    )
    return weight(found.x) if found.fun <= 0 else None


def likely(D: np.ndarray, others: Sequence[np.ndarray] = ()) -> list[np.ndarray]:
    """Weights that suit the components by size, and Lyapunov's for the mean over directions."""
    n = D.shape[1]
    mean = D.trace(axis1=0, axis2=2) / len(D)
    out = [np.eye(n)]
    out += [_balance(m) for m in (mean, np.abs(D).max(axis=(0, 2)), *others)]
    units = np.sqrt(np.diag(out[-1]))
    scaled = units[:, None] * mean / units  # in units in which the components are alike
    one = np.abs(scaled).max() * np.eye(n)
    for shift in (0.0, 0.01):
        try:
            lyapunov = solve_continuous_lyapunov((scaled + shift * one).T, one)
        except (np.linalg.LinAlgError, ValueError):
            continue
        lyapunov = (lyapunov + lyapunov.T) / 2
        if np.linalg.eigvalsh(lyapunov)[0] > 0:
            out.append(units[:, None] * lyapunov * units)
    different: list[np.ndarray] = []
    for weight in (m * (n / np.trace(m)) for m in out):
        if not any(np.allclose(weight, m, rtol=1e-6, atol=0) for m in different):
            different.append(weight)
    return different


def margin(form: np.ndarray, weight: np.ndarray) -> float:
    """Lowest eigenvalue of sym(M F), (n, n) or (d n, d n), scaled to a unit diagonal."""
    n = len(weight)
    size = len(form)
    whole = np.matmul(weight, form.reshape(size // n, n, size)).reshape(size, size)
    symmetric = (whole + whole.T) / 2
    diagonal = np.abs(np.diag(symmetric))
    scale = np.sqrt(np.where(diagonal > 0, diagonal, np.abs(symmetric).max() or 1.0))
    return float(np.linalg.eigvalsh(symmetric / np.outer(scale, scale))[0])


def _slack(weight: np.ndarray, D: np.ndarray, others: Sequence[np.ndarray]) -> float:
    """Not negative if all forms are what they should be."""
    size = D.shape[0] * D.shape[1]
    found = [margin(D.reshape(size, size), weight) - _STRICT]
    found += [margin(form, weight) + _SEMI for form in others if form.any()]
    return min(found)


def _best(
    weights: Sequence[np.ndarray], D: np.ndarray, others: Sequence[np.ndarray]
) -> tuple[np.ndarray, float]:
    found = [_slack(weight, D, others) for weight in weights]
    at = int(np.argmax(found))
    return weights[at], found[at]


def _balance(matrix: np.ndarray) -> np.ndarray:
    """The diagonal weight that comes nearest to M_a m_ab = M_b m_ba (detailed balance)."""
    n, one = len(matrix), np.eye(len(matrix))
    pairs = [(a, b) for a in range(n) for b in range(a) if matrix[a, b] * matrix[b, a] > 0]
    if not pairs:
        return one
    rows = np.array([one[a] - one[b] for a, b in pairs])
    values = np.log([matrix[b, a] / matrix[a, b] for a, b in pairs])
    return np.diag(np.exp(np.linalg.lstsq(rows, values, rcond=None)[0]))
