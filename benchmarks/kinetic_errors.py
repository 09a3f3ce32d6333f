"""How often the estimated errors of kinetic runs cover the true ones.

    python3 benchmarks/kinetic_errors.py [ribbon ring bend cross]
    python3 benchmarks/kinetic_errors.py --smallest      # two ribbons: does it still run?

Each case is a device, a mean free path, a kernel, a specularity and a number of harmonics N. What
is estimated are relative errors of N harmonics and of the mesh together. True are closed forms
(isotropic ribbons), an integral equation (`RADIAL`), and for other devices degree 5 and twice as
many harmonics as in the cases, extrapolated; where these are in doubt by more than a third of the
estimate, a case says nothing.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import gmsh
import numpy as np

import meso
from meso.constants import ELEMENTARY_CHARGE
from meso.evidence.convergence import Convergence, converge, quantities
from meso.exact_kinetic import KineticRibbon
from meso.flow import Flow, Kinetic
from meso.observables.grazing import iteration_tolerance
from meso.results.running import build_device

GEOMETRIES = Path(__file__).parents[1] / "geometries"
#: Relative errors that iterations and rounding leave.
ROUNDING = 1e-6
KERNELS = ("isotropic", "radial-tangential")
WIDTH, SIGMA, VOLT, PERIOD = 100e-9, 4e-3, 1e-3, 10e-9
#: Of ribbons with the radial-tangential kernel: mean free path over width, specularity; current
#: over Drude's and J in the centre less J at the wall over sigma E, to 1e-7. By characteristics,
#: with the second harmonic as the source, on panels that are graded to the walls.
RADIAL = {
    (0.01, 0.0): (0.995096729, 0.439894840),
    (0.03, 0.0): (0.985290188, 0.439894777),
    (0.05, 0.0): (0.975483646, 0.439867257),
    (0.1, 0.0): (0.950969756, 0.437112755),
    (0.3, 0.0): (0.856456246, 0.375510599),
    (1.0, 0.0): (0.635462150, 0.227584329),
    (2.0, 0.0): (0.478425179, 0.147981240),
    (5.0, 0.0): (0.292524193, 0.073157718),
    (0.01, 0.5): (0.997725835, 0.208375333),
    (0.03, 0.5): (0.993177505, 0.208375305),
    (0.05, 0.5): (0.988629175, 0.208362724),
    (0.1, 0.5): (0.977258865, 0.207105065),
    (0.3, 0.5): (0.932535295, 0.179632058),
    (1.0, 0.5): (0.804711416, 0.113708299),
    (2.0, 0.5): (0.681870737, 0.076617241),
    (5.0, 0.5): (0.487309538, 0.039779924),
}
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


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A device with its walls and its metal.

    Attributes:
        device: "ribbon", "period 24" (flat cells across it), "ring 8x32", "bend 15" or "cross 20"
            (size of the cells, nm).
        path: Mean free path over the width.
        kernel: Scattering.
        specularity: Of all walls.
    """

    device: str
    path: float
    kernel: str
    specularity: float = 0.0

    def case(self, folder: Path, harmonics: int, *, fine: bool = False) -> meso.Case:
        """The case, or one with cells half as large."""
        kind, _, cells = self.device.partition(" ")
        size = float(cells) * (0.5 if fine else 1.0) if kind in ("bend", "cross") else 0.0
        wall: Any = {"wall": {"specularity": self.specularity}}
        ends: Any = [{"contact": {"potential": volt}} for volt in (VOLT, 0.0)]
        boundaries = {"source": ends[0], "drain": ends[1], "edges": wall}
        parameters: dict[str, float] = {}
        file = {"ribbon": "ribbon", "period": "ribbon_period", "bend": "annulus"}.get(kind, kind)
        path = GEOMETRIES / f"{file}.geo"
        if kind in ("ribbon", "period"):
            parameters = {"width": 100, "length": 10}
            parameters |= {"cells": float(cells)} if cells else {}
            boundaries = {"source": {"periodic": {"to": "drain", "voltage": VOLT}}, "edges": wall}
        elif kind == "ring":
            across, along = (int(n) * (2 if fine else 1) for n in cells.split("x"))
            path = ring(folder / f"ring{across}.msh", across, along)
        elif kind == "bend":
            boundaries = {**boundaries, "inner": wall, "outer": wall}
            del boundaries["edges"]
        else:
            parameters = {"length": 300}
            floating: Any = {"contact": {"current": 0}}
            boundaries = {"left": ends[0], "right": ends[1], "edges": wall}
            boundaries |= {"top": floating, "bottom": floating}
        metal = {
            "carriers": "2d",
            "conductivity": SIGMA,
            "mean_free_path": self.path * WIDTH,
            "scattering": self.kernel,
            "fermi_energy": ELEMENTARY_CHARGE,
        }
        geometry = {"file": str(path), "length_unit": "nm", "parameters": parameters}
        tables: dict[str, Any] = {
            "geometry": geometry,
            "mesh": {"size": size * 1e-9} if size else {},
            "materials": {"metal": metal},
            "regions": {"metal": "metal"},
            "boundaries": boundaries,
            "flow": {"model": "kinetic", "harmonics": harmonics},
        }
        return meso.Case.from_dict(tables)


class Solver:
    """Solutions of a setting on its mesh, each of them made once."""

    def __init__(self, setting: Setting, folder: Path) -> None:
        self.case = setting.case(folder, 16)
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


def truth(setting: Setting, solve: Solver, most: int) -> tuple[np.ndarray, np.ndarray]:
    """True values of the quantities, and what these are in doubt by."""
    if setting.device.startswith(("ribbon", "period")):
        if setting.kernel == "isotropic":
            exact = KineticRibbon(
                width=1.0, mean_free_path=setting.path, specularity=setting.specularity
            )
            current, step = exact.conductance, exact.edge_step
        else:
            current, step = RADIAL[setting.path, setting.specularity]
        _, units, values = quantities(solve(8, 3, None))
        kappa = solve.case.materials["metal"].orbital_coupling
        assert isinstance(kappa, float)
        field = SIGMA * VOLT / PERIOD
        size = {"A": current * field * WIDTH, "J s": abs(kappa) * step * field * PERIOD}
        true = [np.sign(v) * size.get(u, abs(v)) for v, u in zip(values, units, strict=True)]
        return np.array(true), np.zeros(len(true))
    _, units, few = quantities(solve(most, 5, None))
    many = quantities(solve(2 * most, 5, None))[2]
    moments, step = np.array(units) == "J s", many - few
    # Moments converge too irregularly to be extrapolated.
    return np.where(moments, many, many + step / 3), np.abs(step) / np.where(moments, 2, 4)


def estimates(
    setting: Setting, numbers: tuple[int, ...], folder: Path
) -> Iterator[tuple[int, Convergence, np.ndarray, np.ndarray]]:
    """N, what is estimated, the true values and their doubt."""
    solve = Solver(setting, folder)
    true, doubt = truth(setting, solve, max(numbers))
    for number in numbers:
        found = converge(solve, order=3, harmonics=number, tolerance=1e-3, estimate=True)[1]
        yield number, found, true, doubt


def settings(device: str, smallest: bool) -> tuple[list[Setting], tuple[int, ...]]:
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
    found = [
        Setting(device=name, path=path, kernel=kernel, specularity=p)
        for name, path, p in kinds
        for kernel in KERNELS
    ]
    return found, numbers


def row(device: str, smallest: bool, folder: Path) -> str:
    """A row of the table: covered cases and the median of estimate over error."""
    counts: dict[str, list[tuple[float, float]]] = {"current": [], "extrapolated": [], "moment": []}
    chosen, numbers = settings(device, smallest)
    for setting in chosen:
        for number, found, true, doubt in estimates(setting, numbers, folder):
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
        covered, ratio = int((real <= estimate + ROUNDING).sum()), np.median(estimate / real)
        cells += [f"{covered} of {len(real)}", f"{ratio:.1f}"]
    return f"| {device} | {' | '.join(cells)} |"


def main() -> None:
    """Print the table of docs/bounds.md."""
    parser = argparse.ArgumentParser(description="Coverage of estimated errors of kinetic runs.")
    parser.add_argument("devices", nargs="*", default=["ribbon", "ring", "bend", "cross"])
    parser.add_argument("--smallest", action="store_true", help="two ribbons")
    options = parser.parse_args()
    heads = ["current", "extrapolated", "moment"]
    print("| device |" + "".join(f" {head}: covered | over the true one |" for head in heads))
    print("|---" * 7 + "|")
    with TemporaryDirectory() as folder:
        for device in ["ribbon"] if options.smallest else options.devices:
            print(row(device, options.smallest, Path(folder)), flush=True)


if __name__ == "__main__":
    main()
