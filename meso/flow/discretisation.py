"""The moment family on a device: spaces, boundary laws and data, element by element.

Taylor-Hood elements: moments in continuous P_k, potential in continuous P_{k-1}, which may jump
between materials. What is done with the element matrices is the business of the systems:
:mod:`meso.flow.system` (condensed, direct) and :mod:`meso.flow.saddle` (iterative).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from meso.device import Device, Facets
from meso.discrete.cells import Cells, FacetGeometry, Lagrange, cells_of, facet_geometry, lagrange
from meso.discrete.flow import BoundaryIntegrand, FlowForms
from meso.discrete.own_terms import OwnTerms
from meso.equations import contacts, walls
from meso.flow import terms
from meso.flow.angular import Moments, about
from meso.mpi import largest

#: A field of positions: (..., d) scaled coordinates in, (...) or (..., n) values out.
Field = Callable[[np.ndarray], np.ndarray]


class Coefficients(Protocol):
    """Coefficients of the scaled equations at cells (c,) and scaled positions (c, q, d).

    Attributes:
        varies: True for the cells whose coefficients vary, shape (c,).
    """

    varies: np.ndarray

    def stress(self, cells: np.ndarray, positions: np.ndarray) -> np.ndarray:
        """l^2/sigma, shape (c, q), or (c,) where nothing varies."""

    def relaxation(self, cells: np.ndarray, positions: np.ndarray) -> np.ndarray:
        """1/sigma, shape (c, q), or (c,) where nothing varies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HalfRange:
    """A kinetic boundary: integrals over half of the directions.

    Attributes:
        ratio: (1 - p)/(1 + p), one for a reservoir.
        matrix: Of the odd moments about the normal, shape (N, N).
        weight: lambda/sigma at the quadrature points of facets, shape (f, q).
    """

    ratio: float
    matrix: np.ndarray
    weight: Callable[[FacetGeometry], np.ndarray]

    def angular(self, facets: FacetGeometry) -> np.ndarray:
        """In the fixed frame, shape (f, q, N, N)."""
        orders = range(1, len(self.matrix), 2)
        return self.weight(facets)[..., None, None] * about(facets.normal, orders, self.matrix)

    @property
    def first(self) -> HalfRange:
        """What the first moments do to themselves."""
        return replace(self, matrix=self.matrix[:2, :2])


@dataclass(frozen=True, slots=True, kw_only=True)
class OnFacets:
    """Where coefficients of boundary terms are wanted.

    Attributes:
        cell: Cell of each facet, shape (f,).
        position: Scaled positions in it, shape (f, p, d).
        height: Height of the cell over the facet, shape (f,).
    """

    cell: np.ndarray
    position: np.ndarray
    height: np.ndarray


#: A coefficient of a boundary term, shape (f,) or (f, p).
Coefficient = Callable[[OnFacets], np.ndarray]


@dataclass(frozen=True, slots=True)
class BoundaryTerm:
    """A boundary term of the current density.

    Attributes:
        form: Its integrand, of :mod:`meso.equations`.
        coefficients: By the names of its arguments.
    """

    form: BoundaryIntegrand
    coefficients: Mapping[str, Coefficient]


@dataclass(frozen=True, slots=True, kw_only=True)
class Law:
    """What a boundary does, in scaled variables. Without anything: traction-free.

    Attributes:
        terms: Boundary terms of the current density.
        half_range: Boundary term of all moments, for kinetic boundaries; None for none.
        impenetrable: True for walls: no normal current.
        penalty: With it: penalty on the normal current; None for none.
        given: Prescribed moments, instead of everything else; None for none.
    """

    terms: tuple[BoundaryTerm, ...] = ()
    half_range: HalfRange | None = None
    impenetrable: bool = False
    penalty: Coefficient | None = None
    given: Field | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Loads:
    """Data beside the ports, in scaled variables: for manufactured solutions.

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
class Problem:
    """A member of the moment family on a device.

    Attributes:
        device: The device.
        order: Polynomial degree k >= 2 of the moments.
        moments: Angular matrices.
        coefficients: Coefficients of the equations.
        phases: Index of each region's material: the potential may jump between different ones.
        laws: What each boundary does, by name.
        ports: Boundaries that carry a potential (contacts, periodic pairs): one right-hand side
            each.
        grounded: Those of them that fix the level of the potential.
        pairs: Periodic pairs of boundaries, the first is in ``ports``.
        loads: Other data: one more right-hand side, the last.
        members: Angular matrices of each material, by its index, where they differ from
            ``moments``.
        own: Terms that are added to the weak form.
    """

    device: Device
    order: int
    moments: Moments
    coefficients: Coefficients
    phases: np.ndarray
    laws: Mapping[str, Law]
    ports: tuple[str, ...]
    grounded: tuple[str, ...]
    pairs: tuple[tuple[str, str], ...] = ()
    loads: Loads | None = None
    members: tuple[Moments, ...] = ()
    own: OwnTerms | None = None

    @property
    def symmetric(self) -> bool:
        """Whether its matrices are symmetric: no magnetic field."""
        if self.own is not None and not self.own.symmetric:
            return False
        return all(member.symmetric for member in (self.moments, *self.members))


@dataclass(frozen=True, slots=True, kw_only=True)
class Solutions:
    """Solutions for all right-hand sides on this rank.

    Attributes:
        vector: Moments at the nodes of their space, shape (sides, nodes, n).
        scalar: Potential at the nodes of each cell, shape (sides, c, q).
        flux: Current into the device through each port, over all ranks, for each side, shape
            (ports, sides); empty where there are no ports.
        evidence: How the system was solved: method, unknowns, residual, ...
    """

    vector: np.ndarray
    scalar: np.ndarray
    flux: np.ndarray
    evidence: dict[str, object]


class Discretisation:
    """Element matrices and loads of a problem.

    Attributes:
        problem: The problem.
        cells: Geometry.
        vector: Space of the moments.
        scalar: Space of the potential.
        given: Prescribed moments at the nodes, shape (nodes, n), None if all are zero.
        prescribed: Nodes with prescribed moments, shape (m,).
        sides: Number of right-hand sides.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        device, self.moments, self.laws = problem.device, problem.moments, problem.laws
        self.device = device
        self.cells: Cells = cells_of(device)
        self.vector: Lagrange = lagrange(device, problem.order)
        self.scalar: Lagrange = lagrange(device, problem.order - 1)
        self._forms = FlowForms(self.cells, problem.order)
        # Given values belong to the last right-hand side, with the loads.
        self.prescribed, self.given = self._given_values()
        loaded = problem.own is not None and problem.own.loads is not None
        data = problem.loads is not None or self.given is not None or loaded
        self.sides = len(problem.ports) + data

    # -- boundaries ----------------------------------------------------------------------------

    def facets(self, wanted: Callable[[Law], bool]) -> Facets:
        """Facets of the boundaries whose laws are wanted."""
        chosen = np.array([wanted(self.laws[name]) for name in self.device.boundaries], dtype=bool)
        return self.device.facets.of(chosen[self.device.facets.boundary])

    def named(self, name: str) -> Facets:
        """Facets of a boundary."""
        index = self.device.boundaries.index(name)
        return self.device.facets.of(self.device.facets.boundary == index)

    def geometry(self, facets: Facets) -> FacetGeometry:
        """Facets at the quadrature points of boundary terms."""
        degree = 2 * self.vector.degree + 2 * (self.cells.degree - 1)
        points, weights = self.cells.facet_quadrature(degree)
        return facet_geometry(self.cells, facets.cell, facets.local, points, weights)

    def wall_nodes(self, walls: Facets, twins: np.ndarray) -> np.ndarray:
        """Nodes that carry the level of a wall, shape (f, nodes of a facet).

        Where a single facet reaches from a periodic boundary to its twin, J_n is equal at both
        ends. Levels of odd degree would then contain one, antisymmetric about the middle, that
        every J_n is orthogonal to; equal levels at the ends exclude it, and nothing else.

        Args:
            walls: Facets of walls.
            twins: What :func:`meso.discrete.periodic.twin_nodes` returns for the moments.
        """
        nodes = self.scalar.dofs[walls.cell[:, None], self.scalar.on_facet[walls.local]]
        if self.cells.dimension != 2 or self.scalar.degree % 2 == 0 or not len(twins):
            return nodes
        ends = self.vector.dofs[walls.cell[:, None], self.vector.on_facet[walls.local][:, :2]]
        first, second = self.vector.global_nodes[ends].T
        pairs = {tuple(sorted(pair)) for pair in twins.tolist()}
        around = [tuple(sorted(pair)) in pairs for pair in zip(first, second, strict=True)]
        nodes[around, 1] = nodes[around, 0]
        return nodes

    def batches(self, facets: Facets, numbers: int) -> Iterator[tuple[Facets, FacetGeometry]]:
        """Facets with their geometry, in batches for ``numbers`` values per facet."""
        step = max(1, 3_000_000 // max(1, numbers))
        for start in range(0, len(facets.cell), step):
            here = facets.of(np.arange(start, min(start + step, len(facets.cell))))
            yield here, self.geometry(here)

    def _given_values(self) -> tuple[np.ndarray, np.ndarray | None]:
        """Nodes with prescribed moments, known to every rank, and the values."""
        values = np.zeros((self.vector.nodes, self.moments.count))
        nodes = [np.empty(0, dtype=np.int64)]
        for name in self.device.boundaries:
            law = self.laws[name]
            if law.given is None:
                continue
            here = self.vector.nodes_on(self.device, name)
            nodes.append(here)
            x = self.vector.space.tabulate_dof_coordinates()[here, : self.device.dimension]
            values[here] = law.given(x / self.device.extent)
        # Zeros need no right-hand side of their own.
        some = largest(self.device.comm, np.abs(values).max(initial=0.0)) > 0
        return np.unique(np.concatenate(nodes)), values if some else None

    def port_flux(self, name: str) -> tuple[Facets, np.ndarray]:
        """Facets of a port, and the integrals of J_n over them, shape (f, p, n)."""
        facets = self.named(name)
        flux = self._forms.port(facets.cell, facets.local)
        here = np.arange(len(flux))[:, None]
        return facets, self._of_all(flux[here, self.vector.on_facet[facets.local]])

    def wall_flux(self, walls: Facets) -> np.ndarray:
        """Integrals of levels of walls times J_n, on nodes of facets, shape (f, q, p, n)."""
        flux = self._forms.flux(walls.cell, walls.local)
        here = np.arange(len(flux))[:, None, None]
        levels = self.scalar.on_facet[walls.local][:, :, None]
        nodes = self.vector.on_facet[walls.local][:, None, :]
        return self._of_all(flux[here, levels, nodes])

    def _of_all(self, current: np.ndarray) -> np.ndarray:
        """Values of the current density as values of the moments, along the last axis."""
        return current @ self.moments.flux

    def boundary_matrices(self, *, nitsche: bool) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Matrices of the boundary laws.

        Args:
            nitsche: True to keep walls impenetrable by Nitsche's method.

        Yields:
            Cells, shape (f,), and matrices on the moments of all their nodes and the potential,
            (f, m, m), as of :func:`meso.flow.terms.cell_terms`.
        """
        n, p, q = self.moments.count, self.vector.dofs.shape[1], self.scalar.dofs.shape[1]
        d = self.cells.dimension
        for name, law in self.laws.items():
            form = list(law.terms)
            walled = nitsche and law.impenetrable
            if walled:
                form.append(BoundaryTerm(contacts.impenetrable, self._of_nitsche(law)))
            elif law.penalty is not None:
                form.append(BoundaryTerm(walls.penalty, {"factor": law.penalty}))
            if not form and law.half_range is None:
                continue
            for facets, geometry in self.batches(self.named(name), 4 * (n * p) ** 2):
                whole = np.zeros((len(facets.cell), p * n + q, p * n + q))
                matrix = np.zeros((len(facets.cell), p, n, p, n))
                if law.half_range is not None:
                    self._spread(matrix, facets, geometry, law.half_range.angular(geometry))
                where = self._on_facets(geometry)
                for term in form:
                    values = {name: c(where) for name, c in term.coefficients.items()}
                    # The first moments are the current density.
                    matrix[:, :, :d, :, :d] += self._forms.boundary(
                        term.form, facets.cell, facets.local, values
                    )
                if walled:
                    flux = self._forms.flux(facets.cell, facets.local)
                    whole[:, p * n :, : p * n] = flux.reshape(-1, q, p * n)
                    whole[:, : p * n, p * n :] = whole[:, p * n :, : p * n].transpose(0, 2, 1)
                whole[:, : p * n, : p * n] = matrix.reshape(-1, p * n, p * n)
                yield facets.cell, whole

    def _of_nitsche(self, law: Law) -> dict[str, Coefficient]:
        """Coefficients of :func:`meso.equations.contacts.impenetrable`."""
        stress, penalty = self.problem.coefficients.stress, law.penalty
        assert penalty is not None
        return {"stress": lambda on: stress(on.cell, on.position), "factor": penalty}

    def _on_facets(self, geometry: FacetGeometry) -> OnFacets:
        position = self.cells.positions(geometry.cell, self._forms.points)
        return OnFacets(cell=geometry.cell, position=position, height=geometry.height)

    def _spread(
        self, matrix: np.ndarray, facets: Facets, geometry: FacetGeometry, angular: np.ndarray
    ) -> None:
        """Add a term that only knows the nodes of the facets."""
        term = terms.boundary_matrix(geometry, self.vector, angular)
        n = self.moments.count
        for i, nodes in enumerate(self.vector.on_facet):
            here = np.flatnonzero(facets.local == i)
            matrix[np.ix_(here, nodes, np.arange(n), nodes, np.arange(n))] += term[here]

    @staticmethod
    def at_facets(
        coefficient: Callable[[np.ndarray, np.ndarray], np.ndarray], geometry: FacetGeometry
    ) -> np.ndarray:
        """A coefficient at the quadrature points of facets, shape (f, q)."""
        values = coefficient(geometry.cell, geometry.position)
        each = values[:, None] if values.ndim == 1 else values
        return np.broadcast_to(each, geometry.weight.shape)

    # -- conductor -----------------------------------------------------------------------------

    def cell_matrices(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Cells of a batch, and their matrices as of :func:`meso.flow.terms.cell_terms`."""
        n, p, q = self.moments.count, self.vector.dofs.shape[1], self.scalar.dofs.shape[1]
        simple = self.cells.affine & ~self.problem.coefficients.varies
        points, _ = terms.points_of(self.cells, self.vector)
        added = self.problem.own
        for batch, same in self.cells.batches(4 * (n * p + q) ** 2, simple):
            if not len(batch):
                continue
            for own, moments in self._members(batch):
                at = self.cells.positions(own, points[:1] if same else points)
                stress = self.problem.coefficients.stress(own, at)
                relaxation = self.problem.coefficients.relaxation(own, at)
                whole = terms.cell_terms(
                    self.cells, own, same, self.vector, self.scalar, moments, stress, relaxation
                )
                if added is not None:
                    whole += added.matrices[own]
                yield own, whole

    def _members(self, batch: np.ndarray) -> Iterator[tuple[np.ndarray, Moments]]:
        """The cells of a batch, material by material where the angular matrices differ."""
        if not self.problem.members:
            yield batch, self.moments
            return
        phase = self.problem.phases[self.device.cell_region[batch]]
        for index in np.unique(phase):
            yield batch[phase == index], self.problem.members[index]

    # -- data ----------------------------------------------------------------------------------

    def tractions(self) -> Iterator[tuple[Facets, np.ndarray]]:
        """Loads of given tractions on the nodes of facets, shape (f, p, n)."""
        loads = self.problem.loads
        for name, traction in ((loads.traction if loads else None) or {}).items():
            facets = self.named(name)
            geometry = self.geometry(facets)
            value = terms.trace(geometry, self.vector)
            force = traction(geometry.position, geometry.normal)
            yield facets, np.einsum("fq,fqp,fqa->fpa", geometry.weight, value, force)

    def cell_loads(self, batch: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """Loads of given forces (c, p, n) and sources (c, q) in cells; None without any."""
        loads, added = self.problem.loads, self.problem.own
        if added is not None and added.loads is not None:
            at = self.moments.count * self.vector.dofs.shape[1]
            mine = added.loads[batch]
            return mine[:, :at].reshape(len(batch), -1, self.moments.count), mine[:, at:]
        if loads is None or not (loads.body or loads.source):
            return None
        points, weights = self.cells.quadrature(2 * self.vector.degree + 6)
        x = self.cells.positions(batch, points)
        weight = weights * self.cells.determinants(batch, points)
        n, p, q = self.moments.count, self.vector.dofs.shape[1], self.scalar.dofs.shape[1]
        force, source = np.zeros((len(batch), p, n)), np.zeros((len(batch), q))
        if loads.body:
            value = self.vector.values(points)
            force = np.einsum("cq,qp,cqa->cpa", weight, value, loads.body(x))
        if loads.source:
            given = weight * loads.source(x)
            source = -given @ self.scalar.values(points)
            gradient, _ = self.cells.gradients(batch, points, self.vector.gradients(points))
            outflow = np.einsum("ia,cqip->cqpa", self.moments.flux, gradient)
            relaxation = self.problem.coefficients.relaxation(batch, x)
            size = terms.augmentation(weight.sum(axis=1), self.cells.dimension)[:, None]
            size = size * relaxation.reshape(len(batch), -1)
            force = force + np.einsum("cq,cqpa->cpa", size * given, outflow)
        return force, source
