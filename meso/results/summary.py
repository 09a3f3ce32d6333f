"""The numbers of a result: summary.json, a row of a sweep, and the table on the terminal.

Keys carry their unit.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

import dolfinx
import numpy as np
from petsc4py import PETSc

import meso
from meso.constants import HBAR
from meso.device import Device
from meso.files.readable import ROUNDING, digits_of
from meso.flow.result import Terminal
from meso.geometry import gmsh_process
from meso.observables.accumulation import EdgeMoment
from meso.observables.edges import piece_centers
from meso.orbital import couplings
from meso.results import uncertainty
from meso.results.result import Result

if TYPE_CHECKING:
    from meso.evidence.adapting import Adaptivity

# Keys of the measures of boundaries and of the device, by its dimension.
_BOUNDARY = {2: "length_m", 3: "area_m2"}
_DEVICE = {2: "area_m2", 3: "volume_m3"}


def versions() -> dict[str, str]:
    """Versions of the program and of what it stands on."""
    return {
        "meso": meso.__version__,
        "dolfinx": dolfinx.__version__,
        "petsc": ".".join(map(str, PETSc.Sys.getVersion())),
        "gmsh": gmsh_process.version(),
        "numpy": np.__version__,
        "python": platform.python_version(),
    }


def summary(result: Result) -> dict[str, Any]:
    """What summary.json holds, in SI units; every rank has all of it, but for extrema."""
    flow, device, case = result.flow, result.device, result.case
    per = _per(result)
    contacts = list(flow.contacts)
    out: dict[str, Any] = {
        "title": case.title,
        "case_hash": case.hash,
        "versions": versions(),
        "model": flow.model,
        "order": flow.order,
        "mesh": {
            "file": case.geometry.file.name,
            "cells": device.cells,
            "h_min_m": device.smallest_cell,
            "dofs": flow.evidence["unknowns"],
            _DEVICE[device.dimension]: device.measure,
            "ranks": device.comm.size,
            **({"estimated_errors": dict(result.mesh_errors)} if result.mesh_errors else {}),
            **({"no_estimate": list(result.without_estimate)} if result.without_estimate else {}),
        },
        "solver": {
            "converged": True,
            **flow.evidence,
            "sum_of_currents_relative": flow.sum_of_currents,
        },
        "contacts": {
            name: _terminal(result, name) | {"segments": _places(device, name)} for name in contacts
        },
    }
    if flow.periodic:
        out["periodic"] = {name: _pair(result, name) for name in case.periodic}
    if len(contacts) > 1:
        out["conductance_matrix_contacts"] = contacts
        out[f"conductance_matrix_S{per}"] = flow.conductance_matrix.tolist()
        if flow.counted is not None:
            errors = flow.counted.errors[: len(contacts), : len(contacts)]
            out[f"conductance_matrix_standard_error_S{per}"] = errors.tolist()
    if result.convergence is not None:
        out["convergence"] = result.convergence.table()
    if result.bounds is not None:
        out["bounds"] = result.bounds.table(per)
    ohm = "_ohm" + per.removeprefix("_per")
    for key, found in (
        (f"resistances{ohm}", result.resistances),
        ("resistances_standard_error_ohm", result.resistance_errors),
        ("couplings_J_s_per_A", _tensors(result)),
        ("resolutions_m", {k: p.resolution for k, p in case.output.probes.items() if p.resolution}),
        ("uncertainties", {k: one.summary() for k, one in result.uncertainties.items()}),
    ):
        out |= {key: found} if found else {}
    out[f"dissipated_power_W{per}"] = flow.dissipated_power
    out["walls"] = {name: _wall(result, name) for name in result.walls}
    if result.angular_momentum is not None:
        out["angular_momentum"] = _report().summary(result)
    out["extrema"] = {name: _extrema(result, name) for name in result.fields}
    out["closed_form"] = result.closed_form
    if result.adaptivity is not None:
        out["adaptivity"] = _adaptivity(result.adaptivity)
    out["wall_clock_s"] = result.seconds
    out["warnings"] = list(result.warnings)
    return out


def _pair(result: Result, name: str) -> dict[str, Any]:
    """A periodic pair."""
    other = result.case.periodic[name].to
    return {
        "to": other,
        **_terminal(result, name),
        "segments": _places(result.device, name),
        "segments_to": _places(result.device, other),
    }


def _report() -> Any:
    """What is told of angular momentum; loaded for cases that have it."""
    from meso.angular_momentum import report

    return report


def numbers(result: Result) -> dict[str, float]:
    """A row of the table of a sweep, by column."""
    flow, per = result.flow, _per(result)
    out: dict[str, float] = {}
    for name in (*flow.contacts, *flow.periodic):
        out |= {f"{name}.{key}": x for key, x in _terminal(result, name).items()}
    pairs = list(flow.periodic.values())
    if len(flow.contacts) in (1, 2):  # one: a periodic pair
        out[f"conductance_S{per}"] = flow.conductance_matrix[0, 0]
    elif len(pairs) == 1 and pairs[0].potential:
        out[f"conductance_S{per}"] = pairs[0].current / pairs[0].potential
    if flow.counted is not None and len(flow.counted.names) <= 2:
        out[f"conductance_standard_error_S{per}"] = flow.counted.errors[0, 0]
    if (bounds := result.bounds) is not None and len(bounds.names) <= 2:
        if bounds.lower is not None:
            out[f"conductance_lower_S{per}"] = bounds.lower[0, 0]
        out[f"conductance_upper_S{per}"] = bounds.upper[0, 0]
    if (found := result.convergence) is not None:
        out["harmonics"] = found.harmonics[-1]
        for kind, errors in (("harmonics", found.error), ("mesh", found.mesh)):
            for what, error in zip(("currents", "edge_moments"), errors, strict=True):
                if error > 0:  # not if it is unknown
                    out[f"estimated_error_{kind}.{what}"] = error
    for name, value in result.resistances.items():
        out[f"resistance.{name}_ohm{per.removeprefix('_per')}"] = value
    for name, value in result.resistance_errors.items():
        out[f"resistance.{name}_standard_error_ohm"] = value
    out[f"dissipated_power_W{per}"] = flow.dissipated_power
    for wall, (channel, pieces) in product(result.walls, _moments_of(result).items()):
        own = [m for m in pieces if m.wall == wall]
        groups = {wall: own} if own else {}
        if len(own) > 1:  # the walls of a ribbon are one group whose two moments cancel
            groups |= {f"{wall}.{i + 1}": [moment] for i, moment in enumerate(own)}
        for name, some in groups.items():
            for key, value in _moment(result, some, channel).items():
                if "_hbar" in key:
                    parts = np.atleast_1d(value)
                    axes = ("",) if len(parts) == 1 else ("_x", "_y", "_z")
                    out |= {f"{name}.{key}{a}": x for a, x in zip(axes, parts, strict=True)}
    if result.angular_momentum is not None:
        out |= _report().numbers(result)
    out |= _of_mesh(result.mesh_errors, out)
    out["cells"] = result.device.cells
    return {key: value if isinstance(value, int) else float(value) for key, value in out.items()}


def _of_mesh(errors: Mapping[str, float], columns: Mapping[str, float]) -> dict[str, float]:
    """Largest errors of currents and potentials, and of moments, over the largest of each."""
    kinds = {"currents": ("current_", "potential_", "voltage_"), "edge_moments": ("_moment_hbar",)}
    out: dict[str, float] = {}
    for what, keys in kinds.items():
        for key in keys:
            own = [name for name in columns if key in name]
            size = max((abs(columns[name]) for name in own), default=0.0)
            largest = max((errors.get(name, 0.0) for name in own), default=0.0)
            if largest and size:
                name = f"estimated_error_mesh.{what}"
                out[name] = max(out.get(name, 0.0), largest / size)
    return out


def _per(result: Result) -> str:
    """Of units per thickness of a 3D material, unless the thickness is known."""
    return "_per_m" if result.per_thickness else ""


def _terminal(result: Result, name: str) -> dict[str, float]:
    """Current and potential of a contact, or voltage of a periodic pair."""
    flow, current, level = result.flow, f"current_A{_per(result)}", "potential_V"
    found = {**flow.contacts, **flow.periodic}[name]
    out = {current: found.current, level: found.potential}
    if name in flow.periodic:
        level = "voltage_V"
        out = {level: found.potential, current: found.current}
    if flow.counted is not None:
        errors = flow.counted.terminals(flow.boundaries)[name]
        keys = (key.replace("_", "_standard_error_", 1) for key in (current, level))
        out |= dict(zip(keys, errors, strict=True))
    return out


def _places(device: Device, name: str) -> list[dict[str, Any]]:
    """Length (area, in 3D) and centre of each smooth piece of a boundary."""
    centers, key = piece_centers(device), _BOUNDARY[device.dimension]
    return [
        {key: piece.measure, "center_m": centers[i].tolist()}
        for i, piece in enumerate(device.pieces)
        if piece.boundary == name
    ]


def _wall(result: Result, name: str) -> dict[str, Any]:
    key = _BOUNDARY[result.device.dimension]
    out: dict[str, Any] = {key: sum(p.measure for p in result.device.pieces if p.boundary == name)}
    for channel, moments in _moments_of(result).items():
        own = [m for m in moments if m.wall == name]
        if own:
            out |= _moment(result, own, channel)
            places = [{key: m.measure, "center_m": list(m.center)} for m in own]
            segments = out.setdefault("segments", places)
            for segment, m in zip(segments, own, strict=True):
                segment |= _moment(result, [m], channel)
    return out


def _tensors(result: Result) -> dict[str, Any]:
    """Of densities that tensors make: kappa of each region, [j][i][k] along the device's axes."""
    out = {}
    for channel in ("orbital", "spin"):
        name, kappa = f"{channel}_density", couplings(result.flow, channel)
        if name in result.fields and kappa is not None and kappa.ndim > 1:
            out[name] = dict(zip(result.device.regions, kappa.tolist(), strict=True))
    return out


def _moments_of(result: Result) -> dict[str, tuple[EdgeMoment, ...]]:
    """What gradients of the current make at the pieces of walls, by kind."""
    return {"orbital_moment": result.edge_moments, "spin_moment": result.spin_moments}


def _moment(result: Result, pieces: Sequence[EdgeMoment], channel: str) -> dict[str, Any]:
    """A moment in 2D per length of the wall, in 3D as it is; a vector as three numbers."""
    moment, unit = np.sum([m.moment for m in pieces], axis=0), ""
    if result.device.dimension == 2:
        # J s over metres of wall, and over the thickness where that is not known.
        unit = "_per_m2" if result.per_thickness else "_per_m"
        moment = moment / sum(m.measure for m in pieces)
    found = {channel: moment}
    if result.flow.counted is not None:
        error = np.sqrt(sum(m.error**2 for m in pieces))
        found[f"{channel}_standard_error"] = error / sum(m.measure for m in pieces)
    units = (("J_s", 1.0), ("hbar", HBAR))
    return {
        f"{name}_{key}{unit}": (value / size).tolist()
        for name, value in found.items()
        for key, size in units
    }


def _adaptivity(done: Adaptivity) -> dict[str, Any]:
    """Meshes of an adaptive refinement; errors are relative to the target."""
    return {
        "target": done.target,
        "unit": done.unit,
        "tolerance_relative": done.tolerance,
        "reached": done.reached,
        "estimate_relative": done.estimate,
        "kept": done.kept,
        **({"parameters": dict(done.parameters)} if done.parameters else {}),
        **({"limit": done.limit} if done.limit else {}),
        "steps": [
            {
                "cells": step.cells,
                "dofs": step.unknowns,
                "value": step.value,
                "estimate_relative": step.estimate,
            }
            for step in done.steps
        ],
    }


def table(result: Result) -> str:
    """The result as a table for the terminal."""
    flow, device = result.flow, result.device
    unit = "A/m" if result.per_thickness else "A"
    made = f"{flow.model} flow, order {flow.order}, {device.cells} cells,"
    made += f" {flow.evidence['unknowns']} unknowns"
    errors, what = _terminal_errors(result)
    nothing = _rounding(result)
    if flow.counted is not None:
        made = f"{flow.counted.particles} particles on {device.cells} cells"
    lines = [f"{result.case.title or result.case.geometry.file.stem}: {made}", ""]
    tables = (("contact", "potential V", flow.contacts), ("periodic", "voltage V", flow.periodic))
    for head, level, terminals in tables:
        if terminals:
            lines += [] if lines[-1] == "" else [""]
            lines.append(f"  {head:<16}{'current ' + unit:>18}{level:>18}")
        for name, terminal in terminals.items():
            off = errors.get(name, (0.0, 0.0))
            lines.append(_terminal_line(name, terminal, nothing, off))
            off = tuple(x if x > nothing or i else 0.0 for i, x in enumerate(off))
            if any(off):
                parts = "".join(f"{error:>18.2g}" if error else f"{'':>18}" for error in off)
                lines.append(f"    {what:<14}{parts}".rstrip())
    if len(flow.contacts) == 2:
        siemens = "S/m" if result.per_thickness else "S"
        error = result.mesh_errors.get(f"conductance_S{_per(result)}")
        error = error if flow.counted is None else flow.counted.errors[0, 0]
        lines += ["", f"  conductance {_doubtful(flow.conductance_matrix[0, 0], error)} {siemens}"]
    for name, value in result.resistances.items():
        ohm = "Ω m" if result.per_thickness else "Ω"
        column = f"resistance.{name}_ohm{_per(result).removeprefix('_per')}"
        error = result.resistance_errors.get(name, result.mesh_errors.get(column))
        lines.append(f"  resistance {name} {_doubtful(value, error)} {ohm}")
    lines += _moments(result)
    lines += _accuracy(result)
    if result.angular_momentum is not None:
        lines += _report().lines(result, nothing)
    lines += uncertainty.lines(result.uncertainties)
    for name in ("orbital_density", "spin_density"):
        if (found := result.extrema.get(name)) is None:
            continue
        field, what = result.fields[name], name.replace("_", " ")
        low, high = found.low + 0.0, found.high + 0.0
        per = field.unit.removeprefix("J_s_per_").replace("m2", "m²").replace("m3", "m³")
        what = f"|{what}|" if field.components > 1 else what
        lines += ["", f"  {what} from {low / HBAR:.6g} to {high / HBAR:.6g} ħ/{per}"]
    if (done := result.adaptivity) is not None:
        lines += [
            "",
            f"  adapted to {done.target} in {len(done.steps)} meshes: relative error about"
            f" {done.estimate:.1e}",
            *(f"    {name} = {value:.6g}" for name, value in done.parameters.items()),
        ]
    lines += ["", *(f"  warning: {text}" for text in result.warnings)]
    return "\n".join(lines).rstrip()


def _terminal_line(name: str, terminal: Terminal, nothing: float, errors: tuple[float, ...]) -> str:
    """A row of the table of contacts, without digits below errors; ``nothing``: a current."""
    current = terminal.current if abs(terminal.current) > nothing else 0.0
    pairs = zip((current, terminal.potential), errors, strict=True)
    return f"  {name:<16}" + "".join(f"{_digits(x, error):>18}" for x, error in pairs)


def _rounding(result: Result) -> float:
    """Current of a contact below which there is but rounding."""
    flow, device = result.flow, result.device
    terminals = {**flow.contacts, **flow.periodic}.values()
    found, sizes = result.extrema.get("current_density"), [abs(t.current) for t in terminals]
    if found is not None and (result.per_thickness or result.case.geometry.thickness is None):
        sizes.append(found.high * device.measure ** (1 - 1 / device.dimension))
    return ROUNDING * max(sizes, default=0.0)


def _digits(value: float, error: float | None, most: int = 9) -> str:
    """A number with some digits, or those that its error leaves."""
    digits = digits_of(float(value), error or 0.0, most)
    return f"{value:.{digits}g}" if digits else "0"


def _doubtful(value: float, error: float | None) -> str:
    return _digits(value, error) + ("" if error is None else f" ± {error:.2g}")


def _terminal_errors(result: Result) -> tuple[dict[str, tuple[float, ...]], str]:
    """Errors of current and potential (voltage) of terminals, and of which kind they are."""
    flow, per = result.flow, _per(result)
    if flow.counted is not None:
        return flow.counted.terminals(flow.boundaries), "standard error"
    levels = dict.fromkeys(flow.contacts, "potential_V") | dict.fromkeys(flow.periodic, "voltage_V")
    found = {
        name: tuple(
            result.mesh_errors.get(f"{name}.{key}", 0.0) for key in (f"current_A{per}", level)
        )
        for name, level in levels.items()
    }
    return {name: both for name, both in found.items() if any(both)}, "error of mesh"


def _extrema(result: Result, name: str) -> dict[str, Any]:
    """Away from singular corners, and everywhere where there are some."""
    out: dict[str, Any] = {}
    if (found := result.extrema.get(name)) is not None:
        out |= {"min": found.low, "max": found.high}
        if found.corner is not None:
            out["everywhere"] = dict(zip(("min", "max"), found.everywhere, strict=True))
    out["unit"] = result.fields[name].unit
    if name in result.derived:  # no table of the program knows it
        out["label"] = result.derived[name].label
    return out


def _accuracy(result: Result) -> list[str]:
    """Estimated errors and bounds of a kinetic flow."""
    found, lines = result.convergence, []
    if found is not None and len(found.harmonics) > 1:
        lines += ["", f"  {found.harmonics[-1]} harmonics; estimated relative errors"]
        lines.append(f"  {'':<16}{'harmonics':>12}{'extrapolated':>14}{'mesh':>10}")
        rows = zip(found.error, found.error_extrapolated, found.mesh, strict=True)
        for name, row in zip(("currents", "edge moments"), rows, strict=True):
            if name == "currents" or "J s" in found.units:
                one, two, three = row
                between = f"{two:>14.1e}" if name == "currents" else f"{'':>14}"
                lines.append(f"  {name:<16}{one:>12.1e}{between}{three:>10.1e}")
        lines.append("  extrapolated")
        for i, (name, unit) in enumerate(zip(found.names, found.units, strict=True)):
            # What the boundary conditions give does not change, and moments are as they are.
            if unit != "J s" and np.ptp(found.values[:, i]) > 1e-9 * np.abs(found.values[-1, i]):
                lines.append(f"  {name:<16}{found.extrapolated[i]:>18.9g} {unit}")
    elif found is not None:
        lines += ["", f"  {found.harmonics[-1]} harmonics; their errors have not been estimated"]
    if result.bounds is not None:
        lines += ["", *result.bounds.lines("_per_m" if result.per_thickness else "")]
    return lines


def _moments(result: Result) -> list[str]:
    """Orbital moment, and spin, of each smooth piece of a wall."""
    rows = []
    for channel, found in _moments_of(result).items():
        moments = [m for m in found if m.measure > 0]
        if not moments:
            continue
        title, vector = channel.replace("_", " "), np.size(moments[0].moment) > 1
        if vector:
            title += " x, y, z"
        if solid := result.device.dimension == 3:
            rows += ["", f"  {'wall':<16}{'area nm²':>14}{title + ' ħ':>42}"]
        else:
            title += " ħ/m²" if result.per_thickness else " ħ/m"
            rows += ["", f"  {'wall':<16}{'length nm':>18}{title:>{42 if vector else 24}}"]
        for m in moments:
            own = [other for other in moments if other.wall == m.wall]
            number = f" {own.index(m) + 1}" if len(own) > 1 else ""
            parts = np.atleast_1d(m.moment) / HBAR / (1.0 if solid else m.measure)
            if vector:
                parts[np.abs(parts) < 1e-10 * np.abs(parts).max()] = 0.0
            error = m.error / HBAR / m.measure or _of_piece(result, m, channel, number)
            most, wide = (5, 14) if vector else (6, 24)
            value = "".join(f"{_digits(x, error, most):>{wide}}" for x in parts)
            size = f"{m.measure * 1e18:>14.6g}" if solid else f"{m.measure * 1e9:>18.6g}"
            if error:
                value += f" ± {error:.2g}"
            rows.append(f"  {m.wall + number:<16}{size}{value}")
    return rows


def _of_piece(result: Result, moment: EdgeMoment, channel: str, number: str) -> float:
    """Error of the mesh of the moment of a piece, in the unit of its column; 0 if unknown."""
    place = moment.wall + number.replace(" ", ".")
    found = [e for n, e in result.mesh_errors.items() if n.startswith(f"{place}.{channel}_hbar")]
    return max(found, default=0.0)
