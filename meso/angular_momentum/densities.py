"""Solved densities of angular momentum, and what boundaries absorb of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from meso.device import Device
from meso.discrete.fields import Field, cellwise
from meso.discrete.sampling import sample


@dataclass(frozen=True, kw_only=True, eq=False)
class Densities:
    """Solved densities.

    Attributes:
        device: The device.
        components: Names of the components, "spin_x" ... "orbital_z".
        order: Polynomial degree.
        unit: Of the densities, as in column names.
        omega: Chemical potential at the nodes of each cell, shape (c, nodes, n).
        density: X there, shape (c, nodes, n).
        outflow: By boundary: what leaves the conductor there less what is fed in, by component,
            J (J/m without thickness), shape (n,). On a magnet this is the torque.
        injected: By boundary: what is fed in, shape (n,).
        relaxed: What relaxes inside, the integral of T X, shape (n,).
        imbalance: Sum of all of these over their size, by component: rounding.
        warnings: What the criteria of `wellposed` leave open.
        evidence: How it was solved.
        adjoint: Derivatives (:mod:`meso.angular_momentum.adjoint`), where they were asked for.
    """

    device: Device
    components: tuple[str, ...]
    order: int
    unit: str
    omega: np.ndarray
    density: np.ndarray
    outflow: Mapping[str, np.ndarray]
    injected: Mapping[str, np.ndarray]
    relaxed: np.ndarray
    imbalance: np.ndarray
    warnings: tuple[str, ...] = ()
    evidence: dict[str, Any] = field(default_factory=dict)
    adjoint: Any = None

    def field(self, component: str) -> Field:
        """The density of a component, "spin_density_z" or "orbital_diffusive_density_z"."""
        channel, axis = component.rsplit("_", 1)
        kind = {"orbital": "orbital_diffusive_density"}.get(channel, f"{channel}_density")
        values = self.density[:, :, self.components.index(component)]
        return cellwise(f"{kind}_{axis}", self.unit, self.device, self.order, values)

    @property
    def together(self) -> Field:
        """All of them as one field of so many components."""
        return cellwise("densities", self.unit, self.device, self.order, self.density)

    def sample(self, points: Any) -> dict[str, np.ndarray]:
        """Densities at points, the same on every rank.

        Args:
            points: Coordinates in metres, shape (m, d).

        Returns:
            By name of the field ("spin_density_z"): shape (m,), SI, NaN outside the device.
        """
        return sample(self.device, [self.field(name) for name in self.components], points)

    @property
    def potential(self) -> Field:
        """The chemical potential omega of all components."""
        name, unit = "angular_momentum_potential", "rad_per_s"
        return cellwise(name, unit, self.device, self.order, self.omega)
