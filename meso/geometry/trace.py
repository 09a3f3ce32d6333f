"""Points of a drawing whose motion with a parameter is wanted, without Gmsh."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from meso.geometry.gmsh_process import Source

#: Points lie on a curve if they are that close to it, over the size of the drawing.
ON = 1e-7


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where points are on the entities of a drawing; dimension 0: on none of them.

    Attributes:
        dimension: Of the entity of each point: 1 for curves, 2 for surfaces.
        tag: Of the entity.
        at: Parameters in the entity over their range, from 0 to 1, shape (n, 2).
    """

    dimension: np.ndarray
    tag: np.ndarray
    at: np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trace(Source):
    """A drawing, and points of it that are wanted.

    Attributes:
        points: Points to be found on its entities, in its unit, shape (n, d).
        places: Places whose points are wanted.
        names: Parameters with which the points move.
        several: Values of all parameters, of which one drawing after the other is wanted.
    """

    points: np.ndarray | None = None
    places: Places | None = None
    names: tuple[str, ...] = ()
    several: tuple[dict[str, float], ...] = ()


#: Entities, their kinds and what bounds them: two drawings that differ here are not one that moves.
Signature = list[tuple[Any, ...]]
