"""Which wall each point of a conductor is nearest to, and integrals over what belongs to each.

These are linear in what is integrated, and change with the shape: cells stretch, and the line where
two walls are equally near moves against them (:meth:`Division.derivative`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from itertools import product
from math import factorial
from typing import NamedTuple

import numpy as np

from meso._compat import scalar_element
from meso.boundary import Wall, law_of
from meso.device import Device
from meso.discrete.cells import (
    Lagrange,
    cells_of,
    inverse,
    lagrange,
    of_device,
    quadrature,
)
from meso.discrete.expressions import cell_integrals
from meso.discrete.fields import Field, nodal_values
from meso.discrete.motion import Nodes, from_cells, from_places
from meso.flow.result import Flow, periodic_pairs
from meso.mpi import concatenated, total
from meso.observables.bending import Line, bent
from meso.observables.curves import Curves, Pairs
from meso.observables.cutting import least_of
from meso.observables.reentrant import EQUAL
from meso.observables.surface import PARTS, Surface, divided

# So many times more in triangles in which three walls may meet.
_FINE = 4
_BATCH = 4_000_000
# Points in each of these, about.
_POINTS = 400


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
    line: Line | None


class Division:
    """The cells of this rank, divided among the walls of a flow.

    Args:
        device: The device.
        walls: Pieces of the boundary that are walls.
        pairs: Periodic boundaries.
        degree: Of the polynomials that distances from walls are in a cell.
        parts: Of cells between walls along their sides, in 3D: in each distances are linear.

    Attributes:
        owner: Piece of a boundary that all of a cell is nearest to, -1 for cells between walls,
            shape (c,).
        candidates: Pieces that cells between walls may be nearest to.
        distance: From these, over ``Device.extent``, at the nodes of this degree that may lie
            between walls, shape (nodes, candidates).
    """

    def __init__(
        self, device: Device, walls: Sequence[int], pairs: Pairs, degree: int, parts: int
    ) -> None:
        self.device, self._parts = device, parts
        self.space = space = lagrange(device, degree)
        shape = Curves if device.dimension == 2 else Surface
        self._surface = surface = shape(device, walls, pairs)
        self._places = space.space.tabulate_dof_coordinates()[:, : device.dimension]
        self._places = places = self._places / device.extent
        nearest = surface.nearest(places)[space.dofs]
        owner = nearest[:, 0].copy()
        # Lines between walls pass these cells, or perhaps a side of those beside them.
        touched = np.zeros(space.nodes)
        touched[space.dofs[(nearest != nearest[:, :1]).any(axis=1)]] = 1.0
        unsure = np.flatnonzero((space.shared_sum(touched) > 0)[space.dofs].any(axis=1))
        used = np.unique(space.dofs[unsure])
        # Those of all ranks: beyond a corner two walls are equally near, though each rank may see
        # one.
        seen = concatenated(device.comm, np.unique(nearest[unsure]))
        self.candidates = np.unique(seen).astype(np.int64)
        self.distance = np.empty((space.nodes, len(self.candidates)))
        self.distance[used] = surface.distances(places[used], self.candidates)
        self._bernstein = _bernstein(space.points, degree)
        size = space.dofs.shape[1] * len(self.candidates) + 1
        for batch in _batches(unsure, _BATCH // size):
            near = self._near(self.distance[space.dofs[batch]])
            owner[batch] = np.where(near.sum(axis=1) > 1, -1, self.candidates[near.argmax(axis=1)])
        self.owner = owner

    def _near(self, distance: np.ndarray) -> np.ndarray:
        """Which walls may be nearest to a point of cells, by distances (c, n, walls)."""
        bound = self._bernstein @ distance
        least = bound.max(axis=1).argmin(axis=1)[:, None, None]
        return np.asarray((bound - np.take_along_axis(bound, least, 2)).min(axis=1) <= EQUAL)

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
        self._move(known, motion)
        return weights, motion.owned

    def _along(
        self,
        density: Field,
        share: np.ndarray,
        known: np.ndarray,
        batch: np.ndarray,
        line: Line | None,
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
                near = self._near(distance)
                crowded = (near.sum(axis=1) > 2) & (cells.dimension == 2)
                for here, parts in ((~crowded, self._parts), (crowded, _FINE * self._parts)):
                    for part in _batches(np.flatnonzero(here), max(1, step // parts**2 * 4)):
                        # Only the walls that may be near.
                        many = near[part].sum(axis=1).max()
                        which = np.argsort(~near[part], axis=1, kind="stable")[:, :many]
                        at = np.take_along_axis(distance[part], which[:, None], 2)
                        found = _divided_cells(space, batch[part], at, degree, parts, lines=lines)
                        yield _among(found, which, len(self.candidates))


_made = of_device(Division)


def division(flow: Flow, degree: int = 2, parts: int = PARTS) -> Division:
    """The cells divided among the walls of a flow; made once for those of a device."""
    pairs = periodic_pairs(flow.boundaries)
    return _made(flow.device, tuple(walls_of(flow)), pairs, degree, parts)


def walls_of(flow: Flow) -> list[int]:
    """Pieces of the boundary that are walls."""
    laws = [law_of(flow.boundaries, piece.boundary) for piece in flow.device.pieces]
    return [i for i, law in enumerate(laws) if isinstance(law, Wall)]


def _among(found: _Between, which: np.ndarray, count: int) -> _Between:
    """The same among so many candidates, of which each cell had these, (c, walls)."""
    weights = np.zeros((len(which), count, found.weights.shape[2]))
    np.put_along_axis(weights, which[..., None], found.weights, 1)
    if (line := found.line) is not None:
        owner, other = (which[line.cell, wall] for wall in (line.owner, line.other))
        line = line._replace(owner=owner, other=other)
    return found._replace(weights=weights, line=line)


def _bernstein(points: np.ndarray, degree: int) -> np.ndarray:
    """From values at the nodes of a simplex to coefficients, between which a polynomial stays."""
    powers = [p for p in product(range(degree + 1), repeat=points.shape[1] + 1) if sum(p) == degree]
    barycentric = np.column_stack([1 - points.sum(axis=1), points])
    many = [factorial(degree) / np.prod([factorial(i) for i in p]) for p in powers]
    table = [
        m * np.prod(barycentric ** np.array(p), axis=1) for m, p in zip(many, powers, strict=True)
    ]
    return np.linalg.inv(np.transpose(table))


@cache
def _corners(d: int, parts: int) -> np.ndarray:
    """Corners of the parts of a reference cell, (parts, d + 1, d)."""
    return divided(np.eye(d + 1)[:, 1:], np.ones(d + 1), parts)[0].reshape(-1, d + 1, d)


def _divided_cells(
    space: Lagrange,
    batch: np.ndarray,
    distance: np.ndarray,
    degree: int,
    cuts: int,
    *,
    lines: bool,
) -> _Between:
    """Cells whose parts are divided where walls are equally near.

    Distances are given at the nodes of the space, shape (c, n, walls). In each part they are
    linear; in 2D lines between walls are then bent to where the distances of the space are equal.
    """
    d, walls = space.points.shape[1], distance.shape[2]
    smooth = scalar_element({2: "triangle", 3: "tetrahedron"}[d], degree)
    corners = _corners(d, cuts)
    table = space.values(corners.reshape(-1, d)).reshape(len(corners), d + 1, -1)
    at = (table.reshape(-1, table.shape[2]) @ distance).reshape(len(batch), *corners.shape[:2], -1)
    near = (at <= at.min(axis=3, keepdims=True) + EQUAL).any(axis=2)
    points, weights = quadrature(d, degree)
    barycentric = np.column_stack([1 - points.sum(axis=1), points])

    def amounts(points: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Weights of the nodes of polynomials, from those of points (m, q, d), (m, q): (m, n)."""
        values = smooth.tabulate(0, points.reshape(-1, d))[0, :, :, 0]
        return np.asarray((weights[:, None] @ values.reshape(*weights.shape, smooth.dim))[:, 0])

    def inside(corners: np.ndarray) -> np.ndarray:
        size = np.abs(np.linalg.det(corners[:, 1:] - corners[:, :1]))
        return amounts(barycentric @ corners, size[:, None] * weights)

    single = near.sum(axis=2, keepdims=True) == 1
    out = (near & single).swapaxes(1, 2) @ inside(corners)
    cell, part = np.nonzero(~single[..., 0])
    columns = np.concatenate([corners[part], at[cell, part], table[part]], axis=2)
    pieces, between = least_of(columns, slice(d, d + walls), EQUAL, lines=lines or d == 2)
    amount = pieces.size[:, None] * inside(pieces.corners[..., :d])
    np.add.at(out, (cell[pieces.of], pieces.owner), amount)
    if d == 2:
        nodal = distance[cell[between.of]]
        given = columns[between.of], between, degree, cuts
        line, which, points, weights = bent(space, nodal, *given, lines=lines)
        if len(which):
            amount, at = amounts(points, weights), cell[between.of[which]]
            np.add.at(out, (at, between.owner[which]), amount)
            np.add.at(out, (at, between.other[which]), -amount)
        line = line and line._replace(cell=cell[between.of])
        return _Between(batch, smooth.points, out, line)
    if not lines:
        return _Between(batch, smooth.points, out, None)
    points, weights = quadrature(2, degree + 1)
    places = np.column_stack([1 - points.sum(axis=1), points]) @ between.corners
    line = Line(
        cell[between.of],
        between.owner,
        between.other,
        places[..., :3],
        2 * weights * between.size[:, None],
        places[..., 3 + walls :],
    )
    return _Between(batch, smooth.points, out, line)


def _batches(cells: np.ndarray, step: int) -> list[np.ndarray]:
    return [cells[i : i + step] for i in range(0, len(cells), step)]
