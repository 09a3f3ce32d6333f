"""Names on maps: of contacts with what flows there, and of the pieces of walls."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
#: How far labels go from their anchors to be off all lines, and the distance of points on these.
_FARTHEST, _STEP = 0.9, 0.02
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


def outlines(result: Drawn) -> list[np.ndarray]:
    """Walls and contacts of a 2D device, m, (k, 2) each."""
    walls = [np.column_stack([of["x_m"], of["y_m"]]) for _, of in result.wall_pieces]
    return [*walls, *(stretch.line[:, :2] for stretch in result.stretches)]


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


@dataclass(frozen=True, kw_only=True, eq=False)
class _Place:
    """Where a label goes: from its anchor by an offset, inches, the text on that side of the end.

    ``line`` tells whether a line leads there, ``turn`` how it is turned from straight outside,
    degrees.
    """

    offset: np.ndarray
    direction: np.ndarray
    line: bool = False
    turn: float = 0.0

    @property
    def ends(self) -> np.ndarray:
        """Which part of width and height of the text is before the end of the offset, (2,)."""
        return np.where(self.direction > 0.5, 0.0, np.where(self.direction < -0.5, 1.0, 0.5))

    def box(self, name: Label, anchor: np.ndarray) -> np.ndarray:
        """Lower left and upper right corner of the text, inches, (2, 2)."""
        low = anchor + self.offset - self.ends * name.size
        return np.array([low, low + name.size])


def draw(
    axes: Any, names: Sequence[Label], unit: float, outlines: Sequence[np.ndarray] = ()
) -> None:
    """Write labels on a map whose axes are in units of ``unit`` metres.

    Args:
        axes: The map.
        names: The labels.
        unit: Metres of a unit of the axes.
        outlines: Lines around the conductor, which no label is to touch, m, (k, 2) each.
    """
    frame = np.array([axes.get_xlim(), axes.get_ylim()]).T * unit
    inches = axes.bbox.size / axes.figure.dpi / (frame[1] - frame[0])
    across, up = ("left", "center", "right"), ("bottom", "center", "top")
    places = _places(names, inches, frame * inches, [line * inches for line in outlines])
    for name, place in zip(names, places, strict=True):
        line = {"arrowstyle": "-", "color": name.color, "linewidth": 0.6}
        line |= {"shrinkA": 1, "shrinkB": 0}
        column, row = (round(2 * part) for part in place.ends.tolist())
        axes.annotate(
            "\n".join(name.lines),
            tuple(name.anchor / unit),
            xytext=tuple(72 * place.offset),
            textcoords="offset points",
            size=9,
            ha=across[column],
            va=up[row],
            color=name.color,
            zorder=6,
            path_effects=halo(),
            linespacing=1.25,
            parse_math=False,
            gid=name.lines[0],  # in files of vectors, where an outlined text is no text
            arrowprops={**line, "relpos": tuple(place.ends)} if place.line else None,
        )


def _places(
    names: Sequence[Label], inches: np.ndarray, frame: np.ndarray, outlines: Sequence[np.ndarray]
) -> list[_Place]:
    """Beside their anchors, in a row with others, or where they touch no line."""
    anchors, out = [name.anchor * inches for name in names], []
    for name, (shift, moved) in zip(names, _shifts(names, inches), strict=True):
        place = _Place(offset=_AWAY * name.normal, direction=name.normal)
        if moved:
            direction = np.where(np.arange(2) == name.axis, np.sign(name.normal), 0.0)
            offset = _FAR * direction
            offset[1 - name.axis] = shift
            place = _Place(offset=offset, direction=direction, line=True)
        out.append(place)
    around = _Around(outlines)
    boxes = [place.box(*of) for place, *of in zip(out, names, anchors, strict=True)]
    stays = [
        place.line or not name.normal.any() or around.leaves(box, place, anchor)
        for place, name, box, anchor in zip(out, names, boxes, anchors, strict=True)
    ]
    settled: list[np.ndarray] = []
    for i, box in enumerate(boxes):
        if stays[i] and names[i].normal.any() and not out[i].line:
            stays[i] = not _meets(box, settled)
        settled += [box] if stays[i] else []
    for i in np.flatnonzero(np.logical_not(stays)).tolist():
        for place in _tried(names[i]):
            low, high = box = place.box(names[i], anchors[i])
            framed = (low > frame[0]).all() and (high < frame[1]).all()
            if framed and not _meets(box, settled) and around.leaves(box, place, anchors[i]):
                out[i], boxes[i] = place, box
                break
        settled.append(boxes[i])
    return out


def _meets(box: np.ndarray, others: Sequence[np.ndarray]) -> bool:
    """Whether a box, (2, 2), is on others."""
    low, high = np.array(others).reshape(-1, 2, 2).transpose(1, 0, 2)
    return bool(((box[0] < high) & (box[1] > low)).all(axis=1).any())


def _tried(name: Label) -> Iterator[_Place]:
    """Places of a label from the best one on: outside, inside, obliquely."""
    for turn in (0.0, 180.0, 45.0, -45.0, 90.0, -90.0, 135.0, -135.0):
        c, s = np.cos(np.radians(turn)), np.sin(np.radians(turn))
        direction = np.array([[c, -s], [s, c]]) @ name.normal
        for distance in np.arange(_AWAY, _FARTHEST, 0.5 * _AWAY):
            line = bool(distance > _FAR)
            yield _Place(offset=distance * direction, direction=direction, line=line, turn=turn)


class _Around:
    """The lines around a conductor, inches."""

    def __init__(self, lines: Sequence[np.ndarray]) -> None:
        self.steps = np.concatenate(
            [np.empty((0, 2, 2)), *(np.stack([line[:-1], line[1:]], axis=1) for line in lines)]
        )
        self.dots = _dots(lines)

    def leaves(self, box: np.ndarray, place: _Place, anchor: np.ndarray) -> bool:
        """Whether a label touches no line, crosses none, and is on the side that it should be."""
        low, high = box
        if ((self.dots > low) & (self.dots < high)).all(axis=1).any():
            return False
        length = np.hypot(*place.offset)
        along = (self.dots - anchor) @ place.offset / length
        off = np.abs((self.dots - anchor) @ (place.offset[::-1] * [-1, 1])) / length
        if ((along > 2 * _STEP) & (along < length) & (off < _STEP)).any():
            return False
        return not len(self.dots) or self._surrounds((low + high) / 2) == (place.turn != 0.0)

    def _surrounds(self, point: np.ndarray) -> bool:
        """Whether a point is in the conductor: an odd number of lines is on its right."""
        (a, b), (c, d) = (self.steps - point).transpose(2, 1, 0)
        crossing = (c > 0) != (d > 0)
        where = a - c * (b - a) / np.where(crossing, d - c, 1.0)
        return bool((crossing & (where > 0)).sum() % 2)


def _dots(lines: Sequence[np.ndarray]) -> np.ndarray:
    """Points along lines, inches, close to each other, (k, 2)."""
    out = [np.empty((0, 2))]
    for line in lines:
        s = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(line, axis=0).T))])
        at = np.linspace(0.0, s[-1], int(s[-1] / _STEP) + 2)
        out.append(np.column_stack([np.interp(at, s, values) for values in line.T]))
    return np.concatenate(out)


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
