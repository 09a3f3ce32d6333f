"""Factors of symmetric matrices that need no pivoting."""

from __future__ import annotations

import numpy as np
import pytest
from petsc4py import PETSc
from scipy.sparse import bmat, coo_matrix, csr_matrix, identity, triu

from meso.discrete.dissection import dissection, fronts, halved
from meso.discrete.fronts import Fronts
from meso.discrete.solvers import factorised, method_of, solve_columns
from meso.errors import ConvergenceError


def stored(full: csr_matrix, *, half: bool) -> PETSc.Mat:
    """As a matrix of PETSc."""
    used, kind = (triu(full), PETSc.Mat.createSBAIJ) if half else (full, PETSc.Mat.createAIJ)
    csr, bsize = used.tocsr(), {"bsize": 1} if half else {}
    return kind(PETSc.Mat(), full.shape, csr=(csr.indptr, csr.indices, csr.data), **bsize)


def square(n: int) -> tuple[np.ndarray, np.ndarray, csr_matrix]:
    """Triangles of a square, their parts, and a definite matrix of their vertices."""
    corner = (np.indices((n, n)).T @ [n + 1, 1]).reshape(-1, 1)
    cells = np.concatenate([corner + [0, n + 1, n + 2], corner + [0, n + 2, 1]])
    edges = np.sort(cells[:, [[0, 1], [1, 2], [0, 2]]], axis=2) @ [(n + 1) ** 2, 1]
    edges = np.unique(edges, return_inverse=True)[1].reshape(-1, 3)
    points = np.column_stack(np.divmod(np.arange((n + 1) ** 2), n + 1))
    used = np.repeat(cells, 3, axis=1).ravel(), np.tile(cells, (1, 3)).ravel()
    full = coo_matrix((np.where(used[0] == used[1], 9.0, -1.0), used), shape=(len(points),) * 2)
    return cells, halved(points[cells].mean(axis=1), edges), full.tocsr()


@pytest.mark.parametrize("cholmod", [True, False])
@pytest.mark.parametrize("half", [True, False])
@pytest.mark.parametrize("ordered", [True, False])
def test_factor(monkeypatch: pytest.MonkeyPatch, cholmod: bool, half: bool, ordered: bool) -> None:
    if not cholmod:
        monkeypatch.setattr("meso.discrete.definite.available", lambda _: False)
    elif not PETSc.Sys.hasExternalPackage("cholmod"):
        pytest.skip("this PETSc has no CHOLMOD")
    definite, right = square(6)[2], np.random.default_rng(1).random((49, 3))
    before = PETSc.Options().getAll()
    factor = factorised(stored(definite, half=half), definite=True, ordered=ordered)
    assert method_of(factor) == ("CHOLMOD LL^T" if cholmod else "MUMPS LDL^T")
    assert np.allclose(definite @ solve_columns(factor, right), right, rtol=0, atol=1e-12)
    with pytest.raises(ConvergenceError, match="not positive definite"):
        factorised(stored(definite - 20 * identity(49), half=half), definite=True, ordered=ordered)
    assert PETSc.Options().getAll() == before


def test_dissection_leaves_little_fill() -> None:
    """Half of what a band leaves in a square."""
    cells, path, full = square(40)
    band, each = np.arange(full.shape[0]), np.arange(full.shape[0] + 1)
    order = np.argsort(dissection(path, len(band), (np.arange(len(cells)), cells)))
    assert Fronts(full, order, each).entries < 0.5 * Fronts(full, band, each).entries


@pytest.mark.parametrize("kind", [{}, {"many": True}, {"many": True, "single": True}])
def test_fronts(kind: dict[str, bool]) -> None:
    """With sums around some vertices given; more right-hand sides than are solved for at a time."""
    cells, path, full = square(20)
    n, some, every = full.shape[0], np.arange(0, full.shape[0] // 2, 2), np.arange(len(cells))
    whole = bmat([[full, abs(full[some]).T], [abs(full[some]), None]], format="csr")
    number = np.where(np.isin(np.arange(n), some), n + np.arange(n) // 2, -1)
    order = fronts(path, whole.shape[0], (every, cells), (every, number[cells]))
    right, columns = np.random.default_rng(1).random((11, len(order[0]))), np.arange(10)[::-1]
    out = right.copy()
    Fronts(triu(whole, format="csr"), *order, positive=n, **kind).solve_columns(right, columns, out)
    limit = 1e-5 if "single" in kind else 1e-12
    assert np.abs(whole @ out[columns].T - right[columns].T).max() < limit
    assert (out[10] == right[10]).all()
    with pytest.raises(ConvergenceError, match="pivot has not its sign"):
        Fronts(whole, *order, **kind)
