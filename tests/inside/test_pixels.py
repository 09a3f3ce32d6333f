"""Fields in the pixels of maps, inside because colours do not tell more than three digits."""

import numpy as np
import pytest

from meso.figures.cells import Grid, Plane
from meso.files.vtu import vtk_nodes


@pytest.mark.parametrize(("d", "degree"), [(2, 1), (2, 4), (2, 10), (3, 2)])
def test_polynomials_are_exact(d: int, degree: int) -> None:
    """On one cell of a micrometre; measured: 4e-15."""
    nodes = 1e-7 + 1e-6 * vtk_nodes(degree, d)
    field = lambda x, y: np.array([(9e5 * x) ** degree, (1 - 9e5 * y) ** degree - 9e5 * x])  # noqa: E731
    nodes = np.column_stack([nodes, field(*nodes.T[:2]).T])[None]
    plane = Plane(across=2, axes=(0, 1), position=3e-7) if d == 3 else None
    grid = Grid(nodes, {"u": slice(0, 2)}, (1e-7, 1.1e-6, 1e-7, 1.1e-6), (60, 50), plane)
    error = np.abs(grid["u"] - field(*np.meshgrid(grid.x, grid.y)))
    # Half of the square, and of a plane at a fifth of the height 0.8 of that each way.
    assert np.isfinite(error[0]).mean() == pytest.approx(0.5 if d == 2 else 0.32, abs=0.02)
    assert np.nanmax(error) < 1e-13
