"""The odd harmonics: a lower bound of the conductance matrix (docs/bounds.md has the proof).

For every continuous odd distribution u, with moments J, u_3, u_5, ...,

    G >= 2 I(u) - D(u) - leak(J),      leak = int |div J| + int_walls |J.n|,

where I is its current for a unit potential and D its dissipation. The last term is what the
maximum principle leaves of the potential that an exact current would not see. With it walls may be
curved and have corners: J need not be divergence-free to the last digit.

The higher moments are those of the kinetic solution. J is found anew, in P_4, by penalties on
div J and J.n with multipliers (augmented Lagrangian): continuous elements of degree four and
more contain enough currents without divergence (L. R. Scott, M. Vogelius 1985).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from meso.boundary import Contact
from meso.device import Facets
from meso.discrete.algebra import Assembly
from meso.discrete.cells import FacetGeometry, cells_of, lagrange
from meso.discrete.coefficients import extremes
from meso.discrete.periodic import twin_nodes
from meso.discrete.unknowns import number
from meso.flow import terms
from meso.flow.angular import Moments, collisions, half_range, streaming
from meso.flow.discretisation import Discretisation, HalfRange, Law, OnFacets, Problem
from meso.flow.kinetic import Kinetic
from meso.flow.maximum import unbounded
from meso.flow.result import Flow
from meso.mpi import total

#: Degree of J at least: with less, too few currents have no divergence.
DEGREE = 4
#: Penalty on div J and J.n, over friction and viscosity.
PENALTY = 1e3
#: Solutions with corrected multipliers; each leaves about 1/PENALTY of the leak before.
SOLUTIONS = 3
#: Leak over the current that counts as rounding.
ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Lower:
    """A lower bound.

    Attributes:
        matrix: G - matrix is positive semidefinite, S (S/m without thickness); None without one.
        leak: Largest leak of the solution for a unit potential, over its current.
        reason: Why there is none.
    """

    matrix: np.ndarray | None
    leak: float
    reason: str = ""


def lower_bound(flow: Flow) -> Lower:
    """The lower bound that the odd moments of a kinetic flow give.

    Args:
        flow: The flow, without a magnetic field, with walls of p < 1.

    Returns:
        The bound. There is none where a leak stays that the maximum principle cannot weigh.

    Raises:
        ConvergenceError: The factorisation failed.
    """
    certificate = Certificate(flow)
    value, leak, net = certificate.solve()
    relative = float((leak / np.abs(np.diag(value))).max())
    reason = unbounded(flow)
    if reason and relative > ROUNDING:
        return Lower(matrix=None, leak=relative, reason=reason)
    # 2 |rho_ij| <= leak_j, so that 2 |mu_i rho_ij mu_j| <= leak_j (mu_i^2 + mu_j^2)/2.
    margin = np.diag(leak.sum() + len(leak) * leak) / 2 - (net[:, None] + net[None, :]) / 2
    turn = certificate.differences
    unit = certificate.model.scales.current(2) * (flow.thickness or 1.0)
    return Lower(matrix=turn.T @ (value - margin) @ turn * unit, leak=relative)


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Cells of one material at quadrature points.

    Attributes:
        cells: Local cells, shape (c,).
        kind: Index of the material.
        value: Basis functions, shape (q, p).
        gradient: Their gradients, shape (c, q, 2, p).
        weight: Weights of integrals, shape (c, q).
        stress: Times lambda^2/sigma.
        relaxation: Times 1/sigma.
    """

    cells: np.ndarray
    kind: int
    value: np.ndarray
    gradient: np.ndarray
    weight: np.ndarray
    stress: np.ndarray
    relaxation: np.ndarray


class Certificate:
    """A trial distribution of nearly no divergence, and what it proves.

    Args:
        flow: A kinetic flow.

    Attributes:
        model: The model of the flow.
        degree: Degree of the trial distribution.
        sides: Ports whose potential is one in turn: all but the last contact, which is at zero.
        differences: From potentials of all ports to those of the sides.
        moments: The trial distribution at the nodes of each cell, shape (c, p, N, sides).
    """

    def __init__(self, flow: Flow) -> None:
        assert flow.distribution is not None
        harmonics = flow.distribution.harmonics
        self.model = Kinetic(
            flow.device,
            materials=flow.materials,
            boundaries=flow.boundaries,
            harmonics=harmonics,
            order=flow.order,
            thickness=flow.thickness,
        )
        self.device, self.count = flow.device, harmonics
        self.problem = self.model.problem()
        ports = self.problem.ports
        self.contacts = [n for n in ports if isinstance(flow.boundaries[n], Contact)]
        self.sides = [n for n in ports if n not in self.contacts[-1:]]
        last = [n in self.contacts[-1:] for n in ports]
        grounded = [[s in self.contacts] for s in self.sides]
        self.differences = np.array([[n == s for n in ports] for s in self.sides], dtype=float)
        self.differences -= np.array(grounded) * np.array(last)
        self.cells = cells_of(flow.device)
        self.degree = max(DEGREE, flow.order)
        self.space = lagrange(flow.device, self.degree)
        self.phase = self.problem.phases[flow.device.cell_region]
        odd, even = range(1, harmonics, 2), range(2, harmonics + 1, 2)
        self.coupling = streaming(odd, even)
        self.rates: list[tuple[np.ndarray, np.ndarray]] = []
        self.penalties: list[float] = []
        for material in self.model.kinds():
            rates = [float(material.rate(m)) for m in range(harmonics + 1)]
            self.rates.append((np.diag(collisions(even, rates)), np.diag(collisions(odd, rates))))
            own = {n: m for n, m in flow.materials.items() if m == material}
            path, _ = extremes(flow.device, own, lambda m: m.mean_free_path)
            # Over lambda^2/sigma: viscosity, and friction across the whole device.
            self.penalties.append(PENALTY * (1 + (flow.device.extent / path) ** 2))
        self.laws: dict[str, HalfRange] = {}
        for name, law in self.problem.laws.items():
            if (half := law.half_range) is not None:
                # Complete for two harmonics too, where the model leaves out what J.n = 0 cancels.
                matrix = half_range(odd, cosines=1 / half.ratio, sines=half.ratio)
                self.laws[name] = replace(half, matrix=matrix)
        self.first = Discretisation(self._penalised_problem())
        self.moments = self._higher_moments(flow)

    # -- the problem of J ----------------------------------------------------------------------

    def _penalised_problem(self) -> Problem:
        """The problem of J alone, with penalties in place of the potential."""
        problem, flux = self.problem, np.eye(2)
        members = []
        for kind, member in enumerate(problem.members or (problem.moments,)):
            square = np.einsum("ia,jb->ijab", flux, flux)
            stress = member.stress[:, :, :2, :2] + self.penalties[kind] * square
            relaxation = member.relaxation[:2, :2]
            members.append(Moments(flux=flux, relaxation=relaxation, stress=stress))
        laws = dict(problem.laws)
        for name, half in self.laws.items():
            if problem.laws[name].impenetrable:
                laws[name] = Law(
                    half_range=half.first, impenetrable=True, penalty=self._penalty_of_walls
                )
            else:
                laws[name] = Law(half_range=half.first)
        return replace(
            problem, order=self.degree, moments=members[0], members=tuple(members), laws=laws
        )

    def _penalty_of_walls(self, on: OnFacets) -> np.ndarray:
        coefficients = self.problem.coefficients
        both = coefficients.stress(on.cell, on.position)
        both = both + coefficients.relaxation(on.cell, on.position)
        return PENALTY * (both.T / on.height).T

    def _wall_penalty(self, facets: FacetGeometry) -> np.ndarray:
        at, coefficients = Discretisation.at_facets, self.problem.coefficients
        both = at(coefficients.stress, facets) + at(coefficients.relaxation, facets)
        return PENALTY * both / facets.height[:, None]

    def _higher_moments(self, flow: Flow) -> np.ndarray:
        """Moments of the flow at the nodes of each cell, without J, (c, p, N, sides)."""
        assert flow.unit_moments is not None
        low = lagrange(self.device, flow.order)
        table = low.values(self.space.points)
        shape = (self.cells.count, len(table), self.count, len(self.sides))
        moments = np.empty(shape)
        for i, name in enumerate(self.sides):
            unit = flow.unit_moments[self.problem.ports.index(name)]
            moments[..., i] = table @ (unit / self.model.scales.current_density)[low.dofs]
        moments[:, :, :2] = 0.0
        return moments

    # -- solution ------------------------------------------------------------------------------

    def solve(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Find J, and what the trial distribution is worth, in scaled variables.

        Returns:
            2 I - D, shape (sides, sides); the leak of each side, shape (sides,); and what leaves
            through all contacts together, shape (sides,).
        """
        everywhere = np.ones(self.space.nodes, dtype=bool)
        unknowns = number(
            vector=self.space,
            keep_vector=everywhere,
            components=2,
            scalar=self.space,
            keep_scalar=~everywhere,
            twins=twin_nodes(self.device, self.space, self.problem.pairs),
        )
        rows = unknowns.vector[:, None] + np.arange(2)
        sides = len(self.sides)
        assembly = Assembly(unknowns, sides)
        first = self.first
        for part in (first.cell_matrices(), first.boundary_matrices(nitsche=False)):
            for cells, whole in part:
                at = rows[self.space.dofs[cells]]
                at = at.reshape(len(cells), 2 * at.shape[1])
                assembly.add_matrix(at, whole[:, : at.shape[1], : at.shape[1]])
        for i, name in enumerate(self.sides):
            facets, flux = first.port_flux(name)
            load = np.zeros((*flux.shape, sides))
            load[..., i] = -flux
            assembly.add_load(rows[self._nodes(facets)], load)
        for nodes, force in self._forces_of_higher_moments():
            assembly.add_load(rows[nodes].swapaxes(1, 2), -force)
        factor, right = assembly.factorise(), assembly.load
        for _ in range(SOLUTIONS):
            # What the solution is worth is computed from itself: no limit of its residual.
            J = factor.solve(right, limit=np.inf)
            self.moments[:, :, :2] = J[rows[self.space.dofs]]
            for nodes, force in self._forces_of_penalties():
                np.add.at(right, rows[nodes].swapaxes(1, 2), -force)
        factor.close()
        return self._worth()

    def _forces_of_higher_moments(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Nodes (c, p) and what the higher moments do to J there, (c, 2, p, sides)."""
        for batch in self._batches():
            even = self._even(batch) / self.rates[batch.kind][0][:, None]
            stress = np.einsum(
                "cq,iab,cqbs->cqias", batch.stress, self.coupling[:, :2], even, optimize=True
            )
            force = np.einsum("cqip,cqias->caps", batch.gradient, stress, optimize=True)
            yield self.space.dofs[batch.cells], force
        for name, half in self.laws.items():
            facets, geometry, trace, moments = self._on(name)
            friction = half.angular(geometry)[:, :, :2]
            force = np.einsum(
                "fq,fqp,fqab,fqbs->faps", geometry.weight, trace, friction, moments, optimize=True
            )
            yield self._nodes(facets), force

    def _forces_of_penalties(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Nodes and the forces of both penalties on J, the same shapes."""
        for batch in self._batches():
            weighted = (
                self.penalties[batch.kind] * batch.stress[..., None] * self._divergence(batch)
            )
            force = np.einsum("cqip,cqs->cips", batch.gradient, weighted, optimize=True)
            yield self.space.dofs[batch.cells], force
        for name in self._walls:
            facets, geometry, trace, moments = self._on(name)
            weight = geometry.weight * self._wall_penalty(geometry)
            leak = weight[..., None] * self._normal(geometry, moments)
            force = np.einsum("fqp,fqi,fqs->fips", trace, geometry.normal, leak, optimize=True)
            yield self._nodes(facets), force

    def _worth(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        sides = len(self.sides)
        dissipation, current = np.zeros((sides, sides)), np.zeros((sides, sides))
        leak, net = np.zeros(sides), np.zeros(sides)
        for batch in self._batches():
            even_rates, odd_rates = self.rates[batch.kind]
            moments = self.moments[batch.cells]
            odd = (batch.value @ moments.reshape(*moments.shape[:2], -1)).reshape(
                len(moments), -1, *moments.shape[2:]
            )
            for weight, rates, field in (
                (batch.stress, 1 / even_rates, self._even(batch)),
                (batch.relaxation, odd_rates, odd),
            ):
                flat = field.reshape(-1, sides)
                factor = (weight[..., None] * rates).reshape(-1, 1)
                dissipation += (factor * flat).T @ flat
            square = np.einsum("cq,cqs->cs", batch.weight, self._divergence(batch) ** 2)
            # Not more than the root of area times square, whatever the quadrature.
            leak += np.sqrt(batch.weight.sum(axis=1)[:, None] * square).sum(axis=0)
        for name, half in self.laws.items():
            _, geometry, _, moments = self._on(name)
            friction = geometry.weight[..., None, None] * half.angular(geometry)
            dissipation += np.einsum(
                "fqas,fqab,fqbt->st", moments, friction, moments, optimize=True
            )
            normal = self._normal(geometry, moments)
            if name in self._walls:
                square = np.einsum("fq,fqs->fs", geometry.weight, normal**2)
                leak += np.sqrt(geometry.weight.sum(axis=1)[:, None] * square).sum(axis=0)
            else:
                net += np.einsum("fq,fqs->s", geometry.weight, normal)
        for i, name in enumerate(self.sides):
            _, geometry, _, moments = self._on(name)
            current[i] = -np.einsum("fq,fqs->s", geometry.weight, self._normal(geometry, moments))
        local = np.concatenate([current + current.T - dissipation, leak[None], net[None]])
        summed = np.asarray(total(self.device.comm, local))
        return summed[:sides], summed[sides], summed[sides + 1]

    # -- the trial distribution at points ------------------------------------------------------

    @property
    def _walls(self) -> list[str]:
        return [name for name in self.laws if self.problem.laws[name].impenetrable]

    def _nodes(self, facets: Facets) -> np.ndarray:
        return self.space.dofs[facets.cell[:, None], self.space.on_facet[facets.local]]

    def _batches(self) -> Iterator[Batch]:
        coefficients = self.problem.coefficients
        for chosen, simple in self.cells.batches(64 * self.count * len(self.sides)):
            points, weights = self.cells.quadrature(2 * self.degree + (0 if simple else 4))
            reference, value = self.space.gradients(points), self.space.values(points)
            for kind in np.unique(self.phase[chosen]):
                own = chosen[self.phase[chosen] == kind]
                gradient, determinant = self.cells.gradients(own, points, reference)
                weight, at = weights * determinant, self.cells.positions(own, points)
                yield Batch(
                    cells=own,
                    kind=int(kind),
                    value=value,
                    gradient=gradient,
                    weight=weight,
                    stress=weight * coefficients.stress(own, at).reshape(len(own), -1),
                    relaxation=weight * coefficients.relaxation(own, at).reshape(len(own), -1),
                )

    def _slopes(self, batch: Batch, count: int) -> np.ndarray:
        """d_i of the first moments, shape (c, q, 2, count, sides)."""
        moments = self.moments[batch.cells][:, :, :count]
        c, q, d, p = batch.gradient.shape
        flat = batch.gradient.reshape(c, q * d, p) @ moments.reshape(c, p, -1)
        return flat.reshape(c, q, d, count, -1)

    def _even(self, batch: Batch) -> np.ndarray:
        """X_i^T d_i u, the even moments but for rates and units, shape (c, q, N, sides)."""
        slopes = self._slopes(batch, self.count)
        return np.einsum("iab,cqias->cqbs", self.coupling, slopes, optimize=True)

    def _divergence(self, batch: Batch) -> np.ndarray:
        """Div J, shape (c, q, sides)."""
        slopes = self._slopes(batch, 2)
        return slopes[:, :, 0, 0] + slopes[:, :, 1, 1]

    def _on(self, name: str) -> tuple[Facets, FacetGeometry, np.ndarray, np.ndarray]:
        """Facets of a boundary, basis functions (f, q, p) and moments (f, q, N, sides) there."""
        facets = self.first.named(name)
        geometry = self.first.geometry(facets)
        trace = terms.trace(geometry, self.space)
        moments = self.moments[facets.cell[:, None], self.space.on_facet[facets.local]]
        (f, p), size = moments.shape[:2], moments.shape[2:]
        flat = trace @ moments.reshape(f, p, size[0] * size[1])
        return facets, geometry, trace, flat.reshape(*trace.shape[:2], *size)

    @staticmethod
    def _normal(geometry: FacetGeometry, moments: np.ndarray) -> np.ndarray:
        """J.n, shape (f, q, sides)."""
        return np.einsum("fqi,fqis->fqs", geometry.normal, moments[:, :, :2])
