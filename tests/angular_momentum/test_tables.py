"""The tables [angular_momentum.*] of a case file: values, units, messages, and a whole run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import erf

import meso
from meso import Case, CaseError
from meso.cli import main
from meso.constants import ELEMENTARY_CHARGE, HBAR
from meso.exact import Bend, Ribbon

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


#: For what does not depend on the mesh.
COARSE = 'mesh.wall_size="8 nm"'


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
        ('coupling="one-way"', "spin.susceptibility", "missing"),
    ],
)
def test_messages(override: str, key: str, text: str) -> None:
    """One message that names the key."""
    with pytest.raises(CaseError) as error:
        case(f"angular_momentum.{override}")
    found = dict(error.value.problems)
    assert text in found[f"angular_momentum.{key}"]


def test_two_way_is_not_for_kinetics() -> None:
    """It is for the ohmic and the hydrodynamic model, without a magnetic field."""
    for change in ('flow.model="kinetic"', 'flow.magnetic_field="0.1 T"'):
        with pytest.raises(CaseError) as error:
            case('angular_momentum.coupling="two-way"', change)
        assert "hydrodynamic" in dict(error.value.problems)["angular_momentum.coupling"]


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


def test_two_way_in_a_viscous_flow() -> None:
    """A ribbon conducts better by 2 theta^2 t l/(chi D), and by a thousandth of that for spin."""
    chi = 1e-19
    susceptibility = (
        'angular_momentum.spin.susceptibility="2.7e-21 J s^2/m^3"',
        f'angular_momentum.orbital.susceptibility="{chi} J s^2/m^3"',
    )
    one, two = (
        meso.run(case(COARSE, f'angular_momentum.coupling="{coupling}"', *susceptibility))
        for coupling in ("none", "two-way")
    )
    theta, decay = HBAR / ELEMENTARY_CHARGE * 8.2e5, 6.6e-9
    exact = 2 * theta**2 / chi * np.tanh(25e-9 / decay) * decay / 1e-5 / 60e-9
    change = (two.conductance_matrix - one.conductance_matrix)[0, 0]
    assert change == pytest.approx(exact, rel=1e-3)


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


def test_resolution_of_a_ribbon(solved: meso.Result) -> None:
    """A Gaussian over sinh(y/l), zero beyond the walls: exponentials times error functions."""
    half, decay = 25e-9, 6.6e-9
    y = np.linspace(-1.5 * half, 1.5 * half, 31)
    flux = HBAR / ELEMENTARY_CHARGE * 8.2e5 * 1e5
    size = flux * decay / 1e-5 / np.cosh(half / decay)
    for width in (0.5e-9, 3e-9, 20e-9):
        s = width / np.sqrt(8 * np.log(2))

        def blurred(a: float, s: float = s) -> np.ndarray:  # of exp(ay)
            ends = [erf((side * half - y - a * s**2) / (np.sqrt(2) * s)) for side in (1, -1)]
            return np.exp(a * y + (a * s) ** 2 / 2) * (ends[0] - ends[1]) / 2

        exact = size * (blurred(1 / decay) - blurred(-1 / decay)) / 2
        found = solved.sample(np.column_stack([np.full_like(y, 30e-9), y]), resolution=width)
        wrong = np.abs(found["orbital_diffusive_density_z"] - exact).max()
        assert wrong < 1e-6 * np.abs(exact).max()
        both = found["orbital_diffusive_density_z"] + found["orbital_density"]
        np.testing.assert_allclose(found["orbital_total_density_z"], both, atol=1e-12 * size)
    # However the line is walked, and from wherever; a uniform field is an error function.
    turned = np.column_stack([np.full(4, 30e-9), [40e-9, 10e-9, -2e-9, 25e-9]])
    found = solved.sample(turned, resolution=5e-9)["potential"] / 3e-3
    s = 5e-9 / np.sqrt(8 * np.log(2))
    exact = [
        (erf((half - v) / s / 2**0.5) + erf((half + v) / s / 2**0.5)) / 2 for v in turned[:, 1]
    ]
    np.testing.assert_allclose(found, exact, atol=1e-9)


def test_resolution_at_curved_walls() -> None:
    """Along a radius of a bend, in whatever cells it is: the closed form, averaged."""
    nm = 1e-9
    found = meso.run(Case.load(GEOMETRIES.parent / "demos" / "bend" / "case.toml"))
    matter = next(iter(found.case.materials.values()))
    slip = matter.slip_rate(0.0)
    exact = Bend(
        inner=100 * nm,
        outer=200 * nm,
        diffusion_length=matter.vorticity_diffusion_length,
        inner_slip=slip,
        outer_slip=slip,
        drive=matter.conductivity * 1e-3 / (np.pi / 2),
    )
    r, (x, weights) = np.linspace(80, 220, 15) * nm, np.polynomial.legendre.leggauss(400)
    places, s = (150 + 50 * x) * nm, 15 * nm / np.sqrt(8 * np.log(2))
    kernel = np.exp(-(((r[:, None] - places) / s) ** 2) / 2) / (s * np.sqrt(2 * np.pi))
    assert matter.orbital_coupling is not None
    wanted = matter.orbital_coupling * kernel @ (50 * nm * weights * exact.curl(places))
    for angle in (0.3, np.pi / 4, 1.2):
        points = r[:, None] * [np.cos(angle), np.sin(angle)]
        seen = found.sample(points, resolution=15 * nm)["orbital_density"]
        assert np.abs(seen - wanted).max() < 1e-4 * np.abs(wanted).max()


def test_resolution_is_refused() -> None:
    """Of no length, and for points on no line."""
    probe = 'output.probes.p={from=["30 nm","0 nm"],to=["30 nm","25 nm"],resolution="0 nm"}'
    with pytest.raises(CaseError, match="positive"):
        case(probe)
    found = meso.run(case(COARSE))
    for points in ([[1e-8, 0], [1e-8, 1e-8], [2e-8, 0]], [[1e-8, 0], [1e-8, 0]]):
        with pytest.raises(CaseError, match="on a straight line"):
            found.sample(points, resolution=1e-8)
    with pytest.raises(CaseError, match="positive"):
        found.sample([[1e-8, 0], [2e-8, 0]], resolution=0.0)


def test_resolution_in_files(tmp_path: Path) -> None:
    """Columns of what is seen, from beyond one wall to beyond the other; figures; the summary."""
    probe = '{from=["30 nm","-50 nm"],to=["30 nm","50 nm"],points=41,resolution="20 nm"}'
    found = meso.run(case(f"output.probes.across={probe}", COARSE))
    assert not any("outside" in text for text in found.warnings)
    found.save(tmp_path / "out")
    table = np.genfromtxt(tmp_path / "out" / "probes" / "across.csv", delimiter=",", names=True)
    points = np.column_stack([table["x_m"], table["y_m"]])
    seen = found.sample(points, resolution=20e-9)
    for name in ("orbital_density", "orbital_diffusive_density_z", "spin_density_z"):
        np.testing.assert_allclose(table[f"seen_{name}_hbar_per_m3"], seen[name] / HBAR, rtol=1e-12)
    assert np.isnan(table["orbital_density_hbar_per_m3"][0])
    assert "seen_current_density_x_A_per_m2" not in table.dtype.names
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["resolutions_m"] == {"across": 20e-9}
    assert (tmp_path / "out" / "figures" / "densities_probe_across.png").is_file()
    assert Case.load(tmp_path / "out" / "case.toml").output.probes["across"].resolution == 20e-9


def test_sweep_of_the_hall_conductivity(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Moments of both mechanisms are in the table, and are what is shown: nothing else changes."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "case.toml").write_text(case(COARSE).to_toml())
    key = "angular_momentum.orbital.hall_conductivity"
    rows = meso.sweep(tmp_path / "case.toml", [f"{key}=0 S/m,1e3 S/m,1e4 S/m"])
    moments = [row["results"]["edges.2.orbital_z.diffusive_moment_hbar_per_m2"] for row in rows]
    assert moments[0] == 0 and moments[2] == pytest.approx(10 * moments[1], rel=1e-9)
    local = rows[1]["results"]["edges.2.orbital_moment_hbar_per_m2"]
    ratio = rows[1]["results"]["edges.2.orbital_z.diffusive_over_vorticity"]
    assert ratio == pytest.approx(moments[1] / local, rel=1e-12)
    capsys.readouterr()
    main(["sweep", str(tmp_path / "case.toml"), "--over", f"{key}=1e3 S/m,1e4 S/m", "--no-figures"])
    text = next(line for line in capsys.readouterr().out.splitlines() if "moment" in line)
    assert "edges.1.orbital_z.diffusive_moment" in text and "edges.1.orbital_moment" in text
    assert "edges.2" not in text and "conductance" not in text


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


def test_decay_in_the_middle_of_a_wall(tmp_path):
    """Half of the cells of a wall that ends in a sharp corner are near that, where J is large."""
    points = (0, 0), (300, 0), (300, 300), (240, 300), (240, 60), (0, 60)
    lines = [f"Point({i}) = {{{x}, {y}, 0}};" for i, (x, y) in enumerate(points, 1)]
    lines += [f"Line({i}) = {{{i}, {i % 6 + 1}}};" for i in range(1, 7)]
    lines += ["Curve Loop(1) = {1:6}; Plane Surface(1) = {1};", 'Physical Surface("metal") = {1};']
    lines += [f'Physical Curve("{n}") = {{{t}}};' for n, t in (("source", 6), ("drain", 3))]
    lines += ['Physical Curve("edges") = {1, 2, 4, 5};']
    (tmp_path / "bend.geo").write_text("\n".join(lines))
    table = CASE | {
        "geometry": {"file": str(tmp_path / "bend.geo"), "length_unit": "nm"},
        "flow": {"model": "ohmic"},
        "angular_momentum": {"orbital": CASE["angular_momentum"]["orbital"]},
    }
    result = meso.run(Case.from_dict(table, overrides=['mesh.wall_size="3 nm"']))
    for wall in result.summary()["angular_momentum"]["walls"]["edges"]:
        found = wall["orbital_z"]["fitted_decay_length_m"]
        assert found == pytest.approx(6.6e-9, rel=2e-3)
    text = result.table()
    assert all(f"edges {i}         orbital_z" in text for i in range(1, 5))
