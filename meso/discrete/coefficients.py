"""What the flow models need to know of the materials, at places of a device.

Quantities of cells are constant in a cell unless a profile is an expression: they have one value
a cell, and the element matrices of straight cells come from tensors of the reference cell.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from meso.boundary import Wall
from meso.device import Device
from meso.discrete.cells import cells_of
from meso.materials.material import Material
from meso.mpi import largest, smallest, together

#: A quantity of a material, be it constant or at positions.
Quantity = Callable[[Any], Any]

#: Degree of the quadrature whose points a profile is checked at.
_CHECKED = 8


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

    def current(self, dimension: int) -> float:
        """A on a 3D mesh or in a 2D electron gas, A/m in a cut through a 3D material."""
        return self.current_density * self.length ** (dimension - 1)


class Coefficients:
    """Coefficients of the equations on a device, in scaled variables.

    At cells (c,) and scaled positions (c, q, d) in them, which are not needed where nothing varies:
    shape (c,) if nothing varies inside these cells, else (c, q). A profile that is not positive and
    finite in the conductor is a CaseError on all ranks.

    Attributes:
        varies: True for each local cell inside which a coefficient varies.
    """

    def __init__(self, device: Device, materials: Mapping[str, Material], scales: Scales) -> None:
        self.device, self.materials, self.scales = device, materials, scales
        if any(material.varies for material in materials.values()):
            _samples(device, materials, _conductivity)  # checks all profiles
        varies = np.array([materials[n].varies_in_cells for n in device.regions], dtype=bool)
        self.varies: np.ndarray = varies[device.cell_region]

    def places(self, cells: np.ndarray, points: np.ndarray) -> np.ndarray | None:
        """Scaled positions of reference points in cells, None if nothing varies inside these."""
        if not self.varies[cells].any():
            return None
        return cells_of(self.device).positions(cells, points)

    def evaluate(
        self, quantity: Quantity, cells: np.ndarray, positions: np.ndarray | None = None
    ) -> np.ndarray:
        """A quantity of the materials in SI."""
        return material_values(self.device, self.materials, quantity, cells, positions)

    def conductivity(self, cells: np.ndarray, positions: np.ndarray | None = None) -> np.ndarray:
        """Conductivity sigma."""
        return self.evaluate(_conductivity, cells, positions) / self.scales.conductivity

    def relaxation(self, cells: np.ndarray, positions: np.ndarray | None = None) -> np.ndarray:
        """Relaxation 1/sigma."""
        return self.scales.conductivity / self.evaluate(_conductivity, cells, positions)

    def stress(self, cells: np.ndarray, positions: np.ndarray | None = None) -> np.ndarray:
        """Stress l^2/sigma."""
        unit = self.scales.length**2 / self.scales.conductivity
        return self.evaluate(_viscosity, cells, positions) / unit

    def slip_rate(
        self, wall: Wall, cells: np.ndarray, positions: np.ndarray | None = None
    ) -> np.ndarray:
        """Slip rate of a wall, inf where nothing slips."""
        return self.scales.length * self.evaluate(wall.slip_rate, cells, positions)

    def contact_step(self, cells: np.ndarray, positions: np.ndarray | None = None) -> np.ndarray:
        """Potential step of a reservoir over J_n/sigma."""
        return self.evaluate(lambda m: m.contact_step, cells, positions) / self.scales.length


class KineticCoefficients(Coefficients):
    """The same for odd moments, whose stress has the coefficient lambda^2/sigma."""

    def path(self, cells: np.ndarray, positions: np.ndarray | None = None) -> np.ndarray:
        """Mean free path."""
        return self.evaluate(lambda m: m.mean_free_path, cells, positions) / self.scales.length

    def stress(self, cells: np.ndarray, positions: np.ndarray | None = None) -> np.ndarray:
        """lambda^2/sigma."""
        unit = self.scales.length**2 / self.scales.conductivity
        square = self.evaluate(lambda m: m.mean_free_path**2 / m.conductivity, cells, positions)
        return square / unit

    def viscosity(self, cells: np.ndarray, positions: np.ndarray | None = None) -> np.ndarray:
        """l^2/sigma, of two harmonics."""
        return super().stress(cells, positions)


def material_values(
    device: Device,
    materials: Mapping[str, Material],
    quantity: Quantity,
    cells: np.ndarray,
    positions: np.ndarray | None = None,
) -> np.ndarray:
    """A quantity of the materials of regions in SI, at places as of :class:`Coefficients`.

    A profile that is not positive and finite is a CaseError on this rank.
    """
    region = device.cell_region[cells]
    found = np.flatnonzero(np.bincount(region, minlength=len(device.regions)))
    here = {index: materials[device.regions[index]] for index in found.tolist()}
    if not any(material.varies for material in here.values()):
        constant = np.zeros(len(device.regions))
        constant[found] = [quantity(material) for material in here.values()]
        return constant[region]
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
            out[own] = quantity(material.local(places, cells[own], device.cell_data))
        else:
            out[own] = quantity(material)
    return out


def extremes(
    device: Device, materials: Mapping[str, Material], quantity: Quantity
) -> tuple[float, float]:
    """Smallest and largest value of a quantity of some regions, over all ranks.

    A profile that is not positive and finite in the conductor is a CaseError on all ranks.
    """
    found = _samples(device, materials, quantity)
    low, high = found.min(initial=np.inf), found.max(initial=-np.inf)
    return smallest(device.comm, low), largest(device.comm, high)


def conductivity_scale(
    device: Device, materials: Mapping[str, Material], *, viscous: bool
) -> float:
    """Conductivity that scaled currents stay near one with.

    If ``viscous`` it counts that viscous flow carries less where l exceeds the device.
    """

    def carried(material: Any) -> Any:
        length = material.vorticity_diffusion_length if viscous else None
        ratio = 0.0 if length is None else length / device.extent
        return material.conductivity / np.maximum(1.0, np.square(ratio))

    return extremes(device, materials, carried)[1]


def _conductivity(material: Material) -> Any:
    return material.conductivity


def _viscosity(material: Any) -> Any:
    return material.vorticity_diffusion_length**2 / material.conductivity


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
                local = material.local(at * device.extent, here, device.cell_data)
                found.append(np.ravel(quantity(local)))
        return np.concatenate(found)

    return together(device.comm, sample)
