"""Recognise devices that have a closed-form solution, to draw it beside the computed one."""

from __future__ import annotations

from typing import Any

import numpy as np

from meso.boundary import Contact, Wall
from meso.cells import cells_of, facet_geometry
from meso.flow.result import Flow
from meso.mpi import concatenated
from meso.profile import Profile


def closed_form(flow: Flow) -> dict[str, Any] | None:
    """Parameters of the exact solution of a flow, if it has one.

    Recognised is the straight ribbon of one material between two ideal contacts with equal walls
    (T. Valet et al. 2025, eq. 9 and 10).

    Args:
        flow: A solved flow.

    Returns:
        The name of the solution under "name" and its parameters in SI, or None.
    """
    device = flow.device
    contacts = [n for n, law in flow.boundaries.items() if isinstance(law, Contact)]
    walls = [n for n, law in flow.boundaries.items() if isinstance(law, Wall)]
    if flow.model != "hydrodynamic" or len(device.regions) != 1 or len(device.pieces) != 4:
        return None
    laws = {flow.boundaries[name] for name in walls}
    pieces = {n: [p for p in device.pieces if p.boundary == n] for n in (*contacts, *walls)}
    if len(contacts) != 2 or len(laws) != 1 or sum(len(pieces[n]) for n in walls) != 2:
        return None
    if any(flow.boundaries[n].law != "ideal" for n in contacts):  # type: ignore[union-attr]
        return None
    width, length = pieces[contacts[0]][0].measure, pieces[walls[0]][0].measure
    material = next(iter(flow.materials.values()))
    conductivity = material.conductivity
    if material.varies or isinstance(conductivity, Profile):
        return None
    rate = next(iter(laws)).slip_rate(material)  # type: ignore[union-attr]
    rectangle = abs(width * length / device.measure - 1) < 1e-9 and _straight(flow)
    if not rectangle or not np.isfinite(rate):
        return None
    first, second = (flow.contacts[name] for name in contacts)
    corner, along, across = _frame(flow, contacts[0])
    return {
        "name": "ribbon",
        "width_m": width,
        "length_m": length,
        "vorticity_diffusion_length_m": material.vorticity_diffusion_length,
        "slip_rate_per_m": rate,
        "drude_current_density": conductivity * (first.potential - second.potential) / length,
        "orbital_coupling_J_s_per_A": material.orbital_coupling,
        "center_m": (corner + across * width / 2).tolist(),
        "along": along.tolist(),
        "across": across.tolist(),
    }


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
