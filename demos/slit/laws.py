r"""The resistance of the slit between its two laws.

    meso sweep demos/slit/case.toml --over geometry.parameters.opening=10:3000:13:log
    python3 demos/slit/laws.py results/slit_sweep slit.png

Reads the table of the sweep; the laws are those of the README.
"""

import json
import sys
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from meso.figures.style import INK, LINES, STYLE

WIDTH = LENGTH = 4000.0  # nm
CONDUCTIVITY = 27.5e-3  # S
DIFFUSION_LENGTH = np.sqrt(2000 / (1 / 2000 + 1 / 20)) / 2  # nm


def ohmic(opening: np.ndarray) -> np.ndarray:
    """Resistance of strip and slit without viscosity, ohm."""
    spreading = -2 / np.pi * np.log(np.sin(np.pi * opening / (2 * WIDTH)))
    return (LENGTH / WIDTH + spreading) / CONDUCTIVITY


def viscous(opening: np.ndarray) -> np.ndarray:
    """Resistance of a row of slits in Stokes flow, ohm."""
    row = -np.log(np.cos(np.pi * opening / (2 * WIDTH)))
    return 4 * np.pi * (DIFFUSION_LENGTH / WIDTH) ** 2 / row / CONDUCTIVITY


def draw(directory: Path, path: Path) -> None:
    """Draw the points of the sweep and the laws."""
    points = json.loads((directory / "sweep.json").read_text())["points"]
    x = np.array([p["swept"]["geometry.parameters.opening"] for p in points])
    y = np.array([p["results"]["resistance.slit_ohm"] for p in points])
    fine = np.geomspace(x.min(), x.max(), 200)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 4.6), dpi=200, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        axes.plot(x, y, "o", color=INK, markersize=5, label="meso", zorder=3)
        axes.plot(fine, viscous(fine), color=LINES[0], label="viscous, 32 l²/(πσw²)")
        axes.plot(fine, ohmic(fine), color=LINES[1], label="ohmic, L/σW + (2/πσ) ln csc(πw/2W)")
        both = viscous(fine) + ohmic(fine)
        axes.plot(fine, both, color="#999999", linestyle="--", linewidth=1.2, label="their sum")
        axes.axvline(DIFFUSION_LENGTH, color="#999999", linewidth=0.8)
        axes.text(1.06 * DIFFUSION_LENGTH, 1.25 * y.min(), "w = l")
        axes.set(xscale="log", yscale="log", ylim=(0.75 * y.min(), 1.6 * y.max()))
        axes.set(xlabel="opening w (nm)", ylabel="resistance (Ω)")
        axes.set_title("A slit between two leads, l = 99.5 nm")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.grid(color="#dddddd", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend()
        figure.savefig(path)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    draw(Path(sys.argv[1]), Path(sys.argv[2]))
