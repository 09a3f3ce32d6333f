"""Errors that the mesh leaves in numbers that are no functionals of a solution.

These are extrema of fields, fields along probes and decay lengths. They are compared with those of
a better solution of the same case on the same mesh: in 2D that of a degree more, in 3D the one that
is recovered from the solution (:mod:`meso.evidence.recovery`).

An extremum errs by no more than the field does at the place where it is found, or by what values
with their errors reach beyond it elsewhere: the larger of the two is told, so that errors of both
signs cannot hide each other. Fields are looked at in more points than those at which they have
their values, since true extrema lie between these.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import basix
import numpy as np

from meso.angular_momentum import report
from meso.angular_momentum.decay import Decay, fit
from meso.discrete.cells import lagrange
from meso.discrete.fields import Field, cellwise, magnitudes
from meso.discrete.sampling import probe_points
from meso.evidence import recovery
from meso.mpi import largest
from meso.observables.corners import Corner, extrema_of, nearest, singular_corners
from meso.results.result import Result
from meso.results.running import fields_of

#: Change of a number over the largest of its kind that is no error of the mesh.
ROUNDING = 1e-13
#: Cosines along a profile, by which its errors may vary.
_PATTERNS = 6
#: How names of what is fitted to a profile end.
FITTED = ("decay_length_m", "period_m", "second_length_m")


def further(result: Result) -> dict[str, float]:
    """Numbers of a result beside the columns of a sweep, by names like theirs."""
    part, out = result.angular_momentum, dict[str, float]()
    if part is None:
        return out
    for place, _, name, decay in report.fitted(result):
        for key, value in _lengths(decay).items():
            out[f"{place}.{name}.{key}"] = value
    if part.response is not None:
        per = "_per_m" if result.per_thickness else ""
        for name, current in part.response.short_circuit.items():
            out[f"inverse.{name}.short_circuit_current_A{per}"] = current
        for name, terminal in part.response.contacts.items():
            out[f"inverse.{name}.potential_change_V"] = terminal.potential
    return out


def recovered(result: Result) -> Result:
    """The result with fields, extrema and decay lengths of what is recovered from it.

    All ranks call this.
    """
    flow, fields = result.flow, {}
    for name, degree in (("current_density", flow.order + 1), ("potential", flow.order)):
        fields[name] = _with_lost(flow.fields[name], degree + (not flow.viscous))
    better = replace(
        flow,
        current_density=fields["current_density"].function(),
        potential=fields["potential"].function(),
        fields=fields,
    )
    made = fields_of(result.case, better, result.derived)
    part = result.angular_momentum
    if part is not None:
        field = part.densities.potential
        omega = _with_lost(field, part.densities.order + 1)
        chi = part.problem.chi[flow.device.cell_region]
        densities = replace(
            part.densities,
            order=omega.highest,
            omega=omega.values,
            density=omega.values @ chi.swapaxes(1, 2),
        )
        part = replace(part, densities=densities)
        made |= part.fields | report.totals(part, made)
    made = {name: field for name, field in made.items() if name in result.fields}
    return replace(
        result, flow=better, fields=made, angular_momentum=part, extrema=extrema_of(better, made)
    )


def _with_lost(field: Field, degree: int) -> Field:
    """A field with what it leaves out, of a degree that is not lower."""
    lost = recovery.lost(field, degree)
    points = lagrange(field.device, lost.highest).points
    values = field.everywhere(points) + lost.values
    return cellwise(field.name, field.unit, field.device, lost.highest, values)


def names(result: Result) -> list[str]:
    """Names of extrema and of fields along probes; "everywhere" with singular corners."""
    out = []
    for name, found in result.extrema.items():
        unit = result.fields[name].unit
        out += [f"extrema.{name}.{key}_{unit}" for key in ("min", "max")]
        if found.corner is not None:
            out.append(f"extrema.{name}.everywhere_{unit}")
    for probe in result.case.output.probes:
        out += [f"probe.{probe}.{name}_{field.unit}" for name, field in result.fields.items()]
    return out


def errors(result: Result, better: Result) -> dict[str, float]:
    """Errors of extrema, along probes and of decay lengths; all ranks call this."""
    return of_probes(result, better) | of_extrema(result, better) | of_decays(result, better)


def of_probes(result: Result, better: Result) -> dict[str, float]:
    """Largest errors of fields along probes, as "probe.NAME.FIELD_UNIT"."""
    out = {}
    for name, probe in result.case.output.probes.items():
        points = probe_points(probe, result.device.dimension)
        before, after = (r.sample(points, resolution=probe.resolution) for r in (result, better))
        for field_, values in before.items():
            change = np.abs(after.get(field_, np.nan * values) - values)
            if np.isfinite(change).any():
                key, most = f"probe.{name}.{field_}_{result.fields[field_].unit}", np.nanmax(change)
                out[key] = float(most) if most > ROUNDING * np.nanmax(abs(values)) else 0.0
    return out


def of_decays(result: Result, better: Result) -> dict[str, float]:
    """Errors of decay lengths, as "PLACE.COMPONENT.decay_length_m"; all ranks call this.

    The largest change of a fit where the profile is changed by the difference of both solutions,
    times cosines of several wave lengths: errors may vary along a profile in other ways than the
    difference does, which a fit may not see by chance. There is none where another number of
    lengths fits one of these.
    """
    out, part, other = dict[str, float](), result.angular_momentum, better.angular_momentum
    if part is None or other is None:
        return out
    fits = {(number, name): (place, d) for place, number, name, d in report.fitted(result)}
    both = part.densities, other.densities
    for number, name, distance, (old, new) in report.profiles(part, both, result.flow):
        if (number, name) not in fits:
            continue
        place, decay = fits[number, name]
        base, s = _lengths(decay), np.linspace(0.0, np.pi, len(distance))
        patterns = [sign * np.cos(m * s) for m in range(_PATTERNS) for sign in (1.0, -1.0)]
        found = [_lengths(fit(distance, old + pattern * (new - old))) for pattern in patterns]
        if any(one.keys() != base.keys() for one in found):
            continue
        for key, value in base.items():
            error = max(abs(one[key] - value) for one in found)
            out[f"{place}.{name}.{key}"] = error if error > ROUNDING * value else 0.0
    return out


def _lengths(decay: Decay | None) -> dict[str, float]:
    if decay is None:
        return {}
    values = (decay.length, decay.period, decay.second)
    return {key: x for key, x in zip(FITTED, values, strict=True) if x is not None}


def of_extrema(result: Result, better: Result) -> dict[str, float]:
    """Errors of extrema away from singular corners, as "extrema.FIELD.max_UNIT"; 0 for exact ones.

    All ranks call this.
    """
    corners, out = singular_corners(result.device, result.flow.boundaries), {}
    for name, found in result.extrema.items():
        if name not in better.fields:
            continue
        both = result.fields[name], better.fields[name]
        size = max(abs(found.low), abs(found.high))
        errors = _errors(*both, corners, (found.low, found.high))
        for key, error in zip(("min", "max"), errors, strict=True):
            column = f"extrema.{name}.{key}_{result.fields[name].unit}"
            out[column] = error if error > ROUNDING * size else 0.0
    return out


def _errors(
    field: Field, better: Field, corners: Sequence[Corner], reported: tuple[float, float]
) -> list[float]:
    """Errors of the smallest and the largest value."""
    comm, out = field.device.comm, []
    points = _places(field, better)
    old, new = (magnitudes(one.everywhere(points)) for one in (field, better))
    free = nearest(field.device, points, corners) < 0
    apart = np.abs(new - old)
    if field.device.dimension == 3:  # what is recovered is right in its size, hardly in each point
        apart = np.broadcast_to(apart.max(axis=1, keepdims=True), apart.shape)
    old, new, apart = old[free], new[free], apart[free]
    for sign, value in zip((-1.0, 1.0), reported, strict=True):
        top = largest(comm, (sign * new).max(initial=-np.inf))
        if not np.isfinite(top):  # a device that is all corners
            out.append(0.0)
            continue
        # Places that may have the true extremum, as far as their own errors say.
        beyond = largest(comm, (sign * old + apart).max(initial=-np.inf)) - sign * value
        found = largest(comm, apart[sign * old >= sign * value].max(initial=0.0))
        out.append(max(found, beyond, abs(top - sign * value)))
    return out


def _places(field: Field, better: Field) -> np.ndarray:
    """Reference points: the nodes of both fields, and those of a lattice that is twice as fine."""
    kind = basix.CellType.triangle if field.device.dimension == 2 else basix.CellType.tetrahedron
    lattice = basix.create_lattice(kind, 2 * better.highest, basix.LatticeType.equispaced, True)
    nodes = [one.data.function_space.element.basix_element.points for one in (field, better)]
    return np.concatenate([*nodes, lattice])
