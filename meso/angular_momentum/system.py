"""Several coupled diffusing fields: unknowns, prescribed values, assembly and solution.

    (d_i v_a, D_iakb d_k u_b) + (v_a, T_ab u_b) + <v_a, V_ab u_b>_surfaces
        + <[v]_a, g_ab [u]_b>_interfaces = load(v)

Fields may jump between regions ("phases") that are joined by a conductance; each then has its own
unknowns at the nodes they share. In any node any component may be prescribed. Components that are
not coupled are solved one after the other, those with the same matrix together, and those that
nothing drives not at all. Everything is given and returned in SI; inside, lengths are over the
size of the device, and no diffusivity is larger than one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from meso.angular_momentum.phases import connected, facets_between, phases
from meso.device import Device
from meso.discrete.algebra import Assembly
from meso.discrete.cells import Lagrange, cells_of
from meso.discrete.cellwise import element_matrices, tensor_matrices
from meso.discrete.kernels import Space
from meso.discrete.own_terms import OwnTerms
from meso.discrete.periodic import twin_nodes
from meso.discrete.scalar import ScalarForms
from meso.discrete.solvers import Factor, Iterative
from meso.discrete.unknowns import Unknowns, jumps, kept, number_field
from meso.equations import angular_momentum
from meso.errors import CaseError
from meso.mpi import concatenated, largest

#: From values (c, nodes, n) to what is missing in the balance of each component, (n,).
Defect = Callable[[np.ndarray], np.ndarray]
#: By the components of a group.
Solvers = dict[tuple[int, ...], Factor | Iterative]


@dataclass(frozen=True, kw_only=True, eq=False)
class Operator:
    """Coefficients of n coupled fields.

    Attributes:
        diffusion: D in each region, shape (r, d, n, d, n).
        reaction: T in each region, shape (r, n, n).
        surface: V by boundary, for each region at it, shape (r, n, n).
        conductance: g by pairs of regions, shape (n, n).
        smooth: Components that do not jump at a conductance, shape (n,).
    """

    diffusion: np.ndarray
    reaction: np.ndarray
    surface: Mapping[str, np.ndarray]
    conductance: Mapping[tuple[int, int], np.ndarray]
    smooth: np.ndarray

    def scaled(self, group: np.ndarray, scale: np.ndarray, length: float) -> Operator:
        """Some components in scaled variables."""
        s = np.outer(scale[group], scale[group])

        def pair(value: np.ndarray) -> np.ndarray:
            return value[..., group[:, None], group] * s

        return Operator(
            diffusion=self.diffusion[:, :, group][..., group] * s[:, None, :],
            reaction=pair(self.reaction) * length**2,
            surface={k: pair(v) * length for k, v in self.surface.items()},
            conductance={k: pair(g) * length for k, g in self.conductance.items()},
            smooth=self.smooth[group],
        )

    @property
    def transposed(self) -> Operator:
        """The operator of the adjoint problem."""
        return Operator(
            diffusion=self.diffusion.transpose(0, 3, 4, 1, 2),
            reaction=self.reaction.swapaxes(1, 2),
            surface={k: v.swapaxes(-1, -2) for k, v in self.surface.items()},
            conductance={k: g.T for k, g in self.conductance.items()},
            smooth=self.smooth,
        )

    @property
    def matrices(self) -> list[np.ndarray]:
        """All coefficients, the derivatives in D beside their components."""
        r, d, n = self.diffusion.shape[:3]
        flat = self.diffusion.reshape(r, d * n, d * n)
        return [flat, self.reaction, *self.surface.values(), *self.conductance.values()]

    @property
    def symmetric(self) -> bool:
        """Whether the matrix will be."""
        return all(
            np.abs(p - p.swapaxes(-1, -2)).max() <= 1e-14 * np.abs(p).max() for p in self.matrices
        )

    def groups(self) -> list[np.ndarray]:
        """Components that are coupled to each other."""
        n = self.reaction.shape[1]
        coupled = np.any(self.diffusion, axis=(0, 1, 3))
        for matrix in self.matrices[1:]:
            coupled = coupled | np.any(matrix.reshape(-1, n, n), axis=0)
        label = connected(coupled)
        return [np.flatnonzero(label == i) for i in range(label.max() + 1)]


class Solution(NamedTuple):
    """Values at the nodes of each cell, (c, nodes, n, sides), and how they were found.

    The reaction, (nodes, n, sides), is what is missing in the equations of prescribed values: the
    flux that must be fed in there. Solvers are those that were asked to be kept, by the groups of
    components that they solve for.
    """

    values: np.ndarray
    reaction: np.ndarray
    evidence: dict[str, Any]
    solvers: Solvers


class System:
    """A system of coupled fields in one space.

    Components may be ``held`` at nodes, (nodes, n), and ``own`` terms added to the weak form.

    Raises:
        CaseError: A conductance between regions that are joined continuously by a third, or that
            meet across a periodic pair.
    """

    def __init__(
        self,
        device: Device,
        space: Lagrange,
        operator: Operator,
        *,
        held: np.ndarray,
        pairs: Sequence[tuple[str, str]] = (),
        own: OwnTerms | None = None,
        iterative: bool = False,
        tolerance: float | None = None,
    ) -> None:
        self.device, self.space, self.operator, self.held = device, space, operator, held
        self.own, self.iterative, self.tolerance, cells = (
            own,
            iterative,
            tolerance,
            cells_of(device),
        )
        self.known: Solvers = {}
        size = np.trace(operator.diffusion.diagonal(axis1=2, axis2=4), axis1=1, axis2=2)
        self.scale = 1 / np.sqrt(size.max(axis=0) / device.dimension)
        self.forms = ScalarForms(cells, space, bend=2 * (cells.degree - 1))
        phase = phases(device, operator.conductance)
        self.region_phase, self.cell_phase = phase, phase[device.cell_region]
        extra, place = jumps(space, self.cell_phase)
        twins = twin_nodes(device, space, pairs)
        if phase.any() and len(twins):
            _check_twins(space, self.cell_phase, twins)
            stands = twins[np.argsort(twins[:, 0])]
            at = np.minimum(np.searchsorted(stands[:, 0], extra[:, 0]), len(stands) - 1)
            second = stands[at, 0] == extra[:, 0]
            extra[second, 0] = stands[at[second], 1]
        self.numbers = number_field(
            space,
            kept(space, np.empty(0, np.int64)),
            extra=extra,
            twins=twins,
        )
        # Number of the unknowns at each node by phase.
        self.node = np.tile(self.numbers.nodes, (int(phase.max(initial=0)) + 1, 1))
        self.node[place[:, 0], place[:, 1]] = self.numbers.extra

    def transposed(self, solvers: Solvers) -> System:
        """The adjoint problem, with the solvers of this one where it has them."""
        other = copy(self)
        other.operator, other.known = self.operator.transposed, solvers
        if self.own is not None:
            other.own = replace(self.own, matrices=self.own.matrices.swapaxes(1, 2))
        return other

    def solve(
        self,
        loads: np.ndarray,
        given: np.ndarray,
        *,
        defect: Defect | None = None,
        keep: bool = False,
        every: bool = False,
    ) -> Solution:
        """Assemble and solve.

        Args:
            loads: At the nodes of each cell, shape (c, nodes, n, sides).
            given: Prescribed values, and steps that are added to the solution, at each node,
                shape (nodes, n, sides).
            defect: Only for one side. The stiffness of thin cells is large and cancels in a
                balance but for rounding: one step of refinement takes that out.
            keep: True to keep the solvers; whoever has them closes them.
            every: True for those of components that nothing drives, too.

        Raises:
            ConvergenceError: The system is singular, or was not solved.
        """
        device, values, reaction = self.device, np.zeros_like(loads), np.zeros_like(given)
        evidence: dict[str, Any] = {"systems": 0, "unknowns": 0, "residual": 0.0}
        solvers: Solvers = {}
        unit = self.scale[:, None] * device.extent ** (2 - device.dimension)
        here = np.any(loads, axis=(0, 1, 3)) | np.any(given, axis=(0, 2))
        driven: np.ndarray = np.logical_or.reduce(device.comm.allgather(here | every))
        for operator, groups in self.classes(driven):
            at = np.array(groups)
            part = Part(self, operator, self.held[:, groups[0]])

            def missing(solved: np.ndarray, at: np.ndarray = at) -> np.ndarray:
                assert defect is not None
                omega = np.zeros((*loads.shape[:3], 1))
                omega[..., at, :] = _apart(solved, at) * self.scale[at][..., None]
                return _together(defect(omega[..., 0])[:, None] * unit, at)

            known = next((self.known[g] for g in map(tuple, groups) if g in self.known), None)
            found, flux, new, own = part.solve(
                _together(loads * unit, at),
                _together(given / self.scale[:, None], at),
                missing if defect else None,
                known,
                keep=keep,
            )
            solvers |= {tuple(group): solver for group in groups for solver in own.values()}
            values[..., at, :] = _apart(found, at) * self.scale[at][..., None]
            reaction[..., at, :] = _apart(flux, at) / unit[at]
            evidence["systems"] += 1
            evidence["unknowns"] += new["unknowns"]
            evidence["method"] = new["method"]
            for key in {"residual", "iterations"} & new.keys():
                evidence[key] = max(evidence.get(key, 0), new[key])
        return Solution(values, reaction, evidence, solvers)

    def unknowns(self, components: int) -> Unknowns:
        """The numbering of so many components."""
        found, n = self.numbers, components
        mine = np.diff(found.starts)[self.device.comm.rank]
        return Unknowns(
            comm=self.device.comm,
            components=n,
            vector=np.empty(0, np.int64),
            scalar=self.node,
            wall=np.empty((0, 0), np.int64),
            to_global=(found.to_global[:, None] * n + np.arange(n)).ravel().astype(np.int32),
            owned=n * int(mine),
            total=n * found.total,
        )

    def classes(self, driven: np.ndarray) -> Iterator[tuple[Operator, list[np.ndarray]]]:
        """Scaled operators, each with the groups of components that have it and are driven."""
        found: dict[Any, tuple[Operator, list[np.ndarray]]] = {}
        whole = [np.arange(len(driven))]
        for group in whole if self.own is not None else self.operator.groups():
            if not driven[group].any():
                continue
            operator = self.operator.scaled(group, self.scale, self.device.extent)
            parts = [*operator.matrices, self.held[:, group]]
            here = hash(tuple(p.tobytes() for p in parts))
            key = (len(group), *self.device.comm.allgather(here))
            found.setdefault(key, (operator, []))[1].append(group)
        yield from found.values()


def _check_twins(space: Lagrange, phase: np.ndarray, twins: np.ndarray) -> None:
    """Each phase continues across a periodic pair: there is no conductance on its boundaries."""
    comm, wrong = space.space.mesh.comm, False
    known = space.global_nodes
    count = int(largest(comm, float(phase.max(initial=0)))) + 1
    for p in range(count):
        touched = np.zeros(space.nodes)
        touched[space.dofs[phase == p].ravel()] = 1.0
        nodes = np.unique(concatenated(comm, known[space.shared_sum(touched) > 0]))
        first, second = np.isin(twins, nodes).T
        wrong |= bool((first != second).any())
    if wrong:
        text = "regions that a conductance separates meet across a periodic pair; let each go on"
        raise CaseError(("angular_momentum.interfaces", f"{text} as itself on the other side"))


def _together(whole: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Of (..., all components, sides) those of groups (g, n): (..., n, g * sides)."""
    parts = whole[..., at, :].swapaxes(-3, -2)
    groups, sides = parts.shape[-2:]
    return parts.reshape(*parts.shape[:-2], groups * sides)


def _apart(solved: np.ndarray, at: np.ndarray) -> np.ndarray:
    """And back: (..., g, n, sides)."""
    sides = solved.shape[-1] // len(at)
    return solved.reshape(*solved.shape[:-1], len(at), sides).swapaxes(-3, -2)


class Part:
    """Coupled components of a system in scaled variables."""

    def __init__(self, system: System, operator: Operator, held: np.ndarray) -> None:
        self.system, self.operator, self.held = system, operator, held
        self.space, found = system.space, system.numbers
        n = held.shape[1]
        node = system.node
        rows = np.where(node[..., None] >= 0, n * node[..., None] + np.arange(n), -1)
        # What does not jump has the unknown of the lowest phase.
        lowest = np.where(found.nodes >= 0, n * found.nodes, -n) + np.arange(n)[:, None]
        rows[:, :, operator.smooth] = np.maximum(lowest, -1)[operator.smooth].T
        rows[:, held] = -1
        self.rows = rows
        self.unknowns = system.unknowns(n)

    def solve(
        self,
        loads: np.ndarray,
        given: np.ndarray,
        missing: Callable[[np.ndarray], np.ndarray] | None,
        known: Factor | Iterative | None = None,
        *,
        keep: bool = False,
    ) -> Solution:
        """As of :meth:`System.solve`; ``missing`` has the shape (n, sides).

        What is ``known`` solves the transposed problem, and there is no matrix to assemble.
        """
        own, sides = self.system.own, loads.shape[3]
        symmetric = self.operator.symmetric and (own is None or own.symmetric)
        assembly = Assembly(
            self.unknowns, sides, symmetric, own=own is not None, loads_only=known is not None
        )
        outer = self.space.dofs[:, self.space.outer]
        lifted = bool(np.any(given))
        for batch, matrix in self._cells():
            lift = given[outer[batch]].reshape(len(batch), -1, sides) if lifted else None
            load = loads[batch].reshape(*matrix.shape[:2], sides)
            assembly.add_cells(batch, matrix, self._rows(batch, outer[batch]), load, lift)
        for phase, nodes, matrix in self._facets():
            rows = self.rows[phase, nodes].reshape(len(nodes), -1)
            assembly.add_matrix(rows, matrix)
            if lifted:
                assembly.add_load(rows, -(matrix @ given[nodes].reshape(*rows.shape, sides)))
        free = np.zeros(self.unknowns.size, dtype=bool)
        free[self.rows[self.rows >= 0]] = True
        if known is not None:
            x = known.solve_transposed(assembly.load)
            values = self._values(x, given, assembly)
            return Solution(values, self._reaction(values, x, loads, given), known.evidence, {})
        idle = np.flatnonzero(~free)[:, None]
        assembly.add_matrix(idle, np.ones((len(idle), 1, 1)))
        tolerance = self.system.tolerance
        iterative = self.system.iterative
        solver = assembly.iterative(tolerance=tolerance) if iterative else assembly.factorise()
        x = solver.solve(assembly.load)
        values = self._values(x, given, assembly)
        if missing is not None:
            x = x - solver.solve(self._spread_evenly(missing(values), free))
            values = self._values(x, given, assembly)
        kept: Solvers = {(): solver} if keep else {}
        if not keep:
            solver.close()
        reaction = self._reaction(values, x, loads, given)
        return Solution(values, reaction, solver.evidence, kept)

    def _rows(self, cells: np.ndarray, nodes: np.ndarray) -> np.ndarray:
        """Rows of the components at nodes of cells, shape (c, m * n)."""
        rows = self.rows[self.system.cell_phase[cells][:, None], nodes]
        return rows.reshape(len(cells), nodes.shape[1] * rows.shape[2])

    def _cells(self, near: np.ndarray | None = None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Cells of a batch and their matrices, (c, m, m); all cells, or those of a mask."""
        system, space, n = self.system, self.space, self.held.shape[1]
        cells, D = cells_of(system.device), self.operator.diffusion
        tensors = np.zeros((len(D), n, 1 + D.shape[1], n, 1 + D.shape[1]))
        tensors[:, :, 1:, :, 1:] = D.transpose(0, 2, 1, 4, 3)
        tensors[:, :, 0, :, 0] = self.operator.reaction
        size = space.dofs.shape[1] * n
        for batch, straight in cells.batches(4 * size * size):
            batch = batch if near is None else batch[near[batch]]
            if not len(batch):
                continue
            region = system.device.cell_region[batch]
            if straight:
                spaces = (Space(space.degree, n),)
                matrix = tensor_matrices(cells, batch, spaces, tensors[region])
            else:
                matrix = self._curved(batch, tensors[region])
            if system.own is not None:
                s = np.tile(system.scale, space.dofs.shape[1])
                unit = system.device.extent ** (2 - system.device.dimension)
                matrix += system.own.matrices[batch] * (np.outer(s, s) * unit)
            yield batch, matrix

    def _curved(self, batch: np.ndarray, tensors: np.ndarray) -> np.ndarray:
        """Pair by pair of components: compiling all at once would take long."""
        space, n, nodes = self.space, self.held.shape[1], self.space.dofs.shape[1]
        degree = 2 * (space.degree + cells_of(self.system.device).degree - 1)
        matrix = np.zeros((len(batch), nodes * n, nodes * n))
        for a, b in product(range(n), repeat=2):
            D, T = tensors[:, a, 1:, b, 1:], tensors[:, a, 0, b, 0]
            if D.any() or T.any():
                values = [*D.reshape(len(batch), -1).T, T]
                matrix[:, a::n, b::n] = element_matrices(
                    angular_momentum.coupled,
                    cells_of(self.system.device),
                    batch,
                    False,
                    (Space(space.degree, 0),),
                    values,
                    degree,
                )
        return matrix

    def _facets(self) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Phases and nodes (f, nodes) and matrices (f, m, m) of facets."""
        system, space = self.system, self.space
        device = system.device
        for name, tensor in self.operator.surface.items():
            facets = device.facets.of(device.facets.boundary == device.boundaries.index(name))
            if len(facets.cell):
                V = tensor[device.cell_region[facets.cell]]
                nodes = space.dofs[facets.cell[:, None], space.on_facet[facets.local]]
                phase = np.broadcast_to(system.cell_phase[facets.cell][:, None], nodes.shape)
                yield phase, nodes, self._on_surface(facets.cell, facets.local, V)
        for pair, g in self.operator.conductance.items():
            cell, local = facets_between(device, pair)
            if len(cell):
                block = self._on_surface(cell, local, np.array([g] * len(cell)))
                matrix = np.block([[block, -block], [-block, block]])
                nodes = space.dofs[cell[:, None], space.on_facet[local]]
                phase = np.repeat(system.region_phase[list(pair)], nodes.shape[1])
                yield np.tile(phase, (len(cell), 1)), np.tile(nodes, 2), matrix

    def _on_surface(self, cell: np.ndarray, local: np.ndarray, tensor: np.ndarray) -> np.ndarray:
        """<v_a, V_ab u_b> at the nodes of facets, with V on each, (f, n, n): shape (f, m, m)."""
        mass = self.system.forms.facet_mass(cell, local)
        whole = mass[:, :, None, :, None] * tensor[:, None, :, None, :]
        return whole.reshape(len(mass), *[mass.shape[1] * tensor.shape[1]] * 2)

    def _values(self, x: np.ndarray, given: np.ndarray, assembly: Assembly) -> np.ndarray:
        """At the nodes of each cell, shape (c, nodes, n, sides)."""
        space, sides, n = self.space, x.shape[1], self.held.shape[1]
        everything = np.arange(len(space.dofs))
        values = np.zeros((*space.dofs.shape, n, sides))
        outer = space.dofs[:, space.outer]
        rows = self._rows(everything, outer)
        at = np.where((rows >= 0)[..., None], x[rows] if len(x) else 0.0, 0.0)
        values[:, space.outer] = at.reshape(*outer.shape, n, sides) + given[outer]
        for part in assembly.batches:
            inner = part.inner(x).reshape(len(part.cells), -1, n, sides)
            values[part.cells, space.interior] = inner
        return values

    def _spread_evenly(self, amount: np.ndarray, free: np.ndarray) -> np.ndarray:
        """Loads on free unknowns with a given sum over all ranks for each component, (n, sides)."""
        n, unknowns = self.held.shape[1], self.unknowns
        component = np.arange(unknowns.size) % n
        # What ranks share gets a part from each: loads of all ranks are added.
        here = np.bincount(component[free], minlength=n).astype(float)
        count = np.maximum(unknowns.comm.allreduce(here), 1.0)
        return np.where(free[:, None], (amount / count[:, None])[component], 0.0)

    def _reaction(
        self, values: np.ndarray, x: np.ndarray, loads: np.ndarray, given: np.ndarray
    ) -> np.ndarray:
        space, held = self.space, self.held
        out = np.zeros_like(given)
        if not self.unknowns.comm.allreduce(bool(held.any())):
            return out
        for batch, matrix in self._cells(np.any(held[space.dofs], axis=(1, 2))):
            shape = (*matrix.shape[:2], -1)
            rest = matrix @ values[batch].reshape(shape) - loads[batch].reshape(shape)
            np.add.at(out, space.dofs[batch], rest.reshape(values[batch].shape))
        for phase, nodes, matrix in self._facets():
            rows = self.rows[phase, nodes]
            inside = np.where((rows >= 0)[..., None], x[rows], 0.0) + given[nodes]
            flux = matrix @ inside.reshape(*matrix.shape[:2], inside.shape[-1])
            np.add.at(out, nodes, flux.reshape(inside.shape))
        out[~held] = 0.0
        for a, side in product(*map(range, out.shape[1:])):
            out[:, a, side] = space.shared_sum(out[:, a, side])
        return out
