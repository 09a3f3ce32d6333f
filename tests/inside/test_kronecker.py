"""Scalar forms times angular matrices are the Boltzmann equation as one form."""

from __future__ import annotations

import dolfinx
import numpy as np
import pytest
import ufl
from conftest import draw, material

from meso.discrete.cells import space
from meso.equations import moments
from meso.flow.angular import half_range, harmonics, two_harmonics
from meso.flow.basis import Circle, Tabulated, Turned
from meso.flow.kronecker import Kronecker, half_range_terms, on_boundary, scalar_matrices
from meso.flow.sphere import Section

N = 6
RATES = {f"gamma{m}": rate for m, rate in enumerate(np.linspace(1, 2, N), 1) if m > 1}
MEMBERS = {
    "hydrodynamic": two_harmonics(2),
    "kinetic": Circle(N).moments(material(scattering=RATES)),
    "isotropic": Circle(N).moments(material()),
    "in a field": Circle(N).moments(material(scattering=RATES), 0.3),
}


@pytest.fixture(scope="module")
def device():
    """With curved walls."""
    return draw("annulus", material(mean_free_path=40e-9), ("inner", "outer"), order=2)


@pytest.mark.parametrize("name", MEMBERS)
def test_conductor(device, name):
    member = MEMBERS[name]
    n = len(member.relaxation)
    fields = space(device, "Lagrange", 2, n)
    u, v = ufl.TrialFunction(fields), ufl.TestFunction(fields)
    form = moments.blocked(u, v, 2.0, 3.0 / device.extent**2, member) * device.dx(degree=4)
    matrix = dolfinx.fem.assemble_matrix(dolfinx.fem.form(form)).to_scipy()
    scalars = scalar_matrices(
        device,
        2,
        np.zeros(len(device.regions), int),
        lambda cells, _: np.full(len(cells), 2.0),
        lambda cells, _: np.full(len(cells), 3.0),
    )
    system = Kronecker(scalars, [member], [])
    x = np.random.default_rng(1).normal(size=(scalars[0].size, n))
    whole = (matrix @ x.ravel()).reshape(x.shape)
    close = {"atol": 1e-12 * np.abs(whole).max(), "rtol": 0}
    np.testing.assert_allclose(system(x), whole, **close)
    np.testing.assert_allclose(system.prepared()(x.T).T, whole, **close)
    explicit = system.explicit(np.arange(n)) @ x.ravel()
    np.testing.assert_allclose(explicit.reshape(x.shape), whole, **close)
    left, only = np.ones(x.T.shape), np.where(np.arange(n) < 2, 0.0, x)
    system.coupling(np.arange(2), np.arange(2, n))(x.T, left)
    wanted = np.where(np.arange(n) < 2, 1.0 - system(only), 1.0)
    np.testing.assert_allclose(left.T, wanted, **close)


@pytest.mark.parametrize("orders", [range(1, N, 2), range(0, N, 2)])
def test_half_range_walls(device, orders):
    """The mean of |n.p| h^2 over all directions, by quadrature, along a curved wall."""
    matrix = half_range(orders, cosines=1.0, sines=1.0)
    (term,) = half_range_terms(
        device, 2, {"outer": Turned(matrix, orders)}, lambda on: 2 + 0 * on.weight
    )
    x = np.random.default_rng(2).normal(size=(term.trace.shape[1], len(matrix)))
    y = np.zeros_like(x)
    term.add(x, y)
    np.testing.assert_allclose(
        (term.explicit(np.arange(len(matrix))) @ x.ravel()).reshape(x.shape), y, atol=1e-12
    )
    trace, geometry = on_boundary(device, 2, "outer")
    angles = 2 * np.pi * (np.arange(4000) + 0.5) / 4000
    h = (trace @ x) @ harmonics(orders, angles)
    direction = np.array([np.cos(angles), np.sin(angles)])
    absolute = np.abs(geometry.normal.reshape(-1, 2) @ direction)
    wanted = 2 * geometry.weight.ravel() @ (absolute * h**2).mean(axis=1)
    assert np.vdot(x, y) == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("name", ["outer", "source"])
def test_tables_of_normals(device, name):
    """A matrix for each normal is the one that turns with it, on curved and straight boundaries."""
    turned = Circle(N).wall(2.0, 0.5)
    columns = np.arange(2, N)
    even = Circle(N - 2).even_wall(2.0, 0.5)
    laws = [turned, Tabulated(turned.at), turned.without(2), Tabulated(turned.at).without(2)]
    terms = [
        half_range_terms(device, 2, {name: law}, lambda on: 1 + 0 * on.weight)[0]
        for law in (*laws, even.levelled(), Tabulated(even.at).levelled())
    ]
    x = np.random.default_rng(3).normal(size=(terms[0].trace.shape[1], N))
    for one, two in zip(terms[::2], terms[1::2], strict=True):
        found = np.zeros_like(x), np.zeros_like(x)
        one.add(x, found[0])
        two.add(x, found[1])
        np.testing.assert_allclose(found[1], found[0], atol=1e-12)
        for first, second in (
            (one.explicit(columns).tocsr(), two.explicit(columns).tocsr()),
            (one.mean(columns), two.mean(columns)),
        ):
            assert abs(first - second).max() < 1e-12 * abs(first).max()


def test_sphere():
    """Moments of each L; the half-range matrix of m = 1 about an axis along the normal.

    Axes along z and along the normal are two bases of the same functions: the eigenvalues of what
    walls do agree. About the normal, m = 0 is among the cosines, m = 1 among the sines.
    """
    assert [Section(n).count for n in (2, 4, 6, 8, 10, 16)] == [2, 6, 12, 20, 30, 72]
    matrix = Section(4).odd.half_range(1.0, 1.0)
    tangential = np.array([[3 / 8, 14**0.5 / 16], [14**0.5 / 16, 77 / 128]])
    found = np.linalg.eigvalsh(matrix[1::2, 1::2])
    for value in np.linalg.eigvalsh(tangential):
        assert np.abs(found - value).min() < 1e-14
    along = np.array([[3 / 4, 21**0.5 / 24], [21**0.5 / 24, 21 / 32]])
    found = np.linalg.eigvalsh(matrix[::2, ::2])
    for value in np.linalg.eigvalsh(along):
        assert np.abs(found - value).min() < 1e-14
