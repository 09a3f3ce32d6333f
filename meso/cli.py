"""The command line. Exit codes: 0 done, 2 bad input, 3 did not converge, 1 anything else."""

from __future__ import annotations

import argparse
import errno
import gc
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from meso import __version__, interrupts
from meso.errors import CaseError, ConvergenceError, MesoError, exit_code, told

__all__ = ["main"]

#: Seconds that a rank waits for the others before it ends.
_PATIENCE = 5.0
#: Where launchers tell a process its rank, before MPI is there.
_RANKS = ("OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "SLURM_PROCID")

#: No room for a file, wherever it is, such as for temporary ones.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: Words after ``meso``; PETSc options may follow after ``--``.

    Returns:
        The exit code.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    petsc: list[str] = []
    if "--" in words:
        at = words.index("--")
        words, petsc = words[:at], words[at + 1 :]
    options = _parser().parse_args(words)
    options.petsc = petsc
    if hasattr(options, "formats"):
        _take_looks(options)
    rank = next((int(os.environ[key]) for key in _RANKS if key in os.environ), 0)
    interrupts.end_at_once()
    try:
        with _all_ranks():
            return options.action(options, rank == 0) or 0
    except MesoError as error:
        if isinstance(error, ConvergenceError):
            _leave_log(options, rank, error)
        if rank == 0:
            print(told(error), file=sys.stderr, flush=True)
        _after_rank_0()
        return exit_code(error)
    except (KeyboardInterrupt, interrupts.Terminated) as end:
        return _abort(int(getattr(end, "code", 130)))
    except BrokenPipeError:
        return 1
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _FULL:
            print(f"meso: error: {error.strerror}: {error.filename or 'a file'}", file=sys.stderr)
        elif rank == 0:
            print(told(error), file=sys.stderr, flush=True)
        return _abort(1)
    finally:
        if "meso.geometry.gmsh_process" in sys.modules:
            sys.modules["meso.geometry.gmsh_process"].forget()  # after an error
        interrupts.raise_exceptions()


@contextmanager
def _all_ranks() -> Iterator[None]:
    """What ranks that a launcher started do together; MPI is started when one of them fails."""
    try:
        yield
    except BrokenPipeError:
        raise
    except Exception:
        if any(key in os.environ for key in _RANKS):
            from mpi4py import MPI

            from meso.mpi import failing_together

            with failing_together(MPI.COMM_WORLD):
                raise
        raise


def _after_rank_0() -> None:
    """Wait until rank 0 has spoken: some launchers end all processes when the first one ends."""
    if "mpi4py.MPI" in sys.modules:
        from mpi4py import MPI

        there = MPI.COMM_WORLD.Ibarrier()
        end = time.monotonic() + _PATIENCE
        while not there.Test() and time.monotonic() < end:
            time.sleep(0.01)


def _abort(code: int) -> int:
    if "mpi4py.MPI" in sys.modules:
        from mpi4py import MPI

        if MPI.COMM_WORLD.size > 1:
            MPI.COMM_WORLD.Abort(code)
    return code


def _leave_log(options: argparse.Namespace, rank: int, error: Exception) -> None:
    """The one thing that an unconverged run leaves: a log next to where the result would be."""
    directory = getattr(options, "directory_used", None)
    if rank == 0 and directory is not None:
        from meso.files.directory import replace_file
        from meso.results.output import log_of

        path = log_of(directory)
        text = f"meso {__version__}\ncase {options.case}\ndid not converge: {error}\n"
        with suppress(OSError):  # the message is on the terminal anyway
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(path, text.encode())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="meso",
        description="Mesoscopic transport in conductors: electron hydrodynamics, vorticity,"
        " orbital edge accumulation.",
        epilog="PETSc options may follow after --.",
    )
    parser.add_argument("--version", action="version", version=f"meso {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(
        name: str,
        action: Callable[..., int | None],
        text: str,
        case: str = "",
        quiet: bool | None = None,
    ) -> Callable[..., Any]:
        """A command, perhaps of a case file; ``quiet``: whether one that meshes can be so."""
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(action=action)
        if case:
            sub.add_argument("case", type=Path, metavar=case)
            text = "replace a value of the case, e.g. --set materials.Ti.mean_free_path='9 nm'"
            sub.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help=text)
        if quiet is not None:
            text = "let the drawing run commands and write files, if it contains such statements"
            sub.add_argument("--trust", action="store_true", help=text)
            text = "mesh even if more than a million cells are to be expected"
            sub.add_argument("--yes", action="store_true", help=text)
            level = sub.add_mutually_exclusive_group()
            text = "progress and timings everywhere"
            level.add_argument("--verbose", action="store_true", help=text)
            if quiet:
                text = "errors and warnings only"
                level.add_argument("--quiet", action="store_true", help=text)
        return sub.add_argument

    toml, directory = "CASE.toml", {"type": Path, "metavar": "DIR"}
    fields, pictures = ("vtu", "vtx"), ("png", "svg", "pdf")

    def looks(add: Callable[..., Any], no: str = "draw no pictures", *more: str) -> None:
        """Options about pictures; ``more`` are other formats that files may have."""
        text = "of the pictures, beside png"
        if more:
            text = "vtu, vtx: of the fields; svg, pdf: of the pictures, beside png; may come twice"
        how: dict[str, Any] = {"choices": (*more, *pictures), "action": "append", "default": []}
        add("--format", dest="formats", help=text, **how)
        text = "a style file of Matplotlib for the pictures"
        add("--style", type=Path, metavar="FILE", help=text)
        if no:
            add("--no-figures", action="store_true", help=no)

    text = "solve a case: table on the terminal, files in a directory"
    add = command("run", _run, text, toml, quiet=True)
    add("--output", **directory, help="instead of output.directory")
    looks(add, "draw no pictures", *fields)

    text = "solve a grid of cases: one table, one picture; resumes"
    add = command("sweep", _sweep, text, toml, quiet=True)
    add(
        "--over",
        action="append",
        required=True,
        metavar="KEY=VALUES",
        help="start:stop:n, start:stop:n:log or a,b,c, e.g. --over flow.order=2:5:4"
        " --over materials.Ti.mean_free_path=1nm:100nm:9:log; several make a grid",
    )
    add("--output", **directory, help="of the table; default: output.directory_sweep")
    add("--keep", action="store_true", help="leave each result too, in DIR/NNN")
    add("--jobs", type=int, default=1, metavar="N", help="processes (default 1)")
    looks(add, "draw no picture", *fields)

    text = "fit numbers of cases to data: best values, how surely, what cannot be told; resumes"
    add = command("fit", _fit, text, "FIT.toml", quiet=True)
    add("--output", **directory, help="instead of output.directory")
    add("--jobs", type=int, default=1, metavar="N", help="processes (default 1)")
    add("--profile", action="store_true", help="profile likelihoods of all parameters")
    looks(add, "draw no picture")

    text = "ohmic, hydrodynamic and kinetic model on one device: what errs how"
    add = command("compare", _compare, text, toml, quiet=True)
    add("--output", **directory, help="default: DIR_compare")
    looks(add, "")

    text = "which inputs decide a result: derivatives of its numbers, in a table and pictures"
    add = command("sensitivity", _sensitivity, text, toml, quiet=True)
    text = "a number of the result, e.g. edges.orbital_moment; default: the main ones"
    add("--of", action="append", metavar="OUTPUT", help=text)
    text = "an input, e.g. materials.Ti.mean_free_path; default: all that the case gives"
    add("--in", action="append", metavar="KEY", dest="inputs", help=text)
    add("--check", action="store_true", help="compare with central differences")
    add("--output", **directory, help="default: DIR_sensitivity")
    looks(add)

    text = "the shape, or the parameters, that make the most of a number; resumes"
    add = command("design", _design, text, "DESIGN.toml", quiet=True)
    add("--output", **directory, help="default: output.directory, or results/DESIGN")
    looks(add)

    text = "everything that can be wrong, without solving"
    command("check", _check, text, toml, quiet=False)

    text = "mesh of a case, drawing or mesh file: names, quality, a picture"
    add = command("mesh", _mesh, text, "CASE.toml|FILE", quiet=False)
    add("--unit", default="nm", help="unit of a drawing or mesh (default nm)")
    add("--picture", type=Path, default="mesh.png", metavar="FILE.png", help="default: mesh.png")

    text = "a commented case for a drawing or mesh, with its names filled in; runs as it is"
    add = command("new", _new, text, quiet=False)
    add("file", type=Path, metavar="FILE")
    add("--unit", default="nm", help="unit of its coordinates (default nm)")
    text = "default: beside the drawing, with its name"
    add("--output", type=Path, metavar="CASE.toml", help=text)

    add = command("plot", _plot, "draw the pictures of a result directory again")
    add("directory", **directory)
    looks(add, "")

    add = command("bands", _bands, "compute a material from a Bloch Hamiltonian", toml)
    add("--output", **directory, help="instead of output.directory")
    add("--processes", type=int, metavar="N", help="instead of bands.processes")
    add("--quiet", action="store_true", help="no report, no progress")

    add = command("material", _material, "show a material, what follows from it, sources")
    add("name", nargs="?", metavar="NAME|FILE.toml", help="default: list all")

    command("info", _info, "versions and configuration: what to paste into a bug report")
    return parser


def _take_looks(options: argparse.Namespace) -> None:
    """What options say of pictures, as settings of a case; ``format`` is left for fields."""
    options.format = next((f for f in reversed(options.formats) if f in ("vtu", "vtx")), "vtu")
    wanted = {"style": options.style and str(options.style.resolve())}
    wanted["format"] = next((f for f in reversed(options.formats) if f not in ("vtu", "vtx")), None)
    options.looks = {f"figures.{key}": value for key, value in wanted.items() if value}


def _load(options: argparse.Namespace, root: bool, suffix: str = "") -> tuple[Any, Path]:
    """The case, and where its results go; ``suffix`` is that of the standard directory.

    Gmsh is loaded at the same time in a process of its own; there are cases that do not need it.
    Commands that make one mesh, whose directory has no suffix, let it begin with that.
    """
    from meso.geometry import formats, gmsh_process

    if root and getattr(options, "jobs", 1) == 1:  # else the workers do
        gmsh_process.start()
    from meso.case import Case
    from meso.results import mesh

    case = Case.load(options.case, _settings(options))
    if case.geometry.file.suffix.lower() in formats.IMPORTED:
        gmsh_process.stop()
    elif root and not suffix:
        mesh.begin(case, trusted=options.trust, many_cells=options.yes)
    standard = case.output.directory or Path("results") / options.case.stem
    if suffix:
        standard = standard.with_name(standard.name + suffix)
    return case, getattr(options, "output", None) or standard


def _settings(options: argparse.Namespace) -> dict[str, Any]:
    """What replaces values of the case."""
    from meso.case import parse_overrides

    return parse_overrides(options.set) | getattr(options, "looks", {})


def _start(options: argparse.Namespace) -> None:
    """Load the solver, PETSc with the user's options; signals (a closed pipe) stay Python's."""
    import petsc4py

    petsc4py.init(["meso", "-no_signal_handler", *options.petsc])
    import meso.results.output
    import meso.results.running  # noqa: F401

    _loaded()


def _loaded() -> None:
    """From now on signals raise exceptions, and garbage is collected, apart from what is loaded."""
    if not gc.isenabled():
        gc.freeze()
        gc.enable()
    interrupts.raise_exceptions()


def _progress(options: argparse.Namespace, root: bool) -> Callable[[str], None]:
    """Lines with the time since the start, on a terminal only, on rank 0 only."""
    start = time.perf_counter()
    wanted = getattr(options, "verbose", False) or sys.stderr.isatty()
    on = root and wanted and not getattr(options, "quiet", False)

    def show(text: str) -> None:
        if on:
            print(f"[{time.perf_counter() - start:6.2f} s] {text}", file=sys.stderr, flush=True)

    return show


def _wishes(options: argparse.Namespace, root: bool) -> dict[str, Any]:
    """What drawings may do, and who hears of the progress: arguments of :func:`meso.run`."""
    progress = _progress(options, root)
    return {"trusted": options.trust, "many_cells": options.yes, "progress": progress}


def _run(options: argparse.Namespace, root: bool) -> None:
    from meso.gradients.inputs import is_uncertain

    case, directory = _load(options, root)
    uncertain = is_uncertain(case)
    wishes = _wishes(options, root)
    wishes["progress"]("loading the solver")
    _start(options)
    from mpi4py import MPI

    from meso.files.directory import hold
    from meso.geometry import gmsh_process
    from meso.results.running import run

    with hold(directory, MPI.COMM_WORLD, record="summary.json"):
        options.directory_used = directory
        if root and not options.no_figures and options.format == "vtu":
            gmsh_process.load("figures")  # while this process solves
        result = run(case, **wishes)
        progress = wishes["progress"]
        if case.flow.estimate is None:
            from meso.gradients.estimates import is_cheap, with_errors

            result = with_errors(result, progress=progress) if is_cheap(result) else result
        if uncertain:
            from meso.gradients import with_uncertainties

            result = with_uncertainties(result, trusted=options.trust, progress=progress)
        text = result.table()
        wishes["progress"]("writing files and drawing pictures")
        result.save(directory, figures=not options.no_figures, format=options.format)
    if root and options.quiet:
        for warning in result.warnings:
            print(f"meso: warning: {warning}", file=sys.stderr)
    elif root:
        print(f"{text}\n\n  results in {directory}")
    if root and options.verbose:
        for phase, seconds in result.seconds.items():
            print(f"  {phase:<10}{seconds:8.3f} s", file=sys.stderr)


def _sweep(options: argparse.Namespace, root: bool) -> int:
    from meso.results.grid import named
    from meso.results.sweeping import code_of, report, sweep

    case, directory = _load(options, root, "_sweep")
    if options.jobs == 1:
        _start(options)
    _loaded()
    rows = sweep(
        options.case,
        options.over,
        settings=_settings(options),
        directory=directory,
        keep=options.keep,
        jobs=options.jobs,
        figures=not options.no_figures,
        format=options.format,
        petsc=options.petsc,
        **_wishes(options, root),
    )
    if root and not options.quiet:
        print(f"{report(rows)}\n\n  table in {directory / 'sweep.csv'}")
    failed = [row for row in rows if row["status"] != "done"]
    if root and failed:
        print(
            f"meso: {len(failed)} of {len(rows)} points failed, the first at"
            f" {named(failed[0]['swept'])}: {failed[0]['error']}",
            file=sys.stderr,
        )
    return code_of(rows)


def _fit(options: argparse.Namespace, root: bool) -> None:
    from meso.case import parse_overrides
    from meso.fitting.fitting import fit, standard_directory
    from meso.fitting.problem import Problem
    from meso.geometry import gmsh_process

    settings = parse_overrides(options.set)
    settings |= {"fit.profile": True} if options.profile else {}
    problem = Problem.load(options.case, settings, options.looks)
    directory = options.directory_used = options.output or standard_directory(problem)
    if options.jobs == 1:
        if root:
            gmsh_process.start()
        _start(options)
    _loaded()
    found = fit(
        problem,
        directory=directory,
        jobs=options.jobs,
        figures=not options.no_figures,
        petsc=options.petsc,
        **_wishes(options, root),
    )
    if root and options.quiet:
        for warning in found.warnings:
            print(f"meso: warning: {warning}", file=sys.stderr)
    elif root:
        print(f"{found.table()}\n\n  report, fitted cases and pictures in {directory}")


def _compare(options: argparse.Namespace, root: bool) -> None:
    case, directory = _load(options, root, "_compare")
    _start(options)
    from mpi4py import MPI

    from meso.files.directory import hold
    from meso.results.comparing import compare

    with hold(directory, MPI.COMM_WORLD, record="compare.json"):
        found = compare(case, **_wishes(options, root))
        found.save(directory)
    if root and not options.quiet:
        print(f"{found.case.title}\n\n{found.table()}\n\n  table and figure in {directory}")


def _sensitivity(options: argparse.Namespace, root: bool) -> None:
    from meso.gradients.inputs import inputs_of

    case, directory = _load(options, root, "_sensitivity")
    inputs_of(case, options.inputs)
    _start(options)
    from mpi4py import MPI

    from meso.files.directory import hold
    from meso.gradients.report import sensitivities
    from meso.results.running import run

    wishes = _wishes(options, root)
    with hold(directory, MPI.COMM_WORLD, record="sensitivity.json"):
        result = run(case, gradients=True, **wishes)
        del wishes["many_cells"]
        found = sensitivities(result, options.of, options.inputs, check=options.check, **wishes)
        found.save(directory, figures=not options.no_figures)
    if root and not options.quiet:
        title = case.title or case.geometry.file.stem
        print(f"{title}\n\n{found.table()}\n\n  table and figures in {directory}")


def _design(options: argparse.Namespace, root: bool) -> int:
    from meso.geometry import gmsh_process

    if root:
        gmsh_process.start()
    _start(options)
    from meso.designing.design import design
    from meso.designing.schema import Brief

    brief = Brief.load(options.case)
    standard = brief.output.directory or Path("results") / options.case.stem
    directory = options.output or standard
    found = design(
        options.case,
        settings=_settings(options),
        directory=directory,
        figures=not options.no_figures,
        **_wishes(options, root),
    )
    if root and not options.quiet:
        print(f"{found.table()}\n\n  case, drawing and iterates in {directory}")
    if root and found.status != "converged":
        text = f"{found.status} after {found.steps} steps; what was found is in {directory}"
        print(f"meso: did not converge: {text}", file=sys.stderr)
    return 0 if found.status == "converged" else 3


def _check(options: argparse.Namespace, root: bool) -> None:
    case, _ = _load(options, root)
    _start(options)
    from meso.results.checking import report

    text = report(case, **_wishes(options, root))
    if root:
        print(text)


def _mesh(options: argparse.Namespace, root: bool) -> None:
    file, case = options.case, None
    if file.suffix == ".toml":
        case, _ = _load(options, root)
    elif options.set:
        raise CaseError(("--set", "is for case files"))
    _start(options)
    from meso.device import Device
    from meso.figures import draw_mesh
    from meso.results.checking import mesh_names, mesh_quality
    from meso.results.running import build_device

    wishes = _wishes(options, root)
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


def _new(options: argparse.Namespace, root: bool) -> None:
    _start(options)
    from meso.device import Device
    from meso.mpi import on_root
    from meso.results.drafting import write_draft

    path = options.output or options.file.with_suffix(".toml")
    device = Device.from_gmsh(options.file, length_unit=options.unit, **_wishes(options, root))
    on_root(device.comm, lambda: write_draft(device, options.unit, path))
    if root:
        print(f"  written: {path}\n  check it, fill in your material, then: meso run {path}")


def _plot(options: argparse.Namespace, root: bool) -> None:
    _start(options)
    from mpi4py import MPI

    from meso.case import Figures
    from meso.case.validation import checked
    from meso.mpi import on_root
    from meso.results.output import redraw

    given = {key.removeprefix("figures."): value for key, value in options.looks.items()}
    look = checked(Figures, given, {"base_directory": Path()}, {}) if given else None
    paths = on_root(MPI.COMM_WORLD, lambda: redraw(options.directory, look))
    if root:
        print("\n".join(str(path) for path in paths))


def _bands(options: argparse.Namespace, root: bool) -> None:
    from meso.bands.case import BandsCase
    from meso.bands.coefficients import coefficients
    from meso.bands.writing import check_own, write
    from meso.case.tables import parse_overrides

    case = BandsCase.load(options.case, parse_overrides(options.set))
    directory = options.output or case.directory
    if directory.exists() and not directory.is_dir():
        raise CaseError(("output.directory", f"{directory} is a file"))
    check_own(directory, case.name)
    options.directory_used = directory
    arguments = dict(case.arguments)
    if options.processes is not None:
        arguments["processes"] = options.processes
    if any(key in os.environ for key in _RANKS):
        from mpi4py import MPI

        arguments["comm"] = MPI.COMM_WORLD
    _loaded()
    found = coefficients(case.model, progress=_progress(options, root), **arguments)
    if root:
        paths = write(found, directory, case.name, case.title)
        if not options.quiet:
            print(found.report())
            print("\n".join(f"  written: {path}" for path in paths))


def _material(options: argparse.Namespace, root: bool) -> None:
    if root:
        from meso.results.checking import material_report

        print(material_report(options.name))


def _info(options: argparse.Namespace, root: bool) -> None:
    _start(options)
    from meso.results.checking import environment

    if root:
        print(environment())


if __name__ == "__main__":
    sys.exit(main())
