"""What a result says of angular momentum: fields, moments, decay lengths, balances."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from meso.angular_momentum.decay import Decay, fit
from meso.angular_momentum.densities import Densities, field_name
from meso.angular_momentum.diffusion import Diffusion
from meso.angular_momentum.inverse import Response, one_way, two_way
from meso.angular_momentum.lengths import decay_lengths
from meso.boundary import Wall
from meso.constants import HBAR
from meso.discrete.cells import cells_of, facet_geometry
from meso.discrete.fields import Field, cellwise
from meso.discrete.sampling import sample
from meso.flow.result import Flow
from meso.mpi import concatenated
from meso.observables.accumulation import EdgeMoment, edge_moments

if TYPE_CHECKING:
    from meso.results.result import Result

# Samples along a normal, and its length in decay lengths.
_SAMPLES, _DEPTH = 193, 8.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Part:
    """The part of a result that is about angular momentum.

    Attributes:
        problem: The diffusion problem.
        densities: Its solution.
        response: The inverse effect, if it was asked for.
        moments: By component: integral of the diffusive density that belongs to each piece of a
            wall.
        decays: By component: fitted decay at the same pieces, None where there is no fit.
    """

    problem: Diffusion
    densities: Densities
    response: Response | None
    moments: Mapping[str, tuple[EdgeMoment, ...]]
    decays: Mapping[str, tuple[Decay | None, ...]]

    @property
    def fields(self) -> dict[str, Field]:
        """Densities, and the fields of the inverse effect, by name."""
        found = [self.densities.field(name) for name in self.densities.components]
        if self.response is not None:
            found += [self.response.current_density, self.response.potential]
        return {field.name: field for field in found}


def solve(problem: Diffusion, flow: Flow, coupling: str) -> tuple[Flow, Part]:
    """Densities in a flow and what follows from them.

    Args:
        problem: The diffusion problem.
        flow: The flow.
        coupling: "none", "one-way" or "two-way".

    Returns:
        The flow, another one if it was solved together with the densities; the part.
    """
    response = None
    if coupling == "two-way":
        flow, densities, response = two_way(problem, flow)
    else:
        densities = problem.solve(flow)
        if coupling == "one-way":
            response = one_way(problem, densities, flow)
    moments, decays = {}, {}
    lines = _normals(problem, flow)
    sampled = _profiles(problem, densities, lines)
    for name in densities.components:
        moments[name] = tuple(edge_moments(flow, densities.field(name)))
        values = sampled[field_name(name)]
        decays[name] = tuple(
            None if line is None else fit(line[0], value)
            for line, value in zip(lines, values, strict=True)
        )
    part = Part(
        problem=problem, densities=densities, response=response, moments=moments, decays=decays
    )
    return flow, part


def totals(part: Part, fields: Mapping[str, Field]) -> dict[str, Field]:
    """Diffusive plus vorticity-made orbital density, for each component that has both."""
    local = fields.get("orbital_density")
    out = {}
    for name in part.densities.components:
        channel, axis = name.rsplit("_", 1)
        if local is None or channel != "orbital" or (local.components == 1 and axis != "z"):
            continue
        own = part.densities.field(name)
        column = 0 if local.components == 1 else "xyz".index(axis)
        values = own.values[..., 0] + local.everywhere(_nodes(own))[..., column]
        key = f"orbital_total_density_{axis}"
        out[key] = cellwise(key, own.unit, own.device, own.degree, values)
    return out


def _nodes(field: Field) -> np.ndarray:
    from meso.discrete.cells import lagrange

    return lagrange(field.device, field.degree).points


def _normals(problem: Diffusion, flow: Flow) -> list[tuple[np.ndarray, np.ndarray] | None]:
    """A line inwards from the middle of each piece of a wall: distances, and points."""
    device = problem.device
    d, facets, cells = device.dimension, device.facets, cells_of(device)
    at = np.full((1, d - 1), 1 / d)
    geometry = facet_geometry(cells, facets.cell, facets.local, at, np.ones(1))
    columns = [
        facets.piece[:, None],
        facets.order[:, None],
        geometry.position[:, 0],
        geometry.normal[:, 0],
        device.cell_region[facets.cell][:, None],
    ]
    rows = concatenated(device.comm, np.concatenate(columns, axis=1))
    out: list[tuple[np.ndarray, np.ndarray] | None] = []
    for i, piece in enumerate(device.pieces):
        if not isinstance(flow.boundaries.get(piece.boundary), Wall):
            continue
        own = rows[rows[:, 0] == i]
        own = own[np.argsort(own[:, 1])]
        row = own[len(own) // 2]
        x, n = row[2 : 2 + d] * device.extent, row[2 + d : 2 + 2 * d]
        region = device.regions[int(row[-1])]
        lengths = decay_lengths(problem.materials[region], np.append(n, np.zeros(3 - d)))
        longest = np.abs(lengths[np.isfinite(lengths)]).max(initial=0.0)
        if not longest:
            out.append(None)
            continue
        distance = np.linspace(0.0, min(_DEPTH * longest, device.extent), _SAMPLES)
        # A hair inside, so that the first point is found.
        out.append((distance, x - np.maximum(distance, 1e-9 * longest)[:, None] * n))
    return out


def _profiles(
    problem: Diffusion, densities: Densities, lines: list[tuple[np.ndarray, np.ndarray] | None]
) -> dict[str, list[np.ndarray]]:
    """Values of each density along the lines, without rounding for nothing."""
    fields = [densities.field(name) for name in densities.components]
    out: dict[str, list[np.ndarray]] = {field.name: [] for field in fields}
    largest = {field.name: np.abs(field.extrema()).max() for field in fields}
    for line in lines:
        values = None if line is None else sample(problem.device, fields, line[1])
        for name, found in out.items():
            value = np.zeros(_SAMPLES) if values is None else values[name]
            small = np.nanmax(np.abs(value), initial=0.0) < 1e-6 * largest[name]
            found.append(np.zeros(_SAMPLES) if small else value)
    return out


def summary(result: Result) -> dict[str, Any]:
    """The table "angular_momentum" of summary.json; keys carry their unit."""
    part = result.angular_momentum
    assert part is not None
    densities, table = part.densities, result.case.angular_momentum
    names = densities.components
    energy = "J_per_m" if result.per_thickness else "J"
    out: dict[str, Any] = {
        "components": list(names),
        "coupling": table.coupling,
        "hall_conductivity_convention": "J^{ia} = (hbar/|e|) sigma_H epsilon_iak E_k",
        "solver": densities.evidence,
        "imbalance_relative": dict(zip(names, densities.imbalance.tolist(), strict=True)),
        f"relaxed_{energy}": dict(zip(names, densities.relaxed.tolist(), strict=True)),
        "boundaries": {
            boundary: {
                "law": {c: _law(result, c, boundary) for c in table.channels},
                f"outflow_{energy}": dict(zip(names, flux.tolist(), strict=True)),
                f"injected_{energy}": dict(
                    zip(names, densities.injected[boundary].tolist(), strict=True)
                ),
            }
            for boundary, flux in densities.outflow.items()
        },
        "decay_lengths_m": _predicted(part),
        "walls": _walls(result, part),
    }
    if part.response is not None:
        per = "_per_m" if result.per_thickness else ""
        out["inverse"] = {
            "contacts": {
                name: {
                    f"current_change_A{per}": t.current,
                    "potential_change_V": t.potential,
                    f"short_circuit_current_A{per}": part.response.short_circuit[name],
                }
                for name, t in part.response.contacts.items()
            }
        }
    return out


def _law(result: Result, channel: str, boundary: str) -> str:
    law = result.case.angular_momentum.channels[channel].boundaries.get(boundary)
    if law is None:
        return "no flux"
    given = [k for k in ("relaxation_velocity", "current", "density") if getattr(law, k)]
    return " and ".join(given) or law.law


def _predicted(part: Part) -> dict[str, list[dict[str, float]]]:
    """Decay lengths along y of an infinite medium, by region."""
    out = {}
    for region, transport in part.problem.materials.items():
        rows = []
        for value in decay_lengths(transport, np.array([0.0, 1.0, 0.0])):
            if not np.isfinite(value):
                continue
            k = 1 / value
            row = {"length": float(1 / k.real)}
            if abs(k.imag) > 1e-9 * abs(k):
                row["period"] = float(2 * np.pi / abs(k.imag))
            if row not in rows:
                rows.append(row)
        out[region] = rows
    return out


def _walls(result: Result, part: Part) -> dict[str, list[dict[str, Any]]]:
    """Moments of both mechanisms and decay lengths at each piece of each wall."""
    solid = result.device.dimension == 3
    unit = "" if solid else "_per_m2" if result.per_thickness else "_per_m"
    local = list(result.edge_moments)
    out: dict[str, list[dict[str, Any]]] = {name: [] for name in result.walls}
    first = part.moments[part.densities.components[0]]
    for i, piece in enumerate(first):
        measure = 1.0 if solid else piece.measure
        row: dict[str, Any] = {"center_m": list(piece.center)}
        for name in part.densities.components:
            value = float(np.ravel(part.moments[name][i].moment)[0]) / measure
            entry: dict[str, Any] = {
                f"diffusive_moment_J_s{unit}": value,
                f"diffusive_moment_hbar{unit}": value / HBAR,
            }
            channel, axis = name.rsplit("_", 1)
            if channel == "orbital" and i < len(local):
                parts = np.ravel(local[i].moment)
                at = "xyz".index(axis) if len(parts) > 1 else 0
                if len(parts) > 1 or axis == "z":
                    other = float(parts[at]) / measure
                    entry[f"vorticity_moment_J_s{unit}"] = other
                    entry[f"total_moment_J_s{unit}"] = value + other
                    if other:
                        entry["diffusive_over_vorticity"] = value / other
            found = part.decays[name][i]
            if found is not None:
                entry["fitted_decay_length_m"] = found.length
                entry["fitted_decay_length_uncertainty_m"] = found.uncertainty
                if found.period is not None:
                    entry["fitted_period_m"] = found.period
                if found.second is not None:
                    entry["fitted_second_length_m"] = found.second
            row[name] = entry
        out[piece.wall].append(row)
    return out


def lines(result: Result) -> list[str]:
    """The part about angular momentum of the table on the terminal."""
    part = result.angular_momentum
    if part is None:
        return []
    solid = result.device.dimension == 3
    per = "ħ" if solid else "ħ/m²" if result.per_thickness else "ħ/m"
    out = [
        "",
        f"  {'wall':<16}{'component':<14}{'diffusive ' + per:>18}{'from vorticity':>18}"
        f"{'decay length nm':>24}",
    ]
    local = list(result.edge_moments)
    for name in part.densities.components:
        channel, axis = name.rsplit("_", 1)
        for i, piece in enumerate(part.moments[name]):
            measure = 1.0 if solid else piece.measure
            value = float(np.ravel(piece.moment)[0]) / measure / HBAR
            other = ""
            if channel == "orbital" and i < len(local):
                parts = np.ravel(local[i].moment)
                if len(parts) > 1 or axis == "z":
                    at = "xyz".index(axis) if len(parts) > 1 else 0
                    other = f"{parts[at] / measure / HBAR:.6g}"
            found = part.decays[name][i]
            decay = ""
            if found is not None:
                decay = f"{found.length * 1e9:.5g} ± {found.uncertainty * 1e9:.1g}"
                if found.second is not None:
                    decay += f"; {found.second * 1e9:.4g}"
            out.append(f"  {piece.wall:<16}{name:<14}{value:>18.6g}{other:>18}{decay:>24}")
    if part.response is not None:
        unit = "A/m" if result.per_thickness else "A"
        out += ["", f"  {'inverse effect':<16}{'current ' + unit:>18}{'potential V':>18}"]
        for name, terminal in part.response.contacts.items():
            out.append(f"  {name:<16}{terminal.current:>18.9g}{terminal.potential:>18.9g}")
    return out
