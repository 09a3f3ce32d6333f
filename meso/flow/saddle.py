"""The moment system in 3D: GMRES with a Schur complement and algebraic multigrid.

    [ A  B^T ] [J  ]       A: relaxation, stress, boundary laws; walls by Nitsche's method
    [ B   0  ] [phi],      B: -(psi, div J) and the normal current through walls

The preconditioner is block triangular (Schur complement on the right). A^-1 is one V-cycle for
each component of J, along and across walls. The inverse of the Schur complement is that of its two
limits, one for viscous and one for ohmic flow (J. Cahouet, J.-P. Chabard, Int. J. Numer. Methods
Fluids 8, 869 (1988)),

    S^-1 = M^-1 + K^-1,     M = ((4 mu/3 + gamma)^-1 phi, psi),     K = DARCY B D^-1 B^T,

with mu = l^2/sigma, the augmentation gamma and the diagonal D of the relaxation (J/sigma, w). K
knows of contacts, walls, interfaces and periodic pairs what B knows. Iterations depend little on l
and on the mesh.
"""

from __future__ import annotations

import numpy as np
from petsc4py import PETSc

from meso.discrete import memory
from meso.discrete.periodic import ground_nodes, twin_nodes
from meso.discrete.scalar import ScalarForms
from meso.discrete.solvers import boomer_amg
from meso.discrete.sparse import BlockMatrix, Rows
from meso.discrete.unknowns import jumps, kept, number_field
from meso.errors import ConvergenceError
from meso.flow import terms
from meso.flow.discretisation import Discretisation, Problem, Solutions
from meso.flow.frames import wall_frames

#: Relative residual at which the iteration stops.
TOLERANCE = 1e-10
#: Factor of K: D^-1 overrates the inverse of a mass matrix of quadratic elements (0.25 to 0.5
#: measured alike; on flat cells a third fewer iterations than with (sigma grad phi, grad psi)).
DARCY = 0.35
#: More iterations than any device should need.
MAX_ITERATIONS = 400


class IterativeSystem:
    """A moment system with its preconditioner.

    Args:
        problem: What is to be solved.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.discrete = discrete = Discretisation(problem)
        self.vector, self.scalar = discrete.vector, discrete.scalar
        device, self.count = problem.device, discrete.moments.count
        comm = device.comm
        phase = problem.phases[device.cell_region]
        keep = kept(self.vector, discrete.prescribed, inside=True)
        twins = twin_nodes(device, self.vector, problem.pairs)
        vector = number_field(self.vector, keep, twins=twins)
        grounds = ground_nodes(device, self.scalar, problem.grounded, problem.pairs)
        extra, place = jumps(self.scalar, phase)
        scalar = number_field(self.scalar, kept(self.scalar, grounds, inside=True), extra=extra)
        self.rows = Rows(vector, comm, self.count), Rows(scalar, comm)
        self.vector_numbers = vector.nodes[self.vector.dofs]
        numbers = np.tile(scalar.nodes, (len(np.unique(problem.phases)), 1))
        numbers[place[:, 0], place[:, 1]] = scalar.extra
        self.scalar_numbers = numbers[phase[:, None], self.scalar.dofs]
        unknowns = self.count * int(vector.starts[-1]) + int(scalar.starts[-1])
        memory.require(
            comm,
            memory.iterative(unknowns) / comm.size,
            f"the iterative solution for {unknowns} unknowns",
            "larger cells (mesh.size, mesh.wall_size) or more memory would help",
        )
        self._assemble()
        self._loads()
        self.solver = _Solver(self)

    # -- assembly ------------------------------------------------------------------------------

    def _assemble(self) -> None:
        u, p = self.rows
        self.A = BlockMatrix(u, u, self.vector_numbers, self.vector_numbers)
        self.B = BlockMatrix(p, u, self.scalar_numbers, self.vector_numbers)
        nodes = Rows(u.numbering, u.comm)
        every = Rows(u.numbering, u.comm, self.count**2)
        self.frames = wall_frames(self.discrete, every, self.vector_numbers)
        self.components = [
            BlockMatrix(nodes, nodes, self.vector_numbers, self.vector_numbers)
            for _ in range(self.count)
        ]
        self.turned = (self.frames != np.eye(self.count)).any(axis=(1, 2))
        self.given_load = np.zeros((u.numbering.size, self.count))
        self.given_flux = np.zeros(p.numbering.size)

        n, p_ = self.count, self.vector.dofs.shape[1]

        def add(cells: np.ndarray, whole: np.ndarray) -> None:
            matrix = whole[:, : p_ * n, : p_ * n].reshape(-1, p_, n, p_, n)
            flux = whole[:, p_ * n :, : p_ * n]
            flux = flux.reshape(*flux.shape[:2], p_, n)
            self.A.add(cells, matrix)
            self.B.add(cells, flux)
            for a, part in enumerate(self.components):
                part.add(cells, self._component(a, cells, matrix))
            self._lift(cells, matrix, flux)

        for cells, whole in self.discrete.cell_matrices():
            add(cells, whole)
        for cells, whole in self.discrete.boundary_matrices(nitsche=True):
            add(cells, whole)

    def _component(self, a: int, cells: np.ndarray, matrix: np.ndarray) -> np.ndarray:
        """Diagonal block of one direction of the frames at the nodes, shape (c, p, p)."""
        out = matrix[:, :, a, :, a].copy()
        numbers = self.vector_numbers[cells]
        turned = self.turned[numbers] & (numbers >= 0)
        here = np.flatnonzero(turned.any(axis=1))
        direction = self.frames[numbers[here], :, a]
        out[here] = np.einsum(
            "cmb,cmbkd,ckd->cmk", direction, matrix[here], direction, optimize=True
        )
        return out

    def _lift(self, cells: np.ndarray, matrix: np.ndarray, flux: np.ndarray) -> None:
        """What prescribed values leave on the right-hand side."""
        if self.discrete.given is None:
            return
        missing = self.vector_numbers[cells] < 0
        values = np.where(missing[..., None], self.discrete.given[self.vector.dofs[cells]], 0.0)
        forces = np.einsum("cmanb,cnb->cma", matrix, values)
        _scatter(self.given_load, self.vector_numbers[cells], -forces)
        sources = np.einsum("csma,cma->cs", flux, values)
        _scatter(self.given_flux, self.scalar_numbers[cells], -sources)

    def _loads(self) -> None:
        """Right-hand sides at local numbers."""
        u, p = (rows.numbering.size for rows in self.rows)
        self.forces = np.zeros((self.discrete.sides, u, self.count))
        self.sources = np.zeros((self.discrete.sides, p))
        for side, name in enumerate(self.problem.ports):
            facets, flux = self.discrete.port_flux(name)
            self._add_force(side, facets.cell, facets.local, -flux)
        for facets, traction in self.discrete.tractions():
            self._add_force(-1, facets.cell, facets.local, traction)
        if self.discrete.given is not None:
            self.forces[-1] += self.given_load
            self.sources[-1] += self.given_flux
        loads = self.problem.loads
        if loads is None:
            return
        if loads.wall_flux:
            raise NotImplementedError("given currents through walls are for 2D")
        for batch, _ in self.discrete.cells.batches(4000):
            data = self.discrete.cell_loads(batch)
            if data is not None:
                _scatter(self.forces[-1], self.vector_numbers[batch], data[0])
                _scatter(self.sources[-1], self.scalar_numbers[batch], data[1])

    def _add_force(
        self, side: int, cell: np.ndarray, local: np.ndarray, values: np.ndarray
    ) -> None:
        on_facet = self.vector.on_facet[local]
        numbers = self.vector_numbers[cell[:, None], on_facet]
        _scatter(self.forces[side], numbers, values)

    # -- solution ------------------------------------------------------------------------------

    def solve(self) -> Solutions:
        """Solve for unit potentials on each port, and for the loads if there are any.

        Returns:
            The solutions.

        Raises:
            ConvergenceError: The iteration stagnates.
        """
        sides, ports = self.discrete.sides, len(self.problem.ports)
        contacts = [i for i, name in enumerate(self.problem.ports) if name in self.problem.grounded]
        last = contacts[-1] if contacts else None
        found: dict[int, tuple[PETSc.Vec, PETSc.Vec]] = {}
        loads = [self.solver.load(f, q) for f, q in zip(self.forces, self.sources, strict=True)]
        for side in range(sides):
            if side != last:
                found[side] = self.solver.solve(loads[side])
        if last is not None:
            # All contacts at one potential: that everywhere, and no current.
            everywhere, nothing = loads[last].duplicate(), loads[last].duplicate()
            everywhere.getNestSubVecs()[0].set(0.0)
            everywhere.getNestSubVecs()[1].set(1.0)
            nothing.set(0.0)
            for side in contacts[:-1]:
                everywhere.axpy(-1.0, found[side][0])
                nothing.axpy(-1.0, found[side][1])
            found[last] = everywhere, nothing
        # Currents are products with the loads of the ports, -<J_n>. What the residual leaves is
        # of second order, and their sum is zero to rounding.
        flux = np.array(
            [
                [loads[i].dot(found[j][0]) + found[i][0].dot(found[j][1]) for j in range(sides)]
                for i in range(ports)
            ]
        ).reshape(ports, sides)
        vector = np.zeros((sides, self.vector.nodes, self.count))
        scalar = np.zeros((sides, *self.scalar_numbers.shape))
        nodes, there = self.rows[0].numbering.nodes, self.scalar_numbers >= 0
        for side in range(sides):
            u, p = self.solver.spread(found[side][0])
            vector[side, nodes >= 0] = u[nodes[nodes >= 0]]
            scalar[side][there] = p[self.scalar_numbers[there], 0]
        if self.discrete.given is not None:
            vector[-1, self.discrete.prescribed] = self.discrete.given[self.discrete.prescribed]
        for vec in (*loads, *(part for pair in found.values() for part in pair)):
            vec.destroy()
        return Solutions(vector=vector, scalar=scalar, flux=flux, evidence=self.solver.evidence)

    def close(self) -> None:
        """Free the memory of the system, on all ranks together."""
        self.solver.close()
        self.A.mat.destroy()
        self.B.mat.destroy()


def _scatter(target: np.ndarray, numbers: np.ndarray, values: np.ndarray) -> None:
    keep = numbers >= 0
    np.add.at(target, numbers[keep], values[keep])


class _Solver:
    """GMRES on the coupled system with the block triangular preconditioner."""

    def __init__(self, system: IterativeSystem) -> None:
        u, p = self.rows = system.rows
        comm = u.comm
        A, B = system.A.assembled(), system.B.assembled()
        Bt = PETSc.Mat().createTranspose(B)
        self.matrix = PETSc.Mat().createNest([[A, Bt], [B, None]], comm=comm)
        self.matrix.setUp()
        self.iterations, self.residual = 0, 0.0
        own = (nodes := system.rows[0].numbering).to_global - int(nodes.starts[comm.rank])
        turned = np.flatnonzero(system.turned & (own >= 0) & (own < u.owned))
        self._preconditioner = _Preconditioner(
            Bt,
            [_cycle(part.assembled()) for part in system.components],
            _mass(_viscous(system)),
            _cycle(_darcy(system, B)),
            own[turned],
            system.frames[turned],
        )
        self._solver = PETSc.KSP().create(comm)
        self._solver.setOperators(self.matrix)
        self._solver.setType(PETSc.KSP.Type.FGMRES)
        self._solver.setGMRESRestart(100)
        self._solver.setTolerances(rtol=TOLERANCE, atol=0.0, max_it=MAX_ITERATIONS)
        pc = self._solver.getPC()
        pc.setType(PETSc.PC.Type.PYTHON)
        pc.setPythonContext(self._preconditioner)

    @property
    def evidence(self) -> dict[str, object]:
        return {
            "method": "GMRES, Cahouet-Chabard, BoomerAMG",
            "unknowns": self.rows[0].shape[1] + self.rows[1].shape[1],
            "residual": self.residual,
            "iterations": self.iterations,
        }

    def close(self) -> None:
        """Free the solver; in parallel PETSc would keep it, as all ranks must agree."""
        self._preconditioner.close()
        self._solver.destroy()
        self.matrix.destroy()

    def load(self, force: np.ndarray, source: np.ndarray) -> PETSc.Vec:
        """A right-hand side from this rank's contributions at local numbers."""
        u, p = self.rows
        return PETSc.Vec().createNest([u.gather(force), p.gather(source)], comm=u.comm)

    def spread(self, solution: PETSc.Vec) -> tuple[np.ndarray, np.ndarray]:
        """Values of a solution at local numbers."""
        (u, p), parts = self.rows, solution.getNestSubVecs()
        return u.spread(parts[0]), p.spread(parts[1])

    def solve(self, right: PETSc.Vec) -> tuple[PETSc.Vec, PETSc.Vec]:
        """Solve for one right-hand side.

        Args:
            right: The right-hand side.

        Returns:
            The solution and its residual.

        Raises:
            ConvergenceError: The iteration stagnates.
        """
        left, residual = right.duplicate(), right.duplicate()
        left.set(0.0)
        self._solver.solve(right, left)
        reason, count = self._solver.getConvergedReason(), self._solver.getIterationNumber()
        self.matrix.mult(left, residual)
        residual.aypx(-1.0, right)
        error = residual.norm() / (right.norm() or 1.0)
        if reason <= 0 or not error < 100 * TOLERANCE:
            raise ConvergenceError(
                f"GMRES stopped after {count} iterations with a relative residual of {error:.1e}"
                f" (PETSc reason {reason})"
            )
        self.iterations = max(self.iterations, count)
        self.residual = max(self.residual, float(error))
        return left, residual


class _Preconditioner:
    """Upper triangular: phi = -(M^-1 + K^-1) r_phi, then J = A^-1 (r_J - B^T phi)."""

    def __init__(
        self,
        Bt: PETSc.Mat,
        cycles: list[PETSc.PC],
        mass: PETSc.PC,
        stiffness: PETSc.PC,
        turned: np.ndarray,
        frames: np.ndarray,
    ) -> None:
        self.Bt, self.cycles, self.mass, self.stiffness = Bt, cycles, mass, stiffness
        self.turned, self.frames = turned, frames
        self.work: list[PETSc.Vec] = []

    def close(self) -> None:
        """Free matrices and factors."""
        pcs = [*self.cycles, self.mass, self.stiffness]
        matrices = [pc.getOperators()[0] for pc in pcs]
        for thing in (*pcs, *matrices, *self.work, self.Bt):
            thing.destroy()

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
        residual, result = rest.array.reshape(-1, count), u.array.reshape(-1, count)
        at, frames = self.turned, self.frames
        residual[at] = (residual[at, None] @ frames)[:, 0]
        for a, cycle in enumerate(self.cycles):
            right.array[:] = residual[:, a]
            cycle.apply(right, left)
            result[:, a] = left.array_r
        result[at] = (frames @ result[at, :, None])[..., 0]


def _cycle(matrix: PETSc.Mat) -> PETSc.PC:
    """One V-cycle of algebraic multigrid."""
    pc = PETSc.PC().create(matrix.comm)
    pc.setOperators(matrix)
    boomer_amg(pc)
    pc.setUp()
    return pc


def _mass(matrix: PETSc.Mat) -> PETSc.PC:
    """An approximate inverse of a mass matrix."""
    pc = PETSc.PC().create(matrix.comm)
    pc.setOperators(matrix)
    pc.setType(PETSc.PC.Type.BJACOBI)
    pc.setUp()
    return pc


def _viscous(system: IterativeSystem) -> PETSc.Mat:
    """The Schur complement of viscous flow, M."""
    discrete, coefficients = system.discrete, system.problem.coefficients
    rows, numbers = system.rows[1], system.scalar_numbers
    cells, space = discrete.cells, system.scalar
    mass = BlockMatrix(rows, rows, numbers, numbers)
    forms, simple = ScalarForms(cells, space), cells.affine & ~coefficients.varies
    for batch, same in cells.batches(20 * space.dofs.shape[1] ** 2, simple):
        at = cells.positions(batch, forms.quadrature(same)[0])
        mu, rho = coefficients.stress(batch, at), coefficients.relaxation(batch, at)
        square = terms.augmentation(cells.measures(batch), cells.dimension)
        value = 1 / (4 / 3 * mu + (rho.T * square).T)
        mass.add(batch, forms.mass(batch, same, value))
    return mass.assembled()


def _darcy(system: IterativeSystem, B: PETSc.Mat) -> PETSc.Mat:
    """The Schur complement of ohmic flow, K."""
    discrete, u = system.discrete, system.rows[0]
    cells = discrete.cells
    forms, coefficients = ScalarForms(cells, system.vector), system.problem.coefficients
    simple = cells.affine & ~coefficients.varies
    diagonal = np.zeros(u.numbering.size)
    for batch, same in cells.batches(20 * system.vector.dofs.shape[1] ** 2, simple):
        at = cells.positions(batch, forms.quadrature(same)[0])
        mass = forms.mass(batch, same, coefficients.relaxation(batch, at))
        own = np.diagonal(mass, axis1=1, axis2=2)
        _scatter(diagonal, system.vector_numbers[batch], own)
    scale = u.gather(np.repeat(diagonal[:, None], u.block, axis=1))
    scale.reciprocal()
    scale.sqrtabs()
    scaled = B.copy()
    scaled.diagonalScale(R=scale)
    K = scaled.matTransposeMult(scaled)
    K.scale(DARCY)
    return K
