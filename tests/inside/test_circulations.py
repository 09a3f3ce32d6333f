"""Moments of walls by particles: of sheets and sections of 3D metals, couplings that jump."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import GEOMETRIES

from meso import Device, Material, Periodic, Wall
from meso.exact_kinetic import KineticFilm, KineticRibbon
from meso.flow import Particles
from meso.observables.circulation import moments

WIDTH, PER_PATH, VOLT = 100e-9, 1e4, 1e-3


@pytest.mark.parametrize(
    ("carriers", "exact", "kappa"),
    [
        ("2d", KineticRibbon(width=1, mean_free_path=1.0), {"lower": 1e-31, "upper": 3e-31}),
        ("3d", KineticFilm(width=1, mean_free_path=1.0), {"lower": 2e-31, "upper": 2e-31}),
    ],
)
def test_moments(carriers, exact, kappa) -> None:
    """Two layers with one Fermi line or sphere: their interface has a moment of its own."""
    parameters = {"lower": 30, "upper": 70, "length": 100}
    device = Device.from_gmsh(
        GEOMETRIES / "bilayer.geo", length_unit="nm", parameters=parameters, order=2
    )
    path = WIDTH
    metals = {
        name: Material(
            carriers=carriers,
            conductivity=PER_PATH * path,
            mean_free_path=path,
            orbital_coupling=value,
        )
        for name, value in kappa.items()
    }
    laws = {"source": Periodic(to="drain", voltage=VOLT)}
    laws |= dict.fromkeys(("bottom", "top"), Wall(specularity=0.0))
    flow = Particles(device, materials=metals, boundaries=laws, tolerance=0.05).solve()
    wall, interface, middle = exact.current_density(np.array([-0.5, -0.2, 0.0]))
    lower, upper = kappa.values()
    wanted = {
        "bottom": lower * (interface - wall) + upper * (middle - interface),
        "top": upper * (middle - wall),
    }
    signs = []
    for found in moments(flow)["orbital_density"]:
        size = wanted[found.wall] * PER_PATH * VOLT * WIDTH
        assert abs(abs(found.moment) - size) < 3.2 * found.error < 1.5 * size
        signs.append(np.sign(found.moment))
    assert sum(signs) == 0
