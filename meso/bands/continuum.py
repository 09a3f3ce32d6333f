"""Models without a lattice: expansions of H(k) that hold for all k of the plane."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from meso.bands.model import (
    HBAR2_OVER_MASS,
    SIGMA,
    Array,
    Floats,
    check_positive,
    spin_operator,
    with_spin,
)
from meso.errors import CaseError

_X, _Y, _Z = SIGMA


@dataclass(frozen=True, kw_only=True)
class Continuum:
    """H = c + Σ_a l_a k_a + ½ Σ_ab q_ab k_a k_b with matrices c, l, q (`coefficients`)."""

    name = "continuum"
    dimension = 2
    lattice = None
    degeneracy = 1

    @property
    def coefficients(self) -> tuple[Array, Array, Array]:
        """The matrices c, l (2, …) and q (2, 2, …), in eV and Å."""
        raise NotImplementedError

    @property
    def size(self) -> int:
        """Number of states at each k."""
        return len(self.coefficients[0])

    def hamiltonian(self, k: Floats) -> Array:
        """H in eV at the wave vectors k (K, 2)."""
        c, linear, square = self.coefficients
        second = np.einsum("ka,kb,abmn->kmn", k, k, square) / 2
        return c + np.tensordot(k, linear, axes=1) + second

    def gradient(self, k: Floats) -> Array:
        """∂H/∂k in eV Å."""
        _, linear, square = self.coefficients
        return linear + np.tensordot(k, square, axes=1)

    def hessian(self, k: Floats) -> Array:
        """∂²H/∂k∂k in eV Å²."""
        square = self.coefficients[2]
        return np.broadcast_to(square, (len(k), *square.shape))


@dataclass(frozen=True, kw_only=True)
class RadialTangential(Continuum):
    """(p_x, p_y) orbitals whose bands are radial (+k²/2m) and tangential (−k²/2m).

    H = (ħ²/2m)(P_R − P_T), L_z = ħτ_y; with spin-orbit coupling + λ τ_y σ_z, basis spin ⊗ orbital.

    Args:
        mass: m in electron masses.
        spin_orbit: λ in eV; None leaves spin out.
    """

    mass: float = 1.0
    spin_orbit: float | None = None
    name = "radial-tangential"

    def __post_init__(self) -> None:
        check_positive(mass=self.mass)

    @property
    def degeneracy(self) -> int:  # type: ignore[override]
        """Two where spin is left out."""
        return 2 if self.spin_orbit is None else 1

    @property
    def coefficients(self) -> tuple[Array, Array, Array]:
        """H = (ħ²/2m)[(k_x² − k_y²) τ_z + 2 k_x k_y τ_x] + λ τ_y σ_z."""
        square = HBAR2_OVER_MASS / self.mass * np.array([[_Z, _X], [_X, -_Z]])
        constant: Array = np.zeros((2, 2))
        if self.spin_orbit is not None:
            square, constant = with_spin(square), self.spin_orbit * np.kron(_Z, _Y)
        return constant, np.zeros((2, *constant.shape)), square

    @property
    def operators(self) -> Mapping[str, Array]:
        """L_z = τ_y, and S where there is spin."""
        momentum = np.array([0 * _Y, 0 * _Y, _Y])
        if self.spin_orbit is None:
            return {"L": momentum}
        return {"S": spin_operator(2), "L": with_spin(momentum)}


@dataclass(frozen=True, kw_only=True)
class ElectronGas(Continuum):
    """Two-dimensional electron gas with exchange and spin-orbit field.

    H = ħ²k²/2m + J m·σ + α_R (k_x σ_y − k_y σ_x) + α_D (k_x σ_x − k_y σ_y)

    Args:
        mass: Effective mass in electron masses.
        exchange: J in eV.
        direction: Unit vector m; it is normalised.
        rashba: α_R in eV Å.
        dresselhaus: α_D in eV Å.
    """

    mass: float = 1.0
    exchange: float = 0.0
    direction: tuple[float, float, float] = (0.0, 0.0, 1.0)
    rashba: float = 0.0
    dresselhaus: float = 0.0
    name = "electron gas"

    def __post_init__(self) -> None:
        check_positive(mass=self.mass)
        if len(self.direction) != 3:
            text = f"found {list(self.direction)}; must be three numbers"
            raise CaseError(("direction", text))
        if not np.linalg.norm(self.direction) > 0:
            raise CaseError(("direction", "found a zero vector; must have a direction"))

    @property
    def magnetisation(self) -> Floats:
        """The unit vector m."""
        m = np.asarray(self.direction, dtype=float)
        return m / np.linalg.norm(m)

    @property
    def coefficients(self) -> tuple[Array, Array, Array]:
        """See the class."""
        constant = self.exchange * np.tensordot(self.magnetisation, SIGMA, axes=1)
        linear = self.rashba * np.array([_Y, -_X]) + self.dresselhaus * np.array([_X, -_Y])
        square = HBAR2_OVER_MASS / self.mass * np.multiply.outer(np.eye(2), np.eye(2))
        return constant, linear, square

    @property
    def operators(self) -> Mapping[str, Array]:
        """S = σ/2."""
        return {"S": SIGMA / 2}


@dataclass(frozen=True, kw_only=True)
class TiltedDirac(Continuum):
    """Massive Dirac cone with a tilt: H = t k_x + m σ_z + α (k_y σ_x − k_x σ_y).

    Args:
        mass: m in eV.
        velocity: α = ħ times the velocity, in eV Å.
        tilt: t = ħ v_t in eV Å.
    """

    mass: float = 0.01
    velocity: float = 4.0
    tilt: float = 0.8
    name = "tilted Dirac"

    def __post_init__(self) -> None:
        check_positive(mass=self.mass, velocity=self.velocity)
        if not abs(self.tilt) < self.velocity:
            text = f"found {self.tilt!r}; must be below velocity, else the Fermi line is open"
            raise CaseError(("tilt", text))

    @property
    def coefficients(self) -> tuple[Array, Array, Array]:
        """See the class."""
        linear = np.array([self.tilt * np.eye(2) - self.velocity * _Y, self.velocity * _X])
        return self.mass * _Z, linear, np.zeros((2, 2, 2, 2))

    @property
    def operators(self) -> Mapping[str, Array]:
        """None: the angular momentum of this model is that of r × v."""
        return {}
