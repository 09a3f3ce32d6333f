"""What solvers do where they fail."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from mpi4py import MPI
from petsc4py import PETSc

from meso.discrete import memory
from meso.discrete.krylov import Operator, iterate
from meso.discrete.solvers import Iterative
from meso.discrete.sparse import Rows
from meso.errors import ConvergenceError


def turning(strength: float, n: int = 60) -> tuple[PETSc.Mat, SimpleNamespace]:
    """A chain whose neighbours act on each other with opposite signs, as Hall currents do."""
    dense = 2.0 * np.eye(n) + strength * (np.eye(n, k=1) - np.eye(n, k=-1))
    matrix = PETSc.Mat().createAIJ((n, n), nnz=3, comm=PETSc.COMM_SELF)
    for i, j in zip(*np.nonzero(dense), strict=True):
        matrix.setValue(i, j, dense[i, j])
    matrix.assemble()
    rows = SimpleNamespace(comm=MPI.COMM_SELF, owned=n, total=n, size=n)
    return matrix, rows


def test_antisymmetric_parts_without_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """One message: what failed, why, and what else there is."""
    monkeypatch.setattr(memory, "_SMALL", 0.0)
    monkeypatch.setattr(memory, "_machine", lambda: 1.0)
    solver = Iterative(*turning(1e8), "multigrid", symmetric=False)
    with pytest.raises(ConvergenceError) as caught:
        solver.solve(np.ones((60, 1)))
    solver.close()
    text = str(caught.value)
    assert text.startswith("GMRES stopped after ")
    assert "Hall conductivities" in text and "GB of memory" in text and "mesh.size" in text


def test_antisymmetric_parts_are_factorised() -> None:
    """Solutions of the matrix and of its transpose, over and over."""
    matrix, rows = turning(1e4)
    dense = matrix.convert("dense").getDenseArray().copy()
    load = np.linspace(-1, 1, 120).reshape(60, 2)
    solver = Iterative(turning(1e4)[0], rows, "multigrid", symmetric=False)
    for _ in range(2):
        np.testing.assert_allclose(dense @ solver.solve(load), load, rtol=0, atol=1e-9)
    np.testing.assert_allclose(dense.T @ solver.solve_transposed(load), load, rtol=0, atol=1e-9)
    assert solver.method == "MUMPS LU after GMRES, BoomerAMG failed"
    solver.close()
    matrix.destroy()


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, ConvergenceError])
def test_iterations_that_are_ended(kind: type) -> None:
    """Ctrl-C inside of a product ends them, and is not taken for a solver that fails."""
    numbering = SimpleNamespace(starts=np.array([0, 4]), total=4, to_global=np.arange(4))
    rows = Rows(numbering, MPI.COMM_SELF)  # type: ignore[arg-type]

    def product(x: np.ndarray) -> np.ndarray:
        raise kind("inside")

    with pytest.raises(kind) as error:
        iterate(Operator(product, rows), np.copy, np.ones((4, 1)), 1e-6)
    assert isinstance(error.value, ConvergenceError) or str(error.value) == "inside"
