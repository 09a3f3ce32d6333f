"""The moment system in 2D, solved by iteration (:mod:`meso.discrete.saddle`).

    [ A  B^T  W^T ] [J  ]       A: relaxation, stress, boundary laws
    [ B  -C    0  ] [phi],      B: -(psi, div J) and the normal current through walls
    [ W   0    0  ] [h  ]       W: the normal current through walls, whose levels are h - phi

is the discretisation of :mod:`meso.flow.system`. J is eliminated inside cells, which makes C. A is
preconditioned in two levels, stars of vertices and linear functions, with K of the Schur complement
(:mod:`meso.flow.saddle`) for linear functions: the augmentation in M stands for the others. The
penalty f on J.n is in A, so that the Schur complement of h is close to (h/f, eta) on walls.
"""

from __future__ import annotations

import numpy as np

from meso.device import Facets
from meso.discrete import memory
from meso.discrete.cells import Lagrange, lagrange
from meso.discrete.loops import eliminate
from meso.discrete.periodic import ground_nodes, twin_nodes
from meso.discrete.saddle import Incomplete, Multigrid, Saddle, Sum, TwoLevels, darcy
from meso.discrete.scalar import ScalarForms
from meso.discrete.sparse import BlockMatrix, Rows, interpolation
from meso.discrete.stars import Stars, star_nodes
from meso.discrete.unknowns import Numbering, kept, number_cells, number_field
from meso.flow.discretisation import Discretisation, Problem, Solutions, levels_of_walls
from meso.flow.saddle import relaxation, scatter, viscous

#: Factor of K: 0.7 measured best for degree 4, with twice or half of it a few iterations more.
DARCY = 0.7


class PlanarSystem:
    """A moment system in 2D with its preconditioner; it has no loads but those of ports."""

    def __init__(self, problem: Problem, *, keep: bool = False) -> None:
        self.problem, device = problem, problem.device
        self.discrete = discrete = Discretisation(problem)
        self.vector, self.scalar = discrete.vector, discrete.scalar
        self.count = discrete.moments.count
        self.phase = problem.phases[device.cell_region]
        twins = twin_nodes(device, self.vector, problem.pairs)
        carried = kept(self.vector, discrete.prescribed)
        vector = number_field(self.vector, carried, twins=twins)
        self.vector_numbers = vector.nodes[self.vector.dofs[:, self.vector.outer]]
        scalar, self.scalar_numbers = self._potential(self.scalar)
        self.walls = discrete.facets(lambda law: law.impenetrable)
        self.level_numbers, levels = levels_of_walls(discrete, self.walls, twins)
        self.rows = (
            Rows(vector, device.comm, self.count),
            Rows(scalar, device.comm),
            Rows(levels, device.comm),
        )
        self._require_memory()
        # A_ii^-1 (A_io, B_i^T) of the unknowns of J inside cells.
        self._inner: list[tuple[np.ndarray, np.ndarray]] = []
        # A_ii of these, if other loads will come.
        self._keep, self._blocks = keep, list[np.ndarray]()
        self.solver = self._assembled()

    def _require_memory(self) -> None:
        """Raise a CaseError if there is too little memory."""
        unknowns, comm = sum(rows.total for rows in self.rows), self.problem.device.comm
        memory.require(
            comm,
            memory.planar(unknowns) / comm.size,
            f"the iterative solution for {unknowns} unknowns",
            "larger cells (mesh.size, mesh.wall_size) or more memory would help",
        )

    # -- numbering -----------------------------------------------------------------------------

    def _potential(self, space: Lagrange) -> tuple[Numbering, np.ndarray]:
        """Numbering of a potential, and its local numbers in cells."""
        problem = self.problem
        grounds = ground_nodes(problem.device, space, problem.grounded, problem.pairs)
        return number_cells(space, grounds, self.phase)

    def _on(self, facets: Facets) -> np.ndarray:
        """Local numbers of J on facets, shape (f, p)."""
        nodes = self.vector.dofs[facets.cell[:, None], self.vector.on_facet[facets.local]]
        return self.rows[0].numbering.nodes[nodes]

    # -- assembly ------------------------------------------------------------------------------

    def _assembled(self) -> Saddle:
        (u, p, _), v, s = self.rows, self.vector_numbers, self.scalar_numbers
        A, B, C = BlockMatrix(u, u, v, v), BlockMatrix(p, u, s, v), BlockMatrix(p, p, s, s)
        linear, n = _Linear(self), self.count
        diagonal = relaxation(self.discrete)
        for cells, whole in self.discrete.with_boundary():
            fluxes = whole[:, self._current :, : self._current]
            linear.add_ohmic(cells, fluxes, diagonal[cells])
            matrix, flux, bubbles = self._condensed(cells, whole)
            A.add(cells, matrix.reshape(len(cells), v.shape[1], n, v.shape[1], n))
            B.add(cells, flux)
            C.add(cells, bubbles)
            linear.add(cells, matrix)
        through = self._in_cells(self.walls)
        B.add(self.walls.cell, through)
        linear.source.add(self.walls.cell, linear.of_scalar.T @ through)
        nodal = np.zeros(u.numbering.size)
        scatter(nodal, v, diagonal[:, self.vector.outer])
        schur = Sum(
            Incomplete(viscous(self.discrete, p, s)),
            Multigrid(darcy(linear.source, nodal, DARCY, linear.ohmic)),
            linear.tents(p, s),
        )
        W, level = self._wall_matrices()
        inverse = TwoLevels(A, linear.stars(u), linear.hats(u), linear.images, linear.coarse)
        method = "GMRES, Cahouet-Chabard, stars of vertices"
        return Saddle(method, A, [(B, C), (W, None)], inverse, [schur, Incomplete(level)])

    @property
    def _current(self) -> int:
        """Number of unknowns of J in a cell."""
        return self.count * self.vector.in_cell

    def _through(self, walls: Facets) -> np.ndarray:
        """Integrals of levels of walls times J.n, shape (f, q, p n)."""
        flux = self.discrete.wall_flux(walls)
        count, q, p, n = flux.shape  # a rank may have no walls
        return flux.reshape(count, q, p * n)

    def _in_cells(self, walls: Facets) -> np.ndarray:
        """The same between the potential and the outer unknowns of J in cells."""
        flux, n = self._through(walls), self.count
        outer = np.arange(n * self.vector.outer.stop).reshape(-1, n)
        out = np.zeros((len(flux), self.scalar.in_cell, outer.size))
        columns = outer[self.vector.on_facet].reshape(3, -1)[walls.local]
        rows = self.scalar.on_facet[walls.local]
        here = np.arange(len(flux))[:, None, None]
        out[here, rows[:, :, None], columns[:, None, :]] = flux
        return out

    def _condensed(
        self, cells: np.ndarray, whole: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Matrices of the outer unknowns of J, of their divergence, and -C."""
        m, o = self._current, self.count * self.vector.outer.stop
        order = np.r_[:o, m : whole.shape[1], o:m]
        left, solved = eliminate(whole[:, order[:, None], order], o + whole.shape[1] - m)
        if m > o:
            self._inner.append((cells, solved))
            if self._keep:
                self._blocks.append(whole[:, o:m, o:m].copy())
        return left[:, :o, :o], left[:, o:, :o], left[:, o:, o:]

    def _wall_matrices(self) -> tuple[BlockMatrix, BlockMatrix]:
        """W, and the Schur complement of the levels."""
        walls, w, numbers = self.walls, self.rows[2], self.level_numbers
        each = np.arange(len(walls.cell))
        W = BlockMatrix(w, self.rows[0], numbers, self._on(walls))
        W.add(each, self._through(walls))
        mass = ScalarForms(self.discrete.cells, self.scalar).facet_mass(walls.cell, walls.local)
        # Nodes of facets are those of Gauss and Lobatto: sums over rows are a mass matrix.
        lumped = mass.sum(axis=2) / self.discrete.penalties(walls)[:, None]
        level = BlockMatrix(w, w, numbers, numbers)
        level.add(each, lumped[:, :, None] * np.eye(lumped.shape[1]))
        return W, level

    # -- solution ------------------------------------------------------------------------------

    def _forces(self) -> np.ndarray:
        """Loads of the ports at local numbers, shape (sides, nodes, n)."""
        ports = self.problem.ports
        forces = np.zeros((len(ports), self.rows[0].numbering.size, self.count))
        for force, name in zip(forces, ports, strict=True):
            facets, flux = self.discrete.port_flux(name)
            scatter(force, self._on(facets), -flux)
        return forces

    def solve(self) -> Solutions:
        """Solve for unit potentials on each port."""
        ports, grounded = self.problem.ports, self.problem.grounded
        contacts = [i for i, name in enumerate(ports) if name in grounded]
        sources = np.zeros((len(ports), self.rows[1].numbering.size))
        found, flux = self.solver.solve(self._forces(), sources, len(ports), contacts)
        own = [np.zeros((len(cells), 1)) for cells, _ in self._inner]
        return self._solutions(found, flux, own)

    def respond(self, loads: np.ndarray) -> Solutions:
        """The solution for other loads on the moments and the potential of cells, (c, m)."""
        m, o = self._current, self.count * self.vector.outer.stop
        force, source, own = loads[:, :o].copy(), loads[:, m:].copy(), []
        for (cells, solved), block in zip(self._inner, self._blocks, strict=True):
            inner = loads[cells, o:m]
            own.append(np.linalg.solve(block, inner[..., None])[..., 0])
            out = (inner[:, None] @ solved)[:, 0]
            force[cells] -= out[:, :o]
            source[cells] -= out[:, o:]
        forces = np.zeros((1, self.rows[0].numbering.size, self.count))
        sources = np.zeros((1, self.rows[1].numbering.size))
        scatter(forces[0], self.vector_numbers, force.reshape(len(force), o // self.count, -1))
        scatter(sources[0], self.scalar_numbers, source)
        return self._solutions(*self.solver.solve(forces, sources, 0, []), own)

    def _solutions(
        self, found: list[list[np.ndarray]], flux: np.ndarray, own: list[np.ndarray]
    ) -> Solutions:
        """At all nodes, with what loads do to the unknowns of J inside cells, (c, m) each."""
        vector = np.zeros((len(found), self.vector.nodes, self.count))
        scalar = np.zeros((len(found), *self.scalar_numbers.shape))
        nodes = self.rows[0].numbering.nodes
        for current, potential, (u, p, _) in zip(vector, scalar, found, strict=True):
            current[nodes >= 0] = u[nodes[nodes >= 0]]
            there = self.scalar_numbers >= 0
            potential[there] = p[self.scalar_numbers[there]]
            for (cells, solved), more in zip(self._inner, own, strict=True):
                dofs = self.vector.dofs[cells]
                outer = current[dofs[:, self.vector.outer]].reshape(len(cells), -1)
                outer = np.concatenate([outer, potential[cells]], axis=1)[..., None]
                inner = dofs[:, self.vector.interior]
                values = more - (solved @ outer)[..., 0]
                current[inner] = values.reshape(*inner.shape, self.count)
        beside = np.stack([h[self.level_numbers] for *_, h in found])
        return Solutions(
            vector=vector,
            scalar=scalar,
            flux=flux,
            evidence=self.solver.evidence,
            levels=self.discrete.levels_of_potential(scalar) + self.discrete.spread_levels(beside),
        )

    def close(self) -> None:
        """Free the memory of the system, on all ranks together."""
        self.solver.close()


class _Linear:
    """What the preconditioner has of vertices: linear functions, and stars.

    Attributes:
        images: Matrix of J times linear functions.
        coarse: Linear functions times it.
        source: Divergence of J by linear functions.
        ohmic: B D^-1 B^T of the unknowns of J inside cells, for linear functions.
    """

    def __init__(self, system: PlanarSystem) -> None:
        problem, n = system.problem, system.count
        device, comm = problem.device, problem.device.comm
        space, self.system = lagrange(device, 1), system
        twins = twin_nodes(device, space, problem.pairs)
        names = [name for name in device.boundaries if problem.laws[name].sticks]
        sticky = [np.empty(0, dtype=np.int64), *(space.nodes_on(device, b) for b in names)]
        hats = number_field(space, kept(space, np.concatenate(sticky), inside=True), twins=twins)
        tents, self._tents = system._potential(space)
        self.every = number_field(space, np.ones(space.nodes, dtype=bool), twins=twins)
        self.vertices, self._hats = self.every.nodes[space.dofs], hats.nodes[space.dofs]
        self.rows = Rows(hats, comm, n), Rows(tents, comm)
        (u, *_), (h, t), v = system.rows, self.rows, system.vector_numbers
        self.images = BlockMatrix(u, h, v, self._hats)
        self.coarse = BlockMatrix(h, h, self._hats, self._hats)
        self.source = BlockMatrix(t, u, self._tents, v)
        self.ohmic = BlockMatrix(t, t, self._tents, self._tents)
        self.star = star_nodes(system.vector)
        self.of_vector = space.values(system.vector.points)[system.vector.outer]
        self.of_scalar = space.values(system.scalar.points)
        size = n * self.star.shape[1]
        self.parts = np.empty((len(v), 3, size, size))

    def add(self, cells: np.ndarray, matrix: np.ndarray) -> None:
        """Add the matrices of J in cells, without inner unknowns."""
        n, spread = self.system.count, np.kron(self.of_vector, np.eye(self.system.count))
        image = matrix @ spread
        self.images.add(cells, image.reshape(len(cells), -1, n, 3, n))
        self.coarse.add(cells, (spread.T @ image).reshape(len(cells), 3, n, 3, n))
        places = (n * self.star[:, :, None] + np.arange(n)).reshape(3, -1)
        self.parts[cells] = matrix[:, places[:, :, None], places[:, None, :]]

    def add_ohmic(self, cells: np.ndarray, flux: np.ndarray, diagonal: np.ndarray) -> None:
        """Add to K from the divergence and the diagonal of the relaxation in cells."""
        o = self.system.count * self.system.vector.outer.stop
        flux, scale = self.of_scalar.T @ flux, np.repeat(diagonal, self.system.count, axis=1)
        self.source.add(cells, flux[:, :, :o])
        inner = flux[:, :, o:]
        self.ohmic.add(cells, (inner / scale[:, None, o:]) @ inner.swapaxes(1, 2))

    def stars(self, rows: Rows) -> Stars:
        """The stars; what they are made of is given up."""
        parts, self.parts = self.parts, np.empty(0)
        nodes = self.system.vector_numbers[:, self.star].reshape(-1, self.star.shape[1])
        parts = parts.reshape(-1, *parts.shape[2:])
        return Stars(rows, self.every, self.vertices.ravel(), nodes, parts)

    def hats(self, rows: Rows) -> BlockMatrix:
        """Linear functions as values of J."""
        numbers = self.system.vector_numbers
        return interpolation(rows, self.rows[0], numbers, self._hats, self.of_vector)

    def tents(self, rows: Rows, numbers: np.ndarray) -> BlockMatrix:
        """Linear functions as values of the potential."""
        return interpolation(rows, self.rows[1], numbers, self._tents, self.of_scalar)
