"""Loads of manufactured flows, as a user adds them: terms of the weak form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dolfinx
import numpy as np
import ufl

from meso import Device
from meso.discrete.cells import cells_of
from meso.flow import Hydrodynamic

#: Degree of polynomials in cells that given functions are replaced by: errors are far below those
#: of flows of degree 4.
DEGREE = 7


def function(device: Device, values: Callable[[np.ndarray], np.ndarray]) -> Any:
    """A function of scaled positions (..., d), in each cell a polynomial."""
    d = device.dimension
    shape = values(np.full((1, d), 0.5)).shape[1:]
    out = dolfinx.fem.Function(dolfinx.fem.functionspace(device.mesh, ("DG", DEGREE, shape)))
    out.interpolate(lambda x: values(x[:d].T / device.extent).reshape(x.shape[1], -1).T)
    return out


class Loads:
    """What makes a manufactured flow, in scaled variables, the solution of a model.

    Args:
        model: The model.
        case: The flow.
        source: Whether it has a divergence.
        tractions: By boundary: from the traction and the normal to the load there.
    """

    def __init__(
        self, model: Hydrodynamic, case: Any, *, source: bool, tractions: dict[str, Any]
    ) -> None:
        self.model, self.case, self.source, self.tractions = model, case, source, tractions

    def traction(self, n: Any) -> Any:
        """mu T n - phi n."""
        device, case = self.model.device, self.case
        pull = ufl.dot(function(device, case.tensor), n)
        return case.stress * pull - function(device, case.potential) * n

    def friction(self, n: Any) -> Any:
        """mu s J."""
        current = function(self.model.device, self.case.current)
        return self.case.stress * self.case.slip * current

    def __call__(self, of: Any) -> Any:
        device, degree = self.model.device, 2 * self.model.order + 6
        extent, sigma = device.extent, self.model.scales.conductivity
        dx = of.dx(degree=degree)
        force = function(device, self.case.body) / extent
        form = -ufl.dot(force, of.w) * dx
        if self.source:
            source = function(device, self.case.source) * sigma / extent**2
            bulk = dolfinx.fem.Function(dolfinx.fem.functionspace(device.mesh, ("DG", 0)))
            cells = cells_of(device)
            measure = cells.measures(np.arange(cells.count))
            square = 0.5 * measure if device.dimension == 2 else 0.15 * measure ** (2 / 3)
            bulk.x.array[:] = square * extent**2
            form += source * of.psi * dx
            form -= bulk / of.conductivity * source * ufl.div(of.w) * dx
        for name, load in self.tractions.items():
            pull = load(self.traction(of.n), self.friction(of.n), of.n)
            form -= ufl.dot(pull, of.w) * of.ds(name, degree=degree)
        return form


def natural(traction: Any, friction: Any, n: Any) -> Any:
    """All of it, for a boundary without a law."""
    return traction


def along_normal(traction: Any, friction: Any, n: Any) -> Any:
    """The part along the normal, for ideal contacts, without tangential current."""
    return ufl.dot(traction, n) * n


def rough(traction: Any, friction: Any, n: Any) -> Any:
    """What is missing where there is friction, and nothing else."""
    return traction + friction - ufl.dot(friction, n) * n


def at_wall(traction: Any, friction: Any, n: Any) -> Any:
    """The part along a wall with friction."""
    whole = traction + friction
    return whole - ufl.dot(whole, n) * n
