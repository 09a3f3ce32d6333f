"""Solvers of linear systems, direct and iterative, and the check of what they return."""

from __future__ import annotations

from typing import Any

import dolfinx
import numpy as np
from petsc4py import PETSc

from meso.discrete import definite as spd
from meso.discrete import memory
from meso.errors import CaseError, ConvergenceError

# A direct solution is accepted when its relative residual is below this.
RESIDUAL = 1e-8
# Conjugate gradients reduce the preconditioned residual by this.
CG_TOLERANCE = 1e-13
#: Largest relative residual over the one that preconditioned residuals were asked for.
LOOSELY = 100
# A second time, what is left of the residual by this.
_REFINED = 1e-4
# A projection stops at this, near rounding: it costs a few of its iterations.
MASS_TOLERANCE = 1e-14


def free(*objects: PETSc.Object) -> None:
    """Free PETSc's memory, on all ranks together: in parallel it would keep what Python drops."""
    for thing in objects:
        thing.destroy()


def gather(rows: Any, local: np.ndarray) -> PETSc.Vec:
    """Sum of what all ranks contribute at their local numbers of rows (an Unknowns, for one)."""
    vec = PETSc.Vec().createMPI((rows.owned, rows.total), comm=rows.comm)
    if rows.comm.size == 1:
        vec.array[:] = local
        return vec
    vec.set(0.0)
    vec.setValues(rows.to_global, local, addv=PETSc.InsertMode.ADD_VALUES)
    vec.assemble()
    return vec


def spread(rows: Any, vec: PETSc.Vec) -> np.ndarray:
    """Values at this rank's local numbers of rows."""
    if rows.comm.size == 1:
        return np.array(vec.array)
    local = PETSc.Vec().createSeq(rows.size)
    wanted = PETSc.IS().createGeneral(rows.to_global, comm=PETSc.COMM_SELF)
    scatter = PETSc.Scatter().create(vec, wanted, local, None)
    scatter.scatter(vec, local)
    out = np.array(local.array)
    free(scatter, local, wanted)
    return out


def remainder(matrix: PETSc.Mat, x: PETSc.Vec, b: PETSc.Vec) -> tuple[PETSc.Vec, float]:
    """The residual b - A x, and its norm over that of b."""
    residual = b.duplicate()
    matrix.mult(x, residual)
    residual.aypx(-1.0, b)
    return residual, float(residual.norm() / (b.norm() or 1.0))


class Solver:
    """What direct and iterative solvers share.

    Attributes:
        matrix: The matrix.
        unknowns: Its numbering.
        total: Number of unknowns over all ranks.
        method: How it is solved.
        residual: Largest relative residual so far.
        iterations: Largest number of iterations so far, 0 for a direct solver.
    """

    method = ""

    def __init__(self, matrix: PETSc.Mat, unknowns: Any) -> None:
        self.matrix, self.unknowns, self.total = matrix, unknowns, matrix.getSize()[0]
        self.residual, self.iterations = 0.0, 0

    @property
    def evidence(self) -> dict[str, Any]:
        """How the system was solved."""
        counted = {"iterations": self.iterations} if self.iterations else {}
        return {
            "method": self.method,
            "unknowns": self.total,
            "residual": self.residual,
            **counted,
        }

    def close(self) -> None:
        """Free the solver, on all ranks together; in parallel PETSc would keep it otherwise."""
        self.matrix.destroy()


class Krylov(Solver):
    """One of PETSc's iterations, to which a subclass gives a preconditioner.

    Attributes:
        name: In messages.
        limit: Largest relative residual that is accepted.
    """

    def __init__(
        self, matrix: PETSc.Mat, unknowns: Any, name: str, kind: str, *, rtol: float, most: int
    ) -> None:
        super().__init__(matrix, unknowns)
        self.name, self.limit = name, RESIDUAL
        self._solver = PETSc.KSP().create(matrix.comm)
        self._solver.setOperators(matrix)
        self._solver.setType(kind)
        self._solver.setTolerances(rtol=rtol, atol=0.0, max_it=most)

    def iterate(self, right: PETSc.Vec) -> tuple[PETSc.Vec, PETSc.Vec, float]:
        """Solution for one right-hand side, its residual, and the size of that.

        Raises:
            ConvergenceError: Too many iterations, or not finite.
        """
        solution = right.duplicate()
        solution.set(0.0)
        self._solver.solve(right, solution)
        residual, error = remainder(self.matrix, solution, right)
        reason, count = self._solver.getConvergedReason(), self._solver.getIterationNumber()
        if reason <= 0 or not error < self.limit:
            raise ConvergenceError(
                f"{self.name} stopped after {count} iterations with a relative residual of"
                f" {error:.1e} (PETSc reason {reason})"
            )
        self.iterations = max(self.iterations, count)
        return solution, residual, error

    def close(self) -> None:
        """Free the solver, on all ranks together."""
        self._solver.destroy()
        super().close()


class Iterative(Krylov):
    """A system whose symmetric part is positive definite: conjugate gradients, or GMRES.

    Where GMRES with multigrid fails, as it does where the antisymmetric part is far larger than
    the symmetric one, the matrix is factorised.
    """

    def __init__(
        self,
        matrix: PETSc.Mat,
        unknowns: Any,
        preconditioner: str,
        *,
        symmetric: bool,
        tolerance: float | None = None,
    ) -> None:
        name, kind = "conjugate gradients", PETSc.KSP.Type.CG
        if not symmetric:
            name, kind = "GMRES", PETSc.KSP.Type.GMRES
        super().__init__(matrix, unknowns, name, kind, rtol=tolerance or CG_TOLERANCE, most=500)
        self.symmetric, self._preconditioner = symmetric, preconditioner
        self._tight = tolerance is None
        if tolerance is not None:
            self.limit = max(self.limit, LOOSELY * tolerance)
        self._solver.setGMRESRestart(200)
        multigrid = preconditioner == "multigrid"
        self._direct: Factor | None = None
        self._factorises = multigrid and not symmetric
        self.method = f"{name}, " + ("BoomerAMG" if multigrid else "Jacobi")
        pc = self._solver.getPC()
        boomer_amg(pc) if multigrid else pc.setType(PETSc.PC.Type.JACOBI)

    def solve(self, load: np.ndarray) -> np.ndarray:
        """Solutions for loads, both at this rank's local unknowns, shape (n, sides).

        Raises:
            ConvergenceError: The iteration failed, and there is no other way.
        """
        if self._direct is None:
            try:
                return self._iterated(load)
            except ConvergenceError as error:
                self._direct = self._factorised(error)
        out = self._direct.solve(load)
        self.residual = max(self.residual, self._direct.residual)
        return out

    def _factorised(self, error: ConvergenceError) -> Factor:
        """The factor of the matrix, after the iteration has failed; else what went wrong."""
        if not self._factorises:
            raise error
        self._solver.destroy()  # multigrid takes memory
        try:
            direct = Factor(self.matrix, self.unknowns, symmetric=False)
        except (CaseError, ConvergenceError) as other:
            raise ConvergenceError(
                f"{error}: the antisymmetric part of the matrix is probably far larger than the"
                " symmetric one (Hall conductivities above conductivities and diffusivities), for"
                f" which only a direct solver is left: {other}"
            ) from None
        self.method, self.iterations = f"{direct.method} after {self.method} failed", 0
        return direct

    def _iterated(self, load: np.ndarray) -> np.ndarray:
        out = np.empty((self.unknowns.size, load.shape[1]))
        for i, column in enumerate(load.T):
            right = gather(self.unknowns, column)
            solution, residual, error = self.iterate(right)
            if error > CG_TOLERANCE and self._tight:
                # The tolerance is on the preconditioned residual: integrals that cancel want both.
                correction = right.duplicate()
                self._solver.setTolerances(rtol=_REFINED)
                self._solver.solve(residual, correction)
                self._solver.setTolerances(rtol=CG_TOLERANCE)
                solution.axpy(1.0, correction)
                rest, after = remainder(self.matrix, solution, right)
                error = min(error, after)
                free(correction, rest)
            self.residual = max(self.residual, error)
            out[:, i] = spread(self.unknowns, solution)
            free(right, solution, residual)
        return out

    def solve_transposed(self, load: np.ndarray) -> np.ndarray:
        """The same with the transposed matrix."""
        if self.symmetric:
            return self.solve(load)
        if self._direct is not None:
            return self._direct.solve_transposed(load)
        # Multigrid has no transposed cycle for all of its smoothers.
        turned = PETSc.Mat()
        self.matrix.transpose(turned)
        other = Iterative(turned, self.unknowns, self._preconditioner, symmetric=False)
        try:
            return other.solve(load)
        finally:
            other.close()

    def close(self) -> None:
        """Free the solver, on all ranks together."""
        if self._direct is not None:
            self._direct.close()
        super().close()


def boomer_amg(pc: PETSc.PC) -> None:
    """Make a preconditioner one V-cycle of algebraic multigrid for quadratic elements in 3D."""
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
    matrix: PETSc.Mat,
    *,
    symmetric: bool = True,
    definite: bool = False,
    ordered: bool = False,
    often: bool = False,
    fits: bool = False,
) -> PETSc.Mat:
    """The factor of a matrix; :func:`method_of` says which.

    Args:
        matrix: The matrix, the upper half (SBAIJ, on one rank) or all of it.
        symmetric: Whether it is.
        definite: Whether it is symmetric positive definite too.
        ordered: Whether its rows are in an order of elimination already (definite, on one rank).
        often: Whether many solutions will be wanted, of several right-hand sides (definite).
        fits: Whether it is known already that there is enough memory.

    Raises:
        CaseError: The machine has not the memory that this takes.
        ConvergenceError: The matrix is singular or not definite, or memory ran out.
    """
    if not fits:
        _require_memory(matrix, symmetric, definite)
    if definite and spd.available(matrix.comm):
        return spd.cholmod(matrix, ordered=ordered, often=often)
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
    if symmetric:
        factor.setMumpsIcntl(6, 0)  # zeros on the diagonal may stay there: up to half of the time
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
    if definite and factor.getMumpsInfog(12) > 0:  # negative pivots
        raise ConvergenceError("the factorisation failed: the matrix is not positive definite")
    free(pc)
    return factor


def method_of(factor: PETSc.Mat, *, symmetric: bool = True) -> str:
    """How a factor was made."""
    if factor.getType() == "cholmod":
        return "CHOLMOD LL^T"
    return "MUMPS LDL^T" if symmetric else "MUMPS LU"


def factor_of(matrix: PETSc.Mat, **known: bool) -> PETSc.Mat:
    """As :func:`factorised`; frees the matrix, which PETSc would keep in parallel."""
    factor = factorised(matrix, **known)
    free(matrix)
    return factor


def _require_memory(matrix: PETSc.Mat, symmetric: bool, definite: bool) -> None:
    """Raise a CaseError if the factors of a matrix do not fit into the memory there is."""
    comm, unknowns = matrix.comm.tompi4py(), matrix.getSize()[0]
    stored = matrix.getInfo(PETSc.Mat.InfoType.GLOBAL_SUM)["nz_used"]
    if symmetric and matrix.getType() != PETSc.Mat.Type.SEQSBAIJ:
        stored /= 2  # both triangles are there, one is factorised
    if definite and spd.available(matrix.comm):
        needed = memory.cholesky(unknowns, stored)
    else:
        needed = memory.factorisation(unknowns, stored, symmetric=symmetric)
    memory.require(
        comm,
        needed / comm.size,
        f"the factorisation of a matrix for {unknowns} unknowns",
        "larger cells (mesh.size), a lower flow.order or more memory would help",
    )


def solve_columns(factor: PETSc.Mat, right: np.ndarray) -> np.ndarray:
    """Solve with a factor for several right-hand sides at once, on owned rows, (owned, sides).

    The columns of the result are contiguous, those of the argument better are.
    """
    sides, comm = right.shape[1], factor.comm
    shape = ((len(right), factor.getSize()[0]), (sides, sides))
    given, found = np.asfortranarray(right), np.empty(right.shape, order="F")
    b, x = (PETSc.Mat().createDense(shape, array=a, comm=comm) for a in (given, found))
    for part in (b, x):
        part.assemble()
    factor.matSolve(b, x)
    free(b, x)
    return found


class Factor(Solver):
    """A factorised system, with the options of :func:`factorised`."""

    def __init__(
        self, matrix: PETSc.Mat, unknowns: Any, *, symmetric: bool = True, **options: bool
    ) -> None:
        super().__init__(matrix, unknowns)
        self.symmetric = symmetric
        self._factor = factorised(matrix, symmetric=symmetric, **options)
        self.method = method_of(self._factor, symmetric=symmetric)

    def close(self) -> None:
        """Free the factors, on all ranks together."""
        free(self._factor)
        super().close()

    def solve(self, load: np.ndarray, *, limit: float = RESIDUAL) -> np.ndarray:
        """Solutions for loads, both at this rank's local unknowns, shape (n, sides).

        Raises:
            ConvergenceError: Not finite, or a relative residual above the limit.
        """
        columns = [gather(self.unknowns, column) for column in load.T]
        values = solve_columns(self._factor, np.column_stack([c.array for c in columns]))
        out = np.empty((self.unknowns.size, len(columns)))
        for i, right in enumerate(columns):
            solution = right.duplicate()
            solution.array[:] = values[:, i]
            self._check(solution, right, limit)
            out[:, i] = spread(self.unknowns, solution)
            free(solution, right)
        return out

    def solve_transposed(self, load: np.ndarray) -> np.ndarray:
        """The same with the transposed matrix; nothing is refined."""
        if self.symmetric:
            return self.solve(load)
        out = np.empty((self.unknowns.size, load.shape[1]))
        for i, column in enumerate(load.T):
            right = gather(self.unknowns, column)
            solution = right.duplicate()
            self._factor.solveTranspose(right, solution)
            out[:, i] = spread(self.unknowns, solution)
            free(solution, right)
        return out

    def _check(self, solution: PETSc.Vec, right: PETSc.Vec, limit: float) -> None:
        """Refine once if needed, then insist."""
        residual, error = remainder(self.matrix, solution, right)
        if not error < 1e-13:
            correction = right.duplicate()
            self._factor.solve(residual, correction)
            solution.axpy(1.0, correction)
            free(correction, residual)
            residual, error = remainder(self.matrix, solution, right)
        free(residual)
        self.residual = max(self.residual, error)
        if not error < limit:
            raise ConvergenceError(
                f"the direct solver left a relative residual of {error:.1e} (limit"
                f" {limit:.0e}): the system is singular or nearly so"
            )


def mass_solved(matrix: PETSc.Mat, index_map: Any, right: np.ndarray) -> np.ndarray:
    """Solve with a mass matrix, which is freed, for columns at all nodes of this rank, (n, k).

    Conjugate gradients with the diagonal take some sixty iterations.
    """
    solver = PETSc.KSP().create(matrix.comm)
    solver.setOperators(matrix)
    solver.setType(PETSc.KSP.Type.CG)
    solver.getPC().setType(PETSc.PC.Type.JACOBI)
    solver.setTolerances(rtol=MASS_TOLERANCE, atol=1e-300, max_it=1000)
    x, b = matrix.createVecs()
    vector, out = dolfinx.la.vector(index_map, 1), np.empty_like(right)
    for k, column in enumerate(right.T):
        b.array[:] = column[: b.local_size]
        solver.solve(b, x)
        if solver.reason < 0:
            raise ConvergenceError(f"projection on a mass matrix: {solver.its} iterations")
        vector.array[: x.local_size] = x.array
        vector.scatter_forward()
        out[:, k] = vector.array
    free(x, b, solver, matrix)
    return out
