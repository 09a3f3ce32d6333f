"""Wires along their axis: current along z through a section that does not depend on z.

The field E is along z, distributions are odd in v_z: no carriers gather anywhere, there is no
potential, and diffuse walls emit nothing. The kinetic equation v.grad h + C h/lambda = v_z E has
two variational principles (docs/bounds.md). With odd harmonics, u = sqrt(3) (sigma/lambda) h, even
ones eliminated,

    I/E = max over u of  2 int u_0 - a(u, u),   u_0 = J_z/E,

    a(u, u) = int (lambda^2/sigma) d_i u S_ij d_j u + (1/sigma) u C u
              + walls (lambda/sigma) r <|v_n| u u>

with r = (1 - p)/(1 + p), or 1/r for what is even under the half turn about the normal; with even
harmonics, odd ones eliminated,

    I/E = int sigma - max over h of  2 int sqrt(3) sigma <v_z sqrt(3) v_i h_a> d_i h_a - a'(h, h).

No harmonics beyond those that are eliminated meet those that are kept: any u gives a lower bound,
any h an upper one, whatever the mesh. Two harmonics are the hydrodynamic model,
(1/sigma) J - div((l^2/sigma) grad J) = E, with l^2 = lambda^2/5 and the slip length
8 lambda/15 (1 + p)/(1 - p).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import dolfinx
import numpy as np
import ufl

from meso.boundary import Boundary as Law
from meso.boundary import Wall
from meso.compiled import functional
from meso.device import Device
from meso.discrete.cells import FacetGeometry, lagrange, space
from meso.discrete.coefficients import KineticCoefficients, Scales, conductivity_scale
from meso.discrete.fields import Field, continuous
from meso.discrete.krylov import Operator, iterate
from meso.discrete.skeleton import node_fronts
from meso.discrete.solvers import Factor, free
from meso.discrete.sparse import Rows
from meso.discrete.unknowns import number_field
from meso.errors import CaseError
from meso.flow.angular import Moments
from meso.flow.basis import Tabulated
from meso.flow.blocks import PAIRED, blocks, over_ranks
from meso.flow.discretisation import Discretisation
from meso.flow.flights import Flights
from meso.flow.kinetic import SMOOTHEST, different, roughness
from meso.flow.kronecker import Boundary, Kronecker, half_range_terms, sampled, scalar_matrices
from meso.flow.sphere import Axial
from meso.flow.sweep import Sweep
from meso.materials.material import Material
from meso.mpi import total
from meso.requirements import wire_problems

#: Unknowns up to which a system is factorised.
DIRECT = 20_000
#: Where an iteration stops: natural norm of the residual over the root of the functional.
TOLERANCE = 1e-5
#: Rate, over extents, that walls without slip have.
STICKING = 1e9
#: Moments that a preconditioner may take together, in two halves.
Groups = tuple[Sequence[np.ndarray], Sequence[np.ndarray]]


class Positive:
    """A positive definite system of moments, A x = b, on the nodes of P_k.

    Args:
        device: The device.
        order: k.
        system: A.
        groups: Moments that a preconditioner may take together, in two halves.
        paired: Whether it takes cosine and sine as a pair.
    """

    def __init__(
        self,
        device: Device,
        order: int,
        system: Kronecker,
        groups: Groups,
        *,
        paired: bool,
    ) -> None:
        self.device, self.system, self.groups, self.paired = device, system, groups, paired
        self.space = lagrange(device, order)
        self.count, self.iterations = system.members[0].count, 0

    def maximum(self, load: np.ndarray, tolerance: float = TOLERANCE) -> tuple[np.ndarray, float]:
        """The x that maximises 2 b.x - x.A x, and that maximum, for b and x of shape (nodes, n)."""
        numbers = number_field(self.space, np.ones(self.space.nodes, dtype=bool))
        loads = np.zeros((numbers.size, self.count))
        np.add.at(loads, numbers.nodes, load)
        system, comm = self.system.on(numbers.nodes, numbers.size), self.device.comm
        if numbers.total * self.count <= DIRECT:
            rows = Rows(numbers, comm, self.count)
            matrix = system.explicit(np.arange(self.count), half=True)
            factor = Factor(over_ranks(matrix, rows), rows, definite=True)
            x = factor.solve(loads.reshape(-1, 1)).reshape(loads.shape)
            factor.close()
        else:
            x = self._iterated(
                system, Rows(numbers, comm, self.count, apart=True), loads, tolerance
            )
        value = 2 * np.vdot(loads, x) - np.vdot(x, system(x))
        return x[numbers.nodes], float(total(comm, value))

    def _iterated(
        self, system: Kronecker, rows: Rows, loads: np.ndarray, tolerance: float
    ) -> np.ndarray:
        comm = self.device.comm
        operator = Operator(system.prepared(), rows)
        order = node_fronts(self.device, self.space, rows.numbering)
        halves = blocks(rows, system, self.groups, paired=self.paired, order=order)
        precondition = Sweep(rows, system, *halves)
        vector = rows.gather(loads.T)
        load = rows.shaped(np.array(vector.array_r))
        free(vector)

        def size(x: np.ndarray) -> float:
            return float(np.sqrt(max(total(comm, np.vdot(load, x)), 0.0)))

        advice = "fewer flow.harmonics would help"
        found, self.iterations, _ = iterate(
            operator, precondition, load, tolerance, size, advice=advice
        )
        out = operator.spread(found).T
        precondition.close()
        operator.close()
        return out


@dataclass(frozen=True, slots=True, kw_only=True)
class WireFlow:
    """Current along a wire, in SI units.

    Attributes:
        model: "kinetic" or "hydrodynamic".
        device: Its section.
        materials: Material of each region, by name.
        boundaries: Wall of each boundary, by name.
        order: Polynomial degree of J_z.
        harmonics: N; None in the hydrodynamic model.
        field: E along z, V/m.
        current_density: J_z, A/m^2.
        conductance: Current over field I/E, S m; a lower bound of it, if the section is exact.
        upper: The upper bound; None if it is not asked for.
        bulk: Integral of sigma over the section, S m: I/E without walls.
        moments: Odd moments over the field, A/(V m), of which J_z is the first.
        evidence: How the solution was found.
        free: Whether J_z is that of free flights (:mod:`.flights`), as it is at walls; harmonics
            lack something there.
    """

    model: str
    device: Device
    materials: Mapping[str, Material]
    boundaries: Mapping[str, Law]
    order: int
    harmonics: int | None
    field: float
    current_density: Field
    conductance: float
    upper: float | None
    bulk: float
    moments: Field
    evidence: dict[str, Any] = dataclasses.field(default_factory=dict)
    free: bool = False

    @property
    def kinetic(self) -> bool:
        """Whether the flow is that of a distribution over angles."""
        return self.model == "kinetic"

    @property
    def current(self) -> float:
        """I, A."""
        return self.conductance * self.field

    def driven(self, field: float) -> WireFlow:
        """The same in another field, V/m."""
        if field == self.field:
            return self
        own = self.current_density
        function = dolfinx.fem.Function(own.data.function_space)
        function.x.array[:] = own.data.x.array * (field / self.field)
        density = dataclasses.replace(own, data=function)
        return dataclasses.replace(self, field=field, current_density=density)

    def flying(self, flights: Flights, order: int) -> WireFlow:
        """The same with J_z of degree k by free flights."""
        drude = self.bulk * self.field / self.device.measure
        nodal = flights.density(order) * drude
        density = continuous("current_density_z", "A/m^2", self.device, order, nodal)
        return dataclasses.replace(self, current_density=density, order=order, free=True)


class Wire:
    """Current along a wire of any section.

    Args:
        device: Its section, a 2D mesh.
        materials: Material of each region, by name; carriers "3d".
        boundaries: Wall of each boundary, by name.
        harmonics: N of the kinetic model, even: odd degrees up to L = N - 1; None for the
            hydrodynamic model.
        order: Polynomial degree of the moments; by default that of the device.
        tolerance: Of an iteration, for the natural norm of the residual; currents err by its
            square.

    Raises:
        CaseError: What the model cannot do: a contact, a 3D mesh, no mean free path.
    """

    def __init__(
        self,
        device: Device,
        *,
        materials: Mapping[str, Material],
        boundaries: Mapping[str, Law],
        harmonics: int | None = 16,
        order: int | None = None,
        tolerance: float = TOLERANCE,
    ) -> None:
        problems = list(wire_problems(device.dimension, materials, boundaries, harmonics))
        if problems:
            raise CaseError(*problems)
        self.device, self.materials, self.boundaries = device, materials, boundaries
        self.harmonics, self.order = harmonics, order or device.order
        self.tolerance = tolerance
        self.kinds, self.phases = different(device, materials)
        viscous = conductivity_scale(device, materials, viscous=True)
        self.scales = Scales(length=device.extent, conductivity=viscous)
        self.coefficients = KineticCoefficients(device, materials, self.scales)

    def solve(self, field: float = 1.0, *, upper: bool = False) -> WireFlow:
        """The flow in a field in V/m; with an ``upper`` bound of its conductance.

        Raises:
            ConvergenceError: The iteration does not converge.
        """
        odd = self._odd()
        load = np.zeros((odd.space.nodes, odd.count))
        load[:, 0] = self._integrals(lambda v: v)
        u, lower = odd.maximum(load, self.tolerance)
        unit = self.scales.conductivity * self.device.extent**2
        sigma = self._sigma()
        bulk = self.device.integrate(sigma * self._dx) / self.device.extent**2
        above, iterations = None, [odd.iterations]
        if upper and self.harmonics is not None:
            even = self._even()
            _, less = even.maximum(self._even_load(even, sigma), self.tolerance)
            above = (bulk - less) * unit
            iterations.append(even.iterations)
        name = "current_density_z"
        density = u[:, 0] * self.scales.conductivity * field
        return WireFlow(
            model="hydrodynamic" if self.harmonics is None else "kinetic",
            device=self.device,
            materials=self.materials,
            boundaries=self.boundaries,
            order=self.order,
            harmonics=self.harmonics,
            field=field,
            current_density=continuous(name, "A/m^2", self.device, self.order, density),
            conductance=lower * unit,
            upper=above,
            bulk=bulk * unit,
            moments=continuous(
                "odd_moments", "S/m", self.device, self.order, u * self.scales.conductivity
            ),
            evidence={
                "unknowns": odd.space.index_map.size_global * odd.count,
                "iterations": max(iterations),
            },
        )

    # -- the discrete problems -----------------------------------------------------------------

    def _odd(self) -> Positive:
        if self.harmonics is None:
            return self._viscous()
        at, basis = self.coefficients, self.basis

        def weight(on: FacetGeometry) -> np.ndarray:
            return _at(at.path, on) * _at(at.relaxation, on)

        laws = {n: basis.wall(1 / ratio, ratio) for n, ratio in self.ratios.items()}
        walls = half_range_terms(self.device, self.order, laws, weight)
        scalars = scalar_matrices(self.device, self.order, self.phases, at.stress, at.relaxation)
        system = Kronecker(scalars, [basis.moments(m) for m in self.kinds], walls)
        groups = basis.odd.groups(3), basis.odd.groups(1)
        return Positive(self.device, self.order, system, groups, paired=self._paired)

    def _viscous(self) -> Positive:
        """J_z alone, which slips at walls."""
        device, order, at = self.device, self.order, self.coefficients
        one, alike = np.eye(1), Tabulated(lambda normals: np.ones((len(normals), 1, 1)))
        stress = np.eye(2)[..., None, None] * one
        member = Moments(flux=np.zeros((2, 1)), relaxation=one, stress=stress)
        scalars = scalar_matrices(device, order, self.phases, at.viscosity, at.relaxation)
        walls: list[Boundary] = []
        for name, law in self.walls.items():
            friction = partial(self._friction, law)
            walls += half_range_terms(device, order, {name: alike}, friction)
        system = Kronecker(scalars, [member] * len(scalars), walls)
        groups: Groups = ([], [np.arange(1)])
        return Positive(device, order, system, groups, paired=False)

    def _friction(self, wall: Wall, on: FacetGeometry) -> np.ndarray:
        """l^2/sigma over the slip length."""
        rate = _at(partial(self.coefficients.slip_rate, wall), on)
        return np.minimum(rate, STICKING) * _at(self.coefficients.viscosity, on)

    def _even(self) -> Positive:
        at, basis = self.coefficients, self.basis
        square = basis.unit**2

        def weight(on: FacetGeometry) -> np.ndarray:
            return square * _at(at.conductivity, on) / _at(at.path, on)

        scalars = scalar_matrices(
            self.device,
            self.order,
            self.phases,
            lambda cells, x: square * at.conductivity(cells, x),
            lambda cells, x: square * at.conductivity(cells, x) / at.path(cells, x) ** 2,
        )
        laws = {n: basis.even_wall(ratio, 1 / ratio) for n, ratio in self.ratios.items()}
        walls = half_range_terms(self.device, self.order, laws, weight)
        system = Kronecker(scalars, [basis.even_moments(m) for m in self.kinds], walls)
        groups = basis.even.groups(0), basis.even.groups(2)
        return Positive(self.device, self.order, system, groups, paired=self._paired)

    def _even_load(self, even: Positive, sigma: Any) -> np.ndarray:
        """Int sqrt(3) sigma <v_z sqrt(3) v_i h_a> d_i v of each even function."""
        streaming = self.basis.odd.streaming(self.basis.even)[:, 0]
        load = np.zeros((even.space.nodes, even.count))
        for i in range(2):
            slope = self._integrals(partial(_slope, self.device.extent * sigma, i))
            load += self.basis.unit * slope[:, None] * streaming[i]
        return load

    def _integrals(self, integrand: Callable[[Any], Any]) -> np.ndarray:
        """Integrals with each nodal function over what this rank has, scaled, (nodes,)."""
        v = ufl.TestFunction(space(self.device, "Lagrange", self.order, 1))
        vector = dolfinx.fem.assemble_vector(functional(integrand(v) * self._dx))
        return vector.array / self.device.extent**2

    @cached_property
    def basis(self) -> Axial:
        """The functions of the distribution."""
        assert self.harmonics is not None
        return Axial(self.harmonics)

    @cached_property
    def ratios(self) -> dict[str, float]:
        """(1 - p)/(1 + p) of each wall."""
        return {n: max(roughness(law), SMOOTHEST) for n, law in self.walls.items()}

    @property
    def walls(self) -> dict[str, Wall]:
        """The boundaries."""
        return {n: law for n, law in self.boundaries.items() if isinstance(law, Wall)}

    @property
    def _paired(self) -> bool:
        return any(ratio < PAIRED for ratio in self.ratios.values())

    @property
    def _degree(self) -> int:
        return 2 * self.order

    @property
    def _dx(self) -> Any:
        return self.device.dx(degree=self._degree)

    def _sigma(self) -> Any:
        """Scaled conductivity at the points of the quadrature."""
        return sampled(self.device, self.coefficients.conductivity, self._degree)


def _slope(coefficient: Any, i: int, v: Any) -> Any:
    return coefficient * v.dx(i)


#: A coefficient at the quadrature points of facets.
_at = Discretisation.at_facets
