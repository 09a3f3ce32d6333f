"""What a shape must keep: its area, the smallest width, a box, the radius of its curves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from meso.designing.descent import Limits
from meso.designing.outline import (
    Outline,
    area,
    curvatures,
    distances,
    facing_pairs,
    slopes,
    triples,
)

#: Pairs and triples of points count up to this many times the limit.
_NEAR = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Limits of the shape, SI.

    Attributes:
        moving: Boundaries that may move.
        walls: All walls.
        spacing: Distance of points along them that is enough, m.
        area: Smallest and largest area.
        width: Smallest distance of walls that face one another.
        radius: Smallest radius of curvature between corners.
        box: Lower and upper corner of what moving boundaries must stay in.
    """

    moving: tuple[str, ...]
    walls: tuple[str, ...]
    spacing: float
    area: tuple[float, float] | None = None
    width: float | None = None
    radius: float | None = None
    box: tuple[tuple[float, ...], tuple[float, ...]] | None = None

    @property
    def is_free(self) -> bool:
        """Whether the shape has nothing to keep."""
        return self.area is self.width is self.radius is self.box is None

    def limits(self, outline: Outline, directions: np.ndarray) -> Limits:
        """The limits at an outline, with derivatives along motions of its nodes.

        Args:
            outline: The outline.
            directions: Velocities of its nodes, shape (variables, m, 2).
        """
        found = [_none(len(directions))]
        if self.is_free:
            return found[0]
        edges = outline.on(self.moving)
        if self.area is not None:
            size = max(abs(a) for a in self.area if np.isfinite(a))
            value, slope = area(outline), slopes(area, outline, directions)
            low, high = self.area
            found.append(_between(value, slope, size, low, high, lasting=True))
        if self.width is not None:
            pairs = facing_pairs(outline, edges, outline.on(self.walls), self.width)
            far = distances(outline, pairs)
            pairs, far = pairs[far < _NEAR * self.width], far[far < _NEAR * self.width]
            slope = slopes(distances, outline, directions, pairs)
            found.append(_between(far, slope, self.width, self.width, np.inf))
        if self.radius is not None:
            at = triples(outline, edges, self.spacing / 2)
            bend = curvatures(outline, at)
            tight = np.abs(bend) * self.radius > 1 / _NEAR
            slope, most = slopes(curvatures, outline, directions, at[tight]), 1 / self.radius
            found.append(_between(bend[tight], slope, most, -most, most))
        if self.box is not None:
            nodes = np.unique(outline.edges[edges])
            size = float(np.ptp(self.box, axis=0).max())
            for axis, (low, high) in enumerate(zip(*self.box, strict=True)):
                value, slope = outline.points[nodes, axis], directions[:, nodes, axis].T
                near = np.minimum(value - low, high - value) < size / 10
                found.append(_between(value[near], slope[near], size, low, high))
        whole = found[0]
        for one in found[1:]:
            whole = whole + one
        return whole


def _none(variables: int) -> Limits:
    empty = np.empty(0)
    return Limits(values=empty, low=empty, high=empty, slopes=np.empty((0, variables)))


def _between(
    values: np.ndarray,
    slopes: np.ndarray,
    size: float,
    low: float,
    high: float,
    *,
    lasting: bool = False,
) -> Limits:
    """Limits of numbers relative to a size."""
    return Limits(
        values=values / size,
        low=np.full(len(values), low / size),
        high=np.full(len(values), high / size),
        slopes=slopes / size,
        lasting=len(values) if lasting else 0,
    )
