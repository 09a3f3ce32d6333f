"""Operators S and L of Wannier functions and the like, from what kind of orbital each one is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from meso.bands.model import SIGMA
from meso.bands.slater_koster import ORBITALS, angular_momentum
from meso.errors import CaseError, known

#: "none": spin left out, each state for two; the others: where the two spins of an orbital are.
Spin = Literal["none", "up-down", "alternating"]
_ALIASES = {
    "x": "px",
    "y": "py",
    "z": "pz",
    "xy": "dxy",
    "yz": "dyz",
    "xz": "dzx",
    "zx": "dzx",
    "dxz": "dzx",
    "x2-y2": "dx2-y2",
    "dx2y2": "dx2-y2",
    "z2": "dz2",
    "d3z2-r2": "dz2",
}


def operators_of(
    orbitals: Sequence[str],
    sites: Sequence[int],
    *,
    spin: Spin = "none",
    size: int | None = None,
) -> dict[str, NDArray[np.complexfloating]]:
    """S and L of orbitals about their own atoms.

    Args:
        orbitals: Character of each orbital, without spin: "s", "px", "dxy", …; "-" for one that has
            none, such as a bond orbital: its L is left out.
        sites: Number of the atom of each orbital: L is between those of one atom.
        spin: How spin is ordered in the basis.
        size: Number of states that the basis has.

    Raises:
        CaseError: Unknown character, one twice at an atom, or not as many as there are orbitals.
    """
    if spin not in ("none", "up-down", "alternating"):
        raise CaseError(("spin", f'found "{spin}"; known: none, up-down, alternating'))
    copies = 1 if spin == "none" else 2
    if size is not None and copies * len(orbitals) != size:
        text = (
            f"found {len(orbitals)} for {size} states with spin = {spin!r};"
            f" expected {size / copies:g}, one for each orbital"
        )
        raise CaseError(("orbitals", text))
    if len(sites) != len(orbitals):
        raise CaseError(("sites", f"found {len(sites)}; expected one for each of {len(orbitals)}"))
    names = [_ALIASES.get(name, name) for name in orbitals]
    for name, given in zip(names, orbitals, strict=True):
        if name != "-" and name not in ORBITALS:
            raise CaseError(("orbitals", f'found "{given}"; {known(given, [*ORBITALS, "-"])}'))
    full = angular_momentum(ORBITALS)
    momentum = np.zeros((3, len(names), len(names)), dtype=complex)
    for site in set(sites):
        here = [n for n, s in enumerate(sites) if s == site and names[n] != "-"]
        if len({names[n] for n in here}) < len(here):
            text = f"atom {site} has {[orbitals[n] for n in here]}: one character twice"
            raise CaseError(("orbitals", f"{text}; is spin given?"))
        index = [ORBITALS.index(names[n]) for n in here]
        momentum[np.ix_(range(3), here, here)] = full[np.ix_(range(3), index, index)]
    if spin == "none":
        return {"L": momentum}
    one, two = np.eye(len(names)), np.eye(2)
    if spin == "up-down":
        return {
            "S": np.array([np.kron(s, one) for s in SIGMA]) / 2,
            "L": np.array([np.kron(two, m) for m in momentum]),
        }
    return {
        "S": np.array([np.kron(one, s) for s in SIGMA]) / 2,
        "L": np.array([np.kron(m, two) for m in momentum]),
    }


def same_sites(
    centres: NDArray[np.floating], lattice: NDArray[np.floating], near: float = 0.5
) -> list[int]:
    """Number the atoms that orbitals belong to, by position (Å) up to a lattice vector.

    Args:
        centres: Positions of the orbitals.
        lattice: Primitive vectors.
        near: Orbitals closer than this belong to one atom.
    """
    atoms: list[NDArray[np.floating]] = []
    sites = []
    for r in centres:
        for n, atom in enumerate(atoms):
            f = (r - atom) @ np.linalg.inv(lattice)
            if np.linalg.norm((f - np.rint(f)) @ lattice) < near:
                sites.append(n)
                break
        else:
            sites.append(len(atoms))
            atoms.append(r)
    return sites
