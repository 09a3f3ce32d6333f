"""Element matrices of bilinear forms, by compiled kernels or from the reference cell.

All straight cells in which coefficients are constant are alike. There the integrand of a form in
which the coefficients c_k enter linearly is

    sum_k c_k T^k_{(a i)(b j)} D_i v_a D_j u_b,     c_0 = 1, D_0 = 1, D_i = d/dx_i,

with constant tensors T^k, and the element matrix a product of these and of integrals of D_i f_m
D_j f_n over the reference cell, which many cells share. FFCx does not see that: its kernels take 2
to 8 times as long. The tensors are read off from the compiled form: with affine trial and test
functions and a quadrature of one point its element matrix is the tensor. They serve all degrees.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import product
from math import factorial
from typing import Any

import basix
import basix.ufl
import numpy as np
import ufl

from meso.discrete import loops
from meso.discrete.cells import Cells, quadrature
from meso.discrete.kernels import Kernel, Shape, Space

#: From trial functions, test functions and coefficients to the integrand of a bilinear form: a
#: function at the top of a module, as it is compiled once.
Integrand = Callable[..., Any]


def element_matrices(
    integrand: Integrand,
    cells: Cells,
    batch: np.ndarray,
    straight: bool,
    spaces: tuple[Space, ...],
    values: Sequence[np.ndarray],
    degree: int,
) -> np.ndarray:
    """Element matrices, (c, m, m), in scaled lengths: by fields, their nodes, their components.

    Coefficients enter the integrand linearly, with values (c,), or (c, q) at the points of the
    quadrature.
    """
    sampled = tuple(v.ndim == 2 for v in values)
    if straight and not any(sampled):
        return _from_reference(integrand, cells, batch, spaces, values)
    kernel = _kernel(integrand, Shape.kind(cells, straight), spaces, sampled, degree)
    return kernel(cells, batch, values)


@lru_cache(maxsize=256)
def _kernel(
    integrand: Integrand,
    shape: Shape,
    spaces: tuple[Space, ...],
    sampled: tuple[bool, ...],
    degree: int,
) -> Kernel:
    elements = [shape.of(s).ufl_element() for s in spaces]
    given = [shape.sampled(degree) if each else shape.constant() for each in sampled]
    return _compiled(integrand, shape, elements, given, degree)


def _compiled(
    integrand: Integrand, shape: Shape, elements: list[Any], given: list[Any], degree: int
) -> Kernel:
    one = len(elements) == 1
    space = shape.space(elements[0] if one else basix.ufl.mixed_element(elements))
    trial, test = ufl.TrialFunction(space), ufl.TestFunction(space)
    u, v = ((trial,), (test,)) if one else (ufl.split(trial), ufl.split(test))
    return Kernel(integrand(*u, *v, *given) * shape.dx(degree), given)


def _from_reference(
    integrand: Integrand,
    cells: Cells,
    batch: np.ndarray,
    spaces: tuple[Space, ...],
    values: Sequence[np.ndarray],
) -> np.ndarray:
    """Straight cells with coefficients (c,)."""
    shape = Shape.kind(cells, straight=True)
    tensors = _tensors(integrand, shape, tuple(s.components for s in spaces), len(values))
    coefficients = np.column_stack([np.ones(len(batch)), *values])
    mean = coefficients @ tensors.reshape(len(tensors), -1)
    occurring: np.ndarray = np.asarray(tensors.any(axis=0))
    return tensor_matrices(cells, batch, spaces, mean.reshape(-1, *occurring.shape), occurring)


def tensor_matrices(
    cells: Cells,
    batch: np.ndarray,
    spaces: tuple[Space, ...],
    tensors: np.ndarray,
    occurring: np.ndarray | None = None,
) -> np.ndarray:
    """Integrals of T_{(a i)(b j)} D_i v_a D_j u_b over straight cells, as `element_matrices`.

    The components a and b of all fields count: tensors are (c, n, 1 + d, n, 1 + d). ``occurring``
    tells which entries are not always zero; by default all are looked through.
    """
    shape, count = Shape.kind(cells, straight=True), len(batch)
    found_in: np.ndarray = np.asarray(tensors.any(axis=0)) if occurring is None else occurring
    inverses, determinant = cells.derivatives(batch)
    reference = _on_reference(tensors * determinant[:, None, None, None, None], inverses)
    nodes = [shape.element(s).dim for s in spaces]
    ends = np.cumsum([0, *(n * s.width for n, s in zip(nodes, spaces, strict=True))])
    first = np.cumsum([0, *(s.width for s in spaces)])
    out = np.zeros((count, ends[-1], ends[-1]))
    for r, s in product(range(len(spaces)), repeat=2):
        part = np.s_[first[r] : first[r + 1], :, first[s] : first[s + 1]]
        # Pairs of derivatives that occur at all, and the integrals of these.
        some = np.argwhere(found_in[part].any(axis=(0, 2)))
        if not len(some):
            continue
        found = _closed(some, cells.dimension)
        pairs = _pairs(shape, spaces[r], spaces[s])[found]
        # The pairs come first, as always after indices with a slice between them.
        factor = reference[:, *part][:, :, found[0], :, found[1]].transpose(1, 2, 3, 0)
        loops.expand(out, (ends[r], ends[s]), factor, pairs)
    return out


def _closed(some: np.ndarray, d: int) -> tuple[np.ndarray, np.ndarray]:
    """Pairs on the reference cell: values stay values, derivatives become all of them."""
    kinds = {(bool(i), bool(j)) for i, j in some}
    every = [p for p in product(range(d + 1), repeat=2) if (p[0] > 0, p[1] > 0) in kinds]
    i, j = np.array(every).T
    return i, j


def _on_reference(tensors: np.ndarray, inverses: np.ndarray) -> np.ndarray:
    """The tensor of each cell with respect to derivatives on the reference cell."""
    count, n, e = tensors.shape[:3]
    K = np.zeros((count, e, e))
    K[:, 0, 0], K[:, 1:, 1:] = 1.0, inverses
    left = (K[:, None] @ tensors.reshape(count, n, e, n * e)).reshape(count, n * e * n, e)
    return (left @ K.swapaxes(1, 2)).reshape(count, n, e, n, e)


@lru_cache(maxsize=64)
def _pairs(shape: Shape, row: Space, column: Space) -> np.ndarray:
    """Integrals of D_i f_m D_j f_n over the reference cell, shape (1 + d, 1 + d, m, n)."""
    points, weights = quadrature(shape.dimension, row.highest + column.highest)
    f, g = (shape.element(s).basix_element.tabulate(1, points)[..., 0] for s in (row, column))
    for table in (f, g):
        # Basis functions sum to one: what rounding leaves of it would add up over all cells.
        table[1:] -= table[1:].mean(axis=2, keepdims=True)
    return (f.swapaxes(1, 2) * weights)[:, None] @ g


@lru_cache(maxsize=128)
def _tensors(
    integrand: Integrand, shape: Shape, components: tuple[int, ...], count: int
) -> np.ndarray:
    """The tensors T^0, T^1, ... of an integrand, shape (1 + count, n, 1 + d, n, 1 + d)."""
    d = shape.dimension
    # A constant, and d functions that vanish at the centre: the only point of the quadrature.
    variant = basix.LagrangeVariant.legendre
    affine = basix.ufl.element(
        "Lagrange", shape.cell, 1, lagrange_variant=variant, discontinuous=True
    )
    blocked = [basix.ufl.blocked_element(affine, shape=(n,)) if n else affine for n in components]
    kernel = _compiled(integrand, shape, blocked, [shape.constant() for _ in range(count)], 1)
    # Without coefficients, with each of them alone, and, to see that they are linear, with all.
    probes = np.vstack([np.zeros(count), np.eye(count), 1 + np.arange(count)])
    corners = np.vstack([np.zeros(d), np.eye(d)])
    found = kernel.tabulate(np.stack([corners] * len(probes)), list(probes.T)) * factorial(d)
    # Values and derivatives of the affine functions at the centre.
    table = affine.basix_element.tabulate(1, np.full((1, d), 1 / (d + 1)))[:, 0, :, 0]
    to = np.linalg.inv(np.where(np.abs(table) < 1e-14, 0.0, table))
    widths = [max(1, n) for n in components]
    change = np.zeros((found.shape[1], sum(widths), 1 + d))
    row = at = 0
    for n in widths:
        for m, a in product(range(1 + d), range(n)):
            change[row + m * n + a, at + a] = to[m]
        row, at = row + (1 + d) * n, at + n
    flat = change.reshape(len(change), -1)
    out = (flat.T @ found @ flat).reshape(len(probes), *change.shape[1:], *change.shape[1:])
    out[1:] -= out[0]
    size = np.abs(out).max()
    out[np.abs(out) < 1e-14 * size] = 0.0
    if np.abs(out[-1] - np.tensordot(probes[-1], out[1:-1], 1)).max() > 1e-12 * size:
        raise ValueError(f"{integrand.__name__}: a coefficient does not enter linearly")
    return out[:-1]
