"""Derivatives where charge and angular momentum are solved together, for Ohm's law.

With u = (omega, phi), solutions for unit potentials of the ports and one without, and the state
s = sum_j V_j u_j + u_0: currents are I_i = lambda_i.(K s - f), K^T lambda_i = 0, lambda_i one on
contact i, so that for held potentials dI_i = - dL(s, lambda_i). Floating contacts move by
dV = - G_ff^-1 dI_f. All of it is one dL, for a sum of lambdas that is solved for at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from meso.angular_momentum.adjoint import Derivatives, Target, collected, weighted
from meso.angular_momentum.diffusion import Diffusion
from meso.angular_momentum.inverse import Joint, joint
from meso.angular_momentum.variation import OfCharge, Variation
from meso.flow.result import Flow, drive, drive_response
from meso.mpi import total


@dataclass(frozen=True, kw_only=True, eq=False)
class Number:
    """A target, plus currents and potentials of ports times weights, (ports,)."""

    target: Target
    current: np.ndarray
    potential: np.ndarray


class CoupledAdjoint:
    """Derivatives of a coupled solution.

    Args:
        problem: The diffusion of angular momentum.
        flow: The flow that was solved together with it.
        kept: Both, with their solvers; solved again, and closed in the end, where they are gone.

    Attributes:
        ports: Contacts and periodic pairs.
    """

    def __init__(self, problem: Diffusion, flow: Flow, kept: Joint | None = None) -> None:
        self.problem, self.flow, self._own = problem, flow, kept is None
        self._charge, self._system, solution = kept or joint(problem, flow, keep=True)
        charge, n = self._charge, len(problem.components)
        self.ports = charge.names
        self._values, self._solvers = solution.values, solution.solvers
        # Of each node once.
        self._reaction = solution.reaction[: problem.space.index_map.size_local, :n, :-1]
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
        t = np.tensordot(own, self._values[:, :, :n, :-1], ((0, 1, 2), (0, 1, 2)))
        t -= np.tensordot(fixed[: len(self._reaction)], self._reaction, ((0, 1), (0, 1)))
        t = np.asarray(total(problem.device.comm, t))
        parts = [
            self._at_ports(one.current, row + one.potential)
            for one, row in zip(numbers, t, strict=True)
        ]
        loads = np.zeros((*own.shape[:2], n + 1, many))
        given = np.zeros((len(fixed), n + 1, many))
        loads[:, :, :n], given[:, :n] = own, fixed
        weights = np.stack([weight for weight, _ in parts], axis=1)
        given[:, n] = -(self.flow.thickness or 1.0) * (self._charge.unit @ weights)
        solution = self._system.transposed(self._solvers).solve(loads, given)
        out = []
        for i, (one, (weight, slopes)) in enumerate(zip(numbers, parts, strict=True)):
            found = self._of(one.target, solution.values[..., i], solution.reaction[..., i])
            more = {
                f"given.{name}": np.array(x) for name, x in zip(self.ports, slopes, strict=True)
            }
            if "thickness" in found.coefficients:
                per = weight @ self._I / (problem.thickness or 1.0)
                more["thickness"] = found.coefficients["thickness"] + per
            found = replace(found, coefficients={**found.coefficients, **more})
            out.append((solution.values[..., i], found))
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
        omega, charge = self._state[:, :, :n], OfCharge(self._charge.sigma, adjoint[:, :, n])
        variation = Variation(self.problem, self.flow)
        variation.of(omega, adjoint[:, :, :n], target.absorbed, charge)
        return replace(collected(variation, target, omega, rest[:, :n]), potential=None)

    def close(self) -> None:
        """Free what nobody keeps, on all ranks together."""
        if not self._own:
            return
        for solver in {id(s): s for s in self._solvers.values()}.values():
            solver.close()
        self._solvers.clear()
