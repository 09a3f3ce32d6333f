"""Evaluations of all points: by workers, kept in a file, so that a fit can go on later."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

from meso.errors import CaseError, ConvergenceError, GeometryError, MesoError
from meso.files.directory import on_root
from meso.results.sweeping import start_worker

if TYPE_CHECKING:
    from meso.fitting.parameters import Theta
    from meso.fitting.problem import Problem
    from meso.fitting.solving import Solver

Record = dict[str, Any]

#: The file of the evaluations, one a line; the first line says of which fit.
STORE = "evaluations.jsonl"

#: Of a worker process: what solves the points that it is given.
_worker: Solver


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What is wanted of a point: its outputs, or the derivatives of some of them."""

    point: int
    theta: Theta
    anchor: Theta
    derivatives: tuple[str, ...] | None = None


@dataclass(slots=True, kw_only=True)
class Store:
    """Evaluations of a fit so far; without directory in memory only."""

    directory: Path | None
    fingerprint: str
    records: dict[str, Record] = field(default_factory=dict)

    def read(self) -> dict[str, Record]:
        """The evaluations of an earlier, perhaps interrupted, fit of the same cases."""
        if self.directory is None:
            return {}
        where, path = self.directory, self.directory / STORE
        if where.exists() and not where.is_dir():
            raise CaseError(("--output", f"{where} is a file"))
        if not path.exists():
            if where.exists() and any(where.iterdir()):
                text = f"{where} holds other files than a fit; choose another"
                raise CaseError(("--output", text))
            return {}
        first, *lines = path.read_text(encoding="utf-8").splitlines() or [""]
        if first != self._head:
            text = f"{where} holds a fit of other cases or parameters; choose another directory,"
            raise CaseError(("--output", f"{text} or remove it"))
        found = {}
        for line in lines:
            try:
                record = json.loads(line)
            except ValueError:
                continue  # what was being written when the process was killed
            found[record.pop("key")] = record
        return found

    def add(self, key: str, record: Record) -> None:
        """Keep an evaluation, unless it failed."""
        if "error" in record:
            return
        self.records[key] = record
        if self.directory is not None:
            self.directory.mkdir(exist_ok=True)
            path = self.directory / STORE
            head = "" if path.exists() else self._head
            with path.open("a", encoding="utf-8") as file:
                # The end of a line comes with the next one: half a line harms no other.
                file.write(f"{head}\n{json.dumps({'key': key, **record})}")

    @property
    def _head(self) -> str:
        return json.dumps({"fit": self.fingerprint})


@dataclass(slots=True, kw_only=True)
class Evaluator:
    """Hands out tasks: to the file, to this process with all ranks, or to workers.

    A point always goes to the same worker, which has its device.
    """

    problem: Problem
    store: Store
    solver: Solver | None = None  # of this process; None for workers
    workers: Sequence[ProcessPoolExecutor] = ()
    comm: Any = None
    solved: int = 0
    identities: list[str] = field(default_factory=list)

    def __call__(self, tasks: Sequence[Task]) -> list[Record]:
        """Records in the order of the tasks; all ranks get those of the first one's."""
        tasks = on_root(self.comm, lambda: tasks)
        if not self.identities:
            self.identities = [point.identity for point in self.problem.points]
        keys = [self._key(task) for task in tasks]
        todo = {k: t for k, t in zip(keys, tasks, strict=True) if k not in self.store.records}
        failed: dict[str, Record] = {}
        for key, record in self._solve(todo):
            self.solved += 1
            on_root(self.comm, partial(self.store.add, key, record))
            self.store.records.setdefault(key, record)
            if "error" in record:
                failed[key] = self.store.records.pop(key)
        return [failed.get(key) or self.store.records[key] for key in keys]

    def _key(self, task: Task) -> str:
        parts = [self.identities[task.point], task.theta, task.anchor, task.derivatives]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]

    def _solve(self, todo: dict[str, Task]) -> Iterator[tuple[str, Record]]:
        if self.solver is not None:
            yield from ((key, self.solver(task)) for key, task in todo.items())
            return
        futures = {
            self.workers[task.point % len(self.workers)].submit(_solved, task): key
            for key, task in todo.items()
        }
        for future in as_completed(futures):
            yield futures[future], future.result()


def picked(outputs: Record, name: str) -> float:
    """An output by its name; of a profile "current_density.x@3" is the fourth position."""
    own, _, at = name.rpartition("@")
    return float(outputs[own][int(at)] if own else outputs[name])


def raise_error(record: Record, where: str) -> None:
    """Raise the error that a record tells of, if it does."""
    if "error" in record:
        kinds: dict[str, type[MesoError]] = {
            kind.__name__: kind for kind in (CaseError, ConvergenceError, GeometryError)
        }
        raise kinds[record["kind"]](f"{record['error']} (at {where})")


def pool(
    stack: ExitStack, make: Callable[[], tuple[Any, ...]], jobs: int, petsc: Sequence[str]
) -> list[ProcessPoolExecutor]:
    """Workers with an MPI of their own; ``make`` returns the arguments of their solver."""
    out = []
    for _ in range(jobs):
        worker = ProcessPoolExecutor(
            max_workers=1,
            mp_context=get_context("spawn"),
            initializer=_start,
            initargs=(make(), tuple(petsc)),
        )
        # What is being solved comes to its end.
        stack.callback(worker.shutdown, cancel_futures=True)
        out.append(worker)
    return out


def _start(arguments: tuple[Any, ...], petsc: Sequence[str]) -> None:
    """Load the solver of a worker process."""
    global _worker
    start_worker(petsc)
    from meso.fitting.solving import Solver

    points, parameters, allowed = arguments
    _worker = Solver(points=points, parameters=parameters, allowed=allowed)


def _solved(task: Task) -> Record:
    """A task, by the solver of this worker process."""
    return _worker(task)
