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

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, product
from math import factorial
from typing import Any

import basix
import basix.ufl
import numpy as np
import ufl

from meso.discrete.cells import Cells, inverse, quadrature
from meso.discrete.kernels import Kernel, Shape, Space
from meso.discrete.loops import combine, integrate, refer

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
    form = _form(integrand, shape, spaces, len(values))
    if straight and all(v.ndim == 1 for v in values):
        own = np.column_stack([np.ones(len(batch)), *values]) @ form.flat
        own = own.reshape(-1, *form.tensors.shape[1:])
        return _straight(cells, batch, spaces, own, form.pairs)
    points, weights = cells.quadrature(degree)
    inverses, determinant = inverse(cells.jacobians(batch, points))
    weighted = determinant * weights
    scaled = np.empty((*weighted.shape, 1 + len(values)))
    scaled[..., 0] = weighted
    for i, v in enumerate(values):
        scaled[..., 1 + i] = weighted * v.reshape(len(batch), v.size // max(1, len(batch)))
    ends = _places(shape, spaces)
    out = np.empty((len(batch), ends[-1], ends[-1]))
    for (r, s), (terms, of) in form.terms.items():
        rows = out[:, ends[r] : ends[r + 1], ends[s] : ends[s + 1]]
        if form.symmetric and s < r:
            rows[:] = out[:, ends[s] : ends[s + 1], ends[r] : ends[r + 1]].swapaxes(1, 2)
        elif not len(terms):
            rows[:] = 0.0
        else:
            integrate(
                terms,
                scaled @ of,
                inverses,
                (_table(shape, spaces[r], degree), _table(shape, spaces[s], degree)),
                (spaces[r].width, spaces[s].width),
                out,
                (ends[r], ends[s]),
                symmetric=form.symmetric and r == s,
            )
    return out


def tensor_matrices(
    cells: Cells, batch: np.ndarray, spaces: tuple[Space, ...], tensors: np.ndarray
) -> np.ndarray:
    """Integrals of T_{(a i)(b j)} D_i v_a D_j u_b over straight cells, as `element_matrices`.

    The components a and b of all fields count: tensors are (c, n, 1 + d, n, 1 + d).
    """
    shape = Shape.kind(cells, straight=True)
    found: np.ndarray = np.asarray(tensors.any(axis=0))
    return _straight(cells, batch, spaces, tensors, _pairs(shape, spaces, found))


def _straight(
    cells: Cells,
    batch: np.ndarray,
    spaces: tuple[Space, ...],
    tensors: np.ndarray,
    pairs: dict[tuple[int, int], tuple[tuple[int, int], ...]],
) -> np.ndarray:
    """The same from what :func:`_pairs` returns."""
    shape = Shape.kind(cells, straight=True)
    inverses, determinant = cells.derivatives(batch)
    reference = refer(tensors * determinant[:, None, None, None, None], inverses)
    ends = _places(shape, spaces)
    first = np.cumsum([0, *(s.width for s in spaces)]).tolist()
    out = np.empty((len(batch), ends[-1], ends[-1]))
    for (r, s), found in pairs.items():
        if not found:
            out[:, ends[r] : ends[r + 1], ends[s] : ends[s + 1]] = 0.0
            continue
        table = _integrals(shape, spaces[r], spaces[s], found)
        block = reference[:, first[r] : first[r + 1], :, first[s] : first[s + 1]]
        each = np.stack([block[:, :, i, :, j] for i, j in found], axis=-1)
        combine(each, table, out, ends[r], ends[s])
    return out


@lru_cache(maxsize=128)
def _places(shape: Shape, spaces: tuple[Space, ...]) -> list[int]:
    """Where fields begin in an element matrix, and its size."""
    sizes = (shape.element(s).dim * s.width for s in spaces)
    return [0, *accumulate(sizes)]


def _pairs(
    shape: Shape, spaces: tuple[Space, ...], occurring: np.ndarray
) -> dict[tuple[int, int], tuple[tuple[int, int], ...]]:
    """Pairs of derivatives on the reference cell that occur between fields: none, or all of them.

    ``occurring`` tells which entries of tensors do, shape (n, 1 + d, n, 1 + d).
    """
    out = {}
    for r, s, part in _parts(spaces):
        kinds = {(bool(i), bool(j)) for i, j in np.argwhere(occurring[part].any(axis=(0, 2)))}
        every = product(range(shape.dimension + 1), repeat=2)
        out[r, s] = tuple((i, j) for i, j in every if (i > 0, j > 0) in kinds)
    return out


def _parts(spaces: tuple[Space, ...]) -> Iterator[tuple[int, int, tuple[slice, ...]]]:
    """Each two fields, and which part of a tensor is theirs."""
    first = [0, *accumulate(s.width for s in spaces)]
    own = [slice(first[r], first[r + 1]) for r in range(len(spaces))]
    for r, s in product(range(len(spaces)), repeat=2):
        yield r, s, (own[r], slice(None), own[s])


@lru_cache(maxsize=64)
def _table(shape: Shape, space: Space, degree: int) -> np.ndarray:
    """Functions and reference derivatives at the points of a quadrature, (1 + d, q, n)."""
    points, _ = quadrature(shape.dimension, degree)
    table = np.array(shape.element(space).basix_element.tabulate(1, points)[..., 0])
    # Basis functions sum to one: what rounding leaves of it would add up over all cells.
    table[1:] -= table[1:].mean(axis=2, keepdims=True)
    return table


@lru_cache(maxsize=32)
def _integrals(
    shape: Shape, row: Space, column: Space, pairs: tuple[tuple[int, int], ...]
) -> np.ndarray:
    """Integrals of D_i f_m D_j f_n over the reference cell, for the pairs i, j, shape (p, m, n)."""
    exact = row.highest + column.highest
    _, weights = quadrature(shape.dimension, exact)
    f, g = (_table(shape, s, exact) for s in (row, column))
    return np.stack([(f[i].T * weights) @ g[j] for i, j in pairs])


def _compiled(
    integrand: Integrand, shape: Shape, elements: list[Any], given: list[Any], degree: int
) -> Kernel:
    one = len(elements) == 1
    space = shape.space(elements[0] if one else basix.ufl.mixed_element(elements))
    trial, test = ufl.TrialFunction(space), ufl.TestFunction(space)
    u, v = ((trial,), (test,)) if one else (ufl.split(trial), ufl.split(test))
    return Kernel(integrand(*u, *v, *given) * shape.dx(degree), given)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Form:
    """What there is to know of an integrand.

    Attributes:
        tensors: T^0, T^1, ..., shape (1 + count, n, 1 + d, n, 1 + d).
        flat: The same, shape (1 + count, entries).
        pairs: As of :func:`_pairs`.
        terms: Of each two fields the entries that occur, component and derivative of the row and
            of the column, shape (t, 4), and the tensors there, shape (1 + count, t).
        symmetric: Whether trial and test functions may change places.
    """

    tensors: np.ndarray
    flat: np.ndarray
    pairs: dict[tuple[int, int], tuple[tuple[int, int], ...]]
    terms: dict[tuple[int, int], tuple[np.ndarray, np.ndarray]]
    symmetric: bool


@lru_cache(maxsize=128)
def _form(integrand: Integrand, shape: Shape, spaces: tuple[Space, ...], count: int) -> _Form:
    """An integrand with ``count`` coefficients on these spaces."""
    tensors = _tensors(integrand, shape, tuple(s.components for s in spaces), count)
    occurring = np.asarray(tensors.any(axis=0))
    terms = {}
    for r, s, part in _parts(spaces):
        found = np.argwhere(occurring[part])
        terms[r, s] = found, np.ascontiguousarray(tensors[:, *part][:, *found.T])
    return _Form(
        tensors=tensors,
        flat=tensors.reshape(len(tensors), -1),
        pairs=_pairs(shape, spaces, occurring),
        terms=terms,
        symmetric=bool((tensors == tensors.transpose(0, 3, 4, 1, 2)).all()),
    )


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
