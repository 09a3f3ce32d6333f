"""The common look of the figures: style, layout in inches, units as people read them."""

from __future__ import annotations

import logging
import re
import struct
import zlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from io import BytesIO, StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import matplotlib
import numpy as np
from cycler import cycler
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap, to_rgba
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from meso.errors import CaseError, MesoError
from meso.files.directory import replace_file
from meso.files.readable import Scale as Scale
from meso.files.readable import length_scale as length_scale
from meso.files.readable import scale as scale
from meso.files.readable import written as written

if TYPE_CHECKING:
    from meso.case import Figures

DPI = 200
CONTACT = "#b35c00"
INK = "#222222"
_COLORS = ("#0b62a4", "#c1272d", "#2e8b57", "#7b4ea3", "#d98200", "#5b5b5b", "#17a3b8", "#c2559d")
#: Colours of lines: those of the style that holds when they are drawn.
LINES = tuple(f"C{i}" for i in range(len(_COLORS)))
# Without the lightest colours, before which white stream lines would not be seen.
SPEED = LinearSegmentedColormap.from_list("speed", colormaps["magma"](np.linspace(0.08, 0.8, 64)))

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
    "axes.prop_cycle": cycler(color=_COLORS),
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "xtick.labelsize": 10,
    "ytick.labelsize": 10,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.fontsize": 10,
    # Lines end at a legend rather than strike its text.
    "legend.edgecolor": "none",
    "lines.linewidth": 1.8,
    "text.color": INK,
    "savefig.dpi": DPI,
    "savefig.format": "png",
    "svg.hashsalt": "meso",
}

#: What labels of the house are set as formulas.
_FORMULA = re.compile(r"\$[A-ZΩ](_[a-z])?\$")


def read_style(path: Path) -> dict[str, Any]:
    """Settings of a style file of Matplotlib.

    Raises:
        CaseError: Matplotlib cannot read it, or does not know something in it.
    """
    said = StringIO()
    logger, handler = logging.getLogger("matplotlib"), logging.StreamHandler(said)
    before, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        found = matplotlib.rc_params_from_file(path, fail_on_error=True, use_default_template=False)
    except (OSError, ValueError) as error:
        raise CaseError(f"{path} is no style file of Matplotlib: {error}") from None
    finally:
        logger.removeHandler(handler)
        logger.propagate = before
    if text := " ".join(said.getvalue().split()):
        raise CaseError(f"{path} is no style file of Matplotlib: {text.partition(' You ')[0]}")
    return dict(found)


class Look(NamedTuple):
    """The table [figures] of a case that is not loaded."""

    style: Path | None = None
    format: str | None = None


def look(figures: Figures | Look | None = None) -> AbstractContextManager[None]:
    """The look of the house while pictures are drawn, and over it what a case wishes."""
    own: dict[str, Any] = {}
    if figures is not None and figures.style is not None:
        own |= read_style(figures.style)
    if figures is not None and figures.format is not None:
        own["savefig.format"] = figures.format
    return matplotlib.rc_context(STYLE | own)


def ink() -> str:
    """The colour of what is drawn as text is."""
    return str(matplotlib.rcParams["text.color"])


def halo(width: float = 2.5) -> list[Any]:
    """What keeps text legible on a map: an outline in the colour of the paper."""
    return [withStroke(linewidth=width, foreground=matplotlib.rcParams["figure.facecolor"])]


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
    axes.grid()
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


def log_ticks(axis: Any) -> None:
    """Plain numbers along a logarithmic axis; over less than two decades also at 2 and 5."""
    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high < 100 * low else (1.0,)))
    powers = low < 1e-3 or high > 1e5  # on all or none of the ticks
    axis.set_major_formatter(FuncFormatter(lambda x, _: _power(x) if powers else f"{x:g}"))
    axis.set_minor_formatter(NullFormatter())


def _power(value: float) -> str:
    """A number of one digit with its power of ten."""
    mantissa, _, power = f"{value:.0e}".partition("e")
    raised = f"10^{{{int(power)}}}"
    return f"${raised}$" if mantissa == "1" else rf"${mantissa}\cdot {raised}$"


def zero_line(axes: Any) -> None:
    """A line at zero where values have both signs."""
    low, high = axes.get_ylim()
    if low < 0 < high:
        axes.axhline(0, color="#999999", linewidth=0.8, zorder=1)


def png(figure: Figure) -> bytes:
    """A figure as PNG."""
    found, rc = BytesIO(), matplotlib.rcParams
    plain = rc["savefig.bbox"] is None and rc["savefig.facecolor"] == "auto"
    opaque = not rc["savefig.transparent"] and to_rgba(figure.get_facecolor())[3] == 1
    if not (plain and opaque) or rc["savefig.dpi"] == "figure":
        figure.savefig(found, format="png")
        return found.getvalue()
    # What savefig does, without drawing all once before for layouts that are not used here.
    figure.set_dpi(rc["savefig.dpi"])
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3]
    return _encoded(pixels.reshape(len(pixels), -1), rc["savefig.dpi"])


def _encoded(rows: np.ndarray, dpi: float) -> bytes:
    """Rows of RGB as PNG.

    What changes from row to row is compressed, which suits maps and lines; Pillow tries five
    filters for each row, and takes three times as long.
    """
    height, width = rows.shape
    filtered = np.full((height, width + 1), 2, np.uint8)
    filtered[0, 1:] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])
    stream = zlib.compressobj(1)
    per_metre = round(dpi / 0.0254)
    chunks = {
        b"IHDR": struct.pack(">IIBBBBB", width // 3, height, 8, 2, 0, 0, 0),
        b"pHYs": struct.pack(">IIB", per_metre, per_metre, 1),
        b"IDAT": stream.compress(filtered) + stream.flush(),
        b"IEND": b"",
    }
    parts = [b"\x89PNG\r\n\x1a\n"]
    for kind, data in chunks.items():
        check = zlib.crc32(data, zlib.crc32(kind))
        parts.append(struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check))
    return b"".join(parts)


def store(figure: Figure, path: Path) -> Path:
    """Write a figure as PNG; the file is complete, or as it was.

    Where the look has another format (``savefig.format``) there is a file of that beside it.

    Raises:
        MesoError: It cannot be written.
    """
    path = Path(path)
    _write(path, png(figure))
    other = str(matplotlib.rcParams["savefig.format"])
    if other in ("svg", "pdf"):
        # The same picture has the same bytes at all times.
        date = {"svg": "Date", "pdf": "CreationDate"}.get(other)
        found = BytesIO()
        figure.savefig(found, format=other, metadata={date: None} if date else None)
        _write(path.parent / f"{path.name.removesuffix('.png')}.{other}", found.getvalue())
    return path


def _write(path: Path, found: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, found)
    except OSError as error:
        raise MesoError(f"{path}: cannot be written ({error.strerror})") from error
