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
_NONE = np.empty(0, np.int64)


@dataclass(slots=True)
class _Set:
    """Members of a set of nodes or elements: numbers and names of other sets."""

    name: str
    numbers: list[np.ndarray] = field(default_factory=lambda: [_NONE])
    others: list[str] = field(default_factory=list)
    rank: int = 1  # 0 if somebody made it by hand, 2 if it only serves a surface


class _Sets(dict[str, _Set]):
    """Sets by name, in lower case."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path

    def add(self, name: str, numbers: np.ndarray = _NONE) -> _Set:
        entry = self.setdefault(name.casefold(), _Set(name))
        entry.numbers.append(numbers)
        return entry

    def members(self, name: str, seen: frozenset[str] = frozenset()) -> np.ndarray:
        """Numbers in a set, also those of the sets that it names."""
        key = name.casefold()
        if name.isdigit():
            return np.array([int(name)])
        if key not in self or key in seen:
            raise GeometryError(
                f"{self.path}: no set '{name}', which another set or surface names; the file has"
                f" {', '.join(s.name for s in self.values()) or 'none'}"
            )
        others = [self.members(other, seen | {key}) for other in self[key].others]
        return np.concatenate([*self[key].numbers, *others])

    def found(self, numbers: np.ndarray) -> dict[str, np.ndarray]:
        """Where the members of each set are among some numbers."""
        each = {entry.name: self.members(entry.name) for entry in self.values()}
        return {name: np.flatnonzero(np.isin(numbers, mine)) for name, mine in each.items()}


def read(path: Path) -> dict[str, Any]:
    """The mesh of an input file, as arguments of :class:`meso.geometry.foreign.RawMesh`.

    A GeometryError tells what is not a plain mesh of one part.
    """
    return _Reader(path).mesh()


class _Reader:
    """Collects the keywords of a file and of those that it includes, and makes a mesh of them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.nodes: list[np.ndarray] = []
        self.elements: list[tuple[str, np.ndarray]] = []  # kind; number, nodes
        self.element_sets, self.node_sets = _Sets(path), _Sets(path)
        self.surfaces: dict[str, list[tuple[str, list[str]]]] = {}
        self.in_part = False
        for keyword, options, rows in _blocks(path, frozenset()):
            self._take(keyword, options, rows)

    def _error(self, text: str) -> GeometryError:
        return GeometryError(f"{self.path}: {text}")

    def _take(self, keyword: str, options: dict[str, str], rows: list[list[str]]) -> None:
        if keyword in _GENERATED:
            raise self._error(f"found *{keyword}; meso reads nodes and elements that are listed")
        if keyword == "PART":
            if self.in_part:
                raise self._error("found several parts; write one part, or a file without parts")
            self.in_part = True
        elif keyword == "INSTANCE" and any(rows):
            raise self._error("found an instance that is moved; write the part where it belongs")
        elif keyword == "NODE":
            self._node(options, rows)
        elif keyword == "ELEMENT":
            self._element(options, rows)
        elif keyword in ("NSET", "ELSET") and keyword in options:
            self._set(keyword, options, rows)
        elif keyword == "SURFACE" and "NAME" in options:
            kind = options.get("TYPE", "ELEMENT").upper()
            self.surfaces.setdefault(options["NAME"], []).extend((kind, r) for r in rows if r)

    def _node(self, options: dict[str, str], rows: list[list[str]]) -> None:
        if options.get("SYSTEM", "R").upper() != "R":
            raise self._error(f"found nodes in SYSTEM={options['SYSTEM']}; must be Cartesian")
        try:
            # Coordinates that are left out are zero.
            full = [[float(w or 0) for w in row] + [0.0] * (4 - len(row)) for row in rows if row]
            table = np.array(full, dtype=float).reshape(len(full), -1)[:, :4]
        except ValueError as error:
            raise self._error(f"a node cannot be read: {error}") from None
        self.nodes.append(table)
        if "NSET" in options:
            self.node_sets.add(options["NSET"], table[:, 0].astype(np.int64))

    def _element(self, options: dict[str, str], rows: list[list[str]]) -> None:
        given = options.get("TYPE", "")
        matching = (k for k, p in _TYPES.items() if re.match(rf"({p})(?!\d)", given.upper()))
        kind = next(matching, "")
        if not kind and _POINTS.match(given.upper()):
            return
        if not kind:
            raise self._error(
                f"found elements of type {given.upper() or 'unknown'}; meso needs triangles (such"
                " as CPS3, CPS6, S3) or tetrahedra (C3D4, C3D10)"
            )
        try:
            numbers = [[int(w) for w in row if w] for row in rows]
            if kind == "line" and numbers and len(numbers[0]) == 4:
                kind = "line3"  # as meshio writes them, under the name of a beam with two nodes
            flat = np.array([n for row in numbers for n in row], dtype=np.int64)
            table = flat.reshape(-1, _NODES[kind] + 1)
        except ValueError as error:
            raise self._error(f"elements of type {given}: {error}") from None
        if len(table):
            self.elements.append((kind, table))
            if "ELSET" in options:
                self.element_sets.add(options["ELSET"], table[:, 0])

    def _set(self, keyword: str, options: dict[str, str], rows: list[list[str]]) -> None:
        entry = (self.node_sets if keyword == "NSET" else self.element_sets).add(options[keyword])
        entry.rank = 2 if "INTERNAL" in options else 0
        for row in rows:
            numbers = np.array([int(w) for w in row if w.lstrip("-").isdigit()], dtype=np.int64)
            if "GENERATE" in options and len(numbers):
                first, last, step = (*numbers, 1)[:3]
                numbers = np.arange(first, last + 1, step)
            entry.numbers.append(numbers)
            entry.others += [_local(w) for w in row if w and not w.lstrip("-").isdigit()]

    def mesh(self) -> dict[str, Any]:
        """The mesh that the file describes."""
        if not self.nodes or not self.elements:
            raise self._error("no *NODE and *ELEMENT with a mesh in it")
        nodes = np.concatenate(self.nodes)
        node = nodes[:, 0].astype(np.int64)
        element = np.concatenate([table[:, 0] for _, table in self.elements])
        for what, numbers in (("a node", node), ("an element", element)):
            if len(np.unique(numbers)) < len(numbers):
                raise self._error(f"found {what} number twice; are there several parts?")
        blocks = []
        for kind, table in self.elements:
            at = positions(node, table[:, 1:])
            if (at < 0).any():
                missing = table[:, 1:][at < 0][0]
                raise self._error(f"an element of the kind {kind} names node {missing}: no such")
            blocks.append((kind, at))

        sets = self.element_sets.found(element)
        node_sets = self.node_sets.found(node)
        surfaces = {}
        for name, rows in self.surfaces.items():
            listed = [row for kind, row in rows if kind == "ELEMENT"]
            parts = [facets for row in listed for facets in self._facets(row, blocks)]
            wide = max((f.shape[1] for f in parts), default=0)
            if parts:
                surfaces[name] = np.concatenate([f for f in parts if f.shape[1] == wide])
            points = [self.node_sets.members(row[0]) for kind, row in rows if kind == "NODE"]
            if points:
                node_sets[name] = np.flatnonzero(np.isin(node, np.concatenate(points)))
        ranks = {s.name: s.rank for s in self.element_sets.values()}
        return {
            "points": nodes[:, 1:],
            "blocks": blocks,
            "sets": sets,
            "ranks": ranks,
            "surfaces": surfaces,
            "node_sets": node_sets,
        }

    def _facets(self, row: list[str], blocks: list[tuple[str, np.ndarray]]) -> Iterator[np.ndarray]:
        """Facets of a line "elements, face" of a surface; a set that it names only serves it."""
        name = _local(row[0])
        members = self.element_sets.members(name)
        if name.casefold() in self.element_sets:
            self.element_sets[name.casefold()].rank = 2
        face = row[1].upper() if len(row) > 1 else ""
        for (kind, table), (_, nodes) in zip(self.elements, blocks, strict=True):
            chosen = nodes[np.isin(table[:, 0], members)]
            faces = _FACES.get(kind.rstrip("0123456789"), ())
            if face in ("SPOS", "SNEG"):
                yield chosen[:, :3]
            elif face[:1] in ("S", "E") and face[1:].isdigit() and 0 < int(face[1:]) <= len(faces):
                yield chosen[:, faces[int(face[1:]) - 1]]


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
