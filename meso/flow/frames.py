"""Local frames at walls: the normal is one of the directions that a vector is divided into.

Walls act on the normal component alone. A preconditioner that treats the components of a vector
field one by one needs them along and across the walls, wherever these point.
"""

from __future__ import annotations

from itertools import permutations

import numpy as np

from meso.discrete.sparse import Rows
from meso.flow.discretisation import Discretisation, trace

# A wall node has one normal if the second eigenvalue of its mean n n^T is below this times the
# first (a curved wall), else two or three (an edge, a corner of the device).
_ONE_NORMAL = 0.05


def wall_frames(discrete: Discretisation, rows: Rows, numbers: np.ndarray) -> np.ndarray:
    """Directions of the components (columns) at the nodes of a vector field, shape (n, d, d).

    The same on all ranks, the unit matrix away from walls. ``rows`` are the nodes as d^2 numbers
    each, ``numbers`` the local number of the nodes of each cell, -1 for none, shape (c, p).
    """
    d = discrete.cells.dimension
    normals = np.zeros((rows.numbering.size, d * d))
    walls = discrete.facets(lambda law: law.impenetrable)
    for facets in discrete.batches(walls, 1000):
        geometry = discrete.geometry(facets)
        value, n = trace(geometry, discrete.vector), geometry.normal
        outer = (n[..., :, None] * n[..., None, :]).reshape(*n.shape[:2], d * d)
        squares = (geometry.weight[..., None] * value**2).swapaxes(1, 2) @ outer
        at = numbers[facets.cell[:, None], discrete.vector.on_facet[facets.local]]
        np.add.at(normals, at[at >= 0], squares[at >= 0])
    squares = rows.spread(rows.gather(normals)).reshape(-1, d, d)
    frames = np.tile(np.eye(d), (len(squares), 1, 1))
    touched = np.flatnonzero(np.trace(squares, axis1=1, axis2=2) > 0)
    value, direction = np.linalg.eigh(squares[touched])
    single = value[:, -2] < _ONE_NORMAL * value[:, -1]
    frames[touched[single]] = _turned(direction[single, :, -1])
    frames[touched[~single]] = _sorted(direction[~single])
    return frames


def in_frames(
    frames: np.ndarray, numbers: np.ndarray, matrix: np.ndarray, flux: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Matrices of cells with components in frames, (c, p, d, p, d) and (c, q, p, d).

    From ones on components along the axes, node by node, (c, p d, p d) and (c, q, p d), and the
    local numbers of the nodes, (c, p).
    """
    (c, p), d = numbers.shape, frames.shape[1]
    matrix, flux = matrix.reshape(c, p, d, p, d).copy(), flux.reshape(c, -1, p, d).copy()
    turned = (frames != np.eye(d)).any(axis=(1, 2))
    here = np.flatnonzero((turned[numbers] & (numbers >= 0)).any(axis=1))
    own = frames[numbers[here]]
    rows = own.swapaxes(2, 3) @ matrix[here].reshape(-1, p, d, p * d)
    columns = rows.reshape(-1, p * d, p, d).swapaxes(1, 2) @ own
    matrix[here] = columns.swapaxes(1, 2).reshape(-1, p, d, p, d)
    flux[here] = (flux[here].swapaxes(1, 2) @ own).swapaxes(1, 2)
    return matrix, flux


def _turned(normal: np.ndarray) -> np.ndarray:
    """Smallest rotations that take an axis to the line of each normal, shape (m, d, d)."""
    count, d = normal.shape
    axis = np.abs(normal).argmax(axis=1)
    each = np.arange(count)
    n = normal * np.sign(normal[each, axis])[:, None]
    e = np.eye(d)[axis]
    # R = 1 + K + K^2/(1 + e.n) with K = n e^T - e n^T
    K = n[:, :, None] * e[:, None, :] - e[:, :, None] * n[:, None, :]
    return np.eye(d) + K + K @ K / (1 + n[each, axis])[:, None, None]


def _sorted(directions: np.ndarray) -> np.ndarray:
    """Orthonormal columns, put where their entries are largest, shape (m, d, d)."""
    axes = np.arange(directions.shape[1])
    orders = np.array(list(permutations(axes)))
    best = np.abs(directions[:, axes, orders]).sum(axis=2).argmax(axis=1)
    return np.take_along_axis(directions, orders[best][:, None], axis=2)
