"""Where the error of any number of a result comes from, for a mesh that is adapted to it.

A number that is linear in flow and densities errs by a(e, e*): e is the error of the solution, e*
that of the adjoint solution, by which the number sees loads. In 2D both are what one degree more
changes, in 3D what is recovered (:mod:`meso.evidence.recovery`). In a cell a flow counts with the
power of e in e*, in 3D with the root of the product of their energies, which covers more; angular
momentum with the norms of its coefficients, which have no common unit. Numbers without an adjoint
count with the energy of e alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from meso.angular_momentum.adjoint import Target
from meso.angular_momentum.coupled_adjoint import CoupledAdjoint, Number
from meso.angular_momentum.diffusion import Diffusion
from meso.angular_momentum.targets import target
from meso.case import Case
from meso.device import Device
from meso.discrete.cells import cells_of, facet_geometry
from meso.discrete.expressions import cell_integrals, interpolated
from meso.discrete.fields import Field, cellwise, difference, gradient, on_facets
from meso.equations import dissipation, ohmic
from meso.errors import CaseError
from meso.evidence import adapting, recovery
from meso.evidence.indicators import Indicated, energy, last_degrees
from meso.evidence.singular import CORNER_POWERS, powers
from meso.flow.result import Flow
from meso.geometry.refinement import CellErrors, cell_errors
from meso.gradients import adjoint, outputs
from meso.gradients.inputs import moved, unadapted
from meso.mpi import concatenated, total
from meso.observables.derived import symbols
from meso.results.result import Result
from meso.results.running import run, solve
from meso.sensitivities import Sensitivity

#: What is told over what is estimated, that no smooth solution or corner is underestimated.
_SURE = 1.5
#: Current density and potential.
State = tuple[Field, Field]


def indicated(case: Case, device: Device, progress: Callable[[str], None]) -> Indicated:
    """What a mesh leaves in ``mesh.adapt.target``, any number that a result yields.

    All ranks call this.

    Raises:
        CaseError: There is no such number, or it is zero.
    """
    progress(f"solving {case.flow.model} flow and its adjoint on {device.cells} cells")
    order = case.flow.degree_on(device)
    degrees = (order,) if device.dimension == 3 else (order, order + 1)
    results = [_solved(case, device, degree) for degree in degrees]
    column, unit = _column(case, results[0])
    values = [outputs.values(result, [column])[column] for result in results]
    if not values[-1]:
        raise CaseError(("mesh.adapt.target", f'"{column}" is zero: it has no relative error'))
    seen = [_Seen.of(result, column) for result in results]
    for result in results:
        _close(result)
    if device.dimension == 3:
        errors = _recovered(seen[0], abs(values[0]))
    else:
        change = abs(1 - values[0] / values[1])
        errors = _by_degree(seen[0], seen[1], abs(values[1]), change)
    flow = replace(results[0].flow, adjoint=None)
    if outputs.is_coupled(results[0]):  # the run couples it once more
        flow, _ = solve(_settled(case, order), device)
    return Indicated(flow=flow, value=values[0], unit=unit, errors=errors)


def _solved(case: Case, device: Device, order: int) -> Result:
    return run(_settled(case, order), comm=device.comm, device=device, gradients=True)


def _settled(case: Case, order: int) -> Case:
    """The case for this mesh and degree, with nothing that is not asked for."""
    changes: dict[str, Any] = {"flow.order": order, "flow.estimate": False}
    if case.flow.kinetic:
        changes["flow.harmonics"] = adapting.harmonics(case)
    if case.flow.bounds:
        changes["flow.bounds"] = False
    return moved(unadapted(case), changes)


def _column(case: Case, result: Result) -> tuple[str, str]:
    """Column and unit of the target."""
    assert case.mesh.adapt is not None
    try:
        [column] = outputs.chosen(result, [case.mesh.adapt.target])
    except CaseError as error:
        raise CaseError(("mesh.adapt.target", error.problems[0][-1])) from None
    return column, outputs.unit(column)


def _close(result: Result) -> None:
    """Free what adjoints keep."""
    part = result.angular_momentum
    for one in (result.flow.adjoint, None if part is None else part.densities.adjoint):
        if one is not None:
            one.close()


# -- the adjoint -------------------------------------------------------------------------------


class _Loads:
    """In place of the adjoint of a flow: how a number is made of it."""

    def __init__(self, ports: tuple[str, ...]) -> None:
        self.ports = ports
        self.mixes: tuple[np.ndarray, np.ndarray] | None = None
        self.loads: dict[str, Any] = {}

    def conductance(self, left: np.ndarray, right: np.ndarray) -> Sensitivity:
        """Of left^T G right."""
        self.mixes = left, right
        return Sensitivity()

    def functional(self, **loads: Any) -> Sensitivity:
        """Of loads on current and potential."""
        self.loads = loads
        return Sensitivity()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Seen:
    """A solution, and the one by which a number sees its errors.

    Attributes:
        flow: The flow.
        problem: The diffusion of angular momentum, where it counts.
        state: What drives the number.
        dual: The adjoint flow: the number errs by its work in the errors of the state.
        omega: Potentials of angular momentum.
        lambda_: Their adjoint.
        divided: What may be wrong in each cell because it is divided among walls, (c,).
    """

    flow: Flow
    state: State
    dual: State | None = None
    problem: Diffusion | None = None
    omega: Field | None = None
    lambda_: Field | None = None
    divided: np.ndarray | float = 0.0

    @classmethod
    def of(cls, result: Result, column: str) -> _Seen:
        """For a number by its column."""
        flow, part = result.flow, result.angular_momentum
        state = flow.fields["current_density"], flow.fields["potential"]
        seen = cls(flow=flow, state=state)
        if outputs.is_coupled(result):
            return _coupled(seen, result, column)
        wish = target(result, column)
        if wish is not None and part is not None:
            [(values, found)] = part.densities.adjoint.seen([wish])
            dual = None
            if flow.adjoint is not None and found.potential is not None:
                dual = flow.adjoint.dual(potential=found.potential)
            seen = replace(seen, divided=_divided(result, column, wish))
            return seen._with(part.problem, part.densities.omega, values, dual)
        if flow.adjoint is None or (flow.kinetic and "_moment" in column):
            return seen
        if flow.magnetic_field and not flow.kinetic:  # K^T drives no flow of this model
            return seen
        loads: Any = _Loads(flow.adjoint.ports)
        adjoint.functional(replace(result, flow=replace(flow, adjoint=loads)), column)
        if loads.mixes is not None:
            assert flow.state is not None
            left, right = map(flow.state, loads.mixes)
            return replace(seen, state=right, dual=left)
        return replace(seen, dual=flow.adjoint.dual(**loads.loads)) if loads.loads else seen

    def _with(
        self, problem: Diffusion, omega: np.ndarray, values: np.ndarray, dual: State | None
    ) -> _Seen:
        """With angular momentum, at the nodes of cells."""
        device, order = problem.device, problem.order
        fields = [cellwise("omega", "rad_per_s", device, order, x) for x in (omega, values)]
        return replace(self, problem=problem, omega=fields[0], lambda_=fields[1], dual=dual)


def _divided(result: Result, column: str, wish: Target) -> np.ndarray | float:
    """What moments change by where distances from walls have a degree more."""
    if "diffusive_moment" not in column:
        return 0.0
    other, part = target(result, column, degree=3), result.angular_momentum
    assert other is not None and part is not None
    return np.abs(((wish.density - other.density) * part.densities.density).sum(axis=(1, 2)))


def _coupled(seen: _Seen, result: Result, column: str) -> _Seen:
    """Where charge and angular momentum are solved together, for Ohm's law."""
    part, flow = result.angular_momentum, result.flow
    if not isinstance(flow.adjoint, CoupledAdjoint) or part is None:
        return seen
    if (number := _number(result, column)) is None:
        return seen
    values, _ = flow.adjoint.seen(number)
    psi = values[:, :, -1] / (flow.thickness or 1.0)
    voltage = cellwise("potential", "V", flow.device, part.problem.order, psi, joined=True)
    dual = _current(flow, voltage), voltage
    return seen._with(part.problem, part.densities.omega, values[:, :, :-1], dual)


def _number(result: Result, column: str) -> Number | None:
    """A column of such a result."""
    ports = list({**result.flow.contacts, **result.flow.periodic}.items())
    none, unit = np.zeros(len(ports)), np.eye(len(ports))
    if (found := target(result, column)) is not None:
        return Number(target=found, current=none, potential=none)
    assert result.angular_momentum is not None
    part = result.angular_momentum
    nothing = Target.of(part.problem, np.zeros_like(part.densities.density))
    name = outputs.short(column)
    for i, (port, _) in enumerate(ports):
        if name == f"{port}.current":
            return Number(target=nothing, current=unit[i], potential=none)
        if name in (f"{port}.potential", f"{port}.voltage"):
            return Number(target=nothing, current=none, potential=unit[i])
    if name == "dissipated_power":
        level, current = np.array([(t.potential, t.current) for _, t in ports]).T
        return Number(target=nothing, current=level, potential=current)
    return None


def _current(flow: Flow, voltage: Field) -> Field:
    """By Ohm's law."""
    sigma = symbols(flow, None).material(lambda m: m.conductivity)
    value, own = ohmic.current_density(voltage.function(), sigma), flow.fields["current_density"]
    return interpolated(own.name, own.unit, flow.device, own.degree, value)


# -- the errors --------------------------------------------------------------------------------


def _by_degree(coarse: _Seen, fine: _Seen, value: float, change: float) -> CellErrors:
    """Shares of cells in what one degree more changes, a relative ``change`` of the value."""
    k, flow = coarse.flow.order, fine.flow
    gap, seen = _less(fine.state, coarse.state), None
    if fine.dual is not None and coarse.dual is not None:
        seen = _less(fine.dual, coarse.dual)
    share = energy(flow, *gap) if seen is None else _work(flow, gap, seen)
    degrees = _alike(last_degrees(fine.state[0]), flow.device)
    if fine.problem is not None:
        assert fine.omega and fine.lambda_ and coarse.omega and coarse.lambda_
        gaps = difference(fine.omega, coarse.omega), difference(fine.lambda_, coarse.lambda_)
        share = diffused(fine.problem, *gaps) + (0.0 if seen is None else share)
        degrees = degrees + _alike(last_degrees(fine.omega), flow.device)
    size = value if fine.problem or seen is not None else _whole(fine)
    parts = np.column_stack([share, np.broadcast_to(coarse.divided, share.shape)]) / size
    found = _cell_errors(fine, parts, degrees, power=k + 2.0)
    share, divided = found.parts.T
    if sum_ := float(share.sum()):
        share = _SURE * max(change / sum_, adapting.NO_LUCK) * share
    held = None if fine.problem is None else fine.problem.held
    left = adapting.left(found, k, powers(flow, found, held))
    return replace(found, share=share * left + divided)


def _recovered(seen: _Seen, value: float) -> CellErrors:
    """Shares of cells in the error that is recovered."""
    flow = seen.flow
    density, share = recovery.gap(flow, *seen.state)
    axes = recovery.shares(density)
    if seen.dual is not None:
        other, theirs = recovery.gap(flow, *seen.dual)
        share, axes = np.sqrt(share * theirs), (axes + recovery.shares(other)) / 2
    along = share[:, None] * axes
    if seen.problem is not None:
        assert seen.omega and seen.lambda_
        lost = [recovery.lost(field, flow.order + 1) for field in (seen.omega, seen.lambda_)]
        of_flow = 0.0 if seen.dual is None else 1.0
        own = recovery.COUNTS * diffused(seen.problem, *lost)
        share = of_flow * share + own + seen.divided
        axes = (recovery.shares(lost[0]) + recovery.shares(lost[1])) / 2
        along = of_flow * along + own[:, None] * axes
    size = value if seen.problem or seen.dual is not None else _whole(seen)
    found = _cell_errors(
        seen, np.column_stack([share, along]), np.zeros((len(share), 2)), power=2.0 * flow.order
    )
    return adapting.by_axis(found, size)


def _cell_errors(
    seen: _Seen, parts: np.ndarray, degrees: np.ndarray, *, power: float
) -> CellErrors:
    """Of all ranks, with these parts; the shares are not known yet."""
    device, comm = seen.flow.device, seen.flow.device.comm
    return cell_errors(
        concatenated(comm, cells_of(device).corners * device.extent),
        concatenated(comm, parts),
        concatenated(comm, degrees),
        power=power,
        corner_power=CORNER_POWERS[seen.flow.model],
    )


def _less(one: Sequence[Field], other: Sequence[Field]) -> list[Field]:
    return [difference(a, b) for a, b in zip(one, other, strict=True)]


def _work(flow: Flow, one: Sequence[Field], other: Sequence[Field]) -> np.ndarray:
    """Size of the power of a flow in another one, in each cell, W, (c,)."""
    (J, phi), (K, psi), comm = one, other, flow.device.comm
    # Of a quadratic form: what the squares of sum and difference differ by, both of one size.
    sizes = [float(total(comm, energy(flow, field).sum())) or 1.0 for field in (J, K)]
    s = float(np.sqrt(sizes[0] / sizes[1]))
    sides = [replace(J, data=_sum(J, K, sign * s)) for sign in (1.0, -1.0)]
    out = np.abs(energy(flow, sides[0]) - energy(flow, sides[1])) / (4 * s)
    for density, voltage in ((J, psi), (K, phi)) if flow.viscous else ():
        value = dissipation.coupling(density.function(), voltage.function())
        out += np.abs(cell_integrals(flow.device, value, degree=2 * density.highest))
    return (flow.thickness or 1.0) * out


def _sum(one: Field, other: Field, factor: float) -> Any:
    """One field plus a factor times another, both cell by cell."""
    values = one.values + factor * other.values
    return cellwise(one.name, one.unit, one.device, one.highest, values).data


def _whole(seen: _Seen) -> float:
    """Power of the flow without thickness, W."""
    flow = seen.flow
    return float(total(flow.device.comm, energy(flow, seen.state[0]).sum())) or 1.0


def _alike(squares: np.ndarray, device: Device) -> np.ndarray:
    """Over their sum: those of fields in different units may be added."""
    return squares / (float(total(device.comm, squares.sum())) or 1.0)


def diffused(problem: Diffusion, one: Field, other: Field) -> np.ndarray:
    """What diffusion, relaxation and walls make of two fields of components, in each cell, (c,).

    Sums over pairs of components of the norm of the coefficient times the norms of the fields.
    """
    device, operator = problem.device, problem.operator
    cells, region = cells_of(device), device.cell_region
    D = np.linalg.norm(operator.diffusion.transpose(0, 2, 4, 1, 3), ord=2, axis=(3, 4))
    T, out = np.abs(operator.reaction), np.zeros(cells.count)

    def paired(coefficient: np.ndarray, squares: Sequence[np.ndarray]) -> np.ndarray:
        of_one, of_other = map(np.sqrt, squares)
        return ((of_other[:, None] @ coefficient)[:, 0] * of_one).sum(axis=1)

    points, weights = cells.quadrature(2 * one.highest)
    for batch, _ in cells.batches(8 * len(points) * one.components):
        w = weights * cells.determinants(batch, points) * device.extent**device.dimension
        fields = [(f, f.table(points) @ f.values[batch]) for f in (one, other)]
        slopes = [(gradient(f, points, batch) ** 2).sum(axis=2) for f, _ in fields]
        out[batch] = paired(D[region[batch]], [(w[:, None] @ x)[:, 0] for x in slopes])
        out[batch] += paired(T[region[batch]], [(w[:, None] @ x**2)[:, 0] for _, x in fields])
    rule = cells.facet_quadrature(2 * one.highest)
    for name, V in operator.surface.items():
        facets = device.facets_on(name)
        geometry = facet_geometry(cells, facets.cell, facets.local, *rule)
        w = (geometry.weight * device.extent ** (device.dimension - 1))[:, None]
        squares = [(w @ on_facets(f, geometry) ** 2)[:, 0] for f in (one, other)]
        np.add.at(out, facets.cell, paired(np.abs(V)[region[facets.cell]], squares))
    return out
