"""Stars of vertices: an additive Schwarz smoother for elements of any degree in 2D.

A star is a vertex with what is inside the edges that end there (what is inside cells has been
eliminated). The matrices of all stars are inverted, and their solutions added. Three stars share
a cell, so that no eigenvalue of the product with the matrix exceeds three.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from petsc4py import PETSc

from meso.discrete.cells import Lagrange
from meso.discrete.solvers import free
from meso.discrete.sparse import Rows
from meso.discrete.unknowns import Numbering

# Numbers that one batch of matrices may hold.
_BATCH = 4_000_000


def star_nodes(space: Lagrange) -> np.ndarray:
    """Nodes of a triangle in the star of each of its vertices, shape (3, m)."""
    inside = [[node for node in nodes if node >= 3] for nodes in space.on_facet.tolist()]
    return np.array([[v, *inside[v - 2], *inside[v - 1]] for v in range(3)])


class Stars:
    """The smoother, of the stars of this rank's vertices.

    Inverses are kept in single precision: they are a part of a preconditioner.

    Args:
        rows: The vector field.
        vertices: Numbers of all vertices.
        vertex: Local number of the vertex of each part of a star in a cell, shape (c,).
        nodes: Local numbers of the nodes in these parts, -1 for none, shape (c, m).
        matrices: What the cells add to the matrices of the stars, shape (c, m b, m b) with b
            components.
    """

    def __init__(
        self,
        rows: Rows,
        vertices: Numbering,
        vertex: np.ndarray,
        nodes: np.ndarray,
        matrices: np.ndarray,
    ) -> None:
        self.rows = rows
        numbering = rows.numbering
        nodes = np.where(nodes < 0, -1, numbering.to_global[nodes])
        parts = _brought_together(
            rows, vertices.starts, vertices.to_global[vertex], nodes, matrices
        )
        self.needed, self._groups = np.empty(0, dtype=np.int64), []
        if len(parts[0]):
            self.needed, stars = _stars(parts[0], parts[1], numbering.total)
            self._groups = [
                (_expanded(unknowns, rows.block), _inverses(*members, parts[2], rows.block))
                for unknowns, members in stars
            ]
        wanted = _expanded(self.needed, rows.block).astype(np.int32)
        self._local = PETSc.Vec().createSeq(len(wanted))
        whole = PETSc.Vec().createMPI(rows.shape, comm=rows.comm)
        indices = PETSc.IS().createGeneral(wanted, comm=PETSc.COMM_SELF)
        self._scatter = PETSc.Scatter().create(whole, indices, self._local, None)
        free(whole, indices)

    def apply(self, x: PETSc.Vec, y: PETSc.Vec) -> None:
        """Sum of the solutions in all stars."""
        self._scatter.scatter(x, self._local)
        values = self._local.array_r.astype(np.float32)
        out = np.zeros(len(values))
        for unknowns, inverse in self._groups:
            part = (inverse @ values[unknowns][..., None]).ravel()
            out += np.bincount(unknowns.ravel(), weights=part, minlength=len(out))
        self._local.array[:] = out
        y.set(0.0)
        add, back = PETSc.InsertMode.ADD_VALUES, PETSc.ScatterMode.REVERSE
        self._scatter.scatter(self._local, y, addv=add, mode=back)

    def close(self) -> None:
        """Free it, on all ranks together."""
        free(self._scatter, self._local)


#: Stars of equal size in the order of vertices: number of the first, parts of them with the
#: place of each node (-1 for none).
Members = tuple[int, int, np.ndarray, np.ndarray, np.ndarray]


def _brought_together(rows: Rows, starts: np.ndarray, *parts: np.ndarray) -> tuple[np.ndarray, ...]:
    """Parts of stars where their vertices belong."""
    comm = rows.comm
    if comm.size == 1:
        return parts
    owner = np.searchsorted(starts, parts[0], side="right") - 1
    away = [np.flatnonzero((owner == r) & (r != comm.rank)) for r in range(comm.size)]
    come = comm.alltoall([tuple(part[here] for part in parts) for here in away])
    own = tuple(part[owner == comm.rank] for part in parts)
    return tuple(np.concatenate(part) for part in zip(own, *come, strict=True))


def _stars(
    vertex: np.ndarray, nodes: np.ndarray, total: int
) -> tuple[np.ndarray, list[tuple[np.ndarray, Members]]]:
    """Nodes that occur; for stars of equal size: places among those, (s, n), and the members."""
    _, star = np.unique(vertex, return_inverse=True)
    keys = np.where(nodes < 0, -1, star[:, None] * total + nodes)
    entries, place = np.unique(np.append(keys.ravel(), -1), return_inverse=True)
    owner, node = np.divmod(entries[1:], total)
    place = place[:-1].reshape(keys.shape) - 1
    size = np.bincount(owner, minlength=star.max() + 1)
    first = np.cumsum(size) - size
    place = np.where(place < 0, -1, place - first[star][:, None])
    needed, local = np.unique(node, return_inverse=True)
    out, number = [], np.empty(len(size), dtype=np.int64)
    for n in np.unique(size[size > 0]):
        chosen = np.flatnonzero(size == n)
        number[chosen] = np.arange(len(chosen))
        parts = np.flatnonzero(size[star] == n)
        parts = parts[np.argsort(number[star[parts]], kind="stable")]
        members = len(chosen), int(n), number[star[parts]], parts, place[parts]
        out.append((local[first[chosen][:, None] + np.arange(n)], members))
    return needed, out


def _inverses(
    count: int,
    size: int,
    star: np.ndarray,
    parts: np.ndarray,
    place: np.ndarray,
    matrices: np.ndarray,
    block: int,
) -> np.ndarray:
    """Inverted matrices of stars, shape (count, size block, size block)."""
    m, wide = size * block, (size + 1) * block  # one node more for what is none
    out = np.empty((count, m, m), dtype=np.float32)
    for first, last in _steps(count, wide**2):
        here = slice(*np.searchsorted(star, (first, last)))
        at = _expanded(np.where(place[here] < 0, size, place[here]), block)
        row = (star[here] - first)[:, None] * wide + at
        flat = row[:, :, None] * wide + at[:, None, :]
        weights = matrices[parts[here]].ravel()
        dense = np.bincount(flat.ravel(), weights=weights, minlength=(last - first) * wide**2)
        out[first:last] = np.linalg.inv(dense.reshape(-1, wide, wide)[:, :m, :m])
    return out


def _steps(count: int, numbers: int) -> Iterator[tuple[int, int]]:
    step = max(1, _BATCH // numbers)
    for first in range(0, count, step):
        yield first, min(first + step, count)


def _expanded(nodes: np.ndarray, block: int) -> np.ndarray:
    """Numbers of the components of nodes along the last axis."""
    each = block * nodes[..., None] + np.arange(block)
    return each.reshape(*nodes.shape[:-1], nodes.shape[-1] * block)
