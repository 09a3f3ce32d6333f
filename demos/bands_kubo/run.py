"""Kubo's formula with its ladder against the quantum kinetic equation, at any disorder.

After T. Valet and R. Raimondi, Phys. Rev. B 111, L041118 (2025), eq. 1-10, and the vertex
correction of eq. 3 of T. Valet et al. (2025) in the radial-tangential model.

    python3 demos/bands_kubo/run.py [FOLDER]
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from meso import bands
from meso.bands import models
from meso.bands.model import HBAR2_OVER_MASS, SIGMA, Array, Floats
from meso.constants import ELEMENTARY_CHARGE, HBAR
from meso.figures.style import LINES, STYLE

#: ħ = m = 1; densities for a force of 1 eV/Å on electrons.
GAS = models.ElectronGas(mass=HBAR2_OVER_MASS, exchange=0.3, rashba=0.1)
FORCE = -1e10
QUANTUM = ELEMENTARY_CHARGE**2 / HBAR
X, Y, Z = SIGMA


@dataclass(frozen=True)
class OneSpin:
    """(k²/2)(P_R − P_T) + λ τ_y: what one spin sees of the radial-tangential model."""

    coupling: float
    name = "radial-tangential, one spin"
    dimension, size, degeneracy, lattice = 2, 2, 1, None

    @property
    def operators(self) -> dict[str, Array]:
        """None."""
        return {}

    def hamiltonian(self, k: Floats) -> Array:
        """H(k)."""
        x, y = k.T[:, :, None, None]
        return (x**2 - y**2) / 2 * Z + x * y * X + self.coupling * Y

    def gradient(self, k: Floats) -> Array:
        """∂H/∂k."""
        x, y = k.T[:, :, None, None]
        return np.stack([x * Z + y * X, -y * Z + x * X], axis=1)

    def hessian(self, k: Floats) -> Array:
        """∂²H/∂k∂k."""
        return np.broadcast_to(np.array([[Z, X], [X, -Z]]), (len(k), 2, 2, 2, 2))


def spin(density: Array) -> Floats:
    """⟨σ⟩ for a force along x of 1 eV/Å, from a density matrix (2, N, N) for 1 V/m."""
    return np.einsum("amn,nm->a", SIGMA, density[0]).real / FORCE


def run(folder: Path, strengths: Floats | None = None) -> dict[str, float]:
    """Three panels; returns the numbers that the text quotes."""
    u = np.geomspace(0.02, 0.6, 7) if strengths is None else np.asarray(strengths)
    limit = bands.weak_limit(GAS, energy=1.0, kmesh=8)
    target = spin(limit.interband)
    found, differences, currents, hall, hall_differences = [], [], [], [], []
    block = OneSpin(0.3)
    for strength in u:
        disorder = bands.scatterers(GAS, energy=1.0, strength=strength, kmesh=8)
        kubo, kinetic = bands.kubo_ladder(disorder), bands.quantum_kinetic(disorder)
        found.append((spin(kubo.interband), spin(kinetic.interband)))
        differences.append(np.abs(kubo.interband - kinetic.interband).max())
        currents.append(np.abs(1 - kinetic.conductivity[0, 0] / kubo.conductivity[0, 0]))
        disorder = bands.scatterers(block, energy=1.0, strength=strength, kmesh=8)
        kubo, kinetic = bands.kubo_ladder(disorder), bands.quantum_kinetic(disorder)
        hall.append((kubo.conductivity[0, 1] / QUANTUM, kinetic.conductivity[0, 1] / QUANTUM))
        hall_differences.append(np.abs(hall[-1][0] - hall[-1][1]))
    kubo_spin, kinetic_spin = np.array(found).swapaxes(0, 1)
    away = np.abs(kubo_spin - target).max(axis=1)
    scale = np.abs(limit.field).max()
    coupling = block.coupling
    exact = {
        "intrinsic": coupling / (2 * np.pi),
        "and between bands": coupling / (2 * np.pi)
        + coupling * (1 - coupling**2) / (4 * np.pi * (1 + coupling**2)),
        "and within": coupling / (np.pi * (1 + coupling**2)),
    }
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(11, 3.8), dpi=130, layout="constrained")
        FigureCanvasAgg(figure)
        a, b, c = figure.subplots(1, 3)
        for axis, colour in ((0, LINES[0]), (1, LINES[1])):
            name = "xyz"[axis]
            a.semilogx(u, 1e3 * kinetic_spin[:, axis], color=colour, label=f"$σ_{name}$, kinetic")
            a.plot(u, 1e3 * kubo_spin[:, axis], "o", color=colour, markersize=4)
            a.axhline(1e3 * target[axis], color=colour, linestyle=":")
        a.plot([], [], "ok", markersize=4, label="Kubo, ladder")
        a.plot([], [], ":k", label="limit")
        a.set(xlabel="u = n$_i$v$_0^2$", ylabel="10⁻³ per unit force", title="2DEG, between bands")
        a.legend()
        b.loglog(u, away / np.abs(spin(limit.field)).max(), color=LINES[0], label="Kubo − limit")
        b.loglog(u, np.array(differences) / scale, color=LINES[1], label="Kubo − kinetic")
        b.loglog(u, currents, color=LINES[2], label="the same, conductivity")
        b.set(xlabel="u", title="relative to eq. 1, first term")
        b.legend()
        c.semilogx(u, [k for _, k in hall], color=LINES[0], label="kinetic")
        c.plot(u, [k for k, _ in hall], "ok", markersize=4, label="Kubo, ladder")
        for (name, value), style in zip(exact.items(), (":", "--", "-."), strict=True):
            c.axhline(value, color="0.5", linestyle=style, label=name)
        c.set(xlabel="u", title="R-T, one spin, λ = 0.3: σ$_{xy}$ħ/e²", ylim=(0.02, None))
        c.legend()
        folder.mkdir(parents=True, exist_ok=True)
        figure.savefig(folder / "figure.png")
    return {
        "Kubo - kinetic, density": float(max(differences) / scale),
        "Kubo - kinetic, current": float(max(currents)),
        "Kubo - kinetic, Hall": float(max(hall_differences) / exact["and within"]),
        "Kubo - limit, weakest": float(away[0] / np.abs(spin(limit.field)).max()),
        "field": float(np.abs(spin(limit.field)).max()),
        "field + disorder": float(np.abs(spin(limit.field + limit.disorder)).max()),
        "principal": float(np.abs(spin(limit.principal)).max()),
        "Hall, weakest": float(hall[0][0]),
        "Hall, limit": exact["and within"],
    }


if __name__ == "__main__":
    out = Path(sys.argv[1] if len(sys.argv) > 1 else "results/bands_kubo")
    for key, value in run(out).items():
        print(f"{key:<26}{value:.7g}")
