"""From sets that may overlap to one name for each cell or facet."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np

from meso.errors import GeometryError


def partition(
    path: Path,
    what: str,
    count: int,
    sets: Mapping[str, np.ndarray],
    automatic: Collection[str] = (),
) -> tuple[tuple[str, ...], np.ndarray]:
    """One name for each of the things that are in sets.

    A set that is the union of others says nothing new and is left out. Automatic sets only name
    what no other set names.

    Args:
        path: The file, for messages.
        what: What the sets are of, for messages ("cells").
        count: Number of these things.
        sets: Members of each set as a mask.
        automatic: Names of automatic sets.

    Returns:
        The names that are used, and for each thing the index of its name, or -1.

    Raises:
        GeometryError: Sets that overlap in another way.
    """
    owner = np.full(count, -1)
    names: list[str] = []
    for second in (False, True):
        chosen = {n: m & (owner < 0) if second else m for n, m in sets.items()}
        chosen = {n: m for n, m in chosen.items() if m.any() and (n in automatic) == second}
        for name, mask in _without_unions(chosen).items():
            taken = mask & (owner >= 0)
            if taken.any():
                other = names[owner[taken][0]]
                equal = np.array_equal(mask, chosen[other])
                how = f"have the same {what}" if equal else f"share {taken.sum()} {what}"
                raise GeometryError(
                    f"{path}: the sets '{other}' and '{name}' {how}; remove one of the two, or make"
                    " them disjoint"
                )
            owner[mask] = len(names)
            names.append(name)
    return tuple(names), owner


def _without_unions(sets: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The sets without those that are unions of smaller ones."""
    out = {}
    for name, mask in sets.items():
        inside = [m for m in sets.values() if m.sum() < mask.sum() and not (m & ~mask).any()]
        if not inside or not np.array_equal(np.logical_or.reduce(inside), mask):
            out[name] = mask
    return out
