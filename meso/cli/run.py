"""Solve a case: table on the terminal, files in a directory."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from meso.cli.common import DIRECTORY, case_file, load, looks, meshing, start, wishes_of

if TYPE_CHECKING:
    from pathlib import Path

    from meso.case import Case
    from meso.results.result import Result


def arguments(parser: argparse.ArgumentParser) -> None:
    """What may follow on the command line."""
    case_file(parser)
    meshing(parser)
    add = parser.add_argument
    add("--output", **DIRECTORY, help="instead of output.directory")
    looks(parser, fields=True)


def command(options: argparse.Namespace, root: bool) -> None:
    """Do it; ``root`` on rank 0."""
    case, directory = load(options, root)  # begins with the mesh: before anything else is loaded
    from meso.gradients.inputs import is_uncertain

    if case.flow.along:
        wire(options, case, directory, root)
        return
    uncertain = is_uncertain(case)
    wishes = wishes_of(options, root)
    wishes["progress"]("loading the solver")
    start(options)
    from mpi4py import MPI

    # What is needed last as well: now Gmsh is still at work.
    from meso.files.directory import hold
    from meso.geometry import gmsh_process
    from meso.gradients import estimates  # noqa: F401
    from meso.reports import of_run  # noqa: F401
    from meso.results.output import begun
    from meso.results.running import run

    with hold(directory, MPI.COMM_WORLD, record="summary.json"):
        options.directory_used = directory
        if root and not options.no_figures and options.format == "vtu":
            gmsh_process.load("figures")  # while this process solves
        result = run(case, gradients=uncertain, **wishes)
        progress = wishes["progress"]
        if uncertain:
            from meso.gradients import with_uncertainties

            result = with_uncertainties(
                _estimated(result, progress), trusted=options.trust, progress=progress
            )
        progress("writing files and drawing pictures")
        looks = {"figures": not options.no_figures, "format": options.format}
        with begun(result, directory, **looks) as finish:
            if not uncertain:  # while another process draws
                result = _estimated(result, progress)
            finish(result)
        text = result.table()
    if root and options.quiet:
        for warning in result.warnings:
            print(f"meso: warning: {warning}", file=sys.stderr)
    elif root:
        print(f"{text}\n\n  results in {directory}")
    if root and options.verbose:
        for phase, seconds in result.seconds.items():
            print(f"  {phase:<10}{seconds:8.3f} s", file=sys.stderr)


def wire(options: argparse.Namespace, case: Case, directory: Path, root: bool) -> None:
    """The same of a wire along its axis."""
    wishes = wishes_of(options, root)
    wishes["progress"]("loading the solver")
    start(options)
    from mpi4py import MPI

    from meso.files.directory import hold
    from meso.results.wires import RECORD
    from meso.results.wires import wire as solve

    with hold(directory, MPI.COMM_WORLD, record=RECORD):
        result = solve(case, **wishes)
        result.save(directory, figures=not options.no_figures)
    if root and options.quiet:
        for warning in result.warnings:
            print(f"meso: warning: {warning}", file=sys.stderr)
    elif root:
        print(f"{result.table()}\n\n  results in {directory}")


def _estimated(result: Result, progress: Callable[[str], None]) -> Result:
    """The result with the errors that the mesh leaves, where the case leaves that open."""
    from meso.gradients.estimates import is_cheap, with_errors

    wanted = result.case.flow.estimate is None and is_cheap(result)
    return with_errors(result, progress=progress) if wanted else result
