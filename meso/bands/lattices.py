"""Lattice models: bcc metals from two-centre integrals, and a gapped two-band lattice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from math import isfinite

import numpy as np
from numpy.typing import NDArray

from meso.bands.model import SIGMA, TightBinding, spin_operator, with_spin
from meso.bands.slater_koster import INTEGRALS, ORBITALS, angular_momentum, bond
from meso.errors import CaseError, known


@dataclass(frozen=True, slots=True, kw_only=True)
class TwoCentreTable:
    """Two-centre parameters of a bcc metal with two shells of neighbours, in eV and Å.

    Attributes:
        constant: Lattice constant a.
        onsite: Energies of s, p, t2g, eg.
        first: Integrals of the bonds ½(111)a, in the order of `INTEGRALS`.
        second: Integrals of the bonds (100)a.
        spin_orbit: ξ of the d orbitals, nominal.
        source: Where the numbers come from.
    """

    constant: float
    onsite: tuple[float, float, float, float]
    first: tuple[float, ...]
    second: tuple[float, ...]
    spin_orbit: float = 0.0
    source: str = ""


#: Orthogonal sets with E_F ≈ 0.
TABLES: Mapping[str, TwoCentreTable] = {
    "V": TwoCentreTable(
        constant=3.024,
        onsite=(5.7410, 11.2134, 1.3103, 1.0971),
        first=(
            *(-1.0086, 1.4166, 2.0551, -0.0603, -0.9002),
            *(-1.1753, 0.3784, -0.8712, 0.5165, -0.0570),
        ),
        second=(
            *(-0.6808, 1.1489, 1.9004, -0.1936, -0.4988),
            *(-0.7792, 0.1166, -0.5020, 0.1352, 0.0123),
        ),
        source="fitted to the NRL tight-binding bands, rms 24 meV within 2 eV of the Fermi level",
    ),
    "Ta": TwoCentreTable(
        constant=3.301,
        onsite=(4.4256, 10.5449, 2.6940, 2.1194),
        first=(
            *(-1.1816, 1.4533, 1.8617, -0.8799, -1.2921),
            *(-1.8522, 0.5827, -1.5061, 0.7683, -0.0888),
        ),
        second=(
            *(-0.5032, 0.5188, 0.5065, -0.6751, -0.5280),
            *(-0.8915, 0.1957, -0.9229, 0.2407, 0.0657),
        ),
        spin_orbit=0.25,
        source="fitted to the NRL tight-binding bands, rms 75 meV within 2 eV of the Fermi level",
    ),
}


def bcc_lattice(constant: float) -> NDArray[np.floating]:
    """Primitive vectors of a body-centred cubic lattice with the cubic constant given."""
    return constant / 2 * np.array([[-1.0, 1, 1], [1, -1, 1], [1, 1, -1]])


def bcc_neighbours(constant: float) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """The eight first and the six second neighbours.

    Raises:
        CaseError: The constant is not positive.
    """
    if not (isfinite(constant) and constant > 0):
        raise CaseError(("constant", f"found {constant!r}; must be positive and finite"))
    first = np.array(list(product((-1.0, 1), repeat=3))) * constant / 2
    second = np.concatenate([np.eye(3), -np.eye(3)]) * constant
    return first, second


def SlaterKosterBcc(  # a model is a thing, even if a function builds it
    metal: str | TwoCentreTable,
    *,
    spin_orbit: float | None = None,
    exchange: tuple[float, float, float] | None = None,
) -> TightBinding:
    """A bcc metal with s, p, d orbitals from two-centre integrals.

    Args:
        metal: A name in `TABLES`, or a table.
        spin_orbit: ξ of the d orbitals in eV: H gains ξ L·S. None takes the table's; zero leaves
            spin out (nine states, each for two).
        exchange: Vector J in eV: H gains J·σ, and has spin.

    Raises:
        CaseError: Unknown metal, or not the right number of integrals.
    """
    if isinstance(metal, str):
        if metal not in TABLES:
            raise CaseError(("metal", f'found "{metal}"; {known(metal, TABLES)}'))
        name, table = metal, TABLES[metal]
    else:
        name, table = "bcc", metal
    for key, values, count in (
        ("onsite", table.onsite, 4),
        ("first", table.first, len(INTEGRALS)),
        ("second", table.second, len(INTEGRALS)),
    ):
        if len(values) != count:
            raise CaseError((key, f"found {len(values)} numbers; expected {count}"))
    s, p, t2g, eg = table.onsite
    strength = table.spin_orbit if spin_orbit is None else spin_orbit
    shells = zip(bcc_neighbours(table.constant), (table.first, table.second), strict=True)
    vectors, hoppings = [np.zeros((1, 3))], [np.diag([s, *[p] * 3, *[t2g] * 3, *[eg] * 2])[None]]
    for neighbours, integrals in shells:
        named = dict(zip(INTEGRALS, integrals, strict=True))
        vectors.append(neighbours)
        hoppings.append(np.array([bond(r, named) for r in neighbours]))
    return _atomic(
        name=f"{name} (Slater-Koster bcc, s p d, spin-orbit {strength:g} eV)",
        constant=table.constant,
        vectors=np.concatenate(vectors),
        hoppings=np.concatenate(hoppings),
        orbitals=ORBITALS,
        strength={"d": strength},
        exchange=exchange,
    )


def BccP(
    *,
    sigma: float = 0.2,
    pi: float = 0.05,
    constant: float = 3.0,
    spin_orbit: float = 0.0,
    exchange: tuple[float, float, float] | None = None,
) -> TightBinding:
    """Three p orbitals on a bcc lattice with nearest-neighbour bonds, and H gains ξ L·S.

    Args:
        sigma: V_ppσ in eV.
        pi: V_ppπ in eV.
        constant: Cubic lattice constant in Å.
        spin_orbit: ξ of L·S in eV; zero leaves spin out.
        exchange: Vector J in eV: H gains J·σ, and has spin.
    """
    first, _ = bcc_neighbours(constant)
    values = {"pps": sigma, "ppp": pi}
    return _atomic(
        name=f"bcc p model (spin-orbit {spin_orbit:g} eV)",
        constant=constant,
        vectors=first,
        hoppings=np.array([bond(r, values)[1:4, 1:4] for r in first]),
        orbitals=("px", "py", "pz"),
        strength={"p": spin_orbit},
        exchange=exchange,
    )


def _atomic(
    *,
    name: str,
    constant: float,
    vectors: NDArray[np.floating],
    hoppings: NDArray[np.floating],
    orbitals: tuple[str, ...],
    strength: Mapping[str, float],
    exchange: tuple[float, float, float] | None,
) -> TightBinding:
    """One atom per cell. With i before the odd orbitals H(k) is real where there is no spin."""
    phase = np.array([1j if o.startswith("p") else 1 for o in orbitals])
    turned = phase.conj()[:, None] * hoppings * phase
    momentum = phase.conj()[:, None] * angular_momentum(orbitals) * phase
    operators = {"L": momentum}
    degeneracy = 2
    if any(strength.values()) or exchange is not None:
        degeneracy = 1
        spin = spin_operator(len(orbitals))
        momentum = np.array([with_spin(m) for m in momentum])
        operators = {"S": spin, "L": momentum}
        turned = np.array([with_spin(t) for t in turned])
        own = np.zeros(turned.shape[1:], dtype=complex)
        for shell, xi in strength.items():
            weight = with_spin(np.diag([1.0 * o.startswith(shell) for o in orbitals]))
            own += xi * weight @ np.einsum("amn,anl->ml", momentum, spin)
        own += 2 * np.einsum("a,amn->mn", exchange or (0, 0, 0), spin)
        home = np.flatnonzero(np.abs(vectors).max(axis=1) < 1e-9)
        if len(home):
            turned[home[0]] += own
        else:
            vectors = np.concatenate([np.zeros((1, 3)), vectors])
            turned = np.concatenate([own[None], turned])
    return TightBinding(
        name=name,
        lattice=bcc_lattice(constant),
        vectors=vectors,
        hoppings=turned,
        operators=operators,
        degeneracy=degeneracy,
    )


def GappedLattice(
    *, constant: float = 3.0, mixing: float = 1.0, hopping: float = 1.0, mass: float = -1.0
) -> TightBinding:
    """Two bands of a square lattice, orbitals s and p₊ = (p_x + i p_y)/√2, with a gap.

    H = A (sin k_x σ_x + sin k_y σ_y) + (m + B (2 − cos k_x − cos k_y)) σ_z, in units of 1/a for k;
    L_z = 0 and 1. The lower band has a Chern number of −1 (or +1) for −4 < m/B < −2 and
    −2 < m/B < 0, else none.

    Args:
        constant: Lattice constant a in Å.
        mixing: A in eV.
        hopping: B in eV.
        mass: m in eV.
    """
    x, y, z = SIGMA
    vectors = constant * np.array([[0.0, 0], [1, 0], [-1, 0], [0, 1], [0, -1]])
    hoppings = np.array(
        [
            (mass + 2 * hopping) * z,
            *[mixing * sign * x / 2j - hopping * z / 2 for sign in (1, -1)],
            *[mixing * sign * y / 2j - hopping * z / 2 for sign in (1, -1)],
        ]
    )
    momentum = np.zeros((3, 2, 2))
    momentum[2, 1, 1] = 1
    return TightBinding(
        name="gapped two-band lattice",
        lattice=constant * np.eye(2),
        vectors=vectors,
        hoppings=hoppings,
        operators={"L": momentum},
    )
