"""Shapes and parameters that make the most of a number: `meso design`."""
