"""Terms that a user adds to the weak form of a flow, cell by cell.

A term is a function from the symbols of the model to a UFL form, which is added to the left-hand
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

from meso.compiled import functional
from meso.device import Device
from meso.errors import CaseError
from meso.measures import NamedMeasure
from meso.mpi import largest


@dataclass(frozen=True, slots=True, kw_only=True)
class Symbols:
    """What a term of a hydrodynamic flow may be made of; lengths in metres, SI units.

    The weak form is tested with w (a force density, V/m) and psi (a divergence of J).

    Attributes:
        J: Current density.
        w: Its test function.
        phi: Electrochemical potential.
        psi: Its test function.
        n: Outward normal.
        x: Position.
        conductivity: sigma.
        diffusion_length: Vorticity diffusion length l.
        material: From a function of the material to a coefficient: ``lambda m: m.gamma2``.
        dx: Measure of the regions, by name.
        ds: Measure of the boundaries, by name.
    """

    J: Any
    w: Any
    phi: Any
    psi: Any
    n: Any
    x: Any
    conductivity: Any
    diffusion_length: Any
    material: Callable[[Callable[[Any], Any]], Any]
    dx: NamedMeasure
    ds: NamedMeasure


#: Two matrices that differ by less, relative to the largest entry, are alike.
_ROUNDING = 1e-13
#: A term: from symbols to a form.
Term = Callable[[Symbols], ufl.Form]


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnTerms:
    """Element tensors of added terms, in scaled variables.

    Attributes:
        matrices: On the unknowns of each cell, J node by node and then phi, shape (c, m, m).
        loads: Right-hand sides there, shape (c, m), or None.
        symmetric: Whether the matrices are, on all ranks.
    """

    matrices: np.ndarray
    loads: np.ndarray | None
    symmetric: bool


def own_terms(
    device: Device,
    order: int,
    terms: Sequence[Term],
    sample: Callable[[Callable[[Any], Any]], np.ndarray],
    scale: float,
) -> OwnTerms:
    """Assemble added terms; all ranks call this.

    Args:
        device: The device.
        order: Polynomial degree k of J; phi has one less.
        terms: The terms.
        sample: Values of a quantity of the materials, SI, in each cell, (c,), or at its nodes of
            P_k, (c, p).
        scale: Conductivity that scaled variables are made with, S/m (S).

    Raises:
        CaseError: A term that is no form, or one over interior facets.
    """
    space = dolfinx.fem.functionspace(
        device.mesh, basix.ufl.mixed_element(_elements(device, order))
    )
    symbols = _symbols(device, order, space, sample)
    form = sum((_checked(term, symbols) for term in terms), ufl.Form([]))
    # UFL finds both sides only of a form that has a left one.
    left, right = ufl.system(form) if len(form.arguments()) == 2 else (ufl.Form([]), -form)
    dofs = space.dofmap.list[: len(device.cell_region)]
    # Rows: tested with w and psi. Columns: J in scale/length, phi in volts.
    length, d, m = device.extent, device.dimension, dofs.shape[1]
    current = np.arange(m) < _elements(device, order)[0].dim
    rows = np.where(current, length ** (1 - d), length ** (2 - d) / scale)
    columns = np.where(current, scale / length, 1.0)
    matrices, loads = np.zeros((len(dofs), m, m)), None
    if not left.empty():
        matrix = dolfinx.fem.assemble_matrix(functional(left))
        # Each row holds the unknowns of its cell, in ascending order.
        position = np.argsort(np.argsort(dofs, axis=1), axis=1)
        at = matrix.indptr[dofs][:, :, None] + position[:, None, :]
        matrices = matrix.data[at] * rows[:, None] * columns
    if not right.empty():
        loads = dolfinx.fem.assemble_vector(functional(right)).array[dofs] * rows
    apart = np.abs(matrices - matrices.swapaxes(1, 2)).max(initial=0.0)
    size = largest(device.comm, np.abs(matrices).max(initial=0.0))
    symmetric = largest(device.comm, apart) <= _ROUNDING * size
    return OwnTerms(matrices=matrices, loads=loads, symmetric=symmetric)


def _elements(device: Device, order: int) -> list[Any]:
    """Inside a cell: of J and of phi."""
    kind = {2: "triangle", 3: "tetrahedron"}[device.dimension]
    degrees = ((order, (device.dimension,)), (order - 1, ()))
    return [
        basix.ufl.element("Lagrange", kind, k, shape=shape, discontinuous=True)
        for k, shape in degrees
    ]


def _symbols(
    device: Device,
    order: int,
    space: Any,
    sample: Callable[[Callable[[Any], Any]], np.ndarray],
) -> Symbols:
    (J, phi), (w, psi) = ufl.TrialFunctions(space), ufl.TestFunctions(space)
    nodal = dolfinx.fem.functionspace(device.mesh, ("DG", order))

    def material(quantity: Callable[[Any], Any]) -> Any:
        values = sample(quantity)
        function = dolfinx.fem.Function(nodal)
        at = nodal.dofmap.list[: len(values)]
        function.x.array[at] = values if values.ndim == 2 else values[:, None]
        function.x.scatter_forward()
        return function

    return Symbols(
        J=J,
        w=w,
        phi=phi,
        psi=psi,
        n=device.n,
        x=ufl.SpatialCoordinate(device.mesh),
        conductivity=material(lambda m: m.conductivity),
        diffusion_length=material(lambda m: m.vorticity_diffusion_length),
        material=material,
        dx=device.dx,
        ds=device.ds,
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
