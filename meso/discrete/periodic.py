"""Periodic pairs: which nodes of two boundaries are the same point of the periodic conductor."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.sparse import coo_matrix
from scipy.spatial import cKDTree

from meso.device import Device
from meso.discrete.cells import Lagrange
from meso.errors import GeometryError
from meso.mpi import concatenated

# Distance of twins over the size of the device: what mesh generators leave.
_MATCH = 1e-7
# Some direction, along which no two ends of a boundary are equally far.
_DIRECTION = np.array([1.0, 0.618, 0.382])

Pairs = Sequence[tuple[str, str]]


def parts(device: Device, pairs: Pairs) -> list[set[str]]:
    """Names of the boundaries of each part of the conductor; periodic pairs join islands."""
    out = [set(island) for island in device.islands]
    for pair in pairs:
        joined = [part for part in out if part & set(pair)]
        out = [part for part in out if part not in joined] + [set().union(*joined)]
    return out


def translation(device: Device, space: Lagrange, pair: tuple[str, str]) -> np.ndarray:
    """Vector from the first boundary of a pair to the second, m, shape (d,)."""
    first, second = (_boundary_nodes(device, space, name)[1] for name in pair)
    return second.min(axis=0) - first.min(axis=0)


def twin_nodes(device: Device, space: Lagrange, pairs: Pairs) -> np.ndarray:
    """Global nodes that are one point of the periodic conductor, the same on all ranks.

    Shape (t, 2), the second of which stands for the first too. In each pair of boundaries the
    second is a translated copy of the first; if their meshes do not match: GeometryError.
    """
    links = [np.empty((0, 2), dtype=np.int64)]
    for pair in pairs:
        first, second = (_boundary_nodes(device, space, name) for name in pair)
        links.append(_matched(device, pair, first, second))
    link = np.concatenate(links)
    if not len(link):
        return link
    from scipy.sparse.csgraph import connected_components  # takes long to load

    # Where pairs meet, several nodes are one.
    nodes, ends = np.unique(link, return_inverse=True)
    ends = ends.reshape(-1, 2)
    graph = coo_matrix((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(len(nodes),) * 2)
    _, label = connected_components(graph, directed=False)
    _, lowest = np.unique(label, return_index=True)
    master = nodes[lowest[label]]
    return np.column_stack([nodes, master])[nodes != master]


def ground_nodes(
    device: Device,
    space: Lagrange,
    grounded: Sequence[str],
    pairs: Pairs,
    twins: np.ndarray | None = None,
) -> np.ndarray:
    """One local node in each part of the conductor whose potential nothing else fixes.

    Known to every rank that touches it. The boundaries ``grounded`` fix the potential; with
    ``twins``, as of :func:`twin_nodes`, it has the same unknown at twins.
    """
    out: list[np.ndarray] = [np.empty(0, dtype=np.int64)]
    # Only the node that stands for its twins has an unknown.
    stands: dict[int, int] = {} if twins is None else {int(a): int(b) for a, b in twins}
    for part in parts(device, pairs):
        if part & set(grounded):
            continue
        # The one that lies furthest in some direction: the same for every partition.
        name = next((second for _, second in pairs if second in part), min(part))
        nodes, x = _boundary_nodes(device, space, name)
        lowest = int(nodes[(x @ _DIRECTION[: device.dimension]).argmin()])
        out.append(np.flatnonzero(space.global_nodes == stands.get(lowest, lowest)))
    return np.concatenate(out)


def _boundary_nodes(device: Device, space: Lagrange, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Global nodes of a boundary on all ranks, and their coordinates."""
    local = space.nodes_on(device, name)
    x = space.space.tabulate_dof_coordinates()[local, : device.dimension]
    rows = concatenated(device.comm, space.global_nodes[local])
    x = concatenated(device.comm, x)
    unique, at = np.unique(rows, return_index=True)
    return unique, x[at]


def _matched(
    device: Device,
    pair: tuple[str, str],
    first: tuple[np.ndarray, np.ndarray],
    second: tuple[np.ndarray, np.ndarray],
) -> np.ndarray:
    (nodes, x), (others, y) = first, second
    shift = y.min(axis=0) - x.min(axis=0)
    reason = ""
    if np.abs(np.ptp(x, axis=0) - np.ptp(y, axis=0)).max() > _MATCH * device.extent:
        reason = "one is no translated copy of the other"
    elif len(nodes) != len(others):
        reason = f"they have {len(nodes)} and {len(others)} nodes"
    else:
        distance, at = cKDTree(y).query(x + shift)
        far = distance > _MATCH * device.extent
        if far.any():
            where = x[far][0] / device.length_unit
            reason = f"the node at ({', '.join(f'{v:.6g}' for v in where)}) has no counterpart"
        elif len(np.unique(at)) < len(at):
            reason = "two nodes have the same counterpart"
    if reason:
        kind = "Curve" if device.dimension == 2 else "Surface"
        raise GeometryError(
            f"{device.source}: the meshes of the periodic boundaries '{pair[0]}' and '{pair[1]}'"
            f" do not match: {reason}; in Gmsh: Periodic {kind} {{right}} = {{left}} Translate"
            " {period, 0, 0};"
        )
    return np.column_stack([nodes, others[at]])
