"""A force in the volume beside the terminals, which users have no way to give."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from meso.discrete.cells import cells_of
from meso.flow.even import EvenParity

Force = Callable[[np.ndarray], np.ndarray]


class Forced(EvenParity):
    """Even harmonics with a force F(x), (..., 2), scaled: one more side, the last.

    With C_o h_o = F.p - X^T grad h_e it acts as a gradient of the isotropic moment.
    """

    def __init__(self, flow: Any, harmonics: int, force: Force, **given: Any) -> None:
        super().__init__(flow, harmonics, **given)
        self.force = force

    def data(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        load, given, constant = super().data()
        own, energy = np.zeros((self.space.nodes, self.count)), 0.0
        cells = cells_of(self.device)
        points, weights = cells.quadrature(2 * self.space.degree + 6)
        for kind, member in enumerate(self.members):
            here = np.flatnonzero(self.kinds[self.device.cell_region] == kind)
            x = cells.positions(here, points)
            slope, determinant = cells.gradients(here, points, self.space.gradients(points))
            sigma = self.coefficients.conductivity(here, x).reshape(len(here), -1)
            weight, force, pull = 2 * sigma * weights * determinant, self.force(x), member.stress
            part = np.einsum(
                "cq,cqip,cqj,ija->cpa", weight, slope, force, pull[..., 0], optimize=True
            )
            np.add.at(own, self.space.dofs[here], part)
            energy += np.einsum("cq,cqi,cqj,ij->", weight, force, force, pull[..., 0, 0])
        return (
            np.concatenate([load, own[None]]),
            np.concatenate([given, np.zeros_like(own)[None]]),
            np.append(constant, energy),
        )
