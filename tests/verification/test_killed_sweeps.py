"""Sweeps that are killed at random times go on where they were; so do runs that are stopped."""

# ruff: noqa: F811 (fixtures)
import json
import shutil
import signal
from pathlib import Path

import pytest
from test_cli import here, write_case  # noqa: F401
from test_results_are_whole import keep, kept, kills, quiet_end

from meso.cli import main


def kill_sweeps(count):
    write_case(**{"flow.model": "ohmic"})
    words = ["sweep", "case.toml", "--quiet", "--over", "flow.order=1,2,3", "--keep"]
    words += ["--output", "grid"]
    assert main(words) == 0
    keep("notes.txt", "000/figures/mine.png", folder="grid")
    table = Path("grid/sweep.json")

    def check():
        found = json.loads(table.read_text())
        assert [row["status"] for row in found["points"]] == ["done"] * 3
        names = {p.name for p in Path("grid").iterdir()}
        assert names == {"000", "001", "002", *("sweep.csv", "sweep.json", "sweep.png")} | {
            "notes.txt",
            "report.html",
        }
        assert kept("notes.txt", "000/figures/mine.png", folder="grid")
        assert [p.name for p in Path().iterdir() if p.name.startswith(".")] == []
        # The next one has something to do.
        found["points"] = found["points"][:1]
        table.write_text(json.dumps(found))

    check()
    kills(words, count, 2, [words], check)


def test_many_killed_sweeps(pytestconfig):
    """More of them with ``--kills=N``."""
    kill_sweeps(pytestconfig.getoption("kills"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stopped_at_any_time(number):
    write_case()
    for half in range(6):
        quiet_end(half / 2, number)
        shutil.rmtree("out", ignore_errors=True)
