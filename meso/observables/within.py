"""What the current of a kinetic flow makes within cells: its curl, and densities linear in it.

The exact vorticity diverges at rough walls, so that cells there have no value at a point, only a
mean. A cell between two walls is divided, though, and what belongs to either wall is told far
better by the current's own derivatives than by their mean.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import ufl

from meso.boundary import Wall
from meso.discrete.cells import cells_of, lagrange
from meso.discrete.expressions import cell_integrals, interpolated
from meso.discrete.fields import Field, cellwise
from meso.equations.vorticity import contraction, curl
from meso.flow.result import Flow


def near_walls(flow: Flow) -> np.ndarray:
    """Which cells of this rank touch a wall, shape (c,)."""
    device, nodes = flow.device, lagrange(flow.device, 1)
    walls = [i for i, n in enumerate(device.boundaries) if isinstance(flow.boundaries.get(n), Wall)]
    facets = device.facets.of(np.isin(device.facets.boundary, walls))
    touched = np.zeros(nodes.nodes)
    touched[nodes.dofs[facets.cell[:, None], nodes.on_facet[facets.local]].ravel()] = 1.0
    return np.asarray((nodes.shared_sum(touched) > 0)[nodes.dofs].any(axis=1))


def degree_of(flow: Flow) -> int:
    """Degree of derivatives of the current."""
    return max(1, flow.fields["current_density"].degree - 1)


def contracted(flow: Flow, kappa: np.ndarray) -> Any:
    """kappa^j_ik d_i J_k of a tensor of each region, (regions, 3, 3, 3), as an expression."""
    device, d = flow.device, flow.device.dimension
    # Nothing depends on z in 2D.
    flat = np.ascontiguousarray(kappa[..., :d, :d]).reshape(len(kappa), 1, -1)[device.cell_region]
    entries = iter(cellwise("kappa", "", device, 0, flat).function())
    tensor = ufl.as_tensor([[[next(entries) for _ in range(d)] for _ in range(d)] for _ in "xyz"])
    return contraction(flow.fields["current_density"].function(), tensor)


def in_cells(flow: Flow, found: Any, *, means: bool) -> np.ndarray:
    """An expression in each cell, (c, nodes, k); if wanted, its mean in cells that touch a wall."""
    device, degree = flow.device, degree_of(flow)
    values = interpolated("found", "", device, degree, found).values
    if means:
        near, quadrature = near_walls(flow), 2 * degree + 2 * (cells_of(device).degree - 1)
        parts = (found, ufl.as_ufl(1.0))
        whole, size = (cell_integrals(device, part, degree=quadrature) for part in parts)
        # A rank may have no cells.
        mean = whole.reshape(len(size), 1, values.shape[2]) / size[:, None, None]
        values[near] = mean[near]
    return values


def of_walls(flow: Flow, kappa: np.ndarray) -> Field:
    """The density whose integrals are moments of walls, kappa curl J or kappa^j_ik d_i J_k.

    Args:
        flow: A kinetic flow.
        kappa: Of each region, shape (regions,) or (regions, 3, 3, 3).
    """
    degree, device = degree_of(flow), flow.device
    if kappa.ndim == 1:
        found = curl(flow.fields["current_density"].function())
        values = in_cells(flow, found, means=False) * kappa[device.cell_region][:, None, None]
        return cellwise("of_walls", "", device, degree, values)
    size = np.abs(kappa).max() or 1.0
    values = in_cells(flow, contracted(flow, kappa / size), means=False) * size
    return cellwise("of_walls", "", device, degree, values)
