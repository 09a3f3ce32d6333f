"""Quantum geometry of Bloch bands: groups, projectors, connection, curvature, metric.

Bands that are degenerate form a group; everything here is a matrix within a group or between two,
so that it turns with the states and traces over a group do not depend on how they were chosen.
Derivatives of states are never taken: with D_a = ⟨n|∂_aH|m⟩/(ε_n − ε_m) between groups

    connection  A_nm = i P_n ∂_a P_m = −i D_a
    curvature   F^ab = i P_n [∂_a P_n, ∂_b P_n] P_n = −i [D_a, D_b] within a group
    metric      g^ab = −½ {D_a, D_b} within a group

Directions are always three: along z nothing disperses in a model of the plane.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from meso.bands.model import Array, Floats, Model
from meso.bands.symmetry import pad

#: Levels closer than this (eV) belong to one group, or than the `resolution` of a model.
DEGENERATE = 1e-7


@dataclass(frozen=True)
class Electrons:
    """A model whose states are filled up to an energy (eV), at a temperature (k_B T in eV)."""

    model: Model
    energy: float = 0.0
    temperature: float = 0.0

    def bands(self, k: Floats, line: NDArray[np.integer] | None = None) -> Bands:
        """The bands at wave vectors (K, d); on a Fermi line with the band that crosses there."""
        return Bands(electrons=self, k=k, line=line)


@dataclass(frozen=True, kw_only=True, eq=False)
class Bands:
    """Levels and states at a batch of k (K, d), and matrices between them: made when needed."""

    electrons: Electrons
    k: Floats
    line: NDArray[np.integer] | None = None

    @property
    def model(self) -> Model:
        """The model."""
        return self.electrons.model

    @cached_property
    def _solved(self) -> tuple[Floats, Array]:
        return np.linalg.eigh(self.model.hamiltonian(self.k))

    @cached_property
    def energies(self) -> Floats:
        """(K, N), ascending."""
        return self._solved[0]

    @cached_property
    def states(self) -> Array:
        """Columns (K, N, N)."""
        return self._solved[1]

    def between(self, matrix: Array) -> Array:
        """Matrix elements ⟨n|…|m⟩ of (K or 1, …, N, N), as (K, …, N, N)."""
        states = self._as(self.states, matrix)
        return states.conj().swapaxes(-1, -2) @ matrix @ states

    def back(self, matrix: Array) -> Array:
        """From the basis of the bands to that of the model, (K, …, N, N)."""
        states = self._as(self.states, matrix)
        return states @ matrix @ states.conj().swapaxes(-1, -2)

    def within(self, matrix: Array) -> Array:
        """The part of ⟨n|X|m⟩ (K, …, N, N) that does not leave a group: P_n X P_n."""
        return matrix * self._as(self.same, matrix)

    @staticmethod
    def _as(square: Array, matrix: Array) -> Array:
        """(K, N, N) with as many axes in the middle as a matrix has."""
        return square.reshape(len(square), *(1,) * (matrix.ndim - 3), *square.shape[1:])

    @cached_property
    def labels(self) -> NDArray[np.integer]:
        """Number of the group that each band belongs to (K, N)."""
        least = max(DEGENERATE, getattr(self.model, "resolution", 0.0))
        gaps = np.diff(self.energies, axis=1, prepend=self.energies[:, :1]) > least
        return np.cumsum(gaps, axis=1)

    @cached_property
    def same(self) -> NDArray[np.bool_]:
        """Whether two bands belong to one group (K, N, N)."""
        return self.labels[:, :, None] == self.labels[:, None, :]

    @cached_property
    def inverse_gap(self) -> Floats:
        """1/(ε_n − ε_m) between groups, zero within (K, N, N)."""
        gap = self.energies[:, :, None] - self.energies[:, None, :]
        return np.where(self.same, 0.0, 1 / np.where(self.same, 1.0, gap))

    @cached_property
    def slope(self) -> Array:
        """⟨n|∂H/∂k|m⟩ (K, 3, N, N)."""
        return pad(self.between(self.model.gradient(self.k)), 1)

    @cached_property
    def bend(self) -> Array:
        """⟨n|∂²H/∂k∂k|m⟩ (K, 3, 3, N, N)."""
        return pad(self.between(self.model.hessian(self.k)), 1, 2)

    @cached_property
    def mixing(self) -> Array:
        """D_a = ⟨n|∂_aH|m⟩/(ε_n − ε_m) (K, 3, N, N), anti-Hermitian."""
        return self.slope * self.inverse_gap[:, None]

    @property
    def connection(self) -> Array:
        """Interband connection A = i P_n ∂P_m as ⟨n|A|m⟩ (K, 3, N, N); zero within groups."""
        return -1j * self.mixing

    @property
    def curvature(self) -> Array:
        """Non-Abelian Berry curvature as an axial vector F^l (K, 3, N, N), in Å²."""
        d = self.mixing
        axes = [(1, 2), (2, 0), (0, 1)]
        product = np.stack([d[:, a] @ d[:, b] - d[:, b] @ d[:, a] for a, b in axes], axis=1)
        return -1j * self.within(product)

    @property
    def metric(self) -> Array:
        """Quantum metric g^ab of each group as matrices (K, 3, 3, N, N), in Å²."""
        product = self.mixing[:, :, None] @ self.mixing[:, None]
        return -0.5 * self.within(product + product.swapaxes(1, 2))

    def projector(self, band: int | NDArray[np.integer]) -> Array:
        """Projector on the group of a band, in the basis of the model (K, N, N)."""
        group = self.same[np.arange(len(self.k)), band]
        return (self.states * group[:, None]) @ self.states.conj().swapaxes(1, 2)

    def mean(self, diagonal: Array) -> Array:
        """Values of bands (K, …, N) averaged over the bands degenerate with each."""
        share = self.same / self.same.sum(axis=2, keepdims=True)
        return np.einsum("k...n,kmn->k...m", diagonal, share)

    def expectation(self, matrix: Array) -> Floats:
        """⟨n|M|n⟩ averaged over groups, for M (…, N, N) in the basis of the model: (K, …, N)."""
        u = self.states
        return self.mean(np.einsum("kmn,...mp,kpn->k...n", u.conj(), matrix, u, optimize=True).real)

    @cached_property
    def velocity(self) -> Floats:
        """∂ε/∂k of the bands, averaged over groups (K, 3, N), in eV Å."""
        return self.mean(np.einsum("kann->kan", self.slope).real)

    @cached_property
    def occupation(self) -> Floats:
        """Fermi–Dirac occupation (K, N)."""
        x = self.energies - self.electrons.energy
        if self.electrons.temperature == 0:
            return (x < 0) + 0.5 * (x == 0)
        return 0.5 * (1 - np.tanh(x / (2 * self.electrons.temperature)))

    @cached_property
    def surface(self) -> Floats:
        """−∂n_FD/∂ε in 1/eV (K, N); on a Fermi line 1, shared by the group of the band there."""
        if self.line is not None:
            group = self.same[np.arange(len(self.k)), self.line]
            return group / group.sum(axis=1, keepdims=True)
        smear = self.electrons.temperature
        x = (self.energies - self.electrons.energy) / (2 * smear)
        return 1 / (4 * smear * np.cosh(np.clip(x, -300, 300)) ** 2)
