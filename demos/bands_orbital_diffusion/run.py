"""Diffusion of charge, spin and orbital angular momentum in V, Ta and a toy model.

After X. Ning et al., Phys. Rev. Lett. 134, 026303 (2025), Fig. 2-4 and Fig. 2-4 of its supplement.

    python3 demos/bands_orbital_diffusion/run.py [FOLDER]
"""

import sys
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from meso import bands
from meso.bands import models
from meso.figures.style import LINES, STYLE

BROADENING = 0.1


def curves(model: models.Model, energies: np.ndarray, n: int) -> dict[str, np.ndarray]:
    """The diagonal blocks in 10⁵ S/m over energy."""
    found = bands.diffusivities(model, list(energies), BROADENING, n)
    pairs = {"c": "c", "sx": "sx", "sy": "sy", "lx": "lx", "ly": "ly"}
    return {name: np.array([f.between(x, x) for f in found]) / 1e5 for name, x in pairs.items()}


def run(folder: Path, n: int = 24, points: int = 41) -> dict[str, float]:
    """Six panels; returns the numbers that the text quotes."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(11, 10), dpi=130, layout="constrained")
        FigureCanvasAgg(figure)
        rows = figure.subplots(3, 2)
        energies = np.linspace(-6, 6, points)

        # Fig. 2. Dashed: without spin-orbit coupling. There spin and charge are one curve.
        cases = {
            "V": [(models.SlaterKosterBcc("V"), "-")],
            "Ta": [(models.SlaterKosterBcc("Ta", spin_orbit=0), "--")],
        }
        cases["Ta"].append((models.SlaterKosterBcc("Ta"), "-"))
        for row, (metal, variants) in zip(rows, cases.items(), strict=False):
            for model, style in variants:
                found = curves(model, energies, n)
                row[0].plot(energies, found["c"], style, color="k", label="charge")
                row[0].plot(energies, found["sx"], style, color=LINES[1], label="$s_x$")
                row[0].plot(energies, found["sy"], style, color=LINES[4], label="$s_y$")
                row[1].plot(energies, found["lx"], style, color=LINES[0], label="$l_x$")
                row[1].plot(energies, found["ly"], style, color=LINES[6], label="$l_y$")
            for panel in row:
                panel.set(xlabel="E − E$_F$ (eV)", title=metal, ylabel="10⁵ S/m")
                panel.axhline(0, color="0.7", linewidth=0.8)
                panel.axvline(0, color="0.7", linewidth=0.8)
        rows[0][0].legend()
        rows[0][1].legend()

        # Fig. 3b and 4b, 4d: efficiencies in Ta over the strength of spin-orbit coupling.
        strengths = np.linspace(0.05, 1, 9)
        full = models.TABLES["Ta"].spin_orbit
        scan = [
            bands.diffusivity(models.SlaterKosterBcc("Ta", spin_orbit=x * full), 0.0, BROADENING, n)
            for x in strengths
        ]
        left, right = rows[2]
        for source, other, colour in (("s", "orbit", LINES[1]), ("l", "spin", LINES[0])):
            left.plot(
                100 * strengths,
                [100 * f.polarization(source) for f in scan],
                color=colour,
                label=f"{'spin' if source == 's' else 'orbit'} to {other}",
            )
        left.set(xlabel="spin-orbit coupling (%)", ylabel="%", title="Ta, polarization")
        left.legend()
        for source, sink, colour in (
            ("s", "s", LINES[1]),
            ("l", "l", LINES[0]),
            ("s", "l", LINES[4]),
            ("l", "s", LINES[2]),
        ):
            right.semilogy(
                100 * strengths,
                [f.swapping(source, sink) for f in scan],
                color=colour,
                label=f"{source} to {sink}",
            )
        right.set(xlabel="spin-orbit coupling (%)", title="Ta, swapping")
        right.legend(ncols=2)
        folder.mkdir(parents=True, exist_ok=True)
        figure.savefig(folder / "figure.png")

    toy = bands.diffusivity(models.BccP(spin_orbit=0.05), 0.5, BROADENING, 64)
    v = bands.diffusivity(models.SlaterKosterBcc("V"), 0.0, BROADENING, 48)
    return {
        "toy charge": toy.between("c", "c"),
        "toy s_x": toy.between("sx", "sx"),
        "toy l_x": toy.between("lx", "lx"),
        "V charge": v.between("c", "c"),
        "V l_x": v.between("lx", "lx"),
        "V l_y": v.between("ly", "ly"),
        "Ta polarization l": scan[-1].polarization("l"),
    }


if __name__ == "__main__":
    out = Path(sys.argv[1] if len(sys.argv) > 1 else "results/bands_orbital_diffusion")
    for key, value in run(out).items():
        print(f"{key:<20}{value:.7g}")
