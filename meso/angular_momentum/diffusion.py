"""Diffusion of angular momentum in a device: densities, and what its boundaries absorb.

    J^{ia} = Theta^{ia}_k E_k - D^{ia}_{kb} d_k X^b,     d_i J^{ia} = -T^a_b X^b + f^a
    n_i J^{ia} = V^a_b X^b - j^a  on walls,     X = given  on reservoirs,     X = chi omega
    n_i J^{ia} = g^a_b (omega^- - omega^+)  where regions are joined by a conductance

It is solved for omega, which is continuous between metals where no conductance is given.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import dolfinx
import numpy as np
import ufl

from meso.angular_momentum import balance, wellposed
from meso.angular_momentum.adjoint import Adjoint
from meso.angular_momentum.densities import Densities
from meso.angular_momentum.forms import at_points, broken, by_region, tested
from meso.angular_momentum.phases import neighbours
from meso.angular_momentum.surfaces import Surface, evaluated
from meso.angular_momentum.system import Operator, System
from meso.angular_momentum.tensors import Transport
from meso.angular_momentum.variation import coefficients
from meso.device import Device, Facets
from meso.discrete.cells import cells_of, facet_geometry, lagrange
from meso.discrete.expressions import interpolated
from meso.discrete.fields import Field
from meso.discrete.kernels import Space
from meso.discrete.own_terms import OwnTerms, Quantity, Symbols, Term, own_terms
from meso.equations.angular_momentum import flux, hall_current
from meso.errors import CaseError, known
from meso.flow.result import Flow

#: A solved flow, a uniform field (3,) in V/m, or a function of positions (..., d) in m.
Electric = Flow | Sequence[float] | Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, slots=True, kw_only=True)
class DiffusionSymbols(Symbols):
    """What a term of angular-momentum diffusion may be made of, beside those of any model.

    ``material`` takes functions of the :class:`Transport` of a region.

    Attributes:
        omega: Potentials chi^-1 X of the components, a vector.
        v: Their test function.
    """

    omega: Any
    v: Any


class Diffusion:
    """The diffusion of some components of angular momentum in a device.

    Args:
        device: The device.
        components: Names, "spin_x" ... "orbital_z".
        materials: Transport in each region, for these components.
        surfaces: Laws of boundaries; nothing passes through those without one.
        conductances: g by pairs of regions, (n, n) or a number, in the unit of a current density
            over omega.
        pairs: Periodic pairs of boundaries.
        order: Polynomial degree, by default that of the device.
        thickness: Of a slab that a 2D mesh stands for, m.
        sheet: True for a 2D electron gas.
        solver: "direct", "iterative" or "auto": direct in 2D, iterative in 3D.
        terms: Functions from :class:`DiffusionSymbols` to UFL forms, which are added to the
            left-hand side of the weak form.
        perpendicular_field: E_z in V/m of a 2D mesh, beside the field of a flow.
        tolerance: Relative residual of iterations; by default 1e-13.

    Raises:
        CaseError: Unknown names, wrong shapes, or a problem that is not well posed.
    """

    def __init__(
        self,
        device: Device,
        *,
        components: Sequence[str],
        materials: Mapping[str, Transport],
        surfaces: Mapping[str, Surface] | None = None,
        conductances: Mapping[tuple[str, str], Any] | None = None,
        pairs: Sequence[tuple[str, str]] = (),
        order: int | None = None,
        thickness: float | None = None,
        sheet: bool = False,
        solver: str = "auto",
        terms: Sequence[Term] = (),
        perpendicular_field: float = 0.0,
        tolerance: float | None = None,
    ) -> None:
        self.tolerance = tolerance
        self.device, self.components = device, tuple(components)
        self.terms, self.perpendicular_field = tuple(terms), perpendicular_field
        self.materials, self.surfaces = materials, dict(surfaces or {})
        self.pairs, self.order = tuple(pairs), order or device.order
        self.thickness, self.sheet = thickness, sheet
        self.iterative = solver == "iterative" or (solver == "auto" and device.dimension == 3)
        n = len(self.components)
        self._check(n)
        walls = {k: s.matrix(n) for k, s in self.surfaces.items()}
        self.velocity = {k: v for k, v in walls.items() if v is not None and np.any(v)}
        self.conductance = self._conductances(conductances or {}, n)
        self.warnings = wellposed.check(
            materials,
            self.velocity,
            components=self.components,
            dimension=device.dimension,
            pinned=any(s.density is not None for s in self.surfaces.values()),
        )
        self.space = lagrange(device, self.order)
        own = [materials[name].onsager(device.dimension) for name in device.regions]
        self.chi = np.array([materials[name].susceptibility for name in device.regions])
        self.hall = np.array([materials[name].hall[: device.dimension] for name in device.regions])
        self.operator = Operator(
            diffusion=np.array([D for D, _ in own]),
            reaction=np.array([T for _, T in own]),
            surface={k: v @ self.chi for k, v in self.velocity.items()},
            conductance=self.conductance,
            smooth=np.zeros(n, dtype=bool),
        )
        self.own = self._own_terms()

    @property
    def held(self) -> tuple[str, ...]:
        """Boundaries at which a density is given."""
        return tuple(name for name, law in self.surfaces.items() if law.density is not None)

    def _check(self, n: int) -> None:
        device = self.device
        problems = []
        for name in device.regions:
            if name not in self.materials:
                problems.append(("angular_momentum", f"no transport for region {name}"))
            elif self.materials[name].components != n:
                found = self.materials[name].components
                text = f"region {name} has {found} components; must be {n}"
                problems.append(("angular_momentum", text))
        if self.perpendicular_field and device.dimension == 3:
            text = "is for a 2D mesh: in 3D contacts make the field"
            problems.append(("angular_momentum.perpendicular_field", text))
        secondary = {second for _, second in self.pairs}
        for name in self.surfaces:
            if name not in device.boundaries:
                text = f'no boundary "{name}"; {known(name, device.boundaries)}'
                problems.append((f"angular_momentum.boundaries.{name}", text))
            elif name in secondary or name in {first for first, _ in self.pairs}:
                text = "is periodic: it has no law of its own"
                problems.append((f"angular_momentum.boundaries.{name}", text))
        if problems:
            raise CaseError(*problems)

    def _conductances(
        self, given: Mapping[tuple[str, str], Any], n: int
    ) -> dict[tuple[int, int], np.ndarray]:
        out = {}
        there = neighbours(self.device) if given else set()
        for pair, value in given.items():
            key = "angular_momentum.interfaces"
            for name in pair:
                if name not in self.device.regions:
                    text = f'no region "{name}"; {known(name, self.device.regions)}'
                    raise CaseError((key, text))
            a, b = sorted(self.device.regions.index(name) for name in pair)
            if (a, b) not in there:
                raise CaseError((key, f"the regions {pair[0]} and {pair[1]} do not touch"))
            g = np.asarray(value, dtype=float)
            g = g * np.eye(n) if g.ndim == 0 else g
            if g.shape != (n, n) or not np.isfinite(g).all():
                raise CaseError((key, f"found shape {g.shape}; must be {(n, n)} and finite"))
            if np.linalg.eigvalsh((g + g.T) / 2)[0] < 0:
                raise CaseError((key, f"the conductance of {pair[0]} and {pair[1]} is negative"))
            out[a, b] = g
        return out

    def _own_terms(self) -> OwnTerms | None:
        device = self.device

        def symbols(common: dict[str, Any], trial: Any, test: Any) -> DiffusionSymbols:
            return DiffusionSymbols(omega=trial, v=test, **common)

        def sample(quantity: Quantity, cells: np.ndarray, positions: np.ndarray) -> np.ndarray:
            values = [float(quantity(self.materials[name])) for name in device.regions]
            return np.array(values)[device.cell_region[cells]]

        fields = [(Space(self.order, len(self.components)), 1.0, 1.0)]
        return own_terms(device, fields, self.terms, symbols, sample)

    def solve(
        self,
        field: Electric | None = None,
        *,
        source: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None,
        keep: bool = False,
    ) -> Densities:
        """Solve for the densities that a field and the boundaries make.

        Args:
            field: A solved flow, a uniform field (3,) in V/m, a function of positions (..., d) in
                m with values (..., 3), or None for no other than the perpendicular one.
            source: f, function of positions (c, q, d) and regions (c,), values (c, q, n).
            keep: True to keep what derivatives need (``Densities.adjoint``).

        Raises:
            ConvergenceError: The solver failed.
        """
        device, made = self.device, np.zeros((*self.space.dofs.shape, len(self.components)))
        if source is not None:
            f = at_points(device, self.degree, lambda x: source(x, device.cell_region))
            made = self._tested(lambda v: ufl.dot(v, f))
        loads = made + self.injection
        if field is None and self.perpendicular_field:
            field = (0.0, 0.0, self.perpendicular_field)
        if field is not None:
            loads += self._hall(field)
        if self.own is not None and self.own.loads is not None:
            loads += self.own.loads.reshape(loads.shape)
        held, given = self.prescribed
        system = System(
            device,
            self.space,
            self.operator,
            held=held,
            pairs=self.pairs,
            own=self.own,
            iterative=self.iterative,
            tolerance=self.tolerance,
        )
        free = ~np.logical_or.reduce(device.comm.allgather(held.any(axis=0)))
        solution = system.solve(
            loads[..., None],
            given[..., None],
            defect=lambda omega: free * balance.summed(self, balance.lost(self, omega, made).parts),
            keep=keep,
        )
        omega, reaction = solution.values[..., 0], solution.reaction[..., 0]
        found = self.densities(omega, reaction, solution.evidence, made)
        if not keep:
            return found
        still = source is None and self.own is None and not callable(field)
        still &= not any(callable(v) for s in self.surfaces.values() for v in s.given)
        return replace(found, adjoint=Adjoint(self, field, system, solution, still=still))

    def flux(self, component: str, densities: Densities, flow: Flow) -> Field:
        """The current J^{ia} of a component, a vector in space, in J/m^2 (J/m in a sheet).

        Args:
            component: One of those that are solved for.
            densities: A solution.
            flow: The flow whose field drives the Hall current.
        """
        device, a = self.device, self.components.index(component)
        omega = broken(device, self.order, densities.omega)
        theta, D = (by_region(device, of) for of in (self.hall, self.operator.diffusion))
        value = flux(self._field_of(flow), omega, D, theta, a)
        channel, axis = component.rsplit("_", 1)
        unit = "J_per_m" if self.sheet else "J_per_m2"
        return interpolated(f"{channel}_flux_{axis}", unit, device, max(self.order - 1, 0), value)

    @property
    def coefficients(self) -> dict[str, np.ndarray]:
        """What the problem is made of (:func:`meso.angular_momentum.variation.coefficients`)."""
        names = self.device.regions
        return coefficients(
            self.device,
            materials=self.materials,
            surfaces=self.surfaces,
            conductances={(names[a], names[b]): g for (a, b), g in self.conductance.items()},
            perpendicular_field=self.perpendicular_field,
            thickness=self.thickness,
        )

    @property
    def degree(self) -> int:
        """Degree of the quadrature."""
        return 2 * self.order + 2 * (cells_of(self.device).degree - 1)

    @property
    def dx(self) -> ufl.Measure:
        """The conductor, with this quadrature."""
        return ufl.dx(domain=self.device.mesh, metadata={"quadrature_degree": self.degree})

    def _hall(self, field: Electric) -> np.ndarray:
        """Load of the Hall current, shape (c, nodes, n)."""
        device, theta = self.device, by_region(self.device, self.hall)
        if isinstance(field, Flow):
            E = self._field_of(field)
        elif callable(field):
            E = at_points(device, self.degree, field)
        else:
            E = np.asarray(field, dtype=float)
            if E.shape != (3,):
                raise CaseError(("field", f"found shape {E.shape}; must be (3,), V/m"))
            E = self._constant(E)
        return self._tested(lambda v: hall_current(v, E, theta))

    def _field_of(self, flow: Flow) -> Any:
        E = -ufl.grad(flow.potential)
        if not self.perpendicular_field:
            return E
        return ufl.as_vector([E[0], E[1], self._constant(self.perpendicular_field)])

    def _constant(self, value: Any) -> Any:
        return dolfinx.fem.Constant(self.device.mesh, value)

    def perpendicular_load(self) -> np.ndarray:
        """Load of the Hall current of the perpendicular field, shape (c, nodes, n)."""
        return self._hall((0.0, 0.0, self.perpendicular_field))

    def _tested(self, integrand: Callable[[Any], Any]) -> np.ndarray:
        """A load in the conductor, shape (c, nodes, n)."""
        count = len(self.components)
        return tested(self.device, self.order, count, lambda v: integrand(v) * self.dx)()

    @cached_property
    def fed(self) -> dict[str, tuple[Facets, np.ndarray]]:
        """What boundaries feed in: their facets, and loads there, shape (f, nodes, n)."""
        device, space, cells, out = self.device, self.space, cells_of(self.device), {}
        for name, surface in self.surfaces.items():
            if surface.injected is None:
                continue
            facets = self.facets(name)
            rule = cells.facet_quadrature(self.degree)
            geometry = facet_geometry(cells, facets.cell, facets.local, *rule)
            table = geometry.table(lambda points, i: space.values(points)[:, space.on_facet[i]])
            x = geometry.position * device.extent
            j = evaluated(surface.injected, x, len(self.components))
            weight = geometry.weight * device.extent ** (device.dimension - 1)
            out[name] = facets, (table * weight[..., None]).swapaxes(1, 2) @ j
        return out

    @property
    def injection(self) -> np.ndarray:
        """The same at the nodes of each cell, shape (c, nodes, n)."""
        out = np.zeros((*self.space.dofs.shape, len(self.components)))
        for facets, load in self.fed.values():
            np.add.at(out, (facets.cell[:, None], self.space.on_facet[facets.local]), load)
        return out

    def facets(self, name: str) -> Facets:
        """Facets of a boundary on this rank."""
        facets = self.device.facets
        return facets.of(facets.boundary == self.device.boundaries.index(name))

    @property
    def prescribed(self) -> tuple[np.ndarray, np.ndarray]:
        """Which components are held at each node, and omega there, shape (nodes, n)."""
        device, space, n = self.device, self.space, len(self.components)
        held = np.zeros((space.nodes, n), dtype=bool)
        values = np.zeros((space.nodes, n))
        for name, surface in self.surfaces.items():
            if surface.density is None:
                continue
            nodes = np.flatnonzero(self.holders[name])
            x = space.space.tabulate_dof_coordinates()[nodes, : device.dimension]
            wanted = evaluated(surface.density, x, n)
            chi = self.chi[self.node_region[nodes]]
            held[nodes] = ~np.isnan(wanted)
            values[nodes] = np.linalg.solve(chi, np.nan_to_num(wanted)[..., None])[..., 0]
        return held, np.where(held, values, 0.0)

    @cached_property
    def holders(self) -> dict[str, np.ndarray]:
        """Nodes whose values each boundary prescribes, (nodes,); the last of several does."""
        out: dict[str, np.ndarray] = {}
        for name, surface in self.surfaces.items():
            if surface.density is None:
                continue
            here = np.zeros(self.space.nodes, dtype=bool)
            here[self.space.nodes_on(self.device, name)] = True
            out = {other: nodes & ~here for other, nodes in out.items()} | {name: here}
        return out

    def absorbing(self, name: str, much: np.ndarray) -> np.ndarray:
        """From a row of weights, (n,): that of omega in what a boundary takes by its velocity.

        At the nodes of each cell, shape (c, nodes, n).
        """
        facets, out = self.device.facets_on(name), np.zeros((*self.space.dofs.shape, len(much)))
        if name in self.velocity and len(facets.cell):
            V = much @ self.operator.surface[name][self.device.cell_region[facets.cell]]
            at = facets.cell[:, None], self.space.on_facet[facets.local]
            np.add.at(out, at, balance.over_facets(self, facets)[..., None] * V[:, None])
        return out

    def holding(self, name: str) -> np.ndarray:
        """Ones where a boundary absorbs since it holds a density, (nodes, n); else zeros."""
        held, _ = self.prescribed
        seen = np.zeros(self.space.nodes, dtype=bool)
        for boundary in self.device.boundaries:
            surface = self.surfaces.get(boundary)
            if surface is None or surface.density is None:
                continue
            here = np.zeros_like(seen)
            here[self.space.nodes_on(self.device, boundary)] = True
            if boundary == name:
                return held * (here & ~seen)[:, None].astype(float)
            seen |= here
        return np.zeros(held.shape)

    @cached_property
    def node_region(self) -> np.ndarray:
        """Region of each node; where several meet, one of them."""
        region = dolfinx.fem.Function(self.space.space)
        region.interpolate(by_region(self.device, np.arange(len(self.device.regions))))
        region.x.scatter_forward()
        return np.asarray(region.x.array.round().astype(int))

    @cached_property
    def basis(self) -> np.ndarray:
        """Integrals of the basis functions over each cell, shape (c, nodes)."""
        device, cells = self.device, cells_of(self.device)
        d = device.dimension
        points, weights = cells.quadrature(self.order + d * (cells.degree - 1))
        weight = weights * cells.determinants(np.arange(cells.count), points)
        return weight @ self.space.values(points) * device.extent**d

    def densities(
        self,
        omega: np.ndarray,
        reaction: np.ndarray,
        evidence: dict[str, Any],
        made: np.ndarray | None = None,
    ) -> Densities:
        """Densities and balances from omega, as :func:`meso.angular_momentum.balance.densities`."""
        return balance.densities(self, omega, reaction, evidence, made)
