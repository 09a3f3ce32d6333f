"""Sums over wave vectors: in batches, over processes or MPI ranks, and adaptively.

An integrand is a function of the bands at a batch of K wave vectors that returns a tuple of arrays
with a value for each, (K, …). Sums are made batch by batch in one order: the result does not depend
on how many processes there are.
"""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import product
from math import pi
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from meso.bands.geometry import Bands, Electrons
from meso.bands.kmesh import Mesh, cells
from meso.bands.model import Floats
from meso.bands.symmetry import averaging
from meso.errors import CaseError, ConvergenceError

Progress = Callable[[str], None]
Integrand: TypeAlias = Callable[[Bands], tuple[NDArray, ...]]
#: What may be hidden within a step, squared and for a unit of weight/step², at a batch of k.
Unseen: TypeAlias = Callable[[Bands, Any], NDArray]
BATCH = 512
#: Of the adaptive integral: cells along each reciprocal vector to start with; Gauss points along
#: the edges of a cell, in different places, so that none is on a diagonal, where symmetry holds
#: bands together; how much of the error is in the cells that are divided, and how many more are for
#: what is unseen in them; standard deviations that an error stands for (docs/bands.md, Errors).
_START, _ORDERS, _SHARE, _MORE, _SIGMAS = {2: 16, 3: 4}, (4, 5, 3), 0.5, 0.5, 2.5
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
    """Σ_k weight · integrand, over processes of this machine or the ranks of a communicator.

    With the interleaved grids of a mesh as the first axis, if it has them.
    """
    weights = mesh.weights
    if mesh.parts is not None:
        weights = weights[:, None] * (mesh.parts[:, None] == np.arange(mesh.parts.max() + 1))
    batches = [slice(s, s + batch) for s in range(0, len(mesh.points), batch)]

    def work(part: slice) -> list[NDArray]:
        line = None if mesh.bands is None else mesh.bands[part]
        values = integrand(electrons.bands(mesh.points[part], line))
        return [np.tensordot(weights[part], value, axes=(0, 0)) for value in values]

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
    symmetry: tuple[Floats, Sequence[str]] | None = None,
    unseen: Unseen | None = None,
    most: int = 2_000_000,
    processes: int = 1,
    progress: Progress | None = None,
) -> tuple[tuple[NDArray, ...], tuple[NDArray, ...], str]:
    """∫ d^dk/(2π)^d over the Brillouin zone, with cells divided where an integrand is sharp.

    A cell is integrated by Gauss points; its error is what dividing it changes. Where bands nearly
    touch or cross the Fermi level, that is of either sign and independent of other cells: errors
    add up in square, and 2.5 times the root of their sum is reported. In each round those cells are
    divided that hold most of the error, until it is within the tolerance, relative to the largest
    entry of the result, or more than `most` wave vectors were used. Half as many are divided
    because most may be `unseen` between their points: what no point has come near has no error yet.
    In two dimensions it counts as an error too; lines of crossings, in three, would never be fine
    enough. Of cells that symmetry maps on each other one is computed, and tensors are averaged:
    `symmetry` is a group and the kinds of axes, as for `symmetry.average`.

    Returns:
        The integrals, their estimated errors, and a text for the report.

    Raises:
        ConvergenceError: The tolerance is not reached within the limit.
        CaseError: The model has no lattice.
    """
    model = electrons.model
    if model.lattice is None:
        raise CaseError(("lattice", f"{model.name} has none: no Brillouin zone to refine"))
    d = model.dimension
    group, axes = symmetry or (np.eye(d)[None], None)
    corner, count, steps = cells(model, group, _START[d])
    nodes, weights = _gauss(d)
    weights = weights * abs(np.linalg.det(steps)) / (2 * pi) ** d
    corners = np.array(list(product((0.0, 1.0), repeat=d)))
    probe = integrand(electrons.bands(np.full((1, d), 0.1234)))
    shapes = [v.shape[1:] for v in probe]
    turns = [
        averaging(group, *both) for both in zip(axes or [""] * len(shapes), shapes, strict=True)
    ]

    def work(part: tuple[Floats, Floats, Floats]) -> NDArray:
        low, size, times = part
        k = (low[:, None] + size[:, None, None] * nodes).reshape(-1, d) @ steps
        scale, at = times * size**d, electrons.bands(k)
        found = []
        for value, turn in zip(integrand(at), turns, strict=True):
            each = np.tensordot(weights, value.reshape(len(low), len(nodes), -1), (0, 1))
            found.append(scale[:, None] * (each if turn is None else each @ turn))
        miss = np.zeros(len(low))
        if unseen is not None:
            h = size * (abs(np.linalg.det(steps)) / len(nodes)) ** (1 / d)
            squares = unseen(at, np.repeat(h, len(nodes))).reshape(len(low), -1)
            miss = pi * (scale / h**2) ** 2 * (squares @ weights**2)
        return np.column_stack([*found, miss])

    def integrals(*parts: Floats) -> tuple[NDArray, NDArray]:
        step = max(1, BATCH // len(nodes))
        jobs = [tuple(p[s : s + step] for p in parts) for s in range(0, len(parts[0]), step)]
        found = np.concatenate(list(_mapped(work, jobs, processes)))
        return found[:, :-1], found[:, -1]

    low, size, times = corner.astype(float), np.ones(len(corner)), count.astype(float)
    value, miss = integrals(low, size, times)
    error = np.zeros_like(value)
    divided, used = np.arange(len(low)), len(low) * len(nodes)
    while True:
        children = (low[divided][:, None] + corners * size[divided][:, None, None] / 2).reshape(
            -1, d
        )
        half, same = (np.repeat(x[divided], len(corners)) for x in (size / 2, times))
        fine, new = integrals(children, half, same)
        used += len(half) * len(nodes)
        together = fine.reshape(len(divided), len(corners), -1).sum(axis=1)
        # Each child has its share of the change, in square.
        change = np.repeat((together - value[divided]) / len(corners) ** 0.5, len(corners), axis=0)
        low, size, times, value, error, miss = (
            np.concatenate([np.delete(old, divided, axis=0), added])
            for old, added in (
                *((low, children), (size, half), (times, same)),
                *((value, fine), (error, change), (miss, new)),
            )
        )
        total, bound = value.sum(axis=0), _SIGMAS * np.sqrt((error**2).sum(axis=0))
        counted = np.sqrt(miss) * (d == 2)
        if bound.max(initial=0.0) > _FLOOR:  # else it is zero by symmetry
            bound = np.where(bound > _FLOOR, np.hypot(bound, np.linalg.norm(counted)), bound)
        scale, worst = np.abs(total).max(initial=0.0), bound.max(initial=0.0)
        if progress is not None:
            progress(f"{used} wave vectors, error {worst / max(scale, 1e-300):.2g}")
        if worst <= max(tolerance * scale, _FLOOR):
            break
        if used > most:
            # As for independent points; close to a surface of jumps a little better.
            needed = used * (worst / (tolerance * scale)) ** 2 if scale > 0 else np.inf
            raise ConvergenceError(
                f"adaptive integration over k: error {worst / scale:.2g} of the result after"
                f" {used} wave vectors; asked for {tolerance:.2g}, which needs about {needed:.1g}"
            )
        divided = _chosen(np.hypot(np.abs(error).max(axis=1), counted), miss)
    ends = np.cumsum([int(np.prod(s)) for s in shapes])[:-1]
    values, errors = (
        tuple(p.reshape(s) for p, s in zip(np.split(flat, ends), shapes, strict=True))
        for flat in (total, bound)
    )
    text = f"adaptive: {used} wave vectors, {len(value)} cells, {len(group)} operations"
    return values, errors, text


def _chosen(error: Floats, miss: Floats) -> NDArray:
    """Cells to be divided: those that hold a share of the error, and more that may hide some."""
    order = np.argsort(-error)
    share = np.cumsum(error[order]) <= _SHARE * error.sum()
    first = order[: max(int(share.sum()), 1)]
    hidden = np.argsort(-miss)[: int(_MORE * len(first)) or 1] if miss.any() else first[:0]
    return np.union1d(first, hidden)


def _gauss(d: int) -> tuple[Floats, Floats]:
    """Gauss points of the unit cube (number, d) and weights."""
    rules = [np.polynomial.legendre.leggauss(order) for order in _ORDERS[:d]]
    nodes = np.array(list(product(*((x + 1) / 2 for x, _ in rules))))
    return nodes, np.array([np.prod(p) for p in product(*(w / 2 for _, w in rules))])
