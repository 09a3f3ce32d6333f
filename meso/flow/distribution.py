"""The distribution h(theta) of a kinetic flow, at points of the device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from meso.device import Device
from meso.discrete.coefficients import Quantity, material_values
from meso.discrete.fields import Field, gradient
from meso.discrete.sampling import locate
from meso.errors import CaseError
from meso.flow.basis import Basis
from meso.materials.material import Material
from meso.mpi import total


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Distribution:
    """All harmonics of a solution: odd ones, potential, and even ones from derivatives.

    Attributes:
        basis: The functions of the directions.
        odd: The odd moments u_m = unit (sigma/lambda) h_m, A/m or A/m^2.
        potential: h_0, V.
        materials: Material of each region, by name.
        turning: lambda/R_c of each region.
    """

    basis: Basis
    odd: Field
    potential: Field
    materials: Mapping[str, Material]
    turning: tuple[float, ...]

    @property
    def harmonics(self) -> int:
        """N."""
        return self.basis.harmonics

    def table(self, point: np.ndarray, count: int = 361) -> dict[str, np.ndarray]:
        """H over all directions of motion at one point, the same on every rank.

        Args:
            point: Coordinates, m, shape (d,).
            count: Number of directions, the first and the last are the same; in 3D a tenth of it
                are polar angles, and as many azimuths.

        Returns:
            Columns that tell the directions, such as "theta_rad", and "h_V", the electrochemical
            potential of the carriers that move along them.

        Raises:
            CaseError: The point lies outside the device.
        """
        device: Device = self.odd.device
        columns, odd, even = self.basis.table(count)
        cell, reference = locate(device, point[None])
        found = np.zeros((2, odd.shape[1]))
        if cell[0] >= 0:
            place = point[None, None] / device.extent
            mean, h_odd, h_even = self._coefficients(cell, reference, place)
            found[0] = mean + h_odd @ odd + h_even @ even
            found[1] = 1.0
        h, ranks = np.asarray(total(device.comm, found))
        if not ranks[0]:
            raise CaseError(("output.distributions", f"{point} m lies outside the device"))
        return {**columns, "h_V": h / ranks}

    def _coefficients(
        self, cell: np.ndarray, point: np.ndarray, place: np.ndarray
    ) -> tuple[float, np.ndarray, np.ndarray]:
        """Mean, odd and even coefficients of h in V, in one cell.

        At a point of the reference cell and its scaled position.
        """

        def here(quantity: Quantity) -> float:
            return float(
                np.ravel(material_values(device, self.materials, quantity, cell, place))[0]
            )

        device, region = self.odd.device, int(self.odd.device.cell_region[cell[0]])
        material = self.materials[device.regions[region]]
        path = here(lambda m: m.mean_free_path)
        scale = path / here(lambda m: m.conductivity) / self.basis.unit
        slope = scale * path * gradient(self.odd, point, cell)[0, 0]
        even = self.basis.even_part(slope, material, self.turning[region])
        return self.potential.at(cell, point)[0, 0], scale * self.odd.at(cell, point)[0], even
