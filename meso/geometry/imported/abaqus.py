"""Input files of Abaqus and CalculiX: nodes, elements, sets and surfaces.

meshio reads them too, but loses sets: those in the header of an element block after one without,
all but the last block of a set, sets of sets, and surfaces.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from meso.errors import GeometryError
from meso.geometry.imported.raw import Block, RawMesh

# Element types by the shape of their cell; the degree follows from the number of nodes.
_SHAPES = (
    (re.compile(r"(D|F|A)?C3D(4|10)(?!\d)"), {"4": "tetra", "10": "tetra10"}),
    (re.compile(r"(CP[SE]G?|D?CAX|[DA]C2D)(3|6)(?!\d)"), {"3": "triangle", "6": "triangle6"}),
    (
        re.compile(r"(D?S|M3D|R3D|SFM3D|STRI)(3|65?)(?!\d)"),
        {"3": "triangle", "6": "triangle6", "65": "triangle6"},
    ),
    (re.compile(r"(T[23]D|R2D|DC1D)([23])(?!\d)"), {"2": "line", "3": "line3"}),
    (re.compile(r"(B[23])([123])(?!\d)"), {"1": "line", "2": "line3", "3": "line"}),
)
_NODES = {"tetra": 4, "tetra10": 10, "triangle": 3, "triangle6": 6, "line": 2, "line3": 3}
_POINTS = re.compile(r"MASS|ROTARY|SPRING|DASHPOT|CONN|GAP|HEATCAP")  # elements without a cell
# Faces S1, S2, ... of an element.
_FACES = {
    "triangle": ((0, 1), (1, 2), (2, 0)),
    "tetra": ((0, 1, 2), (0, 3, 1), (1, 3, 2), (2, 3, 0)),
}
_GENERATED = ("NGEN", "NFILL", "NCOPY", "NMAP", "ELGEN", "ELCOPY")


@dataclass(slots=True)
class _Set:
    """Members of a set of nodes or elements: numbers and names of other sets."""

    name: str
    numbers: list[np.ndarray] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    rank: int = 1  # 0 if somebody made it by hand, 2 if it only serves a surface


def read(path: Path) -> RawMesh:
    """Read an input file.

    Args:
        path: The file; files that it includes are read too.

    Returns:
        Its mesh.

    Raises:
        GeometryError: What is not a plain mesh of one part.
    """
    return _Reader(path).mesh()


class _Reader:
    """Collects the keywords of a file, and makes a mesh of them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.nodes: list[np.ndarray] = []
        self.elements: list[tuple[str, np.ndarray]] = []  # kind; number, nodes
        self.element_sets: dict[str, _Set] = {}
        self.node_sets: dict[str, _Set] = {}
        self.surfaces: dict[str, list[tuple[str, list[str]]]] = {}
        self.parts = 0
        for keyword, options, lines in _blocks(path, frozenset()):
            self._take(keyword, options, lines)

    def _error(self, text: str) -> GeometryError:
        return GeometryError(f"{self.path}: {text}")

    def _take(self, keyword: str, options: dict[str, str], lines: list[str]) -> None:
        if keyword in _GENERATED:
            raise self._error(f"found *{keyword}; meso reads nodes and elements that are listed")
        if keyword == "PART":
            self.parts += 1
            if self.parts > 1:
                raise self._error("found several parts; write one part, or a file without parts")
        elif keyword == "INSTANCE" and any(_words(line) for line in lines):
            raise self._error("found an instance that is moved; write the part where it belongs")
        elif keyword == "NODE":
            if options.get("SYSTEM", "R").upper() != "R":
                raise self._error(f"found nodes in SYSTEM={options['SYSTEM']}; must be Cartesian")
            table = self._table(lines, "node")
            self.nodes.append(table)
            self._add(self.node_sets, options.get("NSET"), table[:, 0].astype(np.int64))
        elif keyword == "ELEMENT":
            self._element(options, lines)
        elif keyword in ("NSET", "ELSET"):
            self._set(keyword, options, lines)
        elif keyword == "SURFACE" and "NAME" in options:
            rows = [(options.get("TYPE", "ELEMENT").upper(), _words(line)) for line in lines]
            self.surfaces.setdefault(options["NAME"], []).extend(r for r in rows if r[1])

    def _table(self, lines: list[str], what: str) -> np.ndarray:
        rows = [_words(line) for line in lines if line.strip()]
        try:
            # Coordinates that are left out are zero.
            table = [[float(w or 0) for w in row] + [0.0] * (4 - len(row)) for row in rows]
            return np.array(table, dtype=float).reshape(len(rows), -1)[:, :4]
        except ValueError as error:
            raise self._error(f"a {what} cannot be read: {error}") from None

    def _element(self, options: dict[str, str], lines: list[str]) -> None:
        kind = _kind(options.get("TYPE", ""))
        if kind is None:
            return
        if kind not in _NODES:
            raise self._error(
                f"found elements of type {kind}; meso needs triangles (such as CPS3, CPS6, S3) or"
                " tetrahedra (C3D4, C3D10)"
            )
        try:
            rows = [[int(w) for w in _words(line) if w] for line in lines]
            flat = np.array([n for row in rows for n in row], dtype=np.int64)
            if kind == "line" and len(rows) and len(rows[0]) == 4:
                kind = "line3"  # as meshio writes them, under the name of a beam with two nodes
            table = flat.reshape(-1, _NODES[kind] + 1)
        except ValueError as error:
            raise self._error(f"elements of type {options['TYPE']}: {error}") from None
        if len(table):
            self.elements.append((kind, table))
            self._add(self.element_sets, options.get("ELSET"), table[:, 0])

    def _set(self, keyword: str, options: dict[str, str], lines: list[str]) -> None:
        name = options.get(keyword)
        if name is None:
            return
        sets = self.node_sets if keyword == "NSET" else self.element_sets
        rows = [[w for w in _words(line) if w] for line in lines]
        words = [w for row in rows for w in row]
        numbers = [int(w) for w in words if w.lstrip("-").isdigit()]
        if "GENERATE" in options:
            steps = [[int(w) for w in row] for row in rows if row]
            ranges = [np.arange(r[0], r[1] + 1, r[2] if len(r) > 2 else 1) for r in steps]
            found = np.concatenate([np.empty(0, np.int64), *ranges])
        else:
            found = np.array(numbers, dtype=np.int64)
        entry = self._add(sets, name, found)
        if entry is not None:
            entry.rank = 2 if "INTERNAL" in options else 0
            # "instance.number" and "instance.set" of an assembly
            entry.others += [w.rpartition(".")[2] for w in words if not w.lstrip("-").isdigit()]

    def _add(self, sets: dict[str, _Set], name: str | None, numbers: np.ndarray) -> _Set | None:
        if name is None:
            return None
        entry = sets.setdefault(name.casefold(), _Set(name))
        entry.numbers.append(numbers)
        return entry

    def _members(self, sets: dict[str, _Set], name: str, seen: frozenset[str]) -> np.ndarray:
        """Numbers in a set, also those of the sets that it names."""
        if name.isdigit():
            return np.array([int(name)])
        if name.casefold() not in sets or name.casefold() in seen:
            raise self._error(
                f"no set '{name}', which another set or surface names; the file has"
                f" {', '.join(s.name for s in sets.values()) or 'none'}"
            )
        entry = sets[name.casefold()]
        others = [self._members(sets, n, seen | {name.casefold()}) for n in entry.others]
        return np.unique(np.concatenate([np.empty(0, np.int64), *entry.numbers, *others]))

    def mesh(self) -> RawMesh:
        """The mesh that the file describes."""
        if not self.nodes or not self.elements:
            raise self._error("no *NODE and *ELEMENT with a mesh in it")
        nodes = np.concatenate(self.nodes)
        number = nodes[:, 0].astype(np.int64)
        if len(np.unique(number)) < len(number):
            raise self._error("found a node number twice; are there several parts?")
        position = _Lookup(number)
        blocks = []
        for kind, table in self.elements:
            at = position(table[:, 1:])
            if (at < 0).any():
                missing = table[:, 1:][at < 0][0]
                raise self._error(f"an element of the kind {kind} names node {missing}: no such")
            blocks.append(Block(kind=kind, nodes=at))
        numbers = [table[:, 0] for _, table in self.elements]
        every = np.concatenate(numbers)
        if len(np.unique(every)) < len(every):
            raise self._error("found an element number twice; are there several parts?")
        sets = {}
        for entry in self.element_sets.values():
            members = self._members(self.element_sets, entry.name, frozenset())
            sets[entry.name] = [np.flatnonzero(np.isin(n, members)) for n in numbers]
        node_sets = {}
        for entry in self.node_sets.values():
            at = position(self._members(self.node_sets, entry.name, frozenset()))
            node_sets[entry.name] = at[at >= 0]
        surfaces = {}
        for name, rows in self.surfaces.items():
            listed = [row for kind, row in rows if kind == "ELEMENT"]
            for row in listed:
                if (used := row[0].rpartition(".")[2].casefold()) in self.element_sets:
                    self.element_sets[used].rank = 2
            found = [f for row in listed for f in self._facets(row, blocks)]
            wide = max((f.shape[1] for f in found), default=0)
            chosen = [f for f in found if f.shape[1] == wide]
            if chosen:
                surfaces[name] = np.concatenate(chosen)
            joined = [row[0] for kind, row in rows if kind == "NODE"]
            if joined:
                parts = [position(self._members(self.node_sets, n, frozenset())) for n in joined]
                node_sets[name] = np.concatenate(parts)
        return RawMesh(
            points=nodes[:, 1:],
            blocks=tuple(blocks),
            sets=sets,
            ranks={s.name: s.rank for s in self.element_sets.values()},
            surfaces=surfaces,
            node_sets=node_sets,
        )

    def _facets(self, row: list[str], blocks: list[Block]) -> Iterator[np.ndarray]:
        """Facets of a line "elements, face" of a surface."""
        members = self._members(self.element_sets, row[0].rpartition(".")[2], frozenset())
        face = row[1].upper() if len(row) > 1 else ""
        for (kind, table), block in zip(self.elements, blocks, strict=True):
            chosen = block.nodes[np.isin(table[:, 0], members)]
            faces = _FACES.get(kind.rstrip("0123456789"), ())
            if face in ("SPOS", "SNEG"):
                yield chosen[:, :3]
            elif face[:1] in ("S", "E") and face[1:].isdigit() and 0 < int(face[1:]) <= len(faces):
                yield chosen[:, faces[int(face[1:]) - 1]]


class _Lookup:
    """Position of a number in an array; -1 where it is not in it."""

    def __init__(self, numbers: np.ndarray) -> None:
        self.order = np.argsort(numbers)
        self.sorted = numbers[self.order]

    def __call__(self, wanted: np.ndarray) -> np.ndarray:
        at = np.searchsorted(self.sorted, wanted).clip(max=len(self.sorted) - 1)
        return np.where(self.sorted[at] == wanted, self.order[at], -1)


def _kind(text: str) -> str | None:
    """The kind of cell of an element type, None for points, or the type itself if unknown."""
    for pattern, kinds in _SHAPES:
        found = pattern.match(text.upper())
        if found:
            return kinds[found.group(found.lastindex or 0)]
    return None if _POINTS.match(text.upper()) else text.upper() or "unknown"


def _words(line: str) -> list[str]:
    """Values of a line; the comma at its end says nothing."""
    words = [word.strip().strip('"') for word in line.strip().split(",")]
    while words and not words[-1]:
        words.pop()
    return words


def _blocks(path: Path, seen: frozenset[Path]) -> Iterator[tuple[str, dict[str, str], list[str]]]:
    """Keywords of a file with their options and data lines."""
    try:
        text = path.read_text(errors="replace")
    except OSError as error:
        raise GeometryError(f"{path}: cannot be read ({error.strerror})") from error
    keyword, lines = "", []
    options: dict[str, str] = {}
    rows = iter(text.splitlines())
    for line in rows:
        if line.startswith("**"):
            continue
        if not line.lstrip().startswith("*"):
            lines.append(line)
            continue
        if keyword:
            yield keyword, options, lines
        while line.rstrip().endswith(","):
            line = line.rstrip() + next(rows, "")
        first, *others = line.strip().lstrip("*").split(",")
        pairs = (other.partition("=") for other in others)
        keyword = " ".join(first.upper().split())
        options = {k.strip().upper(): v.strip().strip('"') for k, _, v in pairs}
        lines = []
        if keyword == "INCLUDE":
            included = (path.parent / options.get("INPUT", "")).resolve()
            if included in seen:
                raise GeometryError(f"{path}: includes itself through {included.name}")
            yield from _blocks(included, seen | {path.resolve(), included})
    if keyword:
        yield keyword, options, lines
