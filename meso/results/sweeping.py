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
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import count, islice
from multiprocessing import get_context
from pathlib import Path
from types import MappingProxyType
from typing import Any

from meso.case import Case
from meso.errors import CaseError, ConvergenceError, GeometryError
from meso.files.directory import hold, is_result, on_root, staged
from meso.files.headline import headline
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

#: Where launchers say how many processes they started.
_SIZES = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS")

#: Exit codes of the command line by the kind of an error, the gravest first.
_CODES = {"ConvergenceError": 3, "CaseError": 2, "GeometryError": 2}

#: Of Linux' prctl: the signal that a process gets when its parent dies.
_PR_SET_PDEATHSIG = 1

Progress = Callable[[str], None]

#: The kinetic flow of the last point that this process has solved.
_EARLIER: dict[str, Any] = {}


@dataclass(slots=True, kw_only=True)
class Table:
    """The results of a sweep so far, on one rank: ``sweep.json`` and ``sweep.csv``.

    Attributes:
        directory: Where they are, or None for a sweep that leaves no files.
        head: What is the same for all points.
        rows: By case hash.
    """

    directory: Path | None
    head: dict[str, Any]
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)

    def read(self) -> None:
        """Take over the points of an earlier, perhaps interrupted, sweep of the same case.

        Raises:
            CaseError: The directory holds something else.
        """
        if self.directory is None or not self.directory.exists():
            return
        where = f"{self.directory}"
        if not self.directory.is_dir():
            raise CaseError(("--output", f"{where} is a file"))
        path = self.directory / "sweep.json"
        if not path.exists():
            if any(self.directory.iterdir()):
                raise CaseError(
                    ("--output", f"{where} holds other files than a sweep; choose another")
                )
            return
        try:
            earlier = json.loads(path.read_text())
            rows = {row["case_hash"]: row for row in earlier["points"]}
            same = earlier["fingerprint"] == self.head["fingerprint"]
        except (OSError, ValueError, KeyError, TypeError):
            raise CaseError(("--output", f"{path} is not the table of a sweep")) from None
        if not same:
            raise CaseError(
                (
                    "--output",
                    f"{where} holds a sweep of another case, drawing or key; choose another"
                    " directory, or remove it",
                )
            )
        self.rows = rows

    def done(self, point: Point, keep: bool) -> bool:
        """True for a point that needs no solving; failed ones are tried again."""
        row = self.rows.get(point.case_hash)
        if row is None or row["status"] != "done":
            return False
        return not keep or row["directory"] is not None

    def folders(self, points: Sequence[Point]) -> list[str]:
        """Names for the results of points that are not solved yet: numbers that are free.

        A result that is in no row is what an interrupted sweep left: its number is free.
        """
        assert self.directory is not None
        used = {row["directory"] for row in self.rows.values()}
        names = (f"{i:03d}" for i in count())
        free = (
            name
            for name in names
            if name not in used
            and (is_result(self.directory / name) or not os.path.lexists(self.directory / name))
        )
        return list(islice(free, len(points)))

    def ordered(self) -> list[dict[str, Any]]:
        """All rows, by the swept values, texts in the order of the grid."""
        levels = {axis["column"]: axis["values"] for axis in self.head["over"]}

        def place(row: dict[str, Any]) -> list[tuple[int, Any]]:
            out: list[tuple[int, Any]] = []
            for column, values in levels.items():
                value = row["swept"][column]
                number = isinstance(value, int | float) and not isinstance(value, bool)
                at = values.index(value) if value in values else len(values)
                out.append((0, value) if number else (1, at))
            return out

        return sorted(self.rows.values(), key=place)

    def write(self, *, picture: bool = False) -> None:
        """Replace the files, once all of them are complete.

        Args:
            picture: Whether to draw the table too.

        Raises:
            MesoError: They cannot be written.
        """
        if self.directory is None:
            return
        rows = self.ordered()
        text = json.dumps({**self.head, "points": rows}, indent=2, default=float) + "\n"
        with staged(self.directory) as folder:
            (folder / "sweep.json").write_text(text, encoding="utf-8")
            (folder / "sweep.csv").write_text(as_csv(rows), encoding="utf-8")
            if picture:
                from meso.figures.sweeps import draw_sweep

                draw_sweep(folder)


def as_csv(rows: Iterable[Mapping[str, Any]]) -> str:
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


def solve_point(
    path: Path,
    point: Point,
    keep: Path | None,
    format: str,
    allowed: Mapping[str, Any] = MappingProxyType({}),
) -> dict[str, Any]:
    """Run one case and take its numbers; all ranks call this.

    Args:
        path: The case file.
        point: The point.
        keep: Directory for the whole result, or None.
        format: Of its fields.
        allowed: Arguments of :func:`meso.run` about what drawings may do.

    Returns:
        The row of the table, the same on every rank.
    """
    from meso.results.running import run

    row: dict[str, Any] = {
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
        # What is known of the point before, for an iteration to begin with.
        result = run(Case.load(path, point.settings), earlier=_EARLIER.get("flow"), **allowed)
        _EARLIER["flow"] = result.flow if result.flow.model == "kinetic" else None
        row["results"] = numbers(result)
        row["warnings"] = list(result.warnings)
        if keep is not None:
            result.save(keep, figures=False, format=format)
            row["directory"] = keep.name
    except (ConvergenceError, GeometryError, CaseError) as error:
        kind = next(k for k in _CODES if k in {c.__name__ for c in type(error).__mro__})
        row |= {"status": "failed", "error": str(error), "kind": kind}
    row["wall_clock_s"] = time.perf_counter() - start
    return row


def numbers(result: Any) -> dict[str, float]:
    """The numbers of a result that a table has, by column; names carry the unit.

    Args:
        result: A solved case.
    """
    from meso.results.summary import summary

    text = summary(result)
    per = "_per_m" if result.per_thickness else ""
    out: dict[str, float] = {}
    for name, terminal in {**text["contacts"], **text.get("periodic", {})}.items():
        out |= {f"{name}.{key}": x for key, x in terminal.items() if isinstance(x, float)}
    pairs = list(result.flow.periodic.values())
    if len(result.flow.contacts) in (1, 2):  # one: a periodic pair
        out[f"conductance_S{per}"] = float(result.conductance_matrix[0, 0])
    elif len(pairs) == 1 and pairs[0].potential:
        out[f"conductance_S{per}"] = pairs[0].current / pairs[0].potential
    if result.bounds is not None and len(result.bounds.names) <= 2:
        if result.bounds.lower is not None:
            out[f"conductance_lower_S{per}"] = float(result.bounds.lower[0, 0])
        out[f"conductance_upper_S{per}"] = float(result.bounds.upper[0, 0])
    if result.convergence is not None:
        out["harmonics"] = result.convergence.harmonics[-1]
        for kind, each in (("harmonics", "error"), ("mesh", "mesh")):
            for what, error in zip(
                ("currents", "edge_moments"), getattr(result.convergence, each), strict=True
            ):
                if error > 0:  # not if it is unknown
                    out[f"estimated_error_{kind}.{what}"] = error
    ohm = "ohm_m" if result.per_thickness else "ohm"
    for name, value in result.resistances.items():
        out[f"resistance.{name}_{ohm}"] = value
    out[f"dissipated_power_W{per}"] = text[f"dissipated_power_W{per}"]
    for name, wall in text["walls"].items():
        for key, value in wall.items():
            if key.startswith("orbital_moment_hbar"):
                out[f"{name}.{key}"] = value
        # The walls of a ribbon are one group whose two moments cancel: each piece counts.
        segments = wall.get("segments", [])
        for i, segment in enumerate(segments if len(segments) > 1 else []):
            for key, value in segment.items():
                if key.startswith("orbital_moment_hbar"):
                    out[f"{name}.{i + 1}.{key}"] = value
    out["cells"] = text["mesh"]["cells"]
    return {key: value if isinstance(value, int) else float(value) for key, value in out.items()}


def exit_code(rows: Iterable[Mapping[str, Any]]) -> int:
    """0 if all points are done, 3 if one did not converge, else that of the error."""
    return max((_CODES[row["kind"]] for row in rows if row["status"] != "done"), default=0)


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
    path = Path(path)
    axes = [parse_axis(item) if isinstance(item, str) else item for item in over]
    points = grid(path, axes, settings or {})
    if keep and directory is None:
        raise CaseError(("keep", "needs a directory"))
    if jobs < 1:
        raise CaseError(("--jobs", f"found {jobs}; must be at least 1"))
    comm = None
    if jobs > 1 and any(int(os.environ.get(name, 1)) > 1 for name in _SIZES):
        raise CaseError(("--jobs", "is for one process; under mpirun every point uses all ranks"))
    if jobs == 1:
        from mpi4py import MPI

        comm = MPI.COMM_WORLD
    given = {"trusted": trusted, "many_cells": many_cells}
    work = partial(
        solve_point, path, format=format, allowed={k: True for k, value in given.items() if value}
    )
    table = Table(
        directory=None if directory is None else Path(directory),
        head=_head(path, axes, settings or {}),
    )
    with nullcontext() if table.directory is None else hold(table.directory, comm):
        on_root(comm, table.read)
        if any(axis.key.startswith("geometry.") for axis in axes):
            on_root(comm, lambda: check_drawings(path, points, trusted))
        todo = on_root(comm, lambda: [p for p in points if not table.done(p, keep)])
        if len(todo) < len(points):
            progress(f"{len(points) - len(todo)} of {len(points)} points are in the table already")
        kept: dict[int, Path] = {}
        if keep and table.directory is not None:
            names = on_root(comm, lambda: table.folders(todo))
            kept = {p.index: table.directory / n for p, n in zip(todo, names, strict=True)}
        rows: Iterable[tuple[Point, dict[str, Any]]]
        if jobs == 1:
            rows = ((point, work(point, kept.get(point.index))) for point in todo)
        else:
            rows = _parallel(work, todo, kept, jobs, petsc)
        for point, row in rows:
            on_root(comm, partial(_take, table, point, row))
            text = _headline(row) if row["status"] == "done" else f"failed: {row['error']}"
            progress(f"point {point.index + 1} of {len(points)}: {point.name}: {text}")
        on_root(comm, lambda: table.write(picture=figures))
    return on_root(comm, lambda: [table.rows[point.case_hash] for point in points])


def _take(table: Table, point: Point, row: dict[str, Any]) -> None:
    """Put a row into the table, unless nothing fits at all."""
    nothing = not any(r["status"] == "done" for r in table.rows.values())
    if nothing and row.get("kind") == "CaseError":
        raise CaseError(f"{row['error']} (at {point.name})")
    table.rows[point.case_hash] = row
    table.write()


def _parallel(
    work: Callable[..., dict[str, Any]],
    points: Sequence[Point],
    kept: Mapping[int, Path],
    jobs: int,
    petsc: Sequence[str],
) -> Iterator[tuple[Point, dict[str, Any]]]:
    """Points and their rows as they are ready, from processes with an MPI of their own."""
    pool = ProcessPoolExecutor(
        max_workers=min(jobs, max(1, len(points))),
        mp_context=get_context("spawn"),
        initializer=start_worker,
        initargs=(tuple(petsc),),
    )
    try:
        futures: dict[Future[dict[str, Any]], Point] = {
            pool.submit(work, point, keep=kept.get(point.index)): point for point in points
        }
        for future in as_completed(futures):
            yield futures[future], future.result()
    finally:
        # Points that are being solved come to their end; the others are left for the next time.
        pool.shutdown(cancel_futures=True)


def start_worker(petsc: Sequence[str]) -> None:
    """Start PETSc in a worker process, which leaves Ctrl-C to its parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(AttributeError, OSError):  # Linux: no worker without its parent
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    import petsc4py

    petsc4py.init(["meso", "-no_signal_handler", *petsc])


def _head(path: Path, axes: Sequence[Axis], settings: Mapping[str, Any]) -> dict[str, Any]:
    from meso import __version__

    first = Case.load(path, {**settings, **{axis.key: axis.values[0] for axis in axes}})
    return {
        "case": path.name,
        "title": first.title or first.geometry.file.stem,
        "meso": __version__,
        "fingerprint": fingerprint(first, axes),
        "over": [
            {
                "key": axis.key,
                "column": axis.column,
                "unit": axis.unit,
                "scale": axis.scale,
                "values": list(axis.numbers),
            }
            for axis in axes
        ],
        "set": {key: plain(value)[0] for key, value in settings.items()},
    }


def _headline(row: Mapping[str, Any]) -> str:
    """The result of a point in a few words."""
    shown = headline(row["results"])
    return ", ".join(f"{key} {row['results'][key]:.6g}" for key in shown[:3])


def report(rows: Sequence[Mapping[str, Any]]) -> str:
    """The table for the terminal: swept values, the results that matter most, warnings."""
    done = [row for row in rows if row["status"] == "done"]
    shown = list(dict.fromkeys(key for row in done for key in headline(row["results"])))[:6]
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
        ]
        text += [f"  {warned[0]['warnings'][0]}"]
    return "\n".join(text)
