"""Closed forms of the Boltzmann equation: the film of K. Fuchs and E. H. Sondheimer, also in 2D."""

from __future__ import annotations

from dataclasses import dataclass
from math import pi

import numpy as np

__all__ = ["KineticFilm", "KineticRibbon"]

#: With sin(theta) = 1/cosh(t) the integrands are analytic for |Im t| < pi/2 and fall as exp(-|t|):
#: the trapezoidal rule errs by exp(-pi^2/step), here far below rounding.
_STEP, _LAST = 0.125, 40.0


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
        cosh, weight = self._directions()
        y = np.asarray(y, dtype=float)[..., None]
        far, near = (self.width / 2 + y) * cosh, (self.width / 2 - y) * cosh
        path = self.mean_free_path
        return 1 - (weight * (np.exp(-far / path) + np.exp(-near / path))).sum(axis=-1)

    @property
    def conductance(self) -> float:
        """Total current over sigma E W."""
        cosh, weight = self._directions()
        path = self.mean_free_path / (self.width * cosh)
        return float(1 - (weight * 2 * path * -np.expm1(-1 / path)).sum())

    @property
    def edge_step(self) -> float:
        """(J_centre - J_wall)/(sigma E): the edge moment per length over kappa sigma E."""
        centre, wall = self.current_density(np.array([0.0, self.width / 2]))
        return float(centre - wall)

    def _directions(self) -> tuple[np.ndarray, np.ndarray]:
        """1/sin(theta), and cos^2(theta) d theta/pi times what the walls take away."""
        t = np.arange(-_LAST, _LAST + _STEP / 2, _STEP)
        cosh, p = np.cosh(t), self.specularity
        back = np.exp(-self.width / self.mean_free_path * cosh)
        return cosh, _STEP / pi * np.tanh(t) ** 2 / cosh * (1 - p) / (1 - p * back)


@dataclass(frozen=True, slots=True, kw_only=True)
class KineticFilm(KineticRibbon):
    """The same of a film |y| < W/2 with a Fermi sphere (K. Fuchs 1938)."""

    def _directions(self) -> tuple[np.ndarray, np.ndarray]:
        """1/mu, and 3 (1 - mu^2) d mu/4 times what the walls take away; mu = |v_y|."""
        # mu = 1/(1 + exp(-t)): analytic for |Im t| < pi/2 as well.
        t = np.arange(-_LAST, _LAST + _STEP / 2, _STEP)
        inverse, p = 1 + np.exp(-t), self.specularity
        mu, rest = 1 / inverse, 1 / (1 + np.exp(t))
        back = np.exp(-self.width / self.mean_free_path * inverse)
        weight = _STEP * 0.75 * rest**2 * mu * (1 + mu) * (1 - p) / (1 - p * back)
        return inverse, weight
