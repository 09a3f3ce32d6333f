"""The lower bound of the conductance: its trial current, and the maximum principle behind it.

Inside, because a user gets the best trial current and never a bad one, and learns of the maximum
principle only where a mesh leaks.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from conftest import draw, material, thorough

from meso import Contact, Device, Material, Wall
from meso.flow import Flow, Kinetic, certificate
from meso.flow.certificate import lower_bound
from meso.flow.maximum import positive_kernel, unbounded

pytestmark = pytest.mark.verification


def flow_in(
    device: Device, materials: dict[str, Material], harmonics: int, p: float, **given: Any
) -> Flow:
    """Reservoirs at all boundaries that are no walls."""
    laws: dict[str, Contact | Wall] = {}
    for name in device.boundaries:
        wall = name in ("edges", "inner", "outer", "bottom", "top")
        laws[name] = Wall(specularity=p) if wall else Contact(potential=0.0)
    model = Kinetic(device, materials=materials, boundaries=laws, harmonics=harmonics, **given)
    return model.solve()


def lowest(matrix: np.ndarray) -> float:
    """Smallest eigenvalue."""
    return float(np.linalg.eigvalsh((matrix + matrix.T) / 2).min())


@pytest.mark.parametrize(("penalty", "solutions"), [(1e3, 1), (1.0, 1), (1.0, 3), (0.01, 2)])
@pytest.mark.parametrize("name", ["annulus", thorough("hall_bar")])
def test_any_current_is_a_bound(monkeypatch, name, penalty, solutions):
    """However bad the trial current is: its divergence is counted."""
    matter = material(mean_free_path=40e-9)
    walls = ("inner", "outer") if name == "annulus" else ("edges",)
    device = draw(name, matter, walls, order=3)
    flow = flow_in(device, dict.fromkeys(device.regions, matter), 4, 0.2, order=3)
    best = lower_bound(flow)
    monkeypatch.setattr(certificate, "PENALTY", penalty)
    monkeypatch.setattr(certificate, "SOLUTIONS", solutions)
    found = lower_bound(flow)
    assert found.matrix is not None
    assert best.matrix is not None
    assert found.leak > 10 * best.leak
    conductance = flow.conductance_matrix
    assert lowest(conductance - found.matrix) > -1e-9 * conductance[0, 0]


def test_maximum_principle():
    """Which kernels scatter into all angles with a positive rate; where else it fails."""
    assert positive_kernel(material(scattering="isotropic"))
    # 1 + cos 2 theta
    assert positive_kernel(material(scattering="radial-tangential"))
    # 1/lambda + (1 + 2 cos theta)/lambda_ee
    for between, positive in ((30e-9, True), (20e-9, True), (19e-9, False)):
        matter = material(
            scattering="isotropic",
            mean_free_path=20e-9,
            electron_electron_mean_free_path=between,
        )
        assert positive_kernel(matter) == positive
    assert not positive_kernel(material(scattering={"gamma2": 2.0}))
    assert positive_kernel(material(scattering={"gamma3": 0.5}))


def test_no_maximum_principle_with_different_materials():
    pair = [material(mean_free_path=x * 1e-9) for x in (10, 20)]
    device = draw("bilayer", pair[0], ("bottom", "top"), order=2)
    flow = flow_in(device, dict(zip(device.regions, pair, strict=True)), 2, 0.0, order=2)
    assert "mean free path varies" in unbounded(flow)
