"""The steps of a design: meshes, iterates, the verified end."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from mpi4py import MPI

from meso.case import Case
from meso.designing import drawing
from meso.designing.descent import descend
from meso.designing.limits import Shape
from meso.designing.outline import Outline, outline_of
from meso.designing.parameters import ParameterDesign, Variable, variables
from meso.designing.problem import Designing, Goal, Trial, WallDesign
from meso.designing.schema import Brief, Walls
from meso.designing.table import Row, Table
from meso.designing.walls import FreeWalls
from meso.device import Device, device_of
from meso.errors import CaseError, ConvergenceError, GeometryError, known
from meso.gradients.inputs import moved
from meso.mpi import concatenated, on_root
from meso.results.mesh import source
from meso.results.result import Result
from meso.results.running import build_device, run

Progress = Callable[[str], None]

#: Of drawings: distance of points of a curve over that of those that steer it.
_APART = 0.1
#: Longest first step: over the distance of the points that steer a wall, and over the ranges.
_FIRST, _FIRST_RANGE = 0.25, 0.1
#: By which limits may be exceeded on a new mesh to be kept again without solving for it.
_NEARLY = 1e-2
#: Sizes of the cells on which the final value is verified, over those of the design.
_FINER = 0.5


@dataclass(kw_only=True, eq=False)
class Designer:
    """One design while it goes on.

    Attributes:
        brief: What is asked for.
        case: The case, with the inputs of the last iterate.
        goal: What is asked of the outputs.
        table: The iterates.
        place: Folder of the drawings that are meshed.
        progress: Called with a line of text for each iterate.
        allowed: What drawings may do.
        drawn: The drawing of free walls at the last iterate.
        drawings: Those of all iterates of this call.
        first: The result at the start; None in a design that goes on.
    """

    brief: Brief
    case: Case
    goal: Goal
    table: Table
    place: Path
    progress: Progress
    allowed: dict[str, Any]
    comm: MPI.Comm
    drawn: str | None = None
    first: Result | None = None
    drawings: list[str] = field(default_factory=list)
    shape: Shape | None = None
    variables: tuple[Variable, ...] = ()
    region: str = ""
    meshes: int = -1

    # -- meshes

    def begin(self) -> None:
        """Find out what varies, at the start or where an earlier design has ended."""
        walls, rows = self.brief.walls, self.table.rows
        if walls is None:
            self.case, self.variables = variables(self.case, self.brief.parameters)
        before = self.build(self.case)
        if walls is not None:
            check_walls(self.case, before, walls)
            self.region = before.regions[0]
        self.shape = self.asked(before)
        if rows and walls is None:
            self.case = moved(self.case, rows[-1]["parameters"])
        if walls is not None:
            last = partial(on_root, self.comm, self.table.last_drawing)
            self.drawn = last() if rows else self.draw(outline_of(before))
        self.meshes = max((row["mesh"] for row in rows), default=-1)

    def asked(self, device: Device) -> Shape:
        """What is asked of the shape of a device."""
        wanted, walls = self.brief.constraints, self.brief.walls
        shape = Shape(
            moving=walls.free if walls else tuple(self.case.walls),
            walls=tuple(self.case.walls),
            spacing=walls.spacing if walls else device.extent / 50,
            area=(device.measure,) * 2 if wanted.area == "kept" else wanted.area,
            width=wanted.width.min if wanted.width else None,
            radius=wanted.radius.min if wanted.radius else None,
            box=(wanted.box.from_, wanted.box.to) if wanted.box else None,
        )
        if device.dimension == 3 and not shape.is_free:
            raise CaseError(("constraints", "limits of the shape are for 2D devices"))
        return shape

    def build(self, case: Case) -> Device:
        """A fresh mesh."""
        return build_device(case, self.comm, **self.allowed)

    def solve(self, case: Case, device: Device) -> Result:
        """A case on a device."""
        return run(case, comm=self.comm, device=device, **self.allowed)

    def mesh(self) -> tuple[Designing, Trial]:
        """The problem on a fresh mesh, and its first place."""
        self.meshes += 1
        assert self.shape is not None
        given: dict[str, Any] = {"goal": self.goal, "shape": self.shape, "solve": self.solve}
        walls = self.brief.walls
        problem: Designing
        if walls is None:
            problem = ParameterDesign(
                **given,
                case=self.case,
                device=self.build(self.case),
                longest=_FIRST_RANGE,
                variables=self.variables,
                trusted=self.allowed["trusted"],
            )
        else:
            case = self.drawn_case("mesh.geo")
            problem = WallDesign(
                **given,
                case=case,
                longest=self.brief.method.step or _FIRST * walls.spacing,
                walls=FreeWalls.of(self.build(case), walls.free, walls.spacing),
            )
        trial = problem.at(problem.start())
        if 0 < trial.violation < _NEARLY:  # a new drawing is a little off
            trial = problem.at(problem.mended(trial.x))
        if not self.table.rows:
            self.first = trial.result
            self.goal = self.sized(self.goal.target.value(trial.outputs))
        elif self.meshes and self.goal.size == 1.0:
            self.goal = self.sized(self.table.rows[0]["target"])
        problem.goal = self.goal
        return problem, replace(trial, value=self.goal.value(trial.outputs))

    def sized(self, target: float) -> Goal:
        """The goal, with the target over its first value."""
        if not np.isfinite(target):
            key = "maximise" if self.goal.sign < 0 else "minimise"
            raise CaseError((key, f'"{self.goal.target.text}" is {target} at the start'))
        return replace(self.goal, size=abs(target) or 1.0)

    # -- drawings

    def drawn_case(self, name: str) -> Case:
        """The case with the drawing of free walls, as a file in the folder."""
        path = self.place / name

        def write() -> None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(str(self.drawn), encoding="utf-8")

        on_root(self.comm, write)
        return with_drawing(self.case, path)

    def draw(self, outline: Outline) -> str:
        """The drawing of an outline."""
        assert self.brief.walls is not None
        return drawing.written(
            outline,
            unit=self.case.geometry.length_unit,
            region=self.region,
            free=self.brief.walls.free,
            apart=_APART * self.brief.walls.spacing,
            periodic={name: law.to for name, law in self.case.periodic.items()},
            title=self.brief.title or self.case.title,
        )

    # -- iterates

    def record(self, kind: str, trial: Trial, problem: Designing, **more: Any) -> None:
        """An accepted place."""
        columns, device = self.goal.columns(trial.result), trial.result.device
        row: Row = {
            "kind": kind,
            "mesh": self.meshes,
            "target": self.goal.target.value(trial.outputs),
            "outputs": {column: trial.outputs[name] for name, column in columns.items()},
            "parameters": problem.values(trial.x),
            "area_m2": device.measure,
            "limits_exceeded_by": trial.violation,
            "cells": device.cells,
            **more,
        }
        if self.brief.walls is not None:
            self.drawn = self.draw(trial.outline)
            self.drawings.append(self.drawn)
        self.case = moved(self.case, row["parameters"])
        self.table.append(row, drawn=self.drawn is not None)
        on_root(self.comm, partial(self.table.store, self.drawn))
        what = f"step {self.table.steps}" if kind == "step" else kind
        limits = f", limits exceeded by {trial.violation:.1e}" if trial.violation else ""
        self.progress(f"{what}: {self.goal.target.text} = {row['target']:.8g}{limits}")

    def descend(self) -> str:
        """All steps; returns how they ended."""
        self.begin()
        method, kind = self.brief.method, "mesh" if self.table.rows else "start"
        while self.table.steps < method.steps or kind == "start":
            start = time.perf_counter()
            try:
                problem, trial = self.mesh()
            except GeometryError as error:
                if kind == "start":
                    raise
                self.progress(f"no new mesh: {error}")
                return "stuck"
            self.record(kind, trial, problem, wall_clock_s=time.perf_counter() - start)
            kind, moves = "mesh", 0
            try:
                start = time.perf_counter()
                for step in descend(problem, trial, tolerance=method.tolerance):
                    trial, moves = step.place, moves + 1
                    spent = time.perf_counter() - start
                    more = {"part": step.part, "tries": step.tries, "wall_clock_s": spent}
                    self.record("step", trial, problem, **more)
                    start = time.perf_counter()
                    if self.table.steps >= method.steps or problem.worn(trial):
                        break
                else:
                    return "converged"
            except ConvergenceError as error:
                if moves == 0:
                    check_reached(trial, problem)
                    self.progress(f"no step improves the target: {error}")
                    return "stuck"
        return "stopped"

    # -- the end

    def verify(self) -> tuple[Result, Case]:
        """The final shape on a fresh, finer mesh."""
        while True:
            case = self.case if self.brief.walls is None else self.drawn_case("shape.geo")
            try:
                device = finer(case, self.comm, **self.allowed)
                break
            except GeometryError:
                if len(self.drawings) < 2:
                    raise
                # What cannot be meshed anew is not what was looked for: the shape before it.
                self.drawings.pop()
                self.drawn = self.drawings[-1]
        result = self.solve(case, device)
        found, columns = self.goal.read(result), self.goal.columns(result)
        self.table.verified = {
            "target": self.goal.target.value(found),
            "outputs": {columns[name]: value for name, value in found.items()},
            "cells": result.device.cells,
        }
        return result, case


def with_drawing(case: Case, path: Path) -> Case:
    """A case with another drawing, which has no parameters."""
    given = {key: value for key, value in case.given.items() if key != "geometry"}
    other = ("parameters", "groups")
    geometry = {k: v for k, v in case.given["geometry"].items() if k not in other}
    tables = {**given, "geometry": {**geometry, "file": str(path.resolve())}}
    return replace(Case.from_dict(tables), mesh=case.mesh, file=case.file)


def finer(case: Case, comm: MPI.Comm, *, trusted: bool, many_cells: bool) -> Device:
    """A mesh of a case with cells of half the size, at walls and between them."""
    coarse = build_device(case, comm, trusted=trusted, many_cells=many_cells)
    wish = source(case, trusted=trusted, many_cells=many_cells, comm=comm)
    if not case.geometry.is_drawing:
        return coarse
    sizes = wish.sizes
    layers = {
        name: replace(layer, size=layer.size and _FINER * layer.size, finer=_FINER * layer.finer)
        for name, layer in sizes.layers.items()
    }
    bulk = sizes.bulk or typical_size(coarse) / case.geometry.length_unit
    return device_of(replace(wish, sizes=replace(sizes, bulk=_FINER * bulk, layers=layers)), comm)


def typical_size(device: Device) -> float:
    """Size that three quarters of the conductor's area, or volume, have cells above, m."""
    from meso.discrete.cells import cells_of

    cells, d = cells_of(device), device.dimension
    measure = concatenated(device.comm, cells.measures(np.arange(cells.count)))
    order = np.argsort(measure)
    part = np.cumsum(measure[order]) / measure.sum()
    quarter = measure[order[np.searchsorted(part, 0.25)]]
    return float((2 * quarter) ** (1 / d)) * device.extent


def check_walls(case: Case, device: Device, walls: Walls) -> None:
    """Raise a CaseError if these boundaries cannot be free."""
    if walls.spacing > device.extent:
        text = f"found {walls.spacing:g} m; the device is {device.extent:.3g} m long"
        raise CaseError(("walls.spacing", text))
    problems = []
    for name in walls.free:
        if name not in case.walls:
            what = "is no wall" if name in device.boundaries else "is not in the drawing"
            problems.append(f'"{name}" {what}; {known(name, case.walls)}')
    if device.dimension != 2:
        problems.append("free walls are for 2D devices")
    elif len(device.regions) > 1 or device.interfaces:
        problems.append("free walls are for devices of one region, without curves inside")
    if problems:
        raise CaseError(*(("walls.free", text) for text in problems))


def check_reached(trial: Trial, problem: Designing) -> None:
    """Raise a CaseError that tells of limits which no shape near by keeps."""
    if trial.violation <= 0:
        return
    problems, goal = [], problem.goal
    none = np.zeros((len(trial.x), *trial.outline.points.shape))
    names, shape = ("area", "width", "radius", "box"), problem.shape
    for name in names:
        others = dict.fromkeys(n for n in names if n != name)
        one = replace(shape, **others)  # type: ignore[arg-type]
        if (excess := one.limits(trial.outline, none).violation) > 0:
            text = (
                f"cannot be met{{}}: the nearest that was found misses it by {100 * excess:.2g} %"
            )
            problems.append((f"constraints.{name}", text))
    for name, limit in goal.between.items():
        if not limit.min <= trial.outputs[name] <= limit.max:
            text = f"cannot be met{{}}: the nearest that was found is {trial.outputs[name]:.6g}"
            problems.append((f"constraints.outputs.{name}", text))
    several = " together with the other limits" if len(problems) > 1 else ""
    told = [(key, text.format(several)) for key, text in problems]
    raise CaseError(*told or [("constraints", "cannot be met")])
