"""Quantum geometry of bands: Chern numbers, adaptive integrals, symmetry."""

import numpy as np
import pytest

from meso import bands
from meso.bands import models
from meso.constants import ELEMENTARY_CHARGE, HBAR


@pytest.mark.parametrize(("mass", "chern"), [(-1.0, 1), (-3.0, -1), (1.0, 0)])
def test_chern_number(mass, chern):
    model = models.GappedLattice(mass=mass)
    # A gap of the size of the hopping: the sum over a grid converges exponentially.
    found = bands.hall_conductivity(model, "1", energy=0.0, kmesh=64).value[0, 2, 1]
    value = found * HBAR / ELEMENTARY_CHARGE**2
    assert abs(value * 2 * np.pi) == pytest.approx(abs(chern), abs=1e-10)
    # Conventional and band-projected currents of particles are one thing.
    one = bands.hall_conductivity(model, "1", kmesh=48)
    two = bands.hall_conductivity(model, "1", kmesh=48, definition="conventional")
    np.testing.assert_allclose(one.value, two.value, atol=1e-12 * 2.4e-4)


def test_adaptive_refinement_where_bands_nearly_touch():
    """A gap of 60 meV in bands of 4 eV: 10⁻⁶ from 20,000 points; a grid of 128² is off by 1 %."""
    model = models.GappedLattice(mass=-0.03)
    exact = ELEMENTARY_CHARGE**2 / HBAR / (2 * np.pi)
    found = bands.hall_conductivity(model, "1", tolerance=1e-6)
    assert abs(found.value[0, 2, 1]) == pytest.approx(exact, rel=1e-6)
    assert found.relative_error < 1e-6 and "adaptive" in found.provenance["grid"]
    grid = bands.hall_conductivity(model, "1", kmesh=128, error=True)
    assert abs(grid.value[0, 2, 1] + found.value[1, 2, 0]) > 5e-3 * exact
    # The error that a grid reports is not too small.
    assert grid.error[0, 2, 1] > abs(abs(grid.value[0, 2, 1]) - exact)


def test_adaptive_refinement_of_what_is_zero():
    found = bands.hall_conductivity(models.BccP(), "L", energy=0.5, tolerance=1e-3)
    assert not found.value.any() and found.relative_error == 0


def test_coupling_of_vanadium_is_isotropic():
    """Cubic symmetry leaves one number; its size from three grids and adaptive refinement."""
    found = bands.orbital_coupling(models.SlaterKosterBcc("V"), kmesh=16, temperature=0.05)
    value, rest = bands.curl_coefficient(found.value)
    assert rest < 1e-12
    assert value == pytest.approx(-1.8e-32, rel=0.15)
