"""Views of a 3D device: its true shape, with what is on its surface or flows in it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.patheffects import withStroke
from scipy.spatial import cKDTree

from meso.figures.cells import straight, vertex_numbers
from meso.figures.data import Drawn
from meso.figures.eye import projected, triad
from meso.figures.labels import Label
from meso.figures.marks import marks
from meso.figures.render import Body, View, render
from meso.figures.style import CONTACT, DPI, SPEED
from meso.files.vtu import degree_of

# Toward the eye, along the axes from the longest extent of a device to the shortest.
_EYE = (0.5, 0.8, 0.55)
# Inches around the device for names of contacts, beside and above it; how high a view may be.
_BESIDE, _ABOVE = 0.95, 0.3
_HIGH = 3.6
_SEEDS = 60
# Of a vector, components are shown whose mean square on walls is this part of the largest's.
_SMALL = 0.25
# The last colour over what nearly all of the walls does not exceed.
_ROOM = 1.2
# Directions from which this part of the walls is seen that may be seen are as good.
_ALIKE = 0.98


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A picture of the device.

    Attributes:
        image: Red, green and blue, shape (rows, columns, 3).
        view: How it was seen.
        most: Value of the last colour, SI.
        half: Half of the width of the device in it, over its size.
        hidden: Which of its terminals face away.
        names: Of the walls that are seen.
        axis: Component of a vector that is shown, or None.
    """

    image: np.ndarray
    view: View
    most: float
    half: float
    hidden: list[bool]
    names: list[Label]
    axis: int | None = None

    def show(self, axes: Any, result: Drawn) -> None:
        """Put it onto axes of its size, with the names of the contacts."""
        axes.imshow(self.image, interpolation="nearest", aspect="auto")
        axes.axis("off")
        rows, columns = self.image.shape[:2]
        middle = projected(self.view.center, self.view.eye)[0]
        halo = [withStroke(linewidth=2.5, foreground="white")]
        lowest = {-1.0: 0.0, 1.0: 0.0}  # of the names on the left and on the right
        for label in self.names:
            right, up = label.anchor - middle
            axes.text(
                columns / 2 + right * rows / self.view.height,
                rows / 2 - up * rows / self.view.height,
                label.lines[0],
                size=8,
                ha="center",
                va="center",
                path_effects=halo,
                parse_math=False,
                gid=label.lines[0],
            )
        for (name, center, values), hidden in zip(result.terminals, self.hidden, strict=True):
            right, up = projected(center / result.size, self.view.eye)[0] - middle
            at = (
                np.array([columns / 2, rows / 2]) + np.array([right, -up]) * rows / self.view.height
            )
            away = np.sign(right) or 1.0
            lowest[away] = max(lowest[away], float(at[1]))
            beside = self.half * rows / self.view.height + 0.5 * _BESIDE * DPI
            line = {"arrowstyle": "-", "color": CONTACT, "lw": 0.9, "shrinkB": 0}
            axes.annotate(
                "\n".join([name, *values]),
                tuple(at),
                xytext=(columns / 2 + away * beside, at[1]),
                size=9,
                ha="center",
                va="center",
                color=CONTACT,
                path_effects=halo,
                linespacing=1.25,
                parse_math=False,
                arrowprops={**line, "ls": ":" if hidden and self.view.colors is not None else "-"},
                annotation_clip=False,
            )
        triad(axes, self.view.eye, left=lowest[-1.0] < lowest[1.0])


class _Shape:
    """The surface of a device as straight triangles, with the fields at their corners."""

    def __init__(self, result: Drawn) -> None:
        facets, wall = result.surface, result.is_wall
        parts = min(4, degree_of(facets.shape[1]))
        triangles = straight(facets, 2, parts)
        self.wall = np.repeat(wall, len(triangles) // len(facets))
        points = triangles[..., :3].reshape(-1, 3) / result.size
        _, first, faces = np.unique(vertex_numbers(points), return_index=True, return_inverse=True)
        self.points, self.faces = points[first], faces.reshape(-1, 3)
        self.values = triangles.reshape(-1, triangles.shape[2])[first, 3:]
        a, b, c = (self.points[self.faces[:, k]] for k in range(3))
        self.normal = np.cross(b - a, c - a) / 2

    def eye(self, result: Drawn) -> np.ndarray:
        """The direction from which most of the walls is seen, from above."""
        eye = np.empty(3)
        eye[result.order] = _EYE
        # Of those that are alike the first: from the front on the left.
        choices = [eye * [x, y, 1.0] for y, x in product((-1.0, 1.0), repeat=2)]
        seen = [np.maximum(self.normal[self.wall] @ e, 0).sum() for e in choices]
        return choices[int(np.argmax(np.array(seen) > _ALIKE * max(seen)))]


def _inside(result: Drawn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertices, tetrahedra and current density, as it is between vertices."""
    corners = result.nodes[:, :4].reshape(-1, result.nodes.shape[2])
    _, first, of = np.unique(vertex_numbers(corners[:, :3]), return_index=True, return_inverse=True)
    current = corners[first][:, 3:][:, result.columns["current_density"]]
    size = np.linalg.norm(current, axis=1).max() or 1.0
    return corners[first, :3] / result.size, of.reshape(-1, 4), current / size


def _seeds(shape: _Shape, current: np.ndarray) -> np.ndarray:
    """Points on contacts where the current comes in, a little inside, each for as much current."""
    flux = -(current[shape.faces].mean(axis=1) * shape.normal).sum(axis=1)
    chosen = np.flatnonzero(~shape.wall & (flux > 0))
    if not len(chosen):
        return np.empty((0, 3))
    center, flux = shape.points[shape.faces[chosen]].mean(axis=1), flux[chosen]
    # In the middle of parts of the contacts, which get alike (Lloyd).
    cuts = np.searchsorted(np.cumsum(flux), (np.arange(_SEEDS) + 0.5) / _SEEDS * flux.sum())
    at = center[np.unique(np.minimum(cuts, len(center) - 1))]
    for _ in range(20):
        of = cKDTree(at).query(center)[1]
        weight = np.maximum(np.bincount(of, flux, len(at)), 1e-300)[:, None]
        sums = [np.bincount(of, flux * column, len(at)) for column in center.T]
        at = np.column_stack(sums) / weight
    nearest = chosen[cKDTree(center).query(at)[1]]
    n = shape.normal[nearest]
    return at - 2e-3 * n / np.linalg.norm(n, axis=1, keepdims=True)


def quantile(values: np.ndarray, weights: np.ndarray, part: float) -> float:
    """What a part of values, by weight, does not exceed."""
    order = np.argsort(values)
    total = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(total, part * total[-1])])


class Scenes:
    """Views of the fields of a device, drawn all at once.

    Args:
        result: The device.
        fields: Which of its fields.
        width: Inches of a picture.
    """

    def __init__(self, result: Drawn, fields: list[str], width: float) -> None:
        self.result, self.shape = result, _Shape(result)
        self.eye = self.shape.eye(result)
        self.width = width
        self.views: list[tuple[str, View, float, int | None]] = []
        for field in fields:
            if field == "current_density":
                self._streams(field)
            elif result.is_signed(field):
                self._signed(field)
            else:
                self._scalar(field)

    def draw(self) -> tuple[dict[str, list[Seen]], str]:
        """Pictures by field, and why there are none."""
        shape = self.shape
        found: dict[str, list[Seen]] = {}
        cells = _inside(self.result)
        current = shape.values[:, self.result.columns["current_density"]]
        body = Body(
            points=shape.points,
            faces=shape.faces,
            wall=shape.wall,
            cells=cells,
            seeds=_seeds(shape, current),
        )
        drawn = render(body, [view for _, view, *_ in self.views])
        if isinstance(drawn, str):
            return {}, drawn
        flat = projected(shape.points, self.eye)[0]
        places = np.array([center for _, center, _ in self.result.terminals]).reshape(-1, 3)
        other = np.flatnonzero(~shape.wall)
        tree = cKDTree(shape.points[shape.faces[other]].mean(axis=1) * self.result.size)
        hidden = (shape.normal[other[tree.query(places)[1]]] @ self.eye < 0).tolist()
        for (field, view, most, axis), image in zip(self.views, drawn, strict=True):
            inch = view.height / view.pixels[1] * DPI
            seen = Seen(
                image=image,
                names=marks(self.result, self.eye, inch, inside=view.colors is None),
                view=view,
                most=most,
                half=float(np.ptp(flat[:, 0])) / 2,
                hidden=hidden,
                axis=axis,
            )
            found.setdefault(field, []).append(seen)
        return found, ""

    def _view(self, count: int = 1, **what: Any) -> View:
        """The device as large as it may be in a picture, of several in a row."""
        flat = projected(self.shape.points, self.eye)[0]
        low, high = flat.min(axis=0), flat.max(axis=0)
        wide = self.width / count
        inch = max(
            (high[0] - low[0]) / (wide - 2 * _BESIDE), (high[1] - low[1]) / (_HIGH - 2 * _ABOVE)
        )
        tall = (high[1] - low[1]) / inch + 2 * _ABOVE
        toward = self.eye / np.linalg.norm(self.eye)
        right = np.cross([0.0, 0.0, 1.0], toward)
        right /= np.linalg.norm(right)
        a, b = (low + high) / 2
        return View(
            eye=self.eye,
            center=a * right + b * np.cross(toward, right),
            height=tall * inch,
            pixels=(round(wide * DPI), round(tall * DPI)),
            **what,
        )

    def _streams(self, field: str) -> None:
        result = self.result
        speed = result.at_nodes(field).mean(axis=1)
        most = quantile(speed, result.volumes, 0.995)
        scale = np.linalg.norm(result.nodes[:, :4, 3:][..., result.columns[field]], axis=2).max()
        palette = (SPEED(np.linspace(0, 1, 256))[:, :3] * 255).astype(np.uint8)
        view = self._view(palette=palette, most=most / (scale or 1.0))
        self.views.append((field, view, most, None))

    def _signed(self, field: str) -> None:
        shape = self.shape
        values = shape.values[:, self.result.columns[field]]
        area = np.linalg.norm(shape.normal, axis=1) * shape.wall
        at = values[shape.faces].mean(axis=1)
        square = area @ at**2
        axes = [a for a in np.argsort(-square)[:2] if square[a] > _SMALL * square.max()]
        inside = np.abs(self.result.nodes[..., 3:][..., self.result.columns[field]].mean(axis=1))
        most = max(
            max(
                _ROOM * quantile(np.abs(at[:, a]), area, 0.97),
                quantile(inside[:, a], self.result.volumes, 0.98),
            )
            for a in axes
        )
        most = most or 1.0
        for axis in sorted(axes):
            colors = colormaps["RdBu_r"](values[:, axis] / most / 2 + 0.5)[:, :3] * 255
            view = self._view(len(axes), colors=colors.astype(np.uint8))
            which = int(axis) if values.shape[1] > 1 else None
            self.views.append((field, view, most, which))

    def _scalar(self, field: str) -> None:
        found = self.result.at_nodes(field)
        low, high = float(found.min()), float(found.max())
        lines = None
        columns = self.shape.values[:, self.result.columns[field]]
        values = columns[:, 0] if columns.shape[1] == 1 else np.linalg.norm(columns, axis=1)
        if field == "potential":
            low, high = self.result.potentials
            lines = values, np.linspace(low, high, 22)[1:-1]
        colors = colormaps["cividis"]((values - low) / ((high - low) or 1.0))[:, :3] * 255
        self.views.append(
            (field, self._view(colors=colors.astype(np.uint8), lines=lines), high, None)
        )
