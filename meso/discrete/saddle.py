"""Saddle points: GMRES with a Schur complement, multigrid and Schwarz methods.

    [ A  B^T ] [J  ]
    [ B  -C  ] [phi]

The preconditioner is block triangular (Schur complement on the right), the inverse of the Schur
complement of the potential the sum of two (J. Cahouet, J.-P. Chabard, Int. J. Numer. Methods Fluids
8, 869 (1988)), S^-1 = M^-1 + K^-1. Further multipliers may follow the potential. Preconditioners
have ``apply(x, y)`` and ``close()``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from petsc4py import PETSc

from meso.discrete.solvers import LOOSELY, Krylov, boomer_amg, factorised, free
from meso.discrete.sparse import BlockMatrix, Rows
from meso.discrete.stars import Stars

#: Relative residual at which the iteration stops.
TOLERANCE = 1e-10
#: More iterations than any device should need.
MAX_ITERATIONS = 400
#: Weight of the solutions in stars: eigenvalues are between 0 and 3, those of smooth errors small.
DAMPING = 1 / 1.75


class Saddle(Krylov):
    """The coupled system with its preconditioner.

    Args:
        method: Its name.
        A: Of J.
        multipliers: Of the potential, and of further fields: B, and C or None.
        inverse: Preconditioner of A.
        schur: Preconditioners of the Schur complements of the multipliers.
        tolerance: Relative residual at which the iteration stops.
    """

    def __init__(
        self,
        method: str,
        A: BlockMatrix,
        multipliers: Sequence[tuple[BlockMatrix, BlockMatrix | None]],
        inverse: Any,
        schur: Sequence[Any],
        tolerance: float = TOLERANCE,
    ) -> None:
        self.rows: list[Rows] = [A.columns, *(B.rows for B, _ in multipliers)]
        down = [B.assembled() for B, _ in multipliers]
        across = [PETSc.Mat().createTranspose(B) for B in down]
        own = [None if C is None else C.assembled() for _, C in multipliers]
        self.parts = [A.assembled(), *down, *(C for C in own if C is not None)]
        nest = [[self.parts[0], *across]]
        for i, B in enumerate(down):
            nest.append([B, *(C if i == j else None for j, C in enumerate(own))])
        matrix = PETSc.Mat().createNest(nest, comm=A.rows.comm)
        matrix.setUp()
        most, kind = MAX_ITERATIONS, PETSc.KSP.Type.FGMRES
        super().__init__(matrix, None, "GMRES", kind, rtol=tolerance, most=most)
        self._solver.setGMRESRestart(100)
        self.method, self.limit = method, LOOSELY * tolerance
        self._preconditioner = _Triangular(across, inverse, schur)
        pc = self._solver.getPC()
        pc.setType(PETSc.PC.Type.PYTHON)
        pc.setPythonContext(self._preconditioner)

    def solve(
        self, forces: np.ndarray, sources: np.ndarray, ports: int, level: Sequence[int]
    ) -> tuple[list[list[np.ndarray]], np.ndarray]:
        """Solve for all sides, one after the other.

        Args:
            forces: This rank's contributions at local numbers, shape (sides, n, components).
            sources: The same of the potential, shape (sides, m).
            ports: The first sides, whose loads measure currents.
            level: Sides that together are a potential of one everywhere, without current: the last
                of them needs no solution of its own.

        Returns:
            J, (n, components), and each multiplier, (m,), at local numbers for each side, and the
            currents, (ports, sides).

        Raises:
            ConvergenceError: The iteration stagnates.
        """
        u, _, *more = self.rows
        rest = [np.zeros(rows.size) for rows in more]
        loads = [
            PETSc.Vec().createNest(
                [rows.gather(part) for rows, part in zip(self.rows, [f, q, *rest], strict=True)],
                comm=u.comm,
            )
            for f, q in zip(forces, sources, strict=True)
        ]
        sides, last = range(len(loads)), level[-1] if len(level) else None
        found: dict[int, tuple[PETSc.Vec, PETSc.Vec]] = {}
        for side in sides:
            if side != last:
                solution, residual, error = self.iterate(loads[side])
                self.residual = max(self.residual, error)
                found[side] = solution, residual
        if last is not None:
            everywhere, nothing = loads[last].duplicate(), loads[last].duplicate()
            everywhere.set(0.0)
            everywhere.getNestSubVecs()[1].set(1.0)
            nothing.set(0.0)
            for side in level[:-1]:
                everywhere.axpy(-1.0, found[side][0])
                nothing.axpy(-1.0, found[side][1])
            found[last] = everywhere, nothing
        # Currents are products with the loads of the ports, -<J_n>. What the residual leaves is
        # of second order, and their sum is zero to rounding.
        flux = [
            [loads[i].dot(found[j][0]) + found[i][0].dot(found[j][1]) for j in sides]
            for i in range(ports)
        ]
        out = []
        for side in sides:
            vector, *scalars = found[side][0].getNestSubVecs()
            pairs = zip(self.rows[1:], scalars, strict=True)
            out.append([u.spread(vector), *(rows.spread(x)[:, 0] for rows, x in pairs)])
        free(*loads, *(part for pair in found.values() for part in pair))
        return out, np.array(flux).reshape(ports, len(loads))

    def close(self) -> None:
        """Free the solver, on all ranks together."""
        self._preconditioner.close()
        super().close()
        free(*self.parts)


class _Triangular:
    """Upper triangular: phi = -S^-1 r_phi, then J = A^-1 (r_J - B^T phi)."""

    def __init__(self, across: list[PETSc.Mat], inverse: Any, schur: Sequence[Any]) -> None:
        self.across, self.inverse, self.schur = across, inverse, list(schur)
        self.work: list[PETSc.Vec] = []

    def close(self) -> None:
        """Free it."""
        for part in (self.inverse, *self.schur):
            part.close()
        free(*self.work, *self.across)

    def apply(self, pc: PETSc.PC, x: PETSc.Vec, y: PETSc.Vec) -> None:
        (force, *sources), (u, *multipliers) = x.getNestSubVecs(), y.getNestSubVecs()
        if not self.work:
            self.work = [force.duplicate()]
        rest = self.work[0]
        force.copy(rest)
        for transpose, part, source, found in zip(
            self.across, self.schur, sources, multipliers, strict=True
        ):
            part.apply(source, found)
            transpose.multAdd(found, rest, rest)
            found.scale(-1.0)
        self.inverse.apply(rest, u)


class Multigrid:
    """One V-cycle of algebraic multigrid."""

    def __init__(self, matrix: PETSc.Mat) -> None:
        self.matrix, self._pc = matrix, PETSc.PC().create(matrix.comm)
        self._pc.setOperators(matrix)
        self._choose(self._pc)
        self._pc.setUp()

    @staticmethod
    def _choose(pc: PETSc.PC) -> None:
        boomer_amg(pc)

    def apply(self, x: PETSc.Vec, y: PETSc.Vec) -> None:
        """Apply it."""
        self._pc.apply(x, y)

    def close(self) -> None:
        """Free matrix and factors."""
        free(self._pc, self.matrix)


class Incomplete(Multigrid):
    """Incomplete factors of the part of a mass matrix that each rank has.

    Its entries are as small as cells are, which is no reason to call them zero.
    """

    def __init__(self, matrix: BlockMatrix) -> None:
        super().__init__(matrix.assembled())

    @staticmethod
    def _choose(pc: PETSc.PC) -> None:
        prefix, options = f"meso_mass_{id(pc):x}_", PETSc.Options()
        pc.setType(PETSc.PC.Type.BJACOBI)
        pc.setOptionsPrefix(prefix)
        options[f"{prefix}sub_pc_factor_zeropivot"] = 1e-300
        pc.setFromOptions()
        pc.setUp()
        options.delValue(f"{prefix}sub_pc_factor_zeropivot")


class Sum:
    """The sum of two preconditioners, the second one of unknowns that ``hats`` interpolates."""

    def __init__(self, first: Any, second: Any, hats: BlockMatrix | None = None) -> None:
        self.first, self.second = first, second
        self.hats = None if hats is None else hats.assembled()
        self.work: list[PETSc.Vec] = []

    def apply(self, x: PETSc.Vec, y: PETSc.Vec) -> None:
        """Apply it."""
        if not self.work:
            few = () if self.hats is None else self.hats.createVecs()[:1]
            self.work = [x.duplicate(), *few, *(vec.duplicate() for vec in few)]
        other = self.work[0]
        self.first.apply(x, y)
        if self.hats is None:
            self.second.apply(x, other)
            y.axpy(1.0, other)
        else:
            self.hats.multTranspose(x, self.work[1])
            self.second.apply(*self.work[1:])
            self.hats.multAdd(self.work[2], y, y)

    def close(self) -> None:
        """Free it."""
        self.first.close()
        self.second.close()
        free(*self.work, *([] if self.hats is None else [self.hats]))


class Components:
    """A V-cycle for each component of a vector field, from the diagonal blocks of its matrix."""

    def __init__(self, blocks: Sequence[BlockMatrix]) -> None:
        self.cycles = [Multigrid(block.assembled()) for block in blocks]
        self.work = self.cycles[0].matrix.createVecs()

    def apply(self, x: PETSc.Vec, y: PETSc.Vec) -> None:
        """Apply it."""
        right, left = self.work
        count = len(self.cycles)
        residual, result = x.array_r.reshape(-1, count), y.array.reshape(-1, count)
        for a, cycle in enumerate(self.cycles):
            right.array[:] = residual[:, a]
            cycle.apply(right, left)
            result[:, a] = left.array_r

    def close(self) -> None:
        """Free it."""
        for cycle in self.cycles:
            cycle.close()
        free(*self.work)


class TwoLevels:
    """Stars, then continuous linear functions, then stars again.

    Args:
        A: The matrix.
        stars: Its stars.
        hats: P, which interpolates linear functions.
        images: A P.
        coarse: P^T A P, which is factorised: algebraic multigrid does not know what penalties on
            walls in all directions leave of it (four times the iterations where l is large).
    """

    def __init__(
        self,
        A: BlockMatrix,
        stars: Stars,
        hats: BlockMatrix,
        images: BlockMatrix,
        coarse: BlockMatrix,
    ) -> None:
        self.A, self.stars, self.hats = A.assembled(), stars, hats.assembled()
        self.images, self.coarse = images.assembled(), coarse.assembled()
        aij = self.coarse.convert(PETSc.Mat.Type.AIJ, PETSc.Mat())
        self.factor = factorised(aij, fits=True)
        free(aij)
        few = self.hats.createVecs()[0]
        self.work = [*self.A.createVecs(), few, few.duplicate()]

    def apply(self, x: PETSc.Vec, y: PETSc.Vec) -> None:
        """Apply it."""
        rest, more, load, found = self.work
        self.stars.apply(x, y)
        y.scale(DAMPING)
        self.hats.multTranspose(x, load)
        self.images.multTranspose(y, found)
        load.axpy(-1.0, found)
        self.factor.solve(load, found)
        self.hats.multAdd(found, y, y)
        self.A.mult(y, rest)
        rest.aypx(-1.0, x)
        self.stars.apply(rest, more)
        y.axpy(DAMPING, more)

    def close(self) -> None:
        """Free all but A."""
        self.stars.close()
        free(self.hats, self.images, self.coarse, self.factor, *self.work)


def darcy(
    B: BlockMatrix, diagonal: np.ndarray, factor: float, more: BlockMatrix | None = None
) -> PETSc.Mat:
    """The Schur complement of ohmic flow, factor times B D^-1 B^T and more.

    B knows of contacts and walls; D, of the relaxation, is given at local nodes.
    """
    u = B.columns
    scale = u.gather(np.repeat(diagonal[:, None], u.block, axis=1))
    scale.reciprocal()
    scale.sqrtabs()
    scaled = B.assembled().copy()
    scaled.diagonalScale(R=scale)
    K = scaled.matTransposeMult(scaled)
    if more is not None:
        K.axpy(1.0, more.assembled())
        free(more.mat)
    K.scale(factor)
    free(scaled, scale)
    return K
