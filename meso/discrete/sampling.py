"""Values of fields at arbitrary points, the same on every rank and for every partition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import dolfinx
import numpy as np
from mpi4py import MPI

from meso.case import Output, Probe
from meso.device import Device
from meso.discrete.cells import Cells, cells_of, inverse
from meso.discrete.fields import Field, nodal_values, values_at
from meso.discrete.motion import Nodes, from_places
from meso.errors import CaseError

# A point belongs to a cell if its reference coordinates are inside by this much.
_INSIDE = 1e-8
# The same at curved cells for points that no cell holds: a curved wall is a polynomial, and a
# point of the drawing's own curve may lie outside by a little.
_NEAR_CURVED = 1e-3


def locate(
    device: Device, points: np.ndarray, *, strict: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Find the cell of this rank that holds each point (m, d), in metres.

    Points that are beside a curved cell by a little belong to it, unless this is ``strict``.

    Returns:
        Cell numbers, -1 where the point is not on this rank or lies in a cell of another rank
        with a smaller number in the drawing, shape (m,); reference coordinates, shape (m, d).
    """
    cells = cells_of(device)
    cell = np.full(len(points), -1)
    reference = np.zeros((len(points), device.dimension))
    original = np.asarray(device.mesh.topology.original_cell_index)
    best = np.full(len(points), np.iinfo(np.int64).max)
    first = best.copy()
    which, candidate, at = _candidates(device, points)
    outside = np.maximum(-at, 0).max(axis=1, initial=0.0)
    outside = np.maximum(outside, at.sum(axis=1) - 1)
    near = np.where(cells.affine[candidate], _INSIDE, _NEAR_CURVED)
    for tolerance in (_INSIDE,) if strict else (_INSIDE, near):
        good = (outside < tolerance) & (first[which] == np.iinfo(np.int64).max)
        # The smallest number comes last, and stays.
        order = np.flatnonzero(good)
        order = order[np.argsort(-original[candidate[order]])]
        i, c = which[order], candidate[order]
        best[i], cell[i], reference[i] = original[c], c, at[order]
        device.comm.Allreduce(best, first, op=MPI.MIN)
    cell[first != best] = -1
    return cell, reference


def _candidates(device: Device, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points, cells of this rank that may hold them, and reference coordinates there."""
    cells = cells_of(device)
    if not cells.count:
        none = np.empty(0, dtype=np.int64)
        return none, none, np.empty((0, device.dimension))
    tree = dolfinx.geometry.bb_tree(
        device.mesh, device.dimension, padding=1e-2 * device.smallest_cell
    )
    space = np.zeros((len(points), 3))
    space[:, : device.dimension] = points
    found = dolfinx.geometry.compute_collisions_points(tree, space)
    which = np.repeat(np.arange(len(points)), np.diff(found.offsets))
    candidate = np.asarray(found.array, dtype=np.int64)
    inside = candidate < cells.count
    which, candidate = which[inside], candidate[inside]
    return which, candidate, _pull_back(device, candidate, points[which] / device.extent)


def _pull_back(device: Device, candidate: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Reference coordinates by Newton's method.

    DOLFINx's own stops at 1e-6, and raises for the candidates that a point is not in.
    """
    cells = cells_of(device)
    nodes, corner = cells.nodes[candidate], cells.corners[candidate]
    x = _times(cells.derivatives(candidate)[0], points - corner[:, 0])
    if cells.degree > 1:
        for _ in range(12):
            table = cells.element.tabulate(1, np.clip(x, -0.2, 1.2))[:, :, :, 0]
            value, *slopes = (part[:, None] @ nodes for part in table)
            jacobian = np.concatenate(slopes, axis=1).swapaxes(1, 2)
            step = _times(inverse(jacobian)[0], points - value[:, 0])
            x = np.clip(x, -0.2, 1.2) + step
            if np.abs(step).max(initial=0.0) < 1e-13:
                break
    return x


def _times(matrices: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    return np.asarray((matrices @ vectors[..., None])[..., 0])


def probe_points(probe: Probe, dimension: int) -> np.ndarray:
    """Points of a probe line, m, shape (n, d); a missing z is 0."""
    s = np.linspace(0.0, 1.0, probe.points)[:, None]
    begin, end = (np.array([*at, 0.0][:dimension]) for at in (probe.from_, probe.to))
    return begin * (1 - s) + end * s


def check_places(device: Device, output: Output) -> list[str]:
    """Warnings about probe lines of a case that lie outside the conductor in part.

    Raises:
        CaseError: Lines and points that lie outside it, or have coordinates that it has not.
    """
    problems, warnings = [], []
    places = {f"output.probes.{name}": probe.from_ for name, probe in output.probes.items()}
    places |= {f"output.distributions.{name}": at for name, at in output.distributions.items()}
    for key, place in places.items():
        if len(place) > device.dimension:
            text = f"found {len(place)} coordinates; must be 2, since the device is 2D"
            problems.append((key, text))
    if problems:
        raise CaseError(*problems)
    for name, probe in output.probes.items():
        count = _inside(device, probe_points(probe, device.dimension))
        if not count:
            problems.append((f"output.probes.{name}", "the line lies outside the device"))
        elif count < probe.points and probe.resolution is None:  # a spot sees beyond the walls
            warnings.append(
                f"output.probes.{name}: {probe.points - count} of {probe.points} points lie"
                " outside the conductor; their rows are nan"
            )
    for name, at in output.distributions.items():
        if not _inside(device, np.array([at])):
            problems.append((f"output.distributions.{name}", "the point lies outside the device"))
    if problems:
        raise CaseError(*problems)
    return warnings


def _inside(device: Device, points: np.ndarray) -> int:
    """How many of some points lie in the device."""
    return int(device.comm.allreduce(int((locate(device, points)[0] >= 0).sum())))


def sensitivity(field: Field, points: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, Nodes]:
    """Derivatives of the sum of values of a field at points times weights.

    The points stay where they are. All ranks call this.

    Args:
        field: The field.
        points: Coordinates in metres, shape (m, d).
        weights: Of each component at each point, shape (m, components).

    Returns:
        Derivatives in the values at the nodes of the cells of this rank, (c, n, components), and in
        the nodes of the mesh with these values held.
    """
    device, out, motion = field.device, np.zeros_like(field.values), Nodes(field.device)
    cell, at = locate(device, points)
    here = cell >= 0
    cell, at, weights = cell[here], at[here], weights[here]
    np.add.at(out, cell, field.table(at)[:, :, None] * weights[:, None])
    # What moves with the mesh passes by a point.
    cells, nodal = cells_of(device), nodal_values(field.data, cell)
    reference = np.stack([(part[:, None] @ nodal)[:, 0] for part in field.slopes(at)], axis=1)
    slope = inverses(cells, cell, at).swapaxes(1, 2) @ reference
    passing = -(slope * weights[:, None]).sum(axis=2)
    motion.add(cell, from_places(cells, cell, at, passing))
    return out, motion


def inverses(cells: Cells, cell: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Inverse Jacobians dX_a/dx_i at one reference point in each cell, shape (m, a, i)."""
    table = cells.element.tabulate(1, np.ascontiguousarray(points))[1:, :, :, 0]
    parts = [part[:, None] @ cells.nodes[cell] for part in table]
    return inverse(np.concatenate(parts, axis=1).swapaxes(1, 2))[0]


def pull_back(device: Device, cells: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Reference coordinates of points (m, d), in metres, in one cell each."""
    return _pull_back(device, cells, points / device.extent)


def sample(device: Device, fields: Sequence[Field], points: np.ndarray) -> dict[str, np.ndarray]:
    """Values of fields at points (m, d), by name, as of :func:`sample_functions`."""
    return sample_functions(device, {field.name: field.function() for field in fields}, points)


def sample_functions(
    device: Device, functions: Mapping[str, Any], points: np.ndarray
) -> dict[str, np.ndarray]:
    """Values of DOLFINx functions at points, on every rank.

    Args:
        device: The device.
        functions: Functions of Lagrange spaces on its mesh, continuous or not, by name.
        points: Coordinates in metres, shape (m, d), or (m, 3) with any z in 2D.

    Returns:
        By name: shape (m,) or (m, components), NaN outside the device.
    """
    points = np.atleast_2d(np.asarray(points, dtype=float))[:, : device.dimension]
    cell, reference = locate(device, points)
    here = cell >= 0
    known = device.comm.allreduce(here.astype(np.int64)) > 0
    out = {}
    for name, function in functions.items():
        values = np.zeros((len(points), function.function_space.dofmap.index_map_bs))
        values[here] = values_at(function, cell[here], reference[here])
        values = device.comm.allreduce(values)
        values[~known] = np.nan
        out[name] = values[:, 0] if values.shape[1] == 1 else values
    return out
