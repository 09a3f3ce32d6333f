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


#: W/R_c. At 2 orbits begin to fit between the edges: closely spaced there.
RATIOS = (0, 0.1, 0.25, 0.4, 0.55, 0.7, 0.85, 1, 1.25, 1.5, 1.6, 1.7, 1.8, 1.9, 1.95)
RATIOS += (2, 2.05, 2.1, 2.25, 2.5, 3, 3.5, 4)


def resistance(field: float, harmonics: int = 64) -> tuple[float, float, float]:
    """R over that of the bulk for N harmonics, extrapolated, and its estimated error.

    Args:
        field: In T.
        harmonics: N.
    """
    settings = {"flow.magnetic_field": field, "flow.harmonics": harmonics}
    result = meso.run(meso.Case.load(CASE, settings))
    bulk = 50 / 500 / 54e-3 * 100e-9
    found = result.convergence
    assert found is not None
    best = found.extrapolated[found.units.index("V")] / bulk
    error = (found.error_extrapolated[0] + found.mesh[0]) * best
    return result.periodic["source"].potential / bulk, best, error


def main(picture: Path, ratios: tuple[float, ...] = RATIOS) -> np.ndarray:
    """Solve and draw."""
    rows = np.array([resistance(r / WIDTH / PER_TESLA) for r in ratios])
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 4.6), dpi=200, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        axes.plot(ratios, rows[:, 0], "--", color=LINES[3], label="64 harmonics")
        axes.errorbar(
            ratios,
            rows[:, 1],
            rows[:, 2],
            fmt="o-",
            color=LINES[0],
            markersize=4,
            capsize=3,
            label="extrapolated, with the estimated error",
        )
        for at, text in ((0.55, "$W = 0.55\\,R_c$"), (2.0, "$W = 2\\,R_c$: orbits fit")):
            axes.axvline(at, color="#999999", linewidth=0.8)
            axes.text(at + 0.04, 1.1, text, color="#555555")
        axes.set(xlabel="$W/R_c$", ylabel="resistance / that of the bulk", ylim=(1, 4.2))
        axes.grid(color="#dddddd", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend()
        figure.savefig(picture)
    return rows


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    for ratio, row in zip(RATIOS, main(Path(sys.argv[1])), strict=True):
        print(f"W/R_c {ratio:<6.3g}" + "  ".join(f"{value:.4f}" for value in row))
