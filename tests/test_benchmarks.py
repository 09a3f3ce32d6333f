"""Every benchmark runs at its smallest size, and its table has right numbers (of any time)."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
pytestmark = [
    pytest.mark.verification,
    pytest.mark.skipif(not BENCHMARKS.exists(), reason="benchmarks/ is in the source tree only"),
]


def table(script: str, *options: str, seconds: float = 300) -> tuple[str, list[dict[str, str]]]:
    """What a benchmark prints, and the rows of its table by the heads of the columns."""
    done = subprocess.run(
        [sys.executable, BENCHMARKS / script, *(options or ("--smallest",))],
        capture_output=True,
        text=True,
        timeout=seconds,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith("|")]
    head, _, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)
    return done.stdout, [dict(zip(head, row, strict=True)) for row in rows]


def test_slip_cylinder() -> None:
    """Both codes reach the error that the smallest meshes are for; without NGSolve it says so."""
    out, rows = table("slip_cylinder.py")
    codes = ["meso"]
    if find_spec("ngsolve"):
        codes += ["NGSolve H(div)-HDG", "NGSolve Taylor-Hood", "NGSolve p-dc"]
    else:
        assert "NGSolve is not installed" in out
    assert [row["code"] for row in rows] == codes
    for row in rows:
        # The bound is that of the row itself; a run without any error would compare nothing.
        assert 1e-8 < float(row["error"]) <= float(row["wall error"]) == 1e-4
        assert row["time"].endswith(" ms")


def test_kinetic() -> None:
    """Iteration and factorisation agree; the conductance of both lies between its bounds."""
    _, rows = table("kinetic.py")
    assert {row["solver"] for row in rows} == {"iterative", "direct"}
    conductance = [float(row["G, S"]) for row in rows]
    # docs/design.md: the iteration stops where currents agree within 3e-8
    assert conductance == pytest.approx([conductance[0]] * len(rows), rel=1e-7)
    for row in rows:
        # 4e-4 and 0.27 of G away on this coarse mesh: far more than the iteration errs by
        assert float(row["lower"]) < float(row["G, S"]) < float(row["upper"])


def test_film() -> None:
    """The iterative solver reaches the closed form of a film of four layers of cells."""
    _, rows = table("film.py")
    assert [row["l/L"] for row in rows] == ["1"]
    # 5e-10 was measured; an iteration that stops at 1e-10 in the residual cannot promise more
    assert all(float(row["error of I"]) < 1e-8 for row in rows)
    assert all(0 < int(row["iterations"]) < 60 for row in rows)


def test_small_run() -> None:
    """The ribbon with the errors of its numbers."""
    _, rows = table("small_run.py")
    assert [row["run"] for row in rows] == ["all"]
    assert int(rows[0]["errors told"]) > 0


def test_bands() -> None:
    """All and a part of the symmetry, one direction and all of them give the same diffusivity."""
    _, rows = table("bands.py")
    found = [row["largest element of D"].split()[0] for row in rows]
    vanadium, tantalum = [float(d) for d in found[:2]], [float(d) for d in found[2:4]]
    # equal but for the order of summation
    assert vanadium[0] == pytest.approx(vanadium[1], rel=1e-9)
    assert tantalum[0] == pytest.approx(tantalum[1], rel=1e-9)
    assert "reading" in rows[-1]["what"]


def test_errors_of_kinetic_flow() -> None:
    """Estimates of a short ladder of ribbons cover the true errors."""
    _, rows = table("kinetic_errors.py")
    counts = [rows[0][f"{what}: covered"] for what in ("current", "extrapolated", "moment")]
    assert counts == ["4 of 4"] * 3


@pytest.mark.thorough
@pytest.mark.parametrize("device", ["ribbon", "ring"])
def test_coverage_of_kinetic_errors(device: str) -> None:
    """At least 95 per cent, docs/bounds.md."""
    _, rows = table("kinetic_errors.py", device, seconds=7200)
    for what in ("current", "extrapolated", "moment"):
        covered, of = map(int, rows[0][f"{what}: covered"].split(" of "))
        assert covered >= 0.95 * of


def test_errors_of_kinetic_flow_in_3d() -> None:
    """Those of a film are covered."""
    out, rows = table("sphere_errors.py")
    assert len(rows) == 1
    assert out.count(": 1 of 1 covered") == 3


@pytest.mark.thorough
def test_coverage_of_kinetic_errors_in_3d() -> None:
    """At least 95 per cent of the first cases of the table of docs/verification.md, all plans."""
    out, rows = table("sphere_errors.py", "--seed", "1", "--count", "9", seconds=7200)
    assert len(rows) == 18
    lines = [line.split() for line in out.splitlines() if " covered," in line]
    assert [line[0] for line in lines] == ["current:", "extrapolated:", "moment:"]
    for line in lines:
        covered, of = int(line[1]), int(line[3])
        assert of >= 16
        assert covered >= 0.95 * of


def test_errors_of_bands() -> None:
    """Most reported errors cover the true ones, also on few points."""
    _, rows = table("bands_errors.py")
    assert len(rows) == 3
    for column in (1, 4):
        counts = [list(row.values())[column].split(" of ") for row in rows]
        covered, of = (sum(int(count[n]) for count in counts) for n in (0, 1))
        assert covered >= 0.9 * of


def test_hall_bar() -> None:
    """Few cells leave 2e-7 of the conductance that 20,000 of them have."""
    _, (row,) = table("hall_bar.py")
    assert float(row["G, S"]) == pytest.approx(5.452651e-4, rel=2e-6)


def test_gradients() -> None:
    """Derivatives of both numbers of a ribbon in all of its inputs."""
    _, rows = table("gradients.py")
    assert [row["number"] for row in rows] == ["conductance", "edges.1.orbital_moment"]
    assert all(row["inputs"] == "9" and float(row["derivatives, s"]) > 0 for row in rows)
