"""The current along a wire from free flights, after R. G. Chambers.

Where all carriers scatter alike and in all directions, in one uniform material, nothing comes back
from a collision: h is what the field adds on the way from the last wall that was not a mirror. With
S_k the lengths in the plane, over lambda, of the path back to the walls that it meets, w_k the
product of the specularities of the first k of them, and A(s) = <3 v_z^2 exp(-s/sin theta)>,

    J_z/(sigma E) = <sum over k of w_k (A(S_k) - A(S_k+1))>, over directions in the plane,

and over the section, from the walls inwards, with B(s) the integral of A from 0 to s,

    I/(sigma E) = area - int ds (1 - p) lambda/(2 pi) int cos alpha dalpha sum of w_k (B(S_k+1) -
    B(S_k))

(R. B. Dingle's for a round wire, D. K. C. MacDonald's and K. Sarginson's for a square one). The
polar angle gives Bickley's functions, A = 3 (Ki_2 - Ki_4), B = 3 (Ki_3 - Ki_5)|_0^s with sign
reversed; paths are traced, azimuths are integrated adaptively. No harmonics are needed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Any

import numpy as np

from meso.boundary import Boundary
from meso.compiled import ffi
from meso.device import Device
from meso.discrete.cells import Lagrange, cells_of, lagrange
from meso.flow.kinetic import different, rate_of
from meso.flow.tracing import ENDS, Facets, Maze, along, facets_of, kernel, maze_of
from meso.materials.material import Material
from meso.mpi import concatenated, total
from meso.units import is_number

#: Absolute error of integrals over angles, over what is wanted of currents and moments, and the
#: smallest and the largest one.
_PART, _LEAST, _LARGEST = 0.1, 1e-6, 1e-4
#: What is left of that in moments: the 15 points are far better than what they say.
LEFT = 0.1
#: Distance from a straight line, over the size of the device, within which a wall is straight.
_STRAIGHT = 1e-10
#: What the rest of a path may be over that error, and walls that it meets at most.
_REST, _MOST = 1e-2, 100_000
#: Bisections of an interval of angles at most.
_ROUNDS = 40
#: Intervals that all angles are divided into, before corners and what the integrand asks for.
_FIRST = 6
#: Knots of tables, from log s to log s.
_KNOTS, _FROM, _TO = 6001, np.log(1e-12), np.log(50.0)
#: Distance from a node of the mesh into its cell, over the size of the cell: paths that begin less
#: than 1e-8 beside a re-entrant corner are taken for those through it.
_INSIDE = 1e-7
#: Intervals of angles that are looked at together.
_BATCH = 20_000
#: The 15 points of Kronrod, their weights, and those of Gauss in every second one.
_HALF = np.array(
    [
        0.991455371120812639206854697526329,
        0.949107912342758524526189684047851,
        0.864864423359769072789712788640926,
        0.741531185599394439863864773280788,
        0.586087235467691130294144691693536,
        0.405845151377397166906606412076961,
        0.207784955007898467600689403773245,
    ]
)
_WEIGHTS = np.array(
    [
        0.022935322010529224963732008058970,
        0.063092092629978553290700663189204,
        0.104790010322250183839876322541518,
        0.140653259715525918745189590510238,
        0.169004726639267902826583426598550,
        0.190350578064785409913256402421014,
        0.204432940075298892414161999234649,
        0.209482141084727828012999174891714,
    ]
)
_GAUSS = np.array(
    [
        0.129484966168869693270611432679082,
        0.279705391489276667901467771423780,
        0.381830050505118944950369775488975,
        0.417959183673469387755102040816327,
    ]
)
_POINTS = np.concatenate([-_HALF, [0.0], _HALF[::-1]])
_KRONROD = np.concatenate([_WEIGHTS, _WEIGHTS[-2::-1]])
_LOWER = np.zeros(15)
_LOWER[1::2] = np.concatenate([_GAUSS, _GAUSS[-2::-1]])


def uniform(device: Device, materials: Mapping[str, Material]) -> Material | None:
    """The material of a wire that free flights are for; None if it is none of these."""
    kinds, _ = different(device, materials)
    if len(kinds) != 1:
        return None
    (material,) = kinds
    if not all(map(is_number, (material.conductivity, material.mean_free_path))):
        return None
    known = () if isinstance(material.scattering, str) else material.scattering.values()
    return material if rate_of(material, 2) == 1.0 and all(g == 1.0 for g in known) else None


@cache
def _tables() -> tuple[np.ndarray, np.ndarray]:
    """Of -A and of B, values and slopes in log s at the knots, shape (knots, 2)."""
    t = np.arange(0.0, 40.0, 0.125)
    weight = np.where(t, 0.125, 0.0625)
    cosh, s = np.cosh(t), np.exp(np.linspace(_FROM, _TO, _KNOTS))
    falling = weight * np.exp(-s[:, None] * cosh)

    def bickley(n: int) -> np.ndarray:
        return np.asarray(falling @ cosh ** -float(n))

    a = 3 * (bickley(2) - bickley(4))
    # Ki_3(0) - Ki_5(0) = 3 pi/16 - pi/4 + ... = pi/16.
    b = 3 * (np.pi / 16 - bickley(3) + bickley(5))
    slope = 3 * (bickley(1) - bickley(3))
    return np.stack([-a, s * slope], axis=1), np.stack([b, s * a], axis=1)


@dataclass(frozen=True)
class Flights:
    """Free flights in the section of a wire.

    Attributes:
        device: The section.
        boundaries: Wall of each boundary, by name.
        path: Mean free path, m.
        wanted: Relative error of currents and moments.
    """

    device: Device
    boundaries: Mapping[str, Boundary]
    path: float
    wanted: float = 1e-3

    def density(self, order: int) -> np.ndarray:
        """J_z/(sigma E) at the nodes of P_k that this rank has, shape (nodes,)."""
        nodal, cells = lagrange(self.device, order), cells_of(self.device)
        every = np.arange(cells.count)
        at = np.zeros((nodal.nodes, 2))
        at[nodal.dofs] = cells.positions(every, nodal.points)
        cell = self._cells(nodal)
        at += _INSIDE * (self.maze.vertices[cell].mean(axis=1) - at)
        corners = self._corners
        away = corners[None] - at[:, None]
        breaks = np.sort(np.arctan2(away[..., 1], away[..., 0]), axis=1)
        regular = np.broadcast_to(np.linspace(-np.pi, np.pi, _FIRST + 1), (len(at), _FIRST + 1))
        breaks = np.sort(np.concatenate([breaks, regular], axis=1), axis=1)
        where = np.column_stack([cell, np.full(len(cell), -1)])
        return self._mean(at, where, breaks, 0) / (2 * np.pi)

    def _cells(self, nodal: Lagrange) -> np.ndarray:
        """The first cell at each node, the same on all ranks, shape (nodes,)."""
        comm, globally = self.device.comm, nodal.global_nodes
        first = np.full(nodal.nodes, len(self.maze.area))
        np.minimum.at(first, nodal.dofs, self.maze.own[:, None])
        every, number = np.unique(concatenated(comm, globally), return_inverse=True)
        least = np.full(len(every), len(self.maze.area))
        np.minimum.at(least, number.ravel(), concatenated(comm, first))
        return least[np.searchsorted(every, globally)]

    def conductance(self, points: int) -> float:
        """I/(sigma E) over the area, from so many points on each facet of the walls."""
        maze, comm = self.maze, self.device.comm
        p = self._facets.specularity
        own = np.flatnonzero(p < 1)[comm.rank :: comm.size]
        s, weight = np.polynomial.legendre.leggauss(points)
        s, weight = (s + 1) / 2, weight / 2
        cell, edge = (np.repeat(maze.facet[own, i], points) for i in (0, 1))
        position, slope = along(maze.edges(cell, edge), np.tile(s, len(own)))
        length = np.linalg.norm(slope, axis=1)
        tangent = slope / length[:, None]  # the conductor on its left
        start = np.arctan2(tangent[:, 1], tangent[:, 0])
        away = self._corners[None] - position[:, None]
        turned = np.mod(np.arctan2(away[..., 1], away[..., 0]) - start[:, None], 2 * np.pi)
        regular = np.broadcast_to(np.linspace(0, np.pi, 4), (len(start), 4))
        turned = np.concatenate([regular, np.minimum(turned, np.pi)], axis=1)
        breaks = start[:, None] + np.sort(turned, axis=1)
        where = np.column_stack([cell, edge])
        value = self._mean(position, where, breaks, 1, tangent)
        lost = np.tile(weight, len(own)) * length * np.repeat(1 - p[own], points) * value
        lost = float(total(comm, lost.sum())) * self._path / (2 * np.pi)
        return 1 - lost / float(self.maze.area.sum())

    # -- paths ---------------------------------------------------------------------------------

    def _mean(
        self,
        at: np.ndarray,
        where: np.ndarray,
        breaks: np.ndarray,
        which: int,
        tangent: np.ndarray | None = None,
    ) -> np.ndarray:
        """Integrals over angles between the first and the last break of each point, (n, k)."""
        out = np.zeros(len(at))
        owner = np.repeat(np.arange(len(at)), breaks.shape[1] - 1)
        low, high = breaks[:, :-1].ravel(), breaks[:, 1:].ravel()
        wide = high - low > 1e-14
        owner, low, high = owner[wide], low[wide], high[wide]
        for last in [False] * _ROUNDS + [True]:
            kept = np.zeros(len(owner), dtype=bool)
            for first in range(0, len(owner), _BATCH):
                part = slice(first, first + _BATCH)
                who, middle = owner[part], (low[part] + high[part]) / 2
                half = (high[part] - low[part]) / 2
                angle = middle[:, None] + half[:, None] * _POINTS
                value = self._along(at, where, who, angle, which)
                if tangent is not None:  # cos of the angle from the normal
                    t = tangent[who]
                    value *= t[:, :1] * np.sin(angle) - t[:, 1:] * np.cos(angle)
                found, error = half * (value @ _KRONROD), half * np.abs(value @ (_KRONROD - _LOWER))
                # Errors of intervals add up with random signs; those of 15 points are far smaller.
                good = (error < self.tolerance) | (half < 1e-9) | last
                np.add.at(out, who[good], found[good])
                kept[part] = ~good
            if not kept.any():
                break
            owner, low, high = owner[kept], low[kept], high[kept]
            middle = (low + high) / 2
            owner = np.tile(owner, 2)
            low, high = np.concatenate([low, middle]), np.concatenate([middle, high])
        return out

    def _along(
        self, at: np.ndarray, where: np.ndarray, who: np.ndarray, angle: np.ndarray, which: int
    ) -> np.ndarray:
        """Sums of -A or B along paths from some points at angles (m, 15)."""
        places = np.empty((*angle.shape, 4))
        places[..., :2] = at[who][:, None]
        places[..., 2], places[..., 3] = np.cos(angle), np.sin(angle)
        cells = np.repeat(where[who], angle.shape[1], axis=0).astype(np.int32)
        out = np.empty(angle.shape)
        table, pointer = np.ascontiguousarray(_tables()[which]), ffi.from_buffer
        sides = self._sides
        if sides is not None:
            run, section = kernel().flights_of_sides, [len(sides[0]), *self._pointers(sides)]
            if which:  # they begin on a wall
                cells[:, 1] = self.maze.piece[self._facet_of(cells)]
        else:
            maze = self.maze
            run = kernel().flights
            arrays = (maze.vertices, maze.behind, maze.bent, maze.controls)
            section = [*self._pointers(arrays), maze.degree]
            section += self._pointers((self._facets.specularity,))
        run(
            *(angle.size, self._path, _REST * self.tolerance, _MOST, *section),
            *(pointer("double[]", table), _KNOTS, _FROM, (_TO - _FROM) / (_KNOTS - 1)),
            *(pointer("double[]", places), pointer("int32_t[]", cells)),
            pointer("double[]", out, require_writable=True),
        )
        return out

    def _facet_of(self, where: np.ndarray) -> np.ndarray:
        """Boundary facets by cell and edge, (n, 2)."""
        known = self.maze.facet @ [3, 1]
        order = np.argsort(known)
        return np.asarray(order[np.searchsorted(known[order], where @ [3, 1])])

    def _pointers(self, arrays: Sequence[np.ndarray]) -> list[Any]:
        """For the kernel; arrays are contiguous."""
        return [
            ffi.from_buffer(f"{'double' if a.dtype == float else 'int32_t'}[]", a) for a in arrays
        ]

    @cached_property
    def _sides(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Beginning and way of each smooth piece, (m, 4), and specularity, if all are straight."""
        maze = self.maze
        control = maze.edges(*maze.facet.T)
        ends, way = control[:, [0, -1]], control[:, -1] - control[:, 0]
        way /= np.linalg.norm(way, axis=1, keepdims=True)
        sides, specularity = [], []
        for number in range(len(self.device.pieces)):
            own = maze.piece == number
            t = way[own][0]
            points = control[own].reshape(-1, 2)
            if np.abs((points - points[0]) @ [-t[1], t[0]]).max() > _STRAIGHT:
                return None
            at = ends[own].reshape(-1, 2)
            first, last = at[np.argmin(at @ t)], at[np.argmax(at @ t)]
            sides.append([*first, *(last - first)])
            specularity.append(self._facets.specularity[own][0])
        return np.array(sides), np.array(specularity)

    @property
    def tolerance(self) -> float:
        """Absolute error of J/(sigma E) at a point."""
        return float(np.clip(_PART * self.wanted, _LEAST, _LARGEST)) * min(1.0, 1 / self._path)

    @property
    def doubt(self) -> float:
        """What integrals over angles may leave of I/(sigma E) over the area."""
        perimeter = sum(piece.measure for piece in self.device.pieces)
        area = self.device.measure / self.path
        return self.tolerance / 2 * perimeter / (2 * np.pi * area)

    @cached_property
    def maze(self) -> Maze:
        """All cells."""
        maze = maze_of(self.device)
        numbers = {"behind": maze.behind, "bent": maze.bent}
        fields = {"vertices": maze.vertices, "controls": maze.controls}
        return replace(
            maze,
            **{n: np.ascontiguousarray(a, dtype=np.int32) for n, a in numbers.items()},
            **{n: np.ascontiguousarray(a, dtype=float) for n, a in fields.items()},
        )

    @cached_property
    def _facets(self) -> Facets:
        return facets_of(self.device, self.maze, self.boundaries)

    @property
    def _path(self) -> float:
        return self.path / self.device.extent

    @cached_property
    def _corners(self) -> np.ndarray:
        """Where smooth pieces of the boundary end, (k, 2)."""
        maze = self.maze
        ends = maze.vertices[maze.facet[:, :1], ENDS[maze.facet[:, 1]]]
        place, point = np.unique(ends.reshape(-1, 2).round(12), axis=0, return_inverse=True)
        pieces = np.repeat(maze.piece, 2)
        point = point.reshape(-1)
        low = np.full(len(place), np.iinfo(np.int64).max)
        high = np.full(len(place), -1)
        np.minimum.at(low, point, pieces)
        np.maximum.at(high, point, pieces)
        return np.asarray(place[low < high])
