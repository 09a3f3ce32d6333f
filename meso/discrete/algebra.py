"""Linear systems: cell condensation and assembly; :mod:`meso.discrete.solvers` solves them.

A system is a sum of small dense matrices, symmetric unless told otherwise, one per cell, plus
couplings to the wall multipliers. Unknowns inside cells are eliminated cell by cell, which halves
the factorisation.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from petsc4py import PETSc
from scipy.sparse import coo_matrix, csr_matrix, triu

from meso.discrete.loops import eliminate
from meso.discrete.solvers import Factor, Iterative, free
from meso.discrete.unknowns import Unknowns


@dataclass(frozen=True, slots=True)
class Condensed:
    """One batch of cells after the elimination of its inner unknowns.

    Attributes:
        cells: Cell numbers, shape (c,).
        rows: Local unknowns of the outer positions, -1 where prescribed, shape (c, n).
        coupling: A_ii^-1 A_io, shape (c, m, n).
        own: A_ii^-1 b_i, shape (c, m, sides), or None without inner loads.
        given: Prescribed values at the outer positions, shape (c, n, sides), or None.
        block: A_oi and A_ii, shape (c, n + m, m), or None if no other loads will come.
    """

    cells: np.ndarray
    rows: np.ndarray
    coupling: np.ndarray
    own: np.ndarray | None
    given: np.ndarray | None
    block: np.ndarray | None = None

    def inner(self, solution: np.ndarray) -> np.ndarray:
        """Inner unknowns, shape (c, m, sides), from the local solution, shape (n, sides)."""
        outer = np.where((self.rows >= 0)[:, :, None], solution[self.rows], 0.0)
        if self.given is not None:
            outer = outer + self.given
        inner = -(self.coupling @ outer)
        return inner if self.own is None else inner + self.own

    def transposed(self) -> Condensed:
        """The same of the transposed matrices."""
        assert self.block is not None
        n = self.rows.shape[1]
        across, turned = (part.swapaxes(1, 2) for part in (self.block[:, :n], self.block[:, n:]))
        block = np.concatenate([self.coupling.swapaxes(1, 2) @ turned, turned], axis=1)
        return replace(self, coupling=np.linalg.solve(turned, across), block=block)


@dataclass(slots=True)
class Assembly:
    """Collects element matrices and loads; becomes a factorised system.

    Attributes:
        unknowns: The numbering.
        sides: Number of right-hand sides.
        symmetric: Whether all matrices are symmetric.
        own: Whether terms of a user take part: unknowns inside cells are pivoted then.
        keep: Whether other loads will come, for :meth:`respond`.
        loads_only: Whether the matrix is known already, and forgotten here.
    """

    unknowns: Unknowns
    sides: int
    symmetric: bool = True
    own: bool = False
    keep: bool = False
    loads_only: bool = False
    load: np.ndarray = field(init=False)
    batches: list[Condensed] = field(default_factory=list)
    _triplets: list[tuple[np.ndarray, ...]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.load = np.zeros((self.unknowns.size, self.sides))

    def add_cells(
        self,
        cells: np.ndarray,
        matrix: np.ndarray,
        rows: np.ndarray,
        load: np.ndarray | None = None,
        given: np.ndarray | None = None,
    ) -> None:
        """Condense and add the matrices of a batch of cells.

        Args:
            cells: Cell numbers, shape (c,).
            matrix: Matrices, outer unknowns first, shape (c, n, n).
            rows: Local unknowns of the outer positions, -1 where prescribed, shape (c, o).
            load: Loads, shape (c, n, sides), or None.
            given: Prescribed values at the outer positions, 0 elsewhere, shape (c, o, sides),
                or None.
        """
        if not len(cells):
            return
        outer = rows.shape[1]
        remaining = matrix[:, :outer, :outer]
        outer_load = None if load is None else load[:, :outer]
        if matrix.shape[1] > outer:
            left, solved = eliminate(matrix, outer, load, pivoting=self.own or not self.symmetric)
            remaining, coupling, own = left, solved, None
            if load is not None:
                remaining, outer_load = left[..., :outer], left[..., outer:]
                coupling, own = solved[..., :outer], solved[..., outer:]
            block = matrix[:, :, outer:].copy() if self.keep else None
            self.batches.append(Condensed(cells, rows, coupling, own, given, block))
        self.add_matrix(rows, remaining)
        if given is not None:
            lifted = remaining @ given
            outer_load = -lifted if outer_load is None else outer_load - lifted
        if outer_load is not None:
            self.add_load(rows, outer_load)

    def add_matrix(self, rows: np.ndarray, matrix: np.ndarray) -> None:
        """Add small matrices, (f, n, n), between local unknowns, (f, n), -1 where prescribed."""
        if not len(rows) or self.loads_only:
            return
        n, rows = rows.shape[1], rows.astype(np.int32)
        i, j = np.triu_indices(n) if self.symmetric else np.divmod(np.arange(n * n), n)
        values = np.ascontiguousarray(matrix).reshape(len(rows), -1).take(i * n + j, axis=1)
        a, b = rows.take(i, axis=1), rows.take(j, axis=1)
        if self.symmetric:
            # Nodes of a cell may be twins: their coupling counts on both sides of the diagonal.
            values[(a == b) & (i != j)] *= 2
        self._add(a.ravel(), b.ravel(), values.ravel())

    def add_coupling(self, rows: np.ndarray, columns: np.ndarray, matrix: np.ndarray) -> None:
        """Add couplings (f, m, n) of two sets of unknowns, (f, m) and (f, n), and transposes."""
        a = np.repeat(rows, columns.shape[1], axis=1).ravel()
        b = np.tile(columns, (1, rows.shape[1])).ravel()
        self._add(a, b, matrix.ravel())
        if not self.symmetric:
            self._add(b, a, matrix.ravel())

    def add_load(self, rows: np.ndarray, load: np.ndarray) -> None:
        """Add loads, shape (..., sides), at local unknowns, shape (...), -1 ignored."""
        keep = rows >= 0
        np.add.at(self.load, rows[keep], load[keep])

    def respond(
        self,
        factor: Factor | Iterative,
        rows: np.ndarray,
        loads: np.ndarray,
        *,
        transposed: bool = False,
    ) -> tuple[np.ndarray, np.ndarray]:
        """The solution for another load of cells, without what is given.

        Args:
            factor: What :meth:`factorise` or :meth:`iterative` returned.
            rows: Local unknowns of the outer positions of all cells, (c, o), -1 for none.
            loads: On all positions of the cells, outer ones first, (c, n).
            transposed: True for the solution of the transposed system.

        Returns:
            At the local unknowns, and at all positions of the cells, (n,) and (c, n).
        """
        o = rows.shape[1]
        outer, inner = loads[:, :o].copy(), np.zeros((len(loads), loads.shape[1] - o))
        batches = [part.transposed() if transposed else part for part in self.batches]
        for part in batches:
            assert part.block is not None
            inside = np.linalg.solve(part.block[:, o:], loads[part.cells, o:, None])
            outer[part.cells] -= (part.block[:, :o] @ inside)[..., 0]
            inner[part.cells] = inside[..., 0]
        right = np.zeros((self.unknowns.size, 1))
        keep = rows >= 0
        right[:, 0] = np.bincount(rows[keep], outer[keep], minlength=len(right))
        x = (factor.solve_transposed if transposed else factor.solve)(right)[:, 0]
        at = np.where(keep, x[rows], 0.0) if len(x) else np.zeros(rows.shape)
        for part in batches:
            inner[part.cells] -= (part.coupling @ at[part.cells, :, None])[..., 0]
        return x, np.concatenate([at, inner], axis=1)

    def _add(self, a: np.ndarray, b: np.ndarray, values: np.ndarray) -> None:
        low, high = (a, b) if not self.symmetric else (np.minimum(a, b), np.maximum(a, b))
        low, high = low.astype(np.int32, copy=False), high.astype(np.int32, copy=False)
        if min(low.min(initial=0), high.min(initial=0)) < 0:
            keep = (low >= 0) & (high >= 0)
            low, high, values = low[keep], high[keep], values[keep]
        self._triplets.append((values, low, high))

    def factorise(self, *, fits: bool = False) -> Factor:
        """Assemble the matrix over all ranks and factorise it.

        With ``fits`` it is known already that there is enough memory. Raises a ConvergenceError if
        the factorisation failed (a singular system).
        """
        matrix = self._matrix(half=True)
        return Factor(matrix, self.unknowns, symmetric=self.symmetric, fits=fits)

    def iterative(
        self, preconditioner: str = "multigrid", *, tolerance: float | None = None
    ) -> Iterative:
        """Assemble a matrix with a positive definite symmetric part, to be solved by iterations.

        The preconditioner is "multigrid", or "jacobi" for mass matrices; the tolerance is on its
        residual, by default near rounding.
        """
        matrix = self._matrix(half=False)
        return Iterative(
            matrix,
            self.unknowns,
            preconditioner,
            symmetric=self.symmetric,
            tolerance=tolerance,
        )

    def _matrix(self, *, half: bool) -> PETSc.Mat:
        if self.symmetric:
            return global_matrix(self.local(), self.unknowns, half=half)
        return distributed(self.local(), self.unknowns)

    def local(self) -> csr_matrix:
        """This rank's part of the matrix, in local numbers; if symmetric its upper triangle."""
        size = self.unknowns.size
        # A zero diagonal belongs to the pattern of an indefinite matrix.
        diagonal = np.arange(size, dtype=np.int32)
        self._triplets.append((np.zeros(size), diagonal, diagonal))
        values, rows, columns = (np.concatenate(part) for part in zip(*self._triplets, strict=True))
        self._triplets.clear()
        return coo_matrix((values, (rows, columns)), shape=(size, size)).tocsr()


def global_matrix(upper: csr_matrix, unknowns: Any, *, half: bool) -> PETSc.Mat:
    """The symmetric matrix over all ranks; of one alone the upper half, if that is enough."""
    comm = unknowns.comm
    if comm.size == 1 and half:
        matrix = PETSc.Mat().create(comm)
        matrix.setSizes((unknowns.total, unknowns.total))
        matrix.setType(PETSc.Mat.Type.SBAIJ)
        matrix.setPreallocationCSR((upper.indptr, upper.indices, upper.data))
        matrix.assemble()
        return matrix
    return distributed((upper + triu(upper, 1).T).tocsr(), unknowns)


def distributed(full: csr_matrix, rows: Any, columns: Any = None) -> PETSc.Mat:
    """The matrix over all ranks from this rank's part of it, in local numbers."""
    comm, columns = rows.comm, columns or rows
    local = PETSc.Mat().createAIJ(
        full.shape, csr=(full.indptr, full.indices, full.data), comm=PETSc.COMM_SELF
    )
    if comm.size == 1:
        return local
    maps = [PETSc.LGMap().create(each.to_global, comm=comm) for each in (rows, columns)]
    shape = ((rows.owned, rows.total), (columns.owned, columns.total))
    parts = PETSc.Mat().createIS(shape, lgmapr=maps[0], lgmapc=maps[1], comm=comm)
    parts.setISLocalMat(local)
    parts.assemble()
    matrix = PETSc.Mat()
    parts.convert(PETSc.Mat.Type.AIJ, out=matrix)
    free(parts, local, *maps)
    return matrix
