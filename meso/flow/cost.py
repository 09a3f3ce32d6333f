"""What a kinetic flow takes, told before anything is assembled."""

from __future__ import annotations

from dataclasses import dataclass

from meso.discrete import memory
from meso.discrete.cells import lagrange
from meso.flow.kinetic import Kinetic
from meso.flow.result import ports_of
from meso.flow.wire import DIRECT, Wire


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Of one solution.

    Attributes:
        unknowns: Moments and potentials at all nodes.
        memory: Bytes over all ranks, within a factor of about 1.5.
        iterative: Whether it is found by iteration.
    """

    unknowns: int
    memory: float
    iterative: bool

    def __str__(self) -> str:
        how = "iterative" if self.iterative else "direct"
        return f"{self.unknowns} unknowns, about {self.memory / 1e9:.2g} GB, {how} solver"


def cost(model: Kinetic) -> Cost:
    """The cost of solving a model; all ranks call this."""
    device, n, d = model.device, model.basis.count, model.device.dimension
    vector, scalar = (lagrange(device, model.order - lower) for lower in (0, 1))
    nodes, levels = (space.index_map.size_global for space in (vector, scalar))
    if not model.iterative:
        each = n * vector.outer.stop + scalar.outer.stop
        inside = n * len(vector.points) - n * vector.outer.stop
        inside += len(scalar.points) - scalar.outer.stop
        entries = device.cells * each * (each + 1) / (1 if model.magnetic_field else 2)
        kept, symmetric = n * nodes + levels - device.cells * inside, not model.magnetic_field
        taken = memory.direct(kept, entries, d, symmetric=symmetric)
        return Cost(unknowns=n * nodes + levels, memory=taken, iterative=False)
    # The hydrodynamic problem, one or two factors for all other moments, and vectors.
    p, q = len(vector.points), len(scalar.points)
    first = memory.direct(d * nodes + levels, device.cells * (d * p + q) * (d * p + q + 1) / 2, d)
    others = 2 * memory.cholesky(nodes, 0.73 * device.cells * p * (p + 1) / 2)
    vectors = memory.moments(n * nodes, len(ports_of(model.boundaries)))
    taken = first + others + vectors
    return Cost(unknowns=n * nodes + levels, memory=taken, iterative=True)


def cost_of_wire(model: Wire) -> Cost:
    """The cost of one parity of a wire, of both bounds in turn; all ranks call this."""
    nodal, device = lagrange(model.device, model.order), model.device
    nodes, n = nodal.index_map.size_global, 1
    if model.harmonics is not None:
        n = model.basis.odd.count
    p = len(nodal.points)
    if nodes * n <= DIRECT:
        each = n * nodal.outer.stop
        taken = memory.direct(n * nodes, device.cells * each * (each + 1) / 2, 2)
        return Cost(unknowns=n * nodes, memory=taken, iterative=False)
    factors = 2 * memory.cholesky(nodes, 0.73 * device.cells * p * (p + 1) / 2)
    return Cost(unknowns=n * nodes, memory=factors + memory.moments(n * nodes, 1), iterative=True)
