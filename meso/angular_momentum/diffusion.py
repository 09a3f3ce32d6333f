"""Diffusion of angular momentum in a device: densities, and what its boundaries absorb.

    J^{ia} = Theta^{ia}_k E_k - D^{ia}_{kb} d_k X^b,     d_i J^{ia} = -T^a_b X^b + f^a
    n_i J^{ia} = V^a_b X^b - j^a  on walls,     X = given  on reservoirs,     X = chi omega
    n_i J^{ia} = g^a_b (omega^- - omega^+)  where regions are joined by a conductance

It is solved for omega, which is continuous between metals where no conductance is given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

from meso.angular_momentum import terms, wellposed
from meso.angular_momentum.densities import Densities
from meso.angular_momentum.electric import Electric, electric_field
from meso.angular_momentum.own import scaled, terms_of
from meso.angular_momentum.surfaces import RESERVOIR, Surface, Values, evaluated
from meso.angular_momentum.system import (
    FacetLoad,
    Operator,
    Solution,
    System,
    facets_of,
    neighbours,
)
from meso.angular_momentum.tensors import Transport
from meso.device import Device
from meso.discrete.cells import FacetGeometry, cells_of, lagrange
from meso.discrete.own_terms import Term
from meso.errors import CaseError, known
from meso.flow.result import Flow, periodic_pairs
from meso.mpi import total


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
    ) -> None:
        self.device, self.components = device, tuple(components)
        self.terms = tuple(terms)
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
        self.diffusivity = np.array([D for D, _ in own])
        self.relaxation = np.array([T for _, T in own])
        self.chi = np.array([materials[name].susceptibility for name in device.regions])
        self.hall = np.array([materials[name].hall[: device.dimension] for name in device.regions])
        # Units that make every diffusivity one at most.
        size = np.einsum("riaia->ra", self.diffusivity).max(axis=0) / device.dimension
        self.scale = 1 / np.sqrt(size)
        self.own = terms_of(self)

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

    def solve(
        self,
        field: Flow | Sequence[float] | Callable[[np.ndarray], np.ndarray] | None = None,
        *,
        source: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None,
    ) -> Densities:
        """Solve for the densities that a field and the boundaries make.

        Args:
            field: A solved flow, a uniform field (3,) in V/m, a function of positions (..., d) in
                m with values (..., 3), or None for no field.
            source: f, function of positions (c, q, d) and regions (c,), values (c, q, n).

        Raises:
            ConvergenceError: The solver failed.
        """
        electric = electric_field(self.device, field)
        count = len(self.device.cell_region)
        nodes = self.space.dofs.shape[1]
        omega = np.zeros((count, nodes, len(self.components)))
        reaction = np.zeros((self.space.nodes, len(self.components)))
        evidence: dict[str, Any] = {"systems": 0, "unknowns": 0, "residual": 0.0}
        for operator, groups in self._classes(electric, source):
            solution = self._solve_class(operator, groups, electric, source)
            for side, group in enumerate(groups):
                omega[:, :, group] = solution.values[..., side] * self.scale[group]
                reaction[:, group] = solution.reaction[..., side] / self.scale[group]
            new = solution.evidence
            evidence["systems"] += 1
            evidence["method"] = new["method"]
            evidence["unknowns"] += new["unknowns"]
            evidence["residual"] = max(evidence["residual"], new["residual"])
            if "iterations" in new:
                evidence["iterations"] = max(evidence.get("iterations", 0), new["iterations"])
        return self.densities(omega, reaction, source, evidence)

    def groups(self) -> list[np.ndarray]:
        """Components that are coupled to each other; all of them with added terms."""
        n = len(self.components)
        if self.terms:
            return [np.arange(n)]
        coupled = np.abs(self.diffusivity).max(axis=(0, 1, 3)) > 0
        parts = [np.abs(self.relaxation).max(axis=0), np.abs(self.chi).max(axis=0)]
        parts += [np.abs(v) for v in (*self.velocity.values(), *self.conductance.values())]
        for part in parts:
            coupled |= part > 0
        _, label = connected_components(csr_matrix(coupled.reshape(n, n)), directed=False)
        return [np.flatnonzero(label == i) for i in range(label.max() + 1)]

    def _classes(
        self, electric: Electric | None, source: Any
    ) -> Iterator[tuple[Operator, list[np.ndarray]]]:
        """Operators, each with the groups of components that have it and are driven."""
        classes: dict[Any, tuple[Operator, list[np.ndarray]]] = {}
        for group in self.groups():
            if not self._driven(group, electric, source):
                continue
            operator = self.operator(group)
            fixed = self.fixed(group)[0]
            key = (*operator.key(), fixed.tobytes())
            keys = self.device.comm.allgather(hash(key))
            name = (len(group), *keys)
            classes.setdefault(name, (operator, []))[1].append(group)
        yield from classes.values()

    def _driven(self, group: np.ndarray, electric: Electric | None, source: Any) -> bool:
        if source is not None or (self.own is not None and self.own.loads is not None):
            return True
        if electric is not None and np.any(self.hall[:, :, group][..., electric.active]):
            return True
        for surface in self.surfaces.values():
            for value in (surface.injected, surface.density):
                if value is None or value is RESERVOIR.density:
                    continue
                if callable(value) or np.any(np.nan_to_num(np.asarray(value, float)[group])):
                    return True
        return False

    def operator(self, group: np.ndarray) -> Operator:
        """Scaled coefficients of some components."""
        s, length = self.scale[group], self.device.extent
        pair = np.ix_(group, group)

        def block(value: np.ndarray, power: int) -> np.ndarray:
            return np.asarray(value[..., pair[0], pair[1]] * np.outer(s, s) * length**power)

        D = self.diffusivity[:, :, group][..., group]
        D = D * s[:, None, None] * s
        return Operator(
            diffusion=D,
            reaction=block(self.relaxation, 2),
            surface={k: block(v @ self.chi, 1) for k, v in self.velocity.items()},
            conductance={k: block(g, 1) for k, g in self.conductance.items()},
        )

    def fixed(self, group: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Which components are held at each node, and omega there, in SI, shape (nodes, n)."""
        device, space, n = self.device, self.space, len(self.components)
        held = np.zeros((space.nodes, n), dtype=bool)
        values = np.zeros((space.nodes, n))
        for name, surface in self.surfaces.items():
            if surface.density is None:
                continue
            nodes = space.nodes_on(device, name)
            x = space.space.tabulate_dof_coordinates()[nodes, : device.dimension]
            wanted = evaluated(surface.density, x, n)
            free = np.isnan(wanted)
            # Where regions meet on a boundary, the susceptibility of one of them counts.
            region = self._region_at(name)[nodes]
            omega = np.linalg.solve(self.chi[region], np.nan_to_num(wanted)[..., None])[..., 0]
            held[nodes] = ~free
            values[nodes] = np.where(free, 0.0, omega)
        return held[:, group], values[:, group]

    def _region_at(self, name: str) -> np.ndarray:
        """Region of a cell at each node of a boundary, shape (nodes,)."""
        device, space = self.device, self.space
        own = device.facets.of(device.facets.boundary == device.boundaries.index(name))
        region = np.zeros(space.nodes)
        at = space.dofs[own.cell[:, None], space.on_facet[own.local]]
        region[at] = device.cell_region[own.cell][:, None] + 1
        count = space.shared_sum((region > 0).astype(float))
        summed = space.shared_sum(region)
        mean = np.where(count > 0, summed / np.maximum(count, 1), 1)
        return np.asarray(np.floor(mean + 1e-9).astype(int) - 1)

    def _solve_class(
        self,
        operator: Operator,
        groups: list[np.ndarray],
        electric: Electric | None,
        source: Any,
    ) -> Solution:
        held = self.fixed(groups[0])[0]
        given = np.stack([self.fixed(g)[1] / self.scale[g] for g in groups], axis=-1)
        system = System(
            self.device,
            self.space,
            operator,
            fixed=held,
            sides=len(groups),
            pairs=self.pairs,
            own=scaled(self, groups[0]),
        )
        loads = [self.cell_load(group, electric, source) for group in groups]

        def cell_load(batch: np.ndarray, straight: bool) -> np.ndarray:
            return np.stack([load(batch, straight) for load in loads], axis=-1)

        fed = {n: s.injected for n, s in self.surfaces.items() if s.injected is not None}
        boundary = {name: self.facet_load(groups, value) for name, value in fed.items()}
        return system.solve(
            cell_load=cell_load,
            facet_loads=boundary,
            given=given if np.any(given) else None,
            iterative=self.iterative,
            defect=self.defect(groups, source),
        )

    def cell_load(
        self, group: np.ndarray, electric: Electric | None, source: Any = None
    ) -> Callable[[np.ndarray, bool], np.ndarray]:
        """Scaled load (c, nodes, n) of the Hall current and the source."""
        device, space, cells = self.device, self.space, cells_of(self.device)
        length, s = device.extent, self.scale[group]

        def load(batch: np.ndarray, straight: bool) -> np.ndarray:
            out = np.zeros((len(batch), space.dofs.shape[1], len(group)))
            bend = 0 if straight else 2 * (cells.degree - 1)
            points, weights = cells.quadrature(2 * space.degree + bend)
            region = device.cell_region[batch]
            if electric is not None and np.any(self.hall[:, :, group]):
                E = electric.at(batch, points)
                current = np.einsum("ciak,cqk->cqia", self.hall[region][:, :, group], E)
                out += terms.current_load(
                    cells, space, batch, points, weights, length * s * current
                )
            if source is not None:
                x = cells.positions(batch, points) * length
                f = source(x, region)[..., group]
                out += terms.volume_load(cells, space, batch, points, weights, length**2 * s * f)
            return out

        return load

    def facet_load(self, groups: Sequence[np.ndarray], value: Values) -> FacetLoad:
        """Scaled load (f, nodes of a facet, n, sides) of what is fed in."""

        def load(geometry: FacetGeometry, table: np.ndarray) -> np.ndarray:
            x = geometry.position * self.device.extent
            j = evaluated(value, x, len(self.components)) * self.device.extent
            parts = [terms.facet_load(geometry, table, j[..., g] * self.scale[g]) for g in groups]
            return np.stack(parts, axis=-1)

        return load

    def densities(
        self, omega: np.ndarray, reaction: np.ndarray, source: Any, evidence: dict[str, Any]
    ) -> Densities:
        """The result: densities and balances.

        Args:
            omega: At the nodes of each cell, shape (c, nodes, n).
            reaction: Of prescribed values, unscaled but for lengths, shape (nodes, n).
            source: As of `solve`.
            evidence: How it was solved.
        """
        device, space = self.device, self.space
        n, length, d = len(self.components), device.extent, device.dimension
        relaxed, made, size = self._inside(omega, source)
        outflow, injected = {}, {}
        seen = np.zeros(space.nodes, dtype=bool)
        own = space.index_map.size_local
        for name in device.boundaries:
            if name in {x for pair in self.pairs for x in pair}:
                continue
            out, fed, absolute = self._through(name, omega)
            surface = self.surfaces.get(name)
            if surface is not None and surface.density is not None:
                nodes = space.nodes_on(device, name)
                nodes = nodes[(nodes < own) & ~seen[nodes]]
                seen[nodes] = True
                missing = reaction[nodes] * length ** (d - 2)
                out = out - missing.sum(axis=0)
                absolute = absolute + np.abs(missing).sum(axis=0)
            outflow[name], injected[name] = out, fed
            size = size + absolute
        comm, factor = device.comm, self.thickness or 1.0
        outflow = {k: np.atleast_1d(total(comm, v)) * factor for k, v in outflow.items()}
        injected = {k: np.atleast_1d(total(comm, v)) * factor for k, v in injected.items()}
        relaxed = np.atleast_1d(total(comm, relaxed)) * factor
        made = np.atleast_1d(total(comm, made)) * factor
        size = np.atleast_1d(total(comm, size)) * factor
        rest = relaxed + sum(outflow.values()) - made
        return Densities(
            device=device,
            components=self.components,
            order=self.order,
            unit="J_s_per_m2" if self.sheet else "J_s_per_m3",
            omega=omega,
            density=np.einsum("cab,cmb->cma", self.chi[device.cell_region], omega),
            outflow=outflow,
            injected=injected,
            relaxed=relaxed,
            imbalance=np.divide(rest, size, out=np.zeros(n), where=size > 0),
            warnings=tuple(self.warnings),
            evidence=evidence,
        )

    def _inside(self, omega: np.ndarray, source: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """On this rank: what relaxes, what a source makes, and the size of both, shape (n,)."""
        device, space, cells = self.device, self.space, cells_of(self.device)
        n, length, d = len(self.components), device.extent, device.dimension
        region = device.cell_region
        everything = np.arange(cells.count)
        points, weights = cells.quadrature(2 * space.degree + d * (cells.degree - 1))
        weight = weights * cells.determinants(everything, points) * length**d
        table = space.values(points)
        relaxation = np.einsum("cab,cmb->cma", self.relaxation[region], omega)
        rate = np.einsum("qm,cma->cqa", table, relaxation, optimize=True)
        relaxed = np.einsum("cq,cqa->a", weight, rate)
        size = np.einsum("cq,cqa->a", weight, np.abs(rate))
        made = np.zeros(n)
        if source is not None:
            f = source(cells.positions(everything, points) * length, region)
            made = np.einsum("cq,cqa->a", weight, f)
            size = size + np.einsum("cq,cqa->a", weight, np.abs(f))
        if self.own is not None:
            # Added terms count as relaxation: tested with one.
            added = (self.own.matrices @ omega.reshape(cells.count, -1, 1))[..., 0]
            if self.own.loads is not None:
                added -= self.own.loads
            rate = added.reshape(cells.count, -1, n).sum(axis=1) * length ** (d - 2)
            relaxed = relaxed + rate.sum(axis=0)
            size = size + np.abs(rate).sum(axis=0)
        return relaxed, made, size

    def defect(
        self, groups: Sequence[np.ndarray], source: Any = None
    ) -> Callable[[np.ndarray], np.ndarray]:
        """What is missing in the scaled balance of each component that is held nowhere."""
        n, device = len(self.components), self.device
        held = self.fixed(np.arange(n))[0].any(axis=0)
        held = np.logical_or.reduce(device.comm.allgather(held))
        factor = self.scale * device.extent ** (2 - device.dimension)

        def missing(values: np.ndarray) -> np.ndarray:
            out = np.zeros((len(groups[0]), len(groups)))
            for side, group in enumerate(groups):
                omega = np.zeros((*values.shape[:2], n))
                omega[:, :, group] = values[..., side] * self.scale[group]
                relaxed, made, _ = self._inside(omega, source)
                rest = relaxed - made
                for name in device.boundaries:
                    rest = rest + self._through(name, omega)[0]
                rest = np.atleast_1d(total(device.comm, rest)) * factor
                out[:, side] = np.where(held, 0.0, rest)[group]
            return out

        return missing

    def _through(self, name: str, omega: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Net outflow of this rank by absorption, what is fed in, and the size of both."""
        device, space, n = self.device, self.space, len(self.components)
        geometry, table, _ = facets_of(device, space, name)
        out, fed, size = np.zeros(n), np.zeros(n), np.zeros(n)
        if not len(geometry.cell):
            return out, fed, size
        weight = geometry.weight * device.extent ** (device.dimension - 1)
        surface = self.surfaces.get(name)
        if name in self.velocity:
            on = space.on_facet[geometry.local]
            at = omega[geometry.cell[:, None], on]
            V = self.velocity[name] @ self.chi[device.cell_region[geometry.cell]]
            flux = np.einsum("fqm,fmb,fab->fqa", table, at, V, optimize=True)
            out += np.einsum("fq,fqa->a", weight, flux)
            size += np.einsum("fq,fqa->a", weight, np.abs(flux))
        if surface is not None and surface.injected is not None:
            j = evaluated(surface.injected, geometry.position * device.extent, n)
            fed += np.einsum("fq,fqa->a", weight, j)
            out -= fed
            size += np.einsum("fq,fqa->a", weight, np.abs(j))
        return out, fed, size


def pairs_of(flow: Flow) -> tuple[tuple[str, str], ...]:
    """Periodic pairs of the device of a flow."""
    return periodic_pairs(flow.boundaries)
