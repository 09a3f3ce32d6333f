"""Which of many results a short table or a picture shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

# Numbers of a sweep that differ by less than this part do not differ.
_SAME = 1e-9


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
    found: dict[tuple[str, ...], str] = {}
    for key in moments:
        # The other wall of a ribbon has the same with another sign; both together have nothing.
        whole, _, what = key.partition(".")
        if f"{whole}.1.{what}" not in moments:
            found.setdefault(tuple(f"{abs(row.get(key, 0)):.5g}" for row in rows), key)
    return list(found.values())


def _differs(rows: Sequence[Mapping[str, Any]], key: str) -> bool:
    if not all(key in row for row in rows):
        return True
    values = [float(row[key]) for row in rows]
    return max(values) - min(values) > _SAME * max(map(abs, values))
