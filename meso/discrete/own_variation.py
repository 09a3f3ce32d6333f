"""Derivatives of added terms (:mod:`meso.discrete.own_terms`) between two states.

The form with both states in the place of its arguments is a number. With the values at nodes held
UFL differentiates it in the coordinates of the mesh, and in the quantities of materials that the
terms were made of.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import basix.ufl
import dolfinx
import numpy as np
import ufl
from ufl.algorithms.analysis import extract_type
from ufl.geometry import GeometricQuantity

from meso.compiled import functional
from meso.device import Device
from meso.discrete.cells import at_geometry_nodes
from meso.discrete.own_terms import OwnForm
from meso.discrete.variation import in_shape
from meso.sensitivities import Sensitivity

#: Geometry whose derivative in the nodes UFL knows on all meshes.
_SMOOTH = (ufl.geometry.SpatialCoordinate, ufl.geometry.FacetNormal)


class OwnVariation:
    """Derivatives of added terms; all ranks make it together.

    Attributes:
        moves: Whether those in the shape are known. Functions of the user's own live on a mesh that
            does not move, and sizes of cells have no derivative.
    """

    def __init__(self, device: Device, own: OwnForm) -> None:
        test, trial = own.form.arguments()
        self.device, self._own = device, own
        self._left = dolfinx.fem.Function(test.ufl_function_space())
        self._right = dolfinx.fem.Function(trial.ufl_function_space())
        form = ufl.replace(own.form, {test: self._left, trial: self._right})
        given = [function for _, function in own.coefficients]
        geometry = extract_type(own.form, GeometricQuantity)
        self.moves = set(own.form.coefficients()) <= set(given) and all(
            isinstance(each, _SMOOTH) for each in geometry
        )
        self._nodes = self._changes = None
        if self.moves:
            self._nodes = _Vector(device, _broken(device), lambda motion: in_shape(form, motion))
        if given:

            def changes(each: Any) -> ufl.Form:
                parts = [ufl.derivative(form, one, each[i]) for i, one in enumerate(given)]
                return sum(parts, ufl.Form([]))

            self._changes = _Vector(device, ("DG", 0, (len(given),)), changes)

    def sensitivity(self, left: np.ndarray, right: np.ndarray) -> Sensitivity:
        """Of the form between two states at the scaled unknowns of cells, (c, m).

        Its coefficients of cells are named as :attr:`OwnForm.quantities`. All ranks call this.

        Args:
            left: In the place of the test functions.
            right: In that of the trial functions.
        """
        own, changes, moved = self._own, dict[str, np.ndarray](), None
        for function, values in (self._left, left * own.rows), (self._right, right * own.columns):
            function.x.array[function.function_space.dofmap.list[: len(values)]] = values
        if self._changes is not None:
            changes = dict(zip(own.quantities, self._changes.assembled()[:, 0].T, strict=True))
        if self._nodes is not None:
            every = np.arange(len(left))
            moved = at_geometry_nodes(self.device, every, self._nodes.assembled())
        return Sensitivity(cells=changes, nodes=moved)


class _Vector:
    """A form with one argument on an element that is discontinuous."""

    def __init__(self, device: Device, element: Any, form: Callable[[Any], ufl.Form]) -> None:
        self.space = dolfinx.fem.functionspace(device.mesh, element)
        self.form = functional(form(ufl.TestFunction(self.space)))
        self.count = len(device.cell_region)

    def assembled(self) -> np.ndarray:
        """Cell by cell and node by node, (c, n, components)."""
        values = dolfinx.fem.assemble_vector(self.form).array.reshape(-1, self.space.dofmap.bs)
        return np.asarray(values[self.space.dofmap.list[: self.count]])


def _broken(device: Device) -> Any:
    """Element of motions of the geometry nodes of each cell by itself."""
    whole = device.mesh.ufl_domain().ufl_coordinate_element()
    return basix.ufl.element(
        "Lagrange",
        whole.cell_type.name,
        whole.degree,
        lagrange_variant=whole.lagrange_variant,
        shape=whole.reference_value_shape,
        discontinuous=True,
    )
