"""The orbital angular momentum that belongs to each wall: each point counts for the nearest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from meso.discrete.fields import Field
from meso.flow.result import Flow
from meso.mpi import total
from meso.observables.edges import piece_centers
from meso.observables.nearest import division, walls_of
from meso.observables.within import of_walls


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeMoment:
    """Orbital angular momentum, or spin, that belongs to a smooth piece of a wall.

    Attributes:
        wall: Name of the wall.
        measure: Length of the piece, m (its area, m^2, in 3D).
        center: Centroid of the piece, m.
        moment: Integral of L_z over the points nearer to it than to other walls, J s (J s/m
            for a 3D metal of unknown thickness); in 3D, and of a tensor kappa, of the vector L.
        error: Its standard error, by particles; else 0.
    """

    wall: str
    measure: float
    center: tuple[float, ...]
    moment: float | tuple[float, ...]
    error: float = 0.0

    @property
    def length(self) -> float:
        """The measure by the name that it has in 2D."""
        return self.measure


def couplings(flow: Flow, channel: str = "orbital") -> np.ndarray | None:
    """Kappa of each region along the axes of the device, J s/A; None if a material has none.

    Args:
        flow: A flow.
        channel: "orbital" or "spin".

    Returns:
        Shape (regions,), or (regions, 3, 3, 3) as [j, i, k] if one of them is a tensor.
    """
    materials = [flow.materials[name] for name in flow.device.regions]
    values = [getattr(material, f"{channel}_coupling") for material in materials]
    if any(v is None for v in values):
        return None
    if any(np.ndim(v) for v in values):
        return np.array([material.coupling(channel) for material in materials])
    return np.array(values, dtype=float)


def edge_moments(flow: Flow, density: Field, *, degree: int = 2) -> list[EdgeMoment]:
    """Divide the orbital angular momentum among the walls: each point goes to the nearest.

    Across a ribbon this is the integral over half its width,
    hbar^2 (J_centre - J_wall) / (2 eps_F e) per length of the wall. Walls continue across
    periodic pairs. Of a kinetic flow moments that gradients of the current make are integrals of
    these as they are in cells, not of their means at walls, and what its harmonics miss at walls is
    added (:mod:`meso.observables.grazing`).

    Args:
        flow: A solved flow.
        density: Its orbital density, or that of the spin.
        degree: Of distances from walls, as of :class:`meso.observables.nearest.Division`.

    Returns:
        One entry for each smooth piece of a wall.
    """
    device = flow.device
    walls = walls_of(flow)
    if not walls:
        return []
    channel = {"orbital_density": "orbital", "spin_density": "spin"}.get(density.name)
    kappa = couplings(flow, channel) if flow.kinetic and channel is not None else None
    if kappa is not None:
        density = of_walls(flow, kappa)
    moment = np.asarray(total(device.comm, division(flow, degree).moments(density)))
    moment *= flow.thickness or 1.0
    if kappa is not None:
        from meso.observables.grazing import wall_moments

        moment += wall_moments(flow, kappa)[0]
    centers = piece_centers(device)
    return [
        EdgeMoment(
            wall=device.pieces[i].boundary,
            measure=device.pieces[i].measure,
            center=tuple(map(float, centers[i])),
            moment=float(moment[i, 0]) if moment.shape[1] == 1 else tuple(map(float, moment[i])),
        )
        for i in walls
    ]
