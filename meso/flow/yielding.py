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
        system: What it is solved with; ``keep`` it for other loads.
        solutions: For a unit potential of each port.
        geometry: Wall facets at the points of a quadrature.
        levels: Of walls there, for each port, (f, q, ports), scaled.
    """

    def __init__(self, problem: Problem, *, keep: bool = False) -> None:
        self.system = direct_system(problem, keep=keep)
        self.discrete = discrete = self.system.discrete
        self.solutions: Solutions = self.system.solve()
        self.geometry: FacetGeometry = discrete.geometry(problem.device.facets.of(discrete.walls))
        self._trace = trace(self.geometry, discrete.scalar)
        self.levels = self.at_points(self.solutions)

    def respond(self, current: np.ndarray) -> Solutions:
        """What J.n = -current at walls, scaled, (f, q), makes at no potential."""
        weight, comm = self.geometry.weight, self.discrete.device.comm
        if not self.discrete.problem.grounded:
            # What comes in goes out: else there is no solution, not even for rounding.
            net = total(comm, np.array([(current * weight).sum(), weight.sum()]))
            current = current - net[0] / (net[1] or 1.0)
        weighted = (current * weight)[:, None]
        return self.system.through_walls(-(weighted @ self._trace)[:, 0])

    def at_points(self, found: Solutions) -> np.ndarray:
        """Levels of walls at the points, (f, q, sides)."""
        assert found.levels is not None
        return self._trace @ found.levels[:, self.discrete.walls].transpose(1, 2, 0)

    def close(self) -> None:
        """Free it, on all ranks together."""
        self.system.close()
