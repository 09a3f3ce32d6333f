"""A commented case for a drawing or mesh, with its names filled in; runs as it is."""

from __future__ import annotations

import argparse
from pathlib import Path

from meso.cli.common import meshing, start, wishes_of


def arguments(parser: argparse.ArgumentParser) -> None:
    """What may follow on the command line."""
    meshing(parser, quiet=False)
    add = parser.add_argument
    add("file", type=Path, metavar="FILE")
    add("--unit", default="nm", help="unit of its coordinates (default nm)")
    text = "default: beside the drawing, with its name"
    add("--output", type=Path, metavar="CASE.toml", help=text)


def command(options: argparse.Namespace, root: bool) -> None:
    """Do it; ``root`` on rank 0."""
    start(options)
    from meso.device import Device
    from meso.results.drafting import write_draft

    path = options.output or options.file.with_suffix(".toml")
    device = Device.from_gmsh(options.file, length_unit=options.unit, **wishes_of(options, root))
    write_draft(device, options.unit, path)
    if root:
        print(f"  written: {path}\n  check it, fill in your material, then: meso run {path}")
