"""What boundaries do with angular momentum."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from meso.errors import CaseError

#: A value of each component, or a function of positions (..., d) in m with values (..., n).
Values: TypeAlias = np.ndarray | Sequence[float] | Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Surface:
    """What a boundary does with angular momentum; by default nothing passes.

    Attributes:
        velocity: V, m/s, a number or shape (n, n): it takes V X.
        injected: Current density j that is fed in, J/m^2 (J/m for a sheet).
        density: X that is held, J s/m^3 (J s/m^2), NaN for components that are free. Zeros are a
            reservoir.
    """

    velocity: float | np.ndarray | None = None
    injected: Values | None = None
    density: Values | None = None

    @property
    def given(self) -> tuple[Values | None, Values | None]:
        """What it feeds in, and what it holds."""
        return self.injected, self.density

    def matrix(self, n: int) -> np.ndarray | None:
        """V with shape (n, n)."""
        if self.velocity is None:
            return None
        value = np.asarray(self.velocity, dtype=float)
        value = value * np.eye(n) if value.ndim == 0 else value
        if value.shape != (n, n) or not np.isfinite(value).all():
            text = f"found shape {value.shape}; must be {(n, n)} and finite"
            raise CaseError(("relaxation_velocity", text))
        return value


#: Nothing stays: X = 0 for any number of components.
RESERVOIR = Surface(density=np.zeros(1))


def evaluated(value: Values, x: np.ndarray, n: int) -> np.ndarray:
    """Values at positions (..., d), shape (..., n)."""
    found = np.asarray(value(x) if callable(value) else value, dtype=float)
    return np.broadcast_to(found, (*x.shape[:-1], n))
