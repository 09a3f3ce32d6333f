"""Solvers of linear systems, direct and iterative, and the check of what they return."""

from __future__ import annotations

from typing import Any

import numpy as np
from petsc4py import PETSc

from meso.discrete import memory
from meso.discrete.unknowns import Unknowns
from meso.errors import ConvergenceError

# A direct solution is accepted when its relative residual is below this.
RESIDUAL = 1e-8
# Conjugate gradients reduce the preconditioned residual by this.
CG_TOLERANCE = 1e-13


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


def factorised(
    matrix: PETSc.Mat, *, symmetric: bool = True, definite: bool = False, fits: bool = False
) -> tuple[PETSc.PC, PETSc.Mat]:
    """Factorise a matrix with MUMPS.

    Args:
        matrix: The matrix.
        symmetric: Whether it is symmetric (LDL^T, else LU).
        definite: Whether it is positive definite too: no pivoting.
        fits: Whether it is known already that there is enough memory.

    Returns:
        PETSc's preconditioner, and the factor, which lives on its own.

    Raises:
        CaseError: The machine has not the memory that this takes.
        ConvergenceError: The matrix is singular, or memory ran out.
    """
    if not fits:
        _require_memory(matrix, symmetric)
    if definite:
        matrix.setOption(PETSc.Mat.Option.SPD, True)
    pc = PETSc.PC().create(matrix.comm)
    pc.setOperators(matrix)
    pc.setType(PETSc.PC.Type.CHOLESKY if symmetric else PETSc.PC.Type.LU)
    pc.setFactorSolverType(PETSc.Mat.SolverType.MUMPS)
    pc.setFactorSetUpSolverType()
    factor = pc.getFactorMatrix()
    factor.setMumpsIcntl(7, 2)  # approximate minimum fill: 10 % less time than PORD
    factor.setMumpsIcntl(14, 40)  # room for delayed pivots, per cent
    try:
        pc.setUp()
    except PETSc.Error as error:
        raise ConvergenceError(f"the factorisation failed ({error})") from error
    status = factor.getMumpsInfog(1)
    if status != 0:
        raise ConvergenceError(
            f"the factorisation failed (MUMPS INFOG(1) = {status}, INFOG(2) ="
            f" {factor.getMumpsInfog(2)}): the system is singular or memory ran out"
        )
    return pc, factor


def _require_memory(matrix: PETSc.Mat, symmetric: bool) -> None:
    """Raise a CaseError if the factors of a matrix do not fit into the memory there is."""
    comm, unknowns = matrix.comm.tompi4py(), matrix.getSize()[0]
    stored = matrix.getInfo(PETSc.Mat.InfoType.GLOBAL_SUM)["nz_used"]
    if symmetric and matrix.getType() != PETSc.Mat.Type.SEQSBAIJ:
        stored /= 2  # both triangles are there, one is factorised
    memory.require(
        comm,
        memory.factorisation(unknowns, stored, symmetric=symmetric) / comm.size,
        f"the factorisation of a matrix for {unknowns} unknowns",
        "larger cells (mesh.size), a lower flow.order or more memory would help",
    )


class Factor(Solver):
    """A factorised system: symmetric indefinite (MUMPS, LDL^T) or nonsymmetric (LU).

    Args:
        matrix: The matrix.
        unknowns: Its numbering.
        symmetric: Whether it is symmetric.
        fits: Whether it is known already that there is enough memory.
    """

    def __init__(
        self,
        matrix: PETSc.Mat,
        unknowns: Unknowns,
        *,
        symmetric: bool = True,
        fits: bool = False,
    ) -> None:
        super().__init__(matrix, unknowns)
        self.method = "MUMPS LDL^T" if symmetric else "MUMPS LU"
        self._pc, self._factor = factorised(matrix, symmetric=symmetric, fits=fits)

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
