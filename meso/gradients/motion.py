"""How the nodes of a device move with the parameters of its drawing.

The nodes on the boundaries, and between regions, keep their places on the curves of the drawing
(:mod:`meso.geometry.motion`); the others follow by a harmonic extension.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import fields
from functools import cache
from typing import Any

import dolfinx
import numpy as np

from meso import _compat
from meso.case import Case
from meso.device import Device
from meso.discrete.cells import lagrange
from meso.discrete.extension import extended
from meso.errors import CaseError, GeometryError
from meso.geometry import gmsh_process
from meso.geometry.gmsh_process import Source
from meso.geometry.trace import ON, Places, Signature, Trace
from meso.gradients.differences import STENCILS
from meso.mpi import concatenated, on_root
from meso.results.mesh import source

#: Step of a parameter over its value, and what may be left of a velocity that is one.
STEP, SMOOTH = 1e-3, 1e-2
#: How far points may be from the middle between two steps, over the size of the drawing, that move
#: in proportion to a parameter: these two tell all.
STRAIGHT = 1e-9


class OtherCurvesError(GeometryError):
    """A drawing has other curves for another value of a parameter."""


def velocities(
    case: Case, device: Device, names: Sequence[str], *, trusted: bool = False
) -> dict[str, np.ndarray]:
    """How fast the geometry nodes of a device move with parameters of its drawing.

    All ranks call this.

    Args:
        case: The case of the device.
        device: The device.
        names: Parameters that the case gives.
        trusted: True if the drawing may run commands and write files.

    Returns:
        By name: metres per unit of the parameter, of this rank's nodes, shape (n, d).

    Raises:
        CaseError: No drawing with such a parameter.
        GeometryError: Curves that come, go or jump as the parameter varies.
    """
    if not names:
        return {}
    given = case.geometry.parameters
    for name in names:
        if name not in given:
            raise CaseError((f"geometry.parameters.{name}", "give its value in the case"))
    moving = moving_nodes(device)
    x, d = device.mesh.geometry.x, device.dimension
    points = concatenated(device.comm, x[moving, :d]) / device.length_unit
    counts = device.comm.allgather(int(moving.sum()))
    wish = source(case, trusted=trusted, comm=device.comm)
    found = on_root(device.comm, lambda: _all_rates(wish, points, list(names)))
    known = np.full((len(x), len(names), d), np.nan)
    start = sum(counts[: device.comm.rank])
    own = found[:, start : start + counts[device.comm.rank]] * device.length_unit
    known[moving] = own.swapaxes(0, 1)
    every = extended(device, known.reshape(len(x), -1)).reshape(known.shape)
    return {name: every[:, i] for i, name in enumerate(names)}


def moving_nodes(device: Device) -> np.ndarray:
    """Geometry nodes of this rank on boundaries and between regions, shape (n,)."""
    x, cells, degree = _compat.geometry(device.mesh)
    on_facet = lagrange(device, degree).on_facet
    boundary = cells[device.facets.cell[:, None], on_facet[device.facets.local]]
    index_map = device.mesh.geometry.index_map()

    def touched(nodes: np.ndarray) -> np.ndarray:
        mark = np.zeros(len(x))
        mark[nodes.ravel()] = 1.0
        return _shared(index_map, mark) > 0

    local = cells[: len(device.cell_region)]
    regions = [touched(local[device.cell_region == i]) for i in range(len(device.regions))]
    return touched(boundary) | (np.sum(regions, axis=0) > 1)


def _shared(index_map: dolfinx.common.IndexMap, values: np.ndarray) -> np.ndarray:
    """Sum of what all ranks have at each node."""
    vector = dolfinx.la.vector(index_map, 1)
    vector.array[:] = values
    vector.scatter_reverse(dolfinx.la.InsertMode.add)
    vector.scatter_forward()
    return np.array(vector.array)


def _all_rates(wish: Source, points: np.ndarray, names: list[str]) -> np.ndarray:
    """Velocities of points in units of the drawing, shape (parameters, n, d); on rank 0."""
    signature, places = _call("locate", wish, points=points)
    if len(lost := np.flatnonzero(places.dimension == 0)):
        place = ", ".join(f"{x:.6g}" for x in points[lost[0]])
        raise GeometryError(
            f"{wish.path}: {len(lost)} nodes of the mesh lie on no curve or surface of the drawing,"
            f" the first near ({place}): how they move with its parameters is not known"
        )
    return np.array([_rates(wish, points, name, signature, places) for name in names])


def _rates(
    wish: Source, points: np.ndarray, name: str, signature: Signature, places: Places
) -> np.ndarray:
    value, size = wish.parameters[name], float(np.ptp(points, axis=0).max())
    step = STEP * (abs(value) or size)

    @cache
    def at(other: float) -> np.ndarray:
        where = f"geometry.parameters.{name} = {other:.9g}"
        try:
            there, found = _call("evaluate", wish, places=places, parameters={name: other})
        except GeometryError as error:
            raise GeometryError(f"{error} (at {where})") from None
        if there != signature:
            raise OtherCurvesError(
                f"{wish.path}: has other curves at {where} than at {value:g}: there is no"
                " derivative in this parameter here"
            )
        return found

    with suppress(GeometryError):  # it is told below
        one, two = at(value - step), at(value + step)
        if np.abs(one + two - 2 * points).max(initial=0.0) <= STRAIGHT * size:
            return np.asarray((two - one) / (2 * step))
    problem: GeometryError | None = None
    for numbers, weights, lower in STENCILS:
        try:
            moved = [points if k == 0 else at(value + k * step) for k in numbers]
        except GeometryError as error:
            if problem is None or isinstance(error, OtherCurvesError):
                problem = error  # this tells more than what a drawing says of its limits
            continue
        rows = np.array(moved) - points
        out, rough = (np.tensordot(part, rows, 1) / step for part in (weights, lower))
        largest = np.abs(out).max(initial=0.0)
        if np.abs(out - rough).max(initial=0.0) <= SMOOTH * largest + ON * size / step:
            return np.asarray(out)
        raise GeometryError(
            f"{wish.path}: its curves do not move smoothly with geometry.parameters.{name} at"
            f" {value:g}: there is no derivative in this parameter here"
        )
    assert problem is not None
    raise problem


def _call(
    what: str,
    wish: Source,
    *,
    points: np.ndarray | None = None,
    places: Places | None = None,
    parameters: dict[str, float] | None = None,
) -> tuple[Signature, Any]:
    parts = {f.name: getattr(wish, f.name) for f in fields(Source)}
    parts["parameters"] = wish.parameters | (parameters or {})
    return gmsh_process.call(
        f"geometry.motion.{what}", Trace(**parts, points=points, places=places)
    )
