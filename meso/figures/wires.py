"""The picture of a wire's section: its current density."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from meso.case import Figures
from meso.figures.style import SPEED, canvas, look, scale, store


def draw_wire(
    path: Path,
    title: str,
    grid: tuple[np.ndarray, np.ndarray],
    values: np.ndarray,
    figures: Figures | None = None,
) -> Path:
    """Draw J_z, A/m^2, at the points of a grid x (m,), y (n,), m; values (n, m), NaN outside."""
    x, y = (1e9 * axis for axis in grid)
    with look(figures):
        wide, high = np.ptp(x), np.ptp(y)
        size = np.array([wide, high]) * 3.6 / max(wide, high)
        figure, add = canvas(size[0] + 1.9, size[1] + 1.0, title, 0.7)
        axes = add(0.7, 0.5, *size)
        unit = scale(float(np.nanmax(np.abs(values))), "A_per_m2")
        corner = (x[0], x[-1], y[0], y[-1])
        image = axes.imshow(
            values / unit.factor,
            origin="lower",
            extent=corner,
            cmap=SPEED,
            interpolation="bilinear",
        )
        axes.set_xlabel("x (nm)")
        axes.set_ylabel("y (nm)")
        bar = add(0.85 + size[0], 0.5, 0.14, size[1])
        figure.colorbar(image, cax=bar, label=f"current density along z ({unit.name})")
        return store(figure, path)
