"""Angular matrices: what the moments of the distribution do to each other.

The flow models are members of one family. Their unknown is a vector u of moments (for two
harmonics: the current density J), with

    current density    J_i = flux[i, a] u_a
    relaxation         (1/sigma) relaxation[a, b] u_b
    stress             -d_i ( mu stress[i, j, a, b] d_j u_b )

For two harmonics u = J, mu = l^2/sigma, and the stress is the traceless symmetric gradient of J.

For N harmonics of the distribution h(x, theta) on a Fermi line, with the basis 1,
sqrt(2) cos m theta, sqrt(2) sin m theta, the unknowns are the odd ones,
u_m = sqrt(2) (sigma/lambda) h_m, so that the first two are J. The even ones with m >= 2
relax where they are: they follow from C_e h_e = -X_i^T d_i h_o and are eliminated, which leaves

    mu = lambda^2/sigma,   stress = X_i C_e^-1 X_j^T,   relaxation = C_o,   X_i = <odd p_i even>,

where C has the rates gamma_m/gamma_1 on its diagonal and, in a magnetic field, m lambda/R_c between
cosine and sine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import pi

import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True)
class Moments:
    """Angular matrices of one member of the family.

    Attributes:
        flux: Current of each moment, shape (d, n).
        relaxation: Shape (n, n).
        stress: Shape (d, d, n, n), indices i, j, a, b as above.
        hydrodynamic: True for u = J with the stress of :mod:`meso.equations.hydrodynamic`.
    """

    flux: np.ndarray
    relaxation: np.ndarray
    stress: np.ndarray
    hydrodynamic: bool = False

    @property
    def count(self) -> int:
        """Number of moments n."""
        return self.flux.shape[1]

    @property
    def symmetric(self) -> bool:
        """Whether the system is symmetric: no magnetic field."""
        turned = self.stress.transpose(1, 0, 3, 2)
        return bool((self.stress == turned).all() and (self.relaxation == self.relaxation.T).all())


def two_harmonics(dimension: int) -> Moments:
    """The hydrodynamic member: u = J, stress d_i J_a + d_a J_i - (2/d) delta_ia div J.

    The trace carries no stress: it belongs to the electrochemical potential, as in the kinetic
    equation (T. Valet et al. 2025, eq. 8, for div J = 0).

    Args:
        dimension: d, 2 or 3.
    """
    one = np.eye(dimension)
    stress = (
        np.einsum("ij,ab->ijab", one, one)
        + np.einsum("ib,ja->ijab", one, one)
        - 2 / dimension * np.einsum("ia,jb->ijab", one, one)
    )
    return Moments(flux=one, relaxation=one, stress=stress, hydrodynamic=True)


def harmonics(orders: Sequence[int], angles: np.ndarray) -> np.ndarray:
    """sqrt(2) cos m theta and sqrt(2) sin m theta by turns, 1 alone for m = 0, shape (n, ...)."""
    rows = []
    for m in orders:
        both = [np.cos(m * angles), np.sin(m * angles)]
        rows += [np.ones_like(angles)] if m == 0 else [np.sqrt(2) * value for value in both]
    return np.array(rows)


def streaming(rows: Sequence[int], columns: Sequence[int]) -> np.ndarray:
    """X_i = <row p_i column> between two sets of harmonics of the basis, shape (2, n, k)."""
    # The trapezoidal rule is exact for trigonometric polynomials.
    count = 2 * (max(rows) + max(columns)) + 4
    angles = 2 * pi * np.arange(count) / count
    left, right = harmonics(rows, angles), harmonics(columns, angles)
    direction = np.array([np.cos(angles), np.sin(angles)])
    matrix = (left[None] * direction[:, None]) @ right.T / count
    # Without this, zeros would be small numbers; all entries are 0, 1/2 or 1/sqrt(2).
    return np.where(np.abs(matrix) < 0.1, 0.0, matrix)


def collisions(orders: Sequence[int], rates: Sequence[float], turning: float = 0.0) -> np.ndarray:
    """The matrix C of relaxation and rotation.

    Args:
        orders: Harmonics m.
        rates: gamma_m/gamma_1 for m = 0, 1, 2, ...
        turning: lambda/R_c, positive where the carriers turn counter-clockwise.
    """
    size = sum(1 if m == 0 else 2 for m in orders)
    matrix, at = np.zeros((size, size)), 0
    for m in orders:
        if m == 0:
            matrix[at, at] = rates[0]
            at += 1
            continue
        matrix[at, at] = matrix[at + 1, at + 1] = rates[m]
        matrix[at, at + 1], matrix[at + 1, at] = m * turning, -m * turning
        at += 2
    return matrix


def odd_moments(rates: Sequence[float], turning: float = 0.0) -> Moments:
    """The member with N harmonics on a Fermi line: odd moments, even ones eliminated.

    Args:
        rates: gamma_m/gamma_1 for m = 0 ... N; N is even.
        turning: lambda/R_c in a perpendicular magnetic field.
    """
    count = len(rates) - 1
    odd, even = range(1, count, 2), range(2, count + 1, 2)
    coupling = streaming(odd, even)
    inverse = np.linalg.inv(collisions(even, rates, turning))
    stress = np.einsum("iae,ef,jbf->ijab", coupling, inverse, coupling)
    if turning == 0:  # to the last digit
        stress = (stress + stress.transpose(1, 0, 3, 2)) / 2
    return Moments(flux=np.eye(2, count), relaxation=collisions(odd, rates, turning), stress=stress)


def half_range(orders: Sequence[int], *, cosines: float, sines: float) -> np.ndarray:
    """Integrals <|cos phi| f g> of harmonics of one parity, phi counted from the normal.

    Args:
        orders: Harmonics m.
        cosines: Factor of the products of cosines.
        sines: Factor of those of sines; the mixed ones vanish.
    """
    kind = [(m, wave) for m in orders for wave in ((0,) if m == 0 else (0, 1))]
    matrix = np.zeros((len(kind), len(kind)))
    for a, (m, first) in enumerate(kind):
        for b, (k, second) in enumerate(kind):
            if first != second:
                continue
            norm = (1.0 if m else np.sqrt(0.5)) * (1.0 if k else np.sqrt(0.5))
            both = _absolute(m + k)
            matrix[a, b] = norm * (
                sines * (_absolute(m - k) - both) if first else cosines * (_absolute(m - k) + both)
            )
    return matrix


def _absolute(order: int) -> float:
    """<|cos phi| cos(order phi)> for an even order."""
    j = abs(order) // 2
    return (2 / pi) * (-1) ** (j + 1) / (4 * j * j - 1)


def rotations(orders: Sequence[int], normals: np.ndarray) -> np.ndarray:
    """From moments in the fixed frame to those about a normal, (..., n, n) for normals (..., 2)."""
    angle = np.arctan2(normals[..., 1], normals[..., 0])
    size = sum(1 if m == 0 else 2 for m in orders)
    turn, at = np.zeros((*angle.shape, size, size)), 0
    for m in orders:
        if m == 0:
            turn[..., at, at] = 1.0
            at += 1
            continue
        turn[..., at, at] = turn[..., at + 1, at + 1] = np.cos(m * angle)
        turn[..., at, at + 1] = np.sin(m * angle)
        turn[..., at + 1, at] = -np.sin(m * angle)
        at += 2
    return turn


def about(normals: np.ndarray, orders: Sequence[int], matrix: np.ndarray) -> np.ndarray:
    """A matrix of moments about each normal in the fixed frame, shape (..., n, n)."""
    turn = rotations(orders, normals)
    return turn.swapaxes(-1, -2) @ (matrix @ turn)
