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
from scipy.sparse import csr_matrix

from meso.flow.angular import Moments
from meso.flow.blocks import Block
from meso.flow.kronecker import accumulate, angular_parts
from meso.flow.layout import Layout

#: Solves for some moments of the first array and puts them in the second.
Solve = Callable[[np.ndarray, np.ndarray], None]


class Coupling:
    """What the conductor carries from some moments to others.

    Args:
        layout: Rows over all ranks.
        matrices: As of :func:`meso.flow.kronecker.scalar_matrices`.
        members: Angular matrices of each material.
        source: Columns of the moments that act.
        target: Columns of those that they act on.
    """

    def __init__(
        self,
        layout: Layout,
        matrices: Sequence[list[csr_matrix]],
        members: Sequence[Moments],
        source: np.ndarray,
        target: np.ndarray,
    ) -> None:
        self.layout, self.source, self.count = layout, source, len(target)
        self.terms: list[tuple[csr_matrix, np.ndarray]] = []
        for own, moments in zip(matrices, members, strict=True):
            for matrix, angular in zip(own, angular_parts(moments), strict=True):
                part = angular[np.ix_(target, source)]
                part = np.where(abs(part) > 1e-14, part, 0.0)
                if matrix.nnz and np.any(part):
                    self.terms.append((matrix, np.ascontiguousarray(part.T)))

    def __call__(self, z: np.ndarray) -> np.ndarray:
        """Of z, shape (owned, N): the moments acted on, shape (owned, targets)."""
        touched = self.layout.spread(np.ascontiguousarray(z[:, self.source]))
        out = np.zeros((self.layout.size, self.count))
        for matrix, angular in self.terms:
            accumulate(matrix, touched @ angular, out)
        return self.layout.gather(out)


class Sweep:
    """P^-1.

    Args:
        layout: Rows over all ranks.
        matrices: As of :func:`meso.flow.kronecker.scalar_matrices`.
        members: Angular matrices of each material.
        first: Factors of the half that is solved for twice.
        second: Factors of the other half.
        also: Solves for moments of the other half that have no such factors.
        without: Columns of these.
    """

    def __init__(
        self,
        layout: Layout,
        matrices: Sequence[list[csr_matrix]],
        members: Sequence[Moments],
        first: Sequence[Block],
        second: Sequence[Block],
        also: Solve | None = None,
        without: Sequence[int] = (),
    ) -> None:
        self.blocks, self.others, self.also = first, second, also
        self.first = np.sort(np.concatenate([[], *(b.columns for b in first)]).astype(int))
        self.second = np.sort(np.concatenate([without, *(b.columns for b in second)]).astype(int))
        self.forth = Coupling(layout, matrices, members, self.first, self.second)
        self.back = Coupling(layout, matrices, members, self.second, self.first)

    def __call__(self, r: np.ndarray) -> np.ndarray:
        """P^-1 r, shape (owned, N)."""
        z = np.zeros_like(r)
        for block in self.blocks:
            block.solve(r, z)
        load = r
        if self.blocks:
            load = r.copy()
            load[:, self.second] -= self.forth(z)
        if self.also is not None:
            self.also(load, z)
        for block in self.others:
            block.solve(load, z)
        if self.blocks:
            load = r.copy()
            load[:, self.first] -= self.back(z)
            for block in self.blocks:
                block.solve(load, z)
        return z

    def close(self) -> None:
        """Free the factors, on all ranks together."""
        for block in (*self.blocks, *self.others):
            block.close()
