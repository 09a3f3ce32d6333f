"""What each moment does to itself, factorised: the preconditioner of moments of one parity.

Of the operator it keeps the diagonal angular entries, with the mean of what boundaries do to cosine
and sine: one scalar matrix for all moments that relax alike, factorised once, applied to all of
them at a time. At smooth walls, where cosine and sine differ much, it takes them as a pair; on a
sphere each function of a degree alone, or where walls are oblique all of them together.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from scipy.sparse import bsr_matrix, csr_matrix, identity, kron

from meso.discrete.algebra import global_matrix
from meso.discrete.solvers import factor_of, free, solve_columns
from meso.discrete.sparse import Rows
from meso.discrete.subdomains import Subdomains
from meso.errors import ConvergenceError
from meso.flow.kronecker import Kronecker, angular_parts, on_or_above
from meso.mpi import largest

#: (1 - p)/(1 + p) below which cosine and sine are taken as a pair: p = 0.98. Pairs need fewer
#: iterations from p = 0.9, but cost more in all (measured).
PAIRED = (1 - 0.98) / (1 + 0.98)


class Block:
    """A factorised scalar matrix for some moments, or (width 2 and more) for a group of them."""

    def __init__(self, factor: Any, width: int, columns: np.ndarray) -> None:
        self.factor, self.width, self.columns = factor, width, columns

    def solve(self, r: np.ndarray, z: np.ndarray) -> None:
        """Solve for these moments of r, shape (N, owned), and put them in z."""
        fronts = isinstance(self.factor, Subdomains)
        if fronts and self.width == 1:
            self.factor.solve_columns(r, self.columns, z)
            return
        rows, sides = r.shape[1], len(self.columns) // self.width  # a rank may have no rows
        own = r[self.columns].reshape(sides, self.width, rows).swapaxes(1, 2)
        right = own.reshape(sides, rows * self.width)
        if fronts:
            found = np.empty(right.shape)
            self.factor.solve_columns(right, np.arange(sides), found)
        else:
            found = solve_columns(self.factor, right.T).T
        found = found.reshape(sides, rows, self.width)
        z[self.columns] = found.swapaxes(1, 2).reshape(len(self.columns), rows)

    def close(self) -> None:
        """Free the factor, which other blocks may share, on all ranks together."""
        free(self.factor)


def blocks(
    rows: Rows,
    operator: Kronecker,
    halves: Sequence[Iterable[np.ndarray]],
    *,
    paired: bool,
    order: tuple[np.ndarray, np.ndarray] | None = None,
    single: bool = True,
) -> list[list[Block]]:
    """The factors of some moments, on rows over all ranks.

    A half has cosine and sine of some harmonics, one moment alone, or all of a degree, which are
    solved for at a time: by one block for all that are alike or, where they are to be taken as
    pairs, one for each. Moments that are alike have one factor, also in different halves.
    ``order`` is that of nodes and fronts on each rank, in 2D: with it factors are kept in
    ``single`` precision.
    """
    apart = paired and not _oblique(rows, operator)
    angular = [angular_parts(member) for member in operator.members]
    factors: dict[tuple[float, ...], Any] = {}
    out: list[list[Block]] = []
    for half in halves:
        groups: dict[tuple[float, ...], list[np.ndarray]] = {}
        for own in (part for group in half for part in _parts(group, apart)):
            first = own[0]
            # The mean of the diagonal of the stress acts with the sum of K_ii.
            entries = [
                round(float(parts[i, first, first]), 12) for parts in angular for i in (0, -1)
            ]
            distinct = paired or len(own) == 1
            groups.setdefault((*entries, float(first) if distinct else -1.0), []).append(own)
        out.append([])
        for key, alike in groups.items():
            width = len(alike[0]) if paired else 1
            if key not in factors:
                matrix = _matrix(operator, key, alike[0], width)
                scalars = Rows(rows.numbering, rows.comm, width)
                kind = {"many": len(alike) > 1, "single": single}
                factors[key] = _factor(matrix, scalars, order, **kind)
            out[-1].append(Block(factors[key], width, np.concatenate(alike)))
    return out


def _factor(
    matrix: bsr_matrix | csr_matrix,
    rows: Rows,
    order: tuple[np.ndarray, np.ndarray] | None,
    **kind: bool,
) -> Any:
    if order is not None:
        nodes, starts = order
        each = (rows.block * nodes[:, None] + np.arange(rows.block)).ravel()
        with suppress(ConvergenceError):
            return Subdomains(matrix.tocsr(), rows, each, rows.block * starts, **kind)
    return factor_of(over_ranks(matrix, rows), definite=True, often=True)


def _parts(group: np.ndarray, apart: bool) -> list[np.ndarray]:
    """Pairs as they are, degrees of a sphere whole or apart."""
    return list(group[:, None]) if apart and len(group) > 2 else [group]


def _oblique(rows: Rows, operator: Kronecker) -> bool:
    """Whether boundaries mix functions that are even and odd under their reflections."""
    along = [np.abs(part.normal).max(axis=1) for part in operator.boundaries]
    return largest(rows.comm, max((1.0 - n.min(initial=1.0) for n in along), default=0.0)) > 1e-9


def _matrix(
    operator: Kronecker, entries: tuple[float, ...], columns: np.ndarray, width: int
) -> csr_matrix:
    """The scalar matrix of moments that are alike, or that of a pair, on this rank.

    ``entries`` are those of stress and relaxation, material by material.
    """
    pairs = np.reshape(entries[: 2 * len(operator.scalars)], (-1, 2))
    matrix = sum(k.shared(s, c) for k, (s, c) in zip(operator.scalars, pairs, strict=True))
    if width > 1:
        both = kron(matrix, identity(width), format="bsr")
        return sum((part.explicit(columns) for part in operator.boundaries), both)
    return sum((part.mean(columns) for part in operator.boundaries), matrix)


def over_ranks(local: bsr_matrix | csr_matrix, rows: Rows) -> Any:
    """A symmetric matrix, for a factorisation, from what each rank contributes to it.

    Blocks below the diagonal are not looked at.
    """
    whole = local.tocsr()
    upper, indptr = on_or_above(whole.indptr, whole.indices)
    half = csr_matrix((whole.data[upper], whole.indices[upper], indptr), shape=whole.shape)
    del whole
    return global_matrix(half, rows, half=True)
