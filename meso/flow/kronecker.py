"""The operator of the moments of one parity, applied without its matrix.

    A = sum_ij K_ij (x) S_ij + M (x) C  +  walls and contacts  +  augmentation and penalties on J

with sparse matrices K_ij of (lambda^2/sigma d_i v, d_j u) and M of (v, u)/sigma for one scalar
field, material by material, and small angular matrices S_ij, C. Boundary terms act in the frame of
the normal, where cosines and sines decouple. Memory is proportional to the number of moments.

Arrays of moments have shape (nodes, N), cosine and sine by turns: rows of this rank's numbering,
shared ones on every rank that touches them; contributions of the ranks are summed by
:class:`meso.flow.layout.Layout`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import _sparsetools, coo_matrix, csr_matrix

from meso.discrete.cells import Cells, FacetGeometry, Lagrange
from meso.discrete.scalar import ScalarForms
from meso.flow import terms
from meso.flow.angular import Moments
from meso.flow.discretisation import Discretisation

#: A coefficient at cells (c,) and scaled positions (c, q, 2): (c,) or (c, q).
Coefficient = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True, slots=True, kw_only=True)
class Boundary:
    """The half-range terms of one boundary.

    Attributes:
        orders: The harmonics, of two moments each: the isotropic one has no sine.
        rows: Rows of the nodes of each facet, shape (f, p).
        trace: Basis functions at the quadrature points, shape (f, q, p).
        weight: Quadrature weight times lambda/sigma or 2 sigma/lambda, shape (f, q).
        cosine: cos(m alpha) of the angle alpha of the normal, shape (f, q, N/2).
        sine: sin(m alpha), likewise.
        normal: Matrix of the cosines about the normal, shape (N/2, N/2).
        tangential: Matrix of the sines.
    """

    orders: Sequence[int]
    rows: np.ndarray
    trace: np.ndarray
    weight: np.ndarray
    cosine: np.ndarray
    sine: np.ndarray
    normal: np.ndarray
    tangential: np.ndarray

    def add(self, x: np.ndarray, y: np.ndarray) -> None:
        """Add the term of x to y, both of shape (size, N)."""
        value = self.trace @ x[self.rows]
        c, s = value[..., ::2], value[..., 1::2]
        along = (self.cosine * c + self.sine * s) @ self.normal
        across = (self.cosine * s - self.sine * c) @ self.tangential
        out = np.empty_like(value)
        out[..., ::2] = self.cosine * along - self.sine * across
        out[..., 1::2] = self.sine * along + self.cosine * across
        out *= self.weight[..., None]
        np.add.at(y, self.rows, self.trace.transpose(0, 2, 1) @ out)


class Member:
    """The conductor's terms of one material.

    What each moment does to itself is one sparse matrix for all moments alike; the rest, which
    couples neighbours (m to m + 2) and in a magnetic field cosine and sine, goes through small
    matrices first.

    Args:
        matrices: As of :func:`scalar_matrices`.
        moments: The angular matrices.
    """

    def __init__(self, matrices: list[csr_matrix], moments: Moments) -> None:
        self.size, self.count = matrices[0].shape[0], moments.count
        rest = angular_parts(moments)
        groups: dict[tuple[float, float], list[int]] = {}
        for column in range(self.count):
            key = (float(rest[0][column, column]), float(rest[4][column, column]))
            if any(key):
                groups.setdefault((round(key[0], 13), round(key[1], 13)), []).append(column)
        #: Matrices of the moments in a range of columns, for themselves.
        self.own: list[tuple[slice, csr_matrix]] = []
        for (stress, relaxation), columns in groups.items():
            matrix = (stress * matrices[0] + relaxation * matrices[4]).tocsr()
            for run in np.split(np.array(columns), np.flatnonzero(np.diff(columns) > 1) + 1):
                self.own.append((slice(int(run[0]), int(run[-1]) + 1), matrix))
        rest[0] = rest[0] - np.diag(np.diag(rest[0]))
        rest[4] = rest[4] - np.diag(np.diag(rest[4]))
        chosen = [
            (k, np.where(abs(a) > 1e-14, a, 0.0)) for k, a in zip(matrices, rest, strict=True)
        ]
        chosen = [(k, np.ascontiguousarray(a.T)) for k, a in chosen if np.any(a) and k.nnz]
        self.others = chosen
        self._work = np.empty((self.size, self.count))

    def add(self, x: np.ndarray, y: np.ndarray) -> None:
        """Add the term of x to y, both of shape (size, N)."""
        for columns, matrix in self.own:
            if columns == slice(0, self.count):
                accumulate(matrix, x, y)
                continue
            part = np.ascontiguousarray(x[:, columns])
            out = np.zeros_like(part)
            accumulate(matrix, part, out)
            y[:, columns] += out
        for matrix, angular in self.others:
            np.matmul(x, angular, out=self._work)
            accumulate(matrix, self._work, y)


def accumulate(matrix: csr_matrix, x: np.ndarray, y: np.ndarray) -> None:
    """Y += matrix x without a temporary."""
    rows, columns = matrix.shape
    _sparsetools.csr_matvecs(
        rows,
        columns,
        x.shape[1],
        matrix.indptr,
        matrix.indices,
        matrix.data,
        x.reshape(-1),
        y.reshape(-1),
    )


def scalar_matrices(
    cells: Cells,
    space: Lagrange,
    stress: Coefficient,
    relaxation: Coefficient,
    varies: np.ndarray,
    phase: np.ndarray,
    phases: int,
    rows: np.ndarray,
    size: int,
) -> list[list[csr_matrix]]:
    """Sparse matrices of one scalar field, material by material.

    Args:
        cells: Geometry.
        space: Space of the field.
        stress: Coefficient of the gradients at cells and positions, shape (c,) or (c, q).
        relaxation: Coefficient of the values, likewise.
        varies: True for the cells whose coefficients vary, shape (c,).
        phase: Material of each cell, shape (c,).
        phases: Number of materials.
        rows: Row of each node.
        size: Number of rows of this rank.

    Returns:
        For each material: K_xx + K_yy, K_xx - K_yy, K_xy + K_yx, K_xy - K_yx, M.
    """
    p = space.dofs.shape[1]
    simple, forms = cells.affine & ~varies, ScalarForms(cells, space)
    values = np.empty((cells.count, 5, p * p))
    for batch, same in cells.batches(24 * p * p, simple):
        if not len(batch):
            continue
        points, _ = forms.quadrature(same)
        at = cells.positions(batch, points[:1] if same else points)
        k = forms.stiffness(batch, same, stress(batch, at))
        k = k.transpose(1, 3, 0, 2, 4).reshape(2, 2, len(batch), p * p)
        values[batch, 0] = k[0, 0] + k[1, 1]
        values[batch, 1] = k[0, 0] - k[1, 1]
        values[batch, 2] = k[0, 1] + k[1, 0]
        values[batch, 3] = k[0, 1] - k[1, 0]
        mass = forms.mass(batch, same, relaxation(batch, at))
        values[batch, 4] = mass.reshape(len(batch), -1)
    nodes = rows[space.dofs].astype(np.int32)
    out = []
    for index in range(phases):
        own = phase == index
        here = nodes[own]
        i, j = np.repeat(here, p, axis=1).ravel(), np.tile(here, (1, p)).ravel()
        shape = (size, size)
        # The antisymmetric part cancels inside the material.
        mats = [coo_matrix((values[own, k].ravel(), (i, j)), shape=shape).tocsr() for k in range(5)]
        scale = abs(mats[0].data).max(initial=0.0)
        mats[3].data[abs(mats[3].data) < 1e-13 * scale] = 0.0
        mats[3].eliminate_zeros()
        out.append(mats)
    return out


def angular_parts(moments: Moments) -> list[np.ndarray]:
    """The angular matrices that go with :func:`scalar_matrices`."""
    s = moments.stress
    return [
        (s[0, 0] + s[1, 1]) / 2,
        (s[0, 0] - s[1, 1]) / 2,
        (s[0, 1] + s[1, 0]) / 2,
        (s[0, 1] - s[1, 0]) / 2,
        moments.relaxation,
    ]


def boundary(
    discrete: Discretisation,
    name: str,
    rows: np.ndarray,
    weight: Callable[[FacetGeometry], np.ndarray],
    matrix: np.ndarray,
    orders: Sequence[int],
) -> Boundary:
    """The half-range terms of a boundary.

    Args:
        discrete: The discretisation.
        name: Name of the boundary.
        rows: Row of each node.
        weight: What multiplies the matrix at the quadrature points, shape (f, q).
        matrix: Angular matrix about the normal, shape (N, N).
        orders: The harmonics, of two moments each.
    """
    facets = discrete.named(name)
    geometry = discrete.geometry(facets)
    nodes = discrete.vector.dofs[facets.cell[:, None], discrete.vector.on_facet[facets.local]]
    angle = np.arctan2(geometry.normal[..., 1], geometry.normal[..., 0])[..., None]
    m = np.array(orders)
    return Boundary(
        orders=orders,
        rows=rows[nodes],
        trace=terms.trace(geometry, discrete.vector),
        weight=geometry.weight * weight(geometry),
        cosine=np.cos(m * angle),
        sine=np.sin(m * angle),
        normal=matrix[::2, ::2],
        tangential=matrix[1::2, 1::2],
    )
