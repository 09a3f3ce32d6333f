"""The result of a 3D device as its files tell it, and what planes cut out of its walls."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

from meso.figures.data import Files, joined
from meso.figures.raster import Plane
from meso.files.vtu import degree_of, read_names, vtk_lattice


@dataclass(frozen=True, kw_only=True, eq=False)
class Solid(Files):
    """The result of a 3D device.

    Attributes:
        wall_names: Names of the walls.
        triangles: Nodes of the triangles of the walls in the order of VTK, m, shape (t, n, 3).
        wall_data: Fields at these nodes, normals, and "wall" and "segment" of each triangle.
        rest: Other faces of the boundary: contacts and periodic ones, vertices, shape (f, 3, 3).
        low: Lower corner of the bounding box, m.
        high: Upper corner.
    """

    wall_names: tuple[str, ...]
    triangles: np.ndarray
    wall_data: dict[str, np.ndarray]
    rest: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @classmethod
    def read(cls, directory: Path) -> Solid:
        """Read a result directory."""
        found = cls.common(directory)
        triangles = np.empty((0, 3, 3))
        data: dict[str, np.ndarray] = {}
        names: list[str] = []
        if (directory / "walls").is_dir():
            ranks = found["summary"]["mesh"]["ranks"]
            triangles, data = joined(directory / "walls", 3, ranks=ranks)
            names = read_names(directory / "walls" / "part0.vtu", "wall_names")
        points = found["cells"].points.reshape(-1, 3)
        faces = found["cells"].faces()
        size = np.ptp(points, axis=0).max()
        # Walls are known by the middles of their triangles.
        rest = faces
        if len(triangles):
            tree = cKDTree(triangles[:, :3].mean(axis=1))
            rest = faces[tree.query(faces.mean(axis=1))[0] > 1e-7 * size]
        return cls(
            **found,
            wall_names=tuple(names),
            triangles=triangles,
            wall_data=data,
            rest=rest,
            low=points.min(axis=0),
            high=points.max(axis=0),
        )

    @property
    def order(self) -> np.ndarray:
        """Axes from the largest to the smallest extent of the device."""
        return np.argsort(-np.round(self.high - self.low, 15), kind="stable")

    def plane(self, across: int) -> Plane:
        """The plane through the centre of the device at right angles to an axis."""
        first, second = (int(axis) for axis in self.order if axis != across)
        # Beside the centre by nothing that is seen: there, nodes of the mesh may lie in the plane.
        share = 0.5 + 1.2345e-6
        middle = self.low[across] + share * (self.high[across] - self.low[across])
        return Plane(across=across, axes=(first, second), position=float(middle))

    def wall_lines(self, plane: Plane, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where a plane cuts the walls.

        Args:
            plane: The plane.
            values: At the nodes of the triangles, shape (t, n, v).

        Returns:
            Directed edges, the two coordinates in the plane followed by the values, shape
            (e, 2, 2 + v), and the triangle of each.
        """
        degree = degree_of(self.triangles.shape[1])
        parts = _linear_parts(degree)
        corners, owner = self.triangles[:, parts].reshape(-1, 3, 3), np.arange(len(self.triangles))
        at = values[:, parts].reshape(len(corners), 3, values.shape[2])
        lines, chosen = cut(corners, plane, at)
        return lines, np.repeat(owner, len(parts))[chosen]


def _linear_parts(degree: int) -> np.ndarray:
    """Straight triangles between the nodes of a Lagrange triangle, shape (degree^2, 3)."""
    number: dict[tuple[int, ...], int] = {
        (int(node[0]), int(node[1])): i for i, node in enumerate(vtk_lattice(degree))
    }
    out = []
    for (i, j), a in number.items():
        b, c, d = (number.get(at) for at in ((i + 1, j), (i, j + 1), (i + 1, j + 1)))
        if b is not None and c is not None:
            out.append((a, b, c))
            if d is not None:
                out.append((b, d, c))
    return np.array(out)


def cut(
    corners: np.ndarray, plane: Plane, values: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Where a plane cuts straight triangles.

    Args:
        corners: Shape (t, 3, 3).
        plane: The plane.
        values: At the corners, shape (t, 3, v).

    Returns:
        Edges, shape (e, 2, 2 + v), directed alike for triangles oriented alike, and the triangle
        of each.
    """
    carried = np.empty((*corners.shape[:2], 0)) if values is None else values
    full = np.concatenate([corners[..., list(plane.axes)], carried], axis=2)
    off = corners[..., plane.across] - plane.position
    above = off > 0
    crossing = above != np.roll(above, -1, axis=1)
    chosen = np.flatnonzero(crossing.any(axis=1))
    edges = np.empty((len(chosen), 2, full.shape[2]))
    for k in range(3):
        a, b = chosen, (k + 1) % 3
        t = off[a, k] / np.where(crossing[a, k], off[a, k] - off[a, b], 1.0)
        point = full[a, k] + t[:, None] * (full[a, b] - full[a, k])
        # A line begins where it comes up, and ends where it goes down.
        for end, here in ((0, ~above[a, k]), (1, above[a, k])):
            mask = crossing[a, k] & here
            edges[mask, end] = point[mask]
    return edges, chosen
