"""Which wall each point of a conductor is nearest to, and integrals over what belongs to each.

These are linear in what is integrated, and change with the shape: cells stretch, and the line where
two walls are equally near moves against them (:meth:`Division.derivative`).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations, product
from typing import Any, NamedTuple

import numpy as np
from scipy.spatial import cKDTree

from meso._compat import scalar_element
from meso.boundary import Wall, law_of
from meso.discrete.cells import (
    Lagrange,
    at_facets,
    cells_of,
    facet_geometry,
    inverse,
    lagrange,
    quadrature,
)
from meso.discrete.expressions import cell_integrals
from meso.discrete.fields import Field, nodal_values
from meso.discrete.motion import Nodes, from_cells, from_places
from meso.discrete.periodic import translation
from meso.flow.result import Flow, periodic_pairs
from meso.mpi import concatenated, total
from meso.observables.cutting import corner_quadrature, least_of
from meso.observables.reentrant import at_corners, farther, twins

#: Parts along a side of the cells that lie between two walls.
PARTS = 4
# So many times more in triangles where three meet: the part there is shared evenly.
_FINE = 8
# Distances that differ by less than this part of the device are equal.
_EQUAL = 1e-9
_BATCH = 4_000_000
# Points in each of these, about.
_POINTS = 400
# Points of walls among which the nearest wall is looked for.
_CANDIDATES = 8


class _Line(NamedTuple):
    """Where two walls are equally near: lines, in 3D triangles, in cells.

    Attributes:
        cell: Place of their cells in the batch, (m,).
        owner: The wall that has one side, by candidate, (m,).
        other: The other one, (m,).
        points: Reference points on them, (m, r, d).
        weights: Of what the owner loses where its distance less the other grows, (m, r).
        table: How that distance follows those at the nodes of degree 2, (m, r, n).
    """

    cell: np.ndarray
    owner: np.ndarray
    other: np.ndarray
    points: np.ndarray
    weights: np.ndarray
    table: np.ndarray


class _Between(NamedTuple):
    """Some cells that lie between walls, each a sum over points of weights times values.

    Attributes:
        cells: Cell numbers, (c,).
        points: Reference points, (p, d).
        weights: By wall, (c, walls, p); the determinant of the cell is to be multiplied with.
        line: Where they are divided.
    """

    cells: np.ndarray
    points: np.ndarray
    weights: np.ndarray
    line: _Line | None


class Division:
    """The cells of this rank, divided among the walls of a flow.

    Args:
        flow: The flow.
        degree: Of the polynomials that distances from walls are in a cell.

    Attributes:
        owner: Piece of a boundary that all of a cell is nearest to, -1 for cells between walls,
            shape (c,).
        candidates: Pieces that cells between walls may be nearest to.
        distance: From these, over ``Device.extent``, at the nodes of this degree that may lie
            between walls, shape (nodes, candidates).
    """

    def __init__(self, flow: Flow, degree: int = 2) -> None:
        self.device = flow.device
        device = self.device
        self.space = space = lagrange(device, degree)
        self._surface = surface = Surface(flow, walls_of(flow))
        self._places = space.space.tabulate_dof_coordinates()[:, : device.dimension]
        self._places = places = self._places / device.extent
        nearest = surface.nearest(places)[space.dofs]
        owner = np.where((nearest == nearest[:, :1]).all(axis=1), nearest[:, 0], -1)
        unsure = np.flatnonzero(owner < 0)
        self._used = np.unique(space.dofs[unsure])
        # Those of all ranks: beyond a corner two walls are equally near, though each rank may see
        # one.
        seen = concatenated(device.comm, np.unique(nearest[unsure]))
        self.candidates = np.unique(seen).astype(np.int64)
        self.distance = np.empty((space.nodes, len(self.candidates)))
        self.distance[self._used] = surface.distances(places[self._used], self.candidates)
        # Cells that touch the middle between two walls have nodes on it, and belong to one.
        size = space.dofs.shape[1] * len(self.candidates) + 1
        for batch in _batches(unsure, _BATCH // size):
            everywhere = _near(self.distance[space.dofs[batch]], 2).all(axis=1)
            one = everywhere.sum(axis=1) == 1
            owner[batch[one]] = self.candidates[everywhere[one].argmax(axis=1)]
        self.owner = owner

    def moments(self, density: Field) -> np.ndarray:
        """Integrals of a density over this rank's points next to each piece, (pieces, k)."""
        device, cells = self.device, cells_of(self.device)
        moment = np.zeros((len(device.pieces), density.components))
        degree = density.highest + cells.dimension * (cells.degree - 1)
        whole = cell_integrals(device, density.function(), degree=degree)
        whole = whole.reshape(cells.count, density.components)
        sure = self.owner >= 0
        np.add.at(moment, self.owner[sure], whole[sure])
        for part in self._between(density, moving=False):
            values = density.table(part.points) @ nodal_values(density.data, part.cells)
            values *= cells.determinants(part.cells, part.points)[..., None]
            values *= device.extent**cells.dimension
            moment[self.candidates] += np.tensordot(part.weights, values, ((0, 2), (0, 1)))
        return moment

    def derivative(self, density: Field, share: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Derivatives of a sum of moments times shares, (pieces, k); all ranks call this.

        Args:
            density: The density.
            share: How much of each moment there is in the sum, SI.

        Returns:
            Derivatives in the values of the density at the nodes of each cell, (c, n, k), and in
            the nodes of the mesh with these values held, (nodes, d) as of
            :attr:`meso.discrete.motion.Nodes.owned`.
        """
        cells, motion = cells_of(self.device), Nodes(self.device)
        weights = np.zeros_like(density.values)
        one = np.eye(cells.dimension) * self.device.extent**cells.dimension
        known = np.zeros((self.space.nodes, len(self.candidates)))

        def add(batch: np.ndarray, points: np.ndarray, part: np.ndarray) -> None:
            part = part * cells.determinants(batch, points)[..., None]
            table = density.table(points)
            weights[batch] = table.T @ part * one[0, 0]
            values = (part * (table @ nodal_values(density.data, batch))).sum(axis=2)
            motion.add(batch, from_cells(cells, batch, points, values[..., None, None] * one))

        degree = density.highest + cells.dimension * (cells.degree - 1)
        points, weight = cells.quadrature(degree)
        step = max(1, _BATCH // (20 * len(points) * density.components))
        for batch in _batches(np.flatnonzero(self.owner >= 0), step):
            add(batch, points, share[self.owner[batch]][:, None] * weight[:, None])
        own = share[self.candidates]
        for part in self._between(density, moving=True):
            add(part.cells, part.points, part.weights.swapaxes(1, 2) @ own)
            self._along(density, own, known, part.cells, part.line)
        self._along_sides(density, own, known)
        self._move(known, motion)
        return weights, motion.owned

    def _along(
        self,
        density: Field,
        share: np.ndarray,
        known: np.ndarray,
        batch: np.ndarray,
        line: _Line | None,
    ) -> None:
        """Add the derivatives in distances at nodes, where lines in cells move with them."""
        if line is None:
            return
        m, r, d = line.points.shape
        cell = batch[line.cell]
        flat, every = line.points.reshape(-1, d), np.repeat(cell, r)
        value = density.at(every, flat).reshape(m, r, -1)
        value = (value * (share[line.owner] - share[line.other])[:, None]).sum(axis=2)
        value = value * self._determinants(every, flat).reshape(m, r) * self.device.extent**d
        change = -((line.weights * value)[:, None] @ line.table)[:, 0]
        nodes = self.space.dofs[cell]
        np.add.at(known, (nodes, line.owner[:, None]), change)
        np.add.at(known, (nodes, line.other[:, None]), -change)

    def _determinants(self, cell: np.ndarray, points: np.ndarray) -> np.ndarray:
        """At one reference point (m, d) in each cell."""
        cells = cells_of(self.device)
        table = cells.element.tabulate(1, points)[1:, :, :, 0]
        parts = [(part[:, None] @ cells.nodes[cell])[:, 0] for part in table]
        return inverse(np.stack(parts, axis=2))[1]

    def _along_sides(self, density: Field, share: np.ndarray, known: np.ndarray) -> None:
        """The same where sides of cells lie between two walls: half from either cell."""
        dofs, space, count = self.space.dofs, self.space, len(self.candidates)
        if not count:
            return
        touched = np.zeros(space.nodes)
        touched[self._used] = 1.0
        used = np.flatnonzero(space.shared_sum(touched))
        equal = np.zeros((space.nodes, count), dtype=bool)
        equal[used] = _near(self._surface.distances(self._places[used], self.candidates), 1)
        for side in space.on_facet:
            both = equal[dofs[:, side]].all(axis=1)
            cell = np.flatnonzero((both.sum(axis=1) == 2) & (self.owner >= 0))
            if not len(cell):
                continue
            pair = np.nonzero(both[cell])[1].reshape(-1, 2)
            first = self.candidates[pair[:, 0]] == self.owner[cell]
            owner, other = np.where(first, pair.T, pair.T[::-1])
            at = self._surface.distances(
                self._places[dofs[cell]].reshape(-1, self.device.dimension), self.candidates
            )
            at = at.reshape(*dofs[cell].shape, count)
            each = np.arange(len(cell))
            difference = at[each, :, owner] - at[each, :, other]
            points, weights, table = _of_side(space, side, density.highest)
            slope = np.linalg.norm(difference @ space.gradients(points), axis=2).T
            line = _Line(
                each,
                owner,
                other,
                np.broadcast_to(points, (len(cell), *points.shape)),
                weights / 2 / slope,
                np.broadcast_to(table, (len(cell), *table.shape)),
            )
            self._along(density, share, known, cell, line)

    def _move(self, known: np.ndarray, motion: Nodes) -> None:
        """Add what derivatives in distances, (nodes, walls), are in the nodes of the mesh."""
        cells, space = cells_of(self.device), self.space
        moved = np.flatnonzero(known.any(axis=1))
        point, rows = self._surface.derivative(self._places[moved], self.candidates, known[moved])
        cell = np.zeros(space.nodes, dtype=np.int64)
        place = np.zeros(space.nodes, dtype=np.int64)
        cell[space.dofs] = np.arange(len(space.dofs))[:, None]
        place[space.dofs] = np.arange(space.dofs.shape[1])
        at = space.points[place[moved]]
        motion.add(cell[moved], from_places(cells, cell[moved], at, point))
        rows = np.asarray(total(self.device.comm, rows))
        for part in (self._surface.on_facets(rows), *self._surface.on_pairs(rows)):
            motion.add(*part)

    def _between(self, density: Field, *, moving: bool) -> Iterator[_Between]:
        """Cells between walls, and how a density is integrated there; ``moving``: in any shape."""
        space = self.space
        step = max(1, _BATCH // (_POINTS * (len(self.candidates) + density.components + 9)))
        cells, unsure = cells_of(self.device), self.owner < 0
        for flat in (True, False):
            chosen = np.flatnonzero(unsure & ((cells.affine & (not moving)) == flat))
            degree = density.highest + (0 if flat else cells.dimension * (cells.degree - 1))
            for batch in _batches(chosen, step):
                distance = self.distance[space.dofs[batch]]
                if cells.dimension == 3:
                    yield _divided_cells(space, batch, distance, degree)
                    continue
                crowded = _shared(*_nearness(space, distance, _corners(PARTS))).any(axis=1)
                yield _cut(space, batch[~crowded], distance[~crowded], degree, PARTS)
                for part in _batches(np.flatnonzero(crowded), max(1, step // _FINE**2)):
                    yield _cut(space, batch[part], distance[part], degree, _FINE * PARTS)


def walls_of(flow: Flow) -> list[int]:
    """Pieces of the boundary that are walls."""
    laws = [law_of(flow.boundaries, piece.boundary) for piece in flow.device.pieces]
    return [i for i, law in enumerate(laws) if isinstance(law, Wall)]


def _near(distance: np.ndarray, axis: int) -> Any:
    """Which walls, along an axis, are nearest."""
    return distance <= distance.min(axis=axis, keepdims=True) + _EQUAL


def _of_side(
    space: Lagrange, side: np.ndarray, degree: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Quadrature of a side of the reference cell, and a table of the nodes of degree 2 there."""
    d = space.points.shape[1]
    corner = space.points[side[:d]]
    along = corner[1:] - corner[:1]
    points, weights = quadrature(d - 1, degree + 3)
    size = np.linalg.norm(along[0] if d == 2 else np.cross(*along))
    if d == 2:
        points = corner[0] + points @ along
        return points, weights * size, space.values(points)
    # Distances are linear in the parts of cells.
    ends = _divided(np.eye(3)[:, 1:], np.ones(3), PARTS)[0]
    barycentric = np.column_stack([1 - points.sum(axis=1), points])
    ends = (corner[0] + ends @ along).reshape(-1, 3, d)
    table = barycentric @ space.values(ends.reshape(-1, d)).reshape(len(ends), 3, -1)
    points, weights = (barycentric @ ends).reshape(-1, d), np.tile(weights, len(ends)) / len(ends)
    return points, weights * size, table.reshape(len(points), -1)


def _divided_cells(
    space: Lagrange, batch: np.ndarray, distance: np.ndarray, degree: int
) -> _Between:
    """Tetrahedra whose parts are divided where walls are equally near.

    Distances are given at the nodes of the space, shape (c, n, walls).
    """
    smooth = scalar_element("tetrahedron", degree)
    corners = _divided(np.eye(4)[:, 1:], np.ones(4), PARTS)[0].reshape(-1, 4, 3)
    table = space.values(corners.reshape(-1, 3)).reshape(len(corners), 4, -1)
    at = (table.reshape(-1, table.shape[2]) @ distance).reshape(len(batch), *corners.shape[:2], -1)
    near = _near(at, 3).any(axis=2)
    points, weights = quadrature(3, degree)
    barycentric = np.column_stack([1 - points.sum(axis=1), points])

    def amounts(corners: np.ndarray) -> np.ndarray:
        """Weights of the nodes of polynomials in tetrahedra, (m, n)."""
        size = np.abs(np.linalg.det(corners[:, 1:] - corners[:, :1]))
        places = (barycentric @ corners).reshape(-1, 3)
        values = smooth.tabulate(0, places)[0, :, :, 0].reshape(len(corners), len(points), -1)
        return np.asarray(size[:, None] * np.tensordot(weights, values, (0, 1)))

    single = near.sum(axis=2, keepdims=True) == 1
    out = (near & single).swapaxes(1, 2) @ amounts(corners)
    cell, part = np.nonzero(~single[..., 0])
    walls = at.shape[3]
    columns = [corners[part], at[cell, part], table[part]]
    pieces, between = least_of(np.concatenate(columns, axis=2), slice(3, 3 + walls), _EQUAL)
    amount = pieces.size[:, None] * amounts(pieces.corners[..., :3])
    np.add.at(out, (cell[pieces.of], pieces.owner), amount)
    points, weights = quadrature(2, degree + 1)
    places = np.column_stack([1 - points.sum(axis=1), points]) @ between.corners
    line = _Line(
        cell[between.of],
        between.owner,
        between.other,
        places[..., :3],
        2 * weights * between.size[:, None],
        places[..., 3 + walls :],
    )
    return _Between(batch, smooth.points, out, line)


def _corners(parts: int) -> np.ndarray:
    """Corners of the parts of a triangle, (parts, 3, 2)."""
    return _divided(np.eye(3)[:, 1:], np.ones(3), parts)[0].reshape(-1, 3, 2)


def _nearness(
    space: Lagrange, distance: np.ndarray, corners: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distances at corners, (c, parts, 3, walls); whether a wall is near at all, or some of them.

    Near means that no other is nearer.
    """
    at = (space.values(corners.reshape(-1, 2)) @ distance).reshape(
        len(distance), len(corners), 3, distance.shape[2]
    )
    near = _near(at, 3)
    return at, near.all(axis=2), near.any(axis=2)


def _shared(at: np.ndarray, everywhere: np.ndarray, somewhere: np.ndarray) -> np.ndarray:
    """Parts in which more than two walls meet, (c, parts)."""
    return np.asarray(~everywhere.any(axis=2) & (somewhere.sum(axis=2) > 2))


def _cut(
    space: Lagrange, batch: np.ndarray, distance: np.ndarray, degree: int, parts: int
) -> _Between:
    """The same for triangles, which are cut along the line where two walls are equally near."""
    # What is integrated is a polynomial of this degree, given by its values at nodes.
    # No space of a mesh, which all ranks would have to make.
    smooth = scalar_element("triangle", degree)
    corners = _corners(parts)
    at, everywhere, somewhere = _nearness(space, distance, corners)
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
    points, weights = _divided(*quadrature(2, degree), parts)
    amount = weights[:, None] * smooth.tabulate(0, points)[0, :, :, 0]
    amount = amount.reshape(len(corners), -1, amount.shape[1]).sum(axis=1)
    out = share.swapaxes(1, 2) @ amount

    cell, part = np.nonzero(two)
    if not len(cell):
        return _Between(batch, smooth.points, out, None)
    owner, other = first[cell, part, 0], other[cell, part, 0]
    order = (alone[cell, part, None] + np.arange(3)) % 3
    difference = distance[cell, :, owner] - distance[cell, :, other]
    cut = corner_quadrature(space, corners[part[:, None], order], difference, degree)
    basis = smooth.tabulate(0, cut.points.reshape(-1, 2))[0, :, :, 0]
    amount = (cut.weights[:, None] @ basis.reshape(*cut.weights.shape, -1))[:, 0]
    np.add.at(out, (cell, owner), amount)
    np.add.at(out, (cell, other), -amount)
    table = space.values(cut.ends.reshape(-1, 2)).reshape(*cut.ends.shape[:2], -1)
    return _Between(
        batch, smooth.points, out, _Line(cell, owner, other, cut.ends, cut.lines, table)
    )


class Surface:
    """The walls as points with normals, so many on a facet in 2D; lengths over the device."""

    def __init__(self, flow: Flow, walls: list[int]) -> None:
        self._device = device = flow.device
        d, facets, many = device.dimension, device.facets, 2 * PARTS
        here = facets.of(np.isin(facets.piece, walls))
        at = (
            (np.arange(many)[:, None] + 0.5) / many if d == 2 else _divided(*quadrature(2, 1), 3)[0]
        )
        geometry = facet_geometry(cells_of(device), here.cell, here.local, at)
        # Size of the part of the wall that a point stands for.
        reach = np.linalg.norm(np.ptp(geometry.position, axis=1), axis=1) / (
            many - 1 if d == 2 else 2
        )
        corner, each = at_corners(device, here, geometry.normal[:, 0]), np.arange(len(here.cell))
        self._here = here
        self._facet = np.concatenate([np.repeat(each, len(at)), corner.facet])
        self._point = np.concatenate([np.tile(at, (len(each), 1)), corner.point])
        bend = np.trace(geometry.curvature, axis1=2, axis2=3) if d == 2 else np.zeros((1, 1))
        bend = np.broadcast_to(bend, (len(each), len(at)))
        # At a corner as at the next point of the facet.
        last = np.where(corner.point[:, 0] > 0.5, len(at) - 1, 0)
        position, normal, _ = self._points(slice(None))
        single = [
            np.concatenate([np.repeat(reach, len(at)), corner.reach]),
            here.piece[self._facet],
            np.concatenate([bend.ravel(), bend[corner.facet, last]]),
            np.append(np.full(bend.size, -1), corner.pair),
        ]
        into = np.concatenate([np.zeros((bend.size, d)), corner.into])
        columns = [position, normal, into, *single]
        rows = concatenated(device.comm, np.column_stack(columns))
        count = len(rows)
        self._pairs = periodic_pairs(flow.boundaries)
        times, twin = np.zeros((count, len(self._pairs))), twins(rows[:, -1])
        for i, pair in enumerate(self._pairs):  # their translations
            moved, step = np.zeros(rows.shape[1]), np.eye(len(self._pairs))[i]
            moved[:d] = translation(device, lagrange(device, 1), pair) / device.extent
            rows = np.concatenate([rows - moved, rows, rows + moved])
            times = np.concatenate([times - step, times, times + step])
            twin = np.concatenate([twin + k * len(twin) for k in range(3)])
        # The same order, and so the same choice among equals, on any number of ranks.
        order = np.lexsort(rows[:, :-2].T)
        self._row, self._twin = order % max(count, 1), np.argsort(order)[twin[order]]
        rows, self._times = rows[order], times[order]
        self.position, self.normal, self._into = np.split(rows[:, : 3 * d], 3, axis=1)
        self.reach, self.piece = rows[:, -4], rows[:, -3].astype(np.int64)
        self.bend = rows[:, -2]  # in 2D; in 3D walls are flat beside their points

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

    def derivative(
        self, points: np.ndarray, pieces: np.ndarray, weights: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Derivatives of the sum of weights (m, pieces) times distances.

        Returns:
            In the points, (m, d), and in the rows of the walls, (rows, 2 d): in their positions,
            and in 2D in their change along the wall, in 3D minus in that of their normals.
        """
        d = points.shape[1]
        moved, rows = np.zeros_like(points), np.zeros((len(self.piece), 2 * d))
        for weight, piece in zip(weights.T, pieces, strict=True):
            own = np.flatnonzero(self.piece == piece)
            far, at = cKDTree(self.position[own]).query(points)
            at = own[at]
            offset, normal = points - self.position[at], self.normal[at]
            high, root = self._height(points, far, at)
            flat = (offset * normal).sum(axis=1)
            beside = self._beside(points, far, at)
            sign = np.where(beside, np.sign(high), 0.0)[:, None]
            away = offset / np.where(far > 0, far, 1.0)[:, None]
            away = away + self._turn(rows, offset, at, np.where(beside, 0.0, weight))
            # The foot of the perpendicular: so far along the wall, and with this normal.
            foot = offset - flat[:, None] * normal
            foot = foot / np.where(beside, 1 + self.bend[at] * flat, 1.0)[:, None]
            if d == 2:
                foot = (foot[:, 1] * normal[:, 0] - foot[:, 0] * normal[:, 1])[:, None]
            normal = (normal + self.bend[at][:, None] * offset) / root[:, None]
            along = weight[:, None] * np.where(beside[:, None], sign * normal, away)
            turn = -weight[:, None] * sign * foot * (normal if d == 2 else 1.0)
            moved += along
            np.add.at(rows, at, np.column_stack([-along, turn]))
        return moved, rows

    def _turn(
        self, rows: np.ndarray, offset: np.ndarray, at: np.ndarray, weight: np.ndarray
    ) -> np.ndarray:
        """Add to the rows how walls turn that meet at corners; the slope of what is added there."""
        twin, d = self._twin[at], offset.shape[1]
        _, slope, *parts = farther(offset, self._into[at], self._into[twin])
        for row, part in zip((at, twin), parts, strict=True):
            normal, into = self.normal[row], self._into[row]
            turn = (weight * part * (offset * normal).sum(axis=1))[:, None] * into
            if d == 2:  # of the tangent, which is (-n_y, n_x)
                sign = into[:, 1] * normal[:, 0] - into[:, 0] * normal[:, 1]
                turn = (weight * part * sign * (offset * normal).sum(axis=1))[:, None] * normal
            np.add.at(rows[:, d:], row, turn)
        return slope

    def on_facets(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Cells of this rank's facets, and what derivatives in rows are at their nodes."""
        cells, last = cells_of(self._device), self._device.comm.scan(len(self._facet))
        own = (self._row >= last - len(self._facet)) & (self._row < last)
        which = self._row[own] - last + len(self._facet)
        cell = self._here.cell[self._facet[which]]
        _, normal, tables = self._points(which)
        position, turn = np.split(rows[own], 2, axis=1)
        nodes = tables[:, 0, :, None] * position[:, None]
        first = tables[:, 1:] @ cells.nodes[cell]
        if position.shape[1] == 2:
            turn = turn / np.linalg.norm(first[:, 0], axis=1)[:, None]
            return cell, nodes + tables[:, 1, :, None] * turn[:, None]
        # A normal n changes by -x^b n.dx_b, x_b along the facet and x^b dual to them.
        along = np.linalg.solve(first @ first.swapaxes(1, 2), first @ turn[..., None])
        return cell, nodes + (tables[:, 1:].swapaxes(1, 2) @ along) * normal[:, None]

    def _points(self, which: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Positions and normals of points of this rank, and the basis and its slopes there."""
        cells, facet = cells_of(self._device), self._facet[which]
        tables = at_facets(cells.element, self._here.local[facet], self._point[which])
        position, *first = np.moveaxis(tables @ cells.nodes[self._here.cell[facet]], 1, 0)
        normal = first[0][:, ::-1] * [1, -1] if len(first) == 1 else np.cross(*first)
        return position, normal / np.linalg.norm(normal, axis=1)[:, None], tables

    def on_pairs(self, rows: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The same of the translations of periodic pairs, from the sums over all ranks."""
        device, on_facet = self._device, lagrange(self._device, 1).on_facet
        d, nodes = device.dimension, cells_of(device).nodes
        for pair, force in zip(self._pairs, self._times.T @ rows[:, :d], strict=True):
            for name, sign in zip(pair, (-1, 1), strict=True):
                facets = device.facets_on(name)
                count = int(total(device.comm, len(facets.cell)))
                out = np.zeros((len(facets.cell), *nodes.shape[1:]))
                each = np.arange(len(facets.cell))[:, None]
                out[each, on_facet[facets.local]] = sign * force / (count * d)
                yield facets.cell, out

    def _along_normal(self, points: np.ndarray, far: np.ndarray, at: np.ndarray) -> np.ndarray:
        """Distances from the wall, of points whose distances from its points ``at`` are ``far``."""
        # Where the foot of the perpendicular lies beside the point, the distance is along it.
        beside = self._beside(points, far, at)
        more = farther(points - self.position[at], self._into[at], self._into[self._twin[at]])[0]
        return np.where(beside, np.abs(self._height(points, far, at)[0]), far + more)

    def _beside(self, points: np.ndarray, far: np.ndarray, at: np.ndarray) -> np.ndarray:
        """Whether the feet of perpendiculars from points are on the wall, beside points of it."""
        offset = points - self.position[at]
        flat = (offset * self.normal[at]).sum(axis=-1)
        before = (offset * self._into[at]).sum(axis=-1) >= 0
        return np.asarray(before & (far**2 - flat**2 < self.reach[at] ** 2))

    def _height(
        self, points: np.ndarray, far: np.ndarray, at: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Height over the circle of curvature at points of the wall, outside positive.

        And the distance from its centre over its radius.
        """
        flat = ((points - self.position[at]) * self.normal[at]).sum(axis=-1)
        bend = self.bend[at]
        root = np.sqrt(np.maximum(1 + 2 * bend * flat + (bend * far) ** 2, 0.0))
        return (2 * flat + bend * far**2) / (1 + root), root


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
