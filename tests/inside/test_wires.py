"""Wires along their axis: exact sections, films, bounds, the hydrodynamic limit.

The exact square has diffuse walls: J/(sigma E) = 1 - <3 v_z^2 exp(-s/lambda)>, with s the length
back to the wall, by quadrature over directions and the section (to 1e-11).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import mesh_file

from meso import CaseError, Contact, Device, Material, Wall
from meso.evidence.wires import converge_wire
from meso.exact import RoundWire
from meso.exact_kinetic import KineticFilm
from meso.flow.wire import Wire
from meso.observables.wires import wire_moments

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


def metal(path: float, **more: float) -> Material:
    return Material(
        carriers="3d", conductivity=2.0, mean_free_path=path, orbital_coupling=1.0, **more
    )


def wire(device: Device, path: float, harmonics: int | None, p: float = 0.0, **more) -> Wire:
    walls = dict.fromkeys(device.boundaries, Wall(specularity=p))
    walls |= more.pop("walls", {})
    return Wire(
        device, materials={"metal": metal(path)}, boundaries=walls, harmonics=harmonics, **more
    )


def drawn(folder: Path, text: str, order: int) -> Device:
    (folder / "section.geo").write_text(text)
    degree = 2 if "Disk" in text else 1
    mesh = mesh_file(folder / "section.msh", folder / "section.geo", degree=degree)
    return Device.from_gmsh(mesh, length_unit="m", order=order)


@pytest.fixture(scope="module")
def square(tmp_path_factory) -> Device:
    return drawn(tmp_path_factory.mktemp("square"), SQUARE, 3)


@pytest.fixture(scope="module")
def disc(tmp_path_factory) -> Device:
    return drawn(tmp_path_factory.mktemp("disc"), DISC, 4)


def both(device: Device, path: float, harmonics: int | str, tolerance: float = 1e-3):
    return converge_wire(
        lambda n, k, upper: wire(device, path, n, order=k).solve(field=3.0, upper=upper),
        3,
        harmonics,
        tolerance,
    )


@pytest.mark.parametrize(("path", "current", "moment"), EXACT[1:2])
def test_square(square, path, current, moment):
    found = both(square, path, 8)
    (value, error), (moments, errors) = found.conductance, found.moments
    assert abs(value / 2 - current) < error / 2 < 0.01
    assert (abs(moments / 2 - moment) < errors / 2).all()
    assert (errors < 0.06 * moments).all()
    assert found.levels[-1].lower < 2 * current < found.levels[-1].upper


@pytest.mark.thorough
@pytest.mark.parametrize(("path", "current", "moment"), EXACT)
def test_square_auto(square, path, current, moment):
    found = both(square, path, "auto")
    (value, error), (moments, errors) = found.conductance, found.moments
    assert abs(value / 2 / current - 1) < error / value < 1e-3
    assert (abs(moments / 2 / moment - 1) < errors / moments).all()
    assert (errors < 1e-3 * moments).all()


@pytest.mark.parametrize("p", [0.0, 0.5])
def test_film_between_mirrors(square, p):
    # Specular side walls make a film of the square.
    sides = {"side": Wall(specularity=1.0)}
    flow = wire(square, 0.5, 6, p, walls=sides).solve(upper=True)
    exact = KineticFilm(width=1.0, mean_free_path=0.5, specularity=p).conductance
    assert flow.bulk == pytest.approx(2.0, rel=1e-12)
    assert flow.conductance < 2 * exact < flow.upper < 1.02 * flow.conductance


def test_film_of_seven_degrees(square):
    # Of the film in harmonics up to L = 7, solved across it (lambda = d/10).
    flow = wire(square, 0.1, 8, walls={"side": Wall(specularity=1.0)}).solve()
    assert flow.conductance / 2 == pytest.approx(0.9621877819969773, abs=2e-5)
    middle = flow.device.sample(flow.current_density.function(), np.zeros((1, 2)))[0]
    assert middle / 2 == pytest.approx(0.9996801365961865, abs=5e-6)  # the mesh


def test_two_harmonics_are_hydrodynamic(square):
    path, p = 0.7, 0.3
    kinetic = wire(square, path, 2, p).solve()
    slip = 8 * path / 15 * (1 + p) / (1 - p)
    material = Material(
        carriers="3d",
        conductivity=2.0,
        vorticity_diffusion_length=path / np.sqrt(5),
        orbital_coupling=1.0,
    )
    walls = dict.fromkeys(square.boundaries, Wall(slip_length=slip))
    flow = Wire(square, materials={"metal": material}, boundaries=walls, harmonics=None).solve()
    assert flow.conductance == pytest.approx(kinetic.conductance, rel=1e-12)
    one, two = (wire_moments(each) for each in (flow, kinetic))
    assert [m.moment for m in one] == pytest.approx([m.moment for m in two], rel=1e-9)


@pytest.mark.parametrize("slip", [0.2, 0.0])
def test_round_wire(disc, slip):
    length = 0.15
    material = Material(
        carriers="3d", conductivity=1.0, vorticity_diffusion_length=length, orbital_coupling=1.0
    )
    walls = {"wall": Wall(slip_length=slip)}
    flow = Wire(disc, materials={"metal": material}, boundaries=walls, harmonics=None).solve()
    exact = RoundWire(radius=0.5, diffusion_length=length, slip_rate=1 / slip if slip else np.inf)
    r, weight = np.polynomial.legendre.leggauss(40)
    r, weight = (r + 1) / 4, weight / 4
    current, edge = exact.current_density(r), exact.current_density(np.array([0.5]))[0]
    # Arcs of degree two.
    assert flow.conductance == pytest.approx(2 * np.pi * (weight * r * current).sum(), rel=1e-5)
    moment = 2 * np.pi * ((weight * current).sum() - 0.5 * edge)
    (found,) = wire_moments(flow)
    assert found.moment == pytest.approx(moment, rel=2e-4)


def test_what_a_section_cannot_have(square):
    laws = {"wall": Contact(potential=0.0), "side": Wall(specularity=0.0)}
    with pytest.raises(CaseError, match="boundaries.wall.contact"):
        Wire(square, materials={"metal": metal(1.0)}, boundaries=laws)
    sheet = Material(carriers="2d", conductivity=1.0, mean_free_path=1.0)
    laws = {"wall": Wall(specularity=0.0), "side": Wall(specularity=0.0)}
    with pytest.raises(CaseError, match='needs carriers = "3d"'):
        Wire(square, materials={"metal": sheet}, boundaries=laws)
