"""Fermi lines that are no circles: contours of 2D materials, symmetric under k -> -k.

The coordinate of a line is the cyclotron phase theta, d theta ~ ds/|v|: the density of states is
uniform in it, and a perpendicular magnetic field turns it. As dk/d theta is v turned by a right
angle, one series says everything, in complex numbers:

    k_x + i k_y = sum over odd m of c_m exp(i m theta),    v_x + i v_y = sum of m c_m exp(i m theta)

in units of sqrt(area/pi) and of the cyclotron frequency.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np

from meso.errors import CaseError
from meso.units import NUMBER, is_number, unit
from meso.validation import Before

if TYPE_CHECKING:
    from meso.bands.model import Model

#: Phases at which a line is sampled; what is rounding in its series, and what in that of a spline.
PHASES, NOTHING, SPLINE = 2048, 2e-15, 1e-9
#: Largest relative distance of a table of points from a line that is symmetric under k -> -k.
SYMMETRIC = 1e-2
#: Largest ratio of the axes of an ellipse, and largest warping of a hexagon.
LONGEST, SHARPEST = 100.0, 0.2


def read_points(path: Path) -> list[list[float]]:
    """Rows of a file with the columns kx, ky, v.

    Raises:
        CaseError: There is no such file, or it is no such table.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = [row for row in csv.reader(file) if row and not row[0].startswith("#")]
        columns = [name.strip() for name in rows[0]]
        at = [columns.index(name) for name in ("kx", "ky", "v")]
        return [[float(row[i]) for i in at] for row in rows[1:]]
    except OSError as error:
        raise CaseError(f'found "{path}"; no such file: {error.strerror}') from None
    except (ValueError, IndexError):
        text = "must have a line with the names kx, ky, v, and below it three numbers a line"
        raise CaseError(f'found "{path}"; {text}') from None


def _rows(value: object) -> object:
    """Rows as tuples, which can be hashed."""
    try:
        return tuple(tuple(map(float, row)) for row in value)  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        raise CaseError(f"found {value!r}; must be a file, or rows of three numbers") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class FermiLine:
    """A contour in k-space, symmetric under k -> -k, and the velocities on it.

    Only the shape counts: its size is the Fermi wave vector, its velocity follows from mean free
    path and conductivity.

    Args:
        kind: "ellipse", of a parabolic band with two masses, or "hexagon", of the band
            energy = (k/f)^2/2 with f = 1 + warping cos 6(phi - angle).
        ratio: Of an ellipse: its second axis over its first. The masses have its square.
        warping: Of a hexagon: it has corners towards angle if positive.
        angle: Of the first axis, or of a corner, to the x-axis of the crystal, degrees.
        points: In place of a kind: rows (k_x, k_y, |v|), once around the line, in any unit.
            v < 0 for holes, whose velocity points inwards.

    Raises:
        CaseError: Values out of range, or points that make no such line.
    """

    kind: Literal["ellipse", "hexagon"] | None = None
    ratio: Annotated[float, NUMBER] | None = None
    warping: Annotated[float, NUMBER] | None = None
    angle: Annotated[float, unit("deg")] = 0.0
    points: Annotated[Any, Before(_rows)] | None = None

    def __post_init__(self) -> None:
        if problems := tuple(self._problems()):
            raise CaseError(*problems)
        self.contour()

    # -- numbers -------------------------------------------------------------------------------

    @classmethod
    def from_bands(cls, model: Model, *, energy: float = 0.0, rays: int = 128) -> FermiLine:
        """The line of a 2D Bloch model without lattice, one of `meso.bands.models`.

        Args:
            model: The model.
            energy: Fermi energy in eV.
            rays: Points.

        Raises:
            CaseError: There is no line at this energy, there are several, or it is not symmetric.
        """
        from meso.bands.geometry import Electrons
        from meso.bands.kmesh import fermi_lines

        mesh = fermi_lines(model, energy, rays)
        lines = mesh.points.reshape(-1, rays, mesh.points.shape[1])
        if not np.allclose(lines, lines[:1], rtol=1e-6):
            text = f"found {len(lines)} Fermi lines of {model.name}; there must be one"
            raise CaseError(("energy", text))
        k, band = lines[0], int(mesh.bands[0])  # type: ignore[index]
        velocity = Electrons(model).bands(k).velocity[:, :2, band]
        speed = np.linalg.norm(velocity, axis=1) * np.sign((velocity * k[:, :2]).sum(axis=1))
        rows = np.column_stack([k[:, :2], speed])
        return cls(points=tuple(map(tuple, rows.tolist())))

    def _problems(self) -> Iterator[tuple[str, str]]:
        if (self.kind is None) == (self.points is None):
            yield "", 'give kind = "ellipse" or "hexagon", or points = "file.csv"'
            return
        if not (is_number(self.angle) and isfinite(self.angle)):
            yield "angle", f"found {self.angle!r}; must be finite"
        wanted = {"ellipse": "ratio", "hexagon": "warping"}.get(self.kind or "", "")
        for key in ("ratio", "warping"):
            value = getattr(self, key)
            if key != wanted and value is not None:
                yield key, "has no effect on this line; remove it"
            elif key == wanted and value is None:
                yield key, f"missing; the {self.kind} needs it"
        if self.kind == "ellipse" and self.ratio is not None:
            if not 1 / LONGEST <= self.ratio <= LONGEST:
                yield "ratio", f"found {self.ratio!r}; must be in {1 / LONGEST:g} … {LONGEST:g}"
        elif self.warping is not None and not abs(self.warping) <= SHARPEST:
            yield "warping", f"found {self.warping!r}; must be in -{SHARPEST:g} … {SHARPEST:g}"

    def contour(self, turn: float = 0.0) -> Contour:
        """The line in numbers.

        Args:
            turn: Of the crystal, degrees.

        Raises:
            CaseError: Points that make no line symmetric under k -> -k.
        """
        return _contour(self, turn)

    def _contour(self, turn: float) -> Contour:
        if self.kind == "ellipse":
            assert self.ratio is not None
            first, second = self.ratio**-0.5, self.ratio**0.5
            orders = np.array([1, -1])
            series = np.array([first + second, first - second], complex) / 2
        else:
            k, least = (self._hexagon(), NOTHING) if self.kind else (self._table(), SPLINE)
            orders, series = _series(k, least)
        series = series * np.exp(1j * np.deg2rad(self.angle + turn))
        return Contour(
            orders=tuple(orders.tolist()),
            series=tuple(series.tolist()),
            holes=self.points is not None and self.points[0][2] < 0,
        )

    def _hexagon(self) -> np.ndarray:
        """K at uniform phases: d theta ~ f^2 d phi."""
        assert self.warping is not None
        a, theta = self.warping, 2 * np.pi * np.arange(PHASES) / PHASES
        phi, scale = theta.copy(), 1 + a * a / 2
        for _ in range(50):  # Newton
            found = phi * scale + a * np.sin(6 * phi) / 3 + a * a * np.sin(12 * phi) / 24
            step = (found / scale - theta) * scale / (1 + a * np.cos(6 * phi)) ** 2
            phi -= step
            if np.abs(step).max() < 1e-15:
                break
        return np.asarray((1 + a * np.cos(6 * phi)) * np.exp(1j * phi))

    def _table(self) -> np.ndarray:
        """K at uniform phases, from a cubic spline through the points."""
        from scipy.interpolate import CubicSpline  # takes long to load

        rows = np.array(self.points, dtype=float)
        if rows.ndim != 2 or rows.shape[1] != 3 or len(rows) < 8 or not np.isfinite(rows).all():
            raise CaseError(("points", "must have at least eight rows of kx, ky, v, all finite"))
        k, speed = rows[:, 0] + 1j * rows[:, 1], rows[:, 2]
        if np.isclose(k[0], k[-1], rtol=0, atol=1e-9 * np.abs(k).max()):
            k, speed = k[:-1], speed[:-1]
        if not ((speed > 0).all() or (speed < 0).all()):
            raise CaseError(("points", "v must be positive, or negative for holes, everywhere"))
        if (np.conj(k) * np.roll(k, -1)).imag.sum() < 0:
            k, speed = k[::-1], speed[::-1]  # counter-clockwise
        k = np.append(k, k[0])
        along = np.append(0.0, np.cumsum(np.abs(np.diff(k))))
        if (np.diff(along) <= 0).any():
            raise CaseError(("points", "two points in a row are the same"))
        line = CubicSpline(along, k, bc_type="periodic")
        fine = np.linspace(0, along[-1], 16 * PHASES + 1)
        slope = CubicSpline(along, np.append(speed, speed[0]), bc_type="periodic")
        rate = np.abs(line(fine, 1)) / np.abs(slope(fine))
        phase = np.append(0.0, np.cumsum((rate[1:] + rate[:-1]) / 2))
        wanted = np.arange(PHASES) / PHASES * phase[-1]
        out = line(CubicSpline(phase, fine)(wanted))
        even = (out + np.roll(out, -PHASES // 2)) / 2
        if np.abs(even).max() > SYMMETRIC * np.abs(out).max():
            text = f"differ from their mirror image under k -> -k by {np.abs(even).max():.2g}"
            raise CaseError(("points", f"{text}; the line must be symmetric about k = 0"))
        return np.asarray(out - even)


@lru_cache(maxsize=64)
def _contour(line: FermiLine, turn: float) -> Contour:
    return line._contour(turn)


def _series(k: np.ndarray, least: float) -> tuple[np.ndarray, np.ndarray]:
    """Odd orders and coefficients of k at uniform phases, for an area of pi."""
    found = np.fft.fft(k) / len(k)
    orders = np.fft.fftfreq(len(k), 1 / len(k)).astype(int)
    area = (orders * np.abs(found) ** 2).sum()
    keep = (orders % 2 != 0) & (np.abs(found) > least * np.abs(found).max())
    return orders[keep], found[keep] / np.sqrt(area)


@dataclass(frozen=True)
class Contour:
    """A line in numbers: with velocities w = v tau/lambda, mean free path lambda.

    As lambda = tau <v^2>/<|v|>, both <w^2> and <|w|> are ``square``, one on a circle.

    Attributes:
        orders: The odd m.
        series: c_m of k_x + i k_y, for an area of pi.
        holes: Whether the velocity points inwards: what is at k then stands for -k.
    """

    orders: tuple[int, ...]
    series: tuple[complex, ...]
    holes: bool = False

    def waves(self, phases: np.ndarray) -> np.ndarray:
        """Wave vectors k_x + i k_y at phases (...)."""
        return self._sum(phases, np.array(self.series))

    def velocities(self, phases: np.ndarray) -> np.ndarray:
        """Velocities w_x + i w_y at phases (...)."""
        return self._scale * self._sum(phases, np.array(self.series) * self.orders)

    def velocity_of(self, change: np.ndarray) -> np.ndarray:
        """Velocity w_x + i w_y that belongs to a change of the wave vector over that of phase."""
        return np.asarray(-1j * self._scale * change)

    def _sum(self, phases: np.ndarray, series: np.ndarray) -> np.ndarray:
        return np.asarray(np.exp(1j * np.multiply.outer(phases, self.orders)) @ series)

    @property
    def turning(self) -> float:
        """Cyclotron frequency times tau over that of electrons on a circle of equal area."""
        return -self._scale if self.holes else self._scale

    @cached_property
    def _scale(self) -> float:
        v = self._sum(2 * np.pi * np.arange(PHASES) / PHASES, np.array(self.series) * self.orders)
        return float(np.abs(v).mean() / (np.abs(v) ** 2).mean())

    @cached_property
    def square(self) -> float:
        """<w^2>."""
        return float(self._scale**2 * (np.abs(self.series * np.array(self.orders)) ** 2).sum())

    @cached_property
    def conductivity(self) -> np.ndarray:
        """sigma_ij over the conductivity, half its trace, shape (2, 2)."""
        w = self.velocities(2 * np.pi * np.arange(PHASES) / PHASES)
        both = np.array([w.real, w.imag])
        return np.asarray(2 * both @ both.T / PHASES / self.square)

    @property
    def anisotropic(self) -> bool:
        """Whether the conductivity is a tensor."""
        return bool(np.abs(self.conductivity - np.eye(2)).max() > 1e-12)
