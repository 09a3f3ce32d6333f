"""What a run in 3D leaves: numbers, tables, files for ParaView and pictures of a film.

A film of thickness T, 0 < z < T, is a ribbon along z, which has a closed form; its files say what
Python says. What follows from flows that are written down: tests/inside/test_walls_3d.py.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import dolfinx
import numpy as np
import pytest
from conftest import GEOMETRIES
from helpers import draw, read_vtu, table, vtu_names
from matplotlib.image import imread
from mpi4py import MPI

import meso
from meso import Result
from meso.cli import main
from meso.constants import ELECTRON_CHARGE, ELEMENTARY_CHARGE, HBAR
from meso.exact import Ribbon

serial = pytest.mark.skipif(MPI.COMM_WORLD.size > 1, reason="files of one rank")

THICKNESS, WIDTH, LENGTH = 20e-9, 100e-9, 400e-9
# 15 digits in tables; evaluation of fields whose nodal values are of order one.
ROUNDING = 1e-11


def titanium(**changes: Any) -> meso.Material:
    values = {"conductivity": 2.4e6, "mean_free_path": 7e-9, "fermi_energy": ELEMENTARY_CHARGE}
    return meso.Material(carriers="3d", **{**values, **changes})


def near(found: np.ndarray, wanted: np.ndarray, tolerance: float = ROUNDING) -> None:
    np.testing.assert_allclose(found, wanted, rtol=0, atol=tolerance * np.abs(wanted).max())


def case(**changes: Any) -> meso.Case:
    tables = {
        "title": "A film",
        "geometry": {
            "file": str(GEOMETRIES / "film.geo"),
            "length_unit": "nm",
            "parameters": {"layers": 6, "size": 50, "grading": 2},
        },
        "materials": {
            "Ti": {
                "carriers": "3d",
                "conductivity": "2.4e6 S/m",
                "mean_free_path": "7 nm",
                "fermi_energy": "1 eV",
            }
        },
        "regions": {"metal": "Ti"},
        "boundaries": {
            "source": {"contact": {"potential": "1 mV"}},
            "drain": {"contact": {"potential": "0 V"}},
            "surfaces": {"wall": {"specularity": 0.0}},
            "sides": {"wall": {"specularity": 1.0}},
        },
        "flow": {"model": "hydrodynamic"},
        "output": {
            "probes": {
                "up": {
                    "from": ["200 nm", "50 nm", "0 nm"],
                    "to": ["200 nm", "50 nm", "20 nm"],
                    "points": 21,
                }
            }
        },
    }
    return meso.Case.from_dict(tables, overrides=changes)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Result, Path]:
    """A film as a result directory."""
    result = meso.run(case())
    folder = tmp_path_factory.mktemp("film") / "result"
    result.save(folder, figures=False)
    return result, folder


@serial
def test_directory(saved: tuple[Result, Path]) -> None:
    _, folder = saved
    assert sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()) == [
        *("boundaries.pvd", "boundaries/part0.vtu"),
        *("case.toml", "edges/sides.csv", "edges/surfaces.csv", "fields.pvd", "fields/part0.vtu"),
        *("paraview_state.py", "probes/up.csv", "report.html", "summary.json"),
        *("walls.pvd", "walls/part0.vtu"),
    ]


@serial
def test_summary(saved: tuple[Result, Path]) -> None:
    result, folder = saved
    numbers = json.loads((folder / "summary.json").read_text())
    assert numbers["mesh"]["volume_m3"] == pytest.approx(THICKNESS * WIDTH * LENGTH, rel=1e-12)
    assert "area_m2" not in numbers["mesh"]
    (place,) = numbers["contacts"]["drain"]["segments"]
    assert place["area_m2"] == pytest.approx(THICKNESS * WIDTH, rel=1e-12)
    near(np.array(place["center_m"]), np.array([LENGTH, WIDTH / 2, THICKNESS / 2]))
    assert set(numbers["contacts"]["drain"]) == {"current_A", "potential_V", "segments"}
    wall = numbers["walls"]["surfaces"]
    keys = {"area_m2", "orbital_moment_J_s", "orbital_moment_hbar"}
    assert set(wall) == {*keys, "segments"}
    assert wall["area_m2"] == pytest.approx(2 * WIDTH * LENGTH, rel=1e-12)
    moments = [m for m in result.edge_moments if m.wall == "surfaces"]
    for segment, moment in zip(wall["segments"], moments, strict=True):
        assert set(segment) == {*keys, "center_m"}
        assert segment["orbital_moment_J_s"] == list(moment.moment)  # type: ignore[arg-type]
        near(np.array(segment["orbital_moment_hbar"]) * HBAR, np.array(moment.moment))
    near(
        np.array(wall["orbital_moment_J_s"]) + np.abs(moments[0].moment),
        np.sum([m.moment for m in moments], axis=0) + np.abs(moments[0].moment),
    )
    assert numbers["extrema"]["orbital_density"]["unit"] == "J_s_per_m3"
    assert not result.per_thickness


@serial
def test_sweep(saved: tuple[Result, Path]) -> None:
    """The table of a sweep has the components of moments."""
    result, folder = saved
    (row,) = meso.sweep(folder / "case.toml", ["boundaries.sides.wall.specularity=1.0"])
    assert row["results"]["source.current_A"] == pytest.approx(result.contacts["source"].current)
    first = next(m for m in result.edge_moments if m.wall == "surfaces")
    keys = [f"surfaces.1.orbital_moment_hbar_{axis}" for axis in "xyz"]
    near(np.array([row["results"][key] for key in keys]) * HBAR, np.array(first.moment))


@serial
def test_tables(saved: tuple[Result, Path]) -> None:
    result, folder = saved
    up = table(folder / "probes/up.csv")

    def columns(name: str, unit: str) -> list[str]:
        return [f"{name}_{axis}_{unit}" for axis in "xyz"]

    fields = [
        *columns("vorticity", "per_m3_s"),
        *columns("orbital_density", "J_s_per_m3"),
        *columns("orbital_density", "hbar_per_m3"),
    ]
    current = columns("current_density", "A_per_m2")
    assert list(up) == ["x_m", "y_m", "z_m", "s_m", *current, "potential_V", *fields]
    near(up["s_m"], up["z_m"])
    found = result.sample(np.column_stack([up["x_m"], up["y_m"], up["z_m"]]))
    near(np.column_stack([up[name] for name in current]), found["current_density"])
    near(up["potential_V"], found["potential"])
    near(np.column_stack([up[name] for name in fields[:3]]), found["vorticity"])
    near(np.column_stack([up[name] for name in fields[3:6]]), found["orbital_density"])
    wall = table(folder / "edges/surfaces.csv")
    assert list(wall) == [
        *("x_m", "y_m", "z_m", "normal_x", "normal_y", "normal_z", "area_m2"),
        *(*current, *fields, "segment"),
    ]
    points = np.column_stack([wall[f"{axis}_m"] for axis in "xyz"])
    found = result.sample(points)
    near(np.column_stack([wall[name] for name in current]), found["current_density"])
    upper = wall["z_m"] > THICKNESS / 2
    assert (wall["segment"] == wall["segment"][upper][0])[upper].all()
    near(wall["normal_z"], np.where(upper, 1.0, -1.0))
    # The current is along x and smaller at the walls: (curl J)_y = dJ/dz has the sign of -z.
    assert (wall["vorticity_y_per_m3_s"] * ELECTRON_CHARGE * np.where(upper, -1, 1) > 0).all()
    kappa = titanium().orbital_coupling * ELECTRON_CHARGE
    near(wall["orbital_density_y_J_s_per_m3"], kappa * wall["vorticity_y_per_m3_s"])
    near(wall["orbital_density_y_hbar_per_m3"] * HBAR, wall["orbital_density_y_J_s_per_m3"])
    assert wall["area_m2"].sum() == pytest.approx(2 * WIDTH * LENGTH, rel=1e-12)


@serial
def test_files_for_paraview(saved: tuple[Result, Path]) -> None:
    result, folder = saved
    points, data = read_vtu(folder / "fields/part0.vtu")
    assert points.shape == (result.device.cells, 10, 3)  # quadratic tetrahedra
    found = result.sample(points.reshape(-1, 3))
    for name in ("current_density", "vorticity", "orbital_density"):
        near(data[name].reshape(-1, 3), found[name])
    near(data["potential"].ravel(), found["potential"])
    text = (folder / "fields/part0.vtu").read_text()
    assert 'Name="types" type="UInt8"' in text
    points, data = read_vtu(folder / "walls/part0.vtu")
    assert points.shape[1:] == (6, 3)  # quadratic triangles
    names = vtu_names(folder / "walls/part0.vtu", "wall")
    assert names == ["surfaces", "sides"]
    level = np.ptp(points[..., 2], axis=1) < 1e-6 * THICKNESS
    assert ((data["wall"] == names.index("surfaces")) == level).all()
    found = result.sample(points.reshape(-1, 3))
    near(data["current_density"].reshape(-1, 3), found["current_density"])
    # On the surfaces s J_x = -(curl J)_y, outward: the law of diffuse walls.
    J, curl = data["current_density"][level][..., 0], data["vorticity"][level][..., 1]
    outward = np.sign(data["normal"][level][..., 2])
    near(curl * ELECTRON_CHARGE * outward, -titanium().slip_rate(0.0) * J)
    # Outward normals, and triangles that turn about them.
    corners = points[:, :3]
    turned = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert ((turned * data["normal"][:, 0]).sum(axis=1) > 0).all()
    area = np.linalg.norm(turned, axis=1).sum() / 2
    assert area == pytest.approx(2 * LENGTH * (WIDTH + THICKNESS), rel=1e-12)
    assert len(np.unique(data["segment"])) == 4


@serial
def test_vtx(saved: tuple[Result, Path], tmp_path: Path) -> None:
    if not dolfinx.has_adios2:
        pytest.skip("this DOLFINx has no ADIOS2")
    saved[0].save(tmp_path / "r", figures=False, format="vtx")
    names = {p.name for p in (tmp_path / "r/fields").iterdir()}
    assert names == {f"{name}.bp" for name in saved[0].fields}


# --- pictures


def not_blank(path: Path) -> None:
    image = imread(path)[:, :, :3]
    assert image.shape[1] > 1000 and image.shape[0] > 400
    ink = (image < 0.95).any(axis=2).mean()
    assert 0.005 < ink < 0.95
    assert len(np.unique((image * 15).astype(int) @ [256, 16, 1])) > 5


@serial
def test_pictures(saved: tuple[Result, Path]) -> None:
    files = draw(saved[1])
    assert {f.name for f in files} == {
        *("current.png", "orbital_density.png", "potential.png", "edges.png", "probe_up.png")
    }
    for file in files:
        not_blank(file)


@pytest.mark.parametrize("name", ["film", "wire"])
def test_mesh_picture(name: str, tmp_path: Path) -> None:
    tables = case().to_dict()
    tables["geometry"] = {"file": str(GEOMETRIES / f"{name}.geo"), "length_unit": "nm"}
    tables["geometry"]["parameters"] = {"length": 60}
    tables["output"] = {"probes": {}}
    tables["flow"] = {"model": "ohmic"}  # no layers at walls
    if name == "wire":
        tables["mesh"] = {"size": "20 nm"}
        tables["boundaries"] = {"source": {"contact": {"potential": "1 mV"}}}
        tables["boundaries"] |= {"drain": {"contact": {"potential": "0 V"}}}
        tables["boundaries"]["surface"] = {"wall": {"specularity": 1.0}}
    path, picture = tmp_path / "case.toml", tmp_path / "mesh.png"
    path.write_text(meso.Case.from_dict(tables).to_toml())
    assert main(["mesh", str(path), "--picture", str(picture)]) == 0
    if MPI.COMM_WORLD.rank == 0:
        not_blank(picture)


# --- solved


@serial
@pytest.mark.parametrize("periodic", [False, True])
def test_a_run(periodic: bool, tmp_path: Path) -> None:
    """A film is a ribbon along z: current and wall vorticity of the closed form."""
    changes: dict[str, Any] = {}
    if periodic:
        tables = {
            "source": {"periodic": {"to": "drain", "voltage": "1 mV"}},
            "surfaces": {"wall": {"specularity": 0.0}},
            "sides": {"wall": {"specularity": 1.0}},
        }
        changes["boundaries"] = tables
    result = meso.run(case(**changes))
    result.save(tmp_path / "r")
    numbers = json.loads((tmp_path / "r/summary.json").read_text())
    material = titanium()
    exact = Ribbon(
        width=THICKNESS,
        diffusion_length=material.vorticity_diffusion_length,  # type: ignore[arg-type]
        slip_rate=material.slip_rate(0.0),  # type: ignore[arg-type]
        drive=2.4e6 * 1e-3 / LENGTH,
    )
    terminal = numbers["periodic" if periodic else "contacts"]["source"]
    # Second-order elements in layers that grow from 2/3 of l: third order of h/l in J.
    assert terminal["current_A"] == pytest.approx(exact.current * WIDTH, rel=2e-3)
    assert numbers["dissipated_power_W"] == pytest.approx(1e-3 * terminal["current_A"], rel=1e-9)
    if periodic:
        assert (terminal["to"], terminal["voltage_V"]) == ("drain", 1e-3)
        assert numbers["contacts"] == {}
    wall = table(tmp_path / "r/edges/surfaces.csv")
    found = wall["vorticity_y_per_m3_s"] * ELECTRON_CHARGE
    wanted = -np.sign(wall["z_m"] - THICKNESS / 2) * abs(exact.curl(THICKNESS / 2))
    weight = wall["area_m2"] / wall["area_m2"].sum()
    assert np.sqrt(weight @ (found - wanted) ** 2) < 2e-2 * abs(wanted[0])
    assert {p.name for p in (tmp_path / "r/figures").iterdir()} == {
        *("current.png", "orbital_density.png", "potential.png", "edges.png", "probe_up.png")
    }
