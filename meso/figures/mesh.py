"""Picture of a mesh: its cells, its regions and its boundaries by name."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.collections import LineCollection, PolyCollection

from meso.device import Device
from meso.discrete.cells import cells_of, facet_geometry
from meso.figures import style
from meso.figures.style import LINES, map_figure, store
from meso.figures.surface import draw_surface
from meso.mpi import concatenated

_SHADES = np.array(["#f2f2f2", "#dfe8f3", "#f6e7d8", "#e2f0e2", "#eee3f3"])


def draw_mesh(device: Device, path: Path) -> None:
    """Draw a mesh with its boundaries in colour; every rank calls this, rank 0 draws.

    Args:
        device: The device.
        path: The picture.
    """
    if device.dimension == 3:
        draw_surface(device, path)
        return
    scale = device.extent
    corners = concatenated(device.comm, cells_of(device).nodes[:, :3] * scale)
    s = np.linspace(0, 1, 5)[:, None]
    facets = device.facets
    lines = facet_geometry(cells_of(device), facets.cell, facets.local, s, np.ones(5))
    curves = concatenated(device.comm, lines.position * scale)
    names = concatenated(device.comm, facets.boundary)
    regions = concatenated(device.comm, device.cell_region)
    if device.comm.rank:
        return
    with matplotlib.rc_context(style.STYLE):
        flat = corners.reshape(-1, 2)
        low, high = flat.min(axis=0), flat.max(axis=0)
        unit = style.length_scale(device.smallest_cell)
        shortest = device.smallest_cell / unit.factor
        picture = map_figure(
            (low[0], high[0], low[1], high[1]),
            (0.15,) * 4,
            f"{device.source.stem}: {device.cells} cells, shortest edge {shortest:.3g} {unit.name}",
        )
        picture.bar.axis("off")
        picture.axes.add_collection(
            PolyCollection(
                list(corners / picture.length.factor),
                facecolors=_SHADES[regions % len(_SHADES)],
                edgecolors="#8a8a8a",
                linewidths=0.25,
            )
        )
        for index, name in enumerate(device.boundaries):
            chosen = curves[names == index] / picture.length.factor
            color = LINES[index % len(LINES)]
            style_ = "-" if index < len(LINES) else ":"
            picture.axes.add_collection(
                LineCollection(list(chosen), colors=color, linewidths=2.5, linestyles=style_)
            )
            picture.axes.plot([], [], color=color, linewidth=2.5, linestyle=style_, label=name)
        handles, labels = picture.axes.get_legend_handles_labels()
        picture.bar.legend(
            handles,
            labels,
            loc="center" if picture.horizontal else "center left",
            ncols=min(len(labels), 5) if picture.horizontal else 1,
        )
        store(picture.figure, path)
