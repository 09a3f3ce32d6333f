"""Values of functions at points, on curved cells too, on any number of ranks."""

import subprocess
import sys

import dolfinx
import numpy as np
import pytest
from conftest import GEOMETRIES
from helpers import cell_degree, nodes_of, on_facets, spread
from mpi4py import MPI
from test_cli import environment

from meso import Device

# Newton's method ends at 1e-13 of a cell; nodes of degree 4 magnify that by less than 100.
ROUNDING = 1e-11
NM = 1e-9


@pytest.fixture(scope="module")
def plate():
    """Straight cells."""
    return Device.from_gmsh(
        GEOMETRIES / "ribbon.geo", length_unit="nm", parameters={"length": 200}, size="40 nm"
    )


@pytest.fixture(scope="module")
def bend():
    """Quadratic cells between radii of 100 nm and 200 nm, a quarter of a circle."""
    return Device.from_gmsh(
        GEOMETRIES / "annulus.geo", length_unit="nm", size="60 nm", geometry_order=2
    )


def quadratic(x):
    """Of order one over 100 nm."""
    a, b = x[..., 0] / 100e-9, x[..., 1] / 100e-9
    return 1 + a - 2 * b + 3 * a * a - a * b + b * b


def interpolated(device):
    """A quadratic is of degree 2 g in the reference coordinates of curved cells."""
    return spread(device, quadratic, 2 * cell_degree(device))


def everywhere(device, points):
    """The same points of all ranks on each of them, shape (m, 2)."""
    return np.concatenate(device.comm.allgather(points.reshape(-1, 2)))


def inside(device, count=400):
    """Random points of the plate or of the bend."""
    random = np.random.default_rng(0).uniform(size=(count, 2))
    if device.source.stem == "ribbon":
        return (random * [200, 100] - [0, 50]) * NM
    inner, outer = (5, 20) if device.smallest_cell < 5 * NM else (100, 200)
    radius = inner + (outer - inner) * (0.005 + 0.99 * random[:, 0])
    angle = np.pi / 2 * random[:, 1]
    return np.column_stack([radius * np.cos(angle), radius * np.sin(angle)]) * NM


@pytest.fixture(scope="module")
def hook():
    """The same around a hole of 5 nm: Newton's method takes some steps at it."""
    return Device.from_gmsh(
        GEOMETRIES / "annulus.geo",
        length_unit="nm",
        size="60 nm",
        geometry_order=2,
        parameters={"inner_radius": 5},
    )


@pytest.mark.parametrize("name", ["plate", "bend", "hook"])
def test_quadratic_fields_are_exact(name, request):
    device = request.getfixturevalue(name)
    points = inside(device)
    found = device.sample(interpolated(device), points)
    assert found.shape == (400,)
    np.testing.assert_allclose(found, quadratic(points), rtol=0, atol=20 * ROUNDING)


def test_vectors_and_a_third_coordinate(plate):
    def twofold(x):
        return np.stack([quadratic(x), x[..., 0] / NM], axis=-1)

    f = spread(plate, twofold, 2)
    points = inside(plate, 20)
    found = plate.sample(f, np.column_stack([points, np.full(20, 3.0)]))
    assert found.shape == (20, 2)
    np.testing.assert_allclose(found, twofold(points), rtol=ROUNDING, atol=20 * ROUNDING)
    assert plate.sample(f, [100 * NM, 0.0]).shape == (1, 2)


def test_continuous_functions(bend):
    """The order of their nodes depends on the edges that cells share."""
    space = dolfinx.fem.functionspace(bend.mesh, ("Lagrange", 4))
    f = dolfinx.fem.Function(space)
    f.interpolate(lambda x: quadratic(x[:2].T))
    points = inside(bend)
    np.testing.assert_allclose(bend.sample(f, points), quadratic(points), atol=20 * ROUNDING)


def test_outside_is_nan(bend):
    """A hair off the walls, in the hole, in the corner of the bounding box, far away."""
    # Quadratic cells leave the circle by less than 0.05 nm; at some angles the point is in the
    # bounding box of a cell.
    radius, angle = np.meshgrid([99.95, 200.05, 50.0, 280.0, 1e6], np.linspace(0.05, 1.5, 60))
    x = np.column_stack([(radius * part(angle)).ravel() for part in (np.cos, np.sin)]) * NM
    f = interpolated(bend)
    assert np.isnan(bend.sample(f, x)).all()
    two = spread(bend, lambda x: np.column_stack([quadratic(x)] * 2), 4)
    assert np.isnan(bend.sample(two, x)).all()
    x = x[np.isin(radius.ravel(), [99.95, 200.05])]
    x *= np.where(np.hypot(*x.T) < 150 * NM, 100.05 / 99.95, 199.95 / 200.05)[:, None]
    np.testing.assert_allclose(bend.sample(f, x), quadratic(x), rtol=0, atol=20 * ROUNDING)


@pytest.mark.parametrize("name", ["plate", "bend"])
def test_points_of_the_boundary_belong_to_the_device(name, request):
    """Ends, middles and others of all boundary facets, curved ones too."""
    device = request.getfixturevalue(name)
    s = np.array([0.0, 0.2, 0.5, 0.9, 1.0])
    ends = np.column_stack([1 - s, s])
    here = np.concatenate([on_facets(device, name, ends) for name in device.boundaries])
    points = everywhere(device, here)
    assert len(points) >= 5 * 8
    found = device.sample(interpolated(device), points)
    np.testing.assert_allclose(found, quadratic(points), rtol=0, atol=20 * ROUNDING)


def test_vertices_belong_to_one_cell(plate):
    """Where several cells meet, the one that comes first in the drawing has its say."""
    nodes = nodes_of(plate)
    number = np.asarray(plate.mesh.topology.original_cell_index)[: len(nodes)].astype(float)
    f = dolfinx.fem.Function(dolfinx.fem.functionspace(plate.mesh, ("DG", 0)))
    f.x.array[f.function_space.dofmap.list[: len(nodes), 0]] = number
    points = everywhere(plate, nodes[:, :3])
    of = np.concatenate(plate.comm.allgather(np.repeat(number, 3)))
    found = plate.sample(f, points)
    for x, value in zip(points, found, strict=True):
        # Corners of one vertex agree to rounding, others are nanometres away.
        meeting = of[np.abs(points - x).max(axis=1) < 1e-3 * NM]
        assert value == meeting.min()
    assert len(set(found)) < len(set(of))


@pytest.mark.parametrize("name", ["bend", "hook"])
def test_positions(name, request):
    """Where the cells are curved the position itself is a test of the place in the cell."""
    device = request.getfixturevalue(name)
    points = inside(device, 50)
    found = device.sample(spread(device, lambda x: x, cell_degree(device)), points)
    # Not below the spacing of numbers as large as the coordinates.
    rounding = max(ROUNDING * device.smallest_cell, 4 * np.spacing(np.abs(points).max()))
    np.testing.assert_allclose(found, points, rtol=0, atol=rounding)


def test_no_points(plate):
    assert plate.sample(interpolated(plate), np.empty((0, 2))).shape == (0,)


@pytest.mark.ranks
@pytest.mark.skipif(MPI.COMM_WORLD.size > 1, reason="starts its own ranks")
def test_on_three_ranks():
    """The tests above, on ranks that hold a part of the mesh."""
    words = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", __file__]
    done = subprocess.run(
        ["mpirun", "-n", "3", *words],
        capture_output=True,
        text=True,
        timeout=120,
        env=environment(),
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert done.stdout.count(" passed") == 3
