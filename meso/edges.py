"""What happens along the walls: tangential current and vorticity, in order of arc length."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from meso.boundary import Wall
from meso.cells import cells_of, facet_geometry, lagrange
from meso.coefficients import material_values
from meso.constants import ELECTRON_CHARGE
from meso.device import Device
from meso.fields import gradient
from meso.flow.result import Flow
from meso.mpi import concatenated, total


@dataclass(frozen=True, slots=True, kw_only=True)
class WallValues:
    """Values at points of this rank's facets of one wall.

    Attributes:
        piece: Smooth piece of each facet, shape (f,).
        order: Position of each facet in its piece, shape (f,).
        region: Region of each facet's cell, shape (f,).
        arc: Arc length along the piece, m, shape (f, q).
        position: m, shape (f, q, 2).
        tangential_current: J_t along t = z x n, conductor on the left, shape (f, q).
        vorticity: Omega = (curl J)/e, shape (f, q).
    """

    piece: np.ndarray
    order: np.ndarray
    region: np.ndarray
    arc: np.ndarray
    position: np.ndarray
    tangential_current: np.ndarray
    vorticity: np.ndarray


def wall_values(flow: Flow, wall: str, s: np.ndarray) -> WallValues:
    """Current and vorticity at the points s in [0, 1] of every facet of a wall.

    The vorticity is recovered from the slip law. Where n.(grad J + grad J^T).t = -r J_t and
    J.n = 0, the identity curl J = n.(grad J + grad J^T).t + 2 kappa_w J_t gives

        e Omega = (2 kappa_w - s) J_t,

    or (kappa_w - s) J_t for the literal law d_n J_t = -s J_t. It is more accurate than the
    derivative of the solution by orders of magnitude. Walls without slip, and ohmic flow, take
    the derivative.

    Args:
        flow: A solved flow.
        wall: Name of the wall.
        s: Points, increasing, shape (q,).

    Returns:
        The values of this rank.
    """
    device = flow.device
    facets = device.facets.of(device.facets.boundary == device.boundaries.index(wall))
    cells = cells_of(device)
    geometry = facet_geometry(cells, facets.cell, facets.local, s[:, None], np.ones_like(s))
    density = flow.fields["current_density"]
    space = lagrange(device, max(1, density.degree))
    table = geometry.table(lambda points, _: _table(density.degree, space, points))
    current = np.einsum("fqn,fnk->fqk", table, density.values[facets.cell])
    tangential = np.einsum("fqk,fqk->fq", current, geometry.tangent)
    region = device.cell_region[facets.cell]

    law = flow.boundaries[wall]
    rates: np.ndarray = np.full(1, np.inf)
    if flow.model != "ohmic" and isinstance(law, Wall):
        at = geometry.position
        rates = material_values(device, flow.materials, law.slip_rate, facets.cell, at)
    if np.isfinite(rates).all():
        curvature = np.trace(geometry.curvature, axis1=2, axis2=3) / device.extent
        factor = 1.0 if isinstance(law, Wall) and law.law == "literal" else 2.0
        curl = (factor * curvature - (rates if rates.ndim == 2 else rates[:, None])) * tangential
    else:
        curl = np.empty_like(tangential)
        for i in range(3):
            here = facets.local == i
            slope = gradient(density, geometry.points[i], facets.cell[here])
            curl[here] = slope[:, :, 0, 1] - slope[:, :, 1, 0]
    return WallValues(
        piece=facets.piece,
        order=facets.order,
        region=region,
        arc=facets.start[:, None] + _arc(cells, facets.cell, facets.local, s) * device.extent,
        position=geometry.position * device.extent,
        tangential_current=tangential,
        vorticity=curl / ELECTRON_CHARGE,
    )


def _table(degree: int, space: object, points: np.ndarray) -> np.ndarray:
    return np.ones((len(points), 1)) if degree == 0 else space.values(points)  # type: ignore


def _arc(cells: object, cell: np.ndarray, local: np.ndarray, s: np.ndarray) -> np.ndarray:
    """Arc length from the beginning of each facet to the points s, shape (f, q)."""
    at, weight = cells.facet_quadrature(2 * cells.degree + 6)  # type: ignore[attr-defined]
    columns = []
    for end in s:
        part = facet_geometry(cells, cell, local, end * at, end * weight)  # type: ignore
        columns.append(part.weight.sum(axis=1))
    return np.column_stack(columns) if columns else np.empty((len(cell), 0))


def piece_centers(device: Device) -> np.ndarray:
    """Centroid of each smooth piece of the boundary, m, shape (pieces, 2)."""
    cells, facets = cells_of(device), device.facets
    s, weight = cells.facet_quadrature(2 * cells.degree + 4)
    geometry = facet_geometry(cells, facets.cell, facets.local, s, weight)
    sums = np.zeros((len(device.pieces), 2))
    moment = np.einsum("fq,fqk->fk", geometry.weight, geometry.position) * device.extent**2
    np.add.at(sums, facets.piece, moment)
    lengths = np.array([piece.measure for piece in device.pieces])
    return np.asarray(total(device.comm, sums)) / lengths[:, None]


def profile(flow: Flow, wall: str, points: int) -> dict[str, np.ndarray]:
    """Values along a wall in order, the same on every rank.

    Args:
        flow: A solved flow.
        wall: Name of the wall.
        points: Points per facet, its end not counted.

    Returns:
        Columns "segment", "s", "x", "y", "J_t", "vorticity", "region": one row a point, piece by
        piece; s starts from zero in each.
    """
    s = np.arange(points + 1) / points
    values = wall_values(flow, wall, s)
    pieces = flow.device.pieces
    own = [i for i, piece in enumerate(pieces) if piece.boundary == wall]
    rows = np.stack(
        [
            np.broadcast_to(values.piece[:, None], values.arc.shape),
            np.broadcast_to(values.order[:, None], values.arc.shape),
            values.arc,
            values.position[..., 0],
            values.position[..., 1],
            values.tangential_current,
            values.vorticity,
            np.broadcast_to(values.region[:, None], values.arc.shape),
        ],
        axis=2,
    )
    rows = concatenated(flow.device.comm, rows)
    out = []
    for segment, piece in enumerate(own):
        mine = rows[rows[:, 0, 0] == piece]
        mine = mine[np.argsort(mine[:, 0, 1])]
        line = mine[:, :-1].reshape(-1, rows.shape[2])
        line = np.concatenate([line, mine[-1:, -1]])
        line[:, 0] = segment
        out.append(line)
    table = np.concatenate(out)
    names = ("segment", "order", "s", "x", "y", "J_t", "vorticity", "region")
    return {name: table[:, i] for i, name in enumerate(names) if name != "order"}
