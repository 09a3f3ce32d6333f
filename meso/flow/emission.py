"""Where particles begin: at contacts, in all of the device, or at places that are asked for."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from meso.flow.tracing import Maze, Phases, Sphere, Swarm, along

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(12)
#: The number that is worst approximated by fractions.
_GOLDEN = (np.sqrt(5) - 1) / 2


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

    def flux(self, line: Phases | Sphere | None) -> float:
        """Integral of <|w.n|> along the edges."""
        if line is None:
            return 2 / np.pi * self.length
        out = 0.0
        for x, weight in zip(_NODES, _WEIGHTS / 2, strict=True):
            slope = along(self.control, np.full(len(self.control), (x + 1) / 2))[1]
            size = np.linalg.norm(slope, axis=1)
            normal = np.stack([slope[:, 1], -slope[:, 0]], axis=1) / size[:, None]
            out += weight * float(size @ line.flux(normal))
        return out

    @property
    def length(self) -> float:
        """Of all together."""
        return float(self.measure.sum())

    def random(
        self, rng: np.random.Generator, part: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Places that are uniform along the edges: numbers here, positions, unit tangents.

        Args:
            rng: Random numbers.
            part: Of the length at which they are, about, uniform in 0 … 1, shape (n,).
        """
        end = np.cumsum(self.measure) / self.length
        which = np.minimum(np.searchsorted(end, part), len(end) - 1)
        s, todo = 1 - (end[which] - part) * self.length / self.measure[which], np.arange(len(part))
        while True:
            slope = np.linalg.norm(along(self.control[which[todo]], s[todo])[1], axis=1)
            todo = todo[rng.random(len(todo)) * self.speed[which[todo]] > slope * (1 + 1e-12)]
            if not len(todo):
                break
            s[todo] = rng.random(len(todo))
        position, slope = along(self.control[which], s)
        return which, position, slope / np.linalg.norm(slope, axis=1, keepdims=True)

    def swarm(
        self,
        which: np.ndarray,
        position: np.ndarray,
        direction: np.ndarray,
        pairs: int,
        phases: np.ndarray | None = None,
    ) -> Swarm:
        """Particles that start at places on the edges."""
        return Swarm(
            places=np.concatenate([position, direction], axis=1),
            where=self.maze.facet[self.facet[which]],
            weights=np.zeros((len(which), pairs)),
            phases=phases,
        )


def lattice(rng: np.random.Generator, count: int) -> np.ndarray:
    """Pairs of numbers, each pair uniform, and all of them evenly spread, shape (2, count).

    A lattice that is shifted by chance: no mean is biased, and all that depends on two numbers
    smoothly, or jumps along few lines, has a much smaller variance than of independent pairs.
    """
    steps = np.arange(count)
    return np.asarray((np.stack([steps / count, steps * _GOLDEN]) + rng.random((2, 1))) % 1)


def from_contact(
    edges: Edges,
    rng: np.random.Generator,
    count: int,
    pairs: int,
    line: Phases | Sphere | None = None,
) -> Swarm:
    """Particles that come out of a reservoir: in equilibrium in front of it, as v.n."""
    if line is not None:
        return _from_contact(edges, rng, count, pairs, line)
    part, sine = lattice(rng, count)
    which, position, tangent = edges.random(rng, part)
    sine = 2 * sine - 1
    return edges.swarm(which, position, turned(tangent, sine, np.sqrt(1 - sine**2)), pairs)


def _from_contact(
    edges: Edges, rng: np.random.Generator, count: int, pairs: int, line: Phases | Sphere
) -> Swarm:
    which, todo = np.empty(count, int), np.arange(count)
    position, velocity, phases = np.empty((count, 2)), np.empty((count, 2)), np.empty(count)
    while len(todo):
        which[todo], position[todo], tangent = edges.random(rng, rng.random(len(todo)))
        phases[todo], velocity[todo] = line.random(rng, len(todo))
        w = velocity[todo]
        inwards = w[:, 1] * tangent[:, 0] - w[:, 0] * tangent[:, 1]
        todo = todo[line.fastest * rng.random(len(todo)) > inwards]
    return edges.swarm(which, position, velocity, pairs, phases)


def turned(tangent: np.ndarray, cosine: np.ndarray, sine: np.ndarray) -> np.ndarray:
    """Tangents turned to the left by angles of this cosine and sine, shape (m, 2)."""
    left = np.stack([-tangent[:, 1], tangent[:, 0]], axis=1)
    return np.asarray(cosine[:, None] * tangent + sine[:, None] * left)


def everywhere(
    maze: Maze,
    rng: np.random.Generator,
    count: int,
    pairs: int,
    line: Phases | Sphere | None = None,
) -> Swarm:
    """Particles in equilibrium: uniform in the device, and in angle or phase."""
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
    return inside(cell, position, rng, pairs, line)


def inside(
    cell: np.ndarray,
    position: np.ndarray,
    rng: np.random.Generator,
    pairs: int,
    line: Phases | Sphere | None = None,
) -> Swarm:
    """Particles at places in cells, in all directions, or at all phases, alike."""
    phases = None
    if line is None:
        angle = 2 * np.pi * rng.random(len(cell))
        direction = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    else:
        phases, direction = line.random(rng, len(cell))
    return Swarm(
        places=np.concatenate([position, direction], axis=1),
        where=np.column_stack([cell, np.full(len(cell), -1)]),
        weights=np.zeros((len(cell), pairs)),
        phases=phases,
    )
