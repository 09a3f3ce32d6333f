"""Wanted cell sizes: how many cells a field of some degree needs across layers and channels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from meso.drawing import groups
from meso.errors import GeometryError

# Cells across a channel and per vorticity diffusion length at a wall, by polynomial degree.
# Measured on ribbons and bends: they keep currents and profiles within 1e-6 and wall vorticities
# within 1e-5 (tests/verification); degree 2 is left at about 1e-4.
CELLS_PER_WIDTH = {1: 16.0, 2: 10.0}
_CELLS_PER_LAYER = {1: 8.0, 2: 6.0, 3: 5.0, 4: 2.5, 5: 2.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """Cells that grow away from a boundary: size (1 + distance/(3 reach))^3.

    The error of a layer exp(-distance/l) in elements of degree k would be even over it if the
    cells grew by e over the reach (k + 1) l; a little less keeps the irregular cells good.

    Give size and reach, or the decay length alone: the others follow from the degree of the
    field, which is known once the drawing is open.

    Attributes:
        size: Cell size at the boundary, or None to follow from ``decay``.
        reach: Distance over which it grows, about e times, or None to follow from ``decay``.
        decay: Decay length l of what the layer resolves; flat cells are for layers that have one.
        finer: Factor on a size that follows from ``decay``.
        wider: Factor on a reach that follows from it.
        longest: Longest decay length that it is to resolve, if there are several.
    """

    size: float | None = None
    reach: float | None = None
    decay: float = 0.0
    finer: float = 1.0
    wider: float = 1.0
    longest: float = 0.0

    def __post_init__(self) -> None:
        if self.decay <= 0 and not (self.size and self.reach):
            raise ValueError("a layer needs a decay length, or a size and a reach")

    @property
    def lengths(self) -> tuple[float, float]:
        """Size and reach, of a resolved layer."""
        assert self.size and self.reach
        return self.size, self.reach

    def over(self, unit: float) -> Layer:
        """The same layer with lengths in another unit."""
        return replace(
            self,
            size=None if self.size is None else self.size / unit,
            reach=None if self.reach is None else self.reach / unit,
            decay=self.decay / unit,
            longest=self.longest / unit,
        )

    def resolved(self, order: int) -> Layer:
        """The layer with size and reach for fields of some polynomial degree."""
        if self.size and self.reach:
            return self
        return replace(
            self,
            size=self.size or self.finer * self.decay / _CELLS_PER_LAYER.get(order, 1.5),
            reach=self.reach or self.wider * 0.7 * (order + 1) * self.decay,
        )


def vorticity_layer(diffusion_length: float, order: int, size: float | None = None) -> Layer:
    """Layer that resolves the decay of the vorticity at a wall.

    Args:
        diffusion_length: Vorticity diffusion length l.
        order: Polynomial degree k of the current density.
        size: Cell size at the wall, if it is given.

    Returns:
        The layer, in the unit of ``diffusion_length``.
    """
    return Layer(size=size, decay=diffusion_length).resolved(order)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SizeField:
    """Cell sizes at the vertices of an earlier mesh of the same drawing, linear in its cells.

    Attributes:
        points: The vertices, shape (n, 2).
        triangles: The cells, shape (c, 3).
        sizes: Largest cell size at each vertex, shape (n,).
    """

    points: np.ndarray
    triangles: np.ndarray
    sizes: np.ndarray

    @classmethod
    def anything(cls) -> SizeField:
        """No wish yet: for the first mesh of an adaptive refinement."""
        return cls(points=np.empty((0, 2)), triangles=np.empty((0, 3), int), sizes=np.empty(0))

    def over(self, unit: float) -> SizeField:
        """The same field with lengths in another unit."""
        return replace(self, points=self.points / unit, sizes=self.sizes / unit)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """Wanted cell sizes, in the unit of the file.

    Attributes:
        order: Polynomial degree of the field, or None for that which suits the dimension.
        bulk: Largest cell size, or None for a fraction of the local width.
        layers: Layers at boundaries, by name.
        interface: Layer on both sides of boundaries between regions, or None.
        coarsen: True if layers may be coarsened where they would take too many cells.
        known_only: True to ignore layers at boundaries that the drawing does not have.
        stretched: True to let thin layers have flat cells.
        wanted: Sizes that a solution asks for, or None where nobody asks: then corners are
            refined once and for all.
    """

    order: int | None
    bulk: float | None = None
    layers: Mapping[str, Layer] = field(default_factory=dict)
    interface: Layer | None = None
    coarsen: bool = True
    known_only: bool = False
    stretched: bool = True
    wanted: SizeField | None = None

    @property
    def degree(self) -> int:
        """The order, of resolved sizes."""
        assert self.order
        return self.order

    def resolved(self, order: int) -> Sizes:
        """The same for fields of a known degree."""
        return replace(
            self,
            order=order,
            layers={name: layer.resolved(order) for name, layer in self.layers.items()},
            interface=self.interface and self.interface.resolved(order),
        )


def check_names(path: Path, sizes: Sizes, dimension: int = 2) -> None:
    """Raise a GeometryError if a wall size is given for a boundary that the drawing lacks."""
    known = groups(path, dimension - 1)
    kind = {2: "curve", 3: "surface"}[dimension]
    for name in sizes.layers:
        if name not in known and not sizes.known_only:
            raise GeometryError(
                f"{path}: no physical {kind} '{name}'; the drawing has {', '.join(known) or 'none'}"
            )
