"""How often reported errors of Hall conductivities cover the true ones; how fast k is refined.

    python3 benchmarks/bands_errors.py [--processes 2]
    python3 benchmarks/bands_errors.py --smallest          # few wave vectors: does it still run?

Each case is a model, an operator and an energy, on grids of several sizes at several offsets: the
usual one, and random ones. The true value is that of adaptive refinement to a far smaller error,
200,000 to 1,100,000 wave vectors (`TRUE`). Covered is what differs from it by no more than both
errors.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from functools import cache

import numpy as np

from meso import bands
from meso.bands import engine, models
from meso.bands.model import Model

MODELS: dict[str, Callable[[], Model]] = {
    "2D, gap 0.2 eV": models.GappedLattice,
    "2D, gap 0.02 eV": lambda: models.GappedLattice(mass=-0.01),
    "bcc p, ξ = 0.1 eV": lambda: models.BccP(spin_orbit=0.1),
    "bcc p, ξ = 0.01 eV": lambda: models.BccP(spin_orbit=0.01),
    "bcc p, ξ = 0.1 eV, exchange": lambda: models.BccP(spin_orbit=0.1, exchange=(0, 0, 0.2)),
    "Ta, ξ = 0.25 eV": lambda: models.SlaterKosterBcc("Ta"),
    "V, ξ = 0.03 eV": lambda: models.SlaterKosterBcc("V", spin_orbit=0.03),
}
#: Sizes of grids, how many offsets of each, tolerances of adaptive refinement.
GRIDS = {
    "2D": ((8, 8), (16, 8), (32, 8)),
    "bcc": ((8, 6), (12, 4), (16, 2)),
    "Ta": ((8, 4), (12, 2)),
    "V,": ((8, 4), (12, 2)),
}
TOLERANCES = (0.5, 0.3, 0.2, 0.1)
#: Cells along each reciprocal vector that adaptive refinement starts with, the usual ones first.
STARTS = {2: (16,), 3: (4, 5, 6)}
#: Model, operator, energy (eV): [x, z, y] in (ħ/e) S/m or S, and its error.
TRUE: dict[tuple[str, str, float], tuple[float, float]] = {
    ("2D, gap 0.2 eV", "1", 0.0): (-3.87404586e-05, 1.3e-12),
    ("2D, gap 0.2 eV", "1", -0.5): (-3.87404586e-05, 1.3e-12),
    ("2D, gap 0.2 eV", "1", -1.5): (3.06619752e-06, 5.7e-11),
    ("2D, gap 0.2 eV", "L", 0.0): (-1.93702293e-05, 1.6e-12),
    ("2D, gap 0.2 eV", "L", -0.5): (-1.93702293e-05, 1.6e-12),
    ("2D, gap 0.2 eV", "L", -1.5): (2.97581176e-06, 5e-11),
    ("2D, gap 0.02 eV", "1", 0.0): (-3.87404586e-05, 1.1e-11),
    ("2D, gap 0.02 eV", "1", -0.3): (-1.7101717e-05, 3.2e-10),
    ("2D, gap 0.02 eV", "L", 0.0): (-1.93702293e-05, 3.3e-12),
    ("2D, gap 0.02 eV", "L", -0.3): (-1.33271292e-05, 2.3e-10),
    ("bcc p, ξ = 0.1 eV", "S", -0.5): (-4333.8, 19),
    ("bcc p, ξ = 0.1 eV", "S", -0.1): (-18416, 49),
    ("bcc p, ξ = 0.1 eV", "S", 0.2): (-10931, 49),
    ("bcc p, ξ = 0.1 eV", "S", 0.5): (4341.8, 23),
    ("bcc p, ξ = 0.1 eV", "L", -0.5): (7432.7, 29),
    ("bcc p, ξ = 0.1 eV", "L", -0.1): (57180, 1.1e02),
    ("bcc p, ξ = 0.1 eV", "L", 0.2): (1.0053e05, 97),
    ("bcc p, ξ = 0.1 eV", "L", 0.5): (1.286e05, 51),
    ("bcc p, ξ = 0.01 eV", "S", -0.3): (-5518.9, 12),
    ("bcc p, ξ = 0.01 eV", "S", 0.0): (-6137.6, 9.1),
    ("bcc p, ξ = 0.01 eV", "S", 0.3): (-7371, 29),
    ("bcc p, ξ = 0.01 eV", "L", -0.3): (39647, 75),
    ("bcc p, ξ = 0.01 eV", "L", 0.0): (1.0502e05, 1e02),
    ("bcc p, ξ = 0.01 eV", "L", 0.3): (1.7206e05, 1.9e02),
    ("bcc p, ξ = 0.1 eV, exchange", "1", -0.3): (40154, 4.3e02),
    ("bcc p, ξ = 0.1 eV, exchange", "1", 0.1): (9059.4, 3.4e02),
    ("bcc p, ξ = 0.1 eV, exchange", "1", 0.4): (-15482, 3.6e02),
    ("bcc p, ξ = 0.1 eV, exchange", "L", -0.3): (-14842, 1.9e02),
    ("bcc p, ξ = 0.1 eV, exchange", "L", 0.1): (30424, 1.4e03),
    ("bcc p, ξ = 0.1 eV, exchange", "L", 0.4): (46765, 1.4e03),
    ("Ta, ξ = 0.25 eV", "S", -3.0): (-20723, 1.6e02),
    ("Ta, ξ = 0.25 eV", "S", -1.0): (-41555, 7.7e02),
    ("Ta, ξ = 0.25 eV", "S", 0.0): (-26949, 1.3e03),
    ("Ta, ξ = 0.25 eV", "S", 2.0): (-53931, 1.9e03),
    ("Ta, ξ = 0.25 eV", "L", -3.0): (3733.1, 1.8e02),
    ("Ta, ξ = 0.25 eV", "L", -1.0): (1.4615e05, 2e03),
    ("Ta, ξ = 0.25 eV", "L", 0.0): (2.6706e05, 4.7e03),
    ("Ta, ξ = 0.25 eV", "L", 2.0): (5.3197e05, 5.9e03),
    ("V, ξ = 0.03 eV", "S", -1.0): (17434, 8.1e02),
    ("V, ξ = 0.03 eV", "S", 0.0): (-6164.3, 1.6e03),
    ("V, ξ = 0.03 eV", "S", 1.0): (-14211, 1.7e03),
    ("V, ξ = 0.03 eV", "L", -1.0): (1.1612e05, 8e03),
    ("V, ξ = 0.03 eV", "L", 0.0): (2.5808e05, 2.7e04),
    ("V, ξ = 0.03 eV", "L", 1.0): (4.8852e05, 3.1e04),
}


@cache
def model(name: str) -> Model:
    """Made once."""
    return MODELS[name]()


def grids(name: str, smallest: bool) -> Iterator[bands.Mesh]:
    """The meshes of a model: the usual offset first, then random ones."""
    rng = np.random.default_rng(len(name))
    for n, count in GRIDS[name[:2] if name[:2] in GRIDS else "bcc"][: 1 if smallest else None]:
        for nth in range(2 if smallest else count):
            offset = True if nth == 0 else rng.random(model(name).dimension)
            yield bands.uniform(model(name), n, generic=offset)


def entry(found: bands.Quantity, true: float) -> tuple[float, float]:
    """What [x, z, y] differs from the truth by, and its error."""
    at = (0, 2, 1)
    return abs(float(found.value[at]) - true), float(found.error[at])


def coverage(name: str, processes: int, smallest: bool) -> tuple[int, int, float, float]:
    """Of a model on grids: results, covered ones, medians of the error and of its ratio."""
    rows = []
    for (whose, operator, energy), (true, rest) in TRUE.items():
        if whose == name:
            for mesh in grids(name, smallest):
                found = bands.hall_conductivity(
                    model(name), operator, energy=energy, kmesh=mesh, processes=processes
                )
                wrong, error = entry(found, true)
                rows.append((wrong <= error + rest, error / abs(true), error / max(wrong, 1e-99)))
    covered, size, ratio = np.array(rows).T
    return len(rows), int(covered.sum()), float(np.median(size)), float(np.median(ratio))


def adaptive(
    name: str, tolerance: float, processes: int, smallest: bool
) -> tuple[int, int, int, float]:
    """Of a model with a tolerance: results, covered ones, largest number of k, longest time."""
    rows = []
    for (whose, operator, energy), (true, rest) in TRUE.items():
        if whose != name or (smallest and rows):
            continue
        dimension = model(name).dimension
        usual = engine._START[dimension]
        for cells in STARTS[dimension][: 1 if smallest else None]:
            start = time.perf_counter()
            engine._START[dimension] = cells
            found = bands.hall_conductivity(
                model(name), operator, energy=energy, tolerance=tolerance, processes=processes
            )
            took = time.perf_counter() - start
            wrong, error = entry(found, true)
            used = int(found.provenance["grid"].split()[1])
            rows.append((wrong <= error + rest, used, took))
        engine._START[dimension] = usual
    covered, used, took = np.array(rows).T
    return len(rows), int(covered.sum()), int(used.max()), float(took.max())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--smallest", action="store_true", help="few wave vectors")
    parser.add_argument("--only", default="", help="models whose names contain this")
    options = parser.parse_args()
    names = [name for name in MODELS if options.only in name]
    names = names[:3] if options.smallest else names
    print("| model | on grids: covered | median error | over the true one |", end="")
    tolerances = TOLERANCES[-1:] if options.smallest else TOLERANCES
    print("".join(f" to {100 * t:.0f} %: covered | wave vectors |" for t in tolerances))
    print("|---" * (4 + 2 * len(tolerances)) + "|")
    for name in names:
        count, covered, size, ratio = coverage(name, options.processes, options.smallest)
        print(f"| {name} | {covered} of {count} | {100 * size:.0f} % | {ratio:.1f} |", end="")
        for tolerance in tolerances:
            count, covered, used, took = adaptive(
                name, tolerance, options.processes, options.smallest
            )
            print(f" {covered} of {count} | {used} in {took:.0f} s |", end="")
        print(flush=True)


if __name__ == "__main__":
    main()
