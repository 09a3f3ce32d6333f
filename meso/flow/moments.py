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

from contextlib import suppress
from copy import copy
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix, triu

from meso.discrete import memory
from meso.discrete.algebra import global_matrix
from meso.discrete.cells import cells_of
from meso.discrete.coefficients import extremes
from meso.discrete.dissection import fronts
from meso.discrete.krylov import Operator, iterate
from meso.discrete.skeleton import node_fronts, parts
from meso.discrete.solvers import factor_of, free, gather, spread
from meso.discrete.sparse import Rows
from meso.discrete.subdomains import Subdomains
from meso.discrete.unknowns import number_field
from meso.errors import ConvergenceError
from meso.flow.angular import Moments
from meso.flow.blocks import PAIRED, blocks
from meso.flow.discretisation import Problem, Solutions
from meso.flow.kronecker import Kronecker, half_range_terms, scalar_matrices
from meso.flow.sweep import Sweep
from meso.flow.system import DirectSystem
from meso.mpi import total

#: Reduction of the natural norm of the residual; the relative error of currents is about its
#: square.
TOLERANCE = 1e-4
#: Factor of it in a magnetic field: there is no symmetry that would square the error of currents.
UNSYMMETRIC = 5e-3
#: What the divergence that rounding makes may be of the current (measured: 1e-13, or 1e-2), and
#: the square of a scaled current that is rounding itself.
DRIFT, NOTHING = 1e-6, 1e-8
#: Relative residual up to which a factor without pivoting will do (measured: 5e-13 at most).
ROUNDING = 1e-9


class Saddle:
    """The factorised hydrodynamic problem: the first moments from forces, all unknowns beside."""

    def __init__(self, system: DirectSystem, local: csr_matrix, first: int) -> None:
        self.system, unknowns, self.columns = (
            system,
            system.unknowns,
            np.arange(system.moments.count),
        )
        self._right, self.left = (gather(unknowns, np.zeros(unknowns.size)) for _ in range(2))
        device = system.problem.device
        if device.dimension == 2:
            walls = system.discrete.facets(lambda law: law.impenetrable)
            every = np.arange(cells_of(device).count)
            touched = (every, system.rows(every)), (walls.cell, unknowns.wall)
            order = fronts(parts(device), unknowns.size, *touched)
            with suppress(ConvergenceError):
                self._factor: Any = Subdomains(local, unknowns, *order, positive=first)
                if self._exact(local):
                    return
        matrix = global_matrix(local, unknowns, half=True)
        self._factor = factor_of(matrix, definite=False)

    def _exact(self, upper: csr_matrix) -> bool:
        """Whether a factor without pivoting is one up to rounding: it solves for some load."""
        unknowns = self.system.unknowns
        self._right.array[:] = np.cos(np.arange(unknowns.owned))
        self._factor.solve(self._right, self.left)
        x = spread(unknowns, self.left)
        rest = gather(unknowns, upper @ x + upper.T @ x - upper.diagonal() * x)
        rest.axpy(-1.0, self._right)
        error = rest.norm()
        free(rest)
        return bool(error < ROUNDING * self._right.norm())

    def __call__(self, force: np.ndarray, source: np.ndarray | float = 0.0) -> np.ndarray:
        """J of a force, both on owned rows, (d, owned), and of a load on all other unknowns."""
        right = self._right.array
        right[force.size :] = source
        right[: force.size] = force.T.ravel()
        self._factor.solve(self._right, self.left)
        return np.asarray(self.left.array_r[: force.size].reshape(-1, len(force)).T)

    def solve(self, r: np.ndarray, z: np.ndarray) -> None:
        """Put J of a force in the first rows."""
        z[self.columns] = self(r[self.columns])

    def close(self) -> None:
        """Free it, on all ranks together."""
        free(self._factor, self._right, self.left)


class IterativeMoments:
    """The odd moments of a problem with half-range laws, up to a natural norm of the residual."""

    def __init__(self, problem: Problem, *, tolerance: float = TOLERANCE) -> None:
        self.problem, self.tolerance = problem, tolerance
        self.comm = problem.device.comm
        self.members = problem.members or (problem.moments,)
        self.count, self.dimension = problem.moments.count, problem.device.dimension
        self.system = DirectSystem(_hydrodynamic(problem), condensed=False)
        self.vector, self.sides = self.system.vector, self.system.sides
        keep = np.ones(self.vector.nodes, dtype=bool)
        numbers = number_field(self.vector, keep, twins=self.system.twins)
        self.rows = Rows(numbers, self.comm, self.count, apart=True)
        self.first = Rows(numbers, self.comm, self.dimension)
        self._require_memory()
        local, size = self.system.assembly.local(), self.first.size
        upper = local[:size, :size]
        self.saddle = Saddle(self.system, local, size)
        self._first = (upper + triu(upper, 1).T).tocsr()
        self._operator()
        self._preconditioner()

    def _require_memory(self) -> None:
        """Raise a CaseError if there is too little memory, before any is taken."""
        needed = memory.moments(self.rows.total, self.sides)
        if self.dimension == 3:  # what is factorised in 2D is small
            each = self.dimension * self.vector.in_cell + self.system.scalar.in_cell
            entries = self.problem.device.cells * each * (each + 1) / 2
            needed += memory.direct(self.system.unknowns.total, entries, 3)
        memory.require(
            self.comm,
            needed / self.comm.size,
            f"the iteration for {self.rows.total} moments",
            "fewer flow.harmonics, larger cells (mesh.size) or more memory would help",
        )

    # -- operator ------------------------------------------------------------------------------

    def _operator(self) -> None:
        problem, numbers, first = self.problem, self.rows.numbering, self._first
        device, order, coefficients = problem.device, problem.order, problem.coefficients
        d = self.dimension
        scalars = scalar_matrices(
            device, order, problem.phases, coefficients.stress, coefficients.relaxation
        )
        halves = {n: law.half_range for n, law in problem.laws.items() if law.half_range}
        laws = {name: half.matrix.without(d) for name, half in halves.items()}
        weight = next(iter(halves.values())).weight
        boundaries = half_range_terms(device, order, laws, weight)
        higher = [_without_first(member) for member in self.members]
        #: All but what the first moments do to themselves.
        self.rest = Kronecker(scalars, higher, boundaries).on(numbers.nodes, numbers.size)
        # In a magnetic field the first moments turn; their factorised part does not.
        vector, turning = np.arange(d), first
        for k, moments in zip(self.rest.scalars, self.members, strict=True):
            if not moments.symmetric:
                steady = k.explicit(_first_moments(moments), vector)
                turning = turning + k.explicit(moments, vector) - steady

        rest = self.rest.prepared()

        def apply(x: np.ndarray) -> np.ndarray:
            y = rest(x)
            y[:d] += (turning @ x[:d].T.ravel()).reshape(-1, d).T
            return y

        self.operator = Operator(apply, self.rows)
        self.friction = Operator(lambda x: (first @ x.ravel()).reshape(-1, d), self.first)

    # -- preconditioner ------------------------------------------------------------------------

    def _preconditioner(self) -> None:
        """Factors of the higher moments."""
        laws = self.problem.laws.values()
        smooth = any(law.half_range and law.half_range.ratio < PAIRED for law in laws)
        self.paired = smooth and self.count > self.dimension
        halves = self.problem.groups
        if not self._coupled():
            halves = ([], [*halves[0], *halves[1]])
        order = node_fronts(self.problem.device, self.vector, self.rows.numbering)
        half, other = blocks(
            self.rows,
            self.rest,
            halves,
            paired=self.paired,
            order=order,
            single=self.problem.symmetric,
        )
        #: Forces on owned rows to moments there, shape (N, owned).
        self.precondition = Sweep(self.rows, self.rest, half, [self.saddle, *other])

    def _coupled(self) -> bool:
        """Whether mean free paths exceed the cells, so that neighbouring harmonics go together.

        Not in a magnetic field, where cosine and sine do: GMRES needs more iterations with a sweep.
        """
        device, materials = self.problem.device, self.problem.coefficients.materials
        longest = extremes(device, materials, lambda m: m.mean_free_path)[1]
        size = (device.measure / device.cells) ** (1 / self.dimension)
        return self.problem.symmetric and longest > size

    def opposite(self, problem: Problem) -> IterativeMoments:
        """The problem in the opposite magnetic field, which shares all factors with this one."""
        opposite = copy(self)
        opposite.problem, opposite.members = problem, problem.members or (problem.moments,)
        opposite._operator()
        return opposite

    def close(self) -> None:
        """Free the memory of the system, on all ranks together."""
        for part in (self.precondition, self.operator, self.friction):
            part.close()

    # -- solution ------------------------------------------------------------------------------

    def solve(self, start: np.ndarray | None = None) -> Solutions:
        """Solve for unit potentials on each port, and for the loads if there are any.

        The iteration begins with ``start``, moments at the nodes, (sides, nodes, k), k <= N.
        """
        problem, system, nodes = self.problem, self.system, self.rows.numbering.nodes
        ports, unknowns = len(problem.ports), system.unknowns
        self.iterations, self.residual = 0, 0.0
        fits = start is not None and start.shape[:2] == (self.sides, self.vector.nodes)
        scalar = np.zeros((self.sides, *system.scalar.dofs.shape))
        scalar_rows = system.scalar_rows(np.arange(len(scalar[0])))
        levels = np.zeros((self.sides, *unknowns.wall.shape))
        loads = np.zeros((self.sides, self.count, self.first.owned // self.dimension))
        found, products = np.zeros_like(loads), np.zeros_like(loads)
        for side, own in enumerate(system.assembly.load.T):
            load = gather(unknowns, own)
            given = load.array_r[: self.first.owned].reshape(-1, self.dimension)
            loads[side, : self.dimension] = given.T
            free(load)
            if side == ports - 1 and not problem.pairs:
                # All contacts at one potential carry no current.
                found[side], products[side] = -found.sum(axis=0), -products.sum(axis=0)
                scalar[side] = 1.0 - scalar[:side].sum(axis=0)
                levels[side] = 1.0 - levels[:side].sum(axis=0)
                continue
            begin = self._owned(start[side]) if start is not None and fits else None
            found[side] = self._iterate(loads[side], begin)
            products[side] = self.operator(found[side])
            self.saddle((loads[side] - products[side])[: self.dimension])
            values = spread(unknowns, self.saddle.left)
            scalar[side] = np.where(scalar_rows >= 0, values[scalar_rows], 0.0)
            levels[side] = values[unknowns.wall]
        power = np.tensordot(loads, found, ((1, 2), (1, 2)))
        if problem.symmetric:
            # b_i.x_j + b_j.x_i - x_i.A x_j: the error is that of the solutions squared.
            power = power + power.T - np.tensordot(found, products, ((1, 2), (1, 2)))
        pairs = ", cosine and sine in pairs" if self.paired else ""
        name = "conjugate gradients" if problem.symmetric else "GMRES"
        return Solutions(
            vector=np.array([self.operator.spread(x)[:, nodes].T for x in found]),
            scalar=scalar,
            flux=np.asarray(total(self.comm, power))[:ports],
            evidence={
                "method": f"{name} on the factorised hydrodynamic problem{pairs}",
                "unknowns": unknowns.total + self.rows.total - self.first.total,
                "residual": self.residual,
                "iterations": self.iterations,
            },
            levels=system.discrete.spread_levels(levels),
        )

    def respond(self, moments: np.ndarray, potential: np.ndarray) -> Solutions:
        """The solution for other loads.

        Args:
            moments: On the moments at the nodes, shape (nodes, N); what ranks share adds up.
            potential: On the potential at the nodes of cells, shape (c, q).
        """
        system, d = self.system, self.dimension
        unknowns, numbers = system.unknowns, self.rows.numbering
        local = np.zeros((numbers.size, self.count))
        np.add.at(local, numbers.nodes, moments)
        vector = self.rows.gather(local.T)
        force = self.rows.shaped(np.array(vector.array_r))
        free(vector)
        own = np.zeros(unknowns.size)
        rows = system.scalar_rows(np.arange(len(potential)))
        np.add.at(own, rows[rows >= 0], potential[rows >= 0])
        source = gather(unknowns, own)
        begin = None
        if total(self.comm, float(np.abs(potential).sum())) > 0:
            # Some moments with this divergence; the iteration adds others without any.
            begin = np.zeros_like(force)
            begin[:d] = self.saddle(force[:d], source.array_r[self.first.owned :])
        found = self._iterate(force, begin)
        self.saddle((force - self.operator(found))[:d])
        values = spread(unknowns, self.saddle.left)
        free(source)
        scalar = np.where(rows >= 0, values[rows], 0.0)
        return Solutions(
            vector=self.operator.spread(found)[:, numbers.nodes].T[None],
            scalar=scalar[None],
            flux=np.empty((0, 1)),
            evidence={},
            levels=system.discrete.spread_levels(values[unknowns.wall][None]),
        )

    def _owned(self, nodal: np.ndarray) -> np.ndarray:
        """Moments on owned rows from some of them at the nodes, (nodes, k)."""
        numbers, rank = self.rows.numbering, self.comm.rank
        touched = np.zeros((numbers.size, self.count))
        touched[numbers.nodes, : nodal.shape[1]] = nodal
        first, last = numbers.starts[rank : rank + 2]
        return touched[(numbers.to_global >= first) & (numbers.to_global < last)].T

    def _iterate(self, force: np.ndarray, begin: np.ndarray | None) -> np.ndarray:
        """Moments for a force, both on owned rows, from a start."""
        right = force if begin is None else force - self.operator(begin)
        # The force without what potentials balance, which rounding would amplify.
        right = right.copy()
        d = self.dimension
        right[:d] = self.friction(self.saddle(right[:d]).T).T
        symmetric, size = self.problem.symmetric, None
        if begin is not None:
            z = self.precondition(force)
            size = float(np.sqrt(total(self.comm, np.vdot(force if symmetric else z, z))))
        x, iterations, error = iterate(
            self.operator,
            self.precondition,
            right,
            self.tolerance * (1 if symmetric else UNSYMMETRIC),
            size,
            "cg" if symmetric else "gmres",
        )
        self._check(x)
        self.iterations = max(self.iterations, iterations)
        self.residual = max(self.residual, error)
        return x if begin is None else begin + x

    def _check(self, moments: np.ndarray) -> None:
        """Raise a ConvergenceError where rounding has made a divergence, which no residual sees."""
        J = moments[: self.dimension]
        force = self.friction(J.T).T
        lost = J - self.saddle(force)
        left, whole = (
            total(self.comm, float(np.vdot(one, other)))
            for one, other in ((lost, self.friction(lost.T).T), (J, force))
        )
        if not abs(left) <= DRIFT**2 * max(abs(whole), NOTHING):
            raise ConvergenceError(
                f"the iteration of the moments lost conservation of charge to rounding, by"
                f" {np.sqrt(abs(left / whole)):.1e} of the current; the tolerance of"
                f" {self.tolerance:.0e} cannot be reached, one of 1e-8 can"
            )


def _without_first(moments: Moments) -> Moments:
    """Moments without what the first ones do to themselves."""
    d = len(moments.flux)
    stress, relaxation = moments.stress.copy(), moments.relaxation.copy()
    stress[..., :d, :d] = relaxation[:d, :d] = 0.0
    return replace(moments, stress=stress, relaxation=relaxation)


def _first_moments(moments: Moments) -> Moments:
    """The first moments without a magnetic field."""
    d = len(moments.flux)
    relaxation, stress = moments.relaxation[:d, :d], moments.stress[:, :, :d, :d]
    return Moments(
        flux=moments.flux[:, :d],
        relaxation=(relaxation + relaxation.T) / 2,
        stress=(stress + stress.transpose(1, 0, 3, 2)) / 2,
    )


def _hydrodynamic(problem: Problem) -> Problem:
    """The hydrodynamic problem in it."""
    d = problem.device.dimension
    return replace(
        problem,
        moments=_first_moments(problem.moments),
        members=tuple(_first_moments(m) for m in problem.members),
        laws={
            name: replace(law, half_range=law.half_range and law.half_range.first(d))
            for name, law in problem.laws.items()
        },
    )
