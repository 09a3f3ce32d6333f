"""Derivatives of the numbers of a result in the inputs of its case.

found = meso.gradients.derivatives(result, "edges.1.orbital_moment")
found.of("edges.1.orbital_moment", "materials.Ti.mean_free_path")
"""

from meso.gradients.derivatives import Gradient, gradient
from meso.gradients.inputs import Input, inputs_of, moved
from meso.gradients.motion import velocities

__all__ = ["Gradient", "Input", "gradient", "inputs_of", "moved", "velocities"]
