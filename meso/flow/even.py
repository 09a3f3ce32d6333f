"""The even harmonics: an upper bound of the conductance matrix (docs/bounds.md has the proof).

Even harmonics up to N in continuous P_k, odd ones eliminated: with C_o h_o = -X^T grad h_e the
dissipation is a convex functional of h_e,

    Q(h_e) = int 2 sigma (X_i^T d_i h_e) C_o^-1 (X_j^T d_j h_e) + (2 sigma/lambda^2) h_e C_e h_e
             + boundary terms in (2 sigma/lambda) <|n.p| ...>,

whose minimum over all h_e is V.G V. Any h_e gives an upper bound; the best one of a finite space is
found here, for all potentials V at once: the difference to G is positive semidefinite.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from meso.boundary import Contact, Wall
from meso.discrete.algebra import Assembly
from meso.discrete.cells import cells_of, lagrange
from meso.discrete.coefficients import KineticCoefficients, Scales
from meso.discrete.periodic import twin_nodes
from meso.discrete.unknowns import kept, number
from meso.flow import terms
from meso.flow.angular import Moments, about, collisions, half_range, streaming
from meso.flow.discretisation import Discretisation, Law, Problem
from meso.flow.even_iteration import IterativeEven
from meso.flow.kinetic import roughness
from meso.flow.result import Flow, periodic_pairs, ports_of
from meso.materials.material import Material
from meso.mpi import smallest, total

#: Moments in all nodes up to which the system is factorised: in less than 0.05 s, and without the
#: error of an iteration, which is the faster one throughout (measured).
DIRECT = 5_000


class EvenParity:
    """The even harmonics of a device.

    Args:
        flow: A kinetic flow, for its device, materials and boundaries.
        harmonics: The highest, even.
        force: A force F(x) in the equation, (..., 2), scaled, beside the ports: for tests.
        solver: "direct", "iterative" or "auto".
    """

    def __init__(
        self, flow: Flow, harmonics: int, force: Any = None, *, solver: str = "auto"
    ) -> None:
        self.flow, self.device = flow, flow.device
        self.even = range(0, harmonics + 1, 2)
        self.count = harmonics + 1
        self.force, self.solver = force, solver
        self.scales = Scales(length=flow.device.extent, conductivity=1.0)
        self.coefficients = KineticCoefficients(flow.device, flow.materials, self.scales)
        self.space = lagrange(flow.device, flow.order)
        self.cells = cells_of(flow.device)
        self.names = ports_of(flow.boundaries)
        self.pairs = periodic_pairs(flow.boundaries)
        odd = range(1, harmonics + 2, 2)
        self.coupling = streaming(self.even, odd)
        # Regions of one material have their angular matrices in common.
        kinds: list[Material] = []
        for name in flow.device.regions:
            if flow.materials[name] not in kinds:
                kinds.append(flow.materials[name])
        self.kind = np.array([kinds.index(flow.materials[n]) for n in flow.device.regions])
        self.members: list[Moments] = []
        self.inverse: list[np.ndarray] = []
        for material in kinds:
            rates = [float(np.ravel(material.rate(m))[0]) for m in range(harmonics + 2)]
            inverse = np.linalg.inv(collisions(odd, rates))
            stress = np.einsum("iae,ef,jbf->ijab", self.coupling, inverse, self.coupling)
            self.inverse.append(inverse)
            self.members.append(
                Moments(
                    flux=np.zeros((2, self.count)),
                    relaxation=collisions(self.even, rates),
                    stress=stress,
                )
            )
        # Facet geometry, and nothing else of the discretisation.
        self.discrete = Discretisation(
            Problem(
                device=flow.device,
                order=flow.order,
                moments=self.members[0],
                coefficients=self.coefficients,
                phases=np.zeros(len(flow.device.regions), dtype=int),
                laws=dict.fromkeys(flow.device.boundaries, Law()),
                ports=self.names,
                grounded=(),
            )
        )

    @property
    def sides(self) -> int:
        """Number of solutions: one for each port, and one for a force."""
        return len(self.names) + (self.force is not None)

    @property
    def iterative(self) -> bool:
        """Whether to iterate: not in small devices."""
        if self.solver != "auto":
            return self.solver == "iterative"
        return self.space.index_map.size_global * self.count > DIRECT

    @property
    def shortest(self) -> float:
        """The shortest mean free path, scaled."""
        everything = np.arange(self.cells.count)
        at = self.cells.positions(everything, terms.points_of(self.cells, self.space)[0])
        path = self.coefficients.path(everything, at)
        return smallest(self.device.comm, path.min(initial=np.inf))

    def conductance(self) -> np.ndarray:
        """The upper bound, S (S/m without thickness), shape (ports, ports)."""
        if self.iterative:
            system = IterativeEven(self)
            q = system.energy()
            system.close()
        else:
            h, given = self._solve()
            q = self._energy(h + given)
        return q * (self.flow.thickness or 1.0)

    # -- system --------------------------------------------------------------------------------

    def given(self) -> np.ndarray:
        """Unit steps of the potential across periodic pairs, (nodes, n, sides)."""
        given = np.zeros((self.space.nodes, self.count, self.sides))
        for side, name in enumerate(self.names):
            if name in {first for first, _ in self.pairs}:
                given[self.space.nodes_on(self.device, name), 0, side] = 1.0
        return given

    def _cell_matrices(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Cells and their matrices with boundary terms, (c, p n, p n), node by node."""
        n, p = self.count, self.space.dofs.shape[1]
        simple = self.cells.affine & ~self.coefficients.varies
        points, _ = terms.points_of(self.cells, self.space)
        constant = lagrange(self.device, 1)
        edge_cell, edge = self._boundary_matrices()
        for batch, same in self.cells.batches(4 * (n * p) ** 2, simple):
            for region in np.unique(self.device.cell_region[batch]):
                own = batch[self.device.cell_region[batch] == region]
                at = self.cells.positions(own, points[:1] if same else points)
                sigma = self.coefficients.conductivity(own, at)
                path = self.coefficients.path(own, at)
                whole = terms.cell_terms(
                    self.cells,
                    own,
                    same,
                    self.space,
                    constant,
                    self.members[self.kind[region]],
                    2 * sigma,
                    2 * sigma / path**2,
                )
                matrix = whole[:, : p * n, : p * n].copy()
                order = np.argsort(own)
                mine = np.flatnonzero(np.isin(edge_cell, own))
                place = order[np.searchsorted(own, edge_cell[mine], sorter=order)]
                np.add.at(matrix, place, edge[mine])
                yield own, matrix

    def _boundary_matrices(self) -> tuple[np.ndarray, np.ndarray]:
        n, p = self.count, self.space.dofs.shape[1]
        cells, matrices = [np.empty(0, np.int64)], [np.zeros((0, p * n, p * n))]
        for name, law in self.flow.boundaries.items():
            if not isinstance(law, Contact | Wall):
                continue
            angular = self.law(law)
            facets = self.discrete.named(name)
            geometry = self.discrete.geometry(facets)
            matrix = np.zeros((len(facets.cell), p, n, p, n))
            weight = self.weight(geometry)[..., None, None]
            full = weight * about(geometry.normal, self.even, angular)
            self.discrete._spread(matrix, facets, geometry, full)
            cells.append(facets.cell)
            matrices.append(matrix.reshape(-1, p * n, p * n))
        return np.concatenate(cells), np.concatenate(matrices)

    def law(self, law: Contact | Wall) -> np.ndarray:
        """Boundary matrix about the normal."""
        if isinstance(law, Contact):
            return half_range(self.even, cosines=1.0, sines=1.0)
        ratio = roughness(law)
        matrix = half_range(self.even, cosines=ratio, sines=1 / ratio)
        # The level of the emitted carriers is the best one at each point.
        first = matrix[0].copy()
        return matrix - np.outer(first, first) / first[0]

    def weight(self, geometry: Any) -> np.ndarray:
        """2 sigma/lambda at the quadrature points of facets."""
        at = Discretisation.at_facets
        sigma = at(self.coefficients.conductivity, geometry)
        return 2 * sigma / at(self.coefficients.path, geometry)

    def contacts(self) -> tuple[np.ndarray, np.ndarray]:
        """Loads of the contacts on the nodes (nodes, n, sides), and the constants (sides,)."""
        load = np.zeros((self.space.nodes, self.count, self.sides))
        constant = np.zeros(self.sides)
        first = half_range(self.even, cosines=1.0, sines=1.0)[:, 0]
        for side, name in enumerate(self.names):
            if not isinstance(self.flow.boundaries[name], Contact):
                continue
            facets = self.discrete.named(name)
            geometry = self.discrete.geometry(facets)
            turn = about(geometry.normal, self.even, np.outer(first, np.eye(self.count)[0]))
            weight = geometry.weight * self.weight(geometry)
            value = terms.trace(geometry, self.space)
            own = np.einsum("fq,fqp,fqa->fpa", weight, value, turn[..., 0])
            nodes = self.space.dofs[facets.cell[:, None], self.space.on_facet[facets.local]]
            np.add.at(load[:, :, side], nodes, own)
            constant[side] = weight.sum() * first[0]
        return load, constant

    def forces(self) -> Iterator[tuple[np.ndarray, np.ndarray, float]]:
        """Loads (c, p, n) and constants of a force F.p: with C_o h_o = F.p - X^T grad h_e."""
        points, weights = self.cells.quadrature(2 * self.space.degree + 6)
        flux = streaming(range(1, self.count + 1, 2), (0,))[:, :, 0]  # <odd p_i>
        for region, kind in enumerate(self.kind):
            inverse = self.inverse[kind]
            own = np.flatnonzero(self.device.cell_region == region)
            if not len(own):
                continue
            x = self.cells.positions(own, points)
            slope, determinant = self.cells.gradients(own, points, self.space.gradients(points))
            sigma = self.coefficients.conductivity(own, x).reshape(len(own), -1)
            weight = 2 * sigma * weights * determinant
            force = self.force(x) @ flux  # (c, q, odd)
            pulled = np.einsum("cqe,ef,iaf->cqia", force, inverse, self.coupling)
            load = np.einsum("cq,cqip,cqia->cpa", weight, slope, pulled, optimize=True)
            yield own, load, float(np.einsum("cq,cqe,ef,cqf->", weight, force, inverse, force))

    def _solve(self) -> tuple[np.ndarray, np.ndarray]:
        """The best even moments for each side and the given steps, (nodes, n, sides)."""
        space, n = self.space, self.count
        prescribed = np.empty(0, np.int64)
        unknowns = number(
            vector=space,
            keep_vector=kept(space, prescribed),
            components=n,
            scalar=space,
            keep_scalar=np.zeros(space.nodes, dtype=bool),
            twins=twin_nodes(self.device, space, self.pairs),
        )
        given = self.given()
        assembly = Assembly(unknowns, self.sides)
        rows = np.where(unknowns.vector[:, None] >= 0, unknowns.vector[:, None] + np.arange(n), -1)
        load, _ = self.contacts()
        assembly.add_load(rows, load)
        forces = np.zeros((self.cells.count, space.dofs.shape[1], n))
        if self.force is not None:
            for own, force, _ in self.forces():
                forces[own] = force
        outer, inner = space.outer, space.interior
        lifted = bool(self.pairs)
        floating = not any(isinstance(law, Contact) for law in self.flow.boundaries.values())
        for batch, matrix in self._cell_matrices():
            c, p = len(batch), space.dofs.shape[1]
            if floating and self.device.comm.rank == 0:
                # Nothing fixes the level: any will do, the energy does not depend on it.
                first = matrix[batch == 0]
                first[:, ::n, ::n] += np.abs(first).max(initial=0.0)
                matrix[batch == 0] = first
            # Nodes inside cells come last.
            at = rows[space.dofs[batch][:, outer]].reshape(c, -1)
            values = given[space.dofs[batch][:, outer]].reshape(c, -1, self.sides)
            own = np.zeros((c, p * n, self.sides))
            own[..., -1] = forces[batch].reshape(c, -1)
            assembly.add_cells(
                batch,
                matrix,
                at,
                own if self.force is not None else None,
                values if lifted else None,
            )
        factor = assembly.factorise()
        x = factor.solve(assembly.load)
        factor.close()
        out = np.zeros((space.nodes, n, self.sides))
        there = unknowns.vector >= 0
        out[there] = x[rows[there]]
        for part in assembly.batches:
            solved = part.inner(x).reshape(len(part.cells), -1, n, self.sides)
            out[space.dofs[part.cells][:, inner]] = solved
            # What is given is in the inner unknowns already, not beside them.
        return out, np.where(_inside(space)[:, None, None], 0.0, given)

    def _energy(self, h: np.ndarray) -> np.ndarray:
        """The functional for these moments (nodes, n, sides): an upper bound for any."""
        q = np.zeros((self.sides, self.sides))
        dofs = self.space.dofs
        for batch, matrix in self._cell_matrices():
            own = h[dofs[batch]].reshape(len(batch), -1, self.sides)
            q += np.einsum("cas,cat->st", own, matrix @ own)
        load, constant = self.contacts()
        cross = np.einsum("nas,nat->st", load, h)
        q += np.diag(constant) - cross - cross.T
        if self.force is not None:
            for own, force, constant_ in self.forces():
                part = np.einsum("cpa,cpas->s", force, h[dofs[own]])
                q[-1] -= part
                q[:, -1] -= part
                q[-1, -1] += constant_
        return np.asarray(total(self.device.comm, q))


def _inside(space: Any) -> np.ndarray:
    """True for nodes inside cells."""
    inside = np.zeros(space.nodes, dtype=bool)
    inside[space.dofs[:, space.interior].ravel()] = True
    return inside
