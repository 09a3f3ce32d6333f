"""Resistance of a point contact against the mean free path: python3 laws.py PICTURE.png."""

from __future__ import annotations

import sys
from math import log, pi, sin
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import meso
from meso.figures.style import LINES, STYLE

CASE = Path(__file__).parent / "case.toml"
WIDTH, LENGTH, OPENING = 400e-9, 400e-9, 100e-9
PER_PATH = 1.74e-3 / 100e-9  # sigma/lambda: (2e^2/h) k_F
SHARVIN = pi / (2 * PER_PATH * OPENING)
#: Mean free path over the opening, and the harmonics it takes.
POINTS = {0.04: 24, 0.1: 24, 0.2: 24, 0.4: 24, 1.0: 32, 2.0: 40, 5.0: 48}


def laws(ratio: float | np.ndarray) -> dict[str, np.ndarray]:
    """Ohm's (conformal map) and Sharvin's resistance over Sharvin's of a slit in a wide screen.

    Both vanish where the slit is as wide as the strip.
    """
    path = OPENING * np.asarray(ratio)
    ohm = 2 / (pi * PER_PATH * path) * log(1 / sin(pi * OPENING / (2 * WIDTH))) / SHARVIN
    sharvin = np.full_like(ohm, 1 - OPENING / WIDTH)
    return {"ohm": ohm, "sharvin": sharvin, "sum": ohm + sharvin}


def bounds(ratio: float, harmonics: int) -> tuple[float, float]:
    """Rigorous bounds of the slit's resistance, over Sharvin's.

    Args:
        ratio: Mean free path over the opening.
        harmonics: N.
    """
    path = ratio * OPENING
    sigma = PER_PATH * path
    settings = {
        "materials.sheet.mean_free_path": path,
        "materials.sheet.conductivity": sigma,
        "flow.harmonics": harmonics,
        "flow.estimate": False,
    }
    # Beams want cells everywhere; layers at walls need not be resolved to the last digit.
    settings["mesh.size" if ratio >= 1 else "mesh.wall_size"] = 12e-9 if ratio >= 1 else 4e-9
    found = meso.run(meso.Case.load(CASE, settings)).bounds
    assert found is not None and found.lower is not None
    # The leads, with the contact resistance of their reservoirs.
    leads = (LENGTH + 2 * 0.8183 * path) / (sigma * WIDTH)
    low, high = (1 / matrix[0, 0] - leads for matrix in (found.upper, found.lower))
    return low / SHARVIN, high / SHARVIN


def draw(axes: Axes, ratio: np.ndarray, band: np.ndarray, over: str | None) -> None:
    """Laws and bounds, as they are or over one of the laws."""
    fine = np.geomspace(0.8 * ratio[0], 1.25 * ratio[-1], 200)
    curves, here = laws(fine), laws(ratio)
    unit, units = (curves[over], here[over]) if over else (np.ones(200), np.ones(len(ratio)))
    low, high = band / units
    # Between the points: the bounds over the sum, interpolated.
    inside = (fine >= ratio[0]) & (fine <= ratio[-1])
    shade = [np.interp(np.log(fine), np.log(ratio), side / here["sum"]) for side in band]
    shade = [(side * curves["sum"] / unit)[inside] for side in shade]
    styles = {"ohm": ("--", "Ohm (conformal map)"), "sharvin": (":", "Sharvin")}
    for key, (style, label) in styles.items():
        axes.plot(fine, curves[key] / unit, style, color=LINES[5], label=label)
    axes.plot(fine, curves["sum"] / unit, color=LINES[4], label="sum of both")
    axes.fill_between(fine[inside], *shade, color=LINES[0], alpha=0.18, linewidth=0)
    middle = (low + high) / 2
    axes.errorbar(
        ratio,
        middle,
        [middle - low, high - middle],
        fmt="none",
        color=LINES[0],
        capsize=4,
        elinewidth=1.5,
        capthick=1.5,
        label="Boltzmann equation: rigorous bounds",
    )
    axes.set(xscale="log", xlabel="mean free path / opening", xlim=(fine[0], fine[-1]))
    axes.set_xticks(
        [0.05, 0.1, 0.2, 0.5, 1, 2, 5], labels=["0.05", "0.1", "0.2", "0.5", "1", "2", "5"]
    )
    axes.minorticks_off()
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def main(picture: Path, points: dict[float, int] = POINTS) -> dict[str, np.ndarray]:
    """Solve and draw."""
    ratio = np.array(list(points))
    band = np.array([bounds(*point) for point in points.items()]).T
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(10, 4.8), dpi=200, layout="constrained")
        FigureCanvasAgg(figure)
        left, right = figure.subplots(1, 2)
        draw(left, ratio, band, None)
        left.set(yscale="log", ylim=(0.5, 20), ylabel="resistance of the slit / (π/2)(λ/σw)")
        left.set_yticks([0.5, 1, 2, 5, 10, 20], labels=["0.5", "1", "2", "5", "10", "20"])
        left.minorticks_off()
        left.set_title("Resistance")
        left.legend(loc="upper right")
        draw(right, ratio, band, "sum")
        right.set(ylim=(0.5, 1.3), ylabel="resistance of the slit / sum of both")
        right.set_title("Over the sum of Ohm's and Sharvin's")
        figure.savefig(picture)
    return {"ratio": ratio, "low": band[0], "high": band[1], **laws(ratio)}


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    table = main(Path(sys.argv[1]))
    for i, ratio in enumerate(table["ratio"]):
        numbers = (f"{key} {values[i]:.4g}" for key, values in table.items() if key != "ratio")
        print(f"path/opening {ratio:<6.3g}" + "  ".join(numbers))
