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
from meso.geometry.planar import cross, row_keys

# A boundary vertex (3D: edge) is a corner where the tangent (normal) turns by more than this
# (degrees): at points (curves) of the drawing, and anywhere (the vertices of a polygon that stands
# for a curve are no corners).
_CORNER_AT_POINT = 5.0
_CORNER_ANYWHERE = 30.0
# Facets of the reference cells: vertices in ascending order; facet i is opposite to vertex i.
FACETS = {2: ((1, 2), (0, 2), (0, 1)), 3: ((1, 2, 3), (0, 2, 3), (0, 1, 3), (0, 1, 2))}


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
class Boundary:
    """The boundary facets of a mesh, on one rank.

    Attributes:
        points: Nodes of the mesh, m.
        nodes: Nodes of the cell of each facet, in Basix order.
        local: Number of the facet in its cell.
        degree: Polynomial degree of the cells.
        name: Index into ``names`` of each facet.
        names: Names of the boundaries.
        corners: Vertices (3D: edges) on points (curves) of the drawing.
        path: The file, for messages.
    """

    points: np.ndarray
    nodes: np.ndarray
    local: np.ndarray
    degree: int
    name: np.ndarray
    names: tuple[str, ...]
    corners: np.ndarray
    path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """What joining the facets tells.

    Attributes:
        piece: Index into ``pieces`` of each facet.
        order: Position of each facet in its piece.
        start: Arc length at its beginning, m (0 in 3D).
        pieces: The pieces.
        measure: Area (3D: volume) that all facets enclose, by Green's theorem.
    """

    piece: np.ndarray
    order: np.ndarray
    start: np.ndarray
    pieces: tuple[Piece, ...]
    measure: float


def joined(boundary: Boundary) -> Joined:
    """Smooth pieces of a boundary.

    Raises:
        GeometryError: A degenerate boundary cell.
    """
    return _curves(boundary) if boundary.points.shape[1] == 2 else _surfaces(boundary)


# -- two dimensions --------------------------------------------------------------------------------


def _curves(boundary: Boundary) -> Joined:
    """Chain the facets of each boundary into smooth pieces, the conductor on the left."""
    inner, weight = np.polynomial.legendre.leggauss(boundary.degree + 4)
    s = np.concatenate([[0.0], (inner + 1) / 2, [1.0]])
    # Counter-clockwise: 1 -> 2, 2 -> 0, 0 -> 1.
    begin, finish = np.array([1, 2, 0]), np.array([2, 0, 1])
    corner = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    element = _compat.scalar_element("triangle", boundary.degree)
    points, nodes, local = boundary.points, boundary.nodes, boundary.local
    tangents = np.empty((len(local), len(s), 2))
    positions = np.empty_like(tangents)
    for i in range(3):
        here = local == i
        along = corner[finish[i]] - corner[begin[i]]
        at = corner[begin[i]] + s[:, None] * along
        table = element.tabulate(1, at)[:, :, :, 0]
        shape = np.einsum("dqn,d->qn", table[1:], along)
        positions[here] = table[0] @ points[nodes[here]]
        tangents[here] = shape @ points[nodes[here]]
    speed = np.linalg.norm(tangents, axis=2)
    if not (speed > 0).all():
        raise GeometryError(f"{boundary.path}: a boundary cell is degenerate")
    unit = tangents / speed[:, :, None]
    each = np.arange(len(local))
    piece, order, start, pieces = _chains(
        boundary,
        (nodes[each, begin[local]], nodes[each, finish[local]]),
        (unit[:, 0], unit[:, -1]),
        speed[:, 1:-1] @ (weight / 2),
    )
    area = float((cross(positions, tangents)[:, 1:-1] @ (weight / 4)).sum())
    return Joined(piece=piece, order=order, start=start, pieces=pieces, measure=area)


def _chains(
    boundary: Boundary,
    ends: tuple[np.ndarray, np.ndarray],
    tangents: tuple[np.ndarray, np.ndarray],
    length: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[Piece, ...]]:
    """Pieces of lines from the vertices, unit tangents at both ends and lengths of the facets."""
    (start, end), (first, last) = ends, tangents
    name, corners = boundary.name, set(map(int, boundary.corners))
    follower: dict[int, int] = {}
    for i, vertex in enumerate(map(int, start)):
        # A vertex where four boundary edges meet (two cells touch in a point) ends every chain.
        follower[vertex] = -1 if vertex in follower else i
    following = np.full(len(start), -1)
    for i, vertex in enumerate(map(int, end)):
        j = follower.get(vertex, -1)
        if j < 0 or name[j] != name[i]:
            continue
        turn = np.arccos(np.clip(last[i] @ first[j], -1, 1))
        limit = _CORNER_AT_POINT if vertex in corners else _CORNER_ANYWHERE
        if np.rad2deg(turn) <= limit:
            following[i] = j
    has_previous = np.zeros(len(start), bool)
    has_previous[following[following >= 0]] = True

    piece = np.full(len(start), -1)
    position = np.zeros(len(start), dtype=np.int64)
    arc = np.zeros(len(start))
    pieces: list[Piece] = []
    open_heads = [int(i) for i in np.flatnonzero(~has_previous)]
    for closed, heads in ((False, open_heads), (True, list(range(len(start))))):
        for head in heads:
            if piece[head] >= 0:
                continue
            i, total, step = head, 0.0, 0
            while i >= 0 and piece[i] < 0:
                piece[i], position[i], arc[i] = len(pieces), step, total
                total += length[i]
                step += 1
                i = int(following[i])
            pieces.append(
                Piece(boundary=boundary.names[name[head]], measure=float(total), closed=closed)
            )
    return piece, position, arc, tuple(pieces)


# -- three dimensions ------------------------------------------------------------------------------


def _surfaces(boundary: Boundary) -> Joined:
    """Join the facets of each boundary across the edges where the wall does not turn."""
    count = len(boundary.local)
    area, volume, centre = _integrals(boundary)
    facet, edge, normal = _rims(boundary)
    # Pairs of facets that share an edge; where four meet, two parts of the conductor touch.
    order = np.argsort(edge, kind="stable")
    unique, first, times = np.unique(edge[order], return_index=True, return_counts=True)
    one, two = order[first[times == 2]], order[first[times == 2] + 1]
    cosine = np.clip((normal[one] * normal[two]).sum(axis=1), -1, 1)
    drawn = np.isin(unique[times == 2], _corner_keys(boundary))
    limit = np.where(drawn, _CORNER_AT_POINT, _CORNER_ANYWHERE)
    smooth = np.rad2deg(np.arccos(cosine)) <= limit
    smooth &= boundary.name[facet[one]] == boundary.name[facet[two]]
    a, b = facet[one[smooth]], facet[two[smooth]]
    graph = coo_matrix((np.ones(len(a)), (a, b)), shape=(count, count))
    number, label = connected_components(graph, directed=False)

    # In the order of the centres, whatever the mesher's order: the same on every machine.
    rounded = np.round(centre / np.ptp(boundary.points, axis=0).max(), 9)
    along = np.lexsort([*rounded.T[::-1], boundary.name])
    _, earliest = np.unique(label[along], return_index=True)
    rank = np.empty(number, np.int64)
    rank[np.argsort(earliest, kind="stable")] = np.arange(number)
    piece = rank[label]
    sizes = np.bincount(piece, minlength=number)
    position = np.empty(count, np.int64)
    grouped = along[np.argsort(piece[along], kind="stable")]
    position[grouped] = np.arange(count) - np.repeat(np.cumsum(sizes) - sizes, sizes)

    inside = 2 * np.bincount(piece[a], minlength=number)
    measure = np.bincount(piece, weights=area, minlength=number)
    owner = boundary.name[grouped[np.cumsum(sizes) - sizes]]
    pieces = tuple(
        Piece(boundary=boundary.names[o], measure=float(m), closed=bool(i == 3 * n))
        for o, m, i, n in zip(owner, measure, inside, sizes, strict=True)
    )
    return Joined(piece=piece, order=position, start=np.zeros(count), pieces=pieces, measure=volume)


def _integrals(boundary: Boundary) -> tuple[np.ndarray, float, np.ndarray]:
    """Area of each facet, volume inside all of them, and centre of the vertices of each."""
    # x . (x_u x x_v) has degree 3g - 2 in each facet; |x_u x x_v| is smooth.
    at, weight = basix.make_quadrature(basix.CellType.triangle, 8 if boundary.degree > 1 else 1)
    area = np.empty(len(boundary.local))
    volume = 0.0
    for here, x, u, v in _facet_maps(boundary, at):
        normal = np.cross(u, v)
        size = np.linalg.norm(normal, axis=2)
        if not (size > 0).all():
            raise GeometryError(f"{boundary.path}: a boundary cell is degenerate")
        area[here] = size @ weight
        volume += float(((x * normal).sum(axis=2) @ weight).sum()) / 3
    vertices = boundary.nodes[np.arange(len(area))[:, None], np.array(FACETS[3])[boundary.local]]
    return area, volume, boundary.points[vertices].mean(axis=1)


def _rims(boundary: Boundary) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The three edges of every facet: the facet, a key of the vertices, normal in the middle."""
    count = len(boundary.local)
    vertices = boundary.nodes[np.arange(count)[:, None], np.array(FACETS[3])[boundary.local]]
    sides = np.array(FACETS[2])
    edge = row_keys(vertices[:, sides].reshape(-1, 2), len(boundary.points))
    middle = np.array([[0.5, 0.5], [0.0, 0.5], [0.5, 0.0]])
    normal = np.empty((count, 3, 3))
    for here, _, u, v in _facet_maps(boundary, middle):
        outward = np.cross(u, v)
        normal[here] = outward / np.linalg.norm(outward, axis=2, keepdims=True)
    return np.repeat(np.arange(count), 3), edge, normal.reshape(-1, 3)


def _corner_keys(boundary: Boundary) -> np.ndarray:
    return row_keys(np.reshape(boundary.corners, (-1, 2)), len(boundary.points))


def _facet_maps(
    boundary: Boundary, points: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """Facets by number: mask, positions and two derivatives, their product outward, (f, q, 3)."""
    corner = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    element = _compat.scalar_element("tetrahedron", boundary.degree)
    for i, (a, b, c) in enumerate(FACETS[3]):
        here = boundary.local == i
        u, v = corner[b] - corner[a], corner[c] - corner[a]
        outward = np.sign(np.cross(u, v) @ (corner[a] - corner[i]))
        table = element.tabulate(1, corner[a] + points @ np.stack([u, v]))[:, :, :, 0]
        nodes = boundary.points[boundary.nodes[here]]
        along = np.einsum("dqn,sd->sqn", table[1:], np.stack([outward * u, v]))
        yield here, table[0] @ nodes, along[0] @ nodes, along[1] @ nodes
