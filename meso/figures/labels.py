"""Names on maps: of contacts with what flows there, and of the pieces of walls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from meso.figures.cells import Extent
from meso.figures.data import Drawn
from meso.figures.style import CONTACT, LINES, halo

#: Inches of a letter, of a line of text, between labels, from the anchor to its label.
_LETTER, _LINE, _GAP, _AWAY = 0.07, 0.155, 0.1, 6 / 72
#: Distance of labels that had to make room, inches.
_FAR = 0.2
#: Labels from which on short pieces of walls, below this part of the device, have none.
_MANY, _SHORT = 16, 0.04
#: Circumference of small holes, a tenth of it, over the size of the device.
_HOLE = 0.04


@dataclass(frozen=True, kw_only=True, eq=False)
class Label:
    """Lines of text beside a point (m) of an outline, in a direction; zero for one inside."""

    lines: tuple[str, ...]
    anchor: np.ndarray
    normal: np.ndarray
    color: str = CONTACT

    @property
    def size(self) -> tuple[float, float]:
        """Width and height, inches."""
        longest = max(map(len, self.lines), default=0)
        return _LETTER * longest + _GAP, _LINE * len(self.lines) + 0.3 * _GAP

    @property
    def axis(self) -> int:
        """0 if it is on the left or right, 1 if above or below."""
        return int(abs(self.normal[1]) >= abs(self.normal[0]))


def labels(result: Drawn, values: bool) -> list[Label]:
    """Those of the contacts; with potentials and currents, and those of the walls, if wanted."""
    out = [
        Label(
            lines=(stretch.name, *stretch.values * values),
            anchor=stretch.anchor,
            normal=stretch.normal,
        )
        for stretch in result.stretches
        if stretch.name
    ]
    pieces = result.wall_pieces if values else []
    many = len(out) + len(pieces) > _MANY
    for i, (name, columns) in enumerate(pieces):
        s, points = columns["s_m"], np.column_stack([columns["x_m"], columns["y_m"]])
        if len(s) < 2 or (many and np.ptp(s) < _SHORT * result.size):
            continue
        k = int(np.clip(np.searchsorted(s, (s[0] + s[-1]) / 2), 1, len(s) - 1))
        along = points[k] - points[k - 1]
        color = LINES[i % len(LINES)]
        # Within a small hole: in the middle of it.
        gap, middle = np.hypot(*(points[-1] - points[0])), points.mean(axis=0)
        if gap < 0.1 * np.ptp(s) < _HOLE * result.size and _encloses(points):
            out.append(Label(lines=(name,), anchor=middle, normal=np.zeros(2), color=color))
            continue
        # The conductor is on the left.
        normal = np.array([along[1], -along[0]]) / np.hypot(*along)
        out.append(Label(lines=(name,), anchor=points[k], normal=normal, color=color))
    return out


def _encloses(points: np.ndarray) -> bool:
    """Whether a closed line with the conductor on its left goes around a hole: clockwise."""
    x, y = (points - points.mean(axis=0)).T
    return bool((x * np.roll(y, -1) - y * np.roll(x, -1)).sum() < 0)


def room(names: Sequence[Label]) -> Extent:
    """Room that labels need on the left, right, bottom and top, inches."""
    out = np.full(4, 0.15)
    for name in names:
        crowded = _FAR if sum(_side(name) == _side(other) for other in names) > 3 else 0.0
        for axis, size in enumerate(name.size):
            side = name.normal[axis]
            if abs(side) > 0.3:
                at = 2 * axis + int(side > 0)
                out[at] = max(out[at], size + _AWAY + crowded * (axis == name.axis))
    return tuple(out.tolist())  # type: ignore[return-value]


def _side(name: Label) -> tuple[int, bool]:
    return name.axis, bool(name.normal[name.axis] > 0)


def draw(axes: Any, names: Sequence[Label], unit: float) -> None:
    """Write labels on a map whose axes are in units of ``unit`` metres."""
    spans = np.ptp([axes.get_xlim(), axes.get_ylim()], axis=1) * unit
    inches = axes.bbox.size / axes.figure.dpi / spans
    for name, (shift, moved) in zip(names, _shifts(names, inches), strict=True):
        direction, offset = name.normal, _AWAY * name.normal
        if moved:
            direction = np.where(np.arange(2) == name.axis, np.sign(name.normal), 0.0)
            offset = _FAR * direction
            offset[1 - name.axis] = shift
        dx, dy = direction
        across = "left" if dx > 0.5 else "right" if dx < -0.5 else "center"
        up = "bottom" if dy > 0.5 else "top" if dy < -0.5 else "center"
        line = {"arrowstyle": "-", "color": name.color, "linewidth": 0.6}
        line |= {"shrinkA": 1, "shrinkB": 0}
        ends = {"left": 0.0, "center": 0.5, "right": 1.0, "bottom": 0.0, "top": 1.0}
        axes.annotate(
            "\n".join(name.lines),
            tuple(name.anchor / unit),
            xytext=tuple(72 * offset),
            textcoords="offset points",
            size=9,
            ha=across,
            va=up,
            color=name.color,
            zorder=6,
            path_effects=halo(),
            linespacing=1.25,
            parse_math=False,
            gid=name.lines[0],  # in files of vectors, where an outlined text is no text
            arrowprops={**line, "relpos": (ends[across], ends[up])} if moved else None,
        )


def _shifts(names: Sequence[Label], inches: np.ndarray) -> list[tuple[float, bool]]:
    """How far labels move along their side, inches, so that none is on another.

    They keep their order, and move as little as possible: sum of squares. Beside it: whether any of
    its neighbours moves.
    """
    out = np.zeros((len(names), 2))
    places = np.array([name.anchor for name in names]).reshape(-1, 2) * inches
    for axis, positive in ((0, False), (0, True), (1, False), (1, True)):
        here = [
            i
            for i, name in enumerate(names)
            if name.normal.any() and _side(name) == (axis, positive)
        ]
        here.sort(key=lambda i: places[i, axis])
        for group in _levels(here, places[:, axis], [n.size[axis] for n in names]):
            order = sorted(group, key=lambda i: places[i, 1 - axis])
            sizes = np.array([names[i].size[1 - axis] for i in order])
            start = np.concatenate([[0.0], np.cumsum((sizes[1:] + sizes[:-1]) / 2)])
            wanted = places[order, 1 - axis]
            shift = _increasing(wanted - start) + start - wanted
            out[order] = np.column_stack([shift, shift * 0 + (np.abs(shift).max() > 0.5 * _GAP)])
    return [(float(shift), bool(moved)) for shift, moved in out]


def _increasing(values: np.ndarray) -> np.ndarray:
    """The nearest values that do not decrease."""
    if (np.diff(values) >= 0).all():
        return values
    from scipy.optimize import isotonic_regression  # takes long to load

    return np.asarray(isotonic_regression(values).x)


def _levels(order: Sequence[int], level: np.ndarray, heights: Sequence[float]) -> list[list[int]]:
    """Labels at about the same distance from an axis, which may meet."""
    groups: list[list[int]] = []
    for i in order:
        if groups and level[i] - level[groups[-1][-1]] < max(heights[i], heights[groups[-1][-1]]):
            groups[-1].append(i)
        else:
            groups.append([i])
    return groups
