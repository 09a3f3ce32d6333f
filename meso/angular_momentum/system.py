"""Several coupled diffusing fields: unknowns, boundary values, assembly and solution.

Fields may jump between regions ("phases") that are joined by a conductance; each then has its own
unknowns at the nodes they share. In any node any component may be prescribed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import dolfinx
import numpy as np

from meso.device import Device
from meso.discrete.algebra import Assembly, Condensed
from meso.discrete.cells import FacetGeometry, Lagrange, cells_of, facet_geometry, of_device
from meso.discrete.cellwise import tensor_matrices
from meso.discrete.kernels import Space
from meso.discrete.own_terms import OwnTerms
from meso.discrete.periodic import twin_nodes
from meso.discrete.scalar import ScalarForms
from meso.discrete.unknowns import Unknowns, jumps, kept, number_field
from meso.errors import CaseError


@dataclass(frozen=True, kw_only=True, eq=False)
class Operator:
    """Scaled coefficients of n coupled fields.

    Attributes:
        diffusion: In each region, shape (r, d, n, d, n).
        reaction: In each region, shape (r, n, n).
        surface: By boundary, for each region at it, shape (r, n, n).
        conductance: By pairs of regions, shape (n, n).
        jumping: Whether a component jumps where regions are joined by a conductance, shape (n,).
    """

    diffusion: np.ndarray
    reaction: np.ndarray
    surface: Mapping[str, np.ndarray] = field(default_factory=dict)
    conductance: Mapping[tuple[int, int], np.ndarray] = field(default_factory=dict)
    jumping: np.ndarray | None = None

    @property
    def components(self) -> int:
        """Number of fields."""
        return self.reaction.shape[1]

    @property
    def symmetric(self) -> bool:
        """Whether the matrix will be."""
        parts = [self.reaction, *self.surface.values(), *self.conductance.values()]
        flat = self.diffusion.reshape(
            len(self.diffusion), -1, self.diffusion.shape[1] * self.components
        )
        return all(
            np.abs(p - p.swapaxes(-1, -2)).max() <= 1e-14 * np.abs(p).max() for p in (flat, *parts)
        )

    def key(self) -> tuple[Any, ...]:
        """Equal for operators that have the same matrix."""
        return (
            self.diffusion.tobytes(),
            self.reaction.tobytes(),
            tuple((k, v.tobytes()) for k, v in sorted(self.surface.items())),
            tuple((k, v.tobytes()) for k, v in sorted(self.conductance.items())),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Solution:
    """Solved fields.

    Attributes:
        values: At the nodes of each cell, shape (c, nodes, n, sides).
        reaction: What is missing in the equations of prescribed values, that is the flux that
            must be fed in there, at each node, shape (nodes, n, sides).
        evidence: How it was solved.
    """

    values: np.ndarray
    reaction: np.ndarray
    evidence: dict[str, Any]


CellLoad = Callable[[np.ndarray, bool], np.ndarray | None]
FacetLoad = Callable[[FacetGeometry, np.ndarray], np.ndarray]


class System:
    """A system of coupled fields on a device.

    Args:
        device: The device.
        space: Space of each component.
        operator: The coefficients.
        fixed: Which components are prescribed at each node, shape (nodes, n).
        sides: Number of right-hand sides.
        pairs: Periodic pairs of boundaries.
        own: Terms that are added to the weak form.

    Raises:
        CaseError: A conductance between regions that are joined continuously by a third.
    """

    def __init__(
        self,
        device: Device,
        space: Lagrange,
        operator: Operator,
        *,
        fixed: np.ndarray,
        sides: int,
        pairs: Sequence[tuple[str, str]] = (),
        own: OwnTerms | None = None,
    ) -> None:
        self.device, self.space, self.operator = device, space, operator
        self.fixed, self.sides, self.own = fixed, sides, own
        phase = phases(device, operator.conductance)
        self.region_phase, self.phases = phase, int(phase.max(initial=0)) + 1
        if self.phases > 1 and pairs:
            raise CaseError(
                (
                    "angular_momentum.interfaces",
                    "conductances and periodic pairs do not go together",
                )
            )
        self.cell_phase = phase[device.cell_region]
        self.unknowns, self.rows, self.unused = self._number(self.phases > 1, pairs)
        symmetric = operator.symmetric and (own is None or own.symmetric)
        self.assembly = Assembly(self.unknowns, sides, symmetric)
        cells = cells_of(device)
        self.forms = ScalarForms(cells, space, bend=2 * (cells.degree - 1))
        self._touching: list[tuple[np.ndarray, ...]] = []

    def _number(
        self, several: bool, pairs: Sequence[tuple[str, str]]
    ) -> tuple[Unknowns, np.ndarray, np.ndarray]:
        """Numbering; row of each component by phase and node; rows without an equation."""
        space, n = self.space, self.operator.components
        comm = self.device.comm
        extra: np.ndarray = np.empty((0, 2), dtype=np.int64)
        place = extra
        if several:
            extra, place = jumps(space, self.cell_phase)
            inside = np.isin(place[:, 1], space.dofs[:, space.interior].ravel())
            extra, place = extra[~inside], place[~inside]
        found = number_field(
            space,
            kept(space, np.empty(0, np.int64)),
            extra=extra,
            twins=twin_nodes(self.device, space, pairs),
        )
        count = self.phases
        node = np.tile(found.nodes, (count, 1))
        node[place[:, 0], place[:, 1]] = found.extra
        rows = np.where(node[..., None] >= 0, n * node[..., None] + np.arange(n), -1)
        if self.operator.jumping is not None:
            # What does not jump has the unknown of the lowest phase.
            smooth = ~self.operator.jumping
            lowest = n * found.nodes[:, None] + np.arange(n)
            rows[:, :, smooth] = np.where(found.nodes >= 0, lowest.T, -1).T[:, smooth]
        rows[:, self.fixed] = -1
        to_global = (found.to_global[:, None] * n + np.arange(n)).ravel().astype(np.int32)
        mine = int(found.starts[comm.rank + 1] - found.starts[comm.rank])
        unknowns = Unknowns(
            comm=comm,
            components=n,
            vector=np.empty(0, np.int64),
            scalar=node,
            wall=np.empty((0, 0), np.int64),
            to_global=to_global,
            owned=n * mine,
            total=n * found.total,
        )
        used = np.zeros(len(to_global), dtype=bool)
        used[rows[rows >= 0]] = True
        return unknowns, rows, np.flatnonzero(~used)

    def cell_rows(self, cells: np.ndarray, nodes: np.ndarray) -> np.ndarray:
        """Rows of the components at nodes of cells, shape (c, m * n)."""
        rows = self.rows[self.cell_phase[cells][:, None], nodes]
        return rows.reshape(len(cells), nodes.shape[1] * rows.shape[2])

    def solve(
        self,
        *,
        cell_load: CellLoad | None = None,
        facet_loads: Mapping[str, FacetLoad] | None = None,
        given: np.ndarray | None = None,
        iterative: bool = False,
        defect: Callable[[np.ndarray], np.ndarray] | None = None,
    ) -> Solution:
        """Assemble and solve.

        Args:
            cell_load: Loads (c, nodes, n, sides) of a batch of cells, straight all or none.
            facet_loads: By boundary: loads (f, nodes of a facet, n, sides).
            given: Prescribed values, and steps that are added to the solution, at each node,
                shape (nodes, n, sides).
            iterative: Whether to iterate rather than factorise.
            defect: From the values, (c, nodes, n, sides), to what is missing in the balance of
                each component, (n, sides). The stiffness of thin cells is large and cancels in a
                balance but for rounding: one step of refinement takes that out.

        Raises:
            ConvergenceError: The system is singular, or was not solved.
        """
        space, assembly = self.space, self.assembly
        outer = space.dofs[:, space.outer]
        for batch, straight in self._batches():
            matrix, load = self._cells(batch, straight, cell_load)
            rows = self.cell_rows(batch, outer[batch])
            lift = None
            if given is not None:
                lift = given[outer[batch]].reshape(len(batch), -1, self.sides)
                lift = lift if np.any(lift) else None
            assembly.add_cells(batch, matrix, rows, load, lift)
            self._remember(batch, matrix, load)
        for phase, nodes, matrix, load in self._facets(facet_loads or {}):
            rows = self.rows[phase, nodes].reshape(len(nodes), -1)
            assembly.add_matrix(rows, matrix)
            if given is not None:
                lifted = matrix @ given[nodes].reshape(*rows.shape, self.sides)
                load = -lifted if load is None else load - lifted
            if load is not None:
                assembly.add_load(rows, load)
        rows = self.unused[:, None]
        assembly.add_matrix(rows, np.ones((len(rows), 1, 1)))
        solver = assembly.iterative() if iterative else assembly.factorise()
        x = solver.solve(assembly.load)
        values = self._values(x, given, assembly.batches)
        if defect is not None:
            x = x - solver.solve(self._spread_evenly(defect(values)))
            values = self._values(x, given, assembly.batches)
        reaction = self._reaction(values, x, given, facet_loads or {})
        assembly.batches.clear()
        solver.close()
        return Solution(values=values, reaction=reaction, evidence=solver.evidence)

    def _spread_evenly(self, amount: np.ndarray) -> np.ndarray:
        """Loads with a given sum over all ranks for each component, (n, sides)."""
        n, comm = self.operator.components, self.device.comm
        free = np.zeros(self.unknowns.size, dtype=bool)
        free[self.rows[self.rows >= 0]] = True
        own = self.unknowns.owned
        first = int(comm.scan(own)) - own
        at = self.unknowns.to_global
        free &= (at >= first) & (at < first + own)
        component = np.arange(self.unknowns.size) % n
        count = comm.allreduce(np.bincount(component[free], minlength=n).astype(float))
        load = (amount / np.maximum(count, 1.0)[:, None])[component]
        return np.where(free[:, None], load, 0.0)

    def _batches(self) -> Iterator[tuple[np.ndarray, bool]]:
        size = self.space.dofs.shape[1] * self.operator.components
        for batch, straight in cells_of(self.device).batches(4 * size * size):
            if len(batch):
                yield batch, straight

    def _tensors(self) -> np.ndarray:
        """Of values and derivatives in each region, shape (r, n, 1 + d, n, 1 + d)."""
        diffusion = self.operator.diffusion
        r, d, n = diffusion.shape[:3]
        out = np.zeros((r, n, 1 + d, n, 1 + d))
        out[:, :, 1:, :, 1:] = diffusion.transpose(0, 2, 1, 4, 3)
        out[:, :, 0, :, 0] = self.operator.reaction
        return out

    def _cells(
        self, batch: np.ndarray, straight: bool, cell_load: CellLoad | None
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Matrices (c, m, m) and loads (c, m, sides) of cells.

        Scalar forms times the tensors: :mod:`meso.equations.angular_momentum` without its sums.
        """
        region, operator = self.device.cell_region[batch], self.operator
        p, n = self.space.dofs.shape[1], operator.components
        size = p * n
        if straight:
            cells = cells_of(self.device)
            spaces = (Space(self.space.degree, n),)
            matrix = tensor_matrices(cells, batch, spaces, self._tensors()[region])
        else:
            one = np.ones(len(batch))
            slopes = self.forms.stiffness(batch, False, one)
            c, d = slopes.shape[:2]
            slopes = slopes.transpose(0, 1, 3, 2, 4).reshape(c, d * d, p * p)
            pairs = operator.diffusion[region].transpose(0, 2, 4, 1, 3).reshape(c, n * n, d * d)
            matrix = pairs @ slopes
            if np.any(operator.reaction):
                mass = self.forms.mass(batch, False, one).reshape(c, 1, p * p)
                matrix += operator.reaction[region].reshape(c, n * n, 1) * mass
            matrix = matrix.reshape(c, n, n, p, p).transpose(0, 3, 1, 4, 2)
            matrix = matrix.reshape(c, size, size)
        load = None if cell_load is None else cell_load(batch, straight)
        if load is not None:
            load = load.reshape(len(batch), size, self.sides)
        if self.own is not None:
            matrix = matrix + self.own.matrices[batch]
            if self.own.loads is not None:
                added = self.own.loads[batch, :, None]
                load = added if load is None else load + added
        return matrix, load

    def _facets(
        self, loads: Mapping[str, FacetLoad]
    ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]]:
        """Phases and nodes (f, nodes), matrices (f, m, m) and loads (f, m, sides) of facets."""
        n, region = self.operator.components, self.device.cell_region
        for name in dict.fromkeys((*self.operator.surface, *loads)):
            geometry, table, nodes = facets_of(self.device, self.space, name)
            if not len(nodes):
                continue
            size = nodes.shape[1] * n
            tensor = self.operator.surface.get(name)
            matrix = np.zeros((len(nodes), size, size))
            if tensor is not None:
                matrix = self._on_surface(geometry, tensor[region[geometry.cell]])
            load = None
            if name in loads:
                load = loads[name](geometry, table).reshape(len(nodes), size, self.sides)
            phase = np.broadcast_to(self.cell_phase[geometry.cell][:, None], nodes.shape)
            yield phase, nodes, matrix, load
        for (first, second), cell, local in self._interfaces():
            geometry, table, nodes = on_facets(self.device, self.space, cell, local)
            g = np.broadcast_to(self.operator.conductance[first, second], (len(cell), n, n))
            block = self._on_surface(geometry, g)
            matrix = np.block([[block, -block], [-block, block]])
            phase = np.repeat(self.region_phase[[first, second]], nodes.shape[1])
            yield np.tile(phase, (len(cell), 1)), np.tile(nodes, 2), matrix, None

    def _on_surface(self, geometry: FacetGeometry, tensor: np.ndarray) -> np.ndarray:
        """<v_a, V_ab u_b> at the nodes of facets, with V on each, (f, n, n): shape (f, m, m)."""
        mass = self.forms.facet_mass(geometry.cell, geometry.local)
        whole = mass[:, :, None, :, None] * tensor[:, None, :, None, :]
        size = mass.shape[1] * tensor.shape[1]
        return np.asarray(whole.reshape(len(mass), size, size))

    def _interfaces(self) -> Iterator[tuple[tuple[int, int], np.ndarray, np.ndarray]]:
        """Facets between two regions with a conductance: a cell of the first, and its facet."""
        if not self.operator.conductance:
            return
        device = self.device
        of_cell, touched = facets_by_region(device)
        for pair in self.operator.conductance:
            both = touched[pair[0]] & touched[pair[1]]
            cell, local = np.nonzero(both[of_cell] & (device.cell_region == pair[0])[:, None])
            if len(cell):
                yield pair, cell, local

    def _remember(self, batch: np.ndarray, matrix: np.ndarray, load: np.ndarray | None) -> None:
        """Keep the matrices of cells at prescribed nodes: they tell the flux there."""
        near = np.any(self.fixed, axis=1)[self.space.dofs[batch]].any(axis=1)
        if near.any():
            kept_load = np.zeros((near.sum(), matrix.shape[1], self.sides))
            if load is not None:
                kept_load = load[near]
            self._touching.append((batch[near], matrix[near], kept_load))

    def _values(
        self, x: np.ndarray, given: np.ndarray | None, batches: list[Condensed]
    ) -> np.ndarray:
        space, n = self.space, self.operator.components
        count = len(self.device.cell_region)
        values = np.zeros((count, space.dofs.shape[1], n, self.sides))
        outer = space.dofs[:, space.outer]
        rows = self.cell_rows(np.arange(count), outer)
        at = np.where((rows >= 0)[..., None], x[rows] if len(x) else 0.0, 0.0)
        at = at.reshape(count, outer.shape[1], n, self.sides)
        if given is not None:
            at = at + given[outer]
        values[:, space.outer] = at
        for part in batches:
            values[part.cells, space.interior] = part.inner(x).reshape(
                len(part.cells), -1, n, self.sides
            )
        return values

    def _reaction(
        self,
        values: np.ndarray,
        x: np.ndarray,
        given: np.ndarray | None,
        loads: Mapping[str, FacetLoad],
    ) -> np.ndarray:
        space, n = self.space, self.operator.components
        out = np.zeros((space.nodes, n, self.sides))
        everywhere = self.fixed.any()
        if not self.device.comm.allreduce(bool(everywhere)):
            return out
        for batch, matrix, kept_load in self._touching:
            inside = values[batch].reshape(*kept_load.shape)
            missing = (matrix @ inside - kept_load).reshape(len(batch), -1, n, self.sides)
            np.add.at(out, space.dofs[batch], missing)
        for phase, nodes, matrix, load in self._facets(loads):
            rows = self.rows[phase, nodes]
            inside = np.where((rows >= 0)[..., None], x[rows], 0.0)
            if given is not None:
                inside = inside + given[nodes]
            inside = inside.reshape(len(nodes), -1, self.sides)
            missing = matrix @ inside - (0.0 if load is None else load)
            np.add.at(out, nodes, missing.reshape(*nodes.shape, n, self.sides))
        self._touching.clear()
        out[~self.fixed] = 0.0
        summed = [space.shared_sum(out[:, a, s]) for a in range(n) for s in range(self.sides)]
        return np.stack(summed, axis=-1).reshape(space.nodes, n, self.sides)


def facets_of(
    device: Device, space: Lagrange, name: str
) -> tuple[FacetGeometry, np.ndarray, np.ndarray]:
    """Facets of a boundary, as of :func:`on_facets`."""
    own = device.facets.of(device.facets.boundary == device.boundaries.index(name))
    return on_facets(device, space, own.cell, own.local)


def on_facets(
    device: Device, space: Lagrange, cell: np.ndarray, local: np.ndarray
) -> tuple[FacetGeometry, np.ndarray, np.ndarray]:
    """Facets at quadrature points, basis functions there (f, q, m), and their nodes (f, m)."""
    cells, on = cells_of(device), space.on_facet
    degree = 2 * space.degree + 2 * (cells.degree - 1)
    geometry = facet_geometry(cells, cell, local, *cells.facet_quadrature(degree))
    table = geometry.table(lambda points, i: space.values(points)[:, on[i]])
    return geometry, table, space.dofs[cell[:, None], on[local]]


@of_device
def facets_by_region(device: Device) -> tuple[np.ndarray, np.ndarray]:
    """Facets of each cell, shape (c, d + 1), and which of them each region touches, (r, facets)."""
    d, topology = device.dimension, device.mesh.topology
    topology.create_entities(d - 1)
    topology.create_connectivity(d, d - 1)
    of_cell = topology.connectivity(d, d - 1).array.reshape(-1, d + 1)
    of_cell = of_cell[: len(device.cell_region)]
    touched = []
    for region in range(len(device.regions)):
        vector = dolfinx.la.vector(topology.index_map(d - 1), 1)
        vector.array[:] = 0.0
        vector.array[of_cell[device.cell_region == region].ravel()] = 1.0
        vector.scatter_reverse(dolfinx.la.InsertMode.add)
        vector.scatter_forward()
        touched.append(np.array(vector.array) > 0)
    return of_cell, np.array(touched)


def neighbours(device: Device) -> set[tuple[int, int]]:
    """Pairs of regions with a common facet, the smaller number first."""
    _, touched = facets_by_region(device)
    count = len(device.regions)
    pairs = [(a, b) for b in range(count) for a in range(b)]
    common = [bool((touched[a] & touched[b]).any()) for a, b in pairs]
    found = np.logical_or.reduce(device.comm.allgather(common)) if pairs else []
    return {pair for pair, there in zip(pairs, found, strict=True) if there}


def phases(device: Device, conductance: Mapping[tuple[int, int], Any]) -> np.ndarray:
    """Phase of each region: regions that no conductance separates are one.

    Raises:
        CaseError: Both sides of a conductance are joined by other regions.
    """
    count = len(device.regions)
    label = np.arange(count)
    if not conductance:
        return np.zeros(count, dtype=np.int64)
    for first, second in sorted(neighbours(device)):
        if (first, second) not in conductance and (second, first) not in conductance:
            label[label == label[second]] = label[first]
    for first, second in conductance:
        if label[first] == label[second]:
            a, b = device.regions[first], device.regions[second]
            raise CaseError(
                (
                    "angular_momentum.interfaces",
                    f"the regions {a} and {b} are also joined by others without a conductance:"
                    " give one to each of these interfaces",
                )
            )
    return np.unique(label, return_inverse=True)[1].reshape(-1)
