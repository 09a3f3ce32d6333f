"""CAD files through Gmsh's OpenCASCADE kernel, their regions and boundaries named.

Everything here runs on one rank, on the model that is open in Gmsh, in the unit of the file.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import gmsh
import numpy as np

from meso.errors import GeometryError, known
from meso.geometry.drawing import run_gmsh
from meso.geometry.groups import Groups, Selector

_KINDS = {1: "curve", 2: "surface", 3: "volume"}
_MEASURES = {1: "length", 2: "area", 3: "volume"}
_LISTED = 40  # entities in a message
# OpenCASCADE joins points that are nearer than 1e-7; a drawing must be far larger.
_SMALLEST = 1e-3
# Names that OpenCASCADE gives where there are none.
_AUTOMATIC = re.compile(r"Open CASCADE STEP translator|(COMPOUND|SOLID|SHELL|FACE)?\d*$")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entity:
    """An entity of the model: a part of the conductor or of its boundary."""

    dimension: int
    tag: int
    centre: np.ndarray
    measure: float
    low: np.ndarray
    high: np.ndarray
    label: str
    outside: bool = True  # False for what lies between two parts of the conductor

    def __str__(self) -> str:
        centre = ", ".join(f"{x:.6g}" for x in self.centre)
        label = f", label '{self.label}'" if self.label else ""
        inside = "" if self.outside else ", between two regions"
        measure = f"{_MEASURES[self.dimension]} {self.measure:.6g}"
        return f"{_KINDS[self.dimension]} {self.tag}: centre ({centre}), {measure}{label}{inside}"


def open_cad(path: Path, groups: Groups | None, unit: float) -> None:
    """Open a CAD file, join its parts where they touch, and name them as physical groups.

    Args:
        path: The file. The lengths in a STEP file count as they are written.
        groups: Names by selectors; None for the labels of the file.
        unit: Metres per unit of the file.

    Raises:
        GeometryError: A file that Gmsh refuses; parts that overlap; names that do not fit.
    """
    labels = _open(path)
    dimension = 3 if gmsh.model.getEntities(3) else 2
    _join(path, dimension)
    parts = _entities(gmsh.model.getEntities(dimension), labels)
    if not parts:
        raise GeometryError(f"{path}: no volume and no surface; draw the conductor as one of them")
    size = float(max(np.ptp([parts[0].low, *(p.high for p in parts)], axis=0)))
    if size < _SMALLEST:
        raise GeometryError(
            f"{path}: the drawing is {size:g} units large, near the resolution of CAD files, 1e-7;"
            " draw in a smaller unit (100 nm as 100)"
        )
    limits = _entities(_limits(dimension), labels)
    groups = groups or Groups()
    _name(path, "regions", parts, groups.regions, unit, size)
    _name(path, "boundaries", limits, groups.boundaries, unit, size)


def _open(path: Path) -> list[_Entity]:
    """Read the file; returns the entities that have a label."""
    try:
        text = path.read_text(errors="replace")
    except OSError as error:
        raise GeometryError(f"{path}: cannot be read ({error.strerror})") from error
    gmsh.option.setNumber("Geometry.OCCImportLabels", 1)
    with tempfile.TemporaryDirectory(prefix="meso-") as folder:
        # Gmsh tells formats by lower-case suffixes.
        copy = Path(folder) / (path.stem + path.suffix.lower())
        if copy.suffix in (".step", ".stp"):
            # OpenCASCADE converts to millimetres, unless the file says that it has them.
            gmsh.option.setString("Geometry.OCCTargetUnit", "MM")
            text = re.sub(
                r"(SI_UNIT\s*\(\s*)(\$|\.\w+\.)(\s*,\s*\.METRE\.\s*\))", r"\1.MILLI.\3", text
            )
            copy.write_text(text)
        else:
            copy.write_bytes(path.read_bytes())
        with _silent():
            run_gmsh(
                path,
                lambda: gmsh.model.occ.importShapes(str(copy), highestDimOnly=False),
                hide=folder,
            )
        gmsh.model.occ.synchronize()
    found = []
    for entity in gmsh.model.getEntities():
        label = gmsh.model.getEntityName(*entity).rpartition("/")[2]
        if label and entity[0] > 0 and not _AUTOMATIC.match(label):
            found.append((entity, label))
    return [_entity(entity, label) for entity, label in found]


@contextmanager
def _silent() -> Iterator[None]:
    """Keep what OpenCASCADE writes to the standard output from those who read it."""
    sys.stdout.flush()
    kept = os.dup(1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)


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
                    centre = gmsh.model.occ.getCenterOfMass(*child)
                    kind = _KINDS[dimension]
                    place = f"overlap near ({_text(centre)})"
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


def _limits(dimension: int) -> list[tuple[int, int]]:
    parts = gmsh.model.getEntities(dimension)
    tags = {abs(t) for _, t in gmsh.model.getBoundary(parts, combined=False)}
    return [(dimension - 1, tag) for tag in sorted(tags)]


def _entities(found: Iterable[tuple[int, int]], labels: list[_Entity]) -> list[_Entity]:
    """Entities of one dimension, with the label of what lay in the same place."""
    out = []
    for entity in found:
        plain = _entity(entity, "")
        alike = [e.label for e in labels if _same(e, plain)]
        out.append(_entity(entity, alike[0]) if alike else plain)
    return out


def _entity(entity: tuple[int, int], label: str) -> _Entity:
    box = np.array(gmsh.model.getBoundingBox(*entity))
    above = gmsh.model.getAdjacencies(*entity)[0] if entity[0] < 3 else ()
    return _Entity(
        dimension=entity[0],
        tag=entity[1],
        centre=np.array(gmsh.model.occ.getCenterOfMass(*entity)),
        measure=gmsh.model.occ.getMass(*entity),
        low=box[:3],
        high=box[3:],
        label=label,
        outside=len(above) < 2,
    )


def _same(a: _Entity, b: _Entity) -> bool:
    if a.dimension != b.dimension or abs(a.measure - b.measure) > 1e-6 * b.measure:
        return False
    size = float(max(b.high - b.low))
    corners = np.abs([a.low - b.low, a.high - b.high, a.centre - b.centre])
    return bool(corners.max() < 1e-5 * size)


def _name(
    path: Path,
    table: str,
    entities: list[_Entity],
    selectors: Mapping[str, tuple[Selector, ...]],
    unit: float,
    size: float,
) -> None:
    """Add physical groups: what the selectors choose, or without them the labels."""
    owner: dict[int, str] = {}
    if not selectors:
        for entity in entities:
            if entity.label:
                owner[entity.tag] = entity.label
    last = {name for name, several in selectors.items() if any(s.rest for s in several)}
    for name in sorted(selectors, key=lambda n: n in last):
        several = selectors[name]
        for selector in sorted(several, key=lambda s: s.rest):
            key = f"geometry.groups.{table}.{name}"
            chosen = _chosen(path, key, selector, entities, unit, size) if entities else []
            if selector.rest:
                chosen = [e for e in chosen if e.tag not in owner and e.outside]
            if not chosen:
                raise _error(path, table, name, f"{selector.text(unit)} chooses nothing", entities)
            for entity in chosen:
                if owner.setdefault(entity.tag, name) != name:
                    taken = (
                        f"{_KINDS[entity.dimension]} {entity.tag}, which '{owner[entity.tag]}' has"
                    )
                    raise _error(
                        path, table, name, f"{selector.text(unit)} chooses {taken}", entities
                    )
    bare = [e for e in entities if e.tag not in owner and e.outside]
    if bare:
        kind = _KINDS[bare[0].dimension]
        given = f"; {table} so far: {', '.join(dict.fromkeys(owner.values()))}" if owner else ""
        example = "metal" if table == "regions" else "edges"
        some = f"{len(bare)} {kind}s have" if len(bare) > 1 else f"1 {kind} has"
        raise GeometryError(
            f"{path}: {some} no name{given}; choose them in the case file, e.g."
            f" [geometry.groups.{table}] {example} = {{ rest = true }}\n{_list(bare)}"
        )
    for name in dict.fromkeys([*selectors, *owner.values()]):
        tags = [tag for tag, mine in owner.items() if mine == name]
        gmsh.model.addPhysicalGroup(entities[0].dimension, tags, name=name)


def _chosen(
    path: Path,
    key: str,
    selector: Selector,
    entities: list[_Entity],
    unit: float,
    size: float,
) -> list[_Entity]:
    if selector.label is not None:
        labels = {e.label for e in entities if e.label}
        if selector.label not in labels:
            word = f"no label '{selector.label}'; {known(selector.label, sorted(labels))}"
            raise GeometryError(f"{path}: {key}: {word}\n{_list(entities)}")
        return [e for e in entities if e.label == selector.label]
    if selector.box is not None:
        width = len(selector.box[0])
        corners = np.array(selector.box) / unit
        low, high = corners.min(axis=0) - 1e-6 * size, corners.max(axis=0) + 1e-6 * size
        inside = ((e.low[:width] >= low).all() and (e.high[:width] <= high).all() for e in entities)
        return [e for e, yes in zip(entities, inside, strict=True) if yes]
    if selector.near is not None:
        at = np.zeros(3)
        at[: len(selector.near)] = np.array(selector.near) / unit
        if len(selector.near) == 2:
            at[2] = entities[0].centre[2]
        distance = _distances(at, entities)
        nearest = np.flatnonzero(distance <= distance.min() + 1e-6 * size)
        if len(nearest) > 1:
            both = " and ".join(str(entities[i].tag) for i in nearest[:2])
            kind = _KINDS[entities[0].dimension]
            text = (
                f"{selector.text(unit)} is as near to {kind} {both}; move it nearer to one of them"
            )
            raise GeometryError(f"{path}: {key}: {text}\n{_list([entities[i] for i in nearest])}")
        return [entities[nearest[0]]]
    return list(entities)


def _distances(point: np.ndarray, entities: list[_Entity]) -> np.ndarray:
    """Distances of a point from entities, within their ends."""
    tag = gmsh.model.occ.addPoint(*map(float, point))
    try:
        return np.array(
            [gmsh.model.occ.getDistance(0, tag, e.dimension, e.tag)[0] for e in entities]
        )
    finally:
        gmsh.model.occ.remove([(0, tag)])


def _error(path: Path, table: str, name: str, text: str, entities: list[_Entity]) -> GeometryError:
    return GeometryError(f"{path}: geometry.groups.{table}.{name}: {text}\n{_list(entities)}")


def _list(entities: list[_Entity]) -> str:
    lines = [f"  {entity}" for entity in entities[:_LISTED]]
    if len(entities) > _LISTED:
        lines.append(f"  and {len(entities) - _LISTED} more")
    return "\n".join(lines)


def _text(point: Iterable[float]) -> str:
    return ", ".join(f"{x:.6g}" for x in point)
