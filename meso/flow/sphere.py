"""Spherical harmonics on a Fermi sphere.

In a plane section nothing depends on z, and distributions are even in v_z: of the real harmonics of
degree l those with l + m even, f_lm(v_z) cos m phi and f_lm sin m phi, phi in the plane. They are
pairs as on a line. As |v.n| and v_i are those of the line times sqrt(1 - v_z^2), so are all angular
matrices, with the mean of sqrt(1 - v_z^2) f f' over the polar angle (:func:`overlap`).

With N "harmonics" the odd degrees up to L = N - 1 are kept, (L + 1)(L + 3)/4 moments, and the even
ones up to N are eliminated; N = 2 is the hydrodynamic model, l^2 = lambda^2/5.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import roots_chebyu, roots_legendre, sph_legendre_p

from meso.flow.basis import Circle, Pairs


@dataclass(frozen=True, slots=True)
class SectionPairs(Pairs):
    """Functions f_lm cos m phi and f_lm sin m phi in a plane section."""

    @classmethod
    def upto(cls, first: int, last: int) -> SectionPairs:
        """All of every other degree."""
        both = [(n, m) for n in range(first, last + 1, 2) for m in range(n % 2, n + 1, 2)]
        degrees, orders = zip(*both, strict=True)
        return cls(degrees, orders)

    def _each(self, other: Pairs, power: int, matrix: np.ndarray) -> np.ndarray:
        """A matrix of pairs on the line times what the polar angle makes of it."""
        polar = overlap(self, other, power)
        width = matrix.shape[-1] // polar.shape[-1]
        return np.asarray(matrix * np.kron(polar, np.ones((width, width))))

    # Not super(): a dataclass with slots is another class than the one that is defined here.
    def streaming(self, other: Pairs) -> np.ndarray:  # noqa: D102
        return self._each(other, 1, Pairs.streaming(self, other))

    def half_range(self, even: float, odd: float) -> np.ndarray:  # noqa: D102
        return self._each(self, 1, Pairs.half_range(self, even, odd))

    def outgoing(self, other: Pairs) -> np.ndarray:  # noqa: D102
        return self._each(other, 0, Pairs.outgoing(self, other))

    def values(self, angles: np.ndarray) -> np.ndarray:  # noqa: D102
        polar = _polar(self.degrees, self.orders, np.zeros(1))
        return np.asarray(np.repeat(polar, 2, axis=0) * Pairs.values(self, angles))


@dataclass(frozen=True)
class Section(Circle):
    """Harmonics on a Fermi sphere where nothing depends on z."""

    unit: float = float(np.sqrt(3))

    def pairs(self, first: int, last: int) -> Pairs:  # noqa: D102
        return SectionPairs.upto(first, last)


def overlap(one: Pairs, two: Pairs, power: int) -> np.ndarray:
    """Means of (1 - z^2)^(power/2) f_lm f_l'm' over -1 < z < 1, shape (pairs, pairs)."""
    # Products of f have a factor (1 - z^2)^(1/2) where m + m' is odd: with it and the power, what
    # is left is a polynomial, for which one of these rules is exact.
    count = (max(one.degrees) + max(two.degrees)) // 2 + 2
    if (one.orders[0] + two.orders[0] + power) % 2:
        z, weight = roots_chebyu(count)
        weight = weight / np.sqrt(1 - z * z)
    else:
        z, weight = roots_legendre(count)
    weight = weight * (1 - z * z) ** (power / 2) / 2
    return np.asarray(
        (_polar(one.degrees, one.orders, z) * weight) @ _polar(two.degrees, two.orders, z).T
    )


def _polar(degrees: Sequence[int], orders: Sequence[int], z: np.ndarray) -> np.ndarray:
    """f_lm at v_z = z, of mean square one, shape (pairs, points)."""
    n, m = np.array(degrees)[:, None], np.array(orders)[:, None]
    # Without the sign of Condon and Shortley, so that the first moments are J.
    values = np.sqrt(4 * np.pi) * (-1.0) ** m * sph_legendre_p(n, m, np.arccos(z))[0]
    return np.asarray(values)
