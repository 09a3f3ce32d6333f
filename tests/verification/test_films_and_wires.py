"""Flows in three dimensions with closed forms: film, round wire, bend of a film, reservoirs."""

from __future__ import annotations

from functools import cache
from math import pi, sqrt

import numpy as np
import pytest
from conftest import GEOMETRIES, draw, material, solve

from meso import Contact, Device, Material, Periodic, Wall
from meso.exact import Bend, Ribbon, RoundWire
from meso.flow import Flow, Hydrodynamic

Boundary = Contact | Periodic | Wall
VOLT = 1e-3
LENGTH, WIDTH, THICKNESS = 40e-9, 10e-9, 20e-9  # of the film
RADIUS = 20e-9
#: Iterations that no film may exceed, whatever l and the mesh.
MOST_ITERATIONS = 45


def metal(length: float, **changes: object) -> Material:
    """Isotropic scatterers on a Fermi sphere with a vorticity diffusion length."""
    return material(
        **{
            "carriers": "3d",
            "conductivity": 2.4e6,
            "scattering": "isotropic",
            "mean_free_path": sqrt(5) * length,
            **changes,
        }
    )


@cache
def film(layers: int, size: float, grading: float = 1.0) -> Device:
    """The film of the gallery, lengths in nm."""
    return Device.from_gmsh(
        GEOMETRIES / "film.geo",
        length_unit="nm",
        parameters={
            "length": 1e9 * LENGTH,
            "width": 1e9 * WIDTH,
            "thickness": 1e9 * THICKNESS,
            "layers": layers,
            "grading": grading,
            "size": size,
        },
    )


@cache
def wire(size: float, geometry_order: int = 2) -> Device:
    """A short wire of the gallery, cells of a size in nm."""
    return Device.from_gmsh(
        GEOMETRIES / "wire.geo",
        length_unit="nm",
        parameters={"length": 1e9 * LENGTH, "radius": 1e9 * RADIUS},
        size=size * 1e-9,
        geometry_order=geometry_order,
    )


def driven(device: Device, matter: Material, order: int = 2, **walls: Boundary) -> Flow:
    """Flow between source and drain."""
    return solve(device, matter, order, **walls)


def film_flow(device: Device, matter: Material, wall: Wall, order: int = 2) -> Flow:
    return driven(device, matter, order, surfaces=wall, sides=Wall(specularity=1.0))


def exact_film(matter: Material, wall: Wall) -> Ribbon:
    return Ribbon(
        width=THICKNESS,
        diffusion_length=matter.vorticity_diffusion_length,
        slip_rate=wall.slip_rate(matter),
        drive=matter.conductivity * VOLT / LENGTH,
    )


def film_errors(flow: Flow, exact: Ribbon) -> tuple[float, float]:
    """Relative error of the current, and the largest of J over its maximum."""
    z = np.linspace(0, THICKNESS, 81)
    at = np.column_stack([0 * z + 0.37 * LENGTH, 0 * z + 0.41 * WIDTH, z])
    J = flow.sample(at)["current_density"]
    wanted = np.column_stack([exact.current_density(z - THICKNESS / 2), 0 * z, 0 * z])
    terminals = flow.contacts or flow.periodic
    current = terminals["source"].current / (exact.current * WIDTH) - 1
    return abs(current), float(np.abs(J - wanted).max() / exact.current_density(0.0))


def test_film_closure():
    """l = lambda/sqrt(5), s = (15/8 lambda)(1 - p)/(1 + p) on a Fermi sphere."""
    matter = metal(4e-9)
    path = 4e-9 * sqrt(5)
    assert matter.vorticity_diffusion_length == pytest.approx(path / sqrt(5), abs=0, rel=1e-14)
    rate = Wall(specularity=0.25).slip_rate(matter)
    assert rate == pytest.approx(15 / (8 * path) * 0.6, abs=0, rel=1e-14)


# Current and profile on the finer of two meshes, about twice what was measured.
FILMS = {
    # ratio l/thickness: layers, size, grading; the finer mesh divides every layer into two.
    0.01: ((12, 5.0, 2.0), (24, 5.0, sqrt(2)), 5e-7, 1e-3),
    0.1: ((8, 5.0, 1.0), (16, 2.5, 1.0), 8e-6, 1.4e-3),
    1.0: ((8, 5.0, 1.0), (16, 2.5, 1.0), 3e-9, 3e-6),
}


@pytest.mark.parametrize("ratio", FILMS)
@pytest.mark.parametrize("specularity", [0.0, 0.5])
def test_film(ratio, specularity):
    """Order 3 of J and 4 of the current (a square of errors), less 0.5 on meshes this coarse."""
    coarse, fine, current, profile = FILMS[ratio]
    matter, wall = metal(ratio * THICKNESS), Wall(specularity=specularity)
    exact = exact_film(matter, wall)
    first, second = (film_errors(film_flow(film(*m), matter, wall), exact) for m in (coarse, fine))
    assert second[0] < current
    assert second[1] < profile
    assert np.log2(first[0] / second[0]) > 3.5 - (1.0 if ratio < 1 else 0.0)
    assert np.log2(first[1] / second[1]) > 2.5 - (0.6 if ratio < 1 else 0.0)


def test_film_of_order_three():
    """The same mesh at order 2 and 3: hundred times the accuracy of the current, ten of J."""
    matter, wall = metal(0.1 * THICKNESS), Wall(specularity=0.0)
    exact = exact_film(matter, wall)
    current, profile = film_errors(film_flow(film(8, 5.0), matter, wall, order=3), exact)
    assert current < 1e-6  # 4.9e-7 measured, 5.2e-5 at order 2
    assert profile < 5e-4  # 2.7e-4, 3.6e-3 at order 2


@pytest.mark.parametrize(
    "wall",
    [
        Wall(slip_length=0.0),
        Wall(slip_length=np.inf),
        Wall(slip_length=3e-9),
        Wall(slip_length=3e-9, law="literal"),
    ],
    ids=["no slip", "no friction", "slip length", "literal"],
)
def test_wall_laws_of_a_film(wall):
    matter = metal(THICKNESS / 2)
    current, profile = film_errors(film_flow(film(8, 5.0), matter, wall), exact_film(matter, wall))
    # No friction is in the discrete space; the limit of GMRES. Else the mesh at h = l/4.
    assert current < (1e-9 if wall.slip_length == np.inf else 1e-5)
    assert profile < (1e-9 if wall.slip_length == np.inf else 3e-4)


def test_film_is_its_section():
    """A cut through a film of a 3D material, on a 2D mesh, has the same current and profile."""
    matter, wall = metal(0.5 * THICKNESS), Wall(specularity=0.0)
    section = draw("ribbon", matter, ("edges",), width=1e9 * THICKNESS, length=1e9 * LENGTH)
    boundaries = {
        "source": Contact(potential=VOLT),
        "drain": Contact(potential=0.0),
        "edges": wall,
    }
    materials = {"metal": matter}
    flat = Hydrodynamic(
        section, materials=materials, boundaries=boundaries, thickness=WIDTH
    ).solve()
    solid = film_flow(film(16, 2.5), matter, wall)
    wanted = flat.contacts["source"].current
    # The 2D one is exact to 1e-9; the film has the error of its mesh, 2.3e-8.
    assert solid.contacts["source"].current == pytest.approx(wanted, abs=0, rel=1e-7)
    z = np.linspace(0, THICKNESS, 41)
    there = np.column_stack([0 * z + LENGTH / 3, z - THICKNESS / 2])
    here = np.column_stack([0 * z + LENGTH / 3, 0 * z + WIDTH / 3, z])
    a = flat.sample(there)["current_density"][:, 0]
    b = solid.sample(here)["current_density"][:, 0]
    assert np.abs(a - b).max() < 1e-5 * a.max()


@pytest.mark.parametrize("ratio", [0.01, 0.1, 1.0])
@pytest.mark.parametrize(("layers", "size"), [(4, 5.0), (8, 2.5), (12, 1.7)])
@pytest.mark.parametrize("driven_by", ["contacts", "periodic"])
def test_iterations(ratio, layers, size, driven_by):
    """At most 45 for every l and h: cells of about equal sides, l over the length of the film."""
    matter = metal(ratio * LENGTH)
    laws: dict[str, Boundary] = {
        "surfaces": Wall(specularity=0.0),
        "sides": Wall(specularity=1.0),
        "source": Contact(potential=VOLT),
        "drain": Contact(potential=0.0),
    }
    if driven_by == "periodic":
        laws["source"] = Periodic(to="drain", voltage=VOLT)
        del laws["drain"]
    device = film(layers, size)
    flow = Hydrodynamic(device, materials={"metal": matter}, boundaries=laws).solve()
    assert 5 < flow.evidence["iterations"] <= MOST_ITERATIONS
    assert flow.evidence["residual"] < 1e-9


def test_film_with_reservoirs():
    """Specular walls: J is uniform and R = (L + 2 step)/(sigma A), step = (3/4) lambda."""
    matter = metal(5e-9)
    ends = {
        "source": Contact(potential=VOLT, law="reservoir"),
        "drain": Contact(potential=0.0, law="reservoir"),
    }
    smooth = Wall(specularity=1.0)
    flow = solve(film(6, 5.0), matter, 2, surfaces=smooth, sides=smooth, **ends)
    step = 0.75 * matter.mean_free_path
    resistance = (LENGTH + 2 * step) / (matter.conductivity * WIDTH * THICKNESS)
    # In the discrete spaces: the limit of GMRES.
    assert flow.contacts["source"].current == pytest.approx(VOLT / resistance, abs=0, rel=1e-9)
    J = flow.current_density.x.array.reshape(-1, 3)
    uniform = VOLT / resistance / (WIDTH * THICKNESS)
    assert np.abs(J - [uniform, 0, 0]).max() < 1e-8 * uniform


def test_reservoirs_dissipate_in_diffuse_films():
    """Given the current instead: the same resistance, above that of the ends alone."""
    matter = metal(5e-9)
    walls = {"surfaces": Wall(specularity=0.0), "sides": Wall(specularity=1.0)}
    ends = {
        "source": Contact(potential=VOLT, law="reservoir"),
        "drain": Contact(potential=0.0, law="reservoir"),
    }
    flow = solve(film(6, 5.0), matter, 2, **walls, **ends)
    current = flow.contacts["source"].current
    ends["source"] = Contact(current=current, law="reservoir")
    given = solve(film(6, 5.0), matter, 2, **walls, **ends)
    assert given.contacts["source"].potential == pytest.approx(VOLT, abs=0, rel=1e-9)
    assert flow.sum_of_currents < 1e-9  # the limit of GMRES, 3e-12
    developed = exact_film(matter, walls["surfaces"]).current * WIDTH
    step = 2 * 0.75 * matter.mean_free_path
    ends_only = VOLT * matter.conductivity * WIDTH * THICKNESS / step
    # In series, and the flow must spread from the uniform one that leaves the reservoir.
    series = 1 / (1 / developed + 1 / ends_only)
    assert 0.9 * series < current < developed


def exact_wire(matter: Material, wall: Wall) -> RoundWire:
    return RoundWire(
        radius=RADIUS,
        diffusion_length=matter.vorticity_diffusion_length,
        slip_rate=wall.slip_rate(matter),
        drive=matter.conductivity * VOLT / LENGTH,
    )


def wire_errors(flow: Flow, exact: RoundWire) -> tuple[float, float]:
    """Relative error of the current, and the largest of J over its maximum."""
    r = np.linspace(0, 0.99 * RADIUS, 40)
    angle = 0.3 + np.arange(40)  # all around the wire
    at = np.column_stack([0 * r + 0.4 * LENGTH, r * np.cos(angle), r * np.sin(angle)])
    J = flow.sample(at)["current_density"]
    wanted = np.column_stack([exact.current_density(r), 0 * r, 0 * r])
    terminals = flow.contacts or flow.periodic
    return (
        abs(terminals["source"].current / exact.current - 1),
        float(np.abs(J - wanted).max() / exact.current_density(0.0)),
    )


# Current and profile on the finer of two meshes, twice what was measured.
WIRES = {0.2: (1e-4, 8e-3), 1.0: (5e-6, 2e-4), 5.0: (5e-6, 3e-5)}


@pytest.mark.parametrize("ratio", WIRES)
def test_wire(ratio):
    """Cells of degree 2: order 4 of the current, 3 of the profile, less on meshes this coarse."""
    matter, wall = metal(ratio * RADIUS), Wall(specularity=0.0)
    exact = exact_wire(matter, wall)
    devices = [wire(size) for size in (10.0, 4.0)]
    flows = [driven(device, matter, surface=wall) for device in devices]
    first, second = (wire_errors(flow, exact) for flow in flows)
    assert second[0] < WIRES[ratio][0]
    assert second[1] < WIRES[ratio][1]
    finer = np.log(devices[1].cells / devices[0].cells) / 3
    assert np.log(first[0] / second[0]) / finer > 3.5
    assert np.log(first[1] / second[1]) / finer > 2.0


def test_wire_needs_curved_cells():
    """Straight cells have kinks for walls, where J.n = 0 stops the flow."""
    matter, wall = metal(RADIUS), Wall(specularity=0.0)
    exact = exact_wire(matter, wall)
    curved, straight = (
        wire_errors(driven(wire(8.0, degree), matter, surface=wall), exact) for degree in (2, 1)
    )
    assert straight[0] > 300 * curved[0]


def test_literal_law_of_a_wire():
    """The wall does not bend along the current: both laws are the same."""
    matter = metal(RADIUS)
    exact = exact_wire(matter, Wall(specularity=0.0))
    wall = Wall(specularity=0.0, law="literal")
    errors = [wire_errors(driven(wire(size), matter, surface=wall), exact) for size in (10.0, 5.0)]
    # Cells of degree 2 bend a little along the wire too, second derivatives of an order less.
    assert errors[1][0] < 8e-5  # 4.7e-5 measured, 8e-6 with the traction law
    assert errors[1][1] < 5e-4  # 2.4e-4, 1.9e-4
    assert errors[1][0] < errors[0][0] / 2


BENT = """
Point(1) = {100, 0, 0}; Point(2) = {200, 0, 0};
Line(1) = {1, 2}; Transfinite Curve {1} = 1 + ACROSS;
a[] = Extrude {0, 0, 25} { Line{1}; Layers{ONE}; };
b[] = Extrude {{0, 0, 1}, {0, 0, 0}, Pi/4} { Surface{a[1]}; Layers{ALONG}; };
c[] = Extrude {{0, 0, 1}, {0, 0, 0}, Pi/4} { Surface{b[0]}; Layers{ALONG}; };
Physical Volume("metal") = {b[1], c[1]};
Physical Surface("source") = {a[1]}; Physical Surface("drain") = {c[0]};
Physical Surface("flat") = {b[2], b[4], c[2], c[4]};
Physical Surface("outer") = {b[3], c[3]}; Physical Surface("inner") = {b[5], c[5]};
"""


def bent_film(folder, across: int, along: int) -> Device:
    text = BENT.replace("ACROSS", str(across)).replace("ALONG", str(along)).replace("ONE", "1")
    path = folder / f"bent-{across}.geo"
    path.write_text(text + "\n")
    return Device.from_gmsh(path, length_unit="nm")


def exact_bend(matter: Material, law: str) -> Bend:
    rate = Wall(specularity=0.0).slip_rate(matter)
    return Bend(
        inner=100e-9,
        outer=200e-9,
        diffusion_length=matter.vorticity_diffusion_length,
        inner_slip=rate,
        outer_slip=rate,
        drive=matter.conductivity * VOLT / (pi / 2),
        law=law,
    )


# The literal law takes the curvature of the wall from cells of degree 2: order 2.
@pytest.mark.parametrize(
    ("law", "other", "limit", "order"),
    [("traction", "literal", 1e-5, 4), ("literal", "traction", 1e-4, 2)],
)
def test_bent_film(folder, law, other, limit, order):
    """The current turns with the wall, where both laws differ: a bend, invariant along z."""
    matter = metal(70e-9)
    wall = Wall(specularity=0.0, law=law)
    errors = []
    for across, along in ((4, 3), (8, 6)):
        device = bent_film(folder, across, along)
        flow = driven(device, matter, inner=wall, outer=wall, flat=Wall(specularity=1.0))
        wanted = exact_bend(matter, law).current * 25e-9
        errors.append(abs(flow.contacts["source"].current / wanted - 1))
    assert errors[1] < limit
    assert np.log2(errors[0] / errors[1]) > order - 0.5
    # The laws differ by much more than that.
    apart = exact_bend(matter, other).current / exact_bend(matter, law).current - 1
    assert abs(apart) > 20 * limit


def test_direct_and_iterative_solvers_agree():
    """Walls by a multiplier or by Nitsche's method: two discretisations of one problem.

    They differ by far less than either from the closed form (4e-5 on this mesh).
    """
    device = Device.from_gmsh(
        GEOMETRIES / "wire.geo", length_unit="nm", parameters={"length": 60.0}
    )
    matter = material(carriers="3d", scattering="isotropic", conductivity=1e7, mean_free_path=40e-9)
    laws = {
        "source": Contact(potential=1e-3),
        "drain": Contact(potential=0.0),
        "surface": Wall(specularity=0.0),
    }
    direct, iterative = (
        Hydrodynamic(device, materials={"metal": matter}, boundaries=laws, solver=solver).solve()
        for solver in ("direct", "iterative")
    )
    assert direct.evidence["method"] == "MUMPS LDL^T"
    assert "GMRES" in iterative.evidence["method"]
    wanted = direct.contacts["source"].current
    assert iterative.contacts["source"].current == pytest.approx(wanted, abs=0, rel=1e-7)
