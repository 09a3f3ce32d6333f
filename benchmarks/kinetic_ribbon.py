"""Ribbon with a Fermi line by an integral equation: other kernels than the isotropic one.

Electrons move along straight lines from wall to wall and are fed by what scattering puts into the
current and, with the radial-tangential kernel, into sin 2 theta. These two functions across the
ribbon are unknown: polynomials on panels that are graded to the walls. Errors are about 1e-9.
"""

from __future__ import annotations

from math import inf, pi

import numpy as np
from numpy.polynomial.legendre import leggauss, legvander

__all__ = ["ribbon"]

#: Quadrature in t, sin(theta) = 1/cosh(t); points on a panel.
_STEP, _LAST, _POINTS = 0.125, 30.0, 8


def ribbon(
    path: float, specularity: float, kernel: str, electrons: float = inf
) -> tuple[float, float]:
    """Current over Drude's, and J in the centre less J at the wall over sigma E.

    Args:
        path: Mean free path over the width.
        specularity: Of both walls.
        kernel: "isotropic" or "radial-tangential".
        electrons: Mean free path between collisions of electrons, over the width.
    """
    rate = 1 + path / electrons  # of the high harmonics
    shares = np.array([1 - 1 / rate, 0.5 / rate if kernel == "radial-tangential" else 0.0])
    t = np.arange(0.0, _LAST, _STEP)
    sin, cos = 1 / np.cosh(t), np.tanh(t)
    waves = np.stack([cos, 2 * sin * cos])
    weight = _STEP * sin * 2 / pi * np.where(t == 0, 0.5, 1.0)
    free = path / rate * sin[:, None]
    x, w = leggauss(_POINTS)
    half = 0.5 - 0.5 ** np.arange(1, 23)
    edges = np.unique(np.concatenate([-half, half, [-0.5, 0.5]]))
    middle, size = (edges[1:] + edges[:-1]) / 2, np.diff(edges) / 2
    nodes = (middle[:, None] + size[:, None] * x).ravel()
    inverse = np.linalg.inv(legvander(x, _POINTS - 1))

    def arriving(y: float) -> np.ndarray:
        """What arrives at y from below, for values of the source at the nodes."""
        cuts = y - (y + 0.5) * 0.35 ** np.arange(26)
        cuts = np.unique(np.concatenate([edges[edges < y], cuts, [y]]))
        at = ((cuts[1:] + cuts[:-1])[:, None] / 2 + np.diff(cuts)[:, None] / 2 * x).ravel()
        panel = np.clip(np.searchsorted(edges, at) - 1, 0, len(size) - 1)
        values = np.zeros((len(at), len(nodes)))
        local = legvander((at - middle[panel]) / size[panel], _POINTS - 1) @ inverse
        values[np.arange(len(at))[:, None], _POINTS * panel[:, None] + np.arange(_POINTS)] = local
        measure = (np.diff(cuts)[:, None] / 2 * w).ravel()
        return np.exp((at - y) / free) / free * measure @ values

    back = specularity / (1 - specularity * np.exp(-1 / free))
    wall = back * arriving(0.5)
    pairs = np.einsum("t,ft,gt->fgt", weight, waves, waves)
    up = [pairs @ (arriving(y) + np.exp(-(y + 0.5) / free) * wall) for y in [*nodes, 0.0, 0.5]]
    one, number = np.ones(len(nodes)), len(nodes)
    # From above comes the mirror image: the current is even across the ribbon, sin 2 theta odd.
    inner = np.array(up[:number])
    inner = inner + np.array([1.0, -1.0])[:, None, None] * inner[::-1]
    system = np.einsum("yfgn,g->fygn", inner, shares).reshape(2 * number, 2 * number)
    field = (inner[:, :, 0] @ one / rate).T.ravel()
    found = np.linalg.solve(np.eye(2 * number) - system, field).reshape(2, number)
    source = shares[:, None] * found + np.array([[1 / rate], [0.0]])
    centre, top = ((up[k][0] * source).sum() for k in (number, number + 1))
    bottom = ((pairs[0] @ wall) * source).sum()
    current = (size[:, None] * w).ravel() @ found[0]
    return float(current), float(2 * centre - top - bottom)
