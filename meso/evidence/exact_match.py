"""Recognise devices that have a closed-form solution, to draw it beside the computed one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from meso.boundary import Contact, Wall
from meso.discrete.cells import cells_of, facet_geometry
from meso.flow.result import Flow, periodic_pairs
from meso.materials.profile import Profile
from meso.mpi import concatenated


def closed_form(flow: Flow) -> dict[str, Any] | None:
    """Parameters of the exact solution of a flow, if it has one.

    Recognised is the straight ribbon of one material with equal walls, between two ideal contacts
    or periodic (T. Valet et al. 2025, eq. 9 and 10).

    Args:
        flow: A solved flow.

    Returns:
        The name of the solution under "name" and its parameters in SI, or None.
    """
    device = flow.device
    if device.dimension != 2 or flow.model != "hydrodynamic" or len(device.regions) != 1:
        return None
    if not flow.slips:  # a magnetic field, or added terms
        return None
    ends = _ends(flow)
    walls = [n for n, law in flow.boundaries.items() if isinstance(law, Wall)]
    laws = {flow.boundaries[name] for name in walls}
    if ends is None or len(device.pieces) != 4 or len(laws) != 1:
        return None
    pieces = {n: [p for p in device.pieces if p.boundary == n] for n in (*ends.names, *walls)}
    if sum(len(pieces[n]) for n in walls) != 2:
        return None
    width, length = pieces[ends.names[0]][0].measure, pieces[walls[0]][0].measure
    material = next(iter(flow.materials.values()))
    conductivity = material.conductivity
    if material.varies or isinstance(conductivity, Profile):
        return None
    rate = next(iter(laws)).slip_rate(material)  # type: ignore[union-attr]
    rectangle = abs(width * length / device.measure - 1) < 1e-9 and _straight(flow)
    if not rectangle or not np.isfinite(rate):
        return None
    corner, along, across = _frame(flow, ends.names[0])
    return {
        "name": "ribbon",
        "width_m": width,
        "length_m": length,
        "vorticity_diffusion_length_m": material.vorticity_diffusion_length,
        "slip_rate_per_m": rate,
        "drude_current_density": conductivity * ends.voltage / length,
        "orbital_coupling_J_s_per_A": material.orbital_coupling,
        "center_m": (corner + across * width / 2).tolist(),
        "along": along.tolist(),
        "across": across.tolist(),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ends:
    """The two ends of a ribbon.

    Attributes:
        names: Where the current enters, and where it leaves.
        voltage: Potential at the first less that at the second.
    """

    names: tuple[str, str]
    voltage: float


def _ends(flow: Flow) -> _Ends | None:
    """Two ideal contacts, or one periodic pair; None for anything else."""
    contacts = {n: law for n, law in flow.boundaries.items() if isinstance(law, Contact)}
    pairs = periodic_pairs(flow.boundaries)
    if not contacts and len(pairs) == 1:
        return _Ends(names=pairs[0], voltage=flow.periodic[pairs[0][0]].potential)
    if len(contacts) != 2 or pairs or any(law.law != "ideal" for law in contacts.values()):
        return None
    first, second = contacts
    voltage = flow.contacts[first].potential - flow.contacts[second].potential
    return _Ends(names=(first, second), voltage=voltage)


def _lines(flow: Flow, name: str | None) -> np.ndarray:
    device = flow.device
    facets = device.facets
    if name is not None:
        facets = facets.of(facets.boundary == device.boundaries.index(name))
    ends = facet_geometry(
        cells_of(device), facets.cell, facets.local, np.array([[0.0], [0.5], [1.0]]), np.ones(3)
    )
    rows = np.concatenate([ends.position, ends.normal], axis=2)
    return concatenated(device.comm, rows)


def _straight(flow: Flow) -> bool:
    rows = _lines(flow, None)
    bend = rows[:, 1, :2] - (rows[:, 0, :2] + rows[:, 2, :2]) / 2
    return bool(np.abs(bend).max() < 1e-9)


def _frame(flow: Flow, contact: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """End of a contact, direction into the device, and direction along the contact."""
    rows = _lines(flow, contact)
    inward = -rows[0, 1, 2:]
    across = np.array([-inward[1], inward[0]])
    at = rows[:, :, :2].reshape(-1, 2)
    corner = at[np.argmin(at @ across)] * flow.device.extent
    return corner, inward, across
