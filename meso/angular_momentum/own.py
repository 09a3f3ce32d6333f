"""Terms that a user adds to the diffusion of angular momentum."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from meso.discrete.own_terms import OwnTerms, Quantity, Symbols, own_terms

if TYPE_CHECKING:
    from meso.angular_momentum.diffusion import Diffusion


@dataclass(frozen=True, slots=True, kw_only=True)
class DiffusionSymbols(Symbols):
    """What a term of angular-momentum diffusion may be made of, beside those of any model.

    ``material`` takes functions of the :class:`Transport` of a region.

    Attributes:
        omega: Potentials chi^-1 X of the components, a vector.
        v: Their test function.
    """

    omega: Any
    v: Any


def terms_of(diffusion: Diffusion) -> OwnTerms | None:
    """Added terms, unscaled but for lengths."""
    device, n = diffusion.device, len(diffusion.components)

    def symbols(common: dict[str, Any], trial: Any, test: Any) -> DiffusionSymbols:
        return DiffusionSymbols(omega=trial, v=test, **common)

    def sample(quantity: Quantity, cells: np.ndarray, positions: np.ndarray) -> np.ndarray:
        values = [float(quantity(diffusion.materials[name])) for name in device.regions]
        return np.array(values)[device.cell_region[cells]]

    unit = device.extent ** (2 - device.dimension)
    fields = [(diffusion.order, n, unit, 1.0)]
    return own_terms(device, fields, diffusion.terms, symbols, sample)


def scaled(diffusion: Diffusion, group: np.ndarray) -> OwnTerms | None:
    """Added terms of some components in scaled variables."""
    if diffusion.own is None:
        return None
    assert len(group) == len(diffusion.components)
    s = np.tile(diffusion.scale, diffusion.own.matrices.shape[1] // len(diffusion.scale))
    loads = None if diffusion.own.loads is None else diffusion.own.loads * s
    return replace(diffusion.own, matrices=diffusion.own.matrices * np.outer(s, s), loads=loads)
