"""Limits: l -> 0 is Ohm's law, s -> 0 uniform flow, s -> infinity no slip, order after order."""

from __future__ import annotations

from math import inf

import numpy as np
import pytest
from conftest import draw, material, solve, thorough

from meso import Contact, Wall
from meso.exact import Bend, Corbino
from meso.flow import Ohmic

VOLT = 1e-3


def ohmic_current(device, matter, walls, order=4):
    ends = {"source": Contact(potential=VOLT), "drain": Contact(potential=0.0)}
    laws = {**ends, **dict.fromkeys(walls, Wall(specularity=1.0))}
    materials = dict.fromkeys(device.regions, matter)
    flow = Ohmic(device, materials=materials, boundaries=laws, order=order).solve()
    return flow.contacts["source"].current


WIDE = {"opening": 60, "fillet": 19, "length": 160}


@pytest.mark.parametrize(
    ("name", "walls", "parameters"),
    [("annulus", ("inner", "outer"), {}), thorough("constriction", ("edges",), WIDE)],
)
def test_ohmic_limit(name, walls, parameters):
    """Diffuse walls hold back a layer of thickness l: 1 - I/I_ohmic = c l + O(l^2)."""
    lengths = np.array([8e-9, 4e-9, 2e-9])
    missing = []
    for length in lengths:
        matter = material(mean_free_path=length)
        device = draw(name, matter, walls, **parameters)
        flow = solve(device, matter, **dict.fromkeys(walls, Wall(specularity=0.0)))
        missing.append(1 - flow.contacts["source"].current / ohmic_current(device, matter, walls))
    first, second = np.log2(np.array(missing[:-1]) / missing[1:])
    # Order one, the better the smaller l is against the radius of the inner wall or the fillet.
    assert abs(first - 1) < 0.2
    assert abs(second - 1) < min(0.1, 0.7 * abs(first - 1))
    # Two Richardson steps remove c l and the next term; what is left is O((l/radius)^3).
    once = 2 * np.array(missing[1:]) - missing[:-1]
    twice = (4 * once[1] - once[0]) / 3
    assert abs(once[1]) < 0.15 * missing[-1]
    assert abs(twice) < 0.03 * missing[-1]


def test_unresolved_layer():
    """l a thousandth of the cells: currents are Ohm's all the same."""
    device = draw("annulus", material(mean_free_path=100e-9), ())
    matter = material(mean_free_path=1e-11)
    flow = solve(device, matter, inner=Wall(specularity=0.0), outer=Wall(specularity=0.0))
    exact = matter.conductivity * VOLT / (np.pi / 2) * np.log(2)
    # The layers hold back some l/width = 1e-4; that they are not resolved adds no more than that.
    assert flow.contacts["source"].current == pytest.approx(exact, abs=0, rel=3e-4)


def test_ohmic_closed_forms():
    matter = material()
    bend = draw("annulus", matter, ())
    exact = matter.conductivity * VOLT / (np.pi / 2) * np.log(2)
    # Smooth fields on the default mesh: currents within 1e-6 (meso.geometry.sizing).
    found = ohmic_current(bend, matter, ("inner", "outer"))
    assert found == pytest.approx(exact, abs=0, rel=1e-6)
    ring = draw("corbino", matter, ())
    exact = Corbino(inner=50e-9, outer=200e-9).conductance * matter.conductivity * VOLT
    assert ohmic_current(ring, matter, ()) == pytest.approx(exact, abs=0, rel=1e-6)


def test_no_friction(ribbon):
    device, matter = ribbon(4)
    drude = matter.conductivity * VOLT * 100 / 400
    smooth = solve(device, matter, edges=Wall(specularity=1.0))
    free = solve(device, matter, edges=Wall(slip_length=inf))
    J = smooth.current_density.x.array.reshape(-1, 2)
    uniform = matter.conductivity * VOLT / 400e-9
    # Uniform flow is in the discrete space: rounding.
    assert np.abs(J - [uniform, 0.0]).max() < 1e-10 * uniform
    assert free.contacts["source"].current == pytest.approx(drude, abs=0, rel=1e-12)
    assert smooth.contacts["source"].current == pytest.approx(drude, abs=0, rel=1e-12)
    # First order in s: 1 - G/G_Drude = 2 l^2 s/W for small s, with l^2 = lambda^2/2.
    weak = solve(device, matter, edges=Wall(slip_length=1e-3))
    loss = 1 - weak.contacts["source"].current / drude
    # The next term is s l coth(W/2l) ~ 7e-6 of it; 1e-12 of rounding is 1e-6 of it.
    assert loss == pytest.approx(100e-18 / (1e-3 * 100e-9), abs=0, rel=2e-5)


def test_no_slip():
    """Slip lengths to zero meet the wall with given J = 0, linearly."""
    matter = material(mean_free_path=100e-9)
    device = draw("annulus", matter, ("inner", "outer"))

    def current(slip_length):
        wall = Wall(slip_length=slip_length)
        return solve(device, matter, inner=wall, outer=wall).contacts["source"].current

    exact = Bend(
        inner=100e-9,
        outer=200e-9,
        diffusion_length=matter.vorticity_diffusion_length,
        inner_slip=inf,
        outer_slip=inf,
        drive=matter.conductivity * VOLT / (np.pi / 2),
    )
    sticking = current(0.0)
    assert sticking == pytest.approx(
        exact.current, abs=0, rel=1e-6
    )  # default mesh (meso.geometry.sizing)
    first, second = (current(b) / sticking - 1 for b in (1e-12, 1e-13))
    # dI/I = 2 b dJ/dn ... ~ 6 b/width: linear, up to b/width = 1e-5 itself.
    assert first == pytest.approx(10 * second, abs=0, rel=1e-3)
    assert 1e-5 < first < 1e-3


def test_viscous_limit():
    """l -> infinity: Stokes flow, whose conductance falls as 1/l^2 between rough walls."""
    wall = Wall(slip_length=0.0)
    device = draw("annulus", material(mean_free_path=100e-9), ("inner", "outer"))
    for length in (1e-6, 1e-4, 1e-2):
        matter = material(mean_free_path=None, vorticity_diffusion_length=length)
        exact = Bend(
            inner=100e-9,
            outer=200e-9,
            diffusion_length=length,
            inner_slip=inf,
            outer_slip=inf,
            drive=matter.conductivity * VOLT / (np.pi / 2),
        )
        found = solve(device, matter, inner=wall, outer=wall).contacts["source"].current
        # Default mesh (meso.geometry.sizing), whatever l.
        assert found == pytest.approx(exact.current, abs=0, rel=1e-6)
