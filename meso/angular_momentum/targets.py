"""Numbers of a result as linear functionals of its densities, for their derivatives."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from meso.angular_momentum.adjoint import Target
from meso.angular_momentum.densities import Densities
from meso.angular_momentum.diffusion import Diffusion
from meso.constants import HBAR
from meso.discrete.cells import cells_of, facet_geometry
from meso.discrete.motion import Nodes, from_facets
from meso.discrete.sampling import sensitivity
from meso.errors import CaseError, known
from meso.flow.result import Flow
from meso.observables import spot
from meso.observables.nearest import division

if TYPE_CHECKING:
    from meso.results.result import Result

_MOMENT = re.compile(r"(?P<place>.+)\.(?P<component>\w+)\.diffusive_moment_hbar\w*")
_OUTFLOW = re.compile(r"angular_momentum\.outflow\.(?P<place>.+)\.(?P<component>\w+)_J\w*")
_RELAXED = re.compile(r"angular_momentum\.relaxed\.(?P<component>\w+)_J\w*")
_PROBE = re.compile(r"probe\.(?P<place>.+)\.(?P<field>\w+)\.(?P<number>\d+)")


def target(result: Result, output: str, *, degree: int = 2) -> Target | None:
    """The functional of densities that an output of a result is; None for all others.

    Args:
        result: The result.
        output: A column of :mod:`meso.gradients.outputs`: a half-width moment
            ("WALL.COMPONENT.diffusive_moment_hbar", "WALL.1.COMPONENT. ..."), what a boundary
            absorbs or relaxes ("angular_momentum.outflow.BOUNDARY.COMPONENT_J"), or a value of a
            density along a probe ("probe.NAME.FIELD.0").
        degree: Of distances from walls, as of :class:`meso.observables.nearest.Division`.
    """
    part = result.angular_momentum
    if part is None:
        return None
    problem, densities = part.problem, part.densities
    if found := _MOMENT.fullmatch(output):
        return _moment(result, found["place"], found["component"], degree)
    if found := _OUTFLOW.fullmatch(output):
        return absorbed(problem, densities, {found["place"]: 1.0}, found["component"])
    if found := _RELAXED.fullmatch(output):
        # Nothing is lost: what relaxes is what does not leave.
        every = dict.fromkeys(densities.outflow, -1.0)
        return absorbed(problem, densities, every, found["component"])
    if found := _PROBE.fullmatch(output):
        probe = result.case.output.probes.get(found["place"])
        fields = {densities.field(name).name: name for name in densities.components}
        if probe is None or found["field"] not in fields:
            return None
        field_ = densities.field(fields[found["field"]])
        parts = spot.at_probe(field_, probe, int(found["number"]), 0)
        return of_field(densities, fields[found["field"]], *parts)
    return None


def _moment(result: Result, place: str, component: str, degree: int) -> Target | None:
    """That of a piece of a wall by its place in the table: "edges.1", or "edges" alone."""
    part, device = result.angular_momentum, result.device
    assert part is not None
    wall, _, number = place.rpartition(".") if place not in result.walls else (place, "", "1")
    pieces = [i for i, piece in enumerate(device.pieces) if piece.boundary == wall]
    if not number.isdigit() or not 0 < int(number) <= len(pieces):
        return None
    piece = pieces[int(number) - 1]
    measure = 1.0 if device.dimension == 3 else device.pieces[piece].measure
    share = np.zeros(len(device.pieces))
    share[piece] = 1 / HBAR / measure
    found = moments(part.problem, part.densities, result.flow, component, share, degree=degree)
    if device.dimension == 3 or found.nodes is None:
        return found
    value = found.value(part.densities)
    nodes = found.nodes - value / measure * length_slope(result, piece)
    return Target(density=found.density, nodes=nodes, coefficients=found.coefficients)


def length_slope(result: Result, piece: int) -> np.ndarray:
    """Derivative of the length of a piece in the nodes of the mesh, (nodes, d)."""
    device, motion, cells = result.device, Nodes(result.device), cells_of(result.device)
    facets = device.facets.of(device.facets.piece == piece)
    rule = cells.facet_quadrature(2 * cells.degree + 4)
    geometry = facet_geometry(cells, facets.cell, facets.local, *rule)
    S = geometry.tangential * (geometry.weight * device.extent)[..., None, None]
    motion.add(facets.cell, from_facets(cells, geometry, S))
    return motion.owned


def moments(
    problem: Diffusion,
    densities: Densities,
    flow: Flow,
    component: str,
    share: np.ndarray,
    *,
    degree: int = 2,
) -> Target:
    """A sum of half-width moments of a component, with a share of each piece of a wall, (pieces,).

    Moments as of :func:`meso.observables.accumulation.edge_moments`, J s (J s/m without thickness).
    """
    a, n = densities.components.index(component), len(densities.components)
    field_ = densities.field(component)
    factor = problem.thickness or 1.0
    weights, nodes = division(flow, degree).derivative(field_, np.asarray(share)[:, None] * factor)
    out = np.zeros((*densities.density.shape[:2], n))
    out[..., a] = weights[..., 0]
    found = Target(density=out, nodes=nodes)
    per = {"thickness": found.value(densities) / factor}
    return replace(found, coefficients=per)


def absorbed(
    problem: Diffusion, densities: Densities, share: Mapping[str, float], component: str
) -> Target:
    """A sum of what boundaries absorb of a component, ``Densities.outflow``, with shares."""
    a, factor, much = densities.components.index(component), problem.thickness or 1.0, {}
    value = 0.0
    for name, part in share.items():
        if name not in densities.outflow:
            raise CaseError(f'no boundary "{name}"; {known(name, densities.outflow)}')
        much[name] = np.zeros(len(densities.components))
        much[name][a] = factor * part
        value += part * float(densities.outflow[name][a])
    return Target(
        density=np.zeros_like(densities.density),
        absorbed=much,
        nodes=Nodes(problem.device).owned,
        coefficients={"thickness": value / factor},
    )


def sampled(
    densities: Densities, component: str, points: np.ndarray, weights: np.ndarray | None = None
) -> Target:
    """A sum of the density of a component at points, (m, d) in m, times weights, (m,)."""
    points = np.atleast_2d(np.asarray(points, dtype=float))[:, : densities.device.dimension]
    w = np.ones(len(points)) if weights is None else np.asarray(weights, dtype=float)
    parts = sensitivity(densities.field(component), points, w[:, None])
    return of_field(densities, component, *parts)


def of_field(densities: Densities, component: str, weights: np.ndarray, motion: Nodes) -> Target:
    """A sum of weights (c, n, 1) times nodal values of the density of a component."""
    out = np.zeros_like(densities.density)
    out[..., densities.components.index(component)] = weights[..., 0]
    return Target(density=out, nodes=motion.owned)
