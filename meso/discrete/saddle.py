"""Saddle points in 3D: GMRES with a Schur complement and algebraic multigrid.

    [ A  B^T ] [J  ]
    [ B   0  ] [phi]

The preconditioner is block triangular (Schur complement on the right), A^-1 one V-cycle for each
component of J, the inverse of the Schur complement the sum of two (J. Cahouet, J.-P. Chabard, Int.
J. Numer. Methods Fluids 8, 869 (1988)), S^-1 = M^-1 + K^-1.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from petsc4py import PETSc

from meso.discrete.solvers import Krylov, boomer_amg, free
from meso.discrete.sparse import BlockMatrix, Rows

#: Relative residual at which the iteration stops.
TOLERANCE = 1e-10
#: More iterations than any device should need.
MAX_ITERATIONS = 400
#: Factor of K = DARCY B D^-1 B^T, as D^-1 overrates the inverse of a mass matrix of quadratic
#: elements (0.25 to 0.5 measured alike; on flat cells a third fewer iterations than with
#: (sigma grad phi, grad psi)).
DARCY = 0.35


class Saddle(Krylov):
    """The coupled system with its preconditioner.

    Args:
        A: Of J.
        B: Of its divergence.
        components: Diagonal blocks of A, one for each component.
        mass: M, for viscous flow.
        diagonal: D, of the relaxation, at local nodes: K is for ohmic flow.
    """

    def __init__(
        self,
        A: BlockMatrix,
        B: BlockMatrix,
        components: Sequence[BlockMatrix],
        mass: BlockMatrix,
        diagonal: np.ndarray,
    ) -> None:
        self.rows: tuple[Rows, Rows] = A.rows, B.rows
        self.parts = A.assembled(), B.assembled()
        Bt = PETSc.Mat().createTranspose(self.parts[1])
        nest = [[self.parts[0], Bt], [self.parts[1], None]]
        matrix = PETSc.Mat().createNest(nest, comm=A.rows.comm)
        matrix.setUp()
        most, kind = MAX_ITERATIONS, PETSc.KSP.Type.FGMRES
        super().__init__(matrix, None, "GMRES", kind, rtol=TOLERANCE, most=most)
        self._solver.setGMRESRestart(100)
        self.method, self.limit = "GMRES, Cahouet-Chabard, BoomerAMG", 100 * TOLERANCE
        scale = self.rows[0].gather(np.repeat(diagonal[:, None], self.rows[0].block, axis=1))
        self._preconditioner = _Preconditioner(
            Bt,
            [_preconditioner(part.assembled()) for part in components],
            _preconditioner(mass.assembled(), PETSc.PC.Type.BJACOBI),
            _preconditioner(_darcy(self.parts[1], scale)),
        )
        pc = self._solver.getPC()
        pc.setType(PETSc.PC.Type.PYTHON)
        pc.setPythonContext(self._preconditioner)

    def solve(
        self, forces: np.ndarray, sources: np.ndarray, ports: int, level: Sequence[int]
    ) -> tuple[list[tuple[np.ndarray, np.ndarray]], np.ndarray]:
        """Solve for all sides, one after the other.

        Args:
            forces: This rank's contributions at local numbers, shape (sides, n, components).
            sources: The same of the potential, shape (sides, m).
            ports: The first sides, whose loads measure currents.
            level: Sides that together are a potential of one everywhere, without current: the last
                of them needs no solution of its own.

        Returns:
            J and the potential at local numbers for each side, and the currents, (ports, sides).

        Raises:
            ConvergenceError: The iteration stagnates.
        """
        u, p = self.rows
        loads = [
            PETSc.Vec().createNest([u.gather(f), p.gather(q)], comm=u.comm)
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
            everywhere.getNestSubVecs()[0].set(0.0)
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
            vector, scalar = found[side][0].getNestSubVecs()
            out.append((u.spread(vector), p.spread(scalar)[:, 0]))
        free(*loads, *(part for pair in found.values() for part in pair))
        return out, np.array(flux).reshape(ports, len(loads))

    def close(self) -> None:
        """Free the solver, on all ranks together."""
        self._preconditioner.close()
        super().close()
        free(*self.parts)


class _Preconditioner:
    """Upper triangular: phi = -(M^-1 + K^-1) r_phi, then J = A^-1 (r_J - B^T phi)."""

    def __init__(
        self, Bt: PETSc.Mat, cycles: list[PETSc.PC], mass: PETSc.PC, stiffness: PETSc.PC
    ) -> None:
        self.Bt, self.cycles, self.mass, self.stiffness = Bt, cycles, mass, stiffness
        self.work: list[PETSc.Vec] = []

    def close(self) -> None:
        """Free matrices and factors."""
        pcs = [*self.cycles, self.mass, self.stiffness]
        free(*pcs, *(pc.getOperators()[0] for pc in pcs), *self.work, self.Bt)

    def apply(self, pc: PETSc.PC, x: PETSc.Vec, y: PETSc.Vec) -> None:
        (force, source), (u, phi) = x.getNestSubVecs(), y.getNestSubVecs()
        if not self.work:
            # Velocity, potential, and one component of the velocity twice.
            first = self.cycles[0].getOperators()[0]
            self.work = [force.duplicate(), source.duplicate(), *first.createVecs()]
        rest, other, right, left = self.work
        self.mass.apply(source, phi)
        self.stiffness.apply(source, other)
        phi.axpy(1.0, other)
        phi.scale(-1.0)
        self.Bt.mult(phi, rest)
        rest.aypx(-1.0, force)
        count = len(self.cycles)
        residual, result = rest.array_r.reshape(-1, count), u.array.reshape(-1, count)
        for a, cycle in enumerate(self.cycles):
            right.array[:] = residual[:, a]
            cycle.apply(right, left)
            result[:, a] = left.array_r


def _preconditioner(matrix: PETSc.Mat, kind: str | None = None) -> PETSc.PC:
    """One V-cycle of algebraic multigrid, or another kind."""
    pc = PETSc.PC().create(matrix.comm)
    pc.setOperators(matrix)
    boomer_amg(pc) if kind is None else pc.setType(kind)
    pc.setUp()
    return pc


def _darcy(B: PETSc.Mat, scale: PETSc.Vec) -> PETSc.Mat:
    """The Schur complement of ohmic flow, K; it knows of contacts and walls what B knows."""
    scale.reciprocal()
    scale.sqrtabs()
    scaled = B.copy()
    scaled.diagonalScale(R=scale)
    K = scaled.matTransposeMult(scaled)
    K.scale(DARCY)
    free(scaled, scale)
    return K
