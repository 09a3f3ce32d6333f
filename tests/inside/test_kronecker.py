"""Scalar forms times angular matrices are the Boltzmann equation as one form."""

from __future__ import annotations

import dolfinx
import numpy as np
import pytest
import ufl
from mpi4py import MPI

from meso.equations import moments
from meso.flow.angular import about, half_range, odd_moments, two_harmonics

SQUARE = dolfinx.mesh.create_unit_square(MPI.COMM_SELF, 2, 3)
N = 6


def dense(form: ufl.Form) -> np.ndarray:
    matrix = dolfinx.fem.assemble_matrix(dolfinx.fem.form(form))
    return matrix.to_dense()


def pair(components: int) -> tuple[ufl.Argument, ufl.Argument]:
    shape = (components,) if components else ()
    space = dolfinx.fem.functionspace(SQUARE, ("P", 2, shape))
    return ufl.TrialFunction(space), ufl.TestFunction(space)


MEMBERS = {
    "hydrodynamic": two_harmonics(2),
    "kinetic": odd_moments([0.0, *np.linspace(1, 2, N)]),
    "in a field": odd_moments([0.0, *np.linspace(1, 2, N)], 0.3),
}


@pytest.mark.parametrize("name", MEMBERS)
def test_conductor(name):
    member = MEMBERS[name]
    n = len(member.relaxation)
    whole = dense(moments.blocked(*pair(n), 2.0, 3.0, member) * ufl.dx)
    stiffness = dense(moments.stiffness(*pair(2), 2.0) * ufl.dx)
    mass = dense(moments.mass(*pair(0), 3.0) * ufl.dx)
    p = len(mass)
    K = stiffness.reshape(p, 2, p, 2)
    made = np.einsum("ijab,piqj->paqb", member.stress, K)
    made += np.einsum("ab,pq->paqb", member.relaxation, mass)
    np.testing.assert_allclose(made.reshape(whole.shape), whole, atol=1e-13 * np.abs(whole).max())


def test_half_range_walls():
    """About any normal they are waves of even orders up to 2N - 2, times constant matrices."""
    orders = range(1, N, 2)
    matrix = half_range(orders, cosines=1 / 0.3, sines=0.3)
    count = 4 * N
    alpha = 2 * np.pi * np.arange(count) / count
    turned = about(np.stack([np.cos(alpha), np.sin(alpha)], axis=-1), orders, matrix)
    u, v = pair(0)
    n = ufl.FacetNormal(SQUARE)
    whole, made = 0.0, 0.0
    for side, at in enumerate((0.0, np.pi / 2, np.pi, -np.pi / 2)):
        normal = np.array([np.cos(at), np.sin(at)])
        flag = ufl.conditional(ufl.gt(ufl.dot(n, ufl.as_vector(normal.tolist())), 0.5), 1.0, 0.0)
        mass = dense(flag * 2.0 * u * v * ufl.ds)
        whole += np.multiply.outer(mass, about(normal, orders, matrix))
        assert np.abs(mass).max() > 0, side
    for order in range(0, 2 * N, 2):
        for odd, wave in ((False, np.cos(order * alpha)), (True, np.sin(order * alpha))):
            if odd and order == 0:
                continue
            part = np.tensordot(wave, turned, 1) * (1 if order == 0 else 2) / count
            form = dense(moments.half_range(u, v, n, 2.0, float(order), odd=odd) * ufl.ds)
            made += np.multiply.outer(form, part)
    np.testing.assert_allclose(made, whole, atol=1e-13 * np.abs(whole).max())
