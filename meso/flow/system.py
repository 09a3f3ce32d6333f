"""The moment system in 2D: condensed, factorised, solved.

Walls carry a multiplier in P_{k-1}, split at corners and between materials, that keeps every net
wall flux at zero.
"""

from __future__ import annotations

import numpy as np

from meso.device import Facets
from meso.discrete import memory
from meso.discrete import unknowns as numbering
from meso.discrete.algebra import Assembly
from meso.discrete.periodic import ground_nodes, twin_nodes
from meso.flow import terms
from meso.flow.discretisation import Discretisation, Problem, Solutions
from meso.mpi import total


class DirectSystem:
    """A condensed and factorised moment system.

    Args:
        problem: What is to be solved.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.discrete = discrete = Discretisation(problem)
        self.vector, self.scalar, self.moments = discrete.vector, discrete.scalar, discrete.moments
        self.sides = discrete.sides
        device = problem.device
        self.phase = problem.phases[device.cell_region]
        walls = discrete.facets(lambda law: law.impenetrable)
        self.twins = twin_nodes(device, self.vector, problem.pairs)
        keep = numbering.kept(self.vector, discrete.prescribed)
        keep_scalar = numbering.kept(
            self.scalar, ground_nodes(device, self.scalar, problem.grounded, problem.pairs)
        )
        self.unknowns = numbering.number(
            vector=self.vector,
            keep_vector=keep,
            components=self.moments.count,
            scalar=self.scalar,
            keep_scalar=keep_scalar,
            phase=self.phase,
            wall_nodes=discrete.wall_nodes(walls, self.twins),
            wall_label=walls.piece * len(problem.phases) + self.phase[walls.cell],
            twins=self.twins,
        )
        self._require_memory()
        self.assembly = Assembly(self.unknowns, self.sides, symmetric=problem.symmetric)
        self._port_loads()
        self._walls(walls)
        for facets, traction in discrete.tractions():
            self._add_facet_load(facets, traction, -1)
        self._conductor(*self._boundary())
        self.factor = self.assembly.factorise(fits=True)

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

    def _port_loads(self) -> None:
        for side, name in enumerate(self.problem.ports):
            facets, flux = self.discrete.port_flux(name)
            self._add_facet_load(facets, -flux, side)

    def _add_facet_load(self, facets: Facets, values: np.ndarray, side: int) -> None:
        load = np.zeros((*values.shape, self.sides))
        load[..., side] = values
        self.assembly.add_load(self._vector_rows(facets), load)

    def _vector_rows(self, facets: Facets) -> np.ndarray:
        """Unknowns of the moments on facets, shape (f, p, n)."""
        nodes = self.vector.dofs[facets.cell[:, None], self.vector.on_facet[facets.local]]
        return self._moments_at(nodes)

    def _moments_at(self, nodes: np.ndarray) -> np.ndarray:
        """Unknowns of the moments at nodes, one axis more."""
        first = self.unknowns.vector[nodes][..., None]
        return np.where(first >= 0, first + np.arange(self.moments.count), -1)

    def _scalar_rows(self, cells: np.ndarray, positions: slice) -> np.ndarray:
        """Unknowns of the potential at some nodes of cells, shape (c, q)."""
        return self.unknowns.scalar[self.phase[cells][:, None], self.scalar.dofs[cells, positions]]

    def _walls(self, walls: Facets) -> None:
        coupling = self.discrete.wall_flux(walls)
        count, m = coupling.shape[:2]
        size = self.moments.count * self.vector.on_facet.shape[1]
        rows = self._vector_rows(walls).reshape(count, size)
        self.assembly.add_coupling(self.unknowns.wall, rows, coupling.reshape(count, m, size))
        loads = self.problem.loads
        for name, flux in ((loads.wall_flux if loads else None) or {}).items():
            geometry = self.discrete.geometry(walls)
            test = terms.trace(geometry, self.scalar)
            here = walls.boundary == self.problem.device.boundaries.index(name)
            through = flux(geometry.position[here], geometry.normal[here])
            load = np.zeros((here.sum(), m, self.sides))
            load[..., -1] = np.einsum("fq,fqm,fq->fm", geometry.weight[here], test[here], through)
            self.assembly.add_load(self.unknowns.wall[here], load)

    def _boundary(self) -> tuple[np.ndarray, np.ndarray]:
        """Cells with boundary terms, and these, shape (b, m, m)."""
        m = len(np.concatenate(self._order))
        cells, matrices = [np.empty(0, np.int64)], [np.zeros((0, m, m))]
        for cell, matrix in self.discrete.boundary_matrices(nitsche=False):
            cells.append(cell)
            matrices.append(matrix)
        unique, place = np.unique(np.concatenate(cells), return_inverse=True)
        out = np.zeros((len(unique), m, m))
        np.add.at(out, place, np.concatenate(matrices))
        return unique, out

    @property
    def _order(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Places in element matrices: outer moments, outer potential, and the inner ones."""
        n, start = self.moments.count, self.moments.count * self.vector.dofs.shape[1]
        out = []
        for vector, scalar in (
            (self.vector.outer, self.scalar.outer),
            (self.vector.interior, self.scalar.interior),
        ):
            out.append(np.arange(n * vector.start, n * vector.stop))
            out.append(start + np.arange(scalar.start, scalar.stop))
        return tuple(out)  # type: ignore[return-value]

    def _conductor(self, on_boundary: np.ndarray, boundary: np.ndarray) -> None:
        place = np.concatenate(self._order)
        flat = (place[:, None] * len(place) + place).ravel()
        for batch, whole in self.discrete.cell_matrices():
            order = np.argsort(batch)
            mine = np.flatnonzero(np.isin(on_boundary, batch))
            at = order[np.searchsorted(batch, on_boundary[mine], sorter=order)]
            whole[at] += boundary[mine]
            # In the order of memory, which whole[:, place[:, None], place] is not.
            matrix = whole.reshape(len(batch), -1).take(flat, axis=1).reshape(whole.shape)
            rows = self._moments_at(self.vector.dofs[batch][:, self.vector.outer])
            scalar = self._scalar_rows(batch, self.scalar.outer)
            rows = np.concatenate([rows.reshape(len(batch), -1), scalar], axis=1)
            self.assembly.add_cells(batch, matrix, rows, *self._data(batch, rows.shape[1]))

    def _data(self, batch: np.ndarray, outer: int) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Loads and prescribed values of a batch of cells (last right-hand side)."""
        load = given = None
        if self.discrete.given is not None:
            values = self.discrete.given[self.vector.dofs[batch][:, self.vector.outer]]
            values = values.reshape(len(batch), -1)
            given = np.zeros((len(batch), outer, self.sides))
            given[:, : values.shape[1], -1] = values
        data = self.discrete.cell_loads(batch)
        if data is not None:
            force, source = data
            whole = np.concatenate([force.reshape(len(batch), -1), source], axis=1)
            load = np.zeros((*whole.shape, self.sides))
            load[..., -1] = whole[:, np.concatenate(self._order)]
        return load, given

    # -- solution ------------------------------------------------------------------------------

    def solve(self) -> Solutions:
        """Solve for unit potentials on each port, and for the loads if there are any.

        Returns:
            The solutions.

        Raises:
            ConvergenceError: See :class:`meso.discrete.solvers.Factor`.
        """
        x = self.factor.solve(self.assembly.load)
        n, ports = self.moments.count, len(self.problem.ports)
        vector = np.zeros((self.sides, self.vector.nodes, n))
        scalar = np.zeros((self.sides, *self.scalar.dofs.shape))
        kept = self.unknowns.vector >= 0
        for a in range(n):
            vector[:, kept, a] = x[self.unknowns.vector[kept] + a].T
        if self.discrete.given is not None:
            vector[-1, self.discrete.prescribed] = self.discrete.given[self.discrete.prescribed]
        rows = self._scalar_rows(np.arange(len(self.phase)), self.scalar.outer)
        scalar[:, :, self.scalar.outer] = np.where((rows >= 0)[..., None], x[rows], 0.0).transpose(
            2, 0, 1
        )
        inside = self.vector.interior.stop - self.vector.interior.start
        for batch in self.assembly.batches:
            inner = batch.inner(x)
            nodes = self.vector.dofs[batch.cells][:, self.vector.interior]
            moments = inner[:, : n * inside].transpose(2, 0, 1)
            vector[:, nodes] = moments.reshape(self.sides, *nodes.shape, n)
            scalar[:, batch.cells, self.scalar.interior] = inner[:, n * inside :].transpose(2, 0, 1)
        # The load of a port is -<J_n>, so that its product with a solution is the current that
        # enters there: exactly conservative, symmetric.
        flux = total(self.problem.device.comm, self.assembly.load[:, :ports].T @ x)
        return Solutions(
            vector=vector,
            scalar=scalar,
            flux=np.asarray(flux),
            evidence={
                "method": self.factor.method,
                "unknowns": self.unknowns.total,
                "residual": self.factor.residual,
            },
        )

    def close(self) -> None:
        """Free the memory of the system, on all ranks together."""
        self.factor.close()
