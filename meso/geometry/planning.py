"""What rank 0 makes of a drawing: plain arrays, from which every rank builds its device."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from meso.errors import GeometryError
from meso.geometry import formats
from meso.geometry.curving import EDGES, EDGES_3D, curved_cells, smallest_determinant
from meso.geometry.pieces import FACETS, Boundary, Piece, joined
from meso.geometry.planar import measures, row_keys
from meso.geometry.simplices import Drawing

CELL = {2: "triangle", 3: "tetrahedron"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What rank 0 tells all ranks about the device; lengths in metres.

    The names are those of :class:`meso.device.Device`; ``facet_...`` are the entries of its
    ``facets``, with numbers of cells as in ``nodes``.
    """

    dimension: int
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
    measure: float
    smallest_cell: float
    cell_data: dict[str, np.ndarray] = field(default_factory=dict)


def plan_of(drawing: Drawing, path: Path, unit: float) -> Plan:
    """Boundary facets, smooth pieces and islands of a meshed drawing.

    Args:
        drawing: The drawing, in the unit of its file.
        path: Its file, for messages.
        unit: Metres per unit.

    Returns:
        Plain arrays for :class:`meso.device.Device`.

    Raises:
        GeometryError: Boundary facets without a name, inverted curved cells.
    """
    dimension, cells, count = drawing.dimension, drawing.cells, len(drawing.points)
    points, nodes = curved_cells(drawing)
    _check_cells(points, nodes, drawing, path)
    points = points * unit

    facet, name = _boundary_facets(drawing, path)
    used = np.unique(name)
    boundaries = tuple(drawing.boundaries[i] for i in used)
    name = np.searchsorted(used, name)
    cell, local = facet // (dimension + 1), facet % (dimension + 1)
    whole = joined(
        Boundary(
            points=points,
            nodes=nodes[cell],
            local=local,
            degree=drawing.degree,
            name=name,
            names=boundaries,
            corners=drawing.corners,
            path=path,
        )
    )
    vertex = cells[cell, np.array(FACETS[dimension])[local, 0]]
    return Plan(
        dimension=dimension,
        degree=drawing.degree,
        points=points,
        nodes=nodes,
        regions=drawing.regions,
        boundaries=boundaries,
        interfaces=_interfaces(drawing, boundaries),
        cell_region=drawing.cell_region.astype(np.int32),
        facet_cell=cell,
        facet_local=local,
        facet_boundary=name,
        facet_piece=whole.piece,
        facet_start=whole.start,
        facet_order=whole.order,
        pieces=whole.pieces,
        islands=_islands(cells, count, vertex, name, boundaries),
        extent=float(np.ptp(drawing.points, axis=0).max() * unit),
        measure=whole.measure,
        smallest_cell=_shortest_edge(drawing) * unit,
        cell_data=dict(drawing.cell_data),
    )


def _boundary_facets(drawing: Drawing, path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Facets with one cell (cell * (d + 1) + local) and the index of their names."""
    cells, sides = drawing.cells, np.array(FACETS[drawing.dimension])
    vertices = cells[:, sides].reshape(-1, drawing.dimension)
    keys = row_keys(np.concatenate([vertices, drawing.facets]), len(drawing.points))
    own, named = keys[: len(vertices)], keys[len(vertices) :]
    unique, first, inverse, times = np.unique(
        own, return_index=True, return_inverse=True, return_counts=True
    )
    wanted, facet = unique[times == 1], first[times == 1]
    if (times > 2).any():
        place = drawing.points[vertices[first[times > 2][0]]].mean(axis=0)
        raise GeometryError(
            f"{path}: more than two cells share the facet near {_place(place)}; the parts of the"
            " conductor overlap"
        )
    _check_folds(drawing, vertices, np.flatnonzero(times == 2), first, inverse, path)
    order = np.argsort(named, kind="stable")
    at = np.searchsorted(named[order], wanted).clip(max=max(len(named) - 1, 0))
    known = named[order][at] == wanted if len(named) else np.zeros(len(facet), bool)
    if not known.all():
        middle = drawing.points[vertices[facet[~known]]].mean(axis=1)
        facets, kind, example = {
            2: ("edges", "curve", "edge of the conductor needs a name: Physical Curve"),
            3: ("facets", "surface", "surface of the conductor needs a name: Physical Surface"),
        }[drawing.dimension]
        advice = f'every {example}("walls") = {{...}};'
        if path.suffix.lower() in formats.IMPORTED:
            what = "lines" if drawing.dimension == 2 else "triangles"
            kind = f"set of {what} or nodes"
            names = ", ".join(drawing.boundaries) or "none"
            advice = f"put all of them into such sets; the file has {names}"
        else:
            kind = f"physical {kind}"
        raise GeometryError(
            f"{path}: {(~known).sum()} boundary {facets} belong to no {kind}, the first"
            f" near {_place(middle[0])}, on average near {_place(middle.mean(axis=0))}; {advice}"
        )
    return facet, drawing.facet_boundary[order][at]


def _check_folds(
    drawing: Drawing,
    vertices: np.ndarray,
    shared: np.ndarray,
    first: np.ndarray,
    inverse: np.ndarray,
    path: Path,
) -> None:
    """Raise a GeometryError if two cells lie on the same side of the facet that they share.

    Args:
        drawing: The drawing.
        vertices: Of each facet of each cell, shape (c (d + 1), d).
        shared: Numbers of the facets of two cells.
        first: Of each facet, its first row in ``vertices``.
        inverse: Number of the facet of each row.
        path: The file, for messages.
    """
    d = drawing.dimension
    simplices = np.column_stack([np.sort(vertices, axis=1), drawing.cells.ravel()])
    side = np.sign(measures(drawing.points[:, :d], simplices))
    both = np.bincount(inverse, side, len(first))[shared]
    if both.any():
        place = drawing.points[vertices[first[shared[np.flatnonzero(both)[0]]]]].mean(axis=0)
        raise GeometryError(
            f"{path}: the mesh folds over: the two cells at the facet near {_place(place)} lie on"
            " the same side of it, or one of them is flat; mesh the drawing anew"
        )


def _interfaces(drawing: Drawing, boundaries: tuple[str, ...]) -> tuple[str, ...]:
    """Names that only facets inside the conductor have."""
    present = (drawing.boundaries[i] for i in np.unique(drawing.facet_boundary))
    return tuple(name for name in present if name not in boundaries)


def _place(point: np.ndarray) -> str:
    return "(" + ", ".join(f"{x:.6g}" for x in point) + ")"


def _check_cells(points: np.ndarray, nodes: np.ndarray, drawing: Drawing, path: Path) -> None:
    """Raise a GeometryError if a curved cell folds over."""
    if drawing.degree == 1:
        return
    bad = np.flatnonzero(smallest_determinant(drawing, points, nodes) <= 0)
    if len(bad):
        place = _place(drawing.points[drawing.cells[bad[0]]].mean(axis=0))
        raise GeometryError(
            f"{path}: {len(bad)} curved cells fold over, the first near {place}; set a smaller"
            " mesh.size or mesh.wall_size, or geometry_order = 1"
        )


def _shortest_edge(drawing: Drawing) -> float:
    shortest = np.inf
    for a, b in EDGES if drawing.dimension == 2 else EDGES_3D:
        edge = drawing.points[drawing.cells[:, b]] - drawing.points[drawing.cells[:, a]]
        shortest = min(shortest, float(np.sqrt((edge**2).sum(axis=1).min())))
    return shortest


def _islands(
    cells: np.ndarray, count: int, vertex: np.ndarray, boundary: np.ndarray, names: tuple[str, ...]
) -> tuple[tuple[str, ...], ...]:
    """Names of the boundaries of every connected part of the conductor."""
    rows, columns = cells[:, :-1].ravel(), cells[:, 1:].ravel()
    graph = coo_matrix((np.ones(len(rows)), (rows, columns)), shape=(count, count))
    number, label = connected_components(graph, directed=False)
    return tuple(
        tuple(names[b] for b in np.unique(boundary[label[vertex] == i])) for i in range(number)
    )
