"""The distribution of the carriers over directions, at points."""

from __future__ import annotations

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from meso.figures import style
from meso.figures.style import LINES, STYLE


def draw_distribution(columns: dict[str, np.ndarray], title: str) -> Figure:
    """Draw h(theta) - <h> as a distance from a circle.

    Args:
        columns: "theta_rad" and "h_V".
        title: Title.
    """
    theta, h = columns["theta_rad"], columns["h_V"]
    mean = h[:-1].mean()
    size = np.abs(h - mean).max() or 1.0
    scale = style.scale(size, "V")
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(5.0, 5.2))
        FigureCanvasAgg(figure)
        axes = figure.add_axes((0.12, 0.08, 0.76, 0.74), projection="polar")
        axes.plot(theta, np.full_like(theta, 2.0), color="#999999", linewidth=0.8, linestyle="--")
        axes.plot(theta, 2.0 + (h - mean) / size, color=LINES[0])
        axes.fill_between(theta, 2.0, 2.0 + (h - mean) / size, color=LINES[0], alpha=0.2)
        axes.set_ylim(0, 3.1)
        ticks = [1.0, 2.0, 3.0]
        names = [f"{(t - 2) * size / scale.factor:+.3g}".replace("-", "−") for t in ticks]
        axes.set_yticks(ticks, [names[0], "mean", f"{names[2]} {scale.name}"])
        axes.set_rlabel_position(112.5)  # type: ignore[attr-defined]
        for label in axes.get_yticklabels():
            label.set(
                size=9, ha="center", bbox={"facecolor": "white", "edgecolor": "none", "pad": 1}
            )
            label.set_zorder(5)
        figure.suptitle(title, x=0.04, ha="left", fontsize=12)
    return figure
