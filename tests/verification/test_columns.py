"""Columns of flat cells between corners: against a closed form, and against a higher degree."""

import numpy as np
import pytest

import meso
from meso.exact import Ribbon

NM = 1e-9
CASE = """
[geometry]
file = "own.geo"
length_unit = "nm"
[materials.sheet]
carriers = "2d"
conductivity = "20 mS"
mean_free_path = "{path} nm"
fermi_energy = "20 meV"
[regions]
metal = "sheet"
[boundaries]
source = {{ contact = {{ potential = "1 mV" }} }}
drain = {{ contact = {{ potential = "0 V" }} }}
edges = {{ wall = {{ specularity = 0.0 }} }}
[flow]
model = "hydrodynamic"
"""
#: Two rectangles of one metal: walls end in the middle, where three curves meet.
HALVES = """SetFactory("OpenCASCADE");
Rectangle(1) = {0, 0, 0, 300, 100};
Rectangle(2) = {300, 0, 0, 300, 100};
Coherence;
e = 1e-3;
left() = Curve In BoundingBox{-e, -e, -e, e, 100 + e, e};
right() = Curve In BoundingBox{600 - e, -e, -e, 600 + e, 100 + e, e};
walls() = Curve In BoundingBox{-e, -e, -e, 600 + e, e, e};
walls() += Curve In BoundingBox{-e, 100 - e, -e, 600 + e, 100 + e, e};
Physical Surface("metal") = {1, 2};
Physical Curve("source") = {left()};
Physical Curve("drain") = {right()};
Physical Curve("edges") = {walls()};
"""
#: A sharp step, an acute notch, and a round hole.
CORNERS = """SetFactory("OpenCASCADE");
Rectangle(1) = {0, 0, 0, 300, 100};
Rectangle(2) = {300, 0, 0, 200, 160};
BooleanUnion(3) = { Surface{1}; Delete; }{ Surface{2}; Delete; };
Point(101) = {110, -1, 0}; Point(102) = {150, -1, 0}; Point(103) = {130, 30, 0};
Line(101) = {101, 102}; Line(102) = {102, 103}; Line(103) = {103, 101};
Curve Loop(101) = {101, 102, 103}; Plane Surface(4) = {101};
Disk(5) = {400, 70, 0, 20};
BooleanDifference(6) = { Surface{3}; Delete; }{ Surface{4, 5}; Delete; };
e = 1e-3;
left() = Curve In BoundingBox{-e, -e, -e, e, 100 + e, e};
right() = Curve In BoundingBox{500 - e, -e, -e, 500 + e, 160 + e, e};
walls() = Abs(Boundary{ Surface{6}; });
walls() -= {left(), right()};
Physical Surface("metal") = {6};
Physical Curve("source") = {left()};
Physical Curve("drain") = {right()};
Physical Curve("edges") = {walls()};
"""
#: A strip whose contacts are cut at 45 degrees: acute corners are no narrow places.
SLANTED = """
Point(1) = {0, 0, 0}; Point(2) = {300, 0, 0}; Point(3) = {400, 100, 0}; Point(4) = {100, 100, 0};
Line(1) = {1, 2}; Line(2) = {2, 3}; Line(3) = {3, 4}; Line(4) = {4, 1};
Curve Loop(1) = {1:4}; Plane Surface(1) = {1};
Physical Surface("metal") = {1};
Physical Curve("source") = {4};
Physical Curve("drain") = {2};
Physical Curve("edges") = {1, 3};
"""


@pytest.fixture
def solve(tmp_path, monkeypatch):
    """Run a drawing with a mean free path in nm, and some settings."""
    monkeypatch.chdir(tmp_path)

    def solved(text, path, **settings):
        (tmp_path / "own.geo").write_text(text)
        (tmp_path / "case.toml").write_text(CASE.format(path=path))
        return meso.run(meso.Case.load("case.toml", settings))

    return solved


@pytest.mark.parametrize(
    "path", [pytest.param(1.0, marks=pytest.mark.thorough), 0.01], ids=["thin", "thinner"]
)
def test_ribbon_of_two_halves(solve, path):
    result = solve(HALVES, path)
    exact = Ribbon(
        width=100 * NM,
        diffusion_length=path * NM / 2,
        slip_rate=16 / (3 * np.pi * path * NM),
    )
    conductance = 20e-3 / 6 * exact.conductance_ratio
    assert result.contacts["source"].current / 1e-3 == pytest.approx(conductance, rel=1e-9)
    # Isotropic cells would be one and a hundred times 80,000.
    assert result.device.cells < 20_000
    y = np.concatenate([np.geomspace(0.01, 50, 40) * path, [20.0, 50.0]])
    y = y[y <= 50]
    for x in (40.0, 299.0, 520.0):
        found = result.sample(np.column_stack([np.full(len(y), x), y]) * NM)
        along = found["current_density"][:, 0]
        want = along[-1] * exact.current_density((y - 50) * NM) / exact.current_density(0.0)
        assert abs(along - want).max() < 2e-5 * along[-1]


def test_acute_corners_are_no_narrow_places(tmp_path):
    (tmp_path / "own.geo").write_text(SLANTED)
    layers = {"edges": meso.Layer(decay=1 * NM)}
    device = meso.Device.from_gmsh(tmp_path / "own.geo", length_unit="nm", layers=layers)
    assert device.cells < 9_000  # of isotropic ones 23,000


@pytest.mark.thorough
@pytest.mark.parametrize(("drawing", "cells"), [(CORNERS, 18_000), (SLANTED, 9_000)])
def test_corners(solve, drawing, cells):
    """As with cells of a higher degree, which are half as high."""
    results = [solve(drawing, 2.0, **{"flow.estimate": False, "flow.order": k}) for k in (4, 6)]
    assert results[0].device.cells < cells
    currents = [r.contacts["source"].current for r in results]
    assert currents[0] == pytest.approx(currents[1], rel=1e-7)
    moments = [
        np.array([s["orbital_moment_J_s_per_m"] for s in r.summary()["walls"]["edges"]["segments"]])
        for r in results
    ]
    assert abs(moments[0] - moments[1]).max() < 1e-5 * abs(moments[1]).max()
