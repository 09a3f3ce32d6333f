"""The weak form of hydrodynamic flow, element by element.

Spaces inside a cell: J in P_k, which may be enriched, phi and the levels of walls in P_{k-1}.
Lengths are scaled. Values of coefficients are one for each element, or where they vary inside it
one for each point of :meth:`FlowForms.quadrature` (in cells) or, for terms on facets, node of
:attr:`FlowForms.points`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from inspect import signature
from typing import Any

import numpy as np
import ufl

from meso.discrete.cells import Cells
from meso.discrete.cellwise import element_matrices
from meso.discrete.kernels import Kernel, Shape, Space
from meso.equations import contacts, hydrodynamic, walls

#: Integrand of a boundary term from J, w, the normal, and coefficients by their names: a function
#: at the top of a module, as it is compiled once.
BoundaryIntegrand = Callable[..., Any]


def boundary_measure(shape: Shape, current: Space) -> ufl.Measure:
    """Integrals over boundary facets."""
    return shape.ds(2 * current.degree + 2 * (shape.degree - 1))


def _split(values: np.ndarray, axis: int, dimension: int) -> np.ndarray:
    """An axis of nodes and components in two, also of no elements."""
    before, after = values.shape[:axis], values.shape[axis + 1 :]
    return values.reshape(*before, values.shape[axis] // dimension, dimension, *after)


def conductor(J: Any, phi: Any, w: Any, psi: Any, stress: Any, resistivity: Any, bulk: Any) -> Any:
    """The weak form of the conductor and of continuity."""
    return (
        hydrodynamic.relaxation(J, w, resistivity)
        + hydrodynamic.viscosity(J, w, stress)
        + hydrodynamic.augmentation(J, w, bulk)
        + hydrodynamic.continuity(J, psi)
        + hydrodynamic.continuity(w, phi)
    )


@lru_cache(maxsize=64)
def coefficient_names(integrand: BoundaryIntegrand) -> tuple[str, ...]:
    """The coefficients of a boundary term."""
    return tuple(signature(integrand).parameters)[3:]


@lru_cache(maxsize=64)
def _boundary(
    shape: Shape,
    current: Space,
    integrands: tuple[BoundaryIntegrand, ...],
    names: tuple[str, ...],
    varying: tuple[bool, ...],
) -> Kernel:
    """Boundary terms of J, with the coefficients of these names."""
    J, w = ufl.TrialFunction(shape.of(current)), ufl.TestFunction(shape.of(current))
    nodal, n = shape.space(shape.inside(current.degree)), walls.normal(shape.domain)
    given = [ufl.Coefficient(nodal) if each else shape.constant() for each in varying]
    value = dict(zip(names, given, strict=True))
    terms = [
        of(J, w, n, **{name: value[name] for name in coefficient_names(of)}) for of in integrands
    ]
    return Kernel(sum(terms[1:], terms[0]) * boundary_measure(shape, current), given)


@lru_cache(maxsize=64)
def _flux(shape: Shape, current: Space) -> Kernel:
    """Level of a wall times the normal current."""
    J = ufl.TrialFunction(shape.of(current))
    level = ufl.TestFunction(shape.space(shape.polynomials(current.degree - 1)))
    n = ufl.FacetNormal(shape.domain)
    return Kernel(walls.impenetrable(J, level, n) * boundary_measure(shape, current))


@lru_cache(maxsize=64)
def _port(shape: Shape, current: Space) -> Kernel:
    """Current through a boundary."""
    w = ufl.TestFunction(shape.of(current))
    return Kernel(
        contacts.potential(w, ufl.FacetNormal(shape.domain)) * boundary_measure(shape, current)
    )


class FlowForms:
    """Element tensors of hydrodynamic flow on the cells of this rank.

    Args:
        cells: Geometry.
        order: Degree k of the current density.
        enriched: Whether that has bubbles of degree k + 1.

    Attributes:
        points: Points in the reference cell, (p, d), that coefficients of boundary terms are
            given at: nodes of P_k inside of the cell, so that they may jump between cells.
    """

    def __init__(self, cells: Cells, order: int, *, enriched: bool = False) -> None:
        self.cells, self.order = cells, order
        self.current = Space(order, cells.dimension, enriched)
        self.curved = Shape.kind(cells, straight=False)
        self.points: np.ndarray = self.curved.inside(order).basix_element.points

    def conductor(
        self,
        batch: np.ndarray,
        straight: bool,
        stress: np.ndarray,
        resistivity: np.ndarray,
        bulk: np.ndarray,
    ) -> np.ndarray:
        """Conductor and continuity, shape (c, d p + q, d p + q); bulk of the augmentation."""
        spaces, values = (self.current, Space(self.order - 1, 0)), (stress, resistivity, bulk)
        degree = 2 * self.current.highest
        return element_matrices(conductor, self.cells, batch, straight, spaces, values, degree)

    def quadrature(self) -> np.ndarray:
        """Points (q, d) in cells, where coefficients of the conductor are given."""
        return self.cells.quadrature(2 * self.current.highest)[0]

    def coefficients(self, points: np.ndarray) -> np.ndarray:
        """From values at :attr:`points` to those at others in the reference cell, (q, p)."""
        return np.asarray(
            self.curved.inside(self.order).basix_element.tabulate(0, points)[0, :, :, 0]
        )

    def boundary(
        self,
        integrands: tuple[BoundaryIntegrand, ...],
        cell: np.ndarray,
        facet: np.ndarray,
        given: Callable[[str], np.ndarray],
    ) -> np.ndarray:
        """Boundary terms of J on all nodes of the facets' cells, shape (f, p, d, p, d).

        They ask for their coefficients by name: (f,), or (f, p) at :attr:`points`.
        """
        names = tuple(sorted({name for of in integrands for name in coefficient_names(of)}))
        values = tuple(given(name) for name in names)
        varying = tuple(value.ndim == 2 for value in values)
        kernel = _boundary(self.curved, self.current, integrands, names, varying)
        out, d = kernel(self.cells, cell, values, facet), self.cells.dimension
        return _split(_split(out, 2, d), 1, d)

    def flux(self, cell: np.ndarray, facet: np.ndarray) -> np.ndarray:
        """Levels of walls times J.n, on all nodes of the facets' cells, shape (f, q, p, d)."""
        out = _flux(self.curved, self.current)(self.cells, cell, (), facet)
        return _split(out, 2, self.cells.dimension)

    def port(self, cell: np.ndarray, facet: np.ndarray) -> np.ndarray:
        """J.n, on all nodes of the facets' cells, shape (f, p, d)."""
        out = _port(self.curved, self.current)(self.cells, cell, (), facet)
        return _split(out, 1, self.cells.dimension)
