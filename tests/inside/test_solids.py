"""Sizes and curved cells in 3D: limits that a user cannot set, folds that are rare."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from test_device_3d import BOX, NAMES, read

from meso import GeometryError, Layer
from meso.geometry import layers
from meso.geometry.curving import curved_cells, smallest_determinant, straightened
from meso.geometry.planning import plan_of
from meso.geometry.shape import thickness
from meso.geometry.simplices import Drawing


def test_budget(tmp_path, monkeypatch):
    """A layer that nobody can resolve is made coarser; the cells stay about within the budget."""
    monkeypatch.setattr(layers, "MAX_CELLS_3D", 10_000)
    device = read(tmp_path, BOX + NAMES, layers={"walls": Layer(decay=1e-12)})
    # The number of cells for given sizes is known to a third.
    assert 4_000 < device.cells < 16_000
    with pytest.raises(GeometryError, match="length_unit"):
        read(tmp_path, BOX + NAMES, layers={"walls": Layer(decay=1e-12)}, coarsen=False)


def test_thickness_of_parallel_walls():
    """Exact between planes, infinite where nothing faces the point."""
    plate = np.array([[[-9.0, -9, 2], [9, -9, 2], [0, 9, 2]]])
    points = np.array([[0.0, 0, 0], [1, -2, 0.5], [50, 0, 0], [0, 0, 0]])
    normals = np.array([[0.0, 0, 1], [0, 0, 1], [0, 0, 1], [0, 1, 0]])
    found = thickness(points, normals, plate, np.array([[0.0, 0, -1]]))
    np.testing.assert_allclose(found, [2, 1.5, np.inf, np.inf])


def test_folded_cells_are_straightened():
    """A cell that would fold over loses the bends of its edges; others keep theirs."""
    points = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]])
    cells = np.array([[0, 1, 2, 3], [1, 2, 3, 4]])
    drawing = Drawing(
        points=points,
        cells=cells,
        cell_region=np.zeros(2, int),
        regions=("metal",),
        facets=np.array([[0, 1, 2], [0, 1, 3], [0, 2, 3], [1, 2, 4], [1, 3, 4], [2, 3, 4]]),
        facet_boundary=np.zeros(6, int),
        boundaries=("all",),
        corners=np.empty((0, 2), int),
        degree=2,
        curved_edges=np.array([[0, 1], [1, 4]]),
        curved_nodes=np.array([[[0.5, 0.4, 0.4]], [[1.0, 0.55, 0.5]]]),
    )
    with pytest.raises(GeometryError, match="1 curved cells fold over"):
        plan_of(drawing, Path("two"), 1.0)
    better = straightened(drawing)
    np.testing.assert_array_equal(better.curved_edges, [[1, 4]])
    assert smallest_determinant(better, *curved_cells(better)).min() > 0.1
    plan_of(better, Path("two"), 1.0)
    # Nothing to do: the same.
    assert straightened(better) is better
    none = straightened(
        replace(
            drawing, curved_edges=drawing.curved_edges[:1], curved_nodes=drawing.curved_nodes[:1]
        )
    )
    assert none.degree == 1


def test_layer_of_a_decay_length():
    """What is not given follows from the degree; given lengths stay."""
    layer = Layer(decay=6.0).resolved(2)
    assert layer.size == pytest.approx(1.0)
    assert layer.reach == pytest.approx(0.7 * 3 * 6.0)
    assert Layer(decay=6.0, size=3.0).resolved(4).size == 3.0
    assert Layer(decay=6.0).over(2.0) == Layer(decay=3.0)
