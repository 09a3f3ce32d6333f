"""Tensors of a crystal: how case files write them, and how they turn with its axes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np

from meso.errors import CaseError
from meso.units import factor, quantity

#: The antisymmetric unit tensor, shape (3, 3, 3).
LEVI_CIVITA = np.array(
    [[[(i - j) * (j - k) * (k - i) / 2 for k in range(3)] for j in range(3)] for i in range(3)]
)


def rotation(axis: Sequence[float], angle: float) -> np.ndarray:
    """Proper rotation about an axis by an angle in radians, shape (3, 3)."""
    n = np.asarray(axis, dtype=float)
    length = np.linalg.norm(n)
    if n.shape != (3,) or not length > 0:
        raise CaseError(("axis", f"found {axis!r}; must be three numbers, not all zero"))
    from scipy.spatial.transform import Rotation  # takes long to load

    return np.asarray(Rotation.from_rotvec(angle * n / length).as_matrix())


def rotated(block: np.ndarray, turn: np.ndarray) -> np.ndarray:
    """A block with all its indices turned by a proper rotation."""
    if np.shape(turn) != (3, 3) or not np.allclose(turn @ turn.T, np.eye(3), atol=1e-9):
        raise CaseError(("orientation", "must be a rotation matrix, (3, 3) and orthogonal"))
    if np.linalg.det(turn) < 0:
        raise CaseError(("orientation", "must be a proper rotation, with determinant +1"))
    for axis in range(block.ndim):
        block = np.moveaxis(np.tensordot(turn, block, (1, axis)), 0, axis)
    return block


@dataclass(frozen=True, slots=True, kw_only=True)
class Orientation:
    """Rotation of a crystal: about an axis by an angle in degrees."""

    angle: float
    axis: tuple[float, float, float] = (0.0, 0.0, 1.0)

    def __post_init__(self) -> None:
        if not isfinite(self.angle) or not any(self.axis):
            raise CaseError("angle must be finite, and axis not zero")

    @property
    def matrix(self) -> np.ndarray:
        """From the axes of the crystal to those of the device, shape (3, 3)."""
        return rotation(self.axis, np.deg2rad(self.angle))


def read_tensor(value: object, units: tuple[str, ...], shapes: tuple[tuple[int, ...], ...]) -> Any:
    """A number in SI, or a tensor { tensor = [...], unit = "..." } as nested tuples."""
    if not isinstance(value, Mapping):
        return quantity(value, *units)
    if set(value) != {"tensor", "unit"}:
        found = ", ".join(map(str, value)) or "nothing"
        raise CaseError(f'found a table with {found}; a tensor needs tensor = [...] and unit = "…"')
    scale = factor(value["unit"], *units)
    array = as_tensor(value["tensor"], *shapes)
    return nested(array * scale)


def as_tensor(value: object, *shapes: tuple[int, ...]) -> np.ndarray:
    """Nested lists of finite numbers as an array of one of some shapes."""
    try:
        array = np.asarray(value, dtype=float)
    except (TypeError, ValueError):
        raise CaseError("the rows of the tensor differ in length, or are not numbers") from None
    if array.shape not in shapes:
        wanted = " or ".join(" × ".join(map(str, shape)) for shape in shapes)
        raise CaseError(f"found a tensor of shape {array.shape}; must be {wanted}")
    if not np.isfinite(array).all():
        raise CaseError("found entries that are not finite")
    return array


def nested(array: np.ndarray) -> Any:
    """An array as nested tuples, which can be compared and hashed."""
    return float(array) if array.ndim == 0 else tuple(nested(part) for part in array)
