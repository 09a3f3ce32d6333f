"""The moment system in 3D, solved by iteration (:mod:`meso.discrete.saddle`).

    [ A  B^T ] [J  ]       A: relaxation, stress, boundary laws; walls by Nitsche's method
    [ B   0  ] [phi],      B: -(psi, div J) and the normal current through walls

The Schur complement has two limits, one for viscous and one for ohmic flow,

    M = ((4 mu/3 + gamma)^-1 phi, psi),     K ~ B D^-1 B^T,

with mu = l^2/sigma, the augmentation gamma and the diagonal D of the relaxation (J/sigma, w). K
knows of contacts, walls, interfaces and periodic pairs what B knows. Iterations depend little on l
and on the mesh. Components of J are along and across walls (:mod:`meso.flow.frames`).
"""

from __future__ import annotations

import numpy as np

from meso.discrete import memory
from meso.discrete.periodic import ground_nodes, twin_nodes
from meso.discrete.saddle import TOLERANCE, Components, Incomplete, Multigrid, Saddle, Sum, darcy
from meso.discrete.scalar import ScalarForms
from meso.discrete.sparse import BlockMatrix, Rows
from meso.discrete.unknowns import kept, number_cells, number_field
from meso.flow.discretisation import Discretisation, Problem, Solutions, augmentation
from meso.flow.frames import in_frames, wall_frames

#: Factor of K = DARCY B D^-1 B^T, as D^-1 overrates the inverse of a mass matrix of quadratic
#: elements (0.25 to 0.5 measured alike; on flat cells a third fewer iterations than with
#: (sigma grad phi, grad psi)).
DARCY = 0.35


class IterativeSystem:
    """A moment system with its preconditioner."""

    def __init__(self, problem: Problem, tolerance: float | None = None) -> None:
        self.problem, self._tolerance = problem, tolerance or TOLERANCE
        self.discrete = discrete = Discretisation(problem)
        self.vector, self.scalar = discrete.vector, discrete.scalar
        device, self.count = problem.device, discrete.moments.count
        comm = device.comm
        keep = kept(self.vector, discrete.prescribed, inside=True)
        twins = twin_nodes(device, self.vector, problem.pairs)
        vector = number_field(self.vector, keep, twins=twins)
        grounds = ground_nodes(device, self.scalar, problem.grounded, problem.pairs)
        phase = problem.phases[device.cell_region]
        scalar, self.scalar_numbers = number_cells(self.scalar, grounds, phase)
        self.rows = Rows(vector, comm, self.count), Rows(scalar, comm)
        self.vector_numbers = vector.nodes[self.vector.dofs]
        unknowns = self.rows[0].total + self.rows[1].total
        memory.require(
            comm,
            memory.iterative(unknowns) / comm.size,
            f"the iterative solution for {unknowns} unknowns",
            "larger cells (mesh.size, mesh.wall_size) or more memory would help",
        )
        every = Rows(vector, comm, self.count**2)
        self.frames = wall_frames(discrete, every, self.vector_numbers)
        self.solver = self._assembled()

    def _assembled(self) -> Saddle:
        u, p, n = *self.rows, self.count
        A = BlockMatrix(u, u, self.vector_numbers, self.vector_numbers)
        B = BlockMatrix(p, u, self.scalar_numbers, self.vector_numbers)
        nodes, numbers = Rows(u.numbering, u.comm), self.vector_numbers
        components = [BlockMatrix(nodes, nodes, numbers, numbers) for _ in range(n)]
        size = n * self.vector.dofs.shape[1]
        for part in (
            self.discrete.cell_matrices(),
            self.discrete.boundary_matrices(nitsche=True),
        ):
            for cells, whole in part:
                matrix, flux = in_frames(
                    self.frames, numbers[cells], whole[:, :size, :size], whole[:, size:, :size]
                )
                A.add(cells, matrix)
                B.add(cells, flux)
                for a, component in enumerate(components):
                    component.add(cells, matrix[:, :, a, :, a])
        diagonal = np.zeros(u.numbering.size)
        scatter(diagonal, numbers, relaxation(self.discrete))
        stiffness = Multigrid(darcy(B, diagonal, DARCY))
        schur = Sum(Incomplete(viscous(self.discrete, p, self.scalar_numbers)), stiffness)
        method = "GMRES, Cahouet-Chabard, BoomerAMG"
        return Saddle(method, A, [(B, None)], Components(components), [schur], self._tolerance)

    def _loads(self) -> tuple[np.ndarray, np.ndarray]:
        """Right-hand sides at local numbers, (sides, nodes, n) and (sides, nodes)."""
        discrete, sides = self.discrete, self.discrete.sides
        forces = np.zeros((sides, self.rows[0].numbering.size, self.count))
        sources = np.zeros((sides, self.rows[1].numbering.size))
        for side, name in enumerate(self.problem.ports):
            facets, flux = discrete.port_flux(name)
            nodes = self.vector.on_facet[facets.local]
            scatter(forces[side], self.vector_numbers[facets.cell[:, None], nodes], -flux)
        if discrete.loaded:
            self._scatter(forces[-1], sources[-1], discrete.loads(np.arange(len(self.scalar.dofs))))
        return (forces[:, :, None] @ self.frames)[:, :, 0], sources

    def _scatter(self, forces: np.ndarray, sources: np.ndarray, load: np.ndarray) -> None:
        """Add loads of cells, (c, m)."""
        count, p = self.vector_numbers.shape
        force = load[:, : p * self.count].reshape(count, p, self.count)
        scatter(forces, self.vector_numbers, force)
        scatter(sources, self.scalar_numbers, load[:, p * self.count :])

    def solve(self) -> Solutions:
        """Solve for unit potentials on each port, and for the loads if there are any."""
        ports = self.problem.ports
        contacts = [i for i, name in enumerate(ports) if name in self.problem.grounded]
        return self._solutions(*self.solver.solve(*self._loads(), len(ports), contacts))

    def respond(self, loads: np.ndarray) -> Solutions:
        """The solution for other loads on the moments and the potential of cells, (c, m)."""
        forces = np.zeros((1, self.rows[0].numbering.size, self.count))
        sources = np.zeros((1, self.rows[1].numbering.size))
        self._scatter(forces[0], sources[0], loads)
        forces = (forces[:, :, None] @ self.frames)[:, :, 0]
        return self._solutions(*self.solver.solve(forces, sources, 0, []))

    def _solutions(self, found: list[list[np.ndarray]], flux: np.ndarray) -> Solutions:
        sides = len(found)
        vector = np.zeros((sides, self.vector.nodes, self.count))
        scalar = np.zeros((sides, *self.scalar_numbers.shape))
        nodes, there = self.rows[0].numbering.nodes, self.scalar_numbers >= 0
        for side, (u, p) in enumerate(found):
            u = (self.frames @ u[..., None])[..., 0]
            vector[side, nodes >= 0] = u[nodes[nodes >= 0]]
            scalar[side][there] = p[self.scalar_numbers[there]]
        return Solutions(
            vector=vector,
            scalar=scalar,
            flux=flux,
            evidence=self.solver.evidence,
            levels=self.discrete.levels_of_potential(scalar),
        )

    def close(self) -> None:
        """Free the memory of the system, on all ranks together."""
        self.solver.close()


def viscous(discrete: Discretisation, rows: Rows, numbers: np.ndarray) -> BlockMatrix:
    """The Schur complement of viscous flow, M."""
    cells, coefficients, space = discrete.cells, discrete.problem.coefficients, discrete.scalar
    mass = BlockMatrix(rows, rows, numbers, numbers)
    forms, simple = ScalarForms(cells, space), cells.affine & ~coefficients.varies
    for batch, same in cells.batches(20 * space.dofs.shape[1] ** 2, simple):
        at = cells.positions(batch, forms.quadrature(same)[0])
        mu, rho = coefficients.stress(batch, at), coefficients.relaxation(batch, at)
        square = augmentation(cells.measures(batch), cells.dimension)
        value = 1 / (4 / 3 * mu + (rho.T * square).T)
        mass.add(batch, forms.mass(batch, same, value))
    return mass


def relaxation(discrete: Discretisation) -> np.ndarray:
    """What each cell adds to the diagonal of the relaxation at its nodes, shape (c, p)."""
    cells, coefficients, space = discrete.cells, discrete.problem.coefficients, discrete.vector
    forms, simple = ScalarForms(cells, space), cells.affine & ~coefficients.varies
    diagonal = np.empty(space.dofs.shape)
    for batch, same in cells.batches(20 * space.dofs.shape[1] ** 2, simple):
        at = cells.positions(batch, forms.quadrature(same)[0])
        mass = forms.mass(batch, same, coefficients.relaxation(batch, at))
        diagonal[batch] = np.diagonal(mass, axis1=1, axis2=2)
    return diagonal


def scatter(target: np.ndarray, numbers: np.ndarray, values: np.ndarray) -> None:
    """Add values at numbers, -1 ignored."""
    keep = numbers >= 0
    np.add.at(target, numbers[keep], values[keep])
