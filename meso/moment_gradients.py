"""Derivatives of orbital moments and spins of walls (:mod:`meso.observables.accumulation`).

What makes moments of J is linear in J, region by region: a projection c of curl J, M c = b(J), with
given values v(J) at walls, and weights w of its nodes in the moments. With z of M z = w inside and
zero at walls

    d (w.c) = dw.c + z.(db - dM c) + (w - M z).dv

which is a functional of J, whose derivative the adjoint of the flow finds, and what is left where
values of J and c at the nodes are held. For scalar kappa in 2D.

Of a kinetic flow c is the curl of J itself, in cells at walls its mean, and what the last
harmonics leave at walls (:mod:`meso.observables.grazing`) is added.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import dolfinx
import numpy as np
import ufl
from dolfinx.fem.petsc import assemble_matrix

from meso.boundary import Wall
from meso.compiled import functional
from meso.constants import ELECTRON_CHARGE
from meso.device import Facets
from meso.discrete.cells import (
    along_facets,
    at_geometry_nodes,
    cells_of,
    lagrange,
    slopes,
)
from meso.discrete.coefficients import material_values
from meso.discrete.fields import Field, cellwise, continuous, gradient
from meso.discrete.kernels import Kernel, Shape, Space
from meso.discrete.solvers import mass_solved
from meso.discrete.variation import in_shape
from meso.equations.vorticity import curl
from meso.equations.walls import BEND
from meso.flow.kinetic_adjoint import KineticAdjoint
from meso.flow.result import Flow
from meso.observables.accumulation import (
    couplings,
)
from meso.observables.edges import WallValues, wall_values
from meso.observables.grazing import wall_sensitivity
from meso.observables.nearest import Division
from meso.orbital import facet_nodes, near_walls
from meso.sensitivities import Sensitivity


def has_gradient(flow: Flow, channel: str = "orbital") -> bool:
    """Whether :func:`moment_gradient` knows the moments of a flow."""
    kappa = couplings(flow, channel)
    plane = flow.device.dimension == 2
    return flow.adjoint is not None and plane and kappa is not None and kappa.ndim == 1


def moment_gradient(
    flow: Flow, omega: Field, factors: Sequence[float], channel: str = "orbital"
) -> Sensitivity:
    """Of a sum of moments of walls, J s (J s/m for a 3D metal of unknown thickness).

    All ranks call this. The coefficient of cells ``orbital_coupling``, or that of the spin, joins
    those of the flow.

    Args:
        flow: A flow with its adjoint, of which :func:`has_gradient` is true.
        omega: Its vorticity.
        factors: How much the moment of each of ``flow.device.pieces`` counts; those of walls do.
        channel: "orbital" or "spin".
    """
    assert flow.adjoint is not None
    work = _Work(flow, omega, factors, channel)
    work.weigh()
    if flow.kinetic:
        work.cell_by_cell()
    else:
        for region in range(len(flow.device.regions)):
            work.transpose(region)
    work.project()
    return work.found()


@lru_cache(maxsize=16)
def _projected(shape: Shape, current: Space, degree: int, quadrature: int) -> tuple[Kernel, Kernel]:
    """Derivatives of z (curl J - c) in the shape and in J."""
    space = shape.of(Space(degree, 0))
    z, c = ufl.Coefficient(space), ufl.Coefficient(space)
    J, w = ufl.Coefficient(shape.of(current)), ufl.TestFunction(shape.of(current))
    dx = shape.dx(quadrature)
    return Kernel(in_shape(z * (curl(J) - c) * dx), [z, J, c]), Kernel(z * curl(w) * dx, [z])


class _Work:
    """What is found step by step.

    Attributes:
        load: d T / d J at the nodes of cells, (c, n, 2).
        nodes: d T / d (geometry nodes of cells), scaled lengths, values at nodes held, (c, g, 2).
        rates: d T / d slip rate on facets.
        couplings: d T / d kappa in cells.
    """

    def __init__(self, flow: Flow, omega: Field, factors: Sequence[float], channel: str) -> None:
        kappa = couplings(flow, channel)
        assert kappa is not None
        self.flow, self.device, self.channel = flow, flow.device, channel
        self.omega, self.density = omega, flow.fields["current_density"]
        self.kappa = kappa[self.device.cell_region]
        self.cells, self.length = cells_of(self.device), self.device.extent
        self.space = lagrange(self.device, omega.degree)
        self.curl = omega.values[..., 0] * ELECTRON_CHARGE
        self.counts = np.asarray(factors, dtype=float)
        self.factors = self.counts * (flow.thickness or 1.0)
        self.load = np.zeros(self.density.values.shape)
        self.nodes = np.zeros(self.cells.nodes.shape)
        self.rates = np.zeros(len(self.device.facets.cell))
        self.couplings = np.zeros(self.cells.count)
        self.weights = np.zeros(self.space.dofs.shape)
        self.z = np.zeros(self.space.dofs.shape)

    def weigh(self) -> None:
        """The weights w of L = kappa c in the moments, and what these have of the shape."""
        values = (self.kappa[:, None] * self.curl)[..., None]
        density = cellwise("L", "", self.device, self.omega.degree, values)
        found, moved = Division(self.flow).derivative(density, self.factors[:, None])
        self.weights = found[..., 0]
        assert moved is not None
        self.moved = moved
        self.couplings = (self.weights * self.curl).sum(axis=1)

    # -- the projection ------------------------------------------------------------------------

    def transpose(self, region: int) -> None:
        """Z of a region, and what its walls do."""
        device, space = self.device, self.space
        own = np.flatnonzero(device.cell_region == region).astype(np.int32)
        w = self._sum(own, self.kappa[own, None] * self.weights[own])
        touched = self._sum(own, np.ones((len(own), space.dofs.shape[1])))
        walls = self._walls()
        many = np.zeros(space.nodes)
        for _, values, node in walls:
            many += np.bincount(node[values.region == region].ravel(), minlength=space.nodes)
        many = space.shared_sum(many)
        fixed = (touched == 0) | (many > 0)
        dx = ufl.Measure("dx", domain=device.mesh, subdomain_data=[(1, own)], subdomain_id=1)
        dx = dx(degree=self._quadrature)
        u, v = ufl.TrialFunction(space.space), ufl.TestFunction(space.space)
        rows = np.flatnonzero(fixed).astype(np.int32)
        condition = dolfinx.fem.dirichletbc(0.0, rows, space.space)
        matrix = assemble_matrix(functional(u * v * dx), bcs=[condition])
        matrix.assemble()
        z = mass_solved(matrix, space.index_map, np.where(fixed, 0.0, w)[:, None])
        self.z[own] = z[:, 0][space.dofs[own]]
        field = continuous("z", "", device, space.degree, z).function()
        vector = dolfinx.fem.assemble_vector(functional(field * v * dx))
        vector.scatter_reverse(dolfinx.la.InsertMode.add)
        vector.scatter_forward()
        y = np.where(many > 0, (w - vector.array) / np.maximum(many, 1.0), 0.0)
        for law, values, node in walls:
            self._wall(law, values, np.where(values.region == region, y[node].T, 0.0).T)

    def _sum(self, cells: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Sums at the nodes of the space, over all ranks."""
        dofs = self.space.dofs[cells].ravel()
        return self.space.shared_sum(np.bincount(dofs, values.ravel(), self.space.nodes))

    @property
    def _quadrature(self) -> int:
        return 2 * self.space.degree + 2 * (self.cells.degree - 1)

    def _walls(self) -> list[tuple[Wall, WallValues, np.ndarray]]:
        """Of each wall: values at the nodes on its facets, and these nodes, (f, q)."""
        at, position = facet_nodes(self.space)
        out = []
        for name, law in self.flow.boundaries.items():
            if isinstance(law, Wall):
                values = wall_values(self.flow, name, at)
                facets = values.facets
                node = self.space.dofs[facets.cell[:, None], position[facets.local]]
                out.append((law, values, node))
        return out

    def project(self) -> None:
        """What z makes of curl J, and of its projection c, in units of J over lengths."""
        density, degree = self.density, self.space.degree
        element = density.data.function_space.ufl_element()
        enriched = density.highest > density.degree
        current = Space(density.degree, 2, enriched)
        assert element.dim == 2 * density.values.shape[1]
        shape = Shape.kind(self.cells, straight=False)
        in_nodes, in_current = _projected(shape, current, degree, self._quadrature)
        every = np.arange(self.cells.count)
        J = density.values.reshape(len(every), -1)
        nodes = in_nodes(self.cells, every, (self.z, J, self.curl * self.length))
        self.nodes += self.length * nodes.reshape(self.nodes.shape)
        load = in_current(self.cells, every, (self.z,))
        self.load += self.length * load.reshape(self.load.shape)

    # -- walls ---------------------------------------------------------------------------------

    def _wall(self, law: Wall, values: WallValues, y: np.ndarray) -> None:
        """What y times the curl at the nodes of a wall, (f, q), is made of."""
        flow, facets, geometry = self.flow, values.facets, values.geometry
        rates: np.ndarray = np.full(1, np.inf)
        if flow.slips:
            materials, at = flow.materials, geometry.position
            rates = material_values(self.device, materials, law.slip_rate, facets.cell, at)
        if not np.isfinite(rates).all():
            self._by_derivatives(values, y)
            return
        # (bend kappa_w - s) J_t, with J_t along t = z x n.
        normal, bend = geometry.normal, BEND[law.law] / self.length
        tangent = np.stack([-normal[..., 1], normal[..., 0]], axis=-1)
        bent = np.trace(geometry.curvature, axis1=2, axis2=3)
        factor = bend * bent - (rates if rates.ndim == 2 else rates[:, None])
        along, across = values.tangential_current, (values.current * normal).sum(axis=-1)
        table = geometry.table(lambda points, _: self.density.table(points))
        load = (y * factor)[..., None] * tangent
        np.add.at(self.load, facets.cell, table.swapaxes(1, 2) @ load)
        here = self._numbers(facets)
        self.rates[here] -= (y * along).sum(axis=1)
        # A facet x(s) whose nodes move: its normal turns by e = n.dx'/|x'|.
        tables = along_facets(self.cells.element, geometry.points)[facets.local]  # (f, 3, q, g)
        first, second = (tables[:, i] @ self.cells.nodes[facets.cell] for i in (1, 2))
        speed = np.linalg.norm(first, axis=-1)
        turn = (y * factor * across / speed)[..., None] * normal
        change = (y * along * bend)[..., None]
        turn += change * ((tangent * second).sum(axis=-1) / speed**3)[..., None] * normal
        turn -= change * (2 * bent / speed)[..., None] * tangent
        curve = -change / (speed**2)[..., None] * normal
        nodes = tables[:, 1].swapaxes(1, 2) @ turn + tables[:, 2].swapaxes(1, 2) @ curve
        np.add.at(self.nodes, facets.cell, nodes)

    def _numbers(self, facets: Facets) -> np.ndarray:
        """Numbers of facets in the device."""
        own, d = self.device.facets, self.device.dimension + 1
        key = own.cell * d + own.local
        order = np.argsort(key)
        return order[np.searchsorted(key, facets.cell * d + facets.local, sorter=order)]

    def _by_derivatives(self, values: WallValues, y: np.ndarray) -> None:
        """The same where the curl is that of the solution."""
        facets = values.facets
        for i, points in enumerate(values.geometry.points):
            here = facets.local == i
            self._at_points(facets.cell[here], points, y[here])

    def _at_points(self, cell: np.ndarray, points: np.ndarray, y: np.ndarray) -> None:
        """What y times the curl of the solution at points of cells, (c, q), is made of."""
        tables = slopes(self.density.data.function_space, points).transpose(1, 2, 0)
        basis = self.cells.gradients(cell, points, tables)[0]  # (c, q, d, n)
        each = y[..., None] / self.length
        np.add.at(self.load[..., 1], cell, (each * basis[:, :, 0]).sum(axis=1))
        np.add.at(self.load[..., 0], cell, -(each * basis[:, :, 1]).sum(axis=1))
        # A motion v changes d_i J_k by -d_i v_l d_l J_k.
        shape = self.cells.element.tabulate(1, points)[1:, :, :, 0].transpose(1, 2, 0)
        of_nodes = self.cells.gradients(cell, points, shape)[0]
        slope = gradient(self.density, points, cell)  # d_m J_k, (c, q, m, k)
        for m in range(2):
            part = of_nodes[:, :, 0] * slope[:, :, m, 1, None]
            part = part - of_nodes[:, :, 1] * slope[:, :, m, 0, None]
            np.add.at(self.nodes[..., m], cell, -(y[..., None] * part).sum(axis=1))

    # -- kinetic flow --------------------------------------------------------------------------

    def cell_by_cell(self) -> None:
        """The curl of the solution at the nodes of cells, and its mean in cells at walls."""
        near, w = near_walls(self.flow), self.kappa[:, None] * self.weights
        every = np.arange(self.cells.count)
        area = self.cells.measures(every) * self.length**2
        self.z[near] = (w.sum(axis=1) / area)[near, None]
        for batch, _ in self.cells.batches(20 * self.density.values[:1].size):
            far = batch[~near[batch]]
            self._at_points(far, self.space.points, w[far])

    # -- result --------------------------------------------------------------------------------

    def found(self) -> Sensitivity:
        """With what the flow does."""
        adjoint = self.flow.adjoint
        assert adjoint is not None
        every = np.arange(self.cells.count)
        nodes = self.moved + at_geometry_nodes(self.device, every, self.nodes) / self.length
        coupling, kinetic = f"{self.channel}_coupling", self.flow.kinetic
        own = Sensitivity(
            cells={coupling: self.couplings},
            facets={} if kinetic else {"slip_rate": self.rates},
            nodes=nodes,
        )
        if not kinetic:
            return adjoint.functional(current=self.load) + own
        assert isinstance(adjoint, KineticAdjoint)
        kappa = couplings(self.flow, self.channel)
        assert kappa is not None
        moments, missing = wall_sensitivity(self.flow, kappa, self.counts[:, None], coupling)
        return adjoint.functional(current=self.load, moments=moments) + own + missing
