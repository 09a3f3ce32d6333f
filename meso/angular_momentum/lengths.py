"""Decay lengths of the densities, and the cells that resolve them at walls."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from meso.angular_momentum.tensors import Transport
from meso.layers import Layer


def decay_lengths(transport: Transport, normal: np.ndarray) -> np.ndarray:
    """Complex decay lengths l of exp(-y/l) along a direction, shortest |l| last, shape (n,).

    They are the inverse square roots of the eigenvalues of D_nn^-1 T; infinite where nothing
    relaxes. A precession makes them complex: the density oscillates with the period
    2 pi / Im(1/l) while it decays over 1/Re(1/l).

    Args:
        transport: The material.
        normal: The direction, shape (3,).
    """
    m = np.asarray(normal, dtype=float)
    D = np.einsum("i,iakb,k->ab", m, transport.diffusivity, m)
    rates = np.linalg.eigvals(np.linalg.solve(D, transport.relaxation)).astype(complex)
    small = np.abs(rates) <= 1e-12 * np.abs(transport.relaxation).max() / np.abs(D).max()
    with np.errstate(divide="ignore"):
        lengths = np.where(small, np.inf, 1 / np.sqrt(np.where(small, 1.0, rates)))
    return lengths[np.argsort(-np.abs(lengths))]


def shortest(materials: Iterable[Transport]) -> float:
    """Shortest |l| of some materials along the axes, m; infinite if nothing relaxes."""
    found = [np.abs(decay_lengths(m, axis)).min() for m in materials for axis in np.eye(3)]
    return float(min(found, default=np.inf))


def layer(decay: float, size: float | None = None) -> Layer:
    """Cells at a wall for a density that decays over a length.

    Measured on films, discs and rings of up to ten decay lengths: densities keep to 1e-6 of the
    largest, deep inside too, at degree 4.

    Args:
        decay: The length, m.
        size: Cell size at the wall, m, if it is given.
    """
    return Layer(decay=decay, size=size, finer=0.7, wider=1.5)
