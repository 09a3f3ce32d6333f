"""Spin-orbit torque of a two-dimensional electron gas: what a field makes, disorder undoes.

After T. Valet and R. Raimondi, Phys. Rev. B 111, L041118 (2025), eq. 1-4 and 11-15.

    python3 demos/bands_torque/run.py [FOLDER]
"""

import sys
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from meso import bands
from meso.bands import models
from meso.bands.model import HBAR2_OVER_MASS
from meso.constants import ELEMENTARY_CHARGE
from meso.figures.style import LINES, STYLE

#: 1 eV/Å² per V/Å; with ħ²/m = 1 eV Å² numbers are those for ħ = m = −e = 1.
UNIT = ELEMENTARY_CHARGE / 1e-10
EXCHANGE = 0.3


def gas(**changes: object) -> models.ElectronGas:
    """J = 0.3, m along z, α_R = 0.01, unless changed."""
    values = {"mass": HBAR2_OVER_MASS, "exchange": EXCHANGE, "rashba": 0.01, **changes}
    return models.ElectronGas(**values)


def parts(model: models.ElectronGas, energy: float, rays: int = 32) -> tuple[float, float]:
    """Intrinsic and disorder part of T_y for a field along x."""
    found = bands.torque(model, energy=energy, kmesh=rays)
    return tuple(float(found.parts[p][1, 0]) / UNIT for p in ("intrinsic", "disorder"))


def leading(strength: float, energy: float) -> float:
    """Eq. 13 with its missing factor σ, first order in the coupling, for two Fermi lines."""
    # T_y = ½ Σ_σ σ ∮ dl/(2π)² e cosθ b_y, b_y = α p cosθ/J, p_σ² = 2(E − σJ).
    squares = sum(s * 2 * (energy - s * EXCHANGE) for s in (1, -1))
    return -strength / EXCHANGE * squares / (8 * np.pi)


def run(folder: Path) -> dict[str, float]:
    """Three panels; returns the numbers that the text quotes."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(10.5, 3.7), dpi=130, layout="constrained")
        FigureCanvasAgg(figure)
        a, b, c = figure.subplots(1, 3)

        # The coupling need not be weak: both parts bend away from eq. 13, and still cancel.
        strengths = np.linspace(0.01, 0.5, 15)
        values = np.array([parts(gas(rashba=s), 1.0) for s in strengths])
        a.plot(strengths, values[:, 0] * 1e2, color=LINES[0], label="intrinsic")
        a.plot(strengths, values[:, 1] * 1e2, color=LINES[1], label="disorder")
        a.plot(strengths, values.sum(axis=1) * 1e2, "--", color=LINES[2], label="sum")
        exact = [leading(s, 1.0) * 1e2 for s in strengths]
        a.plot(strengths, exact, ":", color="0.4", label="eq. 13")
        a.set(xlabel="α$_R$", ylabel="$T_y$ (10⁻²)", title="strength")
        a.legend()

        # Below E = J there is one Fermi line only. What is left is of fourth order in α_R: not seen
        # where the coupling is weak, so it is strong here.
        energies = np.concatenate([np.linspace(-0.25, 0.28, 14), np.linspace(0.32, 1, 14)])
        values = np.array([parts(gas(rashba=0.3), e) for e in energies]) * 1e2
        for column, colour in ((values[:, 0], LINES[0]), (values[:, 1], LINES[1])):
            b.plot(energies, column, color=colour)
        b.plot(energies, values.sum(axis=1), "--", color=LINES[2])
        b.axvline(EXCHANGE, color="0.6", linewidth=0.8)
        b.set(
            xlabel="Fermi energy", ylabel="$T_y$ (10⁻²)", title="one band, two bands; α$_R$ = 0.3"
        )

        # Any direction of the magnetisation, with Dresselhaus coupling as well.
        angles = np.linspace(0, np.pi, 13)
        largest = []
        for angle in angles:
            model = gas(
                rashba=0.1,
                dresselhaus=0.15,
                direction=(np.sin(angle), 0.3, np.cos(angle)),
            )
            found = bands.torque(model, energy=1.0, kmesh=64)
            scale = np.abs(found.parts["intrinsic"]).max()
            largest.append((scale / UNIT, np.abs(found.value).max() / scale))
        c.semilogy(np.degrees(angles), [x for x, _ in largest], color=LINES[0], label="|intrinsic|")
        c.semilogy(np.degrees(angles), [x for _, x in largest], color=LINES[2], label="|sum|, rel.")
        c.set(xlabel="angle of m to z (°)", title="direction")
        c.legend()
        folder.mkdir(parents=True, exist_ok=True)
        figure.savefig(folder / "figure.png")
    intrinsic, disorder = parts(gas(), 1.0)
    weak, strong = (parts(gas(rashba=a), 0.0) for a in (0.03, 0.3))
    return {
        "intrinsic": intrinsic,
        "sum": intrinsic + disorder,
        "eq. 13": leading(0.01, 1.0),
        "one band, α = 0.03": sum(weak) / weak[0],
        "one band, α = 0.3": sum(strong) / strong[0],
        "worst relative sum": max(x for _, x in largest),
    }


if __name__ == "__main__":
    out = Path(sys.argv[1] if len(sys.argv) > 1 else "results/bands_torque")
    for key, value in run(out).items():
        print(f"{key:<22}{value:.8e}")
