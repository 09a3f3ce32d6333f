"""The numbers of a result that may be differentiated, by the names of a sweep's columns."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from meso.case import Probe
from meso.discrete.sampling import probe_points
from meso.errors import CaseError, known
from meso.results.result import Result
from meso.results.summary import numbers
from meso.units import UNIT, without_unit

#: Columns that are no results, or do not depend on the inputs continuously.
_OTHER = re.compile(r"cells|harmonics|estimated_error_.*|conductance_(lower|upper)_.*")
_RATIO = re.compile(r"(.+)\.(orbital|spin)_([xyz])\.diffusive_over_vorticity")
_SAMPLED = re.compile(r"probe\..+\.\d+")
_AXES = "xyz"
#: The name of a column without its unit.
short = without_unit


def unit(column: str) -> str:
    """The unit in the name of a column; empty for ratios."""
    found = UNIT.search(column)
    if not found:
        return ""
    text = found[0][1:].replace("hbar", "ħ").replace("_per_", "/").replace("m2", "m²")
    return text.replace("ohm", "Ω").replace("_", " ")


def is_sampled(name: str) -> bool:
    """Whether a name is that of a value along a probe, and not of a boundary called "probe"."""
    return _SAMPLED.fullmatch(name) is not None


def quotient(name: str) -> tuple[str, tuple[str, str]] | None:
    """The moments whose ratio a column is; None for all others.

    Column of the first; short names of the second where moments are numbers, and vectors.
    """
    found = _RATIO.fullmatch(name)
    if not found:
        return None
    place, channel, axis = found.groups()
    local = f"{place}.{channel}_moment"
    return f"{place}.{channel}_{axis}.diffusive_moment_hbar", (local, f"{local}_{axis}")


def values(result: Result, names: Iterable[str] = ()) -> dict[str, float]:
    """The outputs of a result by column, and those of some names that are values along probes."""
    out = {key: value for key, value in numbers(result).items() if not _OTHER.fullmatch(key)}
    per = "_per_m" if result.per_thickness else ""
    contacts = list(result.flow.contacts)
    if len(contacts) > 2:
        matrix = result.conductance_matrix
        out |= {
            f"conductance_matrix.{a}.{b}_S{per}": float(matrix[i, j])
            for i, a in enumerate(contacts)
            for j, b in enumerate(contacts)
        }
    if (part := result.angular_momentum) is not None:
        components = part.densities.components
        absorbed = {f"outflow.{b}": flux for b, flux in part.densities.outflow.items()}
        for what, fluxes in {**absorbed, "relaxed": part.densities.relaxed}.items():
            for name, x in zip(components, fluxes, strict=True):
                out[f"angular_momentum.{what}.{name}_J{per}"] = float(x)
        if part.response is not None:
            out |= {
                f"inverse.{name}.{key}": value
                for name, terminal in part.response.contacts.items()
                for key, value in ((f"current_A{per}", terminal.current),)
            }
    return out | {n: _sampled(result, n) for n in names if is_sampled(n)}


def chosen(result: Result, names: Sequence[str] | None) -> tuple[str, ...]:
    """Columns of outputs by name, with or without unit, ``edges.orbital_moment`` or turned about.

    Args:
        result: The result.
        names: The names; all columns by default, without those that are zero by construction.

    Raises:
        CaseError: A name that is no output.
    """
    columns = values(result)
    if names is None:
        return tuple(columns)
    by_name = {short(column): column for column in columns}
    out, problems = [], []
    for name in names:
        first, *others = name.split(".")
        turned = ".".join([*others, first])
        for key in (name, turned):
            if key in columns or key in by_name:
                out.append(key if key in columns else by_name[key])
                break
        else:
            if is_sampled(name) or (first == "probe" and first not in result.device.boundaries):
                _sampled(result, name)
                out.append(name)
            else:
                text = f'no output "{name}"; {known(name, [*by_name, "probe.NAME.FIELD.NUMBER"])}'
                problems.append(text)
    if problems:
        raise CaseError(*problems, file=None if result.case.file is None else str(result.case.file))
    return tuple(dict.fromkeys(out))


class Sample(NamedTuple):
    """A value along a probe: of a component of a field, at a point of the probe."""

    probe: Probe
    field: str
    component: int
    number: int
    points: np.ndarray


def sample(result: Result, name: str) -> Sample:
    """What ``probe.NAME.FIELD[.component].NUMBER`` is, points counted from 0.

    Raises:
        CaseError: There is no such thing.
    """
    probes, where = result.case.output.probes, name.split(".")
    axis = where.pop(3) if len(where) == 5 else ""
    if len(where) != 4 or not where[3].isdigit():
        text = "found a probe without field and number; e.g. probe.across.current_density.x.200"
        raise CaseError((name, text))
    _, line, field, number = where
    if line not in probes:
        raise CaseError((name, f'no probe "{line}"; {known(line, probes)}'))
    if field not in result.fields:
        raise CaseError((name, f'no field "{field}"; {known(field, result.fields)}'))
    points = probe_points(probes[line], result.device.dimension)
    if int(number) >= len(points):
        raise CaseError((name, f"found point {number}; must be in 0 … {len(points) - 1}"))
    count = result.fields[field].components
    axes = [*_AXES[:count]] if count > 1 else [""]
    if axis not in axes:
        raise CaseError((name, f'found component "{axis}"; {known(axis, axes)}'))
    return Sample(probes[line], field, axes.index(axis), int(number), points)


def _sampled(result: Result, name: str) -> float:
    one = sample(result, name)
    if one.probe.resolution is None:
        found = result.sample(one.points[[one.number]])[one.field][0]
    else:
        found = result.sample(one.points, resolution=one.probe.resolution)[one.field][one.number]
    value = float(np.reshape(found, -1)[one.component])
    if not np.isfinite(value):
        raise CaseError((name, "this point lies outside the conductor"))
    return value


def is_coupled(result: Result) -> bool:
    """Whether charge and angular momentum were solved together."""
    table = result.case.angular_momentum
    return bool(table) and table.is_two_way


def wall_pieces(result: Result) -> list[int]:
    """Pieces of walls, in the order of the moments."""
    return [i for i, piece in enumerate(result.device.pieces) if piece.boundary in result.walls]


def pieces_of(result: Result, place: str) -> Sequence[int]:
    """Pieces of a wall, or one of them by its number."""
    wall, _, number = (place, "", "") if place in result.walls else place.rpartition(".")
    own = [i for i in wall_pieces(result) if result.device.pieces[i].boundary == wall]
    if not number:
        return own
    known = number.isdigit() and 0 < int(number) <= len(own)
    return [own[int(number) - 1]] if known else []
