"""What a result says of angular momentum: fields, moments, decay lengths, balances."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import floor, log10
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from meso.angular_momentum.decay import Decay, fit
from meso.angular_momentum.densities import Densities
from meso.angular_momentum.diffusion import Diffusion
from meso.angular_momentum.inverse import Response, one_way, two_way
from meso.angular_momentum.lengths import decay_lengths
from meso.angular_momentum.tensors import Transport
from meso.boundary import Wall
from meso.constants import HBAR
from meso.discrete.cells import cells_of, facet_geometry, lagrange
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

    Fluxes are those that the case asks for, by name of the field. Moments are integrals of the
    diffusive density that belongs to each piece of a wall, by component; decays those fitted at the
    same pieces, None where there is no fit.
    """

    problem: Diffusion
    densities: Densities
    response: Response | None
    fluxes: Mapping[str, Field]
    moments: Mapping[str, tuple[EdgeMoment, ...]]
    decays: Mapping[str, tuple[Decay | None, ...]]

    @property
    def fields(self) -> dict[str, Field]:
        """Densities, and the fields of the inverse effect, by name."""
        found = [self.densities.field(name) for name in self.densities.components]
        if self.response is not None:
            found += [self.response.current_density, self.response.potential]
        return {field.name: field for field in found} | dict(self.fluxes)


def solve(
    problem: Diffusion,
    flow: Flow,
    coupling: str,
    asked: Collection[str] = (),
    *,
    keep: bool = False,
) -> tuple[Flow, Part]:
    """Densities in a flow, and another flow if it was solved together with them ("two-way").

    Among the fields that are ``asked`` for by name, fluxes are computed. What derivatives need is
    kept if it is to be.
    """
    flow, densities, response = coupled(problem, flow, coupling, keep=keep)
    names = densities.components
    part = Part(
        problem=problem,
        densities=densities,
        response=response,
        fluxes={
            name: problem.flux(component, densities, flow)
            for component in names
            if (name := "_flux_".join(component.rsplit("_", 1))) in asked
        },
        moments=moments(densities, flow),
        decays=_decays(densities, _normals(problem, flow)),
    )
    return flow, part


def coupled(
    problem: Diffusion, flow: Flow, coupling: str, *, keep: bool = False
) -> tuple[Flow, Densities, Response | None]:
    """The solutions alone, as of :func:`solve`."""
    if coupling == "two-way":
        return two_way(problem, flow, keep=keep)
    densities = problem.solve(flow, keep=keep)
    if coupling != "one-way":
        return flow, densities, None
    return flow, densities, one_way(problem, densities, flow, keep=keep)


def moments(densities: Densities, flow: Flow) -> dict[str, tuple[EdgeMoment, ...]]:
    """Integrals of densities over what is nearest to each piece of a wall, by component."""
    found = edge_moments(flow, densities.together)
    rows = [(row, np.atleast_1d(row.moment)) for row in found]
    return {
        name: tuple(replace(row, moment=float(values[i])) for row, values in rows)
        for i, name in enumerate(densities.components)
    }


def totals(part: Part, fields: Mapping[str, Field]) -> dict[str, Field]:
    """Diffusive density plus what gradients of the current make, where a component has both."""
    out = {}
    for key, name, local, column in wholes(part, fields):
        own = part.densities.field(name)
        points = lagrange(own.device, own.degree).points
        values = own.values[..., 0] + local.everywhere(points)[..., column]
        out[key] = cellwise(key, own.unit, own.device, own.degree, values)
    return out


def wholes(part: Part, fields: Mapping[str, Field]) -> Iterator[tuple[str, str, Field, int]]:
    """What these are made of: name, component, what gradients make and which column of it."""
    for name in part.densities.components:
        channel, axis = name.rsplit("_", 1)
        local = fields.get(f"{channel}_density")
        column = None if local is None else _column(name, local.components)
        if local is not None and column is not None:
            yield f"{channel}_total_density_{axis}", name, local, column


def profiles(
    part: Part, several: Sequence[Densities], flow: Flow
) -> Iterator[tuple[int, str, np.ndarray, list[np.ndarray]]]:
    """Values of several solutions along the lines that decay lengths are fitted along.

    Number of the piece of a wall, component, distances from it, and the values of each.
    """
    for i, line in enumerate(_normals(part.problem, flow)):
        if line is None:
            continue
        for name in part.densities.components:
            fields = [one.field(name) for one in several]
            found = [sample(one.device, [one], line[1])[one.name] for one in fields]
            yield i, name, line[0], found


def fitted(result: Result) -> Iterator[tuple[str, int, str, Decay]]:
    """Place and number of a piece of a wall, component, and decay fitted there, if there is one."""
    part = result.angular_momentum
    assert part is not None
    for place, row in _placed(result, part):
        if row.decay is not None:
            yield place, row.number, row.name, row.decay


def _column(name: str, components: int) -> int | None:
    """Place of a component in what gradients make, L_z or a vector; None without one."""
    if components == 1 and name[-1] != "z":
        return None
    return "xyz".index(name[-1]) if components > 1 else 0


def _normals(problem: Diffusion, flow: Flow) -> list[tuple[np.ndarray, np.ndarray] | None]:
    """A line inwards from the middle of each piece of a wall: distances, and points."""
    device = problem.device
    d, facets = device.dimension, device.facets
    at = np.full((1, d - 1), 1 / d)
    geometry = facet_geometry(cells_of(device), facets.cell, facets.local, at, np.ones(1))
    region = device.cell_region[facets.cell]
    size = geometry.weight.sum(axis=1)
    place = geometry.position[:, 0], geometry.normal[:, 0]
    columns = (facets.piece, facets.order, *place, region, size)
    rows = concatenated(device.comm, np.column_stack(columns))
    out: list[tuple[np.ndarray, np.ndarray] | None] = []
    for i, piece in enumerate(device.pieces):
        if not isinstance(flow.boundaries.get(piece.boundary), Wall):
            continue
        own = rows[rows[:, 0] == i]
        own = own[np.argsort(own[:, 1])]
        covered = np.cumsum(own[:, -1])
        # Of two facets that meet in the middle the second one, whatever rounding says.
        row = own[np.searchsorted(covered, (0.5 + 1e-9) * covered[-1])]
        x, n = row[2 : 2 + d] * device.extent, row[2 + d : 2 + 2 * d]
        transport = problem.materials[device.regions[int(row[-2])]]
        lengths = decay_lengths(transport, np.append(n, np.zeros(3 - d)))
        longest = np.abs(lengths[np.isfinite(lengths)]).max(initial=0.0)
        if not longest:
            out.append(None)
            continue
        distance = np.linspace(0.0, min(_DEPTH * longest, device.extent), _SAMPLES)
        # A hair inside, so that the first point is found.
        out.append((distance, x - np.maximum(distance, 1e-9 * longest)[:, None] * n))
    return out


def _decays(
    densities: Densities, lines: list[tuple[np.ndarray, np.ndarray] | None]
) -> dict[str, tuple[Decay | None, ...]]:
    """Fits to each density along the lines, but not to rounding."""
    fields = {name: densities.field(name) for name in densities.components}
    least = {name: 1e-6 * np.abs(field.extrema()).max() for name, field in fields.items()}
    out: dict[str, list[Decay | None]] = {name: [] for name in fields}
    for line in lines:
        values = {} if line is None else sample(densities.device, list(fields.values()), line[1])
        for name, field in fields.items():
            value = values.get(field.name, np.zeros(0))
            there = np.nanmax(np.abs(value), initial=0.0) >= least[name]
            out[name].append(None if line is None or not there else fit(line[0], value))
    return {name: tuple(found) for name, found in out.items()}


def summary(result: Result) -> dict[str, Any]:
    """The table "angular_momentum" of summary.json; keys carry their unit."""
    part = result.angular_momentum
    assert part is not None
    densities, table = part.densities, result.case.angular_momentum
    names = densities.components
    energy = "J_per_m" if result.per_thickness else "J"

    def named(values: np.ndarray) -> dict[str, float]:
        return dict(zip(names, values.tolist(), strict=True))

    out: dict[str, Any] = {
        "components": list(names),
        "coupling": table.coupling,
        "hall_conductivity_convention": "J^{ia} = (hbar/|e|) sigma_H epsilon_iak E_k",
        "solver": densities.evidence,
        "imbalance_relative": named(densities.imbalance),
        f"relaxed_{energy}": named(densities.relaxed),
        "boundaries": {
            boundary: {
                "law": {c: _law(result, c, boundary) for c in table.channels},
                f"outflow_{energy}": named(flux),
                f"injected_{energy}": named(densities.injected[boundary]),
            }
            for boundary, flux in densities.outflow.items()
        },
        "decay_lengths_m": {k: _predicted(m) for k, m in part.problem.materials.items()},
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


def _predicted(transport: Transport) -> list[dict[str, float]]:
    """Decay lengths along y of an infinite medium."""
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
    return rows


class _Row(NamedTuple):
    """A component at a piece of a wall; moments are per length of the piece in 2D."""

    number: int
    piece: EdgeMoment
    name: str
    diffusive: float
    local: float | None  # what the vorticity, or of a tensor all of the gradient, makes
    decay: Decay | None


def _rows(result: Result, part: Part) -> Iterator[_Row]:
    both = {"orbital": result.edge_moments, "spin": result.spin_moments}
    for name in part.densities.components:
        made = [np.ravel(piece.moment) for piece in both[name.rsplit("_", 1)[0]]]
        for i, piece in enumerate(part.moments[name]):
            measure = 1.0 if result.device.dimension == 3 else piece.measure
            column = _column(name, len(made[i])) if i < len(made) else None
            diffusive = float(np.ravel(piece.moment)[0]) / measure
            local = None if column is None else float(made[i][column]) / measure
            yield _Row(i, piece, name, diffusive, local, part.decays[name][i])


def _placed(result: Result, part: Part) -> Iterator[tuple[str, _Row]]:
    """Rows with the place of the piece: its wall, with a number where that has several pieces."""
    rows, pieces = list(_rows(result, part)), dict[str, list[int]]()
    for row in rows:
        own = pieces.setdefault(row.piece.wall, [])
        own += [] if row.number in own else [row.number]
    for row in rows:
        own = pieces[row.piece.wall]
        yield (
            f"{row.piece.wall}.{own.index(row.number) + 1}" if len(own) > 1 else row.piece.wall,
            row,
        )


def _moment_unit(result: Result) -> str:
    """How keys of moments end."""
    if result.device.dimension == 3:
        return ""
    return "_per_m2" if result.per_thickness else "_per_m"


def _walls(result: Result, part: Part) -> dict[str, list[dict[str, Any]]]:
    """Moments of both mechanisms and decay lengths at each piece of each wall."""
    unit = _moment_unit(result)
    out: dict[str, list[dict[str, Any]]] = {name: [] for name in result.walls}
    pieces: dict[int, dict[str, Any]] = {}
    for place, row in _placed(result, part):
        if row.number not in pieces:
            pieces[row.number] = {"center_m": list(row.piece.center)}
            out[row.piece.wall].append(pieces[row.number])
        entry = {
            f"diffusive_moment_J_s{unit}": row.diffusive,
            f"diffusive_moment_hbar{unit}": row.diffusive / HBAR,
        }
        if row.local is not None:
            entry[f"vorticity_moment_J_s{unit}"] = row.local
            entry[f"total_moment_J_s{unit}"] = row.diffusive + row.local
            if row.local:
                entry["diffusive_over_vorticity"] = row.diffusive / row.local
        if row.decay is not None:
            found = {
                "decay_length": row.decay.length,
                "decay_length_uncertainty": row.decay.uncertainty,
                "period": row.decay.period,
                "second_length": row.decay.second,
            }
            found["decay_length_error_mesh"] = result.mesh_errors.get(
                f"{place}.{row.name}.decay_length_m"
            )
            entry |= {f"fitted_{k}_m": v for k, v in found.items() if v is not None}
        pieces[row.number][row.name] = entry
    return out


def numbers(result: Result) -> dict[str, float]:
    """Moments of the densities at each piece of each wall, and ratios, for a row of a sweep."""
    part, out = result.angular_momentum, dict[str, float]()
    assert part is not None
    unit = _moment_unit(result)
    for place, row in _placed(result, part):
        out[f"{place}.{row.name}.diffusive_moment_hbar{unit}"] = row.diffusive / HBAR
        if row.local:
            out[f"{place}.{row.name}.diffusive_over_vorticity"] = row.diffusive / row.local
    return out


def lines(result: Result, nothing: float = 0.0) -> list[str]:
    """The part about angular momentum of the table on the terminal; ``nothing``: a current."""
    part = result.angular_momentum
    assert part is not None
    solid = result.device.dimension == 3
    per = "ħ" if solid else "ħ/m²" if result.per_thickness else "ħ/m"
    out = [
        "",
        f"  {'wall':<16}{'component':<14}{'diffusive ' + per:>18}{'from vorticity':>18}"
        f"{'decay length nm':>24}",
    ]
    for place, row in _placed(result, part):
        local = "" if row.local is None else f"{row.local / HBAR + 0.0:.6g}"
        value = f"{row.diffusive / HBAR + 0.0:>18.6g}"
        wall = row.piece.wall + place.removeprefix(row.piece.wall).replace(".", " ")
        decay = "" if row.decay is None else _shown(row.decay)
        out.append(f"  {wall:<16}{row.name:<14}{value}{local:>18}{decay:>24}")
    if part.response is not None:
        unit = "A/m" if result.per_thickness else "A"
        out += ["", f"  {'inverse effect':<16}{'current ' + unit:>18}{'potential V':>18}"]
        for name, terminal in part.response.contacts.items():
            current = terminal.current if abs(terminal.current) > nothing else 0.0
            out.append(f"  {name:<16}{current:>18.9g}{terminal.potential:>18.9g}")
    return out


def _shown(decay: Decay) -> str:
    """Decay length in nm with as many digits as its uncertainty allows."""
    value, error = decay.length * 1e9, decay.uncertainty * 1e9
    digits = min(5, max(1, 1 + floor(log10(value)) - floor(log10(error)))) if error else 5
    text = f"{value:.{digits}g} ± {error:.1g}"
    return text if decay.second is None else f"{text}; {decay.second * 1e9:.4g}"
