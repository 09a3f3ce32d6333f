"""What a solution leaves out, from the solution alone: local polynomials of a higher degree.

Around each vertex a polynomial of degree k + 1 is fitted to the values in the cells that meet
there; in a cell the polynomials of its vertices are blended (Z. Zhang and A. Naga 2005). What this
differs by from the solution estimates its error. Where most cells do not determine such
polynomials, as in a single layer, those of degree k - 1 tell more than the error. It costs no
solution.

In space, the energy of that is 0.46 to 0.94 of the error of conductances of smooth flows, and five
times the error at re-entrant edges (docs/verification.md): it counts 2.5 times.
"""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.polynomial.polynomial import polyvander

from meso.device import Device
from meso.discrete.cells import cells_of, lagrange
from meso.discrete.expressions import interpolated
from meso.discrete.fields import Field, cellwise, gradient
from meso.equations import ohmic
from meso.evidence.indicators import energy
from meso.flow.result import Flow
from meso.mpi import total
from meso.observables.derived import symbols

#: What the energy counts.
COUNTS = 2.5
#: Least eigenvalue of a fit over the largest, below which the cells do not determine it.
_DETERMINED = 1e-9
#: What a polynomial of a vertex counts on the opposite side of a cell: something, for cells with
#: one vertex whose polynomial is known.
_BESIDE = 1e-3


def gap(flow: Flow, density: Field, voltage: Field) -> tuple[Field, np.ndarray]:
    """What a flow leaves out of the current density, and the energy of that; all ranks call this.

    Args:
        flow: The flow, for its model and coefficients.
        density: Current density, of it or of other potentials of its ports.
        voltage: The potential.

    Returns:
        The current density, and the energy of each cell of this rank, W, shape (c,).
    """
    if flow.viscous:
        found = lost(density, flow.order + 1)
        return found, COUNTS * energy(flow, found, lost(voltage, flow.order))
    sigma = symbols(flow, None).material(lambda m: m.conductivity)
    current = ohmic.current_density(lost(voltage, flow.order + 1).function(), sigma)
    found = interpolated(density.name, density.unit, density.device, flow.order, current)
    return found, COUNTS * energy(flow, found)


def lost(field: Field, degree: int) -> Field:
    """Recovered minus present field, cell by cell; zero where nothing can be recovered.

    Fields may have kinks and jumps between regions: each has polynomials of its own. All ranks
    call this.

    Args:
        field: The field.
        degree: Of the polynomials.
    """
    device = field.device
    cells, highest = cells_of(device), max(degree, field.highest)
    places, powers = _places(device), _powers(cells.dimension, degree)
    points = lagrange(device, highest).points
    out = np.zeros((cells.count, len(points), field.components))
    for region in range(len(device.regions)):
        own = np.flatnonzero(device.cell_region == region)
        out[own] = _lost(field, own, points, powers, places)
    return cellwise(field.name, field.unit, device, highest, out)


def highest(field: Field) -> Field:
    """What a field has beyond its interpolation by one degree less, cell by cell."""
    device, k = field.device, field.highest
    nodes, fewer = lagrange(device, k).points, lagrange(device, k - 1)
    rest = field.everywhere(nodes) - fewer.values(nodes) @ field.everywhere(fewer.points)
    return cellwise(field.name, field.unit, device, k, rest)


def shares(field: Field) -> np.ndarray:
    """How much of what is left out varies along each axis within a cell, (c, d); 1 in all.

    Squares of slopes times extents of the cell. In extruded cells what layers leave out varies
    across them alone, and what the surface leaves out along it.
    """
    cells = cells_of(field.device)
    points, weights = cells.quadrature(2 * field.highest)
    out = np.zeros((cells.count, cells.dimension))
    for batch, _ in cells.batches(8 * len(points) * field.components):
        slopes = gradient(field, points, batch) ** 2
        out[batch] = np.tensordot(slopes.sum(axis=3), weights, (1, 0))
    out *= np.ptp(cells.corners, axis=1) ** 2
    return out / np.maximum(out.sum(axis=1, keepdims=True), np.finfo(float).tiny)


def _lost(
    field: Field,
    own: np.ndarray,
    points: np.ndarray,
    powers: np.ndarray,
    places: tuple[np.ndarray, np.ndarray],
) -> np.ndarray:
    """The same at reference points of cells, from these cells alone, (cells, q, components)."""
    center, size = places
    fits, known = _fits(field, own, powers, center, size)
    at = cells_of(field.device).positions(own, points)
    shares = np.column_stack([1 - points.sum(axis=1), points]) + _BESIDE
    values = np.zeros((*at.shape[:2], field.components))
    whole = np.zeros(at.shape[:2])
    for i, node in enumerate(lagrange(field.device, 1).dofs[own].T):
        weight = shares[:, i] * known[node][:, None]
        local = (at - center[node][:, None]) / size[node][:, None]
        values += weight[..., None] * (_monomials(local, powers) @ fits[node])
        whole += weight
    present = field.table(points) @ field.values[own]
    values = np.where(whole[..., None] > 0, values / np.maximum(whole, 1e-300)[..., None], present)
    return np.asarray(values - present)


def _fits(
    field: Field, own: np.ndarray, powers: np.ndarray, center: np.ndarray, size: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients around each vertex, (v, n, components), and which are determined, (v,).

    From some cells of this rank.
    """
    device, space = field.device, lagrange(field.device, 1)
    cells, n, m = cells_of(device), len(powers), field.components
    points = lagrange(device, max(1, field.highest)).points
    at, values = cells.positions(own, points), field.table(points) @ field.values[own]
    sums = np.zeros((space.nodes, n, n + m))
    for node in space.dofs[own].T:
        basis = _monomials((at - center[node][:, None]) / size[node][:, None], powers)
        np.add.at(sums, node, basis.swapaxes(1, 2) @ np.concatenate([basis, values], axis=2))
    if device.comm.size > 1:
        flat = sums.reshape(space.nodes, -1)
        for column in range(flat.shape[1]):
            flat[:, column] = space.shared_sum(flat[:, column])
    eigenvalues, vectors = np.linalg.eigh(sums[..., :n])
    known = eigenvalues[:, 0] > _DETERMINED * eigenvalues[:, -1]
    scale = np.where(known[:, None], eigenvalues, 1.0)[..., None]
    fits = vectors @ (vectors.swapaxes(1, 2) @ sums[..., n:] / scale)
    if _few(device, own, known):
        low = powers.sum(axis=1) <= powers.sum(axis=1).max() - 2
        part = sums[:, low]
        fits[:] = 0.0
        fits[:, low] = np.linalg.pinv(part[..., :n][..., low], hermitian=True) @ part[..., n:]
        known[:] = eigenvalues[:, -1] > 0
    return fits, known.astype(float)


def _few(device: Device, own: np.ndarray, known: np.ndarray) -> bool:
    """Whether most of some cells have no vertex whose polynomial is known, on all ranks."""
    without = ~known[lagrange(device, 1).dofs[own]].any(axis=1)
    many, every = total(device.comm, np.array([without.sum(), len(own)], dtype=float))
    return bool(many > every / 2)


def _places(device: Device) -> tuple[np.ndarray, np.ndarray]:
    """Of each vertex: scaled position, and the mean extents of the cells around, (v, d) both."""
    space, corners = lagrange(device, 1), cells_of(device).corners
    center = np.zeros((space.nodes, corners.shape[2]))
    center[space.dofs] = corners
    size, many = np.zeros_like(center), np.zeros(space.nodes)
    np.add.at(size, space.dofs, np.ptp(corners, axis=1)[:, None])
    np.add.at(many, space.dofs, 1.0)
    whole = np.stack([space.shared_sum(column) for column in size.T], axis=1)
    return center, whole / np.maximum(space.shared_sum(many), 1.0)[:, None]


def _powers(dimension: int, degree: int) -> np.ndarray:
    """Exponents of all monomials up to a degree, shape (n, d)."""
    every = product(range(degree + 1), repeat=dimension)
    return np.array([powers for powers in every if sum(powers) <= degree])


def _monomials(places: np.ndarray, powers: np.ndarray) -> np.ndarray:
    """Monomials at places (..., d), shape (..., n)."""
    out = np.ones((*places.shape[:-1], len(powers)))
    for axis, own in enumerate(powers.T):
        out *= polyvander(places[..., axis], own.max())[..., own]
    return out
