"""The layers at walls: where to look at them, and what is too small to be looked at."""

from __future__ import annotations

import numpy as np

from meso.constants import ELECTRON_CHARGE
from meso.figures.data import Drawn, Files
from meso.figures.raster import Extent


def wall_values(result: Drawn, field: str) -> np.ndarray:
    """Rows (x, y, value, segment) of the field along all walls, SI."""
    rows = []
    for number, columns in enumerate(result.edges.values()):
        value = columns.get(f"{field}_{result.unit(field)}")
        if value is not None:
            segment = columns["segment"] + 1000 * number
            rows.append(np.column_stack([columns["x_m"], columns["y_m"], value, segment]))
    return np.concatenate(rows) if rows else np.empty((0, 4))


def floor(result: Drawn, field: str) -> float:
    """What is too small for a scale of its own, in 2D."""
    box = result.outline.box
    return floor_of(result, field, max(box[1] - box[0], box[3] - box[2]))


def floor_of(result: Files, field: str, size: float) -> float:
    """What is too small for a scale of its own: a curl of 5 % of the current over the size.

    A flow without vorticity shall not look like one with vorticity because of rounding.
    """
    diffusive = "diffusive" in field or "total" in field or field.startswith("spin")
    if diffusive or not {"current_density", "vorticity"} <= result.data.keys():
        return 0.0
    largest = np.abs(result.data["current_density"]).max()
    vorticity = 0.05 * largest / size / abs(ELECTRON_CHARGE)
    ratio = np.abs(result.data[field]).max() / (np.abs(result.data["vorticity"]).max() or 1.0)
    return float(vorticity * ratio)


def magnified(result: Drawn, field: str, wall: np.ndarray) -> Extent | None:
    """A square on a wall, six layers wide, where the layer is too thin for the whole picture.

    The thickness of the layer is the field integrated over the device and divided by its
    integral along the walls: the decay length, for an exponential.
    """
    if not len(wall):
        return None
    size = np.abs(wall[:, 2])
    steps = np.hypot(*np.diff(wall[:, :2], axis=0).T) * (np.diff(wall[:, 3]) == 0)
    along = ((size[1:] + size[:-1]) / 2 * steps).sum()
    p = result.cells.points
    (ax, ay), (bx, by) = (p[:, 1] - p[:, 0]).T, (p[:, 2] - p[:, 0]).T
    area = np.abs(ax * by - ay * bx) / 2
    inside = (np.abs(result.data[field]).mean(axis=1) * area).sum()
    box = result.outline.box
    extent = max(box[1] - box[0], box[3] - box[2])
    thickness = inside / along if along else 0.0
    if not 1e-5 * extent < thickness < 0.025 * extent or size.max() < floor(result, field):
        return None
    # The middle of the stretch of wall where most happens.
    high = size > 0.8 * np.percentile(size, 98)
    segments, counts = np.unique(wall[high, 3], return_counts=True)
    best = wall[high & (wall[:, 3] == segments[np.argmax(counts)])]
    x, y = best[len(best) // 2, :2]
    half = 3 * thickness
    # Move the square until the wall is near its side: the outside is of no interest.
    grid = result.cells.grid((x - half, x + half, y - half, y + half), 40, 40)
    column, row = grid.pixel % 40, grid.pixel // 40
    toward = np.array([grid.x[column].mean() - x, grid.y[row].mean() - y])
    toward = toward / max(np.hypot(*toward), 1e-30) * half * 0.75
    x, y = x + toward[0], y + toward[1]
    return (x - half, x + half, y - half, y + half)
