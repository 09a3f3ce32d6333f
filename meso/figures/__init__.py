"""Pictures of a result directory, and of a mesh.

Everything is read from the files of the result: pictures can be drawn again at any time.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from meso.figures import maps, profiles, sheets, solid
from meso.figures.data import Drawn
from meso.figures.style import Look, canvas, look, png, store
from meso.files.naming import free

if TYPE_CHECKING:
    from meso.case import Figures
    from meso.device import Device

#: What makes a picture, when it is its turn.
Make = Callable[[], Figure]
Tell = Callable[[str], None]
#: By which two processes that draw have the weight of one that does not (1.25 for each step).
_NICE = 3

__all__ = ["Drawn", "draw", "draw_mesh"]


def draw(
    directory: Path,
    *,
    processes: int = 1,
    figures: Figures | Look | None = None,
    tell: Tell = lambda text: None,
) -> list[Path]:
    """Draw the pictures of a result into its folder ``figures``.

    Args:
        directory: A result directory with ``.vtu`` fields.
        figures: How they look, in place of what its case says.
        processes: How many draw; those beside this one are forks of it.
        tell: Called with a line of text about what cannot be drawn.

    Returns:
        The files.
    """
    out, taken = Path(directory) / "figures", set[str]()
    wanted = _wanted(Path(directory) / "case.toml")
    if figures is not None:
        wanted = Look(figures.style or wanted.style, figures.format or wanted.format)
    with look(wanted):
        pictures = [
            (out / f"{free(name, taken)}.png", make)
            for name, make in _pictures(Drawn(Path(directory)), tell)
        ]
        some = processes > 1 and 0 < len(pictures) < 256
        if not (some and _shared(pictures, processes)):
            for path, make in pictures:
                store(make(), path)
    return [path for path, _ in pictures]


def _wanted(case: Path) -> Look:
    """How the pictures of a result are to look, by its case."""
    if not case.is_file():
        return Look()
    table = tomllib.loads(case.read_text(encoding="utf-8")).get("figures", {})
    style = case.parent / table["style"] if "style" in table else None
    return Look(style, table.get("format"))


def prepare() -> None:
    """Do once what the first picture of a process does: find fonts, load what reads formulas."""
    with look():
        png(canvas(1.0, 1.0, "$L_z$ (10⁶ ħ/m²)", 0.1)[0])


def draw_shared(directory: Path, progress: Tell = lambda text: None) -> list[Path]:
    """The same by some processes, where forks are harmless: in the process of Gmsh.

    They come second to the one whose numbers they draw, which has a core while it needs it.
    """
    os.nice(_NICE)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    return draw(directory, processes=min(4, cores), tell=progress)


def _shared(pictures: list[tuple[Path, Make]], processes: int) -> bool:
    """Draw by forks of this process and by itself; False if a fork did not come to its end."""
    # A byte for each picture: who is free takes the next one.
    left, numbers = os.pipe()
    os.write(numbers, bytes(range(len(pictures))))
    os.close(numbers)

    def work() -> None:
        while taken := os.read(left, 1):
            path, make = pictures[taken[0]]
            store(make(), path)

    path, make = pictures[os.read(left, 1)[0]]
    first = make()  # what this finds in the result, such as the pixels of its cells, all have
    forks = [get_context("fork").Process(target=work) for _ in range(processes - 1)]
    for fork in forks:
        fork.start()
    store(first, path)
    work()
    os.close(left)
    for fork in forks:
        fork.join()
    return not any(fork.exitcode for fork in forks)


def _pictures(result: Drawn, tell: Tell) -> Iterator[tuple[str, Make]]:
    """Maps of the fields (views and sections in 3D), and profiles."""
    curls = [name for name in ("orbital_density", "vorticity") if name in result.columns]
    others = [
        name
        for name in filter(result.has, result.columns)
        if name not in ("current_density", "potential", *curls) and not name.startswith("inverse_")
    ]
    main = [name for name in ("current_density", *curls[:1], "potential") if name in result.columns]
    views = _views(result, [*main, *others], tell) if result.dimension == 3 else {}
    for name in (*main, *others):
        seen = views.get(name, [])
        if name == "current_density":
            yield "current", partial(maps.current, result, seen)
        else:
            drawn = maps.signed if result.is_signed(name) else maps.scalar
            yield name, partial(drawn, result, name, seen)
    if (edges := profiles.edges(result)) is not None:
        yield "edges", lambda: edges
    for name in result.probes:
        yield f"probe_{name}", partial(profiles.probe, result, name)
    lines = result.edges if result.dimension == 2 else {}  # in 3D points of surfaces
    for kind, text, tables in (("", "wall", lines), ("probe_", "probe", result.probes)):
        for name, columns in tables.items():
            if profiles.has_densities(columns):
                title, note = f"{result.title}: {text} “{name}”", ""
                if text == "probe":
                    note = profiles.spot(result, name)
                yield f"densities_{kind}{name}", partial(profiles.densities, columns, title, note)
    planar = result.distributions if result.dimension == 2 else {}  # in 3D over a sphere
    for name, columns in planar.items():
        title = f"{result.title}:\ndistribution at “{name}”"
        yield f"distribution_{name}", partial(profiles.distribution, columns, title)


def _views(result: Drawn, fields: list[str], tell: Tell) -> dict[str, list[solid.Seen]]:
    """Views of a 3D device by VTK, if it can; whatever prevents it, there are sections."""
    if find_spec("pyvista") is None or "current_density" not in fields:
        return {}
    try:
        views, reason = solid.Scenes(result, fields, sheets.sections_width(result)).draw()
    except Exception as error:  # pictures never decide whether a run has succeeded
        views, reason = {}, f"{type(error).__name__}: {error}"
    if reason:
        tell(f"3D pictures are sections only: {reason}")
    return views


def draw_mesh(device: Device, path: Path) -> None:
    """Draw a mesh with its boundaries in colour; every rank calls this, rank 0 draws.

    Args:
        device: The device.
        path: The picture.
    """
    from meso.figures import mesh

    mesh.picture(device, path)
