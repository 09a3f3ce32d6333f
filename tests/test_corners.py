"""Sharp corners: extrema without them, a warning that names them, a field without spikes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from helpers import read_vtu

from meso.cli import main

# An L of channels 100 wide; with r > 0 the inner corner is round.
DRAWING = """
DefineConstant[ r = {0, Name "Parameters/r"} ];
Point(1) = {0, 0, 0}; Point(2) = {300, 0, 0}; Point(3) = {300, 100, 0};
Point(4) = {100 + r, 100, 0}; Point(5) = {100, 100 + r, 0}; Point(6) = {100 + r, 100 + r, 0};
Point(7) = {100, 300, 0}; Point(8) = {0, 300, 0};
Line(1) = {1, 2}; Line(2) = {2, 3}; Line(3) = {3, 4}; Line(6) = {7, 8}; Line(7) = {8, 1};
If (r > 0)
  Circle(4) = {4, 6, 5}; Line(5) = {5, 7}; inner[] = {3, 4, 5};
Else
  Line(5) = {4, 7}; inner[] = {3, 5};
EndIf
Curve Loop(1) = {1, 2, inner[], 6, 7}; Plane Surface(1) = {1};
Physical Surface("metal") = {1}; Physical Curve("inside") = {inner[]};
Physical Curve("outside") = {1, 7}; Physical Curve("source") = {2};
Physical Curve("drain") = {6};
"""

# A strip 300 by 100 with a contact on the middle of its upper side.
PAD = """
Point(1) = {0, 0, 0}; Point(2) = {300, 0, 0}; Point(3) = {300, 100, 0};
Point(4) = {180, 100, 0}; Point(5) = {120, 100, 0}; Point(6) = {0, 100, 0};
For i In {1:5}
  Line(i) = {i, i + 1};
EndFor
Line(6) = {6, 1};
Curve Loop(1) = {1:6}; Plane Surface(1) = {1};
Physical Surface("metal") = {1}; Physical Curve("source") = {6}; Physical Curve("drain") = {2};
Physical Curve("pad") = {4}; Physical Curve("edges") = {1, 3, 5};
"""

CASE = """
title = "Corner"
[geometry]
file = "drawing.geo"
length_unit = "nm"
[materials.metal]
carriers = "2d"
conductivity = "20 mS"
mean_free_path = "20 nm"
fermi_energy = "1 eV"
[regions]
metal = "metal"
[boundaries]
source = { contact = { potential = "1 mV" } }
drain = { contact = { potential = "0 V" } }
"""
BEND = """
inside = { wall = { specularity = 0 } }
outside = { wall = { specularity = 0 } }
[flow]
model = "hydrodynamic"
"""
TAP = """
pad = { contact = { potential = "0 V" } }
edges = { wall = { specularity = 0 } }
[flow]
model = "ohmic"
"""


def solved(folder: Path, drawing: str, case: str, *settings: str, figures: bool = False) -> dict:
    """The summary of a run through the command line."""
    (folder / "drawing.geo").write_text(drawing)
    (folder / "case.toml").write_text(CASE + case)
    words = ["run", str(folder / "case.toml"), "--output", str(folder / "out"), "--quiet"]
    words += [] if figures else ["--no-figures"]
    assert main([*words, *(w for s in settings for w in ("--set", s))]) == 0
    return json.loads((folder / "out" / "summary.json").read_text())


def adapted(steps: int) -> str:
    """Each step divides the cells at a corner by up to a hundred, and no other by many."""
    return f'mesh.adapt={{steps = {steps}, target = "conductance"}}'


@pytest.fixture(scope="module")
def meshes(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict, dict, Path]:
    """The sharp L on two meshes, and the directory of the finer one."""
    folder = tmp_path_factory.mktemp("sharp")
    coarse = solved(folder, DRAWING, BEND, adapted(1), "flow.order=3")
    fine = solved(folder, DRAWING, BEND, adapted(2), "flow.order=3", figures=True)
    return coarse, fine, folder / "out"


def test_reported_extrema_converge_where_raw_ones_grow(meshes) -> None:
    coarse, fine, _ = meshes
    assert fine["mesh"]["h_min_m"] < coarse["mesh"]["h_min_m"] / 20
    one, two = coarse["extrema"]["potential"], fine["extrema"]["potential"]
    # phi grows like r^(-2/3) at a corner of 270 degrees: 7 times with cells 20 times smaller.
    assert two["everywhere"]["max"] > 3 * one["everywhere"]["max"]
    assert two["everywhere"]["max"] > 5e-3
    # Away from it the contacts have the highest and the lowest potential. What is left of 1 mV is
    # the error of the coarser mesh.
    for found in (one, two):
        assert abs(found["min"]) < 1e-6
        assert abs(found["max"] - 1e-3) < 1e-6
    one, two = coarse["extrema"]["vorticity"], fine["extrema"]["vorticity"]
    assert two["everywhere"]["max"] > 3 * one["everywhere"]["max"]
    # The values are those of nodes, which are not the same on both meshes; vorticity changes by
    # two thirds of the distance between them over the radius.
    assert two["max"] == pytest.approx(one["max"], rel=0.3)
    assert two["min"] == pytest.approx(one["min"], rel=0.05)


def test_the_warning_names_the_corner(meshes) -> None:
    for numbers in meshes[:2]:
        (text,) = (w for w in numbers["warnings"] if "corner" in w)
        assert "(100, 100) nm" in text
        assert "'inside' meets itself" in text
        assert "270 degrees" in text
        assert "fillet" in text
        assert "potential" in text


def test_paraview_gets_fields_without_spikes(meshes) -> None:
    numbers, folder = meshes[1:]
    _, data = read_vtu(folder / "fields" / "part0.vtu")
    for name in ("potential", "vorticity", "orbital_density"):
        found = numbers["extrema"][name]
        raw, within = data[name], data[f"{name}_clipped"]
        assert within.min() == found["min"]
        assert within.max() == found["max"]
        assert raw.max() > 1.2 * within.max()
        kept = (raw >= found["min"]) & (raw <= found["max"])
        np.testing.assert_array_equal(raw[kept], within[kept])
        assert kept.mean() > 0.1  # nodes crowd at the corner
    # J grows like r^(-1/3) only where walls slip freely, and vanishes at rough ones.
    assert "current_density_clipped" not in data
    # Pictures are drawn of the fields, not of their doubles.
    assert not list((folder / "figures").glob("*clipped*"))
    assert (folder / "figures" / "potential.png").is_file()


def test_smooth_devices_have_nothing_to_tell(tmp_path: Path) -> None:
    numbers = solved(tmp_path, DRAWING, BEND, "geometry.parameters.r=30")
    assert not any("corner" in text for text in numbers["warnings"])
    for found in numbers["extrema"].values():
        assert set(found) == {"min", "max", "unit"}
    _, data = read_vtu(tmp_path / "out" / "fields" / "part0.vtu")
    assert not any(name.endswith("_clipped") for name in data)


def test_ends_of_a_contact_on_a_straight_wall(tmp_path: Path) -> None:
    """J grows like r^(-1/2); the right angles at source and drain are none of that."""
    numbers = solved(tmp_path, PAD, TAP)
    found = numbers["extrema"]["current_density"]
    assert found["everywhere"]["max"] > 20 * found["max"]
    (text,) = (w for w in numbers["warnings"] if "corner" in w)
    assert "'edges'" in text and "'pad'" in text and "180 degrees" in text
    assert "(120, 100) nm" in text or "(180, 100) nm" in text
    # The potential has no spike: its extrema are those of the contacts.
    assert numbers["extrema"]["potential"]["max"] == pytest.approx(1e-3, rel=1e-9)
