"""Plane vectors."""

from __future__ import annotations

import numpy as np


def cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Component z of a x b, for vectors in the last axis of length 2."""
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
