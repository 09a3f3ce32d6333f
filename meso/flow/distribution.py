"""The distribution h(theta) of a kinetic flow, at points of the device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from meso.device import Device
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

    def at(
        self, cells: np.ndarray, points: np.ndarray, angles: np.ndarray, positions: np.ndarray
    ) -> np.ndarray:
        """h(theta) in volts, local cells (m,), reference points (m, 2), angles (k,).

        Args:
            cells: Local cells, shape (m,).
            points: Reference point in each, shape (m, 2).
            angles: Directions of motion, rad, shape (k,).
            positions: Coordinates, m, shape (m, 2).

        Returns:
            Shape (m, k): the electrochemical potential of the carriers that move along theta.
        """
        device: Device = self.odd.device
        odd, even = range(1, self.harmonics, 2), range(2, self.harmonics + 1, 2)
        coupling = streaming(odd, even)
        out = np.empty((len(cells), len(angles)))
        for i, (cell, point, place) in enumerate(zip(cells, points, positions, strict=True)):
            region = int(device.cell_region[cell])
            material = self.materials[device.regions[region]]
            if material.varies:
                local = material.local(place[None], np.array([cell]), device.cell_data)
                sigma, path = float(local.conductivity[0]), float(np.ravel(local.mean_free_path)[0])  # type: ignore[arg-type]
            else:
                sigma, path = (
                    float(material.conductivity),  # type: ignore[arg-type]
                    float(material.mean_free_path),  # type: ignore[arg-type]
                )
            rates = [float(np.ravel(material.rate(m))[0]) for m in range(self.harmonics + 1)]
            scale = path / sigma / np.sqrt(2)
            one = np.array([cell])
            h_odd = scale * self.odd.at(one, point[None])[0]
            slope = scale * gradient(self.odd, point[None], one)[0, 0]
            moved = path * np.einsum("iab,ia->b", coupling, slope)
            h_even = -np.linalg.solve(collisions(even, rates, self.turning[region]), moved)
            out[i] = self.potential.at(one, point[None])[0, 0]
            out[i] += h_odd @ harmonics(odd, angles) + h_even @ harmonics(even, angles)
        return out

    def table(self, point: np.ndarray, count: int = 361) -> dict[str, np.ndarray]:
        """H over all directions at one point, the same on every rank.

        Args:
            point: Coordinates, m, shape (2,).
            count: Number of directions, the first and the last are the same.

        Returns:
            Columns "theta_rad" and "h_V".

        Raises:
            CaseError: The point lies outside the device.
        """
        device: Device = self.odd.device
        angles = 2 * np.pi * np.arange(count) / (count - 1)
        cell, reference = locate(device, point[None])
        mine = cell >= 0
        found = np.zeros((2, count))
        if mine[0]:
            found[0] = self.at(cell, reference, angles, point[None])[0]
            found[1] = 1.0
        h, ranks = np.asarray(total(device.comm, found))
        if not ranks[0]:
            raise CaseError(("output.distributions", f"{point} m lies outside the device"))
        return {"theta_rad": angles, "h_V": h / ranks}
