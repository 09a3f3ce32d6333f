"""How long the microscopic part takes: diffusivities of V and Ta, reading a Wannier90 file.

    python3 benchmarks/bands.py [--processes 2]

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
from pathlib import Path

import numpy as np

from meso import bands
from meso.bands import models


def best(function: Callable[[], object], repeat: int = 3) -> tuple[float, float]:
    """Least wall-clock time, and processor time of this process and its children, in s."""
    wall, cpu = [], []
    for _ in range(repeat):
        start, used = time.perf_counter(), processor()
        function()
        wall.append(time.perf_counter() - start)
        cpu.append(processor() - used)
    return min(wall), min(cpu)


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, default=2)
    processes = parser.parse_args().processes

    vanadium = models.SlaterKosterBcc("V")
    # 2·62³/8 = 59,582 points: at least those 55,296.
    for symmetry in ("mirror", "auto"):
        mesh = bands.uniform(vanadium, 62, symmetry=symmetry)
        wall, cpu = best(lambda mesh=mesh: bands.diffusivity(vanadium, 0.0, 0.1, mesh))
        label = f"V, 9 orbitals, {len(mesh.points)} k ({symmetry}), 1 process"
        print(f"{label:<58} {wall:7.2f} s  (processor {cpu:.2f} s)")

    tantalum = models.SlaterKosterBcc("Ta")
    full = bands.uniform(tantalum, 50, symmetry="none")
    for directions in ("x", "xyz"):
        wall, cpu = best(
            lambda d=directions: bands.diffusivity(
                tantalum, 0.0, 0.1, full, directions=d, processes=processes
            ),
            repeat=1,
        )
        label = f"Ta, 18 orbitals, 50³ k, gradients {directions}, {processes} processes"
        print(f"{label:<58} {wall:7.2f} s  (processor {cpu:.2f} s, {memory():.0f} MB a process)")
    wall, cpu = best(lambda: bands.diffusivity(tantalum, 0.0, 0.1, 50))
    print(
        f"{'Ta, the same with its symmetry, 1 process':<58} {wall:7.2f} s  (processor {cpu:.2f} s)"
    )

    with tempfile.TemporaryDirectory() as folder:
        path = wannier_file(Path(folder), 50, 500)
        wall, cpu = best(lambda: models.Wannier90(path, lattice=3 * np.eye(3)))
    print(f"{'reading 50 orbitals, 499 vectors':<58} {wall:7.2f} s  (processor {cpu:.2f} s)")


if __name__ == "__main__":
    main()
