"""The orbital angular momentum that belongs to each wall: each point counts for the nearest."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations, product

import numpy as np
from scipy.spatial import cKDTree

from meso._compat import scalar_element
from meso.boundary import Wall, law_of
from meso.discrete.cells import Lagrange, cells_of, facet_geometry, lagrange, quadrature
from meso.discrete.expressions import cell_integrals
from meso.discrete.fields import Field, nodal_values
from meso.discrete.periodic import translation
from meso.flow.result import Flow, periodic_pairs
from meso.mpi import concatenated, total
from meso.observables.cutting import corner_quadrature
from meso.observables.edges import piece_centers
from meso.observables.grazing import wall_moments

# Parts along a side of the cells that lie between two walls.
_PARTS = 4
# Distances that differ by less than this part of the device are equal.
_EQUAL = 1e-9
_BATCH = 4_000_000
# Points in each of these, about.
_POINTS = 400
# Points of walls among which the nearest wall is looked for.
_CANDIDATES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeMoment:
    """Orbital angular momentum, or spin, that belongs to a smooth piece of a wall.

    Attributes:
        wall: Name of the wall.
        measure: Length of the piece, m (its area, m^2, in 3D).
        center: Centroid of the piece, m.
        moment: Integral of L_z over the points nearer to it than to other walls, J s (J s/m
            for a 3D metal of unknown thickness); in 3D, and of a tensor kappa, of the vector L.
    """

    wall: str
    measure: float
    center: tuple[float, ...]
    moment: float | tuple[float, ...]

    @property
    def length(self) -> float:
        """The measure by the name that it has in 2D."""
        return self.measure


def couplings(flow: Flow, channel: str = "orbital") -> np.ndarray | None:
    """Kappa of each region along the axes of the device, J s/A; None if a material has none.

    Args:
        flow: A flow.
        channel: "orbital" or "spin".

    Returns:
        Shape (regions,), or (regions, 3, 3, 3) as [j, i, k] if one of them is a tensor.
    """
    materials = [flow.materials[name] for name in flow.device.regions]
    values = [getattr(material, f"{channel}_coupling") for material in materials]
    if any(v is None for v in values):
        return None
    if any(np.ndim(v) for v in values):
        return np.array([material.coupling(channel) for material in materials])
    return np.array(values, dtype=float)


def edge_moments(flow: Flow, density: Field) -> list[EdgeMoment]:
    """Divide the orbital angular momentum among the walls: each point goes to the nearest.

    Across a ribbon this is the integral over half its width,
    hbar^2 (J_centre - J_wall) / (2 eps_F e) per length of the wall. Walls continue across
    periodic pairs. Of a kinetic flow what its harmonics miss at walls is added
    (:mod:`meso.observables.grazing`) to the moments that gradients of the current make.

    Args:
        flow: A solved flow.
        density: Its orbital density, or that of the spin.

    Returns:
        One entry for each smooth piece of a wall.
    """
    device = flow.device
    laws = [law_of(flow.boundaries, piece.boundary) for piece in device.pieces]
    walls = [i for i, law in enumerate(laws) if isinstance(law, Wall)]
    if not walls:
        return []
    moment = np.asarray(total(device.comm, _moments(density, _Surface(flow, walls))))
    moment *= flow.thickness or 1.0
    channel = {"orbital_density": "orbital", "spin_density": "spin"}.get(density.name)
    if flow.kinetic and channel is not None:
        kappa = couplings(flow, channel)
        assert kappa is not None
        moment += wall_moments(flow, kappa)[0]
    centers = piece_centers(device)
    return [
        EdgeMoment(
            wall=device.pieces[i].boundary,
            measure=device.pieces[i].measure,
            center=tuple(map(float, centers[i])),
            moment=float(moment[i, 0]) if moment.shape[1] == 1 else tuple(map(float, moment[i])),
        )
        for i in walls
    ]


def _moments(density: Field, surface: _Surface) -> np.ndarray:
    """Integrals of L over this rank's points next to each piece, shape (pieces, components)."""
    device = density.device
    cells, space = cells_of(device), lagrange(device, 2)
    places = space.space.tabulate_dof_coordinates()[:, : device.dimension] / device.extent
    nearest = surface.nearest(places)[space.dofs]
    owner = np.where((nearest == nearest[:, :1]).all(axis=1), nearest[:, 0], -1)
    unsure = np.flatnonzero(owner < 0)
    used = np.unique(space.dofs[unsure])
    # Those of all ranks: beyond a corner two walls are equally near, though each rank may see one.
    candidates = np.unique(concatenated(device.comm, np.unique(nearest[unsure])))
    distance = np.empty((space.nodes, len(candidates)))
    distance[used] = surface.distances(places[used], candidates)
    # Cells that touch the middle between two walls have nodes on it, and belong to one.
    for batch in _batches(unsure, _BATCH // (space.dofs.shape[1] * len(candidates) + 1)):
        at_nodes = distance[space.dofs[batch]]
        least = at_nodes.min(axis=2, keepdims=True)
        everywhere = (at_nodes <= least + _EQUAL).all(axis=1)
        one = everywhere.sum(axis=1) == 1
        owner[batch[one]] = candidates[everywhere[one].argmax(axis=1)]

    moment = np.zeros((len(device.pieces), density.components))
    degree = density.highest + cells.dimension * (cells.degree - 1)
    whole = cell_integrals(device, density.function(), degree=degree)
    whole = whole.reshape(cells.count, density.components)
    sure = owner >= 0
    np.add.at(moment, owner[sure], whole[sure])

    # Cells that lie between two walls are cut finely.
    divided = _cut if cells.dimension == 2 else _counted
    step = max(1, _BATCH // (_POINTS * (len(candidates) + density.components + 9)))
    for batch in _batches(np.flatnonzero(~sure), step):
        moment[candidates] += divided(density, space, batch, distance[space.dofs[batch]])
    return moment


def _counted(
    density: Field, space: Lagrange, batch: np.ndarray, distance: np.ndarray
) -> np.ndarray:
    """Integrals over what of some cells is nearest to each wall, shape (walls, components).

    Each point of a quadrature counts for the nearest; distances are given at the nodes of the
    space, shape (c, n, walls).
    """
    cells = cells_of(density.device)
    points, weights = _divided(*quadrature(cells.dimension, 2), _PARTS)
    at = space.values(points) @ distance
    equal = at <= at.min(axis=2, keepdims=True) + _EQUAL
    part = equal / equal.sum(axis=2, keepdims=True)
    weight = cells.determinants(batch, points) * weights * density.device.extent**cells.dimension
    share = weight[..., None] * (density.table(points) @ nodal_values(density.data, batch))
    return np.asarray(np.tensordot(part, share, ((0, 1), (0, 1))))


def _cut(density: Field, space: Lagrange, batch: np.ndarray, distance: np.ndarray) -> np.ndarray:
    """The same for triangles, which are cut along the line where two walls are equally near."""
    device, cells = density.device, cells_of(density.device)
    # What is integrated is a polynomial, given by its values at nodes.
    degree = density.highest + 2 * (cells.degree - 1)
    # No space of a mesh, which all ranks would have to make.
    smooth = scalar_element("triangle", degree)
    values = density.table(smooth.points) @ nodal_values(density.data, batch)
    values *= cells.determinants(batch, smooth.points)[..., None] * device.extent**2

    corners = _divided(np.eye(3)[:, 1:], np.ones(3), _PARTS)[0].reshape(-1, 3, 2)
    at = (space.values(corners.reshape(-1, 2)) @ distance).reshape(len(batch), len(corners), 3, -1)
    near = at <= at.min(axis=3, keepdims=True) + _EQUAL
    everywhere, somewhere = near.all(axis=2), near.any(axis=2)
    nearest = at.argmin(axis=3)
    inside = nearest == nearest[..., :1]
    single = inside.sum(axis=2, keepdims=True) == 1
    alone = np.where(single, inside, ~inside).argmax(axis=2)  # the corner that is to be cut off
    first, other = (np.take_along_axis(nearest, (alone[..., None] + i) % 3, 2) for i in (0, 1))
    # Parts belong to those who are near everywhere, or to all who are where three walls meet; to
    # one of two, but for the corner that is cut off.
    equal = np.where(everywhere.any(axis=2, keepdims=True), everywhere, somewhere)
    two = ~everywhere.any(axis=2) & (somewhere.sum(axis=2) == 2)
    rest = np.eye(at.shape[3])[other[..., 0]]
    share = np.where(two[..., None], rest, equal / equal.sum(axis=2, keepdims=True))
    points, weights = _divided(*quadrature(2, degree), _PARTS)
    amount = weights[:, None] * (smooth.tabulate(0, points)[0, :, :, 0] @ values)
    amount = amount.reshape(len(batch), len(corners), -1, density.components).sum(axis=2)
    out = np.asarray(np.tensordot(share, amount, ((0, 1), (0, 1))))

    cell, part = np.nonzero(two)
    if not len(cell):
        return out
    owner, other = first[cell, part, 0], other[cell, part, 0]
    order = (alone[cell, part, None] + np.arange(3)) % 3
    difference = distance[cell, :, owner] - distance[cell, :, other]
    points, weights = corner_quadrature(space, corners[part[:, None], order], difference, degree)
    basis = smooth.tabulate(0, points.reshape(-1, 2))[0, :, :, 0].reshape(*weights.shape, -1)
    amount = (weights[:, None] @ basis @ values[cell])[:, 0]
    np.add.at(out, owner, amount)
    np.add.at(out, other, -amount)
    return out


class _Surface:
    """The walls as points with normals, lengths over the size of the device."""

    def __init__(self, flow: Flow, walls: list[int]) -> None:
        device = flow.device
        d, facets = device.dimension, device.facets
        here = facets.of(np.isin(facets.piece, walls))
        at = (np.arange(8)[:, None] + 0.5) / 8 if d == 2 else _divided(*quadrature(2, 1), 3)[0]
        geometry = facet_geometry(cells_of(device), here.cell, here.local, at)
        # Size of the part of the wall that a point stands for.
        reach = np.linalg.norm(np.ptp(geometry.position, axis=1), axis=1) / (7 if d == 2 else 2)
        shape = (*geometry.weight.shape, 1)
        own = [np.broadcast_to(of[:, None, None], shape) for of in (reach, here.piece)]
        columns = [geometry.position, geometry.normal, *own]
        rows = concatenated(device.comm, np.concatenate(columns, axis=2).reshape(-1, 2 * d + 2))
        for pair in periodic_pairs(flow.boundaries):  # their translations
            moved = np.zeros(rows.shape[1])
            moved[:d] = translation(device, lagrange(device, 1), pair) / device.extent
            rows = np.concatenate([rows - moved, rows, rows + moved])
        # The same order, and so the same choice among equals, on any number of ranks.
        rows = rows[np.lexsort(rows.T)]
        self.position, self.normal = rows[:, :d], rows[:, d : 2 * d]
        self.reach, self.piece = rows[:, -2], rows[:, -1].astype(np.int64)

    def nearest(self, points: np.ndarray) -> np.ndarray:
        """Nearest piece of a wall, shape (m,)."""
        many = min(_CANDIDATES, len(self.piece))
        far, at = cKDTree(self.position).query(points, k=many)
        far, at = far.reshape(len(points), many), at.reshape(len(points), many)
        best = self._along_normal(points[:, None], far, at).argmin(axis=1)
        return self.piece[at[np.arange(len(points)), best]]

    def distances(self, points: np.ndarray, pieces: np.ndarray) -> np.ndarray:
        """Distances from points to pieces of walls, shape (m, pieces)."""
        out = np.empty((len(points), len(pieces)))
        for k, piece in enumerate(pieces):
            own = np.flatnonzero(self.piece == piece)
            far, at = cKDTree(self.position[own]).query(points)
            out[:, k] = self._along_normal(points, far, own[at])
        return out

    def _along_normal(self, points: np.ndarray, far: np.ndarray, at: np.ndarray) -> np.ndarray:
        """Distances from the wall, of points whose distances from its points ``at`` are ``far``."""
        high = np.abs(((points - self.position[at]) * self.normal[at]).sum(axis=-1))
        # Where the foot of the perpendicular lies beside the point, the distance is along it.
        beside = far**2 - high**2 < self.reach[at] ** 2
        return np.where(beside, high, far)


def _batches(cells: np.ndarray, step: int) -> list[np.ndarray]:
    return [cells[i : i + step] for i in range(0, len(cells), step)]


def _divided(points: np.ndarray, weights: np.ndarray, parts: int) -> tuple[np.ndarray, np.ndarray]:
    """A quadrature repeated on each of parts^d equal parts of the reference simplex.

    The simplex 1 > a > b > c > 0 with a = x + y + z, b = y + z, c = z is cut by the planes of the
    lattice and those of equal fractional parts.
    """
    d = points.shape[1]
    paths = [np.cumsum(np.eye(d)[list(axes)], axis=0) for axes in permutations(range(d))]
    simplices = np.array(
        [
            np.vstack([np.zeros(d), path]) + corner
            for corner in product(range(parts), repeat=d)
            for path in paths
        ]
    )
    ordered = simplices[(np.diff(simplices.mean(axis=1)) < 0).all(axis=1)] / parts
    vertices = ordered - np.concatenate([ordered[..., 1:], np.zeros((*ordered.shape[:2], 1))], 2)
    barycentric = np.column_stack([1 - points.sum(axis=1), points])
    return (barycentric @ vertices).reshape(-1, d), np.tile(weights, len(vertices)) / len(vertices)
