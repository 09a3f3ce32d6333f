"""The common look of the figures: style, layout in inches, units as people read them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from io import BytesIO
from math import floor, log10
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from meso.errors import MesoError
from meso.figures.raster import Extent
from meso.files.directory import replace_file

DPI = 200
CONTACT = "#b35c00"
INK = "#222222"
LINES = ("#0b62a4", "#c1272d", "#2e8b57", "#7b4ea3", "#d98200", "#5b5b5b", "#17a3b8", "#c2559d")

STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 11,
    "axes.labelsize": 11,
    "axes.titlesize": 12,
    "axes.titlelocation": "left",
    "axes.linewidth": 0.8,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.formatter.useoffset": False,
    "xtick.labelsize": 10,
    "ytick.labelsize": 10,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.fontsize": 10,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "text.color": INK,
}

_PREFIX = {-15: "f", -12: "p", -9: "n", -6: "µ", -3: "m", 0: "", 3: "k", 6: "M", 9: "G", 12: "T"}
_UNITS = {
    "A_per_m": "A/m",
    "A_per_m2": "A/m²",
    "V": "V",
    "hbar_per_m2": "ħ/m²",
    "hbar_per_m3": "ħ/m³",
    "per_m2_s": "m⁻² s⁻¹",
    "per_m3_s": "m⁻³ s⁻¹",
}
#: What labels of the house are set as formulas.
_FORMULA = re.compile(r"\$[A-Z](_[a-z])?\$")
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True, slots=True)
class Scale:
    """A unit that makes numbers handy: value = number * factor.

    Attributes:
        factor: SI units per unit.
        name: How the unit is written.
    """

    factor: float
    name: str


def scale(largest: float, unit: str) -> Scale:
    """Engineering notation: a prefix for amperes and volts, else a power of ten.

    Args:
        largest: Largest magnitude to be written, in the unit.
        unit: As in the headers of the tables, "A_per_m", "hbar_per_m2", …
    """
    name = _UNITS.get(unit) or _written(unit)
    if largest <= 0:
        return Scale(1.0, name)
    power = 3 * floor(log10(largest * 1.0001) / 3)
    if name[0] in "AV" and power in _PREFIX:
        return Scale(10.0**power, _PREFIX[power] + name)
    if power == 0:
        return Scale(1.0, name)
    return Scale(10.0**power, f"10{str(power).translate(_RAISED)} {name}")


def _written(unit: str) -> str:
    """W_per_m3 as W/m³, and what has no such form with spaces."""
    above, _, below = unit.partition("_per_")
    if above and below and "_" not in below:
        power = below.lstrip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
        letters = below.removesuffix(power)
        return f"{above.replace('_', ' ')}/{letters}{power.translate(_RAISED)}"
    return unit.replace("_", " ")


def length_scale(largest: float) -> Scale:
    """Metres, millimetres, micrometres or nanometres.

    Args:
        largest: Largest length, m.
    """
    for factor, name in ((1.0, "m"), (1e-3, "mm"), (1e-6, "µm")):
        if largest >= 2 * factor:
            return Scale(factor, name)
    return Scale(1e-9, "nm")


def written(value: float, unit: str, zero: float = 0.0) -> str:
    """A number with its unit, "11.8 µA"; below ``zero`` it counts as nothing."""
    if abs(value) <= zero:
        return f"0 {_UNITS.get(unit, unit)}"
    chosen = scale(abs(value), unit)
    return f"{value / chosen.factor:.3g} {chosen.name}".replace("-", "−")


@dataclass(frozen=True, kw_only=True)
class Map:
    """A figure with one map of the device, a colour bar and perhaps a second panel.

    Attributes:
        figure: The figure.
        axes: Axes of the map, in units of ``length``.
        bar: Axes of the colour bar.
        horizontal: True if the colour bar lies below the map.
        panel: Square axes beside the map, or None.
        length: Unit of the axes.
        extent: What the axes show, m.
        pixels: Columns and rows of the map at the resolution of the figure.
    """

    figure: Figure
    axes: Any
    bar: Any
    horizontal: bool
    panel: Any
    length: Scale
    extent: Extent
    pixels: tuple[int, int]

    def shown(self, extent: Extent) -> Extent:
        """An extent in metres in the unit of the axes."""
        a, b, c, d = (x / self.length.factor for x in extent)
        return a, b, c, d


def map_figure(box: Extent, pads: Extent, title: str, *, panel: bool = False) -> Map:
    """Lay out a map: true aspect, sizes that suit a slide.

    Args:
        box: Bounding box of the device, m.
        pads: Room to leave around it for labels, inches.
        title: Above the map.
        panel: True for a second, square panel.
    """
    width, height = box[1] - box[0], box[3] - box[2]
    wide = width > 1.5 * height
    # Inches of the map.
    room = (6.7 if wide else 6.0) if not panel else (5.6 if wide else 4.4)
    per_metre = min((room - pads[0] - pads[1]) / width, (4.6 - pads[2] - pads[3]) / height)
    map_w = per_metre * width + pads[0] + pads[1]
    map_h = per_metre * height + pads[2] + pads[3]
    side = min(max(map_h, 2.1), 3.4) if panel else 0.0
    left, gap, bottom, top = 0.8, 0.95, 0.6, 0.45
    body = max(map_h, side)
    below = 0.75 if wide else 0.0
    beside = 0.0 if wide else 1.15
    total_w = left + map_w + (gap + side if panel else 0.0) + beside + 0.25
    total_h = below + bottom + body + top

    figure = Figure(figsize=(total_w, total_h), dpi=DPI)
    FigureCanvasAgg(figure)

    def axes(x: float, y: float, w: float, h: float) -> Any:
        return figure.add_axes((x / total_w, y / total_h, w / total_w, h / total_h))

    base = below + bottom
    main = axes(left, base + (body - map_h) / 2, map_w, map_h)
    second = axes(left + map_w + gap, base + (body - side) / 2, side, side) if panel else None
    if wide:
        span = total_w - left - 0.25
        bar = axes(left + 0.1 * span, 0.52, 0.8 * span, 0.13)
    else:
        bar = axes(total_w - 0.25 - beside + 0.2, base, 0.15, body)
    length = length_scale(max(width, height))
    extent = (
        box[0] - pads[0] / per_metre,
        box[1] + pads[1] / per_metre,
        box[2] - pads[2] / per_metre,
        box[3] + pads[3] / per_metre,
    )
    main.set(
        xlim=[x / length.factor for x in extent[:2]],
        ylim=[y / length.factor for y in extent[2:]],
        xlabel=f"x ({length.name})",
        ylabel=f"y ({length.name})",
    )
    figure.text(left / total_w, 1 - 0.28 / total_h, title, size=12)
    pixels = (round(map_w * DPI), round(map_h * DPI))
    return Map(
        figure=figure,
        axes=main,
        bar=bar,
        horizontal=wide,
        panel=second,
        length=length,
        extent=extent,
        pixels=pixels,
    )


def color_bar(picture: Map, image: Any, label: str, extend: str = "neither") -> None:
    """The colour bar of a map."""
    picture.figure.colorbar(
        image,
        cax=picture.bar,
        orientation="horizontal" if picture.horizontal else "vertical",
        label=label,
        extend=extend,
    )
    picture.bar.minorticks_off()


def line_figure(rows: int, title: str) -> tuple[Figure, list[Any]]:
    """Panels one above the other with a common horizontal axis."""
    height = 0.95 + 2.3 * rows
    figure = Figure(figsize=(7.2, height), dpi=DPI)
    FigureCanvasAgg(figure)
    axes: list[Any] = []
    for i in range(rows):
        y = 0.65 + 2.3 * (rows - 1 - i)
        share = axes[0] if axes else None
        axes.append(
            figure.add_axes((0.95 / 7.2, y / height, 6.0 / 7.2, 2.1 / height), sharex=share)
        )
        axes[-1].grid(color="#dddddd", linewidth=0.6)
        axes[-1].set_axisbelow(True)
        axes[-1].spines[["top", "right"]].set_visible(False)
        if i < rows - 1:
            axes[-1].tick_params(labelbottom=False)
    figure.text(0.95 / 7.2, 1 - 0.3 / height, title, size=12)
    return figure, axes


def store(figure: Figure, path: Path) -> Path:
    """Write a figure as PNG; the file is complete, or as it was.

    Raises:
        MesoError: It cannot be written.
    """
    path = Path(path)
    for text in figure.findobj(Text):
        # What users call their things is no formula.
        if "$" in _FORMULA.sub("", text.get_text()):  # type: ignore[attr-defined]
            text.set_parse_math(False)  # type: ignore[attr-defined]
    picture = BytesIO()
    figure.savefig(picture, dpi=DPI, pil_kwargs={"compress_level": 3})
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, picture.getvalue())
    except OSError as error:
        raise MesoError(f"{path}: cannot be written ({error.strerror})") from error
    return path
