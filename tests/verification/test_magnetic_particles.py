"""Ballistic devices in a magnetic field against the geometry of orbits, from none to tiny ones.

Along a smooth wall an electron that leaves it at the angle alpha to the normal skips by the chord
2 R_c cos alpha, again and again: what focuses is a double integral (H. van Houten et al. 1989).
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from conftest import GEOMETRIES, thorough
from scipy.stats import chi2

import meso
from meso import Contact, Device, Material, Wall
from meso.constants import ELEMENTARY_CHARGE, HBAR
from meso.flow import Flow, Particles

PER_PATH, WAVEVECTOR = 5.4e3, 1.4e8  # sigma/lambda, S/m; 1/m
DEMOS = GEOMETRIES.parent / "demos"
SHEET = Material(
    carriers="2d", conductivity=PER_PATH * 1.0, mean_free_path=1.0, fermi_wavevector=WAVEVECTOR
)
#: Of the focusing device, nm.
DISTANCE, OPENING, HEIGHT, MARGIN = 1000, 60, 1200, 600


def solved(device: Device, contacts: tuple[str, ...], radius: float, tolerance: float) -> Flow:
    """Particles on orbits of this radius, nm; positive ones turn counter-clockwise."""
    walls = set(device.boundaries) - set(contacts)
    laws = {
        **{name: Contact(potential=1e-3 * (name == contacts[0])) for name in contacts},
        **dict.fromkeys(walls, Wall(specularity=1.0)),
    }
    return Particles(
        device,
        materials=dict.fromkeys(device.regions, SHEET),
        boundaries=laws,
        magnetic_field=HBAR * WAVEVECTOR / (ELEMENTARY_CHARGE * radius * 1e-9),
        tolerance=tolerance,
        seed=1,
    ).solve()


def skipping(radius: float, *, points: int = 1000) -> tuple[float, float]:
    """Which parts of what one contact emits the other collects, and it takes back itself."""
    at = (np.arange(points) + 0.5) / points
    x, sine = np.meshgrid(OPENING * (at - 0.5), 2 * at - 1)  # forwards is to the right
    chord = 2 * radius * np.sqrt(1 - sine**2)
    # Orbits that begin backwards bulge out at both ends.
    bulge = np.where(sine < 0, radius - chord / 2, 0.0)
    free = (radius * (1 - sine) < HEIGHT) & (x - bulge > -MARGIN)
    back = free & (x + chord < OPENING / 2)
    last = x + np.ceil((DISTANCE - OPENING / 2 - x) / chord) * chord
    there = free & ~back & (last < DISTANCE + OPENING / 2) & (last + bulge < DISTANCE + MARGIN)
    return float(there.mean()), float(back.mean())


@cache
def focusing() -> Device:
    return Device.from_gmsh(DEMOS / "focusing" / "focusing.geo", length_unit="nm")


@pytest.mark.parametrize("tolerance", [0.02, thorough(0.001)])
def test_focusing(tolerance: float) -> None:
    """What the collector gets over the field: nothing, peaks, and all that skips along."""
    off, names = [], ("injector", "collector", "drain")
    sharvin = 2 / np.pi * PER_PATH * OPENING * 1e-9
    for fields in (0.4, 0.8, 1.0, 1.3, 2.0, 3.5, 6.0, 25.0):  # distance over diameter
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


@pytest.mark.parametrize("tolerance", [0.02, thorough(0.001)])
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
        for voltage, value in ((("top", "bottom"), 1 / (PER_PATH * radius * 1e-9)),):
            found = meso.four_terminal(arms, flow.conductance_matrix, arms[:2], voltage)
            error = flow.counted.four_terminal(arms[:2], voltage)
            assert abs(found - value) < 3.2 * error
            assert error < 3 * tolerance * value
