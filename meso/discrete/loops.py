"""Loops over cells for which NumPy has no product: in C, compiled like the weak forms, once.

In NumPy the elimination of what is inside cells takes four times as long, adding up element
matrices three times (degree 4).
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from meso.compiled import ffi, library

_HEADER = """
int64_t eliminate(int64_t, int, int, int, const double *, const double *, double *, double *);
void scatter(int64_t, int, int, int, const int32_t *, const int64_t *, const int32_t *,
             const int64_t *, const double *, const double *, const double *, double *, double *);
void refer(int64_t, int, int, const double *, const double *, double *);
void combine(int64_t, int, int, int, int, int, int64_t, int64_t, const double *, const double *,
             double *);
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
    plain: np.ndarray,
    penalised: np.ndarray,
    matrices: np.ndarray,
    flux: np.ndarray,
    penalty: np.ndarray,
    rows: np.ndarray,
    places: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    """Add matrices of cells to the upper triangle of a sparse matrix and of a penalised one.

    Args:
        plain: Values of the first.
        penalised: Values of the second, which has flux flux^T / penalty as well.
        matrices: Shape (c, n, n); may have more columns, which are ignored.
        flux: Shape (c, n).
        penalty: Shape (c,).
        rows: Unknowns of each cell, -1 for none, shape (c, n).
        places: Row a and column b >= a are at row[a] + start + b: ``row`` (size,), starts of the
            blocks of each pair of entities of a cell, (c, p), and which pair two unknowns of a
            cell belong to, (n, n).
    """
    row, starts, pair = places
    _loops().scatter(
        len(rows),
        rows.shape[1],
        matrices.shape[2],
        starts.shape[1],
        _integers(rows, "int32"),
        _integers(starts, "int64"),
        _integers(pair, "int32"),
        _integers(row, "int64"),
        *(_doubles(each) for each in (matrices, flux, penalty)),
        _writable(plain),
        _writable(penalised),
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


def _doubles(array: np.ndarray) -> Any:
    return ffi.from_buffer("double[]", np.ascontiguousarray(array, dtype=float))


def _integers(array: np.ndarray, kind: str) -> Any:
    return ffi.from_buffer(f"{kind}_t[]", np.ascontiguousarray(array, dtype=kind))


def _writable(array: np.ndarray) -> Any:
    assert array.dtype == float
    return ffi.from_buffer("double[]", array, require_writable=True)
