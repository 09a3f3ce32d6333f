"""One, two and three ranks give the same numbers, and fail together."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import draw, material, solve
from mpi4py import MPI

from meso.boundary import Contact, Wall
from meso.device import Device
from meso.edges import profile
from meso.errors import GeometryError
from meso.flow.ohmic import Ohmic
from meso.orbital import edge_moments, orbital_density, vorticity
from meso.sampling import sample

# Different orders of summation: rounding, magnified by the conditioning of the systems.
RELATIVE = 1e-9
SECONDS = 120


def hydrodynamic() -> dict[str, list]:
    """A bend with a slip wall and a no-slip wall, curved cells, reservoir and ideal contacts."""
    matter = material(mean_free_path=100e-9)
    device = draw("annulus", matter, ("inner", "outer"), angle=200.0)
    flow = solve(
        device,
        matter,
        inner=Wall(specularity=0.1),
        outer=Wall(slip_length=0.0),
        drain=Contact(potential=0.0, law="reservoir"),
    )
    return results(flow)


def hall_bar() -> dict[str, list]:
    """Several contacts, floating ones among them; many pieces of walls."""
    matter = material(mean_free_path=80e-9)
    device = draw("hall_bar", matter, ("edges",))
    probes = {f"probe{i}": Contact(current=1e-8 * i) for i in (1, 2, 3)}
    flow = solve(
        device,
        matter,
        edges=Wall(specularity=0.0, law="literal"),
        probe4=Contact(potential=5e-4),
        **probes,
    )
    return results(flow)


def ring() -> dict[str, list]:
    """No walls at all."""
    matter = material(mean_free_path=60e-9)
    return results(solve(draw("corbino", matter, ("source", "drain")), matter))


def ohmic() -> dict[str, list]:
    device = draw("cross", material(), ())
    laws = {
        "left": Contact(potential=1e-3),
        "right": Contact(potential=0.0),
        "top": Contact(current=0.0),
        "bottom": Contact(current=1e-7),
        "edges": Wall(specularity=0),
    }
    out = results(Ohmic(device, materials={"metal": material()}, boundaries=laws).solve())
    # A gradient has no curl: what is left of it, and of L_z, is the rounding of second derivatives.
    derived = ("vorticity", "orbital_density", "edges vorticity", "moments", "extrema")
    return {name: values for name, values in out.items() if name not in derived}


CASES = {case.__name__: case for case in (hydrodynamic, hall_bar, ring, ohmic)}


def results(flow) -> dict[str, list]:
    """Everything that a run reports, the same on every rank."""
    device = flow.device
    omega = vorticity(flow)
    density = orbital_density(flow, omega)
    # Points inside and outside of all devices, none on an edge of a cell where values may jump.
    grid = np.random.default_rng(1).uniform(-210e-9, 610e-9, (400, 2))
    fields = sample(device, [*flow.fields.values(), omega, density], grid)
    out = {
        "currents": [t.current for t in flow.contacts.values()],
        "potentials": [t.potential for t in flow.contacts.values()],
        "conductance": flow.conductance_matrix.ravel().tolist(),
        "extrema": [*density.extrema(), *flow.fields["current_density"].extrema()],
        "cells": [float(device.cells), device.measure, device.extent],
    }
    for name, values in fields.items():
        out[f"inside {name}"] = (~np.isnan(values)).astype(float).ravel().tolist()
        out[name] = np.nan_to_num(values).ravel().tolist()
    for name, law in flow.boundaries.items():
        if isinstance(law, Wall):
            for column, values in profile(flow, name, 2).items():
                out[f"{name} {column}"] = values.tolist()
    moments = edge_moments(flow, density)
    out["moments"] = [m.moment for m in moments]
    out["moment places"] = [x for m in moments for x in (m.length, *m.center)]
    everywhere = device.comm.allgather(out)
    assert all(other == out for other in everywhere)  # to the last digit
    return out


def compare(found: dict[str, list], wanted: dict[str, list]) -> None:
    assert found.keys() == wanted.keys()
    for name, values in wanted.items():
        a, b = np.array(found[name]), np.array(values)
        assert a.shape == b.shape, name
        if b.size:
            np.testing.assert_allclose(a, b, rtol=0, atol=RELATIVE * np.abs(b).max(), err_msg=name)


def launch(ranks: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run this file under MPI; what pytest's own MPI told its environment must not be inherited."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("OMPI_COMM", "PMIX_", "OMPI_UNIVERSE"))
    }
    root = str(Path(__file__).parents[1])
    environment["PYTHONPATH"] = os.pathsep.join(
        [root, *filter(None, [environment.get("PYTHONPATH")])]
    )
    return subprocess.run(
        ["mpirun", "-n", str(ranks), sys.executable, "-W", "ignore", __file__, *arguments],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        env=environment,
        check=False,
    )


serial = pytest.mark.skipif(MPI.COMM_WORLD.size > 1, reason="starts its own ranks")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """All cases on one, two and three ranks."""
    folder = tmp_path_factory.mktemp("ranks")
    out = {}
    for ranks in (1, 2, 3):
        path = folder / f"{ranks}.json"
        done = launch(ranks, str(path))
        assert done.returncode == 0, done.stderr[-2000:]
        out[ranks] = json.loads(path.read_text())
    return out


@serial
@pytest.mark.parametrize("ranks", [2, 3])
@pytest.mark.parametrize("case", CASES)
def test_ranks_agree(runs, case, ranks):
    assert runs[ranks]["size"] == ranks
    compare(runs[ranks][case], runs[1][case])


@serial
@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_errors_reach_every_rank(ranks):
    """A bad drawing is found by rank 0; all ranks raise, and none waits for it."""
    done = launch(ranks, "error")
    assert done.returncode == 0, done.stderr[-2000:]
    said = done.stdout.split("\n")
    message = [line for line in said if line.startswith("GeometryError")]
    assert len(message) == ranks
    assert len(set(message)) == 1
    assert "no variable 'widht'" in message[0]


def fail_together() -> None:
    """The error of rank 0 on this rank, in one write so that ranks do not mix their lines."""
    try:
        draw("ribbon", material(), (), widht=3.0)
    except GeometryError as error:
        MPI.COMM_WORLD.Barrier()
        sys.stdout.write(f"GeometryError {' '.join(str(error).split())}\n")
        sys.stdout.flush()


@pytest.mark.skipif(MPI.COMM_WORLD.size == 1, reason="pytest itself runs on one rank")
def test_this_run_agrees_with_one_rank(monkeypatch):
    """Under mpirun, pytest compares its own ranks with a device on each rank alone."""
    wanted_comm, original = MPI.COMM_SELF, Device.from_gmsh.__func__
    found = hydrodynamic()
    monkeypatch.setattr(
        Device,
        "from_gmsh",
        classmethod(lambda cls, *a, **k: original(cls, *a, comm=wanted_comm, **k)),
    )
    compare(found, hydrodynamic())


if __name__ == "__main__":
    if sys.argv[1] == "error":
        fail_together()
    else:
        everything = {name: case() for name, case in CASES.items()}
        if MPI.COMM_WORLD.rank == 0:
            table = {"size": MPI.COMM_WORLD.size, **everything}
            Path(sys.argv[1]).write_text(json.dumps(table))
