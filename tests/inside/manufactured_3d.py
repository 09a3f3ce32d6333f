"""Manufactured flows in a unit cube: smooth J and phi, and the loads that make them the solution.

The equations are those of :mod:`manufactured`, with the stress of three dimensions

    T = grad J + grad J^T - (2/3) div J I,      div T = laplacian J + (1/3) grad div J.

J is the curl of the vector potential (-F2 G, F1 G, 0) with F1, F2 functions of x and y and G of z,

    J = (-F1 G', -F2 G', (d_x F1 + d_y F2) G),

plus the gradient of a function q, which has divergence and crosses the walls. G vanishes at
z = 0 and 1, the walls, and F2 = d_x F1 = 0 at x = 0 and 1: without q no current flows along
the contacts there. All functions are sums of products of functions of one coordinate, so that
every derivative is explicit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.polynomial import Polynomial

#: A function of one coordinate and its derivatives: n, t -> value of the n-th derivative.
Factor = Callable[[int, np.ndarray], np.ndarray]


def sine(frequency: float, phase: float = 0.0) -> Factor:
    """sin(w t + phase); a cosine with phase pi/2."""
    return lambda n, t: frequency**n * np.sin(frequency * t + phase + n * np.pi / 2)


def exponential(rate: float) -> Factor:
    """exp(r t)."""
    return lambda n, t: rate**n * np.exp(rate * t)


def polynomial(*coefficients: float) -> Factor:
    """A polynomial, lowest power first."""
    p = Polynomial(coefficients)
    return lambda n, t: (p.deriv(n) if n else p)(t)


@dataclass(frozen=True)
class Separable:
    """A sum of products f(x) g(y) h(z), each with the orders of its derivatives.

    Attributes:
        terms: Amplitude, factors, orders of each product.
    """

    terms: tuple[tuple[float, tuple[Factor, Factor, Factor], tuple[int, int, int]], ...]

    @classmethod
    def product(cls, f: Factor, g: Factor, h: Factor, amplitude: float = 1.0) -> Separable:
        return cls(((amplitude, (f, g, h), (0, 0, 0)),))

    def __add__(self, other: Separable) -> Separable:
        return Separable(self.terms + other.terms)

    def __mul__(self, factor: float) -> Separable:
        return Separable(tuple((factor * a, f, n) for a, f, n in self.terms))

    def d(self, *directions: int) -> Separable:
        """Derivative along one direction after the other."""
        if not directions:
            return self
        first, *rest = directions
        step = np.eye(3, dtype=int)[first]
        terms = tuple((a, f, tuple(np.add(n, step))) for a, f, n in self.terms)
        return Separable(terms).d(*rest)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        out = np.zeros(x.shape[:-1])
        for amplitude, factors, orders in self.terms:
            value = amplitude
            for i, (f, n) in enumerate(zip(factors, orders, strict=True)):
                value = value * f(int(n), x[..., i])
            out += value
        return out


def _sum(parts: Sequence[Separable]) -> Separable:
    return Separable(tuple(term for part in parts for term in part.terms))


@dataclass(frozen=True, kw_only=True)
class Manufactured3D:
    """A manufactured flow in the unit cube; positions x have shape (..., 3).

    Attributes:
        relaxation: rho.
        stress: mu.
        slip: s.
        gradient: Amplitude of grad q.
    """

    relaxation: float
    stress: float
    slip: float
    gradient: float = 0.0

    @cached_property
    def J(self) -> tuple[Separable, ...]:
        """The components of J."""
        G = polynomial(0.0, 1.0, -0.7, -0.3)  # z (1 - z)(1 + 0.3 z)
        first = Separable.product(sine(np.pi, np.pi / 2), sine(1.3, 0.4), G)
        second = Separable.product(sine(np.pi), sine(2.1, 0.2 + np.pi / 2), G, 0.8)
        curl = (first.d(2) * -1, second.d(2) * -1, first.d(0) + second.d(1))
        q = Separable.product(sine(1.7, 0.3), exponential(0.6), sine(1.2, 0.9), self.gradient)
        return tuple(part + q.d(i) for i, part in enumerate(curl))

    @cached_property
    def phi(self) -> Separable:
        """The potential."""
        return Separable.product(sine(2.0, 0.3), exponential(0.8), sine(1.5, 0.7))

    @cached_property
    def divergence(self) -> Separable:
        """div J."""
        return _sum([part.d(i) for i, part in enumerate(self.J)])

    def current(self, x: np.ndarray) -> np.ndarray:
        """J."""
        return np.stack([part(x) for part in self.J], axis=-1)

    def potential(self, x: np.ndarray) -> np.ndarray:
        """phi."""
        return self.phi(x)

    def tensor(self, x: np.ndarray) -> np.ndarray:
        """T, shape (..., 3, 3)."""
        rows = [np.stack([self.J[k].d(i)(x) for k in range(3)], axis=-1) for i in range(3)]
        slope = np.stack(rows, axis=-2)
        trace = np.trace(slope, axis1=-2, axis2=-1)[..., None, None]
        return slope + slope.swapaxes(-1, -2) - 2 / 3 * trace * np.eye(3)

    def body(self, x: np.ndarray) -> np.ndarray:
        """Load in the conductor."""
        parts = []
        for i, part in enumerate(self.J):
            viscous = _sum([part.d(j, j) for j in range(3)]) + self.divergence.d(i) * (1 / 3)
            parts.append(self.relaxation * part(x) - self.stress * viscous(x) + self.phi.d(i)(x))
        return np.stack(parts, axis=-1)

    def source(self, x: np.ndarray) -> np.ndarray:
        """Divergence of J."""
        return self.divergence(x)
