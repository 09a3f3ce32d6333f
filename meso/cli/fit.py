"""Fit numbers of cases to data: best values, how surely, what cannot be told; resumes."""

from __future__ import annotations

import argparse
import sys

from meso.cli.common import (
    DIRECTORY,
    case_file,
    loaded,
    looks,
    meshing,
    settings_of,
    start,
    wishes_of,
)


def arguments(parser: argparse.ArgumentParser) -> None:
    """What may follow on the command line."""
    case_file(parser, "FIT.toml")
    meshing(parser)
    add = parser.add_argument
    add("--output", **DIRECTORY, help="instead of output.directory")
    add("--jobs", type=int, default=1, metavar="N", help="processes (default 1)")
    add("--profile", action="store_true", help="profile likelihoods of all parameters")
    looks(parser, "draw no picture")


def command(options: argparse.Namespace, root: bool) -> None:
    """Do it; ``root`` on rank 0."""
    from meso.fitting.fitting import fit, standard_directory
    from meso.fitting.problem import Problem
    from meso.geometry import gmsh_process

    settings = settings_of(options) | ({"fit.profile": True} if options.profile else {})
    problem = Problem.load(options.case, settings)
    directory = options.directory_used = options.output or standard_directory(problem)
    if options.jobs == 1:
        if root:
            gmsh_process.start()
        start(options)
    loaded()
    found = fit(
        problem,
        directory=directory,
        jobs=options.jobs,
        figures=not options.no_figures,
        petsc=options.petsc,
        **wishes_of(options, root),
    )
    if root and options.quiet:
        for warning in found.warnings:
            print(f"meso: warning: {warning}", file=sys.stderr)
    elif root:
        print(f"{found.table()}\n\n  report, fitted cases and pictures in {directory}")
