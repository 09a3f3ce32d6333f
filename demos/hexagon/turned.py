"""Bend resistances of the square against orientation and path: python3 turned.py PICTURE.png."""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import meso
from meso.figures.style import LINES, STYLE
from meso.flow import Particles

CASE = Path(__file__).parent / "case.toml"
#: Degrees between the x-axis and a corner of the hexagon, and mean free paths, um.
ANGLES, PATHS = (0.0, 7.5, 15.0, 22.5, 30.0), (0.5, 1.0, 2.0, 5.0, 10.0)
NAMES = ("along_x", "along_y")


def resistances(angle: float, path: float, tolerance: float = 0.01) -> np.ndarray:
    """Both resistances times the conductivity and their standard errors, shape (2, 2)."""
    settings = {
        "materials.PdCoO2.orientation.angle": angle,
        "materials.PdCoO2.mean_free_path": path * 1e-6,
        "materials.PdCoO2.conductivity": 1.84 * path / 5,
    }
    case = meso.Case.load(CASE, settings)
    flow = Particles(
        meso.Device.from_gmsh(case.geometry.file, length_unit="um", order=2),
        materials=case.region_materials,
        boundaries=case.boundaries,
        tolerance=tolerance,
    ).solve()
    names, conductivity = tuple(flow.contacts), case.materials["PdCoO2"].conductivity
    rows = []
    for wanted in (case.output.resistances[name] for name in NAMES):
        ends = wanted.current, wanted.voltage
        value = meso.four_terminal(names, flow.conductance_matrix, *ends)
        rows.append((value, flow.counted.four_terminal(*ends)))
    x, y = (f"{value:.3f} ± {error:.3f}" for value, error in np.array(rows) * conductivity)
    print(f"{angle:4g} degrees {path:4g} um: along x {x}, along y {y}", flush=True)
    return np.array(rows) * conductivity


def main(picture: Path) -> None:
    """Solve and draw."""
    turned = np.array([resistances(angle, 5.0) for angle in ANGLES])
    scaled = np.array([resistances(0.0, path) for path in PATHS])
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 3.4), dpi=200, layout="constrained")
        FigureCanvasAgg(figure)
        left, right = figure.subplots(1, 2, sharey=True)
        for axes, x, rows in ((left, ANGLES, turned), (right, PATHS, scaled)):
            for color, name, k in zip(LINES, NAMES, (0, 1), strict=False):
                label = name.replace("_", " ")
                axes.errorbar(x, rows[:, k, 0], rows[:, k, 1], color=color, capsize=2, label=label)
            axes.axhline(np.log(2) / np.pi, color="#999999", linewidth=0.8)
            axes.grid(color="#dddddd", linewidth=0.6)
            axes.set_axisbelow(True)
            axes.spines[["top", "right"]].set_visible(False)
        left.set(xlabel="crystal turned by (degrees)", ylabel="bend resistance × conductivity")
        left.set_xticks(ANGLES)
        left.legend()
        right.set(xlabel="mean free path (µm)", xscale="log")
        figure.savefig(picture)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
