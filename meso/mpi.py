"""The few collective operations that the rest of the package uses.

Every global reduction and every piece of work done by one rank for all goes through here, so
that an error on one rank becomes the same exception on all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from mpi4py import MPI

T = TypeVar("T")


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
        raise value
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
        raise error
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
