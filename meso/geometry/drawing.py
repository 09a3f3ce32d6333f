"""Drawings in Gmsh: how it opens and meshes a file.

Everything here runs in the process of Gmsh (:mod:`meso.geometry.gmsh_process`). Lengths are in the
unit of the file.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import gmsh
import numpy as np

from meso.errors import GeometryError
from meso.geometry import scripts, variables

#: What Gmsh calls entities of each dimension.
KIND = {1: "curve", 2: "surface", 3: "volume"}
# A wall that bends by less than this at a curve of the drawing is smooth there (degrees).
_SMOOTH = 1.0


def start() -> None:
    """A fresh, silent Gmsh in this process, which has no other drawing."""
    gmsh.initialize(readConfigFiles=False, interruptible=False)
    gmsh.option.setNumber("General.Terminal", 0)
    gmsh.option.setNumber("General.NumThreads", 1)
    gmsh.model.add("device")
    gmsh.logger.start()


def open_geo(path: Path, parameters: Mapping[str, float], *, trusted: bool = False) -> None:
    """Open a ``.geo`` script with some of its variables replaced.

    A copy is read (:mod:`meso.geometry.variables`). Raises a GeometryError for an unknown variable,
    one whose value the drawing fixes, a script that must not run, and one that Gmsh refuses (its
    message is shown).
    """
    text, told = variables.replaced(path, scripts.read_text(path), parameters)
    # Gmsh drops the last statement of a file that has no final newline.
    text += "\n"
    if not trusted:
        scripts.check(path, text)
    with tempfile.TemporaryDirectory(prefix="meso-") as folder:
        copy = Path(folder) / path.name
        copy.write_text(scripts.with_absolute_names(path, text))
        # merge, because open forgets the values that the parser was given
        run_gmsh(path, lambda: gmsh.merge(str(copy)), hide=folder)
    variables.check_taken(path, told, parameters)


def open_mesh(path: Path, *, trusted: bool = False) -> None:
    """Open a ``.msh`` file; raises a GeometryError for a missing one or one that is no mesh."""
    scripts.read_text(path)
    if not scripts.is_mesh(path):
        raise GeometryError(f"{path}: no mesh of Gmsh: such a file begins with $MeshFormat")
    if not trusted:
        scripts.check_options(path)
    run_gmsh(path, lambda: gmsh.open(str(path)))


def run_gmsh(path: Path, action: Callable[[], Any], hide: str = "") -> Any:
    """Run a Gmsh call; its errors become one GeometryError with Gmsh's own words.

    The message leaves out the name of a temporary folder to ``hide``.
    """
    result, failure = _tried(action)
    lines, garbled = _tried(gmsh.logger.get)
    log = [line for line in lines or [garbled] if line.startswith("Error")]
    gmsh.logger.stop()
    gmsh.logger.start()
    if failure or log:
        # The log names the place, the exception often only repeats its last line.
        words = dict.fromkeys(line.removeprefix("Error").lstrip(" :") for line in log)
        message = "; ".join(words) or failure
        message = message.replace(f"{hide}/", "") if hide else message
        if re.search(r"Physical \w+ \d+ already exists", message):
            message += (
                "; a name is given twice: list all that it has in one statement, or add with +="
            )
        raise GeometryError(f"{path}: Gmsh refuses this drawing: {message}")
    return result


def _tried(action: Callable[[], Any]) -> tuple[Any, str]:
    """What a call returns, and the words of its error."""
    try:
        return action(), ""
    except UnicodeDecodeError as error:  # in the message of another error
        return None, bytes(error.object).decode(errors="replace")
    except Exception as error:
        return None, str(error) or "unknown error"


def generate(path: Path, dimension: int = 2) -> None:
    """Mesh the open drawing with straight triangles or tetrahedra."""
    gmsh.option.setNumber("Mesh.ElementOrder", 1)
    gmsh.option.setNumber("Mesh.Algorithm", 6)
    run_gmsh(path, lambda: gmsh.model.mesh.generate(dimension))


# -- what is open ----------------------------------------------------------------------------------


def entities(dimension: int) -> list[int]:
    """Tags of the entities of a dimension."""
    return [tag for _, tag in gmsh.model.getEntities(dimension)]


def dimension_of_drawing() -> int:
    """3 if there are physical volumes, else 2."""
    return 3 if gmsh.model.getPhysicalGroups(3) else 2


def groups(path: Path, dimension: int) -> dict[str, list[int]]:
    """Physical groups of one dimension: entity tags by name (its number, if it has none)."""
    found: dict[str, list[int]] = {}
    owner: dict[int, str] = {}
    for _, tag in gmsh.model.getPhysicalGroups(dimension):
        name = gmsh.model.getPhysicalName(dimension, tag) or str(tag)
        for entity in map(int, gmsh.model.getEntitiesForPhysicalGroup(dimension, tag)):
            if owner.setdefault(entity, name) != name:
                raise GeometryError(
                    f"{path}: {KIND[dimension]} {entity} is in two physical groups,"
                    f" '{owner[entity]}' and '{name}'; each needs exactly one"
                )
            found.setdefault(name, []).append(entity)
    return found


def _stale(path: Path, dimension: int) -> str:
    """What to say of a name for something that Boolean operations have renumbered."""
    kind, there = KIND[dimension], [tag for _, tag in gmsh.model.getEntities(dimension)]
    if path.suffix != ".geo" or not there:
        return ""
    lost = re.search(rf"^\s*Physical\s+{kind}\s*\(([^)]*)\)", scripts.read_text(path), re.I | re.M)
    if not lost:
        return ""
    return (
        f"{path}: Physical {kind.capitalize()}({lost[1]}) names no {kind} that is there;"
        f" what Boolean operations made is {kind} {', '.join(map(str, there))}"
    )


def named_regions(path: Path, dimension: int) -> dict[str, list[int]]:
    """Physical groups of surfaces (3D: volumes), of which there must be one."""
    regions = groups(path, dimension)
    if not regions and (stale := _stale(path, dimension)):
        raise GeometryError(stale)
    if not regions:
        raise GeometryError(
            f"{path}: no physical surface; name the conductor and its edges, for instance"
            ' Physical Surface("metal") = {1}; Physical Curve("source") = {4}; in three dimensions'
            ' Physical Volume("metal") = {1}; Physical Surface("source") = {4};'
        )
    return regions


def bounding_box() -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper corner, shape (3,) each."""
    low, high = np.array(gmsh.model.getBoundingBox(-1, -1)).reshape(2, 3)
    return low, high


def nodes() -> tuple[np.ndarray, np.ndarray]:
    """Coordinates (n, 3) of the nodes of the mesh, and their numbers there by Gmsh's tags."""
    tags, xyz, _ = gmsh.model.mesh.getNodes()
    number = np.full(int(tags.max(initial=0)) + 1, -1, dtype=np.int64)
    number[tags.astype(np.int64)] = np.arange(len(tags))
    return xyz.reshape(-1, 3), number


def simplex(dimension: int, degree: int = 1) -> int:
    """Gmsh's type of the points, lines, triangles or tetrahedra of a degree."""
    name = ("point", "line", "triangle", "tetrahedron")[dimension]
    return gmsh.model.mesh.getElementType(name, degree if dimension else 0)


def elements(kind: int, tags: list[int], number: np.ndarray) -> np.ndarray:
    """Nodes of the elements of one Gmsh type on some entities (-1: all), shape (e, nodes)."""
    width = gmsh.model.mesh.getElementProperties(kind)[3]
    found = [gmsh.model.mesh.getElementsByType(kind, tag)[1] for tag in tags]
    joined = np.concatenate([np.empty(0), *found])
    return number[joined.astype(np.int64)].reshape(-1, width)


# -- its curves ------------------------------------------------------------------------------------


def bounds(curve: int) -> tuple[float, float]:
    """First and last parameter of a curve."""
    low, high = (float(v[0]) for v in gmsh.model.getParametrizationBounds(1, curve))
    return low, high


def curve_values(curve: int, at: np.ndarray) -> np.ndarray:
    """Points of a curve at some of its parameters, shape (n, 3)."""
    return np.array(gmsh.model.getValue(1, curve, np.ravel(at).tolist())).reshape(-1, 3)


def curve_points(curve: int, count: int) -> np.ndarray:
    """Points along a curve, shape (count, 3)."""
    return curve_values(curve, np.linspace(*bounds(curve), count))


def curve_length(curve: int) -> float:
    """Length of a curve."""
    return float(np.linalg.norm(np.diff(curve_points(curve, 33), axis=0), axis=1).sum())


def is_straight(curve: int) -> bool:
    """True for straight lines."""
    return gmsh.model.getType(1, curve) == "Line"


def is_seam(curve: int) -> bool:
    """True if a curve only divides what is one smooth surface."""
    surfaces = list(map(int, gmsh.model.getAdjacencies(1, curve)[0]))
    if gmsh.model.getType(1, curve) == "Discrete curve":
        return False
    if len(surfaces) != 2:
        return len(surfaces) == 1  # where a closed surface begins and ends
    try:
        at = np.linspace(*bounds(curve), 5).tolist()
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
