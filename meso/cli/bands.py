"""Compute a material from a Bloch Hamiltonian."""

from __future__ import annotations

import argparse
import os

from meso.cli.common import DIRECTORY, RANKS, case_file, loaded, progress_of
from meso.errors import CaseError


def arguments(parser: argparse.ArgumentParser) -> None:
    """What may follow on the command line."""
    case_file(parser)
    add = parser.add_argument
    add("--output", **DIRECTORY, help="instead of output.directory")
    add("--processes", type=int, metavar="N", help="instead of bands.processes")
    add("--quiet", action="store_true", help="no report, no progress")


def command(options: argparse.Namespace, root: bool) -> None:
    """Do it; ``root`` on rank 0."""
    from meso.bands.case import BandsCase
    from meso.bands.coefficients import coefficients
    from meso.bands.writing import check_own, write
    from meso.case.tables import parse_overrides

    case = BandsCase.load(options.case, parse_overrides(options.set))
    directory = options.output or case.directory
    if directory.exists() and not directory.is_dir():
        raise CaseError(("output.directory", f"{directory} is a file"))
    check_own(directory, case.name)
    options.directory_used = directory
    arguments = dict(case.arguments)
    if options.processes is not None:
        arguments["processes"] = options.processes
    if any(key in os.environ for key in RANKS):
        from mpi4py import MPI

        arguments["comm"] = MPI.COMM_WORLD
    loaded()
    found = coefficients(case.model, progress=progress_of(options, root), **arguments)
    if root:
        paths = write(found, directory, case.name, case.title)
        if not options.quiet:
            print(found.report())
            print("\n".join(f"  written: {path}" for path in paths))
