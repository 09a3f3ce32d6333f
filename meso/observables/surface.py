"""Walls as points with normals, and how far from them the points of a conductor are."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations, product
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from meso.discrete.cells import at_facets, cells_of, facet_geometry, lagrange, quadrature
from meso.discrete.periodic import translation
from meso.flow.result import Flow, periodic_pairs
from meso.mpi import concatenated, total
from meso.observables.reentrant import EQUAL, Edges, at_corners, farther, twins

#: Parts along a side of the cells that lie between two walls.
PARTS = 4
# Points of walls among which the nearest wall is looked for.
_CANDIDATES = 8


class Surface:
    """The walls as points with normals, so many on a facet in 2D; lengths over the device."""

    def __init__(self, flow: Flow, walls: list[int]) -> None:
        self._device = device = flow.device
        d, facets, many = device.dimension, device.facets, 2 * PARTS
        here = facets.of(np.isin(facets.piece, walls))
        at = (np.arange(many)[:, None] + 0.5) / many if d == 2 else divided(*quadrature(2, 1), 3)[0]
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
        self._pairs = periodic_pairs(flow.boundaries)
        count, pair = len(rows), rows[:, -1].astype(np.int64)
        times = np.zeros((count, len(self._pairs)))
        for i, names in enumerate(self._pairs):  # their translations
            moved, step = np.zeros(rows.shape[1]), np.eye(len(self._pairs))[i]
            moved[:d] = translation(device, lagrange(device, 1), names) / device.extent
            rows = np.concatenate([rows - moved, rows, rows + moved])
            times = np.concatenate([times - step, times, times + step])
            many = pair.max(initial=-1) // 2 * 2 + 2
            pair = np.concatenate([np.where(pair < 0, -1, pair + k * many) for k in range(3)])
        # The same order, and so the same choice among equals, on any number of ranks.
        order = np.lexsort([pair, *rows[:, :-2].T])
        self._row, pair = order % max(count, 1), pair[order]
        rows, self._times = rows[order], times[order]
        self.position, self.normal, self._into = np.split(rows[:, : 3 * d], 3, axis=1)
        self.reach, self.piece = rows[:, -4], rows[:, -3].astype(np.int64)
        self.bend = rows[:, -2]  # in 2D; in 3D walls are flat beside their points
        self._twin, self._edges = twins(pair), None
        if d == 3:
            self._edges = Edges(self.position, self.normal, self._into, self.piece, pair)
            self.piece = np.where(pair < 0, self.piece, -1)  # these count as edges

    def nearest(self, points: np.ndarray) -> np.ndarray:
        """Nearest piece of a wall, shape (m,)."""
        many = min(_CANDIDATES, int((self.piece >= 0).sum()))
        here = np.flatnonzero(self.piece >= 0)
        far, at = cKDTree(self.position[here]).query(points, k=many)
        far, at = far.reshape(len(points), many), here[at].reshape(len(points), many)
        best = self._along_normal(points[:, None], far, at).argmin(axis=1)
        piece = self.piece[at[np.arange(len(points)), best]]
        return self._at_edges(points, far, self.piece[at], piece)

    def _at_edges(
        self, points: np.ndarray, far: np.ndarray, pieces: np.ndarray, nearest: np.ndarray
    ) -> np.ndarray:
        """Nearest pieces among some, (m, k), where two of these meet at an edge."""
        if not self._edges or not len(self._edges.piece):
            return nearest
        edge, _, offset = self._edges.nearest(points)
        both = self._edges.piece[np.column_stack([edge, edge ^ 1])]
        close = np.linalg.norm(offset, axis=1) <= far.min(axis=1) + EQUAL
        pieces = np.column_stack([pieces, np.where(close[:, None], both, nearest[:, None])])
        several = np.flatnonzero((pieces != pieces[:, :1]).any(axis=1))
        least = np.full(len(points), np.inf)
        for piece in np.unique(pieces[several]):
            here = several[(pieces[several] == piece).any(axis=1)]
            distance = self.distances(points[here], np.array([piece]))[:, 0]
            nearer = distance < least[here] - EQUAL
            nearest[here[nearer]], least[here[nearer]] = piece, distance[nearer]
        return nearest

    def distances(self, points: np.ndarray, pieces: np.ndarray) -> np.ndarray:
        """Distances from points to pieces of walls, shape (m, pieces)."""
        out = np.empty((len(points), len(pieces)))
        for k, piece in enumerate(pieces):
            own = np.flatnonzero(self.piece == piece)
            far, at = cKDTree(self.position[own]).query(points)
            out[:, k] = self._along_normal(points, far, own[at])
            if self._edges:
                beyond = self._edges.beyond(points, far, piece)
                out[beyond.point, k] = beyond.distance
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
            if self._edges:
                beyond, weight = self._edges.beyond(points, far, piece), weight.copy()
                part = self._edges.derivative(beyond, weight[beyond.point], rows)
                moved[beyond.point] += part
                weight[beyond.point] = 0.0
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
        before = (self._twin[at] == at) | ((offset * self._into[at]).sum(axis=-1) >= EQUAL)
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


def divided(points: np.ndarray, weights: np.ndarray, parts: int) -> tuple[np.ndarray, np.ndarray]:
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
