"""Show a material, what follows from it, sources."""

from __future__ import annotations

import argparse
import sys


def arguments(parser: argparse.ArgumentParser) -> None:
    """What may follow on the command line."""
    parser.add_argument("name", nargs="?", metavar="NAME|FILE.toml", help="default: list all")
    text = "list what the library has of it, with sources, e.g. --with mean_free_path"
    parser.add_argument("--with", action="append", default=[], metavar="QUANTITY", help=text)


def command(options: argparse.Namespace, root: bool) -> None:
    """Do it; ``root`` on rank 0."""
    if root:
        from meso.results.checking import material_report, unknown_of

        print(material_report(options.name, getattr(options, "with")))
        if not options.name and not getattr(options, "with"):
            print("meso material NAME shows one, --with QUANTITY what is known of all of them")
        if options.name and not options.name.endswith(".toml"):
            for quantity in unknown_of(options.name):
                where = f"where to find one: meso material --with {quantity}"
                print(
                    f"meso: no {quantity} of {options.name} in the library; {where}",
                    file=sys.stderr,
                )
