"""How fine a mesh is at walls, to rounding: `meso check` prints two digits."""

import re
from dataclasses import replace

import gmsh
import numpy as np
import pytest
from conftest import GEOMETRIES, gmsh_session, material

from meso import Contact, Device, Wall
from meso.evidence.resolution import doubts, knudsen_number, wall_resolution
from meso.observables.corners import touching

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


def test_what_is_hardly_meant(two):
    assert doubts(two, LAWS) == touching(two, LAWS) == []
    (text,) = doubts(two, LAWS | {"drain": Wall(specularity=0.0)})
    assert text == "'source' is the only contact: no current flows"
    (text,) = doubts(replace(two, extent=0.3), LAWS)
    assert "0.3 m long; is geometry.length_unit right?" in text
    apart = replace(two, islands=(("source", "edges"), ("drain", "edges")))
    (text,) = doubts(apart, LAWS)
    assert "2 parts that do not touch, bounded by 'edges, source' and 'drain, edges'" in text
    assert "no current flows where there is one contact only" in text


def test_contacts_that_touch(two):
    """The walls of the square as a contact, which touches both others at two corners."""
    texts = touching(two, LAWS | {"edges": Contact(potential=0.0)})
    named = [frozenset(re.findall(r"'(\w+)'", text)) for text in texts]
    assert set(named) == {frozenset({"source", "edges"}), frozenset({"drain", "edges"})}
    assert all("the conductance between them is infinite" in text for text in texts)
