"""What happens along the walls: tangential current and vorticity, in order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from meso.boundary import Wall
from meso.constants import ELECTRON_CHARGE
from meso.device import Device, Facets
from meso.discrete.cells import FacetGeometry, cells_of, facet_geometry
from meso.discrete.coefficients import material_values
from meso.discrete.fields import Field, gradient, on_facets
from meso.equations.walls import BEND
from meso.flow.result import Flow
from meso.mpi import concatenated, total


@dataclass(frozen=True, slots=True, kw_only=True)
class WallValues:
    """Values at points of this rank's facets of one wall.

    Attributes:
        facets: The facets.
        geometry: Their geometry at the points, lengths over ``Device.extent``.
        region: Region of each facet's cell, shape (f,).
        position: m, shape (f, q, d).
        current: J, shape (f, q, d).
        vorticity: Omega = (curl J)/e, shape (f, q), in 3D (f, q, 3).
        density: J as a field.
    """

    facets: Facets
    geometry: FacetGeometry
    region: np.ndarray
    position: np.ndarray
    current: np.ndarray
    vorticity: np.ndarray
    density: Field

    def contracted(self, tensors: np.ndarray) -> np.ndarray:
        """T^a_ik d_i J_k, T of each region, shape (regions, m, 3, 3): shape (f, q, m).

        Derivatives along the wall are those of the solution; those across it make the curl that
        the slip law gives: what the curl of the solution misses, c, is n_i (c x n)_k.
        """
        normal, slope = self.geometry.normal, _slopes(self.density, self.geometry)
        d = normal.shape[-1]
        shape = (*slope.shape[:2], 1 if d == 2 else 3)  # a rank may have no facets
        missing = self.vorticity.reshape(shape) * ELECTRON_CHARGE - _curl(slope)
        if d == 2:
            across = np.stack([-normal[..., 1], normal[..., 0]], axis=-1) * missing
        else:
            across = np.cross(missing, normal)
        slope = slope + normal[..., :, None] * across[..., None, :]
        tensor = tensors[self.region][..., :d, :d].reshape(len(slope), tensors.shape[1], d * d)
        return np.asarray(slope.reshape(*slope.shape[:2], d * d) @ tensor.swapaxes(1, 2))

    @property
    def tangential_current(self) -> np.ndarray:
        """In 2D: J_t along t = z x n, conductor on the left, shape (f, q)."""
        return _along(self.geometry.normal, self.current)


def wall_values(
    flow: Flow, wall: str, points: np.ndarray, weights: np.ndarray | None = None
) -> WallValues:
    """Current and vorticity at points of every facet of a wall, of this rank.

    The vorticity is recovered from the slip law. With S the derivative of the outward normal n
    along the wall, J.n = 0 turns the law n.(grad J + grad J^T).P = -s J_t into

        n x curl J = s J_t - 2 S J,

    or s J_t - S J for the literal law d_n J_t = -s J_t. In 2D that is the whole of it,
    e Omega = (2 kappa_w - s) J_t; in 3D the component n.curl J comes from the derivatives of the
    solution along the wall. This is more accurate than the derivative across it by orders of
    magnitude. Walls without slip, and ohmic flow, take the derivative.

    The points are on the reference facet, (q,) in 2D (from 0 to 1, along t) or (q, d - 1).
    """
    device, law = flow.device, flow.boundaries[wall]
    facets = device.facets_on(wall)
    points = points.reshape(len(points), -1)
    geometry = facet_geometry(cells_of(device), facets.cell, facets.local, points, weights)
    density = flow.fields["current_density"]
    current = on_facets(density, geometry)
    rates: np.ndarray = np.full(1, np.inf)
    if flow.slips and isinstance(law, Wall):
        at = geometry.position
        rates = material_values(device, flow.materials, law.slip_rate, facets.cell, at)
    slips = bool(np.isfinite(rates).all())
    plane = device.dimension == 2
    curl = (
        np.zeros((*current.shape[:2], 1)) if slips and plane else _curl(_slopes(density, geometry))
    )
    if slips:
        bend = BEND[law.law] if isinstance(law, Wall) else 2.0
        rates = rates[..., None] if rates.ndim == 2 else rates[:, None, None]
        tangential = (geometry.tangential @ current[..., None])[..., 0]
        turned = (geometry.curvature @ tangential[..., None])[..., 0] / device.extent
        curl = _with_shear(curl, geometry.normal, rates * tangential - bend * turned)
    return WallValues(
        facets=facets,
        geometry=geometry,
        region=device.cell_region[facets.cell],
        position=geometry.position * device.extent,
        current=current,
        vorticity=(curl[..., 0] if plane else curl) / ELECTRON_CHARGE,
        density=density,
    )


def _slopes(density: Field, geometry: FacetGeometry) -> np.ndarray:
    """d_i J_k of the solution at points of facets, shape (f, q, d, d)."""
    d = geometry.normal.shape[-1]
    out = np.empty((*geometry.weight.shape, d, d))
    for i, points in enumerate(geometry.points):
        here = geometry.local == i
        out[here] = gradient(density, points, geometry.cell[here])
    return out


def _curl(slope: np.ndarray) -> np.ndarray:
    """Curl from derivatives d_i J_k, shape (..., 1) or (..., 3)."""
    pairs = ((0, 1),) if slope.shape[-1] == 2 else ((1, 2), (2, 0), (0, 1))
    return np.stack([slope[..., i, k] - slope[..., k, i] for i, k in pairs], axis=-1)


def _with_shear(curl: np.ndarray, normal: np.ndarray, turned: np.ndarray) -> np.ndarray:
    """The curl whose n x curl is given, and whose normal component is that of ``curl``."""
    if normal.shape[-1] == 2:
        # n x (c z) = -c t with t = z x n
        return -_along(normal, turned)[..., None]
    along = (curl * normal).sum(axis=-1, keepdims=True) * normal
    return along - np.cross(normal, turned)


def _along(normal: np.ndarray, vector: np.ndarray) -> np.ndarray:
    return np.asarray(normal[..., 0] * vector[..., 1] - normal[..., 1] * vector[..., 0])


def piece_centers(device: Device) -> np.ndarray:
    """Centroid of each smooth piece of the boundary, m, shape (pieces, d)."""
    cells, facets = cells_of(device), device.facets
    quadrature = cells.facet_quadrature(2 * cells.degree + 4)
    geometry = facet_geometry(cells, facets.cell, facets.local, *quadrature)
    sums = np.zeros((len(device.pieces), device.dimension))
    np.add.at(sums, facets.piece, (geometry.weight[..., None] * geometry.position).sum(axis=1))
    measures = np.array([piece.measure for piece in device.pieces])
    scale = device.extent**device.dimension
    return np.asarray(total(device.comm, sums)) * scale / measures[:, None]


def profile(
    flow: Flow,
    wall: str,
    points: int,
    fields: Sequence[Field] = (),
    made: Mapping[str, np.ndarray] = MappingProxyType({}),
) -> dict[str, np.ndarray]:
    """In 2D: values along a wall in order, the same on every rank.

    Columns "segment", "s", "x", "y", "J_t", "vorticity", "region", scalar ``fields``, and what
    tensors contract with the gradient of J (``made``, :meth:`WallValues.contracted`), "NAME_x", …:
    one row for each of ``points`` per facet, piece by piece; s starts from zero in each.
    """
    device, cells = flow.device, cells_of(flow.device)
    s = np.arange(points + 1) / points
    values = wall_values(flow, wall, s)
    facets = values.facets
    # Arc length from the beginning of each facet to the points.
    at, weight = cells.facet_quadrature(2 * cells.degree + 6)
    parts = facet_geometry(
        cells,
        facets.cell,
        facets.local,
        np.outer(s, at).reshape(-1, 1),
        np.outer(s, weight).ravel(),
    )
    arc = parts.weight.reshape(len(facets.cell), len(s), len(weight)).sum(axis=2) * device.extent
    columns = {
        "s": facets.start[:, None] + arc,
        "x": values.position[..., 0],
        "y": values.position[..., 1],
        "J_t": values.tangential_current,
        "vorticity": values.vorticity,
        **_others(values, fields, made),
    }
    rows = _facet_rows(flow, values, columns)
    # The end of a facet is the beginning of the next; that of the last one ends the piece.
    last = np.diff(rows["segment"][:, 0], append=-1.0) != 0
    keep = np.ones((len(last), points + 1), dtype=bool)
    keep[:, -1] = last
    return {name: column[keep] for name, column in rows.items()}


def surface(
    flow: Flow,
    wall: str,
    degree: int,
    fields: Sequence[Field] = (),
    made: Mapping[str, np.ndarray] = MappingProxyType({}),
) -> dict[str, np.ndarray]:
    """In 3D: values at points of a quadrature of a wall, the same on every rank.

    Columns "segment", "x", "y", "z", "normal_x", ..., "area" (the weight), "J_x", ...,
    "vorticity_x", ..., "region", and ``fields`` and ``made`` as in :func:`profile`: one row a
    point, piece by piece.
    """
    values = wall_values(flow, wall, *cells_of(flow.device).facet_quadrature(degree))
    columns = dict(zip("xyz", np.moveaxis(values.position, 2, 0), strict=True))
    columns |= _components("normal", values.geometry.normal)
    columns["area"] = values.geometry.weight * flow.device.extent**2
    columns |= _components("J", values.current)
    columns |= _components("vorticity", values.vorticity)
    columns |= _others(values, fields, made)
    rows = _facet_rows(flow, values, columns)
    return {name: column.ravel() for name, column in rows.items()}


def _others(
    values: WallValues, fields: Sequence[Field], made: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    columns = {field.name: on_facets(field, values.geometry)[..., 0] for field in fields}
    for name, tensors in made.items():
        columns |= _components(name, values.contracted(tensors))
    return columns


def _components(name: str, values: np.ndarray) -> dict[str, np.ndarray]:
    return {f"{name}_{axis}": values[..., i] for i, axis in enumerate("xyz")}


def _facet_rows(
    flow: Flow, values: WallValues, columns: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Columns of all ranks, shape (f, q) each, facet by facet in the order of the pieces."""
    comm, shape = flow.device.comm, values.position.shape[:2]
    own = {"piece": values.facets.piece, "order": values.facets.order, "region": values.region}
    columns |= {name: np.broadcast_to(of[:, None], shape) for name, of in own.items()}
    table = {n: concatenated(comm, np.ascontiguousarray(column)) for n, column in columns.items()}
    piece, order = table.pop("piece"), table.pop("order")
    sequence = np.lexsort((order[:, 0], piece[:, 0]))
    segment = np.unique(piece[sequence], return_inverse=True)[1].reshape(piece.shape)
    rows = {name: column[sequence] for name, column in table.items()}
    return {"segment": segment.astype(float), **rows}
