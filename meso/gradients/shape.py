"""How a number of a result changes where walls move.

The derivative in the nodes of the mesh is, to the error of the discretisation, one in the motion
of the boundary along its normal: dT = int g v_n ds. The density g is found from its values at the
nodes on the boundary by their mass matrix. At sharp corners it need not be integrable; what a
boundary does that moves as a whole is found from the motion of all nodes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.linalg import splu

from meso import _compat
from meso.device import Device
from meso.discrete.cells import FacetGeometry, cells_of, facet_geometry, lagrange
from meso.errors import CaseError
from meso.gradients import adjoint, outputs
from meso.gradients.outward import outward
from meso.mpi import concatenated, on_root, total
from meso.results.result import Result

#: Points on each facet at which the density is told.
POINTS = 5
#: Pieces of a boundary up to which each is moved by itself.
MANY = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class ShapeGradient:
    """The derivative of a number in the shape.

    Attributes:
        output: The number, by the column of a sweep's table.
        value: Its value.
        nodes: d T / d x of the geometry nodes of this rank, per metre, shape (n, d); ghosts are
            zero.
        places: Points on the boundary facets of all ranks, m, shape (f, q, d).
        density: Change of T for an outward motion, per metre and per metre (3D: m^2) of the
            boundary, shape (f, q).
        piece: Index into ``Device.pieces`` of each facet.
        outward: Change of T per metre by which all of a boundary moves outwards, by its name.
        pieces: The same of each of ``Device.pieces`` in 2D, if there are at most :data:`MANY`; else
            NaN.
    """

    output: str
    value: float
    nodes: np.ndarray
    places: np.ndarray
    density: np.ndarray
    piece: np.ndarray
    outward: Mapping[str, float]
    pieces: np.ndarray


def shape_gradient(result: Result, output: str) -> ShapeGradient:
    """The derivative of an output in the shape; all ranks call this.

    Raises:
        CaseError: An unknown output, or one whose adjoint does not know the shape.
    """
    (name,) = outputs.chosen(result, [output])
    found = adjoint.sensitivity(result, name)
    if found is None or found.nodes is None:
        raise CaseError(f'no adjoint knows how "{outputs.short(name)}" depends on the shape')
    return from_nodes(result, name, found.nodes)


def from_nodes(result: Result, name: str, nodes: np.ndarray) -> ShapeGradient:
    """The density on the boundary that derivatives at the nodes are."""
    device, cells = result.device, cells_of(result.device)
    facets, on = device.facets, lagrange(device, cells.degree).on_facet
    of_cell = _compat.geometry(device.mesh)[1]
    rows = of_cell[facets.cell[:, None], on[facets.local]]
    owner = device.mesh.geometry.index_map()
    known = owner.local_to_global(np.arange(len(nodes), dtype=np.int32))
    numbers = known[rows].reshape(rows.shape)
    rule = cells.facet_quadrature(2 * cells.degree + 2)
    geometry = facet_geometry(cells, facets.cell, facets.local, *rule)
    basis = _basis(cells.element, geometry, on)
    scale = device.extent ** (device.dimension - 1)
    weighted = basis * (geometry.weight * scale)[:, :, None]
    mass = weighted.swapaxes(1, 2) @ basis
    own = np.flatnonzero(np.arange(len(nodes)) < owner.size_local)
    values = _solved(
        device,
        concatenated(device.comm, numbers),
        concatenated(device.comm, mass),
        concatenated(device.comm, known[own]),
        concatenated(device.comm, nodes[own]),
    )
    at = np.linspace(0.0, 1.0, POINTS)[:, None] if device.dimension == 2 else rule[0]
    shown = facet_geometry(cells, facets.cell, facets.local, at)
    wall = np.array([values[int(n)] for n in numbers.ravel()]).reshape(*rows.shape, -1)

    def normal(place: FacetGeometry) -> np.ndarray:
        return np.asarray(((_basis(cells.element, place, on) @ wall) * place.normal).sum(axis=-1))

    pieces, by_name = _outward(device, nodes, own)
    return ShapeGradient(
        output=name,
        value=outputs.values(result, [name])[name],
        nodes=nodes,
        places=concatenated(device.comm, shown.position * device.extent),
        density=concatenated(device.comm, normal(shown)),
        piece=concatenated(device.comm, facets.piece),
        outward=by_name,
        pieces=pieces,
    )


def _outward(
    device: Device, nodes: np.ndarray, own: np.ndarray
) -> tuple[np.ndarray, dict[str, float]]:
    """Changes per metre by which pieces of the boundary, and boundaries, move outwards."""
    names = list(device.boundaries)
    named = np.array([names.index(piece.boundary) for piece in device.pieces])
    few = device.dimension == 2 and len(named) <= MANY
    parts = range(len(named)) if few else named.tolist()
    each = (outward(device, tuple(parts))[:, own] * nodes[own]).sum(axis=(1, 2))
    found = np.asarray(total(device.comm, each))
    sums = np.bincount(named, found, minlength=len(names)) if few else found
    pieces = found if few else np.full(len(named), np.nan)
    return pieces, dict(zip(names, sums.tolist(), strict=True))


def _basis(element: object, geometry: FacetGeometry, on: np.ndarray) -> np.ndarray:
    """Basis functions of the geometry at the nodes of facets, shape (f, q, m)."""
    tables = [
        element.tabulate(0, np.ascontiguousarray(points))[0, :, on[i], 0].T  # type: ignore[attr-defined]
        for i, points in enumerate(geometry.points)
    ]
    return np.stack(tables)[geometry.local]


def _solved(
    device: Device,
    numbers: np.ndarray,
    mass: np.ndarray,
    owned: np.ndarray,
    nodes: np.ndarray,
) -> dict[int, np.ndarray]:
    """Values at the boundary nodes of all ranks whose integrals are the derivatives there."""

    def work() -> dict[int, np.ndarray]:
        used, place = np.unique(numbers, return_inverse=True)
        place = place.reshape(numbers.shape)
        m = numbers.shape[1]
        pairs = np.repeat(place, m, axis=1).ravel(), np.tile(place, (1, m)).ravel()
        matrix = coo_matrix((mass.ravel(), pairs), shape=2 * (len(used),)).tocsc()
        order = np.argsort(owned)
        right = nodes[order[np.searchsorted(owned[order], used)]]
        return dict(zip(used.tolist(), splu(matrix).solve(right), strict=True))

    return on_root(device.comm, work)
