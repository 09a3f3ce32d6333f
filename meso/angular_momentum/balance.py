"""What relaxes, leaves and is fed in: balances of solved densities of angular momentum."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from meso.angular_momentum.densities import Densities
from meso.device import Facets
from meso.discrete.cells import cells_of
from meso.discrete.scalar import ScalarForms
from meso.mpi import total

if TYPE_CHECKING:
    from meso.angular_momentum.diffusion import Diffusion


class Lost(NamedTuple):
    """What goes in each way on this rank, in parts, shape (m, n): cells, facets or nodes."""

    relaxed: np.ndarray
    made: np.ndarray  # by a source: negative
    through: dict[str, np.ndarray]

    @property
    def parts(self) -> np.ndarray:
        """All of them; they sum to zero."""
        return np.concatenate([self.relaxed, self.made, *self.through.values()])


def lost(problem: Diffusion, omega: np.ndarray, made: np.ndarray | None) -> Lost:
    """What relaxes and what leaves, from omega (c, nodes, n); ``made`` is the load of a source."""
    device, n = problem.device, len(problem.components)
    T = problem.operator.reaction[device.cell_region]
    relaxed = (T @ (problem.basis[:, None] @ omega).swapaxes(1, 2))[..., 0]
    if problem.own is not None:
        # Added terms count as relaxation: tested with one.
        added = (problem.own.matrices @ omega.reshape(*problem.own.matrices.shape[:2], 1))[..., 0]
        if problem.own.loads is not None:
            added = added - problem.own.loads
        relaxed += added.reshape(omega.shape).sum(axis=1)
    through, periodic = {}, {name for pair in problem.pairs for name in pair}
    for name in device.boundaries:
        if name not in periodic:
            fed = [-problem.fed[name][1].sum(axis=1)] if name in problem.fed else []
            through[name] = np.concatenate([absorbed(problem, name, omega), *fed])
    return Lost(relaxed, np.zeros((1, n)) if made is None else -made.sum(axis=1), through)


def absorbed(problem: Diffusion, name: str, omega: np.ndarray) -> np.ndarray:
    """What each facet of a boundary takes, the integral of V X, shape (f, n)."""
    device, facets = problem.device, problem.facets(name)
    if name not in problem.velocity or not len(facets.cell):
        return np.zeros((1, len(problem.components)))
    basis = over_facets(problem, facets)
    at = omega[facets.cell[:, None], problem.space.on_facet[facets.local]]
    V = problem.operator.surface[name][device.cell_region[facets.cell]]
    flux = (V @ (basis[:, None] @ at).swapaxes(1, 2))[..., 0]
    return flux


def over_facets(problem: Diffusion, facets: Facets) -> np.ndarray:
    """Integrals of the basis functions over facets, at the nodes there, shape (f, m)."""
    forms = ScalarForms(cells_of(problem.device), problem.space)
    # Basis functions sum to one.
    basis = forms.facet_mass(facets.cell, facets.local).sum(axis=1)
    return np.asarray(basis * problem.device.extent ** (problem.device.dimension - 1))


def summed(problem: Diffusion, parts: np.ndarray) -> np.ndarray:
    """Sum of parts (m, n) over all ranks, shape (n,)."""
    return np.atleast_1d(total(problem.device.comm, parts.sum(axis=0)))


def densities(
    problem: Diffusion,
    omega: np.ndarray,
    reaction: np.ndarray,
    evidence: dict[str, Any],
    made: np.ndarray | None = None,
) -> Densities:
    """Densities and balances from omega at the nodes of each cell, (c, nodes, n).

    The reaction, (nodes, n), is what must be fed in at prescribed nodes; what is ``made`` is
    the load of a source, (c, nodes, n).
    """
    device, space = problem.device, problem.space
    gone, seen = lost(problem, omega, made), np.zeros(space.nodes, dtype=bool)
    for name, parts in gone.through.items():
        surface = problem.surfaces.get(name)
        if surface is not None and surface.density is not None:
            nodes = space.nodes_on(device, name)
            nodes = nodes[(nodes < space.index_map.size_local) & ~seen[nodes]]
            seen[nodes] = True
            gone.through[name] = np.concatenate([parts, -reaction[nodes]])
    rest, size = summed(problem, gone.parts), summed(problem, np.abs(gone.parts))
    factor, nothing = problem.thickness or 1.0, np.zeros((1, omega.shape[2]))
    fed = {k: load.sum(axis=1) for k, (_, load) in problem.fed.items()}
    return Densities(
        device=device,
        components=problem.components,
        order=problem.order,
        unit="J_s_per_m2" if problem.sheet else "J_s_per_m3",
        omega=omega,
        density=omega @ problem.chi[device.cell_region].swapaxes(1, 2),
        outflow={name: summed(problem, p) * factor for name, p in gone.through.items()},
        injected={name: summed(problem, fed.get(name, nothing)) * factor for name in gone.through},
        relaxed=summed(problem, gone.relaxed) * factor,
        imbalance=np.divide(rest, size, out=np.zeros(len(rest)), where=size > 0),
        warnings=tuple(problem.warnings),
        evidence=evidence,
    )
