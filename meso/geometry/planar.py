"""Vectors and simplices of two and three dimensions."""

from __future__ import annotations

import numpy as np


def cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Component z of a x b, for vectors in the last axis of length 2."""
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]


def determinant(*columns: np.ndarray) -> np.ndarray:
    """Determinant of d vectors in the last axis of length d, d = 2 or 3."""
    if len(columns) == 2:
        return cross(*columns)
    a, b, c = columns
    return (a * np.cross(b, c)).sum(axis=-1)


def measures(points: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Signed area or volume of simplices, times d!."""
    first = points[cells[:, 0]]
    return determinant(*(points[cells[:, i]] - first for i in range(1, cells.shape[1])))


def positive(points: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """The same simplices, their vertices in an order with positive determinant."""
    out = np.array(cells)
    negative = measures(points, out) < 0
    out[negative, -2:] = out[negative][:, :-3:-1]
    return out


def row_keys(rows: np.ndarray, count: int) -> np.ndarray:
    """One number for each row of vertices (below ``count``), whatever their order in it."""
    rows = np.sort(rows, axis=1)
    width = rows.shape[1]
    if count**width < 2**63:
        key = rows[:, 0].astype(np.int64)
        for i in range(1, width):
            key = key * count + rows[:, i]
        return key
    # Too many points for one integer: number the pairs first.
    _, pairs = np.unique(rows[:, 0].astype(np.int64) * count + rows[:, 1], return_inverse=True)
    return pairs.ravel().astype(np.int64) * count + rows[:, 2]
