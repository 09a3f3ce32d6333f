"""Fermi lines that are no circles: what a case says, Ohm's law, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import thorough
from test_cli import here, write_case  # noqa: F401 (here: a fixture)

import meso
from meso import Case, CaseError, Contact, FermiLine, Material, Periodic, Wall
from meso.flow import Hydrodynamic, Kinetic, Ohmic, Particles, conductance_bounds

NM, VOLT = 1e-9, 1e-3
STRIP = """
L = 10; n = 12;
Point(1) = {0, -50, 0}; Point(2) = {L, -50, 0}; Point(3) = {L, 50, 0}; Point(4) = {0, 50, 0};
Line(1) = {1, 2}; Line(2) = {2, 3}; Line(3) = {4, 3}; Line(4) = {1, 4};
Curve Loop(1) = {1, 2, -3, -4}; Plane Surface(1) = {1};
Periodic Curve {2} = {4} Translate {L, 0, 0};
Transfinite Curve {1, 3} = 2; Transfinite Curve {2, 4} = n Using Bump 0.1;
Transfinite Surface {1};
Physical Surface("metal") = {1}; Physical Curve("edges") = {1, 3};
Physical Curve("source") = {4}; Physical Curve("drain") = {2};
"""
#: A ribbon whose hexagon is no mirror image of itself: exact to ten digits (Milne problem).
HEXAGON = FermiLine(kind="hexagon", warping=0.05, angle=15)
CURRENT, WALL, SIDE = 0.2627077487186455, 0.2247699040978634, -0.034978789349 / 1.02244048159


#: What the case of the tests has and these must not.
PLAIN = {"materials.sheet.scattering": None, "flow.order": None}


@pytest.fixture(scope="module")
def strip(tmp_path_factory) -> meso.Device:
    path = tmp_path_factory.mktemp("strip") / "strip.geo"
    path.write_text(STRIP)
    return meso.Device.from_gmsh(path, length_unit="nm", order=3)


def matter(line: FermiLine | None, path: float = 100 * NM, **more: object) -> Material:
    values = {"conductivity": 0.05, "mean_free_path": path, "fermi_wavevector": 1e8}
    return Material(name="sheet", carriers="2d", fermi_line=line, **values | more)  # type: ignore[arg-type]


def flow(model, strip, material, p=0.0, **options):
    laws = {"source": Periodic(to="drain", voltage=VOLT), "edges": Wall(specularity=p)}
    return model(strip, materials={"metal": material}, boundaries=laws, **options).solve()


def current(found) -> float:
    """Over that of the conductivity."""
    return found.periodic["source"].current / (0.05 * VOLT * 100 / 10)


def bulk(material: Material) -> float:
    """The same of a wide ribbon: sigma_xx - sigma_xy^2/sigma_yy over the conductivity."""
    k = material.conductivity_tensor
    return 1.0 if k is None else float(k[0, 0] - k[0, 1] ** 2 / k[1, 1])


def test_ohm(strip):
    """The bulk of a ribbon along a low axis, its transverse field and its heat."""
    material = matter(FermiLine(kind="ellipse", ratio=2, angle=15))
    found = flow(Ohmic, strip, material)
    assert current(found) == pytest.approx(bulk(material), rel=1e-12)
    k = material.conductivity_tensor
    levels = found.sample(np.array([[5, -40], [5, 40]]) * NM)["potential"]
    field = VOLT / (10 * NM)
    assert np.diff(levels)[0] == pytest.approx(field * k[0, 1] / k[1, 1] * 80 * NM, rel=1e-9)
    # The axes of the ellipse are those of the ribbon.
    back = matter(FermiLine(kind="ellipse", ratio=2))
    wanted = 2 * 4 / (1 + 4)  # v_x is twice v_y
    assert current(flow(Ohmic, strip, back)) == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize("solver", ["direct", thorough("iterative")])
def test_kinetic_ribbon(strip, solver):
    """Many harmonics approach the exact ribbon from below; the bounds hold it."""
    material = matter(HEXAGON, 500 * NM)
    found = [flow(Kinetic, strip, material, harmonics=n, solver=solver) for n in (8, 16)]
    few, many = (CURRENT - current(f) / bulk(material) for f in found)
    assert 0 < many < 0.35 * few
    assert many < 0.0087
    # Current at the wall, and the potential that there is without any Hall effect.
    there = found[1].sample(np.array([[5, 0], [5, 40], [5, 49.9999]]) * NM)
    wall = there["current_density"][2, 0] / (0.05 * VOLT / (10 * NM)) / bulk(material)
    assert wall == pytest.approx(WALL, abs=0.012)
    side = np.diff(there["potential"])[0] / (VOLT / (10 * NM)) / (500 * NM)
    assert side == pytest.approx(SIDE, abs=2e-3)
    if solver == "direct":
        bounds = conductance_bounds(found[1])
        unit = 0.05 * 100 / 10 * bulk(material)
        assert bounds.lower[0, 0] < CURRENT * unit < bounds.upper[0, 0]


@pytest.mark.parametrize("p", [0.5, thorough(0.0)])
def test_ellipse_is_a_mapped_circle(strip, p):
    """Kn_eff = tau sqrt(2 K_yy)/W, whatever N, walls and orientation."""
    ellipse = FermiLine(kind="ellipse", ratio=2, angle=15)
    k = matter(ellipse).conductivity_tensor
    # tau over the mean free path, and the velocity across.
    phase = 2 * np.pi * np.arange(4096) / 4096
    speed = np.hypot(np.cos(phase), np.sin(phase) / 2)
    factor = speed.mean() / np.sqrt((speed**2).mean()) * np.sqrt(k[1, 1])
    circle = matter(None, 100 * NM * factor)
    one, two = (
        current(flow(Kinetic, strip, material, p, harmonics=8, order=6))
        for material in (matter(ellipse), circle)
    )
    assert one / bulk(matter(ellipse)) == pytest.approx(two, abs=1e-8)


@pytest.mark.parametrize(
    ("line", "p", "exact"),
    [
        (HEXAGON, 1.0, 0.961),
        thorough(HEXAGON, 0.5, 0.7824),
        thorough(FermiLine(kind="ellipse", ratio=2, angle=15), 0.0, 0.7395213353749699),
    ],
)
def test_particles(strip, line, p, exact):
    """As many harmonics, or the exact ribbon; also where a mirror changes the velocity along it."""
    found = flow(Particles, strip, matter(line), p, tolerance=0.05, seed=1)
    error = found.counted.errors[0, 0] / (0.05 * 100 / 10)
    assert abs(current(found) - exact * bulk(matter(line))) < 3 * error


@pytest.mark.parametrize(
    ("line", "harmonics", "exact"),
    [(FermiLine(kind="hexagon", warping=0.05), 8, 1.0), thorough(HEXAGON, 32, 0.961)],
)
def test_specular_walls(strip, line, harmonics, exact):
    """They stop nothing if the line is its own mirror image."""
    found = flow(Kinetic, strip, matter(line), 1.0, harmonics=harmonics, order=2)
    assert current(found) == pytest.approx(exact, abs=1e-3 if exact < 1 else 1e-6)


def test_magnetic_field(strip):
    """A rotation of the phase: Onsager's symmetry, and holes turn as electrons in -B."""
    phi = 2 * np.pi * np.arange(240) / 240
    f = 1 + 0.05 * np.cos(6 * (phi - np.pi / 12))
    slope = -0.3 * np.sin(6 * (phi - np.pi / 12))
    speed = np.hypot(1 / f, slope / f**2)
    holes = FermiLine(points=tuple(zip(f * np.cos(phi), f * np.sin(phi), -speed, strict=True)))
    options = {"harmonics": 8, "order": 2, "solver": "direct"}
    up, down, other = (
        flow(Kinetic, strip, matter(line), magnetic_field=b, **options)
        for line, b in ((HEXAGON, 0.5), (HEXAGON, -0.5), (holes, -0.5))
    )
    assert current(up) == pytest.approx(current(down), rel=1e-8)
    side = [f.sample(np.array([[5, -40], [5, 40]]) * NM)["potential"] for f in (up, down, other)]
    hall = [np.diff(s)[0] for s in side]
    assert hall[0] == pytest.approx(hall[2], rel=1e-3)
    assert hall[0] * hall[1] < 0


def test_case(tmp_path):
    """From a file, with points in another one; a result tells what it was made of."""
    phi = np.linspace(0, 2 * np.pi, 61)
    rows = [f"{2 * np.cos(p)},{np.sin(p)},{np.hypot(np.cos(p), 2 * np.sin(p))}" for p in phi]
    (tmp_path / "line.csv").write_text("kx,ky,v\n" + "\n".join(rows))
    lines = {
        "points": {"points": str(tmp_path / "line.csv"), "angle": "30 deg"},
        "kind": {"kind": "ellipse", "ratio": 0.5, "angle": "30 deg"},
    }
    found = {}
    for name, line in lines.items():
        changes = {"materials.sheet.fermi_line": line, "flow.model": "ohmic", **PLAIN}
        changes["materials.sheet.orientation"] = {"angle": 20}
        case = Case.load(write_case(**changes))
        found[name] = case.materials["sheet"].conductivity_tensor
        assert Case.from_dict(case.to_dict()).hash == case.hash
    np.testing.assert_allclose(found["points"], found["kind"], rtol=1e-3)
    turn = np.deg2rad(50)
    axis = np.array([np.cos(turn), np.sin(turn)])
    assert axis @ found["kind"] @ axis == pytest.approx(2 / (1 + 4))  # the long axis is slow


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"flow.model": "hydrodynamic"}, "flow.harmonics = 2"),
        ({"materials.sheet.fermi_line": {"kind": "hexagon"}}, "missing; the hexagon needs it"),
        ({"materials.sheet.fermi_line": {}}, 'give kind = "ellipse" or "hexagon", or points'),
        ({"materials.sheet.fermi_line": {"points": "no.csv"}}, "no such file"),
        ({"materials.sheet.scattering": "radial-tangential"}, "one relaxation time"),
        ({"materials.sheet.orientation": {"angle": 9, "axis": [1, 0, 0]}}, "must be along z"),
    ],
)
def test_refused(changes, text):
    line = {"materials.sheet.fermi_line": {"kind": "hexagon", "warping": 0.03}}
    more = {"materials.sheet.fermi_wavevector": "1e8 1/m", "flow.model": "kinetic", **PLAIN}
    with pytest.raises(CaseError, match="fermi_line|orientation|scattering") as error:
        Case.load(write_case(**line | more | changes))
    assert text in str(error.value)


def test_one_line_for_all():
    sheet = {"carriers": "2d", "conductivity": "1 S", "mean_free_path": "9 nm"}
    changes = {"materials.other": sheet, "regions.more": "other", "flow.model": "kinetic", **PLAIN}
    changes["materials.sheet.fermi_line"] = {"kind": "hexagon", "warping": 0.03}
    with pytest.raises(CaseError, match="all regions must have the same"):
        Case.load(write_case(**changes))


def test_hydrodynamic_model(strip):
    one = matter(HEXAGON)
    laws = {
        "source": Contact(potential=1.0),
        "drain": Contact(potential=0.0),
        "edges": Wall(specularity=0.0),
    }
    with pytest.raises(CaseError, match="tensors of this Fermi line"):
        Hydrodynamic(strip, materials={"metal": one}, boundaries=laws)


def test_line_of_a_bloch_model():
    """Of an electron gas: a circle; with both spin-orbit terms the diagonals are its axes."""
    plain = meso.bands.models.ElectronGas(exchange=0.5)
    assert matter(FermiLine.from_bands(plain, energy=0.2)).conductivity_tensor is None
    mixed = meso.bands.models.ElectronGas(exchange=0.5, rashba=0.4, dresselhaus=0.2)
    k = matter(FermiLine.from_bands(mixed, energy=0.2)).conductivity_tensor
    assert k[0, 0] == pytest.approx(1.0, abs=1e-6)
    assert abs(k[0, 1]) > 0.01
    with pytest.raises(CaseError, match="found 2 Fermi lines"):
        FermiLine.from_bands(mixed, energy=2.0)
