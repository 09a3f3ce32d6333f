"""Terms that a user adds to a weak form, and the magnetic field made of them."""

from __future__ import annotations

import shutil
from pathlib import Path

import dolfinx
import numpy as np
import pytest
import ufl
from conftest import GEOMETRIES, draw, material

from meso import Case, CaseError, Contact, Wall, run
from meso.angular_momentum import Diffusion, Surface, Transport
from meso.flow import Flow, Hydrodynamic, Kinetic, Ohmic

FIELD = 0.02  # T: lambda/R_c is 0.3 with the material below
K_F = 1.0e8


def hall(**changes):
    """A material whose Fermi wave vector is known."""
    return material(mean_free_path=100e-9, fermi_wavevector=K_F, **changes)


@pytest.fixture(scope="module")
def bar():
    """A small Hall bar on a mesh of moderate size."""
    return draw("cross", hall(), ("edges",), order=3)


def flow(device, *, law="reservoir", field=0.0, model=Hydrodynamic, **options) -> Flow:
    contacts = {n: Contact(potential=0.0, law=law) for n in device.boundaries if n != "edges"}
    contacts["left"] = Contact(potential=1e-3, law=law)
    return model(
        device,
        materials=dict.fromkeys(device.regions, hall()),
        boundaries={**contacts, "edges": Wall(specularity=0.3)},
        order=3,
        magnetic_field=field,
        **options,
    ).solve()


def test_a_field_is_the_kinetic_model_with_two_harmonics(bar):
    """The same equations by two ways: UFL forms, and angular matrices."""
    two = flow(bar, field=FIELD, model=Kinetic, harmonics=2, solver="direct")
    one = flow(bar, field=FIELD)
    scale = np.abs(two.conductance_matrix).max()
    # Both factorise matrices of a condition of 1e6.
    np.testing.assert_allclose(
        one.conductance_matrix, two.conductance_matrix, rtol=0, atol=1e-10 * scale
    )
    points = np.array([[0.0, 0.0], [20e-9, 10e-9]])
    a, b = (each.sample(points)["current_density"] for each in (one, two))
    np.testing.assert_allclose(a, b, rtol=0, atol=1e-8 * np.abs(b).max())


@pytest.mark.parametrize("law", ["ideal", "reservoir"])
def test_onsager(bar, law):
    """G(B) = G(-B)^T, and the field matters."""
    up, down = (flow(bar, law=law, field=sign * FIELD).conductance_matrix for sign in (1, -1))
    scale = np.abs(up).max()
    np.testing.assert_allclose(up, down.T, rtol=0, atol=1e-10 * scale)
    assert np.abs(up - up.T).max() > 0.01 * scale
    assert np.abs(up.sum(axis=0)).max() < 1e-11 * scale


def test_a_term_is_what_its_equation_says(bar):
    """Twice the resistivity by an added term is the material with half the conductivity."""

    def more_resistance(of):
        return ufl.dot(of.J, of.w) / of.conductivity * of.dx("metal")

    def more_viscosity(of):
        stress = of.diffusion_length**2 / of.conductivity
        strain = ufl.grad(of.J) + ufl.grad(of.J).T - ufl.div(of.J) * ufl.Identity(2)
        return stress * ufl.inner(strain, ufl.grad(of.w)) * of.dx

    def more_friction(of):
        # s = (16/3 pi) gamma (1 - p)/(1 + p)/lambda with gamma = 1/2 and p = 0.3
        s = of.material(lambda m: m.slip_rate(0.3))
        stress = of.diffusion_length**2 / of.conductivity
        tangent = ufl.as_vector((-of.n[1], of.n[0]))
        return stress * s * ufl.dot(of.J, tangent) * ufl.dot(of.w, tangent) * of.ds("edges")

    def more_steps(of):
        names = [n for n in bar.boundaries if n != "edges"]
        step = of.material(lambda m: m.contact_step) / of.conductivity
        slip = of.material(lambda m: m.slip_rate(0.0)) * of.diffusion_length**2 / of.conductivity
        J_n, w_n = ufl.dot(of.J, of.n), ufl.dot(of.w, of.n)
        along = ufl.dot(of.J, of.w) - J_n * w_n
        return (step * J_n * w_n + slip * along) * of.ds(*names)

    plain = flow(bar)
    double = flow(bar, terms=[more_resistance, more_viscosity, more_friction, more_steps])
    scale = np.abs(plain.conductance_matrix).max()
    # Penalties and the augmentation, which vanish with div J and J.n, are not doubled.
    np.testing.assert_allclose(
        2 * double.conductance_matrix, plain.conductance_matrix, rtol=0, atol=1e-4 * scale
    )


def test_a_load_drives_a_current_without_voltages(bar):
    """A uniform force F in a device at one potential: what a gradient of potential would drive."""

    def force(of):
        return -1e3 * of.w[0] * of.dx

    contacts = {n: Contact(potential=0.0) for n in bar.boundaries if n != "edges"}
    driven = Hydrodynamic(
        bar,
        materials=dict.fromkeys(bar.regions, hall()),
        boundaries={**contacts, "edges": Wall(specularity=0.3)},
        order=3,
        terms=[force],
    ).solve()
    # F.w is the gradient of F x: the same flow as that of potentials -F x at the ends, but for the
    # contacts above and below, which are at the mean of their x.
    # The mesh does not know of the mirror: its error.
    assert driven.contacts["left"].current == pytest.approx(
        -driven.contacts["right"].current, rel=1e-5
    )
    assert driven.contacts["left"].current > 0
    assert driven.sum_of_currents < 1e-9


# --- ohmic flow and angular momentum


@pytest.fixture(scope="module")
def strip():
    """200 nm by 100 nm, current along x."""
    return draw("ribbon", material(), ("edges",), order=3)


def ohmic(device, potential=1e-3, **options) -> Flow:
    ends = {"source": Contact(potential=potential), "drain": Contact(potential=0.0)}
    walls = {n: Wall(specularity=0.0) for n in device.boundaries if n not in ends}
    materials = dict.fromkeys(device.regions, material())
    return Ohmic(device, materials=materials, boundaries={**ends, **walls}, **options).solve()


def size(device) -> tuple[float, float]:
    """Distance of the contacts and width, m."""
    one = dolfinx.fem.Constant(device.mesh, 1.0)
    width = device.integrate(one * device.ds("source"))
    return device.integrate(one * device.dx) / width, width


def test_a_leak_of_ohmic_flow(strip):
    """-div(sigma grad phi) = -g phi, closed form; currents are those of the contacts."""
    length, width = size(strip)
    sigma, kappa = material().conductivity, 1.7 / length
    leak = kappa**2 * sigma

    def leaking(of):
        return kappa**2 * of.conductivity * of.phi * of.psi * of.dx

    flow = ohmic(strip, terms=[leaking], order=4)
    entering = sigma * width * 1e-3 * kappa / np.tanh(1.7)
    leaving = sigma * width * 1e-3 * kappa / np.sinh(1.7)
    assert flow.contacts["source"].current == pytest.approx(entering, rel=1e-9)
    assert flow.contacts["drain"].current == pytest.approx(-leaving, rel=1e-9)
    lost = strip.integrate(leak * flow.potential * strip.dx)
    assert lost == pytest.approx(entering - leaving, rel=1e-9)
    # The same matrix by hand, times two.
    twice = ohmic(
        strip,
        terms=[lambda of: of.conductivity * ufl.dot(ufl.grad(of.phi), ufl.grad(of.psi)) * of.dx],
    )
    plain = ohmic(strip)
    np.testing.assert_allclose(twice.conductance_matrix, 2 * plain.conductance_matrix, rtol=1e-12)


def test_a_source_of_ohmic_flow(strip):
    """div J = q between grounded contacts: half of it leaves through each."""
    length, width = size(strip)
    flow = ohmic(strip, 0.0, terms=[lambda of: -3.0 * of.psi * of.dx])
    out = [flow.contacts[n].current for n in ("source", "drain")]
    np.testing.assert_allclose(out, -1.5 * length * width, rtol=1e-9)


def diffusion(device, relaxation, **options) -> Diffusion:
    """Two components that precess into each other and drift, absorbed at the walls."""
    D = np.einsum("ik,ab->iakb", np.eye(3), [[3e-4, 1e-4], [0.0, 2e-4]])
    hall = np.zeros((3, 2, 3))
    hall[1, 0, 0] = 1e-12
    transport = Transport(diffusivity=D, relaxation=relaxation, hall=hall)
    return Diffusion(
        device,
        components=("spin_z", "orbital_z"),
        materials=dict.fromkeys(device.regions, transport),
        surfaces={"edges": Surface(velocity=1e3)},
        order=3,
        **options,
    )


RATES = np.array([[2e12, -1e12], [5e11, 1e12]])


def test_terms_of_angular_momentum(strip):
    """Relaxation by a term is relaxation, a load is a source, and both are in the balance."""

    def part(of):
        lost = ufl.dot(of.v, ufl.as_matrix((0.5 * RATES).tolist()) * of.omega)
        return (lost - (2e9 * of.v[0] - 1e9 * of.v[1])) * of.dx

    field = (1e5, 0.0, 0.0)
    added = diffusion(strip, RATES / 2, terms=[part]).solve(field)
    whole = diffusion(strip, RATES).solve(
        field, source=lambda x, _: np.broadcast_to([2e9, -1e9], (*x.shape[:2], 2))
    )
    points = np.array([[0.0, 0.0], [30e-9, 49e-9]])
    one, two = added.sample(points), whole.sample(points)
    for name, values in two.items():
        np.testing.assert_allclose(one[name], values, rtol=1e-9, atol=1e-9 * np.abs(values).max())
    assert np.abs(added.imbalance).max() < 1e-9


CASE = """
[geometry]
file = "ribbon.geo"
length_unit = "nm"
[mesh]
size = "50 nm"
[flow]
model = "hydrodynamic"
[materials.sheet]
carriers = "2d"
conductivity = "20 mS"
mean_free_path = "10 nm"
scattering = "radial-tangential"
[regions]
metal = "sheet"
[boundaries]
source = { contact = { potential = "1 mV" } }
drain = { contact = { potential = "0 V" } }
edges = { wall = { specularity = 1.0 } }
"""


@pytest.fixture
def case(tmp_path) -> Path:
    """Plug flow: the current is that of Ohm's law in all models."""
    shutil.copy(GEOMETRIES / "ribbon.geo", tmp_path)
    path = tmp_path / "case.toml"
    path.write_text(CASE)
    return path


@pytest.mark.parametrize("model", ["ohmic", "hydrodynamic"])
def test_terms_through_a_case(case, model):
    """The same case, mesh and contacts, with half the conductivity by a term."""

    def resistance(of):
        return ufl.dot(of.J, of.w) / of.conductivity * of.dx

    def conductance(of):
        return -0.5 * of.conductivity * ufl.dot(ufl.grad(of.phi), ufl.grad(of.psi)) * of.dx

    term = conductance if model == "ohmic" else resistance
    loaded = Case.load(case, {"flow.model": model})
    plain, half = (run(loaded, terms=terms).flow for terms in ((), [term]))
    assert half.contacts["source"].current == pytest.approx(
        plain.contacts["source"].current / 2, rel=1e-10
    )


def test_cases_that_take_no_terms(case):
    nothing = [lambda of: 0.0 * of.psi * of.dx]
    with pytest.raises(CaseError, match=r"flow\.model: the kinetic model takes no added terms"):
        run(Case.load(case, {"flow.model": "kinetic"}), terms=nothing)
    with pytest.raises(CaseError, match=r"angular_momentum: missing"):
        run(Case.load(case), angular_momentum_terms=nothing)


def test_what_is_no_term(bar):
    with pytest.raises(CaseError, match=r"terms: wrong returns .*measure"):
        flow(bar, terms=[wrong])
    with pytest.raises(CaseError, match=r"no region 'metall'"):
        flow(bar, terms=[lambda of: of.J[0] * of.w[0] * of.dx("metall")])


def wrong(of):
    return of.J[0]
