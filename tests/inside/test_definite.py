"""Factors of symmetric matrices that need no pivoting."""

from __future__ import annotations

import numpy as np
import pytest
from petsc4py import PETSc
from scipy.sparse import bmat, coo_matrix, csr_matrix, diags, identity, triu

from meso.discrete.dissection import dissection, fronts, halved
from meso.discrete.fronts import Fronts
from meso.discrete.solvers import factorised, method_of, solve_columns
from meso.errors import ConvergenceError

SIZE = 40


def chain(diagonal: float) -> csr_matrix:
    """The second difference of a chain."""
    return diags([-1.0, diagonal, -1.0], [-1, 0, 1], shape=(SIZE, SIZE)).tocsr()


def stored(full: csr_matrix, *, half: bool) -> PETSc.Mat:
    """As a matrix of PETSc."""
    used = triu(full).tocsr() if half else full
    matrix = PETSc.Mat().create(PETSc.COMM_SELF)
    matrix.setSizes(full.shape)
    matrix.setType(PETSc.Mat.Type.SBAIJ if half else PETSc.Mat.Type.AIJ)
    matrix.setPreallocationCSR((used.indptr, used.indices, used.data))
    matrix.assemble()
    return matrix


@pytest.mark.parametrize("cholmod", [True, False])
@pytest.mark.parametrize("half", [True, False])
@pytest.mark.parametrize("ordered", [True, False])
def test_factor(
    monkeypatch: pytest.MonkeyPatch, *, cholmod: bool, half: bool, ordered: bool
) -> None:
    if not cholmod:
        monkeypatch.setattr("meso.discrete.definite.available", lambda _: False)
    elif not PETSc.Sys.hasExternalPackage("cholmod"):
        pytest.skip("this PETSc has no CHOLMOD")
    definite, right = chain(2.1), np.random.default_rng(1).random((SIZE, 3))
    before = PETSc.Options().getAll()
    factor = factorised(stored(definite, half=half), definite=True, ordered=ordered)
    assert method_of(factor) == ("CHOLMOD LL^T" if cholmod else "MUMPS LDL^T")
    assert np.allclose(definite @ solve_columns(factor, right), right, rtol=0, atol=1e-12)
    with pytest.raises(ConvergenceError, match="not positive definite"):
        factorised(stored(chain(1.9), half=half), definite=True, ordered=ordered)
    assert PETSc.Options().getAll() == before


def square(n: int) -> tuple[np.ndarray, np.ndarray, csr_matrix]:
    """Triangles of a square, their parts, and a definite matrix of their vertices."""
    corners = np.arange((n + 1) ** 2).reshape(n + 1, n + 1)
    a, b, c, d = (
        part.ravel()
        for part in (corners[:-1, :-1], corners[1:, :-1], corners[1:, 1:], corners[:-1, 1:])
    )
    cells = np.concatenate([np.column_stack([a, b, c]), np.column_stack([a, c, d])])
    ends = np.sort(cells[:, [[0, 1], [1, 2], [0, 2]]], axis=2).reshape(-1, 2)
    edges = np.unique(ends, axis=0, return_inverse=True)[1].reshape(-1, 3)
    points = np.column_stack(np.divmod(np.arange((n + 1) ** 2), n + 1))
    path = halved(points[cells].mean(axis=1), edges)
    used = np.repeat(cells, 3, axis=1).ravel(), np.tile(cells, (1, 3)).ravel()
    values = np.where(used[0] == used[1], 9.0, -1.0)
    return cells, path, coo_matrix((values, used), shape=(len(points),) * 2).tocsr()


def test_dissection_leaves_little_fill() -> None:
    """Half of what a band leaves in a square; every node has a place of its own."""
    cells, path, full = square(40)
    everywhere = np.arange(len(cells)), cells
    place = dissection(path, full.shape[0], everywhere)
    assert (np.sort(place) == np.arange(len(place))).all()
    full = full.tocoo()
    fill = []
    for order in (place, np.arange(len(place))):
        at = order[full.row], order[full.col]
        turned = coo_matrix((full.data, at), shape=full.shape).tocsr()
        factor = factorised(stored(turned, half=True), definite=True, ordered=True)
        fill.append(factor.getInfo()["nz_used"])
    assert fill[0] < 0.5 * fill[1]


@pytest.mark.parametrize("half", [False, True])
def test_fronts(half: bool) -> None:
    """Each way of solving, of more right-hand sides than go at a time, in other places too."""
    cells, path, full = square(20)
    given = triu(full, format="csr") if half else full
    everywhere = np.arange(len(cells)), cells
    order, starts = fronts(path, full.shape[0], everywhere)
    assert (np.sort(order) == np.arange(full.shape[0])).all()
    right = np.random.default_rng(1).random((11, full.shape[0]))
    columns = np.array([0, 10, 2, 3, 4, 5, 6, 7, 9])
    for many, single in ((False, False), (True, False), (True, True)):
        error = 1e-6 if single else 1e-13
        out = np.full(right.shape, np.nan)
        factor = Fronts(given, order, starts, many=many, single=single)
        factor.solve_columns(right, columns, out)
        factor.destroy()
        assert np.abs(full @ out[columns].T - right[columns].T).max() < error
        assert np.isnan(out[[1, 8]]).all()
    for matrix, positive in ((full - 9 * identity(len(order)), None), (full, 3)):
        with pytest.raises(ConvergenceError, match="pivot has not its sign"):
            Fronts(matrix.tocsr(), order, starts, positive=positive)


def test_fronts_of_constraints() -> None:
    """The sums around some vertices are given: rows that are eliminated last in each front."""
    cells, path, full = square(20)
    n, some = full.shape[0], np.arange(0, full.shape[0] // 2, 2)
    constraints = abs(full[some])
    matrix = bmat([[full, constraints.T], [constraints, None]], format="csr")
    number = np.full(n, -1)
    number[some] = n + np.arange(len(some))
    every = np.arange(len(cells))
    order, starts = fronts(path, len(number) + len(some), (every, cells), (every, number[cells]))
    right = np.random.default_rng(1).random((1, matrix.shape[0]))
    out = np.empty_like(right)
    Fronts(matrix, order, starts, positive=n).solve_columns(right, np.zeros(1, np.int64), out)
    assert np.abs(matrix @ out[0] - right[0]).max() < 1e-12
