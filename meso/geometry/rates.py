"""How fast points of a drawing move with its parameters; in the process of Gmsh.

A point keeps its place on a curve (:mod:`meso.geometry.motion`); by differences of where that is in
the drawings with parameters moved, each of which is read in a fork of its own.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from functools import cache

import numpy as np

from meso.errors import GeometryError
from meso.geometry import motion  # noqa: F401, loaded once for all forks
from meso.geometry.gmsh_process import Progress, apart
from meso.geometry.trace import ON, Places, Signature, Trace
from meso.stencils import STENCILS

#: Step of a parameter over its value, and what may be left of a velocity that is one.
STEP, SMOOTH = 1e-3, 1e-2
#: How far points may be from the middle between two steps, over the size of the drawing, that move
#: in proportion to a parameter: these two tell all.
STRAIGHT = 1e-9
#: Steps that are taken of all parameters.
_NEAR = (-1, 1)
#: Points by parameter and its value.
Known = dict[tuple[str, float], np.ndarray]


class OtherCurvesError(GeometryError):
    """A drawing has other curves for another value of a parameter."""


def rates(trace: Trace, progress: Progress) -> list[np.ndarray | Exception]:
    """For each of the trace's names how fast its points move, (n, d), or why that is not known."""
    try:
        signature, places = _located(trace)
    except GeometryError as error:
        return [error] * len(trace.names)
    known = _steps(trace, signature, places)
    found: list[np.ndarray | Exception] = []
    for name in trace.names:
        try:
            found.append(_rate(trace, name, signature, places, known))
        except GeometryError as error:
            found.append(error)
    return found


def _steps(trace: Trace, signature: Signature, places: Places) -> Known:
    """Points a step to each side, all drawings read in one fork; empty where that does not do."""
    moved = [
        (name, trace.parameters[name] + k * _step(trace, name))
        for name in trace.names
        for k in _NEAR
    ]
    several = [{**trace.parameters, name: value} for name, value in moved]
    # The drawing itself comes last: it is as it was if nothing has been left of those before.
    wish = replace(trace, points=None, places=places, several=(*several, trace.parameters))
    try:
        *found, last = apart("geometry.motion.evaluate_several", wish)
    except GeometryError:  # of one of them, or since another one was read before
        return {}
    if last[0] != signature or np.abs(last[1] - trace.points).max(initial=0.0) > ON * _size(trace):
        return {}
    pairs = zip(moved, found, strict=True)
    return {place: points for place, (there, points) in pairs if there == signature}


def _size(trace: Trace) -> float:
    assert trace.points is not None
    return float(np.ptp(trace.points, axis=0).max())


def _step(trace: Trace, name: str) -> float:
    return STEP * (abs(trace.parameters[name]) or _size(trace))


def _located(trace: Trace) -> tuple[Signature, Places]:
    """What the drawing has, and where its points are."""
    assert trace.points is not None
    signature, places = apart("geometry.motion.locate", trace)
    if len(lost := np.flatnonzero(places.dimension == 0)):
        place = ", ".join(f"{x:.6g}" for x in trace.points[lost[0]])
        raise GeometryError(
            f"{trace.path}: {len(lost)} nodes of the mesh lie on no curve or surface of the drawing"
            f", the first near ({place}): how they move with its parameters is not known"
        )
    return signature, places


def _rate(
    trace: Trace, name: str, signature: Signature, places: Places, known: Known
) -> np.ndarray:
    points = trace.points
    assert points is not None
    value, size, step = trace.parameters[name], _size(trace), _step(trace, name)

    @cache
    def at(other: float) -> np.ndarray | GeometryError:
        if (name, other) in known:
            return known[name, other]
        where = f"geometry.parameters.{name} = {other:.9g}"
        parameters = {**trace.parameters, name: other}
        wish = replace(trace, parameters=parameters, points=None, places=places)
        try:
            curves, found = apart("geometry.motion.evaluate", wish)
        except GeometryError as error:
            return GeometryError(f"{error} (at {where})")
        if curves != signature:
            return OtherCurvesError(
                f"{trace.path}: has other curves at {where} than at {value:g}: there is no"
                " derivative in this parameter here"
            )
        return np.asarray(found)

    def there(other: float) -> np.ndarray:
        if isinstance(found := at(other), GeometryError):
            raise found
        return found

    with suppress(GeometryError):  # it is told below
        one, two = (there(value + k * step) for k in _NEAR)
        if np.abs(one + two - 2 * points).max(initial=0.0) <= STRAIGHT * size:
            return np.asarray((two - one) / (2 * step))
    problem: GeometryError | None = None
    for numbers, weights, lower in STENCILS:
        try:
            moved = [points if k == 0 else there(value + k * step) for k in numbers]
        except GeometryError as error:
            if problem is None or isinstance(error, OtherCurvesError):
                problem = error  # this tells more than what a drawing says of its limits
            continue
        rows = np.array(moved) - points
        out, rough = (np.tensordot(part, rows, 1) / step for part in (weights, lower))
        largest = np.abs(out).max(initial=0.0)
        if np.abs(out - rough).max(initial=0.0) <= SMOOTH * largest + ON * size / step:
            return np.asarray(out)
        raise GeometryError(
            f"{trace.path}: its curves do not move smoothly with geometry.parameters.{name} at"
            f" {value:g}: there is no derivative in this parameter here"
        )
    assert problem is not None
    raise problem
