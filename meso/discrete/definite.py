"""Factors of symmetric positive definite matrices: CHOLMOD, where PETSc has it, on one rank."""

from __future__ import annotations

from typing import Any

from petsc4py import PETSc

from meso.errors import ConvergenceError

#: PETSc's error for a pivot that is not positive.
_NOT_POSITIVE = 81


def available(comm: Any) -> bool:
    """Whether CHOLMOD can factorise matrices of these ranks."""
    return comm.size == 1 and PETSc.Sys.hasExternalPackage("cholmod")


def cholmod(matrix: PETSc.Mat, *, ordered: bool) -> PETSc.Mat:
    """CHOLMOD's supernodal factor L L^T of a matrix.

    Its own ordering is approximate minimum degree, or METIS's if that leaves much fill; with
    ``ordered`` the rows are in the order of elimination already.

    Raises:
        ConvergenceError: The matrix is not positive definite, or memory ran out.
    """
    pc = PETSc.PC().create(matrix.comm)
    prefix = f"meso_definite_{id(pc):x}_"
    # Small matrices would get L D L^T otherwise, which takes indefinite ones too.
    settings: dict[str, Any] = {"mat_cholmod_factor": "SUPERNODAL", "mat_cholmod_print": 0}
    if ordered:
        settings["mat_cholmod_nmethods"] = 1
    options = PETSc.Options()
    for key, value in settings.items():
        options[prefix + key] = value
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
            options.delValue(prefix + key)
    factor = pc.getFactorMatrix()
    pc.destroy()
    return factor
