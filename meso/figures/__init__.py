"""Pictures of a result directory, and of a mesh.

Everything is read from the files of the result: pictures can be drawn again at any time.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from meso.equations.derived import TABLE
from meso.figures import maps, mechanisms, profiles, sections
from meso.figures.data import Drawn, tables
from meso.figures.mesh import draw_mesh
from meso.figures.polar import draw_distribution
from meso.figures.solid import Solid
from meso.figures.style import STYLE, store
from meso.files.naming import free

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
    summary = json.loads((directory / "summary.json").read_text(encoding="utf-8"))
    solid = "volume_m3" in summary["mesh"]
    files, taken = [], set[str]()
    with matplotlib.rc_context(STYLE):
        for name, figure in _solid(directory) if solid else _plane(directory):
            files.append(store(figure, out / f"{free(name, taken)}.png"))
    return files


def _plane(directory: Path) -> Iterator[tuple[str, Figure]]:
    """Maps of a 2D device, and profiles."""
    result = Drawn.read(directory)
    if "current_density" in result.data:
        yield "current", maps.current(result)
    for name in ("orbital_density", "vorticity"):
        if name in result.data:
            yield name, maps.curl(result, name)
            break
    if "potential" in result.data:
        yield "potential", maps.potential(result)
    if result.edges:
        yield "edges", profiles.edges(result)
    for name, columns in result.probes.items():
        yield f"probe_{name}", profiles.probe(result, columns, name)
    for name in _others(result.data):
        signed = name in TABLE and TABLE[name].signed
        yield name, maps.curl(result, name) if signed else maps.shaded(result, name)
    for name, columns in result.edges.items():
        if mechanisms.has_densities(columns):
            yield f"densities_{name}", mechanisms.along_wall(result, columns, name)
    yield from _densities_along_probes(result)
    for name, columns in tables(directory, result.summary, "distributions").items():
        title = f"{result.title}:\ndistribution at “{name}”"
        yield f"distribution_{name}", draw_distribution(columns, title)


def _others(names: Iterable[str]) -> list[str]:
    """Fields without a picture of their own kind."""
    known = ("current_density", "potential", "vorticity", "orbital_density")
    return [name for name in names if name not in known and not name.startswith("inverse_")]


def _densities_along_probes(result: Drawn | Solid) -> Iterator[tuple[str, Figure]]:
    """Profiles of what diffuses, what the vorticity makes, and their sum."""
    for name, columns in result.probes.items():
        if mechanisms.has_densities(columns):
            yield f"densities_probe_{name}", mechanisms.along_probe(result, columns, name)


def _solid(directory: Path) -> Iterator[tuple[str, Figure]]:
    """Sections of a 3D device, and profiles."""
    result = Solid.read(directory)
    if "current_density" in result.data:
        yield "current", sections.current(result)
    for name in ("orbital_density", "vorticity"):
        if name in result.data:
            yield name, sections.curl(result, name)
            break
    if "potential" in result.data:
        yield "potential", sections.potential(result)
    for name in _others(result.data):
        if name not in TABLE or not TABLE[name].signed:
            yield name, sections.shaded(result, name)
    along = sections.edges(result) if len(result.triangles) else None
    if along is not None:
        yield "edges", along
    for name, columns in result.probes.items():
        yield f"probe_{name}", profiles.probe(result, columns, name)
    yield from _densities_along_probes(result)
