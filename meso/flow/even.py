"""The even harmonics: an upper bound of the conductance matrix (docs/bounds.md has the proof).

Even harmonics up to N in continuous P_k, odd ones eliminated: with C_o h_o = -X^T grad h_e the
dissipation is a convex functional of h_e,

    Q(h_e) = int d sigma (X_i^T d_i h_e) C_o^-1 (X_j^T d_j h_e) + (d sigma/lambda^2) h_e C_e h_e
             + boundary terms in (d sigma/lambda) <|n.p| ...>,

with d = 2 on a Fermi line and 3 on a sphere, whose minimum over all h_e is V.G V. Any h_e gives an
upper bound; the best one of a finite space is found here, for all potentials V at once: the
difference to G is positive semidefinite.

The operator is that of the odd moments with parities swapped, positive definite. Conjugate
gradients have what each moment does to itself as preconditioner: a sweep as for the odd harmonics
takes half of the iterations, each twice as long. The functional is evaluated at the iterate, so
that it is an upper bound wherever the iteration stops; it lies above the minimum by the square of
the error.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.sparse import diags

from meso.boundary import Contact, Wall
from meso.discrete.cells import FacetGeometry, lagrange
from meso.discrete.coefficients import KineticCoefficients, Scales, extremes
from meso.discrete.krylov import Operator, iterate
from meso.discrete.periodic import twin_nodes
from meso.discrete.skeleton import node_fronts
from meso.discrete.solvers import Factor, free
from meso.discrete.sparse import Rows
from meso.discrete.unknowns import number_field
from meso.flow.basis import WallMatrix
from meso.flow.blocks import PAIRED, Block, blocks, over_ranks
from meso.flow.discretisation import Discretisation
from meso.flow.kinetic import basis_of, different, roughness
from meso.flow.kronecker import Kronecker, half_range_terms, scalar_matrices
from meso.flow.result import Flow, periodic_pairs, ports_of
from meso.flow.sweep import Sweep
from meso.mpi import total

#: Moments in all nodes up to which the system is factorised: in less than 0.05 s, and without the
#: error of an iteration, which is the faster one throughout (measured).
DIRECT = 5_000
#: Where to stop: natural norm of the residual over the root of the functional.
TOLERANCE = 1e-4
#: Where there are no contacts nothing fixes the level of h: the preconditioner has a relaxation of
#: it over this length, in extents of the device.
LEVEL = 10.0


class EvenParity:
    """The even harmonics of a device.

    Args:
        flow: A kinetic flow, for its device, materials and boundaries.
        harmonics: The highest, even.
        solver: "direct", "iterative" or "auto".
        tolerance: Natural norm of the residual over the root of the functional.
    """

    def __init__(
        self,
        flow: Flow,
        harmonics: int,
        *,
        solver: str = "auto",
        tolerance: float = TOLERANCE,
    ) -> None:
        self.flow, self.device, self.tolerance = flow, flow.device, tolerance
        kinds, self.kinds = different(flow.device, flow.materials)
        self.basis = basis_of(flow.device, kinds, harmonics)
        self.members = [self.basis.even_moments(material) for material in kinds]
        self.count = self.members[0].count
        self.idle = np.ones(self.count, dtype=bool)
        self.idle[np.concatenate(self.basis.even_groups)] = False
        self.space = lagrange(flow.device, flow.order)
        self.names, self.pairs = ports_of(flow.boundaries), periodic_pairs(flow.boundaries)
        self.laws = {n: w for n, w in flow.boundaries.items() if isinstance(w, Contact | Wall)}
        self.direct = solver == "direct"
        if solver == "auto":
            self.direct = self.space.index_map.size_global * (self.count - 1) <= DIRECT
        scales = Scales(length=flow.device.extent, conductivity=1.0)
        self.coefficients = KineticCoefficients(flow.device, flow.materials, scales)
        sigma, path = self.coefficients.conductivity, self.coefficients.path
        scalars = scalar_matrices(
            flow.device,
            flow.order,
            self.kinds,
            lambda cells, at: self.basis.unit**2 * sigma(cells, at),
            lambda cells, at: self.basis.unit**2 * sigma(cells, at) / path(cells, at) ** 2,
        )
        laws = {name: self._law(law) for name, law in self.laws.items()}
        walls = half_range_terms(flow.device, flow.order, laws, self._weight)
        self.system, self.iterations = Kronecker(scalars, self.members, walls), 0

    def conductance(self) -> np.ndarray:
        """The upper bound, S (S/m without thickness), shape (ports, ports)."""
        load, given, constant = self.data()
        reduced = load - _each(self.system, given) if self.pairs else load
        start = constant - ((load + reduced) * given).sum(axis=(1, 2))
        h = given + self._best(reduced, total(self.device.comm, start))
        first = np.tensordot(load, h, ((1, 2), (1, 2)))
        second = np.tensordot(h, _each(self.system, h), ((1, 2), (1, 2)))
        q = np.diag(constant) - first - first.T + (second + second.T) / 2
        unit = self.device.extent ** (self.device.dimension - 2) * (self.flow.thickness or 1.0)
        return np.asarray(total(self.device.comm, q)) * unit

    # -- the functional ------------------------------------------------------------------------

    def _law(self, law: Contact | Wall) -> WallMatrix:
        """Boundary matrix."""
        if isinstance(law, Contact):
            return self.basis.even_wall(1.0, 1.0)
        ratio = roughness(law)
        return self.basis.even_wall(ratio, 1 / ratio).levelled()

    def _weight(self, geometry: FacetGeometry) -> np.ndarray:
        """Give d sigma/lambda at the quadrature points of facets."""
        at = Discretisation.at_facets
        sigma = at(self.coefficients.conductivity, geometry)
        return self.basis.unit**2 * sigma / at(self.coefficients.path, geometry)

    def data(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What does not depend on the moments, for each port at a unit potential.

        Loads on the nodes and steps of the potential across a periodic pair, both (ports, nodes,
        n), and the functional without moments, (ports,).
        """
        load = np.zeros((len(self.names), self.space.nodes, self.count))
        given, constant = np.zeros_like(load), np.zeros(len(load))
        terms = dict(zip(self.laws, self.system.boundaries, strict=True))
        for side, name in enumerate(self.names):
            if name in terms:
                level = np.zeros(load.shape[1:])
                level[:, 0] = 1.0
                terms[name].add(level, load[side])
                constant[side] = load[side, :, 0].sum()
            else:
                given[side, self.space.nodes_on(self.device, name), 0] = 1.0
        return load, given, constant

    # -- solution ------------------------------------------------------------------------------

    def _best(self, load: np.ndarray, start: np.ndarray) -> np.ndarray:
        """The best moments at the nodes for loads there, both (sides, nodes, n).

        ``start`` is what the functional is without them.
        """
        keep = np.ones(self.space.nodes, dtype=bool)
        twins = twin_nodes(self.device, self.space, self.pairs)
        numbers = number_field(self.space, keep, twins=twins)
        loads = np.zeros((len(load), numbers.size, self.count))
        for side, own in enumerate(load):
            np.add.at(loads[side], numbers.nodes, own)
        system = self.system.on(numbers.nodes, numbers.size)
        if self.direct:
            rows = Rows(numbers, self.device.comm, self.count)
            return self._factorised(system, rows, loads)[:, numbers.nodes]
        rows = Rows(numbers, self.device.comm, self.count, apart=True)
        return self._iterated(system, rows, loads, start)[:, numbers.nodes]

    def _factorised(self, system: Kronecker, rows: Rows, loads: np.ndarray) -> np.ndarray:
        matrix = system.explicit(np.arange(self.count), half=True)
        # There is no sine of m = 0, and without contacts any level will do: the functional depends
        # on neither.
        largest = matrix.diagonal().max(initial=0.0)
        diagonal = np.zeros((rows.numbering.size, self.count))
        diagonal[:, self.idle] = largest
        grounded = any(isinstance(law, Contact) for law in self.laws.values())
        if not grounded and self.device.comm.rank == 0:
            diagonal[0, 0] = largest
        matrix = matrix + diags(diagonal.ravel())
        factor = Factor(over_ranks(matrix, rows), rows, definite=True)
        x = factor.solve(loads.reshape(len(loads), diagonal.size).T)
        factor.close()
        return x.T.reshape(loads.shape)

    def _iterated(
        self, system: Kronecker, rows: Rows, loads: np.ndarray, start: np.ndarray
    ) -> np.ndarray:
        comm, last = self.device.comm, len(self.names) - 1
        operator = Operator(system.prepared(), rows)
        precondition = Sweep(rows, system, [], self._blocks(system, rows))
        found = np.zeros((len(loads), self.count, rows.owned // self.count))
        for side, own in enumerate(loads):
            if side == last and not self.pairs:
                # At one potential of all contacts there is nothing but this potential.
                found[side] = -found.sum(axis=0)
                found[side, 0] += 1.0
                continue
            vector = rows.gather(own.T)
            load = rows.shaped(np.array(vector.array_r))
            free(vector)
            least = 1e-14 * start[side]

            def size(x: np.ndarray) -> float:
                # Root of the functional at x, which is orthogonal to its residual.
                gained = total(comm, np.vdot(load, x))  # noqa: B023
                return float(np.sqrt(max(start[side] - gained, least)))  # noqa: B023

            found[side], iterations, _ = iterate(operator, precondition, load, self.tolerance, size)
            self.iterations = max(self.iterations, iterations)
        out = np.array([operator.spread(x).T for x in found])
        precondition.close()
        operator.close()
        return out

    def _blocks(self, system: Kronecker, rows: Rows) -> list[Block]:
        """What each moment does to itself, factorised."""
        shortest = extremes(self.device, self.flow.materials, lambda m: m.mean_free_path)[0]
        levelled = [replace(m, relaxation=m.relaxation.copy()) for m in self.members]
        for member in levelled:
            member.relaxation[0, 0] = (shortest / self.device.extent / LEVEL) ** 2
        walls = [law for law in self.flow.boundaries.values() if isinstance(law, Wall)]
        (factors,) = blocks(
            rows,
            Kronecker(system.scalars, levelled, system.boundaries),
            (self.basis.even_groups,),
            paired=any(roughness(law) < PAIRED for law in walls),
            order=node_fronts(self.device, self.space, rows.numbering),
        )
        return factors


def _each(system: Kronecker, moments: np.ndarray) -> np.ndarray:
    """The operator applied to the moments of each side."""
    return np.array([system(x) for x in moments]).reshape(moments.shape)
