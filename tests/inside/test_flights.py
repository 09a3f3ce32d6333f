"""Free flights in the section of a wire: two ways to trace them, and which wires they are for."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import mesh_file

from meso import Device, Material, Wall
from meso.discrete.fields import continuous
from meso.flow.flights import Flights, uniform

CORNER = """SetFactory("OpenCASCADE");
Rectangle(1) = {0, 0, 0, 2, 1}; Rectangle(2) = {0, 0, 0, 1, 2};
BooleanUnion(3) = { Surface{1}; Delete; }{ Surface{2}; Delete; };
walls() = Boundary{ Surface{3}; };
Physical Surface("metal") = {3};
Physical Curve("wall") = {walls()};
Mesh.MeshSizeMin = 0.7; Mesh.MeshSizeMax = 0.7;
"""


@pytest.fixture(scope="module")
def corner(tmp_path_factory) -> Device:
    folder = tmp_path_factory.mktemp("corner")
    (folder / "section.geo").write_text(CORNER)
    mesh = mesh_file(folder / "section.msh", folder / "section.geo")
    return Device.from_gmsh(mesh, length_unit="m", order=2)


def test_from_side_to_side_or_from_cell_to_cell(corner):
    # A re-entrant corner casts shadows; walls are partly specular.
    walls = {"wall": Wall(specularity=0.4)}
    sides, cells = (Flights(corner, walls, 0.8, 1e-2) for _ in range(2))
    assert sides._sides is not None
    cells.__dict__["_sides"] = None
    assert sides.conductance(3) == pytest.approx(cells.conductance(3), abs=2e-6)
    one, two = sides.density(1), cells.density(1)
    assert 0 < one.min() < one.max() < 1
    np.testing.assert_allclose(one, two, atol=2e-5)


def test_current_is_the_integral_of_its_density(corner):
    flights = Flights(corner, {"wall": Wall(specularity=0.4)}, 0.8)
    values = flights.density(8)
    field = continuous("J", "", corner, 8, values)
    mean = corner.integrate(field.function() * corner.dx(degree=8)) / corner.measure
    assert flights.conductance(8) == pytest.approx(mean, rel=1e-3)


def test_mirrors_lose_nothing(corner):
    flights = Flights(corner, {"wall": Wall(specularity=1.0)}, 0.8)
    assert flights.conductance(3) == 1.0
    np.testing.assert_allclose(flights.density(1), 1.0, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, True),
        ({"scattering": {"gamma2": 1.0}}, True),
        ({"scattering": {"gamma3": 1.1}}, False),
        ({"electron_electron_mean_free_path": 1.0}, False),
    ],
)
def test_carriers_that_scatter_alike(corner, change, expected):
    matter = Material(carriers="3d", conductivity=1.0, mean_free_path=0.8, **change)
    assert (uniform(corner, {"metal": matter}) is not None) == expected
