"""Pictures of derivatives: which inputs decide a number, and which walls."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import matplotlib
import numpy as np

from meso.figures.style import LINES, STYLE, canvas, open_frame, plain, store

#: Outputs that are shown at most, and inches for each bar.
_MOST, _BAR = 6, 0.24


def draw_bars(bars: Mapping[str, Mapping[str, float]], title: str, path: Path) -> Path:
    """Draw per cent of each output for one per cent of each input.

    Args:
        bars: By output, by input.
        title: Of the case.
        path: The picture.
    """
    shown = [name for name in bars if bars[name]][:_MOST]
    heights = [max(len(bars[name]), 2) * _BAR for name in shown]
    height = 0.75 + sum(heights) + 0.85 * len(shown)
    with matplotlib.rc_context(STYLE):
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
                    f"{value:+.3g}",
                    (value, place),
                    (3 if value >= 0 else -3, 0),
                    textcoords="offset points",
                    ha="left" if value >= 0 else "right",
                    va="center",
                    size=7.5,
                )
            panel.axvline(0, color="#999999", linewidth=0.8)
            panel.set_yticks(at, [_short(key) for key in bars[name]], size=8)
            panel.invert_yaxis()
            panel.set_xlim(-most, most)
            panel.set_title(plain(name), size=10)
            panel.set_xlabel("% for one per cent of the input", size=9)
        return store(figure, path)


def _short(key: str) -> str:
    """The end of a key that tells which input it is."""
    parts = key.replace("geometry.parameters.", "").split(".")
    kept = [part for part in parts if part not in ("materials", "boundaries", "wall", "contact")]
    return plain(" ".join(kept))
