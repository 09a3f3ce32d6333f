"""What a fit has found."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from math import floor, isfinite, log10
from pathlib import Path
from typing import Any

import numpy as np

from meso.case import Case
from meso.files.directory import hold, on_root, staged
from meso.fitting.minimising import Start
from meso.fitting.observed import Observed
from meso.fitting.parameters import Parameter, Theta
from meso.fitting.problem import Problem
from meso.fitting.statistics import ProfileLikelihood, correlation, probability, rise
from meso.fitting.words import Identified
from meso.gradients.inputs import moved
from meso.reports import write_report

#: Residuals that the terminal shows.
_SHOWN = 5
#: Pictures that an earlier fit may have left.
_PROFILES = "profiles.png"


@dataclass(frozen=True, kw_only=True, eq=False)
class FitResult:
    """Best values, how sure they are, and what the data cannot tell.

    Attributes:
        problem: What was fitted to what.
        theta: Best values in the order of the parameters, SI.
        anchor: The values that the meshes are made for.
        chi2: Sum of the squares of residuals over uncertainties.
        covariance: Of the parameters, SI, shape (k, k); infinite where the data say nothing, NaN
            for parameters at a bound, which are held there.
        observed: The data.
        predictions: What the fitted cases give for them, shape (n,), SI.
        jacobian: Derivatives of these in the parameters, shape (n, k), SI.
        starts: What became of each start.
        identified: Which combinations of parameters the data fix.
        profiles: Profile likelihoods, if they were asked for.
        straightness: By how much chi^2 rises one standard error away, where the linear theory that
            errors and regions are from says 1.
        warnings: What a careful user should know.
        evaluations: Solutions that this call has made.
        seconds: Wall-clock time.
    """

    problem: Problem
    theta: Theta
    anchor: Theta
    chi2: float
    covariance: np.ndarray
    observed: Observed
    predictions: np.ndarray
    jacobian: np.ndarray
    starts: tuple[Start, ...]
    identified: Identified
    profiles: tuple[ProfileLikelihood, ...] = ()
    straightness: float = 1.0
    warnings: tuple[str, ...] = ()
    evaluations: int = 0
    seconds: float = 0.0
    _cases: dict[str, Case] = field(default_factory=dict, repr=False)

    @property
    def values(self) -> dict[str, float]:
        """Best values by name, SI."""
        return dict(zip(self._names, self.theta, strict=True))

    @property
    def errors(self) -> dict[str, float]:
        """Standard errors by name, SI; infinite, or NaN at a bound, see ``covariance``."""
        found = np.sqrt(np.diag(self.covariance))
        return dict(zip(self._names, found.tolist(), strict=True))

    @property
    def correlation(self) -> np.ndarray:
        """Correlation matrix, shape (k, k)."""
        return correlation(self.covariance)

    @property
    def residuals(self) -> np.ndarray:
        """(Measured - fit)/uncertainty, shape (n,)."""
        return (self.observed.values - self.predictions) / self.observed.uncertainties

    @property
    def freedom(self) -> int:
        """Number of data less that of parameters that are not at a bound."""
        return len(self.observed) - int(np.isfinite(np.diag(self.covariance)).sum()) - self._lost

    @property
    def _lost(self) -> int:
        return int(np.isinf(np.diag(self.covariance)).sum())

    @property
    def probability(self) -> float:
        """How often chance makes chi^2 larger, if model and uncertainties are right."""
        return probability(self.chi2, self.freedom)

    @property
    def region(self) -> float:
        """The joint region of all parameters is where chi^2 is below this.

        It has the probability ``fit.confidence`` to contain the true values.
        """
        count = int((~np.isnan(np.diag(self.covariance))).sum())
        return self.chi2 + (rise(self.problem.options.confidence, count) if count else 0.0)

    @property
    def band(self) -> np.ndarray:
        """Standard error of each prediction, shape (n,), SI; by linear propagation."""
        _, s, v = np.linalg.svd(self._scaled, full_matrices=False)
        known = s > 1e-9 * s.max(initial=0.0)
        # Each residual's part along the directions that the data know.
        parts = (self._scaled @ v[known].T) / s[known]
        return np.linalg.norm(parts, axis=1) * self.observed.uncertainties

    @property
    def _scaled(self) -> np.ndarray:
        """Derivatives of the residuals, columns of length one or zero, of free parameters."""
        free = ~np.isnan(np.diag(self.covariance))
        found = self.jacobian[:, free] / self.observed.uncertainties[:, None]
        size = np.linalg.norm(found, axis=0)
        return found / np.where(size > 0, size, 1.0)

    @property
    def statements(self) -> tuple[str, ...]:
        """What the data fix and what not, in words."""
        return self.identified.statements

    @property
    def cases(self) -> dict[str, Case]:
        """The fitted case of each set of data."""
        return {name: self._case(name) for name in self.problem.cases}

    @property
    def _names(self) -> list[str]:
        return [p.name for p in self.problem.parameters]

    def _case(self, name: str) -> Case:
        changes: dict[str, Any] = {}
        for p, x, error in zip(
            self.problem.parameters, self.theta, self.errors.values(), strict=True
        ):
            for key in p.keys.get(name, ()):
                changes[key] = x * p.multiples[name]
                table, _, quantity = key.rpartition(".")
                if table.startswith("materials.") and table.count(".") == 1:
                    text = f"fitted: {written(p, x, error)} ({self.problem.tables[name].name})"
                    changes[f"{table}.provenance.{quantity}"] = text
        return moved(self.problem.cases[name], changes)

    def table(self) -> str:
        """The report for the terminal."""
        return report(self)

    def summary(self) -> dict[str, Any]:
        """What ``fit.json`` holds: plain numbers, texts, lists and dictionaries, SI units."""
        return _finite(_summary(self))

    def save(self, directory: str | Path, *, figures: bool = True, comm: Any = None) -> None:
        """Write ``fit.json``, ``residuals.csv``, the fitted cases and pictures.

        Args:
            directory: Where; files of an earlier fit are replaced.
            figures: True to draw pictures.
            comm: A communicator, all ranks of which call this; None for one process.

        Raises:
            MesoError: It cannot be written.
        """
        place = Path(directory)
        with hold(place, comm):
            on_root(comm, partial(self._write, place, figures))

    def _write(self, place: Path, figures: bool) -> None:
        with staged(place) as folder:
            text = json.dumps(self.summary(), indent=2) + "\n"
            (folder / "fit.json").write_text(text, encoding="utf-8")
            (folder / "residuals.csv").write_text(_residuals(self), encoding="utf-8")
            for name, case in self.cases.items():
                path = folder / case_file(self.problem, name)
                path.write_text(case.to_toml(relative_to=place.resolve()), encoding="utf-8")
            if figures:
                from meso.figures.fits import draw_fit, draw_profiles

                draw_fit(self, folder / "fit.png")
                if self.profiles:
                    draw_profiles(self, folder / _PROFILES)
            names = [case_file(self.problem, name) for name in self.cases]
            cases = {n: (folder / n).read_text(encoding="utf-8") for n in names}
            write_report(folder, {f"Fitted case ({name})": text for name, text in cases.items()})
        if not self.profiles:  # of an earlier fit
            (place / _PROFILES).unlink(missing_ok=True)


def case_file(problem: Problem, data: str) -> str:
    """Name of the file of a fitted case."""
    return "case.toml" if len(problem.cases) == 1 else f"case_{data}.toml"


def written(parameter: Parameter, value: float, error: float) -> str:
    """A value with its standard error, "7.03 ± 0.12 nm"."""
    unit = f" {parameter.shown}" if parameter.shown else ""
    value, error = value / parameter.size, error / parameter.size
    if np.isnan(error):
        return f"{value:.6g}{unit} (at its bound)"
    if not isfinite(error):
        return f"{value:.4g}{unit} ± ∞"
    if not error:
        return f"{value:.10g}{unit} ± 0"
    digits = max(0, 1 - floor(log10(error)))
    if digits > 8 or error > 1e6:
        return f"{value:.6g} ± {error:.2g}{unit}"
    return f"{value:.{digits}f} ± {error:.{digits}f}{unit}"


# --- files


def _summary(fit: FitResult) -> dict[str, Any]:
    from meso import __version__

    names = list(fit.values)
    return {
        "title": fit.problem.title,
        "meso": __version__,
        "fingerprint": fit.problem.fingerprint,
        "parameters": {p.name: _parameter(fit, p) for p in fit.problem.parameters},
        "chi2": fit.chi2,
        "degrees_of_freedom": fit.freedom,
        "probability": fit.probability,
        "confidence": fit.problem.options.confidence,
        "region_chi2": fit.region,
        "covariance": fit.covariance.tolist(),
        "correlation": fit.correlation.tolist(),
        "straightness": fit.straightness,
        "identified": {
            "parameters": list(fit.identified.names),
            "singular_values": fit.identified.singular.tolist(),
            "directions": fit.identified.directions.tolist(),
            "open": fit.identified.open.tolist(),
            "combinations": [
                {
                    "formula": c.formula,
                    "powers": dict(c.powers),
                    "error_relative": c.error,
                    "known_as": list(c.known_as),
                }
                for c in fit.identified.combinations
            ],
            "statements": list(fit.statements),
        },
        "data": [_datum(fit, i) for i in range(len(fit.observed))],
        "starts": [
            {
                "from": dict(zip(names, s.theta, strict=True)),
                "to": dict(zip(names, s.best, strict=True)),
                "chi2": s.chi2,
                "converged": s.converged,
                "evaluations": s.evaluations,
                "message": s.message,
            }
            for s in fit.starts
        ],
        "meshes_made_for": dict(zip(names, fit.anchor, strict=True)),
        "profiles": {
            p.name: {
                "values": p.values.tolist(),
                "chi2": p.chi2.tolist(),
                "interval": list(p.interval),
                "open": list(p.open),
            }
            for p in fit.profiles
        },
        "cases": {name: case_file(fit.problem, name) for name in fit.problem.cases},
        "evaluations": fit.evaluations,
        "wall_clock_s": fit.seconds,
        "warnings": list(fit.warnings),
    }


def _parameter(fit: FitResult, parameter: Parameter) -> dict[str, Any]:
    return {
        "value": fit.values[parameter.name],
        "standard_error": fit.errors[parameter.name],
        "unit": parameter.unit,
        "keys": {name: list(keys) for name, keys in parameter.keys.items()},
        "scale_of": {name: list(columns) for name, columns in parameter.columns.items()},
        "start": parameter.start,
        "bounds": [parameter.low, parameter.high],
        "at_bound": bool(np.isnan(fit.errors[parameter.name])),
    }


def _datum(fit: FitResult, i: int) -> dict[str, Any]:
    seen, point = fit.observed, fit.problem.points[fit.observed.points[i]]
    out = {
        "data": point.data,
        "line": seen.lines[i],
        **point.settings,
        "output": seen.labels[i],
        "unit": seen.units[i],
        "measured": float(seen.values[i]),
        "uncertainty": float(seen.uncertainties[i]),
        "fit": float(fit.predictions[i]),
        "fit_standard_error": float(fit.band[i]),
        "residual": float(fit.residuals[i]),
    }
    if np.isfinite(seen.positions[i]):
        out["s_m"] = float(seen.positions[i])
    return out


def _finite(thing: Any) -> Any:
    """JSON has neither infinities nor NaN: texts, and null."""
    if isinstance(thing, Mapping):
        return {key: _finite(value) for key, value in thing.items()}
    if isinstance(thing, list | tuple):
        return [_finite(value) for value in thing]
    if isinstance(thing, float) and not isfinite(thing):
        return None if np.isnan(thing) else str(thing)
    return thing


def _residuals(fit: FitResult) -> str:
    """The data with what was fitted, as CSV, SI units."""
    rows = [_datum(fit, i) for i in range(len(fit.observed))]
    columns = dict.fromkeys(key for row in rows for key in row)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(columns), restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


# --- the terminal


def report(fit: FitResult) -> str:
    """Parameters, chi^2, correlations, what is left open, residuals, warnings."""
    wide = max(len(p.name) for p in fit.problem.parameters)
    lines = [fit.problem.title, ""]
    for p, x, error in zip(fit.problem.parameters, fit.theta, fit.errors.values(), strict=True):
        lines.append(f"  {p.name:<{wide}}  {written(p, x, error):<28}{p.place}")
    for found in fit.profiles:
        lines.append(_interval(fit, found))
    degrees = "1 degree" if fit.freedom == 1 else f"{fit.freedom} degrees"
    text = f"  chi^2 {fit.chi2:.4g} of {len(fit.observed)} data, {degrees} of freedom"
    if fit.freedom:
        text += f", probability {fit.probability:.2g}"
    lines += ["", text]
    percent = 100 * fit.problem.options.confidence
    lines.append(f"  {percent:g} % region of all parameters: chi^2 below {fit.region:.4g}")
    if len(fit.theta) > 1:
        lines += ["", *_correlations(fit)]
    if fit.statements:
        lines += ["", "  what the data tell apart", *(f"  - {text}" for text in fit.statements)]
    lines += ["", *_largest(fit)]
    lines += ["", *(f"  warning: {text}" for text in fit.warnings)]
    return "\n".join(lines).rstrip()


def _interval(fit: FitResult, found: ProfileLikelihood) -> str:
    parameter = next(p for p in fit.problem.parameters if p.name == found.name)
    ends = [
        f"{'bound ' if open_ else ''}{x / parameter.size:.5g}"
        for x, open_ in zip(found.interval, found.open, strict=True)
    ]
    unit = f" {parameter.shown}" if parameter.shown else ""
    percent = 100 * found.confidence
    return f"  {found.name}: {ends[0]} … {ends[1]}{unit} by its profile, {percent:g} %"


def _correlations(fit: FitResult) -> list[str]:
    names = list(fit.values)
    wide = max(8, *(len(name) + 2 for name in names))
    lines = ["  correlation" + "".join(name.rjust(wide) for name in names)]
    for name, row in zip(names, fit.correlation, strict=True):
        cells = "".join(("-" if np.isnan(x) else f"{x:.3f}").rjust(wide) for x in row)
        lines.append(f"  {name:<11}{cells}")
    return lines


def _largest(fit: FitResult) -> list[str]:
    """The residuals that are largest."""
    order = np.argsort(-np.abs(fit.residuals))[:_SHOWN]
    rows = [["residual", "measured", "fit", "", "of"]]
    for i in order:
        point = fit.problem.points[fit.observed.points[i]]
        unit = fit.observed.units[i]
        numbers = [fit.residuals[i], fit.observed.values[i], fit.predictions[i]]
        cells = [f"{numbers[0]:+.2f} σ", *(f"{x:.6g}" for x in numbers[1:])]
        what = f"{fit.observed.labels[i]}, line {fit.observed.lines[i]} of {point.data}"
        rows.append([*cells, unit, what])
    width = [max(len(row[i]) for row in rows) for i in range(4)]
    return [
        "  " + "  ".join(c.rjust(w) for c, w in zip(row, width, strict=False)) + f"  {row[4]}"
        for row in rows
    ]
