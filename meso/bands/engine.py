"""Sums over wave vectors: in batches, over processes or MPI ranks, and adaptively.

A term is a function of a batch of wave vectors (K, d) and of the bands that are meant there (on a
Fermi line) that returns an array with a value for each; it must be a module-level object, so that
it can be handed to other processes. Sums are made batch by batch in one order: the result does not
depend on how many processes there are.
"""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import product
from math import pi
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from meso.bands.kmesh import Mesh, generic_points
from meso.bands.model import Model
from meso.errors import CaseError, ConvergenceError

Progress = Callable[[str], None]
BATCH = 512


class Term(Protocol):
    """An integrand."""

    def __call__(
        self, model: Model, k: NDArray[np.floating], bands: NDArray[np.integer] | None
    ) -> NDArray:
        """Values at each k: (K, …)."""
        ...


def integrate(
    model: Model,
    mesh: Mesh,
    term: Term,
    *,
    processes: int = 1,
    batch: int = BATCH,
    comm: Any = None,
    progress: Progress | None = None,
) -> NDArray:
    """Σ_k weight · term.

    Args:
        model: The model.
        mesh: Points and weights.
        term: The integrand.
        processes: Processes on this machine.
        batch: Wave vectors at a time.
        comm: MPI communicator over whose ranks the batches are divided; all of them get the sum.
        progress: Called with a text now and then.
    """
    starts = range(0, len(mesh.points), batch)
    mine = list(starts) if comm is None else list(starts)[comm.rank :: comm.size]
    jobs = [(model, term, _part(mesh, s, batch)) for s in mine]
    sums = list(_reported(_mapped(_work, jobs, processes), len(jobs), len(mesh.points), progress))
    if comm is None:
        return np.sum(sums, axis=0)
    gathered = comm.allgather(dict(zip(mine, sums, strict=True)))
    everything = {start: value for part in gathered for start, value in part.items()}
    return np.sum([everything[s] for s in starts], axis=0)


def _part(mesh: Mesh, start: int, batch: int) -> tuple[NDArray, NDArray, NDArray | None]:
    part = slice(start, start + batch)
    bands = None if mesh.bands is None else mesh.bands[part]
    return mesh.points[part], mesh.weights[part], bands


def _work(job: tuple[Model, Term, tuple[NDArray, NDArray, NDArray | None]]) -> NDArray:
    model, term, (points, weights, bands) = job
    return np.tensordot(weights, term(model, points, bands), axes=1)


_SHARED: list[Any] = []


def _nth(n: int) -> NDArray:
    function, jobs = _SHARED[-1]
    return function(jobs[n])


def _mapped(function: Callable[[Any], NDArray], jobs: list[Any], processes: int) -> Iterator:
    """Map over processes that are forked from this one: nothing is copied, no script runs twice."""
    if processes <= 1 or len(jobs) <= 1 or not _may_fork():
        yield from map(function, jobs)
        return
    _SHARED.append((function, jobs))
    try:
        context = multiprocessing.get_context("fork")
        with context.Pool(min(processes, len(jobs))) as pool:
            yield from pool.imap(_nth, range(len(jobs)), chunksize=max(1, len(jobs) // 64))
    finally:
        _SHARED.pop()


def _may_fork() -> bool:
    """Not where MPI runs: use its ranks there."""
    if "fork" not in multiprocessing.get_all_start_methods():
        return False
    mpi = sys.modules.get("mpi4py.MPI")
    return mpi is None or not mpi.Is_initialized()


def _reported(
    sums: Iterable[NDArray], jobs: int, points: int, progress: Progress | None
) -> Iterator[NDArray]:
    step = max(1, jobs // 20)
    for n, value in enumerate(sums, 1):
        if progress is not None and jobs > 1 and (n % step == 0 or n == jobs):
            progress(f"{round(100 * n / jobs)} % of {points} wave vectors")
        yield value


def estimate(
    model: Model, mesh: Mesh, term: Term, **options: Any
) -> tuple[NDArray, NDArray | None]:
    """The sum, and how far it is from that over the coarser mesh."""
    value = integrate(model, mesh, term, **options)
    if mesh.coarse is None:
        return value, None
    options["progress"] = None
    return value, np.abs(value - integrate(model, mesh.coarse, term, **options))


def adaptive(
    model: Model,
    term: Term,
    *,
    tolerance: float,
    floor: float = 0.0,
    start: int = 4,
    order: int = 4,
    most: int = 2_000_000,
    processes: int = 1,
    progress: Progress | None = None,
) -> tuple[NDArray, NDArray, str]:
    """∫ d^dk/(2π)^d of a term over the Brillouin zone, with cells divided where it is sharp.

    A cell is integrated by Gauss points; its error is what dividing it changes. In each round those
    cells are divided that hold most of the error.

    Args:
        model: A model with a lattice.
        term: The integrand.
        tolerance: Relative to the largest entry of the result.
        floor: Errors below this are not reduced: what is zero by symmetry has no relative error.
        start: Cells along each reciprocal vector to start with.
        order: Gauss points along each direction of a cell.
        most: Limit of wave vectors.
        processes: Processes on this machine.
        progress: Called with a text after each round.

    Returns:
        The integral, its estimated error, and a text for the report.

    Raises:
        ConvergenceError: The tolerance is not reached within the limit.
        CaseError: The model has no lattice.
    """
    if model.lattice is None:
        raise CaseError(("lattice", f"{model.name} has none: no Brillouin zone to refine"))
    d = model.dimension
    reciprocal = 2 * pi * np.linalg.inv(np.asarray(model.lattice)).T
    x, w = np.polynomial.legendre.leggauss(order)
    nodes = np.array(list(product((x + 1) / 2, repeat=d)))
    weights = np.array([np.prod(p) for p in product(w / 2, repeat=d)])
    weights = weights * abs(np.linalg.det(reciprocal)) / (2 * pi) ** d
    corners = np.array(list(product((0.0, 1.0), repeat=d)))
    used = 0

    def cells(origin: NDArray[np.floating], size: NDArray[np.floating]) -> NDArray:
        nonlocal used
        used += len(origin) * len(nodes)
        group = max(1, BATCH // len(nodes))
        jobs = [
            (model, term, reciprocal, nodes, weights, origin[s : s + group], size[s : s + group])
            for s in range(0, len(origin), group)
        ]
        return np.concatenate(list(_mapped(_cells, jobs, processes)))

    origin = np.array(list(product(np.arange(start), repeat=d)))
    origin = (origin + generic_points(d)) / start  # off the lines of symmetry
    size = np.full(len(origin), 1 / start)
    value = cells(origin, size)
    pending = np.ones(len(origin), dtype=bool)  # error not known yet
    error = np.zeros_like(value)
    while True:
        if pending.any():
            chosen = np.flatnonzero(pending)
        else:
            total = value.sum(axis=0)
            scale = np.abs(total).max(initial=0.0)
            bound = np.abs(error).sum(axis=0)
            worst = bound.max(initial=0.0)
            if progress is not None:
                progress(f"{used} wave vectors, error {worst / max(scale, 1e-300):.2g}")
            if worst <= max(tolerance * scale, floor):
                text = f"adaptive: {used} wave vectors, {len(value)} cells, order {order}"
                return total, bound, text
            if used > most:
                raise ConvergenceError(
                    f"adaptive integration over k: error {worst / scale:.2g} of the result after"
                    f" {used} wave vectors; asked for {tolerance:.2g}"
                )
            size_of = np.abs(error).reshape(len(error), -1).max(axis=1)
            order_of = np.argsort(-size_of)
            share = np.cumsum(size_of[order_of]) <= 0.7 * size_of.sum()
            chosen = order_of[: max(int(share.sum()), 1)]
        children_origin = (
            origin[chosen][:, None] + corners * size[chosen][:, None, None] / 2
        ).reshape(-1, d)
        children_size = np.repeat(size[chosen] / 2, len(corners))
        fine = cells(children_origin, children_size)
        per_parent = fine.reshape(len(chosen), len(corners), *fine.shape[1:])
        change = (per_parent.sum(axis=1) - value[chosen])[:, None] / len(corners)
        keep = np.ones(len(origin), dtype=bool)
        keep[chosen] = False
        origin = np.concatenate([origin[keep], children_origin])
        size = np.concatenate([size[keep], children_size])
        value = np.concatenate([value[keep], fine])
        spread = np.broadcast_to(change, per_parent.shape).reshape(fine.shape)
        error = np.concatenate([error[keep], spread])
        pending = np.zeros(len(origin), dtype=bool)


def _cells(job: tuple[Any, ...]) -> NDArray:
    model, term, reciprocal, nodes, weights, origin, size = job
    d = len(reciprocal)
    fractional = origin[:, None] + size[:, None, None] * nodes
    values = term(model, fractional.reshape(-1, d) @ reciprocal, None)
    values = values.reshape(len(origin), len(nodes), *values.shape[1:])
    out = np.tensordot(values, weights, axes=(1, 0))
    return out * (size**d).reshape(-1, *(1,) * (out.ndim - 1))
