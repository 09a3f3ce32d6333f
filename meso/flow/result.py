"""What every flow model returns, and how terminals with given currents are handled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from meso.boundary import Boundary, Contact
from meso.cells import cells_of, inverse, quadrature
from meso.device import Device
from meso.errors import CaseError
from meso.errors import known as suggestion
from meso.fields import Field, gradient
from meso.material import Material
from meso.mpi import total


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Scales:
    """Units of the scaled variables: lengths, conductivity; the potential is in volts.

    Attributes:
        length: m.
        conductivity: S/m, or S for a 2D electron gas.
    """

    length: float
    conductivity: float

    @property
    def current_density(self) -> float:
        """A/m^2, or A/m."""
        return self.conductivity / self.length


@dataclass(frozen=True, kw_only=True, eq=False)
class Flow:
    """A solved flow.

    Attributes:
        model: "ohmic", "hydrodynamic" or "kinetic".
        device: The device.
        materials: Material of each region, by the name of the region.
        boundaries: Boundary conditions by name.
        thickness: Thickness of the slab, m, or None.
        current_density: DOLFINx function, A/m^2 (A/m for a 2D electron gas).
        potential: DOLFINx function, V.
        fields: The same and what follows from them, by name, for output.
        contacts: State of each contact by name.
        conductance_matrix: I_i = sum_j G_ij V_j, S (S/m without thickness), in the order of
            ``contacts``.
        evidence: How the system was solved: method, unknowns, residual, divergence of J.
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
    conductance_matrix: np.ndarray
    evidence: dict[str, Any] = field(default_factory=dict)

    @property
    def dissipated_power(self) -> float:
        """sum_i V_i I_i, W (W/m where currents are in A/m)."""
        return sum(t.potential * t.current for t in self.contacts.values())

    @property
    def sum_of_currents(self) -> float:
        """Sum of all terminal currents over the largest of them: 0 but for rounding."""
        currents = [t.current for t in self.contacts.values()]
        return abs(sum(currents)) / (max(map(abs, currents)) or 1.0)


def check_device(
    device: Device, materials: Mapping[str, Material], boundaries: Mapping[str, Boundary]
) -> None:
    """Every region has a material, every boundary a law, every island a fixed potential.

    Raises:
        CaseError: What is missing or unknown, with the names that the device has.
    """
    problems: list[tuple[str, str]] = []

    def names(key: str, given: Mapping[str, Any], known: tuple[str, ...], what: str) -> None:
        for name in given:
            if name not in known:
                inside = name in device.interfaces and key == "boundaries"
                problems.append(
                    (
                        f"{key}.{name}",
                        f"the curve '{name}' lies inside the conductor, it is no boundary"
                        if inside
                        else f"not in {device.source.name}; {suggestion(name, known)}",
                    )
                )
        for name in known:
            if name not in given:
                problems.append((key, f"{device.source.name} has '{name}', which {what}"))

    names("regions", materials, device.regions, "has no material")
    names("boundaries", boundaries, device.boundaries, "is not named in the case")
    if not problems:
        fixed = {
            name
            for name, law in boundaries.items()
            if isinstance(law, Contact) and law.potential is not None
        }
        if not fixed:
            problems.append(("boundaries", "no contact has a fixed potential; one is needed"))
        for island in device.islands:
            if fixed and not fixed & set(island):
                problems.append(
                    (
                        "boundaries",
                        f"the part of the conductor bounded by {', '.join(island)} is an island"
                        " without a contact at a fixed potential",
                    )
                )
    if problems:
        raise CaseError(*problems)


def drive(
    names: tuple[str, ...], boundaries: Mapping[str, Boundary], conductance: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Potentials and currents of all contacts from what each of them is given.

    Args:
        names: Contacts, in the order of the matrix.
        boundaries: Their laws; currents in the unit of ``conductance`` times volts.
        conductance: G, shape (n, n).

    Returns:
        Potentials and currents, shape (n,) each.
    """
    laws = [law for law in map(boundaries.get, names) if isinstance(law, Contact)]
    given = np.array([law.potential is not None for law in laws])
    potential = np.array([law.potential or 0.0 for law in laws])
    if not given.all():
        wanted = np.array([law.current or 0.0 for law in laws])[~given]
        free = conductance[np.ix_(~given, ~given)]
        right = wanted - conductance[np.ix_(~given, given)] @ potential[given]
        potential[~given] = np.linalg.solve(free, right)
    current = conductance @ potential
    current[~given] = np.array([law.current or 0.0 for law in laws])[~given]
    return potential, current


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
    flux: np.ndarray,
    scales: Scales,
    thickness: float | None,
) -> tuple[np.ndarray, dict[str, Terminal], np.ndarray]:
    """Conductance matrix, state of each contact, and the potentials as an array.

    Args:
        names: Contacts.
        boundaries: Their laws.
        flux: Scaled conductance matrix, shape (n, n).
        scales: Units of the scaled variables.
        thickness: Thickness of the slab, m, or None.
    """
    conductance = flux * scales.conductivity * (thickness or 1.0)
    potential, current = drive(names, boundaries, conductance)
    terminals = {
        name: Terminal(current=float(i), potential=float(v))
        for name, i, v in zip(names, current, potential, strict=True)
    }
    return conductance, terminals, potential


def current_unit(materials: Mapping[str, Material]) -> str:
    """Unit of the current density in column names."""
    sheet = any(material.carriers == "2d" for material in materials.values())
    return "A_per_m" if sheet else "A_per_m2"


def relative_divergence(density: Field) -> float:
    """Root mean square of div J over the device, times its size, over the largest J."""
    device = density.device
    cells = cells_of(device)
    points, weights = quadrature(2 * max(1, density.degree - 1))
    divergence = np.trace(gradient(density, points), axis1=2, axis2=3)
    _, determinant = inverse(cells.jacobians(np.arange(cells.count), points))
    area = device.measure / device.extent**2
    mean = np.sqrt(total(device.comm, (weights * determinant * divergence**2).sum()) / area)
    return float(mean * device.extent / (density.extrema()[1] or 1.0))
