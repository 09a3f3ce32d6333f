"""Terms that a user adds to a weak form, cell by cell.

A term is a function from the symbols of a model to a UFL form, which is added to the left-hand
side. DOLFINx assembles it on discontinuous spaces, so that its matrix falls into blocks of cells;
these join those of the model before anything is eliminated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import basix.ufl
import dolfinx
import numpy as np
import ufl
from ufl.algorithms import estimate_total_polynomial_degree
from ufl.algorithms.apply_algebra_lowering import apply_algebra_lowering

from meso.compiled import functional
from meso.device import Device
from meso.discrete.cells import cells_of
from meso.discrete.expressions import coefficient
from meso.discrete.kernels import Shape, Space
from meso.errors import CaseError
from meso.measures import NamedMeasure
from meso.mpi import largest

#: From a function of the material of a region, or of its transport, to values in SI.
Quantity = Callable[[Any], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Symbols:
    """What a term of any model may be made of; lengths in metres, SI units.

    Attributes:
        n: Outward normal.
        x: Position.
        material: From a function of the material to a coefficient: ``lambda m: m.gamma2``.
        dx: Measure of the regions, by name.
        ds: Measure of the boundaries, by name.
    """

    n: Any
    x: Any
    material: Callable[[Quantity], Any]
    dx: NamedMeasure
    ds: NamedMeasure


#: A term: from symbols to a form.
Term = Callable[[Any], ufl.Form]
#: The symbols of a model from those of any model, trial and test functions.
SymbolsOf = Callable[[dict[str, Any], Any, Any], Symbols]

#: Two matrices that differ by less, relative to the largest entry, are alike.
_ROUNDING = 1e-13


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnForm:
    """Added terms that are no loads, for their derivatives (:mod:`meso.discrete.own_variation`).

    Attributes:
        form: Their sum, of test and trial functions.
        coefficients: Quantities of materials that it is made of, and the functions in their places.
        rows: Test functions over the scaled unknowns of a cell, shape (m,).
        columns: Trial functions over these, shape (m,).
    """

    form: ufl.Form
    coefficients: Sequence[tuple[Quantity, dolfinx.fem.Function]]
    rows: np.ndarray
    columns: np.ndarray

    @property
    def quantities(self) -> dict[str, Quantity]:
        """Quantities of materials by the names of their derivatives."""
        return {f"own_term.{i}": quantity for i, (quantity, _) in enumerate(self.coefficients)}


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnTerms:
    """Element tensors of added terms, in scaled variables.

    Attributes:
        matrices: On the unknowns of each cell, field by field, node by node, shape (c, m, m).
        loads: Right-hand sides there, shape (c, m), or None.
        symmetric: Whether the matrices are, on all ranks.
        form: What the matrices are of; None where all terms are loads.
    """

    matrices: np.ndarray
    loads: np.ndarray | None
    symmetric: bool
    form: OwnForm | None = None


def own_terms(
    device: Device,
    fields: Sequence[tuple[Space, float, float]],
    terms: Sequence[Term],
    symbols_of: SymbolsOf,
    sample: Callable[[Quantity, np.ndarray, np.ndarray], np.ndarray],
) -> OwnTerms | None:
    """Assemble added terms; all ranks call this. None without terms.

    Args:
        device: The device.
        fields: Each field, and the units of its equation and of itself in scaled variables:
            tensors are multiplied by the first for their test functions, and by the second for
            their trial functions.
        terms: The terms.
        symbols_of: From ``n``, ``x``, ``material``, ``dx`` and ``ds``, the trial functions and
            the test functions (one, or a tuple) to the symbols of the model.
        sample: Values of a quantity, SI, of all cells at positions (c, p, d) over
            ``Device.extent``: shape (c,) or (c, p).

    Raises:
        CaseError: A term that is no form, or one over interior facets.
    """
    if not terms:
        return None
    cells, every = cells_of(device), np.arange(len(device.cell_region))
    shape = Shape.kind(cells, straight=True)
    elements = [shape.of(field).ufl_element() for field, _, _ in fields]
    space = dolfinx.fem.functionspace(device.mesh, basix.ufl.mixed_element(elements))
    trial, test = ufl.TrialFunctions(space), ufl.TestFunctions(space)
    if len(fields) == 1:
        (trial,), (test,) = trial, test
    highest = max(field.highest for field, *_ in fields)

    coefficients: list[tuple[Quantity, dolfinx.fem.Function]] = []

    def material(quantity: Quantity) -> Any:
        # Forms know degrees: of numbers in cells it is none.
        some = sample(quantity, every, cells.nodes[:, :1])
        degree = highest if largest(device.comm, some.ndim) == 2 else 0
        function = coefficient(device, degree, lambda cells, x: sample(quantity, cells, x))
        coefficients.append((quantity, function))
        return function

    x = ufl.SpatialCoordinate(device.mesh)
    common = {"n": device.n, "x": x, "material": material, "dx": device.dx, "ds": device.ds}
    symbols = symbols_of(common, trial, test)
    form = sum((_checked(term, symbols) for term in terms), ufl.Form([]))
    form = _integrated(form, 2 * (cells.degree - 1))
    # UFL finds both sides only of a form that has a left one.
    left, right = ufl.system(form) if len(form.arguments()) == 2 else (ufl.Form([]), -form)
    dofs = np.asarray(space.dofmap.list[: len(device.cell_region)])
    sizes = [e.dim for e in elements]
    rows = np.repeat([row for *_, row, _ in fields], sizes)
    columns = np.repeat([column for *_, column in fields], sizes)
    matrices, loads, own = np.zeros((*dofs.shape, dofs.shape[1])), None, None
    if not left.empty():
        matrix = dolfinx.fem.assemble_matrix(functional(left)).to_scipy().tocoo()
        # Cells without any integral have no rows, ghosts have no matrices.
        cell, position = np.full((2, matrix.shape[0]), -1)
        cell[dofs], position[dofs] = every[:, None], np.arange(dofs.shape[1])
        own_cell, i, j = cell[matrix.row], position[matrix.row], position[matrix.col]
        here = own_cell >= 0
        matrices[own_cell[here], i[here], j[here]] = matrix.data[here]
        matrices *= rows[:, None] * columns
        used = [each for each in coefficients if each[1] in left.coefficients()]
        own = OwnForm(form=left, coefficients=used, rows=rows, columns=columns)
    if not right.empty():
        loads = dolfinx.fem.assemble_vector(functional(right)).array[dofs] * rows
    apart = np.abs(matrices - matrices.swapaxes(1, 2)).max(initial=0.0)
    size = largest(device.comm, np.abs(matrices).max(initial=0.0))
    symmetric = largest(device.comm, apart) <= _ROUNDING * size
    return OwnTerms(matrices=matrices, loads=loads, symmetric=symmetric, form=own)


def _integrated(form: ufl.Form, bend: int) -> ufl.Form:
    """With the degrees of quadrature in its integrals, which its derivatives take, too.

    They are the largest ones that UFL estimates, and ``bend`` more: where there are several for one
    place DOLFINx 0.9 counts integrals twice.
    """
    integrals, degrees = apply_algebra_lowering(form).integrals(), dict[str, int]()
    for each in integrals:
        degree = estimate_total_polynomial_degree(each.integrand()) + bend
        degrees[each.integral_type()] = max(degree, degrees.get(each.integral_type(), 0))
    return ufl.Form(
        [
            each.reconstruct(
                metadata={"quadrature_degree": degrees[each.integral_type()], **each.metadata()}
            )
            for each in integrals
        ]
    )


def _checked(term: Term, symbols: Symbols) -> ufl.Form:
    name = getattr(term, "__name__", repr(term))
    form = term(symbols)
    if not isinstance(form, ufl.Form):
        raise CaseError(
            f"terms: {name} returns {type(form).__name__}; it must return a UFL form, an"
            " integrand times a measure"
        )
    kinds = {integral.integral_type() for integral in form.integrals()}
    if not kinds <= {"cell", "exterior_facet"}:
        raise CaseError(f"terms: {name} has integrals over {', '.join(kinds)}; use dx and ds")
    return form
