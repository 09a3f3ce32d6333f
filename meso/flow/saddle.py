"""The moment system in 3D: GMRES with a Schur complement and algebraic multigrid.

    [ A  B^T ] [J  ]       A: relaxation, stress, boundary laws; walls by Nitsche's method
    [ B   0  ] [phi],      B: -(psi, div J) and the normal current through walls

The preconditioner is block triangular (Schur complement on the right). A^-1 is one V-cycle for
each component of J. The inverse of the Schur complement is that of its two limits, one for viscous
and one for ohmic flow (J. Cahouet, J.-P. Chabard, Int. J. Numer. Methods Fluids 8, 869 (1988)),

    S^-1 = M^-1 + K^-1,     M = ((4 mu/3 + gamma)^-1 phi, psi),     K = (sigma grad phi, grad psi),

with mu = l^2/sigma and the augmentation gamma: iterations depend little on l and on the mesh.
"""

from __future__ import annotations

import numpy as np
from petsc4py import PETSc

from meso.algebra import boomer_amg
from meso.errors import ConvergenceError
from meso.flow import terms
from meso.flow.discretisation import Discretisation, Problem, Solutions
from meso.flow.frames import wall_frames
from meso.mpi import total
from meso.periodic import ground_nodes, twin_nodes
from meso.sparse import BlockMatrix, Rows
from meso.unknowns import jumps, kept, number_field

#: Relative residual at which the iteration stops.
TOLERANCE = 1e-10
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
        # Pairs of potentials on both sides of an interface.
        first = scalar.nodes[place[:, 1]]
        self.sides = np.column_stack([first, scalar.extra])[first >= 0]
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

        def add(cells: np.ndarray, matrix: np.ndarray, flux: np.ndarray) -> None:
            # Blocks (moment, node) -> (node, moment).
            self.A.add(cells, matrix.transpose(0, 2, 1, 4, 3))
            self.B.add(cells, flux.transpose(0, 1, 3, 2))
            for a, part in enumerate(self.components):
                part.add(cells, self._component(a, cells, matrix))
            self._lift(cells, matrix, flux)

        for cells, matrix, flux in self.discrete.cell_matrices():
            add(cells, matrix, flux)
        for cells, matrix, flux in self.discrete.boundary_matrices(nitsche=True):
            add(cells, matrix, flux)

    def _component(self, a: int, cells: np.ndarray, matrix: np.ndarray) -> np.ndarray:
        """Diagonal block of one direction of the frames at the nodes, shape (c, p, p)."""
        out = matrix[:, a, :, a].copy()
        numbers = self.vector_numbers[cells]
        turned = self.turned[numbers] & (numbers >= 0)
        here = np.flatnonzero(turned.any(axis=1))
        direction = self.frames[numbers[here], :, a]
        out[here] = np.einsum(
            "cmb,cbmdk,ckd->cmk", direction, matrix[here], direction, optimize=True
        )
        return out

    def _lift(self, cells: np.ndarray, matrix: np.ndarray, flux: np.ndarray) -> None:
        """What prescribed values leave on the right-hand side."""
        if self.discrete.given is None:
            return
        missing = self.vector_numbers[cells] < 0
        values = np.where(missing[..., None], self.discrete.given[self.vector.dofs[cells]], 0.0)
        forces = np.einsum("cambn,cnb->cma", matrix, values)
        _scatter(self.given_load, self.vector_numbers[cells], -forces)
        sources = np.einsum("csam,cma->cs", flux, values)
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
                _scatter(self.forces[-1], self.vector_numbers[batch], data[0].swapaxes(1, 2))
                _scatter(self.sources[-1], self.scalar_numbers[batch], data[1])

    def _add_force(
        self, side: int, cell: np.ndarray, local: np.ndarray, values: np.ndarray
    ) -> None:
        on_facet = self.vector.on_facet[local]
        numbers = self.vector_numbers[cell[:, None], on_facet]
        _scatter(self.forces[side], numbers, values.swapaxes(1, 2))

    # -- solution ------------------------------------------------------------------------------

    def solve(self) -> Solutions:
        """Solve for unit potentials on each port, and for the loads if there are any.

        Returns:
            The solutions.

        Raises:
            ConvergenceError: The iteration stagnates.
        """
        sides = self.discrete.sides
        vector = np.zeros((sides, self.vector.nodes, self.count))
        scalar = np.zeros((sides, *self.scalar_numbers.shape))
        ports = len(self.problem.ports)
        flux = np.zeros((ports, sides))
        nodes = self.rows[0].numbering.nodes
        there = self.scalar_numbers >= 0
        contacts = [i for i, name in enumerate(self.problem.ports) if name in self.problem.grounded]
        for side in range(sides):
            if contacts and side == contacts[-1]:
                continue
            u, p = self.solver.solve(self.forces[side], self.sources[side])
            vector[side, nodes >= 0] = u[nodes[nodes >= 0]]
            scalar[side][there] = p[self.scalar_numbers[there], 0]
            # Products with the load of a port, -<J_n>: exactly conservative.
            flux[:, side] = [(self.forces[port] * u).sum() for port in range(ports)]
        if contacts:
            # All contacts at one potential: that everywhere, and no current.
            *others, last = contacts
            vector[last] = -vector[others].sum(axis=0)
            scalar[last] = 1.0 - scalar[others].sum(axis=0)
            flux[:, last] = -flux[:, others].sum(axis=1)
        if self.discrete.given is not None:
            vector[-1, self.discrete.prescribed] = self.discrete.given[self.discrete.prescribed]
        flux = np.asarray(total(self.problem.device.comm, flux))
        return Solutions(vector=vector, scalar=scalar, flux=flux, evidence=self.solver.evidence)


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
        M, K = _schur(system)
        own = (nodes := system.rows[0].numbering).to_global - int(nodes.starts[comm.rank])
        turned = np.flatnonzero(system.turned & (own >= 0) & (own < u.owned))
        preconditioner = _Preconditioner(
            Bt,
            [_cycle(part.assembled()) for part in system.components],
            _mass(M),
            _cycle(K),
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
        pc.setPythonContext(preconditioner)

    @property
    def evidence(self) -> dict[str, object]:
        return {
            "method": "GMRES, Cahouet-Chabard, BoomerAMG",
            "unknowns": self.rows[0].shape[1] + self.rows[1].shape[1],
            "residual": self.residual,
            "iterations": self.iterations,
        }

    def solve(self, force: np.ndarray, source: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Solve for one right-hand side at local numbers."""
        u, p = self.rows
        right = PETSc.Vec().createNest([u.gather(force), p.gather(source)], comm=u.comm)
        left = PETSc.Vec().createNest([u.vector(), p.vector()], comm=u.comm)
        self._solver.solve(right, left)
        reason, count = self._solver.getConvergedReason(), self._solver.getIterationNumber()
        residual = right.duplicate()
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
        parts = left.getNestSubVecs()
        return u.spread(parts[0]), p.spread(parts[1])


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


def _schur(system: IterativeSystem) -> tuple[PETSc.Mat, PETSc.Mat]:
    """The matrices M and K of the Schur complement."""
    discrete, problem = system.discrete, system.problem
    rows, numbers = system.rows[1], system.scalar_numbers
    cells, space, degree = discrete.cells, system.scalar, 2 * system.scalar.degree
    links = np.concatenate([system.sides, system.sides[:, ::-1]])
    mass, stiffness = (BlockMatrix(rows, rows, numbers, numbers, links) for _ in range(2))
    points, weights = cells.quadrature(degree)
    value, table = space.values(points), space.gradients(points)
    joined = np.zeros(rows.numbering.size)
    for batch, _ in cells.batches(20 * value.size):
        if not len(batch):
            continue
        slope, determinant = cells.gradients(batch, points, table)
        weight = weights * determinant
        at = cells.positions(batch, points)
        shape = (len(batch), -1)
        mu = problem.coefficients.stress(batch, at).reshape(shape)
        rho = problem.coefficients.relaxation(batch, at).reshape(shape)
        gamma = rho * terms.augmentation(weight.sum(axis=1), cells.dimension)[:, None]
        viscous = weight / (4 / 3 * mu + gamma)
        mass.add(batch, (value.T * viscous[:, None, :]) @ value)
        flat = slope.reshape(len(batch), -1, slope.shape[3])
        ohmic = np.repeat(weight / rho, cells.dimension, axis=1)
        matrix = (flat * ohmic[:, :, None]).transpose(0, 2, 1) @ flat
        stiffness.add(batch, matrix)
        _scatter(joined, numbers[batch], np.diagonal(matrix, axis1=1, axis2=2))
    _join(stiffness, system.sides, rows.spread(rows.gather(joined))[:, 0])
    K = stiffness.assembled()
    fixed = [np.empty(0, dtype=np.int32)]
    for name in problem.grounded:
        facets = discrete.named(name)
        at = numbers[facets.cell[:, None], space.on_facet[facets.local]]
        fixed.append(rows.numbering.to_global[at[at >= 0]])
    K.zeroRowsColumns(np.unique(np.concatenate(fixed)).astype(np.int32), diag=1.0)
    return mass.assembled(), K


def _join(stiffness: BlockMatrix, sides: np.ndarray, diagonal: np.ndarray) -> None:
    """Tie the potentials on both sides of an interface, through which a current flows."""
    if not len(sides):
        return
    spring = np.minimum(diagonal[sides[:, 0]], diagonal[sides[:, 1]]) / 2
    values = spring[:, None, None] * np.array([[1.0, -1.0], [-1.0, 1.0]])
    pairs = np.ascontiguousarray(sides.astype(np.int32))
    stiffness.mat.setValuesLocalRCV(
        pairs, pairs, values.reshape(len(pairs), 4), PETSc.InsertMode.ADD_VALUES
    )
