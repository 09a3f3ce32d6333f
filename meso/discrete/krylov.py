"""PETSc's conjugate gradients and GMRES for nodal arrays of several columns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from petsc4py import PETSc

from meso.discrete.solvers import free
from meso.discrete.sparse import Rows
from meso.errors import ConvergenceError

#: A linear map of arrays, which are as :class:`Rows` says.
Map = Callable[[np.ndarray], np.ndarray]
#: Iterations at most. In a magnetic field they are proportional to it (docs/design.md).
MOST = {PETSc.KSP.Type.CG: 2000, PETSc.KSP.Type.GMRES: 2000}


class Shell:
    """A map of arrays as a matrix or a preconditioner of PETSc."""

    def __init__(self, function: Map, rows: Rows) -> None:
        self.function, self.rows = function, rows

    def mult(self, _: Any, x: PETSc.Vec, y: PETSc.Vec) -> None:
        """Apply it."""
        y.array[:] = self.function(self.rows.shaped(x.array_r)).ravel()

    apply = mult


class Operator:
    """A linear map of nodal arrays over all ranks, as a matrix of PETSc.

    It is made of what the cells of each rank contribute, from values at all rows it touches; what
    ranks share PETSc exchanges. Arguments are on the same rows as results, or on ``columns``.
    """

    def __init__(self, local: Map, rows: Rows, columns: Rows | None = None) -> None:
        columns = columns or rows
        self.rows, self._local = rows, local
        matrix = PETSc.Mat().createPython((rows.size, columns.size), comm=PETSc.COMM_SELF)
        matrix.setPythonContext(Shell(local, columns))
        matrix.setUp()
        if rows.comm.size > 1:
            shape, inner = (rows.shape, columns.shape), matrix
            matrix = PETSc.Mat().createIS(shape, lgmapr=rows.map, lgmapc=columns.map)
            matrix.setISLocalMat(inner)
            matrix.assemble()
            free(inner)
        self.matrix = matrix
        self._x, self._y = matrix.createVecs()

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Of owned rows."""
        if self.rows.comm.size == 1:
            return self._local(x)
        self._x.array[:] = x.ravel()
        self.matrix.mult(self._x, self._y)
        return self.rows.shaped(np.array(self._y.array_r))

    def spread(self, owned: np.ndarray) -> np.ndarray:
        """Results at all rows of this rank from owned ones."""
        self._y.array[:] = owned.ravel()
        return self.rows.spread(self._y)

    def close(self) -> None:
        """Free it, on all ranks together."""
        free(self._x, self._y, self.matrix)


def _solver(operator: Operator, precondition: Map, method: str, restart: int) -> PETSc.KSP:
    ksp = PETSc.KSP().create(operator.matrix.comm)
    ksp.setOperators(operator.matrix)
    ksp.setType(method)
    norms = PETSc.KSP.NormType
    ksp.setNormType(norms.NATURAL if method == PETSc.KSP.Type.CG else norms.PRECONDITIONED)
    ksp.setGMRESRestart(restart)
    # A basis that is orthogonal to rounding: else GMRES may stop to converge at 1e-10.
    prefix = f"meso_krylov_{id(ksp):x}_"
    options, key = PETSc.Options(), f"{prefix}ksp_gmres_cgs_refinement_type"
    options[key] = "refine_ifneeded"
    ksp.setOptionsPrefix(prefix)
    ksp.setFromOptions()
    options.delValue(key)
    ksp.setTolerances(max_it=MOST[method])
    pc = ksp.getPC()
    pc.setType(PETSc.PC.Type.PYTHON)
    pc.setPythonContext(Shell(precondition, operator.rows))
    return ksp


def iterate(
    operator: Operator,
    precondition: Map,
    load: np.ndarray,
    tolerance: float,
    size: Callable[[np.ndarray], float] | float | None = None,
    method: str = PETSc.KSP.Type.CG,
    restart: int = 60,
    advice: str = 'use fewer harmonics or solver = "direct" in a strong field',
) -> tuple[np.ndarray, int, float]:
    """Solve A x = b, both on owned rows: x, the number of iterations and the relative residual.

    A is symmetric and positive where conjugate gradients apply it to. The root of r.P^-1 r of the
    residual r (with GMRES the norm of P^-1 r) is relative to the size that the solution so far
    has, by default to what it is at first. Too many iterations, or what is not finite, are a
    ConvergenceError.
    """
    x, b = operator.matrix.createVecs()
    b.array[:] = load.ravel()
    error, first = np.inf, 1.0

    def converged(_: PETSc.KSP, iteration: int, norm: float) -> int:
        nonlocal error, first
        if iteration == 0:
            first = norm or 1.0
        own = size(x.array_r.reshape(load.shape)) if callable(size) else size
        error = norm / (own or first)
        if not np.isfinite(error):
            return PETSc.KSP.ConvergedReason.DIVERGED_NANORINF
        return error < tolerance and PETSc.KSP.ConvergedReason.CONVERGED_ATOL

    ksp, symmetric = _solver(operator, precondition, method, restart), method == PETSc.KSP.Type.CG
    ksp.setConvergenceTest(converged)
    try:
        ksp.solve(b, x)
    except PETSc.Error as failed:
        # What the map or the preconditioner raised inside: Ctrl-C, or that a solver failed.
        free(ksp, x, b)
        if isinstance(failed.__cause__, KeyboardInterrupt | SystemExit):
            raise failed.__cause__ from None
        raise ConvergenceError(f"a solver failed inside of {method}: {advice}") from failed
    reason, iterations = ksp.getConvergedReason(), ksp.getIterationNumber()
    found = np.array(x.array_r).reshape(load.shape)
    free(ksp, x, b)
    name = "conjugate gradients" if symmetric else "GMRES"
    if not np.isfinite(error):
        raise ConvergenceError(f"{name}: the residual is not finite")
    if reason < 0:
        raise ConvergenceError(
            f"{name} stopped after {iterations} iterations with a relative residual of"
            f" {error:.1e} (limit {tolerance:.0e}){'' if symmetric else f': {advice}'}"
        )
    return found, iterations, float(error)
