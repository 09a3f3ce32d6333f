"""An error that one rank alone meets ends all ranks, with one message and the right exit code."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import thorough
from mpi4py import MPI
from test_demo_ranks import ROOT, environment

import meso
from meso.cli import main

CASE = ROOT / "demos" / "slip_channel" / "case.toml"
ERRORS = {
    "case": meso.CaseError("trouble at home"),
    "geometry": meso.GeometryError("trouble at home"),
    "convergence": meso.ConvergenceError("trouble at home"),
    "other": ZeroDivisionError("trouble at home"),
}
# Ranks that fail wait five seconds for the others; imports on a busy machine take the rest. Without
# an end the others would wait in the solver for ever.
SECONDS = 100


def run(kind: str, ranks: str, way: str) -> None:
    """One of the ranks fails while the flow is solved."""

    def progress(text: str) -> None:
        if text.startswith("solving") and str(MPI.COMM_WORLD.rank) in ranks.split(","):
            raise ERRORS[kind]

    if way == "script":
        meso.run(meso.Case.load(CASE), progress=progress)
        return
    if way == "caught":
        try:
            meso.run(meso.Case.load(CASE), progress=progress)
        except meso.MesoError as error:
            sys.stdout.write(f"caught {error}\n")
        return
    solve = meso.flow.Hydrodynamic.solve

    def patched(model: Any, **how: Any) -> Any:
        progress("solving")
        return solve(model, **how)

    meso.flow.Hydrodynamic.solve = patched
    sys.exit(main(["run", str(CASE), "--no-figures", "--output", kind]))


def ended(folder: Path, *words: str, ranks: int = 3) -> tuple[int, str, str]:
    """Exit code, and what was said on both channels."""
    done = subprocess.run(
        ["mpirun", "--oversubscribe", "-n", str(ranks), sys.executable, "-W", "ignore"]
        + [__file__, *words],
        capture_output=True,
        text=True,
        errors="replace",
        timeout=SECONDS,
        env=environment(),
        cwd=folder,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


serial = pytest.mark.skipif(MPI.COMM_WORLD.size > 1, reason="starts its own ranks")


@serial
@pytest.mark.parametrize(
    ("kind", "ranks", "way", "code", "message"),
    [
        thorough("case", "1", "script", 2, "meso: error: "),
        thorough("convergence", "0", "script", 3, "meso: did not converge: "),
        ("geometry", "1,2", "command", 2, "meso: error: "),
        ("convergence", "2", "command", 3, "meso: did not converge: "),
        ("case", "2", "caught", 2, "meso: error: "),
        ("other", "2", "script", 1, "ZeroDivisionError: "),
    ],
)
def test_one_rank_fails(
    tmp_path: Path, kind: str, ranks: str, way: str, code: int, message: str
) -> None:
    found, out, said = ended(tmp_path, kind, ranks, way)
    assert found == code, said
    lines = [line for line in said.split("\n") if "trouble at home" in line and "raise" not in line]
    assert len(lines) == 1, said
    assert re.fullmatch(rf"{message}(\S+: )?trouble at home", lines[0].strip("\0"))
    assert ("Traceback" in said) == (kind == "other")
    assert not out
    assert not list(tmp_path.glob("*/summary.json"))


@serial
def test_all_ranks_fail_and_the_script_goes_on(tmp_path: Path) -> None:
    """An error that all ranks have is an exception like any other."""
    code, out, said = ended(tmp_path, "case", "0,1,2", "caught")
    assert code == 0, said
    assert len(re.findall(r"caught \S+: trouble at home", out)) == 3


if __name__ == "__main__":
    run(*sys.argv[1:])
