"""Batches of particles: what each tells, the sums of all, and threads that trace them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
from mpi4py import MPI

from meso.flow.counting import Batches

#: Of angles at which particles arrive.
BINS = 60
#: Standard errors above which something is remembered.
_SEEN = 3.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Batch:
    """What the particles of one batch tell."""

    number: int
    source: int
    count: int
    scores: np.ndarray  # (ports, ports)
    remembered: np.ndarray  # (ports,), without contacts
    arrivals: np.ndarray  # (contacts, BINS)
    tally: np.ndarray  # (c, 1 + pairs, 3)
    steps: int


@dataclass(slots=True, kw_only=True, eq=False)
class Sums:
    """Sums over all batches of one source; what is exact does not depend on their order."""

    counts: list[int] = field(default_factory=list)
    scores: list[np.ndarray] = field(default_factory=list)
    remembered: list[np.ndarray] = field(default_factory=list)
    arrivals: np.ndarray
    tally: np.ndarray

    @classmethod
    def begun(cls, contacts: int, tally: np.ndarray) -> Sums:
        """Of no batches yet, with an empty tally."""
        return cls(arrivals=np.zeros((contacts, BINS), np.int64), tally=tally)

    @property
    def particles(self) -> int:
        """Number of particles."""
        return sum(self.counts)

    @property
    def remembers(self) -> bool:
        """Whether something is left of the conductance beyond half of the memory."""
        batches = Batches(counts=np.array(self.counts), scores=np.array(self.remembered))
        error = np.sqrt(batches.variance(batches.scores))
        return bool((np.abs(batches.mean) > _SEEN * error).any())


def in_threads(work: Callable[[Any], Any], tasks: Iterable[Any], comm: MPI.Comm) -> Iterator[Any]:
    """Results of tasks in their order, by as many threads as this rank has cores."""
    node = comm.Split_type(MPI.COMM_TYPE_SHARED)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    threads = max(1, (cores or 1) // node.size)
    node.Free()
    if threads == 1:
        yield from map(work, tasks)
        return
    left = iter(tasks)
    with ThreadPoolExecutor(threads) as pool:
        # No more than a few at a time: each result has a tally.
        waiting = [pool.submit(work, task) for task in islice(left, 2 * threads)]
        while waiting:
            yield waiting.pop(0).result()
            waiting += [pool.submit(work, task) for task in islice(left, 1)]
