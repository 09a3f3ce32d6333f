"""Pictures of a result directory, and of a mesh.

Everything is read from the files of the result: pictures can be drawn again at any time.
"""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib
import numpy as np

from meso.figures import maps, mechanisms, profiles, sections
from meso.figures.data import Drawn, Files
from meso.figures.mesh import draw_mesh
from meso.figures.polar import draw_distribution
from meso.figures.solid import Solid
from meso.figures.style import STYLE, store

__all__ = ["Drawn", "draw", "draw_mesh"]


def draw(directory: Path) -> list[Path]:
    """Draw the pictures of a result into its folder ``figures``.

    Args:
        directory: A result directory with ``.vtu`` fields.

    Returns:
        The files.
    """
    directory = Path(directory)
    out = directory / "figures"
    if "volume_m3" in json.loads((directory / "summary.json").read_text())["mesh"]:
        return _draw_solid(directory, out)
    result = Drawn.read(directory)
    files = []
    with matplotlib.rc_context(STYLE):
        if "current_density" in result.data:
            files.append(store(maps.current(result), out / "current.png"))
        for name in ("orbital_density", "vorticity"):
            if name in result.data:
                files.append(store(maps.curl(result, name), out / f"{name}.png"))
                break
        if "potential" in result.data:
            files.append(store(maps.potential(result), out / "potential.png"))
        if result.edges:
            files.append(store(profiles.edges(result), out / "edges.png"))
        for name, columns in result.probes.items():
            files.append(store(profiles.probe(result, columns, name), out / f"probe_{name}.png"))
        for name in result.data:
            if name.startswith(tuple(maps.DENSITIES)):
                files.append(store(maps.curl(result, name), out / f"{name}.png"))
        for name, columns in result.edges.items():
            if mechanisms.has_densities(columns):
                figure = mechanisms.along_wall(result, columns, name)
                files.append(store(figure, out / f"densities_{name}.png"))
        files += _densities_along_probes(result, out)
    for table in sorted((directory / "distributions").glob("*.csv")):
        rows = np.genfromtxt(table, delimiter=",", names=True)
        columns = {key: rows[key] for key in rows.dtype.names or ()}
        title = f"{result.title}:\ndistribution at “{table.stem}”"
        path = out / f"distribution_{table.stem}.png"
        files.append(draw_distribution(columns, title, path))
    return files


def _densities_along_probes(result: Files, out: Path) -> list[Path]:
    """Profiles of what diffuses, what the vorticity makes, and their sum."""
    files = []
    for name, columns in result.probes.items():
        if mechanisms.has_densities(columns):
            figure = mechanisms.along_probe(result, columns, name)
            files.append(store(figure, out / f"densities_probe_{name}.png"))
    return files


def _draw_solid(directory: Path, out: Path) -> list[Path]:
    """Sections of a 3D device, and profiles."""
    result = Solid.read(directory)
    files = []
    with matplotlib.rc_context(STYLE):
        if "current_density" in result.data:
            files.append(store(sections.current(result), out / "current.png"))
        for name in ("orbital_density", "vorticity"):
            if name in result.data:
                files.append(store(sections.curl(result, name), out / f"{name}.png"))
                break
        if "potential" in result.data:
            files.append(store(sections.potential(result), out / "potential.png"))
        along = sections.edges(result) if len(result.triangles) else None
        if along is not None:
            files.append(store(along, out / "edges.png"))
        for name, columns in result.probes.items():
            files.append(store(profiles.probe(result, columns, name), out / f"probe_{name}.png"))
        files += _densities_along_probes(result, out)
    return files
