"""Element tensors of a form, for many cells or facets at a time, by its compiled kernels.

DOLFINx assembles forms by itself; here are the few that have to be kept element by element, because
unknowns inside cells are eliminated before anything is assembled, or because several unknowns
share a node (potentials that jump, periodic twins). The kernels are called as in DOLFINx's own
demonstration of static condensation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import Any, NamedTuple

import basix
import basix.ufl
import numpy as np
import ufl

from meso import _compat
from meso.compiled import compiled, ffi
from meso.discrete import elements
from meso.discrete.cells import Cells

_KINDS = ("cell", "exterior_facet")
_DIMENSION = {"triangle": 2, "tetrahedron": 3}


@lru_cache(maxsize=128)
def _element(
    cell: str,
    degree: int,
    shape: tuple[int, ...],
    variant: basix.LagrangeVariant = basix.LagrangeVariant.gll_warped,
) -> Any:
    return basix.ufl.element(
        "Lagrange", cell, degree, shape=shape, lagrange_variant=variant, discontinuous=True
    )


@lru_cache(maxsize=32)
def _domain(cell: str, degree: int) -> ufl.Mesh:
    """A domain of cells of some degree: forms on it serve all meshes of such cells."""
    return ufl.Mesh(_compat.coordinate_element(cell, degree, _DIMENSION[cell]))


class Space(NamedTuple):
    """A field of a form inside a cell: degree, and number of components, 0 for a scalar.

    ``enriched`` with bubbles of degree k + 1 (:func:`meso.discrete.elements.enriched`).
    """

    degree: int
    components: int
    enriched: bool = False

    @property
    def width(self) -> int:
        """Number of values at a node."""
        return max(1, self.components)

    @property
    def highest(self) -> int:
        """Degree of its polynomials."""
        return self.degree + self.enriched


@dataclass(frozen=True, slots=True)
class Shape:
    """Kind of cells that forms are compiled for: "triangle" or "tetrahedron", of a degree."""

    cell: str
    degree: int

    @classmethod
    def kind(cls, cells: Cells, straight: bool) -> Shape:
        """The shape of cells of a device, which are all straight or not."""
        kind = {d: cell for cell, d in _DIMENSION.items()}[cells.dimension]
        return cls(kind, 1 if straight else cells.degree)

    @property
    def dimension(self) -> int:
        """Of the cells."""
        return _DIMENSION[self.cell]

    @property
    def domain(self) -> ufl.Mesh:
        """Domain of the forms."""
        return _domain(self.cell, self.degree)

    def space(self, element: Any) -> ufl.FunctionSpace:
        """Space of an element on the domain."""
        return ufl.FunctionSpace(self.domain, element)

    def of(self, space: Space) -> ufl.FunctionSpace:
        """The space of a field inside a cell."""
        return self.space(self.element(space, (space.components,) if space.components else ()))

    def element(self, space: Space, shape: tuple[int, ...] = ()) -> Any:
        """Element of a field, by default of one of its components."""
        if space.enriched:
            return elements.enriched(space.degree, shape, broken=True)
        return self.polynomials(space.degree, shape)

    def polynomials(self, degree: int, shape: tuple[int, ...] = ()) -> Any:
        """Lagrange element inside a cell."""
        return _element(self.cell, degree, shape)

    def inside(self, degree: int) -> Any:
        """Lagrange element whose nodes are all inside the cell: steps between cells are exact."""
        return _element(self.cell, degree, (), basix.LagrangeVariant.gl_isaac)

    def constant(self) -> ufl.Coefficient:
        """A coefficient with one value in each element."""
        return ufl.Coefficient(self.space(self.polynomials(0)))

    def sampled(self, degree: int) -> ufl.Coefficient:
        """A coefficient with values at the points of a quadrature of some degree."""
        return ufl.Coefficient(self.space(self.points(degree)))

    def points(self, degree: int, shape: tuple[int, ...] = ()) -> Any:
        """Element whose values are those at the points of a quadrature of some degree."""
        return basix.ufl.quadrature_element(self.cell, value_shape=shape, degree=degree)

    def dx(self, degree: int) -> ufl.Measure:
        """Integrals over cells, with a quadrature of some degree."""
        return ufl.dx(domain=self.domain, metadata={"quadrature_degree": degree})

    def ds(self, degree: int) -> ufl.Measure:
        """Integrals over boundary facets."""
        return ufl.ds(domain=self.domain, metadata={"quadrature_degree": degree})


class Kernel:
    """The element tensor of a form with one kind of integral.

    Args:
        form: On the domain of a :class:`Shape`, over cells or over boundary facets.
        coefficients: Its coefficients, in the order in which their values will be given.
    """

    def __init__(self, form: ufl.Form, coefficients: Sequence[ufl.Coefficient] = ()) -> None:
        (kind,) = {integral.integral_type() for integral in form.integrals()}
        self._form = compiled(form)
        start = self._form.form_integral_offsets[_KINDS.index(kind)]
        self._tabulate = self._form.form_integrals[start].tabulate_tensor_float64
        self.straight = form.ufl_domain().ufl_coordinate_element().embedded_superdegree == 1
        self.tensor = tuple(a.ufl_function_space().ufl_element().dim for a in form.arguments())
        original, count = list(form.coefficients()), self._form.num_coefficients
        used = [original[self._form.original_coefficient_positions[i]] for i in range(count)]
        self._order = [list(coefficients).index(c) for c in used]
        self._extra = _compat.kernel_arguments()

    def __call__(
        self,
        cells: Cells,
        batch: np.ndarray,
        values: Sequence[np.ndarray] = (),
        facet: np.ndarray | None = None,
    ) -> np.ndarray:
        """Tensors of some elements, in scaled lengths, with one axis for each argument.

        ``values`` has those of each coefficient, (e, n) or (e,), ``facet`` the numbers of facets in
        their cells.
        """
        nodes = cells.corners[batch] if self.straight else cells.nodes[batch]
        return self.tabulate(nodes, values, facet)

    def tabulate(
        self,
        nodes: np.ndarray,
        values: Sequence[np.ndarray] = (),
        facet: np.ndarray | None = None,
    ) -> np.ndarray:
        """The same on elements that are given by their nodes, shape (e, g, d)."""
        count = len(nodes)
        out = np.zeros((count, *self.tensor))
        x = np.zeros((*nodes.shape[:2], 3))
        x[..., : nodes.shape[2]] = nodes
        given = [np.asarray(values[i]) for i in self._order]
        columns = [v.reshape(count, prod(v.shape[1:])) for v in given]
        w = np.ascontiguousarray(np.hstack(columns) if columns else np.zeros((count, 1)), float)
        which = np.zeros(count, np.int32) if facet is None else facet.astype(np.int32)
        A, W, X, F = (_pointer(a) for a in (out, w, x, which))
        a, b, c = (array[0].size if count else 0 for array in (out, w, x))
        tabulate, null, extra = self._tabulate, ffi.NULL, self._extra
        # One element after the other: the call costs a microsecond, the tensor ten or more.
        for i in range(count):
            tabulate(A + a * i, W + b * i, null, X + c * i, F + i, null, *extra)
        return out


def _pointer(array: np.ndarray) -> Any:
    kind = "int*" if array.dtype == np.int32 else "double*"
    return ffi.cast(kind, array.ctypes.data)
