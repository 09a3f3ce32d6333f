"""What follows a flow in 3D: wall values, vorticity, moments, files and pictures.

Most flows are written down, not solved: the interpolant of a closed form. A film of thickness T,
0 < z < T, carries J_x = A (1 - a (z - T/2)^2), which the elements represent exactly; what follows
from it is then known to rounding. A wire of radius R carries an axial and a swirling current.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import dolfinx
import numpy as np
import pytest
from conftest import GEOMETRIES
from matplotlib.image import imread
from mpi4py import MPI

import meso
from meso import figures
from meso.boundary import Boundary, Contact, Wall
from meso.cells import lagrange
from meso.constants import ELECTRON_CHARGE, ELEMENTARY_CHARGE, HBAR
from meso.device import Device
from meso.edges import surface
from meso.exact import Ribbon
from meso.fields import continuous
from meso.flow.result import Flow, Terminal
from meso.material import Material
from meso.orbital import couplings, edge_moments, orbital_density, vorticity
from meso.result import Result
from meso.vtu import lagrange_nodes, read_names, read_vtu, vtk_lattice, vtk_order

serial = pytest.mark.skipif(MPI.COMM_WORLD.size > 1, reason="files of one rank")

THICKNESS, WIDTH, LENGTH = 20e-9, 100e-9, 400e-9
SLIP = 1 / 20e-9
LARGEST = 1e10  # A/m^2
# dJ/dz = -s J at the upper surface
BEND = SLIP / (THICKNESS + SLIP * THICKNESS**2 / 4)
RADIUS = 20e-9
# Interpolation and differentiation of fields of order one, divided by cell heights of 1/100 of
# the device; mass matrices are solved to 1e-13.
ROUNDING = 1e-11


def titanium(**changes: Any) -> Material:
    values = {"conductivity": 2.4e6, "mean_free_path": 7e-9, "fermi_energy": ELEMENTARY_CHARGE}
    return Material(carriers="3d", **{**values, **changes})


def written_down(device: Device, current: Any, walls: dict[str, Boundary], order: int = 2) -> Flow:
    """A flow whose current density interpolates a function of positions in metres."""
    boundaries = {"source": Contact(potential=1e-3), "drain": Contact(potential=0.0), **walls}

    def nodal(degree: int, function: Any) -> np.ndarray:
        return function(lagrange(device, degree).space.tabulate_dof_coordinates())

    density = continuous("current_density", "A_per_m2", device, order, nodal(order, current))
    voltage = nodal(order - 1, lambda x: 1e-3 * (1 - x[:, 0] / LENGTH))
    potential = continuous("potential", "V", device, order - 1, voltage)
    return Flow(
        model="hydrodynamic",
        device=device,
        materials=dict.fromkeys(device.regions, titanium()),
        boundaries=boundaries,
        thickness=None,
        order=order,
        current_density=density.function(),
        potential=potential.function(),
        fields={"current_density": density, "potential": potential},
        contacts={
            "source": Terminal(current=2e-5, potential=1e-3),
            "drain": Terminal(current=-2e-5, potential=0.0),
        },
        periodic={},
        conductance_matrix=0.02 * np.array([[1.0, -1.0], [-1.0, 1.0]]),
        evidence={"unknowns": 1, "method": "written down", "residual": 0.0},
    )


def film_current(x: np.ndarray) -> np.ndarray:
    along = LARGEST * (1 - BEND * (x[:, 2] - THICKNESS / 2) ** 2)
    return np.column_stack([along, np.zeros((len(x), 2))])


FILM_WALLS = {"surfaces": Wall(slip_length=1 / SLIP), "sides": Wall(slip_length=float("inf"))}
CURL = 2 * BEND * LARGEST  # (curl J)_y = -CURL (z - T/2)


def film(order: int = 2, **parameters: float) -> Flow:
    parameters = {"layers": 4, "size": 40, **parameters}
    path = GEOMETRIES / "film.geo"
    device = Device.from_gmsh(path, length_unit="nm", parameters=parameters, order=order)
    return written_down(device, film_current, FILM_WALLS, order)


def wire(size: str = "10 nm") -> Device:
    path = GEOMETRIES / "wire.geo"
    return Device.from_gmsh(path, length_unit="nm", parameters={"length": 60}, size=size)


@pytest.fixture(scope="module", params=[2, 3])
def flow(request: pytest.FixtureRequest) -> Flow:
    return film(request.param)


def vectors(table: dict[str, np.ndarray], name: str) -> np.ndarray:
    return np.column_stack([table[f"{name}_{axis}"] for axis in "xyz"])


def near(found: np.ndarray, wanted: np.ndarray, tolerance: float = ROUNDING) -> None:
    np.testing.assert_allclose(found, wanted, rtol=0, atol=tolerance * np.abs(wanted).max())


# --- the film: everything to rounding


def test_walls_of_a_film(flow: Flow) -> None:
    table = surface(flow, "surfaces", 2)
    z = table["z"]
    assert set(table["segment"]) == {0.0, 1.0}
    assert table["area"].sum() == pytest.approx(2 * WIDTH * LENGTH, rel=1e-12)
    wanted = np.zeros((len(z), 3))
    wanted[:, 2] = np.sign(z - THICKNESS / 2)
    near(vectors(table, "normal"), wanted)
    near(vectors(table, "J"), film_current(np.column_stack([table[axis] for axis in "xyz"])))
    wanted = np.zeros((len(z), 3))
    wanted[:, 1] = -CURL * (z - THICKNESS / 2) / ELECTRON_CHARGE
    near(vectors(table, "vorticity"), wanted)


def test_normal_component_at_walls_is_that_of_the_solution(flow: Flow) -> None:
    """On the sides the curl points along the normal, of which the slip law says nothing."""
    table = surface(flow, "sides", 2)
    wanted = np.zeros((len(table["z"]), 3))
    wanted[:, 1] = -CURL * (table["z"] - THICKNESS / 2) / ELECTRON_CHARGE
    near(vectors(table, "vorticity"), wanted)


def test_vorticity_and_orbital_density_of_a_film(flow: Flow) -> None:
    omega = vorticity(flow)
    assert (omega.components, omega.unit, omega.degree) == (3, "per_m3_s", flow.order - 1)
    space = lagrange(flow.device, omega.degree)
    z = space.space.tabulate_dof_coordinates()[space.dofs][..., 2]
    wanted = np.zeros(omega.values.shape)
    wanted[..., 1] = -CURL * (z - THICKNESS / 2)
    near(omega.values * ELECTRON_CHARGE, wanted)
    density = orbital_density(flow, omega)
    assert (density.components, density.unit) == (3, "J_s_per_m3")
    # kappa = hbar^2/(2 eps_F e), eps_F = 1 eV
    kappa = -(HBAR**2) / (2 * ELEMENTARY_CHARGE**2)
    near(density.values, kappa * wanted)


def test_moments_of_a_film(flow: Flow) -> None:
    """Each point goes to the nearest wall: surfaces lose prisms along the sides to these.

    At a depth u from the middle, strips of width T/2 - u on both sides are nearer to the sides.
    """
    density = orbital_density(flow, vorticity(flow))
    moments = edge_moments(flow, density)
    assert [m.wall for m in moments] == ["surfaces", "surfaces", "sides", "sides"]
    half = THICKNESS / 2
    kappa = couplings(flow)[0]  # type: ignore[index]
    wanted = kappa * CURL * LENGTH * (WIDTH * half**2 / 2 - 2 * half**3 / 6)
    for moment in moments[:2]:
        sign = -1 if moment.center[2] > half else 1
        found = np.array(moment.moment)
        # Cells between two walls are cut into 64 parts of four points: of 1/20 of the width.
        # Cells between walls, 40 nm long, are cut into 4^3 parts; the strips are 7 % of the whole.
        np.testing.assert_allclose(found, [0, sign * wanted, 0], rtol=0, atol=5e-3 * abs(wanted))
        assert moment.measure == pytest.approx(WIDTH * LENGTH, rel=1e-12)
    # All of them together are the integral of L, which is zero.
    whole = np.sum([m.moment for m in moments], axis=0)
    assert np.abs(whole).max() < 1e-10 * abs(wanted)


def test_sample(flow: Flow) -> None:
    omega = vorticity(flow)
    fields = {**flow.fields, "vorticity": omega}
    result = Result(case=case(), flow=flow, fields=fields, edge_moments=(), warnings=())
    z = np.linspace(0.05, 0.95, 7) * THICKNESS
    points = np.column_stack([np.full(7, 0.31 * LENGTH), np.full(7, 0.42 * WIDTH), z])
    values = result.sample(np.vstack([points, [[0, 0, 2 * THICKNESS]]]))
    near(values["current_density"][:7], film_current(points))
    near(values["vorticity"][:7, 1] * ELECTRON_CHARGE, -CURL * (z - THICKNESS / 2))
    for name, shape in (("current_density", (8, 3)), ("potential", (8,)), ("vorticity", (8, 3))):
        assert values[name].shape == shape
        assert np.isnan(values[name][7]).all()


# --- the wire: walls that are curved


def test_axial_flow_in_a_wire() -> None:
    """J_x = 1 - a r^2 with slip: nothing bends along the current."""
    a = SLIP / (2 * RADIUS + SLIP * RADIUS**2)
    device = wire("5 nm")

    def current(x: np.ndarray) -> np.ndarray:
        return np.column_stack([1 - a * (x[:, 1] ** 2 + x[:, 2] ** 2), np.zeros((len(x), 2))])

    table = surface(
        written_down(device, current, {"surface": FILM_WALLS["surfaces"]}), "surface", 2
    )
    y, z = table["y"], table["z"]
    wanted = 2 * a * np.column_stack([0 * y, -z, y])
    found = vectors(table, "vorticity") * ELECTRON_CHARGE
    # 24 curved cells of second order around the wire: (h/R)^3/24 for normals and J on them.
    near(found, wanted, 1e-2)


# Law -> slip rate times R of a swirl J_theta = r (1 - 0.6 r^2/R^2), curl 2 - 2.4 r^2/R^2:
# r d_r (J/r) = -s J for the traction law, d_r J = -s J for the literal one.
SWIRLS = {"traction": 3.0, "literal": 2.0}


@pytest.mark.parametrize("law", SWIRLS)
def test_swirl_in_a_wire(law: str) -> None:
    """Around the wire the wall bends with the current, which the two laws count differently."""
    wall = Wall(slip_length=RADIUS / SWIRLS[law], law=law)  # type: ignore[arg-type]
    errors = []
    for size in ("10 nm", "5 nm"):

        def current(x: np.ndarray) -> np.ndarray:
            y, z = x[:, 1] / RADIUS, x[:, 2] / RADIUS
            swirl = 1 - 0.6 * (y**2 + z**2)
            return np.column_stack([0 * y, -swirl * z, swirl * y]) * RADIUS

        table = surface(written_down(wire(size), current, {"surface": wall}), "surface", 2)
        off = table["vorticity_x"] * ELECTRON_CHARGE + 0.4
        errors.append(np.sqrt((table["area"] * off**2).sum() / table["area"].sum()))
    # The curvature of quadratic cells is of first order; without 2 S J, or with S J in its
    # place, the error would be 0.4 and more.
    assert errors[1] < 0.02
    assert errors[1] < 0.6 * errors[0]


def test_ohmic_and_sticking_walls_take_the_derivative() -> None:
    """The profile does not obey the law of these walls; its derivative is what it is."""
    flow = film()
    walls = {"surfaces": Wall(slip_length=0.0), "sides": Wall(slip_length=0.0)}
    table = surface(written_down(flow.device, film_current, walls), "surfaces", 2)
    wanted = -CURL * (table["z"] - THICKNESS / 2)
    near(table["vorticity_y"] * ELECTRON_CHARGE, wanted)


# --- files


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
    """A written-down film as a result directory."""
    flow = film()
    omega = vorticity(flow)
    density = orbital_density(flow, omega)
    result = Result(
        case=case(),
        flow=flow,
        fields={**flow.fields, "vorticity": omega, "orbital_density": density},
        edge_moments=tuple(edge_moments(flow, density)),
        warnings=(),
    )
    folder = tmp_path_factory.mktemp("film") / "result"
    result.save(folder, figures=False)
    return result, folder


def table_of(path: Path) -> dict[str, np.ndarray]:
    with path.open(newline="") as file:
        header, *rows = csv.reader(file)
    return dict(zip(header, np.array(rows, dtype=float).T, strict=True))


@serial
def test_directory(saved: tuple[Result, Path]) -> None:
    _, folder = saved
    assert sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()) == [
        *("case.toml", "edges/sides.csv", "edges/surfaces.csv", "fields.pvd", "fields/part0.vtu"),
        *("probes/up.csv", "summary.json", "walls.pvd", "walls/part0.vtu"),
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
def test_tables(saved: tuple[Result, Path]) -> None:
    _, folder = saved
    up = table_of(folder / "probes/up.csv")

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
    points = np.column_stack([up["x_m"], up["y_m"], up["z_m"]])
    near(np.column_stack([up[name] for name in current]), film_current(points))
    wall = table_of(folder / "edges/surfaces.csv")
    assert list(wall) == [
        *("x_m", "y_m", "z_m", "normal_x", "normal_y", "normal_z", "area_m2"),
        *(*current, *fields, "segment"),
    ]
    near(wall["vorticity_y_per_m3_s"] * ELECTRON_CHARGE, -CURL * (wall["z_m"] - THICKNESS / 2))
    near(wall["orbital_density_y_hbar_per_m3"] * HBAR, wall["orbital_density_y_J_s_per_m3"])
    assert wall["area_m2"].sum() == pytest.approx(2 * WIDTH * LENGTH, rel=1e-12)


@serial
def test_files_for_paraview(saved: tuple[Result, Path]) -> None:
    result, folder = saved
    points, data = read_vtu(folder / "fields/part0.vtu")
    assert points.shape == (result.device.cells, 10, 3)  # quadratic tetrahedra
    near(data["current_density"].reshape(-1, 3), film_current(points.reshape(-1, 3)))
    near(data["potential"], 1e-3 * (1 - points[..., 0] / LENGTH))
    text = (folder / "fields/part0.vtu").read_text()
    assert 'Name="types" type="UInt8"' in text
    points, data = read_vtu(folder / "walls/part0.vtu", 3)
    assert points.shape[1:] == (6, 3)  # quadratic triangles
    names = read_names(folder / "walls/part0.vtu", "wall_names")
    assert names == ["surfaces", "sides"]
    level = np.ptp(points[..., 2], axis=1) < 1e-6 * THICKNESS
    assert ((data["wall"] == names.index("surfaces")) == level).all()
    near(data["current_density"].reshape(-1, 3), film_current(points.reshape(-1, 3)))
    near(data["vorticity"][..., 1] * ELECTRON_CHARGE, -CURL * (points[..., 2] - THICKNESS / 2))
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


@pytest.mark.parametrize("degree", [1, 2, 3])
def test_nodes_of_tetrahedra_are_those_of_vtk(degree: int) -> None:
    """DOLFINx knows the order of VTK up to the third degree."""
    nodes = lagrange_nodes(degree, 3)
    order = vtk_order(len(nodes), 3)
    tetrahedron = dolfinx.mesh.CellType.tetrahedron
    np.testing.assert_array_equal(
        order, np.argsort(dolfinx.cpp.io.perm_vtk(tetrahedron, len(nodes)))
    )
    np.testing.assert_allclose(nodes[order], vtk_lattice(degree, 3) / degree, atol=1e-14)


def test_nodes_of_high_degree() -> None:
    """By the definition of VTK: vertices, edges, faces opposite to y, x, ..., and the inside."""
    lattice = vtk_lattice(5, 3)
    assert sorted(map(tuple, lattice.tolist())) == sorted(
        map(tuple, np.rint(lagrange_nodes(5, 3) * 5).astype(int).tolist())
    )
    np.testing.assert_array_equal(lattice[4:8], [[1, 0, 0], [2, 0, 0], [3, 0, 0], [4, 0, 0]])
    faces = lattice[28:52].reshape(4, 6, 3)
    assert (faces[0, :, 1] == 0).all()
    assert (faces[1].sum(axis=1) == 5).all()
    assert (faces[2, :, 0] == 0).all()
    assert (faces[3, :, 2] == 0).all()
    # As pyvista shows it: the first inner node of a face is beside its first corner.
    np.testing.assert_array_equal(faces[:, 0], [[1, 0, 1], [1, 3, 1], [0, 1, 1], [1, 1, 0]])
    np.testing.assert_array_equal(lattice[52:], [[1, 1, 1], [2, 1, 1], [1, 2, 1], [1, 1, 2]])


# --- pictures


def not_blank(path: Path) -> None:
    image = imread(path)[:, :, :3]
    assert image.shape[1] > 1000 and image.shape[0] > 400
    ink = (image < 0.95).any(axis=2).mean()
    assert 0.005 < ink < 0.95
    assert len(np.unique((image * 15).astype(int) @ [256, 16, 1])) > 5


@serial
def test_pictures(saved: tuple[Result, Path]) -> None:
    files = figures.draw(saved[1])
    assert {f.name for f in files} == {
        *("current.png", "orbital_density.png", "potential.png", "edges.png", "probe_up.png")
    }
    for file in files:
        not_blank(file)


@serial
def test_sections_show_the_fields(saved: tuple[Result, Path]) -> None:
    from meso.figures.raster import Plane
    from meso.figures.solid import Solid

    result = Solid.read(saved[1])
    assert result.order.tolist() == [0, 1, 2]
    plane = Plane(across=1, axes=(0, 2), position=0.37 * WIDTH)
    grid = result.cells.grid((0.1 * LENGTH, 1.1 * LENGTH, 0.0, THICKNESS), 50, 40, plane)
    x, z = np.meshgrid(grid.x, grid.y)
    found = grid.values(result.data["current_density"][..., 0])
    assert (np.isfinite(found) == (x < LENGTH)).all()
    points = np.column_stack([x.ravel(), 0 * x.ravel(), z.ravel()])
    wanted = film_current(points)[:, 0].reshape(x.shape)
    near(found[x < LENGTH], wanted[x < LENGTH], 1e-9)
    # All of the outline, in whatever pieces: walls twice the length, contacts twice the height.
    empty = np.empty((*result.triangles.shape[:2], 0))
    lines, _ = result.wall_lines(plane, empty)
    assert np.linalg.norm(lines[:, 1] - lines[:, 0], axis=1).sum() == pytest.approx(2 * LENGTH)
    from meso.figures.solid import cut

    rest, _ = cut(result.rest, plane)
    assert np.linalg.norm(rest[:, 1] - rest[:, 0], axis=1).sum() == pytest.approx(2 * THICKNESS)


@pytest.mark.parametrize("name", ["film", "wire"])
def test_mesh_picture(name: str, tmp_path: Path) -> None:
    device = Device.from_gmsh(
        GEOMETRIES / f"{name}.geo", length_unit="nm", parameters={"length": 60}, size="20 nm"
    )
    figures.draw_mesh(device, tmp_path / "mesh.png")
    if MPI.COMM_WORLD.rank == 0:
        not_blank(tmp_path / "mesh.png")


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
    wall = table_of(tmp_path / "r/edges/surfaces.csv")
    found = wall["vorticity_y_per_m3_s"] * ELECTRON_CHARGE
    wanted = -np.sign(wall["z_m"] - THICKNESS / 2) * abs(exact.curl(THICKNESS / 2))
    weight = wall["area_m2"] / wall["area_m2"].sum()
    assert np.sqrt(weight @ (found - wanted) ** 2) < 2e-2 * abs(wanted[0])
    assert {p.name for p in (tmp_path / "r/figures").iterdir()} == {
        *("current.png", "orbital_density.png", "potential.png", "edges.png", "probe_up.png")
    }


# --- ranks


def everything() -> dict[str, list[float]]:
    """What follows from flows in a film and in a wire, the same on every rank."""
    swirl = lambda x: np.column_stack([1e-9 + 0 * x[:, 0], -x[:, 2], x[:, 1]])  # noqa: E731
    wall = {"surface": Wall(slip_length=RADIUS, law="literal")}
    out = {}
    for name, flow in (("film", film()), ("wire", written_down(wire(), swirl, wall))):
        omega = vorticity(flow)
        density = orbital_density(flow, omega)
        for wall_name in [n for n, law in flow.boundaries.items() if isinstance(law, Wall)]:
            for column, values in surface(flow, wall_name, 2).items():
                out[f"{name} {wall_name} {column}"] = values.tolist()
        moments = edge_moments(flow, density)
        out[f"{name} moments"] = np.ravel([m.moment for m in moments]).tolist()
        out[f"{name} centers"] = np.ravel([m.center for m in moments]).tolist()
        result = Result(
            case=case(),
            flow=flow,
            fields={"vorticity": omega, "orbital_density": density},
            edge_moments=tuple(moments),
            warnings=(),
        )
        box = np.array([LENGTH, WIDTH, THICKNESS]) if name == "film" else np.full(3, RADIUS)
        points = np.random.default_rng(1).uniform(0, 1, (200, 3)) * box
        for field, values in result.sample(points).items():
            out[f"{name} {field}"] = np.nan_to_num(values).ravel().tolist()
        out[f"{name} extrema"] = list(density.extrema())
    every = MPI.COMM_WORLD.allgather(out)
    assert all(other == out for other in every)
    return out


@serial
def test_ranks_agree(tmp_path: Path) -> None:
    path = tmp_path / "two.json"
    words = ["mpirun", "-n", "2", sys.executable, "-W", "ignore", __file__, str(path)]
    # What pytest's own MPI told its environment must not be inherited.
    foreign = ("OMPI_COMM", "PMIX_", "OMPI_UNIVERSE")
    environment = {name: v for name, v in os.environ.items() if not name.startswith(foreign)}
    paths = [str(Path(__file__).parents[1]), *filter(None, [environment.get("PYTHONPATH")])]
    environment["PYTHONPATH"] = os.pathsep.join(paths)
    done = subprocess.run(
        words, capture_output=True, text=True, timeout=120, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found, wanted = json.loads(path.read_text()), everything()
    assert found.keys() == wanted.keys()
    for name, values in wanted.items():
        a, b = np.array(found[name]), np.array(values)
        assert a.shape == b.shape
        group = name.rpartition("_")[0] if name[-2:] in ("_x", "_y", "_z") else name
        scale = max(np.abs(v).max() for k, v in wanted.items() if k.startswith(group))
        # Mass matrices solved to 1e-13, sums in another order.
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-12 * scale, err_msg=name)


if __name__ == "__main__":
    table = everything()
    if MPI.COMM_WORLD.rank == 0:
        Path(sys.argv[1]).write_text(json.dumps(table))
