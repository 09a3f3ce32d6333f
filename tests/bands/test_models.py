"""Models: bands at points of symmetry, derivatives, operators, and what is refused."""

import numpy as np
import pytest

from meso import CaseError, bands
from meso.bands import check_model, models

ALL = {
    "radial-tangential": models.RadialTangential(),
    "with spin": models.RadialTangential(spin_orbit=0.3),
    "electron gas": models.ElectronGas(
        exchange=0.3, rashba=0.1, dresselhaus=0.05, direction=(1, 2, 3)
    ),
    "dirac": models.TiltedDirac(),
    "lattice": models.GappedLattice(),
    "toy": models.BccP(),
    "toy with spin": models.BccP(spin_orbit=0.05, exchange=(0.1, 0, 0.2)),
    "V": models.SlaterKosterBcc("V"),
    "Ta": models.SlaterKosterBcc("Ta"),
}


@pytest.mark.parametrize("name", ALL)
def test_gradient_and_hessian_are_derivatives(name):
    check_model(ALL[name])
    assert isinstance(ALL[name], models.Model)


@pytest.mark.parametrize(
    ("metal", "gamma", "h"),
    [
        (
            "V",
            [-6.4126, *[0.268056] * 3, *[2.230667] * 2, *[19.398467] * 3],
            [-2.974667] * 2 + [3.483344] * 3,
        ),
        ("Ta", [-8.0464, *[0.822067] * 3, *[3.4086] * 2, *[9.129233] * 3], None),
    ],
)
def test_bands_of_the_two_centre_tables(metal, gamma, h):
    model = models.SlaterKosterBcc(metal, spin_orbit=0)
    points = np.array([[0, 0, 0], [2 * np.pi / models.TABLES[metal].constant, 0, 0]])
    found = np.linalg.eigvalsh(model.hamiltonian(points))
    # References have six decimals.
    np.testing.assert_allclose(found[0], gamma, atol=6e-7)
    if h is not None:
        np.testing.assert_allclose(found[1][:5], h, atol=6e-7)


def test_spin_orbit_splits_the_d_states_of_an_atom():
    # j = 3/2 and 5/2 of ξ L·S: −3/2 ξ four times, +ξ six times.
    free = models.TwoCentreTable(
        constant=3.0, onsite=(5, 9, 0, 0), first=(0,) * 10, second=(0,) * 10
    )
    levels = np.linalg.eigvalsh(
        models.SlaterKosterBcc(free, spin_orbit=0.2).hamiltonian(np.zeros((1, 3)))
    )[0]
    np.testing.assert_allclose(levels[:10], [-0.3] * 4 + [0.2] * 6, atol=1e-12)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: models.SlaterKosterBcc("Va"), 'metal: found "Va"; did you mean "V"'),
        (lambda: models.RadialTangential(mass=-1), "mass: found -1; must be positive"),
        (lambda: models.TiltedDirac(tilt=5), "tilt: found 5; must be below velocity"),
        (lambda: models.ElectronGas(direction=(0, 0, 0)), "direction: found a zero vector"),
        (lambda: models.BccP(constant=0), "constant: found 0; must be positive"),
        (
            lambda: models.SlaterKosterBcc(
                models.TwoCentreTable(constant=3, onsite=(0,) * 4, first=(1,) * 9, second=(0,) * 10)
            ),
            "first: found 9 numbers; expected 10",
        ),
        (
            lambda: models.TightBinding(
                name="x", lattice=np.eye(2), vectors=[[0, 0], [1, 0]], hoppings=np.ones((2, 1, 1))
            ),
            r"the Hamiltonian is not Hermitian: the hopping by \(1, 0\)",
        ),
        (
            lambda: models.TightBinding(
                name="x", lattice=np.zeros((2, 2)), vectors=[[0, 0]], hoppings=np.ones((1, 1, 1))
            ),
            "lattice: the primitive vectors are linearly dependent",
        ),
        (
            lambda: models.TightBinding(
                name="x",
                lattice=np.eye(2),
                vectors=[[0, 0]],
                hoppings=np.ones((1, 1, 1)),
                operators={"L": np.ones((3, 2, 2))},
            ),
            r"operators.L: found shape \(3, 2, 2\)",
        ),
    ],
)
def test_bad_models(build, message):
    with pytest.raises(CaseError, match=message):
        build()


def test_a_model_that_is_not_hermitian_is_refused():
    class Broken(models.RadialTangential):
        def hamiltonian(self, k):
            return super().hamiltonian(k) + np.array([[0, 1], [0, 0]])

    with pytest.raises(CaseError, match="hamiltonian: not Hermitian"):
        bands.fermi_surface(Broken(), 1.0)
