"""What follows a flow in 3D, to rounding: wall values, vorticity, moments, sections.

The flows are written down, not solved: interpolants of closed forms, which are no solution of
what a user can drive. A film of thickness T, 0 < z < T, carries J_x = A (1 - a (z - T/2)^2), which
the elements represent exactly. A wire of radius R carries an axial and a swirling current.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import dolfinx
import numpy as np
import pytest
from conftest import GEOMETRIES
from launching import launch
from mpi4py import MPI
from test_output_3d import LENGTH, THICKNESS, WIDTH, case, near, serial, titanium

from meso import Contact, Device, Result, Wall, _compat
from meso.constants import ELECTRON_CHARGE, ELEMENTARY_CHARGE, HBAR
from meso.discrete.cells import lagrange
from meso.discrete.fields import continuous
from meso.figures import Drawn
from meso.figures.cells import Plane
from meso.files.vtu import vtk_lattice, vtk_nodes
from meso.flow import Flow, Terminal
from meso.orbital import couplings, edge_moments, orbital_density, vorticity

SLIP = 1 / 20e-9
LARGEST = 1e10  # A/m^2
# dJ/dz = -s J at the upper surface
BEND = SLIP / (THICKNESS + SLIP * THICKNESS**2 / 4)
RADIUS = 20e-9
# Interpolation and differentiation of fields of order one, divided by cell heights of 1/100 of
# the device; mass matrices are solved to 1e-13.
ROUNDING = 1e-11


def written_down(device: Device, current: Any, walls: dict[str, Any], order: int = 2) -> Flow:
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


# --- the film: everything to rounding


def test_walls_of_a_film(flow: Flow) -> None:
    table = flow.profile("surfaces", 2)
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
    table = flow.profile("sides", 2)
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

    table = written_down(device, current, {"surface": FILM_WALLS["surfaces"]}).profile("surface", 2)
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

        table = written_down(wire(size), current, {"surface": wall}).profile("surface", 2)
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
    table = written_down(flow.device, film_current, walls).profile("surfaces", 2)
    wanted = -CURL * (table["z"] - THICKNESS / 2)
    near(table["vorticity_y"] * ELECTRON_CHARGE, wanted)


# --- figures


@serial
def test_sections_show_the_fields(tmp_path: Path) -> None:
    flow = film()
    omega = vorticity(flow)
    fields = {**flow.fields, "vorticity": omega, "orbital_density": orbital_density(flow, omega)}
    written = Result(case=case(), flow=flow, fields=fields, edge_moments=(), warnings=())
    written.save(tmp_path / "r", figures=False)
    result = Drawn(tmp_path / "r")
    assert result.order == [0, 1, 2]
    plane = Plane(across=1, axes=(0, 2), position=0.37 * WIDTH)
    grid = result.grid((0.1 * LENGTH, 1.1 * LENGTH, 0.0, THICKNESS), 50, 40, plane)
    x, z = np.meshgrid(grid.x, grid.y)
    found = grid["current_density"][0]
    assert (np.isfinite(found) == (x < LENGTH)).all()
    points = np.column_stack([x.ravel(), 0 * x.ravel(), z.ravel()])
    wanted = film_current(points)[:, 0].reshape(x.shape)
    near(found[x < LENGTH], wanted[x < LENGTH], 1e-9)
    # All of the outline, in whatever pieces: walls twice the length, contacts twice the height.
    for walls, wanted in ((True, 2 * LENGTH), (False, 2 * THICKNESS)):
        steps = [np.diff(line, axis=0) for line in result.outline(walls, plane)]
        assert np.linalg.norm(np.concatenate(steps), axis=1).sum() == pytest.approx(wanted)


@pytest.mark.parametrize("degree", [1, 2, 3])
def test_nodes_of_tetrahedra_are_those_of_vtk(degree: int) -> None:
    """DOLFINx knows the order of VTK up to the third degree."""
    nodes = _compat.scalar_element("tetrahedron", degree).points
    order = np.argsort(dolfinx.cpp.io.perm_vtk(dolfinx.mesh.CellType.tetrahedron, len(nodes)))
    np.testing.assert_allclose(nodes[order], vtk_nodes(degree, 3), atol=1e-14)


def test_nodes_of_high_degree() -> None:
    """By the definition of VTK: vertices, edges, faces opposite to y, x, ..., and the inside."""
    lattice = vtk_lattice(5, 3)
    assert sorted(map(tuple, lattice.tolist())) == sorted(
        map(
            tuple, np.rint(_compat.scalar_element("tetrahedron", 5).points * 5).astype(int).tolist()
        )
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
            for column, values in flow.profile(wall_name, 2).items():
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


@pytest.mark.ranks
@serial
def test_ranks_agree(tmp_path: Path) -> None:
    path = tmp_path / "two.json"
    launch(__file__, 2, path)
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
