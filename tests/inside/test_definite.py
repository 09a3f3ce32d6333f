"""Factors of symmetric matrices that need no pivoting."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from launching import launch
from mpi4py import MPI
from petsc4py import PETSc
from scipy.sparse import bmat, coo_matrix, csr_matrix, identity, triu

from meso.discrete.dissection import dissection, fronts, halved
from meso.discrete.fronts import Fronts
from meso.discrete.solvers import factorised, method_of, solve_columns
from meso.discrete.subdomains import Subdomains
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
    return cells, halved(points[cells].mean(axis=1), edges), summed(cells, len(points))


def summed(cells: np.ndarray, count: int) -> csr_matrix:
    """The matrix of some of these cells."""
    used = np.repeat(cells, 3, axis=1).ravel(), np.tile(cells, (1, 3)).ravel()
    values = np.where(used[0] == used[1], 9.0, -1.0)
    return coo_matrix((values, used), shape=(count, count)).tocsr()


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


def saddle(full: csr_matrix) -> tuple[np.ndarray, csr_matrix]:
    """With sums around some vertices given; these vertices."""
    some = np.arange(0, full.shape[0] // 2, 2)
    return some, bmat([[full, abs(full[some]).T], [abs(full[some]), None]], format="csr")


@pytest.mark.parametrize("kind", [{}, {"many": True}, {"many": True, "single": True}])
def test_fronts(kind: dict[str, bool]) -> None:
    """More right-hand sides than are solved for at a time."""
    cells, path, full = square(20)
    n, every = full.shape[0], np.arange(len(cells))
    some, whole = saddle(full)
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


@pytest.mark.ranks
def test_subdomains() -> None:
    """The same on ranks, of which the last has no cells."""
    launch(__file__, 4)


def on_ranks(comm: MPI.Comm) -> None:
    """Residual of solutions, each rank with the cells of a strip and a part of the vertices."""
    cells, path, full = square(20)
    n, (some, whole) = full.shape[0], saddle(full)
    number = np.where(np.isin(np.arange(n), some), n + np.arange(n) // 2, -1)
    every = [*np.array_split(np.arange(len(cells)), comm.size - 1), np.empty(0, dtype=int)]
    mine, own = every[comm.rank], cells[every[comm.rank]]
    touched = np.unique(np.concatenate([own, number[own]]))
    touched = touched[touched >= 0]
    here = np.append(np.full(whole.shape[0], -1), -1)
    here[touched] = np.arange(len(touched))
    local = saddle(summed(own, n))[1][touched][:, touched]
    # Owned by the first rank that touches it, one after the other.
    touching = np.array(comm.allgather(np.isin(np.arange(whole.shape[0]), touched)))
    owner = touching.argmax(axis=0)
    by = np.argsort(owner, kind="stable")
    row = np.argsort(by)
    owned = np.bincount(owner, minlength=comm.size)
    rows = SimpleNamespace(comm=comm, owned=owned[comm.rank], to_global=row[touched])
    order = fronts(
        path[mine],
        len(touched),
        *((np.arange(len(mine)), here[k[own]]) for k in (np.arange(n), number)),
    )
    right = np.random.default_rng(1).random((11, whole.shape[0]))
    part = slice(owned[: comm.rank].sum(), owned[: comm.rank + 1].sum())
    out, columns = right[:, by][:, part], np.arange(10)[::-1]
    given = out.copy()
    positive = int((touched < n).sum())
    factor = Subdomains(triu(local, format="csr"), rows, *order, positive=positive, many=True)
    factor.solve_columns(given, columns, out)
    found = np.concatenate(comm.allgather(out), axis=1)[:, row]
    assert np.abs(whole @ found[columns].T - right[columns].T).max() < 1e-12
    assert (found[10] == right[10]).all()
    with pytest.raises(ConvergenceError, match="pivot has not its sign"):
        Subdomains(triu(local, format="csr"), rows, *order)


if __name__ == "__main__":
    on_ranks(MPI.COMM_WORLD)
