"""Derivatives of integrals over cells and facets in the nodes of the mesh.

An integral depends on the motion V of the mesh by d_i V_k alone, where what is integrated has the
same values at nodes that move: int S_ki d_i V_k. Lengths here are over ``Device.extent``, as in
:class:`meso.discrete.cells.Cells`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from meso.device import Device
from meso.discrete.cells import (
    Cells,
    FacetGeometry,
    at_geometry_nodes,
    cells_of,
    inverse,
    lagrange,
)
from meso.mpi import total


def from_cells(cells: Cells, batch: np.ndarray, points: np.ndarray, S: np.ndarray) -> np.ndarray:
    """Sum over points of S_ki d_i V_k, as weights of V at the geometry nodes of cells.

    Args:
        cells: The geometry.
        batch: Cell numbers, (c,).
        points: Reference points, (q, d), the same in all cells.
        S: Integrand times weight and determinant, (c, q, k, i).

    Returns:
        Shape (c, g, d).
    """
    inverses, _ = inverse(cells.jacobians(batch, points))
    # By reference direction: (c, q, a, k).
    along = inverses @ S.swapaxes(-1, -2)
    table = cells.element.tabulate(1, points)[1:, :, :, 0]
    parts = [table[a].T @ along[:, :, a] for a in range(cells.dimension)]
    return np.asarray(sum(parts))


def from_facets(cells: Cells, geometry: FacetGeometry, S: np.ndarray) -> np.ndarray:
    """The same of points of facets, with S of shape (f, q, k, i)."""
    d, count = cells.dimension, cells.nodes.shape[1]
    out = np.zeros((len(geometry.cell), count, d))
    for local, points in enumerate(geometry.points):
        here = geometry.local == local
        if here.any():
            out[here] = from_cells(cells, geometry.cell[here], points, S[here])
    return out


def from_places(
    cells: Cells, cell: np.ndarray, points: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Weights (m, d) of V at one reference point (m, d) in each cell, at nodes: (m, g, d)."""
    table = cells.element.tabulate(0, np.ascontiguousarray(points))[0, :, :, 0]
    return np.asarray(table[:, :, None] * weights[:, None, :])


def from_translations(
    device: Device, pairs: Sequence[tuple[str, str]], weights: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Weights (pairs, d) of the translations of periodic pairs, from the first to the second.

    They are spread evenly over the corners of the facets: cells of this rank's facets on either
    boundary, and weights of V at their nodes, (f, g, d).
    """
    on_facet, nodes = lagrange(device, 1).on_facet, cells_of(device).nodes
    for pair, weight in zip(pairs, weights, strict=True):
        for name, sign in zip(pair, (-1, 1), strict=True):
            facets = device.facets_on(name)
            count = int(total(device.comm, len(facets.cell)))
            out = np.zeros((len(facets.cell), *nodes.shape[1:]))
            each = np.arange(len(facets.cell))[:, None]
            out[each, on_facet[facets.local]] = sign * weight / (count * device.dimension)
            yield facets.cell, out


class Nodes:
    """Collects derivatives at the geometry nodes of a device, in SI: per metre."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self._sum = np.zeros(cells_of(device).nodes.shape)

    def add(self, cells: np.ndarray, values: np.ndarray) -> None:
        """Add values at the nodes of cells, (c, g, d), per scaled length; cells may repeat."""
        np.add.at(self._sum, cells, values / self.device.extent)

    @property
    def owned(self) -> np.ndarray:
        """The sum, (nodes, d): that of all ranks with the owner of a node, zero at ghosts."""
        return at_geometry_nodes(self.device, np.arange(len(self._sum)), self._sum)
