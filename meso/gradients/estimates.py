"""The error that the mesh leaves in every number of an ohmic or hydrodynamic result.

In 2D the case is solved once more on the same mesh, with degree k + 1: what a number changes by is
the residual of degree k, weighted by its adjoint of degree k + 1. What that misses in turn is a
factor (:func:`meso.evidence.adapting.unseen`), and where contributions of both signs may have
cancelled, a part of the energy of the error is the least that is told, or of the largest error of
its kind.

In 3D a degree more takes several times as long for a flow: it is for runs with densities of angular
momentum that ask for it (:mod:`meso.gradients.in_space`). Else the error of the flow is recovered
from it (:mod:`meso.evidence.recovery`). A number of the contacts changes by l^T dG V, which is
a(e_l, e_V) with the errors of the flows that potentials l and V drive: the form is symmetric, so
that these are the adjoint and the flow itself. Moments take the integral of |curl e|.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from meso.constants import HBAR
from meso.discrete.cells import cells_of
from meso.discrete.fields import Field, difference
from meso.errors import CaseError, ConvergenceError
from meso.evidence import adapting, recovery
from meso.evidence.indicators import absolute_curl, last_degrees
from meso.evidence.singular import CORNER_POWERS, powers
from meso.flow.discretisation import TAYLOR_HOOD
from meso.flow.result import Flow
from meso.geometry.refinement import cell_errors
from meso.gradients import in_space, indicating, outputs, pointwise
from meso.gradients.differences import settled
from meso.gradients.inputs import moved
from meso.mpi import concatenated, total
from meso.observables.accumulation import couplings
from meso.observables.nearest import division, walls_of
from meso.observables.surface import PARTS
from meso.results.result import Result
from meso.results.running import run

#: Moments of walls, on the spot and of half the width.
_MOMENT = re.compile(
    r"(?P<place>.+)\.((?P<channel>orbital|spin)_moment(_(?P<axis>[xyz]))?"
    r"|(?P<component>\w+)\.diffusive_moment)"
)
#: The same for the inverse effect, alone and where it acts back: there the error of the change of a
#: flow is that of a small difference.
_SURE_OF_INVERSE = 1.5, 3.0
#: The same for errors at points in space, of what is recovered.
_AT_POINTS_IN_SPACE = 1.25
#: Numbers that densities of angular momentum make.
_OF_DENSITIES = re.compile(r"(^|\.)(inverse|angular_momentum|diffusive_\w+)(\.|$)")
#: Components in the names of moments, and of torques.
_COMPONENT = re.compile(r"_[xyz](?=$|_hbar)|(?<=hbar)_[xyz]$|^(spin|orbital)_[xyz](?=_J)")
#: Cells in 2D up to which the estimate takes less than half of `meso run` (measured: 0.2 to 0.45).
CHEAP = 12_000
#: Least error of a number over the largest of its kind: one of them may be right by chance.
_ALIKE = 0.1
#: The change over its estimate, that errors of smooth flows are not underestimated by a hair.
_SURE = 1.1
#: Both in 3D where it was solved once more: degree 3 leaves part of the error, more of it at
#: edges. So 98 % of the numbers are covered (docs/verification.md).
_SURE_IN_SPACE, _ALIKE_IN_SPACE = 3.5, 0.1
#: What is told of what moments in 3D change by where they are divided half as finely. It is three
#: times the error for lines that bend; less counts where it changes sign.
_BENT = 0.5
#: The same for errors at points, which fall more slowly (a fine layer in few cells: 1.12).
_SURE_AT_POINTS = 1.3


def is_cheap(result: Result) -> bool:
    """Whether the errors of a result take less than half of what the result took with pictures."""
    return result.device.dimension == 3 or result.device.cells <= CHEAP


def with_errors(result: Result, *, progress: Callable[[str], None] = lambda text: None) -> Result:
    """The result with estimated errors of the mesh, ``mesh_errors``; all ranks call this.

    Args:
        result: An ohmic or hydrodynamic result; others know their errors in other ways.
        progress: Called with lines of text, also where the errors cannot be found.
    """
    if result.flow.model not in ("ohmic", "hydrodynamic"):
        return result
    progress("errors of the mesh")
    solid = result.device.dimension == 3
    try:
        found = _recovered(result) if solid else _by_degree(result)
    except (CaseError, ConvergenceError) as error:
        # There is no degree more, no memory for it, or no solution; the result itself is good.
        progress(f"errors of the mesh are not known: {error}")
        found = {}
    return _with(result, found)


def _with(result: Result, found: Mapping[str, float | None]) -> Result:
    """With errors, 0 where a number has none, and the names of those of which nothing is known."""
    every = [*outputs.values(result), *pointwise.further(result), *pointwise.names(result)]
    return replace(
        result,
        mesh_errors={name: error for name, error in found.items() if error},
        without_estimate=tuple(name for name in every if found.get(name) is None),
    )


def _kind(name: str) -> str:
    return name.rpartition(".")[2]


# -- by a degree more --------------------------------------------------------------------------


def _finer(result: Result) -> Result:
    """The same case on the same mesh with a degree more, of the same elements.

    Degrees of two families differ by less than either has wrong.
    """
    case = moved(settled(result), {"flow.order": result.flow.order + 1, "flow.estimate": False})
    flow, own = result.terms
    kept = result.flow.evidence.get("elements") == TAYLOR_HOOD
    return run(
        case,
        comm=result.device.comm,
        device=result.device,
        terms=flow,
        angular_momentum_terms=own,
        derived=result.derived,
        elements=TAYLOR_HOOD if kept else "auto",
    )


def _by_degree(result: Result) -> dict[str, float]:
    finer = _finer(result)
    before, after = (outputs.values(r) | pointwise.further(r) for r in (result, finer))
    changes = {name: abs(after.get(name, value) - value) for name, value in before.items()}
    size, largest = _largest(before), _largest(changes)
    factors, least = adapting.unseen(result.flow, finer.flow)
    slow = _unseen_of_densities(result, finer)
    two_way = _SURE_OF_INVERSE[outputs.is_coupled(result)]
    out = {n: 0.0 for n in before if n in after and not n.endswith(pointwise.FITTED)}
    for name in out:
        change, kind = changes[name], _kind(name)
        # What contacts are given, or is known by the sum of all currents, has no error.
        if change > pointwise.ROUNDING * size[kind]:
            change = max(change, least * size[kind], _ALIKE * largest[kind])
            factor = factors["moment" in name]
            if _OF_DENSITIES.search(name):
                factor = max(factor, slow)
            out[name] = (two_way if name.startswith("inverse.") else _SURE) * factor * change
    for name, change in _divided(result).items():
        if out.get(name):
            out[name] += _SURE * change
    sure, at_points = _SURE_AT_POINTS * max(factors[1], slow), pointwise.errors(result, finer)
    return out | {name: sure * error for name, error in at_points.items()}


def _unseen_of_densities(result: Result, finer: Result) -> float:
    """Error of densities of angular momentum over what a degree more changes, in 2D."""
    one, other = result.angular_momentum, finer.angular_momentum
    if one is None or other is None:
        return 1.0
    omega = other.densities.potential
    lost = difference(omega, one.densities.potential)
    parts, comm = indicating.diffused(other.problem, lost, lost), result.device.comm
    found = cell_errors(
        concatenated(comm, cells_of(result.device).corners * result.device.extent),
        concatenated(comm, parts)[:, None],
        concatenated(comm, last_degrees(omega)),
        power=1.0,
        corner_power=CORNER_POWERS["ohmic"],
    )
    own = found.parts[:, 0]
    at_corners = powers(finer.flow, found, other.problem.held)
    return adapting.mean_left(adapting.left(found, one.densities.order, at_corners), own)


def _divided(result: Result) -> dict[str, float]:
    """What moments of walls change by where distances from walls have a degree more.

    In 3D, where lines between walls are straight in parts of cells, also by parts twice as large:
    what bends is off by a third of that.
    """
    part, device = result.angular_momentum, result.device
    rows = {"orbital_density": result.edge_moments, "spin_density": result.spin_moments}
    fields = [result.fields[name] for name, moments_ in rows.items() if moments_]
    if part is not None and any(part.moments.values()):
        rows |= part.moments
        fields.append(part.densities.together)
    if not fields:
        return {}
    solid, walls = device.dimension == 3, walls_of(result.flow)
    others = [(division(result.flow, 3), 1.0)]
    if solid:
        others.append((division(result.flow, parts=PARTS // 2), _BENT))
    changes: dict[str, list[np.ndarray]] = defaultdict(list)
    known = {name: np.array([row.moment for row in rows[name]]) for name in rows if rows[name]}
    before = [x.reshape(len(walls), -1) for x in known.values()]
    ends = np.cumsum([x.shape[1] for x in before])[:-1]
    for other, counts in others:
        moment = np.asarray(total(device.comm, other.moments(*fields)))
        moment[walls] *= result.flow.thickness or 1.0
        moment[walls] -= np.hstack(before)
        for name, change in zip(known, np.split(moment, ends, axis=1), strict=True):
            changes[name].append(counts * change / HBAR)
    out = {}
    for column in outputs.values(result):
        if not (found := _MOMENT.fullmatch(outputs.short(column))):
            continue
        channel, axis = found["channel"], "xyz".index(found["axis"] or "x")
        name = f"{channel}_density" if channel else found["component"]
        pieces = list(outputs.pieces_of(result, found["place"]))
        if name in changes and pieces:
            length = 1.0 if solid else sum(device.pieces[i].measure for i in pieces)
            parts = [abs(float(change[pieces, axis].sum())) for change in changes[name]]
            out[column] = sum(parts) / length
    return out


def _largest(values: Mapping[str, float]) -> dict[str, float]:
    """Largest size of each kind of number."""
    out: dict[str, float] = {}
    for name, value in values.items():
        out[_kind(name)] = max(out.get(_kind(name), 0.0), abs(value))
    return out


# -- recovered ---------------------------------------------------------------------------------


def _recovered(result: Result) -> dict[str, float]:
    coupled, estimate = outputs.is_coupled(result), result.case.flow.estimate
    # Where angular momentum acts back the energy of the flow does not see what it changes.
    if any(result.terms) or (coupled and not estimate):
        return {}
    flow, comm, columns = result.flow, result.device.comm, outputs.values(result)
    density, power = recovery.gap(flow, flow.fields["current_density"], flow.fields["potential"])
    driven, mixes = float(total(comm, power.sum())), in_space.Mixes(flow)
    roots = np.sqrt(_units(flow, driven)) if not flow.periodic else np.empty(0)
    out = dict[str, float]()
    if estimate:  # as long as a run
        at_points = pointwise.errors(result, pointwise.recovered(result))
        out = {name: _AT_POINTS_IN_SPACE * error for name, error in at_points.items()}
    out, also = out | _moments(result, density), dict[str, float]()
    if estimate and result.angular_momentum is not None:
        also = _of_densities(result)
        out |= also
    for name, change in _divided(result).items() if out else ():
        if name in out:
            out[name] += _SURE * change
    also = also if coupled else {}
    for column, value in columns.items():
        short = outputs.short(column)
        name = short.removeprefix("resistance.")
        if flow.periodic:
            # One of voltage and current is given, and the power follows the other one.
            if short in ("conductance", "dissipated_power") or short.endswith(".current"):
                out[column] = abs(value) * driven / abs(flow.dissipated_power or 1.0)
            continue
        if name != short:
            wish = result.case.output.resistances[name]
            found: Any = mixes.resistance(wish.current, wish.voltage)
        else:
            found = mixes.named(short)
        if found is not None and not found[0].left.any():
            out[column] = 0.0  # given
        elif found is not None:
            left, right = (roots @ np.abs(_centred(x)) for x in (found[0].left, found[0].right))
            right = np.sqrt(driven) if found[0].right is mixes.V else right
            out[column] = float(left * right)
        if column in also and out.get(column) != 0.0:
            out[column] = max(out.get(column, 0.0), also[column])
    return out


def _centred(potentials: np.ndarray) -> np.ndarray:
    """The same without what all have in common, which drives nothing."""
    return potentials - (potentials.max() + potentials.min()) / 2


def _units(flow: Flow, driven: float) -> np.ndarray:
    """Energies of the errors for a unit potential of each contact, S, (contacts,)."""
    count, potentials = len(flow.contacts), [t.potential for t in flow.contacts.values()]
    if count < 3 and (voltage := np.ptp(potentials)):  # all flows are alike
        return np.full(count, driven / voltage**2)
    assert flow.state is not None
    parts = [recovery.gap(flow, *flow.state(unit))[1].sum() for unit in np.eye(count)]
    return np.asarray(total(flow.device.comm, np.array(parts)))


def _of_densities(result: Result) -> dict[str, float]:
    """Of what densities of angular momentum make, by a degree more for them and for the flow.

    A flow that is recovered would not do: the potential of a viscous one is unbounded at edges.
    """
    better = in_space.better(result)
    before, after = (outputs.values(r) | pointwise.further(r) for r in (result, better))
    every = outputs.is_coupled(result)
    changes = {
        name: abs(after[name] - value)
        for name, value in before.items()
        if (every or _OF_DENSITIES.search(name) or _MOMENT.fullmatch(outputs.short(name)))
        and not name.endswith(pointwise.FITTED)
    }
    largest = dict[str, float]()
    for name, change in changes.items():
        largest[_alike(name)] = max(largest.get(_alike(name), 0.0), change)
    return {
        name: _SURE_IN_SPACE * max(change, _ALIKE_IN_SPACE * largest[_alike(name)])
        for name, change in changes.items()
    }


def _alike(name: str) -> str:
    """Kind of a number in space, where all components are alike."""
    return _COMPONENT.sub("", _kind(name))


def _moments(result: Result, density: Field) -> dict[str, float]:
    """Of moments of walls, where kappa is a number: the integrals of kappa |curl e|."""
    flow, device, out = result.flow, result.device, dict[str, float]()
    if not (result.edge_moments or result.spin_moments):
        return out
    names, sizes, owner = outputs.values(result), absolute_curl(density), division(flow).owner
    for channel in ("orbital", "spin"):
        kappa = couplings(flow, channel)
        if kappa is None or kappa.ndim > 1:
            continue
        heavy = np.abs(kappa)[device.cell_region] * sizes
        for name in names:
            place, _, what = outputs.short(name).rpartition(".")
            if what.startswith(f"{channel}_moment"):
                # Cells between walls count for each of them.
                own = np.isin(owner, [-1, *outputs.pieces_of(result, place)])
                out[name] = float(total(device.comm, heavy[own].sum())) / HBAR
    return out
