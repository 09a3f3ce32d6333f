"""Sizes for the next mesh from errors of cells that are made up.

Inside, because an adaptive run shows sizes only as the mesh that they make.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from meso.geometry.refinement import cell_errors, next_sizes


def squares(count: int) -> np.ndarray:
    """Corners of a regular mesh of the unit square, shape (c, 3, 2)."""
    x, y = np.meshgrid(np.arange(count), np.arange(count))
    base = np.stack([x.ravel(), y.ravel()], axis=1)[:, None]
    lower = base + np.array([[0, 0], [1, 0], [1, 1]])
    upper = base + np.array([[0, 0], [1, 1], [0, 1]])
    return np.concatenate([lower, upper]) / count


def test_sizes_of_even_errors() -> None:
    """Equal shares, none at a corner: a goal of 2^-power of the error halves all sizes."""
    corners = squares(8)
    ones = np.ones((len(corners), 1))
    errors = cell_errors(corners, ones, np.hstack([ones, 0.01 * ones]), 10, 2 / 3)
    errors = replace(errors, share=np.ones(len(corners)))
    side = np.sqrt(4 / np.sqrt(3) / 2) / 8  # of the equilateral triangle of the same area
    for factor in (1, 2):
        field = next_sizes(errors, len(corners) * factor**-10.0)
        # Sizes go in steps of 2^(1/4); the goal is met from below.
        ratio = side / factor / field.sizes
        assert ((ratio > 0.91) & (ratio < 1.2)).all()


def test_sizes_at_a_corner() -> None:
    """One vertex that no degree resolves: cells grow from there with a bounded slope."""
    corners = squares(8)
    middle = np.array([0.5, 0.5])
    touching = (np.abs(corners - middle).max(axis=2) < 1e-9).any(axis=1)
    share = np.where(touching, 1.0, 1e-6)
    degrees = np.where(touching[:, None], [1.0, 0.8], [1e-3, 1e-6])
    errors = cell_errors(corners, share[:, None], degrees, 10, 2 / 3)
    assert (errors.points[errors.corner] == middle).all() and errors.corner.sum() == 1
    field = next_sizes(replace(errors, share=share[np.lexsort(corners.mean(axis=1).T)]), 0.01)
    distance = np.linalg.norm(field.points - middle, axis=1)
    # The goal is out of reach at once: twice what the smallest ratio, 0.01, leaves is taken,
    # which is a ratio of 0.01 * 2^(3/2).
    side = np.sqrt(4 / np.sqrt(3) / 2) / 8
    smallest = field.sizes[distance.argmin()]
    assert smallest == pytest.approx(0.01 * 2**1.5 * side, rel=0.2)
    # The slope of GROWTH = 0.5 holds along edges, whose paths are up to sqrt(2) times as long.
    assert (field.sizes <= smallest + 0.501 * np.sqrt(2) * distance).all()
