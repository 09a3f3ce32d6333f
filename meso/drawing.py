"""Drawings: what a meshed one consists of, and how Gmsh opens and meshes a file.

Everything here runs on one rank and knows nothing of DOLFINx. Lengths are in the unit of the
file; :mod:`meso.device` converts them.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import gmsh
import numpy as np

from meso.errors import GeometryError


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """A drawing cut into d-dimensional simplices, d = 2 or 3, in the unit of its file.

    Attributes:
        points: Vertex coordinates, shape (n, d).
        cells: Vertices of each triangle or tetrahedron, positively oriented, shape (c, d + 1).
        cell_region: Index into ``regions`` of each cell, shape (c,).
        regions: Names of the physical surfaces (3D: volumes).
        facets: Vertices of each line (3D: triangle) in a physical curve (surface), shape (m, d).
        facet_boundary: Index into ``boundaries`` of each of them, shape (m,).
        boundaries: Names of the physical curves (surfaces).
        corners: Where smooth pieces of a boundary may meet: vertices that are points of the
            drawing, shape (k,); in 3D edges that lie on its curves, shape (k, 2).
        degree: Polynomial degree of the curved edges below, at most 2 in 3D.
        curved_edges: Vertices of the edges that follow a curved line or surface, shape (e, 2).
        curved_nodes: Their interior nodes, equally spaced in the reference edge, from the first
            to the second vertex, shape (e, degree - 1, d).
        cell_data: Values in the cells by name, each of shape (c, ...).
    """

    points: np.ndarray
    cells: np.ndarray
    cell_region: np.ndarray
    regions: tuple[str, ...]
    facets: np.ndarray
    facet_boundary: np.ndarray
    boundaries: tuple[str, ...]
    corners: np.ndarray
    degree: int
    curved_edges: np.ndarray
    curved_nodes: np.ndarray
    cell_data: Mapping[str, np.ndarray] = field(default_factory=dict)

    @property
    def dimension(self) -> int:
        """2 or 3."""
        return self.points.shape[1]


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
            run_gmsh(path, lambda: gmsh.merge(str(copy)), hide=folder)
        except GeometryError:
            # Gmsh's parser keeps what it had not read yet for the next file, and drops one
            # statement of it at each error: empty files, until one passes.
            copy.write_text("\n")
            for _ in range(1000):
                with suppress(GeometryError):
                    run_gmsh(path, lambda: gmsh.merge(str(copy)))
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
    run_gmsh(path, lambda: gmsh.open(str(path)))


def _read_text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError as error:
        raise GeometryError(f"{path}: cannot be read ({error.strerror})") from error


def run_gmsh(path: Path, action: Callable[[], Any], hide: str = "") -> Any:
    """Run a Gmsh call; its errors become one GeometryError with Gmsh's own words.

    Args:
        path: The file, for messages.
        action: The call.
        hide: A temporary folder that the message leaves out.

    Returns:
        What the call returns.
    """
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


def dimension_of_drawing() -> int:
    """3 if the open model has physical volumes, else 2."""
    return 3 if gmsh.model.getPhysicalGroups(3) else 2


def generate(path: Path, dimension: int = 2) -> None:
    """Mesh the open drawing with straight triangles or tetrahedra.

    Raises:
        GeometryError: Gmsh's own message, if it fails.
    """
    gmsh.option.setNumber("Mesh.ElementOrder", 1)
    gmsh.option.setNumber("Mesh.Algorithm", 6)
    run_gmsh(path, lambda: gmsh.model.mesh.generate(dimension))
