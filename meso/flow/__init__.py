"""Current flow: one module per model, one result type.

The names below are public and loaded when they are first used: a run needs one model.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_LAZY = {
    "Bounds": "bounds",
    "Flow": "result",
    "Hydrodynamic": "hydrodynamic",
    "Kinetic": "kinetic",
    "Ohmic": "ohmic",
    "Particles": "particles",
    "Terminal": "result",
    "Wire": "wire",
    "WireFlow": "wire",
    "conductance_bounds": "bounds",
}

__all__ = list(_LAZY)


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(f"meso.flow.{_LAZY[name]}"), name)
    raise AttributeError(f"module 'meso.flow' has no attribute '{name}'")
