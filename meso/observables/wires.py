"""What follows from the current along a wire: vorticity in the plane, moments along walls.

The vorticity curl (J_z e_z) = (d_y J_z, -d_x J_z) is along the walls. A wall has the moment

    M = kappa int t.curl J = -kappa int n.grad J_z

over the points that are nearer to it than to other walls, with the outward normal n and the
tangent t = e_z x n of the nearest point: across a film kappa (J_centre - J_wall) for each length of
the wall. What the last harmonics leave of the current at walls (:mod:`.grazing`) is added.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from meso.boundary import Wall
from meso.device import Facets
from meso.discrete.cells import FacetGeometry, cells_of, facet_geometry, lagrange
from meso.discrete.fields import Field, cellwise, gradient, on_facets
from meso.flow.kinetic import roughness
from meso.flow.result import periodic_pairs
from meso.flow.sphere import Axial, Harmonics, Sphere, along_walls
from meso.flow.wire import WireFlow
from meso.mpi import concatenated, total
from meso.observables.accumulation import EdgeMoment, couplings
from meso.observables.curves import Curves
from meso.observables.edges import piece_centers
from meso.observables.grazing import at_rough_walls
from meso.observables.nearest import Division, division

#: Normals of a straight wall differ by less than this.
STRAIGHT = 1e-9


def wall_currents(flow: WireFlow, ratio: float, normals: np.ndarray, u: np.ndarray) -> np.ndarray:
    """What J_z over E lacks at walls with normals (k, 2), from odd moments there, (k, n)."""
    if flow.harmonics is None or flow.harmonics == 2:  # the hydrodynamic model, as it is
        return np.zeros(len(u))
    basis = Sphere(flow.harmonics)
    every = np.zeros((len(u), basis.count))
    rows, columns = _places(flow.harmonics)
    every[:, rows] = u[:, columns]
    normals = np.column_stack([normals, np.zeros(len(normals))])
    highest = flow.harmonics - 1
    return along_walls(at_rough_walls(basis, ratio), highest, normals, every)[:, 2]


@cache
def _places(harmonics: int) -> tuple[np.ndarray, np.ndarray]:
    """Which of all odd functions are those of a wire, and where these are among its own."""
    n, m, sine = Harmonics(1, harmonics - 1).labels
    pairs = Axial(harmonics).odd
    place = {key: 2 * i for i, key in enumerate(zip(pairs.degrees, pairs.orders, strict=True))}
    rows = np.flatnonzero(m % 2 == 0)
    return rows, np.array([place[n[i], m[i]] + int(sine[i]) for i in rows])


def vorticity(flow: WireFlow) -> Field:
    """Curl of the current density, (d_y J_z, -d_x J_z), A/m^3, cell by cell."""
    points = lagrange(flow.device, flow.order - 1).points
    slopes = gradient(flow.current_density, points)[..., 0]
    curl = np.stack([slopes[..., 1], -slopes[..., 0]], axis=-1)
    return cellwise("vorticity", "A/m^3", flow.device, flow.order - 1, curl)


def orbital_density(flow: WireFlow) -> Field | None:
    """Kappa times the vorticity, J s/m^3; None where kappa is not known, or a tensor."""
    kappa = couplings(flow)  # type: ignore[arg-type]
    if kappa is None or kappa.ndim > 1:
        return None
    curl = vorticity(flow).everywhere(lagrange(flow.device, flow.order - 1).points)
    values = kappa[flow.device.cell_region][:, None, None] * curl
    return cellwise("orbital_density", "J s/m^3", flow.device, flow.order - 1, values)


def along_walls_of(flow: WireFlow, points: int = 4) -> dict[str, np.ndarray]:
    """J_z along all walls, in order, the same on every rank.

    Columns "segment" (smooth piece of the boundary), "s", "x", "y" (m) and "J_z" (A/m^2), without
    what the last harmonics leave; so many points a facet.
    """
    at = (np.arange(points)[:, None] + 0.5) / points
    parts = []
    for name in flow.boundaries:
        facets, geometry, current = _at_wall(flow, name, at, np.full(points, 1 / points))
        length = geometry.weight.sum(axis=1) * flow.device.extent
        s = facets.start[:, None] + at[:, 0] * length[:, None]
        segment = np.broadcast_to(facets.piece[:, None], s.shape)
        place = geometry.position * flow.device.extent
        columns = segment, s, place[..., 0], place[..., 1], current
        parts.append(np.stack(columns, axis=-1).reshape(-1, 5))
    rows = concatenated(flow.device.comm, np.concatenate(parts))
    rows = rows[np.lexsort((rows[:, 1], rows[:, 0]))]
    return dict(zip(("segment", "s", "x", "y", "J_z"), rows.T, strict=True))


def wire_moments(flow: WireFlow) -> list[EdgeMoment]:
    """Orbital moment of each smooth piece of a wall, for each length of the wire, J s/m.

    Empty where the materials have no kappa, or a tensor.
    """
    density, device = orbital_density(flow), flow.device
    if density is None:
        return []
    kappa, count = couplings(flow), len(device.pieces)  # type: ignore[arg-type]
    assert kappa is not None
    apart = division(flow)  # type: ignore[arg-type]
    vector = np.asarray(total(device.comm, apart.moments(density)))
    lacking, turned, mean = np.zeros(count), np.zeros(count), np.zeros((count, 2))
    quadrature = cells_of(device).facet_quadrature(2 * flow.order + 2)
    for name in flow.boundaries:
        facets, geometry, current = _at_wall(flow, name, *quadrature, lacking=True)
        weight = geometry.weight * device.extent
        missing = -kappa[device.cell_region[facets.cell]] * (weight * current).sum(axis=1)
        np.add.at(lacking, facets.piece, missing)
        n = (weight[..., None] * geometry.normal).sum(axis=1)
        np.add.at(mean, facets.piece, n)
    lacking, mean = (np.asarray(total(device.comm, each)) for each in (lacking, mean))
    measures, centers = np.array([p.measure for p in device.pieces]), piece_centers(device)
    mean /= measures[:, None]
    straight = np.abs(np.linalg.norm(mean, axis=1) - 1) < STRAIGHT
    # t = e_z x n; where it turns along a wall, that of the nearest point counts.
    along = mean[:, 0] * vector[:, 1] - mean[:, 1] * vector[:, 0]
    if not straight.all():
        turned = _turning(flow, density, apart)
    moments = np.where(straight, along, turned) + lacking
    return [
        EdgeMoment(
            wall=piece.boundary,
            measure=piece.measure,
            center=tuple(map(float, centers[i])),
            moment=float(moments[i]),
        )
        for i, piece in enumerate(device.pieces)
    ]


def _turning(flow: WireFlow, density: Field, apart: Division) -> np.ndarray:
    """Moments of all pieces along the tangent at the nearest point of a wall."""
    device = flow.device
    curves = Curves(device, range(len(device.pieces)), periodic_pairs(flow.boundaries))
    points = lagrange(device, flow.order).points
    every = np.arange(cells_of(device).count)
    places = cells_of(device).positions(every, points)
    n = curves.normals(places.reshape(-1, 2)).reshape(places.shape)
    value = density.everywhere(points)
    along = n[..., 0] * value[..., 1] - n[..., 1] * value[..., 0]
    field = cellwise(density.name, density.unit, device, flow.order, along)
    return np.asarray(total(device.comm, apart.moments(field)))[:, 0]


def _at_wall(
    flow: WireFlow, name: str, at: np.ndarray, weights: np.ndarray, *, lacking: bool = False
) -> tuple[Facets, FacetGeometry, np.ndarray]:
    """J_z at points of the facets of a wall, (f, q), or only what the harmonics lack there."""
    law, cells = flow.boundaries[name], cells_of(flow.device)
    assert isinstance(law, Wall)
    facets = flow.device.facets_on(name)
    geometry = facet_geometry(cells, facets.cell, facets.local, at, weights)
    if flow.free:
        current = on_facets(flow.current_density, geometry)[..., 0]
        return facets, geometry, np.zeros_like(current) if lacking else current
    u, n = on_facets(flow.moments, geometry), geometry.normal
    flat = u.reshape(-1, u.shape[-1])
    added = wall_currents(flow, roughness(law), n.reshape(-1, 2), flat).reshape(u.shape[:2])
    return facets, geometry, (added if lacking else u[..., 0] + added) * flow.field
