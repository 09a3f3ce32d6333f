"""The moment system in 2D: condensed, factorised, solved.

Walls carry a multiplier in P_{k-1}, split at corners and between materials, that keeps every net
wall flux at zero.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from meso.device import Facets
from meso.discrete import memory
from meso.discrete import unknowns as numbering
from meso.discrete.algebra import Assembly
from meso.discrete.cells import Lagrange
from meso.discrete.periodic import ground_nodes, twin_nodes
from meso.discrete.solvers import Factor
from meso.flow.discretisation import Discretisation, Problem, Solutions
from meso.mpi import total


class DirectSystem:
    """A moment system, assembled; condensed, unless it is wanted as it is.

    Attributes:
        unknowns: Numbers of those that are not eliminated.
        assembly: Matrix and loads.
    """

    def __init__(self, problem: Problem, *, condensed: bool = True, keep: bool = False) -> None:
        self.problem, self.condensed = problem, condensed
        self.discrete = discrete = Discretisation(problem)
        self.vector, self.scalar, self.moments = discrete.vector, discrete.scalar, discrete.moments
        self.sides = discrete.sides
        device = problem.device
        self.phase = problem.phases[device.cell_region]
        walls = discrete.facets(lambda law: law.impenetrable)
        self.twins = twin_nodes(device, self.vector, problem.pairs)
        ground = ground_nodes(device, self.scalar, problem.grounded, problem.pairs)
        self.unknowns = numbering.number(
            vector=self.vector,
            keep_vector=numbering.kept(self.vector, discrete.prescribed, inside=not condensed),
            components=self.moments.count,
            scalar=self.scalar,
            keep_scalar=numbering.kept(self.scalar, ground, inside=not condensed),
            phase=self.phase,
            wall_nodes=discrete.wall_nodes(walls, self.twins),
            wall_label=walls.piece * len(problem.phases) + self.phase[walls.cell],
            twins=self.twins,
        )
        if condensed:
            self._require_memory()
        self.assembly = Assembly(
            self.unknowns, self.sides, problem.symmetric, own=problem.own is not None, keep=keep
        )
        for side, name in enumerate(problem.ports):
            facets, flux = discrete.port_flux(name)
            load = np.zeros((*flux.shape, self.sides))
            load[..., side] = -flux
            self.assembly.add_load(self._vector_rows(facets), load)
        coupling, rows = discrete.wall_flux(walls), self._vector_rows(walls)
        count, m, p, n = coupling.shape  # a rank may have no walls
        coupling, rows = coupling.reshape(count, m, p * n), rows.reshape(count, p * n)
        self.assembly.add_coupling(self.unknowns.wall, rows, coupling)
        self._conductor()

    @cached_property
    def factor(self) -> Factor:
        """The factorised system."""
        return self.assembly.factorise(fits=True)

    def _require_memory(self) -> None:
        """Raise a CaseError if there is too little memory, before any is taken."""
        device, n = self.problem.device, self.moments.count
        each = n * (self.vector.outer.stop - self.vector.outer.start)
        each += self.scalar.outer.stop - self.scalar.outer.start
        entries = device.cells * each * (each + 1) / (2 if self.problem.symmetric else 1)
        total, symmetric = self.unknowns.total, self.problem.symmetric
        memory.require(
            device.comm,
            memory.direct(total, entries, device.dimension, symmetric=symmetric) / device.comm.size,
            f"the direct solution for {total} unknowns on {device.cells} cells",
            ("fewer flow.harmonics, " if n > device.dimension else "")
            + 'larger cells (mesh.size), flow.solver = "iterative" or more memory would help',
        )

    # -- assembly ------------------------------------------------------------------------------

    def _vector_rows(self, facets: Facets) -> np.ndarray:
        """Unknowns of the moments on facets, shape (f, p, n)."""
        nodes = self.vector.dofs[facets.cell[:, None], self.vector.on_facet[facets.local]]
        return self._moments_at(nodes)

    def _moments_at(self, nodes: np.ndarray) -> np.ndarray:
        """Unknowns of the moments at nodes, one axis more."""
        first = self.unknowns.vector[nodes][..., None]
        return np.where(first >= 0, first + np.arange(self.moments.count), -1)

    def _outer(self, space: Lagrange) -> slice:
        """Nodes of a cell that are not eliminated."""
        return space.outer if self.condensed else slice(None)

    def scalar_rows(self, cells: np.ndarray) -> np.ndarray:
        """Unknowns of the potential at the outer nodes of cells, shape (c, q)."""
        nodes = self.scalar.dofs[cells, self._outer(self.scalar)]
        return self.unknowns.scalar[self.phase[cells][:, None], nodes]

    @property
    def _order(self) -> np.ndarray:
        """Places in element matrices: outer moments, outer potential, and the inner ones."""
        n, p, q = self.moments.count, self.vector.in_cell, self.scalar.in_cell
        if not self.condensed:
            return np.arange(n * p + q)
        moments, potential = np.arange(n * p).reshape(p, n), n * p + np.arange(q)
        outer = moments[self.vector.outer].ravel(), potential[self.scalar.outer]
        return np.concatenate(
            [*outer, moments[self.vector.interior].ravel(), potential[self.scalar.interior]]
        )

    def _conductor(self) -> None:
        place = self._order
        flat = (place[:, None] * len(place) + place).ravel()
        for batch, whole in self.discrete.with_boundary():
            # In the order of memory, which whole[:, place[:, None], place] is not.
            matrix = whole.reshape(len(batch), -1).take(flat, axis=1).reshape(whole.shape)
            rows = self.rows(batch)
            load, moments = None, self.vector.in_cell * self.moments.count
            given = self.discrete.given(batch, whole[:, :, :moments], moments)
            if given is not None:
                load = np.zeros((len(batch), len(place), self.sides))
                load[..., -1] = given[:, place]
            self.assembly.add_cells(batch, matrix, rows, load)

    def rows(self, cells: np.ndarray) -> np.ndarray:
        """Unknowns of the outer positions of cells, shape (c, o)."""
        moments = self._moments_at(self.vector.dofs[cells][:, self._outer(self.vector)])
        # A rank may have no cells.
        moments = moments.reshape(len(cells), moments.shape[1] * moments.shape[2])
        return np.concatenate([moments, self.scalar_rows(cells)], axis=1)

    # -- solution ------------------------------------------------------------------------------

    def solve(self, *, transposed: bool = False) -> Solutions:
        """Solve for unit potentials on each port, and for the loads if there are any.

        If ``transposed`` the transposed system, which has been kept and has no other loads.
        """
        factor = self.factor
        x = (factor.solve_transposed if transposed else factor.solve)(self.assembly.load)
        # The load of a port is -<J_n>, so that its product with a solution is the current that
        # enters there: exactly conservative, symmetric.
        load = self.assembly.load[:, : len(self.problem.ports)]
        flux = np.asarray(total(self.problem.device.comm, load.T @ x))
        found = self._solutions(x, flux, transposed=transposed)
        if self.problem.held is not None:
            found.vector[-1] += self.problem.held
        return found

    def through_walls(self, source: np.ndarray) -> Solutions:
        """Flow into walls at no potential, (eta, J_n) = source on each of ``discrete.walls``.

        The source has the shape (f, q), by the levels eta of a wall; nothing else is given.
        """
        load = np.zeros((self.unknowns.size, 1))
        np.add.at(load[:, 0], self.unknowns.wall, source)
        return self._solutions(self.factor.solve(load), np.empty((0, 1)))

    def _solutions(self, x: np.ndarray, flux: np.ndarray, *, transposed: bool = False) -> Solutions:
        """Everywhere, from the unknowns that are not eliminated, (n, sides)."""
        n, sides = self.moments.count, x.shape[1]
        vector = np.zeros((sides, self.vector.nodes, n))
        scalar = np.zeros((sides, *self.scalar.dofs.shape))
        kept = self.unknowns.vector >= 0
        for a in range(n):
            vector[:, kept, a] = x[self.unknowns.vector[kept] + a].T
        rows = self.scalar_rows(np.arange(len(self.phase)))
        outer = np.where((rows >= 0)[..., None], x[rows], 0.0)
        scalar[:, :, self.scalar.outer] = outer.transpose(2, 0, 1)
        inside = n * (self.vector.interior.stop - self.vector.interior.start)
        for batch in self.assembly.batches:
            inner = (batch.transposed() if transposed else batch).inner(x).transpose(2, 0, 1)
            nodes = self.vector.dofs[batch.cells][:, self.vector.interior]
            vector[:, nodes] = inner[..., :inside].reshape(sides, *nodes.shape, n)
            scalar[:, batch.cells, self.scalar.interior] = inner[..., inside:]
        on_walls = x[self.unknowns.wall].transpose(2, 0, 1)
        return Solutions(
            vector=vector,
            scalar=scalar,
            flux=flux,
            evidence=self.factor.evidence,
            levels=self.discrete.spread_levels(on_walls),
        )

    def respond(self, loads: np.ndarray, *, transposed: bool = False) -> Solutions:
        """The solution for other loads on the moments and the potential of cells, (c, m).

        If ``transposed`` that of the transposed system.
        """
        cells, n = np.arange(len(loads)), self.moments.count
        x, found = self.assembly.respond(
            self.factor, self.rows(cells), loads[:, self._order], transposed=transposed
        )
        whole = np.empty_like(loads)
        whole[:, self._order] = found
        vector = np.zeros((self.vector.nodes, n))
        nodal = whole[:, : n * self.vector.in_cell]
        vector[self.vector.dofs] = nodal.reshape(*self.vector.dofs.shape, n)
        levels = x[self.unknowns.wall] if len(x) else np.zeros(self.unknowns.wall.shape)
        return Solutions(
            vector=vector[None],
            scalar=whole[None, :, nodal.shape[1] :],
            flux=np.empty((0, 1)),
            evidence=self.factor.evidence,
            levels=self.discrete.spread_levels(levels[None]),
        )

    def close(self) -> None:
        """Free the memory of the system, on all ranks together."""
        self.factor.close()
