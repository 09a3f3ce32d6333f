"""Drawings that overlap themselves: curves that cross, which Gmsh divides for ever, are named."""

from __future__ import annotations

import pytest
from mpi4py import MPI

import meso
from meso.cli import main

pytestmark = pytest.mark.skipif(MPI.COMM_WORLD.size > 1, reason="serial")

BAR = """
Point(1) = {0, 0, 0}; Point(2) = {100, 0, 0}; Point(3) = {100, 40, 0}; Point(4) = {0, 40, 0};
Line(1) = {1, 2}; Line(2) = {2, 3}; Line(3) = {3, 4}; Line(4) = {4, 1};
Curve Loop(1) = {1, 2, 3, 4};
Plane Surface(1) = {1};
Physical Surface("metal") = {1};
Physical Curve("source") = {4}; Physical Curve("drain") = {2};
Physical Curve("bottom") = {1}; Physical Curve("top") = {3};
"""
BOW = BAR.replace("{0, 40, 0}", "{0, -1, 0}")
# The upper wall bulges downwards, through the lower one.
ARC = BAR.replace("Line(3) = {3, 4};", "Point(5) = {50, 45, 0}; Circle(3) = {3, 5, 4};")
ARC = ARC.replace("{100, 40, 0}", "{100, 44, 0}").replace("{0, 40, 0}", "{0, 44, 0}")


@pytest.mark.parametrize("kernel", ["", 'SetFactory("OpenCASCADE");\n'], ids=["built-in", "occ"])
@pytest.mark.parametrize(
    ("drawing", "named"),
    [
        (BOW, "curves 1 ('bottom') and 3 ('top') cross"),
        (ARC, "curves 1 ('bottom') and 3 ('top') cross"),
    ],
    ids=["bow", "arc"],
)
def test_crossing_curves_are_named(tmp_path, capsys, kernel, drawing, named):
    path = tmp_path / "own.geo"
    path.write_text(kernel + drawing)
    assert main(["mesh", str(path), "--picture", str(tmp_path / "mesh.png")]) == 2
    message = capsys.readouterr().err
    assert message.startswith(f"meso: error: {path}: {named}")
    assert message.count("\n") == 1


def test_chords_that_cross_are_not_curves_that_do(tmp_path):
    """A sector so thin that 32 chords of its outer arc would cut the inner one."""
    path = tmp_path / "own.geo"
    # The sagitta of a 32nd of a quarter circle of radius 100 is 0.03.
    path.write_text(
        "Point(1) = {0, 0, 0}; Point(2) = {100, 0, 0}; Point(3) = {100.02, 0, 0};\n"
        "Point(4) = {0, 100.02, 0}; Point(5) = {0, 100, 0};\n"
        "Line(1) = {2, 3}; Circle(2) = {3, 1, 4}; Line(3) = {4, 5}; Circle(4) = {5, 1, 2};\n"
        "Curve Loop(1) = {1, 2, 3, 4}; Plane Surface(1) = {1};\n"
        "Transfinite Curve {1, 3} = 2; Transfinite Curve {2, 4} = 4001;\n"
        "Transfinite Surface {1} = {2, 3, 4, 5};\n"
        'Physical Surface("metal") = {1}; Physical Curve("ends") = {1, 3};\n'
        'Physical Curve("edges") = {2, 4};\n'
    )
    assert meso.Device.from_gmsh(path, length_unit="nm", many_cells=True).cells > 4000


def test_a_surface_twice(tmp_path, capsys):
    path = tmp_path / "own.geo"
    twice = 'Plane Surface(2) = {1}; Physical Surface("metal") = {1, 2};'
    path.write_text(BAR.replace('Physical Surface("metal") = {1};', twice))
    assert main(["mesh", str(path), "--picture", str(tmp_path / "mesh.png")]) == 2
    assert "surfaces lie on top of each other" in capsys.readouterr().err


def test_a_curve_embedded_along_a_wall(tmp_path, capsys):
    """It begins and ends in corners that are not its own."""
    path = tmp_path / "own.geo"
    divided = BAR.replace("Line(1) = {1, 2};", "Point(5) = {50, 0, 0}; Line(1) = {1, 5};")
    divided = divided.replace("Loop(1) = {1,", "Loop(1) = {1, 6,")
    divided = divided.replace("Line(2)", "Line(6) = {5, 2}; Line(2)")
    divided = divided.replace('("bottom") = {1}', '("bottom") = {1, 6}')
    path.write_text(divided + "Line(99) = {1, 2}; Curve{99} In Surface{1};\n")
    assert main(["mesh", str(path), "--picture", str(tmp_path / "mesh.png")]) == 2
    assert "99 (no group) lie on top of each other" in capsys.readouterr().err
