"""Derivatives by central differences on the same mesh, moved where the drawing moves.

For every model, output and input. Two steps, h and 2h, give the derivative to fourth order, and
what the two differ by an upper estimate of its error; where an input ends, as at specularity 0, all
steps go to one side. No mesh is made anew, so that nothing but rounding and the solvers' tolerance
is left of noise; moments are iterated as far as adjoints want them, since what is left of them
depends on the inputs, too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from meso.case import Case
from meso.device import Device
from meso.errors import CaseError, GeometryError
from meso.flow.kinetic_adjoint import PRECISE
from meso.gradients import outputs
from meso.gradients.inputs import Input, moved, unadapted
from meso.results.result import Result
from meso.results.running import run
from meso.stencils import CLOSED_STENCILS, CLOSED_STEP, STENCILS, Stencil

#: Step over the size of the input: rounding of direct solvers, 1e-13, is 1e-10 of a derivative.
STEP = 1e-3
#: Error of a derivative by what an iteration leaves, over its tolerance and the number: that varies
#: with the input as smoothly as the number does, so that two steps do not tell it.
_LEFT = 10.0

Progress = Callable[[str], None]


def differences(
    result: Result,
    names: Sequence[str],
    wanted: Sequence[Input],
    *,
    velocities: Mapping[str, np.ndarray],
    progress: Progress = lambda text: None,
) -> tuple[np.ndarray, np.ndarray]:
    """Derivatives of outputs in inputs, and estimates of their errors, shape (o, i) each.

    Args:
        result: The result.
        names: Columns of outputs.
        wanted: The inputs.
        velocities: Of the nodes, by parameter of the drawing.
        progress: Called with a line of text for each input.

    Raises:
        CaseError: An input that no step is possible from.
    """
    found = np.zeros((len(names), len(wanted)))
    errors = np.zeros_like(found)
    base = settled(result)
    known = _values(result, names)
    exact = not _is_iterated(base) or result.flow.adjoint is not None
    for i, one in enumerate(wanted):
        progress(f"differences in {one.key}")
        at = Moved(base, result, one, velocities.get(one.parameter))
        numbers, weights, lower = at.stencil()
        rows = np.array([known if k == 0 and exact else at.values(k, names) for k in numbers])
        found[:, i] = np.dot(weights, rows - known) / at.step
        errors[:, i] = np.abs(np.dot(lower, rows - known) / at.step - found[:, i])
        if _is_iterated(base):
            left = _LEFT * PRECISE[result.device.dimension] * np.abs(known)
            errors[:, i] = np.maximum(errors[:, i], left * STEP / at.step)
    return found, errors


def settled(result: Result) -> Case:
    """The case of a result with nothing that a run would decide anew."""
    case, flow = result.case, result.flow
    changes: dict[str, Any] = {"flow.order": flow.order}
    if result.convergence is not None:
        changes["flow.harmonics"] = result.convergence.harmonics[-1]
    if result.convergence is not None or case.flow.estimate:
        changes["flow.estimate"] = False
    if case.flow.bounds:
        changes["flow.bounds"] = False
    fields = case.output.fields
    if fields is not None:  # what the model provides does not depend on the inputs
        changes["output.fields"] = list(fields)
    return moved(unadapted(case), changes)


class Moved:
    """The case and device of a result with one input moved in steps.

    Args:
        case: The settled case.
        result: The result.
        one: The input.
        velocity: Of the nodes per unit of the input, None if it does not move them.
        closed: Whether all that is asked for are closed functions of the case.
    """

    def __init__(
        self,
        case: Case,
        result: Result,
        one: Input,
        velocity: np.ndarray | None = None,
        *,
        closed: bool = False,
    ) -> None:
        self.case, self.result, self.one, self.velocity = case, result, one, velocity
        self.step = (CLOSED_STEP if closed else STEP) * size(result, one)
        self._stencils = CLOSED_STENCILS if closed else STENCILS
        self._cases: dict[int, Case] = {}

    def stencil(self) -> Stencil:
        """Steps that the case permits."""
        problem = ""
        for stencil in self._stencils:
            try:
                for k in stencil[0]:
                    self.moved(k)
            except (CaseError, GeometryError) as error:
                # Not the error itself: it and this frame would keep each other for ever.
                problem = problem or str(error)
                continue
            return stencil
        raise CaseError((self.one.key, f"no step is possible from {self.one.value:g}: {problem}"))

    def moved(self, k: int) -> Case:
        """The case after k steps."""
        if k not in self._cases:
            self._cases[k] = moved(self.case, {self.one.key: self.one.value + k * self.step})
        return self._cases[k]

    def device(self, k: int) -> Device:
        """The device after k steps."""
        device = self.result.device
        return device if self.velocity is None else device.moved(k * self.step * self.velocity)

    def run(self, k: int) -> Result:
        """The result after k steps."""
        device = self.device(k)
        flow, densities = self.result.terms
        return run(
            self.moved(k),
            comm=device.comm,
            device=device,
            terms=flow,
            angular_momentum_terms=densities,
            derived=self.result.derived,
            gradients=_is_iterated(self.case),
        )

    def values(self, k: int, names: Sequence[str]) -> np.ndarray:
        """Outputs after k steps."""
        found = self.run(k)
        try:
            return _values(found, names)
        finally:
            if found.flow.adjoint is not None:
                found.flow.adjoint.close()


def _is_iterated(case: Case) -> bool:
    """Whether a solution may be what an iteration has come to."""
    return case.flow.model == "kinetic" and case.flow.solver != "direct"


def size(result: Result, one: Input) -> float:
    """What a change of an input is to be compared with: its value, if that is not zero."""
    if one.value:
        return abs(one.value)
    if one.uncertainty:
        return one.uncertainty
    case, device, last = result.case, result.device, one.key.split(".")[-1]
    if last == "current" and one.key.startswith("boundaries."):
        return max((abs(c.current) for c in result.contacts.values()), default=0.0) or 1.0
    materials = case.used_materials.values()
    paths = [m.mean_free_path for m in materials if isinstance(m.mean_free_path, float)]
    potentials = [abs(c.potential or 0.0) for c in case.contacts.values()]
    voltages = [abs(p.voltage or 0.0) for p in case.periodic.values()]
    drive = max([*potentials, *voltages]) or 1e-3
    sizes = {
        "potential": drive,
        "voltage": drive,
        "slip_length": min(paths, default=1e-3 * device.extent),
        "magnetic_field": 0.1,
    }
    if one.parameter:
        return device.extent / device.length_unit
    return sizes.get(last, 1.0)


def _values(result: Result, names: Sequence[str]) -> np.ndarray:
    found = outputs.values(result, names)
    return np.array([found[name] for name in names])
