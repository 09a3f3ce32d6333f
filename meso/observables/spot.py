"""What an instrument of finite resolution sees along a line: profiles convolved with a Gaussian."""

from __future__ import annotations

from collections.abc import Sequence
from math import log, sqrt
from typing import Any

import numpy as np

from meso.device import Device
from meso.discrete.cells import cells_of
from meso.discrete.fields import Field
from meso.discrete.sampling import locate, sample
from meso.errors import CaseError
from meso.mpi import concatenated

#: Standard deviation of a Gaussian over its full width at half maximum.
PER_WIDTH = 1 / sqrt(8 * log(2))

# Beyond so many standard deviations a Gaussian is nothing.
_FAR = 9.0
# Quadrature points in a cell, or in a standard deviation where that is less.
_POINTS = 10
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
    deviation = width * PER_WIDTH
    places, weights = _quadrature(device, origin, direction, deviation)
    near = (places > wanted.min() - _FAR * deviation) & (places < wanted.max() + _FAR * deviation)
    places, weights = places[near], weights[near]
    values = sample(device, fields, origin + places[:, None] * direction)
    out = {f.name: np.zeros((len(points), *values[f.name].shape[1:])) for f in fields}
    step = max(1, _BATCH // (len(places) + 1))
    for start in range(0, len(points), step):
        here = slice(start, start + step)
        apart = (wanted[here, None] - places) / deviation
        kernel = np.exp(-(apart**2) / 2) * weights / (deviation * sqrt(2 * np.pi))
        for name, value in values.items():
            out[name][here] = kernel @ np.nan_to_num(value)  # nothing outside
    return out


def _quadrature(
    device: Device, origin: np.ndarray, direction: np.ndarray, deviation: float
) -> tuple[np.ndarray, np.ndarray]:
    """Gauss points along a line through the whole device, cell by cell, and their weights, m."""
    breaks = _breaks(device, origin, direction)
    parts = np.maximum(1, np.ceil(np.diff(breaks) / deviation).astype(int))
    start = np.repeat(breaks[:-1], parts)
    length = np.repeat(np.diff(breaks) / parts, parts)
    number = np.arange(len(start)) - np.repeat(np.cumsum(parts) - parts, parts)
    x, w = np.polynomial.legendre.leggauss(_POINTS)
    places = ((start + (number + 0.5) * length)[:, None] + length[:, None] * x / 2).ravel()
    weights = (length[:, None] * w / 2).ravel()
    here = _inside(device, origin + places[:, None] * direction)
    return places[here], weights[here]


def _inside(device: Device, points: np.ndarray) -> np.ndarray:
    """Which points are in the conductor, the same on every rank."""
    found = locate(device, points, strict=True)[0] >= 0
    return np.asarray(device.comm.allreduce(found.astype(np.int64)) > 0)


def _breaks(device: Device, origin: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """Distances from a point along a line at which it enters or leaves cells, ascending, m."""
    cells = cells_of(device)
    count = np.arange(cells.count)
    inverse, _ = cells.derivatives(count)
    # Barycentric coordinates are linear along the line: at + slope s; in the cell none is negative.
    at = (inverse @ (origin / device.extent - cells.corners[:, 0])[:, :, None])[..., 0]
    slope = inverse @ direction
    at = np.column_stack([1 - at.sum(axis=1), at])
    slope = np.column_stack([-slope.sum(axis=1), slope])
    still = np.abs(slope) < 1e-12 * np.abs(slope).max(axis=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        zero = -at / slope
    enter = np.where(~still & (slope > 0), zero, -np.inf).max(axis=1)
    leave = np.where(~still & (slope < 0), zero, np.inf).min(axis=1)
    crossed = (enter < leave) & (~still | (at > -1e-9)).all(axis=1)
    own = np.concatenate([enter[crossed], leave[crossed]]) * device.extent
    found = np.unique(concatenated(device.comm, own))
    if not len(found):
        return found
    found = found[np.append(True, np.diff(found) > 1e-12 * device.extent)]
    return np.sort(np.concatenate([found, _walls(device, origin, direction, found)]))


def _walls(
    device: Device, origin: np.ndarray, direction: np.ndarray, breaks: np.ndarray
) -> np.ndarray:
    """Where the line crosses curved walls, which are not where the straight sides of cells are."""

    def inside(places: np.ndarray) -> np.ndarray:
        return _inside(device, origin + places[:, None] * direction)

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
