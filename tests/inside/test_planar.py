"""Which solver a 2D device gets."""

from __future__ import annotations

import pytest
from conftest import draw, material, solve

from meso import CaseError, Wall
from meso.discrete import memory

WALLS = {"edges": Wall(specularity=0.0)}


def test_what_does_not_fit_into_memory_is_iterated(monkeypatch):
    matter = material(mean_free_path=40e-9)
    device = draw("ribbon", matter, ("edges",))
    direct = solve(device, matter, **WALLS)
    assert "GMRES" not in direct.evidence["method"]
    for estimate in ("direct", "skeleton"):
        monkeypatch.setattr(memory, estimate, lambda *_, **__: 1e15)
    found = solve(device, matter, **WALLS)
    assert "GMRES" in found.evidence["method"]
    wanted = direct.contacts["source"].current
    assert found.contacts["source"].current == pytest.approx(wanted, abs=0, rel=1e-7)
    with pytest.raises(CaseError, match="or more memory would help"):
        solve(device, matter, solver="direct", **WALLS)
