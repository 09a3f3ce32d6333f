"""Geometry of cells and boundary facets, and tables of Lagrange elements, in batches.

Arrays are ordered (cell, quadrature point, ...). Lengths are divided by ``Device.extent``, so
that nanometres cost no digits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache, wraps
from math import factorial
from typing import Any, TypeVar

import basix
import basix.ufl
import dolfinx
import numpy as np

from meso import _compat
from meso.device import Device
from meso.discrete.elements import enriched

Made = TypeVar("Made")

_SIMPLEX = {1: "interval", 2: "triangle", 3: "tetrahedron"}
#: Elements know nothing of meshes: each is made once.
_element = lru_cache(lambda *key, **more: _compat.with_cell(basix.ufl.element(*key, **more)))
# Numbers that one batch of element arrays may hold.
_BATCH = 3_000_000


@lru_cache(maxsize=64)
def quadrature(dimension: int, degree: int) -> tuple[np.ndarray, np.ndarray]:
    """Points (q, d) and weights (q,) on the reference simplex, exact up to ``degree``."""
    return basix.make_quadrature(getattr(basix.CellType, _SIMPLEX[dimension]), degree)


def facet_points(points: np.ndarray) -> np.ndarray:
    """Points (q, d - 1) of the reference facet on each facet of a cell, shape (d + 1, q, d)."""
    corner = _facet_corners(points.shape[1] + 1)
    return corner[:, :1] + points @ (corner[:, 1:] - corner[:, :1])


@lru_cache
def facet_vertices(dimension: int) -> np.ndarray:
    """Vertices of each facet of a cell in the order of the reference facet, shape (d + 1, d).

    Facet i is opposite to vertex i; the conductor is on the left of an edge and behind a face.
    """
    kind = getattr(basix.CellType, _SIMPLEX[dimension])
    facets = np.array(basix.topology(kind)[-2])
    turned = np.array(basix.cell.facet_orientations(kind), dtype=bool)
    facets[turned, -2:] = facets[turned, -2:][:, ::-1]
    return facets


def _facet_corners(dimension: int) -> np.ndarray:
    vertices = basix.geometry(getattr(basix.CellType, _SIMPLEX[dimension]))
    return np.asarray(vertices[facet_vertices(dimension)])


def slopes(space: Any, points: np.ndarray) -> np.ndarray:
    """Reference derivatives of the basis of a space at reference points, shape (d, q, n)."""
    return _slopes(space.element.basix_element, points)


def _slopes(element: Any, points: np.ndarray) -> np.ndarray:
    table = element.tabulate(1, np.ascontiguousarray(points))[1:, :, :, 0]
    # Basis functions sum to one: what rounding leaves of it would add up over all cells.
    return np.asarray(table - table.mean(axis=2, keepdims=True))


class NodalBasis:
    """Functions in a cell with one node each, and their tables.

    Attributes:
        family: "Lagrange" functions or "enriched" ones.
        degree: Polynomial degree, on the edges of enriched cells.
        element: Basix element.
        in_cell: Number of nodes in a cell.
        outer: Positions in a cell of the nodes on its boundary.
        interior: Positions of the nodes inside it.
        on_facet: Positions of the nodes of each facet, shape (d + 1, nodes of a facet).
    """

    def __init__(self, device: Device, degree: int, family: str) -> None:
        self.family, self.degree = family, degree
        self.element = _of_family(device, family, degree, 1).basix_element
        self.in_cell = self.element.dim
        # Basix puts the nodes inside a cell last.
        inside = len(self.element.entity_dofs[device.dimension][0])
        self.outer = slice(0, self.in_cell - inside)
        self.interior = slice(self.in_cell - inside, self.in_cell)
        closures = self.element.entity_closure_dofs[device.dimension - 1]
        self.on_facet = np.array([sorted(each) for each in closures])

    @property
    def points(self) -> np.ndarray:
        """Nodes of the reference cell, shape (n, d)."""
        return self.element.points

    def values(self, points: np.ndarray) -> np.ndarray:
        """Basis functions at reference points, shape (q, n)."""
        return self.element.tabulate(0, points)[0, :, :, 0]

    def gradients(self, points: np.ndarray) -> np.ndarray:
        """Reference gradients at reference points, shape (q, n, d)."""
        return _slopes(self.element, points).transpose(1, 2, 0)


class Lagrange(NodalBasis):
    """Scalar continuous space with an unknown at each node.

    Attributes:
        space: DOLFINx function space.
        dofs: Nodes of each cell of this rank, shape (c, n).
        index_map: Of the nodes.
        nodes: Number of nodes that this rank knows.
    """

    def __init__(self, device: Device, degree: int, family: str) -> None:
        super().__init__(device, degree, family)
        self.space = space(device, family, degree, 1)
        self.dofs = np.asarray(self.space.dofmap.list)[: len(device.cell_region)]
        self.index_map = self.space.dofmap.index_map
        self.nodes = self.index_map.size_local + self.index_map.num_ghosts

    @property
    def global_nodes(self) -> np.ndarray:
        """Number of each node of this rank over all ranks, shape (nodes,)."""
        return self.index_map.local_to_global(np.arange(self.nodes, dtype=np.int32))

    def shared_sum(self, nodal: np.ndarray) -> np.ndarray:
        """Sum of the contributions of all ranks at each node, shape (nodes,)."""
        vector = dolfinx.la.vector(self.index_map, 1)
        vector.array[:] = nodal
        vector.scatter_reverse(dolfinx.la.InsertMode.add)
        vector.scatter_forward()
        return np.array(vector.array)

    def nodes_on(self, device: Device, boundary: str) -> np.ndarray:
        """Nodes on a named boundary, known to every rank that touches them."""
        facets = device.facet_tags.find(device.boundaries.index(boundary))
        return dolfinx.fem.locate_dofs_topological(self.space, device.dimension - 1, facets)


def of_device(make: Callable[..., Made]) -> Callable[..., Made]:
    """Make what belongs to a device (and further arguments) once; it goes with the device."""

    @wraps(make)
    def made(device: Device, *key: Any) -> Made:
        if (make, *key) not in device.made:
            device.made[make, *key] = make(device, *key)
        found: Made = device.made[make, *key]
        return found

    return made


@of_device
def space(device: Device, family: str, degree: int, components: int) -> Any:
    """A DOLFINx space of "Lagrange", "enriched" or "DG" functions; scalars have one component."""
    return dolfinx.fem.functionspace(device.mesh, _of_family(device, family, degree, components))


def _of_family(device: Device, family: str, degree: int, components: int) -> Any:
    """The element of such a space."""
    mesh, shape = device.mesh, (components,) if components > 1 else ()
    if family == "enriched":
        return enriched(degree, shape)
    return _element(family, mesh.basix_cell(), degree, shape=shape, dtype=mesh.geometry.x.dtype)


_nodal = of_device(Lagrange)


def lagrange(device: Device, degree: int, family: str = "Lagrange") -> Lagrange:
    """The nodal space of a device."""
    return _nodal(device, degree, family)


class Cells:
    """Geometry of this rank's cells, lengths over ``Device.extent``.

    Attributes:
        dimension: 2 for triangles, 3 for tetrahedra.
        degree: Polynomial degree of the geometry.
        nodes: Geometry nodes, shape (c, g, d).
        affine: True for straight cells, shape (c,).
    """

    def __init__(self, device: Device) -> None:
        x, dofmap, self.degree = _compat.geometry(device.mesh)
        d = self.dimension = device.dimension
        self.count = len(device.cell_region)
        self.nodes = x[dofmap[: self.count]][:, :, :d] / device.extent
        self.element = _compat.scalar_element(_SIMPLEX[d], self.degree)
        if self.degree == 1:
            self.affine = np.ones(self.count, dtype=bool)
        else:
            points = self.element.points
            barycentric = np.column_stack([1 - points.sum(axis=1), points])
            bend = np.abs(self.nodes - barycentric @ self.corners).max(axis=(1, 2))
            size = np.ptp(self.corners, axis=1).max(axis=1)
            self.affine = bend < 1e-11 * size

    @property
    def corners(self) -> np.ndarray:
        """Scaled coordinates of the vertices, shape (c, d + 1, d)."""
        return self.nodes[:, : self.dimension + 1]

    def quadrature(self, degree: int) -> tuple[np.ndarray, np.ndarray]:
        """Points (q, d) and weights (q,) on the reference cell, exact up to ``degree``."""
        return quadrature(self.dimension, degree)

    def facet_quadrature(self, degree: int) -> tuple[np.ndarray, np.ndarray]:
        """Points (q, d - 1) and weights (q,) on the reference facet, exact up to ``degree``."""
        return quadrature(self.dimension - 1, degree)

    def batches(
        self, numbers_per_cell: int, simple: np.ndarray | None = None
    ) -> Iterator[tuple[np.ndarray, bool]]:
        """Cells in batches, and whether all of them are simple: straight, or as a mask says."""
        step = max(1, _BATCH // max(1, numbers_per_cell))
        simple = self.affine if simple is None else simple
        for kind in (True, False):
            chosen = np.flatnonzero(simple == kind)
            for start in range(0, len(chosen), step):
                yield chosen[start : start + step], kind

    def positions(self, cells: np.ndarray, points: np.ndarray) -> np.ndarray:
        """Scaled coordinates of reference points, shape (c, q, d)."""
        return self.element.tabulate(0, points)[0, :, :, 0] @ self.nodes[cells]

    def jacobians(self, cells: np.ndarray, points: np.ndarray) -> np.ndarray:
        """dx_i/dX_a at reference points, shape (c, q, i, a)."""
        table = self.element.tabulate(1, points)[1:, :, :, 0]
        # One matrix product per reference direction: (q, g) @ (c, g, d).
        return np.stack([part @ self.nodes[cells] for part in table], axis=3)

    def determinants(self, cells: np.ndarray, points: np.ndarray) -> np.ndarray:
        """Jacobian determinants at reference points, shape (c, q)."""
        return inverse(self.jacobians(cells, points))[1]

    def measures(self, cells: np.ndarray) -> np.ndarray:
        """Area or volume of cells, shape (c,)."""
        return self._measures[cells]

    @cached_property
    def _measures(self) -> np.ndarray:
        out = self.derivatives(np.arange(self.count))[1] / factorial(self.dimension)
        bent = np.flatnonzero(~self.affine)
        points, weights = self.quadrature(max(1, self.dimension * (self.degree - 1)))
        out[bent] = self.determinants(bent, points) @ weights
        return out

    def derivatives(self, cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """For straight cells: inverse Jacobians dX_a/dx_i, (c, a, i), and determinants (c,)."""
        corner = self.corners[cells]
        return inverse((corner[:, 1:] - corner[:, :1]).transpose(0, 2, 1))

    def gradients(
        self, cells: np.ndarray, points: np.ndarray, reference: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Gradients of basis functions, (c, q, i, n), and determinants (c, q).

        ``reference`` has their gradients on the reference cell, shape (q, n, d).
        """
        inverses, determinant = inverse(self.jacobians(cells, points))
        along = np.ascontiguousarray(reference.transpose(2, 0, 1))
        gradient = along[0][None, :, None] * inverses[:, :, 0, :, None]
        for a in range(1, self.dimension):
            gradient += along[a][None, :, None] * inverses[:, :, a, :, None]
        return gradient, determinant


def inverse(jacobian: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Inverses and determinants of d by d matrices, shape (..., d, d) and (...)."""
    if jacobian.shape[-1] == 3:
        x, y, z = (jacobian[..., i] for i in range(3))
        adjugate = np.stack([np.cross(y, z), np.cross(z, x), np.cross(x, y)], axis=-2)
        determinant = (adjugate[..., 0, :] * x).sum(axis=-1)
    else:
        a, b = jacobian[..., 0, 0], jacobian[..., 0, 1]
        c, d = jacobian[..., 1, 0], jacobian[..., 1, 1]
        determinant = a * d - b * c
        adjugate = np.stack([np.stack([d, -b], axis=-1), np.stack([-c, a], axis=-1)], axis=-2)
    return adjugate / determinant[..., None, None], determinant


@of_device
def cells_of(device: Device) -> Cells:
    """The cell geometry of a device."""
    return Cells(device)


def at_geometry_nodes(device: Device, cell: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Sums over all ranks at the nodes of the geometry of what belongs to nodes of cells.

    Args:
        device: The device.
        cell: Cells of this rank, shape (e,).
        values: At their geometry nodes, shape (e, g, k).

    Returns:
        Shape (local geometry nodes, k), zero at ghosts.
    """
    x, dofmap, _ = _compat.geometry(device.mesh)
    index_map, k = device.mesh.geometry.index_map(), values.shape[2]
    nodes = dofmap[cell].ravel()
    vector = dolfinx.la.vector(index_map, k)
    for a in range(k):
        vector.array[a::k] = np.bincount(nodes, values[..., a].ravel(), minlength=len(x))
    vector.scatter_reverse(dolfinx.la.InsertMode.add)
    out = np.array(vector.array).reshape(-1, k)
    out[index_map.size_local :] = 0.0
    return out


@dataclass(frozen=True, slots=True, kw_only=True)
class FacetGeometry:
    """Boundary facets at points of the reference facet.

    Attributes:
        cell: Cells, shape (f,).
        local: Facet numbers in the cells, shape (f,).
        points: The points in the cell, shape (d + 1, q, d), by facet number.
        position: Scaled coordinates, shape (f, q, d).
        normal: Outward unit normals, shape (f, q, d).
        weight: Line or surface element times weights that were given, shape (f, q).
        curvature: Derivative of the normal along the wall (Weingarten map), symmetric and
            tangential, positive where the conductor is convex, shape (f, q, d, d).
        height: Height of the cell over the facet, shape (f,).
    """

    cell: np.ndarray
    local: np.ndarray
    points: np.ndarray
    position: np.ndarray
    normal: np.ndarray
    weight: np.ndarray
    curvature: np.ndarray
    height: np.ndarray

    @property
    def tangential(self) -> np.ndarray:
        """Projection 1 - n n^T on the wall, shape (f, q, d, d)."""
        n = self.normal
        return np.eye(n.shape[-1]) - n[..., :, None] * n[..., None, :]

    def table(self, values: Callable[[np.ndarray, int], Any]) -> np.ndarray:
        """Stack ``values(points, facet number)``, which depends on the facet number only."""
        tables = np.stack([values(points, i) for i, points in enumerate(self.points)])
        return tables[self.local]


def along_facets(element: Any, points: np.ndarray) -> np.ndarray:
    """A basis at points (d + 1, q, d) of all facets, with its derivatives along the facets.

    Shape (d + 1, 1 + (d - 1) + (d - 1)^2, q, n): values, first and second derivatives.
    """
    facets, q, d = points.shape
    corner = _facet_corners(d)
    along = corner[:, 1:] - corner[:, :1]
    steps = np.eye(d, dtype=int)
    pairs = [basix.index(*(one + other)) for one in steps for other in steps]
    table = element.tabulate(2, points.reshape(-1, d))[..., 0]
    value, slope, bend = (
        part.reshape(-1, facets, q * part.shape[-1]).swapaxes(0, 1)
        for part in (table[:1], table[1 : d + 1], table[pairs])
    )
    twice = along[:, :, None, :, None] * along[:, None, :, None, :]
    first, second = along @ slope, twice.reshape(facets, -1, d * d) @ bend
    return np.concatenate([value, first, second], axis=1).reshape(facets, -1, q, table.shape[-1])


def at_facets(element: Any, local: np.ndarray, points: np.ndarray) -> np.ndarray:
    """A basis and its derivatives along facets, at a point (m, d - 1) of each, (m, d, n)."""
    corner = _facet_corners(points.shape[1] + 1)
    along = (corner[:, 1:] - corner[:, :1])[local]
    places = corner[local, 0] + (points[:, None] @ along)[:, 0]
    table = element.tabulate(1, places)[..., 0]
    return np.concatenate([table[0][:, None], along @ table[1:].swapaxes(0, 1)], axis=1)


def facet_geometry(
    cells: Cells,
    cell: np.ndarray,
    local: np.ndarray,
    points: np.ndarray,
    weight: np.ndarray | None = None,
) -> FacetGeometry:
    """Geometry of boundary facets at points (q, d - 1) of the reference facet."""
    d, q = cells.dimension, len(points)
    inside = facet_points(points)
    tables = along_facets(cells.element, inside)
    found = np.empty((len(cell), tables.shape[1] * q, d))
    for number, table in enumerate(tables):
        here = local == number
        found[here] = table.reshape(-1, table.shape[-1]) @ cells.nodes[cell[here]]
    found = found.reshape(len(cell), tables.shape[1], q, d)
    position, first = found[:, 0], np.moveaxis(found[:, 1:d], 1, -1)
    second = np.moveaxis(found[:, d:], 1, -1).reshape(*first.shape, d - 1)
    normal: np.ndarray = (
        np.stack([first[..., 1, 0], -first[..., 0, 0]], axis=-1)
        if d == 2
        else np.cross(first[..., 0], first[..., 1])
    )
    element = np.linalg.norm(normal, axis=-1)
    normal = normal / element[..., None]
    # Second fundamental form -n.x_ab, raised with the metric of the facet on both sides.
    metric = np.linalg.inv(first.swapaxes(-1, -2) @ first)
    form = -(normal[..., None, None] * second).sum(axis=2)
    raised = first @ metric
    return FacetGeometry(
        cell=cell,
        local=local,
        points=inside,
        position=position,
        normal=normal,
        weight=element if weight is None else element * weight,
        curvature=raised @ form @ raised.swapaxes(-1, -2),
        height=facet_heights(cells, cell, local),
    )


def facet_heights(cells: Cells, cell: np.ndarray, local: np.ndarray) -> np.ndarray:
    """Heights of cells over their facets, shape (f,), as if they were straight."""
    flat = cells.corners[cell[:, None], facet_vertices(cells.dimension)[local]]
    side = flat[:, 1:] - flat[:, :1]
    area = np.sqrt(np.linalg.det(side @ side.swapaxes(1, 2)))
    return np.asarray(np.abs(cells.derivatives(cell)[1]) / area)


def moved_facets(
    cells: Cells, geometry: FacetGeometry, density: np.ndarray, turned: np.ndarray
) -> np.ndarray:
    """Derivatives of an integral over facets in the geometry nodes of their cells.

    They stretch and turn; what is integrated is held otherwise.

    Args:
        cells: The cells.
        geometry: The facets, with the weights of a quadrature.
        density: What is integrated, shape (f, q).
        turned: Its derivative in the normal, shape (f, q, d); what is along the normal is nothing.

    Returns:
        Shape (f, g, d), over lengths as scaled as the weights.
    """
    d = cells.dimension
    table = along_facets(cells.element, geometry.points)[geometry.local, 1:d]
    first = np.moveaxis(table @ cells.nodes[geometry.cell][:, None], 1, -1)
    raised = first @ np.linalg.inv(first.swapaxes(-1, -2) @ first)
    # A motion v changes the element by its divergence along the wall, the normal by -grad v.n.
    force = density[..., None, None] * np.eye(d)
    force = force - turned[..., :, None] * geometry.normal[..., None, :]
    pull = raised.swapaxes(-1, -2) @ (force * geometry.weight[..., None, None])
    return np.asarray((table.swapaxes(2, 3) @ np.moveaxis(pull, 2, 1)).sum(axis=1))
