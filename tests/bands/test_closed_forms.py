"""Responses with closed forms, to ten digits and more."""

import numpy as np
import pytest

from meso import CaseError, bands
from meso.bands import models
from meso.constants import ELECTRON_CHARGE, ELEMENTARY_CHARGE, HBAR

from .scales import CIRCULATION, QUANTUM, TORQUE, UNIT_MASS


@pytest.mark.parametrize("coupling", [0.1, 0.3, 0.7])
def test_hall_effect_of_the_radial_tangential_model(coupling):
    """Σ∫Tr[S F] = λ/2π, Σ∫Tr[L F] = −(1 − λ²/2)/π (ħ = m = E_F = 1)."""
    model = models.RadialTangential(mass=UNIT_MASS, spin_orbit=coupling)
    exact = {"S": coupling / (2 * np.pi), "L": -(1 - coupling**2 / 2) / np.pi}
    for operator, value in exact.items():
        found = bands.hall_conductivity(model, operator, energy=1.0, kmesh=12)
        assert found.unit == "(hbar/e) S"
        assert found.value[0, 2, 1] / QUANTUM == pytest.approx(value, rel=1e-10)
        assert found.value[1, 2, 0] / QUANTUM == pytest.approx(-value, rel=1e-10)
        rest = np.delete(found.value.ravel(), [2 * 3 + 1, 9 + 2 * 3])
        assert np.abs(rest).max() < 1e-12 * QUANTUM
    # The conventional operator has no orbital Hall effect here, and the same spin Hall effect.
    for operator, value in (("S", exact["S"]), ("L", 0.0)):
        other = bands.hall_conductivity(
            model, operator, energy=1.0, kmesh=12, definition="conventional"
        )
        assert other.value[0, 2, 1] / QUANTUM == pytest.approx(value, rel=1e-10, abs=1e-12)


@pytest.mark.parametrize(("energy", "mass"), [(1.0, 1.0), (0.3, 0.2)])
def test_orbital_coupling_of_the_radial_tangential_model(energy, mass):
    """e κ_xy/ħ² = 1/(2 ε_F), antisymmetric, diagonal zero."""
    found = bands.orbital_coupling(models.RadialTangential(mass=mass), energy=energy, kmesh=12)
    exact = HBAR**2 / (2 * energy * ELEMENTARY_CHARGE * ELECTRON_CHARGE)
    assert found.value[2, 0, 1] == pytest.approx(exact, rel=1e-10)
    assert found.value[2, 1, 0] == pytest.approx(-exact, rel=1e-10)
    assert found.value.shape == (3, 3, 3) and found.unit == "J s/A"
    assert np.abs(np.diagonal(found.value[2])).max() < 1e-12 * abs(exact)
    assert bands.curl_coefficient(found.value) == pytest.approx((exact, 0), abs=1e-12)
    if energy == 1.0:
        assert abs(found.value[2, 0, 1]) == pytest.approx(2.166215e-31, rel=3e-7)


def test_density_between_bands_is_the_coupling_times_the_gradient():
    model = models.RadialTangential()
    gradient = np.array([[0.3, 2.0], [3.0, -0.3]])
    density = bands.interband_density(
        model, energy=1.0, field=(0, 0), current_gradient=gradient, kmesh=16
    )
    found = HBAR * np.einsum("mn,nm->", model.operators["L"][2], density.value).real
    kappa = bands.orbital_coupling(model, energy=1.0, kmesh=16).value[2, :2, :2]
    assert found == pytest.approx((kappa * gradient).sum(), rel=1e-10)


def test_point_scatterers_in_the_radial_tangential_model():
    rates = bands.relaxation_rates(models.RadialTangential(), 1.0)
    np.testing.assert_allclose(rates, [0, 1, 0.5, 1, 1, 1, 1, 1, 1], atol=1e-12)


def test_fermi_surface_of_free_electrons():
    found = bands.fermi_surface(models.ElectronGas(), 1.0, 16)
    mass, energy = 9.1093837139e-31, ELEMENTARY_CHARGE
    assert found.density_of_states == pytest.approx(mass / (np.pi * HBAR**2), rel=1e-12)
    assert found.velocity == pytest.approx(np.sqrt(2 * energy / mass), rel=1e-12)
    sigma = found.conductivity(1e-14)
    density = mass * energy / (np.pi * HBAR**2)
    assert sigma[0, 0] == pytest.approx(density * ELEMENTARY_CHARGE**2 * 1e-14 / mass, rel=1e-12)
    length = found.mean_free_path(sigma[0, 0], 2)
    assert length == pytest.approx(1e-14 * found.velocity, rel=1e-12)


def test_torque_of_the_rashba_gas():
    """ħ = m = 1, e = −1, J = .3, E_F = 1, E along x, m along z, α_R = .01."""
    model = models.ElectronGas(mass=UNIT_MASS, exchange=0.3, rashba=0.01)
    found = bands.torque(model, energy=1.0, kmesh=32)
    intrinsic = found.parts["intrinsic"] / TORQUE
    assert intrinsic[1, 0] == pytest.approx(1.58802050e-3, rel=4e-9)
    assert np.abs(found.value).max() < 1e-10 * np.abs(found.parts["intrinsic"]).max()


@pytest.mark.parametrize("direction", [(1, 2, 3), (1, -0.3, 0.4)])
def test_torques_cancel_for_any_direction_and_spin_orbit_field(direction):
    """Also far from weak coupling: nothing is expanded."""
    model = models.ElectronGas(
        mass=UNIT_MASS, exchange=0.3, rashba=0.1, dresselhaus=0.15, direction=direction
    )
    found = bands.torque(model, energy=1.0, kmesh=64)
    assert np.abs(found.parts["intrinsic"]).max() > 1e-3 * TORQUE
    assert np.abs(found.value).max() < 1e-10 * np.abs(found.parts["intrinsic"]).max()


MASS, VELOCITY = 1.0, 2.0


def first_order(function):
    """The slope at zero tilt t of something odd in t, with the cubic term removed."""
    a, b = (
        function(models.TiltedDirac(mass=MASS, velocity=VELOCITY, tilt=t)) / t for t in (1e-3, 2e-3)
    )
    return (4 * a - b) / 3


@pytest.mark.parametrize("energy", [0.5, 1.3, 2.5])
def test_dipole_of_the_dirac_cone(energy):
    """⟨y⟩ = −eE (m² + 3E²)/(48πE³); in the gap E → m."""
    model = models.TiltedDirac(mass=MASS, velocity=VELOCITY, tilt=1e-7)
    found = bands.dipole(model, energy=energy, kmesh=24)
    e = max(energy, MASS)
    exact = -(MASS**2 + 3 * e**2) / (48 * np.pi * e**3)
    # The value is −e⟨y⟩/E, so e² times a length² per energy.
    assert found.value[1, 1] / -ELEMENTARY_CHARGE == pytest.approx(exact, rel=1e-10)
    assert found.value[1, 1] > 0


@pytest.mark.parametrize("energy", [0.5, 1.3, 2.5])
def test_orbital_magnetoelectric_effect_of_the_dirac_cone(energy):
    """First order in the tilt: d = v_t⟨y⟩, IC = v_t (E² − m²)/(16πE³), sum −v_t m²/(12πE³)."""
    e = max(energy, MASS)

    def part(name):
        def of(model):
            found = bands.orbital_magnetoelectric(model, energy=energy, kmesh=24)
            value = found.value if name == "sum" else found.parts[name]
            return value[2, 1] / CIRCULATION

        return first_order(of)

    dipole = -(MASS**2 + 3 * e**2) / (48 * np.pi * e**3)
    itinerant = (e**2 - MASS**2) / (16 * np.pi * e**3)
    total = -(MASS**2) / (12 * np.pi * e**3)
    assert part("dipole") == pytest.approx(dipole, rel=1e-10)
    assert part("itinerant") == pytest.approx(itinerant, rel=1e-9, abs=1e-12)
    assert part("local") == pytest.approx(0, abs=1e-12)
    assert part("sum") == pytest.approx(total, rel=1e-9)


def test_printed_itinerant_part_depends_on_phases():
    """(E² + m²)/(16πE³) in the gauge of the paper, something else in others."""
    energy = 1.3
    printed = (energy**2 + MASS**2) / (16 * np.pi * energy**3)

    def part(reference):
        def of(model):
            found = bands.orbital_magnetoelectric(
                model, energy=energy, kmesh=24, definition="printed", reference=reference
            )
            return found.parts["itinerant"][2, 1] / CIRCULATION

        return first_order(of)

    assert part(None) == pytest.approx(printed, rel=1e-9)
    assert part([0, 1]) == pytest.approx(printed, rel=1e-9)
    assert part([1, 0.5]) != pytest.approx(printed, rel=0.1)


def test_bad_arguments():
    model = models.TiltedDirac()
    with pytest.raises(CaseError, match='definition: found "modern"; known'):
        bands.orbital_magnetoelectric(model, definition="modern")
    with pytest.raises(CaseError, match="reference: .* expected 2 amplitudes"):
        bands.orbital_magnetoelectric(model, definition="printed", reference=[1, 0, 0])
    with pytest.raises(CaseError, match="the torque is that of an electron gas with exchange"):
        bands.torque(models.ElectronGas(), energy=1.0)
    with pytest.raises(CaseError, match="no band of .* crosses -1 eV"):
        bands.fermi_surface(models.ElectronGas(), -1.0, 8)
    with pytest.raises(CaseError, match="symetry: unknown option; did you mean"):
        bands.fermi_surface(models.ElectronGas(), 1.0, 8, symetry="none")
    with pytest.raises(CaseError, match="this needs a model of the plane"):
        bands.relaxation_rates(models.BccP(), 0.5)


def test_interband_density_on_a_lattice():
    """Same grid and smearing: the gradient part is κ of the Fermi surface, the others are odd."""
    model = models.BccP(spin_orbit=0.05)
    half = bands.uniform(model, 8, symmetry="none", generic=True)
    mesh = bands.Mesh(
        points=np.concatenate([half.points, -half.points]),
        weights=np.tile(half.weights / 2, 2),
        label="k and -k",
    )
    gradient = np.random.default_rng(2).normal(size=(3, 3))
    density = bands.interband_density(
        model,
        energy=0.5,
        field=(0.3, 0.1, -0.2),
        current_gradient=gradient,
        kmesh=8,
        temperature=0.1,
    )
    assert density.unit == "1/m^3" and density.error.shape == (6, 6)
    found = HBAR * np.einsum("amn,nm->a", model.operators["L"], density.parts["gradient"]).real
    kappa = bands.orbital_coupling(model, energy=0.5, kmesh=mesh, temperature=0.1).value
    np.testing.assert_allclose(found, np.einsum("jik,ik->j", kappa, gradient), rtol=1e-9)
    # What a uniform field makes is odd in k here: it cancels between k and −k, each about 10¹⁵.
    for part in ("field", "disorder"):
        assert np.abs(density.parts[part]).max() < 1e-10 * 1e15
    # Without inversion it does not; the matrix is Hermitian.
    chern = bands.interband_density(models.GappedLattice(), energy=-2.0, kmesh=12)
    for part in ("field", "disorder"):
        matrix = chern.parts[part]
        assert np.abs(matrix).max() > 1e6
        np.testing.assert_allclose(matrix, matrix.conj().T, atol=1e-10 * np.abs(matrix).max())


def test_kramers_pairs_count_as_spin():
    """Spin in the model or left out: the same rates of scattering, the same densities."""
    pair, single = models.RadialTangential(spin_orbit=0.0), models.RadialTangential()
    gradient = [[0, 2.0], [3.0, 0]]
    one, two = (
        bands.interband_density(m, energy=1.0, current_gradient=gradient, kmesh=16)
        for m in (pair, single)
    )
    for part in one.parts:
        spins = sum(one.parts[part][2 * s : 2 * s + 2, 2 * s : 2 * s + 2] for s in range(2))
        scale = max(np.abs(two.parts[part]).max(), 1e3)
        np.testing.assert_allclose(spins, two.parts[part], atol=1e-9 * scale)
