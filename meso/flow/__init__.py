"""Current flow: one module per model, one result type."""

from meso.flow.bounds import Bounds, conductance_bounds
from meso.flow.hydrodynamic import Hydrodynamic
from meso.flow.kinetic import Kinetic
from meso.flow.ohmic import Ohmic
from meso.flow.particles import Particles
from meso.flow.result import Flow, Terminal

__all__ = [
    "Bounds",
    "Flow",
    "Hydrodynamic",
    "Kinetic",
    "Ohmic",
    "Particles",
    "Terminal",
    "conductance_bounds",
]
