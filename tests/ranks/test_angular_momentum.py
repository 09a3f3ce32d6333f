"""Densities and the inverse effect on one and three ranks."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from launching import launch
from mpi4py import MPI

import meso
from meso import Case, Contact, Device, Material, Wall
from meso.angular_momentum import (
    ONE,
    Densities,
    Diffusion,
    Surface,
    Transport,
    diffusion_block,
    hall_block,
    layer,
    material,
    one_way,
    two_way,
)
from meso.flow import Hydrodynamic, Ohmic

GEOMETRIES = Path(__file__).parents[2] / "geometries"
# Different orders of summation, and the tolerance of the iterations in 3D (1e-13), magnified where
# the fluxes through a boundary nearly cancel.
RELATIVE = 1e-8
# Estimates are known to the tolerance of their own iterations, 1e-7 of what they are errors of.
LOOSE = {"errors": 1e5}


def numbers(found: Densities, points: list[list[float]]) -> dict[str, list[float]]:
    """What must not depend on the number of ranks."""
    out = {name: value.tolist() for name, value in found.sample(np.array(points)).items()}
    out |= {f"outflow {k}": v.tolist() for k, v in found.outflow.items()}
    return {**out, "relaxed": found.relaxed.tolist()}


def layers() -> dict[str, list[float]]:
    """Two metals with an interface conductance; wall, reservoir, injection; one- and two-way."""
    device = Device.from_gmsh(
        GEOMETRIES / "bilayer.geo",
        length_unit="nm",
        parameters={"length": 40},
        order=3,
        layers={"top": layer(5e-9)},
    )
    matter = Material(carriers="3d", conductivity=1e6)
    laws = {"source": Contact(current=50.0), "drain": Contact(potential=0.0)}
    walls = {name: Wall(specularity=1.0) for name in ("bottom", "top")}
    flow = Ohmic(
        device,
        materials=dict.fromkeys(device.regions, matter),
        boundaries={**laws, **walls},
        order=3,
    ).solve()

    def metal(factor: float) -> Transport:
        return material(
            ["spin_z", "orbital_z"],
            diffusivity={
                ("spin", "spin"): diffusion_block(factor * 1e-4),
                ("spin", "orbital"): diffusion_block(1e-6),
                ("orbital", "orbital"): diffusion_block(1e-5),
            },
            relaxation={("spin", "spin"): ONE * 1e12, ("orbital", "orbital"): ONE * 4e11},
            hall={"spin": hall_block(2e5 * factor), "orbital": hall_block(-3e5)},
            susceptibility={"spin": 1e-21 * factor, "orbital": 2e-21},
        )

    problem = Diffusion(
        device,
        components=["spin_z", "orbital_z"],
        materials={"lower": metal(1.0), "upper": metal(2.0)},
        surfaces={
            "top": Surface(velocity=np.array([[300.0, -20.0], [0.0, 100.0]])),
            "bottom": Surface(injected=[1e-7, 0.0]),
            "drain": Surface(density=[0.0, np.nan]),
        },
        conductances={("lower", "upper"): np.diag([2e-18, 1e-18])},
        order=3,
    )
    points = [[1e-8, 2e-9], [2e-8, 1.5e-8], [3.1e-8, 9e-9], [3.9e-8, 1.1e-8]]
    alone = problem.solve(flow)
    coupled, densities, _ = two_way(problem, flow, keep=True)
    out = {f"alone {k}": v for k, v in numbers(alone, points).items()}
    out |= {f"coupled {k}": v for k, v in numbers(densities, points).items()}
    response = one_way(problem, alone, flow, keep=True)
    seen = coupled.adjoint.functional(current=coupled.fields["current_density"].values)
    of = response.adjoint.of(density=response.current_density.values)
    out |= {
        f"derivative of {k} in {name}": np.ravel(value).tolist()
        for k, found in {"coupled": seen.densities, "one-way": of.coefficients}.items()
        for name, value in found.items()
        if name.startswith(("hall", "conductivity"))
    }
    coupled.adjoint.close()
    response.adjoint.close()
    out["one-way"] = [response.contacts["source"].potential]
    out["two-way"] = [coupled.contacts["source"].potential]
    out["conductance"] = coupled.conductance_matrix.ravel().tolist()
    return out


def wire() -> dict[str, list[float]]:
    """Three components with swapping in a round wire."""
    device = Device.from_gmsh(
        GEOMETRIES / "wire.geo",
        length_unit="nm",
        parameters={"length": 20, "radius": 10},
        size="4 nm",
    )
    axes = ["spin_x", "spin_y", "spin_z"]
    transport = material(
        axes,
        diffusivity={("spin", "spin"): diffusion_block(1e-5, divergence=2e-6, swapping=3e-6)},
        relaxation={("spin", "spin"): ONE * 1e11},
        hall={"spin": hall_block(3e5)},
    )
    problem = Diffusion(
        device,
        components=axes,
        materials={"metal": transport},
        surfaces={"surface": Surface(velocity=50.0), "source": Surface(density=np.zeros(3))},
    )
    points = [[5e-9, 3e-9, 2e-9], [1.2e-8, -6e-9, 4e-9]]
    return numbers(problem.solve([1e5, 0.0, 0.0]), points)


def upper(x: np.ndarray) -> np.ndarray:
    """Fed in at the upper edge, in waves."""
    return 1e-4 * np.cos(5e7 * x[..., :1]) * (x[..., 1:] > 0)


def ribbons() -> dict[str, list[float]]:
    """Two-way in a viscous flow: both elements; and few cells, so that some ranks have none."""
    out = {}
    for order, size in ((3, "20 nm"), (4, "100 nm")):
        device = Device.from_gmsh(
            GEOMETRIES / "ribbon.geo",
            length_unit="nm",
            parameters={"length": 60, "width": 40},
            order=order,
            size=size,
        )
        matter = Material(carriers="3d", conductivity=1e6, vorticity_diffusion_length=8e-9)
        laws = {"source": Contact(current=50.0), "drain": Contact(potential=0.0)}
        flow = Hydrodynamic(
            device,
            materials={"metal": matter},
            boundaries={**laws, "edges": Wall(slip_length=5e-9)},
        ).solve()
        transport = material(
            ["spin_z"],
            diffusivity={("spin", "spin"): diffusion_block(1e-4)},
            relaxation={("spin", "spin"): ONE * 3e12},
            hall={"spin": hall_block(2e5)},
            susceptibility={"spin": 1e-21},
            dimension=2,
        )
        injected = Surface(velocity=300.0, injected=upper)
        problem = Diffusion(
            device,
            components=["spin_z"],
            materials={"metal": transport},
            surfaces={"edges": injected},
        )
        coupled, densities, response = two_way(problem, flow, keep=True)
        seen = coupled.adjoint.functional(current=coupled.fields["current_density"].values)
        coupled.adjoint.close()
        out[f"{order} derivatives"] = [
            *seen.over_regions(device)["metal"].values(),
            seen.given["source"],
        ]
        out[f"{order} derivative in Theta"] = seen.densities["hall.metal"].ravel().tolist()
        points = [[1.1e-8, -1.7e-8], [2.1e-8, 3e-9], [5.8e-8, 1.9e-8]]
        out |= {f"{order} {k}": v for k, v in numbers(densities, points).items()}
        out[f"{order} potential"] = [coupled.contacts["source"].potential]
        out[f"{order} conductance"] = coupled.conductance_matrix.ravel().tolist()
        out[f"{order} offset"] = list(response.short_circuit.values())
    return out


def errors() -> dict[str, list[float]]:
    """Estimated errors of all numbers of a viscous flow with a spin in space."""
    spin = {
        "components": ["y"],
        "hall_conductivity": "1e5 (hbar/2e) S/m",
        "diffusivity": "2e-4 m^2/s",
        "diffusion_length": "15 nm",
        "susceptibility": "2.7e-21 J s^2/m^3",
        "boundaries": {"surfaces": {"relaxation_velocity": "2e4 m/s"}},
    }
    metal = {
        "carriers": "3d",
        "conductivity": "1e6 S/m",
        "vorticity_diffusion_length": "10 nm",
        "fermi_energy": "5 eV",
    }
    case = Case.from_dict(
        {
            "geometry": {
                "file": str(GEOMETRIES / "film.geo"),
                "length_unit": "nm",
                "parameters": {"length": 60, "width": 30, "thickness": 30, "layers": 2, "size": 30},
            },
            "materials": {"metal": metal},
            "regions": {"metal": "metal"},
            "boundaries": {
                "source": {"contact": {"potential": "1 mV"}},
                "drain": {"contact": {"potential": "0 V"}},
                "surfaces": {"wall": {"slip_length": "5 nm"}},
                "sides": {"wall": {"slip_length": "20 nm"}},
            },
            "angular_momentum": {"spin": spin, "coupling": "one-way"},
            "flow": {"model": "hydrodynamic", "order": 2, "estimate": True},
        }
    )
    found = meso.run(case).mesh_errors
    return {name: [found[name]] for name in found if "moment_" in name or "current" in name}


CASES = {"layers": layers, "wire": wire, "ribbons": ribbons, "errors": errors}


@pytest.mark.skipif(MPI.COMM_WORLD.size > 1, reason="starts its own ranks")
def test_ranks_agree(tmp_path: Path) -> None:
    """One and three ranks: all numbers of all cases."""
    results = []
    for ranks in (1, 3):
        launch(__file__, ranks, tmp_path / f"{ranks}.json")
        results.append(json.loads((tmp_path / f"{ranks}.json").read_text()))
    for other in results[1:]:
        for case, wanted in results[0].items():
            for name, values in wanted.items():
                size = np.abs(values).max() * LOOSE.get(case, 1.0)
                np.testing.assert_allclose(
                    other[case][name], values, rtol=0, atol=RELATIVE * size, err_msg=name
                )


if __name__ == "__main__":
    everything = {name: case() for name, case in CASES.items()}
    if MPI.COMM_WORLD.rank == 0:
        Path(sys.argv[1]).write_text(json.dumps(everything))
