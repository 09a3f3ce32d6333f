"""Vorticity of the current, and the orbital angular momentum that it makes locally.

    Omega = (curl J)/e,        L = kappa curl J,        kappa = hbar^2 / (2 eps_F e)

(T. Valet et al. 2025, eq. 7; e < 0 is the charge of the carriers, so L is antiparallel to the
curl of the charge current.) In 2D both are components along z. L is in J s/m^2 for a 2D electron
gas, J s/m^3 for a 3D metal. How it is divided among the walls:
:mod:`meso.observables.accumulation`.
"""

from __future__ import annotations

import basix
import dolfinx
import numpy as np
import ufl
from dolfinx.fem.petsc import assemble_matrix
from scipy.spatial.distance import cdist

from meso.boundary import Wall
from meso.compiled import functional
from meso.constants import ELECTRON_CHARGE
from meso.discrete.cells import cells_of, facet_points, lagrange, space
from meso.discrete.expressions import cell_integrals, interpolated
from meso.discrete.fields import Field, cellwise, continuous
from meso.discrete.solvers import mass_solved
from meso.equations.derived import TABLE
from meso.equations.vorticity import curl
from meso.flow.result import Flow
from meso.observables.accumulation import EdgeMoment, edge_moments
from meso.observables.edges import wall_values

__all__ = ["EdgeMoment", "couplings", "edge_moments", "orbital_density", "vorticity"]


def vorticity(flow: Flow) -> Field:
    """Vorticity of the particle flow, Omega = (curl J)/e.

    The curl of the solution is projected, region by region, on continuous elements of degree
    k - 1, with the values that the slip law gives imposed at walls. Of a kinetic flow, whose
    vorticity diverges at rough walls, it is taken cell by cell, and in cells at walls its mean:
    its integrals are right, and there is no value at a point of a wall.

    Args:
        flow: A solved flow.

    Returns:
        Field in 1/(m^3 s) (1/(m^2 s) for a 2D electron gas), in 3D with three components.
    """
    degree = max(1, flow.fields["current_density"].degree - 1)
    if flow.kinetic:
        values = _cell_by_cell(flow, degree)
    else:
        device, nodes = flow.device, lagrange(flow.device, degree)
        walls = _wall_nodes(flow, degree)
        values = np.empty((*nodes.dofs.shape, 1 if device.dimension == 2 else 3))
        for region in range(len(device.regions)):
            chosen = device.cell_region == region
            values[chosen] = _projection(flow, degree, region, *walls[region])[nodes.dofs[chosen]]
    unit = TABLE["vorticity"].unit_in(flow.sheet)
    return cellwise("vorticity", unit, flow.device, degree, values / ELECTRON_CHARGE)


def _cell_by_cell(flow: Flow, degree: int) -> np.ndarray:
    """Curl J in each cell, (c, nodes, 1); its mean in cells that touch a wall."""
    device, nodes = flow.device, lagrange(flow.device, degree)
    found = curl(flow.fields["current_density"].function())
    values = interpolated("curl", "", device, degree, found).values
    walls = [i for i, n in enumerate(device.boundaries) if isinstance(flow.boundaries.get(n), Wall)]
    facets = device.facets.of(np.isin(device.facets.boundary, walls))
    touched = np.zeros(nodes.nodes)
    touched[nodes.dofs[facets.cell[:, None], nodes.on_facet[facets.local]].ravel()] = 1.0
    near = (nodes.shared_sum(touched) > 0)[nodes.dofs].any(axis=1)
    quadrature = 2 * degree + 2 * (cells_of(device).degree - 1)
    parts = (found, ufl.as_ufl(1.0))
    whole, size = (cell_integrals(device, part, degree=quadrature) for part in parts)
    values[near] = (whole / size)[near, None, None]
    return values


def _wall_nodes(flow: Flow, degree: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Of each region: nodes on walls and curl J there, means of the facets that meet in a node."""
    device, space = flow.device, lagrange(flow.device, degree)
    kind = basix.CellType.interval if device.dimension == 2 else basix.CellType.triangle
    variant = basix.LagrangeVariant.gll_warped
    at = basix.create_element(basix.ElementFamily.P, kind, degree, variant).points
    # Nodes of the cell at these points, by number of the facet.
    position = np.stack([cdist(inside, space.points).argmin(axis=1) for inside in facet_points(at)])
    components = 1 if device.dimension == 2 else 3
    sums = np.zeros((len(device.regions), space.nodes, components + 1))
    for name, law in flow.boundaries.items():
        if not isinstance(law, Wall) or not flow.viscous:
            continue
        values = wall_values(flow, name, at)
        node = space.dofs[values.facets.cell[:, None], position[values.facets.local]]
        curls = values.vorticity.reshape(*node.shape, components) * ELECTRON_CHARGE
        curls = np.concatenate([curls, np.ones((*node.shape, 1))], axis=2)
        np.add.at(sums, (values.region[:, None], node), curls)
    out = []
    for own in sums:
        totals = np.stack([space.shared_sum(part) for part in own.T])
        touched = np.flatnonzero(totals[-1] > 0)
        out.append((touched, (totals[:-1, touched] / totals[-1, touched]).T))
    return out


def _projection(
    flow: Flow, degree: int, region: int, wall: np.ndarray, given: np.ndarray
) -> np.ndarray:
    """L2 projection of curl J over a region, (nodes, components), with given values at walls."""
    device, nodes = flow.device, lagrange(flow.device, degree)
    own = np.flatnonzero(device.cell_region == region).astype(np.int32)
    dx = ufl.Measure("dx", domain=device.mesh, subdomain_data=[(1, own)], subdomain_id=1)
    dx = dx(degree=2 * degree + 2 * (cells_of(device).degree - 1))
    touched = np.zeros(nodes.nodes)
    touched[nodes.dofs[own].ravel()] = 1.0
    fixed = nodes.shared_sum(touched) == 0
    fixed[wall] = True
    known = np.zeros((nodes.nodes, given.shape[1]))
    known[wall] = given
    start = continuous("curl at walls", "", device, degree, known).function()

    u, v = ufl.TrialFunction(nodes.space), ufl.TestFunction(nodes.space)
    condition = dolfinx.fem.dirichletbc(0.0, np.flatnonzero(fixed).astype(np.int32), nodes.space)
    matrix = assemble_matrix(functional(u * v * dx), bcs=[condition])
    matrix.assemble()
    target = space(device, "Lagrange", degree, given.shape[1])
    rest = curl(flow.fields["current_density"].function()) - start
    load = functional(ufl.inner(rest, ufl.TestFunction(target)) * dx)
    vector = dolfinx.fem.assemble_vector(load)
    vector.scatter_reverse(dolfinx.la.InsertMode.add)
    vector.scatter_forward()
    right = np.zeros_like(known)
    right[nodes.dofs] = vector.array.reshape(known.shape)[target.dofmap.list[: len(nodes.dofs)]]
    right[fixed] = 0.0
    return known + mass_solved(matrix, nodes.index_map, right)


def couplings(flow: Flow) -> np.ndarray | None:
    """Kappa of each region, J s/A; None if a material has none."""
    values = [flow.materials[name].orbital_coupling for name in flow.device.regions]
    return None if any(v is None for v in values) else np.array(values, dtype=float)


def orbital_density(flow: Flow, omega: Field) -> Field:
    """Orbital density L = kappa e Omega (T. Valet et al. 2025, eq. 7).

    Args:
        flow: A solved flow whose materials have an orbital coupling.
        omega: Its vorticity.

    Returns:
        Field in J s/m^3 (J s/m^2 for a 2D electron gas).
    """
    kappa = couplings(flow)
    assert kappa is not None
    factor = (kappa * ELECTRON_CHARGE)[flow.device.cell_region]
    unit = TABLE["orbital_density"].unit_in(flow.sheet)
    values = omega.values * factor[:, None, None]
    return cellwise("orbital_density", unit, flow.device, omega.degree, values)
