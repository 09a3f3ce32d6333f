"""Singular corners: where the flow in a sharp drawing has no bounds.

At a corner whose inner angle exceeds 180 degrees J grows like a negative power of the distance,
and potential and vorticity of a viscous flow faster: the largest value on a mesh tells the size
of its smallest cell. The same happens where a contact meets a wall at more than 90 degrees,
because the flow continues behind the contact as in a mirror, and so where a wall without slip
meets one that slips; and, at any angle, where two contacts touch (P. Grisvard, Elliptic Problems
in Nonsmooth Domains, 1985).

Extrema are reported without the neighbourhood of such corners: all points nearer than a tenth of
the local width, which is the distance to the boundary across the conductor, but no more than the
larger of the two pieces of boundary that meet, or a contact. There a corner of 270 degrees raises
J by a factor of about two. A diffusion length below the width confines what is viscous in the
singularity to less than that; the flow beyond it is ohmic and singular over the width again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from mpi4py import MPI
from scipy.spatial import cKDTree

from meso.boundary import Boundary, Contact, Periodic, Wall, law_of
from meso.device import Device
from meso.discrete.cells import cells_of, facet_geometry, facet_vertices
from meso.discrete.fields import Field, magnitudes
from meso.flow.result import Flow
from meso.mpi import concatenated, largest, smallest

#: Radius of the neighbourhood that does not count, over the local width.
RADIUS = 0.1
#: Degrees by which an angle must exceed that where the flow gets singular.
_TOLERANCE = 5.0
#: What lies this far beyond the other values (over their range) is worth a warning.
_SPIKE = 0.2
_BATCH = 4_000_000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Corner:
    """A corner, in 3D an edge, at which the flow is singular.

    Attributes:
        boundaries: Names of the two boundaries that meet.
        angle: Inner angle, degrees; the largest along an edge.
        points: The corner, or points along the edge, m, shape (k, d).
        radius: Distance within which values do not count, m.
    """

    boundaries: tuple[str, str]
    angle: float
    points: np.ndarray
    radius: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Extrema:
    """Extrema of a field (of its magnitude, for a vector).

    Attributes:
        low: Smallest value away from the singular corners.
        high: Largest value there.
        everywhere: Smallest and largest value of the solution, with those at the corners.
        corner: The corner at which the value lies that is farthest from the others, or None.
    """

    low: float
    high: float
    everywhere: tuple[float, float]
    corner: Corner | None = None

    @property
    def excess(self) -> float:
        """How far values at the corners lie beyond the others, over the range of these."""
        beyond = max(self.everywhere[1] - self.high, self.low - self.everywhere[0])
        return beyond / ((self.high - self.low) or np.finfo(float).tiny)

    @property
    def spikes(self) -> bool:
        """True if the values at the corners would hide the others."""
        return self.excess > _SPIKE


def singular_corners(device: Device, boundaries: Mapping[str, Boundary]) -> tuple[Corner, ...]:
    """Corners at which the flow is singular, the same on every rank."""
    found = rims(device)
    pairs = np.sort(found.piece, axis=1)
    names = [piece.boundary for piece in device.pieces]
    limits = np.full(len(pairs), np.inf)
    kinds = {(int(a), int(b)) for a, b in pairs}
    for a, b in kinds:
        limit = _singular_above(boundaries, names[a], names[b])
        limits[(pairs == (a, b)).all(axis=1)] = limit
    chosen = np.flatnonzero(found.angle > limits + _TOLERANCE)
    width = _widths(device, found.ends[chosen])
    out = []
    # In 2D each corner by itself, in 3D all of an edge between two pieces.
    for group in _groups(pairs[chosen], device.dimension):
        at = chosen[group]
        a, b = map(int, pairs[at[0]])
        reach = min(float(width[group].min()), _size(device, boundaries, (a, b)))
        radius = RADIUS * reach
        ends = found.ends[at] * device.extent
        out.append(
            Corner(
                boundaries=(names[a], names[b]),
                angle=float(found.angle[at].max()),
                points=_along(ends, radius / 2),
                radius=radius,
            )
        )
    return tuple(out)


def extrema(field: Field, corners: Sequence[Corner]) -> Extrema:
    """Extrema of a field away from singular corners, the same on every rank."""
    nodes = field.data.function_space.element.basix_element.points
    size, owner = magnitudes(field.values), nearest(field.device, nodes, corners)
    comm, free = field.device.comm, size[owner < 0]
    low, high = smallest(comm, size.min(initial=np.inf)), largest(comm, size.max(initial=-np.inf))
    own_low = smallest(comm, free.min(initial=np.inf))
    own_high = largest(comm, free.max(initial=-np.inf))
    if not own_low <= own_high:  # a device that is all corners
        own_low, own_high = low, high
    beyond = np.full(len(corners) + 1, -np.inf)  # at each corner, and elsewhere
    np.maximum.at(beyond, owner, np.maximum(size - own_high, own_low - size))
    highest = np.empty_like(beyond)
    comm.Allreduce(beyond, highest, op=MPI.MAX)
    worst = corners[int(np.argmax(highest[:-1]))] if corners else None
    return Extrema(low=own_low, high=own_high, everywhere=(low, high), corner=worst)


def extrema_of(flow: Flow, fields: Mapping[str, Field]) -> dict[str, Extrema]:
    """Extrema of the fields of a flow, the same on every rank.

    What derivatives of a kinetic flow make has none: they diverge at rough walls.
    """
    corners = singular_corners(flow.device, flow.boundaries)
    without = ("vorticity", "orbital_density", "spin_density") if flow.kinetic else ()
    return {name: extrema(f, corners) for name, f in fields.items() if name not in without}


def warning(found: Mapping[str, Extrema], fields: Mapping[str, Field]) -> str | None:
    """What to tell about extrema at corners, by name of the field, if they would mislead."""
    spikes = {name: e for name, e in found.items() if e.spikes}
    if not spikes:
        return None

    name, e = next(iter(spikes.items()))
    assert e.corner is not None
    point = e.corner.points[len(e.corner.points) // 2] * 1e9
    place = ", ".join(f"{x + 0.0:.6g}" for x in np.round(point, 6))
    one, two = (f"'{boundary}'" for boundary in e.corner.boundaries)
    low, high = e.everywhere
    return (
        f"sharp corner at ({place}) nm, where {one} meets {'itself' if one == two else two} at an"
        f" inner angle of {e.corner.angle:.0f} degrees: {name} from {low:.3g} to {high:.3g}"
        f" {fields[name].unit}, elsewhere from {e.low:.3g} to {e.high:.3g}. Values there grow with"
        f" every refinement, and extrema leave sharp corners out ({', '.join(spikes)}); a fillet"
        " makes them finite"
    )


def touching(device: Device, boundaries: Mapping[str, Boundary]) -> list[str]:
    """Contacts between which Ohm's law lets an infinite current flow, where they touch."""
    found = {}
    for corner in singular_corners(device, boundaries):
        one, two = corner.boundaries
        laws = (law_of(boundaries, name) for name in corner.boundaries)
        if one != two and all(isinstance(law, Contact) for law in laws):
            found[one, two] = ", ".join(f"{x:.6g}" for x in np.round(corner.points[0] * 1e9, 6))
    return [
        f"contacts '{one}' and '{two}' touch at ({place}) nm: by Ohm's law the conductance between"
        " them is infinite, and what is found grows with every refinement; leave a gap"
        for (one, two), place in found.items()
    ]


def clipped(values: np.ndarray, bounds: Extrema) -> np.ndarray:
    """Values (..., components) within the extrema away from corners; directions stay."""
    if values.shape[-1] == 1:
        return np.clip(values, bounds.low, bounds.high)
    size = np.linalg.norm(values, axis=-1, keepdims=True)
    return values * np.minimum(1.0, bounds.high / np.where(size > 0, size, 1.0))


def _singular_above(boundaries: Mapping[str, Boundary], one: str, two: str) -> float:
    """Inner angle in degrees above which the flow is singular between two boundaries."""
    first, second = law_of(boundaries, one), law_of(boundaries, two)
    if isinstance(first, Periodic) or isinstance(second, Periodic):
        return np.inf  # the conductor goes on there
    if isinstance(first, Contact) and isinstance(second, Contact):
        return 180.0 if one == two else 0.0
    if isinstance(first, Wall) and isinstance(second, Wall):
        return 180.0 if (first.slip_length == 0) == (second.slip_length == 0) else 90.0
    return 90.0


def _size(device: Device, boundaries: Mapping[str, Boundary], pair: tuple[int, int]) -> float:
    """Size of the larger of two pieces of boundary, and no more than that of a contact, m."""
    sizes, contacts = [], []
    for index in pair:
        piece = device.pieces[index]
        size = piece.measure ** (1 / (device.dimension - 1))
        sizes.append(size)
        if isinstance(law_of(boundaries, piece.boundary), Contact):
            contacts.append(size)
    return min([max(sizes), *contacts])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rims:
    """Vertices (3D: edges) between two smooth pieces of the boundary; lengths over the extent.

    Attributes:
        piece: The two pieces, shape (r, 2).
        angle: Inner angle, degrees, shape (r,).
        ends: Vertices, shape (r, d - 1, d).
        height: Of the higher of the two facets there, shape (r,).
    """

    piece: np.ndarray
    angle: np.ndarray
    ends: np.ndarray
    height: np.ndarray


def rims(device: Device) -> Rims:
    """All places where two pieces of the boundary meet, of all ranks."""
    d, cells, facets, comm = device.dimension, cells_of(device), device.facets, device.comm
    # Opposite to each vertex of the reference facet, and its normal there.
    reference = np.array([[1.0], [0.0]]) if d == 2 else np.array([[0.5, 0.5], [0, 0.5], [0.5, 0]])
    at = facet_geometry(cells, facets.cell, facets.local, reference)
    normal = concatenated(comm, at.normal)
    vertices = cells.corners[facets.cell[:, None], facet_vertices(d)[facets.local]]
    vertices = concatenated(comm, vertices)
    piece = concatenated(comm, facets.piece)
    _, number = np.unique(vertices.reshape(-1, d), axis=0, return_inverse=True)
    number = number.reshape(vertices.shape[:2])
    sides = np.array([[j for j in range(d) if j != i] for i in range(d)])
    _, key = np.unique(np.sort(number[:, sides].reshape(-1, d - 1)), axis=0, return_inverse=True)
    order = np.argsort(key.reshape(-1), kind="stable")
    _, first, times = np.unique(key.reshape(-1)[order], return_index=True, return_counts=True)
    # Where four facets meet, two parts of the conductor touch.
    both = np.stack([order[first[times == 2] + i] for i in (0, 1)], axis=1)
    facet, side = np.divmod(both, d)
    meets = piece[facet[:, 0]] != piece[facet[:, 1]]
    facet, side = facet[meets], side[meets]
    one, two = normal[facet[:, 0], side[:, 0]], normal[facet[:, 1], side[:, 1]]
    turn = np.degrees(np.arccos(np.clip((one * two).sum(axis=1), -1, 1)))
    center = vertices.mean(axis=1)
    opens = ((center[facet[:, 1]] - center[facet[:, 0]]) * one).sum(axis=1) > 0
    ends = vertices[facet[:, 0][:, None], sides[side[:, 0]]]
    away = vertices[facet, side] - ends[:, :1]
    if d == 3:
        along = ends[:, 1:] - ends[:, :1]
        along /= np.linalg.norm(along, axis=2, keepdims=True)
        away -= (away * along).sum(axis=2, keepdims=True) * along
    return Rims(
        piece=piece[facet],
        angle=np.where(opens, 180 + turn, 180 - turn),
        ends=ends,
        height=np.linalg.norm(away, axis=2).max(axis=1),
    )


def _widths(device: Device, ends: np.ndarray) -> np.ndarray:
    """Distance from corners (edges) to the boundary across the conductor, m, over all ranks.

    Their vertices are given over ``Device.extent``, shape (m, d - 1, d).
    """
    d, facets = device.dimension, device.facets
    center = np.full((1, d - 1), 1 / d)
    at = facet_geometry(cells_of(device), facets.cell, facets.local, center)
    position, normal = at.position[:, 0], at.normal[:, 0]
    points, along = ends.mean(axis=1), ends[:, -1] - ends[:, 0]
    if d == 3:
        along /= np.linalg.norm(along, axis=1, keepdims=True)
    width = np.full(len(points), np.inf)
    step = max(1, _BATCH // max(1, len(position)))
    for start in range(0, len(points), step):
        apart = points[start : start + step, None] - position
        distance = np.linalg.norm(apart, axis=2)
        # Only what faces the point counts: not the walls that meet there, no back of a thin screen.
        facing = -(apart * normal).sum(axis=2) > 0.5 * distance
        # Nor what lies beyond the ends of an edge.
        beside = (apart * along[start : start + step, None]).sum(axis=2)
        facing &= np.abs(beside) < 0.5 * distance
        found = np.where(facing, distance, np.inf).min(axis=1, initial=np.inf)
        width[start : start + step] = found
    out = np.empty_like(width)
    device.comm.Allreduce(width, out, op=MPI.MIN)
    return np.minimum(out, 1.0) * device.extent


def _groups(pairs: np.ndarray, dimension: int) -> list[np.ndarray]:
    """Rows that belong to one corner."""
    if dimension == 2:
        return [np.array([i]) for i in range(len(pairs))]
    _, group = np.unique(pairs, axis=0, return_inverse=True)
    group = group.reshape(-1)
    return [np.flatnonzero(group == i) for i in range(group.max(initial=-1) + 1)]


def _along(ends: np.ndarray, step: float) -> np.ndarray:
    """Points along edges, none farther apart than a step; the vertices themselves in 2D."""
    if ends.shape[1] == 1:
        return ends[:, 0]
    length = np.linalg.norm(ends[:, 1] - ends[:, 0], axis=1)
    out = []
    for (start, end), size in zip(ends, length, strict=True):
        s = np.linspace(0, 1, int(np.ceil(size / step)) + 1)[:, None]
        out.append(start * (1 - s) + end * s)
    return np.concatenate(out)


def nearest(device: Device, points: np.ndarray, corners: Sequence[Corner]) -> np.ndarray:
    """The corner whose neighbourhood holds each of some reference points of cells, or -1.

    In all cells of this rank, shape (c, q).
    """
    cells, extent = cells_of(device), device.extent
    shape = (cells.count, len(points))
    owner, distance = np.full(shape, -1), np.full(shape, np.inf)
    vertices = cells.corners * extent
    center = vertices.mean(axis=1)
    size = np.linalg.norm(np.ptp(vertices, axis=1), axis=1)
    for i, corner in enumerate(corners):
        tree = cKDTree(corner.points)
        near = np.flatnonzero(tree.query(center)[0] < corner.radius + size)
        far = tree.query(cells.positions(near, points) * extent)[0]
        # The polynomials of the cells at a corner have nothing to say either.
        far[tree.query(vertices[near])[0].min(axis=1, initial=np.inf) < 1e-9 * extent] = 0.0
        closer = (far < corner.radius) & (far < distance[near])
        owner[near] = np.where(closer, i, owner[near])
        distance[near] = np.where(closer, far, distance[near])
    return owner
