"""Pictures of a result directory, and of a mesh.

Everything is read from the files of the result: pictures can be drawn again at any time.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.patheffects import withStroke

from meso import figure_style as style
from meso.cells import cells_of, facet_geometry
from meso.constants import HBAR
from meso.device import Device
from meso.figure_style import INK, LINES, Map, Scale, color_bar, line_figure, map_figure, store
from meso.mpi import concatenated
from meso.outline import Outline, chains
from meso.raster import CellSet, Extent, Grid
from meso.vtu import read_vtu

_HALO = [withStroke(linewidth=2.5, foreground="white")]


@dataclass(frozen=True, kw_only=True, eq=False)
class Drawn:
    """A result as its files tell it.

    Attributes:
        summary: summary.json.
        cells: Cells of all ranks.
        data: Fields at their nodes, SI, shape (c, n) or (c, n, 3).
        edges: Columns of edges/NAME.csv by wall.
        probes: Columns of probes/NAME.csv by probe.
        outline: Contacts and walls.
    """

    summary: dict[str, Any]
    cells: CellSet
    data: dict[str, np.ndarray]
    edges: dict[str, dict[str, np.ndarray]]
    probes: dict[str, dict[str, np.ndarray]]
    outline: Outline

    @classmethod
    def read(cls, directory: Path) -> Drawn:
        """Read a result directory."""
        summary = json.loads((directory / "summary.json").read_text())
        parts = [read_vtu(p) for p in sorted((directory / "fields").glob("part*.vtu"))]
        parts = [part for part in parts if len(part[0])]
        names = parts[0][1].keys()
        cells = CellSet(points=np.concatenate([points for points, _ in parts]))
        edges = _tables(directory / "edges")
        return cls(
            summary=summary,
            cells=cells,
            data={name: np.concatenate([data[name] for _, data in parts]) for name in names},
            edges=edges,
            probes=_tables(directory / "probes"),
            outline=Outline.of(cells.outline(), edges, summary),
        )

    @property
    def title(self) -> str:
        """Title of the case."""
        return self.summary["title"] or Path(self.summary["mesh"]["file"]).stem

    def unit(self, field: str) -> str:
        """Unit of a field, as in the headers of the tables."""
        return self.summary["extrema"][field]["unit"]


def draw(directory: Path) -> list[Path]:
    """Draw the pictures of a result into its folder ``figures``.

    Args:
        directory: A result directory with ``.vtu`` fields.

    Returns:
        The files.
    """
    directory = Path(directory)
    result = Drawn.read(directory)
    out = directory / "figures"
    files = []
    with matplotlib.rc_context(style.STYLE):
        if "current_density" in result.data:
            files.append(store(_current(result), out / "current.png"))
        for name in ("orbital_density", "vorticity"):
            if name in result.data:
                files.append(store(_curl(result, name), out / f"{name}.png"))
                break
        if "potential" in result.data:
            files.append(store(_potential(result), out / "potential.png"))
        if result.edges:
            files.append(store(_edges(result), out / "edges.png"))
        for name, columns in result.probes.items():
            files.append(store(_probe(result, columns, name), out / f"probe_{name}.png"))
    return files


def draw_mesh(device: Device, path: Path) -> None:
    """Draw a mesh with its boundaries in colour; every rank calls this, rank 0 draws.

    Args:
        device: The device.
        path: The picture.
    """
    scale = device.extent
    corners = concatenated(device.comm, cells_of(device).nodes[:, :3] * scale)
    s = np.linspace(0, 1, 5)
    facets = device.facets
    lines = facet_geometry(cells_of(device), facets.cell, facets.local, s, np.ones_like(s))
    curves = concatenated(device.comm, lines.position * scale)
    names = concatenated(device.comm, facets.boundary)
    regions = concatenated(device.comm, device.cell_region)
    if device.comm.rank:
        return
    with matplotlib.rc_context(style.STYLE):
        flat = corners.reshape(-1, 2)
        low, high = flat.min(axis=0), flat.max(axis=0)
        picture = map_figure(
            (low[0], high[0], low[1], high[1]), (0.15,) * 4, f"{device.source.stem}:"
            f" {device.cells} cells, shortest edge {style.written(device.smallest_cell, 'm')}"
        )
        picture.bar.axis("off")
        shades = np.array(["#f2f2f2", "#dfe8f3", "#f6e7d8", "#e2f0e2", "#eee3f3"])
        picture.axes.add_collection(
            PolyCollection(
                corners / picture.length.factor,
                facecolors=shades[regions % len(shades)],
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
            handles, labels, loc="center" if picture.horizontal else "center left",
            ncols=min(len(labels), 5) if picture.horizontal else 1,
        )
        store(picture.figure, path)


def _tables(folder: Path) -> dict[str, dict[str, np.ndarray]]:
    tables = {}
    for path in sorted(folder.glob("*.csv")):
        with path.open() as file:
            names = file.readline().strip().split(",")
            rows = np.loadtxt(file, delimiter=",", ndmin=2)
        tables[path.stem] = dict(zip(names, rows.T, strict=True))
    return tables


def _map(result: Drawn, *, values: bool, panel: bool = False) -> Map:
    return map_figure(
        result.outline.box, result.outline.pads(values), result.title, panel=panel
    )


def _finish(result: Drawn, picture: Map, *, values: bool) -> None:
    """Outline, contacts and their names."""
    axes, unit = picture.axes, picture.length.factor
    for chain in chains(result.outline.walls):
        axes.plot(*(chain.T / unit), color=INK, linewidth=1.3, zorder=4)
    for contact in result.outline.contacts:
        axes.plot(
            *(contact.line.T / unit), color=style.CONTACT, linewidth=3.5, zorder=5,
            solid_capstyle="butt",
        )
        text = contact.name
        if values:
            text = "\n".join(filter(None, [text, *contact.values]))
        if not text:
            continue
        x, y = contact.anchor / unit
        dx, dy = contact.normal
        axes.annotate(
            text, (x, y), xytext=(6 * dx, 6 * dy), textcoords="offset points", size=9,
            ha="left" if dx > 0.5 else "right" if dx < -0.5 else "center",
            va="bottom" if dy > 0.5 else "top" if dy < -0.5 else "center",
            color=style.CONTACT, zorder=6, path_effects=_HALO, linespacing=1.25,
        )


def _image(picture: Map, axes: Any, grid: Grid, values: np.ndarray, **how: Any) -> Any:
    """A field as an image, pixel by pixel."""
    step_x, step_y = grid.x[1] - grid.x[0], grid.y[1] - grid.y[0]
    extent = picture.shown(
        (grid.x[0] - step_x / 2, grid.x[-1] + step_x / 2,
         grid.y[0] - step_y / 2, grid.y[-1] + step_y / 2)
    )
    return axes.imshow(
        values, origin="lower", extent=extent, interpolation="nearest", aspect="auto", **how
    )


def _current(result: Drawn) -> Any:
    picture = _map(result, values=True)
    grid = result.cells.grid(picture.extent, *picture.pixels)
    j = [grid.values(result.data["current_density"][:, :, k]) for k in (0, 1)]
    speed = np.hypot(*j)
    # Sharp corners are singular: they must not take the whole scale.
    top = np.nanpercentile(speed, 99.8)
    peak = float(np.nanmax(speed))
    top = peak if peak < 1.3 * top else float(top)
    unit = style.scale(top, result.unit("current_density"))
    image = _image(
        picture, picture.axes, grid, speed / unit.factor, cmap="viridis", vmin=0,
        vmax=top / unit.factor,
    )
    every = max(1, round(max(grid.shape) / 220))
    x, y = (a[every // 2 :: every] / picture.length.factor for a in (grid.x, grid.y))
    u, v = (np.ma.masked_invalid(a[every // 2 :: every, every // 2 :: every]) for a in j)
    width, height = (p / style.DPI for p in picture.pixels)
    picture.axes.streamplot(
        x, y, u, v, color="white", linewidth=0.8, arrowsize=0.9,
        density=(width / 4.2, height / 4.2 + 0.15), maxlength=8.0,
    )
    _limits(picture)
    color_bar(
        picture, image, f"current density |J| ({unit.name})", "max" if peak > top else "neither"
    )
    _finish(result, picture, values=True)
    return picture.figure


def _limits(picture: Map) -> None:
    a, b, c, d = picture.shown(picture.extent)
    picture.axes.set(xlim=(a, b), ylim=(c, d))


def _potential(result: Drawn) -> Any:
    picture = _map(result, values=False)
    grid = result.cells.grid(picture.extent, *picture.pixels)
    phi = grid.values(result.data["potential"])
    low, high = np.nanpercentile(phi, [0.02, 99.98])
    unit = style.scale(max(abs(low), abs(high)), "V")
    image = _image(picture, picture.axes, grid, phi / unit.factor, cmap="cividis",
                   vmin=low / unit.factor, vmax=high / unit.factor)
    x, y = (a[::3] / picture.length.factor for a in (grid.x, grid.y))
    if high > low:
        picture.axes.contour(
            x, y, np.ma.masked_invalid(phi[::3, ::3]), levels=np.linspace(low, high, 22)[1:-1],
            colors="white", linewidths=0.8, linestyles="solid",
        )
    color_bar(picture, image, f"electrochemical potential φ ({unit.name})")
    _finish(result, picture, values=False)
    return picture.figure


def _readable(result: Drawn, field: str) -> tuple[float, str, str]:
    """SI per unit, unit and label of a curl-like field."""
    unit = result.unit(field)
    if field == "orbital_density":
        return HBAR, unit.replace("J_s_", "hbar_"), "orbital density $L_z$"
    return 1.0, unit, "vorticity Ω"


def _wall_values(result: Drawn, field: str) -> np.ndarray:
    """Rows (x, y, value, segment) of the field along all walls, SI."""
    rows = []
    for number, columns in enumerate(result.edges.values()):
        value = columns.get(f"{field}_{result.unit(field)}")
        if value is not None:
            segment = columns["segment"] + 1000 * number
            rows.append(np.column_stack([columns["x_m"], columns["y_m"], value, segment]))
    return np.concatenate(rows) if rows else np.empty((0, 4))
