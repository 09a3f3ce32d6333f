"""What the Fermi surface gives: density of states, velocity, Drude weight, mean free path, κ.

Orbital density from gradients of the current (Valet et al. 2025, eq. 6–7). For the distribution
f_n = −n_FD'(ε_n) v_n·C, a common shift of the Fermi surface,

    K_kl = Σ∫(−n_FD') v^k v^l,  M^j_il = Σ∫(−n_FD') w^{ij} v^l,  κ^j_ik = −(ħ/e) M^j_il (K⁻¹)_lk,
    w^{ij} = Im Σ_m ⟨n|∂_iH|m⟩⟨m|X^j|n⟩/(ε_n − ε_m),  m outside the group of n,

so that X^j = κ^j_ik ∂_i J_k. The sign is that of A_nm = i P_n ∂P_m; the one printed in the paper
contradicts its own eq. 7.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meso.bands.engine import adaptive, estimate
from meso.bands.geometry import Bands, within
from meso.bands.kmesh import Mesh
from meso.bands.model import Array, Model, operator
from meso.bands.result import Quantity
from meso.bands.setup import describe, mesh_for, positive
from meso.bands.symmetry import average, pad
from meso.constants import ELEMENTARY_CHARGE, HBAR
from meso.errors import CaseError

#: k_B T in eV where a grid needs a smooth Fermi surface: room temperature.
TEMPERATURE = 0.025


@dataclass(frozen=True, kw_only=True, eq=False)
class SurfaceTerm:
    """N, Σ|v|, K (3, 3) and, with an operator, M (3, 3, 3) at each k, flat; in eV and Å."""

    energy: float
    temperature: float
    matrix: Array | None = None

    def __call__(
        self, model: Model, k: NDArray[np.floating], bands: NDArray[np.integer] | None
    ) -> NDArray[np.floating]:
        """The integrand at a batch of wave vectors."""
        at = Bands.at(model, k)
        weight = at.surface(self.energy, self.temperature, bands)
        v = pad(within(at, at.slope), 1)
        speed = np.sqrt(np.einsum("kann->kan", v).real ** 2).transpose(0, 2, 1)
        speed = np.sqrt((speed**2).sum(axis=2))
        k_tensor = np.einsum("kn,kanm,kbmn->kab", weight, v, v, optimize=True).real
        parts = [weight.sum(1)[:, None], (weight * speed).sum(1)[:, None], _flat(k_tensor)]
        if self.matrix is not None:
            x = at.operator(self.matrix)
            product = at.mixing[:, :, None] @ x[:, None]
            w = (product - product.conj().swapaxes(-1, -2)) / 2j
            w = pad(w, 1)
            parts.append(_flat(np.einsum("kn,kijnm,klmn->kjil", weight, w, v, optimize=True).real))
        return np.concatenate(parts, axis=1)


def _flat(array: NDArray) -> NDArray:
    return array.reshape(len(array), -1)


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
    drude: NDArray[np.floating]
    error: float | None
    provenance: dict[str, Any]

    def conductivity(self, time: float) -> NDArray[np.floating]:
        """σ in S/m (S) for one relaxation time τ in s."""
        return self.drude * time

    def mean_free_path(self, conductivity: float, dimension: int) -> float:
        """λ in m, the same on the whole Fermi surface: σ = e² N_F ⟨|v|⟩ λ/d."""
        weight = ELEMENTARY_CHARGE**2 * self.density_of_states * self.velocity
        return dimension * conductivity / weight


def _sums(
    model: Model,
    energy: float,
    kmesh: int | Mesh,
    temperature: float,
    matrix: Array | None,
    tolerance: float | None,
    options: dict[str, Any],
) -> tuple[NDArray[np.floating], NDArray[np.floating] | None, Mesh, Mesh | str]:
    positive("temperature", temperature)
    term = SurfaceTerm(energy=float(energy), temperature=float(temperature), matrix=matrix)
    if tolerance is not None:
        mesh, how = mesh_for(model, 8, options, energy=energy)
        how = {key: how[key] for key in ("processes", "progress") if key in how}
        value, error, text = adaptive(model, term, tolerance=tolerance, **how)
        return value, error, mesh, text
    mesh, how = mesh_for(model, kmesh, options, energy=energy, surface=True, generic=True)
    value, error = estimate(model, mesh, term, **how)
    if not value[0] > 0:
        raise CaseError(("energy", f"no Fermi surface of {model.name} at {energy:g} eV"))
    return value, error, mesh, mesh


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
    value, error, mesh, grid = _sums(model, energy, kmesh, temperature, None, tolerance, options)
    states, d = value[0], model.dimension
    k = average(value[2:11].reshape(3, 3), mesh.group, "vv")
    to_velocity = 1e-10 * ELEMENTARY_CHARGE / HBAR
    density = model.degeneracy * states / ELEMENTARY_CHARGE * 10.0 ** (10 * d)
    k_si = k / states * density * to_velocity**2
    return FermiSurface(
        density_of_states=float(density),
        velocity=float(value[1] / states * to_velocity),
        mean_square_velocity=float(np.trace(k) / states * to_velocity**2),
        drude=ELEMENTARY_CHARGE**2 * k_si,
        error=None if error is None else float(error[0] / states),
        provenance=describe(
            model,
            grid,
            method="Fermi-surface average",
            energy_eV=float(energy),
            temperature_eV=None if mesh.on_fermi_surface else float(temperature),
        ),
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
    matrix = _operator(model, operator)
    value, error, mesh, grid = _sums(model, energy, kmesh, temperature, matrix, tolerance, options)

    def tensor(row: NDArray[np.floating]) -> NDArray[np.floating]:
        k = average(row[2:11].reshape(3, 3), mesh.group, "vv")
        m = average(row[11:].reshape(3, 3, 3), mesh.group, "avv")
        return HBAR**2 / ELEMENTARY_CHARGE**2 * m @ np.linalg.pinv(k, rcond=1e-10)

    kappa = tensor(value)
    wrong = None
    if error is not None:
        # First order in the errors of M and K.
        scale = HBAR**2 / ELEMENTARY_CHARGE**2
        k = average(value[2:11].reshape(3, 3), mesh.group, "vv")
        inverse = np.abs(np.linalg.pinv(k, rcond=1e-10))
        m_error = error[11:].reshape(3, 3, 3)
        wrong = (scale * m_error + np.abs(kappa) @ error[2:11].reshape(3, 3)) @ inverse
    return Quantity(
        name=f"coupling of {operator} to gradients of the current, [component, gradient, current]",
        value=kappa,
        unit="J s/A",
        error=wrong,
        provenance=describe(
            model,
            grid,
            method="interband density for a common shift of the Fermi surface",
            reference="Valet et al. (2025), eq. 6-7, sign of A as in Valet and Raimondi",
            energy_eV=float(energy),
            temperature_eV=None if mesh.on_fermi_surface else float(temperature),
        ),
    )


def _operator(model: Model, name: str) -> Array:
    return operator(model, name)


def curl_coefficient(kappa: NDArray[np.floating]) -> tuple[float, float]:
    """κ of X = κ ∇×J that fits a tensor best, and what it leaves of the tensor, relative.

    For a model of the plane only j = z counts.
    """
    z = kappa[2, :2, :2]
    planar = np.abs(kappa).max(initial=0) == np.abs(z).max(initial=0) and not kappa[:2].any()
    if planar:
        value = (z[0, 1] - z[1, 0]) / 2
        rest = z - value * np.array([[0, 1], [-1, 0]])
    else:
        epsilon = np.zeros((3, 3, 3))
        for n in range(3):
            epsilon[n, (n + 1) % 3, (n + 2) % 3] = 1
            epsilon[n, (n + 2) % 3, (n + 1) % 3] = -1
        value = np.einsum("jik,jik->", epsilon, kappa) / 6
        rest = kappa - value * epsilon
    scale = np.abs(kappa).max(initial=0)
    return float(value), float(np.abs(rest).max() / scale) if scale else 0.0
