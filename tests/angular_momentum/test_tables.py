"""The tables [angular_momentum.*] of a case file: values, units, messages, and a whole run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import meso
from meso import Case, CaseError
from meso.cli import main
from meso.constants import ELEMENTARY_CHARGE, HBAR
from meso.exact import Ribbon

GEOMETRIES = Path(__file__).parents[2] / "geometries"
CASE: dict[str, Any] = {
    "geometry": {
        "file": str(GEOMETRIES / "ribbon.geo"),
        "length_unit": "nm",
        "parameters": {"width": 50, "length": 60},
    },
    "materials": {
        "Cr": {
            "carriers": "3d",
            "conductivity": "7.9e6 S/m",
            "mean_free_path": "7 nm",
            "fermi_energy": "1 eV",
        }
    },
    "regions": {"metal": "Cr"},
    "boundaries": {
        "source": {"contact": {"potential": "6 mV"}},
        "drain": {"contact": {"potential": "0 V"}},
        "edges": {"wall": {"specularity": 0.0}},
    },
    "flow": {"model": "hydrodynamic"},
    "angular_momentum": {
        "orbital": {
            "hall_conductivity": "8.2e5 (hbar/e) S/m",
            "diffusivity": "1e-5 m^2/s",
            "diffusion_length": "6.6 nm",
        },
        "spin": {
            "hall_conductivity": "-2.6e4 (ħ/2e) S/m",
            "diffusivity": "3e-4 m^2/s",
            "relaxation_time": "1 ps",
            "boundaries": {"edges": {"relaxation_velocity": "30 m/s"}, "source": "reservoir"},
        },
    },
}


def case(*overrides: str) -> Case:
    """The case with changes as on the command line."""
    return Case.from_dict(CASE, overrides=overrides)


@pytest.mark.parametrize(
    ("override", "key", "text"),
    [
        ('orbital.relaxation_time="0 s"', "orbital.relaxation_time", "positive"),
        ('orbital.diffusion_length="-1 nm"', "orbital.diffusion_length", "positive"),
        ('orbital.diffusivity="1e-5 m/s"', "orbital.diffusivity", "velocity"),
        (
            'orbital.diffusivity={tensor=[[1,2],[3,4]],unit="m^2/s"}',
            "orbital.diffusivity",
            "shape (2, 2)",
        ),
        ("orbital.diffusivity={tensor=[[1,2],[3,4]]}", "orbital.diffusivity", "unit"),
        ('spin.hall_conductivity="1e5 S"', "spin.hall_conductivity", "sheet conductivity"),
        ('spin.hall_conductivity={tensor=[1],unit="S/m"}', "spin.hall_conductivity", "3 × 3 × 3"),
        ('spin.diffusion_length="3 nm"', "spin", "relaxation_time and diffusion_length"),
        ('spin.components=["q"]', "spin.components", "axes"),
        ("spin.diffusivty=1", "spin.diffusivty", 'did you mean "diffusivity"'),
        ('spin.boundaries.edge="reservoir"', "spin.boundaries.edge", 'did you mean "edges"'),
        ('spin.boundaries.edges="reservor"', "spin.boundaries.edges.law", "reservoir"),
        (
            'spin.boundaries.drain={current={y="1 J/m^2"}}',
            "spin.boundaries.drain.current",
            "not among",
        ),
        (
            'spin.boundaries.edges.relaxation_velocity="-1 m/s"',
            "spin.boundaries.edges.relaxation_velocity",
            "negative",
        ),
        ("orbit.diffusivity=1", "orbit", 'did you mean "orbital"'),
        ('interfaces="x"', "interfaces", "table"),
        ('coupling="two-way"', "coupling", "ohmic"),
        ('coupling="one-way"', "spin.susceptibility", "missing"),
    ],
)
def test_messages(override: str, key: str, text: str) -> None:
    """One message that names the key."""
    with pytest.raises(CaseError) as error:
        case(f"angular_momentum.{override}")
    found = dict(error.value.problems)
    assert text in found[f"angular_momentum.{key}"]


def test_negative_diffusivity_is_refused_before_solving() -> None:
    """With the reason."""
    with pytest.raises(CaseError, match="precession"):
        meso.run(case('angular_momentum.spin.diffusivity="-3e-4 m^2/s"'))


def test_round_trip() -> None:
    """The resolved case is the same case."""
    assert Case.from_dict(case().to_dict()).hash == case().hash


@pytest.fixture(scope="module")
def solved() -> meso.Result:
    """A run with everything."""
    return meso.run(
        case(
            'output.probes.across={from=["30 nm","-25 nm"],to=["30 nm","25 nm"],points=101}',
            'angular_momentum.coupling="one-way"',
            'angular_momentum.spin.susceptibility="2.7e-21 J s^2/m^3"',
            'angular_momentum.orbital.susceptibility="1e-21 J s^2/m^3"',
        )
    )


def test_run(solved: meso.Result) -> None:
    """The orbital density is the closed form of a ribbon at 1e5 V/m, and both mechanisms add."""
    y = np.linspace(-25, 25, 41) * 1e-9 * (1 - 1e-12)
    found = solved.sample(np.column_stack([np.full_like(y, 30e-9), y]))
    flux, decay = HBAR / ELEMENTARY_CHARGE * 8.2e5 * 1e5, 6.6e-9
    exact = flux * decay / 1e-5 * np.sinh(y / decay) / np.cosh(25e-9 / decay)
    np.testing.assert_allclose(found["orbital_diffusive_density_z"], exact, atol=1e-6 * exact.max())
    np.testing.assert_allclose(
        found["orbital_total_density_z"],
        found["orbital_diffusive_density_z"] + found["orbital_density"],
    )
    part = solved.angular_momentum
    assert part is not None and np.abs(part.densities.imbalance).max() < 1e-12
    decays = part.decays["orbital_z"]
    assert all(d is not None and d.length == pytest.approx(decay, rel=1e-5) for d in decays)


@pytest.mark.parametrize("decay", [6.6, 60.0, 300.0])
def test_moments_of_half_the_width(decay: float) -> None:
    """Of both mechanisms, also where cells lie across the middle: within 1e-6."""
    found = meso.run(
        case(
            f'angular_momentum.orbital.diffusion_length="{decay} nm"',
            'materials.Cr.mean_free_path="50 nm"',
            "geometry.parameters.length=73",
            'boundaries.source.contact.potential="7.3 mV"',
        )
    )
    length, matter = decay * 1e-9, found.case.materials["Cr"]
    flux = HBAR / ELEMENTARY_CHARGE * 8.2e5 * 1e5
    diffusive = flux * length**2 / 1e-5 * (1 - 1 / np.cosh(25e-9 / length))
    exact = Ribbon(
        width=50e-9,
        diffusion_length=matter.vorticity_diffusion_length,
        slip_rate=matter.slip_rate(0.0),
        drive=matter.conductivity * 1e5,
    )
    assert found.angular_momentum is not None and matter.orbital_coupling is not None
    local = matter.orbital_coupling * exact.half_moment
    for moments, value in (
        (found.angular_momentum.moments["orbital_z"], diffusive),
        (found.edge_moments, local),
    ):
        for moment in moments:
            per_length = moment.moment / moment.measure * np.sign(moment.center[1])
            assert per_length == pytest.approx(value, rel=1e-6, abs=0)


def test_units_of_papers() -> None:
    """As they are written in papers; the convention may stand in the unit of a tensor, too."""
    key = "angular_momentum.orbital.hall_conductivity"
    for text, value in (
        ("1e5 (hbar/e) (ohm cm)^-1", 1e7),
        ("1e5 (ħ/e) (Ω cm)^-1", 1e7),
        ("1e5 hbar/(2e) S/m", 5e4),
        ("1e5 (hbar/(2 e)) S/m", 5e4),
        ("1e5 ħ/2e Ω⁻¹cm⁻¹", 5e6),
    ):
        orbital = case(f'{key}="{text}"').angular_momentum.orbital
        assert orbital is not None and orbital.hall_conductivity == value
    ones = [[[1.0] * 3] * 3] * 3
    orbital = case(f'{key}={{tensor={ones},unit="(hbar/2e) S/cm"}}').angular_momentum.orbital
    assert orbital is not None and np.all(np.array(orbital.hall_conductivity) == 50.0)
    with pytest.raises(CaseError, match="conductivity"):
        case(f'{key}="1e5 hbar/eV S/m"')


def test_a_channel_without_source_warns() -> None:
    """Neither Hall current nor injection; an explicit zero is a wish."""
    tables = {**CASE, "angular_momentum": {"orbital": dict(CASE["angular_momentum"]["orbital"])}}
    del tables["angular_momentum"]["orbital"]["hall_conductivity"]

    def warned(*overrides: str) -> bool:
        warnings = Case.from_dict(tables, overrides=overrides).warnings
        return any("angular_momentum.orbital: no hall_conductivity" in text for text in warnings)

    at = "angular_momentum.orbital"
    assert warned() and not warned(f'{at}.hall_conductivity="0 S/m"')
    assert warned(f'{at}.boundaries.edges="reservoir"')
    assert not warned(f'{at}.boundaries.edges={{current={{z="1e-7 J/m^2"}}}}')


def test_an_empty_table_is_refused() -> None:
    """It does nothing; what is meant is missing."""
    with pytest.raises(CaseError, match=r"empty; give \[angular_momentum.orbital\]"):
        Case.from_dict({**CASE, "angular_momentum": {}})


def test_no_decay_length(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Said in words."""
    at = "angular_momentum.orbital"
    channel = {"orbital": CASE["angular_momentum"]["orbital"]}
    without = Case.from_dict(
        {**CASE, "angular_momentum": channel},
        overrides=[f'{at}.diffusion_length="inf"', f'{at}.boundaries.edges="reservoir"'],
    )
    (tmp_path / "case.toml").write_text(without.to_toml())
    assert main(["check", str(tmp_path / "case.toml")]) == 0
    assert "orbital_z: no decay length: nothing relaxes" in capsys.readouterr().out


def test_files(solved: meso.Result, tmp_path: Path) -> None:
    """Summary, columns and figures."""
    solved.save(tmp_path / "out")
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())["angular_momentum"]
    wall = summary["walls"]["edges"][0]["orbital_z"]
    assert wall["diffusive_over_vorticity"] == pytest.approx(
        wall["diffusive_moment_J_s_per_m2"] / wall["vorticity_moment_J_s_per_m2"]
    )
    assert wall["fitted_decay_length_m"] == pytest.approx(6.6e-9, rel=1e-5)
    assert summary["boundaries"]["source"]["law"] == {"spin": "reservoir", "orbital": "no flux"}
    assert set(summary["inverse"]["contacts"]) == {"source", "drain"}
    header = (tmp_path / "out" / "edges" / "edges.csv").read_text().split("\n")[0]
    for name in ("spin_density_z", "orbital_diffusive_density_z", "orbital_total_density_z"):
        assert f"{name}_hbar_per_m3" in header
    assert (tmp_path / "out" / "figures" / "densities_probe_across.png").is_file()
    assert (tmp_path / "out" / "figures" / "spin_density_z.png").is_file()
