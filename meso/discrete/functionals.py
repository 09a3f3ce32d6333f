"""Integrals of expressions of fields over each cell, and linear forms, by compiled kernels.

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
from meso.discrete.fields import Field, nodal_values
from meso.discrete.kernels import Kernel, Shape, Space

#: Integrand from fields and coefficients.
Integrand = Callable[..., Any]


@lru_cache(maxsize=128)
def _kernel(
    term: Integrand,
    shape: Shape,
    fields: tuple[Space, ...],
    sampled: tuple[bool, ...],
    degree: int,
    test: Space | None = None,
) -> Kernel:
    known = [ufl.Coefficient(shape.of(space)) for space in fields]
    given = [shape.sampled(degree) if each else shape.constant() for each in sampled]
    tested = () if test is None else (ufl.TestFunction(shape.of(test)),)
    return Kernel(term(*known, *given, *tested) * shape.dx(degree), (*known, *given))


def cell_loads(
    term: Integrand, test: Space, fields: Sequence[Field], *, degree: int, cells: np.ndarray
) -> np.ndarray:
    """A linear form on the nodes of cells of this rank, shape (c, m), in scaled lengths.

    Args:
        term: Integrand: a function at the top of a module of the fields and the test function.
        test: Space of the test function inside a cell.
        fields: Fields of one device.
        degree: Degree of the quadrature.
        cells: Cells.
    """
    geometry = cells_of(fields[0].device)
    straight = bool(geometry.affine[cells].all())
    kernel = _kernel(
        term,
        Shape.kind(geometry, straight),
        tuple(space_of(field) for field in fields),
        (),
        degree,
        test,
    )
    return kernel(geometry, cells, tuple(nodal_values(field.data, cells) for field in fields))


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
    kernel = _kernel(
        term,
        Shape.kind(geometry, straight),
        tuple(space_of(field) for field in fields),
        tuple(v.ndim == 2 for v in values),
        degree,
    )
    return kernel(geometry, cells, (*(nodal_values(f.data, cells) for f in fields), *values))


def space_of(field: Field) -> Space:
    """Space of a field inside a cell."""
    return Space(field.degree, field.components if field.components > 1 else 0)
