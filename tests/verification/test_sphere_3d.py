"""A Fermi sphere on 3D meshes: films, a square wire, turned devices, bounds, refusals.

References are Fuchs' film, the film in spherical harmonics up to L = N - 1, and a wire of square
section by integration over all directions, with sides of the length 1.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import GEOMETRIES, thorough
from test_sphere import FILMS, VOLT, metal, solved

import meso
from meso import CaseError, Contact, Device, Periodic, Wall
from meso.exact_kinetic import KineticFilm
from meso.flow import Hydrodynamic, conductance_bounds
from meso.orbital import edge_moments, orbital_density, vorticity

pytestmark = pytest.mark.verification

SIDE = 20e-9
FIELD = 1e6 * VOLT / SIDE  # sigma E
#: A cube between source and drain; layers are graded to bottom and top, cells to back and front.
BOX = """
DefineConstant[ nx = {2} ]; DefineConstant[ ny = {2} ]; DefineConstant[ nz = {6} ];
DefineConstant[ grading = {1.6} ]; DefineConstant[ bump = {1} ];
Point(1) = {0, -10, -10}; Point(2) = {0, 10, -10}; Line(1) = {1, 2};
Transfinite Curve {1} = 1 + ny Using Bump bump;
ones[] = {}; ends[] = {}; whole = 0; reached = 0;
For k In {0:nz - 1}
  whole += grading^((k < nz - 1 - k) ? k : nz - 1 - k);
EndFor
For k In {0:nz - 1}
  reached += grading^((k < nz - 1 - k) ? k : nz - 1 - k) / whole;
  ones[] += 1;
  ends[] += (k == nz - 1) ? 1 : reached;
EndFor
wall[] = Extrude {0, 0, 20} { Line{1}; Layers{ ones[], ends[] }; };
box[] = Extrude {20, 0, 0} { Surface{wall[1]}; Layers{ nx }; };
Physical Volume("metal") = {box[1]};
Physical Surface("source") = {wall[1]}; Physical Surface("drain") = {box[0]};
Physical Surface("bottom") = {box[2]}; Physical Surface("back") = {box[3]};
Physical Surface("top") = {box[4]}; Physical Surface("front") = {box[5]};
"""
WALLS = ("bottom", "top", "back", "front")
DRIVE = Periodic(to="drain", voltage=VOLT)
ENDS = {
    "source": Contact(potential=VOLT, law="reservoir"),
    "drain": Contact(potential=0.0, law="reservoir"),
}


@pytest.fixture(scope="module")
def box(tmp_path_factory):
    path: Path = tmp_path_factory.mktemp("box") / "box.geo"
    path.write_text(BOX)
    return lambda **parameters: Device.from_gmsh(path, length_unit="nm", parameters=parameters)


@pytest.mark.parametrize("solver", ["direct", "iterative"])
def test_first_degree_is_hydrodynamics(box, solver):
    """To the last digits, with reservoirs and walls of two specularities."""
    matter, device = metal(mean_free_path=8e-9), box()
    laws = {n: Wall(specularity=0.3 * (n in ("back", "top"))) for n in WALLS} | ENDS
    one = solved(device, matter, 2, 2, solver=solver, **laws)
    materials = dict.fromkeys(device.regions, matter)
    two = Hydrodynamic(
        device, materials=materials, boundaries=laws, order=2, solver="direct"
    ).solve()
    currents = [flow.contacts["source"].current for flow in (one, two)]
    assert currents[0] == pytest.approx(currents[1], rel=1e-11)


@pytest.mark.parametrize(
    ("sides", "p", "knudsen", "degree", "G", "centre", "wall"),
    [("periodic", *FILMS[0]), ("mirrors", *FILMS[1])],
)
def test_films(box, sides, p, knudsen, degree, G, centre, wall):
    """The same harmonics as exactly across the film; mirrors take few iterations as well."""
    device, matter = box(nz=10), metal(mean_free_path=knudsen * SIDE)
    laws = {"source": DRIVE, **dict.fromkeys(("bottom", "top"), Wall(specularity=p))}
    if sides == "periodic":
        laws["back"] = Periodic(to="front", voltage=0.0)
    else:
        laws |= dict.fromkeys(("back", "front"), Wall(specularity=1.0))
    flow = solved(device, matter, degree + 1, 2, solver="iterative", **laws)
    assert flow.periodic["source"].current / (FIELD * SIDE**2) == pytest.approx(G, abs=1e-4)
    middle, edge = flow.sample(np.array([[9e-9, 1e-9, 0.0], [9e-9, 1e-9, SIDE / 2 - 1e-18]]))[
        "current_density"
    ]
    np.testing.assert_allclose([middle[0] / FIELD, edge[0] / FIELD], [centre, wall], atol=5e-3)
    assert flow.evidence["iterations"] < 25


def test_moments_of_a_film(box):
    """Freed of what the last degrees leave at walls; along y, on both sides opposite."""
    matter = replace(metal(mean_free_path=0.5 * SIDE), orbital_coupling=1.0)
    walls = dict.fromkeys(("bottom", "top"), Wall(specularity=0.5))
    laws = {"source": DRIVE, "back": Periodic(to="front", voltage=0.0), **walls}
    flow = solved(box(nz=10), matter, 8, 2, **laws)
    exact = KineticFilm(width=1.0, mean_free_path=0.5, specularity=0.5).edge_step
    found = edge_moments(flow, orbital_density(flow, vorticity(flow)))
    for moment, sign in zip(found, (1, -1), strict=True):
        each = np.array(moment.moment) / (FIELD * SIDE**2)
        np.testing.assert_allclose(each, [0, sign * exact, 0], atol=0.02 * exact)


@pytest.mark.parametrize(
    ("knudsen", "last", "exact"),
    [
        (0.1, 4, 0.9275465806067464),
        thorough(0.1, 8, 0.9275465806067464),
        thorough(1.0, 16, 0.5173907989996984),
    ],
)
def test_square_wire(box, knudsen, last, exact):
    device, matter = box(ny=8, nz=8, grading=1.6, bump=0.1), metal(mean_free_path=knudsen * SIDE)
    laws = {"source": DRIVE, **dict.fromkeys(WALLS, Wall(specularity=0.0))}
    half, whole = (
        solved(device, matter, n, 2, **laws).periodic["source"].current / (FIELD * SIDE**2)
        for n in (last // 2, last)
    )
    assert whole + (whole - half) / 3 == pytest.approx(exact, rel=1e-3)


@pytest.mark.parametrize("p", [0.2, 0.99])
def test_turned_devices(box, p):
    """No direction is special: also not for the preconditioner of smooth walls."""
    device, matter = box(nz=4), metal(mean_free_path=SIDE)
    laws = dict.fromkeys(WALLS, Wall(specularity=p)) | ENDS
    axis, angle = np.array([[0, -3, 2], [3, 0, -1], [-2, 1, 0]]) / 14**0.5, 0.7
    turn = np.eye(3) + np.sin(angle) * axis + (1 - np.cos(angle)) * axis @ axis
    x = device.mesh.geometry.x
    turned = device.moved(x @ turn.T - x)
    one, two = (solved(d, matter, 4, 2, tolerance=1e-7, **laws) for d in (device, turned))
    assert two.contacts["source"].current == pytest.approx(one.contacts["source"].current, rel=1e-9)
    assert two.evidence["iterations"] < 60


def test_upper_bound(box):
    """Above the exact value, falling; there is no lower one."""
    device, matter = box(ny=4), metal(mean_free_path=SIDE)
    laws = {"source": DRIVE, **dict.fromkeys(WALLS, Wall(specularity=0.0))}
    flow = solved(device, matter, 4, 2, **laws)
    bounds = [conductance_bounds(flow, harmonics=n) for n in (4, 6)]
    exact = 0.5173907989996984 * 1e6 * SIDE
    assert exact < bounds[1].upper[0, 0] < bounds[0].upper[0, 0] < 1.1 * exact
    assert bounds[0].lower is None
    assert bounds[0].reason == "there is none in 3D"


def test_refusals(box, tmp_path):
    device, matter = box(), metal(mean_free_path=SIDE, fermi_wavevector=1e10)
    laws = dict.fromkeys(WALLS, Wall(specularity=0.0)) | ENDS
    with pytest.raises(CaseError, match="flow.magnetic_field: is for 2D meshes"):
        solved(device, matter, 4, 2, magnetic_field=1.0, **laws)
    (tmp_path / "case.toml").write_text(f"""
geometry = {{ file = "{GEOMETRIES / "wire.geo"}", length_unit = "nm" }}
materials.m = {{ carriers = "3d", conductivity = "1e6 S/m", mean_free_path = "9 nm" }}
regions.metal = "m"
boundaries.source.contact.potential = "1 V"
boundaries.drain.contact.potential = "0 V"
boundaries.surface.wall.specularity = 0.0
flow.model = "kinetic"
mesh = {{ size = "40 nm", wall_size = "40 nm", adapt = {{ target = "conductance" }} }}
""")
    case = meso.Case.load(tmp_path / "case.toml")
    with pytest.raises(CaseError, match=r"mesh\.adapt: adapts meshes of the kinetic model in 2D"):
        meso.run(case)
