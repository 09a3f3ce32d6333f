"""Diffuse film in 3D: time, iterations and memory of the iterative solver, and its scaling.

    python3 benchmarks/film.py                          # about 70,000 unknowns, l/L = .01, .1, 1
    python3 benchmarks/film.py --size medium            # about 290,000
    python3 benchmarks/film.py --size large             # about 870,000
    mpirun -n 2 python3 benchmarks/film.py --size large # strong scaling: the same film
    mpirun -n 2 python3 benchmarks/film.py --weak       # weak scaling: a film for each rank
    python3 benchmarks/film.py --smallest               # does it still run?

The film of ``geometries/film.geo``, length : width : thickness = 4 : 2 : 1, in cells of about equal
sides; L is its length. The current is compared with the closed form, which the mesh reaches where
it resolves l.
"""

from __future__ import annotations

import argparse
import os
import resource
import time
from math import sqrt
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from mpi4py import MPI

from meso import Contact, Device, Material, Wall
from meso.exact import Ribbon
from meso.flow import Hydrodynamic
from meso.flow.saddle import IterativeSystem

GEOMETRY = Path(__file__).parents[1] / "geometries" / "film.geo"
THICKNESS, WIDTH, LENGTH = 100.0, 200.0, 400.0  # nm
#: Layers of cells across the thickness.
LAYERS = {"tiny": 4, "small": 7, "medium": 11, "large": 16}
VOLT = 1e-3


def film(layers: int, copies: int) -> Device:
    """The film; ``copies`` of it side by side."""
    return Device.from_gmsh(
        GEOMETRY,
        length_unit="nm",
        parameters={
            "thickness": THICKNESS,
            "width": copies * WIDTH,
            "length": LENGTH,
            "layers": layers,
            "size": THICKNESS / layers,
        },
    )


def metal(ratio: float) -> Material:
    """A metal with l = ratio * LENGTH."""
    path = sqrt(5) * ratio * LENGTH * 1e-9
    return Material(carriers="3d", conductivity=2.4e6, mean_free_path=path)


def memory(comm: MPI.Comm) -> float:
    """Peak memory of all ranks so far, GB."""
    return comm.allreduce(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) / 2**20


def measure(device: Device, ratio: float, copies: int) -> dict[str, float]:
    """Times of one solution, iterations, and the error of the current."""
    comm, matter, rough = device.comm, metal(ratio), Wall(specularity=0.0)
    boundaries = {
        "source": Contact(potential=VOLT),
        "drain": Contact(potential=0.0),
        "surfaces": rough,
        "sides": Wall(specularity=1.0),
    }
    model = Hydrodynamic(device, materials={"metal": matter}, boundaries=boundaries)
    comm.Barrier()
    start = time.perf_counter()
    system = IterativeSystem(model.problem())
    comm.Barrier()
    ready = time.perf_counter()
    solutions = system.solve()
    comm.Barrier()
    done = time.perf_counter()
    system.close()
    exact = Ribbon(
        width=THICKNESS * 1e-9,
        diffusion_length=ratio * LENGTH * 1e-9,
        slip_rate=rough.slip_rate(matter),
        drive=matter.conductivity * VOLT / (LENGTH * 1e-9),
    )
    wanted = exact.current * copies * WIDTH * 1e-9
    current = solutions.flux[0, 0] * model.scales.current(3) * VOLT
    return {
        "unknowns": solutions.evidence["unknowns"],
        "setup": ready - start,
        "solve": done - ready,
        "iterations": solutions.evidence["iterations"],
        "error": abs(current / wanted - 1),
    }


def main() -> None:
    """Print a line for each l."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", choices=LAYERS, default="small")
    parser.add_argument("--layers", type=int, help="layers of cells, instead of --size")
    parser.add_argument("--ratios", type=float, nargs="+", default=[0.01, 0.1, 1.0])
    parser.add_argument("--weak", action="store_true", help="a film for each rank")
    parser.add_argument("--smallest", action="store_true", help="few cells, one l/L")
    options = parser.parse_args()
    if options.smallest:
        options.layers, options.ratios = LAYERS["tiny"], [1.0]
    comm = MPI.COMM_WORLD
    copies = comm.size if options.weak else 1
    start = time.perf_counter()
    device = film(options.layers or LAYERS[options.size], copies)
    comm.Barrier()
    mesh = time.perf_counter() - start
    if comm.rank == 0:
        print(f"{comm.size} ranks, {device.cells} cells, mesh {mesh:.2f} s")
        print("| l/L | unknowns | setup, s | solve, s | iterations | error of I | peak, GB |")
        print("|---|---|---|---|---|---|---|")
    for ratio in options.ratios:
        row = measure(device, ratio, copies)
        peak = memory(comm)
        if comm.rank == 0:
            print(
                f"| {ratio:g} | {row['unknowns']} | {row['setup']:.2f} | {row['solve']:.2f}"
                f" | {row['iterations']} | {row['error']:.1e} | {peak:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
