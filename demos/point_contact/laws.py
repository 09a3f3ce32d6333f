"""Resistance of a point contact against the mean free path: python3 laws.py PICTURE.png."""

from __future__ import annotations

import sys
from math import log, pi, sin
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import meso
from meso.figures.style import LINES, STYLE

CASE = Path(__file__).parent / "case.toml"
WIDTH, LENGTH, OPENING = 600e-9, 600e-9, 100e-9
PER_PATH = 1.74e-3 / 100e-9  # sigma/lambda: (2e^2/h) k_F


def resistances(path: float) -> dict[str, float]:
    """Kinetic (extrapolated), its lower bound, and both laws, in units of Sharvin's resistance.

    Where carriers fly through, beams want more harmonics, and a mesh that resolves them.
    """
    settings = {
        "materials.sheet.mean_free_path": path,
        "materials.sheet.conductivity": PER_PATH * path,
    }
    finer = {"flow.harmonics": 32, "flow.order": 3} if path > OPENING else {}
    result = meso.run(meso.Case.load(CASE, {**settings, **finer, "flow.bounds": False}))
    bound = meso.run(meso.Case.load(CASE, {**settings, "flow.estimate": False})).bounds
    sigma, sharvin = PER_PATH * path, pi / (2 * PER_PATH * OPENING)
    # The wide leads, with the contact resistance of their reservoirs.
    leads = (LENGTH + 2 * 0.818 * path) / (sigma * WIDTH)
    ohm = 2 / (pi * sigma) * log(1 / sin(pi * OPENING / (2 * WIDTH)))
    assert result.convergence is not None and bound is not None
    at = result.convergence.units.index("V")
    volt = result.convergence.extrapolated[at] / result.contacts["source"].current
    error = result.convergence.error_extrapolated[0] + result.convergence.mesh[0]
    return {
        "error": error * volt / sharvin,
        "kinetic": (volt - leads) / sharvin,
        "lower bound": (1 / bound.upper[0, 0] - leads) / sharvin,
        "ohm": ohm / sharvin,
        "sum": ohm / sharvin + 1,
    }


def main(picture: Path) -> None:
    """Solve and draw."""
    paths = np.geomspace(4e-9, 5e-7, 8)
    rows = [resistances(path) for path in paths]
    x = paths / OPENING
    found = {key: [row[key] for row in rows] for key in rows[0]}
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 4.6), dpi=200, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        axes.loglog(x, found["ohm"], "--", color=LINES[5], label="Ohm (conformal map)")
        axes.axhline(1.0, linestyle=":", color=LINES[5], label="Sharvin")
        axes.loglog(x, found["sum"], color=LINES[4], label="sum of both")
        axes.loglog(x, found["kinetic"], "o", color=LINES[0], label="Boltzmann equation")
        axes.loglog(
            x, found["lower bound"], "_", color=LINES[1], markersize=10, label="lower bound of R"
        )
        axes.set(xlabel="mean free path / opening", ylabel="resistance of the slit / Sharvin's")
        axes.grid(color="#dddddd", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend()
        figure.savefig(picture)
    for path, row in zip(paths, rows, strict=True):
        print(f"{path:.3g} m  " + "  ".join(f"{key} {value:.4g}" for key, value in row.items()))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
