"""Everything that can be wrong, without solving."""

from __future__ import annotations

import argparse

from meso.cli.common import case_file, load, meshing, start, wishes_of


def arguments(parser: argparse.ArgumentParser) -> None:
    """What may follow on the command line."""
    case_file(parser)
    meshing(parser, quiet=False)


def command(options: argparse.Namespace, root: bool) -> None:
    """Do it; ``root`` on rank 0."""
    case, _ = load(options, root)
    start(options)
    from meso.results.checking import report

    text = report(case, **wishes_of(options, root))
    if root:
        print(text)
