"""What divides the points beyond re-entrant corners, at which two pieces of a wall end."""

import numpy as np
import pytest

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
