"""The odd moments, iteratively: conjugate gradients on the flows without divergence.

    [ A_11  A_1r  B^T ] [u_1]       u_1: the first moments, J;  u_r: all others
    [ A_r1  A_rr  0   ] [u_r]       B: divergence in the conductor, normal current at walls
    [ B     0     0   ] [phi]       phi: potential and levels of the walls

The preconditioner keeps A_11 and B as they are, factorised once: the hydrodynamic problem. It
leaves div J = 0 in each step, so that the iteration sees a positive definite operator (projected
conjugate gradients; N. Gould, M. Hribar, J. Nocedal 2001). Of A_rr it keeps what each moment does
to itself (:mod:`meso.flow.blocks`).

In a magnetic field A is not symmetric: the same preconditioner, with GMRES.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from petsc4py import PETSc
from scipy.sparse import csr_matrix, triu

from meso.discrete import memory
from meso.discrete import unknowns as numbering
from meso.discrete.algebra import Assembly, global_matrix
from meso.discrete.periodic import ground_nodes, twin_nodes
from meso.discrete.solvers import free
from meso.flow import terms
from meso.flow.angular import Moments
from meso.flow.blocks import PAIRED, blocks, factor_of
from meso.flow.discretisation import Discretisation, Law, Problem, Solutions
from meso.flow.kronecker import Boundary, Member, angular_parts, boundary, scalar_matrices
from meso.flow.krylov import conjugate_gradients, gmres
from meso.flow.layout import Layout
from meso.flow.sweep import Sweep
from meso.mpi import largest, total

#: Reduction of the natural norm of the residual; the relative error of currents is about its
#: square.
TOLERANCE = 1e-4


class IterativeMoments:
    """The iterative system of the odd moments.

    Args:
        problem: What is to be solved; without prescribed moments, with half-range laws.
        tolerance: Reduction of the natural norm of the residual.
    """

    def __init__(self, problem: Problem, *, tolerance: float = TOLERANCE) -> None:
        self.problem, self.tolerance = problem, tolerance
        self.comm = problem.device.comm
        self.members = problem.members or (problem.moments,)
        self.count = problem.moments.count
        self.discrete = Discretisation(_first(problem))
        self.vector, self.scalar = self.discrete.vector, self.discrete.scalar
        twins = twin_nodes(problem.device, self.vector, problem.pairs)
        keep = np.ones(self.vector.nodes, dtype=bool)
        self.numbering = numbering.number_field(self.vector, keep, twins=twins)
        self.layout = Layout(self.numbering, self.comm)
        self.twins = twins
        unknowns = self.count * int(self.numbering.starts[-1])
        memory.require(
            self.comm,
            memory.moments(unknowns, self.discrete.sides) / self.comm.size,
            f"the iteration for {unknowns} moments",
            "fewer flow.harmonics, larger cells (mesh.size) or more memory would help",
        )
        self._saddle()
        self._operator()
        self._preconditioner()

    # -- the first moments ---------------------------------------------------------------------

    def _saddle(self) -> None:
        """Factorise the hydrodynamic problem."""
        problem, discrete = self.discrete.problem, self.discrete
        device, scalar, vector = problem.device, self.scalar, self.vector
        self.phase = problem.phases[device.cell_region]
        walls = discrete.facets(lambda law: law.impenetrable)
        ground = ground_nodes(device, scalar, problem.grounded, problem.pairs)
        self.unknowns = unknowns = numbering.number(
            vector=vector,
            keep_vector=np.ones(vector.nodes, dtype=bool),
            components=2,
            scalar=scalar,
            keep_scalar=numbering.kept(scalar, ground, inside=True),
            phase=self.phase,
            wall_nodes=discrete.wall_nodes(walls, self.twins),
            wall_label=walls.piece * len(problem.phases) + self.phase[walls.cell],
            twins=self.twins,
        )
        sides = discrete.sides
        assembly = Assembly(unknowns, sides)
        for side, name in enumerate(problem.ports):
            facets, flux = discrete.port_flux(name)
            load = np.zeros((*flux.shape, sides))
            load[..., side] = -flux
            assembly.add_load(self._rows(facets.cell, facets.local), load)
        coupling = discrete.wall_flux(walls)
        count, levels, p, components = coupling.shape  # a rank may have no walls
        rows = self._rows(walls.cell, walls.local).reshape(count, p * components)
        coupling = coupling.reshape(count, levels, p * components)
        assembly.add_coupling(unknowns.wall, rows, coupling)
        for batch, whole in discrete.cell_matrices():
            rows = self._both(vector.dofs[batch])
            size = rows.shape[1]
            assembly.add_matrix(rows, whole[:, :size, :size])
            assembly.add_coupling(self._scalar_rows(batch), rows, whole[:, size:, :size])
            if discrete.loaded:
                load = np.zeros((len(batch), size, sides))
                load[..., -1] = discrete.cell_loads(batch)[:, :size]
                assembly.add_load(rows, load)
        for cell, whole in discrete.boundary_matrices(nitsche=False):
            rows = self._both(vector.dofs[cell])
            size = rows.shape[1]
            assembly.add_matrix(rows, whole[:, :size, :size])
        self.load = assembly.load
        local = assembly.local()
        size = 2 * self.layout.size
        uu = local[:size, :size]
        self.first: csr_matrix = (uu + triu(uu, 1).T).tocsr()
        self.gradient: csr_matrix = local[:size, size:].tocsr()
        matrix = global_matrix(local, unknowns, half=True)
        self._right, self._left = matrix.createVecs()
        self.saddle = factor_of(matrix, definite=False)

    def _rows(self, cell: np.ndarray, local: np.ndarray) -> np.ndarray:
        """Unknowns of the first moments on facets, shape (f, p, 2)."""
        nodes = self.vector.dofs[cell[:, None], self.vector.on_facet[local]]
        return self.unknowns.vector[nodes][..., None] + np.arange(2)

    def _both(self, nodes: np.ndarray) -> np.ndarray:
        """Unknowns of the first moments at nodes (c, p), shape (c, 2 p)."""
        both = self.unknowns.vector[nodes][..., None] + np.arange(2)
        return both.reshape(len(nodes), 2 * nodes.shape[1])

    def _scalar_rows(self, cells: np.ndarray) -> np.ndarray:
        return self.unknowns.scalar[self.phase[cells][:, None], self.scalar.dofs[cells]]

    def _hydrodynamic(self, force: np.ndarray) -> np.ndarray:
        """Solve the hydrodynamic problem for forces on owned nodes (owned, 2): all unknowns."""
        size = 2 * self.layout.owned
        right = self._right.array
        right[:] = 0.0
        right[:size] = force.ravel()
        self.saddle.solve(self._right, self._left)
        return self._left.array

    # -- operator ------------------------------------------------------------------------------

    def _operator(self) -> None:
        rows, size = self.numbering.nodes, self.numbering.size
        coefficients = self.problem.coefficients
        self.matrices = scalar_matrices(
            self.discrete.cells,
            self.vector,
            coefficients.stress,
            coefficients.relaxation,
            coefficients.varies,
            self.phase,
            len(self.members),
            rows,
            size,
        )
        self.parts: list[Member | Boundary] = []
        for matrices, moments in zip(self.matrices, self.members, strict=True):
            stress, relaxation = moments.stress.copy(), moments.relaxation.copy()
            stress[:, :, :2, :2] = 0.0  # they are in the matrix of the first moments
            relaxation[:2, :2] = 0.0
            rest = Moments(flux=moments.flux, stress=stress, relaxation=relaxation)
            if self.count > 2:
                self.parts.append(Member(matrices, rest))
        self.boundaries: list[Boundary] = []
        orders = range(1, self.count, 2)
        for name, law in self.problem.laws.items():
            if law.half_range is None or self.count == 2:
                continue
            matrix = law.half_range.matrix.copy()
            matrix[:2, :2] = 0.0
            part = boundary(self.discrete, name, rows, law.half_range.weight, matrix, orders)
            self.parts.append(part)
            self.boundaries.append(part)
        # In a magnetic field the first moments turn; their factorised part does not.
        self.turn: list[tuple[csr_matrix, np.ndarray]] = []
        for matrices, moments in zip(self.matrices, self.members, strict=True):
            if not moments.symmetric:
                first = _part(moments, slice(0, 2))
                pairs = zip(angular_parts(first), angular_parts(_mean(first)), strict=True)
                odd = [a - b for a, b in pairs]
                self.turn += [(k, a) for k, a in zip(matrices, odd, strict=True) if np.any(a)]

    def apply(self, x: np.ndarray) -> np.ndarray:
        """A x on owned rows, shape (owned, N)."""
        touched = self.layout.spread(x)
        y = np.zeros_like(touched)
        first = np.ascontiguousarray(touched[:, :2])
        y[:, :2] = (self.first @ first.ravel()).reshape(-1, 2)
        for matrix, angular in self.turn:
            y[:, :2] += matrix @ (first @ angular.T)
        for part in self.parts:
            part.add(touched, y)
        return self.layout.gather(y)

    # -- preconditioner ------------------------------------------------------------------------

    def _preconditioner(self) -> None:
        """Factors of the higher moments."""
        laws = self.problem.laws.values()
        smooth = any(law.half_range and law.half_range.ratio < PAIRED for law in laws)
        self.paired = smooth and self.count > 2
        pairs = np.arange(2, self.count).reshape(-1, 2)
        # m = 3, 7, ... twice, and once 1, 5, ...: the hydrodynamic problem is the largest factor.
        halves = (pairs[::2], pairs[1::2]) if self._coupled() else (pairs[:0], pairs)
        half, other = blocks(
            self.layout,
            self.matrices,
            self.members,
            self.boundaries,
            halves,
            paired=self.paired,
        )
        #: Forces on owned rows to moments there, shape (owned, N).
        self.precondition = Sweep(
            self.layout, self.matrices, self.members, half, other, self._first_moments, (0, 1)
        )

    def _coupled(self) -> bool:
        """Whether mean free paths exceed the cells, so that neighbouring harmonics go together.

        Not in a magnetic field, where cosine and sine do: GMRES needs more iterations with a sweep.
        """
        if not self.problem.symmetric:
            return False
        cells, coefficients = self.discrete.cells, self.problem.coefficients
        everything = np.arange(cells.count)
        at = cells.positions(everything, terms.points_of(cells, self.vector)[0])
        stress, relaxation = (
            of(everything, at) for of in (coefficients.stress, coefficients.relaxation)
        )
        longest = largest(self.comm, np.sqrt(stress / relaxation).max(initial=0.0))
        device = self.problem.device
        size = np.sqrt(device.measure / device.cells) / device.extent
        return bool(longest > size)

    def _first_moments(self, r: np.ndarray, z: np.ndarray) -> None:
        all_ = self._hydrodynamic(r[:, :2])
        z[:, :2] = all_[: 2 * self.layout.owned].reshape(-1, 2)

    def close(self) -> None:
        """Free the memory of the system, on all ranks together."""
        self.precondition.close()
        free(self.saddle, self._right, self._left)
        self.layout.close()
        # The sweep knows a method of this object: a circle that Python would not see soon.
        del self.precondition

    # -- solution ------------------------------------------------------------------------------

    def solve(self, start: np.ndarray | None = None) -> Solutions:
        """Solve for unit potentials on each port, and for the loads if there are any.

        Args:
            start: Moments at the nodes to begin with, shape (sides, nodes, k), k <= N.

        Returns:
            The solutions.

        Raises:
            ConvergenceError: Too many iterations, or not finite.
        """
        ports, sides = len(self.problem.ports), self.discrete.sides
        vector = np.zeros((sides, self.vector.nodes, self.count))
        scalar = np.zeros((sides, *self.scalar.dofs.shape))
        contacts = ports - len(self.problem.pairs)
        self.iterations, self.residual = 0, 0.0
        rows = self._scalar_rows(np.arange(len(self.phase)))
        method = self._conjugate if self.problem.symmetric else self._gmres
        loads: list[np.ndarray] = []
        found: list[np.ndarray] = []
        products: list[np.ndarray] = []
        for side in range(sides):
            load = np.ascontiguousarray(self.load[: 2 * self.layout.size, side])
            loads.append(self.layout.gather(load.reshape(-1, 2)))
            if side == contacts - 1 and not self.problem.pairs:
                # All contacts at one potential carry no current.
                nothing = np.zeros((self.layout.owned, self.count))
                found.append(-sum(found, start=nothing))
                products.append(-sum(products, start=nothing))
                scalar[side] = 1.0 - scalar[:side].sum(axis=0)
            else:
                x0 = np.zeros((self.layout.owned, self.count))
                if start is not None:
                    x0[:, : start.shape[2]] = self.layout.owned_of(start[side])
                x, product = method(loads[-1], x0)
                values = _spread(
                    self.unknowns, np.array(self._hydrodynamic(loads[-1] - product[:, :2]))
                )
                scalar[side] = np.where(rows >= 0, values[rows], 0.0)
                found.append(x)
                products.append(product)
            vector[side] = self.layout.spread(found[-1])[self.numbering.nodes]
        power = np.array([[np.vdot(b, x[:, :2]) for x in found] for b in loads])
        power = np.asarray(total(self.comm, power.reshape(sides, sides)))
        if self.problem.symmetric:
            # b_i.x_j + b_j.x_i - x_i.A x_j: the error is that of the solutions squared.
            energy = np.array([[np.vdot(x, y) for y in products] for x in found])
            energy = np.asarray(total(self.comm, energy.reshape(sides, sides)))
            power = power + power.T - energy
        flux = power[:ports]
        name = "conjugate gradients" if self.problem.symmetric else "GMRES"
        pairs = ", cosine and sine in pairs" if self.paired else ""
        return Solutions(
            vector=vector,
            scalar=scalar,
            flux=flux,
            evidence={
                "method": f"{name} on the factorised hydrodynamic problem{pairs}",
                "unknowns": self.unknowns.total + (self.count - 2) * self.layout.total,
                "residual": self.residual,
                "iterations": self.iterations,
            },
        )

    def _cleaned(self, r: np.ndarray) -> np.ndarray:
        """The force without what potentials balance, which rounding would amplify."""
        whole = self._hydrodynamic(r[:, :2])
        local = _spread(self.unknowns, whole)[2 * self.layout.size :]
        balanced = self.layout.gather((self.gradient @ local).reshape(-1, 2))
        out = r.copy()
        out[:, :2] -= balanced
        return out

    def _conjugate(self, load: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        force = self._force(load)
        warm = total(self.comm, float(np.abs(x).max(initial=0.0))) > 0
        r = self._cleaned(force - self.apply(x) if warm else force)
        z = self.precondition(r)
        # What potentials balance does not count: P r = P b where the start is zero.
        reference = self.layout.dot(force, self.precondition(force) if warm else z)
        norm = np.sqrt(reference) or 1.0
        x, iterations, error = conjugate_gradients(
            self.layout,
            self.apply,
            self.precondition,
            r,
            z,
            x,
            error=lambda rz, _: np.sqrt(abs(rz)) / norm,
            tolerance=self.tolerance,
        )
        return self._counted(x, iterations, error)

    def _gmres(self, load: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        force = self._force(load)
        z = self.precondition(force)
        x, iterations, error = gmres(
            self.layout,
            self.apply,
            self.precondition,
            lambda x: self._cleaned(force - self.apply(x)),
            x,
            norm=np.sqrt(self.layout.dot(z, z)),
            # There is no symmetry that would square the error of currents.
            tolerance=1e-2 * self.tolerance,
        )
        return self._counted(x, iterations, error)

    def _force(self, load: np.ndarray) -> np.ndarray:
        force = np.zeros((self.layout.owned, self.count))
        force[:, :2] = load
        return force

    def _counted(
        self, x: np.ndarray, iterations: int, error: float
    ) -> tuple[np.ndarray, np.ndarray]:
        self.iterations = max(self.iterations, iterations)
        self.residual = max(self.residual, error)
        return x, self.apply(x)


def _first(problem: Problem) -> Problem:
    """The hydrodynamic problem in it: the first moments, without a magnetic field."""

    def law(of: Law) -> Law:
        if of.half_range is None:
            return of
        return replace(of, half_range=of.half_range.first)

    members = tuple(_mean(_part(m, slice(0, 2))) for m in problem.members)
    return replace(
        problem,
        moments=_mean(_part(problem.moments, slice(0, 2))),
        members=members,
        laws={name: law(of) for name, of in problem.laws.items()},
    )


def _part(moments: Moments, which: slice) -> Moments:
    """Some of the moments, without what couples them to others."""
    return Moments(
        flux=moments.flux[:, which],
        relaxation=moments.relaxation[which, which],
        stress=moments.stress[:, :, which, which],
    )


def _mean(moments: Moments) -> Moments:
    """The symmetric part."""
    turned = moments.stress.transpose(1, 0, 3, 2)
    return replace(
        moments,
        relaxation=(moments.relaxation + moments.relaxation.T) / 2,
        stress=(moments.stress + turned) / 2,
    )


def _spread(unknowns: numbering.Unknowns, owned: np.ndarray) -> np.ndarray:
    """Values at this rank's local unknowns."""
    if unknowns.comm.size == 1:
        return np.array(owned)
    whole = PETSc.Vec().createWithArray(
        np.array(owned), size=(unknowns.owned, unknowns.total), comm=unknowns.comm
    )
    local = PETSc.Vec().createSeq(unknowns.size)
    rows = PETSc.IS().createGeneral(unknowns.to_global, comm=PETSc.COMM_SELF)
    scatter = PETSc.Scatter().create(whole, rows, local, None)
    scatter.scatter(whole, local)
    out = np.array(local.array)
    free(scatter, whole, local, rows)
    return out
