"""Fields in the pixels of maps: polynomials are what they are, whatever their degree.

Inside, because colours do not tell more than three digits.
"""

from __future__ import annotations

import numpy as np
import pytest

from meso.figures.cells import Grid, Plane
from meso.files.vtu import vtk_nodes


@pytest.mark.parametrize(("d", "degree"), [(2, 1), (2, 4), (2, 10), (3, 2)])
def test_polynomials_are_exact(d: int, degree: int) -> None:
    """On one cell, of coordinates about one micrometre; measured: 4e-15."""
    low, high = 0.1e-6, 1.1e-6
    corners = low + (high - low) * np.vstack([np.zeros(d), np.eye(d)])
    points = corners[0] + vtk_nodes(degree, d) @ (corners[1:] - corners[0])

    def field(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.stack([(x / high) ** degree, (1 - y / high) ** degree - x / high])

    values = field(points[:, 0], points[:, 1]).T
    nodes = np.concatenate([points, values], axis=1)[None]
    plane = Plane(across=2, axes=(0, 1), position=0.3e-6) if d == 3 else None
    grid = Grid(nodes, {"u": slice(0, 2)}, (low, high, low, high), (60, 50), plane)
    found, true = grid["u"], field(*np.meshgrid(grid.x, grid.y))
    inside = np.isfinite(found)
    # Half of the square, and in the plane, a fifth of the height, what is left of it.
    assert inside[0].mean() == pytest.approx(0.5 if d == 2 else 0.32, abs=0.02)
    assert np.abs(found - true)[inside].max() < 1e-13
