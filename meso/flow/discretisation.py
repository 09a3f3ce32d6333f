"""The moment family on a device: spaces, boundary laws and data, element by element.

Find moments u (current density J = flux u), potential phi and wall multipliers h with

    relaxation(w, u) + stress(w, u) + (div flux w, (h^2/sigma) div J)
      - (div flux w, phi) - (psi, div J)                                        in the conductor
      + wall(w, u) + <flux_n w, h> + <eta, J_n>                                 on walls
      + contact terms = - sum_c V_c <flux_n w>_c                    on contacts, periodic pairs

in scaled variables. Taylor-Hood elements: moments in continuous P_k, potential in continuous
P_{k-1}, which may jump between materials. Element matrices act on the moments, node by node, and
then on the potential, shape (c, m, m). What is done with them is the business of the systems:
:mod:`meso.flow.system` (condensed, direct) and :mod:`meso.flow.saddle` (iterative).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

import numpy as np

from meso.device import Device, Facets
from meso.discrete.cells import (
    Cells,
    FacetGeometry,
    Lagrange,
    NodalBasis,
    cells_of,
    facet_geometry,
    facet_heights,
    lagrange,
)
from meso.discrete.coefficients import Coefficients
from meso.discrete.flow import BoundaryIntegrand, FlowForms
from meso.discrete.own_terms import OwnTerms
from meso.discrete.scalar import ScalarForms
from meso.discrete.unknowns import Numbering, number_field
from meso.equations import contacts, walls
from meso.flow.angular import Moments
from meso.flow.basis import WallMatrix

#: Elements: continuous moments and potential; or moments with bubbles of degree k + 1, and
#: discontinuous potential (:mod:`meso.flow.skeletal`).
TAYLOR_HOOD, CROUZEIX_RAVIART = "Taylor-Hood", "Crouzeix-Raviart"


@dataclass(frozen=True, slots=True, kw_only=True)
class HalfRange:
    """A kinetic boundary: integrals over half of the directions.

    Attributes:
        ratio: (1 - p)/(1 + p), one for a reservoir.
        matrix: Of the odd moments.
        weight: lambda/sigma at the quadrature points of facets, shape (f, q).
        slope: Derivative of the matrix in the ratio; None for a reservoir.
    """

    ratio: float
    matrix: WallMatrix
    weight: Callable[[FacetGeometry], np.ndarray]
    slope: WallMatrix | None = None

    def angular(self, facets: FacetGeometry) -> np.ndarray:
        """In the fixed frame, shape (f, q, N, N)."""
        return self.weight(facets)[..., None, None] * self.matrix.at(facets.normal)

    def first(self, count: int) -> HalfRange:
        """What the first moments do to themselves."""
        return replace(self, matrix=self.matrix.part(np.arange(count)))


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
OfFacets = Callable[[OnFacets], np.ndarray]


@dataclass(frozen=True, slots=True, kw_only=True)
class Law:
    """What a boundary does, in scaled variables. Without anything: traction-free.

    Attributes:
        terms: Boundary terms of the current density, of :mod:`meso.equations`.
        coefficients: Theirs, by the names of their arguments.
        half_range: Boundary term of all moments, for kinetic boundaries; None for none.
        impenetrable: True for walls: no normal current.
        penalty: With it: penalty on the normal current; None for none.
        sticks: True for no current at all, instead of everything else.
    """

    terms: tuple[BoundaryIntegrand, ...] = ()
    coefficients: Mapping[str, OfFacets] = field(default_factory=dict)
    half_range: HalfRange | None = None
    impenetrable: bool = False
    penalty: OfFacets | None = None
    sticks: bool = False


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
        members: Angular matrices of each material, by its index, where they differ from
            ``moments``.
        elements: TAYLOR_HOOD or CROUZEIX_RAVIART.
        own: Terms that are added to the weak form; their loads are the last right-hand side.
        held: Moments at the nodes, shape (nodes, n), zero but where a law says that they stick, and
            there not on walls: the solution of the last right-hand side has these values.
        groups: Of the moments after the first, as of :class:`meso.flow.basis.Basis`.
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
    members: tuple[Moments, ...] = ()
    elements: str = TAYLOR_HOOD
    own: OwnTerms | None = None
    held: np.ndarray | None = None
    groups: tuple[Sequence[np.ndarray], Sequence[np.ndarray]] = ((), ())

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
        family: Of the space of the moments.
        levels: Levels of walls at the nodes of each facet of ``Device.facets``, zero but on walls,
            shape (sides, f, q).
    """

    vector: np.ndarray
    scalar: np.ndarray
    flux: np.ndarray
    evidence: dict[str, object]
    family: str = "Lagrange"
    levels: np.ndarray | None = None


def _value(coefficients: Mapping[str, OfFacets], on: OnFacets, name: str) -> np.ndarray:
    return coefficients[name](on)


class Discretisation:
    """Element matrices and loads of a problem.

    Attributes:
        problem: The problem.
        cells: Geometry.
        vector: Space of the moments.
        scalar: Basis of the potential in cells; its space where it is continuous.
        on_walls: That whose nodes on walls number their levels, which are as many as those of the
            potential, which may all be inside cells.
        prescribed: Nodes without moments, shape (m,), known to every rank that touches them.
        sides: Number of right-hand sides.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem, self.device = problem, problem.device
        self.moments, self.laws = problem.moments, problem.laws
        self.cells: Cells = cells_of(problem.device)
        enriched = problem.elements == CROUZEIX_RAVIART
        family = "enriched" if enriched else "Lagrange"
        self.vector: Lagrange = lagrange(problem.device, problem.order, family)
        if enriched:
            self.scalar: Any = NodalBasis(problem.device, problem.order - 1, "Lagrange")
        else:
            self.scalar = lagrange(problem.device, problem.order - 1)
        self.on_walls: Lagrange = self.vector if enriched else self.scalar
        self.forms = FlowForms(self.cells, problem.order, enriched=enriched)
        sticky = [name for name in self.device.boundaries if self.laws[name].sticks]
        nodes = [self.vector.nodes_on(self.device, name) for name in sticky]
        self.prescribed = np.unique(np.concatenate([np.empty(0, dtype=np.int64), *nodes]))
        points, weights = self.cells.quadrature(problem.order - 1)
        #: Integrals of the basis functions of the potential over the reference cell, of area one.
        self.scalar_means = 2 * weights @ self.scalar.values(points)
        self.loaded = problem.own is not None and problem.own.loads is not None
        self.sides = len(problem.ports) + (self.loaded or problem.held is not None)

    # -- boundaries ----------------------------------------------------------------------------

    def facets(self, wanted: Callable[[Law], bool]) -> Facets:
        """Facets of the boundaries whose laws are wanted."""
        chosen = np.array([wanted(self.laws[name]) for name in self.device.boundaries], dtype=bool)
        return self.device.facets.of(chosen[self.device.facets.boundary])

    @cached_property
    def walls(self) -> np.ndarray:
        """Which facets of the device keep the normal current out, in the order of ``facets``."""
        tight = [self.laws[name].impenetrable for name in self.device.boundaries]
        return np.flatnonzero(np.array(tight, dtype=bool)[self.device.facets.boundary])

    def spread_levels(self, on_walls: np.ndarray) -> np.ndarray:
        """Levels of all facets from those of walls, (sides, walls, q)."""
        sides, _, q = on_walls.shape
        out = np.zeros((sides, len(self.device.facets.cell), q))
        out[:, self.walls] = on_walls
        return out

    def levels_of_potential(self, scalar: np.ndarray) -> np.ndarray:
        """Levels of all facets where those of walls are the potential there, from (sides, c, q)."""
        walls = self.device.facets.of(self.walls)
        nodes = self.scalar.on_facet[walls.local]
        return self.spread_levels(scalar[:, walls.cell[:, None], nodes])

    def geometry(self, facets: Facets) -> FacetGeometry:
        """Facets at the quadrature points of boundary terms."""
        degree = 2 * self.vector.degree + 2 * (self.cells.degree - 1)
        points, weights = self.cells.facet_quadrature(degree)
        return facet_geometry(self.cells, facets.cell, facets.local, points, weights)

    @staticmethod
    def batches(facets: Facets, numbers: int) -> Iterator[Facets]:
        """Facets in batches for ``numbers`` values per facet."""
        step = max(1, 3_000_000 // max(1, numbers))
        for start in range(0, len(facets.cell), step):
            yield facets.of(np.arange(start, min(start + step, len(facets.cell))))

    def wall_nodes(self, walls: Facets, twins: np.ndarray) -> np.ndarray:
        """Nodes of ``on_walls`` that carry the level of a wall, (f, q); ``twins`` of the moments.

        Where a single facet reaches from a periodic boundary to its twin, J_n is equal at both
        ends. Levels of odd degree would then contain one, antisymmetric about the middle, that
        every J_n is orthogonal to; equal levels at the ends exclude it, and nothing else.
        """
        own = self.on_walls.on_facet[:, : self.scalar.on_facet.shape[1]]
        nodes = self.on_walls.dofs[walls.cell[:, None], own[walls.local]]
        if self.cells.dimension != 2 or self.scalar.degree % 2 == 0 or not len(twins):
            return nodes
        ends = self.vector.dofs[walls.cell[:, None], self.vector.on_facet[walls.local][:, :2]]
        first, second = self.vector.global_nodes[ends].T
        pairs = {tuple(sorted(pair)) for pair in twins.tolist()}
        around = [tuple(sorted(pair)) in pairs for pair in zip(first, second, strict=True)]
        nodes[around, 1] = nodes[around, 0]
        return nodes

    def port_flux(self, name: str) -> tuple[Facets, np.ndarray]:
        """Facets of a port, and the integrals of J_n over them, shape (f, p, n)."""
        facets = self.device.facets_on(name)
        flux = self.forms.port(facets.cell, facets.local)
        here = np.arange(len(flux))[:, None]
        return facets, flux[here, self.vector.on_facet[facets.local]] @ self.moments.flux

    def wall_flux(self, walls: Facets) -> np.ndarray:
        """Integrals of levels of walls times J_n, on nodes of facets, shape (f, q, p, n)."""
        flux = self.forms.flux(walls.cell, walls.local)
        here = np.arange(len(flux))[:, None, None]
        levels = self.scalar.on_facet[walls.local][:, :, None]
        nodes = self.vector.on_facet[walls.local][:, None, :]
        return flux[here, levels, nodes] @ self.moments.flux

    def penalties(self, walls: Facets) -> np.ndarray:
        """Mean factor of the penalty on J_n on each facet, shape (f,)."""
        at = self.cells.positions(walls.cell, self.forms.points)
        on = OnFacets(
            cell=walls.cell, position=at, height=facet_heights(self.cells, walls.cell, walls.local)
        )
        out = np.empty(len(walls.cell))
        for name, law in self.laws.items():
            here = walls.boundary == self.device.boundaries.index(name)
            if law.penalty is not None and here.any():
                factor = law.penalty(on)
                out[here] = factor.reshape(len(out), -1).mean(axis=1)[here]
        return out

    def boundary_matrices(self, *, nitsche: bool) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Cells (f,) and matrices of the boundary laws, (f, m, m).

        With ``nitsche`` Nitsche's method keeps walls impenetrable, else a multiplier will.
        """
        n, p, q = self.moments.count, self.vector.in_cell, self.scalar.in_cell
        d = self.cells.dimension
        for name, law in self.laws.items():
            walled = nitsche and law.impenetrable
            integrands, given = law.terms, dict(law.coefficients)
            if law.penalty is not None:
                integrands += (contacts.impenetrable if walled else walls.penalty,)
                given["factor"] = law.penalty
            if not integrands and law.half_range is None:
                continue
            for facets in self.batches(self.device.facets_on(name), 4 * (n * p) ** 2):
                cell, local = facets.cell, facets.local
                matrix = np.zeros((len(cell), p, n, p, n))
                if law.half_range is not None:
                    self._spread(matrix, facets, law.half_range)
                if integrands:
                    at = self.cells.positions(cell, self.forms.points)
                    on = OnFacets(
                        cell=cell, position=at, height=facet_heights(self.cells, cell, local)
                    )
                    # The first moments are the current density.
                    matrix[:, :, :d, :, :d] += self.forms.boundary(
                        integrands, cell, local, partial(_value, given, on)
                    )
                whole = np.zeros((len(cell), p * n + q, p * n + q))
                whole[:, : p * n, : p * n] = matrix.reshape(-1, p * n, p * n)
                if walled:
                    flux = self.forms.flux(cell, local).reshape(-1, q, p * n)
                    whole[:, p * n :, : p * n] = flux
                    whole[:, : p * n, p * n :] = flux.swapaxes(1, 2)
                yield cell, whole

    def _spread(self, matrix: np.ndarray, facets: Facets, law: HalfRange) -> None:
        """Add w_a angular[a, b] u_b, which only knows the nodes of the facets."""
        geometry = self.geometry(facets)
        angular = law.angular(geometry)
        value, n = trace(geometry, self.vector), self.moments.count
        count, q, p = value.shape
        square = (value[:, :, :, None] * value[:, :, None, :]).reshape(count, q, p * p)
        weighted = (geometry.weight[:, :, None, None] * angular).reshape(count, q, n * n)
        term = (weighted.transpose(0, 2, 1) @ square).reshape(count, n, n, p, p)
        term = term.transpose(0, 3, 1, 4, 2)
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
        """Cells of a batch, and their matrices."""
        m = self.moments.count * self.vector.in_cell + self.scalar.in_cell
        added = self.problem.own
        simple = self.cells.affine & ~self.problem.coefficients.varies
        for batch, same in self.cells.batches(4 * m**2, simple):
            for own, moments in self._members(batch):
                whole = self._conductor(own, same, moments)
                if added is not None:
                    whole += added.matrices[own]
                yield own, whole

    def _conductor(self, batch: np.ndarray, same: bool, moments: Moments) -> np.ndarray:
        coefficients, d = self.problem.coefficients, self.cells.dimension
        # Twice the degree is enough on curved cells: the divergence is still exact.
        points = self.forms.quadrature()
        at = coefficients.places(batch, points[:1] if same else points)
        stress, relaxation = coefficients.stress(batch, at), coefficients.relaxation(batch, at)
        bulk = (augmentation(self.cells.measures(batch), d) * relaxation.T).T
        if moments.hydrodynamic:
            return self.forms.conductor(batch, same, stress, relaxation, bulk)
        # The first moments are the current density.
        nothing = np.zeros_like(relaxation)
        flow = self.forms.conductor(batch, same, nothing, nothing, bulk)
        c, n, p, q = len(batch), moments.count, self.vector.in_cell, self.scalar.in_cell
        matrix, whole = np.zeros((c, p, n, p, n)), np.zeros((c, p * n + q, p * n + q))
        matrix[:, :, :d, :, :d] = flow[:, : p * d, : p * d].reshape(c, p, d, p, d)
        scalars = ScalarForms(self.cells, self.vector)
        slopes = scalars.stiffness(batch, same, stress)
        for i, j, a, b in np.argwhere(moments.stress != 0):
            matrix[:, :, a, :, b] += moments.stress[i, j, a, b] * slopes[:, i, :, j]
        mass = scalars.mass(batch, same, relaxation)
        for a, b in np.argwhere(moments.relaxation):
            matrix[:, :, a, :, b] += moments.relaxation[a, b] * mass
        whole[:, : p * n, : p * n] = matrix.reshape(c, p * n, p * n)
        divergence = flow[:, p * d :, : p * d].reshape(c, q, p, d) @ moments.flux
        whole[:, p * n :, : p * n] = divergence.reshape(c, q, p * n)
        whole[:, : p * n, p * n :] = whole[:, p * n :, : p * n].swapaxes(1, 2)
        return whole

    def with_boundary(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The same with the terms of the boundary laws, where multipliers keep walls tight."""
        n, p, q = self.moments.count, self.vector.in_cell, self.scalar.in_cell
        cells, matrices = [np.empty(0, np.int64)], [np.zeros((0, n * p + q, n * p + q))]
        for cell, matrix in self.boundary_matrices(nitsche=False):
            cells.append(cell)
            matrices.append(matrix)
        cell, boundary = np.concatenate(cells), [one for many in matrices for one in many]
        place = np.full(self.cells.count, -1)
        for batch, whole in self.cell_matrices():
            place[batch] = np.arange(len(batch))
            mine = np.flatnonzero(place[cell] >= 0)
            # One by one: all at once they would be copied, and a cell may be there twice.
            for i, at in zip(mine.tolist(), place[cell[mine]].tolist(), strict=True):
                whole[at] += boundary[i]
            place[batch] = -1
            yield batch, whole

    def _members(self, batch: np.ndarray) -> Iterator[tuple[np.ndarray, Moments]]:
        """The cells of a batch, material by material where the angular matrices differ."""
        if not len(batch):
            return
        if not self.problem.members:
            yield batch, self.moments
            return
        phase = self.problem.phases[self.device.cell_region[batch]]
        for index in np.unique(phase):
            yield batch[phase == index], self.problem.members[index]

    def loads(self, batch: np.ndarray) -> np.ndarray:
        """Loads of added terms on moments and potential, shape (c, m)."""
        assert self.problem.own is not None
        assert self.problem.own.loads is not None
        return self.problem.own.loads[batch]

    def given(self, batch: np.ndarray, matrix: np.ndarray, held: int) -> np.ndarray | None:
        """Right-hand sides of added terms and held values, shape (c, m), if there are any.

        ``matrix`` has the first columns of the element matrices, of as many moments as may be held.
        """
        out = self.loads(batch) if self.loaded else None
        if self.problem.held is not None:
            nodal = self.problem.held[self.vector.dofs[batch]].reshape(len(batch), -1)
            lift, here = np.zeros(matrix.shape[:2]), np.flatnonzero(nodal.any(axis=1))
            lift[here] = (matrix[here] @ nodal[here, :held, None])[..., 0]
            out = -lift if out is None else out - lift
        return out


def levels_of_walls(
    discrete: Discretisation, walls: Facets, twins: np.ndarray
) -> tuple[np.ndarray, Numbering]:
    """Numbers of the levels on each wall facet, (f, q), split at corners and between materials."""
    problem, space = discrete.problem, discrete.on_walls
    phase = problem.phases[problem.device.cell_region[walls.cell]]
    label = walls.piece * len(problem.phases) + phase
    nodes = discrete.wall_nodes(walls, twins)
    keys = np.column_stack([space.global_nodes[nodes.ravel()], np.repeat(label, nodes.shape[1])])
    numbers = number_field(space, np.zeros(space.nodes, dtype=bool), extra=keys)
    return numbers.extra.reshape(nodes.shape), numbers


def augmentation(measure: np.ndarray, dimension: int) -> np.ndarray:
    """h^2 in the coefficient h^2/sigma of the squared divergence, from the measures of cells.

    Half the area of a cell; in 3D 0.15 of its volume to the power 2/3. Measured: more costs
    accuracy where l is about h (and iterations in 3D), less gains less where l << h.
    """
    return 0.5 * measure if dimension == 2 else 0.15 * measure ** (2 / 3)


def trace(facets: FacetGeometry, space: NodalBasis) -> np.ndarray:
    """Basis functions of the nodes of each facet at its quadrature points, (f, q, p)."""
    return facets.table(lambda points, i: space.values(points)[:, space.on_facet[i]])
