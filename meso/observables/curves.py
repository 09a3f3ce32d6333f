"""Walls in 2D as curves, and how far from them the points of a conductor are.

The distance from a wall is that from its nearest point, on polynomials of the degree of the mesh:
continuous in the shape. As that point moves it changes by minus the motion along the way from it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from scipy.spatial import cKDTree

from meso.device import Device
from meso.discrete.cells import at_facets, cells_of, lagrange
from meso.discrete.motion import from_translations
from meso.discrete.periodic import translation
from meso.mpi import concatenated
from meso.observables.reentrant import EQUAL, at_corners, farther, twins

# Places on a facet from which the nearest point is looked for; two have it, at the end of one.
_PLACES = np.linspace(0.0, 1.0, 9)
# Such places among which the nearest wall is looked for, and steps of Newton's method.
_CANDIDATES, _NEWTON, _EXACT = 8, 8, 1e-13
# So much of a facet a wall goes on where it ends, at a contact or a corner that is not re-entrant:
# distances of points on a perpendicular contact change as smoothly with the shape as others.
_BEYOND = 0.125


#: Periodic boundaries by name.
Pairs = tuple[tuple[str, str], ...]


class Feet(NamedTuple):
    """Nearest points of curves.

    Attributes:
        facet: The facet, of any shape (...).
        place: Where on it, from 0 to 1, or a little beyond the end of a wall.
        offset: From there to the point, (..., 2).
        corner: Number of the corner that it is, else -1.
        distance: With what is added beyond re-entrant corners.
    """

    facet: np.ndarray
    place: np.ndarray
    offset: np.ndarray
    corner: np.ndarray
    distance: np.ndarray


class Curves:
    """The facets of walls, of all ranks and of neighbouring periods; lengths over the device."""

    def __init__(self, device: Device, walls: Sequence[int], pairs: Pairs) -> None:
        self._device = device
        cells = cells_of(device)
        self._here = here = device.facets.of(np.isin(device.facets.piece, walls))
        # Coefficients c_k of x = c_k s^k by the nodes of the cell.
        s = np.linspace(0.0, 1.0, cells.degree + 1)[:, None]
        powers = np.linalg.inv(s ** np.arange(len(s)))
        local = np.repeat(np.arange(3), len(s))
        self._table = powers @ at_facets(cells.element, local, np.tile(s, (3, 1)))[:, 0].reshape(
            3, len(s), -1
        )
        own = self._table[here.local] @ cells.nodes[here.cell]
        power = np.arange(1, len(s))
        along = (power * 0.5 ** (power - 1.0)) @ own[:, 1:]
        normal = along[:, ::-1] * [1, -1] / np.linalg.norm(along, axis=1)[:, None]
        corner = at_corners(device, here, normal)
        pair = np.full((len(own), 2), -1)
        pair[corner.facet, (corner.point[:, 0] > 0.5).astype(int)] = corner.pair
        rows = np.column_stack([own.reshape(len(own), 2 * len(s)), here.piece, pair])
        rows = concatenated(device.comm, rows)
        self._pairs = pairs
        count, pair = len(rows), rows[:, -2:].astype(np.int64)
        times = np.zeros((count, len(self._pairs)))
        for i, names in enumerate(self._pairs):  # their translations
            step = np.eye(len(self._pairs))[i]
            moved = np.zeros(rows.shape[1])
            moved[:2] = translation(device, lagrange(device, 1), names) / device.extent
            rows = np.concatenate([rows - moved, rows, rows + moved])
            times = np.concatenate([times - step, times, times + step])
            many = pair.max(initial=-1) + 1
            pair = np.concatenate([np.where(pair < 0, -1, pair + k * many) for k in range(3)])
        # The same order, and so the same choice among equals, on any number of ranks.
        order = np.lexsort(rows[:, :-2].T)
        self._row, self._times = order % max(count, 1), times[order]
        rows, pair = rows[order], pair[order]
        self._curve = rows[:, :-3].reshape(len(rows), len(s), 2)
        self._straight = not (np.abs(self._curve[:, 2:]) > _EXACT).any()
        self.piece = rows[:, -3].astype(np.int64)
        # Corners, as places 2 f and 2 f + 1 at the ends of facets, and those of the other wall.
        self._corner, self._twin = pair.ravel() >= 0, twins(pair.ravel())
        self._places = (_PLACES[:, None] ** np.arange(len(s)) @ self._curve).reshape(-1, 2)
        ends = self._places.reshape(-1, len(_PLACES), 2)[:, [0, -1]].reshape(-1, 2)
        ends = np.column_stack([ends, np.repeat(self.piece, 2)])
        alone = cKDTree(ends).query(ends, k=2)[0][:, 1] > EQUAL if len(ends) else self._corner
        beyond = np.where(alone & ~self._corner, _BEYOND, 0.0).reshape(-1, 2)
        self._first, self._last = -beyond[:, 0], 1 + beyond[:, 1]

    def nearest(self, points: np.ndarray) -> np.ndarray:
        """Nearest piece of a wall, shape (m,)."""
        facet, place = self._beside(points, np.arange(len(self.piece)), _CANDIDATES)
        out = self.piece[facet[:, 0]]
        several = np.flatnonzero((self.piece[facet] != out[:, None]).any(axis=1))
        found = self._least(points[several], facet[several], place[several])
        out[several] = self.piece[found.facet]
        return out

    def normals(self, points: np.ndarray) -> np.ndarray:
        """Outward normals of the nearest points of walls, (m, 2)."""
        found = self._least(points, *self._beside(points, np.arange(len(self.piece)), _CANDIDATES))
        along = self._along(found.facet, found.place)[1]
        turned = along[:, ::-1] * [1, -1]
        return np.asarray(turned / np.linalg.norm(turned, axis=1)[:, None])

    def distances(self, points: np.ndarray, pieces: np.ndarray) -> np.ndarray:
        """Distances from points to pieces of walls, shape (m, pieces)."""
        out = np.empty((len(points), len(pieces)))
        for k, piece in enumerate(pieces):
            out[:, k] = self._nearest(points, piece).distance
        return out

    def derivative(
        self, points: np.ndarray, pieces: np.ndarray, weights: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Derivatives of the sum of weights (m, pieces) times distances.

        Returns:
            In the points, (m, 2), and in the coefficients of all facets, as of these.
        """
        moved, rows = np.zeros_like(points), np.zeros_like(self._curve)
        orders = np.arange(rows.shape[1])
        for weight, piece in zip(weights.T, pieces, strict=True):
            found = self._nearest(points, piece)
            far = np.linalg.norm(found.offset, axis=1)
            away = found.offset / np.where(far > 0, far, 1.0)[:, None]
            at = np.flatnonzero(found.corner >= 0)
            corner, offset = found.corner[at], found.offset[at]
            both = corner, self._twin[corner]
            _, slope, *parts = farther(offset, *(self._into(each)[0] for each in both))
            away[at] += slope
            for each, part in zip(both, parts, strict=True):
                into, size = self._into(each)
                across = offset - (offset * into).sum(axis=1)[:, None] * into
                turn = (weight[at] * part / size)[:, None] * across
                # From the first end along c_1, from the second along minus the sum of k c_k.
                share = np.where((each % 2 == 0)[:, None], orders == 1, -orders)
                np.add.at(rows, each // 2, share[..., None] * turn[:, None])
            force = weight[:, None] * away
            moved += force
            powers = found.place[:, None] ** orders
            np.add.at(rows, found.facet, -powers[..., None] * force[:, None])
        return moved, rows

    def on_facets(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Cells of this rank's facets, and what derivatives in rows are at their nodes."""
        last = self._device.comm.scan(len(self._here.cell))
        first = last - len(self._here.cell)
        own = (self._row >= first) & (self._row < last)
        facet = self._row[own] - first
        nodes = self._table[self._here.local[facet]].swapaxes(1, 2) @ rows[own]
        return self._here.cell[facet], nodes

    def on_pairs(self, rows: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The same of the translations of periodic pairs, from the sums over all ranks."""
        return from_translations(self._device, self._pairs, self._times.T @ rows[:, 0])

    def _nearest(self, points: np.ndarray, piece: int) -> Feet:
        """The nearest points of a piece."""
        return self._least(points, *self._beside(points, np.flatnonzero(self.piece == piece), 2))

    def _beside(
        self, points: np.ndarray, facets: np.ndarray, count: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Facets, of some, and places on them that are nearest to points, (m, count) each."""
        many = len(_PLACES)
        places = self._places.reshape(-1, many, 2)[facets].reshape(-1, 2)
        count = min(count, len(places))
        at = cKDTree(places).query(points, k=count)[1].reshape(len(points), count)
        return facets[at // many], _PLACES[at % many]

    def _least(self, points: np.ndarray, facet: np.ndarray, place: np.ndarray) -> Feet:
        """The nearest points of one of several facets, (m, count)."""
        found = self._feet(points[:, None], facet, place)
        best, each = found.distance.argmin(axis=1), np.arange(len(points))
        return Feet(*(part[each, best] for part in found))

    def _feet(self, points: np.ndarray, facet: np.ndarray, place: np.ndarray) -> Feet:
        """The nearest points of facets, by Newton's method from some places on."""
        first, last = self._first[facet], self._last[facet]
        for _ in range(1 if self._straight else _NEWTON):
            x, along, bend = self._along(facet, place)
            flat = (along**2).sum(axis=-1)
            slope = flat - ((points - x) * bend).sum(axis=-1)
            step = ((points - x) * along).sum(axis=-1) / np.where(slope > 0, slope, flat)
            before, place = place, np.clip(place + step, first, last)
            if np.abs(place - before).max(initial=0.0) < _EXACT:
                break
        offset = points - self._along(facet, place)[0]
        distance = np.linalg.norm(offset, axis=-1)
        if not self._corner.any():
            return Feet(facet, place, offset, np.full(place.shape, -1), distance)
        corner = np.where(place == 0, 2 * facet, np.where(place == 1, 2 * facet + 1, -1))
        corner = np.where((corner >= 0) & self._corner[corner], corner, -1)
        at = corner >= 0
        into = (self._into(end)[0] for end in (corner[at], self._twin[corner[at]]))
        distance[at] += farther(offset[at], *into)[0]
        return Feet(facet, place, offset, corner, distance)

    def _along(
        self, facet: np.ndarray, place: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Points of facets, and the first and second derivative along these."""
        curve, s = self._curve[:, : 2 if self._straight else None][facet], place[..., None]
        x, along, bend = curve[..., -1, :], np.zeros(1), np.zeros(1)
        for k in reversed(range(curve.shape[-2] - 1)):
            x, along, bend = x * s + curve[..., k, :], along * s + x, bend * s + 2 * along
        return x, along, bend

    def _into(self, end: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Directions into facets at ends, (m, 2), and sizes of the derivative there, (m,)."""
        along = self._along(end // 2, (end % 2).astype(float))[1] * (1 - 2 * (end % 2))[:, None]
        size = np.linalg.norm(along, axis=1)
        return along / size[:, None], size
