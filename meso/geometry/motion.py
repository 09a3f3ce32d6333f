"""How the curves and surfaces of a drawing move with one of its parameters.

A point of a curve is known by the curve and its parameter there; the same curve of the drawing with
another value of the parameter has, at the same curve parameter, the point that it moves to. This
runs in the process of Gmsh, where each drawing has a fork of its own.
"""

from __future__ import annotations

from dataclasses import replace

import gmsh
import numpy as np
from scipy.spatial import cKDTree

from meso.geometry import drawing
from meso.geometry.gmsh_process import Progress
from meso.geometry.trace import ON, Places, Signature, Trace

_SAMPLES = {1: 257, 2: 33}
_STEPS = 12


def locate(trace: Trace, progress: Progress) -> tuple[Signature, Places]:
    """The places of points on the boundaries of the regions of a drawing, and what that has."""
    dimension = _open(trace)
    assert trace.points is not None
    points = np.zeros((len(trace.points), 3))
    points[:, :dimension] = trace.points
    low, high = drawing.bounding_box()
    size = float((high - low).max())
    found = Places(
        dimension=np.zeros(len(points), np.int64),
        tag=np.zeros(len(points), np.int64),
        at=np.zeros((len(points), 2)),
    )
    for kind, tag in _entities(dimension):
        left = np.flatnonzero(found.dimension == 0)
        here, at = _on_entity(kind, tag, points[left], ON * size)
        found.dimension[left[here]], found.tag[left[here]] = kind, tag
        found.at[left[here], :kind] = at
    return _signature(dimension), found


def evaluate(trace: Trace, progress: Progress) -> tuple[Signature, np.ndarray]:
    """What a drawing has, and its points at some places, (n, d); NaN for those on none."""
    dimension, places = _open(trace), trace.places
    assert places is not None
    out = np.full((len(places.tag), 3), np.nan)
    known = set(_entities(dimension))
    for kind, tag in {(int(k), int(t)) for k, t in zip(places.dimension, places.tag, strict=True)}:
        if (kind, tag) in known:
            here = (places.dimension == kind) & (places.tag == tag)
            out[here] = _values(kind, tag, places.at[here, :kind])
    return _signature(dimension), out[:, :dimension]


def evaluate_several(trace: Trace, progress: Progress) -> list[tuple[Signature, np.ndarray]]:
    """The same for several values of parameters, one after the other in one process.

    What Gmsh keeps of a drawing for the next is the caller's care.
    """
    out = []
    for parameters in trace.several:
        if gmsh.isInitialized():
            gmsh.finalize()
        out.append(evaluate(replace(trace, parameters=parameters), progress))
    return out


def _open(trace: Trace) -> int:
    from meso.geometry.meshing import open_source

    drawing.start()
    gmsh.parser.clear()
    return open_source(trace)


def _entities(dimension: int) -> list[tuple[int, int]]:
    """Curves around the regions, and in 3D their surfaces: (dimension, tag), curves first."""
    regions = [(dimension, tag) for tag in drawing.entities(dimension)]
    found: list[tuple[int, int]] = []
    for kind in range(dimension - 1, 0, -1):
        regions = gmsh.model.getBoundary(regions, combined=False, oriented=False)
        found = sorted({(kind, int(tag)) for _, tag in regions}) + found
    return found


def _signature(dimension: int) -> Signature:
    return [
        (kind, tag, gmsh.model.getType(kind, tag))
        + tuple(map(tuple, gmsh.model.getBoundary([(kind, tag)], combined=False)))
        for kind, tag in _entities(dimension)
    ]


def _range(kind: int, tag: int) -> tuple[np.ndarray, np.ndarray]:
    low, high = gmsh.model.getParametrizationBounds(kind, tag)
    return np.array(low[:kind]), np.array(high[:kind])


def _values(kind: int, tag: int, at: np.ndarray) -> np.ndarray:
    """Points of an entity at parameters from 0 to 1, shape (n, 3)."""
    low, high = _range(kind, tag)
    given = low + at * (high - low)
    return np.array(gmsh.model.getValue(kind, tag, given.ravel().tolist())).reshape(-1, 3)


def _slopes(kind: int, tag: int, at: np.ndarray) -> np.ndarray:
    """Derivatives in these parameters, shape (n, 3, kind)."""
    low, high = _range(kind, tag)
    given = low + at * (high - low)
    found = np.array(gmsh.model.getDerivative(kind, tag, given.ravel().tolist()))
    return found.reshape(len(at), kind, 3).swapaxes(1, 2) * (high - low)


def _on_entity(
    kind: int, tag: int, points: np.ndarray, tolerance: float
) -> tuple[np.ndarray, np.ndarray]:
    """Those of some points that lie on an entity, and their parameters: by Newton's method."""
    axis = np.linspace(0.0, 1.0, _SAMPLES[kind])
    grid = np.stack(np.meshgrid(*[axis] * kind, indexing="ij"), axis=-1).reshape(-1, kind)
    samples = _values(kind, tag, grid)
    reach = np.linalg.norm(np.diff(samples[: len(axis)], axis=0), axis=1).max()
    if kind == 2:
        across = samples.reshape(len(axis), len(axis), 3)
        reach += np.linalg.norm(np.diff(across, axis=0), axis=2).max()
    distance, nearest = cKDTree(samples).query(points)
    here = np.flatnonzero(distance <= reach + tolerance)
    at = grid[nearest[here]]
    for _ in range(_STEPS if len(here) else 0):
        away = points[here] - _values(kind, tag, at)
        slope = _slopes(kind, tag, at)
        step = np.linalg.pinv(slope) @ away[:, :, None]
        at = np.clip(at + step[:, :, 0], 0.0, 1.0)
        if np.abs(step).max() < 1e-14:
            break
    on = np.linalg.norm(points[here] - _values(kind, tag, at), axis=1) <= tolerance
    return here[on], at[on]
