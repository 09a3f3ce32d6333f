"""Angular matrices of a Fermi line that is no circle (:mod:`meso.materials.fermi_line`).

Basis functions are those of the cyclotron phase theta. The first two odd ones are proportional to
the velocity w, so that the first two moments are J; the others are the harmonics m = 3, 5, ...,
made orthogonal to these. The other parity is eliminated on the whole space of the phase:

    stress_ij[a, b] = <psi_a w_i C^-1 w_j psi_b>

without the mean for m = 0. What is of one parity alone is normalised such that forms and
coefficients are those of a circle: psi = sqrt(2/<w^2>) (sigma/sigma_ij) w, h_odd = (lambda/sigma)
sqrt(<w^2>/2) psi u.

A specular wall conserves the momentum along it: a carrier that arrives at k leaves at the other end
of the chord through the Fermi sea along the normal. With the inversion, that maps carriers that
arrive on carriers that arrive, P. The part of the distribution that is even under P is reflected as
the cosines of a circle are, the odd one as the sines.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from scipy.linalg import cholesky, solve_triangular

from meso.flow.angular import Moments, harmonics
from meso.materials.fermi_line import PHASES, Contour

#: Points of a quadrature between zeros of v.n, beside two for each harmonic.
POINTS = 96
#: Angular matrices below this count as zero.
ZERO = 1e-13


class ContourMoments:
    """Moments of one parity on a contour.

    Args:
        contour: The line.
        odd: Highest harmonic of the odd moments, or None.
        even: Highest harmonic of the even moments, in place of it.
    """

    def __init__(self, contour: Contour, *, highest: int, odd: bool) -> None:
        self.contour, self.odd = contour, odd
        self.orders = range(1 if odd else 0, highest + 1, 2)
        self.count = 2 * len(self.orders)
        self._known: dict[tuple[float, bool], np.ndarray] = {}

    # -- basis functions -----------------------------------------------------------------------

    def values(self, phases: np.ndarray) -> np.ndarray:
        """Basis functions at phases (k,), shape (n, k)."""
        raw = harmonics(self.orders, phases)
        if not self.odd:
            return raw / np.sqrt(self.contour.square)
        w = self.contour.velocities(phases)
        raw[0], raw[1] = w.real, w.imag
        return np.asarray(self._mixing @ raw)

    @cached_property
    def _phases(self) -> np.ndarray:
        return 2 * np.pi * np.arange(PHASES) / PHASES

    @cached_property
    def _mixing(self) -> np.ndarray:
        """The odd basis functions from velocity and harmonics, lower triangular."""
        w, raw = self.contour.velocities(self._phases), harmonics(self.orders, self._phases)
        raw[0], raw[1] = w.real, w.imag
        factor = cholesky(raw @ raw.T / PHASES, lower=True)
        out = solve_triangular(factor, np.eye(self.count), lower=True)
        out[:2] = 0.0
        out[:2, :2] = np.sqrt(2 / self.contour.square) * np.linalg.inv(self.contour.conductivity)
        return out

    # -- conductor -----------------------------------------------------------------------------

    def moments(self, turning: float = 0.0) -> Moments:
        """The member of the family; ``turning`` is omega_c tau."""
        basis, w = self.values(self._phases), self.contour.velocities(self._phases)
        orders = np.fft.fftfreq(PHASES, 1 / PHASES)
        orders[PHASES // 2] = 0.0
        waves = np.fft.fft([part * basis for part in (w.real, w.imag)]) / PHASES
        inverse = 1 / (1 + 1j * turning * orders)
        inverse[0] = 0.0 if self.odd else 1.0  # the density is conserved
        stress = np.einsum("iam,m,jbm->ijab", waves.conj(), inverse, waves, optimize=True).real
        own = np.fft.fft(basis) / PHASES
        rates = 1 + 1j * turning * orders
        if not self.odd:
            rates[0] = 0.0
        relaxation = ((own.conj() * rates) @ own.T).real
        if turning == 0:  # to the last digit
            stress = (stress + stress.transpose(1, 0, 3, 2)) / 2
            relaxation = (relaxation + relaxation.T) / 2
        flux = np.eye(2, self.count) * self.odd
        return Moments(flux=flux, relaxation=_clean(relaxation), stress=_clean(stress))

    # -- walls ---------------------------------------------------------------------------------

    def half_range(self, normals: np.ndarray, *, cosines: float, sines: float) -> np.ndarray:
        """Integrals <|w.n| f g> for normals (..., 2), shape (..., n, n).

        Parts that are even and odd under the reflection have a factor each.
        """
        angles = np.arctan2(normals[..., 1], normals[..., 0])
        which, inverse = np.unique(np.round(angles, 13), return_inverse=True)
        out = np.array([self._half_range(a, cosines, sines) for a in which])
        return np.asarray(out[inverse.reshape(angles.shape)])

    def _half_range(self, angle: float, cosines: float, sines: float) -> np.ndarray:
        whole = self._integrals(angle, mirrored=False)
        if cosines == sines:
            return cosines * whole
        mirrored = self._integrals(angle, mirrored=True)
        return cosines * (whole + mirrored) / 2 + sines * (whole - mirrored) / 2

    def _integrals(self, angle: float, *, mirrored: bool) -> np.ndarray:
        """<|w.n| f g>, or <|w.n| f Pg>."""
        key = (float(angle), mirrored)
        if key not in self._known:
            arriving = Arriving(self.contour, angle)
            phases, weights = arriving.quadrature((1 + mirrored) * POINTS + 2 * self.orders[-1], split=mirrored)
            left = self.values(phases)
            right = self.values(arriving.mirrored(phases)) if mirrored else left
            product = (left * weights) @ right.T
            self._known[key] = _clean((product + product.T) / 2)
        return self._known[key]


class Arriving:
    """The carriers that arrive at a wall, v.n > 0.

    Args:
        contour: The line.
        angle: Of the outward normal.
    """

    def __init__(self, contour: Contour, angle: float) -> None:
        self.contour, self.turn = contour, np.exp(-1j * angle)
        grid = 2 * np.pi * np.arange(PHASES + 1) / PHASES
        normal = self._speed(grid)
        up = np.flatnonzero((normal[:-1] <= 0) & (normal[1:] > 0))
        down = np.flatnonzero((normal[:-1] > 0) & (normal[1:] <= 0))
        rises, falls = (self._roots(self._speed, grid[at], grid[at + 1]) for at in (up, down))
        #: Where v.n > 0 begins and ends, and where v.n < 0 does.
        self.begins = rises
        self.ends = falls[np.searchsorted(falls, rises) % len(falls)]
        self.ends = self.ends + 2 * np.pi * (self.ends < self.begins)

    def _speed(self, phases: np.ndarray) -> np.ndarray:
        return np.asarray((self.turn * self.contour.velocities(phases)).real)

    def _wave(self, phases: np.ndarray) -> np.ndarray:
        """Along the normal, and i times along the wall."""
        return self.turn * self.contour.waves(phases)

    @staticmethod
    def _roots(function: object, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        """Roots between places where a function has different signs."""
        low, high = np.array(low, float), np.array(high, float)
        rising = function(high) > 0  # type: ignore[operator]
        for _ in range(60):
            middle = (low + high) / 2
            above = (function(middle) > 0) == rising  # type: ignore[operator]
            high, low = np.where(above, middle, high), np.where(above, low, middle)
        return (low + high) / 2

    def quadrature(self, points: int, *, split: bool) -> tuple[np.ndarray, np.ndarray]:
        """Phases and weights of 2 <w.n f> over v.n > 0, for products of two odd or two even f.

        Split where the chord of some phase ends on another part of the line.
        """
        x, weight = np.polynomial.legendre.leggauss(points)
        # Roots of the distance to the ends are smooth in t.
        t, slope = (1 - np.cos(np.pi * (x + 1) / 2)) / 2, np.pi / 4 * np.sin(np.pi * (x + 1) / 2)
        phases, weights = [], []
        for begin, end in zip(self.begins, self.ends, strict=True):
            for a, b in self._pieces(begin, end) if split else [(begin, end)]:
                phases.append(a + (b - a) * t)
                weights.append((b - a) * slope * weight)
        at = np.concatenate(phases)
        return at, self._speed(at) * np.concatenate(weights) / np.pi

    def _pieces(self, begin: float, end: float) -> list[tuple[float, float]]:
        """Parts of where v.n > 0, between momenta along the wall at which chords appear or end."""
        first, last = self._wave(np.array([begin, end])).imag
        inside = self._critical[(self._critical > first + 1e-9) & (self._critical < last - 1e-9)]
        places = [begin, *self._at(inside, begin, end), end]
        return list(zip(places[:-1], places[1:], strict=True))

    @cached_property
    def _critical(self) -> np.ndarray:
        """Momenta along the wall where v.n has an end or is small, of both signs."""
        grid = 2 * np.pi * np.arange(PHASES) / PHASES
        normal = self._speed(grid)
        least = (normal > 0) & (normal < np.roll(normal, 1)) & (normal <= np.roll(normal, -1))
        phases = np.concatenate([self.begins, self.ends, grid[least]])
        critical = self._wave(phases).imag
        return np.unique(np.round(np.concatenate([critical, -critical]), 12))

    def _at(self, along: np.ndarray, begin: float, end: float) -> np.ndarray:
        """Phases from begin to end with momenta along the wall, which are monotonic there."""
        t = (1 - np.cos(np.pi * np.linspace(0, 1, PHASES))) / 2
        table = begin + (end - begin) * t
        known = self._wave(table).imag
        rising = 1.0 if known[-1] > known[0] else -1.0
        upper = np.clip(np.searchsorted(rising * known, rising * along), 1, PHASES - 1)
        low, high = table[upper - 1], table[upper]
        out = (low + high) / 2
        for _ in range(8):  # Newton
            slope = self._speed(out) / abs(self.contour.turning)
            slope = np.where(np.abs(slope) > 1e-300, slope, 1e-300)
            out = np.clip(out - (self._wave(out).imag - along) / slope, low, high)
        return np.asarray(out)

    def mirrored(self, phases: np.ndarray) -> np.ndarray:
        """P: the other end of the chord along the normal, inverted, of phases (k,)."""
        here = self._wave(phases)
        ends = list(zip(self.begins, self.ends, strict=True))
        arriving, leaving = (
            np.array([self._at(here.imag, a + turn, b + turn) for a, b in ends])
            for turn in (0.0, np.pi)  # v.n < 0 is the inversion of v.n > 0
        )
        # Chords are counted from the highest momentum along the normal downwards.
        above, below = (self._heights(each, here.imag) for each in (arriving, leaving))
        number = (above > here.real + 1e-6).sum(axis=0)
        order = np.argsort(-below, axis=0)[number, np.arange(len(phases))]
        return np.asarray(leaving[order, np.arange(len(phases))] - np.pi)

    def _heights(self, phases: np.ndarray, along: np.ndarray) -> np.ndarray:
        """Momenta along the normal where those along the wall are right, else -inf."""
        wave = self._wave(phases)
        return np.where(np.abs(wave.imag - along) < 1e-9, wave.real, -np.inf)


def _clean(matrix: np.ndarray) -> np.ndarray:
    """Without what is zero but for rounding."""
    return np.where(np.abs(matrix) < ZERO * max(1.0, np.abs(matrix).max()), 0.0, matrix)
