"""Hydrodynamic flow whose walls let a given current through, and the levels of walls.

The level h = phi - (l^2/sigma) n.strain(J).n is what pushes against a wall: the multiplier there.
"""

from __future__ import annotations

import numpy as np

from meso.discrete.cells import FacetGeometry
from meso.flow.discretisation import Problem, Solutions, trace
from meso.flow.hydrodynamic import direct_system
from meso.mpi import total


class Yielding:
    """A factorised flow in 2D: solved for its ports, and ready for currents through its walls.

    Attributes:
        discrete: The discretisation.
        solutions: For a unit potential of each port.
        geometry: Wall facets at the points of a quadrature.
        levels: Of walls there, for each port, (f, q, ports), scaled.
    """

    def __init__(self, problem: Problem) -> None:
        self._system = direct_system(problem)
        self.discrete = discrete = self._system.discrete
        self.solutions: Solutions = self._system.solve()
        self.geometry: FacetGeometry = discrete.geometry(problem.device.facets.of(discrete.walls))
        self._trace = trace(self.geometry, discrete.scalar)
        self.levels = self._at_points(self.solutions)

    def respond(self, current: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What J.n = -current at walls, scaled, (f, q), makes at no potential.

        Returns:
            J and potential as of `Solutions`, for one side, and levels at the points, (f, q).
        """
        weight, comm = self.geometry.weight, self.discrete.device.comm
        if not self.discrete.problem.grounded:
            # What comes in goes out: else there is no solution, not even for rounding.
            net = total(comm, np.array([(current * weight).sum(), weight.sum()]))
            current = current - net[0] / (net[1] or 1.0)
        weighted = (current * weight)[:, None]
        found = self._system.through_walls(-(weighted @ self._trace)[:, 0])
        return found.vector[0], found.scalar[0], self._at_points(found)[..., 0]

    def _at_points(self, found: Solutions) -> np.ndarray:
        assert found.levels is not None
        return self._trace @ found.levels[:, self.discrete.walls].transpose(1, 2, 0)

    def close(self) -> None:
        """Free it, on all ranks together."""
        self._system.close()
