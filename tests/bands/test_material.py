"""From a model to a material: in Python, with the command line, in a case."""

import json
import math
import re
import tomllib

import numpy as np
import pytest

import meso
from meso import CaseError, Material, bands
from meso.bands import models
from meso.cli import main
from meso.constants import ELECTRON_CHARGE, ELEMENTARY_CHARGE, HBAR

CASE = """
title = "Radial-tangential metal"
[model]
kind = "RadialTangential"
mass = 1.0
[bands]
energy = "1 eV"
broadening = "30 meV"
kmesh = 16
"""


def test_material_of_the_radial_tangential_model():
    """All that the closure of the flow needs follows from the Hamiltonian."""
    found = Material.from_bands(
        models.RadialTangential(), name="R-T", energy=1.0, broadening=0.03, kmesh=16
    )
    assert found.carriers == "2d"
    speed = math.sqrt(2 * ELEMENTARY_CHARGE / 9.1093837139e-31)
    time = HBAR / (0.06 * ELEMENTARY_CHARGE)
    assert found.mean_free_path == pytest.approx(speed * time, rel=1e-10)
    wave = math.sqrt(2 * ELEMENTARY_CHARGE * 9.1093837139e-31) / HBAR
    quantum = ELEMENTARY_CHARGE**2 / (2 * math.pi * HBAR)  # times k_F λ: both spins
    assert found.conductivity == pytest.approx(quantum * wave * speed * time, rel=1e-9)
    assert found.gamma2 == pytest.approx(0.5, rel=1e-12)
    length = found.mean_free_path / math.sqrt(2)
    assert found.vorticity_diffusion_length == pytest.approx(length, rel=1e-12)
    kappa = HBAR**2 / (2 * ELEMENTARY_CHARGE * ELECTRON_CHARGE)
    assert found.orbital_coupling == pytest.approx(kappa, rel=1e-10)
    for key in ("conductivity", "mean_free_path", "orbital_coupling", "scattering"):
        assert "radial-tangential" in found.provenance[key]


def test_given_values_win():
    found = Material.from_bands(
        models.RadialTangential(),
        energy=1.0,
        kmesh=12,
        mean_free_path=7e-9,
        scattering="isotropic",
        provenance={"mean_free_path": "measured"},
    )
    assert (found.mean_free_path, found.gamma2) == (7e-9, 1.0)
    assert found.provenance["mean_free_path"] == "measured"


def test_vanadium_is_refused_as_a_diffusion_problem():
    """The formula gives a negative orbital diffusivity at the Fermi energy; it is not written."""
    found = bands.coefficients(models.SlaterKosterBcc("V"), kmesh=16, error=False)
    assert found.carriers == "3d"
    assert 1e6 < found.values["conductivity"].value < 1e7
    assert "orbital_diffusivity" not in found.values
    assert any("left out, no well-posed problem" in text for text in found.warnings)
    with pytest.raises(CaseError, match="not positive: solutions would oscillate"):
        found.validate()
    # Without spin-orbit coupling there is no band-projected orbital Hall effect.
    assert found.values["orbital_hall_conductivity"].value == 0
    assert set(found.missing) >= {"orbital_relaxation_time", "wall_relaxation_velocity"}
    assert "not from bands: orbital_relaxation_time" in found.report()


def test_toy_model_is_well_posed():
    found = bands.coefficients(
        models.BccP(spin_orbit=0.05), energy=0.5, kmesh=16, error=False, temperature=0.05
    )
    assert found.validate() == ()
    assert found.values["spin_diffusivity"].value > found.values["orbital_diffusivity"].value > 0


def test_command_line(tmp_path, capsys):
    case = tmp_path / "metal.toml"
    case.write_text(CASE)
    out = tmp_path / "out"
    assert main(["bands", str(case), "--output", str(out), "--set", "bands.kmesh=12"]) == 0
    printed = capsys.readouterr().out
    assert "conductivity" in printed and "not from bands: specularity" in printed
    material = tomllib.loads((out / "metal.toml").read_text())
    assert material["carriers"] == "2d"
    assert material["scattering"] == pytest.approx({"gamma2": 0.5})
    entry = material["orbital_coupling"][0]
    assert float(entry["value"].split()[0]) == pytest.approx(-2.166215e-31, rel=3e-7)
    for text in ("energy 1 eV", "12 rays", "estimated error"):
        assert text in entry["method"]
    tensors = json.loads((out / "metal.json").read_text())
    assert np.shape(tensors["orbital_coupling"]["value"]) == (3, 3, 3)
    assert main(["material", str(out / "metal.toml")]) == 0
    assert "gamma2" in capsys.readouterr().out


def test_what_somebody_changed_is_not_replaced(tmp_path, capsys):
    """What meso bands wrote may be written again, but not what was edited since, or is not its."""
    case, out = tmp_path / "metal.toml", tmp_path / "out"
    case.write_text(CASE)

    def run(directory=out, kmesh=12):
        words = ["bands", str(case), "--output", str(directory), "--quiet"]
        return main([*words, "--set", f"bands.kmesh={kmesh}"]), capsys.readouterr().err

    material, tensors = out / "metal.toml", out / "metal.json"
    assert run() == (0, "") and run(kmesh=14) == (0, "")
    assert "14 rays" in material.read_text()
    for path in (material, tensors):
        written = path.read_text()
        path.write_text(written + " ")
        code, message = run()
        assert code == 2 and message.count("\n") == 1
        assert f"output.directory: {path} was changed after meso bands wrote it" in message
        assert path.read_text() == written + " "
        path.write_text(written)
    material.rename(out / "mine.toml")
    assert run() == (0, "") and (out / "mine.toml").exists()
    # Beside its case a material of the same name would replace it.
    code, message = run(tmp_path)
    assert code == 2 and "choose another --output or output.name" in message
    assert case.read_text() == CASE


def test_a_device_uses_the_material_file(tmp_path):
    case = tmp_path / "metal.toml"
    case.write_text(CASE)
    assert main(["bands", str(case), "--output", str(tmp_path / "m"), "--quiet"]) == 0
    (tmp_path / "x.geo").write_text("// a drawing\n")
    device = meso.Case.from_dict(
        {
            "geometry": {"file": "x.geo", "length_unit": "nm"},
            "materials": {"film": {"library": "m/metal.toml", "fermi_energy": "1 eV"}},
            "regions": {"metal": "film"},
            "boundaries": {
                "a": {"contact": {"potential": "1 V"}},
                "b": {"contact": {"potential": 0}},
            },
            "flow": {"model": "hydrodynamic"},
        },
        tmp_path,
    )
    film = device.materials["film"]
    assert film.gamma2 == pytest.approx(0.5)
    assert film.orbital_coupling == pytest.approx(-2.166215e-31, rel=3e-7)
    assert film.provenance["conductivity"].startswith("library m/metal.toml: computed from")
    again = meso.Case.from_dict(device.to_dict(), tmp_path)
    assert again.hash == device.hash


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ('[modle]\nkind = "BccP"', 'modle: unknown key; did you mean "model"'),
        ('[model]\nkind = "Bccp"', "model.kind: found 'Bccp'; did you mean \"BccP\""),
        ('[model]\nkind = "SlaterKosterBcc"', "model.metal: missing; SlaterKosterBcc needs it"),
        ('[model]\nkind = "BccP"\nsigma = "1 nm"', r'model.sigma: found "1 nm" \(length\)'),
        ('[model]\nkind = "BccP"\nsigmas = 1', 'model.sigmas: unknown key; did you mean "sigma"'),
        ('[model]\nkind = "BccP"\nconstant = "-1 nm"', "model.constant: found -10.0; must be pos"),
        ('[model]\nkind = "BccP"\n[bands]\nkmesh = 1.5', "bands.kmesh: found 1.5; expected an int"),
        ('[model]\nkind = "Wannier90"\nhr = "no_hr.dat"', 'model.hr: found "no_hr.dat"; no such'),
        ("model = 3", "model: found 3; must be a table"),
        ("[model", "not valid TOML"),
    ],
)
def test_bad_cases(tmp_path, capsys, changes, message):
    path = tmp_path / "case.toml"
    path.write_text(changes)
    assert main(["bands", str(path), "--output", str(tmp_path / "x")]) == 2
    assert re.search(message, capsys.readouterr().err)
    assert not (tmp_path / "x").exists()


def test_units_of_a_case(tmp_path):
    """The same numbers as from Python, in eV and Å."""
    path = tmp_path / "gas.toml"
    path.write_text(
        '[model]\nkind = "ElectronGas"\nexchange = "300 meV"\nrashba = "0.001 eV nm"\n'
        "direction = [0, 0, 1]\n[bands]\nkmesh = 12\n"
    )
    words = ["bands", str(path), "--output", str(tmp_path / "out"), "--quiet"]
    assert main([*words, "--set", "bands.energy=0.8 eV"]) == 0
    gas = models.ElectronGas(exchange=0.3, rashba=0.01, direction=(0, 0, 1))
    wanted = bands.coefficients(gas, energy=0.8, kmesh=12)
    found = json.loads((tmp_path / "out" / "gas.json").read_text())
    assert set(found) == set(wanted.results)
    for key, quantity in wanted.results.items():
        # The same operations on numbers that were converted: rounding.
        scale = np.abs(quantity.value).max()
        assert scale > 0
        np.testing.assert_allclose(
            found[key]["value"], quantity.value, rtol=0, atol=1e-9 * scale, err_msg=key
        )


def test_errors_of_a_calculation_are_bad_input(tmp_path, capsys):
    path = tmp_path / "case.toml"
    path.write_text('[model]\nkind = "BccP"\n[bands]\nenergy = "9 eV"\nkmesh = 8\n')
    assert main(["bands", str(path), "--output", str(tmp_path / "x")]) == 2
    assert "outside the bands" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_bad_material_files(tmp_path, capsys):
    assert main(["material", str(tmp_path / "none.toml")]) == 2
    assert "cannot read" in capsys.readouterr().err
    (tmp_path / "x.geo").write_text("// a drawing\n")
    (tmp_path / "m.toml").write_text("conductivity = 3\n")

    def load(library):
        return meso.Case.from_dict(
            {
                "geometry": {"file": "x.geo", "length_unit": "nm"},
                "materials": {"film": {"library": library}},
                "regions": {"metal": "film"},
                "boundaries": {"a": {"contact": {"potential": 0}}},
                "flow": {"model": "ohmic"},
            },
            tmp_path,
        )

    with pytest.raises(CaseError, match="no material file"):
        load("none.toml")
    with pytest.raises(CaseError, match="is not a material file: expected carriers"):
        load("m.toml")
