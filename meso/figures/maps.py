"""Maps of the device: current, signed fields, potential."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from meso.constants import HBAR
from meso.equations.derived import TABLE
from meso.figures import style
from meso.figures.data import Drawn
from meso.figures.layer import floor, magnified, wall_values
from meso.figures.outline import chains
from meso.figures.raster import Extent, Grid
from meso.figures.style import INK, Map, color_bar, map_figure

# Without the lightest colours, before which white stream lines would not be seen.
SPEED = LinearSegmentedColormap.from_list("speed", colormaps["magma"](np.linspace(0.08, 0.8, 64)))
# Snapped to pixels, a straight wall of many points gets wavy.
_WALL: dict[str, Any] = {"snap": False}
_SQUARE = "#1b7f3b"
_HALO = [withStroke(linewidth=2.5, foreground="white")]


def _map(result: Drawn, *, values: bool, panel: bool = False) -> Map:
    return map_figure(result.outline.box, result.outline.pads(values), result.title, panel=panel)


def _finish(result: Drawn, picture: Map, *, values: bool) -> None:
    """Outline, contacts and their names."""
    axes, unit = picture.axes, picture.length.factor
    for chain in chains(result.outline.walls):
        axes.plot(*(chain.T / unit), color=INK, linewidth=1.3, zorder=4, **_WALL)
    for contact in result.outline.contacts:
        axes.plot(
            *(contact.line.T / unit),
            color=style.CONTACT,
            linewidth=1.6 if contact.periodic else 3.5,
            linestyle=(0, (4, 2)) if contact.periodic else "-",
            zorder=5,
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
            text,
            (x, y),
            xytext=(6 * dx, 6 * dy),
            textcoords="offset points",
            size=9,
            ha="left" if dx > 0.5 else "right" if dx < -0.5 else "center",
            va="bottom" if dy > 0.5 else "top" if dy < -0.5 else "center",
            color=style.CONTACT,
            zorder=6,
            path_effects=_HALO,
            linespacing=1.25,
        )


def _image(picture: Map, axes: Any, grid: Grid, values: np.ndarray, **how: Any) -> Any:
    """A field as an image, pixel by pixel."""
    step_x, step_y = grid.x[1] - grid.x[0], grid.y[1] - grid.y[0]
    extent = picture.shown(
        (
            grid.x[0] - step_x / 2,
            grid.x[-1] + step_x / 2,
            grid.y[0] - step_y / 2,
            grid.y[-1] + step_y / 2,
        )
    )
    return axes.imshow(
        values, origin="lower", extent=extent, interpolation="nearest", aspect="auto", **how
    )


def current(result: Drawn) -> Figure:
    """Stream lines over the current density, contacts with potentials and currents."""
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
        picture,
        picture.axes,
        grid,
        speed / unit.factor,
        cmap=SPEED,
        vmin=0,
        vmax=top / unit.factor,
    )
    every = max(1, round(max(grid.shape) / 220))
    x, y = (a[every // 2 :: every] / picture.length.factor for a in (grid.x, grid.y))
    u, v = (np.ma.masked_invalid(a[every // 2 :: every, every // 2 :: every]) for a in j)
    width, height = (p / style.DPI for p in picture.pixels)
    picture.axes.streamplot(
        x,
        y,
        u,
        v,
        color="white",
        linewidth=0.8,
        arrowsize=0.9,
        density=(width / 4.2, height / 4.2 + 0.15),
        maxlength=8.0,
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


def potential(result: Drawn) -> Figure:
    """The potential with equipotential lines."""
    low, high = result.potentials
    label = TABLE["potential"].label
    return _shaded(result, result.data["potential"], (low, high), "V", label, lines=22)


def shaded(result: Drawn, field: str) -> Figure:
    """A field of any kind, of vectors their length, in colours."""
    return _shaded(result, *result.sizes(field))


def _shaded(
    result: Drawn,
    values: np.ndarray,
    bounds: tuple[float, float],
    unit_name: str,
    label: str,
    lines: int = 0,
) -> Figure:
    picture = _map(result, values=False)
    grid = result.cells.grid(picture.extent, *picture.pixels)
    seen = grid.values(values)
    low, high = bounds
    unit = style.scale(max(abs(low), abs(high)), unit_name)
    image = _image(
        picture,
        picture.axes,
        grid,
        seen / unit.factor,
        cmap="cividis",
        vmin=low / unit.factor,
        vmax=high / unit.factor,
    )
    x, y = (a[::3] / picture.length.factor for a in (grid.x, grid.y))
    if high > low and lines:
        picture.axes.contour(
            x,
            y,
            np.ma.masked_invalid(seen[::3, ::3]),
            levels=np.linspace(low, high, lines)[1:-1],
            colors="white",
            linewidths=0.8,
            linestyles="solid",
        )
    color_bar(picture, image, f"{label} ({unit.name})")
    _finish(result, picture, values=False)
    return picture.figure


def curl(result: Drawn, field: str) -> Figure:
    """A field of both signs, and a magnified piece of a wall where its layer is thin."""
    factor, name, label = _readable(result, field)
    wall = wall_values(result, field)
    zoom = magnified(result, field, wall)
    picture = _map(result, values=False, panel=zoom is not None)
    grid = result.cells.grid(picture.extent, *picture.pixels)
    values = grid.values(result.data[field]) / factor
    # What is normal at walls sets the colours, not what happens in a few corners.
    bulk = float(np.nanpercentile(np.abs(values), 99.5))
    top = max(bulk, float(np.percentile(np.abs(wall[:, 2]), 95)) / factor if len(wall) else 0.0)
    peak = float(np.nanmax(np.abs(values)))
    if peak < 1.1 * top:
        top = peak
    top = max(top, floor(result, field) / factor) or 1.0
    unit = style.scale(top, name)
    how = {"cmap": "RdBu_r", "vmin": -top / unit.factor, "vmax": top / unit.factor}
    image = _image(picture, picture.axes, grid, values / unit.factor, **how)
    extend = "both" if peak > 1.01 * top else "neither"
    color_bar(picture, image, f"{label} ({unit.name})", extend)
    _finish(result, picture, values=False)
    if zoom is not None:
        side = round(picture.panel.bbox.width)
        close = result.cells.grid(zoom, side, side)
        seen = close.values(result.data[field]) / factor / unit.factor
        _image(picture, picture.panel, close, seen, **how)
        _zoomed(result, picture, zoom)
    return picture.figure


def _readable(result: Drawn, field: str) -> tuple[float, str, str]:
    """SI per unit, unit and label of a curl-like field."""
    unit = result.unit(field)
    label = TABLE[field].label
    if unit.startswith("J_s_"):
        return HBAR, unit.replace("J_s_", "hbar_"), label
    return 1.0, unit, label


def _zoomed(result: Drawn, picture: Map, zoom: Extent) -> None:
    """Axes of the magnified panel, and where it belongs."""
    panel = picture.panel
    a, b, c, d = picture.shown(zoom)
    for chain in chains(result.outline.walls):
        panel.plot(*(chain.T / picture.length.factor), color=INK, linewidth=1.6, **_WALL)
    panel.set(xlim=(a, b), ylim=(c, d))
    panel.set_title("the dashed square, magnified", fontsize=10, color=_SQUARE)
    panel.yaxis.set_major_locator(MaxNLocator(5))
    panel.xaxis.set_major_locator(MaxNLocator(4))
    panel.spines[:].set(color=_SQUARE, linewidth=1.5)
    picture.axes.plot(
        [a, b, b, a, a], [c, c, d, d, c], color=_SQUARE, linestyle=(0, (3, 2)), zorder=7
    )
