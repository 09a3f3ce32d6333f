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

from dataclasses import dataclass, replace

import numpy as np
import ufl

from meso.boundary import Contact
from meso.discrete.cells import cells_of, lagrange
from meso.discrete.coefficients import extremes
from meso.discrete.expressions import cell_integrals
from meso.discrete.fields import continuous
from meso.discrete.periodic import twin_nodes
from meso.discrete.solvers import Factor
from meso.discrete.sparse import Rows
from meso.discrete.unknowns import number_field
from meso.flow.angular import Moments
from meso.flow.basis import Turned
from meso.flow.blocks import over_ranks
from meso.flow.discretisation import Discretisation
from meso.flow.kinetic import Kinetic
from meso.flow.kronecker import Boundary, Kronecker, half_range_terms, on_boundary, scalar_matrices
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
    if flow.device.dimension == 3:
        # Elements with enough currents without divergence are of a degree that 3D cannot pay for.
        reason = "there is none in 3D"
        return Lower(matrix=None, leak=float(flow.evidence["divergence_relative"]), reason=reason)
    certificate = Certificate(flow)
    value, leak, net = certificate.worth(certificate.trial())
    relative = float((leak / np.abs(np.diag(value))).max())
    reason = unbounded(flow)
    if reason and relative > ROUNDING:
        return Lower(matrix=None, leak=relative, reason=reason)
    # 2 |rho_ij| <= leak_j, so that 2 |mu_i rho_ij mu_j| <= leak_j (mu_i^2 + mu_j^2)/2.
    margin = np.diag(leak.sum() + len(leak) * leak) / 2 - (net[:, None] + net[None, :]) / 2
    turn = certificate.differences
    unit = certificate.model.scales.current(2) * (flow.thickness or 1.0)
    return Lower(matrix=turn.T @ (value - margin) @ turn * unit, leak=relative)


class Certificate:
    """Trial distributions of nearly no divergence, and what they prove.

    Args:
        flow: A kinetic flow.

    Attributes:
        sides: Ports whose potential is one in turn: all but the last contact, which is at zero.
        differences: From potentials of all ports to those of the sides.
    """

    def __init__(self, flow: Flow) -> None:
        assert flow.distribution is not None
        self.flow, self.device, harmonics = flow, flow.device, flow.distribution.harmonics
        self.model = Kinetic(
            flow.device,
            materials=flow.materials,
            boundaries=flow.boundaries,
            harmonics=harmonics,
            order=flow.order,
            thickness=flow.thickness,
        )
        self.problem = problem = self.model.problem()
        self.contacts = [n for n in problem.ports if isinstance(flow.boundaries[n], Contact)]
        self.sides = [n for n in problem.ports if n not in self.contacts[-1:]]
        self.differences = np.array([[n == s for n in problem.ports] for s in self.sides], float)
        for i, side in enumerate(self.sides):
            if side in self.contacts:
                self.differences[i, problem.ports.index(self.contacts[-1])] = -1.0
        self.space = lagrange(flow.device, max(DEGREE, flow.order))
        #: Quadrature of the cells.
        self.degree = 2 * self.space.degree + (4 if cells_of(flow.device).degree > 1 else 0)
        scalars = scalar_matrices(
            flow.device,
            self.space.degree,
            problem.phases,
            problem.coefficients.stress,
            problem.coefficients.relaxation,
            self.degree,
        )
        halves = {n: w.half_range for n, w in problem.laws.items()}
        # Complete for two harmonics too, where the model leaves out what J.n = 0 cancels.
        laws = {
            name: self.model.basis.wall(1 / half.ratio, half.ratio)
            for name, half in halves.items()
            if half is not None
        }
        boundaries = half_range_terms(flow.device, self.space.degree, laws, self.model.weight)
        self.walls = [name for name, law in problem.laws.items() if law.impenetrable]
        members = [self.model.basis.moments(kind) for kind in self.model.kinds]
        self.system = Kronecker(scalars, members, boundaries)

    # -- the trial distribution ----------------------------------------------------------------

    def trial(self) -> np.ndarray:
        """The moments of the flow with the best J, at the nodes, shape (sides, nodes, N)."""
        moments, both = self._higher_moments(), np.arange(2)
        keep = np.ones(self.space.nodes, dtype=bool)
        twins = twin_nodes(self.device, self.space, self.problem.pairs)
        numbers = number_field(self.space, keep, twins=twins)
        rows = Rows(numbers, self.device.comm, 2)
        penalty = self._penalties().on(numbers.nodes, numbers.size)
        system = self.system.on(numbers.nodes, numbers.size)
        penalised = [
            replace(p, stress=p.stress + m.stress[:, :, :2, :2], relaxation=m.relaxation[:2, :2])
            for p, m in zip(penalty.members, system.members, strict=True)
        ]
        boundaries = [*system.boundaries, *penalty.boundaries]
        stiff = Kronecker(system.scalars, penalised, boundaries)
        factor = Factor(over_ranks(stiff.explicit(both, half=True), rows), rows, definite=True)
        load = [self._flux(n) - self.system(u, 2) for n, u in zip(self.sides, moments, strict=True)]
        right = np.zeros((len(load), numbers.size, 2))
        for side, own in enumerate(load):
            np.add.at(right[side], numbers.nodes, own)
        for _ in range(SOLUTIONS):
            # What the solution is worth is computed from itself: no limit of its residual.
            J = factor.solve(right.reshape(len(right), -1).T, limit=np.inf).T.reshape(right.shape)
            right -= [penalty(own) for own in J]
        factor.close()
        moments[:, :, :2] = J[:, numbers.nodes]
        return moments

    def _higher_moments(self) -> np.ndarray:
        """Moments of the flow at the nodes, without J, shape (sides, nodes, N)."""
        low, unit = lagrange(self.device, self.flow.order), self.model.scales.current_density
        table = low.values(self.space.points)
        out = np.empty((len(self.sides), self.space.nodes, self.model.basis.count))
        for moments, name in zip(out, self.sides, strict=True):
            own = self.flow.unit_moments[self.problem.ports.index(name)] / unit
            moments[self.space.dofs] = table @ own[low.dofs]
        out[:, :, :2] = 0.0
        return out

    def _penalties(self) -> Kronecker:
        """Those on div J and J.n."""
        coefficients, at = self.problem.coefficients, Discretisation.at_facets
        flux, members, walls = np.eye(2), [], []
        for material in self.model.kinds:
            own = {n: m for n, m in self.flow.materials.items() if m == material}
            path, _ = extremes(self.device, own, lambda m: m.mean_free_path)
            # Over lambda^2/sigma: viscosity, and friction across the whole device.
            factor = PENALTY * (1 + (self.device.extent / path) ** 2)
            square = factor * np.multiply.outer(flux, flux).swapaxes(1, 2)
            members.append(Moments(flux=flux, relaxation=np.zeros((2, 2)), stress=square))
        for name in self.walls:
            trace, on = on_boundary(self.device, self.space.degree, name)
            both = at(coefficients.stress, on) + at(coefficients.relaxation, on)
            weight = on.weight * PENALTY * both / on.height[:, None]
            normal = on.normal.reshape(-1, 2)
            matrix = Turned(np.diag([1.0, 0.0]), (1,))
            walls.append(Boundary(trace, weight.ravel(), normal, matrix))
        return Kronecker(self.system.scalars, members, walls)

    def _flux(self, name: str) -> np.ndarray:
        """Current into the device through a boundary from J at the nodes, (nodes, 2)."""
        trace, on = on_boundary(self.device, self.space.degree, name)
        return -(trace.T @ (on.weight[..., None] * on.normal).reshape(-1, 2))

    # -- what it proves ------------------------------------------------------------------------

    def worth(self, moments: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of trial moments at the nodes, (sides, nodes, N), in scaled variables.

        2 I - D, shape (sides, sides); the leak of each side, and what leaves through all contacts
        together, both of shape (sides,).
        """
        J = moments[:, :, :2]
        products = np.array([self.system(u) for u in moments])
        dissipation = np.tensordot(moments, products, ((1, 2), (1, 2)))
        current = np.tensordot([self._flux(n) for n in self.sides], J, ((1, 2), (1, 2)))
        net = -sum(np.tensordot(J, self._flux(name), 2) for name in self.contacts)
        leak = np.array([self._leak(own) for own in J])
        local = np.vstack([current + current.T - dissipation, leak, net + 0 * leak])
        summed = np.asarray(total(self.device.comm, local))
        return summed[:-2], summed[-2], summed[-1]

    def _leak(self, J: np.ndarray) -> float:
        """Integrals of |div J|, and of |J.n| on walls, on this rank.

        Not more than the root of area times square, whatever the quadrature.
        """
        found = continuous("J", "", self.device, self.space.degree, J).function()
        square = cell_integrals(self.device, ufl.div(found) ** 2, degree=self.degree)
        cells = cells_of(self.device)
        leak = np.sqrt(cells.measures(np.arange(cells.count)) * square).sum()
        for name in self.walls:
            trace, on = on_boundary(self.device, self.space.degree, name)
            normal = ((trace @ J).reshape(on.normal.shape) * on.normal).sum(axis=2)
            squares = (on.weight * normal**2).sum(axis=1)
            leak += np.sqrt(on.weight.sum(axis=1) * squares).sum()
        return float(leak)
