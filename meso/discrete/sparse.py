"""Sparse matrices over all ranks from element matrices, in blocks.

A matrix is filled batch by batch into a pattern that is known beforehand, so that nothing but the
matrix itself takes memory.
"""

from __future__ import annotations

import numpy as np
from mpi4py import MPI
from petsc4py import PETSc
from scipy.sparse import csr_matrix

from meso.discrete.unknowns import Numbering


class Rows:
    """Rows or columns of matrices: a numbered field, in blocks.

    Args:
        numbering: The field.
        comm: Communicator.
        block: Components of the field.
    """

    def __init__(self, numbering: Numbering, comm: MPI.Comm, block: int = 1) -> None:
        self.numbering, self.comm, self.block = numbering, comm, block
        starts = numbering.starts
        self.owned = int(starts[comm.rank + 1] - starts[comm.rank])
        self.total = numbering.total
        rows = numbering.to_global.astype(np.int32)
        self.map = PETSc.LGMap().create(rows, bsize=block, comm=comm)
        self._rows = rows

    @property
    def shape(self) -> tuple[int, int]:
        """Scalar rows of this rank and of all."""
        return self.block * self.owned, self.block * self.total

    def vector(self) -> PETSc.Vec:
        """A zero vector."""
        vector = PETSc.Vec().createMPI(self.shape, bsize=self.block, comm=self.comm)
        vector.set(0.0)
        return vector

    def gather(self, local: np.ndarray) -> PETSc.Vec:
        """Sum of what all ranks contribute at their local numbers, (n, block) or (n,)."""
        vector = self.vector()
        if self.comm.size == 1:
            vector.array[:] = local.ravel()
            return vector
        rows = self.block * self._rows[:, None] + np.arange(self.block, dtype=np.int32)
        vector.setValues(rows.ravel(), local.ravel(), addv=PETSc.InsertMode.ADD_VALUES)
        vector.assemble()
        return vector

    def spread(self, vector: PETSc.Vec) -> np.ndarray:
        """Values at this rank's local numbers, shape (n, block)."""
        if self.comm.size == 1:
            return np.array(vector.array).reshape(-1, self.block)
        rows = self.block * self._rows[:, None] + np.arange(self.block, dtype=np.int32)
        wanted = PETSc.IS().createGeneral(rows.ravel(), comm=PETSc.COMM_SELF)
        local = PETSc.Vec().createSeq(rows.size)
        scatter = PETSc.Scatter().create(vector, wanted, local, None)
        scatter.scatter(vector, local)
        return np.array(local.array).reshape(-1, self.block)


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
        diagonal, off = self._counts()
        mat = PETSc.Mat().create(rows.comm)
        mat.setSizes((rows.shape, columns.shape))
        if self.blocked:
            mat.setBlockSize(rows.block)
            mat.setType(PETSc.Mat.Type.BAIJ)
        else:
            mat.setType(PETSc.Mat.Type.AIJ)
            diagonal, off = (np.repeat(x * columns.block, rows.block) for x in (diagonal, off))
        most = columns.shape[0], columns.shape[1] - columns.shape[0]
        if self.blocked:
            most = most[0] // rows.block, most[1] // rows.block
        mat.setPreallocationNNZ((np.minimum(diagonal, most[0]), np.minimum(off, most[1])))
        # Of a rank without rows PETSc would not know it, and exchange more than others do.
        mat.setOption(PETSc.Mat.Option.NEW_NONZERO_ALLOCATION_ERR, True)
        mat.setLGMap(rows.map, columns.map)
        self.mat = mat

    def _counts(self) -> tuple[np.ndarray, np.ndarray]:
        """Blocks in each row of this rank: in its own columns, and in those of others."""
        rows, columns = self.rows, self.columns
        pattern = _incidence(self._numbers[0], rows.numbering.size).T @ _incidence(
            self._numbers[1], columns.numbering.size
        )
        pattern = pattern.tocsr()
        first, last = (int(columns.numbering.starts[columns.comm.rank + i]) for i in (0, 1))
        to_row, to_column = rows.numbering.to_global, columns.numbering.to_global
        mine = (to_column[pattern.indices] >= first) & (to_column[pattern.indices] < last)
        start = int(rows.numbering.starts[rows.comm.rank])
        within = to_row - start
        own = (within >= 0) & (within < rows.owned)
        counts = np.zeros((2, rows.owned), dtype=np.int64)
        inside = np.concatenate([[0], np.cumsum(mine)])[pattern.indptr]
        whole = np.diff(pattern.indptr)
        here = np.diff(inside)
        np.add.at(counts[0], within[own], here[own])
        np.add.at(counts[1], within[own], (whole - here)[own])
        if rows.comm.size > 1:
            # Rows of other ranks: their owners make room, more than needed at worst.
            per_entry = np.repeat(np.arange(len(whole)), whole)
            away = ~own[per_entry]
            pairs = np.column_stack(
                [to_row[per_entry[away]], to_column[pattern.indices[away]]]
            ).astype(np.int64)
            owner = np.searchsorted(rows.numbering.starts, pairs[:, 0], side="right") - 1
            order = np.argsort(owner, kind="stable")
            parts = np.split(pairs[order], np.searchsorted(owner[order], range(1, rows.comm.size)))
            for part in rows.comm.alltoall(parts):
                near = (part[:, 1] >= first) & (part[:, 1] < last)
                for i, chosen in enumerate((near, ~near)):
                    counts[i] += np.bincount(part[chosen, 0] - start, minlength=rows.owned)
        return counts[0].astype(np.int32), counts[1].astype(np.int32)

    def add(self, cells: np.ndarray, values: np.ndarray) -> None:
        """Add element matrices.

        Args:
            cells: Cells, shape (c,).
            values: Shape (c, m, n), with blocks (c, m, row block, n, column block).
        """
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
