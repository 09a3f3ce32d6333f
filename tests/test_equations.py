"""The equations as they can be read: by hand with NumPy, and as what the solvers solve.

A solver numbers, condenses and glues; the weak form is assembled here by DOLFINx alone, with the
functions that a user gets, and must vanish.
"""

from __future__ import annotations

import dolfinx
import numpy as np
import pytest
import ufl
from conftest import draw, material, mesh_file
from mpi4py import MPI

from meso import Contact, Device, Wall
from meso.angular_momentum import Diffusion, Surface, Transport
from meso.equations import (
    angular_momentum,
    contacts,
    dissipation,
    hydrodynamic,
    moments,
    ohmic,
    vorticity,
    walls,
)
from meso.flow import Hydrodynamic, Ohmic

# --- each function against NumPy, on the unit square
# J = (x^2 + 2 y, x y - y^2), w = (y, x^2), phi = x y, psi = 1 + x, and their derivatives d_i J_k.


def J(x, y):
    return np.array([x**2 + 2 * y, x * y - y**2])


def dJ(x, y):
    return np.array([[2 * x, y], [2 + 0 * x, x - 2 * y]])


def w(x, y):
    return np.array([y, x**2])


def dw(x, y):
    return np.array([[0 * x, 2 * x], [1 + 0 * x, 0 * x]])


def div(d):
    return d[0, 0] + d[1, 1]


def strain(d):
    out = d + d.swapaxes(0, 1)
    out[0, 0] -= div(d)
    out[1, 1] -= div(d)
    return out


def turned(d):
    return np.array([[-d[1, 0], -d[1, 1]], [d[0, 0], d[0, 1]]])


def double(a, b):
    return (a * b).sum(axis=(0, 1))


def in_square(f):
    """Gauss's rule on the square, exact for these polynomials."""
    s, weight = np.polynomial.legendre.leggauss(6)
    x, y = np.meshgrid((s + 1) / 2, (s + 1) / 2)
    return float((np.multiply.outer(weight, weight) / 4 * f(x, y)).sum())


def on_right(f):
    """On the side x = 1, with the normal (1, 0) and the tangent (0, 1)."""
    s, weight = np.polynomial.legendre.leggauss(6)
    y = (s + 1) / 2
    return float((weight / 2 * f(1 + 0 * y, y)).sum())


def traction(d):
    """(grad J + grad J^T) n on the right."""
    return np.array([2 * d[0, 0], d[0, 1] + d[1, 0]])


#: Tensors of two components of angular momentum, without any symmetry.
D = np.random.default_rng(1).standard_normal((2, 2, 2, 2))
THETA = np.random.default_rng(2).standard_normal((2, 2, 3))

#: The function with its arguments beside the trial and test functions, and its value.
IN_SQUARE = {
    "relaxation": (
        lambda f: hydrodynamic.relaxation(f.J, f.w, 3.0),
        lambda x, y: 3 * (J(x, y) * w(x, y)).sum(axis=0),
    ),
    "viscosity": (
        lambda f: hydrodynamic.viscosity(f.J, f.w, 3.0),
        # grad w of UFL is the transpose; the strain is symmetric.
        lambda x, y: 3 * double(strain(dJ(x, y)), dw(x, y)),
    ),
    "augmentation": (
        lambda f: hydrodynamic.augmentation(f.J, f.w, 3.0),
        lambda x, y: 3 * div(dJ(x, y)) * div(dw(x, y)),
    ),
    "continuity": (
        lambda f: hydrodynamic.continuity(f.J, f.psi),
        lambda x, y: -(1 + x) * div(dJ(x, y)),
    ),
    "Hall viscosity": (
        lambda f: hydrodynamic.hall_viscosity(f.J, f.w, 3.0),
        lambda x, y: 3 * double(turned(strain(dJ(x, y))), dw(x, y).swapaxes(0, 1)),
    ),
    "Lorentz force": (
        lambda f: hydrodynamic.lorentz(f.J, f.w, 3.0),
        lambda x, y: 3 * (J(x, y)[1] * w(x, y)[0] - J(x, y)[0] * w(x, y)[1]),
    ),
    "conduction": (
        lambda f: ohmic.conduction(f.phi, f.psi, 3.0),
        lambda x, y: 3 * y,
    ),
    "current density": (
        lambda f: ufl.dot(ohmic.current_density(f.phi, 3.0), f.w),
        lambda x, y: -3 * (y * w(x, y)[0] + x * w(x, y)[1]),
    ),
    "stiffness": (
        lambda f: moments.stiffness(f.J, f.w, 3.0),
        lambda x, y: 3 * div(dJ(x, y)) * div(dw(x, y)),
    ),
    "mass": (
        lambda f: moments.mass(f.phi, f.psi, 3.0),
        lambda x, y: 3 * x * y * (1 + x),
    ),
    "dissipation": (
        lambda f: dissipation.in_conductor(f.J, 3.0, 5.0),
        lambda x, y: (
            3 * (J(x, y) ** 2).sum(axis=0) + 2.5 * double(strain(dJ(x, y)), strain(dJ(x, y)))
        ),
    ),
    "ohmic heat": (
        lambda f: dissipation.ohmic(f.J, 3.0),
        lambda x, y: 3 * (J(x, y) ** 2).sum(axis=0),
    ),
    "squared divergence": (
        lambda f: dissipation.divergence(f.J),
        lambda x, y: div(dJ(x, y)) ** 2,
    ),
    "coupling": (
        lambda f: dissipation.coupling(f.J, f.phi),
        lambda x, y: x * y * div(dJ(x, y)),
    ),
    "angular-momentum diffusion": (
        lambda f: angular_momentum.diffusion(f.J, f.w, D),
        lambda x, y: np.einsum("iakb,iaxy,kbxy->xy", D, dw(x, y), dJ(x, y)),
    ),
    "angular-momentum relaxation": (
        lambda f: angular_momentum.relaxation(f.J, f.w, D[0, :, 1]),
        lambda x, y: np.einsum("ab,axy,bxy->xy", D[0, :, 1], w(x, y), J(x, y)),
    ),
    "Hall current of angular momentum": (
        lambda f: angular_momentum.hall_current(f.w, f.J, THETA),
        lambda x, y: np.einsum("iak,iaxy,kxy->xy", THETA[..., :2], dw(x, y), J(x, y)),
    ),
    "inverse current": (
        lambda f: ufl.dot(angular_momentum.inverse_current(f.J, THETA), f.w),
        lambda x, y: np.einsum("iak,iaxy,kxy->xy", THETA[..., :2], dJ(x, y), w(x, y)),
    ),
    "vorticity": (
        lambda f: vorticity.vorticity(f.J, -2.0) * f.psi,
        lambda x, y: (y - 2) / -2 * (1 + x),
    ),
    "orbital density": (
        lambda f: vorticity.orbital_density(f.J, 3.0) * f.psi,
        lambda x, y: 3 * (y - 2) * (1 + x),
    ),
    "orbital density of a crystal": (
        lambda f: vorticity.orbital_density(f.J, ufl.as_tensor(THETA[:, :2, :2].tolist()))[1],
        lambda x, y: np.einsum("ik,ikxy->xy", THETA[1, :2, :2], dJ(x, y)),
    ),
}
ON_RIGHT = {
    "friction": (
        lambda f: walls.friction(f.J, f.w, f.n, 3.0, 5.0),
        lambda x, y: 15 * J(x, y)[1] * w(x, y)[1],
    ),
    "penalty": (
        lambda f: walls.penalty(f.J, f.w, f.n, 3.0),
        lambda x, y: 3 * J(x, y)[0] * w(x, y)[0],
    ),
    "level": (
        lambda f: walls.impenetrable(f.J, f.psi, f.n),
        lambda x, y: (1 + x) * J(x, y)[0],
    ),
    "ideal contact": (
        lambda f: contacts.ideal(f.J, f.w, f.n, 3.0, 5.0),
        lambda x, y: (
            3
            * (
                5 * J(x, y)[1] * w(x, y)[1]
                - traction(dJ(x, y))[1] * w(x, y)[1]
                - traction(dw(x, y))[1] * J(x, y)[1]
            )
        ),
    ),
    "Nitsche's wall": (
        lambda f: contacts.impenetrable(f.J, f.w, f.n, 3.0, 5.0),
        lambda x, y: (
            5 * J(x, y)[0] * w(x, y)[0]
            - 3 * traction(dJ(x, y))[0] * w(x, y)[0]
            - 3 * traction(dw(x, y))[0] * J(x, y)[0]
        ),
    ),
    "reservoir": (
        lambda f: contacts.reservoir(f.J, f.w, f.n, 3.0, 5.0, 7.0),
        lambda x, y: 7 * J(x, y)[0] * w(x, y)[0] + 15 * J(x, y)[1] * w(x, y)[1],
    ),
    "port": (
        lambda f: contacts.potential(f.w, f.n) * f.phi,
        lambda x, y: w(x, y)[0] * x * y,
    ),
    "heat of a wall": (
        lambda f: walls.friction(f.J, f.J, f.n, 3.0, 5.0),
        lambda x, y: 15 * J(x, y)[1] ** 2,
    ),
    "heat of a reservoir": (
        lambda f: contacts.reservoir(f.J, f.J, f.n, 3.0, 5.0, 7.0),
        lambda x, y: 15 * J(x, y)[1] ** 2 + 7 * J(x, y)[0] ** 2,
    ),
}


class Square:
    """The polynomials as functions on the unit square."""

    def __init__(self) -> None:
        self.mesh = dolfinx.mesh.create_unit_square(MPI.COMM_SELF, 2, 2)
        self.n = ufl.FacetNormal(self.mesh)
        right = dolfinx.mesh.locate_entities_boundary(self.mesh, 1, lambda x: np.isclose(x[0], 1.0))
        tags = dolfinx.mesh.meshtags(self.mesh, 1, np.sort(right), np.ones(len(right), np.int32))
        self.ds = ufl.Measure("ds", domain=self.mesh, subdomain_data=tags)(1)
        self.J, self.w = (self.function(f, (2,)) for f in (J, w))
        self.phi, self.psi = (
            self.function(f, ()) for f in (lambda x, y: x * y, lambda x, y: 1 + x)
        )

    def function(self, values, shape):
        out = dolfinx.fem.Function(dolfinx.fem.functionspace(self.mesh, ("P", 2, shape)))
        out.interpolate(lambda x: values(x[0], x[1]))
        return out


@pytest.fixture(scope="module")
def square():
    return Square()


@pytest.mark.parametrize("name", IN_SQUARE)
def test_in_the_conductor(square, name):
    term, value = IN_SQUARE[name]
    found = dolfinx.fem.assemble_scalar(dolfinx.fem.form(term(square) * ufl.dx))
    assert found == pytest.approx(in_square(value), rel=1e-12)


@pytest.mark.parametrize("name", ON_RIGHT)
def test_on_a_boundary(square, name):
    term, value = ON_RIGHT[name]
    found = dolfinx.fem.assemble_scalar(dolfinx.fem.form(term(square) * square.ds))
    assert found == pytest.approx(on_right(value), rel=1e-12)


DISC = """SetFactory("OpenCASCADE");
Disk(1) = {0, 0, 0, 2};
Physical Surface("metal") = {1};
Physical Curve("rim") = {1};
"""


def test_shape_operator(tmp_path):
    """On a disc of radius two: 1/2 along the wall, nothing across it."""
    path = mesh_file(tmp_path / "disc.msh", DISC, degree=4, size=0.5)
    device = Device.from_gmsh(path, length_unit="m")
    n = walls.normal(device.mesh.ufl_domain())
    ds = device.ds("rim", degree=12)
    S = walls.shape_operator(n)
    length = device.integrate(ufl.dot(n, n) * ds)
    # The geometry's own error: cells of degree four, a quarter of a radian each.
    assert device.integrate(ufl.tr(S) * ds) == pytest.approx(length / 2, rel=1e-5)
    assert device.integrate(ufl.dot(S * n, S * n) * ds) < 1e-24 * length
    # What the literal law adds acts on the current along the wall.
    t = ufl.as_vector((-n[1], n[0]))
    assert device.integrate(walls.curvature(t, t, n, 3.0) * ds) == pytest.approx(
        1.5 * length, rel=1e-5
    )


# --- what the solvers solve


@pytest.fixture(scope="module")
def strip():
    """200 nm by 100 nm, straight cells."""
    return draw("ribbon", metal(), ("edges",), order=3)


def metal():
    return material(mean_free_path=40e-9)


def inner_residual(device, form, degree: int, shape: tuple[int, ...], fixed: tuple[str, ...]):
    """The linear form on P_k, without the nodes of some boundaries, and its size."""
    space = dolfinx.fem.functionspace(device.mesh, ("P", degree, shape))
    test = ufl.TestFunction(space)
    vector = dolfinx.fem.assemble_vector(dolfinx.fem.form(form(test)))
    vector.scatter_reverse(dolfinx.la.InsertMode.add)
    values = vector.array.reshape(-1, *shape)[: space.dofmap.index_map.size_local].copy()
    size = np.abs(values).max()
    d, topology = device.dimension, device.mesh.topology
    topology.create_connectivity(d, d - 1)
    topology.create_connectivity(d - 1, d)
    of_cell = topology.connectivity(d, d - 1).array.reshape(-1, d + 1)
    for name in fixed:
        cell, facet = device.ds.entities[name].reshape(-1, 2).T
        values[dolfinx.fem.locate_dofs_topological(space, d - 1, of_cell[cell, facet])] = 0.0
    return np.abs(values).max(), size


def test_ohmic_flow_solves_the_equation(strip):
    ends = {"source": Contact(potential=1e-3), "drain": Contact(potential=0.0)}
    boundaries = {**ends, "edges": Wall(specularity=0.0)}
    flow = Ohmic(strip, materials={"metal": metal()}, boundaries=boundaries, order=3).solve()
    sigma = metal().conductivity

    def form(psi):
        return ohmic.conduction(flow.potential, psi, sigma) * strip.dx

    rest, size = inner_residual(strip, form, 3, (), tuple(ends))
    # The reaction at the contacts is the current.
    assert rest < 1e-10 * size


@pytest.mark.parametrize("law", ["ideal", "reservoir"])
def test_hydrodynamic_flow_solves_the_equations(strip, law):
    """Inside; what walls and contacts do is tested against closed forms."""
    matter = metal()
    flow = Hydrodynamic(
        strip,
        materials={"metal": matter},
        boundaries={
            "source": Contact(potential=1e-3, law=law),
            "drain": Contact(potential=0.0, law=law),
            "edges": Wall(specularity=0.2),
        },
        order=3,
    ).solve()
    J, phi = flow.current_density, flow.potential
    sigma, stress = matter.conductivity, matter.vorticity_diffusion_length**2 / matter.conductivity
    h2 = 0.5 * ufl.CellVolume(strip.mesh)

    def momentum(w):
        terms = (
            hydrodynamic.relaxation(J, w, 1 / sigma)
            + hydrodynamic.viscosity(J, w, stress)
            + hydrodynamic.augmentation(J, w, h2 / sigma)
            + hydrodynamic.continuity(w, phi)
        )
        return terms * strip.dx

    rest, size = inner_residual(strip, momentum, 3, (2,), ("source", "drain", "edges"))
    # Rounding of derivatives, in cells at corners that are a millionth of the width.
    assert rest < 1e-7 * size
    # Tested with the potential's own space, also on walls and contacts: div J = 0.
    rest, _ = inner_residual(
        strip, lambda psi: hydrodynamic.continuity(J, psi) * strip.dx, 2, (), ()
    )
    through = flow.contacts["source"].current
    assert rest < 1e-12 * through


def test_angular_momentum_solves_the_equation(strip):
    """All components with tensors without symmetry, on a Hall current, absorbing walls."""
    random = np.random.default_rng(3)
    n = 2
    D = 2e-4 * (np.eye(3 * n) + 0.1 * random.standard_normal((3 * n, 3 * n))).reshape(3, n, 3, n)
    T = 1e12 * (np.eye(n) + 0.2 * random.standard_normal((n, n)))
    hall = 1e-12 * random.standard_normal((3, n, 3))
    problem = Diffusion(
        strip,
        components=("spin_z", "orbital_z"),
        materials={"metal": Transport(diffusivity=D, relaxation=T, hall=hall)},
        surfaces={"edges": Surface(velocity=1e3)},
        order=3,
    )
    field = (1e5, 2e4, 0.0)
    omega = problem.solve(field).potential.function()

    def form(v):
        inside = (
            angular_momentum.diffusion(omega, v, D[:2, :, :2])
            + angular_momentum.relaxation(omega, v, T)
            - angular_momentum.hall_current(v, field, hall[:2])
        )
        at_wall = angular_momentum.relaxation(omega, v, 1e3 * np.eye(n))
        return inside * strip.dx + at_wall * strip.ds("edges")

    rest, _ = inner_residual(strip, form, 3, (n,), ())
    _, size = inner_residual(
        strip, lambda v: angular_momentum.hall_current(v, field, hall[:2]) * strip.dx, 3, (n,), ()
    )
    assert rest < 1e-10 * size


def test_power(strip):
    """What contacts put in is what the conductor, its walls and reservoirs dissipate."""
    matter = metal()
    flow = Hydrodynamic(
        strip,
        materials={"metal": matter},
        boundaries={
            "source": Contact(potential=1e-3, law="reservoir"),
            "drain": Contact(potential=0.0, law="reservoir"),
            "edges": Wall(specularity=0.2),
        },
        order=6,
    ).solve()
    J, n, sigma = flow.current_density, strip.n, matter.conductivity
    stress = matter.vorticity_diffusion_length**2 / sigma
    inside = dissipation.in_conductor(J, 1 / sigma, stress) * strip.dx
    wall = walls.friction(J, J, n, stress, matter.slip_rate(0.2)) * strip.ds("edges")
    reservoir = contacts.reservoir(
        J, J, n, stress, matter.slip_rate(0.0), matter.contact_step / sigma
    ) * strip.ds("source", "drain")
    heat = strip.integrate(inside + wall + reservoir)
    # Of the mesh: corners between reservoirs and walls.
    assert heat == pytest.approx(flow.dissipated_power, rel=1e-6)
