"""Numbering of fields and coupled systems over all ranks, without what is eliminated.

Each rank numbers what it touches ("local"), owned or not; ``to_global`` leads to PETSc rows.
A field has one unknown at each kept node, the same one at nodes that are twins across a periodic
pair, and further ones, known by a node and a label, where it is allowed to jump.
"""

from __future__ import annotations

from dataclasses import dataclass

import dolfinx
import numpy as np
from mpi4py import MPI

from meso.discrete.cells import Lagrange
from meso.mpi import concatenated


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbering:
    """Numbers of one field.

    Attributes:
        nodes: Local number at each node, -1 where there is no unknown.
        extra: Local numbers of the further unknowns.
        to_global: Row of each local number, counting this field only.
        starts: First row of each rank, and the total, shape (ranks + 1,).
    """

    nodes: np.ndarray
    extra: np.ndarray
    to_global: np.ndarray
    starts: np.ndarray

    @property
    def size(self) -> int:
        """Number of local unknowns."""
        return len(self.to_global)

    @property
    def total(self) -> int:
        """Number of unknowns of all ranks."""
        return int(self.starts[-1])


def number_field(
    space: Lagrange,
    keep: np.ndarray,
    *,
    extra: np.ndarray | None = None,
    twins: np.ndarray | None = None,
) -> Numbering:
    """Number a field.

    Args:
        space: Its space.
        keep: True for the nodes that carry an unknown, the same on all ranks, shape (nodes,).
        extra: Further unknowns of this rank: global node and label, shape (m, 2); equal pairs
            are one unknown.
        twins: What :func:`meso.discrete.periodic.twin_nodes` returns.
    """
    comm = space.space.mesh.comm
    keys = np.empty((0, 2), dtype=np.int64) if extra is None else extra.astype(np.int64)
    twins = np.empty((0, 2), dtype=np.int64) if twins is None else twins
    ranges = concatenated(comm, np.array(space.index_map.local_range[:1]))
    every = concatenated(comm, keys)
    # A pair as one number, in the same order.
    pair = np.array([every[:, 1].max(initial=0) + 1, 1])
    everywhere = np.unique(every @ pair)
    owner = np.searchsorted(ranges, everywhere // pair[0], side="right") - 1

    known = space.global_nodes
    second = twins[np.argsort(twins[:, 0])]
    stands = np.isin(known, second[:, 0]) if len(second) else np.zeros(len(known), dtype=bool)
    own = space.index_map.size_local
    counted = keep & ~stands
    count = int(counted[:own].sum())
    table = concatenated(comm, np.array([[count, count + (owner == comm.rank).sum()]]))
    starts = np.concatenate([[0], np.cumsum(table[:, 1])])

    rows = np.full(space.nodes, -1)
    rows[:own][counted[:own]] = starts[comm.rank] + np.arange(count)
    if len(second):
        firsts = np.flatnonzero(np.isin(known[:own], second[:, 1]))
        pairs = concatenated(comm, np.column_stack([known[firsts], rows[firsts]]))
        pairs = pairs[np.argsort(pairs[:, 0])]
        at = np.flatnonzero(stands[:own])
        twin = second[np.searchsorted(second[:, 0], known[at]), 1]
        rows[at] = pairs[np.searchsorted(pairs[:, 0], twin), 1]
    if comm.size > 1:
        shared = dolfinx.la.vector(space.index_map, 1, dtype=np.int64)
        shared.array[:] = rows
        shared.scatter_forward()
        rows = shared.array

    within = np.arange(len(everywhere)) - np.searchsorted(owner, np.arange(comm.size))[owner]
    place = np.searchsorted(everywhere, keys @ pair)
    extra_rows = (starts[owner] + table[owner, 0] + within)[place]
    everything = np.concatenate([rows, extra_rows])
    to_global, local = np.arange(starts[-1]), everything
    if comm.size > 1:
        to_global, local = np.unique(everything, return_inverse=True)
        if len(to_global) and to_global[0] < 0:
            to_global, local = to_global[1:], local - 1
        local = np.where(everything < 0, -1, local.reshape(-1))
    return Numbering(
        nodes=local[: len(known)], extra=local[len(known) :], to_global=to_global, starts=starts
    )


def kept(space: Lagrange, prescribed: np.ndarray, *, inside: bool = False) -> np.ndarray:
    """Nodes that carry an unknown: not prescribed and, unless ``inside``, not inside a cell."""
    keep = np.ones(space.nodes, dtype=bool)
    if not inside:
        keep[space.dofs[:, space.interior].ravel()] = False
    keep[prescribed] = False
    return keep


def jumps(space: Lagrange, phase: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Further unknowns of a field that may jump between the phases of a conductor.

    From the phase of each cell of this rank: global node and phase of each, (m, 2), and where they
    belong: phase and local node, (m, 2). The lowest phase at a node has none.
    """
    count = _phases(space.space.mesh.comm, phase)
    touched = np.zeros((count, space.nodes))
    for p in range(count):
        touched[p, space.dofs[phase == p].ravel()] = 1.0
        touched[p] = space.shared_sum(touched[p])
    there = touched > 0
    there[there.argmax(axis=0), np.arange(space.nodes)] = False
    place = np.argwhere(there)
    return np.column_stack([space.global_nodes[place[:, 1]], place[:, 0]]), place


def number_cells(
    space: Lagrange, prescribed: np.ndarray, phase: np.ndarray
) -> tuple[Numbering, np.ndarray]:
    """Number a field that may jump between phases, and its local numbers in cells, shape (c, p)."""
    extra, place = jumps(space, phase)
    numbering = number_field(space, kept(space, prescribed, inside=True), extra=extra)
    numbers = np.tile(numbering.nodes, (_phases(space.space.mesh.comm, phase), 1))
    numbers[place[:, 0], place[:, 1]] = numbering.extra
    return numbering, numbers[phase[:, None], space.dofs]


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknowns:
    """Local numbering of a coupled system and its global counterpart.

    Blocks: the components of the vector field node by node, the scalar field, the multipliers of
    the walls.

    Attributes:
        comm: Communicator.
        components: Components of the vector field.
        vector: Local number of component 0 at each node of the vector field, -1 where the node
            is inside a cell or prescribed.
        scalar: Local number at each node of the scalar field by phase, shape (phases, nodes), -1
            inside cells.
        wall: Local numbers of the multipliers of each wall facet, shape (f, nodes of a facet).
        to_global: PETSc row of each local number.
        owned: Number of rows of this rank.
        total: Number of rows of all ranks.
    """

    comm: MPI.Comm
    components: int
    vector: np.ndarray
    scalar: np.ndarray
    wall: np.ndarray
    to_global: np.ndarray
    owned: int
    total: int

    @property
    def size(self) -> int:
        """Number of local unknowns."""
        return len(self.to_global)


def number(
    *,
    scalar: Lagrange,
    keep_scalar: np.ndarray,
    vector: Lagrange | None = None,
    keep_vector: np.ndarray | None = None,
    components: int = 1,
    phase: np.ndarray | None = None,
    wall_nodes: np.ndarray | None = None,
    wall_label: np.ndarray | None = None,
    twins: np.ndarray | None = None,
) -> Unknowns:
    """Number the unknowns of a coupled system, or of a scalar field alone.

    Args:
        scalar: Space of the scalar field.
        keep_scalar: Its nodes with an unknown.
        vector: Space of the vector field, None for a scalar problem.
        keep_vector: Its nodes with an unknown.
        components: Components of the vector field.
        phase: Phase of each cell, between which the scalar field may jump; None for one phase.
        wall_nodes: Local scalar nodes of each wall facet, shape (f, n).
        wall_label: Where multipliers at one node are different ones, shape (f,).
        twins: Pairs of global nodes of the vector field (of the scalar field, if it is alone).
    """
    comm = scalar.space.mesh.comm
    none = np.zeros(scalar.nodes, dtype=bool)
    extra = place = np.empty((0, 2), dtype=np.int64)
    if phase is not None:
        extra, place = jumps(scalar, phase)
    fields = []
    if vector is not None and keep_vector is not None:
        fields.append((number_field(vector, keep_vector, twins=twins), components))
    alone = twins if vector is None else None
    fields.append((number_field(scalar, keep_scalar, extra=extra, twins=alone), 1))
    if wall_nodes is not None and wall_label is not None:
        nodes = scalar.global_nodes[wall_nodes.ravel()]
        labels = np.repeat(wall_label, wall_nodes.shape[1])
        keys = np.column_stack([nodes, labels])
        fields.append((number_field(scalar, none, extra=keys), 1))

    # A rank's rows: its part of each field in turn.
    owned = np.array([np.diff(f.starts) * k for f, k in fields])  # (fields, ranks)
    first = np.concatenate([[0], np.cumsum(owned.sum(axis=0))])[:-1]
    rows, offsets, size = [], [], 0
    for i, (f, k) in enumerate(fields):
        rank = np.searchsorted(f.starts, f.to_global, side="right") - 1
        base = first[rank] + owned[:i].sum(axis=0)[rank]
        row = base + k * (f.to_global - f.starts[rank])
        rows.append((row[:, None] + np.arange(k)).ravel())
        offsets.append(size)
        size += k * f.size

    def shifted(i: int, numbers: np.ndarray) -> np.ndarray:
        return np.where(numbers >= 0, offsets[i] + fields[i][1] * numbers, -1)

    at = 0 if vector is None else 1
    whole = np.tile(fields[at][0].nodes, (1 if phase is None else _phases(comm, phase), 1))
    whole[place[:, 0], place[:, 1]] = fields[at][0].extra
    wall: np.ndarray = np.empty((0, 0), dtype=np.int64)
    if wall_nodes is not None:
        wall = shifted(at + 1, fields[at + 1][0].extra).reshape(wall_nodes.shape)
    return Unknowns(
        comm=comm,
        components=components,
        vector=shifted(0, fields[0][0].nodes) if vector is not None else np.empty(0, np.int64),
        scalar=shifted(at, whole),
        wall=wall,
        to_global=np.concatenate(rows).astype(np.int32),
        owned=int(owned[:, comm.rank].sum()),
        total=int(owned.sum()),
    )


def _phases(comm: MPI.Comm, phase: np.ndarray) -> int:
    """Number of phases over all ranks."""
    return comm.allreduce(int(phase.max(initial=0)), op=MPI.MAX) + 1
