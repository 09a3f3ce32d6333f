"""Re-entrant corners, in 3D edges, at which pieces of walls meet, and what divides beyond these.

Beyond such a corner c both pieces end there and are equally near. The bisector divides: with the
components s and t of x - c along the walls, the distance of the piece that is farther (s < t) is
larger by (t - s)/2, from where this piece ends (s < 0) on, also in front of the other one. So the
difference of both is linear beyond the corner, exact in elements, and jumps nowhere.
In 3D, c is the nearest point of an edge. All ranks know all edges, in the order of coordinates.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.spatial import cKDTree

from meso.device import Device
from meso.discrete.cells import cells_of, facet_vertices
from meso.geometry.pieces import Facets
from meso.mpi import concatenated

#: Distances that differ by less than this part of the device are equal.
EQUAL = 1e-9
#: How fast one distance grows beyond the other, where two would be equal.
_TILT = 0.5
#: Sine of the angle by which walls turn into the conductor at least; in 2D also where one goes on
#: as the other.
_SHARP = {2: -1e-3, 3: 1e-3}
# Places along an edge at which it is looked for, and so many that may be nearest to a point.
_PLACES = (np.arange(4) + 0.5) / 4
_CANDIDATES = 8


class AtCorners(NamedTuple):
    """Points of facets at corners, in 3D at the ends of edges.

    Attributes:
        facet: Their facets, (m,).
        point: Where on the reference facet, (m, d - 1).
        into: Direction along the wall, away from the corner, (m, d).
        pair: The same number for the points of the two walls at one place, (m,).
        reach: Height of the facet over the corner, over ``Device.extent``, (m,).
    """

    facet: np.ndarray
    point: np.ndarray
    into: np.ndarray
    pair: np.ndarray
    reach: np.ndarray


def at_corners(device: Device, facets: Facets, normal: np.ndarray) -> AtCorners:
    """The points of this rank's facets of walls, whose normals are (f, d); all ranks call this.

    In 3D the ends of the straight parts of edges, with two numbers for each part: the part's times
    two, plus one for its second end.
    """
    d = device.dimension
    cells, vertices = cells_of(device), facet_vertices(d)[facets.local]
    corners = cells.corners[facets.cell[:, None], vertices]
    facet, apex = (x.ravel() for x in np.indices((len(corners), d)))
    beside = (apex[:, None] + np.arange(1, d)) % d
    beside = np.take_along_axis(beside, _in_order(corners[facet[:, None], beside]), 1)
    ends = corners[facet[:, None], beside]
    into = corners[facet, apex] - ends[:, 0]
    for side in (ends[:, 1] - ends[:, 0],) if d == 3 else ():
        into -= ((into * side).sum(axis=1) / (side**2).sum(axis=1))[:, None] * side
    height = np.linalg.norm(into, axis=1)
    into /= height[:, None]
    rows = np.column_stack(
        [ends.reshape(len(ends), (d - 1) * d), into, normal[facet], facets.piece[facet]]
    )
    number = _numbers(concatenated(device.comm, rows), d)
    last = device.comm.scan(len(facet))
    number = number[last - len(facet) : last]
    here = np.flatnonzero(number >= 0)
    many = cells.degree if d == 3 else 1
    along = (np.arange(many)[:, None] + np.arange(d - 1)).ravel() / many
    each, shares = np.arange(len(here))[:, None], np.zeros((len(here), len(along), d))
    shares[each, :, beside[here]] = np.array([1 - along, along])[: d - 1]
    pair = number[here, None] * len(along) + np.arange(len(along))
    return AtCorners(
        np.repeat(facet[here], len(along)),
        shares[..., 1:].reshape(-1, d - 1),
        np.repeat(into[here], len(along), axis=0),
        pair.ravel(),
        np.repeat(height[here], len(along)),
    )


def _in_order(ends: np.ndarray) -> np.ndarray:
    """Order of the ends of edges by their coordinates, (m, d - 1): the same from all facets."""
    many = ends.shape[1]
    if many == 1:
        return np.zeros((len(ends), 1), dtype=np.int64)
    step = ends[:, 1] - ends[:, 0]
    sign = np.take_along_axis(step, (step != 0).argmax(axis=1)[:, None], 1)
    return np.where(sign < 0, [1, 0], [0, 1])


def _numbers(every: np.ndarray, d: int) -> np.ndarray:
    """Number of the corner or edge at each side of facets, or -1, by its coordinates.

    From rows of the ends of the side, the direction into the facet, the normal, and the piece.
    """
    *ends, into, normal, piece = np.split(every, np.arange(1, d + 2) * d, axis=1)
    where = np.column_stack(ends)
    _, group, count = np.unique(where, axis=0, return_inverse=True, return_counts=True)
    order = np.argsort(group.reshape(-1), kind="stable")
    a, b = order[np.cumsum(count)[count == 2][:, None] - [2, 1]].T
    turn = (into[a] * normal[b] + into[b] * normal[a]).sum(axis=1) / 2
    sharp = (turn > _SHARP[d]) & (piece[a] != piece[b])[:, 0]
    number = np.full(len(every), -1)
    number[a[sharp]] = number[b[sharp]] = np.arange(sharp.sum())
    return number


def twins(pair: np.ndarray) -> np.ndarray:
    """The point of the other wall at the same place, by :attr:`AtCorners.pair`; else itself."""
    out, here = np.arange(len(pair)), np.flatnonzero(pair >= 0)
    order = here[np.argsort(pair[here], kind="stable")].reshape(-1, 2)
    out[order] = order[:, ::-1]
    return out


def farther(
    offset: np.ndarray, one: np.ndarray, other: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """What is added to the distance of a piece beyond a corner, at offsets from it, (m, d).

    Args:
        offset: From the corner.
        one: Direction into the piece, (m, d).
        other: Into the other piece.

    Returns:
        It, (m,), 0 for the nearer piece, and its derivatives in the offset, (m, d), and in the
        components of that along either piece.
    """
    s, t = (offset * one).sum(axis=-1), (offset * other).sum(axis=-1)
    # On the bisector half to either piece, so that the difference of both has its derivative there.
    side = np.where(np.abs(t - s) <= EQUAL, 0.5, s < t)
    much = np.where(s < EQUAL, _TILT * side, 0.0)
    return much * (t - s), much[..., None] * (other - one), -much, much


class Beyond(NamedTuple):
    """Points beyond the edges of a piece of a wall, for which an edge is the nearest of it.

    Attributes:
        point: Their places among the points that were asked for, (m,).
        edge: The edge, (m,).
        place: Where the nearest point of it is, from 0 to 1, (m,).
        offset: From there, (m, 3).
        distance: That from the piece, (m,).
    """

    point: np.ndarray
    edge: np.ndarray
    place: np.ndarray
    offset: np.ndarray
    distance: np.ndarray


class Edges:
    """Straight parts of re-entrant edges in 3D, each once for either wall.

    Args:
        points: Points of walls, (n, 3), and what :class:`AtCorners` has of them.
        normal: Their normals, (n, 3).
        into: Directions into the facet.
        piece: Pieces of walls, (n,).
        pair: Numbers of ends, negative for other points, (n,).

    Attributes:
        rows: The points at both ends, (e, 2); the same edge of the other wall is e ^ 1.
        piece: The piece of the wall, (e,).
    """

    def __init__(
        self,
        points: np.ndarray,
        normal: np.ndarray,
        into: np.ndarray,
        piece: np.ndarray,
        pair: np.ndarray,
    ) -> None:
        rows = np.flatnonzero(pair >= 0)
        rows = rows[np.lexsort((pair[rows], piece[rows], pair[rows] // 2))]
        self.rows = rows.reshape(-1, 2)
        first = self.rows[:, 0]
        self.piece, self._start = piece[first], points[first]
        self._along = points[self.rows[:, 1]] - self._start
        self._length = np.linalg.norm(self._along, axis=1)[:, None]
        self._unit = self._along / self._length
        # The sum of the normals at both ends; what of it is across the edge.
        whole = normal[self.rows].sum(axis=1)
        self._lean = (whole * self._unit).sum(axis=1)
        across = whole - self._lean[:, None] * self._unit
        self._much = np.linalg.norm(across, axis=1)
        self._normal = across / self._much[:, None]
        side = np.cross(self._unit, self._normal)
        self._into = side * np.sign((side * into[first]).sum(axis=1))[:, None]

    def nearest(
        self, points: np.ndarray, piece: int | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Nearest edge of a piece or of all, where on it from 0 to 1, and the offset from there.

        Of several that are equally near, the first.
        """
        own = np.arange(len(self.piece)) if piece is None else np.flatnonzero(self.piece == piece)
        places = self._start[own, None] + _PLACES[:, None] * self._along[own, None]
        tree, many = cKDTree(places.reshape(-1, 3)), min(_CANDIDATES, places.size // 3)
        found = tree.query(points, k=many)[1].reshape(len(points), many)
        edge = own[found // len(_PLACES)]
        offset = points[:, None] - self._start[edge]
        place = (offset * self._along[edge]).sum(axis=2) / self._length[edge, 0] ** 2
        place = np.clip(place, 0, 1)
        offset -= place[..., None] * self._along[edge]
        far = np.linalg.norm(offset, axis=2)
        near = far <= far.min(axis=1, keepdims=True) + EQUAL
        first = np.where(near, edge, len(self.piece)).argmin(axis=1)
        each = np.arange(len(points))
        return edge[each, first], place[each, first], offset[each, first]

    def beyond(self, points: np.ndarray, far: np.ndarray, piece: int) -> Beyond:
        """Points beyond the edges of a piece, no more than ``far`` from them."""
        whole, none = np.empty(0, dtype=np.int64), np.empty(0)
        if not (self.piece == piece).any():
            return Beyond(whole, whole, none, np.empty((0, 3)), none)
        edge, place, offset = self.nearest(points, piece)
        r = np.linalg.norm(offset, axis=1)
        here = ((offset * self._into[edge]).sum(axis=1) < EQUAL) & (r <= far + EQUAL)
        point = np.flatnonzero(here)
        edge, place, offset = edge[here], place[here], offset[here]
        more = farther(offset, self._into[edge], self._into[edge ^ 1])[0]
        return Beyond(point, edge, place, offset, r[here] + more)

    def derivative(self, found: Beyond, weight: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Derivatives of the sum of weights times distances: (m, 3) in the points.

        Added to the rows are those in the points of the walls, and minus those in their normals.
        """
        edge, offset, r = found.edge, found.offset, np.linalg.norm(found.offset, axis=1)
        _, slope, *parts = farther(offset, self._into[edge], self._into[edge ^ 1])
        along = weight[:, None] * (offset / np.where(r > 0, r, 1.0)[:, None] + slope)
        for end, share in enumerate((1 - found.place, found.place)):
            np.add.at(rows[:, :3], self.rows[edge, end], -share[:, None] * along)
        for wall, part in zip((edge, edge ^ 1), parts, strict=True):
            # How the direction into the wall turns about the edge, and with it.
            height = (offset * self._normal[wall]).sum(axis=1) / self._much[wall]
            turn = (weight * part * height)[:, None] * self._into[wall]
            lean = height * self._lean[wall] - (offset * self._unit[wall]).sum(axis=1)
            lean = (weight * part * lean)[:, None] * self._into[wall] / self._length[wall]
            for end, sign in enumerate((-1, 1)):
                np.add.at(rows[:, 3:], self.rows[wall, end], turn)
                np.add.at(rows[:, :3], self.rows[wall, end], sign * lean)
        return along
