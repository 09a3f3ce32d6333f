"""Bounds of the conductance: below and above the exact one, tight, and only where proved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import draw, material, mesh_file, thorough
from test_kinetic import LENGTH, RIBBONS, VOLT, WIDTH, kinetic, strip

import meso
from meso import CaseError, Contact, Device, Material, Periodic, Wall
from meso.flow import Flow, conductance_bounds

__all__ = ["strip"]  # the fixture

DEVICES: list[Any] = [
    ("annulus", ("inner", "outer"), {}, 0.0),
    ("annulus", ("inner", "outer"), {}, 0.9),
    thorough("constriction", ("edges",), {"fillet": 0}, 0.0),
    thorough("hall_bar", ("edges",), {}, 0.6),
]

NECK = """
Point(1) = {0, 0, 0}; Point(2) = {45, 0, 0}; Point(3) = {45, 45, 0}; Point(4) = {55, 45, 0};
Point(5) = {55, 0, 0}; Point(6) = {100, 0, 0}; Point(7) = {100, 100, 0}; Point(8) = {55, 100, 0};
Point(9) = {55, 55, 0}; Point(10) = {45, 55, 0}; Point(11) = {45, 100, 0}; Point(12) = {0, 100, 0};
For i In {1:11}
  Line(i) = {i, i + 1};
EndFor
Line(12) = {12, 1};
Curve Loop(1) = {1:12}; Plane Surface(1) = {1};
Mesh.MeshSizeMin = SIZE; Mesh.MeshSizeMax = SIZE;
Physical Surface("metal") = {1}; Physical Curve("edges") = {1:5, 7:11};
Physical Curve("source") = {12}; Physical Curve("drain") = {6};
"""


def flow_in(device: Device, matter: Material, harmonics: int, p: float, **given: Any) -> Flow:
    """Reservoirs at all boundaries that are no walls."""
    laws: dict[str, Contact | Wall] = {}
    for name in device.boundaries:
        wall = name in ("edges", "inner", "outer")
        laws[name] = Wall(specularity=p) if wall else Contact(potential=0.0)
    return kinetic(device, matter, harmonics, **given, **laws)


def lowest(matrix: np.ndarray) -> float:
    """Smallest eigenvalue."""
    return float(np.linalg.eigvalsh((matrix + matrix.T) / 2).min())


@pytest.mark.parametrize(("name", "walls", "parameters", "p"), DEVICES, ids=lambda v: str(v))
def test_enclosure(name, walls, parameters, p):
    """As matrices: falling from above with N, rising from below, the limit between them."""
    matter = material(mean_free_path=40e-9)
    device = draw(name, matter, walls, order=3, **parameters)
    flows = [flow_in(device, matter, n, p) for n in (2, 4, 8)]
    found = [
        conductance_bounds(flow, harmonics=n) for flow, n in zip(flows, (2, 4, 8), strict=True)
    ]
    size = found[-1].upper[0, 0]
    rounding = 1e-9 * size
    lowers = [bounds.lower for bounds in found]
    for one, two in zip(found, found[1:], strict=False):
        assert lowest(one.upper - two.upper) > -rounding
        assert lowest(two.lower - one.lower) > -rounding
    first, second = (flow.conductance_matrix for flow in flows[1:])
    beyond = second + (second - first) / 3
    assert lowest(found[-1].upper - beyond) > -1e-6 * size  # the error of the iteration
    assert lowest(beyond - lowers[-1]) > -1e-6 * size
    for bounds in found:
        for matrix in (bounds.lower, bounds.upper):
            assert np.abs(matrix.sum(axis=0)).max() < rounding
            assert np.abs(matrix - matrix.T).max() < rounding
    # Tight: on curved walls and at sharp corners not 1e-4 below the estimate of the same N.
    assert np.abs(second - lowers[-1]).max() < 2e-4 * size
    assert found[-1].leak < 1e-5


@pytest.mark.parametrize(("path", "between", "p", "kernel", "exact"), RIBBONS)
def test_ribbon(strip, path, between, p, kernel, exact):
    """The exact conductance of periodic ribbons lies between."""
    matter = material(
        mean_free_path=path * WIDTH,
        electron_electron_mean_free_path=between * WIDTH,
        scattering=kernel,
    )
    pair = Periodic(to="drain", voltage=VOLT)
    flow = kinetic(strip, matter, 16, source=pair, edges=Wall(specularity=p))
    bounds = conductance_bounds(flow, harmonics=16)
    assert bounds.lower is not None
    assert bounds.leak < 1e-11  # straight walls: rounding
    drude = matter.conductivity * WIDTH / LENGTH
    low, high = bounds.lower[0, 0] / drude, bounds.upper[0, 0] / drude
    assert low < exact < high
    assert high - low < 0.02 * exact


def test_period_of_many_harmonics(strip):
    """What separates the bounds is the number of harmonics."""
    matter = material(mean_free_path=50e-9, scattering="isotropic")
    pair = Periodic(to="drain", voltage=VOLT)
    exact = 0.7973801760359 * matter.conductivity * WIDTH / LENGTH
    gaps = []
    for n in (8, 16, 32):
        flow = kinetic(strip, matter, n, source=pair, edges=Wall(specularity=0.0))
        bounds = conductance_bounds(flow, harmonics=n)
        assert bounds.lower is not None
        assert bounds.lower[0, 0] < exact < bounds.upper[0, 0] < 1.1 * exact
        gaps.append((bounds.upper - bounds.lower)[0, 0] / exact)
    assert gaps[2] < 0.6 * gaps[1] < 0.36 * gaps[0]


@pytest.mark.parametrize("path", [1.0, 10.0])
def test_coarse_mesh(tmp_path, path):
    """Bounds of 50 cells enclose what 1000 cells say, and their bounds, on the same polygon."""
    matter = material(mean_free_path=path * 1e-9, scattering="isotropic")
    found = {}
    for cells in (3, 16):
        (tmp_path / "neck.geo").write_text(NECK.replace("SIZE", str(100 / cells)))
        mesh = mesh_file(tmp_path / f"neck_{cells}.msh", tmp_path / "neck.geo")
        device = Device.from_gmsh(mesh, length_unit="nm", order=2)
        flow = flow_in(device, matter, 2 if cells == 3 else 8, 0.0, order=2)
        bounds = conductance_bounds(flow, harmonics=8)
        assert bounds.lower is not None
        found[cells] = bounds.lower[0, 0], flow.conductance_matrix[0, 0], bounds.upper[0, 0]
    (low, _, high), (lower, estimate, upper) = found[3], found[16]
    assert low < lower < upper < high
    assert low < estimate < high


def test_no_lower_bound():
    """On curved walls without the maximum principle there is none, and the reason is told."""
    matter = material(mean_free_path=40e-9, scattering={"gamma2": 2.0})
    device = draw("annulus", matter, ("inner", "outer"), order=3)
    flow = flow_in(device, matter, 4, 0.0)
    bounds = conductance_bounds(flow, harmonics=4)
    assert bounds.lower is None
    assert "scattering kernel" in bounds.reason
    assert any("no lower bound: the scattering kernel" in line for line in bounds.lines(""))
    assert bounds.table("")["lower_S"] is None


def test_columns_of_a_sweep():
    """Bounds and errors of each point are in the table."""
    path = Path(__file__).parents[2] / "demos" / "fuchs_sondheimer" / "case.toml"
    settings = {"flow.harmonics": 4, "flow.bounds": True}
    rows = meso.sweep(path, ["materials.metal.mean_free_path=1e-8:4e-8:2"], settings=settings)
    for row in rows:
        found = row["results"]
        low, high = found["conductance_lower_S"], found["conductance_upper_S"]
        # The error of the iteration squared.
        assert low < found["conductance_S"] * (1 + 1e-7) < high * (1 + 1e-7)
        assert found["harmonics"] == 4
        for kind in ("harmonics", "mesh"):
            assert 0 < found[f"estimated_error_{kind}.currents"] < 0.1


def test_refusals(strip):
    """Walls that are too smooth, and magnetic fields, before anything is solved."""
    matter = material(mean_free_path=20e-9, fermi_wavevector=1.4e8)
    pair = Periodic(to="drain", voltage=VOLT)
    smooth = kinetic(strip, matter, 4, source=pair, edges=Wall(specularity=1.0))
    with pytest.raises(CaseError, match=r"specularity.*found 1"):
        conductance_bounds(smooth, harmonics=4)
    turned = kinetic(strip, matter, 4, source=pair, edges=Wall(specularity=0.0), magnetic_field=0.1)
    with pytest.raises(CaseError, match="magnetic field"):
        conductance_bounds(turned, harmonics=4)
