"""The common look of the figures: style, layout in inches, units as people read them."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from meso.errors import MesoError
from meso.files.directory import replace_file
from meso.files.readable import Scale as Scale
from meso.files.readable import length_scale as length_scale
from meso.files.readable import scale as scale
from meso.files.readable import written as written

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

#: What labels of the house are set as formulas.
_FORMULA = re.compile(r"\$[A-ZΩ](_[a-z])?\$")


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
    path = Path(path)
    picture = BytesIO()
    # Runs of equal bytes are what pictures are full of; looking for more takes longer.
    how = {"compress_level": 1, "compress_type": zlib.Z_RLE}
    figure.savefig(picture, dpi=DPI, pil_kwargs=how)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, picture.getvalue())
    except OSError as error:
        raise MesoError(f"{path}: cannot be written ({error.strerror})") from error
    return path
