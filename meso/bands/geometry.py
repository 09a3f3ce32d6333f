"""Quantum geometry of Bloch bands: groups, projectors, connection, curvature, metric.

Bands that are degenerate form a group; everything here is a matrix within a group or between two,
so that it turns with the states and traces over a group do not depend on how they were chosen.
Derivatives of states are never taken: with D_a = ⟨n|∂_aH|m⟩/(ε_n − ε_m) between groups

    connection  A_nm = i P_n ∂_a P_m = −i D_a
    curvature   F^ab = i P_n [∂_a P_n, ∂_b P_n] P_n = −i [D_a, D_b] within a group
    metric      g^ab = −½ {D_a, D_b} within a group
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from meso.bands.model import Array, Model
from meso.bands.symmetry import pad

#: Levels closer than this (eV) belong to one group.
DEGENERATE = 1e-7


@dataclass(frozen=True, kw_only=True, eq=False)
class Bands:
    """Levels and states at a batch of k, and matrices between them.

    Attributes:
        model: The model.
        k: Wave vectors (K, d).
        energies: (K, N), ascending.
        states: Columns (K, N, N).
        tolerance: Levels closer than this are degenerate, eV.
    """

    model: Model
    k: NDArray[np.floating]
    energies: NDArray[np.floating]
    states: Array
    tolerance: float = DEGENERATE

    @classmethod
    def at(cls, model: Model, k: NDArray[np.floating], tolerance: float = DEGENERATE) -> Bands:
        """Diagonalise H at the wave vectors k."""
        energies, states = np.linalg.eigh(model.hamiltonian(k))
        return cls(model=model, k=k, energies=energies, states=states, tolerance=tolerance)

    def between(self, matrix: Array) -> Array:
        """Matrix elements ⟨n|…|m⟩ of (…, N, N) or (K, …, N, N): always (K, …, N, N)."""
        states = self.states
        if matrix.ndim == 3 and len(matrix) != len(self.k):
            matrix = np.broadcast_to(matrix, (len(self.k), *matrix.shape))
        extra = (1,) * (matrix.ndim - 3)
        columns = states.reshape(len(states), *extra, *states.shape[1:])
        return columns.conj().swapaxes(-1, -2) @ matrix @ columns

    def operator(self, matrix: Array) -> Array:
        """Matrix elements of a constant operator (3, N, N): (K, 3, N, N)."""
        rows = self.states.conj().swapaxes(1, 2)[:, None]
        return rows @ matrix[None] @ self.states[:, None]

    @cached_property
    def labels(self) -> NDArray[np.integer]:
        """Number of the group that each band belongs to (K, N)."""
        gaps = np.diff(self.energies, axis=1) > self.tolerance
        return np.concatenate(
            [np.zeros((len(self.energies), 1), dtype=int), np.cumsum(gaps, axis=1)], axis=1
        )

    @cached_property
    def same(self) -> NDArray[np.bool_]:
        """Whether two bands belong to one group (K, N, N)."""
        return self.labels[:, :, None] == self.labels[:, None, :]

    @cached_property
    def inverse_gap(self) -> NDArray[np.floating]:
        """1/(ε_n − ε_m) between groups, zero within (K, N, N)."""
        gap = self.energies[:, :, None] - self.energies[:, None, :]
        return np.where(self.same, 0.0, 1 / np.where(self.same, 1.0, gap))

    @cached_property
    def slope(self) -> Array:
        """⟨n|∂H/∂k|m⟩ (K, d, N, N)."""
        return self.between(self.model.gradient(self.k))

    @cached_property
    def mixing(self) -> Array:
        """D_a = ⟨n|∂_aH|m⟩/(ε_n − ε_m) (K, d, N, N), anti-Hermitian."""
        return self.slope * self.inverse_gap[:, None]

    def projector(self, band: int) -> Array:
        """Projector on the group of a band, in the basis of the model (K, N, N)."""
        part = self.states * self.same[:, band][:, None, :]
        return part @ self.states.conj().swapaxes(1, 2)

    def occupation(self, energy: float, temperature: float = 0.0) -> NDArray[np.floating]:
        """Fermi–Dirac occupation (K, N); temperature as k_B T in eV."""
        x = self.energies - energy
        if temperature == 0:
            return (x < 0) + 0.5 * (x == 0)
        return 0.5 * (1 - np.tanh(x / (2 * temperature)))

    def surface(
        self, energy: float, temperature: float, bands: NDArray[np.integer] | None
    ) -> NDArray[np.floating]:
        """−∂n_FD/∂ε in 1/eV (K, N); on a Fermi line 1, shared by the group of the band there."""
        if bands is not None:
            group = np.take_along_axis(self.same, bands[:, None, None], axis=1)[:, 0]
            return group / group.sum(axis=1, keepdims=True)
        x = (self.energies - energy) / (2 * temperature)
        return 1 / (4 * temperature * np.cosh(np.clip(x, -300, 300)) ** 2)


def connection(bands: Bands) -> Array:
    """Interband connection A = i P_n ∂P_m as ⟨n|A|m⟩ (K, d, N, N); zero within groups."""
    return -1j * bands.mixing


def curvature(bands: Bands) -> Array:
    """Non-Abelian Berry curvature as an axial vector F^l, (K, 3, N, N), in Å²."""
    d = pad(bands.mixing, 1)
    inside = bands.same[:, None]
    axes = [(1, 2), (2, 0), (0, 1)]
    product = np.stack([d[:, a] @ d[:, b] - d[:, b] @ d[:, a] for a, b in axes], axis=1)
    return -1j * product * inside


def metric(bands: Bands) -> Array:
    """Quantum metric g^ab of each group as matrices, (K, d, d, N, N), in Å²."""
    d = bands.mixing
    product = d[:, :, None] @ d[:, None]
    return -0.5 * (product + product.swapaxes(1, 2)) * bands.same[:, None, None]


def within(bands: Bands, matrix: Array) -> Array:
    """The part of ⟨n|X|m⟩ (K, …, N, N) that does not leave a group: P_n X P_n."""
    return matrix * bands.same.reshape(
        len(bands.k), *(1,) * (matrix.ndim - 3), *bands.same.shape[1:]
    )
