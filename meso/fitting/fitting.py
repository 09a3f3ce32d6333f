"""Fit cases to data."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from meso.errors import CaseError
from meso.files.directory import hold, on_root
from meso.fitting.evaluating import Evaluator, Store, Task, pool, raise_error
from meso.fitting.minimising import Fitter, Start, at_bounds, held, shown
from meso.fitting.observed import Observed
from meso.fitting.parameters import Theta
from meso.fitting.problem import Problem
from meso.fitting.result import FitResult
from meso.fitting.statistics import covariance, profile, rise, straightness
from meso.fitting.words import identified
from meso.results.grid import check_drawings
from meso.results.sweeping import started_by_launcher

#: Probabilities of chi^2 that nobody believes in.
_UNLIKELY = 1e-3
#: How chi^2 may rise one standard error away, where the linear theory says 1, without a warning.
_STRAIGHT = (0.6, 1.7)

Progress = Callable[[str], None]


def fit(
    file: str | Path | Problem,
    *,
    settings: Mapping[str, Any] | None = None,
    directory: str | Path | None = None,
    jobs: int = 1,
    figures: bool = True,
    petsc: Sequence[str] = (),
    progress: Progress = lambda text: None,
    trusted: bool = False,
    many_cells: bool = False,
) -> FitResult:
    """Fit the parameters of one or several cases to data; all ranks call this.

    Args:
        file: The file of the fit, or what was read from it.
        settings: Dotted key -> value, in place of what the file says, and what is no key of such a
            file in place of what all of its cases say.
        directory: Where the result goes; evaluations that it has already are not made again. None
            to leave no files.
        jobs: Processes that share the points; 1 if there are several ranks.
        figures: True to draw pictures.
        petsc: Options for the worker processes.
        progress: Called with a line of text after each evaluation.
        trusted: True if drawings may run commands and write files.
        many_cells: True to mesh even if more than a million cells are to be expected and the case
            gives no size.

    Returns:
        Best values, their errors, and what the data cannot tell apart.

    Raises:
        CaseError: Something is wrong with the file, a case, the data or the directory.
        ConvergenceError: No start has led to a minimum.
    """
    begin = time.perf_counter()
    problem = file if isinstance(file, Problem) else Problem.load(file, settings)
    if jobs < 1:
        raise CaseError(("--jobs", f"found {jobs}; must be at least 1"))
    if jobs > 1 and started_by_launcher():
        raise CaseError(("--jobs", "is for one process; under mpirun every point uses all ranks"))
    allowed = {"trusted": trusted, "many_cells": many_cells}
    place = None if directory is None else Path(directory)
    with ExitStack() as stack:
        evaluator = _evaluator(
            problem, place, allowed, stack, min(jobs, len(problem.points)), petsc
        )
        if any(p.settings for p in problem.points) or any(p.drawn for p in problem.parameters):
            on_root(evaluator.comm, lambda: check_drawings(problem.points, trusted))
        progress(f"{len(problem.measured)} data, {len(problem.points)} points")
        problem, observed = _first(problem, evaluator)
        fitter = Fitter(problem=problem, evaluator=evaluator, observed=observed, progress=progress)
        found = _found(fitter, begin)
        if place is not None:
            found.save(place, figures=figures, comm=evaluator.comm)
    return found


def _evaluator(
    problem: Problem,
    place: Path | None,
    allowed: dict[str, Any],
    stack: ExitStack,
    jobs: int,
    petsc: Sequence[str],
) -> Evaluator:
    """What solves points: this process with all its ranks, or workers."""
    comm = solver = None
    if jobs == 1:
        from mpi4py import MPI

        from meso.fitting.solving import Solver

        comm = MPI.COMM_WORLD
        solver = Solver(points=problem.points, parameters=problem.parameters, allowed=allowed)
    if place is not None:
        stack.enter_context(hold(place, comm))
    store = Store(directory=place, fingerprint=problem.fingerprint)
    store.records = on_root(comm, store.read)
    arguments = (problem.points, problem.parameters, allowed)
    workers = [] if jobs == 1 else pool(stack, lambda: arguments, jobs, petsc)
    return Evaluator(problem=problem, store=store, solver=solver, workers=workers, comm=comm)


def _first(problem: Problem, evaluator: Evaluator) -> tuple[Problem, Observed]:
    """The fit with its scales, and the data, with their outputs as the first results have them."""
    start = problem.start
    tasks = [Task(point=p.index, theta=start, anchor=start) for p in problem.points]
    records = evaluator(tasks)
    for point, record in zip(problem.points, records, strict=True):
        raise_error(record, f"the start, {point.name}")
    observed = Observed.resolve(problem, records)
    return observed.scaled(problem, records), observed


def _found(fitter: Fitter, begin: float) -> FitResult:
    """The best values and all that follows from them."""
    problem, observed = fitter.problem, fitter.observed
    starts, best, anchor = fitter.best()
    theta, predictions = best.best, fitter.predictions(best.best, anchor)
    jacobian = fitter.derivatives(theta, anchor)
    weighted = jacobian / observed.uncertainties[:, None]
    slopes = fitter.space.slopes(theta)
    scaled = weighted * slopes
    residuals = (predictions - observed.values) / observed.uncertainties
    free = ~held(fitter, theta, residuals, scaled)
    inside = covariance(scaled, free)
    straight = straightness(fitter, theta, anchor, free, scaled)
    profiles = []
    for i in _wanted(problem):
        profiles.append(profile(fitter, i, theta, anchor, best.chi2, inside))

    def walk(which: int, start: Theta) -> tuple[Theta, float]:
        done = fitter.minimise(start, anchor, fixed=[which], tolerance=1e-3, what="open? ")
        return done.best, done.chi2 - best.chi2

    found = FitResult(
        problem=problem,
        theta=theta,
        anchor=anchor,
        chi2=best.chi2,
        covariance=inside * np.outer(slopes, slopes),
        observed=observed,
        predictions=predictions,
        jacobian=jacobian,
        starts=tuple(starts),
        identified=identified(problem, theta, weighted, free, walk),
        profiles=tuple(profiles),
        straightness=straight,
        evaluations=fitter.evaluator.solved,
        seconds=time.perf_counter() - begin,
    )
    object.__setattr__(found, "warnings", tuple(_warnings(found, fitter, starts)))
    return found


def _wanted(problem: Problem) -> list[int]:
    """Parameters whose profiles are asked for."""
    wanted = problem.options.profile
    names = [p.name for p in problem.parameters]
    if isinstance(wanted, bool):
        return list(range(len(names))) if wanted else []
    return [names.index(name) for name in wanted]


def _warnings(found: FitResult, fitter: Fitter, starts: Sequence[Start]) -> list[str]:
    """What a careful user should know."""
    out = []
    if found.probability < _UNLIKELY:
        factor = np.sqrt(found.chi2 / found.freedom)
        out.append(
            f"chance makes such a chi^2 in {100 * found.probability:.2g} % of all cases: the model"
            " does not describe the data, or their uncertainties are too small"
            f" (times {factor:.2g} they would do, and all errors here would be larger by that)"
        )
    elif found.probability > 1 - _UNLIKELY:
        out.append("the residuals are smaller than chance allows: uncertainties are too large")
    if not found.freedom:
        out.append("as many parameters as data: chi^2 tells nothing about the model")
    for p, x, end in zip(
        found.problem.parameters,
        found.theta,
        at_bounds(found.problem.parameters, found.theta),
        strict=True,
    ):
        if np.isnan(found.errors[p.name]):
            out.append(
                f"{shown(p, x)} is held by its bound: errors of the others are for this value"
            )
        elif end:
            out.append(f"{shown(p, x)} is at its bound: its error ends there")
    low, high = _STRAIGHT
    if not low < found.straightness < high:
        out.append(
            f"chi^2 rises by {found.straightness:.2g} where the linear theory says 1: standard"
            " errors are rough; profile likelihoods (fit.profile = true) are not"
        )
    out += _other_minima(found, starts)
    failed = [s for s in starts if not s.converged]
    if failed:
        out.append(f"{len(failed)} of {len(starts)} starts failed, the first: {failed[0].message}")
    for curve in found.profiles:
        if curve.chi2.min() < found.chi2 - 1e-3 * max(1.0, found.chi2):
            text = f"the profile of {curve.name} has a smaller chi^2, {curve.chi2.min():.6g}: more"
            text += " starts"
            out.append(f"{text} (fit.starts) would find it")
    tasks = fitter.tasks(found.theta, found.anchor)
    records = zip(found.problem.points, fitter.evaluator(tasks), strict=True)
    told: dict[str, str] = {}
    for point, record in records:
        for text in record.get("warnings", ()):
            told.setdefault(
                text.split(":")[0].split("(")[0].rstrip("0123456789. "), f"{point.name}: {text}"
            )
    return [*out, *told.values()]


def _other_minima(found: FitResult, starts: Sequence[Start]) -> list[str]:
    """Minima elsewhere that the data do not rule out."""
    level = found.chi2 + rise(found.problem.options.confidence, len(found.theta))
    errors = np.array(list(found.errors.values()))
    for start in starts:
        apart = np.abs(np.array(start.best) - found.theta)
        far = (apart > 5 * errors) & np.isfinite(errors)
        if start.converged and start.chi2 < level and far.any():
            pairs = zip(found.problem.parameters, start.best, strict=True)
            values = ", ".join(shown(p, x) for p, x in pairs)
            return [f"another minimum fits nearly as well, chi^2 {start.chi2:.4g} at {values}"]
    return []


def standard_directory(problem: Problem) -> Path:
    """Where the result goes unless somebody says otherwise."""
    file = problem.file.resolve()
    name = file.stem if file.stem != "fit" else file.parent.name
    return problem.directory or Path("results") / name
