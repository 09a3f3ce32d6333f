"""What an instrument of finite resolution sees along a line: profiles convolved with a Gaussian."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import log, sqrt
from typing import Any

import numpy as np

from meso.case import Probe
from meso.device import Device
from meso.discrete import sampling
from meso.discrete.cells import cells_of, facet_geometry, facet_vertices
from meso.discrete.fields import Field
from meso.discrete.motion import Nodes, from_places
from meso.discrete.sampling import inverses, locate, probe_points, pull_back, sample
from meso.errors import CaseError
from meso.mpi import concatenated

#: Standard deviation of a Gaussian over its full width at half maximum.
PER_WIDTH = 1 / sqrt(8 * log(2))

# Beyond so many standard deviations a Gaussian is nothing.
_FAR = 9.0
# Quadrature points in a cell, or in a standard deviation where that is less.
_POINTS = 10
# Steps from a straight side of a cell to where a line crosses a curved one.
_NEWTON = 5
# Slope of a barycentric coordinate along a line, over the largest, of one that runs along a side.
_STILL = 1e-10
# Numbers of a batch of kernels.
_BATCH = 4_000_000


def seen(
    device: Device, fields: Sequence[Field], points: Any, width: float
) -> dict[str, np.ndarray]:
    """Fields at points of a straight line, averaged over a Gaussian along it.

    The profile goes on beyond the points as far as the conductor does, and is zero outside of it;
    across the line it counts as uniform.

    Args:
        device: The device.
        fields: Fields.
        points: Points, m, shape (n, d).
        width: Full width at half maximum of the Gaussian, m.

    Returns:
        By name: shape (n,), or (n, components), the same on every rank.

    Raises:
        CaseError: The points are not on a straight line, or the width is not positive.
    """
    line = _Line.through(device, points, width)
    places, weights = _quadrature(device, line)
    near = line.near(places)
    places, weights = places[near], weights[near]
    values = sample(device, fields, line.at(places))
    out = {f.name: np.zeros((len(line.wanted), *values[f.name].shape[1:])) for f in fields}
    step = max(1, _BATCH // (len(places) + 1))
    for start in range(0, len(line.wanted), step):
        here = slice(start, start + step)
        kernel = line.kernel(here, places) * weights
        for name, value in values.items():
            out[name][here] = kernel @ np.nan_to_num(value)  # nothing outside
    return out


def sensitivity(
    field: Field, points: Any, width: float, number: int, component: int
) -> tuple[np.ndarray, Nodes]:
    """Derivatives of what is :func:`seen` of a component of a field at one of the points.

    The line stays where it is: fields pass by, and cells begin and end elsewhere on it. As of
    :func:`meso.discrete.sampling.sensitivity`. All ranks call this.
    """
    device, cells = field.device, cells_of(field.device)
    line, unit = _Line.through(device, points, width), np.eye(field.components)[component]
    places, weights = _quadrature(device, line)
    near, one = line.near(places), slice(number, number + 1)
    weights = (line.kernel(one, places) * weights)[0, near]
    out, motion = sampling.sensitivity(field, line.at(places[near]), weights[:, None] * unit)
    breaks = _breaks(device, line)
    cell = locate(device, line.at((breaks[1:] + breaks[:-1]) / 2))[0]
    # A chord of a curved wall is no end of a cell.
    changes = np.concatenate([[True], cell[1:] != cell[:-1], [True]])
    # A cell begins where the one before ends: along the sides of cells the facets are others, and
    # those cells that a motion would bring between them are not there.
    shared, walls = np.zeros((len(breaks), cells.dimension)), _vertices_of_walls(device, line)
    for sign, known, own in ((1.0, changes[1:], breaks[1:]), (-1.0, changes[:-1], breaks[:-1])):
        here = np.flatnonzero(known & (cell >= 0))
        ends, at, moving = _ends(device, line, cell[here], own[here], sign)
        moving = walls(ends, moving)
        if sign > 0:
            shared[here + 1] = moving
            shared = np.asarray(device.comm.allreduce(shared))
        else:
            before = shared[here].any(axis=1, keepdims=True)
            moving = np.where(before, shared[here], moving)
        value = field.at(cell[here], at)[:, component] * line.kernel(one, ends)[0]
        pull = sign * value[:, None] * moving * device.extent
        motion.add(cell[here], from_places(cells, cell[here], at, pull))
    return out, motion


def _ends(
    device: Device, line: _Line, cell: np.ndarray, ends: np.ndarray, sign: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where a line leaves cells (or enters them, -1), from where it would if they were straight.

    Distances along the line, reference points there, and how the distances follow the motion of
    what is there, (m, d).
    """
    each, facet = np.arange(len(cell)), None
    for _ in range(_NEWTON):
        at = pull_back(device, cell, line.at(ends))
        gradients = inverses(cells_of(device), cell, at)
        gradients = np.concatenate([-gradients.sum(axis=1, keepdims=True), gradients], axis=1)
        # A line leaves a cell where one of its barycentric coordinates falls through zero.
        rises, height = gradients @ line.direction, np.column_stack([1 - at.sum(axis=1), at])
        if facet is None:
            # Nor does it end where it runs along a side.
            steep = sign * rises < -_STILL * np.abs(rises).max(axis=1, keepdims=True)
            facet = np.where(steep, np.abs(height), np.inf).argmin(axis=1)
        slope = rises[each, facet]
        ends = ends - height[each, facet] / slope * device.extent
    return ends, at, gradients[each, facet] / slope[:, None]


def _vertices_of_walls(
    device: Device, line: _Line
) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """How ends of a line follow walls that it meets in a vertex, in the plane."""
    if device.dimension == 3:
        return lambda ends, moving: moving
    cells, facets = cells_of(device), device.facets
    normal = facet_geometry(cells, facets.cell, facets.local, np.array([[0.0], [1.0]])).normal
    place = cells.corners[facets.cell[:, None], facet_vertices(2)[facets.local]]
    rows = np.concatenate([place, normal], axis=2).reshape(-1, 4)
    place, normal = np.split(concatenated(device.comm, rows), 2, axis=1)

    def found(ends: np.ndarray, moving: np.ndarray) -> np.ndarray:
        out = moving.copy()
        for i, point in enumerate(line.at(ends) / device.extent):
            here = np.flatnonzero(np.abs(place - point).max(axis=1) < 1e-9)
            across = normal[here] @ line.direction
            if len(here) and np.abs(across).min() > 1e-6:
                out[i] = (normal[here] / across[:, None]).mean(axis=0)
        return out

    return found


def at_probe(field: Field, probe: Probe, number: int, component: int) -> tuple[np.ndarray, Nodes]:
    """Derivatives of a component of a field at a point of a probe, with its resolution."""
    points = probe_points(probe, field.device.dimension)
    if probe.resolution is not None:
        return sensitivity(field, points, probe.resolution, number, component)
    unit = np.eye(field.components)[[component]]
    return sampling.sensitivity(field, points[[number]], unit)


@dataclass(frozen=True, slots=True, eq=False)
class _Line:
    """A line, the distances along it that are wanted, and the deviation of the Gaussian, m."""

    origin: np.ndarray
    direction: np.ndarray
    wanted: np.ndarray
    deviation: float

    @classmethod
    def through(cls, device: Device, points: Any, width: float) -> _Line:
        """The line through points."""
        points = np.atleast_2d(np.asarray(points, dtype=float))[:, : device.dimension]
        if not width > 0:
            raise CaseError(("resolution", f"found {width!r} m; must be positive"))
        origin = points[0]
        far = np.linalg.norm(points - origin, axis=1).argmax()
        along = points[far] - origin
        direction = along / (np.linalg.norm(along) or 1.0)
        wanted = (points - origin) @ direction
        beside = np.abs(points - origin - wanted[:, None] * direction).max()
        if not direction.any() or beside > 1e-9 * device.extent:
            raise CaseError(("resolution", "needs two points or more, on a straight line"))
        return cls(origin, direction, wanted, width * PER_WIDTH)

    def at(self, places: np.ndarray) -> np.ndarray:
        """Points at distances along the line."""
        return np.asarray(self.origin + places[:, None] * self.direction)

    def near(self, places: np.ndarray) -> np.ndarray:
        """Which distances some Gaussian reaches."""
        reach = _FAR * self.deviation
        low, high = self.wanted.min() - reach, self.wanted.max() + reach
        return np.asarray((places > low) & (places < high))

    def kernel(self, which: slice, places: np.ndarray) -> np.ndarray:
        """Gaussians about some of the wanted distances, 1/m, shape (n, places)."""
        apart = (self.wanted[which, None] - places) / self.deviation
        return np.asarray(np.exp(-(apart**2) / 2) / (self.deviation * sqrt(2 * np.pi)))


def _quadrature(device: Device, line: _Line) -> tuple[np.ndarray, np.ndarray]:
    """Gauss points along a line through the whole device, cell by cell, and their weights, m."""
    breaks = _breaks(device, line)
    parts = np.maximum(1, np.ceil(np.diff(breaks) / line.deviation).astype(int))
    start = np.repeat(breaks[:-1], parts)
    length = np.repeat(np.diff(breaks) / parts, parts)
    number = np.arange(len(start)) - np.repeat(np.cumsum(parts) - parts, parts)
    x, w = np.polynomial.legendre.leggauss(_POINTS)
    places = ((start + (number + 0.5) * length)[:, None] + length[:, None] * x / 2).ravel()
    weights = (length[:, None] * w / 2).ravel()
    here = _inside(device, line.at(places))
    return places[here], weights[here]


def _inside(device: Device, points: np.ndarray) -> np.ndarray:
    """Which points are in the conductor, the same on every rank."""
    found = locate(device, points, strict=True)[0] >= 0
    return np.asarray(device.comm.allreduce(found.astype(np.int64)) > 0)


def _breaks(device: Device, line: _Line) -> np.ndarray:
    """Distances along a line at which it enters or leaves cells, ascending, m."""
    cells = cells_of(device)
    count = np.arange(cells.count)
    inverse, _ = cells.derivatives(count)
    # Barycentric coordinates are linear along the line: at + slope s; in the cell none is negative.
    at = (inverse @ (line.origin / device.extent - cells.corners[:, 0])[:, :, None])[..., 0]
    slope = inverse @ line.direction
    at = np.column_stack([1 - at.sum(axis=1), at])
    slope = np.column_stack([-slope.sum(axis=1), slope])
    still = np.abs(slope) < _STILL * np.abs(slope).max(axis=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        zero = -at / slope
    enter = np.where(~still & (slope > 0), zero, -np.inf).max(axis=1)
    leave = np.where(~still & (slope < 0), zero, np.inf).min(axis=1)
    crossed = (enter < leave) & (~still | (at > -1e-9)).all(axis=1)
    own = np.array([enter[crossed], leave[crossed]]) * device.extent
    bent = np.flatnonzero(~cells.affine[crossed])
    for sign, ends in zip((-1.0, 1.0), own, strict=True):
        ends[bent] = _ends(device, line, count[crossed][bent], ends[bent], sign)[0]
    found = np.unique(concatenated(device.comm, own.ravel()))
    if not len(found):
        return found
    found = found[np.append(True, np.diff(found) > 1e-12 * device.extent)]
    return np.sort(np.concatenate([found, _walls(device, line, found)]))


def _walls(device: Device, line: _Line, breaks: np.ndarray) -> np.ndarray:
    """Where the line crosses curved walls, which are not where the straight sides of cells are."""

    def inside(places: np.ndarray) -> np.ndarray:
        return _inside(device, line.at(places))

    if cells_of(device).degree == 1 or len(breaks) < 2:
        return np.zeros(0)
    ends = 0.05 * (breaks[-1] - breaks[0])
    breaks = np.concatenate([[breaks[0] - ends], breaks, [breaks[-1] + ends]])
    steps = np.linspace(0.0, 1.0, 17)[1:-1]
    dense = (breaks[:-1, None] + np.diff(breaks)[:, None] * steps).ravel()
    known = inside(dense)
    change = np.flatnonzero(known[1:] != known[:-1])
    low, high, first = dense[change], dense[change + 1], known[change]
    for _ in range(50):
        middle = (low + high) / 2
        same = inside(middle) == first
        low, high = np.where(same, middle, low), np.where(same, high, middle)
    return (low + high) / 2
