"""Sparse matrices over all ranks from element matrices, in blocks.

A matrix is filled batch by batch into a pattern that is known beforehand, so that nothing but the
matrix itself takes memory. Left to PETSc, which then hashes entries, it takes six times as long and
twice the memory (40,000 tetrahedra).
"""

from __future__ import annotations

import numpy as np
from mpi4py import MPI
from petsc4py import PETSc
from scipy.sparse import csr_matrix

from meso.discrete.solvers import gather, spread
from meso.discrete.unknowns import Numbering


class Rows:
    """Rows or columns of matrices: a numbered field, in blocks of components.

    Values are arrays (n, block), node by node; on each rank component by component, (block, n),
    if they are ``apart``.

    Attributes:
        owned: Scalar rows of this rank.
        total: Scalar rows of all ranks.
        size: Scalar rows that this rank touches.
        to_global: Scalar row of each.
    """

    def __init__(
        self, numbering: Numbering, comm: MPI.Comm, block: int = 1, *, apart: bool = False
    ) -> None:
        self.numbering, self.comm, self.block, self.apart = numbering, comm, block, apart
        self.first, last = (block * int(n) for n in numbering.starts[comm.rank : comm.rank + 2])
        self.owned, self.total = last - self.first, block * numbering.total
        rows = numbering.to_global.astype(np.int32)
        components = np.arange(block, dtype=np.int32)
        if apart:
            starts = numbering.starts.astype(np.int32)
            rank = np.searchsorted(starts, rows, side="right") - 1
            first, count = starts[rank], np.diff(starts)[rank]
            own = block * first + components[:, None] * count + (rows - first)
            self.to_global = own.ravel()
            self.map = PETSc.LGMap().create(self.to_global, comm=comm)
        else:
            self.to_global = (block * rows[:, None] + components).ravel()
            self.map = PETSc.LGMap().create(rows, bsize=block, comm=comm)
        self.size = len(self.to_global)

    @property
    def shape(self) -> tuple[int, int]:
        """Scalar rows of this rank and of all."""
        return self.owned, self.total

    def shaped(self, values: np.ndarray) -> np.ndarray:
        """A vector as an array of components."""
        return values.reshape((self.block, -1) if self.apart else (-1, self.block))

    def gather(self, local: np.ndarray) -> PETSc.Vec:
        """Sum of what all ranks contribute at their local numbers, of any shape of these."""
        return gather(self, local.ravel())

    def spread(self, vector: PETSc.Vec) -> np.ndarray:
        """Values at this rank's local numbers."""
        return self.shaped(spread(self, vector))


class BlockMatrix:
    """A matrix that is filled with the element matrices of cells.

    Args:
        rows: Its rows.
        columns: Its columns.
        row_numbers: Local numbers of the rows of each cell, -1 for none, shape (c, m).
        column_numbers: The same of its columns, shape (c, n).
    """

    def __init__(
        self,
        rows: Rows,
        columns: Rows,
        row_numbers: np.ndarray,
        column_numbers: np.ndarray,
    ) -> None:
        self.rows, self.columns = rows, columns
        self._numbers = row_numbers.astype(np.int32), column_numbers.astype(np.int32)
        self.blocked = rows.block == columns.block and rows.block > 1
        # In its own columns, and in those of other ranks.
        most = np.array([[columns.owned], [columns.total - columns.owned]]) // columns.block
        counts = np.minimum(self._counts(), most)
        mat = PETSc.Mat().create(rows.comm)
        mat.setSizes((rows.shape, columns.shape))
        if self.blocked:
            mat.setBlockSize(rows.block)
            mat.setType(PETSc.Mat.Type.BAIJ)
        else:
            mat.setType(PETSc.Mat.Type.AIJ)
            counts = np.repeat(counts * columns.block, rows.block, axis=1)
        mat.setPreallocationNNZ(tuple(counts.astype(np.int32)))
        # Of a rank without rows PETSc would not know it, and exchange more than others do.
        mat.setOption(PETSc.Mat.Option.NEW_NONZERO_ALLOCATION_ERR, True)
        mat.setLGMap(rows.map, columns.map)
        self.mat = mat

    def _counts(self) -> np.ndarray:
        """Blocks in each row of this rank: in its own columns, and in those of others, (2, n)."""
        rows, columns, comm = self.rows, self.columns, self.rows.comm
        pattern = _incidence(self._numbers[0], rows.numbering.size).T @ _incidence(
            self._numbers[1], columns.numbering.size
        )
        pattern = pattern.tocoo()
        row = rows.numbering.to_global[pattern.row]
        column = columns.numbering.to_global[pattern.col]
        # Rows of other ranks: their owners make room, more than needed at worst.
        starts = rows.numbering.starts
        if comm.size > 1:
            owner = np.searchsorted(starts, row, side="right") - 1
            order = np.argsort(owner, kind="stable")
            cuts = np.searchsorted(owner[order], range(1, comm.size))
            parts = np.split(np.column_stack([row, column])[order], cuts)
            row, column = np.concatenate(comm.alltoall(parts)).T
        first, last = columns.numbering.starts[comm.rank : comm.rank + 2]
        near, count = (column >= first) & (column < last), rows.owned // rows.block
        row = row - starts[comm.rank]
        return np.array([np.bincount(row[here], minlength=count) for here in (near, ~near)])

    def add(self, cells: np.ndarray, values: np.ndarray) -> None:
        """Add matrices of cells (c,): (c, m, n), with blocks (c, m, row block, n, column block)."""
        if not len(cells):
            return
        add = PETSc.InsertMode.ADD_VALUES
        rows, columns = (numbers[cells] for numbers in self._numbers)
        flat = np.ascontiguousarray(values).reshape(len(cells), -1)
        if self.blocked:
            self.mat.setValuesBlockedLocalRCV(rows, columns, flat, add)
            return
        rows, columns = _expanded(rows, self.rows.block), _expanded(columns, self.columns.block)
        self.mat.setValuesLocalRCV(rows, columns, flat, add)

    def assembled(self) -> PETSc.Mat:
        """The matrix."""
        self.mat.assemble()
        return self.mat


def _incidence(numbers: np.ndarray, count: int) -> csr_matrix:
    """Cells by unknowns."""
    cells, width = numbers.shape
    keep = numbers.ravel() >= 0
    pointer = np.concatenate([[0], np.cumsum(keep.reshape(cells, width).sum(axis=1))])
    columns = numbers.ravel()[keep]
    ones = np.ones(len(columns), dtype=np.int32)
    return csr_matrix((ones, columns, pointer), shape=(cells, count))


def _expanded(numbers: np.ndarray, block: int) -> np.ndarray:
    """Numbers of the components of blocks."""
    if block == 1:
        return np.ascontiguousarray(numbers)
    out = block * numbers[..., None] + np.arange(block, dtype=np.int32)
    out = np.where(numbers[..., None] < 0, -1, out)
    return np.ascontiguousarray(out.reshape(len(numbers), -1))


def interpolation(
    rows: Rows,
    columns: Rows,
    row_numbers: np.ndarray,
    column_numbers: np.ndarray,
    table: np.ndarray,
) -> BlockMatrix:
    """What takes a field of few unknowns, ``columns``, to one of more, component by component.

    ``table`` are the functions of the few at the nodes of the others in a cell, shape (m, n).
    """
    there, block = row_numbers >= 0, rows.block
    count = np.bincount(row_numbers[there], minlength=rows.numbering.size).astype(float)
    count = rows.spread(rows.gather(np.repeat(count, block)))[:, 0]
    weight = np.where(there, 1.0 / count[row_numbers], 0.0)
    values = np.multiply.outer(weight[:, :, None] * table, np.eye(block))
    out = BlockMatrix(rows, columns, row_numbers, column_numbers)
    out.add(np.arange(len(values)), values.transpose(0, 1, 3, 2, 4))
    return out
