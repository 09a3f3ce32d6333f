"""How long the microscopic part takes: diffusivities of V and Ta, reading a Wannier90 file.

    python3 benchmarks/bands.py [--processes 2]
    python3 benchmarks/bands.py --smallest          # few wave vectors: does it still run?

Targets: V at the Fermi energy on a mirror-reduced grid of 55,296 wave vectors, nine orbitals, all
blocks, under 5 s on one core; 50³ wave vectors with 18 orbitals, no symmetry, under 40 s on two
cores and 1 GB; a Wannier90 file of 50 orbitals and 500 vectors in under 2 s. Each is run three
times, the best is printed. With one thread for BLAS: OMP_NUM_THREADS=1.
"""

import argparse
import os
import resource
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from meso import bands
from meso.bands import models


def best(function: Callable[[], Any], repeat: int = 3) -> tuple[Any, float, float]:
    """The result; least wall-clock time, and processor time with children, in s."""
    wall, cpu = [], []
    for _ in range(repeat):
        start, used = time.perf_counter(), processor()
        result = function()
        wall.append(time.perf_counter() - start)
        cpu.append(processor() - used)
    return result, min(wall), min(cpu)


def processor() -> float:
    """Processor time so far of this process and its finished children, in s."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def memory() -> float:
    """Largest resident size so far of this process or one of its children, in MB."""
    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return max(resource.getrusage(w).ru_maxrss for w in who) / 1024


def wannier_file(folder: Path, size: int, count: int) -> Path:
    """A file with random hoppings."""
    grid = np.array(np.meshgrid(*[np.arange(-4, 5)] * 3, indexing="ij")).reshape(3, -1).T
    count -= 1 - count % 2  # the one at the origin, and pairs
    cells = grid[(len(grid) - count) // 2 :][:count]
    rng = np.random.default_rng(0)
    t = rng.normal(size=(len(cells), size, size)) + 1j * rng.normal(size=(len(cells), size, size))
    t = (t + t[::-1].conj().swapaxes(1, 2)) / 2
    lines = ["benchmark", str(size), str(len(cells))]
    lines += ["    1" * min(15, len(cells) - s) for s in range(0, len(cells), 15)]
    for cell, matrix in zip(cells, t, strict=True):
        head = "".join(f"{c:5d}" for c in cell)
        for n in range(size):
            for m in range(size):
                v = matrix[m, n]
                lines.append(f"{head}{m + 1:5d}{n + 1:5d}{v.real:12.6f}{v.imag:12.6f}")
    path = folder / "x_hr.dat"
    path.write_text("\n".join(lines) + "\n")
    return path


def report(label: str, found: str, wall: float, used: str) -> None:
    """A row of the table."""
    print(f"| {label} | {found} | {wall:.2f} | {used} |", flush=True)


def largest(found: bands.Diffusivity) -> str:
    """The largest element of a diffusivity: the same for all of a grid and its irreducible part."""
    return f"{np.abs(found.value).max():.9e} {found.unit}"


def vanadium(k: int) -> None:
    """One core, with some and with all of the symmetry of the lattice."""
    metal = models.SlaterKosterBcc("V")
    for symmetry in ("mirror", "auto"):
        mesh = bands.uniform(metal, k, symmetry=symmetry)
        found, wall, cpu = best(partial(bands.diffusivity, metal, 0.0, 0.1, mesh))
        label = f"V, 9 orbitals, {len(mesh.points)} k ({symmetry}), 1 process"
        report(label, largest(found), wall, f"{cpu:.2f}")


def tantalum(k: int, processes: int) -> None:
    """All of the zone on several cores, and its irreducible part on one."""
    metal = models.SlaterKosterBcc("Ta")
    full = bands.uniform(metal, k, symmetry="none")
    on_all = partial(bands.diffusivity, metal, 0.0, 0.1, full, processes=processes)
    for directions in ("x", "xyz"):
        found, wall, cpu = best(partial(on_all, directions=directions), repeat=1)
        label = f"Ta, 18 orbitals, {k}³ k, gradients {directions}, {processes} processes"
        report(label, largest(found), wall, f"{cpu:.2f}, {memory():.0f} MB a process")
    found, wall, cpu = best(partial(bands.diffusivity, metal, 0.0, 0.1, k))
    label = f"Ta, 2·{k}³ k by all symmetry, 1 process"
    report(label, largest(found), wall, f"{cpu:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--smallest", action="store_true", help="few wave vectors")
    options = parser.parse_args()
    # 2·62³/8 = 59,582 points: at least those 55,296.
    grids, orbitals, vectors = ((8, 4), 4, 50) if options.smallest else ((62, 50), 50, 500)
    print("| what | largest element of D | clock, s | processor, s |")
    print("|---|---|---|---|", flush=True)
    vanadium(grids[0])
    tantalum(grids[1], options.processes)
    with tempfile.TemporaryDirectory() as folder:
        path = wannier_file(Path(folder), orbitals, vectors)
        _, wall, cpu = best(partial(models.Wannier90, path, lattice=3 * np.eye(3)))
    label = f"reading {orbitals} orbitals, {vectors - 1} vectors"
    report(label, "-", wall, f"{cpu:.2f}")


if __name__ == "__main__":
    main()
