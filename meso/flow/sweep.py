"""The preconditioner of moments of one parity: a sweep over every other harmonic, and back.

The conductor couples a harmonic m to m - 2 and m + 2 only. With D for what each moment does to
itself (:mod:`meso.flow.blocks`) and L for what the conductor carries from one half of the
harmonics, every other one, to the other half,

    P = (D + L) D^-1 (D + L^T),

which is positive definite if D is. Where D is exact, the eigenvalues mu of D^-1 (L + L^T) leave a
condition number of 1/(1 - mu^2), against (1 + mu)/(1 - mu) of D alone: half of the iterations, each
of which costs about one and a half times as much. Where mean free paths are shorter than the cells,
mu is small and D alone the faster one: then there is no first half.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from meso.discrete.krylov import Operator
from meso.discrete.sparse import Rows
from meso.flow.kronecker import Kronecker


class Solve(Protocol):
    """What solves for some moments, its columns."""

    columns: np.ndarray

    def solve(self, r: np.ndarray, z: np.ndarray) -> None:
        """Solve for these moments of r, shape (N, owned), and put them in z."""

    def close(self) -> None:
        """Free the memory, on all ranks together."""


class Coupling:
    """What the conductor carries from some moments, ``source``, to others."""

    def __init__(
        self, rows: Rows, operator: Kronecker, target: np.ndarray, source: np.ndarray
    ) -> None:
        self._local, self._target, self._source = operator.coupling(target, source), target, source
        # Not all moments are in a half: the sine of m = 0 is none.
        self._operator: Operator | None = None
        self._count = operator.members[0].count
        if rows.comm.size > 1:
            each = (Rows(rows.numbering, rows.comm, len(c), apart=True) for c in (target, source))
            self._operator = Operator(self._some, *each)

    def _some(self, x: np.ndarray) -> np.ndarray:
        """Without the other moments, on the rows of this rank."""
        shape = self._count, x.shape[1]
        whole, out = np.zeros(shape), np.zeros(shape)
        whole[self._source] = x
        self._local(whole, out)
        return -out[self._target]

    def subtract(self, x: np.ndarray, y: np.ndarray) -> None:
        """Subtract it from y, both all moments on owned rows, (N, owned)."""
        if self._operator is None:
            self._local(x, y)
        else:
            y[self._target] -= self._operator(x[self._source])

    def close(self) -> None:
        """Free it, on all ranks together."""
        if self._operator is not None:
            self._operator.close()


class Sweep:
    """P^-1, from factors of the half that is solved for twice, if any, and of the other half."""

    def __init__(
        self, rows: Rows, operator: Kronecker, first: Sequence[Solve], second: Sequence[Solve]
    ) -> None:
        self._twice, self._once = first, second
        self._couplings: list[Coupling] = []
        if first:
            one, two = (
                np.sort(np.concatenate([f.columns for f in half])) for half in (first, second)
            )
            pairs = (two, one), (one, two)
            self._couplings = [Coupling(rows, operator, *pair) for pair in pairs]

    def __call__(self, r: np.ndarray) -> np.ndarray:
        """P^-1 r, shape (N, owned)."""
        z, load = np.zeros(r.shape), r
        if self._couplings:
            for half in self._twice:
                half.solve(r, z)
            load = r.copy()
            self._couplings[0].subtract(z, load)
        for half in self._once:
            half.solve(load, z)
        if self._couplings:
            self._couplings[1].subtract(z, load)
            for half in self._twice:
                half.solve(load, z)
        return z

    def close(self) -> None:
        """Free the factors, on all ranks together."""
        for part in (*self._twice, *self._once):
            part.close()
        for coupling in self._couplings:
            coupling.close()
