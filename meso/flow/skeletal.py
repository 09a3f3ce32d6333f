"""Hydrodynamic flow in 2D with discontinuous potentials, positive definite in the skeleton of J.

J is continuous in P_k with bubbles of degree k + 1, phi discontinuous in P_{k-1} (conforming
Crouzeix-Raviart elements). Everything inside a cell is eliminated: bubbles and the potential but
for its mean, a constant that sees no more than the flux out of the cell. What is left are J on
vertices and edges, one mean for each cell, and the levels of walls,

    [ S  C^T ] [J_skeleton  ]
    [ C   0  ] [means, levels]

which :mod:`meso.discrete.constrained` solves. Levels of walls as in :mod:`meso.flow.system`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix

from meso.device import Facets
from meso.discrete import memory
from meso.discrete.cells import facet_vertices
from meso.discrete.constrained import Constrained, Constraints
from meso.discrete.loops import eliminate
from meso.discrete.periodic import twin_nodes
from meso.discrete.skeleton import Skeleton, Sums
from meso.discrete.unknowns import Numbering, kept
from meso.flow.discretisation import Discretisation, Problem, Solutions, levels_of_walls
from meso.mpi import concatenated, total

#: Penalties of the flux out of cells and through walls, over the Schur complements of these (the
#: least one that a device may have): smaller ones cost digits, larger ones steps of refinement.
CELLS, WALLS = 1e-4, 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Condensed:
    """A batch of cells after the elimination of what is inside.

    Attributes:
        cells: Cell numbers, shape (c,).
        inner: Coupling of what is inside to the skeleton, and what loads and held values do there
            if there are any, shape (c, m, n) or (c, m, n + 1).
        block: The matrix of what is inside, (c, m, m), if other loads will come.
    """

    cells: np.ndarray
    inner: np.ndarray
    block: np.ndarray | None = None


class SkeletalSystem:
    """A hydrodynamic system, condensed and factorised; added terms are loads."""

    def __init__(self, problem: Problem, *, keep: bool = False) -> None:
        self.problem, self._keep, device = problem, keep, problem.device
        self.discrete = discrete = Discretisation(problem)
        self.vector, self.sides = discrete.vector, discrete.sides
        twins = twin_nodes(device, self.vector, problem.pairs)
        carried = kept(self.vector, discrete.prescribed)
        walls = discrete.facets(lambda law: law.impenetrable)
        levels, numbers = levels_of_walls(discrete, walls, twins)
        self._levels = levels
        together = _neighbours(levels, walls.cell, self._nodes(walls))
        self.unknowns = Skeleton(device, self.vector, carried, twins, 2, together)
        self._require_memory()
        self.batches: list[Condensed] = []
        self._sums, self._load = Sums(self.unknowns), np.zeros((self.unknowns.size, self.sides))
        self._given = np.zeros((len(device.cell_region), self.sides))
        self._flux = np.zeros(self.unknowns.rows.shape)
        self._penalty = np.zeros(len(device.cell_region))
        for batch, whole in discrete.with_boundary():
            self._condense(batch, whole)
        for side, name in enumerate(problem.ports):
            facets, flux = discrete.port_flux(name)
            rows = self._rows(facets)
            np.add.at(self._load[:, side], rows[rows >= 0], -flux[rows >= 0])
        constraints = self._constraints(walls, levels, numbers)
        self.factor = Constrained(self._sums, constraints, self.unknowns)
        del self._sums

    def _require_memory(self) -> None:
        """Raise a CaseError if there is too little memory, before any is taken."""
        device, unknowns = self.problem.device, self.unknowns
        p, q = self.vector.in_cell, self.discrete.scalar.in_cell
        outer = 2 * self.vector.outer.stop
        own = memory.skeleton(unknowns.size, unknowns.entries)
        own += 8 * len(device.cell_region) * outer * (2 * p + q - outer)
        memory.require(
            device.comm,
            own,
            f"the direct solution for {unknowns.total} unknowns on {device.cells} cells",
            'larger cells (mesh.size), flow.solver = "iterative" or more memory would help',
        )

    def _rows(self, facets: Facets) -> np.ndarray:
        """Unknowns on facets, shape (f, p, 2)."""
        first = self.unknowns.nodes[self._nodes(facets)][..., None]
        return np.where(first >= 0, first + np.arange(2), -1)

    def _nodes(self, facets: Facets) -> np.ndarray:
        """Nodes on facets, shape (f, p)."""
        return self.vector.dofs[facets.cell[:, None], self.vector.on_facet[facets.local]]

    def _condense(self, batch: np.ndarray, whole: np.ndarray) -> None:
        p, n = 2 * self.vector.in_cell, 2 * self.vector.outer.stop
        mean = np.zeros(whole.shape[1])
        mean[p:] = self.discrete.scalar_means
        measure = self.discrete.cells.measures(batch)
        viscosity, friction = self._scales(batch)
        # The means of what is inside, without which constants would be singular: as a penalty of
        # the flux like that of the viscosity, which changes nothing where there is none.
        whole[:, p:, p:] -= (
            (measure / (viscosity + friction * measure))[:, None, None] * mean[p:, None] * mean[p:]
        )
        load = self.discrete.given(batch, whole[:, :, :n], n)
        left, inner = eliminate(whole, n, None if load is None else load[..., None])
        if load is not None:
            rows, outer = self.unknowns.rows[batch], left[..., n]
            np.add.at(self._load[:, -1], rows[rows >= 0], outer[rows >= 0])
            self._given[batch, -1] = load[:, p:].sum(axis=1)
        flux = whole[:, p:, :n].sum(axis=1)
        penalty = CELLS * measure / (viscosity + friction)
        self._sums.add(batch, left, flux, penalty)
        self._flux[batch], self._penalty[batch] = flux, penalty
        block = whole[:, n:, n:].copy() if self._keep else None
        self.batches.append(Condensed(cells=batch, inner=inner, block=block))

    def _scales(self, cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Stress and relaxation of cells, at their centres."""
        c = self.problem.coefficients
        at = c.places(cells, np.full((1, 2), 1 / 3))
        stress, relaxation = c.stress(cells, at), c.relaxation(cells, at)
        return stress.reshape(len(cells)), relaxation.reshape(len(cells))

    def _constraints(self, walls: Facets, levels: np.ndarray, numbers: Numbering) -> Constraints:
        """No flux out of cells, nor through walls."""
        discrete, unknowns, comm = self.discrete, self.unknowns, self.problem.device.comm
        cells = len(self._flux)
        coupling = discrete.wall_flux(walls)
        count, q, p, n = coupling.shape
        row = np.repeat(cells + levels.ravel(), p * n)
        column = np.broadcast_to(self._rows(walls).reshape(count, 1, p * n), (count, q, p * n))
        rows = np.concatenate([np.repeat(np.arange(cells), self._flux.shape[1]), row])
        columns = np.concatenate([unknowns.rows.ravel(), column.ravel()])
        values = np.concatenate([self._flux.ravel(), coupling.ravel()])
        keep = columns >= 0
        C = csr_matrix(
            (values[keep], (rows[keep], columns[keep])),
            shape=(cells + numbers.size, unknowns.size),
        )
        viscosity, friction = self._scales(walls.cell)
        ends = discrete.cells.corners[walls.cell[:, None], facet_vertices(2)[walls.local]]
        length = np.linalg.norm(ends[:, 1] - ends[:, 0], axis=1)
        penalty = WALLS * length / q / (viscosity * discrete.vector.degree**2 / length + friction)
        lumped = np.zeros(numbers.size)
        np.add.at(lumped, levels, penalty[:, None])
        # A rank's rows: its cells, and its part of the levels.
        owned = cells + np.diff(numbers.starts)[comm.rank]
        table = concatenated(comm, np.array([[cells, owned]]))
        first = np.concatenate([[0], np.cumsum(table[:, 1])])
        rank = np.searchsorted(numbers.starts, numbers.to_global, side="right") - 1
        there = first[rank] + table[rank, 0] + numbers.to_global - numbers.starts[rank]
        own = first[comm.rank] + np.arange(cells)
        return Constraints(
            comm=comm,
            matrix=C,
            penalty=np.concatenate([self._penalty, lumped]),
            apart=cells,
            to_global=np.concatenate([own, there]).astype(np.int32),
            owned=int(owned),
            total=int(first[-1]),
        )

    def solve(self) -> Solutions:
        """Solve for unit potentials on each port, and for what is held if there is anything."""
        constraints = self.factor.constraints
        given = np.zeros((constraints.size, self.sides))
        given[: len(self._given)] = self._given
        x, y = self.factor.solve(self._load, given)
        n = self.unknowns.rows.shape[1]
        vector, scalar = self._everywhere(x, y, [batch.inner[..., n:] for batch in self.batches])
        if self.problem.held is not None:
            vector[-1] += self.problem.held
        ports = len(self.problem.ports)
        flux = total(self.problem.device.comm, self._load[:, :ports].T @ x)
        return self._solutions(vector, scalar, y, np.asarray(flux))

    def respond(self, loads: np.ndarray) -> Solutions:
        """The solution for other loads on the moments and the potential of cells, (c, m)."""
        n, p = self.unknowns.rows.shape[1], 2 * self.vector.in_cell
        outer, inner = loads[:, :n].copy(), []
        for batch in self.batches:
            assert batch.block is not None
            own = loads[batch.cells, n:, None]
            outer[batch.cells] -= (own.swapaxes(1, 2) @ batch.inner[..., :n])[:, 0]
            inner.append(np.linalg.solve(batch.block, own))
        rows, keep = self.unknowns.rows, self.unknowns.rows >= 0
        load = np.bincount(rows[keep], outer[keep], minlength=self.unknowns.size)[:, None]
        given = np.zeros((self.factor.constraints.size, 1))
        given[: len(loads), 0] = loads[:, p:].sum(axis=1)
        x, y = self.factor.solve(load, given)
        return self._solutions(*self._everywhere(x, y, inner), y, np.empty((0, 1)))

    def through_walls(self, source: np.ndarray) -> Solutions:
        """As of :meth:`meso.flow.system.DirectSystem.through_walls`."""
        given = np.zeros((self.factor.constraints.size, 1))
        np.add.at(given[:, 0], len(self._flux) + self._levels, source)
        x, y = self.factor.solve(np.zeros((self.unknowns.size, 1)), given)
        nothing = [batch.inner[..., :0] for batch in self.batches]
        return self._solutions(*self._everywhere(x, y, nothing), y, np.empty((0, 1)))

    def _everywhere(
        self, x: np.ndarray, y: np.ndarray, own: list[np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray]:
        """J and the potential from skeleton, means, and what loads do inside (c, m, last sides)."""
        sides = x.shape[1]
        vector = np.zeros((sides, self.vector.nodes, 2))
        kept_here = self.unknowns.nodes >= 0
        for a in range(2):
            vector[:, kept_here, a] = x[self.unknowns.nodes[kept_here] + a].T
        scalar = np.zeros((sides, len(self._flux), self.discrete.scalar.in_cell))
        padded = np.vstack([x, np.zeros((1, sides))])
        inside = 2 * (self.vector.interior.stop - self.vector.interior.start)
        for batch, more in zip(self.batches, own, strict=True):
            rows = self.unknowns.rows[batch.cells]
            inner = -(batch.inner[..., : rows.shape[1]] @ padded[rows])
            inner[..., sides - more.shape[2] :] += more
            inner = inner.transpose(2, 0, 1)
            nodes = self.vector.dofs[batch.cells][:, self.vector.interior]
            vector[:, nodes] = inner[..., :inside].reshape(sides, *nodes.shape, 2)
            means = y[batch.cells].T[..., None]
            scalar[:, batch.cells] = inner[..., inside:] + means
        return vector, scalar

    def _solutions(
        self, vector: np.ndarray, scalar: np.ndarray, y: np.ndarray, flux: np.ndarray
    ) -> Solutions:
        levels = y[len(self._flux) + self._levels].transpose(2, 0, 1)
        return Solutions(
            vector=vector,
            scalar=scalar,
            flux=flux,
            evidence=self.factor.evidence,
            family=self.vector.family,
            levels=self.discrete.spread_levels(levels),
        )

    def close(self) -> None:
        """Free the memory of the system, on all ranks together."""
        self.factor.close()


def _neighbours(
    levels: np.ndarray, cells: np.ndarray, nodes: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Cells (m,) of wall facets, and nodes (m, 2p) of these and of others that share a level."""
    facets = np.repeat(np.arange(len(levels)), levels.shape[1])
    order = np.argsort(levels.ravel(), kind="stable")
    one, other = order[:-1], order[1:]
    shared = levels.ravel()[one] == levels.ravel()[other]
    pairs = np.unique(np.column_stack([facets[one], facets[other]])[shared], axis=0)
    one, other = np.concatenate([pairs, pairs[:, ::-1]]).T
    return cells[one], np.concatenate([nodes[one], nodes[other]], axis=1)
