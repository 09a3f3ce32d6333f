"""Currents and edge moments against the Knudsen number: python3 laws.py PICTURE.png."""

from __future__ import annotations

import sys
from math import pi, tanh
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import meso
from meso.exact_kinetic import KineticRibbon

CASE = Path(__file__).parent / "case.toml"


def hydrodynamic(kn: float) -> tuple[float, float]:
    """Current over Drude's, and J_centre - J_wall over sigma E, of the closed form."""
    length, slip = kn / 2, 16 / (3 * pi * kn)
    half = 1 / (2 * length)
    part = 1 / (1 + tanh(half) / (slip * length))
    return 1 - part * tanh(half) / half, part * (1 - 1 / np.cosh(half))


def kinetic(kn: float, harmonics: int) -> tuple[float, float, float]:
    """Current over Drude's for N harmonics and extrapolated, and J_centre - J_wall."""
    settings = {"materials.metal.mean_free_path": kn * 100e-9, "flow.harmonics": harmonics}
    result = meso.run(meso.Case.load(CASE, settings))
    drude = 3.97e-3 * 1e-3 * 100 / 10
    assert result.convergence is not None
    step = abs(result.edge_moments[0].moment / result.edge_moments[0].measure)
    material = next(iter(result.flow.materials.values()))
    return (
        result.periodic["source"].current / drude,
        result.convergence.extrapolated[0] / drude,
        step / abs(material.orbital_coupling * 3.97e-3 * 1e-3 / 10e-9),
    )


def main(picture: Path) -> None:
    """Solve and draw."""
    numbers = np.geomspace(0.01, 5, 6)
    exact = [KineticRibbon(width=1.0, mean_free_path=kn) for kn in numbers]
    true = np.array([e.conductance for e in exact])
    steps = np.array([-np.diff(e.current_density(np.array([0.0, 0.5])))[0] for e in exact])
    flow = np.array([hydrodynamic(kn) for kn in numbers])
    many = np.array([kinetic(kn, 16) for kn in numbers])
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.6, 4.2), layout="constrained")
    left.semilogx(numbers, true, color="#222222", label="exact")
    left.semilogx(numbers, flow[:, 0], "--", color="#c1272d", label="hydrodynamic")
    left.semilogx(numbers, many[:, 1], "o", color="#0b62a4", label="kinetic")
    left.set_xlabel("Kn = λ/W")
    left.set_ylabel("G / G Drude")
    left.legend(frameon=False)
    for values, style, color, text in (
        (flow[:, 0] / true - 1, "--", "#c1272d", "current, hydrodynamic"),
        (flow[:, 1] / steps - 1, "-.", "#c1272d", "edge moment, hydrodynamic"),
        (many[:, 0] / true - 1, "o", "#0b62a4", "current, 16 harmonics"),
        (many[:, 1] / true - 1, "s", "#2e8b57", "current, extrapolated"),
        (many[:, 2] / steps - 1, "^", "#7b4ea3", "edge moment, 16 harmonics"),
    ):
        right.loglog(numbers, np.abs(values), style, color=color, label=text)
    right.loglog(numbers, 0.06 * numbers / 1, ":", color="#999999", label="∝ Kn")
    right.loglog(numbers, numbers**3, ":", color="#5b5b5b", label="Kn³")
    right.set_ylim(1e-7, 2)
    right.set_xlabel("Kn = λ/W")
    right.set_ylabel("relative error")
    right.legend(frameon=False, fontsize=8)
    figure.savefig(picture, dpi=150)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
