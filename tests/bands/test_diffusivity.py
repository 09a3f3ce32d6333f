"""Broadened diffusivities: numbers on deterministic grids, identities, reduction by symmetry."""

import numpy as np
import pytest

from meso import CaseError, bands
from meso.bands import models, uniform
from meso.constants import ELEMENTARY_CHARGE, HBAR

NO_SPIN_ORBIT = {
    ("c", "c", "xx"): 554609.4,
    ("sx", "sx", "xx"): 554609.4,
    ("sy", "sy", "xx"): 554609.4,
    ("lx", "lx", "xx"): 85067.72,
    ("ly", "ly", "xx"): 53752.84,
    ("lx", "ly", "xy"): -20370.94,
    ("ly", "lx", "xy"): -6922.15,
}
SPIN_ORBIT = {
    ("c", "c", "xx"): 550088.1,
    ("sx", "sx", "xx"): 507514.6,
    ("sy", "sy", "xx"): 500002.3,
    ("lx", "lx", "xx"): 95572.32,
    ("ly", "ly", "xx"): 64336.59,
    ("sx", "lx", "xx"): 39218.87,
    ("lx", "sx", "xx"): 29767.73,
}


@pytest.mark.parametrize(
    ("coupling", "states", "numbers"),
    [(0.0, 2.86476456, NO_SPIN_ORBIT), (0.05, 2.87553099, SPIN_ORBIT)],
)
@pytest.mark.parametrize("symmetry", ["mirror", "auto"])
def test_numbers_of_the_toy_model(coupling, states, numbers, symmetry):
    """bcc p model, Γ = .1 eV, E = .5 eV, the grid of 2·64³ points; references as printed."""
    found = bands.diffusivity(models.BccP(spin_orbit=coupling), 0.5, 0.1, 64, symmetry=symmetry)
    assert found.states_per_cell == pytest.approx(states, abs=6e-9)
    for (source, sink, directions), value in numbers.items():
        # Half a digit of the reference, but never looser than 1e-6.
        digit = 0.06 if abs(value) > 1e5 else 0.006
        tolerance = min(digit, 1e-6 * abs(value)) if abs(value) > 1e4 else digit
        assert found.between(source, sink, directions) == pytest.approx(value, abs=tolerance)


@pytest.mark.parametrize("model", [models.BccP(), models.SlaterKosterBcc("V")], ids=str)
def test_without_spin_orbit_coupling_spin_goes_with_charge(model):
    """Spin put in explicitly, by an exchange field of zero."""
    if model.size == 3:
        spinful = models.BccP(exchange=(0.0, 0.0, 0.0))
    else:
        spinful = models.SlaterKosterBcc("V", exchange=(0.0, 0.0, 0.0))
    assert spinful.size == 2 * model.size
    one = bands.diffusivity(model, 0.3, 0.1, 8, symmetry="none")
    two = bands.diffusivity(spinful, 0.3, 0.1, 8, symmetry="none")
    scale = np.abs(one.value).max()
    np.testing.assert_allclose(one.value, two.value, atol=1e-12 * scale)
    for axis in "xyz":
        spin = two.between(f"s{axis}", f"s{axis}")
        assert spin == pytest.approx(two.between("c", "c"), rel=1e-12)


@pytest.mark.parametrize("broadening", [0.02, 0.1, 0.7])
def test_einstein_relation(broadening):
    """The charge block is the Kubo–Greenwood conductivity at every Γ on every grid."""
    model = models.BccP(spin_orbit=0.05)
    mesh = uniform(model, 6, symmetry="none")
    found = bands.diffusivity(model, 0.4, broadening, mesh)
    h, slope = model.hamiltonian(mesh.points), model.gradient(mesh.points)
    green = np.linalg.inv((0.4 + 1j * broadening) * np.eye(model.size) - h)
    spectral = (green - green.conj().swapaxes(1, 2)) / 2j
    trace = np.einsum("kamn,knp,kapq,kqm->ka", slope, spectral, slope, spectral).real
    kubo = ELEMENTARY_CHARGE**2 / (np.pi * HBAR) * mesh.weights @ trace * 1e10
    np.testing.assert_allclose(np.diagonal(found.conductivity), kubo, rtol=1e-12)
    d = found.conductivity[0, 0] / (ELEMENTARY_CHARGE**2 * found.density_of_states)
    states = -mesh.weights @ np.einsum("kmm->k", green).imag / np.pi * 1e30 / ELEMENTARY_CHARGE
    assert d * states * ELEMENTARY_CHARGE**2 == pytest.approx(kubo[0], rel=1e-12)
    assert found.relaxation_time == HBAR / (2 * broadening * ELEMENTARY_CHARGE)


def test_symmetry_gives_what_the_full_grid_gives():
    for model in (models.BccP(spin_orbit=0.05), models.SlaterKosterBcc("V")):
        mesh = uniform(model, 6, symmetry="auto")
        group = mesh.group
        assert len(group) == 48 and len(mesh.points) == 20
        # All reflections of the mirror-reduced grid make the full one.
        mirror = uniform(model, 6, symmetry="mirror")
        signs = np.array(np.meshgrid(*[[1, -1]] * 3)).reshape(3, -1).T
        points = (mirror.points[:, None] * signs).reshape(-1, 3)
        full = bands.Mesh(
            points=points, weights=np.repeat(mirror.weights / 8, 8), label="full grid"
        )
        expected = bands.diffusivity(model, 0.5, 0.2, full).value
        scale = np.abs(expected).max()
        for reduced in (mesh, mirror):
            found = bands.diffusivity(model, 0.5, 0.2, reduced).value
            np.testing.assert_allclose(found, expected, atol=1e-12 * scale)
        # Forbidden components are zero.
        assert np.abs(bands.diffusivity(model, 0.5, 0.2, mesh).value[0, 0, 0, 1:]).max() == 0


def test_point_groups():
    def operations(model):
        return len(uniform(model, 4, symmetry="auto").group)

    def cubic(d):
        """One state on a square or cubic lattice, hopping to its neighbours."""
        home, steps = np.zeros((1, d), int), np.concatenate([np.eye(d, dtype=int)] * 2)
        steps[d:] *= -1
        return models.TightBinding(
            name="s",
            lattice=np.eye(d),
            vectors=np.concatenate([home, steps]),
            hoppings=np.ones((2 * d + 1, 1, 1)),
        )

    assert operations(cubic(3)) == 48
    assert operations(cubic(2)) == 8
    assert operations(models.SlaterKosterBcc("Ta")) == 48
    # An exchange field leaves rotations about it, and the plane across it.
    assert operations(models.BccP(exchange=(0, 0, 0.2))) in (8, 16)
    assert operations(models.BccP(exchange=(0, 0, 0.2), spin_orbit=0.1)) == 8
    # The gapped lattice has the four-fold axis and no reflections that keep L_z.
    assert operations(models.GappedLattice()) == 4


def test_reduced_grid_of_a_lattice_of_the_plane():
    model = models.GappedLattice()
    values = [
        bands.hall_conductivity(model, "L", energy=-2.5, kmesh=bands.uniform(model, 40, symmetry=s))
        for s in ("auto", "none")
    ]
    scale = np.abs(values[1].value).max()
    np.testing.assert_allclose(values[0].value, values[1].value, atol=1e-12 * scale)


def test_processes_give_the_same_digits():
    model = models.BccP(spin_orbit=0.05)
    one = bands.diffusivity(model, 0.5, 0.1, 12, symmetry="none")
    two = bands.diffusivity(model, 0.5, 0.1, 12, symmetry="none", processes=2)
    np.testing.assert_array_equal(one.value, two.value)


def test_several_energies_at_once():
    model = models.BccP()
    both = bands.diffusivities(model, [0.2, 0.5], 0.1, 8)
    alone = bands.diffusivity(model, 0.5, 0.1, 8)
    np.testing.assert_allclose(both[1].value, alone.value, rtol=1e-12)


@pytest.mark.parametrize("exchange", [(0, 0, 0.2), (0.1, 0, 0.2)])
def test_one_direction_of_the_gradient_is_enough(exchange):
    """Also where eight operations are not the reflections: about an exchange field along z."""
    model = models.BccP(spin_orbit=0.05, exchange=exchange)
    some = bands.diffusivity(model, 0.5, 0.1, 6, directions="x", error=False)
    every = bands.diffusivity(model, 0.5, 0.1, 6, error=False)
    np.testing.assert_allclose(some.value[:, 0], every.value[:, 0], atol=1e-9 * every.value.max())


def test_normalisations_and_efficiencies():
    found = bands.diffusivity(models.BccP(spin_orbit=0.05), 0.5, 0.1, 16)
    printed, trace = found.blocks("printed"), found.blocks(bands.Normalisation.TRACE)
    scale = ELEMENTARY_CHARGE**2 * found.density_of_states
    # Eq. 12 and 13: 2S and S/2; tr L_x²/N = 2/3 for p orbitals.
    assert printed[0, 3, 0, 0] == pytest.approx(2 * found.between("sx", "lx") / scale)
    assert printed[0, 0, 0, 3] == pytest.approx(found.between("lx", "sx") / 2 / scale)
    assert printed[1, 4, 0, 3] == pytest.approx(found.between("lx", "ly", "xy") / scale)
    np.testing.assert_allclose(trace[..., 3:], printed[..., 3:] * 1.5)
    np.testing.assert_allclose(trace[..., :3], printed[..., :3])
    to_orbital = 2 * found.between("sx", "lx")
    assert found.polarization("s") == pytest.approx(
        to_orbital / (to_orbital + found.between("sx", "sx"))
    )
    assert 0 < found.swapping("s") < found.swapping("l")


def test_error_is_estimated_from_a_coarser_grid():
    model = models.BccP()
    found = bands.diffusivity(model, 0.5, 0.1, 24, error=True)
    better = bands.diffusivity(model, 0.5, 0.1, 48)
    assert np.abs(found.value - better.value).max() < found.error.max()
    assert "error from" in found.provenance and "eV" in found.report()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((50.0, 0.1, 8), r"energy: found 50 eV, outside the bands of bcc p model"),
        ((0.5, 0.0, 8), "broadening: found 0.0; must be positive"),
        ((0.5, 0.1, 1), "kmesh: found 1; must be an integer, at least 2"),
        ((float("nan"), 0.1, 8), "energy: found nan; must be finite"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(CaseError, match=message):
        bands.diffusivity(models.BccP(), *arguments)
