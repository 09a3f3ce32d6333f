"""What is seen in 3D from some place."""

from __future__ import annotations

from typing import Any

import numpy as np

from meso.figures.style import DPI, ink


def projected(points: np.ndarray, eye: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Picture coordinates, and the distance toward the eye."""
    toward = eye / np.linalg.norm(eye)
    right = np.cross([0.0, 0.0, 1.0], toward)
    right /= np.linalg.norm(right)
    return points @ np.column_stack([right, np.cross(toward, right)]), points @ toward


def triad(axes: Any, eye: np.ndarray, *, left: bool = False) -> None:
    """The directions of the axes, at the lower right or left."""
    start = np.array([0.45 * DPI if left else axes.bbox.width - 0.45 * DPI, 0.3 * DPI])
    how = {"xycoords": "axes pixels", "textcoords": "axes pixels", "annotation_clip": False}
    for name, arm in zip("xyz", projected(np.eye(3), eye)[0], strict=True):
        tip = start + 0.3 * DPI * arm
        axes.annotate(
            "", start, tip, **how, arrowprops={"arrowstyle": "<-", "color": ink(), "lw": 1}
        )
        at = start + 0.41 * DPI * arm
        axes.annotate(name, at, at, **how, ha="center", va="center", size=9)
