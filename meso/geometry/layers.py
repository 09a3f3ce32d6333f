"""Wanted cell sizes: how many cells a field of some degree needs across layers and channels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import factorial
from typing import Any

import numpy as np

from meso.geometry.simplices import mean_density, measures

# Cells across a channel (in 3D across the thickness) and per vorticity diffusion length at a wall,
# by polynomial degree. Measured on ribbons and bends: they keep currents and profiles within 1e-6
# and wall vorticities within 1e-5 (tests/verification); degree 2 is left at about 1e-4.
_CELLS_PER_WIDTH = {2: {1: 16.0, 2: 10.0, 3: 5.0}, 3: {1: 10.0, 2: 6.0, 3: 4.0}}
_CELLS_PER_LAYER = {1: 8.0, 2: 6.0, 3: 5.0, 4: 2.5, 5: 2.0}
# Polynomial degree of the fields, by the dimension of the device, where none is given.
DEFAULT_ORDER = {2: 4, 3: 2}


def order_in(dimension: int, order: int | tuple[int, int] | None) -> int:
    """The degree from a given one, or one in 2D and one in 3D."""
    return (order[dimension - 2] if isinstance(order, tuple) else order) or DEFAULT_ORDER[dimension]


# Smallest cell at a sharp re-entrant corner over the local width: the error falls like its power
# 0.65, the cells grow like its logarithm.
CORNER_SIZE = 1e-6
# Smallest cell at a corner, and the power by which it follows the accuracy, for currents of which
# corners take most of 1e-4 (measured on a crossing of sharp arms, degree 3).
_CORNER_FOR, _CORNER_POWER = 2e-4, 1.5
# The same in the first mesh of an adaptive refinement.
FIRST_CORNER_SIZE = 0.02
# Cells of a solid, unless the user asks for a size; thin layers come out with up to a third more.
MAX_CELLS_3D = 120_000
#: Gmsh's simplices of size h: so many in an area h^2, in a volume h^3.
PER_POWER = {2: 2.6, 3: 5.0}


def corner_size(accuracy: float) -> float:
    """Smallest cell at a sharp corner over the local width, for a relative error of currents."""
    size = _CORNER_FOR * (accuracy / 1e-4) ** _CORNER_POWER
    return min(max(size, CORNER_SIZE), FIRST_CORNER_SIZE)


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
        turn: Radians of a curved boundary in the plane per cell, if less than anywhere.
    """

    size: float | None = None
    reach: float | None = None
    decay: float = 0.0
    finer: float = 1.0
    wider: float = 1.0
    longest: float = 0.0
    turn: float = np.inf

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
        return replace(
            self,
            size=self.size or self.finer * self.decay / _CELLS_PER_LAYER.get(order, 1.5),
            reach=self.reach or self.wider * 0.7 * (order + 1) * self.decay,
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SizeField:
    """Cell sizes at the vertices of an earlier mesh of the same drawing, linear in its cells."""

    points: np.ndarray  # vertices, shape (n, d)
    triangles: np.ndarray  # cells, in space tetrahedra, shape (c, d + 1)
    sizes: np.ndarray  # largest size at each vertex, shape (n,)
    # Values of parameters of the drawing, in its unit, that say how fine the mesh is.
    parameters: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def anything(cls) -> SizeField:
        """No wish yet: for the first mesh of an adaptive refinement."""
        return cls(points=np.empty((0, 2)), triangles=np.empty((0, 3), int), sizes=np.empty(0))

    def over(self, unit: float) -> SizeField:
        """The same field with lengths in another unit."""
        return replace(self, points=self.points / unit, sizes=self.sizes / unit)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """Wanted cell sizes, in the unit of the file."""

    # Polynomial degree of the field, or that in 2D and that in 3D; None: what suits the dimension.
    order: int | tuple[int, int] | None
    bulk: float | None = None  # largest cell size; None: a fraction of the local width
    layers: Mapping[str, Layer] = field(default_factory=dict)  # at boundaries, by name
    interface: Layer | None = None  # on both sides of boundaries between regions
    coarsen: bool = True  # layers, where they would take too many cells
    known_only: bool = False  # ignore layers at boundaries that the drawing does not have
    stretched: bool = True  # thin layers may have flat cells
    # What a solution asks for; None where nobody asks: then corners are refined once and for all.
    wanted: SizeField | None = None
    # Smallest cell at a sharp corner over the local width; the same where a solution asks.
    corner: float = field(default_factory=lambda: CORNER_SIZE)
    first_corner: float = field(default_factory=lambda: FIRST_CORNER_SIZE)
    # Most cells of a solid, unless the user asks for a size.
    budget: float = field(default_factory=lambda: MAX_CELLS_3D)

    @property
    def is_explicit(self) -> bool:
        """True if the user gave a size: then there may be any number of cells."""
        return self.bulk is not None or not self.coarsen

    @property
    def degree(self) -> int:
        """The order, of resolved sizes."""
        assert isinstance(self.order, int)
        return self.order

    def across(self, dimension: int) -> float:
        """Cells over the local width."""
        return _CELLS_PER_WIDTH[dimension][min(self.degree, 3)]

    def resolved(self, order: int) -> Sizes:
        """The same for fields of a known degree."""
        return replace(
            self,
            order=order,
            layers={name: layer.resolved(order) for name, layer in self.layers.items()},
            interface=self.interface and self.interface.resolved(order),
        )


# -- their number ----------------------------------------------------------------------------------


def cells_of_field(points: np.ndarray, simplices: np.ndarray, sizes: np.ndarray) -> float:
    """Number of cells whose size, given at the points (n, 3), is linear in simplices."""
    d = simplices.shape[1] - 1
    volume = np.abs(measures(points[:, :d], simplices)) / factorial(d)
    return PER_POWER[d] * float(volume @ mean_density(sizes[simplices]))


def cells_of_layer(
    layer: Layer, measure: Any, dimension: int, *, bulk: Any = np.inf, depth: Any = np.inf
) -> float:
    """Number of isotropic cells in a layer, more than there would be without it.

    For parts of its wall of some length (3D: area), of the size without the layer there, and the
    distance at which the layer ends at the latest.
    """
    size, reach = layer.lengths
    d, power = dimension, 3 * dimension - 1
    bulk = np.maximum(bulk, size)
    # The integral of 1/size^d - 1/bulk^d up to where the size is that of the bulk.
    end = np.minimum((bulk / size) ** (1 / 3), 1 + depth / (3 * reach))
    grown = 3 * reach / power * (1 - end**-power) / size**d
    instead = np.where(np.isinf(bulk), 0.0, 3 * reach * (np.minimum(end, 1e9) - 1) / bulk**d)
    return PER_POWER[d] * float((measure * np.maximum(grown - instead, 0)).sum())
