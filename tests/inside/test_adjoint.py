"""Derivatives of flows: against differences on the moved mesh, and closed forms of a ribbon."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import dolfinx
import numpy as np
import pytest
import ufl
from conftest import GEOMETRIES, material

from meso import Contact, Device, Periodic, Wall
from meso.equations.hydrodynamic import hall_viscosity
from meso.flow import Flow, Hydrodynamic, Kinetic, Ohmic
from meso.moment_gradients import has_gradient, moment_gradient
from meso.orbital import edge_moments, orbital_density, vorticity
from meso.sensitivities import Sensitivity

#: Which material each region has.
CLEAN, DIRTY = material(mean_free_path=80e-9), material(mean_free_path=20e-9, conductivity=5e-3)


TENSOR = 1e-33 * np.arange(27.0).reshape(3, 3, 3)


class Example:
    """A device with everything that may be differentiated."""

    def __init__(
        self, name: str, model: str, order: int, *, tensor: bool = False, **options
    ) -> None:
        self.device = Device.from_gmsh(GEOMETRIES / f"{name}.geo", length_unit="nm", order=order)
        self.model = {"ohmic": Ohmic, "kinetic": Kinetic}.get(model, Hydrodynamic)
        self.options = {"harmonics": 4, **options} if model == "kinetic" else options
        self.materials = dict(zip(self.device.regions, (CLEAN, DIRTY), strict=False))
        if "magnetic_field" in options:
            self.materials = {
                n: replace(m, fermi_wavevector=1e9) for n, m in self.materials.items()
            }
        if tensor:
            self.materials = {n: material(orbital_coupling=TENSOR) for n in self.device.regions}
        if self.device.dimension == 3:
            three = {"carriers": "3d", "scattering": "isotropic"}
            self.materials = {name: material(**three) for name in self.device.regions}
        self.laws = self.laws_of(1e-3, 2e-8)

    def laws_of(self, potential: float, current: float) -> dict:
        laws: dict = {}
        ohmic = self.model is Ohmic
        for name in self.device.boundaries:
            if name == "left":
                laws[name] = Periodic(to="right", voltage=potential)
            elif name in ("source", "drain"):
                laws[name] = Contact(potential=potential if name == "source" else 0.0)
            elif name == "probe1" and not ohmic:
                laws[name] = Contact(current=current, law="reservoir")
            elif name.startswith("probe"):
                laws[name] = Contact(current=current if name == "probe1" else 0.0)
            elif name != "right":
                literal = name in ("lower", "constriction")
                laws[name] = Wall(specularity=0.3, law="literal" if literal else "traction")
        return laws

    def solve(self, device: Device | None = None, **changes) -> Flow:
        given = {"materials": self.materials, "boundaries": self.laws, **self.options, **changes}
        keep = given.pop("keep", False)
        device = device or self.device
        return self.model(device, order=device.order, **given).solve(keep=keep)

    def of_coefficients(self, found: Sensitivity, flow: Flow, change: Callable) -> float:
        """Derivative for a change of materials and laws, from t to both."""
        regions, boundaries = found.over_regions(self.device), found.over_boundaries(self.device)
        adjoint, total, h = flow.adjoint, 0.0, 1e-4
        (materials, laws), (before, old) = change(h), change(-h)
        for region, values in regions.items():
            pair = [adjoint.coefficients(m[region]) for m in (materials, before)]
            total += sum(values[key] * (pair[0][key] - pair[1][key]) for key in pair[0])
        for (name, region), values in boundaries.items():
            if name in laws:
                pair = [
                    adjoint.wall_coefficients(law[name], m[region])
                    for law, m in ((laws, materials), (old, before))
                ]
                total += sum(values[key] * (pair[0][key] - pair[1][key]) for key in pair[0])
        return total / (2 * h)


def slope(of: Callable[[float], float], step: float) -> float:
    """Derivative at zero by differences."""
    return (of(step) - of(-step)) / (2 * step)


def motion(device: Device, *, periodic: bool = False) -> np.ndarray:
    """A motion of the nodes, without a symmetry of the device, m."""
    x = device.mesh.geometry.x[:, : device.dimension] / device.extent
    first = np.sin(2 * x[:, 0] + x[:, 1])
    if periodic:  # both sides move alike
        length = np.ptp(x[:, 0])
        first = np.sin(2 * np.pi * x[:, 0] / length) + 0.3 * x[:, 1]
    second = np.cos(x[:, 1] - (0 if periodic else 3) * x[:, 0])
    rest = [0.5 * x[:, 2] * (1 + first)] if device.dimension == 3 else []
    return 0.1 * device.extent * np.column_stack([first, second, *rest])


def weights(flow: Flow) -> tuple[np.ndarray, np.ndarray]:
    """Numbers for the values of J and phi at the nodes of cells."""
    out = []
    for name, size in (("current_density", 1e-3), ("potential", 10.0)):
        values = flow.fields[name].values
        at = np.arange(values[0].size if len(values) else 0).reshape(values.shape[1:])
        size *= name == "current_density" or bool(flow.contacts)  # else nothing fixes its level
        out.append(size * np.broadcast_to(np.sin(1.0 + at), values.shape))
    return out[0], out[1]


def functional(flow: Flow, current: np.ndarray, potential: np.ndarray) -> float:
    fields = flow.fields["current_density"].values, flow.fields["potential"].values
    local = (current * fields[0]).sum() + (potential * fields[1]).sum()
    return float(flow.device.comm.allreduce(float(local)))


def turned(of) -> ufl.Form:
    """A term without symmetry, in the conductor and on its boundary."""
    twisted = hall_viscosity(of.J, of.w, of.diffusion_length**2 / of.conductivity * of.x[0] / 1e-7)
    pull = of.material(lambda m: m.mean_free_path) / of.conductivity * of.J[0] * of.w[1]
    return twisted * of.dx + pull * ufl.cos(of.n[0]) * of.ds


def drifting(of) -> ufl.Form:
    """Charge that is carried along x, and leaks through the boundary."""
    drift = of.conductivity * of.phi.dx(0) * of.psi * (1 + of.x[1] / 1e-7) / 1e-7
    leak = of.material(lambda m: m.mean_free_path) * of.conductivity / 1e-14 * of.phi * of.psi
    return drift * of.dx + leak * of.n[0] ** 2 * of.ds


EXAMPLES = {
    "constriction": ("constriction", "hydrodynamic", 2, {}),
    "two materials": ("bilayer", "hydrodynamic", 4, {}),
    "Hall bar": ("hall_bar", "hydrodynamic", 2, {}),
    "periodic": ("wavy_channel", "hydrodynamic", 4, {}),
    "iterative": ("bilayer", "hydrodynamic", 2, {"solver": "iterative"}),
    "magnetic field": ("hall_bar", "hydrodynamic", 2, {"magnetic_field": 0.5}),
    "added terms": ("bilayer", "hydrodynamic", 3, {"terms": [turned]}),
    "ohmic": ("bilayer", "ohmic", 3, {}),
    "added ohmic terms": ("hall_bar", "ohmic", 2, {"terms": [drifting]}),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_against_differences(name):
    kind, model, order, options = EXAMPLES[name]
    example = Example(kind, model, order, **options)
    flow = example.solve(keep=True)
    ports = [*flow.contacts, *flow.periodic]
    w = weights(flow)
    mix = np.cos(np.arange(len(ports)))
    assert flow.adjoint.ports == tuple(ports)
    found = flow.adjoint.functional(*w), flow.adjoint.conductance(ports[0], mix)

    def numbers(flow: Flow) -> np.ndarray:
        matrix = flow.conductance_matrix  # of contacts, without periodic pairs
        current = matrix[0] @ mix if len(matrix) else flow.periodic["left"].current / 1e-3
        return np.array([functional(flow, *w), current])

    def compare(got: list[float], of: Callable[[float], Flow], step: float) -> None:
        expected = slope(lambda t: numbers(of(t)), step)
        error = np.abs(got - expected)
        assert (error <= 2e-6 * np.abs(expected) + 1e-8 * np.abs(numbers(flow))).all(), error

    displacement = motion(example.device, periodic=not flow.contacts)
    along = [one.along(example.device, displacement) for one in found]
    compare(along, lambda t: example.solve(example.device.moved(t * displacement)), 3e-4)

    def change(t: float) -> tuple[dict, dict]:
        materials = {
            n: replace(
                m,
                mean_free_path=m.mean_free_path * (1 + t),
                conductivity=m.conductivity * (1 + 2 * t),
            )
            for n, m in example.materials.items()
        }
        laws = {
            n: replace(law, specularity=0.3 + t) if isinstance(law, Wall) else law
            for n, law in example.laws.items()
        }
        return materials, laws

    of_coefficients = [example.of_coefficients(one, flow, change) for one in found]

    def changed(t: float) -> Flow:
        materials, laws = change(t)
        return example.solve(materials=materials, boundaries=laws)

    compare(of_coefficients, changed, 3e-4)
    flow.adjoint.close()


def test_what_ports_are_given():
    example = Example("hall_bar", "hydrodynamic", 2)
    flow = example.solve(keep=True)
    w = weights(flow)
    found = flow.adjoint.functional(*w).given
    for port, step, laws in (
        ("source", 1e-4, lambda t: example.laws_of(1e-3 + t, 2e-8)),
        ("probe1", 1e-9, lambda t: example.laws_of(1e-3, 2e-8 + t)),
    ):
        expected = slope(lambda t: functional(example.solve(boundaries=laws(t)), *w), step)  # noqa: B023
        assert found[port] == pytest.approx(expected, rel=1e-8)
    flow.adjoint.close()


def test_flows_without_derivatives():
    example = Example("ribbon", "hydrodynamic", 2)
    assert example.solve().adjoint is None
    loads = example.solve(terms=[lambda of: 1e3 * of.w[0] * of.dx], keep=True)
    assert loads.adjoint is None


def test_added_terms_that_do_not_move():
    """Functions of the user's own: derivatives in coefficients, none in the shape."""
    example = Example("ribbon", "hydrodynamic", 2)
    own = dolfinx.fem.Function(dolfinx.fem.functionspace(example.device.mesh, ("DG", 0)))
    own.x.array[:] = 50.0

    def pull(of):
        return own * ufl.dot(of.J, of.w) * of.dx

    flow = example.solve(terms=[pull], keep=True)
    port = flow.adjoint.ports[0]
    found = flow.adjoint.conductance(port, port)
    assert found.nodes is None

    def change(t: float) -> tuple[dict, dict]:
        materials = {
            n: replace(m, conductivity=m.conductivity * (1 + t))
            for n, m in example.materials.items()
        }
        return materials, example.laws

    def conductance(t: float) -> float:
        return example.solve(terms=[pull], materials=change(t)[0]).conductance_matrix[0, 0]

    got = example.of_coefficients(found, flow, change)
    assert got == pytest.approx(slope(conductance, 3e-4), rel=1e-6)
    flow.adjoint.close()


def test_added_terms_add_up():
    """On boundaries alone, with cells that have no integral, and of unequal degrees."""
    example = Example("ribbon", "hydrodynamic", 2)

    def everywhere(of):
        return 1e-9 / of.conductivity * ufl.dot(of.J, of.w) * of.ds

    def somewhere(of):
        return of.x[0] / of.conductivity * ufl.dot(of.J, of.w) * of.ds("source", "drain")

    def matrices(*terms):
        given = {"materials": example.materials, "boundaries": example.laws}
        return Hydrodynamic(example.device, terms=terms, **given).problem().own.matrices

    expected = matrices(everywhere) + matrices(somewhere)
    np.testing.assert_allclose(
        matrices(everywhere, somewhere), expected, atol=1e-12 * np.abs(expected).max()
    )


MOMENTS = {
    "constriction": ("constriction", "hydrodynamic", 2),
    "ribbon": ("ribbon", "hydrodynamic", 3),
    "kinetic": ("constriction", "kinetic", 3),
    "a tensor": ("constriction", "hydrodynamic", 2),
}


@pytest.mark.parametrize("name", MOMENTS)
def test_moments_of_walls(name):
    tensor = name == "a tensor"
    example = Example(*MOMENTS[name], tensor=tensor)
    flow = example.solve(keep=True)
    pieces = example.device.pieces
    assert has_gradient(flow)
    factors = np.cos(1.3 * np.arange(len(pieces)))
    if tensor:
        factors = np.outer(factors, [1.0, -0.5, 0.3])

    def moments(flow: Flow) -> float:
        found = edge_moments(flow, orbital_density(flow, vorticity(flow)))
        walls = [i for i, p in enumerate(pieces) if isinstance(example.laws[p.boundary], Wall)]
        return sum(np.dot(factors[i], one.moment) for i, one in zip(walls, found, strict=True))

    found = moment_gradient(flow, vorticity(flow), factors)
    value = moments(flow)
    step = 3e-4
    displacement = motion(example.device)

    def moved(t: float) -> float:
        return moments(example.solve(example.device.moved(t * displacement)))

    expected = slope(moved, step)
    assert found.along(example.device, displacement) == pytest.approx(expected, rel=1e-5)

    def change(t: float) -> tuple[dict, dict]:
        laws = {
            n: replace(law, specularity=0.3 + t) if isinstance(law, Wall) else law
            for n, law in example.laws.items()
        }
        return example.materials, laws

    got = example.of_coefficients(found, flow, change)
    expected = slope(lambda t: moments(example.solve(boundaries=change(t)[1])), step)
    assert got == pytest.approx(expected, rel=1e-6)
    if tensor:
        flow.adjoint.close()
        return
    kappa = sum(one["orbital_coupling"] for one in found.over_regions(example.device).values())
    assert kappa * CLEAN.orbital_coupling == pytest.approx(value, rel=1e-10)
    flow.adjoint.close()
