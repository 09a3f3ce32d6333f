"""The closed forms themselves: equations, boundary conditions, limits, no overflow."""

from __future__ import annotations

from math import inf, log, pi, sqrt

import numpy as np
import pytest

from meso.exact import Bend, Corbino, Layers, Ribbon, RoundWire

# lambda = 1, 1 < r < 2: I/I_Drude, then J at 1, 1.5, 2 and curl J there (C = 1); independent
# high-precision values.
REFERENCE = [
    (1 / sqrt(2), 8 / (3 * pi), "traction", 0.497406244496,
     (0.26245349348, 0.365500179016, 0.336973715813),
     (0.74768443133, 0.269243884519, 0.05094154214)),
    (1 / sqrt(2), 8 / (3 * pi), "literal", 0.492355362855,
     (0.328456909122, 0.359225035375, 0.276599234957),
     (0.607259792745, 0.154831731835, -0.0964851051819)),
    (0.5, 16 / (3 * pi), "traction", 0.541968906409,
     (0.286783009688, 0.41243680103, 0.300303946348),
     (1.06042397763, 0.20503985217, -0.209507866893)),
    (0.5, 16 / (3 * pi), "literal", 0.54911431481,
     (0.346003229609, 0.414483422789, 0.264453963281),
     (0.933396555669, 0.130490433733, -0.316724010108)),
]  # fmt: skip


@pytest.mark.parametrize(("length", "slip", "law", "ratio", "J", "curl"), REFERENCE)
def test_bend_reference(length, slip, law, ratio, J, curl):
    bend = Bend(
        inner=1.0, outer=2.0, diffusion_length=length, inner_slip=slip, outer_slip=slip, law=law
    )
    r = [1.0, 1.5, 2.0]
    # The reference has twelve digits.
    assert bend.conductance_ratio == pytest.approx(ratio, abs=0, rel=1e-11)
    np.testing.assert_allclose(bend.current_density(r), J, rtol=1e-11)
    np.testing.assert_allclose(bend.curl(r), curl, rtol=2e-10)


SLIPS = [(0.0, 0.0), (1.0, 3.0), (0.0, 5.0), (inf, 0.3), (inf, inf)]


@pytest.mark.parametrize("law", ["traction", "literal"])
@pytest.mark.parametrize("slips", SLIPS)
@pytest.mark.parametrize("length", [1e-6, 1e-3, 0.1, 0.5, 1.5, 10.0, 1e3, 1e7])
def test_bend_equations(length, slips, law):
    """J - l^2 d(curl J)/dr = C/r, curl J = (1/r) d(rJ)/dr, and the wall laws, at any l."""
    bend = Bend(
        inner=1.0,
        outer=2.0,
        diffusion_length=length,
        inner_slip=slips[0],
        outer_slip=slips[1],
        drive=0.7,
        law=law,
    )
    at, weight = np.polynomial.legendre.leggauss(24)
    # Integrals over cells as fine as the layers: derivatives by differences would lose digits.
    fine = np.geomspace(1e-3, 1, 25) * min(30 * length, 0.5)
    edges = np.unique(np.concatenate([[1.0], 1 + fine, 2 - fine, [2.0], np.linspace(1, 2, 9)]))
    centre, half = (edges[1:] + edges[:-1]) / 2, np.diff(edges) / 2
    r = centre[:, None] + half[:, None] * at
    J, curl = bend.current_density(r), bend.curl(r)
    ends = np.array([bend.current_density(edges), bend.curl(edges)])
    assert np.isfinite(J).all()
    assert np.isfinite(curl).all()
    size = np.abs(J).max()
    rotation = half * ((curl * r) @ weight) - np.diff(edges * ends[0])
    # Rounding: of J, and of curl J over cells of length `half`.
    assert np.abs(rotation).max() < 1e-12 * max(size, np.abs(curl).max() * half.max())
    momentum = half * ((J - 0.7 / r) @ weight) - length**2 * np.diff(ends[1])
    assert np.abs(momentum).max() < 1e-12 * max(0.7, length**2 * np.abs(curl).max())
    total = float((half[:, None] * J * weight).sum())
    assert bend.current == pytest.approx(total, abs=0, rel=1e-11)
    factor = 2.0 if law == "traction" else 1.0
    for i, sign, slip in ((0, -1, slips[0]), (-1, 1, slips[1])):
        wall_J, wall_curl = ends[0][i], ends[1][i]
        if slip == inf:
            assert abs(wall_J) < 1e-13 * size
        else:
            law_ = wall_curl - factor * wall_J / edges[i] + sign * slip * wall_J
            assert abs(law_) < 1e-12 * max(abs(wall_curl), (slip + factor) * size)


@pytest.mark.parametrize("slip", [0.0, 1e-3, 1.0, 50.0, inf])
@pytest.mark.parametrize("length", [1e-9, 1e-3, 0.1, 1.0, 30.0, 1e6])
def test_ribbon_equations(length, slip):
    """Against the formula as printed where it does not overflow, and the integrals anywhere."""
    ribbon = Ribbon(width=1.0, diffusion_length=length, slip_rate=slip, drive=2.0)
    y = np.linspace(-0.5, 0.5, 41)
    if 1e-3 < length < 2:
        B = (
            1.0
            if slip == inf
            else 0.0
            if slip == 0
            else 1 / (1 + np.tanh(0.5 / length) / (slip * length))
        )
        assert pytest.approx(B, abs=0, rel=1e-14) == ribbon.B
        printed = 2 * (1 - B * np.cosh(y / length) / np.cosh(0.5 / length))
        # The printed form loses what cancels, 1e-16 of the drive.
        np.testing.assert_allclose(ribbon.current_density(y), printed, rtol=1e-12, atol=1e-14)
        assert ribbon.conductance_ratio == pytest.approx(
            1 - B * 2 * length * np.tanh(0.5 / length), rel=1e-12
        )
    J = ribbon.current_density(y)
    assert np.isfinite(J).all()
    assert (J >= 0).all()
    np.testing.assert_allclose(J, J[::-1], rtol=1e-14, atol=1e-14 * J.max())
    # The wall law, and the moment of half the width.
    curl, wall = ribbon.curl(0.5), ribbon.current_density(0.5)
    if slip == inf:
        assert wall == 0
    else:
        assert curl == pytest.approx(slip * wall, abs=0, rel=1e-12)
    # dL = J'' l^2 = J - drive, integrated over half the width.
    lost = ribbon.drive / 2 - ribbon.current / 2
    assert length**2 * curl == pytest.approx(lost, rel=1e-9, abs=2e-16 * ribbon.drive * 100)


def test_ribbon_numbers():
    """B -> 0.3750823631 as Kn -> 0 for point scatterers and diffuse walls."""
    ribbon = Ribbon(width=1e6, diffusion_length=1 / sqrt(2), slip_rate=8 / (3 * pi))
    assert pytest.approx(0.3750823631, abs=0, rel=1e-9) == ribbon.B  # digits given
    assert ribbon.half_moment == pytest.approx(ribbon.B, abs=0, rel=1e-12)
    stokes = Ribbon(width=1.0, diffusion_length=1e5, slip_rate=inf)
    # Poiseuille: W^2/12 l^2, the next term is l^-2 of it.
    assert stokes.conductance_ratio == pytest.approx(1 / 12e10, abs=0, rel=1e-9)
    assert stokes.current_density(0.0) == pytest.approx(1 / 8e10, abs=0, rel=1e-9)


def test_bend_of_large_radius_is_a_ribbon():
    ribbon = Ribbon(width=1.0, diffusion_length=0.2, slip_rate=2.0)
    bend = Bend(
        inner=1e5,
        outer=1e5 + 1,
        diffusion_length=0.2,
        inner_slip=2.0,
        outer_slip=2.0,
        drive=1e5 + 0.5,
    )
    # Equal up to width/radius.
    assert bend.conductance_ratio == pytest.approx(ribbon.conductance_ratio, abs=0, rel=1e-5)
    y = np.linspace(-0.5, 0.5, 11)
    r = 1e5 + 0.5 + y
    np.testing.assert_allclose(bend.current_density(r), ribbon.current_density(y), rtol=3e-5)
    # Along the bend is -x where the outer wall is at y = W/2: the sense of rotation changes.
    np.testing.assert_allclose(bend.curl(r), -ribbon.curl(y), atol=1e-4)


def test_layers():
    """One conductor in layers is the ribbon; thick layers know nothing of each other."""
    ribbon = Ribbon(width=1.0, diffusion_length=0.1, slip_rate=3.0, drive=2.0)
    layers = Layers(
        thickness=(0.3, 0.5, 0.2),
        conductivity=(2.0,) * 3,
        diffusion_length=(0.1,) * 3,
        lower_slip=3.0,
        upper_slip=3.0,
    )
    y = np.linspace(0, 1, 21)
    # Rounding.
    np.testing.assert_allclose(
        layers.current_density(y), ribbon.current_density(y - 0.5), rtol=1e-12
    )
    assert layers.current == pytest.approx(ribbon.current, abs=0, rel=1e-12)
    one = Layers(
        thickness=(1.0,),
        conductivity=(2.0,),
        diffusion_length=(0.1,),
        lower_slip=inf,
        upper_slip=inf,
    )
    stuck = Ribbon(width=1.0, diffusion_length=0.1, slip_rate=inf, drive=2.0)
    np.testing.assert_allclose(one.current_density(y), stuck.current_density(y - 0.5), atol=1e-14)
    # Far apart: J at the interface is the mean of both sides weighted with l/sigma.
    far = Layers(thickness=(1.0, 1.0), conductivity=(1.0, 5.0), diffusion_length=(1e-3, 2e-3))
    weight = np.array([1e-3 / 1.0, 2e-3 / 5.0])
    expected = (weight @ [1.0, 5.0]) / weight.sum()
    assert far.current_density(1.0) == pytest.approx(expected, abs=0, rel=1e-12)
    assert far.current == pytest.approx(6.0 + (expected - 1) * 1e-3 + (expected - 5) * 2e-3)


def test_corbino():
    ohmic = Corbino(inner=1.0, outer=4.0)
    assert ohmic.conductance == pytest.approx(2 * pi / log(4), abs=0, rel=1e-14)
    assert ohmic.current_density(2.0) == pytest.approx(1 / (2 * log(4)), abs=0, rel=1e-14)
    # The power balance: V I = I^2 [ln/(2 pi) + (l^2/2)(8/(2 pi)^2) int 2 pi r dr/r^4], by hand.
    viscous = Corbino(inner=1.0, outer=4.0, diffusion_length=0.6)
    loss = 0.36 / 2 * 8 / (2 * pi) * (1 - 1 / 16) / 2
    assert 1 / viscous.conductance == pytest.approx(1 / ohmic.conductance + loss, abs=0, rel=1e-14)
    wide = Corbino(inner=1.0, outer=4.0, contact_step=0.5)
    step = 0.5 * (1 + 1 / 4) / (2 * pi)
    assert 1 / wide.conductance == pytest.approx(1 / ohmic.conductance + step, abs=0, rel=1e-14)


@pytest.mark.parametrize("slip", [0.0, 1e-3, 1.0, 50.0, inf])
@pytest.mark.parametrize("length", [1e-6, 1e-3, 0.1, 0.5, 1.5, 30.0, 1e3, 1e6])
def test_round_wire_equations(length, slip):
    """J - l^2 (r J')'/r = sigma E and the wall law, as integrals, at any l."""
    wire = RoundWire(radius=1.0, diffusion_length=length, slip_rate=slip, drive=2.0)
    at, weight = np.polynomial.legendre.leggauss(24)
    fine = np.geomspace(1e-3, 1, 25) * min(30 * length, 0.5)
    edges = np.unique(np.concatenate([[0.0], 1 - fine, [1.0], np.linspace(0, 1, 9)]))
    centre, half = (edges[1:] + edges[:-1]) / 2, np.diff(edges) / 2
    r = centre[:, None] + half[:, None] * at
    J, curl = wire.current_density(r), wire.curl(r)
    ends = np.array([wire.current_density(edges), wire.curl(edges)])
    assert np.isfinite(J).all()
    assert (J >= 0).all()
    # dJ/dr = -curl, and the shear balances what the field drives; rounding of J and of l^2 curl.
    slope = half * (curl @ weight) + np.diff(ends[0])
    assert np.abs(slope).max() < 1e-12 * max(J.max(), np.abs(curl).max() * half.max())
    momentum = half * (((J - 2.0) * r) @ weight) + length**2 * np.diff(edges * ends[1])
    assert np.abs(momentum).max() < 1e-12 * max(2.0, length**2 * np.abs(curl).max())
    total = float((half[:, None] * 2 * pi * r * J * weight).sum())
    assert wire.current == pytest.approx(total, rel=1e-11, abs=1e-15 * length)
    if slip == inf:
        assert abs(ends[0][-1]) < 1e-14 * J.max()
    else:
        assert ends[1][-1] == pytest.approx(slip * ends[0][-1], abs=0, rel=1e-12)


def test_round_wire_limits():
    """Drude without friction, the parabola of Hagen and Poiseuille, a plane wall for small l."""
    drude = RoundWire(radius=2.0, diffusion_length=0.3, slip_rate=0.0, drive=1.5)
    assert drude.current == pytest.approx(1.5 * 4 * pi, abs=0, rel=1e-14)
    assert drude.curl(2.0) == 0
    stokes = RoundWire(radius=1.0, diffusion_length=1e5, slip_rate=inf)
    r = np.linspace(0, 1, 11)
    # (R^2 - r^2)/4 l^2 and R^2/8 l^2; the next terms are l^-2 of these.
    np.testing.assert_allclose(stokes.current_density(r), (1 - r**2) / 4e10, rtol=1e-9)
    assert stokes.conductance_ratio == pytest.approx(1 / 8e10, abs=0, rel=1e-9)
    # The wall of a wide wire is flat, up to l/R.
    wire = RoundWire(radius=1e4, diffusion_length=1.0, slip_rate=0.7)
    ribbon = Ribbon(width=2e4, diffusion_length=1.0, slip_rate=0.7)
    assert pytest.approx(ribbon.B, abs=0, rel=1e-4) == wire.C
    assert 1 - wire.conductance_ratio == pytest.approx(2 * ribbon.B / 1e4, abs=0, rel=1e-3)


def test_round_wire_is_continuous_in_l():
    """The series for large l and the Bessel functions for small l meet at l = R."""
    at = [
        RoundWire(radius=1.0, diffusion_length=1 + d, slip_rate=2.0).current_density(
            np.linspace(0, 1, 9)
        )
        for d in (-1e-12, 1e-12)
    ]
    np.testing.assert_allclose(at[0], at[1], rtol=1e-11)
