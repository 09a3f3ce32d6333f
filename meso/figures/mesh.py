"""Pictures of a mesh: cells and regions in 2D, the surface from both sides in 3D."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from meso import _compat
from meso.device import Device
from meso.figures.cells import basis, facet_points
from meso.figures.eye import projected, triad
from meso.figures.sheets import flat_figure
from meso.figures.style import LINES, canvas, ink, length_scale, look, plain, store
from meso.mpi import concatenated

_SHADES = np.array(["#f2f2f2", "#dfe8f3", "#f6e7d8", "#e2f0e2", "#eee3f3"])
# Toward the eye, in the frame of the drawing, for the view from the front.
_EYE = np.array([-0.55, -0.75, 0.5])
_LIGHT = np.array([-0.25, -0.6, 0.75])
_WIDE, _HIGH = 6.6, 4.2


def picture(device: Device, path: Path) -> None:
    """Draw a mesh with its boundaries in colour; every rank calls this, rank 0 draws."""
    d, facets = device.dimension, device.facets
    points, of_cell, degree = _compat.geometry(device.mesh)
    nodes = points[of_cell[: len(device.cell_region)], :d]
    at = facet_points(d, 4 if d == 2 else min(degree, 2))
    lines = np.empty((len(facets.cell), at.shape[1], d))
    for local, here in enumerate(at):
        chosen = facets.local == local
        lines[chosen] = basis(nodes.shape[1], here, vtk=False) @ nodes[facets.cell[chosen]]
    inside = concatenated(device.comm, nodes[facets.cell, : d + 1].mean(axis=1))
    lines = concatenated(device.comm, lines)
    names = concatenated(device.comm, facets.boundary)
    cells = concatenated(device.comm, nodes[:, : d + 1])
    regions = concatenated(device.comm, device.cell_region)
    if device.comm.rank:
        return
    with look():
        if d == 2:
            figure = _plane(device, cells, regions, lines, names)
        else:
            figure = _surface(device, lines, inside, names)
        store(figure, path)


def _plane(
    device: Device, cells: np.ndarray, regions: np.ndarray, lines: np.ndarray, names: np.ndarray
) -> Figure:
    """The cells, shaded by region, and the boundaries."""
    (left, low), (right, high) = cells.min(axis=(0, 1)), cells.max(axis=(0, 1))
    unit, length = length_scale(device.smallest_cell), length_scale(max(right - left, high - low))
    shortest = f"shortest edge {device.smallest_cell / unit.factor:.3g} {unit.name}"
    title = f"{device.source.stem}: {device.cells} cells, {shortest}"
    figure, (axes,), bar = flat_figure((left, right, low, high), (0.15,) * 4, title)
    shades = {"facecolors": _SHADES[regions % len(_SHADES)], "edgecolors": "#8a8a8a"}
    axes.add_collection(PolyCollection(list(cells / length.factor), **shades, linewidths=0.25))
    for index, name in enumerate(device.boundaries):
        color, dashes = LINES[index % len(LINES)], "-" if index < len(LINES) else ":"
        chosen = list(lines[names == index] / length.factor)
        how = {"colors": color, "linewidths": 2.5, "linestyles": dashes, "snap": False}
        how["capstyle"] = "projecting" if dashes == "-" else "butt"  # no seams between facets
        axes.add_collection(LineCollection(chosen, **how, label=plain(name)))
    bar.axis("off")
    wide = bar.bbox.width > bar.bbox.height
    handles, labels = axes.get_legend_handles_labels()
    columns = min(len(labels), 5) if wide else 1
    bar.legend(handles, labels, loc="center" if wide else "center left", ncols=columns)
    return figure


def _surface(device: Device, faces: np.ndarray, inside: np.ndarray, names: np.ndarray) -> Figure:
    """The surface from both sides, boundaries in colour."""
    if faces.shape[1] > 3:  # curved: around them, with the middles of their sides
        faces = faces[:, [0, 3, 1, 4, 2, 5]]
    normal = np.cross(faces[:, 1] - faces[:, 0], faces[:, -1] - faces[:, 0])
    outward = ((faces.mean(axis=1) - inside) * normal).sum(axis=1, keepdims=True)
    normal *= np.sign(outward) / np.linalg.norm(normal, axis=1, keepdims=True)
    points = faces.reshape(-1, 3)
    extents = np.ptp(points, axis=0)
    spans = np.max([np.ptp(projected(points, eye)[0], axis=0) for eye in (_EYE, -_EYE)], axis=0)
    wide, high = spans * min(_WIDE / spans[0], _HIGH / spans[1])
    beside = wide < 0.6 * _WIDE
    rows, columns = (1, 2) if beside else (2, 1)
    width = max(0.7 + columns * (wide + 0.35), 5.5)
    height = 1.25 + rows * (high + 0.35)
    unit = length_scale(float(extents.max()))
    size = " × ".join(f"{x / unit.factor:.4g}" for x in extents)
    title = f"{device.source.stem}: {device.cells} cells, {size} {unit.name}"
    figure, add = canvas(width, height, title, 0.4)
    for k, eye in enumerate((_EYE, -_EYE)):
        i, j = (0, k) if beside else (k, 0)
        axes = add(0.4 + j * (wide + 0.35), height - 0.75 - (i + 1) * high - i * 0.35, wide, high)
        _view(axes, faces, normal, names, eye)
        axes.set_title("from the front" if k == 0 else "from behind and below", fontsize=10)
        if k == 0:
            triad(axes, eye)
    patches = [
        Patch(facecolor=tuple(_tint(i)), edgecolor=ink(), linewidth=0.4, label=plain(name))
        for i, name in enumerate(device.boundaries)
    ]
    figure.legend(handles=patches, loc="lower center", ncols=min(len(patches), 5))
    return figure


def _tint(boundary: int) -> np.ndarray:
    """A light colour for a boundary."""
    return 0.5 * np.array(to_rgb(LINES[boundary % len(LINES)])) + 0.5


def _view(
    axes: Any, faces: np.ndarray, normal: np.ndarray, names: np.ndarray, eye: np.ndarray
) -> None:
    """The faces that look toward the eye, the far ones first."""
    flat, depth = projected(faces, eye)
    seen = np.flatnonzero(normal @ eye > 0)
    seen = seen[np.argsort(depth.mean(axis=1)[seen])]
    light = _LIGHT * np.sign(eye) * np.sign(_EYE)  # behind the eye's shoulder
    shade = 0.74 + 0.26 * np.clip(normal[seen] @ (light / np.linalg.norm(light)), 0, 1)
    tints = np.array([_tint(i) for i in range(int(names.max()) + 1)])
    colors = tints[names[seen]] * shade[:, None]
    edge = min(0.4, 30.0 / np.sqrt(len(seen) + 1))
    how = {"facecolors": colors, "edgecolors": "#4a4a4a", "linewidths": edge}
    axes.add_collection(PolyCollection(list(flat[seen]), **how))
    (left, low), (right, high) = flat.min(axis=(0, 1)), flat.max(axis=(0, 1))
    axes.set(xlim=(left, right), ylim=(low, high), aspect="equal")
    axes.axis("off")
