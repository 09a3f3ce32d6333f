"""A smooth field in the conductor from its values on boundaries: how the nodes of a mesh move."""

from __future__ import annotations

import numpy as np

from meso import _compat
from meso.device import Device
from meso.discrete.algebra import Assembly
from meso.discrete.cells import cells_of, lagrange
from meso.discrete.scalar import ScalarForms
from meso.discrete.unknowns import kept, number


def extended(device: Device, known: np.ndarray) -> np.ndarray:
    """The harmonic extension of values at some geometry nodes to all of them.

    Small cells are stiff, so that layers at walls move as a whole. All ranks call this.

    Args:
        device: The device.
        known: Values at the geometry nodes of this rank, NaN where they are wanted, shape (n, k);
            known on all nodes of a facet or on none.

    Returns:
        Shape (n, k), the same at nodes that several ranks have.
    """
    cells = cells_of(device)
    nodes = _compat.geometry(device.mesh)[1][: cells.count]
    space = lagrange(device, cells.degree)
    # Nodes of the mesh are equally spaced, those of the space are not.
    fixed, given = _prescribed(device, known)
    unknowns = number(scalar=space, keep_scalar=kept(space, np.flatnonzero(fixed)))
    rows, sides = unknowns.scalar[0], known.shape[1]
    assembly = Assembly(unknowns, sides)
    forms = ScalarForms(cells, space, bend=2 * (cells.degree - 1))
    for batch, same in cells.batches(3 * space.dofs.shape[1] ** 2):
        if len(batch):
            count = 1 if same else len(forms.quadrature(same)[0])
            stiff = np.repeat(1 / cells.measures(batch)[:, None], count, axis=1)
            at = space.dofs[batch][:, space.outer]
            matrix = forms.conduction(batch, same, stiff)
            assembly.add_cells(batch, matrix, rows[at], given=given[at])
    nodal = given.copy()
    if unknowns.total:
        factor = assembly.iterative() if device.dimension == 3 else assembly.factorise()
        x = factor.solve(assembly.load)
        factor.close()
        nodal[rows >= 0] += x[rows[rows >= 0]]
        for part in assembly.batches:
            nodal[space.dofs[part.cells][:, space.interior]] = part.inner(x)
    out = np.array(known)
    table = space.values(cells.element.points)
    found = np.zeros_like(out)
    found[nodes.ravel()] = (table @ nodal[space.dofs]).reshape(-1, sides)
    missing = np.isnan(out)
    out[missing] = found[missing]
    return out


def _prescribed(device: Device, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Nodes of the space on facets all of whose geometry nodes are known, and values there."""
    cells = cells_of(device)
    nodes = _compat.geometry(device.mesh)[1][: cells.count]
    space, own = lagrange(device, cells.degree), np.isfinite(known).all(axis=1)
    values = np.where(own[:, None], known, 0.0)
    table = cells.element.tabulate(0, space.points)[0, :, :, 0]
    there, total = np.zeros(space.nodes), np.zeros((space.nodes, known.shape[1]))
    for on in space.on_facet:
        # Geometry nodes of a facet have the numbers in a cell that those of the space have.
        here = own[nodes[:, on]].all(axis=1)
        at = space.dofs[here][:, on]
        there[at.ravel()] = 1.0
        total[at.ravel()] = (table[on] @ values[nodes[here]]).reshape(-1, known.shape[1])
    count = space.shared_sum(there)
    for k in range(known.shape[1]):
        total[:, k] = space.shared_sum(total[:, k]) / np.maximum(count, 1.0)
    return count > 0, total
