"""Derivatives of the charge current that densities of angular momentum make, one-way.

With phi of the response and u_j potentials for unit ones of the ports, K u_j = 0 inside,

    K psi = w - (what a sum of currents counts),     dT = dL + w.dphi + v.d omega

L = - (d_k psi, sigma d_k phi - Theta^{ia}_k d_i omega_a): a functional of omega, which the adjoint
of the densities differentiates, and what is left where omega and phi are held.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import ufl

from meso.angular_momentum.adjoint import Target
from meso.angular_momentum.currents import Current
from meso.angular_momentum.forms import by_region, tested
from meso.angular_momentum.variation import OfCharge, Variation
from meso.discrete.cells import lagrange
from meso.equations.angular_momentum import inverse_current
from meso.flow.result import drive_response
from meso.mpi import total

if TYPE_CHECKING:
    from meso.angular_momentum.inverse import Response


class InverseAdjoint:
    """Numbers of a response as functionals of densities.

    Args:
        kept: Charge with its solvers (:class:`meso.angular_momentum.inverse.Joint`).
        response: The response.
        conductances: By Ohm's law, (ports, ports).
        omega: At the nodes of cells, (c, m, n).
    """

    def __init__(
        self, kept: Any, response: Response, conductances: np.ndarray, omega: np.ndarray
    ) -> None:
        self._conductances = conductances
        self._charge, self._system, self._solution = kept
        self.response, self._omega, self.problem = response, omega, self._charge.diffusion
        self._boundaries = [self._charge.flow.boundaries[name] for name in self._charge.names]

    def close(self) -> None:
        """Free what is kept, on all ranks together."""
        for solver in {id(s): s for s in self._solution.solvers.values()}.values():
            solver.close()
        self._solution.solvers.clear()

    def of(
        self,
        current: np.ndarray | None = None,
        density: np.ndarray | None = None,
        potential: np.ndarray | None = None,
    ) -> Target:
        """The functional that currents of ports, J and phi, all of the response, times weights are.

        All ranks call this: one solve with the factor that is there.

        Args:
            current: Of currents, (ports,).
            density: Of J at the nodes of cells, (c, p, d).
            potential: Of phi at the nodes of cells, (c, m, 1).
        """
        problem, charge, solution = self.problem, self._charge, self._solution
        n, device, thickness = len(problem.components), problem.device, charge.flow.thickness or 1.0
        nodes = lagrange(device, self.response.current_density.highest, "DG")
        J = Current(problem, nodes, charge.sigma)
        loads = np.zeros((*problem.space.dofs.shape, n + 1))
        if density is not None:
            loads += J.transposed(density)
        if potential is not None:
            loads[..., n] += potential[..., 0]
        weights, value = self._at_ports(current, loads[..., n])
        given = -thickness * (charge.unit @ weights)
        system = self._system.transposed(solution.solvers)
        psi = system.solve(loads[..., n:, None], given[:, None, None]).values[:, :, 0, 0]
        state, phi = self.response.potential, self.response.potential.values
        variation = Variation(problem, replace(charge.flow, fields={"potential": state}))
        variation.of_charge(self._omega, OfCharge(charge.sigma, psi))
        if density is not None:
            J.vary(variation, density, np.concatenate([self._omega, phi], axis=2))
        found = {
            name: np.asarray(total(device.comm, part))
            for name, part in variation.coefficients.items()
            if name.startswith(("hall.", "conductivity."))
        }
        return Target(
            density=np.zeros_like(self._omega),
            nodes=variation.nodes.owned,
            coefficients={**found, "thickness": value / thickness},
            omega=loads[..., :n] + self._pushed(psi),
        )

    def _at_ports(self, current: np.ndarray | None, loads: np.ndarray) -> tuple[np.ndarray, float]:
        """Weights of currents at held potentials, and the sum of currents."""
        charge, phi = self._charge, self._solution.values[:, :, 0, :-1]
        ports = {**self.response.contacts, **self.response.periodic}
        c = np.zeros(len(ports)) if current is None else current
        G = self._conductances
        t = np.asarray(total(self.problem.device.comm, np.tensordot(loads, phi, 2)))
        # Where a current is given that of the response is zero.
        held = [getattr(law, "current", None) is None for law in self._boundaries]
        c = np.where(held, c, 0.0)
        driven = drive_response(charge.names, charge.flow.boundaries, G, t + c @ G)
        value = sum(x * port.current for x, port in zip(c, ports.values(), strict=True))
        return c - driven.floating, value

    def _pushed(self, psi: np.ndarray) -> np.ndarray:
        """(d_k psi, Theta^{ia}_k d_i v_a) at the nodes of cells, (c, m, n)."""
        problem, charge = self.problem, self._charge
        theta = by_region(problem.device, problem.hall)
        charge.set(psi, self._omega)

        def form(v: Any) -> ufl.Form:
            return ufl.inner(ufl.grad(charge.phi), inverse_current(v, theta)) * problem.dx

        return tested(problem.device, problem.order, len(problem.components), form)()
