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
from meso.flow.angular import collisions, harmonics, streaming
from meso.materials.material import Material
from meso.mpi import total


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Distribution:
    """All harmonics of a solution: odd ones, potential, and even ones from derivatives.

    Attributes:
        harmonics: N.
        odd: The odd moments u_m = sqrt(2) (sigma/lambda) h_m, A/m, cosine and sine by turns.
        potential: h_0, V.
        materials: Material of each region, by name.
        turning: lambda/R_c of each region.
    """

    harmonics: int
    odd: Field
    potential: Field
    materials: Mapping[str, Material]
    turning: tuple[float, ...]

    def table(self, point: np.ndarray, count: int = 361) -> dict[str, np.ndarray]:
        """H over all directions of motion at one point, the same on every rank.

        Args:
            point: Coordinates, m, shape (2,).
            count: Number of directions, the first and the last are the same.

        Returns:
            Columns "theta_rad" and "h_V", the electrochemical potential of the carriers that move
            along theta.

        Raises:
            CaseError: The point lies outside the device.
        """
        device: Device = self.odd.device
        angles = 2 * np.pi * np.arange(count) / (count - 1)
        cell, reference = locate(device, point[None])
        found = np.zeros((2, count))
        if cell[0] >= 0:
            found[0] = self._along(angles, cell, reference, point[None, None] / device.extent)
            found[1] = 1.0
        h, ranks = np.asarray(total(device.comm, found))
        if not ranks[0]:
            raise CaseError(("output.distributions", f"{point} m lies outside the device"))
        return {"theta_rad": angles, "h_V": h / ranks}

    def _along(
        self, angles: np.ndarray, cell: np.ndarray, point: np.ndarray, place: np.ndarray
    ) -> np.ndarray:
        """h(theta) in V in one cell, at a point of the reference cell and its scaled position."""

        def here(quantity: Quantity) -> float:
            return float(
                np.ravel(material_values(device, self.materials, quantity, cell, place))[0]
            )

        device, orders = self.odd.device, range(self.harmonics + 1)
        odd, even, region = orders[1::2], orders[2::2], int(device.cell_region[cell[0]])
        material = self.materials[device.regions[region]]
        rates = [float(np.ravel(material.rate(m))[0]) for m in orders]
        path = here(lambda m: m.mean_free_path)
        scale = path / here(lambda m: m.conductivity) / np.sqrt(2)
        slope = scale * gradient(self.odd, point, cell)[0, 0]
        moved = path * np.tensordot(slope, streaming(odd, even), ((0, 1), (0, 1)))
        h_odd = scale * self.odd.at(cell, point)[0]
        h_even = -np.linalg.solve(collisions(even, rates, self.turning[region]), moved)
        waves = h_odd @ harmonics(odd, angles) + h_even @ harmonics(even, angles)
        return np.asarray(self.potential.at(cell, point)[0, 0] + waves)
