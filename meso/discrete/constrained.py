"""Symmetric systems with constraints, solved by a positive definite factor.

    [ S  C^T ] [x]   [f]
    [ C   0  ] [y] = [g]

A penalty of the constraints, S + C^T D^-1 C with small D, is factorised, and undone by iterative
refinement with the same factor (augmented Lagrangians; M. Fortin, R. Glowinski 1983): an error of y
goes down by D over the Schur complement each time, some 1e-4.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from mpi4py import MPI
from petsc4py import PETSc
from scipy.sparse import csr_matrix

from meso.discrete import memory
from meso.discrete.algebra import distributed, global_matrix
from meso.discrete.skeleton import Skeleton, Sums
from meso.discrete.solvers import (
    RESIDUAL,
    Solver,
    factor_of,
    free,
    gather,
    method_of,
    solve_columns,
    spread,
)
from meso.errors import ConvergenceError

#: Relative residual at which refinement stops, and steps that it takes at most.
ENOUGH, STEPS = 1e-14, 20
#: Unknowns from which memory of batches is given back before the factor takes its own.
MANY = 100_000


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
        sums: S, and S with the penalty of the first constraints; emptied.
        constraints: C and D.
        unknowns: Numbering of x.
    """

    def __init__(self, sums: Sums, constraints: Constraints, unknowns: Skeleton) -> None:
        super().__init__(global_matrix(sums.pop(), unknowns, half=True), unknowns)
        self.constraints = constraints
        self.total += constraints.total
        self.C = distributed(constraints.matrix, constraints, unknowns)
        self.D = gather(constraints, constraints.penalty)
        penalised = self._penalised(sums)
        if unknowns.total > MANY:
            memory.trim()
        self._factor = factor_of(penalised, definite=True, ordered=unknowns.ordered, fits=True)
        self.method = f"{method_of(self._factor)}, augmented Lagrangian"

    def _penalised(self, sums: Sums) -> PETSc.Mat:
        apart = self.constraints.apart
        if self.unknowns.comm.size == 1:
            sums.penalise(self.constraints.matrix, self.D.array_r, apart)
            return global_matrix(sums.pop(), self.unknowns, half=True)
        # Walls may continue on other ranks.
        scale = self.D.duplicate()
        scale.array[:] = 1 / np.sqrt(self.D.array_r)
        scale.array[:apart] = 0.0
        C = self.C.copy()
        C.diagonalScale(L=scale)
        matrix = global_matrix(sums.pop(), self.unknowns, half=False)
        penalty = C.transposeMatMult(C)
        matrix.axpy(1.0, penalty)
        free(scale, C, penalty)
        return matrix

    def solve(self, load: np.ndarray, given: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Solutions x and y at this rank's numbers for f (n, sides) and g (m, sides).

        Raises:
            ConvergenceError: Refinement does not reach the accuracy that is asked for.
        """
        sides = [
            _Side(self, gather(self.unknowns, f), gather(self.constraints, g))
            for f, g in zip(load.T, given.T, strict=True)
        ]
        errors = [np.inf]
        while sides and len(errors) <= STEPS:
            force = np.column_stack([side.force() for side in sides])
            steps = solve_columns(self._factor, force)
            errors.append(max(side.add(own) for side, own in zip(sides, steps.T, strict=True)))
            if errors[-1] < ENOUGH or not errors[-1] < errors[-2] / 2:
                break
        error = errors[-1] if sides else 0.0
        self.iterations, self.residual = len(errors) - 1, max(self.residual, error)
        if not error < RESIDUAL:
            raise ConvergenceError(
                f"iterative refinement left a relative residual of {error:.1e} after"
                f" {self.iterations} steps (limit {RESIDUAL:.0e})"
            )
        x, y = np.empty(load.shape), np.empty(given.shape)
        for i, side in enumerate(sides):
            x[:, i], y[:, i] = spread(self.unknowns, side.x), spread(self.constraints, side.y)
            side.close()
        return x, y

    def close(self) -> None:
        """Free the factors, on all ranks together."""
        free(self._factor, self.C, self.D)
        super().close()


class _Side:
    """A right-hand side, its solution so far, and what that leaves."""

    def __init__(self, system: Constrained, f: PETSc.Vec, g: PETSc.Vec) -> None:
        self._system, self._right = system, (f, g)
        self._rest, self._miss = f.copy(), g.copy()
        self.x, self.y, self._work = f.duplicate(), g.duplicate(), g.duplicate()
        self.x.set(0.0)
        self.y.set(0.0)
        self._size = float(np.hypot(f.norm(), g.norm())) or 1.0
        self._forced = f.norm() > 0

    def force(self) -> np.ndarray:
        """Right-hand side for the next step: with what the penalty makes of the constraints."""
        self._miss.pointwiseDivide(self._miss, self._system.D)
        self._system.C.multTransposeAdd(self._miss, self._rest, self._rest)
        return np.array(self._rest.array_r)

    def add(self, step: np.ndarray) -> float:
        """Add a step; the relative residual after it."""
        system, (f, g) = self._system, self._right
        self._rest.array[:] = step
        self.x.axpy(1.0, self._rest)
        system.C.mult(self._rest, self._work)
        self._work.pointwiseDivide(self._work, system.D)
        self.y.axpy(1.0, self._work)
        self.y.axpy(-1.0, self._miss)
        system.matrix.mult(self.x, self._rest)
        if not self._forced:
            # What balances there, where nothing but the constraints is given.
            self._size = max(self._size, float(self._rest.norm()))
        system.C.multTransposeAdd(self.y, self._rest, self._rest)
        self._rest.aypx(-1.0, f)
        system.C.mult(self.x, self._miss)
        self._miss.aypx(-1.0, g)
        return float(np.hypot(self._rest.norm(), self._miss.norm()) / self._size)

    def close(self) -> None:
        """Free the vectors, on all ranks together."""
        free(*self._right, self._rest, self._miss, self.x, self.y, self._work)
