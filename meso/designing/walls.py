"""Free walls: how the nodes of a mesh follow the points that steer them.

Along each free stretch of wall the displacement is a cubic spline in the arc length, zero where
the stretch ends, and each cell follows it: what the nodes do is linear in a few numbers, and a
gradient in these is one that is smooth along the wall.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.interpolate import BSpline

from meso import _compat
from meso.designing.outline import Outline, arc_length, outline_of
from meso.device import Device
from meso.discrete.extension import extended
from meso.errors import GeometryError
from meso.geometry.simplices import positions
from meso.mpi import concatenated, total

#: Cells keep this quality, 2 det F / |F|^2 of how they have been deformed; below the first a mesh
#: is made anew, below the second it is not moved at all.
WORN, TORN = 0.5, 0.2
_DEGREE = 3
_FEWEST = 4  # spans of a spline


@dataclass(frozen=True, kw_only=True, eq=False)
class FreeWalls:
    """The motions of a device whose named boundaries are free.

    Attributes:
        device: The device before they move.
        outline: Its outline.
        spacing: Distance of the points that steer a wall, m.
        shapes: Splines at the nodes of the outline, shape (splines, m).
        stiffness: Of the splines: integral of their slopes' products along the wall, and of their
            products over the square of its length.
    """

    device: Device
    outline: Outline
    spacing: float
    shapes: np.ndarray
    stiffness: np.ndarray

    @classmethod
    def of(cls, device: Device, free: tuple[str, ...], spacing: float) -> FreeWalls:
        """The free walls of a device; all ranks call this."""
        outline = outline_of(device)
        shapes, blocks = [], []
        for nodes, closed in stretches(outline, free):
            table, stiffness = _splines(arc_length(outline.points[nodes]), spacing, closed)
            whole = np.zeros((len(table), len(outline.points)))
            whole[:, nodes] = table
            shapes.append(whole)
            blocks.append(stiffness)
        count = sum(map(len, blocks))
        stiffness, at = np.zeros((count, count)), 0
        for block in blocks:
            stiffness[at : at + len(block), at : at + len(block)] = block
            at += len(block)
        return cls(
            device=device,
            outline=outline,
            spacing=spacing,
            shapes=np.concatenate(shapes),
            stiffness=stiffness,
        )

    @property
    def count(self) -> int:
        """Number of variables: displacements in x of all splines, then in y."""
        return 2 * len(self.shapes)

    @cached_property
    def directions(self) -> np.ndarray:
        """Motion of the outline's nodes with each variable, shape (variables, m, 2)."""
        out = np.zeros((2, len(self.shapes), self.shapes.shape[1], 2))
        for axis in range(2):
            out[axis, :, :, axis] = self.shapes
        return out.reshape(self.count, -1, 2)

    @cached_property
    def inside(self) -> np.ndarray:
        """Splines continued to this rank's geometry nodes, shape (n, splines)."""
        mesh = self.device.mesh
        count = len(mesh.geometry.x)
        numbers = mesh.geometry.index_map().local_to_global(np.arange(count, dtype=np.int32))
        at = positions(self.outline.nodes, numbers)
        known = np.full((count, len(self.shapes)), np.nan)
        known[at >= 0] = self.shapes.T[at[at >= 0]]
        return extended(self.device, known)

    def moved_outline(self, x: np.ndarray) -> Outline:
        """The outline after a displacement."""
        step = (self.shapes.T @ x.reshape(2, -1).T) if len(x) else 0.0
        return self.outline.at(self.outline.points + step)

    def moved(self, x: np.ndarray) -> Device:
        """The device after a displacement.

        Raises:
            GeometryError: Cells would fold over, or become useless.
        """
        device = self.device.moved(self.inside @ x.reshape(2, -1).T)
        if quality(self.device, device) < TORN:
            raise GeometryError(f"{self.device.source}: cells would become too flat")
        return device

    def gradient(self, nodes: np.ndarray) -> np.ndarray:
        """Derivative in the variables from that in the positions of this rank's nodes."""
        return np.asarray(total(self.device.comm, (self.inside.T @ nodes).T.ravel()))

    def length(self, step: np.ndarray) -> float:
        """Largest motion of a node of the outline, m."""
        return float(np.linalg.norm(self.shapes.T @ step.reshape(2, -1).T, axis=1).max())

    def metric(self) -> np.ndarray:
        """That of Sobolev's H1 along the walls, for both directions."""
        return np.kron(np.eye(2), self.stiffness)


def quality(before: Device, after: Device) -> float:
    """Smallest of all cells' 2 det F / |F|^2, F how its vertices have been deformed."""
    edges = []
    for device in (before, after):
        x, nodes, _ = _compat.geometry(device.mesh)
        corner = x[nodes[: len(device.cell_region), :3], :2]
        edges.append((corner[:, 1:] - corner[:, :1]).transpose(0, 2, 1))
    F = edges[1] @ np.linalg.inv(edges[0])
    found = 2 * np.linalg.det(F) / (F**2).sum(axis=(1, 2))
    return float(concatenated(before.comm, found).min())


def stretches(outline: Outline, free: tuple[str, ...]) -> list[tuple[np.ndarray, bool]]:
    """Nodes along each unbroken stretch of free boundaries, and whether it is closed.

    A closed one ends where it begins, with that node twice.
    """
    chosen, out = outline.on(free), []
    for number in np.unique(outline.loop):
        edges = np.flatnonzero(outline.loop == number)
        own = chosen[edges]
        if own.all():
            out.append((_nodes(outline, edges), True))
            continue
        # From the first edge after one that is held.
        edges = np.roll(edges, -int(np.flatnonzero(~own)[0]))
        own = chosen[edges]
        parts = np.split(edges, np.flatnonzero(np.diff(own)) + 1)
        out += [(_nodes(outline, part), False) for part in parts if chosen[part[0]]]
    return out


def _nodes(outline: Outline, edges: np.ndarray) -> np.ndarray:
    """Nodes of consecutive edges."""
    along = outline.edges[edges]
    return np.append(along[:, :-1].ravel(), along[-1, -1])


def _splines(s: np.ndarray, spacing: float, closed: bool) -> tuple[np.ndarray, np.ndarray]:
    """Cubic splines along a stretch at its nodes, and their stiffness.

    Args:
        s: Arc length at the nodes, m.
        spacing: Distance of the knots, m, about.
        closed: Whether the stretch is a closed curve; else the splines are zero at its ends.

    Returns:
        Shapes (splines, nodes) and (splines, splines).
    """
    whole = s[-1]
    spans = max(_FEWEST, round(whole / spacing))
    inner = np.linspace(0.0, whole, spans + 1)
    step = whole / spans
    if closed:
        beyond = step * np.arange(1, _DEGREE + 1)
        knots = np.concatenate([-beyond[::-1], inner, whole + beyond])
    else:
        knots = np.pad(inner, _DEGREE, mode="edge")
    join = _closed if closed else _held
    gauss, weight = np.polynomial.legendre.leggauss(_DEGREE + 1)
    at = (inner[:-1, None] + step * (gauss + 1) / 2).ravel()
    weights = np.tile(weight * step / 2, spans)
    basis = BSpline(knots, np.eye(spans + _DEGREE), _DEGREE)
    table, slopes = join(basis(at)), join(basis.derivative()(at))
    stiffness = (slopes.T * weights) @ slopes + (table.T * weights) @ table / whole**2
    return join(basis(s)).T, stiffness * whole


def _held(table: np.ndarray) -> np.ndarray:
    """Without the splines that move the ends."""
    return table[:, 1:-1]


def _closed(table: np.ndarray) -> np.ndarray:
    """With the last splines as continuation of the first ones."""
    out = table[:, :-_DEGREE].copy()
    out[:, :_DEGREE] += table[:, -_DEGREE:]
    return out
