"""Resistivity and edge moment of a film against its thickness: python3 laws.py PICTURE.png."""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import meso
from meso.exact_kinetic import KineticFilm
from meso.figures.style import LINES, STYLE

CASE = Path(__file__).parent / "case.toml"
NM, PATH, FIELD, SIGMA, KAPPA = 1e-9, 7.0, 1e5, 2.4e6, -1.8e-32
MODELS = {"hydrodynamic": ("s--", LINES[1]), "kinetic": ("o", LINES[0])}


def film(thickness: float, model: str) -> tuple[float, float]:
    """Resistivity over that of the bulk, and moment of a face over kappa sigma E.

    Args:
        thickness: In nm.
        model: Of the flow.
    """
    settings = {"geometry.parameters.width": thickness, "flow.model": model}
    result = meso.run(meso.Case.load(CASE, settings))
    current = result.periodic["source"].current
    if result.convergence is not None:
        current = result.convergence.extrapolated[0]
    face = result.edge_moments[0]
    moment = abs(face.moment / face.measure / (KAPPA * SIGMA * FIELD))
    return SIGMA * FIELD * thickness * NM / current, float(moment)


def main(picture: Path, points: int = 8) -> dict[str, np.ndarray]:
    """Solve and draw."""
    widths = np.geomspace(3.5, 70, points)
    fine = np.geomspace(widths[0], widths[-1], 200)

    def exact(at: np.ndarray) -> np.ndarray:
        films = [KineticFilm(width=float(d), mean_free_path=PATH) for d in at]
        return np.array([(1 / f.conductance, f.edge_step) for f in films]).T

    rows = {name: np.array([film(float(d), name) for d in widths]).T for name in MODELS}
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(10, 4.2), dpi=200, layout="constrained")
        FigureCanvasAgg(figure)
        titles = ("Resistivity / bulk", "Orbital moment of a face / κσE")
        for i, (axes, title) in enumerate(zip(figure.subplots(1, 2), titles, strict=True)):
            axes.semilogx(fine, exact(fine)[i], color=LINES[5], label="exact (Fuchs)")
            for name, (style, color) in MODELS.items():
                axes.semilogx(widths, rows[name][i], style, color=color, markersize=5, label=name)
            axes.set(xlabel="thickness (nm)", title=title)
            axes.grid(color="#dddddd", linewidth=0.6)
            axes.spines[["top", "right"]].set_visible(False)
            axes.legend()
        figure.savefig(picture)
    return {"thickness": widths, "exact": exact(widths), **rows}


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    table = main(Path(sys.argv[1]))
    for i, thickness in enumerate(table["thickness"]):
        ratios = (f"{k} {table[k][:, i] / table['exact'][:, i] - 1}" for k in MODELS)
        print(f"{thickness:6.1f} nm  " + "  ".join(ratios))
