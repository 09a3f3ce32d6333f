"""Is the mesh fine enough, and the model fit, for the lengths of the physics?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from meso.boundary import Boundary, Contact, Periodic, Wall
from meso.device import Device, Facets
from meso.discrete.cells import cells_of, facet_geometry
from meso.discrete.coefficients import Quantity, extremes, material_values
from meso.discrete.periodic import parts
from meso.flow.result import Flow
from meso.materials.material import Material
from meso.mpi import largest

#: Knudsen number above which the two harmonics are no longer a description of the flow.
LARGE_KNUDSEN = 0.2
#: Divergence of a current, times the size of the device over the largest current, that is large:
#: as if all of it were lost on the way. Resolved ribbons have 1e-5, beams through a slit 0.2.
LEAK = 1.0
#: Lengths of a device, m, beyond which its unit is hardly meant.
_SIZES = 1e-9, 2e-2


def knudsen_number(
    device: Device, materials: Mapping[str, Material], boundaries: Mapping[str, Boundary]
) -> float | None:
    """Largest mean free path over the mean width, twice the area (volume) over that of the walls.

    Collisions of every kind count, 1/(1/lambda + 1/lambda_ee): the closure needs them to be
    frequent, not to relax momentum. None without walls or mean free paths.
    """

    def path(material: Material) -> Any:
        assert material.mean_free_path is not None
        return 1 / (
            1 / material.mean_free_path + 1 / material.electron_electron_mean_free_path  # type: ignore[operator]
        )

    known = {name: m for name, m in materials.items() if m.mean_free_path is not None}
    walls = sum(p.measure for p in device.pieces if isinstance(boundaries.get(p.boundary), Wall))
    if not known or not walls:
        return None
    return extremes(device, known, path)[1] * walls / (2 * device.measure)


def wall_resolution(
    device: Device, materials: Mapping[str, Material], boundaries: Mapping[str, Boundary]
) -> dict[str, float]:
    """Largest cell at each wall that makes vorticity over the diffusion length there."""
    out = {}
    for name in device.boundaries:
        wall = boundaries.get(name)
        if isinstance(wall, Wall):
            facets = device.facets_on(name)
            # A rank may own no facet of this wall, but takes part in the maximum.
            here = _heights(device, materials, wall, facets).max() if len(facets.cell) else 0.0
            out[name] = largest(device.comm, here)
    return out


def _heights(
    device: Device, materials: Mapping[str, Material], wall: Wall, facets: Facets
) -> np.ndarray:
    """Heights of the cells at facets over the diffusion length; 0 where there is no vorticity."""
    center = np.full((1, device.dimension - 1), 1 / device.dimension)
    geometry = facet_geometry(cells_of(device), facets.cell, facets.local, center)

    def at_facets(quantity: Quantity) -> np.ndarray:
        values = material_values(device, materials, quantity, facets.cell, geometry.position)
        return values.reshape(len(facets.cell), -1)[:, 0]

    # Without friction a straight wall makes no vorticity.
    bend = np.abs(geometry.curvature).max(axis=(1, 2, 3))
    makes = (at_facets(wall.slip_rate) > 0) | (bend > 1e-6)
    return makes * geometry.height * device.extent / at_facets(_diffusion_length)


def _diffusion_length(material: Material) -> Any:
    length = material.vorticity_diffusion_length
    return np.inf if length is None else length


def warnings(
    device: Device,
    materials: Mapping[str, Material],
    boundaries: Mapping[str, Boundary],
    *,
    kinetic: bool = False,
) -> list[str]:
    """What makes the numbers of a hydrodynamic or kinetic flow less than they look."""
    harmed = "edge moments are" if kinetic else "the wall vorticity is"
    out = []
    for name, ratio in wall_resolution(device, materials, boundaries).items():
        if ratio > 1:
            out.append(
                f"wall '{name}': cells are up to {ratio:.2g} vorticity diffusion lengths high:"
                f" currents are good, {harmed} not; set a smaller mesh.wall_size"
            )
    knudsen = None if kinetic else knudsen_number(device, materials, boundaries)
    if knudsen is not None and knudsen > LARGE_KNUDSEN * (1 + 1e-9):
        out.append(
            f"Knudsen number {knudsen:.2g} (mean free path over mean width): the hydrodynamic"
            " model is an extrapolation above about 0.2"
        )
    return out


def doubts(device: Device, boundaries: Mapping[str, Boundary]) -> list[str]:
    """What is legal of a device and its contacts, but hardly meant."""
    out = []
    low, high = _SIZES
    if not low <= device.extent <= high:
        out.append(f"the device is {device.extent:.3g} m long; is geometry.length_unit right?")
    contacts = {name for name, law in boundaries.items() if isinstance(law, Contact)}
    pairs = [(name, law.to) for name, law in boundaries.items() if isinstance(law, Periodic)]
    separate = parts(device, pairs)
    if len(separate) > 1:
        bounds = " and ".join(repr(", ".join(sorted(part))) for part in separate)
        text = f"the conductor has {len(separate)} parts that do not touch, bounded by {bounds}"
        if any(len(contacts & part) == 1 for part in separate):
            text += "; no current flows where there is one contact only"
        out.append(text)
    elif len(contacts) == 1 and not pairs:
        (name,) = contacts
        out.append(f"'{name}' is the only contact: no current flows")
    return out


def leaks(flow: Flow) -> list[str]:
    """A current whose divergence, zero but for the mesh, is not small."""
    divergence = flow.evidence["divergence_relative"]
    if divergence < LEAK:
        return []
    return [
        f"the divergence of the current is {divergence:.2g} of the largest current density over the"
        " size of the device: smaller cells (mesh.size, mesh.wall_size) would conserve it better"
    ]
