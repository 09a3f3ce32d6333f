"""Fields that are made of a flow: those of the table, and own ones."""

from __future__ import annotations

import json

import numpy as np
import pytest
import ufl
from conftest import GEOMETRIES
from test_cli import here, write_case  # noqa: F401 (here: a fixture)

from meso import Case, CaseError, run
from meso.cli import main
from meso.equations.derived import TABLE, Derived

FIELDS = ["current_density", "potential", "heat"]


@pytest.mark.parametrize("model", ["ohmic", "hydrodynamic"])
def test_heat_of_a_uniform_flow(model):
    """J^2/sigma, without friction at walls all that the contacts put in."""
    changes = {"flow.model": model, "boundaries.edges.wall.specularity": 1.0}
    result = run(Case.load(write_case(**changes, **{"output.fields": FIELDS})))
    heat = result.fields["heat"]
    assert heat.unit == "W_per_m2"  # a sheet
    J = result.contacts["source"].current / 100e-9
    sigma = result.flow.materials["metal"].conductivity
    np.testing.assert_allclose(heat.values, J**2 / sigma, rtol=1e-9)
    whole = result.device.integrate(heat.function() * result.device.dx)
    assert whole == pytest.approx(result.flow.dissipated_power, rel=1e-9)


def test_viscous_heat_is_a_part_of_it():
    fields = ["heat", "viscous_heat", "current_density"]
    result = run(Case.load(write_case(**{"output.fields": fields})))
    whole, viscous = (result.fields[name].values for name in fields[:2])
    ohmic = (result.fields["current_density"].values ** 2).sum(axis=2, keepdims=True)
    ohmic = ohmic / result.flow.materials["metal"].conductivity
    # Each is interpolated in P_k at the same nodes.
    np.testing.assert_allclose(whole, ohmic + viscous, rtol=1e-9, atol=1e-9 * whole.max())
    assert viscous.max() > 0.01 * whole.max()


def test_heat_in_a_magnetic_field():
    """Hall viscosity and the Lorentz force do no work: without friction all of it is here."""
    changes = {
        "geometry.file": str(GEOMETRIES / "annulus.geo"),
        "geometry.parameters": None,
        "materials.sheet.mean_free_path": "60 nm",
        "materials.sheet.fermi_wavevector": "1e8 1/m",
        "boundaries.edges": None,
        "boundaries.inner": {"wall": {"specularity": 1.0}},
        "boundaries.outer": {"wall": {"specularity": 1.0}},
        "flow.magnetic_field": "1 T",
        "output.fields": ["heat", "viscous_heat"],
        "output.probes": None,
        "mesh": {"wall_size": "5 nm"},
    }
    result = run(Case.load(write_case(**changes)))

    def whole(name):
        return result.device.integrate(result.function(name) * result.device.dx)

    # Interpolated in P_4. Without a field the stress is 14 times as large.
    assert whole("heat") == pytest.approx(result.flow.dissipated_power, rel=1e-4)
    assert whole("viscous_heat") > 0.01 * whole("heat")


def test_own_fields_are_in_all_files(tmp_path):
    """Sampled, in summary.json with their label, in the files, and drawn."""

    def velocity(of):
        return of.J / 1e-3

    own = {
        "speed": Derived(label="speed of the charge", unit="m_per_s", expression=velocity),
        "squared": Derived(
            label="squared", unit="V2", expression=lambda of: of.phi**2 + 0 * of.x[0]
        ),
    }
    result = run(Case.load(write_case()), derived=own)
    points = [[50e-9, 10e-9], [150e-9, -20e-9]]
    sampled = result.sample(points)
    np.testing.assert_allclose(sampled["speed"], sampled["current_density"] / 1e-3, rtol=1e-9)
    speed = result.device.sample(result.function("speed"), points)
    np.testing.assert_allclose(speed, sampled["speed"], rtol=1e-9)
    with pytest.raises(CaseError, match=r'no field "sped"; did you mean "speed"'):
        result.function("sped")
    result.save(tmp_path / "own")
    summary = json.loads((tmp_path / "own" / "summary.json").read_text())
    assert summary["extrema"]["speed"]["label"] == "speed of the charge"
    assert summary["extrema"]["squared"]["max"] == pytest.approx(1e-6, rel=1e-3)
    assert (tmp_path / "own" / "figures" / "speed.png").stat().st_size > 10_000
    assert main(["plot", str(tmp_path / "own")]) == 0


def test_what_is_no_field():
    matrix = {"wrong": Derived(label="", unit="", expression=lambda of: ufl.grad(of.J))}
    with pytest.raises(CaseError, match=r"derived field wrong: found shape \(2, 2\)"):
        run(Case.load(write_case()), derived=matrix)
    with pytest.raises(CaseError, match=r'output.fields: "viscous_heat" needs flow.model = "hyd'):
        Case.load(write_case(**{"flow.model": "ohmic", "output.fields": ["viscous_heat"]}))


def test_every_row_says_what_it_is():
    for name, row in TABLE.items():
        assert row.label and row.unit, name
