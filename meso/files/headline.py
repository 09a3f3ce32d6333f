"""Which of many results a short table or a picture shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def headline(results: Mapping[str, Any]) -> list[str]:
    """The columns that a short table shows: resistances, the conductance, or the currents."""
    for start in ("resistance.", "conductance_"):
        if names := [key for key in results if key.startswith(start)]:
            return names
    return [key for key in results if ".current_A" in key]
