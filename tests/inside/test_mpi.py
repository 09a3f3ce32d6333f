"""What the ranks tell each other: an error of one is everybody's, which no user can provoke."""

import sys

import numpy as np
import pytest
from launching import launch
from mpi4py import MPI

from meso.mpi import concatenated, largest, on_root, smallest, together, total


class TroubleError(Exception):
    pass


def helpers(comm):
    """What must hold on any number of ranks."""
    rank, size = comm.rank, comm.size
    # Done on rank 0 alone, and known to all.
    assert on_root(comm, lambda: ("from", rank)) == ("from", 0)
    with pytest.raises(TroubleError, match="rank 0"):
        on_root(comm, lambda: fail(rank, 0))
    # Done everywhere, each with its own result; one failure is everybody's.
    assert together(comm, lambda: rank) == rank
    with pytest.raises(TroubleError, match=f"rank {size - 1}"):
        together(comm, lambda: fail(rank, size - 1))
    if size > 1:
        with pytest.raises(TroubleError, match="rank 1"):  # the lowest of those that failed
            together(comm, lambda: fail(rank, 1) if rank >= 1 else None)
    assert total(comm, rank + 1) == size * (size + 1) // 2
    np.testing.assert_array_equal(total(comm, np.array([1.0, rank])), [size, size * (size - 1) / 2])
    assert isinstance(total(comm, 1.5), float)
    assert largest(comm, rank) == size - 1
    assert smallest(comm, -rank) == 1 - size
    rows = concatenated(comm, np.full((rank + 1, 2), rank))  # of different lengths
    np.testing.assert_array_equal(rows[:, 1], np.repeat(range(size), np.arange(size) + 1))
    nothing = concatenated(comm, np.empty((0 if rank else 3, 2)))  # and of none
    assert nothing.shape == (3, 2)


def fail(rank, where):
    if rank >= where:
        raise TroubleError(f"rank {rank}")
    return rank


def test_helpers_here():
    helpers(MPI.COMM_SELF)
    helpers(MPI.COMM_WORLD)


@pytest.mark.skipif(MPI.COMM_WORLD.size > 1, reason="starts its own ranks")
def test_helpers_on_three_ranks():
    assert launch(__file__, 3).count("passed") == 3


if __name__ == "__main__":
    helpers(MPI.COMM_WORLD)
    sys.stdout.write("passed\n")
