"""Solve a grid of cases: one table, one picture; resumes."""

from __future__ import annotations

import argparse
import sys

from meso.cli.common import (
    DIRECTORY,
    case_file,
    load,
    loaded,
    looks,
    meshing,
    settings_of,
    start,
    wishes_of,
)


def arguments(parser: argparse.ArgumentParser) -> None:
    """What may follow on the command line."""
    case_file(parser)
    meshing(parser)
    add = parser.add_argument
    add(
        "--over",
        action="append",
        required=True,
        metavar="KEY=VALUES",
        help="start:stop:n, start:stop:n:log or a,b,c, e.g. --over flow.order=2:5:4"
        " --over materials.Ti.mean_free_path=1nm:100nm:9:log; several make a grid",
    )
    add("--output", **DIRECTORY, help="of the table; default: output.directory_sweep")
    add("--keep", action="store_true", help="leave each result too, in DIR/NNN")
    add("--jobs", type=int, default=1, metavar="N", help="processes (default 1)")
    looks(parser, "draw no picture", fields=True)


def command(options: argparse.Namespace, root: bool) -> int:
    """Do it; ``root`` on rank 0."""
    from meso.results.grid import named
    from meso.results.sweeping import code_of, report, sweep

    case, directory = load(options, root, "_sweep")
    if options.jobs == 1:
        start(options)
    loaded()
    rows = sweep(
        options.case,
        options.over,
        settings=settings_of(options),
        directory=directory,
        keep=options.keep,
        jobs=options.jobs,
        figures=not options.no_figures,
        format=options.format,
        petsc=options.petsc,
        **wishes_of(options, root),
    )
    if root and not options.quiet:
        print(f"{report(rows)}\n\n  table in {directory / 'sweep.csv'}")
    failed = [row for row in rows if row["status"] != "done"]
    if root and failed:
        print(
            f"meso: {len(failed)} of {len(rows)} points failed, the first at"
            f" {named(failed[0]['swept'])}: {failed[0]['error']}",
            file=sys.stderr,
        )
    return code_of(rows)
