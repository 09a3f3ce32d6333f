"""Diffusion of spin and orbital angular momentum, driven by Hall currents or by injection.

    metal = angular_momentum.material(["spin_z"], diffusivity=..., relaxation=..., hall=...)
    problem = angular_momentum.Diffusion(device, components=["spin_z"], materials={"metal": metal})
    problem.solve(flow).sample(points)["spin_density_z"]

`tensors` what a material is described by; `wellposed` whether the equations have a solution;
`terms` one function per term of the weak form; `system` unknowns, assembly, solution;
`diffusion` the densities; `inverse` the charge current that they make; `decay` decay lengths.

The names below are public (docs/angular_momentum.md) and loaded when they are first used: checking
a case needs no solver.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_LAZY = {
    "LEVI_CIVITA": ".materials.crystal",
    "ONE": "tensors",
    "RESERVOIR": "surfaces",
    "Densities": "densities",
    "Diffusion": "diffusion",
    "Response": "inverse",
    "Surface": "surfaces",
    "Transport": "tensors",
    "conversion": "tensors",
    "decay_lengths": "lengths",
    "diffusion_block": "tensors",
    "hall_block": "tensors",
    "layer": "lengths",
    "material": "tensors",
    "one_way": "inverse",
    "powers": "power_balance",
    "precession_block": "tensors",
    "rotated": ".materials.crystal",
    "rotation": ".materials.crystal",
    "shortest": "lengths",
    "two_way": "inverse",
}

__all__ = sorted(_LAZY)


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'meso.angular_momentum' has no attribute '{name}'")
    value = getattr(import_module(f".{_LAZY[name]}", __name__), name)
    globals()[name] = value
    return value
