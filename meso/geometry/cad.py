"""CAD files through Gmsh's OpenCASCADE kernel, their regions and boundaries named.

Everything here runs on one rank, on the model that is open in Gmsh, in the unit of the file.
"""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import gmsh
import numpy as np

from meso.errors import GeometryError, known
from meso.geometry.drawing import KIND, run_gmsh
from meso.geometry.groups import Groups, Selector
from meso.geometry.scripts import read_text

_MEASURES = {1: "length", 2: "area", 3: "volume"}
_LISTED = 40  # entities in a message
# OpenCASCADE joins points that are nearer than 1e-7; a drawing must be far larger.
_SMALLEST = 1e-3
# Names that OpenCASCADE gives where there are none.
_AUTOMATIC = re.compile(r"Open CASCADE STEP translator|(COMPOUND|SOLID|SHELL|FACE)?\d*$")
# In a STEP file what is no code, numbers of what it has, and those that it names.
_STRINGS = re.compile(r"'(?:[^']|'')*'|/\*.*?\*/", re.DOTALL)
_GIVEN, _NAMED = re.compile(r"#(\d+)\s*="), re.compile(r"#(\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entity:
    """An entity of the model: a part of the conductor or of its boundary."""

    dimension: int
    tag: int
    centre: np.ndarray
    measure: float
    low: np.ndarray
    high: np.ndarray
    outside: bool  # False for what lies between two parts of the conductor
    label: str = ""

    @classmethod
    def of(cls, dimension: int, tag: int) -> _Entity:
        box = np.array(gmsh.model.getBoundingBox(dimension, tag))
        above = gmsh.model.getAdjacencies(dimension, tag)[0] if dimension < 3 else ()
        return cls(
            dimension=dimension,
            tag=tag,
            centre=np.array(gmsh.model.occ.getCenterOfMass(dimension, tag)),
            measure=gmsh.model.occ.getMass(dimension, tag),
            low=box[:3],
            high=box[3:],
            outside=len(above) < 2,
        )

    def labelled(self, labels: list[_Entity]) -> _Entity:
        """The entity with the label of what lay in the same place."""
        return replace(self, label=next((e.label for e in labels if self.is_like(e)), ""))

    def is_like(self, other: _Entity) -> bool:
        """True if both are in the same place."""
        alike = abs(self.measure - other.measure) <= 1e-6 * self.measure
        if self.dimension != other.dimension or not alike:
            return False
        apart = (self.low - other.low, self.high - other.high, self.centre - other.centre)
        return bool(np.abs(apart).max() < 1e-5 * max(self.high - self.low))

    def __str__(self) -> str:
        label = f", label '{self.label}'" if self.label else ""
        inside = "" if self.outside else ", between two regions"
        measure = f"{_MEASURES[self.dimension]} {self.measure:.6g}"
        kind = f"{KIND[self.dimension]} {self.tag}"
        return f"{kind}: centre ({_text(self.centre)}), {measure}{label}{inside}"


def open_cad(path: Path, groups: Groups | None, unit: float) -> None:
    """Open a CAD file, join its parts where they touch, and name them as physical groups.

    The lengths in a STEP file count as they are written, in a unit of so many metres. Without
    groups the labels of the file are the names. A GeometryError tells of a file that Gmsh refuses,
    parts that overlap, and names that do not fit.
    """
    labels = _open(path)
    dimension = 3 if gmsh.model.getEntities(3) else 2
    _join(path, dimension)
    found = gmsh.model.getEntities(dimension)
    parts = [_Entity.of(*part).labelled(labels) for part in found]
    if not parts:
        raise GeometryError(f"{path}: no volume and no surface; draw the conductor as one of them")
    size = float(max(np.ptp([parts[0].low, *(p.high for p in parts)], axis=0)))
    if size < _SMALLEST:
        raise GeometryError(
            f"{path}: the drawing is {size:g} units large, near the resolution of CAD files, 1e-7;"
            " draw in a smaller unit (100 nm as 100)"
        )
    limits = sorted({abs(t) for _, t in gmsh.model.getBoundary(found, combined=False)})
    groups = groups or Groups()
    _Naming(path, "regions", parts, unit, size).name(groups.regions)
    around = [_Entity.of(dimension - 1, tag).labelled(labels) for tag in limits]
    _Naming(path, "boundaries", around, unit, size).name(groups.boundaries)


def _open(path: Path) -> list[_Entity]:
    """Read the file; returns the entities that have a label."""
    text = read_text(path)
    gmsh.option.setNumber("Geometry.OCCImportLabels", 1)
    with tempfile.TemporaryDirectory(prefix="meso-") as folder:
        # Gmsh tells formats by lower-case suffixes.
        copy = Path(folder) / (path.stem + path.suffix.lower())
        if copy.suffix in (".step", ".stp"):
            # OpenCASCADE converts to millimetres, unless the file says that it has them.
            gmsh.option.setString("Geometry.OCCTargetUnit", "MM")
            _check_references(path, text)
            text = re.sub(
                r"(SI_UNIT\s*\(\s*)(\$|\.\w+\.)(\s*,\s*\.METRE\.\s*\))", r"\1.MILLI.\3", text
            )
            copy.write_text(text)
        else:
            copy.write_bytes(path.read_bytes())
        shapes = gmsh.model.occ.importShapes
        run_gmsh(path, lambda: shapes(str(copy), highestDimOnly=False), hide=folder)
        gmsh.model.occ.synchronize()
    found = []
    for dimension, tag in gmsh.model.getEntities():
        label = gmsh.model.getEntityName(dimension, tag).rpartition("/")[2]
        if label and dimension > 0 and not _AUTOMATIC.match(label):
            found.append(replace(_Entity.of(dimension, tag), label=label))
    return found


def _check_references(path: Path, text: str) -> None:
    """Raise a GeometryError if something that a STEP file names is not in it, or there twice.

    OpenCASCADE may not come to an end, or crash, where that is so.
    """
    text = _STRINGS.sub("", text)
    given = _GIVEN.findall(text)
    known = set(given)
    lost = set(_NAMED.findall(text)) - known
    if lost or len(given) > len(known):
        number = min(lost or [n for n, count in Counter(given).items() if count > 1], key=int)
        what = "is not in it" if lost else "is there twice"
        raise GeometryError(f"{path}: #{number} {what}; the file is damaged: export it once more")


def _join(path: Path, dimension: int) -> None:
    """Parts that touch share what is between them; what belongs to no part is removed.

    Free surfaces (in 2D: curves) divide the boundary where they lie on it: so a contact may be
    drawn.
    """
    parts = gmsh.model.getEntities(dimension)
    bounding = {abs(t) for _, t in gmsh.model.getBoundary(parts, combined=False)}
    free = [e for e in gmsh.model.getEntities(dimension - 1) if e[1] not in bounding]
    if len(parts) > 1 or free:
        _, children = gmsh.model.occ.fragment(parts, free)
        owners: dict[tuple[int, int], int] = {}
        for i, mine in enumerate(children[: len(parts)]):
            for child in mine:
                if child[0] == dimension and owners.setdefault(child, i) != i:
                    place = f"overlap near ({_text(gmsh.model.occ.getCenterOfMass(*child))})"
                    kind = KIND[dimension]
                    raise GeometryError(f"{path}: two {kind}s {place}; cut one from the other")
        gmsh.model.occ.synchronize()
    needed = set()
    layer = gmsh.model.getEntities(dimension)
    while layer:
        needed |= {(d, abs(t)) for d, t in layer}
        layer = gmsh.model.getBoundary(layer, combined=False, oriented=False) if layer[0][0] else []
    stray = sorted((e for e in gmsh.model.getEntities() if e not in needed), reverse=True)
    gmsh.model.occ.remove(stray)
    gmsh.model.occ.synchronize()


@dataclass(frozen=True, slots=True)
class _Naming:
    """Names the entities of one dimension, of a drawing of some size."""

    path: Path
    table: str
    entities: list[_Entity]
    unit: float
    size: float

    def name(self, selectors: Mapping[str, tuple[Selector, ...]]) -> None:
        """Add physical groups: what the selectors choose, or without them the labels."""
        owner: dict[int, str] = {}
        if not selectors:
            owner = {entity.tag: entity.label for entity in self.entities if entity.label}
        # What takes the rest comes last.
        pairs = [(name, selector) for name, several in selectors.items() for selector in several]
        last = {name for name, selector in pairs if selector.rest}
        for name, selector in sorted(pairs, key=lambda p: (p[0] in last, p[1].rest)):
            chosen = self._chosen(name, selector) if self.entities else []
            if selector.rest:
                chosen = [e for e in chosen if e.tag not in owner and e.outside]
            if not chosen:
                raise self._error(name, f"{selector.text(self.unit)} chooses nothing")
            for entity in chosen:
                if owner.setdefault(entity.tag, name) != name:
                    taken = f"{KIND[entity.dimension]} {entity.tag}, which '{owner[entity.tag]}'"
                    raise self._error(name, f"{selector.text(self.unit)} chooses {taken} has")
        self._check_complete(owner)
        for name in dict.fromkeys([*selectors, *owner.values()]):
            tags = [tag for tag, mine in owner.items() if mine == name]
            gmsh.model.addPhysicalGroup(self.entities[0].dimension, tags, name=name)

    def _check_complete(self, owner: Mapping[int, str]) -> None:
        bare = [e for e in self.entities if e.tag not in owner and e.outside]
        if not bare:
            return
        kind, so_far = KIND[bare[0].dimension], ", ".join(dict.fromkeys(owner.values()))
        given = f"; {self.table} so far: {so_far}" if owner else ""
        example = "metal" if self.table == "regions" else "edges"
        some = f"{len(bare)} {kind}s have" if len(bare) > 1 else f"1 {kind} has"
        raise GeometryError(
            f"{self.path}: {some} no name{given}; choose them in the case file, e.g."
            f" [geometry.groups.{self.table}] {example} = {{ rest = true }}\n{_list(bare)}"
        )

    def _chosen(self, name: str, selector: Selector) -> list[_Entity]:
        entities = self.entities
        if selector.label is not None:
            labels = sorted({e.label for e in entities if e.label})
            if selector.label not in labels:
                word = f"no label '{selector.label}'; {known(selector.label, labels)}"
                raise self._error(name, word)
            return [e for e in entities if e.label == selector.label]
        if selector.box is not None:
            corners, margin = np.array(selector.box) / self.unit, 1e-6 * self.size
            low, high = corners.min(axis=0) - margin, corners.max(axis=0) + margin
            n = len(low)
            return [e for e in entities if (e.low[:n] >= low).all() and (e.high[:n] <= high).all()]
        if selector.near is not None:
            return [self._nearest(name, selector, np.array(selector.near) / self.unit)]
        return list(entities)

    def _nearest(self, name: str, selector: Selector, at: np.ndarray) -> _Entity:
        """The entity nearest to a point, within its ends."""
        height = [self.entities[0].centre[2]] if len(at) == 2 else []
        tag = gmsh.model.occ.addPoint(*map(float, (*at, *height)))
        distance = np.array(
            [gmsh.model.occ.getDistance(0, tag, e.dimension, e.tag)[0] for e in self.entities]
        )
        gmsh.model.occ.remove([(0, tag)])
        nearest = np.flatnonzero(distance <= distance.min() + 1e-6 * self.size)
        found = [self.entities[i] for i in nearest]
        if len(found) > 1:
            both = " and ".join(str(e.tag) for e in found[:2])
            text = f"{selector.text(self.unit)} is as near to {KIND[found[0].dimension]} {both}"
            raise self._error(name, f"{text}; move it nearer to one of them", found)
        return found[0]

    def _error(self, name: str, text: str, listed: list[_Entity] | None = None) -> GeometryError:
        key = f"{self.path}: geometry.groups.{self.table}.{name}"
        return GeometryError(f"{key}: {text}\n{_list(listed or self.entities)}")


def _list(entities: list[_Entity]) -> str:
    lines = [f"  {entity}" for entity in entities[:_LISTED]]
    if len(entities) > _LISTED:
        lines.append(f"  and {len(entities) - _LISTED} more")
    return "\n".join(lines)


def _text(point: Iterable[float]) -> str:
    return ", ".join(f"{x:.6g}" for x in point)
