"""Numbering of a coupled system over all ranks, without the unknowns that are eliminated.

Each rank numbers what it touches ("local"), owned or not; ``to_global`` leads to PETSc rows.
Blocks: the components of the vector field node by node, the scalar field, and the multipliers of
the walls, one set per smooth piece, so that they may jump at corners.
"""

from __future__ import annotations

from dataclasses import dataclass

import dolfinx
import numpy as np
from mpi4py import MPI

from meso.cells import Lagrange


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknowns:
    """Local numbering and its global counterpart.

    Attributes:
        comm: Communicator.
        components: Components of the vector field.
        vector: Local number of component 0 at each node of the vector field, -1 where the node
            is inside a cell or prescribed.
        scalar: Local number of each node of the scalar field, -1 inside cells.
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
    comm: MPI.Comm,
    components: int,
    vector: Lagrange | None,
    scalar: Lagrange,
    prescribed: np.ndarray,
    pinned: bool = False,
    wall_nodes: np.ndarray,
    wall_piece: np.ndarray,
) -> Unknowns:
    """Number the unknowns of all ranks.

    Args:
        comm: Communicator.
        components: Components of the vector field.
        vector: Space of the vector field, None for a scalar problem.
        scalar: Space of the scalar field.
        prescribed: Local nodes of the vector field (of the scalar field, if it is alone) with
            given values, known to all ranks that share them.
        pinned: True to set the scalar field to zero in one vertex, where nothing else fixes its
            level.
        wall_nodes: Local scalar nodes of each wall facet, shape (f, n).
        wall_piece: Smooth piece of each wall facet, shape (f,).

    Returns:
        The numbering.
    """
    keep_vector = _kept(vector, prescribed) if vector else np.zeros(0, dtype=bool)
    keep_scalar = _kept(scalar, prescribed if vector is None else np.empty(0, np.int64))
    if pinned:
        vertex = scalar.space.dofmap.dof_layout.entity_dofs(0, 0)[0]
        node = comm.bcast(
            scalar.index_map.local_to_global(scalar.dofs[:1, vertex].astype(np.int32))
        )
        local = np.arange(scalar.nodes, dtype=np.int32)
        keep_scalar &= ~np.isin(scalar.index_map.local_to_global(local), node)
    own_vector = vector.index_map.size_local if vector else 0
    own_scalar = scalar.index_map.size_local

    # A multiplier is known by its scalar node (all over the ranks) and its piece.
    nodes = scalar.index_map.local_to_global(wall_nodes.ravel().astype(np.int32))
    pieces = np.repeat(wall_piece, wall_nodes.shape[1]) if len(wall_piece) else np.empty(0, int)
    keys = np.column_stack([nodes.reshape(-1), pieces]).astype(np.int64)
    everywhere = np.unique(np.concatenate(comm.allgather(keys)), axis=0)
    starts = np.array(comm.allgather(scalar.index_map.local_range[0]))
    owner = np.searchsorted(starts, everywhere[:, 0], side="right") - 1

    count_vector = int(keep_vector[:own_vector].sum()) * components
    count_scalar = int(keep_scalar[:own_scalar].sum())
    count_wall = int((owner == comm.rank).sum())
    owned = count_vector + count_scalar + count_wall
    table = np.array(comm.allgather((count_vector + count_scalar, owned)))
    offsets = np.concatenate([[0], np.cumsum(table[:, 1])])
    offset = int(offsets[comm.rank])

    parts: list[np.ndarray] = []
    first = 0
    vector_local = np.full(len(keep_vector), -1, dtype=np.int64)
    if vector is not None:
        rows = _rows(vector, keep_vector, offset, components)
        vector_local[keep_vector] = components * np.arange(keep_vector.sum())
        parts.append((rows[:, None] + np.arange(components)).ravel())
        first += len(parts[-1])
    rows = _rows(scalar, keep_scalar, offset + count_vector, 1)
    scalar_local = np.full(len(keep_scalar), -1, dtype=np.int64)
    scalar_local[keep_scalar] = first + np.arange(len(rows))
    parts.append(rows)
    first += len(rows)

    within = np.arange(len(everywhere)) - np.searchsorted(owner, np.arange(comm.size))[owner]
    wall_rows = offsets[owner] + table[owner, 0] + within
    touched, inverse = np.unique(keys, axis=0, return_inverse=True)
    at = _find(everywhere, touched)
    parts.append(wall_rows[at])
    wall_local = first + inverse.reshape(wall_nodes.shape)
    return Unknowns(
        comm=comm,
        components=components,
        vector=vector_local,
        scalar=scalar_local,
        wall=wall_local,
        to_global=np.concatenate(parts).astype(np.int32),
        owned=owned,
        total=int(offsets[-1]),
    )


def _kept(space: Lagrange, prescribed: np.ndarray) -> np.ndarray:
    keep = np.ones(space.nodes, dtype=bool)
    keep[space.dofs[:, space.interior].ravel()] = False
    keep[prescribed] = False
    return keep


def _rows(space: Lagrange, keep: np.ndarray, offset: int, block: int) -> np.ndarray:
    """PETSc rows of the kept nodes, those of other ranks fetched from their owners."""
    own = space.index_map.size_local
    rows = dolfinx.la.vector(space.index_map, 1, dtype=np.int64)
    rows.array[:] = -1
    kept = np.flatnonzero(keep[:own])
    rows.array[kept] = offset + block * np.arange(len(kept))
    rows.scatter_forward()
    return rows.array[keep]


def _find(table: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """Positions of ``keys`` in the sorted rows of ``table``."""
    if not len(keys):
        return np.empty(0, dtype=np.int64)
    low = int(table[:, 1].max()) + 1
    return np.searchsorted(table[:, 0] * low + table[:, 1], keys[:, 0] * low + keys[:, 1])
