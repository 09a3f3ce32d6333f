"""What the flow models need to know of the materials, at places of a device.

Quantities of cells are constant in a cell unless a profile is an expression: they have one value
a cell, and the element matrices of straight cells come from tensors of the reference cell.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from meso.boundary import Wall
from meso.device import Device
from meso.discrete.cells import cells_of
from meso.materials.material import Material
from meso.mpi import largest, smallest, together

if TYPE_CHECKING:
    from meso.flow.result import Scales

#: A quantity of a material, be it constant or at positions.
Quantity = Callable[[Any], Any]

#: Points along a side of the box in which a profile is sampled before there is a mesh.
_SAMPLES = {2: 129, 3: 33}
#: Degree of the quadrature whose points a profile is checked at.
_CHECKED = 8


class Coefficients:
    """Coefficients of the equations on a device, in scaled variables.

    Args:
        device: the device.
        materials: material of each region, by name.
        scales: units of lengths and conductivity.

    Attributes:
        varies: True for each local cell inside which a coefficient varies.

    Raises:
        CaseError: a profile that is not positive and finite in the conductor, on all ranks.
    """

    def __init__(self, device: Device, materials: Mapping[str, Material], scales: Scales) -> None:
        self.device, self.materials, self.scales = device, materials, scales
        _samples(device, materials, _conductivity)  # checks all profiles
        varies = np.array([materials[n].varies_in_cells for n in device.regions], dtype=bool)
        self.varies: np.ndarray = varies[device.cell_region]

    def evaluate(
        self, quantity: Quantity, cells: np.ndarray, positions: np.ndarray | None = None
    ) -> np.ndarray:
        """A quantity of the materials in SI; arguments and shape as of `material_values`."""
        return material_values(self.device, self.materials, quantity, cells, positions)

    def conductivity(self, cells: np.ndarray, positions: np.ndarray | None = None) -> np.ndarray:
        """Conductivity; arguments and shape as of `evaluate`."""
        return self.evaluate(_conductivity, cells, positions) / self.scales.conductivity

    def relaxation(self, cells: np.ndarray, positions: np.ndarray | None = None) -> np.ndarray:
        """Relaxation 1/sigma; arguments and shape as of `evaluate`."""
        return self.scales.conductivity / self.evaluate(_conductivity, cells, positions)

    def stress(self, cells: np.ndarray, positions: np.ndarray | None = None) -> np.ndarray:
        """Stress l^2/sigma; arguments and shape as of `evaluate`."""
        factor = self.scales.conductivity / self.scales.length**2
        return factor * self.evaluate(
            lambda m: m.vorticity_diffusion_length**2 / m.conductivity,  # type: ignore[operator]
            cells,
            positions,
        )

    def slip_rate(
        self, wall: Wall, cells: np.ndarray, positions: np.ndarray | None = None
    ) -> np.ndarray:
        """Slip rate of a wall, inf where nothing slips; arguments and shape as of `evaluate`."""
        return self.scales.length * self.evaluate(wall.slip_rate, cells, positions)

    def contact_step(self, cells: np.ndarray, positions: np.ndarray | None = None) -> np.ndarray:
        """Potential step of a reservoir over J_n/sigma; arguments and shape as of `evaluate`."""
        return self.evaluate(lambda m: m.contact_step, cells, positions) / self.scales.length


class KineticCoefficients(Coefficients):
    """The same for odd moments, whose stress has the coefficient lambda^2/sigma."""

    def path(self, cells: np.ndarray, positions: np.ndarray | None = None) -> np.ndarray:
        """Mean free path; arguments and shape as of `evaluate`."""
        return self.evaluate(lambda m: m.mean_free_path, cells, positions) / self.scales.length

    def stress(self, cells: np.ndarray, positions: np.ndarray | None = None) -> np.ndarray:
        """lambda^2/sigma; arguments and shape as of `evaluate`."""
        factor = self.scales.conductivity / self.scales.length**2
        return factor * self.evaluate(
            lambda m: m.mean_free_path**2 / m.conductivity, cells, positions
        )

    def viscosity(self, cells: np.ndarray, positions: np.ndarray | None = None) -> np.ndarray:
        """l^2/sigma, of two harmonics; arguments and shape as of `evaluate`."""
        return super().stress(cells, positions)


def material_values(
    device: Device,
    materials: Mapping[str, Material],
    quantity: Quantity,
    cells: np.ndarray,
    positions: np.ndarray | None = None,
) -> np.ndarray:
    """A quantity of the materials at places of a device, in SI.

    Args:
        device: the device.
        materials: material of each region, by name.
        quantity: function of a material.
        cells: local cells, shape (c,).
        positions: in each of them, over `Device.extent`, shape (c, q, d); not needed where
            nothing varies inside the cells.

    Returns:
        Shape (c,) if nothing varies inside these cells, else (c, q).

    Raises:
        CaseError: a profile that is not positive and finite, on this rank.
    """
    region = device.cell_region[cells]
    here = {index: materials[device.regions[index]] for index in np.unique(region)}
    inside = any(material.varies_in_cells for material in here.values())
    if positions is None:
        if inside:
            raise ValueError("positions are needed where materials vary inside the cells")
        positions = cells_of(device).nodes[cells, :1]
    at = positions * device.extent
    out = np.empty(at.shape[:2] if inside else len(cells))
    for index, material in here.items():
        own = region == index
        if material.varies:
            places = at[own] if inside else at[own, 0]
            out[own] = quantity(material.local(places, cells[own], _cell_data(device)))
        else:
            out[own] = quantity(material)
    return out


def extremes(
    device: Device, materials: Mapping[str, Material], quantity: Quantity
) -> tuple[float, float]:
    """Smallest and largest value of a quantity on a device, over all ranks.

    Args:
        device: the device.
        materials: material of each region that counts, by name.
        quantity: function of a material.

    Raises:
        CaseError: a profile that is not positive and finite in the conductor, on all ranks.
    """
    found = _samples(device, materials, quantity)
    low, high = found.min(initial=np.inf), found.max(initial=-np.inf)
    return smallest(device.comm, low), largest(device.comm, high)


def conductivity_scale(
    device: Device, materials: Mapping[str, Material], *, viscous: bool
) -> float:
    """Conductivity that scaled currents stay near one with.

    Args:
        device: the device.
        materials: material of each region, by name.
        viscous: True to count that viscous flow carries less where l exceeds the device.
    """

    def carried(material: Any) -> Any:
        length = material.vorticity_diffusion_length if viscous else None
        ratio = 0.0 if length is None else length / device.extent
        return material.conductivity / np.maximum(1.0, np.square(ratio))

    return extremes(device, materials, carried)[1]


def shortest_diffusion_length(
    material: Material, low: np.ndarray, high: np.ndarray
) -> float | None:
    """Shortest vorticity diffusion length in a box, for sizes before there is a mesh.

    Args:
        material: the material; where its profiles are not positive and finite in the box there
            is no conductor, or there will be an error once there is a mesh.
        low: lower corner, m, shape (d,).
        high: upper corner, m.

    Returns:
        The length in m, or None if there is none or it is data of a mesh.
    """
    profiles = material.profiles
    if not {"mean_free_path", "vorticity_diffusion_length"} & profiles.keys():
        return material.vorticity_diffusion_length  # type: ignore[return-value]
    if any(profile.data is not None for profile in profiles.values()):
        return None
    count = _SAMPLES[len(low)]
    axes = [np.linspace(a, b, count) for a, b in zip(low, high, strict=True)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    length = material.local(grid, checked=False).vorticity_diffusion_length
    assert length is not None
    length = length[np.isfinite(length) & (length > 0)]
    return float(length.min()) if length.size else None


def _conductivity(material: Material) -> Any:
    return material.conductivity


def _samples(device: Device, materials: Mapping[str, Material], quantity: Quantity) -> np.ndarray:
    """A quantity at many places of this rank's cells; errors on one rank are errors on all."""

    def sample() -> np.ndarray:
        cells = cells_of(device)
        points, _ = cells.quadrature(_CHECKED)
        found = [np.empty(0)]
        for index, name in enumerate(device.regions):
            if name not in materials:
                continue
            material = materials[name]
            here = np.flatnonzero(device.cell_region == index)
            if not material.varies:
                found.append(np.ravel(quantity(material)))
            elif len(here):
                at = np.concatenate([cells.nodes[here], cells.positions(here, points)], axis=1)
                local = material.local(at * device.extent, here, _cell_data(device))
                found.append(np.ravel(quantity(local)))
        return np.concatenate(found)

    return together(device.comm, sample)


def _cell_data(device: Device) -> Mapping[str, np.ndarray]:
    return getattr(device, "cell_data", {})
