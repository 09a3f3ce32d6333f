"""Weak forms of one scalar field in P_k, element by element.

Systems of several fields on one mesh are made of these and of small matrices: harmonics of the
Boltzmann equation, components of angular momentum. Values of coefficients are one for each cell, or
one for each point of :meth:`ScalarForms.quadrature`.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import ufl

from meso.discrete.cells import Cells, Lagrange
from meso.discrete.cellwise import Integrand, element_matrices
from meso.discrete.kernels import Kernel, Shape, Space
from meso.equations import moments, ohmic


@lru_cache(maxsize=64)
def _facet_mass(shape: Shape, order: int, degree: int) -> Kernel:
    element = shape.of(Space(order, 0))
    u, v = ufl.TrialFunction(element), ufl.TestFunction(element)
    return Kernel(u * v * shape.ds(degree))


class ScalarForms:
    """Element tensors of a scalar field.

    Args:
        cells: Geometry.
        space: Space of the field.
        bend: Degrees that the quadrature of curved cells has beyond twice that of the field.
    """

    def __init__(self, cells: Cells, space: Lagrange, *, bend: int = 0) -> None:
        self.cells, self.space, self.bend = cells, space, bend

    def _degree(self, straight: bool) -> int:
        return 2 * self.space.degree + (0 if straight else self.bend)

    def quadrature(self, straight: bool) -> tuple[np.ndarray, np.ndarray]:
        """Points (q, d) and weights (q,) in cells."""
        return self.cells.quadrature(self._degree(straight))

    def _matrices(
        self,
        term: Integrand,
        batch: np.ndarray,
        straight: bool,
        values: np.ndarray,
        components: int = 0,
    ) -> np.ndarray:
        spaces = (Space(self.space.degree, components),)
        degree = self._degree(straight)
        return element_matrices(term, self.cells, batch, straight, spaces, (values,), degree)

    def mass(self, batch: np.ndarray, straight: bool, values: np.ndarray) -> np.ndarray:
        """Values v u, shape (c, p, p)."""
        return self._matrices(moments.mass, batch, straight, values)

    def conduction(self, batch: np.ndarray, straight: bool, values: np.ndarray) -> np.ndarray:
        """Values grad v . grad u, shape (c, p, p)."""
        return self._matrices(ohmic.conduction, batch, straight, values)

    def stiffness(self, batch: np.ndarray, straight: bool, values: np.ndarray) -> np.ndarray:
        """Values d_i v d_j u for all pairs of directions, shape (c, i, p, j, p)."""
        d = self.cells.dimension
        out = self._matrices(moments.stiffness, batch, straight, values, d)
        p = out.shape[1] // d
        return out.reshape(len(batch), p, d, p, d).transpose(0, 2, 1, 4, 3)

    def facet_mass(self, cell: np.ndarray, facet: np.ndarray) -> np.ndarray:
        """V u on facets, at the nodes on them, shape (f, m, m)."""
        shape = Shape.kind(self.cells, straight=False)
        degree = 2 * self.space.degree + 2 * (self.cells.degree - 1)
        whole = _facet_mass(shape, self.space.degree, degree)(self.cells, cell, (), facet)
        on = self.space.on_facet[facet]
        return whole[np.arange(len(cell))[:, None, None], on[:, :, None], on[:, None, :]]
