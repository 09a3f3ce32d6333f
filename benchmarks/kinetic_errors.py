"""How often the estimated errors of kinetic runs cover the true ones.

    python3 benchmarks/kinetic_errors.py [ribbon ring bend cross]
    python3 benchmarks/kinetic_errors.py --seed 7 [film ...]  # settings drawn at random
    python3 benchmarks/kinetic_errors.py --smallest      # two ribbons: does it still run?

Each case is a device, a mean free path, a kernel, a specularity and a number of harmonics N. What
is estimated are relative errors of N harmonics and of the mesh together. True are closed forms
(films), an integral equation (ribbons), and for other devices degree 5, or degree 4 on cells half
as large where settings are drawn, and twice as many harmonics as in the cases and at least 32,
extrapolated; where these are in doubt by more than a third of the estimate, a case says nothing.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from math import inf
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import gmsh
import numpy as np
from kinetic_ribbon import ribbon

import meso
from meso.constants import ELEMENTARY_CHARGE
from meso.evidence.convergence import Convergence, converge, quantities
from meso.exact_kinetic import KineticFilm
from meso.flow import Flow, Kinetic
from meso.observables.grazing import iteration_tolerance
from meso.results.running import build_device

GEOMETRIES = Path(__file__).parents[1] / "geometries"
#: Relative errors that iterations and rounding leave.
ROUNDING = 1e-6
KERNELS = ("isotropic", "radial-tangential")
WIDTH, SIGMA, VOLT, PERIOD = 100e-9, 4e-3, 1e-3, 10e-9
#: A quarter of a ring in structured cells, as a user might draw it.
RING = """
SetFactory("OpenCASCADE");
Point(1) = {{100, 0, 0}}; Point(2) = {{200, 0, 0}}; Point(3) = {{0, 200, 0}};
Point(4) = {{0, 100, 0}}; Point(5) = {{0, 0, 0}};
Line(1) = {{1, 2}}; Circle(2) = {{2, 5, 3}}; Line(3) = {{3, 4}}; Circle(4) = {{4, 5, 1}};
Curve Loop(1) = {{1, 2, 3, 4}}; Plane Surface(1) = {{1}};
Transfinite Curve {{1, 3}} = {across}; Transfinite Curve {{2, 4}} = {along};
Transfinite Surface {{1}};
Physical Surface("metal") = {{1}};
Physical Curve("source") = {{1}}; Physical Curve("drain") = {{3}};
Physical Curve("edges") = {{2, 4}};
"""


def ring(path: Path, across: int, along: int) -> Path:
    """Mesh a quarter of a ring with Gmsh alone, curved cells of degree three."""
    drawing = path.with_suffix(".geo")
    drawing.write_text(RING.format(across=across + 1, along=along + 1))
    gmsh.initialize(readConfigFiles=False, interruptible=False)
    try:
        gmsh.option.setNumber("General.Terminal", 0)
        gmsh.open(str(drawing))
        gmsh.model.mesh.generate(2)
        gmsh.model.mesh.setOrder(3)
        gmsh.write(str(path))
    finally:
        gmsh.finalize()
    return path


def scaled(drawing: Path, folder: Path, factor: float) -> Path:
    """A drawing with all of its cells larger, or smaller, than the program chooses them."""
    path = folder / f"{drawing.stem}{factor:g}.geo"
    path.write_text(f"{drawing.read_text()}\nMesh.MeshSizeFactor = {factor:g};\n")
    return path


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A device with its walls and its metal.

    Attributes:
        device: "period 24" (flat cells across a ribbon), "ribbon 15" or "film 15" (size of the
            cells, nm; a film has a Fermi sphere), "ring 8x32", "bend 2" or "cross 2" (size of
            the cells over those that the program chooses).
        path: Mean free path over the width.
        kernel: Scattering.
        specularity: Of all walls.
        electrons: Mean free path between collisions of electrons, over the width.
        angle: Of a bend, degrees.
        fillet: Of the corners of a crossing, nm.
    """

    device: str
    path: float
    kernel: str
    specularity: float = 0.0
    electrons: float = inf
    angle: float = 90.0
    fillet: float = 20.0

    def case(self, folder: Path, harmonics: int, *, fine: bool = False) -> meso.Case:
        """The case, or one with cells half as large."""
        kind, _, cells = self.device.partition(" ")
        size = float(cells) if kind in ("ribbon", "film") else 0.0
        wall: Any = {"wall": {"specularity": self.specularity}}
        ends: Any = [{"contact": {"potential": volt}} for volt in (VOLT, 0.0)]
        boundaries = {"source": ends[0], "drain": ends[1], "edges": wall}
        parameters: dict[str, float] = {}
        file = {"period": "ribbon_period", "film": "ribbon", "bend": "annulus"}.get(kind, kind)
        path = GEOMETRIES / f"{file}.geo"
        if kind in ("ribbon", "film", "period"):
            parameters = {"width": 100, "length": 10}
            parameters |= {"cells": float(cells)} if kind == "period" else {}
            boundaries = {"source": {"periodic": {"to": "drain", "voltage": VOLT}}, "edges": wall}
        elif kind == "ring":
            across, along = (int(n) * (2 if fine else 1) for n in cells.split("x"))
            path = ring(folder / f"ring{across}.msh", across, along)
        elif kind == "bend":
            path = scaled(path, folder, float(cells) * (0.5 if fine else 1.0))
            parameters = {"angle": self.angle}
            boundaries = {**boundaries, "inner": wall, "outer": wall}
            del boundaries["edges"]
        else:
            path = scaled(path, folder, float(cells) * (0.5 if fine else 1.0))
            parameters = {"length": 200, "fillet": self.fillet}
            floating: Any = {"contact": {"current": 0}}
            boundaries = {"left": ends[0], "right": ends[1], "edges": wall}
            boundaries |= {"top": floating, "bottom": floating}
        metal = {
            "carriers": "3d" if kind == "film" else "2d",
            "conductivity": SIGMA,
            "mean_free_path": self.path * WIDTH,
            "scattering": self.kernel,
            "fermi_energy": ELEMENTARY_CHARGE,
        }
        if self.electrons < inf:
            metal["electron_electron_mean_free_path"] = self.electrons * WIDTH
        geometry = {"file": str(path), "length_unit": "nm", "parameters": parameters}
        mesh = {"size": size * 1e-9} if size else {}
        if kind == "cross" and not self.fillet:
            mesh = {"accuracy": 1e-3 if fine else 1e-2}
        tables: dict[str, Any] = {
            "geometry": geometry,
            "mesh": mesh,
            "materials": {"metal": metal},
            "regions": {"metal": "metal"},
            "boundaries": boundaries,
            "flow": {"model": "kinetic", "harmonics": harmonics},
        }
        return meso.Case.from_dict(tables)


class Solver:
    """Solutions of a setting on its mesh, each of them made once."""

    def __init__(self, setting: Setting, folder: Path, *, fine: bool = False) -> None:
        self.case = setting.case(folder, 16, fine=fine)
        self.device = build_device(self.case)
        self.found: dict[tuple[int, int], Flow] = {}

    def __call__(self, harmonics: int, order: int, start: Flow | None) -> Flow:
        """The flow of so many harmonics, of a degree."""
        if (harmonics, order) not in self.found:
            self.found[harmonics, order] = Kinetic(
                self.device,
                materials=self.case.region_materials,
                boundaries=self.case.boundaries,
                harmonics=harmonics,
                order=order,
                tolerance=iteration_tolerance(self.case.boundaries),
            ).solve(start)
        return self.found[harmonics, order]


def truth(setting: Setting, solve: Solver, most: int, degree: int) -> tuple[np.ndarray, np.ndarray]:
    """True values of the quantities, and what these are in doubt by."""
    kind = setting.device.split()[0]
    if kind in ("ribbon", "film", "period"):
        if kind == "film":
            film = KineticFilm(
                width=1.0, mean_free_path=setting.path, specularity=setting.specularity
            )
            current, step = film.conductance, film.edge_step
        else:
            current, step = ribbon(
                setting.path, setting.specularity, setting.kernel, setting.electrons
            )
        _, units, values = quantities(solve(8, 3, None))
        kappa = solve.case.materials["metal"].orbital_coupling
        assert isinstance(kappa, float)
        field = SIGMA * VOLT / PERIOD
        size = {"A": current * field * WIDTH, "J s": abs(kappa) * step * field * PERIOD}
        true = [np.sign(v) * size.get(u, abs(v)) for v, u in zip(values, units, strict=True)]
        return np.array(true), np.zeros(len(true))
    units = quantities(solve(8, degree - 1, None))[1]
    few, some, many = (
        quantities(solve(n, degree - 1, None))[2] for n in (most // 2, most, 2 * most)
    )
    mesh = quantities(solve(most, degree, None))[2] - some
    # What is left is between a third of the last step and all of it, N^-2 or 1/N. Moments
    # converge too irregularly to be extrapolated.
    last = many - some
    ratio = np.clip(np.abs(some - few) / np.maximum(np.abs(last), 1e-300), 2.0, 4.0)
    moments, left = np.array(units) == "J s", last / (ratio - 1)
    doubt = np.where(moments, np.abs(last), np.maximum(np.abs(left - last / 3), np.abs(last) / 6))
    return many + mesh + np.where(moments, 0.0, left), doubt + np.abs(mesh) / 2


def estimates(
    setting: Setting, numbers: tuple[int, ...], folder: Path, *, fine: bool
) -> Iterator[tuple[int, Convergence, np.ndarray, np.ndarray]]:
    """N, what is estimated, the true values and their doubt."""
    solve = Solver(setting, folder)
    finer = Solver(setting, folder, fine=True) if fine else solve
    most, degree = (32, 4) if fine else (16, 5)
    true, doubt = truth(setting, finer, max(most, *numbers), degree)
    for number in numbers:
        found = converge(solve, order=3, harmonics=number, tolerance=1e-3, estimate=True)[1]
        yield number, found, true, doubt


def settings(device: str, smallest: bool) -> list[tuple[Setting, tuple[int, ...]]]:
    """Those of a kind of device, and the numbers of harmonics."""
    if smallest:
        kinds: list[tuple[str, float, float]] = [("period 20", 0.1, 0.0)]
        numbers: tuple[int, ...] = (4, 8)
    elif device == "ribbon":
        kinds = [("period 60", path, 0.0) for path in (0.01, 0.05, 0.3, 1.0, 5.0)]
        kinds += [("period 20", path, 0.0) for path in (0.05, 1.0)]
        kinds += [("period 20", path, 0.5) for path in (0.03, 0.3, 2.0)]
        kinds += [("period 40", path, 0.0) for path in (0.1, 2.0)]
        numbers = (4, 8, 16, 32, 64, 128)
    elif device == "ring":
        kinds = [("ring 8x32", path, 0.0) for path in (0.05, 0.2, 1.0, 5.0)]
        kinds += [("ring 4x16", path, 0.0) for path in (0.3, 1.0, 5.0)]
        numbers = (4, 8, 16, 32)
    else:
        kinds = [
            (f"{device} {'25' if device == 'bend' else '40'}", path, 0.0) for path in (0.3, 2.0)
        ]
        numbers = (4, 8, 16)
    return [
        (Setting(device=name, path=path, kernel=kernel, specularity=p), numbers)
        for name, path, p in kinds
        for kernel in KERNELS
    ]


#: Devices of drawn settings, how many of them, and the numbers of harmonics.
DRAWN: dict[str, tuple[tuple[str, ...], int, tuple[int, ...]]] = {
    "ribbon": (("period 16", "period 24", "period 40", "ribbon 20"), 80, (4, 8, 16, 32, 64)),
    "film": (("film 20", "film 10"), 24, (4, 8, 16)),
    "ring": (("ring 6x24", "ring 10x40"), 12, (4, 8, 16)),
    "bend": (("bend 2", "bend 3"), 24, (4, 8, 16)),
    "cross": (("cross 2", "cross 3"), 24, (4, 8, 16)),
}


def drawn(device: str, seed: int) -> list[tuple[Setting, tuple[int, ...]]]:
    """Settings at random, each with a number of harmonics: lambda/W from 0.01 to 5, p to 0.9.

    Bends and crossings are compared from lambda/W = 0.1 on, with thousands of cells at most.
    """
    kinds, count, numbers = DRAWN[device]
    shortest = 0.1 if device in ("bend", "cross") else 0.01
    random = np.random.default_rng([seed, *device.encode()])
    found: list[tuple[Setting, tuple[int, ...]]] = []
    for k in range(count):
        kernel = "isotropic" if device == "film" else KERNELS[k % 2]
        colliding = device == "ribbon" and random.random() < 0.25
        setting = Setting(
            device=str(random.choice(kinds)),
            path=float(np.exp(random.uniform(*np.log([shortest, 5.0])))),
            kernel=kernel,
            specularity=float(random.uniform(0.0, 0.9)),
            electrons=float(np.exp(random.uniform(*np.log([0.03, 3.0])))) if colliding else inf,
            angle=float(random.uniform(30.0, 150.0)),
            fillet=float(random.choice([0.0, 10.0, 20.0, 40.0])),
        )
        number = 128 if device == "ribbon" and k % 20 == 0 else int(random.choice(numbers))
        # A reference in these takes longer than all that is compared with it.
        found.append((setting, numbers if device in ("bend", "cross") else (number,)))
    return found


def row(
    device: str, chosen: list[tuple[Setting, tuple[int, ...]]], folder: Path, *, fine: bool
) -> str:
    """A row: covered cases, the median of estimate over error, the worst error over estimate."""
    counts: dict[str, list[tuple[float, float]]] = {"current": [], "extrapolated": [], "moment": []}
    for setting, numbers in chosen:
        for number, found, true, doubt in estimates(setting, numbers, folder, fine=fine):
            mesh = np.array(found.mesh)
            error = found.relative(found.values[-1] - true)
            pairs = {
                "current": (error[0], found.error[0] + mesh[0], 0),
                "extrapolated": (
                    found.relative(found.extrapolated - true)[0],
                    found.error_extrapolated[0] + mesh[0],
                    0,
                ),
                "moment": (error[1], found.error[1] + mesh[1], 1),
            }
            for what, (real, estimate, which) in pairs.items():
                if found.relative(doubt)[which] > estimate / 3:
                    continue
                counts[what].append((real, estimate))
                if real > estimate + ROUNDING:
                    numbers_ = f"N = {number}: {real:.1e}, {estimate:.1e}"
                    print(f"not covered: {what} of {setting}, {numbers_}")
    cells = []
    for pairs_ in counts.values():
        real, estimate = np.array(pairs_).T
        covered, ratios = int((real <= estimate + ROUNDING).sum()), real / (estimate + ROUNDING)
        cells += [
            f"{covered} of {len(real)}",
            f"{np.median(estimate / real):.1f}",
            f"{ratios.max():.2f}",
        ]
    return f"| {device} | {' | '.join(cells)} |"


def main() -> None:
    """Print the table of docs/bounds.md."""
    parser = argparse.ArgumentParser(description="Coverage of estimated errors of kinetic runs.")
    parser.add_argument("devices", nargs="*", default=["ribbon", "ring", "bend", "cross"])
    parser.add_argument("--smallest", action="store_true", help="two ribbons")
    parser.add_argument("--seed", type=int, help="settings drawn at random instead")
    options = parser.parse_args()
    print("| device ", end="")
    for head in ("current", "extrapolated", "moment"):
        print(f"| {head}: covered | over the true one | worst true over it ", end="")
    print("|\n" + "|---" * 10 + "|")
    with TemporaryDirectory() as folder:
        for device in ["ribbon"] if options.smallest else options.devices:
            random = options.seed is not None and not options.smallest
            chosen = drawn(device, options.seed) if random else settings(device, options.smallest)
            fine = random and device in ("ring", "bend", "cross")
            print(row(device, chosen, Path(folder), fine=fine), flush=True)


if __name__ == "__main__":
    main()
