"""Boundary facets of a mesh, chained or joined into smooth pieces between corners."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import basix
import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from meso import _compat
from meso.errors import GeometryError
from meso.geometry.simplices import CELL, FACETS, TURNED, cross, row_keys

# A boundary vertex (3D: edge) is a corner where the tangent (normal) turns by more than this
# (degrees): at points (curves) of the drawing, and anywhere (the vertices of a polygon that stands
# for a curve are no corners).
_CORNER_AT_POINT = 5.0
_CORNER_ANYWHERE = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A smooth stretch of a named boundary, between corners.

    Attributes:
        boundary: Name of the boundary it belongs to.
        measure: Its length, m (its area, m^2, in 3D).
        closed: True for a closed curve (surface).
    """

    boundary: str
    measure: float
    closed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Facets:
    """Boundary facets, one entry each.

    Attributes:
        cell: Its cell (in a device: of this rank).
        local: Number of the facet in its cell.
        boundary: Index into the names of the boundaries.
        piece: Index into the pieces.
        start: Arc length at the beginning of the facet, m, counted along its piece with the
            conductor on the left; 0 in 3D.
        order: Position of the facet in its piece, in 3D in the order of the centres.
    """

    cell: np.ndarray
    local: np.ndarray
    boundary: np.ndarray
    piece: np.ndarray
    start: np.ndarray
    order: np.ndarray

    def of(self, selected: np.ndarray) -> Facets:
        """The facets where the mask ``selected`` holds."""
        return Facets(**{name: getattr(self, name)[selected] for name in self.__slots__})


@dataclass(frozen=True, slots=True, kw_only=True)
class Boundary:
    """The boundary facets of a mesh, on one rank."""

    points: np.ndarray  # nodes of the mesh, m
    cell: np.ndarray  # that of each facet
    nodes: np.ndarray  # those of this cell, in Basix order
    local: np.ndarray  # number of the facet in the cell
    degree: int  # of the cells
    name: np.ndarray  # index into the names of the boundaries
    names: tuple[str, ...]
    corners: np.ndarray  # vertices (3D: edges) on points (curves) of the drawing
    path: Path  # for messages

    @property
    def vertices(self) -> np.ndarray:
        """Vertices of each facet, as in ``TURNED``."""
        turned = TURNED[self.points.shape[1]][self.local]
        return np.take_along_axis(self.nodes, turned, axis=1)

    def maps(self, at: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, list[np.ndarray]]]:
        """Facets by number: mask, positions (f, q, d), derivatives at points of their simplex."""
        d = self.points.shape[1]
        corner = np.concatenate([np.zeros((1, d)), np.eye(d)])
        element = _compat.scalar_element(CELL[d], self.degree)
        for i, (origin, *others) in enumerate(TURNED[d]):
            here = self.local == i
            along = corner[others] - corner[origin]
            table = element.tabulate(1, corner[origin] + at @ along)[:, :, :, 0]
            nodes = self.points[self.nodes[here]]
            slopes = np.einsum("dqn,sd->sqn", table[1:], along)
            yield here, table[0] @ nodes, [slope @ nodes for slope in slopes]

    def facets(self, **places: np.ndarray) -> Facets:
        """The facets with their places in the pieces."""
        return Facets(cell=self.cell, local=self.local, boundary=self.name, **places)

    def degenerate(self) -> GeometryError:
        """The error for a facet without extent."""
        return GeometryError(f"{self.path}: a boundary cell is degenerate")


def joined(boundary: Boundary) -> tuple[Facets, tuple[Piece, ...], float]:
    """The facets, their smooth pieces, and the area (3D: volume) inside, by Green.

    Raises a GeometryError for a degenerate boundary cell.
    """
    return _curves(boundary) if boundary.points.shape[1] == 2 else _surfaces(boundary)


# -- two dimensions --------------------------------------------------------------------------------


def _curves(boundary: Boundary) -> tuple[Facets, tuple[Piece, ...], float]:
    """Chain the facets of each boundary into smooth pieces, the conductor on the left."""
    inner, weight = np.polynomial.legendre.leggauss(boundary.degree + 4)
    s = np.concatenate([[0.0], (inner + 1) / 2, [1.0]])
    positions, tangents = np.empty((2, len(boundary.local), len(s), 2))
    for here, x, (tangent,) in boundary.maps(s[:, None]):
        positions[here], tangents[here] = x, tangent
    speed = np.linalg.norm(tangents, axis=2)
    if not (speed > 0).all():
        raise boundary.degenerate()
    length = speed[:, 1:-1] @ (weight / 2)
    following = _following(boundary, tangents / speed[:, :, None])
    piece = np.full(len(length), -1)
    order, start = np.zeros(len(length), dtype=np.int64), np.zeros(len(length))
    pieces: list[Piece] = []
    first = np.setdiff1d(np.arange(len(length)), following)
    for head in (*first, *range(len(length))):  # what is left after the open ones is closed
        i, total, step = int(head), 0.0, 0
        if piece[i] >= 0:
            continue
        while i >= 0 and piece[i] < 0:
            piece[i], order[i], start[i] = len(pieces), step, total
            total += length[i]
            step += 1
            i = int(following[i])
        name = boundary.names[boundary.name[head]]
        pieces.append(Piece(boundary=name, measure=float(total), closed=i >= 0))
    area = float((cross(positions, tangents)[:, 1:-1] @ (weight / 4)).sum())
    return boundary.facets(piece=piece, start=start, order=order), tuple(pieces), area


def _following(boundary: Boundary, tangents: np.ndarray) -> np.ndarray:
    """The facet that goes on smoothly after each, or -1; unit tangents from end to end."""
    corners = set(map(int, boundary.corners))
    start, end = boundary.vertices.T
    follower: dict[int, int] = {}
    for i, vertex in enumerate(map(int, start)):
        # A vertex where four boundary edges meet (two cells touch in a point) ends every chain.
        follower[vertex] = -1 if vertex in follower else i
    out = np.full(len(start), -1)
    for i, vertex in enumerate(map(int, end)):
        j = follower.get(vertex, -1)
        if j >= 0 and boundary.name[j] == boundary.name[i]:
            turn = np.arccos(np.clip(tangents[i, -1] @ tangents[j, 0], -1, 1))
            limit = _CORNER_AT_POINT if vertex in corners else _CORNER_ANYWHERE
            out[i] = j if np.rad2deg(turn) <= limit else -1
    return out


# -- three dimensions ------------------------------------------------------------------------------


def _surfaces(boundary: Boundary) -> tuple[Facets, tuple[Piece, ...], float]:
    """Join the facets of each boundary across the edges where the wall does not turn."""
    count = len(boundary.local)
    area, volume = _integrals(boundary)
    one, two = _smooth_pairs(boundary)
    graph = coo_matrix((np.ones(len(one)), (one, two)), shape=(count, count))
    number, label = connected_components(graph, directed=False)

    # In the order of the centres, whatever the mesher's order: the same on every machine.
    centre = boundary.points[np.sort(boundary.vertices, axis=1)].mean(axis=1)
    rounded = np.round(centre / np.ptp(boundary.points, axis=0).max(), 9)
    along = np.lexsort([*rounded.T[::-1], boundary.name])
    _, earliest = np.unique(label[along], return_index=True)
    piece = np.argsort(np.argsort(earliest))[label]
    sizes = np.bincount(piece, minlength=number)
    order = np.empty(count, np.int64)
    grouped = along[np.argsort(piece[along], kind="stable")]
    order[grouped] = np.arange(count) - np.repeat(np.cumsum(sizes) - sizes, sizes)

    inside = 2 * np.bincount(piece[one], minlength=number)
    measure = np.bincount(piece, weights=area, minlength=number)
    owner = boundary.name[grouped[np.cumsum(sizes) - sizes]]
    pieces = tuple(
        Piece(boundary=boundary.names[o], measure=float(m), closed=bool(i == 3 * n))
        for o, m, i, n in zip(owner, measure, inside, sizes, strict=True)
    )
    return boundary.facets(piece=piece, start=np.zeros(count), order=order), pieces, volume


def _integrals(boundary: Boundary) -> tuple[np.ndarray, float]:
    """Area of each facet, and the volume inside all of them."""
    # x . (x_u x x_v) has degree 3g - 2 in each facet; |x_u x x_v| is smooth.
    at, weight = basix.make_quadrature(basix.CellType.triangle, 8 if boundary.degree > 1 else 1)
    area = np.empty(len(boundary.local))
    volume = 0.0
    for here, x, (u, v) in boundary.maps(at):
        normal = np.cross(u, v)
        size = np.linalg.norm(normal, axis=2)
        if not (size > 0).all():
            raise boundary.degenerate()
        area[here] = size @ weight
        volume += float(((x * normal).sum(axis=2) @ weight).sum()) / 3
    return area, volume


def _smooth_pairs(boundary: Boundary) -> tuple[np.ndarray, np.ndarray]:
    """Facets of one boundary that share an edge at which the normal does not turn."""
    count = len(boundary.points)
    edge = row_keys(boundary.vertices[:, FACETS[2]].reshape(-1, 2), count)
    middles = np.empty((len(boundary.local), 3, 3))
    for here, _, (u, v) in boundary.maps(np.array([[0.5, 0.5], [0.0, 0.5], [0.5, 0.0]])):
        outward = np.cross(u, v)
        middles[here] = outward / np.linalg.norm(outward, axis=2, keepdims=True)
    normal = middles.reshape(-1, 3)  # in the middle of each edge
    order = np.argsort(edge, kind="stable")
    unique, first, times = np.unique(edge[order], return_index=True, return_counts=True)
    # Where four facets meet at an edge, two parts of the conductor touch.
    one, two = order[first[times == 2]], order[first[times == 2] + 1]
    cosine = np.clip((normal[one] * normal[two]).sum(axis=1), -1, 1)
    drawn = np.isin(unique[times == 2], row_keys(np.reshape(boundary.corners, (-1, 2)), count))
    limit = np.where(drawn, _CORNER_AT_POINT, _CORNER_ANYWHERE)
    smooth = np.rad2deg(np.arccos(cosine)) <= limit
    smooth &= boundary.name[one // 3] == boundary.name[two // 3]
    return one[smooth] // 3, two[smooth] // 3
