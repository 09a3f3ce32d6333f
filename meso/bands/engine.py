"""Sums over wave vectors: in batches, over processes or MPI ranks, and adaptively.

An integrand is a function of the bands at a batch of K wave vectors that returns a tuple of arrays
with a value for each, (K, …). Sums are made batch by batch in one order: the result does not depend
on how many processes there are.
"""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import product
from math import pi
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from meso.bands.geometry import Bands, Electrons
from meso.bands.kmesh import GENERIC, Mesh
from meso.bands.model import Floats
from meso.errors import CaseError, ConvergenceError

Progress = Callable[[str], None]
Integrand: TypeAlias = Callable[[Bands], tuple[NDArray, ...]]
BATCH = 512
#: Of the adaptive integral: cells along each reciprocal vector to start with, Gauss points along
#: each direction of a cell.
_START, _ORDER = 4, 4
#: Errors below this are not reduced: what is zero by symmetry has no relative error.
_FLOOR = 1e-11


def integrate(
    electrons: Electrons,
    mesh: Mesh,
    integrand: Integrand,
    *,
    processes: int = 1,
    batch: int = BATCH,
    comm: Any = None,
    progress: Progress | None = None,
) -> tuple[NDArray, ...]:
    """Σ_k weight · integrand, over processes of this machine or the ranks of a communicator."""
    batches = [slice(s, s + batch) for s in range(0, len(mesh.points), batch)]

    def work(part: slice) -> list[NDArray]:
        line = None if mesh.bands is None else mesh.bands[part]
        values = integrand(electrons.bands(mesh.points[part], line))
        return [np.tensordot(mesh.weights[part], value, axes=1) for value in values]

    mine = batches if comm is None else batches[comm.rank :: comm.size]
    found = _mapped(work, mine, processes)
    sums = list(_reported(found, len(mine), len(mesh.points), progress))
    if comm is not None:
        ranks = comm.allgather(sums)
        sums = [ranks[n % comm.size][n // comm.size] for n in range(len(batches))]
    return tuple(np.sum(values, axis=0) for values in zip(*sums, strict=True))


_SHARED: list[Any] = []


def _nth(n: int) -> Any:
    function, jobs = _SHARED[-1]
    return function(jobs[n])


def _mapped(function: Callable[[Any], Any], jobs: list[Any], processes: int) -> Iterator:
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


def _reported(sums: Iterable, jobs: int, points: int, progress: Progress | None) -> Iterator:
    step = max(1, jobs // 20)
    for n, value in enumerate(sums, 1):
        if progress is not None and jobs > 1 and (n % step == 0 or n == jobs):
            progress(f"{round(100 * n / jobs)} % of {points} wave vectors")
        yield value


def adaptive(
    electrons: Electrons,
    integrand: Integrand,
    *,
    tolerance: float,
    most: int = 2_000_000,
    processes: int = 1,
    progress: Progress | None = None,
) -> tuple[tuple[NDArray, ...], tuple[NDArray, ...], str]:
    """∫ d^dk/(2π)^d over the Brillouin zone, with cells divided where an integrand is sharp.

    A cell is integrated by Gauss points; its error is what dividing it changes. In each round those
    cells are divided that hold most of the error, until that is within the tolerance, relative to
    the largest entry of the result, or more than `most` wave vectors were used.

    Returns:
        The integrals, their estimated errors, and a text for the report.

    Raises:
        ConvergenceError: The tolerance is not reached within the limit.
        CaseError: The model has no lattice.
    """
    name, lattice = electrons.model.name, electrons.model.lattice
    if lattice is None:
        raise CaseError(("lattice", f"{name} has none: no Brillouin zone to refine"))
    reciprocal = 2 * pi * np.linalg.inv(lattice).T
    d = len(reciprocal)
    x, w = np.polynomial.legendre.leggauss(_ORDER)
    nodes = np.array(list(product((x + 1) / 2, repeat=d)))
    weights = np.array([np.prod(p) for p in product(w / 2, repeat=d)])
    weights = weights * abs(np.linalg.det(reciprocal)) / (2 * pi) ** d
    corners = np.array(list(product((0.0, 1.0), repeat=d)))

    def work(cells: tuple[Floats, Floats]) -> NDArray:
        origin, size = cells
        k = origin[:, None] + size[:, None, None] * nodes
        values = integrand(electrons.bands(k.reshape(-1, d) @ reciprocal))
        flat = np.concatenate([v.reshape(len(v), -1) for v in values], axis=1)
        return weights @ flat.reshape(len(origin), len(nodes), -1) * (size**d)[:, None]

    def integrals(origin: Floats, size: Floats) -> NDArray:
        group = max(1, BATCH // len(nodes))
        starts = range(0, len(origin), group)
        jobs = [(origin[s : s + group], size[s : s + group]) for s in starts]
        return np.concatenate(list(_mapped(work, jobs, processes)))

    origin = np.array(list(product(np.arange(_START), repeat=d)))
    origin = (origin + GENERIC[:d]) / _START  # off the lines of symmetry
    size = np.full(len(origin), 1 / _START)
    value = integrals(origin, size)
    error = np.zeros_like(value)
    divided, used = np.arange(len(origin)), len(origin) * len(nodes)
    while True:
        children = origin[divided][:, None] + corners * size[divided][:, None, None] / 2
        origin = np.concatenate([np.delete(origin, divided, axis=0), children.reshape(-1, d)])
        halves = np.repeat(size[divided] / 2, len(corners))
        size = np.concatenate([np.delete(size, divided), halves])
        fine = integrals(origin[-len(halves) :], halves)
        used += len(halves) * len(nodes)
        together = fine.reshape(len(divided), len(corners), -1).sum(axis=1)
        change = np.repeat((together - value[divided]) / len(corners), len(corners), axis=0)
        value = np.concatenate([np.delete(value, divided, axis=0), fine])
        error = np.concatenate([np.delete(error, divided, axis=0), change])
        total, bound = value.sum(axis=0), np.abs(error).sum(axis=0)
        scale, worst = np.abs(total).max(initial=0.0), bound.max(initial=0.0)
        if progress is not None:
            progress(f"{used} wave vectors, error {worst / max(scale, 1e-300):.2g}")
        if worst <= max(tolerance * scale, _FLOOR):
            break
        if used > most:
            raise ConvergenceError(
                f"adaptive integration over k: error {worst / scale:.2g} of the result after"
                f" {used} wave vectors; asked for {tolerance:.2g}"
            )
        each = np.abs(error).max(axis=1)
        order = np.argsort(-each)
        share = np.cumsum(each[order]) <= 0.7 * each.sum()
        divided = order[: max(int(share.sum()), 1)]
    shapes = [v.shape[1:] for v in integrand(electrons.bands(origin[:1] @ reciprocal))]
    ends = np.cumsum([int(np.prod(s)) for s in shapes])[:-1]
    values, errors = (
        tuple(p.reshape(s) for p, s in zip(np.split(flat, ends), shapes, strict=True))
        for flat in (total, bound)
    )
    text = f"adaptive: {used} wave vectors, {len(value)} cells, order {_ORDER}"
    return values, errors, text
