"""Ohmic, hydrodynamic and kinetic model on one device: what errs how."""

from __future__ import annotations

import argparse

from meso.cli.common import DIRECTORY, case_file, load, looks, meshing, start, wishes_of


def arguments(parser: argparse.ArgumentParser) -> None:
    """What may follow on the command line."""
    case_file(parser)
    meshing(parser)
    parser.add_argument("--output", **DIRECTORY, help="default: DIR_compare")
    looks(parser, "")


def command(options: argparse.Namespace, root: bool) -> None:
    """Do it; ``root`` on rank 0."""
    case, directory = load(options, root, "_compare")
    start(options)
    from mpi4py import MPI

    from meso.files.directory import hold
    from meso.results.comparing import compare

    with hold(directory, MPI.COMM_WORLD, record="compare.json"):
        found = compare(case, **wishes_of(options, root))
        found.save(directory)
    if root and not options.quiet:
        print(f"{found.case.title}\n\n{found.table()}\n\n  table and figure in {directory}")
