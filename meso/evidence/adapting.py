"""Adaptive refinement: meshes that follow the error of a target.

On each mesh the flow is solved with degree k and with k + 1. The difference of the target
estimates the error of degree k; the energy a(e, e) of the difference e of the flows says where it
comes from. The weak form is symmetric: the error of a conductance is that energy itself, the one
of a four-terminal resistance is a(e_1, e_2), with the flows that its current and its voltage
contacts drive, so that no adjoint problem has to be solved.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from meso.boundary import Wall
from meso.case import Case
from meso.device import Device
from meso.discrete.cells import cells_of, facet_vertices
from meso.discrete.fields import difference
from meso.errors import CaseError
from meso.evidence.indicators import (
    Indicated,
    Indicator,
    absolute_curl,
    energy,
    last_degrees,
)
from meso.flow.discretisation import TAYLOR_HOOD
from meso.flow.hydrodynamic import ENRICHED, Hydrodynamic
from meso.flow.ohmic import Ohmic
from meso.flow.result import Flow, four_terminal, ports_of
from meso.geometry.layers import SizeField
from meso.geometry.refinement import CellErrors, cell_errors, next_sizes
from meso.mpi import concatenated, on_root, total
from meso.observables.accumulation import edge_moments
from meso.orbital import orbital_density, vorticity

#: Powers of the cell size, and of one over the degree squared, by which the error of a conductance
#: falls at a corner of 270 degrees: J ~ r^(1/3) where walls slip, grad phi ~ r^(-1/3).
_CORNER_POWERS = {"hydrodynamic": 2 / 3, "ohmic": 4 / 3}
_MODELS: dict[str, Any] = {"hydrodynamic": Hydrodynamic, "ohmic": Ohmic}
#: Part of the tolerance that the next mesh is made for, and without one, of the estimate.
_SAFETY, _STEP = 0.3, 0.12
#: Contributions to a saddle point have both signs. Where they cancel by chance, the estimate is
#: at least this part of the energy of the error (measured: 0.06 to 1).
_NO_LUCK = 0.05
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
        target: "conductance", "edge_moment" or the name of a resistance.
        unit: Unit of the target.
        tolerance: Relative error at which it was to stop, or None.
        steps: The meshes.
        kept: Index of the mesh that the result is from: the one with the smallest estimate.
    """

    target: str
    unit: str
    tolerance: float | None
    steps: tuple[Step, ...]
    kept: int

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
        if self.reached:
            return ()
        return (
            f"mesh.adapt: the relative error of {self.target} is estimated as"
            f" {self.estimate:.2g}, above the tolerance {self.tolerance:g}, after"
            f" {len(self.steps) - 1} refinements",
        )


def adapt(case: Case, build: Build, progress: Progress) -> tuple[Device, Flow, Adaptivity]:
    """Solve a case on meshes, made by ``build``, that are refined by the error of its target.

    Returns:
        Device and flow of the mesh with the smallest estimate, and the report.

    Raises:
        CaseError: Something in the case does not fit the drawing.
        GeometryError: The drawing cannot be used.
        ConvergenceError: The solver failed.
    """
    wish = case.mesh.adapt
    assert wish is not None
    wanted = SizeField.anything()
    steps: list[Step] = []
    best: tuple[Device, Indicated] | None = None
    for _ in range(wish.steps + 1):
        device = build(wanted)
        found = INDICATORS[case.flow.model](case, device, progress)
        step = Step(
            cells=device.cells,
            unknowns=int(found.flow.evidence["unknowns"]),
            value=found.value,
            estimate=found.estimate,
        )
        progress(
            f"{wish.target} {step.value:.9g} {found.unit}, relative error about {step.estimate:.1e}"
        )
        if best is None or step.estimate < best[1].estimate:
            best = device, found
        steps.append(step)
        if step.estimate <= (wish.tolerance or 0.0) or _stalled(steps):
            break
        goal = _SAFETY * wish.tolerance if wish.tolerance else _STEP * step.estimate
        wanted = on_root(device.comm, lambda e=found.errors, g=goal: next_sizes(e, g))  # type: ignore[misc]
    assert best is not None
    device, kept = best
    return (
        device,
        kept.flow,
        Adaptivity(
            target=wish.target,
            unit=kept.unit,
            tolerance=wish.tolerance,
            steps=tuple(steps),
            kept=int(np.argmin([s.estimate for s in steps])),
        ),
    )


def _solved_twice(case: Case, device: Device, progress: Progress) -> Indicated:
    """Degrees k and k + 1, of the ohmic and the hydrodynamic model."""
    progress(f"solving {case.flow.model} flow twice on {device.cells} cells")
    order = case.flow.order or device.order
    # What a degree more changes, and not other elements.
    same = {"elements": TAYLOR_HOOD} if case.flow.viscous and order < ENRICHED else {}
    flows = [
        _MODELS[case.flow.model](
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
    values, unit = _target(case, flows[0])
    finer, _ = _target(case, flows[1])
    size = float(np.abs(finer).max()) or 1.0
    errors = _errors(case, flows[0], flows[1], float(np.abs(finer - values).max() / size))
    value = float(values[int(np.argmax(finer))])
    return Indicated(flow=flows[0], value=value, unit=unit, errors=errors)


#: By the name of the model.
INDICATORS: dict[str, Indicator] = {"ohmic": _solved_twice, "hydrodynamic": _solved_twice}


def _stalled(steps: list[Step]) -> bool:
    """True if neither of the last two meshes gained a tenth over those before."""
    estimates = [step.estimate for step in steps]
    return len(steps) > 3 and min(estimates[-2:]) > 0.9 * min(estimates[:-2])


def _target(case: Case, flow: Flow) -> tuple[np.ndarray, str]:
    """Values whose largest relative error is to be small, and their unit."""
    wish = case.mesh.adapt
    assert wish is not None
    cut = flow.per_thickness
    if wish.target == "edge_moment":
        moments = edge_moments(flow, orbital_density(flow, vorticity(flow)))
        chains = _chains(flow)
        found = np.zeros((max(chains, default=-1) + 1, np.size(moments[0].moment)))
        np.add.at(found, chains, [np.ravel(m.moment) for m in moments])
        return found.ravel(), "J s/m" if cut else "J s"
    if wish.target == "conductance":
        unit = "S/m" if cut else "S"
        if len(flow.contacts) > 1:
            return flow.conductance_matrix.ravel(), unit
        pairs = [t.current / t.potential for t in flow.periodic.values() if t.potential]
        if not pairs:
            text = '"conductance" needs two contacts, or a voltage or current of a periodic pair'
            raise CaseError(("mesh.adapt.target", text))
        return np.array(pairs), unit
    given = case.output.resistances[wish.target]
    names, matrix = tuple(flow.contacts), flow.conductance_matrix
    resistance = four_terminal(names, matrix, given.current, given.voltage)
    return np.array([resistance]), "Ω m" if cut else "Ω"


def _chains(flow: Flow) -> np.ndarray:
    """Number of the chain that each smooth piece of a wall belongs to.

    Pieces that meet at a corner are one: beyond a re-entrant corner they are equally near.
    """
    device = flow.device
    walls = [
        i for i, p in enumerate(device.pieces) if isinstance(flow.boundaries.get(p.boundary), Wall)
    ]
    facets = device.facets.of(np.isin(device.facets.piece, walls))
    ends = cells_of(device).corners[facets.cell[:, None], facet_vertices(2)[facets.local]]
    ends = concatenated(device.comm, ends)
    piece = np.searchsorted(walls, concatenated(device.comm, facets.piece))
    _, point = np.unique(ends.reshape(-1, 2), axis=0, return_inverse=True)
    point = point.reshape(-1) + len(walls)
    size = point.max(initial=0) + 1
    graph = coo_matrix((np.ones(len(point)), (np.repeat(piece, 2), point)), (size, size))
    return connected_components(graph, directed=False)[1][: len(walls)]


def _drives(case: Case, flow: Flow) -> list[tuple[np.ndarray, np.ndarray]]:
    """Pairs of potentials of the ports, for the target and what it is seen by."""
    wish = case.mesh.adapt
    assert wish is not None
    names = ports_of(flow.boundaries)
    if wish.target in case.output.resistances:
        wanted = case.output.resistances[wish.target]
        both = np.zeros((2, len(names)))
        inside = list(flow.contacts)[:-1]  # the last one is at zero
        for potential, (first, second) in zip(both, (wanted.current, wanted.voltage), strict=True):
            current = [float(name == first) - float(name == second) for name in inside]
            potential[: len(inside)] = np.linalg.solve(flow.conductance_matrix[:-1, :-1], current)
        return [(both[0], both[1])]
    if wish.target == "conductance" and len(flow.contacts) > 1:
        count = len(flow.contacts)
        # Of two contacts, either one says it all.
        units = np.eye(count, len(names))[: 1 if count == 2 else count]
        return [(unit, unit) for unit in units]
    terminals = {**flow.contacts, **flow.periodic}
    drive = np.array([terminals[name].potential for name in names])
    return [(drive, drive)]


def _errors(case: Case, coarse: Flow, fine: Flow, lost: float) -> CellErrors:
    """Share of each cell of all ranks in the estimate of the relative error.

    The error e_k of degree k is e_k - e_(k + 1) over 1 - e_(k + 1)/e_k. That ratio is the square of
    the decay of the solution with its degree; at a corner it is (k/(k + 1))^(2p), p the power of
    the cell size by which the error falls there.
    """
    assert coarse.state is not None and fine.state is not None
    device, k = fine.device, coarse.order
    corner_power = _CORNER_POWERS[case.flow.model]
    error, whole, curl = np.zeros((3, len(device.cell_region)))
    moment = case.mesh.adapt is not None and case.mesh.adapt.target == "edge_moment"
    power = 2 * k + (2 if case.flow.viscous else 0)
    degrees = np.zeros((len(device.cell_region), 2))
    for pair in _drives(case, fine):
        parts = []
        for drive in pair if pair[0] is not pair[1] else pair[:1]:
            density, voltage = fine.state(drive)
            before, voltage_before = coarse.state(drive)
            gap = difference(density, before), difference(voltage, voltage_before)
            if moment:
                curl += absolute_curl(gap[0])
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
    least = _NO_LUCK * sums[0] / (float(concatenated(comm, whole).sum()) or 1.0)
    share = (found.parts[:, sums > 0] / sums[sums > 0]).mean(axis=1)
    return replace(found, share=share * max(lost, least) * _left(found, k))


def _left(found: CellErrors, k: int) -> np.ndarray:
    """Error of degree k over its difference from degree k + 1, of each cell."""
    corner = 1 / (1 - (k / (k + 1)) ** (2 * found.corner_power))
    return np.where(found.at_corner, corner, 1 / (1 - np.minimum(found.decay, _SLOWEST)))


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
        corner_power=_CORNER_POWERS[fine.model],
    )
    sums, whole = found.parts.sum(axis=0), float(total(comm, energy(fine, density).sum()))
    factors = _left(found, coarse.order) @ found.parts / np.where(sums > 0, sums, 1.0)
    currents, curls = np.maximum(factors, 1.0).tolist()
    return (currents, curls), _NO_LUCK * float(sums[0]) / (whole or 1.0)
