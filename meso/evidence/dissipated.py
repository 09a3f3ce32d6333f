"""Where odd moments dissipate power, cell by cell: D of docs/bounds.md.

The weak form of a kinetic flow is symmetric: what the error of its moments would dissipate is, but
for its divergence, the error of the conductance.
"""

from __future__ import annotations

from itertools import product

import numpy as np

from meso import flow as models
from meso.discrete.cells import cells_of, facet_geometry, inverse, slopes
from meso.discrete.fields import Field, nodal_values, on_facets
from meso.flow.discretisation import Problem
from meso.flow.result import Flow


def kinetic_energy(flow: Flow, odd: Field) -> np.ndarray:
    """Power that odd moments dissipate in each cell of this rank, W (W/m), shape (c,).

    With what walls and reservoirs dissipate beside the cell.

    Args:
        flow: A kinetic flow, for its coefficients and laws.
        odd: Odd moments, in the unit of a current density.
    """
    assert flow.distribution is not None
    model = models.Kinetic(
        flow.device,
        materials=flow.materials,
        boundaries=flow.boundaries,
        harmonics=flow.distribution.basis.harmonics,
        order=flow.order,
    )
    problem, cells = model.problem(), cells_of(flow.device)
    out, quadrature = _collided(problem, odd), cells.facet_quadrature(2 * odd.degree)
    for name, law in problem.laws.items():
        if law.half_range is not None:
            facets = flow.device.facets_on(name)
            geometry = facet_geometry(cells, facets.cell, facets.local, *quadrature)
            u = on_facets(odd, geometry).reshape(-1, odd.components)
            normals = geometry.normal.reshape(-1, flow.device.dimension)
            reflected = law.half_range.matrix.on(normals)(u)
            lost = (reflected * u).sum(axis=1).reshape(geometry.weight.shape)
            weight = geometry.weight * law.half_range.weight(geometry)
            np.add.at(out, facets.cell, (weight * lost).sum(axis=1))
    return out * model.scales.length**flow.device.dimension / model.scales.conductivity


def _collided(problem: Problem, odd: Field) -> np.ndarray:
    """What collisions dissipate in each cell, in scaled variables but for those of the moments."""
    device, coefficients = problem.device, problem.coefficients
    cells, kind = cells_of(device), problem.phases[device.cell_region]
    points, weights = cells.quadrature(2 * odd.degree)
    table, derivatives = odd.table(points), slopes(odd.data.function_space, points)
    out = np.zeros(cells.count)
    for batch, _ in cells.batches(4 * len(points) * odd.components):
        nodal, at = nodal_values(odd.data, batch), cells.positions(batch, points)
        inverses, determinants = inverse(cells.jacobians(batch, points))
        u, slope = table @ nodal, np.stack([part @ nodal for part in derivatives], axis=2)
        slope = inverses.swapaxes(-1, -2) @ slope
        lost = np.zeros((2, *determinants.shape))
        for k, moments in enumerate(problem.members or (problem.moments,)):
            own = kind[batch] == k
            along = np.moveaxis(slope[own], 2, 0)
            for (i, left), (j, right) in product(enumerate(along), repeat=2):
                lost[0, own] += (left @ moments.stress[i, j] * right).sum(axis=2)
            lost[1, own] = (u[own] @ moments.relaxation * u[own]).sum(axis=2)
        for part, coefficient in zip(
            lost, (coefficients.stress, coefficients.relaxation), strict=True
        ):
            value = np.asarray(coefficient(batch, at))
            part *= value if value.ndim == 2 else value[:, None]
        out[batch] = (determinants * weights * lost.sum(axis=0)).sum(axis=1)
    return out
