"""Derivatives of orbital moments and spins of walls (:mod:`meso.observables.accumulation`).

What makes moments of J, L_j = T^j_ik d_i J_k with T = kappa or a multiple of the curl, is linear in
J, region by region: a projection c of it, M c = b(J), with given values v(J) at walls, and weights
w of its nodes in the moments. With z of M z = w inside and zero at walls

    d (w.c) = dw.c + z.(db - dM c) + (w - M z).dv

which is a functional of J, whose derivative the adjoint of the flow finds, and what is left where
values of J and c at the nodes are held. With the slip law, and p = T^T n of the normal n,

    v = T:S - n.(S - S^T).p - p.(s P J - bend W P J),      S = grad J,   P = 1 - n n,

W the derivative of the normal along the wall. How n and W follow the nodes of a facet is found by
differences, facet by facet.

Of a kinetic flow c is taken in cells by itself, for densities in cells at walls its mean, and to
moments is added what the last harmonics leave at walls (:mod:`meso.observables.grazing`).
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from functools import lru_cache
from itertools import product
from typing import Any

import dolfinx
import numpy as np
import ufl
from dolfinx.fem.petsc import assemble_matrix

from meso.boundary import Wall
from meso.compiled import functional
from meso.constants import ELECTRON_CHARGE
from meso.device import Facets
from meso.discrete.cells import (
    FacetGeometry,
    at_geometry_nodes,
    cells_of,
    facet_geometry,
    lagrange,
    slopes,
)
from meso.discrete.coefficients import material_values
from meso.discrete.fields import Field, cellwise, continuous, gradient
from meso.discrete.kernels import Kernel, Shape, Space
from meso.discrete.motion import from_cells
from meso.discrete.solvers import mass_solved
from meso.discrete.variation import in_shape
from meso.equations.walls import BEND
from meso.flow.kinetic_adjoint import KineticAdjoint
from meso.flow.places import Placed
from meso.flow.result import Flow
from meso.observables.accumulation import couplings
from meso.observables.edges import WallValues, wall_values
from meso.observables.grazing import CURL, wall_sensitivity
from meso.observables.nearest import division
from meso.observables.within import near_walls, of_walls
from meso.orbital import facet_nodes, orbital_density, spin_density
from meso.sensitivities import Sensitivity

#: Motion of a node of a facet over the height of its cell, for differences.
_STEP = 1e-5
# Numbers of nodes that a batch of facets holds.
_BATCH = 1_000_000


def has_gradient(flow: Flow, channel: str = "orbital") -> bool:
    """Whether :func:`moment_gradient` and :func:`density_gradient` know these of a flow."""
    known = channel == "vorticity" or couplings(flow, channel) is not None
    return flow.adjoint is not None and known


def moment_gradient(
    flow: Flow, omega: Field, factors: np.ndarray, channel: str = "orbital"
) -> Sensitivity:
    """Of a sum of moments of walls, J s (J s/m for a 3D metal of unknown thickness).

    All ranks call this. Where kappa is a number, the coefficient of cells ``orbital_coupling``, or
    that of the spin, joins those of the flow.

    Args:
        flow: A flow with its adjoint, of which :func:`has_gradient` is true.
        omega: Its vorticity.
        factors: How much the moment of each of ``flow.device.pieces`` counts, shape (pieces,), or
            (pieces, 3) where moments are vectors; those of walls do.
        channel: "orbital" or "spin".
    """
    work = _Work(flow, omega, channel)
    work.weigh(np.asarray(factors, dtype=float))
    return work.found()


def density_gradient(
    flow: Flow, omega: Field, weights: np.ndarray, moved: np.ndarray, channel: str
) -> Sensitivity:
    """Of a sum of values of the vorticity, or of the density that gradients of the current make.

    All ranks call this; as :func:`moment_gradient`.

    Args:
        flow: A flow with its adjoint.
        omega: Its vorticity.
        weights: Of the values at the nodes of cells, (c, n, components).
        moved: What the sum has of the nodes of the mesh where these values are held, as of
            :attr:`Sensitivity.nodes`.
        channel: "orbital", "spin" or "vorticity".
    """
    work = _Work(flow, omega, channel)
    work.count(weights, moved)
    return work.found()


@lru_cache(maxsize=16)
def _projected(
    shape: Shape, current: Space, degree: int, components: int, quadrature: int
) -> tuple[Kernel, Kernel]:
    """Derivatives of Z_ik d_i J_k - z.c in the shape, and in J."""
    d = shape.dimension
    Z = ufl.Coefficient(shape.of(Space(degree, d * d)))
    z, c = (ufl.Coefficient(shape.of(Space(degree, components))) for _ in range(2))
    J, w = ufl.Coefficient(shape.of(current)), ufl.TestFunction(shape.of(current))
    dx = shape.dx(quadrature)

    def made(u: ufl.core.expr.Expr) -> ufl.core.expr.Expr:
        return sum(Z[d * i + k] * u[k].dx(i) for i in range(d) for k in range(d))

    moved = in_shape((made(J) - ufl.dot(z, c)) * dx)
    return Kernel(moved, [Z, z, J, c]), Kernel(made(w) * dx, [Z])


class _Work:
    """What is found step by step.

    Attributes:
        tensor: T of each region, (r, m, d, d).
        kappa: What T is to be multiplied with, in cells, (c,): 1 for tensors.
        made: c at the nodes of cells, SI, (c, n, m).
        load: d T / d J at the nodes of cells, (c, n, d).
        nodes: d T / d (geometry nodes of cells), scaled lengths, values at nodes held, (c, g, d).
        rates: d T / d slip rate on facets, placed: where it varies.
        couplings: d T / d kappa in cells.
        counts: How much the moment of each piece counts, (pieces, m).
        near: Which cells c is a mean in, of a kinetic flow, (c,).
    """

    def __init__(self, flow: Flow, omega: Field, channel: str) -> None:
        self.flow, self.device, self.channel = flow, flow.device, channel
        self.cells, self.length = cells_of(self.device), self.device.extent
        kappa: Any = np.full(len(self.device.regions), 1 / ELECTRON_CHARGE)
        kappa, d = couplings(flow, channel) if self.made_of else kappa, self.device.dimension
        self.number = kappa.ndim == 1
        if self.number:
            self.tensor = np.broadcast_to(CURL[d], (len(kappa), *CURL[d].shape))
            self.kappa, self.made = kappa[self.device.cell_region], omega.values * ELECTRON_CHARGE
        else:
            of = {"orbital": orbital_density, "spin": spin_density}[channel]
            self.tensor, self.made = kappa[..., :d, :d], of(flow, omega).values
            self.kappa = np.ones(self.cells.count)
        self.coupling = kappa
        self.degree, self.density = omega.degree, flow.fields["current_density"]
        self.space = lagrange(self.device, omega.degree)
        self.on_facet = lagrange(self.device, self.cells.degree).on_facet
        self.counts = np.zeros((len(self.device.pieces), self.made.shape[2]))
        self.load = np.zeros(self.density.values.shape)
        self.nodes = np.zeros(self.cells.nodes.shape)
        self.rates = np.zeros(len(self.device.facets.cell))
        self.couplings = np.zeros(self.cells.count)
        self.placed = Placed(self.device, flow.materials)
        self.weights = self.z = np.zeros_like(self.made)
        self.near = near_walls(flow)

    @property
    def made_of(self) -> bool:
        """Whether there is a kappa: not of the vorticity."""
        return self.channel != "vorticity"

    def weigh(self, factors: np.ndarray) -> None:
        """The weights of L in the moments, and what these have of the shape."""
        self.counts = factors.reshape(self.counts.shape)
        if self.flow.kinetic:
            one = np.ones(len(self.coupling)) if self.number else self.coupling
            self.made = of_walls(self.flow, one).values
            self.near[:] = False
        values = self.kappa[:, None, None] * self.made
        density = cellwise("L", "", self.device, self.degree, values)
        share = self.counts * (self.flow.thickness or 1.0)
        self.count(*division(self.flow).derivative(density, share))

    def count(self, weights: np.ndarray, moved: np.ndarray) -> None:
        """The weights w of c from those of L = kappa c, and what else the shape does."""
        self.moved = moved
        self.couplings = (weights * self.made).sum(axis=(1, 2))
        self.weights = self.kappa[:, None, None] * weights

    # -- the projection ------------------------------------------------------------------------

    def transpose(self, region: int) -> None:
        """Z of a region, and what its walls do."""
        device, space, m = self.device, self.space, self.made.shape[2]
        own = np.flatnonzero(device.cell_region == region).astype(np.int32)
        w = np.column_stack([self._sum(own, self.weights[own, :, j]) for j in range(m)])
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
        z = mass_solved(matrix, space.index_map, np.where(fixed[:, None], 0.0, w))
        self.z[own] = z[space.dofs[own]]
        y = np.zeros_like(w)
        for j in range(m):
            field = continuous("z", "", device, space.degree, z[:, j]).function()
            vector = dolfinx.fem.assemble_vector(functional(field * v * dx))
            vector.scatter_reverse(dolfinx.la.InsertMode.add)
            vector.scatter_forward()
            y[:, j] = np.where(many > 0, (w[:, j] - vector.array) / np.maximum(many, 1.0), 0.0)
        for law, values, node in walls:
            here = np.flatnonzero(values.region == region)
            self._wall(law, values, here, y[node[here]])

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
            if isinstance(law, Wall) and self.flow.viscous:
                values = wall_values(self.flow, name, at)
                facets = values.facets
                node = self.space.dofs[facets.cell[:, None], position[facets.local]]
                out.append((law, values, node))
        return out

    def project(self) -> None:
        """What z makes of T:grad J, and of its projection c, in units of J over lengths."""
        density, degree = self.density, self.space.degree
        d, enriched = self.device.dimension, density.highest > density.degree
        current = Space(density.degree, d, enriched)
        shape, m = Shape.kind(self.cells, straight=False), self.made.shape[2]
        in_nodes, in_current = _projected(shape, current, degree, m, self._quadrature)
        every = np.arange(self.cells.count)
        tensor = self.tensor.reshape(-1, m, d * d)[self.device.cell_region]
        given = self.z @ tensor, self.z, density.values, self.made * self.length
        unit = self.length ** (d - 1)
        self.nodes += unit * in_nodes(self.cells, every, given).reshape(self.nodes.shape)
        self.load += unit * in_current(self.cells, every, given[:1]).reshape(self.load.shape)

    # -- walls ---------------------------------------------------------------------------------

    def _wall(self, law: Wall, values: WallValues, here: np.ndarray, y: np.ndarray) -> None:
        """What y (f, q, m) times c at the nodes of some facets of a wall is made of."""
        flow, facets = self.flow, values.facets.of(here)
        if not len(here):
            return
        tensor = np.tensordot(y, self.tensor[values.region[here[0]]], 1)
        at, _ = facet_nodes(self.space)
        geometry = facet_geometry(self.cells, facets.cell, facets.local, at)
        rates: np.ndarray = np.full(1, np.inf)
        if flow.slips:
            place = geometry.position
            rates = material_values(self.device, flow.materials, law.slip_rate, facets.cell, place)
        if not np.isfinite(rates).all():
            self._by_derivatives(geometry, tensor)
            return
        n, bend = geometry.normal[..., None], BEND[law.law] / self.length
        p = tensor.swapaxes(2, 3) @ n
        self._by_derivatives(geometry, tensor - n @ p.swapaxes(2, 3) + p @ n.swapaxes(2, 3))
        along, rate = geometry.tangential @ p, np.broadcast_to(rates.T, y.shape[1::-1]).T
        pull = bend * (geometry.curvature @ along) - rate[..., None, None] * along
        table = geometry.table(lambda points, _: self.density.table(points))
        np.add.at(self.load, facets.cell, table.swapaxes(1, 2) @ pull[..., 0])
        current = values.current[here]
        lost = -(along[..., 0] * current).sum(axis=2)
        for local, points in enumerate(geometry.points):
            of = np.flatnonzero(facets.local == local)
            some = self.placed.constant(
                {"slip_rate": lost[of]},
                lambda material: {"slip_rate": law.slip_rate(material)},
                cells=facets.cell[of],
                points=points,
                boundary=self.device.boundaries[facets.boundary[0]],
            )
            self.rates[self._numbers(facets.of(of))] += some["slip_rate"]
        slope = self._on_facets(geometry)
        curl = slope - slope.swapaxes(2, 3)

        def value(geometry: FacetGeometry, of: np.ndarray) -> np.ndarray:
            """Sums over points of some facets where the normal and the curvature are others."""
            n = geometry.normal[..., None]
            p = tensor[of].swapaxes(2, 3) @ n
            J = geometry.tangential @ current[of, :, :, None]
            lost = n.swapaxes(2, 3) @ curl[of] + rate[of, :, None, None] * J.swapaxes(2, 3)
            lost -= bend * (geometry.curvature @ J).swapaxes(2, 3)
            return np.asarray(-(lost @ p)[..., 0, 0].sum(axis=1))

        self._turn(facets, at, geometry.height, value)

    def _turn(
        self,
        facets: Facets,
        at: np.ndarray,
        height: np.ndarray,
        value: Callable[[FacetGeometry, np.ndarray], np.ndarray],
    ) -> None:
        """Derivatives of what facets have of their normals and curvature, (f,), in their nodes."""
        moved, (_, g, d) = copy(self.cells), self.cells.nodes.shape
        on_facet = self.on_facet[facets.local]
        # All motions at once: by node of the facet, axis and sign.
        steps = list(product(range(on_facet.shape[1]), range(d), (1, -1)))
        size = max(1, _BATCH // (len(steps) * g * d))
        for start in range(0, len(facets.cell), size):
            each = np.arange(start, min(start + size, len(facets.cell)))
            moved.nodes = np.tile(self.cells.nodes[facets.cell[each]], (len(steps), 1, 1, 1))
            for k, (node, axis, sign) in enumerate(steps):
                place = (k, each - start, on_facet[each, node], axis)
                moved.nodes[place] += sign * _STEP * height[each]
            moved.nodes = moved.nodes.reshape(-1, g, d)
            of = np.tile(each, len(steps))
            geometry = facet_geometry(moved, np.arange(len(of)), facets.local[of], at)
            ends = value(geometry, of).reshape(-1, d, 2, len(each))
            slope = (ends[:, :, 0] - ends[:, :, 1]) / (2 * _STEP * height[each])
            nodes = (facets.cell[each, None], on_facet[each])
            np.add.at(self.nodes, nodes, slope.transpose(2, 0, 1))

    def _numbers(self, facets: Facets) -> np.ndarray:
        """Numbers of facets in the device."""
        own, d = self.device.facets, self.device.dimension + 1
        key = own.cell * d + own.local
        order = np.argsort(key)
        return order[np.searchsorted(key, facets.cell * d + facets.local, sorter=order)]

    def _on_facets(self, geometry: FacetGeometry) -> np.ndarray:
        """d_i J_k at points of facets, (f, q, i, k)."""
        d = self.device.dimension
        out = np.empty((*geometry.weight.shape, d, d))
        for local, points in enumerate(geometry.points):
            here = geometry.local == local
            out[here] = gradient(self.density, points, geometry.cell[here])
        return out

    def _by_derivatives(self, geometry: FacetGeometry, tensor: np.ndarray) -> None:
        """What a tensor at points of facets (f, q, i, k) times d_i J_k is made of."""
        for local, points in enumerate(geometry.points):
            here = geometry.local == local
            self._at_points(geometry.cell[here], points, tensor[here])

    def _at_points(self, cell: np.ndarray, points: np.ndarray, tensor: np.ndarray) -> None:
        """The same at points of cells, (c, q, i, k)."""
        tables = slopes(self.density.data.function_space, points).transpose(1, 2, 0)
        basis = self.cells.gradients(cell, points, tables)[0]  # (c, q, d, n)
        shape, d = (len(cell), len(points) * self.device.dimension), self.device.dimension
        pull = basis.reshape(*shape, basis.shape[3]).swapaxes(1, 2) @ tensor.reshape(*shape, d)
        pull = pull / self.length
        np.add.at(self.load, cell, pull)
        # A motion v changes d_i J_k by -d_i v_l d_l J_k.
        passed = gradient(self.density, points, cell) @ tensor.swapaxes(2, 3)
        np.add.at(self.nodes, cell, from_cells(self.cells, cell, points, -passed))

    # -- kinetic flow --------------------------------------------------------------------------

    def cell_by_cell(self) -> None:
        """C of the solution at the nodes of cells, or its mean in cells at walls."""
        near, w = self.near, self.weights
        size = self.cells.measures(np.arange(self.cells.count)) * self.length**self.device.dimension
        self.z[near] = (w.sum(axis=1) / size[:, None])[near, None]
        for batch, _ in self.cells.batches(20 * self.density.values[:1].size):
            far = batch[~near[batch]]
            tensor = self.tensor[self.device.cell_region[far]]
            c, m, d, _ = tensor.shape
            tensor = (w[far] @ tensor.reshape(c, m, d * d)).reshape(c, w.shape[1], d, d)
            self._at_points(far, self.space.points, tensor)

    # -- result --------------------------------------------------------------------------------

    def found(self) -> Sensitivity:
        """With what the flow does."""
        adjoint = self.flow.adjoint
        assert adjoint is not None
        if self.flow.kinetic:
            self.cell_by_cell()
        else:
            for region in range(len(self.device.regions)):
                self.transpose(region)
        self.project()
        every = np.arange(self.cells.count)
        nodes = at_geometry_nodes(self.device, every, self.nodes) / self.length
        coupling, kinetic = f"{self.channel}_coupling", self.flow.kinetic
        own = Sensitivity(
            cells={coupling: self.couplings} if self.number and self.made_of else {},
            facets={"slip_rate": self.rates} if self.flow.slips and not kinetic else {},
            nodes=self.moved + nodes,
        )
        own = own + self.placed.sensitivity()
        if not (kinetic and self.counts.any()):
            return adjoint.functional(current=self.load) + own
        assert isinstance(adjoint, KineticAdjoint)
        moments, missing = wall_sensitivity(self.flow, self.coupling, self.counts, coupling)
        return adjoint.functional(current=self.load, moments=moments) + own + missing
