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
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meso.bands.engine import integrate
from meso.bands.geometry import Bands, Electrons
from meso.bands.kmesh import Mesh, fermi_lines
from meso.bands.model import Array, Floats, Model
from meso.errors import CaseError


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Distribution:
    """The answer of the distribution to a unit force along each direction."""

    density: Array  # D in 1/(eV Å^d) (N, N)
    weight: Floats  # Σ∫δ(ε − E_F) ∂ε ∂ε in eV Å^(2−d) (3, 3)
    arriving: Array  # m times u for each direction (3, N, N)

    def shift(self, at: Bands) -> Floats:
        """g/(eE) times u of the bands at some k, for each direction: (K, 3, N)."""
        rate = at.expectation(self.density)
        drive = at.velocity / (2 * np.pi) + at.expectation(self.arriving)
        return drive / np.maximum(rate, 1e-300)[:, None]


def _density(at: Bands) -> tuple[NDArray, NDArray]:
    """D and the velocity tensor at each k."""
    density = np.einsum("kn,kmn,kpn->kmp", at.surface, at.states, at.states.conj())
    return density, np.einsum("kn,kan,kbn->kab", at.surface, at.velocity, at.velocity)


def _vertex(at: Bands, density: Array) -> tuple[NDArray, NDArray]:
    """The matrix of the linear system for m, and its right-hand sides, at each k."""
    rate = at.expectation(density)
    ratio = at.surface / np.where(at.surface > 0, rate, 1.0)
    each = np.einsum("kmn,kpn->kmpn", at.states, at.states.conj())
    each = at.mean(each).reshape(len(at.k), -1, ratio.shape[1])
    system = np.einsum("kn,kan,kbn->kab", ratio, each, each.conj(), optimize=True)
    return system, np.einsum("kn,kdn,kan->kda", ratio / (2 * np.pi), at.velocity, each)


def solve(electrons: Electrons, mesh: Mesh, **options: Any) -> Distribution:
    """Solve the Boltzmann equation on the Fermi lines, or on a grid without reduction by symmetry.

    Raises:
        CaseError: No Fermi surface at this energy.
    """
    n = electrons.model.size
    density, weight = integrate(electrons, mesh, _density, **options)
    if not np.trace(density).real > 1e-12:
        text = f"no Fermi surface of {electrons.model.name} at {electrons.energy:g} eV"
        raise CaseError(("energy", text))
    options["batch"] = max(1, min(512, 2_000_000 // n**4))
    system, drive = integrate(electrons, mesh, partial(_vertex, density=density), **options)
    arriving = np.linalg.lstsq(np.eye(n * n) - system, drive.T, rcond=1e-9)[0].T
    return Distribution(density=density, weight=weight, arriving=arriving.reshape(3, n, n))


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
    assert mesh.bands is not None
    at = Electrons(model).bands(mesh.points[:rays])
    p = at.projector(mesh.bands[:rays])
    kernel = np.einsum("amn,bnm->ab", p, p, optimize=True).real
    waves = np.exp(1j * np.arange(harmonics + 1) * np.arctan2(*at.k.T[::-1])[:, None])
    rates = kernel.sum(axis=1).mean() - (waves.conj() * (kernel @ waves)).mean(axis=0).real
    return rates / rates[1]
