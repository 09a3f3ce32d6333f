"""Resistance of magnetic focusing without collisions: python3 laws.py PICTURE.png."""

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
#: Numbers of focusing.geo, nm, and the wavevector and sigma/lambda of case.toml, 1/m and S/m.
DISTANCE, OPENING, HEIGHT, MARGIN = 1000, 60, 1200, 600
WAVEVECTOR, PER_PATH = 1.4e8, 5.4e3
#: Field at which the contacts are one diameter of the orbits apart, T.
FIRST = 2 * HBAR * WAVEVECTOR / (ELEMENTARY_CHARGE * DISTANCE * 1e-9)
FIELDS = tuple(np.round(np.arange(-1.0, 4.41, 0.1), 2))
SPECULARITIES = (1.0, 0.5)


def skipping(radius: float, *, places: int = 200, angles: int = 8000) -> tuple[float, float]:
    """What skips along a smooth wall: an average over where electrons start, and how.

    An electron that leaves the wall at the angle alpha to its normal returns to it after the chord
    2 R_c cos alpha, again and again.

    Args:
        radius: Of the orbits, nm.
        places: Of starts within the contact.
        angles: Of starts, with equal steps of the sine.

    Returns:
        Parts of what the injector emits that the collector gets, and that the injector takes back.
    """
    at, to = ((np.arange(n) + 0.5) / n for n in (places, angles))
    x, sine = np.meshgrid(OPENING * (at - 0.5), 2 * to - 1)  # toward the collector is positive
    chord = 2 * radius * np.sqrt(1 - sine**2)
    # Orbits that begin backwards bulge out at both ends.
    bulge = np.where(sine < 0, radius - chord / 2, 0.0)
    free = (radius * (1 - sine) < HEIGHT) & (x - bulge > -MARGIN)
    back = free & (x + chord < OPENING / 2)
    last = x + np.ceil((DISTANCE - OPENING / 2 - x) / chord) * chord
    there = free & ~back & (last < DISTANCE + OPENING / 2) & (last + bulge < DISTANCE + MARGIN)
    return float(there.mean()), float(back.mean())


def exact(field: float) -> float:
    """Voltage of the collector over the injected current at a smooth wall, ohm.

    Args:
        field: Over ``FIRST``, positive.
    """
    there, back = skipping(DISTANCE / (2 * field))
    sharvin = 2 / np.pi * PER_PATH * OPENING * 1e-9
    return there / (sharvin * (1 - back) ** 2)


def resistances(fields: tuple[float, ...], specularity: float) -> np.ndarray:
    """Voltage of the collector over the injected current and its standard error, ohm.

    Args:
        fields: Over ``FIRST``.
        specularity: Of the wall between the contacts.

    Returns:
        Shape (fields, 2).
    """
    settings = {
        "boundaries.wall.wall.specularity": specularity,
        "materials.gas.mean_free_path": "1 m",
        "materials.gas.conductivity": PER_PATH * 1.0,
    }
    first = meso.run(meso.Case.load(CASE, settings)).flow
    ends = ("injector", "drain"), ("collector", "drain")
    rows = []
    for seed, field in enumerate(fields):
        flow = Particles(
            first.device,
            materials=first.materials,
            boundaries=first.boundaries,
            magnetic_field=field * FIRST,
            seed=seed,
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
                *(fields, rows[:, 0], rows[:, 1]),
                color=color,
                fmt="o" if p == 1 else "o-",
                markersize=3.5,
                linewidth=1,
                capsize=2,
                label=f"specularity {p:g}",
            )
        along = np.linspace(0.02, max(fields), 300)
        values = [exact(field) for field in along]
        axes.plot(along, values, color=LINES[0], label="specularity 1, exact")
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
