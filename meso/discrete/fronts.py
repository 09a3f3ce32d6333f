"""Factors of symmetric matrices of 2D problems on one rank, for many solutions.

U^T D U front by front (I. Duff, J. Reid 1983), where fronts are the separators of a nested
dissection, without pivoting: D = 1, or -1 for the rows of constraints. Those come last in each
front. What has been eliminated before is then a flow problem on a part of the mesh with nothing at
its rim: the pivots have their signs if flows in every part have a potential, as Taylor-Hood
elements see to. A saddle of 93,000 unknowns takes 0.6 of MUMPS's time for the factor, and for a
solution.

Of many right-hand sides eight are solved for at a time. In single precision, with errors of 1e-7 of
the condition number, that takes a fifth of the time of CHOLMOD's supernodal factor: enough for the
preconditioner of conjugate gradients, which look at the residual itself, not for GMRES, which looks
at what the preconditioner makes of it.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from petsc4py import PETSc
from scipy.sparse import csr_matrix

from meso.compiled import ffi, library
from meso.errors import ConvergenceError

_HEADER = """
struct factor;
struct factor *factorise(int32_t, int32_t, int32_t, int32_t, const int32_t *, const int32_t *,
                         const double *, const int32_t *, const int32_t *, int *);
int64_t entries(const struct factor *);
const double *rest(const struct factor *);
void solve(const struct factor *, int, int, const int64_t *, const double *, double *);
void discard(struct factor *);
"""


@cache
def _library(real: str, lanes: int) -> Any:
    kind = f"#define real {real}\n#define LANES {lanes}\n"
    return library("fronts", _HEADER, kind + Path(__file__).with_suffix(".c").read_text())


class Fronts:
    """The factor of a symmetric matrix.

    Args:
        matrix: The matrix, both triangles or the upper one.
        order: Its rows as they are eliminated, see :func:`meso.discrete.dissection.fronts`.
        starts: Where fronts begin in this order, and the number of rows.
        kept: Rows at the end, the last front if there are any, that are not eliminated: the matrix
            that is left for them is ``rest``, and solutions have to be given for them.
        positive: Rows, the first ones, whose pivots are positive; those of the others are
            negative. All by default.
        many: Whether for many right-hand sides.
        single: Whether in single precision.

    Raises:
        ConvergenceError: A pivot has not its sign, or memory ran out.
    """

    def __init__(
        self,
        matrix: csr_matrix,
        order: np.ndarray,
        starts: np.ndarray,
        *,
        kept: int = 0,
        positive: int | None = None,
        many: bool = False,
        single: bool = False,
    ) -> None:
        self._functions = _library("float" if single else "double", 8 if many else 1)
        rows, bad = len(order), ffi.new("int *")
        integers = matrix.indptr, matrix.indices, order, starts
        pointer, index, order, starts = (np.ascontiguousarray(a, np.int32) for a in integers)
        factor = self._functions.factorise(
            rows,
            len(starts) - 1,
            len(starts) - 1 - (kept > 0),
            rows if positive is None else positive,
            ffi.from_buffer("int32_t[]", pointer),
            ffi.from_buffer("int32_t[]", index),
            ffi.from_buffer("double[]", matrix.data),
            ffi.from_buffer("int32_t[]", order),
            ffi.from_buffer("int32_t[]", starts),
            bad,
        )
        if bad[0]:
            reason = "a pivot has not its sign" if bad[0] > 0 else "memory ran out"
            raise ConvergenceError(f"the factorisation failed: {reason}")
        self._factor, self._kept = ffi.gc(factor, self._functions.discard), kept

    @property
    def entries(self) -> int:
        """Numbers that are kept."""
        return int(self._functions.entries(self._factor))

    @property
    def rest(self) -> np.ndarray:
        """What is left for the rows that are kept, shape (kept, kept)."""
        size, count = self._kept, self._kept**2
        given = ffi.buffer(self._functions.rest(self._factor), 8 * count)
        upper = np.frombuffer(given, count=count).reshape(size, size)
        return np.asarray(np.triu(upper) + np.triu(upper, 1).T)

    def solve(self, b: PETSc.Vec, x: PETSc.Vec) -> None:
        """Solve for one right-hand side."""
        self.solve_columns(b.array_r[None], np.zeros(1, dtype=np.int64), x.array[None])

    def solve_columns(self, right: np.ndarray, columns: np.ndarray, out: np.ndarray) -> None:
        """Solve for some right-hand sides, put solutions in the same places, both (columns, n)."""
        self._solve(right, columns, out, 3)

    def forth(self, values: np.ndarray) -> None:
        """Take right-hand sides (columns, n) half of the way: what is left for rows kept."""
        self._solve(values, np.arange(len(values)), values, 1)

    def back(self, values: np.ndarray) -> None:
        """And the rest of it, where rows that are kept have their solution now."""
        self._solve(values, np.arange(len(values)), values, 2)

    def _solve(self, right: np.ndarray, columns: np.ndarray, out: np.ndarray, way: int) -> None:
        where = np.ascontiguousarray(columns, dtype=np.int64)
        self._functions.solve(
            self._factor,
            way,
            len(where),
            ffi.from_buffer("int64_t[]", where),
            ffi.from_buffer("double[]", np.ascontiguousarray(right)),
            ffi.from_buffer("double[]", out, require_writable=True),
        )

    def destroy(self) -> None:
        """Free it."""
        ffi.release(self._factor)
