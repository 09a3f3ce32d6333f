"""Pictures of derivatives: which inputs decide a number, and which walls."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.collections import LineCollection

from meso.figures import labels
from meso.figures.labels import Label
from meso.figures.sheets import flat_figure
from meso.figures.style import (
    LINES,
    canvas,
    ink,
    length_scale,
    look,
    open_frame,
    plain,
    scale,
    store,
)
from meso.files.readable import short, words

if TYPE_CHECKING:
    from meso.case import Figures

#: Outputs that are shown at most, and inches for each bar.
_MOST, _BAR = 6, 0.24
#: How far a wall bends around what is no conductor, over its length, and how far from it its name
#: is then, over the size of the device.
_HOLLOW, _BESIDE = 0.03, 0.06
#: Facets whose neighbours are looked for at once.
_AT_ONCE = 500
#: Pieces of the boundary that are told by name, at most.
_LABELS = 24
#: Part of the boundary over which the density is averaged for the range of colours.
_WINDOW = 0.02
#: Part of the largest change below which that of another piece is but rounding.
_NOTHING = 1e-6


def draw_bars(
    bars: Mapping[str, Mapping[str, float]],
    title: str,
    path: Path,
    figures: Figures | None = None,
) -> Path:
    """Draw per cent of each output for one per cent of each input.

    Args:
        bars: By output, by input.
        title: Of the case.
        path: The picture.
        figures: How it looks.
    """
    shown = [name for name in bars if bars[name]][:_MOST]
    heights = [max(len(bars[name]), 2) * _BAR for name in shown]
    height = 0.75 + sum(heights) + 0.85 * len(shown)
    with look(figures):
        figure, add = canvas(7.2, height, f"{title}: what decides", 0.3)
        top = height - 0.75
        for name, high in zip(shown, heights, strict=True):
            panel = add(3.1, top - high - 0.05, 3.85, high)
            top -= high + 0.85
            open_frame(panel)
            values = np.array(list(bars[name].values()))
            at = np.arange(len(values))
            colors = np.where(values > 0, LINES[0], LINES[1])
            panel.barh(at, values, 0.7, color=colors)
            most = 1.25 * np.abs(values).max()
            for place, value in zip(at, values, strict=True):
                panel.annotate(
                    f"{value:+.3g}".replace("-", "\N{MINUS SIGN}"),
                    (value, place),
                    (3 if value >= 0 else -3, 0),
                    textcoords="offset points",
                    ha="left" if value >= 0 else "right",
                    va="center",
                    size=7.5,
                )
            panel.axvline(0, color="#999999", linewidth=0.8)
            panel.set_yticks(at, [plain(short(key)) for key in bars[name]], size=8)
            panel.invert_yaxis()
            panel.set_xlim(-most, most)
            panel.set_title(plain(words(name)), size=10)
            panel.set_xlabel("% for one per cent of the input", size=9)
        return store(figure, path)


def draw_walls(
    shape: Any, outline: Any, title: str, path: Path, figures: Figures | None = None
) -> Path:
    """Draw how much a number changes where the boundary of a 2D conductor moves outwards.

    Args:
        shape: A :class:`meso.gradients.shape.ShapeGradient`.
        outline: Device whose pieces are named.
        title: Of the case and the number.
        path: The picture.
        figures: How it looks.
    """
    places, nm = shape.places, 1e-9
    low, high = places.min(axis=(0, 1)), places.max(axis=(0, 1))
    unit = length_scale(float((high - low).max()))
    # Per cent of the number for a nanometre of motion, of each nanometre of the wall.
    values = 100 * shape.density * nm * nm / abs(shape.value)
    extent = (low[0], high[0], low[1], high[1])
    with look(figures):
        names = _labels(shape, outline)
        figure, (axes,), bar = flat_figure(extent, labels.room(names), title)
        # A facet has one colour: within it the density is not smoother than the solution.
        colors = values.mean(axis=1)
        most = _largest_mean(shape, colors) or 1.0
        handy = scale(most, "%")
        walls = list(places / unit.factor)
        lines = LineCollection(walls, cmap="RdBu_r", linewidths=5, capstyle="butt")
        lines.set_array(colors / handy.factor)
        lines.set_clim(-most / handy.factor, most / handy.factor)
        axes.add_collection(lines)
        figure.colorbar(lines, cax=bar, extend="both", orientation=_direction(bar))
        label = f"{handy.name} for 1 nm outwards, per nm of the wall"
        (bar.set_xlabel if _direction(bar) == "horizontal" else bar.set_ylabel)(label, size=9)
        labels.draw(axes, names, unit.factor)
        return store(figure, path)


def _largest_mean(shape: Any, density: np.ndarray) -> float:
    """Largest magnitude of the density of facets, averaged along the wall.

    Corners, where it is large and cells are small, do not hide all of the rest then, nor does what
    the mesh makes of it where there is nothing.
    """
    ends = np.diff(shape.places, axis=1)
    length, centres = np.linalg.norm(ends, axis=2).sum(axis=1), shape.places.mean(axis=1)
    far, most = _WINDOW * length.sum() / 2, 0.0
    for i in np.unique(shape.piece):
        own = np.flatnonzero(shape.piece == i)
        for start in range(0, len(own), _AT_ONCE):
            some = centres[own[start : start + _AT_ONCE], None]
            near = np.linalg.norm(some - centres[own], axis=2) <= far
            # Over all of the window, also where a short piece does not fill it.
            sums = near @ (density * length)[own] / np.maximum(near @ length[own], far)
            most = max(most, float(np.abs(sums).max()))
    return most


def _labels(shape: Any, outline: Any) -> list[Label]:
    """What each piece does, beside it and outside of the conductor, the longest first."""
    pieces, out = outline.pieces, []
    low, high = shape.places.min(axis=(0, 1)), shape.places.max(axis=(0, 1))
    size, centre = (high - low).max(), (low + high) / 2
    least = _NOTHING * float(np.nanmax(np.abs(shape.pieces), initial=0.0))
    for i in np.argsort([-piece.measure for piece in pieces])[:_LABELS]:
        if np.isnan(shape.pieces[i]):  # too many to be told apart
            break
        places = shape.places[shape.piece == i]
        centres, along = places.mean(axis=1), places[:, -1] - places[:, 0]
        length = np.hypot(*along.T)
        outwards = np.column_stack([along[:, 1], -along[:, 0]]) / length[:, None]
        middle = np.average(centres, axis=0, weights=length)
        # The name of a wall around a hole or a notch lies in the conductor, where there is room.
        hollow = np.average(((centres - middle) * outwards).sum(axis=1), weights=length)
        at = np.argmin(((centres - middle) ** 2).sum(axis=1))
        anchor, normal = centres[at], outwards[at]
        if hollow < -_HOLLOW * length.sum():
            inside = -normal
            if pieces[i].closed:  # to the side where the device is wider
                inside = np.array([0.0, 1.0 if middle[1] < centre[1] else -1.0])
            at = np.argmax(centres @ inside)
            anchor, normal = centres[at] + _BESIDE * size * inside, np.zeros(2)
        change = 100 * float(shape.pieces[i]) * 1e-9 / abs(shape.value)
        text = f"{change:+.3g}" if abs(shape.pieces[i]) > least else "0"
        out.append(
            Label(
                lines=(_numbered(pieces, i), f"{text} %".replace("-", "\N{MINUS SIGN}")),
                anchor=anchor,
                normal=normal,
                color=ink(),
            )
        )
    return out


def _numbered(pieces: Any, i: int) -> str:
    """Name of a piece: with its number, as sweeps count them, where its boundary has several."""
    own = [k for k, piece in enumerate(pieces) if piece.boundary == pieces[i].boundary]
    return pieces[i].boundary + (f" {own.index(i) + 1}" if len(own) > 1 else "")


def _direction(bar: Any) -> str:
    return "horizontal" if bar.bbox.width > bar.bbox.height else "vertical"
