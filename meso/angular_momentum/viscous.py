"""Charge and angular momentum together where the flow is viscous.

    J = J' + Theta d omega,         div J = 0 in the conductor,  J.n = 0 at walls
    J'/sigma - div( (l^2/sigma) strain(J') ) + grad phi = 0,     walls slow J' down
    d_i J^{ia} = -T^a_b X^b,        J^{ia} = -Theta^{ia}_k d_k phi - D^{ia}_{kb} d_k X^b

Carriers that drift, J', have friction and viscosity; the rest J'' of the current goes from band to
band and has none. Theta is antisymmetric in i and k here, so that J'' has no divergence, and at a
boundary depends on what omega does along it: the two equations meet at boundaries only. There

    J'.n = -J''.n at walls,     source of angular momentum -<h, J''(v).n> - V <J''(v).n>

with the test function v, the level h = phi - (l^2/sigma) n.strain(J').n of walls and V of contacts:
a wall returns as drift what arrives as J'' (docs/theory.md). The two terms are transposes of each
other, so that the response is reciprocal, no work is done, and all dissipation is positive.

Going back and forth diverges where the gain (theta^2/chi sigma D) (l k)^2 of what varies as
exp(ikx) along walls exceeds one. GMRES solves for omega at walls; both equations keep their
factors. It sees a positive operator, whose largest eigenvalue is one plus the gain.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from meso.angular_momentum.densities import Densities
from meso.angular_momentum.diffusion import Diffusion
from meso.angular_momentum.on_facets import FacetMatrix, FacetSolver
from meso.angular_momentum.system import Solution, System
from meso.angular_momentum.viscous_adjoint import ViscousAdjoint
from meso.discrete.cells import FacetGeometry, cells_of, lagrange
from meso.discrete.fields import Field, cellwise, gradient
from meso.discrete.krylov import Operator, iterate
from meso.discrete.sparse import Rows
from meso.discrete.unknowns import Numbering
from meso.errors import CaseError, ConvergenceError
from meso.flow.discretisation import TAYLOR_HOOD, Solutions
from meso.flow.hydrodynamic import Hydrodynamic
from meso.flow.hydrodynamic_adjoint import HydrodynamicAdjoint
from meso.flow.result import Flow, driven, mixture
from meso.flow.yielding import Yielding
from meso.mpi import total

#: Relative residuals at which the iteration stops, and that of the adjoint.
TOLERANCE, OF_ADJOINT = 1e-12, 1e-9
# Relative difference of G_ij and G_ji from which on the solution is none.
_RECIPROCAL = 1e-5


@dataclass(frozen=True, kw_only=True, eq=False)
class Coupled:
    """Both solutions.

    Attributes:
        flow: With the inverse effect; it keeps its adjoint if it was asked to.
        alone: Without.
        densities: The densities.
        offset: Currents of the ports at no potential, A (A/m).
    """

    flow: Flow
    alone: Flow
    densities: Densities
    offset: np.ndarray


def solve(diffusion: Diffusion, flow: Flow, *, keep: bool = False) -> Coupled:
    """Solve both together, and ``keep`` what derivatives need.

    Raises:
        CaseError: A kinetic flow, a magnetic field, added terms, a 3D device; Hall conductivities
            that are not antisymmetric, or not the same everywhere.
        ConvergenceError: The iteration does not converge.
    """
    if flow.kinetic or not flow.slips:
        found = '"kinetic"' if flow.kinetic else "a magnetic field, added terms or another coupling"
        text = f'"two-way" needs flow.model = "ohmic" or "hydrodynamic" by itself; found {found}'
        raise CaseError(("angular_momentum.coupling", f'{text}; "one-way" is available'))
    if diffusion.device.dimension != 2:
        text = '"two-way" in a viscous flow is for 2D devices; found 3D; "one-way" is available'
        raise CaseError(("angular_momentum.coupling", text))
    theta = diffusion.hall[..., :2]
    rest = np.abs(theta + theta.swapaxes(1, 3)).max()
    step = np.ptp(theta, axis=0).max()
    if max(rest, step) > 1e-9 * np.abs(theta).max() or diffusion.conductance:
        text = (
            '"two-way" in a viscous flow needs the same Hall conductivity in all regions,'
            " antisymmetric in flow and field as isotropic ones are, and no interface conductance;"
            ' "one-way" is available'
        )
        raise CaseError(("angular_momentum.coupling", text))
    return solved(diffusion, flow, keep=keep)


def solved(diffusion: Diffusion, flow: Flow, *, keep: bool) -> Coupled:
    """The same for a problem that can be solved; the flow may be the coupled one."""
    both, found = _Both(diffusion, flow, keep=keep), None
    try:
        found = both.solve()
    finally:
        if found is None or not keep:
            both.close()
    return found


class _Currents:
    """J''.n of omega on facets, and its transpose, SI.

    Args:
        diffusion: Whose omega, and Hall conductivity.
        geometry: The facets at the points of a quadrature.
    """

    def __init__(self, diffusion: Diffusion, geometry: FacetGeometry) -> None:
        device, space, cells = diffusion.device, diffusion.space, cells_of(diffusion.device)
        d, n = device.dimension, len(diffusion.components)
        self.diffusion, self.geometry = diffusion, geometry
        self.cells, on_facet = geometry.cell, space.on_facet[geometry.local]
        self.on_facet, self.nodes = on_facet, space.dofs[geometry.cell[:, None], on_facet]
        self.weight = geometry.weight * device.extent ** (d - 1)
        values = geometry.table(lambda points, i: space.values(points)[:, space.on_facet[i]])
        self.values = values
        self.table = np.zeros((*geometry.weight.shape, on_facet.shape[1], n))
        for number, points in enumerate(geometry.points):
            here = geometry.local == number
            slopes, _ = cells.gradients(geometry.cell[here], points, space.gradients(points))
            through = np.tensordot(geometry.normal[here], diffusion.hall[0, ..., :d], (2, 2))
            # All but what varies along the facet cancels.
            along = slopes[..., space.on_facet[number]].swapaxes(2, 3)
            self.table[here] = along @ through / device.extent

    def __call__(self, omega: np.ndarray) -> np.ndarray:
        """At the points of facets, (f, q), from omega at their nodes, (f, m, n)."""
        f, q, m, n = self.table.shape
        return (self.table.reshape(f, q, m * n) @ omega.reshape(f, m * n, 1))[..., 0]

    def in_hall(self, level: np.ndarray, omega: np.ndarray) -> np.ndarray:
        """<level, J''.n> in Theta of each facet, (f, d, n, d), as far as it is antisymmetric.

        Arguments as of :meth:`__call__` and :meth:`transposed`.
        """
        device, space, at = self.diffusion.device, self.diffusion.space, self.geometry
        f, d, n = len(self.cells), device.dimension, omega.shape[2]
        out, pull = np.zeros((f, d * n, d)), (level * self.weight)[..., None] * at.normal
        for number, points in enumerate(at.points):
            here, table = at.local == number, space.gradients(points)
            slopes, _ = cells_of(device).gradients(at.cell[here], points, table)
            along = slopes[..., space.on_facet[number]] @ omega[here][:, None]
            flat = along.reshape(*along.shape[:2], d * n)
            out[here] = flat.swapaxes(1, 2) @ pull[here] / device.extent
        return out.reshape(f, d, n, d)

    def transposed(self, level: np.ndarray) -> np.ndarray:
        """<level, J''(v).n> of a level at the points, (f, q): shape (f, m, n)."""
        f, q, m, n = self.table.shape
        weighted = (level * self.weight)[:, None]
        return (weighted @ self.table.reshape(f, q, m * n)).reshape(f, m, n)


class _Local:
    """T is nearly local where l k >> 1: P = D chi + 2 (l^2/sigma) J''.n J''.n on walls, over D chi.

    Args:
        on: Currents through walls.
        system: Of angular momentum.
        stress: l^2/sigma at the points of walls, (f, q), SI.
    """

    def __init__(self, on: _Currents, system: System, stress: np.ndarray) -> None:
        f, q, m, n = on.table.shape
        D = system.operator.diffusion.diagonal(axis1=1, axis2=3).mean(axis=-1)
        D = (D + D.swapaxes(1, 2)) / 2
        mass = (on.values * on.weight[..., None]).swapaxes(1, 2) @ on.values
        blocks = (
            mass[:, :, None, :, None] * D[system.device.cell_region[on.cells]][:, None, :, None, :]
        )
        self._mass = blocks.reshape(f, m * n, m * n)
        flat = on.table.reshape(f, q, m * n)
        pull = flat.swapaxes(1, 2) @ (flat * (2 * stress * on.weight)[..., None])
        self._matrix = FacetMatrix(system, on.cells, on.nodes, self._mass + pull)

    def __call__(self, residual: np.ndarray) -> np.ndarray:
        """P^-1 D chi of what T leaves at the nodes of walls."""
        flat = residual.reshape(self._mass.shape[:2])
        found = self._matrix.solve((self._mass @ flat[..., None])[..., 0])
        return np.where(self._matrix.held, flat, found).reshape(residual.shape)

    def close(self) -> None:
        """Free it, on all ranks together."""
        self._matrix.close()


class _Both:
    """A diffusion and a hydrodynamic flow, with what they do to each other at boundaries."""

    def __init__(self, diffusion: Diffusion, flow: Flow, *, keep: bool = False) -> None:
        device = diffusion.device
        self.diffusion, self.comm, self.keep = diffusion, device.comm, keep
        self.model = Hydrodynamic(
            device,
            materials=flow.materials,
            boundaries=flow.boundaries,
            order=flow.order,
            thickness=flow.thickness,
            solver="direct",
            elements=flow.evidence["elements"],
        )
        self.problem = self.model.problem(yielding=True)
        self.flow = Yielding(self.problem, keep=keep)
        self.base = self.flow.solutions
        self.held, self.given = diffusion.prescribed
        self.angular = System(
            device,
            diffusion.space,
            diffusion.operator,
            held=self.held,
            pairs=diffusion.pairs,
        )
        self.solver = FacetSolver(self.angular)
        discrete = self.flow.discrete
        self.walls = _Currents(diffusion, self.flow.geometry)
        ports = [device.facets_on(name) for name in self.problem.ports]
        self.ports = [_Currents(diffusion, discrete.geometry(facets)) for facets in ports]
        # Scaled stress, l^2/sigma, in SI.
        unit = device.extent**2 / self.model.scales.conductivity
        at = self.flow.geometry
        stress = self.problem.coefficients.stress(at.cell, at.position)
        stress = stress[:, None] if stress.ndim == 1 else stress
        stress = np.broadcast_to(stress, at.weight.shape)
        self.local = _Local(self.walls, self.angular, stress * unit)
        self.evidence: dict[str, Any] = {"coupling_iterations": 0, "coupling_residual": 0.0}

    def close(self) -> None:
        """Free both, on all ranks together."""
        for part in (self.flow, self.solver, self.local):
            part.close()

    def _values(self, parts: list[np.ndarray], *, transposed: bool = False) -> np.ndarray:
        """Omega at the nodes of walls for loads on the nodes of walls, and of ports."""
        on = [self.walls, *self.ports][: len(parts)]
        cells = np.concatenate([each.cells for each in on])
        nodes = np.concatenate([each.nodes for each in on])
        found = self.solver.solve(cells, nodes, np.concatenate(parts), transposed=transposed)
        return found[: len(self.walls.cells)]

    def feedback(self, omega: np.ndarray) -> tuple[np.ndarray, ...]:
        """What omega at walls, (f, m, n), makes: loads there; J', potential, levels of facets."""
        unit = self.model.scales.current_density
        found = self.flow.respond(self.walls(omega) / unit)
        assert found.levels is not None
        back = -self.walls.transposed(self.flow.at_points(found)[..., 0])
        return back, found.vector[0], found.scalar[0], found.levels[0]

    def iterated(self, start: np.ndarray, *, transposed: bool = False) -> np.ndarray:
        """Omega at the nodes of walls from what it is without feedback.

        If ``transposed`` in the transposed problem, whose angular momentum diffuses by D^T.
        """
        if not self.comm.allreduce(bool(start.any())):
            return start
        starts = np.concatenate([[0], np.cumsum(self.comm.allgather(start.size))])
        own, none = starts[self.comm.rank] + np.arange(start.size), np.empty(0, dtype=np.int64)
        rows = Rows(Numbering(nodes=none, extra=none, to_global=own, starts=starts), self.comm)

        def less_feedback(x: np.ndarray) -> np.ndarray:
            omega = x.reshape(start.shape)
            back = self._values([self.feedback(omega)[0]], transposed=transposed)
            return (omega - back).reshape(x.shape)

        operator = Operator(less_feedback, rows)
        try:
            found, count, error = iterate(
                operator,
                self.local,
                start.reshape(-1, 1),
                OF_ADJOINT if transposed else TOLERANCE,
                method="gmres",
                restart=500,  # there are few unknowns on walls
                advice='the coupling is too strong at walls, "one-way" is available',
            )
        finally:
            operator.close()
        for key, value in (("coupling_iterations", count), ("coupling_residual", error)):
            self.evidence[key] = max(self.evidence[key], value)
        return found.reshape(start.shape)

    def _sources(self) -> list[list[np.ndarray]]:
        """Loads on walls and on each port for a unit potential of each port."""
        out = []
        for side in range(len(self.ports)):
            walls = -self.walls.transposed(self.flow.levels[..., side])
            ports = [
                -on.transposed(np.full(on.weight.shape, float(i == side)))
                for i, on in enumerate(self.ports)
            ]
            out.append([walls, *ports])
        return out

    def loads(self, parts: list[np.ndarray]) -> np.ndarray:
        """Loads on walls, and ports, at the nodes of each cell, (c, m, n)."""
        out = np.zeros((*self.diffusion.space.dofs.shape, len(self.diffusion.components)))
        for on, load in zip([self.walls, *self.ports], parts, strict=False):
            np.add.at(out, (on.cells[:, None], on.on_facet), load)
        return out

    def _fed(self) -> np.ndarray:
        """Loads that no potential makes, (c, m, n)."""
        fed = self.diffusion.injection
        if self.diffusion.perpendicular_field:
            fed = fed + self.diffusion.perpendicular_load()
        return fed

    def solve(self) -> Coupled:
        """For a unit potential of each port, and for what is fed in; and mixed as they are."""
        sources, fed, base = self._sources(), self._fed(), self.base
        ports, contacts = len(sources), len(self.problem.grounded)
        loads = np.stack([*(self.loads(parts) for parts in sources), fed], axis=-1)
        given = np.zeros((*self.given.shape, ports + 1))
        given[..., -1] = self.given
        alone = self.angular.solve(loads[..., -1:], given[..., -1:]).values[..., 0]
        starts = [self._values(parts) for parts in sources]
        starts.append(alone[self.walls.cells[:, None], self.walls.on_facet])
        states = [np.pad(x, ((0, 1), *([(0, 0)] * (x.ndim - 1)))) for x in _parts(base)]
        responses: list[tuple[np.ndarray, ...]] = []
        for side, start in enumerate(starts):
            if side == contacts - 1 and ports == contacts:
                # All contacts at one potential: nothing flows.
                parts = [-sum(own) for own in zip(*responses, strict=True)]
                responses.append(tuple(np.asarray(p) for p in parts) or self.feedback(0 * start))
            else:
                responses.append(self.feedback(self.iterated(start)))
            back, *more = responses[-1]
            loads[..., side] += self.loads([back])
            for state, part in zip(states, more, strict=True):
                state[side] += part
        solution = self.angular.solve(loads, given)
        vector, scalar, levels = states
        flux = self._flux(sources, solution.values)
        self._check_reciprocity(flux[:, :-1])
        found = Solutions(
            vector=vector,
            scalar=scalar,
            flux=flux,
            evidence={},
            family=base.family,
            levels=levels,
        )
        return self._mixed(found, solution)

    def _flux(self, sources: list[list[np.ndarray]], omega: np.ndarray) -> np.ndarray:
        """Scaled currents, (ports, sides): by reciprocity the work of loads on what they make."""
        out = np.pad(self.base.flux, ((0, 0), (0, 1)))
        device = self.diffusion.device
        unit = self.model.scales.current(device.dimension)
        for i, parts in enumerate(sources):
            work = np.zeros(omega.shape[3])
            for on, load in zip([self.walls, *self.ports], parts, strict=True):
                at = omega[on.cells[:, None], on.on_facet]
                work += np.tensordot(load, at, ((0, 1, 2), (0, 1, 2)))
            out[i] += total(self.comm, work) / unit
        return out

    def _check_reciprocity(self, flux: np.ndarray) -> None:
        """Raise a ConvergenceError if rounding has been magnified: currents tell, residuals do not.

        Onsager: what a unit potential at one port makes at another is the same both ways.
        """
        apart = float(np.abs(flux - flux.T).max() / np.abs(flux).max())
        if self.diffusion.operator.symmetric and apart > _RECIPROCAL:
            raise ConvergenceError(
                f"charge and angular momentum together: G_ij and G_ji differ by {apart:.1g} of the"
                " largest conductance, by rounding that the coupling magnifies where cells at walls"
                " are much smaller than the decay lengths; give larger ones (mesh.accuracy,"
                ' mesh.wall_size) or use angular_momentum.coupling = "one-way"'
            )

    def _mixed(self, found: Solutions, solution: Solution) -> Coupled:
        model, base, problem = self.model, self.base, self.problem
        joined = not problem.phases.any() and problem.elements == TAYLOR_HOOD
        known = {"elements": problem.elements, **base.evidence}
        drift = mixture(model, found, joined=joined)

        def whole(mix: np.ndarray) -> tuple[Field, Field]:
            current, potential = drift(mix)
            return _with_interband(self.diffusion, current, solution.values @ mix), potential

        alone = driven(
            model,
            "hydrodynamic",
            base.flux,
            mixture(model, base, joined=joined),
            known,
            adjoint=HydrodynamicAdjoint(model, self.flow.system, base) if self.keep else None,
        )
        evidence = {**known, "coupling": "GMRES over both solvers", **self.evidence}
        adjoint = ViscousAdjoint(self, found, solution, alone) if self.keep else None
        flow = driven(
            model, "hydrodynamic", found.flux, whole, evidence, slips=False, adjoint=adjoint
        )
        terminals = (*flow.contacts.values(), *flow.periodic.values())
        mix = np.array([*(t.potential for t in terminals), 1.0])
        evidence = {k: v for k, v in solution.evidence.items() if k != "systems"}
        densities = self.diffusion.densities(
            solution.values @ mix, solution.reaction @ mix, {**evidence, **self.evidence}
        )
        unit = model.scales.current(self.diffusion.device.dimension) * (model.thickness or 1.0)
        return Coupled(flow=flow, alone=alone, densities=densities, offset=found.flux[:, -1] * unit)


def _parts(found: Solutions) -> tuple[np.ndarray, ...]:
    """J', potential and levels of all sides."""
    assert found.levels is not None
    return found.vector, found.scalar, found.levels


def _with_interband(diffusion: Diffusion, drift: Field, omega: np.ndarray) -> Field:
    """J from J' and omega at the nodes of each cell, (c, m, n)."""
    device = diffusion.device
    points = lagrange(device, drift.highest).points
    slopes = gradient(cellwise("omega", "", device, diffusion.order, omega), points)
    theta = diffusion.hall[0, ..., : device.dimension].reshape(-1, device.dimension)
    flat = slopes.reshape(*slopes.shape[:2], len(theta))  # a rank may have no cells
    values = drift.everywhere(points) + flat @ theta
    return cellwise(drift.name, drift.unit, device, drift.highest, values)
