"""Periodic pairs: one cell of an infinite row, of a lattice, or of a ring."""

from __future__ import annotations

from collections.abc import Callable
from math import log, pi

import numpy as np
import pytest
from conftest import GEOMETRIES, draw, material, mesh_file
from test_conservation import dissipation, joule

from meso import Contact, Device, GeometryError, Material, Periodic, Wall
from meso.exact import Ribbon
from meso.flow import Flow, Hydrodynamic, Ohmic

VOLT = 1e-3
DIFFUSE = Wall(specularity=0.0)
Boundary = Contact | Periodic | Wall


def hydrodynamic(
    device: Device, matter: Material, order: int | None = None, **laws: Boundary
) -> Flow:
    materials = dict.fromkeys(device.regions, matter)
    return Hydrodynamic(device, materials=materials, boundaries=laws, order=order).solve()


def ohmic(device: Device, matter: Material, **laws: Boundary) -> Flow:
    materials = dict.fromkeys(device.regions, matter)
    return Ohmic(device, materials=materials, boundaries=laws).solve()


def currents(flow: Flow, at: np.ndarray) -> np.ndarray:
    return flow.sample(at)["current_density"]


# A strip whose ends match, for the ribbon and, with holes, for what is not invariant along it.
STRIP = """
Point(1) = {X, -50, 0}; Point(2) = {X + L, -50, 0}; Point(3) = {X + L, 50, 0};
Point(4) = {X, 50, 0};
Line(1) = {1, 2}; Line(2) = {2, 3}; Line(3) = {4, 3}; Line(4) = {1, 4};
Curve Loop(1) = {1, 2, -3, -4}; Plane Surface(1) = {1};
Periodic Curve {2} = {4} Translate {L, 0, 0};
Physical Surface("metal") = {1}; Physical Curve("edges") = {1, 3};
Physical Curve("source") = {4}; Physical Curve("drain") = {2};
"""
LENGTH, WIDTH = 400e-9, 100e-9
PAIR = {"source": Periodic(to="drain", voltage=VOLT)}
ENDS = {"source": Contact(potential=VOLT), "drain": Contact(potential=0.0)}


def strip(folder, size: float, length: float = 400.0, x: float = 0.0) -> Device:
    text = f"L = {length}; X = {x};" + STRIP
    path = folder / f"strip-{size:g}-{length:g}-{x:g}.msh"
    return Device.from_gmsh(mesh_file(path, text, size=size), length_unit="nm")


@pytest.mark.parametrize("order", [2, 3, 4])
@pytest.mark.parametrize("size", [40.0, 25.0])
def test_ribbon(folder, size, order):
    """Driven by a voltage per period it is as good as between contacts, on the same mesh."""
    matter = material()
    device = strip(folder, size)
    exact = Ribbon(
        width=WIDTH,
        diffusion_length=matter.vorticity_diffusion_length,
        slip_rate=DIFFUSE.slip_rate(matter),
        drive=matter.conductivity * VOLT / LENGTH,
    )
    y = np.linspace(-WIDTH / 2, WIDTH / 2, 101)
    errors = []
    for ends in (ENDS, PAIR):
        flow = hydrodynamic(device, matter, order, edges=DIFFUSE, **ends)
        terminal = (flow.contacts or flow.periodic)["source"]
        assert terminal.potential == VOLT
        apart = 0.0
        for x in (0.0, 0.37 * LENGTH, LENGTH):
            J = currents(flow, np.column_stack([0 * y + x, y]))
            wanted = np.column_stack([exact.current_density(y), 0 * y])
            apart = max(apart, np.abs(J - wanted).max() / exact.current_density(0.0))
        errors.append((abs(terminal.current / exact.current - 1), apart))
    contacted, periodic = errors
    assert periodic[0] < 1.02 * contacted[0]
    assert periodic[1] < 1.1 * contacted[1]
    # h is 3.5 and 5.7 times l: what the mesh allows.
    assert periodic[0] < {2: 2e-3, 3: 2e-4, 4: 2e-5}[order]


def test_ribbon_on_the_default_mesh():
    """The ribbon of the gallery, whose mesh follows l: the closed form to 1e-6."""
    matter = material()
    device = draw("ribbon", matter, ("edges",))
    flow = hydrodynamic(device, matter, 4, edges=DIFFUSE, **PAIR)
    exact = Ribbon(
        width=WIDTH,
        diffusion_length=matter.vorticity_diffusion_length,
        slip_rate=DIFFUSE.slip_rate(matter),
        drive=matter.conductivity * VOLT / LENGTH,
    )
    # meso.geometry.sizing makes the mesh for 1e-6.
    assert flow.periodic["source"].current == pytest.approx(exact.current, abs=0, rel=1e-6)
    assert flow.contacts == {}
    assert flow.conductance_matrix.shape == (0, 0)


@pytest.mark.parametrize("model", [hydrodynamic, ohmic])
def test_given_current(folder, model):
    """Given the current instead of the voltage: the same flow."""
    device, matter = strip(folder, 40.0), material()
    first = model(device, matter, edges=DIFFUSE, **PAIR)
    current = first.periodic["source"].current
    given = {"source": Periodic(to="drain", current=-2 * current)}
    second = model(device, matter, edges=DIFFUSE, **given)
    assert second.periodic["source"].current == -2 * current
    # Linear: rounding.
    assert second.periodic["source"].potential == pytest.approx(-2 * VOLT, abs=0, rel=1e-12)
    J = [flow.current_density.x.array for flow in (first, second)]
    assert np.abs(J[1] + 2 * J[0]).max() < 1e-11 * np.abs(J[0]).max()


@pytest.mark.parametrize("model", [hydrodynamic, ohmic])
def test_potential_falls_by_the_voltage(folder, model):
    """phi is V higher at the first boundary; with voltage 0 nothing flows."""
    device, matter = strip(folder, 40.0), material()
    flow = model(device, matter, edges=DIFFUSE, **PAIR)
    y = np.linspace(-40e-9, 40e-9, 9)
    phi = [flow.sample(np.column_stack([0 * y + x, y]))["potential"] for x in (0.0, LENGTH)]
    # Of a ribbon it is linear: in the discrete space, but J is not.
    assert np.abs(phi[0] - phi[1] - VOLT).max() < (5e-4 if model is hydrodynamic else 1e-12) * VOLT
    none = model(device, matter, edges=DIFFUSE, source=Periodic(to="drain"))
    assert none.periodic["source"].potential == 0.0
    assert abs(none.periodic["source"].current) < 1e-18
    assert np.abs(none.current_density.x.array).max() < 1e-12


def wavy(folder, size: float, phase: float = 180.0, shifted: bool = False) -> Device:
    """A period of the wavy channel of the gallery, or that which begins a quarter of it later."""
    text = (GEOMETRIES / "wavy_channel.geo").read_text()
    if shifted:  # sines become cosines
        text = text.replace("amplitude * Sin", "amplitude * Cos")
    # Splines are least accurate at their ends: more points than in the gallery.
    text = text.replace("number = 32;", "number = 160;")
    path = folder / f"wavy-{size:g}-{phase:g}-{shifted}.msh"
    mesh_file(path, f"phase = {phase};\n" + text, size=size, degree=4)
    return Device.from_gmsh(path, length_unit="nm")


@pytest.mark.parametrize("phase", [180.0, 0.0])
def test_wavy_channel_shifted(folder, phase):
    """Where the cell begins does not matter."""
    matter = material(mean_free_path=40e-9)
    laws = {"left": Periodic(to="right", voltage=VOLT), "edges": DIFFUSE}
    first, second = (
        hydrodynamic(wavy(folder, 10.0, phase, shifted), matter, 4, **laws)
        for shifted in (False, True)
    )
    wanted = first.periodic["left"].current
    # That of the splines at their ends.
    assert second.periodic["left"].current == pytest.approx(wanted, abs=0, rel=1e-6)


HOLES = """
SetFactory("OpenCASCADE");
Rectangle(1) = {0, 0, 0, 100 * N, 60};
For k In {0:N - 1}
  Disk(10 + k) = {100 * k + 40, 25, 0, 15};
EndFor
BooleanDifference(50) = { Surface{1}; Delete; }{ Surface{10:9 + N}; Delete; };
e = 1e-3;
l[] = Curve In BoundingBox {-e, -e, -e, e, 60 + e, e};
r[] = Curve In BoundingBox {100 * N - e, -e, -e, 100 * N + e, 60 + e, e};
b[] = Curve In BoundingBox {-e, -e, -e, 100 * N + e, e, e};
t[] = Curve In BoundingBox {-e, 60 - e, -e, 100 * N + e, 60 + e, e};
Periodic Curve {r[]} = {l[]} Translate {100 * N, 0, 0};
a[] = Boundary{ Surface{50}; };
h[] = Abs(a[]);
h[] -= {l[], r[], b[], t[]};
Physical Surface("metal") = {50};
Physical Curve("left") = {l[]}; Physical Curve("right") = {r[]};
Physical Curve("edges") = {b[], t[], h[]};
"""


def test_two_periods_are_as_good_as_one(folder):
    """Twice the period with twice the voltage; holes that are not in the middle."""
    matter = material(mean_free_path=20e-9)
    found = []
    for number in (1, 2):
        path = folder / f"holes-{number}.msh"
        mesh_file(path, f"N = {number};" + HOLES, size=7.0, degree=4)
        device = Device.from_gmsh(path, length_unit="nm")
        pair = Periodic(to="right", voltage=number * VOLT)
        found.append(hydrodynamic(device, matter, 4, left=pair, edges=DIFFUSE))
    one, two = (flow.periodic["left"].current for flow in found)
    assert two == pytest.approx(one, abs=0, rel=1e-6)
    # And each period carries the same flow.
    at = np.random.default_rng(0).uniform((0, 0), (100e-9, 60e-9), (200, 2))
    J = [currents(found[1], at + [s, 0]) for s in (0.0, 100e-9)]
    apart = np.nanmax(np.abs(J[0] - J[1]))
    assert apart < 1e-3 * np.nanmax(np.abs(J[0]))
    assert (~np.isnan(J[0])).sum() > 200


def antidot(matter: Material, **parameters: float) -> Device:
    return draw("antidot", matter, ("edge",), **parameters)


@pytest.mark.parametrize("model", [hydrodynamic, ohmic])
def test_antidot_lattice(model):
    """Two pairs that meet in the corners: four nodes are one."""
    matter = material(mean_free_path=40e-9)
    device = antidot(matter)
    along = Periodic(to="right", voltage=VOLT)
    across = Periodic(to="top", voltage=VOLT)
    x = model(device, matter, edge=DIFFUSE, left=along, bottom=Periodic(to="top"))
    y = model(device, matter, edge=DIFFUSE, left=Periodic(to="right"), bottom=across)
    current = x.periodic["left"].current
    # A square lattice conducts alike in both directions; the mesh is not symmetric.
    assert y.periodic["bottom"].current == pytest.approx(current, abs=0, rel=1e-6)
    # No transverse current, by the symmetry of the hole, nor a voltage where no current may flow.
    assert abs(x.periodic["bottom"].current) < 1e-6 * current
    free = model(device, matter, edge=DIFFUSE, left=along, bottom=Periodic(to="top", current=0.0))
    assert abs(free.periodic["bottom"].potential) < 1e-6 * VOLT
    # Along the diagonal: the sum of both.
    both = model(device, matter, edge=DIFFUSE, left=along, bottom=across)
    for name in ("left", "bottom"):
        wanted = x.periodic[name].current + y.periodic[name].current
        assert both.periodic[name].current == pytest.approx(wanted, abs=0, rel=1e-11)


def test_antidot_lattice_where_the_hole_is_elsewhere(folder):
    """The hole in the corner of the cell: the conductor is a cross of what was one piece."""
    matter = material(mean_free_path=40e-9)
    whole = antidot(matter)
    text = """
    SetFactory("OpenCASCADE");
    Rectangle(1) = {0, 0, 0, 200, 200};
    Disk(2) = {0, 0, 0, 50}; Disk(3) = {200, 0, 0, 50};
    Disk(4) = {0, 200, 0, 50}; Disk(5) = {200, 200, 0, 50};
    BooleanDifference(9) = { Surface{1}; Delete; }{ Surface{2:5}; Delete; };
    e = 1e-3;
    l[] = Curve In BoundingBox {-e, 50 - e, -e, e, 150 + e, e};
    r[] = Curve In BoundingBox {200 - e, 50 - e, -e, 200 + e, 150 + e, e};
    b[] = Curve In BoundingBox {50 - e, -e, -e, 150 + e, e, e};
    t[] = Curve In BoundingBox {50 - e, 200 - e, -e, 150 + e, 200 + e, e};
    Periodic Curve {r[]} = {l[]} Translate {200, 0, 0};
    Periodic Curve {t[]} = {b[]} Translate {0, 200, 0};
    a[] = Boundary{ Surface{9}; };
    h[] = Abs(a[]); h[] -= {l[], r[], b[], t[]};
    Physical Surface("metal") = {9}; Physical Curve("edge") = {h[]};
    Physical Curve("left") = {l[]}; Physical Curve("right") = {r[]};
    Physical Curve("bottom") = {b[]}; Physical Curve("top") = {t[]};
    """
    path = mesh_file(folder / "corner.msh", text, size=12.0, degree=4)
    corner = Device.from_gmsh(path, length_unit="nm")
    laws = {
        "edge": DIFFUSE,
        "left": Periodic(to="right", voltage=VOLT),
        "bottom": Periodic(to="top"),
    }
    found, wanted = (
        hydrodynamic(device, matter, 4, **laws).periodic["left"].current
        for device in (corner, whole)
    )
    assert found == pytest.approx(wanted, abs=0, rel=5e-6)


SLIT = """
For k In {0:4}
  Point(1 + k) = {100 * Cos(k * Pi / 2), 100 * Sin(k * Pi / 2), 0};
  Point(11 + k) = {200 * Cos(k * Pi / 2), 200 * Sin(k * Pi / 2), 0};
  Line(21 + k) = {1 + k, 11 + k};
EndFor
Point(100) = {0, 0, 0};
For k In {0:3}
  Circle(31 + k) = {1 + k, 100, 2 + k};
  Circle(41 + k) = {11 + k, 100, 12 + k};
  Curve Loop(51 + k) = {21 + k, 41 + k, -(22 + k), -(31 + k)};
  Plane Surface(61 + k) = {51 + k};
EndFor
Transfinite Curve {21:25} = 6;
Transfinite Curve {31:34, 41:44} = 7;
Transfinite Surface {61:64};
Physical Surface("metal") = {61:64};
Physical Curve("first") = {21}; Physical Curve("second") = {25};
Physical Curve("inner") = {31:34}; Physical Curve("outer") = {41:44};
"""


@pytest.mark.parametrize(
    ("law", "ratio", "limit"),
    [("traction", 0.497406244496, 2e-8), ("literal", 0.492355362855, 3e-7)],
)
def test_ring(folder, law, ratio, limit):
    """A ring cut open, both sides of the cut in the same place: driven round and round."""
    matter = material(mean_free_path=100e-9)
    path = mesh_file(folder / "ring.msh", SLIT, degree=4)
    device = Device.from_gmsh(path, length_unit="nm")
    wall = Wall(specularity=0.0, law=law)
    pair = Periodic(to="second", voltage=VOLT)
    flow = hydrodynamic(device, matter, 4, first=pair, inner=wall, outer=wall)
    drude = matter.conductivity * VOLT / (2 * pi) * log(2)
    # The mesh: cells of degree 4 and twice the size of the default; their curvature is less exact.
    assert flow.periodic["first"].current / drude == pytest.approx(ratio, abs=0, rel=limit)
    # Ohm's law does not know the walls.
    found = ohmic(device, matter, first=pair, inner=wall, outer=wall).periodic["first"].current
    assert found == pytest.approx(drude, abs=0, rel=1e-6)


def test_ohmic_limit(folder):
    """1 - I/I_ohmic = c l + O(l^2), on a fine mesh."""
    matter = material(mean_free_path=8e-9)
    device = wavy(folder, 5.0)
    laws = {"left": Periodic(to="right", voltage=VOLT), "edges": DIFFUSE}
    wanted = ohmic(device, matter, **laws).periodic["left"].current
    missing = []
    for length in (8e-9, 4e-9, 2e-9):
        matter = material(mean_free_path=length)
        flow = hydrodynamic(device, matter, 4, **laws)
        missing.append(1 - flow.periodic["left"].current / wanted)
    once = 2 * np.array(missing[1:]) - missing[:-1]
    assert 0 < missing[2] < missing[1] < missing[0]
    assert np.abs(once).max() < 0.1 * missing[-1]
    assert abs(once[1]) < 0.4 * abs(once[0])


def test_power_is_dissipated():
    """V I of the pairs and contacts = heat, by quadrature of the fields."""
    matter = material(mean_free_path=40e-9)
    device = antidot(matter)
    laws = {
        "edge": Wall(specularity=0.2),
        "left": Periodic(to="right", voltage=VOLT),
        "bottom": Periodic(to="top", current=2e-6),
    }
    flow = hydrodynamic(device, matter, 4, **laws)
    assert flow.periodic["bottom"].current == 2e-6
    balance = dissipation(flow, penalty=True)
    assert balance == pytest.approx(flow.dissipated_power, abs=0, rel=1e-9)
    cold = ohmic(device, matter, **laws)
    assert joule(cold) == pytest.approx(cold.dissipated_power, abs=0, rel=1e-9)


PROBED = """
SetFactory("OpenCASCADE");
Rectangle(1) = {0, 0, 0, 200, 100};
Disk(2) = {70, 40, 0, 20};
BooleanDifference(9) = { Surface{1}; Delete; }{ Surface{2}; Delete; };
e = 1e-3;
l[] = Curve In BoundingBox {-e, -e, -e, e, 100 + e, e};
r[] = Curve In BoundingBox {200 - e, -e, -e, 200 + e, 100 + e, e};
b[] = Curve In BoundingBox {-e, -e, -e, 200 + e, e, e};
t[] = Curve In BoundingBox {-e, 100 - e, -e, 200 + e, 100 + e, e};
Periodic Curve {r[]} = {l[]} Translate {200, 0, 0};
a[] = Boundary{ Surface{9}; };
h[] = Abs(a[]); h[] -= {l[], r[], b[], t[]};
Physical Surface("metal") = {9};
Physical Curve("left") = {l[]}; Physical Curve("right") = {r[]};
Physical Curve("probe") = {h[]}; Physical Curve("bottom") = {b[]}; Physical Curve("top") = {t[]};
"""


@pytest.mark.parametrize("model", [hydrodynamic, ohmic])
def test_floating_contact_in_a_period(folder, model):
    """An island of metal that floats, beside a grounded side of the strip."""
    path = mesh_file(folder / "probed.msh", PROBED, size=12.0, degree=4)
    device, matter = Device.from_gmsh(path, length_unit="nm"), material(mean_free_path=40e-9)
    laws: dict[str, Boundary] = {
        "left": Periodic(to="right", voltage=VOLT),
        "bottom": Contact(potential=2e-3),
        "top": DIFFUSE,
    }
    floating = model(device, matter, probe=Contact(current=0.0), **laws)
    probe = floating.contacts["probe"]
    assert probe.current == 0.0
    # What flows in at the only other contact leaves nowhere else: a pair is no terminal.
    assert abs(floating.contacts["bottom"].current) < 1e-11 * abs(floating.periodic["left"].current)
    held = model(device, matter, probe=Contact(potential=probe.potential), **laws)
    assert abs(held.contacts["probe"].current) < 1e-11 * abs(floating.periodic["left"].current)
    # The level of the potential is free: all of it moves with the contact that is held.
    moved = model(
        device, matter, probe=Contact(current=0.0), **{**laws, "bottom": Contact(potential=0.0)}
    )
    shift = probe.potential - moved.contacts["probe"].potential
    assert shift == pytest.approx(2e-3, abs=0, rel=1e-11)
    # Reciprocity: a voltage across the period drives the probe as the probe drives the period.
    shorted = model(
        device,
        matter,
        probe=Contact(potential=VOLT),
        **{**laws, "left": Periodic(to="right"), "bottom": Contact(potential=0.0)},
    )
    driven = model(
        device, matter, probe=Contact(potential=0.0), **{**laws, "bottom": Contact(potential=0.0)}
    )
    assert driven.contacts["probe"].current == pytest.approx(
        shorted.periodic["left"].current, abs=1e-12 * abs(driven.periodic["left"].current)
    )
    assert driven.dissipated_power > 0


MISMATCHES: dict[str, tuple[Callable[[str], str], str]] = {
    "count": (
        lambda text: text.replace(
            "Periodic Curve {2} = {4} Translate {L, 0, 0};",
            "Transfinite Curve {2} = 4; Transfinite Curve {4} = 6;",
        ),
        "they have 21 and 13 nodes",
    ),
    "places": (
        lambda text: text.replace(
            "Periodic Curve {2} = {4} Translate {L, 0, 0};",
            "Transfinite Curve {2} = 5 Using Progression 1.2; Transfinite Curve {4} = 5;",
        ),
        "has no counterpart",
    ),
    "shape": (
        lambda text: text.replace("Point(3) = {X + L, 50, 0}", "Point(3) = {X + L, 40, 0}").replace(
            "Periodic Curve {2} = {4} Translate {L, 0, 0};", ""
        ),
        "one is no translated copy of the other",
    ),
    "turned": (
        lambda text: (
            text.replace("Point(3) = {X + L, 50, 0}", "Point(3) = {X + L - 30, 50, 0}")
            .replace("Point(4) = {X, 50, 0}", "Point(4) = {X + 30, 50, 0}")
            .replace(
                "Periodic Curve {2} = {4} Translate {L, 0, 0};", "Transfinite Curve {2, 4} = 5;"
            )
        ),
        "has no counterpart",
    ),
}


@pytest.mark.parametrize("model", [hydrodynamic, ohmic])
@pytest.mark.parametrize("name", MISMATCHES)
def test_meshes_that_do_not_match(folder, name, model):
    """Refused, saying why, where, and what to write in the drawing."""
    change, message = MISMATCHES[name]
    path = mesh_file(folder / f"bad-{name}.msh", change("L = 200; X = 0;" + STRIP), size=30.0)
    device = Device.from_gmsh(path, length_unit="nm")
    with pytest.raises(GeometryError) as caught:
        model(device, material(), edges=DIFFUSE, **PAIR)
    text = str(caught.value)
    assert message in text
    assert f"bad-{name}.msh" in text
    assert "'source' and 'drain'" in text
    assert "Periodic Curve {right} = {left} Translate" in text


@pytest.mark.parametrize("ratio", [0.1, 1.0])
def test_periodic_film(ratio):
    """In 3D, on the same mesh: the film of the gallery driven by a voltage per period."""
    matter = material(
        carriers="3d",
        scattering="isotropic",
        conductivity=2.4e6,
        mean_free_path=np.sqrt(5) * ratio * 20e-9,
    )
    device = Device.from_gmsh(
        GEOMETRIES / "film.geo",
        length_unit="nm",
        parameters={"length": 40, "width": 10, "thickness": 20, "layers": 10, "size": 4},
    )
    walls = {"surfaces": DIFFUSE, "sides": Wall(specularity=1.0)}
    exact = Ribbon(
        width=20e-9,
        diffusion_length=ratio * 20e-9,
        slip_rate=DIFFUSE.slip_rate(matter),
        drive=matter.conductivity * VOLT / 40e-9,
    )
    wanted = exact.current * 10e-9
    contacted, periodic = (
        hydrodynamic(device, matter, 2, **walls, **ends) for ends in (ENDS, PAIR)
    )
    first = abs(contacted.contacts["source"].current / wanted - 1)
    second = abs(periodic.periodic["source"].current / wanted - 1)
    assert second < 1.1 * first + 1e-9  # the limit of GMRES
    assert second < (5e-5 if ratio < 1 else 2e-8)
    given = {"source": Periodic(to="drain", current=2 * wanted)}
    flow = hydrodynamic(device, matter, 2, **walls, **given)
    assert flow.periodic["source"].potential == pytest.approx(2 * VOLT, abs=0, rel=1e-4)


def test_box_with_two_pairs(folder):
    """A film that is periodic along and across: the edges of the box have four nodes in one."""
    matter = material(
        carriers="3d", scattering="isotropic", conductivity=2.4e6, mean_free_path=40e-9
    )
    text = (GEOMETRIES / "film.geo").read_text()
    sides = 'Physical Surface("sides") = {film[3], film[5]};'
    assert sides in text
    pair = 'Physical Surface("front") = {film[3]}; Physical Surface("back") = {film[5]};\n'
    path = folder / "lattice.geo"
    path.write_text(text.replace(sides, pair))
    parameters = {"length": 40, "width": 10, "thickness": 20, "layers": 6, "size": 5}
    device = Device.from_gmsh(path, length_unit="nm", parameters=parameters)
    laws = {"source": Periodic(to="drain", voltage=VOLT), "surfaces": DIFFUSE}
    smooth = Wall(specularity=1.0)
    wanted = hydrodynamic(device, matter, 2, front=smooth, back=smooth, **laws)
    found = hydrodynamic(device, matter, 2, front=Periodic(to="back"), **laws)
    current = wanted.periodic["source"].current
    assert found.periodic["source"].current == pytest.approx(current, abs=0, rel=1e-7)
    assert abs(found.periodic["front"].current) < 1e-6 * current
    assert found.evidence["iterations"] <= 45


def test_wavy_walls_at_a_periodic_end():
    """Walls meet the ends at more than a right angle, but a periodic end is no end of a wall.

    Grading these points, as is done where contacts end, kept the mesh generator busy for ever:
    the finest cells would be thousands of times finer than the layer.
    """
    matter = material(mean_free_path=40e-9)
    device = draw("wavy_channel", matter, ("edges",))
    layer = matter.vorticity_diffusion_length
    assert device.smallest_cell > 0.02 * layer
    laws = {"left": Periodic(to="right", voltage=VOLT), "edges": DIFFUSE}
    flow = hydrodynamic(device, matter, 4, **laws)
    assert flow.periodic["left"].current > 0
