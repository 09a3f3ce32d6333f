"""What gradients of the current make in a crystal: L^j = kappa^j_ik d_i J_k, and so the spin."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import GEOMETRIES, mesh_file
from helpers import read_vtu, table
from scipy.spatial.transform import Rotation

import meso
from meso.angular_momentum import LEVI_CIVITA
from meso.cli import main
from meso.constants import HBAR

KAPPA = -2.2e-31
#: Any tensor: no symmetry.
ANY = 1e-31 * np.random.default_rng(7).standard_normal((3, 3, 3))
#: Solutions of the same system, whose projections are iterated to 1e-14.
ROUNDING = 1e-10

TABLES: dict[str, Any] = {
    "geometry": {
        "file": str(GEOMETRIES / "ribbon.geo"),
        "length_unit": "nm",
        "parameters": {"width": 100, "length": 150},
    },
    "materials": {
        "m": {"carriers": "3d", "conductivity": "2e6 S/m", "mean_free_path": "10 nm"},
    },
    "regions": {"metal": "m"},
    "boundaries": {
        "source": {"contact": {"potential": "1 mV"}},
        "drain": {"contact": {"potential": "0 V"}},
        "edges": {"wall": {"specularity": 0.0}},
    },
    "flow": {"model": "hydrodynamic"},
}
SHEET = {"materials.m.carriers": "2d", "materials.m.conductivity": "0.02 S"}


def tensor(value: np.ndarray) -> dict[str, Any]:
    return {"tensor": value.tolist(), "unit": "J s/A"}


def coupled(orbital: Any, spin: Any = None, **changes: Any) -> meso.Case:
    given = {"materials.m.orbital_coupling": orbital}
    if spin is not None:
        given["materials.m.spin_coupling"] = spin
    return meso.Case.from_dict(TABLES, overrides=given | changes)


def near(found: Any, wanted: Any, tolerance: float = ROUNDING) -> None:
    wanted = np.asarray(wanted)
    scale = np.nanmax(np.abs(wanted))
    np.testing.assert_allclose(found, wanted, rtol=0, atol=tolerance * scale)


POINTS = np.column_stack([np.full(41, 60e-9), np.linspace(-49e-9, 49e-9, 41)])


@pytest.fixture(scope="module")
def scalar() -> meso.Result:
    return meso.run(coupled(KAPPA, 2 * KAPPA))


@pytest.fixture(scope="module")
def any_tensor() -> meso.Result:
    return meso.run(coupled(tensor(ANY), tensor(-3 * ANY[::-1])))


def test_a_number_is_its_antisymmetric_tensor(scalar: meso.Result) -> None:
    found = meso.run(coupled(tensor(KAPPA * LEVI_CIVITA), 2 * KAPPA))
    one, two = (r.sample(POINTS)["orbital_density"] for r in (scalar, found))
    near(two[:, 2], one)
    near(two[:, :2], 0 * two[:, :2] + 1e-300, 1)
    for a, b in zip(scalar.edge_moments, found.edge_moments, strict=True):
        near(b.moment, [0, 0, a.moment])
    near(found.sample(POINTS)["spin_density"], 2 * one)
    assert [m.moment for m in found.spin_moments] == pytest.approx(
        [2 * m.moment for m in scalar.edge_moments], rel=1e-12
    )
    assert scalar.fields["orbital_density"].components == 1


def test_ribbon_has_a_closed_form(any_tensor: meso.Result, tmp_path: Path) -> None:
    """J_x(y) alone: X^j = kappa^j_yx dJ_x/dy, and moments kappa^j_yx (J_centre - J_wall)."""
    material = any_tensor.case.materials["m"]
    exact = meso.exact.Ribbon(
        width=100e-9,
        diffusion_length=material.vorticity_diffusion_length,
        slip_rate=material.slip_rate(0.0),
        drive=2e6 * 1e-3 / 150e-9,
    )
    found = any_tensor.sample(POINTS)
    slope = -exact.curl(POINTS[:, 1])
    limit = 1e-4  # a derivative of the solution
    near(found["orbital_density"], np.outer(slope, ANY[:, 1, 0]), limit)
    near(found["spin_density"], np.outer(slope, -3 * ANY[::-1][:, 1, 0]), limit)
    for moments, kappa in (
        (any_tensor.edge_moments, ANY),
        (any_tensor.spin_moments, -3 * ANY[::-1]),
    ):
        for moment in moments:
            wanted = -np.sign(moment.center[1]) * kappa[:, 1, 0] * exact.half_moment
            near(np.array(moment.moment) / moment.measure, wanted, 1e-5)
    any_tensor.save(tmp_path / "out")
    rows = table(tmp_path / "out" / "edges" / "edges.csv")
    slope = -exact.curl(rows["y_m"])
    columns = [rows[f"orbital_density_{axis}_J_s_per_m3"] for axis in "xyz"]
    # Derivatives along the wall are those of the solution.
    near(np.column_stack(columns), np.outer(slope, ANY[:, 1, 0]), limit)
    columns = [rows[f"spin_density_local_{axis}_hbar_per_m3"] for axis in "xyz"]
    near(np.column_stack(columns) * HBAR, np.outer(slope, -3 * ANY[::-1][:, 1, 0]), limit)
    numbers = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert len(numbers["walls"]["edges"]["orbital_moment_J_s_per_m2"]) == 3
    segment = numbers["walls"]["edges"]["segments"][0]
    wanted = np.abs(3 * ANY[::-1][:, 1, 0] * exact.half_moment)
    near(np.abs(segment["spin_moment_hbar_per_m2"]) * HBAR, wanted, 1e-5)
    data = read_vtu(tmp_path / "out" / "fields" / "part0.vtu")[1]
    assert data["orbital_density"].shape[-1] == data["spin_density"].shape[-1] == 3
    figures = {path.name for path in (tmp_path / "out" / "figures").iterdir()}
    assert {f"orbital_density_{a}.png" for a in "xyz"} <= figures
    assert {f"spin_density_local_{a}.png" for a in "xyz"} <= figures


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"materials.m.spin_coupling": [[1, 2], [3]]}, "spin_coupling: the rows of the tensor"),
        ({"materials.m.spin_coupling": [0.0]}, "of shape (1,); must be 3 × 3 × 3"),
        ({"materials.m.spin_coupling": {"tensor": [1]}}, "needs tensor = [...] and unit"),
        ({"materials.m.orientation": {"angle": 1, "axis": [0, 0, 0]}}, "axis not zero"),
        ({"output.fields": ["spin_density"]}, "m.spin_coupling: missing; give it for the field"),
    ],
)
def test_messages(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(meso.CaseError) as caught:
        meso.Case.from_dict(TABLES, overrides=changes)
    assert message in str(caught.value)


def test_crystals_have_one_orientation() -> None:
    """That of a material turns the tensors of angular momentum, too."""
    hall = np.zeros((3, 3, 3))
    hall[1, 2, 0] = 1e5  # S_z flows along y of the crystal, for a field along x
    spin = {"hall_conductivity": {"tensor": hall.tolist(), "unit": "S/m"}}
    spin |= {"diffusivity": "1e-4 m^2/s", "diffusion_length": "5 nm"}
    quarter = {"angle": 90}
    at_walls = []
    for material, channel in ((None, None), (quarter, None), (None, quarter)):
        given = {"orientation": channel} if channel else {}
        changes = {"materials.m.orientation": material} if material else {}
        changes["angular_momentum"] = {"spin": spin | given}
        result = meso.run(meso.Case.from_dict(TABLES, overrides=changes))
        at_walls.append(result.angular_momentum.moments["spin_z"][0].moment)
    assert abs(at_walls[1]) < 1e-6 * abs(at_walls[0])
    assert at_walls[2] == at_walls[1]
    changes = {"materials.m.orientation": {"angle": 30}}
    changes["angular_momentum"] = {"spin": spin | {"orientation": quarter}}
    with pytest.raises(meso.CaseError, match="material and channels have different orientations"):
        meso.run(meso.Case.from_dict(TABLES, overrides=changes))


KINETIC = {**SHEET, "flow.model": "kinetic", "flow.harmonics": 8, "flow.estimate": False}
PERIODIC = {
    "geometry.file": str(GEOMETRIES / "ribbon_period.geo"),
    "geometry.parameters": {"width": 100},
    "boundaries": {
        "source": {"periodic": {"to": "drain", "voltage": "1 mV"}},
        "edges": {"wall": {"specularity": 0.0}},
    },
}


@pytest.mark.parametrize("changes", [PERIODIC, KINETIC | PERIODIC])
def test_ribbons_of_other_models(changes: dict[str, Any]) -> None:
    """J_x(y) alone in any model: all components follow from L_z of a number."""
    one, two = meso.run(coupled(KAPPA, **changes)), meso.run(coupled(tensor(ANY), **changes))
    ratio = -ANY[:, 1, 0] / KAPPA
    for a, b in zip(one.edge_moments, two.edge_moments, strict=True):
        near(b.moment, ratio * a.moment, 1e-6)
    points = POINTS * [0.1, 0.9]
    inside, wanted = two.sample(points)["orbital_density"], one.sample(points)["orbital_density"]
    # Derivatives along a ribbon are errors of the mesh.
    near(inside, np.outer(wanted, ratio), 3e-4)


def moments(result: meso.Result) -> np.ndarray:
    """Of the pieces of walls, in the order of their distances from the origin."""
    found = sorted(result.edge_moments, key=lambda m: np.linalg.norm(m.center))
    return np.array([m.moment for m in found])


@pytest.mark.parametrize("model", ["hydrodynamic", "kinetic", "ohmic"])
def test_crystal_and_device_turned_together(tmp_path: Path, model: str) -> None:
    """Shear counts, also where the flow has no vorticity; the vector turns with them."""
    angle = 0.7345
    c, s = np.cos(angle), np.sin(angle)
    turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    found = []
    for name, by, orientation in (("as", 0.0, 20.0), ("turned", angle, 20.0 + np.rad2deg(angle))):
        cross = GEOMETRIES / "cross.geo"
        mesh = mesh_file(tmp_path / f"{name}.msh", cross, degree=2, size=40.0, turn=by)
        changes = {
            **(SHEET if model == "kinetic" else {}),
            "geometry": {"file": str(mesh), "length_unit": "nm"},
            "materials.m.orientation": {"angle": orientation},
            "materials.m.mean_free_path": "40 nm",
            "boundaries": {
                "left": {"contact": {"potential": "1 mV"}},
                "right": {"contact": {"potential": "0 V"}},
                "top": {"contact": {"current": 0}},
                "bottom": {"contact": {"current": 0}},
                "edges": {"wall": {"specularity": 0.0}},
            },
            "flow": {"model": model, "order": 2},
        }
        if model == "kinetic":
            changes["flow"] |= {"harmonics": 4, "estimate": False}
        found.append(meso.run(coupled(tensor(ANY), **changes)))
    one, two = found
    near(moments(two), moments(one) @ turn.T, 1e-8)
    points = np.array([[10e-9, 5e-9], [-40e-9, 20e-9], [3e-9, -60e-9]])
    values = one.sample(points)["orbital_density"]
    assert np.isfinite(values).all()
    near(two.sample(points @ turn[:2, :2].T)["orbital_density"], values @ turn.T, 1e-8)


def test_film_in_3d(tmp_path: Path) -> None:
    """A section along x, z of a film is a ribbon; and a crystal turned about any axis."""
    kappa = ANY
    film = {
        "geometry.file": str(GEOMETRIES / "film.geo"),
        "geometry.parameters": {"layers": 6, "size": 50, "width": 50, "length": 100},
        "boundaries": {
            "source": {"contact": {"potential": "1 mV"}},
            "drain": {"contact": {"potential": "0 V"}},
            "surfaces": {"wall": {"specularity": 0.0}},
            "sides": {"wall": {"specularity": 1.0}},
        },
    }
    axis, angle = [1.0, 2.0, -0.5], 47.0
    turn = Rotation.from_rotvec(np.deg2rad(angle) * np.array(axis) / np.linalg.norm(axis))
    R = turn.as_matrix()
    turned = np.tensordot(R, np.tensordot(R, np.tensordot(R, kappa, (1, 2)), (1, 2)), (1, 2))
    number = meso.run(coupled(KAPPA, **film))
    by_hand = meso.run(coupled(tensor(turned), **film))
    orientation = {"materials.m.orientation": {"angle": angle, "axis": axis}}
    found = meso.run(coupled(tensor(kappa), **film, **orientation))
    points = np.column_stack([np.full(9, 50e-9), np.full(9, 26e-9), np.linspace(1e-9, 19e-9, 9)])
    one, two, three = (r.sample(points)["orbital_density"] for r in (number, by_hand, found))
    near(three, two)
    # J_x(z): the curl is along y.
    near(two, np.outer(one[:, 1], turned[:, 2, 0] / KAPPA), 1e-3)
    isotropic = meso.run(coupled(tensor(KAPPA * LEVI_CIVITA), **film))
    near(isotropic.sample(points)["orbital_density"], one)
    for a, b in zip(number.edge_moments, isotropic.edge_moments, strict=True):
        near(b.moment, a.moment)
    found.save(tmp_path / "out")
    numbers = json.loads((tmp_path / "out" / "summary.json").read_text())
    near(numbers["couplings_J_s_per_A"]["orbital_density"]["metal"], turned)
    figures = {path.stem for path in (tmp_path / "out" / "figures").iterdir()}
    assert {f"orbital_density_{axis}" for axis in "xyz"} <= figures
    walls = read_vtu(tmp_path / "out" / "walls" / "part0.vtu")[1]
    assert walls["orbital_density"].shape[-1] == 3
    rows = table(tmp_path / "out" / "edges" / "surfaces.csv")
    curl = rows["vorticity_y_per_m3_s"] * meso.constants.ELECTRON_CHARGE
    for i, name in enumerate("xyz"):
        wanted = curl * turned[i, 2, 0]
        scale = np.abs(curl).max() * np.abs(turned).max()
        assert np.abs(rows[f"orbital_density_{name}_J_s_per_m3"] - wanted).max() < 3e-3 * scale


BANDS = """
[model]
kind = "{kind}"
{model}
[bands]
energy = "{energy}"
broadening = "0.1 eV"
kmesh = {kmesh}
error = false
"""
MODELS = {
    "gas": ("ElectronGas", "rashba = 0.5\nexchange = 0.2\ndirection = [0, 0.6, 0.8]", "1 eV", 24),
    "bcc": ("BccP", "spin_orbit = 0.05\nexchange = [0, 0, 0.1]", "0.5 eV", 12),
}


@pytest.mark.parametrize("name", MODELS)
def test_what_bands_compute_goes_into_a_device(name: str, tmp_path: Path) -> None:
    """From a Hamiltonian to densities at edges, with files alone."""
    kind, model, energy, kmesh = MODELS[name]
    path = tmp_path / "metal.toml"
    path.write_text(BANDS.format(kind=kind, model=model, energy=energy, kmesh=kmesh))
    assert main(["bands", str(path), "--output", str(tmp_path / "m"), "--quiet"]) == 0
    assert main(["material", str(tmp_path / "m" / "metal.toml")]) == 0
    tensors = json.loads((tmp_path / "m" / "metal.json").read_text())
    channels = ("spin",) if name == "gas" else ("orbital", "spin")
    given = {"library": "m/metal.toml", "mean_free_path": "10 nm", "orientation": {"angle": 30}}
    tables = TABLES | {"materials": {"m": given}}
    found = meso.Case.from_dict(tables, tmp_path)
    again = meso.Case.from_dict(found.to_dict(), tmp_path)
    assert again.hash == found.hash
    result = meso.run(again)
    curl = result.sample(POINTS)["vorticity"] * meso.constants.ELECTRON_CHARGE
    R = Rotation.from_euler("z", 30, degrees=True).as_matrix()
    for channel in channels:
        kappa = np.array(tensors[f"{channel}_coupling"]["value"])
        for axis in range(3):
            kappa = np.moveaxis(np.tensordot(R, kappa, (1, axis)), 0, axis)
        wanted = np.outer(-curl, kappa[:, 1, 0])
        near(result.sample(POINTS)[f"{channel}_density"], wanted, 1e-3)
    direct = meso.Material.from_bands(
        meso.bands.models.BccP(spin_orbit=0.05, exchange=(0, 0, 0.1)),
        energy=0.5,
        kmesh=12,
        options={"error": False},
    )
    if name == "bcc":
        near(direct.orbital_coupling, tensors["orbital_coupling"]["value"], 1e-12)
