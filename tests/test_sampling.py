"""Values at points, on curved cells too, and what the ranks tell each other."""

import subprocess
import sys

import numpy as np
import pytest
from conftest import GEOMETRIES
from mpi4py import MPI
from test_cli import environment

from meso.cells import cells_of, facet_geometry, lagrange
from meso.device import Device
from meso.fields import Field
from meso.mpi import concatenated, largest, on_root, smallest, together, total
from meso.sampling import locate, sample

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


def field(device, function, degree):
    """Interpolate; a quadratic is of degree 2 g in the reference coordinates of curved cells."""
    cells = cells_of(device)
    places = cells.positions(np.arange(cells.count), lagrange(device, degree).points)
    values = function(places * device.extent)
    values = values.reshape(*places.shape[:2], -1)
    return Field(name="f", unit="V", device=device, degree=degree, values=values)


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
    f = field(device, quadratic, 2 * cells_of(device).degree)
    points = inside(device)
    found = sample(device, [f], points)["f"]
    assert found.shape == (400,)
    np.testing.assert_allclose(found, quadratic(points), rtol=0, atol=20 * ROUNDING)


def test_vectors_and_a_third_coordinate(plate):
    def twofold(x):
        return np.stack([quadratic(x), x[..., 0] / NM], axis=-1)

    f = field(plate, twofold, 2)
    points = inside(plate, 20)
    found = sample(plate, [f], np.column_stack([points, np.full(20, 3.0)]))["f"]
    assert found.shape == (20, 2)
    np.testing.assert_allclose(found, twofold(points), rtol=ROUNDING, atol=20 * ROUNDING)
    assert sample(plate, [f], [100 * NM, 0.0])["f"].shape == (1, 2)


def test_outside_is_nan(bend):
    """A hair off the walls, in the hole, in the corner of the bounding box, far away."""
    # Quadratic cells leave the circle by less than 0.05 nm; at some angles the point is in the
    # bounding box of a cell.
    radius, angle = np.meshgrid([99.95, 200.05, 50.0, 280.0, 1e6], np.linspace(0.05, 1.5, 60))
    x = np.column_stack([(radius * part(angle)).ravel() for part in (np.cos, np.sin)]) * NM
    f = field(bend, quadratic, 4)
    assert np.isnan(sample(bend, [f], x)["f"]).all()
    two = Field(name="f", unit="V", device=bend, degree=4, values=np.repeat(f.values, 2, axis=2))
    assert np.isnan(sample(bend, [two], x)["f"]).all()
    x = x[np.isin(radius.ravel(), [99.95, 200.05])]
    x *= np.where(np.hypot(*x.T) < 150 * NM, 100.05 / 99.95, 199.95 / 200.05)[:, None]
    found = sample(bend, [f], x)["f"]
    np.testing.assert_allclose(found, quadratic(x), rtol=0, atol=20 * ROUNDING)


@pytest.mark.parametrize("name", ["plate", "bend"])
def test_points_of_the_boundary_belong_to_the_device(name, request):
    """Ends, middles and others of all boundary facets, curved ones too."""
    device = request.getfixturevalue(name)
    s = np.array([0.0, 0.2, 0.5, 0.9, 1.0])
    facets = device.facets
    places = facet_geometry(cells_of(device), facets.cell, facets.local, s[:, None], s).position
    points = concatenated(device.comm, places.reshape(-1, 2)) * device.extent
    found = sample(device, [field(device, quadratic, 2 * cells_of(device).degree)], points)["f"]
    np.testing.assert_allclose(found, quadratic(points), rtol=0, atol=20 * ROUNDING)


def test_vertices_belong_to_one_cell(plate):
    """Where several cells meet, the one that comes first in the drawing has its say."""
    cells = cells_of(plate)
    number = np.asarray(plate.mesh.topology.original_cell_index)[: cells.count].astype(float)
    f = Field(name="f", unit="V", device=plate, degree=0, values=number[:, None, None])
    corner = cells.nodes[:, :3].reshape(-1, 2) * plate.extent
    of = np.repeat(number, 3)
    everywhere = concatenated(plate.comm, corner), concatenated(plate.comm, of)
    found = sample(plate, [f], everywhere[0])["f"]
    for x, value in zip(everywhere[0], found, strict=True):
        # Corners of one vertex agree to rounding, others are nanometres away.
        meeting = everywhere[1][np.abs(everywhere[0] - x).max(axis=1) < 1e-3 * NM]
        assert value == meeting.min()
    assert len(set(found)) < len(set(everywhere[1]))


@pytest.mark.parametrize("name", ["bend", "hook"])
def test_locate_gives_reference_coordinates(name, request):
    device = request.getfixturevalue(name)
    points = inside(device, 50)
    cell, reference = locate(device, points)
    mine = cell >= 0
    assert device.comm.allreduce(mine.sum()) == 50
    cells = cells_of(device)
    for c, at, x in zip(cell[mine], reference[mine], points[mine], strict=True):
        place = cells.positions(np.array([c]), at[None])[0, 0] * device.extent
        # Not below the spacing of numbers as large as the coordinates.
        rounding = max(ROUNDING * device.smallest_cell, 4 * np.spacing(np.abs(x).max()))
        np.testing.assert_allclose(place, x, rtol=0, atol=rounding)


def test_no_points(plate):
    assert sample(plate, [field(plate, quadratic, 2)], np.empty((0, 2)))["f"].shape == (0,)


# --- what the ranks tell each other


class TroubleError(Exception):
    pass


def helpers(comm):
    """What must hold on any number of ranks."""
    rank, size = comm.rank, comm.size
    # Done on rank 0 alone, and known to all.
    assert on_root(comm, lambda: ("from", rank)) == ("from", 0)
    with pytest.raises(TroubleError, match="rank 0"):
        on_root(comm, lambda: fail(rank, 0))
    # Done everywhere, each with its own result; one failure is everybody's.
    assert together(comm, lambda: rank) == rank
    with pytest.raises(TroubleError, match=f"rank {size - 1}"):
        together(comm, lambda: fail(rank, size - 1))
    if size > 1:
        with pytest.raises(TroubleError, match="rank 1"):  # the lowest of those that failed
            together(comm, lambda: fail(rank, 1) if rank >= 1 else None)
    assert total(comm, rank + 1) == size * (size + 1) // 2
    np.testing.assert_array_equal(total(comm, np.array([1.0, rank])), [size, size * (size - 1) / 2])
    assert isinstance(total(comm, 1.5), float)
    assert largest(comm, rank) == size - 1
    assert smallest(comm, -rank) == 1 - size
    rows = concatenated(comm, np.full((rank + 1, 2), rank))  # of different lengths
    np.testing.assert_array_equal(rows[:, 1], np.repeat(range(size), np.arange(size) + 1))
    nothing = concatenated(comm, np.empty((0 if rank else 3, 2)))  # and of none
    assert nothing.shape == (3, 2)


def fail(rank, where):
    if rank >= where:
        raise TroubleError(f"rank {rank}")
    return rank


def test_helpers_here():
    helpers(MPI.COMM_SELF)
    helpers(MPI.COMM_WORLD)


@pytest.mark.skipif(MPI.COMM_WORLD.size > 1, reason="starts its own ranks")
def test_on_three_ranks():
    """Helpers, and the tests above, on ranks that hold a part of the mesh."""
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "0", __file__]
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
