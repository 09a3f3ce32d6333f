"""Derivatives of what a flow yields, without solving it again for each input.

With unit potentials of the ports u_j, a(u_j, w) = b_j(w), the conductances are G_ij = b_i(u_j). The
problem is symmetric, so that

    d G_ij = b_i'(u_j) + b_j'(u_i) - a'(u_i, u_j)

where ' differentiates coefficients and shape with the values at nodes held: no solve at all. A
linear functional of the driven state takes one solve with the factor that is there. Currents and
potentials of terminals, resistances and power are functions of G and of what ports are given:
:func:`meso.flow.result.drive`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np

from meso.boundary import Boundary
from meso.discrete.fields import Field
from meso.materials.material import Material
from meso.sensitivities import Sensitivity

#: A port by its name, or how much of each port there is, (ports,).
Mix = str | Sequence[float] | np.ndarray


class Adjoint(ABC):
    """Derivatives of a flow; it keeps what the flow was solved with.

    Attributes:
        ports: Contacts and then periodic pairs, as in ``Flow.contacts`` and ``Flow.periodic``.
        response: Conductances of all ports, S (S/m), with the thickness, shape (ports, ports).
    """

    ports: tuple[str, ...]
    response: np.ndarray

    @abstractmethod
    def conductance(self, left: Mix, right: Mix) -> Sensitivity:
        """Of left^T G right, G the conductances of all ports, S (S/m), with the thickness.

        So ``conductance(name, potentials)`` is the derivative of a current at held potentials.
        """

    def current(self, left: Mix, potential: np.ndarray) -> Sensitivity:
        """Of left^T I, with currents I of the driven flow at held potentials of its ports."""
        return self.conductance(left, potential)

    @abstractmethod
    def functional(
        self, current: np.ndarray | None = None, potential: np.ndarray | None = None
    ) -> Sensitivity:
        """Of a linear functional T of the driven flow; all ranks call this.

        What contacts are given is held, so that potentials of floating contacts move with the
        rest. What T itself has of coefficients and of the shape is for the caller to add; here T is
        a sum over cells of numbers times the values of J and phi at their nodes.

        Args:
            current: d T / d J at the nodes of each cell of this rank, in the order of
                ``flow.fields["current_density"].values``, shape (c, n, d); None for zero. Cells
                that share a node add up.
            potential: The same of ``flow.fields["potential"].values``, shape (c, q, 1).

        Returns:
            Its derivatives; ``given`` has those in what the ports are given.
        """

    def dual(
        self, current: np.ndarray | None = None, potential: np.ndarray | None = None
    ) -> tuple[Field, Field] | None:
        """Current density and potential of the flow by which a functional sees errors.

        Arguments as of :meth:`functional`. With them and the error e of the driven flow, T errs by
        a(e, dual), where a(u, u) is the power of a flow u. None where that is not known.
        """
        return None

    @abstractmethod
    def coefficients(
        self, material: Material, magnetic_field: float | None = None
    ) -> dict[str, float]:
        """The coefficients of ``Sensitivity.cells`` of a material, SI.

        Args:
            material: The material.
            magnetic_field: Along z, T, by default that of the flow.
        """

    @abstractmethod
    def wall_coefficients(self, law: Boundary, material: Material) -> dict[str, float]:
        """Those of ``Sensitivity.facets`` of a boundary (wall or contact) of a material, SI."""

    @abstractmethod
    def close(self) -> None:
        """Free what is kept, on all ranks together."""


def of_ports(mix: Mix, ports: tuple[str, ...]) -> np.ndarray:
    """How much of each port there is, (ports,)."""
    if isinstance(mix, str):
        return np.array([float(port == mix) for port in ports])
    return np.asarray(mix, dtype=float)
