"""Closed forms of the Boltzmann equation: the ribbon of K. Fuchs and E. H. Sondheimer, in 2D."""

from __future__ import annotations

from dataclasses import dataclass
from math import pi

import numpy as np

#: Half of the number of angles; the integrands are smooth but for grazing directions.
_ANGLES = 4000


@dataclass(frozen=True, slots=True, kw_only=True)
class KineticRibbon:
    """Infinite ribbon |y| < W/2 with a Fermi line and isotropic scattering.

    Attributes:
        width: W.
        mean_free_path: lambda, in the same unit.
        specularity: p of both walls.
    """

    width: float
    mean_free_path: float
    specularity: float = 0.0

    def current_density(self, y: np.ndarray) -> np.ndarray:
        """J/(sigma E) at positions across the ribbon."""
        sine, weight, lost = self._angles()
        y = np.asarray(y, dtype=float)[..., None]
        path = self.mean_free_path * sine
        decay = np.exp(-(self.width / 2 + y) / path) + np.exp(-(self.width / 2 - y) / path)
        return 1 - (weight * lost * decay).sum(axis=-1)

    @property
    def conductance(self) -> float:
        """Total current over sigma E W."""
        sine, weight, lost = self._angles()
        path = self.mean_free_path * sine
        mean = 2 * path / self.width * -np.expm1(-self.width / path)
        return float(1 - (weight * lost * mean).sum())

    def _angles(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Sin theta, cos^2 theta d theta/pi, and what the walls take away."""
        # theta = s^3 near grazing incidence, where the integrand is singular.
        nodes, weights = np.polynomial.legendre.leggauss(_ANGLES)
        s, w = (nodes + 1) / 2, weights / 2
        theta = pi / 2 * s**3
        weight = 2 * np.cos(theta) ** 2 * w * (pi / 2) * 3 * s**2 / pi
        sine = np.sin(theta)
        p = self.specularity
        back = np.exp(-self.width / (self.mean_free_path * sine))
        return sine, weight, (1 - p) / (1 - p * back)
