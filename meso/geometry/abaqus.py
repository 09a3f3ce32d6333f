"""Input files of Abaqus and CalculiX: nodes, elements, sets and surfaces.

meshio reads them too, but loses sets: those in the header of an element block after one without,
all but the last block of a set, sets of sets, and surfaces.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from meso.errors import GeometryError
from meso.geometry.simplices import positions

# Element types by the kind of their cell.
_FLAT = r"CP[SE]G?|D?CAX|[DA]C2D|D?S|M3D|R3D|SFM3D|STRI"
_TYPES = {
    "tetra": r"(D|F|A)?C3D4",
    "tetra10": r"(D|F|A)?C3D10",
    "triangle": rf"({_FLAT})3",
    "triangle6": rf"({_FLAT})6|STRI65",
    "line": r"(T[23]D|R2D|DC1D)2|B[23][13]",
    "line3": r"(T[23]D|R2D|DC1D)3|B[23]2",
}
_NODES = {"tetra": 4, "tetra10": 10, "triangle": 3, "triangle6": 6, "line": 2, "line3": 3}
_POINTS = re.compile(r"MASS|ROTARY|SPRING|DASHPOT|CONN|GAP|HEATCAP")  # elements without a cell
# Faces S1, S2, ... of an element.
_FACES = {
    "triangle": ((0, 1), (1, 2), (2, 0)),
    "tetra": ((0, 1, 2), (0, 3, 1), (1, 3, 2), (2, 3, 0)),
}
_GENERATED = ("NGEN", "NFILL", "NCOPY", "NMAP", "ELGEN", "ELCOPY")


Blocks = list[tuple[str, np.ndarray]]  # kinds of cells, and their numbers and nodes


@dataclass(slots=True)
class _Set:
    """Members of a set of nodes or elements: numbers and names of other sets."""

    name: str
    numbers: list[np.ndarray] = field(default_factory=lambda: [np.empty(0, np.int64)])
    others: list[str] = field(default_factory=list)
    rank: int = 1  # 0 if somebody made it by hand, 2 if it only serves a surface


class _Sets(dict[str, _Set]):
    """Sets by name, in lower case."""

    def at(self, name: str) -> _Set:
        return self.setdefault(name.casefold(), _Set(name))

    def members(self, path: Path, name: str, seen: frozenset[str] = frozenset()) -> np.ndarray:
        """Numbers in a set, also those of the sets that it names."""
        key = name.casefold()
        if name.isdigit():
            return np.array([int(name)])
        if key not in self or key in seen:
            raise GeometryError(
                f"{path}: no set '{name}', which another set or surface names; the file has"
                f" {', '.join(s.name for s in self.values()) or 'none'}"
            )
        others = [self.members(path, other, seen | {key}) for other in self[key].others]
        return np.concatenate([*self[key].numbers, *others])

    def found(self, path: Path, numbers: np.ndarray) -> dict[str, np.ndarray]:
        """Where the members of each set are among some numbers."""
        each = {entry.name: self.members(path, entry.name) for entry in self.values()}
        return {name: np.flatnonzero(np.isin(numbers, mine)) for name, mine in each.items()}


def read(path: Path) -> dict[str, Any]:
    """The mesh of an input file, as arguments of :class:`meso.geometry.foreign.RawMesh`.

    A GeometryError tells what is not a plain mesh of one part.
    """
    tables: list[np.ndarray] = []
    elements: Blocks = []
    sets = {"NSET": _Sets(), "ELSET": _Sets()}
    surfaces: dict[str, list[tuple[str, list[str]]]] = {}
    parts = 0
    for keyword, options, rows in _blocks(path, frozenset()):
        parts += keyword == "PART"
        if (wrong := _refused(keyword, options, rows)) or parts > 1:
            several = "several parts; write one part, or a file without parts"
            raise GeometryError(f"{path}: found {wrong or several}")
        if keyword == "NODE":
            tables.append(_nodes(path, rows))
            if "NSET" in options:
                sets["NSET"].at(options["NSET"]).numbers.append(tables[-1][:, 0].astype(np.int64))
        elif keyword == "ELEMENT" and (block := _elements(path, options.get("TYPE", ""), rows)):
            elements.append(block)
            if "ELSET" in options:
                sets["ELSET"].at(options["ELSET"]).numbers.append(block[1][:, 0])
        elif keyword in sets and keyword in options:
            _extend(sets[keyword].at(options[keyword]), options, rows)
        elif keyword == "SURFACE" and "NAME" in options:
            kind = options.get("TYPE", "ELEMENT").upper()
            surfaces.setdefault(options["NAME"], []).extend((kind, row) for row in rows if row)
    if not tables or not elements:
        raise GeometryError(f"{path}: no *NODE and *ELEMENT with a mesh in it")
    return _mesh(path, np.concatenate(tables), elements, sets, surfaces)


def _refused(keyword: str, options: dict[str, str], rows: list[list[str]]) -> str:
    """What there is that is not read, and what would be."""
    if keyword in _GENERATED:
        return f"*{keyword}; meso reads nodes and elements that are listed"
    if keyword == "INSTANCE" and any(rows):
        return "an instance that is moved; write the part where it belongs"
    if keyword == "NODE" and options.get("SYSTEM", "R").upper() != "R":
        return f"nodes in SYSTEM={options['SYSTEM']}; must be Cartesian"
    return ""


def _nodes(path: Path, rows: list[list[str]]) -> np.ndarray:
    """Numbers and coordinates, of which those that are left out are zero."""
    try:
        full = [[float(w or 0) for w in row] + [0.0] * (4 - len(row)) for row in rows if row]
        return np.array(full, dtype=float).reshape(len(full), -1)[:, :4]
    except ValueError as error:
        raise GeometryError(f"{path}: a node cannot be read: {error}") from None


def _elements(path: Path, given: str, rows: list[list[str]]) -> tuple[str, np.ndarray] | None:
    """Kind, and numbers and nodes, of elements of one type; None for what is no cell."""
    matching = (k for k, p in _TYPES.items() if re.match(rf"({p})(?!\d)", given.upper()))
    kind = next(matching, "")
    if not kind and _POINTS.match(given.upper()):
        return None
    if not kind:
        raise GeometryError(
            f"{path}: found elements of type {given.upper() or 'unknown'}; meso needs triangles"
            " (such as CPS3, CPS6, S3) or tetrahedra (C3D4, C3D10)"
        )
    try:
        numbers = [[int(w) for w in row if w] for row in rows]
        if kind == "line" and numbers and len(numbers[0]) == 4:
            kind = "line3"  # as meshio writes them, under the name of a beam with two nodes
        flat = np.array([n for row in numbers for n in row], dtype=np.int64)
        table = flat.reshape(-1, _NODES[kind] + 1)
    except ValueError as error:
        raise GeometryError(f"{path}: elements of type {given}: {error}") from None
    return (kind, table) if len(table) else None


def _extend(entry: _Set, options: dict[str, str], rows: list[list[str]]) -> None:
    """Take the members of a set that are listed in a block."""
    entry.rank = 2 if "INTERNAL" in options else 0
    for row in rows:
        numbers = np.array([int(w) for w in row if w.lstrip("-").isdigit()], dtype=np.int64)
        if "GENERATE" in options and len(numbers):
            first, last, step = (*numbers, 1)[:3]
            numbers = np.arange(first, last + 1, step)
        entry.numbers.append(numbers)
        entry.others += [_local(w) for w in row if w and not w.lstrip("-").isdigit()]


def _mesh(
    path: Path,
    nodes: np.ndarray,
    elements: Blocks,
    sets: dict[str, _Sets],
    surfaces: dict[str, list[tuple[str, list[str]]]],
) -> dict[str, Any]:
    """Numbers of nodes, elements and sets turned into positions."""
    node = nodes[:, 0].astype(np.int64)
    element = np.concatenate([table[:, 0] for _, table in elements])
    for what, numbers in (("a node", node), ("an element", element)):
        if len(np.unique(numbers)) < len(numbers):
            raise GeometryError(f"{path}: found {what} number twice; are there several parts?")
    blocks = []
    for kind, table in elements:
        at = positions(node, table[:, 1:])
        if (at < 0).any():
            missing = f"names node {table[:, 1:][at < 0][0]}: no such"
            raise GeometryError(f"{path}: an element of the kind {kind} {missing}")
        blocks.append((kind, at))
    node_sets, facets = sets["NSET"].found(path, node), {}
    for name, rows in surfaces.items():
        found = [sets["NSET"].members(path, row[0]) for kind, row in rows if kind == "NODE"]
        if found:
            node_sets[name] = np.flatnonzero(np.isin(node, np.concatenate(found)))
        parts: list[np.ndarray] = []
        for row in (row for kind, row in rows if kind == "ELEMENT"):
            used = _local(row[0])
            chosen = np.isin(element, sets["ELSET"].members(path, used))
            if used.casefold() in sets["ELSET"]:
                sets["ELSET"].at(used).rank = 2  # it only serves the surface
            parts += _facets(blocks, chosen, row[1].upper() if len(row) > 1 else "")
        if parts:
            wide = max(part.shape[1] for part in parts)
            facets[name] = np.concatenate([part for part in parts if part.shape[1] == wide])
    return {
        "points": nodes[:, 1:],
        "blocks": blocks,
        "sets": sets["ELSET"].found(path, element),
        "ranks": {entry.name: entry.rank for entry in sets["ELSET"].values()},
        "surfaces": facets,
        "node_sets": node_sets,
    }


def _facets(blocks: Blocks, chosen: np.ndarray, face: str) -> Iterator[np.ndarray]:
    """Vertices of one face of the chosen elements, of each kind."""
    start = 0
    for kind, nodes in blocks:
        here = nodes[chosen[start : start + len(nodes)]]
        start += len(nodes)
        faces = _FACES.get(kind.rstrip("0123456789"), ())
        if face in ("SPOS", "SNEG"):
            yield here[:, :3]
        elif face[:1] in ("S", "E") and face[1:].isdigit() and 0 < int(face[1:]) <= len(faces):
            yield here[:, faces[int(face[1:]) - 1]]


def _local(name: str) -> str:
    """The number or set of "instance.number" and "instance.set" of an assembly."""
    return name.rpartition(".")[2]


def _blocks(
    path: Path, seen: frozenset[Path]
) -> Iterator[tuple[str, dict[str, str], list[list[str]]]]:
    """Keywords of a file with their options and the words of their data lines."""
    try:
        text = path.read_text(errors="replace")
    except OSError as error:
        raise GeometryError(f"{path}: cannot be read ({error.strerror})") from error
    keyword, rows = "", []
    options: dict[str, str] = {}
    lines = iter(text.splitlines())
    for line in lines:
        if line.startswith("**"):
            continue
        if not line.lstrip().startswith("*"):
            rows.append(_words(line))
            continue
        if keyword:
            yield keyword, options, rows
        while line.rstrip().endswith(","):
            line = line.rstrip() + next(lines, "")
        first, *others = line.strip().lstrip("*").split(",")
        pairs = (other.partition("=") for other in others)
        keyword = " ".join(first.upper().split())
        options = {k.strip().upper(): v.strip().strip('"') for k, _, v in pairs}
        rows = []
        if keyword == "INCLUDE":
            included = (path.parent / options.get("INPUT", "")).resolve()
            if included in seen:
                raise GeometryError(f"{path}: includes itself through {included.name}")
            yield from _blocks(included, seen | {path.resolve(), included})
    if keyword:
        yield keyword, options, rows


def _words(line: str) -> list[str]:
    """Values of a line; the comma at its end says nothing."""
    words = [word.strip().strip('"') for word in line.strip().split(",")]
    while words and not words[-1]:
        words.pop()
    return words
