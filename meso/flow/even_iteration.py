"""The even harmonics iteratively: conjugate gradients without the matrix.

The operator is that of :mod:`meso.flow.kronecker`, positive definite; the preconditioner is what
each moment does to itself (:mod:`meso.flow.blocks`). The functional is evaluated at the iterate,
with one more product, so that it is an upper bound wherever the iteration stops; it lies above the
minimum by the square of the error.

The isotropic moment has a sine here that is zero, so that all harmonics are two columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from meso.boundary import Contact, Wall
from meso.discrete.periodic import twin_nodes
from meso.discrete.unknowns import number_field
from meso.flow.angular import Moments
from meso.flow.blocks import PAIRED, blocks
from meso.flow.kinetic import roughness
from meso.flow.kronecker import Boundary, Member, boundary, scalar_matrices
from meso.flow.krylov import conjugate_gradients
from meso.flow.layout import Layout
from meso.mpi import total

if TYPE_CHECKING:
    from meso.flow.even import EvenParity

#: Where to stop: natural norm of the residual over the root of the functional.
TOLERANCE = 1e-4
#: Where there are no contacts nothing fixes the level of h: the preconditioner has a relaxation of
#: it over this length, in extents of the device.
LEVEL = 10.0


class IterativeEven:
    """The even moments of a device, by iteration.

    Args:
        even: What is to be solved.
        tolerance: Natural norm of the residual over the root of the functional.
    """

    def __init__(self, even: EvenParity, *, tolerance: float = TOLERANCE) -> None:
        self.even, self.tolerance = even, tolerance
        self.comm, self.space = even.device.comm, even.space
        self.count = even.count + 1
        numbering = number_field(
            self.space,
            np.ones(self.space.nodes, dtype=bool),
            twins=twin_nodes(even.device, self.space, even.pairs),
        )
        self.layout = Layout(numbering, self.comm)
        laws = even.flow.boundaries
        matrices = self._matrices(numbering.nodes, numbering.size)
        boundaries = self._boundaries(numbering.nodes)
        self.parts = self._parts(matrices, boundaries)
        walls = [law for law in laws.values() if isinstance(law, Wall)]
        levelled = [self._padded(moments) for moments in self._levelled()]
        columns = [np.array([0]), *np.arange(2, self.count).reshape(-1, 2)]
        (self.blocks,) = blocks(
            self.layout,
            matrices,
            levelled,
            boundaries,
            (columns,),
            paired=any(roughness(law) < PAIRED for law in walls),
        )
        self.iterations = 0

    # -- operator ------------------------------------------------------------------------------

    def _matrices(self, rows: np.ndarray, size: int) -> list[list]:
        even, coefficients = self.even, self.even.coefficients
        return scalar_matrices(
            even.cells,
            self.space,
            lambda cells, at: 2 * coefficients.conductivity(cells, at),
            lambda cells, at: (
                2 * coefficients.conductivity(cells, at) / coefficients.path(cells, at) ** 2
            ),
            coefficients.varies,
            even.kind[even.device.cell_region],
            len(even.members),
            rows,
            size,
        )

    def _boundaries(self, rows: np.ndarray) -> list[Boundary]:
        even = self.even
        return [
            boundary(even.discrete, name, rows, even.weight, _pad(even.law(law)), even.even)
            for name, law in even.flow.boundaries.items()
            if isinstance(law, Contact | Wall)
        ]

    def _parts(self, matrices: list[list], boundaries: Sequence[Boundary]) -> list:
        members = zip(matrices, self.even.members, strict=True)
        return [*(Member(own, self._padded(moments)) for own, moments in members), *boundaries]

    def _levelled(self) -> list[Moments]:
        """The members with a relaxation of the level."""
        out = []
        for moments in self.even.members:
            relaxation = moments.relaxation.copy()
            relaxation[0, 0] = (self.even.shortest / LEVEL) ** 2
            out.append(Moments(flux=moments.flux, relaxation=relaxation, stress=moments.stress))
        return out

    @staticmethod
    def _padded(moments: Moments) -> Moments:
        return Moments(
            flux=np.insert(moments.flux, 1, 0.0, axis=-1),
            relaxation=_pad(moments.relaxation),
            stress=_pad(moments.stress),
        )

    def apply(self, x: np.ndarray) -> np.ndarray:
        """A x on owned rows, shape (owned, N + 2)."""
        touched = self.layout.spread(x)
        y = np.zeros_like(touched)
        for part in self.parts:
            part.add(touched, y)
        return self.layout.gather(y)

    def precondition(self, r: np.ndarray) -> np.ndarray:
        """What each moment does to itself, inverted: for loads on owned rows, (owned, N + 2).

        A sweep as for the odd harmonics takes half of the iterations, each twice as long.
        """
        z = np.zeros_like(r)
        for block in self.blocks:
            block.solve(r, z)
        return z

    def close(self) -> None:
        """Free the memory of the system, on all ranks together."""
        for block in self.blocks:
            block.close()
        self.layout.close()

    # -- data ----------------------------------------------------------------------------------

    def _data(self) -> tuple[list[np.ndarray], np.ndarray]:
        """Loads on owned rows, for each side, and what the functional is without moments."""
        even, sides = self.even, self.even.sides
        load, constant = even.contacts()
        load = np.insert(load, 1, 0.0, axis=1)
        q = np.diag(constant)
        if even.force is not None:
            for cells, force, own in even.forces():
                padded = np.insert(force, 1, 0.0, axis=2)
                np.add.at(load[:, :, -1], self.space.dofs[cells], padded)
                q[-1, -1] += own
        if even.pairs:
            given = np.insert(even.given(), 1, 0.0, axis=1)
            cross = np.einsum("nas,nat->st", load, given)
            # Both sides of the pairs have nodes of their own here.
            rows = np.arange(self.space.nodes)
            parts = self._parts(self._matrices(rows, self.space.nodes), self._boundaries(rows))
            products = np.zeros_like(given)
            for side in range(sides):
                x, y = np.ascontiguousarray(given[..., side]), np.zeros(given.shape[:2])
                for part in parts:
                    part.add(x, y)
                products[..., side] = y
            q += np.einsum("nas,nat->st", given, products) - cross - cross.T
            load = load - products
        loads = []
        for side in range(sides):
            touched = np.zeros((self.layout.size, self.count))
            np.add.at(touched, self.layout.nodes, load[..., side])
            loads.append(self.layout.gather(touched))
        return loads, np.asarray(total(self.comm, q))

    # -- solution ------------------------------------------------------------------------------

    def energy(self) -> np.ndarray:
        """The functional for the moments that were found, shape (sides, sides).

        Raises:
            ConvergenceError: Too many iterations, or not finite.
        """
        loads, q = self._data()
        ports = len(self.even.names)
        found: list[np.ndarray] = []
        products: list[np.ndarray] = []
        for side, load in enumerate(loads):
            x = np.zeros_like(load)
            if side == ports - 1 and not self.even.pairs:
                # At one potential of all contacts there is nothing but this potential.
                x[:, 0] = 1.0
                x -= sum(found, start=np.zeros_like(load))
            elif self.layout.dot(load, load) > 0:
                x = self._conjugate(load, q[side, side])
            found.append(x)
            products.append(self.apply(x))
        first = np.array([[np.vdot(b, x) for x in found] for b in loads])
        second = np.array([[np.vdot(x, y) for y in products] for x in found])
        second = (second + second.T) / 2
        return np.asarray(q + total(self.comm, second - first - first.T))

    def _conjugate(self, load: np.ndarray, begin: float) -> np.ndarray:
        x, iterations, _ = conjugate_gradients(
            self.layout,
            self.apply,
            self.precondition,
            load.copy(),
            self.precondition(load),
            np.zeros_like(load),
            error=lambda rz, gained: np.sqrt(abs(rz) / max(begin - gained, 1e-14 * begin)),
            tolerance=self.tolerance,
        )
        self.iterations = max(self.iterations, iterations)
        return x


def _pad(matrix: np.ndarray) -> np.ndarray:
    """The matrix (..., N + 1, N + 1) with a row and a column for the sine of m = 0."""
    return np.insert(np.insert(matrix, 1, 0.0, axis=-1), 1, 0.0, axis=-2)
