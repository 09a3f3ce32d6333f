"""From the mesh that is open in Gmsh to a :class:`~meso.geometry.simplices.Drawing`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import gmsh
import numpy as np

from meso.errors import GeometryError
from meso.geometry.curving import straightened
from meso.geometry.drawing import dimension_of_drawing, groups
from meso.geometry.simplices import Drawing, Elements, drawing_of

# Gmsh element types by dimension and polynomial degree.
_KINDS = {
    1: {1: 1, 2: 8, 3: 26, 4: 27},
    2: {1: 2, 2: 9, 3: 21, 4: 23},
    3: {1: 4, 2: 11},
}
_CELL = {2: "triangle", 3: "tetrahedron"}
_CELLS = {2: "triangles", 3: "tetrahedra"}
_REGION = {2: "surface", 3: "volume"}
# A wall that bends by less than this at a curve of the drawing is smooth there (degrees).
_SMOOTH = 1.0


def named_regions(path: Path, dimension: int) -> dict[str, list[int]]:
    """Physical groups of surfaces (3D: volumes) of the open model: entity tags by name.

    Raises:
        GeometryError: There is none.
    """
    regions = groups(path, dimension)
    if not regions:
        raise GeometryError(
            f"{path}: no physical surface; name the conductor and its edges, for instance"
            ' Physical Surface("metal") = {1}; Physical Curve("source") = {4}; in three dimensions'
            ' Physical Volume("metal") = {1}; Physical Surface("source") = {4};'
        )
    return regions


def extract(path: Path, degree: int | None) -> Drawing:
    """Read names, cells and curved edges from the open, meshed model.

    Args:
        path: The file, for messages.
        degree: Degree of the curved edges taken from the drawing; None for a mesh file, whose
            own degree and nodes are used.

    Returns:
        The drawing; three-dimensional if there are physical volumes.

    Raises:
        GeometryError: No physical groups, cells other than triangles or tetrahedra, plane ones
            that do not lie in a plane z = const, or a group without elements.
    """
    dimension = dimension_of_drawing()
    regions = named_regions(path, dimension)
    boundaries = groups(path, dimension - 1)
    if dimension == 3 and degree == 2:
        _second_order()
    own = _degree(regions, path, dimension)

    tags, xyz, _ = gmsh.model.mesh.getNodes()
    number = np.full(int(tags.max()) + 1, -1, dtype=np.int64)
    number[tags.astype(np.int64)] = np.arange(len(tags))

    cells, cell_region = _members(dimension, own, regions, number)
    for index, name in enumerate(regions):
        if not (cell_region == index).any():
            raise GeometryError(
                f"{path}: the physical {_REGION[dimension]} '{name}' has no {_CELLS[dimension]}"
            )
    facets, facet_boundary = _members(dimension - 1, own, boundaries, number)
    curves = None
    if dimension == 2 and degree is not None:
        curves = (degree, *_edges_on_curves(_curves_of(regions), number, degree))
    drawing = drawing_of(
        Elements(
            points=xyz.reshape(-1, 3),
            cells=cells,
            cell_region=cell_region,
            regions=tuple(regions),
            facets=facets[:, :dimension],
            facet_boundary=facet_boundary,
            boundaries=tuple(boundaries),
            corners=_corners(dimension, own, number),
            degree=own,
        ),
        path,
        dimension,
        curves,
    )
    if degree is None:  # in a drawing, views are wanted sizes
        return replace(drawing, cell_data=_views(dimension, own, regions))
    return drawing if dimension == 2 else straightened(drawing)


def _views(dimension: int, degree: int, regions: Mapping[str, list[int]]) -> dict[str, np.ndarray]:
    """Values in the cells of the views of a mesh file, NaN where they have none."""
    kind = _KINDS[dimension][degree]
    tags = np.concatenate(
        [gmsh.model.mesh.getElementsByType(kind, e)[0] for es in regions.values() for e in es]
    ).astype(np.int64)
    order = np.argsort(tags)
    out = {}
    for view in map(int, gmsh.view.getTags()):
        # The first step of each: what a conductor is made of does not change in time.
        what, known, values, _, components = gmsh.view.getHomogeneousModelData(view, 0)
        if what == "ElementData" and len(known):
            at = np.searchsorted(tags[order], known).clip(max=len(tags) - 1)
            mine = tags[order][at] == known
            data = np.full((len(tags), components), np.nan)
            data[order[at[mine]]] = values.reshape(-1, components)[mine]
            if mine.any():
                name = gmsh.view.option.getString(view, "Name")
                out[name] = data[:, 0] if components == 1 else data
    return out


def _degree(regions: Mapping[str, list[int]], path: Path, dimension: int) -> int:
    """Polynomial degree of the cells, all of one kind."""
    found = set()
    for entity in (e for entities in regions.values() for e in entities):
        found |= set(map(int, gmsh.model.mesh.getElementTypes(dimension, entity)))
    kinds = _KINDS[dimension]
    degrees = [d for d, kind in kinds.items() if kind in found]
    if found - set(kinds.values()) or len(degrees) != 1:
        names = ", ".join(gmsh.model.mesh.getElementProperties(t)[0] for t in sorted(found))
        raise GeometryError(
            f"{path}: found {names or 'no elements'}; meso needs {_CELLS[dimension]}, all of one"
            f" degree (1 to {max(kinds)})"
        )
    return degrees[0]


def _elements(kind: int, entities: Sequence[int], number: np.ndarray) -> np.ndarray:
    """Nodes of the elements of one Gmsh type on some entities."""
    width = gmsh.model.mesh.getElementProperties(kind)[3]
    parts = [gmsh.model.mesh.getElementsByType(kind, e)[1] for e in entities]
    joined = np.concatenate(parts) if parts else np.empty(0)
    return number[joined.astype(np.int64)].reshape(-1, width)


def _members(
    dimension: int, degree: int, named: Mapping[str, list[int]], number: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Elements of all groups of a dimension, and the group of each."""
    blocks = [_elements(_KINDS[dimension][degree], e, number) for e in named.values()]
    if not blocks:
        return np.empty((0, dimension + 1), np.int64), np.empty(0, np.int64)
    return np.concatenate(blocks), np.repeat(np.arange(len(blocks)), [len(b) for b in blocks])


def _second_order() -> None:
    """One node on the middle of each edge, on the surfaces of the drawing.

    Gmsh's own repair of folded cells can end the process: :mod:`meso.geometry.curving` straightens
    them.
    """
    surfaces = (t for _, t in gmsh.model.getEntities(2))
    if any(gmsh.model.getType(2, t) not in ("Plane", "Discrete surface") for t in surfaces):
        gmsh.model.mesh.setOrder(2)


def _corners(dimension: int, degree: int, number: np.ndarray) -> np.ndarray:
    """Vertices at points of the drawing; in 3D edges on its curves that are no seams."""
    if dimension == 2:
        points = [t for _, t in gmsh.model.getEntities(0)]
        return _elements(15, points, number).ravel()
    curves = [t for _, t in gmsh.model.getEntities(1) if not is_seam(t)]
    return _elements(_KINDS[1][degree], curves, number)[:, :2]


def is_seam(curve: int) -> bool:
    """True if a curve only divides what is one smooth surface."""
    surfaces = list(map(int, gmsh.model.getAdjacencies(1, curve)[0]))
    if gmsh.model.getType(1, curve) == "Discrete curve":
        return False
    if len(surfaces) == 1:  # where a closed surface begins and ends
        return True
    if len(surfaces) != 2:
        return False
    try:
        low, high = (float(v[0]) for v in gmsh.model.getParametrizationBounds(1, curve))
        at = np.linspace(low, high, 5).tolist()
        first, second = (
            np.array(
                gmsh.model.getNormal(s, gmsh.model.reparametrizeOnSurface(1, curve, at, s))
            ).reshape(-1, 3)
            for s in surfaces
        )
    except Exception:  # surfaces without a parametrisation: the mesh itself will tell
        return False
    # Normals of a drawing have any sign; a fold back is no smooth wall, but nobody draws one.
    cosine = np.abs((first * second).sum(axis=1))
    return bool(cosine.min() > np.cos(np.deg2rad(_SMOOTH)))


def _curves_of(regions: Mapping[str, list[int]]) -> list[int]:
    surfaces = [(2, e) for group in regions.values() for e in group]
    return sorted({abs(t) for _, t in gmsh.model.getBoundary(surfaces, combined=False)})


def _edges_on_curves(curves: list[int], number: np.ndarray, degree: int) -> tuple[Any, Any]:
    """Nodes on the curved lines of the drawing, equally spaced in the curve's own parameter."""
    all_ends: list[np.ndarray] = [np.empty((0, 2), np.int64)]
    all_nodes: list[np.ndarray] = [np.empty((0, degree - 1, 3))]
    for curve in curves if degree > 1 else []:
        if gmsh.model.getType(1, curve) not in ("Line", "Discrete curve"):
            ends, nodes = _curved_elements(curve, degree)
            all_ends.append(number[ends])
            all_nodes.append(nodes)
    return np.concatenate(all_ends), np.concatenate(all_nodes)[:, :, :2]


def _curved_elements(curve: int, degree: int) -> tuple[np.ndarray, np.ndarray]:
    """Tags of the ends of the elements on a curve, and their inner nodes."""
    master, own, others, affine = gmsh.model.mesh.getPeriodicNodes(1, curve)
    if master != curve and len(affine) == 16:
        # The same nodes as on the curve that this one repeats, to the last digit.
        ends, nodes = _curved_elements(master, degree)
        place = dict(zip(map(int, others), map(int, own), strict=True))
        turned = np.reshape(affine, (4, 4))
        copies = np.array([[place[int(a)], place[int(b)]] for a, b in ends], dtype=np.int64)
        return copies.reshape(-1, 2), nodes @ turned[:3, :3].T + turned[:3, 3]
    s = np.arange(1, degree) / degree
    ends = gmsh.model.mesh.getElementsByType(1, curve)[1].astype(np.int64).reshape(-1, 2)
    tags, _, u = gmsh.model.mesh.getNodes(1, curve, False, True)
    low, high = (float(v[0]) for v in gmsh.model.getParametrizationBounds(1, curve))
    # Gmsh lists the elements in the order of the parameter; the ends of the curve, which may be
    # one point, carry none of their own.
    parameter = dict(zip(tags.astype(np.int64).tolist(), u.tolist(), strict=True))
    chain = np.array([low, *(parameter[int(t)] for t in ends[:-1, 1]), high])
    pairs = np.column_stack([chain[:-1], chain[1:]])
    at = pairs[:, :1] * (1 - s) + pairs[:, 1:] * s
    xyz = np.array(gmsh.model.getValue(1, curve, at.ravel().tolist()))
    return ends, xyz.reshape(-1, degree - 1, 3)
