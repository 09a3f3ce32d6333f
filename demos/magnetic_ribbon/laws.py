"""Resistance of a narrow wire against the field: python3 laws.py PICTURE.png."""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import meso
from meso.figures.style import LINES, STYLE

CASE = Path(__file__).parent / "case.toml"
WIDTH, PER_TESLA = 500e-9, 1.602176634e-19 / (1.054571817e-34 * 1.4e8)  # 1/R_c = PER_TESLA B


def resistance(field: float, harmonics: int = 32) -> tuple[float, float]:
    """R over that of the bulk for N harmonics, and extrapolated."""
    settings = {"flow.magnetic_field": field, "flow.harmonics": harmonics}
    result = meso.run(meso.Case.load(CASE, settings))
    bulk = 50 / 500 / 54e-3 * 100e-9
    assert result.convergence is not None
    at = result.convergence.units.index("V")
    found = result.convergence.extrapolated[at], result.periodic["source"].potential
    return found[1] / bulk, found[0] / bulk


def main(picture: Path) -> None:
    """Solve and draw."""
    ratio = np.concatenate([np.linspace(0, 2, 17), np.linspace(2.25, 4, 8)])
    rows = np.array([resistance(r / WIDTH / PER_TESLA) for r in ratio])
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 4.6), dpi=200, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        axes.plot(ratio, rows[:, 0], "--", color=LINES[3], label="32 harmonics")
        axes.plot(ratio, rows[:, 1], "o-", color=LINES[0], markersize=5, label="extrapolated")
        axes.axvline(0.55, color="#999999", linewidth=0.8)
        axes.text(0.58, 1.2, "W = 0.55 R_c")
        axes.set(xlabel="W / R_c", ylabel="resistance / that of the bulk", ylim=(1, 4))
        axes.grid(color="#dddddd", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend()
        figure.savefig(picture)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
