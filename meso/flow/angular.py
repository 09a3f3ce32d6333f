"""Angular matrices: what the moments of the distribution do to each other.

The flow models are members of one family. Their unknown is a vector u of moments (for two
harmonics: the current density J), with

    current density    J_i = flux[i, a] u_a
    relaxation         (1/sigma) relaxation[a, b] u_b
    stress             -d_i ( mu stress[i, j, a, b] d_j u_b )

For two harmonics u = J, mu = l^2/sigma, and the stress is the traceless symmetric gradient of J.

For N harmonics of the distribution h(x, theta) on a round Fermi line, with the basis 1,
sqrt(2) cos m theta, sqrt(2) sin m theta, the unknowns are the odd ones,
u_m = sqrt(2) (sigma/lambda) h_m, so that the first two are J. The even ones with m >= 2
relax where they are: they follow from C_e h_e = -X_i^T d_i h_o and are eliminated, which leaves

    mu = lambda^2/sigma,   stress = X_i C_e^-1 X_j^T,   relaxation = C_o,   X_i = <odd p_i even>,

where C has the rates gamma_m/gamma_1 on its diagonal and, in a magnetic field, m lambda/R_c between
cosine and sine. Every harmonic has two moments, cosine and sine by turns; that of m = 0 has no
sine, but a zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
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


@lru_cache
def two_harmonics(dimension: int) -> Moments:
    """The hydrodynamic member: u = J, stress d_i J_a + d_a J_i - (2/d) delta_ia div J.

    The trace carries no stress: it belongs to the electrochemical potential, as in the kinetic
    equation (T. Valet et al. 2025, eq. 8, for div J = 0).
    """
    one = np.eye(dimension)
    stress = (
        np.einsum("ij,ab->ijab", one, one)
        + np.einsum("ib,ja->ijab", one, one)
        - 2 / dimension * np.einsum("ia,jb->ijab", one, one)
    )
    return Moments(flux=one, relaxation=one, stress=stress, hydrodynamic=True)


def _norm(orders: np.ndarray) -> np.ndarray:
    """Of cos m theta, to have one as the mean of its square."""
    return np.where(orders == 0, 1.0, np.sqrt(2))


def harmonics(orders: Sequence[int], angles: np.ndarray) -> np.ndarray:
    """The basis functions of some harmonics m at angles (k,), shape (n, k)."""
    m = np.array(orders)[:, None]
    both = np.stack([np.cos(m * angles), np.sin(m * angles)], axis=1)
    return (_norm(m)[:, None] * both).reshape(-1, len(angles))


def streaming(rows: Sequence[int], columns: Sequence[int]) -> np.ndarray:
    """X_i = <row p_i column> between two sets of harmonics, shape (2, n, k)."""
    # The trapezoidal rule is exact for trigonometric polynomials.
    count = 2 * (max(rows) + max(columns)) + 4
    angles = 2 * pi * np.arange(count) / count
    direction = np.array([np.cos(angles), np.sin(angles)])
    matrix = (harmonics(rows, angles) * direction[:, None]) @ harmonics(columns, angles).T / count
    # Without this, zeros would be small numbers; all entries are 0, 1/2 or 1/sqrt(2).
    return np.where(np.abs(matrix) < 0.1, 0.0, matrix)


def collisions(orders: Sequence[int], rates: Sequence[float], turning: float = 0.0) -> np.ndarray:
    """The matrix C of relaxation and rotation of some pairs.

    ``rates`` are gamma/gamma_1 of each, ``turning`` is lambda/R_c, positive where the carriers turn
    counter-clockwise.
    """
    from scipy.linalg import block_diag  # takes long to load

    rotation = turning * np.array([[0.0, 1.0], [-1.0, 0.0]])
    pairs = zip(orders, rates, strict=True)
    return block_diag(*(rate * np.eye(2) + m * rotation for m, rate in pairs))


def eliminated(
    coupling: np.ndarray, relaxation: np.ndarray, others: np.ndarray, *, flux: np.ndarray
) -> Moments:
    """Moments of one parity, from which the others are eliminated.

    Args:
        coupling: X_i, shape (d, n, k).
        relaxation: C of what is kept, shape (n, n).
        others: C of what is eliminated, shape (k, k).
        flux: As of :class:`Moments`.
    """
    stress = np.einsum("iae,ef,jbf->ijab", coupling, np.linalg.inv(others), coupling, optimize=True)
    if (others == others.T).all():  # to the last digit
        stress = (stress + stress.transpose(1, 0, 3, 2)) / 2
    return Moments(flux=flux, relaxation=relaxation, stress=stress)


def traceless(moments: Moments) -> Moments:
    """Moments J whose stress has no trace in the plane, which div J = 0 leaves as it is."""
    trace = np.einsum("ijib->jb", moments.stress)
    level = np.einsum("ia,jb->ijab", np.eye(len(trace)), trace) / len(trace)
    return replace(moments, stress=moments.stress - level)


def half_range(orders: Sequence[int], *, cosines: float, sines: float) -> np.ndarray:
    """Integrals <|cos phi| f g> of harmonics of one parity, phi counted from the normal.

    Products of two cosines and of two sines have a factor each; mixed ones vanish.
    """
    m, k = np.array(orders)[:, None], np.array(orders)
    norm = _norm(m) * _norm(k) / 2
    apart, both = _absolute(m - k), _absolute(m + k)
    matrix = np.zeros((len(k), 2, len(k), 2))
    matrix[:, 0, :, 0] = norm * cosines * (apart + both)
    matrix[:, 1, :, 1] = norm * sines * (apart - both)
    return matrix.reshape(2 * len(k), 2 * len(k))


def _absolute(order: np.ndarray) -> np.ndarray:
    """<|cos phi| cos(order phi)> for an even order."""
    j = np.abs(order) // 2
    return (2 / pi) * (-1.0) ** (j + 1) / (4 * j * j - 1)


def about(
    normals: np.ndarray, orders: Sequence[int] | np.ndarray, matrix: np.ndarray
) -> np.ndarray:
    """A matrix of moments about normals (..., 2) in the fixed frame, shape (..., n, n)."""
    m = np.array(orders)
    angle = m * np.arctan2(normals[..., 1], normals[..., 0])[..., None]
    turn = np.zeros((*angle.shape, 2, len(m), 2))
    at = np.arange(len(m))
    turn[..., at, 0, at, 0] = turn[..., at, 1, at, 1] = np.cos(angle)
    turn[..., at, 0, at, 1] = np.sin(angle)
    turn[..., at, 1, at, 0] = -np.sin(angle)
    turn = turn.reshape(*normals.shape[:-1], 2 * len(m), 2 * len(m))
    return turn.swapaxes(-1, -2) @ (matrix @ turn)


def about_normal(
    moments: np.ndarray, angle: np.ndarray, orders: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Moments (..., N) about a normal of some angle (...), and their derivatives in the angle."""
    phase = angle[..., None] * orders
    cosine, sine = np.cos(phase), np.sin(phase)
    out, slope = np.empty_like(moments), np.empty_like(moments)
    out[..., ::2] = cosine * moments[..., ::2] + sine * moments[..., 1::2]
    out[..., 1::2] = cosine * moments[..., 1::2] - sine * moments[..., ::2]
    slope[..., ::2], slope[..., 1::2] = orders * out[..., 1::2], -orders * out[..., ::2]
    return out, slope
