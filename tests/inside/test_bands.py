"""Parts of responses: states may be turned, orbitals rotate; users see sums over them alone."""

from functools import partial

import numpy as np
import pytest

from meso import CaseError, ConvergenceError, bands
from meso.bands import models
from meso.bands.boltzmann import solve
from meso.bands.engine import adaptive
from meso.bands.geometry import Electrons
from meso.bands.hall import projected
from meso.bands.model import operator
from meso.bands.orbitals import ORBITALS, angular_momentum, bond, same_sites


def turned(at, seed=0):
    """The same bands with other states: rotated in each group, with phases that depend on k."""
    rng = np.random.default_rng(seed)
    states = at.states.astype(complex)
    for n in range(len(at.k)):
        for label in np.unique(at.labels[n]):
            group = np.flatnonzero(at.labels[n] == label)
            random = rng.normal(size=(len(group),) * 2) + 1j * rng.normal(size=(len(group),) * 2)
            states[n][:, group] = states[n][:, group] @ np.linalg.qr(random)[0]
    other = at.electrons.bands(at.k)
    vars(other)["states"] = states  # which would be made when needed
    return other


@pytest.mark.parametrize(
    "model", [models.RadialTangential(spin_orbit=0.3), models.SlaterKosterBcc("Ta")], ids=str
)
def test_invariance(model):
    k = np.random.default_rng(3).normal(size=(20, model.dimension)) * 0.4
    at = Electrons(model).bands(k)
    other = turned(at)
    assert (np.bincount(at.labels[0]) == 2).all()  # Kramers pairs: rotations do something

    def traces(b):
        momentum = b.within(b.between(model.operators["L"][None]))
        f, g, a = b.curvature, b.metric, b.connection
        x = b.between(model.operators["S"][None])
        return [
            np.einsum("kjnm,klmn->kjl", momentum, f),
            np.einsum("kabnn->kab", g),
            np.einsum("kamn,kxnm->kax", a, x).real,
            np.einsum("kn,kjnm,klmn->kjl", b.energies, momentum, f),
        ]

    for one, two in zip(traces(at), traces(other), strict=True):
        np.testing.assert_allclose(one, two, atol=1e-11 * max(np.abs(one).max(), 1))


def test_projectors():
    at = Electrons(models.SlaterKosterBcc("Ta")).bands(np.array([[0.2, 0.3, 0.4]]))
    p = at.projector(4)
    np.testing.assert_allclose(p @ p, p, atol=1e-13)
    assert np.trace(p[0]).real == pytest.approx(2)


def test_metric_and_curvature_are_parts_of_one_tensor():
    # For a single band of a two-band model det g = (F/2)².
    at = Electrons(models.GappedLattice()).bands(np.random.default_rng(0).normal(size=(9, 2)))
    g, f = at.metric[:, :2, :2, 0, 0].real, at.curvature[:, 2, 0, 0].real
    np.testing.assert_allclose(np.linalg.det(g), (f / 2) ** 2, rtol=1e-9, atol=1e-12)


def test_adaptive_refinement_says_when_it_fails():
    model = models.GappedLattice(mass=-0.001)
    integrand = partial(projected, matrix=operator(model, "1"))
    with pytest.raises(ConvergenceError, match="adaptive integration over k: error .* asked for"):
        adaptive(Electrons(model), integrand, tolerance=1e-9, most=2000)
    with pytest.raises(CaseError, match="lattice: electron gas has none"):
        adaptive(Electrons(models.ElectronGas()), integrand, tolerance=1e-3)


def test_boltzmann_equation_is_solved():
    """On a grid: the solution put into the collision integral gives the drive back."""
    model = models.BccP(spin_orbit=0.05)
    mesh = bands.uniform(model, 6, symmetry="none")
    electrons = Electrons(model, 0.5, 0.1)
    found = solve(electrons, mesh)
    at = electrons.bands(mesh.points)
    g, weight = found.shift(at), at.surface * mesh.weights[:, None]
    arriving = np.einsum("kn,kan,kmn,kpn->amp", weight, g, at.states, at.states.conj())
    collisions = g * at.expectation(found.density)[:, None] - at.expectation(arriving)
    np.testing.assert_allclose(collisions, at.velocity / (2 * np.pi), atol=1e-10)


def test_angular_momentum_algebra():
    momentum = angular_momentum(ORBITALS)
    commutator = momentum[0] @ momentum[1] - momentum[1] @ momentum[0]
    np.testing.assert_allclose(commutator, 1j * momentum[2], atol=1e-14)
    square = np.einsum("amn,anp->mp", momentum, momentum)
    np.testing.assert_allclose(square, np.diag([0, 2, 2, 2, 6, 6, 6, 6, 6]), atol=1e-14)


def test_two_centre_table_against_known_entries():
    # Classical table, direction cosines x, y, z.
    r = np.array([1.0, 2.0, -0.5])
    x, y, z = r / np.linalg.norm(r)
    v = dict(zip(("sps", "pds", "pdp", "sds"), (0.7, -0.4, 0.9, 0.3), strict=True))
    h = bond(r, v)
    at = {name: i for i, name in enumerate(ORBITALS)}
    root = np.sqrt(3)
    assert h[at["s"], at["px"]] == pytest.approx(x * 0.7)
    assert h[at["s"], at["dxy"]] == pytest.approx(root * x * y * 0.3)
    expected = root * x**2 * y * v["pds"] + y * (1 - 2 * x**2) * v["pdp"]
    assert h[at["px"], at["dxy"]] == pytest.approx(expected)
    expected = z * (z**2 - (x**2 + y**2) / 2) * v["pds"] + root * z * (x**2 + y**2) * v["pdp"]
    assert h[at["pz"], at["dz2"]] == pytest.approx(expected)
    np.testing.assert_allclose(bond(-r, v), h.T, atol=1e-15)


def test_operators_by_name():
    spinless, spinful = models.SlaterKosterBcc("V"), models.SlaterKosterBcc("Ta")
    assert not operator(spinless, "S").any()
    total = operator(spinful, "J")
    np.testing.assert_allclose(total, spinful.operators["S"] + spinful.operators["L"])
    with pytest.raises(CaseError, match='has no operator "L"'):
        operator(models.TiltedDirac(), "L")


def test_sites_by_position():
    r = np.array([[0, 0, 0], [0.1, 0, 0], [1.5, 1.5, 1.5], [3.0, 0, 0.05]])
    assert same_sites(r, 3 * np.eye(3)) == [0, 0, 1, 0]


def test_semiclassical_orbital_magnetoelectric_effect():
    """[C] eq. 57: the curl of the quantum metric is the covariant itinerant part, to all digits."""

    def itinerant(tilt, energy):
        model = models.TiltedDirac(mass=1.0, velocity=2.0, tilt=tilt)
        line = bands.fermi_lines(model, energy, 32)
        at = Electrons(model, energy).bands(line.points, line.bands)
        metric = np.einsum("kabnn->kabn", at.metric).real
        # −Σ ∂f/∂k_x g_yy + Σ ∂f/∂k_y g_yx for a field along y.
        flow = np.einsum("k,kan,kbn,kn->ab", line.weights, at.velocity, metric[:, 1], at.surface)
        return (flow[0, 1] - flow[1, 0]) / tilt

    for energy in (1.3, 2.5):
        found = (4 * itinerant(1e-3, energy) - itinerant(2e-3, energy)) / 3
        exact = (energy**2 - 1) / (16 * np.pi * energy**3)
        assert found == pytest.approx(exact, rel=1e-9)
