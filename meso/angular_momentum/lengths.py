"""Decay lengths of the densities, and the cells that resolve them at walls."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from meso.angular_momentum.tensors import Transport, symbol
from meso.geometry.layers import Layer

# Radians of a curved wall per cell: around a hole that is smaller than the decay length, densities
# vary over its radius.
_TURN = 0.12


def decay_lengths(transport: Transport, normal: np.ndarray) -> np.ndarray:
    """Complex decay lengths l of exp(-y/l) along a direction, shortest |l| last, shape (n,).

    They are the inverse square roots of the eigenvalues of D_nn^-1 T; infinite where nothing
    relaxes. A precession makes them complex: the density oscillates with the period
    2 pi / Im(1/l) while it decays over 1/Re(1/l).

    Args:
        transport: The material.
        normal: The direction, shape (3,).
    """
    D = symbol(transport.diffusivity, np.asarray(normal, dtype=float))
    rates = np.linalg.eigvals(np.linalg.solve(D, transport.relaxation)).astype(complex)
    small = np.abs(rates) <= 1e-12 * np.abs(transport.relaxation).max() / np.abs(D).max()
    with np.errstate(divide="ignore"):
        lengths = np.where(small, np.inf, 1 / np.sqrt(np.where(small, 1.0, rates)))
    return lengths[np.argsort(-np.abs(lengths))]


def lengths(materials: Iterable[Transport]) -> list[float]:
    """All finite |l| of some materials along the axes, m, shortest first, each once."""
    found = [abs(x) for m in materials for axis in np.eye(3) for x in decay_lengths(m, axis)]
    return sorted({float(f"{x:.6g}") for x in found if 0 < x < np.inf})


def shortest(materials: Iterable[Transport]) -> float:
    """Shortest |l| of some materials along the axes, m; infinite if nothing relaxes."""
    return min(lengths(materials), default=np.inf)


def layer(decay: float, size: float | None = None) -> Layer:
    """Cells at a wall for a density that decays over a length.

    Measured on films, discs and rings of up to ten decay lengths: densities keep to 1e-6 of the
    largest, deep inside too, at degree 4.

    Args:
        decay: The length, m.
        size: Cell size at the wall, m, if it is given.
    """
    return Layer(decay=decay, size=size, finer=0.7, wider=1.5, turn=_TURN)


def combined(layers: Sequence[Layer]) -> Layer:
    """One layer that is as fine as the finest, and grows no faster than any allows.

    With sizes s (1 + y/3r)^3 the finest one, s_1, stays below another where s_1/r_1^3 <= s/r^3.
    """
    finest = min(layers, key=lambda one: one.finer * one.decay)
    small, wider = finest.finer * finest.decay, finest.wider
    for one in layers:
        ratio = (small / (one.finer * one.decay)) ** (1 / 3)
        wider = max(wider, one.wider * one.decay / finest.decay * ratio)
    return replace(
        finest,
        wider=wider,
        longest=max(one.decay for one in layers),
        turn=min(one.turn for one in layers),
    )
