"""Literate demos run from their first line to their last, and store their pictures."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "demos"
SCRIPTS = [p for p in sorted(FOLDER.glob("**/*.py")) if p.read_text("utf-8").startswith("# # ")]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_literate_demo(script: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    """What it claims it asserts itself."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(script)])
    runpy.run_path(str(script))
    assert (tmp_path / f"{script.stem}.png").stat().st_size > 10_000
    assert capsys.readouterr().out


def test_there_are_some() -> None:
    assert len(SCRIPTS) >= 6
