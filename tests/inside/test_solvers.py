"""What iterations do where they fail: neighbours act on each other with opposite signs."""

from types import SimpleNamespace

import numpy as np
import pytest
from mpi4py import MPI
from petsc4py import PETSc
from scipy.sparse import diags_array

from meso.discrete import memory
from meso.discrete.krylov import Operator, iterate
from meso.discrete.solvers import Iterative
from meso.discrete.sparse import Rows
from meso.errors import ConvergenceError

A = diags_array([-1e4, 2.0, 1e4], offsets=[-1, 0, 1], shape=(60, 60)).tocsr()


def solver() -> Iterative:
    matrix = PETSc.Mat().createAIJ(A.shape, csr=(A.indptr, A.indices, A.data), comm=MPI.COMM_SELF)
    rows = SimpleNamespace(comm=MPI.COMM_SELF, owned=60, total=60, size=60)
    return Iterative(matrix, rows, "multigrid", symmetric=False)


def test_antisymmetric_parts_are_factorised(monkeypatch: pytest.MonkeyPatch) -> None:
    """Solutions of the matrix and of its transpose, over and over; one message without memory."""
    load, one = np.linspace(-1, 1, 120).reshape(60, 2), solver()
    for _ in range(2):
        np.testing.assert_allclose(A @ one.solve(load), load, rtol=0, atol=1e-9)
    np.testing.assert_allclose(A.T @ one.solve_transposed(load), load, rtol=0, atol=1e-9)
    assert one.method == "MUMPS LU after GMRES, BoomerAMG failed"
    one.close()
    monkeypatch.setattr(memory, "_SMALL", 0.0)
    monkeypatch.setattr(memory, "_machine", lambda: 1.0)
    with pytest.raises(ConvergenceError, match=r"GMRES stopped.*Hall.*GB of memory.*mesh\.size"):
        solver().solve(load)


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
