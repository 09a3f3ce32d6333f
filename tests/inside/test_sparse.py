"""Matrices in blocks against dense sums of element matrices: no user sees a matrix."""

from __future__ import annotations

import numpy as np
import pytest
from mpi4py import MPI
from petsc4py import PETSc

from meso.discrete.sparse import BlockMatrix, Rows
from meso.discrete.unknowns import Numbering

COMM = MPI.COMM_SELF


def numbering(size: int) -> Numbering:
    """A field of one rank."""
    return Numbering(
        nodes=np.arange(size),
        extra=np.empty(0, dtype=np.int64),
        to_global=np.arange(size),
        starts=np.array([0, size]),
    )


def dense(matrix: PETSc.Mat) -> np.ndarray:
    return matrix.convert(PETSc.Mat.Type.DENSE).getDenseArray().copy()


def added(shape, rows, columns, values) -> np.ndarray:
    """The same sum, entry by entry; values (c, m, row block, n, column block)."""
    _, m, a, n, b = values.shape
    out = np.zeros((shape[0], a, shape[1], b))
    for c, element in enumerate(values):
        for i in range(m):
            for j in range(n):
                if rows[c, i] >= 0 and columns[c, j] >= 0:
                    out[rows[c, i], :, columns[c, j]] += element[i, :, j]
    return out.reshape(shape[0] * a, shape[1] * b)


@pytest.mark.parametrize(("row_block", "column_block"), [(1, 1), (3, 3), (1, 3)])
def test_sum_of_elements(row_block, column_block):
    """With numbers that are missing, and two nodes of a cell that are one (twins)."""
    random = np.random.default_rng(4)
    rows = np.array([[0, 1, 2], [2, -1, 3], [4, 4, 0]])
    columns = np.array([[0, 5], [-1, 1], [2, 2]])
    if row_block == column_block:
        columns = rows
    sizes = 5, columns.max() + 1
    values = random.normal(size=(3, 3, row_block, columns.shape[1], column_block))
    fields = Rows(numbering(5), COMM, row_block), Rows(numbering(sizes[1]), COMM, column_block)
    matrix = BlockMatrix(*fields, rows, columns)
    # In two batches, the second in another order.
    for batch in ([1], [2, 0]):
        matrix.add(np.array(batch), values[batch])
    found = dense(matrix.assembled())
    # The order of the sums: rounding.
    np.testing.assert_allclose(found, added(sizes, rows, columns, values), rtol=0, atol=1e-14)


def test_vectors():
    """Local values to a PETSc vector and back, in blocks."""
    fields = Rows(numbering(3), COMM, 2)
    assert fields.shape == (6, 6)
    values = np.arange(6.0).reshape(3, 2)
    vector = fields.gather(values)
    np.testing.assert_array_equal(vector.array, np.arange(6.0))
    np.testing.assert_array_equal(fields.spread(vector), values)
