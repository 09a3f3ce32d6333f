"""Run a file of tests under MPI: what its ``__main__`` prints and writes is compared by a test."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

_SECONDS = 300
# What pytest's own MPI told its environment must not be inherited.
_INHERITED = ("OMPI_COMM", "PMIX_", "OMPI_UNIVERSE")


def without_launcher() -> dict[str, str]:
    """The environment without what MPI has put there, with the repository and these tests."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(_INHERITED)}
    roots = [str(Path(__file__).parents[i]) for i in (0, 1)]
    environment["OMPI_MCA_mpi_yield_when_idle"] = "1"  # ranks may be more than cores
    before = filter(None, [environment.get("PYTHONPATH")])
    environment["PYTHONPATH"] = os.pathsep.join([*roots, *before])
    return environment


def launch(script: str, ranks: int, *arguments: object) -> str:
    """Run a script on some ranks, with the repository and these tests to import from.

    Args:
        script: ``__file__`` of the caller.
        ranks: How many.
        *arguments: Of its command line.

    Returns:
        What it printed.
    """
    python = [sys.executable, "-W", "ignore", script, *map(str, arguments)]
    done = subprocess.run(
        ["mpirun", "-n", str(ranks), *python],
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        env=without_launcher(),
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout
