r"""Dirty and clean side by side: where the chambers follow the channel, where they whirl.

    meso run demos/double_chamber/case.toml
    meso run demos/double_chamber/case.toml --output results/double_chamber_dirty \
        --set materials.metal.mean_free_path="50 nm" --set materials.metal.conductivity="9.92 mS"
    python3 demos/double_chamber/compare.py results/double_chamber_dirty results/double_chamber \
        whirlpools.png

The colour scales are logarithmic (in L_z, linear below 10^10 hbar/m^2), because the chambers carry
a hundredth of what the channel carries.
"""

import sys
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LogNorm, SymLogNorm
from matplotlib.figure import Figure

from meso.figures import Drawn
from meso.figures.style import INK, STYLE

HBAR = 1.054571817e-34
NM = 1e-9


def compare(directories: list[Path], labels: list[str], path: Path) -> None:
    """Draw |J| with stream lines, and L_z, one row a result."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9, 7.2), dpi=130, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots(len(directories), 2, sharex=True, sharey=True)
        images = [None, None]
        for row, directory, label in zip(axes, directories, labels, strict=True):
            result = Drawn(directory)
            (left, bottom), (right, top) = result.box
            aspect = (top - bottom) / (right - left)
            grid = result.grid((left, right, bottom, top), 700, round(700 * aspect))
            j = grid["current_density"]
            orbital = grid["orbital_density"] / HBAR
            how = {"origin": "lower", "extent": [x / NM for x in grid.extent]}
            images[0] = row[0].imshow(np.hypot(*j), norm=LogNorm(0.1, 150), cmap="magma", **how)
            images[1] = row[1].imshow(
                orbital, norm=SymLogNorm(1e10, vmin=-2e13, vmax=2e13), cmap="RdBu_r", **how
            )
            x, y = grid.x[::5] / NM, grid.y[::5] / NM
            u, v = (np.ma.masked_invalid(a[::5, ::5]) for a in j)
            row[0].streamplot(x, y, u, v, color="white", linewidth=0.8, arrowsize=0.9, density=1.1)
            for panel in row:
                for line in result.outline(walls=True):
                    panel.plot(*(line.T / NM), color=INK, linewidth=1.2)
                panel.set(xlim=(left / NM, right / NM), ylim=(bottom / NM, top / NM))
            row[0].set_ylabel("y (nm)")
            row[0].text(0.02, 0.97, label, transform=row[0].transAxes, va="top", size=12)
        for panel in axes[-1]:
            panel.set_xlabel("x (nm)")
        figure.colorbar(images[0], ax=axes[:, 0], location="top", label="|J| (A/m)", aspect=30)
        label = "orbital density $L_z$ (ħ/m²)"
        bar = figure.colorbar(images[1], ax=axes[:, 1], location="top", label=label, aspect=30)
        bar.set_ticks([-1e13, -1e12, -1e11, 0, 1e11, 1e12, 1e13])
        figure.savefig(path)


if __name__ == "__main__":
    dirty, clean, picture = map(Path, sys.argv[1:])
    compare([dirty, clean], ["λ = 50 nm", "λ = 500 nm"], picture)
