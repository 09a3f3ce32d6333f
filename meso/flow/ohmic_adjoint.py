"""Derivatives of ohmic flow (:mod:`meso.flow.adjoint`): those of the discrete problem.

G_ij = a(phi_i, phi_j), where the potentials at contacts are held: d G_ij = a'(phi_i, phi_j). Where
added terms make the matrix K unsymmetric phi_i is a solution of K^T, with the factor of K.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from meso.boundary import Boundary
from meso.discrete.algebra import Assembly
from meso.discrete.cells import Lagrange, at_geometry_nodes, cells_of
from meso.discrete.cells import space as function_space
from meso.discrete.fields import Field
from meso.discrete.own_terms import OwnTerms
from meso.discrete.own_variation import OwnVariation
from meso.discrete.solvers import Factor, Iterative
from meso.discrete.variation import conduction
from meso.flow.adjoint import Adjoint, Mix, of_ports
from meso.flow.places import Placed
from meso.flow.result import DriveResponse, drive_response, ports_of
from meso.materials.material import Material
from meso.mpi import total
from meso.sensitivities import Sensitivity


@dataclass(frozen=True, slots=True)
class OhmicSystem:
    """What potentials were solved with.

    Attributes:
        space: Theirs.
        assembly: Matrices of cells.
        factor: None where there are no unknowns.
        rows: Unknown at each node, -1 for none.
        own: Added terms, that are no loads; None for none.
    """

    space: Lagrange
    assembly: Assembly
    factor: Factor | Iterative | None
    rows: np.ndarray
    own: OwnTerms | None = None

    @property
    def symmetric(self) -> bool:
        """Whether K is."""
        return self.assembly.symmetric

    def respond(self, loads: np.ndarray) -> np.ndarray:
        """Of K^T: potential (nodes,) for loads at the nodes of cells, (c, n), zero at contacts."""
        out = np.zeros(self.space.nodes)
        if self.factor is not None:
            rows = self.rows[self.space.dofs[:, self.space.outer]]
            _, out[self.space.dofs] = self.assembly.respond(
                self.factor, rows, loads, transposed=not self.symmetric
            )
        return out


class OhmicAdjoint(Adjoint):
    """Derivatives of an ohmic flow.

    Args:
        model: The model, with its device, materials, boundaries, scales and thickness.
        space: Of the potential.
        nodal: Potentials for unit potentials of the ports, shape (nodes, ports).
        flux: Scaled currents for these, shape (ports, ports).
        system: What they were solved with.
    """

    def __init__(
        self, model: Any, space: Lagrange, nodal: np.ndarray, flux: np.ndarray, system: OhmicSystem
    ) -> None:
        self.model, self.space, self.nodal, self.system = model, space, nodal, system
        self.device, self.ports = model.device, ports_of(model.boundaries)
        self._unit = model.scales.current(self.device.dimension) * (model.thickness or 1.0)
        self.response = flux * self._unit

    @cached_property
    def _left(self) -> np.ndarray:
        """Solutions of K^T for unit potentials of the ports, (nodes, ports)."""
        own = self.system.own
        if self.system.symmetric or own is None:
            return self.nodal
        loads = np.zeros((*self.space.dofs.shape, self.nodal.shape[1]))
        for batch, matrix in self.model.conduction(self.space):
            turned = (matrix + own.matrices[batch]).swapaxes(1, 2)
            loads[batch] = -turned @ self.nodal[self.space.dofs[batch]]
        return self.nodal + np.stack(
            [self.system.respond(one) for one in loads.T.swapaxes(1, 2)], 1
        )

    @cached_property
    def _own(self) -> OwnVariation | None:
        """Derivatives of added terms."""
        own = self.system.own
        return None if own is None or own.form is None else OwnVariation(self.device, own.form)

    def close(self) -> None:
        """Free what is kept, on all ranks together."""
        if self.system.factor is not None:
            self.system.factor.close()

    def conductance(self, left: Mix, right: Mix) -> Sensitivity:
        """Of left^T G right."""
        one, other = (of_ports(mix, self.ports) for mix in (left, right))
        return self._of(self._left @ one, self.nodal @ other) * self._unit

    def functional(
        self, current: np.ndarray | None = None, potential: np.ndarray | None = None
    ) -> Sensitivity:
        """Of a linear functional of the driven flow."""
        dual, driven = self._dual(current, potential)
        state = self.nodal @ driven.potential
        found = -1.0 * self._of(dual, state)
        if current is not None:
            found = found + self._current(current, state)
        return replace(found, given=dict(zip(self.ports, map(float, driven.given), strict=True)))

    def dual(
        self, current: np.ndarray | None = None, potential: np.ndarray | None = None
    ) -> tuple[Field, Field] | None:
        """As :meth:`Adjoint.dual` says; None where K is not symmetric."""
        if not self.system.symmetric:
            return None
        nodal = self._dual(current, potential)[0] / self._unit
        return self.model.state(nodal)  # type: ignore[no-any-return]

    def _dual(
        self, current: np.ndarray | None, potential: np.ndarray | None
    ) -> tuple[np.ndarray, DriveResponse]:
        """The adjoint potential at the nodes times the unit of conductance, and the drive."""
        dofs = self.space.dofs
        loads = np.zeros(dofs.shape) if potential is None else potential.reshape(dofs.shape).copy()
        if current is not None:
            loads += self._loads(current)
        t = total(self.device.comm, np.tensordot(loads, self.nodal[dofs], 2))
        driven = drive_response(self.ports, self.model.boundaries, self.response, t)
        return self.system.respond(loads) + self._unit * (self._left @ driven.floating), driven

    def coefficients(
        self, material: Material, magnetic_field: float | None = None
    ) -> dict[str, Any]:
        """Conductivity, and what added terms are made of."""
        own, sigma = self.system.own, material.conductivity
        given = own.form.quantities if own is not None and own.form is not None else {}
        return {"conductivity": sigma, **{name: of(material) for name, of in given.items()}}

    def wall_coefficients(self, law: Boundary, material: Material) -> dict[str, float]:
        """None: walls only keep the current in, contacts hold the potential."""
        return {}

    # -- the form ------------------------------------------------------------------------------

    def _of(self, one: np.ndarray, other: np.ndarray) -> Sensitivity:
        """Of a(other, one) with the test function one, scaled potentials at the nodes held."""
        cells, space, c = cells_of(self.device), self.space, self.model.coefficients
        nodes, placed = np.zeros(cells.nodes.shape), self._placed()
        of_sigma = np.zeros(cells.count)
        degree = 2 * space.degree + 2 * (cells.degree - 1)
        points = cells.quadrature(degree)[0]
        for batch, _ in cells.batches(3 * len(points) * cells.dimension, ~c.varies):
            if len(batch):
                sigma = c.conductivity(batch, cells.positions(batch, points))
                fields = one[space.dofs[batch]], other[space.dofs[batch]]
                nodes[batch], found = conduction(cells, batch, fields, space.degree, degree, sigma)
                of_sigma[batch] = self._constant(placed, found, batch, points)
        out = self._sensitivity(of_sigma, nodes, placed)
        if self._own is None:
            return out
        return out + self._own.sensitivity(one[space.dofs], other[space.dofs])

    def _placed(self) -> Placed:
        return Placed(self.device, self.model.materials)

    def _constant(
        self, placed: Placed, found: np.ndarray, cells: np.ndarray, points: np.ndarray
    ) -> np.ndarray:
        """From d / d scaled conductivity, (c, q), what is one number in cells, SI, (c,)."""
        parts = {"conductivity": found / self.model.scales.conductivity}
        return placed.constant(parts, self.coefficients, cells=cells, points=points)["conductivity"]

    def _sensitivity(self, of_sigma: np.ndarray, nodes: np.ndarray, placed: Placed) -> Sensitivity:
        """From d / d conductivity, and d / d nodes of cells in scaled lengths, (c, g, d)."""
        moved = at_geometry_nodes(self.device, np.arange(len(nodes)), nodes)
        own = Sensitivity(cells={"conductivity": of_sigma}, nodes=moved / self.device.extent)
        return own + placed.sensitivity()

    # -- J = -sigma grad phi, in each cell at the nodes of one degree less -----------------------

    @property
    def _points(self) -> np.ndarray:
        nodes = function_space(self.device, "DG", self.space.degree - 1, 1)
        return np.asarray(nodes.element.basix_element.points)

    def _at_nodes(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Gradients of basis functions and of the geometry, (c, m, d, n), and sigma (c, m)."""
        cells, space = cells_of(self.device), self.space
        every = np.arange(cells.count)
        points = self._points
        of_field, _ = cells.gradients(every, points, space.gradients(points))
        table = cells.element.tabulate(1, points)[1:, :, :, 0].transpose(1, 2, 0)
        of_geometry, _ = cells.gradients(every, points, table)
        sigma = self.model.coefficients.conductivity(every, cells.positions(every, points))
        sigma = np.broadcast_to(sigma.reshape(len(every), -1), of_field.shape[:2])
        return of_field, of_geometry, sigma * self.model.scales.current_density

    def _loads(self, current: np.ndarray) -> np.ndarray:
        """Loads on the potential that act like loads on J, (c, n)."""
        of_field, _, sigma = self._at_nodes()
        return -((current * sigma[..., None])[..., None] * of_field).sum(axis=(1, 2))

    def _current(self, current: np.ndarray, state: np.ndarray) -> Sensitivity:
        """Of loads on J where the potential at the nodes is held."""
        of_field, of_geometry, sigma = self._at_nodes()
        slope = (of_field @ state[self.space.dofs][:, None, :, None])[..., 0]  # (c, m, d)
        given = self.model.scales
        each, placed = -(current * slope).sum(axis=2) * given.current_density, self._placed()
        of_sigma = self._constant(placed, each, np.arange(len(each)), self._points)
        # A motion v changes d_i phi by -d_i v_k d_k phi.
        along = (current[:, :, None] @ of_geometry)[:, :, 0]  # (c, m, g)
        nodes = (sigma[..., None] * along).swapaxes(1, 2) @ slope
        return self._sensitivity(of_sigma, nodes, placed)
