"""List the demos, or copy one to run and to change."""

from __future__ import annotations

import argparse
from pathlib import Path

from meso.cli.common import DIRECTORY


def arguments(parser: argparse.ArgumentParser) -> None:
    """What may follow on the command line."""
    parser.add_argument("name", nargs="?", metavar="NAME", help="default: list all")
    text = "where to copy it; default: the current folder"
    parser.add_argument("--to", **DIRECTORY, default=Path(), help=text)


def command(options: argparse.Namespace, root: bool) -> None:
    """Do it; ``root`` on rank 0."""
    if not root:
        return
    from meso import demos

    if options.name is None:
        titles = demos.titles()
        width = max(map(len, titles))
        print("\n".join(f"  {name:<{width}}  {title}" for name, title in titles.items()))
        print("\nmeso demo NAME copies one; its README.md tells its story")
        return
    folder = demos.copy(options.name, options.to)
    print(f"  copied: {folder}\n  its story, and what to run: {folder / 'README.md'}")
    if (folder / "case.toml").is_file():
        print(f"  begin with: meso run {folder / 'case.toml'}")
