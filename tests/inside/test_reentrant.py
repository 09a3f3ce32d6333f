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
    assert not farther(directions([-10, 100]), ONE, OTHER)[0].any()


def test_it_continues_what_was_before() -> None:
    """Beside the corner the distances differ by r - r cos(angle), which is even in the angle."""
    [found] = farther(directions([2]), OTHER, ONE)[0]
    assert found == pytest.approx(1 - np.cos(np.deg2rad(2)), rel=0.02)


def test_derivatives() -> None:
    """Against central differences."""
    at, step = 3 * directions([50, 60, 75]), 1e-6
    _, slope, along_one, along_other = farther(at, ONE, OTHER)
    numbers = [
        (farther(at + step * e, ONE, OTHER)[0] - farther(at - step * e, ONE, OTHER)[0]) / (2 * step)
        for e in np.eye(2)
    ]
    assert slope == pytest.approx(np.transpose(numbers), rel=1e-7)
    radial = (farther(at, ONE, OTHER)[0] / 9)[:, None] * at
    expected = along_one[:, None] * ONE + along_other[:, None] * OTHER - radial
    assert slope == pytest.approx(expected)
