"""Tensors and laws that the tables [angular_momentum.*] become, one by one."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from meso import Case, bands
from meso.angular_momentum.problem import surfaces, transports
from meso.angular_momentum.tensors import LEVI_CIVITA
from meso.bands import models
from meso.bands.writing import write
from meso.constants import ELEMENTARY_CHARGE, HBAR

sys.path.append(str(Path(__file__).parents[1] / "angular_momentum"))
from test_tables import case  # noqa: E402


def test_values() -> None:
    """SI units; what was stated in hbar/2e is halved."""
    transport = transports(case(), 2)["metal"]
    assert case().angular_momentum.components == ("spin_z", "orbital_z")
    theta = HBAR / ELEMENTARY_CHARGE
    np.testing.assert_allclose(transport.hall[1, :, 0], [-1.3e4 * theta, 8.2e5 * theta])
    np.testing.assert_allclose(transport.relaxation, np.diag([1e12, 1e-5 / 6.6e-9**2]))
    laws = surfaces(case())
    np.testing.assert_allclose(laws["edges"].matrix(2), np.diag([30.0, 0.0]))
    np.testing.assert_array_equal(laws["source"].density, [0.0, np.nan])
    assert "drain" not in laws


def test_mixing() -> None:
    """Conversion: columns sum to the loss; polarization and cross velocities."""
    mixed = case(
        'angular_momentum.spin_orbital.conversion.spin_to_orbital="2e11 Hz"',
        'angular_momentum.spin_orbital.conversion.orbital_to_spin="1e11 Hz"',
        'angular_momentum.spin_orbital.polarization={spin_from_orbital="3e-6 m^2/s"}',
        'angular_momentum.spin_orbital.boundaries.edges={orbital_from_spin="-2 m/s"}',
    )
    transport = transports(mixed, 2)["metal"]
    np.testing.assert_allclose(transport.relaxation.sum(axis=0), [1e12, 1e-5 / 6.6e-9**2])
    assert transport.relaxation[1, 0] == -2e11
    assert transport.diffusivity[0, 0, 0, 1] == 3e-6 and transport.diffusivity[0, 1, 0, 0] == 0
    np.testing.assert_allclose(surfaces(mixed)["edges"].matrix(2), [[30, 0], [-2, 0]])


def test_tensors_and_regions() -> None:
    """Tensors with a unit, an orientation, precession; values of one region."""
    turned = case(
        'angular_momentum.spin.components=["x", "y", "z"]',
        "angular_momentum.spin.orientation.angle=90",
        'angular_momentum.spin.diffusivity={tensor=[[1,0,0],[0,2,0],[0,0,3]],unit="cm^2/s"}',
        'angular_momentum.spin.precession=["0 Hz","0 Hz","3e12 Hz"]',
        'angular_momentum.spin.regions.metal.relaxation_time="2 ps"',
    )
    transport = transports(turned, 2)["metal"]
    D = transport.diffusivity[:, 0, :, 0]
    np.testing.assert_allclose(D, 1e-4 * np.diag([2, 1, 3]), atol=1e-18)
    np.testing.assert_allclose(transport.relaxation[:2, :2], [[5e11, 3e12], [-3e12, 5e11]])


def test_tensors_go_into_the_diffusion_of_a_device(tmp_path):
    """As docs/bands.md says: indices and units of the JSON file are those of a case."""
    found = bands.coefficients(
        models.BccP(spin_orbit=0.05), energy=0.5, kmesh=16, error=False, temperature=0.05
    )
    _, path = write(found, tmp_path, "metal")
    tensors = json.loads(path.read_text())
    D = np.array(tensors["angular_momentum_diffusivity"]["value"])
    sigma = np.array(tensors["orbital_hall_conductivity"]["value"])
    (tmp_path / "x.geo").write_text("// a drawing\n")
    case = {
        "geometry": {"file": "x.geo", "length_unit": "nm"},
        "materials": {"film": {"library": "metal.toml"}},
        "regions": {"metal": "film"},
        "boundaries": {
            "a": {"contact": {"potential": "1 V"}},
            "b": {"contact": {"potential": 0}},
        },
        "flow": {"model": "ohmic"},
        "angular_momentum": {
            "orbital": {
                "components": ["x", "y", "z"],
                "diffusivity": {"tensor": D[:, 3:, :, 3:].tolist(), "unit": "m^2/s"},
                "hall_conductivity": {"tensor": sigma.tolist(), "unit": "S/m"},
                "relaxation_time": "2 ps",
            }
        },
    }
    transport = transports(Case.from_dict(case, tmp_path), 3)["metal"]
    wanted = found.results["diffusivity"].blocks("trace")[:, 3:, :, 3:]
    assert transport.diffusivity == pytest.approx(wanted, rel=1e-14)
    # The scalar of the material file is the mean over components and directions.
    mean = np.einsum("iaia->", wanted) / 9
    assert found.values["orbital_diffusivity"].value == pytest.approx(mean, rel=1e-12)
    theta = HBAR / ELEMENTARY_CHARGE * found.values["orbital_hall_conductivity"].value
    assert theta != 0
    assert transport.hall == pytest.approx(theta * LEVI_CIVITA, rel=1e-9, abs=1e-12 * abs(theta))
