"""Factors of symmetric matrices of 2D problems over several ranks: subdomain by subdomain.

Each rank eliminates what it alone touches, front by front (:mod:`meso.discrete.fronts`). What is
left for the unknowns that ranks share is added up, and its inverse kept by all of them: the direct
method of substructuring (J. Przemieniecki 1963). A solution takes one sum over all ranks.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from mpi4py import MPI
from petsc4py import PETSc
from scipy.linalg import LinAlgError, inv
from scipy.sparse import csr_matrix

from meso.discrete.fronts import Fronts
from meso.errors import ConvergenceError
from meso.mpi import concatenated, together

#: Unknowns that ranks may share: their matrix is full, and each rank inverts it.
SHARED = 3000


class Subdomains:
    """The factor of a symmetric matrix over all ranks, on one rank that of :class:`Fronts`.

    Args:
        local: What this rank contributes, at its local numbers, both triangles or the upper one.
        rows: Its rows: a Rows or Unknowns, with ``to_global``, ``owned`` and ``comm``.
        order: Rows of this rank as they are eliminated.
        starts: Where fronts begin in this order, and the number of rows.
        positive: As for Fronts, of the rows of this rank.
        options: Further ones for Fronts.

    Raises:
        ConvergenceError: A pivot has not its sign, memory ran out, or ranks share too many
            unknowns; on all ranks.
    """

    def __init__(
        self,
        local: csr_matrix,
        rows: Any,
        order: np.ndarray,
        starts: np.ndarray,
        **options: Any,
    ) -> None:
        self.comm, size, globally = rows.comm, local.shape[0], rows.to_global
        first = int(np.sum(self.comm.allgather(rows.owned)[: self.comm.rank]))
        own = (globally >= first) & (globally < first + rows.owned)
        # What a rank touches and another one owns.
        shared = np.unique(concatenated(self.comm, globally[~own]))
        if len(shared) > SHARED:
            raise ConvergenceError(f"ranks share {len(shared)} unknowns")
        here = np.isin(globally, shared)
        self._size, self._inside, self._rim = size, np.flatnonzero(~here), np.flatnonzero(here)
        self._owned = globally[self._inside] - first
        self._place = np.searchsorted(shared, globally[self._rim])
        self._at = np.flatnonzero((shared >= first) & (shared < first + rows.owned))
        self._rows = shared[self._at] - first

        inner = np.append(0, np.cumsum(~here[order]))
        starts = np.unique(np.append(inner[starts], size))
        order = np.concatenate([order[~here[order]], self._rim])
        kept = len(self._rim)
        self._fronts = together(
            self.comm, lambda: Fronts(local, order, starts, kept=kept, **options)
        )
        rest = np.zeros((len(shared), len(shared)))
        rest[np.ix_(self._place, self._place)] = self._fronts.rest
        self.comm.Allreduce(MPI.IN_PLACE, rest)
        self._inverse = together(self.comm, lambda: _inverse(rest))

    def solve(self, b: PETSc.Vec, x: PETSc.Vec) -> None:
        """Solve for one right-hand side."""
        self.solve_columns(b.array_r[None], np.zeros(1, dtype=np.int64), x.array[None])

    def solve_columns(self, right: np.ndarray, columns: np.ndarray, out: np.ndarray) -> None:
        """Solve for some right-hand sides, put solutions in the same places, both (columns, n)."""
        if self.comm.size == 1:
            self._fronts.solve_columns(right, columns, out)
            return
        own, values = right[columns], np.zeros((len(columns), self._size))
        values[:, self._inside] = own[:, self._owned]
        self._fronts.forth(values)
        rim = np.zeros((len(columns), len(self._inverse)))
        rim[:, self._place] = values[:, self._rim]
        rim[:, self._at] += own[:, self._rows]
        self.comm.Allreduce(MPI.IN_PLACE, rim)
        rim = rim @ self._inverse
        values[:, self._rim] = rim[:, self._place]
        self._fronts.back(values)
        own[:, self._owned] = values[:, self._inside]
        own[:, self._rows] = rim[:, self._at]
        out[columns] = own

    def destroy(self) -> None:
        """Free it."""
        self._fronts.destroy()


def _inverse(matrix: np.ndarray) -> np.ndarray:
    try:
        return np.asarray(inv(matrix)) if len(matrix) else matrix
    except (LinAlgError, ValueError):  # singular, or not finite
        raise ConvergenceError("the factorisation failed: a pivot is zero, or not finite") from None
