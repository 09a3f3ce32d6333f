"""Coefficients of a diffusion problem as bands give them, put to the criteria of the solver.

    ∂_i 𝒥^{ia} = −T^a_b X^b,   𝒥^{ia} = … − D^{ia}_{kb} ∂_k X^b,   n_i 𝒥^{ia} = 𝒱^a_b X^b on walls

The criteria are those of `meso.angular_momentum.wellposed`, so that what is accepted here is what
a device accepts; only arguments are brought into its form here.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from meso.angular_momentum.wellposed import decide, unrelaxed
from meso.errors import CaseError

Floats: TypeAlias = NDArray[np.floating]


def validate(
    diffusivity: float | Floats,
    rates: float | Floats | None = None,
    walls: float | Floats | None = None,
    susceptibility: float | Floats | None = None,
) -> tuple[str, ...]:
    """Check the coefficients of a diffusion problem.

    Args:
        diffusivity: D^{ia}_{kb} as (d, n, d, n) in m²/s, or (n, n), or a number.
        rates: T = τ⁻¹ as (n, n) or a number, 1/s; None: not known, and a sink is not asked for.
        walls: 𝒱 as (n, n) or a number, m/s.
        susceptibility: χ as (n, n) or a number; None: not known. An antisymmetric part is ignored.

    Returns:
        Warnings, none if it is well posed.

    Raises:
        CaseError: It is not, with the reason.
    """
    d = _tensor(diffusivity)
    n = d.shape[1]
    t = None if rates is None else _matrix(rates, n, "rates")
    v = None if walls is None else _matrix(walls, n, "walls")
    chi = None if susceptibility is None else _matrix(susceptibility, n, "susceptibility")
    for key, value in (("diffusivity", d), ("rates", t), ("walls", v), ("susceptibility", chi)):
        if value is not None and not np.isfinite(value).all():
            raise CaseError((key, "not all entries are finite numbers"))
    if chi is not None:
        chi = (chi + chi.T) / 2
        if np.linalg.eigvalsh(chi)[0] <= 0:
            raise CaseError(("susceptibility", "its symmetric part is not positive definite"))
    verdict = decide(d, t, {} if v is None else {"walls": v}, susceptibility=chi)
    if not verdict.accepted:
        raise CaseError(*zip(verdict.keys, verdict.problems, strict=True))
    if t is not None:
        losses = [m if chi is None else m @ chi for m in (t, v) if m is not None]
        reason = unrelaxed(losses)
        if reason is not None:
            raise CaseError(("rates", reason))
    return verdict.problems


def _tensor(value: float | Floats) -> Floats:
    d = np.asarray(value, dtype=float)
    if d.ndim == 0:
        d = d[None, None]
    if d.ndim == 2 and d.shape[0] == d.shape[1]:
        return np.einsum("ik,ab->iakb", np.eye(3), d)
    if d.ndim == 4 and d.shape[:2] == d.shape[2:] and d.shape[0] in (2, 3):
        return d
    raise CaseError(("diffusivity", f"found shape {d.shape}; expected (d, n, d, n) or (n, n)"))


def _matrix(value: float | Floats, n: int, key: str) -> Floats:
    m = np.asarray(value, dtype=float)
    if m.ndim == 0:
        return float(m) * np.eye(n)
    if m.shape != (n, n):
        raise CaseError((key, f"found shape {m.shape}; expected ({n}, {n})"))
    return m
