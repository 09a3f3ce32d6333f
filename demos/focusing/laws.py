"""Resistance of magnetic focusing against the field: python3 laws.py PICTURE.png."""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import meso
from meso.constants import ELEMENTARY_CHARGE, HBAR
from meso.figures.style import LINES, STYLE
from meso.flow import Particles

CASE = Path(__file__).parent / "case.toml"
#: Field at which the contacts are one diameter of the orbits apart, T.
FIRST = 2 * HBAR * 1.4e8 / (ELEMENTARY_CHARGE * 1e-6)
FIELDS = tuple(np.round(np.arange(-1.0, 4.41, 0.2), 2))
SPECULARITIES = (1.0, 0.5)


def resistances(fields: tuple[float, ...], specularity: float) -> np.ndarray:
    """Voltage of the collector over the injected current and its standard error, ohm.

    Args:
        fields: Over ``FIRST``.
        specularity: Of the wall between the contacts.

    Returns:
        Shape (fields, 2).
    """
    settings = {"boundaries.wall.wall.specularity": specularity}
    first = meso.run(meso.Case.load(CASE, settings)).flow
    ends = ("injector", "drain"), ("collector", "drain")
    rows = []
    for field in fields:
        flow = Particles(
            first.device,
            materials=first.materials,
            boundaries=first.boundaries,
            magnetic_field=field * FIRST,
        ).solve()
        value = meso.four_terminal(tuple(flow.contacts), flow.conductance_matrix, *ends)
        rows.append((value, flow.counted.four_terminal(*ends)))
    return np.array(rows)


def main(picture: Path, fields: tuple[float, ...] = FIELDS) -> dict[float, np.ndarray]:
    """Solve and draw."""
    found = {p: resistances(fields, p) for p in SPECULARITIES}
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 4.4), dpi=200, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        for color, (p, rows) in zip(LINES, found.items(), strict=False):
            axes.errorbar(
                fields, rows[:, 0], rows[:, 1], color=color, capsize=2, label=f"specularity {p:g}"
            )
        for n in range(1, 5):
            axes.axvline(n, color="#999999", linewidth=0.8)
        axes.set(xlabel="$L/2R_c$", ylabel="voltage of the collector / current (Ω)")
        axes.grid(color="#dddddd", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend()
        figure.savefig(picture)
    return found


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    for p, rows in main(Path(sys.argv[1])).items():
        for field, (value, error) in zip(FIELDS, rows, strict=True):
            print(f"p {p:g}  L/2R_c {field:<5g} {value:8.1f} ± {error:.1f} ohm")
