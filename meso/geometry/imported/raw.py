"""A mesh as files have it: blocks of cells of all kinds, and sets that may overlap."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

#: Name of a kind of cell in meshio -> (dimension, degree). All other kinds are refused.
KINDS = {
    "vertex": (0, 1),
    "line": (1, 1),
    "line3": (1, 2),
    "triangle": (2, 1),
    "triangle6": (2, 2),
    "tetra": (3, 1),
    "tetra10": (3, 2),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Cells of one kind.

    Attributes:
        kind: Name of the kind in meshio.
        nodes: Their nodes, vertices first, then the middles of the edges 01, 12, 20, 03, 13, 23.
    """

    kind: str
    nodes: np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class RawMesh:
    """What a reader found in a file.

    Attributes:
        points: Coordinates, shape (n, 2) or (n, 3).
        blocks: Cells.
        sets: Cells of each set, an array for each block.
        ranks: Rank of sets that others replace: 1 for what came with the elements, 2 for those
            that only a surface needs.
        surfaces: Facets of each surface, as rows of vertices.
        node_sets: Nodes of each set.
        tags: Integers that stand for sets of cells, an array for each block; None: there are none.
        tag_names: (tag, dimension) -> name.
        data: Values of the cells, an array or None for each block.
    """

    points: np.ndarray
    blocks: tuple[Block, ...]
    sets: dict[str, list[np.ndarray]] = field(default_factory=dict)
    ranks: dict[str, int] = field(default_factory=dict)
    surfaces: dict[str, np.ndarray] = field(default_factory=dict)
    node_sets: dict[str, np.ndarray] = field(default_factory=dict)
    tags: list[np.ndarray] | None = None
    tag_names: dict[tuple[int, int], str] = field(default_factory=dict)
    data: dict[str, list[np.ndarray | None]] = field(default_factory=dict)
