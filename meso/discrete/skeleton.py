"""Unknowns on vertices and edges of triangles, and their symmetric matrices.

The unknowns of one vertex or edge are numbered one after the other, so that a matrix is one of
blocks: an entry of an element matrix has its place in it by the start of its block. Matrices are
added up without sorting.
"""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix

from meso.device import Device
from meso.discrete import loops
from meso.discrete.cells import Lagrange, cells_of, of_device
from meso.discrete.dissection import dissection, fronts, halved
from meso.discrete.unknowns import Numbering, number_field

#: Vertices and edges that the factorisation may order by itself.
SMALL = 1000


@of_device
def parts(device: Device) -> np.ndarray:
    """The parts of the cells of this rank, in 2D, see :func:`halved`."""
    cells, topology = cells_of(device), device.mesh.topology
    topology.create_connectivity(2, 1)
    centres = cells.positions(np.arange(cells.count), np.full((1, 2), 1 / 3))[:, 0]
    return halved(centres, topology.connectivity(2, 1).array.reshape(-1, 3)[: cells.count])


def node_fronts(
    device: Device, space: Lagrange, numbers: Numbering
) -> tuple[np.ndarray, np.ndarray] | None:
    """Order and fronts of the numbers of a field on this rank, in 2D."""
    if device.dimension == 3:
        return None
    every = np.arange(cells_of(device).count)
    return fronts(parts(device), numbers.size, (every, numbers.nodes[space.dofs]))


class Skeleton:
    """The unknowns of a vector field that are not inside cells.

    On one rank they are ordered by nested dissection, unless they are few.

    Args:
        device: The device.
        space: Space of the components.
        keep: Nodes with an unknown, the same on all ranks.
        twins: Pairs of nodes that are one.
        components: Number of components.
        together: Cells (m,) and nodes (m, n) that matrices couple to each other, cell or not.

    Attributes:
        nodes: First unknown at each node of this rank, -1 where there are none.
        rows: Unknowns of each cell, node by node, -1 where there are none, shape (c, n).
        to_global: PETSc row of each unknown.
        owned: Number of rows of this rank.
        total: Number of rows of all ranks.
        entity: Vertex or edge of each unknown, in ascending order.
        of_cell: Vertices and edges of each cell, -1 without unknowns, shape (c, e).
        local: Which of these each row of a cell belongs to, shape (n,).
        entities: Number of vertices and edges.
        blocks: Those of them that are coupled, i n + j with i <= j < n, in ascending order.
        ordered: Whether the order is one of elimination.
    """

    def __init__(
        self,
        device: Device,
        space: Lagrange,
        keep: np.ndarray,
        twins: np.ndarray,
        components: int,
        together: tuple[np.ndarray, np.ndarray],
    ) -> None:
        self.comm = device.comm
        numbers = number_field(space, keep, twins=twins)
        entities = [own for level in space.element.entity_dofs[:2] for own in level if own]
        at = [numbers.nodes[space.dofs[:, own]] for own in entities]
        # An edge is known by its lowest number, also where it has a twin.
        first = np.stack([own.min(axis=1) for own in at], axis=1)
        known, flat = np.unique(first, return_inverse=True)
        found = flat.reshape(first.shape) - int(known[:1].sum() < 0)
        count = int(found.max(initial=-1)) + 1
        owner = np.full(numbers.size + 1, -1)
        for entity, own in enumerate(at):
            there = found[:, entity] >= 0
            owner[own[there]] = found[there, entity, None]
        place = np.arange(count)
        self.ordered = self.comm.size == 1 and count > SMALL
        if self.ordered:
            more = together[0], owner[numbers.nodes[together[1]]]
            every = np.arange(len(found)), found
            place = dissection(parts(device), count, every, more)
        place = np.append(place, -1)
        self.of_cell, owner = place[found], place[owner]
        groups = self.of_cell, owner[numbers.nodes[together[1]]]
        self.entities = count
        self.blocks = np.unique(np.concatenate([_pairs(each, count) for each in groups]))
        owner = owner[:-1]
        by = np.argsort(owner, kind="stable")
        self.entity = np.repeat(owner[by], components)
        which = np.concatenate([np.full(len(own), i) for i, own in enumerate(entities)])
        self.local = np.repeat(which[np.argsort(np.concatenate(entities))], components)
        new = np.empty(numbers.size + 1, dtype=np.int64)
        new[by], new[-1] = components * np.arange(numbers.size), -1
        self.nodes = new[numbers.nodes]
        here = self.nodes[space.dofs[:, space.outer]][..., None]
        rows = np.where(here >= 0, here + np.arange(components), -1)
        self.rows = rows.reshape(len(rows), components * space.outer.stop).astype(np.int32)
        to_global = components * numbers.to_global[by][:, None] + np.arange(components)
        self.to_global = to_global.ravel().astype(np.int32)
        if self.comm.size == 1:
            self.to_global = np.arange(self.size, dtype=np.int32)
        self.owned = components * int(np.diff(numbers.starts)[self.comm.rank])
        self.total = components * numbers.total

    @property
    def size(self) -> int:
        """Number of unknowns of this rank."""
        return len(self.to_global)

    @property
    def entries(self) -> int:
        """Entries of the upper triangle of a matrix."""
        sizes = np.bincount(self.entity, minlength=self.entities)
        row, column = np.divmod(self.blocks, self.entities)
        return int((sizes[row] * sizes[column]).sum() - (sizes * (sizes - 1) // 2).sum())


class Sums:
    """Upper triangles of two matrices of one pattern, added up: without and with a penalty."""

    def __init__(self, skeleton: Skeleton) -> None:
        self._skeleton, owner, n = skeleton, skeleton.entity, skeleton.entities
        sizes = np.bincount(owner, minlength=n)
        first = np.concatenate([[0], np.cumsum(sizes)])
        row, column = np.divmod(skeleton.blocks, n)
        width = sizes[column]
        ends = np.concatenate([[0], np.cumsum(width)])
        before = ends[np.searchsorted(row, np.arange(n + 1))]
        inside = np.arange(skeleton.size) - first[owner]
        length = np.diff(before)[owner] - inside
        indptr = np.concatenate([[0], np.cumsum(length)])
        columns = _ranges(first[column], width)
        # The row of an unknown has what the first row of its entity has, from its diagonal on.
        self.pattern = indptr, columns[_ranges(before[owner] + inside, length)]
        self._values = [np.zeros(indptr[-1]) for _ in range(2)]

    def add(
        self, cells: np.ndarray, matrices: np.ndarray, flux: np.ndarray, penalty: np.ndarray
    ) -> None:
        """Add matrices of cells, (c, n, n), to both, and flux flux^T / penalty to the second.

        ``flux`` is (c, n), ``penalty`` (c,); further columns of the matrices are ignored.
        """
        s = self._skeleton
        given = matrices, flux, penalty, s.rows[cells], s.local
        loops.scatter(self._values, *given, self.pattern)

    def penalise(self, constraints: csr_matrix, penalty: np.ndarray, apart: int) -> None:
        """Add C^T D^-1 C to the matrix with the penalty, of the rows of C from ``apart`` on."""
        loops.penalise(self._values[-1], constraints, penalty, apart, self.pattern)

    def pop(self) -> csr_matrix:
        """The first matrix of those that are left, in the numbers of this rank."""
        values, (indptr, indices) = self._values.pop(0), self.pattern
        if not self._values:  # nothing else is kept while the matrix is factorised
            del self.pattern
        return csr_matrix((values, indices, indptr), shape=(self._skeleton.size,) * 2)


def _ranges(starts: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Numbers from each start on, one range after the other."""
    before = np.cumsum(counts) - counts
    out = np.repeat((starts - before).astype(np.int32), counts)
    out += np.arange(len(out), dtype=np.int32)
    return out


def _pairs(groups: np.ndarray, count: int) -> np.ndarray:
    """Each two i <= j of groups (g, k), with themselves, as i count + j; without those < 0."""
    p, q = np.triu_indices(groups.shape[1])
    one, other = groups[:, p], groups[:, q]
    low = np.minimum(one, other)
    return (low * count + np.maximum(one, other))[low >= 0]
