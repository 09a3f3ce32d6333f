"""What commands share: their arguments, reading a case, loading the solver, telling progress."""

from __future__ import annotations

import argparse
import gc
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from meso import interrupts
from meso.errors import CaseError

#: Where launchers tell a process its rank, before MPI is there.
RANKS = ("OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "SLURM_PROCID")

#: How arguments are read.
DIRECTORY: dict[str, Any] = {"type": Path, "metavar": "DIR"}
_FIELDS, _PICTURES = ("vtu", "vtx"), ("png", "svg", "pdf")


def case_file(parser: argparse.ArgumentParser, metavar: str = "CASE.toml") -> None:
    """The file, and what replaces values in it."""
    parser.add_argument("case", type=Path, metavar=metavar)
    of = "the case" if "CASE" in metavar else f"{metavar}, or of its case"
    text = f"replace a value of {of}, e.g. --set materials.Ti.mean_free_path='9 nm'"
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help=text)


def meshing(parser: argparse.ArgumentParser, *, quiet: bool = True) -> None:
    """Options of commands that mesh; whether they can be quiet."""
    text = "let the drawing run commands and write files, if it contains such statements"
    parser.add_argument("--trust", action="store_true", help=text)
    text = "mesh even if more than a million cells are to be expected"
    parser.add_argument("--yes", action="store_true", help=text)
    level = parser.add_mutually_exclusive_group()
    text = "progress and timings everywhere"
    level.add_argument("--verbose", action="store_true", help=text)
    if quiet:
        level.add_argument("--quiet", action="store_true", help="errors and warnings only")


def looks(
    parser: argparse.ArgumentParser, no: str = "draw no pictures", *, fields: bool = False
) -> None:
    """Options about pictures, and whether the format may be one of fields, too."""
    text = "of the pictures, beside png"
    if fields:
        text = "vtu, vtx: of the fields; svg, pdf: of the pictures, beside png; may come twice"
    choices = (*_FIELDS, *_PICTURES) if fields else _PICTURES
    add = parser.add_argument
    add("--format", dest="formats", help=text, choices=choices, action="append", default=[])
    text = "a style file of Matplotlib for the pictures"
    add("--style", type=Path, metavar="FILE", help=text)
    if no:
        add("--no-figures", action="store_true", help=no)


def take_looks(options: argparse.Namespace) -> None:
    """What options say of pictures, as settings of a case; ``format`` is left for fields."""
    options.format = next((f for f in reversed(options.formats) if f in _FIELDS), "vtu")
    wanted = {"style": options.style and str(options.style.resolve())}
    wanted["format"] = next((f for f in reversed(options.formats) if f not in _FIELDS), None)
    options.looks = {f"figures.{key}": value for key, value in wanted.items() if value}


def settings_of(options: argparse.Namespace) -> dict[str, Any]:
    """What replaces values of the case."""
    from meso.case import parse_overrides

    return parse_overrides(options.set) | getattr(options, "looks", {})


def load(options: argparse.Namespace, root: bool, suffix: str = "") -> tuple[Any, Path]:
    """The case, and where its results go; ``suffix`` is that of the standard directory.

    Gmsh is loaded at the same time in a process of its own; there are cases that do not need it.
    Commands that make one mesh, whose directory has no suffix, let it begin with that.
    """
    from meso.geometry import formats, gmsh_process

    if root and getattr(options, "jobs", 1) == 1:  # else the workers do
        gmsh_process.start()
    from meso.case import Case
    from meso.results import mesh

    try:
        case = Case.load(options.case, settings_of(options))
    except CaseError as error:
        if options.case.exists():
            raise
        hint = "`meso new DRAWING` writes a case for a drawing or mesh, `meso demo` has examples"
        raise CaseError(f"{error}; {hint}") from None
    if case.geometry.file.suffix.lower() in formats.IMPORTED:
        gmsh_process.stop()
    elif root and not suffix:
        mesh.begin(case, trusted=options.trust, many_cells=options.yes)
    standard = case.output.directory or Path("results") / options.case.stem
    if suffix:
        standard = standard.with_name(standard.name + suffix)
    return case, getattr(options, "output", None) or standard


def start(options: argparse.Namespace) -> None:
    """Load the solver, PETSc with the user's options; signals (a closed pipe) stay Python's."""
    import petsc4py

    petsc4py.init(["meso", "-no_signal_handler", *options.petsc])
    import meso.results.output
    import meso.results.running  # noqa: F401

    loaded()


def loaded() -> None:
    """From now on signals raise exceptions, and garbage is collected, apart from what is loaded."""
    if not gc.isenabled():
        gc.freeze()
        gc.enable()
    interrupts.raise_exceptions()


def progress_of(options: argparse.Namespace, root: bool) -> Callable[[str], None]:
    """Lines with the time since the start, on a terminal only, on rank 0 only."""
    start = time.perf_counter()
    wanted = getattr(options, "verbose", False) or sys.stderr.isatty()
    on = root and wanted and not getattr(options, "quiet", False)

    def show(text: str) -> None:
        if on:
            print(f"[{time.perf_counter() - start:6.2f} s] {text}", file=sys.stderr, flush=True)

    return show


def wishes_of(options: argparse.Namespace, root: bool) -> dict[str, Any]:
    """What drawings may do, and who hears of the progress: arguments of :func:`meso.run`."""
    progress = progress_of(options, root)
    return {"trusted": options.trust, "many_cells": options.yes, "progress": progress}
