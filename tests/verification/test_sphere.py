"""A Fermi sphere in the kinetic model: films against exact solutions, and its limits.

Reference values are Fuchs' film by quadrature, and the film in spherical harmonics up to degree
L = N - 1, solved exactly across the film (to 1e-10).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import GEOMETRIES, draw, mesh_file, thorough
from test_kinetic import STRIP

from meso import CaseError, Contact, Device, Material, Periodic, Wall
from meso.exact_kinetic import KineticFilm
from meso.flow import Flow, Hydrodynamic, Kinetic, Particles, conductance_bounds

pytestmark = pytest.mark.verification

VOLT, WIDTH, LENGTH = 1e-3, 100e-9, 10e-9
PAIR = Periodic(to="drain", voltage=VOLT)
# p, lambda/d, L, G over Drude's, J/(sigma E) in the middle and at the walls.
FILMS = [
    (0.0, 0.1, 1, 0.9592064399809012, 0.9999872791336207, 0.5439141335879853),
    (0.0, 0.1, 7, 0.9621877819969773, 0.9996801365961865, 0.5156426779494244),
    thorough(0.0, 0.1, 15, 0.9624113418899445, 0.9996797696663519, 0.5085070834778812),
]
# Exact: p, lambda/d, G, J in the middle minus J at a wall.
EXACT = [
    (0.0, 0.1, 0.9625000688550458, 0.4996801623078442),
    (0.0, 5.0, 0.3230123901721895, 0.09135166334868558),
    (0.5, 1.0, 0.8291086474778417, 0.15661717697084487),
    (0.9, 2.0, 0.9295745104753146, 0.02191838870494478),
]


def metal(**changes: float) -> Material:
    return Material(carriers="3d", conductivity=1e6, **changes)  # type: ignore[arg-type]


def solved(device: Device, matter: Material, harmonics: int, order: int = 3, **given) -> Flow:
    laws = {n: given.pop(n) for n in device.boundaries if n in given}
    materials = dict.fromkeys(device.regions, matter)
    model = Kinetic(
        device, materials=materials, boundaries=laws, harmonics=harmonics, order=order, **given
    )
    return model.solve()


@pytest.fixture(scope="module")
def strip(tmp_path_factory) -> Device:
    folder: Path = tmp_path_factory.mktemp("film")
    (folder / "strip.geo").write_text(STRIP)
    return Device.from_gmsh(
        mesh_file(folder / "strip.msh", folder / "strip.geo"), length_unit="nm", order=4
    )


@pytest.mark.parametrize(("p", "knudsen", "degree", "G", "centre", "wall"), FILMS)
def test_films_in_spherical_harmonics(strip, p, knudsen, degree, G, centre, wall):
    """To what is left of the mesh: currents to its square, and 1e-7 at walls; also iterated."""
    matter = metal(mean_free_path=knudsen * WIDTH)
    places = np.array([[LENGTH / 2, 0.0], [LENGTH / 2, WIDTH / 2 * (1 - 1e-12)]])
    for solver, close, squared in (("direct", 1e-7, 1e-11), ("iterative", 1e-3, 1e-7)):
        flow = solved(
            strip, matter, degree + 1, 4, solver=solver, source=PAIR, edges=Wall(specularity=p)
        )
        field = 1e6 * VOLT / LENGTH
        assert flow.periodic["source"].current / (field * WIDTH) == pytest.approx(G, abs=squared)
        J = flow.sample(places)["current_density"][:, 0] / field
        np.testing.assert_allclose(J, [centre, wall], atol=close)


def test_exact_films():
    for p, knudsen, G, moment in EXACT:
        film = KineticFilm(width=1.0, mean_free_path=knudsen, specularity=p)
        assert film.conductance == pytest.approx(G, abs=1e-14)
        assert film.edge_step == pytest.approx(moment, abs=1e-14)


@pytest.mark.parametrize(("solver", "B"), [("direct", 0.0), ("iterative", 0.0), ("direct", 60.0)])
def test_two_harmonics_are_hydrodynamics(solver, B):
    """With reservoirs, curved walls of two specularities, and a magnetic field."""
    matter = metal(mean_free_path=40e-9, fermi_wavevector=1e10, scattering={"gamma2": 0.7})
    device = draw("annulus", matter, ("inner", "outer"), order=2)
    laws = {
        "source": Contact(potential=VOLT, law="reservoir"),
        "drain": Contact(potential=0.0, law="reservoir"),
        "inner": Wall(specularity=0.3),
        "outer": Wall(specularity=0.0),
    }
    one = solved(device, matter, 2, 2, solver=solver, magnetic_field=B, **laws)
    given = {"materials": dict.fromkeys(device.regions, matter), "magnetic_field": B}
    two = Hydrodynamic(device, boundaries=laws, order=2, **given).solve()
    currents = [flow.contacts["source"].current for flow in (one, two)]
    assert currents[0] == pytest.approx(currents[1], rel=1e-10)


def test_bounds():
    """From both sides, with a bend, and on a film around the exact value."""
    matter = metal(mean_free_path=40e-9)
    device = draw("annulus", matter, ("inner", "outer"), order=2)
    ends = {"source": Contact(potential=VOLT), "drain": Contact(potential=0.0)}
    walls = {"inner": Wall(specularity=0.3), "outer": Wall(specularity=0.0)}
    flow = solved(device, matter, 6, 2, **ends, **walls)
    bounds, own = conductance_bounds(flow), flow.conductance_matrix[0, 0]
    assert bounds.lower is not None
    assert own * (1 - 1e-4) < bounds.lower[0, 0] < own < bounds.upper[0, 0] < 1.02 * own


def test_bounds_of_a_film(strip):
    matter = metal(mean_free_path=0.5 * WIDTH)
    flow = solved(strip, matter, 8, source=PAIR, edges=Wall(specularity=0.0))
    bounds = conductance_bounds(flow)
    exact = 0.8191082346966196 * 1e6 * WIDTH / LENGTH
    assert bounds.lower is not None
    assert 0.99 * exact < bounds.lower[0, 0] < exact < bounds.upper[0, 0] < 1.01 * exact


@pytest.mark.parametrize("solver", ["direct", "iterative"])
def test_hall_field(strip, solver):
    """Between specular walls: no magnetoresistance, and the Hall field lambda/R_c times E."""
    matter, B = metal(mean_free_path=40e-9, fermi_wavevector=1e10), 50.0
    smooth = {"source": PAIR, "edges": Wall(specularity=1.0)}
    flow = solved(strip, matter, 6, solver=solver, magnetic_field=B, **smooth)
    assert flow.periodic["source"].current == pytest.approx(1e6 * VOLT * WIDTH / LENGTH, rel=1e-9)
    places = np.array([[5e-9, -40e-9], [5e-9, 40e-9]])
    low, high = flow.sample(places)["potential"]
    field = (high - low) / 80e-9 * LENGTH / VOLT
    assert field == pytest.approx(matter.turning(B), rel=1e-9)


def test_onsager():
    """G(B) is the transpose of G(-B)."""
    matter = metal(mean_free_path=40e-9, fermi_wavevector=1e10)
    device = draw("tee", matter, ("edges",), order=2)
    laws = {n: Contact(potential=0.0) for n in device.boundaries if n != "edges"}
    laws["edges"] = Wall(specularity=0.3)  # type: ignore[assignment]
    one, two = (
        solved(device, matter, 4, 2, magnetic_field=B, **laws).conductance_matrix
        for B in (10.0, -10.0)
    )
    assert np.abs(one - one.T).max() > 0.01 * one.max()
    np.testing.assert_allclose(one, two.T, atol=1e-9 * one.max())


@pytest.mark.parametrize(("p", "knudsen", "G", "moment"), [EXACT[2], thorough(*EXACT[1])])
def test_particles(strip, p, knudsen, G, moment):
    """Films; slabs carry as much more as they are thick."""
    matter = metal(mean_free_path=knudsen * WIDTH)
    laws = {"source": PAIR, "edges": Wall(specularity=p)}
    materials = {"metal": matter}
    model = Particles(strip, materials=materials, boundaries=laws, tolerance=0.05, thickness=1e-8)
    found, unit = model.solve().counted, 1e6 * WIDTH / LENGTH * 1e-8
    assert abs(found.matrix[0, 0] - G * unit) < 3 * found.errors[0, 0]


def test_particles_are_as_good_as_many_harmonics():
    """A bend with a magnetic field, unequal rates, and walls that are partly smooth."""
    matter = metal(mean_free_path=50e-9, fermi_wavevector=1e10, scattering={"gamma2": 0.8})
    device = draw("tee", matter, ("edges",), order=2)
    laws = {n: Contact(potential=0.0, law="reservoir") for n in device.boundaries if n != "edges"}
    laws["edges"] = Wall(specularity=0.3)  # type: ignore[assignment]
    materials = dict.fromkeys(device.regions, matter)
    options = {"materials": materials, "boundaries": laws, "magnetic_field": 50.0}
    found = Particles(device, tolerance=0.08, **options).solve().counted
    many = Kinetic(device, harmonics=6, order=2, **options).solve().conductance_matrix
    assert np.abs((found.matrix - many) / found.errors).max() < 3.2


def test_refusals():
    """Particles on 3D meshes, and collisions that none can follow."""
    device = Device.from_gmsh(GEOMETRIES / "wire.geo", length_unit="nm", order=2)
    matter = metal(mean_free_path=10e-9)
    flat = draw("ribbon", matter, ("edges",), order=2)
    laws = {n: Wall(specularity=0.0) for n in ("edges",)}
    laws |= {n: Contact(potential=0.0) for n in ("source", "drain")}  # type: ignore[misc]
    with pytest.raises(CaseError, match="particles are for 2D devices"):
        whole = {**laws, "surface": laws["edges"]}
        del whole["edges"]
        Particles(device, materials={device.regions[0]: matter}, boundaries=whole)
    matter = metal(mean_free_path=10e-9, electron_electron_mean_free_path=10e-9)
    with pytest.raises(CaseError, match="no particle can follow"):
        Particles(flat, materials=dict.fromkeys(flat.regions, matter), boundaries=laws)
