"""Figures with maps: one of a 2D device, with a magnified part, or three sections of a 3D one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from meso.figures import labels
from meso.figures.cells import Extent, Grid, Plane
from meso.figures.data import Drawn, Stretch
from meso.figures.style import CONTACT, DPI, canvas, ink, length_scale, plain

if TYPE_CHECKING:
    from meso.figures.solid import Seen

AXES = "xyz"
_SQUARE = "#1b7f3b"
# Points of maps per inch: fields take longer to find than to look at.
_FINE = 120
# Sizes of sections in inches: widest and highest map, lowest map, sides of the section across.
_WIDE, _HIGH, _LOW, _ACROSS = 6.0, 3.2, 0.9, 2.9
# Left of them, and between them.
_LEFT, _GAP = 0.8, 0.95


@dataclass(frozen=True, kw_only=True)
class Panel:
    """A map: its axes, in units of ``unit`` metres, and the fields on a grid in its plane.

    One is ``main`` if it shows the device along its longest extent, as a whole.
    """

    axes: Any
    unit: float
    plane: Plane
    grid: Grid
    main: bool = True

    def coarse(self, columns: int, rows: int) -> tuple[np.ndarray, np.ndarray, tuple[Any, ...]]:
        """Coordinates of each so many points in the unit of the axes, and where these are."""
        across, up = (slice(every // 2, None, every) for every in (columns, rows))
        return self.grid.x[across] / self.unit, self.grid.y[up] / self.unit, (..., up, across)

    def image(self, values: np.ndarray, **how: Any) -> Any:
        """Show values on the grid, or colours."""
        extent = tuple(x / self.unit for x in self.grid.extent)
        how |= {"origin": "lower", "interpolation": "nearest", "aspect": "auto"}
        # Values are enlarged and then get their colours: that is less work than the other way.
        return self.axes.imshow(values, extent=extent, interpolation_stage="data", **how)

    def plot(self, line: np.ndarray, **how: Any) -> None:
        """Draw a line, m, shape (k, 2)."""
        # Snapped to pixels, a straight wall of many points gets wavy.
        self.axes.plot(*(line.T / self.unit), snap=False, solid_capstyle="butt", **how)


class Sheet:
    """A figure with maps and a colour bar below or beside them.

    The panels are the map of a 2D device, with contacts and perhaps their potentials and currents
    and the names of the walls (``values``), and perhaps a part of it magnified (``zoom``, m); or
    two sections along a 3D device and one across it, below views of the field on it (``views``),
    if there are some.
    """

    def __init__(
        self,
        result: Drawn,
        *,
        values: bool = False,
        zoom: Extent | None = None,
        views: Sequence[Seen] = (),
    ) -> None:
        self.result = result
        self.figure, self.panels, self.bar = (
            _sections(result, views) if result.dimension == 3 else _map(result, values, zoom)
        )

    def finish(self, image: Any, label: str, extend: str = "neither") -> Figure:
        """Outlines and the colour bar."""
        solid = self.result.dimension == 3
        for panel in self.panels:
            for line in self.result.outline(True, panel.plane):
                panel.plot(line, color=ink(), linewidth=1.3, zorder=4)
            for line in self.result.outline(False, panel.plane) if solid else ():
                panel.plot(line, color=CONTACT, linewidth=3, zorder=5)
        way = "horizontal" if self.bar.bbox.width > self.bar.bbox.height else "vertical"
        self.figure.colorbar(
            image, cax=self.bar, orientation=way, label=plain(label), extend=extend
        )
        self.bar.minorticks_off()
        return self.figure


def frame(axes: Any, extent: Extent, size: float, which: tuple[int, int] = (0, 1)) -> None:
    """Limits, m, and labels of the axes of a map, in the unit for a size of the device, m."""
    length = length_scale(size)
    left, right, low, high = (x / length.factor for x in extent)
    across, up = (f"{AXES[axis]} ({length.name})" for axis in which)
    axes.set(xlim=(left, right), ylim=(low, high), xlabel=across, ylabel=up, autoscale_on=False)


def flat_figure(
    box: Extent, pads: Extent, title: str, panel: bool = False
) -> tuple[Figure, list[Any], Any]:
    """Lay out a map of true aspect, perhaps with a square panel, for a slide.

    Around the box of the device (m) there is room for labels, inches. Returned are the figure, axes
    of the map and the panel, and those of a colour bar below or beside them.
    """
    width, height = box[1] - box[0], box[3] - box[2]
    wide = width > 1.5 * height
    # Inches of the map.
    room = (6.7 if wide else 6.0) if not panel else (5.6 if wide else 4.4)
    per_metre = min((room - pads[0] - pads[1]) / width, (4.6 - pads[2] - pads[3]) / height)
    map_w = per_metre * width + pads[0] + pads[1]
    map_h = per_metre * height + pads[2] + pads[3]
    side = min(max(map_h, 2.1), 3.4) if panel else 0.0
    left, gap, right, top = 0.8, 0.95, 0.25, 0.45
    body, base = max(map_h, side), 1.35 if wide else 0.6
    beside = 0.0 if wide else 1.15
    total_w = left + map_w + (gap + side if panel else 0.0) + beside + right
    figure, add = canvas(total_w, base + body + top, title, left)
    axes = [add(left, base + (body - map_h) / 2, map_w, map_h)]
    if panel:
        axes.append(add(left + map_w + gap, base + (body - side) / 2, side, side))
    if wide:
        span = total_w - left - right
        bar = add(left + 0.1 * span, 0.52, 0.8 * span, 0.13)
    else:
        bar = add(total_w - right - beside + 0.2, base, 0.15, body)
    around = np.array(box) + np.array([-1, 1, -1, 1]) * pads / per_metre
    frame(axes[0], tuple(around), max(width, height))
    return figure, axes, bar


def _map(result: Drawn, values: bool, zoom: Extent | None) -> tuple[Figure, list[Panel], Any]:
    """A 2D device with its contacts, and perhaps a magnified part."""
    plane, extent, names = result.plane(2), _extent(result, (0, 1)), labels.labels(result, values)
    figure, axes, bar = flat_figure(extent, labels.room(names), result.title, zoom is not None)
    unit = length_scale(result.size).factor
    # The same for all maps, so that points are found once.
    points = 800 * result.spans / max(result.spans[0], 1.5 * result.spans[1])
    columns, rows = np.ceil(points).astype(int).tolist()
    grid = result.grid(extent, columns, rows)
    panels = [Panel(axes=axes[0], unit=unit, plane=plane, grid=grid)]
    for stretch in result.stretches:
        _contact(panels[0], stretch)
    labels.draw(axes[0], names, unit, labels.outlines(result))
    if zoom is not None:
        side = round(_FINE * axes[1].bbox.width / DPI)
        grid = result.grid(zoom, side, side)
        panels.append(Panel(axes=axes[1], unit=unit, plane=plane, grid=grid, main=False))
        _zoomed(*panels)
    return figure, panels, bar


def _extent(result: Drawn, axes: tuple[int, int]) -> Extent:
    """Left, right, bottom and top of a device in a plane, m."""
    return tuple(result.box[:, axes].T.ravel().tolist())  # type: ignore[return-value]


def _contact(panel: Panel, stretch: Stretch) -> None:
    """The line of a contact."""
    thin = {"linewidth": 1.6, "linestyle": (0, (4, 2))}
    how = thin if stretch.periodic else {"linewidth": 3.5}
    panel.plot(stretch.line, color=CONTACT, zorder=5, **how)


def _zoomed(panel: Panel, close: Panel) -> None:
    """What is particular to a magnified part, and where it belongs."""
    a, b, c, d = (x / close.unit for x in close.grid.extent)
    close.axes.set(xlim=(a, b), ylim=(c, d), autoscale_on=False)
    close.axes.set_title("the dashed square, magnified", fontsize=10, color=_SQUARE)
    close.axes.yaxis.set_major_locator(MaxNLocator(5))
    close.axes.xaxis.set_major_locator(MaxNLocator(4))
    close.axes.spines[:].set(color=_SQUARE, linewidth=1.5)
    panel.axes.plot(
        [a, b, b, a, a], [c, c, d, d, c], color=_SQUARE, linestyle=(0, (3, 2)), zorder=7
    )


def sections_width(result: Drawn) -> float:
    """Inches of a figure with sections that views above them may take."""
    return _along(result) + _LEFT + _GAP + _ACROSS


def _along(result: Drawn) -> float:
    """Inches of the sections along the longest extent."""
    longest, middle, _ = result.order
    return float(np.clip(_HIGH * result.spans[longest] / result.spans[middle], 3.0, _WIDE))


def _sections(result: Drawn, views: Sequence[Seen]) -> tuple[Figure, list[Panel], Any]:
    """From above, from the side, and across the longest extent."""
    size, unit = result.spans, length_scale(result.size)
    longest, middle, least = result.order
    wide = _along(result)
    tall = [float(np.clip(wide * size[a] / size[longest], _LOW, _HIGH)) for a in (middle, least)]
    across = _ACROSS, float(np.clip(_ACROSS * size[least] / size[middle], _LOW, _ACROSS))
    left, gap, between, top, below = _LEFT, _GAP, 0.85, 0.8, 1.35
    start = below + max(tall[0] + between + tall[1], across[1])
    above = views[0].view.pixels[1] / DPI + 0.25 if views else 0.0
    width, height = sections_width(result) + 0.3, start + top + above
    figure, add = canvas(width, height, result.title, left)
    x = 0.15
    for seen in views:
        w, h = (n / DPI for n in seen.view.pixels)
        seen.show(add(x, height - 0.45 - h, w, h), result)
        x += w
    boxes = {
        least: (left, start - tall[0], wide, tall[0]),
        middle: (left, start - tall[0] - between - tall[1], wide, tall[1]),
        longest: (left + wide + gap, start - across[1], *across),
    }
    panels = []
    for axis, (x, y, w, h) in boxes.items():
        plane, axes = result.plane(axis), add(x, y, w, h)
        u, v = plane.axes
        extent, pad = _extent(result, plane.axes), 0.04 * size[[u, u, v, v]]
        frame(axes, tuple(extent + pad * [-1, 1, -1, 1]), result.size, plane.axes)
        axes.locator_params(axis="y", nbins=max(3, round(h * 2.2)))
        at = round(plane.position / unit.factor, 2) + 0.0
        where = f"{AXES[axis]} = {at:.3g} {unit.name}".replace("-", "−")
        stretch = h / size[v] * size[u] / w
        note = "" if abs(stretch - 1) < 0.02 else f", {AXES[v]} stretched {stretch:.2g} times"
        axes.set_title(where + note, fontsize=10)
        grid = result.grid(extent, round(w * _FINE), round(h * _FINE), plane)
        main = axis != longest
        panels.append(Panel(axes=axes, unit=unit.factor, plane=plane, grid=grid, main=main))
    return figure, panels, add(left + 0.1 * wide, 0.62, 0.8 * wide, 0.13)
