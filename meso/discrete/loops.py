"""Loops over cells for which NumPy has no product: in C, compiled like the weak forms, once.

In NumPy the elimination of what is inside cells takes four times as long, adding up element
matrices three times (degree 4).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

from meso.compiled import ffi, library

_HEADER = """
int64_t eliminate(int64_t, int, int, int, const double *, const double *, double *, double *);
void scatter(int64_t, int, int, int, const int32_t *, const int32_t *, const int64_t *,
             const int32_t *, const double *, const double *, const double *, double *, double *);
void penalise(int64_t, int64_t, const int64_t *, const int32_t *, const double *, const double *,
              const int64_t *, const int32_t *, double *);
void refer(int64_t, int, int, const double *, const double *, double *);
void combine(int64_t, int, int, int, int, int, int64_t, int64_t, const double *, const double *,
             double *);
int integrate(int64_t, int, int, int, int, int, int, int, int, int64_t, const int32_t *,
              const double *, const double *, const double *, const double *, double *);
"""


@cache
def _loops() -> Any:
    return library("loops", _HEADER, Path(__file__).with_suffix(".c").read_text())


def eliminate(
    matrices: np.ndarray, outer: int, load: np.ndarray | None = None, *, pivoting: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Eliminate all but the first unknowns of each system.

    Symmetric ones need no pivoting where what is inside is definite, or of the kind
    [[A, B^T], [B, -C]] with A definite; others, and where that fails, are left to LAPACK.

    Args:
        matrices: Shape (c, n + m, n + m).
        outer: n.
        load: Right-hand sides, shape (c, n + m, r).
        pivoting: Whether it is needed.

    Returns:
        What is left of matrices and right-hand sides, (c, n, n + r); A_ii^-1 A_io and
        A_ii^-1 b_i, (c, m, n + r).
    """
    count, inner = len(matrices), matrices.shape[1] - outer
    load = np.zeros((count, outer + inner, 0)) if load is None else load
    if not pivoting:
        columns = outer + load.shape[2]
        left, solved = np.empty((count, outer, columns)), np.empty((count, inner, columns))
        given = _doubles(matrices), _doubles(load), _writable(left), _writable(solved)
        if _loops().eliminate(count, outer, inner, load.shape[2], *given) == -1:
            return left, solved
    right = np.concatenate([matrices[:, :, :outer], load], axis=2)
    solved = np.linalg.solve(matrices[:, outer:, outer:], right[:, outer:])
    return right[:, :outer] - matrices[:, :outer, outer:] @ solved, solved


def scatter(
    values: Sequence[np.ndarray],
    matrices: np.ndarray,
    flux: np.ndarray,
    penalty: np.ndarray,
    rows: np.ndarray,
    entities: np.ndarray,
    pattern: tuple[np.ndarray, np.ndarray],
) -> None:
    """Add matrices of cells to the upper triangle of a sparse matrix and of a penalised one.

    Args:
        values: Of the first, and of the second, which has flux flux^T / penalty as well.
        matrices: Shape (c, n, n); may have more columns, which are ignored.
        flux: Shape (c, n).
        penalty: Shape (c,).
        rows: Unknowns of each cell, -1 for none, shape (c, n).
        entities: Which vertex or edge of a cell each belongs to, shape (n,): the unknowns of one
            have numbers one after the other, and all of them the same columns.
        pattern: Starts of rows and sorted columns, from the diagonal on.
    """
    indptr, indices = pattern
    _loops().scatter(
        *rows.shape,
        matrices.shape[2],
        entities.max(initial=-1) + 1,
        _integers(entities, "int32"),
        _integers(rows, "int32"),
        _integers(indptr, "int64"),
        _integers(indices, "int32"),
        *(_doubles(each) for each in (matrices, flux, penalty)),
        *(_writable(each) for each in values),
    )


def penalise(
    values: np.ndarray,
    constraints: csr_matrix,
    penalty: np.ndarray,
    first: int,
    pattern: tuple[np.ndarray, np.ndarray],
) -> None:
    """Add C^T D^-1 C to the upper triangle of a sparse matrix.

    Args:
        values: Of the matrix.
        constraints: C, with sorted columns.
        penalty: D.
        first: The first of its rows that count.
        pattern: As of :func:`scatter`.
    """
    _loops().penalise(
        first,
        constraints.shape[0],
        _integers(constraints.indptr, "int64"),
        _integers(constraints.indices, "int32"),
        _doubles(constraints.data),
        _doubles(penalty),
        _integers(pattern[0], "int64"),
        _integers(pattern[1], "int32"),
        _writable(values),
    )


def refer(tensors: np.ndarray, inverses: np.ndarray) -> np.ndarray:
    """Tensors in derivatives of the reference cell.

    Args:
        tensors: Shape (c, n, 1 + d, n, 1 + d): nothing, or derivatives in x, at the end of each n.
        inverses: Inverse Jacobians, shape (c, d, d).
    """
    out = np.empty(tensors.shape)
    count, n, e = tensors.shape[:3]
    _loops().refer(count, n, e, _doubles(inverses), _doubles(tensors), _writable(out))
    return out


def combine(
    factors: np.ndarray, tables: np.ndarray, out: np.ndarray, row: int, column: int
) -> None:
    """Set blocks of square matrices to sums of tables.

    Args:
        factors: Of each table and pair of components, shape (c, a, b, p), p <= 16.
        tables: By the nodes of rows and columns, shape (p, m, n).
        out: Square matrices, contiguous: (m a, n b) entries of each are set, node by node.
        row: The first of their rows.
        column: The first of their columns.
    """
    count, a, b, pairs = factors.shape
    _, m, n = tables.shape
    width = out.shape[-1]
    if count:
        start = out.reshape(-1)[row * width + column :]
        sizes = count, a, b, pairs, m, n, width, width**2
        _loops().combine(*sizes, _doubles(factors), _doubles(tables), _writable(start))


def integrate(
    terms: np.ndarray,
    factors: np.ndarray,
    inverses: np.ndarray,
    tables: tuple[np.ndarray, np.ndarray],
    components: tuple[int, int],
    out: np.ndarray,
    place: tuple[int, int],
    *,
    symmetric: bool,
) -> None:
    """Set blocks of square matrices to sums over points of products of functions.

    Args:
        terms: Component and derivative of the row, and of the column, shape (t, 4): derivative 0
            is the function, 1 + i that in x_i.
        factors: Of each point and term, shape (c, q, t).
        inverses: Inverse Jacobians at the points, shape (c, q, d, d).
        tables: Functions of rows and columns and their derivatives in the reference cell at the
            points, shapes (1 + d, q, m) and (1 + d, q, n).
        components: Numbers of components, a and b.
        out: Square matrices, contiguous: (m a, n b) entries of each are set, node by node.
        place: The first of their rows and columns.
        symmetric: Whether rows and columns are the same, and so are the terms turned round.
    """
    (f, g), (a, b), width = tables, components, out.shape[-1]
    if not len(out):
        return
    start = out.reshape(-1)[place[0] * width + place[1] :]
    d, q, t = len(f) - 1, f.shape[1], len(terms)
    sizes = len(out), d, q, t, symmetric, a, f.shape[2], b, g.shape[2], width
    given = (_doubles(each) for each in (factors, inverses, f, g))
    if not _loops().integrate(*sizes, _integers(terms, "int32"), *given, _writable(start)):
        raise MemoryError


def _doubles(array: np.ndarray) -> Any:
    return ffi.from_buffer("double[]", np.ascontiguousarray(array, dtype=float))


def _integers(array: np.ndarray, kind: str) -> Any:
    return ffi.from_buffer(f"{kind}_t[]", np.ascontiguousarray(array, dtype=kind))


def _writable(array: np.ndarray) -> Any:
    assert array.dtype == float
    return ffi.from_buffer("double[]", array, require_writable=True)
