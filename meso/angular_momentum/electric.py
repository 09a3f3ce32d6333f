"""The electric field that drives Hall currents: of a solved flow, uniform, or a function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from meso.device import Device
from meso.discrete.cells import cells_of
from meso.discrete.fields import gradient
from meso.errors import CaseError
from meso.flow.result import Flow


@dataclass(frozen=True, kw_only=True)
class Electric:
    """A field E in the cells of a device.

    Attributes:
        at: Cells and reference points (q, d) to E, V/m, shape (c, q, 3).
        active: Which of its components may differ from zero, shape (3,).
    """

    at: Callable[[np.ndarray, np.ndarray], np.ndarray]
    active: np.ndarray


def electric_field(device: Device, field: Any) -> Electric | None:
    """E = -grad phi of a solved flow, a uniform field, or a function of positions."""
    if field is None:
        return None
    if isinstance(field, Flow):
        voltage, d = field.fields["potential"], device.dimension

        def local(batch: np.ndarray, points: np.ndarray) -> np.ndarray:
            out = np.zeros((len(batch), len(points), 3))
            out[..., :d] = -gradient(voltage, points, batch)[..., 0]
            return out

        return Electric(at=local, active=np.arange(3) < d)
    if callable(field):

        def at(batch: np.ndarray, points: np.ndarray) -> np.ndarray:
            x = cells_of(device).positions(batch, points) * device.extent
            return np.asarray(field(x))

        return Electric(at=at, active=np.ones(3, dtype=bool))
    value = np.asarray(field, dtype=float)
    if value.shape != (3,):
        raise CaseError(("field", f"found shape {value.shape}; must be (3,), V/m"))
    return Electric(
        at=lambda batch, points: np.broadcast_to(value, (len(batch), len(points), 3)),
        active=value != 0,
    )
