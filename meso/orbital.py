"""Vorticity of the current, and the orbital angular momentum that it makes locally.

    Omega = (curl J)/e,        L_z = kappa curl J,        kappa = hbar^2 / (2 eps_F e)

(T. Valet et al. 2025, eq. 7; e < 0 is the charge of the carriers, so L is antiparallel to the
curl of the charge current.) L_z is in J s/m^2 for a 2D electron gas, J s/m^3 for a 3D metal.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from meso.algebra import Assembly
from meso.boundary import Wall
from meso.cells import cells_of, facet_geometry, lagrange, quadrature
from meso.constants import ELECTRON_CHARGE
from meso.device import Device
from meso.edges import piece_centers, wall_values
from meso.fields import Field, gradient
from meso.flow.result import Flow
from meso.mpi import concatenated, total
from meso.unknowns import kept, number


def vorticity(flow: Flow) -> Field:
    """Vorticity of the particle flow, Omega = (curl J)/e.

    The curl of the solution is projected, region by region, on continuous elements of degree
    k - 1, with the values that the slip law gives imposed at walls.

    Args:
        flow: A solved flow.

    Returns:
        Field in 1/(m^3 s) (1/(m^2 s) for a 2D electron gas).
    """
    device = flow.device
    density = flow.fields["current_density"]
    degree = max(1, density.degree - 1)
    space = lagrange(device, degree)
    walls = _wall_nodes(flow, degree)
    values = np.empty((*space.dofs.shape, 1))
    for region in range(len(device.regions)):
        cells = np.flatnonzero(device.cell_region == region)
        nodal = _projection(device, density, degree, cells, walls.get(region))
        values[cells, :, 0] = nodal[space.dofs[cells]]
    sheet = any(m.carriers == "2d" for m in flow.materials.values())
    return Field(
        name="vorticity",
        unit="per_m2_s" if sheet else "per_m3_s",
        device=device,
        degree=degree,
        values=values / ELECTRON_CHARGE,
    )


def _wall_nodes(flow: Flow, degree: int) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """By region: nodes on walls and curl J there, means of the facets that meet in a node."""
    device = flow.device
    space = lagrange(device, degree)
    nodes: list[np.ndarray] = [np.empty(0, np.int64)]
    curls: list[np.ndarray] = [np.empty(0)]
    regions: list[np.ndarray] = [np.empty(0, np.int64)]
    if flow.model == "ohmic":
        return {}
    for name, law in flow.boundaries.items():
        if not isinstance(law, Wall):
            continue
        facets = device.facets.of(device.facets.boundary == device.boundaries.index(name))
        # Positions of the element's own nodes along the facet, in the facet's direction.
        for i in range(3):
            here = facets.of(facets.local == i)
            at = space.points[space.on_facet[i]]
            begin, end = (
                np.array([[1, 0], [0, 1], [0, 0]])[i],
                np.array([[0, 1], [0, 0], [1, 0]])[i],
            )
            s = ((at - begin) @ (end - begin)) / ((end - begin) @ (end - begin))
            order = np.argsort(s)
            values = wall_values(flow, name, s[order])
            mine = facets.local == i
            nodes.append(space.dofs[here.cell[:, None], space.on_facet[i][order]].ravel())
            curls.append(values.vorticity[mine].ravel() * ELECTRON_CHARGE)
            regions.append(np.repeat(device.cell_region[here.cell], len(s)))
    node, curl, region = map(np.concatenate, (nodes, curls, regions))
    out = {}
    for index in range(len(device.regions)):
        here = region == index
        sums = space.shared_sum(np.bincount(node[here], curl[here], minlength=space.nodes))
        count = space.shared_sum(np.bincount(node[here], minlength=space.nodes).astype(float))
        at = np.flatnonzero(count > 0)
        out[index] = (at, sums[at] / count[at])
    return out


def _projection(
    device: Device,
    density: Field,
    degree: int,
    cells: np.ndarray,
    walls: tuple[np.ndarray, np.ndarray] | None,
) -> np.ndarray:
    """L2 projection of curl J over some cells, shape (nodes,), with given wall values."""
    space, geometry = lagrange(device, degree), cells_of(device)
    touched = np.zeros(space.nodes)
    touched[space.dofs[cells].ravel()] = 1.0
    outside = np.flatnonzero(space.shared_sum(touched) == 0)
    nodal = np.zeros(space.nodes)
    prescribed = outside
    if walls is not None:
        nodal[walls[0]] = walls[1]
        prescribed = np.union1d(outside, walls[0])
    unknowns = number(scalar=space, keep_scalar=kept(space, prescribed))
    rows = unknowns.scalar[0]
    if unknowns.total == 0:
        return nodal
    # Values of order one, whatever the units.
    scale = max(density.extrema()[1] / device.extent, np.finfo(float).tiny)
    assembly = Assembly(unknowns, 1)
    size = space.dofs.shape[1]
    for batch, _ in geometry.batches(4 * size * size):
        batch = batch[np.isin(batch, cells)]
        points, weights = geometry.quadrature(2 * degree + 2 * (geometry.degree - 1))
        value = space.values(points)
        determinant = geometry.determinants(batch, points)
        weight = weights * determinant
        slope = gradient(density, points, batch)
        curl = (slope[:, :, 0, 1] - slope[:, :, 1, 0]) / scale
        mass = (weight[:, None, :] * value.T) @ value
        load = ((weight * curl) @ value)[:, :, None]
        nodes = space.dofs[batch][:, space.outer]
        given = nodal[nodes][:, :, None] / scale
        assembly.add_cells(batch, mass, rows[nodes], load, given)
    x = assembly.factorise().solve(assembly.load)
    nodal[rows >= 0] = x[rows[rows >= 0], 0] * scale
    for part in assembly.batches:
        nodal[space.dofs[part.cells][:, space.interior]] = part.inner(x)[:, :, 0] * scale
    return nodal


def couplings(flow: Flow) -> np.ndarray | None:
    """Kappa of each region, J s/A; None if a material has none."""
    values = [flow.materials[name].orbital_coupling for name in flow.device.regions]
    return None if any(v is None for v in values) else np.array(values, dtype=float)


def orbital_density(flow: Flow, omega: Field) -> Field:
    """Orbital density L_z = kappa e Omega (T. Valet et al. 2025, eq. 7).

    Args:
        flow: A solved flow whose materials have an orbital coupling.
        omega: Its vorticity.

    Returns:
        Field in J s/m^3 (J s/m^2 for a 2D electron gas).
    """
    kappa = couplings(flow)
    assert kappa is not None
    factor = (kappa * ELECTRON_CHARGE)[flow.device.cell_region]
    unit = "J_s_per_m2" if omega.unit == "per_m2_s" else "J_s_per_m3"
    return Field(
        name="orbital_density",
        unit=unit,
        device=flow.device,
        degree=omega.degree,
        values=omega.values * factor[:, None, None],
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeMoment:
    """Orbital angular momentum that belongs to a smooth piece of a wall.

    Attributes:
        wall: Name of the wall.
        length: Length of the piece, m.
        center: Centroid of the piece, m.
        moment: Integral of L_z over the points nearer to it than to other walls, J s (J s/m
            for a 3D metal of unknown thickness).
    """

    wall: str
    length: float
    center: tuple[float, float]
    moment: float


def edge_moments(flow: Flow, density: Field) -> list[EdgeMoment]:
    """Divide the orbital angular momentum among the walls: each point goes to the nearest.

    Across a ribbon this is the integral over half its width,
    hbar^2 (J_centre - J_wall) / (2 eps_F e) per length of the wall.

    Args:
        flow: A solved flow.
        density: Its orbital density.

    Returns:
        One entry for each smooth piece of a wall.
    """
    device = flow.device
    facets, cells = device.facets, cells_of(device)
    walls = [
        i for i, p in enumerate(device.pieces) if isinstance(flow.boundaries.get(p.boundary), Wall)
    ]
    if not walls:
        return []
    s = (np.arange(8) + 0.5) / 8
    here = facets.of(np.isin(facets.piece, walls))
    position = facet_geometry(cells, here.cell, here.local, s[:, None], s).position
    rows = np.concatenate(
        [position, np.broadcast_to(here.piece[:, None, None], (*position.shape[:2], 1))], axis=2
    ).reshape(-1, 3)
    rows = concatenated(device.comm, rows)
    rows = rows[np.lexsort(rows.T)]
    tree = cKDTree(rows[:, :2])
    everything = np.arange(cells.count)
    coarse = cells.quadrature(2 * density.degree + 2)
    share, nearest = _shares(density, everything, *coarse, tree)
    whole = (nearest == nearest[:, :1]).all(axis=1)
    moment: np.ndarray = np.zeros(len(rows))
    moment += np.bincount(nearest[whole].ravel(), share[whole].ravel(), len(rows))
    # Cells that lie between two walls are cut finely.
    cut = everything[~whole]
    for part in (cut[i : i + 200] for i in range(0, len(cut), 200)):
        share, nearest = _shares(density, part, *_fine_quadrature(4), tree)
        moment += np.bincount(nearest.ravel(), share.ravel(), len(rows))
    moment = np.bincount(rows[:, 2].astype(int), moment, len(device.pieces))
    moment = np.atleast_1d(total(device.comm, moment)) * (flow.thickness or 1.0)
    centers = piece_centers(device)
    return [
        EdgeMoment(
            wall=device.pieces[i].boundary,
            length=device.pieces[i].measure,
            center=(float(centers[i, 0]), float(centers[i, 1])),
            moment=float(moment[i]),
        )
        for i in walls
    ]


def _shares(
    density: Field, batch: np.ndarray, points: np.ndarray, weights: np.ndarray, tree: cKDTree
) -> tuple[np.ndarray, np.ndarray]:
    """Integral of L_z at each quadrature point, and the nearest point of the tree, (c, q)."""
    cells = cells_of(density.device)
    determinant = cells.determinants(batch, points)
    at = cells.positions(batch, points)
    _, nearest = tree.query(at.reshape(-1, 2))
    values = density.table(points) @ density.values[batch][..., 0].T
    return values.T * determinant * weights * density.device.extent**2, nearest.reshape(
        at.shape[:2]
    )


def _fine_quadrature(pieces: int) -> tuple[np.ndarray, np.ndarray]:
    """Quadrature of degree 4 on each of pieces^2 equal parts of the reference triangle."""
    inner, weights = quadrature(2, 4)
    i, j = (a.ravel() for a in np.meshgrid(np.arange(pieces), np.arange(pieces)))
    corner = np.column_stack([i, j])
    lower, upper = corner[i + j < pieces], corner[i + j < pieces - 1] + 1
    points = np.concatenate([lower[:, None] + inner, upper[:, None] - inner]).reshape(-1, 2)
    return points / pieces, np.tile(weights, pieces**2) / pieces**2
