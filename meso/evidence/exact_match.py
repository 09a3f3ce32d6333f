"""Recognise devices that have a closed-form solution, to draw it beside the computed one."""

from __future__ import annotations

from typing import Any

import numpy as np

from meso.boundary import Contact, Wall
from meso.discrete.cells import cells_of, facet_geometry
from meso.flow.result import Flow, periodic_pairs
from meso.materials.material import Material
from meso.mpi import concatenated

#: Relative differences, of areas and of normals, below which a device is a rectangle.
_EQUAL = 1e-9


def closed_form(flow: Flow) -> dict[str, Any] | None:
    """Name, under "name", and parameters in SI of the exact solution of a flow, if it has one.

    Recognised is the straight ribbon of one material with equal walls, between two ideal contacts
    or periodic (T. Valet et al. 2025, eq. 9 and 10), without a magnetic field and added terms.
    """
    device, ends = flow.device, _ends(flow)
    walls = {n: law for n, law in flow.boundaries.items() if isinstance(law, Wall)}
    if ends is None or not flow.slips or device.dimension != 2:
        return None
    long = [piece.measure for piece in device.pieces if piece.boundary in walls]
    if len(device.regions) != 1 or len(device.pieces) != 4 or len(long) != 2:
        return None
    first, _, voltage = ends
    material, length = flow.materials[device.regions[0]], long[0]
    width = next(piece.measure for piece in device.pieces if piece.boundary == first)
    facets = device.facets
    at = facet_geometry(
        cells_of(device), facets.cell, facets.local, np.array([[0.0], [0.5], [1.0]])
    )
    piece, position, normal = (
        concatenated(device.comm, part) for part in (facets.piece, at.position, at.normal)
    )
    straight = all(np.ptp(normal[piece == i], axis=(0, 1)).max() < _EQUAL for i in range(4))
    if material.varies or not straight or abs(width * length / device.measure - 1) >= _EQUAL:
        return None
    rates = {law.slip_rate(material) for law in walls.values()}
    if len(set(walls.values())) != 1 or not np.isfinite(rate := float(rates.pop())):  # type: ignore[arg-type]
        return None
    contact = np.array([device.pieces[i].boundary == first for i in piece])
    inward = -normal[contact][0, 1]
    across = np.array([-inward[1], inward[0]])
    points = position[contact].reshape(-1, 2)
    corner = points[np.argmin(points @ across)] * device.extent
    return {
        "name": "ribbon",
        "width_m": width,
        "length_m": length,
        "vorticity_diffusion_length_m": material.vorticity_diffusion_length,
        "slip_rate_per_m": rate,
        "drude_current_density": float(material.conductivity) * voltage / length,  # type: ignore[arg-type]
        "orbital_coupling_J_s_per_A": _along(material, across, inward),
        "center_m": (corner + across * width / 2).tolist(),
        "along": inward.tolist(),
        "across": across.tolist(),
    }


def _along(material: Material, across: np.ndarray, along: np.ndarray) -> Any:
    """Kappa of L = kappa curl J in a flow that varies across its direction; of a tensor three."""
    if not isinstance(material.orbital_coupling, tuple):
        return material.orbital_coupling
    kappa = material.coupling("orbital")
    assert kappa is not None
    # d_i J_k = -a_i t_k curl J, across a = z x t.
    return (-(kappa[:, :2, :2] @ along) @ across).tolist()


def _ends(flow: Flow) -> tuple[str, str, float] | None:
    """Where the current enters, where it leaves, and the voltage between: of a ribbon only."""
    contacts = {n: law for n, law in flow.boundaries.items() if isinstance(law, Contact)}
    pairs = periodic_pairs(flow.boundaries)
    if not contacts and len(pairs) == 1:
        return *pairs[0], flow.periodic[pairs[0][0]].potential
    if len(contacts) != 2 or pairs or any(law.law != "ideal" for law in contacts.values()):
        return None
    first, second = contacts
    return first, second, flow.contacts[first].potential - flow.contacts[second].potential
