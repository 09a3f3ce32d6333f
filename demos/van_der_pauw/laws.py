"""Van der Pauw resistance against the mean free path: python3 laws.py PICTURE.png."""

from __future__ import annotations

import sys
from math import pi, sin, tan
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from scipy.special import ellipk

import meso
from meso.figures.style import INK, LINES, STYLE

CASE = Path(__file__).parent / "case.toml"
RADIUS, HALF_WIDTH = 300e-9, 0.2
PER_PATH = 0.522e-3 / 30e-9  # sigma/lambda: (2e^2/h) k_F
SHARVIN = pi / (2 * PER_PATH * 2 * HALF_WIDTH * RADIUS)  # of one contact
#: Mean free path over the radius.
RATIOS = (0.03, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0)


def exact(half_width: float) -> float:
    """Ohm's resistance times sigma, for contacts of any width (conformal maps)."""
    first, second = tan(half_width) ** 2, sin(2 * half_width) ** 2
    return float(ellipk(1 - first) / ellipk(first) - ellipk(1 - second) / ellipk(second)) / 2


def resistance(ratio: float, model: str, harmonics: int = 0) -> float:
    """Resistance over Ohm's with the same contacts.

    Args:
        ratio: Mean free path over the radius.
        model: "hydrodynamic" or "kinetic".
        harmonics: N of the kinetic model.
    """
    sigma = PER_PATH * ratio * RADIUS
    settings = {
        "materials.sheet.mean_free_path": ratio * RADIUS,
        "materials.sheet.conductivity": sigma,
        "flow.model": model,
        # Corners are resolved, whatever the layers.
        "mesh.wall_size": RADIUS / 10,
        **{f"boundaries.contact{k}.contact.law": "reservoir" for k in (1, 2, 3, 4)},
    }
    if model == "kinetic":
        settings |= {"flow.harmonics": harmonics, "flow.order": 2, "flow.estimate": False}
    found = meso.run(meso.Case.load(CASE, settings)).resistances["van_der_pauw"]
    return found * sigma / exact(HALF_WIDTH)


def kinetic(ratio: float, harmonics: int) -> tuple[float, float]:
    """The same extrapolated from N/2 and N harmonics, where the error falls as 1/N, and its error.

    The error is taken to be half of the extrapolation.
    """
    coarse, fine = (resistance(ratio, "kinetic", n) for n in (harmonics // 2, harmonics))
    return 2 * fine - coarse, abs(fine - coarse) / 2


def draw(axes: Axes, ratio: np.ndarray, table: dict[str, np.ndarray], unit: np.ndarray) -> None:
    """Both models in some unit."""
    axes.axhline(0, color="#999999", linewidth=0.8)
    axes.plot(ratio, unit, "--", color=LINES[5], label="Ohm (conformal map)")
    axes.plot(ratio, table["hydrodynamic"] * unit, "s-", color=LINES[1], label="hydrodynamic")
    axes.errorbar(
        ratio,
        table["kinetic"] * unit,
        table["error"] * unit,
        fmt="o-",
        color=LINES[0],
        capsize=3,
        label="Boltzmann equation",
    )
    axes.set(xscale="log", xlabel="mean free path / radius")
    axes.set_xticks([0.03, 0.1, 0.3, 1, 2], labels=["0.03", "0.1", "0.3", "1", "2"])
    axes.minorticks_off()
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def main(
    picture: Path, ratios: tuple[float, ...] = RATIOS, harmonics: int = 16
) -> dict[str, np.ndarray]:
    """Solve and draw."""
    ratio = np.array(ratios)
    values = np.array([kinetic(r, harmonics) for r in ratios])
    table = {
        "hydrodynamic": np.array([resistance(r, "hydrodynamic") for r in ratios]),
        "kinetic": values[:, 0],
        "error": values[:, 1],
    }
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(10, 4.6), dpi=200, layout="constrained")
        FigureCanvasAgg(figure)
        left, right = figure.subplots(1, 2)
        draw(left, ratio, table, np.ones(len(ratio)))
        left.set(ylim=(-1.8, 1.3), ylabel="resistance / Ohm's")
        left.set_title("Over Ohm's")
        left.legend(loc="lower left")
        ohm = exact(HALF_WIDTH) / (PER_PATH * ratio * RADIUS) / SHARVIN
        draw(right, ratio, table, ohm)
        right.set(ylim=(-0.05, 0.35), ylabel="resistance / (π/2)(λ/σw)")
        right.set_title("Over Sharvin's of a contact")
        right.text(ratio[0], 0.004, "reversed below", color=INK)
        figure.savefig(picture)
    return {"ratio": ratio, **table}


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    table = main(Path(sys.argv[1]))
    for i, ratio in enumerate(table["ratio"]):
        numbers = (f"{key} {values[i]:.4g}" for key, values in table.items() if key != "ratio")
        print(f"path/radius {ratio:<6.3g}" + "  ".join(numbers))
