"""Meshes that meshio reads, as raw meshes."""

from __future__ import annotations

import io
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np

from meso.errors import GeometryError
from meso.geometry.formats import IMPORTED
from meso.geometry.imported.raw import Block, RawMesh

#: Integer cell data that name regions and boundaries, in the order in which they are tried.
TAGS = (
    "gmsh:physical",
    "medit:ref",
    "region",
    "regions",
    "region_id",
    "material",
    "materials",
    "material_id",
    "materialids",
    "cell_tags",
    "cell_markers",
    "tags",
    "cellentityids",
    "elementblockids",
    "celltags",
)
_LAGRANGE = {
    "VTK_LAGRANGE_CURVE": {2: "line", 3: "line3"},
    "VTK_LAGRANGE_TRIANGLE": {3: "triangle", 6: "triangle6"},
    "VTK_LAGRANGE_TETRAHEDRON": {4: "tetra", 10: "tetra10"},
}
_SEPARATORS = "-_#+/"  # that meshio joins the names of sets with


def read(path: Path) -> RawMesh:
    """Read a mesh through meshio.

    Args:
        path: The file.

    Returns:
        Its mesh.

    Raises:
        GeometryError: meshio is missing, or refuses the file (its words are shown).
    """
    mesh = _read(path)
    blocks = tuple(
        Block(kind=_kind(block.type, block.data), nodes=np.asarray(block.data))
        for block in mesh.cells
    )
    sets = {
        name: [np.empty(0, np.int64) if s is None else np.asarray(s, dtype=np.int64) for s in parts]
        for name, parts in mesh.cell_sets.items()
        if name != "gmsh:bounding_entities"
    }
    node_sets = {name: np.asarray(s, dtype=np.int64) for name, s in mesh.point_sets.items()}
    data: dict[str, list[np.ndarray | None]] = dict(mesh.cell_data)
    if hasattr(mesh, "cell_tags"):  # families of Salome, each of which may be in several groups
        _families(data.pop("cell_tags", None), mesh.cell_tags, sets)
        points = mesh.point_data.get("point_tags")
        for family, names in mesh.point_tags.items():
            for name in names if points is not None else ():
                found = np.flatnonzero(points == family)
                node_sets[name] = np.concatenate([node_sets.get(name, found[:0]), found])
    tags, names = None, {}
    if not any(sets.values()):
        key = _joined_sets(data, sets)
        if key is None and (key := _tag_key(path, data)) is not None:
            tags = [np.asarray(d) for d in data[key]]
            names = _tag_names(mesh.field_data)
        if key is not None:
            del data[key]
    return RawMesh(
        points=np.asarray(mesh.points, dtype=float),
        blocks=blocks,
        sets=sets,
        node_sets=node_sets,
        tags=tags,
        tag_names=names,
        data=data,
    )


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
            cells: list[Any] = []
            file["ENS_MAA"].visititems(
                lambda name, item: cells.append(item) if name.endswith("/NOD") else None
            )
            for nodes in cells:
                if "FAM" not in nodes.parent:
                    nodes.parent["FAM"] = np.zeros(int(nodes.attrs["NBR"]), dtype=np.int64)
        yield copy


def _kind(name: str, nodes: np.ndarray) -> str:
    return _LAGRANGE.get(name, {}).get(np.shape(nodes)[-1], name)


def _families(
    numbers: list[np.ndarray | None] | None,
    groups: dict[int, list[str]],
    sets: dict[str, list[np.ndarray]],
) -> None:
    """Sets of cells from the families of Salome."""
    if numbers is None:
        return
    for name in dict.fromkeys(name for names in groups.values() for name in names):
        families = [number for number, names in groups.items() if name in names]
        sets[name] = [np.flatnonzero(np.isin(np.asarray(block), families)) for block in numbers]


def _joined_sets(data: dict[str, Any], sets: dict[str, list[np.ndarray]]) -> str | None:
    """Sets that meshio has turned into integers, named by all of them with a dash between.

    Returns:
        The name of these data, if there are any; the sets are added to ``sets``.
    """
    for key, blocks in data.items():
        found = _integers(blocks)
        if found is None or key.lower() in TAGS:
            continue
        for separator in _SEPARATORS:
            names = key.split(separator)
            if len(names) > 1 and all(names) and set(found) - {-1} == set(range(len(names))):
                for i, name in enumerate(names):
                    sets[name] = [np.flatnonzero(np.asarray(b) == i) for b in blocks]
                return key
    return None


def _tag_key(path: Path, data: dict[str, Any]) -> str | None:
    """The integer data that say which region a cell belongs to."""
    whole = {key: blocks for key, blocks in data.items() if _integers(blocks) is not None}
    known = {key.lower(): key for key in whole}
    for name in TAGS:
        if name in known:
            return known[name]
    if len(whole) > 1:
        raise GeometryError(
            f"{path}: found the integer cell data {', '.join(whole)}; name those that number the"
            " regions 'region'"
        )
    return next(iter(whole), None)


def _integers(blocks: list[Any]) -> list[int] | None:
    """The values of integer data, None for others."""
    arrays = [np.asarray(b) for b in blocks if b is not None]
    if len(arrays) < len(blocks) or any(a.ndim != 1 or a.dtype.kind not in "iu" for a in arrays):
        return None
    return np.unique(np.concatenate(arrays)).tolist() if arrays else None


def _tag_names(field_data: dict[str, Any]) -> dict[tuple[int, int], str]:
    """Names of numbers, as Gmsh's files have them: name -> (number, dimension)."""
    out = {}
    for name, value in field_data.items():
        pair = np.ravel(value)
        if len(pair) == 2 and pair.dtype.kind in "iu":
            out[int(pair[0]), int(pair[1])] = name
    return out
