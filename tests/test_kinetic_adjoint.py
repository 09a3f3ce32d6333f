"""Derivatives of kinetic flows: against differences on the moved mesh, and closed forms."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import GEOMETRIES, material, mesh_file

from meso import Contact, Device, Material, Periodic, Wall
from meso.exact_kinetic import KineticRibbon
from meso.flow import Flow, Hydrodynamic, Kinetic

Laws = Mapping[str, Contact | Periodic | Wall]
VOLT, P = 1e-3, 0.3
#: With electron-electron collisions, and with a rate of its own; both turn in a magnetic field.
FIRST = material(
    mean_free_path=40e-9, electron_electron_mean_free_path=160e-9, fermi_wavevector=1.4e8
)
SECOND = material(
    mean_free_path=30e-9,
    conductivity=0.03,
    scattering={"gamma2": 0.7, "gamma3": 1.2},
    fermi_wavevector=1.4e8,
)
PERIOD = """
L = 10; n = 20;
Point(1) = {0, -50, 0}; Point(2) = {L, -50, 0}; Point(3) = {L, 50, 0}; Point(4) = {0, 50, 0};
Line(1) = {1, 2}; Line(2) = {2, 3}; Line(3) = {4, 3}; Line(4) = {1, 4};
Curve Loop(1) = {1, 2, -3, -4}; Plane Surface(1) = {1};
Periodic Curve {2} = {4} Translate {L, 0, 0};
Transfinite Curve {1, 3} = 2; Transfinite Curve {2, 4} = n Using Bump 0.02;
Transfinite Surface {1};
Physical Surface("metal") = {1}; Physical Curve("edges") = {1, 3};
Physical Curve("source") = {4}; Physical Curve("drain") = {2};
"""


class Example:
    """Two metals side by side, or one in a bend, with all that may be changed at once, by t."""

    def __init__(
        self, name: str, *, turned: float = 0.0, carriers: str = "2d", **settings: Any
    ) -> None:
        drawing = GEOMETRIES / f"{name}.geo"
        self.device = Device.from_gmsh(drawing, length_unit="nm", order=6)
        self.settings, self.field, self.carriers = {"order": 2, **settings}, turned, carriers
        x = self.device.mesh.geometry.x[:, :2] / self.device.extent
        first, second = np.sin(2 * x[:, 0] + x[:, 1]), np.cos(x[:, 1] - 3 * x[:, 0])
        #: A motion of the nodes, without a symmetry of the device, m.
        self.motion = 0.1 * self.device.extent * np.column_stack([first, second])

    def materials(self, t: float = 0.0) -> dict[str, Material]:
        changed = [
            replace(
                FIRST,
                carriers=self.carriers,
                scattering="isotropic" if self.carriers == "3d" else FIRST.scattering,
                mean_free_path=40e-9 * (1 + t),
                electron_electron_mean_free_path=160e-9 * (1 - 2 * t),
                vorticity_diffusion_length=None,
                provenance={},
            ),
            replace(
                SECOND,
                carriers=self.carriers,
                conductivity=0.03 * (1 + 2 * t),
                scattering={"gamma2": 0.7 + t, "gamma3": 1.2 - 2 * t},
                vorticity_diffusion_length=None,
                provenance={},
            ),
        ]
        return dict(zip(self.device.regions, changed, strict=False))

    def laws(self, t: float = 0.0) -> dict[str, Contact | Wall]:
        ends = {"source": Contact(potential=VOLT), "drain": Contact(current=-1e-6)}
        return {n: ends.get(n, Wall(specularity=P + t)) for n in self.device.boundaries}

    def model(self, t: float = 0.0, *, shape: float = 0.0) -> Kinetic:
        return Kinetic(
            self.device.moved(shape * self.motion) if shape else self.device,
            materials=self.materials(t),
            boundaries=self.laws(t),
            magnetic_field=self.field * (1 + t) if self.field else 0.0,
            **self.settings,
        )


def by_inputs(found: Any, flow: Flow, at: Callable[[float], Kinetic | Hydrodynamic]) -> float:
    """Derivative in t from those in coefficients, which are known functions of the inputs."""
    h, out = 1e-5, 0.0
    for sign in (1, -1):
        model = at(sign * h)
        for region, values in found.over_regions(flow.device).items():
            own = flow.adjoint.coefficients(model.materials[region], model.magnetic_field)
            out += sign * sum(values[key] * own[key] for key in own)
        for (name, region), values in found.over_boundaries(flow.device).items():
            if name in model.boundaries:
                law, metal = model.boundaries[name], model.materials[region]
                own = flow.adjoint.wall_coefficients(law, metal)
                out += sign * sum(values[key] * own[key] for key in own)
    return out / (2 * h)


def slope(of: Callable[[float], Any], h: float) -> Any:
    """Derivative at zero by differences."""
    return (of(h) - of(-h)) / (2 * h)


def weights(flow: Flow) -> list[np.ndarray]:
    """Numbers for the values of J and phi at the nodes of cells."""
    out = []
    for name, size in (("current_density", 1e-3), ("potential", 10.0)):
        values = flow.fields[name].values
        at = np.arange(values[0].size).reshape(values.shape[1:])
        out.append(size * np.broadcast_to(np.sin(1.0 + at), values.shape))
    return out


EXAMPLES = {
    "direct": ("bilayer", {"harmonics": 6}),
    "iterative": ("bilayer", {"harmonics": 4, "solver": "iterative", "tolerance": 1e-8}),
    "curved": ("annulus", {"harmonics": 16, "solver": "iterative", "tolerance": 1e-8}),
    "field": ("bilayer", {"harmonics": 4, "turned": 0.1}),
    "sphere": ("bilayer", {"harmonics": 4, "turned": 0.1, "carriers": "3d"}),
    "field, iterative": (
        "bilayer",
        {"harmonics": 4, "turned": 0.05, "solver": "iterative", "tolerance": 1e-7},
    ),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_against_differences(name):
    """Conductances without a solution, a functional of J and phi with one, with a given current."""
    kind, settings = EXAMPLES[name]
    example = Example(kind, **settings)
    flow = example.model().solve(keep=True)
    w, mix = weights(flow), np.array([1.0, -0.5])
    # An iteration leaves errors that small steps magnify.
    step, rtol = (1e-3, 1e-5) if "solver" in settings else (1e-4, 1e-6)

    def numbers(flow: Flow) -> np.ndarray:
        fields = [flow.fields[n].values for n in ("current_density", "potential")]
        linear = sum((a * b).sum() for a, b in zip(w, fields, strict=True))
        return np.array([linear, (flow.conductance_matrix @ mix)[0]])

    found = flow.adjoint.functional(*w), flow.adjoint.conductance("source", mix)
    along = [one.along(flow.device, example.motion) for one in found]
    moved = slope(lambda t: numbers(example.model(shape=t).solve()), step)
    np.testing.assert_allclose(along, moved, rtol=rtol)
    changed = slope(lambda t: numbers(example.model(t).solve()), step)
    np.testing.assert_allclose(
        [by_inputs(one, flow, example.model) for one in found], changed, rtol=rtol
    )
    # T is linear in what contacts are given.
    given, state = found[0].given, [VOLT, -1e-6]
    assert numbers(flow)[0] == pytest.approx(np.dot([given["source"], given["drain"]], state))
    flow.adjoint.close()


def test_two_harmonics_are_hydrodynamics():
    """The same derivatives from two models that know different coefficients."""
    example = Example("bilayer", harmonics=2)

    def other(t: float = 0.0) -> Hydrodynamic:
        laws = {
            n: replace(law, law="reservoir") if isinstance(law, Contact) else law
            for n, law in example.laws(t).items()
        }
        return Hydrodynamic(
            example.device, materials=example.materials(t), boundaries=laws, order=2
        )

    out = []
    for at in (example.model, other):
        flow = at().solve(keep=True)
        found = (
            flow.adjoint.functional(*weights(flow)),
            flow.adjoint.conductance("source", "source"),
        )
        out.append(
            [(one.along(flow.device, example.motion), by_inputs(one, flow, at)) for one in found]
        )
        flow.adjoint.close()
    np.testing.assert_allclose(*out, rtol=1e-8)


@pytest.fixture(scope="module")
def period(tmp_path_factory) -> Device:
    folder = tmp_path_factory.mktemp("period")
    (folder / "period.geo").write_text(PERIOD)
    mesh = mesh_file(Path(folder / "period.msh"), folder / "period.geo")
    return Device.from_gmsh(mesh, length_unit="nm", order=3)


@pytest.mark.parametrize("solver", ["direct", "iterative"])
def test_ribbon(period, solver):
    """A periodic ribbon: derivatives of G converge as G itself, that in the width at once.

    For N = 32 the closed form is met within 1e-3, and within 2e-4 in the width.
    """
    width, path = 100e-9, 50e-9

    def exact(width: float, path: float, p: float) -> float:
        ribbon = KineticRibbon(width=width, mean_free_path=path, specularity=p)
        return 0.02 * width / 10e-9 * ribbon.conductance

    expected = np.array(
        [
            slope(lambda t: exact(width * (1 + t), path, P), 1e-4),
            slope(lambda t: exact(width, path * (1 + t), P), 1e-4),
            slope(lambda t: exact(width, path, P + t), 1e-4),
        ]
    )

    def model(t: float = 0.0, p: float = 0.0) -> Kinetic:
        metal = material(mean_free_path=path * (1 + t), scattering="isotropic")
        laws: Laws = {
            "source": Periodic(to="drain", voltage=VOLT),
            "edges": Wall(specularity=P + p),
        }
        return Kinetic(
            period,
            materials={"metal": metal},
            boundaries=laws,
            harmonics=32,
            solver=solver,
        )

    flow = model().solve(keep=True)
    found = flow.adjoint.conductance("source", "source")
    wider = found.along(period, period.mesh.geometry.x[:, :2] * [0.0, 1.0])
    inputs = [by_inputs(found, flow, at) for at in (model, lambda t: model(p=t))]
    np.testing.assert_allclose([wider, *inputs], expected, rtol=1e-3)
    assert wider == pytest.approx(expected[0], rel=2e-4)
    flow.adjoint.close()
