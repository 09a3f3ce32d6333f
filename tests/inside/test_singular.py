"""Powers as which flows go at corners."""

from __future__ import annotations

import numpy as np
import pytest

import meso
from meso import Contact, Wall
from meso.evidence.singular import _of_flow

SLIPS, STUCK, IDEAL = Wall(slip_length=1e-8), Wall(slip_length=0.0), Contact(potential=0.0)


@pytest.mark.parametrize(
    ("model", "one", "two", "degrees", "power"),
    [
        ("ohmic", SLIPS, SLIPS, 270, 2 / 3),
        ("ohmic", SLIPS, IDEAL, 180, 1 / 2),
        ("hydrodynamic", SLIPS, SLIPS, 270, 1 / 3),
        ("hydrodynamic", SLIPS, SLIPS, 360, 1 / 2),  # J is uniform along a screen that slips
        ("hydrodynamic", IDEAL, SLIPS, 90, 2),
        ("hydrodynamic", IDEAL, SLIPS, 100, 0.1),
        ("hydrodynamic", IDEAL, SLIPS, 80, 1 / 8),
        ("hydrodynamic", IDEAL, STUCK, 80, np.inf),
        ("kinetic", STUCK, STUCK, 270, 1 / 3),
        ("kinetic", IDEAL, SLIPS, 100, np.inf),
    ],
)
def test_powers(
    model: str, one: meso.Boundary, two: meso.Boundary, degrees: float, power: float
) -> None:
    for pair in ((one, two), (two, one)):
        assert _of_flow(model, *pair, np.radians(degrees)) == pytest.approx(power)
