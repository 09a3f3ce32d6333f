"""Adaptive refinement: meshes that follow the error of a target.

On each mesh the flow is solved with degree k and with k + 1. The difference of the target
estimates the error of degree k; the energy a(e, e) of the difference e of the flows says where it
comes from. The weak form is symmetric: the error of a conductance is that energy itself, the one
of a four-terminal resistance is a(e_1, e_2), with the flows that its current and its voltage
contacts drive, so that no adjoint problem has to be solved.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from meso import flow as models
from meso.case import Case
from meso.device import Device
from meso.discrete.cells import cells_of
from meso.discrete.fields import Field, continuous, difference
from meso.errors import CaseError
from meso.evidence import recovery, targets
from meso.evidence.dissipated import kinetic_energy
from meso.evidence.indicators import (
    Indicated,
    Indicator,
    absolute_curl,
    energy,
    last_degrees,
)
from meso.evidence.singular import CORNER_POWERS, powers
from meso.flow.discretisation import TAYLOR_HOOD
from meso.flow.hydrodynamic import ENRICHED
from meso.flow.result import Flow
from meso.geometry.layered import Layered
from meso.geometry.layers import SizeField
from meso.geometry.refinement import CellErrors, cell_errors, next_sizes
from meso.mpi import concatenated, on_root, total

#: Harmonics of a mesh for "auto"; what an iteration may leave of a target without tolerance.
_AUTO, _ENOUGH = 32, 1e-4
#: Part of the tolerance that the next mesh is made for, and without one, of the estimate.
_SAFETY, _STEP = 0.3, 0.12
#: Contributions to a saddle point have both signs. Where they cancel by chance, the estimate is
#: at least this part of the energy of the error (measured: 0.06 to 1).
NO_LUCK = 0.05
#: The same for all numbers of a result, where no further mesh will tell.
_LEAST = 0.15
#: What the recovered energy of kinetic moments in space counts. Without, it is 0.9 to 2.4 of the
#: error of the conductance of a bar, 3 to 5 times that of one with a re-entrant edge.
_MOMENTS = 1.5
#: Part of an estimate that is left by a mesh that gained nothing.
_STUCK = 0.9
#: What a change by the division among walls counts.
_SURE = 1.5
#: Largest ratio of the errors of degrees k + 1 and k that the estimate takes seriously elsewhere.
_SLOWEST = 0.75

Progress = Callable[[str], None]
Build = Callable[[SizeField], Device]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One mesh of an adaptive refinement.

    Attributes:
        cells: Number of its cells.
        unknowns: Number of unknowns of degree k on it.
        value: The target, with degree k.
        estimate: Estimate of its relative error.
    """

    cells: int
    unknowns: int
    value: float
    estimate: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Adaptivity:
    """What an adaptive refinement did.

    Attributes:
        target: What the case names.
        unit: Unit of the target.
        tolerance: Relative error at which it was to stop, or None.
        steps: The meshes.
        kept: Index of the mesh that the result is from: the one with the smallest estimate.
        limit: What of the drawing kept the error from falling, in words.
        parameters: Values of parameters of a drawing with layers, for the mesh that was kept.
    """

    target: str
    unit: str
    tolerance: float | None
    steps: tuple[Step, ...]
    kept: int
    limit: str = ""
    parameters: Mapping[str, float] = field(default_factory=dict)

    @property
    def estimate(self) -> float:
        """Estimate of the relative error of the target in the result."""
        return self.steps[self.kept].estimate

    @property
    def reached(self) -> bool:
        """True if there was no tolerance, or if it was reached."""
        return self.tolerance is None or self.estimate <= self.tolerance

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a careful user should know."""
        limit = (f"mesh.adapt: {self.limit}",) if self.limit else ()
        if self.reached:
            return limit
        return (
            f"mesh.adapt: the relative error of {self.target} is estimated as"
            f" {self.estimate:.2g}, above the tolerance {self.tolerance:g}, after"
            f" {len(self.steps) - 1} refinements",
            *limit,
        )


def adapt(
    case: Case,
    build: Build,
    progress: Progress,
    of_any: Indicator,
    layers_of: Callable[[], Layered | None],
) -> tuple[Device, Flow, Adaptivity]:
    """Solve a case on meshes, made by ``build``, that are refined by the error of its target.

    ``of_any`` knows the errors of targets that are no numbers of a flow at its contacts and walls;
    ``layers_of`` tells what a drawing in space says of its layers.

    Returns:
        Device and flow of the mesh with the smallest estimate, and the report.

    Raises:
        CaseError: Something in the case does not fit the drawing.
        GeometryError: The drawing cannot be used.
        ConvergenceError: The solver failed.
    """
    wish = case.mesh.adapt
    assert wish is not None
    wanted, drawn, limit = SizeField.anything(), None, ""
    parameters: Mapping[str, float] = {}
    steps: list[Step] = []
    best: tuple[Device, Indicated] | None = None
    for _ in range(wish.steps + 1):
        device = build(wanted)
        if device.dimension == 3 and not steps:
            drawn = layers_of()
        found, step = _seen(case, device, progress, of_any)
        if best is None or step.estimate < best[1].estimate:
            best, parameters = (device, found), wanted.parameters
        steps.append(step)
        if step.estimate <= (wish.tolerance or 0.0) or _stalled(steps):
            break
        now = drawn and drawn.with_values(wanted.parameters)
        if now:
            stuck = len(steps) > 1 and step.estimate > _STUCK * steps[-2].estimate
            limit = on_root(device.comm, _limit(now, found.errors, wish.tolerance, stuck))
        if limit:
            break
        wanted = on_root(device.comm, _next(now, found.errors, wish.tolerance))
    assert best is not None
    report = Adaptivity(
        target=wish.target,
        unit=best[1].unit,
        tolerance=wish.tolerance,
        steps=tuple(steps),
        kept=_kept(steps),
        limit=limit,
        parameters=parameters,
    )
    return best[0], best[1].flow, report


def _seen(
    case: Case, device: Device, progress: Progress, of_any: Indicator
) -> tuple[Indicated, Step]:
    """What a mesh tells."""
    solid, wish = device.dimension == 3, case.mesh.adapt
    assert wish is not None
    indicate = of_any
    if targets.is_of_flow(case):
        indicate = _recovered if solid else _solved_twice
    elif solid and case.flow.kinetic:
        text = f'found "{wish.target}"; with the kinetic model in 3D meshes are adapted to'
        text += " conductance, currents, potentials, resistances and moments of the flow"
        raise CaseError(("mesh.adapt.target", text))
    found = indicate(case, device, progress)
    step = Step(
        cells=device.cells,
        unknowns=int(found.flow.evidence["unknowns"]),
        value=found.value,
        estimate=found.estimate,
    )
    progress(
        f"{wish.target} {step.value:.9g} {found.unit}, relative error about {step.estimate:.1e}"
    )
    return found, step


def _limit(
    drawn: Layered, errors: CellErrors, tolerance: float | None, stuck: bool
) -> Callable[[], str]:
    return lambda: drawn.limit(errors, tolerance, stuck=stuck)


def _next(
    drawn: Layered | None, errors: CellErrors, tolerance: float | None
) -> Callable[[], SizeField]:
    """What finds the next sizes."""
    goal = _SAFETY * tolerance if tolerance else _STEP * float(errors.share.sum())
    return lambda: (drawn.next_sizes if drawn else next_sizes)(errors, goal)


def _kept(steps: Sequence[Step]) -> int:
    return int(np.argmin([step.estimate for step in steps]))


def _solved_twice(case: Case, device: Device, progress: Progress) -> Indicated:
    """Degrees k and k + 1."""
    progress(f"solving {case.flow.model} flow twice on {device.cells} cells")
    order = case.flow.degree_on(device)
    same = _same(case, order)
    flows = [
        _model(case)(
            device,
            materials=case.region_materials,
            boundaries=case.boundaries,
            order=k,
            thickness=case.geometry.thickness,
            solver=case.flow.solver,
            **same,
        ).solve()
        for k in (order, order + 1)
    ]
    values, unit = targets.values(case, flows[0])
    finer, _ = targets.values(case, flows[1])
    size = float(np.abs(finer).max()) or 1.0
    lost = float(np.abs(finer - values).max())
    if targets.is_moment(case):  # degree k + 1 divides cells among walls as degree k does
        lost += _SURE * targets.divided(case, flows[0])
    errors = _errors(case, flows[0], flows[1], lost / size)
    return Indicated(flow=flows[0], value=_largest(values), unit=unit, errors=errors)


def _model(case: Case) -> Any:
    return getattr(models, case.flow.model.capitalize())


def _same(case: Case, order: int) -> dict[str, Any]:
    """What both degrees have in common, so that nothing else tells them apart."""
    wish = case.mesh.adapt
    assert wish is not None
    if not case.flow.kinetic:
        return {"elements": TAYLOR_HOOD} if case.flow.viscous and order < ENRICHED else {}
    from meso.observables.grazing import iteration_tolerance

    stop = iteration_tolerance(case.boundaries, wish.tolerance or _ENOUGH)
    return {"harmonics": harmonics(case), "tolerance": stop}


def harmonics(case: Case) -> int:
    """Harmonics of the kinetic model that a mesh is adapted for."""
    return _AUTO if case.flow.harmonics == "auto" else int(case.flow.harmonics)


def _recovered(case: Case, device: Device, progress: Progress) -> Indicated:
    """One solution, whose errors are recovered: in space, where a degree more costs too much."""
    progress(f"solving {case.flow.model} flow on {device.cells} cells")
    order = case.flow.degree_on(device)
    flow = _model(case)(
        device,
        materials=case.region_materials,
        boundaries=case.boundaries,
        order=order,
        solver=case.flow.solver,
        **(_same(case, order) if case.flow.kinetic else {}),
    ).solve()
    values, unit = targets.values(case, flow)
    value, comm = _largest(values), device.comm
    share, along = np.zeros(len(device.cell_region)), np.zeros((len(device.cell_region), 3))
    for pair in targets.drives(case, flow):
        if targets.is_moment(case):
            assert flow.state is not None
            lost = recovery.lost(flow.state(pair[0])[0], flow.order + 1)
            own = absolute_curl(lost) * targets.weights(case, flow)
            share += own
            along += own[:, None] * recovery.shares(lost)
        else:
            gaps = [_gap(flow, drive) for drive in _different(pair)]
            own = np.sqrt(gaps[0][0] * gaps[-1][0])
            axes = (gaps[0][1] + gaps[-1][1]) / 2
            # The worst of several numbers: its cells, not the sum over all.
            along = np.where((own > share)[:, None], own[:, None] * axes, along)
            share = np.maximum(share, own)
    found = cell_errors(
        concatenated(comm, cells_of(device).corners * device.extent),
        concatenated(comm, np.column_stack([share, along])),
        np.zeros((device.cells, 2)),
        power=float(flow.order if targets.is_moment(case) else 2 * flow.order),
        corner_power=CORNER_POWERS[case.flow.model],
    )
    size = abs(value) or 1.0
    return Indicated(flow=flow, value=value, unit=unit, errors=by_axis(found, size))


def by_axis(found: CellErrors, size: float) -> CellErrors:
    """With shares of an error from its first part, by axis from the others, over a size."""
    return replace(found, share=found.parts[:, 0] / size, along=found.parts[:, 1:] / size)


def _gap(flow: Flow, drive: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What a flow leaves out for potentials of its ports: energy, W, (c,), and shares of axes."""
    assert flow.state is not None
    if not flow.kinetic:
        lost, power = recovery.gap(flow, *flow.state(drive))
        return power, recovery.shares(lost)
    moments = _moments(flow, drive)
    # At edges few cells around a vertex make polynomials that are far too large.
    parts = recovery.lost(moments, flow.order + 1), recovery.highest(moments)
    power = np.minimum(*(kinetic_energy(flow, part) for part in parts))
    return _MOMENTS * power, recovery.shares(parts[0])


def _largest(values: np.ndarray) -> float:
    """The first of those that are largest but for rounding."""
    sizes = np.abs(values)
    return float(values[np.argmax(sizes > (1 - 1e-9) * sizes.max())])


def _different(pair: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, ...]:
    return pair[:1] if pair[0] is pair[1] else pair


def _stalled(steps: list[Step]) -> bool:
    """True if neither of the last two meshes gained a tenth over those before."""
    estimates = [step.estimate for step in steps]
    return len(steps) > 3 and min(estimates[-2:]) > 0.9 * min(estimates[:-2])


def _errors(case: Case, coarse: Flow, fine: Flow, lost: float) -> CellErrors:
    """Share of each cell of all ranks in the estimate of the relative error.

    The error e_k of degree k is e_k - e_(k + 1) over 1 - e_(k + 1)/e_k. That ratio is the square of
    the decay of the solution with its degree; at a corner it is (k/(k + 1))^(2p), p the power of
    the cell size by which the error falls there.
    """
    assert coarse.state is not None and fine.state is not None
    device, k = fine.device, coarse.order
    corner_power = CORNER_POWERS[case.flow.model]
    error, whole, curl = np.zeros((3, len(device.cell_region)))
    moment = targets.is_moment(case)
    power = 2 * k + (2 if case.flow.viscous else 0)
    degrees = np.zeros((len(device.cell_region), 2))
    for pair in targets.drives(case, fine):
        parts = []
        for drive in _different(pair):
            density, voltage = fine.state(drive)
            before, voltage_before = coarse.state(drive)
            gap = difference(density, before), difference(voltage, voltage_before)
            if moment:
                curl += absolute_curl(gap[0]) * targets.weights(case, fine)
            if fine.kinetic:
                moments = _moments(fine, drive)
                lacking = difference(moments, _moments(coarse, drive))
                parts.append((kinetic_energy(fine, lacking), kinetic_energy(fine, moments)))
            else:
                parts.append((energy(fine, *gap), energy(fine, density)))
            degrees += last_degrees(density)
        first, last = parts[0], parts[-1]
        error += np.sqrt(first[0] * last[0])
        whole += np.sqrt(first[1] * last[1])
    comm, cells = device.comm, cells_of(device)
    found = cell_errors(
        concatenated(comm, cells.corners * device.extent),
        np.column_stack([concatenated(comm, error), concatenated(comm, curl)]),
        concatenated(comm, degrees),
        power=k + 2 if moment else power,
        corner_power=corner_power,
    )
    sums = found.parts.sum(axis=0)
    if not sums[0]:
        return found
    least = NO_LUCK * sums[0] / (float(concatenated(comm, whole).sum()) or 1.0)
    share = (found.parts[:, sums > 0] / sums[sums > 0]).mean(axis=1)
    return replace(found, share=share * max(lost, least) * left(found, k, powers(fine, found)))


def left(found: CellErrors, k: int, at_corners: np.ndarray) -> np.ndarray:
    """Error of degree k over its difference from degree k + 1, of each cell.

    With the powers of the size by which it falls in cells at corners.
    """
    corner = 1 / (1 - (k / (k + 1)) ** (2 * at_corners))
    smooth = 1 / (1 - np.minimum(found.decay, _SLOWEST))
    return np.where(np.isfinite(at_corners), corner, smooth)


def mean_left(each: np.ndarray, parts: np.ndarray) -> float:
    """Mean of :func:`left` over cells, by parts of the error of degree k; 1 at least."""
    remain = each * parts
    return max(1.0, float(each @ remain) / (float(remain.sum()) or 1.0))


def unseen(coarse: Flow, fine: Flow) -> tuple[tuple[float, float], float]:
    """What the difference of degrees k and k + 1 in the plane does not tell; all ranks call this.

    Returns:
        Error of degree k over the difference, of currents and of moments; and the least relative
        error, should contributions of both signs have cancelled.
    """
    device, comm = fine.device, fine.device.comm
    density, voltage = (fine.fields[name] for name in ("current_density", "potential"))
    lost = difference(density, coarse.fields["current_density"])
    parts = energy(fine, lost, difference(voltage, coarse.fields["potential"])), absolute_curl(lost)
    found = cell_errors(
        concatenated(comm, cells_of(device).corners * device.extent),
        concatenated(comm, np.column_stack(parts)),
        concatenated(comm, last_degrees(density)),
        power=1.0,
        corner_power=CORNER_POWERS[fine.model],
    )
    sums, whole = found.parts.sum(axis=0), float(total(comm, energy(fine, density).sum()))
    each = left(found, coarse.order, powers(fine, found))
    currents, curls = (mean_left(each, part) for part in found.parts.T)
    # What corners do to a flow reaches moments elsewhere.
    return (currents, max(currents, curls)), _LEAST * float(sums[0]) / (whole or 1.0)


def _moments(flow: Flow, drive: np.ndarray) -> Field:
    """The odd moments of a kinetic flow for potentials of the ports."""
    nodal = np.tensordot(drive, flow.unit_moments, 1)
    return continuous("odd_moments", "", flow.device, flow.order, nodal)
