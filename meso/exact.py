"""Closed-form flows: to check the solver with, and for users to compare their devices with.

All of them solve the hydrodynamic model

    J - l^2 lap J = -sigma grad phi,      div J = 0,
    J.n = 0  and  n.(grad J + grad J^T).t = -s J_t   on walls

(T. Valet et al. 2025, eq. 8), with l the vorticity diffusion length and s the slip rate of the
wall, from 0 (no friction) to infinity (no slip). Units are the caller's: lengths in one unit,
``drive`` in the unit of the current density. Every function takes arrays of positions, and holds
for any ratio of l to the device without overflow or loss of digits. Multiply a curl by kappa to
have the orbital density, divide it by e < 0 to have the vorticity.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import isinf, log, pi, tanh
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import digamma, gamma, ive, kve

__all__ = ["Bend", "Corbino", "Layers", "Ribbon", "RoundWire"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ribbon:
    """Straight channel |y| < W/2 with equal walls, driven along x (T. Valet et al. 2025, eq. 9).

        J_x(y) = sigma E [1 - B cosh(y/l)/cosh(W/2l)],    B = 1/(1 + tanh(W/2l)/(s l))

    B = 0 is Drude's uniform flow, B = 1 the Poiseuille-Brinkman profile. Between two ideal
    contacts a straight channel carries this profile from one end to the other.

    Attributes:
        width: W.
        diffusion_length: l.
        slip_rate: s.
        drive: sigma E, the current density without viscosity.
    """

    width: float
    diffusion_length: float
    slip_rate: float
    drive: float = 1.0

    @property
    def _half(self) -> float:
        return self.width / (2 * self.diffusion_length)

    @property
    def B(self) -> float:
        """Depth of the profile, from 0 to 1."""
        if isinf(self.slip_rate):
            return 1.0
        slip = self.slip_rate * self.diffusion_length
        return slip / (slip + tanh(self._half))

    @property
    def _rest(self) -> float:
        """1 - B, which may be small."""
        if isinf(self.slip_rate):
            return 0.0
        return tanh(self._half) / (self.slip_rate * self.diffusion_length + tanh(self._half))

    def current_density(self, y: ArrayLike) -> np.ndarray:
        """J_x at y, in the unit of ``drive``."""
        distance = np.abs(np.asarray(y, dtype=float))
        below = (distance - self.width / 2) / self.diffusion_length
        above = (distance + self.width / 2) / self.diffusion_length
        # 1 - cosh(y/l)/cosh(W/2l) as a product, which keeps its digits where l >> W.
        dip = np.expm1(below) * np.expm1(-above) / (1 + np.exp(-2 * self._half))
        return self.drive * (self._rest + self.B * dip)

    def curl(self, y: ArrayLike) -> np.ndarray:
        """(curl J)_z = -dJ_x/dy at y, in the unit of ``drive`` over length."""
        y = np.asarray(y, dtype=float)
        a = np.abs(y) / self.diffusion_length
        ratio = -np.expm1(-2 * a) * np.exp(a - self._half) / (1 + np.exp(-2 * self._half))
        return self.drive * self.B / self.diffusion_length * np.sign(y) * ratio

    @property
    def conductance_ratio(self) -> float:
        """G/G_Drude = 1 - B (2l/W) tanh(W/2l)."""
        u = self._half
        # 1 - tanh(u)/u, by its series where the difference would cancel.
        missing = u * u / 3 - 2 * u**4 / 15 + 17 * u**6 / 315 if u < 1e-2 else 1 - tanh(u) / u
        return self._rest + self.B * missing

    @property
    def current(self) -> float:
        """Integral of J_x across the ribbon, in the unit of ``drive`` times length."""
        return self.drive * self.width * self.conductance_ratio

    @property
    def half_moment(self) -> float:
        """Integral of curl J over half the width, J_centre - J_wall (y from 0 to W/2)."""
        return float(self.current_density(0.0) - self.current_density(self.width / 2))


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundWire:
    """Straight wire of circular section r < R, driven along its axis x.

    J = J_x(r) e_x has no divergence, and J_x - l^2 (J_x'' + J_x'/r) = sigma E. The wall does not
    bend along the current, so that n.(grad J + grad J^T).t = J_x'(R) = -s J_x(R), and

        J_x(r) = sigma E [1 - C I_0(r/l)/I_0(R/l)],    C = 1/(1 + I_1(R/l)/(s l I_0(R/l)))

    with modified Bessel functions. C = 0 is Drude's uniform flow; l >> R without slip is the
    parabola of G. Hagen and J. Poiseuille. In a 3D metal l = lambda/sqrt(5 gamma_2/gamma_1).

    Attributes:
        radius: R.
        diffusion_length: l.
        slip_rate: s.
        drive: sigma E, the current density without viscosity.
    """

    radius: float
    diffusion_length: float
    slip_rate: float
    drive: float = 1.0

    @property
    def _edge(self) -> float:
        return self.radius / self.diffusion_length

    @property
    def _ratio(self) -> float:
        """I_1(R/l)/I_0(R/l)."""
        return float(ive(1, self._edge) / ive(0, self._edge))

    @property
    def C(self) -> float:
        """Depth of the profile, from 0 to 1."""
        if isinf(self.slip_rate):
            return 1.0
        slip = self.slip_rate * self.diffusion_length
        return slip / (slip + self._ratio)

    @property
    def _rest(self) -> float:
        """1 - C, which may be small."""
        if isinf(self.slip_rate):
            return 0.0
        return self._ratio / (self.slip_rate * self.diffusion_length + self._ratio)

    def current_density(self, r: ArrayLike) -> np.ndarray:
        """J_x at r, in the unit of ``drive``."""
        x, edge = np.asarray(r, dtype=float) / self.diffusion_length, self._edge
        if edge < 1:
            # I_0(R) - I_0(r), term by term where the difference would cancel.
            k = np.arange(1, 12)
            terms = ((edge / 2) ** (2 * k) - (x[..., None] / 2) ** (2 * k)) / gamma(k + 1) ** 2
            dip = terms.sum(axis=-1) / (ive(0, edge) * np.exp(edge))
        else:
            dip = 1 - ive(0, x) / ive(0, edge) * np.exp(x - edge)
        return self.drive * (self._rest + self.C * dip)

    def curl(self, r: ArrayLike) -> np.ndarray:
        """Component of curl J along e_phi (right-handed about x), -dJ_x/dr at r."""
        x, edge = np.asarray(r, dtype=float) / self.diffusion_length, self._edge
        ratio = ive(1, x) / ive(0, edge) * np.exp(x - edge)
        return self.drive * self.C / self.diffusion_length * ratio

    @property
    def conductance_ratio(self) -> float:
        """G/G_Drude = 1 - C (2l/R) I_1(R/l)/I_0(R/l)."""
        # 1 - 2 I_1(u)/(u I_0(u)) = I_2(u)/I_0(u)
        missing = float(ive(2, self._edge) / ive(0, self._edge))
        return self._rest + self.C * missing

    @property
    def current(self) -> float:
        """Current through the section, in the unit of ``drive`` times area."""
        return self.drive * pi * self.radius**2 * self.conductance_ratio


@dataclass(frozen=True, kw_only=True)
class Bend:
    """Circular bend R_1 < r < R_2 between radial contacts: azimuthal flow.

    A voltage V over an angle alpha drives E_theta = V/(alpha r). With C = sigma V/alpha

        J_theta(r) = C/r + A I_1(r/l) + B K_1(r/l),     curl J = (A I_0(r/l) - B K_0(r/l))/l,

    and A, B from the walls: curl J - c J/R = -s J at R_2, +s J at R_1, where c = 2 for the
    traction law n.(grad J + grad J^T).t = -s J_t and c = 1 for the literal d_n J_t = -s J_t.
    The same flow turns in a full ring in a changing magnetic flux. C/r - (C/l) K_1(r/l) takes
    the place of C/r in the code: it stays small where l is large, as the flow does.

    Attributes:
        inner: R_1.
        outer: R_2.
        diffusion_length: l.
        inner_slip: s at R_1.
        outer_slip: s at R_2.
        drive: C = sigma V/alpha, in the unit of current density times length.
        law: "traction" or "literal".
    """

    inner: float
    outer: float
    diffusion_length: float
    inner_slip: float
    outer_slip: float
    drive: float = 1.0
    law: Literal["traction", "literal"] = "traction"

    def _shapes(self, r: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """J/C and curl J/C of the particular solution and of scaled I_1, K_1, shape (3, ...)."""
        length = self.diffusion_length
        x = r / length
        grow, fall = np.exp((r - self.outer) / length), np.exp((self.inner - r) / length)
        zero = np.exp(-x) * kve(0, x)
        value = np.stack([_reciprocal_less_k1(x) / length, ive(1, x) * grow, kve(1, x) * fall])
        curl = np.stack([zero / length**2, ive(0, x) * grow / length, -kve(0, x) * fall / length])
        return value, curl

    @cached_property
    def _amplitudes(self) -> np.ndarray:
        """Coefficients of the three shapes."""
        factor = 2.0 if self.law == "traction" else 1.0
        radii = np.array([self.inner, self.outer])
        value, curl = self._shapes(radii)
        rows = curl - factor * value / radii
        # The shear of the growing shape is I_2/l, which the difference would not resolve.
        if factor == 2.0:
            grow = np.exp((radii - self.outer) / self.diffusion_length)
            rows[1] = ive(2, radii / self.diffusion_length) * grow / self.diffusion_length
        for i, (sign, slip) in enumerate(((-1.0, self.inner_slip), (1.0, self.outer_slip))):
            rows[:, i] = value[:, i] if isinf(slip) else rows[:, i] + sign * slip * value[:, i]
        matrix = rows[1:].T
        row = np.abs(matrix).max(axis=1, keepdims=True)
        column = np.abs(matrix / row).max(axis=0)
        solved = np.linalg.solve(matrix / row / column, -rows[0] / row[:, 0]) / column
        return np.array([1.0, *solved])

    def current_density(self, r: ArrayLike) -> np.ndarray:
        """J_theta at r, in the unit of ``drive`` over length."""
        value, _ = self._shapes(np.asarray(r, dtype=float))
        return self.drive * np.tensordot(self._amplitudes, value, 1)

    def curl(self, r: ArrayLike) -> np.ndarray:
        """(curl J)_z at r, in the unit of ``drive`` over length squared."""
        _, curl = self._shapes(np.asarray(r, dtype=float))
        return self.drive * np.tensordot(self._amplitudes, curl, 1)

    @property
    def current(self) -> float:
        """Integral of J_theta from R_1 to R_2, in the unit of ``drive``.

        J_theta - l^2 d(curl J)/dr = C/r, integrated; a quadrature where its terms would cancel.
        """
        length, whole = self.diffusion_length, log(self.outer / self.inner)
        if self.outer - self.inner > 5 * length:
            below, above = self.curl([self.inner, self.outer])
            return float(self.drive * whole + length**2 * (above - below))
        at, weight = np.polynomial.legendre.leggauss(60)
        r = self.inner * np.exp(whole * (at + 1) / 2)
        return float(whole / 2 * (weight * r) @ self.current_density(r))

    @property
    def conductance_ratio(self) -> float:
        """I/I_Drude, with I_Drude = C ln(R_2/R_1)."""
        return self.current / (self.drive * log(self.outer / self.inner))


@dataclass(frozen=True, slots=True, kw_only=True)
class Corbino:
    """Radial flow through a ring between contacts at R_1 and R_2: no vorticity.

    J_r = I/(alpha r) has neither divergence nor curl, and l does not enter the field; but the
    normal traction does enter the contacts. From phi - (l^2/sigma) n.(grad J + grad J^T).n = V
    with d_n J_n = -I/(alpha r^2) at both of them

        V_1 - V_2 = I/(alpha sigma) [ ln(R_2/R_1) + 2 l^2 (1/R_1^2 - 1/R_2^2) + b (1/R_1 + 1/R_2) ],

    b = 0 for ideal contacts; b = (8/3pi) lambda (Fermi line) or (3/4) lambda (Fermi sphere) for
    reservoirs. The second term is the power that the extension of the flow dissipates.

    Attributes:
        inner: R_1.
        outer: R_2.
        diffusion_length: l; 0 for ohmic flow.
        contact_step: b, potential step of a contact over J_n/sigma.
        angle: alpha, 2 pi for a full ring.
    """

    inner: float
    outer: float
    diffusion_length: float = 0.0
    contact_step: float = 0.0
    angle: float = 2 * pi

    @property
    def conductance(self) -> float:
        """I/(sigma (V_1 - V_2)), a pure number."""
        inner, outer = 1 / self.inner, 1 / self.outer
        drop = log(self.outer / self.inner)
        drop += 2 * self.diffusion_length**2 * (inner**2 - outer**2)
        drop += self.contact_step * (inner + outer)
        return self.angle / drop

    def current_density(self, r: ArrayLike) -> np.ndarray:
        """J_r at r over sigma (V_1 - V_2), in 1/length."""
        return self.conductance / (self.angle * np.asarray(r, dtype=float))


@dataclass(frozen=True, kw_only=True)
class Layers:
    """Parallel layers 0 < y < W of different conductors, driven along x.

    In each layer J = sigma E + a exp((y - top)/l) + b exp((bottom - y)/l); J and the traction
    (l^2/sigma) dJ/dy are continuous at the interfaces, and dJ/dy = +-s J at the walls.

    Attributes:
        thickness: Of each layer, from below.
        conductivity: sigma of each layer.
        diffusion_length: l of each layer.
        lower_slip: s at y = 0.
        upper_slip: s at y = W.
        field: E.
    """

    thickness: Sequence[float]
    conductivity: Sequence[float]
    diffusion_length: Sequence[float]
    lower_slip: float = 0.0
    upper_slip: float = 0.0
    field: float = 1.0

    @cached_property
    def _heights(self) -> np.ndarray:
        return np.concatenate([[0.0], np.cumsum(self.thickness)])

    @cached_property
    def _amplitudes(self) -> np.ndarray:
        """A and b of each layer, shape (layers, 2)."""
        sigma, length = np.asarray(self.conductivity), np.asarray(self.diffusion_length)
        n = len(sigma)
        matrix, right = np.zeros((2 * n, 2 * n)), np.zeros(2 * n)
        decay = np.exp(-np.asarray(self.thickness) / length)
        for wall, layer, at, outward, slip in (
            (0, 0, (decay[0], 1.0), -1.0, self.lower_slip),
            (2 * n - 1, n - 1, (1.0, decay[-1]), 1.0, self.upper_slip),
        ):
            # outward (a - b)/l + s J = 0, divided by 1 + s l so that s may be infinite
            weight = 1.0 if isinf(slip) else slip * length[layer] / (1 + slip * length[layer])
            slope = outward * (1 - weight)
            matrix[wall, 2 * layer] = (weight + slope) * at[0]
            matrix[wall, 2 * layer + 1] = (weight - slope) * at[1]
            right[wall] = -weight * sigma[layer] * self.field
        for i in range(n - 1):
            below, above = slice(2 * i, 2 * i + 2), slice(2 * i + 2, 2 * i + 4)
            matrix[2 * i + 1, below] = 1.0, decay[i]
            matrix[2 * i + 1, above] = -decay[i + 1], -1.0
            right[2 * i + 1] = (sigma[i + 1] - sigma[i]) * self.field
            mu = length[i : i + 2] / sigma[i : i + 2]
            matrix[2 * i + 2, below] = mu[0] * np.array([1.0, -decay[i]])
            matrix[2 * i + 2, above] = -mu[1] * np.array([decay[i + 1], -1.0])
        row = np.abs(matrix).max(axis=1)
        return np.linalg.solve(matrix / row[:, None], right / row).reshape(n, 2)

    def current_density(self, y: ArrayLike) -> np.ndarray:
        """J_x at y, in the unit of ``conductivity`` times ``field``."""
        y = np.asarray(y, dtype=float)
        layer = np.searchsorted(self._heights[1:-1], y, side="right")
        sigma = np.asarray(self.conductivity)[layer]
        length = np.asarray(self.diffusion_length)[layer]
        a, b = self._amplitudes[layer, 0], self._amplitudes[layer, 1]
        bottom, top = self._heights[layer], self._heights[layer + 1]
        waves = a * np.exp((y - top) / length) + b * np.exp((bottom - y) / length)
        return sigma * self.field + waves

    @property
    def current(self) -> float:
        """Integral of J_x over all layers."""
        d, length = np.asarray(self.thickness), np.asarray(self.diffusion_length)
        drude = self.field * np.dot(self.conductivity, d)
        return float(drude + self._amplitudes.sum(axis=1) @ (-np.expm1(-d / length) * length))


def _reciprocal_less_k1(x: np.ndarray) -> np.ndarray:
    """1/x - K_1(x), without cancellation at small x (NIST DLMF 10.31.1)."""
    small = np.minimum(x, 1.0)
    total, term = np.zeros_like(small), np.ones_like(small)
    for k in range(14):
        total += (digamma(k + 1) + digamma(k + 2)) * term
        term = term * (small / 2) ** 2 / ((k + 1) * (k + 2))
    near = small / 4 * total - np.log(small / 2) * ive(1, small) * np.exp(small)
    return np.where(x < 1.0, near, 1 / x - np.exp(-x) * kve(1, x))
