"""Nodal arrays of several columns over all ranks."""

from __future__ import annotations

import numpy as np
from petsc4py import PETSc

from meso.discrete.unknowns import Numbering
from meso.mpi import total


class Layout:
    """Owned rows, which vectors consist of, and the rows a rank touches, which its cells need.

    Args:
        numbering: Numbers of the field.
        comm: Communicator.
    """

    def __init__(self, numbering: Numbering, comm: PETSc.Comm) -> None:
        self.comm, self.size = comm, numbering.size
        self.first = int(numbering.starts[comm.rank])
        self.owned = int(numbering.starts[comm.rank + 1]) - self.first
        self.total = numbering.total
        self.nodes = numbering.nodes
        self.rows = numbering.to_global.astype(np.int32)
        self._scatters: dict[int, tuple[PETSc.Vec, PETSc.Vec, PETSc.Scatter]] = {}

    def spread(self, owned: np.ndarray) -> np.ndarray:
        """Values at all rows of this rank, from the owned ones, shape (size, k)."""
        if self.comm.size == 1:
            return owned
        whole, local, scatter = self._scatter(owned.shape[1])
        whole.array[:] = owned.ravel()
        scatter.scatter(whole, local, mode=PETSc.ScatterMode.FORWARD)
        return np.array(local.array).reshape(self.size, owned.shape[1])

    def gather(self, touched: np.ndarray) -> np.ndarray:
        """Sums of the contributions of all ranks at the owned rows, shape (owned, k)."""
        if self.comm.size == 1:
            return touched
        whole, local, scatter = self._scatter(touched.shape[1])
        local.array[:] = touched.ravel()
        whole.set(0.0)
        scatter.scatter(
            local, whole, addv=PETSc.InsertMode.ADD_VALUES, mode=PETSc.ScatterMode.REVERSE
        )
        return np.array(whole.array).reshape(self.owned, touched.shape[1])

    def _scatter(self, columns: int) -> tuple[PETSc.Vec, PETSc.Vec, PETSc.Scatter]:
        if columns not in self._scatters:
            whole = PETSc.Vec().createMPI(
                (self.owned * columns, self.total * columns), bsize=columns, comm=self.comm
            )
            local = PETSc.Vec().createSeq(self.size * columns)
            rows = PETSc.IS().createBlock(columns, self.rows, comm=PETSc.COMM_SELF)
            self._scatters[columns] = whole, local, PETSc.Scatter().create(whole, rows, local, None)
        return self._scatters[columns]

    def owned_of(self, nodal: np.ndarray) -> np.ndarray:
        """Owned rows of values at nodes, shape (owned, k)."""
        touched = np.zeros((self.size, nodal.shape[1]))
        touched[self.nodes] = nodal
        mine = np.searchsorted(self.rows, np.arange(self.first, self.first + self.owned))
        return touched[mine]

    def dot(self, x: np.ndarray, y: np.ndarray) -> float:
        """Product of two arrays over all ranks."""
        return float(total(self.comm, np.vdot(x, y)))

    def close(self) -> None:
        """Free what the exchange between ranks needs, on all of them together."""
        for parts in self._scatters.values():
            for part in parts:
                part.destroy()
        self._scatters.clear()
