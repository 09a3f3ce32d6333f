"""Draw the pictures of a result directory again."""

from __future__ import annotations

import argparse
from pathlib import Path

from meso.cli.common import DIRECTORY, looks, start


def arguments(parser: argparse.ArgumentParser) -> None:
    """What may follow on the command line."""
    parser.add_argument("directory", **DIRECTORY)
    looks(parser, "")


def command(options: argparse.Namespace, root: bool) -> None:
    """Do it; ``root`` on rank 0."""
    start(options)
    from mpi4py import MPI

    from meso.case import Figures
    from meso.mpi import on_root
    from meso.results.output import redraw
    from meso.validation import checked

    given = {key.removeprefix("figures."): value for key, value in options.looks.items()}
    look = checked(Figures, given, {"base_directory": Path()}, {}) if given else None
    paths = on_root(MPI.COMM_WORLD, lambda: redraw(options.directory, look))
    if root:
        print("\n".join(str(path) for path in paths))
