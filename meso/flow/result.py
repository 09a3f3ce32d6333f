"""What every flow model returns, and how terminals with given currents are handled."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import ufl

from meso.boundary import Boundary, Contact, Periodic
from meso.device import Device
from meso.discrete.fields import Field, cellwise, continuous
from meso.discrete.periodic import parts
from meso.equations import dissipation
from meso.equations.derived import TABLE
from meso.errors import CaseError
from meso.errors import known as suggestion
from meso.flow.adjoint import Adjoint
from meso.materials.material import Material


@dataclass(frozen=True, slots=True, kw_only=True)
class Terminal:
    """State of a contact.

    Attributes:
        current: Total current into the device, A (A/m for a cut through a 3D material of
            unknown thickness).
        potential: Electrochemical potential, V.
    """

    current: float
    potential: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Flow:
    """A solved flow.

    Attributes:
        model: "ohmic", "hydrodynamic", "kinetic" or "particles".
        device: The device.
        materials: Material of each region, by the name of the region.
        boundaries: Boundary conditions by name.
        thickness: Thickness of the slab, m, or None.
        current_density: DOLFINx function, A/m^2 (A/m for a 2D electron gas).
        potential: DOLFINx function, V.
        fields: The same and what follows from them, by name, for output.
        contacts: State of each contact by name.
        periodic: State of each periodic pair by its first boundary: current through the period
            and voltage across it.
        conductance_matrix: I_i = sum_j G_ij V_j, S (S/m without thickness), in the order of
            ``contacts``, without voltages across periods.
        evidence: How the system was solved: method, unknowns, residual, divergence of J.
        distribution: All harmonics of a kinetic flow, see :mod:`meso.flow.distribution`.
        state: Current density and potential for other potentials of the ports, in the order of
            ``contacts`` and ``periodic``.
        unit_moments: Odd moments of a kinetic flow for unit potentials on each port, from which
            another iteration may begin.
        slips: Whether the slip law alone tells the vorticity at walls: in the hydrodynamic model,
            but not in a magnetic field, nor with terms that were added.
        magnetic_field: Along z, T; on 3D meshes along any direction.
        adjoint: Derivatives of the flow (:mod:`meso.flow.adjoint`), where they were asked for.
        counted: Conductances with their statistical errors, of particles.
        swarm: What traced the particles, of which more may be asked (:class:`.Particles`).
    """

    model: str
    device: Device
    materials: Mapping[str, Material]
    boundaries: Mapping[str, Boundary]
    thickness: float | None
    order: int
    current_density: Any
    potential: Any
    fields: dict[str, Field]
    contacts: dict[str, Terminal]
    periodic: dict[str, Terminal]
    conductance_matrix: np.ndarray
    evidence: dict[str, Any] = field(default_factory=dict)
    distribution: Any = None
    state: Callable[[np.ndarray], tuple[Field, Field]] | None = None
    unit_moments: Any = None
    slips: bool = True
    magnetic_field: float = 0.0
    adjoint: Adjoint | None = None
    counted: Any = None
    swarm: Any = None

    @property
    def viscous(self) -> bool:
        """Whether the current has a vorticity: not by Ohm's law, nor where particles make it."""
        return self.model in ("hydrodynamic", "kinetic")

    @property
    def kinetic(self) -> bool:
        """Whether the flow is that of a distribution over angles."""
        return self.model == "kinetic"

    @property
    def sheet(self) -> bool:
        """True for a 2D electron gas, False for a 3D metal."""
        return any(material.carriers == "2d" for material in self.materials.values())

    @property
    def per_thickness(self) -> bool:
        """True where currents are per thickness of a 3D material (A/m)."""
        return self.device.dimension == 2 and not self.sheet and self.thickness is None

    @property
    def dissipated_power(self) -> float:
        """sum_i V_i I_i, W (W/m where currents are in A/m)."""
        terminals = (*self.contacts.values(), *self.periodic.values())
        return sum(t.potential * t.current for t in terminals)

    def sample(self, points: Any) -> dict[str, np.ndarray]:
        """Values of all fields at points, the same on every rank.

        Args:
            points: Coordinates in metres, shape (m, d).

        Returns:
            By name: shape (m,) or (m, components), SI, NaN outside the device.
        """
        from meso.discrete.sampling import sample

        return sample(self.device, list(self.fields.values()), points)

    def profile(self, wall: str, points: int | None = None) -> dict[str, np.ndarray]:
        """Current and vorticity along a wall, the same on every rank.

        Args:
            wall: Name of the boundary.
            points: In 2D points per facet, in 3D degree of the quadrature on each facet; by
                default the polynomial degree of the current.

        Returns:
            Columns in SI units. In 2D "segment", "s", "x", "y", "J_t", "vorticity", in order, the
            conductor on the left; in 3D "segment", positions, "normal_x", ..., "area", "J_x", ...,
            "vorticity_x", ... at quadrature points.

        Raises:
            CaseError: An unknown name.
        """
        from meso.observables.edges import profile, surface

        if wall not in self.device.boundaries:
            raise CaseError(f"no boundary '{wall}'; {suggestion(wall, self.device.boundaries)}")
        along = profile if self.device.dimension == 2 else surface
        return along(self, wall, points or self.order)

    @property
    def sum_of_currents(self) -> float:
        """Sum of all terminal currents over the largest of them: 0 but for rounding.

        Where none flows, over what flows between contacts at these potentials and cancels. A
        contact alone has none.
        """
        if len(self.contacts) < 2:
            return 0.0
        currents = np.array([t.current for t in self.contacts.values()])
        potentials = np.array([t.potential for t in self.contacts.values()])
        parts = np.abs(self.conductance_matrix * potentials)
        largest = max(np.abs(currents).max(initial=0.0), parts.max(initial=0.0))
        return float(abs(currents.sum()) / (largest or 1.0))


def check_device(
    device: Device,
    materials: Mapping[str, Material],
    boundaries: Mapping[str, Boundary],
    *,
    driven: bool = True,
) -> None:
    """Every region has a material, every boundary a law, every island a fixed potential.

    The last only if contacts are what drives the current.

    Raises:
        CaseError: What is missing or unknown, with the names that the device has.
    """
    problems: list[tuple[str, str]] = []
    drawing = device.source.name

    def names(key: str, given: Mapping[str, Any], known: tuple[str, ...], what: str) -> None:
        for name in given:
            if name in known:
                continue
            text = f"not in {drawing}; {suggestion(name, known)}"
            if name in device.interfaces and key == "boundaries":
                text = f"the curve '{name}' lies inside the conductor, it is no boundary"
            problems.append((f"{key}.{name}", text))
        problems.extend(
            (key, f"{drawing} has '{name}', which {what}") for name in known if name not in given
        )

    names("regions", materials, device.regions, "has no material")
    pairs = periodic_pairs(boundaries)
    images = {second: boundaries[first] for first, second in pairs}
    for first, second in pairs:
        text = f"not in {drawing}; {suggestion(second, device.boundaries)}"
        if second in boundaries:
            text = "named twice, here and in boundaries"
        if second in boundaries or second not in device.boundaries:
            problems.append((f"boundaries.{first}.periodic.to", f"'{second}' {text}"))
    known = {**images, **boundaries} if not problems else boundaries
    names("boundaries", known, device.boundaries, "is not named in the case")
    if device.dimension == 3 and any(m.carriers == "2d" for m in materials.values()):
        problems.append(("regions", 'carriers = "2d" need a 2D mesh, but the mesh is 3D'))
    if driven and not problems:
        problems += _floating(device, boundaries, pairs)
    if problems:
        raise CaseError(*problems)


def _floating(
    device: Device, boundaries: Mapping[str, Boundary], pairs: tuple[tuple[str, str], ...]
) -> list[tuple[str, str]]:
    """Parts of the conductor that have contacts but no fixed potential, or no drive at all."""
    contacts = {name: law for name, law in boundaries.items() if isinstance(law, Contact)}
    fixed = {name for name, law in contacts.items() if law.potential is not None}
    if not fixed and (contacts or not pairs):
        return [("boundaries", "no contact has a fixed potential; one is needed")]
    periodic = {name for pair in pairs for name in pair}
    return [
        (
            "boundaries",
            f"the part of the conductor bounded by {', '.join(sorted(part))} is an island"
            " without a contact at a fixed potential",
        )
        for part in parts(device, pairs)
        if not fixed & part and (contacts.keys() & part or not periodic & part)
    ]


def periodic_pairs(boundaries: Mapping[str, Boundary]) -> tuple[tuple[str, str], ...]:
    """Periodic pairs of boundaries by name."""
    return tuple((n, law.to) for n, law in boundaries.items() if isinstance(law, Periodic))


def ports_of(boundaries: Mapping[str, Boundary]) -> tuple[str, ...]:
    """Boundaries that carry a potential: contacts first, then periodic pairs."""
    contacts = tuple(n for n, law in boundaries.items() if isinstance(law, Contact))
    return contacts + tuple(first for first, _ in periodic_pairs(boundaries))


def drive(
    names: tuple[str, ...],
    boundaries: Mapping[str, Boundary],
    response: np.ndarray,
    offset: np.ndarray | float = 0.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Potentials and currents, (n,) each, of all ports from what each of them is given.

    ``response`` are their currents for unit potentials (voltages of periodic pairs), (n, n), and
    ``offset`` those that flow without any, (n,), in the unit of given currents.
    """
    offset = np.broadcast_to(offset, len(names))
    ports = [_given(boundaries[name]) for name in names]
    fixed = np.array([potential is not None for potential, _ in ports], dtype=bool)
    potential = np.array([potential or 0.0 for potential, _ in ports])
    wanted = np.array([current or 0.0 for _, current in ports])
    if not fixed.all():
        right = wanted[~fixed] - response[np.ix_(~fixed, fixed)] @ potential[fixed]
        right = right - offset[~fixed]
        potential[~fixed] = np.linalg.solve(response[np.ix_(~fixed, ~fixed)], right)
    current = response @ potential + offset
    current[~fixed] = wanted[~fixed]
    return potential, current


@dataclass(frozen=True, slots=True, kw_only=True)
class DriveResponse:
    """How a number T that is linear in the potentials of ports, t V, follows what they are given.

    Attributes:
        potential: V of all ports, (n,).
        floating: z with z G = t for ports of given currents and zero for others, (n,): what
            changes G changes T by -z dG V beside what changes t.
        given: d T / d (what each port is given: potential or current), (n,).
    """

    potential: np.ndarray
    floating: np.ndarray
    given: np.ndarray


def drive_response(
    names: tuple[str, ...], boundaries: Mapping[str, Boundary], response: np.ndarray, t: np.ndarray
) -> DriveResponse:
    """Derivatives of :func:`drive`; ``t`` are those of a number in the potentials, (n,)."""
    potential, _ = drive(names, boundaries, response)
    free = np.array([_given(boundaries[name])[0] is None for name in names], dtype=bool)
    z, given = np.zeros(len(names)), np.array(t, dtype=float)
    if free.any():
        z[free] = np.linalg.solve(response[np.ix_(free, free)].T, t[free])
        given = np.where(free, z, t - z @ response)
    return DriveResponse(potential=potential, floating=z, given=given)


def _given(law: Boundary) -> tuple[float | None, float | None]:
    """Potential (or voltage) and current that a port is given."""
    if isinstance(law, Periodic):
        return law.voltage, law.current
    assert isinstance(law, Contact)
    return law.potential, law.current


def four_terminal(
    names: tuple[str, ...],
    conductance: np.ndarray,
    current: tuple[str, str],
    voltage: tuple[str, str],
) -> float:
    """Voltage between two contacts over the current between two others, the rest floating.

    Args:
        names: Contacts, in the order of the matrix.
        conductance: G, S (S/m), shape (n, n).
        current: Where the current enters, and where it leaves.
        voltage: R = (V_first - V_second) / I.

    Returns:
        The resistance, ohm (ohm m).
    """
    at = {name: i for i, name in enumerate(names)}
    drive_ = np.zeros(len(names))
    drive_[at[current[0]]], drive_[at[current[1]]] = 1.0, -1.0
    # The level of the potential is free: the last contact is at zero.
    potential = np.zeros(len(names))
    potential[:-1] = np.linalg.solve(conductance[:-1, :-1], drive_[:-1])
    return float(potential[at[voltage[0]]] - potential[at[voltage[1]]])


def terminals_of(
    names: tuple[str, ...],
    boundaries: Mapping[str, Boundary],
    response: np.ndarray,
    potential: np.ndarray,
    current: np.ndarray,
) -> dict[str, Any]:
    """What :class:`Flow` says of contacts and periodic pairs; arguments as of :func:`drive`."""
    terminals = {
        name: Terminal(current=float(i), potential=float(v))
        for name, i, v in zip(names, current, potential, strict=True)
    }
    periodic = {n for n, _ in periodic_pairs(boundaries)}
    contacts = len(names) - len(periodic)
    return {
        "contacts": {n: t for n, t in terminals.items() if n not in periodic},
        "periodic": {n: t for n, t in terminals.items() if n in periodic},
        "conductance_matrix": response[:contacts, :contacts],
    }


def driven(
    model: Any,
    name: str,
    flux: np.ndarray,
    mixed: Callable[[np.ndarray], tuple[Field, Field]],
    evidence: Mapping[str, Any],
    **more: Any,
) -> Flow:
    """The flow of a model for what its ports are given.

    Args:
        model: Its device, materials, boundaries, thickness, order and scales.
        name: What it is called.
        flux: Scaled currents of the ports for each solution, shape (ports, sides): one for a unit
            potential of each port, and with loads of added terms one more without potentials.
        mixed: Current density and potential from how much of each solution there is, (sides,).
        evidence: How the solutions were found.
        more: Further attributes of the flow.
    """
    names = ports_of(model.boundaries)
    flux = flux * model.scales.current(model.device.dimension) * (model.thickness or 1.0)
    response, loads = flux[:, : len(names)], flux[:, len(names) :]
    potential, current = drive(names, model.boundaries, response, loads.sum(axis=1))

    def state(potential: np.ndarray) -> tuple[Field, Field]:
        return mixed(np.append(potential, np.ones(loads.shape[1])))

    density, voltage = state(potential)
    return Flow(
        model=name,
        device=model.device,
        materials=model.materials,
        boundaries=model.boundaries,
        thickness=model.thickness,
        order=model.order,
        current_density=density.function(),
        potential=voltage.function(),
        fields={"current_density": density, "potential": voltage},
        **terminals_of(names, model.boundaries, response, potential, current),
        evidence={**evidence, "divergence_relative": relative_divergence(density)},
        state=state,
        **more,
    )


def mixture(model: Any, solutions: Any, *, joined: bool) -> Callable[[np.ndarray], Any]:
    """What :func:`driven` asks for, from :class:`meso.flow.discretisation.Solutions`.

    ``joined`` tells whether the potential is continuous.
    """
    device, order, unit = model.device, model.order, current_unit(model.materials)
    moments = solutions.vector[..., : device.dimension]

    def mixed(mix: np.ndarray) -> tuple[Field, Field]:
        vector = np.tensordot(mix, moments, 1) * model.scales.current_density
        scalar = np.tensordot(mix, solutions.scalar, 1)
        return (
            continuous("current_density", unit, device, order, vector, solutions.family),
            cellwise("potential", "V", device, order - 1, scalar, joined=joined),
        )

    return mixed


def current_unit(materials: Mapping[str, Material]) -> str:
    """Unit of the current density in column names."""
    sheet = any(material.carriers == "2d" for material in materials.values())
    return TABLE["current_density"].unit_in(sheet)


def relative_divergence(density: Field) -> float:
    """Root mean square of div J over the device, times its size, over the largest J."""
    device = density.device
    if density.degree == 0:
        return 0.0
    squares = dissipation.divergence(density.function())
    dx = ufl.dx(domain=device.mesh, degree=2 * density.highest - 2)
    whole = device.integrate(squares * dx)
    mean = np.sqrt(whole / device.measure) * device.extent
    return float(mean / (density.extrema()[1] or 1.0))
