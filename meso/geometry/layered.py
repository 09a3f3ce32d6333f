"""Solids that a drawing cuts into layers: which of their sizes an adaptive refinement may change.

Gmsh makes layers as they are drawn (``Extrude { … } { …; Layers{…}; }``): a field of sizes acts on
the surface that is extruded, and every layer has its triangles. Errors that vary along the surface
are summed over the height; those that vary across the layers fall with their number, which only a
parameter of the drawing can change, as sizes on a surface that is drawn cell by cell.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil

import numpy as np

from meso.errors import CaseError, known
from meso.geometry import refinement
from meso.geometry.layers import SizeField
from meso.geometry.refinement import CellErrors, cell_errors

#: Smallest and largest change of a size, or of one over a number of layers, from mesh to mesh.
_RATIO = (1 / 3, 1.0)
#: Parts of the error for the surface, and for the layers: as many as the directions of each.
_SHARES = 2 / 3, 1 / 3
#: Tetrahedra that a mesh may have, over the present ones and altogether.
_MORE_CELLS, _MAX_CELLS = 8.0, 150_000
#: Coordinates over the extent are alike within this.
_ALIKE = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Layered:
    """A drawing with layers.

    Attributes:
        name: Of its file.
        layers: Numbers of layers, by the parameters that give them.
        size: Sizes of cells on a surface that is drawn cell by cell, by the parameters.
        is_free: Whether a field of sizes acts on the surface that is extruded.
    """

    name: str
    layers: Mapping[str, float]
    size: Mapping[str, float]
    is_free: bool

    @classmethod
    def of(
        cls,
        name: str,
        is_free: bool,
        parameters: Mapping[str, float],
        wanted: tuple[Sequence[str], Sequence[str]],
    ) -> Layered:
        """Of a drawing, whose parameters ``layers`` and ``size`` count unless others are wanted.

        Raises:
            CaseError: There is no parameter of a wanted name.
        """
        found = []
        for key, names in zip(("layers", "size"), wanted, strict=True):
            for other in names:
                if other not in parameters:
                    text = f'{name} has no parameter "{other}" with a number'
                    raise CaseError((f"mesh.adapt.{key}", f"{text}; {known(other, parameters)}"))
            own = names or ([key] if key in parameters else [])
            found.append({one: float(parameters[one]) for one in own})
        layers, size = found
        return cls(name=name, layers=layers, size={} if is_free else size, is_free=is_free)

    def with_values(self, values: Mapping[str, float]) -> Layered:
        """With other values of the parameters."""
        layers, size = (
            {k: values.get(k, x) for k, x in t.items()} for t in (self.layers, self.size)
        )
        return replace(self, layers=layers, size=size)

    def limit(self, errors: CellErrors, tolerance: float | None, *, stuck: bool) -> str:
        """What keeps the error from falling, in words; empty while it can fall.

        It is ``stuck`` if the last mesh gained nothing: cells far higher than wide make layers that
        are too few look like cells that are too wide.
        """
        axis, count = self._axis(errors)
        plane, across = _parts(errors, axis)
        goals = [share * (tolerance or 0.0) for share in _SHARES]
        where = f"the {count} layers of {self.name} along {'xyz'[axis]}"
        if not self.layers and (stuck or plane < max(across, goals[0])):
            most = max(plane, across) if stuck else across
            enough = ceil(count * (most / (goals[1] or most / 10)) ** (1 / errors.power))
            goal = "the tolerance" if tolerance else "a tenth of that"
            return (
                f"{where} limit the error: they leave {across:.1e} (relative), their surface"
                f" {plane:.1e}; about {enough} layers would do for {goal}. A parameter of the"
                " drawing that gives their number, called layers or named in mesh.adapt.layers,"
                " would be adapted"
            )
        if not (self.is_free or self.size) and across < max(plane, goals[1]):
            return (
                f"the cells along {where} limit the error: they are drawn one by one and leave"
                f" {plane:.1e} (relative), the layers {across:.1e}. A parameter of the drawing that"
                " gives their size, called size or named in mesh.adapt.size, would be adapted"
            )
        return ""

    def next_sizes(self, errors: CellErrors, goal: float) -> SizeField:
        """Sizes on the surface and values of parameters that reach an error with few cells."""
        axis, _ = self._axis(errors)
        parts, goals = _parts(errors, axis), [goal * share for share in _SHARES]
        if not self.layers:
            goals[0] = max(goals[0], parts[1] / 2)
        wide, high = (
            float(np.clip((g / e) ** (1 / errors.power), *_RATIO)) if e > 0 else 1.0
            for g, e in zip(goals, parts, strict=True)
        )
        wide, high = wide if self.size else 1.0, high if self.layers else 1.0
        more = min(_MORE_CELLS, max(1.0, _MAX_CELLS / len(errors.share)))
        if (many := wide**-2 / high) > more:
            power = float(np.log(more) / np.log(many))
            wide, high = wide**power, high**power
        changed = {name: float(ceil(n / high - 1e-6)) for name, n in self.layers.items()}
        changed |= {name: wide * size for name, size in self.size.items()}
        field = SizeField.anything()
        if self.is_free:
            field = _on_surface(errors, axis, goals[0], max(1.0, more * high))
        return replace(field, parameters=changed)

    def _axis(self, errors: CellErrors) -> tuple[int, int]:
        """Axis that the layers are heaped up along, and their number.

        There are as many heights as the drawing says, or, where it says none, every tetrahedron
        has an edge along it; of several axes the one of the shortest extent.
        """
        points, extent = errors.points, np.ptp(errors.points, axis=0)
        rounded = np.round(points / (_ALIKE * extent.max()))
        levels = [len(np.unique(x)) - 1 for x in rounded.T]
        drawn = [a for a in range(3) if levels[a] == round(sum(self.layers.values()))]
        drawn = drawn or [a for a in range(3) if _surface(errors, a) is not None]
        if not drawn:
            text = f"{self.name} has layers that are not heaped up along x, y or z"
            raise CaseError(("mesh.adapt", f"{text}; refine them by parameters (meso sweep)"))
        axis = min(drawn, key=lambda a: float(extent[a]))
        return axis, levels[axis]


def _parts(errors: CellErrors, axis: int) -> tuple[float, float]:
    """What varies along the surface, and what across the layers."""
    assert errors.along is not None
    across = float(errors.along[:, axis].sum())
    return float(errors.share.sum()) - across, across


def _surface(errors: CellErrors, axis: int) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """The surface that a mesh is extruded from; None where tetrahedra have no edge along the axis.

    Points (n, 2), the triangle below each tetrahedron, (c, 3), and the point below each vertex.
    """
    flat = np.delete(errors.points, axis, axis=1)
    rounded = np.round(flat / (_ALIKE * np.ptp(errors.points, axis=0).max()))
    _, first, below = np.unique(rounded, axis=0, return_index=True, return_inverse=True)
    corners = np.sort(below.reshape(-1)[errors.triangles], axis=1)
    new = np.diff(corners, axis=1, prepend=-1) > 0
    if not (new.sum(axis=1) == 3).all():
        return None
    return flat[first], corners[new].reshape(-1, 3), below.reshape(-1)


def _on_surface(errors: CellErrors, axis: int, goal: float, more: float) -> SizeField:
    """Sizes that vary along the surface alone, at the vertices of the tetrahedra."""
    found = _surface(errors, axis)
    if found is None:
        return SizeField.anything()
    points, triangles, below = found
    base, number = np.unique(triangles, axis=0, return_inverse=True)
    assert errors.along is not None
    share = errors.share - errors.along[:, axis]
    flat = cell_errors(
        points[base],
        np.bincount(number.reshape(-1), share, minlength=len(base))[:, None],
        np.zeros((len(base), 2)),
        power=errors.power,
        corner_power=errors.corner_power,
    )
    new = refinement.next_sizes(replace(flat, share=flat.parts[:, 0]), goal, more)
    sizes = np.empty(len(points))
    sizes[np.lexsort(points.T[::-1])] = new.sizes  # in the order of cell_errors
    return SizeField(points=errors.points, triangles=errors.triangles, sizes=sizes[below])
