"""Pictures of a result directory, and of a mesh.

Everything is read from the files of the result: pictures can be drawn again at any time.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib
from matplotlib.figure import Figure

from meso.equations.derived import TABLE
from meso.figures import maps, profiles
from meso.figures.data import Drawn
from meso.figures.style import STYLE, store
from meso.files.naming import free

if TYPE_CHECKING:
    from meso.device import Device

__all__ = ["Drawn", "draw", "draw_mesh"]


def draw(directory: Path) -> list[Path]:
    """Draw the pictures of a result into its folder ``figures``.

    Args:
        directory: A result directory with ``.vtu`` fields.

    Returns:
        The files.
    """
    out, taken = Path(directory) / "figures", set[str]()
    with matplotlib.rc_context(STYLE):
        return [
            store(figure, out / f"{free(name, taken)}.png")
            for name, figure in _pictures(Drawn(Path(directory)))
        ]


def _pictures(result: Drawn) -> Iterator[tuple[str, Figure]]:
    """Maps of the fields (sections in 3D), and profiles."""
    curls = [name for name in ("orbital_density", "vorticity") if name in result.columns]
    others = [
        name
        for name in result.columns
        if name not in ("current_density", "potential", *curls) and not name.startswith("inverse_")
    ]
    if "current_density" in result.columns:
        yield "current", maps.current(result)
    for curl in curls[:1]:
        yield curl, maps.signed(result, curl)
    if "potential" in result.columns:
        yield "potential", maps.scalar(result, "potential")
    for name in others:
        signed = name in TABLE and TABLE[name].signed
        yield name, (maps.signed if signed else maps.scalar)(result, name)
    if (edges := profiles.edges(result)) is not None:
        yield "edges", edges
    for name in result.probes:
        yield f"probe_{name}", profiles.probe(result, name)
    for kind, text, tables in (("", "wall", result.edges), ("probe_", "probe", result.probes)):
        for name, columns in tables.items():
            if profiles.has_densities(columns):
                title = f"{result.title}: {text} “{name}”"
                yield f"densities_{kind}{name}", profiles.densities(columns, title)
    for name, columns in result.distributions.items():
        title = f"{result.title}:\ndistribution at “{name}”"
        yield f"distribution_{name}", profiles.distribution(columns, title)


def draw_mesh(device: Device, path: Path) -> None:
    """Draw a mesh with its boundaries in colour; every rank calls this, rank 0 draws.

    Args:
        device: The device.
        path: The picture.
    """
    from meso.figures.mesh import picture

    picture(device, path)
