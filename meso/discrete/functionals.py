"""Integrals of expressions of fields over each cell, by compiled kernels.

The expression is UFL: a function of the fields and of coefficients that are constant in a cell or
given at the points of the quadrature. Lengths are scaled, derivatives are those in scaled
coordinates.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import ufl

from meso.discrete.cells import cells_of
from meso.discrete.fields import Field
from meso.discrete.kernels import Kernel, Shape

#: Integrand from fields and coefficients.
Integrand = Callable[..., Any]


@lru_cache(maxsize=128)
def _functional(
    term: Integrand,
    shape: Shape,
    fields: tuple[tuple[int, int], ...],
    sampled: tuple[bool, ...],
    degree: int,
) -> Kernel:
    spaces = [
        shape.space(shape.polynomials(k, (components,) if components > 1 else ()))
        for k, components in fields
    ]
    known = [ufl.Coefficient(space) for space in spaces]
    given = [shape.sampled(degree) if each else shape.constant() for each in sampled]
    return Kernel(term(*known, *given) * shape.dx(degree), (*known, *given))


def cell_integrals(
    term: Integrand,
    fields: Sequence[Field],
    values: Sequence[np.ndarray] = (),
    *,
    degree: int,
    cells: np.ndarray | None = None,
) -> np.ndarray:
    """Integrals over cells of this rank, shape (c,).

    Args:
        term: Integrand: a function at the top of a module, so that it is compiled once.
        fields: Fields of one device, its first arguments.
        values: Coefficients, its further arguments: shape (c,), or (c, q) at the points of the
            quadrature of the degree.
        degree: Degree of the quadrature.
        cells: Cells; all of them by default.
    """
    geometry = cells_of(fields[0].device)
    cells = np.arange(geometry.count) if cells is None else cells
    straight = bool(geometry.affine[cells].all())
    kernel = _functional(
        term,
        Shape.of(geometry, straight),
        tuple((f.degree, f.components) for f in fields),
        tuple(v.ndim == 2 for v in values),
        degree,
    )
    return kernel(geometry, cells, (*(f.values[cells] for f in fields), *values))
