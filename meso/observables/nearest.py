"""Which wall each point of a conductor is nearest to, and integrals over what belongs to each.

These are linear in what is integrated, and change with the shape: cells stretch, and the line where
two walls are equally near moves against them (:meth:`Division.derivative`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from meso._compat import scalar_element
from meso.boundary import Wall, law_of
from meso.discrete.cells import (
    Lagrange,
    cells_of,
    inverse,
    lagrange,
    quadrature,
)
from meso.discrete.expressions import cell_integrals
from meso.discrete.fields import Field, nodal_values
from meso.discrete.motion import Nodes, from_cells, from_places
from meso.flow.result import Flow
from meso.mpi import concatenated, total
from meso.observables.cutting import corner_quadrature, least_of
from meso.observables.reentrant import EQUAL
from meso.observables.surface import PARTS, Surface, divided

# So many times more in triangles where three meet: the part there is shared evenly.
_FINE = 8
_BATCH = 4_000_000
# Points in each of these, about.
_POINTS = 400


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
        parts: Of cells between walls along their sides, in 3D: in each distances are linear.

    Attributes:
        owner: Piece of a boundary that all of a cell is nearest to, -1 for cells between walls,
            shape (c,).
        candidates: Pieces that cells between walls may be nearest to.
        distance: From these, over ``Device.extent``, at the nodes of this degree that may lie
            between walls, shape (nodes, candidates).
    """

    def __init__(self, flow: Flow, degree: int = 2, parts: int = PARTS) -> None:
        self.device, self._parts = flow.device, parts
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

    def moments(self, *densities: Field) -> np.ndarray:
        """Integrals of densities over this rank's points next to each piece, (pieces, k).

        The components k are those of all of them, one after the other.
        """
        device, cells, whole = self.device, cells_of(self.device), []
        for density in densities:
            degree = density.highest + cells.dimension * (cells.degree - 1)
            values = cell_integrals(device, density.function(), degree=degree)
            whole.append(values.reshape(cells.count, density.components))
        together, sure = np.column_stack(whole), self.owner >= 0
        moment = np.zeros((len(device.pieces), together.shape[1]))
        np.add.at(moment, self.owner[sure], together[sure])
        for part in self._between(densities, moving=False, lines=False):
            parts = [x.table(part.points) @ nodal_values(x.data, part.cells) for x in densities]
            values = np.concatenate(parts, axis=2)
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
        for part in self._between([density], moving=True):
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
            points, weights, table = _of_side(space, side, density.highest, self._parts)
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

    def _between(
        self, densities: Sequence[Field], *, moving: bool, lines: bool = True
    ) -> Iterator[_Between]:
        """Cells between walls, and how densities are integrated there; ``moving``: in any shape.

        In 3D without their ``lines`` if they are not wanted.
        """
        space, count = self.space, sum(density.components for density in densities)
        highest = max(density.highest for density in densities)
        step = max(1, _BATCH // (_POINTS * (len(self.candidates) + count + 9)))
        cells, unsure = cells_of(self.device), self.owner < 0
        for flat in (True, False):
            chosen = np.flatnonzero(unsure & ((cells.affine & (not moving)) == flat))
            degree = highest + (0 if flat else cells.dimension * (cells.degree - 1))
            for batch in _batches(chosen, step):
                distance = self.distance[space.dofs[batch]]
                if cells.dimension == 3:
                    yield _divided_cells(space, batch, distance, degree, self._parts, lines=lines)
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
    return distance <= distance.min(axis=axis, keepdims=True) + EQUAL


def _of_side(
    space: Lagrange, side: np.ndarray, degree: int, parts: int
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
    ends = divided(np.eye(3)[:, 1:], np.ones(3), parts)[0]
    barycentric = np.column_stack([1 - points.sum(axis=1), points])
    ends = (corner[0] + ends @ along).reshape(-1, 3, d)
    table = barycentric @ space.values(ends.reshape(-1, d)).reshape(len(ends), 3, -1)
    points, weights = (barycentric @ ends).reshape(-1, d), np.tile(weights, len(ends)) / len(ends)
    return points, weights * size, table.reshape(len(points), -1)


def _divided_cells(
    space: Lagrange,
    batch: np.ndarray,
    distance: np.ndarray,
    degree: int,
    cuts: int,
    *,
    lines: bool,
) -> _Between:
    """Tetrahedra whose parts are divided where walls are equally near.

    Distances are given at the nodes of the space, shape (c, n, walls).
    """
    smooth = scalar_element("tetrahedron", degree)
    corners = divided(np.eye(4)[:, 1:], np.ones(4), cuts)[0].reshape(-1, 4, 3)
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
    pieces, between = least_of(
        np.concatenate(columns, axis=2), slice(3, 3 + walls), EQUAL, lines=lines
    )
    amount = pieces.size[:, None] * amounts(pieces.corners[..., :3])
    np.add.at(out, (cell[pieces.of], pieces.owner), amount)
    if not lines:
        return _Between(batch, smooth.points, out, None)
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
    return divided(np.eye(3)[:, 1:], np.ones(3), parts)[0].reshape(-1, 3, 2)


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
    points, weights = divided(*quadrature(2, degree), parts)
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


def _batches(cells: np.ndarray, step: int) -> list[np.ndarray]:
    return [cells[i : i + step] for i in range(0, len(cells), step)]
