r"""Where the potential of the vicinity is above and below that far away: both regimes.

    meso sweep demos/vicinity/case.toml --keep \
        --over materials.sheet.electron_electron_mean_free_path=1nm:300nm:6:log
    python3 demos/vicinity/maps.py results/vicinity_sweep vicinity.png

The sweep keeps the fields of its points; the first and the fifth are drawn.
"""

import json
import sys
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from meso.figures import Drawn
from meso.figures.style import CONTACT, INK, LINES, STYLE

KEY = "materials.sheet.electron_electron_mean_free_path_m"
MEAN_FREE_PATH = 5e-6
NM = 1e-9
SHOWN = (0, 4)  # points of the sweep
LARGEST = 3.0  # ohm, where the colours end


def draw(directory: Path, path: Path, shown: tuple[int, ...] = SHOWN) -> None:
    """Draw maps of (V - V_far)/I, and the vicinity resistances below them."""
    points = json.loads((directory / "sweep.json").read_text())["points"]
    free = np.array([point["swept"][KEY] for point in points])
    length = np.sqrt(MEAN_FREE_PATH / (1 / MEAN_FREE_PATH + 1 / free)) / 2 / NM
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9, 5.6), dpi=150, layout="constrained")
        FigureCanvasAgg(figure)
        above, below = figure.subfigures(2, 1, height_ratios=(1, 1.35))
        panels = above.subplots(1, len(shown), sharey=True)
        for panel, i in zip(panels, shown, strict=True):
            image = _map(panel, directory / points[i]["directory"])
            panel.set_title(f"l = {length[i]:.0f} nm")
            panel.set_xlabel("x (nm)")
        panels[0].set_ylabel("y (nm)")
        above.colorbar(image, ax=panels, label="(V − V$_{far}$)/I (Ω)", extend="both")
        axes = below.subplots()
        for name, color in zip((250, 500, 1000), LINES, strict=False):
            values = [p["results"][f"resistance.at_{name}nm_ohm"] for p in points]
            axes.plot(length, values, "o-", markersize=4, color=color, label=f"{name} nm away")
        axes.axhline(0, color="#999999", linewidth=0.8, zorder=1)
        axes.set(xscale="log", xlabel="vorticity diffusion length l (nm)")
        axes.set_ylabel("vicinity resistance (Ω)")
        ticks = [50, 100, 200, 400]
        axes.set_xticks(ticks, [str(tick) for tick in ticks])
        axes.set_xticks([], minor=True)
        axes.grid(color="#dddddd", linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend()
        figure.savefig(path)


def _map(panel, directory: Path):
    """Draw the middle of the strip, with its contacts."""
    result = Drawn(directory)
    contacts = result.summary["contacts"]
    box = (-1200 * NM, 1200 * NM, -500 * NM, 500 * NM)
    grid = result.grid(box, 720, 300)
    current = contacts["source"]["current_A"]
    ohm = (grid["potential"] - contacts["far"]["potential_V"]) / current
    image = panel.imshow(
        ohm,
        origin="lower",
        extent=[x / NM for x in box],
        vmin=-LARGEST,
        vmax=LARGEST,
        cmap="RdBu_r",
    )
    panel.contour(grid.x / NM, grid.y / NM, ohm, levels=[0.0], colors=INK, linewidths=0.8)
    for x, y in ((0, -500), (0, 500), (250, -500), (500, -500), (1000, -500)):
        panel.plot(x, y, "o", color=CONTACT, markersize=4, clip_on=False)
    return image


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    draw(Path(sys.argv[1]), Path(sys.argv[2]))
