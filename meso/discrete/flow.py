"""The weak form of hydrodynamic flow, element by element.

Spaces inside a cell: J in P_k, phi and the levels of walls in P_{k-1}. Lengths are scaled, values of
coefficients come as arrays, one for each element or for each of its quadrature points (cells) or
nodes of P_k (facets), where they vary inside a cell.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import basix.ufl
import numpy as np
import ufl

from meso.cells import Cells
from meso.discrete.kernels import Kernel, broken, reference_domain
from meso.equations import contacts, hydrodynamic, moments, walls

#: Integrand of a boundary term from J, w, the normal and coefficients by name.
BoundaryTerm = Callable[[Any, Any, Any, Mapping[str, ufl.Coefficient]], Any]


@dataclass(frozen=True, slots=True)
class _Cell:
    """What kernels are compiled for."""

    kind: str
    geometry: int
    order: int

    @property
    def domain(self) -> ufl.Mesh:
        return reference_domain(self.kind, self.geometry)

    def space(self, element: Any) -> ufl.FunctionSpace:
        return ufl.FunctionSpace(self.domain, element)

    @property
    def current(self) -> Any:
        return broken(self.kind, self.order, (self.domain.topological_dimension(),))

    @property
    def moment(self) -> Any:
        return broken(self.kind, self.order)

    @property
    def potential(self) -> Any:
        return broken(self.kind, self.order - 1)

    def constant(self) -> ufl.Coefficient:
        """One value for each element."""
        return ufl.Coefficient(self.space(broken(self.kind, 0)))

    def dx(self, degree: int) -> ufl.Measure:
        return ufl.dx(domain=self.domain, metadata={"quadrature_degree": degree})

    @property
    def ds(self) -> ufl.Measure:
        degree = 2 * self.order + 2 * (self.geometry - 1)
        return ufl.ds(domain=self.domain, metadata={"quadrature_degree": degree})


@lru_cache(maxsize=64)
def _conductor(cell: _Cell, varies: bool) -> Kernel:
    """Conductor and continuity on the product of both spaces."""
    space = cell.space(basix.ufl.mixed_element([cell.current, cell.potential]))
    (J, phi), (w, psi) = ufl.TrialFunctions(space), ufl.TestFunctions(space)
    degree = 2 * cell.order
    if varies:
        points = cell.space(basix.ufl.quadrature_element(cell.kind, degree=degree))
        stress, resistivity = ufl.Coefficient(points), ufl.Coefficient(points)
    else:
        stress, resistivity = cell.constant(), cell.constant()
    square = cell.constant()
    # Derivatives on straight cells have one degree less.
    dx = cell.dx(degree)
    slopes = dx if varies or cell.geometry > 1 else cell.dx(degree - 2)
    form = (
        hydrodynamic.relaxation(J, w, resistivity) * dx
        + hydrodynamic.viscosity(J, w, stress) * slopes
        + hydrodynamic.augmentation(J, w, resistivity, square) * slopes
        + (hydrodynamic.continuity(J, psi) + hydrodynamic.continuity(w, phi)) * slopes
    )
    return Kernel(form, (stress, resistivity, square))


@lru_cache(maxsize=64)
def _scalar(cell: _Cell, varies: bool) -> tuple[Kernel, Kernel, Kernel]:
    """Of one moment: stiffness in all pairs of directions, mass, divergence along each direction.

    The pairs are the blocks of one vector form: (c div v, div u) is (c d_i v_i, d_j u_j).
    """
    vector, scalar = cell.space(cell.current), cell.space(cell.moment)
    degree = 2 * cell.order
    constant = cell.constant()
    if varies:
        constant = ufl.Coefficient(
            cell.space(basix.ufl.quadrature_element(cell.kind, degree=degree))
        )
    dx = cell.dx(degree)
    slopes = dx if varies or cell.geometry > 1 else cell.dx(degree - 2)
    u, v = ufl.TrialFunction(vector), ufl.TestFunction(vector)
    psi = ufl.TestFunction(cell.space(cell.potential))
    one, other = ufl.TrialFunction(scalar), ufl.TestFunction(scalar)
    return (
        Kernel(moments.stiffness(u, v, constant) * slopes, (constant,)),
        Kernel(moments.mass(one, other, constant) * dx, (constant,)),
        Kernel(hydrodynamic.continuity(u, psi) * slopes, ()),
    )


@lru_cache(maxsize=64)
def _boundary(
    cell: _Cell, term: BoundaryTerm, names: tuple[str, ...], varying: tuple[str, ...]
) -> Kernel:
    """A boundary term of J."""
    J, w = ufl.TrialFunction(cell.space(cell.current)), ufl.TestFunction(cell.space(cell.current))
    nodal = cell.space(broken(cell.kind, cell.order))
    values = {n: ufl.Coefficient(nodal) if n in varying else cell.constant() for n in names}
    integrand = term(J, w, walls.normal(cell.domain), values)
    return Kernel(integrand * cell.ds, tuple(values.values()))


@lru_cache(maxsize=64)
def _flux(cell: _Cell) -> Kernel:
    """Level of a wall times the normal current."""
    J = ufl.TrialFunction(cell.space(cell.current))
    level = ufl.TestFunction(cell.space(cell.potential))
    return Kernel(walls.impenetrable(J, level, ufl.FacetNormal(cell.domain)) * cell.ds, ())


@lru_cache(maxsize=64)
def _port(cell: _Cell) -> Kernel:
    """Current through a boundary."""
    w = ufl.TestFunction(cell.space(cell.current))
    return Kernel(contacts.potential(w, ufl.FacetNormal(cell.domain)) * cell.ds, ())


class FlowForms:
    """Element tensors of hydrodynamic flow on the cells of this rank.

    Args:
        cells: Geometry.
        order: Polynomial degree k of the current density.
    """

    def __init__(self, cells: Cells, order: int) -> None:
        self.cells, d = cells, cells.dimension
        kind = {2: "triangle", 3: "tetrahedron"}[d]
        self.curved = _Cell(kind, cells.degree, order)
        self.straight = _Cell(kind, 1, order)

    def _nodes(self, cell: np.ndarray, which: _Cell) -> np.ndarray:
        return self.cells.corners[cell] if which.geometry == 1 else self.cells.nodes[cell]

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
            stress: l^2/sigma in each cell, (c,), or at the points of the quadrature of degree 2k,
                (c, points).
            resistivity: 1/sigma, likewise.
            square: h^2 of the augmentation, shape (c,).
        """
        which = self.straight if straight else self.curved
        kernel = _conductor(which, stress.ndim == 2)
        return kernel(self._nodes(batch, which), (stress, resistivity, square))

    def stiffness(self, batch: np.ndarray, straight: bool, values: np.ndarray) -> np.ndarray:
        """Values d_i v d_j u of a scalar field, shape (c, i, p, j, p); values as of conductor."""
        which = self.straight if straight else self.curved
        out = _scalar(which, values.ndim == 2)[0](self._nodes(batch, which), (values,))
        d = self.cells.dimension
        return out.reshape(len(batch), -1, d, out.shape[1] // d, d).transpose(0, 2, 1, 4, 3)

    def mass(self, batch: np.ndarray, straight: bool, values: np.ndarray) -> np.ndarray:
        """Values v u of a scalar field, shape (c, p, p); values as of conductor."""
        which = self.straight if straight else self.curved
        return _scalar(which, values.ndim == 2)[1](self._nodes(batch, which), (values,))

    def divergence(self, batch: np.ndarray, straight: bool) -> np.ndarray:
        """-psi d_i u, shape (c, q, i, p)."""
        which = self.straight if straight else self.curved
        out = _scalar(which, False)[2](self._nodes(batch, which), ())
        return out.reshape(*out.shape[:2], -1, self.cells.dimension).swapaxes(2, 3)

    def boundary(
        self,
        term: BoundaryTerm,
        cell: np.ndarray,
        facet: np.ndarray,
        values: Mapping[str, np.ndarray],
    ) -> np.ndarray:
        """A boundary term of J on all nodes of the facets' cells, shape (f, p, d, p, d).

        Args:
            term: Its integrand.
            cell: Cell of each facet.
            facet: Number of each facet in its cell.
            values: Coefficients of each facet, (f,), or at the nodes of P_k in its cell, (f, p).
        """
        varying = tuple(name for name, value in values.items() if value.ndim == 2)
        kernel = _boundary(self.curved, term, tuple(values), varying)
        out = kernel(self._nodes(cell, self.curved), tuple(values.values()), facet)
        d = self.cells.dimension
        return out.reshape(len(cell), -1, d, out.shape[1] // d, d)

    def flux(self, cell: np.ndarray, facet: np.ndarray) -> np.ndarray:
        """Levels of walls times J.n, on all nodes of the facets' cells, shape (f, q, p, d)."""
        out = _flux(self.curved)(self._nodes(cell, self.curved), (), facet)
        return out.reshape(*out.shape[:2], -1, self.cells.dimension)

    def port(self, cell: np.ndarray, facet: np.ndarray) -> np.ndarray:
        """J.n, on all nodes of the facets' cells, shape (f, p, d)."""
        out = _port(self.curved)(self._nodes(cell, self.curved), (), facet)
        return out.reshape(len(cell), -1, self.cells.dimension)
