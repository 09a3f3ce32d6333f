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

from collections.abc import Callable, Sequence

import numpy as np

from meso.discrete.sparse import Rows
from meso.flow.blocks import Block
from meso.flow.kronecker import Kronecker
from meso.flow.krylov import Operator

#: Solves for some moments of the first array and puts them in the second.
Solve = Callable[[np.ndarray, np.ndarray], None]


class Sweep:
    """P^-1.

    Args:
        rows: Rows over all ranks.
        operator: The operator.
        first: Factors of the half that is solved for twice.
        second: Factors of the other half.
        also: Solves for moments of the other half that have no such factors.
        without: Columns of these.
    """

    def __init__(
        self,
        rows: Rows,
        operator: Kronecker,
        first: Sequence[Block],
        second: Sequence[Block],
        also: Solve | None = None,
        without: Sequence[int] = (),
    ) -> None:
        self.blocks, self.others, self.also = first, second, also
        self.first = np.sort(np.concatenate([[], *(b.columns for b in first)]).astype(int))
        self.second = np.sort(np.concatenate([without, *(b.columns for b in second)]).astype(int))
        self.couplings: list[Operator] = []
        if first:
            one, two = (Rows(rows.numbering, rows.comm, len(c)) for c in (self.first, self.second))
            forth = operator.prepared(self.second, self.first)
            back = operator.prepared(self.first, self.second)
            self.couplings = [Operator(forth, two, one), Operator(back, one, two)]

    def __call__(self, r: np.ndarray) -> np.ndarray:
        """P^-1 r, shape (owned, N)."""
        z = np.zeros_like(r)
        for block in self.blocks:
            block.solve(r, z)
        load = r
        if self.blocks:
            load = r.copy()
            load[:, self.second] -= self.couplings[0](z[:, self.first])
        if self.also is not None:
            self.also(load, z)
        for block in self.others:
            block.solve(load, z)
        if self.blocks:
            load = r.copy()
            load[:, self.first] -= self.couplings[1](z[:, self.second])
            for block in self.blocks:
                block.solve(load, z)
        return z

    def close(self) -> None:
        """Free the factors, on all ranks together."""
        for block in (*self.blocks, *self.others):
            block.close()
        for coupling in self.couplings:
            coupling.close()
