"""Factors of symmetric positive definite matrices."""

from __future__ import annotations

import numpy as np
import pytest
from petsc4py import PETSc
from scipy.sparse import coo_matrix, csr_matrix, diags, triu

from meso.discrete.dissection import dissection, halved
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


def test_dissection_leaves_little_fill() -> None:
    """Half of what a band leaves in a square; every node has a place of its own."""
    n = 40
    corners = np.arange((n + 1) ** 2).reshape(n + 1, n + 1)
    a, b, c, d = (
        part.ravel()
        for part in (corners[:-1, :-1], corners[1:, :-1], corners[1:, 1:], corners[:-1, 1:])
    )
    cells = np.concatenate([np.column_stack([a, b, c]), np.column_stack([a, c, d])])
    ends = np.sort(cells[:, [[0, 1], [1, 2], [0, 2]]], axis=2).reshape(-1, 2)
    edges = np.unique(ends, axis=0, return_inverse=True)[1].reshape(-1, 3)
    points = np.column_stack(np.divmod(np.arange((n + 1) ** 2), n + 1))
    place = dissection(halved(points[cells].mean(axis=1), edges), cells)
    assert (np.sort(place) == np.arange((n + 1) ** 2)).all()
    used = np.repeat(cells, 3, axis=1).ravel(), np.tile(cells, (1, 3)).ravel()
    fill = []
    for order in (place, np.arange(len(place))):
        at = order[used[0]], order[used[1]]
        full = coo_matrix((np.where(at[0] == at[1], 9.0, -1.0), at), shape=(len(place),) * 2)
        factor = factorised(stored(full.tocsr(), half=True), definite=True, ordered=True)
        fill.append(factor.getInfo()["nz_used"])
    assert fill[0] < 0.5 * fill[1]
