"""Particles on a device: its mesh as plain arrays on every rank, and the kernel that traces paths.

Lengths are over the size of the device. Cells are numbered as in the drawing, so that nothing
depends on how ranks share the mesh.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial import cKDTree
from scipy.special import comb

from meso.boundary import Boundary, Wall
from meso.compiled import ffi, library
from meso.device import Device
from meso.discrete.cells import cells_of, lagrange, quadrature
from meso.discrete.periodic import translation, twin_nodes
from meso.errors import ConvergenceError
from meso.flow.result import periodic_pairs
from meso.materials.fermi_line import Contour
from meso.mpi import concatenated

_HEADER = """
void prepare(void);
int trace(int64_t, int64_t, int64_t, double, int64_t,
          const double *, const int32_t *, const int32_t *, const double *, const double *,
          const int32_t *, const double *, const double *, int, const double *, int,
          const double *, const int32_t *, const double *, const int32_t *, const double *,
          const int32_t *, const int32_t *, int, const double *, int, int, double *, double *,
          int32_t *, double *, double *, int64_t *, double, int64_t *);
void flights(int64_t, double, double, int64_t, const double *, const int32_t *, const int32_t *,
             const double *, int, const double *, const double *, int, double, double,
             const double *, const int32_t *, double *);
void flights_of_sides(int64_t, double, double, int64_t, int, const double *, const double *,
                      const double *, int, double, double, const double *, const int32_t *,
                      double *);
"""
#: Tallies are integers in this unit.
UNIT = 2.0**32
#: Steps after which a particle is taken for lost.
_MOST = 10**10
#: Ends of the edges: edge e lies opposite to vertex e, the conductor on its left.
ENDS = np.array([[1, 2], [2, 0], [0, 1]])
#: Part of an edge by which it may bend and still count as straight.
_STRAIGHT = 1e-11


@cache
def kernel() -> Any:
    """The compiled functions."""
    found = library("particles", _HEADER, Path(__file__).with_name("particles.c").read_text())
    found.prepare()
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Carriers:
    """What happens to particles in a region.

    Attributes:
        rate: Of collisions, 1/m.
        curvature: Of their paths, 1/m, positive where they turn counter-clockwise.
        series: The density of the angle that a collision turns them by, over that of all
            angles alike: sum over m of series[m] cos(m angle).
    """

    rate: float
    curvature: float
    series: tuple[float, ...]

    @property
    def density(self) -> np.ndarray:
        """The density at many angles from 0 to 2 pi."""
        angles = np.linspace(0, 2 * np.pi, 64 * len(self.series) + 1)
        return np.array(self.series) @ np.cos(np.arange(len(self.series))[:, None] * angles)


class Phases:
    """A Fermi line that is no circle, as a polygon of sides of equal phases.

    Its velocity, perpendicular to a side, is that of the side. So nothing about it is approximate
    but its shape, by about 2/count^2: in a magnetic field carriers go from side to side, and all
    phases stay as full as they are; chords end where as much comes in as goes out.

    Attributes:
        rows: Velocity over that of the mean free path, and wave vector, shape (n, 4).
        fastest: The highest speed.
        square: <w^2>.
    """

    def __init__(self, contour: Contour, count: int) -> None:
        self.contour, at = contour, 2 * np.pi * np.arange(count) / count
        k = contour.waves(at)
        k *= np.sqrt(2 * np.pi / (np.conj(k) * np.roll(k, -1)).imag.sum())  # an area of pi
        w = contour.velocity_of(np.roll(k, -1) - k) * count / (2 * np.pi)
        self.rows = np.column_stack([w.real, w.imag, k.real, k.imag])
        self.fastest, self.square = float(np.abs(w).max()), contour.square

    def random(self, rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Phases in numbers of rows, in equilibrium, and velocities (count, 2)."""
        phase = len(self.rows) * rng.random(count)
        return phase, self.rows[phase.astype(int), :2]

    def flux(self, normals: np.ndarray) -> np.ndarray:
        """<|w.n|> for normals (m, 2), shape (m,)."""
        which, inverse = np.unique(normals.round(9), axis=0, return_inverse=True)
        return np.abs(which @ self.rows[:, :2].T).mean(axis=1)[inverse.reshape(-1)]


class Sphere:
    """A Fermi sphere where nothing depends on z: velocities in the plane, up to that of the sphere.

    In place of phases particles have speeds, sqrt(1 - v_z^2).

    Attributes:
        fastest: The highest speed.
        square: <w^2> in the plane.
    """

    fastest, square = 1.0, 2 / 3

    def random(self, rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Speeds in equilibrium, and velocities (count, 2)."""
        speed, angle = np.sqrt(1 - rng.random(count) ** 2), 2 * np.pi * rng.random(count)
        return speed, speed[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)

    def flux(self, normals: np.ndarray) -> np.ndarray:
        """<|w.n|> for normals (m, 2), shape (m,)."""
        return np.full(len(normals), 0.5)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Maze:
    """The cells of a device and what is behind their edges.

    Attributes:
        vertices: Counter-clockwise, shape (c, 3, 2).
        behind: Behind each edge 3 cell + edge, or -1 - facet, shape (c, 3).
        bent: Number of the curved edges of a cell, or -1, shape (c,).
        controls: Control points of Bernstein polynomials, shape (bent, 3, degree + 1, 2).
        nodes: Geometry nodes of each cell, shape (c, g, 2).
        element: Their basis functions, on the reference cell.
        region: Of each cell, shape (c,).
        own: Numbers of the cells of this rank.
        area: Of each cell, shape (c,).
        facet: Cell and edge of each boundary facet, shape (f, 2).
        boundary: Index of its boundary, shape (f,).
        piece: Index of its piece, shape (f,).
    """

    vertices: np.ndarray
    behind: np.ndarray
    bent: np.ndarray
    controls: np.ndarray
    nodes: np.ndarray
    element: Any
    region: np.ndarray
    own: np.ndarray
    area: np.ndarray
    facet: np.ndarray
    boundary: np.ndarray
    piece: np.ndarray

    @property
    def degree(self) -> int:
        """Of the curved edges."""
        return self.controls.shape[2] - 1

    def edges(self, cell: np.ndarray, edge: np.ndarray) -> np.ndarray:
        """Control points of edges, shape (m, degree + 1, 2); straight ones as well."""
        ends = self.vertices[cell[:, None], ENDS[edge]]
        s = np.linspace(0, 1, self.degree + 1)[:, None]
        out = ends[:, :1] * (1 - s) + ends[:, 1:] * s
        curved = self.bent[cell] >= 0
        out[curved] = self.controls[self.bent[cell[curved]], edge[curved]]
        return out

    @property
    def centers(self) -> np.ndarray:
        """Of the vertices of each cell, shape (c, 2)."""
        return np.asarray(self.vertices.mean(axis=1))

    def positions(self, cell: np.ndarray, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Positions (m, 2) and Jacobians (m, i, a) at one reference point (m, 2) of each cell."""
        table = self.element.tabulate(1, np.ascontiguousarray(at))[:, :, :, 0]
        value, *slopes = ((part[:, None] @ self.nodes[cell])[:, 0] for part in table)
        return value, np.stack(slopes, axis=2)


def bernstein(degree: int, s: np.ndarray) -> np.ndarray:
    """Bernstein polynomials of some degree at places of shape (m,), shape (m, degree + 1)."""
    i, s = np.arange(degree + 1), np.asarray(s)[:, None]
    return np.asarray(comb(degree, i) * s**i * (1 - s) ** (degree - i))


def along(control: np.ndarray, s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points of curves, one place on each, and derivatives there, shape (m, 2) each."""
    degree = control.shape[1] - 1
    slope = degree * np.diff(control, axis=1)
    weights = bernstein(degree, s), bernstein(degree - 1, s)
    points, slopes = (
        (w[:, None] @ c)[:, 0] for w, c in zip(weights, (control, slope), strict=True)
    )
    return points, slopes


def maze_of(device: Device) -> Maze:
    """The cells of all ranks, on every rank."""
    cells, comm, topology = cells_of(device), device.comm, device.mesh.topology
    original = np.asarray(topology.original_cell_index)[: cells.count]
    corner = topology.connectivity(2, 0).array.reshape(-1, 3)[: cells.count]
    corner = topology.index_map(0).local_to_global(corner.ravel()).reshape(-1, 3)
    number, corner, region, nodes, affine = (
        concatenated(comm, part)
        for part in (original, corner, device.cell_region, cells.nodes, cells.affine)
    )
    order = np.argsort(number)
    corner, region, nodes, affine = (x[order] for x in (corner, region, nodes, affine))
    # Counter-clockwise: the second and the third vertex of others change places.
    first, second = nodes[:, 1] - nodes[:, 0], nodes[:, 2] - nodes[:, 0]
    mirrored = first[:, 0] * second[:, 1] < first[:, 1] * second[:, 0]
    turn = np.where(mirrored[:, None], [0, 2, 1], [0, 1, 2])
    corner = np.take_along_axis(corner, turn, axis=1)
    vertices = np.take_along_axis(nodes, turn[:, :, None], axis=1)

    facets = device.facets
    parts = (original[facets.cell], facets.local, facets.boundary, facets.piece)
    cell, local, boundary, piece = (concatenated(comm, part) for part in parts)
    cell = np.searchsorted(number[order], cell)
    local = turn[cell, local]
    sort = np.lexsort((local, cell))
    facet = np.column_stack([cell, local])[sort]
    behind = _behind(corner, facet)
    bent, controls = _curves(cells, nodes, vertices, turn, affine, behind)
    points, weights = quadrature(2, max(1, 2 * (cells.degree - 1)))
    table = cells.element.tabulate(1, points)[1:, :, :, 0]
    dx, dy = (part @ nodes for part in table)
    area = np.abs(dx[..., 0] * dy[..., 1] - dx[..., 1] * dy[..., 0]) @ weights
    return Maze(
        vertices=vertices,
        behind=behind,
        bent=bent,
        controls=controls,
        nodes=nodes,
        element=cells.element,
        region=region,
        own=np.searchsorted(number[order], original),
        area=area,
        facet=facet,
        boundary=boundary[sort],
        piece=piece[sort],
    )


def _behind(corner: np.ndarray, facet: np.ndarray) -> np.ndarray:
    """What is behind the edges of cells with these vertices."""
    pairs = np.sort(corner[:, ENDS].reshape(-1, 2), axis=1)
    order = np.lexsort(pairs.T)
    twin = (pairs[order[1:]] == pairs[order[:-1]]).all(axis=1)
    one, two = order[:-1][twin], order[1:][twin]
    out = np.full(len(pairs), np.iinfo(np.int32).min)
    out[one], out[two] = two, one
    out[3 * facet[:, 0] + facet[:, 1]] = -1 - np.arange(len(facet))
    assert (out > np.iinfo(np.int32).min).all()
    return out.reshape(-1, 3)


def _curves(
    cells: Any,
    nodes: np.ndarray,
    vertices: np.ndarray,
    turn: np.ndarray,
    affine: np.ndarray,
    behind: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Which cells have curved edges, and their control points, the same from both sides."""
    degree, curved = cells.degree, np.flatnonzero(~affine)
    bent = np.full(len(nodes), -1)
    bent[curved] = np.arange(len(curved))
    s = np.linspace(0, 1, degree + 1)
    reference = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    inverse = np.linalg.inv(bernstein(degree, s))
    controls = np.empty((len(curved), 3, degree + 1, 2))
    for e, (a, b) in enumerate(ENDS):
        straight = (1 - s)[:, None] * vertices[curved][:, None, a] + s[:, None] * vertices[curved][
            :, None, b
        ]
        found = straight.copy()
        for mirrored in (False, True):
            swap = [0, 2, 1] if mirrored else [0, 1, 2]
            here = (turn[curved, 1] == 2) == mirrored
            at = (1 - s)[:, None] * reference[swap[a]] + s[:, None] * reference[swap[b]]
            found[here] = cells.element.tabulate(0, at)[0, :, :, 0] @ nodes[curved[here]]
        size = np.linalg.norm(straight[:, -1] - straight[:, 0], axis=1)
        bends = np.abs(found - straight).max(axis=(1, 2)) > _STRAIGHT * size
        controls[:, e] = np.where(bends[:, None, None], inverse @ found, straight)
        controls[:, e, 0], controls[:, e, -1] = straight[:, 0], straight[:, -1]
    for cell in curved:
        for e in range(3):
            other, edge = divmod(int(behind[cell, e]), 3)
            if other > cell and bent[other] >= 0:
                controls[bent[other], edge] = controls[bent[cell], e, ::-1]
    return bent, controls


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Facets:
    """What happens at boundary facets: the arguments of the kernel."""

    kinds: np.ndarray
    specularity: np.ndarray
    twins: np.ndarray
    shifts: np.ndarray
    pair: np.ndarray
    signs: np.ndarray


def facets_of(device: Device, maze: Maze, boundaries: Mapping[str, Boundary]) -> Facets:
    """What the boundaries of a device do; of periodic pairs the second continues in the first."""
    count, extent = len(maze.facet), device.extent
    out = Facets(
        kinds=np.zeros(count, np.int32),
        specularity=np.zeros(count),
        twins=np.zeros(count, np.int32),
        shifts=np.zeros((count, 2)),
        pair=np.zeros(count, np.int32),
        signs=np.zeros(count, np.int32),
    )
    names = np.array(device.boundaries)[maze.boundary]
    for name, law in boundaries.items():
        here = names == name
        if isinstance(law, Wall):
            out.kinds[here] = 1
            out.specularity[here] = 1.0 if law.specularity is None else law.specularity
    space, pairs = lagrange(device, 1), periodic_pairs(boundaries)
    twin_nodes(device, space, pairs)  # refuses meshes that do not match
    middle = maze.vertices[maze.facet[:, :1], ENDS[maze.facet[:, 1]]].mean(axis=1)
    for number, (first, second) in enumerate(pairs):
        shift = translation(device, space, (first, second)) / extent
        one, two = np.flatnonzero(names == first), np.flatnonzero(names == second)
        _, at = cKDTree(middle[two]).query(middle[one] + shift)
        for here, there, sign in ((one, two[at], -1), (two[at], one, 1)):
            out.kinds[here], out.pair[here], out.signs[here] = 2, number, sign
            out.twins[here] = 3 * maze.facet[there, 0] + maze.facet[there, 1]
            out.shifts[here] = -sign * shift
    return out


@dataclass(slots=True, kw_only=True, eq=False)
class Swarm:
    """Particles: places and directions (n, 4), where they come from (n, 2), weights (n, pairs).

    On a Fermi line that is no circle their phases on it, (n,), tell directions and speeds; on a
    sphere they are their speeds in the plane.
    """

    places: np.ndarray
    where: np.ndarray
    weights: np.ndarray
    phases: np.ndarray | None = None
    products: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        count, pairs = self.weights.shape
        self.places = np.ascontiguousarray(self.places, dtype=float)
        self.where = np.ascontiguousarray(self.where, dtype=np.int32)
        self.weights = np.ascontiguousarray(self.weights, dtype=float)
        self.products = np.zeros((count, pairs, pairs))
        if self.phases is None:
            self.phases = np.zeros(count)

    @property
    def facet(self) -> np.ndarray:
        """Facets where they were absorbed, shape (n,)."""
        return -1 - self.where[:, 0]


class Tracer:
    """Traces particles through a maze.

    Args:
        maze: The cells.
        facets: What happens at its boundary.
        carriers: What happens in each region.
        extent: Size of the device, m.
        offsets: What weights are counted from in tallies, shape (c, pairs).
        line: Fermi line or sphere, if it is no circle.
        backwards: True to trace paths against the motion: those of the opposite field.
    """

    def __init__(
        self,
        maze: Maze,
        facets: Facets,
        carriers: Sequence[Carriers],
        extent: float,
        offsets: np.ndarray,
        *,
        line: Phases | Sphere | None = None,
        backwards: bool = False,
    ) -> None:
        self.offsets, self._trace = offsets, kernel().trace
        terms = max(len(each.series) for each in carriers)
        series = np.zeros((len(carriers), terms))
        for row, each in zip(series, carriers, strict=True):
            row[: len(each.series)] = each.series
        turning = -1.0 if backwards else 1.0
        rates, curvatures = (
            np.array([getattr(each, key) * extent * sign for each in carriers])[maze.region]
            for key, sign in (("rate", 1.0), ("curvature", turning))
        )
        # A little above the largest value that was looked at; a rejection at most is too rare.
        highest = np.array([each.density.max() * 1.001 for each in carriers])
        self._kept: list[np.ndarray] = []
        self._mesh = [
            *(self._pointer(maze.vertices, "double"), self._pointer(maze.behind, "int32_t")),
            *(self._pointer(maze.bent, "int32_t"), self._pointer(rates, "double")),
            *(self._pointer(curvatures, "double"), self._pointer(maze.region, "int32_t")),
            *(self._pointer(offsets, "double"), self._pointer(maze.controls, "double")),
            *(maze.degree, self._pointer(series, "double"), terms),
            *(self._pointer(highest, "double"), self._pointer(facets.kinds, "int32_t")),
            *(self._pointer(facets.specularity, "double"), self._pointer(facets.twins, "int32_t")),
            *(self._pointer(facets.shifts, "double"), self._pointer(facets.pair, "int32_t")),
            self._pointer(facets.signs, "int32_t"),
        ]
        self._line = (ffi.NULL, 0, int(isinstance(line, Sphere)))
        if isinstance(line, Phases):
            rows = np.append(np.vstack([line.rows, line.rows[:1]]), line.fastest)
            self._line = (self._pointer(rows, "double"), len(line.rows), 0)

    def _pointer(self, array: np.ndarray, kind: str) -> Any:
        kept = np.ascontiguousarray(array, dtype=kind.removesuffix("_t"))
        self._kept.append(kept)
        return ffi.from_buffer(f"{kind}[]", kept)

    def __call__(
        self, swarm: Swarm, key: int, *, length: float = 1e300, tally: np.ndarray | None = None
    ) -> int:
        """Move particles until they are absorbed, or for a length; returns the steps it took.

        Args:
            swarm: The particles, which move.
            key: Of their streams of random numbers.
            length: Over the size of the device, at unit speed.
            tally: Added to, int64 of shape (c, 1 + pairs, 3).

        Raises:
            ConvergenceError: A particle that does not find a contact.
        """
        counts, pairs = np.zeros(2, np.int64), self.offsets.shape[1]
        assert tally is None or (tally.dtype == np.int64 and tally.flags.c_contiguous)
        out = [
            ffi.from_buffer(f"{kind}[]", array, require_writable=True)
            for kind, array in (
                ("double", swarm.places),
                ("double", swarm.phases),
                ("int32_t", swarm.where),
                ("double", swarm.weights),
                ("double", swarm.products),
            )
        ]
        sums = ffi.NULL if tally is None else ffi.from_buffer("int64_t[]", tally)
        failed = self._trace(
            *(len(swarm.places), key, 0, length, _MOST),
            *self._mesh,
            pairs,
            *self._line,
            *out,
            sums,
            UNIT,
            ffi.from_buffer("int64_t[]", counts),
        )
        if failed:
            raise ConvergenceError(f"a particle finds no contact within {_MOST:g} steps")
        return int(counts[0])
