"""Walls in 3D as points with normals, and how far from them the points of a conductor are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import permutations, product
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from meso.device import Device
from meso.discrete.cells import at_facets, cells_of, facet_geometry, lagrange, quadrature
from meso.discrete.motion import from_translations
from meso.discrete.periodic import translation
from meso.mpi import concatenated
from meso.observables.curves import Pairs
from meso.observables.reentrant import EQUAL, Edges, at_corners

#: Parts along a side of the cells that lie between two walls.
PARTS = 4
# Points of walls among which the nearest wall is looked for.
_CANDIDATES = 8


class Surface:
    """The walls as points with normals, flat beside these; lengths over the device."""

    def __init__(self, device: Device, walls: Sequence[int], pairs: Pairs) -> None:
        self._device = device
        facets = device.facets
        here = facets.of(np.isin(facets.piece, walls))
        at = divided(*quadrature(2, 1), 3)[0]
        geometry = facet_geometry(cells_of(device), here.cell, here.local, at)
        # Size of the part of the wall that a point stands for.
        reach = np.linalg.norm(np.ptp(geometry.position, axis=1), axis=1) / 2
        corner, each = at_corners(device, here, geometry.normal[:, 0]), np.arange(len(here.cell))
        self._here = here
        self._facet = np.concatenate([np.repeat(each, len(at)), corner.facet])
        self._point = np.concatenate([np.tile(at, (len(each), 1)), corner.point])
        position, normal, _ = self._points(slice(None))
        single = [
            np.concatenate([np.repeat(reach, len(at)), corner.reach]),
            here.piece[self._facet],
            np.append(np.full(len(each) * len(at), -1), corner.pair),
        ]
        into = np.concatenate([np.zeros((len(each) * len(at), 3)), corner.into])
        columns = [position, normal, into, *single]
        rows = concatenated(device.comm, np.column_stack(columns))
        self._pairs = pairs
        count, pair = len(rows), rows[:, -1].astype(np.int64)
        times = np.zeros((count, len(self._pairs)))
        for i, names in enumerate(self._pairs):  # their translations
            moved, step = np.zeros(rows.shape[1]), np.eye(len(self._pairs))[i]
            moved[:3] = translation(device, lagrange(device, 1), names) / device.extent
            rows = np.concatenate([rows - moved, rows, rows + moved])
            times = np.concatenate([times - step, times, times + step])
            many = pair.max(initial=-1) // 2 * 2 + 2
            pair = np.concatenate([np.where(pair < 0, -1, pair + k * many) for k in range(3)])
        # The same order, and so the same choice among equals, on any number of ranks.
        order = np.lexsort([pair, *rows[:, :-2].T])
        self._row, pair = order % max(count, 1), pair[order]
        rows, self._times = rows[order], times[order]
        self.position, self.normal, into = np.split(rows[:, :9], 3, axis=1)
        self.reach, self.piece = rows[:, -3], rows[:, -2].astype(np.int64)
        self._edges = Edges(self.position, self.normal, into, self.piece, pair)
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
        if not len(self._edges.piece):
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
            beyond = self._edges.beyond(points, far, piece)
            out[beyond.point, k] = beyond.distance
        return out

    def derivative(
        self, points: np.ndarray, pieces: np.ndarray, weights: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Derivatives of the sum of weights (m, pieces) times distances.

        Returns:
            In the points, (m, 3), and in the rows of the walls, (rows, 6): in their positions, and
            minus that in their normals.
        """
        moved, rows = np.zeros_like(points), np.zeros((len(self.piece), 6))
        for weight, piece in zip(weights.T, pieces, strict=True):
            own = np.flatnonzero(self.piece == piece)
            far, at = cKDTree(self.position[own]).query(points)
            at = own[at]
            beyond, weight = self._edges.beyond(points, far, piece), weight.copy()
            moved[beyond.point] += self._edges.derivative(beyond, weight[beyond.point], rows)
            weight[beyond.point] = 0.0
            offset, normal = points - self.position[at], self.normal[at]
            flat = (offset * normal).sum(axis=1)
            beside = self._beside(points, far, at)
            sign = np.where(beside, np.sign(flat), 0.0)[:, None]
            away = offset / np.where(far > 0, far, 1.0)[:, None]
            along = weight[:, None] * np.where(beside[:, None], sign * normal, away)
            # The foot of the perpendicular: so far along the wall, and with this normal.
            turn = -weight[:, None] * sign * (offset - flat[:, None] * normal)
            moved += along
            np.add.at(rows, at, np.column_stack([-along, turn]))
        return moved, rows

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
        # A normal n changes by -x^b n.dx_b, x_b along the facet and x^b dual to them.
        along = np.linalg.solve(first @ first.swapaxes(1, 2), first @ turn[..., None])
        return cell, nodes + (tables[:, 1:].swapaxes(1, 2) @ along) * normal[:, None]

    def _points(self, which: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Positions and normals of points of this rank, and the basis and its slopes there."""
        cells, facet = cells_of(self._device), self._facet[which]
        tables = at_facets(cells.element, self._here.local[facet], self._point[which])
        position, *first = np.moveaxis(tables @ cells.nodes[self._here.cell[facet]], 1, 0)
        normal = np.cross(*first)
        return position, normal / np.linalg.norm(normal, axis=1)[:, None], tables

    def on_pairs(self, rows: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The same of the translations of periodic pairs, from the sums over all ranks."""
        return from_translations(self._device, self._pairs, self._times.T @ rows[:, :3])

    def _along_normal(self, points: np.ndarray, far: np.ndarray, at: np.ndarray) -> np.ndarray:
        """Distances from the wall, of points whose distances from its points ``at`` are ``far``."""
        # Where the foot of the perpendicular lies beside the point, the distance is along it.
        flat = ((points - self.position[at]) * self.normal[at]).sum(axis=-1)
        return np.where(self._beside(points, far, at), np.abs(flat), far)

    def _beside(self, points: np.ndarray, far: np.ndarray, at: np.ndarray) -> np.ndarray:
        """Whether the feet of perpendiculars from points are on the wall, beside points of it."""
        flat = ((points - self.position[at]) * self.normal[at]).sum(axis=-1)
        return np.asarray(far**2 - flat**2 < self.reach[at] ** 2)


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
