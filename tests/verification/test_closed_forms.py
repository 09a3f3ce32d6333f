"""Flows with closed forms: ribbon, bend, Corbino ring, layers, reservoirs."""

from __future__ import annotations

from math import inf, pi, radians, sqrt

import numpy as np
import pytest
from conftest import draw, material, mesh_file, solve

from meso import Contact, Device, Wall
from meso.constants import ELECTRON_CHARGE, ELECTRON_MASS, ELEMENTARY_CHARGE, HBAR
from meso.exact import Bend, Corbino, Layers, Ribbon
from meso.orbital import edge_moments, orbital_density, vorticity

WIDTH, LENGTH, VOLT = 100e-9, 400e-9, 1e-3
# The default mesh is made for these (meso.geometry.sizing): currents and profiles within 1e-6, wall
# vorticities within 1e-5, at order 3 and above.
CURRENT, PROFILE, WALL = 1e-6, 1e-6, 1e-5


def exact_ribbon(matter, wall):
    return Ribbon(
        width=WIDTH,
        diffusion_length=matter.vorticity_diffusion_length,
        slip_rate=wall.slip_rate(matter),
        drive=matter.conductivity * VOLT / LENGTH,
    )


RIBBONS = {
    "diffuse": ({}, Wall(specularity=0.0)),
    "half": ({}, Wall(specularity=0.5)),
    "isotropic": ({"scattering": "isotropic"}, Wall(specularity=0.0)),
    "electron-electron": ({"electron_electron_mean_free_path": 20e-9}, Wall(specularity=0.0)),
    "3d": (
        {"carriers": "3d", "conductivity": 2.4e6, "scattering": "isotropic"},
        Wall(specularity=0.0),
    ),
    "slip length": ({}, Wall(slip_length=4e-9, law="literal")),
    "no slip": ({}, Wall(slip_length=0.0)),
    "no friction": ({}, Wall(slip_length=inf)),
}


@pytest.mark.parametrize("order", [3, 4])
@pytest.mark.parametrize("name", RIBBONS)
def test_ribbon(ribbon, name, order):
    changes, wall = RIBBONS[name]
    if not changes:
        device, matter = ribbon(order)
    else:
        matter = material(**changes)
        device = draw("ribbon", matter, ("edges",), order=order)
    flow = solve(device, matter, order, edges=wall)
    exact = exact_ribbon(matter, wall)
    for terminal, sign in (("source", 1), ("drain", -1)):
        assert flow.contacts[terminal].current == pytest.approx(
            sign * exact.current, abs=0, rel=CURRENT
        )

    # The mesh is made for layers of depth B = 0.4; without slip B = 1.
    limit = PROFILE if wall.slip_length != 0.0 else PROFILE / 0.4
    y = np.linspace(-WIDTH / 2, WIDTH / 2, 401)
    for x in (0.0, 0.37 * LENGTH, LENGTH):  # the contacts make no end effect
        J = flow.sample(np.column_stack([0 * y + x, y]))["current_density"]
        error = J - np.column_stack([exact.current_density(y), 0 * y])
        assert np.abs(error).max() < limit * exact.current_density(0.0)

    edge = flow.profile("edges", 3)
    curl = ELECTRON_CHARGE * edge["vorticity"]
    scale = exact.drive / matter.vorticity_diffusion_length
    # Without slip the vorticity is a derivative of the solution: an order less.
    limit = WALL if wall.slip_length != 0.0 else 20 * WALL
    assert np.abs(curl - exact.curl(edge["y"])).max() < limit * scale


@pytest.mark.parametrize("order", [3, 4])
def test_ribbon_orbital_density(ribbon, order):
    device, matter = ribbon(order)
    wall = Wall(specularity=0.0)
    flow, exact = solve(device, matter, order, edges=wall), exact_ribbon(matter, wall)
    omega = vorticity(flow)
    density = orbital_density(flow, omega)
    kappa = -(HBAR**2) / (2 * ELEMENTARY_CHARGE * ELEMENTARY_CHARGE)  # at 1 eV, and e < 0
    wall_value = kappa * exact.curl(WIDTH / 2)
    # The antiparallel edges: the extrema are the wall values.
    np.testing.assert_allclose(density.extrema(), [wall_value, -wall_value], rtol=WALL)
    y = np.linspace(-WIDTH / 2, WIDTH / 2, 401)
    inside = device.sample(density.function(), np.column_stack([0 * y + 0.4 * LENGTH, y]))
    # Away from walls L_z is a derivative of the solution: ten times the limit at walls.
    error = np.abs(inside - kappa * exact.curl(y)).max()
    assert error < 10 * WALL * abs(wall_value)

    # Half the width holds kappa (J_centre - J_wall) per length; L_z is a derivative, integrated:
    # three times the limit of the profile.
    moments = edge_moments(flow, density)
    assert len(moments) == 2
    for moment in moments:
        sign = np.sign(moment.center[1])
        assert moment.length == pytest.approx(LENGTH, abs=0, rel=1e-12)
        per_length = moment.moment / moment.length
        assert per_length == pytest.approx(sign * kappa * exact.half_moment, abs=0, rel=3 * PROFILE)


def test_value_of_the_paper():
    """Valet et al. eq. 10: 2.16257e13 hbar/m^2 for m* = m_e, 1 eV, 1e5 V/m, Kn -> 0.

    sigma/lambda = e^2 k_F/(2 pi hbar), that of a Fermi line with two states per wave vector.
    """
    wave_number = sqrt(2 * ELECTRON_MASS * ELEMENTARY_CHARGE) / HBAR
    ratio = ELEMENTARY_CHARGE**2 * wave_number / (2 * pi * HBAR)
    length = 1e-9
    matter = material(mean_free_path=length, conductivity=ratio * length)
    exact = Ribbon(
        width=1e4 * length,
        diffusion_length=matter.vorticity_diffusion_length,
        slip_rate=matter.slip_rate(0.0),
        drive=matter.conductivity * 1e5,
    )
    # Printed to six digits.
    density = matter.orbital_coupling * exact.curl(exact.width / 2) / HBAR
    assert density == pytest.approx(-2.16257e13, abs=0, rel=3e-6)


BENDS = {
    ("radial-tangential", "traction"): 0.497406244496,
    ("radial-tangential", "literal"): 0.492355362855,
    ("isotropic", "traction"): 0.541968906409,
    ("isotropic", "literal"): 0.549114314810,
}


def exact_bend(matter, inner, outer, angle=90.0):
    return Bend(
        inner=100e-9,
        outer=200e-9,
        diffusion_length=matter.vorticity_diffusion_length,
        inner_slip=inner.slip_rate(matter),
        outer_slip=outer.slip_rate(matter),
        drive=matter.conductivity * VOLT / radians(angle),
        law=inner.law,
    )


@pytest.mark.parametrize("order", [3, 4])
@pytest.mark.parametrize(("scattering", "law"), BENDS)
def test_bend(scattering, law, order):
    """lambda = 1, 1 < r < 2, diffuse walls."""
    matter = material(mean_free_path=100e-9, scattering=scattering)
    wall = Wall(specularity=0.0, law=law)
    device = draw("annulus", matter, ("inner", "outer"), order=order)
    flow = solve(device, matter, order, inner=wall, outer=wall)
    exact = exact_bend(matter, wall, wall)
    assert exact.conductance_ratio == pytest.approx(BENDS[scattering, law], abs=0, rel=1e-11)
    assert flow.contacts["source"].current == pytest.approx(exact.current, abs=0, rel=CURRENT)

    r = np.linspace(100e-9, 200e-9, 101)[1:-1]
    for angle in (0.3, 1.2):
        at = np.column_stack([r * np.cos(angle), r * np.sin(angle)])
        J = flow.sample(at)["current_density"]
        along = J @ [-np.sin(angle), np.cos(angle)]
        across = J @ [np.cos(angle), np.sin(angle)]
        # Cells are sized for the current, whose error is the square of this one.
        limit = 10 * PROFILE * exact.current_density(r).max()
        assert np.abs(along - exact.current_density(r)).max() < limit
        assert np.abs(across).max() < limit
    largest = np.abs(exact.curl([100e-9, 200e-9])).max()
    for name, radius in (("inner", 100e-9), ("outer", 200e-9)):
        curl = ELECTRON_CHARGE * flow.profile(name, 3)["vorticity"]
        assert np.abs(curl - exact.curl(radius)).max() < 4 * WALL * largest


@pytest.mark.parametrize(("length", "limit"), [(100e-9, 5e-5), (30e-9, 5e-6), (10e-9, 1e-6)])
def test_bend_orbital_moment(length, limit):
    """What is nearer to either wall, up to the circle between them; on 114 to 2033 cells."""
    matter, wall = material(mean_free_path=length), Wall(specularity=0.0)
    device = draw("annulus", matter, ("inner", "outer"))
    flow, exact = solve(device, matter, inner=wall, outer=wall), exact_bend(matter, wall, wall)
    x, weights = np.polynomial.legendre.leggauss(60)
    for moment in edge_moments(flow, orbital_density(flow, vorticity(flow))):
        r = {"inner": 125e-9, "outer": 175e-9}[moment.wall] + 25e-9 * x
        integral = pi / 2 * 25e-9 * weights @ (r * exact.curl(r))
        assert moment.moment == pytest.approx(matter.orbital_coupling * integral, rel=limit, abs=0)


@pytest.mark.parametrize("angle", [30.0, 300.0])
def test_bend_with_different_walls(angle):
    """One specular and one diffuse wall, sharp and long bends, a thin layer."""
    matter = material(mean_free_path=20e-9)
    inner, outer = Wall(specularity=1.0), Wall(specularity=0.1)
    device = draw("annulus", matter, ("inner", "outer"), angle=angle)
    flow = solve(device, matter, inner=inner, outer=outer)
    exact = exact_bend(matter, inner, outer, angle)
    assert flow.contacts["drain"].current == pytest.approx(-exact.current, abs=0, rel=CURRENT)


@pytest.mark.parametrize("law", ["ideal", "reservoir"])
@pytest.mark.parametrize("carriers", ["2d", "3d"])
def test_corbino(law, carriers):
    matter = material(carriers=carriers, scattering="isotropic", mean_free_path=60e-9)
    device = draw("corbino", matter, ("source", "drain"))
    flow = solve(
        device, matter, source=Contact(potential=VOLT, law=law), drain=Contact(potential=0, law=law)
    )
    factor = 0.0 if law == "ideal" else {"2d": 8 / (3 * pi), "3d": 0.75}[carriers]
    exact = Corbino(
        inner=50e-9,
        outer=200e-9,
        diffusion_length=matter.vorticity_diffusion_length,
        contact_step=factor * matter.mean_free_path,
    )
    current = exact.conductance * matter.conductivity * VOLT
    assert flow.contacts["source"].current == pytest.approx(current, abs=0, rel=CURRENT)
    # No vorticity anywhere; J/l is its scale. Inside it is a derivative: ten times the limit.
    scale = flow.fields["current_density"].extrema()[1] / matter.vorticity_diffusion_length
    largest = np.abs(vorticity(flow).extrema()).max()
    assert largest < 10 * WALL * scale / ELEMENTARY_CHARGE


@pytest.mark.parametrize("carriers", ["2d", "3d"])
def test_reservoirs_add_their_resistance(ribbon, carriers):
    """Specular channel: J is uniform, R = (L + 2 b)/(sigma W), b = (8/3pi or 3/4) lambda."""
    device, _ = ribbon(4)
    matter = material(carriers=carriers, scattering="isotropic", mean_free_path=70e-9)
    ends = {
        "source": Contact(potential=VOLT, law="reservoir"),
        "drain": Contact(potential=0.0, law="reservoir"),
    }
    flow = solve(device, matter, edges=Wall(specularity=1.0), **ends)
    step = {"2d": 8 / (3 * pi), "3d": 0.75}[carriers] * matter.mean_free_path
    resistance = (LENGTH + 2 * step) / (matter.conductivity * WIDTH)
    # A uniform J and a linear potential are in the discrete spaces: only rounding.
    assert flow.contacts["source"].current == pytest.approx(VOLT / resistance, abs=0, rel=1e-11)


LAYERED = """
Point(1) = {0, 0, 0}; Point(2) = {L, 0, 0}; Point(3) = {L, d1, 0}; Point(4) = {0, d1, 0};
Point(5) = {L, d1 + d2, 0}; Point(6) = {0, d1 + d2, 0};
Line(1) = {1, 2}; Line(2) = {2, 3}; Line(3) = {3, 4}; Line(4) = {4, 1};
Line(5) = {3, 5}; Line(6) = {5, 6}; Line(7) = {6, 4};
Curve Loop(1) = {1, 2, 3, 4}; Plane Surface(1) = {1};
Curve Loop(2) = {-3, 5, 6, 7}; Plane Surface(2) = {2};
Physical Surface("lower") = {1}; Physical Surface("upper") = {2};
Physical Curve("inside") = {3};
"""
PARALLEL = LAYERED + (
    'Physical Curve("bottom") = {1}; Physical Curve("top") = {6};'
    'Physical Curve("source") = {4, 7}; Physical Curve("drain") = {2, 5};'
)
SERIES = LAYERED + (
    'Physical Curve("source") = {1}; Physical Curve("drain") = {6};'
    'Physical Curve("edges") = {2, 4, 5, 7};'
)


@pytest.mark.parametrize("contrast", [0.25, 10.0, 1000.0])
def test_parallel_layers(folder, contrast):
    """Two layers along the current: J and the traction are continuous between them."""
    text = "L = 100; d1 = 40; d2 = 60;\n" + PARALLEL
    path = mesh_file(folder / f"parallel-{contrast:g}.msh", text, size=12.0)
    device = Device.from_gmsh(path, length_unit="nm")
    lower = material(mean_free_path=40e-9)
    upper = material(mean_free_path=60e-9, conductivity=contrast * lower.conductivity)
    bottom, top = Wall(specularity=0.0), Wall(specularity=0.6)
    flow = solve(device, {"lower": lower, "upper": upper}, bottom=bottom, top=top)
    exact = Layers(
        thickness=(40e-9, 60e-9),
        conductivity=(lower.conductivity, upper.conductivity),
        diffusion_length=(lower.vorticity_diffusion_length, upper.vorticity_diffusion_length),
        lower_slip=bottom.slip_rate(lower),
        upper_slip=top.slip_rate(upper),
        field=VOLT / 100e-9,
    )
    # The fields are smooth in each layer and h < l/2: order 4 is exact to about (h/l)^5/5!
    # in the field and the square of it in the current.
    assert flow.contacts["source"].current == pytest.approx(exact.current, abs=0, rel=CURRENT)
    y = np.linspace(0, 100e-9, 101)
    at = np.column_stack([0 * y + 30e-9, y])
    J = flow.sample(at)["current_density"]
    error = np.abs(J[:, 0] - exact.current_density(y)).max()
    assert error < 2e-5 * exact.current_density(y).max()


@pytest.mark.parametrize("contrast", [0.25, 1000.0])
def test_series(folder, contrast):
    """Across the layers, with specular walls: J is uniform, resistances add."""
    text = "L = 100; d1 = 40; d2 = 60;\n" + SERIES
    path = mesh_file(folder / f"series-{contrast:g}.msh", text, size=20.0)
    device = Device.from_gmsh(path, length_unit="nm")
    lower = material(mean_free_path=40e-9)
    upper = material(mean_free_path=60e-9, conductivity=contrast * lower.conductivity)
    flow = solve(device, {"lower": lower, "upper": upper}, edges=Wall(specularity=1.0))
    resistance = (40e-9 / lower.conductivity + 60e-9 / upper.conductivity) / 100e-9
    # In the discrete spaces: only rounding, times the contrast.
    assert flow.contacts["source"].current == pytest.approx(VOLT / resistance, abs=0, rel=1e-9)
    assert device.interfaces == ("inside",)
