"""Materials: closure of the flow equations, orbital coupling, checks, and the library."""

import math

import numpy as np
import pytest
from conftest import GEOMETRIES

from meso import Case, CaseError, Material, Profile
from meso.cli import main
from meso.constants import ELECTRON_CHARGE, ELEMENTARY_CHARGE, HBAR

LAMBDA = 7e-9
ROUNDING = 1e-14


def material(**changes):
    values = {"name": "M", "carriers": "2d", "conductivity": 0.01, "mean_free_path": LAMBDA}
    return Material(**(values | changes))


@pytest.mark.parametrize(
    ("carriers", "scattering", "length", "slip"),
    [
        ("2d", "isotropic", 1 / 2, 16 / (3 * math.pi)),
        ("2d", "radial-tangential", 1 / math.sqrt(2), 8 / (3 * math.pi)),
        ("2d", {"gamma2": 2.0}, 1 / math.sqrt(8), 32 / (3 * math.pi)),
        ("3d", "isotropic", 1 / math.sqrt(5), 15 / 8),
        ("3d", {"gamma2": 0.5}, math.sqrt(2 / 5), 15 / 16),
    ],
)
def test_closure(carriers, scattering, length, slip):
    m = material(carriers=carriers, scattering=scattering)
    assert m.vorticity_diffusion_length == pytest.approx(length * LAMBDA, rel=ROUNDING)
    assert m.slip_rate(0) == pytest.approx(slip / LAMBDA, rel=ROUNDING)
    assert m.slip_rate(0.5) == pytest.approx(slip / 3 / LAMBDA, rel=ROUNDING)
    assert m.slip_rate(1) == 0


def test_ribbon_profile_of_the_radial_tangential_model():
    # B = 1/(1 + tanh(W/2l)/(s l)) of the ribbon, for W/λ → ∞.
    m = material(scattering="radial-tangential")
    product = m.slip_rate(0) * m.vorticity_diffusion_length
    assert 1 / (1 + 1 / product) == pytest.approx(0.3750823631, abs=5e-11)


def test_electron_electron_collisions_relax_all_harmonics_but_the_current():
    m = material(scattering={"gamma2": 0.5, "gamma4": 3}, electron_electron_mean_free_path=LAMBDA)
    assert [m.rate(n) for n in range(6)] == [0, 1, 1.5, 2, 4, 2]
    assert m.rate(-2) == m.rate(2) == m.gamma2
    assert m.vorticity_diffusion_length == pytest.approx(LAMBDA / math.sqrt(6), rel=ROUNDING)
    assert m.slip_rate(0) == pytest.approx(8 / (math.pi * LAMBDA), rel=ROUNDING)


def test_rates_of_the_named_models():
    assert [material().rate(n) for n in range(5)] == [0, 1, 1, 1, 1]
    tangential = material(scattering="radial-tangential")
    assert [tangential.rate(n) for n in range(5)] == [0, 1, 0.5, 1, 1]


def test_orbital_coupling_is_negative():
    m = material(fermi_energy=ELEMENTARY_CHARGE)
    # Reference value printed with 7 digits.
    assert m.orbital_coupling == pytest.approx(-2.166215e-31, rel=3e-7)
    assert m.orbital_coupling == HBAR**2 / (2 * ELEMENTARY_CHARGE * ELECTRON_CHARGE)
    assert material().orbital_coupling is None


def test_explicit_values_override_what_would_be_derived():
    m = material(
        fermi_energy=ELEMENTARY_CHARGE,
        vorticity_diffusion_length=1e-9,
        orbital_coupling=3e-31,
        provenance={"vorticity_diffusion_length": "measured"},
    )
    assert (m.vorticity_diffusion_length, m.orbital_coupling) == (1e-9, 3e-31)
    assert m.provenance == {"vorticity_diffusion_length": "measured"}


def test_provenance_tells_what_was_derived():
    m = material(carriers="3d", fermi_energy=ELEMENTARY_CHARGE)
    assert m.provenance["vorticity_diffusion_length"] == "derived: λ/√(5 γ₂/γ₁)"
    assert m.provenance["orbital_coupling"].startswith("derived: ħ²")


def test_without_mean_free_path():
    ohmic = material(mean_free_path=None)
    assert ohmic.vorticity_diffusion_length is None
    explicit = material(mean_free_path=None, vorticity_diffusion_length=1e-9)
    assert explicit.vorticity_diffusion_length == 1e-9
    assert explicit.slip_rate(1) == 0
    with pytest.raises(CaseError, match=r"mean_free_path: material M has none"):
        explicit.slip_rate(0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"carriers": "1d"}, "carriers: found '1d'; must be"),
        ({"conductivity": 0.0}, "conductivity: found 0.0; must be positive"),
        ({"conductivity": math.inf}, "conductivity: found inf; must be positive and finite"),
        ({"conductivity": "1 S"}, "conductivity: found '1 S'; must be positive"),
        ({"mean_free_path": 0.0}, 'mean_free_path: .*flow.model = "ohmic"'),
        ({"mean_free_path": -1e-9}, "mean_free_path: found -1e-09; must be positive"),
        ({"mean_free_path": math.nan}, "mean_free_path: found nan"),
        ({"electron_electron_mean_free_path": 0.0}, "electron_electron_mean_free_path: found 0.0"),
        ({"fermi_energy": -1.0}, "fermi_energy: found -1.0"),
        ({"vorticity_diffusion_length": 0.0}, "vorticity_diffusion_length: found 0.0"),
        ({"orbital_coupling": math.inf}, "orbital_coupling: found inf; must be finite"),
        ({"scattering": "isotopic"}, 'did you mean "isotropic"'),
        ({"scattering": {"gamma2": 0}}, "scattering.gamma2: found 0; must be a positive number"),
        ({"scattering": {"gamma2": "1"}}, "scattering.gamma2: found '1'"),
        ({"scattering": {"gamma1": 1}}, "scattering.gamma1: unknown rate; known: gamma2"),
        ({"scattering": {"gamma02": 1}}, "scattering.gamma02: unknown rate"),
        ({"scattering": 3}, "scattering: found 3; must be a name or"),
        ({"carriers": "3d", "scattering": "radial-tangential"}, 'carriers = "2d" only'),
        (
            {"mean_free_path": None, "electron_electron_mean_free_path": 1e-9},
            "electron_electron_mean_free_path: has no effect without mean_free_path",
        ),
    ],
)
def test_bad_values(changes, message):
    with pytest.raises(CaseError, match=message):
        material(**changes)


def test_all_problems_are_reported():
    with pytest.raises(CaseError) as error:
        material(conductivity=-1, mean_free_path=0, scattering="x")
    assert [key for key, _ in error.value.problems] == [
        "conductivity",
        "mean_free_path",
        "scattering",
    ]


@pytest.mark.parametrize("specularity", [-0.1, 1.1, math.nan])
def test_specularity_is_a_fraction(specularity):
    with pytest.raises(CaseError, match=r"specularity: found .* must be in 0 … 1"):
        material().slip_rate(specularity)


NM = Profile(expression="7", scale=1e-9)
PLACES = np.zeros((4, 3, 2))


@pytest.mark.parametrize("carriers", ["2d", "3d"])
@pytest.mark.parametrize("collisions", [math.inf, 2 * LAMBDA])
def test_the_formulas_are_the_same_at_positions(carriers, collisions):
    values = {"carriers": carriers, "electron_electron_mean_free_path": collisions}
    constant = material(**values, scattering={"gamma2": 0.6})
    varying = material(
        **values,
        scattering={"gamma2": 0.6},
        mean_free_path=NM,
        conductivity=Profile(expression="0.01"),
    )
    local = varying.local(PLACES)
    assert local.conductivity.shape == local.vorticity_diffusion_length.shape == (4, 3)
    for key in ("conductivity", "mean_free_path", "vorticity_diffusion_length", "contact_step"):
        expected = np.full((4, 3), getattr(constant, key))
        np.testing.assert_allclose(getattr(local, key), expected, rtol=ROUNDING)
        np.testing.assert_allclose(getattr(constant.local(PLACES), key), expected, rtol=ROUNDING)
    for p in (0.0, 0.3, 1.0):
        np.testing.assert_allclose(local.slip_rate(p), constant.slip_rate(p), rtol=ROUNDING)
    np.testing.assert_allclose(local.rate(3), constant.rate(3), rtol=ROUNDING)


def test_values_follow_the_profile():
    m = material(mean_free_path=Profile(expression="10 + x", scale=1e-9, length_unit=1e-9))
    local = m.local(np.array([[0.0, 0.0], [10e-9, 5e-9]]))
    np.testing.assert_allclose(local.mean_free_path, [10e-9, 20e-9], rtol=ROUNDING)
    np.testing.assert_allclose(local.vorticity_diffusion_length, [5e-9, 10e-9], rtol=ROUNDING)
    assert local.slip_rate(0.0)[0] == pytest.approx(2 * local.slip_rate(0.0)[1], rel=ROUNDING)
    assert (local.conductivity == 0.01).all()


def test_what_varies():
    assert not material().varies
    assert material().profiles == {}
    assert not material(mean_free_path=None).viscous
    m = material(mean_free_path=NM)
    assert (m.varies, m.varies_in_cells, m.viscous) == (True, True, True)
    assert m.profiles == {"mean_free_path": NM}
    assert m.vorticity_diffusion_length is None
    assert "vorticity_diffusion_length" not in m.provenance
    data = material(conductivity=Profile(data="sigma"))
    assert (data.varies, data.varies_in_cells) == (True, False)
    assert data.vorticity_diffusion_length == LAMBDA / 2


def test_a_given_diffusion_length_may_vary_as_well():
    m = material(vorticity_diffusion_length=Profile(expression="3", scale=1e-9))
    assert m.slip_rate(0) == material().slip_rate(0)
    np.testing.assert_allclose(m.local(PLACES).vorticity_diffusion_length, 3e-9, rtol=ROUNDING)
    bare = material(mean_free_path=None, vorticity_diffusion_length=NM).local(PLACES)
    assert bare.mean_free_path is None
    with pytest.raises(CaseError, match="mean_free_path: material M has none"):
        bare.slip_rate(0)
    ohmic = material(mean_free_path=None).local(PLACES)
    assert ohmic.vorticity_diffusion_length is None


def test_what_varies_has_no_single_value():
    m = material(mean_free_path=NM, electron_electron_mean_free_path=1e-9)
    assert m.slip_rate(1) == 0.0
    for ask in (lambda: m.slip_rate(0), lambda: m.rate(2), lambda: m.gamma2):
        with pytest.raises(CaseError, match=r"mean_free_path: varies in material M: .* positions"):
            ask()


def test_errors_of_profiles_name_the_key_and_the_place():
    m = material(mean_free_path=Profile(expression="1 - x"), conductivity=Profile(data="sigma"))
    with pytest.raises(CaseError) as error:
        m.local(np.array([[0.0, 0.0], [1.5, 2.0]]), np.array([0, 1]), {"sigm": np.ones(2)})
    assert error.value.problems == (
        (
            "materials.M.conductivity.data",
            'no cell data "sigma" in the mesh; did you mean "sigm"? known: sigm',
        ),
        (
            "materials.M.mean_free_path",
            "found -0.5 at x = 1.5, y = 2; must be positive and finite in the whole conductor",
        ),
    )


def test_only_some_quantities_vary():
    with pytest.raises(CaseError, match="fermi_energy: found Profile"):
        material(fermi_energy=Profile(expression="1"))


LIBRARY = ["Al", "Cr", "Cu", "Mn", "Pt", "Ta", "Ti", "V", "W"]
#: What is not known is missing, and asked for.
UNKNOWN = {"conductivity": "1 MS/m", "mean_free_path": "1 nm"}


def from_library(name, model="ohmic", **more):
    """The material that a case gets."""
    tables = {
        "geometry": {"file": str(GEOMETRIES / "ribbon.geo"), "length_unit": "nm"},
        "materials": {"film": {"library": name, **more}},
        "regions": {"metal": "film"},
        "boundaries": {"source": {"contact": {"potential": 0}}},
        "flow": {"model": model},
    }
    return Case.from_dict(tables).materials["film"]


def test_library_has_the_published_values(capsys):
    assert main(["material"]) == 0
    assert capsys.readouterr().out.startswith(f"library: {', '.join(LIBRARY)}\nmeso material NAME")
    # Resistivity in µΩ cm, mean free path in nm (Gall 2016); four digits in the library.
    for name, resistivity, length in [("Cu", 1.678, 39.9), ("Al", 2.65, 18.9), ("W", 5.28, 15.5)]:
        film = from_library(name)
        assert film.conductivity == pytest.approx(1 / (resistivity * 1e-8), rel=5e-4)
        assert film.mean_free_path == pytest.approx(length * 1e-9)
    assert from_library("W").fermi_energy is None
    # Handbook resistivities at 293 K, µΩ cm; three digits in the library.
    for name, resistivity in [("Cr", 12.5), ("V", 19.7), ("Ta", 13.1), ("Pt", 10.5)]:
        found = from_library(name).conductivity
        assert found == pytest.approx(1 / (resistivity * 1e-8), rel=2e-3)


@pytest.mark.parametrize("name", LIBRARY)
def test_library_values_have_sources_and_make_a_material(name, capsys):
    assert main(["material", name]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head == f'{name} (carriers = "3d")'
    known = {
        *("conductivity", "mean_free_path", "fermi_energy"),
        *("orbital_diffusion_length", "orbital_diffusivity", "orbital_relaxation_time"),
    }
    # A value with its unit and method, then its source.
    values, sources = lines[::2], lines[1::2]
    assert len(values) == len(sources) > 0
    assert {line.split()[0] for line in values} <= known
    assert all(", " in line for line in values)
    assert all(line.startswith(6 * " ") and len(line.strip()) > 10 for line in sources)
    given = {line.split()[0] for line in values}
    missing = {key: value for key, value in UNKNOWN.items() if key not in given}
    assert bool(missing) == (name in ("Mn", "Pt", "Ta", "V"))
    for key in missing:  # what is not known is asked for
        with pytest.raises(CaseError, match=f"materials.film.{key}: missing"):
            from_library(name, "hydrodynamic")
    assert from_library(name, "hydrodynamic", **missing).vorticity_diffusion_length > 0


def test_unknown_library_material():
    with pytest.raises(CaseError, match=r'no material "cu" .*did you mean "Cu"\? known: Al, Cr'):
        from_library("cu")
    with pytest.raises(CaseError, match="no material"):
        from_library("../library/Cu")


def test_the_library_by_what_it_has(capsys):
    assert main(["material", "--with", "mean_free_path", "--with", "fermi_energy"]) == 0
    out = capsys.readouterr().out
    assert "  Cu  39.9 nm" in out and "  Al  11.7 eV" in out and "  W " not in out
    assert "D. Gall, J. Appl. Phys. 119, 085101 (2016)" in out
    assert "not known: Mn, Pt, Ta, V\n" in out
    assert main(["material", "--with", "mean_free_pth"]) == 2
    assert 'did you mean "mean_free_path"?' in capsys.readouterr().err


def test_where_to_find_what_the_library_lacks(capsys):
    where = "where to find one: meso material --with mean_free_path"
    for name, missing in (("Ta", True), ("Cu", False)):
        assert main(["material", name]) == 0
        assert (where in capsys.readouterr().err) == missing
    with pytest.raises(CaseError, match=where):
        from_library("Ta", model="hydrodynamic")
    assert main(["material", "--with", "mean_free_path"]) == 0
    assert "Fuchs and Sondheimer" in capsys.readouterr().out


def test_what_is_no_case_suggests_one(capsys):
    assert main(["run", str(GEOMETRIES / "ribbon.geo")]) == 2
    assert "ribbon.geo` writes a case for it" in capsys.readouterr().err
    assert main(["check", "none.toml"]) == 2
    assert "`meso new DRAWING` writes a case" in capsys.readouterr().err
