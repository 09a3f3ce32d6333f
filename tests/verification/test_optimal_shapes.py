"""Designs end where closed forms and exhaustive sweeps have their optimum."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import GEOMETRIES
from numpy.polynomial import Polynomial

import meso
from meso.exact import Ribbon

CASE = """
[geometry]
file = "{file}"
length_unit = "nm"
parameters = {{ {parameters} }}
[mesh]
size = "50 nm"
wall_size = "25 nm"
[materials.sheet]
carriers = "2d"
conductivity = "20 mS"
mean_free_path = "50 nm"
fermi_energy = "1 eV"
[regions]
metal = "sheet"
[boundaries]
left = {{ contact = {{ potential = "1 mV" }} }}
right = {{ contact = {{ potential = "0 V" }} }}
edges = {{ wall = {{ specularity = 0.0 }} }}
[flow]
model = "hydrodynamic"
order = 3
"""
NOTCH = """
SetFactory("OpenCASCADE");
DefineConstant[ notch = 30 ];
Rectangle(1) = {0, 0, 0, 300, 100};
Disk(2) = {150, 100, 0, notch};
BooleanDifference(3) = { Surface{1}; Delete; }{ Surface{2}; Delete; };
e = 1e-3;
left() = Curve In BoundingBox{-e, -e, -e, e, 100 + e, e};
right() = Curve In BoundingBox{300 - e, -e, -e, 300 + e, 100 + e, e};
walls() = Abs(Boundary{ Surface{3}; });
walls() -= {left(), right()};
Physical Surface("metal") = {3};
Physical Curve("left") = {left()};
Physical Curve("right") = {right()};
Physical Curve("edges") = {walls()};
"""


STRAIGHT = """
case = "case.toml"
maximise = "conductance"
[walls]
free = ["edges"]
spacing = "60 nm"
[constraints]
area = "kept"
"""
LEAST = """
case = "case.toml"
minimise = "abs(edges.3.orbital_moment) / dissipated_power"
[parameters]
"geometry.parameters.notch" = { min = 40, max = 90 }
"""


def improves(rows, sign) -> bool:
    """Whether each step is better than the place before it, on the same mesh."""
    pairs = [(a, b) for a, b in zip(rows, rows[1:], strict=False) if b["kind"] == "step"]
    return all(a["mesh"] == b["mesh"] and sign * (b["target"] - a["target"]) > 0 for a, b in pairs)


def test_wavy_channel(tmp_path: Path) -> None:
    """Of fixed area, between fixed ends, the straight one carries most."""
    waves = "width = 100, period = 200, amplitude = 15, phase = 180"
    case = CASE.format(file=GEOMETRIES / "wavy_channel.geo", parameters=waves)
    (tmp_path / "case.toml").write_text(case)
    (tmp_path / "design.toml").write_text(STRAIGHT)
    found = meso.design(tmp_path / "design.toml")
    straight = meso.run(
        meso.Case.load(tmp_path / "case.toml", {"geometry.parameters.amplitude": 0})
    )
    form = straight.closed_form
    exact = Ribbon(
        width=form["width_m"],
        diffusion_length=form["vorticity_diffusion_length_m"],
        slip_rate=form["slip_rate_per_m"],
        drive=form["drude_current_density"],
    )
    assert found.status == "converged" and improves(found.iterates, 1)
    assert found.start < 0.85 * exact.current / 1e-3
    assert found.value == pytest.approx(exact.current / 1e-3, rel=1e-4)


def test_notch(tmp_path: Path) -> None:
    """The optimum of a parameter is that of a sweep over its range."""
    (tmp_path / "notch.geo").write_text(NOTCH)
    (tmp_path / "case.toml").write_text(CASE.format(file="notch.geo", parameters="notch = 50"))
    (tmp_path / "design.toml").write_text(LEAST)
    found = meso.design(tmp_path / "design.toml")
    rows = meso.sweep(tmp_path / "case.toml", ["geometry.parameters.notch=40:90:6"])
    at = np.array([row["swept"]["geometry.parameters.notch"] for row in rows])
    values = [
        abs(row["results"]["edges.3.orbital_moment_hbar_per_m"])
        / row["results"]["dissipated_power_W"]
        for row in rows
    ]
    fit = Polynomial.fit(at, values, 5)
    best = min((r.real for r in fit.deriv().roots() if 40 < r.real < 90), key=fit)
    assert found.status == "converged" and improves(found.iterates, -1)
    assert found.parameters["geometry.parameters.notch"] == pytest.approx(best, abs=1.0)
    assert found.value < min(values) * (1 + 1e-3)
    assert found.value == pytest.approx(fit(best), rel=1e-3)
