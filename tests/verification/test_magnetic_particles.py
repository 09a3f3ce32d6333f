"""Ballistic devices in a magnetic field against the geometry of orbits, from none to tiny ones.

Along a smooth wall an electron that leaves it at the angle alpha to the normal skips by the chord
2 R_c cos alpha, again and again: what focuses is a double integral (H. van Houten et al. 1989).
"""

from __future__ import annotations

import runpy
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from conftest import GEOMETRIES, thorough
from scipy.stats import chi2

import meso
from meso import Contact, Device, FermiLine, Material, Wall
from meso.constants import ELEMENTARY_CHARGE, HBAR
from meso.flow import Flow, Particles

PER_PATH, WAVEVECTOR = 5.4e3, 1.4e8  # sigma/lambda, S/m; 1/m
DEMOS = GEOMETRIES.parent / "demos"
SHEET = Material(
    carriers="2d", conductivity=PER_PATH * 1.0, mean_free_path=1.0, fermi_wavevector=WAVEVECTOR
)
#: Of the focusing device, nm.
DISTANCE, OPENING = 1000, 60


def solved(
    device: Device,
    contacts: tuple[str, ...],
    radius: float,
    tolerance: float,
    sheet: Material = SHEET,
) -> Flow:
    """Particles on orbits of this radius, nm; positive ones turn counter-clockwise."""
    walls = set(device.boundaries) - set(contacts)
    laws = {
        **{name: Contact(potential=1e-3 * (name == contacts[0])) for name in contacts},
        **dict.fromkeys(walls, Wall(specularity=1.0)),
    }
    return Particles(
        device,
        materials=dict.fromkeys(device.regions, sheet),
        boundaries=laws,
        magnetic_field=HBAR * WAVEVECTOR / (ELEMENTARY_CHARGE * radius * 1e-9),
        tolerance=tolerance,
        seed=1,
    ).solve()


@cache
def focusing() -> Device:
    return Device.from_gmsh(DEMOS / "focusing" / "focusing.geo", length_unit="nm")


@pytest.mark.parametrize("tolerance", [0.03, thorough(0.001)])
def test_focusing(tolerance: float) -> None:
    """What the collector gets over the field: nothing, peaks, and all that skips along."""
    off, names = [], ("injector", "collector", "drain")
    skipping = runpy.run_path(str(DEMOS / "focusing" / "laws.py"))["skipping"]
    sharvin = 2 / np.pi * PER_PATH * OPENING * 1e-9
    for fields in (0.4, 1.0, 1.3, 2.0, 3.5, 25.0):  # distance over diameter
        flow = solved(focusing(), names, DISTANCE / (2 * fields), tolerance)
        matrix, errors = flow.conductance_matrix, flow.counted.errors
        there, back = skipping(DISTANCE / (2 * fields))
        off.append((matrix[1, 0] + sharvin * there) / errors[1, 0])
        if fields > 3:  # below nearly nothing comes back, too little to tell its error
            off.append((matrix[1, 1] - sharvin * (1 - back)) / errors[1, 1])
        assert abs(matrix[0, 1]) <= 3.2 * errors[0, 1]  # nothing goes the other way
    assert np.abs(off).max() < 3.2
    assert 0.01 < chi2.cdf(np.square(off).sum(), len(off)) < 0.99
    # All that leaves the injector skips along to the collector: its voltage is that of Hall.
    ends = ("injector", "drain"), ("collector", "drain")
    hall = 2 * fields / (PER_PATH * DISTANCE * 1e-9)
    value = meso.four_terminal(names, matrix, *ends)
    assert abs(value - hall) < 3.2 * flow.counted.four_terminal(*ends)


@pytest.mark.parametrize("tolerance", [0.03, thorough(0.001)])
def test_cross(tolerance: float) -> None:
    """A billiard of four arms: bend resistance without a field, that of Hall in strong ones."""
    arms, width = ("left", "right", "top", "bottom"), 100e-9
    parameters = {"width": 100, "length": 250, "fillet": 0}
    device = Device.from_gmsh(GEOMETRIES / "cross.geo", length_unit="nm", parameters=parameters)
    sharvin = 2 / np.pi * PER_PATH * width
    straight, aside = np.sqrt(2) - 1, 1 - np.sqrt(0.5)  # arms with smooth walls keep all modes
    exact = np.full((4, 4), -aside)
    exact[[0, 1, 2, 3], [1, 0, 3, 2]] = -straight
    np.fill_diagonal(exact, 1)
    flow = solved(device, arms, np.inf, tolerance)
    off = (flow.conductance_matrix / sharvin - exact) / (flow.counted.errors / sharvin)
    assert np.abs(off).max() < 3.2
    for radius in (20.0, 4.0, 0.5):
        flow = solved(device, arms, radius, tolerance)
        value, ends = 1 / (PER_PATH * radius * 1e-9), (arms[:2], arms[2:])
        error = flow.counted.four_terminal(*ends)
        found = meso.four_terminal(arms, flow.conductance_matrix, *ends)
        assert abs(found - value) < 3.2 * error < 10 * tolerance * value


@pytest.mark.parametrize(
    "line",
    [
        FermiLine(kind="ellipse", ratio=2, angle=20),
        thorough(FermiLine(kind="hexagon", warping=0.1, angle=10)),
    ],
)
def test_orbits_that_are_no_circles(line: FermiLine) -> None:
    """The resistance of Hall counts electrons, whatever their orbits; G(B) is that of -B turned."""
    arms, radius = ("left", "right", "top", "bottom"), 20.0
    parameters = {"width": 100, "length": 200, "fillet": 20}
    device = Device.from_gmsh(
        GEOMETRIES / "cross.geo", length_unit="nm", parameters=parameters, order=2
    )
    sheet = replace(SHEET, fermi_line=line)
    one, two = (solved(device, arms, r, 0.08, sheet) for r in (radius, -radius))
    around = np.abs(np.diff(line.contour().waves(np.linspace(0, 2 * np.pi, 10001)))).sum()
    value = 1 / (PER_PATH * radius * 1e-9 * 2 * np.pi / around)
    ends = arms[:2], arms[2:]
    found = meso.four_terminal(arms, one.conductance_matrix, *ends)
    assert abs(found - value) < 3.2 * one.counted.four_terminal(*ends)
    off = one.conductance_matrix - two.conductance_matrix.T
    error = np.hypot(one.counted.errors, two.counted.errors.T)
    # Few go where orbits do not lead: so few tell little of their own error.
    assert (np.abs(off) < 3.2 * error + 1e-3 * np.abs(one.conductance_matrix).max()).all()
