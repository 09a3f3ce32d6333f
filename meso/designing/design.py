"""From a design file to the best shape, its verified value and a drawing."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import tomli_w
from mpi4py import MPI

from meso.case import Case
from meso.case.tables import shared
from meso.designing.problem import Goal
from meso.designing.schema import OWN, Brief, Method, Output
from meso.designing.steps import Designer
from meso.designing.table import Row, Table
from meso.errors import CaseError
from meso.files.directory import hold, replace_file
from meso.geometry import scripts
from meso.mpi import on_root
from meso.reports import write_report
from meso.results.result import Result

Progress = Callable[[str], None]


@dataclass(frozen=True, kw_only=True, eq=False)
class Design:
    """What a design has found.

    Attributes:
        target: The formula that was to be large or small.
        maximise: True if large.
        status: "converged", "stopped" after as many steps as were allowed, or "stuck".
        iterates: A dictionary for each accepted step: ``target``, ``outputs`` (column -> number),
            ``parameters``, ``area_m2``, ``mesh`` (number of the mesh), ``kind`` ("start",
            "step", "mesh": the same shape on a new one).
        verified: ``target``, ``outputs`` and ``cells`` of the final shape on a fresh, finer mesh.
        drawing: Text of the final drawing of free walls.
        directory: Where everything has been written.
    """

    target: str
    maximise: bool
    status: str
    iterates: tuple[Mapping[str, Any], ...]
    verified: Mapping[str, Any]
    drawing: str | None
    directory: Path | None

    @property
    def start(self) -> float:
        """The target at the start."""
        return float(self.iterates[0]["target"])

    @property
    def value(self) -> float:
        """The target of the final shape, on the finer mesh."""
        return float(self.verified["target"])

    @property
    def steps(self) -> int:
        """Number of accepted steps."""
        return sum(row["kind"] == "step" for row in self.iterates)

    @property
    def parameters(self) -> Mapping[str, float]:
        """The final inputs, by key."""
        found: Mapping[str, float] = self.iterates[-1]["parameters"]
        return found

    def table(self) -> str:
        """Text for the terminal."""
        first, last = self.iterates[0], self.iterates[-1]
        verb = "maximise" if self.maximise else "minimise"
        lines = [
            f"  {verb} {self.target}: {self.status} after {self.steps} steps",
            "",
            f"  {'':<34}{'start':>16}{'end':>16}{'finer mesh':>16}",
        ]
        rows: list[tuple[str, Any, Any, Any]] = [
            ("target", first["target"], last["target"], self.value)
        ]
        for column, value in last["outputs"].items():
            rows.append((column, first["outputs"][column], value, self.verified["outputs"][column]))
        if last["area_m2"] != first["area_m2"]:
            rows.append(("area_m2", first["area_m2"], last["area_m2"], None))
        rows += [(key, first["parameters"][key], x, None) for key, x in last["parameters"].items()]
        if any(row["limits_exceeded_by"] for row in (first, last)):
            name = "limits_exceeded_by"
            rows.append((f"{name} (relative)", first[name], last[name], None))
        for name, *numbers in rows:
            cells = ("" if x is None else f"{x:.9g}" for x in numbers)
            lines.append(f"  {name:<34}" + "".join(f"{cell:>16}" for cell in cells))
        return "\n".join(lines)


def design(
    path: str | Path | Brief,
    *,
    settings: Mapping[str, Any] | None = None,
    directory: str | Path | None = None,
    figures: bool = True,
    progress: Progress = lambda text: None,
    trusted: bool = False,
    many_cells: bool = False,
) -> Design:
    """Look for the shape, or the inputs, that make the most of a number; all ranks call this.

    Args:
        path: The design file, or what it says.
        settings: Dotted key -> value, in place of what the design file at ``path`` says, and what
            is no key of a design file in place of what the case says.
        directory: Where everything goes; a design that is there already goes on. None to leave no
            files.
        figures: True to draw the shapes before and after.
        progress: Called with a line of text for each step.
        trusted: True if drawings may run commands and write files.
        many_cells: True to mesh even if more than a million cells are to be expected and the case
            gives no size.

    Returns:
        What was found; ``status`` says whether it converged.

    Raises:
        CaseError: Something is wrong with the design, the case or the directory.
        GeometryError: The drawing cannot be used.
        ConvergenceError: The solver failed.
    """
    comm, place = MPI.COMM_WORLD, None if directory is None else Path(directory)
    with _named(path):
        own, of_case = shared(settings or {}, () if isinstance(path, Brief) else OWN)
        brief = path if isinstance(path, Brief) else Brief.load(path, own)
        case = Case.load(brief.case, of_case)
    case = replace(case, mesh=replace(case.mesh, adapt=None))
    table = Table(directory=place, head=_head(path, brief, case))
    with nullcontext() if place is None else hold(place, comm), _folder(comm) as folder:
        on_root(comm, table.read)
        table = comm.bcast(table)
        designer = Designer(
            brief=brief,
            case=case,
            goal=Goal(target=brief.target, sign=brief.sign, between=brief.constraints.outputs),
            table=table,
            place=folder,
            progress=progress,
            allowed={"trusted": trusted, "many_cells": many_cells},
            comm=comm,
        )
        if table.status != "converged" or table.verified is None:
            with _named(path):
                table.status = designer.descend()
            progress("verifying the last shape on a finer mesh")
            result, final = designer.verify()
            if place is not None:
                leave(designer, place, result, final, figures)
    return Design(
        target=brief.target.text,
        maximise=brief.sign < 0,
        status=table.status,
        iterates=tuple(table.rows),
        verified=table.verified or {},
        drawing=designer.drawn,
        directory=place,
    )


@contextmanager
def _named(path: str | Path | Brief) -> Iterator[None]:
    """Errors say the design file, unless they say another one."""
    file = None if isinstance(path, Brief) else str(path)
    try:
        yield
    except CaseError as error:
        raise CaseError(*error.problems, file=error.file or file) from None


@contextmanager
def _folder(comm: MPI.Comm) -> Iterator[Path]:
    """A folder of rank 0 for drawings, known to all."""
    with TemporaryDirectory(prefix="meso-") as own:
        yield Path(comm.bcast(own))


def _head(path: str | Path | Brief, brief: Brief, case: Case) -> Row:
    from meso import __version__

    same = replace(brief, title="", method=Method(), output=Output(), case=Path())
    digest = hashlib.sha256(f"{case.hash} {same!r}".encode())
    return {
        "design": "" if isinstance(path, Brief) else Path(path).name,
        "title": brief.title or case.title or case.geometry.file.stem,
        "meso": __version__,
        "fingerprint": digest.hexdigest(),
        "sense": "maximise" if brief.sign < 0 else "minimise",
        "formula": brief.target.text,
    }


def leave(designer: Designer, place: Path, result: Result, case: Case, figures: bool) -> None:
    """Write what is of interest at the end; all ranks call this.

    The case with its drawing, and the results at the start and at the end.
    """
    if designer.first is not None:
        designer.first.save(place / "before", figures=figures)
    result.save(place / "after", figures=figures)

    def write() -> None:
        tables = case.to_dict(place)
        if case.geometry.file.suffix == ".geo":
            text = designer.drawn
            if text is None:
                text = case.geometry.file.read_text(encoding="utf-8")
                text = scripts.with_absolute_names(case.geometry.file, text)
            replace_file(place / "shape.geo", text.encode())
            tables["geometry"]["file"] = "shape.geo"
        tables["output"] = {**tables.get("output", {}), "directory": "results/shape"}
        replace_file(place / "case.toml", tomli_w.dumps(tables).encode())
        designer.table.write()
        if figures:
            from meso.figures.design import draw_design

            draw_design(place, case.figures)
        files = {"The final case (case.toml)": place / "case.toml"}
        files["The final drawing (shape.geo)"] = place / "shape.geo"
        texts = {k: p.read_text(encoding="utf-8") for k, p in files.items() if p.is_file()}
        write_report(place, texts)

    on_root(designer.comm, write)
