"""The shape, or the parameters, that make the most of a number; resumes."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from meso.cli.common import DIRECTORY, case_file, looks, meshing, settings_of, start, wishes_of


def arguments(parser: argparse.ArgumentParser) -> None:
    """What may follow on the command line."""
    case_file(parser, "DESIGN.toml")
    meshing(parser)
    add = parser.add_argument
    add("--output", **DIRECTORY, help="default: output.directory, or results/DESIGN")
    looks(parser)


def command(options: argparse.Namespace, root: bool) -> int:
    """Do it; ``root`` on rank 0."""
    from meso.case.tables import shared
    from meso.geometry import gmsh_process

    if root:
        gmsh_process.start()
    start(options)
    from meso.designing.design import design
    from meso.designing.schema import OWN, Brief

    settings = settings_of(options)
    brief = Brief.load(options.case, shared(settings, OWN)[0])
    standard = brief.output.directory or Path("results") / options.case.stem
    directory = options.output or standard
    found = design(
        options.case,
        settings=settings,
        directory=directory,
        figures=not options.no_figures,
        **wishes_of(options, root),
    )
    if root and not options.quiet:
        print(f"{found.table()}\n\n  case, drawing and iterates in {directory}")
    if root and found.status != "converged":
        text = f"{found.status} after {found.steps} steps; what was found is in {directory}"
        print(f"meso: did not converge: {text}", file=sys.stderr)
    return 0 if found.status == "converged" else 3
