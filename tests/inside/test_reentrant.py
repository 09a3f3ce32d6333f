"""What divides the points beyond re-entrant corners, at which two pieces of a wall end."""

from pathlib import Path

import numpy as np
import pytest
from test_walls_3d import written_down

from meso import Device, Wall
from meso.discrete.cells import lagrange
from meso.discrete.fields import Field, continuous
from meso.observables.nearest import Division, division
from meso.observables.reentrant import farther

ONE, OTHER = np.array([1.0, 0.0]), np.array([0.0, -1.0])


def directions(degrees: list[float]) -> np.ndarray:
    """Unit vectors so far from the normal of the first wall, away from it."""
    angle = np.deg2rad(degrees)
    return np.column_stack([-np.sin(angle), np.cos(angle)])


def test_the_bisector_divides() -> None:
    """One of two distances grows: that of the wall on the other side of the bisector."""
    at = directions([10, 44, 46, 80])
    first, second = (farther(at, a, b)[0] for a, b in ((ONE, OTHER), (OTHER, ONE)))
    assert (first > 0).tolist() == [False, False, True, True]
    assert (second > 0).tolist() == [True, True, False, False]
    assert first[::-1] == pytest.approx(second)
    # Where a wall has not ended its own distance counts, and it is nearer.
    assert (farther(directions([-10, 100]), ONE, OTHER)[0] > 0).tolist() == [False, True]


def test_it_is_linear() -> None:
    """So that elements have it, and the bisector, exactly, from where a wall ends on."""
    found = farther(directions([60]) * np.arange(1.0, 4.0)[:, None], ONE, OTHER)[0]
    assert found == pytest.approx(found[0] * np.arange(1, 4))
    assert farther(np.array([[-1.0, 1.0]]), ONE, OTHER)[0] == 0  # s = t = -1


def test_derivatives() -> None:
    """Against central differences."""
    at, step = 3 * directions([50, 60, 75]), 1e-6
    _, slope, along_one, along_other = farther(at, ONE, OTHER)
    numbers = [
        (farther(at + step * e, ONE, OTHER)[0] - farther(at - step * e, ONE, OTHER)[0]) / (2 * step)
        for e in np.eye(2)
    ]
    assert slope == pytest.approx(np.transpose(numbers), rel=1e-7)
    assert slope == pytest.approx(along_one[:, None] * ONE + along_other[:, None] * OTHER)


ANGLE = """
Point(1) = {0, 0, 0}; Point(2) = {100, 0, 0}; Point(3) = {100, 40, 0}; Point(4) = {30, 40, 0};
Point(5) = {30, 80, 0}; Point(6) = {0, 80, 0}; Line(1) = {1, 2}; Line(2) = {2, 3}; Line(3) = {3, 4};
Line(4) = {4, 5}; Line(5) = {5, 6}; Line(6) = {6, 1}; Curve Loop(1) = {1:6};
Plane Surface(1) = {1}; MeshSize {:} = 12;
"""
BAR = """
a[] = Extrude {0, 0, 20} { Surface{1}; Layers{2}; };
Physical Volume("metal") = {1}; Physical Surface("source") = {1};
Physical Surface("drain") = {a[0]}; Physical Surface("walls") = {a[2]:a[7]};
"""
PLATE = 'Physical Surface("metal") = {1}; Physical Curve("walls") = {1:6};\n'


def drawn(path: Path, text: str) -> Device:
    path.write_text(text)
    return Device.from_gmsh(path, length_unit="nm", size="12 nm")


def divided(device: Device, values: np.ndarray) -> tuple[Division, Field]:
    density = continuous("density", "", device, 2, values)
    still = lambda x: np.zeros((len(x), device.dimension))  # noqa: E731
    return division(written_down(device, still, {"walls": Wall(slip_length=0.0)})), density


def on(device: Device) -> np.ndarray:
    """A density that depends on the section."""
    x, y = lagrange(device, 2).space.tabulate_dof_coordinates().T[:2] * 1e7
    return (1 + x + y**2)[:, None]


def test_a_bar_is_divided_as_its_section(tmp_path: Path) -> None:
    """And the shares follow the shape, by central differences."""
    plate, bar = (
        drawn(tmp_path / "plate.geo", ANGLE + PLATE),
        drawn(tmp_path / "bar.geo", ANGLE + BAR),
    )
    (flat, one), (division, density) = (divided(device, on(device)) for device in (plate, bar))
    moments = division.moments(density)[:, 0]
    assert sorted(moments)[2:] == pytest.approx(20e-9 * np.sort(flat.moments(one)[:, 0]), rel=2e-3)
    x, y, z = bar.mesh.geometry.x.T / bar.extent
    motion = np.column_stack([np.sin(2 * y + x), np.cos(3 * x) * y, 0.3 * np.sin(3 * z + x)])
    share, step = np.arange(len(moments))[:, None] ** 2.0, 1e-5

    def moved(step: float) -> float:
        there, same = divided(bar.moved(step * bar.extent * motion), on(bar))
        return float((there.moments(same) * share).sum())

    expected = (moved(step) - moved(-step)) / (2 * step)
    _, nodes = division.derivative(density, share)
    assert (nodes * motion).sum() * bar.extent == pytest.approx(expected, rel=1e-6)


ROUND = """
Point(1) = {0, 0, 0}; Point(2) = {100, 0, 0}; Point(3) = {100, 40, 0}; Point(4) = {45, 40, 0};
Point(5) = {30, 55, 0}; Point(6) = {30, 80, 0}; Point(7) = {0, 80, 0}; Point(8) = {45, 55, 0};
Line(1) = {1, 2}; Line(2) = {2, 3}; Line(3) = {3, 4}; Circle(4) = {4, 8, 5}; Line(5) = {5, 6};
Line(6) = {6, 7}; Line(7) = {7, 1}; Curve Loop(1) = {1:7}; Plane Surface(1) = {1};
MeshSize {:} = 12; Physical Surface("metal") = {1}; Physical Curve("walls") = {1:7};
"""


@pytest.mark.parametrize("text", [ANGLE + PLATE, ROUND], ids=["sharp", "rounded"])
def test_shares_follow_the_shape(tmp_path: Path, text: str) -> None:
    """Beside a sharp and a rounded corner: by central differences, wall by wall."""
    plate = drawn(tmp_path / "plate.geo", text)
    x, y = plate.mesh.geometry.x[:, :2].T / plate.extent
    motion = np.column_stack([np.sin(2 * y + x), np.cos(3 * x) * y])
    values = on(plate)
    division, density = divided(plate, values)
    walls = np.flatnonzero(division.moments(density)[:, 0])
    step = 1e-4

    def moved(k: int) -> np.ndarray:
        there, same = divided(plate.moved(k * step * plate.extent * motion), values)
        return there.moments(same)[walls, 0]

    expected = (moved(1) - moved(-1)) / (2 * step)
    shares = np.eye(len(plate.pieces))[walls][..., None]
    found = [(division.derivative(density, s)[1] * motion).sum() * plate.extent for s in shares]
    assert found == pytest.approx(expected, rel=3e-7, abs=3e-7 * np.abs(expected).max())
