"""Print what completes commands in a shell, for one of its start files."""

from __future__ import annotations

import argparse
from pathlib import Path

from meso.errors import MesoError


def arguments(parser: argparse.ArgumentParser) -> None:
    """What may follow on the command line."""
    parser.add_argument("shell", choices=("bash", "zsh", "fish"))


def command(options: argparse.Namespace, root: bool) -> None:
    """Do it; ``root`` on rank 0."""
    try:
        import shtab
    except ImportError:
        raise MesoError("needs shtab: python3 -m pip install 'shtab>=1.10'") from None
    from meso import cli, demos
    from meso.materials.published import library_names

    parser = cli.parser()
    choices = {"demo": list(demos.titles()), "material": library_names()}
    (commands,) = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    for name, sub in commands.choices.items():
        for action in sub._actions:
            if action.type is Path:
                files = shtab.DIRECTORY if action.metavar == "DIR" else shtab.FILE
                action.complete = files  # type: ignore[attr-defined]
            elif action.dest == "name":
                action.choices = choices[name]
    if root:
        print(shtab.complete(parser, options.shell))
