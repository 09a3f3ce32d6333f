"""Derivatives of a number in what the equations are made of, place by place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from meso.device import Device
from meso.mpi import total

#: Derivatives by the name of a coefficient, or of a port.
Values = Mapping[str, np.ndarray]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Places:
    """Derivatives of a number in a coefficient that varies inside cells, on this rank.

    Attributes:
        name: The coefficient.
        boundary: A coefficient of this boundary; empty in the conductor.
        cells: The cells that places are in, (c,); they may repeat.
        positions: m, (c, q, d).
        values: d T / d (the coefficient there), SI, (c, q).
    """

    name: str
    boundary: str
    cells: np.ndarray
    positions: np.ndarray
    values: np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sensitivity:
    """Derivatives of one number T in coefficients and in the shape, on this rank.

    A model tells its coefficients by name, with their values for a material (``coefficients``) and
    for a boundary (``wall_coefficients``): what they depend on further is for others to say. They
    add up with :meth:`over_regions`, :meth:`over_boundaries` and :meth:`along`, which are the same
    on all ranks.

    Attributes:
        cells: By coefficient, d T / d (its value in a cell), SI, shape (cells of this rank,).
        facets: The same of coefficients of boundaries, shape (facets of ``Device.facets``,).
        nodes: d T / d x per metre of the motion of the mesh's geometry nodes, all else held,
            shape (local geometry nodes, d); ghosts are zero, their part is with their owner. None
            where it is not known: coefficients that vary inside cells.
        given: By port, d T / d (what it is given: potential or voltage in V, or current), the same
            on all ranks; empty for what does not depend on it.
        densities: d T / d (coefficients of densities of angular momentum), by the names and in the
            shapes of :func:`meso.angular_momentum.variation.coefficients`, the same on all ranks.
        places: Where coefficients vary inside cells, in place of ``cells`` and ``facets``.
    """

    cells: Values = field(default_factory=dict)
    facets: Values = field(default_factory=dict)
    nodes: np.ndarray | None = None
    given: Mapping[str, float] = field(default_factory=dict)
    densities: Values = field(default_factory=dict)
    places: tuple[Places, ...] = ()

    def __add__(self, other: Sensitivity) -> Sensitivity:
        """Of the sum of two numbers."""
        known = self.nodes is not None and other.nodes is not None
        return Sensitivity(
            cells=_sum(self.cells, other.cells),
            facets=_sum(self.facets, other.facets),
            nodes=self.nodes + other.nodes if known else None,  # type: ignore[operator]
            given=_sum(self.given, other.given),
            densities=_sum(self.densities, other.densities),
            places=self.places + other.places,
        )

    def __mul__(self, factor: float) -> Sensitivity:
        """Of a multiple of the number."""
        return Sensitivity(
            cells={name: factor * values for name, values in self.cells.items()},
            facets={name: factor * values for name, values in self.facets.items()},
            nodes=None if self.nodes is None else factor * self.nodes,
            given={name: factor * value for name, value in self.given.items()},
            densities={name: factor * values for name, values in self.densities.items()},
            places=tuple(replace(one, values=factor * one.values) for one in self.places),
        )

    __rmul__ = __mul__

    def over_regions(self, device: Device) -> dict[str, dict[str, float]]:
        """By region and coefficient: d T / d (its value in all of the region)."""
        out: dict[str, dict[str, float]] = {name: {} for name in device.regions}
        for name, values in self.cells.items():
            sums = np.bincount(device.cell_region, values, minlength=len(device.regions))
            for region, value in zip(device.regions, total(device.comm, sums), strict=True):
                out[region][name] = float(value)
        return out

    def over_boundaries(self, device: Device) -> dict[tuple[str, str], dict[str, float]]:
        """By boundary, region behind it, and coefficient: d T / d (its value there)."""
        boundaries, regions = device.boundaries, device.regions
        place = device.facets.boundary * len(regions) + device.cell_region[device.facets.cell]
        out: dict[tuple[str, str], dict[str, float]] = {}
        touched = np.bincount(place, minlength=len(boundaries) * len(regions))
        here = np.flatnonzero(total(device.comm, touched))
        for name, values in self.facets.items():
            sums = total(device.comm, np.bincount(place, values, minlength=len(touched)))
            for i in here:
                pair = boundaries[i // len(regions)], regions[i % len(regions)]
                out.setdefault(pair, {})[name] = float(sums[i])
        return out

    def along(self, device: Device, velocity: np.ndarray) -> float:
        """D T for a motion of the geometry nodes of this rank, (local geometry nodes, d), in m."""
        if self.nodes is None:
            raise ValueError("the derivative in the shape is not known")
        return float(total(device.comm, float((self.nodes * velocity).sum())))


def _sum(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: sum(part[name] for part in (one, other) if name in part) for name in {**one, **other}
    }
