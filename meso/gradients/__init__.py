"""Derivatives of the numbers of a result in the inputs of its case.

found = meso.gradients.gradient(result, "edges.1.orbital_moment")
found.of("edges.1.orbital_moment", "materials.Ti.mean_free_path")

The solver is loaded when it is first used: inputs are known without it.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_LAZY = {
    "Gradient": "derivatives",
    "Input": "inputs",
    "gradient": "derivatives",
    "inputs_of": "inputs",
    "moved": "inputs",
    "ShapeGradient": "shape",
    "shape_gradient": "shape",
    "velocities": "motion",
    "with_errors": "estimates",
    "with_uncertainties": "uncertainties",
}

__all__ = list(_LAZY)


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(f"meso.gradients.{_LAZY[name]}"), name)
    raise AttributeError(f"module 'meso.gradients' has no attribute '{name}'")
