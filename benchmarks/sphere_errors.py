"""How often the estimated errors of kinetic runs on 3D meshes cover the true ones.

    docker/run python3 benchmarks/sphere_errors.py --seed 1 --count 40
    docker/run python3 benchmarks/sphere_errors.py --smallest        # one film: does it still run?

Devices are plans of tetrahedra in layers. Films and wires have their current along z, from period
to period: exact are Fuchs' film and, of diffuse rectangles, quadratures (``wire_errors``); of other
wires the section with 16 harmonics on fine cells between two bounds. Others have their current in
the plan between two contacts. Where bottom and top are a period apart they are the section in the
plane, with 8 and 16 harmonics of degree 4 on fine cells; where these are walls too, they are
compared with smaller tetrahedra of degree 3 and twice as many harmonics. Where a reference is in
doubt by more than a third of the estimate, a case says nothing. lambda/W is log-uniform from 0.02
to 5, p is 0, 1/2 or 0.9, N = 2, 4, 6, 8; two harmonics, the hydrodynamic model, have only errors
of the mesh.
"""

import argparse
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import gmsh
import numpy as np
from wire_errors import graded, rectangle

from meso import Contact, Device, Material, Periodic, Wall
from meso.evidence.convergence import Convergence, converge, quantities
from meso.evidence.wires import converge_wire
from meso.exact_kinetic import KineticFilm
from meso.flow import Flow, Kinetic
from meso.flow.wire import Wire, WireFlow
from meso.observables.grazing import iteration_tolerance

#: Relative errors that iterations and rounding leave.
ROUNDING = 1e-5
WIDTH, SIGMA, VOLT = 20e-9, 1e6, 1e-3
#: The width in drawings, nm.
DRAWN = 20.0
#: Corners of plans around the metal, over the width, and names of the edges from each to the next;
#: a corner with a center ends an arc around it.
PLANS: dict[str, tuple[list[tuple[float, float]], list[str]]] = {
    "film": ([(0, 0), (0.5, 0), (0.5, 1), (0, 1)], ["low", "right", "high", "left"]),
    "wire": ([(0, 0), (1, 0), (1, 1.5), (0, 1.5)], ["low", "right", "high", "left"]),
    "angle": (
        [(0, 0), (2, 0), (2, 1), (1, 1), (1, 2), (0, 2)],
        ["a", "b", "c", "d", "e", "f"],
    ),
    "bar": ([(0, 0), (2, 0), (2, 1), (0, 1)], ["low", "drain", "high", "source"]),
    "halves": ([(0, 0), (2, 0), (2, 1), (0, 1)], ["low", "drain", "high", "source"]),
    "step": (
        [(0, 0), (3, 0), (3, 0.5), (1.5, 0.5), (1.5, 1), (0, 1)],
        ["a", "drain", "b", "c", "d", "source"],
    ),
    "corner": (
        [(0, 0), (2, 0), (2, 1), (1, 1), (1, 2), (0, 2)],
        ["a", "drain", "b", "c", "source", "d"],
    ),
    "slit": (
        [(0, 0), (1.2, 0), (1.2, 0.3), (1.5, 0.3), (1.5, 0), (2.7, 0)]
        + [(2.7, 1), (1.5, 1), (1.5, 0.7), (1.2, 0.7), (1.2, 1), (0, 1)],
        ["a", "b", "c", "d", "e", "drain", "f", "g", "h", "i", "j", "source"],
    ),
    "bend": (
        [(1, 0), (2, 0), (0, 2), (0, 1)],
        ["source", "outer", "drain", "inner"],
    ),
}
AXIAL = ("film", "wire", "angle")


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A device with its walls, its metal and its cells.

    Attributes:
        plan: One of PLANS.
        path: Mean free path over the width.
        specularity: Of all walls.
        size: Of the cells over the width.
        near: Their size at walls over that.
        layers: Of the cells.
        closed: Whether bottom and top are walls, as high as the width is.
    """

    plan: str
    path: float
    specularity: float = 0.0
    size: float = 0.3
    near: float = 1.0
    layers: int = 1
    closed: bool = False

    @property
    def height(self) -> float:
        """Over the width."""
        return 1.0 if self.closed else self.size * self.layers

    def device(self, folder: Path, *, solid: bool, finer: float = 1.0) -> Device:
        """The device, or its section, with cells smaller by a factor."""
        path = folder / "plan.msh"
        layers = round(self.layers * finer) if solid else 0
        _mesh(self, path, self.size / finer, layers)
        return Device.from_gmsh(path, length_unit="nm", order=2 if solid else 4)

    @property
    def laws(self) -> dict[str, Any]:
        """Of all boundaries of the solid."""
        wall, mirror = Wall(specularity=self.specularity), Wall(specularity=1.0)
        names = PLANS[self.plan][1]
        laws: dict[str, Any] = {n: wall for n in names if n not in ("source", "drain")}
        if self.plan in AXIAL:
            if self.plan == "film":
                laws |= {"left": mirror, "right": mirror}
            return laws | {"bottom": Periodic(to="top", voltage=VOLT)}
        laws |= {"source": Contact(potential=VOLT), "drain": Contact(potential=0.0)}
        if self.closed:
            return laws | {"bottom": wall, "top": wall}
        return laws | {"bottom": Periodic(to="top", voltage=0.0)}

    def materials(self, device: Device) -> dict[str, Material]:
        """Of the regions; the second half of a device of two has a fifth of the conductivity."""
        metal = Material(
            carriers="3d",
            conductivity=SIGMA,
            mean_free_path=self.path * WIDTH,
            orbital_coupling=1.0,
        )
        other = replace(metal, conductivity=SIGMA / 5, mean_free_path=self.path * WIDTH / 5)
        return {n: other if n == "other" else metal for n in device.regions}


def _mesh(setting: Setting, path: Path, size: float, layers: int) -> None:
    """Tetrahedra in layers, or triangles if there are none of these."""
    corners, names = PLANS[setting.plan]
    gmsh.initialize(readConfigFiles=False, interruptible=False)
    try:
        gmsh.option.setNumber("General.Terminal", 0)
        geo = gmsh.model.geo
        points = [geo.addPoint(DRAWN * x, DRAWN * y, 0) for x, y in corners]
        ends = [*points[1:], points[0]]
        if setting.plan == "bend":
            center = geo.addPoint(0, 0, 0)
            edges = [
                geo.addCircleArc(a, center, b) if n in ("inner", "outer") else geo.addLine(a, b)
                for a, b, n in zip(points, ends, names, strict=True)
            ]
            groups, surfaces = dict(zip(names, ([e] for e in edges), strict=True)), [edges]
        elif setting.plan == "halves":
            low, high = (geo.addPoint(DRAWN, DRAWN * y, 0) for y in (0, 1))
            a, b, c, d = points
            pairs = [(a, low), (low, b), (b, c), (c, high), (high, d), (d, a), (low, high)]
            e = [geo.addLine(*pair) for pair in pairs]
            groups = {"low": [e[0], e[1]], "drain": [e[2]], "high": [e[3], e[4]], "source": [e[5]]}
            surfaces = [[e[0], e[6], e[4], e[5]], [e[1], e[2], e[3], -e[6]]]
        else:
            edges = [geo.addLine(a, b) for a, b in zip(points, ends, strict=True)]
            groups, surfaces = dict(zip(names, ([e] for e in edges), strict=True)), [edges]
        faces = [geo.addPlaneSurface([geo.addCurveLoop(loop)]) for loop in surfaces]
        walls = [e for n, own in groups.items() if n not in ("source", "drain") for e in own]
        regions = ["metal", "other"]
        if not layers:
            geo.synchronize()
            for name, own in groups.items():
                gmsh.model.addPhysicalGroup(1, own, name=name)
            for face, name in zip(faces, regions, strict=False):
                gmsh.model.addPhysicalGroup(2, [face], name=name)
        else:
            sides: dict[int, int] = {}
            tops, volumes = [], []
            pairs = [(2, face) for face in faces]
            found = iter(geo.extrude(pairs, 0, 0, DRAWN * setting.height, numElements=[layers]))
            for loop in surfaces:
                tops.append(next(found)[1])
                volumes.append(next(found)[1])
                sides |= {abs(edge): next(found)[1] for edge in loop}
            geo.synchronize()
            groups = {n: [sides[e] for e in own] for n, own in groups.items()}
            groups |= {"bottom": faces, "top": tops}
            for name, own in groups.items():
                gmsh.model.addPhysicalGroup(2, own, name=name)
            for volume, name in zip(volumes, regions, strict=False):
                gmsh.model.addPhysicalGroup(3, [volume], name=name)
        _sizes(walls, DRAWN * size, DRAWN * size * setting.near)
        gmsh.model.mesh.generate(3 if layers else 2)
        gmsh.model.mesh.setOrder(2 if setting.plan == "bend" else 1)
        gmsh.write(str(path))
    finally:
        gmsh.finalize()


def _sizes(walls: list[int], size: float, least: float) -> None:
    field = gmsh.model.mesh.field
    field.add("Distance", 1)
    field.setNumbers(1, "CurvesList", walls)
    field.setNumber(1, "Sampling", 100)
    field.add("MathEval", 2)
    field.setString(2, "F", f"Min({size}, {least} + 0.5*F1)")
    field.setAsBackgroundMesh(2)
    for name in ("MeshSizeFromPoints", "MeshSizeExtendFromBoundary"):
        gmsh.option.setNumber(f"Mesh.{name}", 0)


class Solver:
    """Solutions on a mesh, each of them made once."""

    def __init__(self, setting: Setting, device: Device) -> None:
        self.device, self.laws = device, setting.laws
        self.materials = setting.materials(device)
        self.found: dict[tuple[int, int], Flow] = {}

    def __call__(self, harmonics: int, order: int, start: Flow | None) -> Flow:
        """The flow of so many harmonics, of a degree."""
        if (harmonics, order) not in self.found:
            laws = {n: law for n, law in self.laws.items() if n in self.device.boundaries}
            self.found[harmonics, order] = Kinetic(
                self.device,
                materials=self.materials,
                boundaries=laws,
                harmonics=harmonics,
                order=order,
                tolerance=iteration_tolerance(laws),
            ).solve(start)
        return self.found[harmonics, order]


class ViscousFilm:
    """The film |y| < 1/2 of two harmonics, l^2 = lambda^2/5."""

    def __init__(self, path: float, p: float) -> None:
        self.length = path / 5**0.5
        slip = 15 / (8 * path) * (1 - p) / (1 + p) * self.length
        self.part = 1 / (1 + np.tanh(0.5 / self.length) / slip)

    def current_density(self, y: np.ndarray) -> np.ndarray:
        """J/(sigma E)."""
        low, high = (np.exp((sign * y - 0.5) / self.length) for sign in (-1, 1))
        return np.asarray(1 - self.part * (low + high) / (1 + np.exp(-1 / self.length)))

    @property
    def conductance(self) -> float:
        """Its mean."""
        return float(1 - self.part * 2 * self.length * np.tanh(0.5 / self.length))


#: Values by name, and how far they are in doubt.
Values = dict[str, tuple[float, float]]


class Truth:
    """True values of a setting, for all numbers of harmonics but two, or for two."""

    def __init__(self, setting: Setting, folder: Path) -> None:
        self.setting, self.folder = setting, folder

    def values(self, harmonics: int) -> Values:
        """Currents and moments, by their names in the solid; all others vanish."""
        return self._two if harmonics == 2 else self._many

    @cached_property
    def _two(self) -> Values:
        if self.setting.plan == "film":
            return self._film(ViscousFilm(self.setting.path, self.setting.specularity))
        if self.setting.plan in AXIAL:
            return self._section(2)
        if self.setting.closed:
            return self._finer(2)
        return self._plane(2)

    @cached_property
    def _many(self) -> Values:
        setting = self.setting
        if setting.plan == "film":
            return self._film(
                KineticFilm(width=1.0, mean_free_path=setting.path, specularity=setting.specularity)
            )
        if setting.plan == "wire":
            current, (low,) = rectangle(1.5, setting.specularity, setting.path)
            right = 1.5 * rectangle(1 / 1.5, setting.specularity, setting.path / 1.5)[1][0]
            moments = dict.fromkeys(("low", "high"), low) | dict.fromkeys(("left", "right"), right)
            return self._along(current * 1.5, moments)
        if setting.plan in AXIAL:
            return self._section(16)
        return self._finer(16) if setting.closed else self._plane(16)

    def _film(self, film: Any) -> Values:
        # Mirrors are walls too: a point counts for the nearest.
        x, weight = graded(60)
        at_edge, near = film.current_density(np.array([-0.5])), film.current_density(x / 4 - 0.5)
        step = 0.5 * float(weight @ (near - at_edge))
        return self._along(0.5 * film.conductance, {"low": step, "high": step})

    def _along(self, current: float, moments: dict[str, float]) -> Values:
        """Of a wire, of I/(sigma E W^2) and moments over kappa sigma E W."""
        field = SIGMA * VOLT / (WIDTH * self.setting.height)
        out: Values = {"bottom A": (current * field * WIDTH**2, 0.0)}
        for name, value in moments.items():
            size = value * field * WIDTH**2 * self.setting.height
            x, y = _normal(self.setting.plan, name)
            out |= {f"{name}_x": (-size * y, 0.0), f"{name}_y": (size * x, 0.0)}
        return out

    def _section(self, harmonics: int) -> Values:
        """Of a wire of any section, between its bounds."""
        setting = replace(self.setting, near=0.4)
        device = setting.device(self.folder, solid=False, finer=setting.size / 0.2)
        laws = {n: law for n, law in setting.laws.items() if n in device.boundaries}
        given = {"materials": setting.materials(device), "boundaries": laws}

        def solve(n: int | None, order: int, upper: bool) -> WireFlow:
            return Wire(device, harmonics=n, order=order, **given).solve(upper=upper)

        found = converge_wire(solve, 4, 2 if harmonics == 2 else harmonics, 1e-3)
        field, height = VOLT / (WIDTH * setting.height), WIDTH * setting.height
        (value, error), (moments, errors) = found.conductance, found.moments
        if harmonics == 2:
            value, error = found.levels[-1].lower, abs(found.levels[-1].lower - found.coarse.lower)
            moments = found.levels[-1].moments
            errors = np.abs(moments - found.coarse.moments)
        out: Values = {"bottom A": (value * field, error * field)}
        for piece, moment, doubt in zip(found.pieces, moments, errors, strict=True):
            x, y = _normal(setting.plan, piece.wall)
            size = moment * field * height
            left = abs(doubt) * field * height
            # Only what is across the wall is told.
            out |= {f"{piece.wall}_x": (-size * y, left)} if y else {}
            out |= {f"{piece.wall}_y": (size * x, left)} if x else {}
        return out

    def _plane(self, harmonics: int) -> Values:
        """Of what is the same for all z."""
        setting = replace(self.setting, near=0.4)
        device = setting.device(self.folder, solid=False, finer=setting.size / 0.2)
        solve = Solver(setting, device)
        names, units, values = quantities(solve(harmonics, 4, None))
        finer = quantities(solve(min(harmonics, 8), 5, None))[2]
        mesh = finer - quantities(solve(min(harmonics, 8), 4, None))[2]
        doubt = np.abs(mesh)
        if harmonics > 2:
            half = quantities(solve(harmonics // 2, 4, None))[2]
            values, left = _extrapolated(values, half, units)
            doubt += left
        scale = np.where(np.array(units) == "V", 1.0, WIDTH * setting.height)
        return {
            f"{name}_z" if unit == "J s" else f"{name} {unit}": (value, left)
            for name, unit, value, left in zip(
                names, units, (values + mesh) * scale, doubt * scale, strict=True
            )
        }

    def _finer(self, harmonics: int) -> Values:
        """Of any device."""
        setting = replace(self.setting, near=min(0.5, self.setting.near))
        solve = Solver(setting, setting.device(self.folder, solid=True, finer=1.5))
        names, units, values = quantities(solve(harmonics, 2, None))
        few = min(harmonics, 4)
        mesh = quantities(solve(few, 3, None))[2] - quantities(solve(few, 2, None))[2]
        doubt = np.abs(mesh)
        if harmonics > 2:
            half = quantities(solve(harmonics // 2, 2, None))[2]
            values, left = _extrapolated(values, half, units)
            doubt += left
        return {
            name if unit == "J s" else f"{name} {unit}": (value, left)
            for name, unit, value, left in zip(names, units, values + mesh, doubt, strict=True)
        }


def _extrapolated(
    values: np.ndarray, half: np.ndarray, units: list[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Values for all harmonics from those for N and N/2, and how far they are in doubt."""
    moments, last = np.array(units) == "J s", values - half
    doubt = np.where(moments, np.abs(last) / 2, np.abs(last) / 6)
    return values + np.where(moments, 0.0, last / 3), doubt


def _normal(plan: str, name: str) -> tuple[float, float]:
    """Out of a straight edge; the metal is on the left of each edge."""
    corners, names = PLANS[plan]
    i = names.index(name)
    (x0, y0), (x1, y1) = (corners[k % len(corners)][:2] for k in (i, i + 1))
    length = float(np.hypot(x1 - x0, y1 - y0))
    return (y1 - y0) / length, (x0 - x1) / length


def compared(setting: Setting, numbers: tuple[int, ...]) -> Iterator[str]:
    """Rows: true and estimated errors of a setting for each number of harmonics."""
    with tempfile.TemporaryDirectory() as folder:
        device = setting.device(Path(folder), solid=True)
        truth, solve = Truth(setting, Path(folder)), Solver(setting, device)
        for number in numbers:
            found = converge(solve, order=2, harmonics=number, tolerance=1e-3, estimate=True)[1]
            yield _row(setting, device, number, found, truth.values(number))


def _row(setting: Setting, device: Device, number: int, found: Convergence, truth: Values) -> str:
    names = [n if u == "J s" else f"{n} {u}" for n, u in zip(found.names, found.units, strict=True)]
    if missing := set(truth) - set(names):
        raise KeyError(f"{missing} is not among {names}")
    # What has no name vanishes, but for potentials that are given; and moments of wires along the
    # walls of a re-entrant corner, beyond which both are equally near, are not compared.
    known = ("V",) if setting.plan != "angle" else ("V", "J s")
    given = [v if u in known else 0.0 for u, v in zip(found.units, found.values[-1], strict=True)]
    true = np.array([truth.get(n, (v, 0.0))[0] for n, v in zip(names, given, strict=True)])
    doubt = np.array([truth.get(n, (0.0, 0.0))[1] for n in names])
    mesh = np.array(found.mesh)
    parts = {
        "current": (found.values[-1] - true, found.error[0], 0),
        "extrapolated": (found.extrapolated - true, found.error_extrapolated[0], 0),
        "moment": (found.values[-1] - true, found.error[1], 1),
    }
    cells = []
    for what, (gap, own, which) in parts.items():
        estimate = float(np.nansum([own, mesh[which]])) + ROUNDING
        error, unsure = found.relative(gap)[which], found.relative(doubt)[which]
        said = "?" if unsure > estimate / 3 else "" if error <= estimate else "MISSED"
        COUNTS.setdefault(what, []).append((error / estimate, said))
        cells.append(f"{error:.1e} {estimate:.1e} ({mesh[which]:.1e}) {said}")
    walls = "closed" if setting.closed else ""
    return (
        f"| {setting.plan} {walls} | {setting.path:.3f} | {setting.specularity} | {number}"
        f" | {device.cells} | {' | '.join(cells)} |"
    )


#: Error over estimate of each kind of number, and what is said of it.
COUNTS: dict[str, list[tuple[float, str]]] = {}


def drawn(seed: int, count: int) -> list[tuple[Setting, tuple[int, ...]]]:
    """Settings at random, each with two numbers of harmonics."""
    random, plans = np.random.default_rng(seed), list(PLANS)
    found = []
    for k in range(count):
        plan = plans[k % len(plans)]
        closed = plan not in AXIAL and plan not in ("slit", "bend") and bool(random.random() < 0.4)
        longest = 5.0 if plan in AXIAL else 2.0
        size = float(random.uniform(0.2, 0.4))
        setting = Setting(
            plan=plan,
            path=float(np.exp(random.uniform(*np.log([0.02, longest])))),
            specularity=float(random.choice([0.0, 0.5, 0.9])),
            size=size,
            near=float(random.choice([1.0, 0.3])) if not closed else 1.0,
            layers=round(1 / size) if closed else 1,
            closed=closed,
        )
        found.append((setting, ((2, 6), (4, 8))[k // len(plans) % 2]))
    return found


def main() -> None:
    """Print the cases, and how many are covered."""
    parser = argparse.ArgumentParser(description="Coverage of errors on 3D meshes.")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=27, help="settings, two cases each")
    parser.add_argument("--smallest", action="store_true", help="one film")
    parser.add_argument("--plan", help="only these")
    options = parser.parse_args()
    settings = drawn(options.seed, options.count)
    if options.smallest:
        settings = [(Setting(plan="film", path=0.2, size=0.5), (4,))]
    heads = ["plan", "λ/W", "p", "N", "cells", "current: true, estimated (mesh)", "extrapolated"]
    print("| " + " | ".join([*heads, "moment"]) + " |\n" + "|---" * 8 + "|")
    for setting, numbers in settings:
        if options.plan in (None, setting.plan):
            for row in compared(setting, numbers):
                print(row, flush=True)
    for what, each in COUNTS.items():
        ratios = [ratio for ratio, said in each if said != "?"]
        covered = sum(ratio <= 1 for ratio in ratios)
        print(
            f"{what}: {covered} of {len(ratios)} covered, median of estimate over error"
            f" {1 / np.median(ratios):.1f}, worst error over estimate {max(ratios):.2f}"
        )


if __name__ == "__main__":
    main()
