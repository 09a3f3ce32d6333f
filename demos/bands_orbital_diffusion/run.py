"""Diffusion of charge, spin and orbital angular momentum in V and Ta.

After X. Ning et al., Phys. Rev. Lett. 134, 026303 (2025), Fig. 2-4 and Fig. 1 of its supplement.

    python3 demos/bands_orbital_diffusion/run.py [FOLDER]
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
from meso.figures.style import LINES, STYLE

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
import curves  # noqa: E402

#: From S to the diffusivity of the densities in the unit of a conductivity: eq. 12 and 13.
FACTORS = {"s>l": 2.0, "l>s": 0.5}
RED, PINK, BLUE, CYAN = LINES[1], LINES[4], LINES[0], LINES[6]


def band_structure(panel: Axes, name: str) -> None:
    """Fig. 1 of the supplement: levels along lines of symmetry, without the ab initio ones."""
    corners = {"Γ": (0, 0, 0), "H": (0, 0, 1), "N": (0, 0.5, 0.5), "P": (0.5, 0.5, 0.5)}
    model, path, ticks = curves.METALS[name], "ΓHNΓPH", [0.0]
    unit = 2 * np.pi / models.TABLES[name].constant
    for a, b in zip(path, path[1:], strict=False):
        step = np.array(corners[b]) - corners[a]
        along = np.linspace(0, 1, 60)[:, None]
        levels = np.linalg.eigvalsh(model.hamiltonian((corners[a] + along * step) * unit))
        length = np.linalg.norm(step)
        panel.plot(ticks[-1] + along[:, 0] * length, levels, color="k", linewidth=0.9)
        ticks.append(ticks[-1] + length)
    panel.axhline(0, color="0.7", linewidth=0.8)
    panel.set(xticks=ticks, xticklabels=list(path), ylim=(-9, 9), ylabel="E − E$_F$ (eV)")
    panel.set(title=f"{name}, bands", xlim=(0, ticks[-1]))


def over_energy(panel: Axes, table: dict, keys: dict[str, str], style: str = "-") -> None:
    """Lines of some components in 10⁵ S/m."""
    for key, colour in keys.items():
        factor = FACTORS.get(key[0] + ">" + key.split(">")[1][0], 1.0) / 1e5
        name = key.replace(">", "→").replace(" turned", ", y→x") if style == "-" else None
        panel.plot(table["energy"], factor * table[key], style, color=colour, label=name)
    panel.axhline(0, color="0.7", linewidth=0.8)
    panel.axvline(0, color="0.7", linewidth=0.8)
    panel.set(xlabel="E − E$_F$ (eV)", ylabel="10⁵ S/m")


def over_strength(polarization: Axes, swapping: Axes, data: dict) -> dict[str, np.ndarray]:
    """Fig. 3b, 4b and 4d: efficiencies over the strength of spin-orbit coupling, at E_F."""
    strengths = curves.STRENGTHS
    scan = {
        key: np.array([data[f"Ta {p} %"][key][0] for p in strengths]) for key in curves.COMPONENTS
    }
    found = {}
    for a, b, colour in (("s", "l", RED), ("l", "s", BLUE)):
        same = np.abs(scan[f"{a}x>{a}x"])
        crossed = np.abs(FACTORS[f"{a}>{b}"] * scan[f"{a}x>{b}x"])
        found[a] = crossed / (same + crossed)
        polarization.plot(strengths, 100 * found[a], color=colour, label=f"{a} → {b}")
    pairs = (("s", "s", RED), ("l", "l", BLUE), ("s", "l", PINK), ("l", "s", CYAN))
    for a, b, colour in pairs:
        turned = FACTORS.get(f"{a}>{b}", 1.0) * scan[f"{a}x>{b}y"] / scan[f"{a}x>{a}x"]
        found[a + b] = np.abs(turned)
        swapping.semilogy(strengths, np.abs(turned), color=colour, label=f"{a} → {b}")
    polarization.set(xlabel="spin-orbit coupling (%)", ylabel="%", title="Ta, polarization")
    swapping.set(xlabel="spin-orbit coupling (%)", title="Ta, swapping efficiency")
    polarization.legend()
    swapping.legend(ncols=2)
    return found


def draw(data: dict, grids: tuple[int, ...]) -> tuple[Figure, dict[str, np.ndarray]]:
    """Twelve panels."""
    figure = Figure(figsize=(13, 14), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    rows = figure.subplots(4, 3)
    charges, orbits = {"c>c": "k", "sx>sx": RED, "sy>sy": PINK}, {"lx>lx": BLUE, "ly>ly": CYAN}
    # Fig. 2. Dashed: without spin-orbit coupling. There spin and charge are one curve.
    for row, name in zip(rows, ("V", "Ta"), strict=False):
        band_structure(row[0], name)
        for panel, keys in ((row[1], charges), (row[2], orbits)):
            over_energy(panel, data[name], keys)
            if name == "Ta":
                over_energy(panel, data["Ta without"], keys, "--")
            panel.set(title=name)
            panel.legend()
    # Fig. 3a, 4a, 4c. Of two components that swapping connects, gradient and flow along x and y.
    polarized = {"sx>lx": RED, "sy>ly": PINK, "lx>sx": BLUE, "ly>sy": CYAN}
    own = {"sx>sy": RED, "sx>sy turned": PINK, "lx>ly": BLUE, "lx>ly turned": CYAN}
    crossed = {"sx>ly": RED, "sx>ly turned": PINK, "lx>sy": BLUE, "lx>sy turned": CYAN}
    for panel, keys, title in (
        (rows[2][0], polarized, "polarization diffusivities"),
        (rows[3][0], own, "swapping diffusivities"),
        (rows[3][2], crossed, "spin-orbit swapping"),
    ):
        over_energy(panel, data["Ta"], keys)
        if panel is rows[3][0]:
            over_energy(panel, data["Ta without"], keys, "--")
        panel.set(title=f"Ta, {title}")
        panel.legend(ncols=2)
    found = over_strength(rows[2][1], rows[3][1], data)
    # What a grid too coarse for Γ makes of the smallest of these curves.
    panel, near = rows[2][2], np.linspace(-2, 2, 41)
    for n, colour in zip(grids, (LINES[2], LINES[3]), strict=False):
        some = bands.diffusivities(curves.METALS["V"], near, curves.BROADENING, n, error=False)
        panel.plot(near, [d.between("lx", "lx") / 1e5 for d in some], color=colour, label=f"{n}³")
    fine = data["V"]
    panel.plot(fine["energy"], fine["lx>lx"] / 1e5, "k", label=f"{fine['grid'][0]:.0f}³")
    panel.set(
        xlim=(-2, 2), xlabel="E − E$_F$ (eV)", ylabel="10⁵ S/m", title="V, l$_x$, three grids"
    )
    panel.legend()
    return figure, found


def run(folder: Path, n: int | None = None, points: int = 41) -> dict[str, float]:
    """All panels; returns the numbers that the text quotes.

    With `n` everything is computed on that grid and for so many energies; without, it is read from
    the table that `curves.py` made.
    """
    if n is None:
        data, grids = curves.load(HERE / "curves.csv"), (24, 50)
    else:
        data, grids = curves.compute(n, np.linspace(-6, 6, points)), (n,)
    with matplotlib.rc_context(STYLE):
        figure, found = draw(data, grids)
        folder.mkdir(parents=True, exist_ok=True)
        figure.savefig(folder / "figure.png")
    toy = bands.diffusivity(models.BccP(spin_orbit=0.05), 0.5, curves.BROADENING, 64)
    v = bands.diffusivity(models.SlaterKosterBcc("V"), 0.0, curves.BROADENING, 48)
    return {
        "toy charge": toy.between("c", "c"),
        "toy s_x": toy.between("sx", "sx"),
        "toy l_x": toy.between("lx", "lx"),
        "V charge": v.between("c", "c"),
        "V l_x": v.between("lx", "lx"),
        "V l_y": v.between("ly", "ly"),
        "Ta polarization s": float(found["s"][-1]),
        "Ta polarization l": float(found["l"][-1]),
        "Ta swapping s": float(found["ss"][-1]),
        "Ta swapping l": float(found["ll"][-1]),
        "Ta swapping s to l": float(found["sl"][-1]),
        "Ta swapping l to s": float(found["ls"][-1]),
    }


if __name__ == "__main__":
    out = Path(sys.argv[1] if len(sys.argv) > 1 else "results/bands_orbital_diffusion")
    for key, value in run(out).items():
        print(f"{key:<20}{value:.7g}")
