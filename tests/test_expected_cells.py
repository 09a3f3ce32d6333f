"""How many cells there will be is told before they are made, and a million need a word."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from conftest import GEOMETRIES
from mpi4py import MPI

import meso
from meso.cli import main

pytestmark = pytest.mark.skipif(MPI.COMM_WORLD.size > 1, reason="serial")

CASE = f"""
[geometry]
file = "{GEOMETRIES / "ribbon.geo"}"
length_unit = "nm"
parameters = {{ width = 100, length = 200 }}
[materials.sheet]
carriers = "2d"
conductivity = "20 mS"
mean_free_path = "10 nm"
scattering = "radial-tangential"
fermi_energy = "1 eV"
[regions]
metal = "sheet"
[boundaries]
source = {{ contact = {{ potential = "1 mV" }} }}
drain = {{ contact = {{ potential = "0 V" }} }}
edges = {{ wall = {{ specularity = 0.0 }} }}
[flow]
model = "hydrodynamic"
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("case.toml").write_text(CASE)


def told(lines: list[str]) -> float:
    found = re.search(r"meshing .*: about (\S+) cells", lines[-1])
    assert found
    return float(found[1])


# Estimate over cells when this was written; the bound of two leaves room for other versions of
# Gmsh: annulus 0.84, ribbon 0.89, corbino 0.85, ribbon_period 1, film 1, wire 0.90, step 0.93,
# all others of the gallery 0.86 to 1.03, with layers of 5 nm 0.95 to 1.16.
@pytest.mark.parametrize(
    "name", ["annulus", "ribbon", "corbino", "tee", "ribbon_period", "film", "wire", "step"]
)
def test_estimates_are_near_the_truth(name):
    lines: list[str] = []
    device = meso.Device.from_gmsh(
        GEOMETRIES / f"{name}.geo", length_unit="nm", progress=lines.append
    )
    assert 0.5 < told(lines) / device.cells < 2


# Isotropic layers (0.90), flat ones (0.9), and sizes of the user (1.0).
@pytest.mark.parametrize(
    "settings",
    [
        [],
        ["materials.sheet.mean_free_path='1 nm'"],
        ["mesh.size='3 nm'"],
        ["mesh.wall_size='1 nm'"],
    ],
    ids=["layers", "flat", "size", "wall_size"],
)
def test_estimates_of_layers(capsys, settings):
    words = [word for setting in settings for word in ("--set", setting)]
    assert main(["check", "case.toml", "--verbose", *words]) == 0
    out, err = capsys.readouterr()
    cells = int(re.search(r"(\d+) cells of degree", out)[1])
    assert 0.5 < told(re.findall("meshing.*", err)) / cells < 2


def test_progress_needs_a_terminal_or_a_wish(capsys):
    assert main(["mesh", "case.toml"]) == 0
    assert capsys.readouterr().err == ""
    assert main(["mesh", "case.toml", "--verbose"]) == 0
    assert "meshing ribbon.geo: about " in capsys.readouterr().err


@pytest.mark.parametrize("command", ["check", "run", "mesh"])
def test_a_million_cells_need_a_word(capsys, command):
    """Points that ask for cells of a ten-thousandth, for a plate that needs no more than 100."""
    Path("own.geo").write_text("h = 0.01;\n" + PLATE)
    plate = CASE.replace(str(GEOMETRIES / "ribbon.geo"), "own.geo")
    plate = plate.replace("parameters = { width = 100, length = 200 }", "")
    Path("case.toml").write_text(plate)
    assert main([command, "case.toml"]) == 2
    message = capsys.readouterr().err
    assert "own.geo: the mesh would have about " in message
    assert "more than a million" in message
    assert "--yes" in message


def test_sizes_of_the_drawing_count():
    path = Path("own.geo")
    path.write_text("h = 0.01;\n" + PLATE)
    with pytest.raises(meso.GeometryError, match=r"about [\de+.]+ cells, more than a million"):
        meso.Device.from_gmsh(path, length_unit="nm")
    path.write_text("h = 10;\n" + PLATE)
    assert meso.Device.from_gmsh(path, length_unit="nm").cells < 1000


PLATE = """
Point(1) = {0, 0, 0, h}; Point(2) = {100, 0, 0, h};
Point(3) = {100, 100, 0, h}; Point(4) = {0, 100, 0, h};
Line(1) = {1, 2}; Line(2) = {2, 3}; Line(3) = {3, 4}; Line(4) = {4, 1};
Curve Loop(1) = {1, 2, 3, 4}; Plane Surface(1) = {1};
Physical Surface("metal") = {1}; Physical Curve("edges") = {1, 3};
Physical Curve("source") = {4}; Physical Curve("drain") = {2};
"""


def test_layers_of_a_drawing_count():
    path = Path("own.geo")
    path.write_text(
        PLATE.replace("Physical", "//")
        + "Extrude {0, 0, 10} { Surface{1}; Layers{8000}; }\n"
        + 'Physical Volume("metal") = {1}; Physical Surface("all") = {1, 13, 17, 21, 25, 26};\n'
    )
    path.write_text("h = 20;\n" + path.read_text())
    with pytest.raises(meso.GeometryError, match="more than a million"):
        meso.Device.from_gmsh(path, length_unit="nm")
