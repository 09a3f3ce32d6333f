"""Atomic s, p, d orbitals: two-centre integrals, angular momentum, S and L of a basis of them.

Orbitals are polynomials of the unit vector n: 1; x, y, z; and d = nᵀQn with traceless symmetric Q.
A bond along n couples only states with the same |m| about n. Those with m = 0 are the polynomials
at n; those with |m| = 1 are their tangential derivatives. This gives every table in closed form,
e.g. p–d: σ d(n) nᵀ and π (∇d − 2 n d)/√3. Within one shell the projectors on |m| are polynomials
of (n·L)².
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from scipy.linalg import block_diag

from meso.bands.model import Array, Floats, spin_operator, with_spin
from meso.errors import CaseError, known
from meso.materials.crystal import LEVI_CIVITA

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


#: "none": spin left out, each state for two; the others: where the two spins of an orbital are.
Spin = Literal["none", "up-down", "alternating"]
_ALIASES = {"xz": "dzx", "dxz": "dzx", "dx2y2": "dx2-y2", "d3z2-r2": "dz2"}


def operators_of(
    orbitals: Sequence[str] | None,
    spin: Spin,
    size: int,
    *,
    sites: Sequence[int] | None = None,
    centres: Floats | None = None,
    lattice: Floats | None = None,
) -> dict[str, Array]:
    """S, where there is spin, and L of orbitals about their own atoms, where these are known.

    Orbitals have a name ("s", "px", "dxy", …) each, without spin; "-" is one that has none, such as
    a bond orbital: its L is left out. Their atoms are `sites`, or follow from the position of each
    state.

    Raises:
        CaseError: Unknown character, one twice at an atom, not as many as there are orbitals, or no
            way to know the atoms.
    """
    if spin not in ("none", "up-down", "alternating"):
        raise CaseError(("spin", f'found "{spin}"; known: none, up-down, alternating'))
    copies = 1 if spin == "none" else 2
    if size % copies:
        raise CaseError(("spin", f"found {spin!r}, but {size} states"))
    count = size // copies
    operators = {} if spin == "none" else {"S": spin_operator(count)}
    if orbitals is not None:
        if sites is None and centres is None:
            text = "unknown: give centres = NAME_centres.xyz, or sites = the atom of each one"
            raise CaseError(("sites", text))
        if len(orbitals) != count:
            text = f"found {len(orbitals)} for {size} states with spin = {spin!r}"
            raise CaseError(("orbitals", f"{text}; expected {count}, one for each orbital"))
        if sites is None:
            step = 2 if spin == "alternating" else 1
            sites = same_sites(np.asarray(centres)[::step][:count], np.asarray(lattice))
        momentum = _momentum(orbitals, sites)
        operators["L"] = momentum if spin == "none" else with_spin(momentum)
    if spin == "alternating":
        order = np.arange(size).reshape(2, count).T.ravel()
        operators = {key: x[:, order][:, :, order] for key, x in operators.items()}
    return operators


def _momentum(orbitals: Sequence[str], sites: Sequence[int]) -> Array:
    """L between the orbitals of each atom, (3, n, n)."""
    if len(sites) != len(orbitals):
        raise CaseError(("sites", f"found {len(sites)}; expected one for each of {len(orbitals)}"))
    seen = set()
    names = []
    for given, site in zip(orbitals, sites, strict=True):
        # "x" and "px", "xy" and "dxy" are the same.
        spellings = (_ALIASES.get(given, given), f"p{given}", f"d{given}")
        name = next((s for s in spellings if s in (*ORBITALS, "-")), None)
        if name is None:
            raise CaseError(("orbitals", f'found "{given}"; {known(given, [*ORBITALS, "-"])}'))
        if name != "-" and (name, site) in seen:
            here = [o for o, s in zip(orbitals, sites, strict=True) if s == site and o != "-"]
            text = f"atom {site} has {here}: one character twice; is spin given?"
            raise CaseError(("orbitals", text))
        seen.add((name, site))
        names.append(name)
    momentum = np.pad(angular_momentum(ORBITALS), [(0, 0), (0, 1), (0, 1)])
    index = [(*ORBITALS, "-").index(name) for name in names]
    together = np.equal.outer(np.asarray(sites), np.asarray(sites))
    return momentum[:, index][:, :, index] * together


def same_sites(centres: Floats, lattice: Floats, near: float = 0.5) -> list[int]:
    """Number the atoms of orbitals that are closer than `near` (Å), up to a lattice vector."""
    atoms: list[Floats] = []
    sites = []
    for r in centres:
        f = (r - np.array(atoms).reshape(-1, len(lattice))) @ np.linalg.inv(lattice)
        distance = np.linalg.norm((f - np.rint(f)) @ lattice, axis=1)
        if not (distance < near).any():
            atoms.append(r)
            distance = np.append(distance, 0.0)
        sites.append(int(np.argmax(distance < near)))
    return sites
