"""A grid of cases: one table, which grows by a row after each point, and a picture.

The table is the state: a sweep that was interrupted goes on where it stopped, and a finer grid
solves only what is new. No solver is loaded here before the first point is solved, so that worker
processes can have an MPI of their own.
"""

from __future__ import annotations

import csv
import ctypes
import io
import json
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from meso.case import Case, Figures
from meso.case.numbers import unit_of
from meso.errors import CaseError, ConvergenceError, GeometryError
from meso.files.directory import hold, is_result, on_root, staged
from meso.files.headline import headline, headline_of
from meso.reports import write_report
from meso.results.grid import (
    Axis,
    Point,
    check_drawings,
    fingerprint,
    grid,
    parse_axis,
    plain,
    short,
)
from meso.units import is_number

#: Where launchers say how many processes they started.
_SIZES = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS")

#: Errors that a point may end with.
_ERRORS = (ConvergenceError, CaseError, GeometryError)

#: Of Linux' prctl: the signal that a process gets when its parent dies.
_PR_SET_PDEATHSIG = 1

Progress = Callable[[str], None]
Row = dict[str, Any]

#: Of a worker process: what solves the points that it is given.
_worker: _Solver


@dataclass(slots=True, kw_only=True)
class Table:
    """The results of a sweep so far, on one rank: ``sweep.json`` and ``sweep.csv``.

    A sweep without directory leaves no files; ``head`` is what is the same for all points.
    """

    directory: Path | None
    head: dict[str, Any]
    rows: dict[str, Row] = field(default_factory=dict)  # by case hash
    figures: Figures | None = None  # how they look

    def read(self) -> None:
        """Take over the points of an earlier, perhaps interrupted, sweep of the same case."""
        if self.directory is None or not self.directory.exists():
            return
        where, path = f"{self.directory}", self.directory / "sweep.json"

        def refuse(text: str) -> CaseError:
            return CaseError(("--output", text))

        if not self.directory.is_dir():
            raise refuse(f"{where} is a file")
        if not path.exists():
            if any(self.directory.iterdir()):
                raise refuse(f"{where} holds other files than a sweep; choose another")
            return
        try:
            earlier = json.loads(path.read_text())
            rows = {row["case_hash"]: row for row in earlier["points"]}
            same = earlier["fingerprint"] == self.head["fingerprint"]
        except (OSError, ValueError, KeyError, TypeError):
            raise refuse(f"{path} is not the table of a sweep") from None
        if not same:
            raise refuse(
                f"{where} holds a sweep of another case, drawing or key; choose another"
                " directory, or remove it"
            )
        self.rows = rows

    def done(self, point: Point, keep: bool) -> bool:
        """True for a point that needs no solving; failed ones are tried again."""
        row = self.rows.get(point.case_hash, {"status": "new"})
        return row["status"] == "done" and (not keep or row["directory"] is not None)

    def folders(self, directory: Path, points: Sequence[Point]) -> dict[int, Path]:
        """Places for the results of points that are not solved yet: numbers that are free.

        A result that is in no row is what an interrupted sweep left: its number is free.
        """
        used = {row["directory"] for row in self.rows.values()}
        paths = (directory / f"{i:03d}" for i in count())
        free = (
            path
            for path in paths
            if path.name not in used and (is_result(path) or not os.path.lexists(path))
        )
        return {point.index: path for point, path in zip(points, free, strict=False)}

    def add(self, point: Point, row: Row) -> None:
        """Put a row into the table, unless nothing fits at all."""
        nothing = not any(r["status"] == "done" for r in self.rows.values())
        if nothing and row.get("kind") == "CaseError":
            raise CaseError(f"{row['error']} (at {point.name})")
        self.rows[point.case_hash] = row
        self.write()

    def ordered(self) -> list[Row]:
        """All rows, by the swept values, texts in the order of the grid."""
        levels = {axis["column"]: axis["values"] for axis in self.head["over"]}

        def place(row: Row) -> list[tuple[int, Any]]:
            out: list[tuple[int, Any]] = []
            for column, values in levels.items():
                value = row["swept"][column]
                number = isinstance(value, int | float) and not isinstance(value, bool)
                at = values.index(value) if value in values else len(values)
                out.append((0, value) if number else (1, at))
            return out

        return sorted(self.rows.values(), key=place)

    def write(self, *, picture: bool = False, case: Case | None = None) -> None:
        """Replace the files, once all of them are complete; with a case, the report too."""
        if self.directory is None:
            return
        rows = self.ordered()
        text = json.dumps({**self.head, "points": rows}, indent=2, default=float) + "\n"
        with staged(self.directory) as folder:
            (folder / "sweep.json").write_text(text, encoding="utf-8")
            (folder / "sweep.csv").write_text(_csv(rows), encoding="utf-8")
            if picture:
                from meso.figures.sweeps import draw_sweep

                draw_sweep(folder, self.figures)
            if case is not None:
                text = case.to_toml(relative_to=self.directory.resolve())
                write_report(folder, {"The case of the first point (.toml)": text})


def _csv(rows: Iterable[Row]) -> str:
    """The table: swept values, results, and how the point ended."""
    last = ("status", "error", "directory", "case_hash")
    flat = [{**row["swept"], **row["results"], **{key: row[key] for key in last}} for row in rows]
    # Columns in the order in which they come up; those about the run last.
    columns = dict.fromkeys(key for row in flat for key in row if key not in last)
    text = io.StringIO()
    writer = csv.DictWriter(text, [*columns, *last], restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)
    return text.getvalue()


@dataclass(slots=True, kw_only=True)
class _Solver:
    """Solves points one after the other in one process, or on all ranks.

    ``format`` is that of fields that are kept, ``allowed`` what drawings may do; an iteration
    begins with the kinetic flow of the point before.
    """

    format: str
    allowed: dict[str, Any]
    earlier: Any = None

    def __call__(self, point: Point, keep: Path | None) -> Row:
        """The row of the table, the same on every rank; the whole result goes to ``keep``."""
        from meso.results.running import run
        from meso.results.summary import numbers

        row: Row = {
            "swept": dict(point.swept),
            "case_hash": point.case_hash,
            "status": "done",
            "error": "",
            "directory": None,
            "results": {},
            "warnings": [],
        }
        start = time.perf_counter()
        try:
            result = run(point.case, earlier=self.earlier, **self.allowed)
            self.earlier = result.flow if point.case.flow.kinetic else None
            row["results"] = numbers(result)
            row["warnings"] = list(result.warnings)
            if keep is not None:
                result.save(keep, figures=False, format=self.format)
                row["directory"] = keep.name
        except _ERRORS as error:
            kind = next(k.__name__ for k in _ERRORS if isinstance(error, k))
            row |= {"status": "failed", "error": str(error), "kind": kind}
        row["wall_clock_s"] = time.perf_counter() - start
        return row


def code_of(rows: Iterable[Row]) -> int:
    """Exit code: 0 if all points are done, else that of the gravest error."""
    codes = (3 if row["kind"] == "ConvergenceError" else 2 for row in rows if row["error"])
    return max(codes, default=0)


def sweep(
    path: str | Path,
    over: Sequence[str | Axis],
    *,
    settings: Mapping[str, Any] | None = None,
    directory: str | Path | None = None,
    keep: bool = False,
    jobs: int = 1,
    figures: bool = True,
    format: str = "vtu",
    petsc: Sequence[str] = (),
    progress: Progress = lambda text: None,
    trusted: bool = False,
    many_cells: bool = False,
) -> list[dict[str, Any]]:
    """Solve a grid of cases; all ranks call this.

    Args:
        path: The case file.
        over: What is swept, as on the command line ("flow.order=2:5:4"), or axes.
        settings: Dotted key -> value, the same in every point.
        directory: Where the table goes; points that it has already are not solved again. None to
            leave no files.
        keep: True to leave the result of each point in a directory of its own, NNN.
        jobs: Processes that share the points; 1 if there are several ranks.
        figures: True to draw the table.
        format: Of the fields, if they are kept.
        petsc: Options for the worker processes.
        progress: Called with a line of text after each point.
        trusted: True if drawings may run commands and write files.
        many_cells: True to mesh even if more than a million cells are to be expected and the case
            gives no size.

    Returns:
        One row for each point of the grid, in its order: a dictionary with ``swept``, ``results``
        (column -> number), ``status`` ("done" or "failed"), ``error`` and ``warnings``.

    Raises:
        CaseError: Something is wrong with a case or with the directory, before any is solved; or
            the first point shows that the case does not fit its drawing.
    """
    path, settings = Path(path), settings or {}
    axes = [parse_axis(item) if isinstance(item, str) else item for item in over]
    points = grid(path, axes, settings)
    if keep and directory is None:
        raise CaseError(("keep", "needs a directory"))
    if jobs < 1:
        raise CaseError(("--jobs", f"found {jobs}; must be at least 1"))
    comm = None
    if jobs > 1 and started_by_launcher():
        raise CaseError(("--jobs", "is for one process; under mpirun every point uses all ranks"))
    if jobs == 1:
        from mpi4py import MPI

        comm = MPI.COMM_WORLD
    solver = _Solver(format=format, allowed={"trusted": trusted, "many_cells": many_cells})
    place, first = None if directory is None else Path(directory), points[0].case
    table = Table(directory=place, head=_head(path, axes, settings, first), figures=first.figures)
    with nullcontext() if place is None else hold(place, comm):
        on_root(comm, table.read)
        if any(axis.key.startswith("geometry.") for axis in axes):
            on_root(comm, lambda: check_drawings(points, trusted))
        todo = on_root(comm, lambda: [p for p in points if not table.done(p, keep)])
        if len(todo) < len(points):
            progress(f"{len(points) - len(todo)} of {len(points)} points are in the table already")
        kept: dict[int, Path] = {}
        if keep and place is not None:
            kept = on_root(comm, lambda: table.folders(place, todo))
        rows: Iterable[tuple[Point, Row]]
        if jobs == 1:
            rows = ((point, solver(point, kept.get(point.index))) for point in todo)
        else:
            rows = _parallel(solver, todo, kept, jobs, petsc)
        for point, row in rows:
            on_root(comm, partial(table.add, point, row))
            found = row["results"]
            text = ", ".join(f"{key} {found[key]:.6g}" for key in headline(found)[:3])
            text = f"failed: {row['error']}" if row["error"] else text
            progress(f"point {point.index + 1} of {len(points)}: {point.name}: {text}")
        on_root(comm, lambda: table.write(picture=figures, case=first))
    return on_root(comm, lambda: [table.rows[point.case_hash] for point in points])


def started_by_launcher() -> bool:
    """Whether this process is one of several ranks."""
    return any(int(os.environ.get(name, 1)) > 1 for name in _SIZES)


def _parallel(
    solver: _Solver,
    points: Sequence[Point],
    kept: Mapping[int, Path],
    jobs: int,
    petsc: Sequence[str],
) -> Iterator[tuple[Point, Row]]:
    """Points and their rows as they are ready, from processes with an MPI of their own."""
    pool = ProcessPoolExecutor(
        max_workers=min(jobs, max(1, len(points))),
        mp_context=get_context("spawn"),
        initializer=_start_worker,
        initargs=(solver, tuple(petsc)),
    )
    try:
        futures = {pool.submit(_solved, point, kept.get(point.index)): point for point in points}
        for future in as_completed(futures):
            yield futures[future], future.result()
    finally:
        # Points that are being solved come to their end; the others are left for the next time.
        pool.shutdown(cancel_futures=True)


def _start_worker(solver: _Solver, petsc: Sequence[str]) -> None:
    """Make a process a worker."""
    global _worker
    _worker = solver
    start_worker(petsc)


def start_worker(petsc: Sequence[str]) -> None:
    """Start PETSc in a worker process, which leaves Ctrl-C to its parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(AttributeError, OSError):  # Linux: no worker without its parent
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    import petsc4py

    petsc4py.init(["meso", "-no_signal_handler", *petsc])


def _solved(point: Point, keep: Path | None) -> Row:
    """A point, by the solver of this worker process."""
    return _worker(point, keep)


def _head(
    path: Path, axes: Sequence[Axis], settings: Mapping[str, Any], first: Case
) -> dict[str, Any]:
    from meso import __version__

    return {
        "case": path.name,
        "title": first.title or first.geometry.file.stem,
        "meso": __version__,
        "fingerprint": fingerprint(first, axes),
        "drawing_unit": first.geometry.length_unit_name,
        "over": [
            {
                "key": axis.key,
                "column": axis.column,
                "unit": _unit(axis, first),
                "scale": axis.scale,
                "values": list(axis.numbers),
            }
            for axis in axes
        ],
        "set": {k: plain(v)[0] for k, v in settings.items() if not k.startswith("figures.")},
    }


def _unit(axis: Axis, case: Case) -> str:
    """SI unit of the values of an axis: also of plain numbers, if they are a quantity."""
    if axis.unit or not any(map(is_number, axis.numbers)):
        return axis.unit
    return unit_of(case, axis.key.split(".")) or ""


def report(rows: Sequence[Mapping[str, Any]]) -> str:
    """The table for the terminal: swept values, the results that matter most, warnings."""
    done = [row for row in rows if row["status"] == "done"]
    shown = headline_of([row["results"] for row in done])[:6]
    lines = [[*rows[0]["swept"], *shown]]
    for row in rows:
        cells = [short(value) for value in row["swept"].values()]
        missing = "-" if row["status"] == "done" else row["status"]
        found = (row["results"].get(key) for key in shown)
        lines.append([*cells, *(missing if x is None else f"{x:.9g}" for x in found)])
    width = [max(len(cells[i]) for cells in lines) for i in range(len(lines[0]))]
    text = [
        "  " + "  ".join(cell.rjust(w) for cell, w in zip(cells, width, strict=True))
        for cells in lines
    ]
    warned = [row for row in rows if row["warnings"]]
    if warned:
        text += [
            "",
            f"  warnings at {len(warned)} of {len(rows)} points (see sweep.json), the first:",
            f"  {warned[0]['warnings'][0]}",
        ]
    return "\n".join(text)
