"""From sets that may overlap to one name for each cell or facet."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from meso.errors import GeometryError


def partition(
    path: Path,
    what: str,
    count: int,
    sets: Mapping[str, np.ndarray],
    ranks: Mapping[str, int] | None = None,
) -> tuple[tuple[str, ...], np.ndarray]:
    """One name for each of the things that are in sets.

    A set that is the union of others says nothing new and is left out. Sets of a higher rank only
    name what no set of a lower rank names.

    Args:
        path: The file, for messages.
        what: What the sets are of, for messages ("cells").
        count: Number of these things.
        sets: Members of each set as a mask.
        ranks: Rank of each set; 0 where it is not given.

    Returns:
        The names that are used, and for each thing the index of its name, or -1.

    Raises:
        GeometryError: Sets that overlap in another way.
    """
    ranks = ranks or {}
    owner = np.full(count, -1)
    names: list[str] = []
    for rank in sorted({ranks.get(name, 0) for name in sets}):
        free = owner < 0
        left = {
            n: m & free for n, m in sets.items() if ranks.get(n, 0) >= rank and (m & free).any()
        }
        mine = {n: m for n, m in left.items() if ranks.get(n, 0) == rank}
        mine = {n: m for n, m in mine.items() if not _is_union(m, mine, left)}
        for name, mask in mine.items():
            taken = mask & (owner >= 0)
            if taken.any():
                other = names[owner[taken][0]]
                shared = (mask & mine[other]).sum()
                equal = np.array_equal(mask, mine[other])
                how = f"have the same {what}" if equal else f"share {shared} {what}"
                raise GeometryError(
                    f"{path}: the sets '{other}' and '{name}' {how}; remove one of the two, or make"
                    " them disjoint"
                )
            owner[mask] = len(names)
            names.append(name)
    return tuple(names), owner


def _is_union(
    mask: np.ndarray, mine: Mapping[str, np.ndarray], every: Mapping[str, np.ndarray]
) -> bool:
    """True if smaller sets, one of them of the same rank, make up this one."""

    def inside(sets: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        return [m for m in sets.values() if m.sum() < mask.sum() and not (m & ~mask).any()]

    return bool(inside(mine)) and np.array_equal(np.logical_or.reduce(inside(every)), mask)
