"""Regions that fields pass continuously, and those between which they jump."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Any

import dolfinx
import numpy as np
from scipy.sparse import csr_matrix

from meso.device import Device
from meso.discrete.cells import Lagrange
from meso.errors import CaseError


def connected(graph: np.ndarray) -> np.ndarray:
    """The connected part that each node is in, of a matrix of what is next to what."""
    from scipy.sparse.csgraph import connected_components  # takes long to load

    return np.asarray(connected_components(csr_matrix(graph), directed=False)[1])


def facets_by_region(device: Device) -> tuple[np.ndarray, np.ndarray]:
    """Facets of each cell, shape (c, d + 1), and which of them each region touches, (r, facets)."""
    d, topology = device.dimension, device.mesh.topology
    topology.create_connectivity(d, d - 1)
    of_cell = topology.connectivity(d, d - 1).array.reshape(-1, d + 1)
    of_cell = of_cell[: len(device.cell_region)]
    touched = []
    for region in range(len(device.regions)):
        vector = dolfinx.la.vector(topology.index_map(d - 1), 1)
        vector.array[:] = 0.0
        vector.array[of_cell[device.cell_region == region].ravel()] = 1.0
        vector.scatter_reverse(dolfinx.la.InsertMode.add)
        vector.scatter_forward()
        touched.append(np.array(vector.array) > 0)
    return of_cell, np.array(touched)


def facets_between(device: Device, pair: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Facets between two regions: cells of the first, and the number of the facet in each."""
    of_cell, touched = facets_by_region(device)
    both = touched[pair[0]] & touched[pair[1]]
    cell, local = np.nonzero(both[of_cell] & (device.cell_region == pair[0])[:, None])
    return cell, local


def of_region(device: Device, space: Lagrange, values: np.ndarray, region: int) -> np.ndarray:
    """Of values at the nodes of each cell, (c, nodes, n), those of a region at the same nodes."""
    own = device.cell_region == region
    nodal = np.zeros((space.nodes, 1 + values.shape[2]))
    nodal[space.dofs[own], 0] = 1.0
    nodal[space.dofs[own], 1:] = values[own]
    nodal = np.column_stack([space.shared_sum(column) for column in nodal.T])
    return np.asarray((nodal[:, 1:] / np.maximum(nodal[:, :1], 1.0))[space.dofs])


def neighbours(device: Device) -> set[tuple[int, int]]:
    """Pairs of regions with a common facet, the smaller number first."""
    _, touched = facets_by_region(device)
    pairs = combinations(range(len(device.regions)), 2)
    here = {(a, b) for a, b in pairs if (touched[a] & touched[b]).any()}
    return set().union(*device.comm.allgather(here))


def phases(device: Device, conductance: Mapping[tuple[int, int], Any]) -> np.ndarray:
    """Phase of each region: regions that no conductance separates are one.

    Raises:
        CaseError: Both sides of a conductance are joined by other regions.
    """
    count = len(device.regions)
    if not conductance:
        return np.zeros(count, dtype=np.int64)
    graph = np.zeros((count, count))
    for pair in neighbours(device) - conductance.keys():
        graph[pair] = 1.0
    label = connected(graph)
    for first, second in conductance:
        if label[first] == label[second]:
            text = (
                f"the regions {device.regions[first]} and {device.regions[second]} are also joined"
                " by others without a conductance: give one to each of these interfaces"
            )
            raise CaseError(("angular_momentum.interfaces", text))
    return np.asarray(label, dtype=np.int64)
