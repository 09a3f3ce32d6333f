"""Element tensors of a form, for many cells or facets at a time, by its compiled kernels.

DOLFINx assembles forms by itself; here are the few that have to be kept element by element, because
unknowns inside cells are eliminated before anything is assembled, or because several unknowns
share a node (potentials that jump, periodic twins). The kernels are called as in DOLFINx's own
demonstration of static condensation.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import basix.ufl
import cffi
import numpy as np
import ufl

from meso import _compat
from meso.discrete.compiled import compiled

_ffi = cffi.FFI()
_KINDS = ("cell", "exterior_facet")


@lru_cache(maxsize=32)
def reference_domain(cell: str, degree: int) -> ufl.Mesh:
    """A domain of cells of some degree: forms on it serve all meshes of such cells."""
    dimension = {"triangle": 2, "tetrahedron": 3}[cell]
    return ufl.Mesh(_compat.coordinate_element(cell, degree, dimension))


def broken(cell: str, degree: int, shape: tuple[int, ...] = ()) -> Any:
    """Discontinuous Lagrange element: what continuous spaces are inside a cell."""
    return basix.ufl.element("Lagrange", cell, degree, shape=shape, discontinuous=True)


class Kernel:
    """The element tensor of a form with one kind of integral.

    Args:
        form: On a :func:`reference_domain`, over cells or over exterior facets.
        coefficients: Its coefficients, in the order in which their values will be given.
    """

    def __init__(self, form: ufl.Form, coefficients: Sequence[ufl.Coefficient]) -> None:
        kinds = {integral.integral_type() for integral in form.integrals()}
        (kind,) = kinds
        self.form = compiled(form)
        start = self.form.form_integral_offsets[_KINDS.index(kind)]
        self.tabulate = self.form.form_integrals[start].tabulate_tensor_float64
        self.shape = tuple(
            argument.ufl_function_space().ufl_element().dim for argument in form.arguments()
        )
        original = list(form.coefficients())
        count = self.form.num_coefficients
        used = [original[self.form.original_coefficient_positions[i]] for i in range(count)]
        self.order = [list(coefficients).index(c) for c in used]
        self.extra = _compat.kernel_arguments()

    def __call__(
        self, nodes: np.ndarray, values: Sequence[np.ndarray], facet: np.ndarray | None = None
    ) -> np.ndarray:
        """Tensors of some elements.

        Args:
            nodes: Geometry nodes of each cell, shape (e, g, d).
            values: Values of each coefficient in each element, shape (e, n) or (e,).
            facet: For integrals over facets the number of each in its cell, shape (e,).

        Returns:
            Shape (e, ...), as many axes as the form has arguments.
        """
        count = len(nodes)
        out = np.zeros((count, *self.shape))
        x = np.zeros((*nodes.shape[:2], 3))
        x[..., : nodes.shape[2]] = nodes
        columns = [np.reshape(values[i], (count, -1)) for i in self.order]
        w = np.ascontiguousarray(np.hstack(columns) if columns else np.zeros((count, 1)), float)
        which = np.zeros((count, 1), np.int32) if facet is None else facet.astype(np.int32)
        # One element after the other: the call costs a microsecond, the tensor ten or more.
        A, W, X, F = (_pointer(a) for a in (out, w, x, which))
        a, b, c = (array[0].size if count else 0 for array in (out, w, x))
        tabulate, null, extra = self.tabulate, _ffi.NULL, self.extra
        for i in range(count):
            tabulate(A + a * i, W + b * i, null, X + c * i, F + i, null, *extra)
        return out


def _pointer(array: np.ndarray) -> Any:
    kind = "int*" if array.dtype == np.int32 else "double*"
    return _ffi.cast(kind, array.ctypes.data)
