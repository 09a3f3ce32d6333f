"""Terms that a user adds to hydrodynamic flow, and the magnetic field made of them."""

from __future__ import annotations

import numpy as np
import pytest
import ufl
from conftest import draw, material

from meso import CaseError, Contact, Wall
from meso.flow import Flow, Hydrodynamic, Kinetic

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


def test_what_is_no_term(bar):
    with pytest.raises(CaseError, match=r"terms: wrong returns .*measure"):
        flow(bar, terms=[wrong])
    with pytest.raises(CaseError, match=r"no region 'metall'"):
        flow(bar, terms=[lambda of: of.J[0] * of.w[0] * of.dx("metall")])


def wrong(of):
    return of.J[0]
