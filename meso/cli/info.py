"""Versions and configuration: what to paste into a bug report."""

from __future__ import annotations

import argparse

from meso.cli.common import start


def command(options: argparse.Namespace, root: bool) -> None:
    """Do it; ``root`` on rank 0."""
    start(options)
    from meso.results.checking import environment

    if root:
        print(environment())
