"""Derivatives where charge and angular momentum are solved together in a viscous flow.

With the flow u = (J', phi, h) and omega, and tests (w, psi, eta) and v, the equations of
:mod:`meso.angular_momentum.viscous` are

    a(u, w) + <eta, J''(omega).n> + d(omega, v) + <h, J''(v).n>
        = - sum_i V_i (<w.n>_i + <J''(v).n>_i) + f(v)

with f what is fed in. All but d is symmetric: the adjoint solves the same with d transposed, by the
same iteration with the factors that are there. A current is F_i of the solution, the load of a unit
potential of its port. What couples is an integral of eta d omega along walls: it does not depend on
the shape, only on Theta.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from meso.angular_momentum.adjoint import Derivatives, Target, collected, weighted
from meso.angular_momentum.currents import Current
from meso.angular_momentum.system import Solution
from meso.angular_momentum.variation import Variation
from meso.boundary import Boundary, Wall
from meso.discrete.cells import lagrange
from meso.flow.adjoint import Mix, of_ports
from meso.flow.discretisation import Solutions
from meso.flow.hydrodynamic_adjoint import HydrodynamicAdjoint, MixedState
from meso.flow.result import Flow, drive, drive_response
from meso.materials.material import Material
from meso.mpi import total
from meso.sensitivities import Sensitivity


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wish:
    """A number: a target, a functional of J (c, p, d) and phi (c, q), currents times weights.

    Currents are those at held potentials.
    """

    target: Target
    current: np.ndarray | None = None
    potential: np.ndarray | None = None
    weights: np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class _Dual:
    """The adjoint solution: its flow, v (c, m, n), what is missing where v is given (nodes, n)."""

    flow: MixedState
    omega: np.ndarray
    rest: np.ndarray


class ViscousAdjoint(HydrodynamicAdjoint):
    """Derivatives of a coupled solution, also in the coefficients of the densities.

    Args:
        both: The coupled problem, with its solvers; closed with this.
        states: Its flows, for a unit potential of each port and without any.
        solution: Its angular momentum.
        alone: The flow without it.

    Attributes:
        alone: The same flow.
    """

    def __init__(self, both: Any, states: Solutions, solution: Solution, alone: Flow) -> None:
        super().__init__(both.model, both.flow.system, both.base)
        self._both, self._states, self.alone = both, states, alone
        self._omega, self._reaction = solution.values, solution.reaction
        self.problem = both.diffusion
        currents = states.flux * self._unit
        self.response, offset = currents[:, :-1], currents[:, -1]
        self._V, _ = drive(self.ports, self.model.boundaries, self.response, offset)
        degree = alone.fields["current_density"].highest
        self._interband = Current(self.problem, lagrange(self.device, degree))
        fed = bool(np.any(self._omega[..., -1]))
        self._fed = self.device.comm.allreduce(fed)

    def close(self) -> None:
        """Free what is kept, on all ranks together."""
        self._both.close()

    def conductance(self, left: Mix, right: Mix) -> Sensitivity:
        """Of left^T G right."""
        state, wish = np.append(of_ports(right, self.ports), 0.0), self._currents(left)
        return self._between(state, wish, self._ported(wish.weights))

    def current(self, left: Mix, potential: np.ndarray) -> Sensitivity:
        """Of left^T I, currents that are fed in included."""
        wish = self._currents(left)
        return self._between(np.append(potential, 1.0), wish, self._ported(wish.weights))

    def functional(
        self, current: np.ndarray | None = None, potential: np.ndarray | None = None
    ) -> Sensitivity:
        """Of a linear functional of the driven flow, J with what goes from band to band."""
        return self.of(self._nothing, current, potential)

    def dual(self, current: Any = None, potential: Any = None) -> None:
        """Not known."""

    def of(
        self,
        target: Target,
        current: np.ndarray | None = None,
        potential: np.ndarray | None = None,
    ) -> Sensitivity:
        """Of a target, plus such a functional; all ranks call this."""
        wish = _Wish(
            target=target, current=current, potential=potential, weights=np.zeros(len(self.ports))
        )
        own, fixed, loads = self._loads_of(wish)
        once = slice(self.problem.space.index_map.size_local)  # each node
        t = np.tensordot(own, self._omega, ((0, 1, 2), (0, 1, 2)))
        t -= np.tensordot(fixed[once], self._reaction[once], ((0, 1), (0, 1)))
        t = total(self.device.comm, t) + self._seen(loads, self._states)
        driven = drive_response(self.ports, self.model.boundaries, self.response, t[:-1])
        wish = replace(wish, weights=-driven.floating)
        found = self._between(np.append(self._V, 1.0), wish, self._solved(wish, own, fixed, loads))
        return replace(found, given=dict(zip(self.ports, map(float, driven.given), strict=True)))

    def wall_coefficients(self, law: Boundary, material: Material) -> dict[str, float]:
        """As of a flow alone; walls without slip hold the current by its stress."""
        if isinstance(law, Wall) and law.slip_length == 0:
            stress = super().wall_coefficients(Wall(specularity=0.0), material)["stress"]
            return {"stress": stress}
        return super().wall_coefficients(law, material)

    # -- the adjoint solution ------------------------------------------------------------------

    @property
    def _nothing(self) -> Target:
        return Target.of(self.problem, np.zeros(self._omega.shape[:3]))

    def _currents(self, left: Mix) -> _Wish:
        return _Wish(target=self._nothing, weights=of_ports(left, self.ports))

    def _loads_of(self, wish: _Wish) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Loads of a number on omega and prescribed values, and on the scaled flow."""
        own, fixed = (part[..., 0] for part in weighted(self.problem, [wish.target]))
        current = None
        if wish.current is not None:
            own = own + self._interband.transposed(wish.current)
            current = self.discrete.vector.values(self._interband.points).T @ wish.current
        return own, fixed, self._loads(current, wish.potential)

    def _ported(self, weights: np.ndarray) -> _Dual:
        """The adjoint of currents times weights: where d is symmetric, the solution itself."""
        wish = _Wish(target=self._nothing, weights=weights)
        if not self.problem.operator.symmetric:
            return self._solved(wish, *self._loads_of(wish))
        mix = (self.model.thickness or 1.0) * np.append(weights, 0.0)
        flow = MixedState.of(self._states, mix, mix[:-1])
        return _Dual(flow=flow, omega=self._omega @ mix, rest=self._reaction @ mix)

    def _solved(self, wish: _Wish, own: np.ndarray, fixed: np.ndarray, loads: np.ndarray) -> _Dual:
        """The adjoint of a number, from its loads and prescribed values."""
        both, comm = self._both, self.device.comm
        ports = (self.model.thickness or 1.0) * wish.weights
        flow, unit = MixedState.of(self.solutions, ports, ports), np.array([1 / self._power])
        if comm.allreduce(bool(loads.any())):
            flow = flow + MixedState.of(self._respond(loads), unit, 0 * ports)
        level = both.flow.at_points(replace(self.solutions, levels=flow.levels[None]))[..., 0]
        on_ports = [
            on.transposed(np.full(on.weight.shape, x))
            for on, x in zip(both.ports, ports, strict=True)
        ]
        own = own - both.loads([both.walls.transposed(level), *on_ports])
        system = both.angular.transposed(both.solver.solvers)
        start = system.solve(own[..., None], fixed[..., None]).values[..., 0]
        at = both.walls.cells[:, None], both.walls.on_facet
        back, *more = both.feedback(both.iterated(start[at], transposed=True))
        own = own + both.loads([back])
        found = system.solve(own[..., None], fixed[..., None])
        vector, scalar, levels = more
        flow = flow + MixedState(vector=vector, scalar=scalar, levels=levels, ports=0 * ports)
        return _Dual(flow=flow, omega=found.values[..., 0], rest=found.reaction[..., 0])

    @property
    def _power(self) -> float:
        """W (W/m) of the scaled form."""
        return float(self.model.scales.current(self.device.dimension))

    # -- the derivative ------------------------------------------------------------------------

    def _between(self, mix: np.ndarray, wish: _Wish, dual: _Dual) -> Sensitivity:
        """Of a number in the state that is a mix of the solutions, (sides,)."""
        state = MixedState.of(self._states, mix, mix[:-1])
        found = self._of(state, dual.flow) * self._power
        own = self._densities(self._omega @ mix, wish, dual, (state, dual.flow))
        out = found + Sensitivity(nodes=own.nodes, densities=own.coefficients)
        if mix[-1] or not self._fed:
            return out
        # What is fed in is no part of it.
        own = self._densities(0 * dual.omega, wish, dual, ())
        return out + -1.0 * Sensitivity(nodes=own.nodes, densities=own.coefficients)

    def _densities(
        self, omega: np.ndarray, wish: _Wish, dual: _Dual, flows: tuple[MixedState, ...]
    ) -> Derivatives:
        """In the coefficients of the densities, and nodes, without the form of the flow."""
        problem = self.problem
        across = problem.perpendicular_field
        variation = Variation(problem, (0.0, 0.0, across) if across else None)
        variation.of(omega, dual.omega, wish.target.absorbed)
        if flows:
            self._in_hall(variation, omega, dual.omega, *flows)
        if wish.current is not None:
            self._interband.vary(variation, wish.current, omega)
        found = collected(variation, wish.target, omega, dual.rest)
        still = not any(callable(v) for s in problem.surfaces.values() for v in s.given)
        return found if still else replace(found, nodes=None)

    def _in_hall(
        self,
        variation: Variation,
        omega: np.ndarray,
        v: np.ndarray,
        state: MixedState,
        dual: MixedState,
    ) -> None:
        """What couples both, in Theta."""
        both, d = self._both, self.device.dimension
        levels = np.stack([state.levels, dual.levels])
        at_walls = both.flow.at_points(replace(self.solutions, levels=levels))
        for i, on in enumerate([both.walls, *both.ports]):
            shape, at = on.weight.shape, (on.cells[:, None], on.on_facet)
            h, eta = (
                at_walls[..., side] if i == 0 else np.full(shape, one.ports[i - 1])
                for side, one in enumerate((state, dual))
            )
            found = on.in_hall(eta, omega[at]) + on.in_hall(h, v[at])
            for index, name in enumerate(self.device.regions):
                own = found[self.device.cell_region[on.cells] == index].sum(axis=0)
                variation.coefficients[f"hall.{name}"][:d, :, :d] -= own
