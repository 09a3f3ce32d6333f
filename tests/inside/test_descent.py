"""Descent within limits, and what the limits of shapes measure."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from scipy.optimize import minimize

from meso.designing.descent import Limits, descend, quadratic
from meso.designing.limits import Shape
from meso.designing.outline import Outline, area, crosses_itself, curvatures, distances, slopes
from meso.errors import GeometryError


def test_quadratic_steps() -> None:
    """Within limits; forces that push away from them alone balance the slope of the model."""
    random = np.random.default_rng(1)
    for _ in range(10):
        n, m = 5, 7
        root, g = random.normal(size=(n, n)), random.normal(size=n)
        matrix = root @ root.T + 0.1 * np.eye(n)
        rows, values = random.normal(size=(m, n)), random.normal(size=m)
        low, high = values - random.random(m), values + random.random(m)
        low[0] = high[0] = values[0] + 0.1
        step, forces = quadratic(matrix, g, Limits(values=values, low=low, high=high, slopes=rows))
        assert np.all(values + rows @ step > low - 1e-9)
        assert np.all(values + rows @ step < high + 1e-9)
        assert np.allclose(g + matrix @ step, rows.T @ forces, atol=1e-8)
        gap = np.where(forces > 0, values + rows @ step - low, high - values - rows @ step)
        assert np.abs(forces * gap).max() < 1e-8


@dataclass
class Valley:
    """Rosenbrock's valley on the unit disc; there is nothing where x > 0.9."""

    x: np.ndarray
    radius: float = 1.0

    @property
    def value(self) -> float:
        x, y = self.x
        return float((1 - x) ** 2 + 100 * (y - x**2) ** 2 + 1)

    @property
    def violation(self) -> float:
        return self.limits.violation

    @property
    def lasting(self) -> np.ndarray:
        return self.limits.values

    @property
    def limits(self) -> Limits:
        high = np.array([self.radius**2])
        return Limits(
            values=np.array([self.x @ self.x]),
            low=np.array([-np.inf]),
            high=high,
            slopes=2 * self.x[None],
            lasting=1,
        )

    # The problem is its own place.
    def at(self, x):
        if x[0] > 0.9:
            raise GeometryError("folds")
        return replace(self, x=x)

    def derived(self, place):
        x, y = place.x
        slope = np.array([-2 * (1 - x) - 400 * x * (y - x**2), 200 * (y - x**2)])
        return slope, place.limits

    def mended(self, x):
        return x

    def length(self, step):
        return float(np.abs(step).max()) / 0.3

    def metric(self):
        return np.eye(2)


@pytest.mark.parametrize("start", [(-0.5, 0.5), (0.3, -2.0)])
def test_descent(start) -> None:
    """To the minimum on the circle; each step that is inside improves the function."""
    problem = Valley(np.array(start))
    steps = [step.place for step in descend(problem, problem, tolerance=1e-10)]
    exact = minimize(
        lambda x: Valley(x).value,
        (0.5, 0.5),
        constraints={"type": "ineq", "fun": lambda x: 1 - x @ x},
        method="SLSQP",
        tol=1e-14,
    )
    assert steps[-1].x == pytest.approx(exact.x, abs=1e-4)
    assert steps[-1].violation == 0
    inside = [p.value for p in [problem, *steps] if p.violation == 0]
    assert len(inside) > 3 and (np.diff(inside) < 0).all()


def circle(radius: float = 2.0, edges: int = 20) -> Outline:
    """A disc with edges of degree 2."""
    angle = np.arange(2 * edges) * np.pi / edges
    points = radius * np.column_stack([np.cos(angle), np.sin(angle)])
    first = 2 * np.arange(edges)
    zero = np.zeros(edges, np.int64)
    return Outline(
        points=points,
        nodes=np.arange(2 * edges),
        edges=np.column_stack([first, first + 1, (first + 2) % (2 * edges)]),
        loop=zero,
        boundary=zero,
        piece=zero,
        names=("wall",),
    )


def test_measures_of_shapes() -> None:
    """Of a disc, and their derivatives against differences."""
    disc = circle()
    assert area(disc)[0] == pytest.approx(np.pi * 4, rel=1e-4)
    at = np.array([[0, 5, 10], [38, 1, 4]])
    assert curvatures(disc, at) == pytest.approx([0.5, 0.5])
    random = np.random.default_rng(2)
    motions = random.normal(size=(3, *disc.points.shape))
    pairs = np.array([[0, 20], [3, 9]])
    for measure, arguments in ((area, ()), (curvatures, (at,)), (distances, (pairs,))):
        found = slopes(measure, disc, motions, *arguments)
        for k, motion in enumerate(motions):
            ends = [measure(disc.at(disc.points + h * motion), *arguments) for h in (1e-5, -1e-5)]
            assert found[:, k] == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-7)


def test_limits_of_shapes() -> None:
    disc, still = circle(), np.zeros((0, 40, 2))

    def exceeded(**limits) -> float:
        shape = Shape(moving=("wall",), walls=("wall",), spacing=0.3, **limits)
        return shape.limits(disc, still).violation

    assert exceeded(area=(10.0, 13.0)) == 0 and exceeded(area=(0.0, 6.0)) > 0.9
    assert exceeded(width=3.7) == 0 and 0.2 <= exceeded(width=5.0) < 0.25
    assert not crosses_itself(disc)
    assert crosses_itself(disc.at(disc.points * np.where(np.arange(40) < 20, 1, -1)[:, None]))
    assert exceeded(radius=1.9) == 0 and exceeded(radius=4.0) == pytest.approx(1.0, rel=1e-3)
    assert exceeded(box=((-3.0, -3.0), (3.0, 3.0))) == 0
    assert exceeded(box=((-3.0, -3.0), (3.0, 1.0))) == pytest.approx(1 / 6, rel=1e-3)
