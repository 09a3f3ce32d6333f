"""Finite-element solver for mesoscopic transport in conductors.

    case = meso.Case.load("case.toml")
    result = meso.run(case)

The solver is loaded when it is first used, so that checking a case stays quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

#: The version of meso, "major.minor.patch".
__version__ = "0.1.0"

_LAZY = {
    "Case": "meso.case",
    "Contact": "meso.boundary",
    "Device": "meso.device",
    "FermiLine": "meso.materials.fermi_line",
    "Groups": "meso.geometry.groups",
    "Layer": "meso.geometry.layers",
    "Material": "meso.materials.material",
    "Periodic": "meso.boundary",
    "Profile": "meso.materials.profile",
    "Result": "meso.results.result",
    "Selector": "meso.geometry.groups",
    "Wall": "meso.boundary",
    "compare": "meso.results.comparing",
    "design": "meso.designing.design",
    "fit": "meso.fitting.fitting",
    "four_terminal": "meso.flow.result",
    "quantity": "meso.units",
    "run": "meso.results.running",
    "sweep": "meso.results.sweeping",
    "wire": "meso.results.wires",
    "CaseError": "meso.errors",
    "ConvergenceError": "meso.errors",
    "GeometryError": "meso.errors",
    "MesoError": "meso.errors",
}
_MODULES = ("angular_momentum", "bands", "exact", "exact_kinetic", "flow", "gradients", "orbital")

__all__ = ["__version__", *_LAZY, *_MODULES]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        value = getattr(import_module(_LAZY[name]), name)
        globals()[name] = value
        return value
    if name in _MODULES:
        return import_module(f"meso.{name}")
    raise AttributeError(f"module 'meso' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
