"""Derivatives of what a kinetic flow yields (:mod:`meso.flow.adjoint`).

In a magnetic field K^T is the operator of the opposite field: the solutions on the left are those
of another run, which is made when they are first needed, with the factors of the first one.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from meso.boundary import Boundary, Contact, Wall
from meso.discrete.fields import Field
from meso.flow.adjoint import Adjoint, Mix, of_ports
from meso.flow.discretisation import Solutions
from meso.flow.moments import IterativeMoments
from meso.flow.result import DriveResponse, drive_response, mixture, ports_of
from meso.flow.system import DirectSystem
from meso.flow.variation import State, Variation, conductor, half_range
from meso.materials.material import Material
from meso.mpi import total
from meso.sensitivities import Sensitivity

if TYPE_CHECKING:
    from meso.flow.kinetic import Kinetic

#: Tolerance of iterations where derivatives are wanted, by dimension: they are as accurate as the
#: solutions, not to their square. Measured in 2D for N = 16: those of conductances err by 1e-7, of
#: edge moments by 1e-6, 1e-5 in the shape of smooth walls; ten times more for 1e-5. In 3D for N = 4
#: and 8, up to p = 0.9: 1e-7 and 2e-6 with this, 1e-8 and 8e-7 with a tenth.
PRECISE = {2: 3e-7, 3: 3e-6}
#: A system and its solutions for unit potentials.
Solved = tuple[DirectSystem | IterativeMoments, Solutions]


class KineticAdjoint(Adjoint):
    """Derivatives of a kinetic flow.

    Args:
        model: The model.
        solved: Its system, which is closed with this, and the solutions for unit potentials.
    """

    def __init__(self, model: Kinetic, solved: Solved) -> None:
        self.model, self.ports = model, ports_of(model.boundaries)
        self.system, self.solutions = solved
        self.variation = Variation(model)
        #: Conductance over its scaled value.
        self.unit = model.scales.current(model.device.dimension) * (model.thickness or 1.0)
        self.response = self.solutions.flux * self.unit

    @cached_property
    def opposite(self) -> DirectSystem | IterativeMoments:
        """The system that solves K^T."""
        if not self.model.magnetic_field or isinstance(self.system, DirectSystem):
            return self.system
        return self.system.opposite(self.model.opposite().problem())

    @cached_property
    def transposed(self) -> Solutions:
        """Solutions of K^T for unit potentials."""
        if not self.model.magnetic_field:
            return self.solutions
        if isinstance(self.opposite, DirectSystem):
            return self.opposite.solve(transposed=True)
        return self.opposite.solve(self.solutions.vector)

    def conductance(self, left: Mix, right: Mix) -> Sensitivity:
        """As :meth:`Adjoint.conductance` says."""
        one, two = (of_ports(mix, self.ports) for mix in (left, right))
        states = _mixed(self.transposed, one), _mixed(self.solutions, two)
        return self.unit * self._bilinear(*states, one, two)

    def functional(
        self,
        current: np.ndarray | None = None,
        potential: np.ndarray | None = None,
        moments: np.ndarray | None = None,
    ) -> Sensitivity:
        """As :meth:`Adjoint.functional` says; of the odd moments as well.

        Args:
            current: d T / d J at the nodes of each cell, shape (c, n, d).
            potential: d T / d phi there, shape (c, q).
            moments: d T / d u of the odd moments, SI, at the nodes, shape (nodes, N); what ranks
                share adds up.
        """
        left, held, driven = self._dual(current, potential, moments)
        right = _mixed(self.solutions, driven.potential)
        found = self._bilinear(left, right, held, driven.potential)
        return replace(found, given=dict(zip(self.ports, driven.given.tolist(), strict=True)))

    def dual(
        self, current: np.ndarray | None = None, potential: np.ndarray | None = None
    ) -> tuple[Field, Field]:
        """As :meth:`Adjoint.dual` says, of what of the moments is a flow."""
        left, _, _ = self._dual(current, potential, None)
        found = replace(self.solutions, vector=left.moments[None], scalar=left.potential[None])
        density, voltage = mixture(self.model, found, joined=False)(np.array([1 / self.unit]))
        return density, voltage

    def _dual(
        self, current: np.ndarray | None, potential: np.ndarray | None, moments: np.ndarray | None
    ) -> tuple[State, np.ndarray, DriveResponse]:
        """The adjoint times the unit of conductance, how much of each port is in it; the drive."""
        model, vector = self.model, self.variation.vector
        load = np.zeros((vector.nodes, model.basis.count))
        if moments is not None:
            load += moments
        if current is not None:
            np.add.at(load[:, : current.shape[2]], vector.dofs, current)
        load *= model.scales.current_density
        scalar = np.zeros(self.solutions.scalar.shape[1:])
        if potential is not None:
            scalar += potential.reshape(scalar.shape)
        # How T answers to the potential of each port.
        each = np.tensordot(self.solutions.vector, load, 2)
        each += np.tensordot(self.solutions.scalar, scalar, 2)
        each = np.asarray(total(model.device.comm, each))
        driven = drive_response(self.ports, model.boundaries, self.response, each)
        held = -self.unit * driven.floating
        left = self._respond(load, scalar)
        if held.any():
            left = left + _mixed(self.transposed, held)
        return left, held, driven

    def _respond(self, moments: np.ndarray, potential: np.ndarray) -> State:
        """The solution of K^T for other loads, at nodes of the moments and in cells."""
        system = self.opposite
        if isinstance(system, IterativeMoments):
            found = system.respond(moments, potential)
        else:
            dofs = self.variation.vector.dofs
            nodes, first = np.unique(dofs, return_index=True)
            loads = np.zeros((dofs.size, moments.shape[1]))
            loads[first] = moments[nodes]
            loads = loads.reshape(len(dofs), dofs.shape[1] * moments.shape[1])
            loads = np.concatenate([loads, potential], axis=1)
            found = system.respond(loads, transposed=bool(self.model.magnetic_field))
        return _mixed(found, np.ones(1))

    def _bilinear(
        self, left: State, right: State, mix: np.ndarray, potential: np.ndarray
    ) -> Sensitivity:
        """Of b(left) . right + b(right) . left - left . K right, with loads of unit potentials."""
        found = -1.0 * self.variation.form(left, right)
        for port, one, two in zip(self.ports, mix, potential, strict=True):
            if one or two:
                found = found + self.variation.current(port, one * right + two * left)
        return found

    def coefficients(
        self, material: Material, magnetic_field: float | None = None
    ) -> dict[str, Any]:
        """As :meth:`Adjoint.coefficients` says: 1/sigma, lambda^2/sigma, lambda/R_c, all rates.

        Without the first two where they vary in space.
        """
        field = self.model.magnetic_field if magnetic_field is None else magnetic_field
        rates = {f"rate{m}": material.rate(m) for m in range(2, self.model.harmonics + 1)}
        own = {} if material.varies else conductor(material)
        return {**own, "turning": material.turning(field), **rates}

    def wall_coefficients(self, law: Boundary, material: Material) -> dict[str, Any]:
        """As :meth:`Adjoint.wall_coefficients` says, without what varies in space."""
        from meso.flow.kinetic import roughness

        if not isinstance(law, Contact | Wall):
            return {}
        own = {} if material.varies else half_range(material)
        return {**own, "ratio": roughness(law)} if isinstance(law, Wall) else own

    def close(self) -> None:
        """Free what is kept, on all ranks together."""
        self.system.close()
        if "opposite" in self.__dict__ and self.opposite is not self.system:
            self.opposite.close()


def _mixed(solutions: Solutions, mix: np.ndarray) -> State:
    """So much of each solution."""
    assert solutions.levels is not None
    parts = solutions.vector, solutions.scalar, solutions.levels
    return State(*(np.tensordot(mix, part, 1) for part in parts))
