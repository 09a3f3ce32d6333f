"""Resistance of a point contact against the mean free path: python3 laws.py PICTURE.png."""

from __future__ import annotations

import sys
from math import log, pi, sin
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import meso

CASE = Path(__file__).parent / "case.toml"
WIDTH, LENGTH, OPENING = 600e-9, 600e-9, 100e-9
PER_PATH = 1.74e-3 / 100e-9  # sigma/lambda: (2e^2/h) k_F


def resistances(path: float, harmonics: int = 16) -> dict[str, float]:
    """Kinetic (extrapolated), its lower bound, and both laws, in units of Sharvin's resistance."""
    case = meso.Case.load(
        CASE,
        {
            "materials.sheet.mean_free_path": path,
            "materials.sheet.conductivity": PER_PATH * path,
            "flow.harmonics": harmonics,
        },
    )
    result = meso.run(case)
    sigma, sharvin = PER_PATH * path, pi / (2 * PER_PATH * OPENING)
    # The wide leads, with the contact resistance of their reservoirs.
    leads = (LENGTH + 2 * 0.818 * path) / (sigma * WIDTH)
    ohm = 2 / (pi * sigma) * log(1 / sin(pi * OPENING / (2 * WIDTH)))
    assert result.convergence is not None and result.bounds is not None
    at = result.convergence.units.index("V")
    volt = result.convergence.extrapolated[at] / result.contacts["source"].current
    return {
        "kinetic": (volt - leads) / sharvin,
        "lower bound": (1 / result.bounds.upper[0, 0] - leads) / sharvin,
        "ohm": ohm / sharvin,
        "sum": ohm / sharvin + 1,
    }


def main(picture: Path) -> None:
    """Solve and draw."""
    paths = np.geomspace(4e-9, 1e-6, 9)
    rows = [resistances(path) for path in paths]
    x = paths / OPENING
    figure, axes = plt.subplots(figsize=(6.4, 4.4), layout="constrained")
    axes.loglog(x, [r["ohm"] for r in rows], "--", color="#5b5b5b", label="Ohm (conformal map)")
    axes.axhline(1.0, linestyle=":", color="#5b5b5b", label="Sharvin")
    axes.loglog(x, [r["sum"] for r in rows], color="#d98200", label="sum of both")
    axes.loglog(x, [r["kinetic"] for r in rows], "o", color="#0b62a4", label="Boltzmann equation")
    axes.loglog(x, [r["lower bound"] for r in rows], "_", color="#c1272d", label="lower bound of R")
    axes.set_xlabel("mean free path / opening")
    axes.set_ylabel("resistance of the slit / Sharvin's")
    axes.legend(frameon=False)
    figure.savefig(picture, dpi=150)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
