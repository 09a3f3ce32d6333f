"""The device: a mesh in metres whose regions and boundaries carry the names of the drawing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import dolfinx
import numpy as np
from mpi4py import MPI
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from meso import _compat, drawing, sizing
from meso.curving import EDGES, curved_cells
from meso.drawing import Drawing
from meso.errors import GeometryError
from meso.mpi import on_root
from meso.planar import cross
from meso.units import quantity

# A boundary vertex is a corner where the tangent turns by more than this (degrees): at points of
# the drawing, and anywhere (vertices of a polygon that stands for a curve are no corners).
_CORNER_AT_POINT = 5.0
_CORNER_ANYWHERE = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A smooth stretch of a named boundary, between corners.

    Attributes:
        boundary: Name of the boundary it belongs to.
        measure: Its length, m (its area, m^2, in 3D).
        closed: True for a closed curve.
    """

    boundary: str
    measure: float
    closed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Facets:
    """The boundary facets of this rank's cells, one entry each.

    Attributes:
        cell: Local cell.
        local: Number of the facet in its cell.
        boundary: Index into ``Device.boundaries``.
        piece: Index into ``Device.pieces``.
        start: Arc length at the beginning of the facet, m, counted along its piece with the
            conductor on the left.
        order: Position of the facet in its piece.
    """

    cell: np.ndarray
    local: np.ndarray
    boundary: np.ndarray
    piece: np.ndarray
    start: np.ndarray
    order: np.ndarray

    def of(self, selected: np.ndarray) -> Facets:
        """The facets where the mask ``selected`` holds."""
        return Facets(**{name: getattr(self, name)[selected] for name in self.__slots__})


@dataclass(frozen=True, kw_only=True, eq=False)
class Device:
    """A conductor: mesh, regions and boundaries by name.

    Attributes:
        mesh: DOLFINx mesh, coordinates in metres.
        regions: Names of the regions.
        boundaries: Names of the boundaries.
        interfaces: Named curves that lie inside the conductor.
        cell_region: Index into ``regions`` of each cell of this rank.
        facets: Boundary facets of this rank.
        pieces: Smooth stretches of the boundaries.
        islands: Names of the boundaries of each connected part of the conductor.
        length_unit: Metres per unit of the drawing.
        extent: Largest side of the bounding box, m.
        measure: Area, m^2.
        smallest_cell: Shortest edge of the mesh, m.
        cells: Number of cells of all ranks.
        source: File the device was read from.
    """

    mesh: Any
    regions: tuple[str, ...]
    boundaries: tuple[str, ...]
    interfaces: tuple[str, ...]
    cell_region: np.ndarray
    facets: Facets
    pieces: tuple[Piece, ...]
    islands: tuple[tuple[str, ...], ...]
    length_unit: float
    extent: float
    measure: float
    smallest_cell: float
    cells: int
    source: Path
    cache: dict[Any, Any] = field(default_factory=dict, repr=False)

    @property
    def comm(self) -> MPI.Comm:
        """Communicator of the mesh."""
        return self.mesh.comm

    @property
    def dimension(self) -> int:
        """Topological dimension of the mesh."""
        return self.mesh.topology.dim

    @classmethod
    def from_gmsh(
        cls,
        path: str | Path,
        *,
        length_unit: str | float,
        parameters: Mapping[str, float] | None = None,
        order: int = 4,
        size: str | float | None = None,
        layers: Mapping[str, sizing.Layer] | None = None,
        interface: sizing.Layer | None = None,
        coarsen: bool = True,
        known_only: bool = False,
        geometry_order: int = 4,
        comm: MPI.Comm = MPI.COMM_WORLD,
    ) -> Device:
        """Read a drawing (``.geo``, meshed here) or a mesh (``.msh``) with its names.

        Args:
            path: The file.
            length_unit: Unit of its coordinates ("nm"), or metres per unit.
            parameters: Variables of a ``.geo`` file to set, in the unit of the file.
            order: Polynomial degree of the fields that the mesh is made for.
            size: Largest cell size ("10 nm", or metres); by default a fraction of the local
                channel width. Not for mesh files.
            layers: Cell sizes at boundaries, by name, lengths in metres. Not for mesh files.
            interface: The same on both sides of the curves between regions.
            coarsen: True if layers may be coarsened where they would take too many cells.
            known_only: True to leave out layers at boundaries that the drawing does not have.
            geometry_order: Degree of curved cells, for ``.geo`` files; even degrees, two above
                that of the field at most, keep the order of the field at curved walls.
            comm: Communicator; rank 0 reads and meshes.

        Returns:
            The device.

        Raises:
            GeometryError: A file that cannot be read or meshed; missing names; boundary edges
                without a name; a 3D mesh.
        """
        unit = (
            length_unit
            if isinstance(length_unit, float)
            else quantity(f"1 {length_unit}", "m", where="length_unit")
        )
        sizes = sizing.Sizes(
            order=order,
            bulk=None if size is None else quantity(size, "m", where="size") / unit,
            layers={name: layer.over(unit) for name, layer in (layers or {}).items()},
            interface=interface.over(unit) if interface else None,
            coarsen=coarsen,
            known_only=known_only,
        )
        path = Path(path)
        plan = on_root(
            comm, lambda: _plan(path, dict(parameters or {}), sizes, geometry_order, unit)
        )
        return cls._distribute(plan, unit, path, comm)

    @classmethod
    def _distribute(cls, plan: _Plan, unit: float, path: Path, comm: MPI.Comm) -> Device:
        element = _compat.coordinate_element("triangle", plan.degree, 2)
        if comm.rank == 0:
            nodes, points = plan.nodes, plan.points
        else:
            nodes, points = plan.nodes[:0], plan.points[:0]
        mesh = dolfinx.mesh.create_mesh(comm, nodes, x=points, e=element)
        mesh.name = path.stem
        local = mesh.topology.index_map(2).size_local
        original = np.asarray(mesh.topology.original_cell_index)[:local]
        where = np.full(len(plan.cell_region), -1)
        where[original] = np.arange(local)
        mine = where[plan.facet_cell] >= 0
        return cls(
            mesh=mesh,
            regions=plan.regions,
            boundaries=plan.boundaries,
            interfaces=plan.interfaces,
            cell_region=plan.cell_region[original],
            facets=Facets(
                cell=where[plan.facet_cell[mine]],
                local=plan.facet_local[mine],
                boundary=plan.facet_boundary[mine],
                piece=plan.facet_piece[mine],
                start=plan.facet_start[mine],
                order=plan.facet_order[mine],
            ),
            pieces=plan.pieces,
            islands=plan.islands,
            length_unit=unit,
            extent=plan.extent,
            measure=plan.area,
            smallest_cell=plan.smallest_cell,
            cells=len(plan.cell_region),
            source=path,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """What rank 0 tells all ranks about the device; lengths in metres."""

    degree: int
    points: np.ndarray
    nodes: np.ndarray
    regions: tuple[str, ...]
    boundaries: tuple[str, ...]
    interfaces: tuple[str, ...]
    cell_region: np.ndarray
    facet_cell: np.ndarray
    facet_local: np.ndarray
    facet_boundary: np.ndarray
    facet_piece: np.ndarray
    facet_start: np.ndarray
    facet_order: np.ndarray
    pieces: tuple[Piece, ...]
    islands: tuple[tuple[str, ...], ...]
    extent: float
    area: float
    smallest_cell: float


def _plan(
    path: Path, parameters: dict[str, float], sizes: sizing.Sizes, order: int, unit: float
) -> _Plan:
    if path.suffix == ".msh":
        if parameters:
            raise GeometryError(f"{path}: parameters are for .geo drawings, not for a mesh")
        with drawing.gmsh_session():
            drawing.open_mesh(path)
            return plan_of(drawing.extract(path, None), path, unit)
    if path.suffix != ".geo":
        raise GeometryError(f"{path}: found '{path.suffix}', meso reads .geo and .msh files")
    stretched = True
    while True:
        try:
            with drawing.gmsh_session():
                drawing.open_geo(path, parameters)
                drawing.check_plane(path)
                sizing.check_names(path, sizes)
                stretched = sizing.mesh_drawing(path, replace(sizes, stretched=stretched))
                return plan_of(drawing.extract(path, order), path, unit)
        except GeometryError:
            # Layers of flat cells do not fit into every shape.
            if not stretched or not sizes.layers:
                raise
            stretched = False


def plan_of(plane: Drawing, path: Path, unit: float) -> _Plan:
    """Boundary facets, smooth pieces and islands of a triangulated drawing.

    Args:
        plane: The drawing, in the unit of its file.
        path: Its file, for messages.
        unit: Metres per unit.

    Returns:
        Plain arrays for :class:`Device`.

    Raises:
        GeometryError: Boundary edges without a name, inverted curved cells.
    """
    points, nodes = curved_cells(plane)
    _check_cells(points, nodes, plane.degree, path)
    points = points * unit
    count = len(plane.points)
    cells = plane.cells

    pairs = np.stack([cells[:, list(e)] for e in EDGES], axis=1).reshape(-1, 2)
    key = pairs.min(axis=1) * count + pairs.max(axis=1)
    unique, first, times = np.unique(key, return_index=True, return_counts=True)
    boundary_key, facet = unique[times == 1], first[times == 1]
    named = (
        plane.edges.min(axis=1) * count + plane.edges.max(axis=1)
        if len(plane.edges)
        else (np.empty(0, np.int64))
    )
    order = np.argsort(named, kind="stable")
    at = np.searchsorted(named[order], boundary_key).clip(max=max(len(named) - 1, 0))
    known = named[order][at] == boundary_key if len(named) else np.zeros(len(facet), bool)
    if not known.all():
        place = plane.points[pairs[facet[~known]]].mean(axis=(0, 1))
        one = plane.points[pairs[facet[~known][0]]].mean(axis=0)
        raise GeometryError(
            f"{path}: {(~known).sum()} boundary edges belong to no physical curve, the first near"
            f" ({one[0]:.6g}, {one[1]:.6g}), on average near ({place[0]:.6g}, {place[1]:.6g});"
            ' every edge of the conductor needs a name: Physical Curve("edges") = {...};'
        )
    facet_boundary = plane.edge_boundary[order][at]
    used = np.unique(facet_boundary)
    boundaries = tuple(plane.boundaries[i] for i in used)
    interfaces = tuple(n for n in plane.boundaries if n not in boundaries)
    facet_boundary = np.searchsorted(used, facet_boundary)

    cell, local = facet // 3, facet % 3
    geometry = _FacetGeometry.of(points, nodes[cell], local, plane.degree, path)
    start, end = geometry.ends
    piece, position, arc, pieces = _pieces(
        start, end, geometry, facet_boundary, boundaries, set(map(int, plane.corners))
    )
    islands = _islands(cells, count, start, facet_boundary, boundaries)
    edge = plane.points[pairs[:, 1]] - plane.points[pairs[:, 0]]
    return _Plan(
        degree=plane.degree,
        points=points,
        nodes=nodes,
        regions=plane.regions,
        boundaries=boundaries,
        interfaces=interfaces,
        cell_region=plane.cell_region.astype(np.int32),
        facet_cell=cell,
        facet_local=local,
        facet_boundary=facet_boundary,
        facet_piece=piece,
        facet_start=arc,
        facet_order=position,
        pieces=pieces,
        islands=islands,
        extent=float(np.ptp(plane.points, axis=0).max() * unit),
        area=geometry.area,
        smallest_cell=float(np.linalg.norm(edge, axis=1).min() * unit),
    )


def _check_cells(points: np.ndarray, nodes: np.ndarray, degree: int, path: Path) -> None:
    """Raise a GeometryError if a curved cell folds over."""
    if degree == 1:
        return
    element = _compat.scalar_element("triangle", degree)
    table = element.tabulate(1, element.points)[1:, :, :, 0]
    for start in range(0, len(nodes), 20_000):
        x = points[nodes[start : start + 20_000]]
        bad = (cross(table[0] @ x, table[1] @ x) <= 0).any(axis=1)
        if bad.any():
            at = x[bad][0].mean(axis=0)
            raise GeometryError(
                f"{path}: {bad.sum()} curved cells fold over, the first near ({at[0]:.6g},"
                f" {at[1]:.6g}); set a smaller mesh.size or mesh.wall_size, or geometry_order = 1"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class _FacetGeometry:
    ends: tuple[np.ndarray, np.ndarray]  # vertices, conductor on the left
    first: np.ndarray  # unit tangents at the two ends
    last: np.ndarray
    length: np.ndarray
    area: float  # enclosed by all of them, by Green's theorem

    @classmethod
    def of(
        cls, points: np.ndarray, nodes: np.ndarray, local: np.ndarray, degree: int, path: Path
    ) -> _FacetGeometry:
        """Tangents and lengths of boundary facets, from the nodes of their cells."""
        inner, weight = np.polynomial.legendre.leggauss(degree + 4)
        s = np.concatenate([[0.0], (inner + 1) / 2, [1.0]])
        # Counter-clockwise: 1 -> 2, 2 -> 0, 0 -> 1.
        begin, finish = np.array([1, 2, 0]), np.array([2, 0, 1])
        corner = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
        element = _compat.scalar_element("triangle", degree)
        tangents = np.empty((len(local), len(s), 2))
        positions = np.empty_like(tangents)
        for i in range(3):
            here = local == i
            along = corner[finish[i]] - corner[begin[i]]
            at = corner[begin[i]] + s[:, None] * along
            table = element.tabulate(1, at)[:, :, :, 0]
            shape = np.einsum("dqn,d->qn", table[1:], along)
            positions[here] = table[0] @ points[nodes[here]]
            tangents[here] = shape @ points[nodes[here]]
        speed = np.linalg.norm(tangents, axis=2)
        if not (speed > 0).all():
            raise GeometryError(f"{path}: a boundary cell is degenerate")
        unit = tangents / speed[:, :, None]
        return cls(
            ends=(
                nodes[np.arange(len(local)), begin[local]],
                nodes[np.arange(len(local)), finish[local]],
            ),
            first=unit[:, 0],
            last=unit[:, -1],
            length=speed[:, 1:-1] @ (weight / 2),
            area=float((cross(positions, tangents)[:, 1:-1] @ (weight / 4)).sum()),
        )


def _pieces(
    start: np.ndarray,
    end: np.ndarray,
    geometry: _FacetGeometry,
    boundary: np.ndarray,
    names: tuple[str, ...],
    corners: set[int],
) -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[Piece, ...]]:
    """Chain the facets of each boundary into smooth pieces, in order along the boundary."""
    follower: dict[int, int] = {}
    for i, vertex in enumerate(map(int, start)):
        # A vertex where four boundary edges meet (two cells touch in a point) ends every chain.
        follower[vertex] = -1 if vertex in follower else i
    following = np.full(len(start), -1)
    for i, vertex in enumerate(map(int, end)):
        j = follower.get(vertex, -1)
        if j < 0 or boundary[j] != boundary[i]:
            continue
        turn = np.arccos(np.clip(geometry.last[i] @ geometry.first[j], -1, 1))
        limit = _CORNER_AT_POINT if vertex in corners else _CORNER_ANYWHERE
        if np.rad2deg(turn) <= limit:
            following[i] = j
    has_previous = np.zeros(len(start), bool)
    has_previous[following[following >= 0]] = True

    piece = np.full(len(start), -1)
    position = np.zeros(len(start), dtype=np.int64)
    arc = np.zeros(len(start))
    pieces: list[Piece] = []
    open_heads = [int(i) for i in np.flatnonzero(~has_previous)]
    for closed, heads in ((False, open_heads), (True, list(range(len(start))))):
        for head in heads:
            if piece[head] >= 0:
                continue
            i, length, step = head, 0.0, 0
            while i >= 0 and piece[i] < 0:
                piece[i], position[i], arc[i] = len(pieces), step, length
                length += geometry.length[i]
                step += 1
                i = int(following[i])
            pieces.append(
                Piece(boundary=names[boundary[head]], measure=float(length), closed=closed)
            )
    return piece, position, arc, tuple(pieces)


def _islands(
    cells: np.ndarray, count: int, vertex: np.ndarray, boundary: np.ndarray, names: tuple[str, ...]
) -> tuple[tuple[str, ...], ...]:
    """Names of the boundaries of every connected part of the conductor."""
    rows = np.concatenate([cells[:, 0], cells[:, 1]])
    columns = np.concatenate([cells[:, 1], cells[:, 2]])
    graph = coo_matrix((np.ones(len(rows)), (rows, columns)), shape=(count, count))
    number, label = connected_components(graph, directed=False)
    return tuple(
        tuple(names[b] for b in np.unique(boundary[label[vertex] == i])) for i in range(number)
    )
