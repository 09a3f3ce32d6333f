"""A Fermi sphere on 3D meshes: films, a square wire, magnetic fields, turned devices, bounds.

References are Fuchs' film, the film in spherical harmonics up to L = N - 1, and a wire of square
section by integration over all directions, with sides of the length 1.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import gmsh
import numpy as np
import pytest
from conftest import GEOMETRIES, gmsh_session, thorough
from test_sphere import FILMS, LENGTH, VOLT, WIDTH, metal, solved, strip

import meso
from meso import CaseError, Contact, Device, Periodic, Wall
from meso.exact_kinetic import KineticFilm
from meso.flow import Hydrodynamic, conductance_bounds
from meso.orbital import edge_moments, orbital_density, vorticity

__all__ = ["strip"]  # the fixture
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


def test_moments_in_coarse_cells(box):
    """Between mirrors, of two harmonics in closed form: corner cells are divided among walls."""
    knudsen, length = 3.8, 3.8 / 5**0.5
    matter = replace(metal(mean_free_path=knudsen * SIDE), orbital_coupling=1.0)
    walls = dict.fromkeys(("bottom", "top"), Wall(specularity=0.0))
    mirrors = dict.fromkeys(("back", "front"), Wall(specularity=1.0))
    device = box(nx=1, nz=3, grading=1)
    flow = solved(device, matter, 2, 2, source=DRIVE, **walls, **mirrors)
    s, weight = np.polynomial.legendre.leggauss(20)
    part = 1 / (1 + np.tanh(0.5 / length) / (15 / (8 * knudsen) * length))
    # What is nearest to the bottom is a triangle; a mirror's own share cancels.
    step = np.cosh(0.5 / length) - weight / 2 @ np.cosh((1 - s) / 4 / length)
    exact = part * step / np.cosh(0.5 / length)
    for moment in edge_moments(flow, orbital_density(flow, vorticity(flow))):
        sign = {"bottom": 1, "top": -1}.get(moment.wall, 0)
        each = np.array(moment.moment) / (FIELD * SIDE**2)
        np.testing.assert_allclose(each, [0, sign * exact, 0], atol=2e-3 * exact)


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


AXIS = np.array([[0, -3, 2], [3, 0, -1], [-2, 1, 0]]) / 14**0.5
TURN = np.eye(3) + np.sin(0.7) * AXIS + (1 - np.cos(0.7)) * AXIS @ AXIS


def turned(device: Device) -> Device:
    x = device.mesh.geometry.x
    return device.moved(x @ TURN.T - x)


@pytest.mark.parametrize("p", [0.2, 0.99])
def test_turned_devices(box, p):
    """No direction is special: also not for the preconditioner of smooth walls."""
    device, matter = box(nz=4), metal(mean_free_path=SIDE)
    laws = dict.fromkeys(WALLS, Wall(specularity=p)) | ENDS
    one, two = (solved(d, matter, 4, 2, tolerance=1e-7, **laws) for d in (device, turned(device)))
    assert two.contacts["source"].current == pytest.approx(one.contacts["source"].current, rel=1e-9)
    assert two.evidence["iterations"] < 60


MAGNETIC = metal(mean_free_path=0.5 * SIDE, fermi_wavevector=1e10)


@pytest.mark.parametrize(("harmonics", "solver"), [(2, "direct"), (2, "iterative"), (4, "auto")])
def test_uniform_flow_in_a_field(box, harmonics, solver):
    """Between mirrors sigma E = J + (lambda/R_c) J x b, with a Hall field along z alone."""
    b, B = np.array([0.3, -0.5, 0.8]), 200.0
    laws = {"source": DRIVE, "back": Periodic(to="front", voltage=0.0)}
    laws |= dict.fromkeys(("bottom", "top"), Wall(specularity=1.0))
    more = {"magnetic_field": B, "magnetic_direction": tuple(b), "tolerance": 1e-8}
    flow = solved(box(nz=4), MAGNETIC, harmonics, 2, solver=solver, **more, **laws)
    t = MAGNETIC.turning(B)
    force = np.eye(3) + t * np.array([np.cross(one, b) for one in np.eye(3)]).T / np.linalg.norm(b)
    force[:, 2] = 0, 0, -1  # J_z = 0, E_z is unknown
    x, y, hall = np.linalg.solve(force, [1, 0, 0])
    currents = [flow.periodic[n].current / (FIELD * SIDE**2) for n in ("source", "back")]
    assert currents == pytest.approx([x, -y], rel=1e-9)  # it enters at the back
    low, high = flow.sample(np.array([[9e-9, 1e-9, -5e-9], [9e-9, 1e-9, 5e-9]]))["potential"]
    assert (low - high) / 10e-9 * 1e6 / FIELD == pytest.approx(hall, rel=1e-8)


def test_films_in_a_field_across(box):
    """Fuchs' film with (1 + i lambda/R_c)/lambda (E. Sondheimer 1950), and its closed form."""
    B, knudsen = 100.0, 0.5
    t = MAGNETIC.turning(B)
    laws = {"source": DRIVE, "back": Periodic(to="front", voltage=0.0)}
    laws |= dict.fromkeys(("bottom", "top"), Wall(specularity=0.0))
    device, found = box(nz=10), []
    for n in (2, 4, 8):
        flow = solved(device, MAGNETIC, n, 2, solver="iterative", magnetic_field=B, **laws)
        x, y = (flow.periodic[name].current / (FIELD * SIDE**2) for name in ("source", "back"))
        found.append(x + 1j * y)
    length, k = knudsen / 5**0.5, (1 + 1j * t) * 5**0.5 / knudsen
    wall = 1 + 8 / (3 * knudsen) * length * np.tanh(k / 2)
    two = (1 - 2 / k * np.tanh(k / 2) / wall) / (1 + 1j * t)
    assert abs(found[0] - two) < 1e-5 * abs(two)
    points, weights = np.polynomial.legendre.leggauss(200)
    mu, path = (points + 1) / 2, knudsen / (1 + 1j * t)
    lost = weights / 2 @ ((mu - mu**3) * (1 - np.exp(-1 / (path * mu))))
    exact = (1 - 1.5 * path * lost) / (1 + 1j * t)
    errors = np.abs(np.array(found) - exact)
    assert errors[2] < errors[1] / 2.5 < errors[0] / 8
    assert errors[2] < 2e-3


def test_films_in_a_field_along(box, strip):
    """Across the current: as in a section; and along it, where there is no Hall field."""
    laws = {"source": DRIVE, "back": Periodic(to="front", voltage=0.0)}
    laws |= dict.fromkeys(("bottom", "top"), Wall(specularity=0.2))
    device, B = box(nz=10), 300.0
    plane, across, along = (
        solved(device, MAGNETIC, 4, 2, magnetic_field=B, magnetic_direction=d, **laws)
        for d in ((0, -1, 0), (0, 1, 0), (1, 0, 0))
    )
    section = solved(
        strip,
        metal(mean_free_path=0.5 * WIDTH, fermi_wavevector=1e10),
        *(4, 4),
        magnetic_field=B * SIDE / WIDTH,
        source=DRIVE,
        edges=Wall(specularity=0.2),
    ).periodic["source"]
    expected = section.current / (1e6 * VOLT * WIDTH / LENGTH)
    for flow in (plane, across):
        assert flow.periodic["source"].current / (FIELD * SIDE**2) == pytest.approx(
            expected, rel=1e-5
        )
        assert abs(flow.periodic["back"].current) < 1e-6 * FIELD * SIDE**2
    assert along.periodic["source"].current < 0.995 * across.periodic["source"].current


def test_a_strong_field(box):
    """N lambda/R_c = 40: the iteration ends, where the direct solution is."""
    device, b = box(nx=1, ny=1, nz=3), np.array([0.6, -0.64, 0.48])
    laws = ENDS | dict.fromkeys(WALLS, Wall(specularity=0.0))
    given = {"magnetic_field": 10 / MAGNETIC.turning(1.0), "magnetic_direction": tuple(b)}
    one, two = (
        solved(device, MAGNETIC, 4, 2, solver=solver, **given, **laws)
        for solver in ("direct", "iterative")
    )
    assert two.evidence["iterations"] > 60
    np.testing.assert_allclose(
        one.conductance_matrix, two.conductance_matrix, atol=1e-5 * one.conductance_matrix[0, 0]
    )


def test_onsager(box):
    """G(B) is the transpose of G(-B); device and field may be turned together."""
    device, b, B = box(nz=4), np.array([0.6, -0.64, 0.48]), 200.0
    laws = {n: Contact(potential=0.0) for n in ("source", "drain", "top")}
    laws |= dict.fromkeys(("back", "bottom", "front"), Wall(specularity=0.3))
    one, two, three = (
        solved(
            *(d, MAGNETIC, 4, 2),
            **{"magnetic_field": field, "magnetic_direction": tuple(axis), "tolerance": 1e-8},
            **laws,
        ).conductance_matrix
        for d, field, axis in ((device, B, b), (device, -B, b), (turned(device), B, TURN @ b))
    )
    assert np.abs(one - one.T).max() > 0.01 * one.max()
    np.testing.assert_allclose(one, two.T, atol=1e-9 * one.max())
    np.testing.assert_allclose(one, three, atol=1e-9 * one.max())


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


def test_refusals(box, strip, tmp_path):
    laws = dict.fromkeys(WALLS, Wall(specularity=0.0)) | ENDS
    with pytest.raises(CaseError, match="magnetic_direction: .* must not vanish"):
        solved(box(), MAGNETIC, 4, 2, magnetic_field=1.0, magnetic_direction=(0, 0, 0), **laws)
    walls = {"source": DRIVE, "edges": Wall(specularity=0.0)}
    with pytest.raises(CaseError, match="a field in its plane would drive carriers out of it"):
        solved(strip, MAGNETIC, 4, magnetic_field=1.0, magnetic_direction=(1, 0, 1), **walls)
    with pytest.raises(CaseError, match=r"flow\.bounds: there are none in a magnetic field"):
        conductance_bounds(solved(box(), MAGNETIC, 2, 2, magnetic_field=1.0, **laws))
    (tmp_path / "case.toml").write_text(f"""
geometry = {{ file = "{GEOMETRIES / "wire.geo"}", length_unit = "nm" }}
materials.m = {{ carriers = "3d", conductivity = "1e6 S/m", mean_free_path = "9 nm" }}
regions.metal = "m"
boundaries.source.contact.potential = "1 V"
boundaries.drain.contact.potential = "0 V"
boundaries.surface.wall.specularity = 0.0
flow.model = "kinetic"
mesh = {{ size = "40 nm", wall_size = "40 nm", adapt = {{ target = "dissipated_power" }} }}
""")
    case = meso.Case.load(tmp_path / "case.toml")
    with pytest.raises(CaseError, match=r'target: found "dissipated_power"; with the kinetic'):
        meso.run(case)


@pytest.mark.thorough
def test_adapted_to_a_reentrant_edge(tmp_path):
    """Half of the error of a uniform mesh with as many cells; estimates cover the errors."""
    drawing, walls = GEOMETRIES / "step.geo", ("surfaces", "sides", "step")
    parameters = {"length": 100, "width": 40, "width2": 40, "thickness": 40, "thickness2": 20}
    ends = {n: {"contact": {"potential": v}} for n, v in (("source", 1.0), ("drain", 0.0))}
    tables = {
        "geometry": {"file": str(drawing), "length_unit": "nm", "parameters": parameters},
        "materials": {"m": {"carriers": "3d", "conductivity": 1e7, "mean_free_path": 20e-9}},
        "regions": {"metal": "m"},
        "boundaries": ends | {n: {"wall": {"specularity": 0.0}} for n in walls},
        "flow": {"model": "kinetic", "harmonics": 4, "estimate": False},
        "mesh": {"adapt": {"target": "conductance", "steps": 1}},
    }
    done = meso.run(meso.Case.from_dict(tables)).adaptivity
    # Degree 3: 0.049296 on 546 cells, 0.049257 on 2454.
    exact = 0.04921
    errors = [abs(step.value / exact - 1) for step in done.steps]
    for error, step in zip(errors, done.steps, strict=True):
        assert 2 < step.estimate / error < 12
    assert errors[1] < 0.75 * errors[0]
    with gmsh_session():
        for name, value in parameters.items():
            gmsh.onelab.setNumber(f"Parameters/{name}", [value])
        gmsh.open(str(drawing))
        for limit in ("Min", "Max"):
            gmsh.option.setNumber(f"Mesh.MeshSize{limit}", 5.0)
        gmsh.model.mesh.generate(3)
        gmsh.write(str(tmp_path / "step.msh"))
    device = Device.from_gmsh(tmp_path / "step.msh", length_unit="nm", order=2)
    laws = ENDS | dict.fromkeys(walls, Wall(specularity=0.0))
    flow = solved(device, replace(metal(mean_free_path=20e-9), conductivity=1e7), 4, 2, **laws)
    assert device.cells > 0.9 * done.steps[1].cells
    uniform = flow.conductance_matrix[0, 0]
    assert abs(uniform / exact - 1) > 1.5 * errors[1]
