"""Derivatives in coefficients that vary in space: place by place, and through the shape.

A coefficient c(x) of a material that is an expression changes by V.grad c where a place moves by V.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from meso.device import Device
from meso.discrete.cells import cells_of
from meso.discrete.motion import Nodes
from meso.materials.material import Material
from meso.sensitivities import Places, Sensitivity

#: Step of differences of expressions, over the size of the device.
_STEP = 1e-5
#: Coefficients by name, of a material at positions.
Of = Callable[[Any], Mapping[str, Any]]


@dataclass(slots=True)
class Placed:
    """Collects them.

    Attributes:
        device: The device.
        materials: Of its regions.
        places: What was found.
        nodes: And what it is in the nodes of the mesh.
    """

    device: Device
    materials: Mapping[str, Material]
    places: list[Places] = field(default_factory=list)
    nodes: Nodes = field(init=False)

    def __post_init__(self) -> None:
        self.nodes = Nodes(self.device)

    def constant(
        self,
        found: Mapping[str, np.ndarray],
        of: Of,
        *,
        cells: np.ndarray,
        points: np.ndarray,
        boundary: str = "",
    ) -> dict[str, np.ndarray]:
        """Keep derivatives where a material varies, (c, q); sums of the rest, zero there, (c,).

        Args:
            found: By coefficient.
            of: The coefficients of a material.
            cells: In which they are, (c,).
            points: Reference points, (q, d), the same in all cells; of any number where q is one.
            boundary: Whose coefficients they are.
        """
        out = {name: values.sum(axis=1) for name, values in found.items()}
        for index, region in enumerate(self.device.regions):
            own = np.flatnonzero(self.device.cell_region[cells] == index)
            material = self.materials[region]
            if not material.varies or not len(own):
                continue
            for name, values in found.items():
                out[name][own] = 0.0
                self._keep(name, boundary, cells[own], points[: values.shape[1]], values[own])
            if material.varies_in_cells:
                some = {name: values[own] for name, values in found.items()}
                self._move(material, some, of, cells[own], points)
        return out

    def sensitivity(self) -> Sensitivity:
        """All of it; all ranks call this."""
        return Sensitivity(places=tuple(self.places), nodes=self.nodes.owned)

    def _keep(
        self, name: str, boundary: str, cells: np.ndarray, points: np.ndarray, values: np.ndarray
    ) -> None:
        at = cells_of(self.device).positions(cells, points) * self.device.extent
        self.places.append(
            Places(name=name, boundary=boundary, cells=cells, positions=at, values=values)
        )

    def _move(
        self,
        material: Material,
        found: Mapping[str, np.ndarray],
        of: Of,
        cells: np.ndarray,
        points: np.ndarray,
    ) -> None:
        """What coefficients change by where their places move."""
        geometry, extent, data = cells_of(self.device), self.device.extent, self.device.cell_data
        at = geometry.positions(cells, points) * extent
        slope = np.zeros(at.shape)
        for axis, unit in enumerate(np.eye(at.shape[2])):
            ends = [
                of(material.local(at + sign * _STEP * extent * unit, cells, data, checked=False))
                for sign in (1.0, -1.0)
            ]
            for name, values in found.items():
                change = np.asarray(ends[0].get(name, 0.0)) - ends[1].get(name, 0.0)
                slope[..., axis] += values * change / (2 * _STEP)
        table = geometry.element.tabulate(0, points)[0, :, :, 0]
        self.nodes.add(cells, np.asarray(table.T @ slope))
