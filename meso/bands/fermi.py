"""What the Fermi surface gives: density of states, velocity, Drude weight, mean free path, κ.

Orbital density from gradients of the current (Valet et al. 2025, eq. 6–7). For the distribution
f_n = −n_FD'(ε_n) v_n·C, a common shift of the Fermi surface,

    K_kl = Σ∫(−n_FD') v^k v^l,  M^j_il = Σ∫(−n_FD') w^{ij} v^l,  κ^j_ik = −(ħ/e) M^j_il (K⁻¹)_lk,
    w^{ij} = Im Σ_m ⟨n|∂_iH|m⟩⟨m|X^j|n⟩/(ε_n − ε_m),  m outside the group of n,

so that X^j = κ^j_ik ∂_i J_k. The sign is that of A_nm = i P_n ∂P_m; the one printed in the paper
contradicts its own eq. 7.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meso.bands.engine import Integrand
from meso.bands.geometry import Bands, Electrons
from meso.bands.kmesh import Mesh
from meso.bands.model import Array, Floats, Model
from meso.bands.model import operator as operator_of
from meso.bands.response import Sums, respond
from meso.bands.result import Quantity
from meso.constants import ELEMENTARY_CHARGE, HBAR
from meso.errors import CaseError
from meso.materials.crystal import LEVI_CIVITA

#: k_B T in eV where a grid needs a smooth Fermi surface: room temperature.
TEMPERATURE = 0.025


def averages(at: Bands) -> tuple[NDArray, ...]:
    """N, Σ|v| and K (3, 3) at each k, in eV and Å."""
    v = at.within(at.slope)
    speed = np.sqrt((np.einsum("kann->kan", v).real ** 2).sum(axis=1))
    k = np.einsum("kn,kanm,kbmn->kab", at.surface, v, v, optimize=True).real
    return at.surface.sum(axis=1), (at.surface * speed).sum(axis=1), k


def couplings(at: Bands, matrices: Sequence[Array]) -> tuple[NDArray, ...]:
    """The same and M (3, 3, 3) of each of some operators at each k."""
    v, out = at.within(at.slope), []
    for matrix in matrices:
        product = at.mixing[:, :, None] @ at.between(matrix[None])[:, None]
        w = (product - product.conj().swapaxes(-1, -2)) / 2j
        out.append(np.einsum("kn,kijnm,klmn->kjil", at.surface, w, v, optimize=True).real)
    return *averages(at), *out


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FermiSurface:
    """Averages over a Fermi surface, in SI.

    Attributes:
        density_of_states: 1/(J m^d), all spins.
        velocity: ⟨|v|⟩ in m/s.
        mean_square_velocity: ⟨v²⟩ in m²/s².
        drude: e²K as a tensor: σ = drude · τ, in S/(m s), or S/s in 2D.
        error: Estimated relative error of the density of states, or None.
        provenance: As for every result.
    """

    density_of_states: float
    velocity: float
    mean_square_velocity: float
    drude: Floats
    error: float | None
    provenance: dict[str, Any]

    def conductivity(self, time: float) -> Floats:
        """σ in S/m (S) for one relaxation time τ in s."""
        return self.drude * time

    def mean_free_path(self, conductivity: float, dimension: int) -> float:
        """λ in m, the same on the whole Fermi surface: σ = e² N_F ⟨|v|⟩ λ/d."""
        weight = ELEMENTARY_CHARGE**2 * self.density_of_states * self.velocity
        return dimension * conductivity / weight


def _respond(
    electrons: Electrons, integrand: Integrand, kmesh: int | Mesh, axes: list[str], **how: Any
) -> Sums:
    sums = respond(electrons, integrand, kmesh, axes=axes, surface=True, generic=True, **how)
    if not sums.values[0] > 0:
        text = f"no Fermi surface of {electrons.model.name} at {electrons.energy:g} eV"
        raise CaseError(("energy", text))
    return sums


def fermi_surface(
    model: Model,
    energy: float = 0.0,
    kmesh: int | Mesh = 64,
    *,
    temperature: float = TEMPERATURE,
    tolerance: float | None = None,
    **options: Any,
) -> FermiSurface:
    """Density of states, velocities and Drude weight at an energy.

    Args:
        model: The model.
        energy: In eV.
        kmesh: Points along one direction, rays, or a mesh.
        temperature: k_B T in eV that smears the Fermi surface of a lattice model.
        tolerance: Relative; refine k adaptively instead of a grid.
        options: `symmetry`, `error`, `processes`, `comm`, `progress`.

    Raises:
        CaseError: There is no Fermi surface at this energy.
    """
    electrons = Electrons(model, float(energy), float(temperature))
    sums = _respond(electrons, averages, kmesh, ["", "", "vv"], tolerance=tolerance, **options)
    states, speed, k = sums.values
    to_velocity = 1e-10 * ELEMENTARY_CHARGE / HBAR
    density = model.degeneracy * states / ELEMENTARY_CHARGE * 10.0 ** (10 * model.dimension)
    return FermiSurface(
        density_of_states=float(density),
        velocity=float(speed / states * to_velocity),
        mean_square_velocity=float(np.trace(k) / states * to_velocity**2),
        drude=ELEMENTARY_CHARGE**2 * k / states * density * to_velocity**2,
        error=None if sums.errors is None else float(sums.errors[0] / states),
        provenance=sums.provenance("Fermi-surface average"),
    )


def orbital_coupling(
    model: Model,
    *,
    energy: float = 0.0,
    kmesh: int | Mesh = 64,
    operator: str = "L",
    temperature: float = TEMPERATURE,
    tolerance: float | None = None,
    **options: Any,
) -> Quantity:
    """κ^j_ik as [j, i, k]: density of X^j for a gradient ∂_i J_k of the charge current density.

    Args:
        model: The model.
        energy: Fermi energy in eV.
        kmesh: Points along one direction, rays, or a mesh.
        operator: "L" or "S" (or "J").
        temperature: k_B T in eV that smears the Fermi surface of a lattice model.
        tolerance: Relative; refine k adaptively instead of a grid.
        options: `symmetry`, `error`, `processes`, `comm`, `progress`.

    Returns:
        κ in J s/A. For an isotropic or cubic model κ^j_ik = κ ε_jik (`curl_coefficient`).

    Raises:
        CaseError: No such operator, or no Fermi surface at this energy.
    """
    electrons = Electrons(model, float(energy), float(temperature))
    return density_couplings(electrons, kmesh, (operator,), tolerance=tolerance, **options)[0]


def density_couplings(
    electrons: Electrons, kmesh: int | Mesh, operators: Sequence[str], **options: Any
) -> list[Quantity]:
    """κ of several operators, as :func:`orbital_coupling`, from one sum over k."""
    matrices = [operator_of(electrons.model, name) for name in operators]
    axes = ["", "", "vv", *["avv"] * len(operators)]
    sums = _respond(electrons, partial(couplings, matrices=matrices), kmesh, axes, **options)
    k, errors, out = sums.values[2], sums.errors, []
    inverse, scale = np.linalg.pinv(k, rcond=1e-10), HBAR**2 / ELEMENTARY_CHARGE**2
    for i, operator in enumerate(operators, start=3):
        kappa, wrong = scale * sums.values[i] @ inverse, None
        if errors is not None:
            # First order in the errors of M and K.
            wrong = (scale * errors[i] + np.abs(kappa) @ errors[2]) @ np.abs(inverse)
        what = f"coupling of {operator} to gradients of the current"
        provenance = sums.provenance(
            "interband density for a common shift of the Fermi surface",
            "Valet et al. (2025), eq. 6-7, sign of A as in Valet and Raimondi",
        )
        out.append(
            Quantity(
                name=f"{what}, [component, gradient, current]",
                value=kappa,
                unit="J s/A",
                error=wrong,
                provenance=provenance,
            )
        )
    return out


def curl_coefficient(kappa: Floats) -> tuple[float, float]:
    """κ of X = κ ∇×J that fits a tensor best, and what it leaves of the tensor, relative.

    For a model of the plane only j = z counts.

    Args:
        kappa: As [j, i, k]; the fit is κ ε_jik.
    """
    in_plane = np.zeros((3, 3, 3), dtype=bool)
    in_plane[2, :2, :2] = True
    scale = np.abs(kappa).max(initial=0)
    outside = np.abs(np.where(in_plane, 0.0, kappa)).max()
    curl = LEVI_CIVITA * in_plane if outside <= 1e-9 * scale else LEVI_CIVITA
    value = (curl * kappa).sum() / (curl**2).sum()
    rest = np.abs(kappa - value * curl).max()
    return float(value), float(rest / scale) if scale else 0.0
