"""What each moment does to itself, factorised: the preconditioner of moments of one parity.

Of the operator it keeps the diagonal angular entries, with the mean of what boundaries do to cosine
and sine: one scalar matrix for all moments that relax alike, factorised once, applied to all of
them at a time. At smooth walls, where cosine and sine differ much, it takes them as a pair.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from petsc4py import PETSc
from scipy.sparse import coo_matrix, csr_matrix, triu

from meso.discrete.algebra import global_matrix
from meso.discrete.solvers import factorised, free
from meso.flow.angular import Moments
from meso.flow.kronecker import Boundary, angular_parts
from meso.flow.layout import Layout

#: (1 - p)/(1 + p) below which cosine and sine are taken as a pair: p = 0.98. Pairs need fewer
#: iterations from p = 0.9, but cost more in all (measured).
PAIRED = (1 - 0.98) / (1 + 0.98)


class Block:
    """A factorised scalar matrix for several moments, or for the pair of one.

    Args:
        layout: Rows over all ranks.
        factor: The factor.
        width: 1, or 2 for a pair.
        columns: The moments.
    """

    def __init__(self, layout: Layout, factor: PETSc.Mat, width: int, columns: np.ndarray) -> None:
        self.factor, self.width, self.columns = factor, width, columns
        count = len(columns) // width
        shape = ((width * layout.owned, width * layout.total), (count, count))
        self.right = PETSc.Mat().createDense(shape, comm=layout.comm)
        self.left = PETSc.Mat().createDense(shape, comm=layout.comm)
        for mat in (self.right, self.left):
            mat.setUp()
            mat.assemble()

    def solve(self, r: np.ndarray, z: np.ndarray) -> None:
        """Solve for these moments of r, shape (owned, N), and put them in z."""
        array = self.right.getDenseArray()
        if self.width == 2:
            array[:, 0] = r[:, self.columns].ravel()
        else:
            array[:] = r[:, self.columns]
        self.right.assemble()
        self.factor.matSolve(self.right, self.left)
        values = self.left.getDenseArray(readonly=True)
        z[:, self.columns] = values.reshape(-1, 2) if self.width == 2 else values

    def close(self) -> None:
        """Free the factor, which other blocks may share, on all ranks together."""
        free(self.right, self.left, self.factor)


def blocks(
    layout: Layout,
    matrices: Sequence[list[csr_matrix]],
    members: Sequence[Moments],
    boundaries: Sequence[Boundary],
    halves: Sequence[Iterable[np.ndarray]],
    *,
    paired: bool,
) -> list[list[Block]]:
    """The factors of some moments.

    Args:
        layout: Rows over all ranks.
        matrices: As of :func:`meso.flow.kronecker.scalar_matrices`.
        members: Angular matrices of each material.
        boundaries: Boundary terms.
        halves: Sets of moments that are solved for at a time: cosine and sine of each harmonic,
            or one moment alone.
        paired: Whether cosine and sine are to be taken as pairs.

    Returns:
        For each half: one block for all moments that are alike, or one for each pair. Moments that
        are alike have one factor, also in different halves.
    """
    factors: dict[tuple[float, ...], PETSc.Mat] = {}
    out: list[list[Block]] = []
    for half in halves:
        groups: dict[tuple[float, ...], list[np.ndarray]] = {}
        for own in half:
            first, entries = int(own[0]), []
            for moments in members:
                parts = angular_parts(moments)
                entries += [round(float(parts[i][first, first]), 12) for i in (0, 4)]
            distinct = paired or len(own) == 1
            groups.setdefault((*entries, float(first) if distinct else -1.0), []).append(own)
        out.append([])
        for key, alike in groups.items():
            width = 2 if paired and len(alike[0]) == 2 else 1
            if key not in factors:
                harmonic = int(alike[0][0]) // 2
                upper = _matrix(layout, matrices, boundaries, key, harmonic, width)
                factors[key] = _factor(layout, upper, width)
            out[-1].append(Block(layout, factors[key], width, np.concatenate(alike)))
    return out


def _factor(layout: Layout, upper: csr_matrix, width: int) -> PETSc.Mat:
    """The factor of a matrix whose upper half on this rank is given."""
    rows = width * layout.rows[:, None] + np.arange(width, dtype=np.int32)
    few = _Few(
        layout.comm, rows.ravel().astype(np.int32), width * layout.owned, width * layout.total
    )
    matrix = global_matrix(upper, few, half=True)  # type: ignore[arg-type]
    return factor_of(matrix, definite=True)


def _matrix(
    layout: Layout,
    matrices: Sequence[list[csr_matrix]],
    boundaries: Sequence[Boundary],
    angular: tuple[float, ...],
    harmonic: int,
    width: int,
) -> csr_matrix:
    """Upper half of a scalar matrix, or of that of a pair, on this rank.

    ``angular`` has the entries of stress and relaxation, material by material.
    """
    size, k = layout.size, harmonic
    matrix = csr_matrix((size, size))
    for i, own in enumerate(matrices):
        # Half of the trace of the stress acts with K_xx + K_yy.
        matrix = matrix + angular[2 * i] * own[0] + angular[2 * i + 1] * own[4]
    full = matrix.tocoo()
    rows = [width * full.row + i for i in range(width)]
    columns = [width * full.col + i for i in range(width)]
    values = [full.data] * width
    for part in boundaries:
        normal, tangential = part.normal[k, k], part.tangential[k, k]
        if width == 2:
            c, s = part.cosine[..., k], part.sine[..., k]
            frame = np.empty((*c.shape, 2, 2))
            frame[..., 0, 0] = normal * c * c + tangential * s * s
            frame[..., 1, 1] = normal * s * s + tangential * c * c
            frame[..., 0, 1] = frame[..., 1, 0] = (normal - tangential) * c * s
        else:
            # The isotropic moment has no sine.
            mean = (normal + tangential) / 2 if part.orders[k] else normal
            frame = np.full((*part.weight.shape, 1, 1), mean)
        frame *= part.weight[..., None, None]
        block = np.einsum("fqab,fqm,fqn->fmanb", frame, part.trace, part.trace, optimize=True)
        f, p = part.rows.shape
        mine = (width * part.rows[:, :, None] + np.arange(width)).reshape(f, p * width)
        rows.append(np.repeat(mine, p * width, axis=1).ravel())
        columns.append(np.tile(mine, (1, p * width)).ravel())
        values.append(block.ravel())
    data, at = np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))
    whole = coo_matrix((data, at), shape=(size * width, size * width)).tocsr()
    return triu(whole).tocsr()


@dataclass(frozen=True, slots=True)
class _Few:
    """What :func:`meso.discrete.algebra.global_matrix` needs to know of a numbering."""

    comm: PETSc.Comm
    to_global: np.ndarray
    owned: int
    total: int


def factor_of(matrix: PETSc.Mat, *, definite: bool) -> PETSc.Mat:
    """Factor of a symmetric matrix, which is freed: in parallel PETSc would keep it."""
    pc, factor = factorised(matrix, definite=definite)
    free(pc, matrix)
    return factor
