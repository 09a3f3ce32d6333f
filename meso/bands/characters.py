"""Operators S and L of Wannier functions and the like, from what kind of orbital each one is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from meso.bands.model import Array, Floats, spin_operator, with_spin
from meso.bands.slater_koster import ORBITALS, angular_momentum
from meso.errors import CaseError, known

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
