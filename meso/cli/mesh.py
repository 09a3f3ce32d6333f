"""Mesh of a case, drawing or mesh file: names, quality, a picture."""

from __future__ import annotations

import argparse
from pathlib import Path

from meso.cli.common import case_file, load, meshing, start, wishes_of
from meso.errors import CaseError


def arguments(parser: argparse.ArgumentParser) -> None:
    """What may follow on the command line."""
    case_file(parser, "CASE.toml|FILE")
    meshing(parser, quiet=False)
    add = parser.add_argument
    add("--unit", default="nm", help="unit of a drawing or mesh (default nm)")
    add("--picture", type=Path, default="mesh.png", metavar="FILE.png", help="default: mesh.png")


def command(options: argparse.Namespace, root: bool) -> None:
    """Do it; ``root`` on rank 0."""
    file, case = options.case, None
    if file.suffix == ".toml":
        case, _ = load(options, root)
    elif options.set:
        raise CaseError(("--set", "is for case files"))
    start(options)
    from meso.device import Device
    from meso.figures import draw_mesh
    from meso.results.checking import mesh_names, mesh_quality
    from meso.results.running import build_device

    wishes = wishes_of(options, root)
    if case:
        device = build_device(case, **wishes)
    else:
        device = Device.from_gmsh(file, length_unit=options.unit, **wishes)
    text = f"{mesh_names(device)}\n{mesh_quality(device)}"
    if options.picture.suffix != ".png":
        raise CaseError(("--picture", f"found '{options.picture}'; must end in .png"))
    draw_mesh(device, options.picture)
    if root:
        print(f"{text}\n  picture in {options.picture}")
