"""Which of many results a short table or a picture shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

# Numbers of a sweep that differ by less than this part do not differ.
_SAME = 1e-9
# Moments of mirrored walls differ by the error of the mesh.
_ALIKE = 1e-3


def headline(results: Mapping[str, Any]) -> list[str]:
    """The columns that a short table shows: resistances, the conductance, or the currents."""
    for start in ("resistance.", "conductance_"):
        if names := [key for key in results if key.startswith(start)]:
            return names
    return [key for key in results if ".current_A" in key]


def headline_of(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The same for many results: moments of walls where nothing else differs between them."""
    shown = list(dict.fromkeys(key for row in rows for key in headline(row)))
    moments = list(dict.fromkeys(key for row in rows for key in row if "_moment_hbar" in key))
    different = any(_differs(rows, key) for key in moments)
    if len(rows) < 2 or not different or any(_differs(rows, key) for key in shown):
        return shown
    found: dict[str, list[float]] = {}
    for key in moments:
        # The other wall of a ribbon has the same with another sign; both together have nothing.
        whole, _, what = key.partition(".")
        sizes = [abs(row.get(key, 0.0)) for row in rows]
        if f"{whole}.1.{what}" not in moments and not any(_alike(sizes, x) for x in found.values()):
            found[key] = sizes
    return list(found)


def _alike(one: list[float], other: list[float]) -> bool:
    return all(abs(a - b) <= _ALIKE * max(a, b) for a, b in zip(one, other, strict=True))


def _differs(rows: Sequence[Mapping[str, Any]], key: str) -> bool:
    if not all(key in row for row in rows):
        return True
    values = [float(row[key]) for row in rows]
    return max(values) - min(values) > _SAME * max(map(abs, values))
