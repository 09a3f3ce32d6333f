"""Devices whose nodes have moved: the same names and cells, sizes of their own, no folds."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import GEOMETRIES, material
from helpers import cell_degree, measures, nodes_of

from meso import Contact, Device, GeometryError, Wall
from meso.flow import Ohmic


def draw(name: str) -> Device:
    """A coarse device of the gallery."""
    return Device.from_gmsh(GEOMETRIES / f"{name}.geo", length_unit="nm", order=2)


def positions(device) -> np.ndarray:
    """Nodes of the mesh on this rank, m, shape (n, d)."""
    return device.mesh.geometry.x[:, : device.dimension]


@pytest.mark.parametrize("name", ["ribbon", "corbino", "wire"])
def test_scaled(name):
    device = draw(name)
    d, factor = device.dimension, 1.25
    moved = device.moved((factor - 1) * positions(device))
    assert moved.measure == pytest.approx(device.measure * factor**d, rel=1e-13)
    assert moved.extent == pytest.approx(device.extent * factor, rel=1e-13)
    assert moved.smallest_cell == pytest.approx(device.smallest_cell * factor, rel=1e-13)
    for before, after in zip(device.pieces, moved.pieces, strict=True):
        assert after.measure == pytest.approx(before.measure * factor ** (d - 1), rel=1e-13)
        assert (after.boundary, after.closed) == (before.boundary, before.closed)
    np.testing.assert_allclose(moved.facets.start, device.facets.start * factor, rtol=1e-12)
    np.testing.assert_allclose(nodes_of(moved), factor * nodes_of(device), rtol=1e-13)
    assert cell_degree(moved) == cell_degree(device)
    # What was measured by the old device is not what the new one has.
    assert moved.integrate(1.0 * moved.dx) == pytest.approx(moved.measure, rel=1e-10)
    assert device.integrate(1.0 * device.dx) == pytest.approx(device.measure, rel=1e-10)


def test_one_wall_moves():
    device = draw("ribbon")
    x, y = positions(device).T
    height = np.ptp(y)
    moved = device.moved(np.column_stack([0 * x, 0.1 * (y - y.min())]))
    assert moved.measure == pytest.approx(1.1 * device.measure, rel=1e-13)
    assert measures(moved)["source"] == pytest.approx(1.1 * height, rel=1e-12)
    assert measures(moved)["edges"] == pytest.approx(measures(device)["edges"], rel=1e-12)
    metal = material()
    laws = {
        "source": Contact(potential=1e-3),
        "drain": Contact(potential=0.0),
        "edges": Wall(specularity=1.0),
    }
    flows = [
        Ohmic(one, materials={"metal": metal}, boundaries=laws, order=2).solve()
        for one in (device, moved)
    ]
    first, second = (flow.conductance_matrix[0, 0] for flow in flows)
    assert second == pytest.approx(1.1 * first, rel=1e-12)


def test_cells_that_would_fold():
    device = draw("ribbon")
    x, y = positions(device).T
    shear = np.column_stack([0 * x, -1.5 * (y - y.min())])
    with pytest.raises(
        GeometryError, match=r"ribbon.geo: \d+ cells would fold over where the"
    ) as e:
        device.moved(shear)
    part = float(str(e.value).split("; ")[1].split()[0])
    assert part == pytest.approx(0.99 / 1.5, abs=1e-3)
    device.moved(part * 0.999 * shear)
    with pytest.raises(GeometryError, match="fold over"):
        device.moved(np.nan * shear)
