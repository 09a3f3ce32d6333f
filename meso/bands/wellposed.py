"""Coefficients of a diffusion problem as bands give them, put to the criteria of the solver.

    ∂_i 𝒥^{ia} = −T^a_b X^b,   𝒥^{ia} = … − D^{ia}_{kb} ∂_k X^b,   n_i 𝒥^{ia} = 𝒱^a_b X^b on walls

The criteria are those of `meso.angular_momentum.wellposed`, so that what is accepted here is what
a device accepts; only arguments are brought into its form here.
"""

from __future__ import annotations

import numpy as np

from meso.angular_momentum.wellposed import decide, unrelaxed
from meso.bands.model import Floats
from meso.errors import CaseError


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
    d = np.asarray(diffusivity, dtype=float)
    if d.ndim in (0, 2):
        d = np.einsum("ik,ab->iakb", np.eye(3), np.atleast_2d(d))
    if d.ndim != 4 or d.shape[:2] != d.shape[2:] or d.shape[0] not in (2, 3):
        found = np.shape(diffusivity)
        text = f"found shape {found}; expected (d, n, d, n) or (n, n)"
        raise CaseError(("diffusivity", text))
    given = {"rates": rates, "walls": walls, "susceptibility": susceptibility}
    matrices = {k: _matrix(v, d.shape[1], k) for k, v in given.items() if v is not None}
    for key, value in {"diffusivity": d, **matrices}.items():
        if not np.isfinite(value).all():
            raise CaseError((key, "not all entries are finite numbers"))
    t, v, chi = (matrices.get(key) for key in given)
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


def _matrix(value: float | Floats, n: int, key: str) -> Floats:
    m = np.asarray(value, dtype=float)
    m = m * np.eye(n) if m.ndim == 0 else m
    if m.shape != (n, n):
        raise CaseError((key, f"found shape {m.shape}; expected ({n}, {n})"))
    return m
