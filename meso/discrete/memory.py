"""How much memory a solution takes, and whether the machine has it.

The estimates are measured ones (two cores, MUMPS 5.7): within 20 % for systems of 100 MB to 6 GB.
CHOLMOD's are up to 70 % too large where many unknowns are inside cells.
"""

from __future__ import annotations

import ctypes
import resource
from contextlib import suppress
from math import inf, log2
from pathlib import Path

from mpi4py import MPI

from meso.errors import TooLargeError

_CGROUPS = Path("/sys/fs/cgroup")
#: Bytes for each entry of an element matrix that is being assembled, at most at a time; those
#: that stay; for each entry of the matrix in PETSc and MUMPS; for each entry of the factors of
#: MUMPS, and of CHOLMOD.
_ASSEMBLED, _LEFT, _STORED, _FACTOR, _CHOLESKY = 48, 10, 28, 13, 9
#: Bytes for each entry of a matrix with constraints, beside its penalised copy and the factor.
_KEPT = 52
#: Share of the entries of element matrices that are left when they are added.
_DISTINCT = 0.73
#: Bytes that any process has, so that nobody needs to ask, which takes milliseconds.
_SMALL = 50e6


def require(comm: MPI.Comm, needed: float, what: str, hint: str) -> None:
    """Raise a TooLargeError on all ranks if ``what`` needs more memory than there is.

    ``needed`` are bytes of this rank; ``hint`` says what would help.
    """
    if comm.allreduce(needed, op=MPI.MAX) < _SMALL:
        return
    wanted, there, where = _scarcest(comm, needed)
    if wanted > there:
        trim()
        wanted, there, where = _scarcest(comm, needed)
    if wanted > there:
        sizes = f"{wanted / 1e9:.3g} GB of memory, but {there / 1e9:.3g} GB are free {where}"
        raise TooLargeError(("flow", f"{what} needs about {sizes}; {hint}"))


def _scarcest(comm: MPI.Comm, needed: float) -> tuple[float, float, str]:
    """Bytes that are needed and that are free, and where, on the rank that lacks most of them."""
    node = comm.Split_type(MPI.COMM_TYPE_SHARED)
    together, ranks = node.allreduce(needed), node.size
    free, own = node.allreduce(_machine(), op=MPI.MIN), _process()
    node.Free()
    # Of the node, or of the process, whichever is shorter.
    cases = [(together, free, "on this machine" if ranks == 1 else f"for the {ranks} ranks here")]
    cases.append((needed, own, "for one process (its limit, see ulimit -v)"))
    worst = max(cases, key=lambda case: case[0] / max(case[1], 1.0))
    return max(comm.allgather(worst), key=lambda case: case[0] / max(case[1], 1.0))


def trim() -> None:
    """Give back what Python has freed, where the library can (glibc)."""
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


def direct(unknowns: int, entries: float, dimension: int, *, symmetric: bool = True) -> float:
    """Bytes that assembling and factorising a system takes, over all ranks.

    ``entries`` are those of all element matrices, in the upper triangle if it is symmetric.
    """
    stored = _DISTINCT * entries
    later = _LEFT * entries + factorisation(unknowns, stored, dimension, symmetric=symmetric)
    return max(_ASSEMBLED * entries, later)


def factorisation(
    unknowns: int, stored: float, dimension: int = 2, *, symmetric: bool = True
) -> float:
    """Bytes that factorising a matrix takes, over all ranks; 2D is the least.

    ``stored`` are its entries, in the upper triangle if it is symmetric.
    """
    # Nested dissection of as many blocks of unknowns as the matrix has.
    blocks = max(unknowns**2 / max(stored * (1.0 if symmetric else 0.5), 1.0), 2.0)
    fill = 0.66 * log2(blocks) - 2.0 if dimension == 2 else 2.3 * blocks ** (1 / 3)
    return stored * (_STORED + _FACTOR * max(fill, 1.5))


def cholesky(unknowns: int, stored: float) -> float:
    """Bytes that CHOLMOD takes for the factor of a definite matrix in 2D."""
    fill = 0.66 * log2(max(unknowns**2 / max(stored, 1.0), 2.0)) - 2.0
    return stored * (_STORED + _CHOLESKY * max(fill, 1.5))


def skeleton(unknowns: int, stored: float) -> float:
    """Bytes that a condensed system with constraints takes on one rank, as :func:`cholesky`."""
    return _KEPT * stored + cholesky(unknowns, stored)


def iterative(unknowns: int) -> float:
    """Bytes that an iterative 3D system takes, over all ranks."""
    return 3500.0 * unknowns


def planar(unknowns: int) -> float:
    """Bytes that an iterative 2D system takes, over all ranks."""
    return 1900.0 * unknowns


def moments(unknowns: int, sides: int) -> float:
    """Bytes that the iteration for moments at nodes takes beside its factors, over all ranks."""
    return 8.0 * unknowns * (2 * sides + 12)


def _machine() -> float:
    """Bytes that are free on this machine, or in the container or job that this process is in."""
    free = [inf]
    for line in _lines(Path("/proc/meminfo")):
        if line.startswith("MemAvailable:"):
            free.append(1024.0 * int(line.split()[1]))
    for line in _lines(Path("/proc/self/cgroup")):
        _, kinds, path = line.split(":", 2)
        if kinds == "":
            free += _cgroup(_CGROUPS, path, "memory.max", "memory.current", "inactive_file")
        elif "memory" in kinds.split(","):
            names = "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"
            free += _cgroup(_CGROUPS / "memory", path, *names)
    return min(free)


def _cgroup(root: Path, path: str, limit: str, used: str, cached: str) -> list[float]:
    """What the limits of a control group and of those above it leave."""
    free = []
    folder = root / path.strip("/")
    for place in (folder, *folder.parents):
        if place.is_relative_to(root) and (most := _lines(place / limit)) and most[0].isdigit():
            now = sum(int(line) for line in _lines(place / used))
            spare = [line.split() for line in _lines(place / "memory.stat")]
            now -= sum(int(words[1]) for words in spare if words[0] == cached)
            free.append(float(int(most[0]) - now))
    return free


def _process() -> float:
    """Bytes that the limits of this process leave."""
    sizes = {
        name: 1024.0 * int(value.split()[0])
        for name, _, value in (line.partition(":") for line in _lines(Path("/proc/self/status")))
        if name in ("VmSize", "VmData")
    }
    free = [inf]
    for limit, used in ((resource.RLIMIT_AS, "VmSize"), (resource.RLIMIT_DATA, "VmData")):
        most = resource.getrlimit(limit)[0]
        if most != resource.RLIM_INFINITY:
            free.append(most - sizes.get(used, 0.0))
    return min(free)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []
