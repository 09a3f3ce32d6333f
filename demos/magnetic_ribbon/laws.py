"""Resistance of a narrow wire against the field: python3 laws.py PICTURE.png."""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import meso

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
    ratio = np.concatenate([np.linspace(0, 1.5, 9), np.linspace(2, 4, 4)])
    rows = np.array([resistance(r / WIDTH / PER_TESLA) for r in ratio])
    figure, axes = plt.subplots(figsize=(6.4, 4.2), layout="constrained")
    axes.plot(ratio, rows[:, 0], "--", color="#7b4ea3", label="32 harmonics")
    axes.plot(ratio, rows[:, 1], "o-", color="#0b62a4", label="extrapolated")
    axes.axvline(0.55, linestyle=":", color="#5b5b5b", label="W = 0.55 R_c")
    axes.set_xlabel("W / R_c")
    axes.set_ylabel("resistance / that of the bulk")
    axes.legend(frameon=False)
    figure.savefig(picture, dpi=150)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
