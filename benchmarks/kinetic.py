"""Boltzmann equation: time, iterations and memory of the iterations, and what they avoid.

    python3 benchmarks/kinetic.py                   # 20,000 triangles, N = 16, Kn = .005 ... 5
    python3 benchmarks/kinetic.py --smooth          # specularity .99 against 0
    python3 benchmarks/kinetic.py --harmonics 8 16 32 64   # memory and time in proportion to N
    python3 benchmarks/kinetic.py --bounds          # and both bounds
    python3 benchmarks/kinetic.py --peer            # the factorisation, on a coarser mesh
    python3 benchmarks/kinetic.py --size .93 --knudsen .05   # 100,000 triangles
    python3 benchmarks/kinetic.py --smallest        # few cells, all of this: does it still run?
    mpirun -n 2 python3 benchmarks/kinetic.py

The constriction of ``geometries/constriction.geo`` between two reservoirs, moments in P2; Kn is the
mean free path over the narrowest width. Times are from the mesh in memory to conductances and
fields: of the processor (of rank 0), and by the clock. On one rank each row is a process of its
own; its peak of memory includes Python and DOLFINx, about 0.2 GB.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from mpi4py import MPI

from meso import Contact, Device, Material, Wall
from meso.flow import Kinetic
from meso.flow.certificate import lower_bound
from meso.flow.even import EvenParity

GEOMETRY = Path(__file__).parents[1] / "geometries" / "constriction.geo"
OPENING = 100e-9
#: Size of cells for about 20,000 triangles, nm; for a factorisation in reasonable time.
SIZE, COARSE, SMALLEST = 2.08, 5.5, 25.0
VOLT = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One row.

    Attributes:
        knudsen: Mean free path over the opening.
        harmonics: N.
        specularity: Of the walls.
        size: Of the cells, nm.
        solver: "iterative" or "direct".
        bounds: Whether to compute both bounds too.
    """

    knudsen: float
    harmonics: int
    specularity: float
    size: float
    solver: str
    bounds: bool

    def row(self) -> str:
        """Measure."""
        comm = MPI.COMM_WORLD
        device = Device.from_gmsh(GEOMETRY, length_unit="nm", order=2, size=self.size * 1e-9)
        path = self.knudsen * OPENING
        matter = Material(carriers="2d", conductivity=0.02, mean_free_path=path)
        model = Kinetic(
            device,
            materials=dict.fromkeys(device.regions, matter),
            boundaries={
                "source": Contact(potential=VOLT),
                "drain": Contact(potential=0.0),
                "edges": Wall(specularity=self.specularity),
            },
            order=2,
            harmonics=self.harmonics,
            solver=self.solver,
        )
        with Watch(comm) as first:
            flow = model.solve()
        cells = [
            f"{self.knudsen:g}",
            f"{self.harmonics}",
            f"{self.specularity:g}",
            f"{device.cells}",
            self.solver,
            f"{flow.evidence['unknowns']}",
            f"{flow.evidence.get('iterations', '-')}",
            f"{first.processor:.2f}",
            f"{first.clock:.2f}",
            f"{flow.conductance_matrix[0, 0]:.9g}",
        ]
        if self.bounds:
            with Watch(comm) as second:
                even = EvenParity(flow, self.harmonics, solver=self.solver)
                upper = even.conductance()[0, 0]
            with Watch(comm) as third:
                lower = lower_bound(flow).matrix
            assert lower is not None
            cells += [f"{second.processor:.2f}", f"{upper:.9g}"]
            cells += [f"{third.processor:.2f}", f"{lower[0, 0]:.9g}"]
        peak = comm.allreduce(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) / 2**20
        return "| " + " | ".join([*cells, f"{peak:.2f}"]) + " |"


class Watch:
    """Seconds of the processor and by the clock, between two barriers."""

    def __init__(self, comm: MPI.Comm) -> None:
        self.comm, self.processor, self.clock = comm, 0.0, 0.0

    def __enter__(self) -> Watch:
        """Start."""
        self.comm.Barrier()
        self.clock, self.processor = -time.perf_counter(), -time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self.processor += time.process_time()
        self.comm.Barrier()
        self.clock += time.perf_counter()


def runs(options: argparse.Namespace) -> list[Run]:
    """The rows that the options ask for."""

    def run(knudsen: float, harmonics: int, **changes: float | str) -> Run:
        values = {"specularity": 0.0, "size": options.size, "solver": "iterative", **changes}
        return Run(knudsen=knudsen, harmonics=harmonics, bounds=options.bounds, **values)  # type: ignore[arg-type]

    out = []
    for harmonics in options.harmonics:
        for knudsen in options.knudsen:
            out.append(run(knudsen, harmonics))
            if options.smooth:
                out.append(run(knudsen, harmonics, specularity=0.99))
            if options.peer:
                coarse = max(COARSE, options.size)
                out += [run(knudsen, harmonics, size=coarse, solver="direct")]
                out += [run(knudsen, harmonics, size=coarse)]
    return out


def main() -> None:
    """Print a line for each run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--knudsen", type=float, nargs="+", default=[0.005, 0.05, 0.5, 5.0])
    parser.add_argument("--harmonics", type=int, nargs="+", default=[16])
    parser.add_argument("--size", type=float, default=SIZE, help="of the cells, nm")
    parser.add_argument("--smooth", action="store_true", help="specularity .99 as well")
    parser.add_argument("--bounds", action="store_true", help="both bounds as well")
    parser.add_argument("--peer", action="store_true", help="the factorisation as well")
    parser.add_argument("--smallest", action="store_true", help="all of it, on few cells")
    parser.add_argument("--row", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.smallest:
        options.knudsen, options.harmonics, options.size = [0.5], [4], SMALLEST
        options.bounds = options.peer = True
    comm = MPI.COMM_WORLD
    if comm.rank == 0 and not options.row:
        bound = " bound, s | upper | bound, s | lower |" if options.bounds else ""
        print(
            "| Kn | N | p | triangles | solver | unknowns | iterations | processor, s | clock, s"
            f" | G, S |{bound} peak, GB |"
        )
        print("|" + "---|" * (15 if options.bounds else 11), flush=True)
    every = runs(options)
    if options.row or comm.size > 1:
        for index in [int(options.row)] if options.row else range(len(every)):
            line = every[index].row()
            if comm.rank == 0:
                print(line, flush=True)
        return
    for index in range(len(every)):
        subprocess.run([sys.executable, *sys.argv, "--row", str(index)], check=True)


if __name__ == "__main__":
    main()
