"""Kubo's formula with the ladder of vertex corrections (Valet and Raimondi 2025, eq. 5–10).

The Matsubara sum of eq. 5, continued to real frequencies, at ω → 0 and zero temperature: with
F^XY(z₁, z₂) = G^X(z₁) J^XY(z₁, z₂) G^Y(z₂) and the Bethe–Salpeter equation J = ∂H/∂k + u∫ G^X J G^Y
(eq. 6) for each pair of retarded and advanced,

    2πρ/eE = F^RA − ½(F^RR + F^AA)  at the Fermi energy
             − ½ ∫^E_F dε [(∂₁ − ∂₂)F^RR + h.c.]

The second line, analytic above the real axis, is integrated along E_F + iy. Nothing is expanded in
the strength of the scatterers.
"""

from __future__ import annotations

import numpy as np

from meso.bands.disorder import Response, Scatterers
from meso.bands.model import Array


def _dressed(s: Scatterers, left: Array, right: Array, bare: Array) -> Array:
    """What solves x = u ∫ (bare + left x right), for bare (d, K, N, N): (d, N, N)."""
    n = s.model.size
    drive = s.strength * s.integral(bare)
    system = np.eye(n * n) - s.pairs(left, right)
    # The number of particles is a null vector of the pair RA; no current has a part along it.
    found = np.linalg.lstsq(system, drive.reshape(len(drive), -1).T, rcond=1e-11)[0]
    return found.T.reshape(drive.shape)


def _sea(s: Scatterers, height: float) -> Array:
    """(∂₁ − ∂₂)F^RR at E_F + i·height (d, K, N, N)."""
    g = s.green(height)
    one = np.eye(s.model.size)
    slope = _dressed(s, g, g, -(g @ g)[None])[0]  # dΣ/dz
    change = -g @ (one - slope) @ g  # dG/dz
    j = s.velocity
    j = j + _dressed(s, g, g, g @ j @ g)[:, None]
    turned = change @ j @ g - g @ j @ change
    return turned + g @ _dressed(s, g, g, turned)[:, None] @ g


def kubo_ladder(s: Scatterers, *, points: int = 40, scale: float = 1.0) -> Response:
    """The response to a uniform field by Kubo's formula with the ladder.

    Args:
        s: The model with its scatterers.
        points: Gauss points of the integral over the Fermi sea.
        scale: Energy in eV about which they lie.
    """
    g = s.green()
    advanced = g.conj().swapaxes(1, 2)
    j = s.velocity
    vertex = _dressed(s, g, advanced, g @ j @ advanced)
    density = g @ (j + vertex[:, None]) @ advanced
    same = g @ (j + _dressed(s, g, g, g @ j @ g)[:, None]) @ g
    density = density - (same + same.conj().swapaxes(2, 3)) / 2
    x, w = np.polynomial.legendre.leggauss(points)
    sea = np.zeros_like(density)
    for height, weight in zip(scale * (1 + x) / (1 - x), 2 * scale * w / (1 - x) ** 2, strict=True):
        sea += 0.5j * weight * _sea(s, height)
    return s.response(density + sea + sea.conj().swapaxes(2, 3), vertex)
