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

from dataclasses import replace
from functools import cached_property

import numpy as np
from scipy.linalg import cholesky, solve_triangular

from meso.flow.angular import Moments, harmonics
from meso.flow.basis import Tabulated
from meso.materials.fermi_line import PHASES, Contour
from meso.materials.material import Material

#: Points of a quadrature between zeros of v.n, beside two for each harmonic.
POINTS = 96
#: Angular matrices below this count as zero.
ZERO = 1e-13
#: Difference of velocities below which a line is its mirror image.
MIRROR = 1e-9
#: Even harmonics of a distribution beyond N that are shown.
BESIDE = 32
#: Phases at which functions are sampled, and their harmonics in the order of a Fourier transform.
GRID = 2 * np.pi * np.arange(PHASES) / PHASES
HARMONICS = np.fft.fftfreq(PHASES, 1 / PHASES) * (np.arange(PHASES) != PHASES // 2)


class Functions:
    """The functions of one parity.

    Args:
        contour: The line.
        highest: Harmonic, odd or even.
    """

    def __init__(self, contour: Contour, highest: int) -> None:
        self.contour, self.odd = contour, highest % 2 == 1
        self.orders = range(highest % 2, highest + 1, 2)
        self.count = 2 * len(self.orders)
        self._known: dict[tuple[float, bool], np.ndarray] = {}

    def values(self, phases: np.ndarray) -> np.ndarray:
        """At phases (k,), shape (n, k)."""
        raw = harmonics(self.orders, phases)
        if not self.odd:
            return raw
        w = self.contour.velocities(phases)
        raw[0], raw[1] = w.real, w.imag
        return np.asarray(self._mixing @ raw)

    @cached_property
    def _mixing(self) -> np.ndarray:
        """The odd functions from velocity and harmonics, lower triangular."""
        w, raw = self.contour.velocities(GRID), harmonics(self.orders, GRID)
        raw[0], raw[1] = w.real, w.imag
        factor = cholesky(raw @ raw.T / PHASES, lower=True)
        out = solve_triangular(factor, np.eye(self.count), lower=True)
        out[:2] = 0.0
        out[:2, :2] = np.sqrt(2 / self.contour.square) * np.linalg.inv(self.contour.conductivity)
        return out

    def moments(self, turning: float = 0.0) -> Moments:
        """Angular matrices, the other parity eliminated; ``turning`` is omega_c tau."""
        basis, w = self.values(GRID), self.contour.velocities(GRID)
        moved = np.concatenate([part * basis for part in (w.real, w.imag)])
        waves = np.fft.fft(moved) / PHASES
        inverse = 1 / (1 + 1j * turning * HARMONICS)
        if self.odd:
            inverse[0] = 0.0  # the density is conserved
        stress = ((waves.conj() * inverse) @ waves.T).real
        stress = stress.reshape(2, self.count, 2, self.count).swapaxes(1, 2)
        own, rates = np.fft.fft(basis) / PHASES, 1 + 1j * turning * HARMONICS
        if not self.odd:
            rates[0] = 0.0
        relaxation = ((own.conj() * rates) @ own.T).real
        if turning == 0:  # to the last digit
            stress = (stress + stress.transpose(1, 0, 3, 2)) / 2
            relaxation = (relaxation + relaxation.T) / 2
        flux = np.eye(2, self.count) * self.odd
        return Moments(flux=flux, relaxation=_clean(relaxation), stress=_clean(stress))

    def half_range(self, normals: np.ndarray, even: float, odd: float) -> np.ndarray:
        """Integrals <|w.n| f g> for normals (k, 2), shape (k, n, n).

        Parts that are even and odd under P have a factor each.
        """
        found = [self._half_range(n, even, odd) for n in normals]
        return np.array(found).reshape(-1, self.count, self.count)  # a rank may have no walls

    def _half_range(self, normal: np.ndarray, even: float, odd: float) -> np.ndarray:
        # Normals of a straight wall differ by rounding.
        angle = round(float(np.arctan2(normal[1], normal[0])), 12)
        whole = self._integrals(angle, mirrored=False)
        if even == odd:
            return even * whole
        mirrored = self._integrals(angle, mirrored=True)
        return even * (whole + mirrored) / 2 + odd * (whole - mirrored) / 2

    def _integrals(self, angle: float, *, mirrored: bool) -> np.ndarray:
        """<|w.n| f g>, or <|w.n| f Pg>."""
        key = (angle, mirrored)
        if key not in self._known:
            arriving = Arriving(self.contour, angle)
            points = (1 + mirrored) * POINTS + 2 * self.orders[-1]
            phases, weights = arriving.quadrature(points, split=mirrored)
            left = self.values(phases)
            right = self.values(arriving.mirrored(phases)) if mirrored else left
            product = (left * weights) @ right.T
            self._known[key] = _clean((product + product.T) / 2)
        return self._known[key]


class ContourBasis:
    """The basis of :class:`meso.flow.basis.Basis` on a contour.

    Args:
        contour: The line.
        harmonics: N.
    """

    def __init__(self, contour: Contour, harmonics: int) -> None:
        self.contour, self.harmonics = contour, harmonics
        self.unit = float(np.sqrt(2 / contour.square))
        self._odd, self._even = Functions(contour, harmonics - 1), Functions(contour, harmonics)
        self.count = self._odd.count

    def moments(self, material: Material, turning: float = 0.0) -> Moments:  # noqa: D102
        return self._odd.moments(turning)

    def even_moments(self, material: Material) -> Moments:  # noqa: D102
        found, square = self._even.moments(), self.contour.square
        return replace(found, stress=found.stress / square, relaxation=found.relaxation / square)

    def wall(self, even: float, odd: float) -> Tabulated:  # noqa: D102
        return Tabulated(lambda normals: self._odd.half_range(normals, even, odd))

    def even_wall(self, even: float, odd: float) -> Tabulated:  # noqa: D102
        square = self.contour.square
        return Tabulated(lambda normals: self._even.half_range(normals, even, odd) / square)

    def along(
        self, angle: float, *, diffuse: bool
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
        """What the odd functions that are odd under a mirror as well do at a wall.

        Args:
            angle: Of the outward normal.
            diffuse: Whether nothing is reflected. If it is, and v.n changes its sign more than
                twice, chords of a line end elsewhere than its mirror image.

        Returns:
            For orthonormal ones f, the first of which is of the current along the wall:
            <|w.n| f f>, <f (w.n)^2 f>, and <f psi>, shape (k, n). None if no reflection of the
            phase leaves w.n as it is, or the current depends on other functions.
        """
        arriving = Arriving(self.contour, angle)

        def velocity(phases: np.ndarray) -> np.ndarray:
            return arriving.turn * self.contour.velocities(phases)

        def mirror(middle: float) -> bool:
            here, there = velocity(GRID), velocity(2 * middle - GRID)
            even, speed = (here + there).imag, here.real
            even = even - (even @ speed) / (speed @ speed) * speed
            return bool(max(np.abs((here - there).real).max(), np.abs(even).max()) < MIRROR)

        middle = next(filter(mirror, (arriving.begins + arriving.ends) / 2), None)
        if middle is None or not (diffuse or len(arriving.begins) == 1):
            return None

        def functions(phases: np.ndarray) -> np.ndarray:
            sines = harmonics(self._odd.orders, phases - middle)[1::2]
            sines[0] = (velocity(phases) - velocity(2 * middle - phases)).imag
            return sines

        raw, basis = functions(GRID), self._odd.values(GRID)
        phases, weights = arriving.quadrature(POINTS + 2 * self.harmonics, split=False)
        factor = cholesky(raw @ raw.T / PHASES, lower=True)
        whole, half = (solve_triangular(factor, x, lower=True) for x in (raw, functions(phases)))
        stress = (whole * velocity(GRID).real ** 2) @ whole.T / PHASES
        return (half * weights) @ half.T, stress, whole @ basis.T / PHASES

    @property
    def groups(self) -> tuple[list[np.ndarray], list[np.ndarray]]:  # noqa: D102
        pairs = list(np.arange(2, self.count).reshape(-1, 2))
        return pairs[::2], pairs[1::2]

    @property
    def even_groups(self) -> list[np.ndarray]:  # noqa: D102
        return [np.array([0]), *np.arange(2, self._even.count).reshape(-1, 2)]

    @cached_property
    def _seen(self) -> Functions:
        """Even functions that are enough to see a distribution."""
        return Functions(self.contour, self.harmonics + BESIDE)

    def even_part(  # noqa: D102
        self, slopes: np.ndarray, material: Material, turning: float = 0.0
    ) -> np.ndarray:
        w = self.contour.velocities(GRID)
        moved = ((slopes @ self._odd.values(GRID)) * [w.real, w.imag]).sum(axis=0)
        waves = np.fft.fft(moved) / (1 + 1j * turning * HARMONICS)
        return -self._seen.values(GRID)[2:] @ np.fft.ifft(waves).real / PHASES

    def table(self, count: int) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:  # noqa: D102
        phases = 2 * np.pi * np.arange(count) / (count - 1)
        w = self.contour.velocities(phases)
        columns = {"phase_rad": phases, "theta_rad": np.angle(w)}
        return columns, self._odd.values(phases), self._seen.values(phases)[2:]


class Arriving:
    """The carriers that arrive at a wall, v.n > 0.

    Args:
        contour: The line.
        angle: Of the outward normal.
    """

    def __init__(self, contour: Contour, angle: float) -> None:
        self.contour, self.turn = contour, np.exp(-1j * angle)
        # Not where symmetric lines have zeros, which are so to rounding only.
        grid = 2 * np.pi * (np.arange(PHASES + 1) + 0.382) / PHASES
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
        after = (phases - self.begins[:, None] + 1e-6) % (2 * np.pi)
        inside = after < (self.ends - self.begins)[:, None] + 2e-6
        number = (~inside & (above > here.real)).sum(axis=0)
        number = np.minimum(number, np.maximum(np.isfinite(below).sum(axis=0), 1) - 1)
        order = np.argsort(-below, axis=0)[number, np.arange(len(phases))]
        return np.asarray(leaving[order, np.arange(len(phases))] - np.pi)

    def _heights(self, phases: np.ndarray, along: np.ndarray) -> np.ndarray:
        """Momenta along the normal where those along the wall are right, else -inf."""
        wave = self._wave(phases)
        return np.where(np.abs(wave.imag - along) < 1e-9, wave.real, -np.inf)


def _clean(matrix: np.ndarray) -> np.ndarray:
    """Without what is zero but for rounding."""
    return np.where(np.abs(matrix) < ZERO * max(1.0, np.abs(matrix).max()), 0.0, matrix)
