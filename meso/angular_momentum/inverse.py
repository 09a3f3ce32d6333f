"""The inverse effect: the charge current that a gradient of angular momentum drives.

    J_k = sigma E_k + Theta^{ia}_k d_i omega_a,     div J = 0

(isotropic: J = sigma E + theta curl omega), with the same Theta as the Hall current of angular
momentum: Onsager and Casimir ask for it, and the two together do no work. `one_way` takes omega
as given; `two_way` solves both equations at once, for a viscous flow in
:mod:`meso.angular_momentum.viscous`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import ufl

from meso.angular_momentum import viscous
from meso.angular_momentum.coupled_adjoint import CoupledAdjoint
from meso.angular_momentum.densities import Densities
from meso.angular_momentum.diffusion import Diffusion
from meso.angular_momentum.forms import assign, broken, by_region, tested
from meso.angular_momentum.inverse_adjoint import InverseAdjoint
from meso.angular_momentum.system import Operator, Solution, System
from meso.boundary import Boundary
from meso.discrete.expressions import interpolated
from meso.discrete.fields import Field, cellwise, difference
from meso.discrete.periodic import ground_nodes
from meso.equations import ohmic
from meso.equations.angular_momentum import inverse_current
from meso.errors import CaseError
from meso.flow.result import (
    Flow,
    Terminal,
    drive,
    periodic_pairs,
    ports_of,
    relative_divergence,
    terminals_of,
)
from meso.mpi import total


@dataclass(frozen=True, kw_only=True, eq=False)
class Response:
    """What the inverse effect adds to a flow.

    Attributes:
        contacts: Change of current and potential of each contact; which of them is zero is said
            by what the contact is given.
        periodic: The same of each periodic pair.
        short_circuit: Currents with all contacts held where they are, A (A/m), by port.
        current_density: J of the inverse effect, A/m^2.
        potential: Its potential, V.
        two_way: Whether it acted back on the densities.
        adjoint: What derivatives need if it did not, where that was kept.
    """

    contacts: dict[str, Terminal]
    periodic: dict[str, Terminal]
    short_circuit: dict[str, float]
    current_density: Field
    potential: Field
    two_way: bool
    adjoint: InverseAdjoint | None = None


def one_way(
    diffusion: Diffusion, densities: Densities, flow: Flow, *, keep: bool = False
) -> Response:
    """Charge currents and voltages that densities make, without acting back on them.

    Args:
        diffusion: The problem that the densities solve.
        densities: Its solution.
        flow: The flow in the device; contacts stay at the potential or current that they have.
            Where it is viscous the response follows Ohm's law all the same.
        keep: True to keep what derivatives need.

    Returns:
        What they add to the flow.

    Raises:
        CaseError: A conductivity that varies inside a region.
    """
    charge = Charge(diffusion, flow)
    space, sides = diffusion.space, len(charge.names) + 1
    operator = Operator(
        diffusion=charge.conduction,
        reaction=np.zeros((len(charge.sigma), 1, 1)),
        surface={},
        conductance={},
        smooth=np.ones(1, dtype=bool),
    )
    omega = np.zeros((*densities.omega.shape, sides))
    omega[..., -1] = densities.omega
    loads = np.zeros((*space.dofs.shape, 1, sides))
    loads[..., 0, -1] = charge.outflow(0 * densities.omega[..., 0], densities.omega)
    given = np.pad(charge.unit, ((0, 0), (0, 1)))[:, None]
    system = charge.system(operator, charge.held[:, None])
    solution = system.solve(loads, given, keep=keep)
    phi = solution.values[:, :, 0]
    still = {name: _without_drive(law) for name, law in flow.boundaries.items()}
    state, currents, mix = charge.driven(phi, omega, still)
    voltage, density = charge.fields(phi @ mix, densities.omega)
    found = charge.response(state, currents[:, -1], density, voltage, two_way=False)
    if not keep:
        return found
    kept = Joint(charge, system, solution)
    adjoint = InverseAdjoint(kept, found, currents[:, :-1], densities.omega)
    return replace(found, adjoint=adjoint)


def _without_drive(law: Boundary) -> Boundary:
    """A boundary whose given potential, voltage or current is zero."""
    keys = ("potential", "voltage", "current")
    given = {key: 0.0 for key in keys if getattr(law, key, None) is not None}
    return replace(law, **given)  # type: ignore[arg-type]


def two_way(
    diffusion: Diffusion, flow: Flow, *, keep: bool = False
) -> tuple[Flow, Densities, Response]:
    """Solve charge and angular momentum together.

    Args:
        diffusion: The diffusion of angular momentum.
        flow: The flow without it, ohmic or hydrodynamic.
        keep: True to keep what derivatives need, as ``Flow.adjoint``.

    Returns:
        The flow, the densities, and what the inverse effect has added to the flow.

    Raises:
        CaseError: A kinetic flow, or a hydrodynamic one with a magnetic field or added terms; in
            the ohmic model a conductivity that varies inside a region.
        ConvergenceError: The solver failed, or the coupling is too strong for its iteration.
    """
    if diffusion.terms:
        text = '"two-way" takes no added terms; use "one-way" or "none"'
        raise CaseError(("angular_momentum.coupling", text))
    return (_with_viscosity if flow.viscous else _ohmic)(diffusion, flow, keep)


def _with_viscosity(
    diffusion: Diffusion, flow: Flow, keep: bool
) -> tuple[Flow, Densities, Response]:
    """The same in a viscous flow."""
    found = viscous.solve(diffusion, flow, keep=keep)
    coupled, alone = found.flow, found.alone
    fields = {
        key: difference(coupled.fields[key], alone.fields[key])
        for key in ("current_density", "potential")
    }
    changes = _changes(coupled, alone)
    response = Response(
        contacts=changes["contacts"],
        periodic=changes["periodic"],
        short_circuit=dict(zip(ports_of(flow.boundaries), map(float, found.offset), strict=True)),
        current_density=replace(fields["current_density"], name="inverse_current_density"),
        potential=replace(fields["potential"], name="inverse_potential"),
        two_way=True,
    )
    return coupled, found.densities, response


def _changes(coupled: Flow, alone: Flow) -> dict[str, dict[str, Terminal]]:
    """Of currents and potentials of contacts and periodic pairs."""
    return {
        kind: {
            name: Terminal(current=t.current - b.current, potential=t.potential - b.potential)
            for (name, t), b in zip(
                getattr(coupled, kind).items(), getattr(alone, kind).values(), strict=True
            )
        }
        for kind in ("contacts", "periodic")
    }


class Joint(NamedTuple):
    """A solution by Ohm's law, for unit potentials of the ports and for none."""

    charge: Charge
    system: System
    solution: Solution


def joint(diffusion: Diffusion, flow: Flow, *, keep: bool) -> Joint:
    """Solve them; ``keep`` the solvers."""
    charge = Charge(diffusion, flow)
    space, n, sides = diffusion.space, len(diffusion.components), len(charge.names) + 1
    held, values = diffusion.prescribed
    held = np.column_stack([held, charge.held])
    given = np.zeros((space.nodes, n + 1, sides))
    given[:, n, :-1] = charge.unit
    given[:, :n, -1] = values
    loads = np.zeros((*space.dofs.shape, n + 1, sides))
    loads[:, :, :n, -1] = diffusion.injection
    if diffusion.perpendicular_field:
        loads[:, :, :n, -1] += diffusion.perpendicular_load()
    system = charge.system(charge.coupled, held)
    return Joint(charge, system, system.solve(loads, given, keep=keep))


def _ohmic(diffusion: Diffusion, flow: Flow, keep: bool) -> tuple[Flow, Densities, Response]:
    """The same with Ohm's law."""
    found, n = joint(diffusion, flow, keep=keep), len(diffusion.components)
    charge, solution = found.charge, found.solution
    omega, phi = solution.values[:, :, :n], solution.values[:, :, n]
    state, currents, mix = charge.driven(phi, omega, flow.boundaries)
    phi, omega = phi @ mix, omega @ mix
    evidence = {k: v for k, v in solution.evidence.items() if k != "systems"}
    densities = diffusion.densities(omega, solution.reaction[:, :n] @ mix, evidence)
    voltage, density = charge.fields(phi, omega)
    coupled = replace(
        flow,
        current_density=density.function(),
        potential=voltage.function(),
        fields={"current_density": density, "potential": voltage},
        **state,
        evidence={**evidence, "divergence_relative": relative_divergence(density)},
    )
    adjoint = CoupledAdjoint(diffusion, coupled, found, alone=flow) if keep else None
    coupled = replace(coupled, adjoint=adjoint)
    changes = _changes(coupled, flow)
    density = difference(density, flow.fields["current_density"])
    voltage = difference(voltage, flow.fields["potential"])
    response = charge.response(changes, currents[:, -1], density, voltage, two_way=True)
    return coupled, densities, response


class Charge:
    """Ohm's law with the inverse current, driven at the contacts and periodic pairs of a flow.

    Attributes:
        names: Contacts, then periodic pairs.
        unit: Potentials at the nodes for a unit potential (step) of each, shape (nodes, ports).
        held: Nodes at which the potential is prescribed.
        sigma: Conductivity of each region.
    """

    def __init__(self, diffusion: Diffusion, flow: Flow) -> None:
        device, space = diffusion.device, diffusion.space
        self.diffusion, self.flow = diffusion, flow
        self.names = ports_of(flow.boundaries)
        self.pairs = periodic_pairs(flow.boundaries)
        contacts = self.names[: len(self.names) - len(self.pairs)]
        self.unit = np.zeros((space.nodes, len(self.names)))
        prescribed = [ground_nodes(device, space, contacts, self.pairs)]
        for side, name in enumerate(self.names):
            nodes = space.nodes_on(device, name)
            if name in contacts:
                self.unit[nodes] = 0.0
                prescribed.append(nodes)
            self.unit[nodes, side] = 1.0
        self.held = np.zeros(space.nodes, dtype=bool)
        self.held[np.concatenate(prescribed)] = True
        self.sigma = conductivity(flow)
        values = np.zeros((*space.dofs.shape, len(diffusion.components)))
        self.phi = broken(device, diffusion.order, values[..., 0])
        self.omega = broken(device, diffusion.order, values)
        inverse = inverse_current(self.omega, by_region(device, diffusion.hall))
        self.J = ohmic.current_density(self.phi, by_region(device, self.sigma)) + inverse

    @property
    def conduction(self) -> np.ndarray:
        """Shape (r, d, 1, d, 1)."""
        one = np.eye(self.diffusion.device.dimension)
        return self.sigma[:, None, None, None, None] * one[:, None, :, None]

    @property
    def coupled(self) -> Operator:
        """The diffusion of angular momentum, Ohm's law, and the Hall currents both ways."""
        own, d = self.diffusion.operator, self.diffusion.device.dimension
        n = len(self.diffusion.components)
        D = np.zeros((len(self.sigma), d, n + 1, d, n + 1))
        D[:, :, :n, :, :n] = own.diffusion
        D[:, :, n:, :, n:] = self.conduction
        coupling = self.diffusion.hall[..., :d]
        D[:, :, :n, :, n] = coupling
        D[:, :, n, :, :n] = -np.moveaxis(coupling, 3, 1)

        def padded(value: np.ndarray) -> np.ndarray:
            return np.pad(value, [(0, 0)] * (value.ndim - 2) + [(0, 1), (0, 1)])

        return Operator(
            diffusion=D,
            reaction=padded(own.reaction),
            surface={k: padded(v) for k, v in own.surface.items()},
            conductance={k: padded(v) for k, v in own.conductance.items()},
            smooth=np.arange(n + 1) == n,
        )

    def set(self, phi: np.ndarray, omega: np.ndarray) -> None:
        """Give the functions values at the nodes of each cell, (c, nodes) and (c, nodes, n)."""
        assign(self.phi, phi)
        assign(self.omega, omega)

    def outflow(self, phi: np.ndarray, omega: np.ndarray) -> np.ndarray:
        """(grad v, J) at the nodes of each cell, shape (c, nodes), for such values."""
        self.set(phi, omega)
        return self._outflow()[..., 0]

    @cached_property
    def _outflow(self) -> Callable[[], np.ndarray]:
        def form(v: Any) -> ufl.Form:
            return ufl.inner(ufl.grad(v[0]), self.J) * self.diffusion.dx

        return tested(self.diffusion.device, self.diffusion.order, 1, form)

    def currents(self, phi: np.ndarray, omega: np.ndarray) -> np.ndarray:
        """Currents of the ports, (ports, sides), by consistent fluxes I_i = -(grad phi_i, J).

        From values at the nodes of each cell, (c, nodes, sides) and (c, nodes, n, sides); the first
        sides are unit potentials of the ports.
        """
        # A constant carries no current: without it rounding has nothing to add up.
        rise = phi - phi.mean(axis=1, keepdims=True)
        sides = range(phi.shape[2])
        flux = np.stack([self.outflow(rise[..., s], omega[..., s]) for s in sides], axis=-1)
        out = np.tensordot(rise[..., : len(self.names)], flux, ((0, 1), (0, 1)))
        return -np.asarray(total(self.diffusion.device.comm, out)) * (self.flow.thickness or 1.0)

    def system(self, operator: Operator, held: np.ndarray) -> System:
        """A system with the potential of charge as its last field."""
        device, space = self.diffusion.device, self.diffusion.space
        return System(
            device,
            space,
            operator,
            held=held,
            pairs=self.pairs,
            iterative=self.diffusion.iterative,
            tolerance=self.diffusion.tolerance,
        )

    def driven(
        self, phi: np.ndarray, omega: np.ndarray, boundaries: Mapping[str, Boundary]
    ) -> tuple[dict[str, Any], np.ndarray, np.ndarray]:
        """State of the ports, currents of all sides, and weights of these."""
        response = self.currents(phi, omega)
        G, offset = response[:, :-1], response[:, -1]
        potential, current = drive(self.names, boundaries, G, offset)
        state = terminals_of(self.names, boundaries, G, potential, current)
        return state, response, np.append(potential, 1.0)

    def fields(self, phi: np.ndarray, omega: np.ndarray) -> tuple[Field, Field]:
        """Potential and current density, from values at the nodes of each cell."""
        device, order = self.diffusion.device, self.diffusion.order
        self.set(phi, omega)
        key, unit = "current_density", self.flow.fields["current_density"].unit
        density = interpolated(key, unit, device, max(order - 1, 0), self.J)
        return cellwise("potential", "V", device, order, phi, joined=True), density

    def response(
        self,
        state: Mapping[str, Any],
        offset: np.ndarray,
        density: Field,
        potential: Field,
        *,
        two_way: bool,
    ) -> Response:
        """The result, with fields under their own names."""
        return Response(
            contacts=state["contacts"],
            periodic=state["periodic"],
            short_circuit=dict(zip(self.names, map(float, offset), strict=True)),
            current_density=replace(density, name="inverse_current_density"),
            potential=replace(potential, name="inverse_potential"),
            two_way=two_way,
        )


def conductivity(flow: Flow) -> np.ndarray:
    """Conductivity of each region."""
    out = []
    for name in flow.device.regions:
        value = flow.materials[name].conductivity
        if not isinstance(value, float | int):
            text = f"varies in region {name}: the inverse effect needs one value in each region"
            raise CaseError(("conductivity", text))
        out.append(float(value))
    return np.array(out)
