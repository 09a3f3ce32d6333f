"""The operator of the moments of one parity: scalar matrices times angular ones.

    A = sum_ij K_ij (x) S_ij + M (x) C  +  walls and contacts

with sparse matrices K_ij of (stress d_j u, d_i v) and M of (relaxation u, v) for one scalar field,
which DOLFINx assembles material by material, and small angular matrices S_ij, C. Boundary terms
act at quadrature points in the frame of the normal, where cosines and sines decouple. Memory is
proportional to the number of moments.

Arrays of moments have shape (rows, N), or in iterations (N, rows), cosine and sine by turns. Each
rank has what its own cells contribute to the rows that it touches.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import basix.ufl
import dolfinx
import numpy as np
import ufl
from scipy.sparse import bsr_matrix, coo_matrix, csr_matrix, diags, kron

from meso.compiled import ffi, functional, library
from meso.device import Device
from meso.discrete.cells import FacetGeometry, cells_of, facet_geometry, lagrange, space
from meso.equations import moments as equations
from meso.flow.angular import Moments
from meso.flow.basis import WallMatrix
from meso.flow.discretisation import trace
from meso.mpi import largest

_HEADER = """
void multiply(int32_t, const int32_t *, const int32_t *, int, const double *, int,
              const int64_t *, int, const int64_t *, int, const int32_t *, const double *, double,
              const double *, double *, double *);
"""
#: A coefficient at cells (c,) and positions over the extent (c, q, d): (c,) or (c, q).
Coefficient = Callable[[np.ndarray, np.ndarray], np.ndarray]


@cache
def _library() -> Any:
    return library("kronecker", _HEADER, Path(__file__).with_suffix(".c").read_text())


def patterns(dimension: int) -> np.ndarray:
    """Orthogonal matrices P of pairs of directions, shape (d^2, d, d).

    First the unit matrix, then others on the diagonal, symmetric and antisymmetric ones.
    """
    one = np.eye(dimension)
    pairs = [np.outer(one[i], one[j]) for j in range(dimension) for i in range(j)]
    steps = [np.diag(one[:k].sum(axis=0) - k * one[k]) for k in range(1, dimension)]
    return np.array([one, *steps, *(p + p.T for p in pairs), *(p - p.T for p in pairs)])


@dataclass(frozen=True, slots=True)
class Scalars:
    """CSR matrices of one scalar field in one material, of one pattern.

    ``values`` are of P_ij K_ij for the matrices P of :func:`patterns`, in 2D K_xx + K_yy, K_xx -
    K_yy, K_xy + K_yx, K_xy - K_yx; and of M, shape (d^2 + 1, entries).
    """

    indptr: np.ndarray
    indices: np.ndarray
    values: np.ndarray

    @property
    def size(self) -> int:
        """Number of rows."""
        return len(self.indptr) - 1

    def shared(self, stress: float, relaxation: float) -> csr_matrix:
        """What moments that are alike do to themselves."""
        return self._with(stress * self.values[0] + relaxation * self.values[-1])

    def each(self) -> list[csr_matrix]:
        """The matrices, which share the values."""
        return [self._with(values) for values in self.values]

    def _with(self, values: np.ndarray) -> csr_matrix:
        return csr_matrix((values, self.indices, self.indptr), shape=(self.size, self.size))

    def explicit(self, moments: Moments, columns: np.ndarray, *, half: bool = False) -> bsr_matrix:
        """The conductor's terms of some moments as one matrix, or half of its blocks."""
        indptr, indices, values = self.indptr, self.indices, self.values
        if half:
            upper, indptr = on_or_above(indptr, indices)
            indices, values = indices[upper], values[:, upper]
        n = len(columns)
        angular = angular_parts(moments)[:, columns[:, None], columns].reshape(-1, n * n)
        blocks = np.ascontiguousarray((angular.T @ values).T).reshape(-1, n, n)
        return bsr_matrix((blocks, indices, indptr), shape=(n * self.size,) * 2)

    def on(self, rows: np.ndarray, size: int) -> Scalars:
        """The matrices on numbered rows, several of which may be one."""
        if size == self.size and (rows == np.arange(size)).all():
            return self
        i = rows[np.repeat(np.arange(self.size), np.diff(self.indptr))]
        at = (i, rows[self.indices])
        parts = [coo_matrix((v, at), shape=(size, size)).tocsr() for v in self.values]
        values = np.array([part.data for part in parts])
        return Scalars(parts[0].indptr, parts[0].indices, values)


class Product:
    """The conductor's terms of one material, from moments ``source`` to ``target``, or of all.

    A loop in C: what a row of the scalar matrices does to all moments, then the angular matrices.
    """

    def __init__(
        self,
        scalars: Scalars,
        moments: Moments,
        target: np.ndarray | None = None,
        source: np.ndarray | None = None,
    ) -> None:
        angular = angular_parts(moments)
        weights = np.eye(len(angular))
        every = np.arange(moments.count)
        self._target, self._source = every, every
        if target is None or source is None:
            # What most moments do to themselves is one sparse matrix for all of them.
            s, r = angular[0, -1, -1], angular[-1, -1, -1]
            alike = np.isclose(angular[-1].diagonal(), r)
            own = np.diag(alike.astype(float))
            angular[0] -= s * own
            angular[-1] -= r * own
            angular = np.concatenate([own[None], angular])
            weights = np.vstack([s * weights[0] + r * weights[-1], weights])
        else:
            self._target, self._source = target, source
            angular = angular[:, target[:, None], source]
        angular = np.where(np.abs(angular) > 1e-14, angular, 0.0)
        used = angular.any(axis=(1, 2))
        values, angular = weights[used] @ scalars.values, angular[used]
        # The antisymmetric part cancels inside the material.
        there = np.abs(values) > 1e-13 * np.abs(scalars.values).max(initial=0.0)
        few = there.sum(axis=1) < there.shape[1] / 2
        self._parts = [
            self._part(scalars, values[some], there[some].any(axis=0), angular[some])
            for some in (~few, few)
            if some.any()
        ]
        stride = -len(self._source) % 8 + len(self._source)
        self._work = np.empty((scalars.size + 8 * len(values)) * stride)

    @staticmethod
    def _part(
        scalars: Scalars, values: np.ndarray, keep: np.ndarray, angular: np.ndarray
    ) -> tuple[np.ndarray, ...]:
        """Some of the scalar matrices, entries that are there, and terms of the angular ones."""
        pointer = np.concatenate([[0], np.cumsum(keep)])[scalars.indptr].astype(np.int32)
        terms = np.ascontiguousarray(np.argwhere(angular.swapaxes(0, 1)), dtype=np.int32)
        factors = np.ascontiguousarray(angular[terms[:, 1], terms[:, 0], terms[:, 2]])
        columns = scalars.indices[keep].astype(np.int32)
        return pointer, columns, np.ascontiguousarray(values[:, keep].T), terms, factors

    def add(self, x: np.ndarray, y: np.ndarray, sign: float = 1.0) -> None:
        """Add it, or subtract it, from some rows of x to some of y, both of shape (N, rows)."""
        source, target = self._source, self._target
        for pointer, columns, values, terms, factors in self._parts:
            _library().multiply(
                len(pointer) - 1,
                ffi.from_buffer("int32_t[]", pointer),
                ffi.from_buffer("int32_t[]", columns),
                values.shape[1],
                ffi.from_buffer("double[]", values),
                len(source),
                ffi.from_buffer("int64_t[]", source),
                len(target),
                ffi.from_buffer("int64_t[]", target),
                len(terms),
                ffi.from_buffer("int32_t[]", terms),
                ffi.from_buffer("double[]", factors),
                sign,
                ffi.from_buffer("double[]", np.ascontiguousarray(x)),
                ffi.from_buffer("double[]", y, require_writable=True),
                ffi.from_buffer("double[]", self._work, require_writable=True),
            )


class Boundary:
    """The half-range terms of one boundary.

    Args:
        trace: From rows to values at quadrature points.
        weight: Their weights times lambda/sigma or 2 sigma/lambda, shape (points,).
        normal: Outward normals there, shape (points, d).
        matrix: Angular matrix.
    """

    def __init__(
        self, trace: csr_matrix, weight: np.ndarray, normal: np.ndarray, matrix: WallMatrix
    ) -> None:
        self.trace, self.weight, self.normal, self.matrix = trace, weight, normal, matrix
        self.rows = np.unique(trace.indices)
        self._trace = trace[:, self.rows]
        self._apply = matrix.on(normal)

    def on(self, rows: np.ndarray, size: int) -> Boundary:
        """The terms on numbered rows, several of which may be one."""
        t = self.trace
        trace = csr_matrix((t.data, rows[t.indices], t.indptr), shape=(t.shape[0], size))
        return Boundary(trace, self.weight, self.normal, self.matrix)

    def add(self, x: np.ndarray, y: np.ndarray) -> None:
        """Add the term of x to y, both of shape (rows, N)."""
        out = self._apply(self._trace @ x[self.rows])
        y[self.rows] += self._trace.T @ (self.weight[:, None] * out)

    def explicit(self, columns: np.ndarray) -> bsr_matrix:
        """The matrix of some moments, both of a pair."""
        points, count = len(self.weight), len(columns)
        angular = self.matrix.part(columns).at(self.normal) * self.weight[:, None, None]
        here = bsr_matrix(
            (angular, np.arange(points), np.arange(points + 1)), shape=(points * count,) * 2
        )
        trace = kron(self.trace, np.eye(count), format="csr")
        return (trace.T @ (here @ trace)).tobsr((count, count))

    def mean(self, columns: np.ndarray) -> csr_matrix:
        """The mean over some moments of what each does to itself, for one of them."""
        weight = self.weight * self.matrix.mean(self.normal, columns)
        return (self.trace.T @ (diags(weight) @ self.trace)).tocsr()


class Kronecker:
    """The operator on arrays of moments of this rank.

    It has scalar and angular matrices of each material, and boundary terms.
    """

    def __init__(
        self,
        scalars: Sequence[Scalars],
        members: Sequence[Moments],
        boundaries: Sequence[Boundary],
    ) -> None:
        self.scalars, self.members, self.boundaries = scalars, members, boundaries

    def on(self, rows: np.ndarray, size: int) -> Kronecker:
        """The operator on numbered rows, several of which may be one."""
        scalars = [k.on(rows, size) for k in self.scalars]
        return Kronecker(scalars, self.members, [b.on(rows, size) for b in self.boundaries])

    def __call__(self, x: np.ndarray, count: int | None = None) -> np.ndarray:
        """A x, shape (rows, N), once; :meth:`prepared` is for many.

        With a count only so many moments of it, the first ones.
        """
        y = np.zeros_like(x)
        for part in self.boundaries:
            part.add(x, y)
        y = np.ascontiguousarray(y[:, :count])
        for k, member in zip(self.scalars, self.members, strict=True):
            for matrix, angular in zip(k.each(), angular_parts(member)[:, :count], strict=True):
                if angular.any():
                    y += matrix @ (x @ angular.T)
        return y

    def prepared(self) -> Callable[[np.ndarray], np.ndarray]:
        """The same map, faster, of arrays moment by moment, (N, rows)."""
        pairs = zip(self.scalars, self.members, strict=True)
        products = [Product(k, m) for k, m in pairs]

        def apply(x: np.ndarray) -> np.ndarray:
            y = np.zeros(x.shape)
            for product in products:
                product.add(x, y)
            for part in self.boundaries:
                part.add(x.T, y.T)
            return y

        return apply

    def coupling(
        self, target: np.ndarray, source: np.ndarray
    ) -> Callable[[np.ndarray, np.ndarray], None]:
        """What the conductor carries from some moments of x to others, subtracted from these of y.

        Both are all moments, (N, rows).
        """
        pairs = zip(self.scalars, self.members, strict=True)
        products = [Product(k, m, target, source) for k, m in pairs]

        def subtract(x: np.ndarray, y: np.ndarray) -> None:
            for product in products:
                product.add(x, y, -1.0)

        return subtract

    def explicit(self, columns: np.ndarray, *, half: bool = False) -> bsr_matrix:
        """The matrix of some moments, both of a pair.

        Half of it are the blocks on the diagonal and above, all that a factorisation needs.
        """
        pairs = zip(self.scalars, self.members, strict=True)
        first, *others = (k.explicit(m, columns, half=half) for k, m in pairs)
        # Sums with the conductor take long: those of boundaries come first.
        if self.boundaries:
            boundary = sum(part.explicit(columns) for part in self.boundaries)
            if half:
                upper, indptr = on_or_above(boundary.indptr, boundary.indices)
                rest = boundary.data[upper], boundary.indices[upper], indptr
                boundary = bsr_matrix(rest, shape=boundary.shape)
            others.append(boundary)
        return sum(others, first)


def on_or_above(indptr: np.ndarray, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which entries of a sparse matrix are on the diagonal or above, and pointers to these."""
    row = np.repeat(np.arange(len(indptr) - 1, dtype=indices.dtype), np.diff(indptr))
    upper = indices >= row
    return upper, np.concatenate([[0], np.cumsum(upper, dtype=indptr.dtype)])[indptr]


def angular_parts(moments: Moments) -> np.ndarray:
    """The angular matrices that go with the values of :class:`Scalars`, shape (d^2 + 1, n, n)."""
    along = patterns(len(moments.stress))
    parts = [np.tensordot(p, moments.stress, 2) / (p * p).sum() for p in along]
    return np.array([*parts, moments.relaxation])


def scalar_matrices(
    device: Device,
    order: int,
    kinds: np.ndarray,
    stress: Coefficient,
    relaxation: Coefficient,
    degree: int | None = None,
) -> list[Scalars]:
    """The scalar matrices of each material on the nodes of P_k, in scaled lengths.

    ``kinds`` is the material of each region; the degree of the quadrature is 2k by default.
    """
    degree, d = 2 * order if degree is None else degree, device.dimension
    coefficients = [sampled(device, each, degree) for each in (stress, relaxation)]
    out = []
    for kind in range(kinds.max() + 1):
        regions = [n for n, own in zip(device.regions, kinds, strict=True) if own == kind]
        dx = device.dx(*regions, degree=degree)
        gradients = equations.stiffness(*_pair(device, order, d), coefficients[0])
        values = equations.mass(*_pair(device, order, 1), coefficients[1])
        stiffness, mass = (
            dolfinx.fem.assemble_matrix(functional(f * dx)) for f in (gradients, values)
        )
        along = patterns(d).reshape(d * d, d * d)
        values = np.empty((d * d + 1, len(mass.data)))
        np.matmul(along, stiffness.data.reshape(-1, d * d).T, out=values[:-1])
        np.divide(mass.data, device.extent**d, out=values[-1])
        values[:-1] *= device.extent ** (2 - d)
        # Copies, or the matrix of the masses would stay with them; SciPy wants both of one type.
        pointer, indices = mass.indptr.astype(np.int32), mass.indices.copy()
        # Columns of nodes that other ranks alone touch are theirs.
        own = indices < len(pointer) - 1
        if not own.all():
            pointer = np.concatenate([[0], np.cumsum(own, dtype=np.int32)])[pointer]
            indices, values = indices[own], values[:, own]
        out.append(Scalars(pointer, indices, values))
    return out


def _pair(device: Device, order: int, components: int) -> tuple[Any, Any]:
    fields = space(device, "Lagrange", order, components)
    return ufl.TrialFunction(fields), ufl.TestFunction(fields)


def sampled(device: Device, coefficient: Coefficient, degree: int) -> dolfinx.fem.Function:
    """A coefficient at the points of a quadrature, or where it varies nowhere one in each cell."""
    cells, every = cells_of(device), np.arange(len(device.cell_region))
    values = coefficient(every, cells.positions(every, cells.quadrature(degree)[0]))
    constants = space(device, "DG", 0, 1)
    if largest(device.comm, values.ndim) > 1:
        element = basix.ufl.quadrature_element(device.mesh.basix_cell(), degree=degree)
        constants = dolfinx.fem.functionspace(device.mesh, element)
    function = dolfinx.fem.Function(constants)
    values = values if values.ndim == 2 else values[:, None]
    function.x.array[constants.dofmap.list[every]] = values
    return function


def on_boundary(device: Device, order: int, name: str) -> tuple[csr_matrix, FacetGeometry]:
    """From nodes of P_k to values at quadrature points of a boundary, and these points."""
    cells, nodal, facets = cells_of(device), lagrange(device, order), device.facets_on(name)
    points, weights = cells.facet_quadrature(2 * order + 2 * (cells.degree - 1))
    geometry = facet_geometry(cells, facets.cell, facets.local, points, weights)
    values = trace(geometry, nodal)
    nodes = nodal.dofs[facets.cell[:, None], nodal.on_facet[facets.local]]
    columns = np.repeat(nodes, values.shape[1], axis=0).ravel()
    pointer = values.shape[2] * np.arange(values.shape[0] * values.shape[1] + 1)
    shape = (len(pointer) - 1, nodal.nodes)
    return csr_matrix((values.ravel(), columns, pointer), shape=shape), geometry


def half_range_terms(
    device: Device,
    order: int,
    laws: Mapping[str, WallMatrix],
    weight: Callable[[FacetGeometry], np.ndarray],
) -> list[Boundary]:
    """Half-range terms on the nodes of P_k, from angular matrices of boundaries."""
    out = []
    for name, matrix in laws.items():
        trace, on = on_boundary(device, order, name)
        weights = (on.weight * weight(on)).ravel()
        out.append(Boundary(trace, weights, on.normal.reshape(-1, device.dimension), matrix))
    return out
