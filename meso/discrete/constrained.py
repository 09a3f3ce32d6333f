"""Symmetric systems with constraints, solved by a positive definite factor.

    [ S  C^T ] [x]   [f]
    [ C   0  ] [y] = [g]

A penalty of the constraints, S + C^T D^-1 C with small D, is factorised, and undone by iterative
refinement with the same factor (augmented Lagrangians; M. Fortin, R. Glowinski 1983): an error of y
goes down by D over the Schur complement each time, some 1e-4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from mpi4py import MPI
from petsc4py import PETSc
from scipy.sparse import csr_matrix, diags, triu

from meso.discrete.algebra import distributed, global_matrix
from meso.discrete.solvers import (
    RESIDUAL,
    Solver,
    factorised,
    free,
    gather,
    solve_columns,
    spread,
)
from meso.errors import ConvergenceError

#: Relative residual at which refinement stops, and steps that it takes at most.
ENOUGH, STEPS = 1e-14, 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Constraints:
    """Constraints of this rank and their numbering.

    Attributes:
        comm: Ranks.
        matrix: C, in local numbers, shape (m, n).
        penalty: What each rank contributes to D, shape (m,).
        apart: The first of those whose penalty is not yet part of the matrix.
        to_global: PETSc row of each.
        owned: Number of rows of this rank.
        total: Number of rows of all ranks.
    """

    comm: MPI.Comm
    matrix: csr_matrix
    penalty: np.ndarray
    apart: int
    to_global: np.ndarray
    owned: int
    total: int

    @property
    def size(self) -> int:
        """Number of constraints of this rank."""
        return len(self.to_global)


class Constrained(Solver):
    """A factorised system with constraints.

    Args:
        S: Upper triangle in local numbers.
        penalised: The same with the penalty of the first constraints.
        constraints: C and D.
        unknowns: Numbering of x.
    """

    def __init__(
        self, S: csr_matrix, penalised: csr_matrix, constraints: Constraints, unknowns: Any
    ) -> None:
        super().__init__(global_matrix(S, unknowns, half=True), unknowns)
        self.constraints = constraints
        self.total += constraints.total
        self.C = distributed(constraints.matrix, constraints, unknowns)
        self.D = gather(constraints, constraints.penalty)
        self._factor = factorised(self._penalised(penalised), definite=True)
        self.method = "MUMPS"

    def _penalised(self, penalised: csr_matrix) -> PETSc.Mat:
        apart = self.constraints.apart
        if self.unknowns.comm.size == 1:
            C = self.constraints.matrix[apart:]
            penalty = C.T @ diags(1 / self.D.array_r[apart:]) @ C
            return global_matrix((penalised + triu(penalty)).tocsr(), self.unknowns, half=True)
        # Walls may continue on other ranks.
        scale = self.D.duplicate()
        scale.array[:] = 1 / np.sqrt(self.D.array_r)
        scale.array[:apart] = 0.0
        C = self.C.copy()
        C.diagonalScale(L=scale)
        matrix, penalty = global_matrix(penalised, self.unknowns, half=False), C.transposeMatMult(C)
        matrix.axpy(1.0, penalty)
        free(scale, C, penalty)
        return matrix

    def solve(self, load: np.ndarray, given: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Solutions x and y at this rank's numbers for f (n, sides) and g (m, sides).

        Raises:
            ConvergenceError: Refinement does not reach the accuracy that is asked for.
        """
        sides = load.shape[1]
        f = [gather(self.unknowns, column) for column in load.T]
        g = [gather(self.constraints, column) for column in given.T]
        x, y = [v.duplicate() for v in f], [v.duplicate() for v in g]
        for each in (*x, *y):
            each.set(0.0)
        size = np.array([np.hypot(a.norm(), b.norm()) or 1.0 for a, b in zip(f, g, strict=True)])
        rest, miss = [v.copy() for v in f], [v.copy() for v in g]
        last, self.iterations = np.inf, 0
        work = f[0].duplicate() if sides else None
        while sides:
            for i in range(sides):
                # The force that the penalty makes of what the constraints miss.
                miss[i].pointwiseDivide(miss[i], self.D)
                self.C.multTransposeAdd(miss[i], rest[i], rest[i])
            step = solve_columns(self._factor, np.column_stack([v.array_r for v in rest]))
            error = np.zeros(sides)
            for i in range(sides):
                work.array[:] = step[:, i]
                x[i].axpy(1.0, work)
                force = miss[i].duplicate()
                self.C.mult(work, force)
                force.pointwiseDivide(force, self.D)
                y[i].axpy(1.0, force)
                y[i].axpy(-1.0, miss[i])
                self.matrix.mult(x[i], rest[i])
                self.C.multTransposeAdd(y[i], rest[i], rest[i])
                rest[i].aypx(-1.0, f[i])
                self.C.mult(x[i], miss[i])
                miss[i].aypx(-1.0, g[i])
                error[i] = np.hypot(rest[i].norm(), miss[i].norm()) / size[i]
                free(force)
            self.iterations += 1
            worst = float(error.max())
            if worst < ENOUGH or not worst < 0.5 * last or self.iterations == STEPS:
                break
            last = worst
        else:
            worst = 0.0
        self.residual = max(self.residual, worst)
        if not worst < RESIDUAL:
            raise ConvergenceError(
                f"iterative refinement left a relative residual of {worst:.1e} after"
                f" {self.iterations} steps (limit {RESIDUAL:.0e})"
            )
        out = (
            np.column_stack([spread(self.unknowns, v) for v in x]),
            np.column_stack([spread(self.constraints, v) for v in y]),
        )
        free(*f, *g, *x, *y, *rest, *miss)
        return out

    def close(self) -> None:
        """Free the factors, on all ranks together."""
        free(self._factor, self.C, self.D)
        super().close()
