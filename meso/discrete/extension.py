"""A smooth field in the conductor from its values on boundaries: how the nodes of a mesh move."""

from __future__ import annotations

import numpy as np

from meso import _compat
from meso.device import Device
from meso.discrete.algebra import Assembly
from meso.discrete.cells import Cells, cells_of, inverse, lagrange, quadrature
from meso.discrete.unknowns import kept, number


def extended(device: Device, known: np.ndarray) -> np.ndarray:
    """The harmonic extension of values at some geometry nodes to all of them.

    That of linear elements; small cells are stiff, so that layers at walls move as a whole. What
    values on a curved facet differ by from those between its corners goes on into its cell alone.
    All ranks call this.

    Args:
        device: The device.
        known: Values at the geometry nodes of this rank, NaN where they are wanted, shape (n, k);
            known on all nodes of a facet or on none.

    Returns:
        Shape (n, k), the same at nodes that several ranks have.
    """
    cells, space, d = cells_of(device), lagrange(device, 1), device.dimension
    nodes = _compat.geometry(device.mesh)[1][: cells.count]
    own = np.isfinite(known).all(axis=1)
    values = np.where(own[:, None], known, 0.0)
    fixed, given = np.zeros(space.nodes), np.zeros((space.nodes, known.shape[1]))
    corners = nodes[:, : d + 1]
    fixed[space.dofs] = own[corners]
    given[space.dofs] = values[corners]
    count = space.shared_sum(fixed)
    for k in range(known.shape[1]):
        given[:, k] = space.shared_sum(given[:, k]) / np.maximum(count, 1.0)
    nodal = given + _harmonic(device, count > 0, given)
    found = np.zeros_like(values)
    points = cells.element.points
    inside = np.column_stack([1 - points.sum(axis=1), points]) @ nodal[space.dofs]
    if cells.degree > 1:
        bend = np.where(own[nodes][..., None], values[nodes] - inside, 0.0)
        bent = np.flatnonzero(bend.any(axis=(1, 2)))
        inside[bent] += _lifted(cells) @ bend[bent]
    found[nodes] = inside
    return np.where(own[:, None], known, found)


def _harmonic(device: Device, fixed: np.ndarray, given: np.ndarray) -> np.ndarray:
    """Values of linear elements at the free nodes, (nodes, k), 0 at fixed ones."""
    cells, space, d = cells_of(device), lagrange(device, 1), device.dimension
    unknowns = number(scalar=space, keep_scalar=kept(space, np.flatnonzero(fixed)))
    rows, out = unknowns.scalar[0], np.zeros_like(given)
    if not unknowns.total:
        return out
    slopes = np.vstack([-np.ones(d), np.eye(d)])
    sides = cells.corners[:, 1:] - cells.corners[:, :1]
    gradients = slopes @ inverse(sides.swapaxes(1, 2))[0]
    assembly = Assembly(unknowns, given.shape[1])
    every, at = np.arange(cells.count), space.dofs
    # Over the measure of each cell: the integral of products of gradients is these.
    assembly.add_cells(every, gradients @ gradients.swapaxes(1, 2), rows[at], given=given[at])
    factor = assembly.iterative() if d == 3 else assembly.factorise()
    x = factor.solve(assembly.load)
    factor.close()
    out[rows >= 0] = x[rows[rows >= 0]]
    return out


def _lifted(cells: Cells) -> np.ndarray:
    """From values at the geometry nodes of a reference cell to those harmonic inside, (g, g)."""
    element, out = cells.element, np.eye(len(cells.element.points))
    inner = np.array(element.entity_dofs[cells.dimension][0], dtype=int)
    points, weights = quadrature(cells.dimension, 2 * cells.degree)
    slopes = element.tabulate(1, points)[1:, :, :, 0]
    stiff = ((slopes * weights[:, None]).swapaxes(1, 2) @ slopes).sum(axis=0)
    outer = np.setdiff1d(np.arange(len(out)), inner)
    out[inner] = 0.0
    out[np.ix_(inner, outer)] = -np.linalg.solve(
        stiff[np.ix_(inner, inner)], stiff[np.ix_(inner, outer)]
    )
    return out
