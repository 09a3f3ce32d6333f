"""Where particles begin: at contacts, in all of the device, or at places that are asked for."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from meso.flow.tracing import Maze, Swarm, along

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(12)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Edges:
    """Boundary facets as curves with the conductor on their left.

    Attributes:
        maze: The device.
        facet: Numbers of the facets, shape (f,).
        control: Their control points, shape (f, degree + 1, 2).
        measure: Length of each, shape (f,).
        speed: Of |dx/ds| on each an upper limit, shape (f,).
    """

    maze: Maze
    facet: np.ndarray
    control: np.ndarray = field(init=False)
    measure: np.ndarray = field(init=False)
    speed: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        control = self.maze.edges(*self.maze.facet[self.facet].T)
        degree = control.shape[1] - 1
        steps = np.linalg.norm(np.diff(control, axis=1), axis=2)
        slopes = [along(control, np.full(len(control), (x + 1) / 2))[1] for x in _NODES]
        measure = np.linalg.norm(slopes, axis=2).T @ (_WEIGHTS / 2)
        object.__setattr__(self, "control", control)
        object.__setattr__(self, "measure", measure)
        object.__setattr__(self, "speed", degree * steps.max(axis=1, initial=0.0))

    @property
    def length(self) -> float:
        """Of all together."""
        return float(self.measure.sum())

    def random(
        self, rng: np.random.Generator, count: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Places that are uniform along the edges: numbers here, positions, unit tangents."""
        which = rng.choice(len(self.facet), size=count, p=self.measure / self.length)
        s, todo = np.empty(count), np.arange(count)
        while len(todo):
            s[todo] = rng.random(len(todo))
            slope = np.linalg.norm(along(self.control[which[todo]], s[todo])[1], axis=1)
            todo = todo[rng.random(len(todo)) * self.speed[which[todo]] > slope * (1 + 1e-12)]
        position, slope = along(self.control[which], s)
        return which, position, slope / np.linalg.norm(slope, axis=1, keepdims=True)

    def swarm(
        self, which: np.ndarray, position: np.ndarray, direction: np.ndarray, pairs: int
    ) -> Swarm:
        """Particles that start at places on the edges."""
        return Swarm(
            places=np.concatenate([position, direction], axis=1),
            where=self.maze.facet[self.facet[which]],
            weights=np.zeros((len(which), pairs)),
        )


def from_contact(edges: Edges, rng: np.random.Generator, count: int, pairs: int) -> Swarm:
    """Particles that come out of a reservoir: uniform in space, as the cosine in angle."""
    which, position, tangent = edges.random(rng, count)
    sine = 2 * rng.random(count) - 1
    return edges.swarm(which, position, turned(tangent, sine, np.sqrt(1 - sine**2)), pairs)


def turned(tangent: np.ndarray, cosine: np.ndarray, sine: np.ndarray) -> np.ndarray:
    """Tangents turned to the left by angles of this cosine and sine, shape (m, 2)."""
    left = np.stack([-tangent[:, 1], tangent[:, 0]], axis=1)
    return np.asarray(cosine[:, None] * tangent + sine[:, None] * left)


def everywhere(maze: Maze, rng: np.random.Generator, count: int, pairs: int) -> Swarm:
    """Particles in equilibrium: uniform in the device and in angle."""
    cell = rng.choice(len(maze.area), size=count, p=maze.area / maze.area.sum())
    position, todo = np.empty((count, 2)), np.arange(count)
    while len(todo):
        at = rng.random((len(todo), 2))
        at = np.where((at.sum(axis=1) > 1)[:, None], 1 - at, at)
        position[todo], jacobian = maze.positions(cell[todo], at)
        density = np.abs(np.linalg.det(jacobian)) / (2 * maze.area[cell[todo]])
        straight = maze.bent[cell[todo]] < 0
        # No part of a curved cell is that much larger than its mean.
        todo = todo[~straight & (3 * rng.random(len(todo)) > density)]
    return inside(cell, position, rng, pairs)


def inside(cell: np.ndarray, position: np.ndarray, rng: np.random.Generator, pairs: int) -> Swarm:
    """Particles at places in cells, in all directions alike."""
    angle = 2 * np.pi * rng.random(len(cell))
    direction = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return Swarm(
        places=np.concatenate([position, direction], axis=1),
        where=np.column_stack([cell, np.full(len(cell), -1)]),
        weights=np.zeros((len(cell), pairs)),
    )
