"""Contacts that end on convex arcs and surfaces: meshed in seconds, with the right conductance."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
from mpi4py import MPI
from scipy.special import ellipk

pytestmark = pytest.mark.skipif(MPI.COMM_WORLD.size > 1, reason="processes of their own")

SIGMA = 0.01  # S
HANGS = 600  # s: a hundred times what the slowest takes, so that a machine may be busy
# What corners of a millionth of the width take, 8 of them: 9 300 measured, 14 000 in half a disc
# with more of them; a million where the arcs are as fine as the corners.
MANY = 20_000

CASE = """
[geometry]
file = "drawing.geo"
length_unit = "nm"
[materials.m]
carriers = "{carriers}"
conductivity = "{conductivity}"
mean_free_path = "1 nm"
[regions]
metal = "m"
[boundaries]
{boundaries}
rim = {{ wall = {{ specularity = 0 }} }}
[flow]
model = "ohmic"
[output]
directory = "out"
[output.resistances]
wanted = {{ current = ["c1", "{drain}"], voltage = {voltage} }}
"""

# Contacts of half width a around 0, 90, 180 and 270 degrees.
ARCS = """
r = 300; a = {a};
Point(1) = {{0, 0, 0}};
For k In {{0:3}}
  Point(10 + 2*k) = {{r*Cos(k*Pi/2 - a), r*Sin(k*Pi/2 - a), 0}};
  Point(11 + 2*k) = {{r*Cos(k*Pi/2 + a), r*Sin(k*Pi/2 + a), 0}};
EndFor
For k In {{0:3}}
  Circle(20 + 2*k) = {{10 + 2*k, 1, 11 + 2*k}};
  Circle(21 + 2*k) = {{11 + 2*k, 1, 10 + 2*((k + 1) % 4)}};
EndFor
Curve Loop(1) = {{20:27}};
Plane Surface(1) = {{1}};
"""
CIRCLES = (
    ARCS
    + """
Physical Surface("metal") = {{1}};
For k In {{0:3}}
  Physical Curve(Sprintf("c%g", k + 1)) = {{20 + 2*k}};
EndFor
Physical Curve("rim") = {{21, 23, 25, 27}};
"""
)
OCC = 'SetFactory("OpenCASCADE");\n'
# A disc of OpenCASCADE, cut by points; the seam of its rim lies inside the first contact.
DISK = (
    OCC
    + """
r = 300; a = {a};
Disk(1) = {{0, 0, 0, r}};
For k In {{0:3}}
  Point(100 + 2*k) = {{r*Cos(k*Pi/2 - a), r*Sin(k*Pi/2 - a), 0}};
  Point(101 + 2*k) = {{r*Cos(k*Pi/2 + a), r*Sin(k*Pi/2 + a), 0}};
EndFor
BooleanFragments{{ Surface{{1}}; Delete; }}{{ Point{{100:107}}; Delete; }}
rim() = Abs(Boundary{{ Surface{{1}}; }});
For k In {{0:3}}
  x = r*Cos(k*Pi/2); y = r*Sin(k*Pi/2); h = r*Sin(a) + 1e-3;
  c() = Curve In BoundingBox{{x - h, y - h, -1, x + h, y + h, 1}};
  Physical Curve(Sprintf("c%g", k + 1)) = {{c()}};
  rim() -= {{c()}};
EndFor
Physical Curve("rim") = {{rim()}};
Physical Surface("metal") = {{1}};
"""
)
HALF = """
r = 300; a = {a};
Point(1) = {{0, 0, 0}};
t() = {{0, a, Pi/2 - a, Pi/2 + a, Pi - a, Pi}};
For k In {{0:5}}
  Point(2 + k) = {{r*Cos(t(k)), r*Sin(t(k)), 0}};
EndFor
For k In {{1:5}}
  Circle(k) = {{1 + k, 1, 2 + k}};
EndFor
Line(6) = {{7, 2}};
Curve Loop(1) = {{1:6}};
Plane Surface(1) = {{1}};
Physical Surface("metal") = {{1}};
Physical Curve("c1") = {{1}};
Physical Curve("c2") = {{5}};
Physical Curve("c3") = {{3}};
Physical Curve("rim") = {{2, 4, 6}};
"""
# A quarter of a ring: four contacts at its outer arc, symmetric about the diagonal.
SECTOR = (
    OCC
    + """
Point(1) = {{0, 0, 0}};
For k In {{0:7}}
  Point(10 + k) = {{300*Cos(k*Pi/14), 300*Sin(k*Pi/14), 0}};
EndFor
Point(30) = {{100, 0, 0}};
Point(31) = {{0, 100, 0}};
For k In {{0:6}}
  Circle(10 + k) = {{10 + k, 1, 11 + k}};
EndFor
Line(30) = {{17, 31}};
Circle(31) = {{31, 1, 30}};
Line(32) = {{30, 10}};
Curve Loop(1) = {{10:16, 30, 31, 32}};
Plane Surface(1) = {{1}};
Delete {{ Point{{1}}; }}
Physical Surface("metal") = {{1}};
Physical Curve("c1") = {{10}};
Physical Curve("c2") = {{12}};
Physical Curve("c3") = {{16}};
Physical Curve("c4") = {{14}};
Physical Curve("rim") = {{11, 13, 15, 30, 31, 32}};
"""
)
# Two half circles joined by lines: the lower quarters are contacts, and the upper line is one.
STADIUM = (
    OCC
    + """
Point(1) = {{0, 0, 0}}; Point(2) = {{300, 0, 0}};
Point(3) = {{0, -100, 0}}; Point(4) = {{300, -100, 0}}; Point(5) = {{400, 0, 0}};
Point(6) = {{300, 100, 0}}; Point(7) = {{0, 100, 0}}; Point(8) = {{-100, 0, 0}};
Line(1) = {{3, 4}}; Circle(2) = {{4, 2, 5}}; Circle(3) = {{5, 2, 6}};
Line(4) = {{6, 7}}; Circle(5) = {{7, 1, 8}}; Circle(6) = {{8, 1, 3}};
Curve Loop(1) = {{1:6}};
Plane Surface(1) = {{1}};
Delete {{ Point{{1, 2}}; }}
Physical Surface("metal") = {{1}};
Physical Curve("c1") = {{2}};
Physical Curve("c2") = {{6}};
Physical Curve("c3") = {{4}};
Physical Curve("rim") = {{1, 3, 5}};
"""
)
ELLIPSE = """
Point(1) = {{0, 0, 0}};
t() = {{-0.3, 0.3, Pi/2 - 0.3, Pi/2 + 0.3, Pi - 0.3, Pi + 0.3, -Pi/2 - 0.3, -Pi/2 + 0.3}};
For k In {{0:7}}
  Point(10 + k) = {{300*Cos(t(k)), 100*Sin(t(k)), 0}};
EndFor
Point(20) = {{300, 0, 0}}; Point(21) = {{0, 100, 0}};
Point(22) = {{-300, 0, 0}}; Point(23) = {{0, -100, 0}};
Ellipse(1) = {{10, 1, 20, 20}}; Ellipse(2) = {{20, 1, 20, 11}}; Ellipse(3) = {{11, 1, 20, 12}};
Ellipse(4) = {{12, 1, 20, 21}}; Ellipse(5) = {{21, 1, 20, 13}}; Ellipse(6) = {{13, 1, 20, 14}};
Ellipse(7) = {{14, 1, 20, 22}}; Ellipse(8) = {{22, 1, 20, 15}}; Ellipse(9) = {{15, 1, 20, 16}};
Ellipse(10) = {{16, 1, 20, 23}}; Ellipse(11) = {{23, 1, 20, 17}}; Ellipse(12) = {{17, 1, 20, 10}};
Curve Loop(1) = {{1:12}};
Plane Surface(1) = {{1}};
Physical Surface("metal") = {{1}};
Physical Curve("c1") = {{4, 5}};
Physical Curve("c2") = {{1, 2}};
Physical Curve("c3") = {{10, 11}};
Physical Curve("c4") = {{7, 8}};
Physical Curve("rim") = {{3, 6, 9, 12}};
"""
COIN = (
    ARCS
    + """
out() = Extrude {{0, 0, 300}} {{ Surface{{1}}; }};
Physical Volume("metal") = {{out(1)}};
For k In {{0:3}}
  Physical Surface(Sprintf("c%g", k + 1)) = {{out(2 + 2*k)}};
EndFor
Physical Surface("rim") = {{1, out(0), out(3), out(5), out(7), out(9)}};
"""
)
# Two caps of a sphere are contacts.
SPHERE = (
    OCC
    + """
r = 300; a = {a};
Sphere(1) = {{0, 0, 0, r}};
Disk(100) = {{0, 0, r*Cos(a), r}};
Disk(101) = {{0, 0, -r*Cos(a), r}};
BooleanFragments{{ Volume{{1}}; Delete; }}{{ Surface{{100, 101}}; Delete; }}
v() = Volume In BoundingBox{{-r - 1, -r - 1, -r - 1, r + 1, r + 1, r + 1}};
s() = Abs(CombinedBoundary{{ Volume{{v()}}; }});
top() = {{}}; bottom() = {{}}; rest() = {{}};
For k In {{0:#s() - 1}}
  b() = BoundingBox Surface{{s(k)}};
  If (b(2) > r*Cos(a) - 0.01)
    top() += s(k);
  ElseIf (b(5) < -r*Cos(a) + 0.01)
    bottom() += s(k);
  Else
    rest() += s(k);
  EndIf
EndFor
Physical Volume("metal") = {{v()}};
Physical Surface("c1") = {{top()}};
Physical Surface("c2") = {{bottom()}};
Physical Surface("rim") = {{rest()}};
"""
)


def meso(folder: Path, *arguments: str) -> str:
    """What `meso` says, in a process that cannot hang."""
    done = subprocess.run(
        [sys.executable, "-m", "meso", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=HANGS,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def solved(
    folder: Path,
    drawing: str,
    *,
    contacts: int = 4,
    solid: bool = False,
    drain: str = "c2",
    voltage: tuple[str, str] = ("c4", "c3"),
) -> dict:
    """Summary of the ohmic flow through a drawing."""
    laws = ["potential = '1 mV'", "potential = '0 V'", "current = '0 A'", "current = '0 A'"]
    boundaries = [f"c{k + 1} = {{ contact = {{ {laws[k]} }} }}" for k in range(contacts)]
    text = CASE.format(
        carriers="3d" if solid else "2d",
        conductivity=f"{SIGMA} {'S/m' if solid else 'S'}",
        boundaries="\n".join(boundaries),
        drain=drain,
        voltage=json.dumps(voltage),
    )
    (folder / "drawing.geo").write_text(drawing)
    (folder / "case.toml").write_text(text)
    meso(folder, "run", "case.toml", "--no-figures")
    return json.loads((folder / "out" / "summary.json").read_text())


def ratio(k: float) -> float:
    """K(k)/K'(k): conductance over sigma between two pieces of the edge of a half plane."""
    return float(ellipk(k**2) / ellipk(1 - k**2))


def van_der_pauw(a: float) -> float:
    """Resistance times sigma of the disc with contacts of half width a, ideal and exact.

    Each half of the disc between mirrors is a sector, mapped to a half plane; the potentials
    (1, 0, -1, 0) and (1, -1, 1, -1) of the contacts decouple. For a -> 0 it is ln 2/pi.
    """
    return 0.5 / ratio(math.tan(a)) - 0.5 / ratio(math.sin(2 * a))


def cells(summary: dict) -> int:
    """Cells of the mesh."""
    return summary["mesh"]["cells"]


def wanted(summary: dict) -> float:
    """The resistance that the case asks for."""
    return summary[next(k for k in summary if k.startswith("resistances_ohm"))]["wanted"]


def matrix(summary: dict) -> list[list[float]]:
    """The conductance matrix."""
    return summary[next(k for k in summary if k.startswith("conductance_matrix_S"))]


# Degree 4 with corners of a millionth of the width: up to 1.1e-7 measured.
EXACT = 1e-6


@pytest.mark.parametrize(
    ("drawing", "a"),
    [
        pytest.param(CIRCLES, 0.2, id="circles"),
        pytest.param(OCC + CIRCLES, 0.02, id="circles-occ-narrow", marks=pytest.mark.thorough),
        pytest.param(CIRCLES, 0.02, id="circles-narrow", marks=pytest.mark.verification),
        pytest.param(CIRCLES, 1e-4, id="circles-points", marks=pytest.mark.verification),
        pytest.param(OCC + CIRCLES, 0.2, id="circles-occ", marks=pytest.mark.verification),
        pytest.param(DISK, 0.2, id="disk", marks=pytest.mark.verification),
        pytest.param(DISK, 0.02, id="disk-narrow", marks=pytest.mark.verification),
    ],
)
def test_disc(tmp_path: Path, drawing: str, a: float) -> None:
    """The exact van der Pauw resistance of finite contacts, and four-fold symmetry."""
    summary = solved(tmp_path, drawing.format(a=a))
    assert 2_000 < cells(summary) < MANY
    resistance = wanted(summary)
    assert resistance * SIGMA == pytest.approx(van_der_pauw(a), rel=EXACT)
    # For small contacts ln 2/pi less a^2/(4 ln 2) of it: L. J. van der Pauw (1958).
    point = math.log(2) / math.pi * (1 - a**2 / (4 * math.log(2)))
    assert resistance * SIGMA == pytest.approx(point, rel=2 * a**4 + EXACT)
    g = matrix(summary)
    for i in range(4):
        for j in range(4):
            other = g[(i + 1) % 4][(j + 1) % 4]
            assert g[i][j] == pytest.approx(other, rel=10 * EXACT)


def test_half_disc(tmp_path: Path) -> None:
    """Contacts on its arc, the outer two up to the diameter: two quarters in series."""
    summary = solved(tmp_path, HALF.format(a=0.2), contacts=3, voltage=("c1", "c2"))
    assert 1_000 < cells(summary) < MANY
    resistance = wanted(summary)
    assert resistance * SIGMA == pytest.approx(2 / ratio(math.tan(0.2)), rel=EXACT)


@pytest.mark.verification
@pytest.mark.parametrize(
    ("drawing", "mirrored"),
    [
        pytest.param(SECTOR, [2, 3, 0, 1], id="sector"),
        pytest.param(STADIUM, [1, 0, 2], id="stadium"),
        pytest.param(ELLIPSE, [2, 1, 0, 3], id="ellipse"),
    ],
)
def test_mirror(tmp_path: Path, drawing: str, mirrored: list[int]) -> None:
    """A mirror that swaps contacts leaves the conductance as it is."""
    summary = solved(tmp_path, drawing.format(), contacts=len(mirrored), voltage=("c3", "c2"))
    assert 1_000 < cells(summary) < MANY
    g = matrix(summary)
    for i, row in enumerate(g):
        for j, value in enumerate(row):
            assert value == pytest.approx(g[mirrored[i]][mirrored[j]], rel=EXACT)


@pytest.mark.parametrize(
    "drawing",
    [
        pytest.param(OCC + COIN, id="occ"),
        pytest.param(COIN, id="built-in", marks=pytest.mark.verification),
    ],
)
def test_coin(tmp_path: Path, drawing: str) -> None:
    """A cylinder with four contacts on its side: the disc, times its height."""
    summary = solved(tmp_path, drawing.format(a=0.2), solid=True)
    assert 1_000 < cells(summary) < MANY
    resistance = wanted(summary)
    height = 300e-9
    # Cells of degree 2 that are not refined where contacts end.
    assert resistance * SIGMA * height == pytest.approx(van_der_pauw(0.2), rel=0.03)


@pytest.mark.verification
def test_caps_of_a_sphere(tmp_path: Path) -> None:
    """Conductance between two caps: twice that of one in the limit of narrow ones."""
    summary = solved(tmp_path, SPHERE.format(a=0.3), contacts=2, solid=True, voltage=("c1", "c2"))
    assert 300 < cells(summary) < MANY
    # 2 sigma times the diameter of discs in a half space, in series; a curved cap has a little
    # more surface, and the sphere is not a half space.
    discs = 2 * SIGMA * 300e-9 * math.sin(0.3)
    assert matrix(summary)[0][0] == pytest.approx(discs, rel=0.3)
