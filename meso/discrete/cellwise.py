"""Element matrices of bilinear forms, from products of functions on the reference cell.

The integrand of a form in which coefficients c_k enter linearly is

    sum_k c_k T^k_{(a i)(b j)} D_i v_a D_j u_b,     c_0 = 1, D_0 = 1, D_i = d/dx_i,

with constant tensors T^k. They are read off from the compiled form: with affine trial and test
functions and a quadrature of one point its element matrix is the tensor. They serve all degrees.

An element matrix is a sum of these, in derivatives of the reference cell, times D_i f_m D_j f_n:
times the integrals of these products on straight cells with constant coefficients, point by point
on others. FFCx does not see this: its kernels of vector fields take 2 to 8 times as long.
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

from meso.discrete.cells import Cells, inverse, quadrature
from meso.discrete.kernels import Kernel, Shape, Space
from meso.discrete.loops import combine, refer

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
    quadrature of that degree.
    """
    shape = Shape.kind(cells, straight=True)
    tensors = _tensors(integrand, shape, tuple(s.components for s in spaces), len(values))
    occurring: np.ndarray = np.asarray(tensors.any(axis=0))
    flat = tensors.reshape(len(tensors), -1)
    if straight and all(v.ndim == 1 for v in values):
        own = np.column_stack([np.ones(len(batch)), *values]) @ flat
        return tensor_matrices(cells, batch, spaces, own.reshape(-1, *occurring.shape), occurring)
    points, weights = cells.quadrature(degree)
    inverses, determinant = inverse(cells.jacobians(batch, points))
    count, at = len(batch), determinant.shape
    given = [np.broadcast_to(v.reshape(count, v.size // max(1, count)), at) for v in values]
    scaled = np.stack([np.ones(at), *given], axis=-1) * (determinant * weights)[..., None]
    own = (scaled @ flat).reshape(-1, *occurring.shape)
    reference = refer(own, inverses.reshape(-1, *inverses.shape[2:]))
    reference = reference.reshape(*at, *occurring.shape)
    symmetric = bool((tensors == tensors.transpose(0, 3, 4, 1, 2)).all())
    return _products(shape, spaces, reference, occurring, degree, symmetric)


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
    shape = Shape.kind(cells, straight=True)
    found: np.ndarray = np.asarray(tensors.any(axis=0)) if occurring is None else occurring
    inverses, determinant = cells.derivatives(batch)
    reference = refer(tensors * determinant[:, None, None, None, None], inverses)
    return _products(shape, spaces, reference[:, None], found, None)


def _products(
    shape: Shape,
    spaces: tuple[Space, ...],
    reference: np.ndarray,
    occurring: np.ndarray,
    degree: int | None,
    symmetric: bool = False,
) -> np.ndarray:
    """Sums of tensors of cells times products of functions on the reference cell.

    The tensors are (c, q, n, 1 + d, n, 1 + d), at the points of a quadrature of some degree, or
    there is one of a cell, for integrals. At points half of them do if they are ``symmetric``.
    """
    count, q = reference.shape[:2]
    nodes = [shape.element(s).dim for s in spaces]
    ends = np.cumsum([0, *(n * s.width for n, s in zip(nodes, spaces, strict=True))]).tolist()
    first = np.cumsum([0, *(s.width for s in spaces)]).tolist()
    out = np.empty((count, ends[-1], ends[-1]))
    for r, s in product(range(len(spaces)), repeat=2):
        m, n, a, b = nodes[r], nodes[s], spaces[r].width, spaces[s].width
        part = np.s_[first[r] : first[r + 1], :, first[s] : first[s + 1]]
        rows = out[:, ends[r] : ends[r + 1], ends[s] : ends[s + 1]]
        if symmetric and s < r:
            rows[:] = out[:, ends[s] : ends[s + 1], ends[r] : ends[r + 1]].swapaxes(1, 2)
            continue
        found = _pairs(occurring[part], shape.dimension)
        if not found:
            rows[:] = 0.0
            continue
        table = _table(shape, spaces[r], spaces[s], degree, found)
        block = reference[:, :, *part]
        if degree is None:
            each = np.stack([block[:, 0, :, i, :, j] for i, j in found], axis=-1)
            combine(each, table.reshape(len(found), m, n), out, ends[r], ends[s])
            continue
        halved = symmetric and r == s
        x, y = np.triu_indices(a) if halved else np.indices((a, b)).reshape(2, -1)
        each = np.stack([block[:, :, x, i, y, j] for i, j in found], axis=-1)
        # Cells and components, times pairs and points.
        factor = each.transpose(0, 2, 3, 1).reshape(count * len(x), len(found) * q)
        here = (factor @ table).reshape(count, len(x), m, n)
        for k, (i, j) in enumerate(zip(x.tolist(), y.tolist(), strict=True)):
            rows[:, i::a, j::b] = here[:, k]
            if halved and i < j:
                rows[:, j::b, i::a] = here[:, k].swapaxes(1, 2)
    return out


def _pairs(occurring: np.ndarray, d: int) -> tuple[tuple[int, ...], ...]:
    """Pairs of derivatives on the reference cell that occur: none, or all of them."""
    kinds = {(bool(i), bool(j)) for i, j in np.argwhere(occurring.any(axis=(0, 2)))}
    return tuple(p for p in product(range(d + 1), repeat=2) if (p[0] > 0, p[1] > 0) in kinds)


@lru_cache(maxsize=32)
def _table(
    shape: Shape,
    row: Space,
    column: Space,
    degree: int | None,
    pairs: tuple[tuple[int, ...], ...],
) -> np.ndarray:
    """Products D_i f_m D_j f_n on the reference cell, for the pairs i, j, shape (pairs q, m n).

    At the points of a quadrature of some degree, or else their integrals, (pairs, m n).
    """
    exact = row.highest + column.highest if degree is None else degree
    points, weights = quadrature(shape.dimension, exact)
    f, g = (shape.element(s).basix_element.tabulate(1, points)[..., 0] for s in (row, column))
    for table in (f, g):
        # Basis functions sum to one: what rounding leaves of it would add up over all cells.
        table[1:] -= table[1:].mean(axis=2, keepdims=True)
    if degree is None:
        return np.stack([((f[i].T * weights) @ g[j]).ravel() for i, j in pairs])
    each = np.stack([f[i][:, :, None] * g[j][:, None, :] for i, j in pairs])
    return each.reshape(len(pairs) * len(points), -1)


def _compiled(
    integrand: Integrand, shape: Shape, elements: list[Any], given: list[Any], degree: int
) -> Kernel:
    one = len(elements) == 1
    space = shape.space(elements[0] if one else basix.ufl.mixed_element(elements))
    trial, test = ufl.TrialFunction(space), ufl.TestFunction(space)
    u, v = ((trial,), (test,)) if one else (ufl.split(trial), ufl.split(test))
    return Kernel(integrand(*u, *v, *given) * shape.dx(degree), given)


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
    turned = out.transpose(0, 3, 4, 1, 2)
    if np.abs(out - turned).max() < 1e-14 * size:
        out = (out + turned) / 2
    return out[:-1]
