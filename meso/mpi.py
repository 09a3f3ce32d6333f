"""The few collective operations that the rest of the package uses.

Every global reduction and every piece of work done by one rank for all goes through here, so
that an error on one rank becomes the same exception on all of them. An error that only some ranks
meet, outside of such work, ends all of them.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
from mpi4py import MPI

from meso.errors import exit_code, told

T = TypeVar("T")

# Ranks that fail together do so within the time of their last step; after this one (seconds), a
# rank that has failed alone must not let the others wait for it any longer.
_PATIENCE = 5.0
# Of messages between failing ranks: no other code sends from point to point in the same
# communicator.
_FAILED = 32749


def on_root(comm: MPI.Comm, work: Callable[[], T]) -> T:
    """Run ``work`` on rank 0 and hand its result, or its exception, to every rank.

    Args:
        comm: Communicator whose ranks all call this function.
        work: Function without arguments; it must not communicate.

    Returns:
        What ``work`` returned on rank 0.

    Raises:
        Exception: Whatever ``work`` raised, on all ranks.
    """
    result: Any = None
    if comm.rank == 0:
        try:
            result = (True, work())
        except Exception as error:
            if comm.size == 1:
                raise
            result = (False, error)
    if comm.size == 1:
        return result[1]
    done, value = comm.bcast(result, root=0)
    if not done:
        raise _mark(value)
    return value


def together(comm: MPI.Comm, work: Callable[[], T]) -> T:
    """Run local ``work`` on every rank; if it fails anywhere, raise the same error everywhere.

    Args:
        comm: Communicator whose ranks all call this function.
        work: Function without arguments; it must not communicate.

    Returns:
        This rank's result.

    Raises:
        Exception: The error of the lowest rank that failed, on all ranks.
    """
    result, error = None, None
    try:
        result = work()
    except Exception as caught:
        error = caught
    if comm.size > 1:
        errors = [e for e in comm.allgather(error) if e is not None]
        error = errors[0] if errors else None
    if error is not None:
        raise _mark(error)
    return result  # type: ignore[return-value]


def total(comm: MPI.Comm, value: Any) -> Any:
    """Sum of a number or an array over all ranks."""
    value = np.asarray(value)
    out = comm.allreduce(value) if comm.size > 1 else value
    return out if np.ndim(out) else out.item()


def largest(comm: MPI.Comm, value: float) -> float:
    """Largest of a number over all ranks."""
    return float(comm.allreduce(float(value), op=MPI.MAX))


def smallest(comm: MPI.Comm, value: float) -> float:
    """Smallest of a number over all ranks."""
    return float(comm.allreduce(float(value), op=MPI.MIN))


def concatenated(comm: MPI.Comm, array: np.ndarray) -> np.ndarray:
    """Arrays of all ranks, joined along the first axis in the order of the ranks."""
    if comm.size == 1:
        return np.asarray(array)
    return np.concatenate(comm.allgather(np.asarray(array)))


@contextmanager
def failing_together(comm: MPI.Intracomm) -> Iterator[None]:
    """End all ranks where only some of them meet an error: the others would wait for ever.

    An error that all ranks raise, from :func:`on_root`, from :func:`together` or because all found
    the same, goes on as it is. Of others the lowest rank that failed tells its message, as the
    command line does, and all processes end with the exit code of that error.

    Args:
        comm: Communicator whose ranks all do this work.
    """
    try:
        yield
    except Exception as error:
        if comm.size > 1 and not getattr(error, "everywhere", False):
            failed = _failed(comm)
            if len(failed) < comm.size:
                if comm.rank == min(failed):
                    sys.stdout.flush()
                    print(told(error), file=sys.stderr, flush=True)
                else:  # the message of the other rank comes first
                    time.sleep(_PATIENCE)
                comm.Abort(exit_code(error))
            _mark(error)
        raise


def _failed(comm: MPI.Intracomm) -> set[int]:
    """Ranks that have failed when all have, or patience has ended; this one among them."""
    others = set(range(comm.size)) - {comm.rank}
    for rank in others:
        # An empty message needs no receiver to be on its way.
        comm.Isend([bytearray(), MPI.BYTE], rank, _FAILED)
    failed = {comm.rank}
    end = time.monotonic() + _PATIENCE
    while len(failed) < comm.size and time.monotonic() < end:
        for rank in others - failed:
            if comm.Iprobe(rank, _FAILED):
                comm.Recv([bytearray(), MPI.BYTE], rank, _FAILED)
                failed.add(rank)
        time.sleep(0.01)
    return failed


def _mark(error: Exception) -> Exception:
    """The same error, known to be raised on every rank."""
    error.everywhere = True  # type: ignore[attr-defined]
    return error
