"""Two-centre integrals of s, p, d orbitals, and their angular momentum.

Orbitals are polynomials of the unit vector n: 1; x, y, z; and d = nᵀQn with traceless symmetric Q.
A bond along n couples only states with the same |m| about n. Those with m = 0 are the polynomials
at n; those with |m| = 1 are their tangential derivatives. This gives every table in closed form,
e.g. p–d: σ d(n) nᵀ and π (∇d − 2 n d)/√3. Within one shell the projectors on |m| are polynomials
of (n·L)².
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.linalg import block_diag

from meso.angular_momentum.tensors import LEVI_CIVITA
from meso.bands.model import Array, Floats

#: The ten integrals of a bond, in the order of the tables.
INTEGRALS = ("sss", "sps", "pps", "ppp", "sds", "pds", "pdp", "dds", "ddp", "ddd")
ORBITALS = ("s", "px", "py", "pz", "dxy", "dyz", "dzx", "dx2-y2", "dz2")

_ROOT = np.sqrt(3) / 2
#: Q of the five d orbitals: nᵀQn is the orbital, normalised to 1 along its z axis.
_Q = np.zeros((5, 3, 3))
_Q[[0, 0, 1, 1, 2, 2], [0, 1, 1, 2, 2, 0], [1, 0, 2, 1, 0, 2]] = _ROOT
_Q[3], _Q[4] = np.diag([_ROOT, -_ROOT, 0]), np.diag([-0.5, -0.5, 1])
#: L of the p and d orbitals (3, n, n): i times what a rotation about each axis does.
_L_P = -1j * LEVI_CIVITA
_TURNED = LEVI_CIVITA[:, None] @ _Q - _Q @ LEVI_CIVITA[:, None]
_L_D = -1j * np.einsum("mab,knab->kmn", _Q, _TURNED) / (_Q[0] ** 2).sum()
_L = np.array([block_diag(0, p, d) for p, d in zip(_L_P, _L_D, strict=True)])


def angular_momentum(orbitals: Sequence[str]) -> Array:
    """L between orbitals at one atom, named as in `ORBITALS`, as (3, n, n) in ħ."""
    index = [ORBITALS.index(name) for name in orbitals]
    return _L[:, index][:, :, index]


def bond(direction: Floats, integrals: Mapping[str, float]) -> Floats:
    """⟨orbital at 0|H|orbital at R⟩ of s, p, d, as (9, 9), for R along `direction`.

    Those of `INTEGRALS` (eV) that are not given are zero.
    """
    v = {name: integrals.get(name, 0.0) for name in INTEGRALS}
    n = np.asarray(direction, dtype=float) / np.linalg.norm(direction)
    d = n @ _Q @ n
    slope = (2 * (_Q @ n).T - 2 * np.outer(n, d)) / np.sqrt(3)
    along, one = np.tensordot(n, _L_D, axes=1), np.eye(5)
    m2 = (along @ along).real  # m² = 0, 1, 4 about n
    sp, sd = v["sps"] * n[None], v["sds"] * d[None]
    pp = v["pps"] * np.outer(n, n) + v["ppp"] * (np.eye(3) - np.outer(n, n))
    pd = v["pds"] * np.outer(n, d) + v["pdp"] * slope
    dd = (
        v["dds"] * (one - m2) @ (4 * one - m2) / 4
        + v["ddp"] * m2 @ (4 * one - m2) / 3
        + v["ddd"] * m2 @ (m2 - one) / 12
    )
    return np.block([[np.array([[v["sss"]]]), sp, sd], [-sp.T, pp, pd], [sd.T, -pd.T, dd]])
