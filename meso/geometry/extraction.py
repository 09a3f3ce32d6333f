"""From the mesh that is open in Gmsh to a :class:`~meso.geometry.simplices.Drawing`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import gmsh
import numpy as np

from meso.errors import GeometryError
from meso.geometry import drawing
from meso.geometry.curving import straightened
from meso.geometry.simplices import CELLS, Drawing, drawing_of, positions

_HIGHEST = {2: 4, 3: 2}  # degree of the cells of a mesh file


def extract(path: Path, degree: int | None) -> Drawing:
    """Read names, cells and curved edges from the open, meshed model.

    The degree is that of the curved edges taken from the drawing; None for a mesh file, whose own
    degree and nodes are used. A GeometryError tells of missing groups, cells other than triangles
    or tetrahedra, plane ones that do not lie in a plane z = const, and groups without elements.
    """
    dimension = drawing.dimension_of_drawing()
    regions = drawing.named_regions(path, dimension)
    boundaries = drawing.groups(path, dimension - 1)
    if dimension == 3 and degree == 2:
        _second_order()
    own = _degree(regions, path, dimension)
    points, number = drawing.nodes()
    cells, cell_region = _members(dimension, own, regions, number)
    if bare := [n for i, n in enumerate(regions) if i not in cell_region]:
        kind = drawing.KIND[dimension]
        raise GeometryError(f"{path}: the physical {kind} '{bare[0]}' has no {CELLS[dimension]}")
    facets, facet_boundary = _members(dimension - 1, own, boundaries, number)
    raw = Drawing(
        points=points,
        cells=cells,
        cell_region=cell_region,
        regions=tuple(regions),
        facets=facets[:, :dimension],
        facet_boundary=facet_boundary,
        boundaries=tuple(boundaries),
        corners=_corners(dimension, own, number),
        degree=own,
    )
    if degree is None:  # in a drawing, views are wanted sizes
        data = _views(drawing.simplex(dimension, own), regions)
        return replace(drawing_of(raw, path, dimension), cell_data=data)
    if dimension == 3:
        return straightened(drawing_of(raw, path, dimension))
    ends, inner = _edges_on_curves(regions, number, degree)
    raw = replace(raw, degree=degree, curved_edges=ends, curved_nodes=inner)
    return drawing_of(raw, path, dimension, curved=False)


def _views(kind: int, regions: Mapping[str, list[int]]) -> dict[str, np.ndarray]:
    """Values in the cells of the views of a mesh file, NaN where they have none."""
    tags = np.concatenate(
        [gmsh.model.mesh.getElementsByType(kind, e)[0] for es in regions.values() for e in es]
    ).astype(np.int64)
    out = {}
    for view in map(int, gmsh.view.getTags()):
        # The first step of each: what a conductor is made of does not change in time.
        what, known, values, _, components = gmsh.view.getHomogeneousModelData(view, 0)
        at = positions(tags, known) if what == "ElementData" else np.empty(0, int)
        if (at >= 0).any():
            data = np.full((len(tags), components), np.nan)
            data[at[at >= 0]] = values.reshape(-1, components)[at >= 0]
            name = gmsh.view.option.getString(view, "Name")
            out[name] = data[:, 0] if components == 1 else data
    return out


def _degree(regions: Mapping[str, list[int]], path: Path, dimension: int) -> int:
    """Polynomial degree of the cells, all of one kind."""
    tags = [e for entities in regions.values() for e in entities]
    found = {int(t) for e in tags for t in gmsh.model.mesh.getElementTypes(dimension, e)}
    kinds = {drawing.simplex(dimension, d): d for d in range(1, _HIGHEST[dimension] + 1)}
    if len(found) != 1 or not found <= set(kinds):
        names = ", ".join(gmsh.model.mesh.getElementProperties(t)[0] for t in sorted(found))
        raise GeometryError(
            f"{path}: found {names or 'no elements'}; meso needs {CELLS[dimension]}, all of one"
            f" degree (1 to {_HIGHEST[dimension]})"
        )
    return kinds[found.pop()]


def _members(
    dimension: int, degree: int, named: Mapping[str, list[int]], number: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Elements of all groups of a dimension, and the group of each."""
    kind = drawing.simplex(dimension, degree)
    blocks = [drawing.elements(kind, tags, number) for tags in ([], *named.values())]
    lengths = [len(block) for block in blocks[1:]]
    return np.concatenate(blocks), np.repeat(np.arange(len(lengths)), lengths)


def _second_order() -> None:
    """One node on the middle of each edge, on the surfaces of the drawing.

    Gmsh's own repair of folded cells can end the process: :mod:`meso.geometry.curving` straightens
    them.
    """
    kinds = {gmsh.model.getType(2, t) for t in drawing.entities(2)}
    if kinds - {"Plane", "Discrete surface"}:
        gmsh.model.mesh.setOrder(2)


def _corners(dimension: int, degree: int, number: np.ndarray) -> np.ndarray:
    """Vertices at points of the drawing; in 3D edges on its curves that are no seams."""
    if dimension == 2:
        return drawing.elements(drawing.simplex(0), drawing.entities(0), number).ravel()
    curves = [curve for curve in drawing.entities(1) if not drawing.is_seam(curve)]
    return drawing.elements(drawing.simplex(1, degree), curves, number)[:, :2]


def _edges_on_curves(
    regions: Mapping[str, list[int]], number: np.ndarray, degree: int
) -> tuple[Any, Any]:
    """Nodes on the curved lines of the drawing, equally spaced in the curve's own parameter."""
    surfaces = [(2, e) for group in regions.values() for e in group]
    curves = sorted({abs(t) for _, t in gmsh.model.getBoundary(surfaces, combined=False)})
    found = [(np.empty((0, 2), np.int64), np.empty((0, degree - 1, 3)))]
    for curve in curves if degree > 1 else []:
        if gmsh.model.getType(1, curve) not in ("Line", "Discrete curve"):
            found.append(_curved_elements(curve, degree))
    ends, inner = map(np.concatenate, zip(*found, strict=True))
    return number[ends], inner


def _curved_elements(curve: int, degree: int) -> tuple[np.ndarray, np.ndarray]:
    """Tags of the ends of the elements on a curve, and their inner nodes."""
    master, own, others, affine = gmsh.model.mesh.getPeriodicNodes(1, curve)
    if master != curve and len(affine) == 16:
        # The same nodes as on the curve that this one repeats, to the last digit.
        ends, inner = _curved_elements(master, degree)
        place = dict(zip(map(int, others), map(int, own), strict=True))
        turned = np.reshape(affine, (4, 4))
        copies = np.array([[place[int(a)], place[int(b)]] for a, b in ends], dtype=np.int64)
        return copies.reshape(-1, 2), inner @ turned[:3, :3].T + turned[:3, 3]
    s = np.arange(1, degree) / degree
    ends = gmsh.model.mesh.getElementsByType(1, curve)[1].astype(np.int64).reshape(-1, 2)
    tags, _, u = gmsh.model.mesh.getNodes(1, curve, False, True)
    low, high = drawing.bounds(curve)
    # Gmsh lists the elements in the order of the parameter; the ends of the curve, which may be
    # one point, carry none of their own.
    parameter = dict(zip(tags.astype(np.int64).tolist(), u.tolist(), strict=True))
    chain = np.array([low, *(parameter[int(t)] for t in ends[:-1, 1]), high])
    at = chain[:-1, None] * (1 - s) + chain[1:, None] * s
    return ends, drawing.curve_values(curve, at).reshape(-1, degree - 1, 3)
