"""Designs: the design file, steps that improve the target, resuming, what is left, messages.

Cases are channels of few cells, ohmic: a straight one has the conductance sigma W / L.
"""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest
from conftest import GEOMETRIES
from helpers import Page
from matplotlib.image import imread

from meso import CaseError, design
from meso.cli import main

CASE = f"""
title = "wavy"
[geometry]
file = "{GEOMETRIES / "wavy_channel.geo"}"
length_unit = "nm"
parameters = {{ width = 100, period = 200, amplitude = 15, phase = 180 }}
[mesh]
size = "50 nm"
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
model = "ohmic"
order = 2
[output]
directory = "out"
fields = ["potential"]
"""
WALLS = """
case = "case.toml"
maximise = "conductance"
[walls]
free = ["edges"]
spacing = "60 nm"
[constraints]
area = "kept"
"""
PARAMETERS = """
case = "case.toml"
minimise = "1 / conductance"
[parameters]
"geometry.parameters.width" = { min = 60, max = 150 }
[constraints]
area = { max = "2.5e4 nm^2" }
"""


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """An empty working directory with a case and its designs."""
    monkeypatch.chdir(tmp_path)
    Path("case.toml").write_text(CASE)
    Path("walls.toml").write_text(WALLS)
    Path("parameters.toml").write_text(PARAMETERS)
    return tmp_path


def improves(rows, sign):
    """Whether each step is better than the place before it, on the same mesh."""
    pairs = list(zip(rows, rows[1:], strict=False))
    steps = [(a, b) for a, b in pairs if b["kind"] == "step" and not a["limits_exceeded_by"]]
    assert steps and all(a["mesh"] == b["mesh"] for a, b in steps)
    return all(sign * (b["target"] - a["target"]) > 0 for a, b in steps)


def test_free_walls(capsys) -> None:
    """The channel gets straight, in two parts; the drawing runs; a third time solves nothing."""
    path, arguments = Path("walls.toml"), ["design", "walls.toml", "--output", "found"]
    path.write_text(WALLS + "[method]\nsteps = 1\n")
    assert main([*arguments, "--no-figures", "--quiet"]) == 3
    assert "did not converge: stopped after 1 steps" in capsys.readouterr().err
    first = json.loads(Path("found/design.json").read_text())
    assert [row["kind"] for row in first["iterates"]] == ["start", "step"]

    path.write_text(WALLS)
    assert main(arguments) == 0
    assert "maximise conductance: converged after" in capsys.readouterr().out
    table = json.loads(Path("found/design.json").read_text())
    rows = table["iterates"]
    assert rows[:2] == first["iterates"] and rows[2]["kind"] == "mesh"
    assert rows[2]["target"] == pytest.approx(rows[1]["target"], rel=1e-3)
    assert table["status"] == "converged" and improves(rows, 1)
    exact = 0.02 * 100 / 200
    assert table["verified"]["target"] == pytest.approx(exact, rel=1e-4)
    assert [row["area_m2"] for row in rows] == pytest.approx([2e-14] * len(rows), rel=2e-6)
    with Path("found/design.csv").open() as file:
        columns = list(csv.DictReader(file))
    assert [float(c["conductance_S"]) for c in columns] == [row["target"] for row in rows]
    drawings = sorted(path.name for path in Path("found/shapes").iterdir())
    assert drawings == [f"{i:03d}.geo" for i in range(len(rows))]
    assert imread("found/design.png").std() > 0  # of the only field that there is
    page = Page(Path("found/report.html"))
    assert page.record() == table and table["verified"]["target"] in page.numbers
    assert Path("found/shape.geo").read_text() in page.blocks and len(page.images) > 2

    # The drawing runs by itself, with its names.
    assert main(["run", "found/case.toml", "--output", "again", "--no-figures", "--quiet"]) == 0
    again = json.loads(Path("again/summary.json").read_text())
    assert again["contacts"]["left"]["current_A"] == pytest.approx(1e-3 * exact, rel=1e-4)
    assert main([*arguments, "--quiet"]) == 0
    assert json.loads(Path("found/design.json").read_text()) == table


def test_parameters() -> None:
    """The width is as large as the area permits; no files without a directory."""
    found = design("parameters.toml")
    assert found.status == "converged" and not found.maximise
    # The area is that of the mean width.
    assert found.parameters["geometry.parameters.width"] == pytest.approx(125, rel=1e-3)
    conductances = [row["outputs"]["conductance_S"] for row in found.iterates]
    assert [row["target"] for row in found.iterates] == pytest.approx([1 / G for G in conductances])
    assert found.value < found.start and found.drawing is None and found.directory is None
    assert improves(found.iterates, -1)
    assert {path.name for path in Path().iterdir()} == {
        *("case.toml", "parameters.toml", "walls.toml")
    }


def test_limits_of_outputs() -> None:
    """An output stays below its limit, which the best place lies at.

    A contact called "probe" is no probe.
    """
    area = 'area = { max = "2.5e4 nm^2" }'
    drawing = (GEOMETRIES / "wavy_channel.geo").read_text().replace('"left"', '"probe"')
    Path("channel.geo").write_text(drawing)
    case = CASE.replace(str(GEOMETRIES / "wavy_channel.geo"), "channel.geo")
    Path("case.toml").write_text(case.replace("left =", "probe ="))
    text = PARAMETERS.replace(area, 'outputs = { "probe.current" = { max = 1.05e-5 } }')
    assert text != PARAMETERS
    Path("parameters.toml").write_text(text)
    found = design("parameters.toml", settings={"geometry.parameters.amplitude": 5})
    assert found.status == "converged"
    conductances = [1e3 * row["outputs"]["probe.current_A"] for row in found.iterates]
    assert conductances == pytest.approx([1 / row["target"] for row in found.iterates])
    assert max(conductances) < 0.0105 * (1 + 2e-6)
    assert conductances[-1] == pytest.approx(0.0105, rel=2e-6)
    assert improves(found.iterates, -1)


def refused(change: tuple[str, str], name: str, capsys) -> str:
    """The message of a design of which a part is replaced."""
    path = Path(f"{name}.toml")
    text = path.read_text()
    assert change[0] in text
    path.write_text(text.replace(*change))
    assert main(["design", path.name, "--output", "found", "--no-figures"]) == 2
    told = capsys.readouterr().err
    # A limit that turns out to be out of reach comes with the shapes that were found.
    assert Path("found").exists() == ("cannot be met" in told)
    return re.sub(r"\s+", " ", told)


@pytest.mark.parametrize(
    ("name", "change", "expected"),
    [
        ("walls", ('"conductance"', '"conductence"'), 'maximise: no output "conductence"; did you'),
        (
            "walls",
            ('"edges"', '"walls"'),
            'walls.free: "walls" is not in the drawing; known: edges',
        ),
        ("walls", ('"edges"', '"left"'), 'walls.free: "left" is no wall; known: edges'),
        ("walls", ('"kept"', '"keep"'), "constraints.area: found 'keep'; must be"),
        ("walls", ("spacing", "spacings"), "walls.spacings: unknown key; did you mean"),
        ("walls", ('"60 nm"', '"60"'), 'walls.spacing: missing unit in "60"'),
        ("walls", ('"case.toml"', '"none.toml"'), 'case: found "none.toml"; no such file'),
        ("walls", ('maximise = "conductance"', ""), "found neither of maximise and minimise"),
        (
            "walls",
            ('area = "kept"', 'area = "kept"\nwidth = { min = "150 nm" }'),
            "constraints.width: cannot be met",
        ),
        (
            "walls",
            ('area = "kept"', "outputs = { conductance = { min = 3, max = 2 } }"),
            "constraints.outputs.conductance: found min = 3 above max = 2",
        ),
        (
            "walls",
            ('area = "kept"', "outputs = { resistance = { min = 1 } }"),
            'constraints.outputs.resistance: no output "resistance"',
        ),
        (
            "parameters",
            ("geometry.parameters.width", "geometry.parameters.height"),
            "parameters.geometry.parameters.height: no such input",
        ),
        (
            "parameters",
            ("geometry.parameters.width", "flow.order"),
            "parameters.flow.order: found 2; is a choice of the model",
        ),
        (
            "walls",
            ('area = "kept"', 'outputs = { conductance = { min = "1 mS" } }'),
            'constraints.outputs.conductance.min: found "1 mS"; must be a number in the SI unit',
        ),
        ("walls", ('"60 nm"', "60"), "walls.spacing: found 60 m; the device is 2e-07 m long"),
        (
            "walls",
            ('"conductance"', '"(left.current - 1) ** 0.5"'),
            'maximise: "(left.current - 1) ** 0.5" is nan at the start',
        ),
        ("parameters", ("min = 60", "min = 110"), "the start 100 outside of 110 … 150"),
        ("parameters", ("min = 60", "min = 160"), "found min = 160 and max = 150"),
        ("parameters", ("min = 60", 'min = "60 nm"'), "must be in the unit of the drawing"),
    ],
)
def test_bad_input(name, change, expected, capsys) -> None:
    told = refused(change, name, capsys)
    assert expected in told and told.startswith("meso: error: ") and f"{name}.toml" in told


def test_another_design_in_the_directory(capsys) -> None:
    Path("found").mkdir()
    Path("found/mine.txt").write_text("mine")
    with pytest.raises(CaseError, match="holds other files than a design"):
        design("walls.toml", directory="found")
    Path("found/mine.txt").unlink()
    Path("found/design.json").write_text(
        '{"fingerprint": "", "iterates": [], "status": "running", "verified": null}'
    )
    with pytest.raises(CaseError, match="holds a design of another case, target or limit"):
        design("walls.toml", directory="found")


@pytest.mark.parametrize(
    ("setting", "place"),
    [
        ("method.step_=1", "design.toml: method.step_: "),
        ("flow.orders=2", "case.toml: flow.orders: "),
    ],
)
def test_settings_of_the_design_and_of_its_case(setting, place, tmp_path, monkeypatch, capsys):
    """What is no key of a design file is one of its case."""
    monkeypatch.chdir(tmp_path)
    Path("case.toml").write_text(CASE)
    Path("design.toml").write_text(WALLS)
    assert main(["design", "design.toml", "--output", "out", "--set", setting]) == 2
    assert f"{place}unknown key" in capsys.readouterr().err
