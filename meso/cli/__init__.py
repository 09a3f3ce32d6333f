"""The command line. Exit codes: 0 done, 2 bad input, 3 did not converge, 1 anything else."""

from __future__ import annotations

import argparse
import errno
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module

from meso import __version__, interrupts
from meso.cli.common import RANKS, take_looks
from meso.errors import ConvergenceError, MesoError, exit_code, known, told

__all__ = ["main"]

_COMMANDS = (
    *("run", "sweep", "fit", "compare", "sensitivity", "design", "check", "mesh", "new", "plot"),
    *("bands", "material", "demo", "completion", "info"),
)
#: Seconds that a rank waits for the others before it ends.
_PATIENCE = 5.0
#: No room for a file, wherever it is, such as for temporary ones.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: Words after ``meso``; PETSc options may follow after ``--``.

    Returns:
        The exit code.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    petsc: list[str] = []
    if "--" in words:
        at = words.index("--")
        words, petsc = words[:at], words[at + 1 :]
    if not words:
        parser().print_help(sys.stderr)
        sys.exit(2)
    if not words[0].startswith("-") and words[0] not in _COMMANDS:
        parser().error(f"no command {words[0]!r}; {known(words[0], _COMMANDS)}")
    options = parser(words[:1] if words[0] in _COMMANDS else _COMMANDS).parse_args(words)
    options.petsc = petsc
    if hasattr(options, "formats"):
        take_looks(options)
    rank = next((int(os.environ[key]) for key in RANKS if key in os.environ), 0)
    interrupts.end_at_once()
    try:
        with _all_ranks():
            return options.action(options, rank == 0) or 0
    except MesoError as error:
        if isinstance(error, ConvergenceError):
            _leave_log(options, rank, error)
        if rank == 0:
            print(told(error), file=sys.stderr, flush=True)
        _after_rank_0()
        return exit_code(error)
    except (KeyboardInterrupt, interrupts.Terminated) as end:
        return _abort(int(getattr(end, "code", 130)))
    except BrokenPipeError:
        return 1
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _FULL:
            print(f"meso: error: {error.strerror}: {error.filename or 'a file'}", file=sys.stderr)
        elif rank == 0:
            print(told(error), file=sys.stderr, flush=True)
        return _abort(1)
    finally:
        if "meso.geometry.gmsh_process" in sys.modules:
            sys.modules["meso.geometry.gmsh_process"].forget()  # after an error
        interrupts.raise_exceptions()


@contextmanager
def _all_ranks() -> Iterator[None]:
    """What ranks that a launcher started do together; MPI is started when one of them fails."""
    try:
        yield
    except BrokenPipeError:
        raise
    except Exception:
        if any(key in os.environ for key in RANKS):
            from mpi4py import MPI

            from meso.mpi import failing_together

            with failing_together(MPI.COMM_WORLD):
                raise
        raise


def _after_rank_0() -> None:
    """Wait until rank 0 has spoken: some launchers end all processes when the first one ends."""
    if "mpi4py.MPI" in sys.modules:
        from mpi4py import MPI

        there = MPI.COMM_WORLD.Ibarrier()
        end = time.monotonic() + _PATIENCE
        while not there.Test() and time.monotonic() < end:
            time.sleep(0.01)


def _abort(code: int) -> int:
    if "mpi4py.MPI" in sys.modules:
        from mpi4py import MPI

        if MPI.COMM_WORLD.size > 1:
            MPI.COMM_WORLD.Abort(code)
    return code


def _leave_log(options: argparse.Namespace, rank: int, error: Exception) -> None:
    """The one thing that an unconverged run leaves: a log next to where the result would be."""
    directory = getattr(options, "directory_used", None)
    if rank == 0 and directory is not None:
        from meso.files.directory import replace_file
        from meso.results.output import NOT_CONVERGED, log_of

        text = f"meso {__version__}\ncase {options.case}\n{NOT_CONVERGED}{error}\n"
        with suppress(OSError):  # the message is on the terminal anyway
            if (path := log_of(directory)) is None:
                return
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(path, text.encode())


def parser(names: Sequence[str] = _COMMANDS) -> argparse.ArgumentParser:
    """The command line: one module for each command, whose docstring is its help."""
    found = argparse.ArgumentParser(
        prog="meso",
        description="Mesoscopic transport in conductors: electron hydrodynamics, vorticity,"
        " orbital edge accumulation.",
        epilog="PETSc options may follow after --.",
    )
    found.add_argument("--version", action="version", version=f"meso {__version__}")
    commands = found.add_subparsers(required=True, metavar="COMMAND")
    for name in names:
        module = import_module(f"meso.cli.{name}")
        text = (module.__doc__ or "").rstrip(".")
        text = text[:1].lower() + text[1:]
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(action=module.command)
        if hasattr(module, "arguments"):
            module.arguments(sub)
    return found


if __name__ == "__main__":
    sys.exit(main())
