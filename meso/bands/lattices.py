"""Lattice models: bcc metals from two-centre integrals, and a gapped two-band lattice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np

from meso.bands.model import (
    BCC,
    SIGMA,
    Floats,
    TightBinding,
    check_positive,
    spin_operator,
    with_spin,
)
from meso.bands.orbitals import INTEGRALS, ORBITALS, angular_momentum, bond
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


#: Two-centre parameters of metals by symbol, orthogonal sets with E_F ≈ 0, for ``SlaterKosterBcc``.
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


#: The eight first and the six second neighbours in a body-centred cubic lattice.
_FIRST = np.array(list(product((-0.5, 0.5), repeat=3)))
_SECOND = np.concatenate([np.eye(3), -np.eye(3)])


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
    name = metal if isinstance(metal, str) else "bcc"
    if isinstance(metal, str) and metal not in TABLES:
        raise CaseError(("metal", f'found "{metal}"; {known(metal, TABLES)}'))
    table = TABLES[metal] if isinstance(metal, str) else metal
    for key, count in (("onsite", 4), ("first", len(INTEGRALS)), ("second", len(INTEGRALS))):
        if (found := len(getattr(table, key))) != count:
            raise CaseError((key, f"found {found} numbers; expected {count}"))
    s, p, t2g, eg = table.onsite
    strength = table.spin_orbit if spin_orbit is None else spin_orbit
    vectors, hoppings = [np.zeros((1, 3))], [np.diag([s, *[p] * 3, *[t2g] * 3, *[eg] * 2])[None]]
    for neighbours, integrals in ((_FIRST, table.first), (_SECOND, table.second)):
        named = dict(zip(INTEGRALS, integrals, strict=True))
        vectors.append(neighbours * table.constant)
        hoppings.append(np.array([bond(r, named) for r in neighbours]))
    return _atomic(
        f"{name} (Slater-Koster bcc, s p d, spin-orbit {strength:g} eV)",
        table.constant,
        np.concatenate(vectors),
        np.concatenate(hoppings),
        orbitals=ORBITALS,
        spin_orbit=("d", strength),
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
    values = {"pps": sigma, "ppp": pi}
    return _atomic(
        f"bcc p model (spin-orbit {spin_orbit:g} eV)",
        constant,
        _FIRST * constant,
        np.array([bond(r, values)[1:4, 1:4] for r in _FIRST]),
        orbitals=("px", "py", "pz"),
        spin_orbit=("p", spin_orbit),
        exchange=exchange,
    )


def _atomic(
    name: str,
    constant: float,
    vectors: Floats,
    hoppings: Floats,
    *,
    orbitals: tuple[str, ...],
    spin_orbit: tuple[str, float],
    exchange: tuple[float, float, float] | None,
) -> TightBinding:
    """One atom per cell, with ξ of a shell. H(k) is real without spin: odd orbitals carry an i."""
    check_positive(constant=constant)
    phase = np.array([1j if o.startswith("p") else 1 for o in orbitals])
    matrices = phase.conj()[:, None] * hoppings * phase
    momentum = phase.conj()[:, None] * angular_momentum(orbitals) * phase
    operators = {"L": momentum}
    shell, xi = spin_orbit
    if xi != 0 or exchange is not None:
        spin, momentum = spin_operator(len(orbitals)), with_spin(momentum)
        operators = {"S": spin, "L": momentum}
        weight = with_spin(np.diag([1.0 * o.startswith(shell) for o in orbitals]))
        own = xi * weight @ (momentum @ spin).sum(axis=0)
        own = own + 2 * np.tensordot(exchange or (0, 0, 0), spin, axes=1)
        matrices = with_spin(matrices)
        if vectors[0].any():
            vectors = np.concatenate([np.zeros((1, 3)), vectors])
            matrices = np.concatenate([np.zeros_like(matrices[:1]), matrices])
        matrices[0] += own
    return TightBinding(
        name=name,
        lattice=constant * BCC,
        vectors=vectors,
        hoppings=matrices,
        operators=operators,
        degeneracy=3 - len(operators),
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
    steps = [mixing * s * axis / 2j - hopping * z / 2 for axis in (x, y) for s in (1, -1)]
    momentum = np.zeros((3, 2, 2))
    momentum[2, 1, 1] = 1
    return TightBinding(
        name="gapped two-band lattice",
        lattice=constant * np.eye(2),
        vectors=constant * np.array([[0.0, 0], [1, 0], [-1, 0], [0, 1], [0, -1]]),
        hoppings=np.array([(mass + 2 * hopping) * z, *steps]),
        operators={"L": momentum},
    )
