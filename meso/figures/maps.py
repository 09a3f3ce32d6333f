"""Maps of a device: current, signed fields, potential and other scalars, in 2D and in 3D."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import rcParams
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from meso.constants import ELECTRON_CHARGE
from meso.figures.cells import Extent
from meso.figures.data import Drawn
from meso.figures.sheets import AXES, Panel, Sheet
from meso.figures.style import DPI, SPEED, ink, scale

if TYPE_CHECKING:
    from meso.figures.solid import Seen

#: Points of stream lines where there is no current, and where it is largest.
_THIN, _THICK = 0.25, 1.3

#: Thickness of a layer, and half the side of a spot, over the size of the device, below which they
#: are magnified; a spot is where a field has this part of what it has at walls.
_THIN_LAYER, _SMALL_SPOT, _SEEN_FROM = 0.025, 0.06, 0.1

#: Part of the potentials of contacts within which those of nearly all of a device do not show.
_NARROW = 0.1

#: Cells below this size are not outlined, inches.
_SEEN = 0.04


def current(result: Drawn, views: Sequence[Seen] = ()) -> Figure:
    """Stream lines over the current density, contacts with potentials and currents."""
    sheet = Sheet(result, values=True, views=views)
    fields = [panel.grid["current_density"] for panel in sheet.panels]
    speeds = [np.sqrt((field**2).sum(axis=0)) for field in fields]
    # Sharp corners are singular: they must not take the whole scale.
    peak, top = _range(speeds, 99.8)
    top = views[0].most if views else peak if peak < 1.3 * top else top
    unit = scale(top, result.readable("current_density")[1])
    for panel, field, speed in zip(sheet.panels, fields, speeds, strict=True):
        limit = (top or 1.0) / unit.factor
        image = panel.image(speed / unit.factor, cmap=SPEED, vmin=0, vmax=limit)
        if panel.main:
            _stream(panel, field[list(panel.plane.axes)], top or 1.0)
            _outside(panel, np.isnan(speed))
    extend = "max" if peak > top else "neither"
    return sheet.finish(image, f"current density |J| ({unit.name})", extend)


def _range(values: Sequence[np.ndarray], percent: float) -> tuple[float, float]:
    """The largest magnitude of values, and what a part of them in per cent does not exceed."""
    found = np.abs(np.concatenate([v[np.isfinite(v)] for v in values]))
    return float(found.max()), float(np.percentile(found, percent))


def _stream(panel: Panel, field: np.ndarray, top: float) -> None:
    """Stream lines of a vector in the plane, whose weight shows how large it is, up to ``top``."""
    every = max(1, round(max(field.shape) / 200))
    x, y, at = panel.coarse(every, every)
    # With room around: lines begin at the borders of a grid.
    room = 4
    x, y = (a[0] + (a[1] - a[0]) * np.arange(-room, len(a) + room) for a in (x, y))
    u, v = np.pad(field[at], ((0, 0), (room, room), (room, room)), constant_values=np.nan)
    weight = np.sqrt(np.clip(np.nan_to_num(np.hypot(u, v)) / top, 0.0, 1.0))
    shown = np.ptp([panel.axes.get_xlim(), panel.axes.get_ylim()], axis=1)
    wide, high = panel.axes.bbox.size / DPI * [np.ptp(x), np.ptp(y)] / shown
    drawn = panel.axes.streamplot(
        *(x, y, u, v),
        color="white",
        linewidth=_THIN + (_THICK - _THIN) * weight,
        arrowsize=0.8,
        density=(wide / 4.2, high / 4.2 + 0.15),
        maxlength=8.0,
    )
    low, high = (x[room], y[room]), (np.ptp(x[room:-room]), np.ptp(y[room:-room]))
    drawn.lines.set_clip_path(Rectangle(low, *high, transform=panel.axes.transData))


def _outside(panel: Panel, where: np.ndarray) -> None:
    """Hide the ends of lines that reach beyond the conductor by a part of a cell."""
    if not where.any():
        return
    paper = np.zeros((*where.shape, 4), np.uint8)
    paper[where] = 255 * np.array(to_rgba(rcParams["axes.facecolor"]))
    panel.image(paper, zorder=3)


def scalar(result: Drawn, field: str, views: Sequence[Seen] = ()) -> Figure:
    """A field, of vectors their length, in colours; the potential with equipotential lines."""
    sheet, label = Sheet(result, views=views), result.label(field)
    found = result.at_nodes(field)
    low, high = float(np.nanmin(found)), float(np.nanmax(found))
    lines: Any = []
    extend = "neither"
    if field == "potential":
        low, high, extend = _potentials(result, [panel.grid[field] for panel in sheet.panels])
        smooth = result.summary.get("model") != "particles"  # not a mean in each cell
        lines = np.linspace(low, high, 22)[1:-1] if smooth and high > low else []
    unit = scale(max(abs(low), abs(high)), result.unit(field))
    how = {"cmap": "cividis", "vmin": low / unit.factor, "vmax": high / unit.factor}
    for panel in sheet.panels:
        values = panel.grid[field]
        if values.ndim == 3:
            values = np.linalg.norm(values, axis=0)
        image = panel.image(values / unit.factor, **how)
        if panel.main and len(lines):
            x, y, at = panel.coarse(3, 3)
            white = {"colors": "white", "linewidths": 0.8, "linestyles": "solid"}
            panel.axes.contour(x, y, values[at], levels=lines, **white)
    vector = values.ndim != panel.grid[field].ndim
    text = f"|{label}| ({unit.name})" if vector else f"{label} ({unit.name})"
    return sheet.finish(image, text, extend)


def _potentials(result: Drawn, fields: Sequence[np.ndarray]) -> tuple[float, float, str]:
    """Range of colours of the potential, and where there is more.

    That of the contacts; of nearly all of the device where small contacts would take it all.
    """
    low, high = result.potentials
    found = np.concatenate([values[np.isfinite(values)] for values in fields])
    first, last = np.percentile(found, [2, 98]) if found.size else (low, high)
    if not 0 < last - first < _NARROW * (high - low):
        return low, high, "neither"
    room = 0.25 * (last - first)
    return max(low, first - room), min(high, last + room), "both"


def signed(result: Drawn, field: str, views: Sequence[Seen] = ()) -> Figure:
    """A field of both signs, and a magnified piece of a wall where its layer is thin.

    Of a vector its component normal to each section along the device; across it that of the second
    section, with arrows for the vector in the plane.
    """
    factor, name = result.readable(field)
    wall = _wall_values(result, field)
    floor = _floor(result, field)
    sheet = Sheet(result, zoom=_magnified(result, field, wall, floor), views=views)
    fields = [panel.grid[field] / factor for panel in sheet.panels]
    label, values = result.label(field), fields
    if fields[0].ndim == 3:
        found = result.label(field)
        symbol, label = ("L", "orbital density") if factor != 1 else ("Ω", "vorticity")
        if "S_z" in found:
            symbol, label = "S", "spin density"
        first, second, across = sheet.panels
        which = [first.plane.across, second.plane.across, second.plane.across]
        values = [f[axis] for f, axis in zip(fields, which, strict=True)]
        for panel, axis in zip(sheet.panels, which, strict=True):
            title = panel.axes.get_title(loc="left")
            panel.axes.set_title(f"${symbol}_{AXES[axis]}$ at {title}", fontsize=10)
        for seen, axes in zip(views, sheet.figure.axes, strict=False):
            if seen.axis is not None:
                axes.set_title(f"${symbol}_{AXES[seen.axis]}$", fontsize=10, y=0.93)
    # What is normal at walls sets the colours, not what happens in a few corners.
    peak, top = _range(values[: 1 if result.dimension == 2 else 3], 99.5)
    if len(wall):
        top = max(top, float(np.percentile(np.abs(wall[:, 2]), 95)) / factor)
    top = views[0].most / factor if views else peak if peak < 1.1 * top else top
    top = max(top, floor / factor) or 1.0
    unit = scale(top, name)
    how = {"cmap": "RdBu_r", "vmin": -top / unit.factor, "vmax": top / unit.factor}
    for panel, shown in zip(sheet.panels, values, strict=True):
        image = panel.image(shown / unit.factor, **how)
        _outline_means(panel, result.means(field))
    if fields[0].ndim == 3:
        _arrows(across, fields[2][list(across.plane.axes)], top)
    return sheet.finish(image, f"{label} ({unit.name})", "both" if peak > 1.01 * top else "neither")


def _outline_means(panel: Panel, cells: np.ndarray) -> None:
    """Show cells in which a field is its mean as cells, where they are large enough to be seen."""
    low, high = np.reshape(panel.grid.extent, (2, 2)).T
    per_metre = panel.axes.bbox.width / DPI / (high[0] - low[0])
    large = np.ptp(cells, axis=1).max(axis=1, initial=0.0) * per_metre > _SEEN
    inside = ((cells.max(axis=1) > low) & (cells.min(axis=1) < high)).all(axis=1)
    lines = {"edgecolors": ink(), "linewidths": 0.3, "alpha": 0.6, "zorder": 2}
    shown = cells[large & inside] / panel.unit
    panel.axes.add_collection(PolyCollection(shown, facecolors="none", **lines))


def _arrows(panel: Panel, field: np.ndarray, top: float) -> None:
    """The vector in the plane of a section, longest where it is largest."""
    rows, columns = field.shape[1:]
    x, y, at = panel.coarse(columns // 12, rows // max(3, round(12 * rows / columns)))
    found = field[at]
    size = np.hypot(*found)
    keep = np.isfinite(size) & (size > 0.03 * top)
    if not keep.any():
        return
    places = np.stack(np.meshgrid(x, y))[:, keep]
    panel.axes.quiver(
        *(*places, *found[:, keep]),
        color=ink(),
        pivot="middle",
        scale=float(size[keep].max()) * 12 / 0.9,
        width=0.007,
        zorder=3,
    )


def _wall_values(result: Drawn, field: str) -> np.ndarray:
    """Rows (x, y, value, segment) of a field along all walls of a 2D device, SI."""
    rows = [np.empty((0, 4))]
    for number, columns in enumerate(result.edges.values()):
        value: Any = columns.get(f"{field}_{result.unit(field)}")
        if value is not None:
            segment = columns["segment"] + 1000 * number
            rows.append(np.column_stack([columns["x_m"], columns["y_m"], value, segment]))
    return np.concatenate(rows)


def _floor(result: Drawn, field: str) -> float:
    """What is too small for a scale of its own: a curl of 5 % of the current over the size.

    A flow without vorticity shall not look like one with vorticity because of rounding.
    """
    diffusive = result.label(field).startswith(("diffusive", "whole"))
    if diffusive or not {"current_density", "vorticity"} <= result.columns.keys():
        return 0.0
    largest = {name: result.at_nodes(name) for name in ("current_density", "vorticity", field)}
    most = {name: np.abs(values).max() for name, values in largest.items()}
    vorticity = 0.05 * most["current_density"] / result.size / abs(ELECTRON_CHARGE)
    return float(vorticity * most[field] / (most["vorticity"] or 1.0))


def _magnified(result: Drawn, field: str, wall: np.ndarray, floor: float) -> Extent | None:
    """A square on a wall, six layers wide, where the layer is too thin for the whole picture.

    The thickness of the layer is the field integrated over the device and divided by its
    integral along the walls: the decay length, for an exponential. Where there is no such layer,
    but all of the field is at one place, a square around that.
    """
    size = np.abs(wall[:, 2])
    if not len(wall) or size.max() < floor:
        return None
    steps = np.diff(wall[:, :2], axis=0) * (np.diff(wall[:, 3]) == 0)[:, None]
    along = ((size[1:] + size[:-1]) / 2 * np.hypot(*steps.T)).sum()
    sides = result.nodes[:, 1:3, :2] - result.nodes[:, :1, :2]
    inside = (np.abs(result.at_nodes(field)).mean(axis=1) * np.abs(np.linalg.det(sides)) / 2).sum()
    thickness = inside / along if along else 0.0
    if not 1e-5 * result.size < thickness < _THIN_LAYER * result.size:
        return _spot(result, field, _SEEN_FROM * float(np.percentile(size, 95)))
    middle = _highest(size, wall[:, 3])
    # The conductor is on the left; the outside is of no interest.
    along_x, along_y = steps[max(middle - 1, 0) : middle + 1].sum(axis=0)
    half = 3 * thickness
    inward = np.array([-along_y, along_x]) / np.hypot(along_x, along_y)
    x, y = wall[middle, :2] + 0.75 * half * inward
    return (x - half, x + half, y - half, y + half)


def _spot(result: Drawn, field: str, least: float) -> Extent | None:
    """A square around all that is larger than ``least``, if it is small in the whole picture."""
    there = result.nodes[np.abs(result.at_nodes(field)).max(axis=1) > least][..., :2].reshape(-1, 2)
    if not len(there):
        return None
    low, high = there.min(axis=0), there.max(axis=0)
    half = 0.6 * float((high - low).max())
    if not 1e-5 * result.size < half < _SMALL_SPOT * result.size:
        return None
    x, y = (low + high) / 2
    return (x - half, x + half, y - half, y + half)


def _highest(size: np.ndarray, segment: np.ndarray) -> int:
    """Where most happens along walls: in the middle of the longest stretch of the highest values.

    Sharp corners, where a few are higher, do not count.
    """
    top = np.percentile(size, 98)
    change = (np.diff(size > 0.95 * top) != 0) | (np.diff(segment) != 0)
    stretches = np.split(np.arange(len(size)), np.flatnonzero(change) + 1)
    best = max(stretches, key=lambda at: len(at) * (size[at[0]] > 0.95 * top))
    return int(best[len(best) // 2])
