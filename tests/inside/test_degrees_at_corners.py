"""What degrees leave of kinetic flow at re-entrant corners, at which it is singular."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from conftest import GEOMETRIES, mesh_file
from test_reentrant import ANGLE, BAR
from test_reentrant import drawn as angle_in_3d

from meso import Contact, Device, Material, Wall
from meso.evidence.convergence import _left_by
from meso.flow import Kinetic
from meso.observables.corners import rims

#: A channel of width 1 that turns left: at the inner corner the angle is 180 degrees and the turn.
KINK = """
d = {turn} * Pi / 180; t = Tan(d/2) / 2; l = 1.2 + t;
Point(1) = {{-l, -0.5, 0}}; Point(2) = {{t, -0.5, 0}};
Point(3) = {{l*Cos(d) + Sin(d)/2, l*Sin(d) - Cos(d)/2, 0}};
Point(4) = {{l*Cos(d) - Sin(d)/2, l*Sin(d) + Cos(d)/2, 0}};
Point(5) = {{-t, 0.5, 0}}; Point(6) = {{-l, 0.5, 0}};
For i In {{1:6}}
  Line(i) = {{i, i % 6 + 1}};
EndFor
Curve Loop(1) = {{1:6}}; Plane Surface(1) = {{1}};
Physical Surface("metal") = {{1}}; Physical Curve("walls") = {{1, 2, 4, 5}};
Physical Curve("drain") = {{3}}; Physical Curve("source") = {{6}};
Field[1] = Distance; Field[1].PointsList = {{5}};
Field[2] = MathEval; Field[2].F = "Min(0.3, {least} + 0.4*F1)"; Background Field = 2;
Mesh.MeshSizeFromPoints = 0; Mesh.MeshSizeExtendFromBoundary = 0;
"""
LAWS: dict[str, Any] = {
    "source": Contact(potential=1.0),
    "drain": Contact(potential=0.0),
    "walls": Wall(specularity=0.0),
}


def kink(folder: Path, turn: float, least: float = 0.3) -> Device:
    path = mesh_file(folder / f"kink{turn}_{least}.msh", KINK.format(turn=turn, least=least))
    return Device.from_gmsh(path, length_unit="m")


def left(device: Device, order: int, other: int, laws: dict[str, Any] = LAWS) -> float:
    flow: Any = SimpleNamespace(device=device, boundaries=laws)
    return _left_by(flow, order, other)


def current(device: Device, order: int) -> float:
    metal = Material(carriers="2d", conductivity=1.0, mean_free_path=2.0)
    flow = Kinetic(
        device, materials={"metal": metal}, boundaries=LAWS, harmonics=4, order=order
    ).solve()
    return flow.contacts["source"].current


@pytest.mark.parametrize("turn", [90, 60, 120])
def test_error_is_what_the_angle_says(tmp_path, turn):
    """Within a quarter, as degrees are few; 1.5 times the change would be half of it, or less.

    The reference has cells of 1e-4 at the corner, and errors fall as the power 2 - 2 pi/angle of
    these: 2 to 6 per cent of the error are left.
    """
    coarse, fine = kink(tmp_path, turn), kink(tmp_path, turn, 1e-4)
    three, four = (current(coarse, order) for order in (3, 4))
    told = left(coarse, 3, 4) * (four - three)
    assert told == pytest.approx(current(fine, 3) - three, rel=0.25)


def test_of_the_device(tmp_path):
    """The slowest corner counts, none that is graded, and no smooth wall."""
    assert left(kink(tmp_path, 90), 2, 3) == pytest.approx(1 / (1 - (2 / 3) ** (4 / 3)))
    assert left(kink(tmp_path, 90), 3, 2) == pytest.approx(1 / ((3 / 2) ** (4 / 3) - 1))
    assert left(kink(tmp_path, 30), 2, 3) == pytest.approx(1 / (1 - (2 / 3) ** (4 / 7)))
    graded, none = kink(tmp_path, 90, 1e-3), {name: LAWS["source"] for name in LAWS}
    for device, laws in ((graded, LAWS), (kink(tmp_path, 4), LAWS), (kink(tmp_path, 90), none)):
        assert left(device, 2, 3, laws) == 1.5
        assert left(device, 3, 2, laws) == 1.0
    ring = Device.from_gmsh(GEOMETRIES / "annulus.geo", length_unit="nm", size="60 nm")
    wall = Wall(specularity=0.0)
    assert left(ring, 2, 3, LAWS | {"inner": wall, "outer": wall}) == 1.5


def test_in_3d(tmp_path):
    """Edges of the length of a bar are corners of its section; heights are those of facets."""
    device = angle_in_3d(tmp_path / "bar.geo", ANGLE + BAR)
    assert left(device, 2, 3) == pytest.approx(1 / (1 - (2 / 3) ** (4 / 3)))
    found = rims(device)
    edges = found.height[found.angle > 185]
    assert len(edges) == 2
    assert (edges * device.extent < 30e-9).all()
    assert (edges * device.extent > 5e-9).all()
    # In layers of tetrahedra each facet at the edge is as high as its side across.
    points = found.ends[found.angle > 185] * device.extent
    np.testing.assert_allclose(points[..., :2], [[[30e-9, 40e-9]] * 2] * 2, rtol=1e-9)
