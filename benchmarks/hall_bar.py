"""Six contacts from one factorisation: the time of a Hall bar, of this and of earlier versions.

    python3 benchmarks/hall_bar.py                 # 50,000 cells of degree 4
    python3 benchmarks/hall_bar.py --smallest      # few cells: does it still run?

The bar of ``geometries/hall_bar.geo`` with diffuse walls. Timed is everything after meshing up to
currents and fields, on the processor; one thread, the forms loaded by a run on few cells. It uses
public names only, so that an earlier commit, in a worktree of its own, runs it as well:

    git worktree add /tmp/earlier COMMIT
    docker/run env PYTHONPATH=/tmp/earlier python3 benchmarks/hall_bar.py
"""

from __future__ import annotations

import argparse
import os
import resource
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from meso import Contact, Device, Material, Wall
from meso.flow import Hydrodynamic

GEOMETRY = Path(__file__).parents[1] / "geometries" / "hall_bar.geo"
#: Sizes of cells, nm: some 50,000 of them, and few.
SIZE, SMALLEST = 1.83, 40.0
CONTACTS = ("source", "drain", "probe1", "probe2", "probe3", "probe4")


def measure(size: float, order: int) -> str:
    """A line for one mesh."""
    device = Device.from_gmsh(
        GEOMETRY, length_unit="nm", order=order, size=size * 1e-9, coarsen=False
    )
    metal = Material(carriers="2d", conductivity=2e-3, mean_free_path=40e-9)
    contacts = {name: Contact(potential=1e-3 * (name == "source")) for name in CONTACTS}
    model = Hydrodynamic(
        device,
        materials=dict.fromkeys(device.regions, metal),
        boundaries={**contacts, "edges": Wall(specularity=0.0)},
    )
    clock, processor = time.perf_counter(), time.process_time()
    flow = model.solve()
    processor, clock = time.process_time() - processor, time.perf_counter() - clock
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    unknowns, first = flow.evidence["unknowns"], flow.conductance_matrix[0, 0]
    return (
        f"| {device.cells} | {unknowns} | {processor:.2f} | {clock:.2f} | {peak:.2f}"
        f" | {first:.10g} |"
    )


def main() -> None:
    """Print a line for the mesh."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=float, default=SIZE, help="of the cells, nm")
    parser.add_argument("--order", type=int, default=4, help="degree of the current density")
    parser.add_argument("--smallest", action="store_true", help="few cells")
    options = parser.parse_args()
    print("| cells | unknowns | processor, s | clock, s | peak, GB | G, S |")
    print("|---|---|---|---|---|---|")
    few = measure(SMALLEST, options.order)
    print(few if options.smallest else measure(options.size, options.order), flush=True)


if __name__ == "__main__":
    main()
