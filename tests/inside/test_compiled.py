"""The cache of compiled forms: nothing is compiled twice, leftovers of killed processes do no harm.

Inside, because what a user sees of it is the time that a run takes.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import ufl
from conftest import GEOMETRIES

from meso import Device, compiled


def test_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "_folder", lambda: tmp_path)
    device = Device.from_gmsh(GEOMETRIES / "bilayer.geo", length_unit="nm")
    x = ufl.SpatialCoordinate(device.mesh)
    forms = [x[i] * device.dx("lower", degree=1) for i in (0, 1)]
    device.integrate(forms[0])
    (source,) = tmp_path.rglob("*.c")
    # Killed while it compiled, and after that a failed attempt of somebody else.
    source.with_name("libffcx_forms_0.c").touch()
    source.rename(source.with_suffix(".c.failed"))
    compiled._known.clear()  # another process
    value = device.integrate(forms[0])
    assert source.exists() and source.with_suffix(".c.cached").exists()
    assert device.integrate(forms[1]) != value
    assert len(list(tmp_path.rglob("*.c"))) == len(list(tmp_path.rglob("*.c.cached"))) == 2


def test_the_first_form_is_announced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line, and none where everything is there already."""
    monkeypatch.setattr(compiled, "_folder", lambda: tmp_path)
    device = Device.from_gmsh(GEOMETRIES / "bilayer.geo", length_unit="nm")
    x = ufl.SpatialCoordinate(device.mesh)
    for expected in (1, 0):
        said: list[str] = []
        with compiled.announced(said.append):
            for i in (0, 1):
                device.integrate(x[i] * device.dx("lower", degree=1))
        assert len(said) == expected
    said.clear()
    device.integrate(x[0] ** 2 * device.dx("lower", degree=2))
    assert said == []
