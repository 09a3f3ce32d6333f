"""Sections of a 3D device: maps on planes through its centre, and profiles along its walls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from meso.constants import HBAR
from meso.equations.derived import TABLE
from meso.figures import style
from meso.figures.layer import floor_of
from meso.figures.maps import SPEED
from meso.figures.outline import chains
from meso.figures.profiles import draw_lines
from meso.figures.raster import Extent, Grid, Plane
from meso.figures.solid import Solid, cut
from meso.figures.style import CONTACT, DPI, INK, LINES, Scale, line_figure

_AXES = "xyz"
# Sizes in inches: widest and highest map, lowest map, sides of the section across.
_WIDE, _HIGH, _LOW, _ACROSS = 6.0, 3.2, 0.9, 2.9
# Points of a map per inch: sections take longer to find than to look at.
_FINE = 130


@dataclass(frozen=True, kw_only=True)
class Panel:
    """A map of one section.

    Attributes:
        axes: Axes, in units of ``length``.
        plane: The plane.
        extent: What the axes show, m.
        grid: The points of the map in the cells.
        length: Unit of the axes.
    """

    axes: Any
    plane: Plane
    extent: Extent
    grid: Grid
    length: Scale

    @property
    def name(self) -> str:
        """Where the section is, "z = 10 nm"."""
        at = round(self.plane.position / self.length.factor, 2) + 0.0
        return f"{_AXES[self.plane.across]} = {at:.4g} {self.length.name}".replace("-", "−")

    def image(self, values: np.ndarray, **how: Any) -> Any:
        """Show values at the points of the grid."""
        extent = [x / self.length.factor for x in self.extent]
        return self.axes.imshow(
            values, origin="lower", extent=extent, interpolation="nearest", aspect="auto", **how
        )


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """A figure with the sections of a device.

    Attributes:
        figure: The figure.
        panels: Two sections along the device and one across it.
        bar: Axes of the colour bar.
    """

    figure: Figure
    panels: list[Panel]
    bar: Any


def sheet(result: Solid) -> Sheet:
    """Lay out the three sections: from above, from the side, and across the longest extent."""
    size = result.high - result.low
    longest, middle, least = (int(a) for a in result.order)
    planes = [result.plane(a) for a in (least, middle, longest)]
    wide = float(np.clip(_HIGH * size[longest] / size[middle], 3.0, _WIDE))
    high = [float(np.clip(wide * size[a] / size[longest], _LOW, _HIGH)) for a in (middle, least)]
    ratio = size[least] / size[middle]
    across = _ACROSS, float(np.clip(_ACROSS * ratio, _LOW, _ACROSS))
    left, gap, between, top, below = 0.8, 0.95, 0.85, 0.8, 1.35
    body = max(high[0] + between + high[1], across[1])
    total = left + wide + gap + across[0] + 0.3, top + body + below
    figure = Figure(figsize=total, dpi=DPI)
    FigureCanvasAgg(figure)

    def place(x: float, y: float, w: float, h: float) -> Any:
        return figure.add_axes((x / total[0], y / total[1], w / total[0], h / total[1]))

    start = total[1] - top
    boxes = [
        (left, start - high[0], wide, high[0]),
        (left, start - high[0] - between - high[1], wide, high[1]),
        (left + wide + gap, start - across[1], *across),
    ]
    length = style.length_scale(size.max())
    panels = []
    for plane, box in zip(planes, boxes, strict=True):
        u, v = plane.axes
        pad = [0.04 * size[u], 0.04 * size[v]]
        extent = (
            *(result.low[u] - pad[0], result.high[u] + pad[0]),
            *(result.low[v] - pad[1], result.high[v] + pad[1]),
        )
        grid = result.cells.grid(extent, round(box[2] * _FINE), round(box[3] * _FINE), plane)
        axes = place(*box)
        axes.set(xlabel=f"{_AXES[u]} ({length.name})", ylabel=f"{_AXES[v]} ({length.name})")
        stretch = box[3] / (extent[3] - extent[2]) * (extent[1] - extent[0]) / box[2]
        axes.locator_params(axis="y", nbins=max(3, round(box[3] * 2.2)))
        panel = Panel(axes=axes, plane=plane, extent=extent, grid=grid, length=length)
        note = "" if abs(stretch - 1) < 0.02 else f", {_AXES[v]} stretched {stretch:.2g} times"
        axes.set_title(panel.name + note, fontsize=10)
        panels.append(panel)
    bar = place(left + 0.1 * wide, 0.62, 0.8 * wide, 0.13)
    figure.text(left / total[0], 1 - 0.3 / total[1], result.title, size=12)
    return Sheet(figure=figure, panels=panels, bar=bar)


def _finish(result: Solid, drawn: Sheet, image: Any, label: str, extend: str = "neither") -> Figure:
    """Outlines, limits and the colour bar."""
    for panel in drawn.panels:
        factor = panel.length.factor
        if len(result.triangles):
            empty = np.empty((*result.triangles.shape[:2], 0))
            for line in chains(result.wall_lines(panel.plane, empty)[0]):
                panel.axes.plot(*(line.T / factor), color=INK, linewidth=1.2, zorder=4)
        if len(result.rest):
            edges, _ = cut(result.rest, panel.plane)
            for line in chains(edges):
                panel.axes.plot(
                    *(line.T / factor), color=CONTACT, linewidth=3, zorder=5, solid_capstyle="butt"
                )
        a, b, c, d = (x / factor for x in panel.extent)
        panel.axes.set(xlim=(a, b), ylim=(c, d))
    drawn.figure.colorbar(
        image, cax=drawn.bar, orientation="horizontal", label=label, extend=extend
    )
    drawn.bar.minorticks_off()
    return drawn.figure


def _vectors(result: Solid, panel: Panel, field: str) -> list[np.ndarray]:
    return [panel.grid.values(result.data[field][:, :, k]) for k in range(3)]


def current(result: Solid) -> Figure:
    """The current density on all sections, with stream lines along the device."""
    drawn = sheet(result)
    fields = [_vectors(result, panel, "current_density") for panel in drawn.panels]
    speeds = [np.sqrt(sum(part**2 for part in field)) for field in fields]
    every = np.concatenate([speed[np.isfinite(speed)] for speed in speeds])
    peak, top = float(every.max()), float(np.percentile(every, 99.8))
    top = peak if peak < 1.3 * top else top
    unit = style.scale(top, result.unit("current_density"))
    image = None
    for panel, field, speed in zip(drawn.panels, fields, speeds, strict=True):
        image = panel.image(
            speed / unit.factor, cmap=SPEED, vmin=0, vmax=(top or 1.0) / unit.factor
        )
        if panel is not drawn.panels[2]:
            _stream(panel, field)
    label = f"current density |J| ({unit.name})"
    return _finish(result, drawn, image, label, "max" if peak > top else "neither")


def _stream(panel: Panel, field: list[np.ndarray]) -> None:
    grid, (u, v) = panel.grid, panel.plane.axes
    every = max(1, round(max(grid.shape) / 220))
    x, y = (a[every // 2 :: every] / panel.length.factor for a in (grid.x, grid.y))
    flow = (
        np.ma.masked_invalid(field[k][every // 2 :: every, every // 2 :: every]) for k in (u, v)
    )
    wide, high = grid.shape[1] / _FINE, grid.shape[0] / _FINE
    panel.axes.streamplot(
        x,
        y,
        *flow,
        color="white",
        linewidth=0.8,
        arrowsize=0.9,
        density=(wide / 4.2, high / 4.2 + 0.12),
        maxlength=8.0,
    )


def curl(result: Solid, field: str) -> Figure:
    """The component of L or of the vorticity normal to each section along the device.

    Across it, that of the second section, with arrows for the vector in the plane.
    """
    drawn = sheet(result)
    factor, name, label, symbol = _readable(result, field)
    shown = [*(panel.plane.across for panel in drawn.panels[:2]), drawn.panels[1].plane.across]
    fields = [_vectors(result, panel, field) for panel in drawn.panels]
    values = [f[k] / factor for f, k in zip(fields, shown, strict=True)]
    every = np.abs(np.concatenate([v[np.isfinite(v)] for v in values]))
    peak, top = float(every.max()), float(np.percentile(every, 99.5))
    top = peak if peak < 1.3 * top else top
    size = float((result.high - result.low).max())
    top = max(top, floor_of(result, field, size) / factor) or 1.0
    unit = style.scale(top, name)
    image = None
    for panel, value, k in zip(drawn.panels, values, shown, strict=True):
        limit = top / unit.factor
        image = panel.image(value / unit.factor, cmap="RdBu_r", vmin=-limit, vmax=limit)
        title = panel.axes.get_title(loc="left")
        panel.axes.set_title(f"${symbol}_{_AXES[k]}$ at {title}", fontsize=10)
    _arrows(drawn.panels[2], fields[2], top * factor)
    extend = "both" if peak > 1.01 * top else "neither"
    return _finish(result, drawn, image, f"{label} ({unit.name})", extend)


def _arrows(panel: Panel, field: list[np.ndarray], top: float) -> None:
    """The vector in the plane of a section, longest where it is largest."""
    u, v = (field[k] for k in panel.plane.axes)
    rows, columns = u.shape
    across, along = columns // 12, max(1, rows // max(3, round(12 * rows / columns)))
    at = np.ix_(range(along // 2, rows, along), range(across // 2, columns, across))
    x, y = (a / panel.length.factor for a in (panel.grid.x, panel.grid.y))
    size = np.hypot(u[at], v[at])
    keep = np.isfinite(size) & (size > 0.03 * top)
    if not keep.any():
        return
    xs, ys = np.meshgrid(x[at[1][0]], y[at[0][:, 0]])
    panel.axes.quiver(
        *(xs[keep], ys[keep], u[at][keep], v[at][keep]),
        color=INK,
        pivot="middle",
        scale=float(size[keep].max()) * columns / across / 0.9,
        width=0.007,
        zorder=3,
    )


def _readable(result: Solid, field: str) -> tuple[float, str, str, str]:
    """SI per unit, unit, label and symbol of a curl-like field."""
    unit = result.unit(field)
    if field == "orbital_density":
        return HBAR, unit.replace("J_s_", "hbar_"), "orbital density", "L"
    return 1.0, unit, "vorticity", "Ω"


def potential(result: Solid) -> Figure:
    """The potential on all sections, with equipotential lines."""
    label = TABLE["potential"].label
    values = result.data["potential"]
    return _shaded(result, values, result.potentials, "V", label, lines=22)


def shaded(result: Solid, field: str) -> Figure:
    """A field of any kind, of vectors their length, in colours."""
    return _shaded(result, *result.sizes(field))


def _shaded(
    result: Solid,
    values: np.ndarray,
    bounds: tuple[float, float],
    unit_name: str,
    label: str,
    lines: int = 0,
) -> Figure:
    drawn = sheet(result)
    fields = [panel.grid.values(values) for panel in drawn.panels]
    low, high = bounds
    unit = style.scale(max(abs(low), abs(high)), unit_name)
    image = None
    for panel, seen in zip(drawn.panels, fields, strict=True):
        image = panel.image(
            seen / unit.factor, cmap="cividis", vmin=low / unit.factor, vmax=high / unit.factor
        )
        if high > low and lines and panel is not drawn.panels[2]:
            x, y = (a[::2] / panel.length.factor for a in (panel.grid.x, panel.grid.y))
            panel.axes.contour(
                *(x, y, np.ma.masked_invalid(seen[::2, ::2])),
                levels=np.linspace(low, high, lines)[1:-1],
                colors="white",
                linewidths=0.8,
                linestyles="solid",
            )
    return _finish(result, drawn, image, f"{label} ({unit.name})")


def edges(result: Solid) -> Figure | None:
    """Profiles along the lines in which the two long sections cut the walls; None without any."""
    field = next((n for n in ("orbital_density", "vorticity") if n in result.wall_data), None)
    longest = int(result.order[0])
    extent = float((result.high - result.low)[longest])
    length = style.length_scale(extent)
    names = ["current_density", *([field] if field else [])]
    found: list[tuple[str, np.ndarray]] = []
    for across in (int(result.order[2]), int(result.order[1])):
        plane = result.plane(across)
        parts = [result.wall_data["current_density"][..., longest]]
        if field:
            parts.append(result.wall_data[field][..., across])
        lines, owner = result.wall_lines(plane, np.stack(parts, axis=2))
        groups = np.column_stack([result.wall_data["wall"], result.wall_data["segment"]])[owner]
        for wall, segment in np.unique(groups, axis=0):
            for line in chains(lines[(groups == (wall, segment)).all(axis=1)]):
                if np.ptp(line[:, 0]) > 0.5 * extent:
                    side = f"{_AXES[plane.axes[1]]} = {_mean(line, length)} {length.name}"
                    text = f"{result.wall_names[int(wall)]}, {side}"
                    found.append((f"{text}: {_AXES[across]}", line))
    if not found:
        return None
    rows = len(names)
    figure, axes = line_figure(rows, f"{result.title}: along the walls")
    what = {"current_density": f"$J_{_AXES[longest]}$"}
    factor, unit = 1.0, ""
    if field:
        factor, unit, _, symbol = _readable(result, field)
        what[field] = f"${symbol}$ across"
    for panel, name, at in zip(axes, reversed(names), range(rows - 1, -1, -1), strict=True):
        drawn = []
        for i, (text, line) in enumerate(found):
            label = text if name == field else text.rpartition(":")[0]
            how = {"color": LINES[i % len(LINES)], "label": label.replace(": ", ": component ")}
            how["linestyle"] = ("-", "--", ":")[i // len(LINES) % 3]
            scaled = line[:, 2 + at] / (factor if name == field else 1.0)
            drawn.append((line[:, 0] / length.factor, scaled, how))
        draw_lines(panel, drawn, unit if name == field else result.unit(name), what[name])
        panel.margins(y=0.12)
        low, high = panel.get_ylim()
        if low * high > 0 and abs(high - low) < 0.1 * max(abs(low), abs(high)):
            # What hardly varies shall look so.
            panel.set_ylim(min(0.0, 1.2 * low), max(0.0, 1.2 * high))
    axes[-1].set_xlabel(f"{_AXES[longest]} ({length.name})")
    low, high = result.low[longest] / length.factor, result.high[longest] / length.factor
    axes[-1].set_xlim(low, high)
    axes[0].legend(loc="best", ncols=1 + len(found) // 5)
    return figure


def _mean(line: np.ndarray, length: Scale) -> str:
    """Mean of the second coordinate of a line, as a text."""
    steps = np.hypot(*np.diff(line[:, :2], axis=0).T)
    mean = ((line[1:, 1] + line[:-1, 1]) / 2 * steps).sum() / steps.sum()
    return f"{round(mean / length.factor, 2) + 0.0:.3g}".replace("-", "−")
