"""Picture of a 3D mesh: its surface from both sides, boundaries in colour."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from meso.device import Device
from meso.discrete.cells import cells_of, facet_geometry
from meso.figures import style
from meso.figures.style import DPI, INK, LINES, store
from meso.mpi import concatenated

# Toward the eye, in the frame of the drawing, for the view from the front.
_EYE = np.array([-0.55, -0.75, 0.5])
_LIGHT = np.array([-0.25, -0.6, 0.75])
_WIDE, _HIGH = 6.6, 4.2


def draw_surface(device: Device, path: Path) -> None:
    """Draw the surface of a 3D mesh; every rank calls this, rank 0 draws.

    Args:
        device: The device.
        path: The picture.
    """
    cells, facets = cells_of(device), device.facets
    corners = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    # Around the facet, with the middles of its sides where it is curved.
    round_ = (
        corners
        if cells.degree == 1
        else np.array([[0, 0], [0.5, 0], [1, 0], [0.5, 0.5], [0, 1], [0, 0.5]])
    )
    geometry = facet_geometry(cells, facets.cell, facets.local, round_, np.ones(len(round_)))
    outline = concatenated(device.comm, geometry.position * device.extent)
    normal = concatenated(device.comm, geometry.normal.mean(axis=1))
    names = concatenated(device.comm, facets.boundary)
    if device.comm.rank:
        return
    with matplotlib.rc_context(style.STYLE):
        store(_picture(device, outline, normal, names), path)


def _picture(device: Device, outline: np.ndarray, normal: np.ndarray, names: np.ndarray) -> Figure:
    points = outline.reshape(-1, 3)
    low, high = points.min(axis=0), points.max(axis=0)
    eyes = (_EYE, -_EYE)
    flat = [_projected(points, eye)[0] for eye in eyes]
    spans = np.max([np.ptp(view, axis=0) for view in flat], axis=0)
    per_metre = min(_WIDE / spans[0], _HIGH / spans[1])
    wide, high_ = spans * per_metre
    beside = wide < 0.6 * _WIDE
    rows, columns = (1, 2) if beside else (2, 1)
    total = 0.5 + columns * (wide + 0.35) + 0.2, 1.25 + rows * (high_ + 0.35)
    figure = Figure(figsize=(max(total[0], 5.5), total[1]), dpi=DPI)
    FigureCanvasAgg(figure)
    width, height = figure.get_size_inches()
    for k, eye in enumerate(eyes):
        i, j = (0, k) if beside else (k, 0)
        x, y = 0.4 + j * (wide + 0.35), height - 0.75 - (i + 1) * high_ - i * 0.35
        axes = figure.add_axes((x / width, y / height, wide / width, high_ / height))
        _view(axes, outline, normal, names, eye)
        axes.set_title("from the front" if k == 0 else "from behind and below", fontsize=10)
        if k == 0:
            _triad(axes, eye)
    patches = [
        Patch(facecolor=tuple(_tint(i)), edgecolor=INK, linewidth=0.4, label=name)
        for i, name in enumerate(device.boundaries)
    ]
    figure.legend(handles=patches, loc="lower center", ncols=min(len(patches), 5))
    unit = style.length_scale(float((high - low).max()))
    size = " × ".join(f"{x / unit.factor:.4g}" for x in high - low)
    text = f"{device.source.stem}: {device.cells} cells, {size} {unit.name}"
    figure.text(0.4 / width, 1 - 0.3 / height, text, size=12)
    return figure


def _tint(boundary: int) -> np.ndarray:
    """A light colour for a boundary."""
    return 0.5 * np.array(to_rgb(LINES[boundary % len(LINES)])) + 0.5


def _projected(points: np.ndarray, eye: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Picture coordinates, and the distance toward the eye."""
    toward = eye / np.linalg.norm(eye)
    right = np.cross([0.0, 0.0, 1.0], toward)
    right /= np.linalg.norm(right)
    up = np.cross(toward, right)
    return points @ np.column_stack([right, up]), points @ toward


def _view(
    axes: Any, outline: np.ndarray, normal: np.ndarray, names: np.ndarray, eye: np.ndarray
) -> None:
    """The facets that look toward the eye, the far ones first."""
    flat, depth = _projected(outline.reshape(-1, 3), eye)
    flat = flat.reshape(*outline.shape[:2], 2)
    seen = np.flatnonzero(normal @ eye > 0)
    seen = seen[np.argsort(depth.reshape(outline.shape[:2]).mean(axis=1)[seen])]
    light = _LIGHT * np.sign(eye) * np.sign(_EYE)  # behind the eye's shoulder
    shade = 0.74 + 0.26 * np.clip(normal[seen] @ (light / np.linalg.norm(light)), 0, 1)
    tints = np.array([_tint(i) for i in range(int(names.max()) + 1)])
    colors = tints[names[seen]] * shade[:, None]
    edge = min(0.4, 30.0 / np.sqrt(len(seen) + 1))
    axes.add_collection(
        PolyCollection(list(flat[seen]), facecolors=colors, edgecolors="#4a4a4a", linewidths=edge)
    )
    low, high = flat.reshape(-1, 2).min(axis=0), flat.reshape(-1, 2).max(axis=0)
    axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), aspect="equal")
    axes.axis("off")


def _triad(axes: Any, eye: np.ndarray) -> None:
    """The directions of the axes, at the lower right."""
    arms, _ = _projected(np.eye(3), eye)
    for name, arm in zip("xyz", arms, strict=True):
        start = np.array([axes.bbox.width - 90.0, 60.0])
        for text, at in (("", start + 60 * arm), (name, start + 82 * arm)):
            axes.annotate(
                text,
                xy=start if not text else at,
                xytext=at,
                xycoords="axes pixels",
                textcoords="axes pixels",
                arrowprops=None if text else {"arrowstyle": "<-", "color": INK, "lw": 1.0},
                ha="center",
                va="center",
                size=9,
                annotation_clip=False,
            )
