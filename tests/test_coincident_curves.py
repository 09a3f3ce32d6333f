"""Drawings with curves on top of each other are refused at once, with the names of the curves."""

import math
from pathlib import Path

import pytest
from mpi4py import MPI

import meso

pytestmark = pytest.mark.skipif(MPI.COMM_WORLD.size > 1, reason="files of one rank")

OCC = 'SetFactory("OpenCASCADE");\n'
NAMES = 'Physical Surface("metal") = {1}; Physical Curve("cut") = {7, 8};\n'
PLATE = """
Point(1) = {0, 0, 0}; Point(2) = {100, 0, 0}; Point(3) = {100, 50, 0}; Point(4) = {0, 50, 0};
Point(5) = {50, 10, 0}; Point(6) = {50, 30, 0};
Line(1) = {1, 2}; Line(2) = {2, 3}; Line(3) = {3, 4}; Line(4) = {4, 1};
Curve Loop(1) = {1:4};
Physical Curve("edges") = {1:4};
"""
# A hole without an area, between two lines: Gmsh searches for a mesh of it for ever.
HOLE = PLATE + (
    "Line(7) = {5, 6}; Line(8) = {6, 5}; Curve Loop(2) = {7, 8}; Plane Surface(1) = {1, 2};\n"
    + NAMES
)
# The same with two arcs.
LENS = PLATE + (
    "Point(7) = {80, 20, 0}; Circle(7) = {5, 7, 6}; Circle(8) = {6, 7, 5};\n"
    "Curve Loop(2) = {7, 8}; Plane Surface(1) = {1, 2};\n" + NAMES
)
# A wall that runs back over a part of itself.
BACK = (
    """
Point(1) = {0, 0, 0}; Point(2) = {100, 0, 0}; Point(3) = {100, 50, 0}; Point(4) = {0, 50, 0};
Point(5) = {50, 0, 0}; Point(6) = {50, 30, 0}; Point(8) = {50, -10, 0};
Line(1) = {1, 5}; Line(7) = {5, 6}; Line(8) = {6, 8}; Line(2) = {8, 2}; Line(3) = {2, 3};
Line(4) = {3, 4}; Line(5) = {4, 1};
Curve Loop(1) = {1, 7, 8, 2, 3, 4, 5}; Plane Surface(1) = {1};
Physical Curve("edges") = {1:5};
"""
    + NAMES
)
# Two plates side by side, each with a side of its own.
TWO = """
Point(1) = {0, 0, 0}; Point(2) = {100, 0, 0}; Point(3) = {100, 50, 0}; Point(4) = {0, 50, 0};
Point(5) = {100, %g, 0}; Point(6) = {200, 0, 0}; Point(7) = {200, 50, 0}; Point(8) = {100, %g, 0};
Line(1) = {1, 2}; Line(7) = {2, 3}; Line(2) = {3, 4}; Line(3) = {4, 1};
Line(4) = {5, 6}; Line(5) = {6, 7}; Line(6) = {7, 8}; Line(8) = {8, 5};
Curve Loop(1) = {1, 7, 2, 3}; Plane Surface(1) = {1};
Curve Loop(2) = {4, 5, 6, 8}; Plane Surface(2) = {2};
Physical Surface("metal") = {1, 2}; Physical Curve("edges") = {1:6}; Physical Curve("cut") = {7, 8};
"""
# A disc in a ring: two full circles, which begin at different points.
RING = (
    OCC
    + """
Circle(3) = {0, 0, 0, 200}; Circle(7) = {0, 0, 0, 100}; Circle(8) = {0, 0, 0, 100, %g, 2*Pi + %g};
Curve Loop(1) = {7}; Plane Surface(1) = {1};
Curve Loop(2) = {3}; Curve Loop(3) = {8}; Plane Surface(2) = {2, 3};
Physical Surface("metal") = {1, 2}; Physical Curve("edges") = {3}; Physical Curve("cut") = {7, 8};
"""
)


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("drawing", "place"),
    [
        pytest.param(HOLE, (50, 20), id="hole"),
        pytest.param(OCC + HOLE, (50, 20), id="hole-occ"),
        pytest.param(LENS, (80 - math.hypot(30, 10), 20), id="lens"),
        pytest.param(BACK, (50, 15), id="back"),
        pytest.param(TWO % (0, 50), (100, 25), id="two"),
        pytest.param(OCC + TWO % (0, 50), (100, 25), id="two-occ"),
        pytest.param(TWO % (10, 40), (100, 25), id="two-inside"),
        pytest.param(OCC + TWO % (-20, 10), (100, 5), id="two-overlap"),
        pytest.param(RING % (0, 0), (-100, 0), id="ring"),
        pytest.param(RING % (0.3, 0.3), None, id="ring-turned"),
    ],
)
def test_refused(tmp_path: Path, drawing: str, place: tuple[float, float] | None) -> None:
    """The message names both curves, their group and a place inside the common stretch."""
    path = tmp_path / "own.geo"
    path.write_text(drawing)
    with pytest.raises(meso.GeometryError) as error:
        meso.Device.from_gmsh(path, length_unit="nm")
    message = str(error.value)
    assert "curves 7 ('cut') and 8 ('cut') lie on top of each other" in message
    assert "BooleanFragments" in message
    if place:
        words = message.split("near (")[1].split(")")[0].split(",")
        assert [float(word) for word in words] == pytest.approx(place, abs=1e-3)


def test_without_a_group(tmp_path: Path) -> None:
    path = tmp_path / "own.geo"
    path.write_text(HOLE.replace('Physical Curve("cut") = {7, 8};', 'Physical Curve("a") = {8};'))
    with pytest.raises(meso.GeometryError, match=r"curves 7 \(no group\) and 8 \('a'\) lie on top"):
        meso.Device.from_gmsh(path, length_unit="nm")


def test_curves_with_common_ends(tmp_path: Path) -> None:
    """Half circles and their diameter end in the same points, and are different curves."""
    path = tmp_path / "own.geo"
    path.write_text(
        OCC
        + """
Point(1) = {-100, 0, 0}; Point(2) = {100, 0, 0}; Point(3) = {0, 100, 0}; Point(4) = {0, -100, 0};
Point(5) = {0, 0, 0};
Circle(1) = {2, 5, 3}; Circle(2) = {3, 5, 1}; Circle(3) = {1, 5, 4}; Circle(4) = {4, 5, 2};
Line(5) = {1, 2};
Curve Loop(1) = {1, 2, 5}; Plane Surface(1) = {1};
Curve Loop(2) = {3, 4, -5}; Plane Surface(2) = {2};
Physical Surface("metal") = {1, 2}; Physical Curve("edges") = {1:4};
Delete { Point{5}; }
"""
    )
    device = meso.Device.from_gmsh(path, length_unit="nm")
    assert device.measure == pytest.approx(math.pi * 1e-14, rel=1e-6)
