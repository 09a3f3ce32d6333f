"""Points of walls at the re-entrant corners at which pieces meet, and what divides beyond these.

Beyond such a corner c both pieces end there and are equally near. The bisector divides: the farther
piece has a distance that is larger by a smooth function, which continues the difference of the
distances before the corner, so that it may be interpolated. With the components s and t of x - c
along the two walls, both negative, and r = |x - c| that is F = s² t² (s² - t²)/(s⁴ + t⁴)/2r.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from meso.device import Device
from meso.discrete.cells import cells_of, facet_vertices
from meso.geometry.pieces import Facets
from meso.mpi import concatenated

#: Sine of the angle by which walls turn into the conductor at least.
_SHARP = 1e-3


class AtCorners(NamedTuple):
    """Points of facets at corners.

    Attributes:
        facet: Their facets, (m,).
        point: Where on the reference facet, (m, d - 1).
        into: Direction along the wall, away from the corner, (m, d).
        pair: The same number for the points of the two walls at one place, (m,).
        reach: Length of the facet, over ``Device.extent``, (m,).
    """

    facet: np.ndarray
    point: np.ndarray
    into: np.ndarray
    pair: np.ndarray
    reach: np.ndarray


def at_corners(device: Device, facets: Facets, normal: np.ndarray) -> AtCorners:
    """The points of this rank's facets of walls, whose normals are (f, d); all ranks call this.

    None in 3D, where edges would need points all along.
    """
    d, whole = device.dimension, np.empty(0, dtype=np.int64)
    if d == 3:
        return AtCorners(whole, np.empty((0, 2)), np.empty((0, 3)), whole, np.empty(0))
    corners = cells_of(device).corners[facets.cell[:, None], facet_vertices(d)[facets.local]]
    facet, apex = (x.ravel() for x in np.indices((len(corners), d)))
    end = corners[facet, 1 - apex]
    into = corners[facet, apex] - end
    length = np.linalg.norm(into, axis=1)
    into /= length[:, None]
    rows = np.column_stack([end, into, normal[facet], facets.piece[facet]])
    number = _numbers(concatenated(device.comm, rows))
    last = device.comm.scan(len(facet))
    number = number[last - len(facet) : last]
    here = np.flatnonzero(number >= 0)
    point = 1.0 - apex[here, None]
    return AtCorners(facet[here], point, into[here], number[here], length[here])


def _numbers(every: np.ndarray) -> np.ndarray:
    """Number of the corner at each end of facets, or -1.

    From rows of the end, the direction into the facet, the normal, and the piece.
    """
    _, group, count = np.unique(every[:, :2], axis=0, return_inverse=True, return_counts=True)
    order = np.argsort(group.reshape(-1), kind="stable")
    a, b = order[np.cumsum(count)[count == 2][:, None] - [2, 1]].T
    into, normal, piece = every[:, 2:4], every[:, 4:6], every[:, -1]
    turn = (into[a] * normal[b] + into[b] * normal[a]).sum(axis=1) / 2
    sharp = (turn > _SHARP) & (piece[a] != piece[b])
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
        one: Direction into the piece, (m, d); zero: there is no corner.
        other: Into the other piece.

    Returns:
        It, (m,), 0 for the nearer piece, and its derivatives in the offset, (m, d), and in the
        components of that along either piece.
    """
    s, t, r = (offset * one).sum(-1), (offset * other).sum(-1), np.linalg.norm(offset, axis=-1)
    u, v = s**2, t**2
    beyond = (s < 0) & (t < 0) & (u > v)
    u, v, r = (np.where(beyond, x, one) for x, one in ((u, 2.0), (v, 1.0), (r, 1.0)))
    above, sum_ = u * v * (u - v), u + v
    below = (u - v) ** 2 + (4 * u * v / sum_) ** 2
    value = np.where(beyond, above / below / (2 * r), 0.0)
    # Twice r times the derivatives in u and v.
    change = 2 * (u - v), 32 * u * v / sum_**3
    in_u = (v * (2 * u - v) - above / below * (change[0] + change[1] * v**2)) / below
    in_v = (u * (u - 2 * v) - above / below * (change[1] * u**2 - change[0])) / below
    in_s, in_t = (np.where(beyond, x / r, 0.0) for x in (in_u * s, in_v * t))
    slope = in_s[..., None] * one + in_t[..., None] * other
    slope = slope - (value / r**2)[..., None] * offset
    return value, slope, in_s, in_t
