"""The weak form of hydrodynamic flow, element by element.

Spaces inside a cell: J in P_k, phi and the levels of walls in P_{k-1}. Lengths are scaled. Values
of coefficients are one for each element, or where they vary inside it one for each point of the
quadrature of degree 2k (in cells) or, for terms on facets, node of :attr:`FlowForms.points`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from math import comb
from typing import Any

import numpy as np
import ufl

from meso.discrete.cells import Cells
from meso.discrete.cellwise import Integrand, element_matrices
from meso.discrete.kernels import Kernel, Shape, Space
from meso.equations import contacts, hydrodynamic, walls

#: Integrand of a boundary term from J, w, the normal, and coefficients by keyword.
BoundaryIntegrand = Callable[..., Any]


def _current(shape: Shape, order: int) -> ufl.FunctionSpace:
    return shape.space(shape.polynomials(order, (shape.dimension,)))


def _potential(shape: Shape, order: int) -> ufl.FunctionSpace:
    return shape.space(shape.polynomials(order - 1))


def _ds(shape: Shape, order: int) -> ufl.Measure:
    return shape.ds(2 * order + 2 * (shape.degree - 1))


def _split(values: np.ndarray, axis: int, dimension: int) -> np.ndarray:
    """An axis of nodes and components in two, also of no elements."""
    before, after = values.shape[:axis], values.shape[axis + 1 :]
    return values.reshape(*before, values.shape[axis] // dimension, dimension, *after)


def _conductor(J: Any, phi: Any, w: Any, psi: Any, stress: Any, resistivity: Any, bulk: Any) -> Any:
    return (
        hydrodynamic.relaxation(J, w, resistivity)
        + hydrodynamic.viscosity(J, w, stress)
        + hydrodynamic.augmentation(J, w, bulk)
        + hydrodynamic.continuity(J, psi)
        + hydrodynamic.continuity(w, phi)
    )


def _continuity(J: Any, phi: Any, w: Any, psi: Any) -> Any:
    return hydrodynamic.continuity(J, psi)


@lru_cache(maxsize=64)
def _boundary(
    shape: Shape,
    order: int,
    term: BoundaryIntegrand,
    names: tuple[str, ...],
    varying: tuple[str, ...],
) -> Kernel:
    """A boundary term of J."""
    J, w = ufl.TrialFunction(_current(shape, order)), ufl.TestFunction(_current(shape, order))
    nodal = shape.space(shape.inside(order))
    values = {n: ufl.Coefficient(nodal) if n in varying else shape.constant() for n in names}
    integrand = term(J, w, walls.normal(shape.domain), **values)
    return Kernel(integrand * _ds(shape, order), tuple(values.values()))


@lru_cache(maxsize=64)
def _flux(shape: Shape, order: int) -> Kernel:
    """Level of a wall times the normal current."""
    J, level = ufl.TrialFunction(_current(shape, order)), ufl.TestFunction(_potential(shape, order))
    n = ufl.FacetNormal(shape.domain)
    return Kernel(walls.impenetrable(J, level, n) * _ds(shape, order))


@lru_cache(maxsize=64)
def _port(shape: Shape, order: int) -> Kernel:
    """Current through a boundary."""
    w = ufl.TestFunction(_current(shape, order))
    return Kernel(contacts.potential(w, ufl.FacetNormal(shape.domain)) * _ds(shape, order))


class FlowForms:
    """Element tensors of hydrodynamic flow on the cells of this rank.

    Args:
        cells: Geometry.
        order: Polynomial degree k of the current density.

    Attributes:
        points: Points in the reference cell, (p, d), that coefficients of boundary terms are
            given at: nodes of P_k inside of the cell, so that they may jump between cells.
    """

    def __init__(self, cells: Cells, order: int) -> None:
        self.cells, self.order = cells, order
        self.curved = Shape.kind(cells, straight=False)
        self.points: np.ndarray = self.curved.inside(order).basix_element.points

    def conductor(
        self,
        batch: np.ndarray,
        straight: bool,
        stress: np.ndarray,
        resistivity: np.ndarray,
        square: np.ndarray,
    ) -> np.ndarray:
        """Conductor and continuity, shape (c, d p + q, d p + q).

        Args:
            batch: Cells.
            straight: Whether all of them are.
            stress: l^2/sigma, shape (c,) or (c, points).
            resistivity: 1/sigma, likewise.
            square: h^2 of the augmentation, shape (c,).
        """
        bulk = (square * resistivity.T).T
        return self._cells(_conductor, batch, straight, (stress, resistivity, bulk))

    def divergence(self, batch: np.ndarray, straight: bool) -> np.ndarray:
        """-psi d_i u, shape (c, q, i, p)."""
        d = self.cells.dimension
        out = self._cells(_continuity, batch, straight, ())
        p = comb(self.order + d, d) * d
        return _split(out[:, p:, :p], 2, d).swapaxes(2, 3)

    def _cells(
        self, term: Integrand, batch: np.ndarray, straight: bool, values: Sequence[np.ndarray]
    ) -> np.ndarray:
        k = self.order
        spaces = (Space(k, self.cells.dimension), Space(k - 1, 0))
        return element_matrices(term, self.cells, batch, straight, spaces, values, 2 * k)

    def boundary(
        self,
        term: BoundaryIntegrand,
        cell: np.ndarray,
        facet: np.ndarray,
        values: Mapping[str, np.ndarray],
    ) -> np.ndarray:
        """A boundary term of J on all nodes of the facets' cells, shape (f, p, d, p, d).

        Args:
            term: Its integrand, a function at the top of a module.
            cell: Cell of each facet.
            facet: Number of each facet in its cell.
            values: Coefficients by name, shape (f,), or (f, p) at :attr:`points`.
        """
        varying = tuple(name for name, value in values.items() if value.ndim == 2)
        kernel = _boundary(self.curved, self.order, term, tuple(values), varying)
        out = kernel(self.cells, cell, tuple(values.values()), facet)
        d = self.cells.dimension
        return _split(_split(out, 2, d), 1, d)

    def flux(self, cell: np.ndarray, facet: np.ndarray) -> np.ndarray:
        """Levels of walls times J.n, on all nodes of the facets' cells, shape (f, q, p, d)."""
        out = _flux(self.curved, self.order)(self.cells, cell, (), facet)
        return _split(out, 2, self.cells.dimension)

    def port(self, cell: np.ndarray, facet: np.ndarray) -> np.ndarray:
        """J.n, on all nodes of the facets' cells, shape (f, p, d)."""
        out = _port(self.curved, self.order)(self.cells, cell, (), facet)
        return _split(out, 1, self.cells.dimension)
