"""What happens along the walls: tangential current and vorticity, in order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from meso.boundary import Wall
from meso.constants import ELECTRON_CHARGE
from meso.device import Device
from meso.discrete.cells import Cells, FacetGeometry, cells_of, facet_geometry, facet_points
from meso.discrete.coefficients import material_values
from meso.discrete.fields import Field, gradient
from meso.flow.result import Flow
from meso.mpi import concatenated, total


@dataclass(frozen=True, slots=True, kw_only=True)
class WallValues:
    """Values at points of this rank's facets of one wall.

    Attributes:
        cell: Cell of each facet, shape (f,).
        local: Number of the facet in its cell, shape (f,).
        piece: Smooth piece of each facet, shape (f,).
        order: Position of each facet in its piece, shape (f,).
        region: Region of each facet's cell, shape (f,).
        position: m, shape (f, q, d).
        normal: Outward unit normals, shape (f, q, d).
        weight: Quadrature weight times line or surface element, m or m^2, shape (f, q).
        current: J, shape (f, q, d).
        vorticity: Omega = (curl J)/e, shape (f, q), in 3D (f, q, 3).
    """

    cell: np.ndarray
    local: np.ndarray
    piece: np.ndarray
    order: np.ndarray
    region: np.ndarray
    position: np.ndarray
    normal: np.ndarray
    weight: np.ndarray
    current: np.ndarray
    vorticity: np.ndarray

    @property
    def tangential_current(self) -> np.ndarray:
        """In 2D: J_t along t = z x n, conductor on the left, shape (f, q)."""
        n = self.normal
        return n[..., 0] * self.current[..., 1] - n[..., 1] * self.current[..., 0]


def wall_values(
    flow: Flow, wall: str, points: np.ndarray, weights: np.ndarray | None = None
) -> WallValues:
    """Current and vorticity at points of every facet of a wall.

    The vorticity is recovered from the slip law. With S the derivative of the outward normal n
    along the wall, J.n = 0 turns the law n.(grad J + grad J^T).P = -s J_t into

        n x curl J = s J_t - 2 S J,

    or s J_t - S J for the literal law d_n J_t = -s J_t. In 2D that is the whole of it,
    e Omega = (2 kappa_w - s) J_t; in 3D the component n.curl J comes from the derivatives of the
    solution along the wall. This is more accurate than the derivative across it by orders of
    magnitude. Walls without slip, and ohmic flow, take the derivative.

    Args:
        flow: A solved flow.
        wall: Name of the wall.
        points: On the reference facet, shape (q,) in 2D (from 0 to 1, along t) or (q, d - 1).
        weights: Weights of a quadrature at these points, shape (q,).

    Returns:
        The values of this rank.
    """
    device = flow.device
    facets = device.facets.of(device.facets.boundary == device.boundaries.index(wall))
    cells = cells_of(device)
    points = points.reshape(len(points), -1)
    weights = np.ones(len(points)) if weights is None else weights
    geometry = facet_geometry(cells, facets.cell, facets.local, points, weights)
    density = flow.fields["current_density"]
    table = geometry.table(lambda at, _: density.table(at))
    current = np.einsum("fqn,fnk->fqk", table, density.values[facets.cell])
    law = flow.boundaries[wall]
    rates: np.ndarray = np.full(1, np.inf)
    if flow.model == "hydrodynamic" and flow.slips and isinstance(law, Wall):
        at = geometry.position
        rates = material_values(device, flow.materials, law.slip_rate, facets.cell, at)
    slips = bool(np.isfinite(rates).all())
    if slips and device.dimension == 2:
        curl = np.zeros((*current.shape[:2], 1))
    else:
        curl = facet_curl(density, geometry)
    if slips:
        bend = 1.0 if isinstance(law, Wall) and law.law == "literal" else 2.0
        rates = rates[..., None] if rates.ndim == 2 else rates[:, None, None]
        tangential = np.einsum("fqij,fqj->fqi", geometry.tangential, current)
        turned = np.einsum("fqij,fqj->fqi", geometry.curvature / device.extent, tangential)
        curl = _with_shear(curl, geometry.normal, rates * tangential - bend * turned)
    scale = device.extent ** (device.dimension - 1)
    return WallValues(
        cell=facets.cell,
        local=facets.local,
        piece=facets.piece,
        order=facets.order,
        region=device.cell_region[facets.cell],
        position=geometry.position * device.extent,
        normal=geometry.normal,
        weight=geometry.weight * scale,
        current=current,
        vorticity=(curl[..., 0] if device.dimension == 2 else curl) / ELECTRON_CHARGE,
    )


def curl_of(slope: np.ndarray) -> np.ndarray:
    """Curl from the derivatives d_i J_k, (..., d, d): its component along z, or all three."""
    pairs = ((0, 1),) if slope.shape[-1] == 2 else ((1, 2), (2, 0), (0, 1))
    return np.stack([slope[..., i, k] - slope[..., k, i] for i, k in pairs], axis=-1)


def facet_curl(density: Field, geometry: FacetGeometry) -> np.ndarray:
    """Curl of the solution at points of facets, shape (f, q, 1) or (f, q, 3)."""
    d = geometry.normal.shape[-1]
    curl = np.empty((*geometry.weight.shape, 1 if d == 2 else 3))
    for i in range(d + 1):
        here = geometry.local == i
        curl[here] = curl_of(gradient(density, geometry.points[i], geometry.cell[here]))
    return curl


def _with_shear(curl: np.ndarray, normal: np.ndarray, turned: np.ndarray) -> np.ndarray:
    """The curl whose n x curl is given, and whose normal component is that of ``curl``."""
    if normal.shape[-1] == 2:
        # n x (c z) = -c t with t = z x n
        n = normal
        return -(n[..., 0] * turned[..., 1] - n[..., 1] * turned[..., 0])[..., None]
    along = (curl * normal).sum(axis=-1, keepdims=True) * normal
    return along - np.cross(normal, turned)


def _arc(cells: Cells, cell: np.ndarray, local: np.ndarray, s: np.ndarray) -> np.ndarray:
    """Arc length from the beginning of each facet to the points s, shape (f, q)."""
    at, weight = cells.facet_quadrature(2 * cells.degree + 6)
    columns = [
        facet_geometry(cells, cell, local, end * at, end * weight).weight.sum(axis=1) for end in s
    ]
    return np.column_stack(columns) if columns else np.empty((len(cell), 0))


def piece_centers(device: Device) -> np.ndarray:
    """Centroid of each smooth piece of the boundary, m, shape (pieces, d)."""
    cells, facets = cells_of(device), device.facets
    points, weight = cells.facet_quadrature(2 * cells.degree + 4)
    geometry = facet_geometry(cells, facets.cell, facets.local, points, weight)
    sums = np.zeros((len(device.pieces), device.dimension))
    moment = np.einsum("fq,fqk->fk", geometry.weight, geometry.position)
    np.add.at(sums, facets.piece, moment * device.extent**device.dimension)
    measures = np.array([piece.measure for piece in device.pieces])
    return np.asarray(total(device.comm, sums)) / measures[:, None]


def _on_facets(
    fields: Sequence[Field], values: WallValues, points: np.ndarray
) -> dict[str, np.ndarray]:
    """Scalar fields at points of the facets of a wall, shape (f, q)."""
    inside = facet_points(points.reshape(len(points), -1))
    out = {}
    for field in fields:
        table = np.stack([field.table(at) for at in inside])[values.local]
        out[field.name] = np.einsum("fqn,fn->fq", table, field.values[values.cell, :, 0])
    return out


def profile(
    flow: Flow, wall: str, points: int, fields: Sequence[Field] = ()
) -> dict[str, np.ndarray]:
    """In 2D: values along a wall in order, the same on every rank.

    Args:
        flow: A solved flow.
        wall: Name of the wall.
        points: Points per facet, its end not counted.
        fields: Scalar fields to be added, by their names.

    Returns:
        Columns "segment", "s", "x", "y", "J_t", "vorticity", "region": one row a point, piece by
        piece; s starts from zero in each.
    """
    device = flow.device
    s = np.arange(points + 1) / points
    values = wall_values(flow, wall, s)
    facets = device.facets.of(device.facets.boundary == device.boundaries.index(wall))
    arc = _arc(cells_of(device), values.cell, values.local, s) * device.extent
    columns = {
        "s": facets.start[:, None] + arc,
        "x": values.position[..., 0],
        "y": values.position[..., 1],
        "J_t": values.tangential_current,
        "vorticity": values.vorticity,
        **_on_facets(fields, values, s),
    }
    rows = _facet_rows(flow, values, columns)
    # The end of a facet is the beginning of the next; that of the last one ends the piece.
    last = np.diff(rows["segment"][:, 0], append=-1.0) != 0
    keep = np.ones((len(last), points + 1), dtype=bool)
    keep[:, -1] = last
    return {name: column[keep] for name, column in rows.items()}


def surface(
    flow: Flow, wall: str, degree: int, fields: Sequence[Field] = ()
) -> dict[str, np.ndarray]:
    """In 3D: values at quadrature points of a wall, the same on every rank.

    Args:
        flow: A solved flow.
        wall: Name of the wall.
        degree: Degree of the quadrature; the areas are its weights.
        fields: Scalar fields to be added, by their names.

    Returns:
        Columns "segment", "x", "y", "z", "normal_x", ..., "area", "J_x", ..., "vorticity_x",
        ..., "region": one row a point, piece by piece.
    """
    points, weights = cells_of(flow.device).facet_quadrature(degree)
    values = wall_values(flow, wall, points, weights)
    columns = dict(zip("xyz", np.moveaxis(values.position, 2, 0), strict=True))
    columns |= _components("normal", values.normal)
    columns["area"] = values.weight
    columns |= _components("J", values.current)
    columns |= _components("vorticity", values.vorticity)
    columns |= _on_facets(fields, values, points)
    rows = _facet_rows(flow, values, columns)
    return {name: column.ravel() for name, column in rows.items()}


def _components(name: str, values: np.ndarray) -> dict[str, np.ndarray]:
    return {f"{name}_{axis}": values[..., i] for i, axis in enumerate("xyz")}


def _facet_rows(
    flow: Flow, values: WallValues, columns: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Columns of all ranks, shape (f, q) each, facet by facet in the order of the pieces."""
    comm, shape = flow.device.comm, values.weight.shape
    columns = {**columns, "piece": values.piece, "order": values.order, "region": values.region}
    table = {}
    for name, column in columns.items():
        flat = column if column.ndim == 2 else np.broadcast_to(column[:, None], shape)
        table[name] = concatenated(comm, np.ascontiguousarray(flat))
    piece, order = table.pop("piece"), table.pop("order")
    sequence = np.lexsort((order[:, 0], piece[:, 0]))
    segment = np.unique(piece[sequence], return_inverse=True)[1].reshape(piece.shape)
    rows = {name: column[sequence] for name, column in table.items()}
    return {"segment": segment.astype(float), **rows}
