"""Current and edge moment of a ribbon against the Knudsen number: python3 laws.py PICTURE.png."""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import meso
from meso.exact_kinetic import KineticRibbon
from meso.figures.style import LINES, STYLE

CASE = Path(__file__).parent / "case.toml"
WIDTH, LENGTH, SIGMA, VOLT = 100e-9, 10e-9, 3.97e-3, 1e-3
FIELD = SIGMA * VOLT / LENGTH  # sigma E
MEASURED = ("current", "moment")


def ribbon(knudsen: float, harmonics: int = 16) -> dict[str, float]:
    """Total current over Drude's, and relative errors of the models.

    Args:
        knudsen: lambda/W.
        harmonics: Of the kinetic model; the hydrodynamic one has two.
    """
    exact = KineticRibbon(width=1.0, mean_free_path=knudsen)
    path = {"materials.metal.mean_free_path": knudsen * WIDTH}
    fluid = meso.run(meso.Case.load(CASE, {**path, "flow.model": "hydrodynamic"}))
    kinetic = meso.run(meso.Case.load(CASE, {**path, "flow.harmonics": harmonics}))
    found = kinetic.convergence
    coupling = kinetic.case.materials["metal"].orbital_coupling
    assert found is not None and isinstance(coupling, float)
    moment = coupling * FIELD * exact.edge_step
    current = {
        "exact": exact.conductance,
        "hydrodynamic": fluid.periodic["source"].current / (FIELD * WIDTH),
        "kinetic": kinetic.periodic["source"].current / (FIELD * WIDTH),
        "extrapolated": found.extrapolated[found.units.index("A")] / (FIELD * WIDTH),
    }
    moments = {
        name: abs(result.edge_moments[0].moment / result.edge_moments[0].measure / moment) - 1
        for name, result in (("hydrodynamic", fluid), ("kinetic", kinetic))
    }
    errors = {f"current {k}": v / exact.conductance - 1 for k, v in current.items() if k != "exact"}
    return {**current, **errors, **{f"moment {name}": value for name, value in moments.items()}}


def draw_currents(axes: Axes, numbers: np.ndarray, rows: dict[str, np.ndarray]) -> None:
    """Current over Drude's."""
    fine = np.geomspace(numbers[0], numbers[-1], 200)
    exact = [KineticRibbon(width=1.0, mean_free_path=float(x)).conductance for x in fine]
    axes.semilogx(fine, exact, color=LINES[5], label="exact")
    axes.semilogx(numbers, rows["hydrodynamic"], "--", color=LINES[1], label="hydrodynamic")
    axes.semilogx(
        numbers,
        rows["extrapolated"],
        "o",
        color=LINES[0],
        markersize=5,
        label="kinetic, 16 harmonics, extrapolated",
    )
    axes.set(ylim=(0, 1.05), ylabel="current / Drude's")
    axes.set_title("Total current")
    axes.legend(loc="lower left")


def draw_errors(axes: Axes, numbers: np.ndarray, rows: dict[str, np.ndarray]) -> None:
    """Errors against the exact solution."""
    red, blue, violet = LINES[1], LINES[0], LINES[3]
    curves = {
        "moment hydrodynamic": ("s--", violet, "edge moment, hydrodynamic"),
        "current hydrodynamic": ("o--", red, "current, hydrodynamic"),
        "current kinetic": ("o:", blue, "current, 16 harmonics"),
        "current extrapolated": ("o-", blue, "current, 16 harmonics, extrapolated"),
        "moment kinetic": ("s-", violet, "edge moment, 16 harmonics"),
    }
    for key, (style, color, label) in curves.items():
        axes.loglog(numbers, np.abs(rows[key]), style, color=color, markersize=4, label=label)
    for power, start, at, text in ((1, 0.01, 1.1e-4, "∝ Kn"), (3, 0.4, 1e-8, "∝ Kn³")):
        guide = start * np.array([1.0, 6.0])
        values = at * (guide / start) ** power
        axes.loglog(guide, values, color="#999999", linewidth=1.2)
        axes.text(1.1 * guide[1], values[1], text, va="center", color="#777777")
    axes.set(ylim=(1e-9, 3e4), ylabel="relative error", yticks=10.0 ** np.arange(-9, 1))
    axes.set_title("Error of the models")
    axes.legend(loc="upper left")


def main(picture: Path, points: int = 19) -> dict[str, np.ndarray]:
    """Solve and draw."""
    numbers = np.geomspace(0.01, 5, points)
    found = [ribbon(float(number)) for number in numbers]
    rows = {key: np.array([row[key] for row in found]) for key in found[0]}
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(10, 4.8), dpi=200, layout="constrained")
        FigureCanvasAgg(figure)
        left, right = figure.subplots(1, 2)
        draw_currents(left, numbers, rows)
        draw_errors(right, numbers, rows)
        for axes in (left, right):
            axes.set_xlabel("Kn = mean free path / width")
            axes.grid(color="#dddddd", linewidth=0.6)
            axes.set_axisbelow(True)
            axes.spines[["top", "right"]].set_visible(False)
        figure.savefig(picture)
    return {"Kn": numbers, **rows}


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    table = main(Path(sys.argv[1]))
    for i, number in enumerate(table["Kn"]):
        errors = (f"{k} {v[i]:+.1e}" for k, v in table.items() if k.split()[0] in MEASURED)
        print(f"Kn = {number:<8.3g}" + "  ".join(errors))
