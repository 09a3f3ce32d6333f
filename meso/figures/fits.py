"""Pictures of a fit: data, fit and band, with residuals below; profile likelihoods."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.lines import Line2D

from meso.figures.style import (
    LINES,
    Scale,
    canvas,
    ink,
    length_scale,
    log_ticks,
    look,
    open_frame,
    plain,
    scale,
    store,
)
from meso.files.readable import suffix

#: Heights in inches: of data, of residuals, of what is around both.
_DATA, _RESIDUALS, _AROUND = 2.6, 0.8, 0.85
#: Largest over smallest value of a logarithmic axis.
_MANY = 8.0


@dataclass(frozen=True, kw_only=True, eq=False)
class _Series:
    """Data that make one line: rows of the fit, where they are, and what they are called."""

    rows: np.ndarray
    at: np.ndarray
    label: str
    unit: str


@dataclass(frozen=True, kw_only=True, eq=False)
class _Panel:
    """A set of data: what it is drawn against, and its lines."""

    name: str
    across: str
    unit: Scale
    series: tuple[_Series, ...]


def draw_fit(fit: Any, path: Path) -> Path:
    """Draw the data with the fit and its band, one panel for each set of data."""
    panels = list(_panels(fit))
    tall = _DATA + _RESIDUALS + _AROUND
    with look(fit.problem.figures):
        figure, add = canvas(7.2, 0.35 + tall * len(panels), fit.problem.title, 0.95)
        for i, panel in enumerate(panels):
            base = tall * (len(panels) - 1 - i) + 0.65
            above = add(0.95, base + _RESIDUALS + 0.12, 6.0, _DATA)
            below = add(0.95, base, 6.0, _RESIDUALS, sharex=above)
            _draw(above, below, fit, panel)
        return store(figure, path)


def draw_profiles(fit: Any, path: Path) -> Path:
    """Draw how chi^2 rises when one parameter is held and the others are fitted."""
    count = len(fit.profiles)
    with look(fit.problem.figures):
        figure, add = canvas(7.2, 0.45 + 2.6 * count, f"{fit.problem.title}: profiles", 0.95)
        for i, found in enumerate(fit.profiles):
            axes = add(0.95, 0.65 + 2.6 * (count - 1 - i), 6.0, 1.85)
            open_frame(axes)
            parameter = next(p for p in fit.problem.parameters if p.name == found.name)
            x, rise = found.values / parameter.size, found.chi2 - fit.chi2
            error = fit.errors[found.name] / parameter.size
            if np.isfinite(error):
                dense = np.linspace(x[0], x[-1], 200)
                best = fit.values[found.name] / parameter.size
                parabola = ((dense - best) / error) ** 2
                inside = parabola < 1.2 * rise.max()
                axes.plot(
                    dense[inside],
                    parabola[inside],
                    color="#999999",
                    linewidth=1.2,
                    linestyle="--",
                    label="standard error",
                )
            axes.plot(x, rise, marker="o", markersize=4, color=LINES[0], label="profile")
            for end, open_ in zip(found.interval, found.open, strict=True):
                if not open_:
                    axes.axvline(end / parameter.size, color=LINES[1], linewidth=0.8)
            unit = f" ({parameter.shown})" if parameter.shown else ""
            axes.set_xlabel(plain(parameter.name) + unit)
            axes.set_ylabel("rise of χ²")
            axes.legend(loc="best")
        return store(figure, path)


def _panels(fit: Any) -> Iterator[_Panel]:
    """Each set of data against the input that varies most of all its columns."""
    seen = fit.observed
    for name in fit.problem.cases:
        points = [p for p in fit.problem.points if p.data == name]
        rows = np.flatnonzero(np.isin(seen.points, [p.index for p in points]))
        settings = {p.index: dict(p.settings) for p in points}
        keys = [k for k in points[0].settings if len({s[k] for s in settings.values()}) > 1]
        along = np.isfinite(seen.positions[rows]).all()
        across = "distance along the probe" if along else keys[0] if keys else ""
        others = keys if along else keys[1:]
        if along:
            at, unit = seen.positions[rows], length_scale(float(np.nanmax(seen.positions[rows])))
        elif across:
            at = np.array([settings[i][across] for i in seen.points[rows]])
            unit = _unit(fit, name, across, at)
        else:
            at, unit = np.zeros(len(rows)), Scale(1.0, "")
        yield _Panel(
            name=name,
            across=across.split(".")[-1].replace("_", " "),
            unit=unit,
            series=tuple(_series(fit, rows, at, others, settings, bool(across))),
        )


def _unit(fit: Any, name: str, key: str, at: np.ndarray) -> Scale:
    """A handy unit of a column: lengths of drawings are in the drawing's own unit."""
    if key.startswith("geometry.parameters."):
        return Scale(1.0, fit.problem.cases[name].geometry.length_unit_name)
    from meso.gradients.inputs import inputs_of

    (one,) = inputs_of(fit.problem.cases[name], [key])
    largest = float(np.abs(at).max())
    return length_scale(largest) if one.unit == "m" else scale(largest, suffix(one.unit))


def _series(
    fit: Any,
    rows: np.ndarray,
    at: np.ndarray,
    others: list[str],
    settings: dict[int, dict[str, float]],
    numeric: bool,
) -> Iterator[_Series]:
    """One line for each output and each combination of the other columns."""
    seen = fit.observed
    groups: dict[tuple[Any, ...], list[int]] = {}
    for i, row in enumerate(rows):
        own = settings[seen.points[row]]
        groups.setdefault((seen.labels[row], *(own[key] for key in others)), []).append(i)
    labels = {key[0] for key in groups}
    for k, (key, inside) in enumerate(groups.items()):
        order = sorted(inside, key=lambda i: at[i])
        parts = [key[0].removeprefix("resistance.")] if len(labels) > 1 else []
        parts += [f"{o.split('.')[-1]} = {x:.6g}" for o, x in zip(others, key[1:], strict=True)]
        yield _Series(
            rows=rows[order],
            at=at[order] if numeric else np.full(len(order), float(k)),
            label=plain(", ".join(parts)),
            unit=seen.units[rows[order[0]]],
        )


def _draw(above: Any, below: Any, fit: Any, panel: _Panel) -> None:
    for axes in (above, below):
        open_frame(axes)
    seen, shown = fit.observed, np.concatenate([s.rows for s in panel.series])
    unit = scale(float(np.abs(seen.values[shown]).max()), suffix(panel.series[0].unit))
    for i, series in enumerate(panel.series):
        color, rows = LINES[i % len(LINES)], series.rows
        x, fitted, band = series.at / panel.unit.factor, fit.predictions[rows], fit.band[rows]
        if len(rows) > 1 and panel.across:
            low, high = (fitted - band) / unit.factor, (fitted + band) / unit.factor
            above.fill_between(x, low, high, color=color, alpha=0.25, linewidth=0)
        above.plot(x, fitted / unit.factor, color=color, marker="_", markersize=9)
        error = seen.uncertainties[rows] / unit.factor
        how = {"fmt": "o", "markersize": 4, "capsize": 2, "linewidth": 1.2}
        above.errorbar(
            x, seen.values[rows] / unit.factor, error, color=color, label=series.label, **how
        )
        below.errorbar(x, fit.residuals[rows], np.ones(len(rows)), color=color, **how)
    below.axhline(0, color=ink(), linewidth=0.8)
    far = 1.2 * max(2.0, 1 + float(np.abs(fit.residuals[shown]).max()))
    below.set_ylim(-far, far)
    places = np.concatenate([s.at for s in panel.series])
    if panel.across and places.min() > 0 and places.max() > _MANY * places.min():
        above.set_xscale("log")
        log_ticks(below.xaxis)
    values = seen.values[shown]
    if values.min() > 0 and values.max() > _MANY * values.min():
        above.set_yscale("log")
        log_ticks(above.yaxis)
    above.tick_params(labelbottom=False)
    if not panel.across:
        names = [s.label or plain(seen.labels[s.rows[0]]) for s in panel.series]
        below.set_xticks(range(len(names)), names)
    kinds = [
        Line2D([], [], color="#777777", marker=marker, linestyle="", label=label)
        for marker, label in (("o", "data"), ("_", "fit"))
    ]
    own = above.get_legend_handles_labels()[0] if panel.across else []
    above.legend(handles=[*(own if any(s.label for s in panel.series) else []), *kinds])
    name = f" ({panel.unit.name})" if panel.unit.name else ""
    below.set_xlabel(plain(panel.across) + name)
    labels = {seen.labels[row] for row in shown}
    what = plain(labels.pop()) if len(labels) == 1 else plain(panel.name)
    above.set_ylabel(f"{what}\n({unit.name})" if unit.name else what)
    below.set_ylabel("(data − fit)\n/σ")
