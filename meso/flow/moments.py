"""The odd moments, iteratively: conjugate gradients on the flows without divergence.

    [ A_11  A_1r  B^T ] [u_1]       u_1: the first moments, J;  u_r: all others
    [ A_r1  A_rr  0   ] [u_r]       B: divergence in the conductor, normal current at walls
    [ B     0     0   ] [phi]       phi: potential and levels of the walls

The preconditioner keeps A_11 and B as they are, factorised once: the hydrodynamic problem. It
leaves div J = 0 in each step, so that the iteration sees a positive definite operator (projected
conjugate gradients; N. Gould, M. Hribar, J. Nocedal 2001). Of A_rr it keeps what each moment does
to itself, with the mean of what walls do to cosine and sine: one scalar matrix for all moments that
relax alike, factorised once, applied to all of them at a time. At smooth walls, where cosine and
sine differ much, it takes them as a pair.

In a magnetic field A is not symmetric: the same preconditioner, with GMRES.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from petsc4py import PETSc
from scipy.linalg.blas import daxpy, ddot
from scipy.sparse import coo_matrix, csr_matrix, triu

from meso import unknowns as numbering
from meso.algebra import Assembly, global_matrix
from meso.errors import ConvergenceError
from meso.flow import terms
from meso.flow.angular import Moments
from meso.flow.discretisation import Discretisation, Law, Problem, Solutions
from meso.flow.kronecker import (
    Boundary,
    Layout,
    Member,
    angular_parts,
    boundary,
    scalar_matrices,
)
from meso.mpi import total
from meso.periodic import ground_nodes, twin_nodes

#: Reduction of the natural norm of the residual; the relative error of currents is about its
#: square.
TOLERANCE = 1e-4
#: Iterations at most.
MOST = 2000
#: Specularity from which cosine and sine are taken as a pair.
PAIRED = 0.9


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
            wall_nodes=scalar.dofs[walls.cell[:, None], scalar.on_facet[walls.local]],
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
        geometry = discrete.geometry(walls)
        test = terms.trace(geometry, scalar)
        coupling = terms.normal_flux(geometry, vector, problem.moments, test)
        rows = self._rows(walls.cell, walls.local).reshape(len(coupling), -1)
        assembly.add_coupling(unknowns.wall, rows, coupling.reshape(*coupling.shape[:2], -1))
        everything = np.arange(2)[:, None]
        for batch, matrix, divergence in discrete.cell_matrices():
            rows = (unknowns.vector[vector.dofs[batch]][:, None] + everything).reshape(
                len(batch), -1
            )
            scalars = self._scalar_rows(batch)
            size, q = rows.shape[1], scalars.shape[1]
            assembly.add_matrix(rows, matrix.reshape(len(batch), size, size))
            assembly.add_coupling(scalars, rows, divergence.reshape(len(batch), q, size))
            data = discrete.cell_loads(batch)
            if data is not None:
                load = np.zeros((len(batch), size, sides))
                load[..., -1] = data[0][:, :2].reshape(len(batch), size)
                assembly.add_load(rows, load)
        for cell, matrix, _ in discrete.boundary_matrices(nitsche=False):
            rows = (unknowns.vector[vector.dofs[cell]][:, None] + everything).reshape(len(cell), -1)
            size = rows.shape[1]
            assembly.add_matrix(rows, matrix.reshape(len(cell), size, size))
        self.load = assembly.load
        local = assembly.local()
        size = 2 * self.layout.size
        uu = local[:size, :size]
        self.first: csr_matrix = (uu + triu(uu, 1).T).tocsr()
        self.gradient: csr_matrix = local[:size, size:].tocsr()
        matrix = global_matrix(local, unknowns, half=True)
        self.saddle = _factorised(matrix, self.comm, definite=False)
        self._right, self._left = matrix.createVecs()

    def _rows(self, cell: np.ndarray, local: np.ndarray) -> np.ndarray:
        """Unknowns of the first moments on facets, shape (f, 2, p)."""
        nodes = self.vector.dofs[cell[:, None], self.vector.on_facet[local]]
        return self.unknowns.vector[nodes][:, None, :] + np.arange(2)[:, None]

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
        self.matrices = scalar_matrices(self.discrete, rows, size, len(self.members))
        self.parts: list[Member | Boundary] = []
        for matrices, moments in zip(self.matrices, self.members, strict=True):
            stress, relaxation = moments.stress.copy(), moments.relaxation.copy()
            stress[:, :, :2, :2] = 0.0  # they are in the matrix of the first moments
            relaxation[:2, :2] = 0.0
            rest = Moments(flux=moments.flux, stress=stress, relaxation=relaxation)
            if self.count > 2:
                self.parts.append(Member(matrices, rest))
        self.boundaries: list[tuple[str, Boundary]] = []
        orders = range(1, self.count, 2)
        for name, law in self.problem.laws.items():
            if law.half_range is None or self.count == 2:
                continue
            matrix = law.half_range.matrix.copy()
            matrix[:2, :2] = 0.0
            part = boundary(self.discrete, name, rows, law.half_range.weight, matrix, orders)
            self.parts.append(part)
            self.boundaries.append((name, part))
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
        """Scalar factors of the higher moments, or pairs of cosine and sine."""
        smooth = [
            name
            for name, law in self.problem.laws.items()
            if law.half_range is not None and law.half_range.ratio < (1 - PAIRED) / (1 + PAIRED)
        ]
        self.paired = bool(smooth) and self.count > 2
        blocks: dict[tuple[float, ...], list[int]] = {}
        for k in range(1, self.count // 2):
            key = []
            for moments in self.members:
                own = _part(moments, slice(2 * k, 2 * k + 2))
                key += [round(float(angular_parts(own)[i][0, 0]), 12) for i in (0, 4)]
            blocks.setdefault((*key, float(k) if self.paired else 0.0), []).append(k)
        self.blocks: list[Block] = [
            self._block(key, harmonics) for key, harmonics in blocks.items()
        ]

    def _block(self, key: tuple[float, ...], which: list[int]) -> Block:
        size, width = self.numbering.size, 2 if self.paired else 1
        matrix = csr_matrix((size, size))
        for i, matrices in enumerate(self.matrices):
            # Half of the trace of the stress acts with K_xx + K_yy.
            matrix = matrix + key[2 * i] * matrices[0] + key[2 * i + 1] * matrices[4]
        if self.paired:
            pair = matrix.tocoo()
            rows = [2 * pair.row, 2 * pair.row + 1]
            columns = [2 * pair.col, 2 * pair.col + 1]
            values = [pair.data, pair.data]
        else:
            full = matrix.tocoo()
            rows, columns, values = [full.row], [full.col], [full.data]
        for _, part in self.boundaries:
            k = which[0]
            normal, tangential = part.normal[k, k], part.tangential[k, k]
            if self.paired:
                c, s = part.cosine[..., k], part.sine[..., k]
                frame = np.empty((*c.shape, 2, 2))
                frame[..., 0, 0] = normal * c * c + tangential * s * s
                frame[..., 1, 1] = normal * s * s + tangential * c * c
                frame[..., 0, 1] = frame[..., 1, 0] = (normal - tangential) * c * s
            else:
                frame = np.full((*part.weight.shape, 1, 1), (normal + tangential) / 2)
            frame *= part.weight[..., None, None]
            block = np.einsum("fqab,fqm,fqn->fmanb", frame, part.trace, part.trace, optimize=True)
            f, p = part.rows.shape
            own = (width * part.rows[:, :, None] + np.arange(width)).reshape(f, p * width)
            rows.append(np.repeat(own, p * width, axis=1).ravel())
            columns.append(np.tile(own, (1, p * width)).ravel())
            values.append(block.ravel())
        i, j, data = (np.concatenate(part) for part in (rows, columns, values))
        whole = coo_matrix((data, (i, j)), shape=(size * width, size * width)).tocsr()
        return Block(self.layout, triu(whole).tocsr(), width, np.array(which))

    def precondition(self, r: np.ndarray) -> np.ndarray:
        """The preconditioner applied to forces on owned rows, shape (owned, N)."""
        z = np.empty_like(r)
        all_ = self._hydrodynamic(r[:, :2])
        z[:, :2] = all_[: 2 * self.layout.owned].reshape(-1, 2)
        for block in self.blocks:
            block.solve(r, z)
        return z

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
                    x0[:, : start.shape[2]] = self._owned(start[side])
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

    def _owned(self, nodal: np.ndarray) -> np.ndarray:
        """Owned rows of values at nodes."""
        touched = np.zeros((self.layout.size, nodal.shape[1]))
        touched[self.numbering.nodes] = nodal
        mine = np.searchsorted(
            self.layout.rows, np.arange(self.layout.first, self.layout.first + self.layout.owned)
        )
        return touched[mine]

    def _dot(self, x: np.ndarray, y: np.ndarray) -> float:
        return float(total(self.comm, ddot(x.reshape(-1), y.reshape(-1))))

    def _cleaned(self, r: np.ndarray) -> np.ndarray:
        """The force without what potentials balance, which rounding would amplify."""
        whole = self._hydrodynamic(r[:, :2])
        local = _spread(self.unknowns, whole)[2 * self.layout.size :]
        balanced = self.layout.gather((self.gradient @ local).reshape(-1, 2))
        out = r.copy()
        out[:, :2] -= balanced
        return out

    def _conjugate(self, load: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        force = np.zeros((self.layout.owned, self.count))
        force[:, :2] = load
        norm = np.sqrt(self._dot(load, self.precondition(force)[:, :2]))
        r = self._cleaned(force - self.apply(x) if x.any() else force)
        z = self.precondition(r)
        x, p, rz = x.copy(), z.copy(), self._dot(r, z)
        for iteration in range(MOST):
            error = np.sqrt(abs(rz)) / (norm or 1.0)
            if not np.isfinite(error):
                raise ConvergenceError("conjugate gradients: the residual is not finite")
            if error < self.tolerance or (iteration and self.count == 2):
                break
            q = self.apply(p)
            step = rz / self._dot(p, q)
            daxpy(p.reshape(-1), x.reshape(-1), a=step)
            daxpy(q.reshape(-1), r.reshape(-1), a=-step)
            z = self.precondition(r)
            before, rz = rz, self._dot(r, z)
            p *= rz / before
            p += z
        else:
            raise ConvergenceError(
                f"conjugate gradients stopped after {MOST} iterations with a relative residual of"
                f" {error:.1e} (limit {self.tolerance:.0e})"
            )
        self.iterations = max(self.iterations, iteration)
        self.residual = max(self.residual, float(error))
        return x, self.apply(x)

    def _gmres(self, load: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        force = np.zeros((self.layout.owned, self.count))
        force[:, :2] = load
        # There is no symmetry that would square the error of currents.
        most, done, tolerance = 60, 0, 1e-2 * self.tolerance
        norm = np.sqrt(self._dot(*(2 * [self.precondition(force)])))
        error = np.inf
        while done < MOST // 4:
            z = self.precondition(self._cleaned(force - self.apply(x)))
            beta = np.sqrt(self._dot(z, z))
            error = beta / (norm or 1.0)
            if error < tolerance or norm == 0:
                break
            basis, hessenberg = [z / beta], np.zeros((most + 1, most))
            for k in range(most):
                w = self.precondition(self.apply(basis[k]))
                for i, v in enumerate(basis):
                    hessenberg[i, k] = self._dot(v, w)
                    w -= hessenberg[i, k] * v
                hessenberg[k + 1, k] = np.sqrt(self._dot(w, w))
                right = np.zeros(k + 2)
                right[0] = beta
                small = hessenberg[: k + 2, : k + 1]
                weights = np.linalg.lstsq(small, right, rcond=None)[0]
                left = np.linalg.norm(small @ weights - right) / norm
                done += 1
                if left < tolerance / 2 or hessenberg[k + 1, k] == 0:
                    break
                basis.append(w / hessenberg[k + 1, k])
            x = x + sum(a * v for a, v in zip(weights, basis, strict=False))
        if not error < tolerance:
            raise ConvergenceError(
                f"GMRES stopped after {done} iterations with a relative residual of {error:.1e}"
                f' (limit {tolerance:.0e}): use solver = "direct" in a strong magnetic field'
            )
        self.iterations = max(self.iterations, done)
        self.residual = max(self.residual, float(error))
        return x, self.apply(x)


@dataclass(slots=True)
class Block:
    """A factorised scalar matrix for several moments, or for the pair of one.

    Attributes:
        layout: Rows over all ranks.
        upper: Upper half of this rank's part.
        width: 1, or 2 for pairs.
        which: The harmonics (m - 1)/2.
    """

    layout: Layout
    upper: csr_matrix
    width: int
    which: np.ndarray
    factor: PETSc.Mat = None
    right: PETSc.Mat = None
    left: PETSc.Mat = None

    def __post_init__(self) -> None:
        comm, layout, w = self.layout.comm, self.layout, self.width
        rows = (w * layout.rows[:, None] + np.arange(w, dtype=np.int32)).ravel().astype(np.int32)
        few = _Few(comm, rows, w * layout.owned, w * layout.total)
        matrix = global_matrix(self.upper, few, half=True)  # type: ignore[arg-type]
        self.factor = _factorised(matrix, comm, definite=True)
        self.upper = None
        columns = 1 if w == 2 else 2 * len(self.which)
        shape = ((w * layout.owned, w * layout.total), (columns, columns))
        self.right = PETSc.Mat().createDense(shape, comm=comm)
        self.left = PETSc.Mat().createDense(shape, comm=comm)
        for mat in (self.right, self.left):
            mat.setUp()
            mat.assemble()

    def solve(self, r: np.ndarray, z: np.ndarray) -> None:
        """Solve for these moments of r, shape (owned, N), and put them in z."""
        columns = np.array([[2 * k, 2 * k + 1] for k in self.which]).ravel()
        array = self.right.getDenseArray()
        if self.width == 2:
            array[:, 0] = r[:, columns].ravel()
        else:
            array[:] = r[:, columns]
        self.right.assemble()
        self.factor.matSolve(self.right, self.left)
        values = self.left.getDenseArray(readonly=True)
        z[:, columns] = values.reshape(-1, 2) if self.width == 2 else values


@dataclass(frozen=True, slots=True)
class _Few:
    """What :func:`meso.algebra.global_matrix` needs to know of a numbering."""

    comm: PETSc.Comm
    to_global: np.ndarray
    owned: int
    total: int


def _first(problem: Problem) -> Problem:
    """The hydrodynamic problem in it: the first moments, without a magnetic field."""

    def law(of: Law) -> Law:
        if of.half_range is None:
            return of
        return replace(of, angular=of.half_range.first)

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


def _factorised(matrix: PETSc.Mat, comm: PETSc.Comm, *, definite: bool) -> PETSc.Mat:
    """Factor of a symmetric matrix (MUMPS)."""
    if definite:
        matrix.setOption(PETSc.Mat.Option.SPD, True)
    pc = PETSc.PC().create(comm)
    pc.setOperators(matrix)
    pc.setType(PETSc.PC.Type.CHOLESKY)
    pc.setFactorSolverType(PETSc.Mat.SolverType.MUMPS)
    pc.setFactorSetUpSolverType()
    factor = pc.getFactorMatrix()
    factor.setMumpsIcntl(7, 2)
    factor.setMumpsIcntl(14, 40)
    try:
        pc.setUp()
    except PETSc.Error as error:
        raise ConvergenceError(f"the factorisation failed ({error})") from error
    status = factor.getMumpsInfog(1)
    if status != 0:
        raise ConvergenceError(
            f"the factorisation failed (MUMPS INFOG(1) = {status}): the system is singular or"
            " memory ran out"
        )
    return factor


def _spread(unknowns: numbering.Unknowns, owned: np.ndarray) -> np.ndarray:
    """Values at this rank's local unknowns."""
    if unknowns.comm.size == 1:
        return np.array(owned)
    whole = PETSc.Vec().createWithArray(
        np.array(owned), size=(unknowns.owned, unknowns.total), comm=unknowns.comm
    )
    local = PETSc.Vec().createSeq(unknowns.size)
    rows = PETSc.IS().createGeneral(unknowns.to_global, comm=PETSc.COMM_SELF)
    PETSc.Scatter().create(whole, rows, local, None).scatter(whole, local)
    return np.array(local.array)
