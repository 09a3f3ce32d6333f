"""Drawings in Gmsh: how it opens and meshes a file.

Everything here runs in the process of Gmsh (:mod:`meso.geometry.gmsh_process`). Lengths are in the
unit of the file.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import gmsh

from meso.errors import GeometryError
from meso.geometry import scripts
from meso.geometry.simplices import Drawing

__all__ = [
    "Drawing",
    "dimension_of_drawing",
    "generate",
    "gmsh_session",
    "groups",
    "open_geo",
    "open_mesh",
    "run_gmsh",
]


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


def open_geo(path: Path, parameters: Mapping[str, float], *, trusted: bool = False) -> None:
    """Open a ``.geo`` script with some of its variables replaced.

    A copy is read, because a plain assignment ``width = 100;`` would otherwise win over the
    parameter.

    Args:
        path: The script.
        parameters: New values of its variables, by name.
        trusted: True if it may run commands and write files.

    Raises:
        GeometryError: Unknown variable, a script that must not run, or one that Gmsh refuses (its
            message is shown).
    """
    text = _read_text(path)
    for name, value in parameters.items():
        text = _assign(text, name, float(value))
    # Gmsh drops the last statement of a file that has no final newline.
    text += "\n"
    if not trusted:
        scripts.check(path, text)
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
        copy.write_text(scripts.with_absolute_names(path, text))
        # merge, because open forgets the values that the parser was given
        run_gmsh(path, lambda: gmsh.merge(str(copy)), hide=folder)


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


def open_mesh(path: Path, *, trusted: bool = False) -> None:
    """Open a ``.msh`` file.

    Args:
        path: The file.
        trusted: True if the options next to it may run commands and write files.

    Raises:
        GeometryError: A missing file or one that Gmsh cannot read.
    """
    _read_text(path)
    if not scripts.is_mesh(path):
        raise GeometryError(f"{path}: no mesh of Gmsh: such a file begins with $MeshFormat")
    if not trusted:
        scripts.check_options(path)
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
    except UnicodeDecodeError as error:  # in the message of another error
        failure = bytes(error.object).decode(errors="replace")
    except Exception as error:
        failure = str(error)
    try:
        lines = gmsh.logger.get()
    except UnicodeDecodeError as error:
        lines = [bytes(error.object).decode(errors="replace")]
    log = [line for line in lines if line.startswith("Error")]
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
