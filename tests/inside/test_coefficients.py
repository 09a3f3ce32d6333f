"""Scaled coefficients of the flow at places of a device: no user sees them one by one."""

import math

import numpy as np
import pytest
from conftest import GEOMETRIES

from meso import CaseError, Device, Material, Profile, Wall
from meso.discrete.cells import cells_of
from meso.discrete.coefficients import (
    Coefficients,
    Scales,
    conductivity_scale,
    extremes,
)
from meso.results.mesh import shortest_diffusion_length

ROUNDING = 1e-14


@pytest.fixture(scope="module")
def ribbon():
    return Device.from_gmsh(GEOMETRIES / "ribbon.geo", length_unit="nm", order=2)


def on(device, **changes):
    """Coefficients of one material on a device, cells and positions in them."""
    matter = {"carriers": "2d", "conductivity": 0.02, "mean_free_path": 10e-9} | changes
    materials = {name: Material(**matter) for name in device.regions}
    scales = Scales(length=device.extent, conductivity=0.01)
    cells = cells_of(device)
    chosen = np.arange(cells.count)[::3]
    points, _ = cells.quadrature(3)
    return Coefficients(device, materials, scales), chosen, cells.positions(chosen, points)


def with_data(device, **data):
    object.__setattr__(device, "cell_data", data)


def test_coefficients_of_a_constant_material_are_one_number_a_cell(ribbon):
    coefficients, cells, positions = on(ribbon)
    length, extent = 5e-9, ribbon.extent
    assert not coefficients.varies.any()
    for name, expected in {
        "conductivity": 2.0,
        "relaxation": 0.5,
        "stress": (length / extent) ** 2 / 2,
        "contact_step": 8 / (3 * math.pi) * 10e-9 / extent,
    }.items():
        found = getattr(coefficients, name)(cells, positions)
        np.testing.assert_allclose(found, np.full(len(cells), expected), rtol=ROUNDING)
    rate = coefficients.slip_rate(Wall(specularity=0.0), cells)
    np.testing.assert_allclose(rate, 16 / (3 * math.pi) / 10e-9 * extent, rtol=ROUNDING)
    assert np.isinf(coefficients.slip_rate(Wall(slip_length=0.0), cells, positions)).all()


def test_coefficients_follow_expressions(ribbon):
    sigma = Profile(expression="0.01*(1 + x/100)", length_unit=1e-9)
    path = Profile(expression="10 + 0.02*x", scale=1e-9, length_unit=1e-9)
    coefficients, cells, positions = on(ribbon, conductivity=sigma, mean_free_path=path)
    assert coefficients.varies.all()
    x = positions[..., 0] * ribbon.extent * 1e9
    relaxation = 1 / (1 + x / 100)
    length = (10 + 0.02 * x) * 1e-9 / 2 / ribbon.extent
    np.testing.assert_allclose(coefficients.relaxation(cells, positions), relaxation, rtol=1e-13)
    stress = coefficients.stress(cells, positions)
    np.testing.assert_allclose(stress, length**2 * relaxation, rtol=1e-13)
    rate = coefficients.slip_rate(Wall(specularity=0.5), cells, positions)
    np.testing.assert_allclose(rate, 16 / (3 * math.pi) / (2 * length) / 3, rtol=1e-13)
    fixed = coefficients.slip_rate(Wall(slip_length=ribbon.extent), cells, positions)
    np.testing.assert_allclose(fixed, np.ones(x.shape), rtol=ROUNDING)
    with pytest.raises(ValueError, match="positions are needed"):
        coefficients.relaxation(cells)


def test_coefficients_of_cell_data_are_one_number_a_cell(ribbon):
    data = 1.0 + np.arange(len(ribbon.cell_region))
    with_data(ribbon, sigma=data)
    coefficients, cells, positions = on(ribbon, conductivity=Profile(data="sigma", scale=0.01))
    assert not coefficients.varies.any()
    found = coefficients.conductivity(cells, positions)
    np.testing.assert_allclose(found, data[cells], rtol=ROUNDING)


def test_extremes_and_scales(ribbon):
    def materials(**changes):
        return dict.fromkeys(ribbon.regions, Material(carriers="2d", **changes))

    sigma = Profile(expression="1 + x/400", length_unit=1e-9)  # from 1 to 2: 400 nm long
    low, high = extremes(ribbon, materials(conductivity=sigma), lambda m: m.conductivity)
    assert (low, high) == pytest.approx((1.0, 2.0), rel=1e-12)  # vertices are sampled
    assert conductivity_scale(ribbon, materials(conductivity=3.0), viscous=True) == 3.0
    thick = {"vorticity_diffusion_length": 2 * ribbon.extent}
    flows = materials(conductivity=sigma, **thick)
    assert conductivity_scale(ribbon, flows, viscous=True) == pytest.approx(0.5, rel=1e-12)
    assert conductivity_scale(ribbon, flows, viscous=False) == pytest.approx(2.0, rel=1e-12)


def test_bad_profiles_are_found_before_anything_is_solved(ribbon):
    with_data(ribbon)
    with pytest.raises(CaseError, match=r"conductivity: found .* in the whole conductor"):
        on(ribbon, conductivity=Profile(expression="x - 200", length_unit=1e-9))
    with pytest.raises(CaseError, match=r'conductivity\.data: no cell data "sigma"'):
        on(ribbon, conductivity=Profile(data="sigma"))


def test_shortest_diffusion_length_in_a_box():
    def shortest(low=(0.0, 0.0), high=(100e-9, 100e-9), **changes):
        matter = Material(carriers="2d", conductivity=1.0, **changes)
        return shortest_diffusion_length(matter, np.array(low), np.array(high))

    assert shortest() is None
    assert shortest(mean_free_path=6e-9) == 3e-9
    path = Profile(expression="x - 10", scale=1e-9, length_unit=1e-9)  # no conductor below 10
    step = 100 / 128  # of the samples, nm
    found = shortest(mean_free_path=path)
    assert 0 < found <= step / 2 * 1e-9
    assert shortest(mean_free_path=Profile(data="l")) is None
    wedge = Profile(expression="2 + z", scale=1e-9, length_unit=1e-9)
    box = {"low": (0.0, 0.0, 0.0), "high": (1e-9, 1e-9, 8e-9)}
    assert shortest(**box, mean_free_path=wedge) == pytest.approx(1e-9, rel=ROUNDING)
