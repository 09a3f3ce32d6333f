"""Derivatives of linear functionals of densities: a transposed solve with the factor that is there.

For K omega = f and a target T = w.X + (what a boundary takes), X = chi omega,

    K^T lambda = chi w,      dT = w.dX + dL(omega, lambda)

with L of :mod:`meso.angular_momentum.variation`; lambda is one where what is prescribed at a
boundary absorbs, since what is absorbed there is the rest of the equation itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from meso.angular_momentum.system import Solution, System
from meso.angular_momentum.variation import Variation
from meso.discrete.motion import Nodes
from meso.flow.result import Flow
from meso.mpi import total
from meso.sensitivities import Sensitivity

if TYPE_CHECKING:
    from meso.angular_momentum.densities import Densities
    from meso.angular_momentum.diffusion import Diffusion, Electric


@dataclass(frozen=True, kw_only=True, eq=False)
class Target:
    """A linear functional T of densities.

    Attributes:
        density: dT/dX at the nodes of each cell of this rank, shape (c, nodes, n).
        absorbed: How much of what each boundary absorbs there is in T, by component, (n,).
        nodes: dT/dx at the nodes of the mesh with the densities held there, as of
            :attr:`Sensitivity.nodes`; None where it is not known.
        coefficients: What T depends on beside the densities: "thickness", and others by their name.
        omega: dT/d omega at the nodes of each cell, beside what comes through X, (c, nodes, n).
    """

    density: np.ndarray
    absorbed: Mapping[str, np.ndarray] = field(default_factory=dict)
    nodes: np.ndarray | None = None
    coefficients: Mapping[str, np.ndarray | float] = field(default_factory=dict)
    omega: np.ndarray | None = None

    @classmethod
    def of(cls, problem: Diffusion, density: np.ndarray) -> Target:
        """A functional of densities by itself."""
        return cls(density=density, nodes=Nodes(problem.device).owned)

    def value(self, densities: Densities) -> float:
        """T without what is absorbed; all ranks call this."""
        comm = densities.device.comm
        return float(total(comm, float((self.density * densities.density).sum())))


@dataclass(frozen=True, kw_only=True, eq=False)
class Derivatives:
    """Derivatives of a target.

    Attributes:
        coefficients: In the coefficients of the problem, by the names and in the shapes of
            :func:`meso.angular_momentum.variation.coefficients`; the same on all ranks.
        potential: In the potential of the flow at the nodes of each cell, (c, q), for
            ``Flow.adjoint.functional``; None where no flow drives.
        nodes: In the nodes of the mesh, all else held, as of :attr:`Sensitivity.nodes`; None
            where it is not known: added terms, sources and boundary values that depend on position.
    """

    coefficients: Mapping[str, np.ndarray]
    potential: np.ndarray | None
    nodes: np.ndarray | None

    def through(self, flow: Flow) -> Sensitivity:
        """With all that goes through a flow (that keeps its adjoint); a solve."""
        own = Sensitivity(nodes=self.nodes, densities=self.coefficients)
        if self.potential is None or flow.adjoint is None:
            return own
        return own + flow.adjoint.functional(potential=self.potential)


class Adjoint:
    """Derivatives of densities; it keeps what they were solved with.

    Args:
        problem: The problem.
        driven: The field that it was solved with.
        system: Its system.
        solution: And the solution, with its solvers.
        still: Whether nothing but boundaries and fields depends on the shape.
    """

    def __init__(
        self,
        problem: Diffusion,
        driven: Electric | None,
        system: System,
        solution: Solution,
        *,
        still: bool,
    ) -> None:
        self.problem, self.driven, self._system = problem, driven, system
        self._omega, self._solvers = solution.values[..., 0], solution.solvers
        self._still = still

    def derivatives(self, targets: Sequence[Target]) -> list[Derivatives]:
        """Derivatives of targets, for which one system is solved; all ranks call this."""
        return [found for _, found in self.seen(targets)]

    def seen(self, targets: Sequence[Target]) -> list[tuple[np.ndarray, Derivatives]]:
        """The same, with lambda of each at the nodes of cells, (c, nodes, n)."""
        loads, given = weighted(self.problem, targets)
        solution = self._system.transposed(self._solvers).solve(loads, given)
        out = []
        for i, target in enumerate(targets):
            adjoint = solution.values[..., i]
            out.append((adjoint, self._of(target, adjoint, solution.reaction[..., i])))
        return out

    def _of(self, target: Target, adjoint: np.ndarray, rest: np.ndarray) -> Derivatives:
        """From lambda, and what is missing in its equations of prescribed values."""
        variation = Variation(self.problem, self.driven)
        variation.of(self._omega, adjoint, target.absorbed)
        found = collected(variation, target, self._omega, rest)
        return found if self._still else replace(found, nodes=None)

    def close(self) -> None:
        """Free what is kept, on all ranks together."""
        for solver in {id(s): s for s in self._solvers.values()}.values():
            solver.close()
        self._solvers.clear()


def weighted(problem: Diffusion, targets: Sequence[Target]) -> tuple[np.ndarray, np.ndarray]:
    """Loads (c, nodes, n, sides) and prescribed values (nodes, n, sides) of lambda for targets."""
    n, space = len(problem.components), problem.space
    loads = np.zeros((*space.dofs.shape, n, len(targets)))
    given = np.zeros((space.nodes, n, len(targets)))
    chi = problem.chi[problem.device.cell_region]
    for side, target in enumerate(targets):
        loads[..., side] = target.density @ chi
        if target.omega is not None:
            loads[..., side] += target.omega
        for name, much in target.absorbed.items():
            loads[..., side] += problem.absorbing(name, much)
            given[..., side] += problem.holding(name) * much
    return loads, given


def collected(
    variation: Variation, target: Target, omega: np.ndarray, rest: np.ndarray
) -> Derivatives:
    """All derivatives of a target, from those of the weak form; all ranks call this.

    Args:
        variation: Those, of this rank.
        target: The target.
        omega: At the nodes of each cell, (c, nodes, n).
        rest: What is missing in the equations of lambda for prescribed values, (nodes, n).
    """
    problem, found = variation.problem, variation.coefficients
    for index, name in enumerate(problem.device.regions):
        own = problem.device.cell_region == index
        w, u = (x[own].reshape(-1, omega.shape[2]) for x in (target.density, omega))
        found[f"susceptibility.{name}"] += w.T @ u
    _prescribed(problem, found, rest)
    names = sorted(found)
    sums = total(problem.device.comm, np.concatenate([found[k].ravel() for k in names]))
    ends = np.cumsum([found[k].size for k in names])[:-1]
    shared = dict(zip(names, np.split(sums, ends), strict=True))
    shared = {name: part.reshape(found[name].shape) for name, part in shared.items()}
    for name, value in target.coefficients.items():
        shared[name] = shared.get(name, 0.0) + np.asarray(value)
    nodes = variation.nodes.owned
    return Derivatives(
        coefficients=shared,
        potential=variation.potential,
        nodes=None if target.nodes is None else nodes + target.nodes,
    )


def _prescribed(problem: Diffusion, found: dict[str, np.ndarray], rest: np.ndarray) -> None:
    """Add derivatives in densities that are held, and in chi there: d omega = chi^-1 dX."""
    own = np.arange(problem.space.nodes) < problem.space.index_map.size_local
    held, values = problem.prescribed
    for name, nodes in problem.holders.items():
        for index, region in enumerate(problem.device.regions):
            here = nodes & own & (problem.node_region == index)
            change = -np.linalg.solve(problem.chi[index], (rest * held)[here].T)
            if f"density.{name}" in found:
                found[f"density.{name}"] += change.sum(axis=1)
            found[f"susceptibility.{region}"] -= change @ values[here]
