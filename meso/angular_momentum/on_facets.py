"""Coupled components at the nodes of some facets of a device: solved for loads there."""

from __future__ import annotations

import numpy as np

from meso.angular_momentum.system import Part, System
from meso.discrete.algebra import Assembly
from meso.discrete.solvers import free, gather, spread
from meso.mpi import largest


class FacetSolver:
    """All components of a system, with one factorisation for many loads; no fields jump in it.

    Args:
        system: The system; what is prescribed in it is zero here.

    Attributes:
        solvers: By the components that they solve for.
    """

    def __init__(self, system: System) -> None:
        self.system, space = system, system.space
        n, every = len(system.scale), np.ones(len(system.scale), dtype=bool)
        nothing = np.zeros((*space.dofs.shape, n, 1)), np.zeros((space.nodes, n, 1))
        self.solvers = system.solve(*nothing, keep=True, every=True).solvers
        self._parts = [
            (
                np.array(groups),
                Part(system, operator, system.held[:, groups[0]]),
                self.solvers[tuple(groups[0])],
            )
            for operator, groups in system.classes(every)
        ]

    def solve(
        self, cells: np.ndarray, nodes: np.ndarray, loads: np.ndarray, *, transposed: bool = False
    ) -> np.ndarray:
        """Values at the nodes of facets for loads there, both (f, m, n), SI.

        Args:
            cells: Cell of each facet, shape (f,).
            nodes: Nodes of each, shape (f, m).
            loads: At these.
            transposed: Whether to solve the transposed system.
        """
        system, values = self.system, np.zeros_like(loads)
        unit = system.scale * system.device.extent ** (2 - system.device.dimension)
        phase = system.cell_phase[cells][:, None]
        for at, part, solver in self._parts:
            rows = part.rows[phase, nodes]
            load = np.zeros((part.unknowns.size, len(at)))
            for group, own in enumerate(at):
                np.add.at(load[:, group], rows[rows >= 0], (loads * unit)[..., own][rows >= 0])
            x = solver.solve_transposed(load) if transposed else solver.solve(load)
            x = np.vstack([x, np.zeros((1, len(at)))])
            for group, own in enumerate(at):
                values[..., own] = x[rows, group] * system.scale[own]
        return values

    def close(self) -> None:
        """Free the factors, on all ranks together."""
        for *_, solver in self._parts:
            solver.close()


class FacetMatrix:
    """A symmetric matrix between what is free at the nodes of some facets, factorised.

    Args:
        system: Whose unknowns.
        cells: Cell of each facet, shape (f,).
        nodes: Nodes of each, shape (f, m).
        matrices: On the components at these, positive, shape (f, m n, m n).
    """

    def __init__(
        self, system: System, cells: np.ndarray, nodes: np.ndarray, matrices: np.ndarray
    ) -> None:
        n, node, comm = len(system.scale), system.node, system.device.comm
        rows = np.where(node[..., None] >= 0, n * node[..., None] + np.arange(n), -1)
        rows[:, system.held] = -1
        self._unknowns = system.unknowns(n)
        self._rows = rows[system.cell_phase[cells][:, None], nodes].reshape(matrices.shape[:2])
        assembly = Assembly(self._unknowns, 0)
        self._scale = largest(comm, np.abs(matrices).max(initial=0.0)) or 1.0
        assembly.add_matrix(self._rows, matrices / self._scale)
        touched = np.zeros(self._unknowns.size)
        touched[self._rows[self._rows >= 0]] = 1.0
        total = gather(self._unknowns, touched)
        idle = np.flatnonzero(spread(self._unknowns, total) == 0)[:, None]
        free(total)
        assembly.add_matrix(idle, np.ones((len(idle), 1, 1)))
        self._factor = assembly.factorise()

    def solve(self, loads: np.ndarray) -> np.ndarray:
        """Values at the nodes of facets for loads there, both (f, m n); none where held."""
        load, there = np.zeros((self._unknowns.size, 1)), self._rows >= 0
        np.add.at(load[:, 0], self._rows[there], loads[there] / self._scale)
        x = self._factor.solve(load)[:, 0]
        return np.where(there, np.append(x, 0.0)[self._rows], 0.0)

    @property
    def held(self) -> np.ndarray:
        """What is prescribed, (f, m n)."""
        return self._rows < 0

    def close(self) -> None:
        """Free it, on all ranks together."""
        self._factor.close()
