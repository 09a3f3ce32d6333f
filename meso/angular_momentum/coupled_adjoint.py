"""Derivatives where charge and angular momentum are solved together, for Ohm's law.

With u = (omega, phi), solutions for unit potentials of the ports and one without, and the state
s = sum_j V_j u_j + u_0: currents are I_i = lambda_i.(K s - f), K^T lambda_i = 0, lambda_i one on
contact i, so that for held potentials dI_i = - dL(s, lambda_i). Floating contacts move by
dV = - G_ff^-1 dI_f. All of it is one dL, for a sum of lambdas.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from meso.angular_momentum.adjoint import Derivatives, Target, collected, weighted
from meso.angular_momentum.diffusion import Diffusion
from meso.angular_momentum.inverse import _Charge
from meso.angular_momentum.system import System
from meso.angular_momentum.variation import Charge, Variation
from meso.flow.result import Flow, drive, drive_response
from meso.mpi import total


@dataclass(frozen=True, kw_only=True, eq=False)
class Number:
    """A target, plus currents and potentials of ports times weights, (ports,)."""

    target: Target
    current: np.ndarray
    potential: np.ndarray


class CoupledAdjoint:
    """Derivatives of a coupled solution, which is found again with its factor kept.

    Args:
        problem: The diffusion of angular momentum.
        flow: The flow that was solved together with it.

    Attributes:
        ports: Contacts and periodic pairs.
    """

    def __init__(self, problem: Diffusion, flow: Flow) -> None:
        self.problem, self.flow, self._charge = problem, flow, _Charge(problem, flow)
        charge, space, n = self._charge, problem.space, len(problem.components)
        self.ports = charge.names
        sides = len(self.ports) + 1
        held, values = problem.prescribed
        given = np.zeros((space.nodes, n + 1, sides))
        given[:, n, :-1], given[:, :n, -1] = charge.unit, values
        loads = np.zeros((*space.dofs.shape, n + 1, sides))
        loads[:, :, :n, -1] = problem.injection
        if problem.perpendicular_field:
            loads[:, :, :n, -1] += problem.perpendicular_load()
        self._system = System(
            problem.device,
            space,
            charge.coupled,
            held=np.column_stack([held, charge.held]),
            pairs=charge.pairs,
            iterative=problem.iterative,
        )
        solution = self._system.solve(loads, given, keep=True)
        self._values, self._solvers = solution.values, solution.solvers
        # Of each node once.
        self._reaction = solution.reaction[: space.index_map.size_local, :n, :-1]
        response = charge.currents(self._values[:, :, n], self._values[:, :, :n])
        self._G, offset = response[:, :-1], response[:, -1]
        self._V, self._I = drive(self.ports, flow.boundaries, self._G, offset)
        self._state = self._values @ np.append(self._V, 1.0)

    def derivatives(self, numbers: Sequence[Number]) -> list[Derivatives]:
        """Derivatives of numbers, for which one system is solved; all ranks call this.

        Beside coefficients of the densities there are "conductivity.REGION" and "given.PORT".
        """
        return [found for _, found in self.seen(numbers)]

    def seen(self, numbers: Sequence[Number]) -> list[tuple[np.ndarray, Derivatives]]:
        """The same, with lambda and psi of each at the nodes of cells, (c, nodes, n + 1)."""
        problem, n, many = self.problem, len(self.problem.components), len(numbers)
        own, fixed = weighted(problem, [one.target for one in numbers])
        loads = np.zeros((*own.shape[:2], n + 1, many + len(self.ports)))
        given = np.zeros((len(fixed), *loads.shape[2:]))
        loads[:, :, :n, :many], given[:, :n, :many] = own, fixed
        given[:, n, many:] = self._charge.unit
        solution = self._system.transposed(self._solvers).solve(loads, given)
        values, rest = solution.values, solution.reaction
        out = []
        for i, one in enumerate(numbers):
            t = np.tensordot(own[..., i], self._values[:, :, :n, :-1], 3)
            t -= np.tensordot(fixed[: len(self._reaction), :, i], self._reaction, 2)
            t = np.asarray(total(problem.device.comm, t)) + one.potential
            weights, slopes = self._at_ports(one.current, t)
            mix = np.zeros(values.shape[3])
            mix[i], mix[many:] = 1.0, -(self.flow.thickness or 1.0) * weights
            found = self._of(one.target, values @ mix, rest @ mix)
            more = {
                f"given.{name}": np.array(x) for name, x in zip(self.ports, slopes, strict=True)
            }
            if "thickness" in found.coefficients:
                per = weights @ self._I / (problem.thickness or 1.0)
                more["thickness"] = found.coefficients["thickness"] + per
            found = replace(found, coefficients={**found.coefficients, **more})
            out.append((values @ mix, found))
        return out

    def _at_ports(self, c: np.ndarray, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of c I + t V: weights of currents at held potentials, and slopes in what is given."""
        laws = [self.flow.boundaries[name] for name in self.ports]
        level = [getattr(law, "voltage", getattr(law, "potential", None)) for law in laws]
        known = np.array([one is not None for one in level], dtype=bool)
        held = np.where(known, c, 0.0)
        driven = drive_response(self.ports, self.flow.boundaries, self._G, t + held @ self._G)
        return held - driven.floating, np.where(known, driven.given, driven.given + c)

    def _of(self, target: Target, adjoint: np.ndarray, rest: np.ndarray) -> Derivatives:
        """From lambda and psi, and what is missing in their equations of prescribed values."""
        n = len(self.problem.components)
        omega, charge = self._state[:, :, :n], Charge(self._charge.sigma, adjoint[:, :, n])
        variation = Variation(self.problem, self.flow)
        variation.of(omega, adjoint[:, :, :n], target.absorbed, charge)
        return replace(collected(variation, target, omega, rest[:, :n]), potential=None)

    def close(self) -> None:
        """Free what is kept, on all ranks together."""
        for solver in {id(s): s for s in self._solvers.values()}.values():
            solver.close()
        self._solvers.clear()
