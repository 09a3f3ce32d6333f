"""Show a material, what follows from it, sources."""

from __future__ import annotations

import argparse


def arguments(parser: argparse.ArgumentParser) -> None:
    """What may follow on the command line."""
    parser.add_argument("name", nargs="?", metavar="NAME|FILE.toml", help="default: list all")


def command(options: argparse.Namespace, root: bool) -> None:
    """Do it; ``root`` on rank 0."""
    if root:
        from meso.results.checking import material_report

        print(material_report(options.name))
