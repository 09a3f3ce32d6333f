"""Descent within limits, and what the limits of shapes measure."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from meso.designing.descent import Limits, descend
from meso.designing.limits import Shape
from meso.designing.outline import Outline, area, crosses_itself, curvatures, distances, slopes
from meso.errors import GeometryError


@dataclass
class Valley:
    """Rosenbrock's valley on the unit disc; there is nothing where x > 0.9."""

    x: np.ndarray

    @property
    def value(self) -> float:
        x, y = self.x
        return float((1 - x) ** 2 + 100 * (y - x**2) ** 2 + 1)

    @property
    def limits(self) -> Limits:
        values, ends = np.array([self.x @ self.x]), (np.array([-np.inf]), np.ones(1))
        slopes = 2 * self.x[None]
        return Limits(values=values, low=ends[0], high=ends[1], slopes=slopes, lasting=1)

    violation = property(lambda self: self.limits.violation)
    lasting = property(lambda self: self.limits.values)

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
    last = steps[-1]
    slope, _ = problem.derived(last)  # is normal to the circle there
    assert last.x @ last.x == pytest.approx(1) and slope @ last.x < 0
    assert slope @ (last.x[1], -last.x[0]) == pytest.approx(0, abs=1e-3)
    assert steps[-1].violation == 0
    inside = [p.value for p in [problem, *steps] if p.violation == 0]
    assert len(inside) > 3 and (np.diff(inside) < 0).all()


def circle(radius: float = 2.0, edges: int = 20) -> Outline:
    """A disc with edges of degree 2."""
    angle, first = np.arange(2 * edges) * np.pi / edges, 2 * np.arange(edges)
    zero = np.zeros(edges, np.int64)
    return Outline(
        points=radius * np.column_stack([np.cos(angle), np.sin(angle)]),
        nodes=np.arange(2 * edges),
        edges=np.column_stack([first, first + 1, (first + 2) % (2 * edges)]),
        **dict.fromkeys(("loop", "boundary", "piece"), zero),
        names=("wall",),
    )


def test_derivatives_of_measures() -> None:
    """Against differences."""
    disc, at = circle(), np.array([[0, 5, 10], [38, 1, 4]])
    motion = np.random.default_rng(2).normal(size=disc.points.shape)
    for measure, arguments in ((area, ()), (curvatures, (at,)), (distances, (at[:, :2],))):
        ends = [measure(disc.at(disc.points + h * motion), *arguments) for h in (1e-5, -1e-5)]
        found = slopes(measure, disc, motion[None], *arguments)[:, 0]
        assert found == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-7)


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
