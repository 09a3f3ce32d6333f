"""Wires along their axis: exact sections, films, bounds, the hydrodynamic limit.

The exact square has diffuse walls: J/(sigma E) = 1 - <3 v_z^2 exp(-s/lambda)>, with s the length
back to the wall, by quadrature over directions and the section (to 1e-11).
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import mesh_file

import meso
from meso import Case, CaseError, Device, Material, Wall
from meso.cli import main
from meso.exact import RoundWire
from meso.exact_kinetic import KineticFilm
from meso.flow import Wire

pytestmark = pytest.mark.verification

SQUARE = """SetFactory("OpenCASCADE");
Rectangle(1) = {-0.5, -0.5, 0, 1, 1};
Physical Surface("metal") = {1};
Physical Curve("wall") = {1, 3};
Physical Curve("side") = {2, 4};
Mesh.MeshSizeMin = 0.05; Mesh.MeshSizeMax = 0.25;
Field[1] = Distance; Field[1].CurvesList = {1, 2, 3, 4}; Field[1].Sampling = 100;
Field[2] = MathEval; Field[2].F = "0.05 + 0.5*F1"; Background Field = 2;
Mesh.MeshSizeFromPoints = 0; Mesh.MeshSizeExtendFromBoundary = 0;
"""
DISC = """SetFactory("OpenCASCADE");
Disk(1) = {0, 0, 0, 0.5};
Physical Surface("metal") = {1};
Physical Curve("wall") = {1};
Mesh.MeshSizeMin = 0.1; Mesh.MeshSizeMax = 0.1;
"""
# lambda/a, I over Drude's, moment of a side over kappa sigma E a.
EXACT = [
    (0.1, 0.9275465806067464, 0.4547367717637626),
    (1.0, 0.5173907989996984, 0.20162883634197282),
    (5.0, 0.17319251946372205, 0.053806361149774114),
]


FIELD, SIGMA = 3.0, 2.0


def drawn(folder: Path, text: str, degree: int = 1) -> Path:
    (folder / "section.geo").write_text(text)
    return mesh_file(folder / "section.msh", folder / "section.geo", degree=degree)


@pytest.fixture(scope="module")
def square(tmp_path_factory) -> Path:
    return drawn(tmp_path_factory.mktemp("square"), SQUARE)


@pytest.fixture(scope="module")
def section(square) -> Device:
    return Device.from_gmsh(square, length_unit="m", order=3)


@pytest.fixture(scope="module")
def disc(tmp_path_factory) -> Path:
    return drawn(tmp_path_factory.mktemp("disc"), DISC, 2)


def case(mesh: Path, wall: dict, names: tuple[str, ...], material: dict, **flow) -> Case:
    return Case.from_dict(
        {
            "geometry": {"file": str(mesh), "length_unit": "m"},
            "materials": {
                "m": {
                    "carriers": "3d",
                    "conductivity": SIGMA,
                    "orbital_coupling": 1.0,
                    **material,
                }
            },
            "regions": {"metal": "m"},
            "boundaries": {name: {"wall": wall} for name in names},
            "flow": {"along": "z", "field": FIELD, **flow},
        }
    )


def kinetic(mesh: Path, path: float, harmonics: int | str, p: float = 0.0, **flow) -> Case:
    wish = {"model": "kinetic", "harmonics": harmonics, **flow}
    return case(mesh, {"specularity": p}, ("wall", "side"), {"mean_free_path": path}, **wish)


def wire(section: Device, path: float, harmonics: int, p: float = 0.0, side: float = 1.0) -> Wire:
    material = Material(carriers="3d", conductivity=SIGMA, mean_free_path=path)
    walls = {"wall": Wall(specularity=p), "side": Wall(specularity=side)}
    return Wire(section, materials={"metal": material}, boundaries=walls, harmonics=harmonics)


def agrees(found, current: float, moment: float) -> None:
    """What is exact is within the estimated errors, and between the bounds."""
    relative = found.conductance_error / found.conductance
    assert abs(found.relative_conductivity / current - 1) < relative
    assert found.bounds[0] < SIGMA * current < found.bounds[1]
    assert len(found.edge_moments) == 4
    for piece in found.edge_moments:
        assert abs(piece.moment - moment * SIGMA * FIELD) < piece.error


@pytest.mark.parametrize(("path", "current", "moment"), EXACT)
def test_square(square, section, path, current, moment):
    found = meso.wire(kinetic(square, path, "auto"), device=section)
    agrees(found, current, moment)
    assert found.flow.free
    assert found.conductance_error < 2e-4 * found.conductance
    assert found.relative_conductivity == pytest.approx(current, rel=1e-5)
    for piece in found.edge_moments:
        assert piece.error < 1e-3 * piece.moment
        assert piece.moment == pytest.approx(moment * SIGMA * FIELD, rel=2e-4)
    assert found.current == found.conductance * FIELD


def dingle(radius: float, path: float, p: float) -> float:
    """I/(sigma E pi R^2) of R. B. Dingle: chords D at distances b R from the axis."""
    b, weight = np.polynomial.legendre.leggauss(80)
    chord = 2 * radius * np.sqrt(1 - ((b + 1) / 2) ** 2) / path
    t = np.arange(-20, 20, 0.05)

    def lost(s: np.ndarray) -> np.ndarray:
        """Ki_3 - Ki_5 of Bickley."""
        return 0.025 * np.exp(-s[:, None] * np.cosh(t)) @ (np.cosh(t) ** -3.0 - np.cosh(t) ** -5.0)

    total = sum(p**k * (lost(k * chord) - lost((k + 1) * chord)) for k in range(40))
    return 1 - 3 * path / (np.pi * radius) * (1 - p) * float(weight @ total)


def test_round_wire_by_free_flights(tmp_path):
    drawn(tmp_path, DISC.replace("0.1", "0.25"), 1)
    tables = kinetic(tmp_path / "section.geo", 0.5, "auto", 0.5, tolerance=1e-2).to_dict()
    tables["boundaries"] = {"wall": tables["boundaries"]["wall"]}
    found = meso.wire(Case.from_dict(tables | {"mesh": {"size": 0.25}}))
    exact = dingle(0.5, 0.5, 0.5)
    assert found.relative_conductivity == pytest.approx(exact, rel=1e-4)
    assert abs(found.relative_conductivity - exact) < found.conductance_error


def without_flights(mesh: Path, path: float, harmonics: int, p: float = 0.0) -> Case:
    """As if carriers did not all scatter alike."""
    tables = kinetic(mesh, path, harmonics, p).to_dict()
    tables["materials"]["m"]["scattering"] = {"gamma3": 1 + 1e-9}
    return Case.from_dict(tables)


def test_square_by_harmonics(square, section):
    path, current, moment = EXACT[1]
    found = meso.wire(without_flights(square, path, 8), device=section)
    assert not found.flow.free
    agrees(found, current, moment)
    assert found.conductance_error < 1.5e-2 * found.conductance
    assert all(piece.error < 0.05 * piece.moment for piece in found.edge_moments)


@pytest.mark.thorough
@pytest.mark.parametrize(("path", "current", "moment"), EXACT)
def test_square_many_harmonics(square, section, path, current, moment):
    found = meso.wire(without_flights(square, path, 32), device=section)
    agrees(found, current, moment)
    assert found.relative_conductivity == pytest.approx(current, rel=3e-4)
    for piece in found.edge_moments:
        assert piece.error < 0.1 * piece.moment
        # Where cells at walls are half a mean free path, they limit moments: the error tells.
        if path >= 1:
            assert piece.moment == pytest.approx(moment * SIGMA * FIELD, rel=4e-3)


@pytest.mark.thorough
@pytest.mark.parametrize(("section", "count"), [("rectangle", 40), ("disc", 8)])
def test_coverage(section, count):
    """The table of docs/verification.md: estimates cover 95 % of drawn wires."""
    script = Path(__file__).parents[2] / "benchmarks" / "wire_errors.py"
    options = ["--seed", "1", "--count", str(count), "--section", section]
    done = subprocess.run([sys.executable, script, *options], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if "covered" in line]
    for line in lines:
        covered, of = (int(word) for word in line.split() if word.isdigit())
        assert of == count
        assert covered >= 0.95 * count, line
    assert len(lines) == 2


@pytest.mark.parametrize("p", [0.0, 0.5])
def test_film_between_mirrors(section, p):
    # Specular side walls make a film of the square.
    flow = wire(section, 0.5, 6, p).solve(upper=True)
    exact = KineticFilm(width=1.0, mean_free_path=0.5, specularity=p).conductance
    assert flow.bulk == pytest.approx(SIGMA, rel=1e-12)
    assert flow.conductance < SIGMA * exact < flow.upper < 1.02 * flow.conductance


def test_film_of_seven_degrees(section):
    # Of the film in harmonics up to L = 7, solved across it (lambda = d/10).
    flow = wire(section, 0.1, 8).solve()
    assert flow.conductance / SIGMA == pytest.approx(0.9621877819969773, abs=2e-5)
    middle = flow.device.sample(flow.current_density.function(), np.zeros((1, 2)))[0]
    assert middle / SIGMA == pytest.approx(0.9996801365961865, abs=5e-6)  # the mesh


def test_two_harmonics_are_hydrodynamic(section):
    path, p = 0.7, 0.3
    one = wire(section, path, 2, p, p).solve()
    slip = 8 * path / 15 * (1 + p) / (1 - p)
    material = Material(
        carriers="3d", conductivity=SIGMA, vorticity_diffusion_length=path / np.sqrt(5)
    )
    walls = dict.fromkeys(section.boundaries, Wall(slip_length=slip))
    two = Wire(section, materials={"metal": material}, boundaries=walls, harmonics=None).solve()
    assert two.conductance == pytest.approx(one.conductance, rel=1e-12)
    fields = (flow.current_density.function().x.array for flow in (one, two))
    np.testing.assert_allclose(*fields, rtol=1e-10)


@pytest.mark.parametrize("slip", [0.2, 0.0])
def test_round_wire(disc, slip):
    material = {"vorticity_diffusion_length": 0.15}
    wall = {"slip_length": slip}
    found = meso.wire(case(disc, wall, ("wall",), material, model="hydrodynamic"))
    rate = 1 / slip if slip else np.inf
    exact = RoundWire(radius=0.5, diffusion_length=0.15, slip_rate=rate, drive=SIGMA)
    r, weight = np.polynomial.legendre.leggauss(40)
    r, weight = (r + 1) / 4, weight / 4
    current, edge = exact.current_density(r), exact.current_density(np.array([0.5]))[0]
    # Arcs of degree two.
    total = 2 * np.pi * (weight * r * current).sum()
    assert found.conductance == pytest.approx(total, rel=1e-5)
    moment = 2 * np.pi * ((weight * current).sum() - 0.5 * edge) * FIELD
    (piece,) = found.edge_moments
    assert piece.moment == pytest.approx(moment, rel=2e-4)


def test_given_current_and_files(square, section, tmp_path):
    given = kinetic(square, 0.5, 4)
    tables = given.to_dict()
    del tables["flow"]["field"]
    found = meso.wire(Case.from_dict(tables | {"flow": tables["flow"] | {"current": 2.0}}))
    assert found.current == pytest.approx(2.0, rel=1e-12)
    assert found.field == pytest.approx(2.0 / found.conductance, rel=1e-12)
    other = meso.wire(given, device=section)
    one, two = (each.flow.current_density.function().x.array for each in (found, other))
    np.testing.assert_allclose(one / found.field, two / FIELD, rtol=1e-10)
    found.save(tmp_path / "out", figures=True)
    record = json.loads((tmp_path / "out" / "wire.json").read_text())
    assert record["current_A"] == found.current
    rows = np.genfromtxt(tmp_path / "out" / "walls.csv", delimiter=",", names=True)
    assert rows["current_density_z_A_per_m2"].max() < SIGMA * found.field / 2
    names = ("current_density_z.png", "edges.png")
    drawn = [tmp_path / "out" / "figures" / name for name in names]
    before = [path.read_bytes() for path in drawn]
    assert all(len(each) > 10_000 for each in before)
    for path in drawn:
        path.unlink()
    assert main(["plot", str(tmp_path / "out")]) == 0
    assert [path.read_bytes() for path in drawn] == before
    text = (tmp_path / "out" / "report.html").read_text()
    assert "Bounds of current over field" in text
    assert "Chambers" in text


def test_check_tells_the_cost(square, tmp_path, capsys):
    (tmp_path / "wire.toml").write_text(kinetic(square, 0.5, "auto").to_toml())
    assert main(["check", str(tmp_path / "wire.toml")]) == 0
    out = capsys.readouterr().out
    assert "8 harmonics of degree 3: " in out
    assert "those of free flights" in out


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"flow": {"current": "1 A"}}, "found both of flow.field and flow.current"),
        ({"flow": {"model": "ohmic"}}, 'needs "kinetic" or "hydrodynamic"'),
        ({"flow": {"magnetic_field": "1 T"}}, "is not for a wire along z"),
        ({"boundaries": {"wall": {"contact": {"potential": "0 V"}}}}, "found a contact"),
        ({"materials": {"m": {"carriers": "2d", "conductivity": "1 S"}}}, 'carriers = "3d"'),
    ],
)
def test_what_a_section_cannot_have(square, change, text):
    tables = kinetic(square, 1.0, 4).to_dict()
    for table, keys in change.items():
        tables[table] |= keys
    with pytest.raises(CaseError, match=text):
        Case.from_dict(tables)


def test_other_commands_say_so(square):
    with pytest.raises(CaseError, match="meso.wire"):
        meso.run(kinetic(square, 1.0, 4))
