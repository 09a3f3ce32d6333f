"""Fits: what a measurement says about the numbers of a case, and how surely."""
