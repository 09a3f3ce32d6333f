"""The outputs of points and their derivatives, in one process or on all ranks.

A device is kept as long as only materials and walls vary: cells are those of the *anchor*, the
values of the parameters that meshes are made for.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from mpi4py import MPI

from meso.device import Device
from meso.discrete.sampling import probe_points
from meso.errors import CaseError, ConvergenceError, GeometryError
from meso.fitting.evaluating import Record, Task, picked
from meso.fitting.parameters import Parameter, Theta
from meso.fitting.problem import Point
from meso.fitting.table import spelled
from meso.geometry.gmsh_process import Source
from meso.gradients import gradient
from meso.gradients.outputs import short, unit, values
from meso.results.mesh import source
from meso.results.result import Result
from meso.results.running import build_device, run

#: Steps of differences over the value of a parameter: on one mesh, and where the drawing moves.
_STEP, _DRAWN = 1e-4, 1e-3
#: What counts as the size of a small value, over the distance of its bounds.
_WIDE = 0.1

#: Units of outputs as the registry of units has them.
_SPELLING = str.maketrans({"ħ": "hbar", "Ω": "ohm", "²": "^2", " ": "*"})

#: Errors that a point may end with.
_ERRORS = (ConvergenceError, CaseError, GeometryError)


@dataclass(slots=True, kw_only=True)
class Solver:
    """Solves points; keeps their devices and latest results.

    ``allowed`` is what drawings may do.
    """

    points: Sequence[Point]
    parameters: Sequence[Parameter]
    allowed: dict[str, Any]
    devices: dict[int, tuple[Theta, Source, Device]] = field(default_factory=dict)
    latest: dict[int, tuple[Theta, Theta, Result]] = field(default_factory=dict)

    def __call__(self, task: Task) -> Record:
        """The record of a task, the same on every rank."""
        start = time.perf_counter()
        try:
            record = self._record(task)
        except _ERRORS as error:
            kind = next(k.__name__ for k in _ERRORS if isinstance(error, k))
            record = {"error": str(error), "kind": kind}
        return MPI.COMM_WORLD.bcast(record) | {"seconds": time.perf_counter() - start}

    def _record(self, task: Task) -> Record:
        point, result = self.points[task.point], self._result(task)
        if task.derivatives is None:
            found = _profile(point, result) if point.profile else _numbers(result)
            return {**found, "warnings": list(result.warnings)}
        keys = [key for keys in point.keys for key in keys]
        drawn = any(p.drawn for p in self.parameters)
        if point.profile or not keys:
            return {"derivatives": self._differences(task)}
        try:
            # Differences of a drawing that moves belong to `gradient`, with one mesh for all.
            method = "auto" if drawn else "adjoint"
            found = gradient(result, task.derivatives, keys, method=method).derivatives
        except CaseError:
            if drawn:
                raise
            return {"derivatives": self._differences(task)}
        columns, at = [], 0
        for of, multiple in zip(point.keys, point.multiples, strict=True):
            columns.append(multiple * found[:, at : at + len(of)].sum(axis=1))
            at += len(of)
        return {"derivatives": np.column_stack(columns).tolist()}

    def _result(self, task: Task) -> Result:
        theta, anchor, result = self.latest.get(task.point, ((), (), None))
        if result is None or (theta, anchor) != (task.theta, task.anchor):
            before, keep = result, self.points[task.point].profile is None
            result = self._run(task.point, task.theta, task.anchor, before, gradients=keep)
            if before is not None and before.flow.adjoint is not None:
                before.flow.adjoint.close()
            self.latest[task.point] = task.theta, task.anchor, result
        return result

    def _run(
        self,
        index: int,
        theta: Theta,
        anchor: Theta,
        before: Result | None = None,
        *,
        gradients: bool = False,
    ) -> Result:
        case = self.points[index].at(theta)
        drawn = (p.drawn for p in self.parameters)
        made_for = tuple(x if d else a for x, a, d in zip(theta, anchor, drawn, strict=True))
        device = self._device(index, made_for)
        earlier = before.flow if before is not None and case.flow.kinetic else None
        return run(case, device=device, earlier=earlier, gradients=gradients)

    def _device(self, index: int, made_for: Theta) -> Device:
        if index in self.devices and self.devices[index][0] == made_for:
            return self.devices[index][2]
        self.devices.pop(index, None)
        case = self.points[index].at(made_for)
        wish = source(case, **self.allowed, comm=MPI.COMM_WORLD)
        same = (device for _, other, device in self.devices.values() if other == wish)
        device = next(same, None) or build_device(case, **self.allowed)
        self.devices[index] = made_for, wish, device
        return device

    def _differences(self, task: Task) -> list[list[float]]:
        """Central differences, on one mesh unless the drawing moves.

        For what has no adjoint, and for profiles: two solutions for each parameter serve any number
        of positions, and keys.
        """
        names = task.derivatives or ()
        point, columns = self.points[task.point], []
        for i, parameter in enumerate(self.parameters):
            if not point.keys[i]:
                columns.append(np.zeros(len(names)))
                continue
            x, step = task.theta[i], _DRAWN if parameter.drawn else _STEP
            step *= (
                abs(x) if parameter.log else max(abs(x), _WIDE * (parameter.high - parameter.low))
            )
            # Inside the bounds: an even number of steps to one side where the other has no room.
            low = -2 if x + step > parameter.high else 0 if x - step < parameter.low else -1
            steps = np.arange(low, low + 3)
            weights = {-1: (-0.5, 0.0, 0.5), 0: (-1.5, 2.0, -0.5), -2: (0.5, -2.0, 1.5)}[low]
            column = np.zeros(len(names))
            for k, weight in zip(steps, weights, strict=True):
                theta = (*task.theta[:i], x + k * step, *task.theta[i + 1 :])
                base = self._result(task)
                if weight:
                    result = self._run(task.point, theta, task.anchor, base) if k else base
                    outputs = (_profile(point, result) if point.profile else _numbers(result))[
                        "outputs"
                    ]
                    column += weight / step * np.array([picked(outputs, n) for n in names])
            columns.append(column)
        return np.column_stack(columns).tolist()


def _numbers(result: Result) -> Record:
    """Outputs of a result by name, and their units."""
    found = values(result)
    return {
        "outputs": {short(column): value for column, value in found.items()},
        "units": {short(column): unit(column).translate(_SPELLING) for column in found},
    }


def _profile(point: Point, result: Result) -> Record:
    """Components of fields along a probe, by name, and their units."""
    assert point.profile is not None
    probe = point.case.output.probes[point.profile.probe]
    ends = probe_points(probe, result.device.dimension)[[0, -1]]
    along = (ends[1] - ends[0]) / np.linalg.norm(ends[1] - ends[0])
    places = ends[0] + np.outer(point.profile.positions, along)
    found = result.sample(places, resolution=probe.resolution)
    outputs: dict[str, list[float]] = {}
    units = {}
    for name in point.profile.fields:
        parts = found[name][:, None] if found[name].ndim == 1 else found[name]
        for i, axis in enumerate(
            [""] if parts.shape[1] == 1 else [".x", ".y", ".z"][: parts.shape[1]]
        ):
            outputs[name + axis] = parts[:, i].tolist()
            units[name + axis] = spelled(result.fields[name].unit)
    return {"outputs": outputs, "units": units}
