"""The discrete moment system on a device: assembly from terms, factorisation, solutions.

Taylor-Hood elements: moments in continuous P_k, potential in continuous P_{k-1}. Walls carry a
multiplier in P_{k-1}, split at corners, that keeps every net wall flux at zero.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from meso import unknowns as numbering
from meso.algebra import Assembly, Factor
from meso.cells import (
    Cells,
    FacetGeometry,
    Lagrange,
    cells_of,
    facet_geometry,
    facet_quadrature,
    inverse,
    lagrange,
    quadrature,
)
from meso.device import Device, Facets
from meso.flow import terms
from meso.flow.angular import Moments
from meso.mpi import largest, total

#: A field of positions: (..., 2) scaled coordinates in, (...) or (..., n) values out.
Field = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, slots=True, kw_only=True)
class Law:
    """What a boundary does, in scaled variables.

    Attributes:
        angular: Angular matrix of the boundary term from the facets and their cells' regions,
            shape (f, q, n, n); None for none.
        impenetrable: True for walls: zero normal current by a multiplier.
        ideal: True for contacts without tangential current (Nitsche).
        given: Prescribed moments, instead of everything else; None for none.
    """

    angular: Callable[[FacetGeometry, np.ndarray], np.ndarray] | None = None
    impenetrable: bool = False
    ideal: bool = False
    given: Field | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Loads:
    """Data beside contact potentials, in scaled variables: for manufactured solutions.

    Attributes:
        body: Force on the moments in the conductor, values (..., n).
        source: Divergence of J in the conductor.
        traction: Force on the moments at boundaries by name, from positions and normals.
        wall_flux: Normal current through walls by name, from positions and normals.
    """

    body: Field | None = None
    source: Field | None = None
    traction: Mapping[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] | None = None
    wall_flux: Mapping[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Solutions:
    """Nodal values of all right-hand sides on this rank.

    Attributes:
        vector: Moments, shape (sides, nodes, n).
        scalar: Potential, shape (sides, nodes).
        flux: Current into the device through each contact, over all ranks, for each side,
            shape (contacts, sides); empty where there are no contacts.
        method: How the system was solved.
        residual: Largest relative residual.
        unknowns: Size of the factorised system.
    """

    vector: np.ndarray
    scalar: np.ndarray
    flux: np.ndarray
    method: str
    residual: float
    unknowns: int


class MomentSystem:
    """Taylor-Hood discretisation of a member of the moment family.

    Args:
        device: The device.
        order: Polynomial degree k >= 2 of the moments.
        moments: Angular matrices.
        stress: Scaled l^2/sigma of each region.
        relaxation: Scaled 1/sigma of each region.
        laws: What each boundary does, by name.
        contacts: Names of the boundaries that carry a potential, one right-hand side each.
        loads: Other data: one more right-hand side, the last.
    """

    def __init__(
        self,
        device: Device,
        *,
        order: int,
        moments: Moments,
        stress: np.ndarray,
        relaxation: np.ndarray,
        laws: Mapping[str, Law],
        contacts: tuple[str, ...],
        loads: Loads | None = None,
    ) -> None:
        self.device, self.moments, self.laws, self.contacts = device, moments, laws, contacts
        self.cells: Cells = cells_of(device)
        self.vector: Lagrange = lagrange(device, order)
        self.scalar: Lagrange = lagrange(device, order - 1)
        self.stress, self.relaxation = stress, relaxation
        self.loads = loads
        # Given values belong to the last right-hand side, with the loads.
        self.given = self._given_values()
        data = loads is not None or self.given is not None
        self.sides = len(contacts) + data
        walls = self._facets(lambda law: law.impenetrable)
        self.unknowns = numbering.number(
            comm=device.comm,
            components=moments.count,
            vector=self.vector,
            scalar=self.scalar,
            prescribed=self._prescribed,
            pinned=not contacts,
            wall_nodes=self.scalar.dofs[walls.cell[:, None], self.scalar.on_facet[walls.local]],
            wall_piece=walls.piece,
        )
        self.assembly = Assembly(self.unknowns, self.sides)
        self._boundary: dict[int, np.ndarray] = {}
        self._contact_loads()
        self._walls(walls)
        self._boundary_terms()
        self._conductor()
        self.factor: Factor = self.assembly.factorise()

    # -- boundaries ----------------------------------------------------------------------------

    def _facets(self, wanted: Callable[[Law], bool]) -> Facets:
        chosen = np.array([wanted(self.laws[name]) for name in self.device.boundaries], dtype=bool)
        return self.device.facets.of(chosen[self.device.facets.boundary])

    def _named(self, name: str) -> Facets:
        index = self.device.boundaries.index(name)
        return self.device.facets.of(self.device.facets.boundary == index)

    def _geometry(self, facets: Facets) -> FacetGeometry:
        degree = 2 * self.vector.degree + 2 * (self.cells.degree - 1)
        return facet_geometry(self.cells, facets.cell, facets.local, *facet_quadrature(degree))

    def _given_values(self) -> np.ndarray | None:
        """Prescribed moments at the nodes; also finds those nodes on every rank."""
        values = np.zeros((self.vector.nodes, self.moments.count))
        nodes = [np.empty(0, dtype=np.int64)]
        for name in self.device.boundaries:
            law = self.laws[name]
            if law.given is None:
                continue
            here = self.vector.nodes_on(self.device, name)
            nodes.append(here)
            x = self.vector.space.tabulate_dof_coordinates()[here, :2] / self.device.extent
            values[here] = law.given(x)
        self._prescribed = np.unique(np.concatenate(nodes))
        # Zeros need no right-hand side of their own.
        given = largest(self.device.comm, np.abs(values).max(initial=0.0)) > 0
        return values if given else None

    def _contact_loads(self) -> None:
        for side, name in enumerate(self.contacts):
            facets = self._named(name)
            geometry = self._geometry(facets)
            one = np.ones((*geometry.weight.shape, 1))
            flux = terms.normal_flux(geometry, self.vector, self.moments, one)[:, 0]
            self.assembly.load[:, side] = 0.0
            load = np.zeros((*flux.shape, self.sides))
            load[..., side] = -flux
            self.assembly.add_load(self._vector_rows(facets), load)

    def _vector_rows(self, facets: Facets) -> np.ndarray:
        """Unknowns of the moments on facets, shape (f, n, p)."""
        nodes = self.vector.dofs[facets.cell[:, None], self.vector.on_facet[facets.local]]
        first = self.unknowns.vector[nodes][:, None, :]
        return np.where(first >= 0, first + np.arange(self.moments.count)[:, None], -1)

    def _walls(self, walls: Facets) -> None:
        geometry = self._geometry(walls)
        test = terms.trace(geometry, self.scalar)
        coupling = terms.normal_flux(geometry, self.vector, self.moments, test)
        count, m = coupling.shape[:2]
        size = self.moments.count * self.vector.on_facet.shape[1]
        rows = self._vector_rows(walls).reshape(count, size)
        self.assembly.add_coupling(self.unknowns.wall, rows, coupling.reshape(count, m, size))
        for name, flux in ((self.loads.wall_flux if self.loads else None) or {}).items():
            here = walls.boundary == self.device.boundaries.index(name)
            through = flux(geometry.position[here], geometry.normal[here])
            load = np.zeros((here.sum(), m, self.sides))
            load[..., -1] = np.einsum("fq,fqm,fq->fm", geometry.weight[here], test[here], through)
            self.assembly.add_load(self.unknowns.wall[here], load)

    def _boundary_terms(self) -> None:
        """Matrices of the boundary laws, to be added to those of their cells."""
        n, p = self.moments.count, self.vector.dofs.shape[1]

        def add(facets: Facets, matrix: np.ndarray, nodes: np.ndarray) -> None:
            for i, cell in enumerate(map(int, facets.cell)):
                if cell not in self._boundary:
                    self._boundary[cell] = np.zeros((n, p, n, p))
                at = nodes[i]
                self._boundary[cell][:, at[:, None], :, at] += matrix[i].transpose(1, 3, 0, 2)

        for name, law in self.laws.items():
            facets = self._named(name)
            geometry = self._geometry(facets)
            region = self.device.cell_region[facets.cell]
            if law.angular is not None:
                matrix = terms.boundary_matrix(geometry, self.vector, law.angular(geometry, region))
                add(facets, matrix, self.vector.on_facet[facets.local])
            if law.ideal:
                matrix = terms.tangential_consistency(
                    self.cells, geometry, self.vector, self.stress[region]
                )
                add(facets, matrix, np.broadcast_to(np.arange(p), (len(facets.cell), p)))
            traction = ((self.loads.traction if self.loads else None) or {}).get(name)
            if traction is not None:
                value = terms.trace(geometry, self.vector)
                force = traction(geometry.position, geometry.normal)
                load = np.zeros((len(facets.cell), n, value.shape[2], self.sides))
                load[..., -1] = np.einsum("fq,fqp,fqa->fap", geometry.weight, value, force)
                self.assembly.add_load(self._vector_rows(facets), load)

    # -- conductor -----------------------------------------------------------------------------

    def _conductor(self) -> None:
        n, p, q = self.moments.count, self.vector.dofs.shape[1], self.scalar.dofs.shape[1]
        size = n * p + q
        on_boundary = np.fromiter(self._boundary, dtype=np.int64, count=len(self._boundary))
        for batch, straight in self.cells.batches(4 * size * size):
            region = self.device.cell_region[batch]
            moments, divergence = terms.cell_terms(
                self.cells,
                batch,
                straight,
                self.vector,
                self.scalar,
                self.moments,
                self.stress[region],
                self.relaxation[region],
            )
            order = np.argsort(batch)
            for cell in on_boundary[np.isin(on_boundary, batch)]:
                moments[order[np.searchsorted(batch, cell, sorter=order)]] += self._boundary[cell]
            matrix = self._outer_first(moments, divergence)
            first = self.unknowns.vector[self.vector.dofs[batch][:, self.vector.outer]][:, None]
            rows = np.where(first >= 0, first + np.arange(n)[:, None], -1)
            scalar = self.unknowns.scalar[self.scalar.dofs[batch][:, self.scalar.outer]]
            rows = np.concatenate([rows.reshape(len(batch), -1), scalar], axis=1)
            self.assembly.add_cells(batch, matrix, rows, *self._data(batch, rows.shape[1]))

    def _blocks(self) -> list[tuple[slice, slice, slice, slice]]:
        """Outer and inner unknowns: places of moments and potential, and their nodes."""
        n, start, out = self.moments.count, 0, []
        for vector, scalar in (
            (self.vector.outer, self.scalar.outer),
            (self.vector.interior, self.scalar.interior),
        ):
            middle = start + n * (vector.stop - vector.start)
            end = middle + scalar.stop - scalar.start
            out.append((slice(start, middle), slice(middle, end), vector, scalar))
            start = end
        return out

    def _outer_first(self, moments: np.ndarray, divergence: np.ndarray) -> np.ndarray:
        """Element matrices with the unknowns on the cell boundary first, shape (c, s, s)."""
        count, n, p = moments.shape[:3]
        q = divergence.shape[1]
        matrix = np.zeros((count, n * p + q, n * p + q))

        def flat(block: np.ndarray, *shape: int) -> np.ndarray:
            return block.reshape(count, *shape)

        for u, _, vector, _ in self._blocks():
            for v, s, other, test in self._blocks():
                block = moments[:, :, vector, :, other]
                matrix[:, u, v] = flat(block, u.stop - u.start, v.stop - v.start)
                block = divergence[:, test][:, :, :, vector]
                block = flat(block, s.stop - s.start, u.stop - u.start)
                matrix[:, s, u] = block
                matrix[:, u, s] = block.transpose(0, 2, 1)
        return matrix

    def _data(self, batch: np.ndarray, outer: int) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Loads and prescribed values of a batch of cells (last right-hand side)."""
        n = self.moments.count
        load = given = None
        if self.given is not None:
            values = self.given[self.vector.dofs[batch][:, self.vector.outer]]
            values = values.transpose(0, 2, 1).reshape(len(batch), -1)
            given = np.zeros((len(batch), outer, self.sides))
            given[:, : values.shape[1], -1] = values
        if self.loads and (self.loads.body or self.loads.source):
            points, weights = quadrature(2 * self.vector.degree + 6)
            x = self.cells.positions(batch, points)
            _, determinant = inverse(self.cells.jacobians(batch, points))
            weight = weights * determinant
            p, q = self.vector.dofs.shape[1], self.scalar.dofs.shape[1]
            force, source = np.zeros((len(batch), n, p)), np.zeros((len(batch), q))
            if self.loads.body:
                value = self.vector.values(points)
                force = np.einsum("cq,qp,cqa->cap", weight, value, self.loads.body(x))
            if self.loads.source:
                given_source = weight * self.loads.source(x)
                source = -given_source @ self.scalar.values(points)
                gradient, _ = self.cells.gradients(batch, points, self.vector.gradients(points))
                outflow = np.einsum("ia,cqip->cqap", self.moments.flux, gradient)
                relaxation = self.relaxation[self.device.cell_region[batch]]
                augmented = terms.augmentation(weight.sum(axis=1), relaxation)
                force = force + np.einsum("c,cq,cqap->cap", augmented, given_source, outflow)
            load = np.zeros((len(batch), n * p + q, self.sides))
            for u, r, vector, scalar in self._blocks():
                load[:, u, -1] = force[:, :, vector].reshape(len(batch), -1)
                load[:, r, -1] = source[:, scalar]
        return load, given

    # -- solution ------------------------------------------------------------------------------

    def solve(self) -> Solutions:
        """Solve for unit potentials on each contact, and for the loads if there are any.

        Returns:
            The solutions.

        Raises:
            ConvergenceError: See :class:`meso.algebra.Factor`.
        """
        x = self.factor.solve(self.assembly.load)
        n = self.moments.count
        vector = np.zeros((self.sides, self.vector.nodes, n))
        scalar = np.zeros((self.sides, self.scalar.nodes))
        kept = self.unknowns.vector >= 0
        for a in range(n):
            vector[:, kept, a] = x[self.unknowns.vector[kept] + a].T
        if self.given is not None:
            vector[-1, self._prescribed] = self.given[self._prescribed]
        kept = self.unknowns.scalar >= 0
        scalar[:, kept] = x[self.unknowns.scalar[kept]].T
        inside = self.vector.interior.stop - self.vector.interior.start
        for batch in self.assembly.batches:
            inner = batch.inner(x)
            for a in range(n):
                nodes = self.vector.dofs[batch.cells][:, self.vector.interior]
                vector[:, nodes, a] = inner[:, a * inside : (a + 1) * inside].transpose(2, 0, 1)
            nodes = self.scalar.dofs[batch.cells][:, self.scalar.interior]
            scalar[:, nodes] = inner[:, n * inside :].transpose(2, 0, 1)
        # The load of a contact is -<J_n>, so that its product with a solution is the current
        # that enters there: exactly conservative, G symmetric.
        flux = total(self.device.comm, self.assembly.load[:, : len(self.contacts)].T @ x)
        return Solutions(
            vector=vector,
            scalar=scalar,
            flux=np.asarray(flux),
            method=self.factor.method,
            residual=self.factor.residual,
            unknowns=self.unknowns.total,
        )
