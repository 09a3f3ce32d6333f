"""Unknowns on vertices and edges of triangles, and their symmetric matrices.

The unknowns of one vertex or edge are numbered one after the other, so that a matrix is one of
blocks: an entry of an element matrix has its place in it by the start of its block. Matrices are
added up without sorting.
"""

from __future__ import annotations

import numpy as np
from petsc4py import PETSc
from scipy.sparse import csr_matrix, triu

from meso.device import Device
from meso.discrete.cells import Lagrange
from meso.discrete.solvers import free
from meso.discrete.unknowns import number_field


class Skeleton:
    """The unknowns of a vector field that are not inside cells.

    On one rank they are ordered by nested dissection.

    Args:
        device: The device.
        space: Space of the components.
        keep: Nodes with an unknown, the same on all ranks.
        twins: Pairs of nodes that are one.
        components: Number of components.
        together: Nodes that a matrix will couple beside those of cells, shape (m, n).

    Attributes:
        nodes: First unknown at each node of this rank, -1 where there are none.
        rows: Unknowns of each cell, node by node, -1 where there are none, shape (c, n).
        to_global: PETSc row of each unknown.
        owned: Number of rows of this rank.
        total: Number of rows of all ranks.
        entity: Vertex or edge of each unknown, in ascending order.
        of_cell: Vertices and edges of each cell, -1 without unknowns, shape (c, e).
        local: Which of these each row of a cell belongs to, shape (n,).
        graph: Which of them share a cell, with higher ones and themselves.
    """

    def __init__(
        self,
        device: Device,
        space: Lagrange,
        keep: np.ndarray,
        twins: np.ndarray,
        components: int,
        together: np.ndarray,
    ) -> None:
        self.comm = device.comm
        numbers = number_field(space, keep, twins=twins)
        layout = space.space.dofmap.dof_layout
        lists = [layout.entity_dofs(d, i) for d in range(2) for i in range(3)]
        entities = [own for own in lists if len(own)]
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
        graph, order = _neighbours(found, count), np.arange(count)
        if self.comm.size == 1:
            links = _neighbours(owner[numbers.nodes[together]], count)
            order = _dissection((graph + links).tocsr())
        self.graph = triu(graph[order][:, order], format="csr")
        self.graph.sort_indices()
        position = np.empty(count + 1, dtype=np.int64)
        position[order], position[-1] = np.arange(count), -1
        self.of_cell, owner = position[found], position[owner[:-1]]
        by = np.argsort(owner, kind="stable")
        self.entity = np.repeat(owner[by], components)
        which = np.concatenate([np.full(len(own), i) for i, own in enumerate(entities)])
        self.local = np.repeat(which[np.argsort(np.concatenate(entities))], components)
        new = np.empty(numbers.size + 1, dtype=np.int64)
        new[by], new[-1] = components * np.arange(numbers.size), -1
        self.nodes = new[numbers.nodes]
        here = self.nodes[space.dofs[:, space.outer]][..., None]
        rows = np.where(here >= 0, here + np.arange(components), -1)
        self.rows = rows.reshape(len(rows), -1).astype(np.int32)
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


class Sums:
    """Upper triangles of symmetric matrices of one pattern, added up from element matrices."""

    def __init__(self, skeleton: Skeleton, count: int) -> None:
        self._skeleton, graph, owner = skeleton, skeleton.graph, skeleton.entity
        sizes = np.bincount(owner, minlength=graph.shape[0])
        self._first = first = np.concatenate([[0], np.cumsum(sizes)])
        width = sizes[graph.indices]
        ends = np.cumsum(width)
        before = np.concatenate([[0], ends])[graph.indptr]
        #: Where blocks start in the first row of their entity.
        self._start = ends - width - np.repeat(before[:-1], np.diff(graph.indptr))
        inside = np.arange(skeleton.size) - first[owner]
        length = np.diff(before)[owner] - inside
        self.indptr = np.concatenate([[0], np.cumsum(length)])
        columns = np.repeat(first[graph.indices] - (ends - width), width)
        columns = (columns + np.arange(len(columns))).astype(np.int32)
        # The row of an unknown has what the first row of its entity has, from its diagonal on.
        shift = before[owner] + inside - self.indptr[:-1]
        self.indices = columns[np.repeat(shift, length) + np.arange(self.indptr[-1])]
        self._row = self.indptr[:-1] - inside
        row = np.repeat(np.arange(graph.shape[0]), np.diff(graph.indptr))
        self._blocks = row * graph.shape[0] + graph.indices
        self._values = np.zeros((count, self.indptr[-1] + 1))

    def add(self, cells: np.ndarray, *matrices: np.ndarray) -> None:
        """Add matrices of cells, shape (c, n, n), one to each sum."""
        s, rows, entities = self._skeleton, self._skeleton.rows[cells], self._skeleton.of_cell
        p, q = np.triu_indices(entities.shape[1])
        one, other = entities[cells][:, p], entities[cells][:, q]
        low, high = np.minimum(one, other), np.maximum(one, other)
        block = np.searchsorted(self._blocks, low * s.graph.shape[0] + high)
        start = np.where(low < 0, 0, self._start[block] - self._first[high])
        pair = np.zeros((entities.shape[1],) * 2, dtype=np.int64)
        pair[p, q] = pair[q, p] = np.arange(len(p))
        n = rows.shape[1]
        i, j = np.triu_indices(n)
        a, b = rows.take(i, axis=1), rows.take(j, axis=1)
        slots = start.take(pair[s.local[i], s.local[j]], axis=1)
        low, high = np.minimum(a, b), np.maximum(a, b)
        slots += self._row[low]
        slots += high
        slots[low < 0] = -1
        twice = (a == b) & (i != j)
        for values, matrix in zip(self._values, matrices, strict=True):
            own = matrix.reshape(len(matrix), -1).take(i * n + j, axis=1)
            # Nodes of a cell may be twins: their coupling counts on both sides of the diagonal.
            own[twice] *= 2
            np.add.at(values, slots.ravel(), own.ravel())

    def matrix(self, which: int) -> csr_matrix:
        """One of the sums, in the numbers of this rank."""
        shape = (self._skeleton.size,) * 2
        return csr_matrix((self._values[which, :-1], self.indices, self.indptr), shape=shape)


def _neighbours(of_cell: np.ndarray, count: int) -> csr_matrix:
    """Which entities share a cell."""
    keep = of_cell >= 0
    pointer = np.concatenate([[0], np.cumsum(keep.sum(axis=1))])
    ones = np.ones(pointer[-1], dtype=np.int32)
    incidence = csr_matrix((ones, of_cell[keep], pointer), shape=(len(of_cell), count))
    return (incidence.T @ incidence).tocsr()


def _dissection(graph: csr_matrix) -> np.ndarray:
    """The order of elimination that nested dissection finds."""
    csr = graph.indptr, graph.indices, np.ones(graph.nnz)
    matrix = PETSc.Mat().createAIJ(graph.shape, csr=csr, comm=PETSc.COMM_SELF)
    rows, columns = matrix.getOrdering(PETSc.Mat.OrderingType.ND)
    order = np.array(rows.indices)
    free(matrix, rows, columns)
    return order
