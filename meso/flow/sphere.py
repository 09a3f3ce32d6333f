"""Spherical harmonics on a Fermi sphere.

In a plane section nothing depends on z, and distributions are even in v_z: of the real harmonics of
degree l those with l + m even, f_lm(v_z) cos m phi and f_lm sin m phi, phi in the plane. They are
pairs as on a line. As |v.n| and v_i are those of the line times sqrt(1 - v_z^2), so are all angular
matrices, with the mean of sqrt(1 - v_z^2) f f' over the polar angle (:func:`overlap`).

With N "harmonics" the odd degrees up to L = N - 1 are kept, (L + 1)(L + 3)/4 moments, and the even
ones up to N are eliminated; N = 2 is the hydrodynamic model, l^2 = lambda^2/5.

On 3D meshes all real harmonics are wanted, (L + 1)(L + 2)/2 odd ones (:class:`Sphere`). Walls may
have any normal: about it they conserve m, and S is the half turn, (-1)^m. A magnetic field along b
adds lambda/R_c b.(v x grad_v) h, which turns the harmonics of each degree among themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.polynomial.legendre import legder, legval
from scipy.special import roots_chebyu, roots_legendre, sph_legendre_p, sph_legendre_p_all

from meso.flow.angular import Moments, eliminated
from meso.flow.basis import Circle, Pairs, Tabulated
from meso.materials.material import Material

#: Degrees or orders of functions.
Labels = Sequence[int] | np.ndarray
#: A direction in space, and that of fields on 2D meshes.
Axis = tuple[float, float, float]
ALONG_Z: Axis = (0.0, 0.0, 1.0)
#: Angular matrices below this count as zero, and numbers in an array of a batch.
ZERO, MANY = 1e-13, 10_000_000


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


@dataclass(frozen=True, slots=True)
class AxialPairs(SectionPairs):
    """The same functions of distributions that are odd in v_z: l + m is odd."""

    @classmethod
    def upto(cls, first: int, last: int) -> AxialPairs:  # noqa: D102
        both = [(n, m) for n in range(first, last + 1, 2) for m in range((n + 1) % 2, n + 1, 2)]
        degrees, orders = zip(*both, strict=True)
        return cls(degrees, orders)

    def half_range(self, even: float, odd: float) -> np.ndarray:  # noqa: D102
        # S, the half turn about the normal, changes the sign of v_z too.
        return SectionPairs.half_range(self, odd, even)


@dataclass(frozen=True)
class Axial(Section):
    """Harmonics in the section of a wire along z, driven along z; the first moment is J_z.

    With N "harmonics" the odd degrees up to L = N - 1 are kept, (L + 1)^2/4 functions.
    """

    def pairs(self, first: int, last: int) -> Pairs:  # noqa: D102
        return AxialPairs.upto(first, last)


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


def _polar(degrees: Labels, orders: Labels, z: np.ndarray) -> np.ndarray:
    """f_lm at v_z = z, of mean square one, shape (pairs, *points)."""
    n, m = (np.reshape(each, (-1, *[1] * z.ndim)) for each in (degrees, orders))
    # Without the sign of Condon and Shortley, so that the first moments are J.
    values = np.sqrt(4 * np.pi) * (-1.0) ** m * sph_legendre_p(n, m, np.arccos(z))[0]
    return np.asarray(values)


@dataclass(frozen=True)
class Harmonics:
    """All real spherical harmonics of every other degree, of mean square one.

    In the order of degrees, and of each m = l, ..., 0, cosine and sine; l = 1 is sqrt(3) v.
    """

    first: int
    last: int

    @property
    def spans(self) -> list[np.ndarray]:
        """Functions of each degree."""
        degrees = np.arange(self.first, self.last + 1, 2)
        starts = np.concatenate([[0], np.cumsum(2 * degrees + 1)])
        return [np.arange(*both) for both in zip(starts[:-1], starts[1:], strict=True)]

    @property
    def count(self) -> int:
        """Number of functions."""
        return sum(map(len, self.spans))

    @cached_property
    def labels(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Degree l, order m, and whether it is a sine, of each function."""
        each = [
            (n, m, sine)
            for n in range(self.first, self.last + 1, 2)
            for m in range(n, -1, -1)
            for sine in ((False, True) if m else (False,))
        ]
        n, m, sine = np.array(each).T
        return n, m, sine.astype(bool)

    def values(self, v: np.ndarray) -> np.ndarray:
        """At directions (3, ...), shape (n, ...)."""
        n, m, sine = self.labels
        along = np.exp(
            1j * np.arange(self.last + 1).reshape(-1, *[1] * (v.ndim - 1)) * np.arctan2(v[1], v[0])
        )
        around = np.concatenate([along.real, along.imag])[m + sine * (self.last + 1)]
        # All at once: far faster than one by one.
        every = sph_legendre_p_all(self.last, self.last, np.arccos(np.clip(v[2], -1.0, 1.0)))[0]
        scale = np.sqrt(4 * np.pi) * (-1.0) ** m * np.where(m, np.sqrt(2), 1.0)
        return every[n, m] * around * scale.reshape(-1, *[1] * (v.ndim - 1))

    @property
    def of_degree(self) -> np.ndarray:
        """Degree l of each function, shape (n,)."""
        return self.labels[0]

    def streaming(self, other: Harmonics) -> np.ndarray:
        """X_i = <own v_i other>, shape (3, n, k)."""
        v, weight = directions(self.last + other.last + 1)
        return _clean((self.values(v) * v[:, None] * weight) @ other.values(v).T)

    def collisions(
        self, material: Material, turning: float = 0.0, axis: Axis = ALONG_Z
    ) -> np.ndarray:
        """The matrix C in a material whose rates do not vary in space, shape (n, n).

        With the rotation about an axis by a magnetic field along it; ``turning`` is lambda/R_c.
        """
        rates = np.diag([float(material.rate(int(n))) for n in self.labels[0]])
        return rates + turning * self.rotation(axis) if turning else rates

    def rotation(self, axis: Axis) -> np.ndarray:
        """<own b.(v x grad_v) own> about an axis b: antisymmetric, each degree by itself."""
        m, sine = self.labels[1:]
        about = np.zeros((self.count, self.count))
        cosines = np.flatnonzero(~sine & (m > 0))
        about[cosines, cosines + 1] = m[cosines]  # d/d phi sin m phi = m cos m phi
        about[cosines + 1, cosines] = -m[cosines]
        (turn,) = self.about(np.array([axis]) / np.linalg.norm(axis))
        out = turn.T @ about @ turn
        return _clean((out - out.T) / 2)

    def about(self, normals: np.ndarray) -> np.ndarray:
        """Functions with the z axis along normals (k, 3), in terms of these, shape (k, n, n).

        Their x and y axes are those of :func:`frames`.
        """
        v, weights = directions(2 * self.last)
        fixed = (self.values(v) * weights).T
        out = np.empty((len(normals), self.count, self.count))
        step = max(1, MANY // fixed.size)
        for start in range(0, len(normals), step):
            here = slice(start, start + step)
            turned = (frames(normals[here]) @ v).swapaxes(0, 1)
            out[here] = self.values(turned).swapaxes(0, 1) @ fixed
        return out

    def half_range(self, even: float, odd: float) -> Tabulated:
        """<|v.n| f g>, with factors of what is even and odd under the half turn about n."""
        n, m, sine = self.labels
        z, weight = _half_line(self.last)
        polar = _polar(n, m, z)
        alike = (m[:, None] == m) & (sine[:, None] == sine)
        about = alike * ((polar * weight * z) @ polar.T) * np.where(m % 2, odd, even)

        def table(normals: np.ndarray) -> np.ndarray:
            turn = self.about(normals)
            out = turn.swapaxes(1, 2) @ about @ turn
            return _clean((out + out.swapaxes(1, 2)) / 2)

        return Tabulated(table)


@dataclass(frozen=True)
class Sphere:
    """All harmonics on a Fermi sphere: the basis of :class:`meso.flow.basis.Basis` in 3D.

    ``axis`` is the direction of the magnetic field, about which carriers turn.
    """

    harmonics: int
    axis: Axis = ALONG_Z
    unit: float = float(np.sqrt(3))

    @cached_property
    def odd(self) -> Harmonics:
        """The unknowns."""
        return Harmonics(1, self.harmonics - 1)

    @cached_property
    def even(self) -> Harmonics:
        """What is eliminated from them."""
        return Harmonics(2, self.harmonics)

    @property
    def count(self) -> int:  # noqa: D102
        return self.odd.count

    def moments(self, material: Material, turning: float = 0.0) -> Moments:  # noqa: D102
        return eliminated(
            self.odd.streaming(self.even),
            self.odd.collisions(material, turning, self.axis),
            self.even.collisions(material, turning, self.axis),
            flux=np.eye(3, self.count),
        )

    def even_moments(self, material: Material) -> Moments:  # noqa: D102
        even, odd = Harmonics(0, self.harmonics), Harmonics(1, self.harmonics + 1)
        return eliminated(
            even.streaming(odd),
            even.collisions(material),
            odd.collisions(material),
            flux=np.zeros((3, even.count)),
        )

    def wall(self, even: float, odd: float) -> Tabulated:  # noqa: D102
        return self.odd.half_range(even, odd)

    def even_wall(self, even: float, odd: float) -> Tabulated:  # noqa: D102
        return Harmonics(0, self.harmonics).half_range(even, odd)

    @property
    def groups(self) -> tuple[list[np.ndarray], list[np.ndarray]]:  # noqa: D102
        # Every degree has one mean over its functions, wherever a normal points.
        return self.odd.spans[1::2], self.odd.spans[2::2]

    @property
    def even_groups(self) -> list[np.ndarray]:  # noqa: D102
        return Harmonics(0, self.harmonics).spans

    @cached_property
    def turns(self) -> np.ndarray:
        """What rotations about x, y and z do to the unknowns, shape (3, n, n)."""
        return np.array([self.odd.rotation(axis) for axis in ((1, 0, 0), (0, 1, 0), (0, 0, 1))])

    @property
    def cyclotron(self) -> tuple[np.ndarray, np.ndarray]:
        """What a magnetic field does to the unknowns and to even functions."""
        return self.odd.rotation(self.axis), self.even.rotation(self.axis)

    def even_part(  # noqa: D102
        self, slopes: np.ndarray, material: Material, turning: float = 0.0
    ) -> np.ndarray:
        moved = np.tensordot(slopes, self.odd.streaming(self.even), ((0, 1), (0, 1)))
        return -np.linalg.solve(self.even.collisions(material, turning, self.axis), moved)

    def table(self, count: int) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:  # noqa: D102
        each = np.linspace(0, 1, count // 10 + 1)
        polar, azimuth = (a.ravel() for a in np.meshgrid(np.pi * each, 2 * np.pi * each))
        across = np.sin(polar)
        v = np.array([across * np.cos(azimuth), across * np.sin(azimuth), np.cos(polar)])
        columns = {"polar_rad": polar, "azimuth_rad": azimuth}
        return columns, self.odd.values(v), self.even.values(v)


def tangential(highest: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Matrices of functions with m = 1 about a normal, which make the current along a wall.

    Up to an even degree: <odd v_n even> and <|v_n| odd odd>, shape (k, k), and 2 <v_t even> over
    outgoing directions for v_t of mean square one, shape (k,).
    """
    odd, even = np.arange(1, highest, 2), np.arange(2, highest + 1, 2)
    z, weight = _half_line(highest + 1)
    one, two = (_polar(n, np.ones_like(n), z) for n in (odd, even))
    return (
        (one * weight * z) @ two.T,
        (one * weight * z) @ one.T,
        (two * weight) @ one[0],
    )


def along_walls(
    functional: np.ndarray, highest: int, normals: np.ndarray, moments: np.ndarray
) -> np.ndarray:
    """Vectors along walls, (k, 3), from functionals of the functions with m = 1 about the normal.

    Args:
        functional: Of each odd degree, shape (degrees,).
        highest: Degree L.
        normals: Shape (k, 3).
        moments: Of all odd functions, shape (k, n).
    """
    found = np.empty(normals.shape)
    for here, each, v, value in _grazing(functional, highest, normals):
        found[here] = (each * (moments[here] @ value)) @ v.T
    return _tangential(found, normals)


def along_walls_transposed(
    functional: np.ndarray, highest: int, normals: np.ndarray, vectors: np.ndarray
) -> np.ndarray:
    """What :func:`along_walls` makes of moments times vectors (k, 3), by moments, shape (k, n)."""
    vectors = _tangential(vectors, normals)
    found = [
        (each * (vectors[here] @ v)) @ value.T
        for here, each, v, value in _grazing(functional, highest, normals)
    ]
    return np.concatenate([np.zeros((0, Harmonics(1, highest).count)), *found])


def _grazing(
    functional: np.ndarray, highest: int, normals: np.ndarray
) -> Iterator[tuple[slice, np.ndarray, np.ndarray, np.ndarray]]:
    """In batches: which normals, factors of directions, these, and weighted odd functions."""
    # Those along t are sqrt(2 (2l + 1)/l(l + 1)) P_l'(v.n) v.t.
    degrees = np.arange(1, highest + 1, 2)
    series = np.zeros(highest + 1)
    series[degrees] = functional * np.sqrt(2 * (2 * degrees + 1) / (degrees * (degrees + 1)))
    v, weights = directions(2 * highest)
    value = Harmonics(1, highest).values(v) * weights
    step = max(1, MANY // v.shape[1])
    for start in range(0, len(normals), step):
        here = slice(start, start + step)
        yield here, legval(normals[here] @ v, legder(series)), v, value


def _tangential(vectors: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Without what is along normals, (k, 3)."""
    return vectors - (vectors * normals).sum(axis=1, keepdims=True) * normals


def _half_line(degree: int) -> tuple[np.ndarray, np.ndarray]:
    """Points and weights over 0 < z < 1, exact for polynomials of degree 2 degree + 1."""
    z, weight = roots_legendre(degree + 1)
    return (z + 1) / 2, weight / 2


def directions(degree: int) -> tuple[np.ndarray, np.ndarray]:
    """Directions (3, k) and weights of a mean over the sphere, exact for polynomials v."""
    z, weight = roots_legendre(degree // 2 + 1)
    angle = 2 * np.pi * (np.arange(degree + 1) + 0.5) / (degree + 1)
    across = np.sqrt(1 - z * z)[:, None]
    both = np.broadcast_arrays(across * np.cos(angle), across * np.sin(angle), z[:, None])
    return np.reshape(both, (3, -1)), np.repeat(weight / 2 / len(angle), len(angle))


def frames(normals: np.ndarray) -> np.ndarray:
    """Rotations (k, 3, 3) that take each normal (k, 3) to the z axis."""
    # One of two axes is not along the normal.
    other = np.where(np.abs(normals[:, :1]) < 0.8, [1.0, 0.0, 0.0], [0.0, 1.0, 0.0])
    first = np.cross(other, normals)
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    return np.stack([first, np.cross(normals, first), normals], axis=1)


def _clean(matrix: np.ndarray) -> np.ndarray:
    return np.where(np.abs(matrix) < ZERO, 0.0, matrix)
