"""How the nodes of a device move while a part of its boundary moves outwards along its normals.

At a corner both walls say where it goes: it slides along the one that stays. Along a wall nodes
follow its ends, so that cells at a corner are not torn apart, however small they are: next to a
sharp corner the derivatives at single nodes grow without bound, and only smooth motions have one.
"""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_matrix, diags
from scipy.sparse.linalg import splu

from meso import _compat
from meso.device import Device
from meso.discrete.cells import cells_of, facet_geometry, facet_points, lagrange, of_device
from meso.discrete.extension import extended
from meso.gradients.motion import moving_nodes
from meso.mpi import concatenated, on_root

#: Normals whose angle has a smaller sine are those of one smooth boundary.
_SMOOTH = 0.05
#: What holds nodes of closed walls, which have no ends to follow.
_HELD = 1e-9


@of_device
def outward(device: Device, parts: tuple[int, ...]) -> np.ndarray:
    """Velocities of the geometry nodes of this rank as parts of the boundary move outwards.

    All ranks call this. A part has unit speed along its normals, all others none.

    Args:
        device: The device.
        parts: Of each of ``device.pieces``, which part it belongs to, from 0 on.

    Returns:
        Shape (parts, n, d).
    """
    cells, nodes = cells_of(device), _compat.geometry(device.mesh)[1]
    facets, on = device.facets, lagrange(device, cells.degree).on_facet
    rows = nodes[facets.cell[:, None], on[facets.local]]
    normals = np.zeros((*rows.shape, device.dimension))
    corners = facet_points(np.eye(device.dimension)[:, 1:])
    for local, corner in enumerate(corners):
        here = facets.local == local
        at = (cells.element.points[on[local]] - corner[0]) @ np.linalg.pinv(corner[1:] - corner[0])
        place = facet_geometry(cells, facets.cell[here], facets.local[here], at)
        normals[here] = place.normal
    numbers = device.mesh.geometry.index_map().local_to_global(rows.ravel().astype(np.int32))
    x = device.mesh.geometry.x
    own = (numbers.reshape(rows.shape), facets.piece, x[rows, : device.dimension], normals)
    whole = [concatenated(device.comm, each) for each in own]
    used, moves = on_root(device.comm, lambda: _on_boundary(np.array(parts), *whole))
    known = np.full((len(x), max(parts) + 1, device.dimension), np.nan)
    known[moving_nodes(device)] = 0.0  # between regions
    every = device.mesh.geometry.index_map().local_to_global(np.arange(len(x), dtype=np.int32))
    at = np.minimum(np.searchsorted(used, every), len(used) - 1)
    found = used[at] == every
    known[found] = moves[at[found]]
    out = extended(device, known.reshape(len(x), -1)).reshape(known.shape)
    return np.ascontiguousarray(out.swapaxes(0, 1))


def _on_boundary(
    part: np.ndarray, numbers: np.ndarray, piece: np.ndarray, x: np.ndarray, normals: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Nodes on the boundary, sorted, and their velocities, (n, parts, d)."""
    used, node = np.unique(numbers, return_inverse=True)
    node = node.reshape(numbers.shape)
    # Each node once for each of its pieces, with the mean normal there.
    key = node * len(part) + piece[:, None]
    keys, member = np.unique(key, return_inverse=True)
    mean = np.zeros((len(keys), x.shape[2]))
    np.add.at(mean, member.ravel(), normals.reshape(-1, x.shape[2]))
    mean /= np.linalg.norm(mean, axis=1, keepdims=True)
    owner = keys // len(part)
    wanted = np.eye(part.max() + 1)[part[keys % len(part)]]  # (keys, parts)
    moves = np.zeros((len(used), wanted.shape[1], x.shape[2]))
    starts = np.searchsorted(owner, np.arange(len(used) + 1))
    ends = np.flatnonzero(np.diff(starts) > 1)
    for n in ends:
        own = np.s_[starts[n] : starts[n + 1]]
        moves[n] = (np.linalg.pinv(mean[own], rcond=_SMOOTH) @ wanted[own]).T
    inside = np.setdiff1d(np.arange(len(used)), ends)
    follow = _following(node, x, inside, moves)
    normal, speed = mean[starts[inside]][:, None], wanted[starts[inside]][..., None]
    moves[inside] = follow + (speed - (follow * normal).sum(axis=2, keepdims=True)) * normal
    return used, moves


def _following(
    node: np.ndarray, x: np.ndarray, inside: np.ndarray, moves: np.ndarray
) -> np.ndarray:
    """What nodes inside of walls take over from the ends, in proportion to the distance."""
    m, count = node.shape[1], len(moves)
    first, second = np.triu_indices(m, 1)
    distance = np.linalg.norm(x[:, first] - x[:, second], axis=2).ravel()
    pair = node[:, first].ravel(), node[:, second].ravel()
    graph = coo_matrix((1 / distance, pair), shape=(count, count)).tocsr()
    graph = graph + graph.T
    held = np.bincount(np.concatenate(pair), np.tile(distance, 2), minlength=count)
    held *= _HELD / np.ptp(x, axis=(0, 1)).max() ** 2
    matrix = (diags(np.asarray(graph.sum(axis=1)).ravel() + held) - graph).tocsr()
    right = -(matrix[inside] @ moves.reshape(count, -1))
    found = splu(matrix[inside][:, inside].tocsc()).solve(right) if len(inside) else right
    return np.asarray(found.reshape(-1, *moves.shape[1:]))
