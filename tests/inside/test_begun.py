"""Results in two steps: fields are written, and drawn by another process, while errors are found.

Inside, because the moment between the two steps is seen by nobody else.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from test_cli import write_case

import meso
from meso.geometry import gmsh_process
from meso.results import output
from meso.results.result import Result


@pytest.fixture
def result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Result:
    """A coarse result; another process draws, though Matplotlib is loaded here."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(output, "_apart", gmsh_process.is_running)
    return meso.run(meso.Case.load(write_case()))


def test_the_result_has_what_was_found_meanwhile(result: Result) -> None:
    with output.begun(result, Path("out")) as finish:
        (partial,) = Path().glob(".out.partial-*")
        early = json.loads((partial / "summary.json").read_text(encoding="utf-8"))
        assert "written" not in early["files"]  # it does not count as a result
        assert not Path("out").exists()
        finish(replace(result, mesh_errors={"conductance_S": 1e-9}))
    summary = json.loads(Path("out/summary.json").read_text(encoding="utf-8"))
    assert summary["mesh"]["estimated_errors"] == {"conductance_S": 1e-9}
    assert "figures/current.png" in summary["files"]["written"]
    assert "1e-09" in Path("out/report.html").read_text(encoding="utf-8")
    assert [p.name for p in Path().iterdir() if p.name.startswith(".")] == []


def test_an_interruption_ends_the_drawing_and_leaves_nothing(result: Result) -> None:
    before = sorted(Path().iterdir())
    with pytest.raises(KeyboardInterrupt), output.begun(result, Path("out")):
        drawing = gmsh_process.is_running()
        raise KeyboardInterrupt
    assert drawing
    assert not gmsh_process.is_running()
    assert sorted(Path().iterdir()) == before
