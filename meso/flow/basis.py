"""Functions on the Fermi surface in which distributions are expanded.

A basis has odd functions, whose moments are the unknowns of the flow (the first ones are J), and
even ones, which relax where they are. The kinetic model asks for

- the angular matrices of the conductor, with one parity eliminated: :meth:`Basis.moments`,
  :meth:`Basis.even_moments`;
- those of boundaries, :class:`WallMatrix`: integrals over half of the directions for every normal.
  With S the specular reflection times the inversion, which maps the outgoing directions to
  themselves, walls do one thing to functions that are even under S, and another to odd ones:
  :meth:`Basis.wall`, :meth:`Basis.even_wall`;
- which moments a preconditioner may take together;
- the functions themselves, to see distributions.

On a round line, and in a plane section of a sphere, functions come in :class:`Pairs`,
f cos m phi and f sin m phi, that turn with the normal. Other bases have a matrix for each normal
(:class:`Tabulated`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from meso.flow.angular import (
    Moments,
    about,
    collisions,
    eliminated,
    half_range,
    harmonics,
    streaming,
)
from meso.materials.material import Material

#: A linear map of values at points, shape (points, n).
Applied = Callable[[np.ndarray], np.ndarray]


class WallMatrix:
    """An angular matrix of boundary terms, wherever the normal points."""

    def at(self, normals: np.ndarray) -> np.ndarray:
        """In the fixed frame at normals (..., d), shape (..., n, n)."""
        raise NotImplementedError

    def on(self, normals: np.ndarray) -> Applied:
        """The map of values at points with these normals, (points, d); prepared for many calls."""
        raise NotImplementedError

    def mean(self, normals: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """The mean of some diagonal entries at normals (points, d), of shape (points,) or one."""
        raise NotImplementedError

    def part(self, columns: np.ndarray) -> WallMatrix:
        """What some functions do to each other; both functions of a pair, if there are pairs."""
        raise NotImplementedError

    def changed(self, change: Applied) -> WallMatrix:
        """With another matrix, by a map of arrays (..., n, n) that turns with the normal."""
        raise NotImplementedError

    def without(self, first: int) -> WallMatrix:
        """Without what the first functions, a whole multiplet, do to themselves."""

        def change(matrix: np.ndarray) -> np.ndarray:
            out = matrix.copy()
            out[..., :first, :first] = 0.0
            return out

        return self.changed(change)

    def levelled(self) -> WallMatrix:
        """With the best level of emitted carriers at each point; the first function is one."""

        def change(matrix: np.ndarray) -> np.ndarray:
            first = matrix[..., :1]
            return np.asarray(matrix - first * first.swapaxes(-1, -2) / matrix[..., :1, :1])

        return self.changed(change)


@dataclass(frozen=True, slots=True, eq=False)
class Turned(WallMatrix):
    """A matrix of pairs that turns with the normal; about it cosines and sines decouple.

    Attributes:
        matrix: About the normal, shape (n, n), cosine and sine by turns.
        orders: m of each pair.
    """

    matrix: np.ndarray
    orders: Sequence[int] | np.ndarray

    def at(self, normals: np.ndarray) -> np.ndarray:  # noqa: D102
        return about(normals, self.orders, self.matrix)

    def on(self, normals: np.ndarray) -> Applied:  # noqa: D102
        angle = np.array(self.orders) * np.arctan2(normals[:, 1], normals[:, 0])[:, None]
        cosine, sine = np.cos(angle), np.sin(angle)
        cosines, sines = self.matrix[::2, ::2], self.matrix[1::2, 1::2]

        def apply(value: np.ndarray) -> np.ndarray:
            c, s = value[:, ::2], value[:, 1::2]
            along = (cosine * c + sine * s) @ cosines
            across = (cosine * s - sine * c) @ sines
            out = np.empty_like(value)
            out[:, ::2] = cosine * along - sine * across
            out[:, 1::2] = sine * along + cosine * across
            return out

        return apply

    def mean(self, normals: np.ndarray, columns: np.ndarray) -> np.ndarray:  # noqa: D102
        return np.asarray(self.matrix[columns, columns].mean())

    def part(self, columns: np.ndarray) -> Turned:  # noqa: D102
        orders = np.array(self.orders)[columns[::2] // 2]
        return Turned(self.matrix[np.ix_(columns, columns)], orders)

    def changed(self, change: Applied) -> Turned:  # noqa: D102
        return Turned(change(self.matrix), self.orders)


@dataclass(frozen=True, slots=True, eq=False)
class Tabulated(WallMatrix):
    """A matrix for each normal, made once for each different one.

    Attributes:
        table: From normals (k, d) to matrices, shape (k, n, n), symmetric.
    """

    table: Applied

    def _different(self, normals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Matrices of the different normals, and which one each point, (points, d), has."""
        # Of a straight wall normals differ by rounding.
        _, first, which = np.unique(
            normals.round(12) + 0.0, axis=0, return_index=True, return_inverse=True
        )
        return self.table(normals[first]), which.reshape(-1)

    def at(self, normals: np.ndarray) -> np.ndarray:  # noqa: D102
        matrices, which = self._different(normals.reshape(-1, normals.shape[-1]))
        out = matrices[which]
        return out.reshape(*normals.shape[:-1], *out.shape[1:])

    def on(self, normals: np.ndarray) -> Applied:  # noqa: D102
        matrices, which = self._different(normals)
        if 8 * len(matrices) > len(normals):
            each = matrices[which]
            return lambda value: np.asarray((each @ value[..., None])[..., 0])
        here = [np.flatnonzero(which == i) for i in range(len(matrices))]

        def apply(value: np.ndarray) -> np.ndarray:
            out = np.empty_like(value)
            for own, matrix in zip(here, matrices, strict=True):
                out[own] = value[own] @ matrix
            return out

        return apply

    def mean(self, normals: np.ndarray, columns: np.ndarray) -> np.ndarray:  # noqa: D102
        matrices, which = self._different(normals)
        return np.asarray(matrices[:, columns, columns].mean(axis=1)[which])

    def part(self, columns: np.ndarray) -> Tabulated:  # noqa: D102
        return Tabulated(lambda normals: self.table(normals)[:, columns[:, None], columns])

    def changed(self, change: Applied) -> Tabulated:  # noqa: D102
        return Tabulated(lambda normals: change(self.table(normals)))


class Basis(Protocol):
    """A basis of distributions, of the same functions in all materials.

    All matrices are of means over the Fermi surface, of orthonormal functions.

    Attributes:
        harmonics: N: odd functions up to degree N - 1, even ones up to N.
        unit: Moments are u = unit (sigma/lambda) h, so that the first ones are J.
        count: Number of odd functions n.
    """

    @property
    def harmonics(self) -> int: ...  # noqa: D102

    @property
    def unit(self) -> float: ...  # noqa: D102

    @property
    def count(self) -> int: ...  # noqa: D102

    def moments(self, material: Material, turning: float = 0.0) -> Moments:
        """Odd moments, even ones eliminated; ``turning`` is lambda/R_c."""

    def even_moments(self, material: Material) -> Moments:
        """Even moments up to N, the first of which is the mean, odd ones up to N + 1 eliminated."""

    def wall(self, even: float, odd: float) -> WallMatrix:
        """<|v.n| f g> of odd functions: factors of what is even and odd under S."""

    def even_wall(self, even: float, odd: float) -> WallMatrix:
        """The same of even functions, the first of which is one."""

    @property
    def groups(self) -> tuple[Sequence[np.ndarray], Sequence[np.ndarray]]:
        """Odd functions after J that have one diagonal (cosine and sine), in two halves.

        The conductor couples those of a half to the other one, and less among themselves.
        """

    @property
    def even_groups(self) -> Sequence[np.ndarray]:
        """Even functions likewise, all of them; what no group has is no function, but zero."""

    def even_part(self, slopes: np.ndarray, material: Material, turning: float = 0.0) -> np.ndarray:
        """Even coefficients without the mean from lambda d_i of the odd ones, (d, n)."""

    def table(self, count: int) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
        """Columns that tell directions of motion, and odd and even functions there, (n, count).

        The even ones without the first.
        """


@dataclass(frozen=True, slots=True)
class Pairs:
    """Functions of one parity, f cos m phi and f sin m phi by turns; the sine of m = 0 is zero.

    Attributes:
        degrees: l of each pair, which decides how it relaxes.
        orders: m of each pair. Where it is l throughout, f = 1.
    """

    degrees: tuple[int, ...]
    orders: tuple[int, ...]

    @classmethod
    def line(cls, first: int, last: int) -> Pairs:
        """Harmonics of every other degree on a circle."""
        degrees = tuple(range(first, last + 1, 2))
        return cls(degrees, degrees)

    @property
    def count(self) -> int:
        """Number of functions."""
        return 2 * len(self.orders)

    def streaming(self, other: Pairs) -> np.ndarray:
        """X_i = <own v_i other>, shape (2, n, k)."""
        return streaming(self.orders, other.orders)

    def half_range(self, even: float, odd: float) -> np.ndarray:
        """<|v.n| f g> about the normal, with factors of cosines and sines, shape (n, n)."""
        # S is phi -> -phi.
        return half_range(self.orders, cosines=even, sines=odd)

    def outgoing(self, other: Pairs) -> np.ndarray:
        """2 <own other> over outgoing directions, of sines about the normal, shape (k, k')."""
        m, k = np.array(self.orders)[:, None], np.array(other.orders)
        return np.asarray(np.sinc((m - k) / 2) - np.sinc((m + k) / 2))

    def collisions(self, material: Material, turning: float = 0.0) -> np.ndarray:
        """The matrix C in a material whose rates do not vary in space, shape (n, n)."""
        return collisions(self.orders, [float(material.rate(n)) for n in self.degrees], turning)

    @property
    def of_degree(self) -> np.ndarray:
        """Degree l of each function, shape (n,)."""
        return np.repeat(self.degrees, 2)

    def rotation(self) -> np.ndarray:
        """<own d/d phi own>, shape (n, n): antisymmetric."""
        return collisions(self.orders, [0.0] * len(self.orders), 1.0)

    def values(self, angles: np.ndarray) -> np.ndarray:
        """The functions at directions in the plane, shape (n, k)."""
        return harmonics(self.orders, angles)

    def groups(self, remainder: int | None = None) -> list[np.ndarray]:
        """Columns of each pair, one where there is no sine; of degrees l = remainder mod 4."""
        return [
            np.arange(2 * i, 2 * i + 1 + (m > 0))
            for i, (n, m) in enumerate(zip(self.degrees, self.orders, strict=True))
            if remainder is None or n % 4 == remainder
        ]


@dataclass(frozen=True)
class Circle:
    """Harmonics cos m phi, sin m phi on a round Fermi line."""

    harmonics: int
    #: As of :class:`Basis`.
    unit: float = float(np.sqrt(2))

    def pairs(self, first: int, last: int) -> Pairs:
        """Functions of every other degree."""
        return Pairs.line(first, last)

    @cached_property
    def odd(self) -> Pairs:
        """The unknowns."""
        return self.pairs(1, self.harmonics - 1)

    @cached_property
    def even(self) -> Pairs:
        """What is eliminated from them."""
        return self.pairs(2, self.harmonics)

    @property
    def count(self) -> int:  # noqa: D102
        return self.odd.count

    def moments(self, material: Material, turning: float = 0.0) -> Moments:  # noqa: D102
        return eliminated(
            self.odd.streaming(self.even),
            self.odd.collisions(material, turning),
            self.even.collisions(material, turning),
            flux=np.eye(2, self.count),
        )

    def even_moments(self, material: Material) -> Moments:  # noqa: D102
        even, odd = self.pairs(0, self.harmonics), self.pairs(1, self.harmonics + 1)
        none = np.zeros((2, even.count))
        relaxation, others = even.collisions(material), odd.collisions(material)
        return eliminated(even.streaming(odd), relaxation, others, flux=none)

    def wall(self, even: float, odd: float) -> Turned:  # noqa: D102
        return Turned(self.odd.half_range(even, odd), self.odd.orders)

    def even_wall(self, even: float, odd: float) -> Turned:  # noqa: D102
        pairs = self.pairs(0, self.harmonics)
        return Turned(pairs.half_range(even, odd), pairs.orders)

    @property
    def groups(self) -> tuple[list[np.ndarray], list[np.ndarray]]:  # noqa: D102
        # J goes with the second half: its factor is the largest.
        first, second = self.odd.groups(3), self.odd.groups(1)
        return first, [columns for columns in second if columns[0] > 0]

    @property
    def even_groups(self) -> list[np.ndarray]:  # noqa: D102
        return self.pairs(0, self.harmonics).groups()

    @property
    def turns(self) -> np.ndarray:
        """What rotations about z do to the unknowns, shape (1, n, n)."""
        return self.odd.rotation()[None]

    @property
    def cyclotron(self) -> tuple[np.ndarray, np.ndarray]:
        """What a magnetic field does to the unknowns and to even functions."""
        return self.odd.rotation(), self.even.rotation()

    def even_part(  # noqa: D102
        self, slopes: np.ndarray, material: Material, turning: float = 0.0
    ) -> np.ndarray:
        moved = np.tensordot(slopes, self.odd.streaming(self.even), ((0, 1), (0, 1)))
        return -np.linalg.solve(self.even.collisions(material, turning), moved)

    def table(self, count: int) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:  # noqa: D102
        angles = 2 * np.pi * np.arange(count) / (count - 1)
        return {"theta_rad": angles}, self.odd.values(angles), self.even.values(angles)
