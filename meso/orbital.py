"""Vorticity of the current, and the orbital angular momentum that it makes locally.

    Omega = (curl J)/e,        L = kappa curl J,        kappa = hbar^2 / (2 eps_F e)

(T. Valet et al. 2025, eq. 7; e < 0 is the charge of the carriers, so L is antiparallel to the
curl of the charge current.) In 2D both are components along z. In a crystal kappa is a tensor,
L^j = kappa^j_ik d_i J_k (eq. 6), and there is one for the spin as well. L is in J s/m^2 for a 2D
electron gas, J s/m^3 for a 3D metal. How it is divided among the walls:
:mod:`meso.observables.accumulation`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import basix
import dolfinx
import numpy as np
import ufl
from dolfinx.fem.petsc import assemble_matrix
from scipy.spatial.distance import cdist

from meso.boundary import Wall
from meso.compiled import functional
from meso.constants import ELECTRON_CHARGE
from meso.discrete.cells import Lagrange, cells_of, facet_points, lagrange, space
from meso.discrete.fields import Field, cellwise, continuous
from meso.discrete.solvers import mass_solved
from meso.equations.derived import TABLE
from meso.equations.vorticity import curl
from meso.flow.result import Flow
from meso.observables.accumulation import EdgeMoment, couplings, edge_moments
from meso.observables.edges import WallValues, wall_values
from meso.observables.within import contracted, degree_of, in_cells

__all__ = [
    "EdgeMoment",
    "couplings",
    "edge_moments",
    "orbital_density",
    "spin_density",
    "vorticity",
]


def vorticity(flow: Flow) -> Field:
    """Vorticity of the particle flow, Omega = (curl J)/e.

    The curl of the solution is projected, region by region, on continuous elements of degree
    k - 1, with the values that the slip law gives imposed at walls. Of a kinetic flow, whose
    vorticity diverges at rough walls, it is taken cell by cell, and in cells at walls its mean:
    there is no value at a point of a wall. Moments of walls are of what the means are of
    (:mod:`meso.observables.within`).

    Args:
        flow: A solved flow.

    Returns:
        Field in 1/(m^3 s) (1/(m^2 s) for a 2D electron gas), in 3D with three components.
    """

    def at_walls(values: WallValues) -> np.ndarray:
        size = 1 if flow.device.dimension == 2 else 3
        return values.vorticity.reshape(*values.current.shape[:2], size) * ELECTRON_CHARGE

    found = curl(flow.fields["current_density"].function())
    degree, values = _made(flow, found, at_walls)
    unit = TABLE["vorticity"].unit_in(flow.sheet)
    return cellwise("vorticity", unit, flow.device, degree, values / ELECTRON_CHARGE)


def orbital_density(flow: Flow, omega: Field) -> Field:
    """Orbital density L = kappa e Omega, or L^j = kappa^j_ik d_i J_k (T. Valet et al., eq. 6-7).

    Args:
        flow: A solved flow whose materials have an orbital coupling.
        omega: Its vorticity.

    Returns:
        Field in J s/m^3 (J s/m^2 for a 2D electron gas). In 2D L_z; of a tensor all components.
    """
    return _density(flow, omega, "orbital")


def spin_density(flow: Flow, omega: Field) -> Field:
    """The same of the spin: S = kappa e Omega or S^j = kappa^j_ik d_i J_k, kappa of the spin.

    Args:
        flow: A solved flow whose materials have a spin coupling.
        omega: Its vorticity.

    Returns:
        Field as that of the orbital density.
    """
    return _density(flow, omega, "spin")


def _density(flow: Flow, omega: Field, channel: str) -> Field:
    device, name, kappa = flow.device, f"{channel}_density", couplings(flow, channel)
    assert kappa is not None
    unit = TABLE[name].unit_in(flow.sheet)
    if kappa.ndim == 1:
        factor = (kappa * ELECTRON_CHARGE)[device.cell_region]
        return cellwise(name, unit, device, omega.degree, omega.values * factor[:, None, None])
    d, size = device.dimension, np.abs(kappa).max() or 1.0
    part = kappa[..., :d, :d] / size  # nothing depends on z in 2D
    found = contracted(flow, kappa / size)
    degree, values = _made(flow, found, lambda at: at.contracted(part))
    return cellwise(name, unit, device, degree, values * size)


#: Of what is to be found, from values at facets of walls: shape (f, q, components).
_AtWalls = Callable[[WallValues], np.ndarray]


def _made(flow: Flow, found: Any, at_walls: _AtWalls) -> tuple[int, np.ndarray]:
    """What derivatives of J make, as :func:`vorticity`: degree, and values (c, nodes, k)."""
    degree = degree_of(flow)
    if flow.kinetic:
        return degree, in_cells(flow, found, means=True)
    device, nodes = flow.device, lagrange(flow.device, degree)
    walls = _wall_nodes(flow, degree, at_walls, found.ufl_shape[0] if found.ufl_shape else 1)
    values = np.empty((*nodes.dofs.shape, walls[0][1].shape[1]))
    for region in range(len(device.regions)):
        chosen = device.cell_region == region
        nodal = _projection(flow, degree, region, found, *walls[region])
        values[chosen] = nodal[nodes.dofs[chosen]]
    return degree, values


def _wall_nodes(
    flow: Flow, degree: int, at_walls: _AtWalls, components: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Of each region: nodes on walls and values there, means of the facets that meet in a node."""
    device, space = flow.device, lagrange(flow.device, degree)
    at, position = facet_nodes(space)
    sums = np.zeros((len(device.regions), space.nodes, components + 1))
    for name, law in flow.boundaries.items():
        if not isinstance(law, Wall) or not flow.viscous:
            continue
        values = wall_values(flow, name, at)
        node = space.dofs[values.facets.cell[:, None], position[values.facets.local]]
        found = np.concatenate([at_walls(values), np.ones((*node.shape, 1))], axis=2)
        np.add.at(sums, (values.region[:, None], node), found)
    out = []
    for own in sums:
        totals = np.stack([space.shared_sum(part) for part in own.T])
        touched = np.flatnonzero(totals[-1] > 0)
        out.append((touched, (totals[:-1, touched] / totals[-1, touched]).T))
    return out


def facet_nodes(space: Lagrange) -> tuple[np.ndarray, np.ndarray]:
    """Nodes on the reference facet, (q, d - 1), and which of a cell they are, (d + 1, q)."""
    kind = basix.CellType.interval if space.points.shape[1] == 2 else basix.CellType.triangle
    variant = basix.LagrangeVariant.gll_warped
    at = basix.create_element(basix.ElementFamily.P, kind, space.degree, variant).points
    return at, np.stack([cdist(inside, space.points).argmin(axis=1) for inside in facet_points(at)])


def _projection(
    flow: Flow, degree: int, region: int, found: Any, wall: np.ndarray, given: np.ndarray
) -> np.ndarray:
    """L2 projection of an expression over a region, (nodes, k), with given values at walls."""
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
    start = continuous("at walls", "", device, degree, known).function()

    u, v = ufl.TrialFunction(nodes.space), ufl.TestFunction(nodes.space)
    condition = dolfinx.fem.dirichletbc(0.0, np.flatnonzero(fixed).astype(np.int32), nodes.space)
    matrix = assemble_matrix(functional(u * v * dx), bcs=[condition])
    matrix.assemble()
    target = space(device, "Lagrange", degree, given.shape[1])
    load = functional(ufl.inner(found - start, ufl.TestFunction(target)) * dx)
    vector = dolfinx.fem.assemble_vector(load)
    vector.scatter_reverse(dolfinx.la.InsertMode.add)
    vector.scatter_forward()
    right = np.zeros_like(known)
    right[nodes.dofs] = vector.array.reshape(known.shape)[target.dofmap.list[: len(nodes.dofs)]]
    right[fixed] = 0.0
    return known + mass_solved(matrix, nodes.index_map, right)
