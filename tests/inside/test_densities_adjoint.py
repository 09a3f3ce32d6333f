"""Derivatives of moments, absorbed torque and sampled densities: closed forms and differences."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import GEOMETRIES
from launching import launch
from mpi4py import MPI

from meso import Contact, Device, Layer, Material, Wall
from meso.angular_momentum import Diffusion, Surface, Transport, two_way
from meso.angular_momentum.adjoint import Derivatives
from meso.angular_momentum.coupled_adjoint import CoupledAdjoint, Number
from meso.angular_momentum.targets import absorbed, moments, sampled
from meso.discrete.fields import cellwise
from meso.flow import Flow, Ohmic
from meso.mpi import total
from meso.observables.accumulation import edge_moments
from meso.observables.nearest import walls_of

NM = 1e-9


def ohmic(device: Device, order: int) -> Flow:
    laws = {name: Wall(specularity=1.0) for name in device.boundaries}
    laws |= {"source": Contact(potential=1e-3), "drain": Contact(potential=0.0)}
    metal = Material(carriers="3d", conductivity=1e6)
    matter = dict.fromkeys(device.regions, metal)
    return Ohmic(device, materials=matter, boundaries=laws, order=order).solve(keep=True)


def places(device: Device) -> np.ndarray:
    """Geometry nodes, over the size of the device."""
    return np.array(device.mesh.geometry.x[:, :2]) / device.extent


def along(device: Device, nodes: np.ndarray, motion: np.ndarray) -> float:
    """Derivative for a motion of the nodes over the size of the device."""
    return float(total(device.comm, float((nodes * motion).sum()))) * device.extent


def upper_wall(flow: Flow) -> np.ndarray:
    """One for the piece of a wall that lies highest, zero for all others."""
    pieces = edge_moments(flow, flow.fields["potential"])
    share = np.zeros(len(flow.device.pieces))
    share[walls_of(flow)[int(np.argmax([piece.center[1] for piece in pieces]))]] = 1.0
    return share


def test_ribbon() -> None:
    """X = C sinh(y/l): a moment and a sample, in all that they depend on, to 1e-7."""
    order, E, length, y = 6, 2e4, 20 * NM, 7 * NM
    values = {"D": 1e-4, "T": 4e12, "theta": 2e-11, "V": 30.0, "W": 20 * NM}
    device = Device.from_gmsh(
        GEOMETRIES / "ribbon.geo",
        length_unit="nm",
        parameters={"width": 20, "length": 20},
        order=order,
        layers={"edges": Layer(decay=5 * NM)},
    )

    def exact(p: dict[str, complex]) -> np.ndarray:
        k, half = np.sqrt(p["T"] / p["D"]), p["W"] / 2
        wall = p["D"] * k * np.cosh(k * half) + p["V"] * np.sinh(k * half)
        C = p["theta"] * E / wall
        return np.array([C / k * (np.cosh(k * half) - 1) * length, C * np.sinh(k * y)])

    hall = np.zeros((3, 1, 3))
    hall[1, 0, 0] = values["theta"]
    metal = Transport(
        diffusivity=values["D"] * np.eye(3)[:, None, :, None],
        relaxation=np.array([[values["T"]]]),
        hall=hall,
    )
    problem = Diffusion(
        device,
        components=["spin_z"],
        materials={"metal": metal},
        surfaces={"edges": Surface(velocity=values["V"])},
        order=order,
    )
    flow = ohmic(device, 2)
    densities = problem.solve([E, 0.0, 0.0], keep=True)
    targets = [
        moments(problem, densities, flow, "spin_z", upper_wall(flow)),
        sampled(densities, "spin_z", np.array([[9 * NM, y]])),
    ]
    up = places(device) * [0, 1]
    for i, one in enumerate(densities.adjoint.derivatives(targets)):
        found = {
            "D": np.trace(one.coefficients["diffusivity.metal"][:, 0, :, 0]),
            "T": one.coefficients["relaxation.metal"][0, 0],
            "theta": one.coefficients["hall.metal"][1, 0, 0],
            "V": one.coefficients["velocity.edges"][0, 0],
            "W": along(device, one.nodes, up) / values["W"],
        }
        for name, value in values.items():
            wanted = exact({**values, name: value * (1 + 1e-30j)})[i].imag / (1e-30 * value)
            assert found[name] == pytest.approx(wanted, rel=1e-7), (name, i)
    densities.adjoint.close()


N = 2
TAKES = np.array([[50.0, 10.0], [-5.0, 30.0]])
GIVEN = {
    "top": Surface(velocity=TAKES, injected=[1e-8, -2e-8]),
    "bottom": Surface(velocity=TAKES.T, injected=[0.0, 1e-8]),
    "source": Surface(velocity=TAKES, density=[3e-9, 1e-9]),
    "drain": Surface(velocity=2 * TAKES, injected=[2e-8, 1e-8]),
}
JOINT = "conductance.lower|upper"


def metal(seed: int) -> Transport:
    """Full tensors without any symmetry."""
    random, n = np.random.default_rng(seed).normal, N
    one = np.eye(3)[:, None, :, None] * np.eye(n)[:, None, :]
    return Transport(
        diffusivity=1e-4 * (one + 0.2 * random(size=(3, n, 3, n))),
        relaxation=1e12 * (np.diag([4.0, 6.0]) + random(size=(n, n))),
        hall=1e-11 * random(size=(3, n, 3)),
        susceptibility=np.array([[1.0, 0.2], [0.2, 1.5]]) * (1 + seed),
    )


class Bilayer:
    """Two metals joined by a conductance: problems on this and on moved devices, and numbers."""

    points = np.array([[1.5e-8, 4e-9], [2e-8, 1.3e-8], [3.1e-8, 1.7e-8]])
    names = ("moments", "sampled", "top", "source", "drain")

    def __init__(self) -> None:
        self.device = Device.from_gmsh(
            GEOMETRIES / "bilayer.geo", length_unit="nm", parameters={"length": 40}, order=3
        )
        self.flow = ohmic(self.device, 3)
        walls = walls_of(self.flow)
        self.share = np.zeros(len(self.device.pieces))
        self.share[walls] = np.arange(1, len(walls) + 1)
        materials = {name: metal(i) for i, name in enumerate(self.device.regions)}
        conductances = {("lower", "upper"): np.array([[200.0, 30], [10, 100]])}
        self.problem = self.of(self.device, materials, GIVEN, conductances, 2e3, 2e-8)

    def of(self, device: Device, *parts: Any) -> Diffusion:
        materials, surfaces, conductances, field, thickness = parts
        return Diffusion(
            device,
            components=["spin_x", "spin_z"],
            materials=materials,
            surfaces=surfaces,
            conductances=conductances,
            order=3,
            perpendicular_field=field,
            thickness=thickness,
        )

    def with_(self, device: Device, c: dict[str, np.ndarray]) -> Diffusion:
        """The problem with these coefficients."""
        keys = ("diffusivity", "relaxation", "hall", "susceptibility")
        materials = {r: Transport(**{k: c[f"{k}.{r}"] for k in keys}) for r in device.regions}
        surfaces = {
            b: Surface(
                velocity=c[f"velocity.{b}"],
                injected=c[f"current.{b}"],
                density=c.get(f"density.{b}"),
            )
            for b in device.boundaries
        }
        field, thickness = float(c["perpendicular_field"]), float(c["thickness"])
        return self.of(
            device, materials, surfaces, {("lower", "upper"): c[JOINT]}, field, thickness
        )

    def numbers(self, problem: Diffusion, flow: Flow) -> np.ndarray:
        found = problem.solve(flow)
        pieces = edge_moments(replace(flow, thickness=problem.thickness), found.field("spin_z"))
        moments = [piece.moment for piece in pieces] @ self.share[walls_of(flow)]
        values = found.sample(self.points)["spin_density_x"].sum()
        torques = [found.outflow[b][0] for b in self.names[2:]]
        return np.array([moments, values, *torques])

    def derivatives(self) -> list[Derivatives]:
        found = self.problem.solve(self.flow, keep=True)
        targets = [
            moments(self.problem, found, self.flow, "spin_z", self.share),
            sampled(found, "spin_x", self.points),
            *(absorbed(self.problem, found, {b: 1.0}, "spin_x") for b in self.names[2:]),
        ]
        out = found.adjoint.derivatives(targets)
        found.adjoint.close()
        return out

    def with_potential(self, device: Device, values: np.ndarray) -> Flow:
        """A flow with this potential at the nodes of each cell."""
        potential = cellwise("potential", "V", device, 3, values, joined=True)
        fields = {**self.flow.fields, "potential": potential}
        return replace(self.flow, device=device, potential=potential.function(), fields=fields)


def differences(at: Callable[[float], np.ndarray], step: float) -> np.ndarray:
    one, two = (at(k * step) - at(-k * step) for k in (1, 2))
    return (8 * one - two) / (12 * step)


def test_two_metals_and_a_conductance() -> None:
    """All coefficients at once, the potential, and the nodes of mesh and flow: to 1e-7."""
    bilayer = Bilayer()
    found, known = bilayer.derivatives(), bilayer.problem.coefficients
    random = np.random.default_rng(1)
    change = {k: np.abs(v).max() * random.normal(size=v.shape) for k, v in known.items()}
    for name in bilayer.device.regions:
        key = f"susceptibility.{name}"
        change[key] = 0.3 * (change[key] + change[key].T)
    given = bilayer.flow.fields["potential"].values
    slope = given * random.normal(size=1) + 1e3 * given**2

    def moved(step: float) -> np.ndarray:
        device = bilayer.device.moved(step * bilayer.device.extent * motion)
        return bilayer.numbers(bilayer.with_(device, known), ohmic(device, 3))

    def changed(step: float) -> np.ndarray:
        new = {k: v + step * change[k] for k, v in known.items()}
        return bilayer.numbers(bilayer.with_(bilayer.device, new), bilayer.flow)

    x, y = places(bilayer.device).T
    motion = np.column_stack([np.sin(2 * y + x), np.cos(3 * x) * y + 0.2 * x])
    wanted = differences(changed, 1e-4)
    got = [sum((one.coefficients[k] * change[k]).sum() for k in known) for one in found]
    np.testing.assert_allclose(got, wanted, rtol=1e-7)
    wanted = differences(moved, 1e-4)
    got = [along(bilayer.device, one.through(bilayer.flow).nodes, motion) for one in found]
    # The polygon of a wall that bends: above its corners second derivatives of distances jump.
    np.testing.assert_allclose(got[0], wanted[0], rtol=1e-6)
    np.testing.assert_allclose(got[1:], wanted[1:], rtol=1e-7)

    def pushed(step: float) -> np.ndarray:
        flow = bilayer.with_potential(bilayer.device, given + step * slope)
        return bilayer.numbers(bilayer.problem, flow)

    got = [
        total(bilayer.device.comm, float((one.potential * slope[..., 0]).sum())) for one in found
    ]
    np.testing.assert_allclose(got[:4], differences(pushed, 0.1)[:4], rtol=1e-7)


def test_charge_and_angular_momentum_together() -> None:
    """A coupling of order one with a floating contact: all coefficients, drive and nodes."""
    bilayer = Bilayer()
    known, device = bilayer.problem.coefficients, bilayer.device
    for key, factor in {"hall": 1e3, "susceptibility": 3e-18, "conductance": 3e-18}.items():
        known |= {k: factor * v for k, v in known.items() if k.startswith(key)}

    def flow(device: Device, current: float) -> Flow:
        laws = bilayer.flow.boundaries | {"source": Contact(current=current)}
        matter = bilayer.flow.materials
        model = Ohmic(device, materials=matter, boundaries=laws, order=3, thickness=2e-8)
        return model.solve()

    def numbers(problem: Diffusion, flow: Flow) -> np.ndarray:
        state, found, _ = two_way(problem, flow)
        moments = [piece.moment for piece in edge_moments(state, found.field("spin_z"))]
        values = found.sample(bilayer.points)["spin_density_x"].sum()
        sums = moments @ bilayer.share[walls_of(flow)]
        voltage = state.contacts["source"].potential
        return np.array([sums, values, found.outflow["source"][0], voltage])

    problem, start = bilayer.with_(device, known), flow(device, 1e-6)
    state, found, response = two_way(problem, start)
    assert abs(response.contacts["source"].potential) > 0.1 * start.contacts["source"].potential
    targets = [
        moments(problem, found, state, "spin_z", bilayer.share),
        sampled(found, "spin_x", bilayer.points),
        absorbed(problem, found, {"source": 1.0}, "spin_x"),
        sampled(found, "spin_x", bilayer.points[:0]),
    ]
    none, first = np.zeros(2), np.array([1.0, 0.0])
    several = [
        Number(target=target, current=none, potential=first if i == 3 else none)
        for i, target in enumerate(targets)
    ]
    adjoint = two_way(problem, start, keep=True)[0].adjoint
    assert isinstance(adjoint, CoupledAdjoint)
    got = [adjoint.seen(number)[1] for number in several]
    adjoint.close()
    random = np.random.default_rng(1)
    change = {k: np.abs(v).max() * random.normal(size=v.shape) for k, v in known.items()}
    for name in device.regions:
        key = f"susceptibility.{name}"
        change[key] = 0.3 * (change[key] + change[key].T)
    change["thickness"] = np.zeros(())  # that of the flow is another one here

    def changed(step: float) -> np.ndarray:
        new = {k: v + step * change[k] for k, v in known.items()}
        return numbers(bilayer.with_(device, new), flow(device, 1e-6 * (1 + step)))

    rates = [sum((one.densities[k] * rate).sum() for k, rate in change.items()) for one in got]
    rates = [rate + 1e-6 * one.given["source"] for rate, one in zip(rates, got, strict=True)]
    np.testing.assert_allclose(rates, differences(changed, 1e-4), rtol=1e-6)
    x, y = places(device).T
    motion = np.column_stack([np.sin(2 * y + x), 0.3 * y + 0.2 * x])

    def moved(step: float) -> np.ndarray:
        other = device.moved(step * device.extent * motion)
        return numbers(bilayer.with_(other, known), flow(other, 1e-6))

    shape = [along(device, one.nodes, motion) for one in got]
    wanted = differences(moved, 1e-4)
    np.testing.assert_allclose(shape[0], wanted[0], rtol=1e-5)
    np.testing.assert_allclose(shape[1:], wanted[1:], rtol=1e-7)


def shown() -> list[list[float]]:
    """What must not depend on the number of ranks."""
    bilayer, out = Bilayer(), []
    device, motion = bilayer.device, np.sin(5 * places(bilayer.device))
    given = bilayer.flow.fields["potential"].values[..., 0] ** 2
    for one in bilayer.derivatives():
        sums = [float(np.sin(1 + np.arange(v.size)) @ v.ravel()) for v in one.coefficients.values()]
        pushed = total(device.comm, float((one.potential * given).sum()))
        out.append([*sums, along(device, one.nodes, motion), float(pushed)])
    return out


@pytest.mark.ranks
@pytest.mark.skipif(MPI.COMM_WORLD.size > 1, reason="starts its own ranks")
def test_ranks_agree(tmp_path: Path) -> None:
    launch(__file__, 3, tmp_path / "3.json")
    for wanted, found in zip(shown(), json.loads((tmp_path / "3.json").read_text()), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-7, atol=1e-12 * np.abs(wanted).max())


if __name__ == "__main__":
    everything = shown()
    if MPI.COMM_WORLD.rank == 0:
        Path(sys.argv[1]).write_text(json.dumps(everything))
