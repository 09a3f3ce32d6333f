"""The sweep: its values, its table, resuming, failures, several processes and ranks.

Cases are ribbons of few cells, whose conductance has a closed form.
"""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import dolfinx
import pytest
from conftest import GEOMETRIES
from helpers import hopeless
from matplotlib.image import imread

from meso import CaseError, ConvergenceError, GeometryError, sweep
from meso.cli import main
from meso.exact import Ribbon

CASE = f"""
title = "tiny"
[geometry]
file = "{GEOMETRIES / "ribbon.geo"}"
length_unit = "nm"
parameters = {{ width = 100, length = 50 }}
[materials.sheet]
carriers = "2d"
conductivity = "20 mS"
mean_free_path = "200 nm"
fermi_energy = "1 eV"
[regions]
metal = "sheet"
[boundaries]
source = {{ contact = {{ potential = "1 mV" }} }}
drain = {{ contact = {{ potential = "0 V" }} }}
edges = {{ wall = {{ specularity = 0.0 }} }}
[flow]
model = "hydrodynamic"
[output]
directory = "out"
[output.resistances]
strip = {{ current = ["source", "drain"], voltage = ["source", "drain"] }}
"""

PATH = "materials.sheet.mean_free_path"
SLIP = "boundaries.edges.wall.specularity"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """An empty working directory with a case."""
    monkeypatch.chdir(tmp_path)
    Path("case.toml").write_text(CASE)
    handler = signal.getsignal(signal.SIGTERM)
    yield tmp_path
    signal.signal(signal.SIGTERM, handler)


class Meshes:
    """Counts the meshes that are made, one for each solved point, and fails at some of them."""

    def __init__(self, make):
        self.make, self.count, self.failures = make, 0, {}

    def __call__(self, *arguments, **options):
        self.count += 1
        if self.count in self.failures:
            raise self.failures[self.count]
        return self.make(*arguments, **options)


@pytest.fixture
def meshes(monkeypatch):
    """How many points were solved; ``failures``: what the n-th of them raises."""
    counter = Meshes(dolfinx.mesh.create_mesh)
    monkeypatch.setattr(dolfinx.mesh, "create_mesh", counter)
    return counter


class Orders(list):
    """Polynomial degrees of the points as they are solved, by the lines of progress."""

    def __call__(self, text):
        if found := re.match(r"point \d+ of \d+: order = (\d+)", text):
            self.append(int(found[1]))


def ratio(path, specularity=0.0):
    """G/G_Drude of the ribbon, isotropic scattering: l = lambda/2."""
    slip = 16 / (3 * 3.141592653589793 * path) * (1 - specularity) / (1 + specularity)
    return Ribbon(width=100e-9, diffusion_length=path / 2, slip_rate=slip).conductance_ratio


def table(folder="sweep"):
    """The rows of sweep.csv."""
    with (Path(folder) / "sweep.csv").open(newline="") as file:
        return list(csv.DictReader(file))


# What is swept


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("flow.order", ["expected key=start:stop:n[:log]"]),
        ("=1:2:3", ["expected key="]),
        ("a..b=1,2", ["expected key="]),
        ("a=1:2", ["1:2", "start:stop:n"]),
        ("a=1:2:3:cubic", ["start:stop:n:log"]),
        ("a=1:2:1", ['"1"', "at least 2"]),
        ("a=1:2:2.5", ['"2.5"', "integer"]),
        ("a=x:2:3", ['"x"', "number"]),
        ("a=1:x:3", ['"x"', "number"]),
        ("a=1nm:2:3", ['"1nm"', '"2"', "both ends"]),
        ("a=1nm:2S:3", ["different dimensions"]),
        ("a=1foo:2foo:3", ['"1foo"', "unknown"]),
        ("a=0:2:3:log", ["positive for log"]),
        ("a=-1nm:2nm:3:log", ["positive for log"]),
        ("a=2:2:3", ["two different numbers"]),
        ("a=1,,2", ["empty"]),
        ("a=1 nm,2 nm,1e-3 um", ["1e-3 um", "twice"]),
        ("a=[1, 2", ["not a TOML array"]),
        ("a=[]", ["empty"]),
    ],
)
def test_bad_values(text, words):
    """Each message names the key and what was found."""
    with pytest.raises(CaseError) as error:
        sweep("case.toml", [text])
    message = str(error.value)
    assert "--over" in message
    for word in words:
        assert word in message


def test_grid_runs_its_last_key_fastest():
    """All pairs; each point knows its values in SI units and has its own case."""
    settings = {"flow.model": "ohmic", "mesh.size": "100 nm"}
    over = ["flow.order=2,3", f"{PATH}=1nm,2nm,3nm"]
    rows = sweep("case.toml", over, settings=settings, directory="sweep", figures=False)
    wanted = [(order, path) for order in (2, 3) for path in (1e-9, 2e-9, 3e-9)]
    assert [tuple(row["swept"].values()) for row in rows] == wanted
    assert list(rows[0]["swept"]) == ["flow.order", f"{PATH}_m"]
    assert len({row["case_hash"] for row in rows}) == 6
    stored = json.loads(Path("sweep/sweep.json").read_text())
    assert stored["set"] == {"flow.model": "ohmic", "mesh.size": 1e-7}


@pytest.mark.parametrize(
    ("over", "settings", "words"),
    [
        (["flow.order=2:5:4", "flow.order=2,3"], {}, ["flow.order", "twice"]),
        (["flow.order=2:5:4"], {"flow.order": 2}, ["flow.order", "twice"]),
        ([f"{SLIP}=0:2:3"], {}, [SLIP, "0 … 1", f"at {SLIP} = 2"]),
        (["flow.order=2:11:10"], {}, ["flow.order", "found 11", "at flow.order = 11"]),
        (["materials.copper.mean_free_path=1nm,2nm"], {}, ['no "copper"', "sheet"]),
        (["flow.odor=1,2"], {}, ["flow.odor"]),
        (["title=a,b"], {}, ["does not change any result"]),
        (["output.directory=a,b"], {}, ["does not change any result"]),
        (["materials.sheet.provenance.x=a,b"], {}, ["the same case"]),
        (
            ["geometry.parameters.width=-1:1:2"],
            {},
            ["width = -1 is not permitted", "(at width = -1"],
        ),
        (["geometry.parameters.wide=1:2:2"], {}, ["no variable 'wide'"]),
        ([], {}, ["nothing to sweep"]),
    ],
)
def test_bad_input_is_found_before_any_point_is_solved(over, settings, words, meshes):
    """Names, ranges and drawings; nothing is solved, nothing is left behind."""
    with pytest.raises(Exception) as error:  # noqa: B017 - CaseError or GeometryError
        sweep("case.toml", over, settings=settings, directory="sweep")
    assert type(error.value).__name__ in ("CaseError", "GeometryError")
    for word in words:
        assert word in str(error.value)
    assert not meshes.count and not Path("sweep").exists()


# The table


def test_table_and_files():
    """Numbers against the closed form; both files say the same; units in the headers."""
    over = [f"{PATH}=20nm:500nm:3:log", f"{SLIP}=0,0.5"]
    rows = sweep("case.toml", over, directory="sweep")
    assert [row["status"] for row in rows] == ["done"] * 6
    for row in rows:
        path, specularity = row["swept"].values()
        drude = 20e-3 * 100 / 50
        # The accuracy promised for currents at default settings.
        assert row["results"]["conductance_S"] == pytest.approx(
            drude * ratio(path, specularity), rel=1e-6
        )
        assert row["results"]["resistance.strip_ohm"] == pytest.approx(
            1 / row["results"]["conductance_S"], rel=1e-12
        )
        # The two walls cancel, each of them does not.
        first, second = (row["results"][f"edges.{i}.orbital_moment_hbar_per_m"] for i in (1, 2))
        assert first == pytest.approx(-second, rel=1e-4) and abs(first) > 1e3
        knudsen = path / 100e-9
        assert len(row["warnings"]) == (knudsen > 0.21), row["warnings"]
    assert sorted(p.name for p in Path("sweep").iterdir()) == [
        *("report.html", "sweep.csv", "sweep.json", "sweep.png")
    ]
    written = table()
    assert [float(row[f"{PATH}_m"]) for row in written] == [r["swept"][f"{PATH}_m"] for r in rows]
    assert [float(row["conductance_S"]) for row in written] == [
        r["results"]["conductance_S"] for r in rows
    ]
    stored = json.loads(Path("sweep/sweep.json").read_text())
    assert stored["points"] == rows
    assert [axis["unit"] for axis in stored["over"]] == ["m", ""]
    assert Path("sweep/sweep.png").stat().st_size > 20_000


def test_no_directory_no_files(here):
    """From Python: rows only."""
    before = sorted(here.rglob("*"))
    rows = sweep("case.toml", ["flow.model=ohmic"], figures=False)
    assert rows[0]["results"]["conductance_S"] == pytest.approx(0.04, rel=1e-9)
    assert "edges.orbital_moment_hbar_per_m" not in rows[0]["results"]
    assert sorted(here.rglob("*")) == before


def test_plain_numbers_have_the_unit_of_their_key(here):
    sweep("case.toml", [f"{PATH}=2e-8,5e-8", "flow.model=ohmic"], directory="sweep")
    stored = json.loads(Path("sweep/sweep.json").read_text())
    assert [axis["unit"] for axis in stored["over"]] == ["m", ""]
    assert {row["swept"][PATH] for row in stored["points"]} == {2e-8, 5e-8}


def test_resumes(meshes):
    """What is in the table is not solved again; a finer grid solves what is new."""
    over, solved = ["flow.order=2,3,4"], Orders()
    options = {"directory": "sweep", "figures": False, "progress": solved}
    sweep("case.toml", ["flow.order=4,2"], **options)
    assert solved == [4, 2]
    first = {row["flow.order"]: row for row in table()}
    rows = sweep("case.toml", over, **options)
    assert solved == [4, 2, 3]
    assert [row["swept"]["flow.order"] for row in rows] == [2, 3, 4]
    assert [row["flow.order"] for row in table()] == ["2", "3", "4"]
    assert {row["flow.order"]: row for row in table()}.items() >= first.items()
    sweep("case.toml", over, **options)
    assert len(solved) == meshes.count == 3


def test_interrupted_sweep_keeps_its_points(meshes):
    """The table is complete after each point; an interrupt loses the current one only."""
    solved = Orders()
    options = {"directory": "sweep", "figures": False, "progress": solved}
    meshes.failures = {3: KeyboardInterrupt()}
    with pytest.raises(KeyboardInterrupt):
        sweep("case.toml", ["flow.order=2,3,4"], **options)
    assert [row["flow.order"] for row in table()] == ["2", "3"]
    sweep("case.toml", ["flow.order=2,3,4"], **options)
    assert solved == [2, 3, 4]
    assert not list(Path("sweep").glob(".*"))


@pytest.mark.parametrize(
    ("over", "settings"),
    [
        (["flow.order=2,3", f"{SLIP}=0,1"], {}),
        ([f"{SLIP}=0,1"], {}),
        (["flow.order=2,3"], {PATH: "9 nm"}),
    ],
)
def test_another_sweep_is_refused(over, settings, meshes):
    """Points of different cases do not get into one table."""
    sweep("case.toml", ["flow.order=2"], directory="sweep", figures=False)
    before = Path("sweep/sweep.json").read_bytes()
    with pytest.raises(CaseError, match="holds a sweep of another"):
        sweep("case.toml", over, settings=settings, directory="sweep")
    assert Path("sweep/sweep.json").read_bytes() == before and meshes.count == 1


def test_another_drawing_is_refused():
    """The drawing is part of the case."""
    shutil.copy(GEOMETRIES / "ribbon.geo", "own.geo")
    own = {"geometry.file": "own.geo"}
    sweep("case.toml", ["flow.order=2"], settings=own, directory="sweep", figures=False)
    Path("own.geo").write_text(Path("own.geo").read_text().replace("width / 2", "width / 2.5"))
    with pytest.raises(CaseError, match="drawing"):
        sweep("case.toml", ["flow.order=2"], settings=own, directory="sweep")


@pytest.mark.parametrize("content", [{"notes.txt": "mine"}, {"sweep.json": "{}"}, None])
def test_other_directories_are_left_alone(content):
    """Files that are no sweep are not touched."""
    if content is None:
        Path("sweep").write_text("a file")
    for name, text in (content or {}).items():
        Path("sweep").mkdir()
        (Path("sweep") / name).write_text(text)
    with pytest.raises(CaseError, match="--output"):
        sweep("case.toml", ["flow.order=2"], directory="sweep")
    for name, text in (content or {}).items():
        assert (Path("sweep") / name).read_text() == text
        assert len(list(Path("sweep").iterdir())) == 1


def test_keep():
    """Whole results in numbered directories; numbers of a resumed sweep go on."""
    sweep("case.toml", ["flow.order=2,4"], directory="sweep", keep=True, figures=False)
    sweep("case.toml", ["flow.order=2,3,4"], directory="sweep", keep=True, figures=False)
    orders = {
        row["directory"]: tomllib.loads(
            (Path("sweep") / row["directory"] / "case.toml").read_text()
        )["flow"]["order"]
        for row in table()
    }
    assert orders == {"000": 2, "001": 4, "002": 3}
    assert [row["flow.order"] for row in table()] == ["2", "3", "4"]
    assert not (Path("sweep") / "000" / "figures").exists()


# Failures


@pytest.fixture
def stubborn(meshes):
    """The second point does not converge."""
    meshes.failures = {2: ConvergenceError("residual 1e-3, wanted 1e-10")}


def test_a_failing_point_is_recorded_and_tried_again(stubborn, capsys):
    """The others are solved; the exit code is 3; next time only that one is tried."""
    words = ["sweep", "case.toml", "--over", "flow.order=2:4:3", "--output", "sweep"]
    assert main(words) == 3
    printed = capsys.readouterr()
    assert "failed" in printed.out
    assert "1 of 3 points failed, the first at order = 3: case.toml: residual 1e-3" in printed.err
    rows = table()
    assert [row["status"] for row in rows] == ["done", "failed", "done"]
    assert (
        rows[1]["error"] == "case.toml: residual 1e-3, wanted 1e-10"
        and not rows[1]["conductance_S"]
    )
    assert Path("sweep/sweep.png").is_file()
    assert main(words) == 0
    assert [row["status"] for row in table()] == ["done"] * 3


def test_all_points_fail():
    """There is a table and no picture."""
    with hopeless():
        assert main(["sweep", "case.toml", "--over", "flow.order=3", "--output", "sweep"]) == 3
    assert [row["status"] for row in table()] == ["failed"]
    assert "relative residual" in table()[0]["error"]
    assert not Path("sweep/sweep.png").exists()


def test_a_case_that_does_not_fit_its_drawing_stops_the_sweep(capsys, meshes):
    """All points would fail in the same way: the first says so."""
    settings = ["--set", 'regions={ wood = "sheet" }']
    assert main(["sweep", "case.toml", "--over", "flow.order=2,3", *settings]) == 2
    assert "regions.wood" in capsys.readouterr().err
    assert meshes.count == 1 and not Path("out_sweep").exists()


def test_the_gravest_failure_decides_the_exit_code(meshes):
    """Convergence before bad input."""
    words = ["sweep", "case.toml", "--no-figures", "--quiet", "--over", "flow.order=2:4:3"]
    bad, worse = GeometryError("no mesh"), ConvergenceError("residual 1e-3")
    for failures, code in (({}, 0), ({2: bad}, 2), ({1: bad, 2: worse}, 3)):
        meshes.count, meshes.failures = 0, failures
        assert main([*words, "--output", f"sweep{code}"]) == code


# The command


def test_command(capsys):
    """A table on the terminal; files beside the directory of the case."""
    words = ["sweep", "case.toml", "--over", f"{PATH}=10nm,20nm", "--set", "flow.order=3"]
    assert main([*words, "--no-figures"]) == 0
    printed = capsys.readouterr()
    assert f"{PATH}_m" in printed.out and "resistance.strip_ohm" in printed.out
    assert "table in out_sweep/sweep.csv" in printed.out and not printed.err
    assert sorted(p.name for p in Path("out_sweep").iterdir()) == [
        *("report.html", "sweep.csv", "sweep.json")
    ]
    assert main([*words, "--quiet"]) == 0
    assert not capsys.readouterr().out
    assert Path("out_sweep/sweep.png").is_file()
    assert main([*words, "--verbose"]) == 0
    assert "2 of 2 points are in the table already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--over", "flow.order=2:3"], "start:stop:n"),
        (["--over", "flow.order=2", "--jobs", "0"], "--jobs: found 0"),
        (["--over", "flow.order=2", "--set", "nonsense"], "expected key=value"),
    ],
)
def test_bad_commands(words, message, capsys):
    """Exit code 2 and one message."""
    assert main(["sweep", "case.toml", *words]) == 2
    assert message in capsys.readouterr().err


def test_jobs():
    """Two processes find the same numbers as one, to rounding of the meshes' order."""
    words = ["--over", "flow.order=2,3,4", "--no-figures", "--output"]
    for folder, more in (("one", []), ("two", ["--jobs", "2"])):
        done = subprocess.run(
            [sys.executable, "-m", "meso", "sweep", "case.toml", *words, folder, *more],
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
    for one, two in zip(table("one"), table("two"), strict=True):
        assert one["case_hash"] == two["case_hash"]
        assert float(two["conductance_S"]) == pytest.approx(float(one["conductance_S"]), rel=1e-12)


def test_jobs_are_refused_under_mpirun(monkeypatch):
    """Processes of processes would fight for the same cores."""
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "2")
    with pytest.raises(CaseError, match="mpirun"):
        sweep("case.toml", ["flow.order=2,3"], jobs=2)


@pytest.mark.ranks
@pytest.mark.skipif(shutil.which("mpirun") is None, reason="no mpirun")
def test_ranks():
    """Each point is solved by all ranks, and there is one table."""
    command = ["mpirun", "-n", "2", sys.executable, "-m", "meso", "sweep", "case.toml"]
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PMIX", "OMPI_COMM"))}
    done = subprocess.run(
        [*command, "--over", "flow.order=2,3", "--output", "both", "--verbose"],
        capture_output=True,
        text=True,
        timeout=120,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("table in") == 1 and done.stderr.count("point 1 of 2") == 1
    rows = sweep("case.toml", ["flow.order=2,3"], figures=False)
    for row, alone in zip(table("both"), rows, strict=True):
        # The tolerance of parallel runs: rounding of another elimination order.
        assert float(row["conductance_S"]) == pytest.approx(
            alone["results"]["conductance_S"], rel=1e-9
        )
    assert Path("both/sweep.png").is_file()


# The picture


def test_pictures():
    """One line for each value of the other key; names where there are no numbers; drawn again."""
    over = ["geometry.parameters.width=10:1000:3:log", "boundaries.edges.wall.slip_length=0 nm,inf"]
    settings = {"boundaries.edges.wall": {}, "flow.order": 2}
    rows = sweep("case.toml", over, settings=settings, directory="one")
    # Without friction the resistance is Drude's.
    found = [row["results"]["resistance.strip_ohm"] for row in rows[1::2]]
    assert found == pytest.approx([250, 25, 2.5], rel=1e-6)
    sweep("case.toml", ["flow.model=ohmic,hydrodynamic"], directory="two")
    for folder in ("one", "two"):
        picture = imread(Path(folder) / "sweep.png")[..., :3]
        assert 0.005 < (picture < 0.95).any(axis=2).mean() < 0.95
