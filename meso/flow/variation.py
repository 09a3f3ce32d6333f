"""Derivatives of the kinetic equations in what they are made of.

With the operator K of :mod:`meso.flow.discretisation`, which acts on odd moments u, potential phi
and levels h of walls,

    l.K r =  sum over cells of  stress (X_i^T d_i u_l).C_e^-1 (X_j^T d_j u_r)
               + (1/sigma) u_l.C_o u_r + (h^2/sigma) div J_l div J_r
               - phi_l div J_r - phi_r div J_l
           + sum over facets of  (lambda/sigma) u_l.M u_r + factor J_l,n J_r,n
               + h_l J_r,n + h_r J_l,n

is differentiated while l and r keep their values at the nodes of the mesh, which move. Angular
matrices are constants. Derivatives in coefficients are integrals over each cell and facet; those in
the nodes follow from d_i u -> d_i u - (d_i v_k) d_k u, dx -> (1 + div v) dx, and from how facets
stretch and turn. Even harmonics, C_e^-1 X_j^T d_j u, are cheaper here than matrices of all moments,
and each rate meets its own harmonic.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from meso.device import Device
from meso.discrete.cells import (
    FacetGeometry,
    at_geometry_nodes,
    facet_vertices,
    inverse,
    moved_facets,
    slopes,
)
from meso.flow.angular import about_normal
from meso.flow.basis import Circle, Pairs, Turned
from meso.flow.discretisation import Discretisation, HalfRange, Law, augmentation, trace
from meso.flow.hydrodynamic import CORNER_PENALTY
from meso.sensitivities import Sensitivity

if TYPE_CHECKING:
    from meso.flow.kinetic import Kinetic

# Numbers that one array of a batch of cells may hold.
_BATCH = 1_000_000


@dataclass(frozen=True, slots=True)
class State:
    """A solution on this rank, in scaled variables.

    Attributes:
        moments: Odd moments at the nodes, shape (nodes, N).
        potential: At the nodes of each cell, shape (c, q).
        levels: Of walls, at the nodes of each boundary facet, shape (f, q).
    """

    moments: np.ndarray
    potential: np.ndarray
    levels: np.ndarray

    def __add__(self, other: State) -> State:
        return State(
            self.moments + other.moments,
            self.potential + other.potential,
            self.levels + other.levels,
        )

    def __rmul__(self, factor: float) -> State:
        return State(factor * self.moments, factor * self.potential, factor * self.levels)


@dataclass(slots=True)
class _Sums:
    """Derivatives, as they are found, in scaled variables."""

    device: Device
    cells: dict[str, np.ndarray] = field(default_factory=dict)
    facets: dict[str, np.ndarray] = field(default_factory=dict)
    #: Cells, and derivatives in their geometry nodes.
    nodes: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list)

    def in_cells(self, name: str, cells: np.ndarray, values: np.ndarray) -> None:
        """Add derivatives in a coefficient of cells, each of which may occur more than once."""
        here = self.cells.setdefault(name, np.zeros(len(self.device.cell_region)))
        np.add.at(here, cells, values)

    def on_facets(self, name: str, facets: np.ndarray, values: np.ndarray) -> None:
        """Add derivatives in a coefficient of boundary facets."""
        self.facets.setdefault(name, np.zeros(len(self.device.facets.cell)))[facets] += values

    def at_nodes(self, cells: np.ndarray, values: np.ndarray) -> None:
        """Add derivatives in the geometry nodes of cells, shape (c, g, d)."""
        self.nodes.append((cells, values))

    def sensitivity(self, units: dict[str, float], length: float, *, known: bool) -> Sensitivity:
        """The result in SI, from the scaled units of coefficients; whether the shape is known."""

        def scaled(values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
            return {name: each / units.get(name, 1.0) for name, each in values.items()}

        nodes = None
        if known:
            cells, values = (np.concatenate(part) for part in zip(*self.nodes, strict=True))
            nodes = at_geometry_nodes(self.device, cells, values) / length
        return Sensitivity(cells=scaled(self.cells), facets=scaled(self.facets), nodes=nodes)


@dataclass(frozen=True, slots=True)
class _Values:
    """A solution at quadrature points: (..., N), derivatives (..., i, N), potential (...)."""

    moments: np.ndarray
    slope: np.ndarray
    potential: np.ndarray

    @property
    def divergence(self) -> np.ndarray:
        """Divergence of J."""
        return self.slope[..., 0, 0] + self.slope[..., 1, 1]


class Variation:
    """Derivatives of l.K r and of currents through ports, for solutions l and r of a problem.

    Args:
        model: The model.
    """

    def __init__(self, model: Kinetic) -> None:
        self.problem = problem = model.problem()
        self.device = model.device
        self.discrete = discrete = Discretisation(problem)
        self.cells, self.vector = discrete.cells, discrete.vector
        self.penalty = CORNER_PENALTY * model.order**2
        assert isinstance(model.basis, Circle)
        self.odd, self.even = model.basis.odd, model.basis.even
        #: X_i, shape (2, N, N).
        self.streaming = self.odd.streaming(self.even)
        #: C_e^-1 and C_o of each material.
        self.materials = []
        for material in model.kinds:
            turning = model.turning(material)
            even, odd = (pairs.collisions(material, turning) for pairs in (self.even, self.odd))
            self.materials.append((np.linalg.inv(even), odd))
        self.second = [float(material.rate(2)) for material in model.kinds]
        #: lambda^2/l^2 over it.
        self.closure = 5.0 if model.basis.unit > 1.5 else 4.0
        scales = problem.coefficients.scales
        unit = scales.length**2 / scales.conductivity
        #: SI over scaled.
        self.units = {
            "resistivity": 1 / scales.conductivity,
            "stress": unit,
            "weight": unit / scales.length,
        }

    def form(self, left: State, right: State) -> Sensitivity:
        """Derivatives of l.K r with l and r held at the nodes."""
        out, none = _Sums(self.device), np.empty(0, np.int64)
        rates = [f"rate{m}" for m in range(2, self.even.degrees[-1] + 1)]
        for coefficient in ("resistivity", "stress", "turning", *rates):
            out.in_cells(coefficient, none, none)  # also of a rank without cells
        phase = self.problem.phases[self.device.cell_region]
        for kind in range(len(self.materials)):
            here = np.flatnonzero(phase == kind)
            step = max(1, _BATCH // (4 * self.problem.moments.count * self.problem.order**2))
            for start in range(0, len(here), step):
                self._conductor(out, kind, here[start : start + step], left, right)
        for name, law in self.problem.laws.items():
            if law.half_range is not None:
                self._half_range(out, name, law.half_range, left, right)
            if law.impenetrable:
                self._wall(out, name, law, left, right)
        return self._in_si(out)

    def current(self, port: str, state: State) -> Sensitivity:
        """Derivatives of the current that enters through a port, J held at the nodes."""
        out = _Sums(self.device)
        facets, geometry = self._facets(port)
        u = self._on_facets(geometry, state)
        normal, tangential = _components(geometry.normal, u[..., :2])
        self._moved(out, geometry, -normal, -tangential)
        return self._in_si(out)

    def _in_si(self, out: _Sums) -> Sensitivity:
        # A profile in space does not move with the mesh.
        known = not any(m.varies for m in self.problem.coefficients.materials.values())
        length = self.problem.coefficients.scales.length
        return out.sensitivity(self.units, length, known=known)

    # -- conductor -----------------------------------------------------------------------------

    def _values(self, state: State, cells: np.ndarray, inverses: np.ndarray) -> _Values:
        """At the points of the quadrature in cells."""
        points = self.cells.quadrature(2 * self.problem.order)[0]
        nodal = state.moments[self.vector.dofs[cells]]
        tables = slopes(self.vector.space, points)
        reference = np.stack([table @ nodal for table in tables], axis=2)
        return _Values(
            moments=self.vector.values(points) @ nodal,
            slope=inverses.swapaxes(-1, -2) @ reference,
            potential=state.potential[cells] @ self.discrete.scalar.values(points).T,
        )

    def _conductor(
        self, out: _Sums, kind: int, cells: np.ndarray, left: State, right: State
    ) -> None:
        coefficients, geometry = self.problem.coefficients, self.cells
        points, weights = geometry.quadrature(2 * self.problem.order)
        inverses, determinants = inverse(geometry.jacobians(cells, points))
        weight, at = determinants * weights, geometry.positions(cells, points)
        stress = _each(coefficients.stress(cells, at))
        resistivity = _each(coefficients.relaxation(cells, at))
        growth = augmentation(np.ones(1), 2)
        bulk = augmentation(geometry.measures(cells), 2)[:, None]
        one, two = (self._values(state, cells, inverses) for state in (left, right))
        diffusion, in_one, in_two = self._stress(out, kind, cells, weight * stress, one, two)
        turning = self.materials[kind][1]
        relaxation = (one.moments @ turning * two.moments).sum(axis=-1)
        self._rates(out, cells, weight * resistivity, one.moments, two.moments, self.odd)
        squeezed = one.divergence * two.divergence
        in_cell = weight * (relaxation + bulk * squeezed)
        out.in_cells("stress", cells, (weight * diffusion).sum(axis=1))
        out.in_cells("resistivity", cells, in_cell.sum(axis=1))
        density = stress * diffusion + resistivity * (relaxation + bulk * squeezed)
        density -= one.potential * two.divergence + two.potential * one.divergence
        # The augmentation grows with the area of the cell.
        density += growth * (weight * resistivity * squeezed).sum(axis=1)[:, None]
        # Derivatives of the density in d_i u.
        in_one, in_two = stress[..., None, None] * in_one, stress[..., None, None] * in_two
        for i in range(2):
            in_one[..., i, i] += resistivity * bulk * two.divergence - two.potential
            in_two[..., i, i] += resistivity * bulk * one.divergence - one.potential
        tensor = -in_one @ one.slope.swapaxes(-1, -2) - in_two @ two.slope.swapaxes(-1, -2)
        for i in range(2):
            tensor[..., i, i] += density
        table = np.moveaxis(geometry.element.tabulate(1, points)[1:, :, :, 0], 0, 1)
        table = table.reshape(2 * len(points), -1)
        force = inverses @ tensor * weight[..., None, None]
        out.at_nodes(cells, table.T @ force.reshape(len(cells), len(table), 2))

    def _stress(
        self,
        out: _Sums,
        kind: int,
        cells: np.ndarray,
        weight: np.ndarray,
        one: _Values,
        two: _Values,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Integrand over lambda^2/sigma, and its derivatives in d_i u of both solutions."""
        inverse_, X = self.materials[kind][0], self.streaming
        q, p = (v.slope[..., 0, :] @ X[0] + v.slope[..., 1, :] @ X[1] for v in (one, two))
        # Even harmonics; those of the first are of the opposite field.
        even, other = q @ inverse_, p @ inverse_.T
        self._rates(out, cells, -weight, even, other, self.even)
        in_one, in_two = (np.stack([e @ x.T for x in X], axis=-2) for e in (other, even))
        return (q * other).sum(axis=-1), in_one, in_two

    def _rates(
        self,
        out: _Sums,
        cells: np.ndarray,
        weight: np.ndarray,
        left: np.ndarray,
        right: np.ndarray,
        pairs: Pairs,
    ) -> None:
        """What collisions of some harmonics depend on: their rates, and the field."""
        weight = weight[..., None]
        rate = (weight * left * right).sum(axis=1).reshape(len(cells), -1, 2).sum(axis=2)
        turned = left[..., ::2] * right[..., 1::2] - left[..., 1::2] * right[..., ::2]
        out.in_cells("turning", cells, (weight * turned).sum(axis=1) @ np.array(pairs.orders))
        for m, values in zip(pairs.degrees, rate.T, strict=True):
            if m > 1:
                out.in_cells(f"rate{m}", cells, values)

    # -- boundary ------------------------------------------------------------------------------

    def _facets(self, name: str) -> tuple[np.ndarray, FacetGeometry]:
        """Places of a boundary's facets among all of this rank, and their geometry."""
        every = self.device.facets
        here = np.flatnonzero(every.boundary == self.device.boundaries.index(name))
        return here, self.discrete.geometry(every.of(here))

    def _on_facets(self, geometry: FacetGeometry, state: State) -> np.ndarray:
        """Moments at the points of facets, shape (f, q, N)."""
        nodes = self.vector.dofs[geometry.cell[:, None], self.vector.on_facet[geometry.local]]
        return trace(geometry, self.vector) @ state.moments[nodes]

    def _half_range(self, out: _Sums, name: str, law: HalfRange, left: State, right: State) -> None:
        facets, geometry = self._facets(name)
        factor = law.weight(geometry)
        angle = np.arctan2(geometry.normal[..., 1], geometry.normal[..., 0])
        (one, turn), (two, other) = (
            about_normal(self._on_facets(geometry, state), angle, np.array(self.odd.orders))
            for state in (left, right)
        )
        assert isinstance(law.matrix, Turned)
        matrix = law.matrix.matrix
        density = (one @ matrix * two).sum(axis=-1)
        slope = (turn @ matrix * two + one @ matrix * other).sum(axis=-1)
        out.on_facets("weight", facets, (geometry.weight * density).sum(axis=1))
        if isinstance(law.slope, Turned):
            change = factor * (one @ law.slope.matrix * two).sum(axis=-1)
            out.on_facets("ratio", facets, (geometry.weight * change).sum(axis=1))
        self._moved(out, geometry, factor * density, factor * slope)

    def _wall(self, out: _Sums, name: str, law: Law, left: State, right: State) -> None:
        """J.n = 0: the levels, and the penalty."""
        facets, geometry = self._facets(name)
        table = trace(geometry, self.discrete.scalar)
        levels = [(table @ s.levels[facets][..., None])[..., 0] for s in (left, right)]
        (n_l, t_l), (n_r, t_r) = (
            _components(geometry.normal, self._on_facets(geometry, s)[..., :2])
            for s in (left, right)
        )
        self._moved(
            out,
            geometry,
            levels[0] * n_r + levels[1] * n_l,
            levels[0] * t_r + levels[1] * t_l,
        )
        if law.penalty is not None:
            self._penalty(out, geometry, law, n_l * n_r, n_l * t_r + t_l * n_r)

    def _penalty(
        self, out: _Sums, geometry: FacetGeometry, law: Law, square: np.ndarray, turned: np.ndarray
    ) -> None:
        cell, height = geometry.cell, geometry.height[:, None]
        coefficients = self.problem.coefficients
        second = np.array(self.second)[self.problem.phases[self.device.cell_region[cell]]]
        viscosity = _each(coefficients.stress(cell, geometry.position)) / (
            self.closure * second[:, None]
        )
        resistivity = _each(coefficients.relaxation(cell, geometry.position))
        factor = self.penalty * (viscosity / height + resistivity * height)
        self._moved(out, geometry, factor * square, factor * turned)
        each = self.penalty * geometry.weight * square
        out.in_cells("stress", cell, (each / height).sum(axis=1) / (self.closure * second))
        out.in_cells("rate2", cell, -(each * viscosity / height).sum(axis=1) / second)
        out.in_cells("resistivity", cell, (each * height).sum(axis=1))
        self._raised(out, geometry, (each * (resistivity - viscosity / height**2)).sum(axis=1))

    def _moved(
        self, out: _Sums, geometry: FacetGeometry, density: np.ndarray, turned: np.ndarray
    ) -> None:
        """Add what an integral over facets owes to their motion (:func:`moved_facets`)."""
        out.at_nodes(geometry.cell, moved_facets(self.cells, geometry, density, turned))

    def _raised(self, out: _Sums, geometry: FacetGeometry, values: np.ndarray) -> None:
        """Add what follows from the heights of cells over facets, from derivatives in them."""
        corner, each = self.cells.corners[geometry.cell], np.arange(len(values))
        ends = facet_vertices(2)[geometry.local]
        a, b = corner[each, ends[:, 0]], corner[each, ends[:, 1]]
        length = np.linalg.norm(b - a, axis=1)[:, None]
        across = np.roll(corner, -2, axis=1) - np.roll(corner, -1, axis=1)
        slope = np.zeros((len(values), self.cells.nodes.shape[1], 2))
        slope[:, :3] = np.stack([-across[..., 1], across[..., 0]], axis=-1) / length[:, None]
        pull = geometry.height[:, None] * (b - a) / length**2
        slope[each, ends[:, 0]] += pull
        slope[each, ends[:, 1]] -= pull
        out.at_nodes(geometry.cell, slope * values[:, None, None])


def _each(values: np.ndarray) -> np.ndarray:
    """Values of cells, or at points of them, as an array of cells and points."""
    return values[:, None] if values.ndim == 1 else values


def _components(normal: np.ndarray, vector: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Along the normal and along t = z x n, which is its derivative in the angle of the normal."""
    return (
        (normal * vector).sum(axis=-1),
        normal[..., 0] * vector[..., 1] - normal[..., 1] * vector[..., 0],
    )
