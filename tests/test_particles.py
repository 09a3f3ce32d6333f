"""Particles from a case to its files: errors beside numbers, the same numbers again, refusals."""

from __future__ import annotations

import csv
import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import GEOMETRIES

import meso
from meso import CaseError, Contact, Device, Material, Wall
from meso.cli import main
from meso.flow import Flow, Particles

FAST = {"flow.tolerance": 0.1}
CASE = """
title = "Cross"
[geometry]
file = "{geometries}/cross.geo"
length_unit = "nm"
parameters = {{ width = 100, length = 250, fillet = 30 }}
[materials.sheet]
carriers = "2d"
conductivity = "17 mS"
mean_free_path = "1 um"
fermi_wavevector = "1.4e8 1/m"
[regions]
metal = "sheet"
[boundaries]
left = {{ contact = {{ current = "1 uA" }} }}
right = {{ contact = {{ potential = "0 V" }} }}
top = {{ contact = {{ current = "0 A" }} }}
bottom = {{ contact = {{ current = "0 A" }} }}
edges = {{ wall = {{ specularity = 0.5 }} }}
[flow]
model = "particles"
magnetic_field = "0.2 T"
tolerance = 0.05
[output]
directory = "results/cross"
[output.resistances]
hall = {{ current = ["left", "right"], voltage = ["top", "bottom"] }}
"""


@pytest.fixture
def case(tmp_path: Path) -> Path:
    path = tmp_path / "case.toml"
    path.write_text(CASE.format(geometries=GEOMETRIES))
    return path


@cache
def junction() -> Device:
    parameters = {"width": 100, "length": 250, "fillet": 30}
    return Device.from_gmsh(
        GEOMETRIES / "cross.geo", length_unit="nm", parameters=parameters, order=2
    )


def solved(
    *, field: float = 0.0, ends: Any = ("left", "right"), sheet: Any = None, **options: Any
) -> Flow:
    sheet = sheet or Material(
        carriers="2d", conductivity=0.017, mean_free_path=1e-6, fermi_wavevector=1.4e8
    )
    laws: dict[str, Any] = {
        name: Contact(potential=1e-3 * (name == ends[0])) if name in ends else Contact(current=0.0)
        for name in ("left", "right", "top", "bottom")
    }
    return Particles(
        junction(),
        materials={"metal": sheet},
        boundaries={**laws, "edges": Wall(specularity=0.5)},
        magnetic_field=field,
        **options,
    ).solve()


def test_numbers_have_errors_beside_them(
    case: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["run", str(case), "--output", str(tmp_path / "out"), "--no-figures"]
    assert main([*command, "--set", 'materials.sheet.fermi_energy="10 meV"']) == 0
    told = capsys.readouterr().out
    assert "particles on" in told
    assert "standard error" in told
    assert "resistance hall" in told
    assert " ± " in told
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    matrix = np.array(summary["conductance_matrix_S"])
    errors = np.array(summary["conductance_matrix_standard_error_S"])
    largest = np.abs(matrix - np.diag(np.diag(matrix))).max()
    assert 0 < errors.max() <= 0.05 * largest
    assert np.abs(matrix.sum(axis=0)).max() < 1e-12 * largest
    assert np.abs(matrix.sum(axis=1)).max() < 1e-12 * largest
    contacts = summary["contacts"]
    assert contacts["left"]["current_standard_error_A"] == 0
    assert contacts["left"]["potential_standard_error_V"] > 0
    assert summary["resistances_standard_error_ohm"]["hall"] > 0
    walls = summary["walls"]["edges"]
    assert walls["segments"][0]["orbital_moment_standard_error_hbar_per_m"] > 0
    with (tmp_path / "out" / summary["files"]["arrivals"]["right"]).open() as file:
        rows = [{key: float(x) for key, x in row.items()} for row in csv.DictReader(file)]
    step = rows[1]["angle_rad"] - rows[0]["angle_rad"]
    arrived = sum(row["from_left_per_rad"] for row in rows) * step
    sharvin = 2 / np.pi * 0.017 / 1e-6 * 100e-9
    assert arrived == pytest.approx(-matrix[1, 0] / sharvin, abs=0.03)


def test_the_same_seed_makes_the_same_numbers() -> None:
    one, two, other = (solved(field=0.3, tolerance=0.05, seed=s) for s in (3, 3, 4))
    assert (one.conductance_matrix == two.conductance_matrix).all()
    assert (one.fields["potential"].values == two.fields["potential"].values).all()
    assert (one.conductance_matrix != other.conductance_matrix).any()
    off = np.abs(one.conductance_matrix - other.conductance_matrix)
    assert (off < 5 * np.hypot(one.counted.errors, other.counted.errors)).all()


def test_reciprocity() -> None:
    """Without a field G is symmetric, with one it is the transpose of that in the opposite."""
    plain, one, other = (solved(field=b, tolerance=0.02, seed=2) for b in (0.0, 0.3, -0.3))
    assert (plain.conductance_matrix == plain.conductance_matrix.T).all()
    matrix = one.conductance_matrix
    assert np.abs(matrix - matrix.T).max() > 10 * one.counted.errors.max()
    off = np.abs(matrix - other.conductance_matrix.T)
    assert (off < 3.5 * np.hypot(one.counted.errors, other.counted.errors.T)).all()


def test_fields_are_those_of_the_matrix() -> None:
    """The current of a contact is that of the cells at it; potentials lie between those given."""
    flow = solved(tolerance=0.02)
    device = flow.device
    n, J = device.n, flow.current_density
    into = -device.integrate((J[0] * n[0] + J[1] * n[1]) * device.ds("left"))
    assert into == pytest.approx(flow.contacts["left"].current, rel=0.1)
    low, high = flow.fields["potential"].extrema()
    assert 0 <= low < high <= 1e-3
    middle = flow.sample([[0.0, 0.0]])["potential"][0]
    assert middle == pytest.approx(0.5e-3, abs=0.05e-3)


def test_all_at_one_potential() -> None:
    laws: dict[str, Any] = {name: Contact(potential=1.0) for name in ("left", "right", "top")}
    sheet = Material(carriers="2d", conductivity=0.017, mean_free_path=1e-6)
    flow = Particles(
        junction(),
        materials={"metal": sheet},
        boundaries={**laws, "bottom": Contact(current=0.0), "edges": Wall(specularity=0.0)},
        tolerance=0.1,
    ).solve()
    assert max(abs(c.current) for c in flow.contacts.values()) < 1e-12
    assert flow.contacts["bottom"].potential == pytest.approx(1.0)
    assert flow.fields["current_density"].extrema()[1] < 1e-9


def test_no_more_particles_than_permitted(case: Path) -> None:
    settings = {"flow.tolerance": 1e-4, "flow.particles": 2000, "flow.seed": 7}
    result = meso.run(meso.Case.load(case, settings))
    assert result.flow.counted.particles < 10_000
    assert any("more than flow.tolerance" in text for text in result.warnings)
    assert result.flow.evidence["seed"] == 7


def test_columns_of_a_sweep(case: Path) -> None:
    rows = meso.sweep(case, ["flow.magnetic_field=0 T,0.5 T"], settings=FAST)
    for row in rows:
        found = row["results"]
        assert found["resistance.hall_standard_error_ohm"] > 0
        assert found["left.potential_standard_error_V"] > 0
    small, large = (row["results"]["resistance.hall_ohm"] for row in rows)
    assert abs(large) > 5 * abs(small)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"materials.sheet.electron_electron_mean_free_path": "20 nm"}, "would be negative"),
        ({"flow.order": 3}, "particles have none"),
        ({"flow.bounds": True}, "kinetic"),
        ({"mesh.adapt.target": "conductance"}, "mesh.adapt"),
        ({"output.fields": ["vorticity"]}, "vorticity"),
        ({"flow.seed": -1}, "seed"),
    ],
)
def test_refusals(case: Path, settings: dict[str, Any], text: str) -> None:
    with pytest.raises(CaseError, match=text):
        meso.Case.load(case, settings)


def test_rare_collisions_among_carriers(case: Path) -> None:
    """They are no more than those that lose momentum: then no rate is negative."""
    settings = {"materials.sheet.electron_electron_mean_free_path": "1.1 um"}
    assert meso.Case.load(case, settings).flow.by_particles
