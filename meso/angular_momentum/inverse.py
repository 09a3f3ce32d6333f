"""The inverse effect: the charge current that a gradient of angular momentum drives.

    J_k = sigma E_k + Theta^{ia}_k d_i omega_a,     div J = 0

(isotropic: J = sigma E + theta curl omega), with the same Theta as the Hall current of angular
momentum: Onsager and Casimir ask for it, and the two together do no work. `one_way` takes omega
as given; `two_way` solves both equations at once, for Ohm's law.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from meso.angular_momentum import terms
from meso.angular_momentum.densities import Densities
from meso.angular_momentum.diffusion import Diffusion
from meso.angular_momentum.system import Operator, Solution, System
from meso.boundary import Boundary, Contact, Periodic
from meso.discrete.cells import cells_of, lagrange
from meso.discrete.fields import Field, cellwise, difference, gradient
from meso.discrete.periodic import ground_nodes
from meso.errors import CaseError
from meso.flow.result import (
    Flow,
    Terminal,
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
    """

    contacts: dict[str, Terminal]
    periodic: dict[str, Terminal]
    short_circuit: dict[str, float]
    current_density: Field
    potential: Field
    two_way: bool


def one_way(diffusion: Diffusion, densities: Densities, flow: Flow) -> Response:
    """Charge currents and voltages that densities make, without acting back on them.

    Args:
        diffusion: The problem that the densities solve.
        densities: Its solution.
        flow: The flow in the device; contacts stay at the potential or current that they have.
            Where it is viscous the response follows Ohm's law all the same.

    Raises:
        CaseError: A conductivity that varies inside a region.
    """
    ports = _Ports(diffusion, flow)
    device, space = diffusion.device, diffusion.space
    sigma, s = ports.sigma, ports.scale
    operator = Operator(
        diffusion=_isotropic(sigma * s**2, device.dimension),
        reaction=np.zeros((len(device.regions), 1, 1)),
    )
    sides = len(ports.names) + 1
    system = System(
        device, space, operator, fixed=ports.fixed[:, None], sides=sides, pairs=ports.pairs
    )
    slope = _InverseCurrent(diffusion, densities.omega)
    cells = cells_of(device)

    def load(batch: np.ndarray, straight: bool) -> np.ndarray:
        out = np.zeros((len(batch), space.dofs.shape[1], 1, sides))
        bend = 0 if straight else 2 * (cells.degree - 1)
        points, weights = cells.quadrature(2 * space.degree + bend)
        current = slope.at(batch, points)[..., : device.dimension, None]
        out[..., -1] = s * terms.current_load(
            cells, space, batch, points, weights, device.extent * current
        )
        return out

    given = np.concatenate([ports.given, np.zeros((space.nodes, 1))], axis=1)[:, None] / s
    solution = system.solve(cell_load=load, given=given, iterative=diffusion.iterative)
    phi = solution.values[:, :, 0] * s
    omega = np.zeros((*densities.omega.shape, sides))
    omega[..., -1] = densities.omega
    response = ports.currents(phi, omega)
    G, offset = response[:, :-1], response[:, -1]
    potential, current = _drive(ports.names, flow.boundaries, G, offset, zero=True)
    mix = np.append(potential, 1.0)
    voltage, density = ports.fields(phi @ mix, densities.omega)
    return ports.response(potential, current, offset, voltage, density, two_way=False)


def two_way(diffusion: Diffusion, flow: Flow) -> tuple[Flow, Densities, Response]:
    """Solve charge and angular momentum together.

    Args:
        diffusion: The diffusion of angular momentum.
        flow: The flow without it, of the ohmic model.

    Returns:
        The flow, the densities, and what the inverse effect has added to the flow.

    Raises:
        CaseError: Another model than Ohm's law; a conductivity that varies inside a region.
        ConvergenceError: The solver failed.
    """
    if flow.model != "ohmic":
        raise CaseError(
            (
                "angular_momentum.coupling",
                f'"two-way" needs flow.model = "ohmic"; found "{flow.model}", for which'
                ' "one-way" is available',
            )
        )
    if diffusion.terms:
        raise CaseError(
            ("angular_momentum.coupling", '"two-way" takes no added terms; use "one-way" or "none"')
        )
    ports = _Ports(diffusion, flow)
    n = len(diffusion.components)
    solution = _solve_together(diffusion, ports)
    scale = np.append(diffusion.scale, ports.scale)
    solved = solution.values * scale[:, None]
    omega, phi = solved[:, :, :n], solved[:, :, n]
    response = ports.currents(phi, omega)
    G, offset = response[:, :-1], response[:, -1]
    potential, current = _drive(ports.names, flow.boundaries, G, offset)
    mix = np.append(potential, 1.0)
    omega, phi = omega @ mix, phi @ mix
    reaction = (solution.reaction / scale[:, None] @ mix)[:, :n]
    densities = diffusion.densities(omega, reaction, None, solution.evidence)
    voltage, density = ports.fields(phi, omega)
    coupled = replace(
        flow,
        current_density=density.function(),
        potential=voltage.function(),
        fields={"current_density": density, "potential": voltage},
        **terminals_of(ports.names, flow.boundaries, G, potential, current),
        evidence={
            **solution.evidence,
            "divergence_relative": relative_divergence(density),
        },
    )
    return coupled, densities, _changes(ports, flow, coupled, offset)


def _solve_together(diffusion: Diffusion, ports: _Ports) -> Solution:
    """Potentials of angular momentum and then of charge: for each port, and for all other data."""
    n, space = len(diffusion.components), diffusion.space
    everything, sides = np.arange(n), len(ports.names) + 1
    held, values = diffusion.fixed(everything)
    given = np.zeros((space.nodes, n + 1, sides))
    given[:, n, :-1] = ports.given / ports.scale
    given[:, :n, -1] = values / diffusion.scale
    fixed = np.concatenate([held, ports.fixed[:, None]], axis=1)

    def fed(name: str) -> Any:
        value = diffusion.surfaces[name].injected
        assert value is not None
        inner = diffusion.facet_load([everything], value)

        def load(geometry: Any, table: np.ndarray) -> np.ndarray:
            out = np.zeros((len(table), table.shape[2], n + 1, sides))
            out[:, :, :n, -1] = inner(geometry, table)[..., 0]
            return out

        return load

    loads = {k: fed(k) for k, law in diffusion.surfaces.items() if law.injected is not None}
    operator = _coupled_operator(diffusion, ports)
    system = System(diffusion.device, space, operator, fixed=fixed, sides=sides, pairs=ports.pairs)
    return system.solve(facet_loads=loads, given=given, iterative=diffusion.iterative)


def _coupled_operator(diffusion: Diffusion, ports: _Ports) -> Operator:
    """The diffusion of angular momentum, Ohm's law, and the Hall currents both ways (Onsager)."""
    n, d = len(diffusion.components), diffusion.device.dimension
    own, s = diffusion.operator(np.arange(n)), ports.scale
    D = np.zeros((len(diffusion.device.regions), d, n + 1, d, n + 1))
    D[:, :, :n, :, :n] = own.diffusion
    D[:, :, n:, :, n:] = _isotropic(ports.sigma * s**2, d)
    coupling = diffusion.hall[..., :d] * diffusion.scale[:, None] * s
    D[:, :, :n, :, n] = coupling
    D[:, :, n, :, :n] = -np.moveaxis(coupling, 3, 1)

    def padded(value: np.ndarray) -> np.ndarray:
        return np.pad(value, [(0, 0)] * (value.ndim - 2) + [(0, 1), (0, 1)])

    return Operator(
        diffusion=D,
        reaction=padded(own.reaction),
        surface={k: padded(v) for k, v in own.surface.items()},
        conductance={k: padded(v) for k, v in own.conductance.items()},
        jumping=np.append(np.ones(n, dtype=bool), False),
    )


def _changes(ports: _Ports, flow: Flow, coupled: Flow, offset: np.ndarray) -> Response:
    """What the coupling has changed in a flow."""
    before, after = ({**f.contacts, **f.periodic} for f in (flow, coupled))
    voltage, density = coupled.fields["potential"], coupled.fields["current_density"]
    return ports.response(
        np.array([after[n].potential - before[n].potential for n in ports.names]),
        np.array([after[n].current - before[n].current for n in ports.names]),
        offset,
        difference(voltage, flow.fields["potential"]),
        difference(density, flow.fields["current_density"]),
        two_way=True,
    )


class _Ports:
    """Contacts and periodic pairs of a flow, as boundary values of a potential."""

    def __init__(self, diffusion: Diffusion, flow: Flow) -> None:
        device, space = diffusion.device, diffusion.space
        self.diffusion, self.flow = diffusion, flow
        self.names = ports_of(flow.boundaries)
        self.pairs = periodic_pairs(flow.boundaries)
        contacts = self.names[: len(self.names) - len(self.pairs)]
        self.given = np.zeros((space.nodes, len(self.names)))
        prescribed = [ground_nodes(device, space, contacts, self.pairs)]
        for side, name in enumerate(self.names):
            nodes = space.nodes_on(device, name)
            if name in contacts:
                self.given[nodes] = 0.0
                prescribed.append(nodes)
            self.given[nodes, side] = 1.0
        self.fixed = np.zeros(space.nodes, dtype=bool)
        self.fixed[np.concatenate(prescribed)] = True
        self.sigma = conductivity(flow)
        self.scale = float(1 / np.sqrt(self.sigma.max()))

    def currents(self, phi: np.ndarray, omega: np.ndarray) -> np.ndarray:
        """Currents of the ports, (ports, sides), by consistent fluxes.

        I_i = (grad phi_i, sigma grad phi - Theta grad omega) for each side; the first sides are
        unit potentials of the ports.

        Args:
            phi: At the nodes of each cell, shape (c, nodes, sides).
            omega: The same, shape (c, nodes, n, sides).
        """
        device, d = self.diffusion.device, self.diffusion.device.dimension
        cells, space = cells_of(device), self.diffusion.space
        points, weights = cells.quadrature(2 * space.degree + 2 * (cells.degree - 1))
        table, out = space.gradients(points), 0.0
        hall = self.diffusion.hall[..., :d]
        for batch, _ in cells.batches(8 * len(points) * phi.shape[2] * (omega.shape[2] + 1) * d):
            if not len(batch):
                continue
            slope, determinant = cells.gradients(batch, points, table)
            weight = weights * determinant
            region = device.cell_region[batch]
            # A constant carries no current: without it rounding has nothing to add up.
            level = phi[batch].mean(axis=1, keepdims=True)
            rise = np.einsum("cqin,cns->cqis", slope, phi[batch] - level, optimize=True)
            flux = self.sigma[region][:, None, None, None] * rise
            turn = np.einsum(
                "ciak,cqim,cmas->cqks", hall[region], slope, omega[batch], optimize=True
            )
            ports = rise[..., : len(self.names)]
            out = out + np.einsum("cq,cqki,cqks->is", weight, ports, flux - turn, optimize=True)
        factor = device.extent ** (d - 2) * (self.flow.thickness or 1.0)
        return np.asarray(total(device.comm, out)).reshape(len(self.names), -1) * factor

    def fields(self, phi: np.ndarray, omega: np.ndarray) -> tuple[Field, Field]:
        """Potential, and J = -sigma grad phi + Theta grad omega."""
        device, d, order = (
            self.diffusion.device,
            self.diffusion.device.dimension,
            (self.diffusion.order),
        )
        voltage = cellwise("potential", "V", device, order, phi, joined=True)
        degree = max(order - 1, 0)
        points = _nodes(device, degree)
        sigma = self.sigma[device.cell_region][:, None, None]
        current = -sigma * gradient(voltage, points)[..., 0]
        everything = np.arange(len(device.cell_region))
        inverse = _InverseCurrent(self.diffusion, omega).at(everything, points)[..., :d]
        unit = self.flow.fields["current_density"].unit
        return voltage, cellwise("current_density", unit, device, degree, current + inverse)

    def response(
        self,
        potential: np.ndarray,
        current: np.ndarray,
        offset: np.ndarray,
        voltage: Field,
        density: Field,
        *,
        two_way: bool,
    ) -> Response:
        """The result, with fields under their own names."""
        count = len(self.names) - len(self.pairs)
        found = {
            name: Terminal(current=float(i), potential=float(v))
            for name, i, v in zip(self.names, current, potential, strict=True)
        }
        return Response(
            contacts={name: found[name] for name in self.names[:count]},
            periodic={name: found[name] for name in self.names[count:]},
            short_circuit=dict(zip(self.names, map(float, offset), strict=True)),
            current_density=replace(density, name="inverse_current_density"),
            potential=replace(voltage, name="inverse_potential"),
            two_way=two_way,
        )


class _InverseCurrent:
    """Theta^{ia}_k d_i omega_a at points."""

    def __init__(self, diffusion: Diffusion, omega: np.ndarray) -> None:
        self.diffusion = diffusion
        self.field = cellwise("omega", "rad_per_s", diffusion.device, diffusion.order, omega)

    def at(self, batch: np.ndarray, points: np.ndarray) -> np.ndarray:
        """Shape (c, q, 3)."""
        slope = gradient(self.field, points, batch)
        hall = self.diffusion.hall[self.diffusion.device.cell_region[batch]]
        return np.asarray(np.einsum("ciak,cqia->cqk", hall, slope, optimize=True))


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


def _isotropic(value: np.ndarray, d: int) -> np.ndarray:
    """Shape (r, d, 1, d, 1)."""
    return np.asarray(value[:, None, None, None, None] * np.eye(d)[None, :, None, :, None])


def _nodes(device: Any, degree: int) -> np.ndarray:
    if degree:
        return lagrange(device, degree).points
    return np.full((1, device.dimension), 1 / (device.dimension + 1))


def _drive(
    names: tuple[str, ...],
    boundaries: Mapping[str, Boundary],
    response: np.ndarray,
    offset: np.ndarray,
    *,
    zero: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Potentials and currents of ports, I = G V + I_0, from what each of them is given."""
    given = np.array([_potential(boundaries[n]) is not None for n in names], dtype=bool)
    potential = np.array([_potential(boundaries[n]) or 0.0 for n in names])
    wanted = np.array([_current(boundaries[n]) or 0.0 for n in names])
    if zero:
        potential[:], wanted[:] = 0.0, 0.0
    if not given.all():
        right = wanted - offset - response[:, given] @ potential[given]
        potential[~given] = np.linalg.solve(response[np.ix_(~given, ~given)], right[~given])
    current = response @ potential + offset
    current[~given] = wanted[~given]
    return potential, current


def _potential(law: Boundary) -> float | None:
    return law.voltage if isinstance(law, Periodic) else getattr(law, "potential", None)


def _current(law: Boundary) -> float | None:
    return law.current if isinstance(law, Contact | Periodic) else None
