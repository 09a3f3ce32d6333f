"""What rank 0 makes of a drawing: plain arrays, from which every rank builds its device."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from meso.errors import GeometryError
from meso.geometry import formats
from meso.geometry.curving import EDGES, curved_cells, smallest_determinant
from meso.geometry.pieces import Boundary, Facets
from meso.geometry.simplices import FACETS, Drawing, components, measures, positions, row_keys


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What rank 0 tells all ranks about the device; lengths in metres."""

    degree: int
    points: np.ndarray
    nodes: np.ndarray  # of the cells, in Basix order
    cell_region: np.ndarray
    cell_data: dict[str, np.ndarray]
    facets: Facets
    parts: dict[str, Any]  # names, pieces and measures, by their names in the device

    @property
    def dimension(self) -> int:
        """2 or 3."""
        return self.points.shape[1]


def plan_of(drawing: Drawing, path: Path, unit: float) -> Plan:
    """Boundary facets, smooth pieces and islands of a meshed drawing, whose unit is in metres.

    Raises a GeometryError for boundary facets without a name, and cells that fold over.
    """
    dimension = drawing.dimension
    points, nodes = curved_cells(drawing)
    _check_cells(points, nodes, drawing, path)
    facet, name = _boundary_facets(drawing, path)
    used = np.unique(name)
    cell, local = np.divmod(facet, dimension + 1)
    boundary = Boundary(
        points=points * unit,
        cell=cell,
        nodes=nodes[cell],
        local=local,
        degree=drawing.degree,
        name=np.searchsorted(used, name),
        names=tuple(drawing.boundaries[i] for i in used),
        corners=drawing.corners,
        path=path,
    )
    facets, pieces, measure = boundary.joined()
    present = (drawing.boundaries[i] for i in np.unique(drawing.facet_boundary))
    ends = drawing.points[drawing.cells[:, EDGES[dimension]]]
    lengths = np.linalg.norm(ends[:, :, 1] - ends[:, :, 0], axis=2)
    parts = {
        "regions": drawing.regions,
        "boundaries": boundary.names,
        # Names that only facets inside the conductor have.
        "interfaces": tuple(n for n in present if n not in boundary.names),
        "pieces": pieces,
        "islands": _islands(drawing, boundary),
        "extent": float(np.ptp(drawing.points, axis=0).max() * unit),
        "measure": measure,
        "smallest_cell": float(lengths.min()) * unit,
    }
    return Plan(
        degree=drawing.degree,
        points=boundary.points,
        nodes=nodes,
        cell_region=drawing.cell_region.astype(np.int32),
        cell_data=dict(drawing.cell_data),
        facets=facets,
        parts=parts,
    )


def _check_cells(points: np.ndarray, nodes: np.ndarray, drawing: Drawing, path: Path) -> None:
    """Raise a GeometryError if a curved cell folds over."""
    if drawing.degree == 1:
        return
    bad = np.flatnonzero(smallest_determinant(drawing, points, nodes) <= 0)
    if len(bad):
        place = _place(drawing.points[drawing.cells[bad[0]]])
        raise GeometryError(
            f"{path}: {len(bad)} curved cells fold over, the first near {place}; set a smaller"
            " mesh.size or mesh.wall_size, or geometry_order = 1"
        )


def _boundary_facets(drawing: Drawing, path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Facets with one cell (cell * (d + 1) + local) and the index of their names."""
    count = len(drawing.points)
    vertices = drawing.cells[:, FACETS[drawing.dimension]].reshape(-1, drawing.dimension)
    unique, first, inverse, times = np.unique(
        row_keys(vertices, count), return_index=True, return_inverse=True, return_counts=True
    )
    if (times > 2).any():
        place = _place(drawing.points[vertices[first[times > 2][0]]])
        raise GeometryError(
            f"{path}: more than two cells share the facet near {place}; the parts of the"
            " conductor overlap"
        )
    side = _sides(drawing, vertices)
    folded = np.flatnonzero((times == 2) & (np.bincount(inverse, side, len(first)) != 0))
    if len(folded):
        place = _place(drawing.points[vertices[first[folded[0]]]])
        raise GeometryError(
            f"{path}: the mesh folds over: the two cells at the facet near {place} lie on"
            " the same side of it, or one of them is flat; mesh the drawing anew"
        )
    facet = first[times == 1]
    at = positions(row_keys(drawing.facets, count), unique[times == 1])
    if (at < 0).any():
        raise _nameless(drawing, drawing.points[vertices[facet[at < 0]]], path)
    return facet, drawing.facet_boundary[at]


def _sides(drawing: Drawing, vertices: np.ndarray) -> np.ndarray:
    """On which side (1 or -1) of each facet of each cell the cell lies; 0: the cell is flat."""
    simplices = np.column_stack([np.sort(vertices, axis=1), drawing.cells.ravel()])
    return np.sign(measures(drawing.points, simplices))


def _nameless(drawing: Drawing, facets: np.ndarray, path: Path) -> GeometryError:
    """The error for boundary facets, of which these are the vertices, without a name."""
    flat = drawing.dimension == 2
    if path.suffix.lower() in formats.IMPORTED:
        kind = f"set of {'lines' if flat else 'triangles'} or nodes"
        names = ", ".join(drawing.boundaries) or "none"
        advice = f"put all of them into such sets; the file has {names}"
    else:
        kind = f"physical {'curve' if flat else 'surface'}"
        what, group = ("edge", "Curve") if flat else ("surface", "Surface")
        advice = f'every {what} of the conductor needs a name: Physical {group}("walls") = {{...}};'
    return GeometryError(
        f"{path}: {len(facets)} boundary {'edges' if flat else 'facets'} belong to no {kind}, the"
        f" first near {_place(facets[0])}, on average near {_place(facets.mean(axis=0))}; {advice}"
    )


def _place(vertices: np.ndarray) -> str:
    return "(" + ", ".join(f"{x:.6g}" for x in vertices.mean(axis=0)) + ")"


def _islands(drawing: Drawing, boundary: Boundary) -> tuple[tuple[str, ...], ...]:
    """Names of the boundaries of every connected part of the conductor."""
    along = np.stack([drawing.cells[:, :-1], drawing.cells[:, 1:]], axis=-1)
    label = components(len(drawing.points), along.reshape(-1, 2))
    part, parts = label[boundary.vertices[:, 0]], range(label.max() + 1)
    return tuple(
        tuple(boundary.names[b] for b in np.unique(boundary.name[part == i])) for i in parts
    )
