"""Manufactured flows: smooth J and phi, and the loads that make them the solution.

In scaled variables (lengths over ``Device.extent``), with rho = 1/sigma and mu = rho l^2,

    rho J - mu div(T) + grad phi = body,   div J = source,   T = grad J + grad J^T - div J I
    mu T n - phi n = traction       on natural boundaries; on walls with mu s J_t beside it

J is the rotation of a stream function F(a) G(b), a along a strip (or the angle of a bend) and b
across it (or the radius), plus the gradient of a function q. With F = cos(w a),
F'' = -w^2 F, and G a polynomial everything is explicit. G obeys the slip law and vanishes at the
walls: without q the walls carry no load.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.polynomial import Polynomial

ONE = np.eye(2)


@dataclass(frozen=True, kw_only=True)
class Manufactured:
    """A manufactured flow; positions x have shape (..., 2).

    Attributes:
        bend: True for 1/2 < r < 1 and 0 < angle < pi/2, False for the unit square.
        relaxation: rho.
        stress: mu.
        slip: s.
        gradient: Amplitude of grad q, which has divergence and crosses walls.
        phase: Of F; 0 for a flow without tangential current at the contacts.
    """

    bend: bool
    relaxation: float
    stress: float
    slip: float
    gradient: float = 0.0
    phase: float = 0.0

    @property
    def _frequency(self) -> float:
        return 2.0 if self.bend else np.pi

    @cached_property
    def _G(self) -> tuple[Polynomial, ...]:
        """G and three derivatives: (b - b1)(b2 - b)(1 + c b + d b^2) with c, d from the slip."""
        b1, b2 = (0.5, 1.0) if self.bend else (0.0, 1.0)
        b = Polynomial([0.0, 1.0])
        shapes = [(b - b1) * (b2 - b) * b**n for n in range(3)]

        def slip(g: Polynomial) -> list[float]:
            return [
                g.deriv(2)(at)
                - (g.deriv()(at) / at if self.bend else 0.0)
                + sign * self.slip * g.deriv()(at)
                for sign, at in ((-1, b1), (1, b2))
            ]

        rows = np.array([slip(g) for g in shapes]).T
        c, d = np.linalg.solve(rows[:, 1:], -rows[:, 0])
        g = shapes[0] + c * shapes[1] + d * shapes[2]
        g = g / max(abs(g.deriv()(np.linspace(b1, b2, 21))))
        return tuple(g.deriv(n) if n else g for n in range(4))

    def _frame(self, x: np.ndarray) -> tuple[np.ndarray, ...]:
        """a, b, and the unit vectors along them, shape (2, ...)."""
        x, y = x[..., 0], x[..., 1]
        if not self.bend:
            zero, one = np.zeros_like(x), np.ones_like(x)
            return x, y, np.stack([one, zero]), np.stack([zero, one])
        r = np.hypot(x, y)
        return np.arctan2(y, x), r, np.stack([-y, x]) / r, np.stack([x, y]) / r

    def _stream(self, x: np.ndarray) -> tuple[np.ndarray, ...]:
        """F, F', and G, G', G'', G'''; H with laplacian F H, and H'."""
        a, b, _, _ = self._frame(x)
        w = self._frequency
        F, dF = np.cos(w * a + self.phase), -w * np.sin(w * a + self.phase)
        G, G1, G2, G3 = (g(b) for g in self._G)
        if self.bend:
            H = G2 + G1 / b - w**2 * G / b**2
            H1 = G3 + G2 / b - G1 / b**2 - w**2 * (G1 / b**2 - 2 * G / b**3)
        else:
            H, H1 = G2 - w**2 * G, G3 - w**2 * G1
        return F, dF, G, G1, G2, H, H1

    def _rotation(self, x: np.ndarray, F, dF, G, G1) -> np.ndarray:
        """(d_y, -d_x) of F G."""
        _, b, along, across = self._frame(x)
        if self.bend:
            return np.moveaxis(-F * G1 * along + dF * G / b * across, 0, -1)
        return np.moveaxis(F * G1 * along - dF * G * across, 0, -1)

    def _q(self, x: np.ndarray) -> tuple[np.ndarray, ...]:
        """q, its gradient and second derivatives, all times the amplitude; laplacian = -3 q."""
        k = np.array([2.0, 1.0])
        u, v = k[0] * x[..., 0] + 0.4, k[1] * x[..., 1] - 0.3
        sin, cos, up = np.sin(u), np.cos(u), np.exp(v)
        q = self.gradient * sin * up
        slope = self.gradient * np.stack([2 * cos * up, sin * up], axis=-1)
        mixed = self.gradient * 2 * cos * up
        second = np.stack([np.stack([-4 * q, mixed], -1), np.stack([mixed, q], -1)], -2)
        return q, slope, second

    def current(self, x: np.ndarray) -> np.ndarray:
        """J."""
        F, dF, G, G1, *_ = self._stream(x)
        return self._rotation(x, F, dF, G, G1) + self._q(x)[1]

    def curl(self, x: np.ndarray) -> np.ndarray:
        """(curl J)_z."""
        F, _, _, _, _, H, _ = self._stream(x)
        return -F * H

    def tensor(self, x: np.ndarray) -> np.ndarray:
        """T, shape (..., 2, 2)."""
        F, dF, G, G1, G2, _, _ = self._stream(x)
        w = self._frequency
        _, b, along, across = self._frame(x)
        if self.bend:
            stretch = -2 * dF * (G1 / b - G / b**2)
            shear = -F * (G2 - G1 / b) - w**2 * F * G / b**2
        else:
            stretch, shear = 2 * dF * G1, F * G2 + w**2 * F * G
        aa, bb = along[:, None] * along[None], across[:, None] * across[None]
        ab = along[:, None] * across[None]
        T = stretch * (aa - bb) + shear * (ab + ab.swapaxes(0, 1))
        second = self._q(x)[2]
        trace = np.trace(second, axis1=-2, axis2=-1)[..., None, None]
        return np.moveaxis(T, (0, 1), (-2, -1)) + 2 * second - trace * ONE

    def potential(self, x: np.ndarray) -> np.ndarray:
        """phi."""
        return np.sin(3 * x[..., 0] + 0.3) * np.exp(0.8 * x[..., 1])

    def body(self, x: np.ndarray) -> np.ndarray:
        """Load in the conductor."""
        F, dF, _, _, _, H, H1 = self._stream(x)
        up = np.exp(0.8 * x[..., 1])
        u = 3 * x[..., 0] + 0.3
        slope = np.stack([3 * np.cos(u) * up, 0.8 * np.sin(u) * up], axis=-1)
        # div T = laplacian of the rotation + grad(laplacian q)
        viscous = self._rotation(x, F, dF, H, H1) - 3 * self._q(x)[1]
        return self.relaxation * self.current(x) - self.stress * viscous + slope

    def source(self, x: np.ndarray) -> np.ndarray:
        """Divergence of J."""
        return -3 * self._q(x)[0]
