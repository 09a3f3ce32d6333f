"""Which inputs decide a result: derivatives of its numbers, in a table and pictures."""

from __future__ import annotations

import argparse

from meso.cli.common import DIRECTORY, case_file, load, looks, meshing, start, wishes_of


def arguments(parser: argparse.ArgumentParser) -> None:
    """What may follow on the command line."""
    case_file(parser)
    meshing(parser)
    add = parser.add_argument
    text = "a number of the result, e.g. edges.orbital_moment; default: the main ones"
    add("--of", action="append", metavar="OUTPUT", help=text)
    text = "an input, e.g. materials.Ti.mean_free_path; default: all that the case gives"
    add("--in", action="append", metavar="KEY", dest="inputs", help=text)
    add("--check", action="store_true", help="compare with central differences")
    add("--output", **DIRECTORY, help="default: DIR_sensitivity")
    looks(parser)


def command(options: argparse.Namespace, root: bool) -> None:
    """Do it; ``root`` on rank 0."""
    from meso.gradients.inputs import inputs_of

    case, directory = load(options, root, "_sensitivity")
    inputs_of(case, options.inputs)
    start(options)
    from mpi4py import MPI

    from meso.files.directory import hold
    from meso.gradients.report import sensitivities
    from meso.results.running import run

    wishes = wishes_of(options, root)
    with hold(directory, MPI.COMM_WORLD, record="sensitivity.json"):
        result = run(case, gradients=True, **wishes)
        del wishes["many_cells"]
        found = sensitivities(result, options.of, options.inputs, check=options.check, **wishes)
        found.save(directory, figures=not options.no_figures)
    if root and not options.quiet:
        title = case.title or case.geometry.file.stem
        print(f"{title}\n\n{found.table()}\n\n  table and figures in {directory}")
