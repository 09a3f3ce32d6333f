"""Linear systems: cell condensation, assembly, factorisation, and the check of the result.

A system is a sum of small dense matrices, symmetric unless told otherwise, one per cell, plus
couplings to the wall multipliers. Unknowns inside cells are eliminated cell by cell, which halves
the factorisation.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from petsc4py import PETSc
from scipy.sparse import coo_matrix, csr_matrix, triu

from meso.errors import ConvergenceError
from meso.unknowns import Unknowns

# A direct solution is accepted when its relative residual is below this.
RESIDUAL = 1e-8
# Conjugate gradients reduce the preconditioned residual by this.
CG_TOLERANCE = 1e-13


@dataclass(frozen=True, slots=True, kw_only=True)
class Condensed:
    """One batch of cells after the elimination of its inner unknowns.

    Attributes:
        cells: Cell numbers, shape (c,).
        rows: Local unknowns of the outer positions, -1 where prescribed, shape (c, n).
        coupling: A_ii^-1 A_io, shape (c, m, n).
        own: A_ii^-1 b_i, shape (c, m, sides), or None without inner loads.
        given: Prescribed values at the outer positions, shape (c, n, sides), or None.
    """

    cells: np.ndarray
    rows: np.ndarray
    coupling: np.ndarray
    own: np.ndarray | None
    given: np.ndarray | None

    def inner(self, solution: np.ndarray) -> np.ndarray:
        """Inner unknowns, shape (c, m, sides), from the local solution, shape (n, sides)."""
        outer = np.where((self.rows >= 0)[:, :, None], solution[self.rows], 0.0)
        if self.given is not None:
            outer = outer + self.given
        inner = -(self.coupling @ outer)
        return inner if self.own is None else inner + self.own


@dataclass(slots=True)
class Assembly:
    """Collects element matrices and loads; becomes a factorised system.

    Attributes:
        unknowns: The numbering.
        sides: Number of right-hand sides.
        symmetric: Whether all matrices are symmetric.
    """

    unknowns: Unknowns
    sides: int
    symmetric: bool = True
    load: np.ndarray = field(init=False)
    batches: list[Condensed] = field(default_factory=list)
    _rows: list[np.ndarray] = field(default_factory=list)
    _columns: list[np.ndarray] = field(default_factory=list)
    _values: list[np.ndarray] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.load = np.zeros((self.unknowns.size, self.sides))

    def add_cells(
        self,
        cells: np.ndarray,
        matrix: np.ndarray,
        rows: np.ndarray,
        load: np.ndarray | None = None,
        given: np.ndarray | None = None,
    ) -> None:
        """Condense and add the matrices of a batch of cells.

        Args:
            cells: Cell numbers, shape (c,).
            matrix: Matrices, outer unknowns first, shape (c, n, n).
            rows: Local unknowns of the outer positions, -1 where prescribed, shape (c, o).
            load: Loads, shape (c, n, sides), or None.
            given: Prescribed values at the outer positions, 0 elsewhere, shape (c, o, sides),
                or None.
        """
        if not len(cells):
            return
        outer = rows.shape[1]
        remaining = matrix[:, :outer, :outer]
        outer_load = None if load is None else load[:, :outer]
        if matrix.shape[1] > outer:
            to_outer = matrix[:, outer:, :outer]
            right = (
                to_outer if load is None else np.concatenate([to_outer, load[:, outer:]], axis=2)
            )
            solved = np.linalg.solve(matrix[:, outer:, outer:], right)
            coupling = solved[:, :, :outer]
            own = None if load is None else solved[:, :, outer:]
            remaining = remaining - matrix[:, :outer, outer:] @ coupling
            if outer_load is not None:
                outer_load = outer_load - matrix[:, :outer, outer:] @ own
            self.batches.append(
                Condensed(cells=cells, rows=rows, coupling=coupling, own=own, given=given)
            )
        rows = rows.astype(np.int32)
        self._add_dense(rows, remaining)
        if given is not None:
            lifted = remaining @ given
            outer_load = -lifted if outer_load is None else outer_load - lifted
        if outer_load is not None:
            self.add_load(rows, outer_load)

    def add_matrix(self, rows: np.ndarray, matrix: np.ndarray) -> None:
        """Add small matrices, (f, n, n), between local unknowns, (f, n), -1 where prescribed."""
        if len(rows):
            self._add_dense(rows.astype(np.int32), matrix)

    def _add_dense(self, rows: np.ndarray, matrix: np.ndarray) -> None:
        n = rows.shape[1]
        i, j = np.triu_indices(n) if self.symmetric else np.divmod(np.arange(n * n), n)
        values = np.ascontiguousarray(matrix).reshape(len(rows), -1).take(i * n + j, axis=1)
        a, b = rows.take(i, axis=1), rows.take(j, axis=1)
        if self.symmetric:
            # Nodes of a cell may be twins: their coupling counts on both sides of the diagonal.
            values[(a == b) & (i != j)] *= 2
        self._add(a.ravel(), b.ravel(), values.ravel())

    def add_coupling(self, rows: np.ndarray, columns: np.ndarray, matrix: np.ndarray) -> None:
        """Add couplings between two different sets of unknowns (and their transposes).

        Args:
            rows: Local unknowns, shape (f, m).
            columns: Local unknowns, -1 where prescribed, shape (f, n).
            matrix: Values, shape (f, m, n).
        """
        a = np.repeat(rows, columns.shape[1], axis=1).ravel()
        b = np.tile(columns, (1, rows.shape[1])).ravel()
        self._add(a, b, matrix.ravel())
        if not self.symmetric:
            self._add(b, a, matrix.ravel())

    def add_load(self, rows: np.ndarray, load: np.ndarray) -> None:
        """Add loads, shape (..., sides), at local unknowns, shape (...), -1 ignored."""
        keep = rows >= 0
        np.add.at(self.load, rows[keep], load[keep])

    def _add(self, a: np.ndarray, b: np.ndarray, values: np.ndarray) -> None:
        low, high = (a, b) if not self.symmetric else (np.minimum(a, b), np.maximum(a, b))
        low, high = low.astype(np.int32, copy=False), high.astype(np.int32, copy=False)
        if min(low.min(initial=0), high.min(initial=0)) < 0:
            keep = (low >= 0) & (high >= 0)
            low, high, values = low[keep], high[keep], values[keep]
        self._rows.append(low)
        self._columns.append(high)
        self._values.append(values)

    def factorise(self) -> Factor:
        """Assemble the matrix over all ranks and factorise it.

        Returns:
            The factorised system.

        Raises:
            ConvergenceError: The factorisation failed (a singular system).
        """
        if not self.symmetric:
            matrix = distributed(self.local(), self.unknowns)
            return Factor(matrix, self.unknowns, symmetric=False)
        return Factor(global_matrix(self.local(), self.unknowns, half=True), self.unknowns)

    def iterative(self, preconditioner: str = "multigrid") -> ConjugateGradients:
        """Assemble a positive definite (symmetric part) matrix, to be solved by iterations.

        Args:
            preconditioner: "multigrid", or "jacobi" for mass matrices.

        Returns:
            The solver.
        """
        if not self.symmetric:
            matrix = distributed(self.local(), self.unknowns)
            return Gmres(matrix, self.unknowns, preconditioner)
        matrix = global_matrix(self.local(), self.unknowns, half=False)
        return ConjugateGradients(matrix, self.unknowns, preconditioner)

    def local(self) -> csr_matrix:
        """This rank's part of the matrix, in local numbers; if symmetric its upper triangle."""
        size = self.unknowns.size
        # A zero diagonal belongs to the pattern of an indefinite matrix.
        diagonal = np.arange(size, dtype=np.int32)
        local = coo_matrix(
            (
                np.concatenate([*self._values, np.zeros(size)]),
                (
                    np.concatenate([*self._rows, diagonal]),
                    np.concatenate([*self._columns, diagonal]),
                ),
            ),
            shape=(size, size),
        ).tocsr()
        for parts in (self._rows, self._columns, self._values):
            parts.clear()
        return local


def global_matrix(upper: csr_matrix, unknowns: Unknowns, *, half: bool) -> PETSc.Mat:
    """The matrix over all ranks; of one rank alone the upper half, if that is enough."""
    comm = unknowns.comm
    if comm.size == 1 and half:
        matrix = PETSc.Mat().create(comm)
        matrix.setSizes((unknowns.total, unknowns.total))
        matrix.setType(PETSc.Mat.Type.SBAIJ)
        matrix.setPreallocationCSR((upper.indptr, upper.indices, upper.data))
        matrix.assemble()
        return matrix
    return distributed((upper + triu(upper, 1).T).tocsr(), unknowns)


def distributed(full: csr_matrix, unknowns: Unknowns) -> PETSc.Mat:
    """The matrix over all ranks from this rank's part of it, in local numbers."""
    comm = unknowns.comm
    local = PETSc.Mat().createAIJ(
        full.shape, csr=(full.indptr, full.indices, full.data), comm=PETSc.COMM_SELF
    )
    if comm.size == 1:
        return local
    mapping = PETSc.LGMap().create(unknowns.to_global, comm=comm)
    shape = ((unknowns.owned, unknowns.total), (unknowns.owned, unknowns.total))
    parts = PETSc.Mat().createIS(shape, lgmapr=mapping, lgmapc=mapping, comm=comm)
    parts.setISLocalMat(local)
    parts.assemble()
    matrix = PETSc.Mat()
    parts.convert(PETSc.Mat.Type.AIJ, out=matrix)
    free(parts, local, mapping)
    return matrix


def free(*objects: PETSc.Object) -> None:
    """Free PETSc's memory, on all ranks together: in parallel it would keep what Python drops."""
    for thing in objects:
        thing.destroy()


class Solver:
    """What direct and iterative solvers share: vectors over all ranks.

    Attributes:
        matrix: The matrix.
        unknowns: Its numbering.
        method: How it is solved.
        residual: Largest relative residual so far.
        iterations: Largest number of iterations so far, 0 for a direct solver.
    """

    method = ""

    def __init__(self, matrix: PETSc.Mat, unknowns: Unknowns) -> None:
        self.matrix, self.unknowns = matrix, unknowns
        self.residual, self.iterations = 0.0, 0

    @property
    def evidence(self) -> dict[str, Any]:
        """How the system was solved."""
        counted = {"iterations": self.iterations} if self.iterations else {}
        return {
            "method": self.method,
            "unknowns": self.unknowns.total,
            "residual": self.residual,
            **counted,
        }

    def close(self) -> None:
        """Free the solver, on all ranks together; in parallel PETSc would keep it otherwise."""
        self.matrix.destroy()

    def _gather(self, local: np.ndarray) -> PETSc.Vec:
        """Sum of what all ranks contribute at their local unknowns."""
        vec = PETSc.Vec().createMPI(
            (self.unknowns.owned, self.unknowns.total), comm=self.unknowns.comm
        )
        if self.unknowns.comm.size == 1:
            vec.array[:] = local
            return vec
        vec.setValues(self.unknowns.to_global, local, addv=PETSc.InsertMode.ADD_VALUES)
        vec.assemble()
        return vec

    def _spread(self, vec: PETSc.Vec) -> np.ndarray:
        """Values at this rank's local unknowns."""
        if self.unknowns.comm.size == 1:
            return np.array(vec.array)
        local = PETSc.Vec().createSeq(self.unknowns.size)
        rows = PETSc.IS().createGeneral(self.unknowns.to_global, comm=PETSc.COMM_SELF)
        scatter = PETSc.Scatter().create(vec, rows, local, None)
        scatter.scatter(vec, local)
        out = np.array(local.array)
        free(scatter, local, rows)
        return out


class ConjugateGradients(Solver):
    """A symmetric positive definite system, solved by conjugate gradients.

    Args:
        matrix: The matrix.
        unknowns: Its numbering.
        preconditioner: "multigrid" (BoomerAMG) or "jacobi".
    """

    name = "conjugate gradients"
    _type = PETSc.KSP.Type.CG

    def __init__(self, matrix: PETSc.Mat, unknowns: Unknowns, preconditioner: str) -> None:
        super().__init__(matrix, unknowns)
        multigrid = preconditioner == "multigrid"
        self.method = f"{self.name}, " + ("BoomerAMG" if multigrid else "Jacobi")
        self._solver = PETSc.KSP().create(unknowns.comm)
        self._solver.setOperators(matrix)
        self._solver.setType(self._type)
        if self._type == PETSc.KSP.Type.GMRES:
            self._solver.setGMRESRestart(200)
        self._solver.setTolerances(rtol=CG_TOLERANCE, atol=0.0, max_it=500)
        pc = self._solver.getPC()
        boomer_amg(pc) if multigrid else pc.setType(PETSc.PC.Type.JACOBI)

    def close(self) -> None:
        """Free the solver, on all ranks together."""
        self._solver.destroy()
        super().close()

    def solve(self, load: np.ndarray) -> np.ndarray:
        """Solve for several right-hand sides, one after the other.

        Args:
            load: This rank's contributions at its local unknowns, shape (n, sides).

        Returns:
            Solution at this rank's local unknowns, shape (n, sides).

        Raises:
            ConvergenceError: Too many iterations, or not finite.
        """
        out = np.empty((self.unknowns.size, load.shape[1]))
        for i in range(load.shape[1]):
            rhs = self._gather(load[:, i])
            solution, residual = rhs.duplicate(), rhs.duplicate()
            self._solver.solve(rhs, solution)
            reason = self._solver.getConvergedReason()
            self.matrix.mult(solution, residual)
            residual.aypx(-1.0, rhs)
            error = residual.norm() / (rhs.norm() or 1.0)
            if reason <= 0 or not error < RESIDUAL:
                raise ConvergenceError(
                    f"{self.name} stopped after {self._solver.getIterationNumber()}"
                    f" iterations with a relative residual of {error:.1e} (PETSc reason {reason})"
                )
            self.iterations = max(self.iterations, self._solver.getIterationNumber())
            if error > CG_TOLERANCE:
                # The tolerance is on the preconditioned residual: integrals that cancel want both.
                correction = rhs.duplicate()
                self._solver.solve(residual, correction)
                solution.axpy(1.0, correction)
                self.matrix.mult(solution, residual)
                residual.aypx(-1.0, rhs)
                error = min(error, residual.norm() / (rhs.norm() or 1.0))
                free(correction)
            self.residual = max(self.residual, float(error))
            out[:, i] = self._spread(solution)
            free(rhs, solution, residual)
        return out


class Gmres(ConjugateGradients):
    """A nonsymmetric system with a positive definite symmetric part, solved by GMRES."""

    name = "GMRES"
    _type = PETSc.KSP.Type.GMRES


def boomer_amg(pc: PETSc.PC) -> None:
    """Make a preconditioner one V-cycle of algebraic multigrid for quadratic elements in 3D.

    Args:
        pc: The preconditioner.
    """
    if not PETSc.Sys.hasExternalPackage("hypre"):
        pc.setType(PETSc.PC.Type.GAMG)
        return
    pc.setType(PETSc.PC.Type.HYPRE)
    pc.setHYPREType("boomeramg")
    prefix = f"meso_amg_{id(pc):x}_"
    options = PETSc.Options()
    settings = {
        "strong_threshold": 0.5,
        "coarsen_type": "HMIS",
        "interp_type": "ext+i",
        "agg_nl": 0,
        "P_max": 4,
        "grid_sweeps_all": 2,
        "relax_type_all": "symmetric-SOR/Jacobi",
    }
    for key, value in settings.items():
        options[f"{prefix}pc_hypre_boomeramg_{key}"] = value
    pc.setOptionsPrefix(prefix)
    pc.setFromOptions()
    for key in settings:
        options.delValue(f"{prefix}pc_hypre_boomeramg_{key}")


class Factor(Solver):
    """A factorised system: symmetric indefinite (MUMPS, LDL^T) or nonsymmetric (LU).

    Args:
        matrix: The matrix.
        unknowns: Its numbering.
        symmetric: Whether it is symmetric.
    """

    def __init__(self, matrix: PETSc.Mat, unknowns: Unknowns, *, symmetric: bool = True) -> None:
        super().__init__(matrix, unknowns)
        self.method = "MUMPS LDL^T" if symmetric else "MUMPS LU"
        pc = PETSc.PC().create(unknowns.comm)
        pc.setOperators(matrix)
        pc.setType(PETSc.PC.Type.CHOLESKY if symmetric else PETSc.PC.Type.LU)
        pc.setFactorSolverType(PETSc.Mat.SolverType.MUMPS)
        pc.setFactorSetUpSolverType()
        self._factor = pc.getFactorMatrix()
        self._factor.setMumpsIcntl(7, 2)  # approximate minimum fill: 10 % less time than PORD
        self._factor.setMumpsIcntl(14, 40)  # room for delayed pivots, per cent
        try:
            pc.setUp()
        except PETSc.Error as error:
            raise ConvergenceError(f"the factorisation failed ({error})") from error
        status = self._factor.getMumpsInfog(1)
        if status != 0:
            raise ConvergenceError(
                f"the factorisation failed (MUMPS INFOG(1) = {status}, INFOG(2) ="
                f" {self._factor.getMumpsInfog(2)}): the system is singular or memory ran out"
            )
        self._pc = pc

    def close(self) -> None:
        """Free the factors, on all ranks together."""
        free(self._factor, self._pc)
        super().close()

    def solve(self, load: np.ndarray, *, limit: float | None = None) -> np.ndarray:
        """Solve for several right-hand sides at once.

        Args:
            load: This rank's contributions at its local unknowns, shape (n, sides).
            limit: Largest relative residual that is accepted, :data:`RESIDUAL` by default.

        Returns:
            Solution at this rank's local unknowns, shape (n, sides).

        Raises:
            ConvergenceError: Not finite, or a residual above the limit.
        """
        unknowns = self.unknowns
        sides = load.shape[1]
        columns = [self._gather(load[:, i]) for i in range(sides)]
        shape = ((unknowns.owned, unknowns.total), (sides, sides))
        right = np.column_stack([c.array for c in columns])
        b = PETSc.Mat().createDense(shape, array=np.asfortranarray(right), comm=unknowns.comm)
        x = PETSc.Mat().createDense(shape, comm=unknowns.comm)
        b.assemble()
        x.setUp()
        x.assemble()
        self._factor.matSolve(b, x)
        values = np.array(x.getDenseArray())
        out = np.empty((unknowns.size, sides))
        for i, rhs in enumerate(columns):
            solution = rhs.duplicate()
            solution.array[:] = values[:, i]
            self._check(solution, rhs, RESIDUAL if limit is None else limit)
            out[:, i] = self._spread(solution)
            free(solution, rhs)
        free(b, x)
        return out

    def _check(self, solution: PETSc.Vec, rhs: PETSc.Vec, limit: float) -> None:
        """Refine once if needed, then insist."""
        residual = rhs.duplicate()
        scale = rhs.norm()
        for attempt in range(2):
            self.matrix.mult(solution, residual)
            residual.aypx(-1.0, rhs)
            error = residual.norm() / scale if scale else residual.norm()
            if error < 1e-13 or attempt == 1:
                break
            correction = rhs.duplicate()
            self._factor.solve(residual, correction)
            solution.axpy(1.0, correction)
            free(correction)
        free(residual)
        self.residual = max(self.residual, float(error))
        if not error < limit:
            raise ConvergenceError(
                f"the direct solver left a relative residual of {error:.1e} (limit"
                f" {limit:.0e}): the system is singular or nearly so"
            )
