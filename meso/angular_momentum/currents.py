"""Currents that follow from two potentials, and derivatives of sums of their values.

J_k = Theta^{ia}_k d_i omega_a - sigma d_k phi
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from meso.angular_momentum.variation import Variation
from meso.discrete.cells import Lagrange, cells_of
from meso.discrete.motion import from_cells

if TYPE_CHECKING:
    from meso.angular_momentum.diffusion import Diffusion


class Current:
    """J at the nodes of cells of a space.

    Args:
        problem: The diffusion, with the Hall conductivities Theta.
        nodes: The space of J.
        sigma: Conductivity of each region, (r,); None to leave phi out.
    """

    def __init__(
        self, problem: Diffusion, nodes: Lagrange, sigma: np.ndarray | None = None
    ) -> None:
        self.problem, self.device, self.cells = problem, problem.device, cells_of(problem.device)
        self.points, d = nodes.points, problem.device.dimension
        self._table = problem.space.gradients(self.points)
        #: Of d_i of the potentials, (r, i, n or n + 1, k).
        self._matrix = problem.hall[..., :d]
        if sigma is not None:
            ohmic = -sigma[:, None, None, None] * np.eye(d)[:, None]
            self._matrix = np.concatenate([self._matrix, ohmic], axis=2)

    def transposed(self, weights: np.ndarray) -> np.ndarray:
        """From weights of J, (c, p, d): those of the potentials at the nodes of cells."""
        n = self._matrix.shape[2]
        out = np.zeros((*self.problem.space.dofs.shape, n))
        for batch, slopes in self._batches():
            c, m = len(batch), slopes.shape[3]
            pull = self._pull(batch, weights).reshape(c, -1, n)
            out[batch] = slopes.transpose(0, 3, 1, 2).reshape(c, m, -1) @ pull
        return out

    def vary(self, variation: Variation, weights: np.ndarray, values: np.ndarray) -> None:
        """Add derivatives of weights times J for potentials at the nodes of cells, (c, m, n)."""
        n, d, own_n = values.shape[2], self.device.dimension, self.problem.hall.shape[2]
        for batch, slopes in self._batches():
            along = slopes @ values[batch][:, None]
            # What moves with a motion V changes d_i omega by -d_i V_k d_k omega.
            passed = along @ self._pull(batch, weights).swapaxes(2, 3)
            variation.nodes.add(batch, from_cells(self.cells, batch, self.points, -passed))
            region = self.device.cell_region[batch]
            for index, name in enumerate(self.device.regions):
                own = region == index
                flat = along[own].reshape(-1, d * n).T @ weights[batch][own].reshape(-1, d)
                found = flat.reshape(d, n, d)
                variation.coefficients[f"hall.{name}"][:d, :, :d] += found[:, :own_n]
                if n > own_n:
                    variation.coefficients[f"conductivity.{name}"] -= np.trace(found[:, own_n])

    def _batches(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Cells, and gradients of the basis functions there in SI, (c, p, i, m)."""
        for batch, _ in self.cells.batches(10 * self._table.size):
            found, _ = self.cells.gradients(batch, self.points, self._table)
            yield batch, found / self.device.extent

    def _pull(self, batch: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Weights of d_i of the potentials, (c, p, d, n)."""
        matrix = self._matrix[self.device.cell_region[batch]]
        c, d, n, _ = matrix.shape
        pulled = weights[batch] @ matrix.reshape(c, d * n, d).swapaxes(1, 2)
        return np.asarray(pulled.reshape(c, -1, d, n))
