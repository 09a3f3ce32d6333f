"""The Boltzmann equation of a uniform conductor with scalar point scatterers, on any bands.

With f_n = δ(ε_n − E_F) g_n and the rates ⟨n|P_q|n⟩ of point scatterers (Valet and Raimondi 2025,
eq. 2–4; u = n_i v₀²), the unknown enters the collisions only through one matrix, the arriving
m = Σ_q ∫ δ(ε_q − E_F) g_q P_q:

    g_n = [e E·∂_kε_n/(2π u) + ⟨n|m|n⟩] / ⟨n|D|n⟩,    D = Σ_q ∫ δ(ε_q − E_F) P_q

So it is a linear system of the size of H squared, whatever the Fermi surface looks like; nothing is
discretised but k. Degenerate bands have one g: mean values over a group are meant. The number of
particles, m ∝ D, is a null vector and is left at zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meso.bands.engine import integrate
from meso.bands.geometry import Bands
from meso.bands.kmesh import Mesh, fermi_lines
from meso.bands.model import Array, Model
from meso.errors import CaseError


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Distribution:
    """The answer of the distribution to a unit force along each direction.

    Attributes:
        energy: Fermi energy in eV.
        temperature: k_B T in eV that smears δ(ε − E_F) on a grid.
        density: D in 1/(eV Å^d) (N, N).
        weight: Σ∫δ(ε − E_F) ∂ε ∂ε in eV Å^(2−d) (d, d).
        arriving: m times u for each direction (d, N, N).
    """

    energy: float
    temperature: float
    density: Array
    weight: NDArray[np.floating]
    arriving: Array


def mean_over_groups(at: Bands, diagonal: Array) -> Array:
    """Values of bands (K, …, N) averaged over the bands degenerate with each."""
    share = at.same / at.same.sum(axis=2, keepdims=True)
    return np.einsum("k...n,kmn->k...m", diagonal, share)


def expectation(at: Bands, matrix: Array) -> NDArray[np.floating]:
    """⟨n|M|n⟩ averaged over groups, for M (…, N, N) in the basis of the model: (K, …, N)."""
    u = at.states
    diagonal = np.einsum("kmn,...mp,kpn->k...n", u.conj(), matrix, u, optimize=True).real
    return mean_over_groups(at, diagonal)


def velocity(at: Bands) -> NDArray[np.floating]:
    """∂ε/∂k of the bands, averaged over groups (K, d, N), in eV Å."""
    return mean_over_groups(at, np.einsum("kann->kan", at.slope).real)


@dataclass(frozen=True, kw_only=True, eq=False)
class DensityTerm:
    """D and the velocity tensor at each k, flat."""

    energy: float
    temperature: float

    def __call__(
        self, model: Model, k: NDArray[np.floating], bands: NDArray[np.integer] | None
    ) -> NDArray:
        """The integrand at a batch of wave vectors."""
        at = Bands.at(model, k)
        weight, v = at.surface(self.energy, self.temperature, bands), velocity(at)
        density = np.einsum("kn,kmn,kpn->kmp", weight, at.states, at.states.conj())
        tensor = np.einsum("kn,kan,kbn->kab", weight, v, v)
        return np.concatenate([x.reshape(len(k), -1) for x in (density, tensor)], axis=1)


@dataclass(frozen=True, kw_only=True, eq=False)
class VertexTerm:
    """The matrix of the linear system for m, and its right-hand sides, at each k, flat."""

    energy: float
    temperature: float
    density: Array

    def __call__(
        self, model: Model, k: NDArray[np.floating], bands: NDArray[np.integer] | None
    ) -> NDArray:
        """The integrand at a batch of wave vectors."""
        at = Bands.at(model, k)
        weight = at.surface(self.energy, self.temperature, bands)
        rate = expectation(at, self.density)
        ratio = weight / np.where(weight > 0, rate, 1.0)
        each = np.einsum("kmn,kpn->knmp", at.states, at.states.conj())
        share = at.same / at.same.sum(axis=2, keepdims=True)
        each = np.einsum("knmp,kqn->kqmp", each, share).reshape(*weight.shape, -1)
        system = np.einsum("kn,kna,knb->kab", ratio, each, each.conj(), optimize=True)
        drive = np.einsum("kn,kdn,kna->kda", ratio / (2 * np.pi), velocity(at), each)
        return np.concatenate([x.reshape(len(k), -1) for x in (system, drive)], axis=1)


def solve(
    model: Model, energy: float, mesh: Mesh, *, temperature: float = 0.025, **options: Any
) -> Distribution:
    """Solve the Boltzmann equation.

    Args:
        model: The model.
        energy: Fermi energy in eV.
        mesh: The Fermi lines, or a grid over the zone without reduction by symmetry.
        temperature: k_B T in eV that smears the Fermi surface on a grid.
        options: `processes`, `comm`, `progress` of the engine.

    Raises:
        CaseError: No Fermi surface at this energy.
    """
    n, d = model.size, model.dimension
    common = {"energy": float(energy), "temperature": float(temperature)}
    sums = integrate(model, mesh, DensityTerm(**common), **options)
    density, weight = sums[: n * n].reshape(n, n), sums[n * n :].reshape(d, d).real
    if not np.trace(density).real > 1e-12:
        raise CaseError(("energy", f"no Fermi surface of {model.name} at {energy:g} eV"))
    options["batch"] = max(1, min(512, 2_000_000 // n**4))
    sums = integrate(model, mesh, VertexTerm(**common, density=density), **options)
    system, drive = sums[: n**4].reshape(n * n, n * n), sums[n**4 :].reshape(d, n * n)
    arriving = np.linalg.lstsq(np.eye(n * n) - system, drive.T, rcond=1e-9)[0].T
    return Distribution(
        energy=float(energy),
        temperature=float(temperature),
        density=density,
        weight=weight,
        arriving=arriving.reshape(d, n, n),
    )


def shift(found: Distribution, at: Bands) -> NDArray[np.floating]:
    """g/(eE) times u of the bands at some k, for each direction: (K, d, N)."""
    rate = expectation(at, found.density)
    drive = velocity(at) / (2 * np.pi) + expectation(at, found.arriving)
    return drive / np.maximum(rate, 1e-300)[:, None]


def relaxation_rates(model: Model, energy: float, harmonics: int = 8, rays: int = 64) -> NDArray:
    """Rates γ_m/γ_1 of the angular harmonics m = 0 … of a round Fermi line.

    Args:
        model: A 2D model without lattice, with one Fermi line (or a Kramers pair) that is round.
        energy: Fermi energy in eV.
        harmonics: Largest m.
        rays: Points of the line.

    Raises:
        CaseError: A lattice, several lines, or not round.
    """
    if model.lattice is not None or model.dimension != 2:
        raise CaseError(("model", f"{model.name}: this needs a model of the plane, no lattice"))
    mesh = fermi_lines(model, energy, rays)
    radius = np.hypot(*mesh.points.T)
    if np.ptp(radius) > 1e-6 * radius.max():
        raise CaseError(("energy", "the Fermi line is not one circle: no rates of harmonics"))
    at = Bands.at(model, mesh.points[:rays])
    assert mesh.bands is not None
    part = at.states * at.same[np.arange(rays), mesh.bands[:rays]][:, None, :]
    p = part @ part.conj().swapaxes(1, 2)
    kernel = np.einsum("amn,bnm->ab", p, p, optimize=True).real
    waves = np.exp(1j * np.arange(harmonics + 1) * np.arctan2(*at.k.T[::-1])[:, None])
    rates = kernel.sum(axis=1).mean() - (waves.conj() * (kernel @ waves)).mean(axis=0).real
    return rates / rates[1]
