"""Names of the pieces of walls on views of a 3D device."""

from __future__ import annotations

import numpy as np

from meso.figures.data import Drawn
from meso.figures.eye import projected
from meso.figures.labels import Label

#: Facets of a piece that are looked at.
_FACETS = 80
_CORNERS = np.array([[-1, -1], [1, -1], [-1, 1], [1, 1], [0, 1], [0, -1]])


def marks(result: Drawn, eye: np.ndarray, inch: float, inside: bool) -> list[Label]:
    """Names of the pieces of which enough is seen, each on it, none on another.

    Args:
        result: The device.
        eye: Direction toward the eye.
        inch: One inch of the view, over the size of the device.
        inside: Whether the far side of the walls is seen, from inside.

    Returns:
        Labels whose anchors are right and up, over the size of the device.
    """
    names, of = result.wall_facets
    points = result.surface[:, :3, :3].reshape(-1, 3) / result.size
    flat, depth = (x.reshape(-1, 3, x.size // len(points)) for x in projected(points, eye))
    area = _cross(flat[:, 1] - flat[:, 0], flat[:, 2] - flat[:, 0]) / 2
    drawn = area < 0 if inside else area > 0
    middles, depths, area = flat.mean(axis=1), depth.mean(axis=1)[:, 0], np.abs(area)
    out: list[Label] = []
    for piece in np.argsort(-np.bincount(of[drawn] + 1, area[drawn], len(names) + 1)[1:]):
        own = np.flatnonzero(drawn & (of == piece))
        part = own[:: max(1, len(own) // _FACETS)]
        seen = [i for i in part if not _covers(flat[drawn], depth[drawn], middles[i], depths[i])]
        whole = area[own].sum() * len(seen) / max(1, len(part))
        label = Label(lines=(names[piece],), anchor=np.zeros(2), normal=np.zeros(2))
        if whole < np.prod(label.size) * inch**2:
            continue
        center = np.average(middles[seen], axis=0, weights=area[seen])
        corners = _CORNERS * label.size / 2 * inch
        # First where the whole name is on the piece, then near the middle of it.
        off = [sum(not _around(flat[own], middles[i] + c)[0].any() for c in corners) for i in seen]
        away = np.hypot(*(middles[seen] - center).T)
        for i in np.array(seen)[np.lexsort([away, off])]:
            if all(_apart(label, middles[i], other, inch) for other in out):
                out.append(Label(lines=label.lines, anchor=middles[i], normal=label.normal))
                break
    return out


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.asarray(a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0])


def _around(flat: np.ndarray, point: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which of some triangles a point is in, and its barycentric coordinates there."""
    to = flat - point
    weights = np.stack([_cross(to[:, k - 2], to[:, k - 1]) for k in range(3)], axis=1)
    total = weights.sum(axis=1)
    found = (weights * np.sign(total)[:, None] > 0).all(axis=1)
    return found, weights[found] / total[found, None]


def _covers(flat: np.ndarray, depth: np.ndarray, point: np.ndarray, at: float) -> bool:
    """Whether one of some triangles lies before a point."""
    found, weights = _around(flat, point)
    return bool(((weights * depth[found, :, 0]).sum(axis=1) > at + 1e-3).any())


def _apart(label: Label, at: np.ndarray, other: Label, inch: float) -> bool:
    """Whether a label at a point is beside another one."""
    room = (np.array(label.size) + other.size) / 2 * inch
    return bool((np.abs(at - other.anchor) > room).any())
