"""Meshes of other programs: Abaqus, Salome, VTK and what else meshio reads, with their names.

Sets of cells are regions. Sets of lines (in 3D: triangles), surfaces, and sets of nodes are
boundaries; a boundary facet belongs to a set of nodes if all its vertices do.
"""

from __future__ import annotations

import io
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from meso.errors import GeometryError
from meso.geometry import abaqus
from meso.geometry.formats import IMPORTED
from meso.geometry.simplices import CELLS, FACETS, Drawing, drawing_of, outer_facets, row_keys

#: Integer cell data that name regions and boundaries, in the order in which they are tried.
TAGS = (
    *("gmsh:physical", "medit:ref", "region", "regions", "region_id", "material", "materials"),
    *("material_id", "materialids", "cell_tags", "cell_markers", "tags", "cellentityids"),
    *("elementblockids", "celltags"),
)
# Dimension of the kinds of cells, by their name in meshio. All other kinds are refused.
_DIMENSION = {
    **{"vertex": 0, "line": 1, "triangle": 2, "tetra": 3},  # degree 1
    **{"line3": 1, "triangle6": 2, "tetra10": 3},  # degree 2
}
_LAGRANGE = {
    "VTK_LAGRANGE_CURVE": {2: "line", 3: "line3"},
    "VTK_LAGRANGE_TRIANGLE": {3: "triangle", 6: "triangle6"},
    "VTK_LAGRANGE_TETRAHEDRON": {4: "tetra", 10: "tetra10"},
}
_SEPARATORS = "-_#+/"  # that meshio joins the names of sets with
# Gmsh, and what is made for it, exchange the last two nodes of a tetrahedron of degree 2.
_TO_GMSH = [0, 1, 2, 3, 4, 5, 6, 7, 9, 8]

Masks = dict[str, np.ndarray]  # or the numbers of the members, by the names of sets


@dataclass(frozen=True, slots=True, kw_only=True)
class RawMesh:
    """What is found in a file: blocks of cells of all kinds, and sets that may overlap."""

    points: np.ndarray  # shape (n, 2) or (n, 3)
    blocks: list[tuple[str, np.ndarray]]  # kinds of cells, and their nodes, vertices first
    sets: Masks = field(default_factory=dict)  # numbers of cells, counted through all blocks
    # Of sets that others replace: 1 for what came with the elements, 2 for what serves a surface.
    ranks: dict[str, int] = field(default_factory=dict)
    surfaces: Masks = field(default_factory=dict)  # vertices of facets
    node_sets: Masks = field(default_factory=dict)
    data: dict[str, list[np.ndarray]] = field(default_factory=dict)  # an array for each block

    def of(self, dimension: int) -> list[int]:
        """The blocks of a dimension that are not empty."""
        used = [_DIMENSION[kind] if len(nodes) else -1 for kind, nodes in self.blocks]
        return [i for i, found in enumerate(used) if found == dimension]

    def nodes(self, dimension: int) -> np.ndarray:
        """Nodes of all cells of a dimension; vertices only where degrees are mixed."""
        parts = [np.asarray(self.blocks[i][1], np.int64) for i in self.of(dimension)]
        width = min((part.shape[1] for part in parts), default=dimension + 1)
        empty = np.empty((0, width), np.int64)
        return np.concatenate([empty, *(part[:, :width] for part in parts)])

    def masks(self, dimension: int) -> Masks:
        """Members of the sets among the cells of a dimension."""
        ends = np.cumsum([len(nodes) for _, nodes in self.blocks])
        chosen = self.of(dimension)
        ranges = [np.arange(ends[i] - len(self.blocks[i][1]), ends[i]) for i in chosen]
        cells = np.concatenate([np.empty(0, np.int64), *ranges])
        found = {name: np.isin(cells, members) for name, members in self.sets.items()}
        return {name: mask for name, mask in found.items() if mask.any()}


def read_mesh(path: Path) -> Drawing:
    """Read a mesh of another program, in the unit of the file.

    Raises a GeometryError for what cannot be read, cells other than triangles or tetrahedra, cells
    without a set, and sets that overlap.
    """
    is_abaqus = path.suffix.lower() == ".inp"
    raw = RawMesh(**abaqus.read(path)) if is_abaqus else _from_meshio(path)
    dimension = _dimension(path, raw)
    cells, top = raw.nodes(dimension), raw.of(dimension)
    degrees = {2 if raw.blocks[i][0][-1].isdigit() else 1 for i in top}
    if len(degrees) > 1:
        raise GeometryError(f"{path}: found cells of degree 1 and 2; all must be of one degree")
    points = np.zeros((len(raw.points), 3))
    points[:, : raw.points.shape[1]] = raw.points
    regions, cell_region = _regions(path, raw, dimension, points[cells].mean(axis=1))
    boundaries, facets, facet_boundary = _boundaries(
        path, raw, dimension, cells[:, : dimension + 1]
    )
    drawing = Drawing(
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
    data = {n: np.concatenate([parts[i] for i in top]) for n, parts in raw.data.items()}
    return replace(drawing_of(drawing, path, dimension), cell_data=data)


def _dimension(path: Path, raw: RawMesh) -> int:
    """2 or 3; raise a GeometryError for what is neither triangles nor tetrahedra."""
    kinds = {kind for kind, nodes in raw.blocks if len(nodes)}
    other = sorted(kinds - set(_DIMENSION))
    dimension = max((_DIMENSION[kind] for kind in kinds - set(other)), default=0)
    if other or dimension < 2:
        found = ", ".join(other) or "no triangles and no tetrahedra"
        raise GeometryError(
            f"{path}: found {found}; meso needs triangles or tetrahedra of degree 1 or 2: have the"
            " mesh made of these"
        )
    return dimension


# -- one name for each cell and each boundary facet ------------------------------------------------


def _regions(
    path: Path, raw: RawMesh, dimension: int, centres: np.ndarray
) -> tuple[tuple[str, ...], np.ndarray]:
    """Names, and the index of the name of each cell."""
    sets = raw.masks(dimension)
    names, owner = _partition(path, "cells", len(centres), sets, raw.ranks)
    kind = CELLS[dimension]
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
    nodes, count = raw.nodes(dimension - 1), len(raw.points)
    if nodes.shape[1] == 3 and dimension == 2:
        # Abaqus has the middle of a line between its ends, others have it last.
        between = ~np.isin(nodes[:, 1], cells)
        nodes = np.where(between[:, None], nodes[:, [0, 2, 1]], nodes)
    members = [(n, nodes[mask, :dimension]) for n, mask in raw.masks(dimension - 1).items()]
    members += [(n, f) for n, f in raw.surfaces.items() if f.shape[1] == dimension]
    # Elements and surfaces that are the same facets are one thing.
    every = np.concatenate([nodes[:, :dimension], *(f for _, f in members)])
    keys, first = np.unique(row_keys(every, count), return_index=True)
    facets = every[first]
    sets: Masks = {}
    for name, mine in members:
        mask = np.isin(keys, row_keys(mine, count))
        sets[name] = mask | sets.get(name, np.zeros_like(mask))
    names, owner = _partition(
        path, {2: "lines", 3: "triangles"}[dimension], len(facets), sets, raw.ranks
    )
    facets, owner = facets[owner >= 0], owner[owner >= 0]

    # Sets of nodes name the facets that are left.
    outer = cells[:, FACETS[dimension]].reshape(-1, dimension)[outer_facets(cells, count)]
    outer = outer[~np.isin(row_keys(outer, count), row_keys(facets, count))]
    used, sets = np.unique(cells), {}
    for name, inside in raw.node_sets.items():
        if not np.isin(used, inside).all():
            sets[name] = np.all(np.isin(outer, inside), axis=1)
    more, other = _partition(path, "boundary facets", len(outer), sets)
    joined = tuple(dict.fromkeys([*names, *more]))
    place = np.array([joined.index(n) for n in more], dtype=np.int64)
    facets = np.concatenate([facets, outer[other >= 0]])
    return joined, facets, np.concatenate([owner, place[other[other >= 0]]])


def _partition(
    path: Path, what: str, count: int, sets: Masks, ranks: Mapping[str, int] | None = None
) -> tuple[tuple[str, ...], np.ndarray]:
    """One name for each of the things (the ``count`` cells, say) that are in sets.

    A set that is the union of others says nothing new and is left out. Sets of a higher rank only
    name what no set of a lower rank names. Sets that overlap in another way are an error.

    Returns:
        The names that are used, and for each thing the index of its name, or -1.
    """
    ranks = {name: (ranks or {}).get(name, 0) for name in sets}
    owner = np.full(count, -1)
    names: list[str] = []
    for rank in sorted(set(ranks.values())):
        free = owner < 0
        left = {n: m & free for n, m in sets.items() if ranks[n] >= rank and (m & free).any()}
        mine = {n: m for n, m in left.items() if ranks[n] == rank}
        mine = {n: m for n, m in mine.items() if not _is_union(m, mine, left)}
        for name, mask in mine.items():
            taken = mask & (owner >= 0)
            if taken.any():
                other = names[owner[taken][0]]
                shared = (mask & mine[other]).sum()
                equal = np.array_equal(mask, mine[other])
                how = f"have the same {what}" if equal else f"share {shared} {what}"
                raise GeometryError(
                    f"{path}: the sets '{other}' and '{name}' {how}; remove one of the two, or make"
                    " them disjoint"
                )
            owner[mask] = len(names)
            names.append(name)
    return tuple(names), owner


def _is_union(mask: np.ndarray, mine: Masks, every: Masks) -> bool:
    """True if smaller sets, one of them of the same rank, make up this one."""

    def inside(sets: Masks) -> list[np.ndarray]:
        return [m for m in sets.values() if m.sum() < mask.sum() and not (m & ~mask).any()]

    return bool(inside(mine)) and np.array_equal(np.logical_or.reduce(inside(every)), mask)


# -- meshio ----------------------------------------------------------------------------------------


def _from_meshio(path: Path) -> RawMesh:
    """What meshio finds; a GeometryError if it is missing, or refuses (its words are shown)."""
    mesh = _read(path)
    blocks = [
        (_LAGRANGE.get(block.type, {}).get(np.shape(block.data)[-1], block.type), block.data)
        for block in mesh.cells
    ]
    data = dict(mesh.cell_data)
    sets: Masks = {}
    node_sets: Masks = {}
    if hasattr(mesh, "cell_tags"):  # families of Salome, each of which may be in several groups
        sets = _groups(data.pop("cell_tags", []), mesh.cell_tags)
        points = mesh.point_data.get("point_tags")
        node_sets = _groups([] if points is None else [points], mesh.point_tags)
    if not sets:
        sets = _numbered(path, blocks, data, mesh.field_data)
    points = np.asarray(mesh.points, dtype=float)
    return RawMesh(points=points, blocks=blocks, sets=sets, node_sets=node_sets, data=data)


def _read(path: Path) -> Any:
    try:
        import meshio
    except ImportError as error:
        raise GeometryError(f"{path}: reading it needs meshio: pip install meshio") from error
    if not path.is_file():
        raise GeometryError(f"{path}: cannot be read (no such file)")
    said = io.StringIO()
    try:
        # meshio prints what it does not like, and exits.
        with redirect_stdout(said), redirect_stderr(said), _complete(path) as whole:
            return meshio.read(whole, IMPORTED[path.suffix.lower()])
    except ImportError as error:
        text = f"reading it needs {error.name}: pip install {error.name}"
        raise GeometryError(f"{path}: {text}") from error
    except (Exception, SystemExit) as error:
        words = str(error) if isinstance(error, Exception) else ""
        words = " ".join(words.split()) or " ".join(said.getvalue().split())
        text = f"{type(error).__name__}: {words}" if isinstance(error, Exception) else words
        raise GeometryError(f"{path}: meshio cannot read it: {text}") from error


@contextmanager
def _complete(path: Path) -> Iterator[Path]:
    """The file, or a copy that meshio can read.

    Salome leaves out the families of kinds of cells that are in no group; meshio needs all or none.
    """
    if path.suffix.lower() != ".med":
        yield path
        return
    import h5py

    with tempfile.TemporaryDirectory(prefix="meso-") as folder:
        copy = Path(shutil.copy(path, folder))
        with h5py.File(copy, "r+") as file:
            found: list[str] = []
            file["ENS_MAA"].visit(found.append)
            for nodes in (file["ENS_MAA"][name] for name in found if name.endswith("/NOD")):
                if "FAM" not in nodes.parent:
                    nodes.parent["FAM"] = np.zeros(int(nodes.attrs["NBR"]), dtype=np.int64)
        yield copy


def _groups(numbers: list[np.ndarray], families: dict[int, list[str]]) -> Masks:
    """Members of the groups of Salome, from the number of the family of each cell or node."""
    each: dict[str, list[int]] = {}
    for number, names in families.items() if numbers else ():
        for name in names:
            each.setdefault(name, []).append(number)
    return {n: np.flatnonzero(np.isin(np.concatenate(numbers), f)) for n, f in each.items()}


def _numbered(
    path: Path, blocks: list[tuple[str, np.ndarray]], data: dict[str, Any], names: dict[str, Any]
) -> Masks:
    """Sets from the integer data that say where a cell belongs, which are taken from ``data``."""
    whole = {
        key: np.concatenate(parts)
        for key, parts in data.items()
        if all(part.ndim == 1 and part.dtype.kind in "iu" for part in parts)
    }
    for key, values in whole.items():
        joined = [] if key.lower() in TAGS else _joined_names(key, values)
        if joined:
            del data[key]
            return {name: np.flatnonzero(values == i) for i, name in enumerate(joined)}
    known = {key.lower(): key for key in whole}
    tagged = [known[tag] for tag in TAGS if tag in known]
    found = tagged or list(whole)
    if not tagged and len(whole) > 1:
        raise GeometryError(
            f"{path}: found the integer cell data {', '.join(whole)}; name those that number the"
            " regions 'region'"
        )
    if not found:
        return {}
    del data[found[0]]
    # Names of numbers, as Gmsh's files have them: name -> (number, dimension).
    pairs = {tuple(np.ravel(value).tolist()): name for name, value in names.items()}
    dimensions = [_DIMENSION.get(kind, -1) for kind, _ in blocks]
    dimension = np.repeat(dimensions, [len(nodes) for _, nodes in blocks])
    both = np.column_stack([whole[found[0]], dimension])
    out: dict[str, list[np.ndarray]] = {}
    for pair in np.unique(both, axis=0):
        name = pairs.get(tuple(pair.tolist()), str(pair[0]))
        out.setdefault(name, []).append(np.flatnonzero((both == pair).all(axis=1)))
    return {name: np.concatenate(parts) for name, parts in out.items()}


def _joined_names(key: str, values: np.ndarray) -> list[str]:
    """Names of sets that meshio has turned into integers, named by all of them with a dash."""
    for separator in _SEPARATORS:
        names = key.split(separator)
        numbers = set(np.unique(values).tolist()) - {-1}
        if len(names) > 1 and all(names) and numbers == set(range(len(names))):
            return names
    return []
