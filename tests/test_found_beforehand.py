"""Bad values that came out as tracebacks, or after the solution: now one message, beforehand."""

# ruff: noqa: F811 (fixtures)
# ruff: noqa: F811 (fixtures)
import json
import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import GEOMETRIES
from test_cli import environment, here, meso, refused, write_case  # noqa: F401

DEMOS = GEOMETRIES.parent / "demos"


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("materials.sheet.carriers", "[[]]", ["materials.sheet.carriers", "2d"]),
        ("geometry.parameters.width", "1" + "0" * 400, ["parameters.width", "a number"]),
        ("output.probes.across.points", "1000000000", ["points: found 1000000000", "1000000"]),
        (
            "output.probes.across",
            '{from=["1 nm", "0 nm", "0 nm"], to=["9 nm", "0 nm", "0 nm"]}',
            ["output.probes.across: found 3 coordinates", "2D"],
        ),
    ],
)
def test_bad_values(refused, key, value, words):
    """Exit code 2 and one message, of `check` and of `run`."""
    write_case()
    for command in ("check", "run"):
        message = refused(command, "case.toml", "--set", f"{key}={value}")
        assert all(word in message for word in words)


@pytest.mark.parametrize(
    ("place", "words"),
    [(["9 nm", "0 nm", "0 nm"], "found 3 coordinates"), (["9 m", "0 m"], "lies outside")],
)
def test_bad_places_of_distributions(refused, place, words):
    """Once found after the solution."""
    write_case(**{"flow.model": "kinetic", "output.distributions": {"here": place}})
    message = refused("check", "case.toml")
    assert f"output.distributions.here: {words}" in message or words in message


def test_broadening_that_no_grid_resolves(refused):
    """Nothing is left of the conductivity."""
    Path("bands.toml").write_text(
        '[model]\nkind = "BccP"\n[bands]\nkmesh = 4\nbroadening = "1e-30 eV"\n'
    )
    assert "broadening: found 1e-30 eV" in refused("bands", "bands.toml")


def test_probe_that_leaves_the_conductor(meso):
    """Its rows are nan there: the terminal and the summary say how many, and `check` does."""
    line = {"from": ["100 nm", "0 nm"], "to": ["300 nm", "0 nm"], "points": 5}
    write_case(**{"output.probes": {"out": line}, "flow.model": "ohmic"})
    wanted = "output.probes.out: 2 of 5 points lie outside the conductor; their rows are nan"
    code, out, _ = meso("check", "case.toml")
    assert (code, wanted in out) == (0, True)
    code, _, err = meso("run", "case.toml", "--quiet", "--no-figures")
    assert (code, err) == (0, f"meso: warning: {wanted}\n")
    assert json.loads(Path("out/summary.json").read_text())["warnings"] == [wanted]


@pytest.mark.demos
def test_no_current_is_no_missing_current(meso):
    """Spin alone drives this device: all currents are rounding, and so is their sum."""
    words = ["--set", "mesh.size=4 nm", "--set", "flow.order=2", "--output", "out", "--no-figures"]
    assert meso("run", str(DEMOS / "nonlocal/case.toml"), "--quiet", *words)[0] == 0
    solver = json.loads(Path("out/summary.json").read_text())["solver"]
    assert solver["sum_of_currents_relative"] < 1e-12  # a direct solution of 1e4 unknowns


def test_the_drawing_of_the_readme_may_have_a_hole(meso):
    """Curves around a hole come with a sign from Boundary: all of them are walls."""
    text = (GEOMETRIES.parent / "README.md").read_text()
    drawing = re.search(r'( {4}SetFactory.*?Physical Curve\("edges"\)[^\n]*)', text, re.S)[1]
    hole = "Disk(5) = {60, 50, 0, 10};\n    BooleanDifference(3)"
    drawing = drawing.replace("BooleanDifference(3)", hole).replace("Surface{2}", "Surface{2, 5}")
    Path("device.geo").write_text(drawing + "\n")
    code, out, err = meso("mesh", "device.geo")
    assert code == 0, err
    # Two sides, one of them with a notch of radius 30 (half a circle for its chord), and the hole.
    length = float(re.search(r"boundary\s+edges\s+\d+ edges, (\S+) nm", out)[1])
    circles = 3.141592653589793 * (30 + 2 * 10)
    # Curved cells of degree 4 follow the circles to 1e-5.
    assert length == pytest.approx(600 - 2 * 30 + circles, rel=1e-5)


@pytest.mark.verification  # takes twenty seconds
def test_a_solution_that_does_not_fit_into_memory():
    """The message comes before the memory is taken, and names what would help."""
    write_case()
    words = ["flow.model=kinetic", "flow.harmonics=64", "flow.solver=direct"]
    words += ["mesh.size=12 nm", "mesh.wall_size=12 nm"]
    limit = 3_000_000_000  # the program itself takes a third
    done = subprocess.run(
        [sys.executable, "-m", "meso", "run", "case.toml"]
        + [word for setting in words for word in ("--set", setting)],
        capture_output=True,
        text=True,
        timeout=300,
        env=environment() | {"OPENBLAS_NUM_THREADS": "1"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1
    found = re.search(r"needs about ([\d.]+) GB of memory, but ([\d.]+) GB are free", done.stderr)
    assert float(found[1]) > float(found[2])
    for word in ("flow.harmonics", "mesh.size", 'flow.solver = "iterative"'):
        assert word in done.stderr
    assert not Path("out").exists()
