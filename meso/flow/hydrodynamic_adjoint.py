"""Derivatives of hydrodynamic flow (:mod:`meso.flow.adjoint`): those of the discrete problem.

Where a magnetic field or other added terms make the matrix K unsymmetric, the solutions on the left
are those of K^T, with the factor of K.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np

from meso.boundary import Boundary, Periodic, Wall, law_of
from meso.device import Facets
from meso.discrete.cells import at_geometry_nodes
from meso.discrete.fields import Field
from meso.discrete.kernels import Space
from meso.discrete.own_variation import OwnVariation
from meso.discrete.variation import CONDUCTOR, FlowVariation, State
from meso.equations import contacts, walls
from meso.flow.adjoint import Adjoint, Mix, of_ports
from meso.flow.discretisation import (
    CROUZEIX_RAVIART,
    Discretisation,
    OnFacets,
    Solutions,
    augmentation,
)
from meso.flow.magnetic import InField
from meso.flow.places import Placed
from meso.flow.result import DriveResponse, drive_response, mixture
from meso.materials.material import Material
from meso.mpi import total
from meso.sensitivities import Sensitivity

# Numbers that a batch of cells holds for each of them.
_EACH = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class MixedState:
    """A state of the flow on this rank, in scaled variables.

    Attributes:
        vector: J at its nodes, shape (nodes, d).
        scalar: Potential at the nodes of cells, shape (c, q).
        levels: Of walls, at the nodes of facets, shape (f, q).
        ports: Potentials of the ports.
    """

    vector: np.ndarray
    scalar: np.ndarray
    levels: np.ndarray
    ports: np.ndarray

    @classmethod
    def of(cls, solutions: Solutions, mix: np.ndarray, ports: np.ndarray) -> MixedState:
        """So much of each solution, driven by these potentials."""
        assert solutions.levels is not None
        parts = (solutions.vector, solutions.scalar, solutions.levels)
        vector, scalar, levels = (np.tensordot(mix, part, 1) for part in parts)
        return cls(vector=vector, scalar=scalar, levels=levels, ports=ports)

    def __add__(self, other: MixedState) -> MixedState:
        return MixedState(
            vector=self.vector + other.vector,
            scalar=self.scalar + other.scalar,
            levels=self.levels + other.levels,
            ports=self.ports + other.ports,
        )


class HydrodynamicAdjoint(Adjoint):
    """Derivatives of a hydrodynamic flow.

    Args:
        model: The model, with its device, materials, boundaries, scales and thickness.
        system: What solved it, kept for other loads; closed with this.
        solutions: For unit potentials of the ports.
    """

    def __init__(self, model: Any, system: Any, solutions: Solutions) -> None:
        self.model, self.system, self.solutions = model, system, solutions
        self.discrete: Discretisation = system.discrete
        self.device, discrete = model.device, self.discrete
        self.ports, self.symmetric = discrete.problem.ports, discrete.problem.symmetric
        enriched = discrete.problem.elements == CROUZEIX_RAVIART
        space = Space(discrete.problem.order, self.device.dimension, enriched)
        self._variation = FlowVariation(discrete.cells, space)
        scales, length = model.scales, model.scales.length
        self._unit = scales.current(self.device.dimension) * (model.thickness or 1.0)
        self.response = solutions.flux * self._unit
        #: Scaled coefficients over those in SI.
        self._scale = {
            "resistivity": scales.conductivity,
            "stress": scales.conductivity / length**2,
            "slip_rate": length,
            "step": scales.conductivity / length,
        }

    def close(self) -> None:
        """Free what is kept, on all ranks together."""
        self.system.close()

    @cached_property
    def _own(self) -> OwnVariation | None:
        """Derivatives of added terms."""
        own = self.discrete.problem.own
        return None if own is None or own.form is None else OwnVariation(self.device, own.form)

    @cached_property
    def _left(self) -> Solutions:
        """Solutions of K^T for unit potentials of the ports."""
        return self.solutions if self.symmetric else self.system.solve(transposed=True)

    def _respond(self, loads: np.ndarray) -> Solutions:
        """The solution of K^T for loads on the moments and the potential of cells, (c, m)."""
        if self.symmetric:
            return self.system.respond(loads)  # type: ignore[no-any-return]
        return self.system.respond(loads, transposed=True)  # type: ignore[no-any-return]

    def conductance(self, left: Mix, right: Mix) -> Sensitivity:
        """Of left^T G right."""
        one, other = (of_ports(mix, self.ports) for mix in (right, left))
        states = MixedState.of(self.solutions, one, one), MixedState.of(self._left, other, other)
        return self._of(*states) * self._unit

    def functional(
        self, current: np.ndarray | None = None, potential: np.ndarray | None = None
    ) -> Sensitivity:
        """Of a linear functional of the driven flow."""
        dual, driven = self._dual(current, potential)
        found = self._of(MixedState.of(self.solutions, driven.potential, driven.potential), dual)
        return replace(found, given=dict(zip(self.ports, map(float, driven.given), strict=True)))

    def dual(
        self, current: np.ndarray | None = None, potential: np.ndarray | None = None
    ) -> tuple[Field, Field] | None:
        """As :meth:`Adjoint.dual` says; None where K is not symmetric."""
        if not self.symmetric:
            return None
        dual, _ = self._dual(current, potential)
        found = replace(self.solutions, vector=dual.vector[None], scalar=dual.scalar[None])
        density, voltage = mixture(self.model, found, joined=False)(np.array([1 / self._unit]))
        return density, voltage

    def _dual(
        self, current: np.ndarray | None, potential: np.ndarray | None
    ) -> tuple[MixedState, DriveResponse]:
        """The adjoint flow times the unit of conductance, and the drive."""
        loads = self._loads(current, potential)
        t = self._seen(loads, self.solutions)
        driven = drive_response(self.ports, self.model.boundaries, self.response, t)
        dual = MixedState.of(self._respond(loads), np.ones(1), np.zeros(len(self.ports)))
        held = -self._unit * driven.floating
        return dual + MixedState.of(self._left, held, held), driven

    def _loads(self, current: np.ndarray | None, potential: np.ndarray | None) -> np.ndarray:
        """Of a functional of J at the nodes of its elements and of phi, in scaled variables."""
        discrete, d = self.discrete, self.device.dimension
        c, p = discrete.vector.dofs.shape
        loads = np.zeros((c, p * d + discrete.scalar.in_cell))
        if current is not None:
            loads[:, : p * d] = current.reshape(c, p * d) * self.model.scales.current_density
        if potential is not None:
            loads[:, p * d :] = potential.reshape(c, loads.shape[1] - p * d)
        return loads

    def _seen(self, loads: np.ndarray, solutions: Solutions) -> np.ndarray:
        """What such a functional is of each solution, (sides,)."""
        discrete, d = self.discrete, self.device.dimension
        c, p = discrete.vector.dofs.shape
        unit = [
            (loads[:, : p * d] * vector[discrete.vector.dofs].reshape(c, p * d)).sum()
            + (loads[:, p * d :] * scalar).sum()
            for vector, scalar in zip(solutions.vector, solutions.scalar, strict=True)
        ]
        return np.asarray(total(self.device.comm, np.array(unit)))

    def coefficients(
        self, material: Material, magnetic_field: float | None = None
    ) -> dict[str, Any]:
        """Resistivity 1/sigma, stress l^2/sigma, and what added terms are made of."""
        out, own = _conductor(material), self.discrete.problem.own
        for name, quantity in own.form.quantities.items() if own and own.form else ():
            if isinstance(quantity, InField) and magnetic_field is not None:
                quantity = replace(quantity, field=magnetic_field)
            out[name] = quantity(material)
        return out

    def wall_coefficients(self, law: Boundary, material: Material) -> dict[str, Any]:
        """Stress, slip rate, and of reservoirs the step of the potential over J_n."""
        if isinstance(law, Periodic) or (isinstance(law, Wall) and law.slip_length == 0):
            return {}
        of = _conductor(material)
        if isinstance(law, Wall):  # the resistivity by the penalty on J.n
            return {**of, "slip_rate": law.slip_rate(material)}
        if law.law == "ideal":
            return {"stress": of["stress"]}
        rate = Wall(specularity=0.0).slip_rate(material)
        step = of["resistivity"] * material.contact_step
        return {"stress": of["stress"], "slip_rate": rate, "step": step}

    # -- the form ------------------------------------------------------------------------------

    def _of(self, one: MixedState, other: MixedState) -> Sensitivity:
        """-d [a(one, other) - loads], the loads of the ports that drive each on the other.

        One is of K, the other of K^T.
        """
        cells, facets = self.discrete.cells, self.device.facets
        count, d = cells.count, cells.dimension
        cell, nodes = [np.empty(0, np.int64)], [np.empty((0, cells.nodes.shape[1], d))]
        of_cells = {name: np.zeros(count) for name in CONDUCTOR}
        placed = Placed(self.device, self.model.materials)
        points = self.discrete.forms.quadrature()
        for batch, _ in cells.batches(_EACH, ~self.discrete.problem.coefficients.varies):
            if len(batch):
                moved, found = self._conductor(batch, one, other)
                parts = {
                    name: -self._scale[name] * x
                    for name, x in zip(CONDUCTOR, np.moveaxis(found, 2, 0), strict=True)
                }
                some = placed.constant(parts, _conductor, cells=batch, points=points)
                for name, values in some.items():
                    of_cells[name][batch] = values
                cell.append(batch)
                nodes.append(moved)
        of_facets = {name: np.zeros(len(facets.cell)) for name in self._scale}
        for index, boundary in enumerate(self.device.boundaries):
            here = np.flatnonzero(facets.boundary == index)
            if len(here):
                moved, own = self._boundary(boundary, here, one, other)
                cell.append(facets.cell[here])
                nodes.append(moved)
                some = placed.constant(
                    {name: -self._scale[name] * values for name, values in own.items()},
                    partial(self.wall_coefficients, law_of(self.model.boundaries, boundary)),
                    cells=facets.cell[here],
                    points=self.discrete.forms.points,
                    boundary=boundary,
                )
                for name, values in some.items():
                    of_facets[name][here] += values
        moved = at_geometry_nodes(self.device, np.concatenate(cell), np.concatenate(nodes))
        out = Sensitivity(cells=of_cells, facets=of_facets, nodes=-moved / self.device.extent)
        out = out + placed.sensitivity()
        return out if self._own is None else out + -1.0 * self._added(self._own, one, other)

    def _added(self, own: OwnVariation, one: MixedState, other: MixedState) -> Sensitivity:
        """Of added terms."""
        dofs = self.discrete.vector.dofs
        right, left = (
            np.hstack([mixed.vector[dofs].reshape(len(dofs), -1), mixed.scalar])
            for mixed in (one, other)
        )
        return own.sensitivity(left, right)

    def _state(self, mixed: MixedState, cells: np.ndarray, level: np.ndarray) -> State:
        current = mixed.vector[self.discrete.vector.dofs[cells]].reshape(len(cells), -1)
        return State(current, mixed.scalar[cells], level)

    def _conductor(
        self, batch: np.ndarray, one: MixedState, other: MixedState
    ) -> tuple[np.ndarray, np.ndarray]:
        discrete, c = self.discrete, self.discrete.problem.coefficients
        at = discrete.cells.positions(batch, discrete.forms.quadrature())
        stress, relaxation = c.stress(batch, at), c.relaxation(batch, at)
        square = augmentation(discrete.cells.measures(batch), discrete.cells.dimension)
        bulk = (square * relaxation.T).T
        none = np.empty((len(batch), 0))
        first, second = (self._state(mixed, batch, none) for mixed in (one, other))
        return self._variation.conductor(batch, first, second, (stress, relaxation, bulk, square))

    def _boundary(
        self, name: str, here: np.ndarray, one: MixedState, other: MixedState
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        discrete, law = self.discrete, self.discrete.laws[name]
        facets: Facets = self.device.facets.of(here)
        cell, local = facets.cell, facets.local
        integrands, given = law.terms, dict(law.coefficients)
        if law.penalty is not None:
            nitsche = discrete.cells.dimension == 3 and law.impenetrable
            tight = contacts.impenetrable if nitsche else walls.penalty
            integrands, given = (*integrands, tight), {**given, "factor": law.penalty}
        at = discrete.cells.positions(cell, discrete.forms.points)

        def of(name: str, height: np.ndarray) -> np.ndarray:
            return given[name](OnFacets(cell=cell, position=at, height=height))

        def state(mixed: MixedState) -> State:
            level = np.zeros((len(cell), discrete.scalar.in_cell))
            on_facet = discrete.scalar.on_facet[local]
            level[np.arange(len(cell))[:, None], on_facet] = mixed.levels[here]
            return self._state(mixed, cell, level)

        ports = (0.0, 0.0)
        if name in self.ports:
            port = self.ports.index(name)
            ports = float(one.ports[port]), float(other.ports[port])
        states = state(one), state(other)
        height = discrete.geometry(facets).height
        nodes, found = self._variation.boundary(integrands, cell, local, states, of, height, ports)
        if "factor" in found:
            factor = found.pop("factor")
            parts = self.model.penalty_parts(height)
            for part, values in zip(("stress", "resistivity"), parts, strict=True):
                found[part] = found.get(part, 0.0) + (factor.T * values.T).T
        return nodes, found


def _conductor(material: Material) -> dict[str, Any]:
    """Resistivity 1/sigma and stress l^2/sigma."""
    length: Any = material.vorticity_diffusion_length
    sigma: Any = material.conductivity
    return {"resistivity": 1 / sigma, "stress": length**2 / sigma}
