"""How fine a mesh is at walls, to rounding: `meso check` prints two digits."""

import gmsh
import numpy as np
import pytest
from conftest import GEOMETRIES, gmsh_session, material

from meso import Contact, Device, Wall
from meso.evidence.resolution import knudsen_number, wall_resolution

LAWS = {
    "source": Contact(potential=1e-3),
    "drain": Contact(potential=0.0),
    "edges": Wall(specularity=0.0),
}


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """A mesh by hand: two triangles of 100 nm, whose heights above the walls are 100 nm."""
    path = tmp_path_factory.mktemp("two") / "two.msh"
    text = (GEOMETRIES / "ribbon.geo").read_text().replace("{400, Name", "{100, Name")
    path.with_suffix(".geo").write_text(
        text + "Transfinite Curve{1, 2, 3, 4} = 2;\nTransfinite Surface{1};\n"
    )
    with gmsh_session():
        gmsh.open(str(path.with_suffix(".geo")))
        gmsh.model.mesh.generate(2)
        gmsh.write(str(path))
    return Device.from_gmsh(path, length_unit="nm")


def test_wall_resolution_is_the_height_of_the_largest_cell(two):
    assert two.cells == 2
    # l = lambda/sqrt(2)
    wanted = 100e-9 / (10e-9 / np.sqrt(2))
    found = wall_resolution(two, {"metal": material()}, LAWS)
    assert found["edges"] == pytest.approx(wanted, rel=1e-12, abs=0)


def test_knudsen_number(two):
    """Collisions of all kinds over the mean width, which is that of a ribbon."""
    number = knudsen_number(two, {"metal": material()}, LAWS)
    assert number == pytest.approx(0.1, rel=1e-12, abs=0)  # 10 nm/100 nm
    fluid = material(electron_electron_mean_free_path=10e-9)
    number = knudsen_number(two, {"metal": fluid}, LAWS)
    assert number == pytest.approx(0.05, rel=1e-12, abs=0)
