"""Factors of symmetric positive definite matrices: CHOLMOD, where PETSc has it, on one rank."""

from __future__ import annotations

from typing import Any

from petsc4py import PETSc

from meso.errors import ConvergenceError

#: Operations for each entry of the factor from which it is supernodal. CHOLMOD's own 40 is best for
#: the factorisation; up to this solutions for 4 to 8 right-hand sides take up to a third less.
_SUPERNODAL = 120
#: PETSc's error for a pivot that is not positive.
_NOT_POSITIVE = 81


def available(comm: Any) -> bool:
    """Whether CHOLMOD can factorise matrices of these ranks."""
    return comm.size == 1 and PETSc.Sys.hasExternalPackage("cholmod")


def cholmod(matrix: PETSc.Mat, *, ordered: bool = False, often: bool = False) -> PETSc.Mat:
    """CHOLMOD's factor L L^T of a matrix.

    Its own ordering is approximate minimum degree, or METIS's if that leaves much fill; with
    ``ordered`` the rows are in the order of elimination already. It is made for a few solutions,
    or for many of several right-hand sides if that happens ``often``.

    Raises:
        ConvergenceError: The matrix is not positive definite, or memory ran out.
    """
    pc = PETSc.PC().create(matrix.comm)
    prefix = f"meso_definite_{id(pc):x}_"
    database = f"{prefix}mat_cholmod_"
    settings: dict[str, Any] = {
        "print": 0,
        # Small matrices would get L D L^T otherwise, which takes indefinite ones too.
        "final_asis": 0,
        "final_ll": 1,
    }
    settings |= {"nmethods": 1} if ordered else {}
    settings |= {"supernodal_switch": _SUPERNODAL} if often else {}
    options = PETSc.Options()
    for key, value in settings.items():
        options[database + key] = value
    pc.setOptionsPrefix(prefix)
    pc.setOperators(matrix)
    pc.setType(PETSc.PC.Type.CHOLESKY)
    pc.setFactorSolverType("cholmod")
    pc.setFactorOrdering("natural" if ordered else "external")
    try:
        pc.setUp()
    except PETSc.Error as error:
        if error.ierr == _NOT_POSITIVE:
            raise ConvergenceError(
                "the factorisation failed: the matrix is not positive definite"
            ) from error
        raise ConvergenceError(
            f"the factorisation failed (CHOLMOD, PETSc error {error.ierr}): memory ran out"
        ) from error
    finally:
        for key in settings:
            options.delValue(database + key)
    factor = pc.getFactorMatrix()
    pc.destroy()
    return factor
