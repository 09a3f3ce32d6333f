"""From a Gmsh file to plain arrays: points, triangles, and the names the user gave.

Everything here runs on one rank and knows nothing of DOLFINx. Lengths are in the unit of the
file; :mod:`meso.device` converts them.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import gmsh
import numpy as np

from meso.errors import GeometryError
from meso.planar import cross

# Gmsh element types by polynomial degree.
_LINES = {1: 1, 2: 8, 3: 26, 4: 27}
_TRIANGLES = {1: 2, 2: 9, 3: 21, 4: 23}


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """A triangulated drawing, in the unit of its file.

    Attributes:
        points: Vertex coordinates, shape (n, 2).
        cells: Vertices of each triangle, counter-clockwise, shape (c, 3).
        cell_region: Index into ``regions`` of each triangle, shape (c,).
        regions: Names of the physical surfaces.
        edges: Vertices of each line element in a physical curve, shape (m, 2).
        edge_boundary: Index into ``boundaries`` of each line element, shape (m,).
        boundaries: Names of the physical curves.
        corners: Vertices that are points of the drawing (ends of its curves).
        degree: Polynomial degree of the curved edges below.
        curved_edges: Vertices of the edges that follow a curved line, shape (k, 2).
        curved_nodes: Their interior nodes, equally spaced in the reference edge, from the first
            to the second vertex, shape (k, degree - 1, 2).
    """

    points: np.ndarray
    cells: np.ndarray
    cell_region: np.ndarray
    regions: tuple[str, ...]
    edges: np.ndarray
    edge_boundary: np.ndarray
    boundaries: tuple[str, ...]
    corners: np.ndarray
    degree: int
    curved_edges: np.ndarray
    curved_nodes: np.ndarray


@contextmanager
def gmsh_session() -> Iterator[None]:
    """A fresh, silent Gmsh, closed again whatever happens inside."""
    if gmsh.isInitialized():
        gmsh.finalize()
    gmsh.initialize(readConfigFiles=False, interruptible=False)
    try:
        gmsh.option.setNumber("General.Terminal", 0)
        gmsh.option.setNumber("General.NumThreads", 1)
        gmsh.parser.clear()
        gmsh.model.add("device")
        gmsh.logger.start()
        yield
    finally:
        gmsh.logger.stop()
        gmsh.finalize()


def open_geo(path: Path, parameters: Mapping[str, float]) -> None:
    """Open a ``.geo`` script with some of its variables replaced.

    A copy is read, because Gmsh silently drops the last statement of a file that has no final
    newline, and because a plain assignment ``width = 100;`` would otherwise win over the
    parameter.

    Args:
        path: The script.
        parameters: New values of its variables, by name.

    Raises:
        GeometryError: Unknown variable, or a script that Gmsh refuses (its message is shown).
    """
    text = _read_text(path)
    for name, value in parameters.items():
        text = _assign(text, name, float(value))
    # Included files are named relative to the script, the copy lies elsewhere.
    text = re.sub(
        r'(?m)^(\s*(?:Include|Merge|ShapeFromFile)\s*\(?\s*")([^"/][^"]*)"',
        lambda m: f'{m[1]}{(path.parent / m[2]).resolve()}"',
        text,
    )
    known = set(re.findall(r"[A-Za-z_]\w*", re.sub(r"//.*|(?s:/\*.*?\*/)", "", text)))
    for name in parameters:
        if name not in known and "Include" not in text and "Merge" not in text:
            near = get_close_matches(name, _variables(text), n=1)
            hint = f"; did you mean '{near[0]}'?" if near else ""
            raise GeometryError(
                f"{path}: the drawing has no variable '{name}' (geometry.parameters){hint}"
                f" It has: {', '.join(_variables(text)) or 'none'}"
            )
    with tempfile.TemporaryDirectory(prefix="meso-") as folder:
        copy = Path(folder) / path.name
        copy.write_text(text + "\n")
        # merge, because open forgets the values that the parser was given
        try:
            _gmsh(path, lambda: gmsh.merge(str(copy)), hide=folder)
        except GeometryError:
            # Gmsh's parser keeps what it had not read yet for the next file, and drops one
            # statement of it at each error: empty files, until one passes.
            copy.write_text("\n")
            for _ in range(1000):
                with suppress(GeometryError):
                    _gmsh(path, lambda: gmsh.merge(str(copy)))
                    break
            raise


def _assign(text: str, name: str, value: float) -> str:
    """Set a variable: a plain assignment is replaced, DefineConstant takes Gmsh's own value."""
    assignment = re.compile(rf"(?m)^([ \t]*){re.escape(name)}([ \t]*)=(?!=)[^;]*;")
    parts = re.split(r"(?s)(DefineConstant\s*\[.*?\]\s*;)", text)
    for i in range(0, len(parts), 2):
        parts[i], found = assignment.subn(rf"\g<1>{name}\g<2>= {value!r};", parts[i], count=1)
        if found:
            return "".join(parts)
    gmsh.parser.setNumber(name, [value])
    return text


def _variables(text: str) -> list[str]:
    inside = " ".join(re.findall(r"(?s)DefineConstant\s*\[(.*?)\]\s*;", text))
    plain = re.findall(r"(?m)^\s*([A-Za-z_]\w*)\s*=(?!=)", text)
    return sorted({*re.findall(r"([A-Za-z_]\w*)\s*=", inside), *plain})


def open_mesh(path: Path) -> None:
    """Open a ``.msh`` file.

    Raises:
        GeometryError: A missing file or one that Gmsh cannot read.
    """
    _read_text(path)
    _gmsh(path, lambda: gmsh.open(str(path)))


def _read_text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError as error:
        raise GeometryError(f"{path}: cannot be read ({error.strerror})") from error


def _gmsh(path: Path, action: Callable[[], Any], hide: str = "") -> Any:
    """Run a Gmsh call; its errors become one GeometryError with Gmsh's own words."""
    failure = ""
    result = None
    try:
        result = action()
    except Exception as error:
        failure = str(error)
    log = [line for line in gmsh.logger.get() if line.startswith("Error")]
    gmsh.logger.stop()
    gmsh.logger.start()
    if failure or log:
        # The log names the place, the exception often only repeats its last line.
        words = dict.fromkeys(line.removeprefix("Error").lstrip(" :") for line in log)
        message = "; ".join(words) or failure or "unknown error"
        message = message.replace(f"{hide}/", "") if hide else message
        raise GeometryError(f"{path}: Gmsh refuses this drawing: {message}")
    return result


def groups(path: Path, dimension: int) -> dict[str, list[int]]:
    """Physical groups of one dimension: entity tags by name (its number, if it has none)."""
    found: dict[str, list[int]] = {}
    owner: dict[int, str] = {}
    for _, tag in gmsh.model.getPhysicalGroups(dimension):
        name = gmsh.model.getPhysicalName(dimension, tag) or str(tag)
        for entity in map(int, gmsh.model.getEntitiesForPhysicalGroup(dimension, tag)):
            if owner.setdefault(entity, name) != name:
                kind = {1: "curve", 2: "surface", 3: "volume"}[dimension]
                raise GeometryError(
                    f"{path}: {kind} {entity} is in two physical groups, '{owner[entity]}' and"
                    f" '{name}'; each needs exactly one"
                )
            found.setdefault(name, []).append(entity)
    return found


def check_plane(path: Path) -> None:
    """Raise a GeometryError if the open model has physical volumes."""
    if gmsh.model.getPhysicalGroups(3):
        raise GeometryError(
            f"{path}: a 3D mesh (physical volumes); this version solves 2D conductors:"
            " draw the conductor as surfaces in the xy plane"
        )


def generate(path: Path) -> None:
    """Triangulate the open drawing.

    Raises:
        GeometryError: Gmsh's own message, if it fails.
    """
    gmsh.option.setNumber("Mesh.ElementOrder", 1)
    gmsh.option.setNumber("Mesh.Algorithm", 6)
    _gmsh(path, lambda: gmsh.model.mesh.generate(2))


def extract(path: Path, degree: int | None) -> Drawing:
    """Read names, triangles and curved edges from the open, meshed model.

    Args:
        path: The file, for messages.
        degree: Degree of the curved edges taken from the drawing; None for a mesh file, whose
            own degree and nodes are used.

    Returns:
        The triangulated drawing.

    Raises:
        GeometryError: No physical groups, a 3D mesh, cells other than triangles, a surface that
            does not lie in a plane z = const, or a group without elements.
    """
    check_plane(path)
    regions = groups(path, 2)
    if not regions:
        raise GeometryError(
            f"{path}: no physical surface; name the conductor and its edges, for instance"
            ' Physical Surface("metal") = {1}; Physical Curve("source") = {4};'
        )
    boundaries = groups(path, 1)
    own = degree is None
    found = set()
    for entities in regions.values():
        for entity in entities:
            found |= set(map(int, gmsh.model.mesh.getElementTypes(2, entity)))
    degrees = [d for d, kind in _TRIANGLES.items() if kind in found]
    if found - set(_TRIANGLES.values()) or len(degrees) != 1:
        names = ", ".join(gmsh.model.mesh.getElementProperties(t)[0] for t in sorted(found))
        raise GeometryError(
            f"{path}: found {names or 'no elements'}; meso needs triangles, all of one degree"
            " (1 to 4)"
        )
    file_degree = degrees[0]

    tags, xyz, _ = gmsh.model.mesh.getNodes()
    xyz = xyz.reshape(-1, 3)
    number = np.full(int(tags.max()) + 1, -1, dtype=np.int64)
    number[tags.astype(np.int64)] = np.arange(len(tags))

    def elements(kind: int, entities: list[int]) -> np.ndarray:
        width = gmsh.model.mesh.getElementProperties(kind)[3]
        parts = [gmsh.model.mesh.getElementsByType(kind, e)[1] for e in entities]
        joined = np.concatenate(parts) if parts else np.empty(0)
        return number[joined.astype(np.int64)].reshape(-1, width)

    blocks = [elements(_TRIANGLES[file_degree], e) for e in regions.values()]
    for name, block in zip(regions, blocks, strict=True):
        if not len(block):
            raise GeometryError(f"{path}: the physical surface '{name}' has no triangles")
    full = np.concatenate(blocks)
    cell_region = np.repeat(np.arange(len(blocks)), [len(b) for b in blocks])
    lines = [elements(_LINES[file_degree], e) for e in boundaries.values()]
    edges = np.concatenate([e[:, :2] for e in lines]) if lines else np.empty((0, 2), np.int64)
    edge_boundary = np.repeat(np.arange(len(lines)), [len(e) for e in lines])

    used = np.unique(full)
    z = xyz[used, 2]
    extent = np.ptp(xyz[used, :2], axis=0).max()
    if np.ptp(z) > 1e-9 * extent:
        raise GeometryError(
            f"{path}: the surfaces do not lie in one plane z = const (z from {z.min():g} to"
            f" {z.max():g}); draw 2D conductors in the xy plane"
        )
    points = xyz[:, :2]
    cells = full[:, :3].copy()
    a, b, c = (points[cells[:, i]] for i in range(3))
    clockwise = cross(b - a, c - a) < 0
    cells[clockwise] = cells[clockwise][:, [0, 2, 1]]

    if own and file_degree > 1:
        degree = file_degree
        curved, nodes = _edges_of_cells(full, points, file_degree)
    elif degree is not None and degree > 1:
        surfaces = [(2, e) for group in regions.values() for e in group]
        curves = {abs(t) for _, t in gmsh.model.getBoundary(surfaces, combined=False)}
        curved, nodes = _edges_on_curves(sorted(curves), number, degree)
    else:
        curved, nodes = np.empty((0, 2), np.int64), np.empty((0, 0, 2))

    vertices = np.unique(cells)
    compact = np.full(len(points), -1, dtype=np.int64)
    compact[vertices] = np.arange(len(vertices))
    at_points = [elements(15, [t]) for _, t in gmsh.model.getEntities(0)]
    corners = compact[np.concatenate([p.ravel() for p in at_points])] if at_points else []
    return Drawing(
        points=points[vertices],
        cells=compact[cells],
        cell_region=cell_region,
        regions=tuple(regions),
        edges=compact[edges],
        edge_boundary=edge_boundary,
        boundaries=tuple(boundaries),
        corners=np.asarray([c for c in corners if c >= 0], dtype=np.int64),
        degree=degree if degree and len(curved) else 1,
        curved_edges=compact[curved],
        curved_nodes=nodes,
    )


def _edges_of_cells(full: np.ndarray, points: np.ndarray, degree: int) -> tuple[Any, Any]:
    """Edge nodes of a high-order mesh file (Gmsh: edges 01, 12, 20, each with degree-1 nodes)."""
    n = degree - 1
    ends = np.concatenate([full[:, [0, 1]], full[:, [1, 2]], full[:, [2, 0]]])
    inner = np.concatenate([full[:, 3 + i * n : 3 + (i + 1) * n] for i in range(3)])
    _, first = np.unique(np.sort(ends, axis=1), axis=0, return_index=True)
    ends, nodes = ends[first], points[inner[first]]
    s = np.arange(1, degree) / degree
    straight = points[ends[:, 0], None] * (1 - s)[:, None] + points[ends[:, 1], None] * s[:, None]
    length = np.linalg.norm(points[ends[:, 1]] - points[ends[:, 0]], axis=1)
    bent = np.abs(nodes - straight).max(axis=(1, 2)) > 1e-10 * length
    return ends[bent], nodes[bent]


def _edges_on_curves(curves: list[int], number: np.ndarray, degree: int) -> tuple[Any, Any]:
    """Nodes on the curved lines of the drawing, equally spaced in the curve's own parameter."""
    all_ends: list[np.ndarray] = [np.empty((0, 2), np.int64)]
    all_nodes: list[np.ndarray] = [np.empty((0, degree - 1, 2))]
    s = np.arange(1, degree) / degree
    for curve in curves:
        if gmsh.model.getType(1, curve) in ("Line", "Discrete curve"):
            continue
        ends = gmsh.model.mesh.getElementsByType(1, curve)[1].astype(np.int64).reshape(-1, 2)
        tags, _, u = gmsh.model.mesh.getNodes(1, curve, False, True)
        low, high = (float(v[0]) for v in gmsh.model.getParametrizationBounds(1, curve))
        # Gmsh lists the elements in the order of the parameter; the ends of the curve, which
        # may be one point, carry none of their own.
        parameter = dict(zip(tags.astype(np.int64).tolist(), u.tolist(), strict=True))
        chain = np.array([low, *(parameter[int(t)] for t in ends[:-1, 1]), high])
        pairs = np.column_stack([chain[:-1], chain[1:]])
        at = pairs[:, :1] * (1 - s) + pairs[:, 1:] * s
        xyz = np.array(gmsh.model.getValue(1, curve, at.ravel().tolist())).reshape(
            -1, degree - 1, 3
        )
        all_ends.append(number[ends])
        all_nodes.append(xyz[:, :, :2])
    return np.concatenate(all_ends), np.concatenate(all_nodes)
