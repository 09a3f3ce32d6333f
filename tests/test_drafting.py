"""meso new: a case for a drawing, which runs as it is."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import pytest

import meso
from meso.cli import main

GEOMETRIES = Path(__file__).parents[1] / "geometries"


@pytest.mark.parametrize(
    ("drawing", "contacts"),
    [
        ("hall_bar", ["source", "drain", "probe1", "probe2", "probe3", "probe4"]),
        ("annulus", ["source", "drain"]),
        ("ribbon_period", ["source", "drain"]),
    ],
)
def test_names_of_the_drawing_are_filled_in(tmp_path, capsys, drawing, contacts):
    shutil.copy(GEOMETRIES / f"{drawing}.geo", tmp_path)
    assert main(["new", str(tmp_path / f"{drawing}.geo"), "--unit", "um"]) == 0
    path = tmp_path / f"{drawing}.toml"
    assert str(path) in capsys.readouterr().out
    case = meso.Case.load(path)
    assert case.geometry.length_unit == 1e-6
    assert set(case.contacts) == set(contacts)
    driven = [contact.potential for contact in case.contacts.values()]
    assert driven[:2] == [1e-3, 0.0] and set(driven[2:]) <= {None}
    # What a comment says of the drawing's numbers is right, too.
    text = path.read_text()
    if "# parameters" in text:
        path.write_text(text.replace("# parameters", "parameters"))
        assert meso.Case.load(path).geometry.parameters


def test_contacts_are_guessed(tmp_path):
    """Where no name tells: the smallest boundaries, and the case says that it guessed."""
    text = (GEOMETRIES / "ribbon.geo").read_text().replace('"source"', '"a"')
    (tmp_path / "ribbon.geo").write_text(text.replace('"drain"', '"b"'))
    assert main(["new", str(tmp_path / "ribbon.geo")]) == 0
    path = tmp_path / "ribbon.toml"
    assert set(meso.Case.load(path).contacts) == {"a", "b"}
    assert path.read_text().count("a guess") == 2


@pytest.mark.parametrize("wall", ["edges", "frame"])
def test_contacts_are_what_is_not_called_a_wall(tmp_path, wall):
    """Nor most of the boundary, whatever it is called."""
    text = (GEOMETRIES / "hall_bar.geo").read_text().replace('"edges"', f'"{wall}"')
    for name in ("source", "drain", "probe1", "probe2", "probe3", "probe4"):
        text = text.replace(f'"{name}"', f'"{name[0]}{name[-1]}"')
    (tmp_path / "bar.geo").write_text(text)
    assert main(["new", str(tmp_path / "bar.geo")]) == 0
    assert set(meso.Case.load(tmp_path / "bar.toml").contacts) == {
        "se",
        "dn",
        "p1",
        "p2",
        "p3",
        "p4",
    }
    assert main(["check", str(tmp_path / "bar.toml")]) == 0  # also what floats


def test_regions_called_as_a_material_of_the_library(tmp_path):
    text = (GEOMETRIES / "ribbon.geo").read_text()
    for name in ("Ti", "Pt"):
        (tmp_path / f"{name}.geo").write_text(text.replace('"metal"', f'"{name}"'))
        assert main(["new", str(tmp_path / f"{name}.geo")]) == 0
        case = meso.Case.load(tmp_path / f"{name}.toml")
        assert set(case.materials) == {name}
        assert main(["check", str(tmp_path / f"{name}.toml")]) == 0
    assert "not in the library" in (tmp_path / "Pt.toml").read_text()


def test_it_runs(tmp_path, monkeypatch, capsys):
    """From a drawing to a result in two commands, with a name that TOML wants in quotes."""
    text = (GEOMETRIES / "ribbon.geo").read_text().replace('"metal"', '"my metal"')
    (tmp_path / "ribbon.geo").write_text(text)
    monkeypatch.chdir(tmp_path)
    assert main(["new", "ribbon.geo", "--output", "cases/first.toml"]) == 0
    assert main(["run", "cases/first.toml", "--no-figures"]) == 0
    assert (tmp_path / "results/ribbon/summary.json").exists()
    assert "conductance" in capsys.readouterr().out


def test_what_is_there_is_kept(tmp_path, capsys):
    shutil.copy(GEOMETRIES / "ribbon.geo", tmp_path)
    (tmp_path / "ribbon.toml").write_text("mine")
    assert main(["new", str(tmp_path / "ribbon.geo")]) == 2
    assert "exists; choose another name" in capsys.readouterr().err
    assert (tmp_path / "ribbon.toml").read_text() == "mine"
    assert main(["new", str(tmp_path / "ribbon.geo"), "--output", str(tmp_path / "case.txt")]) == 2
    assert "must end in .toml" in capsys.readouterr().err


def test_probe_crosses_the_conductor(tmp_path, capsys):
    """Also where a line through the middle of the device leaves it."""
    shutil.copy(GEOMETRIES / "corbino.geo", tmp_path)
    assert main(["new", str(tmp_path / "corbino.geo")]) == 0
    assert main(["check", str(tmp_path / "corbino.toml")]) == 0
    assert "outside" not in "".join(capsys.readouterr())
    line = meso.Case.load(tmp_path / "corbino.toml").output.probes["across"]
    assert math.dist(line.from_, line.to) == pytest.approx(150e-9)


def test_numbers_of_a_drawing_and_doubts(tmp_path):
    """Several numbers in a line; no counters. What no name tells is marked as a guess."""
    text = (GEOMETRIES / "hall_bar.geo").read_text()
    for number in range(1, 5):
        text = text.replace(f'"probe{number}"', f'"arm {number}"')
    (tmp_path / "bar.geo").write_text(f"one = 1; two = 2.5; n = 10;\nn += 3;\n{text}")
    assert main(["new", str(tmp_path / "bar.geo")]) == 0
    lines = (tmp_path / "bar.toml").read_text().splitlines()
    (numbers,) = [line for line in lines if line.startswith("# parameters")]
    assert "one = 1, two = 2.5 }" in numbers and " n = " not in numbers
    assert [line[:7] for line in lines if "a guess" in line] == [f'"arm {i}"' for i in range(1, 5)]


def test_probe_ends_in_few_digits_within_the_conductor(tmp_path, capsys):
    """A slanted strip whose edges the probe meets at 70.71067811..., not at 70.7107."""
    points = "0, 0, 0", "1000, 1000, 0", "1000, 1070.71067811, 0", "0, 70.71067811, 0"
    lines = [f"Point({i}) = {{{p}}};" for i, p in enumerate(points, 1)]
    lines += [f"Line({i}) = {{{i}, {i % 4 + 1}}};" for i in range(1, 5)]
    lines += ["Curve Loop(1) = {1:4}; Plane Surface(1) = {1};", 'Physical Surface("m") = {1};']
    lines += [f'Physical Curve("{n}") = {{{i}}};' for i, n in enumerate("wdus", 1)]
    text = "\n".join(lines).replace('"w"', '"lower wall"').replace('"u"', '"upper wall"')
    (tmp_path / "slanted.geo").write_text(text)
    assert main(["new", str(tmp_path / "slanted.geo")]) == 0
    assert main(["check", str(tmp_path / "slanted.toml")]) == 0
    assert "outside" not in "".join(capsys.readouterr())
    line = meso.Case.load(tmp_path / "slanted.toml").output.probes["across"]
    assert math.dist(line.from_, line.to) == pytest.approx(70.71067811e-9, rel=1e-4)
