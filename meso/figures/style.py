"""The common look of the figures: style, layout in inches, units as people read them."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from math import floor, log10
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from meso.errors import MesoError
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
    # Lines end at a legend rather than strike its text.
    "legend.edgecolor": "none",
    "lines.linewidth": 1.8,
    "text.color": INK,
}

_PREFIX = {-15: "f", -12: "p", -9: "n", -6: "µ", -3: "m", 0: "", 3: "k", 6: "M", 9: "G", 12: "T"}
_PREFIXED = tuple("AVΩSKT")  # units that begin so; others get a power of ten
_RATES = {"per_m2_s": "m⁻² s⁻¹", "per_m3_s": "m⁻³ s⁻¹"}
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
#: What labels of the house are set as formulas.
_FORMULA = re.compile(r"\$[A-ZΩ](_[a-z])?\$")


@dataclass(frozen=True, slots=True)
class Scale:
    """A unit that makes numbers handy: value = number * factor."""

    factor: float
    name: str


def scale(largest: float, unit: str) -> Scale:
    """A prefix for amperes, volts, ohms, …, else a power of ten, for numbers up to the largest.

    The unit is as in the headers of the tables, "A_per_m", "hbar_per_m2", …
    """
    above, per, below = unit.replace("hbar", "ħ").replace("ohm", "Ω").partition("_per_")
    name = above + ("/" + below.translate(_RAISED) if per else "")
    name = _RATES.get(unit) or name.replace("_", " ")
    power = 3 * floor(log10(largest * 1.0001) / 3) if largest > 0 and unit else 0
    if name.startswith(_PREFIXED) and power in _PREFIX:
        return Scale(10.0**power, _PREFIX[power] + name)
    return Scale(10.0**power, f"10{str(power).translate(_RAISED)} {name}" if power else name)


def length_scale(largest: float) -> Scale:
    """Metres, millimetres, micrometres or nanometres for lengths up to the largest, m."""
    for factor, name in ((1.0, "m"), (1e-3, "mm"), (1e-6, "µm")):
        if largest >= 2 * factor:
            return Scale(factor, name)
    return Scale(1e-9, "nm")


def written(value: float, unit: str, zero: float = 0.0) -> str:
    """A number with its unit, "11.8 µA"; below ``zero`` it counts as nothing."""
    value = 0.0 if abs(value) <= zero else value
    chosen = scale(abs(value), unit)
    return f"{value / chosen.factor:.3g} {chosen.name}".replace("-", "−")


def plain(text: str) -> str:
    """A text to be shown as it is: what users call their things is no formula."""
    return text.replace("$", r"\$") if "$" in _FORMULA.sub("", text) else text


def canvas(
    width: float, height: float, title: str, left: float
) -> tuple[Figure, Callable[..., Any]]:
    """A figure, inches, with a title from some point on, and what adds axes to it.

    ``add(x, y, width, height, **how)`` counts inches from the lower left corner.
    """
    figure = Figure(figsize=(width, height), dpi=DPI)
    FigureCanvasAgg(figure)
    figure.text(left / width, 1 - 0.14 / height, plain(title), size=12, va="top")

    def add(x: float, y: float, w: float, h: float, **how: Any) -> Any:
        return figure.add_axes((x / width, y / height, w / width, h / height), **how)

    return figure, add


def open_frame(axes: Any) -> None:
    """Grid lines, and no frame at the top and on the right."""
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def line_figure(rows: int, title: str, size: float = 2.1) -> tuple[Figure, list[Any]]:
    """Panels one above the other with a common horizontal axis, each of a height in inches."""
    figure, add = canvas(7.2, 0.95 + (size + 0.2) * rows, title, 0.95)
    axes: list[Any] = []
    for i in reversed(range(rows)):
        shared = axes[0] if axes else None
        axes.append(add(0.95, 0.65 + (size + 0.2) * i, 6.0, size, sharex=shared))
        open_frame(axes[-1])
        axes[-1].tick_params(labelbottom=i == 0)
    return figure, axes


def zero_line(axes: Any) -> None:
    """A line at zero where values have both signs."""
    low, high = axes.get_ylim()
    if low < 0 < high:
        axes.axhline(0, color="#999999", linewidth=0.8, zorder=1)


def store(figure: Figure, path: Path) -> Path:
    """Write a figure as PNG; the file is complete, or as it was.

    Raises:
        MesoError: It cannot be written.
    """
    path, picture = Path(path), BytesIO()
    figure.savefig(picture, dpi=DPI, format="rgba")
    columns, rows = figure.canvas.get_width_height()
    pixels = np.frombuffer(picture.getbuffer(), dtype=np.uint8).reshape(rows, columns, 4)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, _png(pixels))
    except OSError as error:
        raise MesoError(f"{path}: cannot be written ({error.strerror})") from error
    return path


def _png(pixels: np.ndarray) -> bytes:
    """A picture (rows, columns, 4) as PNG.

    Each row is told by its difference from that above. Pillow tries all filters on each row, which
    takes three times as long, for files of the same size.
    """
    rows, columns, _ = pixels.shape
    flat = pixels.reshape(rows, -1)
    lines = np.full((rows, 1 + flat.shape[1]), 2, dtype=np.uint8)  # 2: filter "up"
    lines[:, 1:] = np.diff(flat, axis=0, prepend=np.zeros_like(flat[:1]))
    per_metre = round(DPI / 0.0254)
    parts = {
        b"IHDR": struct.pack(">IIBBBBB", columns, rows, 8, 6, 0, 0, 0),
        b"pHYs": struct.pack(">IIB", per_metre, per_metre, 1),
        b"IDAT": zlib.compress(lines, 1),
        b"IEND": b"",
    }
    chunks = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts.items()
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)
