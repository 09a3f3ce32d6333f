"""Orbital moments of a flow of particles: circulations of the current around what is near walls.

The current of particles is known as a mean in cells, without derivatives. A moment needs none:

    integral of kappa curl J over the points next to a wall = kappa times that of J.dl around them.

At a place x of that line, carriers that move along p owe what those meet who start there along -p
and go backwards (in the opposite magnetic field) until a contact absorbs them. Unlike crossings of
the line, that has a finite variance. What walls emit in all directions alike has no current along
them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any

import numpy as np

from meso.boundary import Contact, Wall, law_of
from meso.flow.batches import in_threads
from meso.flow.counting import Batches
from meso.flow.emission import turned
from meso.flow.particles import Particles
from meso.flow.result import Flow, periodic_pairs
from meso.flow.tracing import ENDS, Maze, Swarm, Tracer, along
from meso.observables.accumulation import EdgeMoment, couplings
from meso.observables.curves import Curves
from meso.observables.edges import piece_centers
from meso.observables.nearest import walls_of

#: Parts along a side of the cells in which the middle between walls is looked for.
_PARTS = 4
#: Distances that differ by less than this part of the device are equal.
_EQUAL = 1e-9
#: Particles of a batch, batches of a round; steps that are always permitted. More than that, and
#: than the conductances took, is not spent on moments.
_SIZE, _BATCHES, _STEPS = 1024, 32, 5_000_000
_CORNERS = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Line:
    """Parts of the lines around what is near the pieces of walls.

    Attributes:
        cell: Of each part, shape (n,).
        ends: In the cell inside the conductor; on facets places on these in the first coordinate,
            shape (n, 2, 2).
        facet: Or -1 inside, shape (n,).
        left: Piece on the left of the way from the first to the second end, shape (n,).
        right: Piece on the right, or -1 beyond the boundary, shape (n,).
        beyond: Region on the right, shape (n,).
    """

    cell: np.ndarray
    ends: np.ndarray
    facet: np.ndarray
    left: np.ndarray
    right: np.ndarray
    beyond: np.ndarray

    def __add__(self, other: Line) -> Line:
        parts = ([getattr(line, name) for line in (self, other)] for name in self.__slots__)
        return Line(**dict(zip(self.__slots__, map(np.concatenate, parts), strict=True)))

    def lengths(self, maze: Maze) -> np.ndarray:
        """Of the parts, about, shape (n,)."""
        every = np.arange(len(self.cell))
        return np.asarray(np.linalg.norm(self.at(maze, every, every * 0 + 0.5)[1], axis=1))

    def at(self, maze: Maze, which: np.ndarray, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Positions and derivatives by u at places 0 < u < 1 of parts, shape (m, 2) each."""
        ends, facet = self.ends[which], self.facet[which]
        step = ends[:, 1] - ends[:, 0]
        here = ends[:, 0] + u[:, None] * step
        position, jacobian = maze.positions(self.cell[which], here)
        slope = (jacobian @ step[:, :, None])[:, :, 0]
        edge = facet >= 0
        curve = maze.edges(*maze.facet[facet[edge]].T)
        position[edge], slope[edge] = along(curve, here[edge, 0])
        slope[edge] *= step[edge, :1]
        return position, slope


def moments(flow: Flow) -> dict[str, tuple[EdgeMoment, ...]]:
    """Orbital moments and spins of the walls with standard errors, as ``Result`` has them.

    Args:
        flow: A flow of particles.

    Returns:
        By "orbital_density" and "spin_density"; empty where materials have no coupling, or one that
        is a tensor, or one that changes across a periodic pair.
    """
    known = {f"{channel}_density": couplings(flow, channel) for channel in ("orbital", "spin")}
    plain = {
        name: kappa
        for name, kappa in known.items()
        if kappa is not None and kappa.ndim == 1 and not _jumps(flow, kappa)
    }
    out: dict[str, tuple[EdgeMoment, ...]] = dict.fromkeys(known, ())
    pieces = walls_of(flow)
    if not plain or not pieces:
        return out
    found, errors = circulations(flow, pieces, np.array(list(plain.values())))
    centers = piece_centers(flow.device)
    for name, values, spread in zip(plain, found, errors, strict=True):
        out[name] = tuple(
            EdgeMoment(
                wall=flow.device.pieces[i].boundary,
                measure=flow.device.pieces[i].measure,
                center=tuple(map(float, centers[i])),
                moment=float(value),
                error=float(error),
            )
            for i, value, error in zip(pieces, values, spread, strict=True)
        )
    return out


def _jumps(flow: Flow, kappa: np.ndarray) -> bool:
    """Whether a coupling is another one on the other side of a periodic pair."""
    model: Particles = flow.swarm
    facets, maze = model.facets, model.maze
    periodic = np.flatnonzero(facets.kinds == 2)
    here, there = maze.facet[periodic, 0], facets.twins[periodic] // 3
    return bool((kappa[maze.region[here]] != kappa[maze.region[there]]).any())


def warnings(found: Sequence[EdgeMoment], tolerance: float) -> list[str]:
    """Moments that are less certain than was asked for."""
    error = max((moment.error for moment in found), default=0.0)
    size = max((abs(moment.moment) for moment in found), default=0.0)  # type: ignore[arg-type]
    if error <= tolerance * size:
        return []
    return [
        f"moments have standard errors up to {error / size if size else 1.0:.1%} of the largest:"
        f" more than flow.tolerance = {tolerance:g}; they take as many steps as the conductances"
    ]


def circulations(
    flow: Flow, pieces: list[int], kappas: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Integrals of kappa curl J over what is nearest to pieces, with standard errors.

    Args:
        flow: A flow of particles.
        pieces: Of walls.
        kappas: Couplings of the regions, shape (channels, regions).

    Returns:
        Integrals and errors, A times the unit of kappa, shape (channels, pieces) each.
    """
    model: Particles = flow.swarm
    comm, scale = flow.device.comm, model.per_path * model.depth * flow.device.extent
    line = around(flow, pieces, kappas)
    length = line.lengths(model.maze)
    share = length / length.sum()
    largest = np.abs(kappas).max(axis=1, keepdims=True)
    size = np.where(largest > 0, largest, 1.0)  # so that all sums are in A
    work = partial(
        _batch, flow, model.tracer(backwards=True), line, share, len(pieces), kappas / size
    )
    rows, steps = [], 0
    most = max(_STEPS, flow.evidence["steps"])
    for turn in count():
        tasks = range(turn * _BATCHES + comm.rank, (turn + 1) * _BATCHES, comm.size)
        own = list(in_threads(work, tasks, comm))
        rows += [row for part in comm.allgather(own) for row in part]
        steps = sum(row[2] for row in rows)
        scores = np.array([row[1] for row in sorted(rows, key=lambda row: row[0])])
        batches = Batches(counts=np.full(len(rows), _SIZE), scores=scores)
        mean, error = batches.mean * scale, np.sqrt(batches.variance(scores)) * scale
        done = (error.max(axis=1) <= model.tolerance * np.abs(mean).max(axis=1)).all()
        if done or steps >= most or _SIZE * len(rows) >= model.most:
            break
    return mean * size, error * size


def _batch(
    flow: Flow,
    tracer: Tracer,
    line: Line,
    share: np.ndarray,
    pieces: int,
    kappas: np.ndarray,
    number: int,
) -> tuple[int, np.ndarray, int]:
    """Number, scores of channels and pieces, summed over particles, and steps."""
    model: Particles = flow.swarm
    maze, pairs = model.maze, len(model.pairs)
    rng, key = model.random(3, number)
    which = rng.choice(len(share), size=_SIZE, p=share)
    position, slope = line.at(maze, which, rng.random(_SIZE))
    # On boundaries half of all angles counts, to the left of the line.
    facet, phases = line.facet[which], None
    inwards = facet >= 0
    if model.line is None:
        angle = np.pi * rng.random(_SIZE)
        angle = np.where(facet < 0, 2 * angle, angle)
        tangent = slope / np.linalg.norm(slope, axis=1, keepdims=True)
        direction = turned(tangent, np.cos(angle), np.sin(angle))
        back = np.where(facet < 0, 2.0, 1 + _mirrors(flow, maze)[facet])
    else:  # what walls emit and reflect has a current along them
        phases, direction = model.line.random(rng, _SIZE)
        inwards = inwards & (direction[:, 1] * slope[:, 0] > direction[:, 0] * slope[:, 1])
        back = np.full(_SIZE, 2.0)
    factor = -back * (direction * slope).sum(axis=1) / share[which]
    cell = line.cell[which]
    where = np.column_stack([cell, np.full(_SIZE, -1)])
    where[inwards] = maze.facet[facet[inwards]]
    swarm = Swarm(
        places=np.concatenate([position, direction], axis=1),
        where=where,
        weights=np.zeros((_SIZE, pairs)),
        phases=phases,
    )
    steps = tracer(swarm, key, length=1e300 if model.contacts else model.memory)
    # In equilibrium with the place where they begin they would carry nothing.
    score = factor * (_owed(flow, swarm) - _level(flow, cell, position))
    left, right, inside = line.left[which], line.right[which], line.right[which] >= 0
    sums = [
        np.bincount(left, score * one, minlength=pieces)
        - np.bincount(right[inside], (score * other)[inside], minlength=pieces)
        for one, other in zip(
            kappas[:, maze.region[cell]], kappas[:, line.beyond[which]], strict=True
        )
    ]
    return number, np.array(sums), steps


def _level(flow: Flow, cell: np.ndarray, position: np.ndarray) -> np.ndarray:
    """About the potential at places in cells, V."""
    model: Particles = flow.swarm
    voltages = np.array([flow.periodic[first].potential for first, _ in model.pairs])
    beside = position - model.maze.centers[cell]
    return np.asarray(model.levels[cell] + beside @ model.slopes.T @ voltages)


def _mirrors(flow: Flow, maze: Maze) -> np.ndarray:
    """Specularity of each boundary facet, 0 at contacts."""
    laws = [law_of(flow.boundaries, name) for name in flow.device.boundaries]
    smooth = [
        (1.0 if law.specularity is None else law.specularity) if isinstance(law, Wall) else 0.0
        for law in laws
    ]
    return np.array(smooth)[maze.boundary]


def _owed(flow: Flow, swarm: Swarm) -> np.ndarray:
    """What particles that have gone backwards owe, V."""
    model: Particles = flow.swarm
    voltages = np.array([flow.periodic[first].potential for first, _ in model.pairs])
    owed = -swarm.weights @ voltages
    if model.contacts:
        levels = np.array([flow.contacts[name].potential for name in model.contacts])
        return np.asarray(owed + levels[model.owner[swarm.facet]])
    return np.asarray(owed + swarm.places[:, :2] @ model.slopes.T @ voltages)


# -- where one wall is as near as another ----------------------------------------------------------


def around(flow: Flow, pieces: list[int], kappas: np.ndarray) -> Line:
    """The lines around what is nearest to each of some pieces of walls, with the same couplings."""
    maze: Maze = flow.swarm.maze
    nodes, triangles = _lattice()
    table = maze.element.tabulate(0, nodes)[0, :, :, 0]
    curves = Curves(flow.device, pieces, periodic_pairs(flow.boundaries))
    places = (table @ maze.nodes).reshape(-1, 2)
    distance = curves.distances(places, np.array(pieces)).reshape(len(maze.area), len(nodes), -1)
    label = (distance <= distance.min(axis=2, keepdims=True) + _EQUAL).argmax(axis=2)
    line = _between(maze, triangles, label, distance)
    names = [law_of(flow.boundaries, name) for name in flow.device.boundaries]
    kinds = [1 if isinstance(n, Wall) else 0 if isinstance(n, Contact) else 2 for n in names]
    kind = np.array(kinds)[maze.boundary]
    rank = np.full(len(flow.device.pieces), -1)
    rank[pieces] = np.arange(len(pieces))
    facet = np.flatnonzero(kind == 1)
    whole = np.tile([[0.0, 0.0], [1.0, 0.0]], (len(facet), 1, 1))
    walls = Line(
        cell=maze.facet[facet, 0],
        ends=whole,
        facet=facet,
        left=rank[maze.piece[facet]],
        right=np.full(len(facet), -1),
        beyond=maze.region[maze.facet[facet, 0]],
    )
    contacts = _contacts(maze, np.flatnonzero(kind == 0), distance)
    return line + walls + contacts + _interfaces(maze, kappas, distance)


def _lattice() -> tuple[np.ndarray, np.ndarray]:
    """Nodes (n, 2) of the reference cell and the triangles (t, 3) between them."""
    index: dict[tuple[int, int], int] = {}
    nodes: list[tuple[float, float]] = []
    for j in range(_PARTS + 1):
        for i in range(_PARTS + 1 - j):
            index[i, j] = len(nodes)
            nodes.append((i / _PARTS, j / _PARTS))
    up = [(index[i, j], index[i + 1, j], index[i, j + 1]) for i, j in index if i + j < _PARTS]
    down = [
        (index[i + 1, j], index[i + 1, j + 1], index[i, j + 1])
        for i, j in index
        if i + j < _PARTS - 1
    ]
    return np.array(nodes), np.array(up + down)


def _between(maze: Maze, triangles: np.ndarray, label: np.ndarray, distance: np.ndarray) -> Line:
    """Lines inside the conductor between points that are nearest to different walls."""
    nodes, _ = _lattice()
    cell, triangle = np.nonzero(np.ptp(label[:, triangles], axis=2) > 0)
    corner = triangles[triangle]
    own = label[cell[:, None], corner]
    crossing = np.full((len(cell), 3, 2), np.nan)  # on the edge after each corner
    for e in range(3):
        a, b = corner[:, e], corner[:, (e + 1) % 3]
        i, j = own[:, e], own[:, (e + 1) % 3]
        t = _crossing(distance, cell, a, b, i, j)
        found = nodes[a] * (1 - t)[:, None] + nodes[b] * t[:, None]
        crossing[:, e] = np.where((i != j)[:, None], found, np.nan)
    center = np.nanmean(crossing, axis=1)
    out: Any = None
    for e in range(3):
        # Along the edge counter-clockwise from i to j: from there inwards i is on the left ... of
        # the way back; with i on the left the way goes in.
        i, j = own[:, e], own[:, (e + 1) % 3]
        here = np.flatnonzero(i != j)
        part = Line(
            cell=cell[here],
            ends=np.stack([crossing[here, e], center[here]], axis=1),
            facet=np.full(len(here), -1),
            left=i[here],
            right=j[here],
            beyond=maze.region[cell[here]],
        )
        out = part if out is None else out + part
    return out


def _crossing(
    distance: np.ndarray,
    cell: np.ndarray,
    a: np.ndarray,
    b: np.ndarray,
    i: np.ndarray,
    j: np.ndarray,
) -> np.ndarray:
    """Where between nodes a and b the pieces i, nearest to a, and j are equally near, 0 to 1."""
    first = distance[cell, a, j] - distance[cell, a, i]
    second = distance[cell, b, i] - distance[cell, b, j]
    total = first + second
    return np.asarray(np.clip(first / np.where(total > 0, total, 1.0), 0, 1))


def _contacts(maze: Maze, facet: np.ndarray, distance: np.ndarray) -> Line:
    """Parts of contacts by the wall that is nearest to them."""
    cell, edge = maze.facet[facet].T
    which, ends, left, _ = _divided(maze, cell, edge, distance)
    return Line(
        cell=cell[which],
        ends=np.stack([ends, np.zeros_like(ends)], axis=2),
        facet=facet[which],
        left=left,
        right=np.full(len(which), -1),
        beyond=maze.region[cell[which]],
    )


def _interfaces(maze: Maze, kappas: np.ndarray, distance: np.ndarray) -> Line:
    """Parts of edges between regions of unequal couplings by the wall that is nearest to them."""
    kappa, other = kappas[:, maze.region], np.maximum(maze.behind, 0) // 3
    unequal = (kappa[:, :, None] != kappa[:, other]).any(axis=0) & (maze.behind >= 0)
    cell, edge = np.nonzero(unequal & (other > np.arange(len(other))[:, None]))
    which, ends, left, corners = _divided(maze, cell, edge, distance)
    first, second = corners[which].swapaxes(0, 1)[:, :, None]
    return Line(
        cell=cell[which],
        ends=first * (1 - ends[:, :, None]) + second * ends[:, :, None],
        facet=np.full(len(which), -1),
        left=left,
        right=left,
        beyond=maze.region[other[cell, edge]][which],
    )


def _divided(
    maze: Maze, cell: np.ndarray, edge: np.ndarray, distance: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Parts of edges by the wall that is nearest to them.

    Returns:
        Numbers of the edges, both ends from 0 to 1, and walls, shape (n,), (n, 2) and (n,); and the
        corners of each edge in the reference cell, shape (edges, 2, 2).
    """
    nodes, _ = _lattice()
    # Vertices of the maze in the order of the reference cell of its nodes.
    corner = maze.vertices[cell][np.arange(len(cell))[:, None], ENDS[edge]]
    vertex = np.linalg.norm(maze.nodes[cell, None, :3] - corner[:, :, None], axis=3).argmin(axis=2)
    s = np.linspace(0, 1, _PARTS + 1)
    first, second = (_CORNERS[vertex[:, k]][:, None] for k in (0, 1))
    at = first * (1 - s)[:, None] + second * s[:, None]
    node = np.linalg.norm(at[:, :, None] - nodes, axis=3).argmin(axis=2)
    near = distance[cell[:, None], node]
    own = (near <= near.min(axis=2, keepdims=True) + _EQUAL).argmax(axis=2)
    rows = []
    for k in range(_PARTS):
        i, j = own[:, k], own[:, k + 1]
        t = np.where(i == j, 1.0, _crossing(distance, cell, node[:, k], node[:, k + 1], i, j))
        middle = s[k] + t * (s[k + 1] - s[k])
        rows += [(s[k] + 0 * middle, middle, i), (middle, s[k + 1] + 0 * middle, j)]
    ends = np.concatenate([np.stack(row[:2], axis=1) for row in rows])
    wall = np.concatenate([row[2] for row in rows])
    return np.tile(np.arange(len(cell)), len(rows)), ends, wall, _CORNERS[vertex]
