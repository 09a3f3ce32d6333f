"""From a Hamiltonian to the orbital density at the edges of a wire.

After T. Valet, H. Jaffrès, V. Cros, R. Raimondi, "Quantum kinetic anatomy of electron angular
momenta edge accumulation" (2025), eq. 3, 4 and 6-10, Fig. 1 and 2.

    python3 demos/bands_edge_accumulation/run.py [FOLDER]
"""

import sys
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from meso import bands
from meso.bands import models
from meso.bands.model import HBAR2_OVER_MASS
from meso.constants import ELEMENTARY_CHARGE, HBAR
from meso.exact import Ribbon
from meso.figures.style import LINES, STYLE
from meso.materials.material import Material

NM = 1e-9
QUANTUM = ELEMENTARY_CHARGE**2 / HBAR


def hall(strength: float, operator: str, definition: str = "band-projected") -> float:
    """Σ_n ∫ n_FD Tr[X_n F_n] of the radial-tangential model with ħ = m = E_F = 1."""
    # Two p orbitals whose bands have a radial and a tangential character: with spin-orbit
    # coupling λ τ_y σ_z they acquire Berry curvature, and the band-projected L does not vanish.
    model = models.RadialTangential(mass=HBAR2_OVER_MASS, spin_orbit=strength)
    found = bands.hall_conductivity(model, operator, energy=1.0, kmesh=12, definition=definition)
    return found.value[0, 2, 1] / QUANTUM


def vertex(strength: float) -> float:
    """What point scatterers add to that for spin, between bands."""
    model = models.RadialTangential(mass=HBAR2_OVER_MASS, spin_orbit=strength)
    return bands.vertex_correction(model, "S", energy=1.0, kmesh=12).value[0, 2, 1] / QUANTUM


def texture(energy: float, angles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """p_x and p_y of the states on the Fermi line, (angles, orbital, band), and k there."""
    radius = np.hypot(*bands.fermi_lines(models.RadialTangential(), energy, 8).points[0])
    k = radius * np.column_stack([np.cos(angles), np.sin(angles)])
    _, states = np.linalg.eigh(models.RadialTangential().hamiltonian(k))
    # Real up to a phase: the one by which a state points outwards, or to the left of that.
    unit = np.column_stack([np.cos(angles), np.sin(angles)])
    ahead = unit + np.column_stack([-unit[:, 1], unit[:, 0]])
    phase = np.einsum("kon,ko->kn", states, ahead)
    return (states * (np.abs(phase) / phase)[:, None]).real, k


def draw_texture(panel: Axes) -> float:
    """Fig. 2b: the lobes of the p orbital that each state is; returns the states' misfit to it."""
    angles = np.arange(12) * np.pi / 6
    states, k = texture(1.0, angles)
    around = np.linspace(0, 2 * np.pi, 121)
    for band, colour in ((1, LINES[0]), (0, LINES[1])):
        scale = 1.0 if band else 0.6  # both are at the same k: one is drawn further inside
        panel.plot(scale * np.cos(around), scale * np.sin(around), color="0.8", linewidth=0.8)
        for orbital, at in zip(states[..., band], scale * k / np.hypot(*k[0]), strict=True):
            lobe = 0.15 * (orbital[0] * np.cos(around) + orbital[1] * np.sin(around))
            x, y = at[0] + np.abs(lobe) * np.cos(around), at[1] + np.abs(lobe) * np.sin(around)
            for sign, alpha in ((lobe >= 0, 1.0), (lobe < 0, 0.35)):
                panel.fill(np.where(sign, x, at[0]), np.where(sign, y, at[1]), colour, alpha=alpha)
    panel.set(aspect="equal", title="orbitals on the Fermi line", xlabel="k$_x$", ylabel="k$_y$")
    panel.set(xticks=[], yticks=[])
    unit = np.column_stack([np.cos(angles), np.sin(angles)])
    turned = np.column_stack([-unit[:, 1], unit[:, 0]])
    return np.abs(states - np.stack([turned, unit], axis=2)).max()


def ribbon_material() -> Material:
    """σ, λ, γ₂/γ₁ and κ of the spinless model at E_F = 1 eV: nothing is put in by hand but Γ."""
    return Material.from_bands(
        models.RadialTangential(), name="R-T", energy=1.0, broadening=0.0195, kmesh=16
    )


def vanadium(energies: np.ndarray, definition: str, n: int) -> np.ndarray:
    """Orbital Hall conductivity of V without spin-orbit coupling, (ħ/|e|) S/m."""
    metal = models.SlaterKosterBcc("V")
    return np.array(
        [
            bands.hall_conductivity(
                metal, "L", energy=e, kmesh=n, definition=definition, error=False
            ).value[0, 1, 2]
            for e in energies
        ]
    )


def run(folder: Path, energies: np.ndarray | None = None, n: int = 24) -> dict[str, float]:
    """All panels in one figure; returns the numbers that the text quotes."""
    energies = np.linspace(-6, 6, 41) if energies is None else energies
    strengths = np.linspace(0.02, 0.98, 25)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(12, 7.4), dpi=120, layout="constrained")
        FigureCanvasAgg(figure)
        (a, t, b), (e, c, d) = figure.subplots(2, 3)

        # Bands, and the orbitals that they are made of: the texture that all of this is from.
        k = np.linspace(-0.8, 0.8, 161)
        model = models.RadialTangential()
        levels = np.linalg.eigvalsh(model.hamiltonian(np.column_stack([k, 0 * k])))
        a.plot(k, levels[:, 1], color=LINES[0], label="radial")
        a.plot(k, levels[:, 0], color=LINES[1], label="tangential")
        a.axhline(1, color="0.6", linewidth=0.8)
        a.set(xlabel="k (1/Å)", ylabel="energy (eV)", title="bands, Fermi energy")
        a.legend()

        misfit = draw_texture(t)

        # Eq. 4. Both angular momenta have the Berry curvature in common; only that of L is even
        # in λ. The dots are the closed forms λ/2π and −(1 − λ²/2)/π.
        for operator, colour in (("S", LINES[0]), ("L", LINES[1])):
            b.plot(strengths, [hall(s, operator) for s in strengths], color=colour, label=operator)
        b.plot(strengths[::3], strengths[::3] / 2 / np.pi, ".", color=LINES[0])
        b.plot(strengths[::3], -(1 - strengths[::3] ** 2 / 2) / np.pi, ".", color=LINES[1])
        conventional = [hall(s, "L", "conventional") for s in strengths]
        b.plot(strengths, conventional, "--", color=LINES[1], label="L, conventional")
        b.set(xlabel="spin-orbit coupling λ/E$_F$", title="Σ∫Tr[X F]")
        b.legend()

        # The vertex correction of eq. 3 for spin, which is conserved here; dots λ/π(1 + λ²).
        intrinsic = np.array([hall(x, "S") for x in strengths])
        between = np.array([vertex(x) for x in strengths])
        e.plot(strengths, intrinsic, color=LINES[0], label="intrinsic")
        e.plot(strengths, intrinsic + between, "--", color=LINES[2], label="and between bands")
        e.plot(strengths, intrinsic + 2 * between, color=LINES[2], label="and within bands")
        e.plot(strengths[::3], strengths[::3] / np.pi / (1 + strengths[::3] ** 2), ".k")
        e.set(xlabel="spin-orbit coupling λ/E$_F$", title="spin, with vertex corrections")
        e.legend()

        # Eq. 9 and 10: the current falls towards a diffuse edge, its curl makes L there.
        metal = ribbon_material()
        flow = Ribbon(
            width=100 * NM,
            diffusion_length=metal.vorticity_diffusion_length,
            slip_rate=metal.slip_rate(0.0),
            drive=metal.conductivity * 1e5,
        )
        y = np.linspace(-50, 50, 401) * NM
        c.plot(y / NM, flow.current_density(y) / (metal.conductivity * 1e5), color=LINES[0])
        c.set(xlabel="y (nm)", ylabel="J / σE", ylim=(0, 1.05), title="ribbon at 10⁵ V/m")
        twin = c.twinx()
        twin.plot(y / NM, metal.orbital_coupling * flow.curl(y) / HBAR / 1e13, color=LINES[1])
        twin.set_ylabel("$L_z$ (10¹³ ħ/m²)")

        # What other works compute for light metals, and what remains of it in eq. 4.
        usual = vanadium(energies, "conventional", n)
        projected = vanadium(energies, "band-projected", 6)
        d.plot(energies, usual / 1e5, color=LINES[1], label="conventional")
        d.plot(energies, projected / 1e5, color=LINES[0], label="band-projected")
        d.axvline(0, color="0.6", linewidth=0.8)
        d.set(xlabel="Fermi energy (eV)", ylabel="10⁵ (ħ/|e|) S/m", title="V, orbital Hall")
        d.legend()
        folder.mkdir(parents=True, exist_ok=True)
        figure.savefig(folder / "figure.png")
    edge = metal.orbital_coupling * flow.curl(-50 * NM) / HBAR
    return {
        "L_edge": abs(float(edge)),
        "kappa": metal.orbital_coupling,
        "gamma2": metal.gamma2,
        "conventional": float(np.abs(usual).max()),
        "projected": float(np.abs(projected).max()),
        "texture": float(misfit),
        "vertex": float(between[-1] / intrinsic[-1]),
    }


if __name__ == "__main__":
    out = Path(sys.argv[1] if len(sys.argv) > 1 else "results/bands_edge_accumulation")
    for key, value in run(out).items():
        print(f"{key:<14}{value:.7g}")
