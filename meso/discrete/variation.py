"""Derivatives of the weak form of hydrodynamic flow between two states, nodal values held.

With states (J, phi, h) and (w, psi, eta) the form is a number; its derivatives are tensors of cells
and facets, in scaled lengths: in the nodes of the geometry, and in coefficients, as if each were
shifted by a constant in the element.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import ufl

from meso.discrete.cells import Cells
from meso.discrete.flow import (
    BoundaryIntegrand,
    boundary_measure,
    coefficient_names,
    conductor,
)
from meso.discrete.kernels import Kernel, Shape, Space
from meso.equations import contacts, hydrodynamic, ohmic, walls

#: Coefficients of the conductor.
CONDUCTOR = ("resistivity", "stress")
#: Those of boundaries that depend on materials.
BOUNDARY = ("factor", "slip_rate", "step", "stress")


#: Relative change of the height of cells.
_STEP = 1e-3


@dataclass(frozen=True, slots=True)
class State:
    """Values at the nodes of elements: J (e, p d), potential and levels of walls (e, q)."""

    current: np.ndarray
    potential: np.ndarray
    level: np.ndarray


def in_shape(form: ufl.Form, motion: ufl.Argument | None = None) -> ufl.Form:
    """Derivative of a number in the shape, with the values of functions held.

    In the nodes of the geometry, or for a motion that is given.
    """
    domain = form.ufl_domain()
    if motion is None:
        element = domain.ufl_coordinate_element()
        motion = ufl.TestFunction(ufl.FunctionSpace(domain, element))
    return ufl.derivative(form, ufl.SpatialCoordinate(domain), motion)


def _fields(shape: Shape, current: Space) -> tuple[list[Any], list[Any]]:
    """Two states inside a cell: J, phi, and w, psi."""
    potential = Space(current.degree - 1, 0)
    first, second = (
        [ufl.Coefficient(shape.of(space)) for space in (current, potential)] for _ in range(2)
    )
    return first, second


@lru_cache(maxsize=32)
def _conductor(shape: Shape, current: Space, varying: tuple[bool, ...]) -> tuple[Kernel, Kernel]:
    """Of the conductor, with the values of stress, resistivity and augmentation h^2/sigma."""
    (J, phi), (w, psi) = _fields(shape, current)
    degree = 2 * current.highest
    stress, resistivity, bulk = (
        shape.sampled(degree) if each else shape.constant() for each in varying
    )
    square = shape.constant()
    given = [J, phi, w, psi, stress, resistivity, bulk, square]
    form = conductor(J, phi, w, psi, stress, resistivity, bulk) * shape.dx(degree)
    # Where they vary, as if each were shifted at one point.
    kind = shape.points(degree, (3,)) if any(varying) else shape.polynomials(0, (3,))
    each = ufl.TestFunction(shape.space(kind))
    of_resistivity, of_stress, of_square = each
    change = (
        hydrodynamic.relaxation(J, w, of_resistivity)
        + hydrodynamic.augmentation(J, w, square * of_resistivity)
        + hydrodynamic.viscosity(J, w, of_stress)
        + hydrodynamic.augmentation(J, w, resistivity * of_square)
    )
    return Kernel(in_shape(form), given), Kernel(change * shape.dx(degree), given)


@lru_cache(maxsize=32)
def _conduction(shape: Shape, order: int, degree: int, varying: bool) -> tuple[Kernel, Kernel]:
    space = shape.of(Space(order, 0))
    phi, psi = ufl.Coefficient(space), ufl.Coefficient(space)
    sigma = shape.sampled(degree) if varying else shape.constant()
    each = ufl.TestFunction(shape.space(shape.points(degree) if varying else shape.polynomials(0)))
    form, change = (ohmic.conduction(phi, psi, x) * shape.dx(degree) for x in (sigma, each))
    return Kernel(in_shape(form), [phi, psi, sigma]), Kernel(change, [phi, psi])


def conduction(
    cells: Cells,
    batch: np.ndarray,
    potentials: tuple[np.ndarray, np.ndarray],
    order: int,
    degree: int,
    conductivity: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Of ohmic conduction between two potentials (c, n): (c, g, d), and (c, q) in the conductivity.

    That is (c,), and then q is one, or (c, q) at the points of a quadrature of some degree.
    """
    shape = Shape.kind(cells, straight=False)
    moved, change = _conduction(shape, order, degree, conductivity.ndim == 2)
    nodes = moved(cells, batch, (*potentials, conductivity))
    return nodes.reshape(len(batch), -1, cells.dimension), change(cells, batch, potentials)


@lru_cache(maxsize=8)
def _measure(shape: Shape) -> Kernel:
    return Kernel(in_shape(ufl.as_ufl(1.0) * shape.dx(shape.dimension * (shape.degree - 1))))


@lru_cache(maxsize=64)
def _boundary(
    shape: Shape,
    current: Space,
    integrands: tuple[BoundaryIntegrand, ...],
    names: tuple[str, ...],
    varying: tuple[bool, ...],
) -> tuple[Kernel, Kernel | None]:
    """Of a boundary, with the values of its coefficients and how much of a port each state is."""
    (J, phi), (w, psi) = _fields(shape, current)
    level, other = (ufl.Coefficient(phi.ufl_function_space()) for _ in range(2))
    nodal, n = shape.space(shape.inside(current.degree)), walls.normal(shape.domain)
    coefficients = [ufl.Coefficient(nodal) if each else shape.constant() for each in varying]
    value = dict(zip(names, coefficients, strict=True))
    first, second = shape.constant(), shape.constant()
    given = [J, level, w, other, *coefficients, first, second]
    law = sum(of(J, w, n, **{k: value[k] for k in coefficient_names(of)}) for of in integrands)
    terms = (
        walls.impenetrable(w, level, n)
        + walls.impenetrable(J, other, n)
        + first * contacts.potential(w, n)
        + second * contacts.potential(J, n)
        + law
    )
    ds = boundary_measure(shape, current)
    return Kernel(in_shape(terms * ds), given), Kernel(law * ds, given) if integrands else None


def heights(cells: Cells, cell: np.ndarray, facet: np.ndarray) -> np.ndarray:
    """Derivatives of the height of a cell over its flat facet in its vertices, (f, d + 1, d).

    That of the opposite vertex is the unit normal n; those of the facet are -n times barycentric
    coordinates of the foot of the height.
    """
    d, each = cells.dimension, np.arange(len(cell))
    gradients = cells.derivatives(cell)[0]  # of all barycentric coordinates but the first
    gradients = np.concatenate([-gradients.sum(axis=1, keepdims=True), gradients], axis=1)
    up = gradients[each, facet]  # of length 1/h
    square = (up**2).sum(axis=1)
    foot = np.zeros((len(cell), d + 1))
    foot[each, facet] = 1.0
    # From the opposite vertex down by the height: barycentric coordinates change by -h n.grad.
    foot -= (gradients @ up[:, :, None])[..., 0] / square[:, None]
    weight = -foot
    weight[each, facet] = 1.0
    return np.asarray(weight[:, :, None] * (up / np.sqrt(square)[:, None])[:, None])


class FlowVariation:
    """Derivatives of the weak form on the cells of this rank.

    Args:
        cells: Geometry.
        current: Space of J in a cell.
    """

    def __init__(self, cells: Cells, current: Space) -> None:
        self.cells, self.current = cells, current
        self.shape = Shape.kind(cells, straight=False)

    def conductor(
        self, batch: np.ndarray, one: State, other: State, values: Sequence[np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Of the conductor and continuity, (c, g, d) in the nodes, and (c, q, 2) in `CONDUCTOR`.

        At the points of the quadrature where these vary, else q is one. ``values`` has stress,
        resistivity, h^2/sigma of the augmentation and h^2, as
        :meth:`meso.discrete.flow.FlowForms.conductor`; h^2 goes with the measure to the power 2/d.
        """
        varying = tuple(value.ndim == 2 for value in values[:3])
        fields = one.current, one.potential, other.current, other.potential
        shape, change = _conductor(self.shape, self.current, varying)
        given = (*fields, *values)
        nodes, found = shape(self.cells, batch, given), change(self.cells, batch, given)
        found = found.reshape(len(batch), -1, 3)
        bulk = found[..., 2].sum(axis=1) * values[3]
        bulk *= 2 / self.cells.dimension / self.cells.measures(batch)
        nodes += bulk[:, None] * _measure(self.shape)(self.cells, batch)
        return self._nodal(nodes), found[..., :2]

    def boundary(
        self,
        integrands: tuple[BoundaryIntegrand, ...],
        cell: np.ndarray,
        facet: np.ndarray,
        states: tuple[State, State],
        given: Callable[[str, np.ndarray], np.ndarray],
        height: np.ndarray,
        ports: tuple[float, float],
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Of a boundary, (f, g, d) in the nodes, and (f, q) in each of `BOUNDARY` that it has.

        At the nodes where that one varies, else q is one. Coefficients as of
        :meth:`meso.discrete.flow.FlowForms.boundary`, for some heights of the cells over the
        facets, (f,); ``ports`` are the potentials that drive the states here.
        """
        names = tuple(sorted({name for of in integrands for name in coefficient_names(of)}))
        coefficients = [given(name, height) for name in names]
        varying = tuple(value.ndim == 2 for value in coefficients)
        shape, law = _boundary(self.shape, self.current, integrands, names, varying)
        fields = [part for state in states for part in (state.current, state.level)]
        values = [*fields, *coefficients, *(np.full(len(cell), port) for port in ports)]
        nodes = self._nodal(shape(self.cells, cell, values, facet))
        if law is None:
            return nodes, {}

        def at(factor: float) -> np.ndarray:
            higher = [given(name, factor * height) for name in names]
            return law(self.cells, cell, [*fields, *higher, *values[-2:]], facet)

        # Sums of h and 1/h, small in what they matter.
        of_height = (at(1 + _STEP) - at(1 - _STEP)) / (2 * _STEP) / height
        vertices = nodes[:, : self.cells.dimension + 1]
        vertices += of_height[:, None, None] * heights(self.cells, cell, facet)
        found = {}
        for i, name in enumerate(names, start=len(fields)):
            if name in BOUNDARY:
                # It enters linearly.
                width = values[i][:1].size or 1
                units = [*np.eye(width), np.zeros(width)]
                *each, none = (
                    law(self.cells, cell, [*values[:i], part, *values[i + 1 :]], facet)
                    for part in (np.tile(unit, (len(cell), 1)) for unit in units)
                )
                found[name] = np.stack(each, axis=1) - none[:, None]
        return nodes, found

    def _nodal(self, tensors: np.ndarray) -> np.ndarray:
        d = self.cells.dimension
        return tensors.reshape(len(tensors), tensors.shape[1] // d, d)
