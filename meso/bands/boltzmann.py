"""The Boltzmann equation of a uniform electron gas on its Fermi lines, with point scatterers.

With f_n = δ(ε_n − E_F) g_n and the rate Tr[P_n P_q] of scalar point scatterers (Valet and Raimondi
2025, eq. 2–4) it is a linear system for the values g at the points of the Fermi lines,

    Σ_q W_q Tr[P_n P_q] (g_n − g_q) = e E·∂_kε_n / (2π u),    u = n_i v₀²,

which conserves particles on each set of lines that scatter into one another.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from meso.bands.geometry import Bands
from meso.bands.kmesh import Mesh, fermi_lines
from meso.bands.model import Array, Model
from meso.bands.setup import positive
from meso.errors import CaseError


@dataclass(frozen=True, kw_only=True, eq=False)
class Distribution:
    """The answer of the distribution to a unit force along x and y.

    Attributes:
        mesh: The Fermi lines.
        bands: Levels and states at their points.
        projectors: On the group of the band at each point (K, N, N).
        weight: 1 over the size of that group: its lines are all there.
        velocity: ∂ε/∂k in eV Å (K, 2).
        shift: g/(eE) times u, for E along x and y (K, 2).
    """

    mesh: Mesh
    bands: Bands
    projectors: Array
    weight: NDArray[np.floating]
    velocity: NDArray[np.floating]
    shift: NDArray[np.floating]


def solve(model: Model, energy: float, rays: int = 64) -> Distribution:
    """Solve the Boltzmann equation of a model of the plane.

    Args:
        model: A 2D model without lattice.
        energy: Fermi energy in eV.
        rays: Points of each Fermi line.

    Raises:
        CaseError: The model has a lattice, or no Fermi line.
    """
    if model.lattice is not None or model.dimension != 2:
        raise CaseError(("model", f"{model.name}: this needs a model of the plane, no lattice"))
    positive("rays", rays)
    mesh = fermi_lines(model, energy, rays)
    assert mesh.bands is not None
    at = Bands.at(model, mesh.points)
    share = at.surface(energy, 1.0, mesh.bands)
    group = share > 0
    part = at.states * group[:, None, :]
    projectors = part @ part.conj().swapaxes(1, 2)
    velocity = np.einsum("kann,kn->ka", at.slope, share).real
    kernel = np.einsum("amn,bnm->ab", projectors, projectors, optimize=True).real
    kernel = kernel * (mesh.weights * share.max(axis=1))
    system = np.diag(kernel.sum(axis=1)) - kernel
    # Least squares: the number of particles, a null vector, is left at zero.
    shift = np.linalg.lstsq(system, velocity / (2 * np.pi), rcond=1e-12)[0]
    return Distribution(
        mesh=mesh,
        bands=at,
        projectors=projectors,
        weight=share.max(axis=1),
        velocity=velocity,
        shift=shift,
    )


def relaxation_rates(model: Model, energy: float, harmonics: int = 8, rays: int = 64) -> NDArray:
    """Rates γ_m/γ_1 of the angular harmonics m = 0 … of a round Fermi line.

    Args:
        model: A 2D model without lattice, with one Fermi line (or a Kramers pair) that is round.
        energy: Fermi energy in eV.
        harmonics: Largest m.
        rays: Points of the line.

    Raises:
        CaseError: Several lines, or not round.
    """
    found = solve(model, energy, rays)
    lines = len(found.mesh.points) // rays
    k = found.mesh.points[:rays]
    radius = np.hypot(*k.T)
    if np.ptp(np.hypot(*found.mesh.points.T)) > 1e-6 * radius.max():
        raise CaseError(("energy", "the Fermi line is not one circle: no rates of harmonics"))
    p = found.projectors[:rays]
    kernel = np.einsum("amn,bnm->ab", p, p, optimize=True).real * found.weight[0] * lines
    angle = np.arctan2(k[:, 1], k[:, 0])
    waves = np.exp(1j * np.arange(harmonics + 1) * angle[:, None])
    out = kernel.sum(axis=1).mean()
    rates = out - (waves.conj() * (kernel @ waves)).mean(axis=0).real
    return rates / rates[1]
