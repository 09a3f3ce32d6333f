"""Derivatives where charge and angular momentum are solved together, for Ohm's law.

With u = (omega, phi), solutions for unit potentials of the ports and one without, and the state
s = sum_j V_j u_j + u_0: currents are I_i = lambda_i.(K s - f), K^T lambda_i = 0, lambda_i one on
contact i, so that for held potentials dI_i = - dL(s, lambda_i). Floating contacts move by
dV = - G_ff^-1 dI_f. All of it is one dL, for a sum of lambdas that is solved for at once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from meso.angular_momentum.adjoint import Derivatives, Target, collected, weighted
from meso.angular_momentum.currents import Current
from meso.angular_momentum.diffusion import Diffusion
from meso.angular_momentum.variation import OfCharge, Variation
from meso.boundary import Boundary
from meso.discrete.cells import lagrange
from meso.discrete.fields import cellwise
from meso.flow.adjoint import Adjoint, Mix, of_ports
from meso.flow.result import Flow, drive, drive_response
from meso.materials.material import Material
from meso.mpi import total
from meso.sensitivities import Sensitivity


@dataclass(frozen=True, kw_only=True, eq=False)
class Number:
    """A target, plus currents and potentials of ports times weights, (ports,).

    Plus J and phi at the nodes of cells times weights, (c, p, d) and (c, m, 1).
    """

    target: Target
    current: np.ndarray
    potential: np.ndarray
    density: np.ndarray | None = None
    voltage: np.ndarray | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Dual:
    """Lambda and psi at the nodes of cells, (c, m, n + 1), what is missing where they are given."""

    values: np.ndarray
    rest: np.ndarray


class CoupledAdjoint(Adjoint):
    """Derivatives of a coupled solution, also in the coefficients of the densities.

    Those in conductivities are among these, as "conductivity.REGION".

    Args:
        problem: The diffusion of angular momentum.
        flow: The flow that was solved together with it.
        kept: Both, with their solvers (:class:`meso.angular_momentum.inverse.Joint`); closed with
            this.
        alone: The flow without it, closed with this, too.
    """

    def __init__(self, problem: Diffusion, flow: Flow, kept: Any, alone: Flow) -> None:
        self.problem, self.flow, self.alone = problem, replace(flow, adjoint=None), alone
        self._charge, self._system, solution = kept
        charge, n = self._charge, len(problem.components)
        self.ports = charge.names
        self._values, self._solvers = solution.values, solution.solvers
        self._reaction = solution.reaction
        response = charge.currents(self._values[:, :, n], self._values[:, :, :n])
        self.response, offset = response[:, :-1], response[:, -1]
        self._V, _ = drive(self.ports, flow.boundaries, self.response, offset)
        nodes = lagrange(problem.device, flow.fields["current_density"].highest, "DG")
        self._current = Current(problem, nodes, charge.sigma)
        self._fed = problem.device.comm.allreduce(bool(np.any(self._values[..., -1])))

    def close(self) -> None:
        """Free what is kept, on all ranks together."""
        for solver in {id(s): s for s in self._solvers.values()}.values():
            solver.close()
        self._solvers.clear()
        if self.alone.adjoint is not None:
            self.alone.adjoint.close()

    def conductance(self, left: Mix, right: Mix) -> Sensitivity:
        """Of left^T G right."""
        state = np.append(of_ports(right, self.ports), 0.0)
        return self._between(state, *self._ported(of_ports(left, self.ports)))

    def current(self, left: Mix, potential: np.ndarray) -> Sensitivity:
        """Of left^T I, currents that are fed in included."""
        state = np.append(potential, 1.0)
        return self._between(state, *self._ported(of_ports(left, self.ports)))

    def functional(
        self, current: np.ndarray | None = None, potential: np.ndarray | None = None
    ) -> Sensitivity:
        """Of a linear functional of the driven flow."""
        return self.seen(replace(self._nothing, density=current, voltage=potential))[1]

    def of(self, target: Target) -> Sensitivity:
        """Of a target; all ranks call this."""
        return self.seen(replace(self._nothing, target=target))[1]

    def seen(self, number: Number) -> tuple[np.ndarray, Sensitivity]:
        """Lambda and psi of a number at the nodes of cells, (c, m, n + 1), and its derivatives."""
        loads, fixed = self._loads(number)
        once = slice(self.problem.space.index_map.size_local)  # each node
        t = np.tensordot(loads, self._values[..., :-1], ((0, 1, 2), (0, 1, 2)))
        t -= np.tensordot(fixed[once], self._reaction[once, :, :-1], ((0, 1), (0, 1)))
        t = np.asarray(total(self.problem.device.comm, t)) + number.potential
        laws = [self.flow.boundaries[name] for name in self.ports]
        level = [getattr(law, "voltage", getattr(law, "potential", None)) for law in laws]
        known = np.array([one is not None for one in level], dtype=bool)
        held = np.where(known, number.current, 0.0)
        driven = drive_response(
            self.ports, self.flow.boundaries, self.response, t + held @ self.response
        )
        given = np.where(known, driven.given, driven.given + number.current).tolist()
        dual = self._solved(loads, fixed, held - driven.floating)
        found = self._between(np.append(self._V, 1.0), number, dual)
        return dual.values, replace(found, given=dict(zip(self.ports, given, strict=True)))

    def coefficients(
        self, material: Material, magnetic_field: float | None = None
    ) -> dict[str, float]:
        """The conductivity, of the flow alone; here it is one of those of the densities."""
        return {"conductivity": float(material.conductivity)}  # type: ignore[arg-type]

    def wall_coefficients(self, law: Boundary, material: Material) -> dict[str, float]:
        """None: walls only keep the current in, contacts hold the potential."""
        return {}

    # -- the adjoint solution ------------------------------------------------------------------

    @property
    def _nothing(self) -> Number:
        none = np.zeros(len(self.ports))
        density = np.zeros((*self._values.shape[:2], len(self.problem.components)))
        return Number(target=Target.of(self.problem, density), current=none, potential=none)

    def _ported(self, weights: np.ndarray) -> tuple[Number, _Dual]:
        """Currents at held potentials times weights, and their adjoint."""
        number = replace(self._nothing, current=weights)
        return number, self._solved(*self._loads(number), weights)

    def _loads(self, number: Number) -> tuple[np.ndarray, np.ndarray]:
        """Loads of a number on lambda and psi, and prescribed values."""
        own, fixed = (x[..., 0] for x in weighted(self.problem, [number.target]))
        loads, fixed = (np.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, 1)]) for x in (own, fixed))
        if number.density is not None:
            loads += self._current.transposed(number.density)
        if number.voltage is not None:
            loads[..., -1] += number.voltage[..., 0]
        return loads, fixed

    def _solved(self, loads: np.ndarray, fixed: np.ndarray, weights: np.ndarray) -> _Dual:
        """The adjoint solution for loads, prescribed values, and currents times weights."""
        given = fixed.copy()
        given[:, -1] -= (self.flow.thickness or 1.0) * (self._charge.unit @ weights)
        system = self._system.transposed(self._solvers)
        found = system.solve(loads[..., None], given[..., None])
        return _Dual(values=found.values[..., 0], rest=found.reaction[..., 0])

    # -- the derivative ------------------------------------------------------------------------

    def _between(self, mix: np.ndarray, number: Number, dual: _Dual) -> Sensitivity:
        """Of a number in the state that is a mix of the solutions, (sides,)."""
        found = self._of(self._values @ mix, number, dual)
        out = Sensitivity(nodes=found.nodes, densities=found.coefficients)
        if mix[-1] or not self._fed:
            return out
        # What is fed in is no part of it.
        found = self._of(0 * dual.values, number, dual)
        return out + -1.0 * Sensitivity(nodes=found.nodes, densities=found.coefficients)

    def _of(self, state: np.ndarray, number: Number, dual: _Dual) -> Derivatives:
        """Of the weak form, and of what the number has of coefficients itself."""
        problem, n = self.problem, len(self.problem.components)
        phi = cellwise("potential", "V", problem.device, problem.order, state[..., n], joined=True)
        variation = Variation(problem, replace(self.flow, fields={"potential": phi}))
        charge = OfCharge(self._charge.sigma, dual.values[..., n])
        target, omega, lambda_ = number.target, state[..., :n], dual.values[..., :n]
        variation.of(omega, lambda_, target.absorbed, charge)
        if number.density is not None:
            self._current.vary(variation, number.density, state)
        return collected(variation, target, omega, dual.rest[:, :n])
