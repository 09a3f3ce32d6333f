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
stretch and turn: with a rotation w of the normal M becomes M + w_k (M L_k - L_k M), where L_k is
<odd (v x grad_v)_k odd>. Even harmonics, C_e^-1 X_j^T d_j u, are cheaper here than matrices of all
moments, and each rate meets its own harmonic.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from meso.device import Device
from meso.discrete.cells import (
    FacetGeometry,
    at_geometry_nodes,
    inverse,
    moved_facets,
    slopes,
)
from meso.discrete.variation import heights
from meso.flow.basis import Circle, WallMatrix
from meso.flow.discretisation import Discretisation, HalfRange, Law, augmentation, trace
from meso.flow.hydrodynamic import CORNER_PENALTY, WALL_PENALTY
from meso.flow.places import Placed
from meso.flow.sphere import Sphere
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


def conductor(material: Any) -> dict[str, Any]:
    """Coefficients of a material, or of one at positions, SI."""
    resistivity = 1 / material.conductivity
    return {"resistivity": resistivity, "stress": material.mean_free_path**2 * resistivity}


def half_range(material: Any) -> dict[str, Any]:
    """Coefficients of its boundaries, SI."""
    return {"weight": material.mean_free_path / material.conductivity}


@dataclass(slots=True)
class _Sums:
    """Derivatives, as they are found: in coefficients in SI, in nodes in scaled lengths.

    ``units`` are those of scaled coefficients, SI.
    """

    device: Device
    placed: Placed
    units: Mapping[str, float]
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

    def at_points(
        self, found: Mapping[str, np.ndarray], cells: np.ndarray, points: np.ndarray
    ) -> None:
        """Add derivatives in scaled coefficients of the conductor at points of cells, (c, q)."""
        own = {name: values / self.units[name] for name, values in found.items()}
        for name, rest in self.placed.constant(own, conductor, cells=cells, points=points).items():
            self.in_cells(name, cells, rest)

    def at_facet_points(
        self,
        name: str,
        values: np.ndarray,
        geometry: FacetGeometry,
        boundary: str,
        facets: np.ndarray,
    ) -> None:
        """The same of a coefficient of a boundary at points of its facets, (f, q)."""
        for local, points in enumerate(geometry.points):
            here = np.flatnonzero(geometry.local == local)
            cells, found = geometry.cell[here], {name: values[here] / self.units[name]}
            place: dict[str, Any] = {"cells": cells, "points": points, "boundary": boundary}
            self.on_facets(
                name, facets[here], self.placed.constant(found, half_range, **place)[name]
            )

    def at_nodes(self, cells: np.ndarray, values: np.ndarray) -> None:
        """Add derivatives in the geometry nodes of cells, shape (c, g, d)."""
        self.nodes.append((cells, values))

    def sensitivity(self) -> Sensitivity:
        """The result; all ranks call this."""
        cells, values = (np.concatenate(part) for part in zip(*self.nodes, strict=True))
        nodes = at_geometry_nodes(self.device, cells, values) / self.device.extent
        own = Sensitivity(cells=self.cells, facets=self.facets, nodes=nodes)
        return own + self.placed.sensitivity()


@dataclass(frozen=True, slots=True)
class _Values:
    """A solution at quadrature points: (..., N), derivatives (..., i, N), potential (...)."""

    moments: np.ndarray
    slope: np.ndarray
    potential: np.ndarray

    @property
    def divergence(self) -> np.ndarray:
        """Divergence of J."""
        d = self.slope.shape[-2]
        return np.asarray(self.slope[..., :d].trace(axis1=-2, axis2=-1))


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
        self.dimension = d = model.device.dimension
        self.penalty = (WALL_PENALTY if d == 3 else CORNER_PENALTY) * model.order**2
        assert isinstance(model.basis, Circle | Sphere)
        self.basis = basis = model.basis
        #: X_i, shape (d, N, N').
        self.streaming = basis.odd.streaming(basis.even)  # type: ignore[arg-type]
        #: Degrees, and what a field does, of odd and even functions.
        odd, even = basis.cyclotron
        self.parts = (basis.odd.of_degree, odd), (basis.even.of_degree, even)
        #: C_e^-1 and C_o of each material.
        self.materials = []
        for material in model.kinds:
            turning = model.turning(material)
            even, odd = (
                np.diag([float(material.rate(int(n))) for n in degrees]) + turning * turn
                for degrees, turn in self.parts[::-1]
            )
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
        out, none = self._sums(), np.empty(0, np.int64)
        rates = [f"rate{m}" for m in range(2, self.basis.harmonics + 1)]
        for coefficient in ("resistivity", "stress", "turning", *rates):
            out.in_cells(coefficient, none, none)  # also of a rank without cells
        phase = self.problem.phases[self.device.cell_region]
        for kind in range(len(self.materials)):
            here = np.flatnonzero(phase == kind)
            numbers = 4 * self.problem.moments.count * self.problem.order**self.dimension
            step = max(1, _BATCH // numbers)
            for start in range(0, len(here), step):
                self._conductor(out, kind, here[start : start + step], left, right)
        for name, law in self.problem.laws.items():
            if law.half_range is not None:
                self._half_range(out, name, law.half_range, left, right)
            if law.impenetrable:
                self._wall(out, name, law, left, right)
        return out.sensitivity()

    def current(self, port: str, state: State) -> Sensitivity:
        """Derivatives of the current that enters through a port, J held at the nodes."""
        out = self._sums()
        facets, geometry = self._facets(port)
        u = self._on_facets(geometry, state)
        J = u[..., : self.dimension]
        self._moved(out, geometry, -_along(geometry.normal, J), -J)
        return out.sensitivity()

    def _sums(self) -> _Sums:
        placed = Placed(self.device, self.problem.coefficients.materials)
        return _Sums(self.device, placed, self.units)

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
        d, measure = self.dimension, geometry.measures(cells)[:, None]
        bulk = augmentation(measure, d)
        one, two = (self._values(state, cells, inverses) for state in (left, right))
        diffusion, in_one, in_two = self._stress(out, kind, cells, weight * stress, one, two)
        turning = self.materials[kind][1]
        relaxation = (one.moments @ turning * two.moments).sum(axis=-1)
        self._rates(out, cells, weight * resistivity, one.moments, two.moments, self.parts[0])
        squeezed = one.divergence * two.divergence
        in_cell = weight * (relaxation + bulk * squeezed)
        found = {"stress": weight * diffusion, "resistivity": in_cell}
        out.at_points(found, cells, points)
        density = stress * diffusion + resistivity * (relaxation + bulk * squeezed)
        density -= one.potential * two.divergence + two.potential * one.divergence
        # The augmentation grows with the measure of the cell.
        growth = 2 / d * bulk / measure
        density += growth * (weight * resistivity * squeezed).sum(axis=1)[:, None]
        # Derivatives of the density in d_i u.
        in_one, in_two = stress[..., None, None] * in_one, stress[..., None, None] * in_two
        for i in range(d):
            in_one[..., i, i] += resistivity * bulk * two.divergence - two.potential
            in_two[..., i, i] += resistivity * bulk * one.divergence - one.potential
        tensor = -in_one @ one.slope.swapaxes(-1, -2) - in_two @ two.slope.swapaxes(-1, -2)
        for i in range(d):
            tensor[..., i, i] += density
        table = np.moveaxis(geometry.element.tabulate(1, points)[1:, :, :, 0], 0, 1)
        table = table.reshape(d * len(points), -1)
        force = inverses @ tensor * weight[..., None, None]
        out.at_nodes(cells, table.T @ force.reshape(len(cells), len(table), d))

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
        q, p = (sum(v.slope[..., i, :] @ x for i, x in enumerate(X)) for v in (one, two))
        # Even harmonics; those of the first are of the opposite field.
        even, other = q @ inverse_, p @ inverse_.T
        self._rates(out, cells, -weight, even, other, self.parts[1])
        in_one, in_two = (np.stack([e @ x.T for x in X], axis=-2) for e in (other, even))
        return (q * other).sum(axis=-1), in_one, in_two

    def _rates(
        self,
        out: _Sums,
        cells: np.ndarray,
        weight: np.ndarray,
        left: np.ndarray,
        right: np.ndarray,
        part: tuple[np.ndarray, np.ndarray],
    ) -> None:
        """What collisions of some harmonics depend on: their rates, and the field."""
        degrees, turn = part
        weighted = weight[..., None] * left
        rate = (weighted * right).sum(axis=1)
        out.in_cells("turning", cells, (weighted @ turn * right).sum(axis=(1, 2)))
        for m in np.unique(degrees[degrees > 1]):
            out.in_cells(f"rate{m}", cells, rate[:, degrees == m].sum(axis=1))

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
        one, two = (self._on_facets(geometry, state) for state in (left, right))
        (pull, push) = (_at(law.matrix, geometry, u) for u in (one, two))
        density = (one * push).sum(axis=-1)
        torque = np.stack(
            [((one @ L.T) * push + pull * (two @ L.T)).sum(axis=-1) for L in self.basis.turns],
            axis=-1,
        )
        out.at_facet_points("weight", geometry.weight * density, geometry, name, facets)
        if law.slope is not None:
            change = factor * (one * _at(law.slope, geometry, two)).sum(axis=-1)
            out.on_facets("ratio", facets, (geometry.weight * change).sum(axis=1))
        turned = across(torque, geometry.normal)
        self._moved(out, geometry, factor * density, factor[..., None] * turned)

    def _wall(self, out: _Sums, name: str, law: Law, left: State, right: State) -> None:
        """J.n = 0: the levels, and the penalty."""
        facets, geometry = self._facets(name)
        table = trace(geometry, self.discrete.scalar)
        levels = [(table @ s.levels[facets][..., None])[..., 0] for s in (left, right)]
        J, K = (self._on_facets(geometry, s)[..., : self.dimension] for s in (left, right))
        one, two = (_along(geometry.normal, current) for current in (J, K))
        turned = levels[0][..., None] * K + levels[1][..., None] * J
        self._moved(out, geometry, levels[0] * two + levels[1] * one, turned)
        if law.penalty is not None:
            self._penalty(out, geometry, one * two, one[..., None] * K + two[..., None] * J)

    def _penalty(
        self, out: _Sums, geometry: FacetGeometry, square: np.ndarray, turned: np.ndarray
    ) -> None:
        cell, height = geometry.cell, geometry.height[:, None]
        forms, coefficients = self.discrete.forms, self.problem.coefficients
        # Polynomials between the nodes at which the solver has them.
        nodes = self.cells.positions(cell, forms.points)
        table = geometry.table(lambda points, _: forms.coefficients(points))
        second = np.array(self.second)[self.problem.phases[self.device.cell_region[cell]]]
        softer = self.closure * second[:, None]
        stress, resistivity = (
            (table @ np.broadcast_to(_each(of(cell, nodes)), nodes.shape[:2])[..., None])[..., 0]
            for of in (coefficients.stress, coefficients.relaxation)
        )
        viscosity = stress / softer
        factor = self.penalty * (viscosity / height + resistivity * height)
        self._moved(out, geometry, factor * square, factor[..., None] * turned)
        each = self.penalty * geometry.weight * square
        nodal = (each[:, None] @ table)[:, 0]
        found = {"stress": nodal / height / softer, "resistivity": nodal * height}
        out.at_points(found, cell, forms.points)
        out.in_cells("rate2", cell, -(each * viscosity / height).sum(axis=1) / second)
        self._raised(out, geometry, (each * (resistivity - viscosity / height**2)).sum(axis=1))

    def _moved(
        self, out: _Sums, geometry: FacetGeometry, density: np.ndarray, turned: np.ndarray
    ) -> None:
        """Add what an integral over facets owes to their motion (:func:`moved_facets`)."""
        out.at_nodes(geometry.cell, moved_facets(self.cells, geometry, density, turned))

    def _raised(self, out: _Sums, geometry: FacetGeometry, values: np.ndarray) -> None:
        """Add what follows from the heights of cells over facets, from derivatives in them."""
        slope = np.zeros((len(values), *self.cells.nodes.shape[1:]))
        slope[:, : self.dimension + 1] = heights(self.cells, geometry.cell, geometry.local)
        out.at_nodes(geometry.cell, slope * values[:, None, None])


def _each(values: np.ndarray) -> np.ndarray:
    """Values of cells, or at points of them, as an array of cells and points."""
    return values[:, None] if values.ndim == 1 else values


def _along(normal: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """Components along normals."""
    return np.asarray((normal * vector).sum(axis=-1))


def _at(matrix: WallMatrix, geometry: FacetGeometry, moments: np.ndarray) -> np.ndarray:
    """A matrix of the wall times moments at points of facets, (f, q, N)."""
    normals = geometry.normal.reshape(-1, geometry.normal.shape[-1])
    found = matrix.on(normals)(moments.reshape(len(normals), moments.shape[-1]))
    return np.asarray(found).reshape(moments.shape)


def across(torque: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """Derivatives in the normal, along the wall, from those in a rotation (about z in 2D)."""
    if normal.shape[-1] == 3:
        return np.cross(torque, normal)
    return torque * np.stack([-normal[..., 1], normal[..., 0]], axis=-1)
