"""A dipole, and orbital angular momentum, that an electric field makes in a tilted Dirac cone.

After J. H. Cullen, D. P. Arovas, R. Raimondi, D. Culcer, "Quantum geometry and dipolar dynamics in
the orbital magneto-electric effect" (2025), Fig. 1-3.

    python3 demos/bands_magnetoelectric/run.py [FOLDER]
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
from meso.constants import ELECTRON_MASS, ELEMENTARY_CHARGE, HBAR
from meso.figures.style import LINES, STYLE

#: α = 4 eV Å, m = 10 meV, v_t = 0.2 α/ħ, as in the figures of the paper.
CONE = models.TiltedDirac(mass=0.01, velocity=4.0, tilt=0.8)
#: The density of the orbital moment is −(e/2)⟨r × v⟩ = (e/2)⟨v × r⟩; the paper's −(e/2)⟨L⟩ with
#: its ⟨L⟩ = ⟨v × r⟩ of eq. 49 is the negative of it.
HALF_CHARGE = ELEMENTARY_CHARGE / 2
#: Of dipole density per field: e/V, in aF; of moment density per field: μ_B/(V nm), in pA m/V.
CHARGE_PER_VOLT = ELEMENTARY_CHARGE * 1e18
MAGNETON = ELEMENTARY_CHARGE * HBAR / (2 * ELECTRON_MASS) * 1e9 * 1e12


def beside(axes: Axes, unit: float, name: str, place: float = 1.0) -> None:
    """A second scale of the same axis, in another unit."""
    scale = axes.secondary_yaxis(place, functions=(lambda y: y / unit, lambda y: y * unit))
    scale.set_ylabel(name)


def run(folder: Path, points: int = 41) -> dict[str, float]:
    """Three panels; returns the numbers that the text quotes."""
    energies = np.concatenate([np.linspace(0, 0.0095, 6), np.linspace(0.0105, 0.05, points)])
    dipoles, covariant, printed = [], [], []
    for energy in energies:
        dipoles.append(bands.dipole(CONE, energy=energy, kmesh=32).value[1, 1])
        for where, definition in ((covariant, "covariant"), (printed, "printed")):
            found = bands.orbital_magnetoelectric(
                CONE, energy=energy, kmesh=32, definition=definition, time=1e-14
            )
            where.append({**{k: v[2] for k, v in found.parts.items()}, "sum": found.value[2]})
    meV = 1e3 * energies

    def along(results: list, part: str, field: int) -> np.ndarray:
        return HALF_CHARGE * np.array([r[part][field] for r in results])

    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(14, 4.0), dpi=130, layout="constrained")
        FigureCanvasAgg(figure)
        a, b, c = figure.subplots(1, 3)
        # Fig. 1. The dipole and the moment of its convection: one shape, present in the gap.
        a.plot(meV, np.array(dipoles) * 1e18, color=LINES[0])
        a.set(xlabel="E$_F$ (meV)", ylabel="dipole/E (aF)", title="dipole", ylim=(0, None))
        convected = np.abs(along(covariant, "dipole", 1)) * 1e12
        twin = a.twinx()
        twin.plot(meV, convected / MAGNETON, "--", color=LINES[1])
        twin.set(ylim=(0, None), ylabel="|moment|/E, convected (μ$_B$/(V nm))")
        beside(a, CHARGE_PER_VOLT, "e/V", 1.22)

        # Fig. 2. As printed, the sum changes its sign at the band edge and jumps; with the
        # covariant derivative it is continuous, falls, and keeps its sign.
        for part, colour in (("dipole", LINES[1]), ("itinerant", LINES[0])):
            b.plot(meV, along(covariant, part, 1) * 1e12, color=colour, label=part)
        b.plot(meV, along(printed, "itinerant", 1) * 1e12, ":", color=LINES[0], label="as printed")
        total = sum(along(covariant, p, 1) for p in ("dipole", "itinerant", "local"))
        b.plot(meV, total * 1e12, color="k", label="sum")
        wrong = sum(along(printed, p, 1) for p in ("dipole", "itinerant", "local"))
        b.plot(meV, wrong * 1e12, ":", color="k", label="sum as printed")
        b.set(xlabel="E$_F$ (meV)", ylabel="moment/E (pA m/V)", title="intrinsic, E along y")
        beside(b, MAGNETON, "μ$_B$/(V nm)")
        b.legend()

        # Fig. 3. Scattering answers to a field along x only, the intrinsic part to one along y.
        c.plot(meV, total * 1e12, color="k", label="intrinsic, E along y")
        extrinsic = along(covariant, "extrinsic", 0)
        c.plot(meV, extrinsic * 1e12, color=LINES[2], label="extrinsic, E along x")
        c.set(xlabel="E$_F$ (meV)", ylabel="moment/E (pA m/V)", title="τ = 10 fs")
        beside(c, MAGNETON, "μ$_B$/(V nm)")
        c.legend()
        folder.mkdir(parents=True, exist_ok=True)
        figure.savefig(folder / "figure.png")
    edge = np.searchsorted(energies, 0.01)
    return {
        "dipole in the gap": float(dipoles[0]),
        "sum in the gap": float(total[0]),
        "the same in μ_B/(V nm)": float(total[0] * 1e12 / MAGNETON),
        "sum above the edge": float(total[edge]),
        "sum above the edge as printed": float(wrong[edge]),
        "extrinsic for E along y": float(np.abs(along(covariant, "extrinsic", 1)).max()),
        "intrinsic for E along x": float(
            max(abs(r[p][0]) for r in covariant for p in ("dipole", "itinerant")) * HALF_CHARGE
        ),
        "largest extrinsic": float(np.abs(extrinsic).max()),
    }


if __name__ == "__main__":
    out = Path(sys.argv[1] if len(sys.argv) > 1 else "results/bands_magnetoelectric")
    for key, value in run(out).items():
        print(f"{key:<32}{value:.6g}")
