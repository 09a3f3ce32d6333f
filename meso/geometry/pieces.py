"""Boundary facets of a mesh, chained or joined into smooth pieces between corners."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import basix
import numpy as np

from meso import _compat
from meso.errors import GeometryError
from meso.geometry.simplices import CELL, TURNED, components, cross, row_keys, shared_edges

# A boundary vertex (3D: edge) is a corner where the tangent (normal) turns by more than this
# (degrees): at points (curves) of the drawing, and anywhere (the vertices of a polygon that stands
# for a curve are no corners).
_CORNER_AT_POINT = 5.0
_CORNER_ANYWHERE = 30.0
_MIDDLES = np.array([[0.5, 0.5], [0.0, 0.5], [0.5, 0.0]])  # of the edges of a facet


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
    """Boundary facets, one entry each."""

    cell: np.ndarray  # in a device one of this rank
    local: np.ndarray  # number of the facet in its cell
    boundary: np.ndarray  # index into the names of the boundaries
    piece: np.ndarray  # index into the pieces
    # Arc length at the beginning, m, along the piece with the conductor on the left; 0 in 3D.
    start: np.ndarray
    order: np.ndarray  # position in the piece, in 3D in the order of the centres

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

    def maps(self, at: np.ndarray) -> np.ndarray:
        """Positions and d - 1 derivatives at points of the facets' simplex, shape (d, f, q, d)."""
        d = self.points.shape[1]
        corner = np.concatenate([np.zeros((1, d)), np.eye(d)])
        element = _compat.scalar_element(CELL[d], self.degree)
        out = np.empty((d, len(self.local), len(at), d))
        for i, (origin, *others) in enumerate(TURNED[d]):
            here = self.local == i
            along = corner[others] - corner[origin]
            table = element.tabulate(1, corner[origin] + at @ along)[:, :, :, 0]
            slopes = np.tensordot(along, table[1:], 1)
            shape = np.concatenate([table[:1], slopes])
            out[:, here] = shape[:, None] @ self.points[self.nodes[here]]
        return out

    def lengths(self, vectors: np.ndarray) -> np.ndarray:
        """Lengths of the tangents (normals); raises a GeometryError where there are none."""
        found = np.linalg.norm(vectors, axis=-1)
        if not (found > 0).all():
            raise GeometryError(f"{self.path}: a boundary cell is degenerate")
        return found

    def sizes(self) -> tuple[np.ndarray, np.ndarray]:
        """Length (3D: area) of each facet, and its part of the area (volume) inside, by Green."""
        if self.points.shape[1] == 2:
            inner, weight = np.polynomial.legendre.leggauss(self.degree + 4)
            at, weight = (inner[:, None] + 1) / 2, weight / 2
            x, u = self.maps(at)
            normal, flux = u, cross(x, u)
        else:
            # x . (x_u x x_v) has degree 3g - 2 in each facet; |x_u x x_v| is smooth.
            at, weight = basix.make_quadrature(basix.CellType.triangle, 8 if self.degree > 1 else 1)
            x, u, v = self.maps(at)
            normal = np.cross(u, v)
            flux = (x * normal).sum(axis=2)
        return self.lengths(normal) @ weight, flux @ weight / self.points.shape[1]

    def joined(self) -> tuple[Facets, tuple[Piece, ...], float]:
        """The facets, their smooth pieces, and the area (3D: volume) inside, by Green."""
        places, pieces, measure = _curves(self) if self.points.shape[1] == 2 else _surfaces(self)
        facets = Facets(cell=self.cell, local=self.local, boundary=self.name, **places)
        return facets, pieces, measure


# Piece, start and order of the facets; the pieces; what they enclose.
Joined = tuple[dict[str, np.ndarray], tuple[Piece, ...], float]


# -- two dimensions --------------------------------------------------------------------------------


def _curves(boundary: Boundary) -> Joined:
    """Chain the facets of each boundary into smooth pieces, the conductor on the left."""
    length, area = boundary.sizes()
    tangents = boundary.maps(np.array([[0.0], [1.0]]))[1]
    following = _following(boundary, tangents / boundary.lengths(tangents)[:, :, None])
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
    return {"piece": piece, "start": start, "order": order}, tuple(pieces), float(area.sum())


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


def _surfaces(boundary: Boundary) -> Joined:
    """Join the facets of each boundary across the edges where the wall does not turn."""
    count = len(boundary.local)
    area, volume = boundary.sizes()
    _, u, v = boundary.maps(_MIDDLES)
    normal = np.cross(u, v)
    one, two = _smooth_pairs(boundary, normal / boundary.lengths(normal)[:, :, None])
    label = components(count, np.column_stack([one, two]))
    number = label.max(initial=-1) + 1

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
    return {"piece": piece, "start": np.zeros(count), "order": order}, pieces, float(volume.sum())


def _smooth_pairs(boundary: Boundary, normals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Facets of one boundary that share an edge at which the normal (f, 3, 3) does not turn."""
    count, normal = len(boundary.points), normals.reshape(-1, 3)
    # Where four facets meet at an edge, two parts of the conductor touch.
    edge, one, two = shared_edges(boundary.vertices, count)
    cosine = np.clip((normal[one] * normal[two]).sum(axis=1), -1, 1)
    drawn = np.isin(edge, row_keys(np.reshape(boundary.corners, (-1, 2)), count))
    limit = np.where(drawn, _CORNER_AT_POINT, _CORNER_ANYWHERE)
    smooth = np.rad2deg(np.arccos(cosine)) <= limit
    smooth &= boundary.name[one // 3] == boundary.name[two // 3]
    return one[smooth] // 3, two[smooth] // 3
