"""The current along a rough wall, without the error of the last harmonics.

At a rough wall the distribution jumps at grazing directions, from what comes in to what the wall
emits. N harmonics spread the jump over an angle 1/N, and the tangential current at the wall, hence
the edge moment, converges as 1/N only. The wall law gives that current twice: as the first odd
moment u_1, and from the even part of the distribution on half of all directions,

    A = u_1,     B = 2 <v_t e>_half,     <odd cos phi even> e = <|cos phi| odd odd> u,

phi from the normal, u and e the sines of odd and even order. Both err by the same jump: what
separates them is proportional to what they miss, with a factor that depends on N and on the
specularity alone. It is taken from the half space with isotropic scattering in a uniform field,
whose current at the wall is (1 + p)/2 exactly, so that

    J_t = A + alpha (B - A)

is right there for every N. On flat walls it converges as N^-2 or faster for all mean free paths and
kernels (docs/verification.md). Other Fermi lines have the same correction where a wall is a mirror
plane of them, ellipses everywhere. Where the wall or the trajectories bend by 1/N within a mean
free path the jump is of another kind: what is added is still an improvement, but not a reliable
one.

Moments are linear in the solution, so that an iteration that stops early shows in them, most at
smooth walls, where they are small differences of large currents.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import numpy as np

from meso.boundary import Boundary, Wall
from meso.discrete.cells import (
    at_geometry_nodes,
    cells_of,
    facet_geometry,
    lagrange,
    moved_facets,
)
from meso.discrete.fields import on_facets
from meso.flow.angular import about_normal
from meso.flow.basis import Basis, Circle
from meso.flow.contour import ContourBasis
from meso.flow.discretisation import trace
from meso.flow.kinetic import rate_of, roughness
from meso.flow.result import Flow
from meso.flow.sphere import Sphere, along_walls, along_walls_transposed, tangential
from meso.flow.variation import across
from meso.materials.material import Material
from meso.mpi import total
from meso.sensitivities import Sensitivity

#: (curl J)_j = CURL[d]_jik d_i J_k.
CURL = {
    2: np.array([[[0.0, 1.0], [-1.0, 0.0]]]),
    3: np.array(
        [
            [[0.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]],
            [[0.0, 0.0, -1.0], [0.0, 0.0, 0.0], [1.0, 0.0, 0.0]],
            [[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 0.0]],
        ]
    ),
}
#: Relative error of J_t at a diffuse wall over the residual of the iteration. Measured on ribbons:
#: 0.8 to 2 at p = 0, 7 at p = 0.5, 11 at p = 0.9; the energy of the wall, (1 - p)/(1 + p) J_t^2,
#: explains what it depends on.
_STOPPED = 4.5
#: Smallest (1 - p)/(1 + p) in this.
_SMOOTH = 1e-2
#: N times the relative error of J_t at a diffuse wall without correction, where it is no mirror
#: plane of the Fermi line: 0.1 to 0.6 on ribbons with hexagons and ellipses, and 1 where they are a
#: fifth of the mean free path wide, which the last step in N shows as well.
_UNKNOWN = 0.6
#: What an iteration may leave of moments where nobody says more, relative.
_ENOUGH = 1e-3
#: Tolerances of iterations that moments ask for: largest, and smallest.
_RANGE = (1e-4, 4e-6)


def iteration_tolerance(boundaries: Mapping[str, Boundary], wanted: float | None = None) -> float:
    """Tolerance of an iteration that gives edge moments.

    Their relative error over the residual was up to 4 at p = 0, 21 at p = 0.5 and 200 at p = 0.9:
    below 4/r^1.6 with r = (1 - p)/(1 + p). ``wanted`` is that of moments; None for about 1e-3,
    unless walls are very smooth.
    """
    ratios = [roughness(law) for law in boundaries.values() if isinstance(law, Wall)]
    ratio = max(_SMOOTH, min([r for r in ratios if r > 0], default=1.0))
    largest, smallest = _RANGE
    if wanted is None:
        return max(smallest, min(largest, _ENOUGH / 4 * ratio**1.6))
    return min(largest, wanted / 40 * ratio**1.6)


def wall_moments(flow: Flow, kappa: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What the last harmonics leave of the moment at each piece of a wall.

    The moment is kappa times the circulation around the part of the device that belongs to a wall,
    or, of a tensor, the integral of kappa^j_ik n_i J_k around it; as J.n = 0 the wall's share is
    that of J_t times kappa, or times kappa^j_ik n_i t_k. In 3D it is kappa n x J, or kappa^j_ik n_i
    J_k.

    Args:
        flow: A kinetic flow.
        kappa: Of each region, shape (regions,) or (regions, 3, 3, 3).

    Returns:
        To be added to the moment of each piece of the boundary, how much of the sum is in doubt,
        and |kappa| times the integral of |J_t|; J s (J s/m for a 3D metal of unknown thickness),
        shape (pieces, 1), or (pieces, 3) in 3D and for tensors.
    """
    device = flow.device
    scalar = kappa.ndim == 1 and device.dimension == 2
    out = np.zeros((4, len(device.pieces), 1 if scalar else 3))
    assert flow.distribution is not None
    basis = flow.distribution.basis
    walls = {n: law for n, law in flow.boundaries.items() if isinstance(law, Wall)}
    stopped = _STOPPED * float(flow.evidence.get("residual", 0.0))
    odd = flow.distribution.odd
    quadrature = cells_of(device).facet_quadrature(2 * odd.degree + 2)
    regions = [flow.materials[region] for region in device.regions]
    paths = np.array([_path(m, basis.harmonics) for m in regions])
    turns = np.array([_turning(flow, i) for i in range(len(regions))])
    for name, law in walls.items():
        ratio = roughness(law)
        facets = device.facets_on(name)
        region = device.cell_region[facets.cell]
        geometry = facet_geometry(cells_of(device), facets.cell, facets.local, *quadrature)
        moments, n = on_facets(odd, geometry), geometry.normal
        weight = (geometry.weight * device.extent ** (device.dimension - 1))[..., None]
        size = weight * np.abs(_share(kappa[region], n, moments[..., : device.dimension]))
        missing = weight * _share(kappa[region], n, _missing(basis, ratio, n, moments))
        # The trace is the curvature: the derivative of the normal has no other component.
        bend = geometry.curvature.trace(axis1=-2, axis2=-1) / device.extent
        bend = basis.harmonics * paths[region, None] * (abs(bend) + turns[region, None])
        bend = np.minimum(1.0, bend)
        early = stopped / np.sqrt(max(ratio, _SMOOTH))
        # Around a wire what is missing cancels, and with it what is in doubt.
        bent = (missing if device.dimension == 3 else np.abs(missing)) * bend[..., None]
        doubt, unknown = early * size, np.isnan(missing)
        doubt[unknown] += _UNKNOWN * min(1.0, ratio) / basis.harmonics * size[unknown]
        missing[unknown] = bent[unknown] = 0.0
        for row, values in zip(out, (missing, doubt, size, bent), strict=True):
            np.add.at(row, facets.piece, values.sum(axis=1))
    added, doubt, size, bent = np.asarray(total(device.comm, out)) * (flow.thickness or 1.0)
    return added, doubt + np.abs(bent), size


def wall_sensitivity(
    flow: Flow, kappa: np.ndarray, pieces: np.ndarray, coupling: str = "orbital_coupling"
) -> tuple[np.ndarray, Sensitivity]:
    """Derivatives of what :func:`wall_moments` adds, the flow held.

    Args:
        flow: A kinetic flow.
        kappa: Of each region, shape (regions,) or (regions, 3, 3, 3).
        pieces: How much the moment of each piece counts, shape (pieces, 1), or (pieces, 3) for
            tensors.
        coupling: What kappa is called.

    Returns:
        In the odd moments at their nodes, SI, shape (nodes, N), what ranks share adds up, for
        :meth:`meso.flow.kinetic_adjoint.KineticAdjoint.functional`; and in all else: the ratios
        (1 - p)/(1 + p) of walls, the shape, and kappa of each cell if it is a number.
    """
    assert flow.distribution is not None
    device, odd, basis = flow.device, flow.distribution.odd, flow.distribution.basis
    assert isinstance(basis, Circle | Sphere)
    cells, space, d = cells_of(device), lagrange(device, odd.degree), device.dimension
    loads = np.zeros((space.nodes, basis.count))
    ratios, couplings = np.zeros(len(device.facets.cell)), np.zeros(cells.count)
    moved = np.zeros((len(device.facets.cell), *cells.nodes.shape[1:]))
    for name, law in flow.boundaries.items():
        if not isinstance(law, Wall):
            continue
        here = np.flatnonzero(device.facets.boundary == device.boundaries.index(name))
        facets, ratio = device.facets.of(here), roughness(law)
        quadrature = cells.facet_quadrature(2 * odd.degree + 2)
        geometry = facet_geometry(cells, facets.cell, facets.local, *quadrature)
        n, u = geometry.normal, on_facets(odd, geometry)
        weight = geometry.weight * device.extent ** (d - 1)
        functional = at_rough_walls(basis, ratio)
        missing = _made(basis, functional, n, u)
        counted = pieces[facets.piece] * (flow.thickness or 1.0)
        if kappa.ndim == 1:
            tensor = np.tensordot(counted, CURL[d], 1)
            share = weight * ((n @ tensor) * missing).sum(axis=-1)
            np.add.at(couplings, facets.cell, share.sum(axis=1))
            tensor *= kappa[device.cell_region[facets.cell], None, None]
        else:
            tensor = kappa[device.cell_region[facets.cell], :, :d, :d]
            tensor = (counted[..., None, None] * tensor).sum(axis=1)
        factor = n @ tensor
        changed = _made(basis, _change(basis, ratio), n, u)
        ratios[here] = (weight * (factor * changed).sum(axis=-1)).sum(axis=1)
        pull = _pulled(basis, functional, n, factor)
        torque = np.stack([(pull * (u @ L.T)).sum(axis=-1) for L in basis.turns], axis=-1)
        # The current turns with the normal.
        turned = across(torque, n) - (factor * n).sum(axis=-1, keepdims=True) * missing
        turned += missing @ tensor.swapaxes(1, 2)
        moved[here] = moved_facets(cells, geometry, (factor * missing).sum(axis=-1), turned)
        nodes = space.dofs[facets.cell[:, None], space.on_facet[facets.local]]
        pull = weight[..., None] * pull
        np.add.at(loads, nodes, trace(geometry, space).swapaxes(1, 2) @ pull)
    moved *= device.extent ** (d - 2)
    return loads, Sensitivity(
        cells={coupling: couplings} if kappa.ndim == 1 else {},
        facets={"ratio": ratios},
        nodes=at_geometry_nodes(device, device.facets.cell, moved),
    )


def _tangent(normal: np.ndarray) -> np.ndarray:
    """The direction t = z x n."""
    return np.stack([-normal[..., 1], normal[..., 0]], axis=-1)


def _factors(kappa: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Of facets, kappa or kappa^j_ik a_i b_k of directions a and b, (f, q, 1) or (f, q, 3)."""
    if kappa.ndim == 1:
        return np.broadcast_to(kappa[:, None, None], (*first.shape[:2], 1))
    d = first.shape[-1]
    pairs = (first[..., :, None] * second[..., None, :]).reshape(*first.shape[:2], d * d)
    return np.asarray(pairs @ kappa[..., :d, :d].reshape(len(kappa), 3, d * d).swapaxes(1, 2))


def _path(material: Material, harmonics: int) -> float:
    """Mean free path of the highest harmonics, m; where it varies, none: no doubt."""
    if material.varies:
        return 0.0
    return float(material.mean_free_path) / rate_of(material, harmonics)  # type: ignore[arg-type]


def _turning(flow: Flow, region: int) -> float:
    """1/R_c, 1/m."""
    assert flow.distribution is not None
    path = flow.materials[flow.device.regions[region]].mean_free_path
    turning = abs(flow.distribution.turning[region])
    return turning / float(path) if turning else 0.0  # type: ignore[arg-type]


def _share(kappa: np.ndarray, normal: np.ndarray, current: np.ndarray) -> np.ndarray:
    """What currents along a wall are of its moment, of facets, (f, q, 1) or (f, q, 3)."""
    if normal.shape[-1] == 2:
        tangent = _tangent(normal)
        along = (current * tangent).sum(axis=-1, keepdims=True)
        return np.asarray(_factors(kappa, normal, tangent) * along)
    if kappa.ndim == 1:
        return np.asarray(kappa[:, None, None] * np.cross(normal, current))
    return _factors(kappa, normal, current)


def _missing(basis: Basis, ratio: float, normal: np.ndarray, moments: np.ndarray) -> np.ndarray:
    """What is to be added to currents along walls, (f, q, d); NaN where nobody knows."""
    if isinstance(basis, Circle | Sphere):
        return _made(basis, at_rough_walls(basis, ratio), normal, moments)
    angle = np.arctan2(normal[..., 1], normal[..., 0])
    return np.asarray(_along(basis, ratio, angle, moments)[..., None] * _tangent(normal))


def _made(
    basis: Circle | Sphere, functional: np.ndarray, normal: np.ndarray, moments: np.ndarray
) -> np.ndarray:
    """Currents along walls, (f, q, d), by a functional as of :func:`at_rough_walls`."""
    if isinstance(basis, Sphere):
        flat, each = normal.reshape(-1, 3), moments.reshape(-1, moments.shape[-1])
        return along_walls(functional, basis.harmonics - 1, flat, each).reshape(normal.shape)
    angle = np.arctan2(normal[..., 1], normal[..., 0])
    about, _ = about_normal(moments, angle, np.array(basis.odd.orders))
    return np.asarray((about[..., 1::2] @ functional)[..., None] * _tangent(normal))


def _pulled(
    basis: Circle | Sphere, functional: np.ndarray, normal: np.ndarray, vector: np.ndarray
) -> np.ndarray:
    """Derivatives of these currents times vectors (f, q, d) in the moments, (f, q, N)."""
    if isinstance(basis, Sphere):
        flat = normal.reshape(-1, 3), vector.reshape(-1, 3)
        found = along_walls_transposed(functional, basis.harmonics - 1, *flat)
        return found.reshape(*normal.shape[:-1], basis.count)
    phase = np.arctan2(normal[..., 1], normal[..., 0])[..., None] * np.array(basis.odd.orders)
    each = (vector * _tangent(normal)).sum(axis=-1, keepdims=True) * functional
    out = np.stack([-np.sin(phase) * each, np.cos(phase) * each], axis=-1)
    return out.reshape(*normal.shape[:-1], basis.count)


def _along(basis: Basis, ratio: float, angle: np.ndarray, moments: np.ndarray) -> np.ndarray:
    """The same of J_t in 2D on other Fermi lines, at walls with normals of some angle."""
    out, angle = np.full(angle.shape, np.nan), angle.round(12)  # straight to rounding
    if not isinstance(basis, ContourBasis):
        return out
    for one in np.unique(angle):
        if (functional := _of_contour(basis, ratio, float(one))) is not None:
            out[angle == one] = moments[angle == one] @ functional
    return out


@lru_cache(maxsize=4096)
def _of_contour(basis: ContourBasis, ratio: float, angle: float) -> np.ndarray | None:
    """Coefficients of what is to be added to J_t, for all odd moments; None if none are known.

    As on a circle, if a reflection of the cyclotron phase leaves v.n as it is (any normal of an
    ellipse, mirror planes of a line): then what is odd under it knows nothing of the rest. Else
    the potential bends at the wall, and the current there has no closed form.
    """
    if (found := basis.along(angle, diffuse=ratio == 1.0)) is None:
        return None
    absolute, stress, columns = found
    other = np.linalg.solve(stress, absolute[0]) @ absolute
    scale = columns[0, :2] @ [-np.sin(angle), np.cos(angle)]
    return np.asarray(_mended(absolute, stress, other, ratio) @ columns / scale)


@lru_cache(maxsize=64)
def at_rough_walls(basis: Circle | Sphere, ratio: float) -> np.ndarray:
    """Coefficients of what is to be added to J_t, for the odd sines about the normal, shape (k,).

    ``ratio`` is (1 - p)/(1 + p). In 3D they are for the functions with m = 1 about the normal.
    """
    if isinstance(basis, Sphere):
        coupling, absolute, half = tangential(basis.harmonics)
    else:
        odd, even = basis.odd, basis.even
        # Sines of m = 0 are none.
        coupling = odd.streaming(even)[0][1::2, 1::2][:, np.array(even.orders) > 0]
        absolute = odd.half_range(1.0, 1.0)[1::2, 1::2]
        half = odd.outgoing(even)[0, np.array(even.orders) > 0]
    if ratio == 0.0 or basis.harmonics == 2:  # two are the hydrodynamic model, as it is
        return np.zeros(len(coupling))
    other = np.linalg.solve(coupling.T, half) @ absolute
    return _mended(absolute, coupling @ coupling.T, other, ratio)


def _mended(
    absolute: np.ndarray, stress: np.ndarray, other: np.ndarray, ratio: float
) -> np.ndarray:
    """Alpha (B - A), from <|v.n| odd odd>, <odd (v.n)^2 odd> and the coefficients of B."""
    from scipy.linalg import eigh  # takes long to load

    # The half space: u = (1, 0, ...) + sum of a_k v_k exp(-rate_k y/lambda).

    squares, shapes = eigh(np.eye(len(stress)), stress)
    outside = ratio * absolute @ shapes + stress @ shapes * np.sqrt(squares)
    found = np.eye(len(stress))[0] - shapes @ np.linalg.solve(outside, ratio * absolute[:, 0])
    exact = 1 / (1 + ratio)
    difference = other.copy()
    difference[0] -= 1.0
    return (exact - found[0]) / (difference @ found) * difference


def _change(basis: Circle | Sphere, ratio: float) -> np.ndarray:
    """Derivative of these coefficients in the ratio."""
    step = 1e-3 * ratio
    if not step:
        return np.zeros_like(at_rough_walls(basis, ratio))
    one, two = (
        (at_rough_walls(basis, ratio + h) - at_rough_walls(basis, ratio - h)) / (2 * h)
        for h in (step, 2 * step)
    )
    return np.asarray((4 * one - two) / 3)
