"""Reported errors cover the true ones; adaptive refinement by symmetry is right and quick."""

import numpy as np
import pytest

from meso import bands
from meso.bands import models

#: (ħ/e) S/m, from 190,000 wave vectors; known to 1300.
TANTALUM = -26949.0


def test_a_coarse_grid_says_that_it_knows_little():
    """Ta, spin, at the Fermi energy: hot spots carry the integral; equal entries, equal errors."""
    found = bands.hall_conductivity(models.SlaterKosterBcc("Ta"), "S", energy=0.0, kmesh=8)
    assert abs(found.value[0, 2, 1] - TANTALUM) < found.error[0, 2, 1]
    assert found.error[0, 2, 1] > 0.5 * abs(found.value[0, 2, 1])
    np.testing.assert_allclose(np.ptp(found.error[found.value != 0]), 0, atol=1e-6)
    assert "8 interleaved grids; 64 general points" in found.provenance["error from"]


@pytest.mark.parametrize("operator, true", [("S", -18415.76), ("L", 57179.8)])
def test_grids_at_any_offset(operator, true):
    """Bcc p model at −0.1 eV: each of twelve grids."""
    model, rng = models.BccP(spin_orbit=0.1), np.random.default_rng(4)
    for n in (6, 8, 9):
        for _ in range(4):
            mesh = bands.uniform(model, n, generic=rng.random(3))
            found = bands.hall_conductivity(model, operator, energy=-0.1, kmesh=mesh)
            assert abs(found.value[0, 2, 1] - true) < found.error[0, 2, 1]


def test_a_flux_between_the_points():
    """A gap of 0.02 eV, unresolved: the missing flux of the crossing is in the error."""
    model = models.GappedLattice(mass=-0.01)
    grid = bands.hall_conductivity(model, "1", kmesh=16)
    exact = -3.87404586e-05
    wrong = abs(grid.value[0, 2, 1] - exact)
    assert 0.3 * abs(exact) < wrong < grid.error[0, 2, 1]
    fine = bands.hall_conductivity(model, "1", tolerance=0.1)
    assert abs(fine.value[0, 2, 1] - exact) <= fine.error[0, 2, 1] < 0.1 * abs(exact)


def test_adaptive_with_and_without_symmetry():
    model = models.BccP(spin_orbit=0.1)
    how = {"energy": -0.1, "tolerance": 0.1}
    one = bands.hall_conductivity(model, "L", **how)
    all_ = bands.hall_conductivity(model, "L", symmetry="none", **how)
    size = [int(q.provenance["grid"].split()[1]) for q in (one, all_)]
    assert size[0] < 0.2 * size[1]
    both = one.error[0, 2, 1] + all_.error[0, 2, 1]
    assert abs(one.value[0, 2, 1] - all_.value[0, 2, 1]) < both


@pytest.mark.thorough
def test_adaptive_in_a_metal():
    """Ta to 30 %: within it, from fewer points than a grid of 36³ has, which is off by as much."""
    found = bands.hall_conductivity(models.SlaterKosterBcc("Ta"), "S", energy=0.0, tolerance=0.3)
    assert abs(found.value[0, 2, 1] - TANTALUM) < found.error[0, 2, 1] + 1300
    assert int(found.provenance["grid"].split()[1]) < 36**3


def test_a_crossing_that_the_first_points_miss():
    """ξ = 0.01 eV: cells are divided where bands nearly cross, too."""
    model = models.BccP(spin_orbit=0.01)
    found = bands.hall_conductivity(model, "L", energy=-0.3, tolerance=0.3)
    assert abs(found.value[0, 2, 1] - 39647) < found.error[0, 2, 1] < 0.3 * 39647
    assert int(found.provenance["grid"].split()[1]) < 80_000
