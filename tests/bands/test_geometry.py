"""Quantum geometry does not depend on how states are chosen."""

import numpy as np
import pytest

from meso import bands
from meso.bands import models
from meso.bands.engine import integrate
from meso.bands.geometry import Bands, connection, curvature, metric, within
from meso.bands.hall import HallTerm
from meso.bands.kmesh import uniform
from meso.bands.model import operator
from meso.constants import ELEMENTARY_CHARGE, HBAR
from meso.errors import CaseError, ConvergenceError


def turned(at, seed=0):
    """The same bands with other states: rotated in each group, with phases that depend on k."""
    rng = np.random.default_rng(seed)
    states = at.states.astype(complex)
    for n in range(len(at.k)):
        for label in np.unique(at.labels[n]):
            group = np.flatnonzero(at.labels[n] == label)
            random = rng.normal(size=(len(group),) * 2) + 1j * rng.normal(size=(len(group),) * 2)
            states[n][:, group] = states[n][:, group] @ np.linalg.qr(random)[0]
    return Bands(model=at.model, k=at.k, energies=at.energies, states=states)


@pytest.mark.parametrize(
    "model", [models.RadialTangential(spin_orbit=0.3), models.SlaterKosterBcc("Ta")], ids=str
)
def test_invariance(model):
    k = np.random.default_rng(3).normal(size=(20, model.dimension)) * 0.4
    at = Bands.at(model, k)
    other = turned(at)
    assert (np.bincount(at.labels[0]) == 2).all()  # Kramers pairs: rotations do something

    def traces(b):
        momentum = within(b, b.operator(model.operators["L"]))
        f, g, a = curvature(b), metric(b), connection(b)
        x = b.operator(model.operators["S"])
        return [
            np.einsum("kjnm,klmn->kjl", momentum, f),
            np.einsum("kabnn->kab", g),
            np.einsum("kamn,kxnm->kax", a, x).real,
            np.einsum("kn,kjnm,klmn->kjl", b.energies, momentum, f),
        ]

    for one, two in zip(traces(at), traces(other), strict=True):
        np.testing.assert_allclose(one, two, atol=1e-11 * max(np.abs(one).max(), 1))


def test_projectors():
    at = Bands.at(models.SlaterKosterBcc("Ta"), np.array([[0.2, 0.3, 0.4]]))
    p = at.projector(4)
    np.testing.assert_allclose(p @ p, p, atol=1e-13)
    assert np.trace(p[0]).real == pytest.approx(2)


def test_metric_and_curvature_are_parts_of_one_tensor():
    # For a single band of a two-band model det g = (F/2)².
    at = Bands.at(models.GappedLattice(), np.random.default_rng(0).normal(size=(9, 2)))
    g, f = metric(at)[..., 0, 0].real, curvature(at)[:, 2, 0, 0].real
    np.testing.assert_allclose(np.linalg.det(g), (f / 2) ** 2, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("mass", "chern"), [(-1.0, 1), (-3.0, -1), (1.0, 0)])
def test_chern_number(mass, chern):
    model = models.GappedLattice(mass=mass)
    term = HallTerm(
        matrix=np.array([np.zeros((2, 2)), np.zeros((2, 2)), np.eye(2)]),
        energy=0.0,
        temperature=0.0,
        projected=True,
    )
    # A gap of the size of the hopping: the sum over a grid converges exponentially.
    value = integrate(model, uniform(model, 64), term)[0, 2, 1]
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


def test_adaptive_refinement_says_when_it_fails():
    from meso.bands.engine import adaptive

    model = models.GappedLattice(mass=-0.001)
    term = HallTerm(matrix=operator(model, "1"), energy=0.0, temperature=0.0, projected=True)
    with pytest.raises(ConvergenceError, match="adaptive integration over k: error .* asked for"):
        adaptive(model, term, tolerance=1e-9, most=2000)
    with pytest.raises(CaseError, match="lattice: electron gas has none"):
        adaptive(models.ElectronGas(), term, tolerance=1e-3)


def test_coupling_of_vanadium_is_isotropic():
    """Cubic symmetry leaves one number; its size from three grids and adaptive refinement."""
    found = bands.orbital_coupling(models.SlaterKosterBcc("V"), kmesh=16, temperature=0.05)
    value, rest = bands.curl_coefficient(found.value)
    assert rest < 1e-12
    assert value == pytest.approx(-1.8e-32, rel=0.15)
