"""How the nodes of a device move with the parameters of its drawing.

The nodes on the boundaries, and between regions, keep their places on the curves of the drawing
(:mod:`meso.geometry.rates`); the others follow by a harmonic extension.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import fields
from functools import cache

import dolfinx
import numpy as np

from meso import _compat
from meso.case import Case
from meso.device import Device
from meso.discrete.cells import lagrange
from meso.discrete.extension import extended
from meso.errors import CaseError, MesoError
from meso.geometry import gmsh_process
from meso.geometry.gmsh_process import Source
from meso.geometry.trace import Trace
from meso.mpi import concatenated, on_root
from meso.results.mesh import source

#: Velocities of the nodes by parameter, or why there are none.
Velocities = dict[str, np.ndarray | Exception]
_RATES = "geometry.rates.rates"


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
    return all_known(begun(case, device, names, trusted=trusted)())


def all_known(found: Velocities, some: bool = False) -> dict[str, np.ndarray]:
    """The velocities; raises the first error among them, unless ``some`` of them will do."""
    for one in found.values():
        if isinstance(one, Exception) and not some:
            raise one
    return {name: one for name, one in found.items() if isinstance(one, np.ndarray)}


def begun(
    case: Case, device: Device, names: Sequence[str], *, trusted: bool = False
) -> Callable[[], Velocities]:
    """Let Gmsh begin with what :func:`velocities` returns, for which all ranks call the function.

    Raises:
        CaseError: No drawing with such a parameter.
    """
    given = case.geometry.parameters
    for name in names:
        if name not in given:
            raise CaseError((f"geometry.parameters.{name}", "give its value in the case"))
    if not names:
        return dict
    moving, comm, d = moving_nodes(device), device.comm, device.dimension
    points = concatenated(comm, device.mesh.geometry.x[moving, :d]) / device.length_unit
    wish = source(case, trusted=trusted, comm=comm)
    parts = {f.name: getattr(wish, f.name) for f in fields(Source)}
    trace = Trace(**parts, points=points, names=tuple(names))
    if comm.rank == 0:
        with suppress(MesoError, ConnectionError):  # it is told when the answer is wanted
            gmsh_process.ask(_RATES, trace)
    return cache(lambda: _extended(device, moving, trace))


def _extended(device: Device, moving: np.ndarray, trace: Trace) -> Velocities:
    """What Gmsh has found for moving nodes, and the others with them."""
    comm, count = device.comm, int(moving.sum())
    rates = on_root(comm, lambda: gmsh_process.call(_RATES, trace))
    out: Velocities = {
        name: gmsh_process.as_given(one, trace.path)
        for name, one in zip(trace.names, rates, strict=True)
        if isinstance(one, Exception)
    }
    if names := [name for name in trace.names if name not in out]:
        start = sum(comm.allgather(count)[: comm.rank])
        found = np.array([one for one in rates if isinstance(one, np.ndarray)])
        own = found[:, start : start + count] * device.length_unit
        known = np.full((len(moving), len(names), device.dimension), np.nan)
        known[moving] = own.swapaxes(0, 1)
        every = extended(device, known.reshape(len(known), -1)).reshape(known.shape)
        out |= {name: every[:, i] for i, name in enumerate(names)}
    return out


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
