"""Vorticity of the current, and the orbital angular momentum that it makes locally.

    Omega = (curl J)/e,        L = kappa curl J,        kappa = hbar^2 / (2 eps_F e)

(T. Valet et al. 2025, eq. 7; e < 0 is the charge of the carriers, so L is antiparallel to the
curl of the charge current.) In 2D both are components along z. L is in J s/m^2 for a 2D electron
gas, J s/m^3 for a 3D metal. How it is divided among the walls:
:mod:`meso.observables.accumulation`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import ufl

from meso.boundary import Wall
from meso.constants import ELECTRON_CHARGE
from meso.device import Device
from meso.discrete.algebra import Assembly
from meso.discrete.cells import cells_of, facet_points, lagrange
from meso.discrete.fields import Field, cellwise, gradient
from meso.discrete.functionals import cell_loads
from meso.discrete.kernels import Space
from meso.discrete.scalar import ScalarForms
from meso.discrete.unknowns import kept, number
from meso.equations import vorticity as equations
from meso.equations.derived import TABLE
from meso.flow.result import Flow
from meso.observables.accumulation import EdgeMoment, edge_moments
from meso.observables.edges import curl_of, wall_values

__all__ = ["EdgeMoment", "couplings", "edge_moments", "orbital_density", "vorticity"]


def vorticity(flow: Flow) -> Field:
    """Vorticity of the particle flow, Omega = (curl J)/e.

    The curl of the solution is projected, region by region, on continuous elements of degree
    k - 1, with the values that the slip law gives imposed at walls. Of a kinetic flow, whose
    vorticity diverges at rough walls, it is taken cell by cell, and in cells at walls its mean:
    its integrals are right, and there is no value at a point of a wall.

    Args:
        flow: A solved flow.

    Returns:
        Field in 1/(m^3 s) (1/(m^2 s) for a 2D electron gas), in 3D with three components.
    """
    device = flow.device
    density = flow.fields["current_density"]
    degree = max(1, density.degree - 1)
    if flow.model == "kinetic":
        return _cell_by_cell(flow, degree)
    space = lagrange(device, degree)
    walls = _wall_nodes(flow, degree)
    values = np.empty((*space.dofs.shape, 1 if device.dimension == 2 else 3))
    for region in range(len(device.regions)):
        chosen = device.cell_region == region
        nodal = _projection(device, density, degree, chosen, walls.get(region))
        values[chosen] = nodal[space.dofs[chosen]]
    return _field(flow, degree, values)


def _cell_by_cell(flow: Flow, degree: int) -> Field:
    """The curl of the solution in each cell; its mean in cells that touch a wall."""
    device, geometry = flow.device, cells_of(flow.device)
    density, space = flow.fields["current_density"], lagrange(device, degree)
    values = curl_of(gradient(density, space.points))
    walls = [i for i, n in enumerate(device.boundaries) if isinstance(flow.boundaries.get(n), Wall)]
    facets = device.facets.of(np.isin(device.facets.boundary, walls))
    touched = np.zeros(space.nodes)
    touched[space.dofs[facets.cell[:, None], space.on_facet[facets.local]].ravel()] = 1.0
    near = np.flatnonzero((space.shared_sum(touched) > 0)[space.dofs].any(axis=1))
    points, weights = geometry.quadrature(2 * degree + 2 * (geometry.degree - 1))
    weight = weights * geometry.determinants(near, points)
    curl = curl_of(gradient(density, points, near))
    mean = (weight[..., None] * curl).sum(axis=1) / weight.sum(axis=1)[:, None]
    values[near] = mean[:, None, :]
    return _field(flow, degree, values)


def _field(flow: Flow, degree: int, curl: np.ndarray) -> Field:
    """The vorticity of the particle flow from the curl of J."""
    sheet = any(m.carriers == "2d" for m in flow.materials.values())
    unit = TABLE["vorticity"].unit_in(sheet)
    return cellwise("vorticity", unit, flow.device, degree, curl / ELECTRON_CHARGE)


def _wall_nodes(flow: Flow, degree: int) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """By region: nodes on walls and curl J there, means of the facets that meet in a node."""
    device = flow.device
    if flow.model == "ohmic":
        return {}
    space = lagrange(device, degree)
    components = 1 if device.dimension == 2 else 3
    at, position = _facet_nodes(device, degree)
    nodes: list[np.ndarray] = [np.empty(0, np.int64)]
    curls: list[np.ndarray] = [np.empty((0, components))]
    regions: list[np.ndarray] = [np.empty(0, np.int64)]
    for name, law in flow.boundaries.items():
        if not isinstance(law, Wall):
            continue
        values = wall_values(flow, name, at)
        nodes.append(space.dofs[values.cell[:, None], position[values.local]].ravel())
        curls.append(values.vorticity.reshape(-1, components) * ELECTRON_CHARGE)
        regions.append(np.repeat(values.region, len(at)))
    node, curl, region = map(np.concatenate, (nodes, curls, regions))
    out = {}
    for index in range(len(device.regions)):
        here = region == index

        def at_nodes(weight: np.ndarray | None, here: np.ndarray = here) -> np.ndarray:
            return space.shared_sum(np.bincount(node[here], weight, space.nodes).astype(float))

        count = at_nodes(None)
        sums = np.column_stack([at_nodes(curl[here, k]) for k in range(components)])
        touched = np.flatnonzero(count > 0)
        out[index] = (touched, sums[touched] / count[touched, None])
    return out


def _facet_nodes(device: Device, degree: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes of an element on the reference facet, (q, d - 1), and their positions in each cell.

    Returns:
        The points, and by number of the facet the node of the cell at each, shape (d + 1, q).
    """
    space = lagrange(device, degree)
    # Facet 0 maps the reference facet affinely; all facets have the same nodes.
    first = space.points[space.on_facet[0]]
    corners = facet_points(
        np.vstack([np.zeros(device.dimension - 1), np.eye(device.dimension - 1)])
    )
    origin, sides = corners[0, 0], (corners[0, 1:] - corners[0, 0]).T
    at = (first - origin) @ np.linalg.pinv(sides).T
    position = []
    for inside, own in zip(facet_points(at), space.on_facet, strict=True):
        distance = np.abs(inside[:, None] - space.points[own]).max(axis=2)
        position.append(own[distance.argmin(axis=1)])
    return at, np.array(position)


def _projection(
    device: Device,
    density: Field,
    degree: int,
    chosen: np.ndarray,
    walls: tuple[np.ndarray, np.ndarray] | None,
) -> np.ndarray:
    """L2 projection of curl J over some cells, (nodes, components), with given wall values."""
    space, geometry = lagrange(device, degree), cells_of(device)
    components = 1 if device.dimension == 2 else 3
    touched = np.zeros(space.nodes)
    touched[space.dofs[chosen].ravel()] = 1.0
    outside = np.flatnonzero(space.shared_sum(touched) == 0)
    nodal = np.zeros((space.nodes, components))
    prescribed = outside
    if walls is not None:
        nodal[walls[0]] = walls[1]
        prescribed = np.union1d(outside, walls[0])
    unknowns = number(scalar=space, keep_scalar=kept(space, prescribed))
    rows = unknowns.scalar[0]
    # Values of order one, whatever the units.
    scale = max(density.extrema()[1] / device.extent, np.finfo(float).tiny)
    assembly = Assembly(unknowns, components)
    size = space.dofs.shape[1]
    bend = 2 * (geometry.degree - 1)
    forms, test = (
        ScalarForms(geometry, space, bend=bend),
        Space(degree, 0 if device.dimension == 2 else 3),
    )
    for batch, straight in geometry.batches(4 * size * size):
        batch = batch[chosen[batch]]
        mass = forms.mass(batch, straight, np.ones(len(batch)))
        load = cell_loads(_tested_curl, test, [density], degree=2 * degree + bend, cells=batch)
        # Derivatives are those in scaled coordinates.
        load = load.reshape(len(batch), size, components) / (scale * device.extent)
        nodes = space.dofs[batch][:, space.outer]
        assembly.add_cells(batch, mass, rows[nodes], load, nodal[nodes] / scale)
    if unknowns.total:
        # The mass matrix is well conditioned: in 3D iterations are faster than a factorisation.
        solver = assembly.iterative("jacobi") if device.dimension == 3 else assembly.factorise()
        x = solver.solve(assembly.load)
        solver.close()
    else:
        x = np.zeros((unknowns.size, components))
    nodal[rows >= 0] = x[rows[rows >= 0]] * scale
    for part in assembly.batches:
        nodal[space.dofs[part.cells][:, space.interior]] = part.inner(x) * scale
    return nodal


def _tested_curl(J: Any, v: Any) -> Any:
    return ufl.inner(equations.curl(J), v)


def couplings(flow: Flow) -> np.ndarray | None:
    """Kappa of each region, J s/A; None if a material has none."""
    values = [flow.materials[name].orbital_coupling for name in flow.device.regions]
    return None if any(v is None for v in values) else np.array(values, dtype=float)


def orbital_density(flow: Flow, omega: Field) -> Field:
    """Orbital density L = kappa e Omega (T. Valet et al. 2025, eq. 7).

    Args:
        flow: A solved flow whose materials have an orbital coupling.
        omega: Its vorticity.

    Returns:
        Field in J s/m^3 (J s/m^2 for a 2D electron gas).
    """
    kappa = couplings(flow)
    assert kappa is not None
    factor = (kappa * ELECTRON_CHARGE)[flow.device.cell_region]
    sheet = any(m.carriers == "2d" for m in flow.materials.values())
    unit = TABLE["orbital_density"].unit_in(sheet)
    values = omega.values * factor[:, None, None]
    return cellwise("orbital_density", unit, flow.device, omega.degree, values)
