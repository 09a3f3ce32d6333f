"""From a mesh of another program to a drawing: one name for each cell and each boundary facet."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from meso.errors import GeometryError
from meso.geometry.imported import abaqus, meshio_files
from meso.geometry.imported.raw import KINDS, Block, RawMesh
from meso.geometry.imported.sets import partition
from meso.geometry.planar import row_keys
from meso.geometry.simplices import Drawing, Elements, drawing_of

_CELLS = {2: "triangles", 3: "tetrahedra"}
_FACETS = {2: "lines", 3: "triangles"}
# Gmsh, and what is made for it, exchange the last two nodes of a tetrahedron of degree 2.
_TO_GMSH = [0, 1, 2, 3, 4, 5, 6, 7, 9, 8]


def read_mesh(path: Path) -> Drawing:
    """Read a mesh of another program.

    Sets of cells are regions. Sets of lines (in 3D: triangles), surfaces, and sets of nodes are
    boundaries; a boundary facet belongs to a set of nodes if all its vertices do.

    Args:
        path: The file.

    Returns:
        The mesh, in the unit of the file.

    Raises:
        GeometryError: A file that cannot be read; cells other than triangles or tetrahedra; cells
            without a set; sets that overlap.
    """
    raw = abaqus.read(path) if path.suffix.lower() == ".inp" else meshio_files.read(path)
    dimension = _dimension(path, raw.blocks)
    top, cells = _joined(raw.blocks, dimension)
    degrees = {KINDS[raw.blocks[i].kind][1] for i in top}
    if len(degrees) > 1:
        raise GeometryError(f"{path}: found cells of degree 1 and 2; all must be of one degree")
    points = np.zeros((len(raw.points), 3))
    points[:, : raw.points.shape[1]] = raw.points
    regions, cell_region = _regions(path, raw, dimension, top, points[cells].mean(axis=1))
    boundaries, facets, facet_boundary = _boundaries(
        path, raw, dimension, cells[:, : dimension + 1]
    )
    elements = Elements(
        points=points,
        cells=cells[:, _TO_GMSH] if cells.shape[1] == len(_TO_GMSH) else cells,
        cell_region=cell_region,
        regions=regions,
        facets=facets,
        facet_boundary=facet_boundary,
        boundaries=boundaries,
        corners=np.empty((0, 2) if dimension == 3 else 0, dtype=np.int64),
        degree=degrees.pop(),
    )
    drawing = drawing_of(elements, path, dimension)
    return replace(drawing, cell_data=_cell_data(raw, top))


def _dimension(path: Path, blocks: tuple[Block, ...]) -> int:
    """2 or 3; raise a GeometryError for what is neither triangles nor tetrahedra."""
    other = sorted({b.kind for b in blocks if b.kind not in KINDS and len(b.nodes)})
    dimension = max((KINDS[b.kind][0] for b in blocks if b.kind in KINDS), default=0)
    if other or dimension < 2:
        found = ", ".join(other) or "no triangles and no tetrahedra"
        raise GeometryError(
            f"{path}: found {found}; meso needs triangles or tetrahedra of degree 1 or 2: have the"
            " mesh made of these"
        )
    return dimension


def _joined(blocks: tuple[Block, ...], dimension: int) -> tuple[list[int], np.ndarray]:
    """The blocks of a dimension, and their nodes; vertices only where degrees are mixed."""
    chosen = [i for i, b in enumerate(blocks) if len(b.nodes) and KINDS[b.kind][0] == dimension]
    width = min((blocks[i].nodes.shape[1] for i in chosen), default=dimension + 1)
    parts = [np.asarray(blocks[i].nodes, dtype=np.int64)[:, :width] for i in chosen]
    return chosen, np.concatenate([np.empty((0, width), dtype=np.int64), *parts])


def _masks(raw: RawMesh, chosen: list[int], dimension: int) -> dict[str, np.ndarray]:
    """Members of the sets, or of the numbers, among the cells of some blocks."""
    start = np.cumsum([0, *(len(raw.blocks[i].nodes) for i in chosen)])
    out = {}
    for name, parts in raw.sets.items():
        mask = np.zeros(start[-1], bool)
        for i, first in zip(chosen, start[:-1], strict=True):
            mask[first + parts[i]] = True
        out[name] = mask
    if raw.tags is not None and chosen:
        tags = np.concatenate([raw.tags[i] for i in chosen])
        for tag in np.unique(tags).tolist():
            name = raw.tag_names.get((tag, dimension), str(tag))
            out[name] = out.get(name, np.zeros(len(tags), bool)) | (tags == tag)
    return {name: mask for name, mask in out.items() if mask.any()}


def _regions(
    path: Path, raw: RawMesh, dimension: int, top: list[int], centres: np.ndarray
) -> tuple[tuple[str, ...], np.ndarray]:
    """Names, and the index of the name of each cell."""
    sets = _masks(raw, top, dimension)
    names, owner = partition(path, "cells", len(centres), sets, raw.ranks)
    kind = _CELLS[dimension]
    if not names:
        others = ", ".join([*raw.sets, *raw.surfaces, *raw.node_sets])
        found = f"only the sets {others}" if others else "no sets at all"
        raise GeometryError(
            f"{path}: found {found}; the {kind} need a name: put them into a set (in Salome a"
            " group, in Abaqus an ELSET), or give them integer cell data 'region'"
        )
    bare = np.flatnonzero(owner < 0)
    if len(bare):
        at = ", ".join(f"{x:.6g}" for x in centres[bare[0], :dimension])
        raise GeometryError(
            f"{path}: {len(bare)} {kind} are in no set, the first near ({at}); the sets of {kind}"
            f" are {', '.join(sets)}"
        )
    return names, owner


def _boundaries(
    path: Path, raw: RawMesh, dimension: int, cells: np.ndarray
) -> tuple[tuple[str, ...], np.ndarray, np.ndarray]:
    """Names, vertices of the named facets, and the index of the name of each."""
    blocks, nodes = _joined(raw.blocks, dimension - 1)
    if nodes.shape[1] == 3 and dimension == 2:
        # Abaqus has the middle of a line between its ends, others have it last.
        between = ~np.isin(nodes[:, 1], cells)
        nodes = np.where(between[:, None], nodes[:, [0, 2, 1]], nodes)
    surfaces = {n: f for n, f in raw.surfaces.items() if f.shape[1] == dimension}
    every = np.concatenate([nodes[:, :dimension], *surfaces.values()])
    count = len(raw.points)
    _, first, index = np.unique(row_keys(every, count), return_index=True, return_inverse=True)
    facets, index = every[first], index.ravel()
    # Elements and surfaces that are the same facets are one thing.
    sets = {
        name: _hit(len(facets), index[np.flatnonzero(m)])
        for name, m in _masks(raw, blocks, dimension - 1).items()
    }
    start = len(nodes)
    for name, surface in surfaces.items():
        mine = _hit(len(facets), index[start : start + len(surface)])
        sets[name] = sets[name] | mine if name in sets else mine
        start += len(surface)
    names, owner = partition(path, _FACETS[dimension], len(facets), sets, raw.ranks)
    facets, owner = facets[owner >= 0], owner[owner >= 0]

    # Sets of nodes name the facets that are left.
    outer = _outer(cells, count)
    keys = row_keys(np.concatenate([facets, outer]), count)
    outer = outer[~np.isin(keys[len(facets) :], keys[: len(facets)])]
    inside = {name: _hit(count, members) for name, members in raw.node_sets.items()}
    used = np.unique(cells)
    sets = {n: m[outer].all(axis=1) for n, m in inside.items() if not m[used].all()}
    more, other = partition(path, "boundary facets", len(outer), sets)
    joined = tuple(dict.fromkeys([*names, *more]))
    place = np.array([joined.index(n) for n in more], dtype=np.int64)
    return (
        joined,
        np.concatenate([facets, outer[other >= 0]]),
        np.concatenate([owner, place[other[other >= 0]]]),
    )


def _hit(count: int, members: np.ndarray) -> np.ndarray:
    mask = np.zeros(count, bool)
    mask[members] = True
    return mask


def _outer(cells: np.ndarray, count: int) -> np.ndarray:
    """Vertices of the facets that belong to one cell."""
    facets = np.concatenate([np.delete(cells, i, axis=1) for i in range(cells.shape[1])])
    _, first, times = np.unique(row_keys(facets, count), return_index=True, return_counts=True)
    return facets[first[times == 1]]


def _cell_data(raw: RawMesh, top: list[int]) -> dict[str, np.ndarray]:
    """Values of the cells, for each name that all of them have."""
    out = {}
    for name, parts in raw.data.items():
        chosen = [parts[i] for i in top]
        if all(part is not None for part in chosen):
            out[name] = np.concatenate([np.asarray(part) for part in chosen])
    return out
