"""Views of 3D devices: what is drawn by VTK, and that it decides nothing."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import test_output_3d
from test_output_3d import saved  # noqa: F401 (a fixture)

from meso import figures
from meso.figures import render, sheets, solid
from meso.figures.data import Drawn

pytest.importorskip("pyvista")
pytestmark = test_output_3d.serial


def test_views(saved: Any) -> None:  # noqa: F811
    """A film from the front: stream lines in it, colours on it, contacts in theirs."""
    result = Drawn(saved[1])
    fields = ["current_density", "orbital_density", "potential"]
    seen, reason = solid.Scenes(result, fields, sheets.sections_width(result)).draw()
    if reason:
        pytest.skip(reason)
    assert seen.keys() == set(fields)
    for views in seen.values():
        for view in views:
            assert view.image.shape == (*view.view.pixels[::-1], 3)
            ink = (view.image < 240).any(axis=2)
            assert 0.02 < ink.mean() < 0.9
            assert not ink[:, 0].any() and not ink[0].any()  # all of the device is in it
    # The film's orbital density is along y, on its upper side of one sign.
    (view,) = seen["orbital_density"]
    assert view.axis == 1
    red, _, blue = np.moveaxis(view.image.astype(int), 2, 0)
    assert (abs(red - blue) > 60).mean() > 0.05
    assert view.hidden.count(True) == 1  # one contact of two faces away
    # What is seen from outside has its name; from inside it is the walls opposite.
    near, far = ({n.lines[0] for n in seen[f][0].names} for f in fields[1::-1])
    assert near and far and not near & far
    assert near | far <= set(result.wall_facets[0])


def fails(*_: Any, **__: Any) -> Any:
    raise subprocess.TimeoutExpired("python3", 1)


def crashes(*_: Any, **__: Any) -> Any:
    return subprocess.CompletedProcess([], -11, b"", b"Segmentation fault\n")


@pytest.mark.parametrize("what", [fails, crashes])
def test_without_vtk_there_are_sections(
    what: Any,
    saved: Any,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(render.subprocess, "run", what)
    told: list[str] = []
    files: list[Path] = figures.draw(saved[1], tell=told.append)
    (line,) = told
    assert line.startswith("3D pictures are sections only: ") and "\n" not in line
    assert {"current.png", "orbital_density.png", "potential.png"} <= {f.name for f in files}
